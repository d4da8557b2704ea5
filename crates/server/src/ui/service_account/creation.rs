//! The form for a new service account.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use domain::principal::WorkspacePermission;
use http::StatusCode;

use super::{AccountForm, account_domain};
use crate::{
    App, AppError,
    ui::{
        contact::Contact,
        extract::{Form, InWorkspace},
        notice::Notice,
        page::{self, FormErrors, PageError, Shell},
    },
};

#[derive(Template)]
#[template(path = "service_account_form.html")]
struct NewPage {
    shell: Shell,
    errors: FormErrors,
    list: String,
    domain: String,
    /// Empty: the account does not exist yet.
    saved_address: &'static str,
    typed: AccountForm,
    present: u64,
    limit: u64,
    contact: Contact,
}

impl NewPage {
    /// Returns whether another account would exceed the quota.
    fn is_full(&self) -> bool {
        self.present >= self.limit
    }
}

async fn new_page(app: &App, at: &InWorkspace) -> Result<NewPage, PageError> {
    let (present, limit) = app.count_service_accounts(&at.caller, at.place.id).await?;
    let shell = at.shell("Create service account", "service-accounts");
    Ok(NewPage {
        contact: Contact::new(app, &shell),
        shell,
        errors: FormErrors::default(),
        list: at.path("service-accounts"),
        domain: account_domain(app, at),
        saved_address: "",
        typed: AccountForm::default(),
        present,
        limit: limit.into(),
    })
}

pub(super) async fn show_new(State(app): State<Arc<App>>, at: InWorkspace) -> Result<Response, PageError> {
    // A caller who may not create a service account gets the error before filling in the form.
    let principal = at.caller.principal();
    principal.authorize(WorkspacePermission::ManageServiceAccounts, at.place.id).map_err(AppError::from)?;
    Ok(page::render(StatusCode::OK, &new_page(&app, &at).await?))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Form(form): Form<AccountForm>,
) -> Result<Response, PageError> {
    let typed = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    // An empty name is made from the display name. If both are empty, the display name is the one to enter.
    let name = typed(&form.name);
    let display_name = if name.is_some() { typed(&form.display_name) } else { form.display_name.clone() };
    let create = api::CreateServiceAccount {
        name,
        display_name,
        description: form.description.clone().unwrap_or_default(),
        role: form.role,
    };
    let done = app.create_service_account(&at.caller, at.place.id, &create).await;
    let path = |account: &api::ServiceAccount| at.path(&format!("service-accounts/{}", account.id));
    page::answer(
        done,
        path,
        |account| {
            Notice::default().link(&account.display_name, path(account)).text(" was created. Add its first API key.")
        },
        async |errors| Ok(NewPage { errors, typed: form.clone(), ..new_page(&app, &at).await? }),
    )
    .await
}
