//! Private keys that sign, and the trait for other signers (an ssh-agent, a hardware key). The caller parses key files.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use ed25519_dalek::Signer as _;

use crate::algorithm::Algorithm;
use crate::verification_key::{RSA_MAX_BITS, RSA_MIN_BITS};

/// Why a private key could not be read, or failed to sign.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SigningKeyError {
    message: String,
}

impl SigningKeyError {
    /// Creates an error. The message says in one sentence what happened and what to do next.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// A signer with a private key.
pub trait SigningKey: Send + Sync {
    /// Returns the algorithm of its signatures.
    fn algorithm(&self) -> Algorithm;

    /// Signs a signature base. An ECDSA signature is r‖s.
    ///
    /// # Errors
    /// The key is unavailable or refuses to sign.
    fn sign(&self, base: &[u8]) -> Result<Vec<u8>, SigningKeyError>;
}

/// An Ed25519 private key.
#[derive(Clone)]
pub struct Ed25519SigningKey(ed25519_dalek::SigningKey);

impl Ed25519SigningKey {
    /// Creates the key from the 32-byte seed (RFC 8032 §5.1.5), which key files contain.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Returns the public key.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

impl SigningKey for Ed25519SigningKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn sign(&self, base: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        Ok(self.0.sign(base).to_vec())
    }
}

/// An ECDSA private key on P-256 or P-384.
pub struct EcdsaSigningKey {
    key_pair: EcdsaKeyPair,
    algorithm: Algorithm,
}

impl EcdsaSigningKey {
    /// Creates a P-256 key from its scalar (32 bytes, big-endian) and its uncompressed SEC 1 point.
    ///
    /// # Errors
    /// The scalar and the point do not match.
    pub fn p256_from_parts(scalar: &[u8], point: &[u8]) -> Result<Self, SigningKeyError> {
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, scalar, point)
            .map(|key_pair| Self { key_pair, algorithm: Algorithm::EcdsaP256Sha256 })
            .map_err(|_| rejected())
    }

    /// Creates a P-384 key from its scalar (48 bytes, big-endian) and its uncompressed SEC 1 point.
    ///
    /// # Errors
    /// The scalar and the point do not match.
    pub fn p384_from_parts(scalar: &[u8], point: &[u8]) -> Result<Self, SigningKeyError> {
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P384_SHA384_FIXED_SIGNING, scalar, point)
            .map(|key_pair| Self { key_pair, algorithm: Algorithm::EcdsaP384Sha384 })
            .map_err(|_| rejected())
    }

    /// Reads a key in PKCS #8 DER. Its curve determines the algorithm.
    ///
    /// # Errors
    /// It is not an ECDSA key on P-256 or P-384.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(|key_pair| Self { key_pair, algorithm: Algorithm::EcdsaP256Sha256 });
        p256.or_else(|_| {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der)
                .map(|key_pair| Self { key_pair, algorithm: Algorithm::EcdsaP384Sha384 })
        })
        .map_err(|_| rejected())
    }

    /// Returns the public key as an uncompressed SEC 1 point.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.key_pair.public_key().as_ref()
    }
}

impl SigningKey for EcdsaSigningKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, base: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        // The argument exists for compatibility with ring. The library uses its own generator.
        let signature = self.key_pair.sign(&SystemRandom::new(), base).map_err(|_| did_not_sign())?;
        Ok(signature.as_ref().to_vec())
    }
}

/// An RSA private key that signs with one of the two paddings of RFC 9421.
pub struct RsaSigningKey {
    key_pair: RsaKeyPair,
    algorithm: Algorithm,
}

impl RsaSigningKey {
    /// Reads a key in PKCS #8 DER that signs with `rsa-pss-sha512`.
    ///
    /// # Errors
    /// It is not an RSA key of 2048 to 4096 bits.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        RsaKeyPair::from_pkcs8(der).map_err(|_| rejected()).and_then(Self::new)
    }

    /// Reads a key in PKCS #1 DER (`RSAPrivateKey`, RFC 8017 A.1.2) that signs with `rsa-pss-sha512`.
    ///
    /// # Errors
    /// It is not an RSA key of 2048 to 4096 bits.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, SigningKeyError> {
        RsaKeyPair::from_der(der).map_err(|_| rejected()).and_then(Self::new)
    }

    /// Returns the same key for signing with `rsa-v1_5-sha256`.
    #[must_use]
    pub fn with_v1_5_padding(self) -> Self {
        Self { algorithm: Algorithm::RsaV1_5Sha256, ..self }
    }

    /// Returns the public key in PKCS #1 DER (`RSAPublicKey`, RFC 8017 A.1.1).
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.key_pair.public_key().as_ref()
    }

    fn new(key_pair: RsaKeyPair) -> Result<Self, SigningKeyError> {
        if (RSA_MIN_BITS..=RSA_MAX_BITS).contains(&(key_pair.public_modulus_len() * 8)) {
            Ok(Self { key_pair, algorithm: Algorithm::RsaPssSha512 })
        } else {
            Err(SigningKeyError::new(format!(
                "the RSA key must have {RSA_MIN_BITS} to {RSA_MAX_BITS} bits; make a new one, or an Ed25519 key"
            )))
        }
    }
}

impl SigningKey for RsaSigningKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, base: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let padding: &'static dyn RsaEncoding = match self.algorithm {
            Algorithm::RsaV1_5Sha256 => &RSA_PKCS1_SHA256,
            _ => &RSA_PSS_SHA512,
        };
        let mut signature = vec![0; self.key_pair.public_modulus_len()];
        // As above: the library takes the salt from its own generator.
        self.key_pair.sign(padding, &SystemRandom::new(), base, &mut signature).map_err(|_| did_not_sign())?;
        Ok(signature)
    }
}

fn rejected() -> SigningKeyError {
    SigningKeyError::new("the private key is not valid, or not of the expected type; export it again")
}

fn did_not_sign() -> SigningKeyError {
    SigningKeyError::new("signing with the private key failed; check the key file and try again")
}
