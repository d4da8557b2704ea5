//! Request verification uses no database, because this crate does not depend on one.

use std::{collections::BTreeSet, process::Command};

/// Crates that give access to a database, files or the network.
const FORBIDDEN: [&str; 12] = [
    "async-std",
    "axum",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "reqwest",
    "rusqlite",
    "socket2",
    "sqlx",
    "sqlx-core",
    "tokio",
    "tokio-postgres",
];

#[test]
fn verification_depends_on_nothing_that_reaches_a_database_a_file_or_the_network() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "verifier", "--edges", "normal,build", "--prefix", "none"])
        .args(["--locked", "--offline", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .expect("cargo must run");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("names are UTF-8");
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    // Crates of the workspace are listed with their path.
    let own: BTreeSet<String> = tree.lines().filter(|line| line.contains("/crates/")).map(name).collect();
    assert_eq!(own, ["domain", "http-signature", "verifier"].map(str::to_owned).into());
    let all: BTreeSet<String> = tree.lines().map(name).collect();
    let found: Vec<_> = FORBIDDEN.iter().filter(|name| all.contains(**name)).collect();
    assert!(found.is_empty(), "the verifier must not depend on {found:?}");
}
