//! Loads the directory from the store: completely, or only the changes since a snapshot.

use std::sync::Arc;

use domain::PrincipalId;
use store::{Changes, Connection, StoreError, Subject, change, installation::Installation};
use verifier::directory::{DirectoryKey, MAX_REVOKED_KEYS, Snapshot};

/// The number of keys or projects in one query.
const LOAD_CHUNK: i64 = 10_000;

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

/// Loads everything. Changes in the meantime have a later version than the snapshot, and are loaded again.
///
/// # Errors
/// The installation has another key, or the store does not answer or is corrupt.
pub(super) async fn load_all(
    connection: &mut Connection,
    public_key: &[u8; 32],
    before: &Snapshot,
) -> Result<Loaded, StoreError> {
    let mut snapshot = Snapshot::default();
    snapshot.set_version(change::current_version(connection).await?);
    let installation = find_installation(connection, public_key).await?;
    snapshot.set_epochs(installation.token_epoch, installation.signatures_from);
    for identity in store::identity::list_identities(connection).await? {
        snapshot.put_identity(identity);
    }
    let mut after = None;
    loop {
        let keys = store::api_key::list_unrevoked_api_keys(connection, after, LOAD_CHUNK).await?;
        for key in &keys {
            snapshot.put_key_as_used_in(key, before);
        }
        let Some(last) = keys.last() else { break };
        after = Some(last.id);
    }
    for key in store::api_key::list_revoked_api_keys(connection, MAX_REVOKED_KEYS).await? {
        snapshot.put_revoked_key(key);
    }
    let mut after = None;
    loop {
        let projects = store::project::list_project_grants(connection, after, LOAD_CHUNK).await?;
        let Some(last) = projects.last() else { break };
        after = Some(last.id);
        for grants in projects {
            snapshot.put_project(grants);
        }
    }
    let revoked = before.keys_that_are_not_in(&snapshot);
    Ok(Loaded { snapshot, revoked })
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
    let (mut snapshot, mut revoked) = (before.clone(), Vec::new());
    for subject in subjects {
        match subject {
            Subject::ApiKey(id) => {
                match store::api_key::find_api_key_anywhere(connection, id).await? {
                    Some(key) if key.revoked_at.is_none() => snapshot.put_key(&key),
                    _ => revoked.extend(snapshot.remove_key(id)),
                }
                if let Some(key) = store::api_key::find_revoked_api_key(connection, id).await? {
                    snapshot.put_revoked_key(key);
                }
            }
            Subject::User(id) => load_identity(&mut snapshot, connection, id.into()).await?,
            Subject::ServiceAccount(id) => load_identity(&mut snapshot, connection, id.into()).await?,
            Subject::Installation => {
                let installation = find_installation(connection, public_key).await?;
                snapshot.set_epochs(installation.token_epoch, installation.signatures_from);
            }
            Subject::Project(id) => match store::project::find_project_grants(connection, id).await? {
                Some(grants) => snapshot.put_project(grants),
                None => snapshot.remove_project(id),
            },
            // The directory does not contain it. The change lists its members, accounts and projects, too.
            Subject::Workspace(_) => {}
        }
    }
    snapshot.set_version(up_to);
    Ok(Some(Loaded { snapshot, revoked }))
}

async fn load_identity(
    snapshot: &mut Snapshot,
    connection: &mut Connection,
    id: PrincipalId,
) -> Result<(), StoreError> {
    match store::identity::find_identity(connection, id).await? {
        Some(identity) => snapshot.put_identity(identity),
        None => snapshot.remove_identity(id),
    }
    Ok(())
}
