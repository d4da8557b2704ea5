//! Random sequences of requests. The real server and the model in [`rules`] get the same requests, and must return the
//! same responses. `KEYWARD_MODEL_CASES=200 cargo test -p server --test all model` runs more of them.

mod look;
mod policy;
mod rotation;
mod rules;

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use domain::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use self::rules::{
    ApiKey, Credential, HOUR, Limits, MANAGE, Model, Owner, ProjectRole, READ, Token, User, Verdict, WRITE, Who,
    Workspace,
};
use crate::support::{Key, TestApp};

/// A step: the operation, and the numbers that determine its caller and objects.
#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u8,
    by: u8,
    ws: u8,
    a: u8,
    b: u8,
    c: u8,
}

const KINDS: u8 = 36;
/// Few, so that keys, names and addresses repeat.
const PAIRS: usize = 12;
const NAMES: usize = 4;
const DAY: i64 = 24 * HOUR;

/// The server, the model, and the requests so far.
struct History {
    test: TestApp,
    model: Model,
    pairs: Vec<Key>,
    log: Vec<String>,
}

fn time(second: i64) -> String {
    Timestamp::from_second(second).expect("a time of our age").to_string()
}

fn role(admin: bool) -> &'static str {
    if admin { "admin" } else { "member" }
}

fn project_role(role: ProjectRole) -> &'static str {
    match role {
        ProjectRole::Viewer => "viewer",
        ProjectRole::Editor => "editor",
        ProjectRole::Admin => "admin",
    }
}

fn pick<T: Copy>(from: &[T], number: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(number) % from.len()])
}

impl History {
    /// Creates an operator, and two workspaces with an admin each.
    async fn begin() -> Self {
        let test = TestApp::new().await;
        let mut model = Model { now: domain::Clock::now(test.clock.as_ref()).as_second(), ..Model::default() };
        let mut pairs = Vec::new();
        for (index, name) in ["olga", "ada", "eve"].into_iter().enumerate() {
            let actor = test.user(name, index == 0).await;
            model.users.push(User {
                id: actor.id.clone(),
                email: actor.email.clone(),
                operator: index == 0,
                disabled: false,
            });
            model.keys.push(host_key(&actor.key, index, index, model.now));
            if index > 0 {
                let slug = model.workspaces.len();
                let id = test.workspace(&format!("slug-{slug}"), &actor).await;
                model.workspaces.push(Workspace {
                    id,
                    slug,
                    deleted: false,
                    members: BTreeMap::from([(index, true)]),
                    account_quota: 1,
                    account_key_quota: 5,
                    user_key_quota: 25,
                });
            }
            pairs.push(actor.key);
        }
        while pairs.len() < PAIRS {
            pairs.push(test.new_key());
        }
        Self { test, model, pairs, log: Vec::new() }
    }

    /// Returns mostly a caller with a valid credential and rights in the workspace, and sometimes any caller.
    fn choose(&self, number: u8, ws: Option<usize>) -> Credential {
        let all: Vec<Credential> = (0..self.pairs.len())
            .map(Credential::Pair)
            .chain((0..self.model.tokens.len()).map(Credential::Token))
            .collect();
        let role = |credential: &Credential| {
            self.model.caller(*credential).ok().and_then(|caller| ws.map(|ws| self.model.is_admin(caller.who, ws)))
        };
        let wanted: Vec<Credential> = match (number % 8, ws) {
            (0..4, Some(_)) => all.iter().copied().filter(|c| role(c) == Some(Some(true))).collect(),
            (4..6, Some(_)) => all.iter().copied().filter(|c| matches!(role(c), Some(Some(_)))).collect(),
            (0..6, None) => all.iter().copied().filter(|c| self.model.caller(*c).is_ok()).collect(),
            _ => Vec::new(),
        };
        pick(&wanted, number / 8).or(pick(&all, number / 8)).expect("there are key pairs")
    }

    fn operator(&self, number: u8) -> Credential {
        let runs = |credential: &Credential| {
            let caller = self.model.caller(*credential).ok();
            caller.is_some_and(|c| matches!(c.who, Who::User(user) if self.model.users[user].operator))
        };
        let operators: Vec<Credential> = (0..self.pairs.len()).map(Credential::Pair).filter(runs).collect();
        if number.is_multiple_of(4) {
            self.choose(number / 4, None)
        } else {
            pick(&operators, number / 4).unwrap_or(Credential::Pair(0))
        }
    }

    /// Returns a principal, mostly of this workspace.
    fn principal(&self, number: u8, ws: usize) -> Who {
        let model = &self.model;
        let all: Vec<Who> =
            (0..model.users.len()).map(Who::User).chain((0..model.accounts.len()).map(Who::Account)).collect();
        let here: Vec<Who> = all.iter().copied().filter(|who| model.is_admin(*who, ws).is_some()).collect();
        let from = if number.is_multiple_of(8) || here.is_empty() { &all } else { &here };
        pick(from, number / 8).expect("there are users")
    }

    /// Returns an item of a list, mostly one that fits.
    fn one_of(number: u8, count: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let all: Vec<usize> = (0..count).collect();
        let fitting: Vec<usize> = all.iter().copied().filter(|&index| fits(index)).collect();
        if number.is_multiple_of(8) || fitting.is_empty() { pick(&all, number / 8) } else { pick(&fitting, number / 8) }
    }

    fn id(&self, who: Who) -> &str {
        match who {
            Who::User(user) => &self.model.users[user].id,
            Who::Account(account) => &self.model.accounts[account].id,
        }
    }

    /// Sends a request, and compares the response with the result of the model.
    async fn ask(
        &mut self,
        (method, path, body): (&str, &str, Value),
        by: Option<Credential>,
        verdict: Verdict<u16>,
    ) -> Option<Value> {
        let target = format!("/api/v1{path}");
        let request = self.test.request(method, &target, &body);
        let request = match by {
            Some(Credential::Pair(pair)) => request.by(&self.pairs[pair]),
            Some(Credential::Token(token)) => request.bearer(&self.model.tokens[token].text),
            None => request,
        };
        let answer = request.send().await;
        let (status, json) = (answer.status.as_u16(), answer.json());
        let expected = verdict.map_or_else(|(status, code)| (status, code.to_owned()), |ok| (ok, String::new()));
        self.log.push(format!("{by:?} {method} {path} {body} -> {status} {}", answer.code()));
        assert_eq!((status, answer.code()), expected, "\n{json}\nafter\n{}", self.log.join("\n"));
        verdict.is_ok().then_some(json)
    }

    fn expect_same<T: PartialEq + Debug>(&self, what: &str, server: &T, model: &T) {
        assert_eq!(server, model, "{what} of the server and of the model, after\n{}", self.log.join("\n"));
    }

    async fn step(&mut self, step: Step) {
        let Step { kind, by: number, ws, a, b, c } = step;
        let ws = usize::from(ws) % self.model.workspaces.len();
        let at = format!("/workspaces/{}", self.model.workspaces[ws].id);
        let by = self.choose(number, Some(ws));
        match kind {
            // Skip half of the deletions of service accounts, so that enough accounts are left.
            14 if b.is_multiple_of(2) => {}
            0 => self.let_time_pass(a).await,
            1..5 => self.change_workspace(kind, (ws, at), number, (a, b)).await,
            5..8 => self.change_members(kind, (ws, at), by, (a, b, c)).await,
            8..12 => self.change_invitations(kind, (ws, at), by, (a, b)).await,
            12..15 => self.change_accounts(kind, (ws, at), by, (a, b, c)).await,
            15..21 => self.change_keys(kind, (ws, at), by, (a, b, c)).await,
            21 => self.take_token(by).await,
            22..26 => self.change_projects(kind, (ws, at), by, (a, b, c)).await,
            26..28 => self.change_limits((ws, at), by, (a, b, c)).await,
            28..31 => self.change_rotations(kind, (ws, at), by, (a, b, c)).await,
            31..33 => self.change_policy((ws, at), by, (a, b, c)).await,
            _ => self.look(ws, by).await,
        }
    }

    async fn let_time_pass(&mut self, number: u8) {
        let seconds = pick(&[1, 59, 60, HOUR - 1, HOUR, DAY, 7 * DAY - 1, 7 * DAY], number).expect("there are some");
        self.model.now += seconds;
        self.log.push(format!("{seconds} s pass"));
        self.test.advance(Duration::from_secs(seconds.unsigned_abs())).await;
    }

    async fn change_workspace(&mut self, kind: u8, (ws, at): (usize, String), number: u8, (a, b): (u8, u8)) {
        let deletes = kind == 2 && a.is_multiple_of(16);
        let by = if deletes { self.choose(number, Some(ws)) } else { self.operator(number) };
        let caller = self.model.admit(by, MANAGE);
        match kind {
            1 => {
                let slug = usize::from(a) % 6;
                let verdict = caller.and_then(|caller| self.model.create_workspace(caller, slug));
                let body = json!({"name": "New", "slug": format!("slug-{slug}")});
                if let Some(made) = self.ask(("POST", "/workspaces", body), Some(by), verdict.map(|()| 201)).await {
                    self.model.workspaces.last_mut().expect("it was made").id = text(&made["id"]);
                }
            }
            2 if deletes => {
                let verdict = caller.and_then(|caller| self.model.delete_workspace(caller, ws));
                self.ask(("DELETE", &at, Value::Null), Some(by), verdict.map(|()| 204)).await;
            }
            3 => {
                let user = usize::from(a) % self.model.users.len();
                let (operator, disabled) = (b.is_multiple_of(4) || user == 0, b % 8 == 7);
                let verdict = caller.and_then(|caller| self.model.set_user(caller, user, operator, disabled));
                let path = format!("/admin/users/{}", self.model.users[user].id);
                let body = json!({"operator": operator, "disabled": disabled});
                self.ask(("PATCH", &path, body), Some(by), verdict.map(|()| 200)).await;
            }
            _ => {
                let (accounts, keys) = (usize::from(a) % 4, 1 + usize::from(b) % 4);
                let verdict = caller.and_then(|caller| self.model.set_quotas(caller, ws, accounts, keys));
                let body =
                    json!({"service_accounts": accounts, "keys_per_service_account": keys, "keys_per_user": keys});
                self.ask(("PATCH", &format!("/admin{at}/quotas"), body), Some(by), verdict.map(|()| 200)).await;
            }
        }
    }

    fn successor(&self, number: u8, ws: usize) -> (Option<Who>, String) {
        let successor = (!number.is_multiple_of(3)).then(|| self.principal(number / 3, ws));
        let query = successor.map_or(String::new(), |who| format!("?successor={}", self.id(who)));
        (successor, query)
    }

    async fn change_members(&mut self, kind: u8, (ws, at): (usize, String), by: Credential, (a, b, c): (u8, u8, u8)) {
        let is_member = |user: usize| self.model.workspaces[ws].members.contains_key(&user);
        let Some(user) = Self::one_of(a, self.model.users.len(), is_member) else { return };
        let path = format!("{at}/members/{}", self.model.users[user].id);
        let (successor, query) = self.successor(c, ws);
        let caller = self.model.admit(by, MANAGE);
        if kind == 7 {
            let verdict = caller.and_then(|caller| self.model.remove_member(caller, ws, user, successor));
            self.ask(("DELETE", &format!("{path}{query}"), Value::Null), Some(by), verdict.map(|()| 204)).await;
        } else {
            let admin = !b.is_multiple_of(3);
            let verdict = caller.and_then(|caller| self.model.set_member(caller, ws, user, admin));
            self.ask(("PATCH", &path, json!({"role": role(admin)})), Some(by), verdict.map(|()| 200)).await;
        }
    }

    async fn change_invitations(&mut self, kind: u8, (ws, at): (usize, String), by: Credential, (a, b): (u8, u8)) {
        if kind < 10 {
            let newcomer = format!("new-{}@example.com", a % 4);
            let known = pick(&(0..self.model.users.len()).collect::<Vec<_>>(), a / 2);
            let email =
                known.filter(|_| a.is_multiple_of(2)).map_or(newcomer, |user| self.model.users[user].email.clone());
            let admin = b.is_multiple_of(3);
            let caller = self.model.admit(by, MANAGE);
            let verdict = caller.and_then(|caller| self.model.invite(caller, ws, &email, admin));
            let body = json!({"emails": [email], "role": role(admin)});
            let made = self.ask(("POST", &format!("{at}/invitations"), body), Some(by), verdict.map(|()| 201)).await;
            if let (Some(made), Some(invitation)) = (made, self.model.invitations.last_mut()) {
                invitation.id = text(&made["items"][0]["id"]);
                invitation.token = text(&made["items"][0]["token"]);
            }
            return;
        }
        let is_here = |index: usize| self.model.invitations[index].workspace == ws;
        let Some(invitation) = Self::one_of(b, self.model.invitations.len(), is_here) else { return };
        let path = format!("{at}/invitations/{}", self.model.invitations[invitation].id);
        match (kind, a % 4) {
            (10, _) => self.accept(invitation, a).await,
            (_, 0) => {
                let caller = self.model.admit(by, MANAGE);
                let verdict = caller.and_then(|caller| self.model.take_back(caller, ws, invitation));
                self.ask(("DELETE", &path, Value::Null), Some(by), verdict.map(|()| 204)).await;
            }
            _ => {
                let caller = self.model.admit(by, MANAGE);
                let verdict = caller.and_then(|caller| self.model.resend(caller, ws, invitation));
                let request = ("POST", &*format!("{path}/resend"), Value::Null);
                if let Some(sent) = self.ask(request, Some(by), verdict.map(|()| 200)).await {
                    self.model.invitations[invitation].token = text(&sent["token"]);
                }
            }
        }
    }

    /// Accepts an invitation, mostly as the invited user. The first key of a new user is added on the host.
    async fn accept(&mut self, invitation: usize, number: u8) {
        let email = self.model.invitations[invitation].email.clone();
        let meant = |credential: &Credential| {
            let caller = self.model.caller(*credential).ok();
            caller.is_some_and(|c| matches!(c.who, Who::User(user) if self.model.users[user].email == email))
        };
        let by = match number % 8 {
            0..3 => None,
            3 => Some(self.choose(number, None)),
            _ => (0..self.pairs.len()).map(Credential::Pair).find(meant),
        };
        let caller = by.map(|by| self.model.admit(by, MANAGE)).transpose();
        let verdict = caller.and_then(|caller| self.model.accept(caller, invitation));
        let token = self.model.invitations[invitation].token.clone();
        let body = json!({"token": token, "name": "Ned", "password": "correct horse battery"});
        let accepted = self.ask(("POST", "/invitations/accept", body), by, verdict.map(|()| 200)).await;
        if let (Some(accepted), None) = (accepted, by) {
            let user = self.model.users.len() - 1;
            self.model.users[user].id = text(&accepted["user"]);
            if !self.model.host_may_add_key() {
                return;
            }
            let owner = server::app::KeyOwner::User(text(&accepted["user"]).parse().expect("usr_"));
            let key = self.test.add_key(owner, "first").await;
            self.model.keys.push(host_key(&key, user, self.pairs.len(), self.model.now));
            self.pairs.push(key);
        }
    }

    async fn change_accounts(&mut self, kind: u8, (ws, at): (usize, String), by: Credential, (a, b, c): (u8, u8, u8)) {
        let at = format!("{at}/service-accounts");
        if kind == 12 {
            let name = usize::from(a) % NAMES;
            let caller = self.model.admit(by, MANAGE);
            let verdict = caller.and_then(|caller| self.model.create_account(caller, ws, name));
            let body = json!({"name": format!("bot-{name}"), "description": ""});
            if let Some(made) = self.ask(("POST", &at, body), Some(by), verdict.map(|()| 201)).await {
                self.model.accounts.last_mut().expect("it was made").id = text(&made["id"]);
            }
            return;
        }
        let Some(account) = self.account(a, ws) else { return };
        let path = format!("{at}/{}", self.model.accounts[account].id);
        let (successor, query) = self.successor(c, ws);
        let caller = self.model.admit(by, MANAGE);
        if kind == 13 {
            let (admin, disabled) = ((!b.is_multiple_of(3)).then_some(b % 3 == 2), b.is_multiple_of(5));
            let verdict = caller.and_then(|caller| self.model.update_account(caller, ws, account, admin, disabled));
            let mut body = json!({"disabled": disabled});
            if let Some(admin) = admin {
                body["role"] = role(admin).into();
            }
            self.ask(("PATCH", &path, body), Some(by), verdict.map(|()| 200)).await;
        } else {
            let verdict = caller.and_then(|caller| self.model.delete_account(caller, ws, account, successor));
            self.ask(("DELETE", &format!("{path}{query}"), Value::Null), Some(by), verdict.map(|()| 204)).await;
        }
    }

    fn account(&self, number: u8, ws: usize) -> Option<usize> {
        Self::one_of(number, self.model.accounts.len(), |account| self.model.require_account(ws, account).is_ok())
    }

    async fn change_keys(&mut self, kind: u8, (ws, at): (usize, String), by: Credential, (a, b, c): (u8, u8, u8)) {
        let account = self.account(a / 2, ws).filter(|_| a.is_multiple_of(2));
        let owner = account.map_or(Owner::Own, |account| Owner::Account(ws, account));
        let at = account.map_or("/me/keys".to_owned(), |account| {
            format!("{at}/service-accounts/{}/keys", self.model.accounts[account].id)
        });
        let end = [None, Some(1), Some(60), Some(HOUR), Some(DAY)][usize::from(c) % 5].map(|s| self.model.now + s);
        if kind < 18 {
            return self
                .create_key((owner, at), by, (usize::from(b) % self.pairs.len(), end, c.is_multiple_of(3)), c)
                .await;
        }
        let whose = match owner {
            Owner::Account(_, account) => Some(Who::Account(account)),
            Owner::Own => self.model.caller(by).ok().map(|caller| caller.who),
        };
        let Some(key) = Self::one_of(b, self.model.keys.len(), |key| Some(self.model.keys[key].owner) == whose) else {
            return;
        };
        let path = format!("{at}/{}", self.model.keys[key].id);
        let caller = self.model.admit(by, MANAGE);
        let ends = json!({"expires_at": end.map(time)});
        match (kind, c % 4) {
            (18, cascade) => {
                let cascade = cascade > 1;
                let verdict = caller.and_then(|caller| self.model.revoke_key(caller, owner, key, cascade));
                let path = format!("{path}?cascade={cascade}");
                self.ask(("DELETE", &path, Value::Null), Some(by), verdict.map(|()| 204)).await;
            }
            (19, 0 | 1) => {
                let verdict = caller.and_then(|caller| self.model.disable_key(caller, owner, key));
                self.ask(("POST", &format!("{path}/disable"), Value::Null), Some(by), verdict.map(|()| 200)).await;
            }
            (19, _) => {
                let verdict = caller.and_then(|caller| self.model.set_end(caller, owner, key, end));
                self.ask(("PATCH", &path, ends), Some(by), verdict.map(|()| 200)).await;
            }
            (_, told) => {
                let (end, body) = if told < 2 { (Some(end), ends) } else { (None, Value::Null) };
                let verdict = caller.and_then(|caller| self.model.enable_key(caller, owner, key, end));
                self.ask(("POST", &format!("{path}/enable"), body), Some(by), verdict.map(|()| 200)).await;
            }
        }
    }

    /// Returns limits for a key of a principal, with projects and workspaces that it may have.
    fn some_limits(&self, whose: Who, number: u8) -> Limits {
        let model = &self.model;
        let mine = |ws: usize| model.is_admin(whose, ws).is_some();
        let workspaces: Vec<usize> = (0..model.workspaces.len()).filter(|&ws| mine(ws)).collect();
        let here = |project: &usize| !model.projects[*project].deleted && mine(model.projects[*project].workspace);
        let projects: Vec<usize> = (0..model.projects.len()).filter(here).collect();
        let some = |of: &[usize]| {
            Some(of.iter().copied().filter(|item| !(item + usize::from(number)).is_multiple_of(3)).collect())
        };
        let is_user = matches!(whose, Who::User(_));
        Limits {
            scope: [None, Some(MANAGE), Some(MANAGE), Some(WRITE), Some(READ), Some(0)][usize::from(number) % 6],
            projects: number.is_multiple_of(5).then(|| some(&projects)).flatten(),
            workspaces: (is_user && number.is_multiple_of(4)).then(|| some(&workspaces)).flatten(),
            from_here: [None, None, Some(true), None, None, Some(true), Some(false)][usize::from(number) % 7],
            not_before: [None, None, None, Some(-60), Some(60)][usize::from(number) % 5].map(|span| model.now + span),
        }
    }

    /// Returns limits as the API has them.
    fn wire(&self, limits: &Limits) -> Value {
        let scopes = ["keyward:read", "keyward:write", "keyward:manage"];
        let projects = |ids: &std::collections::BTreeSet<usize>| -> Vec<String> {
            ids.iter().map(|&project| self.model.projects[project].id.clone()).collect()
        };
        let workspaces = |ids: &std::collections::BTreeSet<usize>| -> Vec<String> {
            ids.iter().map(|&ws| self.model.workspaces[ws].id.clone()).collect()
        };
        json!({
            "scopes": limits.scope.map(|scope| scopes[..usize::from(scope)].iter().rev().take(1).collect::<Vec<_>>()),
            "projects": limits.projects.as_ref().map(projects),
            "workspaces": limits.workspaces.as_ref().map(workspaces),
            "cidrs": limits.from_here.map(|here| [if here { "127.0.0.0/8" } else { "10.0.0.0/8" }]),
            "not_before": limits.not_before.map(time),
        })
    }

    async fn change_limits(&mut self, (ws, at): (usize, String), by: Credential, (a, b, c): (u8, u8, u8)) {
        let account = self.account(a / 2, ws).filter(|_| a.is_multiple_of(2));
        let owner = account.map_or(Owner::Own, |account| Owner::Account(ws, account));
        let at = account.map_or("/me/keys".to_owned(), |account| {
            format!("{at}/service-accounts/{}/keys", self.model.accounts[account].id)
        });
        let whose = match owner {
            Owner::Account(_, account) => Some(Who::Account(account)),
            Owner::Own => self.model.caller(by).ok().map(|caller| caller.who),
        };
        let Some(key) = Self::one_of(b, self.model.keys.len(), |key| Some(self.model.keys[key].owner) == whose) else {
            return;
        };
        // Half of the changes remove all limits, so that enough callers are left.
        let asked =
            if c.is_multiple_of(2) { Limits::default() } else { self.some_limits(self.model.keys[key].owner, c / 2) };
        let body = json!({"limits": if asked == Limits::default() { Value::Null } else { self.wire(&asked) }});
        let path = format!("{at}/{}", self.model.keys[key].id);
        let caller = self.model.admit(by, MANAGE);
        let verdict = caller.and_then(|caller| self.model.set_limits(caller, owner, key, &asked));
        self.ask(("PATCH", &path, body), Some(by), verdict.map(|()| 200)).await;
    }

    async fn create_key(
        &mut self,
        (owner, path): (Owner, String),
        by: Credential,
        (pair, end, prove): (usize, Option<i64>, bool),
        number: u8,
    ) {
        let mut body = json!({"title": "another", "public_key": self.pairs[pair].openssh, "expires_at": end.map(time)});
        let mut asked = Limits::default();
        if number.is_multiple_of(4)
            && let Ok(caller) = self.model.caller(by)
        {
            let whose = match owner {
                Owner::Own => caller.who,
                Owner::Account(_, account) => Who::Account(account),
            };
            asked = self.some_limits(whose, number / 4);
            body["limits"] = self.wire(&asked);
        }
        if prove {
            let caller = self.model.admit(by, MANAGE);
            let verdict = caller.and_then(|caller| if caller.bearer { Err(rules::FORBIDDEN) } else { Ok(caller) });
            let request = ("POST", "/me/proof-challenges", Value::Null);
            let (Some(challenge), Ok(caller)) = (self.ask(request, Some(by), verdict.map(|_| 201)).await, caller)
            else {
                return;
            };
            let whose = match owner {
                Owner::Own => caller.who,
                Owner::Account(_, account) => Who::Account(account),
            };
            body["proof"] = self.pairs[pair].prove(self.id(whose), &text(&challenge["challenge"])).into();
        }
        let caller = self.model.admit(by, MANAGE);
        let visible = caller.ok().and_then(|caller| self.model.visible_duplicate(caller, pair));
        let verdict = caller.and_then(|caller| self.model.create_key(caller, owner, pair, end, prove, &asked));
        let made = self.ask(("POST", &path, body.clone()), Some(by), verdict.map(|()| 201)).await;
        if let Some(made) = made {
            let key = self.model.keys.last_mut().expect("it was made");
            key.id = text(&made["id"]);
        } else if verdict == Err((409, "duplicate_key")) {
            // Sent again, to read the other members of the problem.
            let request = self.test.post(&format!("/api/v1{path}"), &body);
            let request = match by {
                Credential::Pair(pair) => request.by(&self.pairs[pair]),
                Credential::Token(token) => request.bearer(&self.model.tokens[token].text),
            };
            let place = request.send().await.json()["key"].as_str().map(str::to_owned);
            if !prove {
                self.expect_same("the place", &place, &visible.map(|key| self.model.keys[key].id.clone()));
            }
        }
    }

    async fn take_token(&mut self, by: Credential) {
        let caller = self.model.admit(by, READ);
        let verdict = caller.and_then(|caller| self.model.issue_token(caller).map(|end| (caller.key, end)));
        let request = self.test.get("/v2/public/user/bearer-token");
        let request = match by {
            Credential::Pair(pair) => request.by(&self.pairs[pair]),
            Credential::Token(token) => request.bearer(&self.model.tokens[token].text),
        };
        let answer = request.send().await;
        self.log.push(format!("{by:?} takes a token -> {}", answer.status));
        let expected = verdict.map_or_else(|(status, _)| status, |_| 200);
        self.expect_same("the answer", &answer.status.as_u16(), &expected);
        if let Ok((key, ends_at)) = verdict {
            self.model.tokens.push(Token { text: text(&answer.json()["token"]), key, ends_at });
        }
    }

    async fn change_projects(&mut self, kind: u8, (ws, at): (usize, String), by: Credential, (a, b, c): (u8, u8, u8)) {
        let at = format!("{at}/projects");
        if kind == 22 {
            let caller = self.model.admit(by, WRITE);
            let verdict = caller.and_then(|caller| self.model.create_project(caller, ws));
            if let Some(made) = self.ask(("POST", &at, json!({"title": "T"})), Some(by), verdict.map(|()| 201)).await {
                self.model.projects.last_mut().expect("it was made").id = text(&made["id"]);
            }
            return;
        }
        let is_here = |index: usize| self.model.projects[index].workspace == ws && !self.model.projects[index].deleted;
        let Some(project) = Self::one_of(a, self.model.projects.len(), is_here) else { return };
        let path = format!("{at}/{}", self.model.projects[project].id);
        let member = self.principal(b, ws);
        let member_path = format!("{path}/members/{}", self.id(member));
        let (successor, query) = self.successor(c, ws);
        let scope = if kind == 23 { WRITE } else { MANAGE };
        let caller = self.model.admit(by, scope);
        match kind {
            23 if c.is_multiple_of(4) => {
                let verdict = caller.and_then(|caller| self.model.delete_project(caller, ws, project));
                self.ask(("DELETE", &path, Value::Null), Some(by), verdict.map(|()| 204)).await;
            }
            23 => {
                let least = ProjectRole::Editor;
                let verdict = caller.and_then(|caller| self.model.require_project(caller, ws, project, least));
                self.ask(("PATCH", &path, json!({"description": "d"})), Some(by), verdict.map(|()| 200)).await;
            }
            24 => {
                let role = [ProjectRole::Viewer, ProjectRole::Editor, ProjectRole::Admin][usize::from(c / 3) % 3];
                let verdict = caller
                    .and_then(|caller| self.model.set_project_member(caller, (ws, project), member, role, successor));
                let body = json!({"role": project_role(role)});
                self.ask(("PUT", &format!("{member_path}{query}"), body), Some(by), verdict.map(|()| 200)).await;
            }
            _ => {
                let verdict = caller
                    .and_then(|caller| self.model.remove_project_member(caller, (ws, project), member, successor));
                let path = format!("{member_path}{query}");
                self.ask(("DELETE", &path, Value::Null), Some(by), verdict.map(|()| 204)).await;
            }
        }
    }
}

fn host_key(key: &Key, user: usize, pair: usize, created_at: i64) -> ApiKey {
    ApiKey {
        id: key.id.clone(),
        owner: Who::User(user),
        pair,
        disabled: false,
        created_at,
        expires_at: None,
        revoked: false,
        verified: false,
        proven: false,
        reclaimed: false,
        created_with: None,
        limits: Limits::default(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn rows(rows: impl Iterator<Item = (String, Value)>) -> BTreeMap<String, Value> {
    rows.collect()
}

/// Returns a list of the server by id, with one column, or several in a list.
fn table(items: &Value, columns: &[&str]) -> BTreeMap<String, Value> {
    let cells = |item: &Value| match columns {
        [column] => item[*column].clone(),
        columns => columns.iter().map(|column| item[*column].clone()).collect(),
    };
    rows(items.as_array().expect("a list").iter().map(|item| (text(&item["id"]), cells(item))))
}

fn step() -> impl Strategy<Value = Step> {
    (0..KINDS, any::<[u8; 5]>()).prop_map(|(kind, [by, ws, a, b, c])| Step { kind, by, ws, a, b, c })
}

fn cases() -> u32 {
    std::env::var("KEYWARD_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(8)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 200,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(2),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_server_and_the_rules_agree(steps in prop::collection::vec(step(), 150..250)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut history = History::begin().await;
            for step in steps {
                history.step(step).await;
            }
            for ws in 0..history.model.workspaces.len() {
                for pair in 0..history.pairs.len() {
                    history.look(ws, Credential::Pair(pair)).await;
                }
            }
            history.test.app.close().await;
        });
    }
}
