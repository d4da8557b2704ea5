//! Audit events, and the bytes of an event's leaf in the Merkle tree. The store saves and verifies the log, and
//! `merkle` computes hashes.

use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use jiff::Timestamp;

use crate::{
    id::{ApiKeyId, AuditEventId, PrincipalId, ServiceAccountId, UserId, WorkspaceId},
    merkle::Hash,
};

/// The principal of an audit event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AuditPrincipal {
    /// A user.
    User(UserId),
    /// A service account.
    ServiceAccount(ServiceAccountId),
    /// A command on the host (`keyward admin …`), or the server itself.
    Host,
    /// A request without a valid signature or session.
    Anonymous,
}

impl fmt::Display for AuditPrincipal {
    /// `usr_…`, `sa_…`, `host` or `anonymous`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::ServiceAccount(id) => id.fmt(f),
            Self::Host => f.write_str("host"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// A text that is not the name of an audit principal.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("who did something is a `usr_` or `sa_` id, `host` or `anonymous`")]
pub struct AuditPrincipalError;

impl FromStr for AuditPrincipal {
    type Err = AuditPrincipalError;

    fn from_str(text: &str) -> Result<Self, AuditPrincipalError> {
        match text {
            "host" => Ok(Self::Host),
            "anonymous" => Ok(Self::Anonymous),
            _ => text.parse().map(|id: PrincipalId| id.into()).map_err(|_| AuditPrincipalError),
        }
    }
}

impl From<PrincipalId> for AuditPrincipal {
    fn from(id: PrincipalId) -> Self {
        match id {
            PrincipalId::User(id) => Self::User(id),
            PrincipalId::ServiceAccount(id) => Self::ServiceAccount(id),
        }
    }
}

impl From<UserId> for AuditPrincipal {
    fn from(id: UserId) -> Self {
        Self::User(id)
    }
}

impl From<ServiceAccountId> for AuditPrincipal {
    fn from(id: ServiceAccountId) -> Self {
        Self::ServiceAccount(id)
    }
}

macro_rules! audit_actions {
    ($($(#[$doc:meta])* $action:ident = $text:literal,)*) => {
        /// The action of an audit event. The names are stored and covered by the root of the log, so they never change.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum AuditAction { $($(#[$doc])* $action,)* }

        impl AuditAction {
            /// All actions.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// Returns the stored name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$action => $text,)* }
            }

            /// Returns the action with a stored name, or `None` for the name of an action of a later release.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$action),)* _ => None }
            }
        }
    };
}

audit_actions! {
    /// A key that a restore suspended was confirmed.
    ApiKeyConfirm = "api_key.confirm",
    /// A key was registered.
    ApiKeyCreate = "api_key.create",
    /// A key was disabled.
    ApiKeyDisable = "api_key.disable",
    /// A registration without a proof was revoked, because the holder of the private key registered the key.
    ApiKeyDisplace = "api_key.displace",
    /// A disabled key was enabled.
    ApiKeyEnable = "api_key.enable",
    /// A statement by a key itself, which says that its private key leaked, revoked it.
    ApiKeyLeak = "api_key.leak",
    /// The owner of a key proved that they hold its private key.
    ApiKeyProve = "api_key.prove",
    /// A key was revoked.
    ApiKeyRevoke = "api_key.revoke",
    /// A key was rotated: it has a successor, and expires after the overlap.
    ApiKeyRotate = "api_key.rotate",
    /// The rotation of a key was undone: its successor was revoked, and its previous expiry is back.
    ApiKeyUndoRotation = "api_key.undo_rotation",
    /// The title or the expiry date of a key was changed.
    ApiKeyUpdate = "api_key.update",
    /// The installation key was replaced.
    InstallationReplaceKey = "installation.replace_key",
    /// A backup was restored.
    InstallationRestore = "installation.restore",
    /// An invitation was accepted.
    InvitationAccept = "invitation.accept",
    /// An invitation was created.
    InvitationCreate = "invitation.create",
    /// The mail server did not accept an invitation.
    InvitationMailFailed = "invitation.mail_failed",
    /// An invitation was sent again.
    InvitationResend = "invitation.resend",
    /// An invitation was revoked.
    InvitationRevoke = "invitation.revoke",
    /// An operator or the host made a user an admin of a workspace.
    MemberAdd = "member.add",
    /// A member of a workspace was disabled.
    MemberDisable = "member.disable",
    /// A member of a workspace was enabled.
    MemberEnable = "member.enable",
    /// A member's unverified email was given to the user who verified it.
    MemberLoseEmail = "member.lose_email",
    /// A member left a workspace or was removed.
    MemberRemove = "member.remove",
    /// A member got another role.
    MemberUpdate = "member.update",
    /// The policy for keys of a workspace or of the installation was set.
    PolicyUpdate = "policy.update",
    /// A project was created.
    ProjectCreate = "project.create",
    /// A project was deleted.
    ProjectDelete = "project.delete",
    /// A principal left a project or was removed.
    ProjectMemberRemove = "project.member.remove",
    /// A principal got a role in a project.
    ProjectMemberSet = "project.member.set",
    /// The title or the description of a project was changed.
    ProjectUpdate = "project.update",
    /// A challenge for a proof was created.
    ProofChallengeCreate = "proof_challenge.create",
    /// The quotas of a workspace were changed.
    QuotaUpdate = "quota.update",
    /// Requests were refused; equal refusals are counted together.
    RequestRefuse = "request.refuse",
    /// A service account was created.
    ServiceAccountCreate = "service_account.create",
    /// A service account was deleted.
    ServiceAccountDelete = "service_account.delete",
    /// A service account was changed.
    ServiceAccountUpdate = "service_account.update",
    /// The user entered the password again in a session.
    SessionConfirm = "session.confirm",
    /// A user signed in.
    SessionCreate = "session.create",
    /// A session ended.
    SessionEnd = "session.end",
    /// All other sessions of a user ended.
    SessionEndOthers = "session.end_others",
    /// A link to set up the installation was created.
    SetUpLinkCreate = "set_up_link.create",
    /// A user changed their password.
    UserChangePassword = "user.change_password",
    /// A user whom a restore suspended was confirmed.
    UserConfirm = "user.confirm",
    /// A user was created.
    UserCreate = "user.create",
    /// A user's unverified email was given to the user who verified it.
    UserLoseEmail = "user.lose_email",
    /// An operator set the password of a user.
    UserSetPassword = "user.set_password",
    /// A user was changed.
    UserUpdate = "user.update",
    /// A user verified their email.
    UserVerifyEmail = "user.verify_email",
    /// A workspace was created.
    WorkspaceCreate = "workspace.create",
    /// A workspace was deleted.
    WorkspaceDelete = "workspace.delete",
    /// A workspace was renamed.
    WorkspaceUpdate = "workspace.update",
}

/// What readers of the log look for first: changes, sign-ins or refused requests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuditKind {
    /// Something was changed.
    Change,
    /// A user signed in or out, or entered their password again.
    SignIn,
    /// Requests were refused.
    Refusal,
}

impl AuditKind {
    /// Returns the actions of this kind.
    pub fn actions(self) -> impl Iterator<Item = AuditAction> {
        AuditAction::ALL.iter().copied().filter(move |action| action.kind() == self)
    }
}

impl AuditAction {
    /// Returns the kind of the action. The index of changes (`migrations/0007_audit_indexes.sql`) names the others.
    #[must_use]
    pub const fn kind(self) -> AuditKind {
        match self {
            Self::RequestRefuse => AuditKind::Refusal,
            Self::SessionConfirm | Self::SessionCreate | Self::SessionEnd | Self::SessionEndOthers => AuditKind::SignIn,
            Self::ApiKeyConfirm
            | Self::ApiKeyCreate
            | Self::ApiKeyDisable
            | Self::ApiKeyDisplace
            | Self::ApiKeyEnable
            | Self::ApiKeyLeak
            | Self::ApiKeyProve
            | Self::ApiKeyRevoke
            | Self::ApiKeyRotate
            | Self::ApiKeyUndoRotation
            | Self::ApiKeyUpdate
            | Self::InstallationReplaceKey
            | Self::InstallationRestore
            | Self::InvitationAccept
            | Self::InvitationCreate
            | Self::InvitationMailFailed
            | Self::InvitationResend
            | Self::InvitationRevoke
            | Self::MemberAdd
            | Self::MemberDisable
            | Self::MemberEnable
            | Self::MemberLoseEmail
            | Self::MemberRemove
            | Self::MemberUpdate
            | Self::PolicyUpdate
            | Self::ProjectCreate
            | Self::ProjectDelete
            | Self::ProjectMemberRemove
            | Self::ProjectMemberSet
            | Self::ProjectUpdate
            | Self::ProofChallengeCreate
            | Self::QuotaUpdate
            | Self::ServiceAccountCreate
            | Self::ServiceAccountDelete
            | Self::ServiceAccountUpdate
            | Self::SetUpLinkCreate
            | Self::UserChangePassword
            | Self::UserConfirm
            | Self::UserCreate
            | Self::UserLoseEmail
            | Self::UserSetPassword
            | Self::UserUpdate
            | Self::UserVerifyEmail
            | Self::WorkspaceCreate
            | Self::WorkspaceDelete
            | Self::WorkspaceUpdate => AuditKind::Change,
        }
    }

    /// Returns whether operators read about it although it happened in a workspace: it concerns the workspace itself,
    /// and nothing in it.
    #[must_use]
    pub const fn concerns_workspace_itself(self) -> bool {
        matches!(self, Self::QuotaUpdate | Self::WorkspaceCreate | Self::WorkspaceDelete | Self::WorkspaceUpdate)
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An audit event: an action, its principal, key and IP address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEvent {
    /// Its id.
    pub id: AuditEventId,
    /// The time, in whole microseconds.
    pub at: Timestamp,
    /// The workspace in which it happened, if it was in one.
    pub workspace: Option<WorkspaceId>,
    /// The principal that caused it.
    pub principal: AuditPrincipal,
    /// The key that signed the request, if it was signed.
    pub key: Option<ApiKeyId>,
    /// The IP address of the request, if there was one.
    pub ip_address: Option<IpAddr>,
    /// The action, as `object.verb`, such as `api_key.create`.
    pub action: Cow<'static, str>,
    /// The id of the object that was changed.
    pub target: Option<String>,
    /// Further information for readers. It never contains a secret.
    pub detail: BTreeMap<String, String>,
}

impl AuditEvent {
    /// Returns the bytes of this event's leaf as number `seq` of the log (from 0). Events that differ in any field have
    /// different bytes.
    ///
    /// The format is `keyward-audit-event-v1` and a line feed, then `seq`, then every field in the order of the struct.
    /// A number is 8 bytes, big-endian, in two's complement (`at` in microseconds since 1970). A text is its length in
    /// bytes as such a number, then its UTF-8. An optional field is the byte 0, or the byte 1 and the value. `detail`
    /// is the number of its entries, then the name and value of each, in the byte order of the names. Ids, the
    /// principal and the IP address are encoded as their `Display` text.
    #[must_use]
    pub fn canonical_bytes(&self, seq: u64) -> Vec<u8> {
        let mut bytes = b"keyward-audit-event-v1\n".to_vec();
        bytes.extend(seq.to_be_bytes());
        put_text(&mut bytes, &self.id.to_string());
        bytes.extend(self.at.as_microsecond().to_be_bytes());
        put_optional(&mut bytes, self.workspace);
        put_text(&mut bytes, &self.principal.to_string());
        put_optional(&mut bytes, self.key);
        put_optional(&mut bytes, self.ip_address);
        put_text(&mut bytes, &self.action);
        put_optional(&mut bytes, self.target.as_deref());
        bytes.extend((self.detail.len() as u64).to_be_bytes());
        for (name, value) in &self.detail {
            put_text(&mut bytes, name);
            put_text(&mut bytes, value);
        }
        bytes
    }

    /// Returns the hash of its leaf as number `seq` of the log.
    #[must_use]
    pub fn leaf_hash(&self, seq: u64) -> Hash {
        Hash::leaf(&self.canonical_bytes(seq))
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn put_optional(bytes: &mut Vec<u8>, value: Option<impl fmt::Display>) {
    match value {
        None => bytes.push(0),
        Some(value) => {
            bytes.push(1);
            put_text(bytes, &value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::id::Id;

    fn event() -> AuditEvent {
        AuditEvent {
            id: Id::from_uuid(Uuid::from_u128(1)),
            at: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
            workspace: None,
            principal: AuditPrincipal::Host,
            key: None,
            ip_address: Some("2001:db8::1".parse().unwrap()),
            action: "a.b".into(),
            target: None,
            detail: BTreeMap::from([("k".into(), "v".into())]),
        }
    }

    #[test]
    fn the_canonical_bytes_are_the_documented_ones() {
        let mut expected = b"keyward-audit-event-v1\n".to_vec();
        expected.extend(b"\0\0\0\0\0\0\0\x07");
        expected.extend(b"\0\0\0\0\0\0\0\x1eevt_00000000000000000000000001");
        expected.extend(b"\x00\x06\x0a\x24\x18\x1e\x40\x01");
        expected.extend(b"\0");
        expected.extend(b"\0\0\0\0\0\0\0\x04host");
        expected.extend(b"\0");
        expected.extend(b"\x01\0\0\0\0\0\0\0\x0b2001:db8::1");
        expected.extend(b"\0\0\0\0\0\0\0\x03a.b");
        expected.extend(b"\0");
        expected.extend(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01k\0\0\0\0\0\0\0\x01v");
        assert_eq!(event().canonical_bytes(7), expected);
    }

    #[test]
    fn an_audit_principal_is_parsed_from_its_text() {
        for text in ["host", "anonymous", "usr_01h455vb4pex5vsknk084sn02q", "sa_01h455vb4pex5vsknk084sn02q"] {
            assert_eq!(text.parse::<AuditPrincipal>().unwrap().to_string(), text);
        }
        for text in ["", "Host", "root", "key_01h455vb4pex5vsknk084sn02q"] {
            assert_eq!(text.parse::<AuditPrincipal>(), Err(AuditPrincipalError), "{text:?}");
        }
    }

    fn small_text() -> impl Strategy<Value = String> {
        // A small alphabet, with NUL and 1 in it, so that the test detects an encoding without lengths.
        "[ab\u{0}\u{1}]{0,3}"
    }

    fn any_event() -> impl Strategy<Value = AuditEvent> {
        let id = (0..3_u128).prop_map(Uuid::from_u128);
        let principal = prop_oneof![
            Just(AuditPrincipal::Host),
            Just(AuditPrincipal::Anonymous),
            id.clone().prop_map(|id| AuditPrincipal::User(Id::from_uuid(id))),
            id.clone().prop_map(|id| AuditPrincipal::ServiceAccount(Id::from_uuid(id))),
        ];
        let detail = prop::collection::btree_map(small_text(), small_text(), 0..3);
        (
            (id.clone(), -2..2_i64, prop::option::of(id.clone()), principal, prop::option::of(id)),
            (prop::option::of(any::<IpAddr>()), small_text(), prop::option::of(small_text()), detail),
        )
            .prop_map(|((id, at, workspace, principal, key), (ip_address, action, target, detail))| {
                AuditEvent {
                    id: Id::from_uuid(id),
                    at: Timestamp::from_microsecond(at).unwrap(),
                    workspace: workspace.map(Id::from_uuid),
                    principal,
                    key: key.map(Id::from_uuid),
                    ip_address,
                    action: action.into(),
                    target,
                    detail,
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn events_that_differ_have_bytes_that_differ(
            one in (any_event(), 0..2_u64),
            other in (any_event(), 0..2_u64),
        ) {
            let same_bytes = one.0.canonical_bytes(one.1) == other.0.canonical_bytes(other.1);
            prop_assert_eq!(same_bytes, one == other);
        }

        #[test]
        fn text_moved_between_fields_changes_the_bytes(first in small_text(), second in small_text(), third in small_text()) {
            let with = |action: String, target: String| AuditEvent { action: action.into(), target: Some(target), ..event() };
            let one = with(format!("{first}{second}"), third.clone());
            let other = with(first, format!("{second}{third}"));
            prop_assert_eq!(one.canonical_bytes(0) == other.canonical_bytes(0), one == other);
        }
    }
}
