//! Names of the objects in audit events, for people: one statement for each kind of object, however many there are.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ApiKeyId, PrincipalId, ProjectId, ServiceAccountId, UserId, WorkspaceId};

use crate::{Connection, StoreError};

/// An object with its present name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// A user.
    User {
        /// Their name.
        name: String,
        /// Their email.
        email: String,
    },
    /// A service account.
    ServiceAccount {
        /// The workspace that it belongs to.
        workspace: WorkspaceId,
        /// Its display name.
        name: String,
        /// Its address.
        address: String,
        /// Whether it is deleted.
        is_deleted: bool,
    },
    /// A key.
    ApiKey {
        /// Its owner.
        owner: PrincipalId,
        /// Its title.
        title: String,
    },
    /// A project. A deleted one has no name.
    Project {
        /// The workspace that it belongs to.
        workspace: WorkspaceId,
        /// Its title.
        title: String,
    },
    /// A workspace.
    Workspace {
        /// Its slug.
        slug: String,
        /// Its name.
        name: String,
        /// Whether it is deleted.
        is_deleted: bool,
    },
}

/// Ids by kind.
#[derive(Default)]
struct Ids {
    users: BTreeSet<UserId>,
    accounts: BTreeSet<ServiceAccountId>,
    keys: BTreeSet<ApiKeyId>,
    projects: BTreeSet<ProjectId>,
    workspaces: BTreeSet<WorkspaceId>,
}

impl Ids {
    fn add_principal(&mut self, id: PrincipalId) {
        match id {
            PrincipalId::User(user) => drop(self.users.insert(user)),
            PrincipalId::ServiceAccount(account) => drop(self.accounts.insert(account)),
        }
    }

    fn add(&mut self, text: &str) {
        if let Ok(id) = text.parse() {
            self.add_principal(id);
        }
        self.keys.extend(text.parse::<ApiKeyId>().ok());
        self.projects.extend(text.parse::<ProjectId>().ok());
        self.workspaces.extend(text.parse::<WorkspaceId>().ok());
    }
}

fn list<I: Copy>(ids: &BTreeSet<I>) -> Vec<I> {
    ids.iter().copied().collect()
}

/// Returns the names of objects, by their ids, and those of the owners of keys. Texts that are no ids, and ids without
/// an object, have none.
///
/// # Errors
/// The database does not answer.
pub async fn find_names<'a>(
    connection: &mut Connection,
    ids: impl IntoIterator<Item = &'a str> + Send,
) -> Result<BTreeMap<String, Named>, StoreError> {
    let mut all = Ids::default();
    for text in ids {
        all.add(text);
    }
    let mut names = BTreeMap::new();
    let sql = "SELECT id, owner_id, title FROM api_keys WHERE id";
    for row in &connection.fetch_in(sql, &list(&all.keys), "").await? {
        let owner: PrincipalId = row.parse("owner_id")?;
        all.add_principal(owner);
        names.insert(row.text("id")?, Named::ApiKey { owner, title: row.text("title")? });
    }
    for row in &connection.fetch_in("SELECT id, name, email FROM users WHERE id", &list(&all.users), "").await? {
        names.insert(row.text("id")?, Named::User { name: row.text("name")?, email: row.text("email")? });
    }
    let sql =
        "SELECT id, workspace_id, COALESCE(display_name, name) AS name, address, deleted_at IS NOT NULL AS is_deleted
               FROM service_accounts WHERE id";
    for row in &connection.fetch_in(sql, &list(&all.accounts), "").await? {
        let account = Named::ServiceAccount {
            workspace: row.parse("workspace_id")?,
            name: row.text("name")?,
            address: row.text("address")?,
            is_deleted: row.bool("is_deleted")?,
        };
        names.insert(row.text("id")?, account);
    }
    let sql = "SELECT id, workspace_id, title FROM projects WHERE id";
    for row in &connection.fetch_in(sql, &list(&all.projects), "").await? {
        let project = Named::Project { workspace: row.parse("workspace_id")?, title: row.text("title")? };
        names.insert(row.text("id")?, project);
    }
    let sql = "SELECT id, slug, name, deleted_at IS NOT NULL AS is_deleted FROM workspaces WHERE id";
    for row in &connection.fetch_in(sql, &list(&all.workspaces), "").await? {
        let workspace =
            Named::Workspace { slug: row.text("slug")?, name: row.text("name")?, is_deleted: row.bool("is_deleted")? };
        names.insert(row.text("id")?, workspace);
    }
    Ok(names)
}
