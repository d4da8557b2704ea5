//! The layer for APIs in Rust without a proxy: with the example of the documentation, and a real server.

#[path = "../../../../client/examples/axum_api.rs"]
mod example;

use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
    routing::any,
};
use client::forward_auth::{Identity, KeywardLayer};
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use http_signature::Profile;
use serde_json::{Value, json};
use server::{
    Settings,
    serve::{Server, ServerOptions},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tower::ServiceExt as _;

use crate::{
    proxies::forward_auth::{IDENTITY_HEADERS, trust_local_proxies},
    support::{Actor, Answer, HOST, TestApp, TestRequest, signing::digest_of},
};

/// A change of a request before it arrives.
type Change = fn(&mut TestRequest<'_>);

/// Keyward, and an API in Rust that uses it.
struct Stack {
    test: TestApp,
    admin: Actor,
    workspace: String,
    keyward: tokio::task::JoinHandle<std::io::Result<()>>,
    keyward_url: String,
}

impl Stack {
    async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let test = TestApp::with_settings(|settings| {
            trust_local_proxies(settings);
            settings.proxied_hosts.push("other.example".to_owned());
            change(settings);
        })
        .await;
        let admin = test.user("ada", false).await;
        let workspace = test.workspace("acme", &admin).await;
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let keyward = Server::bind(Arc::clone(&test.app), &ServerOptions::plain(any_port)).expect("a free port");
        let keyward_url = format!("http://{}", keyward.address().expect("an address"));
        let keyward = tokio::spawn(keyward.run(std::future::pending()));
        Self { test, admin, workspace, keyward, keyward_url }
    }

    fn layer(&self) -> KeywardLayer {
        KeywardLayer::new(&self.keyward_url, [format!("http://{HOST}")]).expect("a layer")
    }

    /// Sends a request to an API that shows the request it received.
    async fn send(&self, request: TestRequest<'_>) -> Answer {
        send_to(show_behind(self.layer()), request.into_request()).await
    }
}

fn show_behind(layer: KeywardLayer) -> Router {
    Router::new().fallback(any(show)).layer(layer)
}

async fn show(identity: Option<Extension<Identity>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let headers: Vec<_> =
        parts.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    let identity = identity.map(|Extension(identity)| {
        json!({
            "principal": identity.principal.to_string(),
            "email": identity.email,
            "email_verified": identity.email_verified,
            "name": identity.name,
            "groups": identity.groups.iter().map(|group| format!("{}:{}", group.slug, group.role)).collect::<Vec<_>>(),
            "workspace": identity.workspace.map(|id| id.to_string()),
            "role": identity.role.map(|role| role.to_string()),
            "key": identity.key.map(|id| id.to_string()),
            "scopes": identity.scopes,
            "body_verified": identity.body_verified,
        })
    });
    let shown = json!({"identity": identity, "headers": headers, "body": String::from_utf8_lossy(&body)});
    Json(shown).into_response()
}

async fn send_to(api: Router, request: Request) -> Answer {
    let (parts, body) = api.oneshot(request).await.expect("the API answers").into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

/// Checks a problem with this status and code, and its reason.
#[track_caller]
fn expect_refused(answer: Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    if matches!(status, 401 | 403) {
        assert!(!answer.header("keyward-reason").is_empty(), "{answer:?}");
    }
    for name in IDENTITY_HEADERS {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
    answer.expect_problem(status, code)
}

#[tokio::test]
async fn the_example_identifies_the_sender_of_a_request() {
    let stack = Stack::start(|settings| {
        let route = |pattern, requirement| domain::route::Route::parse(pattern, requirement).unwrap();
        settings.routes = vec![route("GET /status", "anyone"), route("* /**", "authenticated")];
    })
    .await;
    let api = || example::api(&stack.keyward_url, &format!("http://{HOST}")).expect("the example");
    let hello = send_to(api(), stack.test.get("/hello").by(&stack.admin.key).into_request()).await;
    let greeting = format!("Hello ada, key Some(\"{}\")\n", stack.admin.key.id);
    assert_eq!((hello.status, hello.bytes), (StatusCode::OK, greeting.into_bytes()));
    let echo = stack.test.post("/echo", &json!({"a": 1})).by(&stack.admin.key);
    assert_eq!(send_to(api(), echo.into_request()).await.bytes, b"{\"a\":1} (verified: true)\n");
    let unsigned = stack.test.get("/hello");
    expect_refused(send_to(api(), unsigned.into_request()).await, 401, "unauthenticated");
    let status = async |request: TestRequest<'_>| send_to(api(), request.into_request()).await.bytes;
    assert_eq!(status(stack.test.get("/status")).await, b"unsigned\n");
    assert_eq!(status(stack.test.get("/status").by(&stack.admin.key)).await, b"signed\n");
    let bad = stack.test.get("/status").by(&stack.test.new_key());
    expect_refused(send_to(api(), bad.into_request()).await, 401, "unauthenticated");
}

#[test]
fn the_documentation_shows_lines_of_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("a file");
    let (page, example) = (read("docs/client.md"), read("crates/client/examples/axum_api.rs"));
    let (_, section) = page.split_once("## Identify the sender of a request").expect("the section");
    let (_, code) = section.split_once("```rust,ignore\n").expect("the lines");
    let (code, _) = code.split_once("```").expect("their end");
    let lines: Vec<_> = code.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 4);
    for line in lines {
        assert!(example.lines().any(|other| other.trim() == line), "the example has no line `{line}`");
    }
}

#[tokio::test]
async fn the_identity_is_a_value_and_the_clients_own_headers_are_removed() {
    let stack = Stack::start(|_| {}).await;
    let mut client = stack.test.get("/v2/things?b=2&a=%7e1").by(&stack.admin.key).header("x-other", "kept");
    let cookies = "a=1; __Host-keyward=secret; keyward-notice=x; keywards=2;keyward=z";
    for (name, value) in IDENTITY_HEADERS.into_iter().filter(|name| *name != "keyward-workspace").zip(["root"; 11]) {
        client.headers.append(name, HeaderValue::from_static(value));
    }
    client.headers.append("cookie", cookies.parse().unwrap());
    let shown = stack.send(client).await.expect(200);
    let expected = json!({
        "principal": stack.admin.id,
        "email": "ada@example.com",
        "email_verified": false,
        "name": "ada",
        "groups": ["acme:admin"],
        "workspace": stack.workspace,
        "role": "admin",
        "key": stack.admin.key.id,
        "scopes": [],
        "body_verified": false,
    });
    assert_eq!(shown["identity"], expected);
    let headers: Vec<_> = shown["headers"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for name in IDENTITY_HEADERS {
        assert!(!headers.iter().any(|line| line.starts_with(name)), "{name}: {headers:?}");
    }
    assert!(headers.contains(&"x-other: kept") && headers.contains(&"cookie: a=1; keywards=2"), "{headers:?}");
    // A name that is not ASCII arrives completely.
    let caller = server::app::Caller::host();
    let create = api::CreateUser {
        email: "z@example.com".to_owned(),
        name: "Žofie 100%".to_owned(),
        password: None,
        operator: true,
    };
    let user = stack.test.app.create_user(&caller, create).await.expect("a user");
    let key = stack.test.add_key(server::app::KeyOwner::User(user.id), "z").await;
    let shown = stack.send(stack.test.get("/").by(&key)).await.expect(200);
    assert_eq!((&shown["identity"]["name"], &shown["identity"]["workspace"]), (&json!("Žofie 100%"), &Value::Null));
}

#[tokio::test]
async fn a_signed_workspace_is_passed_to_keyward_and_an_unsigned_one_refused() {
    let stack = Stack::start(|_| {}).await;
    let other = stack.test.workspace("other", &stack.admin).await;
    let shown = stack.send(stack.test.get("/").by(&stack.admin.key)).await.expect(200);
    assert_eq!(shown["identity"]["workspace"], Value::Null, "several, and none is named");
    let named = stack.test.get("/").header("keyward-workspace", "other").by(&stack.admin.key);
    let shown = stack.send(named).await.expect(200);
    assert_eq!((&shown["identity"]["workspace"], &shown["identity"]["role"]), (&json!(other), &json!("admin")));
    let unsigned = stack.test.get("/").by(&stack.admin.key).header("keyward-workspace", "other");
    expect_refused(stack.send(unsigned).await, 401, "unauthenticated");
    // Headers in Connection are still visible to Keyward.
    let hidden = stack.test.get("/").by(&stack.admin.key).header("keyward-workspace", "other");
    expect_refused(
        stack.send(hidden.header("connection", "keyward-workspace, signature")).await,
        401,
        "unauthenticated",
    );
}

#[tokio::test]
async fn altered_requests_and_claims_about_them_are_refused() {
    let stack = Stack::start(|_| {}).await;
    let key = &stack.admin.key;
    let signed = || stack.test.get("/v2/things?a=1&b=2").by(key);
    let changes: [(&str, Change); 6] = [
        ("path", |request| "/v2/others?a=1&b=2".clone_into(&mut request.target)),
        ("query", |request| "/v2/things?b=2&a=1".clone_into(&mut request.target)),
        ("escape", |request| "/v2/%74hings?a=1&b=2".clone_into(&mut request.target)),
        ("method", |request| "DELETE".clone_into(&mut request.method)),
        ("no signature", |request| _ = request.headers.remove("signature")),
        ("claims", |request| {
            "/v2/others".clone_into(&mut request.target);
            for (name, value) in [
                ("x-forwarded-uri", "/v2/things?a=1&b=2"),
                ("x-forwarded-method", "GET"),
                ("x-forwarded-host", HOST),
                ("x-original-uri", "/v2/things?a=1&b=2"),
            ] {
                request.headers.insert(name, value.parse().unwrap());
            }
        }),
    ];
    for (what, change) in changes {
        let mut client = signed();
        change(&mut client);
        let answer = stack.send(client).await;
        assert!(answer.headers.contains_key("www-authenticate"), "{what}: {answer:?}");
        expect_refused(answer, 401, "unauthenticated");
    }
    stack.send(signed()).await.expect(200);
    let old = stack.send(stack.test.get("/").signed(key, Profile::Native, -61)).await;
    assert_eq!(old.header("keyward-reason"), "stale");
    assert_eq!(expect_refused(old, 401, "unauthenticated")["reason"], "stale");
    let alias = stack.send(stack.test.get("/").by(key).header("remote_user", "root")).await;
    expect_refused(alias, 400, "invalid_request");
    let encoded = stack.send(stack.test.get("/a%2fb").by(key)).await;
    let told = expect_refused(encoded, 400, "invalid_request");
    assert!(told["detail"].as_str().expect("a text").contains("`%2F`"), "{told}");
    // The explanation of a refusal arrives too.
    let mut client = signed().header("keyward-explain", "1");
    "/v2/others".clone_into(&mut client.target);
    let told = expect_refused(stack.send(client).await, 401, "unauthenticated");
    assert!(told["explanation"]["signature_base"].as_str().expect("a base").contains("/v2/others"), "{told}");
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    let stack = Stack::start(|_| {}).await;
    let key = &stack.admin.key;
    // Keyward lists this host, for another API.
    let other = stack.test.get("/").header("host", "other.example").by(key);
    expect_refused(stack.send(other.clone()).await, 421, "host_not_listed");
    let moved = other.header("host", HOST);
    expect_refused(stack.send(moved).await, 401, "unauthenticated");
    let mut several = stack.test.get("/").by(key);
    several.headers.append("host", "other.example".parse().unwrap());
    expect_refused(stack.send(several).await, 400, "invalid_request");
    let mut none = stack.test.get("/").by(key);
    none.headers.remove("host");
    expect_refused(stack.send(none).await, 400, "invalid_request");
    // In the form of HTTP/2 and in the absolute form. Two different hosts are refused.
    let absolute = |host: &str| {
        let mut request = stack.test.get("/").by(key).into_request();
        *request.uri_mut() = format!("http://{host}/").parse().unwrap();
        request
    };
    send_to(show_behind(stack.layer()), absolute(HOST)).await.expect(200);
    expect_refused(send_to(show_behind(stack.layer()), absolute("other.example")).await, 400, "invalid_request");
    let spelt = KeywardLayer::new(&stack.keyward_url, ["https://API.example.com:443", &format!("HTTP://{HOST}/")]);
    let shown = send_to(show_behind(spelt.expect("a layer")), stack.test.get("/").by(key).into_request()).await;
    shown.expect(200);
    for wrong in ["api.example.com", "https://a.example/v2", "https://u:p@a.example", "ftp://a.example"] {
        assert!(KeywardLayer::new(&stack.keyward_url, [wrong]).is_err(), "{wrong}");
    }
    assert!(KeywardLayer::new(&stack.keyward_url, [""; 0]).is_err());
    assert!(KeywardLayer::new("127.0.0.1:8080", [format!("http://{HOST}")]).is_err());
}

#[tokio::test]
async fn a_write_arrives_once_and_with_the_signed_body() {
    let stack = Stack::start(|_| {}).await;
    let key = &stack.admin.key;
    let write = stack.test.post("/v2/things", &json!({"a": 1})).by(key);
    let shown = stack.send(write.clone()).await.expect(200);
    assert_eq!((&shown["body"], &shown["identity"]["body_verified"]), (&json!("{\"a\":1}"), &json!(true)));
    let again = stack.send(write).await;
    assert_eq!(again.header("keyward-reason"), "nonce_reused");
    expect_refused(again, 401, "unauthenticated");
    for body in [&b"{\"a\":2}"[..], b"", b"{\"a\":1} "] {
        for profile in [Profile::Native, Profile::Encord] {
            let mut changed = stack.test.post("/v2/things", &json!({"a": 1})).signed(key, profile, 0);
            changed.body = body.to_vec();
            changed.headers.remove("content-length");
            let answer = stack.send(changed).await;
            if profile == Profile::Native {
                assert_eq!(answer.header("keyward-reason"), "digest_mismatch");
                assert_eq!(expect_refused(answer, 401, "unauthenticated")["reason"], "digest_mismatch");
            } else {
                // Signatures of the SDK are accepted on listed hosts only.
                expect_refused(answer, 401, "unauthenticated");
            }
        }
    }
    let mut without = stack.test.request("DELETE", "/v2/things", &Value::Null).by(key);
    without.body = b"added".to_vec();
    assert_eq!(expect_refused(stack.send(without).await, 401, "unauthenticated")["reason"], "digest_mismatch");
}

#[tokio::test]
async fn a_body_that_is_not_covered_does_not_arrive() {
    let stack = Stack::start(|_| {}).await;
    let mut read = stack.test.get("/v2/things").by(&stack.admin.key).header("content-length", "5");
    read.body = b"added".to_vec();
    let shown = stack.send(read).await.expect(200);
    assert_eq!((&shown["body"], &shown["identity"]["body_verified"]), (&json!(""), &json!(false)));
    let headers = shown["headers"].to_string();
    assert!(!headers.contains("content-length"), "{headers}");
}

#[tokio::test]
async fn a_body_is_compared_up_to_a_limit() {
    let stack = Stack::start(|_| {}).await;
    let write = |length: usize| {
        let mut request = stack.test.post("/v2/things", &json!({}));
        request.body = vec![b'x'; length];
        request.by(&stack.admin.key)
    };
    let limited = || show_behind(stack.layer().with_max_body(100));
    send_to(limited(), write(100).into_request()).await.expect(200);
    // With and without a Content-Length.
    let announced = write(101).header("content-length", "101");
    expect_refused(send_to(limited(), announced.into_request()).await, 413, "too_large");
    let (parts, body) = write(101).into_request().into_parts();
    let streamed = Request::from_parts(parts, Body::from_stream(body.into_data_stream()));
    expect_refused(send_to(limited(), streamed).await, 413, "too_large");
    let unchecked = || show_behind(stack.layer().without_body_check());
    let mut changed = write(101);
    changed.body = b"changed".to_vec();
    let shown = send_to(unchecked(), changed.into_request()).await.expect(200);
    assert_eq!((&shown["body"], &shown["identity"]["body_verified"]), (&json!("changed"), &json!(false)));
    assert!(shown["headers"].to_string().contains(&digest_of(&[b'x'; 101])), "the API can compare them itself");
}

#[tokio::test]
async fn a_bearer_token_passes_and_does_not_reach_the_api() {
    let stack = Stack::start(|_| {}).await;
    let token = stack.test.bearer_token(&stack.admin.key).await;
    let shown = stack.send(stack.test.post("/v2/things", &json!({"a": 1})).bearer(&token)).await.expect(200);
    assert_eq!((&shown["body"], &shown["identity"]["body_verified"]), (&json!("{\"a\":1}"), &json!(false)));
    assert!(!shown.to_string().contains(&token), "{shown}");
    // The layer takes a digest for signed where a signature is present. With a token, nothing verified the digest.
    let foreign = stack.test.post("/v2/things", &json!({"a": 1})).bearer(&token);
    let digest = digest_of(&foreign.body);
    let foreign = foreign
        .header("signature-input", "other=();created=1;tag=\"other\"")
        .header("signature", "other=:AAAA:")
        .header("content-digest", &digest);
    expect_refused(stack.send(foreign).await, 401, "unauthenticated");
    let both = stack.test.get("/").by(&stack.admin.key).bearer(&token);
    expect_refused(stack.send(both).await, 401, "unauthenticated");
}

#[tokio::test]
async fn the_clients_address_is_passed_and_not_the_claimed_one() {
    let stack = Stack::start(|settings| {
        settings.rate_limits = server::settings::RateLimits { per_address: 1, per_key: 0 };
    })
    .await;
    let api = || example::api(&stack.keyward_url, &format!("http://{HOST}")).expect("the example");
    let ask = async |from: &str, claimed: &str| {
        let mut client = stack.test.get("/hello").by(&stack.admin.key).header("x-forwarded-for", claimed);
        client.address = from.parse().unwrap();
        send_to(api(), client.into_request()).await
    };
    for n in 0..10 {
        assert_eq!(ask("192.0.2.1", &format!("198.51.100.{n}")).await.status, StatusCode::OK);
    }
    let limited = ask("192.0.2.1", "198.51.100.99").await;
    assert_eq!(limited.header("retry-after"), "1");
    expect_refused(limited, 429, "rate_limited");
    assert_eq!(ask("192.0.2.2", "192.0.2.1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_passes_without_a_clear_answer_of_keyward() {
    let mut stack = Stack::start(|_| {}).await;
    let request = || stack.test.get("/").by(&stack.admin.key);
    let untrusted = {
        let test = TestApp::new().await;
        let server = Server::bind(Arc::clone(&test.app), &ServerOptions::plain((Ipv4Addr::LOCALHOST, 0).into()));
        let server = server.expect("a free port");
        let url = format!("http://{}", server.address().expect("an address"));
        tokio::spawn(server.run(std::future::pending()));
        let layer = KeywardLayer::new(&url, [format!("http://{HOST}")]).expect("a layer");
        send_to(show_behind(layer), request().into_request()).await
    };
    expect_refused(untrusted, 403, "forbidden");

    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nRemote-User: root\r\nKeyward-Principal: usr_01h455vb4pex5vsknk084sn02q\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno",
        "nonsense\r\n\r\n",
        "",
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(answer.as_bytes()).await.expect("it reads");
            stream.shutdown().await.expect("it reads");
            // Unread data would reset the connection.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
        });
        let layer = KeywardLayer::new(&url, [format!("http://{HOST}")]).expect("a layer");
        let refused = send_to(show_behind(layer), request().into_request()).await;
        assert_eq!(refused.header("retry-after"), "1", "{answer}");
        expect_refused(refused, 503, "unavailable");
        answering.abort();
    }

    // Accepts connections and never responds.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let layer = KeywardLayer::new(&url, [format!("http://{HOST}")]).expect("a layer");
    let hurried = layer.with_timeout(Duration::from_millis(50));
    expect_refused(send_to(show_behind(hurried), request().into_request()).await, 503, "unavailable");

    stack.send(request()).await.expect(200);
    stack.keyward.abort();
    let stopped = (&mut stack.keyward).await;
    assert!(stopped.is_err_and(|error| error.is_cancelled()));
    let request = stack.test.get("/").by(&stack.admin.key);
    expect_refused(stack.send(request).await, 503, "unavailable");
}
