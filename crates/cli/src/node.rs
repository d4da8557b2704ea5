//! `keyward admin list-nodes`: the servers of an installation.

use crate::{
    configuration::InstallationArguments,
    failure::Outcome,
    host::{Missing, on_host},
    output,
};

/// List the servers of this installation: what each judges by, and its lease
#[derive(Debug, clap::Args)]
#[command(after_help = "\
BEHIND counts the changes that a server has not taken in yet: 0, but for a moment. A server that ended without a word stays
in the list until the next change, which waits for its lease once and then forgets it. SETTINGS is the beginning of a hash of
hosts, routes and trusted proxies, which have to be the same on every server.

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

impl ListNodes {
    pub(crate) async fn run(self) -> Outcome {
        let nodes =
            on_host(&self.installation, Missing::Refuse, async |app, host| Ok(app.list_nodes(host).await?)).await?;
        if self.json {
            return output::json(&nodes);
        }
        let rows: Vec<_> = nodes
            .items
            .iter()
            .map(|node| {
                [
                    node.id.to_string(),
                    node.name.clone(),
                    node.software_version.clone(),
                    node.version.to_string(),
                    node.behind.to_string(),
                    format!("{} s", node.lease_seconds),
                    node.settings_mark().to_owned(),
                    format!("{:.0}", node.renewed_at),
                ]
            })
            .collect();
        output::table(["ID", "HOST:PROCESS", "RELEASE", "VERSION", "BEHIND", "LEASE", "SETTINGS", "RENEWED"], &rows)
    }
}
