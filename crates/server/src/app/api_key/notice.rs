//! Mails about a key that was revoked by another person than its owner and their admins.

use std::collections::BTreeSet;

use domain::{PrincipalId, WorkspaceId, api_key::ApiKey};
use store::Connection;

use crate::{app::App, error::AppError, mail::Mail};

/// A revoked key, and whom to notify.
pub(in crate::app) struct RevokedKey {
    addresses: BTreeSet<String>,
    /// The owner's email or address.
    owner: String,
    title: String,
    fingerprint: String,
    reason: Reason,
}

/// Why a key was revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    /// Another principal registered it with a proof.
    Reclaimed,
    /// A statement by the key itself said that its private key leaked.
    Leaked {
        /// Whether it registered keys that still work.
        registered_keys: bool,
    },
}

/// Returns whom to notify of the revocation of a key: its owner and the admins of their workspaces. Also returns these
/// workspaces, each of which gets an event.
pub(super) async fn find_notice(
    connection: &mut Connection,
    key: &ApiKey,
    reason: Reason,
) -> Result<(RevokedKey, Vec<Option<WorkspaceId>>), AppError> {
    let owner = store::identity::find_identity(connection, key.owner).await?;
    let memberships = owner.as_ref().map(|owner| owner.memberships.as_slice()).unwrap_or_default();
    let mut addresses = BTreeSet::new();
    if let (PrincipalId::User(_), Some(owner)) = (key.owner, &owner) {
        addresses.insert(owner.email.clone());
    }
    for membership in memberships {
        addresses.extend(store::member::list_admin_emails(connection, membership.workspace).await?);
    }
    let places: Vec<_> = memberships.iter().map(|membership| Some(membership.workspace)).collect();
    let places = if places.is_empty() { vec![None] } else { places };
    let owner = owner.map_or_else(|| key.owner.to_string(), |owner| owner.email);
    let fingerprint = key.public_key.fingerprint().to_string();
    Ok((RevokedKey { addresses, owner, title: key.title.clone(), fingerprint, reason }, places))
}

impl RevokedKey {
    fn subject(&self) -> &'static str {
        match self.reason {
            Reason::Reclaimed => "An API key was reclaimed",
            Reason::Leaked { .. } => "An API key leaked and was revoked",
        }
    }

    fn text(&self, url: &str) -> String {
        let Self { owner, title, fingerprint, .. } = self;
        let what = match self.reason {
            Reason::Reclaimed => format!(
                "Another principal proved that they hold its private key, and registered the key. The revoked \
                 registration had no proof.\n\nIf {owner} generated this key, another person has a copy of the private \
                 key. Generate a new key pair, and check what the old key was used for:"
            ),
            Reason::Leaked { registered_keys } => {
                let registered =
                    if registered_keys { " Keys that it registered still work: check each of them." } else { "" };
                format!(
                    "A holder of its private key reported that it leaked. No request with the key is accepted \
                     any more.\n\nGenerate a new key pair for the programs that used it, and check what the old key was \
                     used for.{registered}"
                )
            }
        };
        format!("The API key {title} of {owner} was revoked:\n\n{fingerprint}\n\n{what}\n\n{url}\n")
    }
}

impl App {
    /// Notifies owners and their admins by mail, if a mail server is set. The change is already committed, so an error of
    /// the mail server affects only the mail.
    pub(super) async fn mail_revoked_keys(&self, revoked: Vec<RevokedKey>) {
        let Some(mailer) = &self.mailer else { return };
        let url = &self.settings.public_url;
        let mails = revoked.iter().flat_map(|key| {
            key.addresses.iter().map(|address| Mail {
                to: address.clone(),
                subject: key.subject().to_owned(),
                text: key.text(url),
            })
        });
        mailer.send_all(mails.collect()).await;
    }
}
