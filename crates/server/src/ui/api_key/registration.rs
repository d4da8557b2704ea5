//! Registration of a key: a key pair that the browser generates, or a pasted public key.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    KeyPages, LimitFields, OwnerLink,
    key_pair::{KeyPairForm, Way},
    limits::{LimitsForm, at_fields, find_fields},
    preset::expiry,
};
use crate::{
    App, AppError,
    app::KeyOwner,
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
    owner: Option<OwnerLink>,
    pair: KeyPairForm,
    count: api::KeyCount,
    contact: String,
    owner_disabled: bool,
    typed: KeyForm,
    limits: LimitFields,
}

async fn new_key(app: &Arc<App>, at: &KeyPages, limits: &LimitsForm) -> Result<NewKey, PageError> {
    let owner = app.find_key_owner_details(&at.caller, at.owner).await?;
    let is_blocked = owner.keys.live >= u64::from(owner.keys.limit);
    Ok(NewKey {
        shell: at.shell(if at.owner == KeyOwner::Own { "New Key" } else { "New API key" }),
        errors: FormErrors::default(),
        owner: at.owner_link(&owner),
        pair: KeyPairForm { is_blocked, ..KeyPairForm::new(app, at) },
        owner_disabled: owner.is_disabled(),
        count: owner.keys,
        contact: support_contact(app),
        typed: KeyForm::default(),
        limits: find_fields(app, at, limits).await?,
    })
}

/// Shows the page. If a script requests it because its page is older than the session, only the changed values are
/// returned.
pub(super) async fn show_new(
    State(app): State<Arc<App>>,
    at: KeyPages,
    Query(way): Query<Way>,
) -> Result<Response, PageError> {
    let mut page = new_key(&app, &at, &LimitsForm::default()).await?;
    page.pair.pastes = way.pastes();
    if at.context.wants_json {
        let fresh = serde_json::json!({
            "csrf": page.shell.csrf,
            "account": page.shell.email(),
            "needs_password": page.pair.needs_password,
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
pub(super) fn both<A, B>(first: Result<A, AppError>, second: Result<B, AppError>) -> Result<(A, B), AppError> {
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
    let page = new_key(app, at, limits).await?;
    let (pair, errors) = page.pair.refused(app, at, std::mem::take(&mut typed.public_key), error).await?;
    let errors = at_fields(errors.at_field("expires_at", "expires"));
    Ok(page::again(errors, |errors| NewKey { errors, pair, typed, ..page }))
}
