//! The filter of activity, as the query of its address, so that a link keeps it.

use domain::{ApiKeyId, AuditAction, AuditKind, AuditPrincipal, Timestamp, list::MAX_SEARCH, user::show_email};
use serde::Deserialize;

use super::sentence::{Part, Reader};
use crate::{
    AppError,
    app::{ActivityPage, AuditFilter},
    ui::{form::end_of_day, page},
};

const DAY_SECONDS: i64 = 24 * 3600;

/// The kinds to choose from: the value in the address, the label, and whether only operators have such events.
pub(super) const KINDS: &[(&str, &str, bool)] = &[
    ("", "Everything", false),
    ("changes", "Changes", false),
    ("refused", "Refused", false),
    ("sign-ins", "Sign-ins", true),
];

/// The periods to choose from: the value in the address, and the label.
pub(super) const PERIODS: &[(&str, &str)] = &[
    ("", "All time"),
    ("24h", "24 hours"),
    ("today", "Today"),
    ("7d", "7 days"),
    ("30d", "30 days"),
    ("dates", "Dates…"),
];

/// The query of a page.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ActivityQuery {
    /// What is typed into the field: a name, an email, an address, a title, a fingerprint, an IP address or an id.
    pub(super) q: String,
    /// The id of a principal, from a link.
    pub(super) principal: String,
    pub(super) key: String,
    pub(super) target: String,
    pub(super) action: String,
    /// One of [`KINDS`].
    pub(super) kind: String,
    /// One of [`PERIODS`].
    pub(super) period: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) after: String,
    pub(super) before: String,
    /// The event that is shown with all its values.
    pub(super) event: String,
}

/// What the list is filtered by.
pub(super) struct Chip {
    pub(super) label: &'static str,
    pub(super) name: String,
    /// The query without it.
    pub(super) without: String,
}

/// Actions to choose from.
pub(super) struct ActionGroup {
    pub(super) label: &'static str,
    pub(super) actions: Vec<(&'static str, &'static str)>,
}

impl ActivityQuery {
    /// Returns this query with what is no id moved to the field for people. Earlier links have names there.
    pub(super) fn with_ids_only(mut self) -> Self {
        let principal = std::mem::take(&mut self.principal);
        let key = std::mem::take(&mut self.key);
        match principal.trim() {
            id if id.parse::<AuditPrincipal>().is_ok() => id.clone_into(&mut self.principal),
            text if self.q.is_empty() => text.clone_into(&mut self.q),
            _ => {}
        }
        match key.trim() {
            id if id.parse::<ApiKeyId>().is_ok() => id.clone_into(&mut self.key),
            text if self.q.is_empty() => text.clone_into(&mut self.q),
            _ => {}
        }
        self
    }

    /// Returns the text to look for.
    pub(super) fn search(&self) -> String {
        self.q.trim().replace('\0', "").chars().take(MAX_SEARCH).collect()
    }

    /// Returns the conditions of the filter.
    ///
    /// # Errors
    /// A date is malformed.
    pub(super) fn filter(&self, now: Timestamp) -> Result<AuditFilter, AppError> {
        let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let start = |date: &str| format!("{date}T00:00:00Z").parse().ok();
        let midnight = now.as_second().div_euclid(DAY_SECONDS) * DAY_SECONDS;
        let days_ago = |days: i64| Timestamp::from_second(midnight - days * DAY_SECONDS).ok();
        let from = match end_of_day("from", &self.from)? {
            Some(_) => start(&self.from),
            None => match self.period.as_str() {
                "24h" => Timestamp::from_second(now.as_second() - DAY_SECONDS).ok(),
                "today" => days_ago(0),
                "7d" => days_ago(6),
                "30d" => days_ago(29),
                _ => None,
            },
        };
        let kind = match self.kind.as_str() {
            "changes" => Some(AuditKind::Change),
            "refused" => Some(AuditKind::Refusal),
            "sign-ins" => Some(AuditKind::SignIn),
            _ => None,
        };
        Ok(AuditFilter {
            principal: text(&self.principal),
            key: text(&self.key),
            action: text(&self.action),
            kind,
            target: text(&self.target),
            from,
            to: end_of_day("to", &self.to)?,
        })
    }

    /// Returns the position of the page.
    ///
    /// # Errors
    /// It is not a number.
    pub(super) fn page(&self, limit: u32) -> Result<ActivityPage, AppError> {
        let number = |field, text: &str| {
            let malformed = |_| AppError::field(field, "malformed", "use a link of the list");
            if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(malformed) }
        };
        Ok(ActivityPage {
            older_than: number("after", &self.after)?,
            newer_than: number("before", &self.before)?,
            limit,
            // The page says that there is no event with an id that is malformed.
            event: self.event.parse().ok(),
        })
    }

    /// Returns the query with another value of a field, from the first page on and without an event.
    pub(super) fn with(&self, field: &str, value: &str) -> Self {
        let mut query = Self { after: String::new(), before: String::new(), event: String::new(), ..self.clone() };
        let place = match field {
            "q" => &mut query.q,
            "principal" => &mut query.principal,
            "key" => &mut query.key,
            "target" => &mut query.target,
            "action" => &mut query.action,
            "kind" => &mut query.kind,
            _ => {
                (query.from, query.to) = (String::new(), String::new());
                &mut query.period
            }
        };
        value.clone_into(place);
        query
    }

    /// Returns the query of another page: `after` or `before` the event with that number.
    pub(super) fn at(&self, field: &str, seq: &str) -> Self {
        let mut query = Self { after: String::new(), before: String::new(), event: String::new(), ..self.clone() };
        let place = if field == "after" { &mut query.after } else { &mut query.before };
        seq.clone_into(place);
        query
    }

    /// Returns the query of the same page with an event, or without one.
    pub(super) fn with_event(&self, event: &str) -> Self {
        Self { event: event.to_owned(), ..self.clone() }
    }

    /// Returns the query as text.
    pub(super) fn link(&self) -> String {
        page::query(&[
            ("q", &self.q),
            ("principal", &self.principal),
            ("key", &self.key),
            ("target", &self.target),
            ("action", &self.action),
            ("kind", &self.kind),
            ("period", &self.period),
            ("from", &self.from),
            ("to", &self.to),
            ("after", &self.after),
            ("before", &self.before),
            ("event", &self.event),
        ])
    }

    /// Returns the query of the whole filtered list.
    pub(super) fn export(&self) -> String {
        self.at("after", "").link()
    }

    /// Returns the fields that the form keeps and does not show.
    pub(super) fn kept(&self) -> Vec<(&'static str, &str)> {
        let kept = [
            ("principal", &self.principal),
            ("key", &self.key),
            ("target", &self.target),
            ("kind", &self.kind),
            ("period", &self.period),
        ];
        kept.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str())).collect()
    }

    /// Returns whether the fields for dates are shown.
    pub(super) fn has_dates(&self) -> bool {
        self.period == "dates" || !self.from.is_empty() || !self.to.is_empty()
    }

    /// Returns the selected period, one of [`PERIODS`].
    pub(super) fn selected_period(&self) -> &str {
        if self.has_dates() { "dates" } else { &self.period }
    }

    /// Returns whether the list is filtered at all.
    pub(super) fn is_filtered(&self) -> bool {
        !self.with_event("").at("after", "").link().is_empty()
    }

    /// Returns what the list is filtered by, with names.
    pub(super) fn chips(&self, reader: Reader<'_>) -> Vec<Chip> {
        let name = |id: &str| match id {
            "host" => "The host".to_owned(),
            "anonymous" => "Nobody signed in".to_owned(),
            id => match reader.object(id, None) {
                Part::Name(name, _) => show_email(&name).into_owned(),
                Part::Text(text) => text.into_owned(),
            },
        };
        let action = match AuditAction::from_name(&self.action) {
            Some(action) => action_name(action).1.to_owned(),
            None => self.action.clone(),
        };
        [
            ("principal", "Person or account", &self.principal, name(&self.principal)),
            ("key", "Key", &self.key, name(&self.key)),
            ("target", "About", &self.target, name(&self.target)),
            ("action", "Action", &self.action, action),
        ]
        .into_iter()
        .filter(|(_, _, value, _)| !value.is_empty())
        .map(|(field, label, _, name)| Chip { label, name, without: self.with(field, "").link() })
        .collect()
    }
}

/// Returns the heading and the name of an action in the list of actions.
const fn action_name(action: AuditAction) -> (&'static str, &'static str) {
    const KEYS: &str = "Keys";
    const ACCOUNTS: &str = "Service accounts";
    const MEMBERS: &str = "Members and invitations";
    const PROJECTS: &str = "Projects";
    const WORKSPACES: &str = "Workspaces";
    const USERS: &str = "Users";
    const INSTALLATION: &str = "Installation";
    const SIGN_INS: &str = "Sign-ins";
    match action {
        AuditAction::ApiKeyConfirm => (KEYS, "Key confirmed"),
        AuditAction::ApiKeyCreate => (KEYS, "Key added"),
        AuditAction::ApiKeyDisable => (KEYS, "Key disabled"),
        AuditAction::ApiKeyDisplace => (KEYS, "Key reclaimed"),
        AuditAction::ApiKeyEnable => (KEYS, "Key enabled"),
        AuditAction::ApiKeyLeak => (KEYS, "Key leaked"),
        AuditAction::ApiKeyProve => (KEYS, "Key proved"),
        AuditAction::ApiKeyRevoke => (KEYS, "Key revoked"),
        AuditAction::ApiKeyRotate => (KEYS, "Key rotated"),
        AuditAction::ApiKeyUndoRotation => (KEYS, "Rotation undone"),
        AuditAction::ApiKeyUpdate => (KEYS, "Key changed"),
        AuditAction::ProofChallengeCreate => (KEYS, "Challenge created"),
        AuditAction::RequestRefuse => (KEYS, "Requests refused"),
        AuditAction::ServiceAccountCreate => (ACCOUNTS, "Service account created"),
        AuditAction::ServiceAccountDelete => (ACCOUNTS, "Service account deleted"),
        AuditAction::ServiceAccountUpdate => (ACCOUNTS, "Service account changed"),
        AuditAction::InvitationAccept => (MEMBERS, "Invitation accepted"),
        AuditAction::InvitationCreate => (MEMBERS, "Invited"),
        AuditAction::InvitationMailFailed => (MEMBERS, "Invitation not mailed"),
        AuditAction::InvitationResend => (MEMBERS, "Invitation sent again"),
        AuditAction::InvitationRevoke => (MEMBERS, "Invitation revoked"),
        AuditAction::MemberAdd => (MEMBERS, "Member added"),
        AuditAction::MemberDisable => (MEMBERS, "Member disabled"),
        AuditAction::MemberEnable => (MEMBERS, "Member enabled"),
        AuditAction::MemberLoseEmail => (MEMBERS, "Email address lost"),
        AuditAction::MemberRemove => (MEMBERS, "Member removed"),
        AuditAction::MemberUpdate => (MEMBERS, "Role changed"),
        AuditAction::ProjectCreate => (PROJECTS, "Project created"),
        AuditAction::ProjectDelete => (PROJECTS, "Project deleted"),
        AuditAction::ProjectMemberRemove => (PROJECTS, "Removed from a project"),
        AuditAction::ProjectMemberSet => (PROJECTS, "Role in a project"),
        AuditAction::ProjectUpdate => (PROJECTS, "Project changed"),
        AuditAction::PolicyUpdate => (WORKSPACES, "Key policy set"),
        AuditAction::QuotaUpdate => (WORKSPACES, "Quotas changed"),
        AuditAction::WorkspaceCreate => (WORKSPACES, "Workspace created"),
        AuditAction::WorkspaceDelete => (WORKSPACES, "Workspace deleted"),
        AuditAction::WorkspaceUpdate => (WORKSPACES, "Workspace renamed"),
        AuditAction::UserChangePassword => (USERS, "Password changed"),
        AuditAction::UserConfirm => (USERS, "User confirmed"),
        AuditAction::UserCreate => (USERS, "User created"),
        AuditAction::UserLoseEmail => (USERS, "Email address lost"),
        AuditAction::UserSetPassword => (USERS, "Password set"),
        AuditAction::UserUpdate => (USERS, "User changed"),
        AuditAction::UserVerifyEmail => (USERS, "Email address verified"),
        AuditAction::InstallationReplaceKey => (INSTALLATION, "Installation key replaced"),
        AuditAction::InstallationRestore => (INSTALLATION, "Backup restored"),
        AuditAction::SetUpLinkCreate => (INSTALLATION, "Set-up link created"),
        AuditAction::SessionConfirm => (SIGN_INS, "Password confirmed"),
        AuditAction::SessionCreate => (SIGN_INS, "Signed in"),
        AuditAction::SessionEnd => (SIGN_INS, "Session ended"),
        AuditAction::SessionEndOthers => (SIGN_INS, "Other sessions ended"),
    }
}

/// Returns the actions of events that a workspace has, or those that it has not.
pub(super) fn action_groups(of_workspace: bool) -> Vec<ActionGroup> {
    let mut groups: Vec<ActionGroup> = Vec::new();
    for &action in AuditAction::ALL {
        let (label, name) = action_name(action);
        let is_listed = match label {
            "Keys" | "Workspaces" => true,
            "Users" | "Installation" | "Sign-ins" => !of_workspace,
            _ => of_workspace,
        };
        if !is_listed {
            continue;
        }
        match groups.iter_mut().find(|group| group.label == label) {
            Some(group) => group.actions.push((action.as_str(), name)),
            None => groups.push(ActionGroup { label, actions: vec![(action.as_str(), name)] }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_begins_at_midnight_and_dates_have_priority() {
        let now = at("2026-11-27T13:30:00Z");
        let from = |period: &str, from: &str| {
            let query = ActivityQuery { period: period.to_owned(), from: from.to_owned(), ..ActivityQuery::default() };
            query.filter(now).unwrap().from
        };
        assert_eq!(from("", ""), None);
        assert_eq!(from("today", ""), Some(at("2026-11-27T00:00:00Z")));
        assert_eq!(from("24h", ""), Some(at("2026-11-26T13:30:00Z")));
        assert_eq!(from("7d", ""), Some(at("2026-11-21T00:00:00Z")));
        assert_eq!(from("30d", ""), Some(at("2026-10-29T00:00:00Z")));
        assert_eq!(from("7d", "2026-01-02"), Some(at("2026-01-02T00:00:00Z")));
        let malformed = ActivityQuery { from: "yesterday".to_owned(), ..ActivityQuery::default() };
        assert!(malformed.filter(now).is_err());
    }

    #[test]
    fn what_is_no_id_is_looked_for() {
        let query = |principal: &str, key: &str| {
            let query =
                ActivityQuery { principal: principal.to_owned(), key: key.to_owned(), ..ActivityQuery::default() };
            query.with_ids_only().link()
        };
        let id = "01h455vb4pex5vsknk084sn02q";
        assert_eq!(query(&format!("usr_{id}"), ""), format!("?principal=usr_{id}"));
        assert_eq!(query("host", &format!("key_{id}")), format!("?principal=host&key=key_{id}"));
        assert_eq!(query(" ada@example.com", ""), "?q=ada%40example.com");
        assert_eq!(query("", "SHA256:Q04beK8"), "?q=SHA256%3AQ04beK8");
    }

    #[test]
    fn another_filter_starts_at_the_first_page() {
        let query = ActivityQuery {
            q: "ada@example.com".to_owned(),
            after: "7".to_owned(),
            event: "evt_1".to_owned(),
            ..ActivityQuery::default()
        };
        assert_eq!(query.with("kind", "refused").link(), "?q=ada%40example.com&kind=refused");
        assert_eq!(query.at("before", "9").link(), "?q=ada%40example.com&before=9");
        assert_eq!(query.with_event("").link(), "?q=ada%40example.com&after=7");
        assert!(query.is_filtered());
        assert!(!query.with("q", "").is_filtered());
    }
}
