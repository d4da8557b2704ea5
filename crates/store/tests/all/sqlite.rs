//! Behaviour of SQLite only: its file, locks, loose types, full disk.

use std::fs;

use store::{Engine, Store, StoreError, StoreOptions, Version, audit::verify_log, params};

use crate::support::{Backend, Sqlite, at, count, event, log, seeded, tamper};

async fn refusal(database: &Sqlite) -> String {
    Store::open(&database.options(), at(0), &seeded()).await.err().expect("this file is refused").to_string()
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = Sqlite::fresh();
    let store = database.open().await;
    log(&store, event(1)).await;
    let files: Vec<_> = fs::read_dir(database.path().parent().unwrap()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3, "the database, its log and its index");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn the_settings_that_keep_data_safe_are_on() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    let mut change = store.begin_change(at(1)).await.unwrap();
    for (sql, expected) in [
        ("SELECT synchronous AS n FROM pragma_synchronous", 2),
        ("SELECT foreign_keys AS n FROM pragma_foreign_keys", 1),
        ("SELECT trusted_schema AS n FROM pragma_trusted_schema", 0),
        ("SELECT cell_size_check AS n FROM pragma_cell_size_check", 1),
        ("SELECT timeout AS n FROM pragma_busy_timeout", 5000),
        ("SELECT journal_mode = 'wal' AS n FROM pragma_journal_mode", 1),
    ] {
        assert_eq!(change.fetch_one(sql, params![]).await.unwrap().i64("n").unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let database = Sqlite::fresh();
    fs::write(database.path(), "dear diary, ".repeat(100)).unwrap();
    let error = refusal(&database).await;
    assert!(error.contains("keyward.db") && error.contains("is not a usable database"), "{error}");
    assert!(fs::read_to_string(database.path()).unwrap().starts_with("dear diary"));
}

#[tokio::test]
async fn a_missing_directory_is_reported() {
    let database = Sqlite::fresh();
    let options = StoreOptions { engine: Engine::Sqlite { path: database.path().join("none.db") } };
    let error = Store::open(&options, at(0), &seeded()).await.err().unwrap().to_string();
    assert!(error.contains("none.db") && error.contains("create its directory"), "{error}");
}

#[tokio::test]
async fn a_directory_in_place_of_the_file_is_reported() {
    let database = Sqlite::fresh();
    fs::create_dir(database.path()).unwrap();
    let error = refusal(&database).await;
    assert!(error.contains("keyward.db") && error.contains("not a regular file"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_reported_and_recovers() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    log(&store, event(1)).await;

    // A limit on the size of the database has the same effect as a full disk.
    let mut change = store.begin_change(at(2)).await.unwrap();
    change.fetch_all("PRAGMA max_page_count = 1", params![]).await.unwrap();
    let filler = vec![0; 1 << 20];
    let sql = "UPDATE installation SET audit_range = $1";
    let error = change.execute(sql, params![&filler]).await.unwrap_err();
    assert!(matches!(error, StoreError::DiskFull), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    drop(change);

    assert_eq!(store.current_version().await.unwrap(), Version(1));
    assert_eq!(log(&store, event(3)).await, Version(2), "once there is space, the same store continues");
}

#[tokio::test]
async fn a_change_that_sqlite_rolled_back_by_itself_does_not_stop_the_next() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    log(&store, event(1)).await;
    let mut change = store.begin_change(at(2)).await.unwrap();
    // Like an error of the disk, this rolls back the whole transaction instead of the statement.
    let sql = "INSERT OR ROLLBACK INTO nodes (id, name, software_version, lease_ms, acknowledged_version,
               registered_at, renewed_at) SELECT NULL, '', '', 0, 0, 0, 0";
    assert!(change.execute(sql, params![]).await.is_err());
    drop(change);
    assert_eq!(log(&store, event(3)).await, Version(2));
}

#[tokio::test]
async fn a_change_that_lost_its_transaction_commits_nothing() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    let mut change = store.begin_change(at(1)).await.unwrap();
    let sql = "INSERT OR ROLLBACK INTO nodes (id, name, software_version, lease_ms, acknowledged_version,
               registered_at, renewed_at) SELECT NULL, '', '', 0, 0, 0, 0";
    assert!(change.execute(sql, params![]).await.is_err());
    assert!(change.commit(event(1), None).await.is_err());
    assert_eq!(store.current_version().await.unwrap(), Version(0));
    assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM audit_events").await, 0);
}

#[tokio::test]
async fn values_of_a_type_that_the_log_never_has_are_found() {
    for sql in [
        "UPDATE audit_events SET at = 'soon' WHERE seq = 3",
        "UPDATE audit_events SET action = CAST(action AS BLOB) WHERE seq = 3",
        "UPDATE audit_events SET leaf_hash = 'x' WHERE seq = 3",
        "UPDATE audit_events SET leaf_hash = 7 WHERE seq = 3",
    ] {
        let database = Sqlite::fresh();
        let store = database.open().await;
        for number in 0..5 {
            log(&store, event(number)).await;
        }
        tamper(&store, sql, &[]).await;
        let report = verify_log(&mut store.read().await.unwrap(), None).await.unwrap();
        assert_eq!(report.findings.len(), 1, "{sql}: {report:?}");
        assert!(report.findings[0].to_string().starts_with("event 3 (evt_"), "{sql}: {report:?}");
    }
}

#[tokio::test]
async fn a_number_that_is_no_integer_is_found() {
    for seq in ["3.5", "three"] {
        let database = Sqlite::fresh();
        let store = database.open().await;
        for number in 0..5 {
            log(&store, event(number)).await;
        }
        tamper(&store, "UPDATE audit_events SET seq = $1 WHERE seq = 3", params![seq]).await;
        let report = verify_log(&mut store.read().await.unwrap(), None).await.unwrap();
        let found: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        let inserted = format!("the row with the number {seq} was inserted: the log has fewer events");
        assert_eq!(found, [inserted.as_str(), "event 3 was deleted"]);
    }
}

#[tokio::test]
async fn readers_do_not_wait_for_a_writer() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    let mut change = store.begin_change(at(1)).await.unwrap();
    change.execute("UPDATE installation SET token_epoch = 1", params![]).await.unwrap();
    assert_eq!(count(&store, "SELECT token_epoch AS n FROM installation").await, 0);
    change.commit(event(1), None).await.unwrap();
    assert_eq!(count(&store, "SELECT token_epoch AS n FROM installation").await, 1);
}

#[tokio::test]
async fn a_page_that_was_overwritten_is_corruption() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    for number in 0..100 {
        log(&store, event(number)).await;
    }
    store.close().await;
    let mut bytes = fs::read(database.path()).unwrap();
    // All except the first page, which identifies the file as a database.
    bytes[4096..].fill(0xff);
    fs::write(database.path(), bytes).unwrap();
    let error = refusal(&database).await;
    assert!(error.contains("restore a backup"), "{error}");
}

/// A query that takes many instructions.
const LONG: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
                    SELECT COUNT(*) AS n FROM numbers";

#[tokio::test]
async fn a_long_query_is_read_to_its_end() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    assert_eq!(count(&store, LONG).await, 100_000);
    let mut change = store.begin_change(at(1)).await.unwrap();
    change.execute("UPDATE installation SET token_epoch = 1", params![]).await.unwrap();
    assert_eq!(change.fetch_one(LONG, params![]).await.unwrap().i64("n").unwrap(), 100_000);
    change.commit(event(1), None).await.unwrap();
    assert_eq!(count(&store, "SELECT token_epoch AS n FROM installation").await, 1, "the transaction continued");
}

#[tokio::test]
async fn a_writer_that_waits_for_another_process_blocks_no_thread() {
    let database = Sqlite::fresh();
    let (one, two) = (database.open().await, database.open().await);
    let change = one.begin_change(at(1)).await.unwrap();
    let waiting = log(&two, event(2));
    // This test has one thread: the change ends while the other one waits.
    let ending = async { change.commit(event(1), None).await.unwrap() };
    let (version, _) = tokio::join!(waiting, ending);
    assert_eq!(version, Version(2));
}

#[tokio::test]
async fn a_caller_that_leaves_during_a_statement_rolls_back_and_frees_the_connection() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    let mut writing = Box::pin(maintenance.execute("UPDATE installation SET token_epoch = 1", params![]));
    // The statement runs in a thread from now on.
    assert!(is_pending(writing.as_mut()).await);
    drop(writing);
    assert!(maintenance.execute("UPDATE installation SET token_epoch = 2", params![]).await.is_err());
    assert!(maintenance.commit().await.is_err());
    assert_eq!(log(&store, event(1)).await, Version(1));
    assert_eq!(count(&store, "SELECT token_epoch AS n FROM installation").await, 0);
}

/// Polls a future once, and returns whether it is pending.
async fn is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn a_placeholder_has_the_value_of_its_number() {
    let database = Sqlite::fresh();
    let store = database.open().await;
    let mut connection = store.read().await.unwrap();
    let row = connection.fetch_one("SELECT $2 AS b, $1 AS a, $2 AS c", params!["one", 2]).await.unwrap();
    assert_eq!((row.text("a").unwrap(), row.i64("b").unwrap(), row.i64("c").unwrap()), ("one".to_owned(), 2, 2));
    assert!(connection.fetch_one("SELECT $3 AS a", params!["one", 2]).await.is_err(), "there is no third value");
}
