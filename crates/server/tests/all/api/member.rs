//! Members of a workspace: roles, leaving, being removed.

use serde_json::json;

use crate::support::{Actor, TestApp};

async fn acme() -> (TestApp, Actor, Actor, String) {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let max = test.member(&ws, &ada, "max", "member").await;
    (test, ada, max, ws)
}

#[tokio::test]
async fn the_last_admin_cannot_leave_be_demoted_or_be_removed() {
    let (test, ada, max, ws) = acme().await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    let account = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
    test.patch(&account, &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
    let path = |who: &Actor| format!("/api/v1/workspaces/{ws}/members/{}", who.id);
    for by in [&ada, &bot] {
        test.delete(&path(&ada)).by(&by.key).send().await.expect_problem(409, "last_admin");
        let demoted = test.patch(&path(&ada), &json!({"role": "member"})).by(&by.key).send().await;
        demoted.expect_problem(409, "last_admin");
    }
    test.patch(&path(&max), &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
    test.patch(&path(&ada), &json!({"role": "member"})).by(&ada.key).send().await.expect(200);
    // From now on, the user is a member.
    test.patch(&path(&max), &json!({"role": "member"})).by(&ada.key).send().await.expect_problem(403, "forbidden");
    test.delete(&path(&ada)).by(&ada.key).send().await.expect(204);
}

#[tokio::test]
async fn a_removed_member_loses_access_at_once() {
    let (test, ada, max, ws) = acme().await;
    let eve = test.user("eve", false).await;
    let other = test.workspace("other", &eve).await;
    test.join(&other, &eve, &max, "admin").await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let token = test.bearer_token(&max.key).await;
    test.delete(&format!("/api/v1/workspaces/{ws}/members/{}", max.id)).by(&ada.key).send().await.expect(204);
    test.get(&projects).by(&max.key).send().await.expect_problem(404, "not_found");
    test.get(&projects).bearer(&token).send().await.expect_problem(404, "not_found");
    test.get(&format!("/api/v1/workspaces/{other}/projects")).by(&max.key).send().await.expect(200);

    // After the removal from the last workspace, the key is refused, and its holder gets the reason.
    test.delete(&format!("/api/v1/workspaces/{other}/members/{}", max.id)).by(&max.key).send().await.expect(204);
    let refused = test.get("/api/v1/me").by(&max.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused["reason"], "owner_without_workspace");
    test.get("/api/v1/me").bearer(&token).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn removing_a_projects_only_admin_requires_a_successor() {
    let (test, ada, max, ws) = acme().await;
    let stranger = test.user("eve", false).await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let led = test.post(&projects, &json!({"title": "Led"})).by(&max.key).send().await.expect(201);
    let led = format!("{projects}/{}", led["id"].as_str().unwrap());
    let path = format!("/api/v1/workspaces/{ws}/members/{}", max.id);
    let problem = test.delete(&path).by(&ada.key).send().await.expect_problem(409, "successor_required");
    assert_eq!(problem["projects"].as_array().unwrap().len(), 1);
    for invalid in [&stranger.id, &max.id] {
        let target = format!("{path}?successor={invalid}");
        test.delete(&target).by(&max.key).send().await.expect_problem(400, "invalid_request");
    }
    let target = format!("{path}?successor={}", ada.id);
    test.delete(&target).by(&max.key).send().await.expect(204);
    assert_eq!(test.get(&led).by(&ada.key).send().await.expect(200)["role"], "admin");
    let members = test.get(&format!("{led}/members")).by(&ada.key).send().await.expect(200);
    assert_eq!(members["items"].as_array().unwrap().len(), 1, "who has left is in no project");
}
