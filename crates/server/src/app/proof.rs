//! Proofs that the private key of a registration is at hand.

use domain::{
    PrincipalId, PublicKey,
    proof::{PROOF_NAMESPACE, Proof, ProofAlgorithm, proof_message},
};
use http_signature::Algorithm;
use verifier::directory::verification_key;

use super::{App, CHALLENGE_LIFETIME, Caller, Transaction};
use crate::error::AppError;

/// Open challenges of one principal that a proof is tried against.
const MAX_OPEN: i64 = 16;

impl App {
    /// A fresh challenge to sign for a key of one's own or of a service account, good once and for five minutes.
    ///
    /// # Errors
    /// For users and service accounts that signed, only.
    pub async fn create_proof_challenge(&self, caller: &Caller) -> Result<api::ProofChallenge, AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.require_signature()?;
        let principal = transaction.principal.id().ok_or(AppError::not_found())?;
        let challenge = self.insert_challenge(&mut transaction, principal).await?;
        self.commit(transaction, 201, challenge).await
    }

    /// Makes a challenge within a change.
    pub(super) async fn insert_challenge(
        &self,
        transaction: &mut Transaction<'_>,
        principal: PrincipalId,
    ) -> Result<api::ProofChallenge, AppError> {
        let (now, challenge) = (transaction.now, self.random_text::<24>());
        let expires_at = now + CHALLENGE_LIFETIME;
        store::proof::insert_challenge(&mut transaction.change, &challenge, principal, now, expires_at).await?;
        transaction.note(self, "proof_challenge.create", None, principal, &[]);
        Ok(api::ProofChallenge {
            namespace: PROOF_NAMESPACE.to_owned(),
            public_url: self.settings.public_url.clone(),
            challenge,
            expires_at,
        })
    }

    /// Checks a proof of `key` for `owner` against the open challenges of whoever sends it, on the host of the owner, and uses
    /// up the one that it answers.
    pub(super) async fn check_proof(
        &self,
        transaction: &mut Transaction<'_>,
        owner: PrincipalId,
        key: &PublicKey,
        text: &str,
    ) -> Result<(), AppError> {
        let (now, sender) = (transaction.now, transaction.principal.id().unwrap_or(owner));
        let change = &mut transaction.change;
        let refuse = |code, detail: &dyn ToString| AppError::field("proof", code, detail.to_string());
        let proof = Proof::parse(text).map_err(|e| refuse("malformed", &e))?;
        if proof.public_key() != key {
            return Err(refuse("other_key", &"it was made with another key than the one that it is for"));
        }
        let verification_key = verification_key(key).ok_or_else(|| refuse("weak_key", &"the key does not verify"))?;
        let signature = proof.signature();
        let algorithm = match signature.algorithm {
            ProofAlgorithm::Ed25519 => Algorithm::Ed25519,
            ProofAlgorithm::EcdsaP256 => Algorithm::EcdsaP256Sha256,
            ProofAlgorithm::EcdsaP384 => Algorithm::EcdsaP384Sha384,
            ProofAlgorithm::RsaSha256 => Algorithm::RsaV1_5Sha256,
            ProofAlgorithm::RsaSha512 => Algorithm::RsaV1_5Sha512,
        };
        for challenge in store::proof::list_challenges(change, sender, now, MAX_OPEN).await? {
            let url = &self.settings.public_url;
            let message = proof_message(url, &owner.to_string(), &key.fingerprint(), &challenge);
            let signed_bytes = proof.signed_bytes(message.as_bytes());
            if verification_key.verify(algorithm, &signed_bytes, &signature.bytes).is_ok() {
                return Ok(store::proof::delete_challenge(change, &challenge).await?);
            }
        }
        let detail = "it answers none of your open challenges; get one from POST /api/v1/me/proof-challenges, sign the \
                      five lines with ssh-keygen -Y sign -n keyward-proof, and send it within five minutes";
        Err(refuse("no_challenge", &detail))
    }
}
