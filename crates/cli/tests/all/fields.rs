//! Each field of an API request has an argument, and `show` prints each field of an object. The fields come from the
//! OpenAPI document, so that a new one fails here until the commands support it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::Town;

/// A field: the arguments that set it, and the value in the object.
type Argument<'a> = (&'a [&'a str], Value);

/// Returns the fields of a schema in the OpenAPI document.
fn fields(town: &Town, schema: &str) -> BTreeSet<String> {
    let url = format!("{}/api/v1/openapi.json", town.server.url);
    let document = town.home.tool("curl", &["--silent", "--show-error", "--fail", &url]);
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let properties = document["components"]["schemas"][schema]["properties"].as_object();
    properties.unwrap_or_else(|| panic!("no properties of {schema}")).keys().cloned().collect()
}

/// Runs the command with the arguments for all fields of the request, and compares the object. A field with the value
/// null is set by another command, or is not part of the object.
#[track_caller]
fn send(town: &Town, request: &str, command: &[&str], arguments: &BTreeMap<&str, Argument<'_>>) -> Value {
    let known: BTreeSet<String> = arguments.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(known, fields(town, request), "the fields of {request}, and those that this test sends");
    let all = arguments.values().flat_map(|(arguments, _)| arguments.iter().copied());
    let object = town.run("ann", &command.iter().copied().chain(all).chain(["--json"]).collect::<Vec<_>>()).json();
    for (field, (_, expected)) in arguments {
        assert!(expected.is_null() || object[*field] == *expected, "{field} of {object}");
    }
    object
}

/// In `shown`: the field has no value in this object.
const NONE: &str = "";

/// Checks that `show` prints every field of the object: its text, or the text in `shown`.
#[track_caller]
fn assert_shows(town: &Town, schema: &str, command: &[&str], shown: &[(&str, &str)]) {
    let object = town.run("ann", &[command, &["--json"]].concat()).json();
    let text = town.run("ann", command).ok();
    for field in fields(town, schema) {
        let words = match (shown.iter().find(|(name, _)| *name == field), &object[&field]) {
            (Some((_, NONE)), value) => {
                assert!(value.is_null(), "{field} is {value}");
                continue;
            }
            (Some((_, words)), _) => (*words).to_owned(),
            (None, Value::String(words)) => words.clone(),
            (None, other) => panic!("say how `show` prints {field} of {schema}, which is {other}"),
        };
        assert!(text.contains(&words), "{field}, `{words}`, is not in:\n{text}");
    }
}

#[test]
fn the_commands_have_every_field_of_a_service_account() {
    let town = Town::new();
    let arguments: BTreeMap<&str, Argument<'_>> = BTreeMap::from([
        ("name", (&["nightly-export"][..], json!("nightly-export"))),
        ("display_name", (&["--display-name", "Nightly Export"][..], json!("Nightly Export"))),
        ("description", (&["--description", "Copies the tables"][..], json!("Copies the tables"))),
        ("role", (&["--role", "admin"][..], json!("admin"))),
    ]);
    send(&town, "CreateServiceAccount", &["service-accounts", "create"], &arguments);
    let arguments: BTreeMap<&str, Argument<'_>> = BTreeMap::from([
        ("name", (&["--name", "hourly-export", "--yes"][..], json!("hourly-export"))),
        ("display_name", (&["--display-name", "Hourly Export"][..], json!("Hourly Export"))),
        ("description", (&["--description", "Copies the views"][..], json!("Copies the views"))),
        ("role", (&["--role", "member"][..], json!("member"))),
        ("disabled", (&[][..], Value::Null)),
    ]);
    send(&town, "UpdateServiceAccount", &["service-accounts", "update", "nightly-export"], &arguments);
    town.run("ann", &["service-accounts", "disable", "hourly-export"]).ok();
    let shown = [("disabled", "state         disabled"), ("created_at", "created       20"), ("keys", "0 live of 5")];
    assert_shows(&town, "ServiceAccount", &["service-accounts", "show", "hourly-export"], &shown);
}

#[test]
fn the_commands_have_every_field_of_a_project_and_a_workspace() {
    let town = Town::new();
    let arguments: BTreeMap<&str, Argument<'_>> = BTreeMap::from([
        ("title", (&["Harvest"][..], json!("Harvest"))),
        ("description", (&["--description", "Field images"][..], json!("Field images"))),
    ]);
    send(&town, "CreateProject", &["projects", "create"], &arguments);
    let arguments: BTreeMap<&str, Argument<'_>> = BTreeMap::from([
        ("title", (&["--title", "Seeding"][..], json!("Seeding"))),
        ("description", (&["--description", "Drone images"][..], json!("Drone images"))),
    ]);
    send(&town, "UpdateProject", &["projects", "update", "Harvest"], &arguments);
    let shown = [("created_at", "created      20"), ("updated_at", "updated      20")];
    assert_shows(&town, "Project", &["projects", "show", "Seeding"], &shown);

    let arguments: BTreeMap<&str, Argument<'_>> = BTreeMap::from([
        ("name", (&["--name", "Robotics"][..], json!("Robotics"))),
        ("slug", (&["--slug", "robots"][..], json!("robots"))),
        ("admin_email", (&["--admin", "ann@example.com"][..], Value::Null)),
    ]);
    let created = send(&town, "CreateWorkspace", &["workspaces", "create"], &arguments);
    assert_eq!(created["role"], "admin", "the first admin is the one who was named");
    let arguments: BTreeMap<&str, Argument<'_>> =
        BTreeMap::from([("name", (&["Field robots"][..], json!("Field robots")))]);
    send(&town, "UpdateWorkspace", &["workspaces", "rename", "robots"], &arguments);
    let shown = [("created_at", "created           20"), ("quotas", "service accounts  up to 1")];
    assert_shows(&town, "Workspace", &["workspaces", "show", "robots"], &shown);
}

#[test]
fn the_commands_have_every_field_of_a_key() {
    let town = Town::new();
    town.home.ssh_keygen("laptop");
    let public = std::fs::read_to_string(town.home.file("laptop.pub")).expect("a file");
    let public = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    // From the file of a private key, the command sends the public key and a proof.
    let arguments: BTreeMap<&str, Argument<'_>> = BTreeMap::from([
        ("title", (&["--title", "laptop"][..], json!("laptop"))),
        ("public_key", (&["laptop"][..], json!(public))),
        ("expires_at", (&["--expires-at", "2099-01-10T10:00:00Z"][..], json!("2099-01-10T10:00:00Z"))),
        ("proof", (&[][..], Value::Null)),
        ("limits", (&["--scope", "keyward:manage"][..], Value::Null)),
    ]);
    let key = send(&town, "CreateApiKey", &["keys", "add"], &arguments);
    assert!(key["proven_at"].is_string(), "{key}");
    assert_eq!(key["limits"]["scopes"], json!(["keyward:manage"]));
    let arguments: BTreeMap<&str, Argument<'_>> = BTreeMap::from([
        ("title", (&["--title", "desktop"][..], json!("desktop"))),
        ("expires_at", (&["--expires-at", "2098-01-10T10:00:00Z"][..], json!("2098-01-10T10:00:00Z"))),
        // `keys limit` sets it.
        ("limits", (&[][..], Value::Null)),
    ]);
    let updated = send(&town, "UpdateApiKey", &["keys", "update", "laptop"], &arguments);
    let end = town.run("ann", &["keys", "update", "desktop", "--expires-at", "never"]).ok();
    assert_eq!(end, "desktop does not expire\n");

    let with = format!(", with {}", updated["created_with"].as_str().expect("a key"));
    let shown = [
        ("state", "state        active"),
        ("created_at", "created      20"),
        ("created_with", with.as_str()),
        ("expires_at", "expires      never"),
        ("last_used_at", "last used    never"),
        ("last_used_ip", NONE),
        ("proven_at", "proof        20"),
        ("displaced_at", NONE),
        ("limits", "limits       scopes keyward:manage"),
        ("predecessor", NONE),
        ("successor", NONE),
    ];
    assert_shows(&town, "ApiKey", &["keys", "show", "desktop"], &shown);

    // Another user reclaims a key that ann registered without a proof.
    town.home.ssh_keygen("contested");
    let added = town.run("ann", &["keys", "add", "contested.pub", "--json"]).json();
    town.run("bob", &["keys", "add", "contested"]).ok();
    let shown = town.run("ann", &["keys", "show", added["id"].as_str().expect("an id")]).ok();
    assert!(shown.contains("none; another principal reclaimed the key with a proof, 20"), "{shown}");
}
