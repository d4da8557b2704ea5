//! `keyward keys revoke-leaked`.

use crate::support::Town;

#[test]
fn the_file_of_a_private_key_is_enough_to_revoke_it() {
    let town = Town::new();
    town.create_service_account("ci-bot");
    let url = town.server.url.clone();
    // Without any credential: another home directory could be on another machine.
    let revoke = |file: &str, more: &[&str]| {
        let arguments = [&["keys", "revoke-leaked", file, "--url", &url], more].concat();
        town.home.run(&arguments)
    };
    town.run("bob", &["whoami"]).ok();
    let refused = revoke("bob", &[]).refused();
    assert!(refused.contains("Permanently revoke bob (SHA256:") && refused.contains("--yes"), "{refused}");
    town.run("bob", &["whoami"]).ok();

    // A leaked file has any permissions.
    town.home.tool("chmod", &["644", "bob"]);
    let told = revoke("bob", &["--yes"]).ok();
    assert!(told.starts_with("revoked bob (SHA256:") && told.contains("the key of a user"), "{told}");
    town.home.tool("chmod", &["600", "bob"]);
    town.run("bob", &["whoami"]).fails_with(3);
    let again = revoke("bob", &["--json"]).json();
    assert_eq!(again["registration"]["state"], "revoked");
    assert!(revoke("bob", &[]).ok().contains("was already revoked"));

    // Of a service account, from standard input, by the flag's other name.
    let key = std::fs::read_to_string(town.home.file("ci-bot")).expect("a key");
    let told = town.home.run_with_input(&["keys", "revoke-leaked", "-", "--server", &url, "--yes"], &key).ok();
    assert!(told.contains("revoked ci-bot (SHA256:") && told.contains("the key of a service account"), "{told}");
    town.run("ci-bot", &["whoami"]).fails_with(3);
    let all = town.run("ann", &["keys", "list", "--all", "--service-account", "ci-bot", "--json"]).json();
    assert_eq!(all["items"][0]["state"], "revoked");

    town.home.ssh_keygen("unknown");
    let refused = revoke("unknown", &["--yes"]).fails_with(4);
    assert!(refused.contains("was never registered at http://"), "{refused}");
    town.home.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "correct horse", "-f", "protected"]);
    let refused = revoke("protected", &["--yes"]).refused();
    assert!(refused.contains("protected by a passphrase"), "{refused}");
    revoke("absent", &["--yes"]).refused();
    town.home.run(&["keys", "revoke-leaked", "bob", "--yes"]).fails_with(2);
    town.run("ann", &["whoami"]).ok();
}
