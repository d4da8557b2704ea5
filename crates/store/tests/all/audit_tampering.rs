//! A person with the database file changes the audit log. Verification detects each kind of change, and the message
//! contains the event.

use domain::{
    AuditEvent, Checkpoint, InstallationKey,
    merkle::{CompactRange, Hash},
};
use store::{
    Store, Value,
    audit::{
        Finding, RESTORE_ACTION, RESTORE_STATEMENT, VerifyReport, head_checkpoint, restore_origin, restore_statement,
        verify_log, verify_log_against,
    },
    params,
};

use crate::support::{Backend, Sqlite, event, log, on_every_engine, tamper};

on_every_engine! {
    an_unchanged_log_is_intact
    a_log_is_intact_while_it_grows
    a_flip_in_any_column_is_found
    an_event_that_was_deleted_is_found
    events_that_were_swapped_are_found
    an_event_that_was_added_is_found
    an_event_that_was_inserted_between_others_is_found
    an_event_that_was_changed_with_its_leaf_hash_is_found
    a_changed_head_is_found
    a_log_that_was_cut_off_is_found_against_a_checkpoint
    a_history_that_was_rewritten_is_found_against_a_checkpoint
    a_matching_checkpoint_verifies_the_log
    a_restore_excuses_a_checkpoint_only_where_the_installations_key_has_signed_it_there
}

/// Opens a log with the events 0 to 7.
async fn open_with_log(database: &impl Backend) -> Store {
    let store = database.open().await;
    for number in 0..8 {
        log(&store, event(number)).await;
    }
    store
}

async fn verify(store: &Store, checkpoint: Option<&Checkpoint>) -> VerifyReport {
    verify_log(&mut store.read().await.unwrap(), checkpoint).await.unwrap()
}

async fn messages(store: &Store) -> Vec<String> {
    let report = verify(store, None).await;
    assert!(!report.is_intact() && report.more_findings == 0);
    report.findings.iter().map(ToString::to_string).collect()
}

async fn checkpoint(store: &Store) -> Checkpoint {
    head_checkpoint(&mut store.read().await.unwrap()).await.unwrap()
}

/// Makes the head match `events`, as a person who knows the format of the log would.
async fn forge_head(store: &Store, events: &[AuditEvent]) {
    let mut log = CompactRange::new();
    for event in events {
        log.append(event.leaf_hash(log.size()));
    }
    let sql = "UPDATE installation SET audit_size = $1, audit_range = $2";
    tamper(store, sql, params![log.size().cast_signed(), log.to_bytes()]).await;
}

/// Replaces event 3 and its leaf hash.
async fn forge_event_3(store: &Store) -> AuditEvent {
    let forged = AuditEvent { action: "api_key.revoke".into(), ..event(3) };
    let sql = "UPDATE audit_events SET action = $1, leaf_hash = $2 WHERE seq = 3";
    tamper(store, sql, params![forged.action.clone(), forged.leaf_hash(3).0]).await;
    forged
}

async fn an_unchanged_log_is_intact(database: impl Backend) {
    let store = database.open().await;
    let empty = verify(&store, None).await;
    assert_eq!((empty.is_intact(), empty.size, empty.root), (true, 0, Some(Hash::EMPTY_ROOT)));

    let early = checkpoint(&store).await;
    for number in 0..5 {
        log(&store, event(number)).await;
    }
    let middle = checkpoint(&store).await;
    for number in 5..8 {
        log(&store, event(number)).await;
    }
    let head = checkpoint(&store).await;
    assert_eq!((early.size, middle.size, head.size), (0, 5, 8));
    for checkpoint in [None, Some(&early), Some(&middle), Some(&head)] {
        let report = verify(&store, checkpoint).await;
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.size, report.root), (8, Some(head.root)));
    }
}

async fn a_log_is_intact_while_it_grows(database: impl Backend) {
    let store = open_with_log(&database).await;
    let grow = async {
        for number in 8..40 {
            log(&store, event(number)).await;
        }
    };
    let watch = async {
        loop {
            let report = verify(&store, None).await;
            assert!(report.is_intact(), "{report:?}");
            if report.size == 40 {
                break;
            }
        }
    };
    tokio::join!(grow, watch);
}

async fn a_flip_in_any_column_is_found<B: Backend>(_: B) {
    for sql in [
        "UPDATE audit_events SET id = 'evt_0000000000000000000000000z' WHERE seq = 3",
        "UPDATE audit_events SET id = 'evt' WHERE seq = 3",
        "UPDATE audit_events SET at = at + 1 WHERE seq = 3",
        "UPDATE audit_events SET workspace_id = 'ws_00000000000000000000000002' WHERE seq = 3",
        "UPDATE audit_events SET workspace_id = NULL WHERE seq = 3",
        "UPDATE audit_events SET principal = 'host' WHERE seq = 3",
        "UPDATE audit_events SET principal = 'nobody' WHERE seq = 3",
        "UPDATE audit_events SET key_id = NULL WHERE seq = 3",
        "UPDATE audit_events SET key_id = 'key_00000000000000000000000002' WHERE seq = 3",
        "UPDATE audit_events SET action = 'api_key.revoke' WHERE seq = 3",
        "UPDATE audit_events SET target = NULL WHERE seq = 3",
        "UPDATE audit_events SET target = '' WHERE seq = 3",
        "UPDATE audit_events SET address = '2001:db8::2' WHERE seq = 3",
        // An equal value in another encoding was not written by Keyward.
        "UPDATE audit_events SET address = '2001:DB8::1' WHERE seq = 3",
        "UPDATE audit_events SET detail = detail || ' ' WHERE seq = 3",
        "UPDATE audit_events SET detail = '{}' WHERE seq = 3",
        "UPDATE audit_events SET detail = 'x' WHERE seq = 3",
        "UPDATE audit_events SET leaf_hash = (SELECT leaf_hash FROM audit_events WHERE seq = 2) WHERE seq = 3",
    ] {
        let database = B::fresh();
        let store = open_with_log(&database).await;
        tamper(&store, sql, &[]).await;
        let found = messages(&store).await;
        assert_eq!(found.len(), 1, "{sql}: {found:?}");
        assert!(found[0].starts_with("event 3 (evt"), "{sql}: {found:?}");
    }

    let database = B::fresh();
    let store = open_with_log(&database).await;
    tamper(&store, "UPDATE audit_events SET seq = 100 WHERE seq = 3", &[]).await;
    let found = messages(&store).await;
    assert_eq!(found, ["the row with the number 100 was inserted: the log has fewer events", "event 3 was deleted"]);
}

async fn an_event_that_was_deleted_is_found(database: impl Backend) {
    let store = open_with_log(&database).await;
    tamper(&store, "DELETE FROM audit_events WHERE seq = 3", &[]).await;
    assert_eq!(messages(&store).await, ["event 3 was deleted"]);
    tamper(&store, "DELETE FROM audit_events WHERE seq = 4 OR seq = 7 OR seq = 0", &[]).await;
    assert_eq!(messages(&store).await, ["event 0 was deleted", "events 3 to 4 were deleted", "event 7 was deleted"]);
    tamper(&store, "DELETE FROM audit_events", &[]).await;
    assert_eq!(messages(&store).await, ["events 0 to 7 were deleted"]);
}

async fn events_that_were_swapped_are_found(database: impl Backend) {
    let store = open_with_log(&database).await;
    for (from, to) in [(3, 100), (5, 3), (100, 5)] {
        let sql = "UPDATE audit_events SET seq = $2 WHERE seq = $1";
        tamper(&store, sql, params![i64::from(from), i64::from(to)]).await;
    }
    let found = messages(&store).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("event 3 (evt_") && found[1].starts_with("event 5 (evt_"), "{found:?}");
}

/// Inserts a copy of event 3 with another number.
async fn insert_row(store: &Store, seq: i64) {
    let sql = "INSERT INTO audit_events
        (seq, id, at, workspace_id, principal, key_id, action, target, address, detail, leaf_hash)
        SELECT $1, 'evt_0000000000000000000000000z', at, workspace_id, principal, key_id, action, target, address, detail,
            leaf_hash FROM audit_events WHERE seq = 3";
    tamper(store, sql, params![seq]).await;
}

async fn an_event_that_was_added_is_found(database: impl Backend) {
    let store = open_with_log(&database).await;
    insert_row(&store, 8).await;
    assert_eq!(messages(&store).await, ["the row with the number 8 was inserted: the log has fewer events"]);
    tamper(&store, "UPDATE audit_events SET seq = -1 WHERE seq = 8", &[]).await;
    assert_eq!(messages(&store).await, ["the row with the number -1 was inserted: the log has fewer events"]);
}

async fn an_event_that_was_inserted_between_others_is_found(database: impl Backend) {
    let store = open_with_log(&database).await;
    tamper(&store, "UPDATE audit_events SET seq = -seq - 1 WHERE seq >= 5", &[]).await;
    tamper(&store, "UPDATE audit_events SET seq = -seq WHERE seq < 0", &[]).await;
    insert_row(&store, 5).await;
    let found = messages(&store).await;
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].starts_with("the row with the number 8 was inserted"), "{found:?}");
    for (message, seq) in found[1..].iter().zip(5..) {
        assert!(message.starts_with(&format!("event {seq} (evt_")), "{found:?}");
    }
}

async fn an_event_that_was_changed_with_its_leaf_hash_is_found(database: impl Backend) {
    let store = open_with_log(&database).await;
    log(&store, event(8)).await;
    forge_event_3(&store).await;
    assert_eq!(messages(&store).await, ["at least one of the events 0 to 7 was changed together with its leaf hash"]);
}

async fn a_changed_head_is_found<B: Backend>(_: B) {
    for (sql, values) in [
        ("UPDATE installation SET audit_range = $1", params![[7_u8; 32]]),
        ("UPDATE installation SET audit_range = $1", params![[7_u8; 31]]),
        ("UPDATE installation SET audit_size = $1", params![7_i64]),
        ("UPDATE installation SET audit_size = $1", params![-8_i64]),
        // One bit is set in either number, so that the range still fits.
        ("UPDATE installation SET audit_size = $1", params![4_i64]),
        ("UPDATE installation SET audit_size = $1", params![1_i64 << 62]),
    ] {
        let database = B::fresh();
        let store = open_with_log(&database).await;
        tamper(&store, sql, values).await;
        let report = verify(&store, None).await;
        assert!(!report.is_intact(), "{sql} {values:?}");
    }
}

async fn a_log_that_was_cut_off_is_found_against_a_checkpoint(database: impl Backend) {
    let store = open_with_log(&database).await;
    let shipped = checkpoint(&store).await;
    tamper(&store, "DELETE FROM audit_events WHERE seq >= 5", &[]).await;
    forge_head(&store, &[event(0), event(1), event(2), event(3), event(4)]).await;

    let report = verify(&store, None).await;
    assert!(report.is_intact(), "the log alone cannot show it: {report:?}");
    let report = verify(&store, Some(&shipped)).await;
    assert_eq!(report.findings, [Finding::Truncated { size: 5, checkpoint_size: 8 }]);
    assert!(report.findings[0].to_string().starts_with("events 5 to 7 were removed"), "{}", report.findings[0]);
}

async fn a_history_that_was_rewritten_is_found_against_a_checkpoint(database: impl Backend) {
    let store = open_with_log(&database).await;
    let shipped = checkpoint(&store).await;
    let mut events: Vec<_> = (0..8).map(event).collect();
    events[3] = forge_event_3(&store).await;
    forge_head(&store, &events).await;
    // The log continues as if nothing had happened.
    log(&store, event(8)).await;

    let report = verify(&store, None).await;
    assert!(report.is_intact(), "the log alone cannot show it: {report:?}");
    let report = verify(&store, Some(&shipped)).await;
    assert_eq!(report.findings, [Finding::Forked { checkpoint_size: 8 }]);
    assert!(report.findings[0].to_string().starts_with("the first 8 events"), "{}", report.findings[0]);

    let empty_that_was_not = Checkpoint { size: 0, root: Hash([1; 32]), ..shipped };
    assert_eq!(verify(&store, Some(&empty_that_was_not)).await.findings, [Finding::Forked { checkpoint_size: 0 }]);
}

async fn a_matching_checkpoint_verifies_the_log(database: impl Backend) {
    let store = open_with_log(&database).await;
    let key = InstallationKey::from_seed(&[1; 32]);
    let head = checkpoint(&store).await;
    let shipped = head.sign(&key).unwrap();
    log(&store, event(8)).await;

    let origin = checkpoint(&store).await.origin;
    let opened = key.verifier_key(&origin).unwrap().open(&shipped).unwrap();
    assert_eq!(opened, head);
    assert!(verify(&store, Some(&opened)).await.is_intact());
    tamper(&store, "UPDATE audit_events SET target = $1 WHERE seq = 8", &[Value::from("x")]).await;
    assert_eq!(verify(&store, Some(&opened)).await.findings.len(), 1, "what came later is verified, too");
}

async fn a_restore_excuses_a_checkpoint_only_where_the_installations_key_has_signed_it_there(database: impl Backend) {
    // A history that differs from this database from its sixth event on.
    let shipped = checkpoint(&open_with_log(&Sqlite::fresh()).await).await;
    let store = database.open().await;
    for number in 0..5 {
        log(&store, event(number)).await;
    }
    let (key, other) = (InstallationKey::from_seed(&[7; 32]), InstallationKey::from_seed(&[8; 32]));
    let restore_keys = [key.verifier_key(&restore_origin(&shipped.origin)).unwrap()];
    let restore = |number, statement: String| AuditEvent {
        action: RESTORE_ACTION.into(),
        detail: [(RESTORE_STATEMENT.to_owned(), statement)].into(),
        ..event(number)
    };
    let verify =
        async || verify_log_against(&mut store.read().await.unwrap(), Some(&shipped), &restore_keys).await.unwrap();
    let statement = restore_statement(&checkpoint(&store).await);
    // A person who changes the database can write an event, but not sign it with the installation key. An event with another
    // signature, from elsewhere in the log or with a checkpoint is not a restore.
    log(&store, restore(5, statement.sign(&other).unwrap())).await;
    log(&store, restore(6, statement.sign(&key).unwrap())).await;
    let truncated = Finding::Truncated { size: 7, checkpoint_size: 8 };
    assert_eq!(verify().await.findings, [truncated]);
    log(&store, restore(7, checkpoint(&store).await.sign(&key).unwrap())).await;
    assert_eq!(verify().await.findings, [Finding::Forked { checkpoint_size: 8 }]);

    // Signed and in its place: a checkpoint with more events is from after the restore.
    let statement = restore_statement(&checkpoint(&store).await).sign(&key).unwrap();
    log(&store, restore(8, statement)).await;
    assert_eq!(verify().await.findings, [Finding::Forked { checkpoint_size: 8 }], "the backup had these eight events");
    let longer = Checkpoint { size: 9, ..shipped.clone() };
    let verify_longer = async |checkpoint: &Checkpoint| {
        verify_log_against(&mut store.read().await.unwrap(), Some(checkpoint), &restore_keys).await.unwrap()
    };
    let report = verify_longer(&longer).await;
    assert!(report.is_intact(), "{report:?}");
    let missed = report.missed_checkpoint.expect("a checkpoint that was not compared");
    assert_eq!((missed.checkpoint_size, missed.restored_at), (9, 8));
    // A checkpoint that was signed after the restore contains it.
    let since = Checkpoint { restored_at: Some(8), ..longer };
    assert_eq!(verify_longer(&since).await.findings, [Finding::Forked { checkpoint_size: 9 }]);
    assert_eq!(checkpoint(&store).await.restored_at, Some(8));
}
