//! The directory: keys, identities and projects in memory. A snapshot is replaced as a whole, and readers take no lock.
//! The code that follows changes in the database updates the directory.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use domain::{
    ApiKeyId, Fingerprint, KeyMaterial, PrincipalId, ProjectId, PublicKey, Timestamp, Version, WorkspaceId,
    api_key::{ApiKey, KeyState, RevokedApiKey, key_state},
    principal::Identity,
    project::ProjectGrants,
    role::ProjectRole,
};
use http_signature::VerificationKey;

use crate::rate_limit::Allowance;

/// The maximum number of revoked keys in the directory. The latest ones are kept, so that their further use is
/// recorded.
pub const MAX_REVOKED_KEYS: i64 = 10_000;

/// A key that is not revoked.
#[derive(Debug)]
pub struct DirectoryKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its owner.
    pub owner: PrincipalId,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The key that verifies its signatures.
    pub verification_key: VerificationKey,
    disabled: bool,
    suspended: bool,
    expires_at: Option<Timestamp>,
    usage: Arc<KeyUsage>,
}

/// The use of a key, shared by all versions of it.
#[derive(Debug, Default)]
pub(crate) struct KeyUsage {
    /// The second of the last recorded use.
    noted_second: AtomicI64,
    /// The accepted requests that are not written yet.
    accepted: AtomicU64,
    /// [`UNUSED`], [`VERIFIED`] or [`RETIRED`].
    verification: AtomicU8,
    allowance: Allowance,
}

impl KeyUsage {
    /// Removes and returns the number of accepted requests that are not written yet.
    pub(crate) fn take_accepted(&self) -> u64 {
        self.accepted.swap(0, Ordering::Relaxed)
    }
}

/// This node verified nothing with the key.
const UNUSED: u8 = 0;
/// This node verified something with the key.
const VERIFIED: u8 = 1;
/// The key was revoked before this node verified anything with it. No request can be verified with it any more.
const RETIRED: u8 = 2;

/// The effect of a verification on the report about the key's use after its revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verification {
    /// It is the first verification on this node.
    First,
    /// There were earlier verifications.
    Further,
    /// The key was revoked in the meantime, and this node reports that it never verified anything with it.
    TooLate,
}

impl DirectoryKey {
    /// Returns its state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        key_state(self.disabled, self.suspended, self.expires_at, false, now)
    }

    /// Returns when it expires, if it does.
    #[must_use]
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Returns whether this is the first use in its second. Only that use is recorded.
    pub(crate) fn is_first_use_of(&self, second: i64) -> bool {
        let noted = self.usage.noted_second.load(Ordering::Relaxed);
        noted < second
            && self.usage.noted_second.compare_exchange(noted, second, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Counts an accepted request. Returns whether it is the first one that is not written yet.
    pub(crate) fn count_accepted(&self) -> bool {
        self.usage.accepted.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Returns the use of the key, which all versions of it share.
    pub(crate) const fn usage(&self) -> &Arc<KeyUsage> {
        &self.usage
    }

    /// Records that something was verified with this key, whether or not it was accepted.
    pub(crate) fn note_verification(&self) -> Verification {
        if self.usage.verification.load(Ordering::Relaxed) == VERIFIED {
            return Verification::Further;
        }
        let state = &self.usage.verification;
        match state.compare_exchange(UNUSED, VERIFIED, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Verification::First,
            Err(VERIFIED) => Verification::Further,
            Err(_) => Verification::TooLate,
        }
    }

    /// Retires a key that was revoked. Returns true if this node verified something with it. Otherwise, it never will,
    /// even if a request still reads an older snapshot.
    #[must_use]
    pub fn retire(&self) -> bool {
        let state = &self.usage.verification;
        state.compare_exchange(UNUSED, RETIRED, Ordering::Relaxed, Ordering::Relaxed) == Err(VERIFIED)
    }

    /// Returns how often it may still be used now.
    pub(crate) fn allowance(&self) -> &Allowance {
        &self.usage.allowance
    }
}

/// A recently revoked key.
#[derive(Debug)]
pub struct RevokedKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its owner.
    pub owner: PrincipalId,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The key that shows whether a request was signed with it.
    pub verification_key: VerificationKey,
    /// The workspaces of its owner when it was revoked.
    pub workspaces: Box<[WorkspaceId]>,
    revoked_at: Timestamp,
}

/// The roles in a project.
#[derive(Debug)]
pub struct DirectoryProject {
    /// The workspace it belongs to.
    pub workspace: WorkspaceId,
    /// The roles, in the order of the principals' ids.
    roles: Box<[(PrincipalId, ProjectRole)]>,
}

impl DirectoryProject {
    /// Returns the role of a principal in it.
    #[must_use]
    pub fn role_of(&self, principal: PrincipalId) -> Option<ProjectRole> {
        let at = self.roles.binary_search_by_key(&principal, |(id, _)| *id).ok()?;
        self.roles.get(at).map(|(_, role)| *role)
    }
}

/// Returns the verification key of a registered key, or of one that passed the checks of registration. Returns `None`
/// for other keys.
#[must_use]
pub fn verification_key(key: &PublicKey) -> Option<VerificationKey> {
    match key.material() {
        KeyMaterial::Ed25519(bytes) => Ok(VerificationKey::ed25519_from_stored_bytes(bytes)),
        KeyMaterial::EcdsaP256(point) => VerificationKey::ecdsa_p256_from_sec1(point),
        KeyMaterial::EcdsaP384(point) => VerificationKey::ecdsa_p384_from_sec1(point),
        KeyMaterial::Rsa { n, e } => VerificationKey::rsa_from_components(n, e),
    }
    .ok()
}

/// All keys, identities and projects at one version. A clone shares everything that is not changed afterwards.
#[derive(Clone, Default)]
pub struct Snapshot {
    version: Version,
    token_epoch: u64,
    signatures_from: Timestamp,
    keys: imbl::HashMap<ApiKeyId, Arc<DirectoryKey>>,
    by_fingerprint: imbl::HashMap<Fingerprint, Arc<DirectoryKey>>,
    revoked: imbl::HashMap<ApiKeyId, Arc<RevokedKey>>,
    revoked_by_fingerprint: imbl::HashMap<Fingerprint, Arc<RevokedKey>>,
    /// The revoked keys in the order of their revocation.
    revoked_order: imbl::OrdSet<(Timestamp, ApiKeyId)>,
    identities: imbl::HashMap<PrincipalId, Arc<Identity>>,
    projects: imbl::HashMap<ProjectId, Arc<DirectoryProject>>,
}

impl Snapshot {
    /// Returns the version of the store that it shows.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the token epoch. Bearer tokens of other epochs are invalid.
    #[must_use]
    pub const fn token_epoch(&self) -> u64 {
        self.token_epoch
    }

    /// Returns the time before which signatures are invalid.
    #[must_use]
    pub const fn signatures_from(&self) -> Timestamp {
        self.signatures_from
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Returns the key with that id.
    #[must_use]
    pub fn key(&self, id: ApiKeyId) -> Option<&Arc<DirectoryKey>> {
        self.keys.get(&id)
    }

    /// Returns the key with that fingerprint.
    #[must_use]
    pub fn key_by_fingerprint(&self, fingerprint: &Fingerprint) -> Option<&Arc<DirectoryKey>> {
        self.by_fingerprint.get(fingerprint)
    }

    /// Returns the key with that id, if it was revoked recently.
    #[must_use]
    pub fn revoked_key(&self, id: ApiKeyId) -> Option<&Arc<RevokedKey>> {
        self.revoked.get(&id)
    }

    /// Returns the key with that fingerprint, if it was revoked recently. Of several registrations, it is the one that
    /// was revoked last.
    #[must_use]
    pub fn revoked_key_by_fingerprint(&self, fingerprint: &Fingerprint) -> Option<&Arc<RevokedKey>> {
        self.revoked_by_fingerprint.get(fingerprint)
    }

    /// Returns the identity with that id.
    #[must_use]
    pub fn identity(&self, id: PrincipalId) -> Option<&Arc<Identity>> {
        self.identities.get(&id)
    }

    /// Returns the project with that id.
    #[must_use]
    pub fn project(&self, id: ProjectId) -> Option<&DirectoryProject> {
        self.projects.get(&id).map(Arc::as_ref)
    }

    /// Sets the version that the snapshot shows.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Invalidates bearer tokens of other epochs than `token_epoch`, and signatures from before `signatures_from`.
    pub fn set_epochs(&mut self, token_epoch: u64, signatures_from: Timestamp) {
        self.token_epoch = token_epoch;
        self.signatures_from = signatures_from;
    }

    /// Adds or replaces a key that is not revoked.
    pub fn put_key(&mut self, key: &ApiKey) {
        let usage = self.keys.get(&key.id).map(|before| Arc::clone(&before.usage)).unwrap_or_default();
        self.put_key_with_usage(key, usage);
    }

    /// As [`put_key`](Self::put_key), with the recorded use of the key in `before`.
    pub fn put_key_as_used_in(&mut self, key: &ApiKey, before: &Self) {
        let usage = before.keys.get(&key.id).map(|before| Arc::clone(&before.usage)).unwrap_or_default();
        self.put_key_with_usage(key, usage);
    }

    fn put_key_with_usage(&mut self, key: &ApiKey, usage: Arc<KeyUsage>) {
        let (None, Some(verification_key)) = (key.revoked_at, verification_key(&key.public_key)) else {
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
            usage,
        });
        self.by_fingerprint.insert(entry.fingerprint, Arc::clone(&entry));
        self.keys.insert(key.id, entry);
    }

    /// Removes a key and returns it.
    pub fn remove_key(&mut self, id: ApiKeyId) -> Option<Arc<DirectoryKey>> {
        let key = self.keys.remove(&id)?;
        // The fingerprint may belong to another registration now.
        if self.by_fingerprint.get(&key.fingerprint).is_some_and(|other| other.id == id) {
            self.by_fingerprint.remove(&key.fingerprint);
        }
        Some(key)
    }

    /// Returns the keys that this snapshot contains and the other one does not.
    #[must_use]
    pub fn keys_that_are_not_in(&self, other: &Self) -> Vec<Arc<DirectoryKey>> {
        self.keys.iter().filter(|(id, _)| !other.keys.contains_key(*id)).map(|(_, key)| Arc::clone(key)).collect()
    }

    /// Adds a revoked key. Above the maximum number, the key with the earliest revocation is removed.
    pub fn put_revoked_key(&mut self, revoked: RevokedApiKey) {
        self.put_revoked_key_of(revoked, usize::try_from(MAX_REVOKED_KEYS).unwrap_or(usize::MAX));
    }

    fn put_revoked_key_of(&mut self, revoked: RevokedApiKey, most: usize) {
        let RevokedApiKey { key, workspaces } = revoked;
        let (Some(revoked_at), Some(verification_key)) = (key.revoked_at, verification_key(&key.public_key)) else {
            return;
        };
        let entry = Arc::new(RevokedKey {
            id: key.id,
            owner: key.owner,
            fingerprint: key.public_key.fingerprint(),
            verification_key,
            workspaces: workspaces.into(),
            revoked_at,
        });
        let is_earlier = |other: &Arc<RevokedKey>| (other.revoked_at, other.id) <= (entry.revoked_at, entry.id);
        if self.revoked_by_fingerprint.get(&entry.fingerprint).is_none_or(is_earlier) {
            self.revoked_by_fingerprint.insert(entry.fingerprint, Arc::clone(&entry));
        }
        self.revoked_order.insert((revoked_at, key.id));
        self.revoked.insert(key.id, entry);
        while self.revoked_order.len() > most {
            let Some(first) = self.revoked_order.get_min().copied() else { break };
            self.revoked_order.remove(&first);
            let Some(gone) = self.revoked.remove(&first.1) else { continue };
            if self.revoked_by_fingerprint.get(&gone.fingerprint).is_some_and(|other| other.id == gone.id) {
                self.revoked_by_fingerprint.remove(&gone.fingerprint);
            }
        }
    }

    /// Adds or replaces an identity.
    pub fn put_identity(&mut self, identity: Identity) {
        self.identities.insert(identity.id, Arc::new(identity));
    }

    /// Removes an identity.
    pub fn remove_identity(&mut self, id: PrincipalId) {
        self.identities.remove(&id);
    }

    /// Adds or replaces a project.
    pub fn put_project(&mut self, grants: ProjectGrants) {
        let ProjectGrants { id, workspace, mut roles } = grants;
        roles.sort_unstable_by_key(|(principal, _)| *principal);
        self.projects.insert(id, Arc::new(DirectoryProject { workspace, roles: roles.into() }));
    }

    /// Removes a project.
    pub fn remove_project(&mut self, id: ProjectId) {
        self.projects.remove(&id);
    }
}

/// The current snapshot.
#[derive(Default)]
pub struct Directory {
    snapshot: ArcSwap<Snapshot>,
}

impl Directory {
    /// Returns the current snapshot. It does not block and is not blocked.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Replaces the snapshot.
    pub fn swap(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }
}

#[cfg(test)]
mod tests {
    use domain::{Random, UserId};

    use super::*;

    /// A generator whose stream of bytes depends on its number.
    struct Numbered(AtomicU8);

    impl Random for Numbered {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn key(number: i64, revoked: bool) -> ApiKey {
        let random = Numbered(AtomicU8::new(u8::try_from(number).unwrap() * 10));
        let at = Timestamp::from_second(number).unwrap();
        // The tests verify no signatures.
        let mut seed = [0; 32];
        random.fill(&mut seed);
        let point = http_signature::Ed25519SigningKey::from_seed(&seed).public_key();
        let mut blob = Vec::new();
        for part in [b"ssh-ed25519".as_slice(), &point] {
            blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend(part);
        }
        ApiKey {
            id: ApiKeyId::generate(at, &random),
            owner: UserId::generate(at, &random).into(),
            title: String::new(),
            public_key: PublicKey::from_stored_blob(&blob).unwrap(),
            disabled: false,
            suspended: false,
            expires_at: None,
            revoked_at: revoked.then_some(at),
            verified_at: None,
            proven_at: None,
            displaced_at: None,
            created_by: "host".to_owned(),
            created_with: None,
            created_at: at,
            last_used_at: None,
            last_used_ip: None,
        }
    }

    #[test]
    fn a_request_under_way_cannot_verify_once_the_node_has_reported_the_key_as_unused() {
        let key = key(1, false);
        let mut before = Snapshot::default();
        before.put_key(&key);
        let under_way = Arc::clone(before.key(key.id).unwrap());
        let mut after = before.clone();
        assert!(!after.remove_key(key.id).unwrap().retire(), "it was never used");
        assert_eq!(under_way.note_verification(), Verification::TooLate);
        assert!(!under_way.retire(), "the report stays true");
    }

    #[test]
    fn a_use_is_remembered_through_changes_of_the_key_and_a_load_of_everything() {
        let key = key(1, false);
        let mut before = Snapshot::default();
        before.put_key(&key);
        assert_eq!(before.key(key.id).unwrap().note_verification(), Verification::First);
        let mut after = before.clone();
        after.put_key(&ApiKey { disabled: true, ..key.clone() });
        assert_eq!(after.key(key.id).unwrap().note_verification(), Verification::Further);
        let mut loaded = Snapshot::default();
        loaded.put_key_as_used_in(&key, &after);
        assert_eq!(loaded.key(key.id).unwrap().note_verification(), Verification::Further);
        let ended = loaded.keys_that_are_not_in(&Snapshot::default());
        assert!(ended.len() == 1 && ended[0].retire(), "it was used");
    }

    #[test]
    fn of_many_revoked_keys_the_latest_are_kept() {
        let mut snapshot = Snapshot::default();
        let keys: Vec<ApiKey> = (1..=3).map(|number| key(number, true)).collect();
        // In the order of a load, the latest first, and in the order of changes.
        for key in keys.iter().rev() {
            snapshot.put_revoked_key_of(RevokedApiKey { key: key.clone(), workspaces: Vec::new() }, 2);
        }
        let kept: Vec<bool> = keys.iter().map(|key| snapshot.revoked_key(key.id).is_some()).collect();
        assert_eq!(kept, [false, true, true]);
        let gone = keys[0].public_key.fingerprint();
        assert!(snapshot.revoked_key_by_fingerprint(&gone).is_none());
    }
}
