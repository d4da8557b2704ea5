//! An armoured SSHSIG (OpenSSH's PROTOCOL.sshsig), as `ssh-keygen -Y sign -n NAMESPACE` prints it. The holder of a private
//! key makes a statement with it. This module parses it. The caller verifies the signature.

use sha2::{Digest, Sha256, Sha512};

use crate::public_key::{
    ArmourError, KeyAlgorithm, MAX_TEXT_BYTES, PublicKey, PublicKeyError, read_pem,
    wire::{Reader, WireError, put_string},
};

const MAGIC: &[u8; 6] = b"SSHSIG";

/// A parsed SSHSIG whose signature is not verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SshSignature {
    namespace: &'static str,
    public_key: PublicKey,
    hash: Hash,
    signature: SignatureValue,
}

/// The signature itself, in the encoding of JOSE and RFC 9421 verifiers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureValue {
    /// The algorithm, which matches the type of the key.
    pub algorithm: SshSignatureAlgorithm,
    /// Ed25519: 64 bytes. RSA: as long as the modulus. ECDSA: r ‖ s, each as long as the curve's order.
    pub bytes: Vec<u8>,
}

/// The signature algorithm of an SSHSIG.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SshSignatureAlgorithm {
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

/// Why an SSHSIG is invalid. `Display` says how to correct it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshSignatureError {
    /// Longer than any signature.
    #[error("it is too long for a signature: send what `ssh-keygen -Y sign` printed")]
    TooLong,
    /// Not one complete armoured block.
    #[error(
        "it is not an SSH signature: send everything that `ssh-keygen -Y sign` printed, from the line with BEGIN SSH \
         SIGNATURE to the line with END"
    )]
    Armour,
    /// The bytes inside the armour are not an SSHSIG of version 1.
    #[error("the signature is damaged: sign the text again with `ssh-keygen -Y sign`")]
    Malformed,
    /// It was signed for another purpose. Contains the namespace of this purpose.
    #[error("it was signed for another purpose: sign with the namespace `{0}` (`ssh-keygen -Y sign -n {0}`)")]
    Namespace(&'static str),
    /// A hash other than SHA-256 and SHA-512.
    #[error(
        "the hash algorithm of the signature is not supported: sign with `-O hashalg=sha512` or `-O hashalg=sha256`"
    )]
    HashAlgorithm,
    /// A signature algorithm that does not match the key, or uses SHA-1.
    #[error(
        "the signature algorithm does not match the key or is no longer safe: sign again with a current `ssh-keygen`"
    )]
    SignatureAlgorithm,
    /// The key in the signature cannot be registered.
    #[error("the key of the signature is invalid: {0}")]
    PublicKey(#[source] PublicKeyError),
}

impl From<WireError> for SshSignatureError {
    fn from(_: WireError) -> Self {
        Self::Malformed
    }
}

impl From<ArmourError> for SshSignatureError {
    fn from(_: ArmourError) -> Self {
        Self::Armour
    }
}

impl SshSignature {
    /// Parses an armoured SSHSIG. Any client may send one, so the arithmetic that detects weak keys is omitted: of a key that
    /// is not registered, only the form is checked.
    ///
    /// # Errors
    /// [`SshSignatureError`] unless it is exactly one SSHSIG of version 1 in `namespace`, with a key of a supported type
    /// and a signature that matches the key.
    pub fn parse(text: &str, namespace: &'static str) -> Result<Self, SshSignatureError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(SshSignatureError::TooLong);
        }
        let ("SSH SIGNATURE", blob) = read_pem(text)? else { return Err(SshSignatureError::Armour) };
        let mut reader = Reader::new(&blob);
        if reader.read_bytes(MAGIC.len())? != MAGIC || reader.read_u32()? != 1 {
            return Err(SshSignatureError::Malformed);
        }
        let public_key = reader.read_string()?;
        let claimed = reader.read_string()?;
        let reserved = reader.read_string()?;
        let hash = reader.read_string()?;
        let signature = reader.read_string()?;
        reader.finish()?;
        if claimed != namespace.as_bytes() {
            return Err(SshSignatureError::Namespace(namespace));
        }
        if !reserved.is_empty() {
            return Err(SshSignatureError::Malformed);
        }
        let hash = match hash {
            b"sha256" => Hash::Sha256,
            b"sha512" => Hash::Sha512,
            _ => return Err(SshSignatureError::HashAlgorithm),
        };
        let public_key = PublicKey::from_stored_blob(public_key).map_err(SshSignatureError::PublicKey)?;
        let signature = read_signature(signature, public_key.algorithm())?;
        Ok(Self { namespace, public_key, hash, signature })
    }

    /// Returns the key in the signature.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns the signed bytes if it is a signature of `message`.
    #[must_use]
    pub fn signed_bytes(&self, message: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_string(&mut bytes, self.namespace.as_bytes());
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

    /// Returns the signature of [`SshSignature::signed_bytes`].
    #[must_use]
    pub fn signature(&self) -> &SignatureValue {
        &self.signature
    }
}

fn read_signature(blob: &[u8], key: KeyAlgorithm) -> Result<SignatureValue, SshSignatureError> {
    let mut reader = Reader::new(blob);
    let name = reader.read_string()?;
    let value = reader.read_string()?;
    reader.finish()?;
    let (algorithm, bytes) = match (name, key) {
        (b"ssh-ed25519", KeyAlgorithm::Ed25519) => (SshSignatureAlgorithm::Ed25519, of_length(value, 64)?),
        (b"rsa-sha2-256", KeyAlgorithm::Rsa { bits }) => {
            (SshSignatureAlgorithm::RsaSha256, of_length(value, usize::from(bits.div_ceil(8)))?)
        }
        (b"rsa-sha2-512", KeyAlgorithm::Rsa { bits }) => {
            (SshSignatureAlgorithm::RsaSha512, of_length(value, usize::from(bits.div_ceil(8)))?)
        }
        (b"ecdsa-sha2-nistp256", KeyAlgorithm::EcdsaP256) => {
            (SshSignatureAlgorithm::EcdsaP256, fixed_width(value, 32)?)
        }
        (b"ecdsa-sha2-nistp384", KeyAlgorithm::EcdsaP384) => {
            (SshSignatureAlgorithm::EcdsaP384, fixed_width(value, 48)?)
        }
        _ => return Err(SshSignatureError::SignatureAlgorithm),
    };
    Ok(SignatureValue { algorithm, bytes })
}

fn of_length(bytes: &[u8], length: usize) -> Result<Vec<u8>, SshSignatureError> {
    if bytes.len() == length { Ok(bytes.to_vec()) } else { Err(SshSignatureError::Malformed) }
}

/// RFC 5656 §3.1.2: two `mpint`s, padded here to the length of the curve.
fn fixed_width(value: &[u8], width: usize) -> Result<Vec<u8>, SshSignatureError> {
    let mut reader = Reader::new(value);
    let mut bytes = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let number = reader.read_mpint()?;
        let padding = width.checked_sub(number.len()).ok_or(SshSignatureError::Malformed)?;
        bytes.resize(bytes.len() + padding, 0);
        bytes.extend_from_slice(number);
    }
    reader.finish()?;
    Ok(bytes)
}
