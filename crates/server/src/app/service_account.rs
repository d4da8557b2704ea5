//! Service accounts of a workspace.

use std::{iter, sync::Arc};

use domain::{
    AuditAction, PrincipalId, ServiceAccountId, WorkspaceId,
    key_use::UseWindow,
    limits::KeywardScope,
    list::{Search, ServiceAccountFilter, ServiceAccountOrder},
    principal::{Principal, WorkspaceAccess, WorkspacePermission},
    quota::{QuotaSubject, require_room},
    role::Role,
    service_account::{ServiceAccount, service_account_address},
    text::{parse_description, parse_title},
    workspace::{Slug, Workspace},
};
use store::{
    Connection,
    key_use::UsedKeys,
    service_account::{ServiceAccountRow, ServiceAccounts},
};
pub use store::{api_key::LastUse, project::JoinedProject};

use super::{
    App, Audited, Caller, Candidate, ChangeError, Confirmed, Detail, Operation, Paging, RevocationCause, Scope,
    Transaction,
    candidate::list_successors,
    list::{Found, Place, list_page, look_through},
    member::{Handover, check_handover},
};
use crate::error::{AppError, Conflict};

fn to_wire(workspace: &Workspace, ServiceAccountRow { account, live_keys }: ServiceAccountRow) -> api::ServiceAccount {
    api::ServiceAccount {
        id: account.id,
        display_name: account.display_name,
        name: account.name.to_string(),
        description: account.description,
        email: account.address,
        role: account.role,
        disabled: account.disabled,
        created_at: account.created_at,
        keys: api::KeyCount { live: live_keys, limit: workspace.quotas.keys_per_service_account },
    }
}

impl Audited for ServiceAccount {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { id: _, workspace: _, display_name, name, description, address, role, disabled, created_at: _ } =
            self;
        vec![
            ("display_name", display_name.clone()),
            ("name", name.to_string()),
            ("description", description.clone()),
            ("address", address.clone()),
            ("role", role.to_string()),
            ("disabled", disabled.to_string()),
        ]
    }
}

/// How to look for service accounts.
pub type AccountSearch = Search<ServiceAccountOrder, ServiceAccountFilter>;

/// A service account, and the last use of any of its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsedServiceAccount {
    /// The account.
    pub account: api::ServiceAccount,
    /// The last use.
    pub last_use: Option<LastUse>,
}

/// Service accounts of a workspace, with their number and their quota.
#[derive(Clone, Debug)]
pub struct ServiceAccountList {
    /// One page of them.
    pub accounts: Found<UsedServiceAccount>,
    /// The number of service accounts of the workspace.
    pub present: u64,
    /// The quota.
    pub limit: u32,
}

/// A service account with the data for its page.
#[derive(Clone, Debug)]
pub struct ServiceAccountDetails {
    /// The number of requests with its keys that were accepted in the last 7 days.
    pub accepted: u64,
    /// The account.
    pub account: api::ServiceAccount,
    /// The last use of any of its keys.
    pub last_use: Option<LastUse>,
    /// The projects in which it has a role, the latest first.
    pub projects: Vec<JoinedProject>,
}

/// The data for deciding about the deletion of a service account.
#[derive(Clone, Debug)]
pub struct AccountDeletionPreview {
    /// The account.
    pub account: api::ServiceAccount,
    /// The number of projects in which it has a role.
    pub joined: usize,
    /// The titles of the projects that have no other admin.
    pub projects: Vec<String>,
    /// The principals that could take them over. Empty if there are no such projects.
    pub successors: Vec<Candidate>,
}

impl App {
    pub(super) async fn service_account_to_wire(
        &self,
        connection: &mut Connection,
        workspace: &Workspace,
        account: ServiceAccount,
    ) -> Result<api::ServiceAccount, AppError> {
        let live_keys = store::api_key::count_live_api_keys(connection, account.id.into(), self.clock.now()).await?;
        Ok(to_wire(workspace, ServiceAccountRow { account, live_keys }))
    }

    /// Returns the service accounts of a workspace that match a search, for programs.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn list_service_accounts(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &AccountSearch,
        paging: &Paging,
    ) -> Result<api::Page<api::ServiceAccount>, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace(&mut connection, workspace).await?;
        let found = found.ok_or(AppError::not_found())?;
        let all = ServiceAccounts(access, self.clock.now());
        list_page(&mut connection, &all, search, paging, |listed| to_wire(&found, listed.row)).await
    }

    /// Returns a page of the service accounts of a workspace that match a search, for people.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn look_through_service_accounts(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &AccountSearch,
        place: &Place,
    ) -> Result<ServiceAccountList, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace(&mut connection, workspace).await?;
        let found = found.ok_or(AppError::not_found())?;
        let all = ServiceAccounts(access, self.clock.now());
        let accounts = look_through(&mut connection, &all, search, place, |listed| UsedServiceAccount {
            account: to_wire(&found, listed.row),
            last_use: listed.last_use,
        })
        .await?;
        let present = store::service_account::count_service_accounts(&mut connection, access).await?;
        Ok(ServiceAccountList { accounts, present, limit: found.quotas.service_accounts })
    }

    /// Returns a service account that the caller may delete, and the data for deciding about the deletion.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, or is the service account itself.
    pub async fn preview_service_account_deletion(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ServiceAccountId,
    ) -> Result<AccountDeletionPreview, AppError> {
        let access = authorize_deletion(&caller.principal, workspace, id)?;
        let mut connection = self.store.read().await?;
        let (workspace, account) = find(&mut connection, access, id).await?;
        let account = self.service_account_to_wire(&mut connection, &workspace, account).await?;
        let led = store::project::list_projects_led_only_by(&mut connection, access, &[id.into()]).await?;
        let successors = if led.is_empty() {
            Vec::new()
        } else {
            let now = self.clock.now();
            list_successors(&mut connection, &caller.principal, access, &[id.into()], now).await?
        };
        let joined = store::project::list_projects_of(&mut connection, access.workspace(), id.into()).await?.len();
        let projects = led.into_iter().map(|project| project.title).collect();
        Ok(AccountDeletionPreview { account, joined, projects, successors })
    }

    /// Returns a service account.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn find_service_account(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ServiceAccountId,
    ) -> Result<api::ServiceAccount, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let mut connection = self.store.read().await?;
        let (found, account) = find(&mut connection, access, id).await?;
        self.service_account_to_wire(&mut connection, &found, account).await
    }

    /// Returns how many service accounts a workspace has, and its quota.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn count_service_accounts(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
    ) -> Result<(u64, u32), AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace(&mut connection, workspace).await?;
        let limit = found.ok_or(AppError::not_found())?.quotas.service_accounts;
        Ok((store::service_account::count_service_accounts(&mut connection, access).await?, limit))
    }

    /// Returns a service account with the data for its page.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn find_service_account_details(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ServiceAccountId,
    ) -> Result<ServiceAccountDetails, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let mut connection = self.store.read().await?;
        let (found, account) = find(&mut connection, access, id).await?;
        let account = self.service_account_to_wire(&mut connection, &found, account).await?;
        let last_use = store::api_key::find_last_use(&mut connection, id.into()).await?;
        let projects = store::project::list_joined_projects(&mut connection, access, id.into()).await?;
        let week = store::key_use::list_use_by_key(
            &mut connection,
            UsedKeys::Of(id.into()),
            UseWindow::Week,
            self.clock.now(),
        );
        let accepted = week.await?.values().map(|counts| counts.accepted).sum();
        Ok(ServiceAccountDetails { accepted, account, last_use, projects })
    }

    /// Returns the service account with an address, and its workspace, for commands on the host.
    ///
    /// # Errors
    /// It does not exist, or the caller is not an operator.
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

    /// Returns the workspace of a service account, for commands on the host.
    ///
    /// # Errors
    /// It does not exist, or the caller is not an operator.
    pub async fn find_workspace_of_service_account(
        &self,
        caller: &Caller,
        id: ServiceAccountId,
    ) -> Result<WorkspaceId, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        store::service_account::find_workspace_of(&mut connection, id).await?.ok_or(AppError::not_found())
    }

    /// Creates a service account. It is a member unless another role is given.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace. The name is or was in use, or none is given and none can be proposed
    /// from the display name. The quota is reached. A bearer token or
    /// a service account cannot make it an admin.
    pub async fn create_service_account(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        create: &api::CreateServiceAccount,
    ) -> Result<Confirmed<api::ServiceAccount>, ChangeError> {
        self.change(caller, CreateServiceAccount { workspace, create: create.clone() }).await
    }

    /// Updates the display name, the name, the description or the role, or disables or enables the account.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, or is the service account itself. The name is or was in use. A
    /// bearer token cannot change the role or disable the account. A service account cannot make a principal an admin.
    pub async fn update_service_account(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ServiceAccountId,
        update: &api::UpdateServiceAccount,
    ) -> Result<Confirmed<api::ServiceAccount>, ChangeError> {
        self.change(caller, UpdateServiceAccount { workspace, id, update: update.clone() }).await
    }

    /// Deletes a service account and revokes its keys. Its address is never used again. Projects that would be left
    /// without an admin go to `successor`.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, is the service account itself, or must name a successor.
    pub async fn delete_service_account(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: ServiceAccountId,
        successor: Option<PrincipalId>,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, DeleteServiceAccount { workspace, id, successor }).await
    }
}

struct CreateServiceAccount {
    workspace: WorkspaceId,
    create: api::CreateServiceAccount,
}

impl Operation for CreateServiceAccount {
    /// The workspace, and the new account.
    type Checked = (Workspace, ServiceAccount);
    type Response = api::ServiceAccount;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let workspace = self.workspace;
        let access = scope.principal.authorize(WorkspacePermission::ManageServiceAccounts, workspace)?;
        let role = self.create.role.unwrap_or(Role::Member);
        if role != Role::Member {
            scope.principal.authorize(WorkspacePermission::GrantServiceAccountRole, workspace)?;
            scope.principal.authorize_grant(role)?;
        }
        let (display_name, wanted) = read_names(&self.create)?;
        let description =
            parse_description(&self.create.description).map_err(|e| AppError::field("description", "malformed", e))?;
        let found = store::workspace::find_workspace(scope.connection, workspace).await?;
        let found = found.ok_or(AppError::not_found())?;
        let (name, address) = match wanted {
            Name::Chosen(name) => {
                let address = app.free_address(scope.connection, &found, &name, None).await?;
                (name, address)
            }
            Name::Proposed(name) => app.first_free_address(scope.connection, &found, name).await?,
        };
        let present = store::service_account::count_service_accounts(scope.connection, access).await?;
        require_room(QuotaSubject::ServiceAccounts, present, found.quotas.service_accounts)
            .map_err(|e| AppError::QuotaExceeded(e, app.settings.support_contact.clone()))?;
        let account = ServiceAccount {
            id: app.generate_id(scope.now),
            workspace,
            display_name,
            name,
            description,
            address,
            role,
            disabled: false,
            created_at: scope.now,
        };
        Ok((found, account))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (workspace, account): Self::Checked,
    ) -> Result<api::ServiceAccount, AppError> {
        store::service_account::insert_service_account(&mut transaction.change, &account).await?;
        let detail = Detail::of(&account);
        transaction.note(app, AuditAction::ServiceAccountCreate, Some(workspace.id), account.id, detail);
        app.service_account_to_wire(&mut transaction.change, &workspace, account).await
    }
}

struct UpdateServiceAccount {
    workspace: WorkspaceId,
    id: ServiceAccountId,
    update: api::UpdateServiceAccount,
}

impl Operation for UpdateServiceAccount {
    /// The workspace, and the account before and after the change.
    type Checked = (Workspace, ServiceAccount, ServiceAccount);
    type Response = api::ServiceAccount;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let access = authorize_update(scope.principal, self.workspace, self.id, &self.update)?;
        let (workspace, before) = find(scope.connection, access, self.id).await?;
        let mut account = before.clone();
        if let Some(display_name) = &self.update.display_name {
            account.display_name = parse_display_name(display_name)?;
        }
        if let Some(name) = &self.update.name {
            account.name = name.parse().map_err(|e| AppError::field("name", "malformed", e))?;
            account.address = app.free_address(scope.connection, &workspace, &account.name, Some(self.id)).await?;
        }
        if let Some(description) = &self.update.description {
            account.description =
                parse_description(description).map_err(|e| AppError::field("description", "malformed", e))?;
        }
        if let Some(role) = self.update.role {
            account.role = role;
        }
        account.disabled = self.update.disabled.unwrap_or(account.disabled);
        Ok((workspace, before, account))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (workspace, before, account): Self::Checked,
    ) -> Result<api::ServiceAccount, AppError> {
        store::service_account::update_service_account(&mut transaction.change, &account).await?;
        let detail = Detail::of_change(&before, &account);
        transaction.note(app, AuditAction::ServiceAccountUpdate, Some(workspace.id), self.id, detail);
        let lost = (account.role != Role::Admin).then_some(workspace.id);
        app.end_invitations_of(transaction, self.id.into(), lost).await?;
        app.service_account_to_wire(&mut transaction.change, &workspace, account).await
    }
}

struct DeleteServiceAccount {
    workspace: WorkspaceId,
    id: ServiceAccountId,
    successor: Option<PrincipalId>,
}

impl Operation for DeleteServiceAccount {
    type Checked = (ServiceAccount, Handover);
    type Response = ();
    const STATUS: u16 = 204;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let access = authorize_deletion(scope.principal, self.workspace, self.id)?;
        let (_, account) = find(scope.connection, access, self.id).await?;
        let handover = check_handover(scope, access, &[self.id.into()], self.successor).await?;
        Ok((account, handover))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (account, handover): Self::Checked,
    ) -> Result<(), AppError> {
        let (workspace, id, now) = (self.workspace, self.id, transaction.now);
        app.hand_over_projects(transaction, workspace, &[id.into()], handover).await?;
        let cause = RevocationCause::new(AuditAction::ServiceAccountDelete, id);
        app.revoke_keys_of(transaction, id.into(), &cause).await?;
        store::service_account::delete_service_account(&mut transaction.change, id, now).await?;
        app.end_invitations_of(transaction, id.into(), Some(workspace)).await?;
        transaction.note(app, AuditAction::ServiceAccountDelete, Some(workspace), id, Detail::of(&account));
        Ok(())
    }
}

impl App {
    /// Returns the address of a name, which must not be or have been in use.
    async fn free_address(
        &self,
        connection: &mut Connection,
        workspace: &Workspace,
        name: &Slug,
        own: Option<ServiceAccountId>,
    ) -> Result<String, AppError> {
        let address = service_account_address(name, &workspace.slug, &self.settings.service_account_domain);
        if store::service_account::address_is_taken(connection, &address, own).await? {
            return Err(Conflict::AddressTaken(address).into());
        }
        Ok(address)
    }

    /// Returns the first of `name`, `name-2`, `name-3` and so on whose address is and was never in use, and the address.
    async fn first_free_address(
        &self,
        connection: &mut Connection,
        workspace: &Workspace,
        name: Slug,
    ) -> Result<(Slug, String), AppError> {
        let numbered = (2..=MAX_PROPOSALS).map(|number| name.numbered(number));
        for candidate in iter::once(name.clone()).chain(numbered) {
            match self.free_address(connection, workspace, &candidate, None).await {
                Err(AppError::Conflict(Conflict::AddressTaken(_))) => {}
                other => return other.map(|address| (candidate, address)),
            }
        }
        let address = service_account_address(&name, &workspace.slug, &self.settings.service_account_domain);
        Err(Conflict::AddressTaken(address).into())
    }
}

/// The name in the address of a new account.
enum Name {
    Chosen(Slug),
    Proposed(Slug),
}

/// How many names are tried for an account that is created without one.
const MAX_PROPOSALS: u32 = 50;

/// The start of a proposed name that would otherwise be too short or start with a digit.
pub(crate) const NAME_PREFIX: &str = "sa";

fn read_names(create: &api::CreateServiceAccount) -> Result<(String, Name), AppError> {
    let display_name = create.display_name.as_deref().map(parse_display_name).transpose()?;
    let Some(name) = &create.name else {
        let missing = |what| AppError::field("name", "missing", what);
        let display_name = display_name.ok_or_else(|| missing("enter a name, or a display name to make it from"))?;
        let proposed = Slug::propose(&display_name, NAME_PREFIX).ok_or_else(|| {
            missing(
                "none can be made from this display name; enter one of 3 to 40 lower-case letters, digits and hyphens",
            )
        })?;
        return Ok((display_name, Name::Proposed(proposed)));
    };
    let name: Slug = name.parse().map_err(|e| AppError::field("name", "malformed", e))?;
    Ok((display_name.unwrap_or_else(|| name.to_string()), Name::Chosen(name)))
}

fn parse_display_name(text: &str) -> Result<String, AppError> {
    parse_title(text).map_err(|e| AppError::field("display_name", "malformed", e))
}

/// Checks whether the principal may delete an account, and so revoke its keys.
fn authorize_deletion(
    principal: &Principal,
    workspace: WorkspaceId,
    id: ServiceAccountId,
) -> Result<WorkspaceAccess, AppError> {
    let access = principal.authorize(WorkspacePermission::ManageServiceAccountKeys, workspace)?;
    principal.require_another(id.into())?;
    Ok(access)
}

/// Checks whether the principal may change these properties of an account.
fn authorize_update(
    principal: &Principal,
    workspace: WorkspaceId,
    id: ServiceAccountId,
    update: &api::UpdateServiceAccount,
) -> Result<WorkspaceAccess, AppError> {
    let access = principal.authorize(WorkspacePermission::ManageServiceAccounts, workspace)?;
    principal.require_another(id.into())?;
    if let Some(role) = update.role {
        principal.authorize(WorkspacePermission::GrantServiceAccountRole, workspace)?;
        principal.authorize_grant(role)?;
    }
    if update.disabled.is_some() {
        principal.authorize(WorkspacePermission::DisableServiceAccounts, workspace)?;
    }
    Ok(access)
}

pub(super) async fn find(
    connection: &mut Connection,
    access: WorkspaceAccess,
    id: ServiceAccountId,
) -> Result<(Workspace, ServiceAccount), AppError> {
    let workspace = access.workspace();
    let found = store::workspace::find_workspace(connection, workspace).await?.ok_or(AppError::not_found())?;
    let account = store::service_account::find_service_account(connection, workspace, id).await?;
    Ok((found, account.ok_or(AppError::not_found())?))
}
