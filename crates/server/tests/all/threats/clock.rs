//! THREATS §2: every time limit, one second before and after it, and the responses for a holder and for a client
//! without the key.

use domain::Clock as _;
use http_signature::Profile;
use serde_json::json;

use crate::{
    support::signing::{Draft, assert_refused_with, assert_refused_without_key_details},
    support::{Actor, TestApp},
};

const ME: &str = "/api/v1/me";

async fn acme() -> (TestApp, Actor) {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    (test, admin)
}

#[tokio::test]
async fn a_signature_is_valid_within_its_window_to_the_second() {
    let (test, admin) = acme().await;
    let cases = [
        (Profile::Native, -61, Some("stale")),
        // It is within the window, but its own 60 s have passed.
        (Profile::Native, -60, Some("unacceptable")),
        (Profile::Native, -59, None),
        (Profile::Native, 30, None),
        (Profile::Native, 31, Some("early")),
        (Profile::Encord, -301, Some("stale")),
        (Profile::Encord, -300, None),
        (Profile::Encord, 60, None),
        (Profile::Encord, 61, Some("early")),
    ];
    for (profile, seconds_off, refused) in cases {
        let answer = test.get(ME).signed(&admin.key, profile, seconds_off).send().await;
        match refused {
            None => _ = answer.expect(200),
            Some(reason) => {
                let told = assert_refused_with(answer, reason);
                assert!(told.contains("server time 2026-01-02T03:04:05Z"), "{told}");
            }
        }
        let forged = Draft::native(&test, &admin.key, "GET").sign(test.get(ME), &test.new_key());
        assert_refused_without_key_details(forged.send().await, "a stranger learns no time");
    }
    for profile in [Profile::Native, Profile::Encord] {
        for seconds_off in [-412, 412] {
            let told = test.get(ME).signed(&admin.key, profile, seconds_off).send().await.expect(401)["detail"].clone();
            assert!(told.as_str().unwrap().contains("412 s"), "{told}");
            let strange = test.get(ME).signed(&test.new_key(), profile, seconds_off);
            assert_refused_without_key_details(strange.send().await, "an unknown key, out of its window");
        }
    }
}

#[tokio::test]
async fn a_signature_is_refused_after_it_expires() {
    let (test, admin) = acme().await;
    let signed_at = test.clock.now().as_second();
    for (profile, last) in [(Profile::Native, 59), (Profile::Encord, 300)] {
        test.set_wall(signed_at).await;
        let signed = test.get(ME).signed(&admin.key, profile, 0);
        for (after, accepted) in [(0, true), (last, true), (last + 1, false), (last + 2, false)] {
            test.set_wall(signed_at + after).await;
            let status = signed.clone().send().await.status;
            assert_eq!(status == 200, accepted, "{profile:?} after {after} s: {status}");
        }
    }
}

#[tokio::test]
async fn expires_is_after_now_and_at_most_a_minute_after_created() {
    let (test, admin) = acme().await;
    let now = test.clock.now().as_second();
    for (created, expires, accepted) in [
        (now, now + 1, true),
        (now, now, false),
        (now - 10, now, false),
        (now - 10, now + 1, true),
        (now, now + 60, true),
        (now, now + 61, false),
        (now - 30, now + 30, true),
        (now - 30, now + 31, false),
        (now + 20, now + 20, true),
        (now + 20, now + 19, false),
        (now, 999_999_999_999_999, false),
        (0, now + 1, false),
    ] {
        let draft = Draft::native(&test, &admin.key, "GET")
            .set("created", &created.to_string())
            .set("expires", &expires.to_string());
        let answer = draft.sign(test.get(ME), &admin.key).send().await;
        assert_eq!(answer.status == 200, accepted, "created {created}, expires {expires}: {}", answer.json());
    }
    for (name, value) in [("created", "9999999999999999"), ("expires", "-1"), ("expires", "1e9")] {
        let draft = Draft::native(&test, &admin.key, "GET").set(name, value);
        assert_refused_without_key_details(draft.sign(test.get(ME), &admin.key).send().await, value);
    }
}

#[tokio::test]
async fn a_key_and_its_token_expire_to_the_second() {
    let (test, admin) = acme().await;
    let began = test.clock.now().as_second();
    let mut key = test.new_key();
    let create = json!({"title": "Short", "public_key": key.openssh, "expires_at": "2026-01-02T03:10:00Z"});
    let created = test.post("/api/v1/me/keys", &create).by(&admin.key).send().await.expect(201);
    created["id"].as_str().unwrap().clone_into(&mut key.id);
    let token = test.bearer_token(&key).await;
    let end = began + 355;

    test.set_wall(end - 1).await;
    test.get(ME).by(&key).send().await.expect(200);
    test.get(ME).bearer(&token).send().await.expect(200);
    test.set_wall(end).await;
    assert_refused_with(test.get(ME).by(&key).send().await, "key_expired");
    assert_refused_with(test.get(ME).by_encord(&key).send().await, "key_expired");
    assert_refused_with(test.get(ME).bearer(&token).send().await, "token_expired");
    let forged = Draft::native(&test, &key, "GET").sign(test.get(ME), &test.new_key());
    assert_refused_without_key_details(forged.send().await, "a stranger does not learn that a key has expired");
}

#[tokio::test]
async fn a_bearer_token_is_refused_after_an_hour() {
    let (test, admin) = acme().await;
    let began = test.clock.now().as_second();
    let token = test.bearer_token(&admin.key).await;
    test.set_wall(began + 3599).await;
    test.get(ME).bearer(&token).send().await.expect(200);
    test.set_wall(began + 3600).await;
    assert_refused_with(test.get(ME).bearer(&token).send().await, "token_expired");
}

#[tokio::test]
async fn the_key_holder_gets_a_reason_and_others_get_one_uniform_response() {
    let (test, admin) = acme().await;
    let mut keys = Vec::new();
    for title in ["disabled", "revoked"] {
        let mut key = test.new_key();
        let create = json!({"title": title, "public_key": key.openssh});
        let created = test.post("/api/v1/me/keys", &create).by(&admin.key).send().await.expect(201);
        created["id"].as_str().unwrap().clone_into(&mut key.id);
        keys.push(key);
    }
    let (disabled, revoked, unknown) = (&keys[0], &keys[1], &test.new_key());
    test.post(&format!("/api/v1/me/keys/{}/disable", disabled.id), &json!(null))
        .by(&admin.key)
        .send()
        .await
        .expect(200);
    test.delete(&format!("/api/v1/me/keys/{}", revoked.id)).by(&admin.key).send().await.expect(204);

    assert_refused_with(test.get(ME).by(disabled).send().await, "key_disabled");

    let mut answers = Vec::new();
    for request in [
        test.get(ME).by(unknown),
        test.get(ME).by(revoked),
        test.get(ME).by_encord(unknown),
        test.get(ME).by_encord(revoked),
        Draft::native(&test, disabled, "GET").sign(test.get(ME), unknown),
        Draft::native(&test, &admin.key, "GET").sign(test.get(ME), unknown),
        test.get(ME).bearer("kwt_unknown"),
        test.get("/api/v1/nowhere").by(unknown),
        test.post("/api/v1/workspaces", &json!({"slug": 7})).by(revoked),
    ] {
        let mut answer = request.send().await;
        assert!(answer.headers.remove("x-request-id").is_some());
        answers.push((answer.status, answer.headers, answer.bytes));
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    // The form of a request does not depend on a key.
    assert_refused_with(test.get(ME).send().await, "missing");
    assert_refused_with(test.get(ME).by(&admin.key).bearer("kwt_unknown").send().await, "several");
    assert_refused_with(test.get(ME).header("authorization", "Basic YTpi").send().await, "malformed");
    let (status, headers, _) = &answers[0];
    assert_eq!(*status, 401);
    for name in ["www-authenticate", "accept-signature", "want-content-digest"] {
        assert!(headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_changed_wall_clock_drops_the_lease_until_the_store_was_read() {
    let (test, admin) = acme().await;
    let request = test.get(ME).by(&admin.key);
    let now = test.clock.now().as_second();
    // On a machine that was restored from a snapshot, only the wall clock jumps.
    for (jump, status) in [(1, 200), (-1, 200), (2, 503), (-2, 503), (3600, 503)] {
        test.clock.set_wall(now + jump);
        let answer = test.get(ME).by(&admin.key).send().await;
        assert_eq!(answer.status, status, "{jump}");
    }
    test.set_wall(now).await;
    request.send().await.expect(200);
}
