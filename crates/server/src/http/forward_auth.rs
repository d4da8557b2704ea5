//! Forward authentication: for each request of its clients, a reverse proxy asks for its principal and whether it is
//! accepted. Each dialect has one endpoint, in its own file. An endpoint never uses the headers of another dialect,
//! because proxies also pass on headers of their clients.

mod envoy;
mod envoy_grpc;
mod forwarded;
mod nginx;

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{PrincipalId, text::percent_encode};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts, uri::Authority};
use verifier::{AuthorizedRequest, OriginalRequest, Scheme, VerifiedHeaders, hosts::normal_authority};

pub(crate) use self::nginx::answer_nginx;
use super::{
    MAX_BODY,
    answer::{LoggedPrincipal, LoggedRoute},
    body::{discard, read_body},
    client_address::{ClientAddress, peer_address},
    explain::refuse,
    hygiene,
};
use crate::{App, AppError, Settings};

/// Identity headers that are new in this release. Proxies with a configuration for an earlier release pass these
/// headers of a client on to the API.
const NEW_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("keyward-scopes"), HeaderName::from_static("keyward-email-verified")];

/// An endpoint that proxies ask about requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    Http(Dialect),
    EnvoyGrpc,
}

impl Endpoint {
    /// Returns the endpoint with this path.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            nginx::PATH => Some(Self::Http(Dialect::Nginx)),
            "/auth/caddy" => Some(Self::Http(Dialect::Caddy)),
            "/auth/traefik" => Some(Self::Http(Dialect::Traefik)),
            envoy_grpc::PATH => Some(Self::EnvoyGrpc),
            // Envoy appends the path of the request.
            _ => path.starts_with("/auth/envoy/").then_some(Self::Http(Dialect::Envoy)),
        }
    }

    const fn route(self) -> &'static str {
        match self {
            Self::Http(Dialect::Nginx) => nginx::PATH,
            Self::Http(Dialect::Caddy) => "/auth/caddy",
            Self::Http(Dialect::Traefik) => "/auth/traefik",
            Self::Http(Dialect::Envoy) => "/auth/envoy/{*path}",
            Self::EnvoyGrpc => envoy_grpc::PATH,
        }
    }

    /// Refuses a request that was not read.
    pub(super) fn refuse(self, error: AppError) -> Response {
        match self {
            Self::Http(_) => error.into_response(),
            Self::EnvoyGrpc => envoy_grpc::refuse_call(&error),
        }
    }

    /// Answers a request, with any method.
    pub(crate) async fn answer(self, app: &Arc<App>, request: Request) -> Response {
        let mut response = match self {
            Self::Http(dialect) => admit(app, request, dialect).await.into_response(),
            Self::EnvoyGrpc => envoy_grpc::check(Arc::clone(app), request).await,
        };
        response.extensions_mut().insert(LoggedRoute::Fixed(self.route()));
        response
    }
}

/// How a proxy describes a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
}

impl Dialect {
    fn read<'a>(self, parts: &'a Parts, settings: &Settings, peer: IpAddr) -> Result<ForwardedRequest<'a>, AppError> {
        match self {
            Self::Nginx => nginx::read(&parts.headers, peer),
            Self::Caddy | Self::Traefik => forwarded::read(&parts.headers, settings, peer),
            Self::Envoy => envoy::read(parts, settings, peer),
        }
    }

    /// Returns whether the proxy passes the complete body.
    fn passes_body(self, headers: &HeaderMap) -> Result<bool, AppError> {
        match self {
            Self::Nginx | Self::Caddy => Ok(false),
            Self::Traefik => Ok(true),
            Self::Envoy => envoy::is_partial(headers).map(|is_partial| !is_partial),
        }
    }
}

/// A client's request as the proxy's headers describe it.
struct ForwardedRequest<'a> {
    method: &'a str,
    scheme: &'a str,
    host: &'a str,
    target: &'a str,
    address: ClientAddress,
}

async fn admit(app: &App, request: Request, dialect: Dialect) -> Result<Response, AppError> {
    let peer = peer_address(&request);
    let (parts, body) = request.into_parts();
    let read = require_trusted(app.settings(), peer).and_then(|peer| {
        let original = read_request(app, &parts.headers, |settings| dialect.read(&parts, settings, peer))?;
        Ok((original, dialect.passes_body(&parts.headers)?))
    });
    let (original, passes_body) = match read {
        Ok(read) => read,
        Err(error) => {
            discard(&parts, body).await;
            return Err(error);
        }
    };
    let headers = match verify(app, &original) {
        Ok(Some(headers)) => headers,
        Ok(None) => {
            discard(&parts, body).await;
            return admit_without_credential();
        }
        Err(refusal) => {
            discard(&parts, body).await;
            return Ok(*refusal);
        }
    };
    let body = if passes_body {
        read_body(&parts, body, MAX_BODY).await?
    } else {
        discard(&parts, body).await;
        Bytes::new()
    };
    authorize(app, &original, headers, &body).await
}

/// Verifies the client's credential before the body is kept. Returns `Ok(None)` if there is no credential and none is
/// needed.
fn verify(app: &App, original: &Original<'_>) -> Result<Option<VerifiedHeaders>, Box<Response>> {
    let request = original.view();
    app.verifier().verify_proxied_headers(&request).map_err(|error| Box::new(refuse(app, error.into(), &request)))
}

/// Authorizes a request whose headers are verified, with this body.
async fn authorize(
    app: &App,
    original: &Original<'_>,
    headers: VerifiedHeaders,
    body: &[u8],
) -> Result<Response, AppError> {
    // The proxy may not have passed the body, so an empty one is not compared.
    let body = Some(body).filter(|body| !body.is_empty());
    let request = OriginalRequest { body, ..original.view() };
    let authorized = match app.verifier().authorize_proxied_request(headers, &request).await {
        Ok(authorized) => authorized,
        Err(error) => return Ok(refuse(app, error.into(), &request)),
    };
    let mut response = (StatusCode::OK, IdentityHeaders::of(&authorized)?.into_headers()?).into_response();
    response.extensions_mut().insert(LoggedPrincipal(authorized.principal.audit_principal().to_string()));
    Ok(response)
}

fn admit_without_credential() -> Result<Response, AppError> {
    Ok((StatusCode::OK, IdentityHeaders::default().into_headers()?).into_response())
}

/// A request that a proxy forwarded, with scheme and authority in their signed form.
struct Original<'a> {
    headers: &'a HeaderMap,
    forwarded: ForwardedRequest<'a>,
    scheme: Scheme,
    authority: String,
}

impl Original<'_> {
    /// Returns the client's request without its body.
    fn view(&self) -> OriginalRequest<'_> {
        OriginalRequest {
            method: self.forwarded.method,
            scheme: self.scheme,
            authority: &self.authority,
            target: self.forwarded.target,
            headers: self.headers,
            body: None,
            ip_address: self.forwarded.address.nearest,
            client_ip: self.forwarded.address.client,
        }
    }
}

/// Returns the IP address of the connection, if it belongs to a trusted proxy.
fn require_trusted(settings: &Settings, peer: Option<IpAddr>) -> Result<IpAddr, AppError> {
    peer.filter(|peer| settings.is_trusted_proxy(*peer)).ok_or(AppError::Refused(
        "this IP address is not a trusted proxy; the operator must add it to `trusted_proxies`",
    ))
}

/// Reads a client's request with these headers from a trusted proxy.
fn read_request<'a>(
    app: &App,
    headers: &'a HeaderMap,
    read: impl FnOnce(&Settings) -> Result<ForwardedRequest<'a>, AppError>,
) -> Result<Original<'a>, AppError> {
    hygiene::check_singletons(headers)?;
    refuse_aliases(headers)?;
    let forwarded = read(app.settings()).inspect_err(|error| {
        // An operator who sets up a proxy reads the log first.
        tracing::warn!(reason = error.to_problem().detail, "a proxy does not pass a required header");
    })?;
    let (scheme, authority) = forwarded.check()?;
    require_proxied(app, scheme, &authority)?;
    refuse_new_headers(headers)?;
    Ok(Original { headers, forwarded, scheme, authority })
}

impl ForwardedRequest<'_> {
    /// Refuses a request that two servers may interpret differently, and returns scheme and authority in their signed
    /// form.
    fn check(&self) -> Result<(Scheme, String), AppError> {
        let refuse = |detail: &str| Err(AppError::BadRequest(detail.to_owned()));
        if Method::from_bytes(self.method.as_bytes()).is_err() {
            return refuse("The request's method is malformed.");
        }
        // A WebSocket begins with an HTTP request (RFC 6455 §4.1). The signature covers that request.
        let scheme = match self.scheme {
            "http" | "ws" => Scheme::Http,
            "https" | "wss" => Scheme::Https,
            _ => return refuse("The proxy passed a scheme that is neither http nor https."),
        };
        if self.host.parse::<Authority>().is_err() || self.host.contains('@') {
            return refuse("The request's Host is malformed.");
        }
        if !self.target.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'#') {
            return refuse("The request target has invalid bytes.");
        }
        // The route determines whether the path is ambiguous.
        if !self.target.starts_with('/') {
            return refuse("The request's target is not a path.");
        }
        Ok((scheme, normal_authority(scheme, self.host)))
    }
}

/// Refuses a request for a host that is not listed. A request that was signed for another host, or for Keyward itself,
/// is not valid for this API.
fn require_proxied(app: &App, scheme: Scheme, authority: &str) -> Result<(), AppError> {
    if app.hosts().is_proxied(scheme, authority) {
        return Ok(());
    }
    let next = if app.hosts().has_proxied() { "add it to the list" } else { "set" };
    tracing::warn!(
        host = authority,
        "a proxy asked about a request to a host that is not in `proxied_hosts`; if the host is yours, {next}: \
         proxied_hosts = [{authority:?}]"
    );
    Err(AppError::HostNotProxied(authority.to_owned()))
}

fn refuse_new_headers(headers: &HeaderMap) -> Result<(), AppError> {
    match NEW_HEADERS.iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(AppError::BadRequest(format!(
            "The request has a {name} header, which only Keyward may set. If the client did not send it, the proxy's \
             configuration is from an earlier release: see docs/proxies.md for the current one."
        ))),
        None => Ok(()),
    }
}

/// Refuses header names that CGI and WSGI servers interpret as an identity header: `Remote_User`, `Keyward.Role`.
fn refuse_aliases(headers: &HeaderMap) -> Result<(), AppError> {
    let is_alias = |name: &HeaderName| {
        let name = name.as_str();
        let rest = name.strip_prefix("remote").or_else(|| name.strip_prefix("keyward"));
        rest.is_some_and(|rest| rest.starts_with(['-', '_', '.']) && rest.contains(['_', '.']))
    };
    match headers.keys().find(|name| is_alias(name)) {
        Some(name) => {
            Err(AppError::BadRequest(format!("`{name}` could be mistaken for an identity header. Remove it.")))
        }
        None => Ok(()),
    }
}

/// Returns the single value of a header that the proxy must set.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, AppError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| AppError::BadRequest(format!("{name} is not plain ASCII."))),
        (Some(_), Some(_)) => Err(AppError::BadRequest(format!("{name} is sent more than once."))),
        (None, _) => Err(AppError::BadRequest(format!(
            "The proxy did not pass {name}. The operator finds the configuration of the proxy in docs/proxies.md.{}",
            // nginx sends no header for a variable without a value.
            if name == "x-original-host" {
                " Over HTTP/3, nginx has no $http_host: the example passes the host that clients sign."
            } else {
                ""
            }
        ))),
    }
}

/// The values of the identity headers. All are empty if there is no credential and none is needed.
#[derive(Default)]
struct IdentityHeaders {
    user: String,
    email: String,
    name: String,
    groups: String,
    principal: String,
    workspace: String,
    role: String,
    key: String,
    scopes: String,
    email_verified: String,
    content_digest_verified: String,
}

impl IdentityHeaders {
    fn of(authorized: &AuthorizedRequest) -> Result<Self, AppError> {
        let identity = authorized.principal.identity();
        let identity =
            identity.ok_or_else(|| AppError::Internal("a proxied request without an identity".to_owned()))?;
        let mut groups = String::new();
        for membership in authorized.memberships() {
            if !groups.is_empty() {
                groups.push(',');
            }
            groups.push_str(&membership.slug);
            groups.push(':');
            groups.push_str(membership.role.as_str());
        }
        let workspace = authorized.workspace.as_ref();
        let key = authorized.principal.credential().key();
        Ok(Self {
            user: identity.email.clone(),
            email: identity.email.clone(),
            name: percent_encode(&identity.name, b""),
            groups,
            principal: match identity.id {
                PrincipalId::User(id) => id.to_string(),
                PrincipalId::ServiceAccount(id) => id.to_string(),
            },
            workspace: workspace.map_or_else(String::new, |membership| membership.workspace.to_string()),
            role: workspace.map_or_else(String::new, |membership| membership.role.to_string()),
            key: key.map_or_else(String::new, |key| key.to_string()),
            scopes: authorized.principal.limits().scopes().map_or_else(String::new, |scopes| {
                scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }),
            email_verified: identity.email_verified.to_string(),
            content_digest_verified: authorized.body_verified.to_string(),
        })
    }

    /// Returns every header, including empty ones. If one were missing, the proxy would pass on the client's own
    /// header.
    fn into_headers(self) -> Result<HeaderMap, AppError> {
        let values = [
            ("remote-user", self.user),
            ("remote-email", self.email),
            ("remote-name", self.name),
            ("remote-groups", self.groups),
            ("keyward-principal", self.principal),
            ("keyward-workspace", self.workspace),
            ("keyward-role", self.role),
            ("keyward-key", self.key),
            ("keyward-scopes", self.scopes),
            ("keyward-email-verified", self.email_verified),
            ("keyward-content-digest-verified", self.content_digest_verified),
        ];
        let mut headers = HeaderMap::with_capacity(values.len());
        for (name, value) in values {
            let value = HeaderValue::try_from(value)
                .map_err(|_| AppError::Internal(format!("the value of {name} cannot be sent in a header")))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_of_identity_headers_in_cgi_are_refused() {
        let refused = |name: &'static str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static("x"))]);
            refuse_aliases(&headers).is_err()
        };
        for name in [
            "remote_user",
            "remote.email",
            "keyward_role",
            "keyward-content_digest-verified",
            "keyward_content.digest_verified",
        ] {
            assert!(refused(name), "{name}");
        }
        for name in ["remote-user", "keyward-workspace", "remote", "x_remote_user", "remoteuser_x", "dnt"] {
            assert!(!refused(name), "{name}");
        }
    }
}
