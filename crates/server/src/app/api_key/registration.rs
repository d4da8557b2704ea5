//! Registration of a key, and the conflicts that prevent it.

use std::sync::Arc;

use domain::{
    AuditAction, Timestamp,
    api_key::ApiKey,
    limits::{KeyLimits, KeywardScope},
    policy::WithinPolicy,
    principal::WorkspacePermission,
    public_key::PublicKey,
    rotation::Overlap,
    text::parse_title,
};
use store::api_key::{Revocation, UseBeforeRevocation};

use super::{
    Access, AuthorizedOwner, KeyOwner, authorize,
    notice::{Reason, RevokedKey, find_notice},
    parse_end, proof, require_owner, to_wire, workspace_of,
};
use crate::{
    app::{
        App, Caller, ChangeError, Confirmed, Detail, Operation, RevocationCause, Scope, Transaction, UnsentMail,
        policy::PolicyOfOwner,
    },
    error::{AppError, Conflict},
};

impl App {
    /// Registers a key. It is an error if the key is registered already, unless the proof reclaims an unproven
    /// registration of another principal.
    ///
    /// # Errors
    /// The key is malformed, weak or of an unsupported type. It exists, or was revoked after a use. The quota is
    /// reached. The proof is invalid.
    pub async fn create_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        create: &api::CreateApiKey,
    ) -> Result<Confirmed<api::ApiKey>, ChangeError> {
        self.change(caller, CreateApiKey { owner, create: create.clone() }).await
    }

    /// Revokes a registration because another principal registers the key with a proof, and returns the addresses to
    /// notify. Its owner and their admins are notified of the revocation, without the new owner of the key.
    async fn revoke_reclaimed(&self, transaction: &mut Transaction, key: &ApiKey) -> Result<RevokedKey, AppError> {
        let change = &mut transaction.change;
        store::api_key::revoke_api_key(change, key, Revocation::Reclaimed).await?;
        let (notice, places) = find_notice(change, key, Reason::Reclaimed).await?;
        let reason = "another principal registered this key with a proof that they hold the private key";
        let detail = Detail::of(key).with("reason", reason);
        for place in places {
            transaction.note_by_server(self, AuditAction::ApiKeyDisplace, place, key.id, detail.clone());
        }
        let cause = RevocationCause::new(AuditAction::ApiKeyDisplace, key.id);
        self.revoke_self_rotated(transaction, key.clone(), &cause).await?;
        Ok(notice)
    }
}

struct CreateApiKey {
    owner: KeyOwner,
    create: api::CreateApiKey,
}

impl Operation for CreateApiKey {
    type Checked = NewApiKey;
    type Response = api::ApiKey;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<NewApiKey, AppError> {
        let create = &self.create;
        let owner = authorize(scope.principal, self.owner, Access::Manage)?;
        let title = parse_title(&create.title).map_err(|e| AppError::field("title", "malformed", e))?;
        let registration = Registration {
            owner,
            title,
            public_key: &create.public_key,
            expires_at: create.expires_at,
            proof: create.proof.as_deref(),
            origin: Origin::Request(create.limits.as_ref()),
        };
        registration.check(app, scope).await
    }

    /// Writes this node's recorded uses, because the transaction checks whether a key was ever used.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        app.write_uses().await
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, new: NewApiKey) -> Result<api::ApiKey, AppError> {
        let key = new.insert(app, transaction, |detail| detail).await?;
        Ok(to_wire(&key, transaction.now))
    }

    async fn finish(&self, app: &Arc<App>, _: &Caller, response: api::ApiKey, mail: UnsentMail) -> api::ApiKey {
        app.mail_revoked_keys(mail.revoked_keys).await;
        response
    }
}

/// A key that is to be registered, as the caller sent it.
pub(super) struct Registration<'a> {
    pub(super) owner: AuthorizedOwner,
    pub(super) title: String,
    /// In any format.
    pub(super) public_key: &'a str,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) proof: Option<&'a str>,
    pub(super) origin: Origin<'a>,
}

/// Why a key is registered, which determines its limits and its place in the quota.
pub(super) enum Origin<'a> {
    /// The caller requests a key with these limits.
    Request(Option<&'a api::KeyLimits>),
    /// The caller rotates this key, with this overlap.
    Rotation(&'a ApiKey, Overlap),
}

impl Registration<'_> {
    /// Checks that the key can be registered.
    pub(super) async fn check(self, app: &App, scope: &mut Scope<'_>) -> Result<NewApiKey, AppError> {
        let Self { owner, title, public_key, expires_at, proof, origin } = self;
        let (now, id) = (scope.now, app.generate_id(scope.now));
        let public_key = PublicKey::parse(public_key).map_err(|e| AppError::field("public_key", e.code(), e))?.key;
        require_owner(scope.connection, &owner).await?;
        let expires_at = expires_at.map(|end| parse_end(end, now)).transpose()?;
        let challenge = match proof {
            Some(text) => Some(proof::check_proof(app, scope, owner.id, &public_key, text).await?),
            None => None,
        };
        let reclaimed = claim_fingerprint(app, scope, &owner, &public_key, challenge.is_some()).await?;
        let policy = PolicyOfOwner::find(scope.connection, owner.workspace()).await?;
        let (limits, expires_at) = match origin {
            Origin::Request(limits) => {
                app.require_room_for_key(scope, &owner).await?;
                (app.grant_limits(scope, &owner, limits, &KeyLimits::none()).await?, expires_at)
            }
            Origin::Rotation(predecessor, overlap) => {
                app.require_room_for_successor(scope, &owner, (predecessor.id, id), overlap).await?;
                let limits = app.copy_limits(scope, &owner, &predecessor.limits).await?;
                (limits, policy.expiry_of_successor(expires_at, now))
            }
        };
        let proven_at = challenge.is_some().then_some(now);
        let key = ApiKey {
            id,
            owner: owner.id,
            title,
            public_key,
            disabled: false,
            suspended: false,
            expires_at,
            revoked_at: None,
            // Nodes of the previous release interpret this time as a proof.
            verified_at: proven_at,
            proven_at,
            displaced_at: None,
            created_by: scope.principal.audit_principal().to_string(),
            created_with: scope.signed_with(),
            created_at: now,
            last_used_at: None,
            last_used_ip: None,
            limits,
        };
        let within = policy.check_new(&key)?;
        Ok(NewApiKey { owner, key, _within: within, challenge, reclaimed })
    }
}

/// A key that can be registered.
pub(super) struct NewApiKey {
    owner: AuthorizedOwner,
    key: ApiKey,
    /// It is within the policy.
    _within: WithinPolicy,
    /// The challenge in its proof.
    challenge: Option<String>,
    /// Unproven registrations of other principals that it reclaims.
    reclaimed: Vec<ApiKey>,
}

impl NewApiKey {
    /// Registers the key, with its event, whose details `describe` completes. [`App::mail_revoked_keys`] has to follow the
    /// commit.
    pub(super) async fn insert(
        self,
        app: &App,
        transaction: &mut Transaction,
        describe: impl FnOnce(Detail) -> Detail,
    ) -> Result<ApiKey, AppError> {
        let Self { owner, key, _within, challenge, reclaimed } = self;
        if let Some(challenge) = challenge {
            store::proof::delete_challenge(&mut transaction.change, &challenge).await?;
        }
        for other in &reclaimed {
            let revoked = app.revoke_reclaimed(transaction, other).await?;
            transaction.mail.revoked_keys.push(revoked);
        }
        store::api_key::insert_api_key(&mut transaction.change, &key).await?;
        let detail = describe(Detail::of(&key));
        transaction.note(app, AuditAction::ApiKeyCreate, owner.workspace(), key.id, detail);
        Ok(key)
    }
}

/// Checks that no other registration conflicts with this one, and returns those that it reclaims. With a proof, these
/// are the unproven registrations of other principals, used or not.
async fn claim_fingerprint(
    app: &App,
    scope: &mut Scope<'_>,
    owner: &AuthorizedOwner,
    public_key: &PublicKey,
    is_proven: bool,
) -> Result<Vec<ApiKey>, AppError> {
    let fingerprint = public_key.fingerprint();
    let mut reclaimed = Vec::new();
    for other in store::api_key::list_api_keys_by_fingerprint(scope.connection, &fingerprint).await? {
        if other.revoked_at.is_some() {
            require_unused(app, scope, &other).await?;
            continue;
        }
        if is_proven && other.owner != owner.id && other.proven_at.is_none() {
            reclaimed.push(other);
            continue;
        }
        let place = workspace_of(scope.connection, other.owner).await?;
        let principal = scope.principal;
        let may_see = principal.id() == Some(other.owner)
            || principal.identity().is_none()
            || place.is_some_and(|ws| principal.authorize(WorkspacePermission::ViewServiceAccounts, ws).is_ok());
        let registration = may_see.then_some((other.id, other.owner));
        return Err(Conflict::DuplicateKey { fingerprint, registration }.into());
    }
    Ok(reclaimed)
}

/// Refuses a fingerprint whose revoked registration was used, or may have been.
async fn require_unused(app: &App, scope: &mut Scope<'_>, revoked: &ApiKey) -> Result<(), AppError> {
    // The holder of the private key reclaimed it with a proof. That registration is checked instead.
    if revoked.displaced_at.is_some() {
        return Ok(());
    }
    let own = app.cluster.own_report();
    let fingerprint = revoked.public_key.fingerprint();
    match store::api_key::find_use_before_revocation(scope.connection, revoked.id, own).await? {
        UseBeforeRevocation::Never => Ok(()),
        UseBeforeRevocation::Possible => {
            Err(Conflict::BlockedKey { fingerprint, was_used: revoked.was_revoked_after_use() }.into())
        }
        UseBeforeRevocation::Unconfirmed => Err(Conflict::KeyUseUnconfirmed { fingerprint }.into()),
    }
}
