//! What request verification notes without waiting: which keys were used, and which requests were refused. Kept in
//! memory, bounded, and written in batches by `App::write_journal`, at most some seconds late.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use crossbeam_queue::ArrayQueue;
use domain::{ApiKeyId, Timestamp, WorkspaceId};

use verifier::{directory::DirectoryKey, network::network_of};

/// Uses that wait to be written at the most. A key notes one a second, so this many keys a batch.
const MAX_USES: usize = 65_536;
/// Kinds of refusal that are told apart at a time, of those that verified and of those that did not each; the rest is
/// counted together.
const MAX_REFUSALS: usize = 1024;
/// How often one kind of refusal is written at the most.
const REFUSAL_INTERVAL_SECONDS: i64 = 60;
/// Rows of one budget in an hour; further refusals are counted together.
const ROWS_PER_HOUR: u32 = 240;
/// How often a row is written that counts refusals together.
const MERGED_INTERVAL_SECONDS: i64 = 600;
/// Characters of a reason that are kept.
const MAX_REASON: usize = 300;
const HOUR_SECONDS: i64 = 3600;

/// A use of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) key: ApiKeyId,
    pub(crate) at: Timestamp,
    pub(crate) address: Option<IpAddr>,
    /// Whether the request was accepted; if not, it verified and was refused for another reason.
    pub(crate) accepted: bool,
}

/// What refusals are counted by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct RefusalKind {
    /// Whether the credential verified, so that whoever sent it holds it. Anybody can name a key.
    pub(crate) verified: bool,
    /// The key, where one was found.
    pub(crate) key: Option<ApiKeyId>,
    /// Where the request came from, of IPv6 the /64; none where too many different ones come.
    pub(crate) address: Option<IpAddr>,
    /// The reason's code.
    pub(crate) code: &'static str,
}

/// Refusals of one kind that were not written yet.
#[derive(Clone, Default, Debug)]
pub(crate) struct Refusals {
    pub(crate) count: u64,
    /// The reason of the last one, in words.
    pub(crate) reason: String,
    /// The full address of the last one.
    pub(crate) address: Option<IpAddr>,
    /// They came from more than one address.
    pub(crate) from_several_addresses: bool,
    written_at: Option<Timestamp>,
}

/// Whose log a row of refusals is in. Each has a budget of rows, so that nobody fills the log of somebody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Budget {
    /// All that did not verify, whatever key it named.
    Unverified,
    /// What verified, by a key that one workspace reads about.
    Workspace(WorkspaceId),
    /// What verified, by any other key.
    Installation,
}

impl Budget {
    /// The workspace whose it is.
    pub(crate) const fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::Workspace(workspace) => Some(*workspace),
            Self::Unverified | Self::Installation => None,
        }
    }
}

/// Whose budgets the rows of a refusal are taken from. A user's key is read about in every workspace that they are in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Charge {
    /// At least one, each once.
    pub(crate) budgets: Vec<Budget>,
    /// How many rows are taken from each.
    pub(crate) rows: u32,
}

impl From<Budget> for Charge {
    fn from(budget: Budget) -> Self {
        Self { budgets: vec![budget], rows: 1 }
    }
}

/// A row to be written, in each workspace that reads of it: refusals of one kind, or, where the budget is used up, of several kinds counted together.
#[derive(Clone, Debug)]
pub(crate) struct RefusalRow {
    pub(crate) charge: Charge,
    pub(crate) refusals: Vec<(RefusalKind, Refusals)>,
    /// It is written because the budget is used up.
    is_beyond: bool,
}

/// The rows of one budget in the hour under way.
#[derive(Clone, Copy, Default, Debug)]
struct Spent {
    hour: i64,
    rows: u32,
    beyond_at: Option<Timestamp>,
}

impl Spent {
    fn rows_left(self, now: Timestamp) -> u32 {
        if self.hour == hour_of(now) { ROWS_PER_HOUR.saturating_sub(self.rows) } else { ROWS_PER_HOUR }
    }

    fn add(&mut self, now: Timestamp, rows: u32, is_beyond: bool) {
        if is_beyond {
            self.beyond_at = Some(now);
            return;
        }
        if self.hour != hour_of(now) {
            (self.hour, self.rows) = (hour_of(now), 0);
        }
        self.rows = self.rows.saturating_add(rows);
    }
}

fn hour_of(now: Timestamp) -> i64 {
    now.as_second().div_euclid(HOUR_SECONDS)
}

fn is_over(since: Option<Timestamp>, interval_seconds: i64, now: Timestamp) -> bool {
    since.is_none_or(|since| now.as_second() - since.as_second() >= interval_seconds)
}

#[derive(Default)]
struct RefusalCounts {
    verified: HashMap<RefusalKind, Refusals>,
    unverified: HashMap<RefusalKind, Refusals>,
    spent: HashMap<Budget, Spent>,
}

/// What waits to be written.
pub(crate) struct Journal {
    uses: ArrayQueue<Use>,
    refusals: Mutex<RefusalCounts>,
    /// One writes refusals at a time: two would write the same ones, and count them down twice.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { uses: ArrayQueue::new(MAX_USES), refusals: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    /// Notes that a key was used. Takes no lock and no memory; one use a key and second is kept.
    pub(crate) fn note_use(&self, key: &DirectoryKey, now: Timestamp, address: Option<IpAddr>) {
        if key.is_first_use_of(now.as_second()) {
            // Full only when more keys are used within seconds than fit: the oldest use is dropped.
            self.uses.force_push(Use { key: key.id, at: now, address, accepted: true });
        }
    }

    /// Notes that something verified under a key for the first time on this node, whatever comes of it.
    pub(crate) fn note_first_verification(&self, key: &DirectoryKey, now: Timestamp) {
        self.uses.force_push(Use { key: key.id, at: now, address: None, accepted: false });
    }

    /// Notes that a request was refused.
    pub(crate) fn note_refusal(&self, mut kind: RefusalKind, mut reason: String) {
        if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
            reason.truncate(end);
        }
        let address = kind.address;
        kind.address = address.map(network_of);
        let mut counts = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = if kind.verified { &mut counts.verified } else { &mut counts.unverified };
        if counts.len() >= MAX_REFUSALS && !counts.contains_key(&kind) {
            kind = RefusalKind { key: None, address: None, ..kind };
        }
        let refusal = counts.entry(kind).or_default();
        refusal.from_several_addresses |= refusal.count > 0 && refusal.address != address;
        refusal.count += 1;
        refusal.reason = reason;
        refusal.address = address;
    }

    /// The uses that wait, the latest of each key that was accepted, else one that was not.
    pub(crate) fn take_uses(&self) -> Vec<Use> {
        let mut latest: HashMap<ApiKeyId, Use> = HashMap::new();
        for _ in 0..self.uses.len() {
            let Some(used) = self.uses.pop() else { break };
            let kept = latest.entry(used.key).or_insert(used);
            if used.accepted && (!kept.accepted || used.at >= kept.at) {
                *kept = used;
            }
        }
        latest.into_values().collect()
    }

    /// Puts uses back that could not be written.
    pub(crate) fn return_uses(&self, uses: Vec<Use>) {
        for used in uses {
            if self.uses.push(used).is_err() {
                break;
            }
        }
    }

    /// The rows that are due: each kind at once when it is new, then once a minute, as long as its budget lasts; what is
    /// beyond the budget in one row every ten minutes. With `all`, whatever waits.
    pub(crate) fn due_refusals(
        &self,
        now: Timestamp,
        all: bool,
        charge_of: impl Fn(&RefusalKind) -> Charge,
    ) -> Vec<RefusalRow> {
        let counts = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |refusal: &Refusals| {
            refusal.count > 0 && (all || is_over(refusal.written_at, REFUSAL_INTERVAL_SECONDS, now))
        };
        let waiting = counts.verified.iter().chain(&counts.unverified);
        let mut due: Vec<(RefusalKind, Refusals)> =
            waiting.filter(|(_, refusal)| is_due(refusal)).map(|(kind, r)| (kind.clone(), r.clone())).collect();
        // Those that name a key first, then the most frequent.
        due.sort_unstable_by(|(a, of_a), (b, of_b)| {
            (b.key.is_some(), of_b.count, a).cmp(&(a.key.is_some(), of_a.count, b))
        });
        let mut rows = Vec::new();
        let mut left: BTreeMap<Budget, u32> = BTreeMap::new();
        let mut beyond: BTreeMap<Charge, Vec<(RefusalKind, Refusals)>> = BTreeMap::new();
        let spent = |budget: &Budget| counts.spent.get(budget).copied().unwrap_or_default();
        for refusals in due {
            let charge = charge_of(&refusals.0);
            for budget in &charge.budgets {
                left.entry(*budget).or_insert_with(|| spent(budget).rows_left(now));
            }
            // A row that costs more than a budget has left is the last one.
            if charge.budgets.iter().all(|budget| left.get(budget).is_some_and(|left| *left > 0)) {
                for budget in &charge.budgets {
                    left.entry(*budget).and_modify(|left| *left = left.saturating_sub(charge.rows));
                }
                rows.push(RefusalRow { charge, refusals: vec![refusals], is_beyond: false });
            } else if all || charge.budgets.iter().all(|b| is_over(spent(b).beyond_at, MERGED_INTERVAL_SECONDS, now)) {
                beyond.entry(charge).or_default().push(refusals);
            }
        }
        let beyond = beyond.into_iter();
        rows.extend(beyond.map(|(charge, refusals)| RefusalRow { charge, refusals, is_beyond: true }));
        rows
    }

    /// Counts down what was written, and forgets kinds and budgets that have been quiet.
    pub(crate) fn refusals_written(&self, written: &[RefusalRow], now: Timestamp) {
        let mut counts = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let RefusalCounts { verified, unverified, spent } = &mut *counts;
        for row in written {
            for budget in &row.charge.budgets {
                spent.entry(*budget).or_default().add(now, row.charge.rows, row.is_beyond);
            }
            for (kind, refusal) in &row.refusals {
                let kept = if kind.verified { verified.get_mut(kind) } else { unverified.get_mut(kind) };
                if let Some(kept) = kept {
                    kept.count -= refusal.count;
                    kept.written_at = Some(now);
                    kept.from_several_addresses &= kept.count > 0;
                }
            }
        }
        for counts in [verified, unverified] {
            counts
                .retain(|_, refusal| refusal.count > 0 || !is_over(refusal.written_at, REFUSAL_INTERVAL_SECONDS, now));
        }
        spent.retain(|_, spent| {
            spent.hour == hour_of(now) || spent.beyond_at.is_some() && !is_over(spent.beyond_at, HOUR_SECONDS, now)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn refuse(journal: &Journal, address: IpAddr, code: &'static str) {
        journal
            .note_refusal(RefusalKind { verified: false, key: None, address: Some(address), code }, "a reason".into());
    }

    fn ipv4(address: u32) -> IpAddr {
        IpAddr::from(address.to_be_bytes())
    }

    /// Writes what is due, and answers how many rows that took and how many refusals they count.
    fn write(journal: &Journal, now: Timestamp, all: bool) -> (usize, u64) {
        let rows = journal.due_refusals(now, all, |_| Budget::Unverified.into());
        journal.refusals_written(&rows, now);
        (rows.len(), rows.iter().flat_map(|row| &row.refusals).map(|(_, refusal)| refusal.count).sum())
    }

    #[test]
    fn a_refusal_is_written_at_once_and_then_once_a_minute_with_its_count() {
        let journal = Journal::new();
        refuse(&journal, ipv4(1), "stale");
        assert_eq!(write(&journal, at(0), false), (1, 1));
        for _ in 0..1000 {
            refuse(&journal, ipv4(1), "stale");
        }
        assert_eq!(write(&journal, at(59), false), (0, 0));
        assert_eq!(write(&journal, at(60), false), (1, 1000));
        assert_eq!(write(&journal, at(120), false), (0, 0));
        assert!(journal.refusals.lock().unwrap().unverified.is_empty(), "a quiet kind must be forgotten");
    }

    #[test]
    fn a_flood_from_many_addresses_takes_bounded_memory_and_loses_no_count() {
        let journal = Journal::new();
        for address in 0..10_000 {
            refuse(&journal, ipv4(address), "unknown_key");
        }
        assert_eq!(journal.refusals.lock().unwrap().unverified.len(), MAX_REFUSALS + 1);
        let (rows, count) = write(&journal, at(0), false);
        assert_eq!((rows, count), (ROWS_PER_HOUR as usize + 1, 10_000));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_counted_as_one() {
        let journal = Journal::new();
        for host in 0..1024_u128 {
            refuse(&journal, IpAddr::from((0x2001_0db8_u128 << 96 | host).to_be_bytes()), "bad_signature");
        }
        let rows = journal.due_refusals(at(0), false, |_| Budget::Unverified.into());
        let [RefusalRow { refusals, .. }] = rows.as_slice() else { panic!("one row: {rows:?}") };
        let (kind, refusal) = &refusals[0];
        assert_eq!(kind.address, Some("2001:db8::".parse().unwrap()));
        assert_eq!((refusal.count, refusal.from_several_addresses), (1024, true));
        assert_eq!(refusal.address, Some("2001:db8::3ff".parse().unwrap()), "the last one in full");
    }

    #[test]
    fn a_day_of_refusals_from_changing_addresses_takes_a_bounded_number_of_rows_and_loses_no_count() {
        let journal = Journal::new();
        let (mut rows, mut count) = (0, 0);
        for minute in 0..24 * 60_u32 {
            // Many at first, later one at a time.
            let addresses = if minute < 60 { 1024 } else { 5 };
            for address in 0..addresses {
                refuse(&journal, ipv4(minute << 16 | address), "bad_signature");
            }
            let written = write(&journal, at(i64::from(minute) * 60), false);
            (rows, count) = (rows + written.0, count + written.1);
        }
        let (last, rest) = write(&journal, at(24 * 3600), true);
        assert_eq!(count + rest, 60 * 1024 + 23 * 60 * 5);
        assert!(rows + last <= 25 * (ROWS_PER_HOUR as usize + 6), "{rows} rows");
    }

    #[test]
    fn what_did_not_verify_takes_nothing_from_what_did() {
        let journal = Journal::new();
        for address in 0..10_000 {
            refuse(&journal, ipv4(address), "unknown_key");
        }
        let random = crate::system::SystemRandom;
        let key = ApiKeyId::generate(at(0), &random);
        let kind = RefusalKind { verified: true, key: Some(key), address: Some(ipv4(7)), code: "key_expired" };
        journal.note_refusal(kind.clone(), "key expired".into());
        let charge_of = |kind: &RefusalKind| {
            if kind.verified { Budget::Installation.into() } else { Budget::Unverified.into() }
        };
        let rows = journal.due_refusals(at(0), false, charge_of);
        let own: Vec<_> = rows.iter().filter(|row| row.charge == Budget::Installation.into()).collect();
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].refusals[0].0, kind, "it has a row of its own, with key and address");
    }

    #[test]
    fn a_row_that_several_workspaces_read_is_taken_from_the_budget_of_each() {
        let journal = Journal::new();
        let random = crate::system::SystemRandom;
        let places = [(); 3].map(|()| Budget::Workspace(WorkspaceId::generate(at(0), &random)));
        let refuse_and_write = |rows: u32, budgets: &[Budget]| {
            for address in 0..rows {
                let kind = RefusalKind { verified: true, key: None, address: Some(ipv4(address)), code: "key_revoked" };
                journal.note_refusal(kind, "key revoked".into());
            }
            let charge = Charge { budgets: budgets.to_vec(), rows: 1 };
            let rows = journal.due_refusals(at(0), false, |_| charge.clone());
            journal.refusals_written(&rows, at(0));
            rows.len()
        };
        assert_eq!(refuse_and_write(100, &places[..2]), 100);
        assert_eq!(refuse_and_write(100, &places[2..]), 0, "within a minute each kind is written once");
        let journal_rows = ROWS_PER_HOUR as usize;
        let write_others = |first: u32, budgets: &[Budget]| {
            for address in 0..1000 {
                let address = Some(ipv4(first << 16 | address));
                let kind = RefusalKind { verified: true, key: None, address, code: "key_revoked" };
                journal.note_refusal(kind, "key revoked".into());
            }
            let charge = Charge { budgets: budgets.to_vec(), rows: 1 };
            let rows = journal.due_refusals(at(0), false, |_| charge.clone());
            journal.refusals_written(&rows, at(0));
            rows.iter().filter(|row| !row.is_beyond).count()
        };
        assert_eq!(write_others(1, &places[1..]), journal_rows - 100, "the second has 100 rows already");
    }

    #[test]
    fn a_reason_is_cut_where_it_is_longer_than_anybody_reads() {
        let journal = Journal::new();
        let kind = RefusalKind { verified: false, key: None, address: None, code: "malformed" };
        journal.note_refusal(kind, "ä".repeat(16_000));
        let rows = journal.due_refusals(at(0), false, |_| Budget::Unverified.into());
        assert_eq!(rows[0].refusals[0].1.reason.chars().count(), MAX_REASON);
    }
}
