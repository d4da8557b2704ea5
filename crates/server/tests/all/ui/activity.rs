//! The activity pages of workspaces and of the installation.

use crate::{support::TestApp, support::browser::Browser};

#[tokio::test]
async fn activity_is_filtered_and_exported() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/projects/new").await;
    ada.submit("/w/acme/projects", &[("title", "=cmd|' /C calc'!A0"), ("description", "")]).await;
    let (created, founded) = (" created the project ", " created the workspace ");
    ada.open("/w/acme/activity").await.sees(created).sees(founded).sees("The host");
    ada.open("/w/acme/activity?action=project.create").await.sees(created).sees_not(founded).sees("Project created");
    ada.open("/w/acme/activity?principal=ada@example.com").await.sees(created).sees_not(founded);
    ada.open("/w/acme/activity?principal=who@example.com").await.sees("No events match");
    ada.open("/w/acme/activity?kind=refused").await.sees("No events match").sees_not(created);
    ada.open("/w/acme/activity?kind=changes&period=today").await.sees(created);
    ada.open("/w/acme/activity?to=2020-01-01").await.sees("No events match");
    ada.open("/w/acme/activity?from=nonsense").await;
    assert_eq!(ada.status, 400);
    ada.open("/w/acme/activity?after=nonsense").await;
    assert_eq!(ada.status, 400);
    let csv = ada.request("GET", "/w/acme/activity/export.csv?action=project.create").send().await;
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"activity.csv\"");
    let csv = String::from_utf8(csv.bytes).unwrap();
    assert_eq!(csv.lines().count(), 2);
    assert!(csv.contains("\"ada created the project =cmd|' /C calc'!A0\""), "{csv}");
    let lines = ada.request("GET", "/w/acme/activity/export.jsonl").send().await;
    for line in String::from_utf8(lines.bytes).unwrap().lines() {
        serde_json::from_str::<api::AuditEvent>(line).expect("an event a line");
    }
}

/// Adds a service account with a key, and returns the paths of both.
async fn add_account(ada: &mut Browser<'_>, test: &TestApp, slug: &str, name: &str, title: &str) -> (String, String) {
    let list = format!("/w/{slug}/service-accounts");
    ada.open(&format!("{list}/new")).await;
    ada.submit(&list, &[("name", name), ("description", "")]).await;
    let account = ada.path.split('?').next().expect("a path").to_owned();
    ada.open(&format!("{account}/keys/new")).await;
    let key = test.new_key().openssh;
    ada.submit(&format!("{account}/keys"), &[("title", title), ("public_key", &key)]).await;
    (account, ada.path.split('?').next().expect("a path").to_owned())
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().expect("a segment")
}

#[tokio::test]
async fn the_activity_of_a_key_and_of_an_account_has_what_happened_to_them() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let (account, key) = add_account(&mut ada, &test, "acme", "demo-bot", "runner-20").await;
    add_account(&mut ada, &test, "acme", "other-bot", "runner-21").await;
    ada.open(&key).await;
    ada.submit(&format!("{key}/disable"), &[]).await;

    ada.open(&format!("/w/acme/activity?key={}", last(&key))).await;
    ada.sees(" disabled the key ").sees(" added the key ").sees("Key: runner-20").sees("demo-bot");
    ada.sees_not("runner-21").sees_not(" created the service account ");
    ada.open(&format!("/w/acme/activity?principal={}", last(&account))).await;
    ada.sees(" disabled the key ").sees(" created the service account ").sees("Person or account: demo-bot");
    ada.sees_not("other-bot").sees_not("runner-21");
    // The link of a name leads to its page, and the filter can be cleared.
    assert_eq!(ada.link(&format!("{account}/keys/")), key);
    assert_eq!(ada.link("/w/acme/activity\""), "/w/acme/activity");

    // Another tenant's key is not named, and nothing of it is listed.
    let mut eve = Browser::admin_of(&test, "other", "eve").await;
    for filter in [format!("key={}", last(&key)), format!("principal={}", last(&account))] {
        eve.open(&format!("/w/other/activity?{filter}")).await;
        eve.sees("No events match").sees_not("runner-20").sees_not("demo-bot");
    }
}

#[tokio::test]
async fn an_event_is_shown_with_the_values_before_and_after() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let (account, _) = add_account(&mut ada, &test, "acme", "demo-bot", "runner-20").await;
    ada.open(&account).await;
    ada.submit(&format!("{account}/role"), &[("role", "admin"), ("confirmed", "1")]).await;
    ada.open("/w/acme/activity?action=service_account.update").await.sees(" to Admin").sees_not("id=\"detail\"");
    let details = ada.link("/w/acme/activity?action=service_account.update&#38;event=evt_").replace("&#38;", "&");
    ada.open(details.split('#').next().expect("a path")).await;
    ada.sees("id=\"detail\"").sees("Role changed").sees("Before: </span>Member").sees("After: </span>Admin");
    ada.sees("Session in the console").sees("ada@example.com").sees("In the signed log, entry ");

    // An event of another workspace is not there.
    let event = details.split("event=").nth(1).expect("an event").split('#').next().expect("an id").to_owned();
    let mut eve = Browser::admin_of(&test, "other", "eve").await;
    eve.open(&format!("/w/other/activity?event={event}")).await.sees("No such event").sees_not("After: ");
    eve.open("/w/other/activity?event=nonsense").await.sees("No such event");
}

#[tokio::test]
async fn activity_has_pages_in_both_directions() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    for number in 0..100 {
        let name = format!("Acme {number}");
        ada.submit("/w/acme/general", &[("name", name.as_str())]).await;
    }
    let rows = |page: &str| page.matches("class=\"sev ").count();
    let ids = |page: &str| page.split("event=evt_").skip(1).map(|rest| rest[..26].to_owned()).collect::<Vec<_>>();
    // The link of the pager in that direction.
    let pager = |page: &str, rel: &str| {
        let before = page.split(&format!("\" rel=\"{rel}\"")).next().expect("a link");
        before.rsplit("href=\"").next().expect("an address").replace("&#38;", "&")
    };
    ada.open("/w/acme/activity").await.sees("rel=\"next\"").sees_not("rel=\"prev\"");
    let first = ada.page.clone();
    assert_eq!(rows(&first), 40);
    assert!(first.len() < 38_000, "{} bytes", first.len());
    ada.open(&pager(&first, "next")).await.sees("rel=\"next\"").sees("rel=\"prev\"");
    let middle = ada.page.clone();
    assert_eq!(rows(&middle), 40);
    ada.open(&pager(&middle, "next")).await.sees_not("rel=\"next\"").sees("rel=\"prev\"");
    assert!(rows(&ada.page) > 20, "{}", rows(&ada.page));
    ada.open(&pager(&ada.page.clone(), "prev")).await;
    assert_eq!(ids(&ada.page), ids(&middle), "the same page as on the way");
    ada.open(&pager(&ada.page.clone(), "prev")).await.sees_not("rel=\"prev\"");
    assert_eq!(ids(&ada.page), ids(&first));
}

#[tokio::test]
async fn operators_see_the_installations_events_and_not_those_of_tenants() {
    let test = TestApp::new().await;
    let mut olga = Browser::signed_in(&test, "olga", true).await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    add_account(&mut ada, &test, "acme", "demo-bot", "runner-20").await;
    olga.open("/operator/activity").await.sees(" created the workspace ").sees(" signed in").sees(" created the user ");
    olga.sees_not("runner-20").sees_not("demo-bot").sees_not(" created the service account ");
    olga.open("/operator/activity?kind=changes").await.sees_not(" signed in").sees(" created the user ");
    olga.open("/operator/activity?kind=sign-ins").await.sees(" signed in").sees_not(" created the user ");
    let lines = olga.request("GET", "/operator/activity/export.jsonl").send().await;
    let lines = String::from_utf8(lines.bytes).unwrap();
    assert!(lines.contains("workspace.create") && !lines.contains("service_account.create"), "{lines}");
}

#[tokio::test]
async fn refused_requests_are_told_apart_by_source_and_reason() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let (account, _) = add_account(&mut ada, &test, "acme", "demo-bot", "runner-20").await;
    let key = test.new_key();
    ada.open(&format!("{account}/keys/new")).await;
    ada.submit(&format!("{account}/keys"), &[("title", "runner-22"), ("public_key", &key.openssh)]).await;
    let path = ada.path.split('?').next().expect("a path").to_owned();
    ada.submit(&format!("{path}/disable"), &[]).await;
    for count in [3, 40] {
        for _ in 0..count {
            test.get("/api/v1/me").by(&key).send().await.expect_problem(401, "unauthenticated");
        }
        test.app.write_records().await.unwrap();
        test.advance(std::time::Duration::from_secs(61)).await;
    }
    test.app.write_records().await.unwrap();
    ada.open("/w/acme/activity?kind=refused").await;
    ada.sees("<b>43 requests</b> by ").sees(">demo-bot</a>").sees(">runner-22</a>").sees("<b>127.0.0.1</b>");
    ada.sees("The key is disabled").sees("Show by time").sees_not(" disabled the key ");
}

#[tokio::test]
async fn a_title_that_is_the_id_of_another_tenants_object_names_nothing() {
    let test = TestApp::new().await;
    let mut eve = Browser::admin_of(&test, "other", "eve").await;
    eve.open("/w/other/projects/new").await;
    eve.submit("/w/other/projects", &[("title", "Secret merger"), ("description", "")]).await;
    let foreign = eve.path.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/projects/new").await;
    ada.submit("/w/acme/projects", &[("title", &foreign), ("description", &foreign)]).await;
    ada.open("/w/acme/activity?action=project.create").await;
    let event = ada.page.split("event=").nth(1).and_then(|rest| rest.split('#').next()).expect("an event").to_owned();
    for filter in ["target", "principal", "key"] {
        ada.open(&format!("/w/acme/activity?{filter}={foreign}&event={event}")).await.sees_not("Secret merger");
    }
    ada.open(&format!("/w/acme/activity?target={foreign}&event={event}")).await.sees(&foreign);
}
