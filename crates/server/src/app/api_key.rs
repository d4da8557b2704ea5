//! API keys: registering, pausing, revoking.

use std::collections::BTreeSet;

use domain::{
    ApiKeyId, PrincipalId, ServiceAccountId, Timestamp, UserId, WorkspaceId,
    api_key::{ApiKey, KeyState},
    principal::{Denied, Principal, WorkspacePermission},
    public_key::PublicKey,
    quota::{Quotas, require_room},
    text::parse_title,
};
use store::{
    Change, Connection,
    api_key::{Revocation, UseBeforeRevocation},
};

use super::{App, Caller, Paging, Transaction, page, service_account};
use crate::{error::AppError, mail::Mail};

/// Whose keys are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOwner {
    /// The caller's own.
    Own,
    /// A service account's.
    ServiceAccount(WorkspaceId, ServiceAccountId),
    /// Some user's; on the host only.
    User(UserId),
}

/// By what keys are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyOrder {
    /// When they were registered.
    #[default]
    Created,
    /// Their titles, whatever the case.
    Title,
    /// When they were last used; never is longest ago.
    LastUsed,
    /// When they end; never comes last.
    Expires,
}

/// Which keys of an owner are looked for.
#[derive(Clone, Debug, Default)]
pub struct KeySearch {
    /// In the title, whatever the case, or in the fingerprint; empty finds all.
    pub text: String,
    /// Expired and revoked ones, too.
    pub with_dead: bool,
    /// How they are ordered.
    pub order: KeyOrder,
    /// The other way round.
    pub descending: bool,
    /// How many come on the pages before.
    pub skip: usize,
    /// A live key that ends before this time ends soon.
    pub soon: Timestamp,
}

/// Keys that were found, and how many more there are.
#[derive(Clone, Debug)]
pub struct FoundKeys {
    /// One page of them.
    pub items: Vec<api::ApiKey>,
    /// How many were found, on all pages.
    pub found: usize,
    /// How many were left out because they are dead.
    pub dead: usize,
    /// How many the owner has, dead ones too.
    pub all: usize,
    /// How many live keys the owner has that end soon, found or not.
    pub ending: usize,
    /// Keys that somebody else took over with a proof in the last [`DISPLACED_DAYS`] days, found or not.
    pub displaced: Vec<api::ApiKey>,
}

/// For how many days a displaced registration is pointed out.
const DISPLACED_DAYS: i64 = 30;

/// A registration that a proof displaced, and who is told of it.
struct Displaced {
    addresses: BTreeSet<String>,
    /// The owner's email or address.
    owner: String,
    title: String,
    fingerprint: String,
}

/// An owner whose keys the caller may see or manage.
struct AuthorizedOwner {
    id: PrincipalId,
    workspace: Option<WorkspaceId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    View,
    Manage,
}

fn authorize(principal: &Principal, owner: KeyOwner, access: Access) -> Result<AuthorizedOwner, AppError> {
    match owner {
        KeyOwner::Own => {
            let id = match access {
                Access::View => principal.id().ok_or(Denied::NotFound)?,
                Access::Manage => principal.authorize_own_keys()?.into(),
            };
            Ok(AuthorizedOwner { id, workspace: None })
        }
        KeyOwner::ServiceAccount(workspace, account) => {
            let permission = match access {
                Access::View => WorkspacePermission::ViewServiceAccounts,
                Access::Manage => WorkspacePermission::ManageServiceAccountKeys,
            };
            principal.authorize(permission, workspace)?;
            if access == Access::Manage {
                principal.require_another(account.into())?;
            }
            Ok(AuthorizedOwner { id: account.into(), workspace: Some(workspace) })
        }
        KeyOwner::User(user) if principal.identity().is_none() => {
            Ok(AuthorizedOwner { id: user.into(), workspace: None })
        }
        KeyOwner::User(_) => Err(Denied::NotFound.into()),
    }
}

const fn state_to_wire(state: KeyState) -> api::KeyState {
    match state {
        KeyState::Active => api::KeyState::Active,
        KeyState::Disabled => api::KeyState::Disabled,
        KeyState::Suspended => api::KeyState::Suspended,
        KeyState::Expired => api::KeyState::Expired,
        KeyState::Revoked => api::KeyState::Revoked,
    }
}

pub(super) fn to_wire(key: &ApiKey, now: Timestamp) -> api::ApiKey {
    api::ApiKey {
        id: key.id,
        title: key.title.clone(),
        algorithm: key.public_key.algorithm().to_string(),
        fingerprint: key.public_key.fingerprint().to_string(),
        public_key: key.public_key.to_openssh(),
        state: state_to_wire(key.state(now)),
        created_at: key.created_at,
        created_by: key.created_by.clone(),
        created_with: key.created_with,
        expires_at: key.expires_at,
        last_used_at: key.last_used_at,
        last_used_ip: key.last_used_ip.clone(),
        proven_at: key.proven_at,
        displaced_at: key.displaced_at,
    }
}

fn parse_end(end: Timestamp, now: Timestamp) -> Result<Timestamp, AppError> {
    if end > now { Ok(end) } else { Err(AppError::field("expires_at", "in_the_past", "choose a time to come")) }
}

fn revoked() -> AppError {
    AppError::conflict(api::codes::KEY_REVOKED, "This key is revoked for good. Register another one.")
}

impl App {
    /// Keys of an owner, dead ones too.
    ///
    /// # Errors
    /// The caller may not see them.
    pub async fn list_api_keys(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        paging: &Paging,
    ) -> Result<api::Page<api::ApiKey>, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let limit = paging.limit()?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        require_owner(&mut connection, &owner).await?;
        let keys = store::api_key::list_api_keys(&mut connection, owner.id, paging.after()?, limit + 1).await?;
        Ok(page(keys, limit, |key| key.id.to_string(), |key| to_wire(&key, now)))
    }

    /// Keys of an owner that match a search, for people: in any order, one page of [`DEFAULT_PAGE`](super::DEFAULT_PAGE)
    /// of them. An owner has few, so they are searched and sorted here.
    ///
    /// # Errors
    /// The caller may not see them.
    pub async fn search_api_keys(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        search: &KeySearch,
    ) -> Result<FoundKeys, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let now = self.clock.now();
        let keys = {
            let mut connection = self.store.read().await?;
            require_owner(&mut connection, &owner).await?;
            store::api_key::list_api_keys(&mut connection, owner.id, None, i64::MAX).await?
        };
        let all = keys.len();
        let is_recent = |at: Timestamp| now.as_second() - at.as_second() < DISPLACED_DAYS * 86_400;
        let displaced = keys.iter().filter(|key| key.displaced_at.is_some_and(is_recent));
        let displaced = displaced.map(|key| to_wire(key, now)).collect();
        let text = search.text.trim().to_lowercase();
        let matches = |key: &ApiKey| {
            key.title.to_lowercase().contains(&text)
                || key.public_key.fingerprint().to_string().contains(search.text.trim())
        };
        let is_dead = |key: &ApiKey| matches!(key.state(now), KeyState::Expired | KeyState::Revoked);
        let ends_soon = |key: &&ApiKey| !is_dead(key) && key.expires_at.is_some_and(|end| end < search.soon);
        let ending = keys.iter().filter(ends_soon).count();
        let (dead, live): (Vec<ApiKey>, Vec<ApiKey>) = keys.into_iter().filter(matches).partition(is_dead);
        let left_out = if search.with_dead { 0 } else { dead.len() };
        let mut found = live;
        if search.with_dead {
            found.extend(dead);
        }
        // What is equal stays in the order in which it was registered.
        found.sort_by_key(|key| key.id);
        match search.order {
            KeyOrder::Created => {}
            KeyOrder::Title => found.sort_by_cached_key(|key| key.title.to_lowercase()),
            KeyOrder::LastUsed => found.sort_by_key(|key| key.last_used_at),
            KeyOrder::Expires => found.sort_by_key(|key| (key.expires_at.is_none(), key.expires_at)),
        }
        if search.descending {
            found.reverse();
        }
        let limit = usize::try_from(super::DEFAULT_PAGE).unwrap_or(usize::MAX);
        let items = found.iter().skip(search.skip).take(limit).map(|key| to_wire(key, now)).collect();
        Ok(FoundKeys { items, found: found.len(), dead: left_out, all, ending, displaced })
    }

    /// A key of an owner.
    ///
    /// # Errors
    /// The caller may not see it.
    pub async fn find_api_key(&self, caller: &Caller, owner: KeyOwner, id: ApiKeyId) -> Result<api::ApiKey, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let mut connection = self.store.read().await?;
        require_owner(&mut connection, &owner).await?;
        let key = find(&mut connection, &owner, id).await?;
        Ok(to_wire(&key, self.clock.now()))
    }

    /// The keys that a revocation with `cascade` revokes besides the key itself, at this moment: what the API, the pages and
    /// the command line show before.
    ///
    /// # Errors
    /// The caller may not revoke the key.
    pub async fn list_cascade(&self, caller: &Caller, owner: KeyOwner, id: ApiKeyId) -> Result<api::Cascade, AppError> {
        let owner = authorize(&caller.principal, owner, Access::Manage)?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let root = find_of_owner(&mut connection, &owner, id).await?;
        let mut keys = Vec::new();
        for (key, _) in list_keys_to_revoke(&mut connection, &caller.principal, vec![root], true).await? {
            if key.id != id {
                keys.push(api::CascadedKey {
                    id: key.id,
                    title: key.title.clone(),
                    fingerprint: key.public_key.fingerprint().to_string(),
                    state: state_to_wire(key.state(now)),
                    owner: key.owner.to_string(),
                    owner_email: store::identity::find_email(&mut connection, key.owner).await?,
                    created_with: key.created_with,
                });
            }
        }
        keys.sort_by_key(|key| key.id);
        Ok(api::Cascade { keys })
    }

    /// Registers a key. One that exists is an error, unless a proof displaces a registration by somebody else that never
    /// carried one.
    ///
    /// # Errors
    /// The key is malformed, weak or of another kind; it exists, or was revoked after a use; the quota is reached; the proof
    /// is wrong.
    pub async fn create_api_key(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        create: &api::CreateApiKey,
    ) -> Result<api::ApiKey, AppError> {
        authorize(&caller.principal, owner, Access::Manage)?;
        let title = parse_title(&create.title).map_err(|e| AppError::field("title", "malformed", e))?;
        let public_key =
            PublicKey::parse(&create.public_key).map_err(|e| AppError::field("public_key", e.code(), e))?.key;
        // Whether a key was ever used decides below, so what this node knows of that is written first.
        self.write_uses().await?;
        let mut transaction = self.begin(caller).await?;
        let now = transaction.now;
        let owner = authorize(&transaction.principal, owner, Access::Manage)?;
        require_owner(&mut transaction.change, &owner).await?;
        let expires_at = create.expires_at.map(|end| parse_end(end, now)).transpose()?;
        let mut proven_at = None;
        if let Some(proof) = &create.proof {
            self.check_proof(&mut transaction, owner.id, &public_key, proof).await?;
            proven_at = Some(now);
        }
        let displaced = self.claim_fingerprint(&mut transaction, &owner, &public_key, proven_at.is_some()).await?;
        self.require_room_for_key(&mut transaction.change, &owner, now).await?;
        let key = ApiKey {
            id: self.generate_id(now),
            owner: owner.id,
            title,
            public_key,
            disabled: false,
            suspended: false,
            expires_at,
            revoked_at: None,
            // Nodes of the previous release take this moment for a proof.
            verified_at: proven_at,
            proven_at,
            displaced_at: None,
            created_by: transaction.created_by(),
            created_with: transaction.signed_with(),
            created_at: now,
            last_used_at: None,
            last_used_ip: None,
        };
        store::api_key::insert_api_key(&mut transaction.change, &key).await?;
        transaction.note(
            self,
            "api_key.create",
            owner.workspace,
            key.id,
            &[
                ("owner", &key.owner.to_string()),
                ("title", &key.title),
                ("fingerprint", &key.public_key.fingerprint().to_string()),
            ],
        );
        let answer = self.commit(transaction, 201, to_wire(&key, now)).await?;
        self.mail_displaced(displaced).await;
        Ok(answer)
    }

    /// A fresh challenge for a proof of a key of `owner`, whose id is part of what is signed; on the host too.
    ///
    /// # Errors
    /// The caller may not register keys for them.
    pub async fn create_proof_challenge_for(
        &self,
        caller: &Caller,
        owner: KeyOwner,
    ) -> Result<(PrincipalId, api::ProofChallenge), AppError> {
        let mut transaction = self.begin(caller).await?;
        let owner = authorize(&transaction.principal, owner, Access::Manage)?;
        require_owner(&mut transaction.change, &owner).await?;
        let sender = transaction.principal.id().unwrap_or(owner.id);
        let challenge = self.insert_challenge(&mut transaction, sender).await?;
        self.commit(transaction, 201, (owner.id, challenge)).await
    }

    /// Takes in a proof that the owner of a key holds its private half; one that had none cannot be displaced from then on.
    ///
    /// # Errors
    /// The caller may not; the key is revoked; the proof is wrong.
    pub async fn prove_api_key(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        prove: &api::ProveApiKey,
    ) -> Result<api::ApiKey, AppError> {
        let mut transaction = self.begin(caller).await?;
        let owner = authorize(&transaction.principal, owner, Access::Manage)?;
        // As the commit does, but before the proof is looked at.
        transaction.principal.require_recent_password(transaction.now)?;
        let mut key = find_unrevoked(&mut transaction.change, &owner, id).await?;
        self.check_proof(&mut transaction, owner.id, &key.public_key, &prove.proof).await?;
        store::api_key::prove_api_key(&mut transaction.change, id).await?;
        key.proven_at = key.proven_at.or(Some(transaction.now));
        self.write_state(transaction, &owner, key, "api_key.prove").await
    }

    /// Sees that no other registration stands in the way of this one. A proof displaces what somebody else registered without
    /// one, used or not; whom to tell of it is answered.
    async fn claim_fingerprint(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &AuthorizedOwner,
        public_key: &PublicKey,
        is_proven: bool,
    ) -> Result<Vec<Displaced>, AppError> {
        let fingerprint = public_key.fingerprint();
        let mut displaced = Vec::new();
        let registered = store::api_key::list_api_keys_by_fingerprint(&mut transaction.change, &fingerprint).await?;
        for other in registered {
            if other.revoked_at.is_some() {
                self.require_unused(&mut transaction.change, &other).await?;
                continue;
            }
            if is_proven && other.owner != owner.id && other.proven_at.is_none() {
                displaced.push(self.displace(transaction, &other).await?);
                continue;
            }
            let place = workspace_of(&mut transaction.change, other.owner).await?;
            let principal = &transaction.principal;
            let may_see = principal.id() == Some(other.owner)
                || principal.identity().is_none()
                || place.is_some_and(|ws| principal.authorize(WorkspacePermission::ViewServiceAccounts, ws).is_ok());
            let way_out = if may_see { "" } else { " If somebody else registered your key, register it with a proof." };
            let detail = format!(
                "The key {fingerprint} is registered already. A key exists once; make a new key pair for this \
                 one.{way_out}"
            );
            return Err(duplicate(&detail, &fingerprint.to_string(), may_see.then_some(&other)));
        }
        Ok(displaced)
    }

    /// Refuses a fingerprint whose revoked registration was used, or may have been.
    async fn require_unused(&self, change: &mut Change, revoked: &ApiKey) -> Result<(), AppError> {
        // Whoever holds the private key has taken it over with a proof, and that registration decides.
        if revoked.displaced_at.is_some() {
            return Ok(());
        }
        let own = self.feed.as_ref().map(|feed| (feed.node(), feed.reported()));
        let fingerprint = revoked.public_key.fingerprint().to_string();
        let is_final = match store::api_key::find_use_before_revocation(change, revoked.id, own).await? {
            UseBeforeRevocation::Never => return Ok(()),
            UseBeforeRevocation::Possible => true,
            UseBeforeRevocation::Unconfirmed => false,
        };
        let detail = match (is_final, revoked.was_revoked_after_use()) {
            (true, true) => format!(
                "The key {fingerprint} was used here and then revoked. It can never be registered again; make a new key \
                 pair."
            ),
            (true, false) => format!(
                "The key {fingerprint} was registered here and then revoked, and a server that may have seen its use has \
                 stopped since. It can never be registered again; make a new key pair."
            ),
            (false, _) => format!(
                "The key {fingerprint} was revoked a moment ago, and not every server has said yet that it was never used. \
                 Try again in some seconds, or make a new key pair."
            ),
        };
        let mut error = duplicate(&detail, &fingerprint, None);
        if let AppError::Conflict(conflict) = &mut error {
            conflict.members.insert("burnt", is_final.into());
        }
        Err(error)
    }

    /// Revokes a registration because somebody else registers the key with a proof, and answers whom to tell. Its owner and
    /// their admins read what happened to them, and nothing of who holds the key.
    async fn displace(&self, transaction: &mut Transaction<'_>, key: &ApiKey) -> Result<Displaced, AppError> {
        let change = &mut transaction.change;
        store::api_key::revoke_api_key(change, key, Revocation::Displaced).await?;
        let owner = store::identity::find_identity(change, key.owner).await?;
        let memberships = owner.as_ref().map(|owner| owner.memberships.as_slice()).unwrap_or_default();
        let mut addresses = BTreeSet::new();
        if let (PrincipalId::User(_), Some(owner)) = (key.owner, &owner) {
            addresses.insert(owner.email.clone());
        }
        for membership in memberships {
            addresses.extend(store::member::list_admin_emails(change, membership.workspace).await?);
        }
        let (owner_id, fingerprint) = (key.owner.to_string(), key.public_key.fingerprint().to_string());
        let reason = "somebody else registered this key with a proof that they hold the private key";
        let detail =
            [("owner", owner_id.as_str()), ("title", &key.title), ("fingerprint", &fingerprint), ("reason", reason)];
        let places: Vec<_> = memberships.iter().map(|membership| Some(membership.workspace)).collect();
        for place in if places.is_empty() { vec![None] } else { places } {
            transaction.note_by_server(self, "api_key.displace", place, key.id, &detail);
        }
        let owner = owner.map_or(owner_id, |owner| owner.email);
        Ok(Displaced { addresses, owner, title: key.title.clone(), fingerprint })
    }

    /// Tells by mail, where a server is set, who lost a registration, and their admins. The change is committed: an outage of
    /// the mail loses nothing else.
    async fn mail_displaced(&self, displaced: Vec<Displaced>) {
        let Some(mailer) = &self.mailer else { return };
        let url = &self.settings.public_url;
        let mails = displaced.iter().flat_map(|Displaced { addresses, owner, title, fingerprint }| {
            addresses.iter().map(move |address| Mail {
                to: address.clone(),
                subject: "An API key was taken over by its holder".to_owned(),
                text: format!(
                    "The API key {title} of {owner} was revoked:\n\n{fingerprint}\n\nSomebody else showed by a proof that they \
                     hold its private key, which was never shown when it was registered here. It is theirs now.\n\nIf it \
                     should be the key of {owner}, somebody else has a copy of the private key: make a new key pair, and \
                     look at what was done with the old one:\n\n{url}\n"
                ),
            })
        });
        mailer.send_all(mails.collect()).await;
    }

    async fn require_room_for_key(
        &self,
        change: &mut Change,
        owner: &AuthorizedOwner,
        now: Timestamp,
    ) -> Result<(), AppError> {
        let present = store::api_key::count_live_api_keys(change, owner.id, now).await?;
        let (what, limit) = find_limit(change, owner).await?;
        require_room(what, present, limit)
            .map_err(|e| AppError::QuotaExceeded(e, self.settings.support_contact.clone()))
    }

    /// How many live keys an owner has, and may have.
    ///
    /// # Errors
    /// The caller may not see them.
    pub async fn count_api_keys(&self, caller: &Caller, owner: KeyOwner) -> Result<api::KeyCount, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let mut connection = self.store.read().await?;
        require_owner(&mut connection, &owner).await?;
        let live = store::api_key::count_live_api_keys(&mut connection, owner.id, self.clock.now()).await?;
        let (_, limit) = find_limit(&mut connection, &owner).await?;
        Ok(api::KeyCount { live, limit })
    }

    /// Changes a key's title or end.
    ///
    /// # Errors
    /// The caller may not; the key is revoked; an expired key would come back over the quota.
    pub async fn update_api_key(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        update: &api::UpdateApiKey,
    ) -> Result<api::ApiKey, AppError> {
        self.require_unrevoked(caller, owner, id).await?;
        let mut transaction = self.begin(caller).await?;
        let owner = authorize(&transaction.principal, owner, Access::Manage)?;
        let mut key = find_unrevoked(&mut transaction.change, &owner, id).await?;
        let end_before = key.expires_at;
        if let Some(title) = &update.title {
            key.title = parse_title(title).map_err(|e| AppError::field("title", "malformed", e))?;
        }
        if let Some(end) = update.expires_at {
            self.set_end(&mut transaction, &owner, &mut key, end).await?;
        }
        store::api_key::update_api_key(&mut transaction.change, &key).await?;
        let end = key.expires_at.map_or("never".to_owned(), |end| end.to_string());
        let end_before = end_before.filter(|end| Some(*end) != key.expires_at).map(|end| end.to_string());
        let mut detail = vec![("title", key.title.as_str()), ("expires_at", end.as_str())];
        detail.extend(end_before.as_deref().map(|end| ("expires_at_before", end)));
        transaction.note(self, "api_key.update", owner.workspace, id, &detail);
        let answer = to_wire(&key, transaction.now);
        self.commit(transaction, 200, answer).await
    }

    /// Refuses a key that is not there or is revoked, before a lock is taken for it.
    async fn require_unrevoked(&self, caller: &Caller, owner: KeyOwner, id: ApiKeyId) -> Result<(), AppError> {
        let owner = authorize(&caller.principal, owner, Access::Manage)?;
        let mut connection = self.store.read().await?;
        let found = find_unrevoked(&mut connection, &owner, id).await;
        self.refuse_early(caller, connection, found).await
    }

    /// Sets when a key ends. A key that had expired counts against the quota again.
    async fn set_end(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &AuthorizedOwner,
        key: &mut ApiKey,
        end: Option<Timestamp>,
    ) -> Result<(), AppError> {
        let now = transaction.now;
        let end = end.map(|end| parse_end(end, now)).transpose()?;
        if key.state(now) == KeyState::Expired {
            self.require_room_for_key(&mut transaction.change, owner, now).await?;
        }
        key.expires_at = end;
        Ok(())
    }

    /// Pauses a key.
    ///
    /// # Errors
    /// The caller may not; the key is revoked.
    pub async fn disable_api_key(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
    ) -> Result<api::ApiKey, AppError> {
        self.require_unrevoked(caller, owner, id).await?;
        let mut transaction = self.begin(caller).await?;
        let owner = authorize(&transaction.principal, owner, Access::Manage)?;
        let mut key = find_unrevoked(&mut transaction.change, &owner, id).await?;
        key.disabled = true;
        self.write_state(transaction, &owner, key, "api_key.disable").await
    }

    /// Lets a paused key work again; one that has expired gets a new end with it.
    ///
    /// # Errors
    /// The caller may not; the key is revoked, or has expired and gets no new end; the quota is reached.
    pub async fn enable_api_key(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        enable: &api::EnableApiKey,
    ) -> Result<api::ApiKey, AppError> {
        self.require_unrevoked(caller, owner, id).await?;
        let mut transaction = self.begin(caller).await?;
        let owner = authorize(&transaction.principal, owner, Access::Manage)?;
        let mut key = find_unrevoked(&mut transaction.change, &owner, id).await?;
        match enable.expires_at {
            Some(end) => self.set_end(&mut transaction, &owner, &mut key, end).await?,
            None if key.state(transaction.now) == KeyState::Expired => {
                let detail = "This key has expired. Give it a new end with \"expires_at\", or null for none.";
                return Err(AppError::conflict(api::codes::KEY_EXPIRED, detail));
            }
            None => {}
        }
        key.disabled = false;
        self.write_state(transaction, &owner, key, "api_key.enable").await
    }

    async fn write_state(
        &self,
        mut transaction: Transaction<'_>,
        owner: &AuthorizedOwner,
        key: ApiKey,
        action: &'static str,
    ) -> Result<api::ApiKey, AppError> {
        store::api_key::update_api_key(&mut transaction.change, &key).await?;
        let fingerprint = key.public_key.fingerprint().to_string();
        transaction.note(self, action, owner.workspace, key.id, &[("fingerprint", &fingerprint)]);
        let answer = to_wire(&key, transaction.now);
        self.commit(transaction, 200, answer).await
    }

    /// Revokes a key, and with `cascade` the keys that it made, as far as the caller manages them. Once this has
    /// returned, no node accepts them. Revoking a revoked key is done already.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn revoke_api_key(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        cascade: bool,
    ) -> Result<(), AppError> {
        let authorized = authorize(&caller.principal, owner, Access::Manage)?;
        let mut connection = self.store.read().await?;
        let found = find_of_owner(&mut connection, &authorized, id).await;
        if let Ok(root) = &found {
            let roots = vec![root.clone()];
            let left = list_keys_to_revoke(&mut connection, &caller.principal, roots, cascade).await?;
            if left.is_empty() && !self.was_done_before(caller, &mut connection).await? {
                return Ok(());
            }
        }
        self.refuse_early(caller, connection, found).await?;
        self.write_uses().await?;
        let mut transaction = self.begin(caller).await?;
        let owner = authorize(&transaction.principal, owner, Access::Manage)?;
        require_owner(&mut transaction.change, &owner).await?;
        let root = find(&mut transaction.change, &owner, id).await?;
        self.revoke_keys(&mut transaction, vec![root], cascade).await?;
        if transaction.events.is_empty() {
            return Ok(());
        }
        self.commit(transaction, 204, ()).await
    }

    /// Revokes keys within a change that was authorized, each with its own event in its owner's workspace; with `cascade` also
    /// the keys that they registered, as far as the caller manages those. What is revoked already stays as it is. Tells how
    /// many were revoked.
    pub(super) async fn revoke_keys(
        &self,
        transaction: &mut Transaction<'_>,
        keys: Vec<ApiKey>,
        cascade: bool,
    ) -> Result<usize, AppError> {
        let principal = transaction.principal.clone();
        let taken = list_keys_to_revoke(&mut transaction.change, &principal, keys, cascade).await?;
        let count = taken.len();
        for (key, place) in taken {
            store::api_key::revoke_api_key(&mut transaction.change, &key, Revocation::Ordinary).await?;
            let (owner, fingerprint) = (key.owner.to_string(), key.public_key.fingerprint().to_string());
            let detail = [("owner", owner.as_str()), ("title", &key.title), ("fingerprint", &fingerprint)];
            transaction.note(self, "api_key.revoke", place, key.id, &detail);
        }
        Ok(count)
    }

    /// Revokes all keys of an owner who is about to be deleted, as [`revoke_keys`](Self::revoke_keys) does.
    pub(super) async fn revoke_keys_of(
        &self,
        transaction: &mut Transaction<'_>,
        owner: PrincipalId,
    ) -> Result<usize, AppError> {
        let keys = store::api_key::list_api_keys(&mut transaction.change, owner, None, i64::MAX).await?;
        self.revoke_keys(transaction, keys, false).await
    }
}

/// The keys that a revocation of `roots` takes along, each with its workspace: themselves, and with `cascade` those that they
/// registered, as far as the caller manages them.
async fn list_keys_to_revoke(
    connection: &mut Connection,
    principal: &Principal,
    roots: Vec<ApiKey>,
    cascade: bool,
) -> Result<Vec<(ApiKey, Option<WorkspaceId>)>, AppError> {
    let owners: Vec<PrincipalId> = roots.iter().map(|key| key.owner).collect();
    let mut seen: Vec<ApiKeyId> = roots.iter().map(|key| key.id).collect();
    let mut waiting = roots;
    let mut taken = Vec::new();
    while let Some(key) = waiting.pop() {
        if cascade {
            // Also through keys that are revoked already or another's: what they registered is not safer for it.
            for made in store::api_key::list_api_keys_made_with(connection, key.id).await? {
                if !seen.contains(&made.id) {
                    seen.push(made.id);
                    waiting.push(made);
                }
            }
        }
        let place = workspace_of(connection, key.owner).await?;
        if key.revoked_at.is_none() && (owners.contains(&key.owner) || manages(principal, key.owner, place)) {
            taken.push((key, place));
        }
    }
    Ok(taken)
}

/// Whether the keys of `whose`, in `place`, are the caller's to revoke.
fn manages(principal: &Principal, whose: PrincipalId, place: Option<WorkspaceId>) -> bool {
    let keys = match (whose, place) {
        (PrincipalId::ServiceAccount(account), Some(workspace)) => KeyOwner::ServiceAccount(workspace, account),
        _ if principal.id() == Some(whose) => KeyOwner::Own,
        _ => return false,
    };
    authorize(principal, keys, Access::Manage).is_ok()
}

/// How many live keys an owner may have, and what they are called.
async fn find_limit(connection: &mut Connection, owner: &AuthorizedOwner) -> Result<(&'static str, u32), AppError> {
    match (owner.id, owner.workspace) {
        (PrincipalId::ServiceAccount(_), Some(workspace)) => {
            let found = store::workspace::find_workspace(connection, workspace).await?;
            let quotas = found.ok_or(AppError::not_found())?.quotas;
            Ok(("live keys of this service account", quotas.keys_per_service_account))
        }
        (PrincipalId::User(user), _) => {
            let largest = store::user::find_user_key_quota(connection, user).await?;
            let limit = largest.and_then(|quota| u32::try_from(quota).ok());
            Ok(("live keys of this user", limit.unwrap_or(Quotas::default().keys_per_user)))
        }
        (PrincipalId::ServiceAccount(_), None) => {
            Err(AppError::Internal("a service account without a workspace".to_owned()))
        }
    }
}

async fn require_owner(connection: &mut Connection, owner: &AuthorizedOwner) -> Result<(), AppError> {
    match (owner.id, owner.workspace) {
        (PrincipalId::ServiceAccount(account), Some(workspace)) => {
            service_account::find(connection, workspace, account).await.map(|_| ())
        }
        (PrincipalId::User(user), _) => {
            let found = store::user::find_user(connection, user).await?;
            found.map(|_| ()).ok_or(AppError::not_found())
        }
        (PrincipalId::ServiceAccount(_), None) => Ok(()),
    }
}

async fn find(connection: &mut Connection, owner: &AuthorizedOwner, id: ApiKeyId) -> Result<ApiKey, AppError> {
    store::api_key::find_api_key(connection, owner.id, id).await?.ok_or(AppError::not_found())
}

async fn find_of_owner(connection: &mut Connection, owner: &AuthorizedOwner, id: ApiKeyId) -> Result<ApiKey, AppError> {
    require_owner(connection, owner).await?;
    find(connection, owner, id).await
}

async fn find_unrevoked(
    connection: &mut Connection,
    owner: &AuthorizedOwner,
    id: ApiKeyId,
) -> Result<ApiKey, AppError> {
    let key = find_of_owner(connection, owner, id).await?;
    if key.revoked_at.is_some() { Err(revoked()) } else { Ok(key) }
}

async fn workspace_of(connection: &mut Connection, owner: PrincipalId) -> Result<Option<WorkspaceId>, AppError> {
    match owner {
        PrincipalId::User(_) => Ok(None),
        PrincipalId::ServiceAccount(account) => {
            Ok(store::service_account::find_workspace_of(connection, account).await?)
        }
    }
}

fn duplicate(detail: &str, fingerprint: &str, visible: Option<&ApiKey>) -> AppError {
    let mut error = AppError::conflict(api::codes::DUPLICATE_KEY, detail);
    if let AppError::Conflict(conflict) = &mut error {
        conflict.members.insert("fingerprint", fingerprint.into());
        if let Some(key) = visible {
            conflict.members.insert("key", key.id.to_string().into());
            conflict.members.insert("owner", key.owner.to_string().into());
        }
    }
    error
}
