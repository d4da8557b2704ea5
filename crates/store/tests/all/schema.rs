//! The lists of columns for statements and for the transfer match the schema.

use std::collections::BTreeMap;

use store::{ColumnType, ReadConnection, params, schema};

use crate::support::{Backend, on_every_engine};

on_every_engine! {
    column_lists_match_the_schema
}

/// Name to type and membership of the primary key, by `TABLE.COLUMN`.
type Columns = BTreeMap<String, (ColumnType, bool)>;

const SQLITE: &str = "SELECT m.name || '.' || c.name AS name, c.type AS type, c.pk > 0 AS is_key
     FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'";

const POSTGRES: &str = "SELECT CAST(c.table_name AS TEXT) || '.' || CAST(c.column_name AS TEXT) AS name,
         CAST(c.data_type AS TEXT) AS type, k.column_name IS NOT NULL AS is_key
     FROM information_schema.columns c
     LEFT JOIN information_schema.key_column_usage k ON k.table_schema = c.table_schema AND k.table_name = c.table_name
         AND k.column_name = c.column_name
         AND CAST(k.constraint_name AS TEXT) = CAST(c.table_name AS TEXT) || '_pkey'
     WHERE c.table_schema = 'public'";

async fn read_schema(connection: &mut ReadConnection) -> Columns {
    let rows = match connection.fetch_all(SQLITE, params![]).await {
        Ok(rows) => rows,
        Err(_) => connection.fetch_all(POSTGRES, params![]).await.unwrap(),
    };
    let column = |row: &store::Row| {
        let kind = match row.text("type").unwrap().to_ascii_lowercase().as_str() {
            "text" => ColumnType::Text,
            "bigint" => ColumnType::I64,
            "boolean" => ColumnType::Bool,
            "bytea" => ColumnType::Bytes,
            other => panic!("the five value types have no {other}"),
        };
        (row.text("name").unwrap(), (kind, row.bool("is_key").unwrap()))
    };
    rows.iter().map(column).collect()
}

async fn column_lists_match_the_schema(database: impl Backend) {
    let store = database.open().await;
    let mut schema = read_schema(&mut store.read().await.unwrap()).await;
    schema.retain(|name, _| !name.starts_with("migrations."));
    assert!(schema.len() > 100, "{schema:?}");
    let listed: Columns = schema::columns()
        .map(|column| (format!("{}.{}", column.table, column.name), (column.kind, column.is_key)))
        .collect();
    let missing: Vec<_> = schema.keys().filter(|name| !listed.contains_key(*name)).collect();
    assert!(
        missing.is_empty(),
        "the store's lists of columns lack {missing:?}: add them to the `Table` of their feature"
    );
    assert_eq!(listed, schema);
}
