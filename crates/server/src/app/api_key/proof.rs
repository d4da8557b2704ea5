//! Proofs that the owner of a registration has the private key.

use std::sync::Arc;

use domain::{
    ApiKeyId, AuditAction, PrincipalId, PublicKey,
    limits::KeywardScope,
    proof::{PROOF_NAMESPACE, proof_message},
    ssh_signature::SshSignature,
};

use super::{Access, KeyOwner, authorize, require_owner, statement::find_signed, update::KeyChange};
use crate::{
    app::{App, CHALLENGE_LIFETIME, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction},
    error::AppError,
};

/// The maximum number of open challenges of a principal that a proof is compared with.
const MAX_OPEN: i64 = 16;

impl App {
    /// Creates a challenge for a proof of one of the caller's keys or of a service account's key. It can be used once,
    /// within five minutes.
    ///
    /// # Errors
    /// The caller is not a user or service account, or did not sign the request.
    pub async fn create_proof_challenge(
        self: &Arc<Self>,
        caller: &Caller,
    ) -> Result<Confirmed<api::ProofChallenge>, ChangeError> {
        self.change(caller, CreateProofChallenge { owner: None }).await
    }

    /// Creates a challenge for a proof of a key of `owner`. The owner's id is part of the signed text. The host may use
    /// it, too.
    ///
    /// # Errors
    /// The caller may not register keys for them.
    pub async fn create_proof_challenge_for(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
    ) -> Result<Confirmed<(PrincipalId, api::ProofChallenge)>, ChangeError> {
        let id = authorize(&caller.principal, owner, Access::Manage)?.id;
        let challenge = self.change(caller, CreateProofChallenge { owner: Some(owner) }).await?;
        Ok(challenge.map(|challenge| (id, challenge)))
    }

    /// Accepts a proof that the owner of a key has the private key. From then on, no other principal can reclaim the
    /// key.
    ///
    /// # Errors
    /// The caller may not do this, the key is revoked, or the proof is invalid.
    pub async fn prove_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        prove: &api::ProveApiKey,
    ) -> Result<Confirmed<api::ApiKey>, ChangeError> {
        self.change(caller, ProveApiKey { owner, id, prove: prove.clone() }).await
    }
}

struct CreateProofChallenge {
    /// The owner of the key, if it is not the caller.
    owner: Option<KeyOwner>,
}

impl Operation for CreateProofChallenge {
    /// The principal that sends the proof.
    type Checked = PrincipalId;
    type Response = api::ProofChallenge;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<PrincipalId, AppError> {
        let Some(owner) = self.owner else {
            scope.principal.require_signature()?;
            return scope.principal.id().ok_or(AppError::not_found());
        };
        let owner = authorize(scope.principal, owner, Access::Manage)?;
        require_owner(scope.connection, &owner).await?;
        Ok(scope.principal.id().unwrap_or(owner.id))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        sender: PrincipalId,
    ) -> Result<api::ProofChallenge, AppError> {
        let (now, challenge) = (transaction.now, app.random_text::<24>());
        let expires_at = now + CHALLENGE_LIFETIME;
        store::proof::insert_challenge(&mut transaction.change, &challenge, sender, now, expires_at).await?;
        transaction.note(app, AuditAction::ProofChallengeCreate, None, sender, Detail::default());
        let namespace = PROOF_NAMESPACE.to_owned();
        let public_url = app.settings.public_url.clone();
        Ok(api::ProofChallenge { namespace, public_url, challenge, expires_at })
    }
}

struct ProveApiKey {
    owner: KeyOwner,
    id: ApiKeyId,
    prove: api::ProveApiKey,
}

impl Operation for ProveApiKey {
    /// The key, and the challenge in the proof.
    type Checked = (KeyChange, String);
    type Response = api::ApiKey;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let mut change = KeyChange::find(scope, self.owner, self.id).await?;
        // The commit also checks this, but only after the proof was verified.
        scope.principal.require_recent_password(scope.now)?;
        let owner = change.owner().id;
        let key = change.key_mut();
        let challenge = check_proof(app, scope, owner, &key.public_key, &self.prove.proof).await?;
        key.proven_at = key.proven_at.or(Some(scope.now));
        Ok((change, challenge))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (change, challenge): Self::Checked,
    ) -> Result<api::ApiKey, AppError> {
        store::proof::delete_challenge(&mut transaction.change, &challenge).await?;
        store::api_key::prove_api_key(&mut transaction.change, self.id).await?;
        change.apply(app, transaction, AuditAction::ApiKeyProve).await
    }
}

/// Verifies a proof of `key` for `owner` against the open challenges of the sender, or on the host against those of the
/// owner. Returns the challenge in the proof, which is deleted with the change.
pub(super) async fn check_proof(
    app: &App,
    scope: &mut Scope<'_>,
    owner: PrincipalId,
    key: &PublicKey,
    text: &str,
) -> Result<String, AppError> {
    let sender = scope.principal.id().unwrap_or(owner);
    let refuse = |code, detail: &dyn ToString| AppError::field("proof", code, detail.to_string());
    let proof = SshSignature::parse(text, PROOF_NAMESPACE).map_err(|e| refuse("malformed", &e))?;
    if proof.public_key() != key {
        return Err(refuse("other_key", &"it was made with another key"));
    }
    let url = &app.settings.public_url;
    let challenges = store::proof::list_challenges(scope.connection, sender, scope.now, MAX_OPEN).await?;
    let candidates = challenges.into_iter().map(|challenge| {
        let message = proof_message(url, &owner.to_string(), &key.fingerprint(), &challenge);
        (challenge, message)
    });
    if let Some(challenge) = find_signed(&proof, candidates) {
        return Ok(challenge);
    }
    let detail = "it matches none of your open challenges; request one with POST /api/v1/me/proof-challenges, sign \
                  its five lines with ssh-keygen -Y sign -n keyward-proof, and send the proof within five minutes";
    Err(refuse("no_challenge", &detail))
}
