//! `keyward demo`.

use crate::support::{Home, Running};

#[test]
fn the_demo_accepts_one_request_refuses_another_and_shows_the_next_steps() {
    let home = Home::new();
    let demo = Running::start(home.keyward(&["demo", "--listen", "127.0.0.1:0"]));
    let accepted = demo.line_with("accepted: ");
    assert!(accepted.contains("SHA256:") && accepted.ends_with("demo-bot@demo.sa.keyward.local"), "{accepted}");
    assert!(demo.line_with("refused: ").contains(": digest does not match body: sign the bytes that are sent"));

    // The printed commands work.
    for command in [" whoami ", " request GET "] {
        let line = demo.line_with(command);
        let output = std::process::Command::new("sh").args(["-c", &line]).current_dir(home.path()).output();
        let output = output.expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("demo-bot@demo.sa.keyward.local"), "{line}: {text}");
    }
    let log = home.run(&["audit", "list", "--action", "request.refuse"]).ok();
    assert!(log.contains("digest does not match body"), "{log}");
    demo.signal("INT");
    assert_eq!(demo.stop(), Some(0));
}

#[test]
fn a_second_demo_continues_with_the_same_data() {
    let home = Home::new();
    let start = || Running::start(home.keyward(&["demo", "--listen", "127.0.0.1:0", "--data", "d"]));
    let demo = start();
    let first = demo.line_with("accepted: ");
    demo.line_with("refused: ");
    assert_eq!(demo.stop(), Some(0));

    let demo = start();
    assert_eq!(demo.line_with("accepted: "), first, "the same key");
    demo.line_with("refused: ");
    assert_eq!(demo.stop(), Some(0));

    // A lost key file is replaced.
    std::fs::remove_file(home.file("d/demo-bot.key")).expect("a key file");
    std::fs::remove_file(home.file("d/demo-bot.key.pub")).expect("a key file");
    let demo = start();
    assert_ne!(demo.line_with("accepted: "), first, "another key");
    demo.line_with("refused: ");
}

#[test]
fn the_demo_says_how_to_sign_in_to_the_pages() {
    let home = Home::new();
    let demo = Running::start(home.keyward(&["demo", "--listen", "127.0.0.1:0"]));
    let line = demo.line_with("sign in as admin@demo.example with the password ");
    let password = line.rsplit(' ').next().expect("the last word is the password");
    assert!(demo.takes_password("admin@demo.example", password));
    assert!(!demo.takes_password("admin@demo.example", "another password"));
}

#[test]
fn a_port_in_use_is_reported_with_the_next_step() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let refused = home.run(&["demo", "--listen", &address]).refused();
    assert!(refused.contains(&address) && refused.contains("--listen"), "{refused}");
}

#[cfg(unix)]
#[test]
fn the_key_file_and_its_directory_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let demo = Running::start(home.keyward(&["demo", "--listen", "127.0.0.1:0"]));
    demo.line_with("refused: ");
    let mode = |name: &str| home.file(name).metadata().expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode("keyward-data"), 0o700);
    for file in ["demo-bot.key", "demo-admin.password", "installation.key", "keyward.db"] {
        assert_eq!(mode(&format!("keyward-data/{file}")), 0o600, "{file}");
    }
}
