//! Why a text or blob is not accepted as a public key, and how to correct it. The errors do not contain any of the
//! input, which may be a private key.

use std::fmt;

use super::{MAX_TEXT_BYTES, wire::WireError};
use crate::private_key::PrivateKeyFormat;

/// Why an input is not accepted as a public key. `Display` tells the user how to correct it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// Only blank characters.
    #[error("there is no key here: paste the content of the file that ends in .pub")]
    Empty,
    /// Longer than any key.
    #[error(
        "this text has {bytes} bytes, more than any public key needs ({MAX_TEXT_BYTES} are read): paste one key only"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A private key instead of a public key.
    #[error(
        "this is a private key ({0}), which must stay secret and was not stored: paste the public key instead ({public}); \
         if other people saw this page or file, generate a new key", public = public_key_source(*.0)
    )]
    PrivateKey(PrivateKeyFormat),
    /// A key of an unsupported type, or an object that is not a key.
    #[error("{0}")]
    UnsupportedKeyType(UnsupportedKeyType),
    /// A key whose signatures can be forged.
    #[error("this key is too weak: {0}; create a new one with `ssh-keygen -t ed25519`")]
    Weak(Weakness),
    /// `authorized_keys` options, or a host name, before the key.
    #[error(
        "there is text before the key (such as a host name or authorized_keys options, which Keyward does not apply): \
         paste the line from the key's type on, as in `ssh-ed25519 AAAA…`"
    )]
    KeyOptions,
    /// More than one key.
    #[error("there is more than one key here: add them one at a time")]
    SeveralKeys,
    /// A control character, or one that changes the direction of text.
    #[error(
        "there is a control character in this text (U+{:04X}, line {line}, character {column}): delete it, or copy the key \
         again, directly from its file", u32::from(*character)
    )]
    ControlCharacter {
        /// The first one.
        character: char,
        /// Its line, from 1.
        line: usize,
        /// Its column, from 1.
        column: usize,
    },
    /// A key that was split into several lines.
    #[error(
        "the key is broken into several lines: an OpenSSH public key is one line, copy it again without the breaks"
    )]
    BrokenLine,
    /// The BEGIN and END lines do not match.
    #[error("the block is not complete: copy everything from the line with BEGIN to the line with END")]
    BrokenBlock,
    /// Not base64, or not in the canonical form.
    #[error("the base64 text of this key is damaged or cut off: copy the key again, directly from its file")]
    Base64,
    /// The input ends before the end of the key.
    #[error("this key is cut off: copy the whole line, from its first to its last character")]
    Truncated,
    /// There are bytes after the end of the key.
    #[error("there are bytes after the end of this key: export it again with `ssh-keygen -y -f FILE`")]
    TrailingBytes,
    /// Two fields contain different algorithms.
    #[error("the key type at the start of the line does not match the key: copy the line from its file again")]
    AlgorithmMismatch,
    /// An integer or coordinate with needless leading zeros.
    #[error("a number in this key is not written in its shortest form: export it again with `ssh-keygen -y -f FILE`")]
    NonMinimalInteger,
    /// An integer that is zero or negative.
    #[error("a number in this key is zero or negative: export it again with `ssh-keygen -y -f FILE`")]
    NotPositive,
    /// A point or coordinate of the wrong length.
    #[error("this key has the wrong length for its type: copy it again, directly from its file")]
    Length,
    /// An ECDSA point that is not uncompressed where it must be, or the point at infinity.
    #[error("the point of this ECDSA key is not in uncompressed form: export it again with `ssh-keygen -y -f FILE`")]
    PointEncoding,
    /// A point that is not on its curve.
    #[error("this key is not a point of its curve: it is damaged, export it again with `ssh-keygen -y -f FILE`")]
    NotOnCurve,
    /// Not the DER of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    #[error(
        "this PEM block contains no SubjectPublicKeyInfo: export the key again with `openssl pkey -in FILE -pubout`"
    )]
    Der,
    /// Not a JWK of a public key (RFC 7517, RFC 8037, RFC 7518 §6).
    #[error(
        "this is not the JWK of a public key: it is one JSON object with `kty` and, for Ed25519, `crv` and `x`; for \
         ECDSA `crv`, `x` and `y`; for RSA `n` and `e`"
    )]
    Jwk,
    /// An unknown format.
    #[error(
        "this is not a public key in a supported format: paste the line of the .pub file, which starts with \
         `ssh-ed25519`, or an RFC 4716 or PEM block (`ssh-keygen -e`) or a JWK"
    )]
    NotAPublicKey,
}

/// Returns where the public key of a private key is.
fn public_key_source(format: PrivateKeyFormat) -> String {
    match format.public_key_command() {
        Some(command) => format!("the file that ends in .pub, or what `{command}` prints"),
        None if format == PrivateKeyFormat::Jwk => "the same JWK without its private members, such as `d`".to_owned(),
        None => "the file that ends in .pub".to_owned(),
    }
}

impl PublicKeyError {
    /// Returns a stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::PrivateKey(_) => "private_key_pasted",
            Self::UnsupportedKeyType(_) => "unsupported_key_type",
            Self::Weak(_) => "weak_key",
            Self::KeyOptions => "key_options",
            Self::SeveralKeys => "several_keys",
            Self::Empty
            | Self::ControlCharacter { .. }
            | Self::BrokenLine
            | Self::BrokenBlock
            | Self::Base64
            | Self::Truncated
            | Self::TrailingBytes
            | Self::AlgorithmMismatch
            | Self::NonMinimalInteger
            | Self::NotPositive
            | Self::Length
            | Self::PointEncoding
            | Self::NotOnCurve
            | Self::Der
            | Self::Jwk
            | Self::NotAPublicKey => "malformed_public_key",
        }
    }
}

impl From<WireError> for PublicKeyError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Truncated => Self::Truncated,
            WireError::TrailingBytes => Self::TrailingBytes,
            WireError::NonMinimalInteger => Self::NonMinimalInteger,
            WireError::NotPositive => Self::NotPositive,
        }
    }
}

/// A type that is refused with its own message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UnsupportedKeyType {
    /// `ssh-dss`.
    Dsa,
    /// ECDSA on P-521.
    EcdsaP521,
    /// ECDSA on a curve other than P-256, P-384 and P-521.
    OtherCurve,
    /// Ed448.
    Ed448,
    /// X25519 or X448, which are for key agreement and not for signatures.
    KeyAgreement,
    /// A FIDO key (`sk-…`), which signs more than the message.
    SecurityKey,
    /// An OpenSSH certificate (`…-cert-v01@openssh.com`).
    OpenSshCertificate,
    /// An X.509 certificate.
    X509Certificate,
    /// A PKCS#10 certificate request.
    CertificateRequest,
    /// A PGP block.
    Pgp,
    /// A key of SSH protocol 1.
    Ssh1,
    /// RSA that its certificate restricts to PSS (RFC 4055 §1.2).
    RsaPss,
    /// RSA of more than 4096 bits.
    RsaTooLong {
        /// The length of the modulus.
        bits: usize,
    },
    /// A signature algorithm such as `rsa-sha2-256` instead of a key type.
    SignatureAlgorithm,
    /// Any other type in SSH or X.509.
    Other,
}

impl UnsupportedKeyType {
    /// Returns the unsupported type of an SSH public key algorithm name, or `None` if the name is supported or unknown.
    pub(super) fn of_ssh_name(name: &[u8]) -> Option<Self> {
        match name {
            b"ssh-dss" => Some(Self::Dsa),
            b"ecdsa-sha2-nistp521" => Some(Self::EcdsaP521),
            b"ssh-ed448" => Some(Self::Ed448),
            b"rsa-sha2-256" | b"rsa-sha2-512" => Some(Self::SignatureAlgorithm),
            b"ssh-xmss@openssh.com" | b"null" => Some(Self::Other),
            name if name.ends_with(b"-cert-v01@openssh.com") || name.ends_with(b"-cert-v00@openssh.com") => {
                Some(Self::OpenSshCertificate)
            }
            name if name.starts_with(b"x509v3-") => Some(Self::X509Certificate),
            name if name.starts_with(b"pgp-sign-") => Some(Self::Pgp),
            name if name.starts_with(b"sk-") || name.starts_with(b"webauthn-sk-") => Some(Self::SecurityKey),
            name if name.starts_with(b"ecdsa-sha2-")
                && name != b"ecdsa-sha2-nistp256"
                && name != b"ecdsa-sha2-nistp384" =>
            {
                Some(Self::OtherCurve)
            }
            _ => None,
        }
    }
}

impl fmt::Display for UnsupportedKeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TAKEN: &str = "Ed25519, RSA of 2048 to 4096 bits and ECDSA on P-256 or P-384 are; run `ssh-keygen -t \
                             ed25519`";
        match self {
            Self::Dsa => write!(f, "DSA keys are not supported: {TAKEN}"),
            Self::EcdsaP521 => write!(f, "ECDSA keys on P-521 are not supported: {TAKEN}"),
            Self::OtherCurve => write!(f, "ECDSA keys on this curve are not supported: {TAKEN}"),
            Self::Ed448 => write!(f, "Ed448 keys are not supported: {TAKEN}"),
            Self::KeyAgreement => write!(f, "X25519 and X448 keys cannot sign and are not supported: {TAKEN}"),
            Self::SecurityKey => {
                write!(f, "security keys (`sk-…`) cannot sign requests and are not supported: {TAKEN}")
            }
            Self::OpenSshCertificate => f.write_str(
                "this is an OpenSSH certificate, not a public key: paste the key that it certifies, the file that ends \
                 in .pub and not in -cert.pub",
            ),
            Self::X509Certificate => f.write_str(
                "this is an X.509 certificate, not a public key: extract the key with \
                 `openssl x509 -in FILE -pubkey -noout`",
            ),
            Self::CertificateRequest => f.write_str(
                "this is a certificate request, not a public key: extract the key with \
                 `openssl req -in FILE -pubkey -noout`",
            ),
            Self::Pgp => write!(f, "PGP blocks are not supported: {TAKEN}"),
            Self::Ssh1 => write!(f, "keys of SSH protocol 1 are not supported: {TAKEN}"),
            Self::RsaPss => write!(f, "RSA keys that are bound to PSS are not supported: {TAKEN}"),
            Self::RsaTooLong { bits } => write!(f, "RSA keys of {bits} bits are not supported: {TAKEN}"),
            Self::SignatureAlgorithm => f.write_str(
                "`rsa-sha2-256` and `rsa-sha2-512` are signature algorithms, not a key: paste the line that starts \
                 with `ssh-rsa`",
            ),
            Self::Other => write!(f, "keys of this type are not supported: {TAKEN}"),
        }
    }
}

/// Why a key is too weak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Weakness {
    /// An Ed25519 point whose order divides 8: some signatures are valid for every message.
    SmallOrder,
    /// An Ed25519 point outside the prime-order subgroup: verifiers disagree about its signatures.
    MixedOrder,
    /// An Ed25519 point that is not in the canonical encoding (RFC 8032 §5.1.3).
    NonCanonicalPoint,
    /// RSA below 2048 bits.
    RsaTooShort {
        /// The length of the modulus.
        bits: usize,
    },
    /// An RSA exponent other than 65537. This includes all RSA keys that `ssh-keygen` generated with Debian's
    /// predictable generator (CVE-2008-0166), because OpenSSH used 35 at that time.
    RsaExponent,
    /// An RSA modulus that a small prime divides.
    RsaSmallFactor,
    /// An RSA modulus with the structure of those from Infineon's library (ROCA, CVE-2017-15361).
    Roca,
    /// An RSA modulus whose primes are so close that Fermat's method finds them (CVE-2022-26320).
    RsaClosePrimes,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallOrder => f.write_str("its Ed25519 point has small order, so any person can sign with it"),
            Self::MixedOrder => f.write_str("its Ed25519 point has a small-order part, so that verifiers disagree"),
            Self::NonCanonicalPoint => f.write_str("its Ed25519 point is not in canonical form"),
            Self::RsaTooShort { bits } => write!(f, "it is an RSA key of {bits} bits, and the minimum is 2048"),
            Self::RsaExponent => f.write_str("its RSA exponent is not 65537"),
            Self::RsaSmallFactor => f.write_str("a small prime divides its RSA modulus"),
            Self::Roca => f.write_str("its RSA modulus has the ROCA flaw (CVE-2017-15361)"),
            Self::RsaClosePrimes => f.write_str("the two primes of its RSA modulus are too close (CVE-2022-26320)"),
        }
    }
}
