//! Mail, if an SMTP server is set. Mails only contain links. A mail that cannot be sent does not affect the change that
//! it is about.

use std::time::Duration;

use domain::secret::redact;
use futures_util::{StreamExt as _, stream};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

use crate::settings::{SettingError, SmtpSettings};

/// How long a response waits for mails to be sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum number of connections to the SMTP server.
const AT_A_TIME: usize = 8;

/// A mail to one address.
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// Sends mail.
pub(crate) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    pub(crate) fn new(settings: &SmtpSettings) -> Result<Self, SettingError> {
        let (transport, from) = settings.parse()?;
        Ok(Self { transport: transport.timeout(Some(PATIENCE)).build(), from })
    }

    /// Sends mails, and returns for each whether the SMTP server accepted it. After [`PATIENCE`], the remaining mails
    /// are not sent.
    pub(crate) async fn send_all(&self, mails: Vec<Mail>) -> Vec<bool> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let send = |mail: Mail| async move {
            match tokio::time::timeout_at(deadline, self.send(mail)).await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::error!(error = %redact(&error), "a mail was not sent");
                    false
                }
                Err(_) => {
                    tracing::error!("a mail was not sent: the SMTP server took too long");
                    false
                }
            }
        };
        stream::iter(mails).map(send).buffered(AT_A_TIME).collect().await
    }

    async fn send(&self, mail: Mail) -> Result<(), String> {
        let to = mail.to.parse().map_err(|_| "the email address is invalid".to_owned())?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text)
            .map_err(|error| error.to_string())?;
        self.transport.send(message).await.map(drop).map_err(|error| error.to_string())
    }
}
