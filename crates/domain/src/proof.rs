//! The proof of possession of a private key: an [`SshSignature`](crate::ssh_signature::SshSignature) over a challenge.

use crate::public_key::Fingerprint;

/// The SSHSIG namespace of a proof, for `ssh-keygen -Y sign -n`.
pub const PROOF_NAMESPACE: &str = "keyward-proof";

/// Returns the text that a proof signs: five lines, each ending with a line feed. The URL and the principal prevent its
/// use elsewhere or by another principal. The challenge prevents its use at a later time.
#[must_use]
pub fn proof_message(public_url: &str, principal_id: &str, fingerprint: &Fingerprint, challenge: &str) -> String {
    format!("{PROOF_NAMESPACE}\n{public_url}\n{principal_id}\n{fingerprint}\n{challenge}\n")
}
