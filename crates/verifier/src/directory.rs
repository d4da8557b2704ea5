//! The directory: keys, identities and projects in memory. A snapshot is replaced as a whole, and readers take no lock.
//! The code that follows changes in the database updates the directory.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, AtomicU32, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use domain::{
    ApiKeyId, Fingerprint, KeyAlgorithm, KeyMaterial, PrincipalId, ProjectId, PublicKey, Timestamp, Version,
    WorkspaceId,
    api_key::{ApiKey, KeyState, RevokedApiKey, UnrevokedKey, key_state},
    limits::KeyLimits,
    policy::{KeyFacts, KeyPolicies, KeyPolicy, PolicyPlace},
    principal::Identity,
    project::ProjectGrants,
    public_key::CompactKey,
    role::ProjectRole,
};
use http_signature::VerificationKey;

use crate::{
    rate_limit::Allowance,
    table::{Index, Table},
};

/// The maximum number of revoked keys in the directory. The latest ones are kept, so that their further use is
/// recorded.
pub const MAX_REVOKED_KEYS: i64 = 10_000;

/// A key that is not revoked. There may be millions of them, so its fields are small: it takes 104 bytes.
#[derive(Debug)]
pub struct DirectoryKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its owner.
    pub owner: PrincipalId,
    /// The encoding of an Ed25519 key, or the fingerprint of another key.
    bytes: [u8; 32],
    disabled: bool,
    suspended: bool,
    /// [`UNUSED`], [`VERIFIED`] or [`RETIRED`].
    verification: AtomicU8,
    /// The accepted requests that are not written yet.
    accepted: AtomicU32,
    /// In microseconds. `i64::MAX` if it never expires.
    expires_at: i64,
    /// The second of the last recorded use.
    noted_second: AtomicI64,
    allowance: Allowance,
    uncommon: Option<Box<Uncommon>>,
}

/// The parts that most keys do not have.
#[derive(Debug, Default)]
struct Uncommon {
    /// The key, if it is not an Ed25519 key.
    verification_key: Option<VerificationKey>,
    /// The algorithm of that key.
    algorithm: Option<KeyAlgorithm>,
    /// The limits of the key.
    limits: KeyLimits,
    /// The first version of the key in this process, if this is a later one. The use of all versions is recorded there.
    first: Option<Arc<DirectoryKey>>,
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
    /// Creates an entry for a registered key. Returns `None` for a key that is not usable. The point of an Ed25519 key is
    /// only read when a signature is verified, so that a million keys load quickly.
    fn new(key: &UnrevokedKey) -> Option<Self> {
        let (bytes, verification_key) = match &key.public_key {
            CompactKey::Ed25519(bytes) => (*bytes, None),
            CompactKey::Other(other) => (*other.fingerprint().as_bytes(), Some(verification_key(other)?)),
        };
        let limits = key.limits.clone();
        let is_uncommon = verification_key.is_some() || !limits.is_none();
        let algorithm = verification_key.as_ref().map(|_| key.public_key.algorithm());
        let uncommon = is_uncommon.then(|| Box::new(Uncommon { verification_key, algorithm, limits, first: None }));
        Some(Self {
            id: key.id,
            owner: key.owner,
            bytes,
            disabled: key.disabled,
            suspended: key.suspended,
            verification: AtomicU8::new(UNUSED),
            accepted: AtomicU32::new(0),
            expires_at: key.expires_at.map_or(i64::MAX, Timestamp::as_microsecond),
            noted_second: AtomicI64::new(0),
            allowance: Allowance::default(),
            uncommon,
        })
    }

    /// Creates the entry of a registered key, which shares its recorded use with the entry in `before`. Returns `None`
    /// for a key that is not usable.
    #[must_use]
    pub fn load(key: &UnrevokedKey, before: &Snapshot) -> Option<Arc<Self>> {
        let mut entry = Self::new(key)?;
        if let Some(before) = before.key(key.id) {
            if entry.is_same_version(before) {
                return Some(Arc::clone(before));
            }
            entry.uncommon.get_or_insert_default().first = Some(Arc::clone(before.first_version()));
        }
        Some(Arc::new(entry))
    }

    fn is_same_version(&self, other: &Self) -> bool {
        (self.owner, self.bytes, self.disabled, self.suspended, self.expires_at, self.limits())
            == (other.owner, other.bytes, other.disabled, other.suspended, other.expires_at, other.limits())
    }

    /// Returns its fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        match self.other_key() {
            None => Fingerprint::of_ed25519(&self.bytes),
            Some(_) => Fingerprint::from_bytes(self.bytes),
        }
    }

    /// Returns the key that verifies its signatures. For stored bytes that are no usable point, it is a key that refuses
    /// every signature.
    #[must_use]
    pub fn verification_key(&self) -> Cow<'_, VerificationKey> {
        match self.other_key() {
            None => Cow::Owned(VerificationKey::ed25519_from_stored_bytes(&self.bytes)),
            Some(key) => Cow::Borrowed(key),
        }
    }

    fn other_key(&self) -> Option<&VerificationKey> {
        self.uncommon.as_ref()?.verification_key.as_ref()
    }

    /// Returns its limits.
    #[must_use]
    pub fn limits(&self) -> &KeyLimits {
        const NONE: &KeyLimits = &KeyLimits::none();
        self.uncommon.as_ref().map_or(NONE, |uncommon| &uncommon.limits)
    }

    /// Returns what policies are about.
    #[must_use]
    pub fn facts(&self) -> KeyFacts {
        let algorithm = self.uncommon.as_ref().and_then(|uncommon| uncommon.algorithm);
        KeyFacts::of(self.id, algorithm.unwrap_or(KeyAlgorithm::Ed25519), self.expires_at(), self.limits())
    }

    /// Returns its state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        key_state(self.disabled, self.suspended, self.expires_at(), false, now)
    }

    /// Returns when it expires, if it does.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        // Every other value was a time.
        (self.expires_at < i64::MAX).then(|| Timestamp::from_microsecond(self.expires_at).unwrap_or(Timestamp::MAX))
    }

    /// Returns the version in which the use of all versions is recorded.
    fn first_version(self: &Arc<Self>) -> &Arc<Self> {
        self.uncommon.as_ref().and_then(|uncommon| uncommon.first.as_ref()).unwrap_or(self)
    }

    /// As [`first_version`](Self::first_version).
    fn usage(&self) -> &Self {
        self.uncommon.as_ref().and_then(|uncommon| uncommon.first.as_deref()).unwrap_or(self)
    }

    /// Returns the second of the last recorded use.
    pub(crate) fn last_recorded_second(&self) -> i64 {
        self.usage().noted_second.load(Ordering::Relaxed)
    }

    /// Returns whether this use is to be recorded, because the last recorded one is at least so many seconds ago.
    pub(crate) fn record_second(&self, second: i64, interval: i64) -> bool {
        let noted = self.last_recorded_second();
        noted.saturating_add(interval) <= second
            && self.usage().noted_second.compare_exchange(noted, second, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Counts an accepted request. Returns whether it is the first one that is not written yet.
    pub(crate) fn count_accepted(&self) -> bool {
        self.usage().accepted.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Removes and returns the number of accepted requests that are not written yet.
    pub(crate) fn take_accepted(&self) -> u64 {
        self.usage().accepted.swap(0, Ordering::Relaxed).into()
    }

    /// Records that something was verified with this key, whether or not it was accepted.
    pub(crate) fn note_verification(&self) -> Verification {
        let state = &self.usage().verification;
        if state.load(Ordering::Relaxed) == VERIFIED {
            return Verification::Further;
        }
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
        let state = &self.usage().verification;
        state.compare_exchange(UNUSED, RETIRED, Ordering::Relaxed, Ordering::Relaxed) == Err(VERIFIED)
    }

    /// Returns how often it may still be used now.
    pub(crate) fn allowance(&self) -> &Allowance {
        &self.usage().allowance
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
    id: ProjectId,
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

struct ById;

impl Index for ById {
    type Row = DirectoryKey;
    type Key = ApiKeyId;

    fn key(key: &DirectoryKey) -> ApiKeyId {
        key.id
    }
}

struct ByFingerprint;

impl Index for ByFingerprint {
    type Row = DirectoryKey;
    type Key = Fingerprint;

    fn key(key: &DirectoryKey) -> Fingerprint {
        key.fingerprint()
    }
}

struct Identities;

impl Index for Identities {
    type Row = Identity;
    type Key = PrincipalId;

    fn key(identity: &Identity) -> PrincipalId {
        identity.id
    }
}

struct Projects;

impl Index for Projects {
    type Row = DirectoryProject;
    type Key = ProjectId;

    fn key(project: &DirectoryProject) -> ProjectId {
        project.id
    }
}

/// All keys, identities and projects at one version. A clone shares everything that is not changed afterwards.
#[derive(Clone, Default)]
pub struct Snapshot {
    version: Version,
    token_epoch: u64,
    signatures_from: Timestamp,
    policies: KeyPolicies,
    keys: Table<ById>,
    by_fingerprint: Table<ByFingerprint>,
    revoked: imbl::HashMap<ApiKeyId, Arc<RevokedKey>>,
    revoked_by_fingerprint: imbl::HashMap<Fingerprint, Arc<RevokedKey>>,
    /// The revoked keys in the order of their revocation.
    revoked_order: imbl::OrdSet<(Timestamp, ApiKeyId)>,
    identities: Table<Identities>,
    projects: Table<Projects>,
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

    /// Returns the policies for keys.
    #[must_use]
    pub const fn policies(&self) -> &KeyPolicies {
        &self.policies
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

    /// Replaces all policies.
    pub fn set_policies(&mut self, policies: KeyPolicies) {
        self.policies = policies;
    }

    /// Replaces or removes the policy of a place.
    pub fn set_policy(&mut self, place: PolicyPlace, policy: Option<KeyPolicy>) {
        self.policies.set(place, policy);
    }

    /// Replaces all keys that are not revoked.
    pub fn set_keys(&mut self, keys: &[Arc<DirectoryKey>]) {
        std::thread::scope(|scope| {
            let by_fingerprint = scope.spawn(|| Table::of(keys));
            self.keys = Table::of(keys);
            self.by_fingerprint = match by_fingerprint.join() {
                Ok(table) => table,
                Err(panic) => std::panic::resume_unwind(panic),
            };
        });
    }

    /// Adds or replaces a key that is not revoked. A key that is not usable is left out.
    pub fn put_key(&mut self, key: &ApiKey) {
        let unrevoked =
            if key.revoked_at.is_none() { DirectoryKey::load(&UnrevokedKey::from(key), self) } else { None };
        let Some(entry) = unrevoked else {
            self.remove_key(key.id);
            return;
        };
        self.by_fingerprint.insert(Arc::clone(&entry));
        self.keys.insert(entry);
    }

    /// Removes a key and returns it.
    pub fn remove_key(&mut self, id: ApiKeyId) -> Option<Arc<DirectoryKey>> {
        let key = self.keys.remove(&id)?;
        let fingerprint = key.fingerprint();
        // The fingerprint may belong to another registration now.
        if self.by_fingerprint.get(&fingerprint).is_some_and(|other| other.id == id) {
            self.by_fingerprint.remove(&fingerprint);
        }
        Some(key)
    }

    /// Returns the keys that this snapshot contains and the other one does not.
    #[must_use]
    pub fn keys_that_are_not_in(&self, other: &Self) -> Vec<Arc<DirectoryKey>> {
        self.keys.iter().filter(|key| other.keys.get(&key.id).is_none()).cloned().collect()
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
        self.identities.insert(Arc::new(identity));
    }

    /// Removes an identity.
    pub fn remove_identity(&mut self, id: PrincipalId) {
        self.identities.remove(&id);
    }

    /// Adds or replaces a project.
    pub fn put_project(&mut self, grants: ProjectGrants) {
        let ProjectGrants { id, workspace, mut roles } = grants;
        roles.sort_unstable_by_key(|(principal, _)| *principal);
        self.projects.insert(Arc::new(DirectoryProject { id, workspace, roles: roles.into() }));
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
    use std::collections::BTreeMap;

    use domain::{Random, UserId};
    use proptest::{prelude::*, test_runner::TestCaseError};

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
            limits: KeyLimits::none(),
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
        loaded.set_keys(&[DirectoryKey::load(&(&key).into(), &after).unwrap()]);
        assert_eq!(loaded.key(key.id).unwrap().note_verification(), Verification::Further);
        let ended = loaded.keys_that_are_not_in(&Snapshot::default());
        assert!(ended.len() == 1 && ended[0].retire(), "it was used");
    }

    #[test]
    fn a_load_keeps_the_entries_of_unchanged_keys_and_a_changed_one_keeps_only_its_first_version() {
        let key = key(1, false);
        let mut snapshot = Snapshot::default();
        snapshot.put_key(&key);
        let first = Arc::clone(snapshot.key(key.id).unwrap());
        let unchanged = DirectoryKey::load(&(&key).into(), &snapshot).unwrap();
        assert!(Arc::ptr_eq(&unchanged, &first));
        for disabled in [true, false, true] {
            snapshot.put_key(&ApiKey { disabled, ..key.clone() });
            let current = snapshot.key(key.id).unwrap();
            assert_eq!(current.disabled, disabled);
            assert!(Arc::ptr_eq(current.first_version(), &first));
            assert!(current.count_accepted());
            assert_eq!(first.take_accepted(), 1);
        }
        assert_eq!(Arc::strong_count(&first), 2 + 1, "here, `unchanged`, and the current version");
    }

    #[test]
    fn a_key_takes_little_memory() {
        assert_eq!(size_of::<DirectoryKey>(), 104);
    }

    #[test]
    fn a_stored_key_that_is_no_point_refuses_every_signature() {
        // No point of the curve has this y coordinate. The second is a point of small order, which verifies almost anything.
        for bytes in [
            {
                let mut bytes = [0; 32];
                bytes[0] = 2;
                bytes
            },
            {
                let mut bytes = [0; 32];
                bytes[0] = 1;
                bytes
            },
        ] {
            assert!(VerificationKey::ed25519_from_bytes(&bytes).is_err());
            let key = UnrevokedKey { public_key: CompactKey::Ed25519(bytes), ..UnrevokedKey::from(&key(1, false)) };
            let entry = DirectoryKey::load(&key, &Snapshot::default()).unwrap();
            assert_eq!(entry.fingerprint(), Fingerprint::of_ed25519(&bytes));
            // R and S of a signature that holds for a key of small order: R is the neutral element, and S is 0.
            let mut signature = [0; 64];
            signature[0] = 1;
            let algorithm = http_signature::Algorithm::Ed25519;
            assert!(entry.verification_key().verify(algorithm, b"a message", &signature).is_err());
        }
        // Of other types, a key that is not usable is left out.
        let point: Vec<u8> =
            [b"\0\0\0\x13ecdsa-sha2-nistp256\0\0\0\x08nistp256\0\0\0\x41\x04".as_slice(), &[1; 64]].concat();
        let public_key = CompactKey::from_stored_blob(&point).unwrap();
        let key = UnrevokedKey { public_key, ..UnrevokedKey::from(&key(1, false)) };
        assert!(DirectoryKey::load(&key, &Snapshot::default()).is_none());
    }

    #[test]
    fn a_change_that_makes_a_key_unusable_removes_it() {
        let usable = key(1, false);
        let mut snapshot = Snapshot::default();
        snapshot.put_key(&usable);
        let point: Vec<u8> =
            [b"\0\0\0\x13ecdsa-sha2-nistp256\0\0\0\x08nistp256\0\0\0\x41\x04".as_slice(), &[1; 64]].concat();
        snapshot.put_key(&ApiKey { public_key: PublicKey::from_stored_blob(&point).unwrap(), ..usable.clone() });
        assert!(snapshot.key(usable.id).is_none());
        assert!(snapshot.key_by_fingerprint(&usable.public_key.fingerprint()).is_none());
    }

    #[test]
    fn a_key_without_limits_takes_no_memory_for_them_and_a_change_of_them_takes_effect() {
        let plain = key(1, false);
        let limits = |text: &str| KeyLimits::from(text.parse::<domain::limits::Limits>().unwrap());
        let mut snapshot = Snapshot::default();
        snapshot.put_key(&plain);
        assert!(snapshot.key(plain.id).unwrap().uncommon.is_none());
        assert!(snapshot.key(plain.id).unwrap().limits().is_none());
        for text in ["scopes=keyward:read", "scopes=", "scopes=;cidrs=10.0.0.0/8"] {
            snapshot.put_key(&ApiKey { limits: limits(text), ..plain.clone() });
            assert_eq!(snapshot.key(plain.id).unwrap().limits(), &limits(text));
        }
        snapshot.put_key(&plain);
        assert!(snapshot.key(plain.id).unwrap().limits().is_none());
    }

    /// A step in the life of a directory.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A key is registered or changed: its number, the number of its private key, whether it is disabled, and when it
        /// expires.
        Put(u8, u8, bool, Option<i64>),
        Remove(u8),
        /// Everything is loaded again.
        Load,
    }

    /// What a directory contains of a key: the number of its private key, whether it is disabled, and when it expires.
    type Expected = (u8, bool, Option<i64>);

    fn unrevoked(number: u8, (private_key, disabled, expires_at): Expected) -> UnrevokedKey {
        let random = Numbered(AtomicU8::new(1));
        UnrevokedKey {
            id: ApiKeyId::from_uuid(uuid::Uuid::from_u128(number.into())),
            owner: UserId::generate(Timestamp::UNIX_EPOCH, &random).into(),
            public_key: CompactKey::Ed25519([private_key; 32]),
            disabled,
            suspended: false,
            expires_at: expires_at.map(|second| Timestamp::from_second(second).unwrap()),
            limits: KeyLimits::none(),
        }
    }

    fn api_key(key: &UnrevokedKey) -> ApiKey {
        let CompactKey::Ed25519(bytes) = key.public_key else { panic!("another type of key") };
        let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &bytes].concat();
        ApiKey {
            id: key.id,
            owner: key.owner,
            public_key: PublicKey::from_stored_blob(&blob).unwrap(),
            disabled: key.disabled,
            suspended: key.suspended,
            expires_at: key.expires_at,
            limits: key.limits.clone(),
            ..self::key(1, false)
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let put = (0..12_u8, any::<bool>(), prop::option::of(-9..9_i64));
        // A private key belongs to four keys, one after the other. So some steps register one that is registered already,
        // as a load during such a change does.
        let put = put.prop_map(|(number, disabled, expires_at)| Step::Put(number, number % 3, disabled, expires_at));
        prop::collection::vec(
            prop_oneof![4 => put, 2 => (0..12_u8).prop_map(Step::Remove), 1 => Just(Step::Load)],
            0..60,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn after_any_history_each_key_is_found_by_its_id_and_fingerprint(steps in steps()) {
            let mut snapshot = Snapshot::default();
            let mut keys: BTreeMap<u8, Expected> = BTreeMap::new();
            // The registration that each private key belongs to: the last one that was put.
            let mut holders: BTreeMap<u8, u8> = BTreeMap::new();
            let mut used: BTreeMap<u8, u32> = BTreeMap::new();
            for step in steps {
                let before = (snapshot.clone(), keys.clone(), holders.clone());
                match step {
                    Step::Put(number, private_key, disabled, expires_at) => {
                        let expected = (private_key, disabled, expires_at);
                        snapshot.put_key(&api_key(&unrevoked(number, expected)));
                        keys.insert(number, expected);
                        holders.insert(private_key, number);
                    }
                    Step::Remove(number) => {
                        let removed = snapshot.remove_key(ApiKeyId::from_uuid(uuid::Uuid::from_u128(number.into())));
                        prop_assert_eq!(removed.is_some(), keys.contains_key(&number));
                        if let Some((private_key, ..)) = keys.remove(&number) && holders.get(&private_key) == Some(&number) {
                            holders.remove(&private_key);
                        }
                        used.remove(&number);
                    }
                    Step::Load => {
                        let mut loaded = Snapshot::default();
                        let load = |(&number, &expected): (&u8, &Expected)| {
                            DirectoryKey::load(&unrevoked(number, expected), &snapshot).unwrap()
                        };
                        let entries: Vec<_> = keys.iter().map(load).collect();
                        loaded.set_keys(&entries);
                        prop_assert!(snapshot.keys_that_are_not_in(&loaded).is_empty());
                        snapshot = loaded;
                        holders = keys.iter().map(|(number, (private_key, ..))| (*private_key, *number)).collect();
                    }
                }
                for (snapshot, keys, holders) in [(&snapshot, &keys, &holders), (&before.0, &before.1, &before.2)] {
                    check(snapshot, keys, holders)?;
                }
                // Each key counts one more request after each step. The count survives all changes of the key.
                for number in keys.keys() {
                    let entry = snapshot.key(ApiKeyId::from_uuid(uuid::Uuid::from_u128((*number).into()))).unwrap();
                    let count = used.entry(*number).or_default();
                    prop_assert_eq!(entry.count_accepted(), *count == 0);
                    *count += 1;
                }
            }
            for (number, count) in used {
                let entry = snapshot.key(ApiKeyId::from_uuid(uuid::Uuid::from_u128(number.into()))).unwrap();
                prop_assert_eq!(entry.take_accepted(), u64::from(count));
            }
        }
    }

    fn check(
        snapshot: &Snapshot,
        keys: &BTreeMap<u8, Expected>,
        holders: &BTreeMap<u8, u8>,
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(snapshot.key_count(), keys.len());
        for number in 0..12 {
            let found = snapshot.key(ApiKeyId::from_uuid(uuid::Uuid::from_u128(number.into())));
            let found = found.map(|key| (key.bytes[0], key.disabled, key.expires_at().map(Timestamp::as_second)));
            prop_assert_eq!(found, keys.get(&number).copied());
        }
        for private_key in 0..3 {
            let found = snapshot.key_by_fingerprint(&Fingerprint::of_ed25519(&[private_key; 32]));
            let found = found.map(|key| (key.id.uuid().as_u128(), key.disabled));
            let holder = holders.get(&private_key);
            prop_assert_eq!(found, holder.map(|number| (u128::from(*number), keys[number].1)));
        }
        Ok(())
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
