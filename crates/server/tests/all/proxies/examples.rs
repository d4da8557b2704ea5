//! The example configurations in real proxies, between a client, which may be malicious, and an API that shows the
//! requests it received.

mod nginx_alone;
mod platform;
mod sdk;
mod stack;

use http_signature::Profile;
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::stack::{Kind, Stack, WEBSOCKET_ACCEPT};
use crate::{
    proxies::forward_auth::{IDENTITY_HEADERS, identity_of},
    support::{HOST, TestRequest, signing::version_1_signature},
};

/// A change of a request before it arrives.
type Change = fn(&mut TestRequest<'_>);

/// Runs a test with each proxy.
macro_rules! with_every_proxy {
    ($($test:ident)*) => {
        mod nginx {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Kind::Nginx).await;
                }
            )*
        }
        mod caddy {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Kind::Caddy).await;
                }
            )*
        }
        mod traefik {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Kind::Traefik).await;
                }
            )*
        }
        mod envoy_grpc {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Kind::EnvoyGrpc).await;
                }
            )*
        }
        mod envoy {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Kind::Envoy).await;
                }
            )*
        }
    };
}

with_every_proxy! {
    a_signed_request_arrives_as_it_was_signed_with_every_identity_header
    only_keyward_sets_identity_headers
    altered_requests_do_not_arrive
    forwarded_headers_of_the_client_do_not_change_the_verified_request
    ambiguous_paths_do_not_arrive
    repeated_headers_do_not_arrive
    the_true_status_reaches_the_client
    a_request_for_another_host_does_not_arrive
    a_request_line_with_another_host_does_not_arrive
    a_fragment_does_not_hide_part_of_the_path
    tokens_and_cookies_of_keyward_do_not_arrive
    only_websocket_upgrades_are_opened
    a_websocket_carries_bytes_in_both_directions
    a_refusal_is_a_problem_with_its_reason
    a_refusal_is_explained_to_the_client_that_asks
    a_body_over_one_mebibyte_arrives_or_is_refused_by_the_proxy
    an_encoded_slash_arrives_where_a_route_allows_it
    a_preflight_and_a_public_path_arrive_without_a_credential
    a_client_cannot_choose_its_rate_limited_address
    a_version_1_signature_is_refused_in_a_form_that_the_sdk_reads
}

async fn a_signed_request_arrives_as_it_was_signed_with_every_identity_header(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let target = "/v2/things/a%20b?b=2&a=%7e1&empty=";
    let read = stack.get(target).by(&stack.admin.key);
    let write = stack.request("POST", target, &json!({"title": "Ä"})).by(&stack.admin.key);
    for client in [read, write] {
        assert_eq!(stack.send(&client).await.status, 200);
        let [seen] = stack.take_seen().try_into().expect("one request");
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (client.method.as_str(), target));
        assert_eq!(seen.body, client.body);
        let told: Vec<_> = IDENTITY_HEADERS.iter().map(|name| seen.header(name)).collect();
        let body_verified = kind.passes_body() && client.method == "POST";
        assert_eq!(told, identity_of(&stack.admin, &stack.workspace, body_verified));
    }
    // If a signed header selects the workspace, its id replaces the value of the client.
    let named = stack.get("/v2/things").header("keyward-workspace", "acme").by(&stack.admin.key);
    assert_eq!(stack.send(&named).await.status, 200);
    assert_eq!(stack.take_seen()[0].header("keyward-workspace"), stack.workspace);
}

async fn only_keyward_sets_identity_headers(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    // An operator of no workspace: three identity headers have no value.
    let stranger = stack.test.user("olga", true).await;
    let names = || IDENTITY_HEADERS.iter().filter(|name| **name != "keyward-workspace");
    let lines = |names: Vec<String>| names.iter().fold(String::new(), |lines, name| lines + name + ": forged\r\n");
    let same = names().flat_map(|name| [(*name).to_owned(), name.to_uppercase()]).collect();
    // Names that CGI and WSGI servers interpret as these headers. The proxy removes them, or the proxy or Keyward
    // refuses the request.
    let others = names().chain([&"keyward-workspace"]);
    let others =
        others.flat_map(|name| [name.replace('-', "_"), name.replacen('-', ".", 1), name.replacen('-', "_", 1)]);
    for (forged, is_alias) in others.map(|name| (lines(vec![name]), true)).chain([(lines(same), false)]) {
        let client = stack.get("/v2/things").by(&stranger.key);
        let answer = stack.send_with(&client, &forged, "close").await;
        let seen = stack.take_seen();
        if answer.status == 400 && is_alias {
            assert!(seen.is_empty(), "{forged}");
            continue;
        }
        assert_eq!(answer.status, 200, "{forged}: {}", answer.body);
        let [seen] = seen.try_into().expect("one request");
        assert_eq!(seen.header("remote-user"), "olga@example.com");
        for name in ["remote-groups", "keyward-workspace", "keyward-role", "keyward-scopes"] {
            assert_eq!(seen.header(name), "", "{name}");
        }
        let forged: Vec<_> = seen.headers.iter().filter(|(_, value)| *value == "forged").collect();
        assert!(forged.is_empty(), "{forged:?}");
    }

    // A header in Connection is removed, if a proxy allows this. Keyward's header must arrive, or none.
    for name in IDENTITY_HEADERS {
        let client = stack.get("/v2/things").by(&stack.admin.key);
        let answer = stack.send_with(&client, "", &format!("close, {name}")).await;
        let seen = stack.take_seen();
        match seen.first() {
            Some(seen) => assert!(name == "keyward-scopes" || !seen.header(name).is_empty(), "{name} was stripped"),
            None => assert_eq!(answer.status, 400),
        }
    }
}

async fn altered_requests_do_not_arrive(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let signed = || stack.get("/v2/things?a=1&b=2").by(&stack.admin.key);
    let changes: [(&str, Change); 6] = [
        ("path", |request| "/v2/others?a=1&b=2".clone_into(&mut request.target)),
        ("query", |request| "/v2/things?b=2&a=1".clone_into(&mut request.target)),
        ("escape", |request| "/v2/%74hings?a=1&b=2".clone_into(&mut request.target)),
        ("method", |request| "DELETE".clone_into(&mut request.method)),
        ("signature", |request| {
            request.headers.insert("signature", "keyward=:AAAA:".parse().unwrap());
        }),
        ("nothing", |request| {
            request.headers.remove("signature");
            request.headers.remove("signature-input");
        }),
    ];
    for (what, change) in changes {
        let mut client = signed();
        change(&mut client);
        let answer = stack.send(&client).await;
        if kind == Kind::Traefik && what == "escape" {
            // It decodes unnecessary escapes before it asks, so the signed path arrives.
            assert_eq!((answer.status, stack.take_seen()[0].target.as_str()), (200, "/v2/things?a=1&b=2"));
            continue;
        }
        assert_eq!(answer.status, 401, "{what}");
        assert!(answer.head.contains("Signature realm="), "{}", answer.head);
    }
    let old = stack.get("/v2/things").signed(&stack.admin.key, Profile::Native, -61);
    assert_eq!(stack.send(&old).await.status, 401);
    let elsewhere = stack.test.get("/v2/things").by(&stack.admin.key);
    let mut replayed = elsewhere.clone();
    replayed.headers.insert("host", stack.host().parse().unwrap());
    assert_eq!(stack.send(&replayed).await.status, 401, "signed for another host");
    assert!(stack.take_seen().is_empty());

    let write = stack.request("POST", "/v2/things", &json!({})).by(&stack.admin.key);
    assert_eq!(stack.send(&write).await.status, 200);
    assert_eq!(stack.send(&write).await.status, 401, "a write passes once");
    assert_eq!(stack.take_seen().len(), 1);
}

async fn forwarded_headers_of_the_client_do_not_change_the_verified_request(kind: Kind) {
    let stack = Stack::start(kind, |settings| {
        settings.routes = vec![domain::route::Route::parse("GET /v2/things", "authenticated").unwrap()];
    })
    .await;
    let told = "X-Forwarded-Uri: /v2/things\r\nX-Forwarded-Method: GET\r\nX-Original-URI: /v2/things\r\n\
                X-Original-Method: GET\r\nX-Original-URL: /v2/things\r\nX-Rewrite-URL: /v2/things\r\n\
                X-HTTP-Method-Override: DELETE\r\nX-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\n";
    // The client signed /v2/things, which it may access.
    let mut client = stack.get("/v2/things").by(&stack.admin.key);
    "/v2/secrets".clone_into(&mut client.target);
    assert_eq!(stack.send_with(&client, told, "close").await.status, 401);
    "DELETE".clone_into(&mut client.method);
    assert_eq!(stack.send_with(&client, told, "close").await.status, 401);
    // The client signed a path that matches no route.
    let client = stack.get("/v2/secrets").by(&stack.admin.key);
    assert_eq!(stack.send_with(&client, told, "close").await.status, 403);
    let host = "X-Forwarded-Host: 127.0.0.1:8080\r\nX-Original-Host: 127.0.0.1:8080\r\n";
    let mut elsewhere = stack.test.get("/v2/things").by(&stack.admin.key);
    elsewhere.headers.insert("host", stack.host().parse().unwrap());
    assert_eq!(stack.send_with(&elsewhere, host, "close").await.status, 401);
    assert!(stack.take_seen().is_empty());

    // The verified request arrives without them.
    let client = stack.get("/v2/things").by(&stack.admin.key);
    assert_eq!(stack.send_with(&client, told, "close").await.status, 200);
    let [seen] = stack.take_seen().try_into().expect("one request");
    for name in ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"] {
        assert_eq!(seen.header(name), "", "{name}");
    }
}

async fn ambiguous_paths_do_not_arrive(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    for path in
        ["/a/../b", "/a/./b", "/a/%2e%2e/b", "/a%2fb", "/a%2Fb", "/a//b", "/a;b", "/a%5cb", "/a%3bb", "/a%252fb"]
    {
        let client = stack.get(path).by(&stack.admin.key);
        let answer = stack.send(&client).await;
        // Traefik resolves some of them before it asks, and the resolved path was not signed.
        assert!(answer.status == 400 || kind == Kind::Traefik && answer.status == 401, "{path}: {}", answer.head);
        assert!(stack.take_seen().is_empty(), "{path}");
    }
}

async fn repeated_headers_do_not_arrive(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let token = stack.test.bearer_token(&stack.admin.key).await;
    let signed = stack.get("/v2/things").by(&stack.admin.key);
    let unsigned = stack.get("/v2/things").bearer(&token);
    for (client, more) in [
        (&signed, format!("Signature: {}\r\n", signed.headers["signature"].to_str().unwrap())),
        (&signed, format!("Signature-Input: {}\r\n", signed.headers["signature-input"].to_str().unwrap())),
        (&signed, format!("Authorization: Bearer {token}\r\n")),
        (&signed, format!("Host: {}\r\n", stack.host())),
        (&unsigned, format!("Authorization: Bearer {token}\r\n")),
        (&signed, "Keyward-Workspace: acme\r\n".to_owned()),
    ] {
        let answer = stack.send_with(client, &more, "close").await;
        // Envoy's routes do not match two hosts.
        let is_refused = matches!(answer.status, 400 | 401) || kind.is_envoy() && answer.status == 404;
        assert!(is_refused, "{} for {more}", answer.status);
    }
    assert!(stack.take_seen().is_empty());
    assert_eq!(stack.send(&unsigned).await.status, 200);
}

async fn the_true_status_reaches_the_client(kind: Kind) {
    let stack = Stack::start(kind, |settings| {
        settings.routes = vec![domain::route::Route::parse("* /{workspace}/**", "workspace:admin").unwrap()];
        settings.rate_limits.per_key = 1;
    })
    .await;
    let bot = stack.test.service_account(&stack.workspace, &stack.admin, "ci-runner").await;
    let ask = |target: &str| stack.get(target).by(&bot.key);
    assert_eq!(stack.send(&ask("/acme/things")).await.status, 403);
    assert_eq!(stack.send(&ask("/other/things")).await.status, 404);
    for _ in 0..8 {
        assert_eq!(stack.send(&ask("/acme/things")).await.status, 403);
    }
    let answer = stack.send(&ask("/acme/things")).await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{}", answer.head);
    stack.test.app.close().await;
    assert_eq!(stack.send(&ask("/acme/things")).await.status, 503);
    assert!(stack.take_seen().is_empty());
    let anonymous = stack.request("POST", "/acme/things", &Value::Null);
    assert_eq!(stack.send(&anonymous).await.status, 503, "no request is verified");
}

async fn a_request_for_another_host_does_not_arrive(kind: Kind) {
    let stack = Stack::start(kind, |settings| {
        // The host of Keyward itself, on which signatures that do not cover the host are accepted.
        settings.encord_hosts = settings.proxied_hosts.clone();
    })
    .await;
    let token = stack.test.bearer_token(&stack.admin.key).await;
    let own = stack.get("/v2/things");
    for good in [own.clone().by(&stack.admin.key), own.clone().by_encord(&stack.admin.key), own.clone().bearer(&token)]
    {
        let answer = stack.send(&good).await;
        assert_eq!((answer.status, answer.body.contains("seen")), (200, true), "{}", answer.head);
    }
    assert_eq!(stack.take_seen().len(), 3);
    for host in ["evil.example", HOST, "127.0.0.1", "127.0.0.1:1", "localhost", ""] {
        let mut other = own.clone();
        other.headers.insert("host", host.parse().unwrap());
        let encord = own.clone().by_encord(&stack.admin.key).header("host", host);
        let signed = if host.is_empty() { encord.clone() } else { other.clone().by(&stack.admin.key) };
        for client in [signed, encord, other.bearer(&token)] {
            let answer = stack.send(&client).await;
            assert!(!answer.body.contains("seen"), "{host}: {}", answer.head);
            assert!(matches!(answer.status, 400 | 403 | 404 | 421), "{host}: {}", answer.status);
        }
    }
    assert!(stack.take_seen().is_empty());
}

async fn a_request_line_with_another_host_does_not_arrive(kind: Kind) {
    let stack = Stack::start(kind, |settings| settings.encord_hosts = settings.proxied_hosts.clone()).await;
    let own = stack.get("/v2/things");
    let mut elsewhere = own.clone();
    elsewhere.headers.insert("host", "evil.example".parse().unwrap());
    let through = async |client: &TestRequest<'_>, line: &str, host: &str| {
        let mut client = client.clone();
        line.clone_into(&mut client.target);
        client.headers.insert("host", host.parse().unwrap());
        stack.send(&client).await
    };
    let evil = "http://evil.example/v2/things";
    let ours = format!("http://{}/v2/things", stack.host());
    for client in [own.clone().by(&stack.admin.key), own.by_encord(&stack.admin.key), elsewhere.by(&stack.admin.key)] {
        for (line, host) in [(evil, stack.host().as_str()), (evil, "evil.example"), (&ours, "evil.example")] {
            let answer = through(&client, line, host).await;
            match stack.take_seen().as_slice() {
                [] => assert!(!answer.body.contains("seen")),
                // The host of the request line takes precedence (RFC 9112 §3.2.2). The nginx example refuses both.
                [seen] => {
                    let arrived = (line, seen.header("host"), seen.target.as_str());
                    assert_eq!(arrived, (ours.as_str(), stack.host().as_str(), "/v2/things"));
                    assert_ne!(kind, Kind::Nginx);
                }
                several => panic!("{several:?}"),
            }
        }
        let mut options = client.clone();
        "OPTIONS".clone_into(&mut options.method);
        let answer = through(&options, "*", &stack.host()).await;
        assert!(!answer.body.contains("seen") && stack.take_seen().is_empty(), "{}", answer.head);
    }
}

async fn a_fragment_does_not_hide_part_of_the_path(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let client = stack.get("/v2/things").by(&stack.admin.key);
    for target in ["/v2/things#x", "/v2/things#", "/v2/things?#x", "/v2/things#/../secrets"] {
        let mut client = client.clone();
        target.clone_into(&mut client.target);
        let answer = stack.send(&client).await;
        assert!(matches!(answer.status, 400 | 401), "{target}: {}", answer.head);
        assert!(stack.take_seen().is_empty(), "{target}");
    }
}

async fn tokens_and_cookies_of_keyward_do_not_arrive(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let token = stack.test.bearer_token(&stack.admin.key).await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let client = stack.get("/v2/things").header("authorization", &format!("{scheme} {token}"));
        assert_eq!(stack.send(&client).await.status, 200);
        let [seen] = stack.take_seen().try_into().expect("one request");
        assert_eq!(seen.header("remote-user"), "ada@example.com", "Keyward itself got it");
        let carried = seen.headers.iter().any(|(_, value)| value.to_str().is_ok_and(|value| value.contains("kwt_")));
        assert!(!carried && !seen.headers.contains_key("authorization"), "{:?}", seen.headers);
    }
    for (sent, arrived) in [
        ("keyward=s3cret", ""),
        ("keyward=s3cret; theme=dark", "theme=dark"),
        ("theme=dark; keyward=s3cret", "theme=dark"),
        ("a=1; __Host-keyward=s3cret; b=2; __Host-keyward-device=s3cret; c=3", "a=1; b=2; c=3"),
        ("keyward-device=s3cret;keyward=s3cret;a=1", "a=1"),
        ("a=1; keyward-device=s3cret; keyward=s3cret; keyward-notice=s3cret; b=2", "a=1; b=2"),
        ("mykeyward=1; keyward-theme=2; keywards=3", "mykeyward=1; keyward-theme=2; keywards=3"),
        ("a=keyward=1; b=2", "a=keyward=1; b=2"),
        ("keyward=s3cret; keyward=s3cret; keyward=s3cret; keyward=s3cret", ""),
    ] {
        let client = stack.get("/v2/things").by(&stack.admin.key);
        let answer = stack.send_with(&client, &format!("Cookie: {sent}\r\n"), "close").await;
        assert_eq!(answer.status, 200, "{sent}");
        let [seen] = stack.take_seen().try_into().expect("one request");
        // Traefik and Envoy cannot remove single cookies.
        let arrived = if kind == Kind::Traefik || kind.is_envoy() { "" } else { arrived };
        assert_eq!(seen.header("cookie").trim_end_matches([';', ' ']), arrived, "{sent}");
    }
}

async fn only_websocket_upgrades_are_opened(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let client = stack.get("/v2/live").by(&stack.admin.key);
    let handshake = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let answer = stack.send_with(&client, &format!("Upgrade: websocket\r\n{handshake}"), "Upgrade, close").await;
    assert_eq!(answer.status, 200, "this API does not switch: {}", answer.head);
    let [seen] = stack.take_seen().try_into().expect("one request");
    assert_eq!(seen.header("upgrade"), "websocket");
    assert!(seen.header("connection").to_lowercase().starts_with("upgrade"), "{:?}", seen.headers);
    // The proxy does not check a connection after it changed to another protocol.
    let client = stack.get("/v2/live").by(&stack.admin.key);
    let answer =
        stack.send_with(&client, "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", "close").await;
    assert_eq!(answer.status, 200);
    assert!(stack.take_seen().iter().all(|seen| seen.header("upgrade") != "h2c"));
}

async fn a_websocket_carries_bytes_in_both_directions(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let open = async |client: &TestRequest<'_>| {
        let mut head = format!("GET {} HTTP/1.1\r\n", client.target);
        for (name, value) in &client.headers {
            head.extend([name.as_str(), ": ", value.to_str().expect("ASCII"), "\r\n"]);
        }
        head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let mut stream = stack.connect().await;
        stream.write_all(head.as_bytes()).await.expect("the proxy reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("an answer"));
        }
        (stream, String::from_utf8(answer).expect("text"))
    };
    let (mut stream, answer) = open(&stack.get("/v2/echo").by(&stack.admin.key)).await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains(WEBSOCKET_ACCEPT), "{answer}");
    for sent in [&b"\x81\x04ping"[..], b"\x81\x05again"] {
        stream.write_all(sent).await.expect("it is open");
        let mut echoed = vec![0; sent.len()];
        stream.read_exact(&mut echoed).await.expect("it answers");
        assert_eq!(echoed, sent);
    }
    let (_, answer) = open(&stack.get("/v2/echo").by(&stack.test.new_key())).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

async fn a_refusal_is_a_problem_with_its_reason(kind: Kind) {
    let mut stack = Stack::start(kind, |settings| {
        let route = |pattern| domain::route::Route::parse(pattern, "workspace:admin").unwrap();
        settings.routes = vec![route("* /{workspace}/**")];
    })
    .await;
    let bot = stack.test.service_account(&stack.workspace, &stack.admin, "ci-runner").await;
    let by = |target: &str| stack.get(target).by(&bot.key);
    let old = stack.get("/acme/things").signed(&bot.key, Profile::Native, -61);
    for (client, status, code, reason) in [
        (stack.get("/acme/things"), 401, "unauthenticated", "missing"),
        (stack.get("/acme/things").by(&stack.test.new_key()), 401, "unauthenticated", "unauthenticated"),
        (old, 401, "unauthenticated", "stale"),
        (by("/acme/things"), 403, "forbidden", "forbidden"),
        (by("/other/things"), 404, "not_found", "not_found"),
        (by("/acme/a%2Fb"), 400, "invalid_request", "invalid_request"),
    ] {
        let answer = stack.send(&client).await;
        let head = answer.head.to_lowercase();
        assert_eq!(answer.status, status, "{reason}: {head}");
        assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{head}");
        if status == 401 || status == 403 || kind == Kind::Nginx {
            assert!(head.contains(&format!("\r\nkeyward-reason: {reason}\r\n")), "{head}");
        }
        for header in ["www-authenticate", "accept-signature", "want-content-digest"] {
            assert_eq!(head.contains(&format!("\r\n{header}: ")), status == 401, "{header}: {head}");
        }
        assert!(!head.contains("keyward-problem") || kind == Kind::Caddy, "{head}");
        let problem: Value = serde_json::from_str(&answer.body).expect("a problem");
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
        if reason == "stale" {
            assert_eq!(problem["reason"], "stale");
            assert!(problem["server_time"].is_string(), "{problem}");
        }
        if status == 400 {
            assert!(problem["detail"].as_str().unwrap().contains("`%2F`"), "{problem}");
        }
    }
    if kind == Kind::Nginx {
        stack.stop_keyward().await;
        let answer = stack.send(&stack.get("/acme/things").by(&stack.admin.key)).await;
        let problem: Value = serde_json::from_str(&answer.body).expect("a problem");
        assert_eq!((answer.status, &problem["code"]), (503, &json!("unavailable")));
        assert!(answer.head.contains("\r\nRetry-After: 1\r\n"), "{}", answer.head);
    }
    assert!(stack.take_seen().is_empty());
}

async fn a_refusal_is_explained_to_the_client_that_asks(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let mut client = stack.get("/v2/things?a=1").by(&stack.admin.key).header("keyward-explain", "1");
    "/v2/things?a=2".clone_into(&mut client.target);
    let answer = stack.send(&client).await;
    assert_eq!(answer.status, 401, "{}", answer.head);
    assert!(answer.head.to_lowercase().contains("\r\ncache-control: no-store\r\n"), "{}", answer.head);
    let problem: Value = serde_json::from_str(&answer.body).expect("a problem");
    let base = problem["explanation"]["signature_base"].as_str().unwrap_or_else(|| panic!("{problem}"));
    assert!(base.contains(&format!("\"@target-uri\": http://{}/v2/things?a=2\n", stack.host())), "{base}");
    assert!(stack.take_seen().is_empty());
}

async fn a_version_1_signature_is_refused_in_a_form_that_the_sdk_reads(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    let call = stack.request("POST", "/public", &json!({"query_type": "dataset"}));
    let signed = call.clone().header("authorization", &version_1_signature(&stack.admin.key, &call.body));
    for (call, reason) in [(signed, "encord_version_1"), (call.header("resourceid", "x"), "missing")] {
        let answer = stack.send(&call).await;
        let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!((answer.status, &problem["status"]), (401, &json!(401)));
        assert_eq!(problem["response"], json!(["AUTHENTICATION_ERROR"]), "{problem}");
        assert_eq!(problem["payload"], problem["detail"]);
        assert!(answer.head.to_lowercase().contains(&format!("\r\nkeyward-reason: {reason}\r\n")), "{}", answer.head);
    }
    assert!(stack.take_seen().is_empty());
}

async fn a_body_over_one_mebibyte_arrives_or_is_refused_by_the_proxy(kind: Kind) {
    let stack = Stack::start(kind, |_| {}).await;
    // With its quotes, one byte more.
    let body = Value::String("x".repeat(1024 * 1024 - 1));
    let client = stack.request("PUT", "/v2/large", &body).by(&stack.admin.key);
    let answer = stack.send(&client).await;
    if kind.passes_body() {
        // docs/proxies.md describes the setting that allows it.
        let status = if kind.is_envoy() { 413 } else { 401 };
        assert_eq!((answer.status, stack.take_seen().len()), (status, 0));
        return;
    }
    assert_eq!(answer.status, 200, "{}", answer.head);
    let [seen] = stack.take_seen().try_into().expect("one request");
    assert_eq!((seen.body.len(), seen.header("keyward-content-digest-verified")), (1024 * 1024 + 1, "false"));
    assert_eq!(seen.header("content-digest"), http_signature::content_digest(&seen.body), "what the API compares");
}

async fn an_encoded_slash_arrives_where_a_route_allows_it(kind: Kind) {
    let stack = Stack::start(kind, |settings| {
        let route = domain::route::Route::parse("* /packages/*", "authenticated").unwrap();
        settings.routes = vec![route.with_encoded(vec!["%2F".parse().unwrap()]).unwrap()];
    })
    .await;
    for target in ["/packages/@acme%2fcli?v=1", "/packages/@acme%2Fcli"] {
        if kind == Kind::Traefik && target.contains("%2f") {
            // It changes escapes to upper case before it asks.
            continue;
        }
        let client = stack.request("PUT", target, &json!({})).by(&stack.admin.key);
        assert_eq!(stack.send(&client).await.status, 200, "{target}");
        assert_eq!(stack.take_seen()[0].target, target);
    }
    let traversal = stack.get("/packages/a%2F..%2Fb").by(&stack.admin.key);
    assert_eq!(stack.send(&traversal).await.status, 400);
    assert!(stack.take_seen().is_empty());
}

async fn a_preflight_and_a_public_path_arrive_without_a_credential(kind: Kind) {
    let stack = Stack::start(kind, |settings| {
        settings.routes = vec![domain::route::Route::parse("GET /openapi.json", "anyone").unwrap()];
        settings.allow_preflights = true;
    })
    .await;
    let forged = "Remote-User: eve@example.com\r\nKeyward-Role: admin\r\nKeyward-Email-Verified: true\r\n";
    let origin = "Origin: https://app.example.com\r\n";
    let preflight = format!("{forged}{origin}Access-Control-Request-Method: PUT\r\n");
    for (method, target, more, status) in [
        ("GET", "/openapi.json", forged, 200),
        ("OPTIONS", "/v2/things", preflight.as_str(), 200),
        ("OPTIONS", "/v2/things", origin, 401),
        ("GET", "/v2/things", forged, 401),
    ] {
        let client = stack.request(method, target, &Value::Null);
        assert_eq!(stack.send_with(&client, more, "close").await.status, status, "{method} {target}");
        let seen = stack.take_seen();
        assert_eq!(seen.len(), usize::from(status == 200));
        for name in IDENTITY_HEADERS {
            assert!(seen.iter().all(|seen| seen.header(name).is_empty()), "{name}");
        }
    }
}

#[tokio::test]
async fn a_large_body_passes_envoy_and_traefik_as_the_documents_say() {
    let large = Value::String("x".repeat(3 * 512 * 1024));
    for (kind, line, other) in [
        (Kind::Envoy, "allow_partial_message: false", "allow_partial_message: true"),
        (Kind::EnvoyGrpc, "allow_partial_message: false", "allow_partial_message: true"),
        (Kind::Traefik, "forwardBody: true", "forwardBody: false"),
    ] {
        let edit = |text: &str| {
            assert!(text.contains(line));
            text.replace(line, other)
        };
        let stack = Stack::start_with(kind, edit, |_, _| {}).await;
        for (body, is_compared) in [(&large, false), (&json!({"a": 1}), kind.is_envoy())] {
            let client = stack.request("PUT", "/v2/large", body).by(&stack.admin.key);
            let answer = stack.send(&client).await;
            assert_eq!(answer.status, 200, "{kind:?}: {}", answer.body);
            let [seen] = stack.take_seen().try_into().expect("one request");
            assert_eq!(seen.body, client.body);
            assert_eq!(seen.header("keyward-content-digest-verified"), is_compared.to_string(), "{kind:?}");
        }
    }
}

async fn a_client_cannot_choose_its_rate_limited_address(kind: Kind) {
    let stack = Stack::start(kind, |settings| {
        settings.rate_limits = server::settings::RateLimits { per_address: 1, per_key: 0 };
    })
    .await;
    let mut statuses = Vec::new();
    for number in 0..11 {
        let told = format!(
            "X-Forwarded-For: 192.0.2.{number}\r\nX-Real-IP: 192.0.2.{number}\r\nX-Original-Address: 192.0.2.{number}\r\n"
        );
        let client = stack.get("/v2/things").by(&stack.test.new_key());
        statuses.push(stack.send_with(&client, &told, "close").await.status);
    }
    // The proxy uses the wall clock, which is not the test's clock.
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 429]);
}
