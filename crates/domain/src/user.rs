//! Users: people, with an email.

use std::{fmt, str::FromStr};

use jiff::Timestamp;

use crate::UserId;

/// A person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Where mail reaches them; unique.
    pub email: Email,
    /// When they followed a link that was mailed to this address.
    pub email_verified_at: Option<Timestamp>,
    /// Their name.
    pub name: String,
    /// Whether they run the installation.
    pub operator: bool,
    /// Whether all their credentials are refused.
    pub disabled: bool,
    /// Whether all their credentials are refused since a restore, until an operator at the host confirms them.
    pub suspended: bool,
    /// When they were created.
    pub created_at: Timestamp,
}

/// Characters that a password has.
pub const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 12..=256;

/// An email address, in lower case: two spellings that differ in case are one person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Email(String);

/// A text that cannot be the email of a user.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EmailError {
    /// No `name@example.com`.
    #[error("this is not an email address such as name@example.com")]
    Malformed,
    /// Inside the domain of service accounts.
    #[error("email addresses in {0} are reserved for service accounts; use a person's email address")]
    ServiceAccountDomain(String),
}

impl Email {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses an email that could be mistaken for the address of a service account.
    ///
    /// # Errors
    /// [`EmailError::ServiceAccountDomain`] where the address lies in `domain` or below it.
    pub fn outside_of(self, domain: &str) -> Result<Self, EmailError> {
        let host = self.0.rsplit_once('@').map_or("", |(_, host)| host);
        let inside = host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        if inside { Err(EmailError::ServiceAccountDomain(domain.to_owned())) } else { Ok(self) }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        let Some((local, host)) = text.rsplit_once('@') else { return Err(EmailError::Malformed) };
        // The characters of an RFC 5321 dot-string; quoted local parts are not accepted.
        let is_atom = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&c);
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let fits = text.len() <= 254
            && (1..=64).contains(&local.len())
            && local.bytes().all(is_atom)
            && local.split('.').all(|atom| !atom.is_empty())
            && host.split('.').all(is_label);
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(EmailError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_kept_in_lower_case() {
        assert_eq!(" Ada.L+keys@Example.COM ".parse::<Email>().unwrap().as_str(), "ada.l+keys@example.com");
        assert!("root@localhost".parse::<Email>().is_ok());
    }

    #[test]
    fn a_malformed_email_is_refused() {
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "ada@exa mple.com",
            "ada@@example.com",
            "a..b@x.org",
            ".a@x.org",
            "ada@-x.org",
            "ada@x..org",
            "ada\n@x.org",
            "\"ada\"@x.org",
            "ada@ex\u{e4}mple.com",
        ] {
            assert_eq!(bad.parse::<Email>(), Err(EmailError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn an_email_inside_the_service_account_domain_is_refused() {
        let email = |text: &str| text.parse::<Email>().unwrap().outside_of("sa.keyward.local");
        assert!(email("bot@acme.sa.keyward.local").is_err());
        assert!(email("bot@SA.keyward.local").is_err());
        assert!(email("bot@xsa.keyward.local").is_ok());
        assert!(email("bot@keyward.local").is_ok());
    }
}
