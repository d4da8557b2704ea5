//! The audit log: every change with its principal, key and IP address, and refusals with their reason, with a limit.

use std::{collections::BTreeSet, slice, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};
use server::app::{AuditFilter, Caller, KeyOwner, Paging};

use crate::support::{Actor, Key, TestApp};

struct Acme {
    test: TestApp,
    ada: Actor,
    ws: String,
    at: String,
}

async fn acme() -> Acme {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let at = format!("/api/v1/workspaces/{ws}");
    Acme { test, ada, ws, at }
}

impl Acme {
    /// Returns events, the latest first.
    async fn events(&self, filter: &str) -> Vec<Value> {
        let path = format!("{}/audit-events?limit=200&{filter}", self.at);
        let page = self.test.get(&path).by(&self.ada.key).send().await.expect(200);
        page["items"].as_array().unwrap().clone()
    }

    /// Sends a request, and checks that it created exactly these events, by Ada, with her key, from her address.
    async fn does(&self, method: &str, path: &str, body: Value, status: u16, actions: &[&str]) -> Value {
        let before = self.events("").await.len();
        let mut request = self.test.request(method, &format!("{}{path}", self.at), &body).by(&self.ada.key);
        request.address = "192.0.2.7".parse().unwrap();
        let answer = request.send().await.expect(status);
        let events = self.events("").await;
        let new = &events[..events.len() - before];
        let told: Vec<&str> = new.iter().rev().map(|event| event["action"].as_str().unwrap()).collect();
        assert_eq!(told, actions, "{method} {path}");
        for event in new {
            assert_eq!(event["principal"], self.ada.id.as_str());
            assert_eq!(event["key"], self.ada.key.id.as_str());
            assert_eq!(event["address"], "192.0.2.7");
            assert!(!event["target"].as_str().unwrap().is_empty());
        }
        answer
    }
}

fn id(thing: &Value) -> &str {
    thing["id"].as_str().unwrap()
}

#[tokio::test]
async fn every_change_has_an_event_and_a_refused_change_has_none() {
    let acme = acme().await;
    let Acme { test, ada, ws, .. } = &acme;
    let max = test.member(ws, ada, "max", "member").await;
    acme.does("PATCH", "", json!({"name": "Renamed"}), 200, &["workspace.update"]).await;
    let member = format!("/members/{}", max.id);
    acme.does("PATCH", &member, json!({"role": "admin"}), 200, &["member.update"]).await;

    let body = json!({"emails": ["ned@example.com", "zoe@example.com"], "role": "member"});
    let invited = acme.does("POST", "/invitations", body, 201, &["invitation.create"; 2]).await;
    let invitation = format!("/invitations/{}", id(&invited["items"][0]));
    acme.does("POST", &format!("{invitation}/resend"), Value::Null, 200, &["invitation.resend"]).await;
    acme.does("DELETE", &invitation, Value::Null, 204, &["invitation.revoke"]).await;

    let made = acme.does("POST", "/service-accounts", json!({"name": "bot"}), 201, &["service_account.create"]).await;
    let account = format!("/service-accounts/{}", id(&made));
    acme.does("PATCH", &account, json!({"role": "admin"}), 200, &["service_account.update"]).await;
    let keys = format!("{account}/keys");
    let body = json!({"title": "k", "public_key": test.new_key().openssh});
    let key = acme.does("POST", &keys, body.clone(), 201, &["api_key.create"]).await;
    acme.does("POST", &keys, body, 409, &[]).await;
    let key = format!("{keys}/{}", id(&key));
    acme.does("PATCH", &key, json!({"title": "l"}), 200, &["api_key.update"]).await;
    acme.does("POST", &format!("{key}/disable"), Value::Null, 200, &["api_key.disable"]).await;
    acme.does("POST", &format!("{key}/enable"), Value::Null, 200, &["api_key.enable"]).await;
    acme.does("DELETE", &key, Value::Null, 204, &["api_key.revoke"]).await;
    acme.does("DELETE", &key, Value::Null, 204, &[]).await;
    acme.does("DELETE", &account, Value::Null, 204, &["service_account.delete"]).await;

    let project = acme.does("POST", "/projects", json!({"title": "P"}), 201, &["project.create"]).await;
    let project = format!("/projects/{}", id(&project));
    acme.does("PATCH", &project, json!({"title": "Q"}), 200, &["project.update"]).await;
    let path = format!("{project}/members/{}", max.id);
    acme.does("PUT", &path, json!({"role": "viewer"}), 200, &["project.member.set"]).await;
    acme.does("DELETE", &path, Value::Null, 204, &["project.member.remove"]).await;
    acme.does("DELETE", &project, Value::Null, 204, &["project.delete"]).await;
    // A deleted project is named in all its events.
    for event in &acme.events("").await[..3] {
        assert_eq!(event["detail"]["title"], "Q", "{event}");
    }
    acme.does("DELETE", &member, Value::Null, 204, &["member.remove"]).await;
    acme.does("DELETE", &format!("/members/{}", ada.id), Value::Null, 409, &[]).await;
}

/// Sends an update that changes every field. Checks that each new value is in the response, in the object read
/// afterwards, and in the event with the previous value.
async fn assert_told(test: &TestApp, by: &Key, path: &str, update: &impl serde::Serialize, action: &str) {
    let update = serde_json::to_value(update).unwrap();
    let get = async || test.get(path).by(by).send().await;
    let before = get().await;
    let updated = test.patch(path, &update).by(by).send().await.expect(200);
    let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    let events = test.app.list_all_audit_events(&Caller::host(), &filter, &Paging::default()).await.unwrap();
    let detail = &events.items[0].detail;
    for (name, value) in update.as_object().unwrap() {
        assert_eq!(&updated[name], value, "{action}: {name} in the answer");
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(detail.get(name), Some(&shown), "{action}: {name} in {detail:?}");
        let previous = detail.get(&format!("{name}_before"));
        assert!(previous.is_some_and(|previous| *previous != shown), "{action}: {name} before in {detail:?}");
    }
    // There is no route for a single member or user.
    if before.status == StatusCode::OK {
        let read = get().await.expect(200);
        for (name, value) in update.as_object().unwrap() {
            assert_eq!(&read[name], value, "{action}: {name} read back");
        }
    }
}

#[tokio::test]
async fn every_field_of_an_update_is_in_its_event_with_the_value_before() {
    let Acme { test, ada, ws, at } = &acme().await;
    let operator = test.user("olga", true).await;
    let max = test.member(ws, ada, "max", "member").await;
    let bot = test.service_account(ws, ada, "bot").await;

    let update = api::UpdateServiceAccount {
        display_name: Some("Builder of images".to_owned()),
        name: Some("builder".to_owned()),
        description: Some("Builds and deploys".to_owned()),
        role: Some(domain::role::Role::Admin),
        disabled: Some(true),
    };
    let account = format!("{at}/service-accounts/{}", bot.id);
    assert_told(test, &ada.key, &account, &update, "service_account.update").await;

    let end = domain::Clock::now(test.clock.as_ref()) + Duration::from_hours(24);
    // `api::key_limits` has the events about limits, whose form is not that of the request.
    let update = api::UpdateApiKey { title: Some("runner".to_owned()), expires_at: Some(Some(end)), limits: None };
    assert_told(test, &ada.key, &format!("{account}/keys/{}", bot.key.id), &update, "api_key.update").await;

    let made = test.post(&format!("{at}/projects"), &json!({"title": "P"})).by(&ada.key).send().await.expect(201);
    let update = api::UpdateProject { title: Some("Q".to_owned()), description: Some("Cameras".to_owned()) };
    assert_told(test, &ada.key, &format!("{at}/projects/{}", id(&made)), &update, "project.update").await;

    let update = api::UpdateWorkspace { name: Some("Acme Robotics".to_owned()) };
    assert_told(test, &ada.key, at, &update, "workspace.update").await;

    let update =
        api::UpdateQuotas { service_accounts: Some(31), keys_per_service_account: Some(32), keys_per_user: Some(33) };
    let quotas = format!("/api/v1/admin/workspaces/{ws}/quotas");
    assert_told(test, &operator.key, &quotas, &update, "quota.update").await;

    let update = api::UpdateMember { role: domain::role::Role::Admin, revoke_keys: false };
    assert_told(test, &ada.key, &format!("{at}/members/{}", max.id), &update, "member.update").await;

    let update = api::UpdateUser {
        name: Some("Maximilian".to_owned()),
        operator: Some(true),
        disabled: Some(true),
        revoke_keys: false,
    };
    assert_told(test, &operator.key, &format!("/api/v1/admin/users/{}", max.id), &update, "user.update").await;
}

#[tokio::test]
async fn events_name_the_key_behind_a_bearer_token() {
    let acme = acme().await;
    let token = acme.test.bearer_token(&acme.ada.key).await;
    let path = format!("{}/projects", acme.at);
    acme.test.post(&path, &json!({"title": "P"})).bearer(&token).send().await.expect(201);
    let event = &acme.events("action=project.create").await[0];
    assert_eq!((&event["principal"], &event["key"]), (&json!(acme.ada.id), &json!(acme.ada.key.id)));
}

#[tokio::test]
async fn events_are_filtered_by_principal_key_action_and_time() {
    let acme = acme().await;
    let Acme { test, ada, ws, at } = &acme;
    let max = test.member(ws, ada, "max", "member").await;
    let projects = format!("{at}/projects");
    let create = async |by: &Key| test.post(&projects, &json!({"title": "P"})).by(by).send().await.expect(201);
    create(&max.key).await;
    test.advance(Duration::from_hours(1)).await;
    let between = domain::Clock::now(test.clock.as_ref());
    create(&ada.key).await;
    let who = async |filter: String| -> Vec<String> {
        let events = acme.events(&filter).await;
        events.iter().map(|event| event["principal"].as_str().unwrap().to_owned()).collect()
    };
    let action = "action=project.create";
    assert_eq!(who(action.to_owned()).await, [ada.id.clone(), max.id.clone()], "the latest first");
    assert_eq!(who(format!("{action}&principal={}", max.id)).await, *slice::from_ref(&max.id));
    assert_eq!(who(format!("{action}&key={}", ada.key.id)).await, *slice::from_ref(&ada.id));
    // The filter also takes email addresses. An unknown one matches nothing.
    assert_eq!(who(format!("{action}&principal=Max@example.com")).await, *slice::from_ref(&max.id));
    assert!(who(format!("{action}&principal=nobody@example.com")).await.is_empty());
    let me = test.get("/api/v1/me").by(&ada.key).send().await.expect(200);
    let fingerprint = me["key"]["fingerprint"].as_str().unwrap().replace('+', "%2B");
    assert_eq!(who(format!("{action}&key={fingerprint}")).await, *slice::from_ref(&ada.id));
    assert!(who(format!("{action}&key=SHA256:{}", "A".repeat(43))).await.is_empty());
    assert_eq!(who(format!("{action}&from={between}")).await, *slice::from_ref(&ada.id));
    assert_eq!(who(format!("{action}&to={between}")).await, *slice::from_ref(&max.id));
    assert!(who("principal=host".to_owned()).await.iter().all(|who| who == "host"));
    let about: Vec<Value> = acme.events(&format!("target={ws}")).await;
    assert_eq!(about.iter().map(|event| event["action"].as_str().unwrap()).collect::<Vec<_>>(), ["workspace.create"]);
    assert!(acme.events("target=usr_nobody").await.is_empty());
    for bad in [
        "principal=max",
        "principal=max@",
        "principal=nobody@example.com&after=evt",
        "key=usr_x",
        "key=SHA256:x",
        "from=yesterday",
        "colour=red",
        "after=evt",
    ] {
        let path = format!("{at}/audit-events?{bad}");
        test.get(&path).by(&ada.key).send().await.expect_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_workspace_sees_only_its_own_events() {
    let acme = acme().await;
    let eve = acme.test.user("eve", false).await;
    let other = acme.test.workspace("other", &eve).await;
    acme.test.post(&format!("{}/projects", acme.at), &json!({"title": "P"})).by(&acme.ada.key).send().await.expect(201);
    let path = format!("/api/v1/workspaces/{other}/audit-events?principal={}", acme.ada.id);
    let page = acme.test.get(&path).by(&eve.key).send().await.expect(200);
    assert_eq!(page["items"], json!([]));
}

#[tokio::test]
async fn refusals_are_recorded_with_their_reason_and_repeats_are_counted() {
    let acme = acme().await;
    let bot = acme.test.service_account(&acme.ws, &acme.ada, "bot").await;
    let path = format!("/service-accounts/{}", bot.id);
    acme.test
        .patch(&format!("{}{path}", acme.at), &json!({"disabled": true}))
        .by(&acme.ada.key)
        .send()
        .await
        .expect(200);
    let refuse = async |times: usize| {
        for _ in 0..times {
            acme.test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");
        }
        acme.test.app.write_records().await.unwrap();
    };
    refuse(1).await;
    refuse(40).await;
    let told = acme.events("action=request.refuse").await;
    assert!(told.len() <= 2, "{told:?}");
    acme.test.advance(Duration::from_mins(1)).await;
    acme.test.app.write_records().await.unwrap();
    let told = acme.events("action=request.refuse").await;
    let counts: Vec<u32> =
        told.iter().map(|event| event["detail"]["count"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u32>(), 41);
    assert!(told.len() <= 3, "{told:?}");
    for event in &told {
        assert_eq!(event["detail"]["code"], "owner_disabled");
        assert_eq!((&event["key"], &event["target"]), (&json!(bot.key.id), &json!(bot.id)));
        assert_eq!((&event["principal"], &event["address"]), (&json!("anonymous"), &json!("127.0.0.1")));
    }
    let filtered: BTreeSet<String> =
        acme.events(&format!("key={}", bot.key.id)).await.iter().map(|event| id(event).to_owned()).collect();
    assert_eq!(filtered.len(), told.len());
}

#[tokio::test]
async fn a_refusal_is_written_once_when_two_writers_flush_at_the_same_time() {
    let test = TestApp::new().await;
    let ann = test.user("ann", true).await;
    let mut altered = test.get("/api/v1/me").by(&ann.key);
    altered.target = "/api/v1/workspaces".to_owned();
    assert_eq!(altered.send().await.status, StatusCode::UNAUTHORIZED);

    let (first, second) = tokio::join!(test.app.write_records(), test.app.write_records());
    first.and(second).expect("both succeed");
    let filter = AuditFilter { action: Some("request.refuse".to_owned()), ..Default::default() };
    let events = test.app.list_all_audit_events(&Caller::host(), &filter, &Paging::default()).await.expect("events");
    assert_eq!(events.items.len(), 1, "{events:?}");
    assert_eq!(events.items[0].detail["code"], "bad_signature");
}

/// Returns all refusals in the log: the number of rows, and the number of refusals in them.
async fn refusal_rows(test: &TestApp) -> (Vec<api::AuditEvent>, u64) {
    let filter = AuditFilter { action: Some("request.refuse".to_owned()), ..Default::default() };
    let (mut rows, mut paging) = (Vec::new(), Paging { after: None, limit: Some(200) });
    loop {
        let page = test.app.list_all_audit_events(&Caller::host(), &filter, &paging).await.expect("events");
        rows.extend(page.items);
        match page.next {
            Some(next) => paging.after = Some(next),
            None => break,
        }
    }
    let count = rows.iter().map(|event| event.detail["count"].parse::<u64>().expect("a number")).sum();
    (rows, count)
}

#[tokio::test]
async fn refusals_from_one_ipv6_network_are_one_row_a_minute() {
    let test = TestApp::new().await;
    let ann = test.user("ann", true).await;
    for minute in 0..3_u64 {
        for host in 0..64_u128 {
            let mut altered = test.get("/api/v1/me").by(&ann.key);
            altered.target = "/api/v1/workspaces".to_owned();
            altered.address = std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | host).into();
            assert_eq!(altered.send().await.status, StatusCode::UNAUTHORIZED);
        }
        test.app.write_records().await.expect("the store answers");
        test.advance(Duration::from_mins(1)).await;
        let (rows, count) = refusal_rows(&test).await;
        assert_eq!((rows.len() as u64, count), (minute + 1, 64 * (minute + 1)), "{rows:?}");
    }
    let (rows, _) = refusal_rows(&test).await;
    assert_eq!(rows[0].detail["addresses"], "several of 2001:db8::/64");
}

#[tokio::test]
async fn refusals_from_many_addresses_are_all_counted_in_a_bounded_number_of_rows() {
    let test = TestApp::new().await;
    let refused = test.get("/api/v1/me").header("authorization", "Bearer kwt_nobody");
    for round in 0..3_u32 {
        for address in 0..200_u32 {
            let mut request = refused.clone();
            request.address = std::net::Ipv4Addr::from(0x0a00_0000 + (round << 16 | address)).into();
            assert_eq!(request.send().await.status, StatusCode::UNAUTHORIZED);
        }
        test.app.write_records().await.expect("the store answers");
        test.advance(Duration::from_mins(1)).await;
    }
    let (rows, _) = refusal_rows(&test).await;
    assert!(rows.len() <= 241, "{} rows within an hour", rows.len());
    let test = test.restart().await;
    let (rows, count) = refusal_rows(&test).await;
    assert_eq!(count, 600, "what was not written yet is written when the server stops");
    assert!(rows.len() <= 242, "{} rows", rows.len());
    let merged = rows.iter().find(|event| event.detail["code"] == "several").expect("a row that counts several");
    assert!(merged.detail["codes"].starts_with("unknown_token "), "{merged:?}");
}

#[tokio::test]
async fn a_checkpoint_verifies_and_other_text_is_refused() {
    let test = TestApp::new().await;
    test.user("ann", true).await;
    let host = Caller::host();
    let note = test.app.sign_checkpoint(&host).await.expect("a note");
    test.user("ben", false).await;
    assert!(test.app.verify_audit_log(&host, Some(&note), None).await.expect("a report").is_intact());

    for bad in [note.trim_end(), ""] {
        let refused = test.app.verify_audit_log(&host, Some(bad), None).await.expect_err("no note").to_problem();
        assert_eq!((refused.status, refused.errors[0].field.as_str()), (400, "checkpoint"));
    }
}

/// Returns the refusals that a workspace may read, the latest first, as its admin sees them.
async fn refusals(test: &TestApp, ws: &str, admin: &Actor) -> Vec<Value> {
    test.app.write_records().await.unwrap();
    let path = format!("/api/v1/workspaces/{ws}/audit-events?action=request.refuse&limit=200");
    test.get(&path).by(&admin.key).send().await.expect(200)["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn use_of_a_revoked_key_is_recorded_with_its_owner_and_whether_it_verified() {
    let Acme { test, ada, ws, at } = &acme().await;
    let bot = test.service_account(ws, ada, "bot").await;
    let token = test.bearer_token(&bot.key).await;
    let key = format!("{at}/service-accounts/{}/keys/{}", bot.id, bot.key.id);
    test.delete(&key).by(&ada.key).send().await.expect(204);
    let unknown = test.get("/api/v1/me").by(&test.new_key()).send().await;
    let forge = || {
        let mut request = test.get("/api/v1/me").by(&bot.key);
        request.target = "/api/v1/workspaces".to_owned();
        request
    };
    let mut by_id = bot.key.clone();
    by_id.fingerprint.clone_from(&bot.key.id);
    for (request, verified) in [
        (test.get("/api/v1/me").by(&bot.key), "true"),
        (test.get("/api/v1/me").by(&by_id), "true"),
        (test.get("/api/v1/me").by_encord(&bot.key), "true"),
        (test.get("/api/v1/me").bearer(&token), "true"),
        // Stale, but signed by the holder.
        (test.get("/api/v1/me").signed(&bot.key, http_signature::Profile::Native, -3600), "true"),
        (forge(), "false"),
    ] {
        let seen = refusals(test, ws, ada).await.len();
        let answer = request.send().await;
        assert_eq!((answer.status, &answer.bytes), (unknown.status, &unknown.bytes), "the same as for an unknown key");
        let told = refusals(test, ws, ada).await;
        assert_eq!(told.len(), seen + 1, "{told:?}");
        assert_eq!((&told[0]["key"], &told[0]["target"]), (&json!(bot.key.id), &json!(bot.id)));
        let detail = &told[0]["detail"];
        assert_eq!((&detail["code"], &detail["verified"]), (&json!("key_revoked"), &json!(verified)), "{detail}");
        assert_eq!(detail["fingerprint"], bot.key.fingerprint.as_str());
        assert_eq!(detail["first_at"], detail["last_at"], "one request: {detail}");
        assert!(detail["last_at"].as_str().unwrap() <= told[0]["at"].as_str().unwrap(), "{}", told[0]);
        // Each kind is written once a minute.
        test.advance(Duration::from_secs(61)).await;
    }
    // A restarted server knows revoked keys, too.
    let acme = acme().await;
    let bot = acme.test.service_account(&acme.ws, &acme.ada, "bot").await;
    let key = format!("{}/service-accounts/{}/keys/{}", acme.at, bot.id, bot.key.id);
    acme.test.delete(&key).by(&acme.ada.key).send().await.expect(204);
    let test = acme.test.restart().await;
    test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");
    let told = refusals(&test, &acme.ws, &acme.ada).await;
    assert_eq!((&told[0]["key"], &told[0]["detail"]["verified"]), (&json!(bot.key.id), &json!("true")), "{told:?}");
}

#[tokio::test]
async fn refusals_of_a_users_key_are_shown_in_every_workspace_of_the_user() {
    let Acme { test, ada, ws, .. } = &acme().await;
    let bob = test.member(ws, ada, "bob", "member").await;
    let zoe = test.user("zoe", false).await;
    let (beta, other) = (test.workspace("beta", &zoe).await, test.workspace("other", &zoe).await);
    test.join(&beta, &zoe, &bob, "member").await;
    let spare = test.add_unused_key(&bob).await;
    let keys = "/api/v1/me/keys";
    let seen = async || {
        let mut seen = Vec::new();
        for (ws, admin) in [(ws, ada), (&beta, &zoe), (&other, &zoe)] {
            let told = refusals(test, ws, admin).await;
            let of_bob = told.iter().filter(|event| event["target"] == bob.id.as_str());
            seen.push(of_bob.map(|event| event["detail"]["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        }
        seen
    };
    // A key that is only disabled, in both.
    test.post(&format!("{keys}/{}/disable", spare.id), &Value::Null).by(&bob.key).send().await.expect(200);
    test.get("/api/v1/me").by(&spare).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(seen().await, [vec!["key_disabled"], vec!["key_disabled"], vec![]]);

    test.delete(&format!("{keys}/{}", spare.id)).by(&bob.key).send().await.expect(204);
    test.delete(&format!("/api/v1/workspaces/{beta}/members/{}", bob.id)).by(&zoe.key).send().await.expect(204);
    test.get("/api/v1/me").by(&spare).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(seen().await, [vec!["key_revoked", "key_disabled"], vec!["key_revoked", "key_disabled"], vec![]]);
    // A user who was removed before a revocation has no events of it in that workspace.
    test.delete(&format!("{keys}/{}", bob.key.id)).by(&bob.key).send().await.expect(204);
    test.get("/api/v1/me").by(&bob.key).send().await.expect_problem(401, "unauthenticated");
    let told = seen().await;
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 0], "{told:?}");
}

#[tokio::test]
async fn each_revoked_key_has_its_own_event() {
    let Acme { test, ada, ws, at } = &acme().await;
    test.raise_quotas(ws, 9).await;
    let revoked = async || {
        let filter = AuditFilter { action: Some("api_key.revoke".to_owned()), ..AuditFilter::default() };
        let paging = Paging { after: None, limit: Some(200) };
        let page = test.app.list_all_audit_events(&Caller::host(), &filter, &paging).await.unwrap();
        let targets = page.items.into_iter().map(|event| {
            assert!(event.detail["fingerprint"].starts_with("SHA256:"), "{event:?}");
            (event.target.unwrap(), event.detail["owner"].clone())
        });
        targets.collect::<BTreeSet<_>>()
    };
    let account = async |name: &str| {
        let account = test.service_account(ws, ada, name).await;
        let owner = KeyOwner::ServiceAccount(ws.parse().unwrap(), account.id.parse().unwrap());
        let second = test.add_key(owner, "second").await;
        let keys = [(account.key.id.clone(), account.id.clone()), (second.id, account.id.clone())];
        (account, keys)
    };
    let mut expected = BTreeSet::new();
    for way in ["one by one", "with what it registered", "account deleted", "workspace deleted"] {
        let (bot, keys) = account(&format!("bot-{}", expected.len())).await;
        let path = format!("{at}/service-accounts/{}", bot.id);
        match way {
            "one by one" => {
                for (key, _) in &keys {
                    test.delete(&format!("{path}/keys/{key}")).by(&ada.key).send().await.expect(204);
                }
            }
            "with what it registered" => {
                let parent = test.add_key(KeyOwner::User(ada.id.parse().unwrap()), "parent").await;
                let body = json!({"title": "child", "public_key": test.new_key().openssh});
                let child = test.post(&format!("{path}/keys"), &body).by(&parent).send().await.expect(201);
                let parent = format!("/api/v1/me/keys/{}?cascade=true", parent.id);
                test.delete(&parent).by(&ada.key).send().await.expect(204);
                expected.insert((id(&child).to_owned(), bot.id.clone()));
                expected.insert((parent.split(['/', '?']).nth(5).unwrap().to_owned(), ada.id.clone()));
                test.delete(&path).by(&ada.key).send().await.expect(204);
            }
            "account deleted" => drop(test.delete(&path).by(&ada.key).send().await.expect(204)),
            _ => drop(test.delete(at).by(&ada.key).send().await.expect(204)),
        }
        expected.extend(keys);
        assert_eq!(revoked().await, expected, "{way}");
    }
}
