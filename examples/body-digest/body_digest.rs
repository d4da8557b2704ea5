use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256, Sha512};

/// Whether every digest of a Content-Digest header is that of the body.
pub fn body_matches(content_digest: &str, body: &[u8]) -> bool {
    content_digest.split(',').all(|member| match member.trim().split_once('=') {
        Some(("sha-256", value)) => value == format!(":{}:", STANDARD.encode(Sha256::digest(body))),
        Some(("sha-512", value)) => value == format!(":{}:", STANDARD.encode(Sha512::digest(body))),
        _ => false,
    })
}
