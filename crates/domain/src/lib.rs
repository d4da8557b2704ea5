//! What Keyward is about, without any I/O: ids, things, rules. One file a feature.

pub mod clock;
pub mod id;
pub mod invitation;
pub mod project;
pub mod quota;
pub mod role;
pub mod service_account;
pub mod text;
pub mod user;
pub mod workspace;

pub use clock::{Clock, Random};
pub use id::{
    ApiKeyId, AuditEventId, InvitationId, NodeId, PrincipalId, ProjectId, ServiceAccountId, UserId, WorkspaceId,
};
pub use jiff::Timestamp;
