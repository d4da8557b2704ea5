//! `keyward audit`.

use crate::support::Home;

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

    // A tail that was cut off, the head with it, shows against a checkpoint only.
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
    assert!(ran.stdout.contains("were cut off"), "{}", ran.stdout);
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
