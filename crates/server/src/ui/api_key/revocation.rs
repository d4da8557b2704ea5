//! Revocation of a key, and of the keys that it registered.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use domain::ApiKeyId;
use http::StatusCode;
use serde::Deserialize;

use super::{KeyPages, OwnerLink, row::KeyRow};
use crate::{
    App,
    app::KeyDetails,
    ui::{
        extract::{Form, Ids},
        notice::Notice,
        page::{self, FormErrors, PageError, Reach, Shell},
    },
};

#[derive(Template)]
#[template(path = "api_key_revoke.html")]
struct RevokePage {
    shell: Shell,
    errors: FormErrors,
    base: String,
    owner: Option<OwnerLink>,
    key: KeyRow,
    /// The successors that it registered for itself, which are revoked with it.
    successors: Vec<api::CascadedKey>,
    /// The keys that can also be revoked.
    cascade: Vec<api::CascadedKey>,
    typed: RevokeForm,
    reach: Reach,
}

async fn revoke_page(app: &App, at: &KeyPages, id: ApiKeyId, typed: RevokeForm) -> Result<RevokePage, PageError> {
    let (KeyDetails { key, creator_email, owner, .. }, cascade) =
        app.preview_revocation(&at.caller, at.owner, id).await?;
    let shell = at.shell(format!("Revoke {}", key.title));
    let key = KeyRow::new(&key, creator_email.as_deref(), owner.is_disabled(), &shell, app.now());
    let (errors, base, owner) = (FormErrors::default(), format!("{}/{id}", at.base), at.owner_link(&owner));
    let (successors, cascade) = cascade.keys.into_iter().partition(|key| key.self_rotated);
    Ok(RevokePage { shell, errors, base, owner, key, successors, cascade, typed, reach: Reach::of(app) })
}

pub(super) async fn show(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let page = revoke_page(&app, &at, ids.parse("key")?, RevokeForm::default()).await?;
    // If it registered keys, there is still something to revoke.
    if page.key.status.is_revoked() && page.cascade.is_empty() && page.successors.is_empty() {
        return Ok(page::go_to(&page.base));
    }
    Ok(page::render(StatusCode::OK, &page))
}

#[derive(Default, Deserialize)]
pub(super) struct RevokeForm {
    #[serde(default)]
    confirm_title: String,
    #[serde(default)]
    cascade: String,
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    at: KeyPages,
    ids: Ids,
    Form(form): Form<RevokeForm>,
) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let cascade = form.cascade == "1";
    let page = revoke_page(&app, &at, id, form).await?;
    if page.key.used_recently && page.typed.confirm_title.trim() != page.key.title {
        let detail = format!("This is not the title of the key. Type it exactly: {}", page.key.title);
        let errors = FormErrors::say(400, &detail).all_at_field("confirm_title");
        return Ok(page::again(errors, |errors| RevokePage { errors, ..page }));
    }
    let done = app.revoke_api_key(&at.caller, at.owner, id, cascade).await?;
    let mut notice = Notice::say("Key ").link(&page.key.title, page.base);
    if let Some(owner) = page.owner {
        notice = notice.text(" of ").link(&owner.name, owner.path);
    }
    let now = page.reach.now();
    let notice = notice.text(match (cascade, page.cascade.len()) {
        (false, _) | (true, 0) => format!(" was revoked. It is refused {now}."),
        (true, 1) => format!(" and the key that was added with it were revoked. They are refused {now}."),
        (true, more) => {
            format!(" and the {more} keys that were added with it were revoked. They are refused {now}.")
        }
    });
    Ok(page::redirect_after(&done, &at.list, notice))
}
