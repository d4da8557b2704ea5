//! Verification of a signed request: from the received bytes to the principal. It uses no database and no lock. The
//! credential is verified with the headers, before a body is received. Then the body is compared with the signed
//! digest.

use std::{net::IpAddr, sync::Arc, time::Duration};

use domain::{
    ApiKeyId, Fingerprint, ReplayKey, Timestamp,
    api_key::KeyState,
    key_use::RefusalReason,
    principal::{IdentityRefusal, KeyCredential, Principal},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_signature::{
    Profile, RequestView, SignatureError, UnverifiedSignature, VerificationKey, VerifiedSignature, VerifyError,
    is_safe_method,
};

use crate::{
    authentication::AuthenticationError as Error,
    directory::{DirectoryKey, RevokedKey, Snapshot, Verification},
    error::{RouteError, VerificationError},
    hosts::Scheme,
    outside::{CredentialType, Outcome},
    rate_limit::RetryAfter,
    refusal_records::RefusalKind,
    token::Token,
    verifier::Verifier,
};

/// A request as sent by its client.
#[derive(Clone, Copy, Debug)]
pub struct OriginalRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The scheme.
    pub scheme: Scheme,
    /// The authority, in lower case and without the scheme's default port.
    pub authority: &'a str,
    /// The raw target: path and query.
    pub target: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body, if it was received.
    pub body: Option<&'a [u8]>,
    /// The IP address of the client, or that of the nearest proxy that does not report it.
    pub ip_address: Option<IpAddr>,
    /// The IP address of the client, if it is known. Keys that are limited to networks are accepted from these only.
    pub client_ip: Option<IpAddr>,
}

impl<'a> OriginalRequest<'a> {
    pub(crate) const fn view(&self) -> RequestView<'a> {
        RequestView {
            method: self.method,
            scheme: self.scheme.as_str(),
            authority: self.authority,
            target: self.target,
            headers: self.headers,
        }
    }
}

/// The credential of a request, before it is verified.
pub(crate) enum ShownCredential<'a> {
    Signature(UnverifiedSignature),
    /// The value of Authorization.
    Authorization(&'a HeaderValue),
}

/// Reads the only credential of a request. Returns `Ok(None)` if it has none.
///
/// # Errors
/// The form of the request is wrong. This depends on no key.
pub(crate) fn read_credential<'a>(request: &OriginalRequest<'a>) -> Result<Option<ShownCredential<'a>>, Refusal> {
    let signature = UnverifiedSignature::parse(&request.view()).map_err(|error| match error {
        SignatureError::TooManyLabels | SignatureError::TooManyComponents => {
            Refusal::Other(VerificationError::TooManySignatures)
        }
        SignatureError::BadRequest(part) => Refusal::Other(VerificationError::Unsignable(part)),
        other => Refusal::Credential(None, Error::Malformed(other.to_string())),
    })?;
    let mut authorizations = request.headers.get_all(header::AUTHORIZATION).iter();
    match (signature, authorizations.next(), authorizations.next()) {
        (None, None, _) => Ok(None),
        (Some(signature), None, _) => Ok(Some(ShownCredential::Signature(signature))),
        (None, Some(authorization), None) => Ok(Some(ShownCredential::Authorization(authorization))),
        (Some(_), Some(_), _) | (None, Some(_), Some(_)) => Err(Refusal::Credential(None, Error::Several)),
    }
}

/// A request whose credential was verified with its headers. It is not authenticated yet. [`Verifier::verify_body`]
/// checks the body, and repeats the checks that could have a different result after the body was received.
#[derive(Clone, Debug)]
pub struct VerifiedHeaders {
    key: ApiKeyId,
    evidence: Evidence,
    shown: Option<CredentialType>,
    duration: Duration,
}

impl VerifiedHeaders {
    pub(crate) const fn new(key: ApiKeyId, evidence: Evidence) -> Self {
        Self { key, evidence, shown: None, duration: Duration::ZERO }
    }
}

/// The verified credential of a key.
#[derive(Clone, Debug)]
pub(crate) enum Evidence {
    Signature(VerifiedSignature),
    /// A bearer token, which has no signature of the request.
    BearerToken(Token),
}

/// A request whose credential was accepted.
#[derive(Clone, Debug)]
pub struct VerifiedRequest {
    /// The principal of the request.
    pub principal: Principal,
    /// The IP address of the client, or that of the nearest proxy that does not report it.
    pub ip_address: Option<IpAddr>,
    /// The IP address of the client, if it is known.
    pub client_ip: Option<IpAddr>,
    /// When the request was signed, if the client signed it.
    pub signed_at: Option<Timestamp>,
    /// The key that identifies a signed write if it is sent again.
    pub replay: Option<ReplayKey>,
    /// Whether the body was checked and is the signed one.
    pub body_verified: bool,
    /// Whether there is a Keyward-Workspace header that the signature covers.
    pub(crate) workspace_signed: bool,
}

/// The header in which a principal of several workspaces selects one.
pub(crate) const WORKSPACE_HEADER: HeaderName = HeaderName::from_static("keyward-workspace");

impl Verifier {
    /// Verifies a request whose body was received or is not checked. Returns `Ok(None)` if it has no credential.
    ///
    /// # Errors
    /// The credential is refused, the key is used too often, or this node holds no lease.
    pub fn verify_request(&self, request: &OriginalRequest<'_>) -> Result<Option<VerifiedRequest>, VerificationError> {
        self.verify_headers(request)?.map(|headers| self.verify_body(headers, request)).transpose()
    }

    /// Verifies the credential in the headers of a request, independently of its body. Returns `Ok(None)` if there is
    /// none.
    ///
    /// # Errors
    /// The credential is refused, or this node holds no lease.
    pub fn verify_headers(&self, request: &OriginalRequest<'_>) -> Result<Option<VerifiedHeaders>, VerificationError> {
        let now = self.clock.now();
        let began = self.clock.since_boot();
        let verified = self.verify_credential(request, &self.directory.load(), now);
        let duration = self.clock.since_boot().saturating_sub(began);
        let shown = CredentialType::of(request.headers);
        match verified {
            Ok(verified) => Ok(verified.map(|headers| VerifiedHeaders { shown, duration, ..headers })),
            Err(refusal) => {
                self.observe(shown, Outcome::Refused, duration);
                // The lease is checked last, because the directory could be outdated by now.
                self.require_lease()?;
                Err(self.refuse(refusal, request.ip_address, now))
            }
        }
    }

    /// Authenticates a request whose headers were verified: compares its body with the signed digest, and repeats the
    /// checks that could have a different result after the body was received.
    ///
    /// # Errors
    /// The body is not the signed one, the credential has ended in the meantime, the key is used too often, or this
    /// node holds no lease.
    pub fn verify_body(
        &self,
        headers: VerifiedHeaders,
        request: &OriginalRequest<'_>,
    ) -> Result<VerifiedRequest, VerificationError> {
        let now = self.clock.now();
        let directory = self.directory.load();
        let authenticated = self.authenticate(headers, request, &directory, now);
        // The lease is checked last, because the directory could be outdated by now.
        self.require_lease()?;
        let verified = authenticated.map_err(|refusal| self.refuse(refusal, request.ip_address, now))?;
        self.count_accepted(&verified.principal, &directory, now);
        Ok(verified)
    }

    /// Counts an accepted request with the key of its principal.
    pub(crate) fn count_accepted(&self, principal: &Principal, directory: &Snapshot, now: Timestamp) {
        if let Some(key) = principal.credential().key().and_then(|id| directory.key(id)) {
            self.uses.count_accepted(key, now);
        }
    }

    fn observe(&self, shown: Option<CredentialType>, outcome: Outcome, duration: Duration) {
        let Some(shown) = shown else { return };
        let outcome = if self.holds_lease() { outcome } else { Outcome::Unavailable };
        self.observer.observe_verification(shown, outcome, duration);
    }

    /// Determines the principal of verified headers, and reports the result to the observer.
    pub(crate) fn authenticate(
        &self,
        headers: VerifiedHeaders,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<VerifiedRequest, Refusal> {
        let began = self.clock.since_boot();
        let (shown, before) = (headers.shown, headers.duration);
        let authenticated = self.authenticate_within_rate(headers, request, directory, now);
        let duration = before + self.clock.since_boot().saturating_sub(began);
        let outcome = if authenticated.is_ok() { Outcome::Accepted } else { Outcome::Refused };
        self.observe(shown, outcome, duration);
        authenticated
    }

    /// Counts a request towards its key's rate after it is known to be sent by the holder of the key.
    fn authenticate_within_rate(
        &self,
        headers: VerifiedHeaders,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<VerifiedRequest, Refusal> {
        let VerifiedHeaders { key: id, evidence, .. } = headers;
        let refuse = |error| Refusal::Credential(Some(id), error);
        let key = directory.key(id).ok_or_else(|| refuse(missing_key(directory, id)))?;
        let credential = match &evidence {
            Evidence::Signature(_) => KeyCredential::Signature(id),
            Evidence::BearerToken(_) => KeyCredential::BearerToken(id),
        };
        let principal = find_principal(key, credential, directory, now, request.client_ip).map_err(refuse)?;
        let signature = match evidence {
            Evidence::BearerToken(token) => {
                token.check(directory, now).map_err(refuse)?;
                None
            }
            Evidence::Signature(signature) => {
                check_signature_time(&signature, directory, now).map_err(refuse)?;
                if let Some(body) = request.body {
                    signature.verify_body(body).map_err(|_| refuse(Error::DigestMismatch))?;
                }
                Some(signature)
            }
        };
        self.uses.record_use(key, now, request.ip_address);
        if let Some(rate) = self.key_rate {
            key.allowance().take(rate, self.clock.since_boot()).map_err(|wait| Refusal::RateLimited(id, wait))?;
        }
        let is_write = !is_safe_method(request.method);
        let replay = signature.as_ref().filter(|_| is_write).map(|signature| replay_key(key, signature));
        let workspace_signed = request.headers.contains_key(WORKSPACE_HEADER)
            && signature.as_ref().is_some_and(|signature| signature.covers_header(WORKSPACE_HEADER.as_str()));
        Ok(VerifiedRequest {
            principal,
            ip_address: request.ip_address,
            client_ip: request.client_ip,
            signed_at: signature.as_ref().and_then(|signature| Timestamp::from_second(signature.created()).ok()),
            replay,
            body_verified: signature.is_some() && request.body.is_some(),
            workspace_signed,
        })
    }

    /// Records a refusal, and returns the error for the client.
    pub(crate) fn refuse(&self, refusal: Refusal, ip_address: Option<IpAddr>, now: Timestamp) -> VerificationError {
        match refusal {
            Refusal::Credential(key, error) => {
                self.record_refusal(key, ip_address, &error);
                VerificationError::Unauthenticated(error, now)
            }
            Refusal::RateLimited(key, wait) => {
                self.count_refused(key, now, RefusalReason::RateLimited);
                VerificationError::RateLimited(wait)
            }
            Refusal::Route { key, request, error } => {
                if let Some(key) = key {
                    self.count_refused(key, now, RefusalReason::Forbidden);
                }
                let kind = RefusalKind { verified: key.is_some(), key, ip_address, code: error.code() };
                self.refusals.record(kind, format!("{request}: {error}"), now);
                error.into()
            }
            Refusal::Other(error) => error,
        }
    }

    fn verify_credential(
        &self,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<Option<VerifiedHeaders>, Refusal> {
        let verified = match read_credential(request)? {
            None => return Ok(None),
            Some(ShownCredential::Authorization(value)) => {
                self.verify_bearer_token(value, directory, now, request.client_ip)
            }
            Some(ShownCredential::Signature(signature)) => self.verify_signature(signature, request, directory, now),
        };
        verified.map(Some).map_err(|(key, error)| Refusal::Credential(key, error))
    }

    fn verify_signature(
        &self,
        signature: UnverifiedSignature,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<VerifiedHeaders, (Option<ApiKeyId>, Error)> {
        let key = match find_key(directory, signature.profile(), signature.key_id()) {
            Some(NamedKey::Registered(key)) => key,
            // Both take as long as a registered key.
            Some(NamedKey::Revoked(key)) => {
                let outcome = signature.verify(&key.verification_key, now.as_second());
                let verified = !matches!(outcome, Err(VerifyError::Invalid));
                return Err((Some(key.id), Error::KeyRevoked { verified }));
            }
            None => {
                let _ = signature.verify(&VerificationKey::dummy(), now.as_second());
                return Err((None, Error::UnknownKey));
            }
        };
        let refuse = |error| (Some(key.id), error);
        let outcome = signature.verify(&key.verification_key(), now.as_second());
        if !matches!(outcome, Err(VerifyError::Invalid)) {
            match key.note_verification() {
                Verification::First => self.uses.record_first_verification(key, now),
                Verification::Further => {}
                Verification::TooLate => return Err(refuse(Error::KeyRevoked { verified: true })),
            }
        }
        let verified = outcome.map_err(|e| refuse(verify_error(e)))?;
        let credential = KeyCredential::Signature(key.id);
        find_principal(key, credential, directory, now, request.client_ip).map_err(refuse)?;
        check_signature_time(&verified, directory, now).map_err(refuse)?;
        if verified.profile() == Profile::Encord && !self.hosts.takes_encord(request.scheme, request.authority) {
            return Err(refuse(Error::HostNotListed));
        }
        Ok(VerifiedHeaders::new(key.id, Evidence::Signature(verified)))
    }

    /// Records for the audit log that a credential was refused, and counts it.
    pub fn record_refusal(&self, key: Option<ApiKeyId>, ip_address: Option<IpAddr>, error: &Error) {
        if let (Some(key), Some(reason)) = (key, error.refusal_reason()) {
            self.count_refused(key, self.clock.now(), reason);
        }
        let kind = RefusalKind { verified: error.is_verified(), key, ip_address, code: error.code() };
        self.refusals.record(kind, error.to_string(), self.clock.now());
    }

    /// Counts a refused request with a key, if the key exists.
    fn count_refused(&self, key: ApiKeyId, now: Timestamp, reason: RefusalReason) {
        let directory = self.directory.load();
        if directory.key(key).is_some() || directory.revoked_key(key).is_some() {
            self.uses.count_refused(key, now, reason);
        }
    }
}

/// Returns the principal of a key, unless the key or its owner is refused. The credential must be verified, because the
/// reason of a refusal by the key's limits is for its holder.
pub(crate) fn find_principal(
    key: &DirectoryKey,
    credential: KeyCredential,
    directory: &Snapshot,
    now: Timestamp,
    client_ip: Option<IpAddr>,
) -> Result<Principal, Error> {
    match key.state(now) {
        KeyState::Active => {}
        KeyState::Disabled => return Err(Error::KeyDisabled),
        KeyState::Suspended => return Err(Error::KeySuspended),
        KeyState::Expired => return Err(Error::KeyExpired),
        KeyState::Revoked => return Err(Error::UnknownKey),
    }
    let limits = key.limits();
    limits.check_use(now, client_ip)?;
    // If the owner does not exist, it was deleted, which revokes the key.
    let identity = directory.identity(key.owner).ok_or(Error::UnknownKey)?;
    match identity.refusal() {
        None => {
            let policy = directory.policies().check_use(|| key.facts(), identity, now);
            Ok(Principal::of_key(identity, credential, limits, policy.map_err(Error::OutsidePolicy)?))
        }
        Some(IdentityRefusal::Disabled) => Err(Error::OwnerDisabled),
        Some(IdentityRefusal::Suspended) => Err(Error::OwnerSuspended),
        Some(IdentityRefusal::NoWorkspace) => Err(Error::OwnerWithoutWorkspace),
    }
}

fn check_signature_time(signature: &VerifiedSignature, directory: &Snapshot, now: Timestamp) -> Result<(), Error> {
    signature.check_not_over(now.as_second()).map_err(verify_error)?;
    if signature.created() < directory.signatures_from().as_second() {
        return Err(Error::Stale(now.as_second() - signature.created()));
    }
    Ok(())
}

/// Why a request is refused.
pub(crate) enum Refusal {
    /// Its credential is refused. Contains the key if it exists.
    Credential(Option<ApiKeyId>, Error),
    /// Its credential is accepted or not needed, and the routes refuse it.
    Route {
        key: Option<ApiKeyId>,
        /// The method and path.
        request: String,
        error: RouteError,
    },
    /// There are too many requests with this key.
    RateLimited(ApiKeyId, RetryAfter),
    /// A refusal that is neither counted nor recorded in the audit log.
    Other(VerificationError),
}

impl From<VerificationError> for Refusal {
    fn from(error: VerificationError) -> Self {
        Self::Other(error)
    }
}

/// Returns why the key of a verified request is not in the directory.
pub(crate) fn missing_key(directory: &Snapshot, id: ApiKeyId) -> Error {
    if directory.revoked_key(id).is_some() { Error::KeyRevoked { verified: true } } else { Error::UnknownKey }
}

/// The key with the key id of a signature.
enum NamedKey<'a> {
    Registered(&'a Arc<DirectoryKey>),
    Revoked(&'a RevokedKey),
}

fn find_key<'a>(directory: &'a Snapshot, profile: Profile, key_id: &str) -> Option<NamedKey<'a>> {
    let by_fingerprint = |fingerprint: &Fingerprint| {
        let registered = directory.key_by_fingerprint(fingerprint).map(NamedKey::Registered);
        registered.or_else(|| directory.revoked_key_by_fingerprint(fingerprint).map(|key| NamedKey::Revoked(key)))
    };
    match profile {
        Profile::Encord => by_fingerprint(&Fingerprint::of_ed25519(&decode_hex(key_id)?)),
        Profile::Native => match key_id.parse::<Fingerprint>() {
            Ok(fingerprint) => by_fingerprint(&fingerprint),
            Err(_) => {
                let id = key_id.parse().ok()?;
                let registered = directory.key(id).map(NamedKey::Registered);
                registered.or_else(|| directory.revoked_key(id).map(|key| NamedKey::Revoked(key)))
            }
        },
    }
}

/// Decodes 64 lower-case hexadecimal digits.
fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut bytes = [0; 32];
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn verify_error(error: VerifyError) -> Error {
    match error {
        VerifyError::Invalid => Error::BadSignature,
        VerifyError::Stale { seconds_late } => Error::Stale(seconds_late),
        VerifyError::Early { seconds } => Error::Early(seconds),
        other => Error::Unacceptable(other.to_string()),
    }
}

/// Returns the replay key of a signed write. It is kept until no clock accepts the signature any more.
fn replay_key(key: &DirectoryKey, verified: &VerifiedSignature) -> ReplayKey {
    let end = verified.expires_at() + verified.profile().future_window_seconds();
    ReplayKey {
        key: verified.base_hash(key.id.to_string().as_bytes()),
        api_key: key.id,
        nonce: verified.nonce().map(str::to_owned),
        expires_at: Timestamp::from_second(end).unwrap_or(Timestamp::MAX),
    }
}
