//! The objects of a user that end with their rights: the open invitations that they wrote and, if the admin requests
//! it, the keys that they registered for service accounts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    support::browser::{Browser, PASSWORD},
    support::{Actor, Answer, Key, TestApp},
};

/// Creates a workspace with the admins ada and max.
async fn acme() -> (TestApp, Actor, Actor, String) {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let max = test.member(&ws, &ada, "max", "admin").await;
    (test, ada, max, ws)
}

async fn accept(test: &TestApp, token: &str) -> Answer {
    let body = json!({"token": token, "name": "Ned", "password": "correct horse battery"});
    test.post("/api/v1/invitations/accept", &body).send().await
}

fn member(ws: &str, who: &Actor) -> String {
    format!("/api/v1/workspaces/{ws}/members/{}", who.id)
}

/// Registers a key for a service account, with a user's signature.
async fn register(test: &TestApp, ws: &str, account: &Actor, by: &Key) -> Key {
    let mut key = test.new_key();
    let path = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys", account.id);
    let body = json!({"title": "registered", "public_key": key.openssh});
    let made = test.post(&path, &body).by(by).send().await.expect(201);
    made["id"].as_str().unwrap().clone_into(&mut key.id);
    key
}

/// Returns the targets of a workspace's events with one action.
async fn targets(test: &TestApp, ws: &str, by: &Key, action: &str) -> Vec<String> {
    let path = format!("/api/v1/workspaces/{ws}/audit-events?action={action}");
    let events = test.get(&path).by(by).send().await.expect(200);
    let targets = events["items"].as_array().unwrap().iter();
    targets.map(|event| event["target"].as_str().unwrap().to_owned()).collect()
}

async fn state_of(test: &TestApp, ws: &str, by: &Key, email: &str) -> Value {
    let listed = test.get(&format!("/api/v1/workspaces/{ws}/invitations")).by(by).send().await.expect(200);
    let found = listed["items"].as_array().unwrap().iter().find(|item| item["email"] == email);
    found.expect("the invitation")["state"].clone()
}

#[tokio::test]
async fn open_invitations_end_when_their_writer_is_removed_demoted_disabled_or_leaves() {
    for how in ["removed", "left", "demoted", "demotes themselves", "disabled"] {
        let (test, ada, max, ws) = acme().await;
        let olga = test.user("olga", true).await;
        let back_door = test.invite(&ws, &max, "ned@example.com", "admin").await;
        let of_ada = test.invite(&ws, &ada, "zoe@example.com", "member").await;
        let path = member(&ws, &max);
        match how {
            "removed" => test.delete(&path).by(&ada.key).send().await.expect(204),
            "left" => test.delete(&path).by(&max.key).send().await.expect(204),
            "demoted" => test.patch(&path, &json!({"role": "member"})).by(&ada.key).send().await.expect(200),
            "demotes themselves" => test.patch(&path, &json!({"role": "member"})).by(&max.key).send().await.expect(200),
            _ => {
                let path = format!("/api/v1/admin/users/{}", max.id);
                test.patch(&path, &json!({"disabled": true})).by(&olga.key).send().await.expect(200)
            }
        };
        accept(&test, &back_door).await.expect_problem(409, "invitation_closed");
        assert_eq!(state_of(&test, &ws, &ada.key, "ned@example.com").await, "revoked", "{how}");
        let ended = targets(&test, &ws, &ada.key, "invitation.revoke").await;
        assert_eq!(ended.len(), 1, "{how}: an event for each");
        accept(&test, &of_ada).await.expect(200);
    }
}

#[tokio::test]
async fn first_admin_invitations_end_when_their_operator_loses_the_flag() {
    let test = TestApp::new().await;
    let (olga, zoe) = (test.user("olga", true).await, test.user("zoe", true).await);
    let body = json!({"name": "New", "slug": "new", "admin_email": "ned@example.com"});
    let made = test.post("/api/v1/workspaces", &body).by(&zoe.key).send().await.expect(201);
    let path = format!("/api/v1/admin/users/{}", zoe.id);
    test.patch(&path, &json!({"operator": false})).by(&olga.key).send().await.expect(200);
    accept(&test, made["invitation"]["token"].as_str().unwrap()).await.expect_problem(409, "invitation_closed");
}

#[tokio::test]
async fn invitations_of_a_service_account_end_with_it() {
    for how in ["disabled", "demoted", "deleted"] {
        let (test, ada, _, ws) = acme().await;
        let bot = test.service_account(&ws, &ada, "bot").await;
        let path = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
        test.patch(&path, &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
        let token = test.invite(&ws, &bot, "ned@example.com", "member").await;
        match how {
            "disabled" => test.patch(&path, &json!({"disabled": true})).by(&ada.key).send().await.expect(200),
            "demoted" => test.patch(&path, &json!({"role": "member"})).by(&ada.key).send().await.expect(200),
            _ => test.delete(&path).by(&ada.key).send().await.expect(204),
        };
        accept(&test, &token).await.expect_problem(409, "invitation_closed");
        assert_eq!(targets(&test, &ws, &ada.key, "invitation.revoke").await.len(), 1, "{how}");
    }
}

#[tokio::test]
async fn resending_an_invitation_makes_the_sender_its_writer() {
    let (test, ada, max, ws) = acme().await;
    let list = format!("/api/v1/workspaces/{ws}/invitations");
    let body = json!({"emails": ["ned@example.com"], "role": "member"});
    let issued = test.post(&list, &body).by(&max.key).send().await.expect(201);
    let path = format!("{list}/{}/resend", issued["items"][0]["id"].as_str().unwrap());
    let again = test.post(&path, &Value::Null).by(&ada.key).send().await.expect(200);
    assert_eq!(again["created_by"], ada.id);
    test.delete(&member(&ws, &max)).by(&ada.key).send().await.expect(204);
    accept(&test, again["token"].as_str().unwrap()).await.expect(200);
}

#[tokio::test]
async fn acceptance_refuses_an_invitation_whose_writer_lost_their_rights_on_the_previous_release() {
    let (test, ada, max, ws) = acme().await;
    let token = test.invite(&ws, &max, "ned@example.com", "admin").await;
    // The previous release removed users without revoking their open invitations.
    let mut change = test.store().await.begin_change(domain::Clock::now(test.clock.as_ref())).await.unwrap();
    let sql = "DELETE FROM members WHERE workspace_id = $1 AND user_id = $2";
    change.execute(sql, store::params![ws.as_str(), max.id.as_str()]).await.unwrap();
    change.touch(store::Subject::User(max.id.parse().unwrap()));
    let event = domain::AuditEvent {
        id: domain::AuditEventId::generate(domain::Clock::now(test.clock.as_ref()), test.random.as_ref()),
        at: domain::Clock::now(test.clock.as_ref()),
        workspace: None,
        principal: domain::AuditPrincipal::Host,
        key: None,
        ip_address: None,
        action: "member.remove".into(),
        target: Some(max.id.clone()),
        detail: std::collections::BTreeMap::new(),
    };
    change.commit(event, None).await.unwrap();
    test.app.renew_lease().await.unwrap();
    accept(&test, &token).await.expect_problem(409, "invitation_closed");
    Browser::new(&test).open(&format!("/invitations/{token}")).await.sees("This invitation is no longer valid");
    let members = test.get(&format!("/api/v1/workspaces/{ws}/members")).by(&ada.key).send().await.expect(200);
    assert_eq!(members["items"].as_array().unwrap().len(), 1);
}

/// Returns a fingerprint as lists show it.
fn short(fingerprint: &str) -> String {
    let digest = fingerprint.trim_start_matches("SHA256:");
    format!("{}\u{2026}{}", &digest[..6], &digest[digest.len() - 5..])
}

#[tokio::test]
async fn a_removal_preview_lists_invitations_and_keys_and_can_revoke_the_keys() {
    for (how, revokes) in [("remove", true), ("remove", false), ("demote", true), ("demote", false)] {
        let (test, ada, max, ws) = acme().await;
        test.raise_quotas(&ws, 9).await;
        let bot = test.service_account(&ws, &ada, "bot").await;
        let path = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
        test.patch(&path, &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
        let runner = test.service_account(&ws, &ada, "runner").await;
        let of_max = register(&test, &ws, &bot, &max.key).await;
        // Keys that their keys registered are included.
        let made_by_it = register(&test, &ws, &runner, &of_max).await;
        let of_ada = register(&test, &ws, &bot, &ada.key).await;
        test.invite(&ws, &max, "ned@example.com", "member").await;

        let preview = test.get(&format!("{}/removal", member(&ws, &max))).by(&ada.key).send().await.expect(200);
        assert_eq!(preview["invitations"][0]["email"], "ned@example.com");
        let shown = preview["keys"].as_array().unwrap().iter().map(|key| (&key["key"]["id"], &key["email"]));
        let shown: BTreeSet<(&str, &str)> =
            shown.map(|(id, email)| (id.as_str().unwrap(), email.as_str().unwrap())).collect();
        let expected = [(of_max.id.as_str(), bot.email.as_str()), (&made_by_it.id, &runner.email)];
        assert_eq!(shown, BTreeSet::from(expected));

        if how == "remove" {
            let path = format!("{}?revoke_keys={revokes}", member(&ws, &max));
            test.delete(&path).by(&ada.key).send().await.expect(204);
        } else {
            let body = json!({"role": "member", "revoke_keys": revokes});
            test.patch(&member(&ws, &max), &body).by(&ada.key).send().await.expect(200);
        }
        for key in [&of_max, &made_by_it] {
            let status = test.get("/api/v1/me").by(key).send().await.status.as_u16();
            assert_eq!(status, if revokes { 401 } else { 200 }, "{how} {revokes}");
        }
        test.get("/api/v1/me").by(&of_ada).send().await.expect(200);
        let mut revoked = targets(&test, &ws, &ada.key, "api_key.revoke").await;
        revoked.sort();
        let mut expected = if revokes { vec![of_max.id.clone(), made_by_it.id.clone()] } else { Vec::new() };
        expected.sort();
        assert_eq!(revoked, expected, "{how}: an event for each key");
    }
}

#[tokio::test]
async fn only_admins_see_and_revoke_keys_that_a_member_registered() {
    let (test, ada, max, ws) = acme().await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    let key = register(&test, &ws, &bot, &max.key).await;
    test.patch(&member(&ws, &max), &json!({"role": "member"})).by(&ada.key).send().await.expect(200);
    let of_ada = format!("{}/removal", member(&ws, &ada));
    test.get(&of_ada).by(&max.key).send().await.expect_problem(403, "forbidden");
    // Before leaving, a member sees the projects without another admin, and cannot revoke keys.
    let own = test.get(&format!("{}/removal", member(&ws, &max))).by(&max.key).send().await.expect(200);
    assert_eq!(own, json!({"invitations": [], "keys": [], "projects": []}));
    let path = format!("{}?revoke_keys=true", member(&ws, &max));
    test.delete(&path).by(&max.key).send().await.expect_problem(403, "forbidden");
    test.get("/api/v1/me").by(&key).send().await.expect(200);
    let conflicting = json!({"role": "admin", "revoke_keys": true});
    let refused = test.patch(&member(&ws, &max), &conflicting).by(&ada.key).send().await;
    assert_eq!(refused.expect_problem(400, "invalid_request")["errors"][0]["field"], "revoke_keys");
}

#[tokio::test]
async fn disabling_a_user_shows_counts_and_can_revoke_their_keys_everywhere() {
    let (test, ada, max, ws) = acme().await;
    let olga = test.user("olga", true).await;
    let eve = test.user("eve", false).await;
    let other = test.workspace("other", &eve).await;
    test.join(&other, &eve, &max, "admin").await;
    test.delete(&member(&other, &eve)).by(&max.key).send().await.expect(204);
    let mut keys = Vec::new();
    for (workspace, admin) in [(&ws, &ada), (&other, &max)] {
        let bot = test.service_account(workspace, admin, "bot").await;
        keys.push(register(&test, workspace, &bot, &max.key).await);
        test.invite(workspace, &max, "ned@example.com", "member").await;
    }
    let path = format!("/api/v1/admin/users/{}", max.id);
    let told = test.get(&format!("{path}/removal")).by(&olga.key).send().await.expect(200);
    assert_eq!((&told["invitations"], &told["keys"]), (&json!(2), &json!(2)));
    let left = |slug: &str| {
        let mut workspaces = told["workspaces"].as_array().unwrap().iter();
        workspaces.find(|workspace| workspace["slug"] == slug).expect("a workspace")["is_last_admin"].clone()
    };
    assert_eq!((left("acme"), left("other")), (json!(false), json!(true)));

    // Disabling is always possible, and it is in the log of each workspace.
    let body = json!({"disabled": true, "revoke_keys": true});
    test.patch(&path, &body).by(&olga.key).send().await.expect(200);
    for key in &keys {
        test.get("/api/v1/me").by(key).send().await.expect_problem(401, "unauthenticated");
    }
    assert_eq!(targets(&test, &ws, &ada.key, "member.disable").await, [max.id.as_str()]);
    assert_eq!(targets(&test, &ws, &ada.key, "api_key.revoke").await, [keys[0].id.as_str()]);
    test.patch(&path, &json!({"disabled": false})).by(&olga.key).send().await.expect(200);
    assert_eq!(targets(&test, &ws, &ada.key, "member.enable").await, [max.id.as_str()]);
    assert_eq!(targets(&test, &other, &max.key, "member.disable").await, [max.id.as_str()]);
    let nothing = json!({"operator": false, "revoke_keys": true});
    test.patch(&path, &nothing).by(&olga.key).send().await.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn pages_preview_what_a_removal_or_demotion_ends() {
    for how in ["remove", "role"] {
        let test = TestApp::new().await;
        let mut ada = Browser::admin_of(&test, "acme", "ada").await;
        ada.open("/w/acme/invitations").await;
        ada.submit("/w/acme/invitations", &[("emails", "max@example.com"), ("role", "admin")]).await;
        let link = ada.link("http://127.0.0.1:8080/invitations/").replace("http://127.0.0.1:8080", "");
        let mut max = Browser::new(&test);
        max.open(&link).await.submit(&link, &[("name", "Max"), ("password", PASSWORD)]).await;
        max.open("/w/acme/invitations").await;
        max.submit("/w/acme/invitations", &[("emails", "ned@example.com"), ("role", "admin")]).await;
        max.open("/w/acme/service-accounts/new").await;
        max.submit("/w/acme/service-accounts", &[("name", "bot"), ("description", "")]).await;
        let account = max.path.split('?').next().unwrap().to_owned();
        let key = test.new_key();
        let fields = [("title", "of max"), ("public_key", key.openssh.as_str())];
        max.submit(&format!("{account}/keys"), &fields).await.sees("of max</a> was added.");

        let id = test.app.find_user_by_email(&server::app::Caller::host(), "max@example.com").await.unwrap().id;
        let form = format!("/w/acme/members/{id}/{how}");
        if how == "remove" {
            ada.open(&form).await;
        } else {
            ada.open("/w/acme/members").await.submit(&form, &[("role", "member")]).await;
        }
        ada.sees("The open invitations that they sent are revoked: ned@example.com.");
        ada.sees("Keys that Max registered for service accounts").sees(&short(&key.fingerprint));
        ada.sees("of max of bot@acme.").sees("), never used").sees("Also revoke these keys").sees_not(&key.fingerprint);
        if how == "remove" {
            ada.sees("Their roles in the projects of The acme are removed.");
        }
        test.get("/api/v1/me").by(&key).send().await.expect(200);
        // The fields that the page sends.
        let fields: &[(&str, &str)] = if how == "remove" {
            &[("revoke_keys", "1")]
        } else {
            &[("role", "member"), ("confirmed", "1"), ("revoke_keys", "1")]
        };
        ada.submit(&form, fields).await;
        test.get("/api/v1/me").by(&key).send().await.expect_problem(401, "unauthenticated");
        ada.open("/w/acme/invitations").await.sees("state revoked\">Revoked");
    }
}

#[tokio::test]
async fn pages_preview_the_effects_of_disabling_a_user_and_list_workspaces_without_an_admin() {
    let test = TestApp::new().await;
    let mut olga = Browser::signed_in(&test, "olga", true).await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/invitations").await;
    ada.submit("/w/acme/invitations", &[("emails", "ned@example.com"), ("role", "member")]).await;
    let id = test.app.find_user_by_email(&server::app::Caller::host(), "ada@example.com").await.unwrap().id;
    olga.open("/operator/system").await.sees_not("no enabled admin");
    let page = format!("/operator/users/{id}/disable");
    olga.open("/operator/users").await.sees(&page);
    olga.open(&page).await.sees("This revokes 1 open invitation, which they sent.").sees(
        "The acme will have no \
                                                                                          enabled admin.",
    );
    olga.submit(&page, &[]).await.sees("disabled");
    olga.open("/operator/system").await.sees("1 workspace has no enabled admin.");
    olga.open("/operator/workspaces").await.sees("This workspace has no enabled admin");
}

#[tokio::test]
async fn the_last_enabled_admin_cannot_be_removed() {
    let (test, ada, max, ws) = acme().await;
    let olga = test.user("olga", true).await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    let account = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
    test.patch(&account, &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
    let disable = async |disabled: bool| {
        let path = format!("/api/v1/admin/users/{}", max.id);
        test.patch(&path, &json!({"disabled": disabled})).by(&olga.key).send().await.expect(200);
    };
    disable(true).await;
    for by in [&ada, &bot] {
        test.delete(&member(&ws, &ada)).by(&by.key).send().await.expect_problem(409, "last_admin");
        let demoted = test.patch(&member(&ws, &ada), &json!({"role": "member"})).by(&by.key).send().await;
        demoted.expect_problem(409, "last_admin");
    }
    disable(false).await;
    test.delete(&member(&ws, &ada)).by(&ada.key).send().await.expect(204);
    // A disabled admin may be removed.
    disable(true).await;
    test.delete(&member(&ws, &max)).by(&bot.key).send().await.expect(204);
}

#[tokio::test]
async fn a_project_whose_other_admins_are_disabled_requires_an_enabled_successor() {
    let (test, ada, max, ws) = acme().await;
    let olga = test.user("olga", true).await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let led = test.post(&projects, &json!({"title": "Led"})).by(&ada.key).send().await.expect(201);
    let members = format!("{projects}/{}/members", led["id"].as_str().unwrap());
    test.put(&format!("{members}/{}", max.id), &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
    let zoe = test.member(&ws, &ada, "zoe", "admin").await;
    let path = format!("/api/v1/admin/users/{}", max.id);
    test.patch(&path, &json!({"disabled": true})).by(&olga.key).send().await.expect(200);
    for leave in [member(&ws, &ada), format!("{members}/{}", ada.id)] {
        test.delete(&leave).by(&ada.key).send().await.expect_problem(409, "successor_required");
        let to_max = format!("{leave}?successor={}", max.id);
        test.delete(&to_max).by(&ada.key).send().await.expect_problem(400, "invalid_request");
    }
    let to_zoe = format!("{}?successor={}", member(&ws, &ada), zoe.id);
    test.delete(&to_zoe).by(&ada.key).send().await.expect(204);
}

#[tokio::test]
async fn no_credential_or_invitation_of_a_removed_user_works() {
    for how in ["removed", "disabled", "workspace deleted"] {
        let test = TestApp::new().await;
        let olga = test.user("olga", true).await;
        let ada = test.user("ada", false).await;
        let ws = test.workspace("acme", &ada).await;
        let token = test.invite(&ws, &ada, "max@example.com", "admin").await;
        let mut browser = Browser::new(&test);
        let link = format!("/invitations/{token}");
        browser.open(&link).await.submit(&link, &[("name", "Max"), ("password", PASSWORD)]).await;
        let host = server::app::Caller::host();
        let id = test.app.find_user_by_email(&host, "max@example.com").await.unwrap().id;
        let key = test.add_key(server::app::KeyOwner::User(id), "laptop").await;
        let max = Actor { key: key.clone(), id: id.to_string(), email: "max@example.com".to_owned() };
        let bearer = test.bearer_token(&key).await;
        let back_door = test.invite(&ws, &max, "ned@example.com", "admin").await;
        let session = browser.cookies.clone();
        browser.open("/w/acme/members").await;
        assert_eq!(browser.path, "/w/acme/members");

        match how {
            "removed" => test.delete(&member(&ws, &max)).by(&ada.key).send().await.expect(204),
            "disabled" => {
                let path = format!("/api/v1/admin/users/{id}");
                test.patch(&path, &json!({"disabled": true})).by(&olga.key).send().await.expect(200)
            }
            _ => test.delete(&format!("/api/v1/workspaces/{ws}")).by(&ada.key).send().await.expect(204),
        };
        let me = "/api/v1/me";
        for request in [test.get(me).by(&key), test.get(me).by_encord(&key), test.get(me).bearer(&bearer)] {
            assert_eq!(request.send().await.status, 401, "{how}");
        }
        let exchanged = test.get("/v2/public/user/bearer-token").by(&key).send().await;
        assert_eq!(exchanged.status, 401, "{how}: no fresh token either");
        let mut again = Browser::new(&test);
        again.cookies = session;
        assert_eq!(again.request("GET", me).send().await.status, 401, "{how}");
        again.open("/w/acme/members").await;
        assert!(again.path.starts_with("/sign-in"), "{how}: {}", again.path);
        accept(&test, &back_door).await.expect_problem(409, "invitation_closed");
        accept(&test, &token).await.expect_problem(409, "invitation_closed");
    }
}

#[tokio::test]
async fn no_credential_or_invitation_of_a_deleted_service_account_works() {
    let (test, ada, _, ws) = acme().await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    let path = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
    test.patch(&path, &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
    let bearer = test.bearer_token(&bot.key).await;
    let back_door = test.invite(&ws, &bot, "ned@example.com", "member").await;
    test.delete(&path).by(&ada.key).send().await.expect(204);
    let me = "/api/v1/me";
    for request in [test.get(me).by(&bot.key), test.get(me).by_encord(&bot.key), test.get(me).bearer(&bearer)] {
        assert_eq!(request.send().await.status, 401);
    }
    accept(&test, &back_door).await.expect_problem(409, "invitation_closed");
}

/// Signs a person in.
async fn browser<'a>(test: &'a TestApp, person: &Actor, name: &str) -> Browser<'a> {
    let id = person.id.parse().unwrap();
    test.app.set_password(&server::app::Caller::host(), id, PASSWORD.to_owned()).await.unwrap();
    let mut browser = Browser::new(test);
    browser.sign_in(name).await;
    browser
}

#[tokio::test]
async fn several_members_are_removed_together_after_one_page_that_names_each() {
    let (test, ada, max, ws) = acme().await;
    test.raise_quotas(&ws, 9).await;
    let (ned, zoe) = (test.member(&ws, &ada, "ned", "member").await, test.member(&ws, &ada, "zoe", "member").await);
    let bot = test.service_account(&ws, &ada, "bot").await;
    let of_max = register(&test, &ws, &bot, &max.key).await;
    test.invite(&ws, &max, "eve@example.com", "member").await;
    // Each is an admin of the project, so that only both together leave it without one.
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let body = json!({"title": "Maps", "description": ""});
    let project = test.post(&projects, &body).by(&max.key).send().await.expect(201);
    let project = format!("{projects}/{}", project["id"].as_str().unwrap());
    let grant = async |who: &Actor| {
        let path = format!("{project}/members/{}", who.id);
        test.put(&path, &json!({"role": "admin"})).by(&max.key).send().await.expect(200);
    };
    grant(&ned).await;

    let mut page = browser(&test, &ada, "ada").await;
    page.open("/w/acme/members").await.sees("With the selected members").sees("aria-label=\"Select max\"");
    page.sees_not("aria-label=\"Select ada\"");
    let path = "/w/acme/members/remove";
    page.submit(path, &[]).await.sees("No member was selected.");
    let chosen = [("member", max.id.as_str()), ("member", ned.id.as_str())];
    page.submit(path, &chosen).await.sees("Remove 2 members from The acme?").sees("max (max@example.com), 1 API key (");
    page.sees("eve@example.com")
        .sees("ned (ned@example.com), 1 API key (")
        .sees("These projects have no other admin: Maps");
    page.sees(&short(&of_max.fingerprint)).sees("Also revoke these keys").sees("zoe (zoe@example.com)");
    for leaving in [&max, &ned] {
        page.sees_not(&format!("<option value=\"{}\">", leaving.id));
    }
    // Nothing is removed without a successor, and a person who leaves is none.
    let with = |successor: &'static str, id: &str| -> Vec<(&'static str, String)> {
        let fields = [("member", max.id.clone()), ("member", ned.id.clone()), ("confirmed", "1".to_owned())];
        fields.into_iter().chain([(successor, id.to_owned()), ("revoke_keys", "1".to_owned())]).collect()
    };
    for (fields, told) in
        [(with("nobody", ""), "Choose a"), (with("successor", &ned.id), "Name another enabled user or service account")]
    {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        page.submit(path, &fields).await;
        assert!(page.status == 409 || page.status == 400, "{told}: {}", page.status);
        assert!(targets(&test, &ws, &ada.key, "member.remove").await.is_empty());
    }
    let fields = with("successor", &zoe.id);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    page.submit(path, &fields).await.sees(" were removed from The acme. Their keys no longer reach it.");
    let mut removed = targets(&test, &ws, &ada.key, "member.remove").await;
    removed.sort();
    let mut expected = [max.id.clone(), ned.id.clone()];
    expected.sort();
    assert_eq!(removed, expected, "an event for each");
    let events = format!("/api/v1/workspaces/{ws}/audit-events?action=member.remove&target={}", max.id);
    let event = test.get(&events).by(&ada.key).send().await.expect(200)["items"][0]["detail"].clone();
    let counts = ["own_keys", "registered_keys", "registered_keys_revoked"].map(|name| event[name].clone());
    assert_eq!(counts, [json!("1"), json!("1"), json!("true")], "{event}");
    test.get("/api/v1/me").by(&of_max).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(state_of(&test, &ws, &ada.key, "eve@example.com").await, "revoked");
    test.get(&project).by(&zoe.key).send().await.expect(200);
    // A person who is no member is not found, and nobody else is removed.
    page.submit(path, &[("member", &zoe.id), ("member", &max.id), ("confirmed", "1")]).await;
    assert_eq!(page.status, 404);
    assert_eq!(targets(&test, &ws, &ada.key, "member.remove").await.len(), 2);
}

#[tokio::test]
async fn several_members_are_not_removed_if_no_admin_or_the_caller_would_be_among_them() {
    let (test, ada, max, ws) = acme().await;
    let bot = test.service_account(&ws, &ada, "bot").await;
    let account = format!("/api/v1/workspaces/{ws}/service-accounts/{}", bot.id);
    test.patch(&account, &json!({"role": "admin"})).by(&ada.key).send().await.expect(200);
    let mut page = browser(&test, &ada, "ada").await;
    page.open("/w/acme/members").await;
    let both = [("member", ada.id.as_str()), ("member", max.id.as_str()), ("confirmed", "1")];
    page.submit("/w/acme/members/remove", &both).await;
    assert_eq!(page.status, 400);
    // A command on the host may remove all users but the last admins. The service account is no person.
    let caller = server::app::Caller::host();
    let users = [ada.id.parse().unwrap(), max.id.parse().unwrap()];
    let id = ws.parse().unwrap();
    let preview = test.app.preview_removals(&caller, id, &users.into()).await.unwrap();
    assert!(preview.leaves_no_admin);
    let refused = test.app.delete_members(&caller, id, users.into(), None, false).await.unwrap_err();
    assert_eq!(refused.error.to_problem().code, "last_admin");
    // One of the two may go.
    let one = [max.id.parse().unwrap()];
    assert!(!test.app.preview_removals(&caller, id, &one.into()).await.unwrap().leaves_no_admin);
}
