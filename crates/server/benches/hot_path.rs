//! What judging a signed read costs beside the bare verification of its signature, in time and allocations, on one
//! core. `cargo bench -p server --bench hot_path`

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use domain::{
    ApiKeyId, AuditEvent, AuditEventId, AuditPrincipal, Clock, PublicKey, Random, Timestamp, UserId, WorkspaceId,
    api_key::ApiKey, role::Role, user::User, workspace::Workspace,
};
use http::{HeaderMap, HeaderValue};
use http_signature::{
    Algorithm, Ed25519SigningKey, Profile, RequestView, SigningKey as _, SigningParameters, VerificationKey,
    sign_request,
};
use server::{
    App, Settings,
    app::{OriginalRequest, Parts},
    system::SystemRandom,
};
use store::{Engine, Store, StoreOptions};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const HOST: &str = "127.0.0.1:8080";
const TARGET: &str = "/api/v1/workspaces/ws_01h455vb4pex5vsknk084sn02q/projects?limit=50";
/// 2026-01-02T03:04:05Z
const NOW: i64 = 1_767_323_045;
/// Keys that take turns, so that not one alone is in the processor's cache.
const CALLERS: u32 = 256;

fn main() {
    divan::main();
}

/// Stands still, so that signatures made once stay good and the lease lasts.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).expect("a time of our age")
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn signing_key(number: u32) -> Ed25519SigningKey {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    Ed25519SigningKey::from_seed(&seed)
}

fn public_key(number: u32) -> PublicKey {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), signing_key(number).public_key().as_slice()] {
        blob.extend(u32::try_from(part.len()).expect("short").to_be_bytes());
        blob.extend(part);
    }
    PublicKey::parse(&format!("ssh-ed25519 {}", STANDARD.encode(blob))).expect("a good key").key
}

/// A server whose one user has so many keys.
struct Installation {
    app: Arc<App>,
    _runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

impl Installation {
    fn with_keys(count: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let directory = tempfile::tempdir().expect("a directory");
        let app = runtime.block_on(async {
            let engine = Engine::Sqlite { path: directory.path().join("keyward.db") };
            fill(&StoreOptions { engine }, count).await;
            let mut settings = Settings::new(format!("http://{HOST}"));
            // The clock stands still, and so would a limit.
            settings.rate_limits.per_key = u32::MAX;
            let parts = Parts { clock: Arc::new(StoppedClock), ..Parts::embedded(directory.path(), settings) };
            App::open_for_serving(parts).await.expect("an installation")
        });
        Self { app, _runtime: runtime, _directory: directory }
    }
}

async fn fill(options: &StoreOptions, count: u32) {
    let now = StoppedClock.now();
    let random: &dyn Random = &SystemRandom;
    let store = Store::open(options, now, random).await.expect("a store");
    let mut change = store.begin_change(now).await.expect("a change");
    let user = User {
        id: UserId::generate(now, random),
        email: "ada@example.com".parse().expect("an address"),
        email_verified_at: None,
        name: "Ada".to_owned(),
        operator: false,
        disabled: false,
        suspended: false,
        created_at: now,
    };
    store::user::insert_user(&mut change, &user, None).await.expect("a user");
    let workspace = Workspace {
        id: WorkspaceId::generate(now, random),
        slug: "acme".parse().expect("a slug"),
        name: "Acme".to_owned(),
        quotas: domain::quota::Quotas::default(),
        created_at: now,
    };
    store::workspace::insert_workspace(&mut change, &workspace).await.expect("a workspace");
    store::member::insert_member(&mut change, workspace.id, user.id, Role::Member, now).await.expect("a member");
    for number in 0..count {
        let key = ApiKey {
            id: ApiKeyId::generate(now, random),
            owner: user.id.into(),
            title: number.to_string(),
            public_key: public_key(number),
            disabled: false,
            suspended: false,
            expires_at: None,
            revoked_at: None,
            verified_at: None,
            proven_at: None,
            displaced_at: None,
            created_by: "host".to_owned(),
            created_with: None,
            created_at: now,
            last_used_at: None,
            last_used_ip: None,
        };
        store::api_key::insert_api_key(&mut change, &key).await.expect("a key");
    }
    let event = AuditEvent {
        id: AuditEventId::generate(now, random),
        at: now,
        workspace: None,
        principal: AuditPrincipal::Host,
        key: None,
        address: None,
        action: "benchmark.fill".into(),
        target: None,
        detail: std::collections::BTreeMap::new(),
    };
    change.commit((event, Vec::new()), None).await.expect("a commit");
    store.close().await;
}

/// A signed GET as it arrives.
fn signed_get(number: u32, profile: Profile) -> HeaderMap {
    let key = signing_key(number);
    let key_id = match profile {
        Profile::Native => public_key(number).fingerprint().to_string(),
        Profile::Encord => key.public_key().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", HOST), ("user-agent", "keyward/0.1"), ("accept", "application/json")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let parameters = SigningParameters {
        created: NOW,
        lifetime_seconds: 60,
        nonce: "GRzlUfiGwvXsQRr4cSsoYg",
        key_id: &key_id,
        covered_headers: &[],
    };
    let view = RequestView { method: "GET", scheme: "http", authority: HOST, target: TARGET, headers: &headers };
    let signed = sign_request(&view, b"", profile, &parameters, &key).expect("signed");
    let digest = signed.content_digest.map(|digest| ("content-digest", digest));
    for (name, value) in
        [("signature-input", signed.signature_input), ("signature", signed.signature)].into_iter().chain(digest)
    {
        headers.insert(name, HeaderValue::from_str(&value).expect("a field value"));
    }
    headers
}

fn judge(bencher: Bencher<'_, '_>, keys: u32, profile: Profile) {
    let installation = Installation::with_keys(keys);
    let requests: Vec<HeaderMap> = (0..CALLERS).map(|caller| signed_get(caller * (keys / CALLERS), profile)).collect();
    let turn = AtomicU64::new(0);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let turn = usize::try_from(turn.fetch_add(1, Ordering::Relaxed)).expect("few");
        let verified = installation.app.verify_request(black_box(&OriginalRequest {
            method: "GET",
            scheme: server::hosts::Scheme::Http,
            authority: HOST,
            target: TARGET,
            headers: &requests[turn % requests.len()],
            body: Some(b""),
            address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }));
        verified.expect("accepted").expect("a credential")
    });
}

/// The floor: the bare verification, over as many bytes as the base of the judged GET has.
#[divan::bench]
fn raw_verification(bencher: Bencher<'_, '_>) {
    let pairs: Vec<_> = (0..CALLERS)
        .map(|number| {
            let key = signing_key(number);
            let signature = key.sign(&[b'x'; 380]).expect("a signature");
            (VerificationKey::ed25519_from_bytes(&key.public_key()).expect("a key"), signature)
        })
        .collect();
    let turn = AtomicU64::new(0);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let turn = usize::try_from(turn.fetch_add(1, Ordering::Relaxed)).expect("few");
        let (key, signature) = &pairs[turn % pairs.len()];
        key.verify(Algorithm::Ed25519, black_box(&[b'x'; 380]), signature).expect("good");
    });
}

#[divan::bench(args = [1_000, 100_000])]
fn judged_native_get(bencher: Bencher<'_, '_>, keys: u32) {
    judge(bencher, keys, Profile::Native);
}

#[divan::bench(args = [1_000, 100_000])]
fn judged_encord_get(bencher: Bencher<'_, '_>, keys: u32) {
    judge(bencher, keys, Profile::Encord);
}
