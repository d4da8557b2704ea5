//! Verifying a signed request: from the bytes that came to the principal that sent them. No database, no lock. The
//! credential is verified on the headers, before a body is kept; then the body is compared with the signed digest.

use std::{net::IpAddr, sync::Arc, time::Duration};

use api::codes;
use axum::http::{HeaderMap, HeaderName, header};
use domain::{
    ApiKeyId, Fingerprint, Timestamp,
    api_key::KeyState,
    principal::{Credential, IdentityRefusal, Principal},
};
use http_signature::{
    Profile, RequestView, SignatureError, UnverifiedSignature, VerificationKey, VerifiedSignature, VerifyError,
};
use store::ReplayKey;
use verifier::{
    AuthenticationError as Error, Scheme,
    directory::{DirectoryKey, RevokedKey, Snapshot, Verification},
    rate_limit::{Rate, RetryAfter},
};

use super::{App, Caller, ConfirmationSlot};
use crate::{
    error::AppError,
    feed::Feed,
    journal::RefusalKind,
    metrics::{Shown, Verdict},
};

/// A request as its client sent it.
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
    /// The body, where it was seen.
    pub body: Option<&'a [u8]>,
    /// Where it came from.
    pub address: Option<IpAddr>,
}

/// A request whose credential verified by its headers. Nobody is authenticated yet: the body, and what changed while it
/// came, are still to be looked at by [`App::verify_body`].
#[derive(Clone, Debug)]
pub struct VerifiedHeaders {
    key: ApiKeyId,
    evidence: Evidence,
    shown: Option<Shown>,
    took: Duration,
}

impl VerifiedHeaders {
    pub(super) const fn new(key: ApiKeyId, evidence: Evidence) -> Self {
        Self { key, evidence, shown: None, took: Duration::ZERO }
    }
}

/// What verified under a key.
#[derive(Clone, Debug)]
pub(super) enum Evidence {
    Signature(VerifiedSignature),
    /// A bearer token, which signs nothing.
    BearerToken {
        /// The token epoch that it belongs to.
        epoch: u64,
        /// When it ends, in Unix seconds.
        end: i64,
    },
}

/// A request whose credential was accepted.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who sent it.
    pub caller: Caller,
    /// Whether the body was seen and is the one that was signed.
    pub body_verified: bool,
    /// Whether there is a Keyward-Workspace header, and the signature covers it.
    pub(super) workspace_signed: bool,
}

/// The header by which somebody of several workspaces says where they act.
pub(super) const WORKSPACE_HEADER: HeaderName = HeaderName::from_static("keyward-workspace");

impl App {
    /// Who sent a request whose body is there, or was kept back. `Ok(None)` where it shows no credential at all.
    ///
    /// # Errors
    /// 401 for a credential that is not accepted, 429 for a key that is used too often, 503 where this node may not
    /// authenticate anybody.
    pub fn verify_request(&self, request: &OriginalRequest<'_>) -> Result<Option<Verified>, AppError> {
        self.verify_headers(request)?.map(|headers| self.verify_body(headers, request)).transpose()
    }

    /// Verifies the credential that a request shows in its headers, whatever its body is. `Ok(None)` where it shows none.
    ///
    /// # Errors
    /// 401 for a credential that is not accepted, 503 where this node may not authenticate anybody.
    pub fn verify_headers(&self, request: &OriginalRequest<'_>) -> Result<Option<VerifiedHeaders>, AppError> {
        let feed = self.require_feed()?;
        let now = self.clock.now();
        let began = self.clock.since_boot();
        let verdict = self.verify_credential(request, &feed.directory().load(), now);
        let took = self.clock.since_boot().saturating_sub(began);
        let shown = Shown::in_headers(request.headers);
        match verdict {
            Ok(verified) => Ok(verified.map(|headers| VerifiedHeaders { shown, took, ..headers })),
            Err(refusal) => {
                self.count_verdict(shown, Verdict::Refused, took);
                // The lease is looked at last: until here the directory may have grown old.
                feed.require_lease()?;
                Err(self.refuse(refusal, request.address, now))
            }
        }
    }

    /// Who sent a request whose headers verified: compares its body with the signed digest, and looks again at what may
    /// have changed while the body came.
    ///
    /// # Errors
    /// 401 for a body that is not the signed one or a credential that ended meanwhile, 429 for a key that is used too
    /// often, 503 where this node may not authenticate anybody.
    pub fn verify_body(&self, headers: VerifiedHeaders, request: &OriginalRequest<'_>) -> Result<Verified, AppError> {
        let feed = self.require_feed()?;
        let now = self.clock.now();
        let verdict = self.authenticate(headers, request, &feed.directory().load(), now);
        // The lease is looked at last: until here the directory may have grown old.
        feed.require_lease()?;
        verdict.map_err(|refusal| self.refuse(refusal, request.address, now))
    }

    pub(super) fn require_feed(&self) -> Result<&Feed, AppError> {
        let fault = || AppError::Internal("a command on the host judges no requests".to_owned());
        self.feed.as_deref().ok_or_else(fault)
    }

    /// Refuses an address that asks too often. Where the address is not known, its keys alone are counted.
    ///
    /// # Errors
    /// 429
    pub fn limit_address(&self, address: Option<IpAddr>) -> Result<(), AppError> {
        match (address, Rate::per_second(self.settings.rate_limits.per_address)) {
            (Some(address), Some(rate)) => self
                .address_allowances
                .take(address, rate, self.clock.since_boot())
                .map_err(|RetryAfter(seconds)| AppError::RateLimited(seconds)),
            _ => Ok(()),
        }
    }

    fn count_verdict(&self, shown: Option<Shown>, verdict: Verdict, took: Duration) {
        let Some(shown) = shown else { return };
        let holds_lease = self.feed.as_ref().is_some_and(|feed| feed.holds_lease());
        self.metrics.count_judged(shown, if holds_lease { verdict } else { Verdict::Unavailable }, took);
    }

    /// From verified headers to the principal, and counts what came of it.
    pub(super) fn authenticate(
        &self,
        headers: VerifiedHeaders,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let began = self.clock.since_boot();
        let (shown, before) = (headers.shown, headers.took);
        let verdict = self.authenticate_within_rate(headers, request, directory, now);
        let took = before + self.clock.since_boot().saturating_sub(began);
        self.count_verdict(shown, if verdict.is_ok() { Verdict::Accepted } else { Verdict::Refused }, took);
        verdict
    }

    /// Counts a request towards its key's rate once it is known to be the holder's.
    fn authenticate_within_rate(
        &self,
        headers: VerifiedHeaders,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let VerifiedHeaders { key: id, evidence, .. } = headers;
        let refuse = |error| Refusal::Credential(Some(id), error);
        let key = directory.key(id).ok_or_else(|| refuse(key_is_gone(directory, id)))?;
        let credential = match &evidence {
            Evidence::Signature(_) => Credential::Signature(id),
            Evidence::BearerToken { .. } => Credential::BearerToken(id),
        };
        let principal = Self::principal(key, credential, directory, now).map_err(refuse)?;
        let signature = match evidence {
            Evidence::BearerToken { epoch, end } => {
                check_token(epoch, end, directory, now).map_err(refuse)?;
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
        self.journal.note_use(key, now, request.address);
        if let Some(rate) = Rate::per_second(self.settings.rate_limits.per_key) {
            let limited = |RetryAfter(seconds)| AppError::RateLimited(seconds);
            key.allowance().take(rate, self.clock.since_boot()).map_err(limited)?;
        }
        let is_write = !is_read(request.method);
        let replay = signature.as_ref().filter(|_| is_write).map(|signature| replay_key(key, signature));
        let workspace_signed = request.headers.contains_key(WORKSPACE_HEADER)
            && signature.as_ref().is_some_and(|signature| signature.covers_header(WORKSPACE_HEADER.as_str()));
        Ok(Verified {
            caller: Caller {
                principal,
                address: request.address,
                signed_at: signature.as_ref().and_then(|signature| Timestamp::from_second(signature.created()).ok()),
                replay,
                confirmation: ConfirmationSlot::default(),
            },
            body_verified: signature.is_some() && request.body.is_some(),
            workspace_signed,
        })
    }

    pub(super) fn refuse(&self, refusal: Refusal, address: Option<IpAddr>, now: Timestamp) -> AppError {
        match refusal {
            Refusal::Credential(key, error) => {
                self.note_refusal(key, address, &error);
                AppError::Unauthenticated(error, now)
            }
            Refusal::Routes(refused) => {
                let RefusedByRoutes { key, asked, error } = *refused;
                let problem = error.to_problem();
                let code = if problem.status == 404 { codes::NOT_FOUND } else { codes::FORBIDDEN };
                let kind = RefusalKind { verified: true, key: Some(key), address, code };
                self.journal.note_refusal(kind, format!("{asked}: {}", problem.detail));
                error
            }
            Refusal::TooLarge => AppError::HeadersTooLarge,
            Refusal::BadRequest(what) => AppError::BadRequest(format!("The request's {what} cannot be signed.")),
            Refusal::Other(error) => error,
        }
    }

    fn verify_credential(
        &self,
        request: &OriginalRequest<'_>,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<Option<VerifiedHeaders>, Refusal> {
        let view = RequestView {
            method: request.method,
            scheme: request.scheme.as_str(),
            authority: request.authority,
            target: request.target,
            headers: request.headers,
        };
        let signature = UnverifiedSignature::parse(&view).map_err(|error| match error {
            SignatureError::TooManyLabels | SignatureError::TooManyComponents => Refusal::TooLarge,
            SignatureError::BadRequest(what) => Refusal::BadRequest(what),
            other => Refusal::Credential(None, Error::Malformed(other.to_string())),
        })?;
        let mut authorizations = request.headers.get_all(header::AUTHORIZATION).iter();
        match (signature, authorizations.next()) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Refusal::Credential(None, Error::Several)),
            (None, Some(_)) if authorizations.next().is_some() => Err(Refusal::Credential(None, Error::Several)),
            (None, Some(authorization)) => {
                let verified = self.verify_bearer_token(authorization, directory, now);
                verified.map(Some).map_err(|(key, error)| Refusal::Credential(key, error))
            }
            (Some(signature), None) => {
                let verified = self.verify_signature(signature, request, directory, now);
                verified.map(Some).map_err(|(key, error)| Refusal::Credential(key, error))
            }
        }
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
            // Neither costs more or less than a key that is registered.
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
        let outcome = signature.verify(&key.verification_key, now.as_second());
        if !matches!(outcome, Err(VerifyError::Invalid)) {
            match key.note_verification() {
                Verification::First => self.journal.note_first_verification(key, now),
                Verification::Further => {}
                Verification::TooLate => return Err(refuse(Error::KeyRevoked { verified: true })),
            }
        }
        let verified = outcome.map_err(|e| refuse(verify_error(e)))?;
        Self::principal(key, Credential::Signature(key.id), directory, now).map_err(refuse)?;
        check_signature_time(&verified, directory, now).map_err(refuse)?;
        if verified.profile() == Profile::Encord && !self.hosts.takes_encord(request.scheme, request.authority) {
            return Err(refuse(Error::HostNotListed));
        }
        Ok(VerifiedHeaders::new(key.id, Evidence::Signature(verified)))
    }

    /// The principal behind a key, unless key or owner is refused.
    pub(super) fn principal(
        key: &DirectoryKey,
        credential: Credential,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<Principal, Error> {
        match key.state(now) {
            KeyState::Active => {}
            KeyState::Disabled => return Err(Error::KeyDisabled),
            KeyState::Suspended => return Err(Error::KeySuspended),
            KeyState::Expired => return Err(Error::KeyExpired),
            KeyState::Revoked => return Err(Error::UnknownKey),
        }
        // An owner who is gone was deleted: the key is as good as revoked.
        let identity = directory.identity(key.owner).ok_or(Error::UnknownKey)?;
        match identity.refusal() {
            None => Ok(Principal::new(Arc::clone(identity), credential)),
            Some(IdentityRefusal::Disabled) => Err(Error::OwnerDisabled),
            Some(IdentityRefusal::Suspended) => Err(Error::OwnerSuspended),
            Some(IdentityRefusal::NoWorkspace) => Err(Error::OwnerWithoutWorkspace),
        }
    }

    /// Notes a refusal for the audit log.
    pub(super) fn note_refusal(&self, key: Option<ApiKeyId>, address: Option<IpAddr>, error: &Error) {
        let kind = RefusalKind { verified: error.is_verified(), key, address, code: error.code() };
        self.journal.note_refusal(kind, error.to_string());
    }
}

fn check_signature_time(signature: &VerifiedSignature, directory: &Snapshot, now: Timestamp) -> Result<(), Error> {
    signature.check_not_over(now.as_second()).map_err(verify_error)?;
    if signature.created() < directory.signatures_from().as_second() {
        return Err(Error::Stale(now.as_second() - signature.created()));
    }
    Ok(())
}

/// Whether a bearer token of an epoch, which ends at `end`, is good now.
pub(super) fn check_token(epoch: u64, end: i64, directory: &Snapshot, now: Timestamp) -> Result<(), Error> {
    if epoch != directory.token_epoch() {
        return Err(Error::UnknownToken);
    }
    if now.as_second() >= end {
        return Err(Error::TokenExpired);
    }
    Ok(())
}

/// Why a request is not taken.
pub(super) enum Refusal {
    /// Its credential is not accepted; the key is the one it names, where there is such a key.
    Credential(Option<ApiKeyId>, Error),
    /// Its credential is accepted, and the routes do not let it.
    Routes(Box<RefusedByRoutes>),
    /// It has more signatures or components than anybody needs.
    TooLarge,
    /// It cannot be signed as it is.
    BadRequest(&'static str),
    /// Its credential is accepted, and yet.
    Other(AppError),
}

/// Who asked for what, and why the routes do not let them.
pub(super) struct RefusedByRoutes {
    pub(super) key: ApiKeyId,
    /// Method and path.
    pub(super) asked: String,
    pub(super) error: AppError,
}

impl From<AppError> for Refusal {
    fn from(error: AppError) -> Self {
        Self::Other(error)
    }
}

/// Whether a method only reads (RFC 9110 §9.2.1), so that it may be repeated.
pub(crate) fn is_read(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// Why a key under which something verified is not registered any more.
pub(super) fn key_is_gone(directory: &Snapshot, id: ApiKeyId) -> Error {
    if directory.revoked_key(id).is_some() { Error::KeyRevoked { verified: true } } else { Error::UnknownKey }
}

/// A key that a signature names.
enum NamedKey<'a> {
    Registered(&'a DirectoryKey),
    Revoked(&'a RevokedKey),
}

fn find_key<'a>(directory: &'a Snapshot, profile: Profile, key_id: &str) -> Option<NamedKey<'a>> {
    let by_fingerprint = |fingerprint: &Fingerprint| {
        let registered = directory.key_by_fingerprint(fingerprint).map(|key| NamedKey::Registered(key));
        registered.or_else(|| directory.revoked_key_by_fingerprint(fingerprint).map(|key| NamedKey::Revoked(key)))
    };
    match profile {
        Profile::Encord => by_fingerprint(&Fingerprint::of_ed25519(&decode_hex(key_id)?)),
        Profile::Native => match key_id.parse::<Fingerprint>() {
            Ok(fingerprint) => by_fingerprint(&fingerprint),
            Err(_) => {
                let id = key_id.parse().ok()?;
                let registered = directory.key(id).map(|key| NamedKey::Registered(key));
                registered.or_else(|| directory.revoked_key(id).map(|key| NamedKey::Revoked(key)))
            }
        },
    }
}

/// 64 lower-case hexadecimal digits.
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

/// What a signed write is known by: kept until its signature can no longer be accepted on any clock.
fn replay_key(key: &DirectoryKey, verified: &VerifiedSignature) -> ReplayKey {
    let end = verified.expires_at() + verified.profile().future_window_seconds();
    ReplayKey {
        key: verified.base_hash(key.id.to_string().as_bytes()),
        api_key: key.id,
        nonce: verified.nonce().map(str::to_owned),
        expires_at: Timestamp::from_second(end).unwrap_or(Timestamp::MAX),
    }
}
