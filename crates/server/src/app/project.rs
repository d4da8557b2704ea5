//! Projects and who is in them.

use domain::{
    PrincipalId, ProjectId, Timestamp, WorkspaceId,
    principal::{Principal, ProjectPermission, WorkspacePermission},
    project::Project,
    role::{ProjectRole, Role},
    text::{parse_description, parse_title},
};
use store::{Connection, project::ProjectFilter};

use super::{App, Caller, Paging, identity, page};
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

/// Which projects to list, over all workspaces of the caller.
#[derive(Clone, Debug, Default)]
pub struct ProjectQuery {
    /// With exactly this title.
    pub title: Option<String>,
    /// With a title like this SQL pattern, whatever the case.
    pub title_like: Option<String>,
    /// With exactly this description.
    pub description: Option<String>,
    /// With a description like this SQL pattern, whatever the case.
    pub description_like: Option<String>,
    /// Created before.
    pub created_before: Option<Timestamp>,
    /// Created after.
    pub created_after: Option<Timestamp>,
    /// Changed before.
    pub updated_before: Option<Timestamp>,
    /// Changed after.
    pub updated_after: Option<Timestamp>,
    /// Also those that the caller is not in, of workspaces whose admin they are.
    pub include_workspace: bool,
}

/// A project in a list over all workspaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedProject {
    /// The project.
    pub project: api::Project,
    /// The email or address of who created it.
    pub creator_email: Option<String>,
}

impl App {
    /// Projects of a workspace: all for its admins, else those that the caller is in.
    ///
    /// # Errors
    /// The caller is not in the workspace.
    pub async fn list_projects(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        paging: &Paging,
    ) -> Result<api::Page<api::Project>, AppError> {
        caller.principal.authorize(WorkspacePermission::View, workspace)?;
        let limit = paging.limit()?;
        let all = caller.principal.role_in(workspace) == Some(Role::Admin);
        let mut filter = ProjectFilter::of(workspace, caller.principal.id(), all, limit + 1);
        filter.after = paging.after()?;
        let mut connection = self.store.read().await?;
        let rows = store::project::list_projects(&mut connection, &filter).await?;
        Ok(page(rows, limit, |row| row.project.id.to_string(), |row| to_wire(row.project, row.role)))
    }

    /// Projects over all workspaces of the caller.
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
        let mut connection = self.store.read().await?;
        let mut rows = Vec::new();
        for membership in memberships {
            let all = query.include_workspace && membership.role == Role::Admin;
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
                ..ProjectFilter::of(membership.workspace, caller.principal.id(), all, limit + 1)
            };
            rows.extend(store::project::list_projects(&mut connection, &filter).await?);
        }
        rows.sort_by_key(|row| row.project.id);
        Ok(page(
            rows,
            limit,
            |row| row.project.id.to_string(),
            |row| ListedProject { creator_email: row.creator_email, project: to_wire(row.project, row.role) },
        ))
    }

    /// A project that the caller can see.
    ///
    /// # Errors
    /// They cannot.
    pub async fn find_project(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
    ) -> Result<api::Project, AppError> {
        let mut connection = self.store.read().await?;
        let (project, role) =
            authorized(&mut connection, &caller.principal, workspace, id, ProjectPermission::View).await?;
        Ok(to_wire(project, role))
    }

    /// A project that the caller can see, in whichever workspace.
    ///
    /// # Errors
    /// They cannot.
    pub async fn find_project_anywhere(&self, caller: &Caller, id: ProjectId) -> Result<ListedProject, AppError> {
        let mut connection = self.store.read().await?;
        let found = store::project::find_project_anywhere(&mut connection, id).await?.ok_or(AppError::not_found())?;
        let (project, role) =
            authorized(&mut connection, &caller.principal, found.workspace, id, ProjectPermission::View).await?;
        let creator_email = match project.created_by.parse::<PrincipalId>() {
            Ok(creator) => store::identity::find_email(&mut connection, creator).await?,
            Err(_) => None,
        };
        Ok(ListedProject { creator_email, project: to_wire(project, role) })
    }

    /// Creates a project; the caller becomes its admin.
    ///
    /// # Errors
    /// The caller is not in the workspace.
    pub async fn create_project(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        create: &api::CreateProject,
    ) -> Result<api::Project, AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize(WorkspacePermission::CreateProject, workspace)?;
        let title = parse_title(&create.title).map_err(|e| AppError::field("title", "malformed", e))?;
        let description =
            parse_description(&create.description).map_err(|e| AppError::field("description", "malformed", e))?;
        if store::workspace::find_workspace(&mut transaction.change, workspace).await?.is_none() {
            return Err(AppError::not_found());
        }
        let creator = transaction.principal.id().ok_or(AppError::not_found())?;
        let now = transaction.now;
        let project = Project {
            id: self.generate_id(now),
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
        transaction.note(self, "project.create", Some(workspace), project.id, &[("title", &project.title)]);
        self.commit(transaction, 201, to_wire(project, Some(role))).await
    }

    /// Changes title or description.
    ///
    /// # Errors
    /// For the project's editors and admins only.
    pub async fn update_project(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
        update: &api::UpdateProject,
    ) -> Result<api::Project, AppError> {
        self.refuse_project_early(caller, workspace, id, ProjectPermission::Edit).await?;
        let mut transaction = self.begin(caller).await?;
        let principal = transaction.principal.clone();
        let (mut project, role) =
            authorized(&mut transaction.change, &principal, workspace, id, ProjectPermission::Edit).await?;
        if let Some(title) = &update.title {
            project.title = parse_title(title).map_err(|e| AppError::field("title", "malformed", e))?;
        }
        if let Some(description) = &update.description {
            project.description =
                parse_description(description).map_err(|e| AppError::field("description", "malformed", e))?;
        }
        project.updated_at = transaction.now;
        store::project::update_project(&mut transaction.change, &project).await?;
        transaction.note(self, "project.update", Some(workspace), id, &[("title", &project.title)]);
        self.commit(transaction, 200, to_wire(project, role)).await
    }

    /// Deletes a project.
    ///
    /// # Errors
    /// For the project's admins only.
    pub async fn delete_project(&self, caller: &Caller, workspace: WorkspaceId, id: ProjectId) -> Result<(), AppError> {
        self.refuse_project_early(caller, workspace, id, ProjectPermission::Delete).await?;
        let mut transaction = self.begin(caller).await?;
        let principal = transaction.principal.clone();
        let (project, _) =
            authorized(&mut transaction.change, &principal, workspace, id, ProjectPermission::Delete).await?;
        store::project::delete_project(&mut transaction.change, id).await?;
        transaction.note(self, "project.delete", Some(workspace), id, &[("title", &project.title)]);
        self.commit(transaction, 204, ()).await
    }

    /// Who is in a project.
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
        authorized(&mut connection, &caller.principal, workspace, id, ProjectPermission::View).await?;
        let rows = store::project::list_project_members(&mut connection, id, paging.after()?, limit + 1).await?;
        Ok(page(
            rows,
            limit,
            |row| row.id.to_string(),
            |row| api::ProjectMember {
                id: row.id.to_string(),
                kind: identity::kind(row.id),
                email: row.email,
                name: row.name,
                role: row.role,
            },
        ))
    }

    /// Gives somebody of the workspace a role in a project. An admin of the workspace may make themselves its admin.
    ///
    /// # Errors
    /// For the project's admins only; the principal is not in the workspace; the last admin must name a successor; a service
    /// account neither changes its own role nor makes anybody an admin.
    pub async fn set_project_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
        member: PrincipalId,
        set: &api::SetProjectMember,
        successor: Option<PrincipalId>,
    ) -> Result<api::ProjectMember, AppError> {
        let authorize = |principal: &Principal| {
            principal.require_another(member)?;
            principal.authorize_project_grant(set.role)
        };
        let permission_of = |principal: &Principal| {
            let joins = principal.id() == Some(member) && principal.role_in(workspace) == Some(Role::Admin);
            if joins { ProjectPermission::View } else { ProjectPermission::ManageMembers }
        };
        self.refuse_project_early(caller, workspace, id, permission_of(&caller.principal)).await?;
        authorize(&caller.principal)?;
        let mut transaction = self.begin(caller).await?;
        let principal = transaction.principal.clone();
        authorized(&mut transaction.change, &principal, workspace, id, permission_of(&principal)).await?;
        authorize(&principal)?;
        let in_workspace = store::project::find_workspace_role(&mut transaction.change, workspace, member).await?;
        if in_workspace.is_none() {
            return Err(AppError::not_found());
        }
        let identity = store::identity::find_identity(&mut transaction.change, member).await?;
        let identity = identity.ok_or(AppError::not_found())?;
        if set.role != ProjectRole::Admin {
            self.keep_an_admin(&mut transaction, workspace, id, member, successor).await?;
        }
        store::project::set_project_role(&mut transaction.change, id, member, set.role).await?;
        transaction.note(
            self,
            "project.member.set",
            Some(workspace),
            id,
            &[("principal", &member.to_string()), ("role", set.role.as_str())],
        );
        let answer = api::ProjectMember {
            id: member.to_string(),
            kind: identity::kind(member),
            email: identity.email,
            name: identity.name,
            role: set.role,
        };
        self.commit(transaction, 200, answer).await
    }

    /// Takes somebody out of a project. People may leave.
    ///
    /// # Errors
    /// For the project's admins only; the last admin must name a successor.
    pub async fn delete_project_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
        member: PrincipalId,
        successor: Option<PrincipalId>,
    ) -> Result<(), AppError> {
        let leaves = caller.principal.id() == Some(member);
        let permission = if leaves { ProjectPermission::View } else { ProjectPermission::ManageMembers };
        self.refuse_project_early(caller, workspace, id, permission).await?;
        caller.principal.require_another(member)?;
        let mut transaction = self.begin(caller).await?;
        let principal = transaction.principal.clone();
        authorized(&mut transaction.change, &principal, workspace, id, permission).await?;
        principal.require_signature()?;
        if store::project::find_project_role(&mut transaction.change, id, member).await?.is_none() {
            return Err(AppError::not_found());
        }
        self.keep_an_admin(&mut transaction, workspace, id, member, successor).await?;
        store::project::delete_project_role(&mut transaction.change, id, member).await?;
        transaction.note(self, "project.member.remove", Some(workspace), id, &[("principal", &member.to_string())]);
        self.commit(transaction, 204, ()).await
    }

    /// Refuses who may not do this in a project, or cannot see it, before a lock is taken for it.
    async fn refuse_project_early(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
        permission: ProjectPermission,
    ) -> Result<(), AppError> {
        let mut connection = self.store.read().await?;
        let found = authorized(&mut connection, &caller.principal, workspace, id, permission).await;
        self.refuse_early(caller, connection, found).await
    }

    /// Hands a project to `successor` where no admin beside `leaving` is enabled.
    async fn keep_an_admin(
        &self,
        transaction: &mut super::Transaction<'_>,
        workspace: WorkspaceId,
        id: ProjectId,
        leaving: PrincipalId,
        successor: Option<PrincipalId>,
    ) -> Result<(), AppError> {
        let is_admin =
            store::project::find_project_role(&mut transaction.change, id, leaving).await? == Some(ProjectRole::Admin);
        if !is_admin || store::project::has_enabled_admin_beside(&mut transaction.change, id, leaving).await? {
            return Ok(());
        }
        let successor = self.require_successor(transaction, workspace, leaving, successor, &[id]).await?;
        store::project::set_project_role(&mut transaction.change, id, successor, ProjectRole::Admin).await?;
        transaction.note(
            self,
            "project.member.set",
            Some(workspace),
            id,
            &[("principal", &successor.to_string()), ("role", ProjectRole::Admin.as_str())],
        );
        Ok(())
    }
}

/// The project and the principal's role in it, where they may do this.
async fn authorized(
    connection: &mut Connection,
    principal: &Principal,
    workspace: WorkspaceId,
    id: ProjectId,
    permission: ProjectPermission,
) -> Result<(Project, Option<ProjectRole>), AppError> {
    let project = store::project::find_project(connection, workspace, id).await?.ok_or(AppError::not_found())?;
    let role = match principal.id() {
        Some(who) => store::project::find_project_role(connection, id, who).await?,
        None => None,
    };
    principal.authorize_project(permission, workspace, role)?;
    Ok((project, role))
}
