//! `keyward keys`.

use crate::support::Town;

#[test]
fn a_key_is_registered_listed_renamed_paused_and_revoked() {
    let town = Town::new();
    town.home.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "bob@laptop", "-f", "laptop"]);
    let added = town.run("bob", &["keys", "add", "laptop.pub"]).ok();
    assert!(added.starts_with("registered key bob@laptop (key_"), "the comment is the title: {added}");
    let fingerprint = town.home.tool("ssh-keygen", &["-lf", "laptop.pub"]);
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("a fingerprint");
    assert!(added.contains(fingerprint), "{added}");
    assert!(town.run("laptop", &["whoami"]).ok().starts_with("bob@example.com"));

    // In a pipe: a header, and one line for each key, separated by tabs.
    let listed = town.run("bob", &["keys", "list"]).ok();
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0], ["TITLE", "FINGERPRINT", "STATE", "CREATED", "LAST USED", "EXPIRES", "LIMITS", "ID"]);
    assert_eq!(lines[2][..3], ["bob@laptop", fingerprint, "active"]);
    assert!(!listed.contains('\x1b'), "{listed}");

    // A key is found by its title, its fingerprint or its id.
    town.run("bob", &["keys", "rename", "bob@laptop", "old laptop"]).ok();
    let refused = town.run("laptop", &["keys", "disable", fingerprint]).refused();
    assert!(refused.contains("signs this request") && refused.contains("--yes"), "{refused}");
    town.run("bob", &["keys", "disable", fingerprint]).ok();
    let refused = town.run("laptop", &["whoami"]).refused();
    assert!(refused.contains("Key disabled") && refused.contains("keyward keys enable SHA256:"), "{refused}");
    assert!(refused.contains("add `--service-account ADDRESS`"), "{refused}");
    let id =
        town.run("bob", &["keys", "show", "old laptop", "--json"]).json()["id"].as_str().expect("an id").to_owned();
    town.run("bob", &["keys", "enable", &id]).ok();
    town.run("laptop", &["whoami"]).ok();

    let told = town.run("bob", &["keys", "revoke", "old laptop", "--yes"]).ok();
    assert!(told.contains("no server accepts it any more"), "{told}");
    let refused = town.run("laptop", &["whoami"]).refused();
    assert!(refused.contains(fingerprint) && refused.contains("by this machine's clock"), "{refused}");
    // Inactive keys are shown on request.
    assert_eq!(town.run("bob", &["keys", "list"]).ok().lines().count(), 2);
    let all = town.run("bob", &["keys", "list", "--all", "--json"]).json();
    let states: Vec<_> = all["items"].as_array().expect("keys").iter().map(|key| &key["state"]).collect();
    assert_eq!(states, ["active", "revoked"]);
    assert_eq!(all["next"], serde_json::Value::Null);
    assert!(town.run("bob", &["keys", "enable", &id]).refused().contains("cannot be used again"));
}

#[test]
fn the_use_of_a_key_is_shown_by_the_hour_or_by_the_day() {
    let town = Town::new();
    town.run("bob", &["keys", "add", "--generate", "ci.key"]).ok();
    // In a pipe, a list without items is its header.
    assert_eq!(town.run("bob", &["keys", "use", "ci"]).ok().trim_end(), "FROM\tACCEPTED\tREFUSED\tREASONS");
    for (window, spans) in [("24h", 24), ("7d", 7), ("90d", 90)] {
        let used = town.run("bob", &["keys", "use", "ci", "--window", window, "--json"]).json();
        assert_eq!(used["window"], window);
        assert_eq!(used["spans"].as_array().expect("a list").len(), spans);
        assert_eq!((&used["total"]["accepted"], &used["total"]["refused"]), (&0.into(), &0.into()));
    }
    town.run("bob", &["keys", "use", "ci", "--window", "30d"]).fails_with(2);
}

#[test]
fn a_pair_is_generated_and_registered_and_removed_if_it_is_refused() {
    let town = Town::new();
    let made = town.run("bob", &["keys", "add", "--generate", "ci.key", "--expires-at", "12h", "--json"]).json();
    assert_eq!(made["title"], "ci");
    assert_eq!(made["private_key_file"], "ci.key");
    assert!(made["expires_at"].is_string(), "{made}");
    assert!(town.run("ci.key", &["whoami"]).ok().starts_with("bob@example.com"));

    // Nothing is overwritten. If the server refuses the key, no files are left.
    assert!(town.run("bob", &["keys", "add", "-g", "ci.key"]).refused().contains("already exists"));
    let refused = town.run("bob", &["keys", "add", "-g", "new.key", "--title", "a\u{7}b"]).refused();
    assert!(refused.contains("title"), "{refused}");
    assert!(!town.home.file("new.key").exists() && !town.home.file("new.key.pub").exists());
    let malformed = town.run("bob", &["keys", "add", "-g", "new.key", "--expires-at", "tomorrow"]);
    assert_eq!(malformed.code, Some(2));
    assert!(malformed.stderr.contains("90d"), "{}", malformed.stderr);
}

#[test]
fn a_public_key_is_read_from_standard_input() {
    let town = Town::new();
    town.home.ssh_keygen("other");
    let public = std::fs::read_to_string(town.home.file("other.pub")).expect("a file");
    let url = town.server.url.clone();
    let add = ["keys", "add", "-", "--title", "piped", "--url", &url, "--key", "bob"];
    assert!(town.home.run_with_input(&add, &public).ok().starts_with("registered key piped"));

    assert!(town.run("bob", &["keys", "add", "nowhere.pub"]).refused().contains("nowhere.pub cannot be read"));
    let twice = town.run("bob", &["keys", "add", "other.pub", "--title", "t"]).refused();
    assert!(twice.contains("already registered") && twice.contains("next: it is key_"), "{twice}");
    // The location of a key is only shown to users that may see it.
    let elsewhere = town.run("eve", &["keys", "add", "other.pub", "--title", "t"]).refused();
    assert!(elsewhere.contains("already registered") && !elsewhere.contains("key_"), "{elsewhere}");
    assert!(elsewhere.contains("with a proof"), "{elsewhere}");
}

#[test]
fn the_holder_of_the_private_key_registers_the_key_with_a_proof() {
    let town = Town::new();
    let proven_at = |title: &str| town.run("bob", &["keys", "show", title, "--json"]).json()["proven_at"].clone();
    // Generated here, or given as a private key, from a file or standard input, of every type.
    town.run("bob", &["keys", "add", "-g", "made"]).ok();
    assert!(proven_at("made").is_string());
    for (file, kind) in [("one", &["-t", "rsa", "-b", "2048"][..]), ("two", &["-t", "ecdsa", "-b", "384"])] {
        let arguments = [&["-q", "-N", "", "-C", file, "-f", file], kind].concat();
        town.home.tool("ssh-keygen", &arguments);
        let added = town.run("bob", &["keys", "add", file]).ok();
        assert!(added.contains("with a proof that you hold the private key"), "{added}");
        assert!(proven_at(file).is_string());
    }
    town.home.ssh_keygen("piped");
    let private = std::fs::read_to_string(town.home.file("piped")).expect("a file");
    let url = town.server.url.clone();
    let add = ["keys", "add", "-", "--title", "piped", "--url", &url, "--key", "bob"];
    town.home.run_with_input(&add, &private).ok();
    assert!(proven_at("piped").is_string());
    let protected = ["-q", "-t", "ed25519", "-N", "a passphrase", "-f", "locked"];
    town.home.tool("ssh-keygen", &protected);
    let refused = town.run("bob", &["keys", "add", "locked"]).refused();
    assert!(refused.contains("ssh-keygen -p"), "{refused}");

    // With only its public key it has no proof, until one is added.
    town.home.ssh_keygen("late");
    let added = town.run("bob", &["keys", "add", "late.pub", "--title", "late"]).ok();
    assert!(added.contains("keyward keys prove FILE"), "{added}");
    assert_eq!(proven_at("late"), serde_json::Value::Null);
    town.run("bob", &["keys", "prove", "late"]).ok();
    assert!(proven_at("late").is_string());
    assert!(town.run("bob", &["keys", "prove", "ann"]).refused().contains("there is no key"), "Ann's is not Bob's");
}

#[test]
fn a_key_that_another_principal_registered_is_reclaimed_with_the_private_key() {
    let town = Town::new();
    town.home.ssh_keygen("taken");
    town.run("eve", &["keys", "add", "taken.pub", "--title", "not hers"]).ok();
    assert!(town.run("taken", &["whoami"]).ok().starts_with("eve@example.com"));
    let refused = town.run("bob", &["keys", "add", "taken.pub", "--title", "mine"]).refused();
    assert!(refused.contains("keyward keys add FILE") && refused.contains("private key"), "{refused}");
    town.run("bob", &["keys", "add", "taken", "--title", "mine"]).ok();
    assert!(town.run("taken", &["whoami"]).ok().starts_with("bob@example.com"));
    let shown = town.run("eve", &["keys", "show", "not hers"]).ok();
    assert!(shown.contains("another principal reclaimed the key"), "{shown}");

    town.run("ann", &["service-accounts", "create", "ci-bot"]).ok();
    town.home.ssh_keygen("bot");
    town.run("eve", &["keys", "add", "bot.pub", "--title", "not hers either"]).ok();
    town.run("ann", &["keys", "add", "bot", "--title", "bot", "-s", "ci-bot"]).ok();
    town.run("ann", &["keys", "prove", "bot", "-s", "ci-bot"]).ok();
    assert!(town.run("bot", &["whoami"]).ok().starts_with("ci-bot@acme"));
}

#[test]
fn a_title_that_two_keys_have_is_not_guessed() {
    let town = Town::new();
    for file in ["one", "two"] {
        town.run("bob", &["keys", "add", "-g", file, "--title", "same"]).ok();
    }
    let refused = town.run("bob", &["keys", "revoke", "same", "--yes"]).fails_with(2);
    assert!(refused.contains("2 keys are called `same`") && refused.contains("\n  key_"), "{refused}");
    let refused = town.run("bob", &["keys", "show", "typo"]).refused();
    assert!(refused.contains("there is no key `typo` that you can see") && refused.contains("same"), "{refused}");
    // After one of them is revoked, the title means the other.
    let one = town.home.tool("ssh-keygen", &["-lf", "one.pub"]);
    let fingerprint = one.split_whitespace().nth(1).expect("a fingerprint");
    town.run("bob", &["keys", "revoke", fingerprint, "--yes"]).ok();
    let shown = town.run("bob", &["keys", "show", "same"]).ok();
    assert!(shown.contains("\nstate        active\n"), "{shown}");
}

#[test]
fn keys_of_a_service_account_are_its_workspaces_admins_to_manage() {
    let town = Town::new();
    town.run("ann", &["service-accounts", "create", "ci-bot"]).ok();
    let made = town.run("ann", &["keys", "add", "-g", "ci.key", "--service-account", "ci-bot"]).ok();
    assert!(made.contains("\nnext: keyward whoami --key ci.key"), "{made}");
    let me = town.run("ci.key", &["whoami"]).ok();
    assert!(me.starts_with("ci-bot@acme.sa.keyward.local (service account ci-bot"), "{me}");
    // The address contains the workspace.
    let listed = town.run("ann", &["keys", "list", "-s", "ci-bot@acme.sa.keyward.local"]).ok();
    assert!(listed.contains("ci\tSHA256:"), "{listed}");

    let member = town.run("bob", &["keys", "list", "--service-account", "ci-bot"]).refused();
    assert!(member.contains("must have the role admin of the workspace"), "{member}");
    assert!(member.contains("keyward members list"), "{member}");
    let stranger = town.run("eve", &["keys", "list", "--service-account", "ci-bot@acme.sa.keyward.local"]).refused();
    assert!(stranger.contains("no workspace `acme` that you can see"), "{stranger}");
    let itself = town.run("ci.key", &["keys", "add", "-g", "more.key"]).refused();
    assert!(itself.contains("a service account cannot change itself or its own keys"), "{itself}");

    let add = |number: u32| town.run("ann", &["keys", "add", "-g", &format!("k{number}"), "-s", "ci-bot"]);
    for number in 2..6 {
        add(number).ok();
    }
    let last = add(6).refused();
    assert!(last.contains("limit of 5") && last.contains("to raise the limit"), "{last}");
}

#[test]
fn nothing_is_revoked_without_a_yes() {
    let town = Town::new();
    town.run("bob", &["keys", "add", "-g", "spare"]).ok();
    // Keys that `spare` registers have its id.
    town.run("spare", &["keys", "add", "-g", "made"]).ok();

    // Without a terminal, the message contains the option.
    let refused = town.run("bob", &["keys", "revoke", "spare"]).refused();
    assert!(refused.contains("pass `--yes`"), "{refused}");
    let declined = town.run_at_terminal("bob", &["keys", "revoke", "spare"], "n\n");
    assert_eq!(declined.code, Some(1), "{}", declined.stdout);
    assert!(declined.stdout.contains("Permanently revoke spare (SHA256:"), "{}", declined.stdout);
    assert!(declined.stdout.contains("nothing was changed"), "{}", declined.stdout);
    town.run("spare", &["whoami"]).ok();

    // The question also covers the keys that it registered.
    let accepted = town.run_at_terminal("bob", &["keys", "revoke", "spare"], "y\ny\n").ok();
    assert!(accepted.contains("It registered made (SHA256:"), "{accepted}");
    town.run("spare", &["whoami"]).refused();
    town.run("made", &["whoami"]).refused();
}

#[test]
fn the_cascade_of_a_revocation_is_shown_across_owners_also_for_a_revoked_key() {
    let town = Town::new();
    town.run("ann", &["service-accounts", "create", "ci-bot"]).ok();
    town.run("ann", &["keys", "add", "-g", "spare"]).ok();
    town.run("spare", &["keys", "add", "-g", "made"]).ok();
    town.run("made", &["keys", "add", "-g", "ci.key", "-s", "ci-bot"]).ok();

    let told = town.run("ann", &["keys", "revoke", "spare", "--yes"]).ok();
    assert!(told.contains("revoked spare (SHA256:"), "{told}");
    let (_, left) = told.split_once("the keys that it registered still work: ").expect("what is left");
    assert!(left.contains("made (SHA256:") && left.contains(") of ann@example.com"), "{told}");
    assert!(left.contains("ci (SHA256:") && left.contains(") of ci-bot@acme.sa.keyward.local"), "{told}");
    town.run("made", &["whoami"]).ok();

    // It was already revoked, on every server. The keys that it registered were not.
    let again = town.run("ann", &["keys", "revoke", "spare", "--yes"]).ok();
    assert!(again.contains("was already revoked: no server accepts it any more"), "{again}");
    let refused = town.run("ann", &["keys", "revoke", "spare", "--cascade"]).refused();
    assert!(refused.contains("pass `--yes`"), "{refused}");
    town.run("ci.key", &["whoami"]).ok();
    let told = town.run("ann", &["keys", "revoke", "spare", "--cascade", "--yes"]).ok();
    assert!(told.contains("also revoked the keys that it registered: ") && told.contains("ci (SHA256:"), "{told}");
    for key in ["made", "ci.key"] {
        town.run(key, &["whoami"]).refused();
    }
    let told = town.run("ann", &["keys", "revoke", "spare", "--cascade"]).ok();
    assert!(told.contains("was already revoked") && !told.contains("registered"), "{told}");
}

#[test]
fn a_person_sees_a_table_with_colours_unless_they_want_none() {
    let town = Town::new();
    let seen = town.run_at_terminal("bob", &["keys", "list"], "").ok();
    assert!(seen.contains("\x1b[1m") && seen.contains("active"), "{seen:?}");
    assert!(!seen.contains('\t'), "{seen:?}");
    // A narrow terminal shows the beginning of the fingerprint, by which the key can be named.
    let fingerprint = town.home.tool("ssh-keygen", &["-lf", "bob.pub"]);
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("a fingerprint");
    let narrow = town.at_terminal(60, "bob", &["keys", "list"]).output().expect("script starts");
    let narrow = String::from_utf8(narrow.stdout).expect("text");
    let short = &fingerprint[..15];
    assert!(seen.contains(fingerprint), "{seen:?}");
    assert!(narrow.contains(&format!("{short}…")) && !narrow.contains(fingerprint), "{narrow:?}");
    for name in [short.to_owned(), format!("{short}…")] {
        assert!(town.run("bob", &["keys", "show", &name]).ok().contains(fingerprint));
    }
    assert!(town.run("bob", &["keys", "show", &fingerprint[..12]]).fails_with(4).contains("there is no key"));
    assert!(seen.contains("key_") && !narrow.contains("key_"), "ids are left out: {narrow:?}");
    assert_eq!(narrow.trim().lines().count(), 2, "a line a row: {narrow:?}");
    assert!(seen.contains("never") || seen.contains("now"), "moments are told as people do: {seen:?}");
    let mut dumb = town.at_terminal(200, "bob", &["keys", "list"]);
    let dumb = String::from_utf8(dumb.env("TERM", "dumb").output().expect("script starts").stdout).expect("text");
    assert!(dumb.contains("active") && !dumb.contains('\x1b'), "{dumb:?}");
    let plain = town.run_at_terminal("bob", &["keys", "list", "--color", "never"], "").ok();
    assert!(!plain.contains('\x1b') && plain.contains("active"), "{plain:?}");
    let shown = town.run("bob", &["keys", "show", "bob", "--color", "always"]).ok();
    assert!(shown.contains("\x1b[32mactive\x1b[0m"), "{shown:?}");
}

#[test]
fn a_long_operation_shows_progress() {
    use std::io::{Read as _, Write as _};
    let town = Town::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut child = town.at_terminal(80, "bob", &["keys", "list", "--url", &url]).spawn().expect("script starts");
    // The server answers after the progress was shown.
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut terminal = child.stdout.take().expect("a pipe");
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(&format!("waiting for {url}")) {
        assert_eq!(terminal.read(&mut byte).expect("a byte"), 1, "{}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
    let page = r#"{"items": [], "next": null}"#;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{page}", page.len())
        .expect("an answer");
    let mut rest = String::new();
    terminal.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("no keys: `keyward keys add --generate FILE`"), "{rest}");
    assert!(child.wait().expect("an end").success());
}

#[test]
fn a_key_is_limited_when_it_is_added_and_later_and_shown_with_its_limits() {
    let town = Town::new();
    let add = ["keys", "add", "-g", "read.key", "--scope", "keyward:read", "--cidr", "127.0.0.1"];
    let added = town.run("bob", &add).ok();
    assert!(added.contains("limits: scopes keyward:read; from 127.0.0.1/32"), "{added}");
    town.run("read.key", &["keys", "list"]).ok();
    let refused = town.run("read.key", &["keys", "add", "-g", "other.key"]);
    assert_eq!(refused.code, Some(4));
    assert!(refused.stderr.contains("without keyward:"), "{}", refused.stderr);

    // Only the named limits change, and one is removed by name.
    let limited = town.run("bob", &["keys", "limit", "read", "--scope", "keyward:write", "--workspace", "acme"]).ok();
    assert!(limited.contains("scopes keyward:write; workspaces ws_"), "{limited}");
    assert!(limited.contains("from 127.0.0.1/32"), "{limited}");
    let shown = town.run("bob", &["keys", "show", "read"]).ok();
    assert!(shown.contains("limits       scopes keyward:write; workspaces ws_"), "{shown}");
    let listed = town.run("bob", &["keys", "list"]).ok();
    assert!(listed.contains("scopes, workspaces, cidrs"), "{listed}");
    let limited = town.run("bob", &["keys", "limit", "read", "--remove", "workspaces", "--remove", "cidrs"]).ok();
    assert!(limited.ends_with("): scopes keyward:write\n"), "{limited}");
    let limits = town.run("bob", &["keys", "limit", "read", "--remove", "all", "--json"]).json();
    assert_eq!(limits["limits"], serde_json::Value::Null);
    let none = town.run("bob", &["keys", "limit", "read", "--project", "none", "--json"]).json();
    assert_eq!(none["limits"]["projects"], serde_json::json!([]));

    town.run("bob", &["keys", "limit", "read"]).fails_with(2);
    town.run("bob", &["keys", "limit", "read", "--scope", "none", "--scope", "keyward:read"]).fails_with(2);
    town.run("bob", &["keys", "limit", "read", "--project", "cats"]).fails_with(2);
    town.run("bob", &["keys", "list", "--workspace", "acme"]).fails_with(2);
    assert!(town.run("bob", &["keys", "limit", "read", "--scope", "invoices:read"]).refused().contains("[[scopes]]"));
    // Another key with limits gives at most these.
    town.run("bob", &["keys", "limit", "read", "--remove", "all", "--scope", "keyward:manage"]).ok();
    let wider = town.run("read.key", &["keys", "limit", "read", "--remove", "all", "--json"]).json();
    assert_eq!(wider["limits"]["scopes"], serde_json::json!(["keyward:manage"]));
}
