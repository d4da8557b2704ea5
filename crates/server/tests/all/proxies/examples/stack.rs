//! A client, a real proxy with its example configuration, Keyward and an API, each on its own port.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::any,
};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use server::{Server, ServerOptions, Settings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    proxies::forward_auth::trust_local_proxies,
    support::{Actor, TestApp, TestRequest},
};

/// Some port that is free.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The answer to the key of the example in RFC 6455 §1.3.
pub const WEBSOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The proxies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
    EnvoyGrpc,
}

impl Kind {
    /// Returns whether the proxy is Envoy, asking over HTTP or gRPC.
    pub fn is_envoy(self) -> bool {
        matches!(self, Self::Envoy | Self::EnvoyGrpc)
    }

    /// Returns whether the proxy passes bodies to Keyward in the example configuration.
    pub fn passes_body(self) -> bool {
        matches!(self, Self::Traefik | Self::Envoy | Self::EnvoyGrpc)
    }
}

/// A request that the API received.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Seen {
    /// Returns the single value of a header, or an empty text.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        match values.as_slice() {
            [] => "",
            [value] => value.to_str().expect("ASCII"),
            several => panic!("{name} arrived more than once: {several:?}"),
        }
    }
}

/// A response that the client received.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

pub struct Stack {
    pub test: TestApp,
    pub admin: Actor,
    pub workspace: String,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    keyward: tokio::task::JoinHandle<std::io::Result<()>>,
    api: tokio::task::JoinHandle<std::io::Result<()>>,
    _proxy: Proxy,
}

impl Stack {
    /// Starts everything, with an admin of a workspace `acme`.
    pub async fn start(kind: Kind, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(kind, str::to_owned, |_, settings| change(settings)).await
    }

    /// The same with another configuration of the proxy, and settings that depend on its address.
    pub async fn start_with(
        kind: Kind,
        edit: impl FnOnce(&str) -> String,
        change: impl FnOnce(SocketAddr, &mut Settings),
    ) -> Self {
        let seen = Arc::default();
        let api = Router::new().route("/v2/echo", any(echo)).fallback(show).with_state(Arc::clone(&seen));
        let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
        Self { seen, ..Self::start_before(kind, edit, change, listener, api).await }
    }

    /// The same before another API, which listens here.
    pub async fn start_before(
        kind: Kind,
        edit: impl FnOnce(&str) -> String,
        change: impl FnOnce(SocketAddr, &mut Settings),
        listener: TcpListener,
        api: Router,
    ) -> Self {
        let address = {
            let free = std::net::TcpListener::bind(ANY_PORT).expect("a free port");
            free.local_addr().expect("an address")
        };
        let test = TestApp::with_settings(|settings| {
            trust_local_proxies(settings);
            settings.proxied_hosts = vec![address.to_string()];
            change(address, settings);
        })
        .await;
        let admin = test.user("ada", false).await;
        let workspace = test.workspace("acme", &admin).await;

        let keyward = Server::bind(Arc::clone(&test.app), &ServerOptions::plain(ANY_PORT)).expect("a free port");
        let keyward_address = keyward.address().expect("an address");
        let keyward = tokio::spawn(keyward.run(std::future::pending()));

        let api_address = listener.local_addr().expect("an address");
        let api = tokio::spawn(async move { axum::serve(listener, api).await });

        let proxy = Proxy::start(kind, edit, address, keyward_address, api_address);
        Self { test, admin, workspace, address, seen: Arc::default(), keyward, api, _proxy: proxy }
    }

    /// Stops Keyward's server. The proxy and the API continue.
    pub async fn stop_keyward(&mut self) {
        self.keyward.abort();
        let stopped = (&mut self.keyward).await;
        assert!(stopped.is_err_and(|error| error.is_cancelled()));
    }

    /// Stops the API. The proxy and Keyward continue.
    pub async fn stop_api(&mut self) {
        self.api.abort();
        let stopped = (&mut self.api).await;
        assert!(stopped.is_err_and(|error| error.is_cancelled()));
    }

    /// Opens a connection to the proxy.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the proxy listens")
    }

    /// Returns the authority that clients sign.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn get(&self, target: &str) -> TestRequest<'_> {
        self.request("GET", target, &Value::Null)
    }

    pub fn request(&self, method: &str, target: &str, body: &Value) -> TestRequest<'_> {
        let mut request = self.test.request(method, target, body);
        request.headers.insert("host", self.host().parse().expect("a host"));
        request
    }

    pub async fn send(&self, request: &TestRequest<'_>) -> Answer {
        self.send_with(request, "", "close").await
    }

    /// Sends a request unchanged, with additional header lines and this `Connection`.
    pub async fn send_with(&self, request: &TestRequest<'_>, more: &str, connection: &str) -> Answer {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        for (name, value) in &request.headers {
            head.extend([name.as_str(), ": ", value.to_str().expect("ASCII"), "\r\n"]);
        }
        if !request.body.is_empty() || request.method != "GET" {
            head.extend(["content-length: ", &request.body.len().to_string(), "\r\n"]);
        }
        head.extend([more, "Connection: ", connection, "\r\n\r\n"]);
        let mut stream = self.connect().await;
        stream.write_all(&[head.as_bytes(), &request.body].concat()).await.expect("the proxy reads");
        let mut answer = Vec::new();
        // Traefik resets the connection if it did not read the whole body.
        let read = stream.read_to_end(&mut answer).await;
        assert!(read.is_ok() || !answer.is_empty(), "the proxy answers: {read:?}");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {answer:?}"));
        Answer { status, head: format!("{head}\r\n"), body: body.to_owned() }
    }

    /// Returns the requests that the API received since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("no test panics in here"))
    }
}

/// Switches to WebSocket, and echoes messages.
async fn echo(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let stream = hyper_util::rt::TokioIo::new(upgrade.await.expect("an upgrade"));
        let (mut from, mut to) = tokio::io::split(stream);
        // The client ends it.
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let accept = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", WEBSOCKET_ACCEPT)];
    (StatusCode::SWITCHING_PROTOCOLS, accept).into_response()
}

async fn show(
    State(seen): State<Arc<Mutex<Vec<Seen>>>>,
    method: Method,
    target: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> &'static str {
    let target = target.path_and_query().map_or(String::new(), ToString::to_string);
    let request = Seen { method: method.to_string(), target, headers, body: body.to_vec() };
    seen.lock().expect("no test panics in here").push(request);
    "seen\n"
}

/// A proxy that runs until it is dropped.
struct Proxy {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let stopped = self.child.kill().and_then(|()| self.child.wait());
        stopped.expect("the proxy stops");
    }
}

impl Proxy {
    fn start(
        kind: Kind,
        edit: impl FnOnce(&str) -> String,
        own: SocketAddr,
        keyward: SocketAddr,
        api: SocketAddr,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let here = directory.path();
        let write = |file: &str, text: &str| {
            let file = here.join(file);
            std::fs::write(&file, text).expect("a file");
            file
        };
        let (own, keyward, api) = ((8000, own), (8080, keyward), (9000, api));
        let all = [own, keyward, api];
        // The log line that shows that it listens.
        let (mut command, ready) = match kind {
            Kind::Nginx => {
                let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {};\n", here.join(name).display()));
                let text = on_ports(&edit(&read_example("nginx/nginx.conf")), &all);
                let http = format!("\nhttp {{\naccess_log off;\n{}", places.concat());
                let file = write("nginx.conf", &text.replace("\nhttp {", &http));
                let mut command = Command::new(find_program("nginx", "apt-get install nginx-light"));
                // A single process, so that it ends with the test.
                let pid = here.join("pid");
                let global = format!("daemon off; master_process off; error_log stderr notice; pid {};", pid.display());
                command.args(["-e", "stderr", "-p"]).arg(here).arg("-c").arg(file).args(["-g", &global]);
                (command, "getrlimit(RLIMIT_NOFILE)")
            }
            Kind::Caddy => {
                let text = edit(&read_example("caddy/Caddyfile"));
                let text = text.replace("http://:8000", &format!("http://:{}", own.1.port()));
                let file = write("Caddyfile", &on_ports(&text, &all));
                let mut command = Command::new(find_program("caddy", "apt-get install caddy"));
                command.env("HOME", here).env("XDG_DATA_HOME", here).env("XDG_CONFIG_HOME", here);
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
                (command, "serving initial configuration")
            }
            Kind::Traefik => {
                let text = on_ports(&edit(&read_example("traefik/dynamic.yml")), &[keyward, api]);
                write("dynamic.yml", &text.replacen("\n  routers:\n", TRAEFIK_PROBE, 1));
                let text = on_ports(&read_example("traefik/traefik.yml"), &[own]);
                write("traefik.yml", &format!("{text}\nlog:\n  level: INFO\nglobal:\n  checkNewVersion: false\n"));
                let mut command = Command::new(find_program("traefik", "scripts/setup"));
                command.current_dir(here).arg("--configFile=traefik.yml");
                (command, "Starting provider *file.Provider")
            }
            Kind::Envoy | Kind::EnvoyGrpc => {
                let example = if kind == Kind::Envoy { "envoy/envoy.yaml" } else { "envoy/envoy-grpc.yaml" };
                let file = write("envoy.yaml", &on_ports(&edit(&read_example(example)), &all));
                let mut command = Command::new(find_program("envoy", "scripts/setup"));
                command.args(["--concurrency", "1", "--disable-hot-restart", "-c"]).arg(file);
                (command, "starting main dispatch loop")
            }
        };
        command.stdin(Stdio::null());
        // Only Traefik logs to its standard output.
        let is_traefik = kind == Kind::Traefik;
        let log_of = |is_log: bool| if is_log { Stdio::piped() } else { Stdio::null() };
        command.stdout(log_of(is_traefik)).stderr(log_of(!is_traefik));
        let mut child = command.spawn().expect("a start");
        let log: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(log), _) => Box::new(log),
            (None, log) => Box::new(log.expect("it is piped")),
        };
        let mut log = BufReader::new(log);
        let mut said = String::new();
        while !said.lines().last().is_some_and(|line| line.contains(ready)) {
            let read = log.read_line(&mut said).expect("text");
            assert!(read > 0, "{kind:?} does not start:\n{said}");
        }
        // Later output must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        if is_traefik {
            wait_for_routes_of_traefik(own.1);
        }
        Self { child, _directory: directory }
    }
}

/// An additional router for Traefik. It answers 404 until its routers are loaded, and does not log this.
const TRAEFIK_PROBE: &str = "\n  routers:\n    probe:\n      entryPoints: [web]\n      rule: \"Path(`/probe`)\"\n      service: noop@internal\n";

/// Returns after Traefik has loaded its routers, all at the same time.
fn wait_for_routes_of_traefik(address: SocketAddr) {
    for _ in 0..100_000 {
        let mut stream = std::net::TcpStream::connect(address).expect("Traefik listens");
        stream.write_all(b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        if answer.starts_with("HTTP/1.1 418 ") {
            return;
        }
        assert!(answer.starts_with("HTTP/1.1 404 "), "Traefik answers something else: {answer}");
        std::thread::yield_now();
    }
    panic!("Traefik has no routers");
}

fn read_example(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    std::fs::read_to_string(file).expect("the example is there")
}

/// Returns an example with other ports.
fn on_ports(example: &str, ports: &[(u16, SocketAddr)]) -> String {
    let mut text = example.to_owned();
    for (port, address) in ports {
        let spellings = [("127.0.0.1:", ""), ("address: 127.0.0.1, port_value: ", " }")];
        let mut is_there = false;
        for (before, after) in spellings {
            let (old, new) = (format!("{before}{port}{after}"), format!("{before}{}{after}", address.port()));
            is_there |= text.contains(&old);
            text = text.replace(&old, &new);
        }
        assert!(is_there, "the example does not name port {port}:\n{example}");
    }
    text
}

/// Finds a program in the PATH, in Debian's directories for servers, or in the directory in which scripts/setup
/// installs packages from PyPI.
fn find_program(name: &str, install: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin");
    let directories =
        [ours].into_iter().chain(std::env::split_paths(&path)).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let found = directories.map(|directory| directory.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: {install}"))
}
