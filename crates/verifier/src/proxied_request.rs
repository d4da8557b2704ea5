//! Requests to an API behind a proxy. The proxy asks for the principal of a request, and whether it may send the
//! request. Reads do not use the database. A native write first records its nonce in it.

use std::sync::Arc;

use domain::{
    ApiKeyId, ProjectId, Timestamp,
    limits::Scope,
    principal::{Denied, Identity, Membership, Principal},
    role::RequiredRole,
    route::{Places, Requirement, find_route, names_workspace, parse_project},
    secret::redact,
};
use http::header;

use crate::{
    authentication::AuthenticationError,
    directory::{DirectoryProject, Snapshot},
    error::{RouteError, VerificationError},
    request::{
        OriginalRequest, Refusal, VerifiedHeaders, VerifiedRequest, WORKSPACE_HEADER, find_principal, missing_key,
    },
    verifier::Verifier,
};

const UNSIGNED_WORKSPACE: &str = "Keyward-Workspace is not covered by a signature; sign it or remove it";
/// The maximum length of a path in the audit log, in characters.
const MAX_PATH_IN_LOG: usize = 200;

/// A proxied request that is accepted, and its principal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthorizedRequest {
    /// The principal of the request.
    pub principal: Principal,
    /// The workspace of the request. `None` if the principal is in several and the request does not contain one.
    pub workspace: Option<Membership>,
    /// Whether the body was checked and is the signed one.
    pub body_verified: bool,
}

impl AuthorizedRequest {
    /// Returns the memberships of the principal that the API may know: of a key that is limited to projects, only that of
    /// the request.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        let is_limited = self.principal.limits().projects().is_some();
        let all = self.principal.identity().filter(|_| !is_limited).map(|identity| identity.memberships.iter());
        let own = self.workspace.iter().filter(move |_| is_limited);
        all.into_iter().flatten().chain(own)
    }
}

impl Verifier {
    /// Verifies the credential in the headers of a proxied request, before the proxy's copy of the body is received.
    /// Returns `Ok(None)` if it has no credential and needs none.
    ///
    /// # Errors
    /// There is no credential and one is required, the credential is refused, the IP address of the client sends too
    /// many requests, or this node holds no lease.
    pub fn verify_proxied_headers(
        &self,
        request: &OriginalRequest<'_>,
    ) -> Result<Option<VerifiedHeaders>, VerificationError> {
        self.limit_ip_address(request.ip_address)?;
        if let Some(verified) = self.verify_headers(request)? {
            return Ok(Some(verified));
        }
        let refusal = match self.authorize_anyone(request) {
            // Nothing was verified, so no lease is needed.
            Ok(()) => return Ok(None),
            Err(refusal) => refusal,
        };
        self.require_lease()?;
        Err(self.refuse(refusal, request.ip_address, self.clock.now()))
    }

    /// Checks whether a request without a credential is accepted.
    fn authorize_anyone(&self, request: &OriginalRequest<'_>) -> Result<(), Refusal> {
        let refuse = |error| Err(Refusal::Credential(None, error));
        let is_preflight = self.allow_preflights && is_preflight(request);
        match self.find_requirement(request) {
            Err(error @ RouteError::Path(_)) if is_preflight => return Err(refuse_route(None, request, error)),
            Ok(MatchedRoute { requirement: Requirement::Anyone, .. }) => {}
            _ if is_preflight => {}
            // A client without a credential must not learn anything about routes.
            _ => return refuse(AuthenticationError::Missing),
        }
        if request.headers.contains_key(WORKSPACE_HEADER) {
            return refuse(AuthenticationError::Malformed(UNSIGNED_WORKSPACE.to_owned()));
        }
        Ok(())
    }

    /// Authorizes a request whose headers were verified.
    ///
    /// # Errors
    /// The credential is refused, the routes refuse the principal, the key is used too often, the nonce of a write was
    /// used before or cannot be recorded, or this node holds no lease.
    pub async fn authorize_proxied_request(
        &self,
        headers: VerifiedHeaders,
        request: &OriginalRequest<'_>,
    ) -> Result<AuthorizedRequest, VerificationError> {
        let now = self.clock.now();
        let (mut outcome, version) = {
            let directory = self.directory.load();
            let outcome = self.authenticate(headers, request, &directory, now).and_then(|verified| {
                let authorized = self.authorize(verified.principal.clone(), &verified, request, &directory)?;
                Ok((verified, authorized))
            });
            (outcome, directory.version())
        };
        if let Ok((verified, _)) = &outcome
            && let Some(replay) = verified.replay.clone().filter(|replay| replay.nonce.is_some())
        {
            let key = replay.api_key;
            let recorded = self.nonces.record_nonce(replay).await;
            let directory = self.directory.load();
            outcome = match (recorded, outcome) {
                (Err(error), _) => Err(VerificationError::from(error).into()),
                (Ok(false), _) => Err(Refusal::Credential(Some(key), AuthenticationError::NonceReused)),
                // A revocation during the recording of the nonce must take effect.
                (Ok(true), Ok((verified, _))) if directory.version() != version => {
                    let authorized = self.authorize_again(&verified, request, &directory, now);
                    authorized.map(|authorized| (verified, authorized))
                }
                (Ok(true), outcome) => outcome,
            };
        }
        self.require_lease()?;
        let (_, authorized) = outcome.map_err(|refusal| self.refuse(refusal, request.ip_address, now))?;
        self.count_accepted(&authorized.principal, &self.directory.load(), now);
        Ok(authorized)
    }

    fn authorize_again(
        &self,
        verified: &VerifiedRequest,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<AuthorizedRequest, Refusal> {
        let credential = verified.principal.key_credential();
        let credential = credential.ok_or(Refusal::Credential(None, AuthenticationError::UnknownKey))?;
        let id = credential.key();
        let missing = || Refusal::Credential(Some(id), missing_key(directory, id));
        let key = directory.key(id).ok_or_else(missing)?;
        let principal = find_principal(key, credential, directory, now, verified.client_ip)
            .map_err(|error| Refusal::Credential(Some(id), error))?;
        self.authorize(principal, verified, request, directory)
    }

    /// Applies the routes.
    fn authorize(
        &self,
        principal: Principal,
        verified: &VerifiedRequest,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
    ) -> Result<AuthorizedRequest, Refusal> {
        let refuse = |error: RouteError| refuse_route(verified.principal.credential().key(), request, error);
        let route = self.find_requirement(request).map_err(refuse)?;
        let header = signed_workspace(verified, request)?;
        let workspace = authorize_route(&principal, route, header, directory).map_err(refuse)?;
        Ok(AuthorizedRequest { principal, workspace, body_verified: verified.body_verified })
    }

    fn find_requirement<'a>(&'a self, request: &OriginalRequest<'a>) -> Result<MatchedRoute<'a>, RouteError> {
        match find_route(&self.routes, request.method, path_of(request))? {
            Some((route, places)) => {
                Ok(MatchedRoute { requirement: route.requirement(), scope: route.scope(), places })
            }
            None if self.routes.is_empty() => {
                Ok(MatchedRoute { requirement: Requirement::Authenticated, scope: None, places: Places::default() })
            }
            None => Err(RouteError::NoRoute),
        }
    }
}

/// What the routes require of a request.
#[derive(Clone, Copy)]
struct MatchedRoute<'a> {
    requirement: Requirement,
    /// The scope that a key needs, if it is limited to scopes.
    scope: Option<&'a Scope>,
    places: Places<'a>,
}

fn refuse_route(key: Option<ApiKeyId>, request: &OriginalRequest<'_>, error: RouteError) -> Refusal {
    // Queries contain private data, and paths may.
    let path = redact(path_of(request));
    let shortened: String = path.chars().take(MAX_PATH_IN_LOG).collect();
    Refusal::Route { key, request: format!("{} {shortened}", request.method), error }
}

/// Returns whether a browser asks if a page of another origin may send a request (the Fetch standard, "CORS-preflight
/// request"). Browsers never add a credential to it.
fn is_preflight(request: &OriginalRequest<'_>) -> bool {
    request.method == "OPTIONS"
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn path_of<'a>(request: &OriginalRequest<'a>) -> &'a str {
    request.target.split('?').next().unwrap_or_default()
}

/// Returns the workspace of the request, if the principal meets the requirement of a route.
fn authorize_route(
    principal: &Principal,
    MatchedRoute { requirement, scope, places }: MatchedRoute<'_>,
    header: Option<&str>,
    directory: &Snapshot,
) -> Result<Option<Membership>, RouteError> {
    let identity = principal.identity().ok_or(Denied::NotFound)?;
    let limits = principal.limits();
    if limits.scopes().is_some() && !scope.is_some_and(|scope| limits.has_scope(scope)) {
        return Err(RouteError::Scope);
    }
    if limits.projects().is_some() && places.project.is_none() {
        return Err(RouteError::NoProject);
    }
    let place = find_place((principal, identity), places, header, directory)?;
    if let Some((id, _)) = place.project
        && !limits.reaches_project(id)
    {
        return Err(Denied::NotFound.into());
    }
    match requirement {
        Requirement::Anyone | Requirement::Authenticated => {}
        Requirement::Workspace(role) => match place.workspace {
            Some(membership) if membership.role >= role => {}
            Some(_) => return Err(Denied::Role(RequiredRole::WorkspaceAdmin).into()),
            None => match principal.policy().excluded() {
                [excluded, ..] if identity.memberships.is_empty() => {
                    return Err(Denied::OutsidePolicy(excluded.outside).into());
                }
                _ => return Err(RouteError::SeveralWorkspaces),
            },
        },
        Requirement::Project(permission) => {
            let (id, project) = place.project.ok_or(Denied::NotFound)?;
            principal.authorize_proxied_project(permission, project.workspace, id, project.role_of(identity.id))?;
        }
    }
    Ok(place.workspace.cloned())
}

/// The workspace and project of a request.
struct Place<'a> {
    workspace: Option<&'a Membership>,
    project: Option<(ProjectId, &'a DirectoryProject)>,
}

/// Returns the value of the client's Keyward-Workspace header. It selects a workspace, so the signature must cover it.
fn signed_workspace<'a>(verified: &VerifiedRequest, request: &OriginalRequest<'a>) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = request.headers.get(WORKSPACE_HEADER) else { return Ok(None) };
    let unacceptable = |why: &str| {
        Refusal::Credential(verified.principal.credential().key(), AuthenticationError::Unacceptable(why.to_owned()))
    };
    if !verified.workspace_signed {
        return Err(unacceptable(UNSIGNED_WORKSPACE));
    }
    value.to_str().map(|text| Some(text.trim())).map_err(|_| unacceptable("Keyward-Workspace is not plain ASCII"))
}

/// Returns the workspace and project in path and header. They must match, and the principal must be in them.
fn find_place<'a>(
    (principal, identity): (&Principal, &'a Arc<Identity>),
    places: Places<'_>,
    header: Option<&str>,
    directory: &'a Snapshot,
) -> Result<Place<'a>, RouteError> {
    let excluded = |is_it: &dyn Fn(&Membership) -> bool| {
        let found = principal.policy().excluded().iter().find(|excluded| is_it(&excluded.membership));
        found.map_or(Denied::NotFound, |excluded| Denied::OutsidePolicy(excluded.outside))
    };
    let find = |is_it: &dyn Fn(&Membership) -> bool| {
        identity.memberships.iter().find(|membership| is_it(membership)).ok_or_else(|| excluded(is_it))
    };
    let named = |text: &str| find(&|membership| names_workspace(text, membership));
    let by_path = places.workspace.map(named).transpose()?;
    let project = match places.project {
        None => None,
        Some(text) => {
            let found = parse_project(text).and_then(|id| directory.project(id).map(|project| (id, project)));
            Some(found.ok_or(Denied::NotFound)?)
        }
    };
    let of_project = match project {
        None => None,
        Some((_, project)) => Some(find(&|membership| membership.workspace == project.workspace)?),
    };
    if let (Some(by_path), Some(of_project)) = (by_path, of_project)
        && by_path.workspace != of_project.workspace
    {
        return Err(Denied::NotFound.into());
    }
    let by_header = header.map(named).transpose()?;
    let by_path = by_path.or(of_project);
    if let (Some(by_path), Some(by_header)) = (by_path, by_header)
        && by_path.workspace != by_header.workspace
    {
        return Err(RouteError::OtherWorkspace);
    }
    let only = match identity.memberships.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    Ok(Place { workspace: by_path.or(by_header).or(only), project })
}
