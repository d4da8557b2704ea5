//! Records of refused requests. They are kept in memory, with a limit, until they are written. Each audit log has a
//! budget of rows for them.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use domain::{ApiKeyId, Timestamp, WorkspaceId};

use crate::network::network_of;

/// The maximum number of kinds of refusals that are counted separately, each for verified and for unverified ones. The
/// rest is counted together.
const MAX_REFUSALS: usize = 1024;
/// The minimum interval between two records of one kind of refusal.
const REFUSAL_INTERVAL_SECONDS: i64 = 60;
/// The rows of one budget in an hour. Further refusals are counted together.
const ROWS_PER_HOUR: u32 = 240;
/// How often a row with merged refusals is written.
const MERGED_INTERVAL_SECONDS: i64 = 600;
/// The maximum length of a reason in characters.
const MAX_REASON: usize = 300;
const HOUR_SECONDS: i64 = 3600;

/// The values by which refusals are counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RefusalKind {
    /// Whether the credential was verified, so that the client holds the key. Any client can send the id of any key.
    pub verified: bool,
    /// The key, if it was found.
    pub key: Option<ApiKeyId>,
    /// The origin of the request: an IPv4 address or the /64 of an IPv6 address. `None` if there are too many origins.
    pub ip_address: Option<IpAddr>,
    /// The code of the reason.
    pub code: &'static str,
}

/// Refusals of one kind that are not written yet.
#[derive(Clone, Default, Debug)]
pub struct Refusals {
    /// Their number.
    pub count: u64,
    /// The reason of the last refusal, as text.
    pub reason: String,
    /// The full IP address of the last refusal.
    pub ip_address: Option<IpAddr>,
    /// When the first and the last request was refused.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Whether they came from more than one IP address.
    pub from_several_ip_addresses: bool,
    written_at: Option<Timestamp>,
}

/// The audit log that a row of refusals belongs to. Each has its own budget of rows, so that no client fills the log of
/// another workspace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Budget {
    /// All unverified requests, with any key.
    Unverified,
    /// Verified requests with a key that this workspace may read about.
    Workspace(WorkspaceId),
    /// Verified requests with any other key.
    Installation,
}

impl Budget {
    /// Returns the workspace of the budget.
    #[must_use]
    pub const fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::Workspace(workspace) => Some(*workspace),
            Self::Unverified | Self::Installation => None,
        }
    }
}

/// The budgets that the rows of a refusal are taken from. Every workspace of a user may read about the user's keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Charge {
    /// At least one budget, without duplicates.
    pub budgets: Vec<Budget>,
    /// How many rows are taken from each.
    pub rows: u32,
}

impl From<Budget> for Charge {
    fn from(budget: Budget) -> Self {
        Self { budgets: vec![budget], rows: 1 }
    }
}

/// A row to write in each workspace that may read it. It contains refusals of one kind or, if the budget is used up, of
/// several kinds.
#[derive(Clone, Debug)]
pub struct RefusalRow {
    /// The budgets that it is taken from.
    pub charge: Charge,
    /// The refusals in it.
    pub refusals: Vec<(RefusalKind, Refusals)>,
    /// Whether it is written because the budget is used up.
    is_beyond: bool,
}

/// The rows of one budget in the current hour.
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

fn has_passed(since: Option<Timestamp>, interval_seconds: i64, now: Timestamp) -> bool {
    since.is_none_or(|since| now.as_second() - since.as_second() >= interval_seconds)
}

#[derive(Default)]
struct RefusalCounts {
    verified: HashMap<RefusalKind, Refusals>,
    unverified: HashMap<RefusalKind, Refusals>,
    spent: HashMap<Budget, Spent>,
}

/// The refusals that are not written yet.
#[derive(Default)]
pub struct RefusalRecords {
    counts: Mutex<RefusalCounts>,
}

impl RefusalRecords {
    /// Records that a request was refused at `now`.
    pub fn record(&self, mut kind: RefusalKind, mut reason: String, now: Timestamp) {
        if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
            reason.truncate(end);
        }
        let ip_address = kind.ip_address;
        kind.ip_address = ip_address.map(network_of);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = if kind.verified { &mut counts.verified } else { &mut counts.unverified };
        if counts.len() >= MAX_REFUSALS && !counts.contains_key(&kind) {
            kind = RefusalKind { key: None, ip_address: None, ..kind };
        }
        let refusal = counts.entry(kind).or_default();
        refusal.from_several_ip_addresses |= refusal.count > 0 && refusal.ip_address != ip_address;
        refusal.count += 1;
        refusal.reason = reason;
        refusal.ip_address = ip_address;
        let (first, last) = refusal.times.unwrap_or((now, now));
        // Two requests may be recorded in another order than their clocks were read.
        refusal.times = Some((first.min(now), last.max(now)));
    }

    /// Returns the rows that are due. Each new kind is due immediately, and then once a minute while its budget lasts.
    /// Refusals above the budget are due in one row every ten minutes. With `all`, all refusals are due.
    #[must_use]
    pub fn due(&self, now: Timestamp, all: bool, charge_of: impl Fn(&RefusalKind) -> Charge) -> Vec<RefusalRow> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |refusal: &Refusals| {
            refusal.count > 0 && (all || has_passed(refusal.written_at, REFUSAL_INTERVAL_SECONDS, now))
        };
        let waiting = counts.verified.iter().chain(&counts.unverified);
        let mut due: Vec<(RefusalKind, Refusals)> =
            waiting.filter(|(_, refusal)| is_due(refusal)).map(|(kind, r)| (kind.clone(), r.clone())).collect();
        // Refusals with a key come first, then the most frequent.
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
            // The first row that exceeds the rest of a budget ends the list.
            if charge.budgets.iter().all(|budget| left.get(budget).is_some_and(|left| *left > 0)) {
                for budget in &charge.budgets {
                    left.entry(*budget).and_modify(|left| *left = left.saturating_sub(charge.rows));
                }
                rows.push(RefusalRow { charge, refusals: vec![refusals], is_beyond: false });
            } else if all || charge.budgets.iter().all(|b| has_passed(spent(b).beyond_at, MERGED_INTERVAL_SECONDS, now))
            {
                beyond.entry(charge).or_default().push(refusals);
            }
        }
        let beyond = beyond.into_iter();
        rows.extend(beyond.map(|(charge, refusals)| RefusalRow { charge, refusals, is_beyond: true }));
        rows
    }

    /// Subtracts the written refusals, and removes kinds and budgets without recent refusals.
    pub fn mark_written(&self, written: &[RefusalRow], now: Timestamp) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
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
                    kept.from_several_ip_addresses &= kept.count > 0;
                    // Those that are left were refused after the others were read.
                    kept.times = kept.times.filter(|_| kept.count > 0).map(|(_, last)| (now.min(last), last));
                }
            }
        }
        for counts in [verified, unverified] {
            counts.retain(|_, refusal| {
                refusal.count > 0 || !has_passed(refusal.written_at, REFUSAL_INTERVAL_SECONDS, now)
            });
        }
        spent.retain(|_, spent| {
            spent.hour == hour_of(now) || spent.beyond_at.is_some() && !has_passed(spent.beyond_at, HOUR_SECONDS, now)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use domain::Random;

    use super::*;

    /// A generator that returns different bytes at each call.
    struct Numbered(AtomicU8);

    impl Random for Numbered {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn refuse(records: &RefusalRecords, ip_address: IpAddr, code: &'static str) {
        records.record(
            RefusalKind { verified: false, key: None, ip_address: Some(ip_address), code },
            "a reason".into(),
            at(0),
        );
    }

    fn ipv4(ip_address: u32) -> IpAddr {
        IpAddr::from(ip_address.to_be_bytes())
    }

    /// Writes the rows that are due, and returns the number of rows and of refusals in them.
    fn write(records: &RefusalRecords, now: Timestamp, all: bool) -> (usize, u64) {
        let rows = records.due(now, all, |_| Budget::Unverified.into());
        records.mark_written(&rows, now);
        (rows.len(), rows.iter().flat_map(|row| &row.refusals).map(|(_, refusal)| refusal.count).sum())
    }

    #[test]
    fn a_refusal_is_written_at_once_and_then_once_a_minute_with_its_count() {
        let records = RefusalRecords::default();
        refuse(&records, ipv4(1), "stale");
        assert_eq!(write(&records, at(0), false), (1, 1));
        for _ in 0..1000 {
            refuse(&records, ipv4(1), "stale");
        }
        assert_eq!(write(&records, at(59), false), (0, 0));
        assert_eq!(write(&records, at(60), false), (1, 1000));
        assert_eq!(write(&records, at(120), false), (0, 0));
        assert!(records.counts.lock().unwrap().unverified.is_empty(), "a quiet kind must be forgotten");
    }

    #[test]
    fn a_flood_from_many_addresses_takes_bounded_memory_and_loses_no_count() {
        let records = RefusalRecords::default();
        for ip_address in 0..10_000 {
            refuse(&records, ipv4(ip_address), "unknown_key");
        }
        assert_eq!(records.counts.lock().unwrap().unverified.len(), MAX_REFUSALS + 1);
        let (rows, count) = write(&records, at(0), false);
        assert_eq!((rows, count), (ROWS_PER_HOUR as usize + 1, 10_000));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_counted_as_one() {
        let records = RefusalRecords::default();
        for host in 0..1024_u128 {
            refuse(&records, IpAddr::from((0x2001_0db8_u128 << 96 | host).to_be_bytes()), "bad_signature");
        }
        let rows = records.due(at(0), false, |_| Budget::Unverified.into());
        let [RefusalRow { refusals, .. }] = rows.as_slice() else { panic!("one row: {rows:?}") };
        let (kind, refusal) = &refusals[0];
        assert_eq!(kind.ip_address, Some("2001:db8::".parse().unwrap()));
        assert_eq!((refusal.count, refusal.from_several_ip_addresses), (1024, true));
        assert_eq!(refusal.ip_address, Some("2001:db8::3ff".parse().unwrap()), "the last one in full");
    }

    #[test]
    fn a_day_of_refusals_from_changing_addresses_takes_a_bounded_number_of_rows_and_loses_no_count() {
        let records = RefusalRecords::default();
        let (mut rows, mut count) = (0, 0);
        for minute in 0..24 * 60_u32 {
            // There are many addresses at first, and one at a time later.
            let addresses = if minute < 60 { 1024 } else { 5 };
            for ip_address in 0..addresses {
                refuse(&records, ipv4(minute << 16 | ip_address), "bad_signature");
            }
            let written = write(&records, at(i64::from(minute) * 60), false);
            (rows, count) = (rows + written.0, count + written.1);
        }
        let (last, rest) = write(&records, at(24 * 3600), true);
        assert_eq!(count + rest, 60 * 1024 + 23 * 60 * 5);
        assert!(rows + last <= 25 * (ROWS_PER_HOUR as usize + 6), "{rows} rows");
    }

    #[test]
    fn unverified_refusals_do_not_use_the_budget_of_verified_ones() {
        let records = RefusalRecords::default();
        for ip_address in 0..10_000 {
            refuse(&records, ipv4(ip_address), "unknown_key");
        }
        let random = Numbered(AtomicU8::new(1));
        let key = ApiKeyId::generate(at(0), &random);
        let kind = RefusalKind { verified: true, key: Some(key), ip_address: Some(ipv4(7)), code: "key_expired" };
        records.record(kind.clone(), "key expired".into(), at(0));
        let charge_of = |kind: &RefusalKind| {
            if kind.verified { Budget::Installation.into() } else { Budget::Unverified.into() }
        };
        let rows = records.due(at(0), false, charge_of);
        let own: Vec<_> = rows.iter().filter(|row| row.charge == Budget::Installation.into()).collect();
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].refusals[0].0, kind, "it has a row of its own, with key and address");
    }

    #[test]
    fn a_row_that_several_workspaces_read_is_taken_from_the_budget_of_each() {
        let records = RefusalRecords::default();
        let random = Numbered(AtomicU8::new(1));
        let places = [(); 3].map(|()| Budget::Workspace(WorkspaceId::generate(at(0), &random)));
        let refuse_and_write = |rows: u32, budgets: &[Budget]| {
            for ip_address in 0..rows {
                let kind =
                    RefusalKind { verified: true, key: None, ip_address: Some(ipv4(ip_address)), code: "key_revoked" };
                records.record(kind, "key revoked".into(), at(0));
            }
            let charge = Charge { budgets: budgets.to_vec(), rows: 1 };
            let rows = records.due(at(0), false, |_| charge.clone());
            records.mark_written(&rows, at(0));
            rows.len()
        };
        assert_eq!(refuse_and_write(100, &places[..2]), 100);
        assert_eq!(refuse_and_write(100, &places[2..]), 0, "within a minute each kind is written once");
        let budget_rows = ROWS_PER_HOUR as usize;
        let write_others = |first: u32, budgets: &[Budget]| {
            for ip_address in 0..1000 {
                let ip_address = Some(ipv4(first << 16 | ip_address));
                let kind = RefusalKind { verified: true, key: None, ip_address, code: "key_revoked" };
                records.record(kind, "key revoked".into(), at(0));
            }
            let charge = Charge { budgets: budgets.to_vec(), rows: 1 };
            let rows = records.due(at(0), false, |_| charge.clone());
            records.mark_written(&rows, at(0));
            rows.iter().filter(|row| !row.is_beyond).count()
        };
        assert_eq!(write_others(1, &places[1..]), budget_rows - 100, "the second has 100 rows already");
    }

    #[test]
    fn a_row_has_the_times_of_its_first_and_last_request() {
        let records = RefusalRecords::default();
        let kind = || RefusalKind { verified: false, key: None, ip_address: None, code: "stale" };
        let times = |now: i64| {
            let rows = records.due(at(now), true, |_| Budget::Unverified.into());
            records.mark_written(&rows, at(now));
            rows[0].refusals[0].1.times.unwrap()
        };
        for second in [7, 3, 5] {
            records.record(kind(), "stale".into(), at(second));
        }
        assert_eq!(times(60), (at(3), at(7)));
        records.record(kind(), "stale".into(), at(70));
        assert_eq!(times(130), (at(70), at(70)), "the written ones do not count again");
    }

    #[test]
    fn a_long_reason_is_cut() {
        let records = RefusalRecords::default();
        let kind = RefusalKind { verified: false, key: None, ip_address: None, code: "malformed" };
        records.record(kind, "ä".repeat(16_000), at(0));
        let rows = records.due(at(0), false, |_| Budget::Unverified.into());
        assert_eq!(rows[0].refusals[0].1.reason.chars().count(), MAX_REASON);
    }
}
