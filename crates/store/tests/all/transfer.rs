//! An installation is copied from one engine to the other and back, without loss.

use store::{Store, StoreError, Subject, params, transfer};

use crate::support::{Backend, Postgres, Sqlite, at, event, id, log, on_every_engine, tamper};

on_every_engine! {
    a_copy_is_equal_row_by_row
    a_difference_is_found_and_named
    a_target_that_is_in_use_is_refused
    a_source_that_is_served_is_refused
}

/// Adds rows to most tables, with every type and with null values.
async fn fill(store: &Store) {
    for number in 0..3 {
        log(store, event(number)).await;
    }
    let mut change = store.begin_change(at(5)).await.unwrap();
    for sql in [
        "INSERT INTO users (id, email, name, password_hash, operator, disabled, created_at)
         VALUES ('usr_1', 'zo\u{eb}@example.com', 'Zo\u{eb}', NULL, TRUE, FALSE, 7)",
        "INSERT INTO workspaces (id, slug, name, service_account_quota, service_account_key_quota, user_key_quota,
             created_at, deleted_at) VALUES ('ws_1', 'acme', 'Acme', 1, 5, 25, 7, NULL)",
        "INSERT INTO members (workspace_id, user_id, role, joined_at) VALUES ('ws_1', 'usr_1', 'admin', 7)",
        "INSERT INTO api_keys (id, owner_id, title, fingerprint, public_key, disabled, suspended, created_by, created_at)
             SELECT 'key_1', 'usr_1', 'laptop', 'SHA256:x', leaf_hash, FALSE, FALSE, 'usr_1', 7 FROM audit_events
             WHERE seq = 0",
        "INSERT INTO key_rotations (successor_id, predecessor_id, rotated_at, ends_at, accepted_before)
             VALUES ('key_1', 'key_1', 7, 9, 0)",
        "INSERT INTO key_policies (place, rules, rules_before, set_at, enforced_from)
             VALUES ('installation', 'require_expiry=true', '', 7, 9)",
        "INSERT INTO use_counters (key_id, span, starts_at, accepted, bad_signature, key_revoked, key_expired,
             key_disabled, owner_disabled, wrong_time, replayed, host_not_listed, invalid, forbidden, rate_limited)
             VALUES ('key_1', 'hour', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)",
    ] {
        change.execute(sql, params![]).await.unwrap();
    }
    let sql = "INSERT INTO set_up_links (token_hash, expires_at) VALUES ($1, $2)";
    change.execute(sql, params![[0_u8, 255, 128], -1_i64]).await.unwrap();
    // More than a page.
    for number in 0..1203_i64 {
        let sql = "INSERT INTO proof_challenges (challenge, principal_id, expires_at) VALUES ($1, 'usr_1', $2)";
        change.execute(sql, params![format!("{number:x}"), number]).await.unwrap();
    }
    change.touch(Subject::User(id(1)));
    change.commit(event(5), None).await.unwrap();
}

async fn there_and_back<Other: Backend>(from: &Store) {
    let (there, back) = (Other::fresh(), Sqlite::fresh());
    let there = there.open().await;
    let copied = transfer::copy(from, &there).await.unwrap();
    assert_eq!((copied.rows, copied.events), (1 + 4 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1203, 4));
    // It continues where it was.
    assert_eq!(there.current_version().await.unwrap(), from.current_version().await.unwrap());
    let back = back.open().await;
    assert_eq!(transfer::copy(&there, &back).await.unwrap(), copied);
    assert_eq!(transfer::compare(from, &back).await.unwrap(), copied);
    log(&back, event(9)).await;
    assert!(store::audit::verify_log(&mut back.read().await.unwrap(), None).await.unwrap().is_intact());
}

async fn a_copy_is_equal_row_by_row(database: impl Backend) {
    let store = database.open().await;
    fill(&store).await;
    there_and_back::<Postgres>(&store).await;
    there_and_back::<Sqlite>(&store).await;
}

async fn a_difference_is_found_and_named<B: Backend>(database: B) {
    let (from, other) = (database.open().await, B::fresh());
    let to = other.open().await;
    fill(&from).await;
    transfer::copy(&from, &to).await.unwrap();
    for (sql, table) in [
        ("UPDATE proof_challenges SET expires_at = -7 WHERE challenge = '4b0'", "proof_challenges"),
        ("UPDATE users SET password_hash = ''", "users"),
        ("DELETE FROM audit_events WHERE seq = 3", "audit_events"),
    ] {
        tamper(&to, sql, &[]).await;
        let error = transfer::compare(&from, &to).await.unwrap_err();
        assert!(error.to_string().contains(&format!("`{table}`")), "{error}");
    }
}

async fn a_target_that_is_in_use_is_refused<B: Backend>(database: B) {
    let (from, other) = (database.open().await, B::fresh());
    let to = other.open().await;
    fill(&from).await;
    log(&to, event(1)).await;
    let error = transfer::copy(&from, &to).await.unwrap_err();
    assert!(matches!(&error, StoreError::NotCopied { reason } if reason.contains("name a new database")), "{error}");
}

async fn a_source_that_is_served_is_refused<B: Backend>(database: B) {
    let (from, other) = (database.open().await, B::fresh());
    let to = other.open().await;
    let node = store::node::Node {
        id: id(1),
        name: String::new(),
        software_version: String::new(),
        lease: std::time::Duration::from_secs(2),
        settings_hash: None,
    };
    from.register_node(&node, store::Version(0), at(0)).await.unwrap();
    let error = transfer::copy(&from, &to).await.unwrap_err();
    assert!(matches!(&error, StoreError::NotCopied { reason } if reason.contains("stop them")), "{error}");
}
