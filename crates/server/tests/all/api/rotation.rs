//! Rotation: a key gets a successor, and expires after the overlap.

mod chain;

use std::time::Duration;

use domain::Clock as _;
use serde_json::{Value, json};
use server::app::KeyOwner;

use crate::support::{Actor, Answer, Key, TestApp, TestRequest};

const ME: &str = "/api/v1/me";
const DAY: u64 = 86_400;

/// Ada is an admin of acme, where max is a member and bot a service account. Eve is an admin elsewhere.
struct World {
    test: TestApp,
    ada: Actor,
    max: Actor,
    eve: Actor,
    bot: Actor,
    ws: String,
}

async fn world() -> World {
    world_on(TestApp::new().await).await
}

async fn world_on(test: TestApp) -> World {
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let max = test.member(&ws, &ada, "max", "member").await;
    let eve = test.user("eve", false).await;
    test.workspace("other", &eve).await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    World { test, ada, max, eve, bot, ws }
}

impl World {
    /// The path of a key of the bot for admins.
    fn of_bot(&self, key: &str) -> String {
        format!("/api/v1/workspaces/{}/service-accounts/{}/keys/{key}", self.ws, self.bot.id)
    }

    fn own(key: &str) -> String {
        format!("/api/v1/me/keys/{key}")
    }

    async fn proof(&self, by: &Key, owner: &str, key: &Key) -> String {
        let challenge = self.test.post("/api/v1/me/proof-challenges", &Value::Null).by(by).send().await.expect(201);
        key.prove(owner, challenge["challenge"].as_str().unwrap())
    }

    /// Returns the request by which `old`, a key of `owner`, rotates itself.
    async fn by_itself(&self, owner: &str, old: &Key, new: &Key, overlap: u64) -> TestRequest<'_> {
        let proof = self.proof(old, owner, new).await;
        let body = json!({"public_key": new.openssh, "overlap_seconds": overlap, "proof": proof});
        self.test.post(&format!("{}/rotate", Self::own(&old.id)), &body).by(old)
    }

    /// A key of the bot rotates itself. Returns the successor.
    async fn rotate_bot(&self, old: &Key, overlap: u64) -> Key {
        let new = self.test.new_key();
        let rotation = self.by_itself(&self.bot.id, old, &new, overlap).await.send().await.expect(201);
        new.registered_as(text(&rotation["successor"], "id"))
    }

    async fn status(&self, key: &Key) -> u16 {
        self.test.get(ME).by(key).send().await.status.as_u16()
    }

    async fn key(&self, key: &str) -> Value {
        self.test.get(&self.of_bot(key)).by(&self.ada.key).send().await.expect(200)
    }

    /// Returns the actions and targets of the events about the keys of the bot, the latest first.
    async fn events(&self) -> Vec<Value> {
        let path = format!("/api/v1/workspaces/{}/audit-events?limit=200", self.ws);
        let events = self.test.get(&path).by(&self.ada.key).send().await.expect(200);
        let mut events = events["items"].as_array().unwrap().clone();
        events.retain(|event| event["action"].as_str().unwrap().starts_with("api_key."));
        events
    }
}

fn rotation_body(new: &Key, overlap: u64) -> Value {
    json!({"public_key": new.openssh, "overlap_seconds": overlap})
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

#[tokio::test]
async fn both_keys_are_accepted_during_the_overlap_and_only_the_successor_after_it() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let new = test.new_key();
    let path = format!("{}/rotate", world.of_bot(&bot.key.id));
    let rotation = test.post(&path, &rotation_body(&new, DAY)).by(&world.ada.key).send().await.expect(201);
    let ends_at = test.clock.now() + Duration::from_secs(DAY);
    assert_eq!(rotation["ends_at"], ends_at.to_string());
    assert_eq!((&rotation["pending"], &rotation["self_rotated"]), (&json!(true), &json!(false)));
    let (old, successor) = (&rotation["predecessor"], &rotation["successor"]);
    assert_eq!((&old["expires_at"], &successor["expires_at"]), (&json!(ends_at.to_string()), &Value::Null));
    assert_eq!((&old["title"], &successor["title"]), (&json!("bot"), &json!("bot")));
    assert_eq!(successor["created_by"], world.ada.id.as_str());
    assert_eq!(successor["fingerprint"], new.fingerprint.as_str());
    assert_eq!((world.status(&bot.key).await, world.status(&new).await), (200, 200));

    // Each shows the other.
    let id = text(successor, "id");
    let (old, successor) = (world.key(&bot.key.id).await, world.key(id).await);
    assert_eq!((&old["successor"]["id"], &old["predecessor"]), (&json!(id), &Value::Null));
    assert_eq!(successor["predecessor"]["fingerprint"], bot.key.fingerprint.as_str());
    assert_eq!(successor["predecessor"]["ends_at"], ends_at.to_string());
    assert_eq!(successor["predecessor"]["pending"], true);
    let listed = test.get(world.of_bot("").trim_end_matches('/')).by(&world.ada.key).send().await.expect(200);
    let listed = listed["items"].as_array().unwrap();
    let old = listed.iter().find(|key| key["id"] == *bot.key.id).expect("it is listed");
    assert_eq!(old["successor"]["id"], id);
    for key in [bot.key.id.as_str(), id] {
        let shown = test.get(&format!("{}/rotate", world.of_bot(key))).by(&world.ada.key).send().await.expect(200);
        assert_eq!((&shown["predecessor"]["id"], &shown["successor"]["id"]), (&json!(bot.key.id), &json!(id)));
    }

    test.advance(Duration::from_secs(DAY - 1)).await;
    assert_eq!((world.status(&bot.key).await, world.status(&new).await), (200, 200));
    test.advance(Duration::from_secs(1)).await;
    assert_eq!((world.status(&bot.key).await, world.status(&new).await), (401, 200));
    let successor = world.key(id).await;
    assert_eq!(successor["predecessor"]["pending"], false);
    assert_eq!(successor["predecessor"]["state"], "expired");
}

#[tokio::test]
async fn the_rotation_shows_who_still_uses_the_old_key() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    assert_eq!(world.status(&bot.key).await, 200, "a use before the rotation");
    test.advance(Duration::from_mins(1)).await;
    let successor = world.rotate_bot(&bot.key, DAY).await;
    let path = format!("{}/rotate", world.of_bot(&successor.id));
    let use_since = async || {
        test.app.write_records().await.unwrap();
        test.get(&path).by(&world.ada.key).send().await.expect(200)["use_since"].clone()
    };
    assert_eq!(use_since().await, json!({"accepted": 0, "last_used_at": null, "last_used_ip": null}));
    test.advance(Duration::from_mins(1)).await;
    for _ in 0..3 {
        let mut request = test.get(ME).by(&bot.key);
        request.address = "203.0.113.7".parse().unwrap();
        request.send().await.expect(200);
    }
    assert_eq!(world.status(&successor).await, 200);
    let expected = json!({"accepted": 3, "last_used_at": test.clock.now().to_string(), "last_used_ip": "203.0.113.7"});
    assert_eq!(use_since().await, expected);
}

#[tokio::test]
async fn without_an_overlap_the_old_key_is_revoked_at_once() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let new = test.new_key();
    let path = format!("{}/rotate", world.of_bot(&bot.key.id));
    let answer = test.post(&path, &rotation_body(&new, 0)).by(&world.ada.key).send().await;
    assert!(answer.header("keyward-confirmed").contains("nodes=1"), "{answer:?}");
    let rotation = answer.expect(201);
    assert_eq!((world.status(&bot.key).await, world.status(&new).await), (401, 200));
    assert_eq!(rotation["predecessor"]["state"], "revoked");
    assert_eq!(rotation["pending"], false);
    test.delete(&path).by(&world.ada.key).send().await.expect_problem(409, "rotation_ended");
    let events = world.events().await;
    let revoked = events.iter().find(|event| event["action"] == "api_key.revoke").expect("its own event");
    assert_eq!((&revoked["target"], &revoked["detail"]["cause"]), (&json!(bot.key.id), &json!("api_key.rotate")));
}

#[tokio::test]
async fn a_successor_lives_as_long_as_its_predecessor_was_given() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let expires_at = (test.clock.now() + Duration::from_secs(30 * DAY)).to_string();
    test.patch(&world.of_bot(&bot.key.id), &json!({"expires_at": expires_at}))
        .by(&world.ada.key)
        .send()
        .await
        .expect(200);
    test.advance(Duration::from_secs(10 * DAY)).await;
    let first = world.rotate_bot(&bot.key, DAY).await;
    let at = |days| (test.clock.now() + Duration::from_secs(days * DAY)).to_string();
    assert_eq!(world.key(&first.id).await["expires_at"], at(30));
    assert_eq!(world.key(&bot.key.id).await["expires_at"], at(1));
    // The rest of its life is shorter than the overlap.
    test.advance(Duration::from_secs(25 * DAY)).await;
    let second = world.rotate_bot(&first, 7 * DAY).await;
    assert_eq!(world.key(&first.id).await["expires_at"], at(5));
    assert_eq!(world.key(&second.id).await["expires_at"], at(30));
}

#[tokio::test]
async fn a_rotation_is_undone_while_the_overlap_lasts() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let path = format!("{}/rotate", world.of_bot(&bot.key.id));
    let undo = async || test.delete(&path).by(&world.ada.key).send().await;
    undo().await.expect_problem(404, "not_found");
    let successor = world.rotate_bot(&bot.key, DAY).await;
    undo().await.expect(204);
    assert_eq!((world.status(&bot.key).await, world.status(&successor).await), (200, 401));
    let key = world.key(&bot.key.id).await;
    assert_eq!((&key["expires_at"], &key["successor"]), (&Value::Null, &Value::Null));
    undo().await.expect_problem(404, "not_found");
    let events = world.events().await;
    let of = |action: &str| events.iter().find(|event| event["action"] == action).expect("an event");
    let undone = of("api_key.undo_rotation");
    assert_eq!((&undone["target"], &undone["detail"]["expires_at"]), (&json!(bot.key.id), &json!("never")));
    assert_eq!(undone["detail"]["successor_fingerprint"], successor.fingerprint.as_str());
    let revoked = of("api_key.revoke");
    assert_eq!(
        (&revoked["target"], &revoked["detail"]["cause"]),
        (&json!(successor.id), &json!("api_key.undo_rotation"))
    );

    // It can be rotated again, and after the overlap there is nothing to undo.
    let successor = world.rotate_bot(&bot.key, DAY).await;
    test.advance(Duration::from_secs(DAY)).await;
    undo().await.expect_problem(409, "rotation_ended");
    assert_eq!(world.status(&successor).await, 200);
}

#[tokio::test]
async fn a_key_has_one_pending_successor() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let successor = world.rotate_bot(&bot.key, 7 * DAY).await;
    let path = format!("{}/rotate", world.of_bot(&bot.key.id));
    let again = async |new: &Key| test.post(&path, &rotation_body(new, DAY)).by(&world.ada.key).send().await;
    let problem = again(&test.new_key()).await.expect_problem(409, "rotation_pending");
    assert_eq!(problem["successor"], successor.id.as_str());

    // The successor was rotated, too: that rotation is undone first.
    let second = world.rotate_bot(&successor, DAY).await;
    test.delete(&path).by(&world.ada.key).send().await.expect_problem(409, "rotation_pending");
    test.delete(&format!("{}/rotate", world.of_bot(&successor.id))).by(&world.ada.key).send().await.expect(204);
    assert_eq!((world.status(&successor).await, world.status(&second).await), (200, 401));

    // A key whose successor was revoked is rotated again, with its own lifetime.
    test.delete(&world.of_bot(&successor.id)).by(&world.ada.key).send().await.expect(204);
    let third = again(&test.new_key()).await.expect(201);
    assert_eq!(third["successor"]["expires_at"], Value::Null);
    assert_eq!(world.key(&bot.key.id).await["successor"]["id"], third["successor"]["id"]);
    test.delete(&path).by(&world.ada.key).send().await.expect(204);
    assert_eq!(world.key(&bot.key.id).await["expires_at"], Value::Null);
}

#[tokio::test]
async fn the_expiry_of_a_rotated_key_only_becomes_earlier() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    world.rotate_bot(&bot.key, DAY).await;
    let path = world.of_bot(&bot.key.id);
    let set = async |seconds: Option<u64>| {
        let end = seconds.map(|seconds| (test.clock.now() + Duration::from_secs(seconds)).to_string());
        test.patch(&path, &json!({"expires_at": end})).by(&world.ada.key).send().await
    };
    set(Some(DAY + 1)).await.expect_problem(409, "key_rotated");
    set(None).await.expect_problem(409, "key_rotated");
    set(Some(3600)).await.expect(200);
    test.advance(Duration::from_secs(DAY)).await;
    // Neither is it extended after the overlap.
    let enable = json!({"expires_at": null});
    test.post(&format!("{path}/enable"), &enable).by(&world.ada.key).send().await.expect_problem(409, "key_rotated");
    assert_eq!(world.status(&bot.key).await, 401);
}

#[tokio::test]
async fn a_successor_is_outside_the_quota_during_the_overlap() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let owner = KeyOwner::ServiceAccount(world.ws.parse().unwrap(), bot.id.parse().unwrap());
    for number in 0..4 {
        test.add_key(owner, &format!("key {number}")).await;
    }
    let keys = world.of_bot("");
    let keys = keys.trim_end_matches('/');
    let add = async || {
        let body = json!({"title": "more", "public_key": test.new_key().openssh});
        test.post(keys, &body).by(&world.ada.key).send().await
    };
    add().await.expect_problem(409, "quota_exceeded");
    let successor = world.rotate_bot(&bot.key, DAY).await;
    add().await.expect_problem(409, "quota_exceeded");
    // The successor of a successor counts, so that a chain does not exceed the quota without end.
    let second = test.new_key();
    let refused = world.by_itself(&bot.id, &successor, &second, DAY).await.send().await;
    refused.expect_problem(409, "quota_exceeded");
    test.advance(Duration::from_secs(DAY)).await;
    add().await.expect_problem(409, "quota_exceeded");
    world.rotate_bot(&successor, DAY).await;
}

#[tokio::test]
async fn duplicates_and_malformed_keys_are_refused_as_in_a_registration() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let path = format!("{}/rotate", world.of_bot(&bot.key.id));
    let rotate = async |body: Value| test.post(&path, &body).by(&world.ada.key).send().await;
    let itself = rotate(rotation_body(&bot.key, DAY)).await.expect_problem(409, "duplicate_key");
    assert_eq!(itself["key"], bot.key.id.as_str());
    rotate(rotation_body(&world.eve.key, DAY)).await.expect_problem(409, "duplicate_key");
    let revoked = test.new_key();
    let made = test.post("/api/v1/me/keys", &json!({"title": "x", "public_key": revoked.openssh}));
    let made = made.by(&world.max.key).send().await.expect(201);
    assert_eq!(world.status(&revoked).await, 200);
    test.delete(&World::own(text(&made, "id"))).by(&world.max.key).send().await.expect(204);
    let blocked = rotate(rotation_body(&revoked, DAY)).await.expect_problem(409, "duplicate_key");
    assert_eq!(blocked["permanently_blocked"], true);
    for (body, field) in [
        (json!({"public_key": "ssh-dss AAAA", "overlap_seconds": 1}), "public_key"),
        (json!({"public_key": test.new_key().openssh, "overlap_seconds": 2_592_001}), "overlap_seconds"),
        (json!({"public_key": test.new_key().openssh, "overlap_seconds": -1}), "overlap_seconds"),
        (json!({"public_key": test.new_key().openssh}), "overlap_seconds"),
        (json!({"public_key": test.new_key().openssh, "overlap_seconds": 1, "proof": "x"}), "proof"),
    ] {
        let problem = rotate(body.clone()).await.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }

    // A proof reclaims the registration of another principal, also by a rotation.
    let contested = test.new_key();
    let taken = json!({"title": "taken", "public_key": contested.openssh});
    test.post("/api/v1/me/keys", &taken).by(&world.eve.key).send().await.expect(201);
    rotate(rotation_body(&contested, DAY)).await.expect_problem(409, "duplicate_key");
    world.by_itself(&bot.id, &bot.key, &contested, DAY).await.send().await.expect(201);
    let me = test.get(ME).by(&contested).send().await.expect(200);
    assert_eq!(me["principal"]["id"], bot.id.as_str());
}

#[tokio::test]
async fn only_an_active_key_is_rotated() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let path = world.of_bot(&bot.key.id);
    let rotate = async || {
        let body = rotation_body(&test.new_key(), DAY);
        test.post(&format!("{path}/rotate"), &body).by(&world.ada.key).send().await
    };
    test.post(&format!("{path}/disable"), &Value::Null).by(&world.ada.key).send().await.expect(200);
    rotate().await.expect_problem(409, "key_inactive");
    test.post(&format!("{path}/enable"), &Value::Null).by(&world.ada.key).send().await.expect(200);
    let soon = (test.clock.now() + Duration::from_secs(9)).to_string();
    test.patch(&path, &json!({"expires_at": soon})).by(&world.ada.key).send().await.expect(200);
    test.advance(Duration::from_secs(9)).await;
    rotate().await.expect_problem(409, "key_expired");
    test.delete(&path).by(&world.ada.key).send().await.expect(204);
    rotate().await.expect_problem(409, "key_revoked");
}

#[tokio::test]
async fn a_key_of_a_service_account_rotates_itself_and_nothing_else() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let owner = KeyOwner::ServiceAccount(world.ws.parse().unwrap(), bot.id.parse().unwrap());
    let other = test.add_key(owner, "other").await;
    let new = test.new_key();
    // Not another key of the account, by no path, and not by a bearer token.
    let token = test.bearer_token(&bot.key).await;
    let proof = world.proof(&bot.key, &bot.id, &new).await;
    let body = json!({"public_key": new.openssh, "overlap_seconds": DAY, "proof": proof});
    let own = format!("{}/rotate", World::own(&bot.key.id));
    for (answer, told) in [
        (test.post(&format!("{}/rotate", World::own(&other.id)), &body).by(&bot.key), "itself or its own keys"),
        (test.post(&format!("{}/rotate", world.of_bot(&other.id)), &body).by(&bot.key), "role"),
        (test.post(&own, &body).bearer(&token), "itself or its own keys"),
        (test.post(&format!("{}/rotate", world.of_bot(&bot.key.id)), &body).bearer(&token), "role"),
        (test.delete(&own).by(&bot.key), "itself or its own keys"),
    ] {
        let problem = answer.send().await.expect_problem(403, "forbidden");
        assert!(text(&problem, "detail").contains(told), "{problem}");
    }
    // The proof is required, and made with the new key.
    let without = test.post(&own, &rotation_body(&new, DAY)).by(&bot.key).send().await;
    let problem = without.expect_problem(400, "invalid_request");
    assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("proof"), &json!("missing")));
    let foreign = world.proof(&bot.key, &bot.id, &bot.key).await;
    let wrong = json!({"public_key": new.openssh, "overlap_seconds": DAY, "proof": foreign});
    let problem = test.post(&own, &wrong).by(&bot.key).send().await.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["code"], "other_key");

    // By the path of admins, it is the same.
    let path = format!("{}/rotate", world.of_bot(&bot.key.id));
    let rotation = test.post(&path, &body).by(&bot.key).send().await.expect(201);
    assert_eq!((&rotation["self_rotated"], &rotation["successor"]["created_by"]), (&json!(true), &json!(bot.id)));
    assert!(rotation["successor"]["proven_at"].is_string());
    assert_eq!(rotation["successor"]["created_with"], bot.key.id.as_str());
    let events = world.events().await;
    let rotated = events.iter().find(|event| event["action"] == "api_key.rotate").expect("an event");
    assert_eq!((&rotated["principal"], &rotated["key"]), (&json!(bot.id), &json!(bot.key.id)));
    let detail = &rotated["detail"];
    assert_eq!((text(detail, "self_rotated"), text(detail, "fingerprint")), ("true", bot.key.fingerprint.as_str()));
    assert_eq!(text(detail, "successor_fingerprint"), new.fingerprint);
    let created = events.iter().find(|event| event["target"] == rotation["successor"]["id"]).expect("an event");
    assert_eq!(text(&created["detail"], "predecessor_fingerprint"), bot.key.fingerprint);
    // It reads its own rotation, and only the successor undoes it.
    test.get(&own).by(&bot.key).send().await.expect(200);
    test.delete(&own).by(&bot.key).send().await.expect_problem(403, "forbidden");
    test.delete(&own).by(&other).send().await.expect_problem(403, "forbidden");
    test.delete(&own).bearer(&test.bearer_token(&new).await).send().await.expect_problem(403, "forbidden");
    test.delete(&own).by(&new).send().await.expect(204);
    assert_eq!((world.status(&bot.key).await, world.status(&new).await), (200, 401));

    // The rotation by an admin is not its own to undo.
    let new = test.new_key();
    test.post(&path, &rotation_body(&new, DAY)).by(&world.ada.key).send().await.expect(201);
    test.delete(&own).by(&new).send().await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn an_admin_account_rotates_the_keys_of_other_accounts_and_itself_only_with_a_proof() {
    let world = world().await;
    let test = &world.test;
    test.raise_quotas(&world.ws, 9).await;
    let boss = test.service_account(&world.ws, &world.ada, "boss").await;
    let accounts = format!("/api/v1/workspaces/{}/service-accounts", world.ws);
    let path = format!("{accounts}/{}", boss.id);
    test.patch(&path, &json!({"role": "admin"})).by(&world.ada.key).send().await.expect(200);
    let new = test.new_key();
    let of_bot = format!("{}/rotate", world.of_bot(&world.bot.key.id));
    let rotation = test.post(&of_bot, &rotation_body(&new, DAY)).by(&boss.key).send().await.expect(201);
    assert_eq!(rotation["self_rotated"], false);
    test.delete(&of_bot).by(&boss.key).send().await.expect(204);
    let own = format!("{path}/keys/{}/rotate", boss.key.id);
    let without = test.post(&own, &rotation_body(&test.new_key(), DAY)).by(&boss.key).send().await;
    assert_eq!(without.expect_problem(400, "invalid_request")["errors"][0]["field"], "proof");
    // Under another account, its own key does not exist.
    let crossed = format!("{}/rotate", world.of_bot(&boss.key.id));
    let crossed = test.post(&crossed, &rotation_body(&test.new_key(), DAY)).by(&boss.key).send().await;
    crossed.expect_problem(404, "not_found");
}

#[tokio::test]
async fn strangers_members_and_other_tenants_rotate_nothing() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    world.rotate_bot(&bot.key, DAY).await;
    let of_bot = format!("{}/rotate", world.of_bot(&bot.key.id));
    let of_max = format!("{}/rotate", World::own(&world.max.key.id));
    let body = rotation_body(&test.new_key(), DAY);
    for (path, by, status) in [
        (&of_bot, None, 401),
        (&of_bot, Some(&world.eve), 404),
        (&of_bot, Some(&world.max), 403),
        (&of_max, None, 401),
        (&of_max, Some(&world.eve), 404),
        (&of_max, Some(&world.ada), 404),
        (&of_max, Some(bot), 403),
    ] {
        for request in [test.post(path, &body), test.delete(path), test.get(path)] {
            // A service account may look for its own keys, and finds none of others.
            let status = if request.method == "GET" && path == &of_max && status == 403 { 404 } else { status };
            let what = format!("{} {path} by {:?}", request.method, by.map(|by| &by.email));
            let request = if let Some(by) = by { request.by(&by.key) } else { request };
            assert_eq!(request.send().await.status.as_u16(), status, "{what}");
        }
    }
    assert_eq!(world.status(&bot.key).await, 200);
}

#[tokio::test]
async fn users_rotate_their_own_keys_with_any_of_them() {
    let world = world().await;
    let (test, max) = (&world.test, &world.max);
    let other = test.add_unused_key(max).await;
    let new = test.new_key();
    let path = format!("{}/rotate", World::own(&other.id));
    let rotation = test.post(&path, &rotation_body(&new, DAY)).by(&max.key).send().await.expect(201);
    assert_eq!(rotation["self_rotated"], false, "another key signed it");
    test.delete(&path).by(&max.key).send().await.expect(204);
    let token = test.bearer_token(&max.key).await;
    test.post(&path, &rotation_body(&test.new_key(), DAY)).bearer(&token).send().await.expect_problem(403, "forbidden");
    // By itself, with a proof.
    let own = format!("{}/rotate", World::own(&max.key.id));
    let without = test.post(&own, &rotation_body(&test.new_key(), DAY)).by(&max.key).send().await;
    without.expect_problem(400, "invalid_request");
    let new = test.new_key();
    let rotation = world.by_itself(&max.id, &max.key, &new, DAY).await.send().await.expect(201);
    assert_eq!(rotation["self_rotated"], true);
    assert_eq!(world.status(&new).await, 200);
}

#[tokio::test]
async fn the_operator_turns_self_rotation_off() {
    let world = world_on(TestApp::with_settings(|settings| settings.self_rotation = false).await).await;
    let (test, bot, max) = (&world.test, &world.bot, &world.max);
    for actor in [bot, max] {
        let refused = world.by_itself(&actor.id, &actor.key, &test.new_key(), DAY).await.send().await;
        let problem = refused.expect_problem(403, "forbidden");
        assert!(text(&problem, "detail").contains("the operator turned it off"), "{problem}");
    }
    let path = format!("{}/rotate", world.of_bot(&bot.key.id));
    test.post(&path, &rotation_body(&test.new_key(), DAY)).by(&world.ada.key).send().await.expect(201);
}

#[tokio::test]
async fn no_key_is_rotated_while_a_node_runs_that_does_not_know_rotations() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let older = test.older_node(Some(12)).await;
    let path = format!("{}/rotate", world.of_bot(&bot.key.id));
    let new = test.new_key();
    for request in [
        test.post(&path, &rotation_body(&new, DAY)).by(&world.ada.key),
        world.by_itself(&bot.id, &bot.key, &new, 0).await,
    ] {
        let problem = request.send().await.expect_problem(409, "upgrade_in_progress");
        assert!(text(&problem, "detail").contains("older:1"), "{problem}");
    }
    assert_eq!((world.status(&bot.key).await, world.status(&new).await), (200, 401));
    // Limits do not need the release with rotations.
    let limits = json!({"limits": {"cidrs": ["127.0.0.0/8"]}});
    test.patch(&world.of_bot(&bot.key.id), &limits).by(&world.ada.key).send().await.expect(200);
    test.store().await.remove_node(older, store::Version(0)).await.unwrap();
    test.post(&path, &rotation_body(&new, DAY)).by(&world.ada.key).send().await.expect(201);
    // A rotation from before is undone, because this only ends a key and restores what such a node knows.
    test.older_node(Some(12)).await;
    test.delete(&path).by(&world.ada.key).send().await.expect(204);
    assert_eq!((world.status(&bot.key).await, world.status(&new).await), (200, 401));
}

#[tokio::test]
async fn a_successor_has_the_limits_of_its_predecessor_and_no_key_gives_more_than_it_has() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let path = world.of_bot(&bot.key.id);
    let limit = async |limits: Value| {
        test.patch(&path, &json!({"limits": limits})).by(&world.ada.key).send().await.expect(200)["limits"].clone()
    };
    // Without `keyward:manage`, a key changes nothing, itself included.
    let limits = limit(json!({"scopes": ["keyward:read", "keyward:write"]})).await;
    assert!(limits["scopes"].is_array());
    let new = test.new_key();
    let challenge = test.post("/api/v1/me/proof-challenges", &Value::Null).by(&bot.key).send().await;
    challenge.expect_problem(403, "forbidden");
    let body = rotation_body(&new, DAY);
    let own = format!("{}/rotate", World::own(&bot.key.id));
    test.post(&own, &body).by(&bot.key).send().await.expect_problem(403, "forbidden");

    // A key that is limited to projects rotates itself, and its successor is limited to them, too.
    let projects = format!("/api/v1/workspaces/{}/projects", world.ws);
    let project = test.post(&projects, &json!({"title": "Maps"})).by(&world.ada.key).send().await.expect(201);
    let limits = limit(json!({"projects": [project["id"]], "cidrs": ["127.0.0.0/8"]})).await;
    let successor = world.rotate_bot(&bot.key, DAY).await;
    assert_eq!(world.key(&successor.id).await["limits"], limits);

    // A limited key of an admin gives at most its own limits. It rotates no key that has more, and undoes no rotation.
    let by = test.new_key();
    let limited = json!({"title": "limited", "public_key": by.openssh, "limits": {"cidrs": ["127.0.0.1/32"]}});
    test.post("/api/v1/me/keys", &limited).by(&world.ada.key).send().await.expect(201);
    let rotate = format!("{}/rotate", world.of_bot(&successor.id));
    let refused = test.post(&rotate, &rotation_body(&test.new_key(), DAY)).by(&by).send().await;
    assert!(text(&refused.expect_problem(403, "forbidden"), "detail").contains("exceed them"));
    let undone = test.delete(&format!("{path}/rotate")).by(&by).send().await;
    assert!(text(&undone.expect_problem(403, "forbidden"), "detail").contains("exceed them"));
}

#[tokio::test]
async fn a_repeated_signed_rotation_happens_once() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    let new = test.new_key();
    let request = world.by_itself(&bot.id, &bot.key, &new, DAY).await;
    let first = request.clone().send().await.expect(201);
    assert_eq!(request.send().await.expect(201), first);
    let keys = test.get(world.of_bot("").trim_end_matches('/')).by(&world.ada.key).send().await.expect(200);
    assert_eq!(keys["items"].as_array().unwrap().len(), 2);
}

/// Returns the answer of another node of the same installation.
async fn ask(node: &TestApp, key: &Key) -> Answer {
    node.get(ME).by(key).send().await
}

#[tokio::test]
async fn the_end_of_the_overlap_holds_after_a_restart() {
    let world = world().await;
    let (ada, bot, new) = (world.ada.clone(), world.bot.clone(), world.rotate_bot(&world.bot.key, DAY).await);
    let test = world.test.restart().await;
    assert_eq!((ask(&test, &bot.key).await.status.as_u16(), ask(&test, &new).await.status.as_u16()), (200, 200));
    test.advance(Duration::from_secs(DAY)).await;
    assert_eq!((ask(&test, &bot.key).await.status.as_u16(), ask(&test, &new).await.status.as_u16()), (401, 200));
    let path = format!("/api/v1/workspaces/{}/service-accounts/{}/keys/{}", world.ws, bot.id, bot.key.id);
    test.delete(&format!("{path}/rotate")).by(&ada.key).send().await.expect_problem(409, "rotation_ended");
}
