//! `keyward keys rotate`: the key file is replaced without a moment in which it holds no good key, whatever interrupts it.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Ran, Town};

/// Much more steps than a rotation has.
const MAX_STEPS: u32 = 400;

fn exists(town: &Town, name: &str) -> bool {
    town.home.file(name).exists()
}

fn read(town: &Town, name: &str) -> String {
    fs::read_to_string(town.home.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn fingerprint(town: &Town, name: &str) -> String {
    let told = town.home.tool("ssh-keygen", &["-lf", name]);
    told.split_whitespace().nth(1).expect("a fingerprint").to_owned()
}

fn rotate(town: &Town, arguments: &[&str]) -> Ran {
    town.run("ci.key", &[&["keys", "rotate"], arguments].concat())
}

/// Returns the keys of the service account.
fn keys_of(town: &Town, account: &str) -> Vec<Value> {
    let keys = town.run("ann", &["keys", "list", "--all", "--json", "--service-account", account]).json();
    keys["items"].as_array().expect("keys").clone()
}

fn in_state<'a>(keys: &'a [Value], state: &'a str) -> impl Iterator<Item = &'a Value> {
    keys.iter().filter(move |key| key["state"] == state)
}

/// A town with the service account `ci.key`, whose key is in the file with its name.
fn town() -> Town {
    let town = Town::new();
    town.run("ann", &["service-accounts", "create", "ci-bot"]).ok();
    town.run("ann", &["keys", "add", "--generate", "ci.key", "--service-account", "ci-bot"]).ok();
    town
}

#[test]
fn a_service_account_rotates_the_key_in_its_file() {
    let town = town();
    fs::set_permissions(town.home.file("ci.key"), fs::Permissions::from_mode(0o400)).expect("a mode");
    let (old, old_key) = (fingerprint(&town, "ci.key.pub"), read(&town, "ci.key"));
    let told = rotate(&town, &["--overlap", "12h"]).ok();
    let new = fingerprint(&town, "ci.key.pub");
    assert!(told.contains(&format!("{new} replaces {old}")) && told.contains("--undo"), "{told}");
    assert_eq!(fingerprint(&town, "ci.key"), new);
    assert_eq!(read(&town, "ci.key.old"), old_key);
    for name in ["ci.key", "ci.key.old"] {
        assert_eq!(fs::metadata(town.home.file(name)).expect("a file").mode() & 0o777, 0o400, "{name}");
    }
    assert_eq!(fs::metadata(town.home.file("ci.key.pub")).expect("a file").mode() & 0o777, 0o644);
    for left in ["ci.key.new", "ci.key.new.pub", "ci.key.undo", "ci.key.new.tmp"] {
        assert!(!exists(&town, left), "{left}");
    }
    town.run("ci.key", &["whoami"]).ok();
    town.run("ci.key.old", &["whoami"]).ok();
    let shown = town.run("ann", &["keys", "show", &new, "--service-account", "ci-bot"]).ok();
    assert!(shown.contains(&old) && shown.contains("by the key itself, both accepted until"), "{shown}");

    // The next one overwrites the backup, and keeps none if that is wanted.
    let report = rotate(&town, &["--no-backup", "--json"]).json();
    assert_eq!(report["result"], "rotated");
    assert_eq!(report["rotation"]["predecessor"]["fingerprint"], new.as_str());
    assert_eq!(report["fingerprint"], fingerprint(&town, "ci.key").as_str());
    assert!(!exists(&town, "ci.key.old"));
}

#[test]
fn users_rotate_their_keys_and_a_link_stays_a_link() {
    let town = Town::new();
    fs::create_dir(town.home.file("secrets")).expect("a directory");
    fs::rename(town.home.file("bob"), town.home.file("secrets/bob")).expect("a move");
    fs::rename(town.home.file("bob.pub"), town.home.file("secrets/bob.pub")).expect("a move");
    symlink("secrets/bob", town.home.file("bob")).expect("a link");
    let old = fingerprint(&town, "secrets/bob.pub");
    town.run("bob", &["keys", "rotate"]).ok();
    assert!(fs::symlink_metadata(town.home.file("bob")).expect("a link").is_symlink());
    assert_ne!(fingerprint(&town, "secrets/bob.pub"), old);
    assert!(town.run("bob", &["whoami"]).ok().starts_with("bob@example.com"));
    assert!(exists(&town, "secrets/bob.old"));
}

#[test]
fn a_rotation_that_is_not_due_does_nothing() {
    let town = town();
    let before = read(&town, "ci.key");
    let told = rotate(&town, &["--if-older-than", "30d"]).ok();
    assert!(told.starts_with("not due: SHA256:"), "{told}");
    assert_eq!(rotate(&town, &["--if-older-than", "30d", "--json"]).json()["result"], "not_due");
    assert_eq!(read(&town, "ci.key"), before);
    rotate(&town, &["--if-older-than", "0"]).ok();
    assert_ne!(read(&town, "ci.key"), before);
}

#[test]
fn a_rotation_is_undone_and_the_backup_of_an_ended_overlap_is_removed() {
    let town = town();
    let before = read(&town, "ci.key");
    let told = rotate(&town, &["--undo"]).fails_with(1);
    assert!(told.contains("no rotation") && told.contains("to undo"), "{told}");
    rotate(&town, &[]).ok();
    let new = fingerprint(&town, "ci.key");
    let told = rotate(&town, &["--undo"]).ok();
    assert!(told.contains("the new key is revoked"), "{told}");
    assert_eq!(read(&town, "ci.key"), before);
    assert_eq!(fingerprint(&town, "ci.key.pub"), fingerprint(&town, "ci.key"));
    assert!(!exists(&town, "ci.key.old") && !exists(&town, "ci.key.undo"));
    town.run("ci.key", &["whoami"]).ok();
    let keys = keys_of(&town, "ci-bot");
    assert_eq!(in_state(&keys, "revoked").map(|key| &key["fingerprint"]).collect::<Vec<_>>(), [new.as_str()]);

    // Without an overlap, the old key is revoked, so there is nothing to undo, and the next run removes the backup.
    rotate(&town, &["--overlap", "0"]).ok();
    rotate(&town, &["--undo"]).fails_with(1);
    town.run("ci.key.old", &["whoami"]).fails_with(3);
    rotate(&town, &["--if-older-than", "1d"]).ok();
    assert!(!exists(&town, "ci.key.old"));
    town.run("ci.key", &["whoami"]).ok();
}

#[test]
fn a_refused_rotation_leaves_the_file_as_it_was() {
    let town = town();
    let before = read(&town, "ci.key");
    rotate(&town, &["--overlap", "31d"]).fails_with(2);
    rotate(&town, &["--overlap", "30m"]).fails_with(2);
    // Another machine with a copy of the key has rotated it.
    fs::copy(town.home.file("ci.key"), town.home.file("copy.key")).expect("a copy");
    town.run("copy.key", &["keys", "rotate"]).ok();
    let told = rotate(&town, &[]).fails_with(1);
    assert!(told.contains("was rotated") && told.contains("replaces it"), "{told}");
    assert_eq!(read(&town, "ci.key"), before);
    assert!(!exists(&town, "ci.key.new") && !exists(&town, "ci.key.old"));
    // Another key is where the backup would be.
    town.home.ssh_keygen("ci.key.old");
    let told = rotate(&town, &[]).fails_with(1);
    assert!(told.contains("holds another key") && !exists(&town, "ci.key.new"), "{told}");
    for name in ["ci.key.old", "ci.key.old.pub"] {
        fs::remove_file(town.home.file(name)).expect("a file");
    }
    // The key was revoked.
    town.run("ann", &["keys", "revoke", &fingerprint(&town, "ci.key"), "-s", "ci-bot", "--yes"]).ok();
    rotate(&town, &[]).fails_with(3);
    assert!(!exists(&town, "ci.key.new"));
    // The server does not answer.
    let closed = "http://127.0.0.1:9";
    town.home.run(&["keys", "rotate", "--key", "ci.key", "--url", closed]).fails_with(5);
    town.home.run(&["keys", "rotate", "--key", "-", "--url", closed]).fails_with(2);
    assert_eq!(read(&town, "ci.key"), before);
}

#[test]
fn a_key_that_is_revoked_takes_its_own_successors_with_it() {
    let town = town();
    rotate(&town, &[]).ok();
    let (old, new) = (fingerprint(&town, "ci.key.old"), fingerprint(&town, "ci.key"));
    let revoke = ["keys", "revoke", old.as_str(), "--service-account", "ci-bot"];
    let told = town.run("ann", &revoke).refused();
    assert!(told.contains("its successors are revoked, too") && told.contains(&new), "{told}");
    let told = town.run("ann", &[&revoke[..], &["--yes"]].concat()).ok();
    assert!(told.contains("also revoked its successors: ci (SHA256:"), "{told}");
    town.run("ci.key", &["whoami"]).fails_with(3);
    let told = town.run("ann", &[&revoke[..], &["--yes"]].concat()).ok();
    assert!(told.contains("was already revoked"), "{told}");
}

/// Builds the library that kills the process at a step.
fn kill_at(town: &Town) -> String {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/rotation/kill_at.c");
    town.home.tool("cc", &["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", "kill_at.so", source, "-ldl"]);
    town.home.file("kill_at.so").display().to_string()
}

/// Runs a command that is killed before a step. Returns whether it was.
fn is_killed(town: &Town, library: &str, step: u32, arguments: &[&str]) -> bool {
    let mut command: Command = town.command("ci.key", arguments);
    command.env("LD_PRELOAD", library).env("KILL_AT", step.to_string());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("keyward starts");
    assert!(status.success() || status.code().is_none(), "step {step}: {status}");
    !status.success()
}

/// Runs a command once for each of its steps, killed there, until one run is not killed. After each kill, `check` runs.
fn kill_at_each_step(town: &Town, arguments: &[&str], mut check: impl FnMut(u32)) {
    let library = kill_at(town);
    let mut step = 1;
    while is_killed(town, &library, step, arguments) {
        check(step);
        step += 1;
        assert!(step < MAX_STEPS, "it does not end");
    }
    assert!(step > 20, "only {step} steps: the library was not loaded");
}

/// Checks what holds after every interruption: the file has a key that is accepted.
#[track_caller]
fn assert_accepted(town: &Town, step: u32) {
    let ran = town.run("ci.key", &["whoami"]);
    assert_eq!(ran.code, Some(0), "after step {step}: {}", ran.stderr);
}

/// Checks that nothing of an interrupted rotation is left, neither in the directory nor on the server.
#[track_caller]
fn assert_finished(town: &Town, step: u32) {
    for left in ["new", "undo", "new.pub", "undo.pub", "old.pub", "new.tmp", "old.tmp", "new.pub.tmp", "undo.tmp"] {
        assert!(!exists(town, &format!("ci.key.{left}")), "after step {step}: {left}");
    }
    assert_eq!(fingerprint(town, "ci.key.pub"), fingerprint(town, "ci.key"), "after step {step}");
}

#[test]
fn after_a_kill_at_any_step_the_next_run_finishes_the_rotation() {
    let town = town();
    town.home.run(&["admin", "set-quota", "--workspace", "acme", "--keys-per-service-account", "1000"]).ok();
    kill_at_each_step(&town, &["keys", "rotate", "--overlap", "1h"], |step| {
        assert_accepted(&town, step);
        let current = fingerprint(&town, "ci.key");
        // The rotation may be complete already. If not, it is finished, and no second one begins.
        let before = keys_of(&town, "ci-bot").len();
        rotate(&town, &["--overlap", "1h"]).ok();
        assert_ne!(fingerprint(&town, "ci.key"), current, "after step {step}");
        assert_accepted(&town, step);
        assert_finished(&town, step);
        let keys = keys_of(&town, "ci-bot");
        assert!(keys.len() <= before + 1, "after step {step}");
        // No key is on the server that is in no file: each is the predecessor or the successor of another one.
        assert_eq!(in_state(&keys, "active").filter(|key| key["successor"].is_null()).count(), 1, "after step {step}");
    });
}

#[test]
fn after_a_kill_at_any_step_the_next_run_finishes_the_undo() {
    let town = town();
    town.home.run(&["admin", "set-quota", "--workspace", "acme", "--keys-per-service-account", "1000"]).ok();
    let before = fingerprint(&town, "ci.key");
    rotate(&town, &["--overlap", "1h"]).ok();
    kill_at_each_step(&town, &["keys", "rotate", "--undo"], |step| {
        assert_accepted(&town, step);
        let undone = rotate(&town, &["--undo"]);
        // The undo may be complete already.
        assert!(matches!(undone.code, Some(0 | 1)), "after step {step}: {}", undone.stderr);
        assert_accepted(&town, step);
        assert_finished(&town, step);
        assert_eq!(fingerprint(&town, "ci.key"), before, "after step {step}");
        let keys = keys_of(&town, "ci-bot");
        assert_eq!(in_state(&keys, "active").count(), 1, "after step {step}");
        rotate(&town, &["--overlap", "1h"]).ok();
    });
}

#[test]
fn after_a_kill_without_an_overlap_the_next_run_finishes_the_rotation() {
    let town = town();
    kill_at_each_step(&town, &["keys", "rotate", "--overlap", "0", "--no-backup"], |step| {
        // The old key may be revoked, while the new one is only in FILE.new.
        rotate(&town, &["--overlap", "0", "--no-backup"]).ok();
        assert_accepted(&town, step);
        assert_finished(&town, step);
        let keys = keys_of(&town, "ci-bot");
        assert_eq!(in_state(&keys, "active").count(), 1, "after step {step}");
    });
}
