//! The overview of a workspace, its first page: what needs attention, requests over time, the most used keys and the
//! latest projects. Before the first accepted request, it is a checklist.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{
    ServiceAccountId, Timestamp,
    list::{ProjectOrder, Search},
};
use http::StatusCode;

use super::{
    audit,
    extract::InWorkspace,
    list::columns,
    page::{self, PageError, Shell},
    routes::Pages,
    use_chart::{UseChart, UseQuery, group_digits, period_words, reason_words},
};
use crate::{
    App, AppError,
    app::{Overview, OverviewKey, Paging},
};

/// The number of keys, and of projects, that are listed.
const LISTED: u8 = 5;
/// The number of changes that are listed.
const CHANGES: u32 = 6;
/// The number of keys that an item names.
const NAMED: usize = 3;

pub(super) fn router() -> Pages {
    Pages::default().get("/w/{slug}", show)
}

columns! {
    /// The table of the most used keys.
    UsedKeyColumn {
        Key: "Key",
        Accepted: "Accepted",
        Refused: "Refused",
        Share: "Share",
    }
}

/// How urgent an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Urgency {
    /// A client uses a key that is refused.
    Refused,
    /// A key will be refused soon.
    Expiring,
    /// An account is disabled.
    Disabled,
    /// A key may not be needed.
    Unused,
}

impl Urgency {
    /// Returns the class in the style sheet.
    const fn class(self) -> &'static str {
        match self {
            Self::Refused => "bad",
            Self::Expiring => "warn",
            Self::Disabled | Self::Unused => "",
        }
    }
}

/// A key that an item names, with its link.
struct NamedKey {
    title: String,
    path: String,
    /// The words after the title.
    rest: String,
}

/// An item that needs attention.
struct Item {
    urgency: Urgency,
    title: String,
    keys: Vec<NamedKey>,
    /// How many more keys there are.
    more: usize,
    /// A sentence after the keys.
    note: String,
    button: &'static str,
    path: String,
}

/// A key in the table.
struct UsedKey {
    title: String,
    path: String,
    owner: String,
    accepted: String,
    refused: String,
    share: String,
}

/// A step of the checklist.
struct Step {
    title: &'static str,
    text: &'static str,
    is_done: bool,
    /// Whether it is the first step that is not done.
    is_next: bool,
    /// The button of the next step, and its path.
    action: Option<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    base: String,
    /// The path of the activity of the workspace.
    activity: String,
    is_admin: bool,
    may_add_account: bool,
    items: Vec<Item>,
    chart: UseChart,
    period: &'static str,
    used_keys: Vec<UsedKey>,
    /// The latest changes, for an admin.
    changes: Vec<audit::Row>,
    projects: Vec<api::Project>,
}

#[derive(Template)]
#[template(path = "overview_start.html")]
struct StartPage {
    shell: Shell,
    base: String,
    is_admin: bool,
    steps: Vec<Step>,
    items: Vec<Item>,
    projects: Vec<api::Project>,
    /// The number of service accounts, and the quota, for an admin.
    accounts: Option<(u64, u32)>,
}

impl StartPage {
    fn done(&self) -> usize {
        self.steps.iter().filter(|step| step.is_done).count()
    }
}

async fn show(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<UseQuery>,
) -> Result<Response, PageError> {
    let overview = app.find_overview(&at.caller, at.place.id).await?;
    let items = items(&at, &overview, app.now());
    let projects = latest_projects(&app, &at).await?;
    let is_admin = at.place.is_admin();
    let accounts = overview.account_limit.map(|limit| (overview.account_names.len() as u64, limit));
    if !overview.was_used {
        let shell = at.shell("Overview", "overview");
        let mut steps = steps(&at, &overview);
        if let Some(next) = steps.iter_mut().find(|step| !step.is_done) {
            next.is_next = true;
        }
        let page = StartPage { shell, base: at.place.path(), is_admin, steps, items, projects, accounts };
        return Ok(page::render(StatusCode::OK, &page));
    }
    let window = query.window();
    // The keys of service accounts belong to the workspace. Another member sees the use of their own keys.
    let used = if is_admin {
        app.find_workspace_use(&at.caller, at.place.id, window).await?
    } else {
        app.find_own_use(&at.caller, window).await?
    };
    let shell = at.shell("Overview", "overview");
    let changes = if is_admin { audit::latest_changes(&app, &at, &shell, CHANGES).await? } else { Vec::new() };
    let page = OverviewPage {
        shell,
        changes,
        activity: at.path("activity"),
        base: at.place.path(),
        is_admin,
        may_add_account: accounts.is_some_and(|(present, limit)| present < u64::from(limit)),
        items,
        chart: UseChart::of_keys(at.place.path(), &used, overview.live_keys),
        period: period_words(window),
        used_keys: used_keys(&at, &overview, &used),
        projects,
    };
    Ok(page::render(StatusCode::OK, &page))
}

/// Returns the projects that the user sees, those that were changed last.
async fn latest_projects(app: &App, at: &InWorkspace) -> Result<Vec<api::Project>, AppError> {
    let latest = Search { order: ProjectOrder::Updated, descending: true, ..Search::default() };
    let first = Paging { after: None, limit: Some(LISTED.into()) };
    Ok(app.list_projects(&at.caller, at.place.id, &latest, &first).await?.items)
}

/// Returns the path of a key's page.
fn key_path(at: &InWorkspace, key: &OverviewKey) -> String {
    match &key.account {
        Some((account, _)) => at.path(&format!("service-accounts/{account}/keys/{}", key.id)),
        None => format!("/profile/api-keys/{}", key.id),
    }
}

/// Returns the path of the keys that pass a filter: those of the workspace for admins, those of their own for others.
fn list_path(at: &InWorkspace, filter: &str, sort: &str) -> String {
    let list = if at.place.is_admin() { at.path("keys") } else { "/profile/api-keys".to_owned() };
    format!("{list}?filter={filter}&sort={sort}")
}

/// Returns the words that say whose key it is.
fn whose(key: &OverviewKey) -> String {
    match &key.account {
        Some((_, name)) => format!(" of {name}"),
        None => " (your own)".to_owned(),
    }
}

fn count_of(count: usize, one: &str) -> String {
    format!("{} {one}{}", group_digits(count as u64), if count == 1 { "" } else { "s" })
}

fn items(at: &InWorkspace, overview: &Overview, now: Timestamp) -> Vec<Item> {
    let name = |key: &OverviewKey, rest: String| NamedKey {
        title: key.title.clone(),
        path: key_path(at, key),
        rest: format!("{}{rest}", whose(key)),
    };
    let mut items = Vec::new();
    if let Some(first) = overview.refused.first() {
        let refused: u64 = overview.refused.iter().map(|refused| refused.count).sum();
        let (button, path) = if at.place.is_admin() {
            ("See requests", at.path("activity?kind=refused&period=24h"))
        } else {
            ("Open key", key_path(at, &first.key))
        };
        let named = overview.refused.iter().take(NAMED);
        items.push(Item {
            urgency: Urgency::Refused,
            title: format!(
                "{} {} refused in the last 24 hours",
                group_digits(refused),
                if refused == 1 { "request was" } else { "requests were" }
            ),
            keys: named
                .map(|refused| {
                    let reason = reason_words(refused.reason.as_str());
                    let times = match refused.count {
                        1 => "once".to_owned(),
                        count => format!("{} times", group_digits(count)),
                    };
                    name(&refused.key, format!(" ({reason}, {times})"))
                })
                .collect(),
            more: overview.refused.len().saturating_sub(NAMED),
            note: if at.place.is_admin() {
                "Keys of service accounts and your own are counted. Activity also lists keys of other members, and \
                 requests that only named a key."
                    .to_owned()
            } else {
                String::new()
            },
            button,
            path,
        });
    }
    if let Some(first) = overview.expiring.first() {
        let count = overview.expiring.len();
        let named = overview.expiring.iter().take(NAMED);
        items.push(Item {
            urgency: Urgency::Expiring,
            title: format!(
                "{} {} within 14 days",
                count_of(count, "key"),
                if count == 1 { "expires" } else { "expire" }
            ),
            keys: named
                .map(|key| {
                    let when = key.expires_at.map(|end| page::When::new(end, now).relative).unwrap_or_default();
                    name(key, format!(" {when}"))
                })
                .collect(),
            more: count.saturating_sub(NAMED),
            note: String::new(),
            button: if count == 1 { "Open key" } else { "Show keys" },
            path: if count == 1 { key_path(at, first) } else { list_path(at, "expiring", "expires") },
        });
    }
    items.extend(overview.disabled.iter().map(|account| Item {
        urgency: Urgency::Disabled,
        title: format!("{} is disabled", account.name),
        keys: Vec::new(),
        more: 0,
        note: format!(
            "Its {} refused until the account is enabled again.",
            if account.live_keys == 1 {
                "API key is".to_owned()
            } else {
                format!("{} API keys are", group_digits(account.live_keys))
            }
        ),
        button: "Open account",
        path: at.path(&format!("service-accounts/{}", account.id)),
    }));
    if let Some(first) = overview.unused.first() {
        let count = overview.unused.len();
        items.push(Item {
            urgency: Urgency::Unused,
            title: format!("{} {} never been used", count_of(count, "key"), if count == 1 { "has" } else { "have" }),
            keys: overview.unused.iter().take(NAMED).map(|key| name(key, String::new())).collect(),
            more: count.saturating_sub(NAMED),
            note: "Created more than 7 days ago.".to_owned(),
            button: if count == 1 { "Open key" } else { "Show keys" },
            path: if count == 1 { key_path(at, first) } else { list_path(at, "never-used", "created") },
        });
    }
    items
}

/// Returns a part of all requests in percent, rounded to the nearest number.
fn share_of(part: u64, all: u64) -> String {
    let all = all.max(1);
    match part.saturating_mul(100).saturating_add(all / 2) / all {
        0 => "under 1%".to_owned(),
        percent => format!("{percent}%"),
    }
}

fn used_keys(at: &InWorkspace, overview: &Overview, used: &api::UseOfKeys) -> Vec<UsedKey> {
    let all = used.total.accepted + used.total.refused;
    let keys = used.most_used.iter().take(LISTED.into()).map(|key| {
        let account = key.owner.parse::<ServiceAccountId>().ok();
        let path = match account {
            Some(account) => at.path(&format!("service-accounts/{account}/keys/{}", key.id)),
            None => format!("/profile/api-keys/{}", key.id),
        };
        let owner = match account {
            Some(account) => overview.account_names.get(&account).cloned().unwrap_or_default(),
            None => "Your own key".to_owned(),
        };
        let share = share_of(key.counts.accepted + key.counts.refused, all);
        UsedKey {
            title: key.title.clone(),
            path,
            owner,
            accepted: group_digits(key.counts.accepted),
            refused: group_digits(key.counts.refused),
            share,
        }
    });
    keys.collect()
}

fn steps(at: &InWorkspace, overview: &Overview) -> Vec<Step> {
    let joined = Step { title: "Join the workspace", text: "", is_done: true, is_next: false, action: None };
    let new_own_key = || ("New API key", "/profile/api-keys/new".to_owned());
    let send = Step {
        title: "Send a signed request",
        text: "The key's page shows the command. The request appears here a second later.",
        is_done: overview.was_used,
        is_next: false,
        action: overview.key.as_ref().map(|key| ("Show the command", format!("{}#use", key_path(at, key)))),
    };
    let add =
        |text, action| Step { title: "Add an API key", text, is_done: overview.key.is_some(), is_next: false, action };
    if !at.place.is_admin() {
        let text = "For you and your scripts. Your browser can generate the key pair; the private key stays with you.";
        return vec![joined, add(text, Some(new_own_key())), send];
    }
    let new_key =
        overview.account.map(|account| ("Add API key", at.path(&format!("service-accounts/{account}/keys/new"))));
    vec![
        joined,
        Step {
            title: "Create a service account",
            text: "One for each program. It keeps working when the person who created it leaves.",
            is_done: overview.account.is_some(),
            is_next: false,
            action: Some(("Create service account", at.path("service-accounts/new"))),
        },
        add("Your browser can generate the key pair. The private key is never sent to this server.", new_key),
        send,
    ]
}

#[cfg(test)]
mod tests {
    use super::share_of;

    #[test]
    fn a_share_is_rounded() {
        for (part, all, share) in
            [(1, 6, "17%"), (1, 3, "33%"), (2, 2, "100%"), (1, 1000, "under 1%"), (0, 0, "under 1%")]
        {
            assert_eq!(share_of(part, all), share);
        }
    }
}
