//! The nodes of an installation, for operators.

use store::{
    Connection,
    node::{Feature, RegisteredNode},
};

use super::{App, Caller};
use crate::error::{AppError, Conflict};

/// Refuses a change while a node is running that does not know what the change needs.
pub(super) async fn require_known(connection: &mut Connection, feature: Feature) -> Result<(), AppError> {
    let nodes = store::node::list_nodes_without(connection, feature).await?;
    if nodes.is_empty() { Ok(()) } else { Err(Conflict::UpgradeInProgress { missing: feature, nodes }.into()) }
}

impl App {
    /// Returns whether several nodes run on this database, as far as this one has seen.
    #[must_use]
    pub fn has_several_nodes(&self) -> bool {
        self.cluster.has_several_nodes()
    }

    /// Returns the nodes on this database, the oldest first.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn list_nodes(&self, caller: &Caller) -> Result<api::Page<api::Node>, AppError> {
        caller.principal.authorize_operator()?;
        let version = self.store.current_version().await?;
        let own = self.cluster.own_report().map(|(node, _)| node);
        let to_wire =
            |RegisteredNode { node, acknowledged, registered_at, renewed_at, .. }: RegisteredNode| api::Node {
                id: node.id,
                name: node.name,
                software_version: node.software_version,
                lease_seconds: node.lease.as_secs(),
                version: acknowledged.0,
                behind: version.0.saturating_sub(acknowledged.0),
                registered_at,
                renewed_at,
                answers: own == Some(node.id),
                settings_hash: node.settings_hash,
            };
        Ok(api::Page { items: self.store.list_nodes().await?.into_iter().map(to_wire).collect(), next: None })
    }
}
