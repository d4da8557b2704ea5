//! Proofs that the owner of a registration has the private key.

use api::ProofChallenge;
use client::{AgentKey, PrivateKey, SigningKeyError};
use domain::{
    Fingerprint,
    proof::{PROOF_NAMESPACE, proof_message},
};

use crate::failure::{Failure, Outcome};

/// A private key that can prove itself.
pub(crate) trait SignProof {
    fn fingerprint(&self) -> String;

    /// Signs a message for a purpose.
    fn sign_message(&self, namespace: &str, message: &[u8]) -> Result<String, SigningKeyError>;
}

macro_rules! sign_proof {
    ($($key:ty),*) => {$(
        impl SignProof for $key {
            fn fingerprint(&self) -> String {
                self.fingerprint()
            }

            fn sign_message(&self, namespace: &str, message: &[u8]) -> Result<String, SigningKeyError> {
                self.sign_message(namespace, message)
            }
        }
    )*};
}
sign_proof!(PrivateKey, AgentKey);

/// Signs a challenge for a key of `owner`.
pub(crate) fn sign_proof(key: &impl SignProof, owner: &str, challenge: &ProofChallenge) -> Outcome<String> {
    let fingerprint: Fingerprint = key
        .fingerprint()
        .parse()
        .map_err(|error| Failure::new(format!("the fingerprint of the key is malformed: {error}")))?;
    let message = proof_message(&challenge.public_url, owner, &fingerprint, &challenge.challenge);
    key.sign_message(PROOF_NAMESPACE, message.as_bytes()).map_err(|error| Failure::new(error.to_string()))
}
