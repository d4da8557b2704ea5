//! The lists of keys, and what is done with keys there.

use domain::{Clock as _, Timestamp, list::Search};
use server::app::{Caller, KeyOwner, Paging};

use crate::{support::TestApp, support::browser::Browser};

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

/// Registers keys of a user without the pages, and returns the page of each.
pub(super) async fn add_keys(
    test: &TestApp,
    user: &str,
    titles: &[&str],
    expires_at: Option<Timestamp>,
) -> Vec<String> {
    let host = Caller::host();
    let user = test.app.find_user_by_email(&host, user).await.unwrap().id;
    let mut pages = Vec::new();
    for &title in titles {
        let public_key = test.new_key().openssh;
        let create = api::CreateApiKey { title: title.to_owned(), public_key, expires_at, proof: None, limits: None };
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
