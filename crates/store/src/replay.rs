//! Stored responses to signed writes, kept until their signatures expire, so that a write happens once on all nodes. It
//! also stores the nonces of proxied writes, whose responses come from the API. The server selects the requests.

use domain::{ReplayKey, Timestamp};

use crate::{
    Maintenance, Row, StoreError,
    connection::{Connection, FromRow, WriteConnection},
    params,
    table::{
        Column,
        ColumnType::{Bytes, I64, Text},
        Insert, Table,
    },
};

pub(crate) static REPLAYS: Table<StoredResponse> = Table {
    name: "replays",
    columns: &[
        Column::key("replay_key", Bytes, |response| (&response.replay.key).into()),
        Column::fixed("key_id", Text, |response| response.replay.api_key.into()),
        Column::fixed("nonce", Text, |response| response.replay.nonce.as_ref().into()),
        Column::fixed("expires_at", I64, |response| response.replay.expires_at.into()),
        Column::fixed("status", I64, |response| i64::from(response.status).into()),
        Column::fixed("body", Bytes, |response| match &response.body {
            StoredBody::Plain(body) => body.into(),
            StoredBody::Sealed(_) => b"".as_slice().into(),
        }),
        Column::separate("epoch", I64),
        Column::fixed("sealed_body", Bytes, |response| match &response.body {
            StoredBody::Plain(_) => None::<&[u8]>.into(),
            StoredBody::Sealed(body) => body.into(),
        }),
    ],
};

impl FromRow for StoredResponse {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let status = row.i64("status")?;
        Ok(Self {
            replay: ReplayKey {
                key: replay_key(row)?,
                api_key: row.parse("key_id")?,
                nonce: row.opt_text("nonce")?,
                expires_at: row.timestamp("expires_at")?,
            },
            status: u16::try_from(status)
                .map_err(|_| StoreError::corrupt(format!("column `status`: {status} is not an HTTP status")))?,
            body: match row.opt_bytes("sealed_body")? {
                Some(sealed) => StoredBody::Sealed(sealed),
                None => StoredBody::Plain(row.bytes("body")?),
            },
        })
    }
}

fn replay_key(row: &Row) -> Result<[u8; 32], StoreError> {
    row.bytes("replay_key")?.try_into().map_err(|_| StoreError::corrupt("column `replay_key` is not 32 bytes long"))
}

/// The epoch of a new row.
const CURRENT_EPOCH: &str = "(SELECT replay_epoch FROM installation WHERE id = 1)";

/// The constraint that a repeated signed request violates.
pub const REPLAY_KEY_CONSTRAINT: &str = "replays_pkey";

/// The constraint that another request with the same key and nonce violates.
pub const NONCE_CONSTRAINT: &str = "replays_key_id_nonce_key";

/// The status of a row that only stores a nonce. The API behind the proxy sent the response.
const NO_RESPONSE: u16 = 0;

/// The response to the first of several requests with the same signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredResponse {
    /// The request.
    pub replay: ReplayKey,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: StoredBody,
}

/// A stored body. It may contain secrets, such as the token of an invitation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredBody {
    /// Encrypted by the caller.
    Sealed(Vec<u8>),
    /// In the format of the previous release.
    Plain(Vec<u8>),
}

/// What an earlier request stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Earlier {
    /// The same signed request was executed, with this response.
    Executed(StoredResponse),
    /// Another request used the nonce, or the same one at an API behind the proxy.
    UsedNonce,
}

/// Returns what an earlier request stored that had the same signature, or the same key and nonce.
///
/// # Errors
/// The database does not answer, or the row is corrupt.
pub async fn find_earlier(connection: &mut Connection, replay: &ReplayKey) -> Result<Option<Earlier>, StoreError> {
    let sql = REPLAYS.select("WHERE replay_key = $1 OR (key_id = $2 AND nonce = $3)");
    let rows = connection.list(sql, params![replay.key, replay.api_key, replay.nonce.as_deref()]).await?;
    Ok(find_earlier_of(&rows, replay))
}

/// Returns what one of these requests stored, if it had the same signature, or the same key and nonce.
pub(crate) fn find_earlier_of(stored: &[StoredResponse], replay: &ReplayKey) -> Option<Earlier> {
    let same = stored.iter().find(|stored| stored.replay.key == replay.key && stored.status != NO_RESPONSE);
    if let Some(same) = same {
        return Some(Earlier::Executed(same.clone()));
    }
    let uses_nonce = |stored: &StoredResponse| {
        replay.nonce.is_some() && (stored.replay.api_key, &stored.replay.nonce) == (replay.api_key, &replay.nonce)
    };
    stored.iter().any(uses_nonce).then_some(Earlier::UsedNonce)
}

/// Refuses a second response to a request, or a second use of a nonce, as the constraints do.
///
/// # Errors
/// [`StoreError::Conflict`] on [`REPLAY_KEY_CONSTRAINT`] or [`NONCE_CONSTRAINT`].
pub(crate) fn require_fresh(stored: &[StoredResponse], replay: &ReplayKey) -> Result<(), StoreError> {
    let constraint = match find_earlier_of(stored, replay) {
        Some(Earlier::Executed(_)) => REPLAY_KEY_CONSTRAINT,
        Some(Earlier::UsedNonce) => NONCE_CONSTRAINT,
        None => return Ok(()),
    };
    Err(StoreError::Conflict { constraint: constraint.to_owned() })
}

/// Stores responses.
///
/// # Errors
/// [`StoreError::Conflict`] on [`REPLAY_KEY_CONSTRAINT`] or [`NONCE_CONSTRAINT`]. The transaction has then failed and
/// can only be dropped.
pub(crate) async fn insert_responses(
    connection: &mut WriteConnection,
    responses: &[StoredResponse],
) -> Result<(), StoreError> {
    let inserts = responses.iter().map(|response| REPLAYS.insert(response).expression("epoch", CURRENT_EPOCH));
    Insert::run_all(inserts, connection).await
}

/// Records that the nonces of these requests are used, and returns for each whether it was fresh. A nonce that any node
/// has recorded is not fresh, also if the same request used it.
///
/// # Errors
/// The database does not answer.
pub async fn insert_nonces(maintenance: &mut Maintenance, requests: &[&ReplayKey]) -> Result<Vec<bool>, StoreError> {
    let mut fresh = Vec::with_capacity(requests.len());
    for &replay in requests {
        let row = StoredResponse { replay: replay.clone(), status: NO_RESPONSE, body: StoredBody::Plain(Vec::new()) };
        let insert = REPLAYS.insert(&row).expression("epoch", CURRENT_EPOCH).or_ignore();
        fresh.push(insert.run(maintenance).await? == 1);
    }
    Ok(fresh)
}

/// A period in which replays were stored, counted from 0. A node that observed its begin knows by its own clock the
/// minimum age of rows from earlier epochs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Epoch(u64);

/// Begins an epoch. It locks the row of the installation.
///
/// # Errors
/// The database does not answer.
pub async fn begin_epoch(maintenance: &mut Maintenance) -> Result<Epoch, StoreError> {
    let sql = "UPDATE installation SET replay_epoch = replay_epoch + 1 WHERE id = 1 RETURNING replay_epoch";
    let epoch = maintenance.fetch_one(sql, params![]).await?.count("replay_epoch")?;
    // Rows that nodes of the previous release have stored until now are at least as old as this epoch.
    maintenance.execute("UPDATE replays SET epoch = $1 WHERE epoch IS NULL", params![epoch.cast_signed() - 1]).await?;
    Ok(Epoch(epoch))
}

/// Deletes the rows from before an epoch whose signatures have expired at `now`, the caller's time. `now` alone is not
/// sufficient, because the clocks of other nodes may be behind. Returns the number of rows.
///
/// # Errors
/// The database does not answer.
pub async fn delete_expired(maintenance: &mut Maintenance, before: Epoch, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM replays WHERE epoch < $1 AND expires_at < $2";
    maintenance.execute(sql, params![before.0.cast_signed(), now]).await
}
