//! The short form of `scripts/crash`: `kill -9` under writes.

use std::{path::Path, process::Command};

#[test]
fn no_acknowledged_change_is_lost_when_the_server_is_killed_under_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = std::env::var_os("KEYWARD_PYTHON").map_or_else(|| root.join(".venv/bin/python"), Into::into);
    let run = Command::new(&python)
        .arg(root.join("scripts/crash"))
        .args(["--rounds", "5", "--binary", env!("CARGO_BIN_EXE_keyward")])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/setup makes it", python.display()));
    let (told, why) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && told.contains("passed"), "{told}{why}");
}
