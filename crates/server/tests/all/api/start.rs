//! The first steps with an installation.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn a_service_account_key_reaches_exactly_what_its_account_may() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;

    let me = test.get("/api/v1/me").by(&admin.key).send().await.expect(200);
    assert_eq!(me["principal"]["email"], "ada@example.com");
    assert_eq!(me["workspaces"][0]["role"], "admin");
    assert_eq!(me["key"]["fingerprint"], admin.key.fingerprint.as_str());

    let bot = test.service_account(&ws, &admin, "ci-runner").await;
    assert_eq!(bot.email, "ci-runner@acme.sa.keyward.local");
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let mine = test.post(&projects, &json!({"title": "Of the bot", "description": ""})).by(&bot.key).send().await;
    assert_eq!(mine.expect(201)["role"], "admin");
    test.post(&projects, &json!({"title": "Of Ada", "description": ""})).by(&admin.key).send().await.expect(201);

    let seen = test.get(&projects).by(&bot.key).send().await.expect(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "a member sees its own project only");
    let all = test.get(&projects).by(&admin.key).send().await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "an admin sees every project");

    let revoke = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys/{}", bot.id, bot.key.id);
    test.delete(&revoke).by(&admin.key).send().await.expect(204);
    test.get(&projects).by(&bot.key).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_repeated_signed_write_happens_once_and_gets_the_stored_response_after_a_restart() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let request = test.post(&projects, &json!({"title": "Once"})).by(&admin.key);
    let (method, target, headers, body) =
        (request.method.clone(), request.target.clone(), request.headers.clone(), request.body.clone());
    let first = request.send().await.expect(201);

    let test = test.restart().await;
    let mut again = test.request(&method, &target, &serde_json::Value::Null);
    again.headers = headers;
    again.body = body;
    assert_eq!(again.send().await.expect(201), first);
    let listed = test.get(&projects).by(&admin.key).send().await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}
