//! Version 1 of the Encord SDK's signatures. They are recognised so that the refusal can name them: they only cover the
//! body and never expire.

use http::HeaderValue;

/// Returns whether this is a signature of version 1 of the Encord SDK: the raw Ed25519 key, a colon and the signature,
/// in hexadecimal digits.
#[must_use]
pub fn is_encord_version_1(authorization: &HeaderValue) -> bool {
    let is_hex = |text: &[u8], digits: usize| text.len() == digits && text.iter().all(u8::is_ascii_hexdigit);
    let mut parts = authorization.as_bytes().splitn(2, |byte| *byte == b':');
    match (parts.next(), parts.next()) {
        (Some(key), Some(signature)) => is_hex(key, 64) && is_hex(signature, 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_1_signature_is_recognised_by_its_form() {
        let (key, signature) = ("0a".repeat(32), "fF".repeat(64));
        let is = |text: &str| is_encord_version_1(&HeaderValue::from_str(text).unwrap());
        assert!(is(&format!("{key}:{signature}")));
        for other in [
            String::new(),
            key.clone(),
            format!("{key}:"),
            format!("{key}{signature}"),
            format!("{key}:{signature}0"),
            format!("{key}:{signature}:{signature}"),
            format!("Bearer {key}:{signature}"),
            format!("{}:{signature}", key.replace('0', "g")),
        ] {
            assert!(!is(&other), "{other}");
        }
    }
}
