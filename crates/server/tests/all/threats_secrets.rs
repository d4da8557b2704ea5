//! THREATS §1 (OpenBao CVE-2025-62705): secrets are in no log, no audit event and no database file.

use std::{
    cell::Cell,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use serde_json::json;
use tracing_subscriber::{Layer as _, filter::dynamic_filter_fn, fmt, layer::SubscriberExt as _, registry};

use crate::{
    support::{FakeClock, Home, SeededRandom, TestApp},
    wire::{Running, fixed},
};

thread_local! {
    /// Whether what this thread logs is kept.
    static CAPTURED: Cell<bool> = const { Cell::new(false) };
}

/// All that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const PRIVATE_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
    b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABCANARYPRIVATEKEY\n\
    -----END OPENSSH PRIVATE KEY-----\n";

#[tokio::test]
async fn canaries_are_in_no_log_no_audit_event_and_no_file() {
    let log = Log::default();
    let writer = log.clone();
    // One for all threads: events that another test met first would stay off for one of this thread alone. This test's
    // own thread runs all of its tasks.
    let all_levels = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let subscriber = registry().with(all_levels.with_filter(dynamic_filter_fn(|_, _| CAPTURED.get())));
    tracing::subscriber::set_global_default(subscriber).expect("no other test has one");
    CAPTURED.set(true);

    let test = TestApp::new().await;
    let running = Running::start(&test);
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    let token = test.bearer_token(&admin.key).await;
    let invitation = test.invite(&workspace, &admin, "eve@example.com", "member").await;

    let accept = "/api/v1/invitations/accept";
    let password = "canary-password-7b1d";
    let join = json!({"token": invitation, "name": "Eve", "password": password});
    let key = json!({"title": "Pasted", "public_key": PRIVATE_KEY});
    for (request, status) in [
        (test.get("/api/v1/me").bearer(&token), 200),
        (test.get("/api/v1/me").bearer(&format!("{token}x")), 401),
        (test.get(&format!("/api/v1/me?token={token}")).bearer(&token), 200),
        (test.get(&format!("/api/v1/{token}")).bearer(&token), 404),
        (test.get("/api/v1/me").header("authorization", &format!("Basic {token}")), 401),
        (test.get("/api/v1/me").by(&admin.key).bearer(&token), 401),
        (test.post("/api/v1/me/keys", &key).by(&admin.key), 400),
        (test.post("/api/v1/me/keys", &json!({"title": "T", "private_key": PRIVATE_KEY})).by(&admin.key), 400),
        (test.post("/api/v1/me/keys", &json!({"title": 7, "public_key": PRIVATE_KEY})).by(&admin.key), 400),
        (test.post(accept, &json!({"token": invitation, "name": "", "password": password})), 400),
        (test.post(accept, &json!({"token": invitation, "name": "Eve", "password": [password]})), 400),
        (test.post(accept, &json!({"token": format!("{invitation}x"), "name": "Eve", "password": password})), 409),
        (test.post(accept, &join), 200),
        (test.post(accept, &join), 409),
    ] {
        let what = format!("{} {}", request.method, request.target);
        let over_the_wire = running.exchange(&fixed(&request)).await;
        assert!(over_the_wire.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {over_the_wire}");
    }
    test.app.write_journal().await.expect("the store answers");

    let told = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    assert!(told.contains("answered") && told.contains("unknown_token"), "the log is captured: {told}");
    let path = format!("/api/v1/workspaces/{workspace}/audit-events?limit=200");
    let events = test.get(&path).by(&admin.key).send().await.expect(200).to_string();
    assert!(events.contains("invitation."), "{events}");
    let files = test.directory.everything_stored();
    assert!(files.contains("eve@example.com"), "the database is read");
    for canary in ["CANARYPRIVATEKEY", &token, password, &invitation] {
        assert!(!told.contains(canary), "{canary} was logged");
        assert!(!events.contains(canary), "{canary} is in the audit log");
    }
    for canary in ["CANARYPRIVATEKEY", &token, password, &invitation] {
        assert!(!files.contains(canary), "{canary} is in the database");
    }
}

#[tokio::test]
async fn what_a_signed_write_was_answered_lies_in_no_table_in_clear() {
    for home in [Home::embedded(), Home::on_postgres()] {
        let (clock, random) = (Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)));
        let test = TestApp::open(home, clock, random, |_| {}).await;
        let admin = test.user("ada", true).await;
        let workspace = test.workspace("acme", &admin).await;
        let invitations = format!("/api/v1/workspaces/{workspace}/invitations");
        let invite = json!({"emails": ["eve@example.com", "ned@example.com"], "role": "member"});
        let issued = test.post(&invitations, &invite).by(&admin.key).send().await.expect(201);
        let first = issued["items"][0]["id"].as_str().expect("an id");
        let create = json!({"name": "New", "slug": "new", "admin_email": "new@example.com"});
        let writes = [
            test.post(&invitations, &json!({"emails": ["max@example.com"], "role": "member"})).by(&admin.key),
            test.post(&format!("{invitations}/{first}/resend"), &json!({})).by(&admin.key),
            test.post("/api/v1/workspaces", &create).by_encord(&admin.key),
        ];
        let mut secrets = Vec::new();
        collect(&issued, "token", &mut secrets);
        for write in &writes {
            let answer = write.clone().send().await;
            assert!(answer.status.is_success(), "{answer:?}");
            collect(&answer.json(), "token", &mut secrets);
        }
        assert_eq!(secrets.len(), 5, "{secrets:?}");

        let stored = test.directory.everything_stored();
        for known in ["max@example.com", "new@example.com"] {
            assert!(stored.contains(known), "the database is read");
        }
        let hexadecimal = |text: &str| text.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        for secret in &secrets {
            assert!(!stored.contains(secret) && !stored.contains(&hexadecimal(secret)), "{secret} is in the database");
        }

        // The same request again is answered as the first time.
        for write in &writes {
            let mut found = Vec::new();
            collect(&write.clone().send().await.json(), "token", &mut found);
            assert!(!found.is_empty() && found.iter().all(|token| secrets.contains(token)), "{found:?}");
        }
    }
}

/// The texts of every field of this name.
fn collect(value: &serde_json::Value, name: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                match value.as_str() {
                    Some(text) if field == name => found.push(text.to_owned()),
                    _ => collect(value, name, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        _ => {}
    }
}
