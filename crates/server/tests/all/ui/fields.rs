//! Each field of an API request has an input on the pages, and each field of an object is on its page. The fields come
//! from the OpenAPI document, so that a new one fails here until the pages support it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    support::browser::{Browser, PASSWORD},
    support::{Actor, Key, TestApp},
};

/// How the pages send a field of a request.
enum Input {
    /// The name of the input, the typed text, and the value in the object.
    Typed(&'static str, String, Value),
    /// Another page or form changes this field. The page contains the markup.
    Elsewhere(String, &'static str),
    /// No form has it.
    ProgramsOnly,
}

fn typed(name: &'static str, value: &str) -> Input {
    Input::Typed(name, value.to_owned(), json!(value))
}

/// Returns the fields of a schema in the OpenAPI document.
async fn fields(test: &TestApp, schema: &str) -> BTreeSet<String> {
    let document = test.get("/api/v1/openapi.json").send().await.expect(200);
    let properties = document["components"]["schemas"][schema]["properties"].as_object();
    properties.unwrap_or_else(|| panic!("no properties of {schema}")).keys().cloned().collect()
}

/// Submits the form for the request on the current page, with all fields.
async fn submit(browser: &mut Browser<'_>, test: &TestApp, request: &str, inputs: &BTreeMap<&str, Input>) {
    let known: BTreeSet<String> = inputs.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(known, fields(test, request).await, "the fields of {request}, and those that this test fills in");
    let (page, path) = (browser.page.clone(), browser.path.clone());
    for input in inputs.values() {
        if let Input::Elsewhere(path, markup) = input {
            browser.open(path).await.sees(markup);
        }
    }
    let names: Vec<(&str, &str)> = inputs
        .values()
        .filter_map(|input| match input {
            Input::Typed(name, value, _) => Some((*name, value.as_str())),
            _ => None,
        })
        .collect();
    let has_all =
        |form: &&str| names.iter().all(|(name, _)| form.contains(&format!("name=\"{name}\"")) && form.contains("csrf"));
    let form = page.split("<form ").skip(1).filter_map(|form| form.split("</form>").next()).find(has_all);
    let form = form.unwrap_or_else(|| panic!("no form on {path} has the inputs {names:?}:\n{page}"));
    let action = form.split_once("action=\"").and_then(|(_, after)| after.split('"').next()).expect("an action");
    browser.page.clone_from(&page);
    browser.submit(action, &names).await.sees_not("aria-invalid");
    assert_eq!(browser.status, 200, "{request}: {}", browser.page);
}

fn assert_has(object: &Value, inputs: &BTreeMap<&str, Input>) {
    for (field, input) in inputs {
        if let Input::Typed(_, _, expected) = input {
            assert_eq!(&object[*field], expected, "{field} of {object}");
        }
    }
}

/// Checks that the current page has every field of the object: its text, or the text in `shown`. A field without a
/// value in this object is `NONE`.
async fn assert_shows(browser: &Browser<'_>, test: &TestApp, schema: &str, object: &Value, shown: &[(&str, &str)]) {
    for field in fields(test, schema).await {
        match (shown.iter().find(|(name, _)| *name == field), &object[&field]) {
            (Some((_, NONE)), value) => assert!(value.is_null(), "{field} is {value}"),
            (Some((_, words)), _) => _ = browser.sees(words),
            (None, Value::String(words)) => _ = browser.sees(words),
            (None, other) => panic!("say how the page shows {field} of {schema}, which is {other}"),
        }
    }
}

const NONE: &str = "";

/// Creates an admin with a browser, and a key for the API.
async fn admin(test: &TestApp) -> (Browser<'_>, Key) {
    let mut ada = Browser::admin_of(test, "acme", "ada").await;
    let key = test.new_key();
    ada.open("/profile/api-keys/new").await;
    ada.submit("/profile/api-keys", &[("title", "reader"), ("public_key", key.openssh.as_str())]).await;
    (ada, key)
}

async fn read(test: &TestApp, key: &Key, path: &str) -> Value {
    test.get(path).by(key).send().await.expect(200)
}

/// Returns the path of the only workspace in the API.
async fn workspace(test: &TestApp, key: &Key) -> String {
    let workspaces = read(test, key, "/api/v1/workspaces").await;
    format!("/api/v1/workspaces/{}", workspaces["items"][0]["id"].as_str().expect("an id"))
}

/// Returns a hidden field of the current page.
fn hidden<'a>(browser: &Browser<'_>, name: &'a str) -> (&'a str, String) {
    let start = format!("type=\"hidden\" name=\"{name}\" value=\"");
    let (_, after) = browser.page.split_once(&start).unwrap_or_else(|| panic!("no hidden {name}:\n{}", browser.page));
    (name, after.split('"').next().unwrap_or_default().to_owned())
}

/// Returns the last part of the current URL.
fn id_in(path: &str) -> String {
    path.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_pages_have_every_field_of_a_service_account() {
    let test = TestApp::new().await;
    let (mut ada, key) = admin(&test).await;
    let list = "/w/acme/service-accounts";
    ada.open(&format!("{list}/new")).await;
    let name = ("name", typed("name", "nightly-export"));
    let description = ("description", typed("description", "Copies the tables"));
    let role = ("role", typed("role", "admin"));
    let display_name = ("display_name", typed("display_name", "Nightly Export"));
    let inputs = BTreeMap::from([name, display_name, description, role]);
    submit(&mut ada, &test, "CreateServiceAccount", &inputs).await;
    let id = id_in(&ada.path);
    let (page, wire) = (format!("{list}/{id}"), format!("{}/service-accounts/{id}", workspace(&test, &key).await));
    assert_has(&read(&test, &key, &wire).await, &inputs);

    ada.open(&format!("{page}/settings")).await;
    let name = ("name", typed("name", "hourly-export"));
    let description = ("description", typed("description", "Copies the views"));
    let role = ("role", typed("role", "member"));
    let disabled = ("disabled", Input::Elsewhere(page.clone(), "/disable\""));
    let display_name = ("display_name", typed("display_name", "Hourly Export"));
    let inputs = BTreeMap::from([name, display_name, description, role, disabled]);
    submit(&mut ada, &test, "UpdateServiceAccount", &inputs).await;
    // A new address is confirmed first, on a page that has every field.
    ada.sees("nightly-export@acme.sa.keyward.local becomes hourly-export@acme.sa.keyward.local");
    let hidden = ["confirmed", "display_name", "name", "description", "role"].map(|name| hidden(&ada, name));
    let fields: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ada.submit(&format!("{page}/settings"), &fields).await.sees("are saved.");
    let account = read(&test, &key, &wire).await;
    assert_has(&account, &inputs);
    ada.open(&page).await;
    let enabled = format!("href=\"{page}/disable\"");
    let shown =
        [("disabled", enabled.as_str()), ("created_at", "<time datetime="), ("keys", "0 of 5"), ("role", "Member")];
    assert_shows(&ada, &test, "ServiceAccount", &account, &shown).await;
}

#[tokio::test]
async fn the_pages_have_every_field_of_a_project() {
    let test = TestApp::new().await;
    let (mut ada, key) = admin(&test).await;
    ada.open("/w/acme/projects/new").await;
    let inputs =
        BTreeMap::from([("title", typed("title", "Harvest")), ("description", typed("description", "Field images"))]);
    submit(&mut ada, &test, "CreateProject", &inputs).await;
    let id = id_in(&ada.path);
    let at = workspace(&test, &key).await;
    let (page, wire) = (format!("/w/acme/projects/{id}"), format!("{at}/projects/{id}"));
    assert_has(&read(&test, &key, &wire).await, &inputs);

    ada.open(&page).await;
    let inputs =
        BTreeMap::from([("title", typed("title", "Seeding")), ("description", typed("description", "Drone images"))]);
    submit(&mut ada, &test, "UpdateProject", &inputs).await;
    let project = read(&test, &key, &wire).await;
    assert_has(&project, &inputs);
    ada.open(&page).await;
    let (created, changed) = ("Created <time datetime=", "Changed <time datetime=");
    let shown = [("created_by", "by ada"), ("created_at", created), ("updated_at", changed)];
    assert_shows(&ada, &test, "Project", &project, &shown).await;
}

#[tokio::test]
async fn the_pages_have_every_field_of_a_key() {
    let test = TestApp::new().await;
    let (mut ada, reader) = admin(&test).await;
    ada.open("/profile/api-keys/new").await;
    let key = test.new_key();
    let none = Value::Null;
    let limits =
        json!({"scopes": none, "projects": none, "workspaces": none, "cidrs": ["10.0.0.0/8"], "not_before": none});
    let inputs = BTreeMap::from([
        ("title", typed("title", "laptop")),
        ("public_key", typed("public_key", &key.openssh)),
        ("expires_at", Input::Typed("expires", "2026-01-10".to_owned(), json!("2026-01-10T23:59:59Z"))),
        // The page asks for it if another principal registered the key.
        ("proof", Input::ProgramsOnly),
        ("limits", Input::Typed("networks", "10.0.0.0/8".to_owned(), limits)),
    ]);
    submit(&mut ada, &test, "CreateApiKey", &inputs).await;
    let id = id_in(&ada.path);
    let (page, wire) = (format!("/profile/api-keys/{id}"), format!("/api/v1/me/keys/{id}"));
    assert_has(&read(&test, &reader, &wire).await, &inputs);

    ada.open(&page).await;
    let inputs = BTreeMap::from([
        ("title", typed("title", "desktop")),
        ("expires_at", Input::Typed("expires", "2026-02-10".to_owned(), json!("2026-02-10T23:59:59Z"))),
        ("limits", Input::Elsewhere(format!("{page}/limits"), "name=\"networks\"")),
    ]);
    submit(&mut ada, &test, "UpdateApiKey", &inputs).await;
    ada.open(&page).await.sees("<dt>Networks</dt><dd>10.0.0.0/8</dd>");
    // The requests of this test have no IP address in that network.
    ada.submit(&format!("{page}/limits"), &[("networks", ""), ("scopes", "keyward:read")]).await;
    read(&test, &key, "/api/v1/me").await;
    test.app.write_records().await.unwrap();
    let object = read(&test, &reader, &wire).await;
    assert_has(&object, &inputs);
    ada.open(&page).await;
    let shown = [
        ("created_at", "<dt>Created</dt><dd><time datetime=\"2026-01-02"),
        ("created_by", "by ada"),
        ("created_with", NONE),
        ("expires_at", "<dt>Expires</dt><dd><time datetime=\"2026-02-10"),
        ("last_used_at", "<dd id=\"last-used\"><time datetime=\"2026-01-02"),
        ("proven_at", NONE),
        ("displaced_at", NONE),
        ("limits", "<dt>May do</dt><dd>Only read</dd>"),
        ("predecessor", NONE),
        ("successor", NONE),
    ];
    assert_shows(&ada, &test, "ApiKey", &object, &shown).await;

    // Another user reclaims a key that ada's other key registered.
    let me = read(&test, &reader, "/api/v1/me").await["principal"]["id"].as_str().unwrap().to_owned();
    let admin = Actor { key: reader.clone(), id: me, email: "ada@example.com".to_owned() };
    let at = workspace(&test, &reader).await;
    let max = test.member(&id_in(&at), &admin, "max", "member").await;
    let contested = test.new_key();
    let create = json!({"title": "contested", "public_key": contested.openssh});
    let created = test.post("/api/v1/me/keys", &create).by(&reader).send().await.expect(201);
    let wire = format!("/api/v1/me/keys/{}", created["id"].as_str().unwrap());
    let challenge = test.post("/api/v1/me/proof-challenges", &json!({})).by(&max.key).send().await.expect(201);
    let proof = contested.prove(&max.id, challenge["challenge"].as_str().unwrap());
    let create = json!({"title": "mine", "public_key": contested.openssh, "proof": proof});
    let reclaimed = test.post("/api/v1/me/keys", &create).by(&max.key).send().await.expect(201);
    assert!(reclaimed["proven_at"].is_string());
    let object = read(&test, &reader, &wire).await;
    ada.open(&wire.replace("/api/v1/me/", "/profile/api-")).await;
    assert!(object["created_with"].is_string(), "{object}");
    let shown = [
        ("created_at", "<dt>Created</dt><dd><time datetime=\"2026-01-02"),
        ("created_by", "by ada"),
        ("created_with", "<dd>the key reader</dd>"),
        ("expires_at", NONE),
        ("last_used_at", NONE),
        ("last_used_ip", NONE),
        ("proven_at", NONE),
        ("displaced_at", "Another account registered this key"),
        ("limits", NONE),
        ("predecessor", NONE),
        ("successor", NONE),
    ];
    assert_shows(&ada, &test, "ApiKey", &object, &shown).await;
}

#[tokio::test]
async fn the_pages_have_every_field_of_a_workspace_and_a_user() {
    let test = TestApp::new().await;
    let mut olga = Browser::signed_in(&test, "olga", true).await;
    let key = test.new_key();
    olga.open("/profile/api-keys/new").await;
    olga.submit("/profile/api-keys", &[("title", "reader"), ("public_key", key.openssh.as_str())]).await;
    olga.open("/operator/users").await;
    let inputs = BTreeMap::from([
        ("email", typed("email", "max@example.com")),
        ("name", typed("name", "Max")),
        ("password", Input::Typed("password", PASSWORD.to_owned(), Value::Null)),
        ("operator", Input::Typed("operator", "1".to_owned(), json!(true))),
    ]);
    submit(&mut olga, &test, "CreateUser", &inputs).await;
    let users = read(&test, &key, "/api/v1/admin/users").await;
    let max = users["items"].as_array().unwrap().iter().find(|user| user["name"] == "Max").expect("Max");
    assert_has(max, &inputs);

    olga.open("/operator/workspaces/new").await;
    let inputs = BTreeMap::from([
        ("name", typed("name", "Acme Robotics")),
        ("slug", typed("slug", "acme")),
        ("admin_email", Input::Typed("admin_email", "olga@example.com".to_owned(), Value::Null)),
    ]);
    submit(&mut olga, &test, "CreateWorkspace", &inputs).await;
    let wire = workspace(&test, &key).await;
    let workspace = read(&test, &key, &wire).await;
    assert_has(&workspace, &inputs);
    assert_eq!(workspace["role"], "admin", "the first admin is the one who was named");

    olga.open(&format!("/operator/workspaces/{}", id_in(&wire))).await;
    let number = |name, value: u32| Input::Typed(name, value.to_string(), json!(value));
    let inputs = BTreeMap::from([
        ("service_accounts", number("service_accounts", 31)),
        ("keys_per_service_account", number("keys_per_service_account", 32)),
        ("keys_per_user", number("keys_per_user", 33)),
    ]);
    submit(&mut olga, &test, "UpdateQuotas", &inputs).await;
    assert_has(&read(&test, &key, &wire).await["quotas"], &inputs);

    olga.open("/w/acme/general").await;
    let inputs = BTreeMap::from([("name", typed("name", "Acme Fields"))]);
    submit(&mut olga, &test, "UpdateWorkspace", &inputs).await;
    let workspace = read(&test, &key, &wire).await;
    assert_has(&workspace, &inputs);
    olga.open("/w/acme/general").await;
    let shown = [
        ("quotas", "<dd>31 at most</dd>"),
        ("role", "<dt>Your role</dt><dd>Admin</dd>"),
        ("created_at", "<time datetime="),
    ];
    assert_shows(&olga, &test, "Workspace", &workspace, &shown).await;
}
