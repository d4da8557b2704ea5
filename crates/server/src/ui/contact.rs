//! Whom to ask for a higher limit.

use domain::{text::percent_encode, user::Email};

use super::page::{Shell, support_contact};
use crate::App;

/// The support contact, and the page on which an operator raises a limit.
pub(super) struct Contact {
    pub(super) name: String,
    /// The URL that writes a mail, if the contact is an email address.
    pub(super) mail: Option<String>,
    /// The page with the limits of the workspace, for operators.
    pub(super) raise: Option<String>,
}

impl Contact {
    /// Returns the contact for the user of a page in a workspace.
    pub(super) fn new(app: &App, shell: &Shell) -> Self {
        let name = support_contact(app);
        let mail = name.parse::<Email>().ok().map(|_| format!("mailto:{}", percent_encode(&name, b"@")));
        let is_operator = shell.account.as_ref().is_some_and(|account| account.operator);
        let raise = shell.place.as_ref().filter(|_| is_operator);
        let raise = raise.map(|place| format!("/operator/workspaces/{}", place.id));
        Self { name, mail, raise }
    }
}
