//! Keys, identities and projects in memory, as judging needs them. A snapshot is swapped as a whole; readers take no lock.
//! What goes into it, and when, is the feed's.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use domain::{
    ApiKeyId, Fingerprint, KeyMaterial, PrincipalId, ProjectId, PublicKey, Timestamp, WorkspaceId,
    api_key::{ApiKey, KeyState, key_state},
    principal::Identity,
    role::ProjectRole,
};
use http_signature::VerificationKey;
use store::{Version, installation::Installation, project::ProjectGrants};

use crate::rate_limit::Allowance;

/// A key that is not revoked.
#[derive(Debug)]
pub struct DirectoryKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub owner: PrincipalId,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// What verifies.
    pub verification_key: VerificationKey,
    disabled: bool,
    suspended: bool,
    expires_at: Option<Timestamp>,
    usage: Arc<KeyUsage>,
}

/// How a key is being used; shared by all versions of it.
#[derive(Debug, Default)]
struct KeyUsage {
    /// The second in which a use was last written down.
    noted_second: AtomicI64,
    allowance: Allowance,
}

impl DirectoryKey {
    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        key_state(self.disabled, self.suspended, self.expires_at, false, now)
    }

    /// When it ends, if ever.
    #[must_use]
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whether this is the first use of its second, which is the one that is written down.
    pub(crate) fn is_first_use_of(&self, second: i64) -> bool {
        let noted = self.usage.noted_second.load(Ordering::Relaxed);
        noted < second
            && self.usage.noted_second.compare_exchange(noted, second, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// What it may still be used for in this moment.
    pub(crate) fn allowance(&self) -> &Allowance {
        &self.usage.allowance
    }
}

/// Who may do what in a project.
#[derive(Debug)]
pub struct DirectoryProject {
    /// The workspace it belongs to.
    pub workspace: WorkspaceId,
    /// In the order of the principals' ids.
    roles: Box<[(PrincipalId, ProjectRole)]>,
}

impl DirectoryProject {
    /// The role of a principal in it.
    #[must_use]
    pub fn role_of(&self, principal: PrincipalId) -> Option<ProjectRole> {
        let at = self.roles.binary_search_by_key(&principal, |(id, _)| *id).ok()?;
        self.roles.get(at).map(|(_, role)| *role)
    }
}

/// What verifies for a key that was registered, or passed the checks of registration; none for one that could not be.
#[must_use]
pub fn verification_key(key: &PublicKey) -> Option<VerificationKey> {
    match key.material() {
        KeyMaterial::Ed25519(bytes) => VerificationKey::ed25519_from_stored_bytes(bytes),
        KeyMaterial::EcdsaP256(point) => VerificationKey::ecdsa_p256_from_sec1(point),
        KeyMaterial::EcdsaP384(point) => VerificationKey::ecdsa_p384_from_sec1(point),
        KeyMaterial::Rsa { n, e } => VerificationKey::rsa_from_components(n, e),
    }
    .ok()
}

/// All keys, identities and projects as of one version. A clone shares everything that is not changed afterwards.
#[derive(Clone, Default)]
pub struct Snapshot {
    version: Version,
    token_epoch: u64,
    signatures_from: Timestamp,
    keys: imbl::HashMap<ApiKeyId, Arc<DirectoryKey>>,
    by_fingerprint: imbl::HashMap<Fingerprint, Arc<DirectoryKey>>,
    identities: imbl::HashMap<PrincipalId, Arc<Identity>>,
    projects: imbl::HashMap<ProjectId, Arc<DirectoryProject>>,
}

impl Snapshot {
    /// The version of the store that it shows.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Bearer tokens of another epoch are dead.
    #[must_use]
    pub const fn token_epoch(&self) -> u64 {
        self.token_epoch
    }

    /// Signatures that were made before are void.
    #[must_use]
    pub const fn signatures_from(&self) -> Timestamp {
        self.signatures_from
    }

    /// How many keys it holds.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// The key of that id.
    #[must_use]
    pub fn key(&self, id: ApiKeyId) -> Option<&Arc<DirectoryKey>> {
        self.keys.get(&id)
    }

    /// The key of that fingerprint.
    #[must_use]
    pub fn key_by_fingerprint(&self, fingerprint: &Fingerprint) -> Option<&Arc<DirectoryKey>> {
        self.by_fingerprint.get(fingerprint)
    }

    /// The identity of that id.
    #[must_use]
    pub fn identity(&self, id: PrincipalId) -> Option<&Arc<Identity>> {
        self.identities.get(&id)
    }

    /// The project of that id.
    #[must_use]
    pub fn project(&self, id: ProjectId) -> Option<&DirectoryProject> {
        self.projects.get(&id).map(Arc::as_ref)
    }

    pub(crate) fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    pub(crate) fn put_installation(&mut self, installation: &Installation) {
        self.token_epoch = installation.token_epoch;
        self.signatures_from = installation.signatures_from;
    }

    /// Takes in a key as it now is.
    pub(crate) fn put_key(&mut self, key: &ApiKey) {
        let before = self.keys.get(&key.id).cloned();
        let verification_key = verification_key(&key.public_key);
        let (None, Some(verification_key)) = (key.revoked_at, verification_key) else {
            self.remove_key(key.id);
            return;
        };
        let entry = Arc::new(DirectoryKey {
            id: key.id,
            owner: key.owner,
            fingerprint: key.public_key.fingerprint(),
            verification_key,
            disabled: key.disabled,
            suspended: key.suspended,
            expires_at: key.expires_at,
            usage: before.map_or_else(Arc::default, |before| Arc::clone(&before.usage)),
        });
        self.by_fingerprint.insert(entry.fingerprint, Arc::clone(&entry));
        self.keys.insert(key.id, entry);
    }

    pub(crate) fn remove_key(&mut self, id: ApiKeyId) {
        let Some(key) = self.keys.remove(&id) else { return };
        // The fingerprint may be another registration's by now.
        if self.by_fingerprint.get(&key.fingerprint).is_some_and(|other| other.id == id) {
            self.by_fingerprint.remove(&key.fingerprint);
        }
    }

    pub(crate) fn put_identity(&mut self, identity: Identity) {
        self.identities.insert(identity.id, Arc::new(identity));
    }

    pub(crate) fn remove_identity(&mut self, id: PrincipalId) {
        self.identities.remove(&id);
    }

    pub(crate) fn put_project(&mut self, grants: ProjectGrants) {
        let ProjectGrants { id, workspace, mut roles } = grants;
        roles.sort_unstable_by_key(|(principal, _)| *principal);
        self.projects.insert(id, Arc::new(DirectoryProject { workspace, roles: roles.into() }));
    }

    pub(crate) fn remove_project(&mut self, id: ProjectId) {
        self.projects.remove(&id);
    }
}

/// The current snapshot.
#[derive(Default)]
pub struct Directory {
    snapshot: ArcSwap<Snapshot>,
}

impl Directory {
    /// The snapshot of this moment. Does not block and is not blocked.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn swap(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }
}
