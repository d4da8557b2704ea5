//! The requirements of a profile, and the parsing of a received request into an `UnverifiedSignature`. Everything that
//! a profile does not list is refused here. Other errors are reported after the signature was verified, in `verified`.

use std::borrow::Cow;
use std::ops::Range;

use http::{HeaderMap, HeaderName};

use crate::algorithm::Algorithm;
use crate::component::{Component, ComponentError, push_combined, trim_field};
use crate::message::{Message, RequestView};
use crate::parameters::{ParametersError, SignatureParameters};
use crate::structured::{BareItem, Parser, SyntaxError};

/// The maximum number of labels in a request.
pub const MAX_LABELS: usize = 4;
/// The value of the `tag` parameter of the native profile.
pub const NATIVE_TAG: &str = "keyward";
/// The label of the Encord SDK's signatures.
pub const ENCORD_LABEL: &str = "encord-sig";
/// The maximum number of seconds between `created` and `expires` of the native profile.
pub const NATIVE_MAX_LIFETIME_SECONDS: i64 = 60;
/// The minimum number of characters of a native nonce: 22 characters of base64 have 128 bits.
pub const NONCE_MIN_CHARACTERS: usize = 22;
/// The maximum number of characters of a native nonce.
pub const NONCE_MAX_CHARACTERS: usize = 128;
/// The maximum number of characters of a native key id.
pub const KEY_ID_MAX_CHARACTERS: usize = 128;
/// The value of an `Accept-Signature` field (RFC 9421 §5.1) that requests the native profile.
pub const ACCEPT_SIGNATURE: &str = "keyward=(\"@method\" \"@authority\" \"@target-uri\" \"content-digest\")\
    ;created;expires;nonce;keyid;tag=\"keyward\"";

const ENCORD_COMPONENTS: [&str; 3] = ["@method", "@request-target", "content-digest"];
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("signature");
pub(crate) const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// An application profile of RFC 9421 (§1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// RFC 9421 and RFC 9530, identified by `tag="keyward"`.
    Native,
    /// The signatures of the Encord Python SDK: no host, no nonce, no expiry.
    Encord,
}

impl Profile {
    /// Returns how many seconds `created` may be in the past.
    #[must_use]
    pub const fn past_window_seconds(self) -> i64 {
        match self {
            Self::Native => 60,
            Self::Encord => 300,
        }
    }

    /// Returns how many seconds `created` may be in the future.
    #[must_use]
    pub const fn future_window_seconds(self) -> i64 {
        match self {
            Self::Native => 30,
            Self::Encord => 60,
        }
    }

    pub(crate) fn required_components(self, method: &str, covers_target_uri: bool) -> &'static [&'static str] {
        match (self, covers_target_uri, is_safe_method(method)) {
            (Self::Native, true, true) => &["@method", "@authority"],
            (Self::Native, true, false) => &["@method", "@authority", CONTENT_DIGEST],
            (Self::Native, false, true) => &["@method", "@authority", "@path", "@query"],
            (Self::Native, false, false) => &["@method", "@authority", "@path", "@query", CONTENT_DIGEST],
            (Self::Encord, ..) => &ENCORD_COMPONENTS,
        }
    }
}

pub(crate) const CONTENT_DIGEST: &str = "content-digest";

/// Returns whether a method only reads (RFC 9110 §9.2.1). Its requests may be repeated, and need no digest. Methods are
/// case-sensitive (RFC 9110 §9.1).
#[must_use]
pub fn is_safe_method(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// Why a request's signature is refused before its key is looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not a structured field in canonical form.
    #[error("{field} is malformed: {reason}")]
    Malformed {
        /// The name of the field.
        field: &'static str,
        /// The position and the reason.
        reason: SyntaxError,
    },
    /// A byte that is not visible ASCII.
    #[error("{field} has a byte that is not visible ASCII")]
    NotAscii {
        /// The name of the field.
        field: &'static str,
    },
    /// The method, authority or target of the request cannot be signed. The target must begin with `/`.
    #[error("the request's {0} cannot be part of a signature")]
    BadRequest(&'static str),
    /// More than [`MAX_LABELS`].
    #[error("more than {MAX_LABELS} signatures in one request")]
    TooManyLabels,
    /// More than [`MAX_COMPONENTS`](crate::MAX_COMPONENTS).
    #[error("a signature covers more than {} components", crate::MAX_COMPONENTS)]
    TooManyComponents,
    /// A label occurs twice in a field.
    #[error("{field} has a label twice")]
    DuplicateLabel {
        /// The name of the field.
        field: &'static str,
    },
    /// A label occurs in only one of the two fields.
    #[error("a label is in only one of Signature-Input and Signature")]
    UnmatchedLabel,
    /// There are signatures, but none has `tag="keyward"` or the label `encord-sig`.
    #[error("no signature has a supported profile; sign with tag=\"keyward\"")]
    NoProfile,
    /// There are several signatures of a profile.
    #[error("several signatures have a supported profile; send one")]
    Ambiguous,
    /// A component occurs twice.
    #[error("the signature covers a component twice")]
    DuplicateComponent,
    /// A component or component parameter that the profile does not list.
    #[error("the signature covers {0}, which the profile does not allow")]
    UnexpectedComponent(String),
    /// The Encord profile covers exactly its three components, in its order.
    #[error("the label encord-sig covers exactly \"@method\" \"@request-target\" \"content-digest\", in this order")]
    EncordComponents,
    /// A covered field is not in the request, or cannot be signed.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The profile requires a signature parameter that is missing.
    #[error("the signature has no parameter `{0}`")]
    MissingParameter(&'static str),
    /// The profile does not accept the type or value of a signature parameter.
    #[error("the signature's parameter `{0}` has a value that the profile does not allow")]
    BadParameter(&'static str),
    /// A signature parameter that the profile does not list.
    #[error("the signature has the parameter `{0}`, which the profile does not allow")]
    UnexpectedParameter(String),
}

/// A signature of a profile in a request, which is parsed and not verified yet.
#[derive(Clone, Debug)]
pub struct UnverifiedSignature {
    pub(crate) profile: Profile,
    /// Key id and nonce are ranges of the base, because its last line contains them. They do not have to be copied.
    pub(crate) base: String,
    pub(crate) key_id: Range<usize>,
    pub(crate) nonce: Option<Range<usize>>,
    pub(crate) created: i64,
    pub(crate) expires: Option<i64>,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) signature: Vec<u8>,
    /// The first component that the profile requires and the signature does not cover.
    pub(crate) missing_component: Option<&'static str>,
}

impl UnverifiedSignature {
    /// Finds the single signature of a profile. Returns `Ok(None)` if the request has no signature.
    ///
    /// # Errors
    /// [`SignatureError`] if there are signatures, and not exactly one of a profile.
    pub fn parse(request: &RequestView<'_>) -> Result<Option<Self>, SignatureError> {
        let input_field = combined_field(request.headers, &SIGNATURE_INPUT, "Signature-Input")?;
        let signature_field = combined_field(request.headers, &SIGNATURE, "Signature")?;
        let (input_field, signature_field) = match (input_field, signature_field) {
            (None, None) => return Ok(None),
            (Some(input), Some(signature)) => (input, signature),
            _ => return Err(SignatureError::UnmatchedLabel),
        };
        check_request_line(request)?;
        let (profile, input, signature) = choose_signature(&input_field, &signature_field)?;
        let capacity = 256 + 2 * input_field.len() + 2 * request.target.len() + request.authority.len();
        Self::from_parts(request, profile, &input, signature, capacity).map(Some)
    }

    /// Returns the profile of the signature.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Returns the key id as received. Native: visible ASCII, not checked further. Encord: exactly 64 lower-case hex
    /// digits.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.base.get(self.key_id.clone()).unwrap_or_default()
    }

    /// Returns the signing time that the signer reports, in Unix seconds.
    #[must_use]
    pub fn created(&self) -> i64 {
        self.created
    }

    fn from_parts(
        request: &RequestView<'_>,
        profile: Profile,
        input: &SignatureParameters<'_>,
        signature: Vec<u8>,
        capacity: usize,
    ) -> Result<Self, SignatureError> {
        check_components(profile, input)?;
        let parameters = ProfileParameters::read(profile, input)?;
        let mut base = String::with_capacity(capacity);
        let (mut key_id, mut nonce) = (0..0, None);
        input.write_base(&Message::request(*request), &mut base, &mut |key, value| match key {
            "keyid" => key_id = within_quotes(&value),
            "nonce" => nonce = Some(within_quotes(&value)),
            _ => {}
        })?;
        let covers_target_uri = profile == Profile::Native && input.covers("@target-uri");
        let required = profile.required_components(request.method, covers_target_uri);
        Ok(Self {
            profile,
            base,
            key_id,
            nonce,
            created: parameters.created,
            expires: parameters.expires,
            algorithm: parameters.algorithm,
            signature,
            missing_component: required.iter().find(|name| !input.covers(name)).copied(),
        })
    }
}

/// Returns the single signature of a profile: its components, parameters and bytes.
pub(crate) fn choose_signature<'a>(
    input_field: &'a str,
    signature_field: &'a str,
) -> Result<(Profile, SignatureParameters<'a>, Vec<u8>), SignatureError> {
    let mut signatures = parse_signatures(signature_field)?;
    let inputs = parse_inputs(input_field)?;
    if inputs.len() != signatures.len() {
        return Err(SignatureError::UnmatchedLabel);
    }
    let mut chosen = None;
    for (label, input) in inputs {
        let (_, signature) =
            signatures.iter_mut().find(|(other, _)| *other == label).ok_or(SignatureError::UnmatchedLabel)?;
        let Some(profile) = profile_of(label, &input) else { continue };
        if chosen.replace((profile, input, std::mem::take(signature))).is_some() {
            return Err(SignatureError::Ambiguous);
        }
    }
    chosen.ok_or(SignatureError::NoProfile)
}

/// The signature parameters of a profile, with checked types.
struct ProfileParameters {
    created: i64,
    expires: Option<i64>,
    algorithm: Option<Algorithm>,
}

impl ProfileParameters {
    fn read(profile: Profile, input: &SignatureParameters<'_>) -> Result<Self, SignatureError> {
        let (mut created, mut expires, mut key_id, mut algorithm) = (None, None, None, None);
        for parameter in &input.parameters {
            match (parameter.key, profile) {
                ("created", _) => created = Some(seconds(parameter.value, "created")?),
                ("keyid", _) => key_id = Some(plain_string(parameter.value, "keyid")?),
                ("alg", _) => {
                    let name = plain_string(parameter.value, "alg")?;
                    algorithm = Some(Algorithm::from_name(name).ok_or(SignatureError::BadParameter("alg"))?);
                }
                ("expires", Profile::Native) => expires = Some(seconds(parameter.value, "expires")?),
                ("nonce", Profile::Native) => _ = plain_string(parameter.value, "nonce")?,
                // Its value determined the profile.
                ("tag", Profile::Native) => {}
                _ => return Err(SignatureError::UnexpectedParameter(parameter.key.to_owned())),
            }
        }
        let key_id = key_id.ok_or(SignatureError::MissingParameter("keyid"))?;
        let valid_key_id = match profile {
            Profile::Native => (1..=KEY_ID_MAX_CHARACTERS).contains(&key_id.len()) && is_visible(key_id),
            Profile::Encord => {
                key_id.len() == 64 && key_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }
        };
        if !valid_key_id {
            return Err(SignatureError::BadParameter("keyid"));
        }
        match (profile, algorithm) {
            (Profile::Native, Some(Algorithm::HmacSha256)) => return Err(SignatureError::BadParameter("alg")),
            (Profile::Native, _) | (Profile::Encord, Some(Algorithm::Ed25519)) => {}
            (Profile::Encord, None) => return Err(SignatureError::MissingParameter("alg")),
            (Profile::Encord, Some(_)) => return Err(SignatureError::BadParameter("alg")),
        }
        let created = created.ok_or(SignatureError::MissingParameter("created"))?;
        Ok(Self { created, expires, algorithm })
    }
}

fn plain_string<'a>(value: BareItem<'a>, name: &'static str) -> Result<&'a str, SignatureError> {
    value.as_plain_string().ok_or(SignatureError::BadParameter(name))
}

fn seconds(value: BareItem<'_>, name: &'static str) -> Result<i64, SignatureError> {
    match value {
        BareItem::Integer(seconds) if seconds >= 0 => Ok(seconds),
        _ => Err(SignatureError::BadParameter(name)),
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'!'..=b'~'))
}

fn check_components(profile: Profile, input: &SignatureParameters<'_>) -> Result<(), SignatureError> {
    let unexpected = input.components.iter().find(|component| !is_component_of(profile, component));
    if let Some(component) = unexpected {
        return Err(SignatureError::UnexpectedComponent(component.name.to_owned()));
    }
    if profile == Profile::Encord && !input.components.iter().map(|component| component.name).eq(ENCORD_COMPONENTS) {
        return Err(SignatureError::EncordComponents);
    }
    Ok(())
}

/// Returns whether a profile accepts a component.
pub(crate) fn is_component_of(profile: Profile, component: &Component<'_>) -> bool {
    let is_named = match profile {
        Profile::Native => {
            !component.name.starts_with('@')
                || matches!(component.name, "@method" | "@authority" | "@target-uri" | "@path" | "@query")
        }
        Profile::Encord => ENCORD_COMPONENTS.contains(&component.name),
    };
    is_named && component.parameters.is_empty()
}

fn profile_of(label: &str, input: &SignatureParameters<'_>) -> Option<Profile> {
    if input.parameter("tag") == Some(BareItem::String(NATIVE_TAG)) {
        Some(Profile::Native)
    } else if label == ENCORD_LABEL {
        Some(Profile::Encord)
    } else {
        None
    }
}

/// Refuses a method that is not a token, and a target that is not in origin-form. Another recipient would interpret
/// them as another request.
pub(crate) fn check_request_line(request: &RequestView<'_>) -> Result<(), SignatureError> {
    if request.method.is_empty() || !request.method.bytes().all(is_token_byte) {
        return Err(SignatureError::BadRequest("method"));
    }
    if !matches!(request.scheme, "http" | "https") {
        return Err(SignatureError::BadRequest("scheme"));
    }
    if request.authority.is_empty()
        || !is_visible(request.authority)
        || request.authority.contains(['@', '/', '?', '#', '\\', ','])
    {
        return Err(SignatureError::BadRequest("authority"));
    }
    if !request.target.starts_with('/') || !is_visible(request.target) || request.target.contains('#') {
        return Err(SignatureError::BadRequest("target"));
    }
    Ok(())
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns all lines of a field as one value (RFC 9421 §4.1 and §4.2 refer to RFC 8941 §4.2).
pub(crate) fn combined_field<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    field: &'static str,
) -> Result<Option<Cow<'a, str>>, SignatureError> {
    let mut lines = headers.get_all(name).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    if lines.next().is_none() {
        let value = first.to_str().map_err(|_| SignatureError::NotAscii { field })?;
        return Ok(Some(Cow::Borrowed(trim_field(value))));
    }
    let mut combined = String::new();
    push_combined(headers, name, &mut combined).map_err(|_| SignatureError::NotAscii { field })?;
    Ok(Some(Cow::Owned(combined)))
}

fn parse_signatures(field: &str) -> Result<Vec<(&str, Vec<u8>)>, SignatureError> {
    parse_labels(field, "Signature", |parser| {
        parser.byte_sequence().map_err(|reason| SignatureError::Malformed { field: "Signature", reason })
    })
}

fn parse_inputs(field: &str) -> Result<Vec<(&str, SignatureParameters<'_>)>, SignatureError> {
    parse_labels(field, "Signature-Input", |parser| {
        SignatureParameters::parse_member(parser).map_err(|error| match error {
            ParametersError::Syntax(reason) => SignatureError::Malformed { field: "Signature-Input", reason },
            ParametersError::TooManyComponents => SignatureError::TooManyComponents,
            ParametersError::DuplicateComponent => SignatureError::DuplicateComponent,
        })
    })
}

fn parse_labels<'a, T>(
    field: &'a str,
    name: &'static str,
    mut value: impl FnMut(&mut Parser<'a>) -> Result<T, SignatureError>,
) -> Result<Vec<(&'a str, T)>, SignatureError> {
    let malformed = |reason| SignatureError::Malformed { field: name, reason };
    let mut members: Vec<(&str, T)> = Vec::with_capacity(1);
    let mut parser = Parser::new(field);
    loop {
        let label = parser.member_key().map_err(malformed)?;
        if members.iter().any(|(earlier, _)| *earlier == label) {
            return Err(SignatureError::DuplicateLabel { field: name });
        }
        if members.len() == MAX_LABELS {
            return Err(SignatureError::TooManyLabels);
        }
        members.push((label, value(&mut parser)?));
        parser.member_end().map_err(malformed)?;
        if parser.at_end() {
            return Ok(members);
        }
    }
}

/// Returns the range of a string parameter's text inside its serialisation.
fn within_quotes(value: &Range<usize>) -> Range<usize> {
    value.start + 1..value.end - 1
}
