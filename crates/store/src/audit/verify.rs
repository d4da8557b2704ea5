//! Verification of the audit log: each leaf is compared with the columns of its event, each subtree with the head, and
//! the whole log with a checkpoint that was stored elsewhere.

use std::fmt;

use domain::{
    AuditEvent, Checkpoint, Timestamp,
    checkpoint::VerifierKey,
    merkle::{CompactRange, Hash},
};

use super::{AUDIT_EVENTS, EventRow, RESTORE_ACTION, RESTORE_STATEMENT, hash_from};
use crate::{
    Row, StoreError,
    connection::{Connection, FromRow as _},
    params,
};

/// How many events are read at a time.
const CHUNK: i64 = 512;

/// How many findings are listed. A renumbered log would have one for every event.
const FINDINGS_MAX: usize = 100;

/// Evidence that the log was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// A column of an event, or its leaf hash, was changed.
    Altered {
        /// The number of the event.
        seq: u64,
        /// The id that the row has now.
        id: String,
        /// The difference.
        what: String,
    },
    /// Events were deleted from the middle of the log, or from its end without an update of the head.
    Missing {
        /// The first deleted event.
        first: u64,
        /// The last deleted event.
        last: u64,
    },
    /// A row has a number that the log has not reached.
    Unexpected {
        /// The number in the row.
        seq: String,
    },
    /// Events were changed together with their leaf hashes. They do not match the head of the log.
    Rewritten {
        /// The first event that may have been changed.
        first: u64,
        /// The last event that may have been changed.
        last: u64,
    },
    /// The head of the log cannot be read.
    Head {
        /// The error.
        what: String,
    },
    /// The log is shorter than it was when the checkpoint was signed.
    Truncated {
        /// The number of events now.
        size: u64,
        /// The number of events in the checkpoint.
        checkpoint_size: u64,
    },
    /// The events that the checkpoint was signed over are not those of the log.
    Forked {
        /// The number of events in the checkpoint.
        checkpoint_size: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { seq, id, what } => write!(f, "event {seq} ({id}) was changed after it was written: {what}"),
            Self::Missing { first, last } if first == last => write!(f, "event {first} was deleted"),
            Self::Missing { first, last } => write!(f, "events {first} to {last} were deleted"),
            Self::Unexpected { seq } => {
                write!(f, "the row with the number {seq} was inserted: the log has fewer events")
            }
            Self::Rewritten { first, last } if first == last => {
                write!(f, "event {first} was changed together with its leaf hash")
            }
            Self::Rewritten { first, last } => {
                write!(f, "at least one of the events {first} to {last} was changed together with its leaf hash")
            }
            Self::Head { what } => write!(f, "the head of the log was changed: {what}"),
            Self::Truncated { size, checkpoint_size } => write!(
                f,
                "events {size} to {} were removed: the checkpoint was signed over {checkpoint_size} events, of which \
                 {size} are left",
                checkpoint_size - 1
            ),
            Self::Forked { checkpoint_size } => write!(
                f,
                "the first {checkpoint_size} events are not those that the checkpoint was signed over: the history was \
                 rewritten"
            ),
        }
    }
}

/// A checkpoint that the log was not compared with: it covers events that came after a backup, and a later restore of
/// that backup lost them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissedCheckpoint {
    /// The number of events in the checkpoint.
    pub checkpoint_size: u64,
    /// The number of the restore's event, which equals the number of events in the backup.
    pub restored_at: u64,
    /// The time of the restore.
    pub at: Timestamp,
}

impl fmt::Display for MissedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoint_size, restored_at, at } = self;
        write!(
            f,
            "the checkpoint cannot be compared after the restore: it covers {checkpoint_size} events, but a backup of {restored_at} events was \
             restored at {at:.0}, and the events after those were lost. Sign a new checkpoint, and store it on another machine"
        )
    }
}

/// The result of a verification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyReport {
    /// The number of events in the log, by its head.
    pub size: u64,
    /// The root of the log, by its head, if it can be read.
    pub root: Option<Hash>,
    /// The findings, up to a limit.
    pub findings: Vec<Finding>,
    /// The number of findings above that limit.
    pub more_findings: u64,
    /// Why the log was not compared with the checkpoint, if it was not.
    pub missed_checkpoint: Option<MissedCheckpoint>,
}

impl VerifyReport {
    /// Returns whether there are no findings.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// Verifies the log as it is now, while it may keep growing. Without a checkpoint, this cannot detect a log that was
/// rewritten completely, including its head. The caller must have verified the checkpoint
/// ([`domain::checkpoint::VerifierKey::open`]).
///
/// # Errors
/// The database does not answer, or its file is too damaged to be read. Data that can be read and is wrong is in the
/// report.
pub async fn verify_log(
    connection: &mut Connection,
    checkpoint: Option<&Checkpoint>,
) -> Result<VerifyReport, StoreError> {
    verify_log_against(connection, checkpoint, &[]).await
}

/// As [`verify_log`], with the keys that sign [restores](super::restore_statement). A checkpoint of events that a
/// restore lost is not a fork: the report states that the log was not compared with it. A restore that was not signed
/// with one of these keys has no effect.
///
/// # Errors
/// As those of [`verify_log`].
pub async fn verify_log_against(
    connection: &mut Connection,
    checkpoint: Option<&Checkpoint>,
    restore_keys: &[VerifierKey],
) -> Result<VerifyReport, StoreError> {
    let mut report =
        VerifyReport { size: 0, root: None, findings: Vec::new(), more_findings: 0, missed_checkpoint: None };
    let head = read_head(connection, &mut report).await?;
    let mut scan =
        Scan { next: 0, log: Some(CompactRange::new()), altered: Vec::new(), checkpoint, restore_keys, restore: None };
    scan.compare_checkpoint(&mut report);
    while scan.next < report.size {
        // A number that is no integer is reported together with the numbers that the log has not reached.
        let rows = connection
            .fetch_all(
                AUDIT_EVENTS.select_with(
                    "audit_events.seq, audit_events.leaf_hash",
                    "WHERE seq >= $1 AND seq < $2 AND seq = CAST(seq AS BIGINT) ORDER BY seq LIMIT $3",
                ),
                params![scan.next.cast_signed(), report.size.cast_signed(), CHUNK],
            )
            .await?;
        for row in &rows {
            let seq = row.count("seq")?;
            scan.pass_gap(seq, &mut report);
            scan.pass_event(seq, row, &mut report);
        }
        if rows.is_empty() {
            scan.pass_gap(report.size, &mut report);
        }
    }
    if let Some(head) = head {
        scan.compare_head(&head, &mut report);
    }
    if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.size > report.size) {
        let finding = Finding::Truncated { size: report.size, checkpoint_size: checkpoint.size };
        scan.contradict(checkpoint, finding, &mut report);
    }
    Ok(report)
}

/// Reads the head of the log, and finds the rows that it does not cover. It uses one statement, because the log may
/// grow.
async fn read_head(connection: &mut Connection, report: &mut VerifyReport) -> Result<Option<CompactRange>, StoreError> {
    let rows = connection
        .fetch_all(
            "SELECT installation.audit_size, installation.audit_range, CAST(audit_events.seq AS TEXT) AS stray
             FROM installation LEFT JOIN audit_events ON audit_events.seq < 0
                 OR audit_events.seq >= installation.audit_size OR audit_events.seq <> CAST(audit_events.seq AS BIGINT)
             WHERE installation.id = 1 ORDER BY audit_events.seq LIMIT $1",
            params![CHUNK],
        )
        .await?;
    let Some(first) = rows.first() else {
        report.find(Finding::Head { what: "it is missing".into() });
        return Ok(None);
    };
    let head = first.count("audit_size").and_then(|size| {
        report.size = size;
        CompactRange::from_bytes(size, &first.bytes("audit_range")?)
            .map_err(|error| StoreError::corrupt(error.to_string()))
    });
    for row in &rows {
        if let Some(seq) = row.opt_text("stray")? {
            report.find(Finding::Unexpected { seq });
        }
    }
    match head {
        Ok(head) => {
            report.root = Some(head.root());
            Ok(Some(head))
        }
        Err(StoreError::Corrupt { what }) => {
            report.find(Finding::Head { what });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// One pass over all events.
struct Scan<'a> {
    /// The number of the next event.
    next: u64,
    /// The tree so far. `None` after a missing event.
    log: Option<CompactRange>,
    /// The altered events.
    altered: Vec<u64>,
    checkpoint: Option<&'a Checkpoint>,
    restore_keys: &'a [VerifierKey],
    /// The latest signed restore: its number and time.
    restore: Option<(u64, Timestamp)>,
}

impl Scan<'_> {
    fn pass_gap(&mut self, found: u64, report: &mut VerifyReport) {
        if found > self.next {
            report.find(Finding::Missing { first: self.next, last: found - 1 });
            self.log = None;
            self.next = found;
        }
    }

    fn pass_event(&mut self, seq: u64, row: &Row, report: &mut VerifyReport) {
        let stored = row.bytes("leaf_hash").ok().and_then(|bytes| hash_from(&bytes));
        let event = read_event(row);
        if let Ok(event) = &event {
            self.pass_restore(seq, event);
        }
        let computed = event.as_ref().ok().map(|event| event.leaf_hash(seq));
        let what = match event {
            Err(what) => Some(what),
            Ok(_) if stored != computed => Some("its columns do not match its leaf hash".to_owned()),
            Ok(_) => None,
        };
        if let Some(what) = what {
            let id = row.text("id").unwrap_or_else(|_| "its id cannot be read".to_owned());
            report.find(Finding::Altered { seq, id, what });
            self.altered.push(seq);
        }
        if let Some(log) = &mut self.log {
            // The stored hash is used, so that one altered event does not hide other changes.
            log.append(stored.or(computed).unwrap_or(Hash([0; 32])));
        }
        self.next = seq + 1;
        self.compare_checkpoint(report);
    }

    fn compare_checkpoint(&self, report: &mut VerifyReport) {
        if let (Some(log), Some(checkpoint)) = (&self.log, self.checkpoint)
            && log.size() == checkpoint.size
            && log.root() != checkpoint.root
        {
            self.contradict(checkpoint, Finding::Forked { checkpoint_size: checkpoint.size }, report);
        }
    }

    /// Records a restore if its statement matches the log before it.
    fn pass_restore(&mut self, seq: u64, event: &AuditEvent) {
        let (true, Some(statement)) = (event.action == RESTORE_ACTION, event.detail.get(RESTORE_STATEMENT)) else {
            return;
        };
        let signed = self.restore_keys.iter().find_map(|key| key.open(statement).ok());
        if let (Some(signed), Some(log)) = (signed, &self.log)
            && (signed.size, signed.root) == (seq, log.root())
        {
            self.restore = Some((seq, event.at));
        }
    }

    /// Handles a checkpoint that contradicts the log. It is a finding, unless the checkpoint covers events that a
    /// restore lost. A checkpoint that was signed after the restore contains that restore.
    fn contradict(&self, checkpoint: &Checkpoint, finding: Finding, report: &mut VerifyReport) {
        match self.restore {
            Some((restored_at, at))
                if restored_at < checkpoint.size && checkpoint.restored_at.is_none_or(|known| known < restored_at) =>
            {
                let checkpoint_size = checkpoint.size;
                report.missed_checkpoint = Some(MissedCheckpoint { checkpoint_size, restored_at, at });
            }
            _ => report.find(finding),
        }
    }

    fn compare_head(&self, head: &CompactRange, report: &mut VerifyReport) {
        let Some(log) = self.log.as_ref().filter(|log| log.size() == head.size()) else { return };
        for (found, expected) in log.peaks().zip(head.peaks()) {
            let last = expected.first + expected.leaves - 1;
            let known = self.altered.iter().any(|seq| (expected.first..=last).contains(seq));
            if found.hash != expected.hash && !known {
                report.find(Finding::Rewritten { first: expected.first, last });
            }
        }
    }
}

/// Reads an event whose columns have the encoding that Keyward writes. Otherwise returns the difference.
fn read_event(row: &Row) -> Result<AuditEvent, String> {
    let read = || {
        let event = AuditEvent::from_row(row)?;
        Ok((EventRow::encode(&event)? == EventRow::from_row(row)?).then_some(event))
    };
    read()
        .map_err(|error: StoreError| match error {
            StoreError::Corrupt { what } => what,
            other => other.to_string(),
        })?
        .ok_or_else(|| "its columns are not encoded as keyward encodes them".to_owned())
}
