//! `keyward service-accounts`, and the lookup of service accounts for all commands.

use api::{CreateServiceAccount, ServiceAccount, UpdateServiceAccount};
use domain::{ServiceAccountId, role::Role};

use crate::{
    api_client::{ApiClient, ListArguments, query, the_one},
    confirm::ConfirmArguments,
    failure::Outcome,
    member::find_principal,
    output::{self, Column},
    workspace::{InWorkspace, Place, WorkspaceArguments},
};

/// Service accounts: programs that sign with their own keys
///
/// A service account belongs to one workspace. An admin of the workspace creates it, sets its role and manages its keys
/// (`keyward keys … --service-account NAME`).
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward service-accounts create ci-bot --display-name 'CI bot' --description 'Builds and deploys'
  keyward keys add --service-account ci-bot --generate ci.key
  keyward service-accounts set-role ci-bot admin
  keyward service-accounts list")]
pub(crate) enum ServiceAccounts {
    List(List),
    Create(Create),
    Show(Show),
    Update(Update),
    SetRole(SetRole),
    Disable(Disable),
    Enable(Enable),
    Delete(Delete),
}

/// The attributes of a new service account, except its name. `keyward admin create-service-account` uses them, too.
#[derive(Debug, clap::Args)]
pub(crate) struct NewServiceAccountArguments {
    /// Its name for people, such as `CI bot` [default: its name]
    #[arg(long)]
    display_name: Option<String>,
    /// Purpose of the service account
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Its role in the workspace: `member` or `admin`
    #[arg(long, default_value = "member")]
    role: Role,
}

impl NewServiceAccountArguments {
    /// Returns the service account to create with this name.
    pub(crate) fn create(&self, name: Option<String>) -> CreateServiceAccount {
        let role = (self.role != Role::Member).then_some(self.role);
        CreateServiceAccount {
            name,
            display_name: self.display_name.clone(),
            description: self.description.clone(),
            role,
        }
    }
}

/// Prints that a service account was created.
pub(crate) fn tell_created(account: &ServiceAccount) -> Outcome {
    let told = format!("created service account {} ({}), {}", account.email, account.id, account.role);
    output::created(account.id, told)
}

/// The service account and its workspace.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Its name, its address or its id
    #[arg(value_name = "NAME|ADDRESS|ID")]
    service_account: String,
    #[command(flatten)]
    place: InWorkspace,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// List the service accounts of a workspace, for its admins
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward service-accounts list
  keyward service-accounts list --workspace acme --json")]
pub(crate) struct List {
    #[command(flatten)]
    paging: ListArguments,
    #[command(flatten)]
    place: InWorkspace,
}

/// Create a service account, for admins of the workspace
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("names").required(true).multiple(true).args(["name", "display_name"])),
    after_help = "\
Examples:
  keyward service-accounts create ci-bot --description 'Builds and deploys'
  keyward service-accounts create --display-name 'Nightly Export'        its name is nightly-export
  keyward service-accounts create exporter --workspace acme --role admin --json")]
pub(crate) struct Create {
    /// Its name in the address, such as `ci-bot`: 3 to 40 of a-z, 0-9 and `-` [default: made from the display name]
    name: Option<String>,
    #[command(flatten)]
    new: NewServiceAccountArguments,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: InWorkspace,
}

/// Show a service account
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward service-accounts show ci-bot
  keyward service-accounts show ci-bot@acme.sa.keyward.local --json")]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
}

/// Change the names or the description of a service account
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["display_name", "name", "description", "role"])),
    after_help = "\
Examples:
  keyward service-accounts update ci-bot --description 'Builds only'
  keyward service-accounts update ci-bot --display-name 'CI bot'
  keyward service-accounts update ci-bot --name builder        its address changes with it")]
pub(crate) struct Update {
    #[command(flatten)]
    which: Which,
    /// New name for people
    #[arg(long)]
    display_name: Option<String>,
    /// New name in the address: the address changes, which is confirmed first
    #[arg(long)]
    name: Option<String>,
    /// Another description
    #[arg(long)]
    description: Option<String>,
    /// Another role in the workspace, as `set-role` sets it
    #[arg(long, hide = true)]
    role: Option<Role>,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

/// Set the role of a service account in its workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward service-accounts set-role ci-bot admin")]
pub(crate) struct SetRole {
    #[command(flatten)]
    which: Which,
    /// `member` or `admin`
    role: Role,
}

/// Disable a service account: its keys are refused until it is enabled again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward service-accounts disable ci-bot")]
pub(crate) struct Disable {
    #[command(flatten)]
    which: Which,
}

/// Enable a disabled service account
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward service-accounts enable ci-bot")]
pub(crate) struct Enable {
    #[command(flatten)]
    which: Which,
}

/// Delete a service account and revoke its keys
///
/// If it is the only admin of a project, name a successor.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward service-accounts delete ci-bot
  keyward service-accounts delete ci-bot --successor ann@example.com --yes")]
pub(crate) struct Delete {
    #[command(flatten)]
    which: Which,
    /// New admin of the projects that have no other admin: an email address, a service account address or an id
    #[arg(long, value_name = "EMAIL|ADDRESS|ID")]
    successor: Option<String>,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

const COLUMNS: &[Column<'_, ServiceAccount>] = &[
    Column::text("NAME", &|account| display_name(account).to_owned()),
    Column::word("ADDRESS", &|account| account.email.clone()),
    Column::word("ROLE", &|account| account.role.to_string()),
    Column::word("STATE", &|account| state(account).to_owned()),
    Column::word("KEYS", &|account| format!("{} of {}", account.keys.live, account.keys.limit)),
    Column::minor("DESCRIPTION", &|account| account.description.clone()),
    Column::id(&|account| account.id.to_string()),
];

impl ServiceAccounts {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run().await,
            Self::Create(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Update(command) => command.run().await,
            Self::SetRole(command) => {
                let update = UpdateServiceAccount { role: Some(command.role), ..Default::default() };
                command.which.update(&update, |account| format!("{} is now {}", account.email, account.role)).await
            }
            Self::Disable(command) => {
                let update = UpdateServiceAccount { disabled: Some(true), ..Default::default() };
                let told = |account: &ServiceAccount| {
                    format!("{} is disabled: its keys are refused until it is enabled again", account.email)
                };
                command.which.update(&update, told).await
            }
            Self::Enable(command) => {
                let update = UpdateServiceAccount { disabled: Some(false), ..Default::default() };
                command.which.update(&update, |account| format!("{} is enabled", account.email)).await
            }
            Self::Delete(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let accounts = api.list::<ServiceAccount>(&place.path("/service-accounts"), self.paging.limit).await?;
        let empty = format!(
            "{} has no service account: `keyward service-accounts create NAME --workspace {}` makes one",
            place.name, place.name
        );
        self.paging.print(&accounts, COLUMNS, &empty)
    }
}

impl Create {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let create = self.new.create(self.name);
        let account: ServiceAccount = api.post(&place.path("/service-accounts"), &create).await?;
        if self.json {
            return output::json(&account);
        }
        tell_created(&account)?;
        output::line(format!(
            "next: keyward keys add --service-account {} --generate {}.key",
            account.email, account.name
        ))
    }
}

impl Show {
    async fn run(self) -> Outcome {
        let (_, _, account) = self.which.find().await?;
        if self.which.json {
            return output::json(&account);
        }
        output::fields(&[
            ("display name", display_name(&account).to_owned()),
            ("name", account.name.clone()),
            ("address", account.email.clone()),
            ("id", account.id.to_string()),
            ("description", account.description.clone()),
            ("role", account.role.to_string()),
            ("state", state(&account).to_owned()),
            ("keys", format!("{} live of {}", account.keys.live, account.keys.limit)),
            ("created", output::full_moment(account.created_at)),
        ])
    }
}

impl Update {
    async fn run(self) -> Outcome {
        let Self { which, display_name, name, description, role, confirm } = self;
        let (api, place, account) = which.find().await?;
        if let Some(name) = name.as_ref().filter(|name| **name != account.name) {
            let domain = account.email.split_once('@').map_or("", |(_, domain)| domain);
            confirm.confirm(&format!(
                "Change the address {} to {name}@{domain}? No other account ever gets the old address.",
                account.email
            ))?;
        }
        let update = UpdateServiceAccount { display_name, name, description, role, disabled: None };
        which.send(&api, &place, account.id, &update, |account| format!("changed {}", account.email)).await
    }
}

impl Delete {
    async fn run(self) -> Outcome {
        let (api, place, account) = self.which.find().await?;
        let question = format!("Delete {} and revoke its {} live keys?", account.email, account.keys.live);
        let successor = match &self.successor {
            Some(name) => Some(find_principal(&api, &place, name).await?.id.to_string()),
            None => None,
        };
        self.confirm.confirm(&question)?;
        api.delete(&path(&place, account.id, &query([("successor", successor)]))).await?;
        output::line(format!("deleted {} and revoked its keys: the address is never reused", account.email))
    }
}

impl Which {
    async fn find(&self) -> Outcome<(ApiClient, Place, ServiceAccount)> {
        let api = self.place.connection.api()?;
        let (place, account) = find_service_account(&api, &self.place.workspace, &self.service_account).await?;
        Ok((api, place, account))
    }

    async fn update(self, update: &UpdateServiceAccount, told: impl Fn(&ServiceAccount) -> String) -> Outcome {
        let (api, place, account) = self.find().await?;
        self.send(&api, &place, account.id, update, told).await
    }

    async fn send(
        &self,
        api: &ApiClient,
        place: &Place,
        id: ServiceAccountId,
        update: &UpdateServiceAccount,
        told: impl Fn(&ServiceAccount) -> String,
    ) -> Outcome {
        let account: ServiceAccount = api.patch(&path(place, id, ""), update).await?;
        if self.json { output::json(&account) } else { output::line(told(&account)) }
    }
}

/// Returns the name for people. A server of an earlier release knows none.
fn display_name(account: &ServiceAccount) -> &str {
    if account.display_name.is_empty() { &account.name } else { &account.display_name }
}

fn state(account: &ServiceAccount) -> &'static str {
    if account.disabled { "disabled" } else { "active" }
}

/// Returns the path of a service account, or of an object in it.
pub(crate) fn path(place: &Place, account: ServiceAccountId, below: &str) -> String {
    place.path(&format!("/service-accounts/{account}{below}"))
}

/// Returns the service account with a name, an address or an id, and its workspace. An address also contains the
/// workspace.
pub(crate) async fn find_service_account(
    api: &ApiClient,
    workspace: &WorkspaceArguments,
    name: &str,
) -> Outcome<(Place, ServiceAccount)> {
    let mut workspace = workspace.clone();
    if workspace.workspace.is_none() {
        workspace.workspace = slug_in(name).map(str::to_owned);
    }
    let place = workspace.find(api).await?;
    if let Ok(id) = name.parse::<ServiceAccountId>() {
        let account = api.get(&path(&place, id, "")).await?;
        return Ok((place, account));
    }
    let all = api.list::<ServiceAccount>(&place.path("/service-accounts"), None).await?.items;
    let is_meant = |account: &ServiceAccount| account.name == name || account.email.eq_ignore_ascii_case(name);
    let what = format!("service account in {}", place.name);
    let account = the_one(&what, name, all, is_meant, |account| format!("{} ({})", account.name, account.id))?;
    Ok((place, account))
}

/// Returns the workspace in `NAME@SLUG.DOMAIN`.
fn slug_in(address: &str) -> Option<&str> {
    address.split_once('@')?.1.split('.').next().filter(|slug| !slug.is_empty())
}
