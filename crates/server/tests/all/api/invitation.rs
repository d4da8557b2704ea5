//! Invitations: they are required to join a workspace, and work once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Actor, Answer, TestApp};

const WEEK: Duration = Duration::from_hours(7 * 24);

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    (test, ada, ws)
}

async fn accept(test: &TestApp, token: &str) -> Answer {
    let body = json!({"token": token, "name": "Ned", "password": "correct horse battery"});
    test.post("/api/v1/invitations/accept", &body).send().await
}

#[tokio::test]
async fn an_invitation_accepted_twice_concurrently_is_used_once() {
    let (test, ada, ws) = acme().await;
    let token = test.invite(&ws, &ada, "ned@example.com", "admin").await;
    let eve = test.user("eve", false).await;
    test.workspace("evil", &eve).await;
    let as_eve = test.post("/api/v1/invitations/accept", &json!({"token": token})).by(&eve.key);
    let (one, two, three) = tokio::join!(accept(&test, &token), as_eve.send(), accept(&test, &token));
    let mut statuses = [one, two, three].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409]);
    let members = test.get(&format!("/api/v1/workspaces/{ws}/members")).by(&ada.key).send().await.expect(200);
    assert_eq!(members["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_invitation_is_valid_for_a_week_to_the_second() {
    let (test, ada, ws) = acme().await;
    let in_time = test.invite(&ws, &ada, "ned@example.com", "member").await;
    let late = test.invite(&ws, &ada, "zoe@example.com", "member").await;
    test.advance(Duration::from_secs(7 * 86_400 - 1)).await;
    accept(&test, &in_time).await.expect(200);
    test.advance(Duration::from_secs(1)).await;
    accept(&test, &late).await.expect_problem(409, "invitation_closed");
}

#[tokio::test]
async fn a_token_ends_when_its_invitation_is_revoked_resent_or_replaced() {
    let (test, ada, ws) = acme().await;
    let list = format!("/api/v1/workspaces/{ws}/invitations");
    let invite_ned = async || {
        let body = json!({"emails": ["ned@example.com"], "role": "member"});
        let issued = test.post(&list, &body).by(&ada.key).send().await.expect(201);
        let of_first = |name: &str| issued["items"][0][name].as_str().unwrap().to_owned();
        (format!("{list}/{}", of_first("id")), of_first("token"))
    };
    let (_, replaced) = invite_ned().await;
    let (path, taken_back) = invite_ned().await;
    test.delete(&path).by(&ada.key).send().await.expect(204);
    let resend = test.post(&format!("{path}/resend"), &Value::Null).by(&ada.key).send().await;
    resend.expect_problem(409, "invitation_closed");
    let (path, sent_again) = invite_ned().await;
    test.advance(WEEK).await;
    let renewed = test.post(&format!("{path}/resend"), &Value::Null).by(&ada.key).send().await.expect(200);
    for closed in [&replaced, &taken_back, &sent_again, "never was"] {
        accept(&test, closed).await.expect_problem(409, "invitation_closed");
    }
    let listed = test.get(&list).by(&ada.key).send().await.expect(200);
    assert!(listed["items"].as_array().unwrap().iter().all(|item| item.get("token").is_none()), "shown once only");
    accept(&test, renewed["token"].as_str().unwrap()).await.expect(200);
    test.delete(&path).by(&ada.key).send().await.expect_problem(409, "invitation_closed");
}

#[tokio::test]
async fn several_people_are_invited_except_those_who_are_members() {
    let (test, ada, ws) = acme().await;
    let path = format!("/api/v1/workspaces/{ws}/invitations");
    let invite = async |emails: &[&str]| {
        test.post(&path, &json!({"emails": emails, "role": "member"})).by(&ada.key).send().await
    };
    let both = invite(&["Ned@example.com", "zoe@example.com", "ned@EXAMPLE.com"]).await.expect(201);
    assert_eq!(both["items"].as_array().unwrap().len(), 2, "two spellings are one person");
    let rest = invite(&["new@example.com", "ada@example.com"]).await.expect(201);
    assert_eq!(rest["skipped"], json!(["ada@example.com"]));
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["items"][0]["email"], "new@example.com");
    invite(&["ada@example.com"]).await.expect_problem(409, "already_member");
    for bad in [&[][..], &["new@example.com", "no address"], &["bot@acme.sa.keyward.local"]] {
        let problem = invite(bad).await.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "emails");
    }
    let listed = test.get(&path).by(&ada.key).send().await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3, "one invalid email address means no invitation at all");
}

#[tokio::test]
async fn a_person_with_an_account_signs_in_to_accept() {
    let (test, ada, ws) = acme().await;
    let eve = test.user("eve", false).await;
    test.workspace("evil", &eve).await;
    let token = test.invite(&ws, &ada, &eve.email, "member").await;
    accept(&test, &token).await.expect_problem(409, "email_taken");
    let body = json!({"token": token});
    let of_eve = test.bearer_token(&eve.key).await;
    let by_token = test.post("/api/v1/invitations/accept", &body).bearer(&of_eve).send().await;
    by_token.expect_problem(403, "forbidden");
    let bot = test.service_account(&ws, &ada, "bot").await;
    let by_bot = test.post("/api/v1/invitations/accept", &body).by(&bot.key).send().await;
    by_bot.expect_problem(403, "forbidden");
    let joined = test.post("/api/v1/invitations/accept", &body).by(&eve.key).send().await.expect(200);
    assert_eq!((&joined["user"], &joined["role"]), (&json!(eve.id), &json!("member")));
    let short = test.invite(&ws, &ada, "ned@example.com", "member").await;
    let body = json!({"token": short, "name": "Ned", "password": "short"});
    let problem = test.post("/api/v1/invitations/accept", &body).send().await.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["field"], "password");
    accept(&test, &short).await.expect(200);
}
