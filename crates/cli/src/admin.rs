//! `keyward admin`: the operations of operators on the host, directly on the store.

use std::path::PathBuf;

use api::{User, Workspace};
use domain::{PublicKey, list::Search};
use server::app::KeyOwner;

use crate::{
    admin_key,
    api_key::NewKeyArguments,
    configuration::InstallationArguments,
    failure::{Failure, Outcome},
    host::{Missing, all_pages, find_service_account, find_user, find_workspace, on_host, tell_confirmed},
    input::{read_bytes, read_text_input},
    installation_key, node,
    output::{self, Column, shell_word},
    recovery,
    service_account::{NewServiceAccountArguments, tell_created},
    user,
    workspace::{self, NewWorkspaceArguments, QuotaArguments, tell_first_admin, tell_quotas},
};

/// Users, workspaces, keys and quotas, on the machine with the data
///
/// These commands use the data directory or the database directly, so only the operator of the machine can run them.
/// They also work while a server runs. When a command returns, every running server has applied its change.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward admin create-user --email ann@example.com --name Ann --operator
  keyward admin create-workspace --name Acme --slug acme --admin ann@example.com
  keyward admin add-key --user ann@example.com --title work --public-key-file ~/.ssh/id_ed25519.pub
  keyward admin set-quota --workspace acme --service-accounts 5
  keyward admin list-keys --user ann@example.com
  keyward admin revoke-key --key SHA256:…
  keyward admin disable-user --user eve@example.com")]
pub(crate) enum Admin {
    CreateUser(CreateUser),
    SetPassword(SetPassword),
    CreateWorkspace(CreateWorkspace),
    CreateServiceAccount(CreateServiceAccount),
    AddKey(AddKey),
    SetQuota(SetQuota),
    /// List all users
    #[command(after_help = "Examples:\n  keyward admin list-users --json")]
    ListUsers(List),
    /// List all workspaces, with their quotas
    #[command(after_help = "Examples:\n  keyward admin list-workspaces --json")]
    ListWorkspaces(List),
    DisableUser(recovery::DisableUser),
    EnableUser(recovery::EnableUser),
    ListKeys(admin_key::ListKeys),
    RevokeKey(admin_key::RevokeKey),
    ListSuspendedUsers(recovery::ListSuspendedUsers),
    ConfirmUsers(recovery::ConfirmUsers),
    ListSuspendedKeys(recovery::ListSuspendedKeys),
    ConfirmKeys(recovery::ConfirmKeys),
    ListNodes(node::ListNodes),
    ReplaceInstallationKey(installation_key::ReplaceInstallationKey),
}

/// Create a user
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin create-user --email ann@example.com --name Ann --operator
  keyward admin create-user --email ann@example.com --name Ann --password-stdin < password")]
pub(crate) struct CreateUser {
    #[command(flatten)]
    common: Common,
    /// Email address of the user
    #[arg(long)]
    email: String,
    /// Name of the user
    #[arg(long)]
    name: String,
    /// Read a password of 12 characters or more from standard input; without it, the user has no password
    #[arg(long)]
    password_stdin: bool,
    /// Make the user an operator of the installation
    #[arg(long)]
    operator: bool,
}

/// Set the password of a user that has none or has forgotten it, and end their sessions
///
/// API keys keep working. Do not send the password by mail, and ask the user to change it in their profile.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  printf %s \"$PASSWORD\" | keyward admin set-password --user ann@example.com --password-stdin")]
pub(crate) struct SetPassword {
    /// The user
    #[arg(long, alias = "email", value_name = "EMAIL|ID")]
    user: String,
    /// Read a password of 12 characters or more from standard input
    #[arg(long, required = true)]
    password_stdin: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Create a workspace; its first admin joins immediately if they are a user, and is invited if not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin create-workspace --name Acme --slug acme --admin ann@example.com")]
pub(crate) struct CreateWorkspace {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    new: NewWorkspaceArguments,
    /// Email address of the first admin
    #[arg(long, value_name = "EMAIL")]
    admin: String,
}

/// Create a service account in a workspace
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("names").required(true).multiple(true).args(["name", "display_name"])),
    after_help = "\
Examples:
  keyward admin create-service-account --workspace acme --name ci-bot --display-name 'CI bot'")]
pub(crate) struct CreateServiceAccount {
    #[command(flatten)]
    common: Common,
    /// Its workspace
    #[arg(long, value_name = "SLUG|ID")]
    workspace: String,
    /// Its name in the address, such as `ci-bot`: 3 to 40 of a-z, 0-9 and `-` [default: made from the display name]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    new: NewServiceAccountArguments,
}

/// Register a public key for a user or a service account
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("owner").required(true).args(["user", "service_account"])),
    after_help = "\
Examples:
  keyward admin add-key --user ann@example.com --title work --public-key-file ~/.ssh/id_ed25519.pub
  keyward admin add-key --service-account ci-bot@acme.sa.keyward.local \\
      --title runner --public-key-file runner.pub"
)]
pub(crate) struct AddKey {
    #[command(flatten)]
    common: Common,
    /// Owner of the key: a user
    #[arg(long, value_name = "EMAIL|ID")]
    user: Option<String>,
    /// Owner of the key: a service account
    #[arg(long, value_name = "ADDRESS|ID")]
    service_account: Option<String>,
    #[command(flatten)]
    new: NewKeyArguments,
    /// The public key: an OpenSSH, RFC 4716, PEM or JWK file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    public_key_file: PathBuf,
}

/// Set the quotas of a workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin set-quota --workspace acme --service-accounts 5 --keys-per-user 50")]
pub(crate) struct SetQuota {
    #[command(flatten)]
    common: Common,
    /// The workspace
    #[arg(long, value_name = "SLUG|ID")]
    workspace: String,
    #[command(flatten)]
    quotas: QuotaArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

const USER_COLUMNS: &[Column<'_, User>] = &[
    Column::word("EMAIL", &|user| user.email.clone()),
    Column::text("NAME", &|user| user.name.clone()),
    Column::word("KIND", &|user| user::kind(user.operator)),
    Column::word("STATE", &|user| user::state(user.disabled, user.suspended)),
    Column::id(&|user| user.id.to_string()),
];

impl Admin {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::CreateUser(command) => command.run().await,
            Self::SetPassword(command) => command.run().await,
            Self::CreateWorkspace(command) => command.run().await,
            Self::CreateServiceAccount(command) => command.run().await,
            Self::AddKey(command) => command.run().await,
            Self::SetQuota(command) => command.run().await,
            Self::ListUsers(command) => command.users().await,
            Self::ListWorkspaces(command) => command.workspaces().await,
            Self::DisableUser(command) => command.run().await,
            Self::EnableUser(command) => command.run().await,
            Self::ListKeys(command) => command.run().await,
            Self::RevokeKey(command) => command.run().await,
            Self::ListSuspendedUsers(command) => command.run().await,
            Self::ConfirmUsers(command) => command.run().await,
            Self::ListSuspendedKeys(command) => command.run().await,
            Self::ConfirmKeys(command) => command.run().await,
            Self::ListNodes(command) => command.run().await,
            Self::ReplaceInstallationKey(command) => command.run().await,
        }
    }
}

impl CreateUser {
    async fn run(self) -> Outcome {
        let password = self.password_stdin.then(read_password).transpose()?;
        let create = api::CreateUser { email: self.email, name: self.name, password, operator: self.operator };
        let user = on_host(&self.common.installation, Missing::Create, async |app, host| {
            tell_confirmed(app.create_user(host, create).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&user);
        }
        let what = if user.operator { "operator" } else { "user" };
        output::created(user.id, format!("created {what} {} ({})", user.email, user.id))?;
        let data = self.common.data_flag();
        output::line(format!(
            "next: keyward admin create-workspace{data} --name NAME --slug SLUG --admin {}\n      keyward admin \
             add-key{data} --user {} --title TITLE --public-key-file FILE",
            user.email, user.email
        ))
    }
}

impl SetPassword {
    async fn run(self) -> Outcome {
        let password = read_password()?;
        let user = on_host(&self.installation, Missing::Refuse, async |app, host| {
            let user = find_user(app, host, &self.user).await?;
            tell_confirmed(app.set_password(host, user.id, password).await?)?;
            Ok(user)
        })
        .await?;
        output::line(format!("{} can sign in with this password; all their sessions have ended", user.email))
    }
}

impl CreateWorkspace {
    async fn run(self) -> Outcome {
        let create = self.new.create(Some(self.admin.clone()));
        let created = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            tell_confirmed(app.create_workspace(host, create).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&created);
        }
        let workspace = &created.workspace;
        output::created(workspace.id, format!("created workspace {} ({})", workspace.slug, workspace.id))?;
        match &created.invitation {
            None => output::line(format!("admin: {}", self.admin))?,
            Some(invitation) => tell_first_admin(invitation)?,
        }
        output::line(format!(
            "next: keyward admin create-service-account{} --workspace {} --name NAME",
            self.common.data_flag(),
            workspace.slug
        ))
    }
}

impl CreateServiceAccount {
    async fn run(self) -> Outcome {
        let create = self.new.create(self.name);
        let account = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            let workspace = find_workspace(app, host, &self.workspace).await?;
            tell_confirmed(app.create_service_account(host, workspace, &create).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&account);
        }
        tell_created(&account)?;
        output::line(format!(
            "next: keyward admin add-key{} --service-account {} --title TITLE --public-key-file FILE",
            self.common.data_flag(),
            account.email
        ))
    }
}

impl AddKey {
    async fn run(self) -> Outcome {
        let (bytes, place) = read_bytes(&self.public_key_file, "the public key")?;
        let parsed = PublicKey::parse_file(&bytes).map_err(|error| Failure::new(format!("{place}: {error}")))?;
        let create = self.new.create(self.new.title(parsed.comment)?, parsed.key.to_openssh(), None)?;
        let key = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            let owner = match (&self.user, &self.service_account) {
                (Some(user), _) => KeyOwner::User(find_user(app, host, user).await?.id),
                (None, account) => {
                    let account = account.as_deref().unwrap_or_default();
                    let (workspace, account) = find_service_account(app, host, account).await?;
                    KeyOwner::ServiceAccount(workspace, account)
                }
            };
            tell_confirmed(app.create_api_key(host, owner, &create).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&key);
        }
        let owner = self.user.or(self.service_account).unwrap_or_default();
        let told = format!("registered key {} ({}) of {owner}\n{}", key.title, key.id, key.fingerprint);
        output::created(key.id, told)?;
        output::line("next: keyward whoami --url URL --key PRIVATE_KEY_FILE")
    }
}

impl SetQuota {
    async fn run(self) -> Outcome {
        let update = self.quotas.update();
        let quotas = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            let workspace = find_workspace(app, host, &self.workspace).await?;
            tell_confirmed(app.update_quotas(host, workspace, update).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&quotas);
        }
        tell_quotas(&self.workspace, &quotas)
    }
}

impl List {
    async fn users(self) -> Outcome {
        let users = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            all_pages(async |paging| Ok(app.list_users(host, &Search::default(), &paging).await?)).await
        })
        .await?;
        if self.common.json {
            return output::json(&users);
        }
        output::table(USER_COLUMNS, &users.items)
    }

    async fn workspaces(self) -> Outcome {
        let (workspaces, without_admin) = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            let all =
                all_pages(async |paging| Ok(app.list_all_workspaces(host, &Search::default(), &paging).await?)).await?;
            Ok((all, app.list_workspaces_without_admin(host).await?))
        })
        .await?;
        if self.common.json {
            return output::json(&workspaces);
        }
        let has_admin = |workspace: &Workspace| {
            if without_admin.contains(&workspace.id) { "none enabled" } else { "yes" }.to_owned()
        };
        let columns = [
            workspace::SLUG,
            workspace::NAME,
            Column::word("SERVICE ACCOUNTS", &|workspace| workspace.quotas.service_accounts.to_string()),
            Column::minor("KEYS EACH", &|workspace| workspace.quotas.keys_per_service_account.to_string()),
            Column::minor("KEYS A USER", &|workspace| workspace.quotas.keys_per_user.to_string()),
            Column::word("ADMIN", &has_admin),
            workspace::ID,
        ];
        output::table(&columns, &workspaces.items)
    }
}

impl Common {
    /// Returns ` --data DIR` for a printed command, if it was given for this one.
    fn data_flag(&self) -> String {
        let data = self.installation.data.as_ref();
        data.map_or(String::new(), |data| format!(" --data {}", shell_word(&data.display().to_string())))
    }
}

/// Returns the first line of standard input.
fn read_password() -> Outcome<String> {
    let text = read_text_input("the password")?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::new(
            "there is no password on standard input: pipe one in, or leave `--password-stdin` out",
        ));
    }
    Ok(password.to_owned())
}
