//! The keys of an installation and the state of its users, on the machine with the data.

use std::process::Command;

use serde_json::Value;

use crate::support::{Home, Ran, Town};

/// A user of the machine other than the operator.
const OTHER_USER: &str = "65534";

#[test]
fn the_keys_of_all_owners_are_listed_and_revoked() {
    let town = Town::new();
    town.create_service_account("ci-bot");
    let listed = town.home.run(&["admin", "list-keys"]).ok();
    assert!(listed.starts_with("OWNER\tTITLE\tFINGERPRINT\tSTATE\tLAST USED\tEXPIRES\tID\n"), "{listed}");
    for owner in ["ann@example.com", "bob@example.com", "eve@example.com", "ci-bot@acme.sa.keyward.local"] {
        assert!(listed.contains(&format!("\n{owner}\t")), "{owner}: {listed}");
    }
    let keys = |arguments: &[&str]| {
        let keys = town.home.run(&[&["admin", "list-keys", "--json"][..], arguments].concat()).json();
        keys["items"].as_array().expect("keys").clone()
    };
    let bots = keys(&["--service-account", "ci-bot@acme.sa.keyward.local"]);
    assert_eq!((bots.len(), bots[0]["owner_email"].as_str()), (1, Some("ci-bot@acme.sa.keyward.local")));
    let by_id = keys(&["--service-account", bots[0]["owner"].as_str().expect("an id")]);
    assert_eq!(by_id, bots);
    let people = keys(&["--user", "bob@example.com"]);
    assert_eq!((people.len(), people[0]["title"].as_str()), (1, Some("bob")));
    town.home.run(&["admin", "list-keys", "--user", "nobody@example.com"]).fails_with(4);

    // By its fingerprint and by its id. If a key does not exist, no key is revoked.
    let fingerprint = people[0]["fingerprint"].as_str().expect("a fingerprint");
    let bot_key = bots[0]["id"].as_str().expect("an id");
    let unknown = ["admin", "revoke-key", "--key", fingerprint, "--key", "SHA256:AAAAAAAAAAAAAAAA"];
    assert!(town.home.run(&unknown).fails_with(4).contains("there is no key"));
    town.run("bob", &["whoami"]).ok();
    town.home.run(&["admin", "revoke-key", "--key", fingerprint, "--key", bot_key]).ok();
    town.run("bob", &["whoami"]).fails_with(3);
    town.run("ci-bot", &["whoami"]).fails_with(3);
    assert_eq!(keys(&["--user", "bob@example.com"]), Vec::<Value>::new());
    assert_eq!(keys(&["--user", "bob@example.com", "--all"])[0]["state"], "revoked");
}

#[test]
fn a_disabled_user_is_refused_until_enabled() {
    let town = Town::new();
    town.home.run(&["admin", "disable-user", "--user", "bob@example.com"]).ok();
    assert!(town.run("bob", &["whoami"]).fails_with(3).contains("owner is disabled"));
    town.home.run(&["admin", "enable-user", "--user", "bob@example.com"]).ok();
    town.run("bob", &["whoami"]).ok();
}

/// The commands use the database directly, so a user without access to it gets nothing. Only root can run this as
/// another user.
#[test]
fn another_user_of_the_machine_gets_nothing() {
    let town = Town::new();
    let fingerprint = town.home.tool("ssh-keygen", &["-lf", "bob.pub"]);
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("a fingerprint");
    let is_root = town.home.tool("id", &["-u"]).trim() == "0";
    let run = |home: &Home, arguments: &[&str]| -> Ran {
        if is_root {
            home.tool("chmod", &["755", "."]);
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid",
                OTHER_USER,
                "--regid",
                OTHER_USER,
                "--clear-groups",
                env!("CARGO_BIN_EXE_keyward"),
            ]);
            command.args(arguments).current_dir(home.path()).env_clear().env("HOME", "/nonexistent");
            command.output().expect("setpriv starts").into()
        } else {
            // Another user gets a directory without access.
            home.tool("chmod", &["000", "keyward-data"]);
            let ran = home.run(arguments);
            home.tool("chmod", &["700", "keyward-data"]);
            ran
        }
    };
    for arguments in [
        &["admin", "list-keys"][..],
        &["admin", "revoke-key", "--key", fingerprint],
        &["admin", "disable-user", "--user", "bob@example.com"],
        &["admin", "enable-user", "--user", "bob@example.com"],
    ] {
        let ran = run(&town.home, arguments);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        let told = ran.fails_with(4);
        assert!(told.contains("the data directory cannot be used"), "{arguments:?}: {told}");
    }
    town.run("bob", &["whoami"]).ok();
}
