//! Sessions on the web pages: how long they last, and how long an entered password is considered recent.

use std::time::Duration;

use jiff::Timestamp;

use crate::{SessionId, UserId};

/// The maximum lifetime of a session, whether it is used or not.
pub const SESSION_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// How long a session lasts without being used.
pub const SESSION_IDLE_LIFETIME: Duration = Duration::from_hours(12);
/// How long an entered password allows adding keys or admins.
pub const PASSWORD_LIFETIME: Duration = Duration::from_mins(15);

/// A user who is signed in at a browser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The user.
    pub user: UserId,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When they last entered their password.
    pub authenticated_at: Timestamp,
    /// When it was last used, at most a minute late.
    pub last_seen_at: Timestamp,
    /// The IP address at sign-in.
    pub ip_address: Option<String>,
    /// The browser's User-Agent, cut to [`MAX_USER_AGENT`] characters.
    pub user_agent: String,
}

/// The maximum number of characters of a stored User-Agent.
pub const MAX_USER_AGENT: usize = 200;

impl Session {
    /// Returns whether it has not expired at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.created_at + SESSION_LIFETIME && now < self.last_seen_at + SESSION_IDLE_LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_expires_after_twelve_idle_hours_and_after_seven_days() {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let mut session = Session {
            id: SessionId::from_uuid(uuid::Uuid::from_u128(1)),
            user: UserId::from_uuid(uuid::Uuid::from_u128(1)),
            created_at: start,
            authenticated_at: start,
            last_seen_at: start,
            ip_address: None,
            user_agent: String::new(),
        };
        assert!(session.is_live(start + SESSION_IDLE_LIFETIME - Duration::from_micros(1)));
        assert!(!session.is_live(start + SESSION_IDLE_LIFETIME));
        session.last_seen_at = start + SESSION_LIFETIME - Duration::from_secs(1);
        assert!(session.is_live(start + SESSION_LIFETIME - Duration::from_micros(1)));
        assert!(!session.is_live(start + SESSION_LIFETIME));
    }
}
