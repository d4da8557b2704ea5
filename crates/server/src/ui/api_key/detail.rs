//! One key's own page, and what can be changed about it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::ApiKeyId;
use http::StatusCode;
use serde::Deserialize;

use super::{
    KeyPages,
    row::{KeyRow, Surroundings, key_row},
};
use crate::{
    App, AppError,
    app::{Caller, KeyOwner},
    ui::{
        extract::{Form, Ids},
        form::end_of_day,
        notice::Notice,
        page::{self, FormErrors, PageError, Shell},
    },
};

/// Whether the owner of keys is a service account that is disabled: then none of them works.
async fn is_owner_disabled(app: &App, caller: &Caller, owner: KeyOwner) -> Result<bool, AppError> {
    match owner {
        KeyOwner::ServiceAccount(workspace, account) => {
            Ok(app.find_service_account(caller, workspace, account).await?.disabled)
        }
        KeyOwner::Own | KeyOwner::User(_) => Ok(false),
    }
}

#[derive(Template)]
#[template(path = "api_key.html")]
pub(super) struct KeyPage {
    shell: Shell,
    pub(super) errors: FormErrors,
    list: String,
    pub(super) base: String,
    pub(super) key: KeyRow,
    owner_disabled: bool,
    public_url: String,
    typed: EditForm,
}

pub(super) async fn key_page(app: &App, at: &KeyPages, id: ApiKeyId) -> Result<KeyPage, PageError> {
    let key = app.find_api_key(&at.caller, at.owner, id).await?;
    let emails = app.find_emails(&at.caller, &[key.created_by.as_str()]).await?;
    let shell = at.shell(key.title.clone());
    let owner_disabled = is_owner_disabled(app, &at.caller, at.owner).await?;
    let key = key_row(key, &Surroundings { shell: &shell, emails, now: app.now(), owner_disabled });
    Ok(KeyPage {
        shell,
        errors: FormErrors::default(),
        list: at.list.clone(),
        base: format!("{}/{id}", at.base),
        typed: EditForm { title: Some(key.title.clone()), expires: Some(key.expires_on.clone()) },
        key,
        owner_disabled,
        public_url: app.settings().public_url.clone(),
    })
}

/// The page of a key; for a script that waits for its first use, the key alone.
pub(super) async fn show(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    if at.context.wants_json {
        let key = app.find_api_key(&at.caller, at.owner, ids.parse("key")?).await?;
        return Ok(axum::Json(key).into_response());
    }
    Ok(page::render(StatusCode::OK, &key_page(&app, &at, ids.parse("key")?).await?))
}

/// A field that the form does not have is `None` and changes nothing; an empty date removes the expiry.
#[derive(Deserialize)]
pub(super) struct EditForm {
    title: Option<String>,
    expires: Option<String>,
}

impl EditForm {
    /// What is shown in the fields: what was typed, else what `saved` has.
    fn or(self, saved: Self) -> Self {
        Self { title: self.title.or(saved.title), expires: self.expires.or(saved.expires) }
    }
}

pub(super) async fn edit(
    State(app): State<Arc<App>>,
    at: KeyPages,
    ids: Ids,
    Form(form): Form<EditForm>,
) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let page = key_page(&app, &at, id).await?;
    // A date that was not changed keeps its hour.
    let changed = form.expires.as_deref().filter(|date| *date != page.key.expires_on);
    let saved = match changed.map(|date| end_of_day("expires", date)).transpose() {
        Ok(expires_at) => {
            let update = api::UpdateApiKey { title: form.title.clone(), expires_at };
            app.update_api_key(&at.caller, at.owner, id, &update).await
        }
        Err(error) => Err(error.into()),
    };
    let next = page.base.clone();
    page::answer(
        saved,
        |_| next,
        Notice::Saved,
        async |errors| {
            let errors = errors.at_field("expires_at", "expires");
            Ok(KeyPage { errors, typed: form.or(page.typed), ..page })
        },
    )
    .await
}

pub(super) async fn disable(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let done = app.disable_api_key(&at.caller, at.owner, id).await?;
    Ok(page::redirect_after(&done, &format!("{}/{id}", at.base), Notice::Disabled))
}

pub(super) async fn enable(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let done = app.enable_api_key(&at.caller, at.owner, id, &api::EnableApiKey::default()).await;
    page::answer(
        done,
        |_| format!("{}/{id}", at.base),
        Notice::Enabled,
        async |errors| Ok(KeyPage { errors, ..key_page(&app, &at, id).await? }),
    )
    .await
}
