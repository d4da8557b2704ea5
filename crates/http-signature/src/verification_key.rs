//! Public keys that verify strictly. Reading key files and weak-key lists is somebody else's; here come raw parts.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use ed25519_dalek::{Signature, VerifyingKey};

use crate::algorithm::Algorithm;

/// Smallest RSA modulus that is taken, in bits.
pub const RSA_MIN_BITS: usize = 2048;
/// Largest RSA modulus that is taken, in bits.
pub const RSA_MAX_BITS: usize = 4096;

/// A key that verifies signatures. It can only be made by a constructor that checks it.
#[derive(Clone, Debug)]
pub struct VerificationKey(Material);

#[derive(Clone)]
enum Material {
    Ed25519(VerifyingKey),
    EcdsaP256(ParsedPublicKey),
    EcdsaP384(ParsedPublicKey),
    Rsa(Box<RsaKey>),
    HmacSha256(Box<hmac::Key>),
    Dummy(VerifyingKey),
}

/// The same key once for each padding: the library binds them together when it parses.
#[derive(Clone)]
struct RsaKey {
    modulus_bytes: usize,
    pss_sha512: ParsedPublicKey,
    v1_5_sha256: ParsedPublicKey,
    v1_5_sha512: ParsedPublicKey,
}

// Written by hand so that no secret and no page of hex gets into a log.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "Ed25519",
            Self::EcdsaP256(_) => "EcdsaP256",
            Self::EcdsaP384(_) => "EcdsaP384",
            Self::Rsa(_) => "Rsa",
            Self::HmacSha256(_) => "HmacSha256",
            Self::Dummy(_) => "Dummy",
        })
    }
}

/// Why a public key is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no point of the curve, or not its one encoding.
    #[error("the public key is not a canonical point of its curve; export it again from the private key")]
    NotAPoint,
    /// A point of small or mixed order, under which signatures by others may verify.
    #[error("the Ed25519 public key is weak (it is not in the prime-order group); make a new key pair")]
    WeakPoint,
    /// The modulus is outside of [`RSA_MIN_BITS`]..=[`RSA_MAX_BITS`].
    #[error("the RSA modulus has {bits} bits; make a key of {RSA_MIN_BITS} to {RSA_MAX_BITS} bits, or an Ed25519 key")]
    RsaModulusSize {
        /// Its size in bits.
        bits: usize,
    },
    /// The public exponent is not 65537.
    #[error("the RSA public exponent is not 65537; make a new key pair")]
    RsaExponent,
    /// The modulus is even, or the library refused the key.
    #[error("the RSA public key is not valid; make a new key pair")]
    RsaInvalid,
}

/// The signature was not made by this key over this message, or not with an algorithm that the key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify under this key")]
pub struct InvalidSignature;

impl VerificationKey {
    /// An Ed25519 key from its 32 bytes (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] for a non-canonical encoding, [`KeyError::WeakPoint`] for small or mixed order.
    pub fn ed25519_from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        let point = key.to_edwards();
        if point.compress().as_bytes() != bytes {
            return Err(KeyError::NotAPoint);
        }
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(KeyError::WeakPoint);
        }
        Ok(Self(Material::Ed25519(key)))
    }

    /// An Ed25519 key that [`ed25519_from_bytes`](Self::ed25519_from_bytes) took before it was stored. Spares the check of
    /// the point's order, which is most of the time of loading a million keys; small order is still refused each time a
    /// signature is checked.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`].
    pub fn ed25519_from_stored_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        VerifyingKey::from_bytes(bytes).map(|key| Self(Material::Ed25519(key))).map_err(|_| KeyError::NotAPoint)
    }

    /// An ECDSA P-256 key from a SEC 1 point, 65 bytes uncompressed.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`].
    pub fn ecdsa_p256_from_sec1(point: &[u8]) -> Result<Self, KeyError> {
        parse_uncompressed_point(&ECDSA_P256_SHA256_FIXED, point, 65).map(|key| Self(Material::EcdsaP256(key)))
    }

    /// An ECDSA P-384 key from a SEC 1 point, 97 bytes uncompressed.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`].
    pub fn ecdsa_p384_from_sec1(point: &[u8]) -> Result<Self, KeyError> {
        parse_uncompressed_point(&ECDSA_P384_SHA384_FIXED, point, 97).map(|key| Self(Material::EcdsaP384(key)))
    }

    /// An RSA key from modulus and public exponent, big-endian; leading zero bytes do not count.
    ///
    /// # Errors
    /// A modulus that is too small or too large, and any exponent but 65537.
    pub fn rsa_from_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let (modulus, exponent) = (without_leading_zeros(modulus), without_leading_zeros(exponent));
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits) {
            return Err(KeyError::RsaModulusSize { bits });
        }
        if exponent != [1, 0, 1] {
            return Err(KeyError::RsaExponent);
        }
        if modulus.last().is_none_or(|byte| byte % 2 == 0) {
            return Err(KeyError::RsaInvalid);
        }
        let components = RsaPublicKeyComponents { n: modulus, e: exponent };
        let parse = |parameters: &'static RsaParameters| {
            components.to_parsed_public_key(parameters).map_err(|_| KeyError::RsaInvalid)
        };
        Ok(Self(Material::Rsa(Box::new(RsaKey {
            modulus_bytes: modulus.len(),
            pss_sha512: parse(&RSA_PSS_2048_8192_SHA512)?,
            v1_5_sha256: parse(&RSA_PKCS1_2048_8192_SHA256)?,
            v1_5_sha512: parse(&RSA_PKCS1_2048_8192_SHA512)?,
        }))))
    }

    /// A shared secret for [`Algorithm::HmacSha256`]. The profiles refuse it.
    #[must_use]
    pub fn hmac_sha256(secret: &[u8]) -> Self {
        Self(Material::HmacSha256(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// A key that refuses every signature after the work of an Ed25519 verification, for key ids that nobody has.
    #[must_use]
    pub fn dummy() -> Self {
        // The compressed base point: any valid point does, since the outcome is thrown away.
        let mut bytes = [0x66; 32];
        bytes[0] = 0x58;
        Self(Material::Dummy(VerifyingKey::from_bytes(&bytes).unwrap_or_default()))
    }

    /// The 32 bytes of an Ed25519 key.
    #[must_use]
    pub fn as_ed25519_bytes(&self) -> Option<&[u8; 32]> {
        match &self.0 {
            Material::Ed25519(key) => Some(key.as_bytes()),
            _ => None,
        }
    }

    /// The algorithm to verify with: the key decides, and `named` (the `alg` parameter) may only agree with it.
    /// `None` where it does not, and for keys that no profile takes.
    pub(crate) fn algorithm(&self, named: Option<Algorithm>) -> Option<Algorithm> {
        let own = match &self.0 {
            Material::Ed25519(_) => Algorithm::Ed25519,
            Material::EcdsaP256(_) => Algorithm::EcdsaP256Sha256,
            Material::EcdsaP384(_) => Algorithm::EcdsaP384Sha384,
            Material::Rsa(_) if named == Some(Algorithm::RsaV1_5Sha256) => Algorithm::RsaV1_5Sha256,
            Material::Rsa(_) => Algorithm::RsaPssSha512,
            // Whatever is claimed is tried, so that an unknown key costs what a known one does.
            Material::Dummy(_) => return named.or(Some(Algorithm::Ed25519)),
            Material::HmacSha256(_) => return None,
        };
        (named.is_none_or(|named| named == own)).then_some(own)
    }

    /// Verifies a signature over a message: Ed25519 strictly, ECDSA as fixed-width r‖s, RSA at exactly the modulus's length.
    ///
    /// # Errors
    /// [`InvalidSignature`], also where the key has no such algorithm.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        match (&self.0, algorithm) {
            (Material::Ed25519(key), Algorithm::Ed25519) => verify_ed25519(key, message, signature),
            (Material::EcdsaP256(key), Algorithm::EcdsaP256Sha256) => verify_sized(key, 64, message, signature),
            (Material::EcdsaP384(key), Algorithm::EcdsaP384Sha384) => verify_sized(key, 96, message, signature),
            (Material::Rsa(key), Algorithm::RsaPssSha512) => {
                verify_sized(&key.pss_sha512, key.modulus_bytes, message, signature)
            }
            (Material::Rsa(key), Algorithm::RsaV1_5Sha256) => {
                verify_sized(&key.v1_5_sha256, key.modulus_bytes, message, signature)
            }
            (Material::Rsa(key), Algorithm::RsaV1_5Sha512) => {
                verify_sized(&key.v1_5_sha512, key.modulus_bytes, message, signature)
            }
            (Material::HmacSha256(key), Algorithm::HmacSha256) => {
                hmac::verify(key, message, signature).map_err(|_| InvalidSignature)
            }
            (Material::Dummy(key), _) => {
                // The answer is the same whatever comes out; black_box keeps the work from being optimised away.
                _ = std::hint::black_box(verify_ed25519(key, message, signature));
                Err(InvalidSignature)
            }
            _ => Err(InvalidSignature),
        }
    }
}

fn parse_uncompressed_point(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
    length: usize,
) -> Result<ParsedPublicKey, KeyError> {
    if point.len() != length || point.first() != Some(&4) {
        return Err(KeyError::NotAPoint);
    }
    ParsedPublicKey::new(algorithm, point).map_err(|_| KeyError::NotAPoint)
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn verify_ed25519(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
    let signature = Signature::from_slice(signature).map_err(|_| InvalidSignature)?;
    key.verify_strict(message, &signature).map_err(|_| InvalidSignature)
}

fn verify_sized(
    key: &ParsedPublicKey,
    length: usize,
    message: &[u8],
    signature: &[u8],
) -> Result<(), InvalidSignature> {
    if signature.len() != length {
        return Err(InvalidSignature);
    }
    key.verify_sig(message, signature).map_err(|_| InvalidSignature)
}
