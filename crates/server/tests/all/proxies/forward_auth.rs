//! The interface for reverse proxies: the requests and responses of each dialect.

use http::StatusCode;
use serde_json::{Value, json};
use server::Settings;

use crate::support::{Actor, Answer, HOST, TestApp, TestRequest};

pub const DIALECTS: [&str; 4] = ["nginx", "caddy", "traefik", "envoy"];
pub const IDENTITY_HEADERS: [&str; 11] = [
    "remote-user",
    "remote-email",
    "remote-name",
    "remote-groups",
    "keyward-principal",
    "keyward-workspace",
    "keyward-role",
    "keyward-key",
    "keyward-scopes",
    "keyward-email-verified",
    "keyward-content-digest-verified",
];

/// The values of [`IDENTITY_HEADERS`] for ada, the only admin of the workspace acme, by her key.
pub fn identity_of(ada: &Actor, workspace: &str, body_verified: bool) -> [String; 11] {
    let email = ada.email.as_str();
    let (scopes, email_verified, body_verified) = ("", "false", if body_verified { "true" } else { "false" });
    [email, email, "ada", "acme:admin", &ada.id, workspace, "admin", &ada.key.id, scopes, email_verified, body_verified]
        .map(str::to_owned)
}

/// The client's headers that Envoy passes with the example configuration.
const ENVOY_HEADERS: [&str; 8] = [
    "signature",
    "signature-input",
    "content-digest",
    "authorization",
    "keyward-workspace",
    "keyward-explain",
    "origin",
    "access-control-request-method",
];

/// Trusts proxies on this machine, in front of an API on the host of the tests' requests.
pub fn trust_local_proxies(settings: &mut Settings) {
    settings.trusted_proxies = vec!["127.0.0.1".parse().expect("an address")];
    settings.proxied_hosts = vec![HOST.to_owned()];
}

/// Returns the request in which a proxy asks about a request of its client.
pub fn ask<'a>(test: &'a TestApp, dialect: &str, client: &TestRequest<'_>) -> TestRequest<'a> {
    let host = client.headers["host"].to_str().expect("a host");
    let with_headers = |mut question: TestRequest<'a>| {
        question.headers.extend(client.headers.clone());
        question
    };
    match dialect {
        "nginx" => with_headers(test.get("/auth/nginx"))
            .header("x-original-method", &client.method)
            .header("x-original-uri", &client.target)
            .header("x-original-host", host)
            .header("x-original-scheme", "http")
            .header("x-original-address", "192.0.2.7")
            .header("host", "127.0.0.1:9"),
        "caddy" | "traefik" => with_headers(test.get(&format!("/auth/{dialect}")))
            .header("x-forwarded-method", &client.method)
            .header("x-forwarded-uri", &client.target)
            .header("x-forwarded-host", host)
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-for", "192.0.2.7")
            .header("host", "127.0.0.1:9"),
        "envoy" => {
            let mut question = test.request(&client.method, &format!("/auth/envoy{}", client.target), &Value::Null);
            question.headers.insert("host", host.parse().expect("a host"));
            // Envoy passes the headers in its configuration.
            for name in ENVOY_HEADERS {
                question
                    .headers
                    .extend(client.headers.get(name).map(|value| (http::HeaderName::from_static(name), value.clone())));
            }
            question.header("x-forwarded-proto", "http").header("x-forwarded-for", "192.0.2.7")
        }
        _ => unreachable!("a dialect"),
    }
}

/// A change of a request before it arrives.
type Change = fn(&mut TestRequest<'_>);

/// Checks the status, in the form of the dialect.
#[track_caller]
pub fn expect_refused(dialect: &str, answer: &Answer, status: u16) {
    if dialect == "nginx" {
        let shown = if status == 401 { 401 } else { 403 };
        assert_eq!((answer.status.as_u16(), answer.header("keyward-status")), (shown, status.to_string().as_str()));
    } else {
        assert_eq!(answer.status.as_u16(), status, "{dialect}: {}", String::from_utf8_lossy(&answer.bytes));
    }
    for name in IDENTITY_HEADERS {
        assert!(!answer.headers.contains_key(name), "{dialect} tells {name} of a refused request");
    }
}

#[tokio::test]
async fn a_signed_request_passes_with_every_identity_header_in_every_dialect() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    for dialect in DIALECTS {
        let client = test.get("/v2/things?b=2&a=%7e1").by(&admin.key);
        let answer = ask(&test, dialect, &client).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{dialect}");
        let told: Vec<_> = IDENTITY_HEADERS.iter().map(|name| answer.header(name)).collect();
        assert_eq!(told, identity_of(&admin, &ws, false), "{dialect}");
        assert!(answer.bytes.is_empty());
    }
}

#[tokio::test]
async fn an_identity_header_without_a_value_is_empty_and_not_left_out() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let operator = test.user("olga", true).await;
    for dialect in DIALECTS {
        let client = test.get("/").header("remote-groups", "acme:admin").header("keyward-role", "admin");
        let answer = ask(&test, dialect, &client.by(&operator.key)).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{dialect}");
        for name in IDENTITY_HEADERS {
            assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{dialect}: {name}");
        }
        for name in ["remote-groups", "keyward-workspace", "keyward-role"] {
            assert_eq!(answer.header(name), "", "{dialect}: {name}");
        }
    }
}

#[tokio::test]
async fn a_bearer_token_is_accepted_and_a_cookie_never() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let token = test.bearer_token(&admin.key).await;
    for dialect in DIALECTS {
        let client = test.post("/v2/things", &json!({"a": 1})).bearer(&token);
        let answer = ask(&test, dialect, &client).send().await;
        assert_eq!((answer.status, answer.header("remote-user")), (StatusCode::OK, "ada@example.com"), "{dialect}");
        assert_eq!(answer.header("keyward-content-digest-verified"), "false");
        let cookie = test.get("/v2/things").header("cookie", &format!("__Host-keyward={token}"));
        expect_refused(dialect, &ask(&test, dialect, &cookie).send().await, 401);
        let both = test.get("/v2/things").by(&admin.key).bearer(&token);
        expect_refused(dialect, &ask(&test, dialect, &both).send().await, 401);
    }
}

#[tokio::test]
async fn altered_requests_are_refused_in_every_dialect() {
    let test = TestApp::with_settings(|settings| {
        trust_local_proxies(settings);
        settings.proxied_hosts.push("api.example.com".to_owned());
    })
    .await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let signed = || test.get("/v2/things?a=1&b=2").by(&admin.key);
    let changes: [(&str, Change); 7] = [
        ("path", |request| "/v2/others?a=1&b=2".clone_into(&mut request.target)),
        ("query", |request| "/v2/things?b=2&a=1".clone_into(&mut request.target)),
        ("escape", |request| "/v2/%74hings?a=1&b=2".clone_into(&mut request.target)),
        ("method", |request| "DELETE".clone_into(&mut request.method)),
        ("host", |request| _ = request.headers.insert("host", "api.example.com".parse().unwrap())),
        ("no signature", |request| _ = request.headers.remove("signature")),
        ("nothing", |request| {
            request.headers.remove("signature");
            request.headers.remove("signature-input");
        }),
    ];
    for dialect in DIALECTS {
        for (what, change) in &changes {
            let mut client = signed();
            change(&mut client);
            let answer = ask(&test, dialect, &client).send().await;
            expect_refused(dialect, &answer, 401);
            assert!(answer.headers.contains_key("www-authenticate"), "{dialect}: {what}");
        }
        let stranger = test.get("/v2/things").by(&test.new_key());
        expect_refused(dialect, &ask(&test, dialect, &stranger).send().await, 401);
        let old = test.get("/v2/things").signed(&admin.key, http_signature::Profile::Native, -61);
        let answer = ask(&test, dialect, &old).send().await;
        assert_eq!(answer.json()["reason"], "stale", "its holder learns the reason: {dialect}");
        expect_refused(dialect, &answer, 401);
    }
}

#[tokio::test]
async fn forwarded_headers_are_accepted_from_listed_proxies_only() {
    let unlisted = TestApp::new().await;
    let admin = unlisted.user("ada", false).await;
    unlisted.workspace("acme", &admin).await;
    for dialect in DIALECTS {
        let client = unlisted.get("/v2/things").by(&admin.key);
        expect_refused(dialect, &ask(&unlisted, dialect, &client).send().await, 403);
    }

    let network = |settings: &mut Settings| {
        trust_local_proxies(settings);
        settings.trusted_proxies = vec!["10.1.0.0/16".parse().unwrap()];
    };
    let test = TestApp::with_settings(network).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for (from, believed) in [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("10.2.0.1", false), ("127.0.0.1", false)] {
        for dialect in DIALECTS {
            let mut question = ask(&test, dialect, &test.get("/v2/things").by(&admin.key));
            question.address = from.parse().unwrap();
            // An address that the client claims has no effect.
            let answer = question.header("x-real-ip", "10.1.2.3").send().await;
            assert_eq!(answer.status == StatusCode::OK, believed, "{dialect} from {from}");
        }
    }
}

#[tokio::test]
async fn no_dialect_falls_back_to_the_headers_of_another() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let client = || test.get("/v2/things").by(&admin.key);
    let families: [&[&str]; 3] = [
        &["x-original-method", "x-original-uri", "x-original-host", "x-original-scheme"],
        &["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto"],
        &["x-forwarded-proto"],
    ];
    for (dialect, family) in [("nginx", 0), ("caddy", 1), ("traefik", 1), ("envoy", 2)] {
        for missing in families[family] {
            let mut question = ask(&test, dialect, &client());
            for other in families.concat() {
                question.headers.entry(other).or_insert("/v2/things".parse().unwrap());
            }
            question.headers.remove(*missing);
            let answer = question.send().await;
            expect_refused(dialect, &answer, 400);
            let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.contains(missing), "{dialect}: {detail}");
        }
        // A second value was sent by another party.
        for twice in families[family] {
            let mut question = ask(&test, dialect, &client());
            let value = question.headers[*twice].clone();
            question.headers.append(*twice, value);
            expect_refused(dialect, &question.send().await, 400);
        }
    }
    // Headers of another family from the client are ignored.
    let question =
        ask(&test, "nginx", &client()).header("x-forwarded-uri", "/admin").header("x-original-url", "/admin");
    assert_eq!(question.send().await.status, StatusCode::OK);
    let question = ask(&test, "caddy", &client()).header("x-original-uri", "/admin").header("x-rewrite-url", "/admin");
    assert_eq!(question.send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_ambiguous_path_is_refused_even_when_signed() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for path in [
        "/a/../b",
        "/a/./b",
        "/%2e%2e/b",
        "/a%2fb",
        "/a%2Fb",
        "/a//b",
        "/a;b",
        "/a%5cb",
        "/a\\b",
        "/a%3bb",
        "/a%00",
        "/a%zz",
    ] {
        // nginx, Caddy and Traefik pass it in a header. Envoy passes it as its own target, like a request to Keyward.
        for dialect in ["nginx", "caddy", "traefik"] {
            let client = test.get(path).by(&admin.key);
            expect_refused(dialect, &ask(&test, dialect, &client).send().await, 400);
        }
        if !path.contains('\\') {
            let client = test.get(path).by(&admin.key);
            expect_refused("envoy", &ask(&test, "envoy", &client).send().await, 400);
        }
    }
    for target in ["", "*", "a", "http://x/a", "/a#b", "/a b"] {
        let mut client = test.get("/a").by(&admin.key);
        target.clone_into(&mut client.target);
        expect_refused("caddy", &ask(&test, "caddy", &client).send().await, 400);
    }
}

#[tokio::test]
async fn aliases_of_identity_headers_are_refused() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for name in ["remote_user", "keyward.role", "keyward_content-digest-verified"] {
        for dialect in ["nginx", "caddy", "traefik"] {
            let client = test.get("/v2/things").by(&admin.key).header(name, "admin");
            expect_refused(dialect, &ask(&test, dialect, &client).send().await, 400);
        }
    }
    for name in ["authorization", "keyward-workspace"] {
        let mut client = test.get("/v2/things").by(&admin.key);
        client.headers.append(name, "acme".parse().unwrap());
        client.headers.append(name, "other".parse().unwrap());
        expect_refused("nginx", &ask(&test, "nginx", &client).send().await, 400);
    }
}

#[tokio::test]
async fn the_body_is_checked_if_the_dialect_passes_it() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let verified = async |dialect: &str, body: &[u8], partial: Option<&str>| {
        let client = test.post("/v2/things", &json!({"a": 1})).by(&admin.key);
        let mut question = ask(&test, dialect, &client);
        question.body = body.to_vec();
        if let Some(partial) = partial {
            question = question.header("x-envoy-auth-partial-body", partial);
        }
        let answer = question.send().await;
        (answer.status.as_u16(), answer.headers.get("keyward-content-digest-verified").cloned())
    };
    let told = |value: &'static str| (200, Some(http::HeaderValue::from_static(value)));
    for dialect in ["traefik", "envoy"] {
        assert_eq!(verified(dialect, br#"{"a":1}"#, None).await, told("true"), "{dialect}");
        assert_eq!(verified(dialect, br#"{"a":2}"#, None).await, (401, None), "{dialect}");
        // The proxy may have omitted it, so nothing is known.
        assert_eq!(verified(dialect, b"", None).await, told("false"), "{dialect}");
    }
    assert_eq!(verified("envoy", br#"{"a""#, Some("true")).await, told("false"));
    assert_eq!(verified("envoy", br#"{"a":1}"#, Some("false")).await, told("true"));
    for dialect in ["nginx", "caddy"] {
        assert_eq!(verified(dialect, br#"{"a":2}"#, None).await, told("false"), "{dialect} passes no body");
    }
    // A read with a body that no signature covers is refused.
    let mut question = ask(&test, "traefik", &test.get("/v2/things").by(&admin.key));
    question.body = b"x".to_vec();
    expect_refused("traefik", &question.send().await, 401);
    let mut question = ask(&test, "traefik", &test.get("/v2/things").by(&admin.key));
    question.body = vec![b'x'; 1024 * 1024 + 1];
    expect_refused("traefik", &question.send().await, 413);
}

#[tokio::test]
async fn nginx_gets_only_status_codes_that_it_understands() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let large = test.get("/v2/things").by(&admin.key).header("x-large", &"x".repeat(20_000));
    expect_refused("nginx", &ask(&test, "nginx", &large).send().await, 431);
    let bad = ask(&test, "nginx", &test.get("/v2/things").by(&admin.key)).header("x-original-scheme", "ftp");
    expect_refused("nginx", &bad.send().await, 400);
    let client = test.get("/v2/things").by(&admin.key);
    test.app.close().await;
    expect_refused("nginx", &ask(&test, "nginx", &client).send().await, 503);
    expect_refused("caddy", &ask(&test, "caddy", &client).send().await, 503);
}

#[tokio::test]
async fn revoked_access_is_refused_at_the_proxy_too() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let bot = test.service_account(&ws, &admin, "ci-runner").await;
    let passes = async |who: &crate::support::Actor| {
        ask(&test, "nginx", &test.get("/v2/things").by(&who.key)).send().await.status.as_u16()
    };
    assert_eq!(passes(&bot).await, 200);
    let key = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys/{}", bot.id, bot.key.id);
    test.delete(&key).by(&admin.key).send().await.expect(204);
    assert_eq!(passes(&bot).await, 401);

    let member = test.member(&ws, &admin, "bob", "member").await;
    assert_eq!(passes(&member).await, 200);
    test.delete(&format!("/api/v1/workspaces/{ws}/members/{}", member.id)).by(&admin.key).send().await.expect(204);
    assert_eq!(passes(&member).await, 401);
}

#[tokio::test]
async fn an_encord_signature_is_accepted_on_listed_hosts_only() {
    let test = TestApp::with_settings(|settings| {
        trust_local_proxies(settings);
        settings.proxied_hosts = vec![HOST.to_owned(), "api.example.com".to_owned(), "other.example.com".to_owned()];
        settings.encord_hosts = vec!["api.example.com".to_owned()];
    })
    .await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for (host, status) in
        [(HOST, 200), ("api.example.com", 200), ("API.Example.com:80", 200), ("other.example.com", 401)]
    {
        for dialect in DIALECTS {
            let client = test.get("/v2/things").header("host", host).by_encord(&admin.key);
            let answer = ask(&test, dialect, &client).send().await;
            assert_eq!(answer.status.as_u16(), status, "{dialect} on {host}");
        }
    }
}
