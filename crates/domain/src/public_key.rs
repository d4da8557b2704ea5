//! A public key in canonical form: one SSH wire blob, for all input formats. `text.rs` and the files beside it parse
//! the formats, and `strength.rs` refuses weak keys.

mod armour;
mod blanks;
mod compact;
mod error;
mod fingerprint;
mod jwk;
mod spki;
mod strength;
mod text;
pub(crate) mod wire;

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

pub(crate) use self::armour::{ArmourError, read_pem};
pub use self::{
    compact::CompactKey,
    error::{PublicKeyError, UnsupportedKeyType, Weakness},
    fingerprint::{Fingerprint, FingerprintError},
};

/// The maximum length of a text, in bytes. The largest accepted key (RSA 4096) needs less than 1 KiB.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// A public key that is strong enough and in canonical form: equal keys have equal bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    blob: Box<[u8]>,
    kind: Kind,
}

const P256_POINT_BYTES: usize = 65;
const P384_POINT_BYTES: usize = 97;
/// 65537, big-endian.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// The data that [`KeyMaterial`] needs in addition to the blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Ed25519([u8; 32]),
    EcdsaP256,
    EcdsaP384,
    Rsa { bits: u16 },
}

/// The result of parsing a text: the key, and its comment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParsedPublicKey {
    /// The key.
    pub key: PublicKey,
    /// The text after the key on its line, or the `Comment` header of an RFC 4716 block. It contains no control
    /// characters, and is only a suggestion for a title.
    pub comment: Option<String>,
}

/// The numbers of a key, for a verifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyMaterial<'a> {
    /// The encoded point (RFC 8032 §5.1.2).
    Ed25519(&'a [u8; 32]),
    /// The point, SEC 1 uncompressed: `04 ‖ x ‖ y`, 65 bytes.
    EcdsaP256(&'a [u8]),
    /// The point, SEC 1 uncompressed: `04 ‖ x ‖ y`, 97 bytes.
    EcdsaP384(&'a [u8]),
    /// Both numbers big-endian, without leading zeros.
    Rsa {
        /// The modulus.
        n: &'a [u8],
        /// The public exponent, always 65537.
        e: &'a [u8],
    },
}

/// The type of a key. `Display` writes the SSH name (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4). The size is
/// [`KeyAlgorithm::bits`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyAlgorithm {
    /// Ed25519.
    Ed25519,
    /// RSA with exponent 65537.
    Rsa {
        /// The length of the modulus, 2048 to 4096.
        bits: u16,
    },
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
}

impl PublicKey {
    /// Parses a pasted key: an OpenSSH line, an RFC 4716 block, a PEM block with a SubjectPublicKeyInfo (RFC 7468 §13)
    /// or a PKCS#1 RSA key, or a JWK (RFC 7517). Windows line endings, lines that begin with `#` and blank lines around
    /// the key are accepted. No-break spaces and characters without width are accepted outside the comment.
    ///
    /// # Errors
    /// [`PublicKeyError`] for every other text. Private keys and unsupported or weak keys have their own variants. The
    /// error does not contain any of the text.
    pub fn parse(text: &str) -> Result<ParsedPublicKey, PublicKeyError> {
        text::parse(text)
    }

    /// Parses a file in a format of [`PublicKey::parse`], in UTF-8 or UTF-16, or the DER of a SubjectPublicKeyInfo.
    /// Bytes of a comment that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// As [`PublicKey::parse`].
    pub fn parse_file(bytes: &[u8]) -> Result<ParsedPublicKey, PublicKeyError> {
        text::parse_file(bytes)
    }

    /// Parses the canonical SSH wire blob, as returned by [`PublicKey::blob`].
    ///
    /// # Errors
    /// [`PublicKeyError`] for every other encoding of the same key, and for unsupported or weak keys.
    pub fn from_blob(blob: &[u8]) -> Result<Self, PublicKeyError> {
        Self::new(read_blob(blob)?)
    }

    /// Parses the blob of a stored key, which passed [`PublicKey::parse`] or [`PublicKey::from_blob`]. It checks the
    /// encoding, but omits the arithmetic that detects weak keys (65 µs for Ed25519, 2 ms for RSA), so that a hundred
    /// thousand keys load quickly.
    ///
    /// # Errors
    /// [`PublicKeyError`] for bytes that cannot be a stored key.
    pub fn from_stored_blob(blob: &[u8]) -> Result<Self, PublicKeyError> {
        Self::encode(read_blob(blob)?)
    }

    /// Creates the key with these numbers after all checks. Every format uses this function.
    fn new(material: KeyMaterial<'_>) -> Result<Self, PublicKeyError> {
        let key = Self::encode(material)?;
        strength::check(material)?;
        Ok(key)
    }

    fn encode(material: KeyMaterial<'_>) -> Result<Self, PublicKeyError> {
        let mut blob = Vec::new();
        let kind = match material {
            KeyMaterial::Ed25519(point) => {
                wire::put_string(&mut blob, b"ssh-ed25519");
                wire::put_string(&mut blob, point);
                Kind::Ed25519(*point)
            }
            KeyMaterial::EcdsaP256(point) => {
                check_uncompressed(point, P256_POINT_BYTES)?;
                wire::put_string(&mut blob, b"ecdsa-sha2-nistp256");
                wire::put_string(&mut blob, b"nistp256");
                wire::put_string(&mut blob, point);
                Kind::EcdsaP256
            }
            KeyMaterial::EcdsaP384(point) => {
                check_uncompressed(point, P384_POINT_BYTES)?;
                wire::put_string(&mut blob, b"ecdsa-sha2-nistp384");
                wire::put_string(&mut blob, b"nistp384");
                wire::put_string(&mut blob, point);
                Kind::EcdsaP384
            }
            KeyMaterial::Rsa { n, e } => {
                let leading_zeros = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
                let bits = n.len() * 8 - leading_zeros;
                let too_long = PublicKeyError::UnsupportedKeyType(UnsupportedKeyType::RsaTooLong { bits });
                wire::put_string(&mut blob, b"ssh-rsa");
                wire::put_mpint(&mut blob, e);
                wire::put_mpint(&mut blob, n);
                Kind::Rsa { bits: u16::try_from(bits).ok().filter(|&bits| bits <= 4096).ok_or(too_long)? }
            }
        };
        Ok(Self { blob: blob.into(), kind })
    }

    /// Returns the type of the key.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        match self.kind {
            Kind::Ed25519(_) => KeyAlgorithm::Ed25519,
            Kind::EcdsaP256 => KeyAlgorithm::EcdsaP256,
            Kind::EcdsaP384 => KeyAlgorithm::EcdsaP384,
            Kind::Rsa { bits } => KeyAlgorithm::Rsa { bits },
        }
    }

    /// Returns the canonical SSH wire encoding (RFC 4253 §6.6): minimal integers, uncompressed points.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Returns the fingerprint that `ssh-keygen -l` prints for this key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_blob(&self.blob)
    }

    /// Returns the numbers of this key.
    #[must_use]
    pub fn material(&self) -> KeyMaterial<'_> {
        let end = self.blob.len();
        match &self.kind {
            Kind::Ed25519(point) => KeyMaterial::Ed25519(point),
            Kind::EcdsaP256 => KeyMaterial::EcdsaP256(&self.blob[end - P256_POINT_BYTES..]),
            Kind::EcdsaP384 => KeyMaterial::EcdsaP384(&self.blob[end - P384_POINT_BYTES..]),
            Kind::Rsa { bits } => {
                KeyMaterial::Rsa { n: &self.blob[end - usize::from(bits.div_ceil(8))..], e: &RSA_EXPONENT }
            }
        }
    }

    /// Returns the OpenSSH line, built from the bytes: `ssh-ed25519 AAAA…`, without comment or line ending.
    #[must_use]
    pub fn to_openssh(&self) -> String {
        format!("{} {}", self.algorithm(), STANDARD.encode(&self.blob))
    }
}

fn read_blob(blob: &[u8]) -> Result<KeyMaterial<'_>, PublicKeyError> {
    let mut reader = wire::Reader::new(blob);
    let name = reader.read_string()?;
    let material = match name {
        b"ssh-ed25519" => KeyMaterial::Ed25519(reader.read_string()?.try_into().map_err(|_| PublicKeyError::Length)?),
        b"ecdsa-sha2-nistp256" | b"ecdsa-sha2-nistp384" => {
            if reader.read_string()? != &name[b"ecdsa-sha2-".len()..] {
                return Err(PublicKeyError::AlgorithmMismatch);
            }
            let point = reader.read_string()?;
            if name.ends_with(b"256") { KeyMaterial::EcdsaP256(point) } else { KeyMaterial::EcdsaP384(point) }
        }
        b"ssh-rsa" => {
            let e = reader.read_mpint()?;
            KeyMaterial::Rsa { n: reader.read_mpint()?, e }
        }
        other => {
            return Err(UnsupportedKeyType::of_ssh_name(other)
                .map_or(PublicKeyError::NotAPublicKey, PublicKeyError::UnsupportedKeyType));
        }
    };
    reader.finish()?;
    Ok(material)
}

/// SEC 1 §2.3.3: the form with both coordinates, the only one that OpenSSH writes and reads.
fn check_uncompressed(point: &[u8], length: usize) -> Result<(), PublicKeyError> {
    match point.first() {
        Some(4) if point.len() == length => Ok(()),
        Some(4) => Err(PublicKeyError::Length),
        _ => Err(PublicKeyError::PointEncoding),
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_openssh())
    }
}

impl KeyAlgorithm {
    /// Returns the bits of the modulus or of the curve.
    #[must_use]
    pub fn bits(self) -> u16 {
        match self {
            Self::Ed25519 | Self::EcdsaP256 => 256,
            Self::EcdsaP384 => 384,
            Self::Rsa { bits } => bits,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::Rsa { .. } => "ssh-rsa",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
        })
    }
}
