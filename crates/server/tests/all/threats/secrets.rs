//! THREATS §1 (OpenBao CVE-2025-62705): secrets are in no log, no audit event and no database file. §6: neither is a
//! private key in the wrong field, and no response and no page contains it.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io::{self, Write},
    sync::{Arc, Mutex, Once},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use serde_json::{Value, json};
use tracing_subscriber::{Layer as _, filter::dynamic_filter_fn, fmt, layer::SubscriberExt as _, registry};

use crate::{
    api::access,
    support::browser::Browser,
    support::wire::{Running, fixed},
    support::{FakeClock, Home, SeededRandom, TestApp},
    ui::access::{self as ui_access, ADMIN},
};

thread_local! {
    /// The log of this thread.
    static CAPTURED: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// All log lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures the log of this thread at every level. The thread runs all tasks of its test.
    fn of_this_thread() -> Self {
        // One subscriber for all threads. With one per thread, events that another test used first would stay disabled.
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let writer = || CAPTURED.with_borrow(|log| log.clone().unwrap_or_default());
            let all_levels = fmt::layer().with_ansi(false).with_writer(writer);
            let is_captured = dynamic_filter_fn(|_, _| CAPTURED.with_borrow(Option::is_some));
            let subscriber = registry().with(all_levels.with_filter(is_captured));
            tracing::subscriber::set_global_default(subscriber).expect("no other test has one");
        });
        let log = Self::default();
        CAPTURED.set(Some(log.clone()));
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

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
    let log = Log::of_this_thread();
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
    test.app.write_records().await.expect("the store answers");

    let told = log.text();
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
async fn stored_responses_are_encrypted_in_the_database() {
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

        // A repeated request gets the stored response.
        for write in &writes {
            let mut found = Vec::new();
            collect(&write.clone().send().await.json(), "token", &mut found);
            assert!(!found.is_empty() && found.iter().all(|token| secrets.contains(token)), "{found:?}");
        }
    }
}

/// Collects the texts of every field with this name.
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

/// A part of a private key that is also visible in its base64.
const CANARY: &str = "CANARYPRIVATEKEY";

/// Returns a private key in each format, with the part of it that must not occur.
fn private_keys() -> Vec<(String, String)> {
    let body = format!("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB{CANARY}AAAAMwAAAAtzc2gtZWQyNTUxOQ");
    let openssh = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n");
    let encoded = STANDARD.encode(&openssh);
    let piece = encoded[120..150].to_owned();
    let pkcs8 = format!("MC4CAQAwBQYDK2VwBCIEIA{CANARY}w2e3r4t5y6u7i8o9p0a1s2d3f4g");
    let canary = || CANARY.to_owned();
    vec![
        (openssh.clone(), canary()),
        (openssh.replace('\n', "\\n"), canary()),
        (encoded, piece),
        (format!("-----BEGIN PRIVATE KEY-----\n{pkcs8}\n-----END PRIVATE KEY-----"), canary()),
        (pkcs8, canary()),
        (format!("PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{CANARY}AAAAAAAA\nPrivate-MAC: 00"), canary()),
        (format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\",\"d\":\"{CANARY}AAAA\"}}"), canary()),
    ]
}

/// Returns the names of the text fields in a schema of the document, including lists of texts.
fn text_fields<'a>(document: &'a Value, operation: &'a Value) -> Vec<&'a str> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let reference = schema["$ref"]
        .as_str()
        .or_else(|| schema["oneOf"].as_array()?.iter().find_map(|schema| schema["$ref"].as_str()));
    let Some(name) = reference.and_then(|reference| reference.rsplit('/').next()) else { return Vec::new() };
    let properties = document["components"]["schemas"][name]["properties"].as_object();
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn no_api_field_echoes_a_private_key() {
    let log = Log::of_this_thread();
    let world = access::World::build().await;
    let test = world.open().await;
    let (_, document) = server::build_router(Arc::clone(&test.app));
    let document: Value = serde_json::to_value(&document).expect("JSON");
    let mut asked = BTreeSet::new();
    let admin = world.actors[3].as_ref().expect("an admin");
    let operator = world.actors[4].as_ref().expect("an operator");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let method = method.to_ascii_uppercase();
            let by = if path.contains("/admin/") || path == "/api/v1/workspaces" { operator } else { admin };
            let target = access::fill(path, &world.acme);
            for (key, piece) in private_keys() {
                for field in text_fields(&document, operation) {
                    asked.insert(format!("{method} {path} {field}"));
                    for value in [json!(key), json!([key]), json!({ &key: 1 })] {
                        let mut sent = access::body(&test, &method, path, &world.invitation_token);
                        if sent.is_null() {
                            sent = json!({});
                        }
                        sent[field] = value;
                        let answer = test.request(&method, &target, &sent).by(&by.key).send().await;
                        let body = String::from_utf8_lossy(&answer.bytes).into_owned();
                        assert!(!body.contains(&piece), "{method} {path} {field}: {body}");
                        assert!(answer.status != 500, "{method} {path} {field}: {body}");
                    }
                }
                // An unknown field, an unknown parameter, and an invalid id.
                let escaped: String = key.bytes().fold(String::new(), |escaped, c| escaped + &format!("%{c:02x}"));
                let unknown = test.request(&method, &target, &json!({ &key: "x" })).by(&by.key).send().await;
                let parameter = format!("{target}?after={escaped}&{escaped}=1");
                let parameter = test.request(&method, &parameter, &Value::Null).by(&by.key).send().await;
                let id = path.replace('{', "\u{0}").split('\u{0}').next().map(|start| format!("{start}{escaped}"));
                let id = test.request(&method, &id.expect("a path"), &Value::Null).by(&by.key).send().await;
                for answer in [unknown, parameter, id] {
                    let body = String::from_utf8_lossy(&answer.bytes).into_owned();
                    assert!(!body.contains(&piece), "{method} {path}: {body}");
                }
            }
        }
    }
    assert!(asked.len() > 25, "{asked:?}");
    test.app.write_records().await.expect("the store answers");
    is_nowhere(&test, &log).await;
}

/// Checks that it is not in the log, the audit log or the database.
async fn is_nowhere(test: &TestApp, log: &Log) {
    let told = log.text();
    assert!(told.contains("answered"), "the log is captured: {told}");
    let filter = server::app::AuditFilter::default();
    let paging = server::app::Paging { after: None, limit: Some(200) };
    let host = server::app::Caller::host();
    let events = test.app.list_all_audit_events(&host, &filter, &paging).await.expect("events");
    let events = serde_json::to_string(&events).expect("JSON");
    let database = test.directory.everything_stored();
    for (_, piece) in private_keys() {
        assert!(!told.contains(&piece), "{piece} was logged");
        assert!(!events.contains(&piece), "{piece} is in the audit log");
        assert!(!database.contains(&piece), "{piece} is in the database");
    }
}

/// A form of a page: its URL, whether it uses POST, and its fields with their values.
type PageForm = (String, bool, Vec<(String, String)>);

fn forms(page: &str, path: &str) -> Vec<PageForm> {
    let attribute = |tag: &str, name: &str| {
        let (_, after) = tag.split_once(&format!(" {name}=\""))?;
        after.split('"').next().map(|value| value.replace("&amp;", "&").replace("&#38;", "&"))
    };
    let found = page.split("<form").skip(1).map(|form| {
        let form = form.split("</form>").next().unwrap_or_default();
        let (tag, content) = form.split_once('>').expect("a form");
        let tag = format!(" {}", tag.trim_start());
        let action = match attribute(&tag, "action") {
            Some(action) if action.starts_with('/') => action,
            // Relative to the page, as in long lists.
            Some(action) => format!("{}/{action}", path.rsplit_once('/').expect("a folder").0),
            None => path.to_owned(),
        };
        let fields = content
            .split('<')
            .filter(|tag| ["input", "textarea", "select", "button"].iter().any(|name| tag.starts_with(name)));
        let fields = fields.filter_map(|tag| {
            let tag = tag.split('>').next().unwrap_or_default().replace('\n', " ");
            Some((attribute(&tag, "name")?, attribute(&tag, "value").unwrap_or_default()))
        });
        (action, attribute(&tag, "method").is_some_and(|method| method.eq_ignore_ascii_case("post")), fields.collect())
    });
    found.collect()
}

#[tokio::test]
async fn no_form_field_echoes_a_private_key() {
    let log = Log::of_this_thread();
    let world = ui_access::World::build().await;
    let test = world.open().await;
    let mut filled = BTreeSet::new();
    for who in [0, ADMIN, 4] {
        let mut browser = Browser::new(&test);
        browser.cookies = world.cookies[who].clone();
        for (_, path) in server::list_page_routes().into_iter().filter(|(method, _)| method == "GET") {
            let path = world.path(&path);
            let answer = browser.request("GET", &path).send().await;
            if answer.status != 200 {
                continue;
            }
            let page = String::from_utf8_lossy(&answer.bytes).into_owned();
            for (action, is_post, fields) in forms(&page, &path) {
                for at in (0..fields.len()).filter(|at| fields[*at].0 != "csrf") {
                    for (key, piece) in private_keys() {
                        let mut sent = fields.clone();
                        sent[at].1.clone_from(&key);
                        let pairs: Vec<(&str, &str)> = sent.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                        let mut request = browser.form(&action, &pairs);
                        if !is_post {
                            let query = String::from_utf8(request.body).expect("ASCII");
                            request = browser.request("GET", &format!("{}?{query}", action.split('?').next().unwrap()));
                        }
                        let answer = request.send().await;
                        let place = answer.header("location");
                        let body = String::from_utf8_lossy(&answer.bytes).into_owned();
                        let what = format!("{action} {}", sent[at].0);
                        assert!(!body.contains(&piece) && !place.contains(&piece), "{what}: {place} {body}");
                        assert_eq!(answer.status, 400, "{what}: {body}");
                        filled.insert(what);
                    }
                }
            }
        }
    }
    assert!(filled.len() > 40, "{filled:?}");
    is_nowhere(&test, &log).await;
}

#[tokio::test]
async fn the_password_prompt_does_not_echo_a_private_key() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys/new").await;
    for (key, piece) in private_keys() {
        // The token of an earlier session: the page offers to submit the form again.
        let stale = [("csrf", "another"), ("title", "laptop"), ("public_key", key.as_str())];
        let answer = ada.form("/profile/api-keys", &stale).send().await;
        let body = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert_eq!(answer.status, 403, "{body}");
        assert!(body.contains("laptop") && !body.contains(&piece), "{body}");
    }
}

#[test]
fn debug_output_has_no_passwords_and_no_tokens() {
    use server::app::{SetUp, SignIn, SignedIn};
    let secret = || "canary-3f1c".to_owned();
    let accept = json!({"token": secret(), "name": "Eve", "password": secret()});
    let create = json!({"email": "eve@example.com", "name": "Eve", "password": secret()});
    let outputs = [
        format!("{:?}", serde_json::from_value::<api::AcceptInvitation>(accept).expect("an acceptance")),
        format!("{:?}", serde_json::from_value::<api::CreateUser>(create).expect("a user")),
        format!("{:?}", SignIn { password: secret(), device: Some(secret()), ..SignIn::default() }),
        format!("{:?}", SignedIn { token: secret(), device: secret() }),
        format!(
            "{:?}",
            SetUp {
                token: secret(),
                email: String::new(),
                name: String::new(),
                password: secret(),
                browser: server::app::Browser::default()
            }
        ),
        format!("{:?}", store::PostgresUrl::from(format!("postgres://keyward:{}@db/keyward", secret()))),
    ];
    for output in outputs {
        assert!(!output.contains("canary"), "{output}");
    }
}
