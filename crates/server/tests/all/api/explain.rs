//! `Keyward-Explain: 1`: what the response contains, and what it never contains.

use std::time::Duration;

use http_signature::Profile;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    proxies::forward_auth::{DIALECTS, ask, trust_local_proxies},
    support::{
        Actor, Answer, HOST, Key, TestApp, TestRequest,
        signing::{Draft, digest_of},
    },
};

const ME: &str = "/api/v1/me";
/// A value that a proxy adds for the API.
const SECRET: &str = "c4nary-shared-secret-of-a-proxy";

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    (test, admin, workspace)
}

trait Explained: Sized {
    fn explained(self) -> Self;
    fn from(self, address: &str) -> Self;
}

impl Explained for TestRequest<'_> {
    fn explained(self) -> Self {
        self.header("keyward-explain", "1")
    }

    fn from(mut self, address: &str) -> Self {
        self.address = address.parse().expect("an address");
        self
    }
}

/// Returns the explanation of a 401, which must not be cached.
#[track_caller]
fn explanation(answer: Answer) -> Value {
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    answer.expect_problem(401, "unauthenticated")["explanation"].clone()
}

/// Returns the replacement of a hidden value.
fn masked(value: &str) -> String {
    let hash = Sha256::digest(value).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
    format!("length={}, sha-256={hash}", value.len())
}

#[tokio::test]
async fn a_refused_request_gets_its_signature_base_as_it_arrived() {
    let (test, admin, workspace) = acme().await;
    let key = &admin.key;
    let draft = Draft::native(&test, key, "GET");
    let mut client = draft.sign(test.get("/api/v1/me?a=1"), key).explained();
    "/api/v1/me?a=%31".clone_into(&mut client.target);
    let told = explanation(client.clone().send().await);
    assert_eq!(told, json!({"signature_base": draft.base(&client)}), "{told}");
    assert!(draft.base(&client).contains("/api/v1/me?a=%31"));

    let projects = format!("/api/v1/workspaces/{workspace}/projects");
    let encord = Draft::encord(&test, key);
    let mut client = encord.sign(test.post(&projects, &json!({"title": "x"})), key).explained();
    "PUT".clone_into(&mut client.method);
    assert_eq!(explanation(client.clone().send().await)["signature_base"], encord.base(&client));

    let split = Draft::native(&test, key, "GET").without("@target-uri").with("\"@path\"").with("\"@query\"");
    let mut client = split.sign(test.get(ME), key).explained();
    "/api/v1/me/keys?limit=1".clone_into(&mut client.target);
    assert_eq!(explanation(client.clone().send().await)["signature_base"], split.base(&client));
}

#[tokio::test]
async fn an_unknown_a_revoked_and_a_wrong_key_are_explained_alike() {
    let (test, admin, _) = acme().await;
    let revoked = test.add_unused_key(&admin).await;
    test.delete(&format!("/api/v1/me/keys/{}", revoked.id)).by(&admin.key).send().await.expect(204);
    let told = async |key: &Key| {
        let draft = Draft::native(&test, &admin.key, "GET").set("keyid", &format!("\"{}\"", key.fingerprint));
        let client = draft.sign(test.get(ME), &test.new_key()).explained();
        let problem = client.send().await.expect_problem(401, "unauthenticated");
        // The client has sent the key id and the nonce itself.
        let base = problem["explanation"]["signature_base"].as_str().expect("a base").to_owned();
        assert!(base.contains(&key.fingerprint));
        let (components, _) = base.split_once("\"@signature-params\"").expect("parameters");
        (problem["detail"].clone(), problem.as_object().expect("a problem").len(), components.to_owned())
    };
    let unknown = told(&test.new_key()).await;
    assert_eq!(told(&revoked).await, unknown);
    assert_eq!(told(&admin.key).await, unknown);
}

#[tokio::test]
async fn explanations_need_a_request_for_them_and_do_not_affect_accepted_requests() {
    let (test, admin, workspace) = acme().await;
    for value in [None, Some("0"), Some(""), Some("11"), Some("true")] {
        let client = test.get(ME).by(&test.new_key());
        let client = match value {
            Some(value) => client.header("keyward-explain", value),
            None => client,
        };
        let problem = client.send().await.expect_problem(401, "unauthenticated");
        assert_eq!(problem.get("explanation"), None, "{value:?}");
    }
    let plain = test.get(ME).by(&admin.key).send().await;
    let asked = test.get(ME).by(&admin.key).explained().send().await;
    assert_eq!((asked.status.as_u16(), &asked.bytes), (200, &plain.bytes));
    let projects = format!("/api/v1/workspaces/{workspace}/projects");
    let create = test.post(&projects, &json!({"title": "x"})).by(&admin.key).explained();
    let created = create.clone().send().await.expect(201);
    assert_eq!(create.send().await.expect(201), created, "the same signed write again");
    let refused = test.get("/api/v1/workspaces/ws_01h455vb4pex5vsknk084sn02q").by(&admin.key).explained().send().await;
    assert_eq!(refused.expect_problem(404, "not_found").get("explanation"), None);
    for dialect in DIALECTS {
        let answer = ask(&test, dialect, &test.get("/v2/things").by(&admin.key).explained()).send().await;
        assert_eq!((answer.status.as_u16(), answer.header("remote-user")), (200, "ada@example.com"), "{dialect}");
    }
}

#[tokio::test]
async fn a_secret_that_a_proxy_adds_is_never_shown() {
    let (test, admin, _) = acme().await;
    let key = &admin.key;
    // A client without the key claims to have signed fields with unknown values.
    for keyless in [true, false] {
        let draft = Draft::native(&test, key, "GET")
            .with("\"x-internal-token\"")
            .with("\"cookie\"")
            .with("\"x-forwarded-for\"")
            .with("\"keyward-workspace\"")
            .with("\"x-absent\"");
        let request = test.get("/v2/things");
        let signer = if keyless { test.new_key() } else { key.clone() };
        let client = draft.sign(request, &signer);
        let mut direct = client.explained();
        for (name, value) in [
            ("x-internal-token", SECRET.to_owned()),
            ("x-internal-token", "second".to_owned()),
            ("cookie", format!("session={SECRET}")),
            ("keyward-workspace", "acme".to_owned()),
        ] {
            direct.headers.append(name, value.parse().expect("a value"));
        }
        let mut answers = vec![("direct", direct.clone().send().await)];
        for dialect in DIALECTS {
            let mut question = ask(&test, dialect, &direct);
            // Also headers that Envoy's example would not pass.
            for name in ["x-internal-token", "cookie"] {
                question.headers.remove(name);
                for value in direct.headers.get_all(name) {
                    question.headers.append(name, value.clone());
                }
            }
            answers.push((dialect, question.send().await));
        }
        for (from, answer) in answers {
            let headers = format!("{:?}", answer.headers);
            let body = String::from_utf8_lossy(&answer.bytes).into_owned();
            for shown in [&headers, &body] {
                assert!(!shown.contains(SECRET) && !shown.contains("acme"), "{from}: {shown}");
            }
            let told = explanation(answer);
            let base = told["signature_base"].as_str().unwrap_or_else(|| panic!("{from}: {told}"));
            let lines: Vec<_> = base.lines().collect();
            assert!(
                lines.contains(&format!("\"cookie\": {}", masked(&format!("session={SECRET}"))).as_str()),
                "{base}"
            );
            assert!(lines.contains(&format!("\"keyward-workspace\": {}", masked("acme")).as_str()), "{base}");
            let combined = format!("\"x-internal-token\": {}", masked(&format!("{SECRET}, second")));
            assert!(lines.contains(&combined.as_str()), "{from}: {base}");
            assert!(lines.contains(&"\"x-absent\": (missing)"), "{from}: {base}");
            assert!(told["detail"].as_str().expect("a text").contains("does not have"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_proxied_request_is_explained_as_its_client_sent_it() {
    let (test, admin, _) = acme().await;
    for dialect in DIALECTS {
        let draft = Draft::native(&test, &admin.key, "POST");
        let mut client = draft.sign(test.post("/v2/things?b=2", &json!({"a": 1})), &admin.key).explained();
        "/v2/things?b=3".clone_into(&mut client.target);
        let answer = ask(&test, dialect, &client).send().await;
        if dialect == "nginx" {
            let problem: Value = serde_json::from_str(answer.header("keyward-problem")).expect("the problem");
            assert_eq!(problem, answer.json(), "nginx passes this header on");
        }
        assert_eq!(explanation(answer)["signature_base"], draft.base(&client), "{dialect}");
    }
}

#[tokio::test]
async fn a_base_that_does_not_fit_into_a_header_of_nginx_leaves_the_problem() {
    let (test, admin, _) = acme().await;
    let long = format!("/v2/things?{}", "a".repeat(2000));
    let mut client = test.get(&long).signed(&admin.key, Profile::Native, -61).explained();
    let told = ask(&test, "nginx", &client).send().await;
    let problem: Value = serde_json::from_str(told.header("keyward-problem")).expect("the problem");
    assert_eq!((&problem["reason"], &problem["status"]), (&json!("stale"), &json!(401)));
    assert_eq!(problem["explanation"]["signature_base"], Value::Null);
    assert!(problem["explanation"]["detail"].as_str().expect("a text").contains("too long"), "{problem}");
    "/v2/other".clone_into(&mut client.target);
    assert!(explanation(ask(&test, "nginx", &client).send().await)["signature_base"].is_string());
}

#[tokio::test]
async fn errors_in_the_form_are_reported() {
    let (test, admin, _) = acme().await;
    let key = &admin.key;
    let draft = || Draft::native(&test, key, "GET");
    for (client, detail) in [
        (test.get(ME), "no signature arrived"),
        (test.get(ME).bearer("kwt_none"), "an Authorization header arrived, and no signature"),
        (test.get(ME).by(key).bearer("kwt_none"), "more than one credential"),
        (draft().set("tag", "").sign(test.get(ME), key), "tag=\"keyward\""),
        (draft().set("keyid", "").sign(test.get(ME), key), "`keyid`"),
        (draft().set("created", "\"now\"").sign(test.get(ME), key), "`created`"),
        (draft().with("\"x-absent\"").sign(test.get(ME), key), "\"x-absent\""),
        (draft().with("\"@scheme\"").sign(test.get(ME), key), "@scheme"),
        (test.get(ME).by(key).header("signature", "k"), "Signature"),
    ] {
        let told = explanation(client.explained().send().await);
        let in_words = told["detail"].as_str().unwrap_or_else(|| panic!("{detail}: {told}"));
        assert!(in_words.contains(detail), "{detail}: {in_words}");
    }
    let beyond = draft().with("\"@scheme\"").sign(test.get(ME), key).explained().from("192.0.2.2");
    let told = explanation(beyond.send().await);
    assert!(told["signature_base"].as_str().expect("a base").contains("\"@scheme\": (not supported)"), "{told}");
    let bare = test.get(ME).explained().from("192.0.2.2");
    assert_eq!(explanation(bare.send().await).get("signature_base"), None);
}

#[tokio::test]
async fn the_holder_gets_the_digest_of_the_received_body() {
    let (test, admin, workspace) = acme().await;
    let changed = b"{\"title\": \"changed\"}";
    let mut client = test
        .post(&format!("/api/v1/workspaces/{workspace}/projects"), &json!({"title": "x"}))
        .by(&admin.key)
        .explained();
    client.body = changed.to_vec();
    let received = json!({"length": changed.len(), "content_digest": digest_of(changed)});
    let problem = client.clone().send().await.expect_problem(401, "unauthenticated");
    assert_eq!((&problem["reason"], &problem["explanation"]["body"]), (&json!("digest_mismatch"), &received));
    assert_eq!(client.clone().by(&test.new_key()).send().await.json()["explanation"].get("body"), None);
    for dialect in ["traefik", "envoy"] {
        let mut proxied = test.post("/v2/things", &json!({"title": "x"})).by(&admin.key).explained();
        proxied.body = changed.to_vec();
        let mut question = ask(&test, dialect, &proxied);
        question.body = changed.to_vec();
        assert_eq!(explanation(question.send().await)["body"], received, "{dialect}");
    }
}

#[tokio::test]
async fn explanations_have_a_rate_of_their_own() {
    let (test, admin, _) = acme().await;
    let ask_from = async |address: &str| test.get(ME).by(&test.new_key()).explained().from(address).send().await;
    for _ in 0..10 {
        assert!(explanation(ask_from("192.0.2.1").await)["signature_base"].is_string());
    }
    let limited = ask_from("192.0.2.1").await;
    assert_eq!(limited.header("retry-after"), "1");
    let told = explanation(limited);
    assert_eq!((told.get("signature_base"), &told["retry_after"]), (None, &json!(1)));
    assert!(told["detail"].as_str().expect("a text").contains("ask again in 1 s"), "{told}");
    // Other clients get explanations, and other requests of this address are not affected.
    assert!(explanation(ask_from("192.0.2.2").await)["signature_base"].is_string());
    test.get(ME).by(&admin.key).explained().from("192.0.2.1").send().await.expect(200);
    test.advance(Duration::from_secs(1)).await;
    assert!(explanation(ask_from("192.0.2.1").await)["signature_base"].is_string());
    // Through a proxy, the client's address counts.
    for _ in 0..12 {
        let client = test.get("/v2/things").by(&test.new_key()).explained();
        ask(&test, "caddy", &client).header("x-forwarded-for", "192.0.2.8").send().await.expect(401);
    }
    let client = test.get("/v2/things").by(&test.new_key()).explained();
    let answer = ask(&test, "caddy", &client).header("x-forwarded-for", "192.0.2.9").send().await;
    assert!(explanation(answer)["signature_base"].is_string());
}

#[tokio::test]
async fn a_signature_of_another_host_is_explained_with_the_host_that_verifies() {
    let (test, admin, _) = acme().await;
    let other = test.get(ME).header("host", "other.example").by(&admin.key);
    let client = other.header("host", HOST).explained();
    let told = explanation(client.send().await);
    let base = told["signature_base"].as_str().expect("a base");
    assert!(base.contains(&format!("\"@authority\": {HOST}\n")), "{base}");
}
