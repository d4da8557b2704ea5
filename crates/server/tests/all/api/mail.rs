//! Invitations by mail, with a real SMTP server, and without one.

use std::{
    io::{BufRead as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command, Stdio},
};

use api::MailState;
use domain::role::Role;
use serde_json::{Value, json};
use server::{
    app::{Caller, KeyOwner},
    settings::SmtpSettings,
};

use crate::{
    support::browser::{Browser, PASSWORD, create_user},
    support::{Actor, TestApp},
};

struct SmtpServer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl SmtpServer {
    fn start() -> Self {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut process = Command::new(format!("{root}/.venv/bin/python"))
            .arg(format!("{root}/scripts/mail_server.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python with aiosmtpd: run scripts/setup");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let port = lines.next().expect("a port").expect("text").parse().expect("a port");
        Self { process, lines, port }
    }

    fn mail(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.lines.next().expect("a mail").expect("text")).expect("JSON")
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        // If the test failed, the file may have been removed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn app_with_mail(port: u16) -> TestApp {
    TestApp::with_settings(|settings| {
        let from = "Keyward <keyward@example.com>".to_owned();
        settings.smtp = Some(SmtpSettings { url: format!("smtp://127.0.0.1:{port}"), from });
    })
    .await
}

#[tokio::test]
async fn the_link_in_an_invitation_mail_works() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/invitations").await;
    let both = [("emails", "bob@example.com, refused@example.com"), ("role", "member")];
    ada.submit("/w/acme/invitations", &both).await.sees("The mail server did not accept every mail.");
    ada.sees("No mail was sent.");
    let shown = ada.page.matches("http://127.0.0.1:8080/invitations/").count();
    assert_eq!(shown, 1, "only the recipient of the mail has the link");

    let mail = smtp.mail();
    assert_eq!(mail["to"], json!(["bob@example.com"]));
    assert_eq!(mail["from"], "Keyward <keyward@example.com>");
    assert_eq!(mail["subject"], "Join The acme on Keyward");
    let body = mail["text"].as_str().unwrap();
    assert!(body.starts_with("ada invites you to the workspace The acme as member."), "{body}");
    let link = body.split_whitespace().find_map(|word| word.strip_prefix("http://127.0.0.1:8080")).expect("a link");
    Browser::new(&test).open(link).await.sees("bob@example.com is invited as member");

    let again = [("emails", "carol@example.com"), ("role", "member")];
    ada.submit("/w/acme/invitations", &again).await.sees("The invitation was sent by mail");
    ada.sees_not("http://127.0.0.1:8080/invitations/");
    assert_eq!(smtp.mail()["to"], json!(["carol@example.com"]));
    // A new first admin also gets a mail.
    let create =
        api::CreateWorkspace { name: "New".into(), slug: "new".into(), admin_email: Some("zoe@example.com".into()) };
    let created = test.app.create_workspace(&Caller::host(), create).await.unwrap();
    let invitation = created.into_inner().invitation.unwrap();
    assert_eq!((invitation.mail, invitation.token, invitation.url), (MailState::Sent, None, None));
    assert_eq!(smtp.mail()["subject"], "Join New on Keyward");
}

#[tokio::test]
async fn a_mail_outage_loses_no_invitation() {
    // A port without a listener.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let test = app_with_mail(port).await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/invitations").await;
    ada.submit("/w/acme/invitations", &[("emails", "bob@example.com"), ("role", "member")]).await;
    ada.sees("The invitations are valid").sees("pending");
    let link = ada.link("http://127.0.0.1:8080/invitations/");
    let path = link.strip_prefix("http://127.0.0.1:8080").unwrap();
    Browser::new(&test).open(path).await.sees("bob@example.com is invited as member");

    // The API shows the same.
    let caller = Caller::host();
    let ws = test.app.find_workspace_by_slug(&caller, "acme").await.unwrap().id;
    let invite = api::CreateInvitations { emails: vec!["eve@example.com".into()], role: Role::Member };
    let issued = test.app.create_invitations(&caller, ws, &invite).await.unwrap();
    assert_eq!(issued.items[0].mail, MailState::Failed);
    assert!(issued.items[0].token.is_some(), "the inviting user passes it on");
}

/// Returns the path of the link in the next mail.
fn link_in(mail: &Value) -> String {
    let text = mail["text"].as_str().expect("a text");
    let link = text.split_whitespace().find_map(|word| word.strip_prefix("http://127.0.0.1:8080")).expect("a link");
    link.to_owned()
}

async fn invite(test: &TestApp, ws: &str, by: &Actor, email: &str, role: &str) -> Value {
    let body = json!({"emails": [email], "role": role});
    let issued = test.post(&format!("/api/v1/workspaces/{ws}/invitations"), &body).by(&by.key).send().await.expect(201);
    issued["items"][0].clone()
}

async fn is_verified(test: &TestApp, ws: &str, by: &Actor, email: &str) -> bool {
    let members = test.get(&format!("/api/v1/workspaces/{ws}/members")).by(&by.key).send().await.expect(200);
    let found = members["items"].as_array().unwrap().iter().find(|member| member["email"] == email);
    found.expect("a member")["email_verified"].as_bool().unwrap()
}

async fn accept(test: &TestApp, token: &str) -> Value {
    let body = json!({"token": token, "name": "Ned", "password": PASSWORD});
    test.post("/api/v1/invitations/accept", &body).send().await.expect(200)
}

#[tokio::test]
async fn only_a_mailed_link_verifies_the_email_address() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;

    let mailed = invite(&test, &ws, &ada, "bob@example.com", "member").await;
    assert_eq!((&mailed["mail"], &mailed["token"], &mailed["url"]), (&json!("sent"), &Value::Null, &Value::Null));
    let path = format!("/api/v1/workspaces/{ws}/invitations/{}/resend", mailed["id"].as_str().unwrap());
    let first = link_in(&smtp.mail());
    let again = test.post(&path, &Value::Null).by(&ada.key).send().await.expect(200);
    assert_eq!((&again["mail"], &again["token"]), (&json!("sent"), &Value::Null));
    let link = link_in(&smtp.mail());
    Browser::new(&test).open(&first).await.sees("This invitation is no longer valid");
    let user = accept(&test, link.strip_prefix("/invitations/").unwrap()).await["user"].as_str().unwrap().to_owned();
    assert!(is_verified(&test, &ws, &ada, "bob@example.com").await);
    let bob = test.add_key(KeyOwner::User(user.parse().unwrap()), "laptop").await;
    let me = test.get("/api/v1/me").by(&bob).send().await.expect(200);
    assert_eq!(me["principal"]["email_verified"], true);

    // The mail is refused, so the inviting user has the link, and may open it under the other user's name.
    let failed = invite(&test, &ws, &ada, "refused@example.com", "member").await;
    assert_eq!(failed["mail"], "failed");
    accept(&test, failed["token"].as_str().unwrap()).await;
    assert!(!is_verified(&test, &ws, &ada, "refused@example.com").await);
    // As the named admin of another workspace, they are invited like all others.
    let olga = test.user("olga", true).await;
    let body = json!({"name": "Other", "slug": "other", "admin_email": "bob@example.com"});
    let made = test.post("/api/v1/workspaces", &body).by(&olga.key).send().await.expect(201);
    assert_eq!(made["invitation"]["mail"], "sent");
    let me = test.get("/api/v1/me").by(&bob).send().await.expect(200);
    assert_eq!(me["workspaces"].as_array().unwrap().len(), 1, "no one joins without accepting");
}

#[tokio::test]
async fn a_repeated_signed_invitation_reveals_no_link() {
    let smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let body = json!({"emails": ["bob@example.com"], "role": "member"});
    let signed = test.post(&format!("/api/v1/workspaces/{ws}/invitations"), &body).by(&ada.key);
    signed.clone().send().await.expect(201);
    let again = signed.send().await.expect(201);
    assert_eq!((&again["items"][0]["mail"], &again["items"][0]["token"]), (&json!("unknown"), &Value::Null));
}

#[tokio::test]
async fn the_holder_of_an_email_address_reclaims_it_from_an_unverified_account() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    create_user(&test, "bob", false).await;
    let impostor = test.app.find_user_by_email(&Caller::host(), "bob@example.com").await.unwrap().id;
    let key = test.add_key(KeyOwner::User(impostor), "of the impostor").await;
    let create =
        api::CreateWorkspace { name: "Evil".into(), slug: "evil".into(), admin_email: Some("bob@example.com".into()) };
    test.app.create_workspace(&Caller::host(), create).await.unwrap();

    invite(&test, &ws, &ada, "bob@example.com", "admin").await;
    let link = link_in(&smtp.mail());
    let mut bob = Browser::new(&test);
    bob.open(&link).await.sees("An account with this email address already exists.").sees("loses the email address");
    let fields = [("name", "Bob"), ("password", "seven violet tractors hum")];
    bob.submit(&link, &fields).await.sees("You have joined ");

    let members = test.get(&format!("/api/v1/workspaces/{ws}/members")).by(&ada.key).send().await.expect(200);
    let found = members["items"].as_array().unwrap().iter().find(|member| member["email"] == "bob@example.com");
    let found = found.expect("the holder of the address is in");
    assert_ne!(found["id"], json!(impostor.to_string()));
    assert_eq!(found["email_verified"], true);
    // The other account gets an address that no mail reaches, and no new access.
    let me = test.get("/api/v1/me").by(&key).send().await.expect(200);
    assert_eq!(me["principal"]["email"], format!("{impostor}@unverified.invalid"));
    assert_eq!((&me["principal"]["email_verified"], &me["workspaces"][0]["slug"]), (&json!(false), &json!("evil")));
    assert_eq!(me["workspaces"].as_array().unwrap().len(), 1);
    let mut old = Browser::new(&test);
    old.open("/sign-in").await;
    old.submit("/sign-in", &[("email", "bob@example.com"), ("password", PASSWORD)]).await;
    assert_eq!(old.status, 401);
    let placeholder = format!("{impostor}@unverified.invalid");
    old.submit("/sign-in", &[("email", &placeholder), ("password", PASSWORD)]).await;
    assert!(old.has_session());
}

#[tokio::test]
async fn verified_addresses_and_operators_addresses_cannot_be_reclaimed() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let other = test.workspace("other", &ada).await;
    invite(&test, &ws, &ada, "bob@example.com", "member").await;
    accept(&test, link_in(&smtp.mail()).strip_prefix("/invitations/").unwrap()).await;
    test.user("olga", true).await;
    for email in ["bob@example.com", "olga@example.com"] {
        invite(&test, &other, &ada, email, "member").await;
        let link = link_in(&smtp.mail());
        let token = link.strip_prefix("/invitations/").unwrap();
        let body = json!({"token": token, "name": "Ned", "password": PASSWORD});
        let refused = test.post("/api/v1/invitations/accept", &body).send().await;
        refused.expect_problem(409, "email_taken");
        Browser::new(&test)
            .open(&link)
            .await
            .sees("Sign in to accept the invitation.")
            .sees_not("loses the email address");
    }
}

#[tokio::test]
async fn a_disabled_user_cannot_return_as_a_new_account_with_the_same_address() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    create_user(&test, "fred", false).await;
    let fred = test.app.find_user_by_email(&Caller::host(), "fred@example.com").await.unwrap().id;
    let disable = api::UpdateUser { name: None, operator: None, disabled: Some(true), revoke_keys: false };
    test.app.update_user(&Caller::host(), fred, disable).await.unwrap();
    invite(&test, &ws, &ada, "fred@example.com", "member").await;
    let link = link_in(&smtp.mail());
    let body = json!({"token": link.strip_prefix("/invitations/").unwrap(), "name": "Fred", "password": PASSWORD});
    test.post("/api/v1/invitations/accept", &body).send().await.expect_problem(409, "email_taken");
    let found = test.app.find_user_by_email(&Caller::host(), "fred@example.com").await.unwrap();
    assert!(found.id == fred && found.disabled);
}

#[tokio::test]
async fn a_placeholder_for_a_reclaimed_address_cannot_be_registered() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    for email in [&format!("{}@unverified.invalid", ada.id), "x@UNVERIFIED.invalid", "x@sub.unverified.invalid"] {
        let body = json!({"emails": [email], "role": "member"});
        test.post(&format!("/api/v1/workspaces/{ws}/invitations"), &body).by(&ada.key).send().await.expect(400);
    }
}

#[tokio::test]
async fn a_member_verifies_their_address_by_a_mailed_invitation_and_keeps_their_role() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    invite(&test, &ws, &ada, &ada.email, "member").await;
    let link = link_in(&smtp.mail());
    let body = json!({"token": link.strip_prefix("/invitations/").unwrap()});
    let accepted = test.post("/api/v1/invitations/accept", &body).by(&ada.key).send().await.expect(200);
    assert_eq!(accepted["role"], "admin");
    assert!(is_verified(&test, &ws, &ada, &ada.email).await);
    // A verified user needs no second verification.
    let body = json!({"emails": [ada.email], "role": "member"});
    let again = test.post(&format!("/api/v1/workspaces/{ws}/invitations"), &body).by(&ada.key).send().await;
    again.expect_problem(409, "already_member");
}

#[tokio::test]
async fn a_link_for_one_address_does_not_verify_another() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let eve = test.user("eve", false).await;
    test.workspace("evil", &eve).await;
    invite(&test, &ws, &ada, "bob@example.com", "member").await;
    let body = json!({"token": link_in(&smtp.mail()).strip_prefix("/invitations/").unwrap()});
    test.post("/api/v1/invitations/accept", &body).by(&eve.key).send().await.expect(200);
    assert!(!is_verified(&test, &ws, &ada, &eve.email).await);
}

#[tokio::test]
async fn a_reclaimed_key_is_reported_by_mail_to_its_former_owner_and_their_admins() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let mallory = test.user("mallory", false).await;
    let evil = test.workspace("evil", &mallory).await;
    invite(&test, &evil, &mallory, "eve@example.com", "member").await;
    let eve = accept(&test, link_in(&smtp.mail()).strip_prefix("/invitations/").unwrap()).await;
    let eve = eve["user"].as_str().unwrap().parse().unwrap();
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    let key = test.add_key(KeyOwner::User(eve), "taken").await;

    let challenge = test.post("/api/v1/me/proof-challenges", &Value::Null).by(&ada.key).send().await;
    let proof = key.prove(&ada.id, challenge.expect(201)["challenge"].as_str().unwrap());
    let body = json!({"title": "mine", "public_key": key.openssh, "proof": proof});
    test.post("/api/v1/me/keys", &body).by(&ada.key).send().await.expect(201);
    let mails = [smtp.mail(), smtp.mail()];
    let to: std::collections::BTreeSet<_> = mails.iter().map(|mail| mail["to"][0].as_str().unwrap()).collect();
    assert_eq!(to, ["eve@example.com", "mallory@example.com"].into());
    for mail in &mails {
        assert_eq!(mail["subject"], "An API key was reclaimed");
        let body = mail["text"].as_str().unwrap();
        assert!(body.contains("The API key taken of eve@example.com was revoked"), "{body}");
        assert!(body.contains(&key.fingerprint) && !body.contains("ada"), "{body}");
    }
}

#[tokio::test]
async fn a_mail_outage_does_not_undo_a_reclaimed_key() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let test = app_with_mail(port).await;
    let (eve, ada) = (test.user("eve", true).await, test.user("ada", true).await);
    let key = test.add_key(KeyOwner::User(eve.id.parse().unwrap()), "taken").await;
    let challenge = test.post("/api/v1/me/proof-challenges", &Value::Null).by(&ada.key).send().await;
    let proof = key.prove(&ada.id, challenge.expect(201)["challenge"].as_str().unwrap());
    let body = json!({"title": "mine", "public_key": key.openssh, "proof": proof});
    test.post("/api/v1/me/keys", &body).by(&ada.key).send().await.expect(201);
    assert_eq!(test.get("/api/v1/me").by(&key).send().await.expect(200)["principal"]["id"], ada.id.as_str());
}

#[tokio::test]
async fn the_owner_and_their_admins_are_told_that_a_key_leaked() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let ada = test.user("ada", false).await;
    let acme = test.workspace("acme", &ada).await;
    invite(&test, &acme, &ada, "bob@example.com", "member").await;
    let link = link_in(&smtp.mail());
    let user = accept(&test, link.strip_prefix("/invitations/").unwrap()).await["user"].as_str().unwrap().to_owned();
    let bob = test.add_key(KeyOwner::User(user.parse().unwrap()), "bob's laptop").await;
    let made = json!({"title": "backdoor", "public_key": test.new_key().openssh});
    test.post("/api/v1/me/keys", &made).by(&bob).send().await.expect(201);

    let fingerprint = bob.fingerprint.parse().unwrap();
    let message = domain::leaked_key::revoke_message("http://127.0.0.1:8080", &fingerprint);
    let body = json!({"statement": bob.sign_for("keyward-revoke", &message)});
    for _ in 0..2 {
        test.post("/api/v1/leaked-keys/revoke", &body).send().await.expect(200);
    }
    let mut told = [smtp.mail(), smtp.mail()];
    told.sort_by_key(|mail| mail["to"].to_string());
    for (mail, to) in told.iter().zip(["ada@example.com", "bob@example.com"]) {
        assert_eq!((&mail["to"], &mail["subject"]), (&json!([to]), &json!("An API key leaked and was revoked")));
        let body = mail["text"].as_str().unwrap();
        assert!(body.contains("bob's laptop of bob@example.com") && body.contains(&bob.fingerprint), "{body}");
        assert!(body.contains("Keys that it registered still work"), "{body}");
    }
    // The repeated statement sent none.
    invite(&test, &acme, &ada, "carol@example.com", "member").await;
    assert_eq!(smtp.mail()["to"], json!(["carol@example.com"]));
}
