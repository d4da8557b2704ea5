//! Access to pages: every page and every form, requested by every kind of caller.

use std::collections::BTreeMap;

use server::app::Caller;

use crate::support::{
    Answer, TestApp,
    browser::{Browser, PASSWORD},
    saved::{SavedApp, rows_of},
};

/// The admin of another workspace, `other`.
const STRANGER: usize = 1;
pub const ADMIN: usize = 3;
pub const OPERATOR: usize = 4;
const WHO: [&str; 5] = ["anonymous", "stranger", "member", "admin", "operator"];

/// In the table, a redirect to the sign-in page.
const SIGN: u16 = 1;

/// The statuses, in the order of [`WHO`]. 1 is a redirect to the sign-in page. The workspace, the service account and
/// the key in `/profile/api-keys/{key}` belong to the admin. The member is in the project only.
#[rustfmt::skip]
pub const TABLE: &[(&str, &str, [u16; 5])] = &[
    //                                                                      anonymous stranger member admin operator
    ("GET",  "/",                                                              [SIGN, 303, 303, 303, 303]),
    ("GET",  "/sign-in",                                                       [200,  303, 303, 303, 303]),
    ("POST", "/sign-in",                                                       [303,  303, 303, 303, 303]),
    ("POST", "/sign-out",                                                      [SIGN, SIGN, SIGN, SIGN, SIGN]),
    ("POST", "/profile/theme",                                                 [SIGN, 303, 303, 303, 303]),
    ("GET",  "/help",                                                          [200,  200, 200, 200, 200]),
    ("GET",  "/help/{guide}",                                                  [200,  200, 200, 200, 200]),
    ("GET",  "/set-up/{token}",                                                [410,  410, 410, 410, 410]),
    ("POST", "/set-up/{token}",                                                [409,  409, 409, 409, 409]),
    ("GET",  "/invitations/{token}",                                           [200,  200, 200, 200, 200]),
    ("POST", "/invitations/{token}",                                           [303,  303, 409, 409, 303]),

    ("GET",  "/profile",                                                       [SIGN, 200, 200, 200, 200]),
    ("POST", "/profile/password",                                              [SIGN, 303, 303, 303, 303]),
    ("GET",  "/profile/sessions/{session}/end",                                [SIGN, 404, 404, 200, 404]),
    ("POST", "/profile/sessions/{session}/end",                                [SIGN, 404, 404, 303, 404]),
    ("GET",  "/profile/sessions/end-others",                                   [SIGN, 200, 200, 200, 200]),
    ("POST", "/profile/sessions/end-others",                                   [SIGN, 303, 303, 303, 303]),
    ("GET",  "/profile/api-keys",                                              [SIGN, 200, 200, 200, 200]),
    ("POST", "/profile/api-keys",                                              [SIGN, 303, 303, 303, 303]),
    ("GET",  "/profile/api-keys/new",                                          [SIGN, 200, 200, 200, 200]),
    ("POST", "/profile/api-keys/proof-challenge",                              [SIGN, 201, 201, 201, 201]),
    ("POST", "/profile/api-keys/bulk",                                         [SIGN, 404, 404, 200, 404]),
    ("GET",  "/profile/api-keys/{key}",                                        [SIGN, 404, 404, 200, 404]),
    ("POST", "/profile/api-keys/{key}",                                        [SIGN, 404, 404, 303, 404]),
    ("GET",  "/profile/api-keys/{key}/limits",                                 [SIGN, 404, 404, 200, 404]),
    ("POST", "/profile/api-keys/{key}/limits",                                 [SIGN, 404, 404, 303, 404]),
    ("GET",  "/profile/api-keys/{key}/rotate",                                  [SIGN, 404, 404, 200, 404]),
    ("POST", "/profile/api-keys/{key}/rotate",                                  [SIGN, 404, 404, 303, 404]),
    ("GET",  "/profile/api-keys/{key}/rotate/undo",                             [SIGN, 404, 404, 303, 404]),
    ("POST", "/profile/api-keys/{key}/rotate/undo",                             [SIGN, 404, 404, 404, 404]),
    ("GET",  "/profile/api-keys/{key}/disable",                                [SIGN, 404, 404, 200, 404]),
    ("POST", "/profile/api-keys/{key}/disable",                                [SIGN, 404, 404, 303, 404]),
    ("POST", "/profile/api-keys/{key}/enable",                                 [SIGN, 404, 404, 303, 404]),
    ("GET",  "/profile/api-keys/{key}/revoke",                                 [SIGN, 404, 404, 200, 404]),
    ("POST", "/profile/api-keys/{key}/revoke",                                 [SIGN, 404, 404, 303, 404]),

    ("GET",  "/search",                                                        [SIGN, 200, 200, 200, 200]),
    ("GET",  "/workspaces",                                                    [SIGN, 200, 200, 200, 200]),
    ("GET",  "/w/{slug}",                                                      [SIGN, 404, 200, 200, 404]),
    ("GET",  "/w/{slug}/search",                                               [SIGN, 404, 200, 200, 404]),
    ("GET",  "/w/{slug}/general",                                              [SIGN, 404, 200, 200, 404]),
    ("POST", "/w/{slug}/general",                                              [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/delete",                                               [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/delete",                                               [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/members",                                              [SIGN, 404, 200, 200, 404]),
    ("POST", "/w/{slug}/members/{usr}/role",                                   [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/members/{usr}/remove",                                 [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/members/{usr}/remove",                                 [SIGN, 404, 403, 303, 404]),
    ("POST", "/w/{slug}/members/remove",                                       [SIGN, 404, 403, 200, 404]),
    ("GET",  "/w/{slug}/invitations",                                          [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/invitations",                                          [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/invitations/{inv}/resend",                             [SIGN, 404, 403, 200, 404]),
    ("GET",  "/w/{slug}/invitations/{inv}/revoke",                             [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/invitations/revoke",                                   [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/activity",                                             [SIGN, 404, 403, 200, 404]),
    ("GET",  "/w/{slug}/activity/export.csv",                                  [SIGN, 404, 403, 200, 404]),
    ("GET",  "/w/{slug}/activity/export.jsonl",                                [SIGN, 404, 403, 200, 404]),

    ("GET",  "/w/{slug}/projects",                                             [SIGN, 404, 200, 200, 404]),
    ("POST", "/w/{slug}/projects",                                             [SIGN, 404, 303, 303, 404]),
    ("GET",  "/w/{slug}/projects/new",                                         [SIGN, 404, 200, 200, 404]),
    ("GET",  "/w/{slug}/projects/{prj}",                                       [SIGN, 404, 200, 200, 404]),
    ("POST", "/w/{slug}/projects/{prj}",                                       [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/projects/{prj}/delete",                                [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/projects/{prj}/delete",                                [SIGN, 404, 403, 303, 404]),
    ("POST", "/w/{slug}/projects/{prj}/members",                               [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/projects/{prj}/members/{principal}/remove",            [SIGN, 404, 200, 200, 404]),
    ("POST", "/w/{slug}/projects/{prj}/members/{principal}/remove",            [SIGN, 404, 303, 303, 404]),

    ("GET",  "/w/{slug}/service-accounts",                                     [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts",                                     [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/new",                                 [SIGN, 404, 403, 200, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}",                                [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/role",                           [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/settings",                       [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/settings",                       [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/disable",                        [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/disable",                        [SIGN, 404, 403, 303, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/enable",                         [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/delete",                         [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/delete",                         [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/keys",                                                 [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/keys/bulk",                                            [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys",                           [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/keys/new",                       [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/proof-challenge",           [SIGN, 404, 403, 201, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/bulk",                      [SIGN, 404, 403, 200, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/keys/{key}",                     [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/{key}",                     [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/keys/{key}/limits",              [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/{key}/limits",              [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/keys/{key}/rotate",               [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/{key}/rotate",               [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/keys/{key}/rotate/undo",          [SIGN, 404, 403, 303, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/{key}/rotate/undo",          [SIGN, 404, 403, 404, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/keys/{key}/disable",             [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/{key}/disable",             [SIGN, 404, 403, 303, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/{key}/enable",              [SIGN, 404, 403, 303, 404]),
    ("GET",  "/w/{slug}/service-accounts/{sa}/keys/{key}/revoke",              [SIGN, 404, 403, 200, 404]),
    ("POST", "/w/{slug}/service-accounts/{sa}/keys/{key}/revoke",              [SIGN, 404, 403, 303, 404]),

    ("GET",  "/operator",                                                      [SIGN, 303, 303, 303, 303]),
    ("GET",  "/operator/workspaces",                                           [SIGN, 403, 403, 403, 200]),
    ("POST", "/operator/workspaces",                                           [SIGN, 403, 403, 403, 303]),
    ("GET",  "/operator/workspaces/new",                                       [SIGN, 403, 403, 403, 200]),
    ("GET",  "/operator/workspaces/{ws}",                                      [SIGN, 403, 403, 403, 200]),
    ("POST", "/operator/workspaces/{ws}/quotas",                               [SIGN, 404, 403, 403, 303]),
    ("POST", "/operator/workspaces/{ws}/first-admin",                          [SIGN, 404, 403, 403, 409]),
    ("GET",  "/operator/users",                                                [SIGN, 403, 403, 403, 200]),
    ("POST", "/operator/users",                                                [SIGN, 403, 403, 403, 303]),
    ("POST", "/operator/users/{usr}",                                          [SIGN, 403, 403, 403, 303]),
    ("GET",  "/operator/users/{usr}/password",                                 [SIGN, 403, 403, 403, 200]),
    ("POST", "/operator/users/{usr}/password",                                 [SIGN, 403, 403, 403, 303]),
    ("GET",  "/operator/users/{usr}/operator",                                 [SIGN, 403, 403, 403, 200]),
    ("GET",  "/operator/users/{usr}/disable",                                  [SIGN, 403, 403, 403, 200]),
    ("POST", "/operator/users/{usr}/disable",                                  [SIGN, 403, 403, 403, 303]),
    ("GET",  "/operator/activity",                                             [SIGN, 403, 403, 403, 200]),
    ("GET",  "/operator/activity/export.csv",                                  [SIGN, 403, 403, 403, 200]),
    ("GET",  "/operator/activity/export.jsonl",                                [SIGN, 403, 403, 403, 200]),
    ("GET",  "/operator/system/checkpoint.txt",                                [SIGN, 403, 403, 403, 200]),
    ("GET",  "/operator/system",                                               [SIGN, 403, 403, 403, 200]),
    ("GET",  "/operator/suspended-keys",                                       [SIGN, 403, 403, 403, 200]),
    ("POST", "/operator/suspended-keys",                                       [SIGN, 403, 403, 403, 303]),
];

/// A workspace with one object of each kind and a signed-in user of each kind, stored on the disk.
pub struct World {
    pub saved: SavedApp,
    pub cookies: [BTreeMap<String, String>; 5],
    pub csrf: [String; 5],
    pub ids: BTreeMap<&'static str, String>,
}

fn id_in(path: &str) -> String {
    path.split('?').next().and_then(|path| path.rsplit('/').next()).expect("a path").to_owned()
}

impl World {
    pub async fn build() -> Self {
        let test = TestApp::new().await;
        let set_up = test.app.create_set_up_link(&Caller::host()).await.unwrap().into_inner().expect("a link");
        let (cookies, csrf, mut ids) = furnish(&test).await;
        ids.insert("/set-up/{token}", id_in(&set_up));
        let saved = SavedApp::save(test).await;
        Self { saved, cookies, csrf, ids }
    }

    /// Opens a copy in the original state.
    pub async fn open(&self) -> TestApp {
        self.saved.open().await
    }

    /// Reads a page or a route in a user's session.
    pub async fn read(&self, test: &TestApp, method: &str, path: &str, who: usize) -> Answer {
        let mut browser = Browser::new(test);
        browser.cookies = self.cookies[who].clone();
        browser.request(method, &self.path(path)).send().await
    }

    pub fn path(&self, path: &str) -> String {
        let mut filled = path.to_owned();
        // An id belongs to the path segment before it.
        for (place, id) in self.ids.iter().rev().filter(|(place, _)| path.contains(*place)) {
            let name = &place[place.rfind('{').expect("a placeholder")..];
            filled = filled.replace(name, id);
        }
        filled
    }

    fn fields(&self, test: &TestApp, path: &str, who: usize) -> Vec<(&'static str, String)> {
        let these =
            |pairs: &[(&'static str, &str)]| pairs.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        match path.rsplit('/').next().unwrap_or_default() {
            "sign-in" => these(&[("email", "max@example.com"), ("password", PASSWORD)]),
            "password" => these(&[("current_password", PASSWORD), ("password", "seven violet tractors hum")]),
            "{token}" if path.starts_with("/set-up") => {
                these(&[("email", "zoe@example.com"), ("name", "Zoe"), ("password", PASSWORD)])
            }
            "{token}" if who == 0 => these(&[("name", "Ned"), ("password", PASSWORD)]),
            "api-keys" | "keys" => vec![("title", "another".to_owned()), ("public_key", test.new_key().openssh)],
            "{key}" => these(&[("title", "renamed")]),
            "limits" => these(&[("scopes", "keyward:read")]),
            "rotate" => vec![("overlap", "3600".to_owned()), ("public_key", test.new_key().openssh)],
            "general" => these(&[("name", "Renamed")]),
            "bulk" => {
                let key = if path.starts_with("/w/") { "{sa}/keys/{key}" } else { "/profile/api-keys/{key}" };
                vec![("action", "disable".to_owned()), ("key", self.ids[key].clone())]
            }
            "remove" if path == "/w/{slug}/members/remove" => vec![("member", self.ids["{usr}"].clone())],
            "theme" => these(&[("theme", "dark")]),
            "role" => these(&[("role", "admin"), ("confirmed", "1")]),
            "revoke" if path.starts_with("/w/{slug}/invitations") => {
                vec![("invitation", self.ids["{inv}"].clone()), ("confirmed", "1".to_owned())]
            }
            "invitations" => these(&[("emails", "invited@example.com"), ("role", "member")]),
            "projects" | "{prj}" => these(&[("title", "Another"), ("description", "")]),
            "members" => vec![("principal", self.ids["{principal}"].clone()), ("role", "editor".to_owned())],
            "service-accounts" | "settings" => {
                these(&[("display_name", "Another"), ("name", "another"), ("description", ""), ("confirmed", "1")])
            }
            "workspaces" => these(&[("name", "New"), ("slug", "new"), ("admin_email", "")]),
            "quotas" => these(&[("service_accounts", "3"), ("keys_per_service_account", "3"), ("keys_per_user", "3")]),
            "users" => these(&[("email", "nina@example.com"), ("name", "Nina"), ("password", PASSWORD)]),
            "{usr}" => these(&[("disabled", "true")]),
            "first-admin" => these(&[("admin_email", "new@example.com")]),
            "suspended-keys" => these(&[("all", "1"), ("confirmed", "1")]),
            "delete" => these(&[("confirm", "acme")]),
            _ => Vec::new(),
        }
    }

    /// Returns the pages of the table that a caller of each kind is shown, without files.
    pub async fn pages(&self, test: &TestApp) -> Vec<(String, String)> {
        let mut pages = Vec::new();
        for &(method, path, _) in TABLE.iter().filter(|(method, path, _)| *method == "GET" && !is_file(path)) {
            for (who, name) in WHO.iter().enumerate() {
                let answer = self.ask(test, method, path, who, true).await;
                pages.push((format!("{path} by {name}"), String::from_utf8(answer.bytes).expect("UTF-8")));
            }
        }
        pages
    }

    pub async fn ask(&self, test: &TestApp, method: &str, path: &str, who: usize, csrf: bool) -> Answer {
        let mut browser = Browser::new(test);
        browser.cookies = self.cookies[who].clone();
        if method == "GET" {
            return browser.request("GET", &self.path(path)).send().await;
        }
        let mut fields = self.fields(test, path, who);
        if csrf {
            fields.push(("csrf", self.csrf[who].clone()));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.form(&self.path(path), &fields).send().await
    }
}

type Furnished = ([BTreeMap<String, String>; 5], [String; 5], BTreeMap<&'static str, String>);

async fn furnish(test: &TestApp) -> Furnished {
    let mut stranger = Browser::admin_of(test, "other", "eve").await;
    let mut admin = Browser::admin_of(test, "acme", "ada").await;
    let mut operator = Browser::signed_in(test, "olga", true).await;
    let caller = Caller::host();
    let ws = test.app.find_workspace_by_slug(&caller, "acme").await.unwrap().id;
    let update = api::UpdateQuotas { service_accounts: Some(9), ..api::UpdateQuotas::default() };
    test.app.update_quotas(&caller, ws, update).await.unwrap();
    let mut ids =
        BTreeMap::from([("{guide}", "user-guide".to_owned()), ("{slug}", "acme".to_owned()), ("{ws}", ws.to_string())]);

    admin.open("/w/acme/invitations").await;
    let emails = "max@example.com mia@example.com new@example.com";
    admin.submit("/w/acme/invitations", &[("emails", emails), ("role", "member")]).await;
    let link_to = |email: &str| {
        let (_, after) = admin.page.split_once(&format!(">{email}</label>")).expect("the address");
        let (_, after) = after.split_once("http://127.0.0.1:8080").expect("a link");
        after.split('"').next().expect("a quote").to_owned()
    };
    let mut people = Vec::new();
    for name in ["max", "mia"] {
        let mut joins = Browser::new(test);
        let link = link_to(&format!("{name}@example.com"));
        joins.open(&link).await.submit(&link, &[("name", name), ("password", PASSWORD)]).await;
        people.push(joins);
    }
    ids.insert("/invitations/{token}", id_in(&link_to("new@example.com")));
    admin.open("/w/acme/invitations").await;
    let pending = admin.link("/w/acme/invitations/inv_");
    ids.insert("{inv}", pending.split('/').nth_back(1).expect("an id").to_owned());
    let member = people.remove(0);
    let id_of = |email: &'static str| async move {
        test.app.find_user_by_email(&Caller::host(), email).await.unwrap().id.to_string()
    };
    ids.insert("{usr}", id_of("mia@example.com").await);
    ids.insert("{principal}", id_of("max@example.com").await);

    admin.open("/w/acme/service-accounts/new").await;
    admin.submit("/w/acme/service-accounts", &[("name", "bot"), ("description", "")]).await;
    let account = admin.path.split('?').next().expect("a path").to_owned();
    ids.insert("{sa}", id_in(&account));
    for (list, place) in [(account.as_str(), "{sa}/keys/{key}"), ("/profile/api-keys", "/profile/api-keys/{key}")] {
        let base = if list == account { format!("{account}/keys") } else { list.to_owned() };
        let key = test.new_key().openssh;
        admin.open(&format!("{base}/new")).await;
        admin.submit(&base, &[("title", "spare"), ("public_key", &key)]).await;
        let id = id_in(admin.path.split('?').next().expect("a path"));
        if list != account {
            ids.insert("/me/keys/{key}", id.clone());
        }
        ids.insert(place, id);
    }
    admin.open("/w/acme/projects/new").await;
    admin.submit("/w/acme/projects", &[("title", "Maps"), ("description", "")]).await;
    let project = admin.path.split('?').next().expect("a path").to_owned();
    let fields = [("principal", ids["{principal}"].as_str()), ("role", "viewer")];
    admin.submit(&format!("{project}/members"), &fields).await;
    ids.insert("{prj}", id_in(&project));
    let mut other = Browser::new(test);
    other.sign_in("ada").await;
    admin.open("/profile").await;
    let session = admin.link("/profile/sessions/ses");
    ids.insert("{session}", session.split('/').nth_back(1).expect("an id").to_owned());

    let mut member = member;
    let mut csrf: [String; 5] = Default::default();
    let mut cookies: [BTreeMap<String, String>; 5] = Default::default();
    for (who, browser) in [(1, &mut stranger), (2, &mut member), (3, &mut admin), (4, &mut operator)] {
        browser.open("/profile").await;
        csrf[who] = browser.csrf();
        cookies[who] = browser.cookies.clone();
    }
    (cookies, csrf, ids)
}

#[tokio::test]
async fn every_page_and_form_answers_every_caller_as_the_table_says() {
    let world = World::build().await;
    let mut test = world.open().await;
    let mut differences = Vec::new();
    for &(method, path, expected) in TABLE {
        for (who, expected) in expected.into_iter().enumerate() {
            let answer = world.ask(&test, method, path, who, true).await;
            let leads_to = answer.headers.get("location").map_or("", |to| to.to_str().unwrap());
            let status = if leads_to.starts_with("/sign-in") { SIGN } else { answer.status.as_u16() };
            if status != expected {
                differences.push(format!("{method} {path} by {}: {status} {leads_to}, not {expected}", WHO[who]));
            }
            if status < 400 && method == "POST" {
                test.app.close().await;
                test = world.open().await;
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Creates one object of each kind for the stranger, by its placeholder.
async fn furnish_stranger(world: &World, test: &TestApp) -> BTreeMap<&'static str, String> {
    let mut eve = Browser::new(test);
    eve.cookies = world.cookies[STRANGER].clone();
    let user = test.app.find_user_by_email(&Caller::host(), "eve@example.com").await.expect("a user").id.to_string();
    let mut ids = BTreeMap::from([("{usr}", user.clone()), ("{principal}", user)]);
    eve.open("/w/other/invitations").await;
    eve.submit("/w/other/invitations", &[("emails", "ned@example.com"), ("role", "member")]).await;
    eve.open("/w/other/invitations").await;
    let pending = eve.link("/w/other/invitations/inv_");
    ids.insert("{inv}", pending.split('/').nth_back(1).expect("an id").to_owned());
    eve.open("/w/other/service-accounts/new").await;
    eve.submit("/w/other/service-accounts", &[("name", "bot"), ("description", "")]).await;
    let account = eve.path.split('?').next().expect("a path").to_owned();
    ids.insert("{sa}", id_in(&account));
    for (base, place) in
        [(format!("{account}/keys"), "{sa}/keys/{key}"), ("/profile/api-keys".to_owned(), "/profile/api-keys/{key}")]
    {
        let key = test.new_key().openssh;
        eve.open(&format!("{base}/new")).await;
        eve.submit(&base, &[("title", "spare"), ("public_key", &key)]).await;
        ids.insert(place, id_in(&eve.path));
    }
    eve.open("/w/other/projects/new").await;
    eve.submit("/w/other/projects", &[("title", "Maps"), ("description", "")]).await;
    ids.insert("{prj}", id_in(&eve.path));
    let mut other = Browser::new(test);
    other.sign_in("eve").await;
    eve.open("/profile").await;
    ids.insert("{session}", eve.link("/profile/sessions/ses").split('/').nth_back(1).expect("an id").to_owned());
    ids
}

#[tokio::test]
async fn what_another_tenant_has_is_found_by_no_page_and_no_form() {
    let mut world = World::build().await;
    let test = world.open().await;
    let foreign = furnish_stranger(&world, &test).await;
    let own = world.ids.clone();
    let mut asked = 0;
    for &(method, path, _) in TABLE.iter().filter(|(_, path, _)| !path.starts_with("/operator")) {
        for (place, id) in foreign.iter().filter(|(place, _)| path.contains(**place)) {
            world.ids = own.clone();
            world.ids.insert(place, id.clone());
            let answer = world.ask(&test, method, path, ADMIN, true).await;
            assert_eq!(answer.status.as_u16(), 404, "{method} {path} with another tenant's {place}");
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
    world.ids = own;
    let mut admin = Browser::new(&test);
    admin.cookies = world.cookies[ADMIN].clone();
    let members = format!("{}/members", world.path("/w/{slug}/projects/{prj}"));
    let fields = [("principal", foreign["{principal}"].as_str()), ("role", "viewer"), ("csrf", &world.csrf[ADMIN])];
    assert_eq!(admin.form(&members, &fields).send().await.status.as_u16(), 404);
}

#[tokio::test]
async fn every_page_has_a_row_and_every_row_a_page() {
    let mut pages: Vec<(String, String)> =
        server::list_page_routes().into_iter().map(|(method, path)| (method.to_string(), path)).collect();
    pages.sort();
    assert_eq!(rows_of(TABLE), pages);
}

#[tokio::test]
async fn every_form_of_a_session_needs_its_token() {
    let world = World::build().await;
    let test = world.open().await;
    // When signing in, the user enters a password instead.
    for &(method, path, _) in TABLE.iter().filter(|(method, path, _)| *method == "POST" && *path != "/sign-in") {
        for who in [2, ADMIN, 4] {
            let answer = world.ask(&test, method, path, who, false).await;
            assert_eq!(answer.status, 403, "{path} by {}", WHO[who]);
        }
    }
    // Nothing was changed: the admin is signed in, the workspace exists, and the key works.
    let page = world.ask(&test, "GET", "/profile/api-keys/{key}", ADMIN, true).await;
    assert!(String::from_utf8(page.bytes).unwrap().contains("state active"));
    assert_eq!(world.ask(&test, "GET", "/w/{slug}/projects/{prj}", ADMIN, true).await.status, 200);
}

#[tokio::test]
async fn no_page_is_shown_in_a_frame_or_runs_a_strange_script() {
    let world = World::build().await;
    let test = world.open().await;
    for &(method, path, expected) in TABLE.iter().filter(|(method, ..)| *method == "GET") {
        for who in 0..WHO.len() {
            let answer = world.ask(&test, method, path, who, true).await;
            let policy = answer.headers["content-security-policy"].to_str().unwrap();
            for part in ["default-src 'none'", "frame-ancestors 'none'", "script-src 'self';", "base-uri 'none'"] {
                assert!(policy.contains(part), "{path} by {} ({}): {policy}", WHO[who], expected[who]);
            }
            assert_eq!(answer.headers["x-frame-options"], "DENY", "{path}");
        }
    }
}

/// Returns whether the path is that of a file, and not of a page.
fn is_file(path: &str) -> bool {
    path.contains("export") || path.contains("checkpoint")
}

#[tokio::test]
async fn a_page_weighs_less_than_sixty_kilobytes_with_all_that_it_loads() {
    let world = World::build().await;
    let test = world.open().await;
    for &(method, path, _) in TABLE.iter().filter(|(method, path, _)| *method == "GET" && !is_file(path)) {
        for who in [0, ADMIN, 4] {
            let page = world.ask(&test, method, path, who, true).await;
            let html = String::from_utf8(page.bytes).unwrap();
            let (mut weight, mut fonts) = (html.len(), 0);
            let mut loaded = std::collections::BTreeSet::new();
            let mut waiting: Vec<String> =
                html.split('"').filter(|text| text.starts_with("/static/")).map(str::to_owned).collect();
            while let Some(file) = waiting.pop() {
                if !loaded.insert(file.clone()) {
                    continue;
                }
                let ask = || test.request("GET", &file, &serde_json::Value::Null);
                let sent = ask().header("accept-encoding", "gzip").send().await;
                assert_eq!(sent.status, 200, "{file} of {path}");
                if sent.header("content-type").starts_with("font/") {
                    fonts += sent.bytes.len();
                    continue;
                }
                weight += sent.bytes.len();
                let source = String::from_utf8(ask().send().await.bytes).expect("text");
                // Modules, fonts and drawings are in the same directory.
                let imports = source.lines().filter_map(|line| line.strip_prefix("import ")?.split('\'').nth(1));
                let imports = imports.filter_map(|from| from.strip_prefix("./"));
                let urls = source.split("url(\"").skip(1).filter_map(|rest| rest.split('"').next());
                waiting.extend(imports.chain(urls).map(|from| format!("/static/{from}")));
            }
            assert!(weight < 60_000, "{path} by {}: {weight} bytes", WHO[who]);
            assert!(html.is_empty() || fonts > 0, "{path} by {}: no font", WHO[who]);
            assert!(weight + fonts < 100_000, "{path} by {}: {weight} and {fonts} bytes", WHO[who]);
        }
    }
}

#[tokio::test]
async fn a_title_is_text_on_every_page_that_shows_it() {
    let test = TestApp::new().await;
    let script = "<script>alert(1)</script><img src=x>";
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/projects/new").await;
    ada.submit("/w/acme/projects", &[("title", script), ("description", script)]).await;
    let project = ada.path.split('?').next().expect("a path").to_owned();
    let key = test.new_key().openssh;
    ada.submit("/profile/api-keys", &[("title", script), ("public_key", &key)]).await;
    let own = ada.path.split('?').next().expect("a path").to_owned();
    ada.submit("/w/acme/general", &[("name", script)]).await;
    let mut shown = 0;
    for path in [
        project.as_str(),
        &format!("{project}/delete"),
        &own,
        &format!("{own}/revoke"),
        "/profile/api-keys",
        "/profile/api-keys?q=%3Cscript%3Ealert(1)",
        "/w/acme/projects",
        "/w/acme/general",
        "/w/acme/activity",
        "/w/acme/activity?action=%3Cscript%3Ealert(1)",
        "/workspaces",
    ] {
        ada.open(path).await.sees_not("<script>alert").sees_not("<img src=x");
        shown += usize::from(ada.page.contains("&#60;script&#62;alert(1)"));
    }
    assert_eq!(shown, 11, "it is on each of them");
}

#[tokio::test]
async fn pages_count_against_the_address_that_asks() {
    let limit = |settings: &mut server::Settings| {
        settings.rate_limits = server::settings::RateLimits { per_address: 1, per_key: 0 };
    };
    let test = TestApp::with_settings(limit).await;
    let browser = Browser::new(&test);
    for _ in 0..10 {
        assert_eq!(browser.request("GET", "/sign-in").send().await.status, 200);
    }
    let refused = browser.request("GET", "/sign-in").send().await;
    assert_eq!((refused.status.as_u16(), refused.headers["retry-after"].to_str().unwrap()), (429, "1"));
    let mut elsewhere = browser.request("GET", "/sign-in");
    elsewhere.address = std::net::Ipv4Addr::new(192, 0, 2, 7).into();
    assert_eq!(elsewhere.send().await.status, 200);
}

#[tokio::test]
async fn a_user_who_is_not_there_costs_what_one_who_is_costs() {
    let test = TestApp::new().await;
    crate::support::browser::create_user(&test, "ada", false).await;
    let mut checked = Vec::new();
    for (email, password) in [
        ("ada@example.com", "a wrong password"),
        ("nobody@example.com", "a wrong password"),
        ("no address at all", "a wrong password"),
        ("ada@example.com", PASSWORD),
    ] {
        let before = checks(&test).await;
        Browser::new(&test).form("/sign-in", &[("email", email), ("password", password)]).send().await;
        checked.push(checks(&test).await - before);
    }
    assert_eq!(checked, [1, 1, 1, 1], "one password is checked in every case");
}

async fn checks(test: &TestApp) -> u64 {
    let metrics = test.app.render_metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("keyward_password_checks_total "));
    line.map_or(0, |count| count.parse().expect("a number"))
}
