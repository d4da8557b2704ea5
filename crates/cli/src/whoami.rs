//! `keyward whoami`: shows the principal of a key.

use api::PrincipalKind;

use crate::{connection::ConnectionArguments, failure::Outcome, output};

/// Show your user or service account, the key in use, and your workspaces
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward whoami --url https://keys.example.com --key ~/.ssh/id_ed25519
  keyward whoami --url https://keys.example.com --agent --agent-key 'ann@laptop'
  KEYWARD_URL=https://keys.example.com KEYWARD_KEY=\"$CI_SECRET\" keyward whoami --json")]
pub(crate) struct Whoami {
    #[command(flatten)]
    connection: ConnectionArguments,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

impl Whoami {
    pub(crate) async fn run(self) -> Outcome {
        let me: api::Me = self.connection.api()?.me().await?;
        if self.json {
            return output::json(&me);
        }
        let kind = match me.principal.kind {
            PrincipalKind::User => "user",
            PrincipalKind::ServiceAccount => "service account",
        };
        let operator = if me.operator { ", operator" } else { "" };
        output::result(format!(
            "{} ({kind} {}, {}{operator})",
            me.principal.email, me.principal.name, me.principal.id
        ))?;
        if let Some(key) = &me.key {
            output::result(format!("key        {} ({})", key.fingerprint, key.id))?;
        }
        for workspace in &me.workspaces {
            output::result(format!(
                "workspace  {} ({}, {}): {}",
                workspace.slug, workspace.name, workspace.id, workspace.role
            ))?;
        }
        Ok(())
    }
}
