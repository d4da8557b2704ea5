//! Members of a workspace: the list, roles and removal.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{
    Timestamp, UserId,
    list::{MemberFilter, MemberOrder, Search},
    role::Role,
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    api_key::shorten,
    confirmation::{Choice, ConfirmationPage, Registered, RemoveForm},
    csv::{Csv, MAX_ROWS},
    extract::{AllFields, Form, Ids, InWorkspace},
    list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{LeavingMember, OwnKeys, RemovalPreview, RemovalsPreview},
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/members", list)
        .post("/w/{slug}/members/{usr}/role", set_role)
        .get("/w/{slug}/members/{usr}/remove", show_remove)
        .post("/w/{slug}/members/{usr}/remove", remove)
        .post("/w/{slug}/members/remove", remove_several)
}

columns! {
    /// The table of members.
    MemberColumn {
        Chosen: hidden "Choose",
        Name: "Name" by "name",
        Role: "Role",
        Joined: "Joined" by "-joined",
        Status: "Status",
        Actions: hidden "Actions",
    }
}

const WORDS: ListWords = ListWords {
    find: "Find a member by name or email",
    sorts: &[("name", "Name"), ("email", "Email"), ("-joined", "Newest first"), ("joined", "Oldest first")],
    sort: "name",
};

impl Labels for MemberFilter {
    fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Admin => "Admins",
            Self::Member => "Members",
            Self::Disabled => "Disabled",
            Self::Unverified => "Not verified",
        }
    }
}

#[derive(Template)]
#[template(path = "members.html")]
struct MemberList {
    shell: Shell,
    errors: FormErrors,
    base: String,
    list: ListHead,
    members: Vec<api::Member>,
    is_admin: bool,
    own: String,
    /// The query of this page.
    here: String,
}

impl MemberList {
    /// Returns the columns that the reader needs.
    fn columns(&self) -> &'static [MemberColumn] {
        let all = MemberColumn::ALL;
        if self.has_choice() { all } else { all.get(1..).unwrap_or_default() }
    }

    /// Returns whether the reader may remove a member in the list together with others. They leave by themselves.
    fn has_choice(&self) -> bool {
        self.is_admin && self.members.iter().any(|member| member.id.to_string() != self.own)
    }
}

async fn list_page(app: &App, at: &InWorkspace, query: ListQuery) -> Result<MemberList, PageError> {
    let found = app.look_through_members(&at.caller, at.place.id, &query.search(WORDS.sort), &query.place()).await?;
    let here = query.here();
    Ok(MemberList {
        shell: at.shell("Members", "members"),
        errors: FormErrors::default(),
        base: at.path("members"),
        list: ListHead::new::<MemberFilter, _>(at.path("members"), query, &WORDS, &found),
        members: found.items,
        is_admin: at.place.is_admin(),
        own: at.caller.principal().id().map_or(String::new(), |id| id.to_string()),
        here,
    })
}

async fn list(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    if query.is_csv() {
        return export(&app, &at, &query.search(WORDS.sort)).await;
    }
    Ok(page::render(StatusCode::OK, &list_page(&app, &at, query).await?))
}

async fn export(
    app: &App,
    at: &InWorkspace,
    search: &Search<MemberOrder, MemberFilter>,
) -> Result<Response, PageError> {
    let mut all = AllPages::new(MAX_ROWS);
    while let Some(paging) = all.next() {
        all.add(app.list_members(&at.caller, at.place.id, search, &paging).await?);
    }
    let mut csv = Csv::new(&["id", "name", "email", "email_verified", "role", "disabled", "joined_at"]);
    for member in all.into_rows() {
        csv.row([
            member.id.to_string(),
            member.name,
            member.email,
            member.email_verified.to_string(),
            member.role.to_string(),
            member.disabled.to_string(),
            member.joined_at.to_string(),
        ]);
    }
    Ok(csv.into_file("members.csv"))
}

/// Returns the words of a role.
pub(super) const fn role_words(role: Role) -> &'static str {
    match role {
        Role::Member => "Member",
        Role::Admin => "Admin",
    }
}

const fn with_article(role: Role) -> &'static str {
    match role {
        Role::Member => "a member",
        Role::Admin => "an admin",
    }
}

#[derive(Deserialize)]
struct RoleForm {
    role: Role,
    /// Whether the consequences of the change were shown.
    #[serde(default)]
    confirmed: String,
    #[serde(default)]
    revoke_keys: String,
    /// The role before, on the page that asked.
    #[serde(default)]
    was: String,
}

async fn set_role(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Query(query): Query<ListQuery>,
    Form(form): Form<RoleForm>,
) -> Result<Response, PageError> {
    let user: UserId = ids.parse("usr")?;
    if form.confirmed != "1" && at.place.is_admin() {
        let preview = app.preview_removal(&at.caller, at.place.id, user).await?;
        return Ok(page::render(StatusCode::OK, &role_page(&at, user, form.role, &preview, &query, app.now())));
    }
    let update = api::UpdateMember { role: form.role, revoke_keys: form.revoke_keys == "1" };
    let done = app.update_member(&at.caller, at.place.id, user, &update).await;
    let next = at.path(&format!("members{}", query.here()));
    let now = format!(" is now {} of {}.", with_article(form.role), at.place.name);
    page::answer(
        done,
        |_| next,
        |member| {
            let notice = Notice::say("").name(&member.name).text(now);
            match form.role {
                // Another person who was an admin already stays one.
                Role::Admin if form.was == "member" => {
                    let undo = at.path(&format!("members/{user}/role{}", query.here()));
                    notice.undo(undo, [("role", "member"), ("confirmed", "1")])
                }
                // A demotion also ended their invitations, which do not come back.
                Role::Admin | Role::Member => notice,
            }
        },
        async |errors| Ok(MemberList { errors, ..list_page(&app, &at, query.clone()).await? }),
    )
    .await
}

/// Returns the page that asks before the role of a member is changed.
fn role_page(
    at: &InWorkspace,
    user: UserId,
    role: Role,
    preview: &RemovalPreview,
    query: &ListQuery,
    now: Timestamp,
) -> ConfirmationPage {
    let RemovalPreview { email, role: was, removal, is_last_admin, .. } = preview;
    let here = query.here();
    let (place, is_own) = (&at.place.name, at.caller.principal().id() == Some(user.into()));
    let who = if is_own { "yourself".to_owned() } else { email.clone() };
    let back = at.path(&format!("members{here}"));
    let effects = match role {
        Role::Admin => vec![format!(
            "Admins of {place} add and remove people, manage service accounts and their keys, and see every project."
        )],
        Role::Member => {
            let lost = if is_own { "You lose" } else { "They lose" };
            let role = format!("{lost} the administration of {place}, and still see the projects that they are in.");
            [vec![if is_own { role.replace("they are", "you are") } else { role }], ended_invitations(removal)].concat()
        }
    };
    let page = ConfirmationPage::new(at.shell(format!("Make {who} {}?", with_article(role)), "members"), back, effects);
    if role == Role::Member && *is_last_admin {
        return ConfirmationPage { refused: Some(LAST_ADMIN), effects: Vec::new(), ..page };
    }
    ConfirmationPage {
        action: at.path(&format!("members/{user}/role{here}")),
        button: match role {
            Role::Admin => "Make admin",
            Role::Member => "Make member",
        },
        is_safe: role == Role::Admin,
        registered: if role == Role::Member { registered(&preview.name, removal, now) } else { None },
        fields: vec![("role", role.to_string()), ("confirmed", "1".to_owned()), ("was", was.to_string())],
        ..page
    }
}

/// How many people a notice names.
const NAMED: usize = 3;

/// Why the last admin stays.
const LAST_ADMIN: &str = "This is the last admin of the workspace. Make another member an admin first.";

/// Describes the open invitations that are revoked.
fn ended_invitations(removal: &api::MemberRemoval) -> Vec<String> {
    if removal.invitations.is_empty() {
        return Vec::new();
    }
    let emails: Vec<&str> = removal.invitations.iter().map(|invitation| invitation.email.as_str()).collect();
    vec![format!("The open invitations that they sent are revoked: {}.", emails.join(", "))]
}

/// Returns the keys that a member registered for service accounts, with the choice to revoke them.
fn registered(name: &str, removal: &api::MemberRemoval, now: Timestamp) -> Option<Registered> {
    let line = |registered: &api::RegisteredKey| {
        let key = &registered.key;
        let used = last_used(key.last_used_at, now);
        format!("{} of {} ({}), {used}", key.title, registered.email, shorten(&key.fingerprint))
    };
    (!removal.keys.is_empty()).then(|| Registered {
        heading: format!("Keys that {name} registered for service accounts"),
        label: "Also revoke these keys. Otherwise they keep working.".to_owned(),
        keys: removal.keys.iter().map(line).collect(),
    })
}

/// Says when a key was last used.
fn last_used(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", page::When::new(at, now).relative))
}

/// Says how many of their own keys stop working here, and when one was last used.
fn own_keys(keys: OwnKeys, whose: &str, place: &str, now: Timestamp) -> String {
    let used = last_used(keys.last_used_at, now);
    match keys.live {
        0 => format!("{whose} roles in the projects of {place} are removed."),
        1 => format!("{whose} API key ({used}) no longer reaches {place}. {whose} roles in its projects are removed."),
        live => format!(
            "{whose} {live} API keys ({used}) no longer reach {place}. {whose} roles in its projects are removed."
        ),
    }
}

async fn remove_page(app: &App, at: &InWorkspace, user: UserId) -> Result<ConfirmationPage, PageError> {
    let leaves = at.caller.principal().id() == Some(user.into());
    let preview = app.preview_removal(&at.caller, at.place.id, user).await?;
    let RemovalPreview { email, name, removal, successors, is_last_admin, own_keys: keys, .. } = preview;
    let (whose, place) = (if leaves { "Your" } else { "Their" }, &at.place.name);
    let title = if leaves { format!("Leave {place}?") } else { format!("Remove {name} from {place}?") };
    let page = ConfirmationPage::new(at.shell(title, "members"), at.path("members"), Vec::new());
    if is_last_admin {
        let refused = if leaves {
            "You are the last admin of the workspace. Make another member an admin before you leave."
        } else {
            LAST_ADMIN
        };
        return Ok(ConfirmationPage { refused: Some(refused), ..page });
    }
    Ok(ConfirmationPage {
        action: at.path(&format!("members/{user}/remove")),
        button: if leaves { "Leave workspace" } else { "Remove member" },
        effects: [
            vec![
                if leaves { String::new() } else { format!("{name} ({email}) is removed from the workspace.") },
                own_keys(keys, whose, place, app.now()),
                last_workspace(at, leaves).to_owned(),
            ],
            ended_invitations(&removal),
        ]
        .concat()
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect(),
        projects: removal.projects.iter().map(|project| project.title.clone()).collect(),
        candidates: successors.into_iter().map(Choice::from).collect(),
        registered: registered(if leaves { "you" } else { &name }, &removal, app.now()),
        ..page
    })
}

/// Describes the consequence for a user without another workspace. Admins may not see in which other workspaces a
/// member is.
fn last_workspace(at: &InWorkspace, leaves: bool) -> &'static str {
    let is_in_others = at.caller.principal().identity().is_some_and(|identity| identity.memberships.len() > 1);
    match (leaves, is_in_others) {
        (true, true) => "Your other workspaces are not affected.",
        (true, false) => "You are not a member of another workspace, so your keys stop working and you are signed out.",
        (false, _) => {
            "If they are not a member of another workspace, all their keys stop working and all their sessions end."
        }
    }
}

/// Returns the page that asks before several members are removed.
async fn removals_page(
    app: &App,
    at: &InWorkspace,
    users: &BTreeSet<UserId>,
    here: &str,
) -> Result<(ConfirmationPage, RemovalsPreview), PageError> {
    let preview = app.preview_removals(&at.caller, at.place.id, users).await?;
    let RemovalsPreview { members, leaves_no_admin, projects, successors } = &preview;
    let place = &at.place.name;
    let title = format!("Remove {} from {place}?", count_members(members.len()));
    let page = ConfirmationPage::new(at.shell(title, "members"), at.path(&format!("members{here}")), Vec::new());
    if *leaves_no_admin {
        let refused = Some("The workspace would have no admin. Make another member an admin first.");
        return Ok((ConfirmationPage { refused, ..page }, preview));
    }
    let registered: Vec<Registered> =
        members.iter().filter_map(|member| registered("they", &member.removal, app.now())).collect();
    let registered = registered.into_iter().reduce(|mut all, more| {
        all.keys.extend(more.keys);
        all
    });
    let user_fields = users.iter().map(|user| ("member", user.to_string()));
    let page = ConfirmationPage {
        action: at.path(&format!("members/remove{here}")),
        button: if members.len() == 1 { "Remove member" } else { "Remove members" },
        effects: vec![
            format!("Their API keys no longer reach {place}. Their roles in its projects are removed."),
            last_workspace(at, false).to_owned(),
        ],
        objects: members.iter().map(|member| describe_leaving(member, app.now())).collect(),
        projects: projects.clone(),
        candidates: successors.iter().cloned().map(Choice::from).collect(),
        registered,
        fields: user_fields.chain([("confirmed", "1".to_owned())]).collect(),
        ..page
    };
    Ok((page, preview))
}

fn count_members(count: usize) -> String {
    if count == 1 { "1 member".to_owned() } else { format!("{count} members") }
}

/// Describes a member who is removed with others, and what ends with them.
fn describe_leaving(member: &LeavingMember, now: Timestamp) -> String {
    let LeavingMember { email, name, own_keys, removal } = member;
    let keys = match own_keys.live {
        0 => String::new(),
        1 => format!(", 1 API key ({})", last_used(own_keys.last_used_at, now)),
        live => format!(", {live} API keys ({})", last_used(own_keys.last_used_at, now)),
    };
    [vec![format!("{name} ({email}){keys}.")], ended_invitations(removal)].concat().join(" ")
}

/// Removes the selected members, after a page that asks.
async fn remove_several(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ListQuery>,
    AllFields(fields): AllFields,
) -> Result<Response, PageError> {
    let value = |name: &str| fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
    let users = fields.iter().filter(|(name, _)| name == "member").map(|(_, id)| id.parse::<UserId>());
    let users: BTreeSet<UserId> = users.collect::<Result<_, _>>().map_err(|_| AppError::not_found())?;
    let here = query.here();
    // An empty selection also checks that the caller may do it.
    let (page, preview) = removals_page(&app, &at, &users, &here).await?;
    if users.is_empty() {
        let notice = Notice::say("No member was selected. Select members in the list first.").caution();
        return Ok(notice.show_after(page::go_to(&page.back)));
    }
    if value("confirmed") != "1" {
        return Ok(page::render(StatusCode::OK, &page));
    }
    let (successor, revoke_keys) = (value("successor").parse().ok(), value("revoke_keys") == "1");
    let done = app.delete_members(&at.caller, at.place.id, users, successor, revoke_keys).await;
    let back = page.back.clone();
    page::answer(
        done,
        |()| back,
        |()| {
            let mut notice = Notice::say("");
            for (at, member) in preview.members.iter().take(NAMED).enumerate() {
                notice = notice.text(if at == 0 { "" } else { ", " }).name(&member.name);
            }
            let more = preview.members.len().saturating_sub(NAMED);
            let (more, verb) = match (more, preview.members.len()) {
                (0, 1) => (String::new(), "was"),
                (0, _) => (String::new(), "were"),
                (more, _) => (format!(" and {more} more"), "were"),
            };
            notice.text(format!("{more} {verb} removed from {}. Their keys no longer reach it.", at.place.name))
        },
        async |errors| Ok(ConfirmationPage { errors, ..page }),
    )
    .await
}

async fn show_remove(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &remove_page(&app, &at, ids.parse("usr")?).await?))
}

async fn remove(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<RemoveForm>,
) -> Result<Response, PageError> {
    let user: UserId = ids.parse("usr")?;
    let leaves = at.caller.principal().id() == Some(user.into());
    let RemovalPreview { name, .. } = app.preview_removal(&at.caller, at.place.id, user).await?;
    let place = &at.place.name;
    let (next, notice) = if leaves {
        ("/workspaces".to_owned(), Notice::say("You have left ").name(place).text("."))
    } else {
        let text = format!(" was removed from {place}. Their keys no longer reach it.");
        (at.path("members"), Notice::say("").name(&name).text(text))
    };
    let done = app.delete_member(&at.caller, at.place.id, user, form.successor(), form.revoke_keys()).await;
    page::answer(
        done,
        |()| next,
        |()| notice,
        async |errors| Ok(ConfirmationPage { errors, ..remove_page(&app, &at, user).await? }),
    )
    .await
}
