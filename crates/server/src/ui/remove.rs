//! The page that asks before something is removed, deleted or disabled, and its form.

use askama::Template;
use domain::PrincipalId;
use serde::Deserialize;

use super::page::{FormErrors, Place, Shell};
use crate::{
    App, AppError,
    app::{Caller, MAX_PAGE, Paging},
};

#[derive(Template)]
#[template(path = "remove.html")]
pub(super) struct RemovePage {
    pub(super) shell: Shell,
    pub(super) errors: FormErrors,
    pub(super) action: String,
    pub(super) back: String,
    pub(super) button: &'static str,
    pub(super) what_dies: Vec<String>,
    pub(super) led: Vec<String>,
    pub(super) candidates: Vec<Candidate>,
    /// A word to type first, which nobody types by mistake.
    pub(super) confirm: Option<String>,
    /// The titles of keys that the user registered for others, which may be revoked as well.
    pub(super) registered: Option<Registered>,
    /// What the form sends along.
    pub(super) fields: Vec<(&'static str, String)>,
}

/// Keys that a user registered for service accounts.
pub(super) struct Registered {
    /// What the choice to revoke them is called.
    pub(super) label: String,
    /// One line each.
    pub(super) keys: Vec<String>,
}

/// The successor, if one is needed.
#[derive(Deserialize)]
pub(super) struct RemoveForm {
    #[serde(default)]
    successor: String,
    #[serde(default)]
    revoke_keys: String,
}

impl RemoveForm {
    pub(super) fn revoke_keys(&self) -> bool {
        self.revoke_keys == "1"
    }

    pub(super) fn successor(&self) -> Option<PrincipalId> {
        self.successor.parse().ok()
    }
}

/// A principal who could be the successor.
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) name: String,
}

/// Who could be given a role in a project of the workspace, or take one over: as far as the caller can see.
pub(super) async fn list_candidates(
    app: &App,
    caller: &Caller,
    place: &Place,
    except: Option<PrincipalId>,
) -> Result<Vec<Candidate>, AppError> {
    let paging = Paging { after: None, limit: Some(MAX_PAGE) };
    let except = except.map(|id| id.to_string());
    let members = app.list_members(caller, place.id, &paging).await?;
    let mut all: Vec<Candidate> = members
        .items
        .into_iter()
        .filter(|member| !member.disabled)
        .map(|member| Candidate { id: member.id.to_string(), name: format!("{} ({})", member.name, member.email) })
        .collect();
    if place.is_admin() {
        let accounts = app.list_service_accounts(caller, place.id, &paging).await?;
        let accounts = accounts.items.into_iter().filter(|account| !account.disabled);
        all.extend(accounts.map(|account| Candidate { id: account.id.to_string(), name: account.email }));
    }
    all.retain(|candidate| Some(&candidate.id) != except.as_ref());
    Ok(all)
}
