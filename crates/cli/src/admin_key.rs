//! `keyward admin list-keys` and `revoke-key`: the keys of all owners, on the machine with the data.

use api::KeyState;
use domain::ApiKeyId;
use server::{
    App,
    app::{Caller, OwnedKey},
};

use crate::{
    api_client::the_one,
    api_key::{is_meant_by, state},
    configuration::InstallationArguments,
    failure::Outcome,
    host::{Missing, all_pages, explain_not_found, find_service_account, find_user, on_host, tell_confirmed},
    output::{self, Column},
};

/// List the keys of all users and service accounts
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin list-keys --data /var/lib/keyward
  keyward admin list-keys --user ann@example.com --all
  keyward admin list-keys --service-account ci-bot@acme.sa.keyward.local --json")]
pub(crate) struct ListKeys {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Only the keys of this user
    #[arg(long, value_name = "EMAIL|ID")]
    user: Option<String>,
    /// Only the keys of this service account
    #[arg(long, value_name = "ADDRESS|ID", conflicts_with = "user")]
    service_account: Option<String>,
    /// Also list revoked and expired keys
    #[arg(short, long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Revoke keys permanently, including suspended keys
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin revoke-key --data /var/lib/keyward --key SHA256:…
  keyward admin revoke-key --data /var/lib/keyward --key key_… --key key_…")]
pub(crate) struct RevokeKey {
    #[command(flatten)]
    installation: InstallationArguments,
    /// The key to revoke, by its fingerprint or its id; may be repeated
    #[arg(long = "key", value_name = "FINGERPRINT|ID", required = true)]
    keys: Vec<String>,
}

const COLUMNS: &[Column<'_, OwnedKey>] = &[
    Column::word("OWNER", &owner),
    Column::text("TITLE", &|owned| owned.key.title.clone()),
    Column::fingerprint(&|owned| owned.key.fingerprint.clone()),
    Column::word("STATE", &|owned| state(&owned.key).to_owned()),
    Column::word("LAST USED", &|owned| output::moment_or(owned.key.last_used_at, "never")),
    Column::minor("EXPIRES", &|owned| output::moment_or(owned.key.expires_at, "never")),
    Column::id(&|owned| owned.key.id.to_string()),
];

impl ListKeys {
    pub(crate) async fn run(self) -> Outcome {
        let mut keys = on_host(&self.installation, Missing::Refuse, async |app, host| {
            let owner = match (&self.user, &self.service_account) {
                (Some(user), _) => Some(find_user(app, host, user).await?.id.to_string()),
                (None, Some(account)) => Some(find_service_account(app, host, account).await?.1.to_string()),
                (None, None) => None,
            };
            let mut keys = all_pages(async |paging| Ok(app.list_all_api_keys(host, &paging).await?)).await?;
            keys.items.retain(|owned| owner.as_ref().is_none_or(|owner| owned.owner.to_string() == *owner));
            Ok(keys)
        })
        .await?;
        if !self.all {
            keys.items.retain(|owned| !matches!(owned.key.state, KeyState::Revoked | KeyState::Expired));
        }
        if self.json { output::json(&keys) } else { output::table(COLUMNS, &keys.items) }
    }
}

impl RevokeKey {
    pub(crate) async fn run(self) -> Outcome {
        on_host(&self.installation, Missing::Refuse, async |app, host| {
            // All keys are looked up before the first is revoked.
            let mut found = Vec::with_capacity(self.keys.len());
            for name in &self.keys {
                let key = find_key(app, host, name).await?;
                let missing = |e| explain_not_found(e, format!("there is no key {key}; nothing was revoked"));
                found.push((key, app.find_key_owner(host, key).await.map_err(missing)?));
            }
            for (key, owner) in found {
                tell_confirmed(app.revoke_api_key(host, owner, key, false).await?)?;
                output::line(format!("revoked {key}"))?;
            }
            Ok(())
        })
        .await
    }
}

/// Returns the key with an id or a fingerprint. Of several registrations, it is the one that is not revoked.
async fn find_key(app: &App, host: &Caller, name: &str) -> Outcome<ApiKeyId> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let mut all = all_pages(async |paging| Ok(app.list_all_api_keys(host, &paging).await?)).await?.items;
    let is_meant = |owned: &OwnedKey| is_meant_by(name, &owned.key.fingerprint);
    if all.iter().any(|owned| is_meant(owned) && owned.key.state != KeyState::Revoked) {
        all.retain(|owned| owned.key.state != KeyState::Revoked);
    }
    let describe = |owned: &OwnedKey| {
        format!(
            "{}  {}  {} of {} ({})",
            owned.key.id,
            owned.key.fingerprint,
            owned.key.title,
            owner(owned),
            state(&owned.key)
        )
    };
    Ok(the_one("key", name, all, is_meant, describe)?.key.id)
}

fn owner(owned: &OwnedKey) -> String {
    owned.owner_email.clone().unwrap_or_else(|| owned.owner.to_string())
}
