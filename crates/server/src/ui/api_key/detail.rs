//! The page of a key, and its changes.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use domain::{ApiKeyId, key_use::UseWindow};
use http::StatusCode;
use serde::Deserialize;

use super::{KeyPages, OwnerLink, limits::LimitsCard, rotation_card::RotationCard, row::KeyRow};
use crate::{
    App,
    app::KeyDetails,
    ui::{
        audit::{self, KeyEvents},
        confirmation::ConfirmationPage,
        extract::{Form, Ids},
        form::end_of_day,
        notice::Notice,
        page::{self, FormErrors, PageError, Reach, Shell},
        use_chart::{UseChart, UseQuery},
    },
};

#[derive(Template)]
#[template(path = "api_key.html")]
struct KeyPage {
    shell: Shell,
    errors: FormErrors,
    base: String,
    key: KeyRow,
    owner: Option<OwnerLink>,
    owner_disabled: bool,
    limits: LimitsCard,
    rotation: RotationCard,
    public_url: String,
    typed: EditForm,
    chart: UseChart,
    /// The title of the key that signed the registration.
    registered_with: Option<String>,
    activity: KeyEvents,
}

impl KeyPage {
    async fn read(app: &App, at: &KeyPages, id: ApiKeyId, window: UseWindow) -> Result<Self, PageError> {
        let details = app.find_key_details(&at.caller, at.owner, id).await?;
        let used = app.find_key_use(&at.caller, at.owner, id, window).await?;
        let KeyDetails { key, creator_email, registered_with, owner, rotations } = &details;
        let (owner_disabled, base) = (owner.is_disabled(), format!("{}/{}", at.base, key.id));
        let shell = at.shell(key.title.clone());
        let place = at.within.as_ref().map(|within| &within.place);
        let activity = audit::find_key_events(app, &at.caller, (at.owner, id), place, &shell).await?;
        let limits = LimitsCard::read(app, at, key.limits.as_ref()).await?;
        let rotation = RotationCard::new(rotations, id, &at.base, &shell);
        let key = KeyRow::new(key, creator_email.as_deref(), owner_disabled, &shell, app.now());
        Ok(Self {
            shell,
            limits,
            rotation,
            errors: FormErrors::default(),
            chart: UseChart::of_key(base.clone(), &used),
            base,
            typed: EditForm { title: Some(key.title.clone()), expires: Some(key.expires_on.clone()) },
            key,
            owner: at.owner_link(owner),
            owner_disabled,
            public_url: app.settings().public_url.clone(),
            registered_with: registered_with.clone(),
            activity,
        })
    }
}

/// Shows the page of a key. A script that waits for its first use only gets the key.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    at: KeyPages,
    ids: Ids,
    Query(query): Query<UseQuery>,
) -> Result<Response, PageError> {
    if at.context.wants_json {
        let key = app.find_api_key(&at.caller, at.owner, ids.parse("key")?).await?;
        return Ok(axum::Json(key).into_response());
    }
    Ok(page::render(StatusCode::OK, &KeyPage::read(&app, &at, ids.parse("key")?, query.window()).await?))
}

/// Shows the page of a key, which says why a change of the key was refused.
pub(super) async fn refuse(app: &App, at: &KeyPages, id: ApiKeyId, errors: FormErrors) -> Result<Response, PageError> {
    let page = KeyPage::read(app, at, id, UseWindow::default()).await?;
    Ok(page::again(errors, |errors| KeyPage { errors, ..page }))
}

/// A field that is missing from the form is `None` and changes nothing. An empty date removes the expiry.
#[derive(Deserialize)]
pub(super) struct EditForm {
    title: Option<String>,
    expires: Option<String>,
}

impl EditForm {
    /// Returns the content of the fields: the submitted text, or the value in `saved`.
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
    let page = KeyPage::read(&app, &at, id, UseWindow::default()).await?;
    // A date that was not changed keeps its time.
    let changed = form.expires.as_deref().filter(|date| *date != page.key.expires_on);
    let saved = match changed.map(|date| end_of_day("expires", date)).transpose() {
        Ok(expires_at) => {
            let update = api::UpdateApiKey { title: form.title.clone(), expires_at, limits: None };
            app.update_api_key(&at.caller, at.owner, id, &update).await
        }
        Err(error) => Err(error.into()),
    };
    let next = page.base.clone();
    page::answer(
        saved,
        |_| next.clone(),
        |key| Notice::say("Key ").link(&key.title, next.clone()).text(" was changed."),
        async |errors| {
            let errors = errors.at_field("expires_at", "expires");
            Ok(KeyPage { errors, typed: form.or(page.typed), ..page })
        },
    )
    .await
}

/// Asks before a key is disabled.
pub(super) async fn show_disable(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let KeyPage { key, base, owner, .. } = KeyPage::read(&app, &at, ids.parse("key")?, UseWindow::default()).await?;
    if !key.status.may_be_disabled() {
        return Ok(page::go_to(&base));
    }
    let used = match (&key.last_used_at, key.last_used_ip.as_str()) {
        (None, _) => "It has not been used yet.".to_owned(),
        (Some(when), "") => format!("It was last used {}.", when.relative),
        (Some(when), address) => format!("It was last used {} from {address}.", when.relative),
    };
    let shell = at.shell(format!("Disable {}?", key.title));
    // Titles repeat, so the page says which key it is.
    let which = match &owner {
        Some(owner) => format!("A key of {}, {}.", owner.name, key.fingerprint),
        None => format!("Your key {}.", key.fingerprint),
    };
    let refused = format!("Its requests are refused {}, until you enable it again.", Reach::of(&app).at_once());
    let lines = vec![which, used, refused];
    let page = ConfirmationPage {
        action: format!("{base}/disable"),
        button: "Disable key",
        ..ConfirmationPage::new(shell, base, lines)
    };
    Ok(page::render(StatusCode::OK, &page))
}

pub(super) async fn disable(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let before = app.find_api_key(&at.caller, at.owner, id).await?;
    let done = app.disable_api_key(&at.caller, at.owner, id).await?;
    let base = format!("{}/{id}", at.base);
    let mut notice =
        Notice::say("Key ").link(&done.title, base.clone()).text(" was disabled. Its requests are refused.");
    if before.state == api::KeyState::Active {
        notice = notice.undo(format!("{base}/enable"), []);
    }
    Ok(page::redirect_after(&done, &base, notice))
}

pub(super) async fn enable(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let done = app.enable_api_key(&at.caller, at.owner, id, &api::EnableApiKey::default()).await;
    page::answer(
        done,
        |_| format!("{}/{id}", at.base),
        |key| Notice::say("Key ").link(&key.title, format!("{}/{id}", at.base)).text(" was enabled."),
        async |errors| Ok(KeyPage { errors, ..KeyPage::read(&app, &at, id, UseWindow::default()).await? }),
    )
    .await
}
