//! A persistent hash table of shared rows. It stores 9 bytes for each place of a row: a pointer and a byte of the hash. The
//! key of a row is computed from the row. A clone takes constant time and shares everything that is not changed
//! afterwards.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    sync::Arc,
};

use hashbrown::{HashTable, hash_table::Entry};

/// Above this number of rows for each shard, a shard is split. A change copies one shard.
const ROWS_PER_SHARD: usize = 112;

/// How a table finds its rows.
pub(crate) trait Index {
    /// A row.
    type Row;
    /// The key of a row.
    type Key: Hash + Eq;

    /// Returns the key of a row.
    fn key(row: &Self::Row) -> Self::Key;
}

/// A part of the rows.
type Shard<R> = HashTable<Arc<R>>;

/// The hashes and the rows of a future shard.
type Group<'a, R> = Vec<(u64, &'a Arc<R>)>;

/// The rows, found by one key.
///
/// It grows by linear hashing: one shard is split at a time, so that no change has to wait until all rows have moved. It
/// does not shrink.
pub(crate) struct Table<I: Index> {
    shards: imbl::Vector<Arc<Shard<I::Row>>>,
    rows: usize,
    /// Secret, so that nobody can choose keys that share a place.
    hasher: RandomState,
}

// The derived implementation would require that the index can be cloned.
impl<I: Index> Clone for Table<I> {
    fn clone(&self) -> Self {
        Self { shards: self.shards.clone(), rows: self.rows, hasher: self.hasher.clone() }
    }
}

impl<I: Index> Default for Table<I> {
    fn default() -> Self {
        Self { shards: imbl::Vector::unit(Arc::default()), rows: 0, hasher: RandomState::new() }
    }
}

impl<I: Index> Table<I> {
    /// Creates a table of these rows. If several have the same key, it contains the last one.
    pub(crate) fn of(rows: &[Arc<I::Row>]) -> Self {
        let hasher = RandomState::new();
        let count = rows.len().div_ceil(ROWS_PER_SHARD).next_power_of_two();
        // The rows are first grouped by shard, so that each shard is made at once, with the places that it needs.
        let mut groups: Vec<Group<'_, I::Row>> = Vec::new();
        groups.resize_with(count, || Vec::with_capacity(rows.len() / count + 1));
        for row in rows {
            let hash = hasher.hash_one(I::key(row));
            if let Some(group) = groups.get_mut(place(hash, count)) {
                group.push((hash, row));
            }
        }
        let (mut shards, mut kept) = (imbl::Vector::new(), 0);
        for group in groups {
            let mut shard = HashTable::with_capacity(group.len());
            for (hash, row) in group {
                put::<I>(&mut shard, hash, Arc::clone(row), &hasher);
            }
            kept += shard.len();
            shards.push_back(Arc::new(shard));
        }
        Self { shards, rows: kept, hasher }
    }

    /// Returns the number of rows.
    pub(crate) const fn len(&self) -> usize {
        self.rows
    }

    /// Returns the row with that key.
    pub(crate) fn get(&self, key: &I::Key) -> Option<&Arc<I::Row>> {
        let hash = self.hasher.hash_one(key);
        self.shards.get(place(hash, self.shards.len()))?.find(hash, |row| I::key(row) == *key)
    }

    /// Adds a row, and returns the one that had its key.
    pub(crate) fn insert(&mut self, row: Arc<I::Row>) -> Option<Arc<I::Row>> {
        let hash = self.hasher.hash_one(I::key(&row));
        let place = place(hash, self.shards.len());
        let replaced = put::<I>(Arc::make_mut(self.shards.get_mut(place)?), hash, row, &self.hasher);
        if replaced.is_none() {
            self.rows += 1;
            if self.rows > self.shards.len() * ROWS_PER_SHARD {
                self.split_shard();
            }
        }
        replaced
    }

    /// Removes the row with that key, and returns it.
    pub(crate) fn remove(&mut self, key: &I::Key) -> Option<Arc<I::Row>> {
        let hash = self.hasher.hash_one(key);
        let place = place(hash, self.shards.len());
        // A shard without the row is not copied.
        self.shards.get(place)?.find(hash, |row| I::key(row) == *key)?;
        let shard = Arc::make_mut(self.shards.get_mut(place)?);
        let (row, _) = shard.find_entry(hash, |row| I::key(row) == *key).ok()?.remove();
        self.rows -= 1;
        Some(row)
    }

    /// Returns all rows, in an undefined order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<I::Row>> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Moves rows of the next shard to split into a new one at the end.
    fn split_shard(&mut self) {
        let count = self.shards.len();
        let split = count - (1 << count.ilog2());
        let Some(shard) = self.shards.get(split) else { return };
        let hash_of = |row: &Arc<I::Row>| self.hasher.hash_one(I::key(row));
        let (mut stay, mut go) = (HashTable::new(), HashTable::new());
        for row in shard.iter() {
            let hash = hash_of(row);
            let to = if place(hash, count + 1) == split { &mut stay } else { &mut go };
            to.insert_unique(hash, Arc::clone(row), hash_of);
        }
        self.shards.set(split, Arc::new(stay));
        self.shards.push_back(Arc::new(go));
    }
}

/// Returns the shard of a hash among `count` ones. From one more shard, only hashes of the split shard move.
#[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a hash are as good as others")]
const fn place(hash: u64, count: usize) -> usize {
    // hashbrown uses the lowest bits for the place within a shard, and the highest seven to compare rows.
    let bits = (hash >> 24) as u32 as usize;
    let place = bits & ((2 << count.ilog2()) - 1);
    if place < count { place } else { place & ((1 << count.ilog2()) - 1) }
}

/// Adds a row, and returns the one that had its key.
fn put<I: Index>(shard: &mut Shard<I::Row>, hash: u64, row: Arc<I::Row>, hasher: &RandomState) -> Option<Arc<I::Row>> {
    let key = I::key(&row);
    match shard.entry(hash, |other| I::key(other) == key, |row| hasher.hash_one(I::key(row))) {
        Entry::Occupied(mut entry) => Some(std::mem::replace(entry.get_mut(), row)),
        Entry::Vacant(entry) => {
            entry.insert(row);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    struct Number;

    impl Index for Number {
        type Row = (u32, u8);
        type Key = u32;

        fn key(row: &(u32, u8)) -> u32 {
            row.0
        }
    }

    #[test]
    fn from_one_more_shard_only_the_rows_of_one_shard_move_and_only_to_the_new_one() {
        for count in 1..200_usize {
            let split = count - (1 << count.ilog2());
            for hash in (0..10_000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
                let (before, after) = (place(hash, count), place(hash, count + 1));
                assert!(before < count);
                assert!(after == before || before == split && after == count, "{count}: from {before} to {after}");
            }
        }
    }

    #[test]
    fn it_grows_without_losing_rows_and_its_shards_stay_small() {
        let mut table = Table::<Number>::default();
        for number in 0..20_000 {
            assert_eq!(table.insert(Arc::new((number, 0))), None);
        }
        assert_eq!(table.shards.len(), 20_000_usize.div_ceil(ROWS_PER_SHARD));
        assert!(table.shards.iter().all(|shard| shard.len() < 4 * ROWS_PER_SHARD));
        assert_eq!(table.iter().map(|row| row.0).collect::<BTreeSet<_>>(), (0..20_000).collect());
        assert!((0..20_000).all(|number| table.get(&number).is_some_and(|row| row.0 == number)));
        assert!(table.get(&20_000).is_none());
    }

    proptest! {
        #[test]
        fn it_and_its_clones_contain_what_a_map_contains(
            first in prop::collection::vec((0..300_u32, any::<u8>()), 0..600),
            steps in prop::collection::vec((any::<bool>(), 0..300_u32, any::<u8>()), 0..600),
        ) {
            let rows: Vec<_> = first.iter().copied().map(Arc::new).collect();
            let mut table = Table::<Number>::of(&rows);
            let mut map: BTreeMap<u32, u8> = first.into_iter().collect();
            let (table_before, map_before) = (table.clone(), map.clone());
            for (put, number, value) in steps {
                let (changed, expected) = if put {
                    (table.insert(Arc::new((number, value))), map.insert(number, value))
                } else {
                    (table.remove(&number), map.remove(&number))
                };
                prop_assert_eq!(changed.map(|row| row.1), expected);
                prop_assert_eq!(table.len(), map.len());
            }
            for (table, map) in [(table, map), (table_before, map_before)] {
                prop_assert_eq!(table.iter().map(|row| **row).collect::<BTreeMap<_, _>>(), map.clone());
                prop_assert_eq!(table.iter().count(), map.len());
                for number in 0..300 {
                    prop_assert_eq!(table.get(&number).map(|row| row.1), map.get(&number).copied());
                }
            }
        }
    }
}
