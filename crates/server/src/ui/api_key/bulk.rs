//! Changes of several keys that were chosen in the list, with one confirmation.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use axum::{extract::State, response::Response};
use domain::ApiKeyId;
use http::StatusCode;

use super::{
    KeyPages, OwnerLink,
    preset::expiry,
    row::{KeyRow, KeyStatus},
};
use crate::{
    App, AppError,
    app::BulkEdit,
    ui::{
        extract::AllFields,
        notice::Notice,
        page::{self, FormErrors, PageError, Shell},
    },
};

/// What to do with the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Revoke,
    Disable,
    Extend,
}

impl Action {
    fn parse(name: &str) -> Option<Self> {
        [Self::Revoke, Self::Disable, Self::Extend].into_iter().find(|action| action.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Disable => "disable",
            Self::Extend => "extend",
        }
    }

    /// Returns whether the action changes a key with this status.
    const fn changes(self, status: KeyStatus) -> bool {
        match self {
            Self::Revoke => !status.is_revoked(),
            Self::Disable => status.may_be_disabled(),
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
            Self::Extend => format!("Set the expiry of {keys}"),
        }
    }

    fn button(self, keys: &str) -> String {
        match self {
            Self::Revoke => format!("Revoke {keys}"),
            Self::Disable => format!("Disable {keys}"),
            Self::Extend => format!("Set the expiry of {keys}"),
        }
    }

    const fn effect(self) -> &'static str {
        match self {
            Self::Revoke => "Every node refuses their requests as soon as they are revoked. This cannot be undone.",
            Self::Disable => "Every node refuses their requests until you enable them again.",
            Self::Extend => "Their requests are accepted until then.",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Revoke => "revoked. Every node refuses",
            Self::Disable => "disabled. Every node refuses",
            Self::Extend => "given a new expiry",
        }
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
    list: String,
    base: String,
    action: Action,
    /// The keys that are changed.
    keys: Vec<KeyRow>,
    /// How many of the chosen keys stay as they are.
    left: usize,
    expires_in: String,
    expires: String,
}

/// How many keys a notice names.
const NAMED: usize = 3;

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

    fn button(&self) -> String {
        self.action.button(&count_keys(self.keys.len()))
    }

    /// Returns how many of the keys were used in the last seven days.
    fn used(&self) -> usize {
        self.keys.iter().filter(|key| key.used_recently).count()
    }
}

/// Asks for the confirmation, or changes the keys if it was given.
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    at: KeyPages,
    AllFields(fields): AllFields,
) -> Result<Response, PageError> {
    let value = |name: &str| fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
    let Some(action) = Action::parse(value("action")) else {
        return Err(AppError::BadRequest("the action is not one of revoke, disable, extend".to_owned()).into());
    };
    let ids = fields.iter().filter(|(name, _)| name == "key").map(|(_, id)| id.parse::<ApiKeyId>());
    let ids: BTreeSet<ApiKeyId> = ids.collect::<Result<_, _>>().map_err(|_| AppError::not_found())?;
    if ids.is_empty() {
        let notice = Notice::say("No key was chosen. Choose keys in the list first.").caution();
        return Ok(notice.show_after(page::go_to(&at.list)));
    }
    let (expires_in, expires) = (value("expires_in").to_owned(), value("expires").to_owned());
    let owner = app.find_key_owner_details(&at.caller, at.owner).await?;
    let keys = app.preview_edit(&at.caller, at.owner, &ids).await?;
    let chosen = keys.len();
    let shell = at.shell("");
    let row = |key: api::ApiKey| KeyRow::new(&key, None, owner.is_disabled(), &shell, app.now());
    let keys: Vec<KeyRow> = keys.into_iter().map(row).filter(|key| action.changes(key.status)).collect();
    let page = BulkPage {
        shell: at.shell(action.title(&count_keys(keys.len()))),
        errors: FormErrors::default(),
        owner: at.owner_link(&owner),
        list: at.list.clone(),
        base: at.base.clone(),
        action,
        left: chosen - keys.len(),
        keys,
        expires_in: if expires_in.is_empty() { "365".to_owned() } else { expires_in.clone() },
        expires: expires.clone(),
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
    at: &KeyPages,
    page: &BulkPage,
    ids: BTreeSet<ApiKeyId>,
    expires_in: &str,
    expires: &str,
) -> Result<Response, AppError> {
    let action = page.action;
    let edit = match action {
        Action::Revoke => BulkEdit::Revoke,
        Action::Disable => BulkEdit::Disable,
        Action::Extend => BulkEdit::SetExpiry(expiry(expires_in, expires, app.now())?),
    };
    let done = app.edit_api_keys(&at.caller, at.owner, ids, edit).await.map_err(|error| error.error)?;
    let verb = if *done == 1 { "was" } else { "were" };
    let end = match (action.is_dangerous(), *done) {
        (true, 1) => " it.",
        (true, _) => " them.",
        (false, _) => ".",
    };
    let mut notice = Notice::say(count_keys(*done));
    if let Some(owner) = &page.owner {
        notice = notice.text(" of ").link(&owner.name, owner.path.clone());
    }
    for (at, key) in page.keys.iter().take(NAMED).enumerate() {
        notice = notice.text(if at == 0 { " (" } else { ", " }).link(&key.title, format!("{}/{}", page.base, key.id));
    }
    let more = if page.keys.len() > NAMED { ", \u{2026})" } else { ")" };
    let notice = notice.text(format!("{more} {verb} {}{end}", action.done()));
    Ok(page::redirect_after(&done, &at.list, notice))
}
