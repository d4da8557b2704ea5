//! `keyward audit`: verifies the audit log and signs its head on the host, and lists events on the host or through the
//! API.

use std::path::PathBuf;

use api::{AuditEvent, Page};
use server::app::AuditFilter;

use crate::{
    api_client::{ListArguments, query},
    configuration::InstallationArguments,
    connection::ConnectionArguments,
    failure::{Failure, Outcome},
    host::{Missing, find_workspace, on_host, pages_up_to},
    input::{read_bytes, to_text},
    output::{self, Column},
    workspace::WorkspaceArguments,
};

/// The audit log: verify it, sign its head, read it
///
/// The commands run on the machine that holds the data, with or without a running server. `list` can also read from the
/// API.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward audit checkpoint > checkpoint.txt      keep it on another machine
  keyward audit verify --checkpoint checkpoint.txt
  keyward audit list --workspace acme --action api_key.revoke")]
pub(crate) enum Audit {
    Verify(Verify),
    Checkpoint(Checkpoint),
    List(Box<List>),
}

/// Verify that no event was changed, deleted or inserted; prints a line for each finding, and exits with status 1
///
/// To find out whether the end of the log was removed, or the whole log rewritten, you need a checkpoint that was kept
/// elsewhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward audit verify --data /var/lib/keyward
  keyward audit verify --data /var/lib/keyward --checkpoint checkpoint.txt
  keyward audit verify --checkpoint old.txt --installation-key installation.key.old-1a2b3c4d")]
pub(crate) struct Verify {
    #[command(flatten)]
    installation: InstallationArguments,
    /// A checkpoint of this log, as `keyward audit checkpoint` printed it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The key that signed the checkpoint, if it was replaced since
    #[arg(long, value_name = "FILE", requires = "checkpoint")]
    installation_key: Option<PathBuf>,
}

/// Print size and root of the log as a signed note (C2SP tlog-checkpoint), to be kept elsewhere
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward audit checkpoint --data /var/lib/keyward > checkpoint.txt")]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    installation: InstallationArguments,
}

/// List events, the latest first
///
/// On the machine that holds the data, this lists the events of all workspaces. With `--url` (or KEYWARD_URL, if no
/// data directory is named), it lists the events of a workspace whose admin you are, from the API.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward audit list --data /var/lib/keyward --action request.refuse --limit 20
  keyward audit list --url https://keys.example.com --key id --workspace acme
  keyward audit list --principal bob@example.com --from 2026-01-31T12:00:00Z --json")]
pub(crate) struct List {
    /// Only events of this workspace
    #[arg(short, long, value_name = "SLUG|ID")]
    workspace: Option<String>,
    /// Only events by this principal: an email or address, `usr_…`, `sa_…`, `host` or `anonymous`
    #[arg(long, value_name = "EMAIL|ADDRESS|ID")]
    principal: Option<String>,
    /// Only events with this key, by its id or fingerprint
    #[arg(long, value_name = "KEY")]
    with_key: Option<String>,
    /// Only events with this action, such as `api_key.create` or `request.refuse`
    #[arg(long)]
    action: Option<String>,
    /// Only events about this object, such as `key_…`, `usr_…`, `sa_…` or `prj_…`
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only events at this time or later, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<domain::Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME")]
    to: Option<domain::Timestamp>,
    #[command(flatten)]
    paging: ListArguments,
    #[command(flatten)]
    installation: InstallationArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const COLUMNS: &[Column<'_, AuditEvent>] = &[
    Column::minor("NUMBER", &|event| event.sequence.to_string()),
    Column::word("AT", &|event| output::exact(event.at)),
    Column::word("BY", &|event| event.principal.clone()),
    Column::word("ACTION", &|event| event.action.clone()),
    Column::minor("TARGET", &|event| event.target.clone().unwrap_or_default()),
    Column::text("DETAIL", &|event| {
        let details = event.detail.iter().map(|(name, value)| format!("{name}={value}"));
        details.collect::<Vec<_>>().join(" ")
    }),
];

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
            Some(path) => {
                let (bytes, place) = read_bytes(path, "the checkpoint")?;
                let not_text = |()| Failure::new(format!("{place} is not a text file: give the checkpoint's file"));
                Some(to_text(&bytes).map_err(not_text)?)
            }
        };
        let report = on_host(&self.installation, Missing::Refuse, async |app, host| {
            Ok(app.verify_audit_log(host, note.as_deref(), self.installation_key.as_deref()).await?)
        })
        .await?;
        for finding in &report.findings {
            output::result(format!("finding: {finding}"))?;
        }
        if report.more_findings > 0 {
            output::result(format!("and {} more findings", report.more_findings))?;
        }
        if !report.is_intact() {
            output::result("the audit log was changed: keep the database as it is, and compare it with a backup")?;
            return Err(Failure::Printed);
        }
        if let Some(missed) = &report.missed_checkpoint {
            return output::result(format!("the audit log is intact in itself: {} events; {missed}", report.size));
        }
        let against = if note.is_some() { "in itself and against the checkpoint" } else { "in itself" };
        output::result(format!("the audit log is intact {against}: {} events", report.size))
    }
}

impl Checkpoint {
    async fn run(self) -> Outcome {
        let note =
            on_host(&self.installation, Missing::Refuse, async |app, host| Ok(app.sign_checkpoint(host).await?));
        // A signed note must be printed unchanged.
        output::bytes(note.await?.as_bytes())
    }
}

impl List {
    async fn run(self) -> Outcome {
        let is_on_host = self.installation.data.is_some() || self.installation.config.is_some();
        if is_on_host && self.connection.is_named() {
            return Err(Failure::new(
                "`--data` and `--config` read the events on this machine, `--url` and `--key` those of a server: choose one",
            ));
        }
        let events = if !is_on_host && self.connection.names_server()? {
            self.read_from_server().await?
        } else {
            self.read_on_host().await?
        };
        self.paging.print(&events, COLUMNS, "no matching events")
    }

    async fn read_from_server(&self) -> Outcome<Page<AuditEvent>> {
        let api = self.connection.api()?;
        let place = WorkspaceArguments { workspace: self.workspace.clone() }.find(&api).await?;
        let query = query([
            ("principal", self.principal.clone()),
            ("key", self.with_key.clone()),
            ("action", self.action.clone()),
            ("target", self.target.clone()),
            ("from", self.from.map(|from| from.to_string())),
            ("to", self.to.map(|to| to.to_string())),
        ]);
        api.list(&place.path(&format!("/audit-events{query}")), self.paging.limit).await
    }

    async fn read_on_host(&self) -> Outcome<Page<AuditEvent>> {
        let filter = AuditFilter {
            principal: self.principal.clone(),
            key: self.with_key.clone(),
            action: self.action.clone(),
            kind: None,
            target: self.target.clone(),
            from: self.from,
            to: self.to,
        };
        on_host(&self.installation, Missing::Refuse, async |app, host| {
            let workspace = match &self.workspace {
                Some(workspace) => Some(find_workspace(app, host, workspace).await?),
                None => None,
            };
            pages_up_to(self.paging.limit, async |paging| {
                Ok(match workspace {
                    Some(workspace) => app.list_audit_events(host, workspace, &filter, &paging).await?,
                    None => app.list_all_audit_events(host, &filter, &paging).await?,
                })
            })
            .await
        })
        .await
    }
}
