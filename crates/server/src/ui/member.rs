//! Members of a workspace: the list, roles and removal.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{
    UserId,
    list::{MemberFilter, MemberOrder, Search},
    role::Role,
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    csv::{Csv, MAX_ROWS},
    extract::{Form, Ids, InWorkspace},
    list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    remove::{Choice, Registered, RemoveForm, RemovePage},
    routes::Pages,
};
use crate::{App, app::RemovalPreview};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/members", list)
        .post("/w/{slug}/members/{usr}/role", set_role)
        .get("/w/{slug}/members/{usr}/remove", show_remove)
        .post("/w/{slug}/members/{usr}/remove", remove)
}

columns! {
    /// The table of members.
    MemberColumn {
        Name: "Name" by "name",
        Joined: "Joined" by "-joined",
        Role: "Role",
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

#[derive(Deserialize)]
struct RoleForm {
    role: Role,
    /// Whether the consequences of the demotion were shown.
    #[serde(default)]
    shown: String,
    #[serde(default)]
    revoke_keys: String,
}

async fn set_role(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Query(query): Query<ListQuery>,
    Form(form): Form<RoleForm>,
) -> Result<Response, PageError> {
    let user: UserId = ids.parse("usr")?;
    if form.role == Role::Member && form.shown.is_empty() && at.place.is_admin() {
        let preview = app.preview_removal(&at.caller, at.place.id, user).await?;
        if !preview.removal.invitations.is_empty() || !preview.removal.keys.is_empty() {
            return Ok(page::render(StatusCode::OK, &demotion_page(&at, user, &preview, &query)));
        }
    }
    let update = api::UpdateMember { role: form.role, revoke_keys: form.revoke_keys == "1" };
    let done = app.update_member(&at.caller, at.place.id, user, &update).await;
    let next = at.path(&format!("members{}", query.here()));
    page::answer(
        done,
        |_| next,
        |_| Notice::say("The role is applied."),
        async |errors| Ok(MemberList { errors, ..list_page(&app, &at, query.clone()).await? }),
    )
    .await
}

/// Returns the page with the consequences of a demotion, before it is made.
fn demotion_page(at: &InWorkspace, user: UserId, preview: &RemovalPreview, query: &ListQuery) -> RemovePage {
    let RemovalPreview { email, removal, .. } = preview;
    let here = query.here();
    RemovePage {
        shell: at.shell(format!("Make {email} a member"), "members"),
        errors: FormErrors::default(),
        action: at.path(&format!("members/{user}/role{here}")),
        back: at.path(&format!("members{here}")),
        button: "Apply role",
        what_dies: [vec!["They no longer manage this workspace.".to_owned()], ended_invitations(removal)].concat(),
        led: Vec::new(),
        candidates: Vec::new(),
        confirm: None,
        registered: registered(removal),
        fields: vec![("role", Role::Member.to_string()), ("shown", "1".to_owned())],
    }
}

/// Describes the open invitations that are revoked.
fn ended_invitations(removal: &api::MemberRemoval) -> Vec<String> {
    if removal.invitations.is_empty() {
        return Vec::new();
    }
    let emails: Vec<&str> = removal.invitations.iter().map(|invitation| invitation.email.as_str()).collect();
    vec![format!("The open invitations that they sent are revoked: {}.", emails.join(", "))]
}

/// Returns the keys that they registered for service accounts, with the choice to revoke them.
fn registered(removal: &api::MemberRemoval) -> Option<Registered> {
    let line = |registered: &api::RegisteredKey| {
        format!("{}: {} ({})", registered.email, registered.key.title, registered.key.fingerprint)
    };
    (!removal.keys.is_empty()).then(|| Registered {
        label: "Also revoke these keys, which they registered for service accounts. Otherwise the keys keep working."
            .to_owned(),
        keys: removal.keys.iter().map(line).collect(),
    })
}

async fn remove_page(app: &App, at: &InWorkspace, user: UserId) -> Result<RemovePage, PageError> {
    let leaves = at.caller.principal().id() == Some(user.into());
    let RemovalPreview { email, removal, successors } = app.preview_removal(&at.caller, at.place.id, user).await?;
    let whose = if leaves { "Your" } else { "Their" };
    Ok(RemovePage {
        shell: at.shell(if leaves { "Leave the workspace".to_owned() } else { format!("Remove {email}") }, "members"),
        errors: FormErrors::default(),
        action: at.path(&format!("members/{user}/remove")),
        back: at.path("members"),
        button: if leaves { "Leave the workspace" } else { "Remove from the workspace" },
        what_dies: [
            vec![
                format!("{whose} API keys lose access to {}.", at.place.name),
                format!("{whose} roles in its projects are removed."),
                last_workspace(at, leaves).to_owned(),
            ],
            ended_invitations(&removal),
        ]
        .concat(),
        led: removal.projects.iter().map(|project| project.title.clone()).collect(),
        candidates: successors.into_iter().map(Choice::from).collect(),
        confirm: None,
        registered: registered(&removal),
        fields: Vec::new(),
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
    let (next, notice) = if leaves {
        ("/workspaces".to_owned(), Notice::say("You have left."))
    } else {
        (at.path("members"), Notice::say("Removed."))
    };
    let done = app.delete_member(&at.caller, at.place.id, user, form.successor(), form.revoke_keys()).await;
    page::answer(
        done,
        |()| next,
        |()| notice,
        async |errors| Ok(RemovePage { errors, ..remove_page(&app, &at, user).await? }),
    )
    .await
}
