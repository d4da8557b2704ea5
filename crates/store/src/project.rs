//! Projects and their members.

use domain::{
    PrincipalId, ProjectId, Timestamp, WorkspaceId,
    list::{self, ProjectOrder},
    principal::{ProjectAccess, ProjectListAccess, WorkspaceAccess},
    project::{Project, ProjectGrants},
    role::{ProjectRole, Role},
};

use crate::{
    Change, Connection, Row, StoreError, Subject,
    connection::{FromRow, LIST_MAX, find_page_end, page_end, page_start, push_list},
    list::{List, push},
    params,
    table::{
        Column,
        ColumnType::{I64, Text},
        Table,
    },
    value::{Statement, Value},
};

pub(crate) static PROJECTS: Table<Project> = Table {
    name: "projects",
    columns: &[
        Column::key("id", Text, |project| project.id.into()),
        Column::fixed("workspace_id", Text, |project| project.workspace.into()),
        Column::mutable("title", Text, |project| (&project.title).into()),
        Column::mutable("description", Text, |project| (&project.description).into()),
        Column::fixed("created_by", Text, |project| (&project.created_by).into()),
        Column::fixed("created_at", I64, |project| project.created_at.into()),
        Column::mutable("updated_at", I64, |project| project.updated_at.into()),
    ],
};

impl FromRow for Project {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parse("id")?,
            workspace: row.parse("workspace_id")?,
            title: row.text("title")?,
            description: row.text("description")?,
            created_by: row.text("created_by")?,
            created_at: row.timestamp("created_at")?,
            updated_at: row.timestamp("updated_at")?,
        })
    }
}

/// A row of `project_members`.
pub(crate) struct Grant {
    project: ProjectId,
    principal: PrincipalId,
    role: ProjectRole,
}

pub(crate) static PROJECT_MEMBERS: Table<Grant> = Table {
    name: "project_members",
    columns: &[
        Column::key("project_id", Text, |grant| grant.project.into()),
        Column::key("principal_id", Text, |grant| grant.principal.into()),
        Column::mutable("role", Text, |grant| grant.role.as_str().into()),
    ],
};

/// A project in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectRow {
    /// The project.
    pub project: Project,
    /// The role of the filter's principal in it.
    pub role: Option<ProjectRole>,
    /// The email or address of its creator.
    pub creator_email: Option<String>,
}

impl FromRow for ProjectRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            project: Project::from_row(row)?,
            role: row.opt_parse("role")?,
            creator_email: row.opt_text("creator_email")?,
        })
    }
}

/// A principal in a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectMemberRow {
    /// The principal.
    pub id: PrincipalId,
    /// The email, or the service account's address.
    pub email: String,
    /// Its name.
    pub name: String,
    /// Its role in the project.
    pub role: ProjectRole,
}

impl FromRow for ProjectMemberRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parse("principal_id")?,
            email: row.text("email")?,
            name: row.text("name")?,
            role: row.parse("role")?,
        })
    }
}

/// Adds a project.
pub async fn insert_project(change: &mut Change, project: &Project) -> Result<(), StoreError> {
    PROJECTS.insert(project).run(change).await?;
    change.touch(Subject::Project(project.id));
    Ok(())
}

/// Updates the mutable columns of a project.
pub async fn update_project(change: &mut Change, project: &Project) -> Result<(), StoreError> {
    PROJECTS.update(change, project).await?;
    change.touch(Subject::Project(project.id));
    Ok(())
}

/// Deletes a project and its members' roles in it.
pub async fn delete_project(change: &mut Change, id: ProjectId) -> Result<(), StoreError> {
    change.execute("DELETE FROM project_members WHERE project_id = $1", params![id]).await?;
    change.execute("DELETE FROM projects WHERE id = $1", params![id]).await?;
    change.touch(Subject::Project(id));
    Ok(())
}

/// Returns a project of a workspace.
pub async fn find_project(
    connection: &mut Connection,
    workspace: WorkspaceId,
    id: ProjectId,
) -> Result<Option<Project>, StoreError> {
    connection.find(PROJECTS.select("WHERE workspace_id = $1 AND id = $2"), params![workspace, id]).await
}

/// The projects of a workspace that may be listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectScope {
    /// The workspace, and the only projects that the caller's key reaches.
    pub access: ProjectListAccess,
    /// Whether to include projects in which the filter's principal has no role.
    pub all: bool,
}

impl ProjectScope {
    /// Returns the condition of the only projects to list, if there is one. Adds its values.
    fn only(&self, values: &mut Vec<Value<'_>>) -> Option<String> {
        let ids: Vec<ProjectId> = self.access.only()?.collect();
        Some(format!("projects.id IN ({})", push_list(values, &ids)))
    }
}

/// Conditions for the projects to list.
#[derive(Clone, Debug)]
pub struct ProjectFilter<'a> {
    /// The workspaces to list, each once.
    pub scopes: &'a [ProjectScope],
    /// The principal whose roles are returned.
    pub principal: Option<PrincipalId>,
    /// Exactly this title.
    pub title: Option<&'a str>,
    /// A title that matches this SQL pattern (`%`, `_`), ignoring case.
    pub title_like: Option<&'a str>,
    /// Exactly this description.
    pub description: Option<&'a str>,
    /// A description that matches this SQL pattern.
    pub description_like: Option<&'a str>,
    /// Created before this time.
    pub created_before: Option<Timestamp>,
    /// Created after this time.
    pub created_after: Option<Timestamp>,
    /// Changed before this time.
    pub updated_before: Option<Timestamp>,
    /// Changed after this time.
    pub updated_after: Option<Timestamp>,
    /// Projects after this one, in the order of ids.
    pub after: Option<ProjectId>,
    /// Maximum number of projects.
    pub limit: i64,
}

impl<'a> ProjectFilter<'a> {
    /// Returns a filter for all projects in the scopes.
    #[must_use]
    pub const fn of(scopes: &'a [ProjectScope], principal: Option<PrincipalId>, limit: i64) -> Self {
        Self {
            scopes,
            principal,
            title: None,
            title_like: None,
            description: None,
            description_like: None,
            created_before: None,
            created_after: None,
            updated_before: None,
            updated_after: None,
            after: None,
            limit,
        }
    }
}

/// Returns projects in the order of their ids, each with the role of the filter's principal in it. One query covers all
/// workspaces.
pub async fn list_projects(
    connection: &mut Connection,
    filter: &ProjectFilter<'_>,
) -> Result<Vec<ProjectRow>, StoreError> {
    let mut projects: Vec<ProjectRow> = Vec::new();
    for scopes in filter.scopes.chunks(LIST_MAX) {
        projects.extend(list_projects_in(connection, scopes, filter).await?);
    }
    // Each query has its own order and its own limit.
    projects.sort_by_key(|row| row.project.id);
    projects.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    Ok(projects)
}

async fn list_projects_in(
    connection: &mut Connection,
    scopes: &[ProjectScope],
    filter: &ProjectFilter<'_>,
) -> Result<Vec<ProjectRow>, StoreError> {
    let select = PROJECTS.select_with(
        "m.role, COALESCE(u.email, s.address) AS creator_email",
        "LEFT JOIN project_members m ON m.project_id = projects.id AND m.principal_id = $1
         LEFT JOIN users u ON u.id = projects.created_by
         LEFT JOIN service_accounts s ON s.id = projects.created_by
         WHERE projects.id > $2
           AND ($4 IS NULL OR projects.title = $4)
           AND ($5 IS NULL OR LOWER(projects.title) LIKE LOWER($5) ESCAPE '\\')
           AND ($6 IS NULL OR projects.description = $6)
           AND ($7 IS NULL OR LOWER(projects.description) LIKE LOWER($7) ESCAPE '\\')
           AND ($8 IS NULL OR projects.created_at < $8)
           AND ($9 IS NULL OR projects.created_at > $9)
           AND ($10 IS NULL OR projects.updated_at < $10)
           AND ($11 IS NULL OR projects.updated_at > $11)",
    );
    let mut values = params![
        filter.principal,
        page_start(filter.after),
        filter.limit,
        filter.title,
        filter.title_like,
        filter.description,
        filter.description_like,
        filter.created_before,
        filter.created_after,
        filter.updated_before,
        filter.updated_after
    ]
    .to_vec();
    let ids = |only_all: bool| -> Vec<WorkspaceId> {
        scopes.iter().filter(|scope| scope.all || !only_all).map(|scope| scope.access.workspace()).collect()
    };
    // The lists come last, so that the numbers of the other placeholders do not change.
    let in_scope = push_list(&mut values, &ids(false));
    let in_full = push_list(&mut values, &ids(true));
    // The scopes of a caller have the same key, and so the same projects.
    let only = scopes.first().and_then(|scope| scope.only(&mut values)).unwrap_or_else(|| "1 = 1".to_owned());
    let sql = format!(
        "{} AND projects.workspace_id IN ({in_scope})
            AND (m.role IS NOT NULL OR projects.workspace_id IN ({in_full})) AND {only}
         ORDER BY projects.id LIMIT $3",
        select.as_str()
    );
    connection.list(Statement::built(sql), &values).await
}

/// The list of the projects of a workspace that a principal can see.
#[derive(Clone, Debug)]
pub struct Projects {
    /// The workspace, and whether to include projects in which the principal has no role.
    pub scope: ProjectScope,
    /// The principal whose roles are returned.
    pub principal: Option<PrincipalId>,
}

impl List for Projects {
    type Order = ProjectOrder;
    type Filter = list::ProjectFilter;
    type Id = ProjectId;
    type Row = ProjectRow;

    const ID: &'static str = "projects.id";
    const SEARCHED: &'static [&'static str] = &["projects.title", "projects.description"];

    fn select(&self) -> Statement {
        PROJECTS.select_columns("m.role, COALESCE(u.email, s.address) AS creator_email")
    }

    fn from<'a>(&'a self, values: &mut Vec<Value<'a>>) -> Statement {
        let principal = push(values, self.principal);
        let workspace = push(values, self.scope.access.workspace());
        let only = self.scope.only(values).unwrap_or_else(|| "1 = 1".to_owned());
        Statement::built(format!(
            "FROM projects
             LEFT JOIN project_members m ON m.project_id = projects.id AND m.principal_id = {principal}
             LEFT JOIN users u ON u.id = projects.created_by
             LEFT JOIN service_accounts s ON s.id = projects.created_by
             WHERE projects.workspace_id = {workspace} AND {only} AND {}",
            if self.scope.all { "1 = 1" } else { "m.role IS NOT NULL" }
        ))
    }

    fn filter<'a>(&'a self, filter: list::ProjectFilter, _: &mut Vec<Value<'a>>) -> Statement {
        match filter {
            list::ProjectFilter::All => "1 = 1",
            list::ProjectFilter::Joined => "m.role IS NOT NULL",
            list::ProjectFilter::NotJoined => "m.role IS NULL",
        }
        .into()
    }

    fn order(order: ProjectOrder) -> &'static str {
        match order {
            ProjectOrder::Created => "projects.id",
            ProjectOrder::Title => "LOWER(projects.title)",
            ProjectOrder::Updated => "projects.updated_at",
        }
    }

    fn decode(row: &Row) -> Result<ProjectRow, StoreError> {
        ProjectRow::from_row(row)
    }
}

/// Returns every project of a workspace.
pub async fn list_project_ids(
    connection: &mut Connection,
    workspace: WorkspaceId,
) -> Result<Vec<ProjectId>, StoreError> {
    let sql = "SELECT id FROM projects WHERE workspace_id = $1 ORDER BY id";
    connection.fetch_all(sql, params![workspace]).await?.iter().map(|row| row.parse("id")).collect()
}

/// Returns a project of any workspace. The caller must still check whether the principal may see it.
pub async fn find_project_anywhere(connection: &mut Connection, id: ProjectId) -> Result<Option<Project>, StoreError> {
    connection.find(PROJECTS.select("WHERE id = $1"), params![id]).await
}

/// Returns the projects with these ids in any workspace, each with the role of a principal in it. The caller must still
/// check who may see them.
///
/// # Errors
/// The database does not answer.
pub async fn list_projects_by_id(
    connection: &mut Connection,
    ids: &[ProjectId],
    principal: PrincipalId,
) -> Result<Vec<(Project, Option<ProjectRole>)>, StoreError> {
    let mut values = params![principal].to_vec();
    let these = push_list(&mut values, ids);
    let select = PROJECTS.select_with(
        "m.role",
        "LEFT JOIN project_members m ON m.project_id = projects.id AND m.principal_id = $1 WHERE projects.id",
    );
    let sql = Statement::built(format!("{} IN ({these}) ORDER BY projects.id", select.as_str()));
    let rows = connection.fetch_all(sql, &values).await?;
    rows.iter().map(|row| Ok((Project::from_row(row)?, row.opt_parse("role")?))).collect()
}

/// Selects the roles in projects.
macro_rules! select_grants {
    ($condition:literal) => {
        concat!(
            "SELECT p.id, p.workspace_id, m.principal_id, m.role
             FROM projects p LEFT JOIN project_members m ON m.project_id = p.id WHERE ",
            $condition
        )
    };
}

/// Returns the roles in those of these projects that exist, in the order of their ids.
pub async fn find_project_grants(
    connection: &mut Connection,
    ids: &[ProjectId],
) -> Result<Vec<ProjectGrants>, StoreError> {
    grants(&connection.fetch_in(select_grants!("p.id"), ids, "ORDER BY p.id, m.principal_id").await?)
}

/// Returns the last id of a page with `size` projects after `after`. Returns `None` if there are fewer.
///
/// # Errors
/// The database does not answer.
pub async fn find_end_of_projects(
    connection: &mut Connection,
    after: Option<ProjectId>,
    size: u16,
) -> Result<Option<ProjectId>, StoreError> {
    find_page_end(connection, "projects WHERE", after, size).await
}

/// Returns the roles in the projects after `after` and up to `up_to`, in the order of their ids.
pub async fn list_project_grants(
    connection: &mut Connection,
    after: Option<ProjectId>,
    up_to: Option<ProjectId>,
) -> Result<Vec<ProjectGrants>, StoreError> {
    let sql = select_grants!("p.id > $1 AND p.id <= $2 ORDER BY p.id, m.principal_id");
    grants(&connection.fetch_all(sql, params![page_start(after), page_end(up_to)]).await?)
}

/// Groups rows by project. Rows of one project are adjacent.
fn grants(rows: &[Row]) -> Result<Vec<ProjectGrants>, StoreError> {
    let mut all: Vec<ProjectGrants> = Vec::new();
    for row in rows {
        let id = row.parse("id")?;
        if all.last().is_none_or(|last| last.id != id) {
            all.push(ProjectGrants { id, workspace: row.parse("workspace_id")?, roles: Vec::new() });
        }
        if let (Some(last), Some(principal)) = (all.last_mut(), row.opt_parse("principal_id")?) {
            last.roles.push((principal, row.parse("role")?));
        }
    }
    Ok(all)
}

/// Returns the role of a principal in a project.
pub async fn find_project_role(
    connection: &mut Connection,
    project: ProjectId,
    principal: PrincipalId,
) -> Result<Option<ProjectRole>, StoreError> {
    let sql = "SELECT role FROM project_members WHERE project_id = $1 AND principal_id = $2";
    let row = connection.fetch_optional(sql, params![project, principal]).await?;
    row.map(|row| row.parse("role")).transpose()
}

/// Sets the role of a principal in a project, whether or not it had one.
pub async fn set_project_role(
    change: &mut Change,
    project: ProjectId,
    principal: PrincipalId,
    role: ProjectRole,
) -> Result<(), StoreError> {
    PROJECT_MEMBERS.insert(&Grant { project, principal, role }).run_or_update(&[], change).await?;
    change.touch(Subject::Project(project));
    Ok(())
}

/// Removes a principal from a project.
pub async fn delete_project_role(
    change: &mut Change,
    project: ProjectId,
    principal: PrincipalId,
) -> Result<(), StoreError> {
    change
        .execute("DELETE FROM project_members WHERE project_id = $1 AND principal_id = $2", params![project, principal])
        .await?;
    change.touch(Subject::Project(project));
    Ok(())
}

/// Returns whether a project has an admin other than `principal` that is not disabled.
pub async fn has_enabled_admin_beside(
    connection: &mut Connection,
    project: ProjectId,
    principal: PrincipalId,
) -> Result<bool, StoreError> {
    let sql = "SELECT o.principal_id FROM project_members o
               LEFT JOIN users u ON u.id = o.principal_id
               LEFT JOIN service_accounts s ON s.id = o.principal_id
               WHERE o.project_id = $1 AND o.principal_id <> $2 AND o.role = $3
                 AND (u.disabled = $4 OR (s.disabled = $4 AND s.deleted_at IS NULL)) LIMIT 1";
    let values = params![project, principal, ProjectRole::Admin.as_str(), false];
    Ok(connection.fetch_optional(sql, values).await?.is_some())
}

/// Returns the projects of a workspace in which a principal has a role.
pub async fn list_projects_of(
    connection: &mut Connection,
    workspace: WorkspaceId,
    principal: PrincipalId,
) -> Result<Vec<ProjectId>, StoreError> {
    let sql = "SELECT p.id FROM project_members m JOIN projects p ON p.id = m.project_id
               WHERE p.workspace_id = $1 AND m.principal_id = $2 ORDER BY p.id";
    connection.fetch_all(sql, params![workspace, principal]).await?.iter().map(|row| row.parse("id")).collect()
}

/// A project with the role of a principal in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinedProject {
    /// Its id.
    pub id: ProjectId,
    /// Its title.
    pub title: String,
    /// The role.
    pub role: ProjectRole,
}

/// Returns the projects of a workspace in which a principal has a role, the latest first.
pub async fn list_joined_projects(
    connection: &mut Connection,
    access: WorkspaceAccess,
    principal: PrincipalId,
) -> Result<Vec<JoinedProject>, StoreError> {
    let sql = "SELECT p.id, p.title, m.role FROM project_members m JOIN projects p ON p.id = m.project_id
               WHERE p.workspace_id = $1 AND m.principal_id = $2 ORDER BY p.id DESC";
    let rows = connection.fetch_all(sql, params![access.workspace(), principal]).await?;
    let project =
        |row: &Row| Ok(JoinedProject { id: row.parse("id")?, title: row.text("title")?, role: row.parse("role")? });
    rows.iter().map(project).collect()
}

/// Returns the projects of a workspace that have no admin other than these principals, not counting disabled ones, in
/// the order of their ids.
pub async fn list_projects_led_only_by(
    connection: &mut Connection,
    access: WorkspaceAccess,
    principals: &[PrincipalId],
) -> Result<Vec<Project>, StoreError> {
    let mut values = params![access.workspace(), ProjectRole::Admin.as_str(), false].to_vec();
    let these = push_list(&mut values, principals);
    let sql = Statement::built(format!(
        "{} WHERE projects.workspace_id = $1
               AND EXISTS (SELECT 1 FROM project_members m
                           WHERE m.project_id = projects.id AND m.role = $2 AND m.principal_id IN ({these}))
               AND NOT EXISTS (SELECT 1 FROM project_members o
                               LEFT JOIN users u ON u.id = o.principal_id
                               LEFT JOIN service_accounts s ON s.id = o.principal_id
                               WHERE o.project_id = projects.id AND o.role = $2 AND o.principal_id NOT IN ({these})
                                 AND (u.disabled = $3 OR (s.disabled = $3 AND s.deleted_at IS NULL)))
             ORDER BY projects.id",
        PROJECTS.select("").as_str()
    ));
    connection.list(sql, &values).await
}

/// Returns members of a project in the order of their ids, after `after`.
pub async fn list_project_members(
    connection: &mut Connection,
    access: ProjectAccess,
    after: Option<PrincipalId>,
    limit: i64,
) -> Result<Vec<ProjectMemberRow>, StoreError> {
    let sql = "SELECT m.principal_id, m.role, COALESCE(u.email, s.address) AS email,
                      COALESCE(u.name, s.display_name, s.name) AS name
               FROM project_members m
               LEFT JOIN users u ON u.id = m.principal_id
               LEFT JOIN service_accounts s ON s.id = m.principal_id
               WHERE m.project_id = $1 AND m.principal_id > $2 ORDER BY m.principal_id LIMIT $3";
    connection.list(sql, params![access.project(), page_start(after), limit]).await
}

/// Returns the role of a principal in a workspace. The principal may be a user or a service account of the workspace.
pub async fn find_workspace_role(
    connection: &mut Connection,
    workspace: WorkspaceId,
    principal: PrincipalId,
) -> Result<Option<Role>, StoreError> {
    let row = match principal {
        PrincipalId::User(user) => {
            let sql = "SELECT role FROM members WHERE workspace_id = $1 AND user_id = $2";
            connection.fetch_optional(sql, params![workspace, user]).await?
        }
        PrincipalId::ServiceAccount(account) => {
            let sql = "SELECT role FROM service_accounts
                       WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL";
            connection.fetch_optional(sql, params![workspace, account]).await?
        }
    };
    row.map(|row| row.parse("role")).transpose()
}
