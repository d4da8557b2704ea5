//! Reading the audit log and its signed head.

use domain::{
    AuditPrincipal, Timestamp, WorkspaceId,
    principal::{Denied, WorkspacePermission},
};
use store::audit::VerifyReport;

use super::{App, Caller, Paging, page};
use crate::error::AppError;

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// By whom: `usr_…`, `sa_…`, `host` or `anonymous`.
    pub principal: Option<String>,
    /// With which key.
    pub key: Option<String>,
    /// Of which action, such as `api_key.create`.
    pub action: Option<String>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
}

impl App {
    /// Events of a workspace, the latest first.
    ///
    /// # Errors
    /// Only its admins read them.
    pub async fn list_audit_events(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        filter: &AuditFilter,
        paging: &Paging,
    ) -> Result<api::Page<api::AuditEvent>, AppError> {
        caller.principal.authorize(WorkspacePermission::ViewAuditEvents, workspace)?;
        self.read_audit_events(Some(workspace), filter, paging).await
    }

    /// Events of the whole installation, the latest first.
    ///
    /// # Errors
    /// Only the host reads them: an operator sees into those workspaces only in which they are a member.
    pub async fn list_all_audit_events(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        paging: &Paging,
    ) -> Result<api::Page<api::AuditEvent>, AppError> {
        require_host(caller)?;
        self.read_audit_events(None, filter, paging).await
    }

    async fn read_audit_events(
        &self,
        workspace: Option<WorkspaceId>,
        filter: &AuditFilter,
        paging: &Paging,
    ) -> Result<api::Page<api::AuditEvent>, AppError> {
        let limit = paging.limit()?;
        let parsed = |field: &str, text: &Option<String>| -> Result<Option<AuditPrincipal>, AppError> {
            text.as_deref().map(|text| text.parse().map_err(|e| AppError::field(field, "malformed", e))).transpose()
        };
        let key = filter
            .key
            .as_deref()
            .map(|key| key.parse().map_err(|e: domain::id::IdError| AppError::field("key", "malformed", e)))
            .transpose()?;
        let mut connection = self.store.read().await?;
        let events = store::audit::list_events(
            &mut connection,
            &store::audit::EventFilter {
                workspace,
                principal: parsed("principal", &filter.principal)?,
                key,
                action: filter.action.clone(),
                from: filter.from,
                to: filter.to,
                after: paging.after()?,
            },
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
                    address: event.address.map(|address| address.to_string()),
                    action: event.action.into_owned(),
                    target: event.target,
                    detail: event.detail,
                }
            },
        ))
    }

    /// The head of the log as a signed note (C2SP tlog-checkpoint), to be kept elsewhere.
    ///
    /// # Errors
    /// Only operators fetch it.
    pub async fn sign_checkpoint(&self, caller: &Caller) -> Result<String, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        let checkpoint = store::audit::head_checkpoint(&mut connection).await?;
        checkpoint.sign(&self.installation_key).map_err(|e| AppError::Internal(e.to_string()))
    }

    /// Verifies the whole log, against a checkpoint (a signed note of [`sign_checkpoint`](Self::sign_checkpoint)) where
    /// one is given. What is wrong with the log is in the report.
    ///
    /// # Errors
    /// On the host only; the checkpoint is not one of this installation; the store does not answer.
    pub async fn verify_audit_log(&self, caller: &Caller, checkpoint: Option<&str>) -> Result<VerifyReport, AppError> {
        require_host(caller)?;
        let mut connection = self.store.read().await?;
        let checkpoint = match checkpoint {
            Some(note) => {
                let origin = store::installation::find_installation(&mut connection).await?.log_origin();
                let key = self.installation_key.verifier_key(&origin).map_err(|e| AppError::Internal(e.to_string()))?;
                Some(key.open(note).map_err(|e| AppError::field("checkpoint", "malformed", e))?)
            }
            None => None,
        };
        Ok(store::audit::verify_log(&mut connection, checkpoint.as_ref()).await?)
    }
}

pub(super) fn require_host(caller: &Caller) -> Result<(), Denied> {
    if caller.principal.identity().is_none() { Ok(()) } else { Err(Denied::NotFound) }
}
