//! The page that changes the limits of a key, and the card on the page of the key.

mod form;

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{ApiKeyId, Timestamp};
use http::StatusCode;

pub(in crate::ui) use self::form::LimitFields;
pub(super) use self::form::{LimitsForm, at_fields};
use super::{KeyPages, OwnerLink};
use crate::{
    App, AppError,
    app::{LimitChange, LimitPlaces, LimitProject},
    ui::{
        extract::{AllFields, Ids},
        key_limits::{Line, Named, show_network, show_scopes, show_start},
        notice::Notice,
        page::{self, FormErrors, PageError, Reach, Shell},
    },
};

/// The limits on the page of a key.
#[derive(Default)]
pub(super) struct LimitsCard {
    pub(super) lines: Vec<Line>,
    /// Whether a limit names something that the owner no longer reaches.
    pub(super) has_unreached: bool,
    /// When the key begins to be accepted, if that is in the future.
    pub(super) starts: Option<String>,
}

impl LimitsCard {
    pub(super) async fn read(app: &App, at: &KeyPages, limits: Option<&api::KeyLimits>) -> Result<Self, AppError> {
        let Some(limits) = limits else { return Ok(Self::default()) };
        let places = app.find_limited_places(&at.caller, at.owner, limits).await?;
        Ok(Self::new(limits, &places, app.now()))
    }

    fn new(limits: &api::KeyLimits, places: &LimitPlaces, now: Timestamp) -> Self {
        let api::KeyLimits { scopes, projects, workspaces, cidrs, not_before } = limits;
        let mut lines = Vec::new();
        if let Some(scopes) = scopes {
            lines.push(Line::new("May do", vec![Named::text(show_scopes(scopes))]));
        }
        if projects.is_some() {
            lines.push(Line::new("Projects", places.projects.iter().map(show_project).collect()));
        }
        if workspaces.is_some() {
            let workspace = |workspace: &crate::app::LimitWorkspace| match &workspace.name {
                Some((slug, name)) => Named { name: name.clone(), path: Some(format!("/w/{slug}")), note: "" },
                None => Named { name: workspace.id.to_string(), path: None, note: "not reached" },
            };
            lines.push(Line::new("Workspaces", places.workspaces.iter().map(workspace).collect()));
        }
        if let Some(cidrs) = cidrs {
            lines.push(Line::new("Networks", cidrs.iter().map(|cidr| Named::text(show_network(cidr))).collect()));
        }
        if let Some(start) = not_before {
            lines.push(Line::new("Valid from", vec![Named::text(show_start(*start))]));
        }
        let has_unreached = places.projects.iter().any(|project| !project.is_reached)
            || places.workspaces.iter().any(|workspace| workspace.name.is_none());
        let starts = not_before.filter(|start| *start > now).map(show_start);
        Self { lines, has_unreached, starts }
    }
}

fn show_project(project: &LimitProject) -> Named {
    let note = if project.is_reached { "" } else { "not reached" };
    let name = project.title.clone().unwrap_or_else(|| project.id.to_string());
    let path = project.workspace.as_ref().map(|(slug, _)| format!("/w/{slug}/projects/{}", project.id));
    Named { name, path, note }
}

/// Returns the fields of the form, with what the owner's keys can be limited to.
pub(super) async fn find_fields(app: &App, at: &KeyPages, form: &LimitsForm) -> Result<LimitFields, AppError> {
    let places = app.list_limit_choices(&at.caller, at.owner, form.saved()).await?;
    Ok(LimitFields::new(form, &places, &app.settings().scopes))
}

#[derive(Template)]
#[template(path = "api_key_limits.html")]
struct LimitsPage {
    shell: Shell,
    errors: FormErrors,
    base: String,
    title: String,
    owner: Option<OwnerLink>,
    fields: LimitFields,
    reach: Reach,
}

async fn limits_page(app: &App, at: &KeyPages, key: &api::ApiKey, form: &LimitsForm) -> Result<LimitsPage, PageError> {
    let owner = app.find_key_owner_details(&at.caller, at.owner).await?;
    Ok(LimitsPage {
        shell: at.shell(format!("Limits of {}", key.title)),
        errors: FormErrors::default(),
        base: format!("{}/{}", at.base, key.id),
        title: key.title.clone(),
        owner: at.owner_link(&owner),
        fields: find_fields(app, at, form).await?,
        reach: Reach::of(app),
    })
}

/// Shows the form with the limits of a key.
pub(super) async fn show(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let key = app.find_api_key(&at.caller, at.owner, ids.parse("key")?).await?;
    if key.state == api::KeyState::Revoked {
        return Ok(page::go_to(&format!("{}/{}", at.base, key.id)));
    }
    let form = LimitsForm::of(key.limits.as_ref());
    Ok(page::render(StatusCode::OK, &limits_page(&app, &at, &key, &form).await?))
}

/// Says what a change of limits did.
fn tell_change(notice: Notice, change: LimitChange, reach: Reach) -> Notice {
    match (change.narrows, change.widens) {
        (false, false) => notice.text(" are as they were."),
        (true, false) => notice.text(format!(" were changed. What they no longer allow is refused {}.", reach.now())),
        (false, true) => notice.text(" were changed. It may do more now."),
        (true, true) => notice.text(format!(
            " were changed. It may do more in one way and less in another. What they no longer allow is refused {}.",
            reach.now()
        )),
    }
}

pub(super) async fn edit(
    State(app): State<Arc<App>>,
    at: KeyPages,
    ids: Ids,
    AllFields(fields): AllFields,
) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let before = app.find_api_key(&at.caller, at.owner, id).await?;
    let form = LimitsForm::of(before.limits.as_ref()).with(&fields);
    let saved = match form.limits() {
        Ok(limits) => {
            let update = api::UpdateApiKey { limits: Some(limits), ..api::UpdateApiKey::default() };
            app.update_api_key(&at.caller, at.owner, id, &update).await
        }
        Err(error) => Err(error.into()),
    };
    let base = format!("{}/{id}", at.base);
    match saved {
        Ok(done) => {
            let change = LimitChange::between(before.limits.as_ref(), done.limits.as_ref())?;
            let notice = Notice::say("The limits of ").link(&done.title, base.clone());
            Ok(page::redirect_after(&done, &base, tell_change(notice, change, Reach::of(&app))))
        }
        Err(error) => {
            let errors = at_fields(FormErrors::of(error.error)?);
            let page = limits_page(&app, &at, &before, &form).await?;
            Ok(page::again(errors, |errors| LimitsPage { errors, ..page }))
        }
    }
}
