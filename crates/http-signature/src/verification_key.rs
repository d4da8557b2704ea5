//! Public keys for strict verification, created from their raw parts. The caller parses key files and refuses weak
//! keys.

mod ed25519;

use std::{borrow::Cow, sync::LazyLock};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};

use self::ed25519::Ed25519Key;
pub use self::ed25519::{verify_ed25519_by_library, verify_ed25519_with_new_table};
use crate::algorithm::Algorithm;
use crate::pss;

/// The minimum size of an RSA modulus in bits.
pub const RSA_MIN_BITS: usize = 2048;
/// The maximum size of an RSA modulus in bits.
pub const RSA_MAX_BITS: usize = 4096;

/// A key that verifies signatures. Its constructors check it.
#[derive(Clone, Debug)]
pub struct VerificationKey(Material);

#[derive(Clone)]
enum Material {
    Ed25519(Ed25519Key),
    EcdsaP256(ParsedPublicKey),
    EcdsaP384(ParsedPublicKey),
    Rsa(Box<RsaKey>),
    HmacSha256(Box<hmac::Key>),
    Dummy,
}

/// The same key for each padding, because the library binds a key to a padding when it parses it.
#[derive(Clone)]
struct RsaKey {
    modulus_bytes: usize,
    modulus: Box<[u8]>,
    pss_sha512: ParsedPublicKey,
    v1_5_sha256: ParsedPublicKey,
    v1_5_sha512: ParsedPublicKey,
}

// Implemented manually so that no secret and no long hex text is logged.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "Ed25519",
            Self::EcdsaP256(_) => "EcdsaP256",
            Self::EcdsaP384(_) => "EcdsaP384",
            Self::Rsa(_) => "Rsa",
            Self::HmacSha256(_) => "HmacSha256",
            Self::Dummy => "Dummy",
        })
    }
}

/// Why a public key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not a point of the curve in its canonical encoding.
    #[error("the public key is not a canonical point of its curve; export it again from the private key")]
    NotAPoint,
    /// A point of small or mixed order. Signatures by other keys may be valid for it.
    #[error("the Ed25519 public key is weak (it is not in the prime-order group); make a new key pair")]
    WeakPoint,
    /// The modulus is outside [`RSA_MIN_BITS`]..=[`RSA_MAX_BITS`].
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

/// The signature was not made by this key over this message, or uses an algorithm that the key does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify under this key")]
pub struct InvalidSignature;

impl VerificationKey {
    /// Creates an Ed25519 key from its 32 bytes (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] for a non-canonical encoding, [`KeyError::WeakPoint`] for small or mixed order.
    pub fn ed25519_from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        Ed25519Key::from_bytes(bytes).map(|key| Self(Material::Ed25519(key)))
    }

    /// Creates an Ed25519 key that [`ed25519_from_bytes`](Self::ed25519_from_bytes) accepted before it was stored. It
    /// does no arithmetic. If the bytes are not those of a point, or if it has small order, signatures are refused.
    #[must_use]
    pub const fn ed25519_from_stored_bytes(bytes: &[u8; 32]) -> Self {
        Self(Material::Ed25519(Ed25519Key::from_stored_bytes(bytes)))
    }

    /// Creates an ECDSA P-256 key from a SEC 1 point, 65 bytes uncompressed.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] for bytes that are not a point.
    pub fn ecdsa_p256_from_sec1(point: &[u8]) -> Result<Self, KeyError> {
        parse_uncompressed_point(&ECDSA_P256_SHA256_FIXED, point, 65).map(|key| Self(Material::EcdsaP256(key)))
    }

    /// Creates an ECDSA P-384 key from a SEC 1 point, 97 bytes uncompressed.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] for bytes that are not a point.
    pub fn ecdsa_p384_from_sec1(point: &[u8]) -> Result<Self, KeyError> {
        parse_uncompressed_point(&ECDSA_P384_SHA384_FIXED, point, 97).map(|key| Self(Material::EcdsaP384(key)))
    }

    /// Creates an RSA key from modulus and public exponent, big-endian. Leading zero bytes are ignored.
    ///
    /// # Errors
    /// The modulus is too small or too large, or the exponent is not 65537.
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
            modulus: modulus.into(),
            pss_sha512: parse(&RSA_PSS_2048_8192_SHA512)?,
            v1_5_sha256: parse(&RSA_PKCS1_2048_8192_SHA256)?,
            v1_5_sha512: parse(&RSA_PKCS1_2048_8192_SHA512)?,
        }))))
    }

    /// Creates a key from a shared secret for [`Algorithm::HmacSha256`]. The profiles refuse it.
    #[must_use]
    pub fn hmac_sha256(secret: &[u8]) -> Self {
        Self(Material::HmacSha256(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// Returns a key for key ids that are not registered. It refuses every signature after the work of one
    /// verification. The type of that verification depends on the request: on `alg`, or else on the length of the
    /// signature.
    #[must_use]
    pub const fn dummy() -> Self {
        Self(Material::Dummy)
    }

    /// Returns the 32 bytes of an Ed25519 key.
    #[must_use]
    pub fn as_ed25519_bytes(&self) -> Option<&[u8; 32]> {
        match &self.0 {
            Material::Ed25519(key) => Some(key.as_bytes()),
            _ => None,
        }
    }

    /// Returns the algorithm to verify with. The key determines it, and `named` (the `alg` parameter) must match.
    /// Returns `None` if it does not match, and for keys that no profile accepts.
    pub(crate) fn algorithm(&self, named: Option<Algorithm>) -> Option<Algorithm> {
        let own = match &self.0 {
            Material::Ed25519(_) => Algorithm::Ed25519,
            Material::EcdsaP256(_) => Algorithm::EcdsaP256Sha256,
            Material::EcdsaP384(_) => Algorithm::EcdsaP384Sha384,
            Material::Rsa(_) if named == Some(Algorithm::RsaV1_5Sha256) => Algorithm::RsaV1_5Sha256,
            Material::Rsa(_) => Algorithm::RsaPssSha512,
            Material::Dummy | Material::HmacSha256(_) => return None,
        };
        (named.is_none_or(|named| named == own)).then_some(own)
    }

    /// Verifies a signature over a message: Ed25519 strictly, ECDSA as fixed-width r‖s, RSA with exactly the length of
    /// the modulus.
    ///
    /// # Errors
    /// [`InvalidSignature`], also if the key does not have this algorithm.
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
            (Material::Dummy, _) => {
                verify_with_dummy_key(Some(algorithm), message, signature);
                Err(InvalidSignature)
            }
            _ => Err(InvalidSignature),
        }
    }

    /// Verifies a signature of a request, which may contain the algorithm. A refusal takes the work of one
    /// verification, or two for PSS. Its type depends on the request only, and not on whether the key exists.
    pub(crate) fn attempt(&self, named: Option<Algorithm>, message: &[u8], signature: &[u8]) -> Attempt {
        let Some(algorithm) = self.algorithm(named) else {
            verify_with_dummy_key(named, message, signature);
            return Attempt::Invalid;
        };
        let bytes = fixed_width(algorithm, signature);
        if bytes.len() != self.signature_length() {
            verify_with_dummy_key(named, message, signature);
            return Attempt::Invalid;
        }
        match (self.verify(algorithm, message, &bytes), bytes) {
            (Err(InvalidSignature), bytes) => match (&self.0, algorithm) {
                (Material::Rsa(key), Algorithm::RsaPssSha512) => {
                    key.other_salt(message, &bytes).map_or(Attempt::Invalid, Attempt::ValidWithSaltOf)
                }
                _ => Attempt::Invalid,
            },
            (Ok(()), Cow::Borrowed(_)) => Attempt::Valid,
            (Ok(()), Cow::Owned(_)) => Attempt::ValidInDer,
        }
    }

    fn signature_length(&self) -> usize {
        match &self.0 {
            Material::Ed25519(_) | Material::EcdsaP256(_) => 64,
            Material::EcdsaP384(_) => 96,
            Material::Rsa(key) => key.modulus_bytes,
            Material::HmacSha256(_) | Material::Dummy => 0,
        }
    }
}

/// The result of verifying a signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    Valid,
    /// It is valid but encoded in DER, which RFC 9421 does not allow.
    ValidInDer,
    /// It is valid, but its salt has this number of bytes. RFC 9421 only allows 64.
    ValidWithSaltOf(usize),
    Invalid,
}

impl RsaKey {
    /// Returns the length of the salt of a signature that is refused only because of its salt.
    fn other_salt(&self, message: &[u8], signature: &[u8]) -> Option<usize> {
        #[cfg(test)]
        tests::count("salt of any length", signature.len());
        pss::salt_length(&self.modulus, message, signature)
    }
}

/// Keys whose private key is unknown, one of each type.
struct DummyKeys {
    ed25519: Ed25519Key,
    p256: ParsedPublicKey,
    p384: ParsedPublicKey,
    /// With 2048, 3072 and 4096 bits.
    rsa: [RsaKey; 3],
}

// The base points of the curves, and moduli without known factors. The result of their verification is discarded.
static DUMMY_KEYS: LazyLock<Option<DummyKeys>> = LazyLock::new(|| {
    let mut ed25519 = [0x66; 32];
    ed25519[0] = 0x58;
    let p256 = b"\x04\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\
        \xf4\xa1\x39\x45\xd8\x98\xc2\x96\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\
        \x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
    let p384 = b"\x04\xaa\x87\xca\x22\xbe\x8b\x05\x37\x8e\xb1\xc7\x1e\xf3\x20\xad\x74\x6e\x1d\x3b\x62\x8b\xa7\x9b\x98\
        \x59\xf7\x41\xe0\x82\x54\x2a\x38\x55\x02\xf2\x5d\xbf\x55\x29\x6c\x3a\x54\x5e\x38\x72\x76\x0a\xb7\x36\x17\xde\
        \x4a\x96\x26\x2c\x6f\x5d\x9e\x98\xbf\x92\x92\xdc\x29\xf8\xf4\x1d\xbd\x28\x9a\x14\x7c\xe9\xda\x31\x13\xb5\xf0\
        \xb8\xc0\x0a\x60\xb1\xce\x1d\x7e\x81\x9d\x7a\x43\x1d\x7c\x90\xea\x0e\x5f";
    let rsa = |bytes: usize| {
        let mut modulus = vec![0xff; bytes];
        *modulus.last_mut()? = 0xfd;
        match VerificationKey::rsa_from_components(&modulus, &[1, 0, 1]).ok()?.0 {
            Material::Rsa(key) => Some(*key),
            _ => None,
        }
    };
    Some(DummyKeys {
        ed25519: Ed25519Key::from_bytes(&ed25519).ok()?,
        p256: parse_uncompressed_point(&ECDSA_P256_SHA256_FIXED, p256, 65).ok()?,
        p384: parse_uncompressed_point(&ECDSA_P384_SHA384_FIXED, p384, 97).ok()?,
        rsa: [rsa(256)?, rsa(384)?, rsa(512)?],
    })
});

/// Does the work of one verification and discards its result. The algorithm is the named one, or else the one with
/// signatures of this length.
fn verify_with_dummy_key(named: Option<Algorithm>, message: &[u8], signature: &[u8]) {
    let Some(keys) = DUMMY_KEYS.as_ref() else { return };
    let algorithm = named.unwrap_or_else(|| usual_algorithm(signature));
    let bytes = fixed_width(algorithm, signature);
    // A signature of a wrong length is truncated or padded, so that it costs the same as one of the correct length.
    let of_length = |length: usize| {
        let mut bytes = bytes.to_vec();
        bytes.resize(length, 0);
        bytes
    };
    // black_box keeps the work from being optimised away.
    _ = std::hint::black_box(match algorithm {
        Algorithm::Ed25519 | Algorithm::HmacSha256 => verify_ed25519(&keys.ed25519, message, &of_length(64)),
        Algorithm::EcdsaP256Sha256 => verify_sized(&keys.p256, 64, message, &of_length(64)),
        Algorithm::EcdsaP384Sha384 => verify_sized(&keys.p384, 96, message, &of_length(96)),
        Algorithm::RsaPssSha512 | Algorithm::RsaV1_5Sha256 | Algorithm::RsaV1_5Sha512 => {
            let [small, middle, large] = &keys.rsa;
            let fits = |key: &&RsaKey| bytes.len() <= key.modulus_bytes;
            let key = [small, middle].into_iter().find(fits).unwrap_or(large);
            let parsed = match algorithm {
                Algorithm::RsaV1_5Sha256 => &key.v1_5_sha256,
                Algorithm::RsaV1_5Sha512 => &key.v1_5_sha512,
                _ => &key.pss_sha512,
            };
            let bytes = of_length(key.modulus_bytes);
            let outcome = verify_sized(parsed, key.modulus_bytes, message, &bytes);
            if algorithm == Algorithm::RsaPssSha512 {
                _ = std::hint::black_box(key.other_salt(message, &bytes));
            }
            outcome
        }
    });
}

/// Returns the usual algorithm of a signature with this form, if no algorithm is named.
fn usual_algorithm(signature: &[u8]) -> Algorithm {
    match signature.len() {
        64 => Algorithm::Ed25519,
        96 => Algorithm::EcdsaP384Sha384,
        256.. => Algorithm::RsaPssSha512,
        _ if from_der(signature, 32).is_some() => Algorithm::EcdsaP256Sha256,
        _ if from_der(signature, 48).is_some() => Algorithm::EcdsaP384Sha384,
        _ => Algorithm::Ed25519,
    }
}

/// Converts an ECDSA signature in DER to the form of RFC 9421. Other signatures are returned unchanged.
fn fixed_width(algorithm: Algorithm, signature: &[u8]) -> Cow<'_, [u8]> {
    let width = match algorithm {
        Algorithm::EcdsaP256Sha256 => 32,
        Algorithm::EcdsaP384Sha384 => 48,
        _ => return Cow::Borrowed(signature),
    };
    if signature.len() == 2 * width {
        return Cow::Borrowed(signature);
    }
    from_der(signature, width).map_or(Cow::Borrowed(signature), Cow::Owned)
}

/// Converts `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 §2.2.3) to r ‖ s, each of `width` bytes. Lengths are below
/// 128 on these curves.
fn from_der(signature: &[u8], width: usize) -> Option<Vec<u8>> {
    let (0x30, rest) = signature.split_first().map(|(tag, rest)| (*tag, rest))? else { return None };
    let (&length, mut rest) = rest.split_first()?;
    if usize::from(length) != rest.len() || length >= 0x80 {
        return None;
    }
    let mut fixed = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let (0x02, after_tag) = rest.split_first().map(|(tag, rest)| (*tag, rest))? else { return None };
        let (&length, after_length) = after_tag.split_first()?;
        let (number, after) = after_length.split_at_checked(usize::from(length))?;
        let number = without_leading_zeros(number);
        let zeros = width.checked_sub(number.len())?;
        fixed.resize(fixed.len() + zeros, 0);
        fixed.extend_from_slice(number);
        rest = after;
    }
    rest.is_empty().then_some(fixed)
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

fn verify_ed25519(key: &Ed25519Key, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
    let signature = signature.try_into().map_err(|_| InvalidSignature)?;
    if key.verify(message, signature) { Ok(()) } else { Err(InvalidSignature) }
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
    #[cfg(test)]
    tests::count("of that length", length);
    key.verify_sig(message, signature).map_err(|_| InvalidSignature)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
    };

    use super::*;

    const WITH_TABLE: &str = "Ed25519 with a table";

    thread_local! {
        /// The verifications in this thread: the type of each, and the length of its signature.
        static DONE: RefCell<Vec<(&'static str, usize)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn count(kind: &'static str, length: usize) {
        DONE.with_borrow_mut(|done| done.push((kind, length)));
    }

    fn work_of(key: &VerificationKey, named: Option<Algorithm>, signature: &[u8]) -> Vec<(&'static str, usize)> {
        DONE.take();
        assert_eq!(key.attempt(named, b"a signature base", signature), Attempt::Invalid);
        let mut done = DONE.take();
        done.sort_unstable();
        done
    }

    fn known_keys() -> Vec<(&'static str, VerificationKey)> {
        let keys = DUMMY_KEYS.as_ref().expect("a key of each kind");
        let rsa = |bits: usize, key: &RsaKey| {
            (["2048", "3072", "4096"][bits], VerificationKey(Material::Rsa(Box::new(key.clone()))))
        };
        let mut known = vec![
            ("Ed25519", VerificationKey(Material::Ed25519(keys.ed25519))),
            ("Ed25519 with a table", ed25519_key_with_a_table()),
            ("P-256", VerificationKey(Material::EcdsaP256(keys.p256.clone()))),
            ("P-384", VerificationKey(Material::EcdsaP384(keys.p384.clone()))),
        ];
        known.extend(keys.rsa.iter().enumerate().map(|(bits, key)| rsa(bits, key)));
        known
    }

    fn ed25519_key_with_a_table() -> VerificationKey {
        use crate::SigningKey as _;
        let pair = crate::Ed25519SigningKey::from_seed(&[7; 32]);
        let key = VerificationKey::ed25519_from_stored_bytes(&pair.public_key());
        let signature = pair.sign(b"a message").expect("a signature");
        let verify = || {
            DONE.take();
            key.verify(Algorithm::Ed25519, b"a message", &signature).expect("valid");
            DONE.take()
        };
        // Another key of the set may be between two signatures, if tests run at the same time.
        let work = std::iter::repeat_with(verify).take(100).find(|work| *work == [(WITH_TABLE, 64)]);
        assert!(work.is_some(), "a key that is used repeatedly has a table");
        key
    }

    /// Returns a signature in DER whose numbers have this number of bytes.
    fn der(bytes: u8) -> Vec<u8> {
        let number = [vec![2, bytes], vec![0x01; usize::from(bytes)]].concat();
        [vec![0x30, 2 * (bytes + 2)], number.clone(), number].concat()
    }

    #[test]
    fn an_unknown_key_costs_as_much_as_a_known_key() {
        let named = [
            None,
            Some(Algorithm::Ed25519),
            Some(Algorithm::EcdsaP256Sha256),
            Some(Algorithm::EcdsaP384Sha384),
            Some(Algorithm::RsaPssSha512),
            Some(Algorithm::RsaV1_5Sha256),
        ];
        let mut signatures: Vec<Vec<u8>> =
            [0, 1, 63, 64, 65, 96, 97, 255, 256, 257, 384, 512, 513].map(|length| vec![0x01; length]).into();
        signatures.extend([der(32), der(31), der(48), der(40)]);
        for named in named {
            for signature in &signatures {
                let unknown = work_of(&VerificationKey::dummy(), named, signature);
                // Ed25519 is verified with a table and without. An empty signature, and one of a byte, are padded to an R
                // of small order.
                let is_twice = |kind: &str| kind.starts_with("Ed25519") || kind == "salt of any length";
                let expected = match unknown.len() {
                    0 => 0,
                    _ => 1 + usize::from(unknown.iter().any(|(kind, _)| is_twice(kind))),
                };
                let is_refused_early = expected == 0 && signature.len() < 2;
                assert!(unknown.len() == expected && (expected > 0 || is_refused_early), "{named:?}, {unknown:?}");
                for (name, key) in known_keys() {
                    let known = work_of(&key, named, signature);
                    // Without `alg`, 64 bytes may belong to either curve. In DER, so may small numbers.
                    let is_ambiguous = named.is_none()
                        && (signature.len() == 64 && name == "P-256"
                            || signature.first() == Some(&0x30) && name == "P-384");
                    if is_ambiguous {
                        assert_eq!(known.len(), 1, "{name}");
                    } else {
                        assert_eq!(known, unknown, "{name}, {named:?}, {} bytes", signature.len());
                    }
                }
            }
        }
    }

    #[test]
    fn each_algorithm_that_is_named_is_the_one_that_is_worked_on() {
        let unknown = |named, length: usize| work_of(&VerificationKey::dummy(), Some(named), &vec![0x01; length]);
        assert_eq!(unknown(Algorithm::Ed25519, 64), [("Ed25519", 64), (WITH_TABLE, 64)]);
        assert_eq!(unknown(Algorithm::EcdsaP256Sha256, 64), [("of that length", 64)]);
        assert_eq!(unknown(Algorithm::EcdsaP384Sha384, 96), [("of that length", 96)]);
        for length in [256, 384, 512] {
            assert_eq!(unknown(Algorithm::RsaV1_5Sha256, length), [("of that length", length)]);
            let twice = [("of that length", length), ("salt of any length", length)];
            assert_eq!(unknown(Algorithm::RsaPssSha512, length), twice);
        }
    }

    #[test]
    fn an_ecdsa_signature_in_der_is_named_and_refused() {
        for (signing, algorithm) in [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, Algorithm::EcdsaP256Sha256),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, Algorithm::EcdsaP384Sha384),
        ] {
            let pair = EcdsaKeyPair::generate(signing).expect("a pair");
            let point = pair.public_key().as_ref();
            let key = match algorithm {
                Algorithm::EcdsaP256Sha256 => VerificationKey::ecdsa_p256_from_sec1(point),
                _ => VerificationKey::ecdsa_p384_from_sec1(point),
            };
            let key = key.expect("a key");
            // About one in 128 signatures has a number that begins with a zero byte.
            for message in 0..=255_u8 {
                let signature = pair.sign(&SystemRandom::new(), &[message]).expect("a signature");
                let signature = signature.as_ref();
                assert_eq!(key.attempt(None, &[message], signature), Attempt::ValidInDer);
                assert_eq!(key.attempt(None, b"another", signature), Attempt::Invalid);
                assert_eq!(key.attempt(Some(Algorithm::Ed25519), &[message], signature), Attempt::Invalid);
                let longer = [signature, &[0]].concat();
                assert_eq!(key.attempt(None, &[message], &longer), Attempt::Invalid);
            }
        }
    }
}
