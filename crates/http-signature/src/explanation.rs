//! The signature base of a received request, for its sender to compare with what was signed. Values that the sender may not
//! know are replaced by their length and hash: a proxy on the way may have added a field that holds a secret.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::component::{Component, ComponentError, write_value};
use crate::message::{Message, RequestView};
use crate::parameters::SignatureParameters;
use crate::profile::{
    CONTENT_DIGEST, Profile, SIGNATURE, SIGNATURE_INPUT, check_request_line, choose_signature, combined_field,
    is_component_of,
};

/// What stands for the value of a covered component that the message does not have.
const MISSING: &str = "(missing)";
/// What stands for a value that cannot be part of a signature base.
const UNSIGNABLE: &str = "(not one line of ASCII)";
/// What stands for the value of a component that the profile does not take.
const NOT_SUPPORTED: &str = "(not supported)";

/// The signature base of a received request as its verifier computes it, as [`mask_signature_base`] writes it. What has no
/// value is in parentheses. `None` where the request has no signature that a profile takes.
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

/// A signature base (RFC 9421 §2.5) with `length=…, sha-256=…` in place of the values of all fields but `content-digest`. The
/// hash is in hexadecimal, over the value as it stands in the base.
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

/// Whether a component is one that a profile requires. Its sender knows such a value, or must learn what became of it.
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
