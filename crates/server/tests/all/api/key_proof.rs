//! Proofs: a proof of possession of the private key reclaims the key from an unproven registration.

use serde_json::{Value, json};
use server::app::{Caller, KeyOwner};

use crate::{
    support::browser::Browser,
    support::{Actor, Answer, Key, TestApp},
};

const ME: &str = "/api/v1/me";
const KEYS: &str = "/api/v1/me/keys";

/// Ada, and a workspace of Mallory with the member Eve.
struct World {
    test: TestApp,
    ada: Actor,
    mallory: Actor,
    eve: Actor,
    evil: String,
}

async fn world() -> World {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    let mallory = test.user("mallory", false).await;
    let evil = test.workspace("evil", &mallory).await;
    let eve = test.member(&evil, &mallory, "eve", "member").await;
    World { test, ada, mallory, eve, evil }
}

impl World {
    async fn register(&self, by: &Key, at: &str, key: &Key) -> Answer {
        self.test.post(at, &json!({"title": "laptop", "public_key": key.openssh})).by(by).send().await
    }

    async fn proof(&self, by: &Actor, owner: &str, key: &Key) -> String {
        let challenge =
            self.test.post("/api/v1/me/proof-challenges", &Value::Null).by(&by.key).send().await.expect(201);
        key.prove(owner, challenge["challenge"].as_str().unwrap())
    }

    async fn register_with_proof(&self, by: &Actor, key: &Key) -> Answer {
        let proof = self.proof(by, &by.id, key).await;
        let body = json!({"title": "mine", "public_key": key.openssh, "proof": proof});
        self.test.post(KEYS, &body).by(&by.key).send().await
    }

    async fn reclaims(&self, key: &Value) -> Vec<Value> {
        let path = format!("/api/v1/workspaces/{}/audit-events?action=api_key.displace", self.evil);
        let events = self.test.get(&path).by(&self.mallory.key).send().await.expect(200);
        let events = events["items"].as_array().unwrap().clone();
        events.into_iter().filter(|event| event["target"] == key["id"]).collect()
    }
}

#[tokio::test]
async fn a_proof_reclaims_a_key_that_was_used_while_registered_by_another_user() {
    let world = world().await;
    let World { test, ada, mallory, eve, evil } = &world;
    let bot = test.service_account(evil, mallory, "bot").await;
    let of_bot = format!("/api/v1/workspaces/{evil}/service-accounts/{}/keys", bot.id);
    for (by, at, owner) in [(eve, KEYS, &eve.id), (mallory, of_bot.as_str(), &bot.id)] {
        let key = test.new_key();
        let taken = world.register(&by.key, at, &key).await.expect(201);
        assert_eq!((&taken["proven_at"], &taken["displaced_at"]), (&Value::Null, &Value::Null));
        // The holder of the private key uses it, and is authenticated as another user.
        assert_eq!(test.get(ME).by(&key).send().await.expect(200)["principal"]["id"], owner.as_str());
        test.app.write_records().await.unwrap();
        world.register(&ada.key, KEYS, &key).await.expect_problem(409, "duplicate_key");

        let made = world.register_with_proof(ada, &key).await.expect(201);
        assert_eq!(made["proven_at"], made["created_at"]);
        assert_eq!(test.get(ME).by(&key).send().await.expect(200)["principal"]["id"], ada.id.as_str());

        // The previous owner and their admins see this. None of them sees the new owner.
        let lost = format!("{at}/{}", taken["id"].as_str().unwrap());
        let lost = test.get(&lost).by(&by.key).send().await.expect(200);
        assert_eq!((&lost["state"], lost["displaced_at"].is_string()), (&json!("revoked"), true));
        let events = world.reclaims(&taken).await;
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["detail"]["owner"], owner.as_str());
        assert_eq!(events[0]["detail"]["fingerprint"], key.fingerprint.as_str());
        let told = format!("{events:?}");
        assert!(!told.contains(&ada.id) && !told.contains(&ada.key.id) && events[0]["address"].is_null(), "{told}");

        // It is a normal key of Ada: it exists once, and its revocation is permanent.
        let again = world.register_with_proof(ada, &key).await.expect_problem(409, "duplicate_key");
        assert_eq!(again["key"], made["id"]);
        let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
        test.delete(&path).by(&ada.key).send().await.expect(204);
        assert_eq!(
            world.register_with_proof(eve, &key).await.expect_problem(409, "duplicate_key")["permanently_blocked"],
            true
        );
    }
}

#[tokio::test]
async fn a_proven_registration_cannot_be_reclaimed() {
    let world = world().await;
    let World { test, ada, eve, .. } = &world;
    let key = test.new_key();
    world.register_with_proof(ada, &key).await.expect(201);
    world.register_with_proof(eve, &key).await.expect_problem(409, "duplicate_key");
    assert_eq!(test.get(ME).by(&key).send().await.expect(200)["principal"]["id"], ada.id.as_str());

    // Neither can the caller's own registration.
    let key = test.new_key();
    world.register(&ada.key, KEYS, &key).await.expect(201);
    world.register_with_proof(ada, &key).await.expect_problem(409, "duplicate_key");
}

#[tokio::test]
async fn a_proof_can_be_added_later_by_anyone_who_may_register_keys() {
    let world = world().await;
    let World { test, mallory, eve, evil, .. } = &world;
    let bot = test.service_account(evil, mallory, "bot").await;
    let of_bot = format!("/api/v1/workspaces/{evil}/service-accounts/{}/keys", bot.id);
    for (by, at, owner) in [(eve, KEYS, &eve.id), (mallory, of_bot.as_str(), &bot.id)] {
        let key = test.new_key();
        let made = world.register(&by.key, at, &key).await.expect(201);
        let path = format!("{at}/{}/proof", made["id"].as_str().unwrap());
        let prove = async |proof: String| test.post(&path, &json!({"proof": proof})).by(&by.key).send().await;
        // Not with another key, for another owner, or with another user's challenge.
        let other_key = world.proof(by, owner, &test.new_key()).await;
        let other_owner = world.proof(by, &world.ada.id, &key).await;
        let other_sender = world.proof(&world.ada, owner, &key).await;
        for (proof, code) in [
            (other_key, "other_key"),
            (other_owner, "no_challenge"),
            (other_sender, "no_challenge"),
            (String::new(), "malformed"),
        ] {
            let problem = prove(proof).await.expect_problem(400, "invalid_request");
            assert_eq!(
                (&problem["errors"][0]["field"], &problem["errors"][0]["code"]),
                (&json!("proof"), &json!(code))
            );
        }
        let proof = world.proof(by, owner, &key).await;
        assert!(prove(proof.clone()).await.expect(200)["proven_at"].is_string());
        assert_eq!(prove(proof).await.expect_problem(400, "invalid_request")["errors"][0]["code"], "no_challenge");
        world.register_with_proof(&world.ada, &key).await.expect_problem(409, "duplicate_key");

        let path = path.trim_end_matches("/proof");
        test.delete(path).by(&by.key).send().await.expect(204);
        let proof = world.proof(by, owner, &key).await;
        let late = test.post(&format!("{path}/proof"), &json!({"proof": proof})).by(&by.key).send().await;
        late.expect_problem(409, "key_revoked");
    }
}

#[tokio::test]
async fn a_proof_recorded_by_the_previous_release_counts_and_a_use_does_not() {
    let world = world().await;
    let World { test, ada, eve, .. } = &world;
    for (expected, sql) in [
        (409, "UPDATE api_keys SET proven_at = NULL, verified_at = created_at WHERE id = $1"),
        (201, "UPDATE api_keys SET proven_at = NULL, verified_at = created_at + 1 WHERE id = $1"),
    ] {
        let key = test.new_key();
        let made = world.register_with_proof(eve, &key).await.expect(201);
        let mut maintenance = test.store().await.begin_maintenance().await.unwrap();
        assert_eq!(maintenance.execute(sql, store::params![made["id"].as_str().unwrap()]).await.unwrap(), 1);
        maintenance.commit().await.unwrap();
        world.register_with_proof(ada, &key).await.expect(expected);
    }
}

#[tokio::test]
async fn a_host_command_registers_a_key_with_a_proof() {
    let world = world().await;
    let World { test, eve, .. } = &world;
    let host = Caller::host();
    let owner = KeyOwner::User(eve.id.parse().unwrap());
    let (id, challenge) = test.app.create_proof_challenge_for(&host, owner).await.unwrap().into_inner();
    assert_eq!(id.to_string(), eve.id);
    let key = test.new_key();
    let create = api::CreateApiKey {
        title: "host".to_owned(),
        public_key: key.openssh.clone(),
        expires_at: None,
        proof: Some(key.prove(&eve.id, &challenge.challenge)),
        limits: None,
    };
    let made = test.app.create_api_key(&host, owner, &create).await.unwrap();
    assert_eq!(made.proven_at, Some(made.created_at));
}

#[tokio::test]
async fn pages_tell_a_user_that_their_registration_was_reclaimed() {
    let world = world().await;
    let World { test, ada, .. } = &world;
    let mut eve = Browser::admin_of(test, "elsewhere", "edith").await;
    let key = test.new_key();
    eve.open("/profile/api-keys/new").await;
    eve.submit("/profile/api-keys", &[("title", "not mine"), ("public_key", &key.openssh)]).await;
    eve.open("/profile/api-keys").await.sees("not mine");
    world.register_with_proof(ada, &key).await.expect(201);
    eve.open("/profile/api-keys")
        .await
        .sees("Another account registered one of your keys with a proof")
        .sees("not mine");
    eve.open("/w/elsewhere/activity?action=api_key.displace").await.sees("Another principal proved that they hold");
    let details = eve.link("/w/elsewhere/activity?action=api_key.displace&#38;event=").replace("&#38;", "&");
    eve.open(details.split('#').next().expect("a path")).await.sees(&key.fingerprint);
}
