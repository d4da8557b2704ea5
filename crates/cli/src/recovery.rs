//! `keyward admin list-suspended-keys` and `confirm-keys`: after a restore.

use domain::ApiKeyId;
use server::app::KeysToConfirm;

use crate::{
    admin::all_pages,
    configuration::InstallationArguments,
    failure::{Failure, Outcome},
    host::{Missing, on_host},
    output,
};

/// List the keys that a restore suspended, with their last use as far as the backup knows
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin list-suspended-keys --data /var/lib/keyward")]
pub(crate) struct ListSuspendedKeys {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Let keys that a restore suspended work again
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["all", "keys"])), after_help = "\
Examples:
  keyward admin confirm-keys --data /var/lib/keyward --key key_… --key key_…
  keyward admin confirm-keys --data /var/lib/keyward --all")]
pub(crate) struct ConfirmKeys {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Confirm all of them
    #[arg(long)]
    all: bool,
    /// Confirm this one; may stand several times
    #[arg(long = "key", value_name = "ID")]
    keys: Vec<ApiKeyId>,
}

impl ListSuspendedKeys {
    pub(crate) async fn run(self) -> Outcome {
        let keys = on_host(&self.installation, Missing::Refuse, async |app, host| {
            all_pages(async |paging| Ok(app.list_suspended_keys(host, &paging).await?)).await
        })
        .await?;
        if self.json {
            return output::json(&keys);
        }
        let rows: Vec<[String; 5]> = keys
            .items
            .iter()
            .map(|key| {
                [
                    key.id.to_string(),
                    key.email.clone().unwrap_or_else(|| key.owner.to_string()),
                    key.title.clone(),
                    key.fingerprint.clone(),
                    key.last_used_at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}")),
                ]
            })
            .collect();
        output::table(["ID", "OWNER", "TITLE", "FINGERPRINT", "LAST USED"], &rows)
    }
}

impl ConfirmKeys {
    pub(crate) async fn run(self) -> Outcome {
        let asked = self.keys.len();
        let which = if self.all { KeysToConfirm::All } else { KeysToConfirm::These(self.keys) };
        let confirmed = on_host(&self.installation, Missing::Refuse, async |app, host| {
            Ok(app.change(host, || app.confirm_keys(host, &which)).await?)
        })
        .await?;
        for key in &confirmed {
            output::line(format!("confirmed {key}"))?;
        }
        if confirmed.len() < asked {
            return Err(Failure::new(format!(
                "{} of {asked} keys were not suspended, or are not there: see `keyward admin list-suspended-keys`",
                asked - confirmed.len()
            )));
        }
        if confirmed.is_empty() {
            output::line("no key is suspended")?;
        }
        Ok(())
    }
}
