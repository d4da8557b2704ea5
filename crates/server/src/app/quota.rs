//! Quotas, which operators raise.

use domain::{WorkspaceId, quota::MAX_QUOTA};

use super::{App, Caller};
use crate::error::AppError;

impl App {
    /// What a workspace may have.
    ///
    /// # Errors
    /// For operators only.
    pub async fn quotas(&self, caller: &Caller, workspace: WorkspaceId) -> Result<api::Quotas, AppError> {
        caller.principal.authorize_operator_of(workspace)?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace(&mut connection, workspace).await?;
        found.map(|found| to_wire(&found.quotas)).ok_or(AppError::not_found())
    }

    /// Sets what a workspace may have. What is there already stays, also where it is more.
    ///
    /// # Errors
    /// For operators only.
    pub async fn update_quotas(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        update: api::UpdateQuotas,
    ) -> Result<api::Quotas, AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize_operator_of(workspace)?;
        let found = store::workspace::find_workspace(&mut transaction.change, workspace).await?;
        let mut found = found.ok_or(AppError::not_found())?;
        for (field, new, place) in [
            ("service_accounts", update.service_accounts, &mut found.quotas.service_accounts),
            ("keys_per_service_account", update.keys_per_service_account, &mut found.quotas.keys_per_service_account),
            ("keys_per_user", update.keys_per_user, &mut found.quotas.keys_per_user),
        ] {
            match new {
                Some(new) if new > MAX_QUOTA => {
                    return Err(AppError::field(field, "out_of_range", format!("choose 0 to {MAX_QUOTA}")));
                }
                Some(new) => *place = new,
                None => {}
            }
        }
        store::workspace::update_workspace(&mut transaction.change, &found).await?;
        let quotas = to_wire(&found.quotas);
        transaction.note(
            self,
            "quota.update",
            Some(workspace),
            workspace,
            &[
                ("service_accounts", &quotas.service_accounts.to_string()),
                ("keys_per_service_account", &quotas.keys_per_service_account.to_string()),
                ("keys_per_user", &quotas.keys_per_user.to_string()),
            ],
        );
        self.commit(transaction, 200, quotas).await
    }
}

pub(super) fn to_wire(quotas: &domain::quota::Quotas) -> api::Quotas {
    api::Quotas {
        service_accounts: quotas.service_accounts,
        keys_per_service_account: quotas.keys_per_service_account,
        keys_per_user: quotas.keys_per_user,
    }
}
