//! The deletion of a service account, and what it affects.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use domain::ServiceAccountId;
use http::StatusCode;

use crate::{
    App,
    app::AccountDeletionPreview,
    ui::{
        confirmation::{Choice, ConfirmationPage, RemoveForm},
        extract::{Form, Ids, InWorkspace},
        notice::Notice,
        page::{self, PageError, Reach},
    },
};

async fn delete_page(app: &App, at: &InWorkspace, id: ServiceAccountId) -> Result<ConfirmationPage, PageError> {
    let AccountDeletionPreview { account, joined, projects, successors } =
        app.preview_service_account_deletion(&at.caller, at.place.id, id).await?;
    let back = at.path(&format!("service-accounts/{id}"));
    let effects = vec![
        match account.keys.live {
            0 => "It has no keys in use.".to_owned(),
            1 => format!("Its key is revoked {}.", Reach::of(app).at_once()),
            live => format!("Its {live} keys are revoked {}.", Reach::of(app).at_once()),
        },
        match joined {
            0 => "It is in no project.".to_owned(),
            1 => "It is removed from 1 project.".to_owned(),
            joined => format!("It is removed from {joined} projects."),
        },
        format!("The address {} is never used again.", account.email),
        "Its entries in the activity log are kept. This cannot be undone.".to_owned(),
    ];
    let shell = at.shell(format!("Delete {}?", account.display_name), "service-accounts");
    Ok(ConfirmationPage {
        action: format!("{back}/delete"),
        button: "Delete service account",
        projects,
        candidates: successors.into_iter().map(Choice::from).collect(),
        ..ConfirmationPage::new(shell, back, effects)
    })
}

pub(super) async fn show_delete(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &delete_page(&app, &at, ids.parse("sa")?).await?))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<RemoveForm>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let account = app.find_service_account(&at.caller, at.place.id, id).await?;
    let done = app.delete_service_account(&at.caller, at.place.id, id, form.successor()).await;
    let keys = match account.keys.live {
        0 => ".".to_owned(),
        1 => ", and its key was revoked.".to_owned(),
        live => format!(", and its {live} keys were revoked."),
    };
    page::answer(
        done,
        |()| at.path("service-accounts"),
        |()| Notice::default().name(&account.display_name).text(format!(" was deleted{keys}")),
        async |errors| Ok(ConfirmationPage { errors, ..delete_page(&app, &at, id).await? }),
    )
    .await
}
