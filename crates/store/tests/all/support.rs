//! New databases, a fixed clock and repeatable randomness, and examples of stored objects.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use domain::{
    AuditEvent, AuditPrincipal, PrincipalId, Random, Timestamp,
    api_key::ApiKey,
    id::{Id, Kind},
    limits::{KeyLimits, Limits},
    principal::{
        Identity, KeyCredential, Membership, Principal, ProjectAccess, ProjectListAccess, ProjectPermission,
        WorkspaceAccess, WorkspacePermission,
    },
    public_key::PublicKey,
    quota::Quotas,
    role::Role,
    service_account::ServiceAccount,
    user::User,
    workspace::Workspace,
};
use store::{Change, Engine, Store, StoreError, StoreOptions, Value, Version};
use tempfile::TempDir;

/// A database for one test, removed after it.
pub(crate) trait Backend: Sized + Send + Sync {
    /// Creates an empty database.
    fn fresh() -> Self;

    /// Returns options to open it. A test may open it several times.
    fn options(&self) -> StoreOptions;

    async fn open(&self) -> Store {
        Store::open(&self.options(), at(0), &seeded()).await.expect("the database opens")
    }
}

pub(crate) struct Sqlite {
    directory: TempDir,
}

impl Sqlite {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("keyward.db")
    }
}

impl Backend for Sqlite {
    fn fresh() -> Self {
        Self { directory: TempDir::new().expect("a temporary directory") }
    }

    fn options(&self) -> StoreOptions {
        StoreOptions { engine: Engine::Sqlite { path: self.path() } }
    }
}

/// A database of a cluster that the tests of this binary share.
pub(crate) struct Postgres(pub(crate) test_postgres::Database);

impl Backend for Postgres {
    fn fresh() -> Self {
        Self(test_postgres::Cluster::shared().create_database())
    }

    fn options(&self) -> StoreOptions {
        postgres_at(self.0.url())
    }
}

pub(crate) fn postgres_at(url: String) -> StoreOptions {
    StoreOptions { engine: Engine::Postgres { url: url.into() } }
}

/// Runs each test on each engine. A test that is not listed is dead code, which the lints refuse.
macro_rules! on_every_engine {
    ($($test:ident)*) => {
        mod sqlite {
            use crate::support::{Backend as _, Sqlite};
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(Sqlite::fresh()).await;
                }
            )*
        }

        mod postgres {
            use crate::support::{Backend as _, Postgres};
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(Postgres::fresh()).await;
                }
            )*
        }
    };
}
pub(crate) use on_every_engine;

/// Returns the time `seconds` after the start of all tests.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).expect("a time")
}

/// Randomness that is the same in every run: SplitMix64 from 0.
pub(crate) struct Seeded(AtomicU64);

pub(crate) const fn seeded() -> Seeded {
    Seeded(AtomicU64::new(0))
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Returns the id with the number `number`.
pub(crate) fn id<K: Kind>(number: u128) -> Id<K> {
    format!("{}_{number:026}", K::PREFIX).parse().expect("an id")
}

/// Returns the host's access to the workspace with that number.
pub(crate) fn workspace_access(number: u128) -> WorkspaceAccess {
    Principal::host().authorize(WorkspacePermission::View, id(number)).expect("the host may do it")
}

/// Returns a principal with a key that has these limits, as a member of the workspaces 1 and 2.
pub(crate) fn limited(owner: impl Into<PrincipalId>, limits: &str) -> Principal {
    let limits = if limits.is_empty() { Limits::default() } else { limits.parse().expect("limits") };
    let membership = |number| Membership {
        workspace: id(number),
        slug: format!("acme-{number}").into(),
        name: "Acme".into(),
        role: Role::Member,
    };
    let identity = Identity {
        id: owner.into(),
        email: String::new(),
        email_verified: false,
        name: String::new(),
        operator: false,
        disabled: false,
        suspended: false,
        memberships: [1, 2].map(membership).into(),
    };
    Principal::of_key(
        &identity.into(),
        KeyCredential::Signature(id(1)),
        &limits.into(),
        domain::principal::PolicyReach::everything(),
    )
}

/// Returns the host's access to the projects of the workspace with that number.
pub(crate) fn project_list_access(number: u128) -> ProjectListAccess {
    Principal::host().authorize_project_list(id(number)).expect("the host may do it")
}

/// Returns the host's access to the project with that number, in workspace 1.
pub(crate) fn project_access(number: u128) -> ProjectAccess {
    let access = Principal::host().authorize_project(ProjectPermission::View, id(1), id(number), None);
    access.expect("the host may do it")
}

/// Returns an event with a value in every field. Events with different numbers differ in id and time.
pub(crate) fn event(number: u8) -> AuditEvent {
    AuditEvent {
        id: id(number.into()),
        at: at(number.into()),
        workspace: Some(id(1)),
        principal: AuditPrincipal::User(id(1)),
        key: Some(id(1)),
        ip_address: Some("2001:db8::1".parse().expect("an address")),
        action: "api_key.create".into(),
        target: Some("key_00000000000000000000000002".into()),
        detail: BTreeMap::from([("fingerprint".into(), "SHA256:x".into()), ("title".into(), "a \"title\"".into())]),
    }
}

/// Commits a change that only writes its event.
pub(crate) async fn log(store: &Store, event: AuditEvent) -> Version {
    let change = store.begin_change(event.at).await.expect("a change begins");
    change.commit(event, None).await.expect("a change commits").version
}

/// Changes the database without the store, as a person with the database file or its password would.
pub(crate) async fn tamper(store: &Store, sql: &'static str, values: &[Value<'_>]) {
    let mut maintenance = store.begin_maintenance().await.expect("a transaction begins");
    assert!(
        maintenance.execute(sql, values).await.expect("the statement is right") > 0,
        "nothing was tampered with: {sql}"
    );
    maintenance.commit().await.expect("a transaction commits");
}

/// Returns the number that a query returns.
pub(crate) async fn count(store: &Store, sql: &'static str) -> i64 {
    let mut connection = store.read().await.expect("a connection");
    connection.fetch_one(sql, &[]).await.expect("the query is right").i64("n").expect("a number")
}

/// Runs one change and commits it with an event with the same number.
pub(crate) async fn change<T>(
    store: &Store,
    number: u8,
    run: impl AsyncFnOnce(&mut Change) -> Result<T, StoreError>,
) -> T {
    let mut change = store.begin_change(at(number.into())).await.expect("a change begins");
    let result = run(&mut change).await.expect("the change is possible");
    change.commit(event(number), None).await.expect("a change commits");
    result
}

/// Returns a workspace with the default quotas.
pub(crate) fn workspace(number: u8) -> Workspace {
    Workspace {
        id: id(number.into()),
        slug: format!("acme-{number}").parse().expect("a slug"),
        name: format!("Acme {number}"),
        quotas: Quotas::default(),
        created_at: at(number.into()),
    }
}

/// Returns a user without privileges.
pub(crate) fn user(number: u8) -> User {
    User {
        id: id(number.into()),
        email: format!("user-{number}@example.com").parse().expect("an email"),
        email_verified_at: None,
        name: format!("User {number}"),
        operator: false,
        disabled: false,
        suspended: false,
        created_at: at(number.into()),
    }
}

/// Returns a member of the first workspace.
pub(crate) fn service_account(number: u8) -> ServiceAccount {
    ServiceAccount {
        id: id(number.into()),
        workspace: id(1),
        display_name: format!("Bot {number}"),
        name: format!("bot-{number}").parse().expect("a name"),
        description: String::new(),
        address: format!("bot-{number}@acme-1.sa.keyward.local"),
        role: Role::Member,
        disabled: false,
        created_at: at(number.into()),
    }
}

/// Returns an active key that its owner registered.
pub(crate) fn api_key(number: u8, owner: impl Into<PrincipalId>) -> ApiKey {
    let owner = owner.into();
    ApiKey {
        id: id(number.into()),
        owner,
        title: format!("key {number}"),
        public_key: public_key(number),
        disabled: false,
        suspended: false,
        expires_at: None,
        revoked_at: None,
        verified_at: None,
        proven_at: None,
        displaced_at: None,
        created_by: owner.to_string(),
        created_with: None,
        created_at: at(number.into()),
        last_used_at: None,
        last_used_ip: None,
        limits: KeyLimits::none(),
    }
}

/// Returns the Ed25519 key whose bytes are all `number`.
pub(crate) fn public_key(number: u8) -> PublicKey {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([number; 32]);
    PublicKey::from_stored_blob(&blob).expect("a key")
}

/// Adds workspaces 1 and 2, and the users 1 to 3: user 1 is an admin of the first workspace, user 2 a member of both, user 3
/// of none.
pub(crate) async fn add_workspaces_and_users(store: &Store) {
    change(store, 1, async |change| {
        for number in [1, 2] {
            store::workspace::insert_workspace(change, &workspace(number)).await?;
        }
        for number in [1, 2, 3] {
            store::user::insert_user(change, &user(number), None).await?;
        }
        for (place, member, role) in [(1, 1, Role::Admin), (1, 2, Role::Member), (2, 2, Role::Member)] {
            store::member::insert_member(change, id(place), id(member), role, at(1)).await?;
        }
        Ok(())
    })
    .await;
}
