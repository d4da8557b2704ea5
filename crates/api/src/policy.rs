//! Policies for keys, and the review of keys.

use domain::{ApiKeyId, PrincipalId, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{KeyLimits, KeyState, schema};

/// The rules of a policy for keys. What is left out is not limited.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRules {
    /// The maximum number of days from the registration of a key to its expiry. A key without an expiry exceeds it.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3650)]
    pub max_key_lifetime: Option<u32>,
    /// Whether a key must have an expiry.
    #[serde(default)]
    pub require_expiry: bool,
    /// After how many days without a request a key is unused.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3650)]
    pub unused_days: Option<u32>,
    /// What happens to unused keys: `report` lists them, `disable` disables them. The default is `report`. A workspace disables
    /// only the keys of its service accounts.
    #[serde(default)]
    #[schema(value_type = Option<schema::UnusedAction>)]
    pub unused_action: Option<String>,
    /// The algorithms that keys may have.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::Algorithm>>, min_items = 1, max_items = 4)]
    pub algorithms: Option<Vec<String>>,
    /// Whether a key must be limited to networks with the limit `cidrs`. A network of all addresses does not count.
    #[serde(default)]
    pub require_cidrs: bool,
}

/// A policy to set. It replaces the policy before. A policy without rules removes it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetKeyPolicy {
    /// The rules.
    pub rules: PolicyRules,
    /// The date from which existing keys outside the policy are refused. The default is 30 days from now, the maximum 366 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub enforced_from: Option<Timestamp>,
}

/// The policy for keys of a workspace or of the installation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyPolicy {
    /// Its own rules.
    pub rules: PolicyRules,
    /// The rules that apply to new keys: the narrower of its own and those of the installation.
    pub effective: PolicyRules,
    /// When it was set. Null if there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub set_at: Option<Timestamp>,
    /// The date from which its rules apply to the keys that existed when it was set. Null if there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub enforced_from: Option<Timestamp>,
}

/// A rule that a key violates.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyViolation {
    /// The rule.
    #[schema(value_type = schema::PolicyRule)]
    pub rule: String,
    /// What the key must be like, for people.
    pub detail: String,
}

/// A key in the review of a workspace or of the installation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewedKey {
    /// Its id.
    #[schema(value_type = schema::ApiKeyId)]
    pub id: ApiKeyId,
    /// Its title. Null for the key of a user, who alone sees it, and in the review of the installation.
    pub title: Option<String>,
    /// Its fingerprint.
    #[schema(value_type = schema::Fingerprint)]
    pub fingerprint: String,
    /// Its algorithm.
    #[schema(value_type = schema::Algorithm)]
    pub algorithm: String,
    /// Its state.
    pub state: KeyState,
    /// Its owner.
    #[schema(value_type = schema::PrincipalId)]
    pub owner: PrincipalId,
    /// The owner's email or address. Null for a service account in the review of the installation.
    pub owner_email: Option<String>,
    /// The owner's name. Null for a service account in the review of the installation.
    pub owner_name: Option<String>,
    /// The workspace of a service account.
    #[schema(value_type = Option<schema::WorkspaceId>)]
    pub workspace: Option<WorkspaceId>,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used. Null as the title is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// Its limits. Null as the title is.
    pub limits: Option<KeyLimits>,
    /// The rules that it violates.
    pub violations: Vec<PolicyViolation>,
    /// From when on it is refused because of these rules. The time may be past. The key of a user is then refused in the workspace
    /// only, if the policy is that of the workspace. Null if it violates none of the rules that refuse keys.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub refused_from: Option<Timestamp>,
}
