//! A node of an earlier release on the same database.

use domain::NodeId;
use store::{Version, node::Node};

use super::TestApp;

impl TestApp {
    /// Registers a node that has acknowledged every version, and knows the database up to this format. `None`: a node of
    /// a release that registered no format. It is named `older:1`.
    pub async fn older_node(&self, known_format: Option<i64>) -> NodeId {
        let store = self.store().await;
        let node = Node {
            id: "node_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
            name: "older:1".to_owned(),
            software_version: "0.0.1".to_owned(),
            lease: std::time::Duration::from_secs(2),
            settings_hash: None,
        };
        store.register_node(&node, Version(u64::MAX >> 1), self.app.now()).await.unwrap();
        let mut maintenance = store.begin_maintenance().await.unwrap();
        let sql = "UPDATE nodes SET known_format = $2 WHERE id = $1";
        assert_eq!(maintenance.execute(sql, store::params![node.id, known_format]).await.unwrap(), 1);
        maintenance.commit().await.unwrap();
        node.id
    }
}
