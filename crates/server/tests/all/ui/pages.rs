//! What users do on the pages, without scripts.

use domain::{Clock as _, Timestamp};
use server::app::Caller;

use crate::{
    support::TestApp,
    support::browser::{Browser, PASSWORD},
    ui::keys::add_keys,
};

#[tokio::test]
async fn an_admin_makes_a_service_account_gives_it_a_key_and_then_a_role() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/").await.sees("Create project");
    assert_eq!(ada.path, "/w/acme");
    ada.open("/w/acme/service-accounts").await.sees("No service accounts yet").sees("Create service account");
    ada.open("/w/acme/service-accounts/new").await.sees("@acme.sa.keyward.local");
    let path = "/w/acme/service-accounts";
    let wrong = [("display_name", "CI Runner"), ("name", "CI Runner"), ("description", "")];
    ada.submit(path, &wrong).await.sees("aria-invalid").sees("CI Runner");
    // An empty name in the address is made from the display name.
    ada.submit(path, &[("display_name", "CI Runner"), ("name", ""), ("description", "Builds")]).await;
    ada.sees("ci-runner@acme.sa.keyward.local").sees("<h1>CI Runner</h1>").sees("0 of 5").sees("New API key");
    ada.sees("CI Runner</a> was created. Add its first API key.");

    let account = ada.path.split('?').next().unwrap().to_owned();
    let key = test.new_key();
    ada.open(&format!("{account}/keys/new")).await.sees("Generate key pair").sees("Add API key").sees("ssh-keygen");
    let fields = [("title", "build <b>machine</b>"), ("public_key", key.openssh.as_str()), ("expires", "")];
    ada.submit(&format!("{account}/keys"), &fields).await;
    // The page of the key contains the lines for programs.
    assert!(ada.path.starts_with(&format!("{account}/keys/key_")), "{}", ada.path);
    let notice = format!("Key <a href=\"{}\">build &#60;b&#62;machine&#60;/b&#62;</a> was added.", ada.path);
    ada.sees(&notice).sees("KEYWARD_KEY_FILE").sees("create_with_ssh_private_key");
    ada.sees("This key has not been used yet.");
    // What was done with the key, from its page.
    let activity = ada.link("/w/acme/activity?key=");
    ada.open(&activity).await.sees("build &#60;b&#62;machine&#60;/b&#62;</a>").sees("Key:");
    ada.open(&account).await.sees(key.fingerprint.as_str()).sees("1 of 5").sees("Never");
    ada.sees("build &#60;b&#62;machine").sees_not("<b>machine");

    ada.submit(&format!("{account}/keys"), &fields).await.sees("is already registered");
    assert_eq!(ada.status, 409);
    // It becomes an admin after a page that says what this means.
    ada.submit(&format!("{account}/role"), &[("role", "admin"), ("from", "list")]).await;
    ada.sees("<h1>Make CI Runner an admin?</h1>").sees("adds and removes people").sees("The holder of its key");
    let me = test.get("/api/v1/me").by(&key).send().await.expect(200);
    assert_eq!(me["workspaces"][0]["role"], "member");
    let confirmed = [("role", "admin"), ("from", "list"), ("confirmed", "1")];
    ada.submit(&format!("{account}/role"), &confirmed).await.sees("CI Runner</a> is an admin now.").sees("Undo");
    assert_eq!(ada.path, "/w/acme/service-accounts");
    let me = test.get("/api/v1/me").by(&key).send().await.expect(200);
    assert_eq!(me["workspaces"][0]["role"], "admin");

    test.app.write_records().await.expect("the records are written");
    ada.open(&format!("{account}/disable"))
        .await
        .sees("It was last used ")
        .sees("2 requests were accepted in the last 7 days.")
        .sees("<h1>Disable CI Runner?</h1>")
        .sees("Its key is refused at once")
        .sees("The open invitations that it sent are revoked.");
    ada.submit(&format!("{account}/disable"), &[]).await.sees("CI Runner</a> is disabled. Its key is refused now.");
    // The invitations of an admin do not come back, so it cannot be undone.
    ada.sees_not(">Undo<");
    test.get("/api/v1/me").by(&key).send().await.expect_problem(401, "unauthenticated");
    ada.submit(&format!("{account}/enable"), &[]).await.sees(">Undo<");
    ada.submit(&format!("{account}/enable"), &[]).await.sees("is enabled.").sees_not(">Undo<");
    ada.open(&format!("{account}/delete")).await.sees("Its key is revoked at once.");
    ada.submit(&format!("{account}/delete"), &[]).await.sees("No service accounts yet");
    ada.sees("<b>CI Runner</b> was deleted, and its key was revoked.");
}

#[tokio::test]
async fn an_old_session_gives_the_password_again_before_it_adds_keys_or_admins() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys/new").await.sees_not("id=\"confirm_password\"");
    let before = ada.cookies["keyward"].clone();
    test.set_wall(test.clock.now().as_second() + 15 * 60).await;

    let key = test.new_key();
    let fields = [("title", "laptop"), ("public_key", key.openssh.as_str())];
    ada.submit("/profile/api-keys", &fields).await.sees("Confirm your password").sees("value=\"laptop\"");
    let mut wrong = fields.to_vec();
    wrong.push(("confirm_password", "a wrong password"));
    ada.submit("/profile/api-keys", &wrong).await.sees("This password is wrong");
    let mut right = fields.to_vec();
    right.push(("confirm_password", PASSWORD));
    ada.submit("/profile/api-keys", &right).await.sees(&key.fingerprint);
    assert_ne!(ada.cookies["keyward"], before, "the session has a new token");

    test.set_wall(test.clock.now().as_second() + 15 * 60).await;
    ada.open("/w/acme/invitations").await;
    let admins = [("emails", "eve@example.com"), ("role", "admin")];
    ada.submit("/w/acme/invitations", &admins).await.sees("Confirm your password");
    let members = [("emails", "eve@example.com"), ("role", "member")];
    ada.submit("/w/acme/invitations", &members).await.sees("Copy this link");
}

#[tokio::test]
async fn an_international_domain_is_shown_in_its_own_letters() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/invitations").await;
    let invite = [("emails", "ann@xn--bcher-kva.example"), ("role", "member")];
    ada.submit("/w/acme/invitations", &invite).await.sees("ann@bücher.example").sees_not("xn--");
    let after = ada.page.split("http://127.0.0.1:8080/invitations/").nth(1).expect("a link");
    let link = format!("/invitations/{}", after.split('"').next().expect("a token"));
    let mut ann = Browser::new(&test);
    ann.open(&link).await.sees("ann@bücher.example is invited");
    ann.submit(&link, &[("name", "Ann"), ("password", PASSWORD)]).await.sees("ann@bücher.example");
    ada.open("/w/acme/members").await.sees("ann@bücher.example").sees_not("xn--");
    ada.open("/w/acme/activity").await.sees("ann@bücher.example").sees_not("xn--");
    // The displayed form of an address can be searched for.
    ada.open("/w/acme/activity?principal=ann@b%C3%BCcher.example").await.sees("joined the workspace").sees_not("xn--");

    // The names of users are next to the objects that they created.
    let promoted = [("role", "admin"), ("confirmed", "1")];
    let id = ada.page.split("principal=usr_").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned();
    ada.open("/w/acme/members").await;
    ada.submit(&format!("/w/acme/members/usr_{id}/role"), &promoted).await;
    ann.open("/w/acme/invitations").await;
    ann.submit("/w/acme/invitations", &[("emails", "eve@example.com"), ("role", "member")]).await;
    ada.open("/w/acme/invitations").await.sees("invited by ann@bücher.example").sees_not("xn--");
}

#[tokio::test]
async fn a_workspace_is_renamed_and_a_password_changed() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/general").await.sees("Keys of each service account");
    ada.submit("/w/acme/general", &[("name", "Acme Robotics")])
        .await
        .sees("The workspace is now called")
        .sees("Acme Robotics");
    let mut other = Browser::new(&test);
    other.sign_in("ada").await;
    ada.open("/profile").await.sees("This device").sees("127.0.0.0/24").sees("Unknown device");
    ada.open(&ada.link("/profile/sessions/ses_")).await.sees("End the session of Unknown device?").sees("Cancel");
    let new = "lantern fig oboe tidal";
    ada.submit("/profile/password", &[("current_password", "wrong"), ("password", new)])
        .await
        .sees("This password is wrong");
    ada.submit("/profile/password", &[("current_password", PASSWORD), ("password", new)]).await;
    ada.sees("Your password is changed.");
    other.open("/profile").await;
    assert_eq!(other.path, "/sign-in?next=/profile", "the other session has ended");
}

#[tokio::test]
async fn a_workspace_is_deleted_after_its_slug_is_typed() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/projects/new").await;
    ada.submit("/w/acme/projects", &[("title", "Maps"), ("description", "")]).await;
    ada.open("/w/acme/delete").await.sees("1 project, 0 service accounts and 0 live API keys").sees("1 member ");
    ada.submit("/w/acme/delete", &[("confirm", "acne")]).await.sees("Nothing was deleted.");
    assert_eq!(ada.status, 400);
    ada.open("/w/acme/projects").await.sees("Maps");
    ada.open("/w/acme/delete").await.submit("/w/acme/delete", &[("confirm", "acme")]).await;
    ada.open("/w/acme/projects").await.sees_not("Maps");
    assert!(ada.path.starts_with("/sign-in"), "who is in no workspace any more is signed out");
}

#[tokio::test]
async fn after_something_on_the_second_page_of_a_list_one_is_on_the_second_page() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let caller = server::app::Caller::host();
    let ws = test.app.find_workspace_by_slug(&caller, "acme").await.unwrap().id;
    let quotas = api::UpdateQuotas { service_accounts: Some(51), ..api::UpdateQuotas::default() };
    test.app.update_quotas(&caller, ws, quotas).await.unwrap();
    for number in 0..51 {
        let create = api::CreateServiceAccount { name: Some(format!("bot-{number}")), ..Default::default() };
        test.app.create_service_account(&caller, ws, &create).await.unwrap();
    }
    // The limit counts all objects, not only those on the page.
    ada.open("/w/acme/service-accounts").await.sees("All 51 service accounts are in use.");
    let next = ada.link("/w/acme/service-accounts?after=");
    ada.open(&next).await.sees("All 51 service accounts are in use.").sees("21 to 40 of 51");
    // Links of rows are relative, so that long lists stay light.
    let last = format!("/w/acme/{}", ada.link("service-accounts/sa_"));
    let (_, query) = next.split_once('?').expect("a query");
    let form = format!("{last}/role?{query}");
    ada.sees(&format!("action=\"{}\"", form.trim_start_matches("/w/acme/")));
    let fields = [("role", "admin"), ("from", "list"), ("confirmed", "1")];
    ada.submit(&form, &fields).await.sees("is an admin now.").sees(&format!("\"{last}\""));
    assert_eq!(ada.path, next);
}

#[tokio::test]
async fn code_in_an_error_is_shown_as_code() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys/new").await;
    let damaged = "{\"kty\": 1}";
    ada.submit("/profile/api-keys", &[("title", "x"), ("public_key", damaged)]).await;
    let said = ada.page.split("id=\"public_key-wrong\">").nth(1).expect("an error").split("</p>").next().unwrap();
    assert!(said.contains("<code>") && !said.contains('`'), "{said}");
}

#[tokio::test]
async fn a_page_that_outlived_its_session_uses_the_next_one() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys/new").await;
    let before = ada.csrf();
    ada.submit("/sign-out", &[]).await;
    let ended = ada.request("GET", "/profile/api-keys/new").header("accept", "application/json").send().await;
    ended.expect_problem(401, "unauthenticated");
    ada.sign_in("ada").await;
    let key = test.new_key().openssh;
    let fields = [("csrf", before.as_str()), ("title", "laptop"), ("public_key", key.as_str())];
    let stale = ada.form("/profile/api-keys", &fields).header("accept", "application/json").send().await;
    stale.expect_problem(403, "forbidden");
    let fresh = ada.request("GET", "/profile/api-keys/new").header("accept", "application/json").send().await;
    let fresh = fresh.expect(200);
    assert_eq!((&fresh["account"], &fresh["needs_password"]), (&"ada@example.com".into(), &false.into()));
    let fields = [("csrf", fresh["csrf"].as_str().unwrap()), fields[1], fields[2]];
    ada.form("/profile/api-keys", &fields).header("accept", "application/json").send().await.expect(201);
}

/// A page that was opened before an upgrade has a form without new fields.
#[tokio::test]
async fn a_field_that_a_form_does_not_have_keeps_its_value() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/service-accounts/new").await;
    ada.submit("/w/acme/service-accounts", &[("name", "bot"), ("description", "Builds maps")]).await;
    let account = ada.path.split('?').next().unwrap().to_owned();
    ada.submit(&format!("{account}/settings"), &[("name", "robot"), ("confirmed", "1")]).await;
    ada.sees("robot@acme").sees("Builds maps");
    ada.submit(&format!("{account}/settings"), &[]).await.sees("robot@acme").sees("Builds maps");
    let wrong = [("name", "NOT A NAME")];
    ada.submit(&format!("{account}/settings"), &wrong).await.sees("NOT A NAME").sees("Builds maps");
    assert_eq!(ada.status, 400);
    ada.submit(&format!("{account}/settings"), &[("description", "")]).await.sees("robot@acme").sees_not("Builds maps");

    ada.submit("/w/acme/projects", &[("title", "Maps"), ("description", "Of streets")]).await;
    let project = ada.path.split('?').next().unwrap().to_owned();
    ada.submit(&project, &[("title", "Atlas")]).await.sees("Atlas").sees("Of streets");
    ada.submit(&project, &[("description", "")]).await.sees("Atlas").sees_not("Of streets");
    ada.submit("/w/acme/general", &[]).await.sees("The acme");

    let expires = Timestamp::from_second(test.app.now().as_second() + 30 * 86_400).unwrap();
    let key = add_keys(&test, "ada@example.com", &["laptop"], Some(expires)).await.remove(0);
    // The activity of the key names its former expiry date, too.
    let day = expires.strftime(">%-d %b %Y</time>").to_string();
    ada.open(&key).await.submit(&key, &[("title", "desk")]).await.sees("desk").sees(&day);
    ada.submit(&key, &[("expires", "")]).await.sees("desk").sees_not(&day);
}

#[tokio::test]
async fn lists_are_found_sorted_paged_and_downloaded() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let host = Caller::host();
    let ws = test.app.find_workspace_by_slug(&host, "acme").await.unwrap().id;
    let emails: Vec<String> = (0..60).map(|number| format!("p{number:02}@example.com")).collect();
    let create = api::CreateInvitations { emails, role: domain::role::Role::Member };
    test.app.create_invitations(&host, ws, &create).await.unwrap();
    let path = "/w/acme/invitations?sort=email";
    ada.open(path).await.sees("1 to 20 of 60").sees("p19@example.com").sees_not("p20@example.com");
    ada.sees("aria-sort=\"ascending\"")
        .sees("All <span class=\"n\">60</span>")
        .sees("Pending <span class=\"n\">60</span>");
    let next = ada.link("/w/acme/invitations?sort=email&#38;after=").replace("&#38;", "&");
    ada.open(&next).await.sees("21 to 40 of 60").sees("p20@example.com").sees_not("p19@example.com");
    let previous = ada.link("/w/acme/invitations?sort=email&#38;before=").replace("&#38;", "&");
    ada.open(&previous).await.sees("1 to 20 of 60").sees("p00@example.com");
    ada.open("/w/acme/invitations?q=P5")
        .await
        .sees("1 to 10 of 10")
        .sees("p59@example.com")
        .sees_not("p49@example.com");
    ada.open("/w/acme/invitations?q=nobody").await.sees("No invitations match").sees("<q>nobody</q>");
    let csv = ada.request("GET", "/w/acme/invitations?sort=-email&q=p5&format=csv").send().await;
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"invitations.csv\"");
    let csv = String::from_utf8(csv.bytes).unwrap();
    assert_eq!(csv.lines().count(), 11);
    assert!(csv.lines().nth(1).unwrap().contains("\"p59@example.com\""), "{csv}");
    ada.open("/w/acme/projects/new").await;
    ada.submit("/w/acme/projects", &[("title", "Tides"), ("description", "")]).await;
    for (list, name, cell) in
        [("members", "members.csv", "\"ada@example.com\""), ("projects", "projects.csv", "\"Tides\"")]
    {
        let csv = ada.request("GET", &format!("/w/acme/{list}?format=csv")).send().await;
        assert_eq!(csv.headers["content-disposition"], format!("attachment; filename=\"{name}\"").as_str());
        let csv = String::from_utf8(csv.bytes).unwrap();
        assert!(csv.lines().nth(1).unwrap().contains(cell), "{csv}");
    }
}
