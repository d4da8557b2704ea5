//! Parses a pasted text: detects its format, and refuses every text that is not exactly one public key.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    MAX_TEXT_BYTES, ParsedPublicKey, PublicKey, armour,
    blanks::{self, is_blank},
    error::{PublicKeyError, UnsupportedKeyType},
    jwk, spki,
};
use crate::{
    private_key::{self, PrivateKeyFormat},
    secret::find_private_key,
    text_encoding::to_utf8,
};

const TAKEN_NAMES: [&str; 4] = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"];

pub(super) fn parse_file(bytes: &[u8]) -> Result<ParsedPublicKey, PublicKeyError> {
    if bytes.len() > 2 * MAX_TEXT_BYTES {
        return Err(PublicKeyError::TooLong { bytes: bytes.len() });
    }
    if private_key::is_private_der(bytes) {
        return Err(PublicKeyError::PrivateKey(PrivateKeyFormat::Pkcs8));
    }
    // No text begins this way: the second character would be a control character.
    if let [0x30, _, 0x30, ..] | [0x30, 0x81..=0x83, ..] = bytes {
        return spki::read(bytes).map(|key| ParsedPublicKey { key, comment: None });
    }
    // Only comments may contain other characters than ASCII.
    parse(&String::from_utf8_lossy(&to_utf8(bytes)))
}

pub(super) fn parse(text: &str) -> Result<ParsedPublicKey, PublicKeyError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(PublicKeyError::TooLong { bytes: text.len() });
    }
    // This check comes first, so that a damaged private key is also reported as a private key.
    let plain = blanks::to_plain(text);
    if let Some(format) = find_private_key(text).or_else(|| find_private_key(&plain)) {
        return Err(PublicKeyError::PrivateKey(format));
    }
    let text = text.replace("\r\n", "\n");
    blanks::check_characters(&text)?;
    let text = without_remarks(&text);
    if let Some(inner) = unquoted(text) {
        return parse_block(&inner);
    }
    parse_block(text)
}

/// Returns the content of a quoted text. A key that was a string in JSON, YAML or a shell has quotes.
fn unquoted(text: &str) -> Option<String> {
    // A JWK that was written into JSON as a string has escapes.
    if let Ok(inner) = serde_json::from_str::<String>(text) {
        return Some(inner);
    }
    let within = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).map(str::to_owned)
}

fn parse_block(text: &str) -> Result<ParsedPublicKey, PublicKeyError> {
    let text = text.trim_matches(|c| is_blank(c) || c == '\n');
    let of = |key| ParsedPublicKey { key, comment: None };
    if text.is_empty() {
        Err(PublicKeyError::Empty)
    } else if text.starts_with(['{', '[']) {
        jwk::read(&blanks::to_plain(text)).map(of)
    } else if text.starts_with("---- ") {
        let (comment, blob) = armour::read_ssh2(text)?;
        Ok(ParsedPublicKey { key: PublicKey::from_blob(&blob)?, comment })
    } else if !has_key_name(text.lines().next().unwrap_or_default()) && text.contains("-----BEGIN") {
        parse_pem(text).map(of)
    } else {
        parse_openssh(text)
    }
}

/// Removes blank lines and lines that begin with `#` at both ends.
fn without_remarks(text: &str) -> &str {
    let is_remark = |line: &str| {
        let line = line.trim_matches(is_blank);
        line.is_empty() || line.starts_with('#')
    };
    let mut rest = text;
    while let Some((line, more)) = rest.split_once('\n')
        && is_remark(line)
    {
        rest = more;
    }
    while let Some((more, line)) = rest.rsplit_once('\n')
        && is_remark(line)
    {
        rest = more;
    }
    // An escaped line ending.
    rest.trim_matches(is_blank).trim_end_matches("\\n").trim_end_matches("\\r").trim_matches(is_blank)
}

/// Parses one PEM block, with any text around it.
fn parse_pem(text: &str) -> Result<PublicKey, PublicKeyError> {
    let (label, der) = armour::read_public_pem(text)?;
    let unsupported = match label.as_str() {
        "PUBLICKEY" | "RSAPUBLICKEY" => None,
        "DSAPUBLICKEY" => Some(UnsupportedKeyType::Dsa),
        "CERTIFICATE" | "X509CERTIFICATE" | "TRUSTEDCERTIFICATE" | "PKCS7" => Some(UnsupportedKeyType::X509Certificate),
        "CERTIFICATEREQUEST" | "NEWCERTIFICATEREQUEST" => Some(UnsupportedKeyType::CertificateRequest),
        label if label.starts_with("PGP") => Some(UnsupportedKeyType::Pgp),
        _ => return Err(PublicKeyError::NotAPublicKey),
    };
    if let Some(unsupported) = unsupported {
        return Err(PublicKeyError::UnsupportedKeyType(unsupported));
    }
    // There is another key outside the block.
    if text.lines().any(has_key_name) {
        return Err(PublicKeyError::SeveralKeys);
    }
    let der = der?;
    if private_key::is_private_der(&der) {
        return Err(PublicKeyError::PrivateKey(PrivateKeyFormat::Pkcs8));
    }
    if label == "RSAPUBLICKEY" { spki::read_rsa(&der) } else { spki::read(&der) }
}

/// Parses `TYPE BASE64 [COMMENT]`, as in a `.pub` file.
fn parse_openssh(text: &str) -> Result<ParsedPublicKey, PublicKeyError> {
    let (line, more) = text.split_once('\n').unwrap_or((text, ""));
    let (name, rest) = blanks::split_word(line);
    if !is_key_name(&name) {
        return Err(if is_ssh1(line) {
            PublicKeyError::UnsupportedKeyType(UnsupportedKeyType::Ssh1)
        } else if has_key_name(line) {
            PublicKeyError::KeyOptions
        } else {
            PublicKeyError::NotAPublicKey
        });
    }
    if let Some(unsupported) = UnsupportedKeyType::of_ssh_name(name.as_bytes()) {
        return Err(PublicKeyError::UnsupportedKeyType(unsupported));
    }
    if !more.is_empty() {
        let several = more.lines().any(|line| has_key_name(line) || line.contains("-----BEGIN "));
        return Err(if several { PublicKeyError::SeveralKeys } else { PublicKeyError::BrokenLine });
    }
    let (encoded, comment) = blanks::split_word(rest);
    if encoded.is_empty() {
        return Err(PublicKeyError::Truncated);
    }
    let comment = blanks::to_comment(comment);
    if comment.split(' ').any(|word| word.starts_with("AAAA") && word.len() >= 68) {
        return Err(PublicKeyError::SeveralKeys);
    }
    let blob = STANDARD.decode(&encoded).map_err(|_| PublicKeyError::Base64)?;
    check_outer_name(&name, &blob)?;
    Ok(ParsedPublicKey { key: PublicKey::from_blob(&blob)?, comment: Some(comment).filter(|text| !text.is_empty()) })
}

fn check_outer_name(name: &str, blob: &[u8]) -> Result<(), PublicKeyError> {
    let inner = super::wire::Reader::new(blob).read_string()?;
    if inner == name.as_bytes() { Ok(()) } else { Err(PublicKeyError::AlgorithmMismatch) }
}

fn is_key_name(word: &str) -> bool {
    TAKEN_NAMES.contains(&word) || UnsupportedKeyType::of_ssh_name(word.as_bytes()).is_some()
}

fn has_key_name(line: &str) -> bool {
    line.split(|c| is_blank(c) || matches!(c, ',' | '"')).any(is_key_name)
}

/// Returns whether a line is `BITS EXPONENT MODULUS`, all decimal.
fn is_ssh1(line: &str) -> bool {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = line.split(' ');
    words.by_ref().take(3).filter(|word| is_number(word)).count() == 3
}
