//! The page of a key: who revoked it and why, and its latest events.

use serde_json::json;
use server::app::Caller;

use crate::{
    support::browser::{Browser, PASSWORD},
    support::{Actor, Key, TestApp},
};

async fn browser<'a>(test: &'a TestApp, person: &Actor, name: &str) -> Browser<'a> {
    let id = person.id.parse().expect("usr_");
    test.app.set_password(&Caller::host(), id, PASSWORD.to_owned()).await.expect("a password");
    let mut browser = Browser::new(test);
    browser.sign_in(name).await;
    browser
}

/// Creates a workspace with the admins ada and max, and a service account.
async fn acme() -> (TestApp, Actor, Actor, Actor, String) {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let max = test.member(&ws, &ada, "max", "admin").await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    (test, ada, max, bot, ws)
}

/// Registers a key for a service account. Returns its page.
async fn register(test: &TestApp, ws: &str, account: &Actor, by: &Key) -> (Key, String) {
    let mut key = test.new_key();
    let path = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys", account.id);
    let body = json!({"title": "runner", "public_key": key.openssh});
    let made = test.post(&path, &body).by(by).send().await.expect(201);
    made["id"].as_str().expect("an id").clone_into(&mut key.id);
    let page = format!("/w/acme/service-accounts/{}/keys/{}", account.id, key.id);
    (key, page)
}

async fn refuse(test: &TestApp, key: &Key) {
    test.get("/api/v1/me").by(key).send().await.expect_problem(401, "unauthenticated");
    test.app.write_records().await.expect("the records are written");
}

/// Returns the part of the page with the latest events.
fn activity(browser: &Browser<'_>) -> String {
    let after = browser.page.split_once("<ul class=\"events wide-time topped\">").map_or("", |(_, after)| after);
    after.split("</ul>").next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_revoked_key_shows_who_revoked_it_and_its_refused_requests() {
    let (test, ada, _, bot, ws) = acme().await;
    let (key, page) = register(&test, &ws, &bot, &ada.key).await;
    let mut window = browser(&test, &ada, "ada").await;
    window.open(&page).await.sees_not("<dt>Revoked</dt>").sees("<dt>Expires</dt>").sees("Recent activity");
    for title in ["one", "two", "three", "four", "five"] {
        window.submit(&page, &[("title", title)]).await;
    }
    window.submit(&format!("{page}/revoke"), &[("confirm_title", "five")]).await;
    test.advance(std::time::Duration::from_hours(24)).await;
    refuse(&test, &key).await;
    window.sign_in("ada").await;
    window.open(&page).await;
    let by = format!("by <a href=\"/w/acme/activity?principal={}\">ada</a>", ada.id);
    window.sees("<dt>Revoked</dt><dd><time").sees(&by).sees_not("<dt>Expires</dt>").sees_not("Revoked with the");
    window.sees(&format!("href=\"/w/acme/activity?key={}\">All activity of this key</a>", key.id));
    let events = activity(&window);
    assert_eq!(events.matches("<li").count(), 5, "the latest five: {events}");
    assert!(events.contains(" were refused") || events.contains(" was refused"), "{events}");
    assert!(
        events.contains(" revoked the key ") && events.contains(">2 Jan<") && events.contains(">3 Jan<"),
        "{events}"
    );
    assert!(!events.contains(" added the key "), "the oldest is not among them: {events}");
    // The link of an event opens all its values.
    let detail = window.link(&format!("/w/acme/activity?key={}&#38;event=", key.id)).replace("&#38;", "&");
    window.open(detail.split('#').next().expect("a path")).await.sees("In the signed log, entry").sees("Key: five");
}

#[tokio::test]
async fn a_key_that_was_revoked_by_a_cascade_shows_the_key_that_registered_it() {
    let (test, ada, max, bot, ws) = acme().await;
    test.raise_quotas(&ws, 9).await;
    let admin = json!({"role": "admin"});
    let path = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
    test.patch(&path, &admin).by(&ada.key).send().await.expect(200);
    let runner = test.service_account(&ws, &ada, "runner").await;
    let (first, _) = register(&test, &ws, &bot, &ada.key).await;
    let (_, second) = register(&test, &ws, &runner, &first).await;
    let keys = format!("{path}/keys");
    test.delete(&format!("{keys}/{}?cascade=true", first.id)).by(&max.key).send().await.expect(204);
    let mut ada = browser(&test, &ada, "ada").await;
    ada.open(&second).await.sees("<dt>Revoked</dt>").sees(">max</a>").sees("Revoked with the key <a href");
    ada.sees(&format!("{}/keys/{}\">runner</a>, which registered it", bot.id, first.id));
    // The key that was named was revoked itself.
    ada.open(&format!("/w/acme/service-accounts/{}/keys/{}", bot.id, first.id)).await;
    ada.sees("<dt>Revoked</dt>").sees_not("Revoked with");
}

#[tokio::test]
async fn a_key_that_was_revoked_with_the_rights_of_a_person_names_them() {
    for (how, told) in [
        ("remove", "registered, who was removed from the workspace"),
        ("demote", "registered, who is no longer an admin"),
        ("disable", "registered, who was disabled"),
    ] {
        let (test, ada, max, bot, ws) = acme().await;
        let (_, page) = register(&test, &ws, &bot, &max.key).await;
        let member = format!("/api/v1/workspaces/{ws}/members/{}", max.id);
        match how {
            "remove" => test.delete(&format!("{member}?revoke_keys=true")).by(&ada.key).send().await.expect(204),
            "demote" => {
                let body = json!({"role": "member", "revoke_keys": true});
                test.patch(&member, &body).by(&ada.key).send().await.expect(200)
            }
            _ => {
                let olga = test.user("olga", true).await;
                let body = json!({"disabled": true, "revoke_keys": true});
                test.patch(&format!("/api/v1/admin/users/{}", max.id), &body).by(&olga.key).send().await.expect(200)
            }
        };
        let mut ada = browser(&test, &ada, "ada").await;
        ada.open(&page).await.sees("<dt>Revoked</dt>").sees("Revoked with the keys that <a href").sees(told);
        ada.sees(&format!("?principal={}\">max</a> {told}", max.id));
    }
}

#[tokio::test]
async fn the_activity_says_that_a_key_ended_with_its_service_account() {
    let (test, ada, _, bot, ws) = acme().await;
    let (key, page) = register(&test, &ws, &bot, &ada.key).await;
    let path = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
    test.delete(&path).by(&ada.key).send().await.expect(204);
    let mut ada = browser(&test, &ada, "ada").await;
    ada.open(&page).await;
    assert_eq!(ada.status, 404);
    ada.open(&format!("/w/acme/activity?key={}", key.id)).await;
    ada.sees(" revoked the key ").sees("The service account bot was deleted.");
    let detail = ada.link(&format!("/w/acme/activity?key={}&#38;event=", key.id)).replace("&#38;", "&");
    ada.open(detail.split('#').next().expect("a path")).await.sees("<dt>Reason</dt><dd>The service account <a");
}

#[tokio::test]
async fn the_page_of_an_own_key_has_what_was_done_to_it_and_nothing_of_a_workspace() {
    let (test, ada, max, _, ws) = acme().await;
    let ned = test.member(&ws, &max, "ned", "member").await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let secret = json!({"title": "Secret plans", "description": ""});
    test.post(&projects, &secret).by(&ned.key).send().await.expect(201);
    let page = format!("/profile/api-keys/{}", ned.key.id);
    let mut window = browser(&test, &ned, "ned").await;
    window.open(&page).await.sees("Recent activity").sees(" added the key ").sees_not("Secret plans");
    // A member may not open the activity of the installation or of the workspace.
    window.sees_not("/activity").sees_not("All activity of this key").sees_not("class=\"go\"");
    window.submit(&format!("{page}/revoke"), &[("confirm_title", "ned")]).await;
    window.open(&page).await.sees("<dt>Revoked</dt>").sees("by <b>ned</b>");
    // The key of another user is not found.
    window.open(&format!("/profile/api-keys/{}", ada.key.id)).await;
    assert_eq!(window.status, 404);
    // An operator reads the activity of no workspace.
    let olga = test.user("olga", true).await;
    let mut operator = browser(&test, &olga, "olga").await;
    operator.open(&format!("/profile/api-keys/{}", olga.key.id)).await;
    operator.sees(&format!("href=\"/operator/activity?key={}\">All activity of this key</a>", olga.key.id));
}

#[tokio::test]
async fn a_reclaimed_key_does_not_name_the_principal_that_reclaimed_it() {
    let (test, ada, max, bot, ws) = acme().await;
    let (key, page) = register(&test, &ws, &bot, &ada.key).await;
    let challenge = test.post("/api/v1/me/proof-challenges", &json!({})).by(&max.key).send().await.expect(201);
    let proof = key.prove(&max.id, challenge["challenge"].as_str().expect("a challenge"));
    let body = json!({"title": "mine", "public_key": key.openssh, "proof": proof});
    test.post("/api/v1/me/keys", &body).by(&max.key).send().await.expect(201);
    let mut ada = browser(&test, &ada, "ada").await;
    ada.open(&page).await.sees("<dt>Revoked</dt>").sees("Another account registered this key with a proof");
    ada.sees_not("max").sees_not("<small class=\"cut\">by The host");
}
