//! Backup, and the steps after a restore. A backup does not contain the users that were disabled or removed and the
//! keys that were revoked after it was made. A restore therefore ends every credential, and an operator confirms the
//! users and keys that may be used again.

use std::{path::Path, sync::Arc};

use domain::{ApiKeyId, AuditAction, PrincipalId, Timestamp, UserId, limits::KeywardScope, role::Role, user::User};
use store::{
    Connection,
    audit::{RESTORE_STATEMENT, restore_statement},
    recovery::{Suspended, SuspendedKeyRow},
};

use super::{
    App, AppConfig, Caller, ChangeError, Confirmed, Detail, KeyOwner, OpenError, Operation, Paging, Scope, Transaction,
    page,
};
use crate::error::AppError;

/// A suspended key.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct SuspendedKey {
    /// The key.
    pub id: ApiKeyId,
    /// Its owner.
    pub owner: PrincipalId,
    /// The owner's email or address.
    pub email: Option<String>,
    /// Whether the owner is also suspended. The key stays refused until the owner is confirmed.
    pub owner_suspended: bool,
    /// Its title.
    pub title: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When a request with it was last accepted, according to the backup.
    pub last_used_at: Option<Timestamp>,
    /// The IP address of that request.
    pub last_used_ip: Option<String>,
}

/// A suspended user.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct SuspendedUser {
    /// The user.
    pub id: UserId,
    /// Their email.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Whether they are an operator.
    pub operator: bool,
    /// Whether they are disabled. Confirming them does not change this.
    pub disabled: bool,
    /// Their workspaces.
    pub workspaces: Vec<SuspendedMembership>,
    /// When they were last active, according to the backup.
    pub last_active_at: Option<Timestamp>,
    /// Their keys that are not revoked.
    pub keys: Vec<KeyOfSuspendedUser>,
}

/// A workspace of a suspended user.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct SuspendedMembership {
    /// Its slug.
    pub slug: String,
    /// The user's role in it.
    pub role: Role,
}

/// A key of a suspended user.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct KeyOfSuspendedUser {
    /// The key.
    pub id: ApiKeyId,
    /// Its title.
    pub title: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Whether it is also suspended.
    pub suspended: bool,
    /// When a request with it was last accepted, according to the backup.
    pub last_used_at: Option<Timestamp>,
}

/// The keys to confirm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeysToConfirm {
    /// All suspended keys.
    All,
    /// These.
    These(Vec<ApiKeyId>),
}

/// The users to confirm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UsersToConfirm {
    /// All suspended users.
    All,
    /// These.
    These(Vec<UserId>),
}

/// The state of a restored database, as read after the restore.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreReport {
    /// The number of suspended users and keys.
    pub suspended: Suspended,
    /// The problems. Empty if the restore succeeded.
    pub problems: Vec<String>,
}

/// Returns whether a database contains an installation with changes. It does not modify the database.
///
/// # Errors
/// It cannot be opened, or is not a database.
pub async fn holds_installation(config: &AppConfig) -> Result<bool, OpenError> {
    Ok(store::holds_installation(&config.store).await?)
}

impl App {
    /// Writes a backup of the whole database into a new file while requests are processed. It does not contain the
    /// installation's key.
    ///
    /// # Errors
    /// The caller is not an operator, or the file exists or cannot be written.
    pub async fn back_up(&self, caller: &Caller, file: &Path) -> Result<(), AppError> {
        caller.principal.authorize_operator()?;
        Ok(self.store.back_up(file).await?)
    }

    /// In a restored database, ends all sessions, tokens, invitations and replay state, and suspends every user and
    /// every key. Its event contains the size and root of the restored log, signed with the installation's key.
    ///
    /// # Errors
    /// The caller is not the host.
    pub async fn finish_restore(self: &Arc<Self>, caller: &Caller) -> Result<Confirmed<Suspended>, ChangeError> {
        let done = self.change(caller, FinishRestore).await?;
        Ok(done.map(|(keys, users)| Suspended { keys, users }))
    }

    /// Reads a database again after [`finish_restore`](Self::finish_restore), and checks its integrity, its audit log,
    /// which must end with the restore, and that no credential is left.
    ///
    /// # Errors
    /// The caller is not the host, or the database does not answer.
    pub async fn check_restore(&self, caller: &Caller) -> Result<RestoreReport, AppError> {
        let mut problems = self.check_integrity(caller).await?;
        let log = self.verify_audit_log(caller, None, None).await?;
        problems.extend(log.findings.iter().map(ToString::to_string));
        let mut connection = self.store.read().await?;
        let head = store::audit::head_checkpoint(&mut connection).await?;
        if head.size == 0 || head.restored_at != Some(head.size - 1) {
            problems.push("the last event of its audit log is not the restore".to_owned());
        }
        problems.extend(store::recovery::find_remaining_credentials(&mut connection).await?);
        let suspended = store::recovery::count_suspended(&mut connection).await?;
        Ok(RestoreReport { suspended, problems })
    }

    /// Returns the owner of a key, including revoked ones.
    ///
    /// # Errors
    /// The key does not exist, or the caller is not the host.
    pub async fn find_key_owner(&self, caller: &Caller, id: ApiKeyId) -> Result<KeyOwner, AppError> {
        caller.principal.authorize_host()?;
        let mut connection = self.store.read().await?;
        let found = store::api_key::find_api_key_anywhere(&mut connection, id).await?;
        match found.ok_or(AppError::not_found())?.owner {
            PrincipalId::User(user) => Ok(KeyOwner::User(user)),
            PrincipalId::ServiceAccount(account) => {
                let workspace = store::service_account::find_workspace_of(&mut connection, account).await?;
                Ok(KeyOwner::ServiceAccount(workspace.ok_or(AppError::not_found())?, account))
            }
        }
    }

    /// Returns suspended keys.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn list_suspended_keys(
        &self,
        caller: &Caller,
        paging: &Paging,
    ) -> Result<api::Page<SuspendedKey>, AppError> {
        let access = caller.principal.authorize_operator()?;
        let limit = paging.limit()?;
        let mut connection = self.store.read().await?;
        let keys = store::recovery::list_suspended_keys(&mut connection, access, paging.after()?, limit + 1).await?;
        Ok(page(keys, limit, |row| row.key.id.to_string(), |row| to_wire(&row)))
    }

    /// Returns the number of suspended keys.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn count_suspended_keys(&self, caller: &Caller) -> Result<u64, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        Ok(store::recovery::count_suspended(&mut connection).await?.keys)
    }

    /// Returns suspended users.
    ///
    /// # Errors
    /// The caller is not the host.
    pub async fn list_suspended_users(
        &self,
        caller: &Caller,
        paging: &Paging,
    ) -> Result<api::Page<SuspendedUser>, AppError> {
        let access = caller.principal.authorize_host()?;
        let limit = paging.limit()?;
        let mut connection = self.store.read().await?;
        let users = store::recovery::list_suspended_users(&mut connection, access, paging.after()?, limit + 1).await?;
        let rows = describe(&mut connection, users).await?;
        Ok(page(rows, limit, |user| user.id.to_string(), |user| user))
    }

    /// Ends the suspension of keys, and returns them. Earlier signatures stay invalid.
    ///
    /// # Errors
    /// The caller is not an operator, or is in a session in which the password was not entered recently.
    pub async fn confirm_keys(
        self: &Arc<Self>,
        caller: &Caller,
        keys: &KeysToConfirm,
    ) -> Result<Confirmed<Vec<ApiKeyId>>, ChangeError> {
        self.change(caller, ConfirmKeys { keys: keys.clone() }).await
    }

    /// Ends the suspension of users, so that they can sign in and use their confirmed keys. Returns the users as they
    /// were before. Earlier signatures stay invalid.
    ///
    /// # Errors
    /// The caller is not the host.
    pub async fn confirm_users(
        self: &Arc<Self>,
        caller: &Caller,
        users: &UsersToConfirm,
    ) -> Result<Confirmed<Vec<SuspendedUser>>, ChangeError> {
        self.change(caller, ConfirmUsers { users: users.clone() }).await
    }
}

struct FinishRestore;

impl Operation for FinishRestore {
    type Checked = ();
    /// The number of suspended keys and users.
    type Response = (u64, u64);
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<(), AppError> {
        scope.principal.authorize_host()?;
        Ok(())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<(u64, u64), AppError> {
        let head = transaction.change.head_checkpoint().await?;
        let statement = restore_statement(&head).sign(&app.installation_key);
        let statement = statement.map_err(|e| AppError::Internal(e.to_string()))?;
        let suspended = store::recovery::end_credentials(&mut transaction.change).await?;
        transaction.note(
            app,
            AuditAction::InstallationRestore,
            None,
            "installation",
            &[
                ("keys", &suspended.keys.to_string()),
                ("users", &suspended.users.to_string()),
                ("size", &head.size.to_string()),
                ("root", &head.root.to_string()),
                (RESTORE_STATEMENT, &statement),
            ],
        );
        Ok((suspended.keys, suspended.users))
    }
}

struct ConfirmKeys {
    keys: KeysToConfirm,
}

impl Operation for ConfirmKeys {
    /// Whether there is a key to confirm.
    type Checked = bool;
    type Response = Vec<ApiKeyId>;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<bool, AppError> {
        scope.principal.authorize_operator()?;
        let KeysToConfirm::These(keys) = &self.keys else {
            return Ok(store::recovery::count_suspended(scope.connection).await?.keys > 0);
        };
        for &id in keys {
            let key = store::api_key::find_api_key_anywhere(scope.connection, id).await?;
            if key.is_some_and(|key| key.suspended && key.revoked_at.is_none()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn unchanged(&self, is_any_suspended: &bool) -> Option<Vec<ApiKeyId>> {
        (!is_any_suspended).then(Vec::new)
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, _: bool) -> Result<Vec<ApiKeyId>, AppError> {
        let keys = match &self.keys {
            KeysToConfirm::All => None,
            KeysToConfirm::These(keys) => Some(keys.as_slice()),
        };
        let confirmed = store::recovery::confirm_keys(&mut transaction.change, keys).await?;
        for key in &confirmed {
            transaction.note(app, AuditAction::ApiKeyConfirm, None, key, Detail::default());
        }
        Ok(confirmed)
    }
}

struct ConfirmUsers {
    users: UsersToConfirm,
}

impl Operation for ConfirmUsers {
    /// Whether there is a user to confirm.
    type Checked = bool;
    type Response = Vec<SuspendedUser>;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<bool, AppError> {
        scope.principal.authorize_host()?;
        let UsersToConfirm::These(users) = &self.users else {
            return Ok(store::recovery::count_suspended(scope.connection).await?.users > 0);
        };
        for &id in users {
            if store::user::find_user(scope.connection, id).await?.is_some_and(|user| user.suspended) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn unchanged(&self, is_any_suspended: &bool) -> Option<Vec<SuspendedUser>> {
        (!is_any_suspended).then(Vec::new)
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, _: bool) -> Result<Vec<SuspendedUser>, AppError> {
        let users = match &self.users {
            UsersToConfirm::All => None,
            UsersToConfirm::These(users) => Some(users.as_slice()),
        };
        let confirmed = store::recovery::confirm_users(&mut transaction.change, users).await?;
        for user in &confirmed {
            transaction.note(app, AuditAction::UserConfirm, None, user.id, Detail::of(user));
        }
        describe(&mut transaction.change, confirmed).await
    }
}

/// Adds the information that an operator needs to decide about users.
async fn describe(connection: &mut Connection, users: Vec<User>) -> Result<Vec<SuspendedUser>, AppError> {
    let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
    let memberships = store::identity::list_memberships(connection, &ids).await?;
    let keys = store::recovery::list_unrevoked_api_keys_of(connection, &ids).await?;
    let last_active_at = store::recovery::find_last_activity(connection, &ids).await?;
    let describe = |user: User| {
        let memberships = memberships.get(&user.id).into_iter().flatten();
        let keys = keys.iter().filter(|key| key.owner == PrincipalId::User(user.id));
        SuspendedUser {
            id: user.id,
            email: user.email.to_string(),
            name: user.name,
            operator: user.operator,
            disabled: user.disabled,
            workspaces: memberships.map(|m| SuspendedMembership { slug: m.slug.to_string(), role: m.role }).collect(),
            last_active_at: last_active_at.get(&user.id).copied(),
            keys: keys
                .map(|key| KeyOfSuspendedUser {
                    id: key.id,
                    title: key.title.clone(),
                    fingerprint: key.public_key.fingerprint().to_string(),
                    suspended: key.suspended,
                    last_used_at: key.last_used_at,
                })
                .collect(),
        }
    };
    Ok(users.into_iter().map(describe).collect())
}

fn to_wire(SuspendedKeyRow { key, owner_email, owner_suspended }: &SuspendedKeyRow) -> SuspendedKey {
    SuspendedKey {
        id: key.id,
        owner: key.owner,
        email: owner_email.clone(),
        owner_suspended: *owner_suspended,
        title: key.title.clone(),
        fingerprint: key.public_key.fingerprint().to_string(),
        last_used_at: key.last_used_at,
        last_used_ip: key.last_used_ip.clone(),
    }
}
