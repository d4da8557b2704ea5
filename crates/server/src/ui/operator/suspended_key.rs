//! The keys that a restore suspended, and their confirmation.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;

use crate::{
    App, AppError,
    app::{KeysToConfirm, Paging, SuspendedKey},
    ui::{
        confirmation::ConfirmationPage,
        extract::{AllFields, SignedInContext},
        list::{PageQuery, columns},
        notice::Notice,
        page::{self, FormErrors, PageError, Shell},
    },
};

columns! {
    /// The table of suspended keys.
    SuspendedKeyColumn {
        Key: "Key",
        Owner: "Owner",
        Fingerprint: "Fingerprint",
        LastUsed: "Last used",
    }
}

#[derive(Template)]
#[template(path = "operator_suspended_keys.html")]
struct SuspendedKeys {
    shell: Shell,
    errors: FormErrors,
    keys: Vec<SuspendedKey>,
    /// The query of this page.
    here: String,
    next: Option<String>,
}

async fn suspended_keys(
    app: &App,
    signed_in: &SignedInContext,
    after: Option<String>,
) -> Result<SuspendedKeys, PageError> {
    let here = page::query(&[("after", after.as_deref().unwrap_or_default())]);
    let page = app.list_suspended_keys(&signed_in.caller, &Paging { after, limit: None }).await?;
    let shell = Shell::new(Some(&signed_in.context), "Suspended keys", "operator-system");
    Ok(SuspendedKeys { shell, errors: FormErrors::default(), keys: page.items, here, next: page.next })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<PageQuery>,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &suspended_keys(&app, &signed_in, query.after).await?))
}

/// Confirms the selected keys, or all. A form may contain many keys, so it is parsed as pairs.
pub(super) async fn confirm(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<PageQuery>,
    AllFields(fields): AllFields,
) -> Result<Response, PageError> {
    let has = |field: &str| fields.iter().any(|(name, _)| name == field);
    let keys = if has("all") {
        if !has("confirmed") {
            let count = app.count_suspended_keys(&signed_in.caller).await?;
            return Ok(page::render(StatusCode::OK, &confirm_all_page(&signed_in, count)));
        }
        KeysToConfirm::All
    } else {
        let ticked = fields.iter().filter(|(name, _)| name == "key");
        let keys =
            ticked.map(|(_, id)| id.parse().map_err(|_| AppError::not_found())).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            let page = suspended_keys(&app, &signed_in, query.after).await?;
            let errors = FormErrors::at(
                "keys",
                "No key is selected, and nothing was changed. Select the keys to \
                                                 confirm.",
            );
            return Ok(page::again(errors, |errors| SuspendedKeys { errors, ..page }));
        }
        KeysToConfirm::These(keys)
    };
    let done = app.confirm_keys(&signed_in.caller, &keys).await?;
    Ok(page::redirect_after(
        &done,
        "/operator/suspended-keys",
        Notice::say(match done.len() {
            1 => "1 key works again. Requests that it signed before now are still refused.".to_owned(),
            count => format!("{count} keys work again. Requests that they signed before now are still refused."),
        }),
    ))
}

/// Returns the page that asks before all suspended keys are confirmed.
fn confirm_all_page(signed_in: &SignedInContext, count: u64) -> ConfirmationPage {
    let title = if count == 1 { "Confirm 1 key?".to_owned() } else { format!("Confirm {count} keys?") };
    let lines = vec![
        "Every suspended key of the installation is accepted again, also those on other pages of the list.".to_owned(),
        "A key that was revoked after the backup was made is accepted again, too.".to_owned(),
    ];
    let shell = Shell::new(Some(&signed_in.context), title, "operator-system");
    ConfirmationPage {
        button: "Confirm all keys",
        fields: vec![("all", "1".to_owned()), ("confirmed", "1".to_owned())],
        ..ConfirmationPage::new(shell, "/operator/suspended-keys".to_owned(), lines)
    }
}
