//! Backup and restore: users that were disabled or removed, and keys that were revoked, after the backup must have no
//! access.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api::UpdateUser;
use domain::Clock as _;
use serde_json::json;
use server::app::{AuditFilter, Caller, KeyOwner, KeysToConfirm, Paging, UsersToConfirm};

use crate::{
    proxies::forward_auth::{ask, trust_local_proxies},
    support::browser::{Browser, PASSWORD, create_user},
    support::{Actor, Answer, FakeClock, Home, Key, SeededRandom, TestApp},
};

#[tokio::test]
async fn a_restore_suspends_every_key_and_ends_tokens_and_invitations_until_an_operator_confirms() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let bot = test.service_account(&ws, &admin, "bot").await;
    let invitation = test.invite(&ws, &admin, "new@example.com", "member").await;
    let token = test.get("/v2/public/user/bearer-token").by(&bot.key).send().await.expect(200);
    let token = token["token"].as_str().unwrap().to_owned();
    let early = test.post(&format!("/api/v1/workspaces/{ws}/projects"), &json!({"title": "Early"})).by(&bot.key);
    let (target, headers, body) = (early.target.clone(), early.headers.clone(), early.body.clone());

    let backup = test.directory.back_up(&test.app).await;
    // Revoked after the backup, so the backup does not contain it.
    let revoke = format!("/api/v1/workspaces/{ws}/service-accounts/{}/keys/{}", bot.id, bot.key.id);
    test.delete(&revoke).by(&admin.key).send().await.expect(204);

    let test = test.restore_from(&backup).await;
    let refused = test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused["reason"], "key_suspended");
    let refused = test.get("/api/v1/me").by(&admin.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(refused["reason"], "key_suspended");
    test.get("/api/v1/me").bearer(&token).send().await.expect_problem(401, "unauthenticated");
    let accept = json!({"token": invitation, "name": "New", "password": "correct horse battery"});
    test.post("/api/v1/invitations/accept", &accept).send().await.expect_problem(409, "invitation_closed");

    // The operator views the suspended keys, and confirms only the admin's key.
    let waiting = test.app.list_suspended_keys(&Caller::host(), &Paging::default()).await.unwrap();
    let waiting: BTreeSet<String> = waiting.items.iter().map(|key| key.id.to_string()).collect();
    assert_eq!(waiting, BTreeSet::from([admin.key.id.clone(), bot.key.id.clone()]));
    test.advance(Duration::from_secs(5)).await;
    confirm_all_users(&test).await;
    let list = KeysToConfirm::These(vec![admin.key.id.parse().unwrap()]);
    assert_eq!(test.app.confirm_keys(&Caller::host(), &list).await.unwrap().len(), 1);
    test.get("/api/v1/me").by(&admin.key).send().await.expect(200);
    test.get("/api/v1/me").by(&bot.key).send().await.expect_problem(401, "unauthenticated");

    // Signatures from before the keys were confirmed stay invalid, because it is unknown whether those requests were
    // executed.
    test.app.confirm_keys(&Caller::host(), &KeysToConfirm::All).await.unwrap();
    let mut replay = test.request("POST", &target, &serde_json::Value::Null);
    (replay.headers, replay.body) = (headers, body);
    replay.send().await.expect_problem(401, "unauthenticated");
    test.get("/api/v1/me").by(&bot.key).send().await.expect(200);
    test.get("/api/v1/me").bearer(&token).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (clock, random) = (Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)));
    let test = TestApp::open(Home::embedded(), clock, random, |_| {}).await;
    let file = test.directory.path().join("backup.db");
    test.app.back_up(&Caller::host(), &file).await.expect("a backup");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    assert!(test.app.back_up(&Caller::host(), &file).await.is_err(), "an older backup must not be overwritten");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_restore_ends_every_session() {
    let test = TestApp::new().await;
    let browser = Browser::admin_of(&test, "globex", "eve").await;
    let cookies = browser.request("GET", "/").headers["cookie"].to_str().unwrap().to_owned();
    let backup = test.directory.back_up(&test.app).await;
    let signed_in = test.get("/").header("cookie", &cookies).send().await;
    assert!(!leads_to_sign_in(&signed_in), "the session must work before: {signed_in:?}");

    let test = test.restore_from(&backup).await;
    let answer = test.get("/").header("cookie", &cookies).send().await;
    assert!(leads_to_sign_in(&answer), "{answer:?}");
}

async fn confirm_all_users(test: &TestApp) {
    assert!(!test.app.confirm_users(&Caller::host(), &UsersToConfirm::All).await.unwrap().is_empty());
}

/// Signs in to the pages, and returns the status and the page.
async fn sign_in(test: &TestApp, name: &str, password: &str) -> (u16, String) {
    let mut browser = Browser::new(test);
    browser.submit("/sign-in", &[("email", &format!("{name}@example.com")), ("password", password)]).await;
    assert_eq!(browser.has_session(), browser.status < 400, "{}", browser.page);
    (browser.status, browser.page)
}

#[tokio::test]
async fn after_a_restore_no_user_signs_in_until_confirmed_on_the_host() {
    let test = TestApp::new().await;
    for (name, operator) in [("olga", true), ("ned", false), ("eve", false)] {
        create_user(&test, name, operator).await;
    }
    let host = Caller::host();
    let id_of = async |test: &TestApp, name: &str| {
        test.app.find_user_by_email(&host, &format!("{name}@example.com")).await.unwrap().id
    };
    let backup = test.directory.back_up(&test.app).await;
    // Disabled after the backup, so the backup does not contain it.
    let disable = UpdateUser { disabled: Some(true), ..UpdateUser::default() };
    test.app.update_user(&host, id_of(&test, "eve").await, disable.clone()).await.unwrap();

    let test = test.restore_from(&backup).await;
    for name in ["olga", "ned", "eve"] {
        let (status, page) = sign_in(&test, name, PASSWORD).await;
        assert!(status == 401 && page.contains("Your sign-in is suspended since"), "{name}: {status} {page}");
        // A caller without the password gets no information.
        let (status, page) = sign_in(&test, name, "correct horse battery").await;
        assert!(status == 401 && page.contains("The email address or password is wrong"), "{name}: {status} {page}");
    }
    // There is a suspended operator, so no other user becomes the first operator.
    assert_eq!(*test.app.create_set_up_link(&host).await.unwrap(), None);
    test.app.write_records().await.unwrap();
    let filter = AuditFilter { action: Some("request.refuse".to_owned()), ..AuditFilter::default() };
    let refused = test.app.list_all_audit_events(&host, &filter, &Paging::default()).await.unwrap().items;
    // Counted like all refusals. The reason contains the last user of each row.
    let suspended: Vec<_> = refused.iter().filter(|event| event.detail["code"] == "sign_in_suspended").collect();
    let named = suspended.iter().all(|event| event.detail["reason"].starts_with("usr_"));
    assert!(!suspended.is_empty() && named, "{refused:?}");

    // The host views the users, disables those who left, and confirms one of the others.
    let waiting = test.app.list_suspended_users(&host, &Paging::default()).await.unwrap().items;
    let waiting: BTreeSet<_> = waiting.iter().map(|user| (user.email.as_str(), user.operator)).collect();
    let users = [("olga@example.com", true), ("ned@example.com", false), ("eve@example.com", false)];
    assert_eq!(waiting, BTreeSet::from(users));
    test.app.update_user(&host, id_of(&test, "eve").await, disable).await.unwrap();
    let olga = UsersToConfirm::These(vec![id_of(&test, "olga").await]);
    assert_eq!(test.app.confirm_users(&host, &olga).await.unwrap().len(), 1);
    assert_eq!(sign_in(&test, "olga", PASSWORD).await.0, 200);
    assert_eq!(sign_in(&test, "ned", PASSWORD).await.0, 401);
    confirm_all_users(&test).await;
    assert_eq!(sign_in(&test, "ned", PASSWORD).await.0, 200);
    let (status, page) = sign_in(&test, "eve", PASSWORD).await;
    assert!(
        status == 401 && page.contains("The email address or password is wrong"),
        "confirmed or not, eve is disabled: {page}"
    );
}

#[tokio::test]
async fn users_created_after_a_restore_are_not_suspended_and_operators_cannot_confirm_users() {
    let test = TestApp::new().await;
    let (olga, ada) = (test.user("olga", true).await, test.user("ada", false).await);
    let ws = test.workspace("acme", &ada).await;
    let backup = test.directory.back_up(&test.app).await;
    let test = test.restore_from(&backup).await;
    confirm_all_users(&test).await;
    test.app.confirm_keys(&Caller::host(), &KeysToConfirm::All).await.unwrap();
    let ned = test.member(&ws, &ada, "ned", "member").await;
    test.get("/api/v1/me").by(&ned.key).send().await.expect(200);
    assert_eq!(sign_in(&test, "ned", "correct horse battery").await.0, 200);

    let caller = Caller::host();
    assert!(test.app.list_suspended_users(&caller, &Paging::default()).await.unwrap().items.is_empty());
    let mut browser = Browser::signed_in(&test, "otto", true).await;
    browser.open("/operator/users").await.sees("olga@example.com").sees_not("suspended since a restore");
    test.get("/api/v1/me").by(&olga.key).send().await.expect(200);
}

#[tokio::test]
async fn confirming_keys_in_a_session_requires_a_recent_password() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    create_user(&test, "olga", true).await;
    let backup = test.directory.back_up(&test.app).await;
    let test = test.restore_from(&backup).await;
    confirm_all_users(&test).await;
    let mut browser = Browser::new(&test);
    browser.sign_in("olga").await;
    browser.open("/operator/suspended-keys").await.sees(&ada.key.fingerprint);
    test.advance(Duration::from_mins(16)).await;
    // Nothing is confirmed before the page that asks.
    browser.submit("/operator/suspended-keys", &[("all", "1")]).await.sees("<h1>Confirm 1 key?</h1>");
    browser.open("/operator/suspended-keys").await.sees(&ada.key.fingerprint);
    browser.submit("/operator/suspended-keys", &[("all", "1"), ("confirmed", "1")]).await;
    test.get("/api/v1/me").by(&ada.key).send().await.expect_problem(401, "unauthenticated");
    browser.sign_in("olga").await;
    browser.open("/operator/suspended-keys").await;
    browser.submit("/operator/suspended-keys", &[("all", "1"), ("confirmed", "1")]).await;
    test.get("/api/v1/me").by(&ada.key).send().await.expect(200);
}

#[tokio::test]
async fn confirming_without_selected_keys_is_an_error_and_changes_nothing() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    create_user(&test, "olga", true).await;
    let backup = test.directory.back_up(&test.app).await;
    let test = test.restore_from(&backup).await;
    confirm_all_users(&test).await;
    let mut browser = Browser::new(&test);
    browser.sign_in("olga").await;
    browser.open("/operator/suspended-keys").await.submit("/operator/suspended-keys", &[]).await;
    assert_eq!(browser.status, 400);
    browser.sees("No key is selected").sees(&ada.key.fingerprint).sees_not("work again");
    test.get("/api/v1/me").by(&ada.key).send().await.expect_problem(401, "unauthenticated");
    let id = ada.key.id.clone();
    browser.submit("/operator/suspended-keys", &[("key", &id)]).await.sees("1 key works again");
    test.get("/api/v1/me").by(&ada.key).send().await.expect(200);
}

#[tokio::test]
async fn a_suspended_operator_does_not_count_as_the_remaining_operator() {
    let test = TestApp::new().await;
    let (olga, otto) = (test.user("olga", true).await, test.user("otto", true).await);
    let backup = test.directory.back_up(&test.app).await;
    let test = test.restore_from(&backup).await;
    let host = Caller::host();
    let disable = |who: &Actor| (who.id.parse().unwrap(), UpdateUser { disabled: Some(true), ..UpdateUser::default() });
    let confirm = UsersToConfirm::These(vec![otto.id.parse().unwrap()]);
    test.app.confirm_users(&host, &confirm).await.unwrap();
    let (id, update) = disable(&otto);
    assert_eq!(test.app.update_user(&host, id, update).await.unwrap_err().error.to_problem().code, "last_admin");
    let (id, update) = disable(&olga);
    assert!(test.app.update_user(&host, id, update).await.unwrap().disabled, "who left is disabled before the others");
}

/// Ned, a member of `acme`, with every kind of credential.
struct Shown {
    ned: Actor,
    key: Key,
    token: String,
    cookies: String,
    workspace: String,
    ada: Actor,
}

const GRANTS: [&str; 8] = [
    "signature",
    "encord signature",
    "bearer token",
    "new bearer token",
    "forward-auth",
    "password",
    "session",
    "invitation",
];

/// Credentials that need no key.
const PAGES: [&str; 2] = ["password", "session"];

async fn with_everything() -> (TestApp, Shown) {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let ada = test.user("ada", false).await;
    let workspace = test.workspace("acme", &ada).await;
    let email = create_user(&test, "ned", false).await;
    let id = test.app.find_user_by_email(&Caller::host(), &email).await.unwrap().id;
    let key = test.add_key(KeyOwner::User(id), "laptop").await;
    let token = test.invite(&workspace, &ada, &email, "member").await;
    let mut browser = Browser::new(&test);
    browser.sign_in("ned").await;
    let accept = format!("/invitations/{token}");
    browser.open(&accept).await;
    browser.submit(&accept, &[]).await.sees("You have joined ");
    let cookies = browser.request("GET", "/").headers["cookie"].to_str().unwrap().to_owned();
    let token = test.bearer_token(&key).await;
    let ned = Actor { key: key.clone(), id: id.to_string(), email };
    (test, Shown { ned, key, token, cookies, workspace, ada })
}

impl Shown {
    /// Returns the credentials that are accepted.
    async fn accepted(&self, test: &TestApp) -> Vec<&'static str> {
        let is_ok = async |request: crate::support::TestRequest<'_>| request.send().await.status == 200;
        let me = || test.get("/api/v1/me");
        // Ada invites ned to another workspace.
        let other = test.workspace("globex", &self.ada).await;
        let invitation = test.invite(&other, &self.ada, &self.ned.email, "member").await;
        let accept = json!({"token": invitation});
        let session = test.get("/profile").header("cookie", &self.cookies).send().await;
        let proxied = test.get("/v2/things").by(&self.key);
        let results = [
            is_ok(me().by(&self.key)).await,
            is_ok(me().by_encord(&self.key)).await,
            is_ok(me().bearer(&self.token)).await,
            is_ok(test.get("/v2/public/user/bearer-token").by(&self.key)).await,
            is_ok(ask(test, "nginx", &proxied)).await,
            sign_in(test, "ned", PASSWORD).await.0 == 200,
            session.status == 200,
            is_ok(test.post("/api/v1/invitations/accept", &accept).by(&self.key)).await,
        ];
        GRANTS.into_iter().zip(results).filter_map(|(grant, is_accepted)| is_accepted.then_some(grant)).collect()
    }

    fn key_id(&self) -> domain::ApiKeyId {
        self.key.id.parse().unwrap()
    }

    fn owner(&self) -> KeyOwner {
        KeyOwner::User(self.ned.id.parse().unwrap())
    }

    async fn set_disabled(&self, test: &TestApp) {
        let update = UpdateUser { disabled: Some(true), ..UpdateUser::default() };
        test.app.update_user(&Caller::host(), self.ned.id.parse().unwrap(), update).await.unwrap();
    }

    /// Restores a backup, after which ada and her key are confirmed.
    async fn restore(&self, test: TestApp) -> TestApp {
        let backup = test.directory.back_up(&test.app).await;
        let test = test.restore_from(&backup).await;
        let ada = UsersToConfirm::These(vec![self.ada.id.parse().unwrap()]);
        test.app.confirm_users(&Caller::host(), &ada).await.unwrap();
        let key = KeysToConfirm::These(vec![self.ada.key.id.parse().unwrap()]);
        test.app.confirm_keys(&Caller::host(), &key).await.unwrap();
        test
    }

    async fn confirm_ned(&self, test: &TestApp) {
        let ned = UsersToConfirm::These(vec![self.ned.id.parse().unwrap()]);
        assert_eq!(test.app.confirm_users(&Caller::host(), &ned).await.unwrap().len(), 1);
    }

    async fn confirm_key(&self, test: &TestApp) {
        let key = KeysToConfirm::These(vec![self.key_id()]);
        assert_eq!(test.app.confirm_keys(&Caller::host(), &key).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_active_user_with_an_active_key_is_accepted_by_every_grant() {
    let (test, ned) = with_everything().await;
    assert_eq!(ned.accepted(&test).await, GRANTS);
}

#[tokio::test]
async fn a_key_that_is_disabled_expired_or_revoked_is_refused_and_its_owner_still_signs_in() {
    let host = Caller::host();
    let (test, ned) = with_everything().await;
    test.app.disable_api_key(&host, ned.owner(), ned.key_id()).await.unwrap();
    assert_eq!(ned.accepted(&test).await, PAGES, "disabled");

    let (test, ned) = with_everything().await;
    let end = test.clock.now() + Duration::from_mins(1);
    let update = api::UpdateApiKey { expires_at: Some(Some(end)), ..api::UpdateApiKey::default() };
    test.app.update_api_key(&host, ned.owner(), ned.key_id(), &update).await.unwrap();
    test.advance(Duration::from_mins(1)).await;
    assert_eq!(ned.accepted(&test).await, PAGES, "expired");

    let (test, ned) = with_everything().await;
    test.app.revoke_api_key(&host, ned.owner(), ned.key_id(), false).await.unwrap();
    assert_eq!(ned.accepted(&test).await, PAGES, "revoked");
}

#[tokio::test]
async fn no_credential_of_a_disabled_user_is_accepted_and_a_removed_user_can_only_sign_in() {
    let (test, ned) = with_everything().await;
    ned.set_disabled(&test).await;
    assert_eq!(ned.accepted(&test).await, [""; 0], "disabled");

    let (test, ned) = with_everything().await;
    let member = format!("/api/v1/workspaces/{}/members/{}", ned.workspace, ned.ned.id);
    test.delete(&member).by(&ned.ada.key).send().await.expect(204);
    // They can sign in to a page without content, in order to accept an invitation.
    assert_eq!(ned.accepted(&test).await, ["password"], "removed");
}

#[tokio::test]
async fn after_a_restore_each_grant_is_accepted_once_user_and_key_are_confirmed() {
    let (test, ned) = with_everything().await;
    let test = ned.restore(test).await;
    assert_eq!(ned.accepted(&test).await, [""; 0], "both are suspended");
    let problem = test.get("/api/v1/me").by(&ned.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(problem["reason"], "key_suspended");

    let (test, ned) = with_everything().await;
    let test = ned.restore(test).await;
    ned.confirm_key(&test).await;
    let problem = test.get("/api/v1/me").by(&ned.key).send().await.expect_problem(401, "unauthenticated");
    assert_eq!(problem["reason"], "owner_suspended");
    assert_eq!(ned.accepted(&test).await, [""; 0], "the person is suspended, and their key is not");
    // A key that the host registers for them in the meantime is also refused.
    let fresh = test.add_key(ned.owner(), "fresh").await;
    test.get("/api/v1/me").by(&fresh).send().await.expect_problem(401, "unauthenticated");
    let write = test.post("/api/v1/me/keys", &json!({"title": "k", "public_key": test.new_key().openssh}));
    write.by(&fresh).send().await.expect_problem(401, "unauthenticated");

    let (test, ned) = with_everything().await;
    let test = ned.restore(test).await;
    ned.confirm_ned(&test).await;
    assert_eq!(ned.accepted(&test).await, ["password"], "the key is suspended, and the person is not");

    let (test, ned) = with_everything().await;
    let test = ned.restore(test).await;
    ned.confirm_key(&test).await;
    ned.confirm_ned(&test).await;
    let accepted = ["signature", "encord signature", "new bearer token", "forward-auth", "password", "invitation"];
    assert_eq!(ned.accepted(&test).await, accepted, "the previous token and session are invalid");
}

#[tokio::test]
async fn confirmation_enables_no_disabled_user_and_restores_no_revoked_key() {
    let (test, ned) = with_everything().await;
    ned.set_disabled(&test).await;
    let test = ned.restore(test).await;
    ned.confirm_key(&test).await;
    ned.confirm_ned(&test).await;
    assert_eq!(ned.accepted(&test).await, [""; 0]);

    let (test, ned) = with_everything().await;
    test.app.revoke_api_key(&Caller::host(), ned.owner(), ned.key_id(), false).await.unwrap();
    let test = ned.restore(test).await;
    test.app.confirm_keys(&Caller::host(), &KeysToConfirm::All).await.unwrap();
    ned.confirm_ned(&test).await;
    assert_eq!(ned.accepted(&test).await, ["password"]);
}

fn leads_to_sign_in(answer: &Answer) -> bool {
    answer.headers.get("location").is_some_and(|to| to.as_bytes().starts_with(b"/sign-in"))
}
