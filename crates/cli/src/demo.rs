//! `keyward demo`: an installation with example data, one accepted request and one refused request.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use client::{Client, ClientOptions, PrivateKey, Profile, Random as _, Signer, SystemRandom, generate_key_pair};
use domain::{ServiceAccountId, WorkspaceId, principal::Denied};
use http::{HeaderValue, Method, Request, header::CONTENT_TYPE};
use server::{
    App, AppError, Conflict,
    app::{AccountSearch, AuditFilter, Caller, ChangeError, KeyOwner, Paging},
};
use tokio::sync::Notify;

use crate::{
    configuration::{Configuration, ServerArguments},
    data_directory::DataDirectory,
    failure::{Failure, Outcome},
    host::all_pages,
    log,
    output::{self, program, shell_word},
    proof::sign_proof,
    serve::{Running, stop_signal},
};

const ADMIN: &str = "admin@demo.example";
const WORKSPACE: &str = "demo";
const ACCOUNT: &str = "demo-bot";
/// The quota of service accounts of the workspace.
const SERVICE_ACCOUNTS: u32 = 5;
/// The file in the data directory with the admin's password.
const PASSWORD_FILE: &str = "demo-admin.password";

/// Try Keyward: a workspace, a service account with a key, one accepted request, one refused request, and a running
/// server
///
/// All data is in the data directory. Running `keyward demo` again with the same directory continues with the same
/// data.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward demo
  keyward demo --listen 127.0.0.1:9000 --data /tmp/keyward-demo")]
pub(crate) struct Demo {
    #[command(flatten)]
    server: ServerArguments,
}

/// The data of the demonstration.
struct Stage {
    workspace: WorkspaceId,
    address: String,
    key_file: PathBuf,
    key: PrivateKey,
}

impl Demo {
    pub(crate) async fn run(self) -> Outcome {
        log::start("warn,sqlx=error")?;
        let running = Running::start(&Configuration::read(&self.server)?, None).await?;
        let stop = stop_signal()?;
        running.print_line()?;
        let (app, url) = (Arc::clone(&running.app), running.url.clone());
        let directory = running.directory.clone();
        let failed = Arc::new(Notify::new());
        let give_up = Arc::clone(&failed);
        let server = tokio::spawn(running.serve(async move {
            tokio::select! {
                () = stop => {}
                () = give_up.notified() => {}
            }
        }));
        let shown = demonstrate(&app, &url, &directory).await;
        if shown.is_err() {
            failed.notify_one();
        }
        let stopped = server.await.map_err(|error| Failure::new(format!("the server ended early: {error}")))?;
        shown.and(stopped)
    }
}

async fn demonstrate(app: &Arc<App>, url: &str, directory: &DataDirectory) -> Outcome {
    let stage = set_up(app, &Caller::host(), directory).await?;
    let key_file = shell_word(&stage.key_file.display().to_string());
    output::line(format!(
        "workspace {WORKSPACE}, its admin {ADMIN}, its service account {}\nthe account's private key is in \
         {key_file}; the server has only the public key\n",
        stage.address
    ))?;

    let client = Client::new(ClientOptions::new(url, Signer::new(&stage.key, Profile::Native)?))?;
    let me: api::Me = client.get("/api/v1/me").await?;
    let fingerprint = stage.key.fingerprint();
    output::line(format!("accepted: GET /api/v1/me, signed by {fingerprint}: {}", me.principal.email))?;

    let reason = send_tampered(app, &client, url, &stage).await?;
    output::line(format!("refused: POST /api/v1/workspaces/…/projects, its body changed after signing: {reason}"))?;
    print_what_next(url, directory, &stage.key_file)
}

/// Sends a signed request whose body was changed after signing, and reads the reason for its refusal from the audit
/// log.
async fn send_tampered(app: &App, client: &Client, url: &str, stage: &Stage) -> Outcome<String> {
    let mut request = Request::new(br#"{"title": "What was signed"}"#.to_vec());
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let projects = format!("{url}/api/v1/workspaces/{}/projects", stage.workspace);
    let (mut request, _) = client.sign(&projects, request)?;
    *request.body_mut() = br#"{"title": "What was sent!!!"}"#.to_vec();
    let response = client.send_as_is(&request).await?;
    if response.status != http::StatusCode::UNAUTHORIZED {
        return Err(Failure::new(format!("a tampered request was answered {}: please report this", response.status)));
    }
    app.write_records().await?;
    let filter = AuditFilter { action: Some("request.refuse".to_owned()), ..Default::default() };
    let latest = Paging { after: None, limit: Some(1) };
    let events = app.list_audit_events(&Caller::host(), stage.workspace, &filter, &latest).await?;
    let event = events.items.first().and_then(|event| event.detail.get("reason").cloned());
    event.ok_or_else(|| Failure::new("the audit log does not contain the refusal: please report this"))
}

fn print_what_next(url: &str, directory: &DataDirectory, key_file: &Path) -> Outcome {
    let program = program();
    let python_path = key_file.display().to_string();
    let key_file = shell_word(&python_path);
    let password = match fs::read_to_string(directory.file(PASSWORD_FILE)?) {
        Ok(password) => format!("\n  {url}   the pages; sign in as {ADMIN} with the password {}", password.trim()),
        // A user who has changed the password may have removed the file.
        Err(error) if error.kind() == ErrorKind::NotFound => format!("\n  {url}   the pages"),
        Err(error) => return Err(Failure::new(format!("{PASSWORD_FILE} cannot be read ({error})"))),
    };
    let data = shell_word(&directory.path().display().to_string());
    output::line(format!(
        "
Look:{password}
  {url}/api/v1/openapi.json   the API
  {program} audit list --data {data}   what was done, and what was refused

Try, in another terminal:
  {program} whoami --url {url} --key {key_file}
  {program} request GET {url}/api/v1/me --key {key_file} -i
  {program} admin add-key --data {data} --user {ADMIN} --title mine --public-key-file ~/.ssh/id_ed25519.pub

From Python, with the Encord SDK as it is (pip install encord):
  from encord import EncordUserClient
  client = EncordUserClient.create_with_ssh_private_key(ssh_private_key_path={python_path:?}, domain={url:?})
  print(client.get_bearer_token())

Ctrl-C stops the server; `{program} demo --data {data}` continues with the same data.",
    ))
}

/// Creates the objects that do not exist yet.
async fn set_up(app: &Arc<App>, host: &Caller, directory: &DataDirectory) -> Outcome<Stage> {
    if or_none(app.find_user_by_email(host, ADMIN).await)?.is_none() {
        let create = api::CreateUser {
            email: ADMIN.to_owned(),
            name: "Demo Admin".to_owned(),
            password: Some(find_or_make_password(&directory.file(PASSWORD_FILE)?)?),
            // The demo's only user must be able to see every page.
            operator: true,
        };
        app.create_user(host, create).await?;
    }
    let workspace = match or_none(app.find_workspace_by_slug(host, WORKSPACE).await)? {
        Some(workspace) => workspace.id,
        None => {
            let create = api::CreateWorkspace {
                name: "Demo".to_owned(),
                slug: WORKSPACE.to_owned(),
                admin_email: Some(ADMIN.to_owned()),
            };
            let workspace = app.create_workspace(host, create).await?.workspace.id;
            // The reader creates service accounts beside the demo's own.
            let quotas = api::UpdateQuotas { service_accounts: Some(SERVICE_ACCOUNTS), ..Default::default() };
            app.update_quotas(host, workspace, quotas).await?;
            workspace
        }
    };
    let accounts = all_pages(async |paging| {
        Ok(app.list_service_accounts(host, workspace, &AccountSearch::default(), &paging).await?)
    })
    .await?
    .items;
    let account = match accounts.into_iter().find(|account| account.name == ACCOUNT) {
        Some(account) => account,
        None => {
            let create = api::CreateServiceAccount {
                name: Some(ACCOUNT.to_owned()),
                display_name: None,
                description: "Signs the requests of `keyward demo`".to_owned(),
                role: None,
            };
            app.create_service_account(host, workspace, &create).await?.into_inner()
        }
    };
    let (key_file, key) = find_or_make_key(app, host, workspace, account.id, directory).await?;
    Ok(Stage { workspace, address: account.email, key_file, key })
}

/// Returns the password in the file, or writes a new one into it.
fn find_or_make_password(file: &Path) -> Outcome<String> {
    let unusable = |error| Failure::new(format!("{} cannot be used ({error})", file.display()));
    match fs::read_to_string(file) {
        Ok(password) => return Ok(password.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(error)),
    }
    let mut bytes = [0; 20];
    SystemRandom.fill(&mut bytes);
    // Characters that are hard to confuse, with 100 bits in total.
    let letters = b"abcdefghjkmnpqrstuvwxyz123456789";
    let password: String = bytes.iter().map(|byte| char::from(letters[usize::from(byte % 32)])).collect();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).and_then(|mut file| writeln!(file, "{password}")).map_err(unusable)?;
    Ok(password)
}

/// Returns the first key file that works, or a new one. Files of revoked keys are kept.
async fn find_or_make_key(
    app: &Arc<App>,
    host: &Caller,
    workspace: WorkspaceId,
    account: ServiceAccountId,
    directory: &DataDirectory,
) -> Outcome<(PathBuf, PrivateKey)> {
    let owner = KeyOwner::ServiceAccount(workspace, account);
    let registered = all_pages(async |paging| Ok(app.list_api_keys(host, owner, &paging).await?)).await?.items;
    let mut number = 1;
    loop {
        let name = if number == 1 { format!("{ACCOUNT}.key") } else { format!("{ACCOUNT}-{number}.key") };
        let file = directory.file(&name)?;
        number += 1;
        let is_there = file.try_exists().map_err(|e| Failure::new(format!("{}: {e}", file.display())))?;
        if !is_there {
            generate_key_pair(&SystemRandom, ACCOUNT).write_key_pair(&file)?;
        }
        let key = PrivateKey::from_file(&file)?;
        match registered.iter().find(|known| known.fingerprint == key.fingerprint()) {
            Some(known) if known.state == api::KeyState::Active => return Ok((file, key)),
            Some(_) => continue,
            None => {}
        }
        let (id, challenge) = app.create_proof_challenge_for(host, owner).await?.into_inner();
        let create = api::CreateApiKey {
            title: "keyward demo".to_owned(),
            public_key: key.public_openssh(),
            expires_at: None,
            proof: Some(sign_proof(&key, &id.to_string(), &challenge)?),
            limits: None,
        };
        match app.create_api_key(host, owner, &create).await {
            Ok(_) => return Ok((file, key)),
            Err(ChangeError {
                error:
                    AppError::Conflict(
                        Conflict::DuplicateKey { .. }
                        | Conflict::BlockedKey { .. }
                        | Conflict::KeyUseUnconfirmed { .. },
                    ),
                ..
            }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn or_none<T>(found: Result<T, AppError>) -> Outcome<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(AppError::Denied(Denied::NotFound)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
