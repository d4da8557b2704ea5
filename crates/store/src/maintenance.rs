//! Transactions that are not changes.

use std::ops;

use crate::{StoreError, connection::WriteConnection, engine::Link};

/// A transaction for maintenance: last uses, leases, the deletion of expired rows. It has no version and no audit
/// event, and directories load nothing after it.
#[must_use = "maintenance that is dropped is rolled back"]
pub struct Maintenance {
    connection: WriteConnection,
}

impl From<Link> for Maintenance {
    fn from(link: Link) -> Self {
        Self { connection: link.into() }
    }
}

impl Maintenance {
    /// Commits.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.connection.commit().await
    }
}

impl ops::Deref for Maintenance {
    type Target = WriteConnection;

    fn deref(&self) -> &WriteConnection {
        &self.connection
    }
}

impl ops::DerefMut for Maintenance {
    fn deref_mut(&mut self) -> &mut WriteConnection {
        &mut self.connection
    }
}
