//! Text around base64: the PEM blocks of RFC 7468 and the public key blocks of RFC 4716.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    blanks::{is_blank, to_comment, to_plain},
    error::PublicKeyError,
};

/// Why a block cannot be parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ArmourError {
    /// The BEGIN and END lines do not match, or there is other text around them.
    Broken,
    /// Another block follows.
    Several,
    /// The body is not canonical base64.
    Base64,
}

impl From<ArmourError> for PublicKeyError {
    fn from(error: ArmourError) -> Self {
        match error {
            ArmourError::Broken => Self::BrokenBlock,
            ArmourError::Several => Self::SeveralKeys,
            ArmourError::Base64 => Self::Base64,
        }
    }
}

/// Parses one PEM block without headers, and returns its label and content.
pub(crate) fn read_pem(text: &str) -> Result<(&str, Vec<u8>), ArmourError> {
    let mut lines = text.trim().lines().map(str::trim_end);
    let label = lines
        .next()
        .and_then(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .ok_or(ArmourError::Broken)?;
    let mut body = String::new();
    let end = lines.by_ref().find(|line| {
        let is_end = line.starts_with('-');
        if !is_end {
            body.push_str(line);
        }
        is_end
    });
    let end_label = end.and_then(|line| line.strip_prefix("-----END ")?.strip_suffix("-----"));
    if end_label != Some(label) {
        return Err(ArmourError::Broken);
    }
    expect_end(lines)?;
    Ok((label, STANDARD.decode(body).map_err(|_| ArmourError::Base64)?))
}

/// Parses the single PEM block in a text, and returns its label without spaces, and its content. Spaces, line breaks
/// and text around the block are ignored (RFC 7468 §2).
pub(super) fn read_public_pem(text: &str) -> Result<(String, Result<Vec<u8>, ArmourError>), ArmourError> {
    let mut squeezed: String = to_plain(text).chars().filter(|c| !c.is_whitespace()).collect();
    // Escaped line breaks. Backslashes are not part of base64.
    squeezed = squeezed.replace("\\r", "").replace("\\n", "");
    let (_, rest) = squeezed.split_once("-----BEGIN").ok_or(ArmourError::Broken)?;
    let (label, rest) = rest.split_once("-----").ok_or(ArmourError::Broken)?;
    if rest.contains("-----BEGIN") {
        return Err(ArmourError::Several);
    }
    let body = rest.split_once(&format!("-----END{label}-----")).map(|(body, _)| body);
    let bytes = body.ok_or(ArmourError::Broken).and_then(|body| STANDARD.decode(body).map_err(|_| ArmourError::Base64));
    Ok((label.to_owned(), bytes))
}

/// Parses one RFC 4716 block, and returns its `Comment` header and content.
pub(super) fn read_ssh2(text: &str) -> Result<(Option<String>, Vec<u8>), ArmourError> {
    const BEGIN: &str = "---- BEGIN SSH2 PUBLIC KEY ----";
    const END: &str = "---- END SSH2 PUBLIC KEY ----";
    let mut lines = text.lines().map(|line| line.trim_matches(is_blank)).filter(|line| !line.is_empty());
    if lines.next() != Some(BEGIN) {
        return Err(ArmourError::Broken);
    }
    let mut comment = None;
    let mut body = String::new();
    loop {
        let line = lines.next().ok_or(ArmourError::Broken)?;
        if line == END {
            break;
        }
        let Some((tag, value)) = line.split_once(':') else {
            body.extend(to_plain(line).split(' '));
            continue;
        };
        // §3.3: headers come first. A backslash continues them on the next line.
        if !body.is_empty() {
            return Err(ArmourError::Broken);
        }
        let mut value = value.trim_start_matches(is_blank).to_owned();
        while value.ends_with('\\') {
            value.pop();
            value.push_str(lines.next().ok_or(ArmourError::Broken)?);
        }
        if tag.eq_ignore_ascii_case("comment") {
            let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&value);
            comment = Some(to_comment(unquoted)).filter(|comment| !comment.is_empty());
        }
    }
    expect_end(lines)?;
    Ok((comment, STANDARD.decode(body).map_err(|_| ArmourError::Base64)?))
}

fn expect_end<'a>(rest: impl Iterator<Item = &'a str>) -> Result<(), ArmourError> {
    match rest.into_iter().find(|line| !line.is_empty()) {
        None => Ok(()),
        Some(line) if line.contains("--BEGIN ") || line.contains("-- BEGIN ") => Err(ArmourError::Several),
        Some(_) => Err(ArmourError::Broken),
    }
}
