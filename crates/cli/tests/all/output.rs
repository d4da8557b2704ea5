//! The output of lists and messages: quiet, without headers, and on a terminal of 80 columns.

use crate::support::Town;

/// Creates a service account with a long name and description, a project, a key with an expiry, and an invitation.
fn furnished() -> Town {
    let town = Town::new();
    let long = "It exports the annotations of every project each night, and sends them to the archive";
    town.run("ann", &["service-accounts", "create", "nightly-exporter-of-annotations", "--description", long]).ok();
    town.run("ann", &["projects", "create", "Street scenes in the rain, by night", "--description", long]).ok();
    town.run("bob", &["keys", "add", "-g", "new.key", "--title", long, "--expires-at", "90d"]).ok();
    town.run("ann", &["invitations", "create", "someone.with.a.long.address@subsidiary.example.com"]).ok();
    town
}

#[test]
fn tables_fit_80_columns() {
    let town = furnished();
    for (who, arguments) in [
        ("bob", &["keys", "list"][..]),
        ("ann", &["service-accounts", "list"]),
        ("ann", &["projects", "list"]),
        ("ann", &["projects", "members", "list", "Street scenes in the rain, by night"]),
        ("ann", &["members", "list"]),
        ("ann", &["invitations", "list"]),
        ("ann", &["workspaces", "list"]),
        ("ann", &["audit", "list", "--workspace", "acme"]),
        ("ann", &["admin", "list-users"]),
        ("ann", &["admin", "list-workspaces"]),
        ("ann", &["admin", "list-keys"]),
        ("ann", &["admin", "list-nodes"]),
        ("ann", &["admin", "list-suspended-users"]),
        ("ann", &["admin", "list-suspended-keys"]),
    ] {
        let arguments = [arguments, &["--color", "never"]].concat();
        let ran = town.at_terminal(80, who, &arguments).output().expect("script starts");
        let table = String::from_utf8(ran.stdout).expect("text").replace('\r', "");
        assert!(ran.status.success() && !table.trim().is_empty(), "{arguments:?}: {table}");
        for line in table.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}\n{table}");
        }
    }
    let keys = town.at_terminal(80, "bob", &["keys", "list", "--color", "never"]).output().expect("script starts");
    let keys = String::from_utf8(keys.stdout).expect("text");
    for header in ["TITLE", "FINGERPRINT", "STATE", "LAST USED", "EXPIRES"] {
        assert!(keys.lines().next().is_some_and(|line| line.contains(header)), "{header}: {keys}");
    }
}

#[test]
fn lists_have_no_header_with_no_header() {
    let town = furnished();
    for arguments in [
        &["members", "list", "--no-header"][..],
        &["--no-header", "members", "list"],
        &["admin", "list-users", "--no-header"],
        &["admin", "list-workspaces", "--no-header"],
    ] {
        let listed = town.run("ann", arguments).ok();
        assert_eq!(listed.lines().count(), if arguments.contains(&"list-users") { 3 } else { 2 }, "{listed}");
        assert!(!listed.contains("EMAIL") && !listed.contains("SLUG"), "{listed}");
    }
    let seen = town.run_at_terminal("ann", &["members", "list", "--no-header"], "").ok();
    assert!(seen.contains("bob@example.com") && !seen.contains("EMAIL"), "{seen}");
}

#[test]
fn quiet_omits_messages_and_prints_results() {
    let town = Town::new();
    for (arguments, prefix) in [
        (&["service-accounts", "create", "ci-bot", "-q"][..], "sa_"),
        (&["projects", "create", "Whales", "--quiet"], "prj_"),
        (&["keys", "add", "-q", "-g", "new.key"], "key_"),
        (&["workspaces", "create", "--name", "Beta", "--slug", "beta", "-q"], "ws_"),
    ] {
        let ran = town.run("ann", arguments);
        assert_eq!(ran.stderr, "", "{arguments:?}");
        let id = ran.ok();
        assert!(id.starts_with(prefix) && id.lines().count() == 1, "{arguments:?}: {id}");
    }
    for arguments in [
        &["service-accounts", "disable", "ci-bot", "-w", "acme", "-q"][..],
        &["keys", "rename", "new", "newer", "-q"],
        &["keys", "revoke", "newer", "--yes", "-q"],
        &["admin", "set-quota", "--workspace", "acme", "--service-accounts", "3", "-q"],
    ] {
        let ran = town.run("ann", arguments);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""), "{arguments:?}");
    }
    // Lists, results and links that are shown once are not messages. Errors are not messages either.
    assert!(town.run("ann", &["members", "list", "-w", "acme", "-q"]).ok().contains("bob@example.com"));
    assert!(town.run("ann", &["whoami", "-q"]).ok().starts_with("ann@example.com"));
    assert!(
        town.run("ann", &["invitations", "create", "new@example.com", "-w", "acme", "-q"])
            .ok()
            .contains("/invitations/")
    );
    assert!(town.run("bob", &["workspaces", "list", "--all", "-q"]).fails_with(4).starts_with("error: "));
}
