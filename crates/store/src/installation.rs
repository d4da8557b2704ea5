//! The installation. Every change locks its one row.

use domain::{Random, Timestamp};

use crate::{
    StoreError,
    connection::{Connection, WriteConnection},
    params,
    table::{
        Column,
        ColumnType::{Bytes, I64, Text},
        Table,
    },
};

/// Several features write to the one row, each to its own columns.
pub(crate) static INSTALLATION: Table<()> = Table {
    name: "installation",
    columns: &[
        Column::separate_key("id", I64),
        Column::separate("installation_id", Text),
        Column::separate("version", I64),
        Column::separate("feed_start", I64),
        Column::separate("audit_size", I64),
        Column::separate("audit_range", Bytes),
        Column::separate("token_epoch", I64),
        Column::separate("signatures_from", I64),
        Column::separate("created_at", I64),
        Column::separate("public_key", Bytes),
        Column::separate("replay_epoch", I64),
    ],
};

/// The installation, as its row describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Installation {
    /// 32 lower-case hex digits, generated with the database.
    pub id: String,
    /// Bearer tokens of earlier epochs are invalid.
    pub token_epoch: u64,
    /// Signatures from before this time are invalid, because a restore loses which of them were used.
    pub signatures_from: Timestamp,
    /// When the database was created.
    pub created_at: Timestamp,
    /// The public part of its key, after it was first opened with a key.
    pub public_key: Option<[u8; 32]>,
}

impl Installation {
    /// Returns the name of its audit log in checkpoints: `keyward/ID`.
    #[must_use]
    pub fn log_origin(&self) -> String {
        format!("keyward/{}", self.id)
    }

    /// Refuses a key that is known to belong to another installation.
    ///
    /// # Errors
    /// [`StoreError::ForeignKey`]: it belongs to another installation.
    pub fn require_key(&self, public_key: &[u8; 32]) -> Result<(), StoreError> {
        match &self.public_key {
            Some(own) if own != public_key => Err(StoreError::ForeignKey),
            _ => Ok(()),
        }
    }
}

/// Reads the installation's row.
///
/// # Errors
/// The database does not answer, or the row is corrupt.
pub async fn find_installation(connection: &mut Connection) -> Result<Installation, StoreError> {
    let row = connection
        .fetch_one(
            "SELECT installation_id, token_epoch, signatures_from, created_at, public_key
             FROM installation WHERE id = 1",
            params![],
        )
        .await?;
    Ok(Installation {
        public_key: row.opt_bytes("public_key")?.map(|stored| without_mark(&stored)).transpose()?,
        id: row.text("installation_id")?,
        token_epoch: row.count("token_epoch")?,
        signatures_from: row.timestamp("signatures_from")?,
        created_at: row.timestamp("created_at")?,
    })
}

/// The first byte of the stored public key of an installation with policies for keys. A node of a release that knows no
/// policies cannot read the key, and so cannot accept keys without them.
const WITH_POLICIES: u8 = 0xff;

/// Returns the public key of its form in the database.
fn without_mark(stored: &[u8]) -> Result<[u8; 32], StoreError> {
    let key = match stored {
        [WITH_POLICIES, key @ ..] if key.len() == 32 => key,
        key => key,
    };
    key.try_into().map_err(|_| StoreError::corrupt("the installation's public key"))
}

/// Writes the public key in the form that belongs to the policies: with the mark while there is one.
pub(crate) async fn mark_public_key(change: &mut WriteConnection) -> Result<(), StoreError> {
    let sql = "SELECT public_key, EXISTS (SELECT 1 FROM key_policies) AS has_policies FROM installation WHERE id = 1";
    let row = change.fetch_one(sql, params![]).await?;
    let Some(stored) = row.opt_bytes("public_key")? else { return Ok(()) };
    let key = without_mark(&stored)?;
    let form = if row.bool("has_policies")? { [&[WITH_POLICIES], key.as_slice()].concat() } else { key.to_vec() };
    if form != stored {
        change.execute("UPDATE installation SET public_key = $1 WHERE id = 1", params![form]).await?;
    }
    Ok(())
}

pub(crate) async fn create_if_missing(
    connection: &mut WriteConnection,
    now: Timestamp,
    random: &dyn Random,
) -> Result<(), StoreError> {
    let mut id = [0; 16];
    random.fill(&mut id);
    let id = format!("{:032x}", u128::from_be_bytes(id));
    connection
        .execute(
            "INSERT INTO installation
                (id, installation_id, version, feed_start, audit_size, audit_range, token_epoch, signatures_from,
                 created_at)
             VALUES (1, $1, 0, 0, 0, $2, 0, 0, $3) ON CONFLICT (id) DO NOTHING",
            params![id, [0_u8; 0], now],
        )
        .await?;
    Ok(())
}
