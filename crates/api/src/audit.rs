//! Audit events on the wire.

use std::collections::BTreeMap;

use domain::{AuditEventId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was done, by whom, with which key, from where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// Its id.
    #[schema(value_type = String)]
    pub id: AuditEventId,
    /// Its place in the log, from 0.
    pub sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `usr_…`, `sa_…`, `host` or `anonymous`.
    pub principal: String,
    /// The key behind the credential.
    pub key: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
    /// What, such as `api_key.create`.
    pub action: String,
    /// To which thing.
    pub target: Option<String>,
    /// The rest, by name.
    pub detail: BTreeMap<String, String>,
}
