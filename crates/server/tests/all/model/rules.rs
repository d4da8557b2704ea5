//! The rules of workspaces, users, keys and projects, implemented again in memory and without a server, to compare with
//! the real server. It follows the specification, and uses lists instead of a database.

mod api_key;
mod limits;
mod policy;
mod project;
mod rotation;

use std::collections::BTreeMap;

pub use self::{
    limits::{Limits, MANAGE, READ, WRITE},
    policy::{Policies, Rules as PolicyRules},
    rotation::Rotation,
};

/// The status and code of a refusal.
pub type Refusal = (u16, &'static str);
pub type Verdict<T> = Result<T, Refusal>;

pub const UNAUTHENTICATED: Refusal = (401, "unauthenticated");
pub const NOT_FOUND: Refusal = (404, "not_found");
pub const FORBIDDEN: Refusal = (403, "forbidden");
const INVALID: Refusal = (400, "invalid_request");
const QUOTA: Refusal = (409, "quota_exceeded");
const SUCCESSOR_REQUIRED: Refusal = (409, "successor_required");
const LAST_ADMIN: Refusal = (409, "last_admin");

pub const HOUR: i64 = 3600;
pub const INVITATION_LIFETIME: i64 = 7 * 24 * HOUR;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    User(usize),
    Account(usize),
}

/// The credential of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credential {
    /// A signature by this key pair.
    Pair(usize),
    /// This bearer token.
    Token(usize),
}

#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub who: Who,
    pub key: usize,
    pub bearer: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Active,
    Disabled,
    Expired,
    Revoked,
}

#[derive(Debug)]
pub struct User {
    pub id: String,
    pub email: String,
    pub operator: bool,
    pub disabled: bool,
}

#[derive(Debug)]
pub struct Workspace {
    pub id: String,
    pub slug: usize,
    pub deleted: bool,
    /// Users, each with whether they are an admin.
    pub members: BTreeMap<usize, bool>,
    pub account_quota: usize,
    pub account_key_quota: usize,
    pub user_key_quota: usize,
}

#[derive(Debug)]
pub struct Account {
    pub id: String,
    pub workspace: usize,
    pub name: usize,
    pub admin: bool,
    pub disabled: bool,
    pub deleted: bool,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct ApiKey {
    pub id: String,
    pub owner: Who,
    pub pair: usize,
    pub disabled: bool,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked: bool,
    /// Whether it ever verified a request or a proof.
    pub verified: bool,
    /// Whether a proof ever showed that its owner holds the private key.
    pub proven: bool,
    /// Whether another user's proof reclaimed it.
    pub reclaimed: bool,
    pub created_with: Option<usize>,
    pub limits: Limits,
}

#[derive(Debug)]
pub struct Invitation {
    pub id: String,
    pub token: String,
    pub workspace: usize,
    pub email: String,
    pub admin: bool,
    pub expires_at: i64,
    pub accepted: bool,
    pub revoked: bool,
    /// The principal that wrote it, or last sent it again.
    pub by: Who,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ProjectRole {
    Viewer,
    Editor,
    Admin,
}

#[derive(Debug)]
pub struct Project {
    pub id: String,
    pub workspace: usize,
    pub deleted: bool,
    pub members: BTreeMap<Who, ProjectRole>,
}

#[derive(Debug)]
pub struct Token {
    pub text: String,
    pub key: usize,
    pub ends_at: i64,
}

/// The owner of the keys.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    Own,
    Account(usize, usize),
}

#[derive(Debug, Default)]
pub struct Model {
    pub now: i64,
    pub users: Vec<User>,
    pub workspaces: Vec<Workspace>,
    pub accounts: Vec<Account>,
    pub keys: Vec<ApiKey>,
    pub rotations: Vec<Rotation>,
    pub invitations: Vec<Invitation>,
    pub projects: Vec<Project>,
    pub tokens: Vec<Token>,
    /// Of workspaces, and of the installation.
    pub policies: BTreeMap<Option<usize>, Policies>,
}

fn require(holds: bool, refusal: Refusal) -> Verdict<()> {
    if holds { Ok(()) } else { Err(refusal) }
}

impl Model {
    // Authentication.

    pub fn state(&self, key: usize) -> State {
        let key = &self.keys[key];
        if key.revoked {
            State::Revoked
        } else if key.expires_at.is_some_and(|end| self.now >= end) {
            State::Expired
        } else if key.disabled {
            State::Disabled
        } else {
            State::Active
        }
    }

    fn key_of(&self, credential: Credential) -> Option<usize> {
        match credential {
            Credential::Pair(pair) => self.keys.iter().position(|key| key.pair == pair && !key.revoked),
            Credential::Token(token) => Some(self.tokens[token].key).filter(|_| self.now < self.tokens[token].ends_at),
        }
    }

    /// Rules 2 and 3: returns the principal of a credential, if it is still valid.
    pub fn caller(&self, credential: Credential) -> Verdict<Caller> {
        let key = self.key_of(credential).filter(|&key| self.state(key) == State::Active).ok_or(UNAUTHENTICATED)?;
        require(self.keys[key].limits.allow_use(self.now), UNAUTHENTICATED)?;
        let who = self.keys[key].owner;
        let stands = match who {
            Who::User(user) => {
                let is_member = self.workspaces.iter().any(|ws| ws.members.contains_key(&user));
                !self.users[user].disabled && (is_member || self.users[user].operator)
            }
            Who::Account(account) => !self.accounts[account].disabled && !self.accounts[account].deleted,
        };
        require(stands, UNAUTHENTICATED)?;
        let is_refused = self.policy_refuses(None, key)
            || matches!(who, Who::Account(account) if self.policy_refuses(Some(self.accounts[account].workspace), key));
        require(!is_refused, UNAUTHENTICATED)?;
        Ok(Caller { who, key, bearer: matches!(credential, Credential::Token(_)) })
    }

    /// Records the use: a valid signature counts, regardless of the result of the request.
    pub fn authenticate(&mut self, credential: Credential) -> Verdict<Caller> {
        if let (Credential::Pair(_), Some(key)) = (credential, self.key_of(credential)) {
            self.keys[key].verified = true;
        }
        self.caller(credential)
    }

    /// Returns whether they are an admin of a workspace, or `None` if they are not in it.
    pub fn is_admin(&self, who: Who, ws: usize) -> Option<bool> {
        match who {
            Who::User(user) => self.workspaces[ws].members.get(&user).copied(),
            Who::Account(account) => {
                let account = &self.accounts[account];
                (account.workspace == ws && !account.deleted).then_some(account.admin)
            }
        }
    }

    pub fn require_member(&self, caller: Caller, ws: usize) -> Verdict<()> {
        self.role(caller, ws)?;
        require(self.limits(caller).projects.is_none(), FORBIDDEN)
    }

    pub fn require_admin(&self, caller: Caller, ws: usize) -> Verdict<()> {
        self.require_member(caller, ws)?;
        require(self.role(caller, ws)?, FORBIDDEN)
    }

    fn require_signing_admin(&self, caller: Caller, ws: usize) -> Verdict<()> {
        self.require_admin(caller, ws)?;
        require(!caller.bearer, FORBIDDEN)
    }

    /// Rule: service accounts do not grant the role `admin`.
    pub fn require_grant(caller: Caller, admin: bool) -> Verdict<()> {
        require(!(admin && matches!(caller.who, Who::Account(_))), FORBIDDEN)
    }

    fn is_operator(&self, caller: Caller) -> bool {
        !self.limits(caller).has_places() && matches!(caller.who, Who::User(user) if self.users[user].operator)
    }

    fn require_operator(&self, caller: Caller) -> Verdict<()> {
        require(self.is_operator(caller) && !caller.bearer, FORBIDDEN)
    }

    pub fn issue_token(&self, caller: Caller) -> Verdict<i64> {
        require(!caller.bearer, FORBIDDEN)?;
        let end = self.now + HOUR;
        Ok(self.keys[caller.key].expires_at.map_or(end, |key_end| end.min(key_end)))
    }

    // Workspaces and users.

    pub fn create_workspace(&mut self, caller: Caller, slug: usize) -> Verdict<()> {
        self.require_operator(caller)?;
        require(self.workspaces.iter().all(|ws| ws.slug != slug), (409, "slug_taken"))?;
        let Who::User(user) = caller.who else { return Err(FORBIDDEN) };
        self.workspaces.push(Workspace {
            id: String::new(),
            slug,
            deleted: false,
            members: BTreeMap::from([(user, true)]),
            account_quota: 1,
            account_key_quota: 5,
            user_key_quota: 25,
        });
        Ok(())
    }

    pub fn delete_workspace(&mut self, caller: Caller, ws: usize) -> Verdict<()> {
        self.require_signing_admin(caller, ws)?;
        self.workspaces[ws].deleted = true;
        self.workspaces[ws].members.clear();
        self.policies.remove(&Some(ws));
        for account in 0..self.accounts.len() {
            if self.accounts[account].workspace == ws {
                self.bury_account(account);
            }
        }
        self.projects.iter_mut().filter(|project| project.workspace == ws).for_each(|project| project.deleted = true);
        for invitation in self.invitations.iter_mut().filter(|inv| inv.workspace == ws && !inv.accepted) {
            invitation.revoked = true;
        }
        Ok(())
    }

    pub fn set_quotas(&mut self, caller: Caller, ws: usize, accounts: usize, keys: usize) -> Verdict<()> {
        if !self.is_operator(caller) {
            self.role(caller, ws)?;
        }
        self.require_operator(caller)?;
        require(!self.workspaces[ws].deleted, NOT_FOUND)?;
        let ws = &mut self.workspaces[ws];
        (ws.account_quota, ws.account_key_quota, ws.user_key_quota) = (accounts, keys, keys);
        Ok(())
    }

    pub fn set_user(&mut self, caller: Caller, user: usize, operator: bool, disabled: bool) -> Verdict<()> {
        self.require_operator(caller)?;
        let runs = |user: &User| user.operator && !user.disabled;
        let others = self.users.iter().enumerate().any(|(i, other)| i != user && runs(other));
        require(!runs(&self.users[user]) || others || (operator && !disabled), LAST_ADMIN)?;
        (self.users[user].operator, self.users[user].disabled) = (operator, disabled);
        self.end_invitations_of(Who::User(user), None);
        Ok(())
    }

    fn require_another_admin(&self, ws: usize, user: usize) -> Verdict<()> {
        let members = &self.workspaces[ws].members;
        let is_enabled_admin = |user: usize| members[&user] && !self.users[user].disabled;
        let is_left = members.keys().any(|&other| other != user && is_enabled_admin(other));
        require(!is_enabled_admin(user) || is_left, LAST_ADMIN)
    }

    pub fn set_member(&mut self, caller: Caller, ws: usize, user: usize, admin: bool) -> Verdict<()> {
        self.require_signing_admin(caller, ws)?;
        Self::require_grant(caller, admin)?;
        require(self.workspaces[ws].members.contains_key(&user), NOT_FOUND)?;
        if !admin {
            self.require_another_admin(ws, user)?;
        }
        self.workspaces[ws].members.insert(user, admin);
        if !admin {
            self.end_invitations_of(Who::User(user), Some(ws));
        }
        Ok(())
    }

    pub fn remove_member(&mut self, caller: Caller, ws: usize, user: usize, successor: Option<Who>) -> Verdict<()> {
        if caller.who == Who::User(user) {
            self.require_member(caller, ws)?;
            require(!caller.bearer, FORBIDDEN)?;
        } else {
            self.require_signing_admin(caller, ws)?;
        }
        require(self.workspaces[ws].members.contains_key(&user), NOT_FOUND)?;
        self.require_another_admin(ws, user)?;
        self.hand_over(caller, ws, Who::User(user), successor)?;
        self.workspaces[ws].members.remove(&user);
        self.end_invitations_of(Who::User(user), Some(ws));
        Ok(())
    }

    /// Removes a principal from all projects of a workspace. The successor becomes admin of those without another
    /// admin.
    fn hand_over(&mut self, caller: Caller, ws: usize, leaving: Who, successor: Option<Who>) -> Verdict<()> {
        let here = |project: &Project| project.workspace == ws && !project.deleted;
        let led: Vec<usize> = (0..self.projects.len())
            .filter(|&index| here(&self.projects[index]) && self.is_led_only_by(index, leaving))
            .collect();
        if !led.is_empty() {
            let successor = self.require_successor(caller, ws, leaving, successor)?;
            for project in led {
                self.projects[project].members.insert(successor, ProjectRole::Admin);
            }
        }
        for project in self.projects.iter_mut().filter(|project| here(project)) {
            project.members.remove(&leaving);
        }
        Ok(())
    }

    pub(super) fn is_enabled(&self, who: Who) -> bool {
        match who {
            Who::User(user) => !self.users[user].disabled,
            Who::Account(account) => !self.accounts[account].disabled && !self.accounts[account].deleted,
        }
    }

    fn require_successor(&self, caller: Caller, ws: usize, leaving: Who, successor: Option<Who>) -> Verdict<Who> {
        let successor = successor.ok_or(SUCCESSOR_REQUIRED)?;
        Self::require_grant(caller, true)?;
        let is_here = successor != leaving && self.is_admin(successor, ws).is_some();
        require(is_here && self.is_enabled(successor), INVALID)?;
        Ok(successor)
    }

    // Invitations.

    pub fn invite(&mut self, caller: Caller, ws: usize, email: &str, admin: bool) -> Verdict<()> {
        self.require_signing_admin(caller, ws)?;
        Self::require_grant(caller, admin)?;
        let is_member = self.workspaces[ws].members.keys().any(|&user| self.users[user].email == email);
        require(!is_member, (409, "already_member"))?;
        // The newer invitation of an address replaces the older one.
        for old in self.invitations.iter_mut().filter(|i| i.workspace == ws && i.email == email && !i.accepted) {
            old.revoked = true;
        }
        self.invitations.push(Invitation {
            id: String::new(),
            token: String::new(),
            workspace: ws,
            email: email.to_owned(),
            admin,
            expires_at: self.now + INVITATION_LIFETIME,
            accepted: false,
            revoked: false,
            by: caller.who,
        });
        Ok(())
    }

    /// Returns whether the author of an invitation may still write it.
    fn may_invite(&self, invitation: usize) -> bool {
        let Invitation { by, workspace, admin, .. } = self.invitations[invitation];
        let is_admin = self.is_admin(by, workspace) == Some(true);
        match by {
            Who::User(user) => !self.users[user].disabled && (is_admin || self.users[user].operator),
            Who::Account(account) => !self.accounts[account].disabled && is_admin && !admin,
        }
    }

    /// Rule 8: revokes the open invitations of users that lost a role in `lost`, or may no longer write them.
    fn end_invitations_of(&mut self, by: Who, lost: Option<usize>) {
        for index in 0..self.invitations.len() {
            let invitation = &self.invitations[index];
            let is_open = invitation.by == by && !invitation.accepted && !invitation.revoked;
            if is_open && (lost == Some(invitation.workspace) || !self.may_invite(index)) {
                self.invitations[index].revoked = true;
            }
        }
    }

    pub fn invitation_state(&self, invitation: usize) -> &'static str {
        let invitation = &self.invitations[invitation];
        if invitation.accepted {
            "accepted"
        } else if invitation.revoked {
            "revoked"
        } else if self.now >= invitation.expires_at {
            "expired"
        } else {
            "pending"
        }
    }

    fn require_unclosed(&self, invitation: usize) -> Verdict<()> {
        let closed = matches!(self.invitation_state(invitation), "accepted" | "revoked");
        require(!closed, (409, "invitation_closed"))
    }

    pub fn resend(&mut self, caller: Caller, ws: usize, invitation: usize) -> Verdict<()> {
        self.require_signing_admin(caller, ws)?;
        require(self.invitations[invitation].workspace == ws, NOT_FOUND)?;
        self.require_unclosed(invitation)?;
        Self::require_grant(caller, self.invitations[invitation].admin)?;
        self.invitations[invitation].expires_at = self.now + INVITATION_LIFETIME;
        self.invitations[invitation].by = caller.who;
        Ok(())
    }

    pub fn take_back(&mut self, caller: Caller, ws: usize, invitation: usize) -> Verdict<()> {
        self.require_signing_admin(caller, ws)?;
        require(self.invitations[invitation].workspace == ws, NOT_FOUND)?;
        require(!self.invitations[invitation].accepted, (409, "invitation_closed"))?;
        self.invitations[invitation].revoked = true;
        Ok(())
    }

    /// Accepts an invitation, as an authenticated user or as a new one.
    pub fn accept(&mut self, caller: Option<Caller>, invitation: usize) -> Verdict<()> {
        let is_good = self.invitation_state(invitation) == "pending" && self.may_invite(invitation);
        require(is_good, (409, "invitation_closed"))?;
        let (ws, email) = (self.invitations[invitation].workspace, self.invitations[invitation].email.clone());
        let user = match caller {
            Some(caller @ Caller { who: Who::User(user), bearer: false, .. }) => {
                let limits = self.limits(caller);
                require(limits.projects.is_none() && limits.reach_workspace(ws), FORBIDDEN)?;
                user
            }
            Some(_) => return Err(FORBIDDEN),
            None => {
                require(self.users.iter().all(|user| user.email != email), (409, "email_taken"))?;
                self.users.push(User { id: String::new(), email, operator: false, disabled: false });
                self.users.len() - 1
            }
        };
        require(!self.workspaces[ws].members.contains_key(&user), (409, "already_member"))?;
        self.invitations[invitation].accepted = true;
        let admin = self.invitations[invitation].admin;
        self.workspaces[ws].members.insert(user, admin);
        Ok(())
    }

    // Service accounts.

    pub fn require_account(&self, ws: usize, account: usize) -> Verdict<()> {
        let found = &self.accounts[account];
        require(found.workspace == ws && !found.deleted, NOT_FOUND)
    }

    pub fn create_account(&mut self, caller: Caller, ws: usize, name: usize) -> Verdict<()> {
        self.require_admin(caller, ws)?;
        let here: Vec<_> = self.accounts.iter().filter(|account| account.workspace == ws).collect();
        require(here.iter().all(|account| account.name != name), (409, "name_taken"))?;
        let present = here.iter().filter(|account| !account.deleted).count();
        require(present < self.workspaces[ws].account_quota, QUOTA)?;
        let account = Account { id: String::new(), workspace: ws, name, admin: false, disabled: false, deleted: false };
        self.accounts.push(account);
        Ok(())
    }

    pub fn update_account(
        &mut self,
        caller: Caller,
        ws: usize,
        account: usize,
        admin: Option<bool>,
        disabled: bool,
    ) -> Verdict<()> {
        // The request disables or enables it, which needs a signature.
        self.require_signing_admin(caller, ws)?;
        require(caller.who != Who::Account(account), FORBIDDEN)?;
        Self::require_grant(caller, admin == Some(true))?;
        self.require_account(ws, account)?;
        let index = account;
        let account = &mut self.accounts[account];
        account.admin = admin.unwrap_or(account.admin);
        account.disabled = disabled;
        let lost = (!account.admin).then_some(ws);
        self.end_invitations_of(Who::Account(index), lost);
        Ok(())
    }

    pub fn delete_account(&mut self, caller: Caller, ws: usize, account: usize, successor: Option<Who>) -> Verdict<()> {
        self.require_signing_admin(caller, ws)?;
        require(caller.who != Who::Account(account), FORBIDDEN)?;
        self.require_account(ws, account)?;
        self.hand_over(caller, ws, Who::Account(account), successor)?;
        self.bury_account(account);
        self.end_invitations_of(Who::Account(account), Some(ws));
        Ok(())
    }

    fn bury_account(&mut self, account: usize) {
        self.accounts[account].deleted = true;
        for key in self.keys.iter_mut().filter(|key| key.owner == Who::Account(account)) {
            key.revoked = true;
        }
    }
}
