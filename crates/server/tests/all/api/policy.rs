//! Policies for keys: who sets them, what they refuse, and from when on.

use std::{collections::BTreeSet, time::Duration};

use domain::Clock as _;
use serde_json::{Value, json};
use server::app::{Caller, KeyOwner};

use crate::support::{Actor, Answer, Key, TestApp};

const DAY: u64 = 86_400;
const ALL: &str = "/api/v1/admin/policy";

/// Ada is an admin of acme, where max is a member and bot a service account. Eve is an admin elsewhere. Olga is an operator.
struct World {
    test: TestApp,
    ada: Actor,
    max: Actor,
    eve: Actor,
    bot: Actor,
    olga: Actor,
    ws: String,
}

async fn world() -> World {
    world_on(TestApp::new().await).await
}

async fn world_on(test: TestApp) -> World {
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let max = test.member(&ws, &ada, "max", "member").await;
    let (eve, olga) = (test.user("eve", false).await, test.user("olga", true).await);
    test.workspace("other", &eve).await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    World { test, ada, max, eve, bot, olga, ws }
}

impl World {
    fn policy(&self) -> String {
        format!("/api/v1/workspaces/{}/policy", self.ws)
    }

    fn of_bot(&self, key: &str) -> String {
        format!("/api/v1/workspaces/{}/service-accounts/{}/keys{key}", self.ws, self.bot.id)
    }

    /// Returns the time after so many days.
    fn day(&self, days: i64) -> String {
        (self.test.clock.now() + jiff::SignedDuration::from_hours(days * 24)).to_string()
    }

    async fn set(&self, rules: Value, enforced_from: Option<String>) -> Value {
        let body = json!({"rules": rules, "enforced_from": enforced_from});
        self.test.put(&self.policy(), &body).by(&self.ada.key).send().await.expect(200)
    }

    async fn set_for_all(&self, rules: Value, enforced_from: Option<String>) -> Value {
        let body = json!({"rules": rules, "enforced_from": enforced_from});
        self.test.put(ALL, &body).by(&self.olga.key).send().await.expect(200)
    }

    async fn register(&self, body: Value) -> Answer {
        self.test.post(&self.of_bot(""), &with_key(&self.test, body)).by(&self.ada.key).send().await
    }

    async fn status(&self, path: &str, key: &Key) -> u16 {
        self.test.get(path).by(key).send().await.status.as_u16()
    }

    fn workspace(&self) -> String {
        format!("/api/v1/workspaces/{}", self.ws)
    }

    async fn outside(&self) -> Vec<Value> {
        let path = format!("{}/keys?outside=true", self.policy());
        let page = self.test.get(&path).by(&self.ada.key).send().await.expect(200);
        page["items"].as_array().unwrap().clone()
    }

    async fn wait(&self, days: u64) {
        self.test.advance(Duration::from_secs(days * DAY)).await;
    }
}

fn with_key(test: &TestApp, mut body: Value) -> Value {
    body["title"] = json!("key");
    if body.get("public_key").is_none() {
        body["public_key"] = json!(test.new_key().openssh);
    }
    body
}

#[tokio::test]
async fn a_new_key_of_a_service_account_is_within_the_narrower_rules() {
    let world = world().await;
    world.set_for_all(json!({"max_key_lifetime": 90}), None).await;
    let set = world.set(json!({"max_key_lifetime": 365, "require_cidrs": true}), None).await;
    assert_eq!(set["effective"]["max_key_lifetime"], 90);
    assert_eq!((&set["rules"]["max_key_lifetime"], &set["effective"]["require_cidrs"]), (&json!(365), &json!(true)));
    assert_eq!(set["enforced_from"], json!(world.day(30)));

    let refused = world.register(json!({})).await.expect_problem(409, "outside_policy");
    assert_eq!(refused["rules"], json!(["max_key_lifetime", "require_cidrs"]));
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("within 90 days") && detail.contains("set expires_at to "), "{detail}");
    assert!(detail.contains("limits.cidrs") && detail.contains("this workspace"), "{detail}");
    let limits = json!({"cidrs": ["127.0.0.0/8"]});
    let refused = world.register(json!({"expires_at": world.day(91), "limits": limits})).await;
    assert_eq!(refused.expect_problem(409, "outside_policy")["rules"], json!(["max_key_lifetime"]));
    let made = world.register(json!({"expires_at": world.day(90), "limits": limits})).await.expect(201);

    // A policy reads the time of the registration from the id.
    let created: domain::Timestamp = made["created_at"].as_str().unwrap().parse().unwrap();
    let id: domain::ApiKeyId = made["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.created_millisecond(), created.as_millisecond());

    // A change of the key stays within the policy, and one of something else is not about it.
    let path = world.of_bot(&format!("/{}", made["id"].as_str().unwrap()));
    let change = |body: Value| world.test.patch(&path, &body).by(&world.ada.key).send();
    for body in [json!({"expires_at": null}), json!({"expires_at": world.day(91)}), json!({"limits": null})] {
        change(body).await.expect_problem(409, "outside_policy");
    }
    change(json!({"expires_at": world.day(9), "title": "renamed"})).await.expect(200);
    let path = world.of_bot(&format!("/{}", world.bot.key.id));
    let change = |body: Value| world.test.patch(&path, &body).by(&world.ada.key).send();
    change(json!({"title": "a key outside the policy"})).await.expect(200);
    change(json!({"limits": {"scopes": ["keyward:read"]}})).await.expect(200);
    change(json!({"expires_at": world.day(100)})).await.expect_problem(409, "outside_policy");
    change(json!({"expires_at": world.day(90)})).await.expect(200);
}

#[tokio::test]
async fn a_users_key_is_within_the_policy_of_the_installation() {
    let world = world().await;
    world.set_for_all(json!({"algorithms": ["ssh-rsa"], "require_expiry": true}), None).await;
    let add = |body: Value| world.test.post("/api/v1/me/keys", &with_key(&world.test, body)).by(&world.max.key).send();
    let refused = add(json!({})).await.expect_problem(409, "outside_policy");
    assert_eq!(refused["rules"], json!(["require_expiry", "algorithms"]));
    assert!(refused["detail"].as_str().unwrap().contains("this installation"), "{refused}");
    world.set_for_all(json!({"algorithms": ["ssh-ed25519"], "require_expiry": true}), None).await;
    add(json!({"expires_at": world.day(9)})).await.expect(201);
}

#[tokio::test]
async fn existing_keys_are_listed_and_refused_from_the_date_on() {
    let world = world().await;
    world.set(json!({"require_expiry": true}), Some(world.day(10))).await;
    let outside = world.outside().await;
    let of = |owner: &Actor| outside.iter().find(|key| key["owner"] == json!(owner.id)).unwrap().clone();
    assert_eq!(outside.len(), 3, "{outside:?}");
    let bot = of(&world.bot);
    assert_eq!((&bot["refused_from"], &bot["title"]), (&json!(world.day(10)), &json!("bot")));
    assert_eq!(bot["violations"][0]["rule"], "require_expiry");
    assert_eq!(bot["owner_email"], json!(world.bot.email));
    let max = of(&world.max);
    assert_eq!((&max["title"], &max["last_used_at"], &max["limits"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(max["owner_email"], json!(world.max.email));

    assert_eq!(world.status("/api/v1/me", &world.bot.key).await, 200);
    world.wait(9).await;
    assert_eq!(world.status("/api/v1/me", &world.bot.key).await, 200);
    world.wait(1).await;
    // A key of the service account is refused, and its holder learns why.
    let refused = world.test.get("/api/v1/me").by(&world.bot.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused["reason"], "outside_policy");
    assert!(refused["detail"].as_str().unwrap().contains("must have an expiry"), "{refused}");
    // The key of a member reaches everything but the workspace.
    let me = world.test.get("/api/v1/me").by(&world.max.key).send().await.expect(200);
    assert_eq!(me["workspaces"], json!([]));
    let listed = world.test.get("/api/v1/workspaces").by(&world.max.key).send().await.expect(200);
    assert_eq!(listed["items"], json!([]));
    for path in [world.workspace(), format!("{}/projects", world.workspace()), world.policy()] {
        let refused = world.test.get(&path).by(&world.max.key).send().await.expect_problem(403, "outside_policy");
        assert_eq!(refused["rules"], json!(["require_expiry"]), "{path}");
    }
    let made = world.test.post(&format!("{}/projects", world.workspace()), &json!({"title": "P"})).by(&world.max.key);
    made.send().await.expect_problem(403, "outside_policy");
    // Others learn nothing of the policy.
    world.test.get(&world.workspace()).by(&world.eve.key).send().await.expect_problem(404, "not_found");
    // A token of the key is refused in the same way.
    let token = world.test.bearer_token(&world.max.key).await;
    world.test.get(&world.workspace()).bearer(&token).send().await.expect_problem(403, "outside_policy");

    // The holder gives the key an expiry, and reaches the workspace again.
    let own = format!("/api/v1/me/keys/{}", world.max.key.id);
    world.test.patch(&own, &json!({"expires_at": world.day(5)})).by(&world.max.key).send().await.expect(200);
    assert_eq!(world.status(&world.workspace(), &world.max.key).await, 200);
}

#[tokio::test]
async fn a_users_key_that_is_registered_outside_the_policy_of_a_workspace_does_not_reach_it() {
    let world = world().await;
    world.set(json!({"require_expiry": true}), None).await;
    world.wait(1).await;
    let key = world.test.add_key(KeyOwner::User(world.max.id.parse().unwrap()), "new").await;
    world.test.get(&world.workspace()).by(&key).send().await.expect_problem(403, "outside_policy");
    assert_eq!(world.status(&world.workspace(), &world.max.key).await, 200, "it existed");
    // In the directory and in a transaction, after a restart too.
    let World { test, ws, .. } = world;
    let test = test.restart().await;
    let path = format!("/api/v1/workspaces/{ws}");
    test.get(&path).by(&key).send().await.expect_problem(403, "outside_policy");
    let made = test.post(&format!("{path}/projects"), &json!({"title": "P"})).by(&key).send().await;
    made.expect_problem(403, "outside_policy");
}

#[tokio::test]
async fn a_policy_in_force_refuses_keys_when_the_change_returns_and_its_removal_lets_them_in() {
    let world = world().await;
    let now = Some(world.day(0));
    world.set(json!({"require_cidrs": true}), now.clone()).await;
    // It is about the admin's own key, too. In a session, or on the host, the admin corrects this.
    assert_eq!(world.status(&world.workspace(), &world.ada.key).await, 403);
    assert_eq!(world.status("/api/v1/me", &world.bot.key).await, 401);
    let none = api::SetKeyPolicy::default();
    let place = domain::policy::PolicyPlace::Workspace(world.ws.parse().unwrap());
    world.test.app.set_policy(&Caller::host(), place, none).await.unwrap();
    assert_eq!(world.status(&world.workspace(), &world.ada.key).await, 200);
    assert_eq!(world.status("/api/v1/me", &world.bot.key).await, 200);

    // The policy of the installation refuses keys everywhere.
    world.set_for_all(json!({"require_cidrs": true}), now).await;
    for actor in [&world.ada, &world.max, &world.eve, &world.bot, &world.olga] {
        let refused = world.test.get("/api/v1/me").by(&actor.key).send().await.expect(401);
        assert_eq!(refused["reason"], "outside_policy");
    }
}

#[tokio::test]
async fn an_operators_key_outside_the_policy_of_a_workspace_still_operates() {
    let world = world().await;
    world.test.join(&world.ws, &world.ada, &world.olga, "admin").await;
    world.set(json!({"require_cidrs": true}), Some(world.day(0))).await;
    let quotas = format!("/api/v1/admin/workspaces/{}/quotas", world.ws);
    assert_eq!(world.status(&quotas, &world.olga.key).await, 200);
    assert_eq!(world.status(&world.workspace(), &world.olga.key).await, 403);
    assert_eq!(world.status(&quotas, &world.ada.key).await, 403);
}

#[tokio::test]
async fn a_successor_lives_as_long_as_the_policy_allows() {
    let world = world().await;
    world.set(json!({"max_key_lifetime": 30}), None).await;
    let path = world.of_bot(&format!("/{}/rotate", world.bot.key.id));
    let body = json!({"public_key": world.test.new_key().openssh, "overlap_seconds": 3600});
    let rotated = world.test.post(&path, &body).by(&world.ada.key).send().await.expect(201);
    assert_eq!(rotated["successor"]["expires_at"], json!(world.day(30)), "the predecessor never expires");
    world.test.delete(&path).by(&world.ada.key).send().await.expect(204);
    let limits = json!({"limits": {"cidrs": ["127.0.0.0/8"]}, "expires_at": world.day(7)});
    world
        .test
        .patch(&world.of_bot(&format!("/{}", world.bot.key.id)), &limits)
        .by(&world.ada.key)
        .send()
        .await
        .expect(200);
    let body = json!({"public_key": world.test.new_key().openssh, "overlap_seconds": 3600});
    let rotated = world.test.post(&path, &body).by(&world.ada.key).send().await.expect(201);
    assert_eq!(rotated["successor"]["expires_at"], json!(world.day(7)));
    // A successor gets the limits of its predecessor, so these are changed first.
    let successor = rotated["successor"]["id"].as_str().unwrap().to_owned();
    let of_successor = world.of_bot(&format!("/{successor}"));
    world.test.patch(&of_successor, &json!({"limits": null})).by(&world.ada.key).send().await.expect(200);
    world.set(json!({"require_cidrs": true}), None).await;
    let body = json!({"public_key": world.test.new_key().openssh, "overlap_seconds": 3600});
    let refused = world.test.post(&format!("{of_successor}/rotate"), &body).by(&world.ada.key).send().await;
    assert_eq!(refused.expect_problem(409, "outside_policy")["rules"], json!(["require_cidrs"]));
}

#[tokio::test]
async fn unused_keys_are_listed_or_disabled_with_an_event() {
    let world = world().await;
    let app = &world.test.app;
    // Both were just registered. The bot's key is used, and another one is not.
    let owner = KeyOwner::ServiceAccount(world.ws.parse().unwrap(), world.bot.id.parse().unwrap());
    let unused = world.test.add_key(owner, "unused").await;
    world.wait(40).await;
    assert_eq!(world.status("/api/v1/me", &world.bot.key).await, 200);
    app.write_records().await.unwrap();
    world.set(json!({"unused_days": 30}), Some(world.day(0))).await;
    let listed = world.outside().await;
    assert!(listed.iter().any(|key| key["id"] == json!(unused.id)), "{listed:?}");
    assert!(listed.iter().all(|key| key["violations"][0]["rule"] == "unused_days" && key["refused_from"].is_null()));
    assert_eq!(app.disable_unused_keys().await.unwrap(), 0, "they are listed only");

    // Existing keys are disabled from the date on.
    world.set(json!({"unused_days": 30, "unused_action": "disable"}), Some(world.day(3))).await;
    assert_eq!(app.disable_unused_keys().await.unwrap(), 0);
    world.wait(3).await;
    assert_eq!(app.disable_unused_keys().await.unwrap(), 1);
    assert_eq!(world.status("/api/v1/me", &unused).await, 401);
    assert_eq!(world.status("/api/v1/me", &world.bot.key).await, 200);
    assert_eq!(world.status("/api/v1/me", &world.max.key).await, 200, "the key of a user is not the workspace's");
    let events = format!("/api/v1/workspaces/{}/audit-events?action=api_key.disable", world.ws);
    let events = world.test.get(&events).by(&world.ada.key).send().await.expect(200);
    let event = &events["items"][0];
    assert_eq!((&event["target"], &event["principal"]), (&json!(unused.id), &json!("host")));
    assert!(event["detail"]["reason"].as_str().unwrap().contains("not used"), "{event}");

    // A key that is enabled again has another 30 days.
    let enable = world.of_bot(&format!("/{}/enable", unused.id));
    world.test.post(&enable, &Value::Null).by(&world.ada.key).send().await.expect(200);
    world.wait(29).await;
    assert_eq!(world.status("/api/v1/me", &world.bot.key).await, 200);
    assert_eq!(app.disable_unused_keys().await.unwrap(), 0);
    world.wait(2).await;
    assert_eq!(app.disable_unused_keys().await.unwrap(), 1);

    // The installation disables the keys of users, too.
    world.set_for_all(json!({"unused_days": 365, "unused_action": "disable"}), Some(world.day(0))).await;
    world.wait(366).await;
    assert_eq!(world.status("/api/v1/me", &world.max.key).await, 200);
    app.write_records().await.unwrap();
    assert!(app.disable_unused_keys().await.unwrap() > 0);
    assert_eq!(world.status("/api/v1/me", &world.max.key).await, 200);
    assert_eq!(world.status("/api/v1/me", &world.eve.key).await, 401);
}

#[tokio::test]
async fn people_set_policies_and_service_accounts_and_tokens_do_not() {
    let world = world().await;
    let body = json!({"rules": {"require_expiry": true}});
    let admin_account = {
        let path = format!("/api/v1/workspaces/{}/service-accounts/{}", world.ws, world.bot.id);
        world.test.patch(&path, &json!({"role": "admin"})).by(&world.ada.key).send().await.expect(200);
        &world.bot
    };
    let put = |key: &Key| world.test.put(&world.policy(), &body).by(key).send();
    put(&admin_account.key).await.expect_problem(403, "forbidden");
    put(&world.max.key).await.expect_problem(403, "forbidden");
    put(&world.eve.key).await.expect_problem(404, "not_found");
    put(&world.olga.key).await.expect_problem(404, "not_found");
    world.test.put(ALL, &body).by(&world.ada.key).send().await.expect_problem(403, "forbidden");
    let token = world.test.bearer_token(&world.ada.key).await;
    world.test.put(&world.policy(), &body).bearer(&token).send().await.expect_problem(403, "forbidden");
    assert_eq!(world.test.get(&world.policy()).by(&world.max.key).send().await.expect(200)["set_at"], Value::Null);
    // A key that only reads, and one for projects.
    for (limits, expected) in [("scopes=keyward:read", 403), ("projects=", 403), ("scopes=keyward:manage", 200)] {
        super::key_limits::limit(&world.test, super::key_limits::user(&world.ada), &world.ada.key, limits).await;
        assert_eq!(put(&world.ada.key).await.status.as_u16(), expected, "{limits}");
    }
}

#[tokio::test]
async fn an_invalid_rule_or_date_is_refused() {
    let world = world().await;
    for (rules, field) in [
        (json!({"max_key_lifetime": 0}), "rules.max_key_lifetime"),
        (json!({"max_key_lifetime": 3651}), "rules.max_key_lifetime"),
        (json!({"unused_days": 0}), "rules.unused_days"),
        (json!({"unused_action": "disable"}), "rules.unused_action"),
        (json!({"unused_days": 9, "unused_action": "delete"}), "rules.unused_action"),
        (json!({"algorithms": []}), "rules.algorithms"),
        (json!({"algorithms": ["ssh-dss"]}), "rules.algorithms"),
    ] {
        let problem = world.test.put(&world.policy(), &json!({"rules": rules})).by(&world.ada.key).send().await;
        let problem = problem.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    for date in [world.day(-1), world.day(367)] {
        let body = json!({"rules": {}, "enforced_from": date});
        let problem = world.test.put(&world.policy(), &body).by(&world.ada.key).send().await;
        assert_eq!(problem.expect_problem(400, "invalid_request")["errors"][0]["field"], "enforced_from");
    }
    for body in [json!({"rules": {"later_rule": 1}}), json!({}), json!({"rules": {}, "later": 1})] {
        world.test.put(&world.policy(), &body).by(&world.ada.key).send().await.expect_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn the_event_of_a_policy_has_its_rules_and_those_before() {
    let world = world().await;
    world.set(json!({"max_key_lifetime": 90}), None).await;
    world.set(json!({"max_key_lifetime": 30, "algorithms": ["ssh-ed25519"]}), None).await;
    let events = format!("/api/v1/workspaces/{}/audit-events?action=policy.update", world.ws);
    let events = world.test.get(&events).by(&world.ada.key).send().await.expect(200);
    let event = &events["items"][0];
    assert_eq!(event["detail"]["max_key_lifetime"], "30");
    assert_eq!(event["detail"]["max_key_lifetime_before"], "90");
    assert_eq!(event["detail"]["algorithms"], "ssh-ed25519");
    assert_eq!(event["target"], json!(world.ws));
}

#[tokio::test]
async fn no_policy_is_set_while_a_node_runs_that_would_not_apply_it() {
    let world = world().await;
    let older = world.test.older_node(Some(13)).await;
    let body = json!({"rules": {"require_expiry": true}});
    let put = || world.test.put(&world.policy(), &body).by(&world.ada.key).send();
    let problem = put().await.expect_problem(409, "upgrade_in_progress");
    assert!(problem["detail"].as_str().unwrap().contains("older:1"), "{problem}");
    world.test.store().await.remove_node(older, store::Version(0)).await.unwrap();
    put().await.expect(200);
    // To remove a policy needs no other release.
    world.test.older_node(Some(13)).await;
    world.set(json!({}), None).await;
}

#[tokio::test]
async fn the_review_of_the_installation_contains_nothing_of_workspaces() {
    let world = world().await;
    world.set_for_all(json!({"require_expiry": true}), None).await;
    let get =
        async |query: &str| world.test.get(&format!("{ALL}/keys{query}")).by(&world.olga.key).send().await.expect(200);
    let all = get("?outside=true").await;
    let bot = all["items"].as_array().unwrap().iter().find(|key| key["owner"] == json!(world.bot.id)).unwrap();
    for field in ["title", "owner_email", "owner_name", "last_used_at", "limits"] {
        assert!(bot[field].is_null(), "{field}: {bot}");
    }
    assert_eq!(bot["workspace"], json!(world.ws));
    // In pages.
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("?outside=true&limit=2{after}")).await;
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(json!(seen), all["items"]);
}

#[tokio::test]
async fn a_key_for_another_workspace_is_not_in_the_review() {
    let world = world().await;
    let other = world.test.workspace("third", &world.max).await;
    super::key_limits::limit(
        &world.test,
        super::key_limits::user(&world.max),
        &world.max.key,
        &format!("workspaces={other}"),
    )
    .await;
    let path = format!("{}/keys", world.policy());
    let page = world.test.get(&path).by(&world.ada.key).send().await.expect(200);
    let owners: BTreeSet<_> = page["items"].as_array().unwrap().iter().map(|key| key["owner"].to_string()).collect();
    assert_eq!(owners, [json!(world.ada.id).to_string(), json!(world.bot.id).to_string()].into());
}
