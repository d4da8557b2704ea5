//! Detection of private keys in place of a public key, including damaged ones. It is better to refuse an unusual public
//! key than to store a private key.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

/// The members of a JWK that are private (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The format of a private key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PrivateKeyFormat {
    /// `BEGIN OPENSSH PRIVATE KEY`.
    OpenSsh,
    /// `BEGIN RSA PRIVATE KEY`.
    Pkcs1,
    /// `BEGIN PRIVATE KEY`.
    Pkcs8,
    /// `BEGIN ENCRYPTED PRIVATE KEY`.
    EncryptedPkcs8,
    /// `BEGIN EC PRIVATE KEY`.
    Sec1,
    /// `BEGIN DSA PRIVATE KEY`.
    Dsa,
    /// `BEGIN SSH2 ENCRYPTED PRIVATE KEY`.
    Ssh2,
    /// `SSH PRIVATE KEY FILE FORMAT`.
    Ssh1,
    /// A `.ppk` file.
    Putty,
    /// A JWK with private members, or a symmetric one.
    Jwk,
    /// `BEGIN PGP PRIVATE KEY BLOCK`.
    Pgp,
    /// Any other block with "private key" in its label.
    Other,
}

impl PrivateKeyFormat {
    /// Returns the command that prints the public key of such a file. No program reads all formats: `ssh-keygen` reads
    /// no Ed25519 key in PKCS#8, and `openssl` reads no OpenSSH file.
    #[must_use]
    pub const fn public_key_command(self) -> Option<&'static str> {
        match self {
            Self::OpenSsh | Self::Pkcs1 | Self::Sec1 => Some("ssh-keygen -y -f FILE"),
            Self::Pkcs8 | Self::EncryptedPkcs8 => Some("openssl pkey -in FILE -pubout"),
            Self::Putty => Some("puttygen FILE -L"),
            Self::Dsa | Self::Ssh2 | Self::Ssh1 | Self::Jwk | Self::Pgp | Self::Other => None,
        }
    }
}

impl fmt::Display for PrivateKeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenSsh => "OpenSSH format",
            Self::Pkcs1 => "PKCS#1, RSA",
            Self::Pkcs8 => "PKCS#8",
            Self::EncryptedPkcs8 => "encrypted PKCS#8",
            Self::Sec1 => "SEC 1, elliptic curve",
            Self::Dsa => "DSA",
            Self::Ssh2 => "SSH2",
            Self::Ssh1 => "SSH protocol 1",
            Self::Putty => "PuTTY .ppk file",
            Self::Jwk => "JWK with private members",
            Self::Pgp => "PGP",
            Self::Other => "PEM",
        })
    }
}

/// Returns the format of a private key anywhere in `text`.
pub(crate) fn detect(text: &str) -> Option<PrivateKeyFormat> {
    let upper = text.to_ascii_uppercase();
    if upper.contains("PUTTY-USER-KEY-FILE") || upper.contains("PRIVATE-LINES:") {
        return Some(PrivateKeyFormat::Putty);
    }
    if upper.contains("SSH PRIVATE KEY FILE FORMAT") {
        return Some(PrivateKeyFormat::Ssh1);
    }
    let label = upper.match_indices("PRIVATE KEY").find_map(|(at, _)| {
        let before = &upper[..at];
        let begin = before.rfind("BEGIN ")? + "BEGIN ".len();
        let label = before[begin..].trim();
        label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ').then_some(label)
    });
    if let Some(label) = label {
        return Some(match label {
            "" => PrivateKeyFormat::Pkcs8,
            "OPENSSH" => PrivateKeyFormat::OpenSsh,
            "RSA" => PrivateKeyFormat::Pkcs1,
            "EC" => PrivateKeyFormat::Sec1,
            "DSA" => PrivateKeyFormat::Dsa,
            "ENCRYPTED" => PrivateKeyFormat::EncryptedPkcs8,
            "SSH2 ENCRYPTED" => PrivateKeyFormat::Ssh2,
            "PGP" => PrivateKeyFormat::Pgp,
            _ => PrivateKeyFormat::Other,
        });
    }
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    // This is base64 of `openssh-key-v1`.
    if squeezed.contains("b3BlbnNzaC1rZXktdjE") {
        return Some(PrivateKeyFormat::OpenSsh);
    }
    if squeezed.starts_with(['{', '[']) {
        let private = PRIVATE_MEMBERS.iter().any(|member| squeezed.contains(&format!("\"{member}\":")));
        return private.then_some(PrivateKeyFormat::Jwk);
    }
    STANDARD.decode(&squeezed).is_ok_and(|der| is_private_der(&der)).then_some(PrivateKeyFormat::Pkcs8)
}

/// Returns whether these bytes begin like a PKCS#1, PKCS#8 or SEC 1 private key, and unlike any public key: a SEQUENCE
/// whose first member is the version 0 or 1.
#[must_use]
pub fn is_private_der(der: &[u8]) -> bool {
    let ([0x30, 0..=0x7f, content @ ..]
    | [0x30, 0x81, _, content @ ..]
    | [0x30, 0x82, _, _, content @ ..]
    | [0x30, 0x83, _, _, _, content @ ..]) = der
    else {
        return false;
    };
    matches!(content, [2, 1, 0 | 1, ..])
}

/// Returns whether a JWK has a member that only private or secret keys have, even if its name is escaped.
pub(crate) fn is_private_jwk(jwk: &serde_json::Map<String, serde_json::Value>) -> bool {
    PRIVATE_MEMBERS.iter().any(|&member| jwk.contains_key(member))
        || jwk.get("kty").and_then(serde_json::Value::as_str) == Some("oct")
}
