//! The changes that require the password again in a session in which it was not entered recently. Every form of the
//! pages and every route of the API that changes something is in one of two lists.

use std::{collections::BTreeSet, time::Duration};

use domain::Clock as _;
use serde_json::json;
use server::app::Caller;

use crate::{api::access, support::TestApp, support::browser::Browser, ui::access as ui_access};

/// Forms that require it, with the values of [`ui_access`].
const PAGES_THAT_ASK: &[&str] = &[
    "/operator/suspended-keys",
    "/operator/users",
    "/operator/users/{usr}/password",
    "/operator/workspaces",
    "/operator/workspaces/{ws}/first-admin",
    "/operator/workspaces/{ws}/quotas",
    "/profile/api-keys",
    "/profile/api-keys/{key}/enable",
    "/profile/api-keys/{key}/rotate",
    "/w/{slug}/delete",
    "/w/{slug}/members/{usr}/role",
    "/w/{slug}/projects/{prj}/members",
    "/w/{slug}/service-accounts/{sa}/keys",
    "/w/{slug}/service-accounts/{sa}/keys/{key}/enable",
    "/w/{slug}/service-accounts/{sa}/keys/{key}/rotate",
    "/w/{slug}/service-accounts/{sa}/role",
];

/// Forms that do not require it, because they remove rights, grant nothing new, or ask for the password themselves.
const PAGES_THAT_DO_NOT: &[&str] = &[
    "/invitations/{token}",
    "/operator/users/{usr}",
    "/operator/users/{usr}/disable",
    "/profile/api-keys/bulk",
    "/profile/api-keys/proof-challenge",
    "/profile/api-keys/{key}",
    "/profile/api-keys/{key}/disable",
    // It asks if the limits become wider. This form narrows them.
    "/profile/api-keys/{key}/limits",
    "/profile/api-keys/{key}/revoke",
    // No key was rotated, as in the routes below.
    "/profile/api-keys/{key}/rotate/undo",
    "/profile/password",
    "/profile/sessions/end-others",
    "/profile/sessions/{session}/end",
    "/profile/theme",
    "/set-up/{token}",
    "/sign-in",
    "/sign-out",
    "/w/{slug}/general",
    "/w/{slug}/invitations",
    "/w/{slug}/invitations/revoke",
    "/w/{slug}/invitations/{inv}/resend",
    "/w/{slug}/keys/bulk",
    "/w/{slug}/members/remove",
    "/w/{slug}/members/{usr}/remove",
    "/w/{slug}/projects",
    "/w/{slug}/projects/{prj}",
    "/w/{slug}/projects/{prj}/delete",
    "/w/{slug}/projects/{prj}/members/{principal}/remove",
    "/w/{slug}/service-accounts",
    "/w/{slug}/service-accounts/{sa}/delete",
    "/w/{slug}/service-accounts/{sa}/disable",
    "/w/{slug}/service-accounts/{sa}/enable",
    "/w/{slug}/service-accounts/{sa}/keys/bulk",
    "/w/{slug}/service-accounts/{sa}/keys/proof-challenge",
    "/w/{slug}/service-accounts/{sa}/keys/{key}",
    "/w/{slug}/service-accounts/{sa}/keys/{key}/disable",
    "/w/{slug}/service-accounts/{sa}/keys/{key}/limits",
    "/w/{slug}/service-accounts/{sa}/keys/{key}/revoke",
    "/w/{slug}/service-accounts/{sa}/keys/{key}/rotate/undo",
    "/w/{slug}/service-accounts/{sa}/settings",
];

/// Routes that require it, with the values of [`access`].
const ROUTES_THAT_ASK: &[(&str, &str)] = &[
    ("DELETE", "/api/v1/workspaces/{ws}"),
    ("PATCH", "/api/v1/admin/workspaces/{ws}/quotas"),
    ("PUT", "/api/v1/workspaces/{ws}/policy"),
    ("PUT", "/api/v1/admin/policy"),
    ("PATCH", "/api/v1/workspaces/{ws}/members/{usr}"),
    ("PATCH", "/api/v1/workspaces/{ws}/service-accounts/{sa}"),
    ("POST", "/api/v1/admin/users"),
    ("POST", "/api/v1/me/keys"),
    ("POST", "/api/v1/me/keys/{key}/enable"),
    ("POST", "/api/v1/me/keys/{key}/proof"),
    ("POST", "/api/v1/me/keys/{key}/rotate"),
    ("POST", "/api/v1/workspaces"),
    ("POST", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys"),
    ("POST", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/enable"),
    ("POST", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/proof"),
    ("POST", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/rotate"),
    ("PUT", "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}"),
];

const ROUTES_THAT_DO_NOT: &[(&str, &str)] = &[
    ("DELETE", "/api/v1/me/keys/{key}"),
    // No key was rotated. `undoing_a_rotation_requires_a_recent_password` has a rotation.
    ("DELETE", "/api/v1/me/keys/{key}/rotate"),
    ("DELETE", "/api/v1/workspaces/{ws}/invitations/{inv}"),
    ("DELETE", "/api/v1/workspaces/{ws}/members/{usr}"),
    ("DELETE", "/api/v1/workspaces/{ws}/projects/{prj}"),
    ("DELETE", "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}"),
    ("DELETE", "/api/v1/workspaces/{ws}/service-accounts/{sa}"),
    ("DELETE", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}"),
    ("DELETE", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/rotate"),
    ("PATCH", "/api/v1/admin/users/{usr}"),
    ("PATCH", "/api/v1/me/keys/{key}"),
    ("PATCH", "/api/v1/workspaces/{ws}"),
    ("PATCH", "/api/v1/workspaces/{ws}/projects/{prj}"),
    ("PATCH", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}"),
    ("POST", "/api/v1/invitations/accept"),
    ("POST", "/api/v1/leaked-keys/find"),
    ("POST", "/api/v1/leaked-keys/revoke"),
    ("POST", "/api/v1/me/keys/{key}/disable"),
    ("POST", "/api/v1/me/proof-challenges"),
    ("POST", "/api/v1/workspaces/{ws}/invitations"),
    ("POST", "/api/v1/workspaces/{ws}/invitations/{inv}/resend"),
    ("POST", "/api/v1/workspaces/{ws}/projects"),
    ("POST", "/api/v1/workspaces/{ws}/service-accounts"),
    ("POST", "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/disable"),
];

/// Creates the installation of the pages' access table, a quarter of an hour after all users signed in.
async fn build() -> ui_access::World {
    let world = ui_access::World::build().await;
    world.saved.clock().advance(Duration::from_mins(15));
    world
}

#[tokio::test]
async fn every_form_that_grants_rights_requires_a_recent_password() {
    let world = build().await;
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for &(method, path, expected) in ui_access::TABLE {
        if method != "POST" {
            continue;
        }
        seen.insert(path);
        // A user who entered the password recently.
        let who = [ui_access::ADMIN, ui_access::OPERATOR].into_iter().find(|&who| matches!(expected[who], 200 | 303));
        // No key is suspended here. Another test has one.
        let Some(who) = who.filter(|_| path != "/operator/suspended-keys") else { continue };
        let test = world.open().await;
        let answer = world.ask(&test, method, path, who, true).await;
        let page = String::from_utf8(answer.bytes).unwrap();
        let asks = page.contains("Confirm your password");
        if asks != PAGES_THAT_ASK.contains(&path) {
            differences.push(format!("{path}: {} {asks}", answer.status));
        }
        test.app.close().await;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let listed: BTreeSet<&str> = PAGES_THAT_ASK.iter().chain(PAGES_THAT_DO_NOT).copied().collect();
    assert_eq!(listed, seen, "each form is in one list");
    assert_eq!(listed.len(), PAGES_THAT_ASK.len() + PAGES_THAT_DO_NOT.len(), "and in one only");
}

#[tokio::test]
async fn every_route_that_grants_rights_requires_a_recent_password() {
    let world = build().await;
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for &(method, path, _) in access::TABLE.iter().filter(|(method, ..)| *method != "GET") {
        seen.insert((method, path));
        let who = if path.contains("/admin/") || path == "/api/v1/workspaces" {
            ui_access::OPERATOR
        } else {
            ui_access::ADMIN
        };
        let test = world.open().await;
        let body = match path.rsplit('/').next() {
            // That test covers values that every caller may send.
            Some("{usr}" | "{sa}") if method == "PATCH" && !path.contains("/admin/") => json!({"role": "admin"}),
            _ => access::body(&test, method, path, &world.ids["/invitations/{token}"]),
        };
        let cookies: Vec<String> = world.cookies[who].iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = test.request(method, &world.path(path), &body).header("cookie", &cookies.join("; "));
        let answer = request.header("keyward-csrf", &world.csrf[who]).send().await;
        let asks = answer.code() == api::codes::PASSWORD_NEEDED;
        if asks != ROUTES_THAT_ASK.contains(&(method, path)) || (!asks && answer.status.as_u16() >= 500) {
            differences.push(format!("{method} {path}: {} {}", answer.status, answer.json()));
        }
        test.app.close().await;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let listed: BTreeSet<(&str, &str)> = ROUTES_THAT_ASK.iter().chain(ROUTES_THAT_DO_NOT).copied().collect();
    assert_eq!(listed, seen, "each route is in one list");
}

#[tokio::test]
async fn undoing_a_rotation_requires_a_recent_password() {
    let world = build().await;
    let test = world.open().await;
    let who = ui_access::ADMIN;
    let cookies: Vec<String> = world.cookies[who].iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = world.path("/api/v1/me/keys/{key}");
    let id = path.rsplit('/').next().expect("an id").parse().expect("key_");
    let owner = test.app.find_key_owner(&Caller::host(), id).await.expect("an owner");
    let rotate = api::RotateApiKey { public_key: test.new_key().openssh, overlap_seconds: 3600, proof: None };
    test.app.rotate_api_key(&Caller::host(), owner, id, &rotate).await.expect("a rotation");
    let undo = test.request("DELETE", &format!("{path}/rotate"), &serde_json::Value::Null);
    let undo = undo.header("cookie", &cookies.join("; ")).header("keyward-csrf", &world.csrf[who]);
    undo.send().await.expect_problem(403, api::codes::PASSWORD_NEEDED);
}

#[tokio::test]
async fn enabling_several_keys_requires_a_recent_password_and_disabling_them_does_not() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/profile/api-keys/new").await;
    let fields = [("title", "laptop"), ("public_key", &test.new_key().openssh)];
    ada.submit("/profile/api-keys", &fields).await;
    let key = ada.path.rsplit('/').next().expect("an id").to_owned();
    test.set_wall(test.clock.now().as_second() + 15 * 60).await;
    let bulk = |action| [("action", action), ("key", key.as_str()), ("confirmed", "1")];
    ada.submit("/profile/api-keys/bulk", &bulk("disable")).await.sees(" was disabled.");
    ada.submit("/profile/api-keys/bulk", &bulk("enable")).await.sees("Confirm your password");
    let confirmed = [bulk("enable").as_slice(), &[("confirm_password", crate::support::browser::PASSWORD)]].concat();
    ada.submit("/profile/api-keys/bulk", &confirmed).await.sees(" was enabled.");
}

#[tokio::test]
async fn granting_more_rights_than_before_requires_a_recent_password() {
    let test = TestApp::new().await;
    let mut olga = Browser::signed_in(&test, "olga", true).await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/invitations").await;
    ada.submit("/w/acme/invitations", &[("emails", "new@example.com"), ("role", "admin")]).await;
    let resend = ada.link("/w/acme/invitations/inv_");
    ada.open("/w/acme/service-accounts/new").await;
    ada.submit("/w/acme/service-accounts", &[("name", "bot"), ("description", "")]).await;
    let account = ada.path.split('?').next().unwrap().to_owned();
    let key = test.new_key().openssh;
    let fields = [("title", "spare"), ("public_key", key.as_str()), ("expires", "2026-02-01")];
    ada.submit(&format!("{account}/keys"), &fields).await;
    let of_account = ada.path.split('?').next().unwrap().to_owned();
    ada.submit(&format!("{account}/disable"), &[]).await;
    let max = crate::support::browser::create_user(&test, "max", false).await;
    let max = test.app.find_user_by_email(&server::app::Caller::host(), &max).await.unwrap().id;
    let user = format!("/operator/users/{max}");
    ada.open("/profile").await;
    olga.open("/profile").await;

    test.advance(Duration::from_mins(15)).await;
    let renamed = [("title", "renamed"), ("expires", "2026-02-01")];
    ada.submit(&of_account, &renamed).await.sees_not("Confirm your password");
    for (path, fields) in [
        (resend.as_str(), &[][..]),
        ("/w/acme/invitations", &[("emails", "zoe@example.com"), ("role", "admin")]),
        (&format!("{account}/enable"), &[]),
        (&of_account, &[("title", "spare"), ("expires", "2026-03-01")]),
        (&of_account, &[("title", "spare"), ("expires", "")]),
    ] {
        ada.open("/profile").await.submit(path, fields).await.sees("Confirm your password");
    }
    let operator =
        [("email", "zoe@example.com"), ("name", "Zoe"), ("password", "tidal oboe lantern fig"), ("operator", "1")];
    for (path, fields) in [(user.as_str(), &[("operator", "true")][..]), ("/operator/users", &operator)] {
        olga.open("/profile").await.submit(path, fields).await.sees("Confirm your password");
    }
    olga.open("/profile").await.submit(&user, &[("disabled", "true")]).await.sees_not("Confirm your password");
    olga.open("/profile").await.submit(&user, &[("disabled", "false")]).await.sees("Confirm your password");
    let suspended = test.user("sam", false).await.key;
    let mut maintenance = test.store().await.begin_maintenance().await.unwrap();
    let sql = "UPDATE api_keys SET suspended = $2 WHERE id = $1";
    maintenance.execute(sql, store::params![suspended.id.as_str(), true]).await.unwrap();
    maintenance.commit().await.unwrap();
    for fields in [&[("all", "1"), ("confirmed", "1")][..], &[("key", suspended.id.as_str())]] {
        olga.open("/profile").await.submit("/operator/suspended-keys", fields).await.sees("Confirm your password");
    }
    // A signature is not a session, so no password is required.
    let by_key = test.user("eve", true).await;
    let body = json!({"name": "New", "slug": "new"});
    test.post("/api/v1/workspaces", &body).by(&by_key.key).send().await.expect(201);
}
