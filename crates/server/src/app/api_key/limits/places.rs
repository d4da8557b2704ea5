//! The projects and workspaces that a key is limited to, or can be limited to, with their names for the pages.

use domain::{
    ProjectId, WorkspaceId,
    limits::{KeyLimits, MAX_LIMIT_ENTRIES},
    principal::{Membership, ProjectPermission},
    project::Project,
    role::{ProjectRole, Role},
};
use store::{
    Connection,
    project::{ProjectFilter, ProjectScope},
};

use super::parse_limits;
use crate::{
    app::{
        App, Caller,
        api_key::{Access, AuthorizedOwner, KeyOwner, authorize},
    },
    error::AppError,
};

/// A project that a key is limited to, or can be limited to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitProject {
    /// Its id.
    pub id: ProjectId,
    /// Its title, if the caller can see the project.
    pub title: Option<String>,
    /// The slug and the name of its workspace, if the caller can see the project.
    pub workspace: Option<(String, String)>,
    /// Whether the owner of the key reaches it now.
    pub is_reached: bool,
}

/// A workspace that a user's key is limited to, or can be limited to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitWorkspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its slug and its name, if the owner of the key is a member.
    pub name: Option<(String, String)>,
}

/// The projects and workspaces of an owner's keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LimitPlaces {
    /// The projects.
    pub projects: Vec<LimitProject>,
    /// Whether the owner has more projects than a key can be limited to. Only the first ones are here.
    pub has_more_projects: bool,
    /// The workspaces.
    pub workspaces: Vec<LimitWorkspace>,
}

/// What a change of the limits of a key does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitChange {
    /// Whether the key may no longer do something.
    pub narrows: bool,
    /// Whether the key may do something that it could not.
    pub widens: bool,
}

fn as_workspace(membership: &Membership) -> LimitWorkspace {
    let name = (membership.slug.to_string(), membership.name.to_string());
    LimitWorkspace { id: membership.workspace, name: Some(name) }
}

impl App {
    /// Returns what a key of an owner can be limited to: all workspaces of a user and at most [`MAX_LIMIT_ENTRIES`]
    /// projects, and what `kept` names besides.
    ///
    /// # Errors
    /// The caller may not manage the keys of the owner.
    pub async fn list_limit_choices(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        kept: &api::KeyLimits,
    ) -> Result<LimitPlaces, AppError> {
        let owner = authorize(&caller.principal, owner, Access::Manage)?;
        let mut connection = self.store.read().await?;
        let memberships = list_memberships(&mut connection, &owner).await?;
        let mut scopes = Vec::new();
        for membership in &memberships {
            let access = caller.principal.authorize_project_list(membership.workspace)?;
            scopes.push(ProjectScope { access, all: membership.role == Role::Admin });
        }
        let limit = i64::try_from(MAX_LIMIT_ENTRIES).unwrap_or(i64::MAX);
        let filter = ProjectFilter::of(&scopes, Some(owner.id), limit + 1);
        let mut rows = store::project::list_projects(&mut connection, &filter).await?;
        let has_more_projects = rows.len() > MAX_LIMIT_ENTRIES;
        rows.truncate(MAX_LIMIT_ENTRIES);
        let mut projects: Vec<LimitProject> =
            rows.into_iter().map(|row| as_project(caller, &owner, &memberships, row.project, row.role)).collect();
        let others = kept.projects.iter().flatten().filter(|id| projects.iter().all(|project| project.id != **id));
        let others: Vec<ProjectId> = others.copied().collect();
        projects.extend(find_projects(&mut connection, caller, &owner, &memberships, &others).await?);
        let mut workspaces = Vec::new();
        if owner.workspace.is_none() {
            workspaces.extend(memberships.iter().map(as_workspace));
            workspaces.extend(find_workspaces(&memberships, kept).filter(|workspace| workspace.name.is_none()));
        }
        Ok(LimitPlaces { projects, has_more_projects, workspaces })
    }

    /// Returns the projects and workspaces that limits of an owner's key name.
    ///
    /// # Errors
    /// The caller may not view the keys of the owner.
    pub async fn find_limited_places(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        limits: &api::KeyLimits,
    ) -> Result<LimitPlaces, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let ids = limits.projects.as_deref().unwrap_or_default();
        if ids.is_empty() && limits.workspaces.as_ref().is_none_or(Vec::is_empty) {
            return Ok(LimitPlaces::default());
        }
        let mut connection = self.store.read().await?;
        let memberships = list_memberships(&mut connection, &owner).await?;
        let projects = find_projects(&mut connection, caller, &owner, &memberships, ids).await?;
        Ok(LimitPlaces {
            projects,
            has_more_projects: false,
            workspaces: find_workspaces(&memberships, limits).collect(),
        })
    }
}

impl LimitChange {
    /// Compares the limits of a key before and after a change.
    ///
    /// # Errors
    /// They are malformed, which limits that were read from the store are not.
    pub fn between(before: Option<&api::KeyLimits>, after: Option<&api::KeyLimits>) -> Result<Self, AppError> {
        let parse = |limits: Option<&api::KeyLimits>| -> Result<KeyLimits, AppError> {
            Ok(limits.map(parse_limits).transpose()?.unwrap_or_default().into())
        };
        let (before, after) = (parse(before)?, parse(after)?);
        Ok(Self { narrows: after.is_narrower_than(&before), widens: before.is_narrower_than(&after) })
    }
}

async fn list_memberships(connection: &mut Connection, owner: &AuthorizedOwner) -> Result<Vec<Membership>, AppError> {
    let identity = store::identity::find_identity(connection, owner.id).await?;
    Ok(identity.map(|identity| identity.memberships).unwrap_or_default())
}

/// Returns the project with what the caller may know of it. A role is that of the owner.
fn as_project(
    caller: &Caller,
    owner: &AuthorizedOwner,
    memberships: &[Membership],
    project: Project,
    role: Option<ProjectRole>,
) -> LimitProject {
    let membership = memberships.iter().find(|membership| membership.workspace == project.workspace);
    let is_reached = membership.is_some_and(|membership| role.is_some() || membership.role == Role::Admin);
    let own_role = role.filter(|_| caller.principal.id() == Some(owner.id));
    let is_seen =
        caller.principal.authorize_project(ProjectPermission::View, project.workspace, project.id, own_role).is_ok();
    let workspace = membership.map(|membership| (membership.slug.to_string(), membership.name.to_string()));
    LimitProject {
        id: project.id,
        title: is_seen.then_some(project.title),
        workspace: workspace.filter(|_| is_seen),
        is_reached,
    }
}

/// Returns projects in the order of their ids. One that does not exist has no title.
async fn find_projects(
    connection: &mut Connection,
    caller: &Caller,
    owner: &AuthorizedOwner,
    memberships: &[Membership],
    ids: &[ProjectId],
) -> Result<Vec<LimitProject>, AppError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = store::project::list_projects_by_id(connection, ids, owner.id).await?;
    let project = |id: &ProjectId| match found.iter().position(|(project, _)| project.id == *id) {
        Some(at) => {
            let (project, role) = found.swap_remove(at);
            as_project(caller, owner, memberships, project, role)
        }
        None => LimitProject { id: *id, title: None, workspace: None, is_reached: false },
    };
    Ok(ids.iter().map(project).collect())
}

fn find_workspaces<'a>(
    memberships: &'a [Membership],
    limits: &'a api::KeyLimits,
) -> impl Iterator<Item = LimitWorkspace> + 'a {
    limits.workspaces.iter().flatten().map(|id| {
        let membership = memberships.iter().find(|membership| membership.workspace == *id);
        membership.map_or(LimitWorkspace { id: *id, name: None }, as_workspace)
    })
}
