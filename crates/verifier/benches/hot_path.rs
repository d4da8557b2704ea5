//! The cost of verifying a signed read compared with the bare signature check, in time and allocations, on one core.
//! `cargo bench -p verifier --bench hot_path`

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use domain::{Clock, InstallationKey, Random, ReplayKey, Timestamp};
use http::HeaderMap;
use http_signature::{Algorithm, Profile, SigningKey as _, VerificationKey};
use verifier::{
    Directory, Hosts, OriginalRequest, Outside, RateLimits, Scheme, TokenKey, Verifier, VerifierConfig,
    hosts::HostLists,
    outside::{CredentialType, Lease, NonceFuture, NonceStore, Observer, Outcome},
};

#[path = "../tests/all/sample.rs"]
mod sample;

use sample::{HOST, NOW, signed_headers, signing_key, snapshot_with_keys};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const TARGET: &str = "/api/v1/workspaces/ws_01h455vb4pex5vsknk084sn02q/projects?limit=50";
/// The number of keys that are used in turn, so that the processor's cache does not contain the key.
const CALLERS: u32 = 256;

fn main() {
    divan::main();
}

/// A stopped clock, so that signatures and the lease do not expire.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).expect("a time of our age")
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// Ids that count up, so that every run is the same.
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

/// Reports every nonce as fresh. Reads have none.
struct AllFresh;

impl NonceStore for AllFresh {
    fn record_nonce(&self, _request: ReplayKey) -> NonceFuture<'_> {
        Box::pin(async { Ok(true) })
    }
}

/// Counts with one addition, as a server does.
#[derive(Default)]
struct Observed(AtomicU64);

impl Observer for Observed {
    fn observe_verification(&self, _credential: CredentialType, _outcome: Outcome, _duration: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns a verifier for an installation with one user and this number of keys.
fn verifier_with_keys(count: u32) -> Verifier {
    let (now, random) = (StoppedClock.now(), Counter::default());
    let public = &format!("http://{HOST}").parse().expect("an origin");
    let lists = HostLists { public, hosts: &[], proxied_hosts: &[], encord_hosts: &[] };
    let config = VerifierConfig {
        hosts: Hosts::new(lists).expect("hosts"),
        routes: Vec::new(),
        allow_preflights: false,
        // The clock is stopped, so a rate limit would never be reset.
        rate_limits: RateLimits { per_key: u32::MAX, ..RateLimits::default() },
        token_key: TokenKey::new(&InstallationKey::generate(&random), public),
    };
    let directory = Arc::new(Directory::default());
    directory.swap(snapshot_with_keys(count, now, &random).0);
    let outside = Outside {
        directory,
        clock: Arc::new(StoppedClock),
        lease: Arc::new(Held),
        nonces: Arc::new(AllFresh),
        observer: Arc::new(Observed::default()),
    };
    Verifier::new(config, outside, &random)
}

/// Returns a received signed GET.
fn signed_get(number: u32, profile: Profile) -> HeaderMap {
    let unsigned = [("user-agent", "keyward/0.1"), ("accept", "application/json")];
    signed_headers(number, profile, ("GET", TARGET), NOW, "GRzlUfiGwvXsQRr4cSsoYg", &unsigned)
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
            client_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }));
        answer.expect("accepted").expect("a credential")
    });
}

/// The baseline: the bare signature check, over as many bytes as the base of the GET has.
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
