//! The signature algorithms (RFC 9421 §3.3) by name. Keys are in `verification_key` and `signing_key`.

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `rsa-pss-sha512`: RSASSA-PSS, MGF1 with SHA-512, 64 bytes of salt (RFC 9421 §3.3.1).
    RsaPssSha512,
    /// `rsa-v1_5-sha256`: RSASSA-PKCS1-v1_5 (RFC 9421 §3.3.2).
    RsaV1_5Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-512, for SSH signatures (RFC 8332) only. RFC 9421 has no name for it, so requests
    /// cannot use it.
    RsaV1_5Sha512,
    /// `hmac-sha256` (RFC 9421 §3.3.3). No profile accepts it, because both sides would have the secret.
    HmacSha256,
    /// `ecdsa-p256-sha256`: r‖s of 64 bytes (RFC 9421 §3.3.4).
    EcdsaP256Sha256,
    /// `ecdsa-p384-sha384`: r‖s of 96 bytes (RFC 9421 §3.3.5).
    EcdsaP384Sha384,
    /// `ed25519` (RFC 9421 §3.3.6).
    Ed25519,
}

impl Algorithm {
    /// Returns the name in the `alg` parameter (RFC 9421 §6.2.2), if it has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::RsaPssSha512 => Some("rsa-pss-sha512"),
            Self::RsaV1_5Sha256 => Some("rsa-v1_5-sha256"),
            Self::RsaV1_5Sha512 => None,
            Self::HmacSha256 => Some("hmac-sha256"),
            Self::EcdsaP256Sha256 => Some("ecdsa-p256-sha256"),
            Self::EcdsaP384Sha384 => Some("ecdsa-p384-sha384"),
            Self::Ed25519 => Some("ed25519"),
        }
    }

    /// Returns the algorithm with that name, compared as bytes.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Ed25519,
            Self::EcdsaP256Sha256,
            Self::EcdsaP384Sha384,
            Self::RsaPssSha512,
            Self::RsaV1_5Sha256,
            Self::HmacSha256,
        ]
        .into_iter()
        .find(|algorithm| algorithm.name() == Some(name))
    }
}
