//! `keyward admin`: what the operator does on the host, straight on the store.

use std::{io::Read as _, path::PathBuf};

use domain::{Timestamp, WorkspaceId, role::Role};
use server::{
    App,
    app::{Caller, KeyOwner, MAX_PAGE, Paging},
};

use crate::{
    configuration::InstallationArguments,
    failure::{Failure, Outcome},
    host::{Missing, on_host},
    installation_key, node,
    output::{self, shell_word},
    recovery,
    workspace::tell_first_admin,
};

/// Users, workspaces, keys and quotas, on the machine that holds the data
///
/// Works beside a running server, which has taken in what was changed when the command returns.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward admin create-user --email ann@example.com --name Ann --operator
  keyward admin create-workspace --name Acme --slug acme --admin ann@example.com
  keyward admin add-key --user ann@example.com --title work --public-key-file ~/.ssh/id_ed25519.pub
  keyward admin set-quota --workspace acme --service-accounts 5")]
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
    RevokeKey(recovery::RevokeKey),
    ListSuspendedUsers(recovery::ListSuspendedUsers),
    ConfirmUsers(recovery::ConfirmUsers),
    ListSuspendedKeys(recovery::ListSuspendedKeys),
    ConfirmKeys(recovery::ConfirmKeys),
    ListNodes(node::ListNodes),
    ReplaceInstallationKey(installation_key::ReplaceInstallationKey),
}

/// Create a user, who is a member of nothing yet
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin create-user --email ann@example.com --name Ann --operator
  keyward admin create-user --email ann@example.com --name Ann --password-stdin < password")]
pub(crate) struct CreateUser {
    #[command(flatten)]
    common: Common,
    /// Their email
    #[arg(long)]
    email: String,
    /// Their name
    #[arg(long)]
    name: String,
    /// Read a password of 12 characters or more from standard input; left out, they have none
    #[arg(long)]
    password_stdin: bool,
    /// They run the installation
    #[arg(long)]
    operator: bool,
}

/// Set the password of a user who has none or has forgotten it, and end their sessions
///
/// Keys are not touched. Tell them the password on another way than by mail, and to change it in their profile.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  printf %s \"$PASSWORD\" | keyward admin set-password --email ann@example.com --password-stdin")]
pub(crate) struct SetPassword {
    /// Whose
    #[arg(long)]
    email: String,
    /// Read a password of 12 characters or more from standard input
    #[arg(long, required = true)]
    password_stdin: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Create a workspace; its first admin joins at once if they are a user, and is invited if not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin create-workspace --name Acme --slug acme --admin ann@example.com")]
pub(crate) struct CreateWorkspace {
    #[command(flatten)]
    common: Common,
    /// Its name
    #[arg(long)]
    name: String,
    /// Its slug, such as `acme`: 3 to 40 of a-z, 0-9 and `-`; never changes, never used again
    #[arg(long)]
    slug: String,
    /// The email of its first admin
    #[arg(long, value_name = "EMAIL")]
    admin: String,
}

/// Create a service account in a workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin create-service-account --workspace acme --name ci-bot --role admin")]
pub(crate) struct CreateServiceAccount {
    #[command(flatten)]
    common: Common,
    /// Its workspace
    #[arg(long, value_name = "SLUG|ID")]
    workspace: String,
    /// Its name, such as `ci-bot`: 3 to 40 of a-z, 0-9 and `-`
    #[arg(long)]
    name: String,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Its role in the workspace: `member` or `admin`
    #[arg(long, default_value = "member")]
    role: Role,
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
    /// Whose key it is: a user's email
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// Whose key it is: a service account's address
    #[arg(long, value_name = "ADDRESS")]
    service_account: Option<String>,
    /// Its title
    #[arg(long)]
    title: String,
    /// The public key: an OpenSSH, RFC 4716, PEM or JWK file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    public_key_file: PathBuf,
    /// When it ends, such as 2027-01-31T12:00:00Z; left out, it does not
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
}

/// Set what a workspace may have
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("quota").required(true).multiple(true)
    .args(["service_accounts", "keys_per_service_account", "keys_per_user"])), after_help = "\
Examples:
  keyward admin set-quota --workspace acme --service-accounts 5 --keys-per-user 50")]
pub(crate) struct SetQuota {
    #[command(flatten)]
    common: Common,
    /// The workspace
    #[arg(long, value_name = "SLUG|ID")]
    workspace: String,
    /// Service accounts in it
    #[arg(long, value_name = "N")]
    service_accounts: Option<u32>,
    /// Live keys of each service account
    #[arg(long, value_name = "N")]
    keys_per_service_account: Option<u32>,
    /// Live keys of each user
    #[arg(long, value_name = "N")]
    keys_per_user: Option<u32>,
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
            Ok(app.change(host, || app.create_user(host, create.clone())).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&user);
        }
        let what = if user.operator { "operator" } else { "user" };
        output::line(format!("created {what} {} ({})", user.email, user.id))?;
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
            let user = app.find_user_by_email(host, &self.email).await?;
            app.change(host, || app.set_password(host, user.id, password.clone())).await?;
            Ok(user)
        })
        .await?;
        output::line(format!("{} signs in with this password from now on; all sessions are ended", user.email))
    }
}

impl CreateWorkspace {
    async fn run(self) -> Outcome {
        let create = api::CreateWorkspace { name: self.name, slug: self.slug, admin_email: Some(self.admin.clone()) };
        let created = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            Ok(app.change(host, || app.create_workspace(host, create.clone())).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&created);
        }
        let workspace = &created.workspace;
        output::line(format!("created workspace {} ({})", workspace.slug, workspace.id))?;
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
        let create = api::CreateServiceAccount { name: self.name, description: self.description };
        let account = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            let workspace = find_workspace(app, host, &self.workspace).await?;
            let account = app.change(host, || app.create_service_account(host, workspace, &create)).await?;
            if account.role == self.role {
                return Ok(account);
            }
            let update = api::UpdateServiceAccount { role: Some(self.role), ..Default::default() };
            Ok(app.change(host, || app.update_service_account(host, workspace, account.id, &update)).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&account);
        }
        output::line(format!("created service account {} ({}), {}", account.email, account.id, account.role))?;
        output::line(format!(
            "next: keyward admin add-key{} --service-account {} --title TITLE --public-key-file FILE",
            self.common.data_flag(),
            account.email
        ))
    }
}

impl AddKey {
    async fn run(self) -> Outcome {
        let public_key = read_file(&self.public_key_file)?;
        let create = api::CreateApiKey { title: self.title, public_key, expires_at: self.expires_at, proof: None };
        let key = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            let owner = match (&self.user, &self.service_account) {
                (Some(email), _) => {
                    let missing = |e| missing(e, format!("no user has the email {email}: see `admin list-users`"));
                    KeyOwner::User(app.find_user_by_email(host, email).await.map_err(missing)?.id)
                }
                (None, address) => {
                    let address = address.as_deref().unwrap_or_default();
                    let missing = |e| missing(e, format!("no service account has the address {address}"));
                    let (workspace, account) =
                        app.find_service_account_by_address(host, address).await.map_err(missing)?;
                    KeyOwner::ServiceAccount(workspace, account)
                }
            };
            Ok(app.change(host, || app.create_api_key(host, owner, &create)).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&key);
        }
        let owner = self.user.or(self.service_account).unwrap_or_default();
        output::line(format!("registered key {} ({}) of {owner}\n{}", key.title, key.id, key.fingerprint))?;
        output::line("next: keyward whoami --url URL --key PRIVATE_KEY_FILE")
    }
}

impl SetQuota {
    async fn run(self) -> Outcome {
        let update = api::UpdateQuotas {
            service_accounts: self.service_accounts,
            keys_per_service_account: self.keys_per_service_account,
            keys_per_user: self.keys_per_user,
        };
        let quotas = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            let workspace = find_workspace(app, host, &self.workspace).await?;
            Ok(app.change(host, || app.update_quotas(host, workspace, update)).await?)
        })
        .await?;
        if self.common.json {
            return output::json(&quotas);
        }
        output::line(format!(
            "{} may have {} service accounts, {} live keys each, and {} live keys a user",
            self.workspace, quotas.service_accounts, quotas.keys_per_service_account, quotas.keys_per_user
        ))
    }
}

impl List {
    async fn users(self) -> Outcome {
        let users = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            all_pages(async |paging| Ok(app.list_users(host, &paging).await?)).await
        })
        .await?;
        if self.common.json {
            return output::json(&users);
        }
        let rows: Vec<_> = users
            .items
            .iter()
            .map(|user| {
                let state = match user {
                    user if user.disabled => "disabled",
                    user if user.suspended => "suspended",
                    _ => "active",
                };
                let what = if user.operator { "operator" } else { "user" };
                [user.email.clone(), user.name.clone(), what.to_owned(), state.to_owned(), user.id.to_string()]
            })
            .collect();
        output::table(["EMAIL", "NAME", "KIND", "STATE", "ID"], &rows)
    }

    async fn workspaces(self) -> Outcome {
        let (workspaces, without_admin) = on_host(&self.common.installation, Missing::Refuse, async |app, host| {
            let all = all_pages(async |paging| Ok(app.list_all_workspaces(host, &paging).await?)).await?;
            Ok((all, app.list_workspaces_without_admin(host).await?))
        })
        .await?;
        if self.common.json {
            return output::json(&workspaces);
        }
        let rows: Vec<_> = workspaces
            .items
            .iter()
            .map(|workspace| {
                let quotas = &workspace.quotas;
                [
                    workspace.slug.clone(),
                    workspace.name.clone(),
                    quotas.service_accounts.to_string(),
                    quotas.keys_per_service_account.to_string(),
                    quotas.keys_per_user.to_string(),
                    if without_admin.contains(&workspace.id) { "none enabled" } else { "yes" }.to_owned(),
                    workspace.id.to_string(),
                ]
            })
            .collect();
        output::table(["SLUG", "NAME", "SERVICE ACCOUNTS", "KEYS EACH", "KEYS A USER", "ADMIN", "ID"], &rows)
    }
}

impl Common {
    /// ` --data DIR` for a command that is printed, where it was given for this one.
    fn data_flag(&self) -> String {
        let data = self.installation.data.as_ref();
        data.map_or(String::new(), |data| format!(" --data {}", shell_word(&data.display().to_string())))
    }
}

/// Reads page after page, and gives all as the last one.
pub(crate) async fn all_pages<T>(read: impl AsyncFn(Paging) -> Outcome<api::Page<T>>) -> Outcome<api::Page<T>> {
    let mut all = api::Page { items: Vec::new(), next: None };
    loop {
        let page = read(Paging { after: all.next.take(), limit: Some(MAX_PAGE) }).await?;
        all.items.extend(page.items);
        all.next = page.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

/// The workspace of an id or a slug.
pub(crate) async fn find_workspace(app: &App, host: &Caller, workspace: &str) -> Outcome<WorkspaceId> {
    if let Ok(id) = workspace.parse() {
        return Ok(id);
    }
    let missing = |e| missing(e, format!("no workspace has the slug {workspace}: see `keyward admin list-workspaces`"));
    Ok(app.find_workspace_by_slug(host, workspace).await.map_err(missing)?.id)
}

/// Says what is not there; every other error tells that by itself.
pub(crate) fn missing(error: server::AppError, message: String) -> Failure {
    match error {
        server::AppError::Denied(domain::principal::Denied::NotFound) => Failure::new(message),
        other => other.into(),
    }
}

/// The first line of standard input.
fn read_password() -> Outcome<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("the password cannot be read from standard input ({error})")))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::new(
            "there is no password on standard input: pipe one in, or leave `--password-stdin` out",
        ));
    }
    Ok(password.to_owned())
}

fn read_file(path: &std::path::Path) -> Outcome<String> {
    let read = if path == std::path::Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| {
        Failure::new(format!("{} cannot be read ({error}): name the file with the public key", path.display()))
    })
}
