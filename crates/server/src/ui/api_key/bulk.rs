//! Changes of several keys that were chosen in the list, with one confirmation.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use axum::{
    extract::{FromRequestParts, Query, State},
    response::Response,
};
use domain::ApiKeyId;
use http::{StatusCode, request::Parts};

use super::{
    KeyPages, OwnerLink,
    preset::expiry,
    row::{KeyRow, KeyStatus},
};
use crate::{
    App, AppError,
    app::{BulkEdit, Caller, KeyAccount, KeySet},
    ui::{
        extract::{AllFields, Ids, InWorkspace},
        list::ListQuery,
        notice::Notice,
        page::{self, FormErrors, PageError, Reach, Shell},
    },
};

/// What to do with the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Revoke,
    Disable,
    Enable,
    Extend,
}

impl Action {
    fn parse(name: &str) -> Option<Self> {
        [Self::Revoke, Self::Disable, Self::Enable, Self::Extend].into_iter().find(|action| action.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Extend => "extend",
        }
    }

    /// Returns whether the action changes a key with this status.
    const fn changes(self, status: KeyStatus) -> bool {
        match self {
            Self::Revoke => !status.is_revoked(),
            Self::Disable => status.may_be_disabled(),
            Self::Enable => status.may_be_enabled(),
            Self::Extend => !status.has_ended(),
        }
    }

    const fn is_dangerous(self) -> bool {
        matches!(self, Self::Revoke | Self::Disable)
    }

    fn title(self, keys: &str) -> String {
        match self {
            Self::Revoke => format!("Revoke {keys}?"),
            Self::Disable => format!("Disable {keys}?"),
            Self::Enable => format!("Enable {keys}?"),
            Self::Extend => format!("Set the expiry of {keys}"),
        }
    }

    fn button(self, keys: &str) -> String {
        match self {
            Self::Revoke => format!("Revoke {keys}"),
            Self::Disable => format!("Disable {keys}"),
            Self::Enable => format!("Enable {keys}"),
            Self::Extend => format!("Set the expiry of {keys}"),
        }
    }

    /// Says what happens to the requests of the keys.
    fn effect(self, count: usize, reach: Reach) -> String {
        let now = reach.at_once();
        match (self, count == 1) {
            (Self::Revoke, true) => return format!("Its requests are refused {now}. This cannot be undone."),
            (Self::Revoke, false) => return format!("Their requests are refused {now}. This cannot be undone."),
            (Self::Disable, true) => return format!("Its requests are refused {now}, until you enable it again."),
            (Self::Disable, false) => return format!("Their requests are refused {now}, until you enable them again."),
            (Self::Enable, true) => "Its requests are accepted again.",
            (Self::Enable, false) => "Their requests are accepted again.",
            (Self::Extend, true) => "Its requests are accepted until the end of the last day.",
            (Self::Extend, false) => "Their requests are accepted until the end of the last day.",
        }
        .to_owned()
    }
}

fn count_keys(count: usize) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

#[derive(Template)]
#[template(path = "api_keys_bulk.html")]
struct BulkPage {
    shell: Shell,
    errors: FormErrors,
    owner: Option<OwnerLink>,
    /// Whether the keys are those of a workspace's service accounts.
    is_workspace: bool,
    /// The list, with the query of the page that the keys were selected on.
    list: String,
    /// The path of this form, with the same query.
    bulk: String,
    /// The prefix of the path of each key, if they have one owner.
    base: String,
    action: Action,
    /// The keys that are changed.
    keys: Vec<KeyRow>,
    /// How many of the chosen keys stay as they are.
    left: usize,
    expires_in: String,
    expires: String,
    reach: Reach,
}

/// How many keys a notice names.
const NAMED: usize = 3;
/// The most keys of a change that a notice offers to undo. Their ids are in the notice.
const UNDO_KEYS: usize = 20;
/// The preset of a new expiry.
const PRESET: &str = "90";

impl BulkPage {
    /// Returns what must be typed before keys that are in use are revoked: the title of the only key, or their number.
    fn word(&self) -> Option<String> {
        if self.action != Action::Revoke || self.used() == 0 {
            return None;
        }
        Some(match self.keys.as_slice() {
            [key] => key.title.clone(),
            keys => count_keys(keys.len()),
        })
    }

    /// Returns the path of a key's page.
    fn path_of(&self, key: &KeyRow) -> String {
        match &key.account {
            Some(account) => format!("{}/keys/{}", account.path, key.id),
            None => format!("{}/{}", self.base, key.id),
        }
    }

    fn button(&self) -> String {
        self.action.button(&count_keys(self.keys.len()))
    }

    /// Returns how many of the keys were used in the last seven days.
    fn used(&self) -> usize {
        self.keys.iter().filter(|key| key.used_recently).count()
    }
}

/// The keys of a form, and where they are listed.
pub(super) struct SelectedFrom {
    pages: Option<KeyPages>,
    within: Option<InWorkspace>,
    caller: Caller,
    set: KeySet,
    list: String,
    base: String,
}

impl SelectedFrom {
    fn shell(&self, title: impl Into<String>) -> Shell {
        match (&self.pages, &self.within) {
            (None, Some(within)) => within.shell(title, "keys"),
            (Some(pages), _) => pages.shell(title),
            (None, None) => Shell::new(None, title, "keys"),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SelectedFrom {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let ids = Ids::from_request_parts(parts, state).await?;
        if ids.text("slug").is_empty() || !ids.text("sa").is_empty() {
            let pages = KeyPages::from_request_parts(parts, state).await?;
            let (caller, set) = (pages.caller.clone(), KeySet::Owner(pages.owner));
            let (list, base) = (pages.list.clone(), pages.base.clone());
            return Ok(Self { pages: Some(pages), within: None, caller, set, list, base });
        }
        let within = InWorkspace::from_request_parts(parts, state).await?;
        let (caller, set, list) = (within.caller.clone(), KeySet::Workspace(within.place.id), within.path("keys"));
        Ok(Self { pages: None, within: Some(within), caller, set, base: list.clone(), list })
    }
}

/// Asks for the confirmation, or changes the keys if it was given.
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    at: SelectedFrom,
    Query(query): Query<ListQuery>,
    AllFields(fields): AllFields,
) -> Result<Response, PageError> {
    let value = |name: &str| fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
    let Some(action) = Action::parse(value("action")) else {
        return Err(AppError::BadRequest("the action is not one of revoke, disable, enable, extend".to_owned()).into());
    };
    let ids = fields.iter().filter(|(name, _)| name == "key").map(|(_, id)| id.parse::<ApiKeyId>());
    let ids: BTreeSet<ApiKeyId> = ids.collect::<Result<_, _>>().map_err(|_| AppError::not_found())?;
    let list = format!("{}{}", at.list, query.here());
    let keys = app.preview_edit(&at.caller, at.set, &ids).await?;
    if ids.is_empty() {
        let notice = Notice::say("No key was selected. Select keys in the list first.").caution();
        return Ok(notice.show_after(page::go_to(&list)));
    }
    let (expires_in, expires) = (value("expires_in").to_owned(), value("expires").to_owned());
    let owner = match &at.pages {
        Some(pages) => pages.owner_link(&app.find_key_owner_details(&at.caller, pages.owner).await?),
        None => None,
    };
    let chosen = keys.len();
    let shell = at.shell("");
    let accounts = at.within.as_ref().map(|within| within.path("service-accounts"));
    let row = |(key, account): (api::ApiKey, Option<KeyAccount>)| {
        let is_disabled = account.as_ref().is_some_and(|account| account.disabled);
        let row = KeyRow::new(&key, None, is_disabled, &shell, app.now());
        match (&accounts, &account) {
            (Some(accounts), Some(account)) => row.of(account, accounts),
            _ => row,
        }
    };
    let keys: Vec<KeyRow> = keys.into_iter().map(row).filter(|key| action.changes(key.status)).collect();
    let page = BulkPage {
        shell: at.shell(action.title(&count_keys(keys.len()))),
        errors: FormErrors::default(),
        owner,
        is_workspace: at.within.is_some(),
        list,
        bulk: format!("{}/bulk{}", at.base, query.here()),
        base: at.base.clone(),
        action,
        left: chosen - keys.len(),
        keys,
        expires_in: if expires_in.is_empty() { PRESET.to_owned() } else { expires_in.clone() },
        expires: expires.clone(),
        reach: Reach::of(&app),
    };
    if value("confirmed") != "1" {
        return Ok(page::render(StatusCode::OK, &page));
    }
    if let Some(word) = page.word().filter(|word| value("confirm").trim() != *word) {
        let errors = FormErrors::at("confirm", &format!("This is not the word. Type it exactly: {word}"));
        return Ok(page::again(errors, |errors| BulkPage { errors, ..page }));
    }
    match change(&app, &at, &page, ids, &expires_in, &expires).await {
        Ok(response) => Ok(response),
        Err(error) => {
            let errors = FormErrors::of(error)?.at_field("expires_at", "expires");
            Ok(page::again(errors, |errors| BulkPage { errors, ..page }))
        }
    }
}

async fn change(
    app: &Arc<App>,
    at: &SelectedFrom,
    page: &BulkPage,
    ids: BTreeSet<ApiKeyId>,
    expires_in: &str,
    expires: &str,
) -> Result<Response, AppError> {
    let action = page.action;
    let (edit, end) = match action {
        Action::Revoke => (BulkEdit::Revoke, None),
        Action::Disable => (BulkEdit::Disable, None),
        Action::Enable => (BulkEdit::Enable, None),
        Action::Extend => {
            let end = expiry(expires_in, expires, app.now())?;
            (BulkEdit::SetExpiry(end), end)
        }
    };
    let done = app.edit_api_keys(&at.caller, at.set, ids, edit).await.map_err(|error| error.error)?;
    let is_one = *done == 1;
    let mut notice = Notice::say(count_keys(*done));
    if let Some(owner) = &page.owner {
        notice = notice.text(" of ").link(&owner.name, owner.path.clone());
    }
    for (at, key) in page.keys.iter().take(NAMED).enumerate() {
        notice = notice.text(if at == 0 { " (" } else { ", " }).link(&key.title, page.path_of(key));
    }
    let more = if page.keys.len() > NAMED { ", \u{2026})" } else { ")" };
    let (verb, they) = if is_one { ("was", "It is") } else { ("were", "They are") };
    let now = Reach::of(app).now();
    let mut notice = notice.text(match (action, end) {
        (Action::Revoke, _) => format!("{more} {verb} revoked. {they} refused {now}."),
        (Action::Disable, _) => format!("{more} {verb} disabled. {they} refused {now}."),
        (Action::Enable, _) => format!("{more} {verb} enabled."),
        (Action::Extend, Some(end)) => {
            let expire = if is_one { "expires" } else { "expire" };
            format!("{more} now {expire} on {}.", end.strftime("%-d %b %Y"))
        }
        (Action::Extend, None) => format!("{more} now never {}.", if is_one { "expires" } else { "expire" }),
    });
    let opposite = match action {
        Action::Disable => Some(Action::Enable),
        Action::Enable => Some(Action::Disable),
        Action::Revoke | Action::Extend => None,
    };
    if let Some(opposite) = opposite.filter(|_| *done > 0 && page.keys.len() <= UNDO_KEYS) {
        let keys = page.keys.iter().map(|key| ("key", key.id.to_string()));
        let fields = [("action", opposite.name().to_owned()), ("confirmed", "1".to_owned())];
        notice = notice.undo_with(page.bulk.clone(), fields.into_iter().chain(keys));
    }
    Ok(page::redirect_after(&done, &page.list, notice))
}
