//! What Keyward is about, without any I/O: ids, things, rules. One file a feature.

pub mod clock;
pub mod id;

pub use clock::{Clock, Random};
pub use id::{
    ApiKeyId, AuditEventId, InvitationId, NodeId, PrincipalId, ProjectId, ServiceAccountId, UserId, WorkspaceId,
};
pub use jiff::Timestamp;
