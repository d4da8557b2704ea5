//! Service accounts of a workspace.

use domain::{
    PrincipalId, ServiceAccountId, WorkspaceId,
    principal::{Principal, WorkspacePermission},
    quota::require_room,
    role::Role,
    service_account::{ServiceAccount, service_account_address},
    text::parse_description,
    workspace::{Slug, Workspace},
};
use store::Connection;

use super::{App, Caller, Paging, Transaction};
use crate::error::AppError;

impl App {
    async fn service_account_to_wire(
        &self,
        connection: &mut Connection,
        workspace: &Workspace,
        account: ServiceAccount,
    ) -> Result<api::ServiceAccount, AppError> {
        let live = store::api_key::count_live_api_keys(connection, account.id.into(), self.clock.now()).await?;
        Ok(api::ServiceAccount {
            id: account.id,
            name: account.name.to_string(),
            description: account.description,
            email: account.address,
            role: account.role,
            disabled: account.disabled,
            created_at: account.created_at,
            keys: api::KeyCount { live, limit: workspace.quotas.keys_per_service_account },
        })
    }

    /// Service accounts of a workspace.
    ///
    /// # Errors
    /// For its admins only.
    pub async fn list_service_accounts(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        paging: &Paging,
    ) -> Result<api::Page<api::ServiceAccount>, AppError> {
        caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let limit = paging.limit()?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace(&mut connection, workspace).await?;
        let found = found.ok_or(AppError::not_found())?;
        let accounts =
            store::service_account::list_service_accounts(&mut connection, workspace, paging.after()?, limit + 1)
                .await?;
        let mut rows = Vec::with_capacity(accounts.len());
        for account in accounts {
            rows.push(self.service_account_to_wire(&mut connection, &found, account).await?);
        }
        Ok(super::page(rows, limit, |row| row.id.to_string(), |row| row))
    }

    /// How many service accounts a workspace has.
    ///
    /// # Errors
    /// For its admins only.
    pub async fn count_service_accounts(&self, caller: &Caller, workspace: WorkspaceId) -> Result<u32, AppError> {
        caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let mut connection = self.store.read().await?;
        let present = store::service_account::count_service_accounts(&mut connection, workspace).await?;
        Ok(u32::try_from(present).unwrap_or(u32::MAX))
    }

    /// A service account.
    ///
    /// # Errors
    /// For the workspace's admins only.
    pub async fn find_service_account(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ServiceAccountId,
    ) -> Result<api::ServiceAccount, AppError> {
        caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let mut connection = self.store.read().await?;
        let (found, account) = find(&mut connection, workspace, id).await?;
        self.service_account_to_wire(&mut connection, &found, account).await
    }

    /// The service account of an address, with its workspace, for commands on the host.
    ///
    /// # Errors
    /// There is none; for operators only.
    pub async fn find_service_account_by_address(
        &self,
        caller: &Caller,
        address: &str,
    ) -> Result<(WorkspaceId, ServiceAccountId), AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        let found = store::service_account::find_service_account_by_address(&mut connection, address).await?;
        found.map(|account| (account.workspace, account.id)).ok_or(AppError::not_found())
    }

    /// Creates a service account. It is a member until somebody says otherwise.
    ///
    /// # Errors
    /// For the workspace's admins only; the name is or was in use; the quota is reached.
    pub async fn create_service_account(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        create: &api::CreateServiceAccount,
    ) -> Result<api::ServiceAccount, AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize(WorkspacePermission::ManageServiceAccounts, workspace)?;
        let name: Slug = create.name.parse().map_err(|e| AppError::field("name", "malformed", e))?;
        let description =
            parse_description(&create.description).map_err(|e| AppError::field("description", "malformed", e))?;
        let found = store::workspace::find_workspace(&mut transaction.change, workspace).await?;
        let found = found.ok_or(AppError::not_found())?;
        let address = self.free_address(&mut transaction, &found, &name, None).await?;
        let present = store::service_account::count_service_accounts(&mut transaction.change, workspace).await?;
        require_room("service accounts in this workspace", present.unsigned_abs(), found.quotas.service_accounts)
            .map_err(|e| AppError::QuotaExceeded(e, self.settings.support_contact.clone()))?;
        let now = transaction.now;
        let account = ServiceAccount {
            id: self.generate_id(now),
            workspace,
            name,
            description,
            address,
            role: Role::Member,
            disabled: false,
            created_at: now,
        };
        store::service_account::insert_service_account(&mut transaction.change, &account).await?;
        transaction.note(self, "service_account.create", Some(workspace), account.id, &[("address", &account.address)]);
        let answer = self.service_account_to_wire(&mut transaction.change, &found, account).await?;
        self.commit(transaction, 201, answer).await
    }

    async fn free_address(
        &self,
        transaction: &mut Transaction<'_>,
        workspace: &Workspace,
        name: &Slug,
        own: Option<ServiceAccountId>,
    ) -> Result<String, AppError> {
        let address = service_account_address(name, &workspace.slug, &self.settings.service_account_domain);
        if store::service_account::address_is_taken(&mut transaction.change, &address, own).await? {
            let detail =
                format!("The address {address} is or was in use; addresses are never used again. Choose another name.");
            return Err(AppError::conflict(api::codes::NAME_TAKEN, detail));
        }
        Ok(address)
    }

    /// Changes name, description, role, or whether the account is refused.
    ///
    /// # Errors
    /// For the workspace's admins only, and never for itself; the name is or was in use; a bearer token neither gives a role
    /// nor disables; a service account makes nobody an admin.
    pub async fn update_service_account(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ServiceAccountId,
        update: &api::UpdateServiceAccount,
    ) -> Result<api::ServiceAccount, AppError> {
        authorize_update(&caller.principal, workspace, id, update)?;
        let mut connection = self.store.read().await?;
        let found = find(&mut connection, workspace, id).await;
        self.refuse_early(caller, connection, found).await?;
        let mut transaction = self.begin(caller).await?;
        authorize_update(&transaction.principal, workspace, id, update)?;
        let (found, mut account) = find(&mut transaction.change, workspace, id).await?;
        let (role_before, disabled_before) = (account.role, account.disabled.to_string());
        if let Some(name) = &update.name {
            account.name = name.parse().map_err(|e| AppError::field("name", "malformed", e))?;
            account.address = self.free_address(&mut transaction, &found, &account.name, Some(id)).await?;
        }
        if let Some(description) = &update.description {
            account.description =
                parse_description(description).map_err(|e| AppError::field("description", "malformed", e))?;
        }
        if let Some(role) = update.role {
            account.role = role;
        }
        account.disabled = update.disabled.unwrap_or(account.disabled);
        store::service_account::update_service_account(&mut transaction.change, &account).await?;
        let disabled = account.disabled.to_string();
        let mut detail =
            vec![("address", account.address.as_str()), ("role", account.role.as_str()), ("disabled", &disabled)];
        if role_before != account.role {
            detail.push(("role_before", role_before.as_str()));
        }
        if disabled_before != disabled {
            detail.push(("disabled_before", &disabled_before));
        }
        transaction.note(self, "service_account.update", Some(workspace), id, &detail);
        let lost = (account.role != Role::Admin).then_some(workspace);
        self.end_invitations_of(&mut transaction, id.into(), lost).await?;
        let answer = self.service_account_to_wire(&mut transaction.change, &found, account).await?;
        self.commit(transaction, 200, answer).await
    }

    /// Deletes a service account and revokes its keys. Its address is never used again. Projects that would be left
    /// without an admin go to `successor`.
    ///
    /// # Errors
    /// For the workspace's admins only, and never for itself; a successor is asked for where one is needed.
    pub async fn delete_service_account(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ServiceAccountId,
        successor: Option<PrincipalId>,
    ) -> Result<(), AppError> {
        let authorize = |principal: &Principal| {
            principal.authorize(WorkspacePermission::ManageServiceAccountKeys, workspace)?;
            principal.require_another(id.into())
        };
        authorize(&caller.principal)?;
        let mut connection = self.store.read().await?;
        let found = find(&mut connection, workspace, id).await;
        self.refuse_early(caller, connection, found).await?;
        let mut transaction = self.begin(caller).await?;
        authorize(&transaction.principal)?;
        let (_, account) = find(&mut transaction.change, workspace, id).await?;
        self.hand_over_projects(&mut transaction, workspace, id.into(), successor).await?;
        let now = transaction.now;
        self.revoke_keys_of(&mut transaction, id.into()).await?;
        store::service_account::delete_service_account(&mut transaction.change, id, now).await?;
        self.end_invitations_of(&mut transaction, id.into(), Some(workspace)).await?;
        transaction.note(self, "service_account.delete", Some(workspace), id, &[("address", &account.address)]);
        self.commit(transaction, 204, ()).await
    }
}

/// Whether they may change these of an account's properties.
fn authorize_update(
    principal: &Principal,
    workspace: WorkspaceId,
    id: ServiceAccountId,
    update: &api::UpdateServiceAccount,
) -> Result<(), AppError> {
    principal.authorize(WorkspacePermission::ManageServiceAccounts, workspace)?;
    principal.require_another(id.into())?;
    if let Some(role) = update.role {
        principal.authorize(WorkspacePermission::GrantServiceAccountRole, workspace)?;
        principal.authorize_grant(role)?;
    }
    if update.disabled.is_some() {
        principal.authorize(WorkspacePermission::DisableServiceAccounts, workspace)?;
    }
    Ok(())
}

pub(super) async fn find(
    connection: &mut Connection,
    workspace: WorkspaceId,
    id: ServiceAccountId,
) -> Result<(Workspace, ServiceAccount), AppError> {
    let found = store::workspace::find_workspace(connection, workspace).await?.ok_or(AppError::not_found())?;
    let account = store::service_account::find_service_account(connection, workspace, id).await?;
    Ok((found, account.ok_or(AppError::not_found())?))
}
