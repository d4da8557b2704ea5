//! Short forms of the experiments in `scripts/`. The long forms also measure durations, which is not possible on a
//! machine that runs other tests at the same time.

use std::{path::Path, process::Command};

#[track_caller]
fn passes(script: &str, arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = std::env::var_os("KEYWARD_PYTHON").map_or_else(|| root.join(".venv/bin/python"), Into::into);
    let run = Command::new(&python)
        .arg(root.join("scripts").join(script))
        .args(arguments)
        .args(["--binary", env!("CARGO_BIN_EXE_keyward")])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/setup makes it", python.display()));
    let (told, why) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && told.contains("passed"), "{told}{why}");
}

#[test]
fn no_acknowledged_change_is_lost_when_the_server_is_killed_under_writes() {
    passes("crash", &["--rounds", "5"]);
}

#[test]
fn nor_is_one_on_postgresql() {
    passes("crash", &["--rounds", "3", "--postgres"]);
}

#[test]
fn no_node_begins_to_accept_a_revoked_key_during_faults() {
    passes("revocation", &["--revocations", "27", "--faults", "0.5", "--any-time"]);
}

#[test]
fn rotations_fail_no_request_and_no_key_outlives_its_overlap() {
    passes("rotate", &["--rotations", "50"]);
}

#[test]
fn a_signed_write_that_is_sent_to_all_nodes_happens_once() {
    passes("replay", &["--writes", "100"]);
}

#[test]
fn a_restored_postgresql_backup_keeps_revoked_keys_refused() {
    passes("backup-restore-postgres", &[]);
}

#[test]
fn reads_outlive_the_database_by_a_lease_and_the_server_recovers() {
    passes("outage", &["--rounds", "1"]);
}

#[test]
fn clients_are_served_while_an_unauthenticated_client_attacks() {
    let attacks = ["slow_bodies", "idle_http2", "tiny_fields", "slow_heads"].map(|attack| ["--attack", attack]);
    let short = ["--connections", "1200", "--seconds", "2", "--rate", "500000", "--any-time"];
    passes("overload", &[&short[..], attacks.as_flattened()].concat());
}
