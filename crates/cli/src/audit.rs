//! `keyward audit`: verifying the audit log, its signed head, and reading it, on the host.

use std::path::PathBuf;

use server::app::AuditFilter;

use crate::{
    admin::{all_pages, find_workspace},
    configuration::InstallationArguments,
    failure::{Failure, Outcome},
    host::{Missing, on_host},
    output,
};

/// The audit log: verify it, sign its head, read it. On the machine that holds the data, beside a running server or not.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward audit checkpoint > checkpoint.txt      keep it on another machine
  keyward audit verify --checkpoint checkpoint.txt
  keyward audit list --workspace acme --action api_key.revoke")]
pub(crate) enum Audit {
    Verify(Verify),
    Checkpoint(Checkpoint),
    List(List),
}

/// Verify that no event was changed, deleted or inserted; exit status 1 and a line for each finding if one was
///
/// Only a checkpoint that was kept elsewhere can show that the end of the log was cut off, or that all of it was
/// rewritten.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    installation: InstallationArguments,
    /// A checkpoint of this log, as `keyward audit checkpoint` printed it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// Print size and root of the log as a signed note (C2SP tlog-checkpoint), to be kept elsewhere
#[derive(Debug, clap::Args)]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    installation: InstallationArguments,
}

/// List events, the latest first
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Only those of this workspace
    #[arg(long, value_name = "SLUG|ID")]
    workspace: Option<String>,
    /// Only those by this principal: `usr_…`, `sa_…`, `host` or `anonymous`
    #[arg(long)]
    principal: Option<String>,
    /// Only those with this key
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only those of this action, such as `api_key.create` or `request.refuse`
    #[arg(long)]
    action: Option<String>,
    /// Only those at this time or later, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<domain::Timestamp>,
    /// Only those before this time
    #[arg(long, value_name = "TIME")]
    to: Option<domain::Timestamp>,
    /// How many at the most [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Verify(command) => command.run().await,
            Self::Checkpoint(command) => command.run().await,
            Self::List(command) => command.run().await,
        }
    }
}

impl Verify {
    async fn run(self) -> Outcome {
        let note = match &self.checkpoint {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                Failure::new(format!("{} cannot be read ({error}): name the checkpoint's file", path.display()))
            })?),
        };
        let report = on_host(&self.installation, Missing::Refuse, async |app, host| {
            Ok(app.verify_audit_log(host, note.as_deref()).await?)
        })
        .await?;
        for finding in &report.findings {
            output::line(format!("finding: {finding}"))?;
        }
        if report.more_findings > 0 {
            output::line(format!("and {} findings more", report.more_findings))?;
        }
        if !report.is_intact() {
            output::line(
                "the audit log is not what was written: keep the database as it is, and compare it with a backup",
            )?;
            return Err(Failure::Printed);
        }
        let against = if note.is_some() { "in itself and against the checkpoint" } else { "in itself" };
        output::line(format!("the audit log is intact {against}: {} events", report.size))
    }
}

impl Checkpoint {
    async fn run(self) -> Outcome {
        let note =
            on_host(&self.installation, Missing::Refuse, async |app, host| Ok(app.sign_checkpoint(host).await?));
        // A signed note, byte for byte.
        output::bytes(note.await?.as_bytes())
    }
}

impl List {
    async fn run(self) -> Outcome {
        let filter =
            AuditFilter { principal: self.principal, key: self.key, action: self.action, from: self.from, to: self.to };
        let mut events = on_host(&self.installation, Missing::Refuse, async |app, host| {
            let workspace = match &self.workspace {
                Some(workspace) => Some(find_workspace(app, host, workspace).await?),
                None => None,
            };
            all_pages(async |paging| {
                Ok(match workspace {
                    Some(workspace) => app.list_audit_events(host, workspace, &filter, &paging).await?,
                    None => app.list_all_audit_events(host, &filter, &paging).await?,
                })
            })
            .await
        })
        .await?;
        events.items.truncate(self.limit.unwrap_or(usize::MAX));
        if self.json {
            return output::json(&events);
        }
        let rows: Vec<_> = events
            .items
            .iter()
            .map(|event| {
                let detail = event.detail.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
                [
                    event.sequence.to_string(),
                    format!("{:.0}", event.at),
                    event.principal.clone(),
                    event.action.clone(),
                    event.target.clone().unwrap_or_default(),
                    detail.join(" "),
                ]
            })
            .collect();
        output::table(["NUMBER", "AT", "BY", "ACTION", "TARGET", "DETAIL"], &rows)
    }
}
