//! Reads change nothing: every page and every route for reading, by every caller that may read it.

use store::{Engine, Store, StoreOptions, transfer};

use crate::{
    api::access,
    support::{Home, TestApp},
    ui::access as ui_access,
};

/// Returns the database of a home whose server has ended.
async fn database(home: &Home, test: &TestApp) -> Store {
    let engine = match home.database_url() {
        Some(url) => Engine::Postgres { url: url.into() },
        None => Engine::Sqlite { path: home.path().join("keyward.db") },
    };
    let now = domain::Clock::now(test.clock.as_ref());
    Store::open(&StoreOptions { engine }, now, test.random.as_ref()).await.expect("the database opens")
}

#[tokio::test]
async fn no_get_request_in_a_session_changes_a_row() {
    let world = ui_access::World::build().await;
    let test = world.open().await;
    let mut read = 0;
    for &(method, path, expected) in ui_access::TABLE.iter().filter(|(method, ..)| *method == "GET") {
        for (who, expected) in expected.into_iter().enumerate() {
            // Refusals are recorded; this test covers the rest.
            if matches!(expected, 200 | 303) {
                for method in [method, "HEAD"] {
                    world.read(&test, method, path, who).await;
                    read += 1;
                }
            }
        }
    }
    for &(_, path, _) in access::TABLE.iter().filter(|(method, ..)| *method == "GET") {
        if path.starts_with("/v2/") {
            continue;
        }
        let who = if path.contains("/admin/") { ui_access::OPERATOR } else { ui_access::ADMIN };
        let answer = world.read(&test, "GET", path, who).await;
        // No key of this world was rotated.
        let expected = if path.ends_with("/rotate") { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{path}");
        read += 1;
    }
    assert!(read > 150, "{read}");
    test.app.close().await;
    let before = world.saved.restore();
    let (before, after) = (database(&before, &test).await, database(&test.directory, &test).await);
    // A server removes old replays itself, independently of reads.
    let sql = "SELECT replay_epoch FROM installation WHERE id = 1";
    let row = before.read().await.unwrap().fetch_one(sql, store::params![]).await.unwrap();
    let mut maintenance = after.begin_maintenance().await.unwrap();
    let sql = "UPDATE installation SET replay_epoch = $1 WHERE id = 1";
    maintenance.execute(sql, store::params![row.i64("replay_epoch").unwrap()]).await.unwrap();
    maintenance.commit().await.unwrap();
    transfer::compare(&before, &after).await.expect("the same rows as before the reads");
}

#[tokio::test]
async fn no_signed_get_request_changes_a_row() {
    let world = access::World::build().await;
    let test = world.open().await;
    let store = test.store().await;
    let before = store.current_version().await.unwrap();
    let mut read = 0;
    for &(method, path, expected) in access::TABLE.iter().filter(|(method, ..)| *method == "GET") {
        for (who, expected) in expected.into_iter().enumerate() {
            let answer = world.ask(&test, method, path, &world.acme, who).await;
            assert_eq!(answer.status.as_u16(), expected, "{path}");
            read += usize::from(expected == 200);
        }
    }
    assert!(read > 100, "{read}");
    assert_eq!(store.current_version().await.unwrap(), before, "no node has to apply anything");
}
