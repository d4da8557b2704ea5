//! The unmodified Encord SDK from PyPI, in a separate Python, with keys of ssh-keygen.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock},
    time::Duration,
};

use domain::Clock as _;
use serde_json::Value;
use server::{
    app::{Caller, KeyOwner},
    system::SystemClock,
};

use super::{Actor, TestApp};

/// The beginning of every script. Scripts end with `answer(...)`.
const PRELUDE: &str = r#"
import json, os
import encord.exceptions, requests
from encord import EncordUserClient
from encord.http.constants import RequestsSettings
from encord.http.querier import create_new_session

DOMAIN = os.environ["DOMAIN"]
SETTINGS = RequestsSettings(backoff_factor=0)

def client(key="KEY"):
    return EncordUserClient.create_with_ssh_private_key(
        ssh_private_key_path=os.environ[key], domain=DOMAIN, requests_settings=SETTINGS)

def titles(projects):
    return sorted(project.title for project in projects)

def refusal(call):
    try:
        call()
    except encord.exceptions.EncordException as error:
        return [type(error).__name__, error.message, getattr(error, "retry_after", None)]
    return ["nothing", "", None]

def send(client, method, path, body=None):
    """A request of Keyward's own API, signed and retried by the SDK."""
    request = requests.Request(method, DOMAIN + path, json=body).prepare()
    request = client._config.config.define_headers_v2(request)
    with create_new_session(max_retries=3, backoff_factor=0, connect_retries=3) as session:
        return session.send(request)

def answer(value):
    print(json.dumps(value, default=str))
"#;

/// The interpreter with the SDK.
static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
    let python = std::env::var_os("KEYWARD_PYTHON")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python"), PathBuf::from);
    let has_sdk = Command::new(&python).args(["-c", "import encord"]).output().is_ok_and(|run| run.status.success());
    assert!(
        has_sdk,
        "{} has no Encord SDK: python3 -m venv .venv && .venv/bin/pip install encord, or set KEYWARD_PYTHON",
        python.display()
    );
    python
});

/// Generates a private key file with ssh-keygen, and returns it with the public key.
pub fn generate_key_file(directory: &Path, name: &str) -> (PathBuf, String) {
    let path = directory.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen is needed: install openssh-client");
    assert!(made.success());
    let public = std::fs::read_to_string(path.with_extension("pub")).expect("the public key");
    (path, public.trim().to_owned())
}

/// Registers a key for a principal, and returns its id.
pub async fn register_key(test: &TestApp, workspace: &str, owner: &Actor, title: &str, public_key: String) -> String {
    let owner = match owner.id.parse() {
        Ok(user) => KeyOwner::User(user),
        Err(_) => KeyOwner::ServiceAccount(workspace.parse().expect("ws_"), owner.id.parse().expect("sa_")),
    };
    let create = api::CreateApiKey { title: title.to_owned(), public_key, expires_at: None, proof: None, limits: None };
    test.app.create_api_key(&Caller::host(), owner, &create).await.expect("a key").id.to_string()
}

/// Runs a script with the SDK, these variables and the machine's time on both sides. Returns its answer.
pub async fn run_sdk(test: &TestApp, domain: &str, variables: &[(&str, &Path)], script: &str) -> Value {
    let mut command = Command::new(PYTHON.as_path());
    command.arg("-c").arg(format!("{PRELUDE}\n{script}")).env("DOMAIN", domain).env("NO_PROXY", "*");
    command.envs(variables.iter().copied());
    let (clock, app) = (Arc::clone(&test.clock), Arc::clone(&test.app));
    let follow = tokio::spawn(async move {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            clock.set_wall(SystemClock.now().as_second());
            app.renew_lease().await.expect("the store answers");
        }
    });
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("python");
    follow.abort();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{out}{err}"))
}
