//! The view of a caller, in the server and in the model.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    History, project_role, role, rows,
    rules::{Credential, Owner, READ, State, Who},
    table,
};

impl History {
    /// Compares everything that a caller may see about themselves and a workspace.
    pub(super) async fn look(&mut self, ws: usize, by: Credential) {
        let at = format!("/workspaces/{}", self.model.workspaces[ws].id);
        let caller = self.model.admit(by, READ);
        if let Some(me) = self.ask(("GET", "/me", Value::Null), Some(by), caller.map(|_| 200)).await {
            let caller = caller.expect("they were let in");
            let workspaces = (0..self.model.workspaces.len()).filter_map(|ws| {
                Some((self.model.workspaces[ws].id.clone(), json!(role(self.model.role(caller, ws).ok()?))))
            });
            self.expect_same("workspaces", &table(&me["workspaces"], &["role"]), &rows(workspaces));
        }
        self.look_at_keys(by).await;

        let member = caller.and_then(|caller| self.model.require_member(caller, ws));
        let admin = caller.and_then(|caller| self.model.require_admin(caller, ws));
        let model = &self.model;
        let members = rows(
            model.workspaces[ws]
                .members
                .iter()
                .map(|(&user, &admin)| (model.users[user].id.clone(), json!(role(admin)))),
        );
        let invitations = rows(
            (0..model.invitations.len())
                .filter(|&index| model.invitations[index].workspace == ws)
                .map(|index| (model.invitations[index].id.clone(), json!(model.invitation_state(index)))),
        );
        let accounts = rows(model.accounts.iter().enumerate().filter(|(_, a)| a.workspace == ws && !a.deleted).map(
            |(index, account)| {
                let live = model.live_keys(Who::Account(index));
                let limit = model.workspaces[ws].account_key_quota;
                let keys = json!({"live": live, "limit": limit});
                (account.id.clone(), json!([role(account.admin), account.disabled, keys]))
            },
        ));
        // A key that is limited to projects sees these, in a workspace of which it sees nothing else.
        let lists_projects = caller.and_then(|caller| self.model.role(caller, ws));
        let sees_all = lists_projects == Ok(true);
        let projects = caller.map_or_else(
            |_| BTreeMap::new(),
            |caller| {
                let reached = |index: &usize| model.limits(caller).reach_project(*index);
                let here = (0..model.projects.len()).filter(reached).map(|index| &model.projects[index]);
                let here = here.filter(|project| project.workspace == ws && !project.deleted);
                rows(here.filter(|project| sees_all || project.members.contains_key(&caller.who)).map(|project| {
                    (project.id.clone(), json!(project.members.get(&caller.who).map(|&role| project_role(role))))
                }))
            },
        );
        for (list, seen_by, columns, expected) in [
            ("members", member, &["role"][..], members),
            ("invitations", admin, &["state"], invitations),
            ("service-accounts", admin, &["role", "disabled", "keys"], accounts),
            ("projects", lists_projects.map(|_| ()), &["role"], projects),
        ] {
            let path = format!("{at}/{list}?limit=200");
            if let Some(page) = self.ask(("GET", &path, Value::Null), Some(by), seen_by.map(|()| 200)).await {
                self.expect_same(list, &table(&page["items"], columns), &expected);
            }
        }
    }

    async fn look_at_keys(&mut self, by: Credential) {
        let caller = self.model.caller(by).and_then(|caller| self.model.require_scope(caller, READ));
        let owner = caller.and_then(|caller| self.model.view_keys(caller, Owner::Own));
        let request = ("GET", "/me/keys?limit=200", Value::Null);
        if let Some(page) = self.ask(request, Some(by), owner.map(|_| 200)).await {
            let owner = owner.expect("they were let in");
            let model = &self.model;
            let keys = rows((0..model.keys.len()).filter(|&key| model.keys[key].owner == owner).map(|key| {
                let state = match model.state(key) {
                    State::Active => "active",
                    State::Disabled => "disabled",
                    State::Expired => "expired",
                    State::Revoked => "revoked",
                };
                (model.keys[key].id.clone(), json!(state))
            }));
            self.expect_same("keys", &table(&page["items"], &["state"]), &keys);
        }
    }
}
