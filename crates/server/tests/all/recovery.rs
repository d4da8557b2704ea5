//! Backup and restore: what was revoked after the backup must not come back to life.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::json;
use server::app::{Caller, KeysToConfirm, Paging};

use crate::{
    support::{Answer, FakeClock, Home, SeededRandom, TestApp},
    ui_support::Browser,
};

#[tokio::test]
async fn a_restore_suspends_every_key_and_ends_tokens_and_invitations_until_an_operator_confirms() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let bot = test.service_account(&ws, &admin, "bot").await;
    let invitation = test.invite(&ws, &admin, "new@example.com", "member").await;
    let token = test.get("/v2/public/user/bearer-token").by(&bot.key).send().await.expect(200);
    let token = token["token"].as_str().unwrap().to_owned();
    let early = test.post(&format!("/api/v1/workspaces/{ws}/projects"), &json!({"title": "Early"})).by(&bot.key);
    let (target, headers, body) = (early.target.clone(), early.headers.clone(), early.body.clone());

    let backup = test.directory.back_up(&test.app).await;
    // Revoked after the backup: the backup does not know.
    let revoke = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys/{}", bot.id, bot.key.id);
    test.delete(&revoke).by(&admin.key).send().await.expect(204);

    let test = test.restore_from(&backup).await;
    let refused = test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused["reason"], "key_suspended");
    let refused = test.get("/api/v1/me").by(&admin.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused["reason"], "key_suspended");
    test.get("/api/v1/me").bearer(&token).send().await.expect_problem(401, "unauthenticated");
    let accept = json!({"token": invitation, "name": "New", "password": "correct horse battery"});
    test.post("/api/v1/invitations/accept", &accept).send().await.expect_problem(409, "invitation_closed");

    // The operator looks at what waits, and confirms the admin's key only.
    let waiting = test.app.list_suspended_keys(&Caller::host(), &Paging::default()).await.unwrap();
    let waiting: BTreeSet<String> = waiting.items.iter().map(|key| key.id.to_string()).collect();
    assert_eq!(waiting, BTreeSet::from([admin.key.id.clone(), bot.key.id.clone()]));
    test.advance(Duration::from_secs(5)).await;
    let list = KeysToConfirm::These(vec![admin.key.id.parse().unwrap()]);
    assert_eq!(test.app.confirm_keys(&Caller::host(), &list).await.unwrap().len(), 1);
    test.get("/api/v1/me").by(&admin.key).send().await.expect(200);
    test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");

    // What was signed before the keys were confirmed stays void: whether it was done once is not known any more.
    test.app.confirm_keys(&Caller::host(), &KeysToConfirm::All).await.unwrap();
    let mut replay = test.request("POST", &target, &serde_json::Value::Null);
    (replay.headers, replay.body) = (headers, body);
    replay.send().await.expect_problem(401, "unauthenticated");
    test.get("/api/v1/me").by(&bot.key).send().await.expect(200);
    test.get("/api/v1/me").bearer(&token).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_backup_does_not_overwrite_and_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (clock, random) = (Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)));
    let test = TestApp::open(Home::embedded(), clock, random, |_| {}).await;
    let file = test.directory.path().join("backup.db");
    test.app.back_up(&Caller::host(), &file).await.expect("a backup");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    assert!(test.app.back_up(&Caller::host(), &file).await.is_err(), "an older backup must not be overwritten");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_restore_ends_every_session() {
    let test = TestApp::new().await;
    let browser = Browser::admin_of(&test, "globex", "eve").await;
    let cookies = browser.request("GET", "/").headers["cookie"].to_str().unwrap().to_owned();
    let backup = test.directory.back_up(&test.app).await;
    let signed_in = test.get("/").header("cookie", &cookies).send().await;
    assert!(!leads_to_sign_in(&signed_in), "the session must work before: {signed_in:?}");

    let test = test.restore_from(&backup).await;
    let answer = test.get("/").header("cookie", &cookies).send().await;
    assert!(leads_to_sign_in(&answer), "{answer:?}");
}

fn leads_to_sign_in(answer: &Answer) -> bool {
    answer.headers.get("location").is_some_and(|to| to.as_bytes().starts_with(b"/sign-in"))
}
