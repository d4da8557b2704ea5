//! `keyward backup` and `keyward restore`.

use crate::support::Home;

#[test]
fn a_backup_is_taken_beside_a_server_and_comes_back_with_every_key_suspended() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let server = home.serve();
    home.run(&["backup", "backup.db"]).ok();
    assert!(home.run(&["backup", "backup.db"]).refused().contains("backup.db"), "a backup must not be overwritten");
    assert_eq!(server.stop(), Some(0));

    // Into the directory that is in use, or without the installation's key: refused, and nothing is touched.
    assert!(home.run(&["restore", "backup.db"]).refused().contains("keyward.db is there"));
    assert!(home.run(&["restore", "backup.db", "--data", "new"]).refused().contains("--installation-key"));
    let restore = ["restore", "backup.db", "--data", "new", "--installation-key", "keyward-data/installation.key"];
    let told = home.run(&restore).ok();
    assert!(told.contains("all 1 keys are suspended"), "{told}");

    let server = crate::support::Running::start(home.keyward(&["serve", "--listen", "127.0.0.1:0", "--data", "new"]));
    let whoami = ["whoami", "--url", &server.url, "--key", "id"];
    let refused = home.run(&whoami).refused();
    assert!(refused.contains("confirm-keys"), "{refused}");
    let waiting = home.run(&["admin", "list-suspended-keys", "--data", "new"]).ok();
    assert!(waiting.contains("ann@example.com"), "{waiting}");
    home.run(&["admin", "confirm-keys", "--data", "new", "--all"]).ok();
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
    assert!(!home.file("new/keyward.db").exists() && !home.file("new/keyward.db.restoring").exists());
    home.write("torn.db", "SQLite format 3 and then nothing");
    let restore = ["restore", "torn.db", "--data", "other", "--installation-key", "keyward-data/installation.key"];
    assert!(home.run(&restore).refused().contains("restore a backup"));
    assert!(!home.file("other/installation.key").exists());
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
