//! Statements about a private key that was found: each is an [`SshSignature`](crate::ssh_signature::SshSignature) by
//! the key itself, so nobody learns of a key or ends a key that they do not hold.

use std::time::Duration;

use jiff::Timestamp;

use crate::public_key::Fingerprint;

/// The SSHSIG namespace of a statement that revokes its key.
pub const REVOKE_NAMESPACE: &str = "keyward-revoke";

/// The SSHSIG namespace of a statement that asks whether its key is registered.
pub const SCAN_NAMESPACE: &str = "keyward-scan";

/// How long a question is answered after it was signed.
const MAX_AGE: Duration = Duration::from_mins(5);

/// How far the clock of a client may be ahead.
const MAX_AHEAD: Duration = Duration::from_mins(1);

/// Returns the text that a revocation signs: three lines, each ending with a line feed. The URL prevents its use at another
/// installation. It has no time: a revocation may be repeated, and changes nothing then.
#[must_use]
pub fn revoke_message(public_url: &str, fingerprint: &Fingerprint) -> String {
    format!("{REVOKE_NAMESPACE}\n{public_url}\n{fingerprint}\n")
}

/// Returns the text that a question signs: four lines, each ending with a line feed. `signed_at` is written with whole
/// seconds, such as `2027-01-31T12:00:00Z`. It prevents that a client who sees the question asks it later.
#[must_use]
pub fn scan_message(public_url: &str, fingerprint: &Fingerprint, signed_at: Timestamp) -> String {
    format!("{SCAN_NAMESPACE}\n{public_url}\n{fingerprint}\n{signed_at:.0}\n")
}

/// Returns whether a question that was signed at `signed_at` is answered at `now`.
#[must_use]
pub fn is_fresh(signed_at: Timestamp, now: Timestamp) -> bool {
    now - MAX_AGE <= signed_at && signed_at <= now + MAX_AHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_for_five_minutes() {
        let now: Timestamp = "2027-01-31T12:00:00Z".parse().unwrap();
        for (signed_at, expected) in [
            ("2027-01-31T11:54:59Z", false),
            ("2027-01-31T11:55:00Z", true),
            ("2027-01-31T12:00:00Z", true),
            ("2027-01-31T12:01:00Z", true),
            ("2027-01-31T12:01:01Z", false),
        ] {
            assert_eq!(is_fresh(signed_at.parse().unwrap(), now), expected, "{signed_at}");
        }
    }

    #[test]
    fn the_messages_are_lines() {
        let fingerprint: Fingerprint = "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDQZ9HBhUUXzRzRwZk".parse().unwrap();
        let url = "https://keys.example.com";
        assert_eq!(revoke_message(url, &fingerprint), format!("keyward-revoke\n{url}\n{fingerprint}\n"));
        let signed_at = "2027-01-31T12:00:00.9Z".parse().unwrap();
        let expected = format!("keyward-scan\n{url}\n{fingerprint}\n2027-01-31T12:00:00Z\n");
        assert_eq!(scan_message(url, &fingerprint, signed_at), expected);
    }
}
