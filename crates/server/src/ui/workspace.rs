//! Workspaces: the list of the user's workspaces, and the general settings of a workspace.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::list::WorkspaceFilter;
use http::StatusCode;
use serde::Deserialize;

use super::{
    confirmation::ConfirmationPage,
    extract::{Form, InWorkspace, SignedInContext},
    list::{ListHead, ListQuery, ListWords, columns},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell, support_contact},
    routes::Pages,
};
use crate::App;

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/workspaces", list)
        .get("/w/{slug}/general", show)
        .post("/w/{slug}/general", rename)
        .get("/w/{slug}/delete", show_delete)
        .post("/w/{slug}/delete", delete)
}

columns! {
    /// The table of the user's workspaces.
    WorkspaceColumn {
        Name: "Name" by "name",
        Slug: "Slug" by "slug",
        Role: "Your role",
    }
}

#[derive(Template)]
#[template(path = "workspaces.html")]
struct Workspaces {
    shell: Shell,
    list: ListHead,
    places: Vec<api::Workspace>,
}

/// The words of a list of workspaces.
const WORDS: ListWords = ListWords {
    find: "Find a workspace by name or slug",
    sorts: &[("name", "Name"), ("slug", "Slug"), ("-created", "Newest first"), ("created", "Oldest first")],
    sort: "name",
};

async fn list(
    State(app): State<Arc<App>>,
    SignedInContext { caller, context }: SignedInContext,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    let found = app.look_through_workspaces(&caller, &query.search(WORDS.sort), &query.place()).await?;
    let list = ListHead::new::<WorkspaceFilter, _>("/workspaces".to_owned(), query, &WORDS, &found).without_file();
    let shell = Shell::new(Some(&context), "Workspaces", "");
    Ok(page::render(StatusCode::OK, &Workspaces { shell, list, places: found.items }))
}

#[derive(Template)]
#[template(path = "general.html")]
struct General {
    shell: Shell,
    errors: FormErrors,
    action: String,
    delete: String,
    /// The page that asks before the user leaves.
    leave: String,
    workspace: api::Workspace,
    typed: RenameForm,
    contact: String,
    is_admin: bool,
}

async fn general(app: &App, at: &InWorkspace) -> Result<General, PageError> {
    let workspace = app.find_workspace(&at.caller, at.place.id).await?;
    Ok(General {
        shell: at.shell("General", "general"),
        errors: FormErrors::default(),
        action: at.path("general"),
        delete: at.path("delete"),
        leave: at.caller.principal().id().map_or_else(String::new, |id| at.path(&format!("members/{id}/remove"))),
        typed: RenameForm { name: Some(workspace.name.clone()) },
        workspace,
        contact: support_contact(app),
        is_admin: at.place.is_admin(),
    })
}

async fn show(State(app): State<Arc<App>>, at: InWorkspace) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &general(&app, &at).await?))
}

/// A field that is missing from the form is `None` and changes nothing.
#[derive(Deserialize)]
struct RenameForm {
    name: Option<String>,
}

impl RenameForm {
    /// Returns the content of the fields: the submitted text, or the value in `saved`.
    fn or(self, saved: Self) -> Self {
        Self { name: self.name.or(saved.name) }
    }
}

async fn rename(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Form(form): Form<RenameForm>,
) -> Result<Response, PageError> {
    let update = api::UpdateWorkspace { name: form.name.clone() };
    let done = app.update_workspace(&at.caller, at.place.id, update).await;
    page::answer(
        done,
        |_| at.path("general"),
        |workspace| Notice::say("The workspace is now called ").name(&workspace.name).text("."),
        async |errors| {
            let page = general(&app, &at).await?;
            Ok(General { errors, typed: form.or(page.typed), ..page })
        },
    )
    .await
}

async fn delete_page(app: &App, at: &InWorkspace) -> Result<ConfirmationPage, PageError> {
    let counts = app.count_in_workspace(&at.caller, at.place.id).await?;
    let number = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let shell = at.shell(format!("Delete {}?", at.place.name), "general");
    let effects = vec![
        format!(
            "{}, {} and {} of service accounts are permanently deleted.",
            number(counts.projects, "project"),
            number(counts.service_accounts, "service account"),
            number(counts.service_account_keys, "live API key"),
        ),
        format!(
            "The keys of its {} lose access to it. Members who are not in another workspace are signed out.",
            number(counts.members, "member")
        ),
        format!("The slug {} is never reused.", at.place.slug),
    ];
    Ok(ConfirmationPage {
        action: at.path("delete"),
        button: "Delete workspace",
        confirm: Some(at.place.slug.clone()),
        ..ConfirmationPage::new(shell, at.path("general"), effects)
    })
}

async fn show_delete(State(app): State<Arc<App>>, at: InWorkspace) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &delete_page(&app, &at).await?))
}

#[derive(Deserialize)]
struct DeleteForm {
    #[serde(default)]
    confirm: String,
}

async fn delete(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Form(form): Form<DeleteForm>,
) -> Result<Response, PageError> {
    if form.confirm.trim() != at.place.slug {
        let page = delete_page(&app, &at).await?;
        let errors = FormErrors::at("confirm", "This is not the slug of the workspace. Nothing was deleted.");
        return Ok(page::again(errors, |errors| ConfirmationPage { errors, ..page }));
    }
    let done = app.delete_workspace(&at.caller, at.place.id).await?;
    Ok(page::redirect_after(&done, "/workspaces", Notice::say("Workspace ").name(&at.place.name).text(" was deleted.")))
}
