//! The operations of operators: users and quotas, but not the content of workspaces.

use serde_json::{Value, json};
use server::app::Caller;

use crate::{
    support::TestApp,
    support::browser::{Browser, create_user},
};

const USERS: &str = "/api/v1/admin/users";

#[tokio::test]
async fn an_operator_without_a_workspace_creates_users() {
    let test = TestApp::new().await;
    let olga = test.user("olga", true).await;
    assert_eq!(test.get("/api/v1/me").by(&olga.key).send().await.expect(200)["operator"], true);
    let create = async |body: Value| test.post(USERS, &body).by(&olga.key).send().await;
    let made = create(json!({"email": "Ned@Example.com", "name": "Ned"})).await.expect(201);
    assert_eq!((&made["email"], &made["operator"]), (&json!("ned@example.com"), &json!(false)));
    create(json!({"email": "NED@example.com", "name": "Ned"})).await.expect_problem(409, "email_taken");
    for (field, body) in [
        ("email", json!({"email": "bot@acme.sa.keyward.local", "name": "Bot"})),
        ("email", json!({"email": "nobody", "name": "Bot"})),
        ("name", json!({"email": "zoe@example.com", "name": " "})),
        ("password", json!({"email": "zoe@example.com", "name": "Zoe", "password": "elevenchars"})),
    ] {
        let problem = create(body).await.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn a_disabled_user_is_refused_on_every_credential_until_enabled() {
    let test = TestApp::new().await;
    let olga = test.user("olga", true).await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    let token = test.bearer_token(&ada.key).await;
    let path = format!("{USERS}/{}", ada.id);
    let set = async |disabled: bool| {
        test.patch(&path, &json!({"disabled": disabled})).by(&olga.key).send().await.expect(200);
    };
    set(true).await;
    for request in [test.get("/api/v1/me").by(&ada.key), test.get("/api/v1/me").bearer(&token)] {
        assert_eq!(request.send().await.expect_problem(401, "unauthenticated")["reason"], "owner_disabled");
    }
    test.get("/api/v1/me").by_encord(&ada.key).send().await.expect_problem(401, "unauthenticated");
    set(false).await;
    test.get("/api/v1/me").by(&ada.key).send().await.expect(200);
    test.get("/api/v1/me").bearer(&token).send().await.expect(200);
}

#[tokio::test]
async fn the_last_operator_cannot_be_removed() {
    let test = TestApp::new().await;
    let olga = test.user("olga", true).await;
    let zoe = test.user("zoe", false).await;
    let path = format!("{USERS}/{}", olga.id);
    for body in [json!({"operator": false}), json!({"disabled": true})] {
        test.patch(&path, &body).by(&olga.key).send().await.expect_problem(409, "last_admin");
    }
    let other = format!("{USERS}/{}", zoe.id);
    test.patch(&other, &json!({"operator": true})).by(&olga.key).send().await.expect(200);
    test.patch(&path, &json!({"operator": false})).by(&olga.key).send().await.expect(200);
    // A user who is neither an operator nor a member cannot use the key.
    test.get("/api/v1/me").by(&olga.key).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn operators_raise_quotas_and_a_lower_quota_removes_nothing() {
    let test = TestApp::new().await;
    let olga = test.user("olga", true).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let path = format!("/api/v1/admin/workspaces/{ws}/quotas");
    let default = json!({"service_accounts": 1, "keys_per_service_account": 5, "keys_per_user": 25});
    assert_eq!(test.get(&path).by(&olga.key).send().await.expect(200), default);
    let accounts = format!("/api/v1/workspaces/{ws}/service-accounts");
    let create = async |name: &str| test.post(&accounts, &json!({"name": name})).by(&ada.key).send().await;
    let set = async |quota: u64| test.patch(&path, &json!({"service_accounts": quota})).by(&olga.key).send().await;
    create("first").await.expect(201);
    create("second").await.expect_problem(409, "quota_exceeded");
    assert_eq!(set(2).await.expect(200)["keys_per_user"], 25);
    create("second").await.expect(201);
    set(0).await.expect(200);
    create("third").await.expect_problem(409, "quota_exceeded");
    let listed = test.get(&accounts).by(&ada.key).send().await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    set(100_001).await.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_password_set_on_the_host_ends_all_sessions() {
    let test = TestApp::new().await;
    let mut browser = Browser::signed_in(&test, "ned", false).await;
    browser.open("/profile").await.sees("Profile settings");
    let host = Caller::host();
    let ned = test.app.find_user_by_email(&host, "ned@example.com").await.unwrap().id;
    test.app.set_password(&host, ned, "walrus trombone cathedral".to_owned()).await.unwrap();
    browser.open("/profile").await;
    assert_eq!(browser.path, "/sign-in?next=/profile");

    create_user(&test, "olga", false).await;
    let olga = test.app.find_user_by_email(&host, "olga@example.com").await.unwrap();
    let refused = test.app.set_password(&host, olga.id, "short".to_owned()).await.unwrap_err().error.to_problem();
    assert_eq!((refused.status, refused.errors[0].field.as_str()), (400, "password"));
}
