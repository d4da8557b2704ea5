//! Limits of a key: what a request asks for, and what the caller may give.

mod places;

use std::{collections::BTreeSet, fmt::Display, str::FromStr};

use domain::{
    PrincipalId, WorkspaceId,
    limits::{KeyLimits, LimitName, Limits, MAX_LIMIT_ENTRIES, Scope},
};
use store::{Connection, node::Feature};

pub use self::places::{LimitChange, LimitPlaces, LimitProject, LimitWorkspace};
use super::AuthorizedOwner;
use crate::{
    app::{App, Scope as ChangeScope, node::require_known},
    error::AppError,
};

/// Returns the limits for the API.
pub(crate) fn to_wire(limits: &KeyLimits) -> Option<api::KeyLimits> {
    let Limits { scopes, projects, workspaces, cidrs, not_before } = limits.get()?;
    Some(api::KeyLimits {
        scopes: scopes.as_ref().map(|scopes| scopes.iter().map(ToString::to_string).collect()),
        projects: projects.as_ref().map(|projects| projects.iter().copied().collect()),
        workspaces: workspaces.as_ref().map(|workspaces| workspaces.iter().copied().collect()),
        cidrs: cidrs.as_ref().map(|cidrs| cidrs.iter().map(ToString::to_string).collect()),
        not_before: *not_before,
    })
}

fn field_error(name: LimitName, code: &str, detail: impl Display) -> AppError {
    AppError::field(&format!("limits.{name}"), code, detail.to_string())
}

/// Returns the entries of a list, without repetitions.
fn entries<T: Ord, R: Clone>(
    name: LimitName,
    requested: Option<&Vec<R>>,
    parse: impl Fn(R) -> Result<T, AppError>,
) -> Result<Option<BTreeSet<T>>, AppError> {
    let Some(requested) = requested else { return Ok(None) };
    if requested.len() > MAX_LIMIT_ENTRIES {
        return Err(field_error(name, "too_many", format!("list at most {MAX_LIMIT_ENTRIES}")));
    }
    requested.iter().cloned().map(parse).collect::<Result<_, _>>().map(Some)
}

fn parse<T: FromStr<Err: Display>>(name: LimitName, text: &str) -> Result<T, AppError> {
    text.parse().map_err(|error: T::Err| field_error(name, "malformed", error))
}

/// Reads the limits of a request.
fn parse_limits(limits: &api::KeyLimits) -> Result<Limits, AppError> {
    let api::KeyLimits { scopes, projects, workspaces, cidrs, not_before } = limits;
    Ok(Limits {
        scopes: entries(LimitName::Scopes, scopes.as_ref(), |text| parse(LimitName::Scopes, &text))?,
        projects: entries(LimitName::Projects, projects.as_ref(), Ok)?,
        workspaces: entries(LimitName::Workspaces, workspaces.as_ref(), Ok)?,
        cidrs: entries(LimitName::Cidrs, cidrs.as_ref(), |text| parse(LimitName::Cidrs, &text))?,
        not_before: *not_before,
    })
}

impl App {
    /// Returns the limits that the caller gives to a key of `owner` that has the limits `before`.
    ///
    /// # Errors
    /// An entry is malformed, is unknown, or is not one of the owner's. By a key, the limits exceed those of that key. A
    /// node of an earlier release, which would not apply limits, is running.
    pub(super) async fn grant_limits(
        &self,
        scope: &mut ChangeScope<'_>,
        owner: &AuthorizedOwner,
        requested: Option<&api::KeyLimits>,
        before: &KeyLimits,
    ) -> Result<KeyLimits, AppError> {
        let requested = requested.map(parse_limits).transpose()?.unwrap_or_default();
        let granted = scope.principal.grant_limits(&requested.clone().into(), owner.id)?.into_limits();
        // What it gets from the caller's key was checked when that key got it.
        self.require_declared(&requested, before)?;
        require_own_places(scope.connection, owner, &requested, before).await?;
        if granted != *before {
            require_upgraded(scope.connection, &granted).await?;
        }
        Ok(granted)
    }

    /// Returns the limits of a new key of `owner` that gets those of another one.
    ///
    /// # Errors
    /// By a key, the limits exceed those of that key. A node of an earlier release, which would not apply limits, is
    /// running.
    pub(super) async fn copy_limits(
        &self,
        scope: &mut ChangeScope<'_>,
        owner: &AuthorizedOwner,
        limits: &KeyLimits,
    ) -> Result<KeyLimits, AppError> {
        scope.principal.require_within_limits(limits, owner.id)?;
        require_upgraded(scope.connection, limits).await?;
        Ok(limits.clone())
    }

    /// Refuses scopes that the settings do not declare, unless the key has them already.
    fn require_declared(&self, limits: &Limits, before: &KeyLimits) -> Result<(), AppError> {
        let declared: BTreeSet<Scope> = self.settings.scopes.iter().map(domain::limits::DeclaredScope::scope).collect();
        let is_known = |scope: &&Scope| {
            matches!(scope, Scope::Keyward(_))
                || declared.contains(*scope)
                || before.scopes().is_some_and(|scopes| scopes.contains(*scope))
        };
        match limits.scopes.iter().flatten().find(|scope| !is_known(scope)) {
            None => Ok(()),
            Some(unknown) => {
                let mut known =
                    vec!["keyward:read".to_owned(), "keyward:write".to_owned(), "keyward:manage".to_owned()];
                known.extend(declared.iter().map(ToString::to_string));
                let detail = format!(
                    "{unknown} is not a scope of this installation; choose among {}, or ask the operator to declare it in \
                     `[[scopes]]`",
                    known.join(", ")
                );
                Err(field_error(LimitName::Scopes, "unknown", detail))
            }
        }
    }
}

/// Refuses limits while a node is running that would not apply them.
async fn require_upgraded(connection: &mut Connection, limits: &KeyLimits) -> Result<(), AppError> {
    if limits.is_none() { Ok(()) } else { require_known(connection, Feature::KeyLimits).await }
}

/// Refuses projects and workspaces that are not those of the owner's workspaces, unless the key has them already.
async fn require_own_places(
    connection: &mut Connection,
    owner: &AuthorizedOwner,
    limits: &Limits,
    before: &KeyLimits,
) -> Result<(), AppError> {
    if limits.workspaces.is_some() && matches!(owner.id, PrincipalId::ServiceAccount(_)) {
        let detail = "a service account is in one workspace; leave this out";
        return Err(field_error(LimitName::Workspaces, "service_account", detail));
    }
    let identity = store::identity::find_identity(connection, owner.id).await?;
    let memberships = identity.map(|identity| identity.memberships).unwrap_or_default();
    let is_own = |workspace: WorkspaceId| memberships.iter().any(|membership| membership.workspace == workspace);
    let kept = before.workspaces();
    for workspace in limits.workspaces.iter().flatten() {
        if !is_own(*workspace) && !kept.is_some_and(|kept| kept.contains(workspace)) {
            let detail = format!("{workspace} is not a workspace of the owner");
            return Err(field_error(LimitName::Workspaces, "unknown", detail));
        }
    }
    let kept = before.projects();
    for project in limits.projects.iter().flatten() {
        if kept.is_some_and(|kept| kept.contains(project)) {
            continue;
        }
        // Another workspace's project is answered as one that does not exist.
        let found = store::project::find_project_anywhere(connection, *project).await?;
        if !found.is_some_and(|found| is_own(found.workspace)) {
            let detail = format!("{project} is not a project of the owner's workspaces");
            return Err(field_error(LimitName::Projects, "unknown", detail));
        }
    }
    Ok(())
}
