//! The principals that can get a role in a project, or take over a project.

use domain::{
    PrincipalId, Timestamp,
    principal::{Principal, WorkspaceAccess, WorkspacePermission},
};
use store::Connection;

use super::MAX_PAGE;
use crate::error::AppError;

/// A user or a service account of a workspace that is not disabled and can get a role in a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its id.
    pub id: PrincipalId,
    /// The name, unless it is the one in the address.
    pub name: Option<String>,
    /// The user's email, or the service account's address.
    pub email: String,
}

/// Returns the candidates of a workspace that the principal may see, at most [`MAX_PAGE`] of each kind: its members
/// and, for its admins, its service accounts.
pub(super) async fn list_candidates(
    connection: &mut Connection,
    principal: &Principal,
    access: WorkspaceAccess,
    now: Timestamp,
) -> Result<Vec<Candidate>, AppError> {
    let members = store::member::list_members(connection, access, None, MAX_PAGE).await?;
    let members = members.into_iter().filter(|member| !member.disabled);
    let mut candidates: Vec<Candidate> = members
        .map(|member| Candidate { id: member.user.into(), name: Some(member.name), email: member.email.to_string() })
        .collect();
    if let Ok(access) = principal.authorize(WorkspacePermission::ViewServiceAccounts, access.workspace()) {
        let rows = store::service_account::list_service_accounts(connection, access, None, MAX_PAGE, now).await?;
        let accounts = rows.into_iter().map(|row| row.account).filter(|account| !account.disabled);
        candidates.extend(accounts.map(|account| Candidate {
            id: account.id.into(),
            name: (account.display_name != account.name.as_str()).then_some(account.display_name),
            email: account.address,
        }));
    }
    Ok(candidates)
}

/// Returns the candidates that can take over projects from principals that leave.
pub(super) async fn list_successors(
    connection: &mut Connection,
    principal: &Principal,
    access: WorkspaceAccess,
    leaving: &[PrincipalId],
    now: Timestamp,
) -> Result<Vec<Candidate>, AppError> {
    let mut candidates = list_candidates(connection, principal, access, now).await?;
    candidates.retain(|candidate| !leaving.contains(&candidate.id));
    Ok(candidates)
}
