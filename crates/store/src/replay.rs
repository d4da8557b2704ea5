//! First answers to signed writes, kept until their signatures end, so that the same write happens once on all nodes;
//! and the nonces of writes that somebody else answers. When a request is such a write is the server's to know.

use domain::{ApiKeyId, ReplayKey, Timestamp};

use crate::{StoreError, Upkeep, connection::Connection, params};

/// The constraint that the same signed request breaks when it comes again.
pub const REPLAY_KEY_CONSTRAINT: &str = "replays_pkey";

/// The constraint that another request with the same key and nonce breaks.
pub const NONCE_CONSTRAINT: &str = "replays_key_id_nonce_key";

/// The status of a row that keeps a nonce only: the answer was somebody else's.
const NO_ANSWER: i64 = 0;

/// What was answered the first time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The request.
    pub replay: ReplayKey,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: StoredBody,
}

/// A stored body: it may hold secrets, such as the token of an invitation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredBody {
    /// Encrypted by whoever stored it.
    Sealed(Vec<u8>),
    /// As a node of the previous release stored it.
    Plain(Vec<u8>),
}

/// The first answer to the signed request of this replay key.
///
/// # Errors
/// The database does not answer, or the row is corrupt.
pub async fn find_replay(connection: &mut Connection, key: [u8; 32]) -> Result<Option<Answer>, StoreError> {
    let row = connection
        .fetch_optional(
            "SELECT key_id, nonce, expires_at, status, body, sealed_body FROM replays WHERE replay_key = $1 AND status <> $2",
            params![key, NO_ANSWER],
        )
        .await?;
    row.map(|row| {
        let status = row.i64("status")?;
        Ok(Answer {
            replay: ReplayKey {
                key,
                api_key: row.parse("key_id")?,
                nonce: row.opt_text("nonce")?,
                expires_at: row.timestamp("expires_at")?,
            },
            status: u16::try_from(status)
                .map_err(|_| StoreError::corrupt(format!("column `status`: {status} is no HTTP status")))?,
            body: match row.opt_bytes("sealed_body")? {
                Some(sealed) => StoredBody::Sealed(sealed),
                None => StoredBody::Plain(row.bytes("body")?),
            },
        })
    })
    .transpose()
}

/// The replay key of the request that used this key's nonce.
///
/// # Errors
/// The database does not answer, or the row is corrupt.
pub async fn find_nonce(
    connection: &mut Connection,
    api_key: ApiKeyId,
    nonce: &str,
) -> Result<Option<[u8; 32]>, StoreError> {
    let row = connection
        .fetch_optional("SELECT replay_key FROM replays WHERE key_id = $1 AND nonce = $2", params![api_key, nonce])
        .await?;
    row.map(|row| {
        row.bytes("replay_key")?.try_into().map_err(|_| StoreError::corrupt("column `replay_key` is not 32 bytes long"))
    })
    .transpose()
}

/// Keeps an answer.
///
/// # Errors
/// [`StoreError::Conflict`] over [`REPLAY_KEY_CONSTRAINT`] or [`NONCE_CONSTRAINT`]; the transaction is then good for
/// nothing but to be dropped.
pub async fn insert_answer(connection: &mut Connection, answer: &Answer) -> Result<(), StoreError> {
    let Answer { replay, status, body } = answer;
    let (plain, sealed) = match body {
        StoredBody::Plain(plain) => (plain.as_slice(), None),
        StoredBody::Sealed(sealed) => (&[][..], Some(sealed.as_slice())),
    };
    connection
        .execute(
            "INSERT INTO replays (replay_key, key_id, nonce, expires_at, status, body, sealed_body, epoch)
             VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT replay_epoch FROM installation WHERE id = 1))",
            params![
                &replay.key,
                replay.api_key,
                replay.nonce.as_deref(),
                replay.expires_at,
                i64::from(*status),
                plain,
                sealed
            ],
        )
        .await?;
    Ok(())
}

/// Notes that the nonces of these requests are used, and tells of each whether it was fresh. One that was used before,
/// by the same request or another one, answered here or elsewhere, is not.
///
/// # Errors
/// The database does not answer.
pub async fn insert_nonces(upkeep: &mut Upkeep, requests: &[&ReplayKey]) -> Result<Vec<bool>, StoreError> {
    let mut fresh = Vec::with_capacity(requests.len());
    for replay in requests {
        let rows = upkeep
            .execute(
                "INSERT INTO replays (replay_key, key_id, nonce, expires_at, status, body, epoch)
                 VALUES ($1, $2, $3, $4, $5, $6, (SELECT replay_epoch FROM installation WHERE id = 1))
                 ON CONFLICT DO NOTHING",
                params![
                    &replay.key,
                    replay.api_key,
                    replay.nonce.as_deref(),
                    replay.expires_at,
                    NO_ANSWER,
                    b"".as_slice()
                ],
            )
            .await?;
        fresh.push(rows == 1);
    }
    Ok(fresh)
}

/// A stretch of time in which replays were kept, counted from 0. Whoever saw one begin knows on their own clock how old
/// everything from before it is at the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Epoch(u64);

/// Begins an epoch. It takes the locked row.
///
/// # Errors
/// The database does not answer.
pub async fn begin_epoch(upkeep: &mut Upkeep) -> Result<Epoch, StoreError> {
    let sql = "UPDATE installation SET replay_epoch = replay_epoch + 1 WHERE id = 1 RETURNING replay_epoch";
    let epoch = upkeep.fetch_one(sql, params![]).await?.count("replay_epoch")?;
    // What nodes of the release before have kept by now is at least as old as this epoch.
    upkeep.execute("UPDATE replays SET epoch = $1 WHERE epoch IS NULL", params![epoch.cast_signed() - 1]).await?;
    Ok(Epoch(epoch))
}

/// Forgets the answers from before an epoch whose signatures have ended by the clock of whoever asks, too. `now` alone would
/// not do: other nodes' clocks may be behind. Tells how many there were.
///
/// # Errors
/// The database does not answer.
pub async fn delete_expired(connection: &mut Connection, before: Epoch, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM replays WHERE epoch < $1 AND expires_at < $2";
    connection.execute(sql, params![before.0.cast_signed(), now]).await
}
