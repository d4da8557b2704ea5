//! Statements of the finder of a private key: what they learn, and that they end the key everywhere.

use std::time::Duration;

use domain::leaked_key::{REVOKE_NAMESPACE, SCAN_NAMESPACE, revoke_message, scan_message};
use serde_json::{Value, json};

use super::key_limits::{limit, user};
use crate::{
    support::browser::Browser,
    support::{Actor, Answer, HOST, Key, TestApp},
};

const KEYS: &str = "/api/v1/me/keys";

/// Returns the public URL.
pub(super) fn url() -> String {
    format!("http://{HOST}")
}

/// Returns the request that revokes the key at this URL.
pub(super) fn revocation(key: &Key, url: &str) -> Value {
    let message = revoke_message(url, &key.fingerprint.parse().unwrap());
    json!({"statement": key.sign_for(REVOKE_NAMESPACE, &message)})
}

fn question(key: &Key, url: &str, signed_at: domain::Timestamp) -> Value {
    let message = scan_message(url, &key.fingerprint.parse().unwrap(), signed_at);
    json!({"signed_at": signed_at, "statement": key.sign_for(SCAN_NAMESPACE, &message)})
}

impl TestApp {
    async fn revoke_leaked(&self, body: &Value) -> Answer {
        self.post("/api/v1/leaked-keys/revoke", body).send().await
    }

    async fn find_leaked(&self, key: &Key) -> Value {
        let question = question(key, &url(), domain::Clock::now(self.clock.as_ref()));
        self.post("/api/v1/leaked-keys/find", &question).send().await.expect(200)
    }

    async fn leaks_in(&self, workspace: &str, admin: &Actor) -> Vec<Value> {
        let path = format!("/api/v1/workspaces/{workspace}/audit-events?action=api_key.leak");
        let events = self.get(&path).by(&admin.key).send().await.expect(200);
        events["items"].as_array().unwrap().clone()
    }
}

fn code(answer: Answer) -> (Value, Value) {
    let problem = answer.expect_problem(400, "invalid_request");
    (problem["errors"][0]["field"].clone(), problem["errors"][0]["code"].clone())
}

#[tokio::test]
async fn the_holder_of_a_private_key_ends_the_key() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let acme = test.workspace("acme", &ada).await;
    let bot = test.service_account(&acme, &ada, "bot").await;
    let laptop = test.add_unused_key(&ada).await;
    let of_bot = format!("/api/v1/workspaces/{acme}/service-accounts/{}/keys", bot.id);
    for (key, title, kind, own) in [(&laptop, "unused", "user", KEYS), (&bot.key, "bot", "service_account", &of_bot)] {
        let asked = test.find_leaked(key).await;
        let active = json!({"title": title, "owner_kind": kind, "state": "active", "revoked_at": null});
        assert_eq!(asked, json!({"fingerprint": key.fingerprint, "registration": active}));

        let statement = revocation(key, &url());
        let ended = test.revoke_leaked(&statement).await;
        assert!(!ended.header("keyward-confirmed").is_empty(), "every node has applied it");
        let ended = ended.expect(200);
        assert_eq!(ended["fingerprint"], key.fingerprint.as_str());
        let registration = &ended["registration"];
        assert_eq!((&registration["title"], &registration["state"]), (&json!(title), &json!("revoked")));
        assert!(registration["revoked_at"].is_string(), "{ended}");
        // Nothing else: no id, no owner, no workspace.
        assert_eq!((ended.as_object().unwrap().len(), registration.as_object().unwrap().len()), (2, 4));
        test.get("/api/v1/me").by(key).send().await.expect_problem(401, "unauthenticated");

        // The same statement again gets the same answer, later and by another caller, and so does the question.
        test.advance(Duration::from_hours(1)).await;
        assert_eq!(test.revoke_leaked(&statement).await.expect(200), ended);
        let by_bearer = test.post("/api/v1/leaked-keys/revoke", &statement).by(&ada.key).send().await;
        assert_eq!(by_bearer.expect(200), ended);
        assert_eq!(test.find_leaked(key).await, ended);

        let events = test.leaks_in(&acme, &ada).await;
        let event = events.iter().find(|event| event["target"] == key.id.as_str()).expect("an event");
        assert_eq!(event["principal"], "anonymous", "{event}");
        assert_eq!((&event["address"], &event["key"]), (&json!("127.0.0.1"), &Value::Null));
        assert_eq!(event["detail"]["fingerprint"], key.fingerprint.as_str());
        assert_eq!(events.iter().filter(|event| event["target"] == key.id.as_str()).count(), 1);

        // It was never used, and is blocked anyway.
        let body = json!({"title": "again", "public_key": key.openssh});
        let again = test.post(own, &body).by(&ada.key).send().await.expect_problem(409, "duplicate_key");
        assert_eq!(again["permanently_blocked"], true);
    }
    test.get("/api/v1/me").by(&ada.key).send().await.expect(200);
}

#[tokio::test]
async fn a_key_ends_itself_whatever_its_limits_are() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    // With a list of projects or workspaces, a key reaches `/me`, and could also revoke itself there.
    for (limits, prevent_a_deletion) in [
        ("cidrs=192.0.2.0/24", true),
        ("cidrs=", true),
        ("not_before=2099-01-01T00:00:00Z", true),
        ("scopes=keyward:read", true),
        ("scopes=", true),
        ("projects=", false),
        ("workspaces=", false),
    ] {
        let key = test.add_unused_key(&ada).await;
        limit(&test, user(&ada), &key, limits).await;
        if prevent_a_deletion {
            let deletion = test.delete(&format!("{KEYS}/{}", key.id)).by(&key).send().await;
            assert!(matches!(deletion.status.as_u16(), 401 | 403), "{limits}: {}", deletion.status);
        }
        assert_eq!(test.find_leaked(&key).await["registration"]["state"], "active", "{limits}");
        let ended = test.revoke_leaked(&revocation(&key, &url())).await.expect(200);
        assert_eq!(ended["registration"]["state"], "revoked", "{limits}");
        assert_eq!(test.find_leaked(&key).await, ended, "{limits}");
    }
    test.get("/api/v1/me").by(&ada.key).send().await.expect(200);
}

#[tokio::test]
async fn a_refused_credential_ends_the_request_and_revokes_nothing() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    let reader = test.add_unused_key(&ada).await;
    limit(&test, user(&ada), &reader, "scopes=keyward:read").await;
    let statement = revocation(&ada.key, &url());
    let now = domain::Clock::now(test.clock.as_ref());
    for (path, body) in [("find", question(&ada.key, &url(), now)), ("revoke", statement.clone())] {
        let request = || test.post(&format!("/api/v1/leaked-keys/{path}"), &body);
        for unknown in [request().by(&test.new_key()), request().bearer("kwt_x")] {
            unknown.send().await.expect_problem(401, "unauthenticated");
        }
        let by_reader = request().by(&reader).send().await;
        assert_eq!(by_reader.status.as_u16(), 403, "{path}");
        assert_eq!(by_reader.json()["required_scope"], "keyward:write", "{path}");
    }
    test.get("/api/v1/me").by(&ada.key).send().await.expect(200);
    test.revoke_leaked(&statement).await.expect(200);
    test.get("/api/v1/me").by(&ada.key).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_stranger_learns_nothing_about_keys_that_they_do_not_hold() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    let (registered, unknown) = (&ada.key, &test.new_key());
    let now = domain::Clock::now(test.clock.as_ref());
    let missing = json!({"fingerprint": unknown.fingerprint, "registration": null});
    assert_eq!(test.find_leaked(unknown).await, missing);
    assert_eq!(test.revoke_leaked(&revocation(unknown, &url())).await.expect(200), missing);
    assert_eq!(test.revoke_leaked(&revocation(unknown, &url())).await.expect(200), missing);

    // Without the private key, the answers about a registered key and an unknown one are the same.
    let answers = async |victim: &Key| {
        let mut answers = Vec::new();
        let fingerprint = victim.fingerprint.parse().unwrap();
        // Another key signs, and the public key in the statement is that of the victim.
        let of_key = |signed: String| {
            let swap = |text: &str, from: &Key, to: &Key| {
                use base64::{Engine as _, engine::general_purpose::STANDARD};
                let lines: Vec<&str> = text.lines().collect();
                let mut blob = STANDARD.decode(lines[1]).unwrap();
                let (from, to) = (from.public_bytes(), to.public_bytes());
                let at = blob.windows(32).position(|bytes| bytes == from).expect("the public key");
                blob[at..at + 32].copy_from_slice(&to);
                format!("{}\n{}\n{}\n", lines[0], STANDARD.encode(blob), lines[2])
            };
            swap(&signed, unknown, victim)
        };
        let revoke = of_key(unknown.sign_for(REVOKE_NAMESPACE, &revoke_message(&url(), &fingerprint)));
        let scan = of_key(unknown.sign_for(SCAN_NAMESPACE, &scan_message(&url(), &fingerprint, now)));
        answers.push(code(test.revoke_leaked(&json!({"statement": revoke})).await));
        let body = json!({"statement": scan, "signed_at": now});
        answers.push(code(test.post("/api/v1/leaked-keys/find", &body).send().await));
        answers
    };
    let told = answers(registered).await;
    assert_eq!(told, [(json!("statement"), json!("other_text")), (json!("statement"), json!("other_text"))]);
    assert_eq!(answers(&test.new_key()).await, told);
    test.get("/api/v1/me").by(registered).send().await.expect(200);
}

#[tokio::test]
async fn a_statement_is_for_one_purpose_one_installation_and_a_question_for_five_minutes() {
    let test = TestApp::with_settings(|settings| settings.hosts = vec!["https://keys.internal:8443".to_owned()]).await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    let now = domain::Clock::now(test.clock.as_ref());
    let find = async |body: &Value| test.post("/api/v1/leaked-keys/find", body).send().await;
    let fingerprint = ada.key.fingerprint.parse().unwrap();
    let other_text = (json!("statement"), json!("other_text"));
    let malformed = (json!("statement"), json!("malformed"));

    assert_eq!(code(test.revoke_leaked(&revocation(&ada.key, "https://evil.example.com")).await), other_text);
    assert_eq!(code(find(&question(&ada.key, "https://evil.example.com", now)).await), other_text);
    // A question is no revocation, and a proof is neither.
    let asked = question(&ada.key, &url(), now);
    assert_eq!(code(test.revoke_leaked(&json!({"statement": asked["statement"]})).await), malformed);
    let proof = json!({"statement": ada.key.prove(&ada.id, "challenge")});
    assert_eq!(code(test.revoke_leaked(&proof).await), malformed);
    let mixed = ada.key.sign_for(REVOKE_NAMESPACE, &scan_message(&url(), &fingerprint, now));
    assert_eq!(code(test.revoke_leaked(&json!({"statement": mixed})).await), other_text);
    for at in [now - Duration::from_secs(301), now + Duration::from_secs(61)] {
        assert_eq!(code(find(&question(&ada.key, &url(), at)).await), (json!("signed_at"), json!("stale")));
    }
    let mut later = asked.clone();
    later["signed_at"] = json!(now + Duration::from_secs(1));
    assert_eq!(code(find(&later).await), other_text, "the time is signed");
    let long = json!({"statement": "a".repeat(20_000)});
    assert_eq!(code(test.revoke_leaked(&long).await), malformed);
    test.get("/api/v1/me").by(&ada.key).send().await.expect(200);

    // At another host of the installation, its URL may be signed.
    let revoked = revocation(&ada.key, "https://keys.internal:8443");
    assert_eq!(code(test.revoke_leaked(&revoked).await), other_text);
    let mut there = test.post("/api/v1/leaked-keys/revoke", &revoked);
    there.headers.insert("host", "keys.internal:8443".parse().unwrap());
    there.send().await.expect(200);
    test.get("/api/v1/me").by(&ada.key).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn statements_are_limited_by_ip_address() {
    let test = TestApp::new().await;
    let body = json!({"statement": "no statement"});
    let send = async |address: [u8; 4], path: &str, body: &Value| {
        let mut request = test.post(path, body);
        request.address = address.into();
        request.send().await
    };
    let question = json!({"statement": "no statement", "signed_at": "2026-01-02T03:04:05Z"});
    for _ in 0..50 {
        send([192, 0, 2, 1], "/api/v1/leaked-keys/revoke", &body).await.expect(400);
        send([192, 0, 2, 1], "/api/v1/leaked-keys/find", &question).await.expect(400);
    }
    for (path, body) in [("/api/v1/leaked-keys/revoke", &body), ("/api/v1/leaked-keys/find", &question)] {
        let refused = send([192, 0, 2, 1], path, body).await;
        assert_eq!(refused.header("retry-after"), "1");
        refused.expect_problem(429, "rate_limited");
    }
    send([192, 0, 2, 2], "/api/v1/leaked-keys/revoke", &body).await.expect(400);
    test.clock.advance(Duration::from_millis(100));
    test.app.renew_lease().await.unwrap();
    send([192, 0, 2, 1], "/api/v1/leaked-keys/revoke", &body).await.expect(400);
    send([192, 0, 2, 1], "/api/v1/leaked-keys/revoke", &body).await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn the_holder_is_not_told_of_a_registration_that_they_reclaimed() {
    let test = TestApp::new().await;
    let (ada, eve) = (test.user("ada", false).await, test.user("eve", false).await);
    test.workspace("acme", &ada).await;
    test.workspace("evil", &eve).await;
    let key = test.new_key();
    let body = json!({"title": "secret project of eve", "public_key": key.openssh});
    test.post(KEYS, &body).by(&eve.key).send().await.expect(201);
    let challenge = test.post("/api/v1/me/proof-challenges", &Value::Null).by(&ada.key).send().await.expect(201);
    let proof = key.prove(&ada.id, challenge["challenge"].as_str().unwrap());
    let body = json!({"title": "mine", "public_key": key.openssh, "proof": proof});
    test.post(KEYS, &body).by(&ada.key).send().await.expect(201);
    assert_eq!(test.find_leaked(&key).await["registration"]["title"], "mine");
    let ended = test.revoke_leaked(&revocation(&key, &url())).await.expect(200);
    assert_eq!((&ended["registration"]["title"], &ended["registration"]["state"]), (&json!("mine"), &json!("revoked")));
}

#[tokio::test]
async fn pages_tell_the_owner_that_a_key_leaked() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let key = test.new_key();
    ada.open("/profile/api-keys/new").await;
    ada.submit("/profile/api-keys", &[("title", "laptop"), ("public_key", &key.openssh)]).await;
    let page = ada.path.clone();
    test.revoke_leaked(&revocation(&key, &url())).await.expect(200);
    ada.open(&page).await.sees("leaked and was revoked");
    ada.open("/w/acme/activity?action=api_key.leak").await.sees("A holder of the private key revoked it");
}
