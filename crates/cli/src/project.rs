//! `keyward projects` and their members.

use api::{CreateProject, Project, ProjectMember, SetProjectMember, UpdateProject};
use domain::{ProjectId, role::ProjectRole};

use crate::{
    api_client::{ApiClient, ListArguments, query, the_one},
    confirm::ConfirmArguments,
    failure::Outcome,
    member::{Found, find_principal},
    output::{self, Column},
    workspace::{InWorkspace, Place},
};

/// Projects of a workspace and their members
///
/// You see the projects that you created or were added to. An admin of the workspace sees all projects. Name a project
/// by its title, if no other project has it, or by its id.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward projects create 'Street scenes'
  keyward projects list
  keyward projects members set-role 'Street scenes' bob@example.com editor")]
pub(crate) enum Projects {
    List(List),
    Create(Create),
    Show(Show),
    Update(Update),
    Delete(Delete),
    #[command(subcommand)]
    Members(Members),
}

/// The project and its workspace.
#[derive(Debug, clap::Args)]
struct Which {
    /// The project
    #[arg(value_name = "TITLE|ID")]
    project: String,
    #[command(flatten)]
    place: InWorkspace,
}

/// List the projects that you can see
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward projects list
  keyward projects list --workspace acme --json")]
pub(crate) struct List {
    #[command(flatten)]
    paging: ListArguments,
    #[command(flatten)]
    place: InWorkspace,
}

/// Create a project; you become its admin
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward projects create 'Street scenes'
  keyward projects create 'Street scenes' --description 'Cameras of 2026' --workspace acme --json")]
pub(crate) struct Create {
    /// Its title
    title: String,
    /// Description of the project
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: InWorkspace,
}

/// Show a project and your role in it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward projects show 'Street scenes'
  keyward projects show prj_… --json")]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Change the title or description of a project
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["title", "description"])),
    after_help = "\
Examples:
  keyward projects update 'Street scenes' --title 'City scenes'
  keyward projects update 'Street scenes' --description 'Cameras of 2026'")]
pub(crate) struct Update {
    #[command(flatten)]
    which: Which,
    /// Another title
    #[arg(long)]
    title: Option<String>,
    /// Another description
    #[arg(long)]
    description: Option<String>,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Delete a project, for its admins
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward projects delete 'Street scenes'
  keyward projects delete prj_… --yes              without a terminal, such as in CI")]
pub(crate) struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

/// Members of a project: users and service accounts of the workspace, with a role in the project
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward projects members list 'Street scenes'
  keyward projects members set-role 'Street scenes' bob@example.com editor
  keyward projects members remove 'Street scenes' bob@example.com")]
pub(crate) enum Members {
    List(ListMembers),
    #[command(alias = "set")]
    SetRole(SetMemberRole),
    Remove(RemoveMember),
}

/// List the members of a project
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward projects members list 'Street scenes' --json")]
pub(crate) struct ListMembers {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    paging: ListArguments,
}

/// Add a user or a service account of the workspace to a project, or change its role there
///
/// An admin of the workspace can make themselves an admin of any project.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward projects members set-role 'Street scenes' bob@example.com editor
  keyward projects members set-role 'Street scenes' ci-bot@acme.sa.keyward.local viewer")]
pub(crate) struct SetMemberRole {
    #[command(flatten)]
    which: Which,
    /// A user or a service account
    #[arg(value_name = "EMAIL|ADDRESS|ID")]
    member: String,
    /// `viewer`, `editor` or `admin`
    role: ProjectRole,
    /// New admin, if the member is the only admin
    #[arg(long, value_name = "EMAIL|ADDRESS|ID")]
    successor: Option<String>,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Remove a member from a project; members may remove themselves
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward projects members remove 'Street scenes' bob@example.com
  keyward projects members remove 'Street scenes' ann@example.com --successor bob@example.com")]
pub(crate) struct RemoveMember {
    #[command(flatten)]
    which: Which,
    /// A user or a service account
    #[arg(value_name = "EMAIL|ADDRESS|ID")]
    member: String,
    /// New admin, if the member is the only admin
    #[arg(long, value_name = "EMAIL|ADDRESS|ID")]
    successor: Option<String>,
}

const COLUMNS: &[Column<'_, Project>] = &[
    Column::text("TITLE", &|project| project.title.clone()),
    Column::word("YOUR ROLE", &role),
    Column::word("UPDATED", &|project| output::moment(project.updated_at)),
    Column::text("DESCRIPTION", &|project| project.description.clone()),
    Column::id(&|project| project.id.to_string()),
];

const MEMBER_COLUMNS: &[Column<'_, ProjectMember>] = &[
    Column::word("EMAIL", &|member| member.email.clone()),
    Column::text("NAME", &|member| member.name.clone()),
    Column::word("ROLE", &|member| member.role.to_string()),
    Column::id(&|member| member.id.clone()),
];

impl Projects {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run().await,
            Self::Create(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Update(command) => command.run().await,
            Self::Delete(command) => command.run().await,
            Self::Members(Members::List(command)) => command.run().await,
            Self::Members(Members::SetRole(command)) => command.run().await,
            Self::Members(Members::Remove(command)) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let projects = api.list::<Project>(&place.path("/projects"), self.paging.limit).await?;
        let empty =
            format!("no projects that you can see in {}: `keyward projects create TITLE` makes one", place.name);
        self.paging.print(&projects, COLUMNS, &empty)
    }
}

impl Create {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let create = CreateProject { title: self.title, description: self.description };
        let project: Project = api.post(&place.path("/projects"), &create).await?;
        if self.json {
            return output::json(&project);
        }
        let told = format!("created project {} ({}) in {}", project.title, project.id, place.name);
        output::created(project.id, told)?;
        output::line(format!("next: keyward projects members set-role {} EMAIL editor", project.id))
    }
}

impl Show {
    async fn run(self) -> Outcome {
        let (_, _, project) = self.which.find().await?;
        if self.json {
            return output::json(&project);
        }
        output::fields(&[
            ("title", project.title.clone()),
            ("id", project.id.to_string()),
            ("hash", project.id.uuid().to_string()),
            ("description", project.description.clone()),
            ("your role", role(&project)),
            ("created", format!("{} by {}", output::full_moment(project.created_at), project.created_by)),
            ("updated", output::full_moment(project.updated_at)),
        ])
    }
}

impl Update {
    async fn run(self) -> Outcome {
        let (api, place, project) = self.which.find().await?;
        let update = UpdateProject { title: self.title, description: self.description };
        let project: Project = api.patch(&path(&place, project.id, ""), &update).await?;
        if self.json {
            return output::json(&project);
        }
        output::line(format!("changed project {} ({})", project.title, project.id))
    }
}

impl Delete {
    async fn run(self) -> Outcome {
        let (api, place, project) = self.which.find().await?;
        self.confirm.confirm(&format!("Delete the project {} ({})?", project.title, project.id))?;
        api.delete(&path(&place, project.id, "")).await?;
        output::line(format!("deleted project {} ({})", project.title, project.id))
    }
}

impl ListMembers {
    async fn run(self) -> Outcome {
        let (api, place, project) = self.which.find().await?;
        let members = api.list::<ProjectMember>(&path(&place, project.id, "/members"), self.paging.limit).await?;
        let empty = "the project has no members: an admin of the workspace can become its admin with `keyward projects \
                     members set-role`";
        self.paging.print(&members, MEMBER_COLUMNS, empty)
    }
}

impl SetMemberRole {
    async fn run(self) -> Outcome {
        let (api, place, project) = self.which.find().await?;
        let member = find_member(&api, &place, &project, &self.member).await?;
        let below = member_path(&api, &place, &project, &member, self.successor.as_deref()).await?;
        let set: ProjectMember = api.put(&below, &SetProjectMember { role: self.role }).await?;
        if self.json {
            return output::json(&set);
        }
        output::line(format!("{} is now {} of {}", set.email, set.role, project.title))
    }
}

impl RemoveMember {
    async fn run(self) -> Outcome {
        let (api, place, project) = self.which.find().await?;
        let member = find_member(&api, &place, &project, &self.member).await?;
        api.delete(&member_path(&api, &place, &project, &member, self.successor.as_deref()).await?).await?;
        output::line(format!("{} is no longer in {}", member.email, project.title))
    }
}

impl Which {
    /// Returns the project with a title or an id.
    async fn find(&self) -> Outcome<(ApiClient, Place, Project)> {
        let (api, place) = self.place.find().await?;
        let name = &self.project;
        if let Ok(id) = name.parse::<ProjectId>() {
            let project = api.get(&path(&place, id, "")).await?;
            return Ok((api, place, project));
        }
        let all = api.list::<Project>(&place.path("/projects"), None).await?.items;
        let is_meant = |project: &Project| project.title == *name || project.id.uuid().to_string() == *name;
        let project = the_one("project", name, all, is_meant, |project| format!("{}  {}", project.id, project.title))?;
        Ok((api, place, project))
    }
}

/// Finds a member of the project, or else of the workspace. All members of a project see its members. Only admins of
/// the workspace see its service accounts.
async fn find_member(api: &ApiClient, place: &Place, project: &Project, name: &str) -> Outcome<Found> {
    let members = api.list::<ProjectMember>(&path(place, project.id, "/members"), None).await?.items;
    let known = members.into_iter().find(|member| member.email.eq_ignore_ascii_case(name));
    if let Some((id, member)) = known.and_then(|member| Some((member.id.parse().ok()?, member))) {
        return Ok(Found { id, email: member.email });
    }
    find_principal(api, place, name).await
}

async fn member_path(
    api: &ApiClient,
    place: &Place,
    project: &Project,
    member: &Found,
    successor: Option<&str>,
) -> Outcome<String> {
    let successor = match successor {
        Some(name) => Some(find_member(api, place, project, name).await?.id.to_string()),
        None => None,
    };
    Ok(path(place, project.id, &format!("/members/{}{}", member.id, query([("successor", successor)]))))
}

fn path(place: &Place, project: ProjectId, below: &str) -> String {
    place.path(&format!("/projects/{project}{below}"))
}

fn role(project: &Project) -> String {
    project.role.map_or_else(|| "none".to_owned(), |role| role.to_string())
}
