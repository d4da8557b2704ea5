//! A project with all that its page shows: one authorization, one connection.

use domain::{
    PrincipalId, ProjectId, WorkspaceId,
    principal::{ProjectPermission, WorkspacePermission},
};

use super::{AuthorizedProject, authorize, member_to_wire, to_wire};
use crate::{
    app::{App, Caller, Candidate, MAX_PAGE, candidate::list_candidates},
    error::AppError,
};

/// A project with all that its page shows.
#[derive(Clone, Debug)]
pub struct ProjectDetails {
    /// The project, with the caller's role in it.
    pub project: api::Project,
    /// The email or address of who created it, where that is known.
    pub creator_email: Option<String>,
    /// Who is in it, at most [`MAX_PAGE`].
    pub members: Vec<api::ProjectMember>,
    /// Who in the workspace could be given a role in it, whether they have one or not; nobody where the caller may not give
    /// one.
    pub candidates: Vec<Candidate>,
    /// Whether the caller may change its title and description.
    pub may_edit: bool,
    /// Whether the caller may give and take roles.
    pub may_manage_members: bool,
}

impl App {
    /// A project that the caller can see, with all that its page shows.
    ///
    /// # Errors
    /// They cannot.
    pub async fn find_project_details(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
    ) -> Result<ProjectDetails, AppError> {
        let principal = &caller.principal;
        let mut connection = self.store.read().await?;
        let AuthorizedProject { access, project, role } =
            authorize(&mut connection, principal, workspace, id, ProjectPermission::View).await?;
        let may = |permission| principal.authorize_project(permission, workspace, id, role).is_ok();
        let may_manage_members = may(ProjectPermission::ManageMembers);
        let members = store::project::list_project_members(&mut connection, access, None, MAX_PAGE).await?;
        let candidates = match principal.authorize(WorkspacePermission::ViewMembers, workspace) {
            Ok(access) if may_manage_members => {
                list_candidates(&mut connection, principal, access, self.clock.now()).await?
            }
            _ => Vec::new(),
        };
        let creator_email = match project.created_by.parse::<PrincipalId>() {
            Ok(creator) => store::identity::find_email(&mut connection, creator).await?,
            Err(_) => None,
        };
        Ok(ProjectDetails {
            project: to_wire(project, role),
            creator_email,
            members: members.into_iter().map(member_to_wire).collect(),
            candidates,
            may_edit: may(ProjectPermission::Edit),
            may_manage_members,
        })
    }

    /// A project that the caller may delete.
    ///
    /// # Errors
    /// For the project's admins only.
    pub async fn find_project_to_delete(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ProjectId,
    ) -> Result<api::Project, AppError> {
        let mut connection = self.store.read().await?;
        let AuthorizedProject { project, role, .. } =
            authorize(&mut connection, &caller.principal, workspace, id, ProjectPermission::Delete).await?;
        Ok(to_wire(project, role))
    }
}
