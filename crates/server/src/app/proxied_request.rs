//! Judging a request to a platform's own API, for the proxy in front of it: who sent it, and may they? Reads touch no
//! database; a native write leaves its nonce there first.

use std::sync::Arc;

use domain::{
    Timestamp,
    principal::{Identity, Membership, Principal},
    route::{Places, Requirement, find_route, names_workspace, parse_project},
    secret::redact,
};
use verifier::{
    AuthenticationError,
    directory::{DirectoryProject, Snapshot},
};

use super::{
    App, OriginalRequest, Verified, VerifiedHeaders,
    request::{Refusal, RefusedByRoutes, WORKSPACE_HEADER, key_is_gone},
};
use crate::error::AppError;

/// Characters of a path that the audit log keeps.
const MAX_PATH_IN_LOG: usize = 200;

/// A request that may pass, and for whom.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Who sent it.
    pub principal: Principal,
    /// Where they act: none where they are in several workspaces and nothing names one.
    pub workspace: Option<Membership>,
    /// Whether the body was seen and is the one that was signed.
    pub body_verified: bool,
}

impl App {
    /// Verifies the credential that a client shows to a proxy, before the proxy's copy of the body is kept.
    ///
    /// # Errors
    /// 401 without a credential that is accepted, 429 for too many, 503 where this node may not authenticate anybody.
    pub fn verify_proxied_headers(&self, request: &OriginalRequest<'_>) -> Result<VerifiedHeaders, AppError> {
        self.limit_address(request.address)?;
        if let Some(verified) = self.verify_headers(request)? {
            return Ok(verified);
        }
        self.require_feed()?.require_lease()?;
        let missing = Refusal::Credential(None, AuthenticationError::Missing);
        Err(self.refuse(missing, request.address, self.clock.now()))
    }

    /// Whether a request whose headers verified may pass, and who sent it.
    ///
    /// # Errors
    /// 401 without a credential that is accepted, 403 or 404 where the routes do not let them, 429 for too many, 503
    /// where this node may not authenticate anybody.
    pub async fn admit_proxied_request(
        &self,
        headers: VerifiedHeaders,
        request: &OriginalRequest<'_>,
    ) -> Result<Admission, AppError> {
        let feed = self.require_feed()?;
        let now = self.clock.now();
        let (mut verdict, version) = {
            let directory = feed.directory().load();
            let verdict = self.authenticate(headers, request, &directory, now).and_then(|verified| {
                let admission = self.admit(verified.caller.principal.clone(), &verified, request, &directory);
                let admission = admission.map_err(|refusal| by_routes(refusal, &verified, request))?;
                Ok((verified, admission))
            });
            (verdict, directory.version())
        };
        if let Ok((verified, _)) = &verdict
            && let Some(replay) = verified.caller.replay.clone().filter(|replay| replay.nonce.is_some())
        {
            let key = replay.api_key;
            let noted = self.nonces.note(replay).await;
            let directory = feed.directory().load();
            verdict = match (noted, verdict) {
                (Err(error), _) => Err(error.into()),
                (Ok(false), _) => Err(Refusal::Credential(Some(key), AuthenticationError::NonceReused)),
                // What was revoked while the nonce was written is revoked.
                (Ok(true), Ok((verified, _))) if directory.version() != version => {
                    self.admit_again(&verified, request, &directory, now).map(|admission| (verified, admission))
                }
                (Ok(true), verdict) => verdict,
            };
        }
        feed.require_lease()?;
        let (_, admission) = verdict.map_err(|refusal| self.refuse(refusal, request.address, now))?;
        Ok(admission)
    }

    fn admit_again(
        &self,
        verified: &Verified,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<Admission, Refusal> {
        let credential = *verified.caller.principal.credential();
        let id = credential.key().ok_or(Refusal::Credential(None, AuthenticationError::UnknownKey))?;
        let gone = || Refusal::Credential(Some(id), key_is_gone(directory, id));
        let key = directory.key(id).ok_or_else(gone)?;
        let principal = Self::principal(key, credential, directory, now)
            .map_err(|error| Refusal::Credential(credential.key(), error))?;
        self.admit(principal, verified, request, directory).map_err(|refusal| by_routes(refusal, verified, request))
    }

    /// What the routes say.
    fn admit(
        &self,
        principal: Principal,
        verified: &Verified,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
    ) -> Result<Admission, Refusal> {
        let identity = principal.identity().ok_or(AppError::not_found())?;
        let path = request.target.split('?').next().unwrap_or_default();
        let routes = &self.settings.routes;
        let (requirement, places) = match find_route(routes, request.method, path) {
            Some((route, places)) => (route.requirement(), places),
            None if routes.is_empty() => (Requirement::Authenticated, Places::default()),
            None => return Err(AppError::Refused("no route of this installation takes this method and path").into()),
        };
        let header = signed_workspace(verified, request)?;
        let place = find_place(identity, places, header, directory)?;
        match requirement {
            Requirement::Authenticated => {}
            Requirement::Workspace(role) => match place.workspace {
                Some(membership) if membership.role >= role => {}
                Some(_) => return Err(AppError::from(domain::principal::Denied::Role("admin of the workspace")).into()),
                None => {
                    return Err(AppError::Refused(
                        "you are in several workspaces; name one in a Keyward-Workspace header, and sign it",
                    )
                    .into());
                }
            },
            Requirement::Project(permission) => {
                let project = place.project.ok_or(AppError::not_found())?;
                principal
                    .authorize_project(permission, project.workspace, project.role_of(identity.id))
                    .map_err(AppError::from)?;
            }
        }
        let workspace = place.workspace.cloned();
        Ok(Admission { principal, workspace, body_verified: verified.body_verified })
    }
}

/// Remembers with which key, and where to, somebody asked who is known and may not.
fn by_routes(refusal: Refusal, verified: &Verified, request: &OriginalRequest<'_>) -> Refusal {
    let key = verified.caller.principal.credential().key();
    match (refusal, key) {
        (Refusal::Other(error @ (AppError::Denied(_) | AppError::Refused(_))), Some(key)) => {
            // Queries carry what is nobody's business, and paths may.
            let path = redact(request.target.split('?').next().unwrap_or_default());
            let asked = format!("{} {}", request.method, path.chars().take(MAX_PATH_IN_LOG).collect::<String>());
            Refusal::Routes(Box::new(RefusedByRoutes { key, asked, error }))
        }
        (refusal, _) => refusal,
    }
}

/// Where a request goes.
struct Place<'a> {
    workspace: Option<&'a Membership>,
    project: Option<&'a DirectoryProject>,
}

/// What the client's Keyward-Workspace header names. It is an instruction, so nobody but the signer may give it.
fn signed_workspace<'a>(verified: &Verified, request: &OriginalRequest<'a>) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = request.headers.get(WORKSPACE_HEADER) else { return Ok(None) };
    let unacceptable = |why: &str| {
        Refusal::Credential(
            verified.caller.principal.credential().key(),
            AuthenticationError::Unacceptable(why.to_owned()),
        )
    };
    if !verified.workspace_signed {
        return Err(unacceptable("Keyward-Workspace is not covered by a signature; sign it, or leave it out"));
    }
    value.to_str().map(|text| Some(text.trim())).map_err(|_| unacceptable("Keyward-Workspace is not plain ASCII"))
}

/// The workspace and project that path and header name; they must name the same, and one that the principal is in.
fn find_place<'a>(
    identity: &'a Arc<Identity>,
    places: Places<'_>,
    header: Option<&str>,
    directory: &'a Snapshot,
) -> Result<Place<'a>, AppError> {
    let named =
        |text: &str| identity.memberships.iter().find(|m| names_workspace(text, m)).ok_or(AppError::not_found());
    let by_path = places.workspace.map(named).transpose()?;
    let project = match places.project {
        None => None,
        Some(text) => Some(parse_project(text).and_then(|id| directory.project(id)).ok_or(AppError::not_found())?),
    };
    let of_project = match project {
        None => None,
        Some(project) => {
            let membership = identity.memberships.iter().find(|m| m.workspace == project.workspace);
            Some(membership.ok_or(AppError::not_found())?)
        }
    };
    if let (Some(by_path), Some(of_project)) = (by_path, of_project)
        && by_path.workspace != of_project.workspace
    {
        return Err(AppError::not_found());
    }
    let by_header = header.map(named).transpose()?;
    let by_path = by_path.or(of_project);
    if let (Some(by_path), Some(by_header)) = (by_path, by_header)
        && by_path.workspace != by_header.workspace
    {
        return Err(AppError::Refused("Keyward-Workspace names another workspace than the path"));
    }
    let only = match identity.memberships.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    Ok(Place { workspace: by_path.or(by_header).or(only), project })
}
