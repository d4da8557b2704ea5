//! The value of each component: HTTP fields (RFC 9421 §2.1) and derived components (§2.2). Values are written to the
//! signature base as received, except for the normalisation in those sections.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

use crate::message::{Head, Message, RequestView, StructuredFieldType};
use crate::structured::{BareItem, Parameter};

/// A component identifier: a field name in lower case or a derived component such as `@method`, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component<'a> {
    /// The component name.
    pub name: &'a str,
    /// `sf`, `key`, `bs`, `tr`, `req`, `name`, in the order received.
    pub parameters: Vec<Parameter<'a>>,
}

impl<'a> Component<'a> {
    /// Creates a component without parameters.
    #[must_use]
    pub fn new(name: &'a str) -> Self {
        Self { name, parameters: Vec::new() }
    }

    /// Returns whether both are the same component. The order of parameters does not matter (RFC 9421 §2).
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.parameters.len() == other.parameters.len()
            && self.parameters.iter().all(|parameter| other.parameters.contains(parameter))
    }

    pub(crate) fn serialize(&self, out: &mut String) {
        BareItem::String(self.name).serialize(out);
        for parameter in &self.parameters {
            parameter.serialize(out);
        }
    }
}

/// Why a covered component has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// The message has no such field, member, query parameter or related request.
    #[error("the signature covers {0}, which the message does not have")]
    Missing(String),
    /// A derived component or a component parameter that RFC 9421 does not define, or does not define for this message.
    #[error("the signature covers {0}, which is not defined for this message")]
    Unknown(String),
    /// The value is not one line of ASCII, or not a structured field of its type.
    #[error("the value of {0} cannot be part of a signature base")]
    BadValue(String),
}

pub(crate) fn write_value(
    component: &Component<'_>,
    message: &Message<'_>,
    out: &mut String,
) -> Result<(), ComponentError> {
    if component.name.starts_with('@') {
        write_derived(component, message, out)
    } else {
        write_field(component, message, out)
    }
}

fn write_derived(component: &Component<'_>, message: &Message<'_>, out: &mut String) -> Result<(), ComponentError> {
    let unknown = || ComponentError::Unknown(describe(component));
    let mut related_request = false;
    let mut query_name = None;
    for parameter in &component.parameters {
        match (parameter.key, parameter.value) {
            ("req", BareItem::Boolean(true)) => related_request = true,
            ("name", value) if component.name == "@query-param" => {
                query_name = Some(value.as_plain_string().ok_or_else(unknown)?);
            }
            _ => return Err(unknown()),
        }
    }
    let request = match (&message.head, related_request) {
        (Head::Request(request), false) => request,
        (Head::Response(response), true) => {
            response.request.as_ref().ok_or_else(|| ComponentError::Missing(describe(component)))?
        }
        (Head::Response(response), false) if component.name == "@status" => {
            out.push_str(&response.status.to_string());
            return Ok(());
        }
        _ => return Err(unknown()),
    };
    match component.name {
        "@method" => push_visible(request.method, component, out)?,
        "@target-uri" => {
            push_scheme(request, component, out)?;
            out.push_str("://");
            push_authority(request, component, out)?;
            if request.target.is_empty() || request.target.starts_with('?') {
                out.push('/');
            }
            push_visible(request.target, component, out)?;
        }
        "@authority" => push_authority(request, component, out)?,
        "@scheme" => push_scheme(request, component, out)?,
        "@request-target" => push_visible(request.target, component, out)?,
        "@path" => {
            let (path, _) = split_target(request.target);
            push_visible(if path.is_empty() { "/" } else { path }, component, out)?;
        }
        "@query" => {
            out.push('?');
            push_visible(split_target(request.target).1, component, out)?;
        }
        "@query-param" => {
            let name = query_name.ok_or_else(unknown)?;
            let value =
                query_parameter(request.target, name).ok_or_else(|| ComponentError::Missing(describe(component)))?;
            out.push_str(&value);
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

/// Splits a target into path and query, without the question mark between them.
fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

fn push_scheme(request: &RequestView<'_>, component: &Component<'_>, out: &mut String) -> Result<(), ComponentError> {
    let start = out.len();
    push_visible(request.scheme, component, out)?;
    make_lowercase_from(out, start);
    Ok(())
}

/// RFC 9421 §2.2.3: lower case, without the default port of the scheme.
fn push_authority(
    request: &RequestView<'_>,
    component: &Component<'_>,
    out: &mut String,
) -> Result<(), ComponentError> {
    let default_port = if request.scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else if request.scheme.eq_ignore_ascii_case("http") {
        ":80"
    } else {
        ""
    };
    let authority = request.authority.strip_suffix(default_port).unwrap_or(request.authority);
    if authority.is_empty() {
        return Err(ComponentError::Missing(describe(component)));
    }
    let start = out.len();
    push_visible(authority, component, out)?;
    make_lowercase_from(out, start);
    Ok(())
}

fn make_lowercase_from(out: &mut str, start: usize) {
    if let Some(tail) = out.get_mut(start..) {
        tail.make_ascii_lowercase();
    }
}

/// Refuses line breaks. With a line break in its value, one component could look like two.
fn push_visible(value: &str, component: &Component<'_>, out: &mut String) -> Result<(), ComponentError> {
    if value.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        out.push_str(value);
        Ok(())
    } else {
        Err(ComponentError::BadValue(describe(component)))
    }
}

/// RFC 9421 §2.2.8. Returns `None` if the parameter is missing or occurs more than once.
fn query_parameter(target: &str, encoded_name: &str) -> Option<String> {
    let wanted = decode_form(encoded_name);
    let mut found = None;
    for pair in split_target(target).1.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode_form(name) == wanted && found.replace(value).is_some() {
            return None;
        }
    }
    found.map(|value| encode_form(&decode_form(value)))
}

/// Decodes `application/x-www-form-urlencoded` (WHATWG URL §5.1) to bytes.
fn decode_form(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = match (byte, bytes.get(index + 1), bytes.get(index + 2)) {
            (b'%', Some(&high), Some(&low)) => hex_value(high).zip(hex_value(low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            decoded.push(high << 4 | low);
            index += 3;
        } else {
            decoded.push(if byte == b'+' { b' ' } else { byte });
            index += 1;
        }
    }
    // The standard decodes as UTF-8 with replacement characters before it encodes again.
    String::from_utf8_lossy(&decoded).into_owned().into_bytes()
}

pub(crate) fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Percent-encodes with the form set, but with `%20` for a space (RFC 9421 §2.2.8).
fn encode_form(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn write_field(component: &Component<'_>, message: &Message<'_>, out: &mut String) -> Result<(), ComponentError> {
    let unknown = || ComponentError::Unknown(describe(component));
    let missing = || ComponentError::Missing(describe(component));
    let (mut strict, mut binary, mut trailer, mut related_request, mut key) = (false, false, false, false, None);
    for parameter in &component.parameters {
        match (parameter.key, parameter.value) {
            ("sf", BareItem::Boolean(true)) => strict = true,
            ("bs", BareItem::Boolean(true)) => binary = true,
            ("tr", BareItem::Boolean(true)) => trailer = true,
            ("req", BareItem::Boolean(true)) => related_request = true,
            ("key", value) => key = Some(value.as_plain_string().ok_or_else(unknown)?),
            _ => return Err(unknown()),
        }
    }
    // RFC 9421 §2.1: a wrapped value is no longer a structured field.
    if binary && (strict || key.is_some()) {
        return Err(unknown());
    }
    if let Some((_, value)) = message.added_field.filter(|(name, _)| *name == component.name) {
        if component.parameters.is_empty() {
            out.push_str(value);
            return Ok(());
        }
        return Err(unknown());
    }
    let fields = match (&message.head, related_request, trailer) {
        (_, false, false) => message.headers(),
        (_, false, true) => message.trailers.ok_or_else(missing)?,
        (Head::Response(response), true, false) => response.request.as_ref().ok_or_else(missing)?.headers,
        _ => return Err(unknown()),
    };
    let name = field_name(component.name).ok_or_else(unknown)?;
    if !fields.contains_key(&name) {
        return Err(missing());
    }
    if binary {
        return write_binary_wrapped(fields, &name, component, out);
    }
    let start = out.len();
    push_combined(fields, &name, out).map_err(|NotAscii| ComponentError::BadValue(describe(component)))?;
    if strict || key.is_some() {
        let combined = out.get(start..).unwrap_or_default();
        let serialized = match key {
            Some(key) => serialize_member(combined, key),
            None => serialize_structured(combined, message.field_type(component.name).ok_or_else(unknown)?),
        };
        let serialized = serialized.map_err(|()| ComponentError::BadValue(describe(component)))?;
        out.truncate(start);
        out.push_str(&serialized.ok_or_else(missing)?);
    }
    Ok(())
}

/// Returns a valid field name. Field names are covered in lower case only (RFC 9421 §2.1).
fn field_name(name: &str) -> Option<HeaderName> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    HeaderName::from_bytes(name.as_bytes()).ok()
}

/// A field value with a byte that is not visible ASCII, space or tab.
pub(crate) struct NotAscii;

/// RFC 9421 §2.1: every line's value trimmed, joined by a comma and a space.
pub(crate) fn push_combined(fields: &HeaderMap, name: &HeaderName, out: &mut String) -> Result<(), NotAscii> {
    for (index, value) in fields.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(trim_field(value.to_str().map_err(|_| NotAscii)?));
    }
    Ok(())
}

pub(crate) fn trim_field(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// RFC 9421 §2.1.3.
fn write_binary_wrapped(
    fields: &HeaderMap,
    name: &HeaderName,
    component: &Component<'_>,
    out: &mut String,
) -> Result<(), ComponentError> {
    for (index, value) in fields.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        let bytes = value.as_bytes().trim_ascii();
        if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(ComponentError::BadValue(describe(component)));
        }
        out.push(':');
        STANDARD.encode_string(bytes, out);
        out.push(':');
    }
    Ok(())
}

/// RFC 9421 §2.1.2. Returns `Ok(None)` if the dictionary does not have this member.
fn serialize_member(combined: &str, key: &str) -> Result<Option<String>, ()> {
    let dictionary = sfv::Parser::new(combined).parse::<sfv::Dictionary>().map_err(|_| ())?;
    let key = sfv::KeyRef::from_str(key).map_err(|_| ())?;
    let Some(member) = dictionary.get(key) else { return Ok(None) };
    // A list with one member is serialised like the value of a dictionary member.
    let mut list = sfv::ListSerializer::new();
    list.members([member]);
    Ok(list.finish())
}

/// RFC 9421 §2.1.1.
fn serialize_structured(combined: &str, field_type: StructuredFieldType) -> Result<Option<String>, ()> {
    use sfv::FieldType as _;
    let parser = sfv::Parser::new(combined);
    match field_type {
        StructuredFieldType::Dictionary => {
            let dictionary = parser.parse::<sfv::Dictionary>().map_err(|_| ())?;
            // An empty dictionary is serialised as an empty value.
            Ok(Some(dictionary.serialize().unwrap_or_default()))
        }
        StructuredFieldType::List => {
            let list = parser.parse::<sfv::List>().map_err(|_| ())?;
            Ok(Some(list.serialize().unwrap_or_default()))
        }
        StructuredFieldType::Item => parser.parse::<sfv::Item>().map(|item| Some(item.serialize())).map_err(|_| ()),
    }
}

fn describe(component: &Component<'_>) -> String {
    let mut text = String::new();
    BareItem::String(component.name).serialize(&mut text);
    for parameter in &component.parameters {
        parameter.serialize(&mut text);
    }
    text
}
