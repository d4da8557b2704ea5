//! The search for pages and objects: a page that works without script, and the same results as JSON for the palette in
//! `palette.js`. Each kind of object is read by the operation of its list, so that a user finds what the lists show.

use std::sync::Arc;

use api::{Member, Project, ServiceAccount, User, Workspace};
use askama::Template;
use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use domain::{
    WorkspaceId,
    list::{Choice, KeyFilter, KeyOrder, MAX_SEARCH, Order, Search},
    secret::{Secret, recognise},
    user::show_email,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{
    api_key::KeyStatus,
    extract::{InWorkspace, SignedInContext},
    help,
    page::{self, PageError, Place, Shell},
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{AccountKey, Caller, KeyOwner, KeySearch, Paging},
};

pub(super) fn router() -> Pages {
    Pages::default().get("/search", show).get("/w/{slug}/search", show_in_workspace)
}

/// The maximum number of objects of each kind on the page.
const ON_PAGE: i64 = 20;
/// The maximum number of objects of each kind in the palette.
const IN_PALETTE: i64 = 5;

#[derive(Deserialize)]
struct SearchQuery {
    #[serde(default)]
    q: String,
}

/// A page or an object.
#[derive(Serialize)]
struct Item {
    title: String,
    detail: String,
    /// The class and the words of a state that differs from the usual one.
    state: Option<(&'static str, &'static str)>,
    path: String,
}

/// The results of one kind.
#[derive(Serialize)]
struct Group {
    label: &'static str,
    items: Vec<Item>,
    /// The page with all results of this kind, if there are more.
    more: Option<String>,
}

#[derive(Serialize)]
struct Results {
    groups: Vec<Group>,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    shell: Shell,
    path: String,
    q: String,
    groups: Vec<Group>,
}

impl SearchPage {
    /// The label of the field.
    const FIND: &'static str = "Search for pages, keys, accounts, people and projects";
}

async fn show(
    State(app): State<Arc<App>>,
    SignedInContext { caller, context }: SignedInContext,
    Query(query): Query<SearchQuery>,
) -> Result<Response, PageError> {
    let shell = Shell::new(Some(&context), "Search", "");
    answer(&app, &caller, shell, query, context.wants_json).await
}

async fn show_in_workspace(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<SearchQuery>,
) -> Result<Response, PageError> {
    answer(&app, &at.caller, at.shell("Search", "search"), query, at.context.wants_json).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    shell: Shell,
    query: SearchQuery,
    wants_json: bool,
) -> Result<Response, PageError> {
    let q: String = query.q.trim().replace('\0', "").chars().take(MAX_SEARCH).collect();
    // The page would show it again. Private keys are refused on every page.
    if let Some(secret) = recognise(&query.q).filter(|secret| secret.is_certain()) {
        return Err(secret_typed(secret).into());
    }
    let path = shell.place.as_ref().map_or("/search".to_owned(), |place| format!("{}/search", place.path()));
    let limit = if wants_json { IN_PALETTE } else { ON_PAGE };
    let finder = Finder { app, caller, text: &q, limit };
    let groups = finder.find(&shell).await?;
    if wants_json {
        return Ok(Json(Results { groups }).into_response());
    }
    Ok(page::render(StatusCode::OK, &SearchPage { shell, path, q, groups }))
}

fn secret_typed(secret: Secret) -> AppError {
    let detail = format!(
        "the text contains {secret} and was not searched for; replace the secret if other people may have seen it"
    );
    AppError::field("q", "secret", detail)
}

/// Searches for a text.
struct Finder<'a> {
    app: &'a App,
    caller: &'a Caller,
    text: &'a str,
    /// The maximum number of objects of each kind.
    limit: i64,
}

impl Finder<'_> {
    async fn find(&self, shell: &Shell) -> Result<Vec<Group>, AppError> {
        let mut groups = vec![Group { label: "Pages", items: self.find_pages(shell), more: None }];
        if !self.text.is_empty() {
            if let Some(place) = &shell.place {
                self.find_in_workspace(place, &mut groups).await?;
            }
            groups.push(self.find_own_keys().await?);
        }
        groups.push(self.find_workspaces(shell.place.as_ref()).await?);
        if !self.text.is_empty() && shell.account.as_ref().is_some_and(|account| account.operator) {
            groups.push(self.find_users().await?);
            groups.push(self.find_all_workspaces().await?);
        }
        groups.retain(|group| !group.items.is_empty());
        Ok(groups)
    }

    fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    fn paging(&self) -> Paging {
        Paging { after: None, limit: Some(self.limit) }
    }

    fn search<O: Order, F: Choice>(&self, order: O) -> Search<O, F> {
        Search { text: self.text.to_owned(), order, ..Search::default() }
    }

    /// Creates the group of a page of objects. `list` is the path of their list.
    fn group<T>(&self, label: &'static str, list: &str, found: api::Page<T>, item: impl FnMut(T) -> Item) -> Group {
        let mark = if list.contains('?') { "&" } else { "?" };
        let more = || page::query(&[("q", self.text)]).replacen('?', &format!("{list}{mark}"), 1);
        Group { label, more: found.next.is_some().then(more), items: found.items.into_iter().map(item).collect() }
    }

    fn find_pages(&self, shell: &Shell) -> Vec<Item> {
        let words: Vec<String> = self.text.split_whitespace().map(str::to_lowercase).collect();
        let is_found = |page: &Item, also: &str| {
            let text = format!("{} {} {also}", page.title, page.detail).to_lowercase();
            words.iter().all(|word| text.contains(word))
        };
        list_pages(shell).into_iter().filter(|(page, also)| is_found(page, also)).map(|(page, _)| page).collect()
    }

    async fn find_in_workspace(&self, place: &Place, groups: &mut Vec<Group>) -> Result<(), AppError> {
        let (app, caller, paging) = (self.app, self.caller, self.paging());
        let base = place.path();
        if place.is_admin() {
            let accounts = format!("{base}/service-accounts");
            let search = self.search(domain::list::ServiceAccountOrder::Name);
            let found = app.list_service_accounts(caller, place.id, &search, &paging).await?;
            groups.push(self.group("Service accounts", &accounts, found, |account: ServiceAccount| Item {
                path: format!("{accounts}/{}", account.id),
                title: account.display_name,
                detail: account.email,
                state: disabled(account.disabled),
            }));
            let found = self.find_account_keys(place.id).await?;
            let list = format!("{base}/keys?filter=all");
            groups.push(self.group("Keys of service accounts", &list, found, |AccountKey { key, account }| {
                let path = format!("{accounts}/{}/keys", account.id);
                Item {
                    detail: format!("{}, {}", account.name, key.fingerprint),
                    ..key_item(key, account.disabled, &path)
                }
            }));
        }
        let list = format!("{base}/projects");
        let search = self.search(domain::list::ProjectOrder::Title);
        let found = app.list_projects(caller, place.id, &search, &paging).await?;
        groups.push(self.group("Projects", &list, found, |project: Project| Item {
            path: format!("{list}/{}", project.id),
            title: project.title,
            detail: project.description,
            state: None,
        }));
        let list = format!("{base}/members");
        let search = self.search(domain::list::MemberOrder::Name);
        let found = app.list_members(caller, place.id, &search, &paging).await?;
        groups.push(self.group("Members", &list, found, |member: Member| Item {
            path: format!("{list}{}", page::query(&[("q", &member.email)])),
            title: member.name,
            detail: show_email(&member.email).to_string(),
            state: disabled(member.disabled),
        }));
        Ok(())
    }

    /// Returns the conditions for keys: first those that are neither expired nor revoked, then the others.
    fn key_searches(&self) -> [KeySearch; 2] {
        [KeyFilter::InUse, KeyFilter::Ended].map(|filter| {
            let search = Search { filter, ..self.search(KeyOrder::Title) };
            KeySearch { search, ..KeySearch::default() }
        })
    }

    async fn find_account_keys(&self, workspace: WorkspaceId) -> Result<api::Page<AccountKey>, AppError> {
        let mut keys = Vec::new();
        for search in self.key_searches() {
            if keys.len() <= self.limit() {
                let found = self.app.list_workspace_keys(self.caller, workspace, &search, &self.paging()).await?;
                let (page, _) = found;
                keys.extend(page.items);
                if page.next.is_some() {
                    return Ok(self.first_of(keys, true));
                }
            }
        }
        Ok(self.first_of(keys, false))
    }

    async fn find_own_keys(&self) -> Result<Group, AppError> {
        let (mut keys, mut has_more) = (Vec::new(), false);
        for search in self.key_searches() {
            let found = self.app.search_api_keys(self.caller, KeyOwner::Own, &search).await?.page;
            has_more |= found.next.is_some();
            keys.extend(found.items);
        }
        let found = self.first_of(keys, has_more);
        Ok(self.group("Your API keys", "/profile/api-keys?filter=all", found, |key| {
            key_item(key, false, "/profile/api-keys")
        }))
    }

    /// Returns at most as many items as are shown. `has_more`: there are others.
    fn first_of<T>(&self, mut items: Vec<T>, has_more: bool) -> api::Page<T> {
        let has_more = has_more || items.len() > self.limit();
        items.truncate(self.limit());
        api::Page { items, next: has_more.then(String::new) }
    }

    /// Finds the user's workspaces other than the present one.
    async fn find_workspaces(&self, present: Option<&Place>) -> Result<Group, AppError> {
        let search = self.search(domain::list::WorkspaceOrder::Name);
        let mut found = self.app.list_workspaces(self.caller, &search, &self.paging()).await?;
        found.items.retain(|workspace| present.is_none_or(|present| present.id != workspace.id));
        Ok(self.group("Your workspaces", "/workspaces", found, |workspace: Workspace| Item {
            path: format!("/w/{}", workspace.slug),
            title: workspace.name,
            detail: workspace.slug,
            state: None,
        }))
    }

    async fn find_users(&self) -> Result<Group, AppError> {
        const LIST: &str = "/operator/users";
        let search = self.search(domain::list::UserOrder::Name);
        let found = self.app.list_users(self.caller, &search, &self.paging()).await?;
        Ok(self.group("All users", LIST, found, |user: User| Item {
            path: format!("{LIST}{}", page::query(&[("q", &user.email)])),
            title: user.name,
            detail: show_email(&user.email).to_string(),
            state: disabled(user.disabled),
        }))
    }

    async fn find_all_workspaces(&self) -> Result<Group, AppError> {
        const LIST: &str = "/operator/workspaces";
        let search = self.search(domain::list::WorkspaceOrder::Name);
        let found = self.app.list_all_workspaces(self.caller, &search, &self.paging()).await?;
        Ok(self.group("All workspaces", LIST, found, |workspace: Workspace| Item {
            path: format!("{LIST}/{}", workspace.id),
            title: workspace.name,
            detail: workspace.slug,
            state: None,
        }))
    }
}

/// Returns a key. `list` is the path of the keys of its owner.
fn key_item(key: api::ApiKey, owner_disabled: bool, list: &str) -> Item {
    let status = KeyStatus::new(key.state, owner_disabled);
    Item {
        path: format!("{list}/{}", key.id),
        title: key.title,
        detail: key.fingerprint,
        state: (status != KeyStatus::Active).then(|| (status.class(), status.words())),
    }
}

fn disabled(is_disabled: bool) -> Option<(&'static str, &'static str)> {
    is_disabled.then_some(("disabled", "Disabled"))
}

/// Returns the pages that the navigation of the user leads to, each with further words that find it.
fn list_pages(shell: &Shell) -> Vec<(Item, &'static str)> {
    let mut pages = Vec::new();
    let mut add = |title: &str, detail: &str, path: String, also: &'static str| {
        let item = Item { title: title.to_owned(), detail: detail.to_owned(), state: None, path };
        pages.push((item, also));
    };
    if let Some(place) = &shell.place {
        let (at, name) = (|rest: &str| format!("{}{rest}", place.path()), place.name.as_str());
        add("Overview", name, at(""), "home start requests use");
        add("Projects", name, at("/projects"), "");
        add("Create project", name, at("/projects/new"), "new add");
        add("Members", name, at("/members"), "people users roles");
        if place.is_admin() {
            add("Service accounts", name, at("/service-accounts"), "programs bots");
            add("API keys of service accounts", name, at("/keys"), "programs bots review");
            add("Create service account", name, at("/service-accounts/new"), "new add program bot");
            add("Invitations", name, at("/invitations"), "invite people users");
            add("Activity", name, at("/activity"), "audit log events history refused requests");
        }
        add("General", name, at("/general"), "workspace settings rename delete leave quota");
    }
    add("API keys", "Profile settings", "/profile/api-keys".to_owned(), "your own");
    add("New Key", "Profile settings", "/profile/api-keys/new".to_owned(), "create add api generate paste");
    add("Profile", "Profile settings", "/profile".to_owned(), "password sessions account");
    add("Workspaces", "All workspaces that you are a member of", "/workspaces".to_owned(), "switch");
    add("Help", "", "/help".to_owned(), "documentation");
    for (name, title) in help::list_guides() {
        add(title, "Help", format!("/help/{name}"), "guide documentation");
    }
    if shell.account.as_ref().is_some_and(|account| account.operator) {
        const OPERATOR: &str = "Operator pages";
        add("Workspaces", OPERATOR, "/operator/workspaces".to_owned(), "create quota");
        add("Users", OPERATOR, "/operator/users".to_owned(), "create people password disable");
        add("Activity", OPERATOR, "/operator/activity".to_owned(), "audit log events history");
        add("System", OPERATOR, "/operator/system".to_owned(), "nodes version checkpoint status");
    }
    pages
}
