//! The unmodified Encord SDK from PyPI against a real server, with keys of ssh-keygen.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use domain::Clock as _;
use serde_json::{Value, json};
use server::{http::ConnectionLimits, settings::RateLimits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    Actor, TestApp,
    sdk::{generate_key_file, register_key, run_sdk},
    signing::version_1_signature,
    wire::Running,
};

struct Sdk {
    test: TestApp,
    running: Running,
    admin: Actor,
    workspace: String,
    keys: tempfile::TempDir,
    proxy: Option<(TcpListener, String)>,
}

impl Sdk {
    async fn start() -> Self {
        Self::start_with(RateLimits::default()).await
    }

    async fn start_with(rate_limits: RateLimits) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let authority = |address: std::io::Result<std::net::SocketAddr>| address.expect("an address").to_string();
        let (own, proxy_authority) = (authority(listener.local_addr()), authority(proxy.local_addr()));
        let hosts = vec![own, proxy_authority.clone()];
        let origins = hosts.iter().map(|host| format!("http://{host}")).collect();
        let test = TestApp::with_settings(|settings| {
            settings.hosts = origins;
            settings.encord_hosts = hosts;
            settings.rate_limits = rate_limits;
        })
        .await;
        let running = Running::start_on(&test, listener, ConnectionLimits::default());
        let admin = test.user("ada", false).await;
        let workspace = test.workspace("acme", &admin).await;
        let keys = tempfile::tempdir().expect("a directory");
        Self { test, running, admin, workspace, keys, proxy: Some((proxy, proxy_authority)) }
    }

    /// Returns a private key file of ssh-keygen, and the public key.
    fn key_file(&self, name: &str) -> (PathBuf, String) {
        generate_key_file(self.keys.path(), name)
    }

    /// Returns the file of a key that is registered for a principal, and the key's id.
    async fn registered(&self, owner: &Actor, name: &str) -> (PathBuf, String) {
        let (path, public_key) = self.key_file(name);
        let id = register_key(&self.test, &self.workspace, owner, name, public_key).await;
        (path, id)
    }

    /// Creates a project as a principal, and returns its id.
    async fn project(&self, owner: &Actor, title: &str, description: &str) -> String {
        let path = format!("/api/v1/workspaces/{}/projects", self.workspace);
        let create = json!({"title": title, "description": description});
        let created = self.test.post(&path, &create).by(&owner.key).send().await.expect(201);
        created["id"].as_str().expect("an id").to_owned()
    }

    /// Runs a script with the machine's time on both sides.
    async fn run(&self, key: &Path, script: &str) -> Value {
        self.run_at(&format!("http://{}", self.running.address), &[("KEY", key)], script).await
    }

    async fn run_at(&self, domain: &str, keys: &[(&str, &Path)], script: &str) -> Value {
        run_sdk(&self.test, domain, keys, script).await
    }
}

#[tokio::test]
async fn a_service_account_lists_what_it_created_or_was_invited_to_and_nothing_more() {
    let sdk = Sdk::start().await;
    let bot = sdk.test.service_account(&sdk.workspace, &sdk.admin, "ci-runner").await;
    let (bot_key, _) = sdk.registered(&bot, "bot").await;
    let (admin_key, _) = sdk.registered(&sdk.admin, "ada").await;
    sdk.project(&bot, "Own", "made by the account").await;
    let invited = sdk.project(&sdk.admin, "Invited", "").await;
    sdk.project(&sdk.admin, "Hidden", "").await;
    let member = format!("/api/v1/workspaces/{}/projects/{invited}/members/{}", sdk.workspace, bot.id);
    sdk.test.put(&member, &json!({"role": "viewer"})).by(&sdk.admin.key).send().await.expect(200);
    sdk.test.user("eve", false).await;

    let script = r#"
c = client()
projects = list(c.list_projects())
answer({
    "mine": titles(projects),
    "with_access": titles(c.list_projects(include_org_access=True)),
    "groups": list(c.list_groups()),
    "roles": {p.title: p.user_role.name for p in projects},
    "types": sorted({p.project_type.name for p in projects}),
    "status": sorted({p.status.name for p in projects}),
    "hashes": {p.title: p.project_hash for p in projects},
    "created": [p.created_at.year for p in projects],
    "descriptions": {p.title: p.description for p in projects},
})
"#;
    let seen = sdk.run(&bot_key, script).await;
    assert_eq!(seen["mine"], json!(["Invited", "Own"]));
    assert_eq!(seen["with_access"], json!(["Invited", "Own"]), "a member gains nothing by asking for more");
    assert_eq!(seen["groups"], json!([]));
    assert_eq!(seen["roles"], json!({"Invited": "REVIEWER", "Own": "ADMIN"}));
    assert_eq!((&seen["types"], &seen["status"]), (&json!(["MANUAL_QA"]), &json!(["IN_PROGRESS"])));
    assert_eq!(seen["descriptions"]["Own"], "made by the account");
    let hash = seen["hashes"]["Invited"].as_str().expect("a hash");
    assert_eq!(invited, domain::ProjectId::from_uuid(hash.parse().expect("a UUID")).to_string());

    let seen = sdk.run(&admin_key, script).await;
    assert_eq!(seen["mine"], json!(["Hidden", "Invited"]));
    assert_eq!(seen["with_access"], json!(["Hidden", "Invited", "Own"]), "an admin sees all of the workspace");

    let role = format!("/api/v1/workspaces/{}/service-accounts/{}", sdk.workspace, bot.id);
    sdk.test.patch(&role, &json!({"role": "admin"})).by(&sdk.admin.key).send().await.expect(200);
    let seen = sdk.run(&bot_key, "answer(titles(client().list_projects(include_org_access=True)))").await;
    assert_eq!(seen, json!(["Hidden", "Invited", "Own"]), "the role applies to the account, whatever its key");
}

#[tokio::test]
async fn every_filter_of_the_sdk_filters_and_pages_follow_one_another() {
    let sdk = Sdk::start().await;
    let (key, _) = sdk.registered(&sdk.admin, "ada").await;
    // 2026-01-02T03:04:05Z, and an hour later each.
    let began = sdk.test.clock.now().as_second();
    for (hour, (title, description)) in
        [("Cats", "of Berlin"), ("Dogs", "of Bonn"), ("cat food", "100% meat")].into_iter().enumerate()
    {
        sdk.test.set_wall(began + 3600 * i64::try_from(hour).expect("few")).await;
        sdk.project(&sdk.admin, title, description).await;
    }
    let seen = sdk
        .run(
            &key,
            r#"
from datetime import datetime, timezone
c = client()
at = datetime(2026, 1, 2, 4, 4, 5, tzinfo=timezone.utc)
answer({name: titles(c.list_projects(**filter)) for name, filter in {
    "title_eq": {"title_eq": "Cats"},
    "title_eq other case": {"title_eq": "cats"},
    "title_like": {"title_like": "cat%"},
    "desc_eq": {"desc_eq": "of Bonn"},
    "desc_like": {"desc_like": "%of b%"},
    "desc_like escaped": {"desc_like": "100\\% m_at"},
    "two": {"title_like": "cat%", "desc_like": "of%"},
    "created_before": {"created_before": at},
    "created_after": {"created_after": at},
    "created_after text": {"created_after": "2026-01-02 04:04:04"},
    "created_before naive": {"created_before": datetime(2026, 1, 2, 4, 4, 6)},
    "edited_before": {"edited_before": at},
    "edited_after": {"edited_after": at},
    "plus and ampersand": {"title_eq": "a+b & c"},
    "tags": {"tags_anyof": ["a", "b"]},
}.items()})
"#,
        )
        .await;
    for (filter, titles) in [
        ("title_eq", vec!["Cats"]),
        ("title_eq other case", vec![]),
        ("title_like", vec!["Cats", "cat food"]),
        ("desc_eq", vec!["Dogs"]),
        ("desc_like", vec!["Cats", "Dogs"]),
        ("desc_like escaped", vec!["cat food"]),
        ("two", vec!["Cats"]),
        ("created_before", vec!["Cats"]),
        ("created_after", vec!["cat food"]),
        ("created_after text", vec!["Dogs", "cat food"]),
        ("created_before naive", vec!["Cats", "Dogs"]),
        ("edited_before", vec!["Cats"]),
        ("edited_after", vec!["cat food"]),
        ("plus and ampersand", vec![]),
        ("tags", vec![]),
    ] {
        assert_eq!(seen[filter], json!(titles), "{filter}");
    }

    for number in 0..117 {
        sdk.project(&sdk.admin, &format!("Many {number:03}"), "").await;
    }
    let many = sdk.run(&key, "answer(titles(client().list_projects(title_like='many%')))").await;
    let expected: Vec<String> = (0..117).map(|number| format!("Many {number:03}")).collect();
    assert_eq!(many, json!(expected), "each once, over all pages");
}

#[tokio::test]
async fn refusals_arrive_as_exceptions_of_the_sdk_with_advice() {
    let sdk = Sdk::start().await;
    let eve = sdk.test.member(&sdk.workspace, &sdk.admin, "eve", "member").await;
    let (good, _) = sdk.registered(&sdk.admin, "good").await;
    let (unknown, _) = sdk.key_file("unknown");
    let (disabled, disabled_id) = sdk.registered(&sdk.admin, "disabled").await;
    let (revoked, revoked_id) = sdk.registered(&sdk.admin, "revoked").await;
    let (removed, _) = sdk.registered(&eve, "removed").await;
    let hidden = sdk.project(&eve, "Of Eve", "").await;
    let other = sdk.test.user("mallory", false).await;
    let foreign = sdk.test.workspace("other", &other).await;
    let path = format!("/api/v1/workspaces/{foreign}/projects");
    let foreign = sdk.test.post(&path, &json!({"title": "Foreign"})).by(&other.key).send().await.expect(201);
    let key = |id: &str, then: &str| format!("/api/v1/me/keys/{id}{then}");
    sdk.test.post(&key(&disabled_id, "/disable"), &Value::Null).by(&sdk.admin.key).send().await.expect(200);
    sdk.test.delete(&key(&revoked_id, "")).by(&sdk.admin.key).send().await.expect(204);
    let member = format!("/api/v1/workspaces/{}/members/{}?successor={}", sdk.workspace, eve.id, sdk.admin.id);
    sdk.test.delete(&member).by(&sdk.admin.key).send().await.expect(204);

    let uuid = |id: &str| id.parse::<domain::ProjectId>().expect("prj_").uuid().to_string();
    let script = r#"
token = client().get_bearer_token()
bearer = EncordUserClient.create_with_bearer_token(token, domain=DOMAIN, requests_settings=SETTINGS)
answer({
    "unknown": refusal(client("UNKNOWN").get_bearer_token),
    "disabled": refusal(client("DISABLED").get_bearer_token),
    "revoked": refusal(client("REVOKED").get_bearer_token),
    "removed": refusal(lambda: list(client("REMOVED").list_projects())),
    "forbidden": refusal(bearer.get_bearer_token),
    "foreign": refusal(lambda: client().get_project("FOREIGN_ID")),
    "malformed": refusal(lambda: client().get_project("no-uuid")),
    "by token": titles(bearer.list_projects(include_org_access=True)),
    "wrong token": refusal(lambda: list(EncordUserClient.create_with_bearer_token(
        token + "x", domain=DOMAIN, requests_settings=SETTINGS).list_groups())),
})
"#
    .replace("FOREIGN_ID", &uuid(foreign["id"].as_str().expect("an id")));
    let keys: [(&str, &Path); 5] =
        [("KEY", &good), ("UNKNOWN", &unknown), ("DISABLED", &disabled), ("REVOKED", &revoked), ("REMOVED", &removed)];
    let seen = sdk.run_at(&format!("http://{}", sdk.running.address), &keys, &script).await;
    for (case, exception, words) in [
        ("unknown", "AuthenticationError", "Sign it with a registered key"),
        ("revoked", "AuthenticationError", "Sign it with a registered key"),
        ("disabled", "AuthenticationError", "Key disabled"),
        ("removed", "AuthenticationError", "member of no workspace"),
        ("wrong token", "AuthenticationError", "no valid credential"),
        ("forbidden", "AuthorisationError", "not allowed"),
        ("foreign", "ResourceNotFoundError", ""),
        ("malformed", "InvalidArgumentsError", "path is invalid"),
    ] {
        assert_eq!(seen[case][0], exception, "{case}: {}", seen[case]);
        assert!(seen[case][1].as_str().expect("a text").contains(words), "{case}: {}", seen[case]);
    }
    assert_eq!(seen["by token"], json!(["Of Eve"]), "{hidden} is the workspace's still");

    sdk.test.app.close_store().await;
    let outage = "SETTINGS.max_retries = 0\nanswer(refusal(lambda: list(client().list_projects())))";
    let seen = sdk.run(&good, outage).await;
    assert_eq!(seen[0], "UnknownException");
    assert!(seen[1].as_str().expect("a text").contains("Your credential was not verified"), "{seen}");
}

#[tokio::test]
async fn a_version_1_signature_is_refused_in_a_form_that_the_sdk_reads() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let call = json!({"query_type": "dataset", "query_method": "GET", "values": {"uid": null, "payload": null}});
    let unsigned = test.post("/public", &call);
    let signature = version_1_signature(&admin.key, &unsigned.body);
    // Whose key it is, and whether the signature is right, changes nothing: it follows from the form.
    let other = version_1_signature(&test.new_key(), b"another body");
    for path in ["/public", "/public/user", "/api/v1/me", "/nowhere"] {
        for (signature, has_resource) in [(&signature, true), (&signature.to_uppercase(), false), (&other, false)] {
            let mut request = test.post(path, &call).header("authorization", signature);
            if has_resource {
                request = request.header("resourceid", "").header("resourcetype", "");
            }
            let answer = request.send().await;
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.header("keyward-reason"), "encord_version_1");
            let problem = answer.expect_problem(401, "unauthenticated");
            assert_eq!((&problem["status"], &problem["reason"]), (&json!(401), &json!("encord_version_1")));
            assert_eq!(problem["response"], json!(["AUTHENTICATION_ERROR"]), "{path}");
            assert_eq!(problem["payload"], problem["detail"]);
            let detail = problem["detail"].as_str().expect("a text");
            assert!(detail.contains("create_with_bearer_token(client.get_bearer_token()"), "{detail}");
        }
    }

    // By bearer token, and without any credential.
    let token = test.bearer_token(&admin.key).await;
    let by_token = |token: &str| test.post("/public/user", &call).bearer(token).header("resourceid", "");
    let problem = by_token(&token).send().await.expect_problem(404, "not_found");
    assert_eq!((&problem["status"], &problem["response"]), (&json!(404), &json!(["RESOURCE_NOT_FOUND_ERROR"])));
    assert!(problem["payload"].as_str().expect("a text").contains("as `domain`"), "{problem}");
    let forged = by_token(&format!("{token}x"));
    for (request, reason) in [(forged, Value::Null), (unsigned.header("resourceid", ""), json!("missing"))] {
        let problem = request.send().await.expect_problem(401, "unauthenticated");
        assert_eq!((&problem["response"], &problem["reason"]), (&json!(["AUTHENTICATION_ERROR"]), &reason));
    }
    let get = test.get("/public").bearer(&token).header("resourceid", "");
    let problem = get.send().await.expect_problem(405, "method_not_allowed");
    assert_eq!(problem["response"], json!(["METHOD_NOT_ALLOWED_ERROR"]));

    // Nobody else gets these members.
    let problem = test.post("/api/v1/me/keys", &call).send().await.expect_problem(401, "unauthenticated");
    assert_eq!((problem.get("response"), problem.get("payload")), (None, None));
}

/// What docs/sdk.md says of key files. Where a new release of the SDK prints no key any more, the warning there can go.
#[tokio::test]
async fn the_sdk_accepts_ed25519_keys_in_openssh_format_only_and_prints_others_of_that_format() {
    let sdk = Sdk::start().await;
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/tests/key-files");
    let script = r#"
import re
from pathlib import Path

def outcome(name):
    file = Path(os.environ["FILES"], name)
    try:
        EncordUserClient.create_with_ssh_private_key(ssh_private_key_path=file, domain=DOMAIN)
        return ["", False]
    except (ValueError, TypeError) as error:
        runs = re.findall("[A-Za-z0-9+/]{60,}", file.read_bytes().decode("latin-1"))
        return [type(error).__name__, any(run in str(error) for run in runs)]

answer({name: outcome(name) for name in [
    "openssh-ed25519", "openssh-ed25519-crlf", "puttygen-openssh-ed25519-comment-01",
    "openssh-rsa", "openssh-p256", "openssh-p384", "openssh-protected",
    "pkcs8-ed25519.pem", "pkcs8-rsa.pem", "sec1-p256.pem", "putty-v3-ed25519.ppk", "openssh-ed25519-base64",
    "openssh-ed25519-utf8-bom", "openssh-ed25519-utf16le-bom",
]})
"#;
    let seen = sdk.run_at(&format!("http://{}", sdk.running.address), &[("FILES", &files)], script).await;
    for (name, outcome) in seen.as_object().expect("files") {
        let expected = match name.as_str() {
            "openssh-ed25519" | "openssh-ed25519-crlf" | "puttygen-openssh-ed25519-comment-01" => json!(["", false]),
            "openssh-rsa" | "openssh-p256" | "openssh-p384" => json!(["ValueError", true]),
            "openssh-protected" => json!(["TypeError", false]),
            "openssh-ed25519-utf8-bom" | "openssh-ed25519-utf16le-bom" => json!(["UnicodeDecodeError", false]),
            _ => json!(["ValueError", false]),
        };
        assert_eq!(outcome, &expected, "{name}");
    }
    assert_eq!(seen.as_object().expect("files").len(), 14);
}

#[tokio::test]
async fn calls_that_the_sdk_signs_with_version_1_raise_its_authentication_error() {
    let sdk = Sdk::start().await;
    let (key, _) = sdk.registered(&sdk.admin, "ada").await;
    let script = r#"
import uuid
# The SDK keeps the text of some refusals to itself: this is what it read.
import encord.http.querier as querier
read = []
check = querier.check_error_response
def note(response, context=None, payload=None):
    read.append(payload)
    return check(response, context, payload)
querier.check_error_response = note

c = client()
bearer = EncordUserClient.create_with_bearer_token(c.get_bearer_token(), domain=DOMAIN, requests_settings=SETTINGS)
wrong = EncordUserClient.create_with_bearer_token("kwt_x", domain=DOMAIN, requests_settings=SETTINGS)
calls = {
    "get_projects": lambda c: c.get_projects(),
    "get_dataset": lambda c: c.get_dataset(uuid.uuid4()),
    "create_project": lambda c: c.create_project("x", []),
    "list_label_rows": lambda c: c.get_project_client("x").list_label_rows(),
}
answer({
    "signed": {name: refusal(lambda: call(c)) for name, call in calls.items()},
    "by token": {name: refusal(lambda: call(bearer)) for name, call in calls.items()},
    "wrong token": {name: refusal(lambda: call(wrong)) for name, call in calls.items()},
    "read": read,
})
"#;
    let seen = sdk.run(&key, script).await;
    for call in ["get_projects", "get_dataset", "create_project", "list_label_rows"] {
        for client in ["signed", "wrong token"] {
            let [exception, text, _] = seen[client][call].as_array().expect("an exception").as_slice() else {
                panic!("{seen}")
            };
            assert_eq!(exception, "AuthenticationError", "{client} {call}: {seen}");
            assert!(text.as_str().expect("a text").starts_with("You are not authenticated"), "the SDK's own: {text}");
        }
        let [exception, text, _] = seen["by token"][call].as_array().expect("an exception").as_slice() else {
            panic!("{seen}")
        };
        assert_eq!(exception, "ResourceNotFoundError", "{call}: {seen}");
        assert!(text.as_str().expect("a text").contains("Keyward has no answer to this call"), "{call}: {text}");
    }
    let read = seen["read"].as_array().expect("what the SDK read");
    assert_eq!(read.len(), 12);
    for text in &read[..4] {
        assert!(text.as_str().expect("a text").contains("EncordUserClient.create_with_bearer_token("), "{text}");
    }
}

#[tokio::test]
async fn a_bearer_token_of_the_sdk_lives_as_long_as_its_key_and_no_longer() {
    let sdk = Sdk::start().await;
    let eve = sdk.test.member(&sdk.workspace, &sdk.admin, "eve", "member").await;
    let (first, first_id) = sdk.registered(&eve, "first").await;
    let (second, _) = sdk.registered(&eve, "second").await;
    let script = "answer([client(k).get_bearer_token() for k in ['FIRST', 'SECOND']])";
    let keys: [(&str, &Path); 2] = [("FIRST", &first), ("SECOND", &second)];
    let tokens = sdk.run_at(&format!("http://{}", sdk.running.address), &keys, script).await;
    let status = async |token: &Value| {
        let me = sdk.test.get("/api/v1/me").bearer(token.as_str().expect("a token"));
        me.send().await.status.as_u16()
    };
    assert_eq!((status(&tokens[0]).await, status(&tokens[1]).await), (200, 200));
    let revoke = sdk.test.delete(&format!("/api/v1/me/keys/{first_id}")).by(&eve.key);
    revoke.send().await.expect(204);
    assert_eq!((status(&tokens[0]).await, status(&tokens[1]).await), (401, 200), "one key, one token");
    let member = format!("/api/v1/workspaces/{}/members/{}", sdk.workspace, eve.id);
    sdk.test.delete(&member).by(&sdk.admin.key).send().await.expect(204);
    assert_eq!(status(&tokens[1]).await, 401, "removed from the workspace");
}

#[tokio::test]
async fn a_rate_limited_request_names_the_time_to_wait() {
    let sdk = Sdk::start_with(RateLimits { per_address: 0, per_key: 1 }).await;
    let (key, _) = sdk.registered(&sdk.admin, "ada").await;
    let seen = sdk
        .run(
            &key,
            r"
SETTINGS.max_retries = 1
c = client()
for _ in range(10):
    list(c.list_groups())
answer(refusal(lambda: list(c.list_groups())))
",
        )
        .await;
    assert_eq!(seen, json!(["RateLimitExceededError", "Rate limit exceeded. Retry after 1 second.", 1]));
}

/// An action of the proxy for a request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Responds with this status, and forwards nothing.
    Before(u16),
    /// Forwards the request, and replaces the status of the response.
    After(u16),
    /// Forwards the request, and disconnects.
    HangUp,
}

/// Starts a proxy that applies these faults to consecutive requests, and then only forwards. Returns the requests that
/// it received.
fn inject(proxy: TcpListener, server: std::net::SocketAddr, faults: Vec<Option<Fault>>) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut faults = faults.into_iter();
        while let Ok((mut client, _)) = proxy.accept().await {
            let request = read_message(&mut client).await;
            noted.lock().expect("no panic").push(request.clone());
            let fault = faults.next().flatten();
            let mut answer = None;
            if !matches!(fault, Some(Fault::Before(_))) {
                let mut server = TcpStream::connect(server).await.expect("the server listens");
                server.write_all(&request).await.expect("the server reads");
                answer = Some(read_message(&mut server).await);
            }
            let bytes = match (fault, answer) {
                (Some(Fault::Before(status) | Fault::After(status)), _) => {
                    format!("HTTP/1.1 {status} Injected\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").into_bytes()
                }
                (Some(Fault::HangUp), _) | (None, None) => Vec::new(),
                (None, Some(answer)) => answer,
            };
            // The client may have disconnected.
            let _ = client.write_all(&bytes).await;
        }
    });
    seen
}

/// Reads a request or a response, unchanged.
async fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = Vec::new();
    let mut wanted = None;
    while wanted.is_none_or(|length| message.len() < length) {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.expect("a message");
        assert!(read > 0, "a message broke off");
        message.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&message).to_ascii_lowercase();
        if let Some(head) = text.find("\r\n\r\n") {
            let length = text[..head].lines().find_map(|line| line.strip_prefix("content-length:"));
            wanted = Some(head + 4 + length.map_or(0, |length| length.trim().parse::<usize>().expect("a length")));
        }
    }
    message
}

#[tokio::test]
async fn the_sdks_retries_never_write_twice_and_never_end_in_401() {
    use Fault::{After, Before, HangUp};
    let mut sdk = Sdk::start().await;
    let (key, _) = sdk.registered(&sdk.admin, "ada").await;
    let (proxy, authority) = sdk.proxy.take().expect("a proxy");
    let faults: [&[Fault]; 5] = [
        &[Before(503)],
        &[After(503)],
        &[After(503), After(502), After(500)],
        &[Before(429), After(503), HangUp],
        &[HangUp],
    ];
    // After the faults of a write, the write itself and a list succeed.
    let in_order = faults.iter().flat_map(|faults| faults.iter().copied().map(Some).chain([None, None])).collect();
    let seen = inject(proxy, sdk.running.address, in_order);
    let answers = sdk
        .run_at(
            &format!("http://{authority}"),
            &[("KEY", &key)],
            &r#"
c = client()
answers = []
for number in range(5):
    created = send(c, "POST", "/api/v1/workspaces/WS/projects", {"title": f"Project {number}"})
    answers.append([created.status_code, created.json().get("title"), titles(c.list_projects())])
answer(answers)
"#
            .replace("WS", &sdk.workspace),
        )
        .await;
    for number in 0..5 {
        let all: Vec<String> = (0..=number).map(|n| format!("Project {n}")).collect();
        assert_eq!(answers[number], json!([201, format!("Project {number}"), all]));
    }
    let requests = seen.lock().expect("no panic");
    assert_eq!(requests.len(), 9 + 2 * 5, "each fault was met, and each request went through once more");
    let posts: Vec<_> = requests.iter().filter(|request| request.starts_with(b"POST")).collect();
    let distinct: std::collections::BTreeSet<_> = posts.iter().collect();
    assert_eq!((posts.len(), distinct.len()), (14, 5), "what is sent again is the same request, signature and all");
}

#[tokio::test]
async fn a_read_is_retried_with_the_same_signature() {
    let mut sdk = Sdk::start().await;
    let (key, _) = sdk.registered(&sdk.admin, "ada").await;
    sdk.project(&sdk.admin, "One", "").await;
    let (proxy, authority) = sdk.proxy.take().expect("a proxy");
    let faults = [Fault::After(503), Fault::Before(429), Fault::After(500)].map(Some).to_vec();
    let seen = inject(proxy, sdk.running.address, faults);
    let script = "answer(titles(client().list_projects()))";
    let answer = sdk.run_at(&format!("http://{authority}"), &[("KEY", &key)], script).await;
    assert_eq!(answer, json!(["One"]));
    let requests = seen.lock().expect("no panic");
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| *request == requests[0]));
}
