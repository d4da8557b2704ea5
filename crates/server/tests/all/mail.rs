//! Invitations by mail, through a real SMTP server; and what is left when there is none.

use std::{
    io::{BufRead as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command, Stdio},
};

use api::MailState;
use domain::role::Role;
use server::{app::Caller, mail::SmtpSettings};

use crate::{support::TestApp, ui_support::Browser};

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
        // It is gone already where the test failed because of that.
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
async fn an_invitation_comes_by_mail_and_its_link_leads_in() {
    let mut smtp = SmtpServer::start();
    let test = app_with_mail(smtp.port).await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/invitations").await;
    let both = [("emails", "bob@example.com, refused@example.com"), ("role", "member")];
    ada.submit("/w/acme/invitations", &both).await.sees("The mail server did not take every mail.");
    ada.sees("No mail was sent.");

    let mail = smtp.mail();
    assert_eq!(mail["to"], serde_json::json!(["bob@example.com"]));
    assert_eq!(mail["from"], "Keyward <keyward@example.com>");
    assert_eq!(mail["subject"], "Join The acme on Keyward");
    let body = mail["text"].as_str().unwrap();
    assert!(body.starts_with("ada invites you to the workspace The acme as member."), "{body}");
    let link = body.split_whitespace().find_map(|word| word.strip_prefix("http://127.0.0.1:8080")).expect("a link");
    Browser::new(&test).open(link).await.sees("bob@example.com is invited as member");

    let again = [("emails", "carol@example.com"), ("role", "member")];
    ada.submit("/w/acme/invitations", &again).await.sees("The invitations are sent by mail");
    assert_eq!(smtp.mail()["to"], serde_json::json!(["carol@example.com"]));
    // A new first admin is written to as well.
    let create =
        api::CreateWorkspace { name: "New".into(), slug: "new".into(), admin_email: Some("zoe@example.com".into()) };
    let created = test.app.create_workspace(&Caller::host(), create).await.unwrap();
    assert_eq!(created.invitation.unwrap().mail, MailState::Sent);
    assert_eq!(smtp.mail()["subject"], "Join New on Keyward");
}

#[tokio::test]
async fn an_outage_of_the_mail_loses_no_invitation() {
    // A port on which nobody listens any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let test = app_with_mail(port).await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/invitations").await;
    ada.submit("/w/acme/invitations", &[("emails", "bob@example.com"), ("role", "member")]).await;
    ada.sees("The invitations stand").sees("pending");
    let link = ada.link("http://127.0.0.1:8080/invitations/");
    let path = link.strip_prefix("http://127.0.0.1:8080").unwrap();
    Browser::new(&test).open(path).await.sees("bob@example.com is invited as member");

    // The API says the same.
    let caller = Caller::host();
    let ws = test.app.find_workspace_by_slug(&caller, "acme").await.unwrap().id;
    let invite = api::CreateInvitations { emails: vec!["eve@example.com".into()], role: Role::Member };
    let issued = test.app.create_invitations(&caller, ws, &invite).await.unwrap();
    assert_eq!(issued.items[0].mail, MailState::Failed);
}
