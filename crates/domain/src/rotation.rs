//! Rotation of keys: a key gets a successor, and expires after an overlap in which both are accepted.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::ApiKeyId;

/// The maximum overlap, in seconds: 30 days.
pub const MAX_OVERLAP_SECONDS: u32 = 30 * 86_400;

/// How long a key and its successor are both accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overlap(u32);

/// An overlap that is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("choose 0 to {MAX_OVERLAP_SECONDS} seconds (30 days)")]
pub struct OverlapError;

impl Overlap {
    /// Creates an overlap of this number of seconds.
    ///
    /// # Errors
    /// [`OverlapError`] if it is longer than [`MAX_OVERLAP_SECONDS`].
    pub const fn from_seconds(seconds: u32) -> Result<Self, OverlapError> {
        if seconds <= MAX_OVERLAP_SECONDS { Ok(Self(seconds)) } else { Err(OverlapError) }
    }

    /// Returns whether the predecessor is revoked at once.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns the time at which a key expires that is rotated now: after the overlap, or at its own expiry if that is
    /// earlier.
    #[must_use]
    pub fn end(self, expires_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let end = now.checked_add(SignedDuration::from_secs(self.0.into())).unwrap_or(Timestamp::MAX);
        expires_at.map_or(end, |own| own.min(end))
    }
}

/// Returns the expiry of a successor: it lives as long as its predecessor was given, which is from its registration to
/// its expiry. `None` if the predecessor was to live for ever.
#[must_use]
pub fn expiry_of_successor(created_at: Timestamp, expires_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let given = expires_at?.duration_since(created_at);
    Some(now.checked_add(given).unwrap_or(Timestamp::MAX))
}

/// A rotation of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyRotation {
    /// The key that is replaced.
    pub predecessor: ApiKeyId,
    /// The key that replaces it.
    pub successor: ApiKeyId,
    /// When it was rotated.
    pub rotated_at: Timestamp,
    /// When the predecessor expires because of the rotation.
    pub ends_at: Timestamp,
    /// The expiry of the predecessor before the rotation. `None` if it had none.
    pub expires_before: Option<Timestamp>,
    /// The number of accepted requests with the predecessor on the day of the rotation, until then.
    pub accepted_before: u64,
    /// When the rotation was undone. The predecessor then has no successor.
    pub undone_at: Option<Timestamp>,
}

/// An expiry of a rotated key that is later than the end of the overlap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the key was rotated and expires at {ends_at}")]
pub struct EndIsFixed {
    /// The end of the overlap.
    pub ends_at: Timestamp,
}

impl KeyRotation {
    /// Returns whether the overlap lasts, and the rotation was not undone. It can then be undone.
    #[must_use]
    pub fn is_pending(&self, now: Timestamp) -> bool {
        self.undone_at.is_none() && now < self.ends_at
    }

    /// Checks a new expiry of the predecessor. It may end earlier than the rotation says, and not later, also after the
    /// overlap.
    ///
    /// # Errors
    /// [`EndIsFixed`] if it is later.
    pub fn require_end(&self, expires_at: Option<Timestamp>) -> Result<(), EndIsFixed> {
        if self.undone_at.is_some() || expires_at.is_some_and(|end| end <= self.ends_at) {
            Ok(())
        } else {
            Err(EndIsFixed { ends_at: self.ends_at })
        }
    }

    /// Returns the expiry of the predecessor after the rotation is undone. `current` is its present expiry. If that was
    /// changed since the rotation, it stays.
    #[must_use]
    pub fn expiry_after_undo(&self, current: Option<Timestamp>) -> Option<Timestamp> {
        if current == Some(self.ends_at) { self.expires_before } else { current }
    }
}

/// Returns how many of an owner's live keys count towards the quota. A successor does not count while its predecessor is
/// live and counts. `live` contains each live key, with its predecessor if it has one.
#[must_use]
pub fn count_towards_quota(live: &BTreeMap<ApiKeyId, Option<ApiKeyId>>) -> u64 {
    let counts = |key: ApiKeyId| {
        // The number of live predecessors one after the other decides: every second key of a chain counts.
        let (mut key, mut length) = (key, 0_usize);
        while let Some(before) = live.get(&key).copied().flatten()
            && live.contains_key(&before)
            && length < live.len()
        {
            key = before;
            length += 1;
        }
        length.is_multiple_of(2)
    };
    live.keys().filter(|key| counts(**key)).count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(number: u16) -> ApiKeyId {
        ApiKeyId::from_uuid(uuid::Uuid::from_u128(number.into()))
    }

    fn overlap(seconds: u32) -> Overlap {
        Overlap::from_seconds(seconds).unwrap()
    }

    #[test]
    fn an_overlap_has_at_most_thirty_days() {
        assert_eq!(Overlap::from_seconds(2_592_001), Err(OverlapError));
        assert_eq!(overlap(2_592_000).end(None, at(0)), at(2_592_000));
        assert!(overlap(0).is_none() && !overlap(1).is_none());
        assert_eq!(overlap(1).end(None, Timestamp::MAX), Timestamp::MAX);
    }

    #[test]
    fn a_successor_lives_as_long_as_its_predecessor_was_given() {
        assert_eq!(expiry_of_successor(at(100), None, at(500)), None);
        assert_eq!(expiry_of_successor(at(100), Some(at(700)), at(500)), Some(at(1100)));
        assert_eq!(expiry_of_successor(at(0), Some(Timestamp::MAX), at(500)), Some(Timestamp::MAX));
    }

    fn rotation(own: Option<Timestamp>, seconds: u32) -> KeyRotation {
        let ends_at = overlap(seconds).end(own, at(1000));
        KeyRotation {
            predecessor: key(1),
            successor: key(2),
            rotated_at: at(1000),
            ends_at,
            expires_before: own,
            accepted_before: 0,
            undone_at: None,
        }
    }

    #[test]
    fn an_undone_rotation_fixes_no_end() {
        let undone = KeyRotation { undone_at: Some(at(1001)), ..rotation(None, 60) };
        assert!(!undone.is_pending(at(1001)));
        assert_eq!(undone.require_end(None), Ok(()));
    }

    proptest! {
        #[test]
        fn a_rotation_never_prolongs_a_key(own in prop::option::of(1001..9000_i64), seconds in 0..4000_u32, now in 0..9000_i64) {
            let (own, now) = (own.map(at), at(now));
            let rotation = rotation(own, seconds);
            prop_assert!(own.is_none_or(|own| rotation.ends_at <= own));
            prop_assert!(rotation.ends_at <= at(1000 + i64::from(seconds)));
            prop_assert!(rotation.require_end(Some(rotation.ends_at)).is_ok());
            // An expiry that is allowed is not later than the end of the overlap.
            for wanted in [None, Some(now)] {
                let later = wanted.is_none_or(|wanted| wanted > rotation.ends_at);
                prop_assert_eq!(rotation.require_end(wanted).is_err(), later);
            }
            prop_assert_eq!(rotation.is_pending(now), now < rotation.ends_at);
            // What the rotation did is undone, and an expiry that was changed later stays.
            prop_assert_eq!(rotation.expiry_after_undo(Some(rotation.ends_at)), own);
            if now < rotation.ends_at {
                prop_assert_eq!(rotation.expiry_after_undo(Some(now)), Some(now));
            }
        }

        /// Chains of keys that are live or not, as after rotations, revocations and expiries in any order.
        #[test]
        fn the_quota_bounds_the_live_keys_and_no_end_of_a_key_exceeds_it(
            chains in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..8), 0..6),
        ) {
            let mut live = BTreeMap::new();
            let mut number = 0;
            for chain in &chains {
                let mut before = None;
                for is_live in chain {
                    number += 1;
                    if *is_live {
                        live.insert(key(number), before);
                    }
                    before = Some(key(number));
                }
            }
            let counted = count_towards_quota(&live);
            let all = live.len() as u64;
            prop_assert!(counted <= all && all <= 2 * counted, "{} of {}", counted, all);
            for ended in live.keys().copied().collect::<Vec<_>>() {
                let mut rest = live.clone();
                rest.remove(&ended);
                let after = count_towards_quota(&rest);
                prop_assert!(after <= counted, "{} after {} ended, {} before", after, ended, counted);
                // A key without a live successor can be rotated if it counts, or there is room for one more key.
                let has_successor = live.values().any(|before| *before == Some(ended));
                if !has_successor {
                    let mut rotated = live.clone();
                    rotated.insert(key(0), Some(ended));
                    prop_assert!(count_towards_quota(&rotated) <= counted + 1);
                }
            }
        }
    }

    #[test]
    fn a_successor_is_outside_the_quota_while_its_predecessor_is_live() {
        let live = |keys: &[(u16, u16)]| {
            let before = |before: u16| (before > 0).then(|| key(before));
            count_towards_quota(&keys.iter().map(|(id, of)| (key(*id), before(*of))).collect())
        };
        assert_eq!(live(&[]), 0);
        assert_eq!(live(&[(1, 0), (2, 1)]), 1);
        assert_eq!(live(&[(2, 1)]), 1, "the predecessor has ended");
        assert_eq!(live(&[(1, 0), (2, 1), (3, 2)]), 2, "the successor of a successor counts");
        assert_eq!(live(&[(1, 2), (2, 1)]), 2, "a circle, which no rotation makes, still ends");
    }
}
