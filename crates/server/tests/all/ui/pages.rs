//! What users do on the pages, without scripts.

use domain::{Clock as _, Timestamp, list::Search};
use server::app::{Caller, KeyOwner, Paging};

use crate::{
    support::browser::{Browser, PASSWORD, create_user},
    support::{HOST, TestApp},
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
async fn a_person_pastes_pauses_and_revokes_a_key_of_their_own() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys").await.sees("New Key").sees("0 of 25 keys");
    ada.open("/profile/api-keys/new").await.sees("Create");
    let key = test.new_key();
    let fields = [("title", "laptop"), ("public_key", key.openssh.as_str()), ("expires", "2026-01-10")];
    ada.submit("/profile/api-keys", &fields).await.sees("laptop").sees(&key.fingerprint).sees("in 9 days");
    let page = ada.path.split('?').next().unwrap().to_owned();
    ada.open("/profile/api-keys").await.sees(&format!("\"{}\"", page.trim_start_matches("/profile/")));
    ada.open(&page).await.sees("state soon").sees("Expires soon");
    ada.open(&format!("{page}/disable")).await.sees("Disable laptop?");
    ada.submit(&format!("{page}/disable"), &[]).await.sees("state disabled");
    test.get("/api/v1/me").by(&key).send().await.expect_problem(401, "unauthenticated");
    ada.submit(&format!("{page}/enable"), &[]).await.sees("state soon");
    test.get("/api/v1/me").by(&key).send().await.expect(200);
    test.app.write_records().await.unwrap();

    ada.open(&format!("{page}/revoke")).await.sees("This key is in use");
    ada.submit(&format!("{page}/revoke"), &[("confirm_title", "another")]).await.sees("not the title");
    test.get("/api/v1/me").by(&key).send().await.expect(200);
    ada.submit(&format!("{page}/revoke"), &[("confirm_title", "laptop")])
        .await
        .sees("Expired or revoked <span class=\"n\">1</span>");
    ada.sees(&format!("Key <a href=\"{page}\">laptop</a> was revoked. It is refused now."));
    test.get("/api/v1/me").by(&key).send().await.expect_problem(401, "unauthenticated");
    ada.open("/profile/api-keys?filter=ended").await.sees("state revoked");
}

#[tokio::test]
async fn several_keys_are_changed_together_with_one_confirmation() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys/new").await;
    let keys = [test.new_key(), test.new_key(), test.new_key()];
    let mut ids = Vec::new();
    for (key, title) in keys.iter().zip(["laptop", "desk", "phone"]) {
        let fields = [("title", title), ("public_key", key.openssh.as_str()), ("expires_in", "never")];
        ada.submit("/profile/api-keys", &fields).await;
        ids.push(ada.path.rsplit('/').next().expect("an id").to_owned());
    }
    let chosen = |action, confirmed| {
        let two = [("key", ids[0].as_str()), ("key", ids[1].as_str())];
        [two[0], two[1], ("action", action), ("confirmed", confirmed)]
    };
    let bulk = "/profile/api-keys/bulk";
    let statuses = async || {
        let mut statuses = Vec::new();
        for key in &keys {
            statuses.push(test.get("/api/v1/me").by(key).send().await.status.as_u16());
        }
        statuses
    };

    test.app.write_records().await.unwrap();
    // Nothing changes before the confirmation, and the page names the keys.
    ada.submit(bulk, &chosen("disable", ""))
        .await
        .sees("Disable 2 keys?")
        .sees("laptop")
        .sees("desk")
        .sees_not("phone");
    assert_eq!(statuses().await, [200, 200, 200]);
    ada.submit(bulk, &chosen("disable", "1")).await.sees(" were disabled. They are refused now.");
    assert_eq!(statuses().await, [401, 401, 200]);
    ada.submit(bulk, &chosen("disable", "")).await.sees("There is nothing to change");
    // Enabling leaves the expiry as it is, and does not ask for one.
    ada.submit(bulk, &chosen("enable", "")).await.sees("Enable 2 keys?").sees_not("name=\"expires_in\"");
    ada.submit(bulk, &chosen("enable", "1")).await.sees("</a>) were enabled.");
    assert_eq!(statuses().await, [200, 200, 200]);
    ada.submit(bulk, &chosen("disable", "1")).await.sees("Undo").sees(&format!("value=\"{}\"", ids[0]));

    ada.submit(bulk, &chosen("extend", "")).await.sees("Set the expiry of 2 keys");
    let dated = |expires| [chosen("extend", "1").as_slice(), &[("expires_in", "date"), ("expires", expires)]].concat();
    ada.submit(bulk, &dated("")).await.sees("Choose the last day.");
    ada.submit(bulk, &dated("2025-01-01")).await.sees("Choose a time in the future.").sees("Set the expiry of 2 keys");
    ada.submit(bulk, &dated("2026-03-01")).await.sees(" now expire on 1 Mar 2026.");
    ada.open(&format!("/profile/api-keys/{}", ids[1])).await.sees("1 Mar 2026");
    ada.open("/profile/api-keys?filter=disabled&format=csv").await.sees("\"laptop\"").sees("2026-03-01T23:59:59Z");
    ada.sees_not("phone");

    // What is not the user's changes nothing at all.
    ada.open("/profile/api-keys").await;
    let mut mia = Browser::admin_of(&test, "other", "mia").await;
    mia.open("/profile/api-keys").await;
    let hers = test.new_key().openssh;
    mia.submit("/profile/api-keys", &[("title", "hers"), ("public_key", &hers)]).await;
    let hers = mia.path.rsplit('/').next().expect("an id").to_owned();
    mia.submit(bulk, &chosen("revoke", "1")).await;
    assert_eq!(mia.status, 404);
    let foreign = [("key", ids[2].as_str()), ("key", &hers), ("action", "revoke"), ("confirmed", "1")];
    ada.submit(bulk, &foreign).await;
    assert_eq!((ada.status, statuses().await), (404, vec![401, 401, 200]));

    ada.open("/profile/api-keys").await;
    // Keys that are in use are not revoked with one click.
    let revoke = [chosen("revoke", "1").as_slice(), &[("confirm", "2 keys")]].concat();
    ada.submit(bulk, &chosen("revoke", "1")).await.sees("Type <b>2 keys</b> to continue");
    assert_eq!(ada.status, 400);
    ada.submit(bulk, &revoke).await.sees("2 keys (<a href").sees(">laptop</a>").sees("</a>) were revoked.");
    ada.open("/profile/api-keys").await.sees("Expired or revoked <span class=\"n\">2</span>");
    ada.sees("phone").sees_not("laptop");
    ada.submit(bulk, &[("action", "revoke")]).await.sees("No key was selected.");
}

#[tokio::test]
async fn keys_of_a_service_account_are_revoked_together() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/service-accounts/new").await;
    ada.submit("/w/acme/service-accounts", &[("name", "bot"), ("description", "")]).await;
    let account = ada.path.split('?').next().unwrap().to_owned();
    let keys = [test.new_key(), test.new_key()];
    let mut ids = Vec::new();
    for key in &keys {
        let fields = [("title", "runner"), ("public_key", key.openssh.as_str())];
        ada.submit(&format!("{account}/keys"), &fields).await;
        ids.push(ada.path.rsplit('/').next().expect("an id").to_owned());
    }
    let chosen = [("key", ids[0].as_str()), ("key", &ids[1]), ("action", "revoke"), ("confirmed", "1")];
    ada.submit(&format!("{account}/keys/bulk"), &chosen).await.sees("2 keys of <a href").sees("</a>) were revoked.");
    assert_eq!(ada.path, account);
    for key in &keys {
        test.get("/api/v1/me").by(key).send().await.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn the_keys_of_all_service_accounts_are_reviewed_together() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/general").await;
    let at = ada.page.find("ws_").expect("the id");
    test.raise_quotas(&ada.page[at..at + 29], 10).await;
    let mut keys = Vec::new();
    for account in ["crawler", "exporter"] {
        ada.open("/w/acme/service-accounts/new").await;
        ada.submit("/w/acme/service-accounts", &[("name", account), ("description", "")]).await;
        let account = ada.path.split('?').next().unwrap().to_owned();
        for title in ["laptop", "server"] {
            let key = test.new_key();
            let fields = [("title", title), ("public_key", key.openssh.as_str()), ("expires_in", "30")];
            ada.submit(&format!("{account}/keys"), &fields).await;
            keys.push((key, ada.path.rsplit('/').next().expect("an id").to_owned(), account.clone()));
        }
    }
    test.get("/api/v1/me").by(&keys[0].0).send().await.expect(200);
    test.app.write_records().await.unwrap();
    ada.open("/w/acme/keys").await.sees("1 to 4 of 4").sees(">crawler</a>").sees(">exporter</a>");
    ada.open("/w/acme/keys?filter=never-used").await.sees("1 to 3 of 3").sees("Never used <span class=\"n\">3</span>");
    // A fingerprint is found by the short form that the list shows.
    let short =
        |text: &str| text[text.find("\">").expect("a text") + 2..text.find("</code>").expect("its end")].to_owned();
    let code = ada.page[ada.page.find("<code title=").expect("a fingerprint")..].to_owned();
    let q = short(&code).replace('\u{2026}', "%E2%80%A6").replace('+', "%2B").replace('/', "%2F");
    ada.open(&format!("/w/acme/keys?q={q}")).await.sees("1 to 1 of 1");
    ada.open("/w/acme/keys?q=exporter").await.sees("1 to 2 of 2").sees_not("crawler");
    ada.open("/w/acme/keys?q=crawler&sort=title&format=csv").await.sees("\"laptop\"").sees("\"crawler@acme.");

    // Keys of several accounts are changed with one confirmation, and the list is as it was.
    let (first, other) = (keys[1].1.clone(), keys[2].1.clone());
    let chosen =
        |action, confirmed| [("key", first.as_str()), ("key", &other), ("action", action), ("confirmed", confirmed)];
    ada.open("/w/acme/keys?filter=never-used&sort=title").await;
    let bulk = "/w/acme/keys/bulk?filter=never-used&sort=title";
    ada.sees(&format!("action=\"{}\"", bulk.replace('&', "&#38;")));
    ada.submit(bulk, &chosen("disable", "")).await.sees("Disable 2 keys?").sees(" of crawler").sees(" of exporter");
    ada.submit(bulk, &chosen("disable", "1")).await.sees(" were disabled.");
    assert!(ada.path.starts_with("/w/acme/keys?filter=never-used"), "{}", ada.path);
    for (key, status) in keys.iter().zip([200, 401, 401, 200]) {
        test.get("/api/v1/me").by(&key.0).send().await.expect(status);
    }
    ada.submit(bulk, &chosen("enable", "1")).await.sees(" were enabled.");

    // A key of another workspace, or of a person, is not among them, and then nothing is changed.
    ada.submit("/profile/api-keys", &[("title", "own"), ("public_key", &test.new_key().openssh)]).await;
    let own = ada.path.rsplit('/').next().expect("an id").to_owned();
    let mut mia = Browser::admin_of(&test, "other", "mia").await;
    mia.open("/w/other/service-accounts/new").await;
    mia.submit("/w/other/service-accounts", &[("name", "bot"), ("description", "")]).await;
    let account = mia.path.split('?').next().unwrap().to_owned();
    mia.submit(&format!("{account}/keys"), &[("title", "hers"), ("public_key", &test.new_key().openssh)]).await;
    let hers = mia.path.rsplit('/').next().expect("an id").to_owned();
    for foreign in [&own, &hers] {
        let fields = [("key", first.as_str()), ("key", foreign), ("action", "revoke"), ("confirmed", "1")];
        ada.submit("/w/acme/keys/bulk", &fields).await;
        assert_eq!(ada.status, 404);
    }
    test.get("/api/v1/me").by(&keys[1].0).send().await.expect(200);
    mia.open("/w/other/keys").await.sees("hers").sees_not("laptop");
}

#[tokio::test]
async fn a_private_key_is_refused_and_not_sent_back() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys/new").await;
    let secret = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----";
    ada.submit("/profile/api-keys", &[("title", "mistake"), ("public_key", secret)]).await;
    assert_eq!(ada.status, 400);
    ada.sees("private key").sees_not("b3BlbnNz");
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
async fn invited_people_join_and_are_removed() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    create_user(&test, "bob", false).await;
    ada.open("/w/acme/invitations").await;
    let both = [("emails", "bob@example.com, eve@example.com"), ("role", "member")];
    ada.submit("/w/acme/invitations", &both)
        .await
        .sees("Copy these links")
        .sees("nobody was notified")
        .sees("Pending")
        .sees_not("sent by mail");
    let link = |page: &str, nth: usize| {
        let after = page.split("http://127.0.0.1:8080/invitations/").nth(nth).expect("a link");
        format!("/invitations/{}", after.split('"').next().unwrap())
    };
    let (bobs, eves) = (link(&ada.page, 1), link(&ada.page, 2));

    let mut eve = Browser::new(&test);
    eve.open(&eves).await.sees("Join The acme").sees("eve@example.com");
    eve.submit(&eves, &[("name", "Eve"), ("password", PASSWORD)]).await.sees("You have joined");
    assert_eq!(eve.path, "/w/acme");
    eve.open(&eves).await.sees("This invitation is no longer valid");

    let mut bob = Browser::new(&test);
    bob.open(&bobs).await.sees("Sign in to accept the invitation");
    bob.sign_in("bob").await;
    bob.open(&bobs).await.sees("signed in as bob@example.com");
    bob.submit(&bobs, &[]).await.sees("You have joined");

    bob.open("/w/acme/projects/new").await;
    bob.submit("/w/acme/projects", &[("title", "Of Bob"), ("description", "")]).await.sees("Of Bob");
    ada.open("/w/acme/members").await.sees("bob@example.com").sees("eve@example.com");
    let caller = server::app::Caller::host();
    let bob_id = test.app.find_user_by_email(&caller, "bob@example.com").await.unwrap().id;
    let remove = format!("/w/acme/members/{bob_id}/remove");
    ada.open(&remove).await.sees("New admin of these projects").sees("Of Bob");
    ada.submit(&remove, &[]).await;
    assert_eq!(ada.status, 409);
    let ada_id = test.app.find_user_by_email(&caller, "ada@example.com").await.unwrap().id.to_string();
    ada.submit(&remove, &[("successor", &ada_id)]).await.sees("was removed from The acme").sees_not("bob@example.com");
    bob.open("/w/acme/projects").await;
    assert_eq!(bob.path, "/sign-in?next=/w/acme/projects");
}

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
async fn a_disabled_user_gets_a_message_and_takes_over_no_project() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let caller = server::app::Caller::host();
    let ws = test.app.find_workspace_by_slug(&caller, "acme").await.unwrap().id;
    let invite = api::CreateInvitations { emails: vec!["bob@example.com".into()], role: domain::role::Role::Member };
    let token = test
        .app
        .create_invitations(&caller, ws, &invite)
        .await
        .unwrap()
        .into_inner()
        .items
        .remove(0)
        .token
        .expect("a token");
    let accept = api::AcceptInvitation { token, name: Some("Bob".into()), password: Some(PASSWORD.into()) };
    test.app.accept_invitation(None, None, accept).await.unwrap();
    ada.open("/w/acme/projects/new").await;
    ada.submit("/w/acme/projects", &[("title", "Maps"), ("description", "")]).await.sees("Bob (bob@example.com)");
    let project = ada.path.clone();
    let bob = test.app.find_user_by_email(&caller, "bob@example.com").await.unwrap().id;
    let update = api::UpdateUser { disabled: Some(true), ..api::UpdateUser::default() };
    test.app.update_user(&caller, bob, update).await.unwrap();
    ada.open(&project).await.sees_not("Bob (bob@example.com)");
    ada.open("/w/acme/members").await.sees("state disabled\">Disabled");
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

/// Registers keys of a user without the pages, and returns the page of each.
async fn add_keys(test: &TestApp, user: &str, titles: &[&str], expires_at: Option<Timestamp>) -> Vec<String> {
    let host = Caller::host();
    let user = test.app.find_user_by_email(&host, user).await.unwrap().id;
    let mut pages = Vec::new();
    for &title in titles {
        let public_key = test.new_key().openssh;
        let create = api::CreateApiKey { title: title.to_owned(), public_key, expires_at, proof: None };
        let key = test.app.create_api_key(&host, KeyOwner::User(user), &create).await.unwrap();
        pages.push(format!("/profile/api-keys/{}", key.id));
    }
    pages
}

#[tokio::test]
async fn the_keys_of_a_disabled_account_are_shown_with_their_state() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/service-accounts/new").await;
    ada.submit("/w/acme/service-accounts", &[("name", "bot"), ("description", "")]).await;
    let account = ada.path.split('?').next().unwrap().to_owned();
    let key = test.new_key().openssh;
    ada.submit(&format!("{account}/keys"), &[("title", "runner"), ("public_key", &key)]).await.sees("Test this key");
    let page = ada.path.split('?').next().unwrap().to_owned();
    let caution = "This account is disabled. Its keys are refused.";
    ada.open(&account).await.sees("<td data-label=\"Status\"><span class=\"state active\">").sees_not(caution);
    ada.submit(&format!("{account}/disable"), &[]).await;
    ada.open(&account)
        .await
        .sees(caution)
        .sees("Account disabled")
        .sees_not("<td data-label=\"Status\"><span class=\"state active\">");
    ada.open(&page).await.sees(caution).sees("Account disabled").sees_not("this key</h2>").sees_not("first-use.js");
    ada.open(&format!("{account}/keys/new")).await.sees(caution);
    ada.submit(&format!("{account}/enable"), &[]).await;
    ada.open(&page).await.sees("state active").sees_not(caution);
}

#[tokio::test]
async fn at_the_limit_the_page_for_a_new_key_shows_the_contact_and_no_form() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys/new").await.sees_not("<fieldset disabled>").sees_not("to raise the limit");
    add_keys(&test, "ada@example.com", &["key"; 25], None).await;
    ada.open("/profile/api-keys/new").await.sees("All 25 keys are in use. Revoke one, or ask the operator");
    assert_eq!(ada.page.matches("<fieldset disabled>").count(), 2, "both forms are off");
    let key = test.new_key().openssh;
    ada.submit("/profile/api-keys", &[("title", "one more"), ("public_key", &key)])
        .await
        .sees("is reached. Revoke one");
    assert_eq!(ada.status, 409);
    ada.open("/w/acme/service-accounts/new").await;
    ada.submit("/w/acme/service-accounts", &[("name", "first"), ("description", "")]).await;
    ada.submit("/w/acme/service-accounts", &[("name", "second"), ("description", "")]).await;
    ada.sees("is reached. Delete one").sees_not("Revoke");
}

#[tokio::test]
async fn a_refused_revocation_keeps_the_form() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let key = test.new_key();
    ada.open("/profile/api-keys/new").await;
    ada.submit("/profile/api-keys", &[("title", "laptop"), ("public_key", &key.openssh)]).await;
    let page = ada.path.split('?').next().unwrap().to_owned();
    let revoke = format!("{page}/revoke");
    ada.open(&revoke).await.sees_not("id=\"cascade\"");

    let made = serde_json::json!({"title": "made with it", "public_key": test.new_key().openssh});
    test.post("/api/v1/me/keys", &made).by(&key).send().await.expect(201);
    test.app.write_records().await.unwrap();
    ada.open(&revoke).await.sees("Also revoke the key that was registered with this key");
    ada.submit(&revoke, &[("confirm_title", "desktop"), ("cascade", "1")]).await;
    assert_eq!(ada.status, 400);
    ada.sees("value=\"desktop\"").sees("name=\"cascade\" value=\"1\" checked");
    ada.sees("aria-invalid=\"true\" aria-describedby=\"confirm_title-wrong\"").sees("id=\"confirm_title-wrong\"");
    ada.submit(&revoke, &[("confirm_title", "laptop"), ("cascade", "1")]).await.sees("No keys match");
    // There is nothing to confirm for a key that is already revoked.
    ada.open(&revoke).await.sees("state revoked");
    assert_eq!(ada.path, page);
}

#[tokio::test]
async fn keys_that_expire_soon_are_reported_on_every_page_of_the_list() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let workspaces = test.app.list_workspaces(&Caller::host(), &Search::default(), &Paging::default()).await.unwrap();
    test.raise_quotas(&workspaces.items[0].id.to_string(), 60).await;
    let soon = Timestamp::from_second(test.clock.now().as_second() + 6 * 86_400).unwrap();
    add_keys(&test, "ada@example.com", &["ends"; 2], Some(soon)).await;
    let titles: Vec<String> = (0..53).map(|nth| format!("key {nth}")).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    add_keys(&test, "ada@example.com", &titles, None).await;
    ada.open("/profile/api-keys")
        .await
        .sees("2 keys expire within 14 days")
        .sees("55 of 60 keys")
        .sees("1 to 20 of 55");
    ada.open("/profile/api-keys?after=20").await.sees("2 keys expire within 14 days");
    ada.open("/profile/api-keys?q=key+52").await.sees("2 keys expire within 14 days").sees("1 to 1 of 1");
    ada.open("/profile/api-keys?q=ends").await.sees("1 to 2 of 2").sees("55 of 60 keys in use");
    ada.open("/profile/api-keys?after=9999").await.sees("rel=\"prev\"").sees("id=\"k15\"").sees_not("id=\"k16\"");
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
async fn a_duplicate_of_an_own_key_is_reported_once_and_briefly() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let key = test.new_key().openssh;
    let fields = [("title", "laptop"), ("public_key", key.as_str())];
    ada.open("/profile/api-keys/new").await;
    ada.submit("/profile/api-keys", &fields).await;
    ada.submit("/profile/api-keys", &fields).await.sees("Open the existing key").sees_not("another principal");
    assert_eq!(ada.page.matches("is already registered").count(), 2, "in the summary and at the field");
    assert_eq!(ada.page.matches("A key can be registered only once").count(), 1, "at the field alone");
    ada.open("/profile/api-keys").await.sees("by ada@example.com").sees_not("by host");
    add_keys(&test, "ada@example.com", &["of the host"], None).await;
    ada.open("/profile/api-keys").await.sees("on the server");
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

/// Adds a person to the workspace `acme`, and returns a browser in which they are signed in.
async fn join<'a>(test: &'a TestApp, ada: &mut Browser<'a>, name: &str, role: &str) -> Browser<'a> {
    create_user(test, name, false).await;
    ada.open("/w/acme/invitations").await;
    ada.submit("/w/acme/invitations", &[("emails", &format!("{name}@example.com")), ("role", role)]).await;
    let link = ada.link("http://127.0.0.1:8080/invitations/").replace("http://127.0.0.1:8080", "");
    let mut browser = Browser::new(test);
    browser.sign_in(name).await;
    browser.open(&link).await.submit(&link, &[]).await.sees("You have joined");
    browser
}

#[tokio::test]
async fn a_member_among_the_invited_blocks_nobody() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let path = "/w/acme/invitations";
    ada.open(path).await;
    let both = [("emails", "ada@example.com new@example.com"), ("role", "member")];
    ada.submit(path, &both).await.sees("<b>ada@example.com is already a member</b>, and was not invited.");
    ada.sees("Copy this link and give it to new@example.com").sees_not("sent by mail");
    ada.submit(path, &[("emails", "ada@example.com"), ("role", "member")]).await;
    ada.sees("ada@example.com is already a member of this workspace. Nobody was invited.");
    assert_eq!(ada.status, 409);
}

#[tokio::test]
async fn several_invitations_are_revoked_after_a_page_that_names_them() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let (path, revoke) = ("/w/acme/invitations", "/w/acme/invitations/revoke");
    ada.open(path).await;
    ada.submit(path, &[("emails", "bob@example.com carol@example.com dan@example.com"), ("role", "member")]).await;
    let page = ada.page.clone();
    let ids: Vec<&str> =
        page.split("name=\"invitation\" value=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.len(), 3);
    ada.submit(revoke, &[]).await.sees("No invitation is selected, and nothing was changed.");
    let email = |id: &str| {
        let label = page.split(&format!("value=\"{id}\" aria-label=\"Select ")).nth(1).expect("a label");
        label.split('"').next().expect("an email").to_owned()
    };
    let (one, two, three) = (email(ids[0]), email(ids[1]), email(ids[2]));
    let chosen = [("invitation", ids[0]), ("invitation", ids[1])];
    ada.submit(revoke, &chosen).await.sees("Revoke 2 invitations?").sees(&format!("{one}, {two}"));
    let confirmed = [chosen[0], chosen[1], ("confirmed", "1")];
    ada.submit(revoke, &confirmed).await.sees("2 invitations were revoked.");
    ada.open(&format!("{path}?filter=pending")).await.sees(&three).sees_not(&one);
    ada.open(&format!("{path}?filter=revoked&q={}", one.to_uppercase())).await.sees(&one).sees_not(&two);
    ada.open(&format!("{path}/{}/revoke", ids[2])).await.sees(&format!("Revoke the invitation of {three}?"));
    ada.submit(revoke, &[("invitation", ids[2]), ("confirmed", "1")])
        .await
        .sees(&format!("<b>{three}</b> was revoked."));
    ada.submit(revoke, &[("invitation", ids[2]), ("confirmed", "1")]).await.sees("Nothing was changed");
    let page = &ada.open("/w/acme/activity").await.page;
    let sentences = page.split("<p class=\"what\">").skip(1).filter_map(|row| row.split("</p>").next());
    let events = sentences.filter(|sentence| sentence.contains("revoked the invitation")).count();
    assert_eq!(events, 3, "each has its own event: {}", ada.page);
}

#[tokio::test]
async fn a_role_is_changed_after_a_page_that_says_what_it_means() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    join(&test, &mut ada, "bob", "member").await;
    let host = Caller::host();
    let id = async |email: &str| test.app.find_user_by_email(&host, email).await.unwrap().id;
    let (ada_id, bob_id) = (id("ada@example.com").await, id("bob@example.com").await);
    let role = format!("/w/acme/members/{bob_id}/role");

    // The last admin is told at once, before anything that they would have to do.
    ada.open(&format!("/w/acme/members/{ada_id}/remove")).await;
    ada.sees("You are the last admin of the workspace.")
        .sees_not("New admin of these projects")
        .sees_not("class=\"btn danger\"");
    ada.open("/w/acme/members").await;
    ada.submit(&format!("/w/acme/members/{ada_id}/role"), &[("role", "member")]).await;
    ada.sees("Make another member an admin first.").sees_not("class=\"btn danger\"");

    ada.open("/w/acme/members").await.sees("data-now selected");
    ada.submit(&role, &[("role", "admin")])
        .await
        .sees("Make bob@example.com an admin?")
        .sees("manage service accounts");
    ada.open("/w/acme/members?filter=admin").await.sees_not("bob@example.com");
    let undo = "<button class=\"btn sm\">Undo</button>";
    // The page that asked tells the role before. Undo takes it from nobody who had it.
    for (was, undone) in [("member", true), ("admin", false)] {
        ada.submit(&role, &[("role", "admin"), ("confirmed", "1"), ("was", was)]).await;
        ada.sees("<b>bob</b> is now an admin of The acme.");
        assert_eq!(ada.page.contains(undo), undone, "{was}");
    }
    ada.open("/w/acme/members?filter=admin").await.sees("bob@example.com");
    ada.submit(&role, &[("role", "member"), ("confirmed", "1")]).await.sees("is now a member of The acme.");
}

#[tokio::test]
async fn a_person_who_was_removed_is_told_so() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let mut bob = join(&test, &mut ada, "bob", "member").await;
    let id = test.app.find_user_by_email(&Caller::host(), "bob@example.com").await.unwrap().id;
    let remove = format!("/w/acme/members/{id}/remove");
    ada.open(&remove).await.sees("Remove bob from The acme?").sees("(bob@example.com) is removed");
    ada.submit(&remove, &[]).await.sees("<b>bob</b> was removed from The acme.");
    bob.open("/w/acme/projects").await;
    assert_eq!(bob.path, "/sign-in?next=/w/acme/projects");
    bob.submit("/sign-in", &[("next", "/w/acme/projects"), ("email", "bob@example.com"), ("password", PASSWORD)]).await;
    bob.sees("You are not a member of this workspace").sees("an admin has removed you");
    assert_eq!(bob.status, 404);
    // A workspace that does not exist looks the same.
    let of_acme = bob.page.clone();
    bob.open("/w/nowhere/projects").await;
    let without_id = |page: &str| page.split("request <code>").next().unwrap().to_owned();
    assert_eq!(without_id(&bob.page), without_id(&of_acme));
    bob.open("/").await.sees("You are not a member of a workspace").sees("an admin has removed you");
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
