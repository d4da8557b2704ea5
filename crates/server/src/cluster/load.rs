//! Loads the directory from the store: completely, or only the changes since a snapshot.

use std::{collections::HashMap, num::NonZero, sync::Arc, thread::available_parallelism};

use domain::{
    ApiKeyId, PrincipalId, ProjectId, ServiceAccountId, UserId,
    policy::{KeyPolicies, PolicyPlace},
    principal::Identity,
    project::ProjectGrants,
};
use store::{
    Changes, Connection, Store, StoreError, Subject,
    api_key::{self, ChangedApiKey},
    change,
    identity::{self, WorkspaceNames},
    installation::Installation,
    policy, project,
};
use tokio::{
    sync::Mutex,
    task::{JoinError, JoinSet, spawn_blocking},
};
use verifier::directory::{DirectoryKey, MAX_REVOKED_KEYS, Snapshot};

/// The number of objects in one query.
const PAGE: u16 = 5_000;
/// The maximum number of tasks that load at a time. Each has a connection, and some are left for others.
const MAX_LOADERS: usize = 3;

/// A loaded snapshot, which replaces an earlier one.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    /// The keys that were revoked since the earlier snapshot.
    pub(super) revoked: Vec<Arc<DirectoryKey>>,
}

/// Returns the installation, whose key must be `public_key`.
///
/// # Errors
/// The installation has another key, or the store does not answer.
pub(super) async fn find_installation(
    connection: &mut Connection,
    public_key: &[u8; 32],
) -> Result<Installation, StoreError> {
    let installation = store::installation::find_installation(connection).await?;
    installation.require_key(public_key)?;
    Ok(installation)
}

/// Loads everything. The parts are read by several statements after the version, so each part shows that version or a
/// later one. Changes in the meantime have a later version than the snapshot, and are loaded again.
///
/// # Errors
/// The installation has another key, or the store does not answer or is corrupt.
pub(super) async fn load_all(store: &Store, public_key: &[u8; 32], before: &Snapshot) -> Result<Loaded, StoreError> {
    let before = Arc::new(before.clone());
    let mut snapshot = Snapshot::default();
    let mut connection = store.read().await?;
    snapshot.set_version(change::current_version(&mut connection).await?);
    let installation = find_installation(&mut connection, public_key).await?;
    snapshot.set_epochs(installation.token_epoch, installation.signatures_from);
    snapshot.set_policies(policy::list_policies(&mut connection).await?);
    let names = identity::list_workspace_names(&mut connection).await?;
    for key in api_key::list_revoked_api_keys(&mut connection, MAX_REVOKED_KEYS).await? {
        snapshot.put_revoked_key(key);
    }
    drop(connection);
    let (users, accounts) = (Users(names.clone()), ServiceAccounts(names));
    for identity in load_pages(store, users).await?.into_iter().chain(load_pages(store, accounts).await?) {
        snapshot.put_identity(identity);
    }
    for grants in load_pages(store, Projects).await? {
        snapshot.put_project(grants);
    }
    let keys = load_pages(store, Keys { before: Arc::clone(&before) }).await?;
    let loaded = spawn_blocking(move || {
        snapshot.set_keys(&keys);
        let revoked = before.keys_that_are_not_in(&snapshot);
        Loaded { snapshot, revoked }
    });
    loaded.await.map_err(end)
}

/// Objects that are loaded in pages, in the order of their ids.
trait Paged: Clone + Send + Sync + 'static {
    type Id: Copy + Send;
    type Object: Send;

    /// Returns the last id of the next page after `after`. Returns `None` if the page has no full length, so that it is the
    /// last one.
    fn find_end(
        &self,
        connection: &mut Connection,
        after: Option<Self::Id>,
    ) -> impl Future<Output = Result<Option<Self::Id>, StoreError>> + Send;

    /// Returns the objects after `after` and up to `up_to`.
    fn list(
        &self,
        connection: &mut Connection,
        after: Option<Self::Id>,
        up_to: Option<Self::Id>,
    ) -> impl Future<Output = Result<Vec<Self::Object>, StoreError>> + Send;
}

#[derive(Clone)]
struct Users(WorkspaceNames);

impl Paged for Users {
    type Id = UserId;
    type Object = Identity;

    async fn find_end(&self, connection: &mut Connection, after: Option<UserId>) -> Result<Option<UserId>, StoreError> {
        identity::find_end_of_users(connection, after, PAGE).await
    }

    async fn list(
        &self,
        connection: &mut Connection,
        after: Option<UserId>,
        up_to: Option<UserId>,
    ) -> Result<Vec<Identity>, StoreError> {
        identity::list_user_identities(connection, &self.0, after, up_to).await
    }
}

#[derive(Clone)]
struct ServiceAccounts(WorkspaceNames);

impl Paged for ServiceAccounts {
    type Id = ServiceAccountId;
    type Object = Identity;

    async fn find_end(
        &self,
        connection: &mut Connection,
        after: Option<ServiceAccountId>,
    ) -> Result<Option<ServiceAccountId>, StoreError> {
        identity::find_end_of_service_accounts(connection, after, PAGE).await
    }

    async fn list(
        &self,
        connection: &mut Connection,
        after: Option<ServiceAccountId>,
        up_to: Option<ServiceAccountId>,
    ) -> Result<Vec<Identity>, StoreError> {
        identity::list_service_account_identities(connection, &self.0, after, up_to).await
    }
}

#[derive(Clone)]
struct Projects;

impl Paged for Projects {
    type Id = ProjectId;
    type Object = ProjectGrants;

    async fn find_end(
        &self,
        connection: &mut Connection,
        after: Option<ProjectId>,
    ) -> Result<Option<ProjectId>, StoreError> {
        project::find_end_of_projects(connection, after, PAGE).await
    }

    async fn list(
        &self,
        connection: &mut Connection,
        after: Option<ProjectId>,
        up_to: Option<ProjectId>,
    ) -> Result<Vec<ProjectGrants>, StoreError> {
        project::list_project_grants(connection, after, up_to).await
    }
}

/// The keys that are not revoked.
#[derive(Clone)]
struct Keys {
    before: Arc<Snapshot>,
}

impl Paged for Keys {
    type Id = ApiKeyId;
    type Object = Arc<DirectoryKey>;

    async fn find_end(
        &self,
        connection: &mut Connection,
        after: Option<ApiKeyId>,
    ) -> Result<Option<ApiKeyId>, StoreError> {
        api_key::find_end_of_unrevoked_keys(connection, after, PAGE).await
    }

    async fn list(
        &self,
        connection: &mut Connection,
        after: Option<ApiKeyId>,
        up_to: Option<ApiKeyId>,
    ) -> Result<Vec<Arc<DirectoryKey>>, StoreError> {
        let page = api_key::list_unrevoked_api_keys(connection, after, up_to).await?;
        let before = Arc::clone(&self.before);
        let decoded = spawn_blocking(move || -> Result<Vec<_>, StoreError> {
            Ok(page.decode()?.iter().filter_map(|key| DirectoryKey::load(key, &before)).collect())
        });
        decoded.await.map_err(end)?
    }
}

/// Loads all pages by several tasks, and returns the objects in an undefined order.
async fn load_pages<P: Paged>(store: &Store, paged: P) -> Result<Vec<P::Object>, StoreError> {
    // Where the next page begins. `None` after the last page was taken.
    let next = Arc::new(Mutex::new(Some(None)));
    let mut tasks = JoinSet::new();
    for _ in 0..available_parallelism().map_or(1, NonZero::get).min(MAX_LOADERS) {
        let (store, paged, next) = (store.clone(), paged.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            let mut connection = store.read().await?;
            let mut objects = Vec::new();
            loop {
                let (after, up_to) = {
                    let mut next = next.lock().await;
                    let Some(after) = *next else { return Ok::<_, StoreError>(objects) };
                    let up_to = paged.find_end(&mut connection, after).await?;
                    *next = up_to.map(Some);
                    (after, up_to)
                };
                objects.append(&mut paged.list(&mut connection, after, up_to).await?);
            }
        });
    }
    let mut objects = Vec::new();
    while let Some(loaded) = tasks.join_next().await {
        objects.append(&mut loaded.map_err(end)??);
    }
    Ok(objects)
}

/// Continues a panic of a task. A task that is stopped with the runtime did not load anything.
fn end(error: JoinError) -> StoreError {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => StoreError::Unavailable { reason: format!("loading was stopped: {error}") },
    }
}

/// Loads the changes since `before`. Returns `None` if the store no longer has them.
///
/// # Errors
/// The installation has another key, or the store does not answer or is corrupt.
pub(super) async fn load_changes(
    connection: &mut Connection,
    public_key: &[u8; 32],
    before: &Snapshot,
) -> Result<Option<Loaded>, StoreError> {
    let (subjects, up_to) = match change::changes_since(connection, before.version()).await? {
        Changes::Subjects { subjects, up_to } => (subjects, up_to),
        Changes::TooOld => return Ok(None),
    };
    let mut objects = Objects::load(connection, &subjects).await?;
    let (mut snapshot, mut revoked) = (before.clone(), Vec::new());
    for subject in subjects {
        match subject {
            Subject::ApiKey(id) => match objects.keys.remove(&id) {
                Some(ChangedApiKey::Unrevoked(key)) => snapshot.put_key(&key),
                Some(ChangedApiKey::Revoked(key)) => {
                    revoked.extend(snapshot.remove_key(id));
                    snapshot.put_revoked_key(key);
                }
                None => revoked.extend(snapshot.remove_key(id)),
            },
            Subject::User(id) => objects.put_identity(&mut snapshot, id.into()),
            Subject::ServiceAccount(id) => objects.put_identity(&mut snapshot, id.into()),
            Subject::Installation => {
                let installation = find_installation(connection, public_key).await?;
                snapshot.set_epochs(installation.token_epoch, installation.signatures_from);
                objects.put_policy(&mut snapshot, PolicyPlace::Installation);
            }
            Subject::Project(id) => match objects.projects.remove(&id) {
                Some(grants) => snapshot.put_project(grants),
                None => snapshot.remove_project(id),
            },
            // Of the workspace itself, the directory contains the policy. The change lists its members, accounts and
            // projects, too.
            Subject::Workspace(id) => objects.put_policy(&mut snapshot, PolicyPlace::Workspace(id)),
        }
    }
    snapshot.set_version(up_to);
    Ok(Some(Loaded { snapshot, revoked }))
}

/// The changed objects that exist, loaded with few statements.
#[derive(Default)]
struct Objects {
    keys: HashMap<ApiKeyId, ChangedApiKey>,
    identities: HashMap<PrincipalId, Identity>,
    projects: HashMap<ProjectId, ProjectGrants>,
    policies: KeyPolicies,
}

impl Objects {
    async fn load(connection: &mut Connection, subjects: &[Subject]) -> Result<Self, StoreError> {
        let (mut keys, mut principals, mut projects) = (Vec::new(), Vec::new(), Vec::new());
        let (mut workspaces, mut has_places) = (Vec::new(), false);
        for &subject in subjects {
            match subject {
                Subject::ApiKey(id) => keys.push(id),
                Subject::User(id) => principals.push(id.into()),
                Subject::ServiceAccount(id) => principals.push(id.into()),
                Subject::Project(id) => projects.push(id),
                Subject::Workspace(id) => {
                    workspaces.push(id);
                    has_places = true;
                }
                Subject::Installation => has_places = true,
            }
        }
        let grants = project::find_project_grants(connection, &projects).await?;
        Ok(Self {
            keys: api_key::find_changed_api_keys(connection, &keys).await?,
            identities: identity::find_identities(connection, &principals).await?,
            projects: grants.into_iter().map(|grants| (grants.id, grants)).collect(),
            policies: if has_places {
                policy::find_policies(connection, &workspaces).await?
            } else {
                KeyPolicies::default()
            },
        })
    }

    fn put_policy(&self, snapshot: &mut Snapshot, place: PolicyPlace) {
        snapshot.set_policy(place, self.policies.find(place).copied());
    }

    fn put_identity(&mut self, snapshot: &mut Snapshot, id: PrincipalId) {
        match self.identities.remove(&id) {
            Some(identity) => snapshot.put_identity(identity),
            None => snapshot.remove_identity(id),
        }
    }
}
