//! Rotation of keys on the pages: the form, both keys during the overlap, and the undo.

use std::time::Duration;

use serde_json::json;
use server::app::{Caller, KeyOwner};

use crate::{
    support::{
        Key, TestApp,
        browser::{Browser, PASSWORD},
    },
    ui::{access::World, keys::add_keys},
};

/// A service account of acme with a key, whose admin is ada.
struct Bot {
    /// The path of the account.
    account: String,
    key: Key,
    /// The path of the key.
    page: String,
}

fn page_of(browser: &Browser<'_>) -> String {
    browser.path.split('?').next().expect("a path").to_owned()
}

fn id_of(page: &str) -> String {
    page.rsplit('/').next().expect("an id").to_owned()
}

async fn add_bot(test: &TestApp, ada: &mut Browser<'_>) -> Bot {
    ada.open("/w/acme/service-accounts/new").await;
    ada.submit("/w/acme/service-accounts", &[("name", "bot"), ("description", "")]).await;
    let (account, key) = (page_of(ada), test.new_key());
    let fields = [("title", "runner"), ("public_key", key.openssh.as_str()), ("expires_in", "90")];
    ada.submit(&format!("{account}/keys"), &fields).await;
    let page = page_of(ada);
    Bot { account, key: key.registered_as(&id_of(&page)), page }
}

async fn status(test: &TestApp, key: &Key) -> u16 {
    test.get("/api/v1/me").by(key).send().await.status.as_u16()
}

#[tokio::test]
async fn an_admin_rotates_a_key_by_pasting_and_undoes_it() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let Bot { account, key: old, page } = add_bot(&test, &mut ada).await;
    let rotate = format!("{page}/rotate");
    ada.open(&page).await.sees(&format!("href=\"{rotate}\">Rotate key</a>"));
    ada.open(&rotate).await.sees("<h1>Rotate runner</h1>").sees("same title and the same limits");
    // Each choice says when the old key expires, and seven days are chosen.
    ada.sees("<b>In 1 hour</b><span>Until <time datetime=\"2026-01-02T04:04:05Z");
    ada.sees("value=\"604800\" checked><b>In 7 days</b><span>Until <time datetime=\"2026-01-09T03:04:05Z\">9 Jan 2026, 03:04 UTC");
    ada.sees("<b>Now</b><span>It is revoked when the new key is added. This cannot be undone.");
    // The new key lives as long as the old one was given.
    ada.sees("<dt>The new key expires</dt><dd><time datetime=\"2026-04-02T23:59:59Z\">");
    let new = test.new_key();
    let fields = [("public_key", new.openssh.as_str()), ("overlap", "86400")];
    ada.submit(&rotate, &fields).await.sees("Both keys are accepted until 3 Jan 2026, 03:04 UTC.");
    let successor = page_of(&ada);
    assert_ne!(successor, page);
    ada.sees(&new.fingerprint)
        .sees("Test this key")
        .sees("This key replaces <a href=")
        .sees("Its use since</dt><dd>No requests<");
    test.advance(Duration::from_mins(1)).await;
    assert_eq!((status(&test, &old).await, status(&test, &new).await), (200, 200));
    test.app.write_records().await.unwrap();

    // The page of the new key says who still uses the old one, and that of the old key as well.
    ada.open(&successor).await.sees("<dt>Its use since</dt><dd>1 request, last <time").sees(" from 127.0.0.1</dd>");
    ada.sees(&format!("href=\"{rotate}/undo\">Undo</a>")).sees("Rotate key</a>");
    ada.open(&page)
        .await
        .sees("<b>This key expires in 24 hours.</b>")
        .sees("<dt>Use since then</dt><dd>1 request, last");
    ada.sees(&format!("href=\"{rotate}/undo\">Undo</a>")).sees_not("Rotate key</a>");
    // The lists say which key replaces which.
    for list in [account.as_str(), "/w/acme/keys"] {
        ada.open(list)
            .await
            .sees(">old key<span class=visually-hidden> replaced by ")
            .sees(">new key<span class=visually-hidden> replaces ");
        ada.open(&format!("{list}?format=csv")).await.sees("\"successor\",\"limits\"").sees(&id_of(&successor));
    }
    // A key with a successor has no form, and one that is sent is refused.
    ada.open(&rotate).await;
    assert_eq!(page_of(&ada), page);
    let third = test.new_key().openssh;
    ada.submit(&rotate, &[("public_key", &third), ("overlap", "0")]).await.sees("This key was rotated: it expires at");
    assert_eq!((ada.status, status(&test, &old).await), (409, 200));

    ada.open(&format!("{rotate}/undo"))
        .await
        .sees("<h1>Undo the rotation of runner?</h1>")
        .sees("Undo rotation</button>");
    ada.sees(&format!("The new key {} is revoked.", new.fingerprint)).sees("It was last used");
    ada.submit(&format!("{rotate}/undo"), &[]).await.sees(" was undone. The new key is refused now.");
    assert_eq!(page_of(&ada), page);
    ada.sees("Rotate key</a>").sees("2 Apr 2026").sees_not("id=\"rotation\"");
    assert_eq!((status(&test, &old).await, status(&test, &new).await), (200, 401));
    // There is nothing left to undo.
    ada.open(&format!("{rotate}/undo")).await;
    assert_eq!(page_of(&ada), page);
    ada.submit(&format!("{rotate}/undo"), &[]).await;
    assert_eq!(ada.status, 404);
    ada.open("/w/acme/activity").await.sees(" rotated the key ").sees(" undid the rotation of the key ");
}

#[tokio::test]
async fn what_is_wrong_is_at_its_field_and_nothing_chosen_is_lost() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let Bot { key: old, page, .. } = add_bot(&test, &mut ada).await;
    let rotate = format!("{page}/rotate");
    ada.open(&rotate).await;
    let short = [("public_key", "ssh-ed25519 AAAA"), ("overlap", "3600")];
    ada.submit(&rotate, &short).await.sees("id=\"public_key-wrong\"").sees(">ssh-ed25519 AAAA</textarea>");
    assert_eq!(ada.status, 400);
    ada.sees("value=\"3600\" checked").sees("id=\"way-paste\" checked").sees("href=\"#public_key\"");
    let new = test.new_key().openssh;
    for overlap in ["", "7", "soon", "<b>"] {
        ada.submit(&rotate, &[("public_key", &new), ("overlap", overlap)]).await.sees(&new).sees_not("<b>\"");
        ada.sees("aria-invalid=\"true\" aria-describedby=\"overlap-wrong overlap-hint\"");
        ada.sees("id=\"overlap-wrong\">Choose when the old key expires.");
        assert_eq!(ada.status, 400);
    }
    // A private key is not sent back.
    let secret = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n-----END OPENSSH PRIVATE KEY-----";
    ada.submit(&rotate, &[("public_key", secret), ("overlap", "3600")]).await.sees_not("b3BlbnNzaC1rZXktdjE");
    ada.sees("id=\"public_key-wrong\"");
    // A key that is registered already is shown, and one that another account has can be reclaimed with a proof.
    ada.submit(&rotate, &[("public_key", &old.openssh), ("overlap", "3600")]).await.sees("is already registered");
    ada.sees(&format!("<a href=\"{page}\">Open the existing key</a>"));
    let mut eve = Browser::admin_of(&test, "other", "eve").await;
    let hers = test.new_key();
    eve.open("/profile/api-keys/new").await;
    eve.submit("/profile/api-keys", &[("title", "hers"), ("public_key", &hers.openssh)]).await;
    ada.submit(&rotate, &[("public_key", &hers.openssh), ("overlap", "3600")]).await.sees("id=\"proof-command\"");
    // A script gets the fields of the form and of the API.
    let csrf = ada.csrf();
    let fields = [("public_key", "x"), ("overlap", "7"), ("csrf", csrf.as_str())];
    let refused = ada.form(&rotate, &fields).header("accept", "application/json").send().await;
    assert_eq!(refused.expect_problem(400, "invalid_request")["errors"][0]["field"], "overlap");
    let fields = [("public_key", new.as_str()), ("overlap", "3600"), ("csrf", csrf.as_str())];
    let rotated = ada.form(&rotate, &fields).header("accept", "application/json").send().await.expect(201);
    assert_eq!((&rotated["pending"], &rotated["predecessor"]["id"]), (&json!(true), &json!(old.id)));
}

#[tokio::test]
async fn a_person_replaces_a_key_of_their_own_at_once_with_their_password() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let page = add_keys(&test, "ada@example.com", &["laptop"], None).await.remove(0);
    test.advance(Duration::from_mins(20)).await;
    let rotate = format!("{page}/rotate");
    ada.open(&rotate).await.sees("id=\"confirm_password\"").sees("<dt>The new key expires</dt><dd>Never</dd>");
    let new = test.new_key().openssh;
    let fields = [("public_key", new.as_str()), ("overlap", "0")];
    ada.submit(&rotate, &fields).await.sees("Confirm your password").sees("name=\"overlap\" value=\"0\"");
    ada.open(&page).await.sees("state active");
    let confirmed = [fields.as_slice(), &[("confirm_password", PASSWORD)]].concat();
    ada.submit(&rotate, &confirmed).await.sees(", and the old key was revoked. It is refused now.").sees_not(">Undo<");
    let successor = page_of(&ada);
    ada.sees("<dt>Old key ended</dt>").sees("state revoked");
    ada.open(&page).await.sees("state revoked").sees("<dt>Ended</dt>").sees_not("Rotate key</a>").sees_not(">Undo<");
    // Without an overlap, there is nothing to undo.
    ada.submit(&format!("{rotate}/undo"), &[]).await.sees("The overlap of this rotation has ended");
    assert_eq!(ada.status, 409);
    // A third key: each page shows all of them.
    ada.open(&format!("{successor}/rotate")).await;
    let third = test.new_key().openssh;
    ada.submit(&format!("{successor}/rotate"), &[("public_key", &third), ("overlap", "3600")]).await;
    ada.sees("All keys of this chain").sees(&format!("href=\"{page}\"")).sees(&format!("href=\"{successor}\""));
    // After the overlap, the old key has expired.
    test.advance(Duration::from_secs(3601)).await;
    ada.open(&successor)
        .await
        .sees("state expired")
        .sees("<dt>Ended</dt>")
        .sees_not(">Undo<")
        .sees("<dt>Replaces</dt>");
}

#[tokio::test]
async fn a_disabled_key_is_not_rotated_and_a_revoked_successor_makes_room() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let Bot { account, page, .. } = add_bot(&test, &mut ada).await;
    let rotate = format!("{page}/rotate");
    ada.submit(&format!("{page}/disable"), &[]).await.sees_not("Rotate key</a>");
    ada.open(&rotate).await;
    assert_eq!(page_of(&ada), page);
    let new = test.new_key().openssh;
    let fields = [("public_key", new.as_str()), ("overlap", "3600")];
    ada.submit(&rotate, &fields).await.sees("This key is disabled. Enable it, then rotate it.");
    assert_eq!(ada.status, 409);
    ada.submit(&format!("{page}/enable"), &[]).await;
    ada.open(&rotate).await;
    ada.submit(&rotate, &fields).await;
    let successor = page_of(&ada);
    ada.submit(&format!("{successor}/revoke"), &[]).await;
    ada.open(&account).await.sees_not("replaced by").sees_not("old key<");
    // The new key expires as if there had been no rotation.
    ada.open(&page).await.sees("Rotate key</a>");
    ada.open(&rotate).await.sees("<dt>The new key expires</dt><dd><time datetime=\"2026-04-02T23:59:59Z\">");
    ada.submit(&rotate, &[("public_key", &test.new_key().openssh), ("overlap", "604800")]).await;
    ada.sees("Both keys are accepted until 9 Jan 2026, 03:04 UTC").sees("2 Apr 2026");
}

#[tokio::test]
async fn a_key_that_rotated_itself_says_so() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let Bot { account, key: old, page } = add_bot(&test, &mut ada).await;
    let new = test.new_key();
    let challenge = test.post("/api/v1/me/proof-challenges", &json!(null)).by(&old).send().await.expect(201);
    let proof = new.prove(&id_of(&account), challenge["challenge"].as_str().expect("a challenge"));
    let body = json!({"public_key": new.openssh, "overlap_seconds": 86_400, "proof": proof});
    let rotated = test.post(&format!("/api/v1/me/keys/{}/rotate", old.id), &body).by(&old).send().await.expect(201);
    let successor = rotated["successor"]["id"].as_str().expect("an id");
    ada.open(&page).await.sees(", by itself</dd>").sees("The key ").sees(" was rotated by itself");
    ada.open(&format!("{account}/keys/{successor}")).await.sees(", by the old key itself</dd>");
    ada.open("/w/acme/activity").await.sees(" was rotated by itself");
    // An admin takes it back.
    ada.open(&format!("{page}/rotate/undo")).await;
    ada.submit(&format!("{page}/rotate/undo"), &[]).await.sees(" was undone.");
    assert_eq!((status(&test, &old).await, status(&test, &new).await), (200, 401));
}

#[tokio::test]
async fn strangers_and_members_rotate_and_undo_nothing() {
    let world = World::build().await;
    let test = world.open().await;
    let keys = [("/w/{slug}/service-accounts/{sa}/keys/{key}", 403), ("/profile/api-keys/{key}", 404)];
    for (key, _) in keys {
        assert_eq!(world.ask(&test, "POST", &format!("{key}/rotate"), 3, true).await.status, 303);
    }
    for (key, member) in keys {
        for (path, method) in
            [("/rotate", "GET"), ("/rotate", "POST"), ("/rotate/undo", "GET"), ("/rotate/undo", "POST")]
        {
            for (who, expected) in [(1, 404), (2, member), (4, 404)] {
                let answer = world.ask(&test, method, &format!("{key}{path}"), who, true).await;
                assert_eq!(answer.status.as_u16(), expected, "{method} {key}{path} by {who}");
            }
        }
        let undone = world.ask(&test, "POST", &format!("{key}/rotate/undo"), 3, true).await;
        assert_eq!(undone.status, 303, "it was still rotated");
    }
    // A key of another service account is not found below this one.
    let host = Caller::host();
    let ws = test.app.find_workspace_by_slug(&host, "acme").await.unwrap().id;
    let create = api::CreateServiceAccount { name: Some("other".to_owned()), ..api::CreateServiceAccount::default() };
    let other = test.app.create_service_account(&host, ws, &create).await.unwrap();
    let key = test.add_key(KeyOwner::ServiceAccount(ws, other.id), "of another").await;
    let path = world.path("/w/{slug}/service-accounts/{sa}/keys/");
    let mut ada = Browser::new(&test);
    ada.cookies = world.cookies[3].clone();
    assert_eq!(ada.open(&format!("{path}{}/rotate", key.id)).await.status, 404);
}
