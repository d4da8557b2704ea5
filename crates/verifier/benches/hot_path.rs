//! What verifying a signed read costs beside the bare verification of its signature, in time and allocations, on one
//! core. `cargo bench -p verifier --bench hot_path`

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
    ApiKeyId, Clock, InstallationKey, PublicKey, Random, ReplayKey, Timestamp, UserId, Version, WorkspaceId,
    api_key::ApiKey,
    principal::{Identity, Membership},
    role::Role,
};
use http::{HeaderMap, HeaderValue};
use http_signature::{
    Algorithm, Ed25519SigningKey, Profile, RequestView, SigningKey as _, SigningParameters, VerificationKey,
    sign_request,
};
use verifier::{
    Directory, Hosts, OriginalRequest, Outside, RateLimits, Scheme, Snapshot, TokenKey, Verifier, VerifierConfig,
    hosts::HostLists,
    outside::{CredentialType, Lease, NonceFuture, NonceStore, Observer, Outcome},
};

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

/// Ids that count up, so that a run is the same every time.
#[derive(Default)]
struct Counter(AtomicU64);

impl Random for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (byte, value) in bytes.iter_mut().rev().zip(number.into_iter().rev().chain(std::iter::repeat(0))) {
            *byte = value;
        }
    }
}

/// A lease that does not end.
struct Held;

impl Lease for Held {
    fn is_held(&self) -> bool {
        true
    }
}

/// Every nonce is fresh; reads have none.
struct AllFresh;

impl NonceStore for AllFresh {
    fn record_nonce(&self, _request: ReplayKey) -> NonceFuture<'_> {
        Box::pin(async { Ok(true) })
    }
}

/// Counts as a server does, with one addition.
#[derive(Default)]
struct Observed(AtomicU64);

impl Observer for Observed {
    fn observe_verification(&self, _credential: CredentialType, _outcome: Outcome, _duration: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A verifier for an installation whose one user has so many keys.
fn verifier_with_keys(count: u32) -> Verifier {
    let (now, random) = (StoppedClock.now(), Counter::default());
    let public = &format!("http://{HOST}").parse().expect("an origin");
    let lists = HostLists { public, hosts: &[], proxied_hosts: &[], encord_hosts: &[] };
    let config = VerifierConfig {
        hosts: Hosts::new(lists).expect("hosts"),
        routes: Vec::new(),
        // The clock stands still, and so would a limit.
        rate_limits: RateLimits { per_key: u32::MAX, ..RateLimits::default() },
        token_key: TokenKey::new(&InstallationKey::generate(&random), public),
    };
    let directory = Arc::new(Directory::default());
    directory.swap(snapshot(count, now, &random));
    let outside = Outside {
        directory,
        clock: Arc::new(StoppedClock),
        lease: Arc::new(Held),
        nonces: Arc::new(AllFresh),
        observer: Arc::new(Observed::default()),
    };
    Verifier::new(config, outside, &random)
}

fn snapshot(keys: u32, now: Timestamp, random: &dyn Random) -> Snapshot {
    let user = UserId::generate(now, random);
    let mut snapshot = Snapshot::default();
    snapshot.set_version(Version(1));
    let membership = Membership {
        workspace: WorkspaceId::generate(now, random),
        slug: "acme".into(),
        name: "Acme".into(),
        role: Role::Member,
    };
    snapshot.put_identity(Identity {
        id: user.into(),
        email: "ada@example.com".to_owned(),
        email_verified: false,
        name: "Ada".to_owned(),
        operator: false,
        disabled: false,
        suspended: false,
        memberships: vec![membership],
    });
    for number in 0..keys {
        snapshot.put_key(&ApiKey {
            id: ApiKeyId::generate(now, random),
            owner: user.into(),
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
        });
    }
    snapshot
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

fn verify(bencher: Bencher<'_, '_>, keys: u32, profile: Profile) {
    let verifier = verifier_with_keys(keys);
    let requests: Vec<HeaderMap> = (0..CALLERS).map(|caller| signed_get(caller * (keys / CALLERS), profile)).collect();
    let turn = AtomicU64::new(0);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let turn = usize::try_from(turn.fetch_add(1, Ordering::Relaxed)).expect("few");
        let answer = verifier.verify_request(black_box(&OriginalRequest {
            method: "GET",
            scheme: Scheme::Http,
            authority: HOST,
            target: TARGET,
            headers: &requests[turn % requests.len()],
            body: Some(b""),
            ip_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }));
        answer.expect("accepted").expect("a credential")
    });
}

/// The floor: the bare verification, over as many bytes as the base of the verified GET has.
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
fn verified_native_get(bencher: Bencher<'_, '_>, keys: u32) {
    verify(bencher, keys, Profile::Native);
}

#[divan::bench(args = [1_000, 100_000])]
fn verified_encord_get(bencher: Bencher<'_, '_>, keys: u32) {
    verify(bencher, keys, Profile::Encord);
}
