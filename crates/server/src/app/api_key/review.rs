//! The review of the keys of a workspace or of the installation: what the policies say about each.

use domain::{
    ApiKeyId, Timestamp, WorkspaceId,
    policy::{KeyPolicies, PolicyPlace, RuleName},
    principal::{OperatorAccess, WorkspaceAccess, WorkspacePermission},
};
use store::{Connection, StoreError, key_review::ReviewedKey};

use crate::{
    app::{
        App, Caller, Paging,
        policy::{facts_of, find_policies},
    },
    error::AppError,
};

/// The maximum number of keys that are read for one page, so that a page of the few keys outside a policy takes a limited
/// time.
const MAX_READ: usize = 10_000;
const BATCH: i64 = 500;

#[derive(Clone, Copy)]
enum Reviewed {
    Workspace(WorkspaceAccess),
    Installation(OperatorAccess),
}

impl Reviewed {
    const fn place(self) -> PolicyPlace {
        match self {
            Self::Workspace(access) => PolicyPlace::Workspace(access.workspace()),
            Self::Installation(_) => PolicyPlace::Installation,
        }
    }

    async fn list(
        self,
        connection: &mut Connection,
        now: Timestamp,
        after: Option<ApiKeyId>,
    ) -> Result<Vec<ReviewedKey>, StoreError> {
        match self {
            Self::Workspace(access) => store::key_review::list_keys_in(connection, access, now, after, BATCH).await,
            Self::Installation(access) => {
                store::key_review::list_keys_everywhere(connection, access, now, after, BATCH).await
            }
        }
    }

    /// Returns whether the key is one that reaches the place at all.
    fn includes(self, reviewed: &ReviewedKey) -> bool {
        match self {
            Self::Workspace(access) => reviewed.key.limits.reaches_workspace(access.workspace()),
            Self::Installation(_) => true,
        }
    }
}

impl App {
    /// Returns the live keys that reach a workspace, or only those that violate a rule of its policy or of that of the
    /// installation. Of the keys of users, it contains only what concerns the workspace.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn review_workspace_keys(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        only_outside: bool,
        paging: &Paging,
    ) -> Result<api::Page<api::ReviewedKey>, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ReviewKeys, workspace)?;
        self.review(Reviewed::Workspace(access), only_outside, paging).await
    }

    /// Returns the live keys of the installation, or only those that violate a rule of its policy. It contains nothing of the
    /// content of workspaces.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn review_all_keys(
        &self,
        caller: &Caller,
        only_outside: bool,
        paging: &Paging,
    ) -> Result<api::Page<api::ReviewedKey>, AppError> {
        let access = caller.principal.authorize_operator()?;
        self.review(Reviewed::Installation(access), only_outside, paging).await
    }

    async fn review(
        &self,
        reviewed: Reviewed,
        only_outside: bool,
        paging: &Paging,
    ) -> Result<api::Page<api::ReviewedKey>, AppError> {
        let (limit, mut after) = (usize::try_from(paging.limit()?).unwrap_or(usize::MAX), paging.after()?);
        let (mut connection, now) = (self.store.read().await?, self.clock.now());
        let policies = find_policies(&mut connection, reviewed.place()).await?;
        let (mut items, mut read) = (Vec::new(), 0);
        loop {
            let batch = reviewed.list(&mut connection, now, after).await?;
            let is_last = batch.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
            for row in batch {
                if items.len() == limit || read == MAX_READ {
                    return Ok(api::Page { items, next: after.map(|after| after.to_string()) });
                }
                read += 1;
                after = Some(row.key.id);
                if !reviewed.includes(&row) {
                    continue;
                }
                let item = to_reviewed(reviewed, &row, &policies, now);
                if !only_outside || !item.violations.is_empty() {
                    items.push(item);
                }
            }
            if is_last {
                return Ok(api::Page { items, next: None });
            }
        }
    }
}

fn to_reviewed(reviewed: Reviewed, row: &ReviewedKey, policies: &KeyPolicies, now: Timestamp) -> api::ReviewedKey {
    let place = reviewed.place();
    let ReviewedKey { key, owner_email, owner_name, workspace } = row;
    let (is_account, is_operator) = (workspace.is_some(), matches!(reviewed, Reviewed::Installation(_)));
    let wire = super::to_wire(key, now);
    let (facts, rules) = (facts_of(key), policies.rules_in(place));
    let mut violations: Vec<api::PolicyViolation> = Vec::new();
    if let Err(found) = rules.check(&facts) {
        violations.extend(
            found.list().into_iter().map(|violated| api::PolicyViolation {
                rule: violated.rule.as_str().to_owned(),
                detail: violated.must,
            }),
        );
    }
    if let Some(unused) = rules.unused
        && let Ok(since) = now.checked_sub(unused.days.duration())
        && key.last_used_at.unwrap_or(key.created_at) < since
    {
        let detail = format!("it was not used for {}", unused.days);
        violations.push(api::PolicyViolation { rule: RuleName::UnusedDays.as_str().to_owned(), detail });
    }
    let own = policies.find(place).filter(|_| place != PolicyPlace::Installation);
    let dates = [policies.find(PolicyPlace::Installation), own].into_iter().flatten();
    let refused_from = dates.filter_map(|policy| policy.find_violations(&facts)).map(|(_, from)| from).min();
    let is_shown = is_account && !is_operator;
    api::ReviewedKey {
        id: key.id,
        title: is_shown.then_some(wire.title),
        fingerprint: wire.fingerprint,
        algorithm: wire.algorithm,
        state: wire.state,
        owner: key.owner,
        owner_email: (!is_account || !is_operator).then(|| owner_email.clone()),
        owner_name: (!is_account || !is_operator).then(|| owner_name.clone()),
        workspace: *workspace,
        created_at: key.created_at,
        expires_at: key.expires_at,
        last_used_at: wire.last_used_at.filter(|_| is_shown),
        limits: wire.limits.filter(|_| is_shown),
        violations,
        refused_from,
    }
}
