//! `keyward backup` and `keyward restore`.

use std::{fs, os::unix::fs::symlink};

use crate::support::{Home, Ran, Running};

const KEY: &str = "keyward-data/installation.key";

/// `keyward restore` of `backup.db` into `new`, with the installation's key.
fn restore(home: &Home) -> Ran {
    home.run(&["restore", "backup.db", "--data", "new", "--installation-key", KEY])
}

/// Returns the files in a directory except the lock, by name.
fn files(home: &Home, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(home.file(directory)).expect("a directory");
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "serve.lock");
    names.sort();
    names
}

#[test]
fn a_backup_of_a_running_server_is_restored_with_all_users_and_keys_suspended() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let server = home.serve();
    home.run(&["backup", "backup.db"]).ok();
    assert!(home.run(&["backup", "backup.db"]).refused().contains("backup.db"), "a backup must not be overwritten");
    assert_eq!(server.stop(), Some(0));

    // Refused in the directory that is in use, and without the installation's key. Nothing is changed.
    assert!(home.run(&["restore", "backup.db"]).refused().contains("keyward.db is left from another database"));
    assert!(home.run(&["restore", "backup.db", "--data", "new"]).refused().contains("--installation-key"));
    let restore = ["restore", "backup.db", "--data", "new", "--installation-key", "keyward-data/installation.key"];
    let told = home.run(&restore).ok();
    assert!(told.contains("all 1 users are suspended, and all 1 keys are suspended"), "{told}");
    assert_eq!(files(&home, "new"), ["installation.key", "keyward.db"]);

    let server = Running::start(home.keyward(&["serve", "--listen", "127.0.0.1:0", "--data", "new"]));
    let whoami = ["whoami", "--url", &server.url, "--key", "id"];
    let refused = home.run(&whoami).refused();
    assert!(refused.contains("confirm-keys"), "{refused}");
    let waiting = home.run(&["admin", "list-suspended-keys", "--data", "new"]).ok();
    assert!(waiting.contains("ann@example.com"), "{waiting}");
    // The user and the key are confirmed, in either order.
    let told = home.run(&["admin", "confirm-keys", "--data", "new", "--all"]).ok();
    assert!(told.contains("confirm-users --user ann@example.com"), "{told}");
    let refused = home.run(&whoami).refused();
    assert!(refused.contains("confirm-users"), "{refused}");
    let waiting = home.run(&["admin", "list-suspended-users", "--data", "new"]).ok();
    assert!(waiting.contains("ann@example.com") && waiting.contains("operator"), "{waiting}");
    let told = home.run(&["admin", "confirm-users", "--data", "new", "--all"]).ok();
    assert!(told.contains("confirmed ann@example.com") && told.contains("1 keys, 0 of them suspended"), "{told}");
    home.run(&whoami).ok();
    home.run(&["audit", "verify", "--data", "new"]).ok();
}

#[test]
fn a_backup_that_was_tampered_with_is_not_restored() {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.run(&["backup", "backup.db"]).ok();
    home.tool("sqlite3", &["backup.db", "UPDATE audit_events SET principal = 'anonymous'"]);
    let restore = ["restore", "backup.db", "--data", "new", "--installation-key", "keyward-data/installation.key"];
    let refused = home.run(&restore).refused();
    assert!(refused.contains("does not verify") && refused.contains("nothing was restored"), "{refused}");
    assert_eq!(files(&home, "new"), [""; 0]);
    home.write("torn.db", "SQLite format 3 and then nothing");
    let restore = ["restore", "torn.db", "--data", "other", "--installation-key", "keyward-data/installation.key"];
    assert!(home.run(&restore).refused().contains("restore a backup"));
    assert_eq!(files(&home, "other"), [""; 0]);
}

#[test]
fn a_restore_beside_what_is_left_of_a_database_is_refused_and_changes_nothing() {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.run(&["backup", "backup.db"]).ok();
    // The files of a killed server contain changes that the backup does not have, in a log that SQLite replays.
    home.tool("sqlite3", &["keyward-data/keyward.db", "PRAGMA wal_checkpoint(TRUNCATE)"]);
    let changes =
        "PRAGMA wal_autocheckpoint=0; UPDATE users SET name = 'changed'; UPDATE api_keys SET title = 'changed'";
    home.tool("sqlite3", &["keyward-data/keyward.db", changes, ".shell cp keyward-data/keyward.db-wal left.wal"]);
    let left = fs::read(home.file("left.wal")).expect("a log");
    assert!(left.len() > 4096, "a log with changes in it");
    for name in ["keyward.db-wal", "keyward.db-shm", "keyward.db-journal"] {
        fs::create_dir_all(home.file("new")).unwrap();
        fs::write(home.file(&format!("new/{name}")), &left).unwrap();
        let refused = restore(&home).refused();
        assert!(refused.contains(name) && refused.contains("nothing was changed"), "{refused}");
        assert_eq!(files(&home, "new"), [name], "{refused}");
        assert!(fs::read(home.file(&format!("new/{name}"))).unwrap() == left, "it was changed");
        // A server does not create a new database beside it.
        let refused = home.run(&["serve", "--listen", "127.0.0.1:0", "--data", "new"]).refused();
        assert!(refused.contains(name), "{refused}");
        assert_eq!(files(&home, "new"), [name], "{refused}");
        fs::remove_file(home.file(&format!("new/{name}"))).unwrap();
    }
    // A dangling link counts as an existing file.
    symlink("nowhere", home.file("new/keyward.db")).unwrap();
    assert!(restore(&home).refused().contains("keyward.db is left from another database"));
    fs::remove_file(home.file("new/keyward.db")).unwrap();
    restore(&home).ok();
    assert_eq!(files(&home, "new"), ["installation.key", "keyward.db"]);
}

#[test]
fn files_of_a_killed_restore_are_not_applied() {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.run(&["backup", "backup.db"]).ok();
    fs::create_dir_all(home.file("new/restoring")).unwrap();
    for name in ["keyward.db", "keyward.db-wal", "installation.key"] {
        home.write(&format!("new/restoring/{name}"), "half");
    }
    let told = restore(&home).ok();
    assert!(told.contains("all 1 keys are suspended"), "{told}");
    assert_eq!(files(&home, "new"), ["installation.key", "keyward.db"]);
}

#[test]
fn a_database_with_changes_beside_it_is_no_backup() {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.run(&["backup", "backup.db"]).ok();
    home.write("backup.db-wal", "changes");
    let refused = restore(&home).refused();
    assert!(refused.contains("backup.db-wal is next to it") && refused.contains("keyward backup"), "{refused}");
    assert_eq!(files(&home, "new"), [""; 0]);
    // A link to it has no files beside itself. They are beside its target.
    home.tool("ln", &["-s", "backup.db", "link.db"]);
    let refused = home.run(&["restore", "link.db", "--data", "new", "--installation-key", KEY]).refused();
    assert!(refused.contains("backup.db-wal is next to it"), "{refused}");
    assert_eq!(files(&home, "new"), [""; 0]);
    // A backup is not written beside the files of another database.
    fs::rename(home.file("backup.db-wal"), home.file("other.db-wal")).unwrap();
    let refused = home.run(&["backup", "other.db"]).refused();
    assert!(refused.contains("other.db-wal already exists"), "{refused}");
    assert!(!home.file("other.db").exists());
}

#[test]
fn a_file_without_an_installation_is_not_restored() {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.write("empty.db", "");
    home.tool("sqlite3", &["foreign.db", "CREATE TABLE recipes (name TEXT)"]);
    for file in ["empty.db", "foreign.db"] {
        let refused = home.run(&["restore", file, "--data", "new", "--installation-key", KEY]).refused();
        assert!(refused.contains(&format!("{file} holds no installation")), "{refused}");
        assert_eq!(files(&home, "new"), [""; 0]);
    }
}

#[test]
fn a_restore_that_does_not_hold_in_the_end_is_taken_back() {
    let home = Home::new();
    home.create_operator_with_key("id");
    // The backup reverses the effects of a restore.
    home.run(&["backup", "backup.db"]).ok();
    let undo = "CREATE TRIGGER undo AFTER UPDATE OF suspended ON api_keys WHEN NEW.suspended \
                BEGIN UPDATE api_keys SET suspended = FALSE WHERE id = NEW.id; END";
    home.tool("sqlite3", &["backup.db", undo]);
    let refused = restore(&home).refused();
    assert!(refused.contains("1 keys that are not suspended"), "{refused}");
    assert_eq!(files(&home, "new"), [""; 0]);
}

#[test]
fn people_and_keys_are_looked_at_disabled_and_revoked_while_no_server_runs() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let eve = ["admin", "create-user", "--email", "eve@example.com", "--name", "Eve", "--password-stdin"];
    home.run_with_input(&eve, "walrus trombone cathedral").ok();
    home.run(&["admin", "create-workspace", "--name", "Acme", "--slug", "acme", "--admin", "eve@example.com"]).ok();
    home.ssh_keygen("eve");
    let add = ["admin", "add-key", "--user", "eve@example.com", "--title", "e", "--public-key-file", "eve.pub"];
    home.run(&add).ok();
    home.run(&["backup", "backup.db"]).ok();
    restore(&home).ok();
    let run = |arguments: &[&str]| home.run(&[&["admin"], arguments, &["--data", "new"]].concat());

    let waiting = run(&["list-suspended-users", "--json"]).json();
    let eve = waiting["items"].as_array().unwrap().iter().find(|user| user["email"] == "eve@example.com").unwrap();
    assert_eq!((&eve["workspaces"][0]["slug"], &eve["workspaces"][0]["role"]), (&"acme".into(), &"admin".into()));
    assert_eq!(eve["keys"][0]["title"], "e");
    assert!(run(&["disable-user", "--user", "nobody@example.com"]).refused().contains("no user nobody@example.com"));
    run(&["disable-user", "--user", "eve@example.com"]).ok();
    let key = eve["keys"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(run(&["revoke-key", "--key", &key]).ok(), format!("revoked {key}\n"));
    assert!(run(&["list-users"]).ok().contains("eve@example.com\tEve\tuser\tdisabled"));
    let told = run(&["confirm-users", "--user", "ann@example.com", "--user", eve["id"].as_str().unwrap()]).ok();
    assert!(told.contains("confirmed ann@example.com") && told.contains("still disabled"), "{told}");
    assert!(run(&["confirm-users", "--user", "ann@example.com"]).refused().contains("1 of 1 users were not suspended"));
    run(&["confirm-keys", "--all"]).ok();

    let server = Running::start(home.keyward(&["serve", "--listen", "127.0.0.1:0", "--data", "new"]));
    home.run(&["whoami", "--url", &server.url, "--key", "id"]).ok();
    home.run(&["whoami", "--url", &server.url, "--key", "eve"]).refused();
    assert!(!server.takes_password("eve@example.com", "walrus trombone cathedral"));
    run(&["enable-user", "--user", "eve@example.com"]).ok();
    assert!(server.takes_password("eve@example.com", "walrus trombone cathedral"));
    home.run(&["whoami", "--url", &server.url, "--key", "eve"]).refused();
}

#[test]
fn a_checkpoint_of_events_that_a_restore_lost_is_no_fork_and_everything_else_is() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let checkpoint = |data: &str| home.run(&["audit", "checkpoint", "--data", data]).ok();
    let verify = |file: &str| home.run(&["audit", "verify", "--data", "new", "--checkpoint", file]);
    home.write("before", &checkpoint("keyward-data"));
    home.run(&["backup", "backup.db"]).ok();
    for (name, email) in [("lost-1", "bo@example.com"), ("lost-2", "cy@example.com"), ("lost-3", "di@example.com")] {
        home.run(&["admin", "create-user", "--email", email, "--name", name]).ok();
        home.write(name, &checkpoint("keyward-data"));
    }
    restore(&home).ok();
    assert!(verify("before").ok().contains("against the checkpoint: 3 events"));
    // Whether or not the log has reached the same length again.
    for name in ["lost-1", "lost-3"] {
        let told = verify(name).ok();
        assert!(told.contains("a backup of 2 events was restored"), "{name}: {told}");
        assert!(!told.contains("rewritten") && !told.contains("against the checkpoint"), "{name}: {told}");
    }
    home.run(&["admin", "create-user", "--email", "ed@example.com", "--name", "Ed", "--data", "new"]).ok();
    home.write("since", &checkpoint("new"));
    assert!(verify("lost-2").ok().contains("after the restore"));
    assert!(verify("since").ok().contains("against the checkpoint: 4 events"));

    // A later truncation is detected despite the restore, because the checkpoint contains the restore.
    home.tool("cp", &["-r", "new", "cut"]);
    home.run(&["admin", "create-user", "--email", "fa@example.com", "--name", "Fa", "--data", "new"]).ok();
    home.write("later", &checkpoint("new"));
    let cut = home.run(&["audit", "verify", "--data", "cut", "--checkpoint", "later"]);
    assert!(cut.code == Some(1) && cut.stdout.contains("were removed"), "{}", cut.stdout);
    home.run(&["admin", "create-user", "--email", "gu@example.com", "--name", "Gu", "--data", "cut"]).ok();
    let forked = home.run(&["audit", "verify", "--data", "cut", "--checkpoint", "later"]);
    assert!(forked.code == Some(1) && forked.stdout.contains("the history was rewritten"), "{}", forked.stdout);
}

#[test]
fn a_restore_with_a_wrong_key_leaves_nothing_in_the_way_of_the_next() {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.run(&["backup", "backup.db"]).ok();
    home.write("garbage.key", "no key");
    home.tool("chmod", &["600", "garbage.key"]);
    let restore = |key| home.run(&["restore", "backup.db", "--data", "new", "--installation-key", key]);
    let refused = restore("garbage.key").refused();
    assert!(refused.contains("32 bytes"), "{refused}");
    restore("keyward-data/installation.key").ok();
}
