//! The mail of an invitation, and the response to the inviter.

use std::{pin::Pin, sync::Arc};

use api::MailState;
use domain::{AuditAction, Timestamp, invitation::Invitation, limits::KeywardScope};

use super::to_wire;
use crate::{
    app::{App, Caller, Detail, Operation, Scope, Transaction, UnsentMail, sha256},
    error::AppError,
    mail::Mail,
};

/// An invitation that was written, and its token, which is not stored.
pub(in crate::app) struct Issued {
    pub(super) invitation: Invitation,
    pub(super) token: String,
}

impl App {
    /// Returns the response about one invitation. It contains the token and the link if the caller has to send them,
    /// and never after they were mailed.
    fn tell(&self, issued: &Issued, mail: MailState, now: Timestamp) -> api::IssuedInvitation {
        let token = match mail {
            MailState::NotConfigured | MailState::Failed => Some(issued.token.clone()),
            MailState::Sent | MailState::Unknown => None,
        };
        let url = token.as_ref().map(|token| self.invitation_url(token));
        api::IssuedInvitation { invitation: to_wire(&issued.invitation, now), token, url, mail }
    }

    fn invitation_url(&self, token: &str) -> String {
        format!("{}/invitations/{token}", self.settings.public_url)
    }

    /// Returns the response that is stored for the same signed request, before any mail is sent.
    pub(in crate::app) fn tell_before_mail(&self, transaction: &Transaction) -> Vec<api::IssuedInvitation> {
        let mail = if self.mailer.is_some() { MailState::Unknown } else { MailState::NotConfigured };
        transaction.mail.invitations.iter().map(|issued| self.tell(issued, mail, transaction.now)).collect()
    }

    /// Sends invitations by mail if a mail server is set, and returns the response. The invitations are already
    /// committed, so an error of the mail server loses none. The caller receives a link that the mail server refused,
    /// after it is recorded that this link verifies no email.
    pub(in crate::app) async fn mail_invitations(
        self: &Arc<Self>,
        caller: &Caller,
        mail: &UnsentMail,
    ) -> Vec<api::IssuedInvitation> {
        let (workspace, issued) = (&mail.workspace, &mail.invitations);
        let now = self.clock.now();
        let Some(mailer) = &self.mailer else {
            return issued.iter().map(|one| self.tell(one, MailState::NotConfigured, now)).collect();
        };
        let inviter = caller.principal.identity().map_or("An admin", |identity| identity.name.as_str());
        let mails = issued.iter().map(|one| Mail {
            to: one.invitation.email.to_string(),
            subject: format!("Join {workspace} on Keyward"),
            text: format!(
                "{inviter} invites you to the workspace {workspace} as {}.\n\nOpen this link within seven days to \
                 join. It works once:\n\n{}\n\nIf you did not expect this invitation, ignore this mail.\n",
                one.invitation.role,
                self.invitation_url(&one.token)
            ),
        });
        let sent = mailer.send_all(mails.collect()).await;
        let failed: Vec<&Issued> = issued.iter().zip(&sent).filter(|(_, sent)| !**sent).map(|(one, _)| one).collect();
        let is_noted = match self.note_failed_mails(caller, &failed).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(?error, "the failure to send mails could not be recorded; their links are not shown");
                false
            }
        };
        let tell = |(one, sent): (&Issued, &bool)| {
            let mut told = self.tell(one, if *sent { MailState::Sent } else { MailState::Failed }, now);
            if !is_noted {
                (told.token, told.url) = (None, None);
            }
            told
        };
        issued.iter().zip(&sent).map(tell).collect()
    }

    /// Records which links were not mailed.
    async fn note_failed_mails(self: &Arc<Self>, caller: &Caller, failed: &[&Issued]) -> Result<(), AppError> {
        if failed.is_empty() {
            return Ok(());
        }
        // The signed request was answered with the invitations themselves.
        let caller = Caller { replay: None, ..caller.clone() };
        let failed = failed.iter().map(|Issued { invitation, token }| (invitation.clone(), sha256(token)));
        // Sending mail is a part of a change. The box prevents the two futures from containing each other.
        let noting: Pin<Box<dyn Future<Output = _> + Send + '_>> =
            Box::pin(self.change(&caller, NoteFailedMails { failed: failed.collect() }));
        noting.await?;
        Ok(())
    }
}

/// Records that links were not mailed, so that the caller may see them and they verify no email.
struct NoteFailedMails {
    /// The invitations, each with the hash of its token.
    failed: Vec<(Invitation, [u8; 32])>,
}

impl Operation for NoteFailedMails {
    type Checked = ();
    type Response = ();
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, _: &mut Scope<'_>) -> Result<(), AppError> {
        Ok(())
    }

    fn unchanged(&self, (): &()) -> Option<()> {
        self.failed.is_empty().then_some(())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<(), AppError> {
        for (invitation, token_hash) in &self.failed {
            store::invitation::unmark_mailed(&mut transaction.change, invitation.id, token_hash).await?;
            let (action, detail) = (AuditAction::InvitationMailFailed, Detail::of(invitation));
            transaction.note(app, action, Some(invitation.workspace), invitation.id, detail);
        }
        Ok(())
    }
}
