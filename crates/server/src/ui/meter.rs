//! Meters, which show how much of a limit is in use.

/// How much of a limit is in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    pub(super) used: u64,
    pub(super) limit: u32,
}

/// The width of a full meter.
const FULL: u64 = 64;

impl Meter {
    /// Returns the meter of the keys of an account.
    pub(super) const fn of(keys: &api::KeyCount) -> Self {
        Self { used: keys.live, limit: keys.limit }
    }

    /// Returns whether the limit is reached.
    pub(super) fn is_full(&self) -> bool {
        self.used >= u64::from(self.limit)
    }

    /// Returns whether nine tenths of the limit are in use, or more.
    pub(super) fn is_high(&self) -> bool {
        self.used.saturating_mul(10) >= u64::from(self.limit) * 9
    }

    /// Returns the width of the filled part.
    pub(super) fn width(&self) -> u64 {
        match u64::from(self.limit) {
            0 => FULL,
            limit => self.used.saturating_mul(FULL).div_ceil(limit).min(FULL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_shows_a_part_of_its_limit() {
        for (used, limit, filled, is_high, is_full) in [
            (0, 5, 0, false, false),
            (1, 5, 13, false, false),
            (4, 5, 52, false, false),
            (5, 5, 64, true, true),
            (9, 5, 64, true, true),
            (8, 10, 52, false, false),
            (9, 10, 58, true, false),
            (0, 1, 0, false, false),
            (0, 0, 64, true, true),
        ] {
            let meter = Meter { used, limit };
            assert_eq!((meter.width(), meter.is_high(), meter.is_full()), (filled, is_high, is_full), "{meter:?}");
        }
    }
}
