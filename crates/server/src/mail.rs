//! Mail, where an SMTP server is set. It carries links and decides nothing: a mail that cannot be sent changes nothing
//! of what it tells.

use std::time::Duration;

use domain::secret::redact;
use futures_util::{StreamExt as _, stream};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

use crate::settings::{SettingError, SmtpSettings};

/// For how long an answer waits for mails to go out.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections to the SMTP server at a time.
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

    /// Sends mails, and tells of each whether the SMTP server took it. What has not gone out after [`PATIENCE`] is given
    /// up.
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
