//! Typed, prefixed ids (TypeID): a prefix for the kind, then 26 characters of base32 of a UUIDv7. An id of another kind
//! does not compile and does not parse.

use std::{fmt, hash::Hash, marker::PhantomData, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::clock::Random;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The value of each character, or 32 for those that are not in the alphabet.
const VALUES: [u8; 256] = {
    let mut values = [32; 256];
    let mut value = 0_u8;
    while (value as usize) < ALPHABET.len() {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// A kind of object that has ids.
pub trait Kind: Copy + Eq + Ord + Hash + fmt::Debug + Send + Sync + 'static {
    /// The prefix of the id, without the underscore.
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
    /// The id of a workspace.
    WorkspaceKind, WorkspaceId, "ws";
    /// The id of a user.
    UserKind, UserId, "usr";
    /// The id of a service account.
    ServiceAccountKind, ServiceAccountId, "sa";
    /// The id of an API key.
    ApiKeyKind, ApiKeyId, "key";
    /// The id of a project.
    ProjectKind, ProjectId, "prj";
    /// The id of an invitation.
    InvitationKind, InvitationId, "inv";
    /// The id of an audit event.
    AuditEventKind, AuditEventId, "evt";
    /// The id of a session on the web pages.
    SessionKind, SessionId, "ses";
    /// The id of a node.
    NodeKind, NodeId, "node";
}

/// The id of an object of kind `K`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K: Kind>(Uuid, PhantomData<K>);

impl<K: Kind> Id<K> {
    /// Generates a UUIDv7 (RFC 9562 §5.7): the milliseconds of `now`, and random bits.
    #[must_use]
    pub fn generate(now: Timestamp, random: &dyn Random) -> Self {
        let mut tail = [0; 10];
        random.fill(&mut tail);
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }

    /// Creates the id with the UUID `uuid`.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// Returns the milliseconds since 1970 at which it was generated.
    #[must_use]
    pub fn created_millisecond(self) -> i64 {
        let mut bytes = [0; 8];
        // In a UUIDv7, they are the first 48 bits.
        bytes.split_at_mut(2).1.copy_from_slice(self.0.as_bytes().split_at(6).0);
        i64::from_be_bytes(bytes)
    }

    /// Returns the UUID, which programs of the Encord SDK call a hash.
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

/// A text that is not an id of the expected kind.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this id must start with `{expected}_`, followed by 26 characters of 0-9 and a-z without i, l, o and u")]
pub struct IdError {
    /// The expected prefix.
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
            let digit = VALUES[usize::from(byte)];
            // 26 digits have 130 bits, so the first digit is 0 to 7.
            if digit > 31 || place == 0 && digit > 7 {
                return Err(error);
            }
            bits = bits << 5 | u128::from(digit);
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

/// The id of a user or a service account. The prefix distinguishes them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PrincipalId {
    /// A user.
    User(UserId),
    /// A service account.
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
