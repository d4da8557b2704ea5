//! The rules of rotations.

use std::collections::BTreeSet;

use super::{ApiKey, Caller, FORBIDDEN, INVALID, Model, NOT_FOUND, Owner, State, Verdict, Who, require};

#[derive(Debug)]
pub struct Rotation {
    pub predecessor: usize,
    pub successor: usize,
    pub ends_at: i64,
    pub expires_before: Option<i64>,
    pub undone: bool,
}

const ENDED: (u16, &str) = (409, "rotation_ended");
const PENDING: (u16, &str) = (409, "rotation_pending");

impl Model {
    fn rotation_of(&self, key: usize) -> Option<usize> {
        self.rotations.iter().position(|rotation| rotation.predecessor == key && !rotation.undone)
    }

    fn is_pending(&self, rotation: usize) -> bool {
        !self.keys[self.rotations[rotation].successor].revoked
    }

    /// The keys that these keys registered as their own successors, and so on, with these.
    pub(super) fn with_self_rotated(&self, mut family: BTreeSet<usize>) -> BTreeSet<usize> {
        loop {
            let own = self.rotations.iter().filter(|rotation| {
                family.contains(&rotation.predecessor)
                    && self.keys[rotation.successor].created_with == Some(rotation.predecessor)
            });
            let grown: BTreeSet<usize> = own.map(|rotation| rotation.successor).chain(family.iter().copied()).collect();
            if grown.len() == family.len() {
                return family;
            }
            family = grown;
        }
    }

    /// The number of an owner's keys that count: a successor does not while its predecessor is live and counts.
    pub(super) fn counted_keys(&self, who: Who) -> usize {
        let is_live = |key: usize| matches!(self.state(key), State::Active | State::Disabled);
        let mut counted = 0;
        let mut outside = BTreeSet::new();
        // Each successor was registered after its predecessor.
        for key in (0..self.keys.len()).filter(|&key| self.keys[key].owner == who && is_live(key)) {
            let before = self.rotations.iter().find(|rotation| rotation.successor == key);
            let before = before.map(|rotation| rotation.predecessor).filter(|&before| is_live(before));
            if before.is_some_and(|before| !outside.contains(&before)) {
                outside.insert(key);
            } else {
                counted += 1;
            }
        }
        counted
    }

    fn is_own(&self, caller: Caller, owner: Owner) -> bool {
        match owner {
            Owner::Own => true,
            Owner::Account(ws, account) => {
                caller.who == Who::Account(account) && self.accounts[account].workspace == ws
            }
        }
    }

    pub fn rotate_key(
        &mut self,
        caller: Caller,
        owner: Owner,
        key: usize,
        (pair, overlap, proved): (usize, i64, bool),
    ) -> Verdict<()> {
        let is_self = caller.key == key && !caller.bearer && self.is_own(caller, owner);
        let who = if is_self { caller.who } else { self.manage_keys(caller, owner)? };
        require(self.keys[key].owner == who, NOT_FOUND)?;
        match self.state(key) {
            State::Active => {}
            State::Disabled => return Err((409, "key_inactive")),
            State::Expired => return Err((409, "key_expired")),
            State::Revoked => return Err((409, "key_revoked")),
        }
        let replaced = self.rotation_of(key);
        require(replaced.is_none_or(|replaced| !self.is_pending(replaced)), PENDING)?;
        require(!is_self || proved, INVALID)?;
        let expires_before = match replaced.map(|replaced| &self.rotations[replaced]) {
            Some(rotation) if self.keys[key].expires_at == Some(rotation.ends_at) => rotation.expires_before,
            _ => self.keys[key].expires_at,
        };
        let reclaimed = self.claim(who, pair, proved)?;
        let (end, successor) = (self.now + overlap, self.keys.len());
        let ends_at = expires_before.map_or(end, |own| own.min(end));
        let rotation = Rotation { predecessor: key, successor, ends_at, expires_before, undone: false };
        let given = expires_before.map(|expires_at| expires_at - self.keys[key].created_at);
        // What would count after the rotation.
        let present = self.counted_keys(who);
        let revoked = std::mem::replace(&mut self.keys[key].revoked, overlap == 0);
        self.keys.push(ApiKey {
            id: String::new(),
            owner: who,
            pair,
            disabled: false,
            created_at: self.now,
            expires_at: self.end_of_successor(who, given.map(|given| self.now + given)),
            revoked: false,
            verified: proved,
            proven: proved,
            reclaimed: false,
            created_with: Some(caller.key),
            limits: self.keys[key].limits.clone(),
        });
        self.rotations.push(rotation);
        let room = if self.counted_keys(who) <= present { Ok(()) } else { self.require_room_beside(who, present) };
        let within = room.and_then(|()| self.require_within(caller, key));
        let within = within.and_then(|()| self.require_new_within_policy(&self.keys[successor]));
        if let Err(refusal) = within {
            self.rotations.pop();
            self.keys.pop();
            self.keys[key].revoked = revoked;
            return Err(refusal);
        }
        if let Some(replaced) = replaced {
            self.rotations[replaced].undone = true;
        }
        if let Some(reclaimed) = reclaimed {
            self.reclaim(reclaimed);
        }
        if overlap > 0 {
            self.keys[key].expires_at = Some(ends_at);
        }
        Ok(())
    }

    pub fn undo_rotation(&mut self, caller: Caller, owner: Owner, key: usize) -> Verdict<()> {
        let found = self.rotation_of(key);
        let successor = found.map(|found| self.rotations[found].successor);
        let is_successor = successor == Some(caller.key) && !caller.bearer && self.is_own(caller, owner);
        let who = if is_successor && matches!(caller.who, Who::Account(_)) {
            require(self.keys[caller.key].created_with == Some(key), FORBIDDEN)?;
            caller.who
        } else {
            self.manage_keys(caller, owner)?
        };
        require(self.keys[key].owner == who, NOT_FOUND)?;
        let found = found.ok_or(NOT_FOUND)?;
        let (successor, ends_at) = (self.rotations[found].successor, self.rotations[found].ends_at);
        let has_ended = matches!(self.state(key), State::Revoked | State::Expired) || self.now >= ends_at;
        require(!has_ended, ENDED)?;
        self.require_within(caller, key)?;
        let is_rotated = self.rotation_of(successor).is_some_and(|next| self.is_pending(next));
        require(!is_rotated, PENDING)?;
        if self.keys[key].expires_at == Some(ends_at) {
            self.keys[key].expires_at = self.rotations[found].expires_before;
        }
        self.rotations[found].undone = true;
        self.keys[successor].revoked = true;
        Ok(())
    }

    /// Refuses an expiry of a rotated key that is later than the end of the overlap.
    pub(super) fn require_end(&self, key: usize, end: Option<i64>) -> Verdict<()> {
        let fixed = self.rotation_of(key).map(|rotation| self.rotations[rotation].ends_at);
        require(fixed.is_none_or(|fixed| end.is_some_and(|end| end <= fixed)), (409, "key_rotated"))
    }
}
