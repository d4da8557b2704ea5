//! Databases are migrated to the current format once, and databases of other programs are refused.

use store::{Store, StoreError, Version};

use crate::support::{Backend, at, count, event, log, on_every_engine, seeded, tamper};

on_every_engine! {
    opening_again_changes_nothing
    a_new_database_may_be_opened_by_several_at_once
    a_database_of_a_later_release_is_refused
    a_migration_that_was_edited_is_refused
    a_migration_that_was_left_out_is_refused
}

const APPLIED: &str = "SELECT COUNT(*) AS n FROM migrations WHERE applied_at = 1700000000000000";

async fn refusal(database: &impl Backend) -> StoreError {
    Store::open(&database.options(), at(9), &seeded()).await.err().expect("this database is refused")
}

async fn opening_again_changes_nothing(database: impl Backend) {
    let store = database.open().await;
    log(&store, event(1)).await;
    let applied = count(&store, APPLIED).await;
    assert!(applied > 0);
    store.close().await;
    let store = Store::open(&database.options(), at(9), &seeded()).await.unwrap();
    assert_eq!(count(&store, APPLIED).await, applied);
    assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM migrations").await, applied);
    assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM audit_events").await, 1);
}

async fn a_new_database_may_be_opened_by_several_at_once<B: Backend>(_: B) {
    for _ in 0..10 {
        let database = B::fresh();
        let stores = tokio::join!(database.open(), database.open(), database.open(), database.open());
        for (number, store) in [stores.0, stores.1, stores.2, stores.3].iter().enumerate() {
            log(store, event(u8::try_from(number).unwrap())).await;
            assert_eq!(store.current_version().await.unwrap(), Version(number as u64 + 1));
        }
    }
}

async fn a_database_of_a_later_release_is_refused(database: impl Backend) {
    let store = database.open().await;
    let sql =
        "INSERT INTO migrations (version, name, checksum, applied_at) SELECT 1000, 'x', checksum, 0 FROM migrations
               WHERE version = 1";
    tamper(&store, sql, &[]).await;
    let error = refusal(&database).await;
    assert!(matches!(error, StoreError::NewerDatabase { found: 1000, .. }), "{error}");
    assert!(error.to_string().contains("start the release that wrote it"), "{error}");
}

async fn a_migration_that_was_edited_is_refused(database: impl Backend) {
    let store = database.open().await;
    tamper(&store, "UPDATE migrations SET checksum = $1 WHERE version = 1", store::params![[0_u8; 32]]).await;
    let error = refusal(&database).await;
    assert!(matches!(error, StoreError::MigrationChanged { version: 1, .. }), "{error}");
    assert!(error.to_string().contains("0001_foundations"), "{error}");
}

async fn a_migration_that_was_left_out_is_refused(database: impl Backend) {
    let store = database.open().await;
    tamper(&store, "DELETE FROM migrations WHERE version = 1", &[]).await;
    assert!(matches!(refusal(&database).await, StoreError::MigrationChanged { .. }));
}
