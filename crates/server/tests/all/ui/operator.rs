//! The pages for operators.

use crate::{
    support::browser::{Browser, PASSWORD},
    support::{HOST, TestApp},
};

#[tokio::test]
async fn the_operator_creates_workspaces_and_users_and_raises_quotas() {
    let test = TestApp::new().await;
    let mut olga = Browser::signed_in(&test, "olga", true).await;
    olga.open("/").await.sees("No workspaces yet").sees("href=\"/operator/workspaces/new\"");
    olga.open("/operator/workspaces/new").await;
    let path = "/operator/workspaces";
    let first = [("name", "Acme"), ("slug", "acme"), ("admin_email", "ada@example.com")];
    olga.submit(path, &first).await.sees("Send this link to the first admin").sees("/invitations/");
    olga.submit(path, &first).await.sees("never reused").sees("value=\"Acme\"");
    olga.open(path).await;
    let ws = format!("{path}/{}/quotas", olga.link("/operator/workspaces/ws_").split('/').nth(3).expect("an id"));
    let quotas = [("service_accounts", "7"), ("keys_per_service_account", "6"), ("keys_per_user", "30")];
    olga.submit(&ws, &quotas)
        .await
        .sees("The quotas of <b>Acme</b> are set.")
        .sees("value=\"7\"")
        .sees("In use: 0 of 7");
    // Without a slug, it is made from the name.
    let second = [("name", "Harbour Survey"), ("slug", ""), ("admin_email", "")];
    olga.submit(path, &second).await.sees("Welcome to Harbour Survey");
    assert_eq!(olga.path, "/w/harbour-survey");
    olga.open(path).await.sees("Harbour Survey").sees("harbour-survey").sees("0 of 7");
    olga.open(&format!("{path}?format=csv&sort=name")).await.sees("\"acme\",\"Acme\",\"false\",\"0\",\"0\",\"7\"");
    olga.sees("\"harbour-survey\",\"Harbour Survey\",\"true\",\"1\"");
    olga.open("/operator/users?format=csv").await.sees("\"olga@example.com\",").sees("\"true\",\"false\",\"false\",");
    olga.open(&format!("{path}?q=harbour")).await.sees("harbour-survey").sees_not(">Acme<");
    olga.open(&format!("{path}?filter=without-admin")).await.sees(">Acme<").sees_not("<small>harbour-survey");

    olga.open("/operator/users").await;
    let user = [("email", "bob@example.com"), ("name", "Bob"), ("password", PASSWORD)];
    olga.submit("/operator/users", &user).await.sees("bob@example.com");
    let bob_id = test.app.find_user_by_email(&server::app::Caller::host(), "bob@example.com").await.unwrap().id;
    let password = format!("/operator/users/{bob_id}/password");
    olga.open(&password).await.sees("bob@example.com");
    olga.submit(&password, &[("password", "bob@example.com")]).await.sees("too similar to your name or email");
    olga.submit(&password, &[("password", "seven violet tractors hum")])
        .await
        .sees("</b> is set, and all their sessions have ended.");
    let mut bob = Browser::new(&test);
    bob.open("/sign-in").await;
    bob.submit("/sign-in", &[("email", "bob@example.com"), ("password", "seven violet tractors hum")]).await;
    assert!(bob.has_session());
    olga.open("/operator/system").await.sees("Ready").sees("keyward/").sees("Lease of 2 s").sees_not("Not responding");
    // The only node renews no lease, and still responds.
    test.advance(std::time::Duration::from_mins(1)).await;
    olga.open("/operator/system").await.sees("Up to date").sees_not("Not responding");
    let note = olga.request("GET", "/operator/system/checkpoint.txt").send().await;
    assert_eq!(note.headers["content-disposition"], "attachment; filename=\"keyward-checkpoint.txt\"");
    let note = String::from_utf8(note.bytes).unwrap();
    assert!(olga.page.contains(note.lines().nth(2).expect("a root")), "{note}");
    // Both directions ask first, by name.
    let operator = format!("/operator/users/{bob_id}/operator");
    olga.open(&operator).await.sees("Make Bob an operator?").sees("name=\"operator\" value=\"true\"");
    olga.submit(&format!("/operator/users/{bob_id}"), &[("operator", "true")]).await.sees("is an operator now");
    olga.open(&operator).await.sees("Remove the operator role from Bob?");
    olga.open("/operator/users?q=bob").await.sees("<small>bob@example.com").sees_not("<small>olga@example.com");
    olga.open("/operator/users?filter=disabled").await.sees("No users match");
}

#[tokio::test]
async fn a_first_admin_whose_link_was_lost_is_named_again() {
    let test = TestApp::new().await;
    let mut olga = Browser::signed_in(&test, "olga", true).await;
    let create = [("name", "Acme"), ("slug", "acme"), ("admin_email", "ada@example.com")];
    olga.open("/operator/workspaces/new").await.submit("/operator/workspaces", &create).await;
    let lost = olga.link(&format!("http://{HOST}/invitations/"));
    olga.open("/operator/workspaces").await.sees("This workspace has no enabled admin");
    olga.open(&olga.link("/operator/workspaces/ws_")).await;
    let form = olga.page.split("action=\"").find(|form| form.contains("first-admin")).expect("a form");
    let form = form.split('"').next().expect("a path").to_owned();
    olga.submit(&form, &[("admin_email", "nonsense")]).await.sees("This is not an email address");
    olga.submit(&form, &[("admin_email", "ada@example.com")]).await;
    let again = olga.link(&format!("http://{HOST}/invitations/"));
    let path = |link: &str| link.strip_prefix(&format!("http://{HOST}")).expect("our own origin").to_owned();
    Browser::new(&test).open(&path(&lost)).await.sees("This invitation is no longer valid");
    let mut ada = Browser::new(&test);
    let again = path(&again);
    ada.open(&again).await.submit(&again, &[("name", "Ada"), ("password", PASSWORD)]).await.sees("You have joined");
    olga.open("/operator/workspaces").await.sees_not("This workspace has no enabled admin");
    olga.submit(&form, &[("admin_email", "eve@example.com")]).await.sees("already has an admin");
    assert_eq!(olga.status, 409);
}
