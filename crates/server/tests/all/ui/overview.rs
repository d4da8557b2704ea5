//! The overview of a workspace: the checklist, what needs attention, and who sees what.

use std::time::Duration;

use serde_json::json;
use server::app::Caller;

use crate::{
    support::browser::{Browser, PASSWORD},
    support::{Actor, Key, TestApp, signing::Draft},
};

const DAY: Duration = Duration::from_hours(24);

/// Creates a user with a key and a password.
async fn person(test: &TestApp, name: &str) -> Actor {
    let person = test.user(name, false).await;
    with_password(test, &person).await;
    person
}

async fn with_password(test: &TestApp, person: &Actor) {
    let id = person.id.parse().expect("usr_");
    test.app.set_password(&Caller::host(), id, PASSWORD.to_owned()).await.expect("a password");
}

async fn browser<'a>(test: &'a TestApp, name: &str) -> Browser<'a> {
    let mut browser = Browser::new(test);
    browser.sign_in(name).await;
    browser
}

async fn use_key(test: &TestApp, key: &Key) {
    test.get("/api/v1/me").by(key).send().await.expect(200);
    test.app.write_records().await.expect("the records are written");
}

async fn refuse(test: &TestApp, key: &Key) {
    test.get("/api/v1/me").by(key).send().await.expect_problem(401, "unauthenticated");
    test.app.write_records().await.expect("the records are written");
}

#[tokio::test]
async fn a_new_workspace_shows_the_steps_until_the_first_accepted_request() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/").await.sees("Welcome to The acme").sees("1 of 4 done").sees("No projects yet");
    assert_eq!(ada.path, "/w/acme");
    ada.sees("class=\"btn primary sm\" href=\"/w/acme/service-accounts/new\"").sees("0 of 1").sees_not("<svg height");
    ada.open("/w/acme/service-accounts/new").await;
    ada.submit("/w/acme/service-accounts", &[("display_name", "CI bot"), ("name", "ci-bot"), ("description", "")])
        .await;
    let account = ada.path.split('?').next().expect("a path").to_owned();
    ada.open("/w/acme").await.sees("2 of 4 done").sees(&format!("href=\"{account}/keys/new\"")).sees("1 of 1");
    let key = test.new_key();
    let fields = [("title", "runner"), ("public_key", key.openssh.as_str()), ("expires", "")];
    ada.open(&format!("{account}/keys/new")).await;
    ada.submit(&format!("{account}/keys"), &fields).await;
    let page = ada.path.split('?').next().expect("a path").to_owned();
    ada.open("/w/acme").await.sees("3 of 4 done").sees(&format!("href=\"{page}#use\"")).sees("Show the command");
    // A refused request is no accepted one.
    let forged = Draft::native(&test, &key, "GET").sign(test.get("/api/v1/me"), &test.new_key());
    forged.send().await.expect_problem(401, "unauthenticated");
    test.app.write_records().await.expect("the records are written");
    ada.open("/w/acme").await.sees("3 of 4 done");
    use_key(&test, &key).await;
    ada.open("/w/acme").await.sees("<h1>Overview</h1>").sees_not("Get started").sees_not("Needs attention");
    ada.sees("Requests per day: 1 accepted and 1 refused in the last 7 days").sees("1 with a wrong signature");
    ada.sees("2 Jan: 1 accepted, 1 refused").sees(&format!("href=\"{page}\">runner</a>")).sees("100%");
}

#[tokio::test]
async fn the_chart_shows_the_chosen_period_on_the_overview_and_on_the_page_of_a_key() {
    let test = TestApp::new().await;
    let ada = person(&test, "ada").await;
    test.workspace("acme", &ada).await;
    use_key(&test, &ada.key).await;
    let key = format!("/profile/api-keys/{}", ada.key.id);
    let mut page = browser(&test, "ada").await;
    for (window, bars, words) in [("24h", 24, "24 hours"), ("7d", 7, "7 days"), ("90d", 90, "90 days")] {
        for path in [key.as_str(), "/w/acme"] {
            page.open(&format!("{path}?window={window}")).await;
            page.sees(&format!("href=\"{path}?window={window}#requests\" aria-current=\"true\">{words}</a>"));
            // The user's own keys are not part of the workspace's chart.
            match path {
                "/w/acme" => {
                    page.sees(&format!("No requests in the last {words}"));
                }
                _ => {
                    page.sees("1 accepted and 0 refused").sees("Show as a table");
                    assert_eq!(page.page.matches("class=\"hit\"").count(), bars, "{window}");
                }
            }
        }
    }
    page.open(&format!("{key}?window=30d")).await.sees("in the last 7 days");
}

#[tokio::test]
async fn what_needs_attention_is_listed_with_the_most_urgent_first_and_disappears() {
    let test = TestApp::new().await;
    let ada = person(&test, "ada").await;
    let id = test.workspace("acme", &ada).await;
    test.raise_quotas(&id, 9).await;
    let (ci, old) = (test.service_account(&id, &ada, "ci-bot").await, test.service_account(&id, &ada, "old").await);
    let accounts = format!("/api/v1/workspaces/{id}/service-accounts");
    let add = async |account: &Actor, title: &str, expires_at: Option<&str>| {
        let mut key = test.new_key();
        let body = json!({"title": title, "public_key": key.openssh, "expires_at": expires_at});
        let path = format!("{accounts}/{}/keys", account.id);
        let made = test.post(&path, &body).by(&ada.key).send().await.expect(201);
        made["id"].as_str().expect("an id").clone_into(&mut key.id);
        key
    };
    for key in [&ada.key, &ci.key, &old.key] {
        use_key(&test, key).await;
    }
    add(&ci, "expiring", Some("2026-01-20T00:00:00Z")).await;
    add(&ci, "lasting", Some("2026-02-20T00:00:00Z")).await;
    let gone = add(&ci, "leaked", None).await;
    add(&old, "of a disabled account", None).await;
    use_key(&test, &gone).await;
    test.delete(&format!("{accounts}/{}/keys/{}", ci.id, gone.id)).by(&ada.key).send().await.expect(204);
    let disable = json!({"disabled": true});
    test.patch(&format!("{accounts}/{}", old.id), &disable).by(&ada.key).send().await.expect(200);
    let mut page = browser(&test, "ada").await;
    page.open("/w/acme").await.sees("1 item<").sees("old is disabled").sees("Its 2 API keys are refused");

    test.advance(DAY * 8).await;
    refuse(&test, &gone).await;
    // Anyone can name a key, so this is no reason to act.
    let forged = Draft::native(&test, &ci.key, "GET").sign(test.get("/api/v1/me"), &test.new_key());
    forged.send().await.expect_problem(401, "unauthenticated");
    test.app.write_records().await.expect("the records are written");
    let mut page = browser(&test, "ada").await;
    page.open("/w/acme").await.sees("4 items<");
    let titles = [
        "1 request was refused in the last 24 hours",
        "1 key expires within 14 days",
        "old is disabled",
        "2 keys have never been used",
    ];
    let places: Vec<usize> =
        titles.iter().map(|title| page.page.find(title).unwrap_or_else(|| panic!("{title}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
    let keys = format!("/w/acme/service-accounts/{}/keys", ci.id);
    page.sees(&format!("<a href=\"{keys}/{}\">leaked</a> of ci-bot (revoked key, once).", gone.id));
    page.sees(">expiring</a> of ci-bot in 10 days.")
        .sees("href=\"/w/acme/activity?kind=refused&#38;period=24h\">See requests</a>");
    page.sees(">lasting</a> of ci-bot").sees("Keys of service accounts and your own are counted.");
    // The chart counts the keys of service accounts, and no own keys.
    page.sees("<dt>Keys used</dt>").sees("<small>of 5 live</small>");
    let mut other = browser(&test, "ada").await;
    other.open("/w/acme/delete").await.sees("2 service accounts and 5 live API keys of service accounts");
    let attention = page.page.split("id=\"requests\"").next().expect("the part above the chart");
    assert!(!attention.contains("of a disabled account"), "{attention}");

    test.delete(&format!("{accounts}/{}", old.id)).by(&ada.key).send().await.expect(204);
    test.delete(&format!("{accounts}/{}", ci.id)).by(&ada.key).send().await.expect(204);
    page.open("/w/acme").await.sees_not("Needs attention");
}

#[tokio::test]
async fn a_member_sees_their_own_keys_and_projects_and_nothing_of_service_accounts() {
    let test = TestApp::new().await;
    let (ada, eve) = (person(&test, "ada").await, person(&test, "eve").await);
    let id = test.workspace("acme", &ada).await;
    let other = test.workspace("other", &eve).await;
    let max = test.member(&id, &ada, "max", "member").await;
    with_password(&test, &max).await;
    let bot = test.service_account(&id, &ada, "secret-bot").await;
    let projects = format!("/api/v1/workspaces/{id}/projects");
    for (by, title) in [(&ada, "Hidden project"), (&max, "Own project")] {
        test.post(&projects, &json!({"title": title})).by(&by.key).send().await.expect(201);
    }
    for _ in 0..41 {
        use_key(&test, &bot.key).await;
    }
    let own = test.get("/api/v1/me/keys").by(&max.key).send().await.expect(200);
    let own = own["items"][0]["title"].as_str().expect("a title").to_owned();
    let disable = json!({"disabled": true});
    let path = format!("/api/v1/workspaces/{id}/service-accounts/{}", bot.id);
    test.patch(&path, &disable).by(&ada.key).send().await.expect(200);
    refuse(&test, &bot.key).await;

    let mut admin = browser(&test, "ada").await;
    admin.open("/w/acme").await.sees("secret-bot").sees("41 accepted").sees("Latest changes").sees("Needs attention");
    let mut member = browser(&test, "max").await;
    member.open("/").await.sees("Your most used keys").sees(&own).sees("Own project");
    assert_eq!((member.path.as_str(), member.status), ("/w/acme", 200));
    for hidden in [
        "secret-bot",
        "41",
        "Hidden project",
        "Needs attention",
        "Latest changes",
        "service-accounts",
        &bot.id,
        &bot.key.id,
    ] {
        member.sees_not(hidden);
    }
    // A member who has not sent a request has other steps.
    let keyless = test.member(&id, &ada, "mia", "member").await;
    with_password(&test, &keyless).await;
    browser(&test, "mia").await.open("/w/acme").await.sees("Three steps").sees_not("secret-bot").sees_not(&bot.id);
    let mut stranger = browser(&test, "eve").await;
    stranger.open("/w/acme").await.sees_not("secret-bot").sees_not("acme</h1>");
    assert_eq!(stranger.status, 404);
    stranger.open("/w/other").await.sees_not("secret-bot").sees_not("Hidden project");
    assert_eq!(stranger.status, 200, "{other}");
}

#[tokio::test]
async fn a_new_member_is_shown_how_to_add_their_own_key() {
    let test = TestApp::new().await;
    Browser::admin_of(&test, "acme", "ada").await;
    let mut ada = browser(&test, "ada").await;
    ada.open("/w/acme/invitations").await;
    ada.submit("/w/acme/invitations", &[("emails", "max@example.com"), ("role", "member")]).await;
    let link = ada.page.split("http://127.0.0.1:8080/invitations/").nth(1);
    let token = link.and_then(|after| after.split('"').next()).expect("a link").to_owned();
    let mut max = Browser::new(&test);
    max.open(&format!("/invitations/{token}")).await;
    max.submit(&format!("/invitations/{token}"), &[("name", "Max"), ("password", PASSWORD)]).await;
    max.sees("Welcome to The acme").sees("Three steps").sees("1 of 3 done").sees_not("service-accounts");
    assert_eq!(max.path, "/w/acme");
    max.sees("class=\"btn primary sm\" href=\"/profile/api-keys/new\"");
}
