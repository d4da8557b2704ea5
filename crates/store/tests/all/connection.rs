//! Values are read as they were written, and the error for an invalid value contains the name of the column.

use domain::{PrincipalId, Timestamp, UserId};
use store::{Store, StoreError, params};

use crate::support::{Backend, at, id, on_every_engine};

on_every_engine! {
    every_kind_of_value_is_read_back
    null_is_read_back_as_none
    a_column_of_another_type_is_named
    a_text_that_does_not_parse_is_named
    a_missing_required_row_is_corruption
    text_is_compared_by_its_bytes
    a_unique_conflict_names_the_constraint_as_postgresql_does
    a_wrong_statement_is_an_internal_error
    a_reader_cannot_write
}

async fn open_with_table(database: &impl Backend) -> Store {
    let store = database.open().await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    let sql = "CREATE TABLE samples (
        id TEXT NOT NULL PRIMARY KEY, t TEXT, n BIGINT, b BOOLEAN, y BYTEA, UNIQUE (t, n)
    )";
    maintenance.execute(sql, params![]).await.unwrap();
    maintenance.commit().await.unwrap();
    store
}

const INSERT: &str = "INSERT INTO samples (id, t, n, b, y) VALUES ($1, $2, $3, $4, $5)";

async fn every_kind_of_value_is_read_back(database: impl Backend) {
    let store = open_with_table(&database).await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    let every_byte: Vec<u8> = (0..=255).collect();
    for (id, text, number, truth, bytes) in [
        ("empty", "", 0, false, &[][..]),
        ("low", "Zoë ' \" \\ % ✓ \u{1F511}", i64::MIN, true, &every_byte[..]),
        ("high", "a\nb\t", i64::MAX, true, b"text"),
    ] {
        assert_eq!(maintenance.execute(INSERT, params![id, text, number, truth, bytes]).await.unwrap(), 1);
        let row = maintenance.fetch_one("SELECT * FROM samples WHERE id = $1", params![id]).await.unwrap();
        assert_eq!(row.text("t").unwrap(), text);
        assert_eq!(row.i64("n").unwrap(), number);
        assert_eq!(row.bool("b").unwrap(), truth);
        assert_eq!(row.bytes("y").unwrap(), bytes);
    }

    let (user, time) = (id::<domain::id::UserKind>(7), Timestamp::from_microsecond(-1_700_000_000_123_457).unwrap());
    maintenance.execute(INSERT, params![user, PrincipalId::User(user), time, None::<bool>, [9; 3]]).await.unwrap();
    let row = maintenance.fetch_one("SELECT * FROM samples WHERE id = $1", params![&user]).await.unwrap();
    assert_eq!(row.parse::<UserId>("id").unwrap(), user);
    assert_eq!(row.parse::<PrincipalId>("t").unwrap(), PrincipalId::User(user));
    assert_eq!(row.timestamp("n").unwrap(), time);
    assert_eq!(row.bytes("y").unwrap(), [9; 3]);
    assert_eq!(maintenance.fetch_all("SELECT * FROM samples", params![]).await.unwrap().len(), 4);
}

async fn null_is_read_back_as_none(database: impl Backend) {
    let store = open_with_table(&database).await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    let nothing = params!["x", None::<&str>, None::<i64>, None::<bool>, None::<Vec<u8>>];
    maintenance.execute(INSERT, nothing).await.unwrap();
    let row = maintenance.fetch_one("SELECT * FROM samples", params![]).await.unwrap();
    assert_eq!(row.opt_text("t").unwrap(), None);
    assert_eq!(row.opt_i64("n").unwrap(), None);
    assert_eq!(row.opt_timestamp("n").unwrap(), None);
    assert_eq!(row.opt_bool("b").unwrap(), None);
    assert_eq!(row.opt_bytes("y").unwrap(), None);
    assert_eq!(row.opt_parse::<UserId>("t").unwrap(), None);
    for error in [row.text("t").err(), row.i64("n").err(), row.bool("b").err(), row.bytes("y").err()] {
        assert!(matches!(error, Some(StoreError::Corrupt { what }) if what.contains("is empty")));
    }
    assert!(maintenance.fetch_optional("SELECT * FROM samples WHERE id = 'y'", params![]).await.unwrap().is_none());
}

#[track_caller]
fn assert_names_column<T>(result: Result<T, StoreError>, column: &str) {
    let Err(StoreError::Corrupt { what }) = result else { panic!("this is no value of that type") };
    assert!(what.contains(column), "{what}");
}

async fn a_column_of_another_type_is_named(database: impl Backend) {
    let store = open_with_table(&database).await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    maintenance.execute(INSERT, params!["x", "1", 1, true, b"1"]).await.unwrap();
    let row = maintenance
        .fetch_one("SELECT t AS a_text, n AS a_number, y AS the_bytes FROM samples", params![])
        .await
        .unwrap();
    assert_names_column(row.i64("a_text"), "a_text");
    assert_names_column(row.bool("a_text"), "a_text");
    assert_names_column(row.bytes("a_text"), "a_text");
    assert_names_column(row.text("a_number"), "a_number");
    assert_names_column(row.text("the_bytes"), "the_bytes");
    assert_names_column(row.i64("the_bytes"), "the_bytes");
}

async fn a_text_that_does_not_parse_is_named(database: impl Backend) {
    let store = open_with_table(&database).await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    maintenance.execute(INSERT, params!["key_x", None::<&str>, i64::MAX, true, None::<&[u8]>]).await.unwrap();
    let row = maintenance.fetch_one("SELECT * FROM samples", params![]).await.unwrap();
    assert_names_column(row.parse::<UserId>("id"), "`id`");
    assert_names_column(row.timestamp("n"), "`n`");
}

async fn a_missing_required_row_is_corruption(database: impl Backend) {
    let store = open_with_table(&database).await;
    let mut connection = store.read().await.unwrap();
    assert_names_column(connection.fetch_one("SELECT * FROM samples", params![]).await, "samples");
}

async fn text_is_compared_by_its_bytes(database: impl Backend) {
    let store = open_with_table(&database).await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    // Case, accents composed in two ways, and trailing spaces are differences.
    let names = ["a", "A", "a ", "\u{e9}", "e\u{301}"];
    for name in names {
        maintenance.execute(INSERT, params![name, name, 1, true, None::<&[u8]>]).await.unwrap();
    }
    for name in names {
        let found = maintenance.fetch_all("SELECT id FROM samples WHERE id = $1", params![name]).await.unwrap();
        assert_eq!(found.len(), 1, "{name:?}");
    }
}

async fn a_unique_conflict_names_the_constraint_as_postgresql_does(database: impl Backend) {
    let store = open_with_table(&database).await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    maintenance.execute(INSERT, params!["x", "t", 1, true, None::<&[u8]>]).await.unwrap();
    maintenance.commit().await.unwrap();
    for (id, text, constraint) in [("x", "other", "samples_pkey"), ("y", "t", "samples_t_n_key")] {
        let mut maintenance = store.begin_maintenance().await.unwrap();
        let error = maintenance.execute(INSERT, params![id, text, 1, true, None::<&[u8]>]).await.unwrap_err();
        assert!(error.is_conflict(constraint), "{error}");
    }
}

async fn a_wrong_statement_is_an_internal_error(database: impl Backend) {
    let store = open_with_table(&database).await;
    for sql in ["SELECT nonsense FROM samples", "INSERT INTO samples (id) VALUES (NULL)"] {
        let mut maintenance = store.begin_maintenance().await.unwrap();
        let error = maintenance.execute(sql, params![]).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
}

async fn a_reader_cannot_write(database: impl Backend) {
    let store = open_with_table(&database).await;
    let mut connection = store.read().await.unwrap();
    // It has no `execute`, and the engine refuses a query that writes.
    let sql = "INSERT INTO samples (id, t, n, b, y) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    let values = params!["x", "t", at(0), true, None::<&[u8]>];
    assert!(matches!(connection.fetch_all(sql, values).await, Err(StoreError::ReadOnly)));
}
