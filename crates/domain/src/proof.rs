//! The proof of possession of a private key: an armoured SSHSIG (OpenSSH's PROTOCOL.sshsig), as `ssh-keygen -Y sign -n
//! keyward-proof` prints it. This module parses it. The caller verifies the signature.

use sha2::{Digest, Sha256, Sha512};

use crate::public_key::{
    ArmourError, Fingerprint, KeyAlgorithm, MAX_TEXT_BYTES, PublicKey, PublicKeyError, read_pem,
    wire::{Reader, WireError, put_string},
};

/// The SSHSIG namespace of a proof, for `ssh-keygen -Y sign -n`.
pub const PROOF_NAMESPACE: &str = "keyward-proof";

const MAGIC: &[u8; 6] = b"SSHSIG";

/// A parsed proof whose signature is not verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    public_key: PublicKey,
    hash: Hash,
    signature: ProofSignature,
}

/// The signature in a proof, in the encoding of JOSE and RFC 9421 verifiers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofSignature {
    /// The algorithm, which matches the type of the key.
    pub algorithm: ProofAlgorithm,
    /// Ed25519: 64 bytes. RSA: as long as the modulus. ECDSA: r ‖ s, each as long as the curve's order.
    pub bytes: Vec<u8>,
}

/// The signature algorithm of a proof.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProofAlgorithm {
    /// Ed25519 (RFC 8709 §6).
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8332).
    RsaSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (RFC 8332).
    RsaSha512,
    /// ECDSA on P-256 with SHA-256 (RFC 5656 §3.1.2).
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384 (RFC 5656 §3.1.2).
    EcdsaP384,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hash {
    Sha256,
    Sha512,
}

/// Why a proof is invalid. `Display` says how to correct it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Longer than any proof.
    #[error("the proof is too long for a signature: send what `ssh-keygen -Y sign -n keyward-proof` printed")]
    TooLong,
    /// Not one complete armoured block.
    #[error(
        "the proof is not an SSH signature: send everything that `ssh-keygen -Y sign -n keyward-proof` printed, from \
         the line with BEGIN SSH SIGNATURE to the line with END"
    )]
    Armour,
    /// The bytes inside the armour are not an SSHSIG of version 1.
    #[error("the proof is damaged: sign the challenge again with `ssh-keygen -Y sign -n keyward-proof`")]
    Malformed,
    /// It was signed for another purpose.
    #[error("the proof was signed for another purpose: sign with the namespace `keyward-proof` (`-n keyward-proof`)")]
    Namespace,
    /// A hash other than SHA-256 and SHA-512.
    #[error("the hash algorithm of the proof is not supported: sign with `-O hashalg=sha512` or `-O hashalg=sha256`")]
    HashAlgorithm,
    /// A signature algorithm that does not match the key, or uses SHA-1.
    #[error(
        "the proof's signature algorithm does not match its key or is no longer safe: sign again with a current \
         `ssh-keygen`"
    )]
    SignatureAlgorithm,
    /// The key in the proof cannot be registered.
    #[error("the key of the proof is invalid: {0}")]
    PublicKey(#[source] PublicKeyError),
}

impl From<WireError> for ProofError {
    fn from(_: WireError) -> Self {
        Self::Malformed
    }
}

impl From<ArmourError> for ProofError {
    fn from(_: ArmourError) -> Self {
        Self::Armour
    }
}

/// Returns the text that a proof signs: five lines, each ending with a line feed. The URL and the principal prevent its
/// use elsewhere or by another principal. The challenge prevents its use at a later time.
#[must_use]
pub fn proof_message(public_url: &str, principal_id: &str, fingerprint: &Fingerprint, challenge: &str) -> String {
    format!("{PROOF_NAMESPACE}\n{public_url}\n{principal_id}\n{fingerprint}\n{challenge}\n")
}

impl Proof {
    /// Parses an armoured SSHSIG.
    ///
    /// # Errors
    /// [`ProofError`] unless it is exactly one SSHSIG of version 1 in the namespace [`PROOF_NAMESPACE`], with a key
    /// that can be registered and a signature that matches the key.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(ProofError::TooLong);
        }
        let ("SSH SIGNATURE", blob) = read_pem(text)? else { return Err(ProofError::Armour) };
        let mut reader = Reader::new(&blob);
        if reader.read_bytes(MAGIC.len())? != MAGIC || reader.read_u32()? != 1 {
            return Err(ProofError::Malformed);
        }
        let public_key = reader.read_string()?;
        let namespace = reader.read_string()?;
        let reserved = reader.read_string()?;
        let hash = reader.read_string()?;
        let signature = reader.read_string()?;
        reader.finish()?;
        if namespace != PROOF_NAMESPACE.as_bytes() {
            return Err(ProofError::Namespace);
        }
        if !reserved.is_empty() {
            return Err(ProofError::Malformed);
        }
        let hash = match hash {
            b"sha256" => Hash::Sha256,
            b"sha512" => Hash::Sha512,
            _ => return Err(ProofError::HashAlgorithm),
        };
        let public_key = PublicKey::from_blob(public_key).map_err(ProofError::PublicKey)?;
        let signature = read_signature(signature, public_key.algorithm())?;
        Ok(Self { public_key, hash, signature })
    }

    /// Returns the key in the proof.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns the signed bytes if the proof is a signature of `message`.
    #[must_use]
    pub fn signed_bytes(&self, message: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_string(&mut bytes, PROOF_NAMESPACE.as_bytes());
        put_string(&mut bytes, b"");
        match self.hash {
            Hash::Sha256 => {
                put_string(&mut bytes, b"sha256");
                put_string(&mut bytes, &Sha256::digest(message));
            }
            Hash::Sha512 => {
                put_string(&mut bytes, b"sha512");
                put_string(&mut bytes, &Sha512::digest(message));
            }
        }
        bytes
    }

    /// Returns the signature of [`Proof::signed_bytes`].
    #[must_use]
    pub fn signature(&self) -> &ProofSignature {
        &self.signature
    }
}

fn read_signature(blob: &[u8], key: KeyAlgorithm) -> Result<ProofSignature, ProofError> {
    let mut reader = Reader::new(blob);
    let name = reader.read_string()?;
    let value = reader.read_string()?;
    reader.finish()?;
    let (algorithm, bytes) = match (name, key) {
        (b"ssh-ed25519", KeyAlgorithm::Ed25519) => (ProofAlgorithm::Ed25519, of_length(value, 64)?),
        (b"rsa-sha2-256", KeyAlgorithm::Rsa { bits }) => {
            (ProofAlgorithm::RsaSha256, of_length(value, usize::from(bits.div_ceil(8)))?)
        }
        (b"rsa-sha2-512", KeyAlgorithm::Rsa { bits }) => {
            (ProofAlgorithm::RsaSha512, of_length(value, usize::from(bits.div_ceil(8)))?)
        }
        (b"ecdsa-sha2-nistp256", KeyAlgorithm::EcdsaP256) => (ProofAlgorithm::EcdsaP256, fixed_width(value, 32)?),
        (b"ecdsa-sha2-nistp384", KeyAlgorithm::EcdsaP384) => (ProofAlgorithm::EcdsaP384, fixed_width(value, 48)?),
        _ => return Err(ProofError::SignatureAlgorithm),
    };
    Ok(ProofSignature { algorithm, bytes })
}

fn of_length(bytes: &[u8], length: usize) -> Result<Vec<u8>, ProofError> {
    if bytes.len() == length { Ok(bytes.to_vec()) } else { Err(ProofError::Malformed) }
}

/// RFC 5656 §3.1.2: two `mpint`s, padded here to the length of the curve.
fn fixed_width(value: &[u8], width: usize) -> Result<Vec<u8>, ProofError> {
    let mut reader = Reader::new(value);
    let mut bytes = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let number = reader.read_mpint()?;
        let padding = width.checked_sub(number.len()).ok_or(ProofError::Malformed)?;
        bytes.resize(bytes.len() + padding, 0);
        bytes.extend_from_slice(number);
    }
    reader.finish()?;
    Ok(bytes)
}
