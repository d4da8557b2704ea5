//! `keyward admin` after a restore: lists and confirms suspended users and keys, and disables or revokes others. A
//! server may be running at the same time.

use std::collections::BTreeSet;

use domain::{ApiKeyId, UserId};
use server::{
    App,
    app::{Caller, KeysToConfirm, SuspendedKey, SuspendedUser, UsersToConfirm},
};

use crate::{
    configuration::InstallationArguments,
    failure::{Failure, Outcome},
    host::{Missing, all_pages, find_user, on_host, tell_confirmed},
    output::{self, Column},
    user,
};

/// List the users that a restore suspended, with their roles, keys and last activity in the backup
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin list-suspended-users --data /var/lib/keyward
  keyward admin list-suspended-users --json")]
pub(crate) struct ListSuspendedUsers {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Confirm users that a restore suspended: they can sign in again, and use their confirmed keys
///
/// The list includes users that were disabled or left after the backup was made. Review the list first, and disable
/// these users with `keyward admin disable-user`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["all", "users"])), after_help = "\
Examples:
  keyward admin confirm-users --data /var/lib/keyward --user ann@example.com --user bob@example.com
  keyward admin confirm-users --data /var/lib/keyward --all")]
pub(crate) struct ConfirmUsers {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Confirm all
    #[arg(long)]
    all: bool,
    /// A user to confirm; may be repeated
    #[arg(long = "user", value_name = "EMAIL|ID")]
    users: Vec<String>,
}

/// Disable users: their passwords, sessions and keys are refused until they are enabled
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin disable-user --data /var/lib/keyward --user eve@example.com")]
pub(crate) struct DisableUser {
    #[command(flatten)]
    choice: ChosenUsers,
}

/// Enable disabled users
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin enable-user --data /var/lib/keyward --user eve@example.com")]
pub(crate) struct EnableUser {
    #[command(flatten)]
    choice: ChosenUsers,
}

#[derive(Debug, clap::Args)]
struct ChosenUsers {
    #[command(flatten)]
    installation: InstallationArguments,
    /// A user to change; may be repeated
    #[arg(long = "user", value_name = "EMAIL|ID", required = true)]
    users: Vec<String>,
}

/// List the keys that a restore suspended, with their last use in the backup
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

/// Confirm keys that a restore suspended; the key of a user also needs the user to be confirmed
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["all", "keys"])), after_help = "\
Examples:
  keyward admin confirm-keys --data /var/lib/keyward --key key_… --key key_…
  keyward admin confirm-keys --data /var/lib/keyward --all")]
pub(crate) struct ConfirmKeys {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Confirm all
    #[arg(long)]
    all: bool,
    /// A key to confirm; may be repeated
    #[arg(long = "key", value_name = "ID")]
    keys: Vec<ApiKeyId>,
}

const USER_COLUMNS: &[Column<'_, SuspendedUser>] = &[
    Column::word("EMAIL", &|user| user.email.clone()),
    Column::text("NAME", &|user| user.name.clone()),
    Column::word("KIND", &|user| user::kind(user.operator)),
    Column::word("STATE", &|user| user::state(user.disabled, true)),
    Column::text("WORKSPACES", &workspaces_of),
    Column::minor("LAST ACTIVE", &|user| user.last_active_at.map_or_else(|| "never".to_owned(), output::exact)),
    Column::word("KEYS", &|user| user.keys.len().to_string()),
    Column::id(&|user| user.id.to_string()),
];

const KEY_COLUMNS: &[Column<'_, SuspendedKey>] = &[
    Column::word("ID", &|key| key.id.to_string()),
    Column::word("OWNER", &|key| key.email.clone().unwrap_or_else(|| key.owner.to_string())),
    Column::text("TITLE", &|key| key.title.clone()),
    Column::fingerprint(&|key| key.fingerprint.clone()),
    Column::minor("LAST USED", &|key| key.last_used_at.map_or_else(|| "never".to_owned(), output::exact)),
];

impl ListSuspendedUsers {
    pub(crate) async fn run(self) -> Outcome {
        let users = on_host(&self.installation, Missing::Refuse, async |app, host| {
            all_pages(async |paging| Ok(app.list_suspended_users(host, &paging).await?)).await
        })
        .await?;
        if self.json {
            return output::json(&users);
        }
        output::table(USER_COLUMNS, &users.items)
    }
}

impl ConfirmUsers {
    pub(crate) async fn run(self) -> Outcome {
        let asked = self.users.iter().collect::<BTreeSet<_>>().len();
        let confirmed = on_host(&self.installation, Missing::Refuse, async |app, host| {
            let which = if self.all {
                UsersToConfirm::All
            } else {
                UsersToConfirm::These(find_users(app, host, &self.users).await?)
            };
            tell_confirmed(app.confirm_users(host, &which).await?)
        })
        .await?;
        for user in &confirmed {
            output::line(format!("confirmed {}", describe(user)))?;
        }
        if confirmed.len() < asked {
            return Err(Failure::new(format!(
                "{} of {asked} users were not suspended: see `keyward admin list-suspended-users`",
                asked - confirmed.len()
            )));
        }
        if confirmed.is_empty() {
            output::line("no user is suspended")?;
        }
        Ok(())
    }
}

impl DisableUser {
    pub(crate) async fn run(self) -> Outcome {
        self.choice.set(true).await
    }
}

impl EnableUser {
    pub(crate) async fn run(self) -> Outcome {
        self.choice.set(false).await
    }
}

impl ChosenUsers {
    /// Each user is a separate change. An error message contains the users that were changed before it.
    async fn set(self, disabled: bool) -> Outcome {
        on_host(&self.installation, Missing::Refuse, async |app, host| {
            for id in find_users(app, host, &self.users).await? {
                let update = api::UpdateUser { disabled: Some(disabled), ..api::UpdateUser::default() };
                let user = tell_confirmed(app.update_user(host, id, update).await?)?;
                let what = if disabled { "disabled" } else { "enabled" };
                let waits = if user.suspended { "; suspended since a restore, see `confirm-users`" } else { "" };
                output::line(format!("{what} {} ({}){waits}", user.email, user.id))?;
            }
            Ok(())
        })
        .await
    }
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
        output::table(KEY_COLUMNS, &keys.items)
    }
}

impl ConfirmKeys {
    pub(crate) async fn run(self) -> Outcome {
        let asked = self.keys.iter().collect::<BTreeSet<_>>().len();
        let which = if self.all { KeysToConfirm::All } else { KeysToConfirm::These(self.keys) };
        let (confirmed, waiting) = on_host(&self.installation, Missing::Refuse, async |app, host| {
            let confirmed = tell_confirmed(app.confirm_keys(host, &which).await?)?;
            let waiting = all_pages(async |paging| Ok(app.list_suspended_users(host, &paging).await?)).await?;
            Ok((confirmed, waiting.items))
        })
        .await?;
        for key in &confirmed {
            output::line(format!("confirmed {key}"))?;
        }
        let has_confirmed = |user: &&SuspendedUser| user.keys.iter().any(|key| confirmed.contains(&key.id));
        for user in waiting.iter().filter(has_confirmed) {
            output::line(format!(
                "keys of {} are refused until the user is confirmed: keyward admin confirm-users --user {}",
                user.email, user.email
            ))?;
        }
        if confirmed.len() < asked {
            return Err(Failure::new(format!(
                "{} of {asked} keys were not suspended or do not exist: see `keyward admin list-suspended-keys`",
                asked - confirmed.len()
            )));
        }
        if confirmed.is_empty() {
            output::line("no key is suspended")?;
        }
        Ok(())
    }
}

/// Returns users by email or id. All of them must exist.
async fn find_users(app: &App, host: &Caller, users: &[String]) -> Outcome<Vec<UserId>> {
    let mut found = Vec::with_capacity(users.len());
    for user in users {
        found.push(find_user(app, host, user).await?.id);
    }
    Ok(found)
}

/// Describes a user in one line.
fn describe(user: &SuspendedUser) -> String {
    let mut facts = vec![];
    if user.disabled {
        facts.push("still disabled".to_owned());
    }
    if user.operator {
        facts.push("operator".to_owned());
    }
    facts.push(if user.workspaces.is_empty() { "in no workspace".to_owned() } else { workspaces_of(user) });
    let suspended = user.keys.iter().filter(|key| key.suspended).count();
    facts.push(format!("{} keys, {suspended} of them suspended", user.keys.len()));
    format!("{} ({}): {}", user.email, user.id, facts.join("; "))
}

/// Returns `SLUG:ROLE, …`.
fn workspaces_of(user: &SuspendedUser) -> String {
    user.workspaces.iter().map(|place| format!("{}:{}", place.slug, place.role)).collect::<Vec<_>>().join(", ")
}
