//! The rotation of a key: the page that registers its successor, and the page that undoes it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use domain::{ApiKeyId, rotation::Overlap};
use http::StatusCode;
use serde::Deserialize;

use super::{
    KeyPages, OwnerLink,
    key_pair::{KeyPairForm, Way},
    row::{KeyRow, shorten},
};
use crate::{
    App, AppError,
    app::RotationPreview,
    ui::{
        confirmation::ConfirmationPage,
        extract::{Form, Ids},
        notice::Notice,
        page::{self, FormErrors, PageError, Reach, Shell, When},
    },
};

/// The overlaps to choose from, in seconds, with their labels.
const OVERLAPS: [(u32, &str); 5] =
    [(3600, "In 1 hour"), (86_400, "In 1 day"), (604_800, "In 7 days"), (2_592_000, "In 30 days"), (0, "Now")];

/// The overlap that is chosen first, in seconds.
const FIRST: u32 = 604_800;

/// A choice of the overlap.
struct OverlapChoice {
    value: u32,
    label: &'static str,
    is_chosen: bool,
    /// When the key expires, or `None` if it is revoked at once.
    until: Option<When>,
    /// Whether the key expires then in any case.
    expires_then: bool,
}

#[derive(Template)]
#[template(path = "api_key_rotate.html")]
struct RotatePage {
    shell: Shell,
    errors: FormErrors,
    pair: KeyPairForm,
    title: String,
    /// The path of the key.
    base: String,
    /// The path of the list.
    list: String,
    /// The name of the downloaded file without its ending. It differs from that of the old key.
    stem: String,
    key: KeyRow,
    owner: Option<OwnerLink>,
    owner_disabled: bool,
    /// When the new key expires.
    expires_at: Option<When>,
    expires_day: String,
    choices: Vec<OverlapChoice>,
}

impl RotatePage {
    fn new(app: &App, at: &KeyPages, preview: &RotationPreview, chosen: &str) -> Self {
        let details = &preview.details;
        let (key, id) = (&details.key, details.key.id);
        let shell = at.shell(format!("Rotate {}", key.title));
        let choices = OVERLAPS
            .iter()
            .filter_map(|&(value, label)| {
                let overlap = Overlap::from_seconds(value).ok()?;
                let end = preview.end(overlap);
                Some(OverlapChoice {
                    value,
                    label,
                    is_chosen: value.to_string() == chosen,
                    until: (!overlap.is_none()).then(|| shell.when(&end)),
                    expires_then: key.expires_at == Some(end),
                })
            })
            .collect();
        let base = format!("{}/{id}", at.base);
        Self {
            errors: FormErrors::default(),
            pair: KeyPairForm {
                action: format!("{base}/rotate"),
                back: base.clone(),
                rotated: Some(id),
                ..KeyPairForm::new(app, at)
            },
            title: key.title.clone(),
            base,
            list: at.list.clone(),
            stem: format!("{} {}", key.title, shell.now().strftime("%Y-%m-%d")),
            owner: at.owner_link(&details.owner),
            owner_disabled: details.owner.is_disabled(),
            expires_at: preview.expires_at.as_ref().map(|time| shell.when(time)),
            expires_day: preview.expires_at.map_or_else(String::new, |time| time.strftime("%-d %b %Y").to_string()),
            choices,
            key: KeyRow::new(key, None, details.owner.is_disabled(), &shell, app.now()),
            shell,
        }
    }
}

/// Shows the form. A key that cannot be rotated now has no form, and its page says why.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    at: KeyPages,
    ids: Ids,
    Query(way): Query<Way>,
) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    match app.preview_rotation(&at.caller, at.owner, id).await {
        Ok(preview) => {
            let mut page = RotatePage::new(&app, &at, &preview, &FIRST.to_string());
            page.pair.pastes = way.pastes();
            Ok(page::render(StatusCode::OK, &page))
        }
        Err(AppError::Conflict(_)) => Ok(page::go_to(&format!("{}/{id}", at.base))),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
pub(super) struct RotateForm {
    public_key: String,
    #[serde(default)]
    overlap: String,
    #[serde(default)]
    proof: String,
}

/// Returns the chosen overlap in seconds.
fn parse_overlap(value: &str) -> Result<u32, AppError> {
    let found = OVERLAPS.iter().map(|(seconds, _)| *seconds).find(|seconds| seconds.to_string() == value);
    found.ok_or_else(|| AppError::field("overlap", "malformed", "choose when the old key expires"))
}

pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    at: KeyPages,
    ids: Ids,
    Form(form): Form<RotateForm>,
) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let proof = Some(form.proof).filter(|proof| !proof.trim().is_empty());
    let rotated = match parse_overlap(&form.overlap) {
        Ok(overlap_seconds) => {
            let rotate = api::RotateApiKey { public_key: form.public_key.clone(), overlap_seconds, proof };
            app.rotate_api_key(&at.caller, at.owner, id, &rotate).await
        }
        Err(error) => Err(error.into()),
    };
    match rotated {
        Ok(rotation) if at.context.wants_json => {
            Ok((StatusCode::CREATED, axum::Json(rotation.into_inner())).into_response())
        }
        Ok(rotation) => {
            let path = format!("{}/{}", at.base, rotation.successor.id);
            let end = if rotation.pending {
                format!(". Both keys are accepted until {}.", When::new(rotation.ends_at, app.now()).exact)
            } else {
                format!(", and the old key was revoked. It is refused {}.", Reach::of(&app).now())
            };
            let old = &rotation.predecessor;
            let notice = Notice::say("Key ").link(&old.title, format!("{}/{id}", at.base));
            let notice = notice.text(" was replaced by ").link(&shorten(&rotation.successor.fingerprint), path.clone());
            Ok(page::redirect_after(&rotation, &path, notice.text(end)))
        }
        Err(error) if at.context.wants_json => Err(error.into()),
        Err(error) => {
            let preview = app.preview_rotation(&at.caller, at.owner, id).await;
            let preview = match (preview, error.error) {
                // The key cannot be rotated any longer. Its page says why.
                (Err(AppError::Conflict(_)), error @ AppError::Conflict(_)) => {
                    return super::detail::refuse(&app, &at, id, FormErrors::of(error)?).await;
                }
                (preview, error) => (preview?, error),
            };
            let page = RotatePage::new(&app, &at, &preview.0, &form.overlap);
            let (pair, errors) = page.pair.refused(&app, &at, form.public_key, preview.1).await?;
            let errors = errors.at_field("overlap_seconds", "overlap");
            Ok(page::again(errors, |errors| RotatePage { errors, pair, ..page }))
        }
    }
}

/// Asks before a rotation is undone.
pub(super) async fn show_undo(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let details = app.find_key_details(&at.caller, at.owner, ids.parse("key")?).await?;
    let base = format!("{}/{}", at.base, details.key.id);
    let Some(rotation) = details.rotations.replaced_by.filter(|rotation| rotation.pending) else {
        return Ok(page::go_to(&base));
    };
    let (old, new) = (&rotation.predecessor, &rotation.successor);
    let shell = at.shell(format!("Undo the rotation of {}?", old.title));
    let used = match &new.last_used_at {
        None => "It has not been used.".to_owned(),
        Some(when) => {
            let from = new.last_used_ip.as_ref().map_or_else(String::new, |address| format!(" from {address}"));
            format!("It was last used {}{from}.", shell.when(when).relative)
        }
    };
    let lines = vec![
        format!(
            "The new key {} is revoked. Its requests are refused {}, and it cannot be added again if it was used. {used}",
            new.fingerprint,
            Reach::of(&app).at_once()
        ),
        format!("The old key {} is accepted as before, with the expiry that it had.", old.fingerprint),
    ];
    let page = ConfirmationPage {
        action: format!("{base}/rotate/undo"),
        button: "Undo rotation",
        ..ConfirmationPage::new(shell, base, lines)
    };
    Ok(page::render(StatusCode::OK, &page))
}

pub(super) async fn undo(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let base = format!("{}/{id}", at.base);
    match app.undo_rotation(&at.caller, at.owner, id).await {
        Ok(done) => {
            let key = app.find_api_key(&at.caller, at.owner, id).await?;
            let notice = Notice::say("The rotation of ").link(&key.title, base.clone());
            let notice = notice.text(format!(" was undone. The new key is refused {}.", Reach::of(&app).now()));
            Ok(page::redirect_after(&done, &base, notice))
        }
        Err(error) => super::detail::refuse(&app, &at, id, FormErrors::of(error)?).await,
    }
}
