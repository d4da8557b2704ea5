//! `keyward admin list-nodes`: the servers of an installation.

use api::Node;

use crate::{
    configuration::InstallationArguments,
    failure::Outcome,
    host::{Missing, on_host},
    output::{self, Column},
};

/// List the nodes of this installation: the version that each has applied, and its lease
#[derive(Debug, clap::Args)]
#[command(after_help = "\
BEHIND counts the changes that a node has not acknowledged yet. It is usually 0. A node that stopped without signing off stays
in the list until the next change, which waits for its lease to expire and then evicts it. SETTINGS is the beginning of a hash
of hosts, routes and trusted proxies, which have to be the same on every node.

Examples:
  keyward admin list-nodes --data /var/lib/keyward
  keyward admin list-nodes --json")]
pub(crate) struct ListNodes {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

const COLUMNS: &[Column<'_, Node>] = &[
    Column::id(&|node| node.id.to_string()),
    Column::word("HOST:PROCESS", &|node| node.name.clone()),
    Column::word("RELEASE", &|node| node.software_version.clone()),
    Column::word("VERSION", &|node| node.version.to_string()),
    Column::word("BEHIND", &|node| node.behind.to_string()),
    Column::word("LEASE", &|node| format!("{} s", node.lease_seconds)),
    Column::minor("SETTINGS", &|node| node.settings_mark().to_owned()),
    Column::minor("RENEWED", &|node| output::exact(node.renewed_at)),
];

impl ListNodes {
    pub(crate) async fn run(self) -> Outcome {
        let nodes =
            on_host(&self.installation, Missing::Refuse, async |app, host| Ok(app.list_nodes(host).await?)).await?;
        if self.json {
            return output::json(&nodes);
        }
        output::table(COLUMNS, &nodes.items)
    }
}
