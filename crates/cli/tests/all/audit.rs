//! `keyward audit`.

use crate::support::{Home, Town};

fn installation() -> Home {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.run(&["admin", "create-workspace", "--name", "Acme", "--slug", "acme", "--admin", "ann@example.com"]).ok();
    home
}

#[test]
fn an_untouched_log_is_intact_also_beside_a_running_server() {
    let home = installation();
    let _server = home.serve();
    let verified = home.run(&["audit", "verify"]).ok();
    assert!(verified.starts_with("the audit log is intact in itself: 4 events"), "{verified}");
    let note = home.run(&["audit", "checkpoint"]).ok();
    assert!(note.starts_with("keyward/"), "{note}");
    home.write("checkpoint", &note);
    home.ssh_keygen("other");
    let add = ["admin", "add-key", "--user", "ann@example.com", "--title", "o", "--public-key-file", "other.pub"];
    home.run(&add).ok();
    let verified = home.run(&["audit", "verify", "--checkpoint", "checkpoint"]).ok();
    assert!(verified.contains("against the checkpoint: 5 events"), "{verified}");
}

#[test]
fn a_log_that_was_tampered_with_is_found_out() {
    let home = installation();
    let server = home.serve();
    assert_eq!(server.stop(), Some(0));
    home.write("checkpoint", &home.run(&["audit", "checkpoint"]).ok());
    let change = "UPDATE audit_events SET principal = 'anonymous' WHERE action = 'api_key.create'";
    home.tool("sqlite3", &["keyward-data/keyward.db", change]);
    let ran = home.run(&["audit", "verify"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("finding: event 1 (evt_"), "{}", ran.stdout);

    // A removed end of the log, together with the head, is only detected with a checkpoint.
    let home = installation();
    home.write("before", &home.run(&["audit", "checkpoint"]).ok());
    home.tool("cp", &["-r", "keyward-data", "copy"]);
    home.ssh_keygen("other");
    let add = ["admin", "add-key", "--user", "ann@example.com", "--title", "o", "--public-key-file", "other.pub"];
    home.run(&add).ok();
    home.write("after", &home.run(&["audit", "checkpoint"]).ok());
    home.run(&["audit", "verify", "--data", "copy", "--checkpoint", "before"]).ok();
    let ran = home.run(&["audit", "verify", "--data", "copy", "--checkpoint", "after"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("were removed"), "{}", ran.stdout);
}

#[test]
fn a_file_that_is_no_checkpoint_of_this_log_is_refused() {
    let home = installation();
    home.write("note", "keyward/other\n1\nAAAA\n\n");
    let refused = home.run(&["audit", "verify", "--checkpoint", "note"]).refused();
    assert!(refused.contains("checkpoint"), "{refused}");
    assert!(home.run(&["audit", "verify", "--checkpoint", "nowhere"]).refused().contains("nowhere cannot be read"));
}

#[test]
fn events_are_listed_latest_first_and_filtered() {
    let home = installation();
    let all = home.run(&["audit", "list", "--json"]).json();
    let actions: Vec<_> = all["items"].as_array().expect("events").iter().map(|event| &event["action"]).collect();
    assert_eq!(actions, ["member.add", "workspace.create", "api_key.create", "user.create"]);
    let some = home.run(&["audit", "list", "--workspace", "acme", "--limit", "1"]).ok();
    assert_eq!(some.lines().count(), 2, "{some}");
    assert!(some.lines().nth(1).expect("an event").contains("member.add"), "{some}");
    assert!(home.run(&["audit", "list", "--workspace", "nowhere"]).refused().contains("list-workspaces"));
}

#[test]
fn an_admin_reads_the_events_of_their_workspace_over_the_api() {
    let town = Town::new();
    town.run("bob", &["projects", "create", "Scenes"]).ok();
    let listed = town.run("ann", &["audit", "list", "--principal", "bob@example.com"]).ok();
    let actions: Vec<_> = listed.lines().filter_map(|line| line.split('\t').nth(3)).collect();
    assert_eq!(actions, ["ACTION", "project.create", "invitation.accept"], "the latest first");
    let event = town.run("ann", &["audit", "list", "--action", "project.create", "--json"]).json();
    let at = event["items"][0]["at"].as_str().expect("a time").to_owned();
    let key = event["items"][0]["key"].as_str().expect("a key").to_owned();
    let count = |filter: &[&str]| {
        let events = town.run("ann", &[&["audit", "list", "--json"], filter].concat()).json();
        events["items"].as_array().expect("events").len()
    };
    assert_eq!(count(&["--with-key", &key, "--from", &at]), 1);
    assert_eq!(count(&["--with-key", &key, "--to", &at]), 0);
    assert_eq!(count(&["--limit", "2"]), 2);
    // On the same machine, the data directory contains the events of all workspaces, for users that may read it.
    let on_host = town.run("ann", &["audit", "list", "--data", "keyward-data", "--action", "workspace.create"]).ok();
    assert_eq!(on_host.lines().count(), 3, "{on_host}");
    let both = ["audit", "list", "--data", "keyward-data", "--url", &town.server.url];
    assert!(town.run("ann", &both).refused().contains("choose one"));

    let member = town.run("bob", &["audit", "list"]).refused();
    assert!(member.contains("must have the role admin of the workspace"), "{member}");
    let stranger = town.run("eve", &["audit", "list", "--workspace", "acme"]).refused();
    assert!(stranger.contains("no workspace `acme` that you can see"), "{stranger}");
}
