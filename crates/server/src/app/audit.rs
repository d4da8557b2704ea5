//! Reading the audit log and its signed head.

use std::path::Path;

use domain::{
    ApiKeyId, AuditPrincipal, Fingerprint, InstallationKey, Timestamp, WorkspaceId, id::IdError,
    principal::WorkspacePermission, user::Email,
};
use store::{
    Connection,
    audit::{EventFilter, EventScope, VerifyReport},
};

use super::{App, Caller, Paging, page};
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
    /// At or after this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
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
        let (mut principal, mut key) = (None, None);
        if let Some(text) = &filter.principal {
            principal = find_logged_principal(&mut connection, text).await?;
        }
        if let Some(text) = &filter.key {
            key = find_logged_key(&mut connection, text).await?;
        }
        // The result is also empty for a user that the caller may not see, so that it does not reveal whether the email
        // address exists.
        if principal.is_some() != filter.principal.is_some() || key.is_some() != filter.key.is_some() {
            return Ok(api::Page { items: Vec::new(), next: None });
        }
        let events = store::audit::list_events(
            &mut connection,
            scope,
            &EventFilter { principal, key, action: filter.action.clone(), from: filter.from, to: filter.to, after },
            u32::try_from(limit + 1).unwrap_or(u32::MAX),
        )
        .await?;
        Ok(page(
            events,
            limit,
            |logged| logged.seq.to_string(),
            |logged| {
                let store::audit::LoggedEvent { seq: sequence, event } = logged;
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
            },
        ))
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
