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
    let public_key = row.opt_bytes("public_key")?.map(<[u8; 32]>::try_from).transpose();
    Ok(Installation {
        public_key: public_key.map_err(|_| StoreError::corrupt("the installation's public key"))?,
        id: row.text("installation_id")?,
        token_epoch: row.count("token_epoch")?,
        signatures_from: row.timestamp("signatures_from")?,
        created_at: row.timestamp("created_at")?,
    })
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
