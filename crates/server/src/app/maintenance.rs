//! Background maintenance: writes the records of uses and refusals and the counters of use, and deletes expired data.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, Weak},
    time::Duration,
};

use domain::{AuditEventId, Timestamp, WorkspaceId};
use store::{StoreError, Version, api_key::KeyUse, audit::RefusalRecord, key_use::KeyUseCounts, replay::Epoch};
use verifier::{
    refusal_records::{Budget, RefusalRow},
    use_records::{CountedUse, Use, UseRecords},
};

use super::App;
use crate::error::AppError;

/// The maximum delay before a use or a refusal is written, while the store answers.
const INTERVAL: Duration = Duration::from_secs(1);
/// The number of intervals between two writes of the counter of a key. Nodes add to the same rows, so they do it rarely.
const COUNTERS_EVERY: u32 = 10;
/// The maximum number of queued uses, or of counters, that one transaction writes while the server runs. On one processor
/// core, requests wait while the database engine works: less than a millisecond for this many.
const BATCH: usize = 64;
/// The part of an interval over which the transactions are spread.
const SPREAD: Duration = Duration::from_millis(400);
/// The number of intervals between two deletions of expired data.
const EXPIRY_EVERY: u32 = 60;
/// The number of intervals between two searches for keys that are not used.
const UNUSED_EVERY: u32 = 3600;
/// How long a replay is kept on this node's clock since boot. It is longer than the maximum lifetime of a signature,
/// from the earliest to the latest clock of any node (7 minutes), plus the transaction that stores it.
const REPLAYS_KEPT: Duration = Duration::from_mins(10);
/// How long sessions are kept after they have expired, for nodes whose wall clocks are behind.
const SESSIONS_KEPT: Duration = Duration::from_hours(24);
/// The maximum number of old counters that one transaction deletes, and the number of such transactions at a time.
const OLD_COUNTERS: i64 = 1000;
const OLD_COUNTERS_BATCHES: u32 = 20;
/// How many changes a node may be behind without loading everything.
const KEPT_CHANGES: u64 = 100_000;

/// Writes the records of uses and refusals, and deletes expired data, until the app is dropped or the task is aborted.
pub(super) async fn run_maintenance(app: Weak<App>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut round = 0_u32;
    let mut counters = DueCounters::default();
    loop {
        ticks.tick().await;
        let Some(app) = app.upgrade() else { return };
        app.metrics.drain_histograms();
        if round.is_multiple_of(COUNTERS_EVERY) {
            counters = DueCounters::of(app.verifier.uses().counters());
        }
        if let Err(error) = app.write_due_records(counters.take()).await {
            tracing::error!(?error, "uses and refusals could not be written; they are kept and written later");
        }
        if round.is_multiple_of(EXPIRY_EVERY)
            && let Err(error) = app.forget_expired().await
        {
            tracing::error!(?error, "what has expired could not be removed; it is tried again in a minute");
        }
        if round.is_multiple_of(UNUSED_EVERY)
            && let Err(error) = app.disable_unused_keys().await
        {
            tracing::error!(?error, "keys that are not used could not be disabled; it is tried again in an hour");
        }
        round = round.wrapping_add(1);
    }
}

impl App {
    /// Writes the pending uses and counters, and the refusals that are due.
    ///
    /// # Errors
    /// The store does not answer. The records are kept.
    pub async fn write_records(&self) -> Result<(), AppError> {
        self.write_uses().await?;
        self.write_counters().await?;
        self.write_refusals(false).await
    }

    /// Writes the pending uses, this many counters, and the refusals that are due. Pauses between transactions, so that
    /// requests do not wait for a long time on a processor core that does both.
    async fn write_due_records(&self, counters: usize) -> Result<(), AppError> {
        let batches = |entries: usize| u32::try_from(entries.div_ceil(BATCH)).unwrap_or(u32::MAX).max(1);
        let records = self.verifier.uses();
        let use_batches = batches(records.queued());
        for _ in 0..use_batches {
            self.write_taken_uses(records.take_first(BATCH)).await?;
            tokio::time::sleep(SPREAD / use_batches).await;
        }
        let counter_batches = batches(counters);
        for _ in 0..counter_batches {
            self.write_taken_counters(records.take_some_counts(BATCH.min(counters))).await?;
            tokio::time::sleep(SPREAD / counter_batches).await;
        }
        self.write_refusals(false).await
    }

    /// Writes all pending uses and refusals, due or not, because this process ends.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) async fn write_all_records(&self) -> Result<(), AppError> {
        self.write_uses().await?;
        self.write_counters().await?;
        self.write_refusals(true).await
    }

    /// Writes the pending uses. A revocation does this first, and depends on nothing else.
    pub(super) async fn write_uses(&self) -> Result<(), AppError> {
        self.write_taken_uses(self.verifier.uses().take()).await
    }

    async fn write_taken_uses(&self, uses: Vec<Use>) -> Result<(), AppError> {
        if uses.is_empty() {
            return Ok(());
        }
        let taken = TakenUses { records: self.verifier.uses(), uses };
        let rows: Vec<KeyUse> = taken
            .uses
            .iter()
            .map(|used| KeyUse {
                key: used.key,
                at: used.at,
                ip_address: used.ip_address.map(|ip_address| ip_address.to_string()),
                accepted: used.accepted,
            })
            .collect();
        let rows = rows.as_slice();
        store::retry(|| async move {
            let mut maintenance = self.store.begin_maintenance().await?;
            store::api_key::record_key_uses(&mut maintenance, rows).await?;
            maintenance.commit().await
        })
        .await?;
        taken.were_written();
        Ok(())
    }

    /// Adds the requests since the last time to the counters of use.
    async fn write_counters(&self) -> Result<(), AppError> {
        self.write_taken_counters(self.verifier.uses().take_counts()).await
    }

    async fn write_taken_counters(&self, counted: Vec<CountedUse>) -> Result<(), AppError> {
        if counted.is_empty() {
            return Ok(());
        }
        let counters: Vec<KeyUseCounts> = counted
            .iter()
            .map(|counted| KeyUseCounts { key: counted.key, at: counted.hour, counts: counted.counts })
            .collect();
        let counters = counters.as_slice();
        let written: Result<(), StoreError> = store::retry(|| async move {
            let mut maintenance = self.store.begin_maintenance().await?;
            store::key_use::record_use_counts(&mut maintenance, counters).await?;
            maintenance.commit().await
        })
        .await;
        if written.is_err() {
            self.verifier.uses().put_back_counts(counted);
        }
        Ok(written?)
    }

    async fn write_refusals(&self, all: bool) -> Result<(), AppError> {
        let _one_at_a_time = self.refusal_writes.lock().await;
        let now = self.clock.now();
        let due = self.verifier.due_refusals(now, all);
        if due.is_empty() {
            return Ok(());
        }
        let records: Vec<RefusalRecord> = due.iter().flat_map(|row| self.refusal_records(row, now)).collect();
        store::retry(|| self.store.record_refusals(&records, now)).await?;
        self.verifier.refusals().mark_written(&due, now);
        Ok(())
    }

    /// Returns the records of a row, one for each workspace that may read it.
    fn refusal_records(&self, row: &RefusalRow, now: Timestamp) -> Vec<RefusalRecord> {
        let places: Vec<WorkspaceId> = match row.refusals.as_slice() {
            [(kind, _)] => self.verifier.find_readers(kind).map_or(Vec::new(), |readers| readers.workspaces),
            _ => row.charge.budgets.iter().filter_map(Budget::workspace).collect(),
        };
        let record = self.refusal_record(row, now);
        let in_place = |place| RefusalRecord {
            id: AuditEventId::generate(now, self.random.as_ref()),
            workspace: Some(place),
            ..record.clone()
        };
        if places.is_empty() { vec![record] } else { places.into_iter().map(in_place).collect() }
    }

    fn refusal_record(&self, row: &RefusalRow, now: Timestamp) -> RefusalRecord {
        let mut record = RefusalRecord {
            id: AuditEventId::generate(now, self.random.as_ref()),
            workspace: None,
            key: None,
            owner: None,
            ip_address: None,
            detail: BTreeMap::new(),
        };
        let count: u64 = row.refusals.iter().map(|(_, refusals)| refusals.count).sum();
        let mut detail = |name: &str, value: String| record.detail.insert(name.to_owned(), value);
        detail("count", count.to_string());
        // Any client can send the id of any key. Only its holder can create a valid credential.
        let verified = !row.charge.budgets.contains(&Budget::Unverified);
        detail("verified", verified.to_string());
        let times = || row.refusals.iter().filter_map(|(_, refusals)| refusals.times);
        if let (Some(first), Some(last)) = (times().map(|(first, _)| first).min(), times().map(|(_, last)| last).max())
        {
            detail("first_at", first.to_string());
            detail("last_at", last.to_string());
        }
        if let [(kind, refusals)] = row.refusals.as_slice() {
            detail("code", kind.code.to_owned());
            detail("reason", refusals.reason.clone());
            if let (true, Some(network)) = (refusals.from_several_ip_addresses, kind.ip_address) {
                detail("addresses", format!("several of {network}/64"));
            }
            if let Some(readers) = self.verifier.find_readers(kind) {
                detail("fingerprint", readers.fingerprint.to_string());
                record.owner = Some(readers.owner);
            }
            record.key = kind.key;
            record.ip_address = kind.ip_address.and(refusals.ip_address);
        } else {
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for (kind, refusals) in &row.refusals {
                *counts.entry(kind.code).or_default() += refusals.count;
            }
            let counts: Vec<String> = counts.into_iter().map(|(code, count)| format!("{code} {count}")).collect();
            detail("code", "several".to_owned());
            detail("codes", counts.join(", "));
            detail("kinds", row.refusals.len().to_string());
            let reason = "more different refusals than get a row of their own in an hour, counted together";
            detail("reason", reason.to_owned());
        }
        record
    }

    /// Deletes data that has expired for every node, including nodes whose wall clocks are behind. A server does this
    /// once a minute.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn forget_expired(&self) -> Result<(), AppError> {
        Ok(self.delete_expired().await?)
    }

    async fn delete_expired(&self) -> Result<(), StoreError> {
        let now: Timestamp = self.clock.now();
        let mut maintenance = self.store.begin_maintenance().await?;
        if let Some(before) = self.replay_epochs.latest_expired(self.clock.since_boot()) {
            store::replay::delete_expired(&mut maintenance, before, now).await?;
        }
        if let Ok(long_ago) = now.checked_sub(SESSIONS_KEPT) {
            store::session::delete_expired_sessions(&mut maintenance, long_ago).await?;
        }
        maintenance.commit().await?;
        self.delete_old_use_counters(now).await?;
        // In its own transaction, because it takes the locked row.
        let mut maintenance = self.store.begin_maintenance().await?;
        let epoch = store::replay::begin_epoch(&mut maintenance).await?;
        let version = store::change::current_version(&mut maintenance).await?;
        if let Some(old) = version.0.checked_sub(KEPT_CHANGES) {
            store::change::prune_changes(&mut maintenance, Version(old)).await?;
        }
        maintenance.commit().await?;
        self.replay_epochs.note(epoch, self.clock.since_boot());
        Ok(())
    }

    /// Deletes old counters in several short transactions, so that other writes do not wait for long.
    async fn delete_old_use_counters(&self, now: Timestamp) -> Result<(), StoreError> {
        for _ in 0..OLD_COUNTERS_BATCHES {
            let mut maintenance = self.store.begin_maintenance().await?;
            let deleted = store::key_use::delete_old_use_counters(&mut maintenance, now, OLD_COUNTERS).await?;
            maintenance.commit().await?;
            if deleted < OLD_COUNTERS.unsigned_abs() {
                break;
            }
        }
        Ok(())
    }
}

/// Uses that are being written. They are put back if that fails, or if the task ends before.
struct TakenUses<'a> {
    records: &'a UseRecords,
    uses: Vec<Use>,
}

impl TakenUses<'_> {
    fn were_written(mut self) {
        self.uses.clear();
    }
}

impl Drop for TakenUses<'_> {
    fn drop(&mut self) {
        self.records.put_back(std::mem::take(&mut self.uses));
    }
}

/// The counters that are written during [`COUNTERS_EVERY`] intervals, a part of them in each.
#[derive(Clone, Copy, Default)]
struct DueCounters {
    left: usize,
    per_interval: usize,
}

impl DueCounters {
    fn of(counters: usize) -> Self {
        let part = usize::try_from(COUNTERS_EVERY).map_or(counters, |intervals| counters.div_ceil(intervals));
        Self { left: counters, per_interval: part.max(BATCH) }
    }

    /// Returns how many counters are written in this interval.
    fn take(&mut self) -> usize {
        let part = self.left.min(self.per_interval);
        self.left -= part;
        part
    }
}

/// The epochs that this node began, each with the time since boot, the earliest first.
#[derive(Debug, Default)]
pub(super) struct ReplayEpochs(Mutex<VecDeque<(Epoch, Duration)>>);

impl ReplayEpochs {
    fn note(&self, epoch: Epoch, now: Duration) {
        if let Ok(mut epochs) = self.0.lock() {
            epochs.push_back((epoch, now));
        }
    }

    /// Returns the latest epoch that began so long ago that every signature from before it has expired. Removes earlier
    /// ones.
    fn latest_expired(&self, now: Duration) -> Option<Epoch> {
        let mut epochs = self.0.lock().ok()?;
        let has_expired = |&(_, began): &(Epoch, Duration)| began + REPLAYS_KEPT <= now;
        while epochs.get(1).is_some_and(has_expired) {
            epochs.pop_front();
        }
        epochs.front().filter(|first| has_expired(first)).map(|(epoch, _)| *epoch)
    }
}
