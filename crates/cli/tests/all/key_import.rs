//! `keyward keys import`, with the real `ssh-keygen` and `ssh-agent`.

use crate::support::Town;

fn public(town: &Town, name: &str) -> String {
    std::fs::read_to_string(town.home.file(&format!("{name}.pub"))).expect("a public key").trim_end().to_owned()
}

#[test]
fn the_keys_of_a_file_are_registered_once() {
    let town = Town::new();
    for name in ["laptop", "desk", "old"] {
        town.home.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", &format!("bob@{name}"), "-f", name]);
    }
    let (laptop, desk, old) = (public(&town, "laptop"), public(&town, "desk"), public(&town, "old"));
    let bare = old.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let text = format!("# keys of bob\n{laptop}\n\nrestrict,pty,expiry-time=\"20991231\" {desk}\n{laptop}\n{bare}\n");
    town.home.write("keys", &text);

    let dry = town.run("bob", &["keys", "import", "keys", "--dry-run"]).ok();
    assert_eq!(dry.matches("would be registered").count(), 3, "{dry}");
    assert_eq!(town.run("bob", &["keys", "list"]).ok().lines().count(), 2, "only bob's own key");

    let report = town.run("bob", &["keys", "import", "keys", "--prove-with", "laptop", "--json"]).json();
    let keys = report["keys"].as_array().expect("keys");
    let results: Vec<_> = keys.iter().map(|key| (key["line"].as_u64(), key["result"].as_str())).collect();
    let expected = [
        (Some(2), Some("proven")),
        (Some(4), Some("unproven")),
        (Some(5), Some("repeated")),
        (Some(6), Some("unproven")),
    ];
    assert_eq!(results, expected);
    assert_eq!(keys[0]["key"]["title"], "bob@laptop");
    assert!(keys[0]["key"]["proven_at"].is_string());
    assert_eq!(keys[1]["key"]["expires_at"], "2099-12-31T00:00:00Z");
    assert_eq!(keys[3]["key"]["title"], keys[3]["fingerprint"], "a line without comment");
    assert!(town.run("desk", &["whoami"]).ok().starts_with("bob@example.com"));

    // Again: nothing changes.
    let again = town.run("bob", &["keys", "import", "keys"]).ok();
    assert_eq!(again.matches("already registered").count(), 3, "{again}");
    assert_eq!(again.lines().next(), Some("LINE\tTITLE\tFINGERPRINT\tRESULT"));
    assert_eq!(town.run("bob", &["keys", "list"]).ok().lines().count(), 5);
}

#[test]
fn nothing_is_registered_if_a_line_is_invalid() {
    let town = Town::new();
    for name in ["good", "office"] {
        town.home.ssh_keygen(name);
    }
    let (good, office) = (public(&town, "good"), public(&town, "office"));
    let secret = "command=\"backup --password hunter2-hunter2\"";
    let text = format!(
        "{good}\nssh-rsa AAAA\nfrom=\"10.0.0.0/8\",{secret} {office}\ncert-authority {good}\nexpiry-time=\"20010101\" {office}\n"
    );
    town.home.write("keys", &text);
    let refused = town.run("bob", &["keys", "import", "keys"]).refused();
    for told in ["nothing was registered", "line 2: ", "line 4: `cert-authority`"] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
    assert!(!refused.contains("hunter2") && !refused.contains("line 1"), "{refused}");
    assert_eq!(town.run("bob", &["keys", "list"]).ok().lines().count(), 2);

    town.home.write("keys", &format!("{good}\nfrom=\"10.0.0.0/8\",{secret} {office}\n"));
    let refused = town.run("bob", &["keys", "import", "keys"]).refused();
    assert!(refused.contains("line 2: the option `from`, `command` restricts the key"), "{refused}");
    assert!(refused.contains("--ignore-options") && !refused.contains("hunter2"), "{refused}");
    town.home.write("expired", &format!("expiry-time=\"20010101\" {office}\n"));
    let refused = town.run("bob", &["keys", "import", "expired"]).refused();
    assert!(refused.contains("line 1: the key has expired"), "{refused}");
    town.home.write("private", &std::fs::read_to_string(town.home.file("good")).expect("a key"));
    town.run("bob", &["keys", "import", "private"]).refused();
    assert_eq!(town.run("bob", &["keys", "list"]).ok().lines().count(), 2);
    town.run("bob", &["keys", "import", "keys", "--ignore-options"]).ok();
    assert_eq!(town.run("bob", &["keys", "list"]).ok().lines().count(), 4);
}

#[test]
fn a_key_of_another_owner_is_reported_by_its_line_and_the_others_are_registered() {
    let town = Town::new();
    for name in ["taken", "free", "mine"] {
        town.home.ssh_keygen(name);
    }
    town.run("eve", &["keys", "add", "taken", "--title", "first"]).ok();
    town.run("eve", &["keys", "add", "mine.pub", "--title", "of somewhere"]).ok();
    let lines = ["taken", "free", "mine"].map(|name| public(&town, name)).join("\n");
    town.home.write("keys", &lines);
    // The proof of `mine` reclaims it. `taken` has a proof of its own.
    let ran = town.run("bob", &["keys", "import", "keys", "--prove-with", "mine"]);
    assert_eq!(ran.code, Some(1));
    let rows: Vec<&str> = ran.stdout.lines().collect();
    assert!(rows[1].starts_with("1\t") && rows[1].contains("refused: "), "{rows:?}");
    assert!(rows[2].starts_with("2\t") && rows[2].contains("without a proof"), "{rows:?}");
    assert!(rows[3].starts_with("3\t") && rows[3].contains("with a proof"), "{rows:?}");
    assert!(ran.stderr.contains("the server refused the keys of 1 line"), "{}", ran.stderr);
    assert!(town.run("mine", &["whoami"]).ok().starts_with("bob@example.com"));
}

#[test]
fn the_quota_of_a_service_account_is_checked_before_the_first_key() {
    let town = Town::new();
    town.create_service_account("ci-bot");
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        town.home.ssh_keygen(name);
    }
    town.home.write("keys", &names.map(|name| public(&town, name)).join("\n"));
    let import = ["keys", "import", "keys", "--service-account", "ci-bot", "--expires-at", "90d"];
    let refused = town.run("ann", &import).refused();
    assert!(refused.contains("5 new keys") && refused.contains("1 of 5"), "{refused}");
    assert_eq!(town.run("ann", &["keys", "list", "--service-account", "ci-bot"]).ok().lines().count(), 2);
    town.home.write("keys", &names[..4].iter().map(|name| public(&town, name)).collect::<Vec<_>>().join("\n"));
    town.run("ann", &import).ok();
    let listed = town.run("ann", &["keys", "list", "--service-account", "ci-bot", "--json"]).json();
    let expiring = listed["items"].as_array().expect("keys").iter().filter(|key| key["expires_at"].is_string());
    assert_eq!(expiring.count(), 4);
}
