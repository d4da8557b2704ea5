//! The rules of keys: permissions, quotas and states.

use std::collections::BTreeSet;

use super::{ApiKey, Caller, FORBIDDEN, Limits, Model, NOT_FOUND, Owner, QUOTA, State, Verdict, Who, require};

impl Model {
    pub fn view_keys(&self, caller: Caller, owner: Owner) -> Verdict<Who> {
        match owner {
            Owner::Own => Ok(caller.who),
            Owner::Account(ws, account) => {
                self.require_admin(caller, ws)?;
                self.require_account(ws, account)?;
                Ok(Who::Account(account))
            }
        }
    }

    pub(super) fn manage_keys(&self, caller: Caller, owner: Owner) -> Verdict<Who> {
        match owner {
            Owner::Own => {
                require(matches!(caller.who, Who::User(_)) && !caller.bearer, FORBIDDEN)?;
                Ok(caller.who)
            }
            Owner::Account(ws, account) => {
                self.require_signing_admin(caller, ws)?;
                require(caller.who != Who::Account(account), FORBIDDEN)?;
                self.require_account(ws, account)?;
                Ok(Who::Account(account))
            }
        }
    }

    pub fn live_keys(&self, who: Who) -> usize {
        let is_live = |key: &usize| matches!(self.state(*key), State::Active | State::Disabled);
        (0..self.keys.len()).filter(|&key| self.keys[key].owner == who).filter(is_live).count()
    }

    fn require_room(&self, who: Who) -> Verdict<()> {
        self.require_room_beside(who, self.counted_keys(who))
    }

    pub(super) fn require_room_beside(&self, who: Who, present: usize) -> Verdict<()> {
        let limit = match who {
            Who::Account(account) => self.workspaces[self.accounts[account].workspace].account_key_quota,
            Who::User(user) => {
                let mine = self.workspaces.iter().filter(|ws| ws.members.contains_key(&user));
                mine.map(|ws| ws.user_key_quota).max().unwrap_or(25)
            }
        };
        require(present < limit, QUOTA)
    }

    /// Returns the conflicting key, if the caller may see its owner.
    pub fn visible_duplicate(&self, caller: Caller, pair: usize) -> Option<usize> {
        let blocked = self.keys.iter().any(|key| key.pair == pair && key.revoked && key.verified && !key.reclaimed);
        let key = self.keys.iter().position(|key| key.pair == pair && !key.revoked).filter(|_| !blocked)?;
        let visible = match self.keys[key].owner {
            owner if owner == caller.who => true,
            Who::User(_) => false,
            Who::Account(account) => self.require_admin(caller, self.accounts[account].workspace).is_ok(),
        };
        visible.then_some(key)
    }

    /// Checks that a principal may register a key pair. Returns the registration that its proof reclaims.
    pub(super) fn claim(&self, owner: Who, pair: usize, proved: bool) -> Verdict<Option<usize>> {
        let same = |key: &&ApiKey| key.pair == pair;
        let ended_after_use = |key: &ApiKey| key.revoked && key.verified && !key.reclaimed;
        require(!self.keys.iter().filter(same).any(ended_after_use), (409, "duplicate_key"))?;
        let standing = self.keys.iter().position(|key| key.pair == pair && !key.revoked);
        if let Some(standing) = standing {
            let is_unproven = self.keys[standing].owner != owner && !self.keys[standing].proven;
            require(proved && is_unproven, (409, "duplicate_key"))?;
        }
        Ok(standing)
    }

    pub(super) fn reclaim(&mut self, key: usize) {
        for ended in self.with_self_rotated(BTreeSet::from([key])) {
            self.keys[ended].revoked = true;
        }
        self.keys[key].reclaimed = true;
    }

    pub fn create_key(
        &mut self,
        caller: Caller,
        owner: Owner,
        pair: usize,
        expires_at: Option<i64>,
        proved: bool,
        asked: &Limits,
    ) -> Verdict<()> {
        let owner = self.manage_keys(caller, owner)?;
        let reclaimed = self.claim(owner, pair, proved)?;
        self.require_room(owner)?;
        let limits = self.grant_limits(caller, asked, owner)?;
        let key = ApiKey {
            id: String::new(),
            owner,
            pair,
            disabled: false,
            created_at: self.now,
            expires_at,
            revoked: false,
            verified: proved,
            proven: proved,
            reclaimed: false,
            created_with: Some(caller.key),
            limits,
        };
        self.require_new_within_policy(&key)?;
        if let Some(reclaimed) = reclaimed {
            self.reclaim(reclaimed);
        }
        self.keys.push(key);
        Ok(())
    }

    pub(super) fn find_unrevoked(&self, caller: Caller, owner: Owner, key: usize) -> Verdict<Who> {
        let who = self.manage_keys(caller, owner)?;
        require(self.keys[key].owner == who, NOT_FOUND)?;
        require(!self.keys[key].revoked, (409, "key_revoked"))?;
        Ok(who)
    }

    pub fn disable_key(&mut self, caller: Caller, owner: Owner, key: usize) -> Verdict<()> {
        self.find_unrevoked(caller, owner, key)?;
        self.keys[key].disabled = true;
        Ok(())
    }

    pub fn set_end(&mut self, caller: Caller, owner: Owner, key: usize, end: Option<i64>) -> Verdict<()> {
        let who = self.find_unrevoked(caller, owner, key)?;
        if self.keys[key].expires_at.is_some_and(|before| end.is_none_or(|end| end > before)) {
            self.require_within(caller, key)?;
        }
        self.require_end(key, end)?;
        if self.state(key) == State::Expired {
            self.require_room(who)?;
        }
        let after = ApiKey { expires_at: end, ..self.keys[key].clone() };
        self.require_change_within_policy(key, &after)?;
        self.keys[key] = after;
        Ok(())
    }

    #[expect(clippy::option_option, reason = "unchanged, no expiry and an expiry are three values")]
    pub fn enable_key(&mut self, caller: Caller, owner: Owner, key: usize, end: Option<Option<i64>>) -> Verdict<()> {
        self.find_unrevoked(caller, owner, key)?;
        require(end.is_some() || self.state(key) != State::Expired, (409, "key_expired"))?;
        self.require_within(caller, key)?;
        if let Some(end) = end {
            self.set_end(caller, owner, key, end)?;
        }
        self.keys[key].disabled = false;
        Ok(())
    }

    /// Revokes a key and the successors that it registered for itself. With `cascade`, also revokes the keys that it
    /// registered, and so on, if the caller manages them.
    pub fn revoke_key(&mut self, caller: Caller, owner: Owner, key: usize, cascade: bool) -> Verdict<()> {
        let who = self.manage_keys(caller, owner)?;
        require(self.keys[key].owner == who, NOT_FOUND)?;
        let mut family = BTreeSet::from([key]);
        if cascade {
            loop {
                let made = |key: &usize| self.keys[*key].created_with.is_some_and(|by| family.contains(&by));
                let grown: BTreeSet<usize> = (0..self.keys.len()).filter(made).chain(family.iter().copied()).collect();
                if grown == family {
                    break;
                }
                family = grown;
            }
        }
        let family = self.with_self_rotated(family);
        let managed = family.into_iter().filter(|&made| {
            let owner = match self.keys[made].owner {
                Who::Account(account) => Owner::Account(self.accounts[account].workspace, account),
                owner if owner == caller.who => Owner::Own,
                Who::User(_) => return false,
            };
            self.manage_keys(caller, owner).is_ok()
        });
        for key in managed.collect::<Vec<_>>() {
            self.keys[key].revoked = true;
        }
        Ok(())
    }
}
