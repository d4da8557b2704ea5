//! Keyward's own API and pages only accept requests for the hosts of the installation, regardless of the signature or
//! credential.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};
use server::{Settings, settings::RateLimits};

use crate::{
    proxies::forward_auth::{DIALECTS, ask, trust_local_proxies},
    support::browser::{Browser, PASSWORD},
    support::wire::{Running, assert_status, fixed},
    support::{Actor, FakeClock, HOST, Home, SeededRandom, TestApp},
};

const ME: &str = "/api/v1/me";
const ELSEWHERE: [&str; 9] = [
    "evil.example",
    "127.0.0.1",
    "127.0.0.1:8081",
    "127.0.0.2:8080",
    "127.0.0.1.evil.example:8080",
    "evil.localhost:8080",
    "localhost.:8080",
    "[::2]:8080",
    "0x7f000001:8080",
];

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    (test, admin, workspace)
}

#[tokio::test]
async fn a_signature_for_an_unlisted_host_is_refused() {
    let (test, admin, workspace) = acme().await;
    let token = test.bearer_token(&admin.key).await;
    let projects = format!("/api/v1/workspaces/{workspace}/projects");
    for host in ELSEWHERE {
        // Each is signed for exactly this host, and has a valid signature.
        let read = test.get(ME).header("host", host);
        let write = test.post(&projects, &json!({"title": "Elsewhere"})).header("host", host);
        for request in [
            read.clone().by(&admin.key),
            read.clone().by_encord(&admin.key),
            read.clone().bearer(&token),
            read,
            write.clone().by(&admin.key),
            write.clone().by_encord(&admin.key),
            write.bearer(&token),
        ] {
            let problem = request.send().await.expect_problem(421, "host_not_listed");
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(detail.contains(host) && detail.contains("`hosts`"), "{detail}");
        }
    }
    let items = test.get(&projects).by(&admin.key).send().await.expect(200);
    assert_eq!(items["items"], json!([]), "nothing was done");
}

#[tokio::test]
async fn every_route_and_page_refuses_an_unlisted_host_before_authentication() {
    let (test, admin, _) = acme().await;
    let document = test.get("/api/v1/openapi.json").send().await.expect(200);
    let mut routes: Vec<(String, String)> =
        server::list_page_routes().into_iter().map(|(method, path)| (method.to_string(), path)).collect();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let methods = operations.as_object().expect("operations").keys();
        routes.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    assert!(routes.len() > 100, "{}", routes.len());
    for path in [
        "/api/v1/openapi.json",
        "/v2/public/user/bearer-token",
        "/v2/public/projects",
        "/static/style.css",
        "/nowhere",
        "/auth/nowhere",
    ] {
        routes.push(("GET".to_owned(), path.to_owned()));
    }
    for (method, path) in routes {
        let path = path.replace(['{', '}'], "");
        let request = test.request(&method, &path, &Value::Null).header("host", "rebound.example:8080");
        let answer = request.by(&admin.key).send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (421, "host_not_listed"), "{method} {path}");
    }
    // Health checks know an IP address and no name.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(test.get(path).header("host", "10.0.0.7:8080").send().await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_names_of_this_machine_lead_to_a_server_on_loopback() {
    let (test, admin, _) = acme().await;
    for host in [HOST, "localhost:8080", "LocalHost:8080", "[::1]:8080"] {
        test.get(ME).header("host", host).by(&admin.key).send().await.expect(200);
    }
    // A signature is valid for one of them.
    let signed = test.get(ME).header("host", "localhost:8080").by(&admin.key);
    signed.header("host", HOST).send().await.expect_problem(401, "unauthenticated");
    // The names of a server on another machine are not.
    let far = TestApp::with_settings(|settings| settings.public_url = "https://keys.example.com".to_owned()).await;
    for host in [HOST, "localhost", "localhost:443", "[::1]"] {
        far.get(ME).header("host", host).send().await.expect_problem(421, "host_not_listed");
    }
}

#[tokio::test]
async fn a_listed_host_is_verified_under_the_scheme_that_it_is_listed_with() {
    let test = TestApp::with_settings(|settings| {
        settings.public_url = "https://Keys.Example.com:443".to_owned();
        settings.hosts = vec!["https://keys.internal:8443".to_owned(), "http://127.0.0.1:8080".to_owned()];
    })
    .await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for (host, scheme, status) in [
        ("keys.example.com", "https", 200),
        ("KEYS.example.com:443", "https", 200),
        ("keys.example.com", "http", 401),
        ("keys.internal:8443", "https", 200),
        ("keys.internal:8443", "http", 401),
        ("127.0.0.1:8080", "http", 200),
        ("127.0.0.1:8080", "https", 401),
        ("keys.internal", "https", 421),
        ("localhost:8080", "http", 421),
    ] {
        let mut request = test.get(ME).header("host", host);
        request.scheme = scheme;
        let answer = request.by(&admin.key).send().await;
        assert_eq!(answer.status.as_u16(), status, "{scheme}://{host}");
    }
    // The SDK's signature does not cover the host. It is accepted on hosts in `encord_hosts`, and at the public URL.
    test.get(ME).header("host", "keys.example.com").by_encord(&admin.key).send().await.expect(200);
    let answer = test.get(ME).header("host", "keys.internal:8443").by_encord(&admin.key).send().await;
    assert_eq!(answer.expect_problem(401, "unauthenticated")["reason"], "host_not_listed");
}

#[tokio::test]
async fn missing_or_repeated_hosts_are_400_over_http_1_and_http_2() {
    let (test, admin, _) = acme().await;
    let running = Running::start(&test);
    let signed = String::from_utf8(fixed(&test.get(ME).header("host", "evil.example").by(&admin.key))).unwrap();
    assert_status(&running.exchange(signed.as_bytes()).await, 421);
    let line = format!("GET {ME} HTTP/1.1\r\n");
    for target in [format!("http://evil.example{ME}"), format!("http://{HOST}{ME}"), "*".to_owned()] {
        let request = signed.replacen(&line, &format!("GET {target} HTTP/1.1\r\n"), 1);
        assert_status(&running.exchange(request.as_bytes()).await, 400);
    }
    let (mut send, connection) = h2::client::handshake(running.connect().await).await.expect("HTTP/2");
    tokio::spawn(async move {
        // It ends with the test.
        let _ = connection.await;
    });
    for (authority, host, status) in [
        (HOST, None, 200),
        ("evil.example", None, 421),
        ("evil.example", Some("evil.example"), 421),
        ("evil.example", Some(HOST), 400),
        (HOST, Some("evil.example"), 400),
    ] {
        let signed = test.get(ME).header("host", authority).by(&admin.key);
        let mut request =
            http::Request::builder().version(http::Version::HTTP_2).uri(format!("http://{authority}{ME}"));
        let headers = request.headers_mut().expect("a request");
        *headers = signed.headers;
        headers.remove("host");
        headers.extend(host.map(|host| (http::header::HOST, host.parse().expect("a host"))));
        let (answer, _) = send.send_request(request.body(()).expect("a request"), true).expect("it is sent");
        assert_eq!(answer.await.expect("an answer").status(), status, "{authority}, Host {host:?}");
    }
}

#[tokio::test]
async fn dns_rebinding_reaches_no_page() {
    let test = TestApp::new().await;
    let ada = Browser::signed_in(&test, "ada", true).await;
    for path in ["/", "/sign-in", "/operator/system", "/static/style.css"] {
        let request = ada.request("GET", path).header("host", "rebound.example:8080").header("accept", "text/html");
        let answer = request.send().await;
        let page = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert_eq!(answer.status.as_u16(), 421, "{path}");
        assert!(page.contains("<h1>") && page.contains("`hosts`") && !page.contains("name=\"csrf\""), "{page}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
    }
    let form = Browser::new(&test)
        .form("/sign-in", &[("email", "ada@example.com"), ("password", PASSWORD)])
        .header("host", "rebound.example:8080")
        .header("origin", "http://rebound.example:8080");
    let answer = form.send().await;
    assert_eq!(answer.status.as_u16(), 421);
    assert!(!answer.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn forms_come_from_the_listed_origins_however_the_operator_wrote_them() {
    let test = TestApp::with_settings(|settings| {
        settings.public_url = "HTTPS://Keys.Example.com:443".to_owned();
        settings.hosts = vec!["https://Keys.Internal:8443".to_owned()];
    })
    .await;
    crate::support::browser::create_user(&test, "ada", false).await;
    let sign_in = |host: &str, origin: &str| {
        Browser::new(&test)
            .form("/sign-in", &[("email", "ada@example.com"), ("password", PASSWORD)])
            .header("host", host)
            .header("origin", origin)
    };
    for (host, origin, status) in [
        ("keys.example.com", "https://keys.example.com", 303),
        ("keys.internal:8443", "https://keys.internal:8443", 303),
        ("keys.example.com", "http://keys.example.com", 403),
        ("keys.example.com", "https://keys.example.com:444", 403),
        ("keys.example.com", "https://evil.example", 403),
        ("keys.example.com", "http://127.0.0.1:8080", 403),
        ("keys.example.com", "null", 403),
    ] {
        let answer = sign_in(host, origin).send().await;
        assert_eq!(answer.status.as_u16(), status, "{origin} to {host}");
        assert_eq!(answer.header("set-cookie").starts_with("__Host-keyward"), status == 303, "{origin}");
    }
}

#[tokio::test]
async fn links_have_the_configured_origin_whatever_the_request_says() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    let mut browser = Browser::admin_of(&test, "beta", "bob").await;
    let claims = |name: &'static str, value: &str| (name, value.to_owned());
    for (name, value) in [
        claims("x-forwarded-host", "evil.example"),
        claims("x-forwarded-proto", "https"),
        claims("x-forwarded-prefix", "/evil"),
        claims("x-forwarded-server", "evil.example"),
        claims("forwarded", "for=192.0.2.1;host=evil.example;proto=https"),
        claims("x-original-host", "evil.example"),
        claims("x-original-url", "https://evil.example/"),
        claims("x-host", "evil.example"),
        claims("origin", "https://evil.example"),
        claims("referer", "https://evil.example/"),
    ] {
        let path = format!("/api/v1/workspaces/{workspace}/invitations");
        let invite = json!({"emails": [format!("{name}@example.com")], "role": "member"});
        let issued = test.post(&path, &invite).header(name, &value).by(&admin.key).send().await.expect(201);
        let url = issued["items"][0]["url"].as_str().expect("a link");
        assert!(url.starts_with(&format!("http://{HOST}/invitations/")), "{name}: {url}");
        let challenge = test.post("/api/v1/me/proof-challenges", &Value::Null).header(name, &value).by(&admin.key);
        assert_eq!(challenge.send().await.expect(201)["public_url"], format!("http://{HOST}"), "{name}");
        for page in ["/", "/sign-in", "/w/beta/invitations", "/help"] {
            let answer = browser.request("GET", page).header(name, &value).send().await;
            assert!(!String::from_utf8_lossy(&answer.bytes).contains("evil"), "{name}: {page}");
            assert!(!answer.header("location").contains("evil"), "{name}: {page}");
        }
    }
    browser.open("/w/beta/invitations").await;
    let form = browser
        .form("/w/beta/invitations", &[("emails", "eve@example.com"), ("role", "member"), ("csrf", &browser.csrf())]);
    let answer = form.header("x-forwarded-host", "evil.example").send().await;
    let page = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert!(page.contains(&format!("http://{HOST}/invitations/")) && !page.contains("evil"), "{page}");
}

#[tokio::test]
async fn forward_auth_accepts_listed_hosts_only() {
    let test = TestApp::with_settings(|settings| {
        trust_local_proxies(settings);
        settings.proxied_hosts = vec!["api.example.com:8000".to_owned(), "*.example.org".to_owned()];
        settings.encord_hosts = vec!["api.example.com:8000".to_owned()];
    })
    .await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let token = test.bearer_token(&admin.key).await;
    for dialect in DIALECTS {
        for host in ["api.example.com:8000", "API.Example.com:8000", "a.example.org", "b.example.org:80"] {
            let client = test.get("/v2/things").header("host", host).by(&admin.key);
            assert_eq!(ask(&test, dialect, &client).send().await.status, StatusCode::OK, "{dialect}: {host}");
        }
        // The host of Keyward itself is not in the list, and accepts no signature that does not cover the host.
        for host in [HOST, "localhost:8080", "evil.example", "api.example.com", "a.b.example.org", "a.example.org:81"] {
            let client = test.get("/v2/things").header("host", host);
            for client in [client.clone().by(&admin.key), client.clone().by_encord(&admin.key), client.bearer(&token)] {
                let answer = ask(&test, dialect, &client).send().await;
                let problem = answer.expect_problem(403, "host_not_listed");
                assert!(problem["detail"].as_str().expect("a detail").contains("`proxied_hosts`"), "{problem}");
            }
        }
    }
    let nothing = TestApp::with_settings(|settings| {
        trust_local_proxies(settings);
        settings.proxied_hosts.clear();
    })
    .await;
    let admin = nothing.user("ada", false).await;
    nothing.workspace("acme", &admin).await;
    for dialect in DIALECTS {
        let client = nothing.get("/v2/things").by(&admin.key);
        ask(&nothing, dialect, &client).send().await.expect_problem(403, "host_not_listed");
    }
}

#[tokio::test]
async fn a_websocket_handshake_is_verified_like_any_request() {
    let test = TestApp::with_settings(|settings| {
        trust_local_proxies(settings);
        settings.proxied_hosts.push("api.example.com".to_owned());
    })
    .await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for dialect in DIALECTS {
        let header = if dialect == "nginx" { "x-original-scheme" } else { "x-forwarded-proto" };
        let mut secure = test.get("/v2/live").header("host", "api.example.com");
        secure.scheme = "https";
        let secure = secure.by(&admin.key);
        let plain = test.get("/v2/live").by(&admin.key);
        for (client, scheme, status) in
            [(&plain, "ws", 200), (&secure, "wss", 200), (&plain, "wss", 401), (&secure, "ws", 401)]
        {
            let answer = ask(&test, dialect, client).header(header, scheme).send().await;
            assert_eq!(answer.status.as_u16(), status, "{dialect}: {scheme}");
        }
    }
}

#[tokio::test]
async fn new_identity_headers_are_refused_when_a_proxy_passes_them() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for name in ["keyward-scopes", "keyward-email-verified"] {
        for value in ["", "true", "invoices:read"] {
            let client = test.get("/v2/things").by(&admin.key);
            for dialect in DIALECTS {
                let answer = ask(&test, dialect, &client).header(name, value).send().await;
                let problem = answer.json();
                let status = if dialect == "nginx" { 403 } else { 400 };
                assert_eq!(
                    (answer.status.as_u16(), problem["status"].as_u64()),
                    (status, Some(400)),
                    "{dialect}: {name}"
                );
                let detail = problem["detail"].as_str().expect("a detail");
                assert!(detail.contains(name) && detail.contains("docs/proxies.md"), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn an_unreadable_client_address_is_rate_limited() {
    let test = TestApp::with_settings(|settings| {
        trust_local_proxies(settings);
        settings.rate_limits = RateLimits { per_address: 1, per_key: 0 };
    })
    .await;
    // At most ten at once for all names of one client: at a proxy, at the API and at the pages, which share the limit.
    for (names, counted) in [
        (["192.0.2.1", "192.0.2.1:51008", "203.0.113.9, 192.0.2.1:51009"], true),
        (["[2001:db8::7]:51008", "2001:db8::7", "[2001:db8::9]"], true),
        (["unknown", "", "unix:"], true),
        (["198.51.100.1", "198.51.100.2", "198.51.100.3"], false),
    ] {
        let mut refused = 0;
        for attempt in 0..24 {
            let name = names[attempt % 3];
            let request = match attempt % 4 {
                0 => test.get(ME),
                1 => ask(&test, "caddy", &test.get("/x").by(&test.new_key())),
                2 => test.get("/sign-in"),
                _ => ask(&test, "envoy", &test.get("/x").by(&test.new_key())),
            };
            let answer = request.header("x-forwarded-for", name).send().await;
            refused += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
        }
        assert_eq!(refused, if counted { 14 } else { 0 }, "{names:?}");
    }
    // nginx passes the address in its own header.
    let ask_nginx =
        |address: &str| ask(&test, "nginx", &test.get("/x").by(&test.new_key())).header("x-original-address", address);
    for attempt in 0..10 {
        let name = ["192.0.2.77", "192.0.2.77:4000"][attempt % 2];
        ask_nginx(name).send().await.expect(401);
    }
    assert_eq!(ask_nginx("192.0.2.77:4001").send().await.header("keyward-status"), "429");
    assert_eq!(ask_nginx("unix:").send().await.header("keyward-status"), "429", "it is the proxy's, used up above");
}

#[tokio::test]
async fn an_unreadable_client_address_is_logged_as_the_proxys() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    for (number, (told, logged)) in
        [("203.0.113.9:51008", "203.0.113.9"), ("[2001:db8::7]:51008", "2001:db8::7"), ("unknown", "127.0.0.1")]
            .into_iter()
            .enumerate()
    {
        let projects = format!("/api/v1/workspaces/{workspace}/projects");
        let create = test.post(&projects, &json!({"title": format!("Project {number}")})).by(&admin.key);
        create.header("x-forwarded-for", told).send().await.expect(201);
        let events = format!("/api/v1/workspaces/{workspace}/audit-events?action=project.create&limit=1");
        let events = test.get(&events).by(&admin.key).send().await.expect(200);
        assert_eq!(events["items"][0]["address"], logged, "{told}");
    }
}

#[tokio::test]
async fn a_token_expires_an_hour_after_its_signature_and_a_repeat_prolongs_nothing() {
    let (test, admin, _) = acme().await;
    let asked = test.get("/v2/public/user/bearer-token").by_encord(&admin.key);
    let token = |answer: Value| answer["token"].as_str().expect("a token").to_owned();
    let first = token(asked.clone().send().await.expect(200));
    test.advance(Duration::from_secs(290)).await;
    let again = token(asked.send().await.expect(200));
    for (wait, status) in [(3309, 200), (1, 401)] {
        test.advance(Duration::from_secs(wait)).await;
        for token in [&first, &again] {
            assert_eq!(test.get(ME).bearer(token).send().await.status.as_u16(), status);
        }
    }
}

#[tokio::test]
async fn a_token_is_refused_by_a_copy_with_another_public_url() {
    let (test, admin, _) = acme().await;
    let token = test.bearer_token(&admin.key).await;
    test.get(ME).bearer(&token).send().await.expect(200);
    let backup = test.directory.back_up(&test.app).await;
    // The same key and database with another public URL, as in a test of a restore.
    let copy = Home::restored_from(&test.directory, &backup);
    let (clock, random) = (Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(8)));
    let copy = TestApp::open(copy, clock, random, |settings: &mut Settings| {
        settings.public_url = "https://rehearsal.example.com".to_owned();
    })
    .await;
    let at_copy = |token: &str| copy.get(ME).header("host", "rehearsal.example.com").bearer(token);
    at_copy(&token).send().await.expect_problem(401, "unauthenticated");
    let mut asked = copy.get("/v2/public/user/bearer-token").header("host", "rehearsal.example.com");
    asked.scheme = "https";
    let own = asked.by(&admin.key).send().await.expect(200)["token"].as_str().expect("a token").to_owned();
    at_copy(&own).send().await.expect(200);
    test.get(ME).bearer(&own).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn operators_are_warned_when_all_clients_share_the_proxys_address() {
    let warned = async |change: fn(&mut Settings)| {
        let test = TestApp::with_settings(change).await;
        crate::support::browser::create_user(&test, "olga", true).await;
        let host = test.app.hosts().public().authority().to_owned();
        let origin = test.app.settings().public_url.clone();
        let form = Browser::new(&test).form("/sign-in", &[("email", "olga@example.com"), ("password", PASSWORD)]);
        let signed_in = form.header("host", &host).header("origin", &origin).send().await;
        let mut browser = Browser::new(&test);
        browser.keep_cookies(&signed_in);
        let page = browser.request("GET", "/operator/system").header("host", &host).send().await;
        let page = String::from_utf8(page.bytes).expect("UTF-8");
        assert!(page.contains("<h1>System</h1>"), "{page}");
        page.contains("All clients appear with the IP address of the proxy")
    };
    assert!(warned(|settings| settings.public_url = "https://keys.example.com".to_owned()).await);
    assert!(!warned(|_| {}).await);
    let with_proxy: fn(&mut Settings) = |settings| {
        settings.public_url = "https://keys.example.com".to_owned();
        settings.trusted_proxies = vec!["10.0.0.1".parse().expect("an address")];
    };
    assert!(!warned(with_proxy).await);
}
