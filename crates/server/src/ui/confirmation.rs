//! The confirmation page before an object is removed, deleted or disabled, and its form.

use askama::Template;
use domain::PrincipalId;
use serde::Deserialize;

use super::page::{FormErrors, Shell};
use crate::app::Candidate;

#[derive(Template)]
#[template(path = "confirmation.html")]
pub(super) struct ConfirmationPage {
    pub(super) shell: Shell,
    pub(super) errors: FormErrors,
    pub(super) action: String,
    pub(super) back: String,
    pub(super) button: &'static str,
    pub(super) effects: Vec<String>,
    /// The objects, if there are several, one line for each.
    pub(super) objects: Vec<String>,
    pub(super) projects: Vec<String>,
    pub(super) candidates: Vec<Choice>,
    /// A word that the user must type, to prevent mistakes.
    pub(super) confirm: Option<String>,
    /// The titles of keys that the user registered for others, which may be revoked as well.
    pub(super) registered: Option<Registered>,
    /// Why nothing can be done, instead of the form.
    pub(super) refused: Option<&'static str>,
    /// Whether the change can be undone, so that its button is not red.
    pub(super) is_safe: bool,
    /// Hidden fields of the form.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl ConfirmationPage {
    /// Creates a page that only asks for the confirmation. Its form goes to the page `back`.
    pub(super) fn new(shell: Shell, back: String, effects: Vec<String>) -> Self {
        Self {
            shell,
            errors: FormErrors::default(),
            action: back.clone(),
            back,
            button: "Continue",
            effects,
            objects: Vec::new(),
            projects: Vec::new(),
            candidates: Vec::new(),
            confirm: None,
            registered: None,
            refused: None,
            is_safe: false,
            fields: Vec::new(),
        }
    }
}

/// Keys that a user registered for service accounts.
pub(super) struct Registered {
    /// The heading of the list.
    pub(super) heading: String,
    /// The label of the choice to revoke them.
    pub(super) label: String,
    /// One line for each key.
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

/// A principal that can be chosen on a form.
pub(super) struct Choice {
    pub(super) id: String,
    pub(super) name: String,
}

impl From<Candidate> for Choice {
    fn from(candidate: Candidate) -> Self {
        let name = match candidate.name {
            Some(name) => format!("{name} ({})", candidate.email),
            None => candidate.email,
        };
        Self { id: candidate.id.to_string(), name }
    }
}
