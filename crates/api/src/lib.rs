//! The bodies and problems of `/api/v1`, for server and client. Requests with unknown fields are refused. Times are RFC
//! 3339 in UTC.

mod admin;
mod api_key;
mod audit;
mod invitation;
mod key_limits;
mod key_use;
mod leaked_key;
mod me;
mod member;
mod policy;
mod problem;
mod project;
mod public_key_input;
mod removal;
mod rotation;
pub mod schema;
mod service_account;
mod workspace;

pub use admin::{CreateUser, Node, Quotas, UpdateQuotas, UpdateUser, User, settings_differ};
pub use api_key::{
    ApiKey, Cascade, CascadedKey, CreateApiKey, EnableApiKey, KeyState, ProofChallenge, ProveApiKey, RotatedKey,
    UpdateApiKey,
};
pub use audit::AuditEvent;
pub use invitation::{
    AcceptInvitation, AcceptedInvitation, CreateInvitations, Invitation, InvitationState, IssuedInvitation,
    IssuedInvitations, MailState,
};
pub use key_limits::KeyLimits;
pub use key_use::{KeyUse, RefusalCount, UseCounts, UseOfKey, UseOfKeys, UseOfSpan};
pub use leaked_key::{FindLeakedKey, LeakedKey, LeakedKeyRegistration, RevokeLeakedKey};
pub use me::{CredentialKey, Me, MyWorkspace, Principal, PrincipalKind};
pub use member::{Member, UpdateMember};
pub use policy::{KeyPolicy, PolicyRules, PolicyViolation, ReviewedKey, SetKeyPolicy};
pub use problem::{Explanation, FieldError, Problem, ReceivedBody, codes};
pub use project::{CreateProject, Project, ProjectMember, SetProjectMember, UpdateProject};
pub use removal::{LedProject, MemberRemoval, RegisteredKey, UserRemoval, WorkspaceOfUser};
pub use rotation::{ChainedKey, RotateApiKey, Rotation, UseSinceRotation};
pub use service_account::{CreateServiceAccount, KeyCount, ServiceAccount, UpdateServiceAccount};
pub use workspace::{CreateWorkspace, UpdateWorkspace, Workspace, WorkspaceCreated};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The value of `after` for the next page. Null on the last page.
    pub next: Option<String>,
}

/// Distinguishes a field that is missing from one that is `null`: `Some(None)` is `null`.
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a PATCH")]
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
