//! The identity of a request, from Keyward's answer.

use domain::{ApiKeyId, PrincipalId, WorkspaceId, role::Role};
use http::{HeaderMap, HeaderName};

/// The headers of Keyward's answer, which clients must not send.
pub(super) const IDENTITY_HEADERS: [HeaderName; 11] = [
    HeaderName::from_static("remote-user"),
    HeaderName::from_static("remote-email"),
    HeaderName::from_static("remote-name"),
    HeaderName::from_static("remote-groups"),
    HeaderName::from_static("keyward-principal"),
    HeaderName::from_static("keyward-workspace"),
    HeaderName::from_static("keyward-role"),
    HeaderName::from_static("keyward-key"),
    HeaderName::from_static("keyward-scopes"),
    HeaderName::from_static("keyward-email-verified"),
    HeaderName::from_static("keyward-content-digest-verified"),
];

/// The identity of a request. [`KeywardLayer`](super::KeywardLayer) adds it to the extensions of each request with a
/// credential. A request without a credential is only accepted if a route requires `anyone`, and has no identity.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Identity {
    /// The user or the service account. Use it as the key in your own tables.
    pub principal: PrincipalId,
    /// A user's email address, or a service account's address.
    pub email: String,
    /// Whether the holder of the email address followed a link that was mailed to it.
    pub email_verified: bool,
    /// The name.
    pub name: String,
    /// The workspaces of the principal.
    pub groups: Vec<Group>,
    /// The workspace of the request. `None` if the principal has several and the request does not select one.
    pub workspace: Option<WorkspaceId>,
    /// The role in that workspace.
    pub role: Option<Role>,
    /// The key that was used.
    pub key: Option<ApiKeyId>,
    /// The scopes of the key.
    pub scopes: Vec<String>,
    /// Whether the body is the one that was signed.
    pub body_verified: bool,
}

/// A workspace of a principal.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Group {
    /// The workspace's slug.
    pub slug: String,
    /// The role in the workspace.
    pub role: Role,
}

/// An answer that is not from Keyward, or has values that are unknown to this release.
#[derive(Debug)]
pub(super) struct UnknownAnswer(pub(super) HeaderName);

impl Identity {
    /// Parses the headers of an answer. Returns `Ok(None)` if all are empty.
    pub(super) fn read(headers: &HeaderMap) -> Result<Option<Self>, UnknownAnswer> {
        let values = Values(headers);
        let [user, email, name, groups, principal, workspace, role, key, scopes, email_verified, body] =
            IDENTITY_HEADERS.map(|name| values.one(name));
        let texts =
            [&user, &email, &name, &groups, &principal, &workspace, &role, &key, &scopes, &email_verified, &body];
        if texts.iter().all(|text| matches!(text, Ok((_, "")))) {
            return Ok(None);
        }
        // Every user has an email address.
        user?;
        Ok(Some(Self {
            principal: parse(principal?)?,
            email: email?.1.to_owned(),
            email_verified: parse(email_verified?)?,
            name: decode(name?)?,
            groups: parse_groups(groups?)?,
            workspace: parse_optional(workspace?)?,
            role: parse_optional(role?)?,
            key: parse_optional(key?)?,
            scopes: scopes?.1.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
            body_verified: parse(body?)?,
        }))
    }
}

struct Values<'a>(&'a HeaderMap);

/// A header and its value.
type Value<'a> = (HeaderName, &'a str);

impl<'a> Values<'a> {
    /// Returns the single value of a header. Keyward sends each header exactly once, with or without a value.
    fn one(&self, name: HeaderName) -> Result<Value<'a>, UnknownAnswer> {
        let mut values = self.0.get_all(&name).iter();
        match (values.next().map(|value| value.to_str()), values.next()) {
            (Some(Ok(value)), None) => Ok((name, value)),
            _ => Err(UnknownAnswer(name)),
        }
    }
}

fn parse<T: std::str::FromStr>((name, value): Value<'_>) -> Result<T, UnknownAnswer> {
    value.parse().map_err(|_| UnknownAnswer(name))
}

fn parse_optional<T: std::str::FromStr>((name, value): Value<'_>) -> Result<Option<T>, UnknownAnswer> {
    if value.is_empty() { Ok(None) } else { parse((name, value)).map(Some) }
}

fn parse_groups((name, value): Value<'_>) -> Result<Vec<Group>, UnknownAnswer> {
    let groups = value.split(',').filter(|group| !group.is_empty()).map(|group| {
        let (slug, role) = group.split_once(':')?;
        Some(Group { slug: slug.to_owned(), role: role.parse().ok()? })
    });
    groups.collect::<Option<_>>().ok_or(UnknownAnswer(name))
}

/// Percent-decodes UTF-8.
fn decode((name, value): Value<'_>) -> Result<String, UnknownAnswer> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let decoded = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        bytes.push(decoded.ok_or_else(|| UnknownAnswer(name.clone()))?);
    }
    String::from_utf8(bytes).map_err(|_| UnknownAnswer(name))
}
