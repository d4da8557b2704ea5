//! Responses with audit events.

use std::collections::BTreeMap;

use domain::{AuditEventId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// An audit event: the action, its principal, its key and its origin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// Its id.
    #[schema(value_type = schema::AuditEventId)]
    pub id: AuditEventId,
    /// Its position in the log, from 0.
    pub sequence: u64,
    /// The time of the action.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `usr_…`, `sa_…`, `host` or `anonymous`.
    #[schema(value_type = schema::Actor)]
    pub principal: String,
    /// The key of the credential.
    pub key: Option<String>,
    /// The IP address of the request.
    pub address: Option<String>,
    /// The action, such as `api_key.create`.
    pub action: String,
    /// The id of the object that was changed.
    pub target: Option<String>,
    /// Named values that the other fields do not contain.
    pub detail: BTreeMap<String, String>,
}
