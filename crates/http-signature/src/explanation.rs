//! The signature base of a received request, for its sender to compare with the signed one. Values that the sender may
//! not know are replaced by their length and hash, because a proxy may have added a field with a secret.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::component::{Component, ComponentError, write_value};
use crate::message::{Message, RequestView};
use crate::parameters::SignatureParameters;
use crate::profile::{
    CONTENT_DIGEST, Profile, SIGNATURE, SIGNATURE_INPUT, check_request_line, choose_signature, combined_field,
    is_component_of,
};

/// Replaces the value of a covered component that the message does not have.
const MISSING: &str = "(missing)";
/// Replaces a value that cannot be part of a signature base.
const UNSIGNABLE: &str = "(not one line of ASCII)";
/// Replaces the value of a component that the profile does not support.
const NOT_SUPPORTED: &str = "(not supported)";

/// Returns the signature base of a received request as its verifier computes it, in the form of
/// [`mask_signature_base`]. Components without a value have a text in parentheses. Returns `None` if the request has no
/// signature of a profile.
#[must_use]
pub fn explain_signature_base(request: &RequestView<'_>) -> Option<String> {
    let input_field = combined_field(request.headers, &SIGNATURE_INPUT, "Signature-Input").ok()??;
    let signature_field = combined_field(request.headers, &SIGNATURE, "Signature").ok()??;
    check_request_line(request).ok()?;
    let (profile, input, _) = choose_signature(&input_field, &signature_field).ok()?;
    Some(explain(profile, &input, &Message::request(*request)))
}

fn explain(profile: Profile, input: &SignatureParameters<'_>, message: &Message<'_>) -> String {
    let mut text = String::with_capacity(768);
    for component in &input.components {
        component.serialize(&mut text);
        text.push_str(": ");
        write_explained(profile, component, message, &mut text);
        text.push('\n');
    }
    text.push_str("\"@signature-params\": ");
    text.push_str(&input.serialize());
    text
}

fn write_explained(profile: Profile, component: &Component<'_>, message: &Message<'_>, out: &mut String) {
    if !is_component_of(profile, component) {
        out.push_str(NOT_SUPPORTED);
        return;
    }
    let mut value = String::new();
    match write_value(component, message, &mut value) {
        Ok(()) if is_shown(component.name) => out.push_str(&value),
        Ok(()) => push_masked(&value, out),
        Err(ComponentError::Missing(_)) => out.push_str(MISSING),
        Err(ComponentError::BadValue(_)) => out.push_str(UNSIGNABLE),
        Err(ComponentError::Unknown(_)) => out.push_str(NOT_SUPPORTED),
    }
}

/// Returns a signature base (RFC 9421 §2.5) in which `length=…, sha-256=…` replaces the values of all fields except
/// `content-digest`. The hash is in hexadecimal, over the value in the base.
#[must_use]
pub fn mask_signature_base(base: &str) -> String {
    let mut text = String::with_capacity(base.len());
    for (index, line) in base.split('\n').enumerate() {
        if index > 0 {
            text.push('\n');
        }
        match line.split_once("\": ") {
            Some((name, value)) if !is_shown(name.trim_start_matches('"')) => {
                text.push_str(name);
                text.push_str("\": ");
                push_masked(value, &mut text);
            }
            _ => text.push_str(line),
        }
    }
    text
}

/// Returns whether a component is one that a profile requires. Its sender knows the value, or has to find out how it
/// was changed.
fn is_shown(name: &str) -> bool {
    name.starts_with('@') || name == CONTENT_DIGEST
}

fn push_masked(value: &str, out: &mut String) {
    // Writing to a String cannot fail.
    _ = write!(out, "length={}, sha-256=", value.len());
    for byte in Sha256::digest(value.as_bytes()) {
        _ = write!(out, "{byte:02x}");
    }
}
