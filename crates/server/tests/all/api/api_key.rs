//! API keys: which ones can be registered, by which callers, and how a key becomes inactive.

use std::{io::Write as _, process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{Actor, Answer, Key, TestApp};

const HOUR: Duration = Duration::from_hours(1);

/// Creates a workspace of Ada with a service account.
async fn acme() -> (TestApp, Actor, Actor, String) {
    let test = TestApp::with_settings(|s| s.support_contact = Some("help@example.com".to_owned())).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    (test, ada, bot, ws)
}

async fn register(test: &TestApp, by: &Key, path: &str, key: &Key) -> Answer {
    test.post(path, &json!({"title": "laptop", "public_key": key.openssh})).by(by).send().await
}

fn end_in(test: &TestApp, time: Duration) -> String {
    (domain::Clock::now(test.clock.as_ref()) + time).to_string()
}

#[tokio::test]
async fn titles_may_repeat_and_keys_may_not() {
    let (test, ada, bot, ws) = acme().await;
    let max = test.member(&ws, &ada, "max", "member").await;
    let of_bot = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys", bot.id);
    let key = test.new_key();
    let made = register(&test, &ada.key, &of_bot, &key).await.expect(201);
    assert_eq!(made["fingerprint"], key.fingerprint.as_str());
    assert_eq!(made["created_by"], ada.id.as_str());
    assert_eq!(made["created_with"], ada.key.id.as_str());
    assert_eq!((&made["state"], &made["algorithm"]), (&json!("active"), &json!("ssh-ed25519")));
    register(&test, &ada.key, &of_bot, &test.new_key()).await.expect(201);

    // Only a caller that may view the other key sees its location.
    for (by, visible) in [(&ada, true), (&max, false)] {
        let problem = register(&test, &by.key, "/api/v1/me/keys", &key).await.expect_problem(409, "duplicate_key");
        assert_eq!(problem["fingerprint"], key.fingerprint.as_str());
        assert_eq!(problem.get("key").is_some(), visible, "{problem}");
        assert_eq!(problem.get("owner").is_some(), visible, "{problem}");
        assert_eq!(problem.to_string().contains(&bot.id), visible, "{problem}");
    }
}

#[tokio::test]
async fn one_key_in_another_format_is_the_same_key() {
    let (test, ada, ..) = acme().await;
    let x = URL_SAFE_NO_PAD.encode(ada.key.public_bytes());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    // As a JSON object, and as text.
    for jwk in [jwk.clone(), json!(jwk.to_string())] {
        let body = json!({"title": "as a JWK", "public_key": jwk});
        test.post("/api/v1/me/keys", &body).by(&ada.key).send().await.expect_problem(409, "duplicate_key");
    }
    let fresh = test.new_key();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(fresh.public_bytes())});
    let body = json!({"title": "as an object", "public_key": jwk});
    let made = test.post("/api/v1/me/keys", &body).by(&ada.key).send().await.expect(201);
    assert_eq!(made["fingerprint"], fresh.fingerprint.as_str());
}

#[tokio::test]
async fn only_a_revoked_key_that_was_never_used_can_be_registered_again() {
    let (test, ada, ..) = acme().await;
    for (used, status) in [(true, 409), (false, 201)] {
        let key = test.new_key();
        let made = register(&test, &ada.key, "/api/v1/me/keys", &key).await.expect(201);
        if used {
            test.get("/api/v1/me").by(&key).send().await.expect(200);
        }
        let path = format!("/api/v1/me/keys/{}", made["id"].as_str().unwrap());
        test.delete(&path).by(&ada.key).send().await.expect(204);
        assert_eq!(test.get(&path).by(&ada.key).send().await.expect(200)["state"], "revoked", "it stays listed");
        register(&test, &ada.key, "/api/v1/me/keys", &key).await.expect(status);
    }
}

#[tokio::test]
async fn a_proof_made_with_ssh_keygen_reclaims_a_key_registered_by_another_user() {
    let (test, ada, ..) = acme().await;
    let eve = test.user("eve", false).await;
    test.workspace("evil", &eve).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("id_ed25519");
    let made =
        std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status();
    assert!(made.unwrap().success());
    let public_key = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    let fingerprint = domain::PublicKey::parse(&public_key).unwrap().key.fingerprint().to_string();
    let sign = |message: &str| {
        let mut signer = std::process::Command::new("ssh-keygen");
        signer.args(["-q", "-Y", "sign", "-n", "keyward-proof", "-f"]).arg(&file);
        let mut signer = signer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        signer.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
        String::from_utf8(signer.wait_with_output().unwrap().stdout).unwrap()
    };
    let body = |proof: Option<String>| match proof {
        Some(proof) => json!({"title": "mine", "public_key": public_key, "proof": proof}),
        None => json!({"title": "mine", "public_key": public_key}),
    };
    let keys = "/api/v1/me/keys";
    let unproven = test.post(keys, &body(None)).by(&eve.key).send().await.expect(201);
    test.post(keys, &body(None)).by(&ada.key).send().await.expect_problem(409, "duplicate_key");

    let challenge = async |by: &Key| {
        let challenge = test.post("/api/v1/me/proof-challenges", &Value::Null).by(by).send().await.expect(201);
        challenge["challenge"].as_str().unwrap().to_owned()
    };
    let message = |owner: &str, challenge: &str| {
        format!("keyward-proof\nhttp://{}\n{owner}\n{fingerprint}\n{challenge}\n", crate::support::HOST)
    };
    let (mine, hers) = (challenge(&ada.key).await, challenge(&eve.key).await);
    for (owner, challenge) in [(&eve.id, &mine), (&ada.id, &hers)] {
        let proof = sign(&message(owner, challenge));
        let problem = test.post(keys, &body(Some(proof))).by(&ada.key).send().await;
        assert_eq!(problem.expect_problem(400, "invalid_request")["errors"][0]["code"], "no_challenge");
    }
    let proof = sign(&message(&ada.id, &mine));
    test.post(keys, &body(Some(proof.clone()))).by(&ada.key).send().await.expect(201);
    let path = format!("{keys}/{}", unproven["id"].as_str().unwrap());
    assert_eq!(test.get(&path).by(&eve.key).send().await.expect(200)["state"], "revoked");

    // A challenge works once, within five minutes. A proven registration cannot be reclaimed.
    let again = test.post(keys, &body(Some(proof))).by(&ada.key).send().await;
    assert_eq!(again.expect_problem(400, "invalid_request")["errors"][0]["code"], "no_challenge");
    let proof = sign(&message(&eve.id, &hers));
    test.post(keys, &body(Some(proof.clone()))).by(&eve.key).send().await.expect_problem(409, "duplicate_key");
    test.advance(Duration::from_mins(5)).await;
    let late = test.post(keys, &body(Some(proof))).by(&eve.key).send().await;
    assert_eq!(late.expect_problem(400, "invalid_request")["errors"][0]["code"], "no_challenge");
}

#[tokio::test]
async fn a_signature_that_verified_counts_as_a_use_although_the_request_was_refused() {
    let (test, ada, ..) = acme().await;
    let key = test.new_key();
    let made = register(&test, &ada.key, "/api/v1/me/keys", &key).await.expect(201);
    let path = format!("/api/v1/me/keys/{}", made["id"].as_str().unwrap());
    test.post(&format!("{path}/disable"), &Value::Null).by(&ada.key).send().await.expect(200);
    // Any client can send the id of a key. A request with an invalid signature is not a use of it.
    let mut forged = test.get("/api/v1/me").by(&key);
    forged.target = "/api/v1/workspaces".to_owned();
    forged.send().await.expect_problem(401, "unauthenticated");
    test.delete(&path).by(&ada.key).send().await.expect(204);
    let made = register(&test, &ada.key, "/api/v1/me/keys", &key).await.expect(201);
    let path = format!("/api/v1/me/keys/{}", made["id"].as_str().unwrap());
    test.post(&format!("{path}/disable"), &Value::Null).by(&ada.key).send().await.expect(200);
    let refused = test.get("/api/v1/me").by(&key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused["reason"], "key_disabled");
    test.delete(&path).by(&ada.key).send().await.expect(204);
    let problem = register(&test, &ada.key, "/api/v1/me/keys", &key).await.expect_problem(409, "duplicate_key");
    assert_eq!(problem["permanently_blocked"], true);
}

#[tokio::test]
async fn a_restart_since_registration_counts_as_use_of_the_key() {
    let (test, ada, ..) = acme().await;
    let before = test.new_key();
    let made = register(&test, &ada.key, "/api/v1/me/keys", &before).await.expect(201);
    let test = test.restart().await;
    let after = test.new_key();
    let also = register(&test, &ada.key, "/api/v1/me/keys", &after).await.expect(201);
    for key in [&made, &also] {
        let path = format!("/api/v1/me/keys/{}", key["id"].as_str().unwrap());
        test.delete(&path).by(&ada.key).send().await.expect(204);
    }
    let problem = register(&test, &ada.key, "/api/v1/me/keys", &before).await.expect_problem(409, "duplicate_key");
    assert_eq!(problem["permanently_blocked"], true);
    // A node that stopped after it had applied a revocation has reported its uses.
    let test = test.restart().await;
    register(&test, &ada.key, "/api/v1/me/keys", &after).await.expect(201);
}

#[tokio::test]
async fn a_cascading_revocation_reaches_keys_created_by_a_revoked_key() {
    let (test, ada, bot, ws) = acme().await;
    let of_bot = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys", bot.id);
    let (child, grandchild, bystander) = (test.new_key(), test.new_key(), test.new_key());
    let made = register(&test, &ada.key, "/api/v1/me/keys", &child).await.expect(201);
    register(&test, &child, &of_bot, &grandchild).await.expect(201);
    let spare = test.add_key(server::app::KeyOwner::User(ada.id.parse().unwrap()), "spare").await;
    register(&test, &spare, &of_bot, &bystander).await.expect(201);
    test.delete(&format!("/api/v1/me/keys/{}", made["id"].as_str().unwrap())).by(&child).send().await.expect(204);
    test.get("/api/v1/me").by(&grandchild).send().await.expect(200);

    let path = format!("/api/v1/me/keys/{}?cascade=true", ada.key.id);
    test.delete(&path).by(&spare).send().await.expect(204);
    for revoked in [&ada.key, &child, &grandchild] {
        test.get("/api/v1/me").by(revoked).send().await.expect_problem(401, "unauthenticated");
    }
    test.get("/api/v1/me").by(&bystander).send().await.expect(200);
}

#[tokio::test]
async fn a_service_account_has_at_most_five_active_keys() {
    let (test, ada, bot, ws) = acme().await;
    let keys = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys", bot.id);
    let mut made = Vec::new();
    for number in 0..4 {
        let end = (number == 0).then(|| end_in(&test, HOUR));
        let body = json!({"title": "k", "public_key": test.new_key().openssh, "expires_at": end});
        let key = test.post(&keys, &body).by(&ada.key).send().await.expect(201);
        made.push(format!("{keys}/{}", key["id"].as_str().unwrap()));
    }
    let one_more = async || register(&test, &ada.key, &keys, &test.new_key()).await;
    test.post(&format!("{}/disable", made[1]), &Value::Null).by(&ada.key).send().await.expect(200);
    let problem = one_more().await.expect_problem(409, "quota_exceeded");
    assert_eq!((&problem["limit"], &problem["support_contact"]), (&json!(5), &json!("help@example.com")));
    test.delete(&made[2]).by(&ada.key).send().await.expect(204);
    one_more().await.expect(201);

    // An expired key does not count towards the quota. Extending it checks the quota again.
    test.advance(HOUR).await;
    one_more().await.expect(201);
    let enable = format!("{}/enable", made[0]);
    let problem = test.post(&enable, &Value::Null).by(&ada.key).send().await;
    problem.expect_problem(409, "key_expired");
    let later = json!({"expires_at": null});
    test.post(&enable, &later).by(&ada.key).send().await.expect_problem(409, "quota_exceeded");
    test.patch(&made[0], &later).by(&ada.key).send().await.expect_problem(409, "quota_exceeded");
    test.delete(&made[3]).by(&ada.key).send().await.expect(204);
    assert_eq!(test.post(&enable, &later).by(&ada.key).send().await.expect(200)["state"], "active");
}

#[tokio::test]
async fn a_users_key_quota_is_the_largest_of_their_workspaces() {
    let (test, ada, _, ws) = acme().await;
    let small = test.workspace("small", &ada).await;
    for (ws, limit) in [(&ws, 1), (&small, 2)] {
        test.raise_quotas(ws, limit).await;
    }
    register(&test, &ada.key, "/api/v1/me/keys", &test.new_key()).await.expect(201);
    let problem = register(&test, &ada.key, "/api/v1/me/keys", &test.new_key()).await;
    assert_eq!(problem.expect_problem(409, "quota_exceeded")["limit"], 2);
}

#[tokio::test]
async fn a_key_expires_to_the_second_and_its_holder_gets_the_reason() {
    let (test, ada, ..) = acme().await;
    let key = test.new_key();
    let body = json!({"title": "k", "public_key": key.openssh, "expires_at": end_in(&test, HOUR)});
    let made = test.post("/api/v1/me/keys", &body).by(&ada.key).send().await.expect(201);
    let path = format!("/api/v1/me/keys/{}", made["id"].as_str().unwrap());
    let me = async || test.get("/api/v1/me").by(&key).send().await;

    test.post(&format!("{path}/disable"), &Value::Null).by(&ada.key).send().await.expect(200);
    assert_eq!(me().await.expect_problem(401, "unauthenticated")["reason"], "key_disabled");
    test.post(&format!("{path}/enable"), &Value::Null).by(&ada.key).send().await.expect(200);
    test.advance(Duration::from_secs(3599)).await;
    me().await.expect(200);
    test.advance(Duration::from_secs(1)).await;
    assert_eq!(me().await.expect_problem(401, "unauthenticated")["reason"], "key_expired");
    test.patch(&path, &json!({"expires_at": end_in(&test, HOUR)})).by(&ada.key).send().await.expect(200);
    me().await.expect(200);

    // The response for a revoked key is the same as for one that never existed.
    test.delete(&path).by(&ada.key).send().await.expect(204);
    let unknown = test.get("/api/v1/me").by(&test.new_key()).send().await;
    assert_eq!(me().await.bytes, unknown.bytes);
    for change in ["disable", "enable"] {
        let answer = test.post(&format!("{path}/{change}"), &Value::Null).by(&ada.key).send().await;
        answer.expect_problem(409, "key_revoked");
    }
    test.patch(&path, &json!({"title": "again"})).by(&ada.key).send().await.expect_problem(409, "key_revoked");
    test.delete(&path).by(&ada.key).send().await.expect(204);
}

#[tokio::test]
async fn an_expiry_date_must_be_in_the_future() {
    let (test, ada, ..) = acme().await;
    let body = json!({"title": "k", "public_key": test.new_key().openssh, "expires_at": end_in(&test, Duration::ZERO)});
    let problem = test.post("/api/v1/me/keys", &body).by(&ada.key).send().await;
    assert_eq!(problem.expect_problem(400, "invalid_request")["errors"][0]["field"], "expires_at");
}

#[tokio::test]
async fn an_unknown_field_is_refused() {
    let (test, ada, bot, _) = acme().await;
    for (field, value) in [
        ("owner", bot.id.as_str()),
        ("owner_id", &bot.id),
        ("id", &bot.key.id),
        ("created_by", &bot.id),
        ("state", "active"),
        ("fingerprint", "x"),
    ] {
        let mut body = json!({"title": "k", "public_key": test.new_key().openssh});
        body[field] = value.into();
        let problem = test.post("/api/v1/me/keys", &body).by(&ada.key).send().await;
        problem.expect_problem(400, "invalid_request");
        let path = format!("/api/v1/me/keys/{}", ada.key.id);
        test.patch(&path, &json!({field: value})).by(&ada.key).send().await.expect_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_private_key_is_refused_and_not_echoed() {
    let (test, ada, ..) = acme().await;
    let secret = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUCANARY";
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": secret});
    let as_string = |pasted: String| json!(pasted);
    for pasted in [
        as_string(format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{secret}\n-----END OPENSSH PRIVATE KEY-----\n")),
        as_string(format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----")),
        as_string(format!("PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{secret}")),
        as_string(jwk.to_string()),
        jwk,
    ] {
        let body = json!({"title": "oops", "public_key": pasted});
        let answer = test.post("/api/v1/me/keys", &body).by(&ada.key).send().await;
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("CANARY"));
        let problem = answer.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "public_key");
        assert_eq!(problem["errors"][0]["code"], "private_key_pasted", "{pasted}");
    }
    test.app.write_records().await.unwrap();
    for file in std::fs::read_dir(test.directory.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"CANARY"), "{}", path.display());
    }
}

#[tokio::test]
async fn a_service_account_sees_its_keys_and_manages_none() {
    let (test, ada, bot, ws) = acme().await;
    let account = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
    test.patch(&account, &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
    let seen = test.get("/api/v1/me/keys").by(&bot.key).send().await.expect(200);
    assert_eq!(seen["items"][0]["id"], bot.key.id.as_str());
    for keys in ["/api/v1/me/keys".to_owned(), format!("{account}/keys")] {
        register(&test, &bot.key, &keys, &test.new_key()).await.expect_problem(403, "forbidden");
        test.delete(&format!("{keys}/{}", bot.key.id)).by(&bot.key).send().await.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_listed_key_shows_when_and_from_where_it_was_used() {
    let (test, ada, ..) = acme().await;
    let path = format!("/api/v1/me/keys/{}", ada.key.id);
    test.advance(HOUR).await;
    let mut request = test.get("/api/v1/me").by(&ada.key);
    request.address = "192.0.2.7".parse().unwrap();
    request.send().await.expect(200);
    test.app.write_records().await.unwrap();
    let key = test.get(&path).by(&ada.key).send().await.expect(200);
    assert_eq!(key["last_used_at"], end_in(&test, Duration::ZERO));
    assert_eq!(key["last_used_ip"], "192.0.2.7");
}

#[tokio::test]
async fn a_cascading_revocation_revokes_exactly_the_keys_in_its_preview() {
    let test = TestApp::new().await;
    let (ada, eve) = (test.user("ada", false).await, test.user("eve", false).await);
    let (acme, other) = (test.workspace("acme", &ada).await, test.workspace("other", &eve).await);
    test.raise_quotas(&acme, 9).await;
    test.join(&other, &eve, &ada, "admin").await;
    let (boss, bot) = (test.service_account(&acme, &ada, "boss").await, test.service_account(&acme, &ada, "bot").await);
    let abroad = test.service_account(&other, &eve, "bot").await;
    let account = |ws: &str, of: &Actor| format!("/api/v1/workspaces/{ws}/service-accounts/{}", of.id);
    test.patch(&account(&acme, &boss), &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
    let register_for = async |by: &Key, path: &str| {
        let mut key = test.new_key();
        let made = register(&test, by, path, &key).await.expect(201);
        made["id"].as_str().expect("an id").clone_into(&mut key.id);
        key
    };
    // Ada's key registers another one of hers, which registers a key of the service account `boss`, which registers one
    // of `bot`.
    let root = register_for(&ada.key, "/api/v1/me/keys").await;
    let of_boss = register_for(&root, &format!("{}/keys", account(&acme, &boss))).await;
    let of_bot = register_for(&of_boss, &format!("{}/keys", account(&acme, &bot))).await;
    let of_abroad = register_for(&root, &format!("{}/keys", account(&other, &abroad))).await;
    // In a workspace whose admin she no longer is, she may not revoke keys.
    let member = format!("/api/v1/workspaces/{other}/members/{}", ada.id);
    test.patch(&member, &json!({"role": "member"})).by(&eve.key).send().await.expect(200);

    let path = format!("/api/v1/me/keys/{}", root.id);
    let listed = test.get(&format!("{path}/cascade")).by(&ada.key).send().await.expect(200);
    let cascade: Vec<(&str, &str)> = listed["keys"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|key| (key["fingerprint"].as_str().expect("a text"), key["owner_email"].as_str().expect("a text")))
        .collect();
    let mut expected = vec![
        (of_boss.fingerprint.as_str(), "boss@acme.sa.keyward.local"),
        (of_bot.fingerprint.as_str(), "bot@acme.sa.keyward.local"),
    ];
    expected.sort_by_key(|(fingerprint, _)| cascade.iter().position(|(listed, _)| listed == fingerprint));
    assert_eq!(cascade, expected, "{listed}");
    assert_eq!(listed["keys"][0]["state"], "active");

    test.delete(&format!("{path}?cascade=true")).by(&ada.key).send().await.expect(204);
    for key in [&root, &of_boss, &of_bot] {
        test.get("/api/v1/me").by(key).send().await.expect_problem(401, "unauthenticated");
    }
    test.get("/api/v1/me").by(&of_abroad).send().await.expect(200);
    let left = test.get(&format!("{path}/cascade")).by(&ada.key).send().await.expect(200);
    assert_eq!(left, json!({"keys": []}));
    test.get(&format!("{path}/cascade")).by(&eve.key).send().await.expect_problem(404, "not_found");
}
