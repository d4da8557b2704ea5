//! Sentences about audit events: who did what to which object.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use domain::{AuditAction, AuditEvent, AuditPrincipal, PrincipalId, Timestamp, session::Device, user::show_email};
use store::name::Named;

use crate::{
    app::{CAUSE, CAUSE_TARGET},
    ui::page::{self, Place},
};

/// A part of a sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::ui) enum Part {
    /// Words.
    Text(Cow<'static, str>),
    /// The name of an object. It has the path of its page, if the reader may open it.
    Name(String, Option<String>),
}

/// How much attention an event deserves. Each has a mark of its own shape.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::ui) enum Severity {
    /// Nothing was changed.
    Quiet,
    /// An object was added.
    Added,
    /// An object was changed.
    Changed,
    /// A principal gained or lost rights, or an object works no longer.
    Notable,
    /// An object ended permanently.
    Ended,
    /// Requests were refused.
    Refused,
}

impl Severity {
    /// Returns the class of the mark.
    pub(in crate::ui) const fn class(self) -> &'static str {
        match self {
            Self::Quiet => "none",
            Self::Added => "add",
            Self::Changed => "change",
            Self::Notable => "warn",
            Self::Ended | Self::Refused => "bad",
        }
    }
}

/// A sentence about an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::ui) struct Sentence {
    /// What happened, in a few words, for a heading.
    pub(in crate::ui) title: &'static str,
    /// The sentence.
    pub(in crate::ui) parts: Vec<Part>,
    /// What else is to be said about it.
    pub(in crate::ui) note: Option<String>,
    pub(in crate::ui) severity: Severity,
}

impl Sentence {
    fn new(title: &'static str, severity: Severity, parts: impl IntoIterator<Item = Part>) -> Self {
        Self { title, parts: parts.into_iter().collect(), note: None, severity }
    }

    pub(super) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into()).filter(|note| !note.is_empty());
        self
    }
}

/// The sentence without links.
impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&self.parts))
    }
}

/// Returns the words without links.
fn plain(parts: &[Part]) -> String {
    let words = parts.iter().map(|part| match part {
        Part::Text(text) => text.as_ref(),
        Part::Name(name, _) => name.as_str(),
    });
    words.collect()
}

fn text(text: impl Into<Cow<'static, str>>) -> Part {
    Part::Text(text.into())
}

/// The reader of the events: what they may open, and the names of the objects.
#[derive(Clone, Copy)]
pub(in crate::ui) struct Reader<'a> {
    /// The names, by id.
    pub(in crate::ui) names: &'a BTreeMap<String, Named>,
    /// The workspace whose activity it is. `None`: the installation's.
    pub(in crate::ui) place: Option<&'a Place>,
}

impl Reader<'_> {
    /// Returns the path of the list of activity.
    pub(in crate::ui) fn base(self) -> String {
        self.place.map_or_else(|| "/operator/activity".to_owned(), |place| format!("{}/activity", place.path()))
    }

    fn filter(self, field: &str, value: &str) -> String {
        format!("{}{}", self.base(), page::query(&[(field, value)]))
    }

    /// Returns the name of an object and its page. `recorded` is its name in the event, for an object that is gone.
    pub(in crate::ui) fn object(self, id: &str, recorded: Option<&str>) -> Part {
        let recorded = || recorded.filter(|name| !name.is_empty()).map_or_else(|| id.to_owned(), str::to_owned);
        let here = |workspace| self.place.filter(|place| place.id == workspace);
        match self.names.get(id) {
            Some(Named::User { name, .. }) => Part::Name(name.clone(), Some(self.filter("principal", id))),
            Some(Named::ServiceAccount { workspace, name, is_deleted, .. }) => {
                let path = match here(*workspace) {
                    Some(place) if !is_deleted => format!("{}/service-accounts/{id}", place.path()),
                    _ => self.filter("principal", id),
                };
                Part::Name(name.clone(), Some(path))
            }
            Some(Named::ApiKey { owner, title }) => {
                let path = match self.names.get(&owner.to_string()) {
                    Some(Named::ServiceAccount { workspace, is_deleted: false, .. }) => {
                        here(*workspace).map(|place| format!("{}/service-accounts/{owner}/keys/{id}", place.path()))
                    }
                    _ => None,
                };
                Part::Name(title.clone(), Some(path.unwrap_or_else(|| self.filter("key", id))))
            }
            Some(Named::Project { workspace, title }) => {
                let path = here(*workspace).map(|place| format!("{}/projects/{id}", place.path()));
                Part::Name(title.clone(), path)
            }
            Some(Named::Workspace { name, is_deleted, .. }) => {
                let path = match self.place {
                    Some(place) if place.id.to_string() == id => Some(format!("{}/general", place.path())),
                    None if !is_deleted => Some(format!("/operator/workspaces/{id}")),
                    _ => None,
                };
                Part::Name(name.clone(), path)
            }
            None => Part::Name(recorded(), None),
        }
    }

    /// Returns the principal of an event. Its page is the list of its events.
    pub(in crate::ui) fn actor(self, principal: AuditPrincipal) -> Part {
        match principal {
            AuditPrincipal::Host => Part::Name("The host".to_owned(), Some(self.filter("principal", "host"))),
            AuditPrincipal::Anonymous => Part::Name("An unknown client".to_owned(), None),
            AuditPrincipal::User(_) | AuditPrincipal::ServiceAccount(_) => {
                let id = principal.to_string();
                match self.object(&id, None) {
                    Part::Name(name, _) => Part::Name(name, Some(self.filter("principal", &id))),
                    words @ Part::Text(_) => words,
                }
            }
        }
    }

    /// Returns the email of a user or the address of a service account.
    pub(in crate::ui) fn address(self, id: &str) -> Option<String> {
        match self.names.get(id)? {
            Named::User { email: address, .. } | Named::ServiceAccount { address, .. } => {
                Some(show_email(address).into_owned())
            }
            Named::ApiKey { .. } | Named::Project { .. } | Named::Workspace { .. } => None,
        }
    }

    /// Returns why a key was revoked, if it was not revoked itself.
    pub(in crate::ui) fn cause(self, event: &AuditEvent) -> Option<Vec<Part>> {
        let detail = |name: &str| event.detail.get(name).map(String::as_str);
        let (action, id) = (AuditAction::from_name(detail(CAUSE)?)?, detail(CAUSE_TARGET)?);
        let object = self.object(id, None);
        let registered = |end: &'static str| vec![text("Revoked with the keys that "), object.clone(), text(end)];
        Some(match action {
            AuditAction::ApiKeyRevoke => {
                vec![text("Revoked with the key "), object, text(", which registered it or a key before it")]
            }
            AuditAction::ApiKeyRotate => vec![text("The key "), object, text(" replaces it")],
            AuditAction::ApiKeyUndoRotation => vec![text("The rotation of the key "), object, text(" was undone")],
            AuditAction::ApiKeyDisplace => {
                vec![text("Revoked with the key "), object, text(", which another principal reclaimed")]
            }
            AuditAction::ServiceAccountDelete => vec![text("The service account "), object, text(" was deleted")],
            AuditAction::WorkspaceDelete => vec![text("The workspace was deleted")],
            AuditAction::MemberRemove if id == event.principal.to_string() => {
                registered(" registered, who left the workspace")
            }
            AuditAction::MemberRemove => registered(" registered, who was removed from the workspace"),
            AuditAction::MemberUpdate => registered(" registered, who is no longer an admin"),
            AuditAction::UserUpdate => registered(" registered, who was disabled"),
            _ => return None,
        })
    }

    /// Returns the sentence about an event.
    pub(in crate::ui) fn tell(self, event: &AuditEvent) -> Sentence {
        let Some(action) = AuditAction::from_name(&event.action) else {
            // Written by a node of a later release.
            let words = [self.actor(event.principal), text(format!(": {}", event.action))];
            return Sentence::new("Event", Severity::Changed, words);
        };
        Teller { reader: self, event }.tell(action)
    }
}

/// An event with its reader.
pub(super) struct Teller<'a> {
    pub(super) reader: Reader<'a>,
    event: &'a AuditEvent,
}

/// Returns the value for people of a field of an event.
pub(in crate::ui) fn show_value(field: &str, value: &str) -> String {
    match (field, value) {
        ("operator" | "email_verified" | "verified" | "registered_keys_revoked" | "self_rotated", "true") => {
            "Yes".to_owned()
        }
        ("operator" | "email_verified" | "verified" | "self_rotated", _) => "No".to_owned(),
        ("disabled", "true") => "Disabled".to_owned(),
        ("disabled", _) => "Active".to_owned(),
        ("role", role) => capitalise(role),
        ("expires_at", "never") => "Never".to_owned(),
        ("expires_at", time) => time
            .parse::<Timestamp>()
            .map_or_else(|_| time.to_owned(), |time| time.strftime("%-d %b %Y, %H:%M UTC").to_string()),
        ("email" | "email_before" | "address", address) => show_email(address).into_owned(),
        ("user_agent", agent) => Device::of_user_agent(agent).to_string(),
        (_, "") => "None".to_owned(),
        (_, value) => value.to_owned(),
    }
}

fn capitalise(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns the label for people of a field of an event.
pub(in crate::ui) fn label(field: &str) -> String {
    match field {
        "name" => "Name",
        "display_name" => "Display name",
        "title" => "Title",
        "description" => "Description",
        "role" => "Role",
        "disabled" => "State",
        "operator" => "Operator",
        "email" => "Email",
        "email_verified" => "Email verified",
        "address" => "Address",
        "expires_at" => "Expires",
        "limits" => "Limits",
        "fingerprint" => "Fingerprint",
        "owner" => "Owner",
        "slug" => "Slug",
        "service_accounts" => "Service accounts",
        "keys_per_service_account" => "Keys per service account",
        "keys_per_user" => "Keys per user",
        "principal" => "Member",
        "user" => "User",
        "user_agent" => "Device",
        "ended" => "Sessions",
        "reason" => "Reason",
        "own_keys" => "Their own keys",
        "registered_keys" => "Keys they registered for service accounts",
        "registered_keys_revoked" => "These keys were revoked",
        "keys" => "Keys",
        "users" => "Users",
        "size" => "Events",
        "root" => "Root",
        "before" => "Before",
        "after" => "After",
        _ => return capitalise(&field.replace('_', " ")),
    }
    .to_owned()
}

/// Returns a number with its noun.
pub(in crate::ui) fn count(number: &str, one: &str, many: &str) -> String {
    if number == "1" { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Returns a role with its article.
fn with_article(role: &str) -> String {
    let article = if role.starts_with(['a', 'e', 'o']) { "an" } else { "a" };
    format!("{article} {role}")
}

impl Teller<'_> {
    pub(super) fn detail(&self, name: &str) -> &str {
        self.event.detail.get(name).map_or("", String::as_str)
    }

    fn was_changed(&self, name: &str) -> bool {
        self.event.detail.contains_key(&format!("{name}_before"))
    }

    fn actor(&self) -> Part {
        self.reader.actor(self.event.principal)
    }

    fn target_id(&self) -> &str {
        self.event.target.as_deref().unwrap_or_default()
    }

    /// Returns the target, which the event calls `recorded`.
    fn target(&self, recorded: &str) -> Part {
        self.reader.object(self.target_id(), Some(self.detail(recorded)))
    }

    /// Returns the account with its name, or its recorded email.
    fn account(&self) -> Part {
        let recorded = if self.detail("email").is_empty() { self.detail("name") } else { self.detail("email") };
        self.reader.object(self.target_id(), Some(&show_email(recorded)))
    }

    /// Returns the service account. Events of before display names have a name only.
    fn service_account(&self) -> Part {
        self.target(if self.detail("display_name").is_empty() { "name" } else { "display_name" })
    }

    fn is_about_itself(&self) -> bool {
        self.event.principal.to_string() == self.target_id()
    }

    /// Returns the target as a key, with its owner unless it is the principal.
    fn key(&self, before_owner: &'static str) -> Vec<Part> {
        let mut parts = vec![self.target("title")];
        let named = match self.reader.names.get(self.target_id()) {
            Some(Named::ApiKey { owner, .. }) => Some(*owner),
            _ => None,
        };
        let owner: Option<PrincipalId> = self.detail("owner").parse().ok().or(named);
        if let Some(owner) = owner.filter(|owner| AuditPrincipal::from(*owner) != self.event.principal) {
            parts.extend([text(before_owner), self.reader.object(&owner.to_string(), None)]);
        }
        parts
    }

    pub(super) fn about_key(&self, title: &'static str, severity: Severity, verb: &'static str) -> Sentence {
        let words = [self.actor(), text(verb)].into_iter().chain(self.key(" of "));
        Sentence::new(title, severity, words)
    }

    fn invitation(&self) -> Part {
        let email = show_email(self.detail("email")).into_owned();
        Part::Name(email, self.reader.place.map(|place| format!("{}/invitations", place.path())))
    }

    /// Tells of a verb with the target as its object.
    fn did(&self, title: &'static str, severity: Severity, verb: &'static str, object: Part) -> Sentence {
        Sentence::new(title, severity, [self.actor(), text(verb), object])
    }

    #[expect(clippy::too_many_lines, reason = "a list with an entry for each action")]
    fn tell(&self, action: AuditAction) -> Sentence {
        use Severity::{Added, Changed, Ended, Notable, Quiet, Refused};
        match action {
            AuditAction::ApiKeyConfirm => self
                .about_key("Key confirmed", Changed, " confirmed the key ")
                .with_note("It was suspended since a restore"),
            AuditAction::ApiKeyCreate => {
                let words = [self.actor(), text(" added the key ")].into_iter().chain(self.key(" to "));
                let expiry = match self.detail("expires_at") {
                    "" | "never" => String::new(),
                    time => format!("Expires {}", show_value("expires_at", time)),
                };
                let notes = [expiry, self.reader.show_limits(self.detail("limits"))];
                let notes: Vec<String> = notes.into_iter().filter(|note| !note.is_empty()).collect();
                Sentence::new("Key added", Added, words).with_note(notes.join(". "))
            }
            AuditAction::ApiKeyDisable => self.about_key("Key disabled", Notable, " disabled the key "),
            AuditAction::ApiKeyDisplace => {
                let words = [text("The key ")].into_iter().chain(self.key(" of ")).chain([text(" was revoked")]);
                Sentence::new("Key revoked", Ended, words)
                    .with_note("Another principal proved that they hold the private key")
            }
            AuditAction::ApiKeyEnable => self.about_key("Key enabled", Changed, " enabled the key "),
            AuditAction::ApiKeyLeak => {
                let words =
                    [text("The key ")].into_iter().chain(self.key(" of ")).chain([text(" leaked and was revoked")]);
                Sentence::new("Key revoked", Ended, words)
                    .with_note("A holder of the private key revoked it, without any other credential")
            }
            AuditAction::ApiKeyProve => self.about_key("Key proved", Changed, " proved to hold the private key of "),
            AuditAction::ApiKeyRevoke => self
                .about_key("Key revoked", Ended, " revoked the key ")
                .with_note(self.reader.cause(self.event).map_or_else(String::new, |cause| plain(&cause))),
            AuditAction::ApiKeyRotate => {
                let end = match self.detail("expires_at_before") {
                    "" => String::new(),
                    _ => format!("It expires {}", show_value("expires_at", self.detail("expires_at"))),
                };
                let sentence = if self.detail("self_rotated") == "true" {
                    let words = [text("The key "), self.target("title"), text(" of "), self.actor()];
                    let words = words.into_iter().chain([text(" was rotated by itself")]);
                    Sentence::new("Key rotated by itself", Notable, words)
                } else {
                    self.about_key("Key rotated", Changed, " rotated the key ")
                };
                sentence.with_note(end)
            }
            AuditAction::ApiKeyUndoRotation => {
                self.about_key("Rotation undone", Changed, " undid the rotation of the key ")
            }
            AuditAction::ApiKeyUpdate if self.was_changed("limits") => self.changed_limits(),
            AuditAction::ApiKeyUpdate if self.was_changed("expires_at") => {
                self.about_key("Expiry date changed", Changed, " changed the expiry date of the key ")
            }
            AuditAction::ApiKeyUpdate if self.was_changed("title") => {
                self.about_key("Key renamed", Changed, " renamed the key ")
            }
            AuditAction::ApiKeyUpdate => self.about_key("Key changed", Changed, " changed the key "),
            AuditAction::InstallationReplaceKey => {
                self.did("Installation key replaced", Notable, " replaced the ", text("installation key"))
            }
            AuditAction::InstallationRestore => {
                let keys = count(self.detail("keys"), "key is", "keys are");
                let users = count(self.detail("users"), "user", "users");
                self.did("Backup restored", Notable, " restored ", text("a backup"))
                    .with_note(format!("{keys} suspended until they are confirmed, and so is the sign-in of {users}"))
            }
            AuditAction::InvitationAccept => {
                let user = match self.detail("user") {
                    "" => self.actor(),
                    id => self.reader.object(id, Some(&show_email(self.detail("email")))),
                };
                let role = with_article(self.detail("role"));
                Sentence::new("Invitation accepted", Added, [user, text(format!(" joined the workspace as {role}"))])
            }
            AuditAction::InvitationCreate => {
                let role = with_article(self.detail("role"));
                let words = [self.actor(), text(" invited "), self.invitation(), text(format!(" as {role}"))];
                Sentence::new("Invited", Added, words)
            }
            AuditAction::InvitationMailFailed => {
                let words = [text("The invitation to "), self.invitation(), text(" could not be mailed")];
                Sentence::new("Invitation not mailed", Notable, words).with_note("The mail server did not accept it")
            }
            AuditAction::InvitationResend => {
                let words = [self.actor(), text(" sent the invitation to "), self.invitation(), text(" again")];
                Sentence::new("Invitation sent again", Changed, words)
            }
            AuditAction::InvitationRevoke => {
                self.did("Invitation revoked", Ended, " revoked the invitation to ", self.invitation())
            }
            AuditAction::MemberAdd if self.is_about_itself() => {
                let role = self.detail("role");
                let words = [self.actor(), text(format!(" became the first {role} of the workspace"))];
                Sentence::new("Member added", Notable, words)
            }
            AuditAction::MemberAdd => {
                let role = with_article(self.detail("role"));
                let words = [self.actor(), text(" made "), self.account(), text(format!(" {role} of the workspace"))];
                Sentence::new("Member added", Notable, words)
            }
            AuditAction::MemberDisable => self
                .did("User disabled", Notable, " disabled ", self.account())
                .with_note("Their sessions ended, and their keys are refused"),
            AuditAction::MemberEnable => self.did("User enabled", Changed, " enabled ", self.account()),
            AuditAction::MemberLoseEmail | AuditAction::UserLoseEmail => {
                let email = Part::Name(show_email(self.detail("email_before")).into_owned(), None);
                let words = [self.account(), text(" lost the email address "), email];
                Sentence::new("Email address lost", Notable, words)
                    .with_note("It was not verified, and another user verified it")
            }
            AuditAction::MemberRemove if self.is_about_itself() => {
                Sentence::new("Member left", Ended, [self.actor(), text(" left the workspace")])
            }
            AuditAction::MemberRemove => {
                let words = [self.actor(), text(" removed "), self.account(), text(" from the workspace")];
                Sentence::new("Member removed", Ended, words)
            }
            AuditAction::MemberUpdate | AuditAction::ServiceAccountUpdate if self.was_changed("role") => {
                let object = if action == AuditAction::MemberUpdate { self.account() } else { self.service_account() };
                let role = show_value("role", self.detail("role"));
                let words = [self.actor(), text(" changed the role of "), object, text(format!(" to {role}"))];
                Sentence::new("Role changed", Notable, words)
            }
            AuditAction::MemberUpdate => self.did("Member changed", Changed, " changed ", self.account()),
            AuditAction::ProjectCreate => {
                self.did("Project created", Added, " created the project ", self.target("title"))
            }
            AuditAction::ProjectDelete => {
                self.did("Project deleted", Ended, " deleted the project ", self.target("title"))
            }
            AuditAction::ProjectMemberRemove if self.detail("principal") == self.event.principal.to_string() => {
                self.did("Project left", Changed, " left the project ", self.target("title"))
            }
            AuditAction::ProjectMemberRemove => {
                let member = self.reader.object(self.detail("principal"), None);
                let words = [self.actor(), text(" removed "), member, text(" from the project "), self.target("title")];
                Sentence::new("Removed from a project", Changed, words)
            }
            AuditAction::ProjectMemberSet => {
                let member = self.reader.object(self.detail("principal"), None);
                let role = with_article(self.detail("role"));
                let of = text(format!(" {role} of the project "));
                Sentence::new(
                    "Role in a project",
                    Changed,
                    [self.actor(), text(" made "), member, of, self.target("title")],
                )
            }
            AuditAction::ProjectUpdate if self.was_changed("title") => {
                self.did("Project renamed", Changed, " renamed the project ", self.target("title"))
            }
            AuditAction::ProjectUpdate => {
                self.did("Project changed", Changed, " changed the project ", self.target("title"))
            }
            AuditAction::ProofChallengeCreate => {
                self.did("Challenge created", Quiet, " asked for a challenge ", text("to prove a key"))
            }
            AuditAction::PolicyUpdate => {
                let words = match self.event.workspace {
                    Some(_) => text("of the workspace"),
                    None => text("of the installation"),
                };
                self.did("Key policy set", Notable, " set the policy for keys ", words)
            }
            AuditAction::QuotaUpdate => {
                self.did("Quotas changed", Changed, " changed the quotas of the workspace ", self.target("name"))
            }
            AuditAction::RequestRefuse => {
                let requests = count(self.detail("count"), "request", "requests");
                let verb = if self.detail("count") == "1" { " was refused" } else { " were refused" };
                Sentence::new("Requests refused", Refused, [Part::Name(requests, None), text(verb)])
            }
            AuditAction::ServiceAccountCreate => {
                self.did("Service account created", Added, " created the service account ", self.service_account())
            }
            AuditAction::ServiceAccountDelete => {
                self.did("Service account deleted", Ended, " deleted the service account ", self.service_account())
            }
            AuditAction::ServiceAccountUpdate => self.updated_service_account(),
            AuditAction::SessionConfirm => {
                self.did("Password confirmed", Quiet, " entered their password ", text("again"))
            }
            AuditAction::SessionCreate => {
                let device = match self.detail("user_agent") {
                    "" => String::new(),
                    agent => show_value("user_agent", agent),
                };
                Sentence::new("Signed in", Quiet, [self.actor(), text(" signed in")]).with_note(device)
            }
            AuditAction::SessionEnd => Sentence::new("Session ended", Quiet, [self.actor(), text(" ended a session")]),
            AuditAction::SessionEndOthers => {
                let sessions = count(self.detail("ended"), "session", "sessions");
                Sentence::new("Sessions ended", Notable, [self.actor(), text(" ended all their other sessions")])
                    .with_note(sessions)
            }
            AuditAction::SetUpLinkCreate => {
                self.did("Set-up link created", Notable, " created ", text("the link that sets up this installation"))
            }
            AuditAction::UserChangePassword => {
                Sentence::new("Password changed", Notable, [self.actor(), text(" changed their password")])
                    .with_note("Their other sessions ended")
            }
            AuditAction::UserConfirm => self
                .did("User confirmed", Changed, " confirmed ", self.account())
                .with_note("They can sign in again after the restore"),
            AuditAction::UserCreate if matches!(self.event.principal, AuditPrincipal::Anonymous) => {
                Sentence::new("User created", Added, [self.account(), text(" created their account")])
            }
            AuditAction::UserCreate => self
                .did("User created", Added, " created the user ", self.account())
                .with_note(if self.detail("operator") == "true" { "An operator" } else { "" }),
            AuditAction::UserSetPassword => {
                self.did("Password set", Notable, " set a new password for ", self.account())
            }
            AuditAction::UserUpdate => self.updated_user(),
            AuditAction::UserVerifyEmail => {
                let email = text(show_email(self.detail("email")).into_owned());
                Sentence::new("Email verified", Changed, [self.account(), text(" verified the email address "), email])
            }
            AuditAction::WorkspaceCreate => {
                self.did("Workspace created", Added, " created the workspace ", self.target("name"))
            }
            AuditAction::WorkspaceDelete => {
                self.did("Workspace deleted", Ended, " deleted the workspace ", self.target("name"))
            }
            AuditAction::WorkspaceUpdate => {
                self.did("Workspace renamed", Changed, " renamed the workspace ", self.target("name"))
            }
        }
    }

    fn updated_service_account(&self) -> Sentence {
        let account = self.service_account();
        match self.detail("disabled") {
            "true" if self.was_changed("disabled") => self
                .did("Service account disabled", Severity::Notable, " disabled the service account ", account)
                .with_note("Its keys are refused"),
            _ if self.was_changed("disabled") => {
                self.did("Service account enabled", Severity::Changed, " enabled the service account ", account)
            }
            _ if self.was_changed("address") => {
                self.did("Address changed", Severity::Notable, " changed the address of the service account ", account)
            }
            _ if self.was_changed("display_name") || self.was_changed("name") => {
                self.did("Service account renamed", Severity::Changed, " renamed the service account ", account)
            }
            _ => self.did("Service account changed", Severity::Changed, " changed the service account ", account),
        }
    }

    fn updated_user(&self) -> Sentence {
        let user = self.account();
        match (self.detail("operator"), self.detail("disabled")) {
            ("true", _) if self.was_changed("operator") => {
                let words = [self.actor(), text(" made "), user, text(" an operator")];
                Sentence::new("Operator added", Severity::Notable, words)
            }
            (_, _) if self.was_changed("operator") => {
                let words = [self.actor(), text(" removed the operator role from "), user];
                Sentence::new("Operator removed", Severity::Notable, words)
            }
            (_, "true") if self.was_changed("disabled") => self
                .did("User disabled", Severity::Notable, " disabled ", user)
                .with_note("Their sessions ended, and their keys are refused"),
            (_, _) if self.was_changed("disabled") => self.did("User enabled", Severity::Changed, " enabled ", user),
            (_, _) => self.did("User changed", Severity::Changed, " changed ", user),
        }
    }
}

/// Returns the reason of a refusal, as a sentence without a full stop.
pub(in crate::ui) fn refusal_reason(code: &str) -> Option<&'static str> {
    Some(match code {
        "missing" => "No credential",
        "several" => "More than one credential, or different reasons",
        "malformed" => "The credential is malformed",
        "encord_version_1" => "Signed with the first scheme of the Encord SDK, which is never accepted",
        "unknown_key" => "No such key is registered",
        "key_revoked" => "The key is revoked",
        "bad_signature" => "The signature does not verify",
        "unknown_token" => "The bearer token is unknown",
        "wrong_password" => "Wrong email address or password",
        "session_ended" => "The session has ended",
        "stale" => "The signature is too old. The clock may be behind",
        "early" => "The signature is in the future. The clock is ahead",
        "unacceptable" => "The signature does not fit its profile",
        "digest_mismatch" => "The body does not match its digest",
        "nonce_reused" => "The nonce was used before",
        "host_not_listed" => "Signatures of the Encord SDK are not accepted on this host",
        "key_disabled" => "The key is disabled",
        "key_suspended" => "The key is suspended since a restore",
        "key_expired" => "The key has expired",
        "owner_disabled" => "The owner of the key is disabled",
        "owner_suspended" => "The owner of the key is suspended since a restore",
        "sign_in_suspended" => "The sign-in is suspended since a restore",
        "owner_without_workspace" => "The owner of the key is a member of no workspace",
        "token_expired" => "The bearer token has expired",
        "outside_policy" => "The key is outside the policy for keys",
        "address_not_allowed" => "The key is limited to other networks",
        "key_not_yet_valid" => "The key is not accepted yet",
        "forbidden" => "The routes do not allow it",
        "not_found" => "The route needs what the client may not see",
        "invalid_path" => "The path has more than one meaning",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use domain::{ApiKeyId, AuditEventId, ServiceAccountId, UserId, WorkspaceId, role::Role};
    use uuid::Uuid;

    use super::*;

    fn place() -> Place {
        Place {
            id: WorkspaceId::from_uuid(Uuid::from_u128(1)),
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            role: Role::Admin,
        }
    }

    fn event(action: &'static str, target: &str, detail: &[(&str, &str)]) -> AuditEvent {
        AuditEvent {
            id: AuditEventId::from_uuid(Uuid::from_u128(1)),
            at: Timestamp::UNIX_EPOCH,
            workspace: Some(place().id),
            principal: AuditPrincipal::User(UserId::from_uuid(Uuid::from_u128(1))),
            key: None,
            ip_address: None,
            action: action.into(),
            target: Some(target.to_owned()),
            detail: detail.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    /// Olivia, the account demo-bot of the workspace, and its key runner-20.
    fn names() -> (BTreeMap<String, Named>, String, String, String) {
        let olivia = UserId::from_uuid(Uuid::from_u128(1)).to_string();
        let bot = ServiceAccountId::from_uuid(Uuid::from_u128(2));
        let key = ApiKeyId::from_uuid(Uuid::from_u128(3)).to_string();
        let names = BTreeMap::from([
            (olivia.clone(), Named::User { name: "Olivia Berg".to_owned(), email: "olivia@example.com".to_owned() }),
            (
                bot.to_string(),
                Named::ServiceAccount {
                    workspace: place().id,
                    name: "demo-bot".to_owned(),
                    address: "demo-bot@acme.sa.keyward.local".to_owned(),
                    is_deleted: false,
                },
            ),
            (key.clone(), Named::ApiKey { owner: bot.into(), title: "runner-20".to_owned() }),
        ]);
        (names, olivia, bot.to_string(), key)
    }

    #[test]
    fn a_sentence_names_the_principal_and_the_object() {
        let (names, olivia, bot, key) = names();
        let place = place();
        let reader = Reader { names: &names, place: Some(&place) };
        let revoked = reader.tell(&event("api_key.revoke", &key, &[("owner", &bot), ("title", "old title")]));
        assert_eq!(revoked.to_string(), "Olivia Berg revoked the key runner-20 of demo-bot");
        assert_eq!(revoked.severity, Severity::Ended);
        let links: Vec<_> = revoked
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Name(_, path) => path.as_deref(),
                Part::Text(_) => None,
            })
            .collect();
        assert_eq!(
            links,
            [
                format!("/w/acme/activity?principal={olivia}").as_str(),
                format!("/w/acme/service-accounts/{bot}/keys/{key}").as_str(),
                format!("/w/acme/service-accounts/{bot}").as_str(),
            ]
        );
        for (action, target, detail, told) in [
            ("api_key.create", key.as_str(), &[("owner", bot.as_str())][..], "added the key runner-20 to demo-bot"),
            (
                "api_key.update",
                key.as_str(),
                &[("owner", bot.as_str()), ("limits", "scopes=keyward:read"), ("limits_before", "")],
                "limited the key runner-20 of demo-bot",
            ),
            ("api_key.create", "key_gone", &[("owner", &olivia), ("title", "laptop")], "added the key laptop"),
            (
                "member.update",
                &olivia,
                &[("role", "admin"), ("role_before", "member")],
                "changed the role of Olivia Berg to Admin",
            ),
            (
                "service_account.update",
                &bot,
                &[("disabled", "true"), ("disabled_before", "false")],
                "disabled the service account demo-bot",
            ),
            (
                "project.member.set",
                "prj_gone",
                &[("principal", &bot), ("role", "editor"), ("title", "Cats")],
                "made demo-bot an editor of the project Cats",
            ),
            ("project.delete", "prj_gone", &[("title", "Cats")], "deleted the project Cats"),
            (
                "invitation.create",
                "inv_1",
                &[("email", "lee@example.com"), ("role", "member")],
                "invited lee@example.com as a member",
            ),
            ("member.remove", &olivia, &[], "left the workspace"),
            ("member.add", &olivia, &[("role", "admin")], "became the first admin of the workspace"),
            ("user.update", &bot, &[("operator", "true"), ("operator_before", "false")], "made demo-bot an operator"),
        ] {
            assert_eq!(reader.tell(&event(action, target, detail)).to_string(), format!("Olivia Berg {told}"));
        }
        for (cause, target, told) in [
            ("api_key.revoke", key.as_str(), "Revoked with the key runner-20, which registered it or a key before it"),
            ("service_account.delete", &bot, "The service account demo-bot was deleted"),
            ("workspace.delete", "ws_1", "The workspace was deleted"),
            ("member.remove", &olivia, "Revoked with the keys that Olivia Berg registered, who left the workspace"),
            (
                "member.remove",
                &bot,
                "Revoked with the keys that demo-bot registered, who was removed from the workspace",
            ),
            ("member.update", &olivia, "Revoked with the keys that Olivia Berg registered, who is no longer an admin"),
            ("user.update", &olivia, "Revoked with the keys that Olivia Berg registered, who was disabled"),
        ] {
            let detail = [("owner", bot.as_str()), (CAUSE, cause), (CAUSE_TARGET, target)];
            assert_eq!(reader.tell(&event("api_key.revoke", &key, &detail)).note.as_deref(), Some(told));
        }
        for (itself, told) in [
            ("false", "Olivia Berg rotated the key runner-20 of demo-bot"),
            ("true", "The key runner-20 of Olivia Berg was rotated by itself"),
        ] {
            let detail = [("owner", bot.as_str()), ("self_rotated", itself)];
            assert_eq!(reader.tell(&event("api_key.rotate", &key, &detail)).to_string(), told);
        }
        let later = reader.tell(&event("webhook.create", "wh_1", &[]));
        assert_eq!(later.to_string(), "Olivia Berg: webhook.create");
    }

    #[test]
    fn every_action_has_a_sentence_without_its_name_and_without_an_id() {
        let (names, _, bot, _) = names();
        let place = place();
        for place in [None, Some(&place)] {
            let reader = Reader { names: &names, place };
            for action in AuditAction::ALL {
                let sentence = reader.tell(&event(
                    action.as_str(),
                    &bot,
                    &[("principal", &bot), ("count", "3"), ("email", "lee@example.com"), ("role", "member")],
                ));
                let text = sentence.to_string();
                assert!(!text.contains(action.as_str()) && !text.contains('_'), "{action}: {text}");
                assert!(!text.contains("  ") && text.len() > 10, "{action}: {text}");
                assert!(!sentence.title.is_empty() && !sentence.title.contains(['.', '_']), "{action}");
            }
        }
    }

    #[test]
    fn every_reason_of_a_refusal_has_a_sentence() {
        let source = include_str!("../../../../verifier/src/authentication.rs");
        let codes: Vec<&str> = source
            .lines()
            .skip_while(|line| !line.contains("pub const fn code"))
            .take_while(|line| *line != "    }")
            .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
            .collect();
        assert!(codes.len() > 20, "{codes:?}");
        for code in codes.into_iter().chain(["forbidden", "not_found", "invalid_path"]) {
            assert!(refusal_reason(code).is_some(), "{code}");
        }
        assert_eq!(refusal_reason("of_a_later_release"), None);
    }
}
