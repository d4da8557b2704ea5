//! Limits of keys: what a key with limits may do on every route, who sets them, and what a key gives to another key.

use std::collections::BTreeSet;

use domain::{limits::Limits, principal::Principal};
use serde_json::{Value, json};
use server::app::{Caller, KeyOwner};
use store::audit::{EventFilter, EventScope, list_events};

use super::access::{TABLE, World, fill};
use crate::support::{Actor, Answer, Key, TestApp};

const ADMIN: usize = 3;
const OPERATOR: usize = 4;
const ACCOUNT: usize = 5;

/// Returns limits as the API has them.
fn wire(text: &str) -> api::KeyLimits {
    let Limits { scopes, projects, workspaces, cidrs, not_before } = text.parse().expect("limits");
    let texts = |set: BTreeSet<String>| set.into_iter().collect();
    api::KeyLimits {
        scopes: scopes.map(|set| set.iter().map(ToString::to_string).collect()),
        projects: projects.map(|set| set.into_iter().collect()),
        workspaces: workspaces.map(|set| set.into_iter().collect()),
        cidrs: cidrs.map(|set| texts(set.iter().map(ToString::to_string).collect())),
        not_before,
    }
}

/// Limits a key on the host.
pub async fn limit(test: &TestApp, owner: KeyOwner, key: &Key, limits: &str) {
    let update = api::UpdateApiKey { limits: Some(Some(wire(limits))), ..api::UpdateApiKey::default() };
    let id = key.id.parse().expect("key_");
    test.app.update_api_key(&Caller::host(), owner, id, &update).await.expect("limits");
}

pub fn user(actor: &Actor) -> KeyOwner {
    KeyOwner::User(actor.id.parse().expect("usr_"))
}

/// Asks as the key of an actor that is limited.
async fn ask(world: &World, test: &TestApp, who: usize, (method, path): (&str, &str)) -> Answer {
    world.ask(test, method, path, &world.acme, who).await
}

/// A refusal because of a scope names it.
fn is_missing_scope(answer: &Answer) -> bool {
    answer.status == 403 && answer.json()["required_scope"].is_string()
}

#[tokio::test]
async fn a_key_that_may_only_read_writes_through_no_route_and_reads_everything() {
    let world = World::build().await;
    let test = world.open().await;
    for who in [ADMIN, OPERATOR, ACCOUNT] {
        let actor = world.actors[who].as_ref().unwrap();
        limit(&test, owner_of(&world, who), &actor.key, "scopes=keyward:read").await;
        let store = test.store().await;
        let before = store.current_version().await.unwrap();
        let mut differences = Vec::new();
        for &(method, path, expected) in TABLE {
            let answer = ask(&world, &test, who, (method, path)).await;
            let is_as_expected = match method {
                "GET" => answer.status.as_u16() == expected[who],
                _ => is_missing_scope(&answer),
            };
            if !is_as_expected {
                differences.push(format!(
                    "{method} {path} by {who}: {} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.bytes)
                ));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        assert_eq!(store.current_version().await.unwrap(), before, "nothing was changed");
    }
}

fn owner_of(world: &World, who: usize) -> KeyOwner {
    let actor = world.actors[who].as_ref().unwrap();
    match actor.id.parse() {
        Ok(user) => KeyOwner::User(user),
        Err(_) => KeyOwner::ServiceAccount(world.acme["{ws}"].parse().unwrap(), actor.id.parse().unwrap()),
    }
}

#[tokio::test]
async fn a_key_without_any_scope_reaches_nothing_and_one_for_projects_changes_only_these() {
    let world = World::build().await;
    let mut test = world.open().await;
    let actor = world.actors[ADMIN].as_ref().unwrap();
    for limits in ["scopes=", "scopes=keyward:write"] {
        limit(&test, user(actor), &actor.key, limits).await;
        let mut differences = Vec::new();
        for &(method, path, expected) in TABLE {
            let answer = ask(&world, &test, ADMIN, (method, path)).await;
            let changes_projects = matches!(
                (method, path),
                ("POST", "/api/v1/workspaces/{ws}/projects")
                    | ("PATCH" | "DELETE", "/api/v1/workspaces/{ws}/projects/{prj}")
            );
            let is_open = matches!(path, "/healthz" | "/readyz");
            // They need no credential but a statement that the leaked key signed.
            let is_by_statement = path.starts_with("/api/v1/leaked-keys/");
            let is_allowed =
                is_open || limits == "scopes=keyward:write" && (method == "GET" || changes_projects || is_by_statement);
            // Some operations of operators refuse others before they look at the scope.
            let is_refused = is_missing_scope(&answer) || answer.status == 403 && expected[ADMIN] == 403;
            let is_as_expected = if is_allowed { answer.status.as_u16() == expected[ADMIN] } else { is_refused };
            if !is_as_expected {
                differences.push(format!(
                    "{limits}: {method} {path}: {} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.bytes)
                ));
            }
            if answer.status.is_success() && method == "DELETE" {
                test.app.close().await;
                test = world.open().await;
                limit(&test, user(actor), &actor.key, limits).await;
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

/// What a key that is limited to the project of the tenant reaches. Everything else of a workspace is refused.
const WITHIN_A_PROJECT: [(&str, &str); 26] = [
    ("GET", "/api/v1/me"),
    ("GET", "/api/v1/me/keys"),
    ("POST", "/api/v1/me/keys"),
    ("GET", "/api/v1/me/keys/{key}"),
    ("PATCH", "/api/v1/me/keys/{key}"),
    ("DELETE", "/api/v1/me/keys/{key}"),
    ("GET", "/api/v1/me/keys/{key}/cascade"),
    ("GET", "/api/v1/me/keys/{key}/use"),
    ("POST", "/api/v1/me/keys/{key}/disable"),
    ("POST", "/api/v1/me/keys/{key}/proof"),
    ("GET", "/api/v1/me/use"),
    ("POST", "/api/v1/me/proof-challenges"),
    ("GET", "/api/v1/workspaces/{ws}/projects"),
    ("GET", "/api/v1/workspaces/{ws}/projects/{prj}"),
    ("PATCH", "/api/v1/workspaces/{ws}/projects/{prj}"),
    ("DELETE", "/api/v1/workspaces/{ws}/projects/{prj}"),
    ("GET", "/api/v1/workspaces/{ws}/projects/{prj}/members"),
    ("PUT", "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}"),
    ("DELETE", "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v2/public/user/bearer-token"),
    ("GET", "/v2/public/user/current-organisation/groups"),
    ("GET", "/v2/public/projects"),
    ("GET", "/v2/public/projects/{project}"),
];

#[tokio::test]
async fn a_key_for_a_project_reaches_that_project_and_nothing_else_of_a_workspace() {
    let world = World::build().await;
    let mut test = world.open().await;
    let actor = world.actors[ADMIN].as_ref().unwrap();
    let limits = format!("projects={}", world.acme["{prj}"]);
    limit(&test, user(actor), &actor.key, &limits).await;
    let mut differences = Vec::new();
    for &(method, path, expected) in TABLE {
        let answer = ask(&world, &test, ADMIN, (method, path)).await;
        // The other key of the tenant has no limits, so this key does not enable it.
        let is_wider = path == "/api/v1/me/keys/{key}/enable";
        let expected = match WITHIN_A_PROJECT.contains(&(method, path)) {
            true => expected[ADMIN],
            // They need no credential but a statement that the leaked key signed.
            false if path.starts_with("/api/v1/leaked-keys/") => expected[ADMIN],
            false if path == "/api/v1/invitations/accept" => 403,
            false if is_wider => 403,
            // It is refused before the rotation is looked up.
            false if path.contains("/service-accounts/") => 403,
            false if expected[ADMIN] == 404 => 404,
            false => 403,
        };
        if answer.status.as_u16() != expected {
            differences.push(format!(
                "{method} {path}: {}, not {expected}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.bytes)
            ));
        }
        if answer.status.is_success() && method != "GET" {
            test.app.close().await;
            test = world.open().await;
            limit(&test, user(actor), &actor.key, &limits).await;
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    // A key for no project, and one for a project that was deleted, see none.
    for path in ["/api/v1/workspaces/{ws}/projects", "/v2/public/projects"] {
        limit(&test, user(actor), &actor.key, "projects=").await;
        let listed = test.get(&fill(path, &world.acme)).by(&actor.key).send().await.expect(200);
        let items = listed.get("items").or_else(|| listed.get("results")).unwrap();
        assert_eq!(items, &json!([]), "{path}");
    }
    let one = fill("/api/v1/workspaces/{ws}/projects/{prj}", &world.acme);
    test.get(&one).by(&actor.key).send().await.expect(404);
}

/// A workspace with two projects, and its admin.
struct Acme {
    test: TestApp,
    ada: Actor,
    ws: String,
    at: String,
}

async fn acme() -> Acme {
    let test = TestApp::with_settings(|settings| {
        let scope = domain::limits::DeclaredScope::new("invoices:read", "Read invoices").unwrap();
        settings.scopes = vec![scope];
    })
    .await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    test.raise_quotas(&ws, 99).await;
    let at = format!("/api/v1/workspaces/{ws}");
    Acme { test, ada, ws, at }
}

impl Acme {
    async fn project(&self, title: &str) -> String {
        let made = self.test.post(&format!("{}/projects", self.at), &json!({"title": title})).by(&self.ada.key);
        made.send().await.expect(201)["id"].as_str().unwrap().to_owned()
    }

    async fn add(&self, by: &Key, limits: Value) -> (Key, Answer) {
        let mut key = self.test.new_key();
        let body = json!({"title": "another", "public_key": key.openssh, "limits": limits});
        let answer = self.test.post("/api/v1/me/keys", &body).by(by).send().await;
        answer.json()["id"].as_str().unwrap_or_default().clone_into(&mut key.id);
        (key, answer)
    }

    async fn set(&self, by: &Key, key: &Key, limits: Value) -> Answer {
        let path = format!("/api/v1/me/keys/{}", key.id);
        self.test.patch(&path, &json!({"limits": limits})).by(by).send().await
    }
}

#[tokio::test]
async fn a_key_for_a_project_sees_only_it_in_lists_by_the_api_and_by_the_sdk() {
    let acme = acme().await;
    let (cats, _dogs) = (acme.project("Cats").await, acme.project("Dogs").await);
    let (key, _) = acme.add(&acme.ada.key, json!({"projects": [cats]})).await;
    let titles = |listed: &Value| -> Vec<String> {
        let items = listed.get("items").or_else(|| listed.get("results")).unwrap().as_array().unwrap();
        items.iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
    };
    for path in [format!("{}/projects", acme.at), format!("{}/projects?sort=title", acme.at)] {
        assert_eq!(titles(&acme.test.get(&path).by(&key).send().await.expect(200)), ["Cats"]);
        assert_eq!(
            acme.test.get(&path).by(&acme.ada.key).send().await.expect(200)["items"].as_array().unwrap().len(),
            2
        );
    }
    for path in ["/v2/public/projects", "/v2/public/projects?includeOrgAccess=True"] {
        assert_eq!(titles(&acme.test.get(path).by_encord(&key).send().await.expect(200)), ["Cats"]);
        let token = acme.test.bearer_token(&key).await;
        assert_eq!(titles(&acme.test.get(path).bearer(&token).send().await.expect(200)), ["Cats"], "of a token");
    }
}

#[tokio::test]
async fn a_key_for_a_workspace_knows_no_other_one_and_is_no_operator() {
    let acme = acme().await;
    let olga = acme.test.user("olga", true).await;
    acme.test.join(&acme.ws, &acme.ada, &olga, "admin").await;
    let other = acme.test.workspace("other", &olga).await;
    limit(&acme.test, user(&olga), &olga.key, &format!("workspaces={}", acme.ws)).await;
    let me = acme.test.get("/api/v1/me").by(&olga.key).send().await.expect(200);
    assert_eq!(me["workspaces"].as_array().unwrap().len(), 1);
    assert_eq!((&me["workspaces"][0]["id"], &me["operator"]), (&json!(acme.ws), &json!(false)));
    let listed = acme.test.get("/api/v1/workspaces").by(&olga.key).send().await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    acme.test.get(&format!("{}/members", acme.at)).by(&olga.key).send().await.expect(200);
    acme.test.get(&format!("/api/v1/workspaces/{other}/members")).by(&olga.key).send().await.expect(404);
    acme.test.get("/api/v1/admin/users").by(&olga.key).send().await.expect(403);
    let body = json!({"name": "New", "slug": "new"});
    acme.test.post("/api/v1/workspaces", &body).by(&olga.key).send().await.expect(403);
}

#[tokio::test]
async fn a_key_for_networks_is_told_where_its_request_came_from() {
    let acme = acme().await;
    let (key, _) = acme.add(&acme.ada.key, json!({"cidrs": ["10.1.0.0/16", "2001:db8::/32"]})).await;
    let from = |address: &str| {
        let mut request = acme.test.get("/api/v1/me").by(&key);
        request.address = address.parse().unwrap();
        request.send()
    };
    for address in ["10.1.2.3", "2001:db8::1", "::ffff:10.1.2.3"] {
        from(address).await.expect(200);
    }
    let refused = from("192.0.2.7").await;
    let problem = refused.expect(401);
    assert_eq!(problem["reason"], "address_not_allowed");
    assert!(problem["detail"].as_str().unwrap().contains("192.0.2.7"), "{problem}");

    // Who does not hold the key learns nothing of its limits.
    let mut stranger = acme.test.new_key();
    stranger.fingerprint.clone_from(&key.fingerprint);
    let mut request = acme.test.get("/api/v1/me").by(&stranger);
    request.address = "192.0.2.7".parse().unwrap();
    let problem = request.send().await.expect(401);
    assert!(problem.get("reason").is_none(), "{problem}");

    // A token of the key is good in the same networks only, and a change is checked in its transaction too.
    let mut asked = acme.test.get("/v2/public/user/bearer-token").by(&key);
    asked.address = "10.1.2.3".parse().unwrap();
    let token = asked.send().await.expect(200)["token"].as_str().unwrap().to_owned();
    for (address, status) in [("10.1.2.3", 200), ("192.0.2.7", 401)] {
        let mut request = acme.test.get("/api/v1/me").bearer(&token);
        request.address = address.parse().unwrap();
        request.send().await.expect(status);
        let body = json!({"title": format!("From {address}")});
        let mut request = acme.test.post(&format!("{}/projects", acme.at), &body).by(&key);
        request.address = address.parse().unwrap();
        request.send().await.expect(if status == 200 { 201 } else { 401 });
    }
}

#[tokio::test]
async fn the_address_of_a_client_is_the_one_that_a_trusted_proxy_reports() {
    let test = TestApp::with_settings(|settings| settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    limit(&test, user(&ada), &ada.key, "cidrs=192.0.2.0/24").await;
    let ask = async |peer: &str, forwarded: Option<&str>| {
        let mut request = test.get("/api/v1/me").by(&ada.key);
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        request.address = peer.parse().unwrap();
        request.send().await.status.as_u16()
    };
    assert_eq!(ask("10.0.0.1", Some("192.0.2.7")).await, 200);
    assert_eq!(ask("10.0.0.1", Some("198.51.100.1, 192.0.2.7")).await, 200);
    assert_eq!(ask("10.0.0.1", Some("192.0.2.7, 198.51.100.1")).await, 401, "what the client wrote");
    assert_eq!(ask("198.51.100.1", Some("192.0.2.7")).await, 401, "not a proxy");
    // The network of the proxies itself is allowed, and the proxy does not report the client.
    limit(&test, user(&ada), &ada.key, "cidrs=10.0.0.0/8,192.0.2.0/24").await;
    for forwarded in [None, Some("unknown"), Some("192.0.2.7, unknown")] {
        assert_eq!(ask("10.0.0.1", forwarded).await, 401, "{forwarded:?}");
    }
    assert_eq!(ask("10.0.0.1", Some("10.0.0.9")).await, 200, "a client in the same network");
}

#[tokio::test]
async fn a_key_is_accepted_from_its_time_on() {
    let acme = acme().await;
    let start = acme.test.app.now() + std::time::Duration::from_hours(1);
    let (key, made) = acme.add(&acme.ada.key, json!({"not_before": start.to_string()})).await;
    assert_eq!(made.expect(201)["limits"]["not_before"], json!(start.to_string()));
    let problem = acme.test.get("/api/v1/me").by(&key).send().await.expect(401);
    assert_eq!(problem["reason"], "key_not_yet_valid");
    assert!(problem["detail"].as_str().unwrap().contains(&format!("{start:.0}")), "{problem}");
    acme.test.clock.advance(std::time::Duration::from_hours(1));
    acme.test.app.renew_lease().await.unwrap();
    acme.test.get("/api/v1/me").by(&key).send().await.expect(200);
}

#[tokio::test]
async fn a_key_gives_another_key_at_most_its_own_limits() {
    let acme = acme().await;
    let (cats, dogs) = (acme.project("Cats").await, acme.project("Dogs").await);
    let own = json!({"scopes": ["keyward:manage", "invoices:read"], "projects": [cats], "cidrs": ["127.0.0.0/8"]});
    let (key, _) = acme.add(&acme.ada.key, own.clone()).await;

    // Without limits, the new key gets those of the key that registers it.
    for limits in [Value::Null, json!({}), json!({"scopes": null})] {
        let (_, made) = acme.add(&key, limits).await;
        let granted = made.expect(201)["limits"].clone();
        assert_eq!(granted["projects"], json!([cats]));
        assert_eq!(granted["cidrs"], json!(["127.0.0.0/8"]));
        assert_eq!(granted["scopes"], json!(["keyward:manage", "invoices:read"]));
    }
    let (narrow, made) =
        acme.add(&key, json!({"scopes": ["keyward:read"], "cidrs": ["127.0.0.1"], "projects": []})).await;
    assert_eq!(made.expect(201)["limits"]["cidrs"], json!(["127.0.0.1/32"]));
    for wider in [json!({"projects": [cats, dogs]}), json!({"cidrs": ["0.0.0.0/0"]}), json!({"cidrs": ["10.0.0.0/8"]})]
    {
        let (_, refused) = acme.add(&key, wider.clone()).await;
        assert!(refused.expect(403)["detail"].as_str().unwrap().contains("exceed"), "{wider}");
        acme.set(&key, &narrow, wider.clone()).await.expect(403);
        acme.set(&key, &key, wider).await.expect(403);
    }
    // It never widens itself: what it does not limit stays.
    let kept = acme.set(&key, &key, Value::Null).await.expect(200);
    assert_eq!(kept["limits"]["projects"], json!([cats]));
    // It widens another key up to its own limits, and narrows itself.
    let wider = acme.set(&key, &narrow, json!({"projects": [cats]})).await.expect(200);
    assert_eq!(wider["limits"]["projects"], json!([cats]));
    acme.set(&key, &key, json!({"scopes": ["keyward:read"]})).await.expect(200);
    acme.set(&key, &key, json!({"scopes": ["keyward:read"]})).await.expect(403);

    // A key does not let a key with fewer limits be used again, or for longer.
    let (key, _) = acme.add(&acme.ada.key, json!({"scopes": ["keyward:manage"]})).await;
    let path = format!("/api/v1/me/keys/{}", acme.ada.key.id);
    let (plain, _) = acme.add(&acme.ada.key, Value::Null).await;
    let path_of_plain = format!("/api/v1/me/keys/{}", plain.id);
    acme.test.post(&format!("{path_of_plain}/disable"), &Value::Null).by(&key).send().await.expect(200);
    let refused = acme.test.post(&format!("{path_of_plain}/enable"), &Value::Null).by(&key).send().await;
    assert!(refused.expect(403)["detail"].as_str().unwrap().contains("scopes"));
    let soon = (acme.test.app.now() + std::time::Duration::from_hours(1)).to_string();
    let late = (acme.test.app.now() + std::time::Duration::from_hours(2)).to_string();
    let expire = |path: String, at: String| acme.test.patch(&path, &json!({"expires_at": at})).by(&key).send();
    expire(path.clone(), soon.clone()).await.expect(200);
    expire(path.clone(), late).await.expect(403);
    acme.test.patch(&path, &json!({"expires_at": null})).by(&key).send().await.expect(403);
    expire(path_of_plain, soon).await.expect(200);
    acme.test.patch(&path, &json!({"expires_at": null})).by(&acme.ada.key).send().await.expect(200);
}

#[tokio::test]
async fn limits_take_effect_when_the_call_returns_and_are_in_the_audit_log_with_those_before() {
    let acme = acme().await;
    let (key, made) = acme.add(&acme.ada.key, json!({"scopes": ["keyward:write"]})).await;
    assert_eq!(made.expect(201)["limits"]["scopes"], json!(["keyward:write"]));
    let projects = format!("{}/projects", acme.at);
    acme.test.post(&projects, &json!({"title": "P"})).by(&key).send().await.expect(201);
    let token = acme.test.bearer_token(&key).await;
    acme.set(&acme.ada.key, &key, json!({"scopes": ["keyward:read"], "cidrs": ["127.0.0.1"]})).await.expect(200);
    acme.test.post(&projects, &json!({"title": "Q"})).by(&key).send().await.expect(403);
    acme.test.post(&projects, &json!({"title": "Q"})).bearer(&token).send().await.expect(403);
    acme.test.get(&projects).bearer(&token).send().await.expect(200);
    let shown = acme.test.get(&format!("/api/v1/me/keys/{}", key.id)).by(&key).send().await.expect(200);
    assert_eq!(shown["limits"]["cidrs"], json!(["127.0.0.1/32"]));
    let cleared = acme.set(&acme.ada.key, &key, Value::Null).await.expect(200);
    assert_eq!(cleared["limits"], Value::Null);
    acme.test.post(&projects, &json!({"title": "Q"})).by(&key).send().await.expect(201);

    let everywhere = EventScope::Installation(Principal::host().authorize_host().unwrap());
    let filter = EventFilter { target: Some(key.id.clone()), ..EventFilter::default() };
    let store = acme.test.store().await;
    let mut page = list_events(&mut store.read().await.unwrap(), everywhere, &filter, 9).await.unwrap();
    page.reverse();
    let detail = |at: usize, name: &str| page[at].event.detail.get(name).cloned();
    assert_eq!(detail(0, "limits").as_deref(), Some("scopes=keyward:write"));
    assert_eq!(detail(1, "limits_before").as_deref(), Some("scopes=keyward:write"));
    assert_eq!(detail(1, "limits").as_deref(), Some("scopes=keyward:read;cidrs=127.0.0.1/32"));
    assert_eq!(detail(2, "limits_before").as_deref(), Some("scopes=keyward:read;cidrs=127.0.0.1/32"));
    assert_eq!(detail(2, "limits").as_deref(), Some(""));
}

#[tokio::test]
async fn malformed_unknown_and_foreign_limits_are_refused_by_field() {
    let acme = acme().await;
    let eve = acme.test.user("eve", false).await;
    let elsewhere = acme.test.workspace("elsewhere", &eve).await;
    let theirs = acme.test.post(&format!("/api/v1/workspaces/{elsewhere}/projects"), &json!({"title": "X"}));
    let theirs = theirs.by(&eve.key).send().await.expect(201)["id"].clone();
    let unknown = "prj_01h455vb4pex5vsknk084sn02q";
    for (limits, field) in [
        (json!({"scopes": ["Keyward:Read"]}), "limits.scopes"),
        (json!({"scopes": ["keyward:everything"]}), "limits.scopes"),
        (json!({"scopes": ["invoices:write"]}), "limits.scopes"),
        (json!({"cidrs": ["10.0.0.1/8"]}), "limits.cidrs"),
        (json!({"cidrs": ["localhost"]}), "limits.cidrs"),
        (json!({"projects": [theirs]}), "limits.projects"),
        (json!({"projects": [unknown]}), "limits.projects"),
        (json!({"workspaces": [elsewhere]}), "limits.workspaces"),
        (json!({"cidrs": vec!["10.0.0.1"; 101]}), "limits.cidrs"),
    ] {
        let (_, refused) = acme.add(&acme.ada.key, limits.clone()).await;
        assert_eq!(refused.expect(400)["errors"][0]["field"], field, "{limits}");
    }
    for limits in [json!({"scope": []}), json!({"scopes": "keyward:read"}), json!([]), json!({"projects": ["x"]})] {
        acme.add(&acme.ada.key, limits).await.1.expect(400);
    }
    let account = acme.test.service_account(&acme.ws, &acme.ada, "bot").await;
    let keys = format!("{}/service-accounts/{}/keys", acme.at, account.id);
    let body = |limits: Value| json!({"title": "k", "public_key": acme.test.new_key().openssh, "limits": limits});
    let refused = acme.test.post(&keys, &body(json!({"workspaces": [acme.ws]}))).by(&acme.ada.key).send().await;
    assert_eq!(refused.expect(400)["errors"][0]["code"], "service_account");

    // Only the owner of a key and the admins of a service account set limits.
    let max = acme.test.member(&acme.ws, &acme.ada, "max", "member").await;
    let limits = json!({"limits": {"scopes": ["keyward:read"]}});
    let of_account = format!("{keys}/{}", account.key.id);
    acme.test.patch(&of_account, &limits).by(&max.key).send().await.expect(403);
    acme.test.patch(&of_account, &limits).by(&account.key).send().await.expect(403);
    acme.test.patch(&of_account, &limits).by(&eve.key).send().await.expect(404);
    acme.test.patch(&format!("/api/v1/me/keys/{}", max.key.id), &limits).by(&acme.ada.key).send().await.expect(404);
    acme.test.patch(&of_account, &limits).by(&acme.ada.key).send().await.expect(200);
}

#[tokio::test]
async fn no_limits_are_set_while_a_node_runs_that_would_not_apply_them() {
    let acme = acme().await;
    let older = acme.test.older_node(None).await;
    let limits = json!({"scopes": ["keyward:read"]});
    let (_, refused) = acme.add(&acme.ada.key, limits.clone()).await;
    let problem = refused.expect(409);
    assert_eq!(problem["code"], "upgrade_in_progress");
    assert!(problem["detail"].as_str().unwrap().contains("older:1"), "{problem}");
    let (plain, made) = acme.add(&acme.ada.key, Value::Null).await;
    made.expect(201);
    acme.set(&acme.ada.key, &plain, limits.clone()).await.expect(409);
    acme.test.store().await.remove_node(older, store::Version(0)).await.unwrap();
    acme.set(&acme.ada.key, &plain, limits).await.expect(200);
}
