//! Shared by the tests and the benchmark: one user with numbered keys, and requests that these keys signed.

use domain::{
    ApiKeyId, PublicKey, Random, Timestamp, UserId, Version, WorkspaceId,
    api_key::ApiKey,
    limits::KeyLimits,
    principal::{Identity, Membership},
    role::Role,
};
use http::{HeaderMap, HeaderValue};
use http_signature::{Ed25519SigningKey, Profile, RequestView, SigningParameters, sign_request};
use verifier::Snapshot;

/// The host of Keyward. Requests are for an API on the same host.
pub(crate) const HOST: &str = "127.0.0.1:8080";
/// 2026-01-02T03:04:05Z
pub(crate) const NOW: i64 = 1_767_323_045;

/// Returns the private key with that number.
pub(crate) fn signing_key(number: u32) -> Ed25519SigningKey {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    Ed25519SigningKey::from_seed(&seed)
}

/// Returns the public key with that number.
pub(crate) fn public_key(number: u32) -> PublicKey {
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), signing_key(number).public_key().as_slice()] {
        blob.extend(u32::try_from(part.len()).expect("short").to_be_bytes());
        blob.extend(part);
    }
    PublicKey::from_stored_blob(&blob).expect("a good key")
}

/// Returns a directory with one user, who is in one workspace and has the keys 0 to `count` - 1, and these keys.
pub(crate) fn snapshot_with_keys(count: u32, now: Timestamp, random: &dyn Random) -> (Snapshot, Vec<ApiKey>) {
    let user = UserId::generate(now, random);
    let workspace = WorkspaceId::generate(now, random);
    let mut snapshot = Snapshot::default();
    snapshot.set_version(Version(1));
    snapshot.put_identity(Identity {
        id: user.into(),
        email: "ada@example.com".to_owned(),
        email_verified: false,
        name: "Ada".to_owned(),
        operator: false,
        disabled: false,
        suspended: false,
        memberships: vec![Membership { workspace, slug: "acme".into(), name: "Acme".into(), role: Role::Member }],
    });
    let key = |number: u32| ApiKey {
        id: ApiKeyId::generate(now, random),
        owner: user.into(),
        title: number.to_string(),
        public_key: public_key(number),
        disabled: false,
        suspended: false,
        expires_at: None,
        revoked_at: None,
        verified_at: None,
        proven_at: None,
        displaced_at: None,
        created_by: "host".to_owned(),
        created_with: None,
        created_at: now,
        last_used_at: None,
        last_used_ip: None,
        limits: KeyLimits::none(),
    };
    let keys: Vec<ApiKey> = (0..count).map(key).collect();
    for key in &keys {
        snapshot.put_key(key);
    }
    (snapshot, keys)
}

/// Returns the headers of a request without a body that the key with that number signed at `created`. It did not sign
/// `headers`.
pub(crate) fn signed_headers(
    number: u32,
    profile: Profile,
    (method, target): (&str, &str),
    created: i64,
    nonce: &str,
    headers: &[(&'static str, &'static str)],
) -> HeaderMap {
    let key = signing_key(number);
    let key_id = match profile {
        Profile::Native => public_key(number).fingerprint().to_string(),
        Profile::Encord => key.public_key().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
    };
    let all = [("host", HOST)].iter().chain(headers);
    let mut headers: HeaderMap =
        all.map(|&(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    let parameters = SigningParameters { created, lifetime_seconds: 60, nonce, key_id: &key_id, covered_headers: &[] };
    let view = RequestView { method, scheme: "http", authority: HOST, target, headers: &headers };
    let signed = sign_request(&view, b"", profile, &parameters, &key).expect("signed");
    let digest = signed.content_digest.map(|digest| ("content-digest", digest));
    for (name, value) in
        [("signature-input", signed.signature_input), ("signature", signed.signature)].into_iter().chain(digest)
    {
        headers.insert(name, HeaderValue::from_str(&value).expect("a field value"));
    }
    headers
}
