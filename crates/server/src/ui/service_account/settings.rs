//! What is changed of a service account: its settings, its role, and whether it is disabled.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use domain::{ServiceAccountId, Timestamp, principal::WorkspacePermission, role::Role, workspace::Slug};
use http::StatusCode;
use serde::Deserialize;

use super::{AccountForm, AccountView, project_role};
use crate::{
    App, AppError,
    app::{Confirmed, JoinedProject, LastUse, ServiceAccountDetails},
    ui::{
        confirmation::ConfirmationPage,
        extract::{Form, Ids, InWorkspace},
        notice::Notice,
        page::{self, FormErrors, PageError, Reach, Shell},
        use_chart::group_digits,
    },
};

#[derive(Template)]
#[template(path = "service_account_settings.html")]
struct SettingsPage {
    shell: Shell,
    errors: FormErrors,
    view: AccountView,
    /// The present address.
    saved_address: String,
    domain: String,
    typed: AccountForm,
}

async fn settings_page(app: &App, at: &InWorkspace, id: ServiceAccountId) -> Result<SettingsPage, PageError> {
    let view = AccountView::find(app, at, id, "settings").await?;
    Ok(SettingsPage {
        shell: at.shell(format!("Settings of {}", view.account.display_name), "service-accounts"),
        errors: FormErrors::default(),
        saved_address: view.account.email.clone(),
        domain: domain_of(&view.account).to_owned(),
        typed: AccountForm::new(&view.account),
        view,
    })
}

/// Returns the part of an address that the accounts of a workspace have in common.
fn domain_of(account: &api::ServiceAccount) -> &str {
    account.email.split_once('@').map_or("", |(_, domain)| domain)
}

pub(super) async fn show_settings(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &settings_page(&app, &at, ids.parse("sa")?).await?))
}

/// Returns the page that asks before a change of an account. Its form goes to `action`, a path below the account's.
fn confirmation(
    at: &InWorkspace,
    account: &api::ServiceAccount,
    title: String,
    action: &str,
    effects: Vec<String>,
) -> ConfirmationPage {
    let back = at.path(&format!("service-accounts/{}", account.id));
    ConfirmationPage {
        action: format!("{back}/{action}"),
        fields: vec![("confirmed", "1".to_owned())],
        ..ConfirmationPage::new(at.shell(title, "service-accounts"), back, effects)
    }
}

/// Says what an account can do as an admin.
fn about_admin(account: &api::ServiceAccount) -> Vec<String> {
    let holders = match account.keys.live {
        0 => "Each holder of a key that you add can do all of this.".to_owned(),
        1 => "The holder of its key can do all of this at once.".to_owned(),
        live => format!("Each holder of one of its {live} keys can do all of this at once."),
    };
    vec![
        format!(
            "As an admin, {} manages the workspace: it adds and removes people, and sees every project.",
            account.display_name
        ),
        holders,
    ]
}

pub(super) async fn edit(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<AccountForm>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let account = app.find_service_account(&at.caller, at.place.id, id).await?;
    let name = form.name.clone().filter(|name| *name != account.name);
    let role = form.role.filter(|role| *role != account.role);
    // A name that the server refuses is an error of the form, and nothing to confirm.
    let new_address = name.as_ref().filter(|name| name.parse::<Slug>().is_ok());
    let becomes_admin = role == Some(Role::Admin);
    if !form.is_confirmed() && (new_address.is_some() || becomes_admin) {
        return Ok(page::render(StatusCode::OK, &confirm_edit(&at, &account, form, new_address, becomes_admin)));
    }
    let change = api::UpdateServiceAccount {
        display_name: form.display_name.clone(),
        name,
        description: form.description.clone(),
        role,
        disabled: None,
    };
    let done = app.update_service_account(&at.caller, at.place.id, id, &change).await;
    let base = at.path(&format!("service-accounts/{id}"));
    page::answer(
        done,
        |_| format!("{base}/settings"),
        |saved| {
            let notice = Notice::say("The settings of ").link(&saved.display_name, base.clone()).text(" are saved.");
            if saved.email == account.email {
                notice
            } else {
                notice.text(" Its address is ").name(&saved.email).text(".")
            }
        },
        async |errors| {
            let page = settings_page(&app, &at, id).await?;
            Ok(SettingsPage { errors, typed: form.clone().or(page.typed), ..page })
        },
    )
    .await
}

fn confirm_edit(
    at: &InWorkspace,
    account: &api::ServiceAccount,
    form: AccountForm,
    new_name: Option<&String>,
    becomes_admin: bool,
) -> ConfirmationPage {
    let name = &account.display_name;
    let (title, button) = match (new_name, becomes_admin) {
        (Some(_), false) => (format!("Change the address of {name}?"), "Change address"),
        (None, true) => (format!("Make {name} an admin?"), "Make admin"),
        _ => (format!("Save these changes to {name}?"), "Save changes"),
    };
    let mut effects = Vec::new();
    if let Some(new_name) = new_name {
        effects.push(format!("The address {} becomes {new_name}@{}.", account.email, domain_of(account)));
        effects.push(
            "Its keys keep working. APIs behind Keyward see the new address at once, and do not find what they stored \
             under the old one. No other account ever gets the old address."
                .to_owned(),
        );
    }
    if becomes_admin {
        effects.extend(about_admin(account));
    }
    let page = confirmation(at, account, title, "settings", effects);
    let mut page = ConfirmationPage { button, is_safe: true, ..page };
    page.back = format!("{}/settings", page.back);
    let role = form.role.map(|role| ("role", role.as_str().to_owned()));
    let texts = [("display_name", form.display_name), ("name", form.name), ("description", form.description)];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text?)));
    page.fields.extend(texts.chain(role));
    page
}

async fn update(
    app: &Arc<App>,
    at: &InWorkspace,
    ids: &Ids,
    update: api::UpdateServiceAccount,
) -> Result<Confirmed<api::ServiceAccount>, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    Ok(app.update_service_account(&at.caller, at.place.id, id, &update).await?)
}

#[derive(Deserialize)]
pub(super) struct RoleForm {
    role: Role,
    /// `1` once the user has confirmed that the account becomes an admin.
    #[serde(default)]
    confirmed: String,
    /// `list`: the form is in the list, whose query is the one of the request.
    #[serde(default)]
    from: String,
}

pub(super) async fn set_role(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    RawQuery(query): RawQuery,
    Form(form): Form<RoleForm>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let before = app.find_service_account(&at.caller, at.place.id, id).await?;
    if form.role == Role::Admin && before.role != Role::Admin && form.confirmed != "1" {
        let title = format!("Make {} an admin?", before.display_name);
        let mut page = confirmation(&at, &before, title, &format!("role{query}"), about_admin(&before));
        page.fields.extend([("role", form.role.as_str().to_owned()), ("from", form.from.clone())]);
        if form.from == "list" {
            page.back = at.path(&format!("service-accounts{query}"));
        }
        let page = ConfirmationPage { button: "Make admin", is_safe: true, ..page };
        return Ok(page::render(StatusCode::OK, &page));
    }
    let change = api::UpdateServiceAccount { role: Some(form.role), ..api::UpdateServiceAccount::default() };
    let done = update(&app, &at, &ids, change).await?;
    let base = at.path(&format!("service-accounts/{id}"));
    let next = if form.from == "list" { at.path(&format!("service-accounts{query}")) } else { base.clone() };
    let now = if done.role == Role::Admin { " is an admin now." } else { " is a member now." };
    let mut notice = Notice::default().link(&done.display_name, base.clone()).text(now);
    // A demotion may have ended invitations that the account wrote, and an admin is made on a page that asks.
    if done.role == Role::Admin && before.role == Role::Member {
        let undo = [("role", before.role.as_str()), ("from", form.from.as_str())];
        notice = notice.undo(format!("{base}/role{query}"), undo);
    }
    Ok(page::redirect_after(&done, &next, notice))
}

/// Says when the keys of an account were last used, and how much.
fn about_use(last: Option<&LastUse>, accepted: u64, now: Timestamp) -> String {
    let Some(last) = last else { return "Its keys have never been used.".to_owned() };
    let ip_address = last.ip_address.as_ref().map_or_else(String::new, |address| format!(" from {address}"));
    let requests = match accepted {
        0 => "No request was".to_owned(),
        1 => "1 request was".to_owned(),
        many => format!("{} requests were", group_digits(many)),
    };
    format!(
        "It was last used {}{ip_address}. {requests} accepted in the last 7 days.",
        page::When::new(last.at, now).relative
    )
}

/// Says in which projects an account has a role.
fn about_projects(projects: &[JoinedProject]) -> Option<String> {
    const NAMED: usize = 5;
    if projects.is_empty() {
        return None;
    }
    let named = projects.iter().take(NAMED);
    let named: Vec<String> =
        named.map(|project| format!("{} ({})", project.title, project_role(&project.role))).collect();
    let more = match projects.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("Its projects: {}{more}. It keeps its roles there.", named.join(", ")))
}

pub(super) async fn show_disable(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
) -> Result<Response, PageError> {
    let found = app.find_service_account_details(&at.caller, at.place.id, ids.parse("sa")?).await?;
    let ServiceAccountDetails { accepted, account, last_use, projects } = found;
    let principal = at.caller.principal();
    principal.authorize(WorkspacePermission::DisableServiceAccounts, at.place.id).map_err(AppError::from)?;
    let reach = Reach::of(&app);
    let keys = match account.keys.live {
        0 => "It has no keys now.".to_owned(),
        1 => format!("Its key is refused {}.", reach.at_once()),
        live => format!("Its {live} keys are refused {}.", reach.at_once()),
    };
    let title = format!("Disable {}?", account.display_name);
    let used = about_use(last_use.as_ref(), accepted, app.now());
    let mut lines = vec![keys, used, "Programs that use it stop working until you enable it again.".to_owned()];
    lines.extend(about_projects(&projects));
    if account.role == Role::Admin {
        lines.push("The open invitations that it sent are revoked. Enabling it does not bring them back.".to_owned());
    }
    let page = confirmation(&at, &account, title, "disable", lines);
    let page = ConfirmationPage { button: "Disable service account", ..page };
    Ok(page::render(StatusCode::OK, &page))
}

pub(super) async fn disable(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let before = app.find_service_account(&at.caller, at.place.id, ids.parse("sa")?).await?;
    let change = api::UpdateServiceAccount { disabled: Some(true), ..api::UpdateServiceAccount::default() };
    let done = update(&app, &at, &ids, change).await?;
    let base = at.path(&format!("service-accounts/{}", done.id));
    let keys = match done.keys.live {
        0 => String::new(),
        1 => format!(" Its key is refused {}.", Reach::of(&app).now()),
        live => format!(" Its {live} keys are refused {}.", Reach::of(&app).now()),
    };
    let mut notice = Notice::default().link(&done.display_name, base.clone()).text(format!(" is disabled.{keys}"));
    // The invitations of an admin do not come back.
    if !before.disabled && before.role == Role::Member {
        notice = notice.undo(format!("{base}/enable"), []);
    }
    Ok(page::redirect_after(&done, &base, notice))
}

pub(super) async fn enable(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let before = app.find_service_account(&at.caller, at.place.id, ids.parse("sa")?).await?;
    let change = api::UpdateServiceAccount { disabled: Some(false), ..api::UpdateServiceAccount::default() };
    let done = update(&app, &at, &ids, change).await?;
    let base = at.path(&format!("service-accounts/{}", done.id));
    let mut notice = Notice::default().link(&done.display_name, base.clone()).text(" is enabled.");
    if before.disabled {
        notice = notice.undo(format!("{base}/disable"), []);
    }
    Ok(page::redirect_after(&done, &base, notice))
}

#[cfg(test)]
mod tests {
    use domain::{ProjectId, role::ProjectRole};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_use_and_the_projects_of_an_account_are_told() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let last = LastUse { at: now, ip_address: Some("192.0.2.7".to_owned()) };
        assert_eq!(about_use(None, 0, now), "Its keys have never been used.");
        let told = about_use(Some(&last), 1200, now);
        assert!(told.ends_with(" from 192.0.2.7. 1,200 requests were accepted in the last 7 days."), "{told}");
        let project = |number: u8| JoinedProject {
            id: ProjectId::from_uuid(Uuid::from_u128(number.into())),
            title: format!("P{number}"),
            role: ProjectRole::Editor,
        };
        assert_eq!(about_projects(&[]), None);
        let two = about_projects(&[project(1), project(2)]).unwrap();
        assert_eq!(two, "Its projects: P1 (editor), P2 (editor). It keeps its roles there.");
        let seven: Vec<_> = (1..8).map(project).collect();
        assert!(about_projects(&seven).unwrap().contains("P5 (editor) and 2 more."));
    }
}
