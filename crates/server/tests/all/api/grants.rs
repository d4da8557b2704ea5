//! Granting rights: bearer tokens cannot, service accounts cannot to themselves, and only users grant the role `admin`.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use crate::support::{Actor, Key, TestApp, TestRequest};

/// Writes that accept a bearer token. None of them changes a key, a role, a membership, an invitation or an enabled
/// state.
const BY_BEARER: [&str; 6] = [
    "PATCH /api/v1/workspaces/{ws}",
    "POST /api/v1/workspaces/{ws}/projects",
    "PATCH /api/v1/workspaces/{ws}/projects/{prj}",
    "DELETE /api/v1/workspaces/{ws}/projects/{prj}",
    "POST /api/v1/workspaces/{ws}/service-accounts",
    "PATCH /api/v1/workspaces/{ws}/service-accounts/{sa}",
];

/// A workspace with an admin, who is also an operator, a member, a service account that is an admin, and another that
/// is not.
struct Acme {
    test: TestApp,
    admin: Actor,
    member: Actor,
    boss: Actor,
    bot: Actor,
    /// The path of the workspace.
    path: String,
    /// A project with the admin as its only admin.
    project: String,
}

impl Acme {
    async fn build() -> Self {
        let test = TestApp::new().await;
        let admin = test.user("ada", true).await;
        let ws = test.workspace("acme", &admin).await;
        test.raise_quotas(&ws, 9).await;
        let member = test.member(&ws, &admin, "max", "member").await;
        let (boss, bot) =
            (test.service_account(&ws, &admin, "boss").await, test.service_account(&ws, &admin, "bot").await);
        let path = format!("/api/v1/workspaces/{ws}");
        let account = format!("{path}/service-accounts/{}", boss.id);
        test.patch(&account, &json!({"role": "admin"})).by(&admin.key).send().await.expect(200);
        let project = Self::add_project(&test, &path, &admin).await;
        Self { test, admin, member, boss, bot, path, project }
    }

    async fn add_project(test: &TestApp, path: &str, by: &Actor) -> String {
        let made = test.post(&format!("{path}/projects"), &json!({"title": "Maps"})).by(&by.key).send().await;
        format!("{path}/projects/{}", made.expect(201)["id"].as_str().expect("an id"))
    }

    fn account(&self, actor: &Actor) -> String {
        format!("{}/service-accounts/{}", self.path, actor.id)
    }

    fn member_path(&self, actor: &Actor) -> String {
        format!("{}/members/{}", self.path, actor.id)
    }

    fn new_key(&self) -> Value {
        json!({"title": "another", "public_key": self.test.new_key().openssh})
    }

    fn successor(&self) -> Value {
        json!({"public_key": self.test.new_key().openssh, "overlap_seconds": 3600})
    }

    /// Creates an invitation by the admin, and returns its path.
    async fn invitation(&self, email: &str, role: &str) -> String {
        let invite = json!({"emails": [email], "role": role});
        let made = self.test.post(&format!("{}/invitations", self.path), &invite).by(&self.admin.key).send().await;
        format!("{}/invitations/{}", self.path, made.expect(201)["items"][0]["id"].as_str().expect("an id"))
    }

    /// Returns the workspace's audit log.
    async fn events(&self) -> Value {
        let path = format!("{}/audit-events?limit=200", self.path);
        let mut events = self.test.get(&path).by(&self.admin.key).send().await.expect(200);
        events["items"].as_array_mut().expect("a list").retain(|event| event["action"] != "request.refuse");
        events
    }
}

#[track_caller]
fn said(answer: &crate::support::Answer, what: &str, why: &str) {
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "forbidden"), "{what}: {text}");
    assert!(text.contains(why), "{what}: {text}");
}

#[expect(clippy::too_many_lines, reason = "a list of routes")]
#[tokio::test]
async fn a_bearer_token_changes_no_key_role_membership_invitation_or_enabled_state() {
    let acme = Acme::build().await;
    let (test, path) = (&acme.test, &acme.path);
    let token = test.bearer_token(&acme.admin.key).await;
    let (own, account) = (format!("/api/v1/me/keys/{}", acme.admin.key.id), acme.account(&acme.bot));
    let of_bot = format!("{account}/keys/{}", acme.bot.key.id);
    let invitation = acme.invitation("new@example.com", "member").await;
    let (member, in_project) = (acme.member_path(&acme.member), format!("{}/members/{}", acme.project, acme.member.id));
    let ws = path.rsplit('/').next().expect("an id");
    let none = Value::Null;
    // The method, path and body, and the route if it differs from the path.
    let writes: Vec<(&str, &str, String, Value)> = vec![
        ("POST", "/api/v1/me/keys", "/api/v1/me/keys".to_owned(), acme.new_key()),
        ("PATCH", "/api/v1/me/keys/{key}", own.clone(), json!({"title": "x"})),
        ("DELETE", "/api/v1/me/keys/{key}", own.clone(), none.clone()),
        ("POST", "/api/v1/me/keys/{key}/disable", format!("{own}/disable"), none.clone()),
        ("POST", "/api/v1/me/keys/{key}/enable", format!("{own}/enable"), none.clone()),
        ("POST", "/api/v1/me/keys/{key}/proof", format!("{own}/proof"), json!({"proof": "x"})),
        ("POST", "/api/v1/me/keys/{key}/rotate", format!("{own}/rotate"), acme.successor()),
        ("DELETE", "/api/v1/me/keys/{key}/rotate", format!("{own}/rotate"), none.clone()),
        ("POST", "/api/v1/me/proof-challenges", "/api/v1/me/proof-challenges".to_owned(), none.clone()),
        ("POST", "/api/v1/workspaces", "/api/v1/workspaces".to_owned(), json!({"name": "New", "slug": "new"})),
        ("DELETE", "/api/v1/workspaces/{ws}", path.clone(), none.clone()),
        ("PATCH", "/api/v1/workspaces/{ws}/members/{usr}", member.clone(), json!({"role": "member"})),
        ("DELETE", "/api/v1/workspaces/{ws}/members/{usr}", member.clone(), none.clone()),
        ("DELETE", "/api/v1/workspaces/{ws}/members/{usr}", acme.member_path(&acme.admin), none.clone()),
        (
            "POST",
            "/api/v1/workspaces/{ws}/invitations",
            format!("{path}/invitations"),
            json!({"emails": ["a@example.com"], "role": "member"}),
        ),
        ("DELETE", "/api/v1/workspaces/{ws}/invitations/{inv}", invitation.clone(), none.clone()),
        ("POST", "/api/v1/workspaces/{ws}/invitations/{inv}/resend", format!("{invitation}/resend"), none.clone()),
        (
            "POST",
            "/api/v1/invitations/accept",
            "/api/v1/invitations/accept".to_owned(),
            json!({"token": test.invite(ws, &acme.admin, "b@example.com", "member").await}),
        ),
        ("PATCH", "/api/v1/workspaces/{ws}/service-accounts/{sa}", account.clone(), json!({"role": "member"})),
        ("PATCH", "/api/v1/workspaces/{ws}/service-accounts/{sa}", account.clone(), json!({"disabled": true})),
        ("PATCH", "/api/v1/workspaces/{ws}/service-accounts/{sa}", account.clone(), json!({"disabled": false})),
        ("DELETE", "/api/v1/workspaces/{ws}/service-accounts/{sa}", account.clone(), none.clone()),
        ("POST", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys", format!("{account}/keys"), acme.new_key()),
        ("PATCH", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}", of_bot.clone(), json!({"title": "x"})),
        ("DELETE", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}", of_bot.clone(), none.clone()),
        (
            "POST",
            "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/disable",
            format!("{of_bot}/disable"),
            none.clone(),
        ),
        (
            "POST",
            "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/enable",
            format!("{of_bot}/enable"),
            none.clone(),
        ),
        (
            "POST",
            "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/rotate",
            format!("{of_bot}/rotate"),
            acme.successor(),
        ),
        (
            "DELETE",
            "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/rotate",
            format!("{of_bot}/rotate"),
            none.clone(),
        ),
        (
            "POST",
            "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/proof",
            format!("{of_bot}/proof"),
            json!({"proof": "x"}),
        ),
        (
            "PUT",
            "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}",
            in_project.clone(),
            json!({"role": "viewer"}),
        ),
        ("DELETE", "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}", in_project, none.clone()),
        ("PUT", "/api/v1/workspaces/{ws}/policy", format!("{path}/policy"), json!({"rules": {}})),
        ("PUT", "/api/v1/admin/policy", "/api/v1/admin/policy".to_owned(), json!({"rules": {}})),
        (
            "PATCH",
            "/api/v1/admin/workspaces/{ws}/quotas",
            format!("/api/v1/admin/workspaces/{ws}/quotas"),
            json!({"service_accounts": 3}),
        ),
        (
            "POST",
            "/api/v1/admin/users",
            "/api/v1/admin/users".to_owned(),
            json!({"email": "c@example.com", "name": "Cy"}),
        ),
        (
            "PATCH",
            "/api/v1/admin/users/{usr}",
            format!("/api/v1/admin/users/{}", acme.member.id),
            json!({"disabled": true}),
        ),
    ];
    let before = acme.events().await;
    let mut covered: BTreeSet<String> = BY_BEARER.iter().map(|&route| route.to_owned()).collect();
    for (method, route, path, body) in writes {
        covered.insert(format!("{method} {route}"));
        let answer = test.request(method, &path, &body).bearer(&token).send().await;
        said(&answer, &format!("{method} {path} {body}"), "sign this request with the key itself");
    }
    assert_eq!(acme.events().await, before, "nothing was done");

    // Every write must have an entry here that determines whether it accepts a bearer token.
    let (_, document) = server::build_router(Arc::clone(&test.app));
    let document = serde_json::to_value(&document).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for method in item.as_object().expect("methods").keys().filter(|method| *method != "get") {
            let route = format!("{} {path}", method.to_ascii_uppercase());
            let is_elsewhere = ELSEWHERE.contains(&route.as_str());
            assert!(covered.contains(&route) || is_elsewhere, "{route} is in no list of this test");
        }
    }
}

/// Writes that need no credential but a statement that the key itself signed. `api::leaked_key` tests them.
const ELSEWHERE: [&str; 2] = ["POST /api/v1/leaked-keys/find", "POST /api/v1/leaked-keys/revoke"];

#[tokio::test]
async fn a_service_account_changes_neither_itself_nor_its_own_keys() {
    let acme = Acme::build().await;
    let (test, boss) = (&acme.test, &acme.boss);
    let account = acme.account(boss);
    let own = format!("{account}/keys/{}", boss.key.id);
    let (member, none) = (format!("{}/members/{}", acme.project, boss.id), Value::Null);
    // It can see the project, and an admin of the workspace may join projects that they see.
    let before = acme.events().await;
    for (method, path, body) in [
        ("PATCH", account.clone(), json!({"description": "mine"})),
        ("PATCH", account.clone(), json!({"name": "another"})),
        ("PATCH", account.clone(), json!({"role": "admin"})),
        ("PATCH", account.clone(), json!({"role": "member"})),
        ("PATCH", account.clone(), json!({"disabled": true})),
        ("DELETE", account.clone(), none.clone()),
        ("POST", format!("{account}/keys"), acme.new_key()),
        ("PATCH", own.clone(), json!({"expires_at": null})),
        ("POST", format!("{own}/disable"), none.clone()),
        ("POST", format!("{own}/enable"), none.clone()),
        ("DELETE", own, none.clone()),
        ("POST", "/api/v1/me/keys".to_owned(), acme.new_key()),
        ("DELETE", format!("/api/v1/me/keys/{}", boss.key.id), none.clone()),
        ("POST", format!("/api/v1/me/keys/{}/rotate", acme.bot.key.id), acme.successor()),
        ("PUT", member.clone(), json!({"role": "viewer"})),
        ("PUT", member, json!({"role": "admin"})),
        ("DELETE", format!("{}/members/{}", Acme::add_project(test, &acme.path, boss).await, boss.id), none),
    ] {
        let answer = test.request(method, &path, &body).by(&boss.key).send().await;
        said(&answer, &format!("{method} {path} {body}"), "cannot change itself or its own keys");
    }
    let made = |events: &Value| events["items"].as_array().expect("a list").len();
    assert_eq!(made(&acme.events().await), made(&before) + 1, "nothing but the project was made");
    // It may change others within its role.
    test.patch(&acme.account(&acme.bot), &json!({"disabled": true})).by(&boss.key).send().await.expect(200);
    test.post(&format!("{}/keys", acme.account(&acme.bot)), &acme.new_key()).by(&boss.key).send().await.expect(201);
}

#[tokio::test]
async fn a_service_account_cannot_grant_admin() {
    let acme = Acme::build().await;
    let (test, boss) = (&acme.test, &acme.boss);
    let of_admin = acme.invitation("new@example.com", "admin").await;
    let of_member = acme.invitation("old@example.com", "member").await;
    let led_by_boss = Acme::add_project(test, &acme.path, boss).await;
    let led_by_max = Acme::add_project(test, &acme.path, &acme.member).await;
    let led_by_bot = Acme::add_project(test, &acme.path, &acme.bot).await;
    let successor = format!("?successor={}", acme.admin.id);
    let none = Value::Null;
    let before = acme.events().await;
    for (method, path, body) in [
        ("POST", format!("{}/invitations", acme.path), json!({"emails": ["x@example.com"], "role": "admin"})),
        ("POST", format!("{of_admin}/resend"), none.clone()),
        ("PATCH", acme.member_path(&acme.member), json!({"role": "admin"})),
        ("PATCH", acme.account(&acme.bot), json!({"role": "admin"})),
        ("PUT", format!("{led_by_boss}/members/{}", acme.member.id), json!({"role": "admin"})),
        ("DELETE", format!("{}{successor}", acme.member_path(&acme.member)), none.clone()),
        ("DELETE", format!("{}{successor}", acme.account(&acme.bot)), none.clone()),
    ] {
        let answer = test.request(method, &path, &body).by(&boss.key).send().await;
        said(&answer, &format!("{method} {path} {body}"), "cannot give the role admin");
    }
    assert_eq!(acme.events().await, before, "nothing was done");

    // The same for a member, and by users.
    for (request, status) in [
        (test.post(&format!("{of_member}/resend"), &none), 200),
        (test.patch(&acme.member_path(&acme.member), &json!({"role": "member"})), 200),
        (test.put(&format!("{led_by_boss}/members/{}", acme.member.id), &json!({"role": "editor"})), 200),
    ] {
        let what = format!("{} {}", request.method, request.target);
        let answer = request.by(&boss.key).send().await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&answer.bytes));
    }
    for (request, status) in [
        (test.post(&format!("{of_admin}/resend"), &none), 200),
        (test.patch(&acme.account(&acme.bot), &json!({"role": "admin"})), 200),
        (test.delete(&format!("{}{successor}", acme.member_path(&acme.member))), 204),
        (test.delete(&format!("{}{successor}", acme.account(&acme.bot))), 204),
    ] {
        let what = format!("{} {}", request.method, request.target);
        let answer = request.by(&acme.admin.key).send().await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&answer.bytes));
    }
    for project in [led_by_max, led_by_bot] {
        let members = test.get(&format!("{project}/members")).by(&acme.admin.key).send().await.expect(200);
        assert_eq!(members["items"][0]["id"], acme.admin.id.as_str());
    }
}

#[tokio::test]
async fn a_member_cannot_grant_admin() {
    let acme = Acme::build().await;
    let test = &acme.test;
    let send = async |request: TestRequest<'_>, by: &Key| request.by(by).send().await;
    for by in [&acme.member, &acme.bot] {
        for role in ["admin", "member"] {
            let invite = json!({"emails": ["x@example.com"], "role": role});
            let invited = send(test.post(&format!("{}/invitations", acme.path), &invite), &by.key).await;
            invited.expect_problem(403, "forbidden");
        }
        let promote = json!({"role": "admin"});
        send(test.patch(&acme.member_path(&acme.member), &promote), &by.key).await.expect_problem(403, "forbidden");
        send(test.patch(&acme.account(&acme.bot), &promote), &by.key).await.expect_problem(403, "forbidden");
        let join = format!("{}/members/{}", acme.project, by.id);
        send(test.put(&join, &promote), &by.key).await.expect_problem(404, "not_found");
    }
}
