//! Requests that set policies for keys.

use serde_json::json;

use super::{
    DAY, History,
    rules::{Credential, HOUR, MANAGE, PolicyRules},
    time,
};

impl History {
    pub(super) async fn change_policy(&mut self, (ws, at): (usize, String), by: Credential, (a, b, c): (u8, u8, u8)) {
        // That of the installation is set rarely and for later, so that enough callers are left.
        let is_of_all = a.is_multiple_of(8);
        let none = PolicyRules::default();
        let networks = PolicyRules { networks: true, ..none };
        let expiry = PolicyRules { expiry: true, ..none };
        let lifetime = PolicyRules { days: Some(1), ..none };
        let rules = [none, none, expiry, none, lifetime, networks, PolicyRules { networks: true, ..lifetime }];
        let rules = rules[usize::from(b) % if is_of_all { 5 } else { 7 }];
        let grace = if is_of_all { 7 * DAY } else { [0, 1, HOUR, DAY, 7 * DAY][usize::from(c) % 5] };
        let from = self.model.now + grace;
        let (place, path) =
            if is_of_all { (None, "/admin/policy".to_owned()) } else { (Some(ws), format!("{at}/policy")) };
        let by = if is_of_all { self.operator(c) } else { by };
        let caller = self.model.admit(by, MANAGE);
        let verdict = caller.and_then(|caller| self.model.set_policy(caller, place, rules, from));
        let body = json!({
            "rules": {"max_key_lifetime": rules.days, "require_expiry": rules.expiry, "require_cidrs": rules.networks},
            "enforced_from": time(from),
        });
        self.ask(("PUT", &path, body), Some(by), verdict.map(|()| 200)).await;
    }
}
