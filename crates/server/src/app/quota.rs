//! Quotas. Operators set them.

use std::sync::Arc;

use domain::{AuditAction, WorkspaceId, limits::KeywardScope, quota::MAX_QUOTA, workspace::Workspace};

use super::{App, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction};
use crate::error::AppError;

impl App {
    /// Returns the quotas of a workspace.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn quotas(&self, caller: &Caller, workspace: WorkspaceId) -> Result<api::Quotas, AppError> {
        caller.principal.authorize_operator_of(workspace)?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace(&mut connection, workspace).await?;
        found.map(|found| to_wire(&found.quotas)).ok_or(AppError::not_found())
    }

    /// Sets the quotas of a workspace. Existing objects above a quota stay.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn update_quotas(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        update: api::UpdateQuotas,
    ) -> Result<Confirmed<api::Quotas>, ChangeError> {
        self.change(caller, UpdateQuotas { workspace, update }).await
    }
}

struct UpdateQuotas {
    workspace: WorkspaceId,
    update: api::UpdateQuotas,
}

impl Operation for UpdateQuotas {
    /// The workspace before the change, and with its new quotas.
    type Checked = (Workspace, Workspace);
    type Response = api::Quotas;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        scope.principal.authorize_operator_of(self.workspace)?;
        let found = store::workspace::find_workspace(scope.connection, self.workspace).await?;
        let before = found.ok_or(AppError::not_found())?;
        let mut workspace = before.clone();
        let (quotas, update) = (&mut workspace.quotas, &self.update);
        for (field, new, place) in [
            ("service_accounts", update.service_accounts, &mut quotas.service_accounts),
            ("keys_per_service_account", update.keys_per_service_account, &mut quotas.keys_per_service_account),
            ("keys_per_user", update.keys_per_user, &mut quotas.keys_per_user),
        ] {
            match new {
                Some(new) if new > MAX_QUOTA => {
                    return Err(AppError::field(field, "out_of_range", format!("choose 0 to {MAX_QUOTA}")));
                }
                Some(new) => *place = new,
                None => {}
            }
        }
        Ok((before, workspace))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (before, workspace): Self::Checked,
    ) -> Result<api::Quotas, AppError> {
        store::workspace::update_workspace(&mut transaction.change, &workspace).await?;
        let detail = Detail::of_change(&before, &workspace);
        transaction.note(app, AuditAction::QuotaUpdate, Some(workspace.id), workspace.id, detail);
        Ok(to_wire(&workspace.quotas))
    }
}

pub(super) fn to_wire(quotas: &domain::quota::Quotas) -> api::Quotas {
    api::Quotas {
        service_accounts: quotas.service_accounts,
        keys_per_service_account: quotas.keys_per_service_account,
        keys_per_user: quotas.keys_per_user,
    }
}
