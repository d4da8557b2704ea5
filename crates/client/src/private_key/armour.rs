//! Extracts the bytes of a key from a private key file: PEM, base64 of the whole file, or an encoding of Windows. Blank
//! characters are ignored, so that keys that lost their line breaks in a CI secret can still be read.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use domain::{PublicKey, private_key::PrivateKeyFormat, secret::find_private_key, text_encoding::to_utf8};
use zeroize::Zeroizing;

use super::{
    der::is_der,
    error::{PrivateKeyErrorKind, ProtectedFormat},
    jwk::{self, Jwk},
    putty,
};

/// The bytes of a key, by format.
pub(super) enum Armoured {
    OpenSsh(Zeroizing<Vec<u8>>),
    Pkcs1(Zeroizing<Vec<u8>>),
    Pkcs8(Zeroizing<Vec<u8>>),
    Sec1(Zeroizing<Vec<u8>>),
    /// DER whose format is still unknown: one of the three.
    Der(Zeroizing<Vec<u8>>),
    Putty(Zeroizing<Vec<u8>>),
    Jwk(Box<Jwk>),
}

/// Base64 of `openssh-key-v1`
const OPENSSH_BODY: &str = "b3BlbnNzaC1rZXktdjE";
/// Base64 of `-----BEGIN`, and of the first line of a PuTTY file
const ENCODED_STARTS: [&str; 2] = ["LS0tLS1CRUdJTi", "UHVUVFktVXNlci1LZXkt"];
/// Base64 of any program, padded or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn read(file: &[u8]) -> Result<Armoured, PrivateKeyErrorKind> {
    read_layer(file, 0)
}

fn read_layer(file: &[u8], layer: u8) -> Result<Armoured, PrivateKeyErrorKind> {
    if is_der(file) {
        return Ok(Armoured::Der(Zeroizing::new(file.to_vec())));
    }
    let file = Zeroizing::new(to_utf8(file).into_owned());
    let trimmed = file.trim_ascii();
    // A JSON string has escapes. Other quoted texts, as in a shell, have none.
    let unescaped = serde_json::from_slice::<String>(trimmed).map(Zeroizing::new);
    let content = unescaped.as_ref().map_or_else(|_| unquote(trimmed), |text| text.trim().as_bytes());
    if let Some(jwk) = jwk::find(content)? {
        return Ok(Armoured::Jwk(jwk));
    }
    if content.starts_with(putty::START) {
        return Ok(Armoured::Putty(with_line_breaks(content)));
    }
    let text = squeeze(content);
    if text.is_empty() {
        return Err(PrivateKeyErrorKind::Empty);
    }
    let mut blocks = private_blocks(&text);
    match (blocks.next(), blocks.next()) {
        (Some((label, rest)), None) => read_block(label, rest),
        (Some(_), Some(_)) => Err(PrivateKeyErrorKind::SeveralKeys),
        (None, _) => read_bare(&file, &text, layer),
    }
}

/// Returns the label of each block with a private key, and the text after its BEGIN line.
fn private_blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("-----BEGIN")
        .skip(1)
        .filter_map(|block| block.split_once("-----"))
        .filter(|(label, _)| label.ends_with("PRIVATEKEY") && label.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn read_block(label: &str, rest: &str) -> Result<Armoured, PrivateKeyErrorKind> {
    let protected = |format| Err(PrivateKeyErrorKind::PassphraseProtected(format));
    let armoured = match label {
        "ENCRYPTEDPRIVATEKEY" => return protected(ProtectedFormat::Pkcs8),
        _ if rest.starts_with("Proc-Type:4,ENCRYPTED") => return protected(ProtectedFormat::Pem),
        "OPENSSHPRIVATEKEY" => Armoured::OpenSsh,
        "PRIVATEKEY" => Armoured::Pkcs8,
        "RSAPRIVATEKEY" => Armoured::Pkcs1,
        "ECPRIVATEKEY" => Armoured::Sec1,
        "DSAPRIVATEKEY" => return Err(PrivateKeyErrorKind::UnsupportedKeyType("DSA".to_owned())),
        _ => return Err(PrivateKeyErrorKind::UnsupportedFormat(PrivateKeyFormat::Other)),
    };
    let (body, after) = rest.split_once('-').ok_or(PrivateKeyErrorKind::Damaged)?;
    if !after.starts_with(&format!("----END{label}-----")) {
        return Err(PrivateKeyErrorKind::Damaged);
    }
    STANDARD.decode(body).map(|bytes| armoured(Zeroizing::new(bytes))).map_err(|_| PrivateKeyErrorKind::Damaged)
}

/// Reads a file without a block: base64 of a file, or no private key.
fn read_bare(file: &[u8], text: &str, layer: u8) -> Result<Armoured, PrivateKeyErrorKind> {
    if is_public(text) || PublicKey::parse_file(file).is_ok() {
        return Err(PrivateKeyErrorKind::PublicKey);
    }
    if text.contains("PRIVATEKEY-----") || text.starts_with(OPENSSH_BODY) {
        return Err(PrivateKeyErrorKind::Damaged);
    }
    if ["CERTIFICATE-----", "CERTIFICATEREQUEST-----"].iter().any(|label| text.contains(label)) {
        return Err(PrivateKeyErrorKind::Certificate);
    }
    let standard = Zeroizing::new(text.replace('-', "+").replace('_', "/"));
    let decoded = LENIENT.decode(standard.as_bytes()).map(Zeroizing::new);
    let is_cut = decoded.is_err() && ENCODED_STARTS.iter().any(|start| text.starts_with(start));
    let read = match decoded {
        Ok(decoded) if layer < 2 => read_layer(&decoded, layer + 1),
        _ if is_cut => return Err(PrivateKeyErrorKind::Damaged),
        _ => Err(PrivateKeyErrorKind::NotAPrivateKey),
    };
    match read {
        Ok(_) if layer > 0 => Err(PrivateKeyErrorKind::EncodedTwice),
        // Any word is valid base64.
        Err(PrivateKeyErrorKind::Empty | PrivateKeyErrorKind::NotAPrivateKey) => {
            let text = Zeroizing::new(String::from_utf8_lossy(file).into_owned());
            let format = find_private_key(&text).filter(|format| !is_read(*format));
            Err(format.map_or(PrivateKeyErrorKind::NotAPrivateKey, PrivateKeyErrorKind::UnsupportedFormat))
        }
        read => read,
    }
}

/// Returns whether keys in this format are supported. Without their BEGIN and END lines they are damaged.
fn is_read(format: PrivateKeyFormat) -> bool {
    use PrivateKeyFormat as Format;
    matches!(format, Format::OpenSsh | Format::Pkcs1 | Format::Pkcs8 | Format::Sec1 | Format::Putty)
}

/// Removes all blank characters and escaped line breaks (`\n` and `\r`). Neither is part of base64, so the result is
/// unambiguous.
fn squeeze(file: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(String::from_utf8_lossy(file).into_owned());
    let mut squeezed = Zeroizing::new(String::with_capacity(text.len()));
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\\' {
            while characters.next_if_eq(&'\\').is_some() {}
            characters.next_if(|next| matches!(next, 'n' | 'r'));
            continue;
        }
        let is_invisible = matches!(character, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}');
        if !character.is_whitespace() && !is_invisible {
            squeezed.push(character);
        }
    }
    squeezed
}

/// Restores the lines of a file without line breaks that contains `\n` as two characters.
fn with_line_breaks(file: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut lines = Zeroizing::new(Vec::with_capacity(file.len()));
    if file.contains(&b'\n') {
        lines.extend_from_slice(file);
        return lines;
    }
    let mut rest = file;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [b'n', after @ ..]) => {
                lines.push(b'\n');
                rest = after;
            }
            (b'\\', [b'r', after @ ..]) => rest = after,
            (byte, _) => lines.push(*byte),
        }
    }
    lines
}

fn unquote(file: &[u8]) -> &[u8] {
    match file {
        [b'"', within @ .., b'"'] | [b'\'', within @ .., b'\''] => within.trim_ascii(),
        _ => file,
    }
}

fn is_public(squeezed: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-", "----BEGINSSH2PUBLIC", "-----BEGINPUBLIC", "-----BEGINRSAPUBLIC"]
        .iter()
        .any(|start| squeezed.starts_with(start))
}
