//! Records of refused requests: the only audit events that are written without a change.

use std::{collections::BTreeMap, net::IpAddr};

use domain::{ApiKeyId, AuditAction, AuditEvent, AuditEventId, AuditPrincipal, PrincipalId, Timestamp, WorkspaceId};

use crate::{Store, StoreError};

/// Refused requests that one event of the audit log records. The event always has the action `request.refuse` and an anonymous
/// principal, so that no other event can be written this way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusalRecord {
    /// The id of the event.
    pub id: AuditEventId,
    /// The workspace whose log contains the event.
    pub workspace: Option<WorkspaceId>,
    /// The key that the requests contained.
    pub key: Option<ApiKeyId>,
    /// The owner of the key.
    pub owner: Option<PrincipalId>,
    /// The IP address of the last request.
    pub ip_address: Option<IpAddr>,
    /// The number of requests, and the reasons for refusing them.
    pub detail: BTreeMap<String, String>,
}

impl RefusalRecord {
    fn to_event(&self, now: Timestamp) -> AuditEvent {
        AuditEvent {
            id: self.id,
            at: now,
            workspace: self.workspace,
            // The client was not authenticated. The key in its requests has its own field.
            principal: AuditPrincipal::Anonymous,
            key: self.key,
            ip_address: self.ip_address,
            action: AuditAction::RequestRefuse.as_str().into(),
            target: self.owner.map(|owner| owner.to_string()),
            detail: self.detail.clone(),
        }
    }
}

impl Store {
    /// Appends records of refused requests to the audit log, in one transaction.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn record_refusals(&self, records: &[RefusalRecord], now: Timestamp) -> Result<(), StoreError> {
        let mut events = records.iter().map(|record| record.to_event(now));
        let Some(first) = events.next() else { return Ok(()) };
        let events = (first, events.collect());
        self.begin_change(now).await?.commit(events, None).await?;
        Ok(())
    }
}
