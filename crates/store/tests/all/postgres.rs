//! Behaviour of PostgreSQL only: its URL, restarts, locks, standbys.

use std::{cell::Cell, time::Duration};

use store::{Store, StoreError, StoreOptions, Version, params};
use test_postgres::Cluster;

use crate::support::{Backend, Postgres, at, count, event, id, log, postgres_at, seeded};

async fn refusal(options: &StoreOptions) -> String {
    Store::open(options, at(0), &seeded()).await.err().expect("this database is refused").to_string()
}

#[tokio::test]
async fn url_errors_do_not_show_the_password() {
    let cluster = Cluster::shared();
    let url = cluster.url("none").replace("keyward@", "keyward:hunter2@");
    let error = refusal(&postgres_at(url.clone())).await;
    assert!(error.contains("\"none\" does not exist") && !error.contains("hunter2"), "{error}");
    let error = refusal(&postgres_at(url.replace("keyward:", "stranger:"))).await;
    assert!(error.contains("\"stranger\" does not exist") && !error.contains("hunter2"), "{error}");
    let error = refusal(&postgres_at("localhost:5432/hunter2".to_owned())).await;
    assert!(error.contains("write postgres://") && !error.contains("hunter2"), "{error}");
    let shown = format!("{:?}", postgres_at("postgres://u:hunter2@db.example.com/d?password=hunter2".to_owned()));
    assert!(shown.contains("postgres://db.example.com/d") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn text_sorts_by_its_bytes_whatever_the_language_of_the_database() {
    let database = Postgres::fresh();
    let store = database.open().await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    for slug in ["a", "B", "a-z", "aa", "\u{e9}"] {
        let sql = "INSERT INTO workspaces (id, slug, name, service_account_quota, service_account_key_quota, \
                   user_key_quota, created_at) VALUES ($1, $1, '', 0, 0, 0, 0)";
        maintenance.execute(sql, params![slug]).await.unwrap();
    }
    let rows = maintenance.fetch_all("SELECT id FROM workspaces ORDER BY id", params![]).await.unwrap();
    let sorted: Vec<_> = rows.iter().map(|row| row.text("id").unwrap()).collect();
    assert_eq!(sorted, ["B", "a", "a-z", "aa", "\u{e9}"]);
}

#[tokio::test]
async fn connections_recover_after_a_server_restart() {
    let cluster = Cluster::start(&[]);
    let store = Store::open(&postgres_at(cluster.url("postgres")), at(0), &seeded()).await.unwrap();
    let mut watch = store.watch().await.unwrap();
    assert!(watch.changed(Duration::ZERO).await.unwrap());
    log(&store, event(1)).await;
    let mut lost = store.begin_change(at(2)).await.unwrap();
    cluster.stop();
    let error = lost.execute("UPDATE installation SET token_epoch = 1", params![]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    drop(lost);
    assert!(matches!(store.current_version().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.begin_change(at(2)).await.err(), Some(StoreError::Unavailable { .. })));

    cluster.start_again();
    assert_eq!(store.current_version().await.unwrap(), Version(1));
    assert_eq!(log(&store, event(3)).await, Version(2));
    // The watch reports that its connection was lost, and then changes.
    while !watch.changed(Duration::from_secs(20)).await.is_ok_and(|changed| changed) {}
    assert_eq!(count(&store, "SELECT token_epoch AS n FROM installation").await, 0);
}

#[tokio::test]
async fn a_commit_without_a_standby_is_reported_as_uncertain() {
    let cluster = Cluster::start(&[]);
    let store = Store::open(&postgres_at(cluster.url("postgres")), at(0), &seeded()).await.unwrap();
    let _ = cluster.query("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    let _ = cluster.query("postgres", "SELECT pg_reload_conf()");
    // The first one makes the server report a success with a warning, the second one nothing.
    for end in ["pg_cancel_backend", "pg_terminate_backend"] {
        let sql = format!("SELECT {end}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        // The server applies the setting after a delay.
        let (error, before) = loop {
            let before = store.current_version().await.unwrap();
            let change = store.begin_change(at(1)).await.unwrap();
            let number = u8::try_from(before.0).unwrap();
            let committing = tokio::spawn(async move { change.commit(event(number), None).await });
            while !committing.is_finished() {
                let sql = sql.clone();
                let cluster = &cluster;
                std::thread::scope(|scope| drop(scope.spawn(move || cluster.query("postgres", &sql)).join()));
                tokio::task::yield_now().await;
            }
            if let Err(error) = committing.await.unwrap() {
                break (error, before);
            }
        };
        assert!(matches!(error, StoreError::Uncertain { .. }), "{end}: {error}");
        assert!(error.to_string().contains("send the same signed request again"), "{error}");
        assert_eq!(store.current_version().await.unwrap(), Version(before.0 + 1), "the primary alone has it");
    }
}

#[tokio::test]
async fn a_deadlock_is_retried_and_succeeds() {
    let database = Postgres::fresh();
    let store = database.open().await;
    for number in [1, 2] {
        let node = store::node::Node {
            id: id(number),
            name: String::new(),
            software_version: String::new(),
            lease: Duration::from_secs(2),
            settings_hash: None,
        };
        store.register_node(&node, Version(0), at(0)).await.unwrap();
    }
    let barrier = tokio::sync::Barrier::new(2);
    let cross = async |first: u128, second: u128| {
        let attempts = Cell::new(0);
        store::retry(|| async {
            attempts.set(attempts.get() + 1);
            let mut maintenance = store.begin_maintenance().await?;
            let sql = "UPDATE nodes SET name = name || 'x' WHERE id = $1";
            maintenance.execute(sql, params![id::<domain::id::NodeKind>(first)]).await?;
            if attempts.get() == 1 {
                barrier.wait().await;
            }
            maintenance.execute(sql, params![id::<domain::id::NodeKind>(second)]).await?;
            maintenance.commit().await
        })
        .await
        .unwrap();
        attempts.get()
    };
    let (one, other) = tokio::join!(cross(1, 2), cross(2, 1));
    assert_eq!(one + other, 3, "one of them had to do it again");
    assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM nodes WHERE name = 'xx'").await, 2);
}

#[tokio::test]
async fn an_idle_change_is_cancelled_so_that_others_continue() {
    let database = Postgres::fresh();
    let (stopped, other) = (database.open().await, database.open().await);
    let mut change = stopped.begin_change(at(1)).await.unwrap();
    change.execute("UPDATE installation SET token_epoch = 7", params![]).await.unwrap();
    // Like a process that was stopped: it sends nothing more.
    assert_eq!(log(&other, event(2)).await, Version(1));
    let error = change.commit(event(1), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!(count(&other, "SELECT token_epoch AS n FROM installation").await, 0);
}
