//! What the holder of a private key may ask and do without any other credential: whether the key is registered, and to
//! revoke it. A statement by the key itself is the credential.

use std::{net::IpAddr, sync::Arc};

use domain::{
    AuditAction, Fingerprint, PrincipalId, Timestamp,
    api_key::ApiKey,
    leaked_key::{REVOKE_NAMESPACE, SCAN_NAMESPACE, is_fresh, revoke_message, scan_message},
    limits::KeywardScope,
    ssh_signature::SshSignature,
};
use store::{
    Connection,
    api_key::{Descendants, Revocation},
};

use super::{
    notice::{Reason, find_notice},
    state_to_wire,
    statement::find_signed,
};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Detail, Operation, RevocationCause, Scope, Transaction, UnsentMail},
    error::AppError,
};

impl App {
    /// Revokes the key that signed a statement, and the successors that it registered for itself. After this has returned,
    /// no node accepts them. The same statement again changes nothing and gets the same answer. `origin` is the URL that the request was sent to, which may be signed in
    /// place of the public one.
    ///
    /// # Errors
    /// The statement is malformed, or signed for another purpose or installation. There were too many statements.
    pub async fn revoke_leaked_key(
        self: &Arc<Self>,
        ip_address: Option<IpAddr>,
        origin: &str,
        revoke: &api::RevokeLeakedKey,
    ) -> Result<Confirmed<api::LeakedKey>, ChangeError> {
        let signature = self.read_statement(ip_address, &revoke.statement, REVOKE_NAMESPACE)?;
        let fingerprint = self.verify_statement(&signature, origin, revoke_message)?;
        self.change_anonymously(ip_address, RevokeLeakedKey { fingerprint }).await
    }

    /// Returns the registration of the key that signed a statement.
    ///
    /// # Errors
    /// As [`revoke_leaked_key`](Self::revoke_leaked_key), or the statement is too old.
    pub async fn find_leaked_key(
        &self,
        ip_address: Option<IpAddr>,
        origin: &str,
        find: &api::FindLeakedKey,
    ) -> Result<api::LeakedKey, AppError> {
        let signature = self.read_statement(ip_address, &find.statement, SCAN_NAMESPACE)?;
        let now = self.clock.now();
        if !is_fresh(find.signed_at, now) {
            let detail = "the time is not that of now: correct the clock of this machine, and sign again";
            return Err(AppError::field("signed_at", "stale", detail));
        }
        let message = |url: &str, fingerprint: &Fingerprint| scan_message(url, fingerprint, find.signed_at);
        let fingerprint = self.verify_statement(&signature, origin, message)?;
        let mut connection = self.store.read().await?;
        let registrations = store::api_key::list_api_keys_by_fingerprint(&mut connection, &fingerprint).await?;
        Ok(to_wire(&fingerprint, &registrations, now))
    }

    /// Returns the fingerprint of the key that signed a statement. Whether the key is registered makes no difference.
    fn verify_statement(
        &self,
        signature: &SshSignature,
        origin: &str,
        message: impl Fn(&str, &Fingerprint) -> String,
    ) -> Result<Fingerprint, AppError> {
        let fingerprint = signature.public_key().fingerprint();
        let public_url = self.settings.public_url.as_str();
        let urls = std::iter::once(public_url).chain((origin != public_url).then_some(origin));
        let candidates = urls.map(|url| ((), message(url, &fingerprint)));
        find_signed(signature, candidates).map(|()| fingerprint).ok_or_else(|| {
            let detail = format!(
                "it is not a signature of the lines that this installation expects: sign them with {public_url} as the \
                 URL, and send everything that `ssh-keygen -Y sign` printed"
            );
            AppError::field("statement", "other_text", detail)
        })
    }
}

/// Returns what the holder of the private key is told. Of several registrations, it is the one that the holder knows: not
/// one that another principal made without the private key, and that a proof reclaimed.
fn to_wire(fingerprint: &Fingerprint, registrations: &[ApiKey], now: Timestamp) -> api::LeakedKey {
    let known = registrations.iter().filter(|key| key.displaced_at.is_none());
    let latest = known.max_by_key(|key| (key.revoked_at.is_none(), key.revoked_at, key.id));
    let registration = latest.map(|key| api::LeakedKeyRegistration {
        title: key.title.clone(),
        owner_kind: match key.owner {
            PrincipalId::User(_) => api::PrincipalKind::User,
            PrincipalId::ServiceAccount(_) => api::PrincipalKind::ServiceAccount,
        },
        state: state_to_wire(key.state(now)),
        revoked_at: key.revoked_at,
    });
    api::LeakedKey { fingerprint: fingerprint.to_string(), registration }
}

struct RevokeLeakedKey {
    fingerprint: Fingerprint,
}

impl Operation for RevokeLeakedKey {
    /// Every registration of the key, whether one has successors that it registered for itself and that are not revoked,
    /// and the time.
    type Checked = (Vec<ApiKey>, bool, Timestamp);
    type Response = api::LeakedKey;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let found = store::api_key::list_api_keys_by_fingerprint(scope.connection, &self.fingerprint).await?;
        let all =
            store::api_key::list_with_descendants(scope.connection, found.clone(), Descendants::SelfRotated).await?;
        let has_successors = all.iter().skip(found.len()).any(|key| key.revoked_at.is_none());
        Ok((found, has_successors, scope.now))
    }

    fn unchanged(&self, (keys, has_successors, now): &Self::Checked) -> Option<api::LeakedKey> {
        let is_ended = !has_successors && keys.iter().all(|key| key.revoked_at.is_some());
        is_ended.then(|| to_wire(&self.fingerprint, keys, *now))
    }

    /// Writes this node's recorded uses, because the revocation reads whether the successors were ever used.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        app.write_uses().await
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (mut keys, _, now): Self::Checked,
    ) -> Result<api::LeakedKey, AppError> {
        // Also of a key that is revoked already: a thief may have rotated it, without an overlap.
        for key in &keys {
            let cause = RevocationCause::new(AuditAction::ApiKeyLeak, key.id);
            app.revoke_self_rotated(transaction, key.clone(), &cause).await?;
        }
        for key in keys.iter_mut().filter(|key| key.revoked_at.is_none()) {
            let change = &mut transaction.change;
            store::api_key::revoke_api_key(change, key, Revocation::Leaked).await?;
            let registered_keys = has_registered_live_keys(change, key).await?;
            let (notice, mut places) = find_notice(change, key, Reason::Leaked { registered_keys }).await?;
            // The owner finds it in the activity of the key, which has no workspace.
            if matches!(key.owner, PrincipalId::User(_)) && !places.contains(&None) {
                places.push(None);
            }
            for place in places {
                transaction.note(app, AuditAction::ApiKeyLeak, place, key.id, Detail::of(key));
            }
            transaction.mail.revoked_keys.push(notice);
            key.revoked_at = Some(now);
        }
        Ok(to_wire(&self.fingerprint, &keys, now))
    }

    async fn finish(&self, app: &Arc<App>, _: &Caller, response: api::LeakedKey, mail: UnsentMail) -> api::LeakedKey {
        app.mail_revoked_keys(mail.revoked_keys).await;
        response
    }
}

/// Returns whether a key registered keys that are not revoked. Another holder of the private key may have registered them.
async fn has_registered_live_keys(connection: &mut Connection, key: &ApiKey) -> Result<bool, AppError> {
    let made = store::api_key::list_api_keys_made_with(connection, &[key.id]).await?;
    Ok(made.iter().any(|made| made.revoked_at.is_none()))
}
