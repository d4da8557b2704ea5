//! From a private key's text to its bytes. Blanks mean nothing here, so that keys whose line breaks were lost on the
//! way through a CI secret read as before.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::error::PrivateKeyErrorKind;

/// The bytes of a key, by format.
pub(super) enum Armoured {
    OpenSsh(Zeroizing<Vec<u8>>),
    Pkcs8(Zeroizing<Vec<u8>>),
}

pub(super) fn read(text: &str) -> Result<Armoured, PrivateKeyErrorKind> {
    let text = squeeze(unquote(text.trim()));
    if text.is_empty() {
        return Err(PrivateKeyErrorKind::Empty);
    }
    if is_public(&text) {
        return Err(PrivateKeyErrorKind::PublicKey);
    }
    if text.starts_with("PuTTY-User-Key-File-") {
        return Err(PrivateKeyErrorKind::Putty);
    }
    let Some((label, rest)) = text.strip_prefix("-----BEGIN").and_then(|rest| rest.split_once("-----")) else {
        let is_a_part = text.contains("PRIVATEKEY---") || text.starts_with(OPENSSH_BODY);
        return Err(if is_a_part { PrivateKeyErrorKind::Damaged } else { PrivateKeyErrorKind::NotAPrivateKey });
    };
    let is_encrypted = label == "ENCRYPTEDPRIVATEKEY" || rest.starts_with("Proc-Type:4,ENCRYPTED");
    match label {
        _ if is_encrypted => return Err(PrivateKeyErrorKind::PassphraseProtected),
        "OPENSSHPRIVATEKEY" | "PRIVATEKEY" => {}
        "RSAPRIVATEKEY" | "ECPRIVATEKEY" => return Err(PrivateKeyErrorKind::Pem),
        "DSAPRIVATEKEY" => return Err(PrivateKeyErrorKind::UnsupportedKeyType),
        _ => return Err(PrivateKeyErrorKind::NotAPrivateKey),
    }
    let body = rest.split_once('-').map_or(rest, |(body, _)| body);
    match rest[body.len()..].strip_prefix(&format!("-----END{label}-----")) {
        Some("") => {}
        Some(more) if more.contains("-----BEGIN") => return Err(PrivateKeyErrorKind::SeveralKeys),
        _ => return Err(PrivateKeyErrorKind::Damaged),
    }
    let bytes = Zeroizing::new(STANDARD.decode(body).map_err(|_| PrivateKeyErrorKind::Damaged)?);
    Ok(if label == "PRIVATEKEY" { Armoured::Pkcs8(bytes) } else { Armoured::OpenSsh(bytes) })
}

/// base64 of `openssh-key-v1`
const OPENSSH_BODY: &str = "b3BlbnNzaC1rZXktdjE";

/// What stays when all blanks go, and the `\n` and `\r` of those who wrote line breaks as two characters. Neither is
/// part of base64, so nothing else can be meant.
fn squeeze(text: &str) -> Zeroizing<String> {
    let mut squeezed = Zeroizing::new(String::with_capacity(text.len()));
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.next_if(|next| matches!(next, 'n' | 'r')).is_some() {
            continue;
        }
        if !character.is_whitespace() && character != '\u{feff}' {
            squeezed.push(character);
        }
    }
    squeezed
}

fn unquote(text: &str) -> &str {
    let within = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

fn is_public(squeezed: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-", "----BEGINSSH2PUBLIC", "-----BEGINPUBLIC", "-----BEGINRSAPUBLIC"]
        .iter()
        .any(|start| squeezed.starts_with(start))
}
