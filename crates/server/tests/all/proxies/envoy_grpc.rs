//! Envoy's gRPC ext_authz, asked by tonic's client with messages as Envoy sends them. The same over a real Envoy is in
//! `examples`.

use std::collections::HashMap;

use http::uri::PathAndQuery;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::{Message, Oneof};
use serde_json::{Value, json};
use tonic::{Code, Status, body::Body, client::Grpc};
use tonic_prost::ProstCodec;

use super::forward_auth::{IDENTITY_HEADERS, identity_of, trust_local_proxies};
use crate::support::{
    Actor, HOST, TestApp, TestRequest,
    wire::{Running, assert_status},
};

const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

// Envoy's own definitions, with strings where it has strings.
#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}
#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "4")]
    request: Option<AnyRequest>,
}
#[derive(Clone, PartialEq, Message)]
struct AnyRequest {
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}
#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(string, tag = "2")]
    method: String,
    #[prost(map = "string, string", tag = "3")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
    #[prost(string, tag = "6")]
    scheme: String,
    #[prost(string, tag = "11")]
    body: String,
    #[prost(bytes = "vec", tag = "12")]
    raw_body: Vec<u8>,
    #[prost(message, optional, tag = "13")]
    header_map: Option<HeaderMap>,
}
#[derive(Clone, PartialEq, Message)]
struct HeaderMap {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<HeaderValue>,
}
#[derive(Clone, PartialEq, Message)]
struct HeaderValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "vec", tag = "3")]
    raw_value: Vec<u8>,
}
#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<RpcStatus>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    http_response: Option<HttpResponse>,
}
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}
#[derive(Clone, PartialEq, Oneof)]
enum HttpResponse {
    #[prost(message, tag = "2")]
    Denied(Denied),
    #[prost(message, tag = "3")]
    Ok(Admitted),
}
#[derive(Clone, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
    #[prost(string, tag = "3")]
    body: String,
}
#[derive(Clone, PartialEq, Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}
#[derive(Clone, PartialEq, Message)]
struct Admitted {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
    #[prost(string, repeated, tag = "5")]
    headers_to_remove: Vec<String>,
}
#[derive(Clone, PartialEq, Message)]
struct HeaderOption {
    #[prost(message, optional, tag = "1")]
    header: Option<HeaderValue>,
    #[prost(message, optional, tag = "2")]
    append: Option<bool>,
}

/// How Envoy passes headers and bodies.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Encoding {
    /// `encode_raw_headers` and `pack_as_bytes`, as in the example.
    Raw,
    /// Without: headers of one name in one line, strings.
    Merged,
}

/// What happens to a message on its way.
type Change = fn(&mut HttpRequest);

const BOTH: [Encoding; 2] = [Encoding::Raw, Encoding::Merged];

/// The question that Envoy asks about a request of its client.
fn question(client: &TestRequest<'_>, encoding: Encoding) -> HttpRequest {
    let host = client.headers["host"].to_str().expect("a host").to_owned();
    let text = |value: &http::HeaderValue| value.to_str().expect("ASCII").to_owned();
    let sent = client.headers.iter().filter(|(name, _)| *name != "host");
    let mut lines: Vec<_> = sent.map(|(name, value)| (name.to_string(), text(value))).collect();
    for (name, value) in [
        (":method", client.method.as_str()),
        (":path", client.target.as_str()),
        (":authority", host.as_str()),
        (":scheme", "http"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "192.0.2.7"),
    ] {
        lines.push((name.to_owned(), value.to_owned()));
    }
    let mut request = HttpRequest {
        method: client.method.clone(),
        path: client.target.clone(),
        host,
        scheme: "http".to_owned(),
        ..HttpRequest::default()
    };
    if !client.body.is_empty() {
        lines.push(("x-envoy-auth-partial-body".to_owned(), "false".to_owned()));
    }
    match encoding {
        Encoding::Raw => {
            let header = |(key, value): (String, String)| HeaderValue {
                key,
                value: String::new(),
                raw_value: value.into_bytes(),
            };
            request.header_map = Some(HeaderMap { headers: lines.into_iter().map(header).collect() });
            request.raw_body.clone_from(&client.body);
        }
        Encoding::Merged => {
            for (name, value) in lines {
                let merged = request.headers.entry(name).or_default();
                if !merged.is_empty() {
                    merged.push(',');
                }
                merged.push_str(&value);
            }
            request.body = String::from_utf8(client.body.clone()).expect("text");
        }
    }
    request
}

/// Adds a header as a client would send it.
fn add(request: &mut HttpRequest, name: &str, value: &[u8]) {
    let headers = &mut request.header_map.as_mut().expect("raw headers").headers;
    headers.push(HeaderValue { key: name.to_owned(), value: String::new(), raw_value: value.to_owned() });
}

struct Asked {
    test: TestApp,
    running: Running,
    admin: Actor,
    workspace: String,
    sender: SendRequest<Body>,
}

impl Asked {
    async fn start(change: impl FnOnce(&mut server::Settings)) -> Self {
        let test = TestApp::with_settings(change).await;
        let admin = test.user("ada", false).await;
        let workspace = test.workspace("acme", &admin).await;
        let running = Running::start(&test);
        let stream = TokioIo::new(running.connect().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("the server answers");
        tokio::spawn(connection);
        Self { test, running, admin, workspace, sender }
    }

    async fn ask(&self, request: HttpRequest) -> Result<CheckResponse, Status> {
        let attributes = Some(Attributes { request: Some(AnyRequest { http: Some(request) }) });
        self.send(CheckRequest { attributes }).await
    }

    async fn send(&self, message: CheckRequest) -> Result<CheckResponse, Status> {
        let send = |request| {
            let mut sender = self.sender.clone();
            async move { sender.send_request(request).await }
        };
        let mut client = Grpc::with_origin(tower::service_fn(send), http::Uri::from_static("http://keyward"));
        client.ready().await.expect("it is connected");
        let codec = ProstCodec::<CheckRequest, CheckResponse>::default();
        let answer = client.unary(tonic::Request::new(message), PathAndQuery::from_static(PATH), codec).await;
        answer.map(tonic::Response::into_inner)
    }

    async fn ask_about(&self, client: &TestRequest<'_>, encoding: Encoding) -> CheckResponse {
        self.ask(question(client, encoding)).await.expect("an answer")
    }
}

/// What an admitted request is given: headers that are set, and names that are removed.
#[track_caller]
fn expect_admitted(answer: CheckResponse) -> (HashMap<String, String>, Vec<String>) {
    let CheckResponse { status, http_response } = answer;
    assert_eq!(status.map(|status| status.code), Some(0), "{http_response:?}");
    let Some(HttpResponse::Ok(admitted)) = http_response else { panic!("it is refused") };
    let mut set = HashMap::new();
    for option in admitted.headers {
        let header = option.header.expect("a header");
        assert_eq!(option.append, Some(false), "{} replaces what the client sent", header.key);
        assert!(set.insert(header.key, header.value).is_none());
    }
    (set, admitted.headers_to_remove)
}

/// The refusal: its headers, and its problem.
#[track_caller]
fn expect_denied(answer: CheckResponse, status: u16) -> (HashMap<String, String>, Value) {
    let CheckResponse { status: call, http_response } = answer;
    assert_ne!(call.map(|status| status.code), Some(0), "{http_response:?}");
    let Some(HttpResponse::Denied(denied)) = http_response else { panic!("it is admitted") };
    assert_eq!(denied.status.map(|status| status.code), Some(i32::from(status)), "{}", denied.body);
    let headers: HashMap<_, _> = denied
        .headers
        .into_iter()
        .filter_map(|option| option.header)
        .map(|header| (header.key, header.value))
        .collect();
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(IDENTITY_HEADERS.iter().all(|name| !headers.contains_key(*name)), "{headers:?}");
    let problem: Value = serde_json::from_str(&denied.body).expect("a problem");
    assert_eq!(problem["status"], status);
    (headers, problem)
}

#[tokio::test]
async fn a_signed_request_is_admitted_with_every_identity_header() {
    let envoy = Asked::start(trust_local_proxies).await;
    for encoding in BOTH {
        let client = envoy.test.post("/v2/things?b=2&a=%7e1", &json!({"title": "Ä"})).by(&envoy.admin.key);
        let (set, removed) = expect_admitted(envoy.ask_about(&client, encoding).await);
        let told: Vec<_> =
            IDENTITY_HEADERS.iter().map(|name| set.get(*name).map_or("", String::as_str).to_owned()).collect();
        assert_eq!(told, identity_of(&envoy.admin, &envoy.workspace, true), "{encoding:?}");
        assert_eq!(removed, ["keyward-scopes"], "the client's own does not stay");
    }
    // An operator of no workspace.
    let stranger = envoy.test.user("olga", true).await;
    let client = envoy.test.get("/").header("remote-groups", "acme:admin").by(&stranger.key);
    let (set, mut removed) = expect_admitted(envoy.ask_about(&client, Encoding::Raw).await);
    removed.sort_unstable();
    assert_eq!(removed, ["keyward-role", "keyward-scopes", "keyward-workspace", "remote-groups"]);
    assert!(removed.iter().all(|name| !set.contains_key(name)), "Envoy removes after it has set");
}

#[tokio::test]
async fn what_was_not_signed_is_denied_with_a_problem_and_its_reason() {
    let envoy = Asked::start(trust_local_proxies).await;
    let signed = || envoy.test.post("/v2/things?a=1", &json!({"a": 1})).by(&envoy.admin.key);
    let changes: [(&str, Change); 6] = [
        ("path", |request| "/v2/others?a=1".clone_into(&mut request.path)),
        ("query", |request| "/v2/things?a=2".clone_into(&mut request.path)),
        ("method", |request| "DELETE".clone_into(&mut request.method)),
        (
            "body",
            |request| {
                if request.raw_body.is_empty() { request.body.push(' ') } else { request.raw_body.push(b' ') }
            },
        ),
        ("headers", |request| {
            request.headers.remove("signature");
            request.headers.remove("signature-input");
            let headers = request.header_map.iter_mut().flat_map(|map| &mut map.headers);
            headers.filter(|header| header.key.starts_with("signature")).for_each(|header| header.key.push_str("-x"));
        }),
        ("all", |request| (request.headers, request.header_map) = Default::default()),
    ];
    for encoding in BOTH {
        for (what, change) in changes {
            let mut request = question(&signed(), encoding);
            change(&mut request);
            let answer = envoy.ask(request).await.expect("an answer");
            // Without headers, Envoy's own are missing, too.
            let (headers, _) = expect_denied(answer, if what == "all" { 400 } else { 401 });
            assert_eq!(headers.contains_key("accept-signature"), what != "all", "{what}");
            assert_eq!(headers.contains_key("keyward-reason"), what != "all", "{what}");
        }
        let old = envoy.test.get("/v2/things").signed(&envoy.admin.key, http_signature::Profile::Native, -61);
        let (headers, problem) = expect_denied(envoy.ask_about(&old, encoding).await, 401);
        assert_eq!((headers["keyward-reason"].as_str(), &problem["reason"]), ("stale", &json!("stale")));
    }
    let write = signed();
    expect_admitted(envoy.ask_about(&write, Encoding::Raw).await);
    let (_, problem) = expect_denied(envoy.ask_about(&write, Encoding::Raw).await, 401);
    assert_eq!(problem["reason"], "nonce_reused");
}

#[tokio::test]
async fn two_readings_of_a_message_are_refused() {
    let envoy = Asked::start(trust_local_proxies).await;
    let base = || question(&envoy.test.get("/v2/things").by(&envoy.admin.key), Encoding::Raw);
    expect_admitted(envoy.ask(base()).await.expect("an answer"));
    let changes: [(&str, Change); 11] = [
        ("an alias", |request| add(request, "remote_user", b"eve")),
        ("another alias", |request| add(request, "keyward.role", b"admin")),
        ("a header of Keyward's", |request| add(request, "keyward-email-verified", b"true")),
        ("two schemes", |request| add(request, "x-forwarded-proto", b"https")),
        ("another host", |request| add(request, "host", b"evil.example")),
        ("a name with a space", |request| add(request, "a b", b"")),
        ("a value with a line break", |request| add(request, "a", b"b\r\nc: d")),
        ("two workspaces", |request| {
            add(request, "keyward-workspace", b"acme");
            add(request, "keyward-workspace", b"other");
        }),
        ("headers twice", |request| _ = request.headers.insert("a".to_owned(), "b".to_owned())),
        ("a target with a fragment", |request| request.path.push_str("#x")),
        ("no target", |request| request.path.clear()),
    ];
    for (what, change) in changes {
        let mut request = base();
        change(&mut request);
        let (_, problem) = expect_denied(envoy.ask(request).await.expect("an answer"), 400);
        assert_eq!(problem["code"], "invalid_request", "{what}");
    }
    let mut request = base();
    add(&mut request, "a", &b"x".repeat(20_000));
    expect_denied(envoy.ask(request).await.expect("an answer"), 431);
    let mut request = base();
    "api.example.com".clone_into(&mut request.host);
    expect_denied(envoy.ask(request).await.expect("an answer"), 403);
    // What Envoy cannot have sent.
    let nothing = envoy.send(CheckRequest { attributes: None }).await.expect("an answer");
    expect_denied(nothing, 400);
    // Bytes that are not UTF-8 do not make a message unreadable.
    let mut request = base();
    add(&mut request, "x-name", b"J\xf6rg");
    expect_admitted(envoy.ask(request).await.expect("an answer"));
}

#[tokio::test]
async fn a_body_is_compared_where_all_of_it_is_there() {
    let envoy = Asked::start(trust_local_proxies).await;
    let verified = async |change: Change| {
        let client = envoy.test.post("/v2/things", &json!({"a": 1})).by(&envoy.admin.key);
        let mut request = question(&client, Encoding::Raw);
        change(&mut request);
        let (set, _) = expect_admitted(envoy.ask(request).await.expect("an answer"));
        set["keyward-content-digest-verified"].clone()
    };
    assert_eq!(verified(|_| {}).await, "true");
    assert_eq!(verified(|request| request.raw_body.clear()).await, "false", "it may have been kept back");
    let cut: Change = |request| {
        request.raw_body.truncate(3);
        let headers = request.header_map.iter_mut().flat_map(|map| &mut map.headers);
        let partial = headers.filter(|header| header.key == "x-envoy-auth-partial-body");
        partial.for_each(|header| header.raw_value = b"true".to_vec());
    };
    assert_eq!(verified(cut).await, "false");
    // What a client claims stands beside what Envoy says.
    let mut request = question(&envoy.test.post("/", &json!({"a": 1})).by(&envoy.admin.key), Encoding::Raw);
    add(&mut request, "x-envoy-auth-partial-body", b"true");
    expect_denied(envoy.ask(request).await.expect("an answer"), 400);

    let mut large = question(&envoy.test.get("/v2/things").by(&envoy.admin.key), Encoding::Raw);
    large.raw_body = vec![b'x'; 1024 * 1024 + 1];
    expect_denied(envoy.ask(large.clone()).await.expect("an answer"), 413);
    large.raw_body = vec![b'x'; 2 * 1024 * 1024];
    let refused = envoy.ask(large).await.expect_err("it is too large to be read");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    expect_admitted(envoy.ask_about(&envoy.test.get("/").by(&envoy.admin.key), Encoding::Raw).await);
}

#[tokio::test]
async fn a_stranger_that_asks_directly_learns_nothing() {
    let envoy = Asked::start(|settings| settings.proxied_hosts = vec![HOST.to_owned()]).await;
    for client in [envoy.test.get("/v2/things").by(&envoy.admin.key), envoy.test.get("/v2/things")] {
        let refused = envoy.ask(question(&client, Encoding::Raw)).await.expect_err("no proxy is trusted");
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains("trusted proxy"), "{}", refused.message());
    }
}

#[tokio::test]
async fn what_is_not_grpc_is_refused() {
    let envoy = Asked::start(trust_local_proxies).await;
    for kind in ["application/grpc", "application/json", "application/grpc-web"] {
        let head = format!("POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: 5\r\n");
        let answer = envoy.running.exchange(format!("{head}Connection: close\r\n\r\n\0\0\0\0\0").as_bytes()).await;
        assert_status(&answer, 400);
        assert!(answer.contains("http2_protocol_options"), "{answer}");
    }
    let read = format!("GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    assert_status(&envoy.running.exchange(read.as_bytes()).await, 400);
}

#[tokio::test]
async fn nothing_is_admitted_where_no_request_can_be_verified() {
    let envoy = Asked::start(trust_local_proxies).await;
    let client = envoy.test.get("/v2/things").by(&envoy.admin.key);
    expect_admitted(envoy.ask_about(&client, Encoding::Raw).await);
    envoy.test.app.close().await;
    let (headers, _) = expect_denied(envoy.ask_about(&client, Encoding::Raw).await, 503);
    assert_eq!(headers["retry-after"], "1");
}
