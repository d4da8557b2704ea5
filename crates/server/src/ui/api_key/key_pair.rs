//! The form for a public key: of a key pair that the browser generates, or pasted. The pages of a new key and of a rotation
//! have it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::{ApiKeyId, PrincipalId, PublicKey, proof::proof_message, secret::is_private_key};
use http::StatusCode;
use serde::Deserialize;

use super::KeyPages;
use crate::{
    App, AppError,
    error::Conflict,
    ui::page::{FormErrors, PageError},
};

/// The form on a page.
pub(super) struct KeyPairForm {
    /// The path that the form is sent to.
    pub(super) action: String,
    /// The path to cancel.
    pub(super) back: String,
    /// The prefix of the path of each key of the owner.
    pub(super) base: String,
    /// The key that is rotated.
    pub(super) rotated: Option<ApiKeyId>,
    /// Whether the way to paste a public key is shown first.
    pub(super) pastes: bool,
    /// Whether no key can be added now.
    pub(super) is_blocked: bool,
    pub(super) needs_password: bool,
    pub(super) public_url: String,
    /// The typed public key.
    pub(super) public_key: String,
    /// The challenge to prove and reclaim a key that another principal registered.
    pub(super) challenge: Option<Challenge>,
    /// The page of the conflicting key, if the user may see it.
    pub(super) existing: Option<String>,
}

impl KeyPairForm {
    pub(super) fn new(app: &App, at: &KeyPages) -> Self {
        Self {
            action: at.base.clone(),
            back: at.list.clone(),
            base: at.base.clone(),
            rotated: None,
            pastes: false,
            is_blocked: false,
            needs_password: at.caller.principal().require_recent_password(app.now()).is_err(),
            public_url: app.settings().public_url.clone(),
            public_key: String::new(),
            challenge: None,
            existing: None,
        }
    }

    /// Returns the value of `data-rotates`.
    pub(super) fn rotates(&self) -> String {
        self.rotated.map_or_else(String::new, |key| key.to_string())
    }

    /// Returns the form with the submitted public key, and what is wrong. The errors of the operation's other fields are
    /// still at the names of these fields.
    pub(super) async fn refused(
        self,
        app: &Arc<App>,
        at: &KeyPages,
        public_key: String,
        error: AppError,
    ) -> Result<(Self, FormErrors), PageError> {
        let mut form = Self { pastes: true, public_key, ..self };
        let challenge = async |fingerprint: &str| Challenge::create(app, at, fingerprint).await;
        let errors = match error {
            AppError::Conflict(Conflict::DuplicateKey { fingerprint, registration }) => {
                form.existing = registration.and_then(|registration| place_of(registration, at));
                if form.existing.is_none() {
                    form.challenge = challenge(&fingerprint.to_string()).await?;
                }
                let error = Conflict::DuplicateKey { fingerprint, registration };
                FormErrors::of(AppError::Conflict(error))?.all_at_field("public_key")
            }
            AppError::Conflict(conflict @ (Conflict::BlockedKey { .. } | Conflict::KeyUseUnconfirmed { .. })) => {
                FormErrors::of(AppError::Conflict(conflict))?.all_at_field("public_key")
            }
            AppError::Invalid(errors) => {
                if errors.iter().any(|e| e.field == "proof")
                    && let Ok(key) = PublicKey::parse(&form.public_key)
                {
                    form.challenge = challenge(&key.key.fingerprint().to_string()).await?;
                }
                FormErrors::of(AppError::Invalid(errors))?
            }
            error => FormErrors::of(error)?,
        };
        // A private key is never sent back, regardless of other errors in the form.
        if is_private_key(&form.public_key) {
            form.public_key.clear();
        }
        Ok((form, errors))
    }
}

/// The way that a page shows first.
#[derive(Deserialize)]
pub(super) struct Way {
    #[serde(default)]
    way: String,
}

impl Way {
    pub(super) fn pastes(&self) -> bool {
        self.way == "paste"
    }
}

/// The text that a proof signs, and the command for it.
pub(super) struct Challenge {
    /// A shell command that prints the proof.
    pub(super) command: String,
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
