//! Requests that rotate keys, and undo rotations.

use serde_json::{Value, json};

use super::{
    DAY, History,
    rules::{Credential, FORBIDDEN, HOUR, MANAGE, Owner, Who},
    text,
};

impl History {
    pub(super) async fn change_rotations(
        &mut self,
        kind: u8,
        (ws, at): (usize, String),
        by: Credential,
        (a, b, c): (u8, u8, u8),
    ) {
        let account = self.account(a / 2, ws).filter(|_| a.is_multiple_of(2));
        let caller = self.model.caller(by).ok();
        // Half of the keys rotate themselves.
        let itself = caller.filter(|_| c.is_multiple_of(2));
        let owner = match (itself.map(|caller| caller.who), account) {
            (Some(Who::Account(own)), _) if a.is_multiple_of(4) => {
                Owner::Account(self.model.accounts[own].workspace, own)
            }
            (Some(_), _) | (None, None) => Owner::Own,
            (None, Some(account)) => Owner::Account(ws, account),
        };
        let at = match owner {
            Owner::Own => "/me/keys".to_owned(),
            Owner::Account(own, account) if own == ws => {
                format!("{at}/service-accounts/{}/keys", self.model.accounts[account].id)
            }
            Owner::Account(own, account) => {
                let (ws, account) = (&self.model.workspaces[own].id, &self.model.accounts[account].id);
                format!("/workspaces/{ws}/service-accounts/{account}/keys")
            }
        };
        let whose = match owner {
            Owner::Account(_, account) => Some(Who::Account(account)),
            Owner::Own => caller.map(|caller| caller.who),
        };
        if kind.is_multiple_of(3) {
            return self.undo(owner, &at, by, b).await;
        }
        let found = Self::one_of(b, self.model.keys.len(), |key| Some(self.model.keys[key].owner) == whose);
        let Some(key) = itself.map(|caller| caller.key).or(found) else { return };
        let pair = usize::from(b) % self.pairs.len();
        let overlap = [0, 60, HOUR, DAY][usize::from(c / 2) % 4];
        let mut body = json!({"public_key": self.pairs[pair].openssh, "overlap_seconds": overlap});
        let prove = !c.is_multiple_of(5);
        if let (true, Some(whose)) = (prove, whose) {
            let caller = self.model.admit(by, MANAGE);
            let verdict = caller.and_then(|caller| if caller.bearer { Err(FORBIDDEN) } else { Ok(201) });
            let request = ("POST", "/me/proof-challenges", Value::Null);
            let Some(challenge) = self.ask(request, Some(by), verdict).await else { return };
            body["proof"] = self.pairs[pair].prove(self.id(whose), &text(&challenge["challenge"])).into();
        }
        let path = format!("{at}/{}/rotate", self.model.keys[key].id);
        let proved = body.get("proof").is_some();
        let caller = self.model.admit(by, MANAGE);
        let verdict = caller.and_then(|caller| self.model.rotate_key(caller, owner, key, (pair, overlap, proved)));
        if let Some(made) = self.ask(("POST", &path, body), Some(by), verdict.map(|()| 201)).await {
            self.model.keys.last_mut().expect("it was made").id = text(&made["successor"]["id"]);
        }
    }

    async fn undo(&mut self, owner: Owner, at: &str, by: Credential, number: u8) {
        let signer = self.model.caller(by).ok().map(|caller| caller.key);
        let rotations = &self.model.rotations;
        let own = rotations.iter().find(|rotation| Some(rotation.successor) == signer && !rotation.undone);
        let any = Self::one_of(number, rotations.len(), |index| !rotations[index].undone);
        let Some(rotation) = own.filter(|_| number.is_multiple_of(2)).or(any.map(|index| &rotations[index])) else {
            return;
        };
        let key = rotation.predecessor;
        let path = format!("{at}/{}/rotate", self.model.keys[key].id);
        let caller = self.model.admit(by, MANAGE);
        let verdict = caller.and_then(|caller| self.model.undo_rotation(caller, owner, key));
        self.ask(("DELETE", &path, Value::Null), Some(by), verdict.map(|()| 204)).await;
    }
}
