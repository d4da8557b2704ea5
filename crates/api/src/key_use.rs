//! Responses about the use of keys over time.

use domain::{ApiKeyId, Timestamp, key_use::UseWindow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// Numbers of requests with a key, or with several keys. They are written every ten seconds: requests of the last ten
/// seconds may be missing, and are lost if a node is killed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct UseCounts {
    /// Requests that were accepted.
    #[schema(minimum = 0)]
    pub accepted: u64,
    /// Requests that were refused.
    #[schema(minimum = 0)]
    pub refused: u64,
    /// The refused requests by reason. Reasons without a request are left out.
    pub refusals: Vec<RefusalCount>,
}

/// Requests that were refused for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RefusalCount {
    /// The reason. Requests with a `bad_signature` are not known to come from a holder of the private key.
    #[schema(value_type = schema::RefusalReason)]
    pub reason: String,
    /// Their number.
    #[schema(minimum = 1)]
    pub count: u64,
}

/// The requests in one hour or day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UseOfSpan {
    /// The start of the hour or day, in UTC.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: Timestamp,
    /// Their numbers.
    pub counts: UseCounts,
}

/// The use of a key over time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyUse {
    /// The period.
    #[schema(value_type = schema::UseWindow)]
    pub window: UseWindow,
    /// All requests in the period.
    pub total: UseCounts,
    /// The requests by hours (`24h`) or by days, the earliest first. The last one is the current hour or day.
    pub spans: Vec<UseOfSpan>,
}

/// The use of several keys over time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UseOfKeys {
    /// The period.
    #[schema(value_type = schema::UseWindow)]
    pub window: UseWindow,
    /// All requests in the period.
    pub total: UseCounts,
    /// The requests by hours (`24h`) or by days, the earliest first. The last one is the current hour or day.
    pub spans: Vec<UseOfSpan>,
    /// How many keys had an accepted request in the period.
    #[schema(minimum = 0)]
    pub keys_in_use: u64,
    /// The keys with most requests, the most used first: 10 at most.
    pub most_used: Vec<UseOfKey>,
}

/// The use of one of several keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UseOfKey {
    /// The key.
    #[schema(value_type = schema::ApiKeyId)]
    pub id: ApiKeyId,
    /// Its title.
    #[schema(value_type = schema::Title)]
    pub title: String,
    /// Its fingerprint.
    #[schema(value_type = schema::Fingerprint)]
    pub fingerprint: String,
    /// Its owner: `usr_…` or `sa_…`.
    #[schema(value_type = schema::PrincipalId)]
    pub owner: String,
    /// The owner's email address or service account address.
    pub owner_email: Option<String>,
    /// The requests with it.
    pub counts: UseCounts,
}
