//! A project with the data for its page, with one authorization and one connection.

use domain::{
    PrincipalId, ProjectId, WorkspaceId,
    principal::{ProjectPermission, WorkspacePermission},
};

use super::{AuthorizedProject, authorize, member_to_wire, to_wire};
use crate::{
    app::{App, Caller, Candidate, MAX_PAGE, candidate::list_candidates},
    error::AppError,
};

/// A project with the data for its page.
#[derive(Clone, Debug)]
pub struct ProjectDetails {
    /// The project, with the caller's role in it.
    pub project: api::Project,
    /// The email or address of its creator, if it is known.
    pub creator_email: Option<String>,
    /// Its members, at most [`MAX_PAGE`].
    pub members: Vec<api::ProjectMember>,
    /// The principals of the workspace that could get a role in it, including those that have one. Empty if the caller
    /// may not change roles.
    pub candidates: Vec<Candidate>,
    /// Whether the caller may change its title and description.
    pub may_edit: bool,
    /// Whether the caller may set and remove roles.
    pub may_manage_members: bool,
}

impl App {
    /// Returns a project that the caller can see, with the data for its page.
    ///
    /// # Errors
    /// The caller cannot see it.
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

    /// Returns a project that the caller may delete.
    ///
    /// # Errors
    /// The caller is not an admin of the project.
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
