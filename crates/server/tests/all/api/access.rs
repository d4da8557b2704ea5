//! Permissions: every route, called by every kind of caller.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use server::app::Caller;

use crate::support::{
    Actor, Answer, TestApp,
    browser::{Browser, PASSWORD},
    saved::{SavedApp, rows_of},
};

const ANONYMOUS: usize = 0;
/// The admin of another workspace.
const STRANGER: usize = 1;
const ADMIN: usize = 3;
/// An operator who is in no workspace.
const OPERATOR: usize = 4;
const ADMIN_ACCOUNT: usize = 6;
/// A bearer token of the admin.
const BEARER: usize = 7;
const WHO: [&str; 8] =
    ["anonymous", "stranger", "member", "admin", "operator", "account", "admin account", "bearer token of admin"];

/// The statuses, in the order of [`WHO`]. The project belongs to the admin. The member views it, the service account
/// edits it, and the admin service account is not in it. `/me/keys/{key}` is the admin's key.
#[rustfmt::skip]
pub const TABLE: &[(&str, &str, [u16; 8])] = &[
    //                                                                            anonymous stranger member admin operator account admin_account bearer
    ("GET",    "/api/v1/me",                                                           [401, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/api/v1/me/keys",                                                      [401, 200, 200, 200, 200, 200, 200, 200]),
    ("POST",   "/api/v1/me/keys",                                                      [401, 201, 201, 201, 201, 403, 403, 403]),
    ("GET",    "/api/v1/me/keys/{key}",                                                [401, 404, 404, 200, 404, 404, 404, 200]),
    ("PATCH",  "/api/v1/me/keys/{key}",                                                [401, 404, 404, 200, 404, 403, 403, 403]),
    ("DELETE", "/api/v1/me/keys/{key}",                                                [401, 404, 404, 204, 404, 403, 403, 403]),
    ("GET",    "/api/v1/me/keys/{key}/cascade",                                        [401, 404, 404, 200, 404, 403, 403, 403]),
    ("GET",    "/api/v1/me/keys/{key}/use",                                            [401, 404, 404, 200, 404, 404, 404, 200]),
    ("POST",   "/api/v1/me/keys/{key}/disable",                                        [401, 404, 404, 200, 404, 403, 403, 403]),
    ("POST",   "/api/v1/me/keys/{key}/enable",                                         [401, 404, 404, 200, 404, 403, 403, 403]),
    // A caller that may add a proof gets the error of this invalid one.
    ("POST",   "/api/v1/me/keys/{key}/proof",                                          [401, 404, 404, 400, 404, 403, 403, 403]),
    // No key was rotated, so there is no rotation to get or to undo.
    ("GET",    "/api/v1/me/keys/{key}/rotate",                                         [401, 404, 404, 404, 404, 404, 404, 404]),
    ("POST",   "/api/v1/me/keys/{key}/rotate",                                         [401, 404, 404, 201, 404, 403, 403, 403]),
    ("DELETE", "/api/v1/me/keys/{key}/rotate",                                         [401, 404, 404, 404, 404, 403, 403, 403]),
    ("GET",    "/api/v1/me/use",                                                       [401, 200, 200, 200, 200, 200, 200, 200]),
    ("POST",   "/api/v1/me/proof-challenges",                                          [401, 201, 201, 201, 201, 201, 201, 403]),

    // Every caller gets the error of this invalid one. `leaked_key` tests valid ones.
    ("POST",   "/api/v1/leaked-keys/find",                                             [400, 400, 400, 400, 400, 400, 400, 400]),
    ("POST",   "/api/v1/leaked-keys/revoke",                                           [400, 400, 400, 400, 400, 400, 400, 400]),

    ("GET",    "/api/v1/workspaces",                                                   [401, 200, 200, 200, 200, 200, 200, 200]),
    ("POST",   "/api/v1/workspaces",                                                   [401, 403, 403, 403, 201, 403, 403, 403]),
    ("GET",    "/api/v1/workspaces/{ws}",                                              [401, 404, 200, 200, 404, 200, 200, 200]),
    ("PATCH",  "/api/v1/workspaces/{ws}",                                              [401, 404, 403, 200, 404, 403, 200, 200]),
    ("DELETE", "/api/v1/workspaces/{ws}",                                              [401, 404, 403, 204, 404, 403, 204, 403]),
    ("GET",    "/api/v1/workspaces/{ws}/policy",                                       [401, 404, 200, 200, 404, 200, 200, 200]),
    ("PUT",    "/api/v1/workspaces/{ws}/policy",                                       [401, 404, 403, 200, 404, 403, 403, 403]),
    ("GET",    "/api/v1/workspaces/{ws}/policy/keys",                                  [401, 404, 403, 200, 404, 403, 200, 200]),
    ("GET",    "/api/v1/workspaces/{ws}/use",                                          [401, 404, 403, 200, 404, 403, 200, 200]),

    ("GET",    "/api/v1/workspaces/{ws}/members",                                      [401, 404, 200, 200, 404, 200, 200, 200]),
    ("PATCH",  "/api/v1/workspaces/{ws}/members/{usr}",                                [401, 404, 403, 200, 404, 403, 200, 403]),
    ("DELETE", "/api/v1/workspaces/{ws}/members/{usr}",                                [401, 404, 403, 204, 404, 403, 204, 403]),
    ("GET",    "/api/v1/workspaces/{ws}/members/{usr}/removal",                        [401, 404, 403, 200, 404, 403, 200, 200]),

    ("GET",    "/api/v1/workspaces/{ws}/invitations",                                  [401, 404, 403, 200, 404, 403, 200, 200]),
    ("POST",   "/api/v1/workspaces/{ws}/invitations",                                  [401, 404, 403, 201, 404, 403, 201, 403]),
    ("DELETE", "/api/v1/workspaces/{ws}/invitations/{inv}",                            [401, 404, 403, 204, 404, 403, 204, 403]),
    ("POST",   "/api/v1/workspaces/{ws}/invitations/{inv}/resend",                     [401, 404, 403, 200, 404, 403, 200, 403]),
    ("POST",   "/api/v1/invitations/accept",                                           [200, 200, 409, 409, 200, 403, 403, 403]),

    ("GET",    "/api/v1/workspaces/{ws}/service-accounts",                             [401, 404, 403, 200, 404, 403, 200, 200]),
    ("POST",   "/api/v1/workspaces/{ws}/service-accounts",                             [401, 404, 403, 201, 404, 403, 201, 201]),
    ("GET",    "/api/v1/workspaces/{ws}/service-accounts/{sa}",                        [401, 404, 403, 200, 404, 403, 200, 200]),
    ("PATCH",  "/api/v1/workspaces/{ws}/service-accounts/{sa}",                        [401, 404, 403, 200, 404, 403, 200, 403]),
    ("DELETE", "/api/v1/workspaces/{ws}/service-accounts/{sa}",                        [401, 404, 403, 204, 404, 403, 204, 403]),
    ("GET",    "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys",                   [401, 404, 403, 200, 404, 403, 200, 200]),
    ("POST",   "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys",                   [401, 404, 403, 201, 404, 403, 201, 403]),
    ("GET",    "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}",             [401, 404, 403, 200, 404, 403, 200, 200]),
    ("PATCH",  "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}",             [401, 404, 403, 200, 404, 403, 200, 403]),
    ("DELETE", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}",             [401, 404, 403, 204, 404, 403, 204, 403]),
    ("GET",    "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/cascade",     [401, 404, 403, 200, 404, 403, 200, 403]),
    ("GET",    "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/use",         [401, 404, 403, 200, 404, 403, 200, 200]),
    ("POST",   "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/disable",     [401, 404, 403, 200, 404, 403, 200, 403]),
    ("POST",   "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/enable",      [401, 404, 403, 200, 404, 403, 200, 403]),
    ("POST",   "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/proof",       [401, 404, 403, 400, 404, 403, 400, 403]),
    ("GET",    "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/rotate",      [401, 404, 403, 404, 404, 403, 404, 404]),
    ("POST",   "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/rotate",      [401, 404, 403, 201, 404, 403, 201, 403]),
    ("DELETE", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/rotate",      [401, 404, 403, 404, 404, 403, 404, 403]),

    ("GET",    "/api/v1/workspaces/{ws}/projects",                                     [401, 404, 200, 200, 404, 200, 200, 200]),
    ("POST",   "/api/v1/workspaces/{ws}/projects",                                     [401, 404, 201, 201, 404, 201, 201, 201]),
    ("GET",    "/api/v1/workspaces/{ws}/projects/{prj}",                               [401, 404, 200, 200, 404, 200, 200, 200]),
    ("PATCH",  "/api/v1/workspaces/{ws}/projects/{prj}",                               [401, 404, 403, 200, 404, 200, 403, 200]),
    ("DELETE", "/api/v1/workspaces/{ws}/projects/{prj}",                               [401, 404, 403, 204, 404, 403, 403, 204]),
    ("GET",    "/api/v1/workspaces/{ws}/projects/{prj}/members",                       [401, 404, 200, 200, 404, 200, 200, 200]),
    ("PUT",    "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}",           [401, 404, 403, 200, 404, 403, 403, 403]),
    ("DELETE", "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}",           [401, 404, 403, 204, 404, 403, 403, 403]),

    ("GET",    "/api/v1/workspaces/{ws}/audit-events",                                 [401, 404, 403, 200, 404, 403, 200, 200]),

    ("GET",    "/api/v1/admin/workspaces",                                             [401, 403, 403, 403, 200, 403, 403, 403]),
    ("GET",    "/api/v1/admin/workspaces/{ws}/quotas",                                 [401, 404, 403, 403, 200, 403, 403, 403]),
    ("PATCH",  "/api/v1/admin/workspaces/{ws}/quotas",                                 [401, 404, 403, 403, 200, 403, 403, 403]),
    ("GET",    "/api/v1/admin/users",                                                  [401, 403, 403, 403, 200, 403, 403, 403]),
    ("POST",   "/api/v1/admin/users",                                                  [401, 403, 403, 403, 201, 403, 403, 403]),
    ("PATCH",  "/api/v1/admin/users/{usr}",                                            [401, 403, 403, 403, 200, 403, 403, 403]),
    ("GET",    "/api/v1/admin/users/{usr}/removal",                                    [401, 403, 403, 403, 200, 403, 403, 403]),
    ("GET",    "/api/v1/admin/policy",                                                 [401, 403, 403, 403, 200, 403, 403, 403]),
    ("PUT",    "/api/v1/admin/policy",                                                 [401, 403, 403, 403, 200, 403, 403, 403]),
    ("GET",    "/api/v1/admin/policy/keys",                                            [401, 403, 403, 403, 200, 403, 403, 403]),
    ("GET",    "/api/v1/admin/nodes",                                                  [401, 403, 403, 403, 200, 403, 403, 403]),
    ("GET",    "/api/v1/admin/audit-checkpoint",                                       [401, 403, 403, 403, 200, 403, 403, 403]),

    ("GET",    "/api/v1/openapi.json",                                                 [200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/healthz",                                                             [200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/readyz",                                                              [200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/v2/public/user/bearer-token",                                         [401, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/v2/public/user/current-organisation/groups",                          [401, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/v2/public/projects",                                                  [401, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/v2/public/projects/{project}",                                        [401, 404, 200, 200, 404, 200, 200, 200]),
];

/// Routes that the OpenAPI document does not contain.
const BY_HAND: [(&str, &str); 6] = [
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v2/public/user/current-organisation/groups"),
    ("GET", "/v2/public/projects"),
    ("GET", "/v2/public/projects/{project}"),
];

/// A workspace with one object of each kind, by its placeholder in a path.
pub type Tenant = BTreeMap<&'static str, String>;

/// Two workspaces and all kinds of callers, stored on the disk, so that each copy has the same state.
pub struct World {
    saved: SavedApp,
    pub actors: [Option<Actor>; 8],
    token: String,
    /// The admin's session: the cookie, and the CSRF token.
    session: (String, String),
    pub invitation_token: String,
    pub acme: Tenant,
    other: Tenant,
    /// A key of another service account of acme.
    neighbour_key: String,
}

struct People {
    member: Actor,
    account: Actor,
    invitation_token: String,
}

async fn tenant(test: &TestApp, slug: &str, admin: &Actor) -> (Tenant, People) {
    let ws = test.workspace(slug, admin).await;
    test.raise_quotas(&ws, 9).await;
    let member = test.member(&ws, admin, &format!("max-{slug}"), "member").await;
    let removable = test.member(&ws, admin, &format!("mia-{slug}"), "member").await;
    let account = test.service_account(&ws, admin, "bot").await;
    let add = |path: String| {
        let body = json!({"title": "spare", "public_key": test.new_key().openssh});
        async move { id_of(&test.post(&path, &body).by(&admin.key).send().await.expect(201)) }
    };
    let own_key = add("/api/v1/me/keys".to_owned()).await;
    let account_key = add(format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys", account.id)).await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let project = id_of(&test.post(&projects, &json!({"title": "Maps"})).by(&admin.key).send().await.expect(201));
    for (who, role) in [(&member, "viewer"), (&removable, "viewer"), (&account, "editor")] {
        let path = format!("{projects}/{project}/members/{}", who.id);
        test.put(&path, &json!({"role": role})).by(&admin.key).send().await.expect(200);
    }
    let invitation_token = test.invite(&ws, admin, &format!("new@{slug}.example"), "member").await;
    let path = format!("/api/v1/workspaces/{ws}/invitations");
    let invitations = test.get(&path).by(&admin.key).send().await.expect(200);
    let open = invitations["items"].as_array().unwrap().iter().find(|i| i["state"] == "pending").unwrap();
    let tenant = Tenant::from([
        ("{ws}", ws),
        ("{usr}", removable.id.clone()),
        ("{principal}", removable.id),
        ("{inv}", id_of(open)),
        ("{sa}", account.id.clone()),
        ("{sa}/keys/{key}", account_key),
        ("/me/keys/{key}", own_key),
        ("{prj}", project.clone()),
        ("{project}", project),
    ]);
    (tenant, People { member, account, invitation_token })
}

fn id_of(thing: &Value) -> String {
    thing["id"].as_str().expect("an id").to_owned()
}

impl World {
    pub async fn build() -> Self {
        let test = TestApp::new().await;
        let operator = test.user("olga", true).await;
        let admin = test.user("ada", false).await;
        let stranger = test.user("eve", false).await;
        let (acme, people) = tenant(&test, "acme", &admin).await;
        let (other, _) = tenant(&test, "other", &stranger).await;
        let admin_account = test.service_account(&acme["{ws}"], &admin, "boss").await;
        let path = format!("/api/v1/workspaces/{}/service-accounts/{}", acme["{ws}"], admin_account.id);
        test.patch(&path, &json!({"role": "admin"})).by(&admin.key).send().await.expect(200);
        let neighbour_key = admin_account.key.id.clone();
        let token = test.bearer_token(&admin.key).await;
        let (host, id) = (Caller::host(), admin.id.parse().expect("usr_"));
        test.app.set_password(&host, id, PASSWORD.to_owned()).await.expect("a password");
        let mut browser = Browser::new(&test);
        browser.sign_in("ada").await;
        browser.open("/profile").await;
        let session = (browser.cookies["keyward"].clone(), browser.csrf());
        let saved = SavedApp::save(test).await;
        let People { member, account, invitation_token } = people;
        let actors =
            [None, Some(stranger), Some(member), Some(admin), Some(operator), Some(account), Some(admin_account), None];
        Self { saved, actors, token, session, invitation_token, acme, other, neighbour_key }
    }

    /// Opens a copy in the original state.
    pub async fn open(&self) -> TestApp {
        self.saved.open().await
    }

    pub async fn ask(&self, test: &TestApp, method: &str, path: &str, ids: &Tenant, who: usize) -> Answer {
        let request = test.request(method, &fill(path, ids), &body(test, method, path, &self.invitation_token));
        let request = match (who, &self.actors[who]) {
            (BEARER, _) => request.bearer(&self.token),
            (_, Some(actor)) => request.by(&actor.key),
            (_, None) => request,
        };
        request.send().await
    }
}

/// Returns the body of a request that would have an effect.
pub fn body(test: &TestApp, method: &str, path: &str, invitation_token: &str) -> Value {
    match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("POST", "proof") => json!({"proof": "no proof"}),
        ("POST", "find") => json!({"signed_at": "2026-01-02T03:04:05Z", "statement": "no statement"}),
        ("POST", "revoke") => json!({"statement": "no statement"}),
        ("POST", "rotate") => json!({"public_key": test.new_key().openssh, "overlap_seconds": 3600}),
        ("POST", "keys") => json!({"title": "laptop", "public_key": test.new_key().openssh}),
        ("PATCH", "{key}") => json!({"title": "another"}),
        ("POST", "workspaces") => json!({"name": "New", "slug": "new"}),
        ("PATCH", "{ws}") => json!({"name": "Another"}),
        ("PATCH", "{usr}") if path.contains("/admin/") => json!({"name": "Another"}),
        // Only users grant the role `admin`. `grants` tests this.
        ("PATCH", "{usr}" | "{sa}") => json!({"role": "member"}),
        ("POST", "invitations") => json!({"emails": ["invited@example.com"], "role": "member"}),
        ("POST", "accept") => {
            json!({"token": invitation_token, "name": "Ned", "password": "correct horse battery"})
        }
        ("POST", "service-accounts") => json!({"name": "another", "description": ""}),
        ("POST", "projects") => json!({"title": "Another"}),
        ("PATCH", "{prj}") => json!({"description": "another"}),
        ("PUT", "{principal}") => json!({"role": "editor"}),
        ("PUT", "policy") => json!({"rules": {"require_expiry": true}}),
        ("PATCH", "quotas") => json!({"service_accounts": 3}),
        ("POST", "users") => json!({"email": "new@example.com", "name": "Nina"}),
        _ => Value::Null,
    }
}

/// Returns the placeholders of a path. Longer ones come before those that they contain.
fn placeholders(path: &str) -> impl Iterator<Item = &'static str> {
    const ALL: [&str; 9] =
        ["/me/keys/{key}", "{sa}/keys/{key}", "{ws}", "{usr}", "{principal}", "{inv}", "{sa}", "{prj}", "{project}"];
    ALL.into_iter().filter(move |placeholder| path.contains(placeholder))
}

pub fn fill(path: &str, ids: &Tenant) -> String {
    placeholders(path).fold(path.to_owned(), |path, placeholder| {
        let (before, last) = placeholder.rsplit_once('/').map_or(("", placeholder), |(before, last)| (before, last));
        if before.is_empty() {
            path.replace(last, &ids[placeholder])
        } else {
            path.replace(placeholder, &format!("{before}/{}", ids[placeholder]))
        }
    })
}

/// Returns an id of the same kind that does not exist.
fn unknown(id: &str) -> String {
    let (kind, _) = id.rsplit_once('_').expect("a prefixed id");
    format!("{kind}_01h455vb4pex5vsknk084sn02q")
}

#[tokio::test]
async fn every_route_answers_every_caller_as_the_table_says() {
    let world = World::build().await;
    let mut test = world.open().await;
    let mut differences = Vec::new();
    for &(method, path, expected) in TABLE {
        for (who, expected) in expected.into_iter().enumerate() {
            let answer = world.ask(&test, method, path, &world.acme, who).await;
            let status = answer.status.as_u16();
            if status != expected {
                let body = String::from_utf8_lossy(&answer.bytes).into_owned();
                differences.push(format!("{method} {path} by {}: {status}, not {expected}: {body}", WHO[who]));
            }
            if status < 300 && method != "GET" {
                test.app.close().await;
                test = world.open().await;
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn every_route_has_a_row_and_every_row_a_route() {
    let test = TestApp::new().await;
    let (_, document) = server::build_router(Arc::clone(&test.app));
    let document: Value = serde_json::to_value(&document).unwrap();
    let mut routes: Vec<(String, String)> =
        BY_HAND.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        routes.extend(methods.map(|method| (method.to_ascii_uppercase(), path.clone())));
    }
    routes.sort();
    assert_eq!(rows_of(TABLE), routes);
}

#[tokio::test]
async fn the_document_names_the_credentials_that_a_route_accepts() {
    let test = TestApp::new().await;
    let (_, document) = server::build_router(Arc::clone(&test.app));
    let document: Value = serde_json::to_value(&document).unwrap();
    for &(method, path, expected) in TABLE {
        let operation = &document["paths"][path][method.to_ascii_lowercase()];
        let Some(security) = operation["security"].as_array() else { continue };
        let accepts = |scheme: &str| security.iter().any(|requirement| requirement.get(scheme).is_some());
        assert!(accepts("signature"), "{method} {path}");
        // An operation that needs no credential may refuse the body of the table.
        assert_eq!(
            security.contains(&json!({})),
            !matches!(expected[ANONYMOUS], 401),
            "{method} {path} without a credential"
        );
        // The bearer token belongs to the admin, so a refusal of the admin proves nothing. A bearer token may change a
        // service account's description, and not its role.
        let depends_on_the_body = (method, path) == ("PATCH", "/api/v1/workspaces/{ws}/service-accounts/{sa}");
        if expected[ADMIN] < 300 && !depends_on_the_body {
            assert_eq!(accepts("bearer"), expected[BEARER] < 300, "{method} {path} with a bearer token");
        }
    }
}

#[tokio::test]
async fn every_route_answers_404_for_objects_of_another_tenant() {
    let world = World::build().await;
    let test = world.open().await;
    for &(method, path, expected) in TABLE.iter().filter(|(_, path, _)| !path.contains("/admin/")) {
        for placeholder in placeholders(path) {
            for who in [ADMIN, ADMIN_ACCOUNT, BEARER] {
                // An operation that the caller may never use is refused in the same way for every object.
                if who != ADMIN && expected[who] == 403 {
                    continue;
                }
                let mut foreign = world.acme.clone();
                foreign.insert(placeholder, world.other[placeholder].clone());
                let foreign = world.ask(&test, method, path, &foreign, who).await;
                let mut missing = world.acme.clone();
                missing.insert(placeholder, unknown(&world.other[placeholder]));
                let missing = world.ask(&test, method, path, &missing, who).await;
                let whom = format!("{method} {path} with another tenant's {placeholder} by {}", WHO[who]);
                assert_eq!((foreign.status.as_u16(), foreign.code().as_str()), (404, "not_found"), "{whom}");
                assert_eq!(foreign.json(), missing.json(), "{whom}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_of_another_service_account_is_not_found_under_this_one() {
    let world = World::build().await;
    let test = world.open().await;
    let mut ids = world.acme.clone();
    ids.insert("{sa}/keys/{key}", world.neighbour_key.clone());
    for &(method, path, _) in TABLE.iter().filter(|(_, path, _)| path.contains("{sa}/keys/{key}")) {
        world.ask(&test, method, path, &ids, ADMIN).await.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_id_of_another_kind_is_a_bad_request() {
    let world = World::build().await;
    let test = world.open().await;
    for &(method, path, _) in TABLE {
        for placeholder in placeholders(path) {
            let who = if path.contains("/admin/") { OPERATOR } else { ADMIN };
            let wrong = if placeholder == "{ws}" { &world.acme["{prj}"] } else { &world.acme["{ws}"] };
            for wrong in [wrong.as_str(), "x", "usr_", "ws_01h455vb4pex5vsknk084sn02q0"] {
                let mut ids = world.acme.clone();
                ids.insert(placeholder, wrong.to_owned());
                let answer = world.ask(&test, method, path, &ids, who).await;
                let told = (answer.status.as_u16(), answer.code());
                assert_eq!(told, (400, "invalid_request".to_owned()), "{method} {path} with {wrong} as {placeholder}");
                let answer = world.ask(&test, method, path, &ids, ANONYMOUS).await;
                assert_eq!(answer.status.as_u16(), 401, "{method} {path}: a stranger is told nothing");
            }
        }
    }
}

#[tokio::test]
async fn a_member_of_two_workspaces_reaches_each_with_the_role_of_each() {
    let world = World::build().await;
    let test = world.open().await;
    let admin_of_acme = world.actors[ADMIN].as_ref().unwrap();
    let admin_of_other = world.actors[STRANGER].as_ref().unwrap();
    test.join(&world.other["{ws}"], admin_of_other, admin_of_acme, "member").await;
    let rename = |ws: &str| test.patch(&format!("/api/v1/workspaces/{ws}"), &json!({"name": "Mine"}));
    rename(&world.acme["{ws}"]).by(&admin_of_acme.key).send().await.expect(200);
    rename(&world.other["{ws}"]).by(&admin_of_acme.key).send().await.expect_problem(403, "forbidden");
    // An admin of another workspace has no access to projects, and the other workspace's path does not give access to
    // this one.
    let hidden = format!("/api/v1/workspaces/{}/projects/{}", world.other["{ws}"], world.other["{prj}"]);
    test.get(&hidden).by(&admin_of_acme.key).send().await.expect_problem(404, "not_found");
    let crossed = format!("/api/v1/workspaces/{}/projects/{}", world.other["{ws}"], world.acme["{prj}"]);
    test.get(&crossed).by(&admin_of_acme.key).send().await.expect_problem(404, "not_found");
}

/// The credentials of the requests.
const CREDENTIALS: [&str; 10] = [
    "none",
    "session",
    "session of another site",
    "bearer token",
    "signature",
    "signature of the SDK",
    "bearer token that is none",
    "bearer token and signature",
    "session and signature",
    "session and bearer token",
];

#[tokio::test]
async fn no_credential_causes_500_and_two_credentials_are_refused() {
    let world = World::build().await;
    let mut test = world.open().await;
    let (cookie, csrf) = &world.session;
    let admin = world.actors[ADMIN].as_ref().expect("the admin");
    for &(method, path, expected) in TABLE {
        for credential in CREDENTIALS {
            let body = body(&test, method, path, &world.invitation_token);
            let plain = test.request(method, &fill(path, &world.acme), &body);
            let with_session = plain.clone().header("cookie", &format!("keyward={cookie}"));
            let request = match credential {
                "none" => plain,
                "session" => with_session.header("sec-fetch-site", "same-origin").header("keyward-csrf", csrf),
                "session of another site" => with_session.header("sec-fetch-site", "cross-site"),
                // Successful requests are in the other tables. Each write is executed once here.
                "bearer token" | "signature" | "signature of the SDK" if method != "GET" => continue,
                "bearer token" => plain.bearer(&world.token),
                "signature" => plain.by(&admin.key),
                "signature of the SDK" => plain.by_encord(&admin.key),
                "bearer token that is none" => plain.bearer("kwt_x"),
                "bearer token and signature" => plain.by(&admin.key).bearer(&world.token),
                "session and signature" => with_session.by(&admin.key),
                _ => with_session.bearer(&world.token),
            };
            let answer = request.send().await;
            let what = format!("{method} {path} with {credential}: {}", String::from_utf8_lossy(&answer.bytes));
            let status = answer.status.as_u16();
            assert!(status < 500, "{what}");
            if status >= 400 {
                assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
            }
            let is_verified = expected[ANONYMOUS] == 401 || path.starts_with("/api/") || path.starts_with("/v2/");
            if is_verified && (credential.contains(" and ") || credential == "bearer token that is none") {
                assert_eq!(status, 401, "{what}");
            }
            if credential == "session of another site" && is_verified {
                assert_eq!(status, 403, "{what}");
            }
            if status < 300 && method != "GET" {
                test.app.close().await;
                test = world.open().await;
            }
        }
    }
}

#[tokio::test]
async fn the_token_route_gives_a_token_to_a_signature_only() {
    let world = World::build().await;
    let test = world.open().await;
    let (cookie, csrf) = &world.session;
    let ask = || test.get("/v2/public/user/bearer-token");
    let in_session = ask().header("cookie", &format!("keyward={cookie}")).header("sec-fetch-site", "same-origin");
    let problem = in_session.header("keyward-csrf", csrf).send().await.expect_problem(403, "forbidden");
    assert!(problem["detail"].as_str().expect("a text").contains("sign the request with"), "{problem}");
    ask().bearer(&world.token).send().await.expect_problem(403, "forbidden");
    ask().send().await.expect_problem(401, "unauthenticated");
    ask().by(&world.actors[ADMIN].as_ref().expect("the admin").key).send().await.expect(200);
}

#[tokio::test]
async fn unknown_or_foreign_fields_are_400_on_every_route() {
    let world = World::build().await;
    let test = world.open().await;
    let admin = world.actors[ADMIN].as_ref().expect("the admin");
    for &(method, path, _) in TABLE.iter().filter(|(method, ..)| *method != "GET") {
        let body = match body(&test, method, path, &world.invitation_token) {
            Value::Null if path.ends_with("/enable") => json!({}),
            Value::Null => continue,
            body => body,
        };
        let who = if path.contains("/admin/") || path == "/api/v1/workspaces" { OPERATOR } else { ADMIN };
        let key = &world.actors[who].as_ref().expect("an authenticated actor").key;
        for (field, value) in [
            ("owner", json!(admin.id)),
            ("id", json!("key_01h455vb4pex5vsknk084sn02q")),
            ("created_by", json!("host")),
            ("verified_at", json!("2026-01-01T00:00:00Z")),
            ("state", json!("active")),
            ("is_admin", json!(true)),
        ] {
            let mut body = body.clone();
            body[field] = value;
            let answer = test.request(method, &fill(path, &world.acme), &body).by(key).send().await;
            let problem = answer.expect_problem(400, "invalid_request");
            assert!(problem["detail"].as_str().expect("a text").contains(field), "{method} {path}: {problem}");
        }
        let list = json!([body]);
        let answer = test.request(method, &fill(path, &world.acme), &list).by(key).send().await;
        answer.expect_problem(400, "invalid_request");
    }
}
