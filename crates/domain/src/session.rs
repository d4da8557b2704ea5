//! Sessions on the web pages: how long they last, how long an entered password is considered recent, and the device of
//! a session for people.

mod device;

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;

pub use self::device::{Device, DeviceKind};
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
    /// Returns the device of the session.
    #[must_use]
    pub fn device(&self) -> Device {
        Device::of_user_agent(&self.user_agent)
    }

    /// Returns the network of the IP address at sign-in, see [`network_prefix`].
    #[must_use]
    pub fn network(&self) -> Option<String> {
        self.ip_address.as_deref()?.parse().ok().map(network_prefix)
    }

    /// Returns whether it has not expired at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.created_at + SESSION_LIFETIME && now < self.last_seen_at + SESSION_IDLE_LIFETIME
    }
}

/// Returns the network of an IP address for people: the /24 of an IPv4 address, or the /48 of an IPv6 address. It tells
/// places apart, and stays the same when a device gets another address.
#[must_use]
pub fn network_prefix(ip_address: IpAddr) -> String {
    match ip_address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_prefix_of_the_address() {
        for (address, network) in [
            ("203.0.113.42", "203.0.113.0/24"),
            ("127.0.0.1", "127.0.0.0/24"),
            ("::ffff:203.0.113.42", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("2001:db8::1", "2001:db8::/48"),
            ("::1", "::/48"),
        ] {
            assert_eq!(network_prefix(address.parse().unwrap()), network, "{address}");
        }
    }

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
