//! Registration of a key: a key pair that the browser generates, or a pasted public key.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use domain::{ApiKeyId, PrincipalId, PublicKey, proof::proof_message, secret::is_private_key};
use http::StatusCode;
use serde::Deserialize;

use super::{
    KeyPages, LimitFields, OwnerLink,
    limits::{LimitsForm, at_fields, find_fields},
    preset::expiry,
};
use crate::{
    App, AppError,
    app::KeyOwner,
    error::Conflict,
    ui::{
        extract::{AllFields, Form},
        notice::Notice,
        page::{self, FormErrors, PageError, Shell, support_contact},
    },
};

#[derive(Template)]
#[template(path = "api_key_new.html")]
struct NewKey {
    shell: Shell,
    errors: FormErrors,
    list: String,
    base: String,
    owner: Option<OwnerLink>,
    /// Whether the way to paste a public key is shown first.
    pastes: bool,
    count: api::KeyCount,
    contact: String,
    owner_disabled: bool,
    needs_password: bool,
    public_url: String,
    typed: KeyForm,
    limits: LimitFields,
    /// The challenge to prove and reclaim a key that another principal registered.
    challenge: Option<Challenge>,
    /// The page of the conflicting key, if the user may see it.
    existing: Option<String>,
}

impl NewKey {
    /// Returns whether the user owns the key. A user's key is downloaded when it is generated, and a service account's
    /// key when it is added.
    fn is_own(&self) -> bool {
        self.owner.is_none()
    }

    fn is_full(&self) -> bool {
        self.count.live >= u64::from(self.count.limit)
    }

    /// Returns the user that generates the key. Another user may be signed in when it is added.
    fn account(&self) -> &str {
        self.shell.account.as_ref().map_or("", |account| &account.email)
    }
}

/// The text that a proof signs, and the command for it.
struct Challenge {
    /// A shell command that prints the proof.
    command: String,
}

/// Creates a challenge for the script that generates a key pair. The script signs a proof with it before the key is
/// added.
pub(super) async fn create_challenge(State(app): State<Arc<App>>, at: KeyPages) -> Result<Response, PageError> {
    let (owner, challenge) = app.create_proof_challenge_for(&at.caller, at.owner).await?.into_inner();
    let parts = serde_json::json!({
        "namespace": challenge.namespace,
        "public_url": challenge.public_url,
        "owner": owner.to_string(),
        "challenge": challenge.challenge,
    });
    Ok((StatusCode::CREATED, axum::Json(parts)).into_response())
}

impl Challenge {
    /// Creates a challenge that is valid for five minutes.
    async fn create(app: &Arc<App>, at: &KeyPages, fingerprint: &str) -> Result<Option<Self>, AppError> {
        let Ok(fingerprint) = fingerprint.parse() else { return Ok(None) };
        let (owner, challenge) = app.create_proof_challenge_for(&at.caller, at.owner).await?.into_inner();
        let message = proof_message(&challenge.public_url, &owner.to_string(), &fingerprint, &challenge.challenge);
        let message = message.replace('\n', "\\n");
        let namespace = challenge.namespace;
        Ok(Some(Self { command: format!("printf '{message}' | ssh-keygen -Y sign -n {namespace} -f ~/.ssh/keyward") }))
    }
}

/// Returns the page of a key that is already registered, if the caller may see it.
fn place_of((key, owner): (ApiKeyId, PrincipalId), at: &KeyPages) -> Option<String> {
    if at.caller.principal().id() == Some(owner) {
        return Some(format!("/profile/api-keys/{key}"));
    }
    let PrincipalId::ServiceAccount(account) = owner else { return None };
    at.within.as_ref().map(|within| within.path(&format!("service-accounts/{account}/keys/{key}")))
}

async fn new_key(app: &Arc<App>, at: &KeyPages, limits: &LimitsForm) -> Result<NewKey, PageError> {
    let owner = app.find_key_owner_details(&at.caller, at.owner).await?;
    let needs_password = at.caller.principal().require_recent_password(app.now()).is_err();
    Ok(NewKey {
        shell: at.shell(if at.owner == KeyOwner::Own { "New Key" } else { "New API key" }),
        errors: FormErrors::default(),
        list: at.list.clone(),
        base: at.base.clone(),
        owner: at.owner_link(&owner),
        pastes: false,
        owner_disabled: owner.is_disabled(),
        count: owner.keys,
        contact: support_contact(app),
        needs_password,
        public_url: app.settings().public_url.clone(),
        typed: KeyForm::default(),
        limits: find_fields(app, at, limits).await?,
        challenge: None,
        existing: None,
    })
}

/// The way that the page shows first.
#[derive(Deserialize)]
pub(super) struct Way {
    #[serde(default)]
    way: String,
}

/// Shows the page. If a script requests it because its page is older than the session, only the changed values are
/// returned.
pub(super) async fn show_new(
    State(app): State<Arc<App>>,
    at: KeyPages,
    Query(way): Query<Way>,
) -> Result<Response, PageError> {
    let page = NewKey { pastes: way.way == "paste", ..new_key(&app, &at, &LimitsForm::default()).await? };
    if at.context.wants_json {
        let fresh = serde_json::json!({
            "csrf": page.shell.csrf,
            "account": page.account(),
            "needs_password": page.needs_password,
        });
        return Ok(axum::Json(fresh).into_response());
    }
    Ok(page::render(StatusCode::OK, &page))
}

#[derive(Default, Deserialize)]
pub(super) struct KeyForm {
    title: String,
    public_key: String,
    #[serde(default)]
    expires_in: String,
    #[serde(default)]
    expires: String,
    #[serde(default)]
    proof: String,
}

impl KeyForm {
    /// Returns the choice of the expiry to show.
    fn preset(&self) -> &str {
        match (self.expires_in.as_str(), self.expires.is_empty()) {
            ("", true) => "365",
            ("", false) => "date",
            (chosen, _) => chosen,
        }
    }
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    at: KeyPages,
    Form(form): Form<KeyForm>,
    AllFields(fields): AllFields,
) -> Result<Response, PageError> {
    let limits_form = LimitsForm::default().with(&fields);
    let created = match both(expiry(&form.expires_in, &form.expires, app.now()), limits_form.limits()) {
        Ok((expires_at, limits)) => {
            let (title, public_key) = (form.title.clone(), form.public_key.clone());
            let proof = (!form.proof.trim().is_empty()).then(|| form.proof.clone());
            let create = api::CreateApiKey { title, public_key, expires_at, proof, limits };
            app.create_api_key(&at.caller, at.owner, &create).await
        }
        Err(error) => Err(error.into()),
    };
    match created {
        Ok(key) if at.context.wants_json => Ok((StatusCode::CREATED, axum::Json(key.into_inner())).into_response()),
        Ok(key) => {
            let path = format!("{}/{}", at.base, key.id);
            let notice = Notice::say("Key ").link(&key.title, path.clone()).text(" was added.");
            Ok(page::redirect_after(&key, &path, notice))
        }
        Err(error) if at.context.wants_json => Err(error.into()),
        Err(error) => refuse(&app, &at, (form, &limits_form), error.into()).await,
    }
}

/// Returns both values, or what is wrong with any of them.
fn both<A, B>(first: Result<A, AppError>, second: Result<B, AppError>) -> Result<(A, B), AppError> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(AppError::Invalid(mut errors)), Err(AppError::Invalid(more))) => {
            errors.extend(more);
            Err(AppError::Invalid(errors))
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Shows the form again with its errors and the submitted values.
async fn refuse(
    app: &Arc<App>,
    at: &KeyPages,
    (mut typed, limits): (KeyForm, &LimitsForm),
    error: AppError,
) -> Result<Response, PageError> {
    // A proof is not shown again, because its challenge was used.
    typed.proof.clear();
    // A private key is never sent back, regardless of other errors in the form.
    if is_private_key(&typed.public_key) {
        typed.public_key.clear();
    }
    let mut page = new_key(app, at, limits).await?;
    let errors = match error {
        AppError::Conflict(Conflict::DuplicateKey { fingerprint, registration }) => {
            page.existing = registration.and_then(|registration| place_of(registration, at));
            if page.existing.is_none() {
                page.challenge = Challenge::create(app, at, &fingerprint.to_string()).await?;
            }
            let error = Conflict::DuplicateKey { fingerprint, registration };
            FormErrors::of(AppError::Conflict(error))?.all_at_field("public_key")
        }
        AppError::Conflict(conflict @ (Conflict::BlockedKey { .. } | Conflict::KeyUseUnconfirmed { .. })) => {
            FormErrors::of(AppError::Conflict(conflict))?.all_at_field("public_key")
        }
        AppError::Invalid(errors) => {
            if errors.iter().any(|e| e.field == "proof") {
                let key = PublicKey::parse(&typed.public_key).ok();
                if let Some(key) = key {
                    page.challenge = Challenge::create(app, at, &key.key.fingerprint().to_string()).await?;
                }
            }
            at_fields(FormErrors::of(AppError::Invalid(errors))?.at_field("expires_at", "expires"))
        }
        error => FormErrors::of(error)?,
    };
    Ok(page::again(errors, |errors| NewKey { errors, typed, pastes: true, ..page }))
}
