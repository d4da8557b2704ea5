//! `keyward keygen`.

use crate::support::Home;

#[test]
fn ssh_keygen_reads_a_generated_pair() {
    let home = Home::new();
    let printed = home.run(&["keygen", "-f", "ci", "-C", "CI runner"]).ok();
    let listed = home.tool("ssh-keygen", &["-lf", "ci"]);
    let fingerprint = listed.split_whitespace().nth(1).expect("a fingerprint");
    assert!(printed.contains(&format!("fingerprint: {fingerprint}\n")), "{printed}");
    assert!(listed.contains("CI runner (ED25519)"), "{listed}");
    let public = home.tool("ssh-keygen", &["-y", "-f", "ci"]);
    assert!(printed.contains(public.trim()), "{printed}");
    assert_eq!(std::fs::read_to_string(home.file("ci.pub")).expect("a file").trim(), public.trim());
}

#[test]
fn nothing_is_overwritten() {
    let home = Home::new();
    let first = home.run(&["keygen", "--json"]).json();
    assert_eq!(first["private_key_file"], "keyward_ed25519");
    let refused = home.run(&["keygen"]).refused();
    assert!(refused.contains("already exists and was not changed"), "{refused}");
    let public = std::fs::read_to_string(home.file("keyward_ed25519.pub")).expect("a file");
    assert_eq!(first["public_key"], public.trim());
}
