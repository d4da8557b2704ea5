//! The domain without I/O: ids, objects and rules. Each feature has one file.

pub mod api_key;
pub mod audit;
pub mod authorized_keys;
pub mod checkpoint;
pub mod clock;
pub mod id;
pub mod invitation;
pub mod key_use;
pub mod leaked_key;
pub mod limits;
pub mod list;
pub mod merkle;
pub mod path;
pub mod policy;
pub mod principal;
pub mod private_key;
pub mod project;
pub mod proof;
pub mod public_key;
pub mod quota;
pub mod replay;
pub mod role;
pub mod rotation;
pub mod route;
pub mod secret;
pub mod service_account;
pub mod session;
pub mod ssh_signature;
pub mod text;
pub mod text_encoding;
pub mod user;
pub mod version;
pub mod workspace;

pub use audit::{AuditAction, AuditEvent, AuditKind, AuditPrincipal};
pub use checkpoint::{Checkpoint, InstallationKey};
pub use clock::{Clock, Random};
pub use id::{
    ApiKeyId, AuditEventId, InvitationId, NodeId, PrincipalId, ProjectId, ServiceAccountId, SessionId, UserId,
    WorkspaceId,
};
pub use jiff::Timestamp;
pub use public_key::{Fingerprint, KeyAlgorithm, KeyMaterial, PublicKey};
pub use replay::ReplayKey;
pub use version::Version;
