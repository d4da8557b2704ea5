//! The form of a public key in the database.

use std::borrow::Cow;

use domain::api_key::ApiKey;

/// The first byte of the public key of a key with limits. No key begins with it, so a node of a release that knows no
/// limits cannot read it, and so cannot accept the key without them.
const LIMITED: u8 = 0xff;

/// Returns the form of a public key in the database.
pub(crate) fn stored_blob(key: &ApiKey, is_limited: bool) -> Cow<'_, [u8]> {
    let blob = key.public_key.blob();
    if is_limited { [&[LIMITED], blob].concat().into() } else { blob.into() }
}

/// Returns the public key of its form in the database.
pub(crate) fn without_mark(stored: &[u8]) -> &[u8] {
    stored.strip_prefix(&[LIMITED]).unwrap_or(stored)
}
