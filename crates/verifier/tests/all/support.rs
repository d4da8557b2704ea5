//! A verifier whose clock, lease and nonce store the tests control, and one user with one key.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use domain::{
    Clock, InstallationKey, Random, ReplayKey, Timestamp, Version,
    api_key::{ApiKey, RevokedApiKey},
    route::Route,
};
use http::{HeaderMap, HeaderValue};
use http_signature::Profile;
use verifier::{
    Directory, Hosts, OriginalRequest, Outside, RateLimits, Scheme, Snapshot, TokenKey, Verifier, VerifierConfig,
    hosts::HostLists,
    outside::{CredentialType, Lease, NonceFuture, NonceStore, Observer, Outcome},
};

pub(crate) use crate::sample::{HOST, NOW};
use crate::sample::{signed_headers, snapshot_with_keys};

/// Time and randomness of a test.
#[derive(Default)]
pub(crate) struct World {
    /// Milliseconds since [`NOW`].
    elapsed: AtomicU64,
    drawn: AtomicU64,
}

impl World {
    pub(crate) fn advance(&self, by: Duration) {
        self.elapsed.fetch_add(u64::try_from(by.as_millis()).expect("short"), Ordering::Relaxed);
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).expect("a time") + Duration::from_millis(self.elapsed.load(Ordering::Relaxed))
    }

    fn since_boot(&self) -> Duration {
        Duration::from_hours(1) + Duration::from_millis(self.elapsed.load(Ordering::Relaxed))
    }
}

impl Random for World {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.fill(7);
        for (byte, value) in bytes.iter_mut().rev().zip(number.into_iter().rev()) {
            *byte = value;
        }
    }
}

/// A lease that a test can end.
pub(crate) struct TestLease(AtomicBool);

impl TestLease {
    pub(crate) fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Lease for TestLease {
    fn is_held(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An action during the recording of a nonce.
type During = Box<dyn FnOnce() + Send>;

/// Stores nonces, and can run an action while one is recorded.
#[derive(Default)]
pub(crate) struct TestNonces {
    recorded: Mutex<Vec<ReplayKey>>,
    during: Mutex<Option<During>>,
}

impl TestNonces {
    /// Runs `action` while the next nonce is recorded.
    pub(crate) fn during_next(&self, action: impl FnOnce() + Send + 'static) {
        *self.during.lock().unwrap() = Some(Box::new(action));
    }

    pub(crate) fn count(&self) -> usize {
        self.recorded.lock().unwrap().len()
    }
}

impl NonceStore for TestNonces {
    fn record_nonce(&self, request: ReplayKey) -> NonceFuture<'_> {
        Box::pin(async move {
            if let Some(action) = self.during.lock().unwrap().take() {
                action();
            }
            let mut recorded = self.recorded.lock().unwrap();
            let is_fresh = recorded.iter().all(|other| other.nonce != request.nonce);
            recorded.push(request);
            Ok(is_fresh)
        })
    }
}

/// Stores the observations.
#[derive(Default)]
pub(crate) struct Observations(Mutex<Vec<(CredentialType, Outcome)>>);

impl Observations {
    pub(crate) fn take(&self) -> Vec<(CredentialType, Outcome)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Observations {
    fn observe_verification(&self, credential: CredentialType, outcome: Outcome, _duration: Duration) {
        self.0.lock().unwrap().push((credential, outcome));
    }
}

/// A verifier and its dependencies for a test.
pub(crate) struct Test {
    pub(crate) verifier: Verifier,
    pub(crate) directory: Arc<Directory>,
    pub(crate) world: Arc<World>,
    pub(crate) lease: Arc<TestLease>,
    pub(crate) nonces: Arc<TestNonces>,
    pub(crate) observations: Arc<Observations>,
    pub(crate) key: ApiKey,
}

impl Test {
    pub(crate) fn new() -> Self {
        Self::with(RateLimits::default(), &[])
    }

    pub(crate) fn with(rate_limits: RateLimits, routes: &[(&str, &str)]) -> Self {
        let world = Arc::new(World::default());
        let public = &format!("http://{HOST}").parse().unwrap();
        let lists = HostLists { public, hosts: &[], proxied_hosts: &[], encord_hosts: &[] };
        let routes = routes.iter().map(|(matching, require)| Route::parse(matching, require).unwrap()).collect();
        let config = VerifierConfig {
            hosts: Hosts::new(lists).unwrap(),
            routes,
            allow_preflights: false,
            rate_limits,
            token_key: TokenKey::new(&InstallationKey::from_seed(&[1; 32]), public),
        };
        let (lease, nonces) = (Arc::new(TestLease(AtomicBool::new(true))), Arc::new(TestNonces::default()));
        let (directory, observations) = (Arc::new(Directory::default()), Arc::new(Observations::default()));
        let outside = Outside {
            directory: Arc::clone(&directory),
            clock: Arc::clone(&world) as Arc<dyn Clock>,
            lease: Arc::clone(&lease) as Arc<dyn Lease>,
            nonces: Arc::clone(&nonces) as Arc<dyn NonceStore>,
            observer: Arc::clone(&observations) as Arc<dyn Observer>,
        };
        let verifier = Verifier::new(config, outside, world.as_ref());
        let (snapshot, mut keys) = snapshot_with_keys(1, world.now(), world.as_ref());
        directory.swap(snapshot);
        let key = keys.remove(0);
        Self { verifier, directory, world, lease, nonces, observations, key }
    }

    /// Returns the key as revoked now.
    pub(crate) fn revoked(&self) -> RevokedApiKey {
        RevokedApiKey { key: ApiKey { revoked_at: Some(self.world.now()), ..self.key.clone() }, workspaces: Vec::new() }
    }
}

/// Removes the key from the directory, like a node that applies a revocation.
pub(crate) fn revoke(directory: &Directory, revoked: RevokedApiKey) {
    let mut snapshot = Snapshot::clone(&directory.load());
    let removed = snapshot.remove_key(revoked.key.id);
    snapshot.put_revoked_key(revoked);
    snapshot.set_version(Version(snapshot.version().0 + 1));
    directory.swap(snapshot);
    let _was_used = removed.expect("the key is there").retire();
}

/// A request with its headers.
pub(crate) struct TestRequest {
    method: &'static str,
    target: &'static str,
    pub(crate) headers: HeaderMap,
}

impl TestRequest {
    /// Returns a request that the key signed at `created`.
    pub(crate) fn signed(method: &'static str, target: &'static str, created: i64, nonce: &str) -> Self {
        Self { method, target, headers: signed_headers(0, Profile::Native, (method, target), created, nonce, &[]) }
    }

    /// Returns a request with a bearer token.
    pub(crate) fn with_token(target: &'static str, token: &str) -> Self {
        let authorization = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        Self { method: "GET", target, headers: HeaderMap::from_iter([(http::header::AUTHORIZATION, authorization)]) }
    }

    pub(crate) fn view(&self) -> OriginalRequest<'_> {
        OriginalRequest {
            method: self.method,
            scheme: Scheme::Http,
            authority: HOST,
            target: self.target,
            headers: &self.headers,
            body: Some(b""),
            ip_address: None,
            client_ip: None,
        }
    }
}

/// Runs a future that waits for nothing outside itself.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing to wait for"),
    }
}
