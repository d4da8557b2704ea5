//! Service accounts: names, addresses, roles and deletion.

use serde_json::{Value, json};
use server::app::KeyOwner;

use crate::support::{Actor, TestApp};

async fn acme() -> (TestApp, Actor, String, String) {
    let test = TestApp::with_settings(|s| s.support_contact = Some("help@example.com".to_owned())).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let accounts = format!("/api/v1/workspaces/{ws}/service-accounts");
    (test, ada, ws, accounts)
}

#[tokio::test]
async fn a_service_account_starts_as_a_member_with_an_address_and_no_keys() {
    let (test, ada, _, accounts) = acme().await;
    let body = json!({"name": "ci-runner", "description": "Nightly\nbuilds"});
    let made = test.post(&accounts, &body).by(&ada.key).send().await.expect(201);
    assert_eq!(made["email"], "ci-runner@acme.sa.keyward.local");
    assert_eq!((&made["role"], &made["disabled"]), (&json!("member"), &json!(false)));
    assert_eq!(made["keys"], json!({"live": 0, "limit": 5}));
    let problem = test.post(&accounts, &json!({"name": "second"})).by(&ada.key).send().await;
    let problem = problem.expect_problem(409, "quota_exceeded");
    assert_eq!((&problem["limit"], &problem["support_contact"]), (&json!(1), &json!("help@example.com")));
    for name in ["", "ab", "Upper", "-a-", "a b", "a.b"] {
        let problem = test.post(&accounts, &json!({"name": name})).by(&ada.key).send().await;
        assert_eq!(problem.expect_problem(400, "invalid_request")["errors"][0]["field"], "name");
    }
}

#[tokio::test]
async fn a_service_account_has_a_display_name_that_changes_freely() {
    let (test, ada, ws, accounts) = acme().await;
    test.raise_quotas(&ws, 5).await;
    let create = async |body: Value| test.post(&accounts, &body).by(&ada.key).send().await;
    let plain = create(json!({"name": "plain"})).await.expect(201);
    assert_eq!(plain["display_name"], "plain", "without one, it is the name");
    let named = create(json!({"name": "export", "display_name": "  Nightly Export "})).await.expect(201);
    assert_eq!((&named["display_name"], &named["name"]), (&json!("Nightly Export"), &json!("export")));
    let same = create(json!({"name": "other", "display_name": "Nightly Export"})).await.expect(201);
    assert_eq!(same["display_name"], "Nightly Export", "two accounts may have the same");
    for display_name in ["", " ", "a\nb", &"x".repeat(101)] {
        let problem = create(json!({"name": "bad", "display_name": display_name})).await;
        assert_eq!(problem.expect_problem(400, "invalid_request")["errors"][0]["field"], "display_name");
    }

    let path = format!("{accounts}/{}", named["id"].as_str().unwrap());
    let owner = KeyOwner::ServiceAccount(ws.parse().unwrap(), named["id"].as_str().unwrap().parse().unwrap());
    let key = test.add_key(owner, "key").await;
    let body = json!({"display_name": "Hourly Export"});
    let changed = test.patch(&path, &body).by(&ada.key).send().await.expect(200);
    assert_eq!(changed["display_name"], "Hourly Export");
    assert_eq!(changed["email"], "export@acme.sa.keyward.local", "the address does not change with it");
    let me = test.get("/api/v1/me").by(&key).send().await.expect(200);
    assert_eq!(me["principal"]["name"], "Hourly Export");
    let changed = test.patch(&path, &json!({"name": "hourly"})).by(&ada.key).send().await.expect(200);
    assert_eq!(changed["display_name"], "Hourly Export");
    let me = test.get("/api/v1/me").by(&key).send().await.expect(200);
    assert_eq!(me["principal"]["email"], "hourly@acme.sa.keyward.local", "the new address counts at once");
    let problem = test.patch(&path, &json!({"display_name": ""})).by(&ada.key).send().await;
    assert_eq!(problem.expect_problem(400, "invalid_request")["errors"][0]["field"], "display_name");
}

#[tokio::test]
async fn a_name_that_is_not_given_is_made_from_the_display_name() {
    let (test, ada, ws, accounts) = acme().await;
    test.raise_quotas(&ws, 9).await;
    let create = async |body: Value| test.post(&accounts, &body).by(&ada.key).send().await;
    let export = json!({"display_name": "Nightly Export"});
    let first = create(export.clone()).await.expect(201);
    assert_eq!((&first["name"], &first["role"]), (&json!("nightly-export"), &json!("member")));
    assert_eq!(create(export.clone()).await.expect(201)["name"], "nightly-export-2");
    let path = format!("{accounts}/{}", first["id"].as_str().unwrap());
    test.delete(&path).by(&ada.key).send().await.expect(204);
    assert_eq!(create(export).await.expect(201)["name"], "nightly-export-3", "the deleted one keeps its address");
    for body in [json!({}), json!({"display_name": "日本"})] {
        let problem = create(body).await.expect_problem(400, "invalid_request");
        assert_eq!(
            problem["errors"][0],
            json!({"field": "name", "code": "missing", "detail": problem["errors"][0]["detail"]})
        );
    }
}

#[tokio::test]
async fn a_service_account_address_is_never_reused() {
    let (test, ada, ws, accounts) = acme().await;
    test.raise_quotas(&ws, 5).await;
    let create = async |name: &str| test.post(&accounts, &json!({"name": name})).by(&ada.key).send().await;
    let id = create("first").await.expect(201)["id"].as_str().unwrap().to_owned();
    create("first").await.expect_problem(409, "name_taken");
    let path = format!("{accounts}/{id}");
    let rename = async |name: &str| test.patch(&path, &json!({"name": name})).by(&ada.key).send().await;
    assert_eq!(rename("second").await.expect(200)["email"], "second@acme.sa.keyward.local");
    create("first").await.expect_problem(409, "name_taken");
    assert_eq!(rename("first").await.expect(200)["name"], "first", "its own previous name is still reserved for it");
    test.delete(&path).by(&ada.key).send().await.expect(204);
    for name in ["first", "second"] {
        create(name).await.expect_problem(409, "name_taken");
    }
}

#[tokio::test]
async fn keys_of_a_service_account_have_its_access_and_end_with_it() {
    let (test, ada, ws, accounts) = acme().await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    test.post(&projects, &json!({"title": "Of Ada"})).by(&ada.key).send().await.expect(201);
    let seen = async || test.get(&projects).by(&bot.key).send().await.expect(200)["items"].as_array().unwrap().len();
    let path = format!("{accounts}/{}", bot.id);
    let change = async |body: Value| test.patch(&path, &body).by(&ada.key).send().await.expect(200);
    assert_eq!(seen().await, 0);
    change(json!({"role": "admin"})).await;
    assert_eq!(seen().await, 1, "a role that is given counts at once");
    change(json!({"role": "member"})).await;
    assert_eq!(seen().await, 0);

    let token = test.bearer_token(&bot.key).await;
    change(json!({"disabled": true})).await;
    let refused = test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused["reason"], "owner_disabled");
    test.get("/api/v1/me").bearer(&token).send().await.expect_problem(401, "unauthenticated");
    change(json!({"disabled": false})).await;
    test.get("/api/v1/me").by(&bot.key).send().await.expect(200);

    test.delete(&path).by(&ada.key).send().await.expect(204);
    let refused = test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused.get("reason"), None);
    let body = json!({"title": "again", "public_key": bot.key.openssh});
    test.post("/api/v1/me/keys", &body).by(&ada.key).send().await.expect_problem(409, "duplicate_key");
}

#[tokio::test]
async fn deleting_a_projects_only_admin_requires_a_successor() {
    let (test, ada, ws, accounts) = acme().await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let led = test.post(&projects, &json!({"title": "Led"})).by(&bot.key).send().await.expect(201);
    let path = format!("{accounts}/{}", bot.id);
    test.delete(&path).by(&ada.key).send().await.expect_problem(409, "successor_required");
    test.delete(&format!("{path}?successor={}", ada.id)).by(&ada.key).send().await.expect(204);
    let led = format!("{projects}/{}", led["id"].as_str().unwrap());
    assert_eq!(test.get(&led).by(&ada.key).send().await.expect(200)["role"], "admin");
}

#[tokio::test]
async fn a_service_account_is_created_with_its_role_in_one_change() {
    let (test, ada, ws, accounts) = acme().await;
    test.raise_quotas(&ws, 5).await;
    let admin = |name: &str| json!({"name": name, "role": "admin"});
    let made = test.post(&accounts, &admin("deployer")).by(&ada.key).send().await.expect(201);
    assert_eq!(made["role"], "admin");
    let events = test.get(&format!("/api/v1/workspaces/{ws}/audit-events")).by(&ada.key).send().await.expect(200);
    let events = events["items"].as_array().unwrap();
    let of_account: Vec<&Value> = events.iter().filter(|event| event["target"] == made["id"]).collect();
    assert_eq!(of_account.len(), 1, "{of_account:?}");
    assert_eq!(of_account[0]["action"], "service_account.create");
    assert_eq!(of_account[0]["detail"]["role"], "admin");

    // No bearer token gives a role, and no service account makes another one an admin.
    let token = test.bearer_token(&ada.key).await;
    test.post(&accounts, &admin("second")).bearer(&token).send().await.expect_problem(403, "forbidden");
    test.post(&accounts, &json!({"name": "second", "role": "member"})).bearer(&token).send().await.expect(201);
    let owner = KeyOwner::ServiceAccount(ws.parse().unwrap(), made["id"].as_str().unwrap().parse().unwrap());
    let deployer = test.add_key(owner, "deployer").await;
    test.post(&accounts, &admin("third")).by(&deployer).send().await.expect_problem(403, "forbidden");
    test.post(&accounts, &json!({"name": "third", "role": "member"})).by(&deployer).send().await.expect(201);
}
