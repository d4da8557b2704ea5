//! From pasted text to a key: tells the formats apart, and refuses whatever is not exactly one public key.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    MAX_TEXT_BYTES, ParsedPublicKey, PublicKey, armour,
    error::{PublicKeyError, UnsupportedKeyType},
    jwk, spki,
};
use crate::{
    private_key::{self, PrivateKeyFormat},
    secret::find_private_key,
};

const TAKEN_NAMES: [&str; 4] = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"];

pub(super) fn parse(text: &str) -> Result<ParsedPublicKey, PublicKeyError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(PublicKeyError::TooLong { bytes: text.len() });
    }
    // Before anything else, so that a private key is called one however damaged it is.
    if let Some(format) = find_private_key(text) {
        return Err(PublicKeyError::PrivateKey(format));
    }
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if text.is_empty() {
        return Err(PublicKeyError::Empty);
    }
    check_characters(text)?;
    if text.starts_with('{') || text.starts_with('[') {
        jwk::read(text).map(|key| ParsedPublicKey { key, comment: None })
    } else if text.starts_with("---- ") {
        let (comment, blob) = armour::read_ssh2(text)?;
        Ok(ParsedPublicKey { key: PublicKey::from_blob(&blob)?, comment })
    } else if text.starts_with("-----") {
        parse_pem(text).map(|key| ParsedPublicKey { key, comment: None })
    } else {
        parse_openssh(text)
    }
}

/// Line ends are the only control characters. Characters that turn the direction of text would make a comment read as
/// something else.
fn check_characters(text: &str) -> Result<(), PublicKeyError> {
    let harmful = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if text.replace("\r\n", "\n").contains(harmful) { Err(PublicKeyError::ControlCharacter) } else { Ok(()) }
}

fn parse_pem(text: &str) -> Result<PublicKey, PublicKeyError> {
    let label = text.strip_prefix("-----BEGIN ").and_then(|rest| Some(rest.split_once("-----")?.0));
    let unsupported = match label {
        Some("PUBLIC KEY") => None,
        Some("RSA PUBLIC KEY") => Some(UnsupportedKeyType::Pkcs1),
        Some("DSA PUBLIC KEY") => Some(UnsupportedKeyType::Dsa),
        Some("CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" | "PKCS7") => {
            Some(UnsupportedKeyType::X509Certificate)
        }
        Some("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") => Some(UnsupportedKeyType::CertificateRequest),
        Some(label) if label.starts_with("PGP ") => Some(UnsupportedKeyType::Pgp),
        Some(_) => return Err(PublicKeyError::NotAPublicKey),
        None => return Err(PublicKeyError::BrokenBlock),
    };
    if let Some(unsupported) = unsupported {
        return Err(PublicKeyError::UnsupportedKeyType(unsupported));
    }
    let (_, der) = armour::read_pem(text)?;
    if private_key::is_private_der(&der) {
        return Err(PublicKeyError::PrivateKey(PrivateKeyFormat::Pkcs8));
    }
    spki::read(&der)
}

/// `TYPE BASE64 [COMMENT]`, as in a `.pub` file.
fn parse_openssh(text: &str) -> Result<ParsedPublicKey, PublicKeyError> {
    let (line, more) = text.split_once('\n').map_or((text, ""), |(line, more)| (line.trim_end(), more));
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    if !is_key_name(name) {
        return Err(if is_ssh1(line) {
            PublicKeyError::UnsupportedKeyType(UnsupportedKeyType::Ssh1)
        } else if line.split([' ', ',', '"']).any(is_key_name) {
            PublicKeyError::KeyOptions
        } else {
            PublicKeyError::NotAPublicKey
        });
    }
    if let Some(unsupported) = UnsupportedKeyType::of_ssh_name(name.as_bytes()) {
        return Err(PublicKeyError::UnsupportedKeyType(unsupported));
    }
    if !more.is_empty() {
        let several = more.lines().any(|line| line.split(' ').any(is_key_name) || line.contains("-----BEGIN "));
        return Err(if several { PublicKeyError::SeveralKeys } else { PublicKeyError::BrokenLine });
    }
    let (encoded, comment) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
    if encoded.is_empty() {
        return Err(PublicKeyError::Truncated);
    }
    if comment.split(' ').any(|word| word.starts_with("AAAA") && word.len() >= 68) {
        return Err(PublicKeyError::SeveralKeys);
    }
    let blob = STANDARD.decode(encoded).map_err(|_| PublicKeyError::Base64)?;
    check_outer_name(name, &blob)?;
    let comment = Some(comment.trim().to_owned()).filter(|comment| !comment.is_empty());
    Ok(ParsedPublicKey { key: PublicKey::from_blob(&blob)?, comment })
}

fn check_outer_name(name: &str, blob: &[u8]) -> Result<(), PublicKeyError> {
    let inner = super::wire::Reader::new(blob).read_string()?;
    if inner == name.as_bytes() { Ok(()) } else { Err(PublicKeyError::AlgorithmMismatch) }
}

fn is_key_name(word: &str) -> bool {
    TAKEN_NAMES.contains(&word) || UnsupportedKeyType::of_ssh_name(word.as_bytes()).is_some()
}

/// `BITS EXPONENT MODULUS`, all decimal.
fn is_ssh1(line: &str) -> bool {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = line.split(' ');
    words.by_ref().take(3).filter(|word| is_number(word)).count() == 3
}
