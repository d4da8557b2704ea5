//! Rotations of keys.

use std::collections::BTreeMap;

use domain::{ApiKeyId, PrincipalId, Timestamp, key_use::UseSpan, rotation::KeyRotation};

use crate::{
    Change, Connection, Row, StoreError,
    api_key::live_key,
    connection::{FromRow, LIST_MAX, push_list},
    params,
    table::{
        Column,
        ColumnType::{I64, Text},
        Table,
    },
    value::Statement,
};

pub(crate) static KEY_ROTATIONS: Table<KeyRotation> = Table {
    name: "key_rotations",
    columns: &[
        Column::key("successor_id", Text, |rotation| rotation.successor.into()),
        Column::fixed("predecessor_id", Text, |rotation| rotation.predecessor.into()),
        Column::fixed("rotated_at", I64, |rotation| rotation.rotated_at.into()),
        Column::fixed("ends_at", I64, |rotation| rotation.ends_at.into()),
        Column::fixed("expires_before", I64, |rotation| rotation.expires_before.into()),
        Column::fixed("accepted_before", I64, |rotation| {
            i64::try_from(rotation.accepted_before).unwrap_or(i64::MAX).into()
        }),
        Column::mutable("undone_at", I64, |rotation| rotation.undone_at.into()),
    ],
};

impl FromRow for KeyRotation {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            successor: row.parse("successor_id")?,
            predecessor: row.parse("predecessor_id")?,
            rotated_at: row.timestamp("rotated_at")?,
            ends_at: row.timestamp("ends_at")?,
            expires_before: row.opt_timestamp("expires_before")?,
            accepted_before: row.count("accepted_before")?,
            undone_at: row.opt_timestamp("undone_at")?,
        })
    }
}

/// Records a rotation. The caller registers the successor, and writes the expiry of the predecessor.
pub async fn insert_rotation(change: &mut Change, rotation: &KeyRotation) -> Result<(), StoreError> {
    KEY_ROTATIONS.insert(rotation).run(change).await?;
    Ok(())
}

/// Updates when a rotation was undone.
pub async fn update_rotation(change: &mut Change, rotation: &KeyRotation) -> Result<(), StoreError> {
    KEY_ROTATIONS.update(change, rotation).await?;
    Ok(())
}

/// Returns the rotation by which a key has a successor, unless it was undone.
pub async fn find_rotation_of(
    connection: &mut Connection,
    predecessor: ApiKeyId,
) -> Result<Option<KeyRotation>, StoreError> {
    let sql = KEY_ROTATIONS.select("WHERE predecessor_id = $1 AND undone_at IS NULL");
    connection.find(sql, params![predecessor]).await
}

/// Returns the rotations in which these keys are predecessors or successors, without those that were undone.
pub async fn list_rotations(connection: &mut Connection, keys: &[ApiKeyId]) -> Result<Vec<KeyRotation>, StoreError> {
    let mut found: BTreeMap<ApiKeyId, KeyRotation> = BTreeMap::new();
    for keys in keys.chunks(LIST_MAX) {
        let mut values = Vec::new();
        let list = push_list(&mut values, keys);
        let select = KEY_ROTATIONS.select("WHERE undone_at IS NULL AND (predecessor_id IN (");
        let sql = Statement::built(format!("{}{list}) OR successor_id IN ({list}))", select.as_str()));
        for rotation in connection.list::<KeyRotation>(sql, &values).await? {
            found.insert(rotation.successor, rotation);
        }
    }
    Ok(found.into_values().collect())
}

/// Returns the live keys of an owner, each with its predecessor if it has one, for the quota.
pub async fn list_live_keys(
    connection: &mut Connection,
    owner: PrincipalId,
    now: Timestamp,
) -> Result<BTreeMap<ApiKeyId, Option<ApiKeyId>>, StoreError> {
    let sql = concat!(
        "SELECT api_keys.id, key_rotations.predecessor_id FROM api_keys
         LEFT JOIN key_rotations ON key_rotations.successor_id = api_keys.id AND key_rotations.undone_at IS NULL
         WHERE api_keys.owner_id = $1 AND ",
        live_key!("$2")
    );
    let rows = connection.fetch_all(sql, params![owner, now]).await?;
    rows.iter().map(|row| Ok((row.parse("id")?, row.opt_parse("predecessor_id")?))).collect()
}

/// Returns the number of accepted requests with a key since the start of the day of `since`.
pub async fn count_accepted(connection: &mut Connection, key: ApiKeyId, since: Timestamp) -> Result<u64, StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(accepted), 0) AS BIGINT) AS accepted FROM use_counters
               WHERE key_id = $1 AND span = $2 AND starts_at >= $3";
    let span = UseSpan::Day;
    connection.fetch_one(sql, params![key, span.as_str(), span.start(since, 0)]).await?.count("accepted")
}
