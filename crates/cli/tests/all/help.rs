//! The help texts.

use crate::support::Home;

#[test]
fn help_is_grouped_and_has_examples() {
    let home = Home::new();
    let help = home.run(&["--help"]).ok();
    for line in
        ["Start:", "On the machine that holds the data:", "Your keys and requests:", "In a workspace:", "Examples:"]
    {
        assert!(help.contains(&format!("\n{line}\n")), "{line}\n{help}");
    }
    for (command, line) in [
        ("serve", "--public-url <URL>"),
        ("demo", "keyward demo --listen 127.0.0.1:9000"),
        ("admin", "keyward admin create-workspace --name Acme --slug acme --admin ann@example.com"),
        ("audit", "keyward audit verify --checkpoint checkpoint.txt"),
        ("keygen", "keyward keygen -f ci-runner"),
        ("request", "-d, --data <TEXT|@FILE>"),
        ("explain", "keyward explain GET /api/v1/me --url https://keys.example.com"),
        ("whoami", "KEYWARD_KEY_FILE"),
    ] {
        let help = home.run(&[command, "--help"]).ok();
        assert!(help.contains(line), "{command}: {line}\n{help}");
        assert!(help.contains("Examples:"), "{command}\n{help}");
    }
}

#[test]
fn a_mistyped_command_is_answered_with_the_right_one() {
    let home = Home::new();
    let ran = home.run(&["serv"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("'serve'"), "{}", ran.stderr);
    let ran = home.run(&["admin", "add-key", "--title", "t", "--public-key-file", "f"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--user <EMAIL|ID>|--service-account <ADDRESS|ID>"), "{}", ran.stderr);
}
