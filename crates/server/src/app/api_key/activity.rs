//! The activity of a key, for its page: its latest events, and the event of its revocation.

use domain::{ApiKeyId, AuditAction, Timestamp, principal::WorkspacePermission};
use store::audit::{EventFilter, EventScope, EventSubject, LoggedEvent};

use super::{Access, KeyOwner, authorize, find_of_owner};
use crate::{
    app::{Activity, App, Caller},
    error::AppError,
};

/// What happened to a key, and with it.
#[derive(Clone, Debug, Default)]
pub struct KeyActivity {
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The event of its revocation, if the caller may read it and the log has it.
    pub revocation: Option<LoggedEvent>,
    /// The latest events, with the names of the objects in them and in `revocation`.
    pub latest: Activity,
}

impl App {
    /// Returns the latest events of a key. For a key of a service account, they are those of its workspace, for an
    /// admin. For one of the caller's own keys, they are those of no workspace: what was done to the key. The events of
    /// requests with it belong to the activity of the workspaces.
    ///
    /// # Errors
    /// The caller may not view the key.
    pub async fn find_key_activity(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        limit: u32,
    ) -> Result<KeyActivity, AppError> {
        let principal = &caller.principal;
        let authorized = authorize(principal, owner, Access::View)?;
        let mut connection = self.store.read().await?;
        let key = find_of_owner(&mut connection, &authorized, id).await?;
        let mut found = KeyActivity { revoked_at: key.revoked_at, ..KeyActivity::default() };
        let (scope, workspace) = match owner {
            KeyOwner::Own => (principal.authorize_own().map(EventScope::OwnKeys), None),
            KeyOwner::ServiceAccount(workspace, _) => {
                let access = principal.authorize(WorkspacePermission::ViewAuditEvents, workspace);
                (access.map(EventScope::Workspace), Some(workspace))
            }
            KeyOwner::User(_) => (principal.authorize_host().map(EventScope::Installation), None),
        };
        let Ok(scope) = scope else { return Ok(found) };
        if key.revoked_at.is_some() {
            let actions: &[AuditAction] = match key.displaced_at {
                Some(_) => &[AuditAction::ApiKeyDisplace],
                None => &[AuditAction::ApiKeyRevoke, AuditAction::ApiKeyLeak],
            };
            for action in actions {
                let filter = EventFilter {
                    action: Some(action.to_string()),
                    target: Some(id.to_string()),
                    ..EventFilter::default()
                };
                let events = store::audit::list_events(&mut connection, scope, &filter, 1).await?;
                found.revocation = found.revocation.or(events.into_iter().next());
            }
        }
        let filter = EventFilter { subject: Some(EventSubject::Key(id)), ..EventFilter::default() };
        found.latest.events = store::audit::list_events(&mut connection, scope, &filter, limit).await?;
        found.latest.selected.clone_from(&found.revocation);
        found.latest.name_everything(&mut connection, workspace, scope, Vec::new()).await?;
        Ok(found)
    }
}
