//! `keyward workspaces`, and the lookup of workspaces for all commands.

use api::{
    CreateWorkspace, IssuedInvitation, MailState, MyWorkspace, Quotas, UpdateQuotas, UpdateWorkspace, Workspace,
    WorkspaceCreated,
};
use domain::WorkspaceId;

use crate::{
    api_client::{ApiClient, ListArguments},
    confirm::ConfirmArguments,
    connection::ConnectionArguments,
    failure::{Failure, Outcome},
    input::variable,
    output::{self, Column},
};

/// The workspace.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct WorkspaceArguments {
    /// The workspace [default: the only one that you are in] [env: KEYWARD_WORKSPACE]
    #[arg(short, long, value_name = "SLUG|ID")]
    pub(crate) workspace: Option<String>,
}

/// The workspace and its server.
#[derive(Debug, clap::Args)]
pub(crate) struct InWorkspace {
    #[command(flatten)]
    pub(crate) workspace: WorkspaceArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

impl InWorkspace {
    /// Returns the API of the server, and the workspace.
    pub(crate) async fn find(&self) -> Outcome<(ApiClient, Place)> {
        let api = self.connection.api()?;
        let place = self.workspace.find(&api).await?;
        Ok((api, place))
    }
}

/// A workspace that was found.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) id: WorkspaceId,
    /// The name for messages: its slug, or its id if the slug is unknown.
    pub(crate) name: String,
}

impl Place {
    /// Returns the path of objects in it, such as `/projects`.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("/api/v1/workspaces/{}{below}", self.id)
    }
}

impl WorkspaceArguments {
    /// Returns the workspace: the one on the command line, in the variable, or the only one.
    pub(crate) async fn find(&self, api: &ApiClient) -> Outcome<Place> {
        let variable = variable("KEYWARD_WORKSPACE")?.filter(|name| !name.trim().is_empty());
        match self.workspace.clone().or(variable) {
            Some(name) => find_place(api, name.trim()).await,
            None => only_place(api.me().await?.workspaces),
        }
    }
}

fn only_place(mine: Vec<MyWorkspace>) -> Outcome<Place> {
    let mut mine = mine.into_iter();
    let Some(first) = mine.next() else {
        return Err(Failure::not_found(
            "you are in no workspace: ask an admin of one to invite you, or name one with `--workspace` if you are an \
             operator",
        ));
    };
    let others: Vec<_> = mine.collect();
    if others.is_empty() {
        return Ok(Place { id: first.id, name: first.slug });
    }
    let all: String = std::iter::once(&first).chain(&others).map(describe).collect();
    Err(Failure::usage(format!(
        "you are in {} workspaces: say which one with `--workspace SLUG` or KEYWARD_WORKSPACE{all}",
        others.len() + 1
    )))
}

fn describe(workspace: &MyWorkspace) -> String {
    format!("\n  {} ({})", workspace.slug, workspace.name)
}

/// Returns the workspace with an id or a slug. An operator can find all of them.
pub(crate) async fn find_place(api: &ApiClient, name: &str) -> Outcome<Place> {
    if let Ok(id) = name.parse() {
        return Ok(Place { id, name: name.to_owned() });
    }
    let me = api.me().await?;
    if let Some(mine) = me.workspaces.iter().find(|mine| mine.slug == name) {
        return Ok(Place { id: mine.id, name: mine.slug.clone() });
    }
    if me.operator {
        let all = api.list::<Workspace>("/api/v1/admin/workspaces", None).await?;
        if let Some(other) = all.items.into_iter().find(|other| other.slug == name) {
            return Ok(Place { id: other.id, name: other.slug });
        }
    }
    let mine: String = me.workspaces.iter().map(describe).collect();
    let mine = if mine.is_empty() { " You are in none.".to_owned() } else { format!(" You are in:{mine}") };
    Err(Failure::not_found(format!("there is no workspace `{name}` that you can see.{mine}")))
}

/// Workspaces: list, create, rename and delete them, and set their quotas
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward workspaces list
  keyward workspaces create --name Acme --slug acme --admin ann@example.com
  keyward workspaces show acme --json")]
pub(crate) enum Workspaces {
    List(List),
    Create(Create),
    Show(Show),
    Rename(Rename),
    #[command(alias = "set-quotas")]
    SetQuota(SetQuota),
    Delete(Delete),
}

/// List your workspaces
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward workspaces list
  keyward workspaces list --all                    every one of the installation, for operators")]
pub(crate) struct List {
    /// List all workspaces of the installation, for operators
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    paging: ListArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Create a workspace; you become its admin unless you name another
///
/// Operators may do this. Every user may if the installation sets `workspace_creation = "anyone"`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward workspaces create --name Acme --slug acme
  keyward workspaces create --name Acme --slug acme --admin ann@example.com")]
pub(crate) struct Create {
    #[command(flatten)]
    new: NewWorkspaceArguments,
    /// Email address of the first admin, who joins immediately or is invited
    #[arg(long, value_name = "EMAIL")]
    admin: Option<String>,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Show a workspace, your role in it and its quotas
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward workspaces show
  keyward workspaces show acme --json")]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Rename a workspace; its slug never changes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward workspaces rename acme 'Acme Robotics'")]
pub(crate) struct Rename {
    /// The workspace
    #[arg(value_name = "SLUG|ID")]
    workspace: String,
    /// The new name
    name: String,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Set the quotas of a workspace, for operators
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward workspaces set-quota acme --service-accounts 5
  keyward workspaces set-quota acme --keys-per-service-account 10 --keys-per-user 50")]
pub(crate) struct SetQuota {
    /// The workspace
    #[arg(value_name = "SLUG|ID")]
    workspace: String,
    #[command(flatten)]
    quotas: QuotaArguments,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Delete a workspace with all projects, service accounts and keys in it
///
/// The command asks you to type the slug of the workspace. With `--yes`, name the workspace by its slug, not by its id.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward workspaces delete acme
  keyward workspaces delete acme --yes             without a terminal, such as in CI")]
pub(crate) struct Delete {
    /// The workspace
    #[arg(value_name = "SLUG|ID")]
    workspace: String,
    #[command(flatten)]
    confirm: ConfirmArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The attributes of a new workspace, except its first admin. `keyward admin create-workspace` uses them, too.
#[derive(Debug, clap::Args)]
pub(crate) struct NewWorkspaceArguments {
    /// Its name
    #[arg(long)]
    name: String,
    /// Slug, such as `acme`: 3 to 40 of a-z, 0-9 and `-`; it never changes and is never reused
    #[arg(long)]
    slug: String,
}

impl NewWorkspaceArguments {
    /// Returns the workspace to create, with this first admin.
    pub(crate) fn create(self, admin_email: Option<String>) -> CreateWorkspace {
        CreateWorkspace { name: self.name, slug: self.slug, admin_email }
    }
}

/// The quotas to set, at least one. `keyward admin set-quota` uses them, too.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct QuotaArguments {
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

impl QuotaArguments {
    /// Returns the change of the quotas.
    pub(crate) fn update(&self) -> UpdateQuotas {
        UpdateQuotas {
            service_accounts: self.service_accounts,
            keys_per_service_account: self.keys_per_service_account,
            keys_per_user: self.keys_per_user,
        }
    }
}

/// Prints the quotas of a workspace.
pub(crate) fn tell_quotas(workspace: &str, quotas: &Quotas) -> Outcome {
    output::line(format!(
        "the quotas of {workspace}: {} service accounts, {} live keys for each of them, {} live keys for each user",
        quotas.service_accounts, quotas.keys_per_service_account, quotas.keys_per_user
    ))
}

/// The workspace of a command.
#[derive(Debug, clap::Args)]
struct Which {
    /// The workspace [default: the only one that you are in] [env: KEYWARD_WORKSPACE]
    #[arg(value_name = "SLUG|ID")]
    workspace: Option<String>,
}

// `keyward admin list-workspaces` uses it, too.
pub(crate) const SLUG: Column<'_, Workspace> = Column::word("SLUG", &|workspace| workspace.slug.clone());
pub(crate) const NAME: Column<'_, Workspace> = Column::text("NAME", &|workspace| workspace.name.clone());
pub(crate) const ID: Column<'_, Workspace> = Column::id(&|workspace| workspace.id.to_string());

const COLUMNS: &[Column<'_, Workspace>] = &[
    SLUG,
    NAME,
    Column::word("YOUR ROLE", &role),
    Column::word("CREATED", &|workspace| output::moment(workspace.created_at)),
    ID,
];

impl Workspaces {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run().await,
            Self::Create(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Rename(command) => command.run().await,
            Self::SetQuota(command) => command.run().await,
            Self::Delete(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let path = if self.all { "/api/v1/admin/workspaces" } else { "/api/v1/workspaces" };
        let workspaces = self.connection.api()?.list::<Workspace>(path, self.paging.limit).await?;
        let empty = "you are in no workspace: ask an admin of one to invite you";
        self.paging.print(&workspaces, COLUMNS, empty)
    }
}

impl Create {
    async fn run(self) -> Outcome {
        let create = self.new.create(self.admin);
        let created: WorkspaceCreated = self.connection.api()?.post("/api/v1/workspaces", &create).await?;
        if self.json {
            return output::json(&created);
        }
        let workspace = &created.workspace;
        output::created(workspace.id, format!("created workspace {} ({})", workspace.slug, workspace.id))?;
        if let Some(invitation) = &created.invitation {
            tell_first_admin(invitation)?;
        }
        output::line(format!("next: keyward service-accounts create NAME --workspace {}", workspace.slug))
    }
}

/// Prints how the invited first admin of a workspace can join.
pub(crate) fn tell_first_admin(issued: &IssuedInvitation) -> Outcome {
    let (email, end) = (&issued.invitation.email, output::exact(issued.invitation.expires_at));
    output::result(match (&issued.url, issued.mail) {
        (Some(url), _) => {
            format!(
                "{email} is invited, and becomes an admin of the workspace with this link, once, until \
                     {end}:\n{url}"
            )
        }
        (None, MailState::Failed) => {
            format!("{email} is invited, but the mail was not sent: name the first admin again")
        }
        (None, _) => format!(
            "{email} is invited by mail, and becomes an admin of the workspace with its link until \
                              {end}"
        ),
    })
}

impl Show {
    async fn run(self) -> Outcome {
        let api = self.connection.api()?;
        let place = WorkspaceArguments { workspace: self.which.workspace }.find(&api).await?;
        let workspace: Workspace = api.get(&place.path("")).await?;
        if self.json {
            return output::json(&workspace);
        }
        let quotas = workspace.quotas;
        output::fields(&[
            ("slug", workspace.slug.clone()),
            ("name", workspace.name.clone()),
            ("id", workspace.id.to_string()),
            ("your role", role(&workspace)),
            ("created", output::full_moment(workspace.created_at)),
            ("service accounts", format!("up to {}", quotas.service_accounts)),
            (
                "keys",
                format!("up to {} a service account, {} a user", quotas.keys_per_service_account, quotas.keys_per_user),
            ),
        ])
    }
}

impl Rename {
    async fn run(self) -> Outcome {
        let api = self.connection.api()?;
        let place = find_place(&api, &self.workspace).await?;
        let workspace: Workspace = api.patch(&place.path(""), &UpdateWorkspace { name: Some(self.name) }).await?;
        if self.json {
            return output::json(&workspace);
        }
        output::line(format!("workspace {} is now called {}", workspace.slug, workspace.name))
    }
}

impl SetQuota {
    async fn run(self) -> Outcome {
        let api = self.connection.api()?;
        let place = find_place(&api, &self.workspace).await?;
        let update = self.quotas.update();
        let path = format!("/api/v1/admin/workspaces/{}/quotas", place.id);
        let quotas: Quotas = api.patch(&path, &update).await?;
        if self.json {
            return output::json(&quotas);
        }
        tell_quotas(&place.name, &quotas)
    }
}

impl Delete {
    async fn run(self) -> Outcome {
        let api = self.connection.api()?;
        let place = find_place(&api, &self.workspace).await?;
        let workspace: Workspace = api.get(&place.path("")).await?;
        if self.confirm.yes && self.workspace != workspace.slug {
            return Err(Failure::usage(format!(
                "`--yes` deletes a workspace only if you name it by its slug: {} is `{}` ({}), so to delete it, run \
                 `keyward workspaces delete {} --yes`",
                self.workspace, workspace.slug, workspace.name, workspace.slug
            )));
        }
        let question = format!(
            "Delete the workspace {} ({}) with all its projects, service accounts and their keys?",
            workspace.slug, workspace.name
        );
        self.confirm.confirm_by_typing(&question, &workspace.slug)?;
        api.delete(&place.path("")).await?;
        output::line(format!("deleted workspace {}: its slug is never reused", workspace.slug))
    }
}

fn role(workspace: &Workspace) -> String {
    workspace.role.map_or_else(|| "none".to_owned(), |role| role.to_string())
}
