//! Typed, prefixed ids (TypeID): a prefix that tells the kind, then 26 characters of base32 of a UUIDv7.
//! An id of one kind does not compile where another is due, and does not parse there either.

use std::{fmt, hash::Hash, marker::PhantomData, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::clock::Random;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A kind of thing that has ids.
pub trait Kind: Copy + Eq + Ord + Hash + fmt::Debug + Send + Sync + 'static {
    /// What the id starts with, without the underscore.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $alias:ident, $prefix:literal;)*) => {$(
        #[doc = concat!("The kind of `", $prefix, "_` ids.")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $kind {}
        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
        }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )*};
}

kinds! {
    /// Names a workspace.
    WorkspaceKind, WorkspaceId, "ws";
    /// Names a user.
    UserKind, UserId, "usr";
    /// Names a service account.
    ServiceAccountKind, ServiceAccountId, "sa";
    /// Names an API key.
    ApiKeyKind, ApiKeyId, "key";
    /// Names a project.
    ProjectKind, ProjectId, "prj";
    /// Names an invitation.
    InvitationKind, InvitationId, "inv";
    /// Names an audit event.
    AuditEventKind, AuditEventId, "evt";
    /// Names a session of a person at the web pages.
    SessionKind, SessionId, "ses";
    /// Names a running server.
    NodeKind, NodeId, "node";
}

/// The id of a thing of kind `K`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K: Kind>(Uuid, PhantomData<K>);

impl<K: Kind> Id<K> {
    /// A new UUIDv7 (RFC 9562 §5.7): milliseconds of `now`, the rest random.
    #[must_use]
    pub fn generate(now: Timestamp, random: &dyn Random) -> Self {
        let mut tail = [0; 10];
        random.fill(&mut tail);
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }

    /// The id whose UUID is `uuid`.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The UUID inside, which programs of the Encord SDK call a hash.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.as_u128();
        let mut text = [0_u8; 26];
        for (place, byte) in text.iter_mut().enumerate() {
            *byte = ALPHABET[(bits >> (5 * (25 - place)) & 31) as usize];
        }
        f.write_str(K::PREFIX)?;
        f.write_str("_")?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an id of the kind that is due.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this id must start with `{expected}_`, followed by 26 characters of 0-9 and a-z without i, l, o and u")]
pub struct IdError {
    /// The prefix that is due.
    pub expected: &'static str,
}

impl<K: Kind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { expected: K::PREFIX };
        let suffix =
            text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).filter(|suffix| suffix.len() == 26);
        let Some(suffix) = suffix else { return Err(error) };
        let mut bits = 0_u128;
        for (place, byte) in suffix.bytes().enumerate() {
            let Some(digit) = ALPHABET.iter().position(|&c| c == byte) else { return Err(error) };
            // 26 digits hold 130 bits: the first may only be 0 to 7.
            if place == 0 && digit > 7 {
                return Err(error);
            }
            bits = bits << 5 | digit as u128;
        }
        Ok(Self::from_uuid(Uuid::from_u128(bits)))
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Who did or owns something: a user or a service account, told apart by the prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PrincipalId {
    /// A person.
    User(UserId),
    /// A program.
    ServiceAccount(ServiceAccountId),
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::ServiceAccount(id) => id.fmt(f),
        }
    }
}

/// A text that is neither a `usr_` nor an `sa_` id.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a principal's id must start with `usr_` or `sa_`, followed by 26 characters")]
pub struct PrincipalIdError;

impl FromStr for PrincipalId {
    type Err = PrincipalIdError;

    fn from_str(text: &str) -> Result<Self, PrincipalIdError> {
        text.parse()
            .map(Self::User)
            .or_else(|_| text.parse().map(Self::ServiceAccount))
            .map_err(|_: IdError| PrincipalIdError)
    }
}

impl Serialize for PrincipalId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PrincipalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<UserId> for PrincipalId {
    fn from(id: UserId) -> Self {
        Self::User(id)
    }
}

impl From<ServiceAccountId> for PrincipalId {
    fn from(id: ServiceAccountId) -> Self {
        Self::ServiceAccount(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // https://github.com/jetify-com/typeid/blob/main/spec/valid.yml
    #[test]
    fn the_published_typeid_vectors_hold() {
        for (uuid, suffix) in [
            ("00000000-0000-0000-0000-000000000000", "00000000000000000000000000"),
            ("00000000-0000-0000-0000-000000000001", "00000000000000000000000001"),
            ("00000000-0000-0000-0000-000000000020", "00000000000000000000000010"),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", "7zzzzzzzzzzzzzzzzzzzzzzzzz"),
            ("0110c853-1d09-52d8-d73e-1194e95b5f19", "0123456789abcdefghjkmnpqrs"),
            ("01890a5d-ac96-774b-bcce-b302099a8057", "01h455vb4pex5vsknk084sn02q"),
        ] {
            let id = WorkspaceId::from_uuid(uuid.parse().unwrap());
            assert_eq!(id.to_string(), format!("ws_{suffix}"));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn an_id_of_another_kind_or_spelling_is_refused() {
        for text in [
            "",
            "ws_",
            "key_01h455vb4pex5vsknk084sn02q",
            "ws-01h455vb4pex5vsknk084sn02q",
            "ws_01H455VB4PEX5VSKNK084SN02Q",
            "ws_81h455vb4pex5vsknk084sn02q",
            "ws_01h455vb4pex5vsknk084sn02",
            "ws_01h455vb4pex5vsknk084sn02qq",
            "ws_01h455vb4pex5vsknk084sn02u",
            " ws_01h455vb4pex5vsknk084sn02q",
        ] {
            assert!(text.parse::<WorkspaceId>().is_err(), "{text:?}");
        }
    }
}
