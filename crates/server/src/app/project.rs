//! Projects and their members.

mod details;

use std::sync::Arc;

use domain::{
    AuditAction, PrincipalId, ProjectId, Timestamp, WorkspaceId,
    limits::KeywardScope,
    list::{self, ProjectOrder, Search},
    principal::{Identity, Principal, ProjectAccess, ProjectPermission, WorkspacePermission},
    project::Project,
    role::{ProjectRole, Role},
    text::{parse_description, parse_title},
};
use store::{
    Connection,
    name::Named,
    project::{ProjectFilter, ProjectMemberRow, ProjectRow, ProjectScope, Projects},
};

pub use self::details::ProjectDetails;
use super::{
    App, Audited, Caller, ChangeError, Confirmed, Detail, Found, Operation, Paging, Place, Scope, Transaction,
    identity,
    list::{list_page, look_through},
    member, page,
};
use crate::error::AppError;

fn to_wire(project: Project, role: Option<ProjectRole>) -> api::Project {
    api::Project {
        id: project.id,
        title: project.title,
        description: project.description,
        created_by: project.created_by,
        created_at: project.created_at,
        updated_at: project.updated_at,
        role,
    }
}

impl Audited for Project {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { id: _, workspace: _, title, description, created_by: _, created_at: _, updated_at: _ } = self;
        vec![("title", title.clone()), ("description", description.clone())]
    }
}

fn member_to_wire(row: ProjectMemberRow) -> api::ProjectMember {
    api::ProjectMember {
        id: row.id.to_string(),
        kind: identity::kind(row.id),
        email: row.email,
        name: row.name,
        role: row.role,
    }
}

/// Conditions for projects in all workspaces of the caller.
#[derive(Clone, Debug, Default)]
pub struct ProjectQuery {
    /// Exactly this title.
    pub title: Option<String>,
    /// A title that matches this SQL pattern, ignoring case.
    pub title_like: Option<String>,
    /// Exactly this description.
    pub description: Option<String>,
    /// A description that matches this SQL pattern, ignoring case.
    pub description_like: Option<String>,
    /// Created before this time.
    pub created_before: Option<Timestamp>,
    /// Created after this time.
    pub created_after: Option<Timestamp>,
    /// Changed before this time.
    pub updated_before: Option<Timestamp>,
    /// Changed after this time.
    pub updated_after: Option<Timestamp>,
    /// Whether to include projects that the caller is not a member of, in workspaces whose admin they are.
    pub include_workspace: bool,
}

/// A project in a list over all workspaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedProject {
    /// The project.
    pub project: api::Project,
    /// The email or address of its creator.
    pub creator_email: Option<String>,
}

fn listed(row: ProjectRow) -> ListedProject {
    ListedProject { creator_email: row.creator_email, project: to_wire(row.project, row.role) }
}

/// Returns the projects of a workspace that a principal can see.
fn visible_projects(principal: &Principal, workspace: WorkspaceId) -> Result<Projects, AppError> {
    let access = principal.authorize_project_list(workspace)?;
    let all = access.is_admin();
    Ok(Projects { scope: ProjectScope { access, all }, principal: principal.id() })
}

impl App {
    /// Returns the projects of a workspace that match a search. Its admins see all of them, and other callers those
    /// that they are members of.
    ///
    /// # Errors
    /// The caller is not in the workspace.
    pub async fn list_projects(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &Search<ProjectOrder, list::ProjectFilter>,
        paging: &Paging,
    ) -> Result<api::Page<api::Project>, AppError> {
        let projects = visible_projects(&caller.principal, workspace)?;
        let map = |row: ProjectRow| to_wire(row.project, row.role);
        list_page(&mut *self.store.read().await?, &projects, search, paging, map).await
    }

    /// Returns one page of these projects for a person, with their numbers.
    ///
    /// # Errors
    /// The caller is not in the workspace.
    pub async fn look_through_projects(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &Search<ProjectOrder, list::ProjectFilter>,
        place: &Place,
    ) -> Result<Found<ListedProject>, AppError> {
        let projects = visible_projects(&caller.principal, workspace)?;
        look_through(&mut *self.store.read().await?, &projects, search, place, listed).await
    }

    /// Returns projects in all workspaces of the caller.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn search_projects(
        &self,
        caller: &Caller,
        query: &ProjectQuery,
        paging: &Paging,
    ) -> Result<api::Page<ListedProject>, AppError> {
        let limit = paging.limit()?;
        let after = paging.after()?;
        let memberships = caller.principal.identity().map_or(&[][..], |identity| &identity.memberships);
        let mut scopes = Vec::new();
        for membership in memberships {
            let access = caller.principal.authorize_project_list(membership.workspace)?;
            scopes.push(ProjectScope { all: query.include_workspace && access.is_admin(), access });
        }
        let filter = ProjectFilter {
            title: query.title.as_deref(),
            title_like: query.title_like.as_deref(),
            description: query.description.as_deref(),
            description_like: query.description_like.as_deref(),
            created_before: query.created_before,
            created_after: query.created_after,
            updated_before: query.updated_before,
            updated_after: query.updated_after,
            after,
            ..ProjectFilter::of(&scopes, caller.principal.id(), limit + 1)
        };
        let mut connection = self.store.read().await?;
        let rows = store::project::list_projects(&mut connection, &filter).await?;
        Ok(page(rows, limit, |row| row.project.id.to_string(), listed))
    }

    /// Returns a project that the caller can see.
    ///
    /// # Errors
    /// The caller cannot see it.
    pub async fn find_project(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
    ) -> Result<api::Project, AppError> {
        let mut connection = self.store.read().await?;
        let AuthorizedProject { project, role, .. } =
            authorize(&mut connection, &caller.principal, workspace, id, ProjectPermission::View).await?;
        Ok(to_wire(project, role))
    }

    /// Returns a project that the caller can see, in any workspace.
    ///
    /// # Errors
    /// The caller cannot see it.
    pub async fn find_project_anywhere(&self, caller: &Caller, id: ProjectId) -> Result<ListedProject, AppError> {
        let mut connection = self.store.read().await?;
        let found = store::project::find_project_anywhere(&mut connection, id).await?.ok_or(AppError::not_found())?;
        let AuthorizedProject { project, role, .. } =
            authorize(&mut connection, &caller.principal, found.workspace, id, ProjectPermission::View).await?;
        let creator_email = match project.created_by.parse::<PrincipalId>() {
            Ok(creator) => store::identity::find_email(&mut connection, creator).await?,
            Err(_) => None,
        };
        Ok(ListedProject { creator_email, project: to_wire(project, role) })
    }

    /// Creates a project. The caller becomes its admin.
    ///
    /// # Errors
    /// The caller is not in the workspace.
    pub async fn create_project(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        create: &api::CreateProject,
    ) -> Result<Confirmed<api::Project>, ChangeError> {
        self.change(caller, CreateProject { workspace, create: create.clone() }).await
    }

    /// Updates the title or the description.
    ///
    /// # Errors
    /// The caller is not an editor or admin of the project.
    pub async fn update_project(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
        update: &api::UpdateProject,
    ) -> Result<Confirmed<api::Project>, ChangeError> {
        self.change(caller, UpdateProject { workspace, id, update: update.clone() }).await
    }

    /// Deletes a project.
    ///
    /// # Errors
    /// The caller is not an admin of the project.
    pub async fn delete_project(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, DeleteProject { workspace, id }).await
    }

    /// Returns the members of a project.
    ///
    /// # Errors
    /// The caller cannot see the project.
    pub async fn list_project_members(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
        paging: &Paging,
    ) -> Result<api::Page<api::ProjectMember>, AppError> {
        let limit = paging.limit()?;
        let mut connection = self.store.read().await?;
        let AuthorizedProject { access, .. } =
            authorize(&mut connection, &caller.principal, workspace, id, ProjectPermission::View).await?;
        let rows = store::project::list_project_members(&mut connection, access, paging.after()?, limit + 1).await?;
        Ok(page(rows, limit, |row| row.id.to_string(), member_to_wire))
    }

    /// Sets the role of a principal of the workspace in a project. An admin of the workspace may make themselves an
    /// admin of the project.
    ///
    /// # Errors
    /// The caller is not an admin of the project. The principal is not in the workspace. The last admin must name a
    /// successor. A service account cannot change its own role and cannot make a principal an admin.
    pub async fn set_project_member(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
        member: PrincipalId,
        set: &api::SetProjectMember,
        successor: Option<PrincipalId>,
    ) -> Result<Confirmed<api::ProjectMember>, ChangeError> {
        self.change(caller, SetProjectMember { workspace, id, member, role: set.role, successor }).await
    }

    /// Removes a member from a project. Members may remove themselves.
    ///
    /// # Errors
    /// The caller is not an admin of the project, or the last admin must name a successor.
    pub async fn delete_project_member(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
        member: PrincipalId,
        successor: Option<PrincipalId>,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, DeleteProjectMember { workspace, id, member, successor }).await
    }
}

struct CreateProject {
    workspace: WorkspaceId,
    create: api::CreateProject,
}

impl Operation for CreateProject {
    /// The title, the description, and the creator.
    type Checked = (String, String, PrincipalId);
    type Response = api::Project;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Write;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        scope.principal.authorize(WorkspacePermission::CreateProject, self.workspace)?;
        let title = parse_title(&self.create.title).map_err(|e| AppError::field("title", "malformed", e))?;
        let description =
            parse_description(&self.create.description).map_err(|e| AppError::field("description", "malformed", e))?;
        // The caller's membership shows that the workspace exists.
        let creator = scope.principal.id().ok_or(AppError::not_found())?;
        Ok((title, description, creator))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (title, description, creator): Self::Checked,
    ) -> Result<api::Project, AppError> {
        let (now, workspace) = (transaction.now, self.workspace);
        let project = Project {
            id: app.generate_id(now),
            workspace,
            title,
            description,
            created_by: transaction.created_by(),
            created_at: now,
            updated_at: now,
        };
        store::project::insert_project(&mut transaction.change, &project).await?;
        let role = ProjectRole::Admin;
        store::project::set_project_role(&mut transaction.change, project.id, creator, role).await?;
        transaction.note(app, AuditAction::ProjectCreate, Some(workspace), project.id, Detail::of(&project));
        Ok(to_wire(project, Some(role)))
    }
}

struct UpdateProject {
    workspace: WorkspaceId,
    id: ProjectId,
    update: api::UpdateProject,
}

impl Operation for UpdateProject {
    /// The project before and after the change, and the caller's role in it.
    type Checked = (Project, Project, Option<ProjectRole>);
    type Response = api::Project;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Write;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let AuthorizedProject { project: before, role, .. } =
            authorize(scope.connection, scope.principal, self.workspace, self.id, ProjectPermission::Edit).await?;
        let mut project = before.clone();
        if let Some(title) = &self.update.title {
            project.title = parse_title(title).map_err(|e| AppError::field("title", "malformed", e))?;
        }
        if let Some(description) = &self.update.description {
            project.description =
                parse_description(description).map_err(|e| AppError::field("description", "malformed", e))?;
        }
        project.updated_at = scope.now;
        Ok((before, project, role))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (before, project, role): Self::Checked,
    ) -> Result<api::Project, AppError> {
        store::project::update_project(&mut transaction.change, &project).await?;
        let detail = Detail::of_change(&before, &project);
        transaction.note(app, AuditAction::ProjectUpdate, Some(self.workspace), self.id, detail);
        Ok(to_wire(project, role))
    }
}

struct DeleteProject {
    workspace: WorkspaceId,
    id: ProjectId,
}

impl Operation for DeleteProject {
    type Checked = Project;
    type Response = ();
    const STATUS: u16 = 204;
    const SCOPE: KeywardScope = KeywardScope::Write;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Project, AppError> {
        let permission = ProjectPermission::Delete;
        let authorized = authorize(scope.connection, scope.principal, self.workspace, self.id, permission).await?;
        Ok(authorized.project)
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, project: Project) -> Result<(), AppError> {
        store::project::delete_project(&mut transaction.change, self.id).await?;
        transaction.note(app, AuditAction::ProjectDelete, Some(self.workspace), self.id, Detail::of(&project));
        Ok(())
    }
}

struct SetProjectMember {
    workspace: WorkspaceId,
    id: ProjectId,
    member: PrincipalId,
    role: ProjectRole,
    successor: Option<PrincipalId>,
}

impl Operation for SetProjectMember {
    /// The principal that gets the role, and the successor of the last admin.
    type Checked = (Identity, Option<PrincipalId>);
    type Response = api::ProjectMember;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let (workspace, principal) = (self.workspace, scope.principal);
        let joins = principal.id() == Some(self.member) && principal.role_in(workspace) == Some(Role::Admin);
        let permission = if joins { ProjectPermission::View } else { ProjectPermission::ManageMembers };
        let AuthorizedProject { access, .. } =
            authorize(scope.connection, principal, workspace, self.id, permission).await?;
        principal.require_another(self.member)?;
        principal.authorize_project_grant(self.role)?;
        let in_workspace = store::project::find_workspace_role(scope.connection, workspace, self.member).await?;
        if in_workspace.is_none() {
            return Err(AppError::not_found());
        }
        let identity = store::identity::find_identity(scope.connection, self.member).await?;
        let identity = identity.ok_or(AppError::not_found())?;
        let successor = match self.role {
            ProjectRole::Admin => None,
            _ => find_needed_successor(scope, access, self.member, self.successor).await?,
        };
        Ok((identity, successor))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (identity, successor): Self::Checked,
    ) -> Result<api::ProjectMember, AppError> {
        let (workspace, id, member) = (self.workspace, self.id, self.member);
        app.set_project_role(transaction, workspace, id, successor, ProjectRole::Admin).await?;
        app.set_project_role(transaction, workspace, id, Some(member), self.role).await?;
        Ok(api::ProjectMember {
            id: member.to_string(),
            kind: identity::kind(member),
            email: identity.email,
            name: identity.name,
            role: self.role,
        })
    }
}

struct DeleteProjectMember {
    workspace: WorkspaceId,
    id: ProjectId,
    member: PrincipalId,
    successor: Option<PrincipalId>,
}

impl Operation for DeleteProjectMember {
    /// The successor of the last admin.
    type Checked = Option<PrincipalId>;
    type Response = ();
    const STATUS: u16 = 204;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Option<PrincipalId>, AppError> {
        let principal = scope.principal;
        let leaves = principal.id() == Some(self.member);
        let permission = if leaves { ProjectPermission::View } else { ProjectPermission::ManageMembers };
        let AuthorizedProject { access, .. } =
            authorize(scope.connection, principal, self.workspace, self.id, permission).await?;
        principal.require_another(self.member)?;
        principal.require_signature()?;
        if store::project::find_project_role(scope.connection, self.id, self.member).await?.is_none() {
            return Err(AppError::not_found());
        }
        find_needed_successor(scope, access, self.member, self.successor).await
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        successor: Option<PrincipalId>,
    ) -> Result<(), AppError> {
        let (workspace, id, member) = (self.workspace, self.id, self.member);
        app.set_project_role(transaction, workspace, id, successor, ProjectRole::Admin).await?;
        store::project::delete_project_role(&mut transaction.change, id, member).await?;
        let title = find_title(transaction, id).await?;
        let detail = [("principal", member.to_string()), ("title", title)];
        transaction.note(app, AuditAction::ProjectMemberRemove, Some(workspace), id, &detail);
        Ok(())
    }
}

/// Returns the title of a project for an event, which names the project also after it was deleted.
async fn find_title(transaction: &mut Transaction, id: ProjectId) -> Result<String, AppError> {
    let id = id.to_string();
    match store::name::find_names(&mut transaction.change, [id.as_str()]).await?.remove(&id) {
        Some(Named::Project { title, .. }) => Ok(title),
        _ => Err(AppError::not_found()),
    }
}

/// Returns the principal that takes over a project without an enabled admin other than `leaving`.
async fn find_needed_successor(
    scope: &mut Scope<'_>,
    access: ProjectAccess,
    leaving: PrincipalId,
    successor: Option<PrincipalId>,
) -> Result<Option<PrincipalId>, AppError> {
    let id = access.project();
    let role = store::project::find_project_role(scope.connection, id, leaving).await?;
    if role != Some(ProjectRole::Admin)
        || store::project::has_enabled_admin_beside(scope.connection, id, leaving).await?
    {
        return Ok(None);
    }
    member::require_successor(scope, access.workspace(), &[leaving], successor, &[id]).await.map(Some)
}

impl App {
    /// Sets the role of a principal in a project, if there is one, with its event.
    pub(super) async fn set_project_role(
        &self,
        transaction: &mut Transaction,
        workspace: WorkspaceId,
        id: ProjectId,
        principal: Option<PrincipalId>,
        role: ProjectRole,
    ) -> Result<(), AppError> {
        let Some(principal) = principal else { return Ok(()) };
        store::project::set_project_role(&mut transaction.change, id, principal, role).await?;
        let title = find_title(transaction, id).await?;
        let detail = [("principal", principal.to_string()), ("role", role.to_string()), ("title", title)];
        transaction.note(self, AuditAction::ProjectMemberSet, Some(workspace), id, &detail);
        Ok(())
    }
}

/// A project in which the principal has a permission.
struct AuthorizedProject {
    access: ProjectAccess,
    project: Project,
    /// The principal's own role in the project.
    role: Option<ProjectRole>,
}

/// Returns the project, if the principal has this permission in it.
async fn authorize(
    connection: &mut Connection,
    principal: &Principal,
    workspace: WorkspaceId,
    id: ProjectId,
    permission: ProjectPermission,
) -> Result<AuthorizedProject, AppError> {
    let project = store::project::find_project(connection, workspace, id).await?.ok_or(AppError::not_found())?;
    let role = match principal.id() {
        Some(who) => store::project::find_project_role(connection, id, who).await?,
        None => None,
    };
    let access = principal.authorize_project(permission, workspace, id, role)?;
    Ok(AuthorizedProject { access, project, role })
}
