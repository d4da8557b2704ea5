//! Mail, where an SMTP server is set. It carries links and decides nothing: a mail that cannot be sent changes nothing
//! of what it tells.

use std::{fmt, time::Duration};

use domain::secret::redact;
use futures_util::{StreamExt as _, stream};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use verifier::hosts::is_loopback;

use crate::settings::SettingError;

/// For how long an answer waits for mails to go out.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections to the SMTP server at a time.
const AT_A_TIME: usize = 8;

/// Which SMTP server sends mail, and in whose name.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// `smtps://user:password@mail.example.com`; `smtp://…?tls=required` for STARTTLS; without TLS on this machine only.
    pub url: String,
    /// The sender: `Keyward <keyward@example.com>`.
    pub from: String,
}

/// The URL holds a password.
impl fmt::Debug for SmtpSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SmtpSettings").field("from", &self.from).finish_non_exhaustive()
    }
}

impl SmtpSettings {
    /// Refuses what is malformed, and what would send links in the clear.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        Mailer::new(self).map(drop)
    }
}

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
        let refuse = |reason: &str| SettingError { name: "smtp", reason: reason.to_owned() };
        let malformed = || refuse("write `url` like smtps://user:password@mail.example.com");
        // Parsed by hand, because an error of a URL's parser may quote the password.
        let (scheme, rest) = settings.url.split_once("://").ok_or_else(malformed)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let is_safe = match scheme {
            "smtps" => true,
            "smtp" => is_loopback(host) || rest.ends_with("?tls=required"),
            _ => return Err(malformed()),
        };
        if !is_safe {
            return Err(refuse("links must not travel in the clear: write smtps://, or add ?tls=required to `url`"));
        }
        let from = settings.from.parse();
        let from = from.map_err(|_| refuse("write `from` like Keyward <keyward@example.com>"))?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.url).map_err(|_| malformed())?;
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
        let to = mail.to.parse().map_err(|_| "the address cannot be written to".to_owned())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, from: &str) -> Option<String> {
        SmtpSettings { url: url.to_owned(), from: from.to_owned() }.validate().err().map(|error| error.to_string())
    }

    #[test]
    fn mail_goes_encrypted_or_stays_on_this_machine() {
        let from = "Keyward <keyward@example.com>";
        for good in [
            "smtps://user:secret@mail.example.com",
            "smtp://user:secret@mail.example.com:587?tls=required",
            "smtp://127.0.0.1:2525",
            "smtp://localhost",
        ] {
            assert_eq!(refused(good, from), None, "{good}");
        }
        for bad in [
            "smtp://user:secret@mail.example.com",
            "smtp://mail.example.com?tls=opportunistic",
            "smtp://127.0.0.1@mail.example.com",
            "https://user:secret@mail.example.com",
            "mail.example.com",
            "",
        ] {
            let reason = refused(bad, from).expect(bad);
            assert!(!reason.contains("secret"), "{reason}");
        }
        assert!(refused("smtp://localhost", "nobody").is_some());
        let settings = SmtpSettings { url: "smtps://user:secret@mail.example.com".to_owned(), from: from.to_owned() };
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
