//! Precomputed multiples of the keys that are used most, in bounded memory. They halve the time of a verification.
//!
//! A key that has no table becomes the candidate of its set with a valid signature, and gets a table with its next one.
//! Another key replaces the candidate after four signatures without a match. So a signature that is not valid changes
//! nothing, and if more keys are used than fit, few tables are computed in vain. Reading takes no lock.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwapOption;
use curve25519_dalek::{
    EdwardsPoint,
    constants::ED25519_BASEPOINT_POINT,
    edwards::{VartimeSplitBasepointTable, VartimeSplitTable},
};

use super::Equation;

/// The number of keys that have a table. With 10 KiB each, they take at most 80 MiB.
const MAX_TABLES: usize = WAYS * SETS;
/// The number of tables in a set.
const WAYS: usize = 4;
const SETS: usize = 2048;
const _: () = assert!(MAX_TABLES == 8192 && SETS.is_power_of_two());

/// The bits of a candidate that count signatures of other keys.
const MISSES: u64 = 3;

static BASE_POINT: LazyLock<VartimeSplitBasepointTable> = LazyLock::new(VartimeSplitBasepointTable::new);
static TABLES: LazyLock<Tables> = LazyLock::new(Tables::default);
/// A table for keys that have none: its result is discarded.
static DUMMY: LazyLock<KeyTable> = LazyLock::new(|| KeyTable::new([0; 32], &ED25519_BASEPOINT_POINT));

/// The table of a key.
pub(super) struct KeyTable {
    key: [u8; 32],
    multiples: VartimeSplitTable,
}

impl KeyTable {
    /// Computes the table of a key from −A.
    pub(super) fn new(key: [u8; 32], negated_point: &EdwardsPoint) -> Self {
        Self { key, multiples: VartimeSplitTable::new(negated_point) }
    }

    /// Returns \[S]B − \[k]A.
    pub(super) fn multiply(&self, equation: &Equation<'_>) -> EdwardsPoint {
        self.multiples.vartime_double_scalar_mul_basepoint(&equation.k, &equation.s, &BASE_POINT)
    }
}

/// The keys of one part of all keys.
#[derive(Default)]
struct Set {
    tables: [ArcSwapOption<KeyTable>; WAYS],
    /// The hash of the candidate. Its lowest bits count the valid signatures of other keys without a table since.
    candidate: AtomicU64,
    /// The place of the next table.
    next: AtomicUsize,
}

struct Tables {
    sets: Box<[Set]>,
    /// Its secret keeps others from choosing keys of the same set.
    hasher: RandomState,
}

impl Default for Tables {
    fn default() -> Self {
        Self { sets: std::iter::repeat_with(Set::default).take(SETS).collect(), hasher: RandomState::new() }
    }
}

impl Tables {
    /// Returns the set of a key, and the hash of the key.
    fn set_of(&self, key: &[u8; 32]) -> Option<(&Set, u64)> {
        let hash = self.hasher.hash_one(key);
        let at = usize::try_from(hash).unwrap_or(0).checked_rem(self.sets.len())?;
        self.sets.get(at).map(|set| (set, hash))
    }

    fn with<R>(&self, key: &[u8; 32], read: impl FnOnce(&KeyTable) -> R) -> Option<R> {
        let (set, _) = self.set_of(key)?;
        let found =
            set.tables.iter().map(ArcSwapOption::load).find(|table| table.as_ref().is_some_and(|t| t.key == *key))?;
        found.as_deref().map(read)
    }

    fn record_valid_signature(&self, key: &[u8; 32], negated_point: &EdwardsPoint) {
        let Some((set, hash)) = self.set_of(key) else { return };
        let hash = hash & !MISSES;
        // A lost update makes the table of a key come a signature later.
        let candidate = set.candidate.load(Ordering::Relaxed);
        if candidate & !MISSES != hash {
            let next = if candidate & MISSES == MISSES || candidate == 0 { hash } else { candidate + 1 };
            set.candidate.store(next, Ordering::Relaxed);
            return;
        }
        set.candidate.store(0, Ordering::Relaxed);
        let place = set.next.fetch_add(1, Ordering::Relaxed) % WAYS;
        if let Some(table) = set.tables.get(place) {
            table.store(Some(Arc::new(KeyTable::new(*key, negated_point))));
        }
    }
}

/// Calls a function with the table of a key, if it has one.
pub(super) fn with<R>(key: &[u8; 32], read: impl FnOnce(&KeyTable) -> R) -> Option<R> {
    TABLES.with(key, read)
}

/// Records a valid signature that was verified without a table. `negated_point` is −A.
pub(super) fn record_valid_signature(key: &[u8; 32], negated_point: &EdwardsPoint) {
    TABLES.record_valid_signature(key, negated_point);
}

/// Returns a table of the base point, for work whose result is discarded.
pub(super) fn of_base_point() -> &'static KeyTable {
    &DUMMY
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::Scalar;

    use super::*;

    fn key(number: u64) -> ([u8; 32], EdwardsPoint) {
        let point = EdwardsPoint::mul_base(&Scalar::from(number));
        (point.compress().to_bytes(), -point)
    }

    fn has_table(tables: &Tables, key: &[u8; 32]) -> bool {
        tables.with(key, |_| ()).is_some()
    }

    #[test]
    fn a_key_gets_a_table_with_its_second_valid_signature() {
        let (tables, (key, point)) = (Tables::default(), key(5));
        tables.record_valid_signature(&key, &point);
        assert!(!has_table(&tables, &key));
        tables.record_valid_signature(&key, &point);
        assert!(has_table(&tables, &key));
    }

    #[test]
    fn all_keys_of_a_set_get_a_table_if_they_take_turns() {
        let tables = Tables { sets: Box::new([Set::default()]), hasher: RandomState::new() };
        let keys: Vec<_> = (1..=u64::try_from(WAYS).unwrap()).map(key).collect();
        for _ in 0..20 {
            for (key, point) in keys.iter().filter(|(key, _)| !has_table(&tables, key)).collect::<Vec<_>>() {
                tables.record_valid_signature(key, point);
            }
        }
        assert!(keys.iter().all(|(key, _)| has_table(&tables, key)));
    }

    #[test]
    fn a_new_table_replaces_the_oldest_one_of_its_set() {
        let tables = Tables { sets: Box::new([Set::default()]), hasher: RandomState::new() };
        let keys: Vec<_> = (1..=6).map(key).collect();
        for (key, point) in &keys {
            tables.record_valid_signature(key, point);
            tables.record_valid_signature(key, point);
        }
        let kept: Vec<bool> = keys.iter().map(|(key, _)| has_table(&tables, key)).collect();
        assert_eq!(kept, [false, false, true, true, true, true]);
    }
}
