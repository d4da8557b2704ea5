//! Users: people with an email.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::Timestamp;

use crate::UserId;

/// A user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their email address, which is unique.
    pub email: Email,
    /// When they followed a link that was mailed to this address.
    pub email_verified_at: Option<Timestamp>,
    /// Their name.
    pub name: String,
    /// Whether they are an operator.
    pub operator: bool,
    /// Whether all their credentials are refused.
    pub disabled: bool,
    /// Whether all their credentials are refused since a restore, until an operator at the host confirms them.
    pub suspended: bool,
    /// When they were created.
    pub created_at: Timestamp,
}

/// The allowed length of a password in characters.
pub const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 12..=256;

/// An email address, in lower case and with the ASCII form of an internationalized domain (`xn--…`, RFC 5890).
/// Addresses that differ in case or form belong to the same user.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Email(String);

/// A text that cannot be the email of a user.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EmailError {
    /// The part before the `@` is not ASCII.
    #[error(
        "`{0}` before the @ is not accepted: many mail servers take only the letters a to z, digits and punctuation there; \
         use another address of this person"
    )]
    NonAsciiLocalPart(char),
    /// It does not have the form `name@example.com`.
    #[error("this is not an email address such as name@example.com")]
    Malformed,
    /// It is in the domain of service accounts.
    #[error("email addresses in {0} are reserved for service accounts; use a person's email address")]
    ServiceAccountDomain(String),
}

impl Email {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses an email that could be mistaken for the address of a service account.
    ///
    /// # Errors
    /// [`EmailError::ServiceAccountDomain`] if the address is in `domain` or a subdomain.
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
        // An `xn--` label is invalid if it cannot be decoded, or decodes to another encoding of itself.
        let is_international = !host.is_ascii() || host.split('.').any(has_ace_prefix);
        let host = if is_international {
            Cow::Owned(idna::domain_to_ascii_strict(host).map_err(|_| EmailError::Malformed)?)
        } else {
            Cow::Borrowed(host)
        };
        if let Some(character) = local.chars().find(|c| c.is_alphanumeric() && !c.is_ascii()) {
            return Err(EmailError::NonAsciiLocalPart(character));
        }
        // The characters of an RFC 5321 dot-string. Quoted local parts are not accepted.
        let is_atom = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&c);
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let fits = local.len() + 1 + host.len() <= 254
            && (1..=64).contains(&local.len())
            && local.bytes().all(is_atom)
            && local.split('.').all(|atom| !atom.is_empty())
            && host.split('.').all(is_label);
        if fits { Ok(Self(format!("{local}@{host}").to_ascii_lowercase())) } else { Err(EmailError::Malformed) }
    }
}

fn has_ace_prefix(label: &str) -> bool {
    label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
}

/// Returns an address for people, with the Unicode form of an internationalized domain.
#[must_use]
pub fn show_email(address: &str) -> Cow<'_, str> {
    let Some((local, host)) = address.rsplit_once('@') else { return Cow::Borrowed(address) };
    if !host.split('.').any(has_ace_prefix) {
        return Cow::Borrowed(address);
    }
    match idna::domain_to_unicode(host) {
        (shown, Ok(())) => Cow::Owned(format!("{local}@{shown}")),
        (_, Err(_)) => Cow::Borrowed(address),
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
    fn an_international_domain_is_one_person_in_every_spelling() {
        for text in [
            "ann@bücher.example",
            "ann@xn--bcher-kva.example",
            "Ann@BÜCHER.example",
            "ann@XN--BCHER-KVA.Example",
            "ann@bu\u{308}cher.example",
            "ann@bücher\u{3002}example",
        ] {
            assert_eq!(text.parse::<Email>().unwrap().as_str(), "ann@xn--bcher-kva.example", "{text}");
        }
        assert_eq!(show_email("ann@xn--bcher-kva.example"), "ann@bücher.example");
        for shown in ["ann@example.com", "ann", "ann@xn--a.example"] {
            assert_eq!(show_email(shown), shown);
        }
    }

    #[test]
    fn a_local_part_beyond_ascii_is_refused_with_the_letter() {
        assert_eq!("jörg@example.com".parse::<Email>(), Err(EmailError::NonAsciiLocalPart('ö')));
        assert_eq!("用户@例え.jp".parse::<Email>(), Err(EmailError::NonAsciiLocalPart('用')));
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
            "ada@xn--",
            "ada@xn--a.example",
            "ada@b\u{fc}cher..example",
            "ada@-b\u{fc}cher.example",
            "a\u{2003}b@example.com",
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
