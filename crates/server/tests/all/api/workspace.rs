//! Workspaces: creation, names and deletion.

use serde_json::{Value, json};
use server::settings::WorkspaceCreation;

use crate::support::TestApp;

const WORKSPACES: &str = "/api/v1/workspaces";

#[tokio::test]
async fn an_operator_creates_a_workspace_for_its_first_admin() {
    let test = TestApp::new().await;
    let olga = test.user("olga", true).await;
    let ada = test.user("ada", false).await;
    test.workspace("elsewhere", &ada).await;
    let create = async |body: &Value| test.post(WORKSPACES, body).by(&olga.key).send().await;
    let own = create(&json!({"name": "Own", "slug": "own"})).await.expect(201);
    assert_eq!(own["role"], "admin");
    let hers = create(&json!({"name": "Hers", "slug": "hers", "admin_email": ada.email})).await.expect(201);
    assert_eq!(hers["role"], Value::Null);
    let inside = format!("{WORKSPACES}/{}", hers["id"].as_str().unwrap());
    // No one joins without accepting.
    test.get(&inside).by(&ada.key).send().await.expect_problem(404, "not_found");
    let accept = json!({"token": hers["invitation"]["token"]});
    test.post("/api/v1/invitations/accept", &accept).by(&ada.key).send().await.expect(200);
    assert_eq!(test.get(&inside).by(&ada.key).send().await.expect(200)["role"], "admin");
    test.get(&inside).by(&olga.key).send().await.expect_problem(404, "not_found");

    let body = json!({"name": "New", "slug": "new", "admin_email": "ned@example.com"});
    let invited = create(&body).await.expect(201);
    let accept = json!({"token": invited["invitation"]["token"], "name": "Ned", "password": "correct horse battery"});
    let accepted = test.post("/api/v1/invitations/accept", &accept).send().await.expect(200);
    assert_eq!(accepted["role"], "admin");
}

#[tokio::test]
async fn creating_a_workspace_adds_no_other_user_without_their_consent() {
    let test = TestApp::with_settings(|s| s.workspace_creation = WorkspaceCreation::Anyone).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let max = test.member(&ws, &ada, "max", "member").await;
    let create = async |slug: &str, email: &str| {
        let body = json!({"name": "New", "slug": slug, "admin_email": email});
        test.post(WORKSPACES, &body).by(&max.key).send().await
    };
    for other in ["ada@example.com", "nobody@example.com"] {
        let problem = create("new", other).await.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["code"], "operators_only", "known or not, the answer is one");
    }
    create("new", &max.email).await.expect(201);
    let body = json!({"name": "Mine", "slug": "mine"});
    assert_eq!(test.post(WORKSPACES, &body).by(&max.key).send().await.expect(201)["role"], "admin");
    let bot = test.service_account(&ws, &ada, "bot").await;
    test.post(WORKSPACES, &body).by(&bot.key).send().await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn deleting_a_workspace_deletes_its_content_and_keeps_its_slug_reserved() {
    let test = TestApp::new().await;
    let olga = test.user("olga", true).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    let token = test.bearer_token(&bot.key).await;
    let invitation = test.invite(&ws, &ada, "ned@example.com", "member").await;
    let path = format!("{WORKSPACES}/{ws}");
    let in_use = test.post(WORKSPACES, &json!({"name": "Acme", "slug": "acme"})).by(&olga.key).send().await;
    in_use.expect_problem(409, "slug_taken");
    test.delete(&path).by(&ada.key).send().await.expect(204);

    test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");
    test.get("/api/v1/me").bearer(&token).send().await.expect_problem(401, "unauthenticated");
    test.get("/api/v1/me").by(&ada.key).send().await.expect_problem(401, "unauthenticated");
    let accept = json!({"token": invitation, "name": "Ned", "password": "correct horse battery"});
    let closed = test.post("/api/v1/invitations/accept", &accept).send().await;
    closed.expect_problem(409, "invitation_closed");
    let quotas = format!("/api/v1/admin/workspaces/{ws}/quotas");
    test.get(&quotas).by(&olga.key).send().await.expect_problem(404, "not_found");
    let again = test.post(WORKSPACES, &json!({"name": "Acme", "slug": "acme"})).by(&olga.key).send().await;
    again.expect_problem(409, "slug_taken");
}

#[tokio::test]
async fn a_name_changes_and_a_slug_does_not() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let path = format!("{WORKSPACES}/{ws}");
    test.patch(&path, &json!({"slug": "other"})).by(&ada.key).send().await.expect_problem(400, "invalid_request");
    test.patch(&path, &json!({"name": " \n"})).by(&ada.key).send().await.expect_problem(400, "invalid_request");
    test.patch(&path, &json!({"name": "Renamed"})).by(&ada.key).send().await.expect(200);
    let me = test.get("/api/v1/me").by(&ada.key).send().await.expect(200);
    assert_eq!((&me["workspaces"][0]["name"], &me["workspaces"][0]["slug"]), (&json!("Renamed"), &json!("acme")));
}
