//! A server without a socket: the real router, the real store in a temporary directory, a stopped clock that tests
//! control, and repeatable randomness.

pub mod browser;
mod older_node;
pub mod saved;
pub mod sdk;
pub mod signing;
pub mod wire;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use domain::{Clock, Random, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use http_signature::{Ed25519SigningKey, Profile, RequestView, SigningParameters, sign_request};
use serde_json::{Value, json};
use server::{
    App, Settings,
    app::{AppConfig, Caller, KeyOwner},
};
use store::{Engine, Store, StoreOptions};
use tower::ServiceExt as _;

/// The host of the test server.
pub const HOST: &str = "127.0.0.1:8080";

/// A stopped clock.
pub struct FakeClock {
    micros: AtomicI64,
    boot_micros: AtomicU64,
}

impl FakeClock {
    pub fn new() -> Self {
        // 2026-01-02T03:04:05Z
        Self { micros: AtomicI64::new(1_767_323_045_000_000), boot_micros: AtomicU64::new(1_000_000) }
    }

    /// Advances both clocks. The lease may end. See [`TestApp::advance`].
    pub fn advance(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).expect("a short time");
        self.micros.fetch_add(micros.cast_signed(), Ordering::SeqCst);
        self.boot_micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the wall clock only, as an administrator may. The lease is then dropped. See [`TestApp::set_wall`].
    pub fn set_wall(&self, second: i64) {
        self.micros.store(second * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros.load(Ordering::SeqCst)).expect("a time of our age")
    }

    fn since_boot(&self) -> Duration {
        Duration::from_micros(self.boot_micros.load(Ordering::SeqCst))
    }
}

/// SplitMix64: the same bytes in every run.
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().expect("no test panics in here");
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A key pair of a client.
#[derive(Clone)]
pub struct Key {
    signing: Arc<Ed25519SigningKey>,
    /// The key as a user pastes it.
    pub openssh: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// `key_…`, after it is registered.
    pub id: String,
}

impl Key {
    /// Returns the key with the id of its registration.
    pub fn registered_as(self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self }
    }

    /// The raw Ed25519 key.
    pub fn public_bytes(&self) -> [u8; 32] {
        self.signing.public_key()
    }

    /// Signs any bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        use http_signature::SigningKey as _;
        self.signing.sign(message).expect("a signature")
    }

    /// Returns a proof with this key.
    pub fn prove(&self, owner: &str, challenge: &str) -> String {
        let fingerprint = self.fingerprint.parse().expect("a fingerprint");
        let message = domain::proof::proof_message(&format!("http://{HOST}"), owner, &fingerprint, challenge);
        self.sign_for("keyward-proof", &message)
    }

    /// Returns the signature of a message, as `ssh-keygen -Y sign -n NAMESPACE` prints it.
    pub fn sign_for(&self, namespace: &str, message: &str) -> String {
        use sha2::{Digest as _, Sha512};
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat();
        let context = [string(namespace.as_bytes()), string(b""), string(b"sha512")].concat();
        let signed = [b"SSHSIG".to_vec(), context.clone(), string(&Sha512::digest(message.as_bytes()))].concat();
        let signature = [string(b"ssh-ed25519"), string(&self.sign(&signed))].concat();
        let public_key = [string(b"ssh-ed25519"), string(&self.signing.public_key())].concat();
        let blob = [b"SSHSIG\0\0\0\x01".to_vec(), string(&public_key), context, string(&signature)].concat();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", STANDARD.encode(blob))
    }
}

/// A principal with a registered key.
#[derive(Clone)]
pub struct Actor {
    pub key: Key,
    /// `usr_…` or `sa_…`
    pub id: String,
    pub email: String,
}

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Returns a header, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Returns the body as JSON, or null.
    pub fn json(&self) -> Value {
        if self.bytes.is_empty() { Value::Null } else { serde_json::from_slice(&self.bytes).expect("JSON") }
    }

    /// Returns the problem's code.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the body, after checking the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// Returns the problem, after checking status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status.as_u16(), self.code().as_str()),
            (status, code),
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        self.json()
    }
}

/// The location of an installation: the directory of its key and, unless it is elsewhere, of its database. The tests
/// use the embedded database, or PostgreSQL if `KEYWARD_TEST_ENGINE` is `postgres`.
pub struct Home {
    directory: tempfile::TempDir,
    database: Option<test_postgres::Database>,
}

impl Home {
    /// Creates an empty one.
    pub fn new() -> Arc<Self> {
        let on_postgres = match std::env::var("KEYWARD_TEST_ENGINE").as_deref() {
            Err(_) | Ok("sqlite") => false,
            Ok("postgres") => true,
            Ok(other) => panic!("KEYWARD_TEST_ENGINE is `{other}`: sqlite or postgres"),
        };
        let database = on_postgres.then(|| test_postgres::Cluster::shared().create_database());
        Arc::new(Self { directory: tempfile::tempdir().expect("a temporary directory"), database })
    }

    /// Creates an empty one on the embedded database.
    pub fn embedded() -> Arc<Self> {
        Arc::new(Self { directory: tempfile::tempdir().expect("a temporary directory"), database: None })
    }

    /// Creates an empty one on PostgreSQL.
    pub fn on_postgres() -> Arc<Self> {
        let database = Some(test_postgres::Cluster::shared().create_database());
        Arc::new(Self { directory: tempfile::tempdir().expect("a temporary directory"), database })
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the URL of its database, if that is on PostgreSQL.
    pub fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(test_postgres::Database::url)
    }

    /// Returns the configuration for opening it.
    pub fn app_config(&self, settings: Settings) -> AppConfig {
        match self.database_url() {
            Some(url) => AppConfig::on_postgres(url, self.path().join("installation.key"), settings),
            None => AppConfig::embedded(self.path(), settings),
        }
    }

    /// Returns the content of the database: the bytes of its files, or every row as text with bytes in hexadecimal
    /// digits.
    pub fn everything_stored(&self) -> String {
        let Some(database) = &self.database else {
            let read = |name: &str| std::fs::read(self.path().join(name)).expect("a file");
            return String::from_utf8_lossy(&[read("keyward.db"), read("keyward.db-wal")].concat()).into_owned();
        };
        let cluster = test_postgres::Cluster::shared();
        cluster.run("pg_dump", &["-h", cluster.socket_directory(), "-U", "keyward", "--inserts"], &[database.name()])
    }

    /// Writes a backup as an operator would, while the server is running.
    pub async fn back_up(&self, app: &App) -> std::path::PathBuf {
        let file = self.path().join("backup");
        match &self.database {
            Some(database) => database.dump(&file),
            None => app.back_up(&Caller::host(), &file).await.expect("a backup beside a running server"),
        }
        file
    }

    /// Restores a backup of `original` to another location, with the same installation key.
    pub fn restored_from(original: &Self, backup: &Path) -> Arc<Self> {
        let restored = Self::new();
        let copy = |from: &Path, to: &str| std::fs::copy(from, restored.path().join(to)).expect("a copy");
        copy(&original.path().join("installation.key"), "installation.key");
        match &restored.database {
            Some(database) => database.restore(backup),
            None => drop(copy(backup, "keyward.db")),
        }
        restored
    }
}

/// The server under test.
pub struct TestApp {
    pub app: Arc<App>,
    pub router: Router,
    pub clock: Arc<FakeClock>,
    pub random: Arc<SeededRandom>,
    pub directory: Arc<Home>,
}

impl TestApp {
    /// Creates an empty installation.
    pub async fn new() -> Self {
        Self::with_settings(|_| {}).await
    }

    /// Creates an empty installation with other settings.
    pub async fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        Self::open(Home::new(), Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)), change).await
    }

    /// Opens the installation in a directory.
    pub async fn open(
        directory: Arc<Home>,
        clock: Arc<FakeClock>,
        random: Arc<SeededRandom>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings::new(format!("http://{HOST}"));
        change(&mut settings);
        let config = AppConfig { clock: clock.clone(), random: random.clone(), ..directory.app_config(settings) };
        let app = App::open_for_serving(config).await.expect("an installation");
        let (router, _) = server::build_router(Arc::clone(&app));
        Self { app, router, clock, random, directory }
    }

    /// Restarts the installation, with its clock and its data.
    pub async fn restart(self) -> Self {
        self.app.close().await;
        let settings = self.app.settings().clone();
        Self::open(self.directory, self.clock, self.random, |s| *s = settings).await
    }

    /// Restores a backup of the installation into a new data directory, with the same installation key.
    pub async fn restore_from(self, backup: &Path) -> Self {
        self.app.close().await;
        let settings = self.app.settings().clone();
        let restored = Home::restored_from(&self.directory, backup);
        let on_host = AppConfig {
            clock: self.clock.clone(),
            random: self.random.clone(),
            ..restored.app_config(settings.clone())
        };
        let on_host = App::open_on_host(on_host).await.expect("the backup opens");
        on_host.finish_restore(&Caller::host()).await.expect("the restore ends");
        on_host.close().await;
        Self::open(restored, self.clock, self.random, |s| *s = settings).await
    }

    /// Opens the database while the server is running.
    pub async fn store(&self) -> Store {
        let engine = match self.directory.database_url() {
            Some(url) => Engine::Postgres { url: url.into() },
            None => Engine::Sqlite { path: self.directory.path().join("keyward.db") },
        };
        let options = StoreOptions { engine };
        Store::open(&options, self.clock.now(), self.random.as_ref()).await.expect("the database opens")
    }

    /// Advances the clock of a server that follows its store in the meantime.
    pub async fn advance(&self, time: Duration) {
        self.clock.advance(time);
        self.app.renew_lease().await.expect("the store answers");
    }

    /// Sets the wall clock of a server that then follows its store, because setting the clock ends the lease.
    pub async fn set_wall(&self, second: i64) {
        self.clock.set_wall(second);
        self.app.renew_lease().await.expect("the store answers");
    }

    /// Creates a key pair that is not registered.
    pub fn new_key(&self) -> Key {
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        let signing = Ed25519SigningKey::from_seed(&seed);
        let mut blob = Vec::new();
        for part in [b"ssh-ed25519".as_slice(), signing.public_key().as_slice()] {
            blob.extend(u32::try_from(part.len()).expect("short").to_be_bytes());
            blob.extend(part);
        }
        let openssh = format!("ssh-ed25519 {}", STANDARD.encode(&blob));
        let fingerprint = domain::PublicKey::parse(&openssh).expect("a good key").key.fingerprint().to_string();
        Key { signing: Arc::new(signing), openssh, fingerprint, id: String::new() }
    }

    /// Creates a user without a workspace, with a key.
    pub async fn user(&self, name: &str, operator: bool) -> Actor {
        let email = format!("{name}@example.com");
        let create = api::CreateUser { email: email.clone(), name: name.to_owned(), password: None, operator };
        let user = self.app.create_user(&Caller::host(), create).await.expect("a user");
        let key = self.add_key(KeyOwner::User(user.id), name).await;
        Actor { key, id: user.id.to_string(), email }
    }

    /// Registers a new key, on the host.
    pub async fn add_key(&self, owner: KeyOwner, title: &str) -> Key {
        let mut key = self.new_key();
        let create = api::CreateApiKey {
            title: title.to_owned(),
            public_key: key.openssh.clone(),
            expires_at: None,
            proof: None,
            limits: None,
        };
        key.id = self.app.create_api_key(&Caller::host(), owner, &create).await.expect("a key").id.to_string();
        key
    }

    /// Creates a workspace with this admin.
    pub async fn workspace(&self, slug: &str, admin: &Actor) -> String {
        let create = api::CreateWorkspace {
            name: format!("The {slug}"),
            slug: slug.to_owned(),
            admin_email: Some(admin.email.clone()),
        };
        let created = self.app.create_workspace(&Caller::host(), create).await.expect("a workspace");
        created.workspace.id.to_string()
    }

    /// Invites an address, and returns the token.
    pub async fn invite(&self, workspace: &str, admin: &Actor, email: &str, role: &str) -> String {
        let path = format!("/api/v1/workspaces/{workspace}/invitations");
        let issued =
            self.post(&path, &json!({"emails": [email], "role": role})).by(&admin.key).send().await.expect(201);
        issued["items"][0]["token"].as_str().expect("a token").to_owned()
    }

    /// Adds a new user to a workspace, by invitation, with a key.
    pub async fn member(&self, workspace: &str, admin: &Actor, name: &str, role: &str) -> Actor {
        let email = format!("{name}@example.com");
        let token = self.invite(workspace, admin, &email, role).await;
        let accept = json!({"token": token, "name": name, "password": "correct horse battery"});
        let accepted = self.post("/api/v1/invitations/accept", &accept).send().await.expect(200);
        let id = accepted["user"].as_str().expect("an id").to_owned();
        let key = self.add_key(KeyOwner::User(id.parse().expect("usr_")), name).await;
        Actor { key, id, email }
    }

    /// Adds an existing user to a workspace.
    pub async fn join(&self, workspace: &str, admin: &Actor, user: &Actor, role: &str) {
        let token = self.invite(workspace, admin, &user.email, role).await;
        self.post("/api/v1/invitations/accept", &json!({"token": token})).by(&user.key).send().await.expect(200);
    }

    /// Creates a service account with a key.
    pub async fn service_account(&self, workspace: &str, admin: &Actor, name: &str) -> Actor {
        let path = format!("/api/v1/workspaces/{workspace}/service-accounts");
        let account =
            self.post(&path, &json!({"name": name, "description": ""})).by(&admin.key).send().await.expect(201);
        let id = account["id"].as_str().expect("an id").to_owned();
        let owner = KeyOwner::ServiceAccount(workspace.parse().expect("ws_"), id.parse().expect("sa_"));
        let key = self.add_key(owner, name).await;
        Actor { key, id, email: account["email"].as_str().expect("an address").to_owned() }
    }

    /// Adds another key of a principal, which the test may revoke.
    pub async fn add_unused_key(&self, owner: &Actor) -> Key {
        self.add_key(KeyOwner::User(owner.id.parse().expect("usr_")), "unused").await
    }

    /// Returns a bearer token for a key.
    pub async fn bearer_token(&self, key: &Key) -> String {
        let answer = self.get("/v2/public/user/bearer-token").by(key).send().await.expect(200);
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// Raises all quotas of a workspace.
    pub async fn raise_quotas(&self, workspace: &str, limit: u32) {
        let update = api::UpdateQuotas {
            service_accounts: Some(limit),
            keys_per_service_account: Some(limit),
            keys_per_user: Some(limit),
        };
        let workspace = workspace.parse().expect("ws_");
        self.app.update_quotas(&Caller::host(), workspace, update).await.expect("quotas");
    }

    pub fn get(&self, path: &str) -> TestRequest<'_> {
        self.request("GET", path, &Value::Null)
    }

    pub fn delete(&self, path: &str) -> TestRequest<'_> {
        self.request("DELETE", path, &Value::Null)
    }

    pub fn post(&self, path: &str, body: &Value) -> TestRequest<'_> {
        self.request("POST", path, body)
    }

    pub fn patch(&self, path: &str, body: &Value) -> TestRequest<'_> {
        self.request("PATCH", path, body)
    }

    pub fn put(&self, path: &str, body: &Value) -> TestRequest<'_> {
        self.request("PUT", path, body)
    }

    /// Returns any request. A null body means no body.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> TestRequest<'_> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).expect("JSON") };
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static(HOST));
        if !body.is_empty() {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        TestRequest {
            app: self,
            method: method.to_owned(),
            target: path.to_owned(),
            headers,
            body,
            address: Ipv4Addr::LOCALHOST.into(),
            scheme: "http",
        }
    }
}

/// A request before it is sent. Changes after signing are not covered by the signature.
#[derive(Clone)]
pub struct TestRequest<'a> {
    app: &'a TestApp,
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub address: IpAddr,
    /// The scheme that the client signs.
    pub scheme: &'static str,
}

impl TestRequest<'_> {
    /// Sets a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        self
    }

    /// Signs with the native profile, now, with a new nonce.
    pub fn by(self, key: &Key) -> Self {
        self.signed(key, Profile::Native, 0)
    }

    /// Signs as the Encord SDK does.
    pub fn by_encord(self, key: &Key) -> Self {
        self.signed(key, Profile::Encord, 0)
    }

    /// Signs with a clock that is wrong by this number of seconds.
    pub fn signed(mut self, key: &Key, profile: Profile, seconds_off: i64) -> Self {
        let mut nonce = [0; 16];
        self.app.random.fill(&mut nonce);
        let nonce = URL_SAFE_NO_PAD.encode(nonce);
        let created = self.app.clock.now().as_second() + seconds_off;
        let key_id = match profile {
            Profile::Native => key.fingerprint.clone(),
            Profile::Encord => {
                key.signing.public_key().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
            }
        };
        let view = RequestView {
            method: &self.method,
            scheme: self.scheme,
            authority: self.headers["host"].to_str().expect("a host"),
            target: &self.target,
            headers: &self.headers,
        };
        let covered: &[&str] =
            if self.headers.contains_key("keyward-workspace") { &["keyward-workspace"] } else { &[] };
        let parameters = SigningParameters {
            created,
            lifetime_seconds: 60,
            nonce: &nonce,
            key_id: &key_id,
            covered_headers: covered,
        };
        let signed = sign_request(&view, &self.body, profile, &parameters, key.signing.as_ref()).expect("a signature");
        let digest = signed.content_digest.map(|digest| ("content-digest", digest));
        let fields = [("signature-input", signed.signature_input), ("signature", signed.signature)];
        for (name, value) in fields.into_iter().chain(digest) {
            self = self.header(name, &value);
        }
        self
    }

    /// Adds a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        let value = format!("Bearer {token}");
        self.header("authorization", &value)
    }

    /// Returns it in the form of the router.
    pub fn into_request(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.target);
        *request.headers_mut().expect("a good request") = self.headers;
        let mut request = request.body(Body::from(self.body)).expect("a good request");
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(self.address, 40_000)));
        request
    }

    /// Sends it through the real router.
    pub async fn send(self) -> Answer {
        let app = self.app;
        self.send_to(app).await
    }

    /// Sends it to another node.
    pub async fn send_to(self, node: &TestApp) -> Answer {
        let router = node.router.clone();
        let response = router.oneshot(self.into_request()).await.expect("the router answers");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }
}
