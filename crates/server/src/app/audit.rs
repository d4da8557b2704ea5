//! Reading the audit log and its signed head.

use std::{collections::BTreeMap, fmt::Display, path::Path};

use domain::{
    ApiKeyId, AuditAction, AuditEventId, AuditKind, AuditPrincipal, Fingerprint, InstallationKey, PrincipalId,
    Timestamp, WorkspaceId, id::IdError, limits::Limits, principal::WorkspacePermission, user::Email,
};
use store::{
    Connection,
    audit::{EventFilter, EventObjects, EventPage, EventScope, EventSubject, LoggedEvent, VerifyReport},
    name::Named,
};

use super::{App, Caller, Detail, Paging, page};
use crate::error::AppError;

/// Conditions for the events to list.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// The principal: an email or address, `usr_…`, `sa_…`, `host` or `anonymous`.
    pub principal: Option<String>,
    /// The key: `key_…` or its fingerprint.
    pub key: Option<String>,
    /// The action, such as `api_key.create`.
    pub action: Option<String>,
    /// The kind of the action.
    pub kind: Option<AuditKind>,
    /// The id of the object that was changed.
    pub target: Option<String>,
    /// At or after this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
}

impl AuditFilter {
    /// Returns the conditions that need no look-up.
    fn to_conditions(&self) -> EventFilter {
        let Self { principal: _, key: _, action, kind, target, from, to } = self;
        EventFilter {
            action: action.clone(),
            kind: *kind,
            target: target.clone(),
            from: *from,
            to: *to,
            ..EventFilter::default()
        }
    }
}

impl App {
    /// Returns events of a workspace, the latest first.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn list_audit_events(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        filter: &AuditFilter,
        paging: &Paging,
    ) -> Result<api::Page<api::AuditEvent>, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewAuditEvents, workspace)?;
        self.read_audit_events(EventScope::Workspace(access), filter, paging).await
    }

    /// Returns events of the whole installation, the latest first.
    ///
    /// # Errors
    /// The caller is not the host. Operators only see the events of workspaces that they are members of.
    pub async fn list_all_audit_events(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        paging: &Paging,
    ) -> Result<api::Page<api::AuditEvent>, AppError> {
        let access = caller.principal.authorize_host()?;
        self.read_audit_events(EventScope::Installation(access), filter, paging).await
    }

    async fn read_audit_events(
        &self,
        scope: EventScope,
        filter: &AuditFilter,
        paging: &Paging,
    ) -> Result<api::Page<api::AuditEvent>, AppError> {
        // Checked before the principal is looked up, so that the error does not depend on which principals exist.
        let (limit, after) = (paging.limit()?, paging.after()?);
        let mut connection = self.store.read().await?;
        let Some(found) = find_logged(&mut connection, filter).await? else {
            return Ok(api::Page { items: Vec::new(), next: None });
        };
        let FoundFilter { principal, key } = found;
        let filter = EventFilter {
            principal,
            key,
            page: after.map_or(EventPage::Latest, EventPage::OlderThan),
            ..filter.to_conditions()
        };
        let limit_and_one = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        let events = store::audit::list_events(&mut connection, scope, &filter, limit_and_one).await?;
        Ok(page(events, limit, |logged| logged.seq.to_string(), audit_event))
    }

    /// Returns a page of the activity of a workspace, or of the installation without its workspaces, with the names of
    /// all objects in it. Unlike the list for programs, a filter by principal or key also finds the events about it.
    /// `search` restricts it to the events of the people, accounts, keys, projects, workspaces or IP address that the
    /// text may mean. If it means none, the list is empty.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, or not an operator.
    pub async fn list_activity(
        &self,
        caller: &Caller,
        workspace: Option<WorkspaceId>,
        filter: &AuditFilter,
        search: &str,
        shown: &ActivityPage,
    ) -> Result<Activity, AppError> {
        let scope = activity_scope(caller, workspace)?;
        let mut connection = self.store.read().await?;
        let mut activity = Activity::default();
        let found = find_logged(&mut connection, filter).await?;
        let is_known = found.is_some();
        let FoundFilter { principal, key } = found.unwrap_or_default();
        let id_of = |principal: AuditPrincipal| match principal {
            AuditPrincipal::User(id) => Some(PrincipalId::from(id)),
            AuditPrincipal::ServiceAccount(id) => Some(id.into()),
            AuditPrincipal::Host | AuditPrincipal::Anonymous => None,
        };
        // One of the two decides what the list is about. The other restricts it.
        let (subject, principal, key) = match (key, principal.and_then(id_of)) {
            (Some(key), _) => (Some(EventSubject::Key(key)), principal, None),
            (None, Some(id)) => (Some(EventSubject::Principal(id)), None, None),
            (None, None) => (None, principal, None),
        };
        let objects = match search {
            "" => None,
            text => Some(store::audit::find_objects(&mut connection, scope, text).await?),
        };
        if let Some(EventObjects { has_more, ip_address, first_entry, .. }) = &objects {
            activity.search_limit = match ip_address {
                Some(_) if *first_entry > 0 => Some(SearchLimit::Entries),
                _ => has_more.then_some(SearchLimit::Objects),
            };
        }
        if is_known {
            let position = match (shown.older_than, shown.newer_than) {
                (_, Some(seq)) => EventPage::NewerThan(seq),
                (Some(seq), None) => EventPage::OlderThan(seq),
                (None, None) => EventPage::Latest,
            };
            let filter = EventFilter { subject, objects, principal, key, page: position, ..filter.to_conditions() };
            let limit = usize::try_from(shown.limit).unwrap_or(usize::MAX);
            let mut events =
                store::audit::list_events(&mut connection, scope, &filter, shown.limit.saturating_add(1)).await?;
            let is_more = events.len() > limit;
            if shown.newer_than.is_some() {
                // The one too many is the newest, and the page that was left is older.
                if is_more {
                    events.remove(0);
                }
                (activity.has_newer, activity.has_older) = (is_more, true);
            } else {
                events.truncate(limit);
                (activity.has_newer, activity.has_older) = (shown.older_than.is_some(), is_more);
            }
            activity.events = events;
        }
        if let Some(id) = shown.event {
            activity.selected = store::audit::find_event(&mut connection, scope, id).await?;
        }
        let subject = match subject {
            Some(EventSubject::Key(key)) => Some(key.to_string()),
            Some(EventSubject::Principal(id)) => Some(id.to_string()),
            None => None,
        };
        let target = filter.target.clone();
        activity
            .name_everything(&mut connection, workspace, scope, subject.into_iter().chain(target).collect())
            .await?;
        Ok(activity)
    }

    /// Returns the head of the log as a signed note (C2SP tlog-checkpoint), to be stored elsewhere.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn sign_checkpoint(&self, caller: &Caller) -> Result<String, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        let checkpoint = store::audit::head_checkpoint(&mut connection).await?;
        checkpoint.sign(&self.installation_key).map_err(|e| AppError::Internal(e.to_string()))
    }

    /// Verifies the whole log, also against a checkpoint if there is one (a signed note of
    /// [`sign_checkpoint`](Self::sign_checkpoint)). The checkpoint is signed with the installation's key, or with the
    /// one in the file `old_key`. The report contains the errors in the log.
    ///
    /// # Errors
    /// The caller is not the host, the checkpoint is not from this installation, or the store does not answer.
    pub async fn verify_audit_log(
        &self,
        caller: &Caller,
        checkpoint: Option<&str>,
        old_key: Option<&Path>,
    ) -> Result<VerifyReport, AppError> {
        caller.principal.authorize_host()?;
        let mut connection = self.store.read().await?;
        let Some(note) = checkpoint else { return Ok(store::audit::verify_log(&mut connection, None).await?) };
        let origin = store::installation::find_installation(&mut connection).await?.log_origin();
        let old_key = old_key.map(store::installation_key::load_key).transpose()?;
        let verifier =
            |key: &InstallationKey, name: &str| key.verifier_key(name).map_err(|e| AppError::Internal(e.to_string()));
        let key = verifier(old_key.as_ref().unwrap_or(&self.installation_key), &origin)?;
        let checkpoint = key.open(note).map_err(|e| AppError::field("checkpoint", "malformed", e))?;
        let restores = store::audit::restore_origin(&origin);
        let mut restore_keys = vec![verifier(&self.installation_key, &restores)?];
        if let Some(old_key) = &old_key {
            restore_keys.push(verifier(old_key, &restores)?);
        }
        Ok(store::audit::verify_log_against(&mut connection, Some(&checkpoint), &restore_keys).await?)
    }
}

/// Which events of the activity to show.
#[derive(Clone, Debug)]
pub struct ActivityPage {
    /// Events older than the one with this number.
    pub older_than: Option<u64>,
    /// Events newer than the one with this number. It has priority.
    pub newer_than: Option<u64>,
    /// The maximum number of events.
    pub limit: u32,
    /// An event to show with all its values, also if it is not on the page.
    pub event: Option<AuditEventId>,
}

/// What a search leaves out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchLimit {
    /// The text is in the names of more objects than those whose events are listed.
    Objects,
    /// Only the latest entries of the log were searched, because the text is an IP address.
    Entries,
}

/// Events with the names of the objects in them.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    /// The events, the latest first.
    pub events: Vec<LoggedEvent>,
    /// The event to show with all its values, if it exists and the caller may read it.
    pub selected: Option<LoggedEvent>,
    /// Whether there are newer events.
    pub has_newer: bool,
    /// Whether there are older events.
    pub has_older: bool,
    /// What the search left out, if it did.
    pub search_limit: Option<SearchLimit>,
    /// The present names of the objects, by their ids. Other texts, and deleted projects, have none.
    pub names: BTreeMap<String, Named>,
}

/// The field of a revocation's event with the action that revoked the key, unless it was revoked itself.
pub const CAUSE: &str = "cause";
/// The field with the target of that action.
pub const CAUSE_TARGET: &str = "cause_target";

/// The field with the key that the target replaces.
pub const PREDECESSOR: &str = "predecessor";
/// The field with the key that replaces the target.
pub const SUCCESSOR: &str = "successor";

/// The event of the same change that revokes a key with it, such as the deletion of its owner. The event of the
/// revocation names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RevocationCause {
    action: AuditAction,
    target: String,
}

impl RevocationCause {
    /// Creates the cause: the event with this action and target.
    pub(super) fn new(action: AuditAction, target: impl Display) -> Self {
        Self { action, target: target.to_string() }
    }

    /// Adds it to the detail of the event of a revocation.
    pub(super) fn add_to(&self, detail: Detail) -> Detail {
        detail.with(CAUSE, self.action.as_str()).with(CAUSE_TARGET, &self.target)
    }
}

/// The fields of events that are ids of objects.
pub const ID_FIELDS: [&str; 6] = ["owner", "principal", "user", CAUSE_TARGET, PREDECESSOR, SUCCESSOR];

fn ids_of_projects(limits: Limits) -> impl Iterator<Item = String> {
    limits.projects.into_iter().flatten().map(|id| id.to_string())
}

impl Activity {
    /// Looks up the names of all objects in the events, and those of `filtered` that the caller may know. A filter
    /// may contain the id of any object, so an object that belongs to the workspace is named, and another one only if it
    /// is in an event here.
    pub(super) async fn name_everything(
        &mut self,
        connection: &mut Connection,
        workspace: Option<WorkspaceId>,
        scope: EventScope,
        filtered: Vec<String>,
    ) -> Result<(), AppError> {
        let mut ids: Vec<String> = Vec::new();
        for LoggedEvent { event, .. } in self.events.iter().chain(&self.selected) {
            ids.push(event.principal.to_string());
            ids.extend(event.key.map(|key| key.to_string()));
            ids.extend(event.workspace.map(|id| id.to_string()));
            ids.extend(event.target.clone());
            // Other values are texts of people, which may look like the id of another tenant's object.
            ids.extend(ID_FIELDS.iter().filter_map(|field| event.detail.get(*field)).cloned());
            // The projects of a key are those of its workspace. Keys of users belong to no workspace.
            if event.workspace.is_some() {
                let limits = ["limits", "limits_before"].into_iter().filter_map(|field| event.detail.get(field));
                ids.extend(limits.filter_map(|text| text.parse::<Limits>().ok()).flat_map(ids_of_projects));
            }
        }
        let mut names = store::name::find_names(connection, ids.iter().map(String::as_str)).await?;
        let others: Vec<&str> = filtered.iter().map(String::as_str).filter(|id| !names.contains_key(*id)).collect();
        if !others.is_empty() {
            let found = store::name::find_names(connection, others).await?;
            let members = match workspace {
                Some(id) => store::workspace::list_principals(connection, id).await?,
                None => Vec::new(),
            };
            let is_member = |id: &str| id.parse().is_ok_and(|id: PrincipalId| members.contains(&id));
            for (id, named) in found {
                let may_know = match (&named, workspace) {
                    (Named::ServiceAccount { workspace: of, .. } | Named::Project { workspace: of, .. }, place) => {
                        Some(*of) == place
                    }
                    (Named::User { .. }, Some(_)) => is_member(&id),
                    (Named::ApiKey { owner, .. }, Some(_)) => members.contains(owner),
                    (Named::Workspace { .. }, Some(place)) => id == place.to_string(),
                    // Operators list all users and all workspaces.
                    (Named::User { .. } | Named::Workspace { .. }, None) => true,
                    (Named::ApiKey { .. }, None) => false,
                };
                let principal = id.parse().ok().map(EventSubject::Principal);
                let subject = principal.or_else(|| id.parse().ok().map(EventSubject::Key));
                if may_know || is_in_an_event(connection, scope, subject).await? {
                    names.insert(id, named);
                }
            }
        }
        self.names = names;
        Ok(())
    }
}

/// Returns whether an event that may be read involves an object.
async fn is_in_an_event(
    connection: &mut Connection,
    scope: EventScope,
    subject: Option<EventSubject>,
) -> Result<bool, AppError> {
    if subject.is_none() {
        return Ok(false);
    }
    let filter = EventFilter { subject, ..EventFilter::default() };
    Ok(!store::audit::list_events(connection, scope, &filter, 1).await?.is_empty())
}

fn activity_scope(caller: &Caller, workspace: Option<WorkspaceId>) -> Result<EventScope, AppError> {
    Ok(match workspace {
        Some(id) => EventScope::Workspace(caller.principal.authorize(WorkspacePermission::ViewAuditEvents, id)?),
        None => EventScope::InstallationOwn(caller.principal.authorize_operator()?),
    })
}

/// Returns an event as the API returns it.
#[must_use]
pub fn audit_event(logged: LoggedEvent) -> api::AuditEvent {
    let LoggedEvent { seq: sequence, event } = logged;
    api::AuditEvent {
        id: event.id,
        sequence,
        at: event.at,
        principal: event.principal.to_string(),
        key: event.key.map(|key| key.to_string()),
        address: event.ip_address.map(|ip_address| ip_address.to_string()),
        action: event.action.into_owned(),
        target: event.target,
        detail: event.detail,
    }
}

/// The principal and the key of a filter.
#[derive(Default)]
struct FoundFilter {
    principal: Option<AuditPrincipal>,
    key: Option<ApiKeyId>,
}

/// Looks up the principal and the key of a filter, or returns `None` if one of them does not exist: no event matches.
/// The list is also empty for a user that the caller may not see, so that it does not reveal whether the email address
/// exists.
async fn find_logged(connection: &mut Connection, filter: &AuditFilter) -> Result<Option<FoundFilter>, AppError> {
    let mut found = FoundFilter::default();
    if let Some(text) = &filter.principal {
        found.principal = find_logged_principal(connection, text).await?;
    }
    if let Some(text) = &filter.key {
        found.key = find_logged_key(connection, text).await?;
    }
    let is_known =
        found.principal.is_some() == filter.principal.is_some() && found.key.is_some() == filter.key.is_some();
    Ok(is_known.then_some(found))
}

/// Returns the principal with a name for people or for the log, or `None` if there is none.
async fn find_logged_principal(connection: &mut Connection, text: &str) -> Result<Option<AuditPrincipal>, AppError> {
    if !text.contains('@') {
        return Ok(Some(text.parse().map_err(|e| AppError::field("principal", "malformed", e))?));
    }
    let email: Email = text.parse().map_err(|e| AppError::field("principal", "malformed", e))?;
    Ok(store::identity::find_principal_by_email(connection, email.as_str()).await?.map(AuditPrincipal::from))
}

/// Returns a key by its id or fingerprint. Of several registrations, it prefers the active one, and then one that was
/// used.
async fn find_logged_key(connection: &mut Connection, text: &str) -> Result<Option<ApiKeyId>, AppError> {
    if !text.starts_with("SHA256:") {
        return Ok(Some(text.parse().map_err(|e: IdError| AppError::field("key", "malformed", e))?));
    }
    let fingerprint: Fingerprint = text.parse().map_err(|e| AppError::field("key", "malformed", e))?;
    let registered = store::api_key::list_api_keys_by_fingerprint(connection, &fingerprint).await?;
    let now = registered.iter().find(|key| key.revoked_at.is_none());
    let used = registered.iter().find(|key| key.verified_at.is_some());
    Ok(now.or(used).or(registered.last()).map(|key| key.id))
}
