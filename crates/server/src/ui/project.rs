//! Projects of a workspace: the list, a project, and its members.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{
    PrincipalId, ProjectId,
    list::{ProjectFilter, ProjectOrder, Search},
    role::ProjectRole,
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    confirmation::{Choice, ConfirmationPage, RemoveForm},
    csv::{Csv, MAX_ROWS},
    extract::{Form, Ids, InWorkspace},
    list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{Candidate, ListedProject},
    error::Conflict,
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/projects", list)
        .post("/w/{slug}/projects", create)
        .get("/w/{slug}/projects/new", show_new)
        .get("/w/{slug}/projects/{prj}", show)
        .post("/w/{slug}/projects/{prj}", edit)
        .get("/w/{slug}/projects/{prj}/delete", show_delete)
        .post("/w/{slug}/projects/{prj}/delete", delete)
        .post("/w/{slug}/projects/{prj}/members", set_member)
        .get("/w/{slug}/projects/{prj}/members/{principal}/remove", show_remove)
        .post("/w/{slug}/projects/{prj}/members/{principal}/remove", remove)
}

columns! {
    /// The table of projects.
    ProjectColumn {
        Title: "Title" by "title",
        Role: "Your role",
        Created: "Created" class "mid" by "-created",
        Changed: "Changed" by "-updated",
    }
}

columns! {
    /// The table of a project's members.
    ProjectMemberColumn {
        Name: "Name",
        Role: "Role",
        Actions: hidden "Actions",
    }
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectList {
    shell: Shell,
    base: String,
    list: ListHead,
    projects: Vec<ListedProject>,
}

const WORDS: ListWords = ListWords {
    find: "Find a project by title or description",
    sorts: &[
        ("-updated", "Latest change"),
        ("-created", "Newest first"),
        ("created", "Oldest first"),
        ("title", "Title"),
    ],
    sort: "-updated",
};

impl Labels for ProjectFilter {
    fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Joined => "Yours",
            Self::NotJoined => "You are not a member",
        }
    }
}

async fn list(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    let search = query.search(WORDS.sort);
    if query.is_csv() {
        return export(&app, &at, &search).await;
    }
    let found = app.look_through_projects(&at.caller, at.place.id, &search, &query.place()).await?;
    let page = ProjectList {
        shell: at.shell("Projects", "projects"),
        base: at.path("projects"),
        list: ListHead::new::<ProjectFilter, _>(at.path("projects"), query, &WORDS, &found),
        projects: found.items,
    };
    Ok(page::render(StatusCode::OK, &page))
}

async fn export(
    app: &App,
    at: &InWorkspace,
    search: &Search<ProjectOrder, ProjectFilter>,
) -> Result<Response, PageError> {
    let mut all = AllPages::new(MAX_ROWS);
    while let Some(paging) = all.next() {
        all.add(app.list_projects(&at.caller, at.place.id, search, &paging).await?);
    }
    let mut csv = Csv::new(&["id", "title", "description", "role", "created_by", "created_at", "updated_at"]);
    for project in all.into_rows() {
        csv.row([
            project.id.to_string(),
            project.title,
            project.description,
            project.role.map_or_else(String::new, |role| role.to_string()),
            project.created_by,
            project.created_at.to_string(),
            project.updated_at.to_string(),
        ]);
    }
    Ok(csv.into_file("projects.csv"))
}

#[derive(Template)]
#[template(path = "project_new.html")]
struct NewProject {
    shell: Shell,
    errors: FormErrors,
    base: String,
    typed: ProjectForm,
}

fn new_page(at: &InWorkspace, errors: FormErrors, typed: ProjectForm) -> NewProject {
    NewProject { shell: at.shell("Create project", "projects"), errors, base: at.path("projects"), typed }
}

async fn show_new(at: InWorkspace) -> Response {
    page::render(StatusCode::OK, &new_page(&at, FormErrors::default(), ProjectForm::default()))
}

/// The form of a project. A field that is missing from the form is `None` and changes nothing.
#[derive(Default, Deserialize)]
struct ProjectForm {
    title: Option<String>,
    description: Option<String>,
}

impl ProjectForm {
    /// Returns the content of the fields: the submitted text, or the value in `saved`.
    fn or(self, saved: Self) -> Self {
        Self { title: self.title.or(saved.title), description: self.description.or(saved.description) }
    }
}

async fn create(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Form(form): Form<ProjectForm>,
) -> Result<Response, PageError> {
    let create = api::CreateProject {
        title: form.title.clone().unwrap_or_default(),
        description: form.description.clone().unwrap_or_default(),
    };
    let done = app.create_project(&at.caller, at.place.id, &create).await;
    page::answer(
        done,
        |project| at.path(&format!("projects/{}", project.id)),
        |project| Notice::say("Project ").name(&project.title).text(" was created. You are its admin."),
        async |errors| Ok(new_page(&at, errors, form)),
    )
    .await
}

#[derive(Template)]
#[template(path = "project.html")]
struct ProjectPage {
    shell: Shell,
    errors: FormErrors,
    list: String,
    base: String,
    project: api::Project,
    creator: String,
    typed: ProjectForm,
    members: Vec<api::ProjectMember>,
    people: Vec<Choice>,
    service_accounts: Vec<Choice>,
    own: String,
    may_edit: bool,
    may_manage: bool,
    may_join: bool,
}

async fn project_page(app: &App, at: &InWorkspace, id: ProjectId) -> Result<ProjectPage, PageError> {
    let details = app.find_project_details(&at.caller, at.place.id, id).await?;
    let (project, members) = (details.project, details.members);
    let is_member = |candidate: &Candidate| members.iter().any(|member| member.id == candidate.id.to_string());
    let others = details.candidates.into_iter().filter(|candidate| !is_member(candidate));
    let (people, service_accounts): (Vec<_>, Vec<_>) =
        others.partition(|candidate| matches!(candidate.id, PrincipalId::User(_)));
    let list = at.path("projects");
    Ok(ProjectPage {
        shell: at.shell(project.title.clone(), "projects"),
        errors: FormErrors::default(),
        base: format!("{list}/{id}"),
        list,
        creator: details.creator_email.unwrap_or_else(|| project.created_by.clone()),
        typed: ProjectForm { title: Some(project.title.clone()), description: Some(project.description.clone()) },
        members,
        people: people.into_iter().map(Choice::from).collect(),
        service_accounts: service_accounts.into_iter().map(Choice::from).collect(),
        own: at.caller.principal().id().map_or(String::new(), |id| id.to_string()),
        may_edit: details.may_edit,
        may_manage: details.may_manage_members,
        may_join: at.place.is_admin() && project.role != Some(ProjectRole::Admin),
        project,
    })
}

async fn show(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &project_page(&app, &at, ids.parse("prj")?).await?))
}

async fn edit(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<ProjectForm>,
) -> Result<Response, PageError> {
    let id: ProjectId = ids.parse("prj")?;
    let update = api::UpdateProject { title: form.title.clone(), description: form.description.clone() };
    let done = app.update_project(&at.caller, at.place.id, id, &update).await;
    page::answer(
        done,
        |_| at.path(&format!("projects/{id}")),
        |project| Notice::say("Project ").name(&project.title).text(" was changed."),
        async |errors| {
            let page = project_page(&app, &at, id).await?;
            Ok(ProjectPage { errors, typed: form.or(page.typed), ..page })
        },
    )
    .await
}

#[derive(Deserialize)]
struct MemberForm {
    principal: PrincipalId,
    role: ProjectRole,
    #[serde(default)]
    successor: Option<PrincipalId>,
}

async fn set_member(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<MemberForm>,
) -> Result<Response, PageError> {
    let id: ProjectId = ids.parse("prj")?;
    let set = api::SetProjectMember { role: form.role };
    match app.set_project_member(&at.caller, at.place.id, id, form.principal, &set, form.successor).await {
        Ok(done) => {
            let text = format!(" is now {} of the project.", with_article(done.role));
            let notice = Notice::say("").name(&done.name).text(text);
            Ok(page::redirect_after(&done, &at.path(&format!("projects/{id}")), notice))
        }
        Err(error) => {
            let errors = match error.error {
                AppError::Conflict(Conflict::SuccessorRequired(_)) => {
                    FormErrors::say(409, "This is the only admin of the project. Make another member an admin first.")
                }
                error => FormErrors::of(error)?,
            };
            let page = project_page(&app, &at, id).await?;
            Ok(page::again(errors, |errors| ProjectPage { errors, ..page }))
        }
    }
}

/// Returns the words of a role in a project.
pub(super) const fn project_role_words(role: ProjectRole) -> &'static str {
    match role {
        ProjectRole::Viewer => "Viewer",
        ProjectRole::Editor => "Editor",
        ProjectRole::Admin => "Admin",
    }
}

const fn with_article(role: ProjectRole) -> &'static str {
    match role {
        ProjectRole::Viewer => "a viewer",
        ProjectRole::Editor => "an editor",
        ProjectRole::Admin => "an admin",
    }
}

async fn delete_page(app: &App, at: &InWorkspace, id: ProjectId) -> Result<ConfirmationPage, PageError> {
    let project = app.find_project_to_delete(&at.caller, at.place.id, id).await?;
    let back = at.path(&format!("projects/{id}"));
    let shell = at.shell(format!("Delete {}?", project.title), "projects");
    let effects = vec![
        "The project and all roles in it are deleted. This cannot be undone.".to_owned(),
        "Requests for the project are refused as soon as it is deleted.".to_owned(),
    ];
    Ok(ConfirmationPage {
        action: format!("{back}/delete"),
        button: "Delete project",
        ..ConfirmationPage::new(shell, back, effects)
    })
}

async fn show_delete(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &delete_page(&app, &at, ids.parse("prj")?).await?))
}

async fn delete(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let id = ids.parse("prj")?;
    let title = app.find_project_to_delete(&at.caller, at.place.id, id).await?.title;
    let done = app.delete_project(&at.caller, at.place.id, id).await?;
    let notice = Notice::say("Project ").name(&title).text(" was deleted.");
    Ok(page::redirect_after(&done, &at.path("projects"), notice))
}

async fn remove_page(
    app: &App,
    at: &InWorkspace,
    id: ProjectId,
    principal: PrincipalId,
) -> Result<ConfirmationPage, PageError> {
    let details = app.find_project_details(&at.caller, at.place.id, id).await?;
    let (project, own) = (details.project, principal.to_string());
    let member = details.members.iter().find(|member| member.id == own).ok_or(AppError::not_found())?;
    let admins = details.members.iter().filter(|member| member.role == ProjectRole::Admin).count();
    let is_last = member.role == ProjectRole::Admin && admins == 1;
    let leaves = at.caller.principal().id() == Some(principal);
    let candidates = details.candidates.into_iter().filter(|candidate| is_last && candidate.id != principal);
    let back = at.path(&format!("projects/{id}"));
    let shell = at.shell(
        if leaves {
            format!("Leave {}?", project.title)
        } else {
            format!("Remove {} from {}?", member.name, project.title)
        },
        "projects",
    );
    let effects = vec![if leaves {
        "You lose access to this project. An admin of it can add you again.".to_owned()
    } else {
        format!("{} loses access to this project.", member.email)
    }];
    Ok(ConfirmationPage {
        action: format!("{back}/members/{own}/remove"),
        button: if leaves { "Leave project" } else { "Remove from project" },
        projects: if is_last { vec![project.title.clone()] } else { Vec::new() },
        candidates: candidates.map(Choice::from).collect(),
        ..ConfirmationPage::new(shell, back, effects)
    })
}

async fn show_remove(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let page = remove_page(&app, &at, ids.parse("prj")?, ids.parse("principal")?).await?;
    Ok(page::render(StatusCode::OK, &page))
}

async fn remove(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<RemoveForm>,
) -> Result<Response, PageError> {
    let (id, member): (ProjectId, PrincipalId) = (ids.parse("prj")?, ids.parse("principal")?);
    let leaves = at.caller.principal().id() == Some(member);
    let details = app.find_project_details(&at.caller, at.place.id, id).await?;
    let own = member.to_string();
    let named = details.members.iter().find(|listed| listed.id == own).ok_or(AppError::not_found())?;
    let name = named.name.clone();
    let done = app.delete_project_member(&at.caller, at.place.id, id, member, form.successor()).await;
    let (next, notice) = if leaves {
        ("projects".to_owned(), Notice::say("You have left ").name(&details.project.title).text("."))
    } else {
        (format!("projects/{id}"), Notice::say("").name(&name).text(" was removed from the project."))
    };
    page::answer(
        done,
        |()| at.path(&next),
        |()| notice,
        async |errors| Ok(ConfirmationPage { errors, ..remove_page(&app, &at, id, member).await? }),
    )
    .await
}
