//! `--agent`: ssh-agent signs, with the real `ssh-agent` and `ssh-add`.

use std::process::{Child, Command, Stdio};

use crate::support::{Home, Ran, Town};

/// An `ssh-agent` whose socket is `agent.sock` in a home, until this is dropped.
struct Agent<'a> {
    home: &'a Home,
    process: Child,
}

impl<'a> Agent<'a> {
    fn start(home: &'a Home) -> Self {
        // In the foreground, it prints its socket when it is ready.
        let mut process = Command::new("ssh-agent")
            .args(["-D", "-a", "agent.sock"])
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ssh-agent starts");
        let mut line = String::new();
        let stdout = process.stdout.as_mut().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
        assert!(line.starts_with("SSH_AUTH_SOCK="), "{line}");
        Self { home, process }
    }

    /// Adds a key, and answers the prompt for its passphrase.
    fn add(&self, file: &str, passphrase: &str) {
        self.home.write("askpass", &format!("#!/bin/sh\necho '{passphrase}'\n"));
        self.home.tool("chmod", &["700", "askpass"]);
        let variables = ["SSH_AUTH_SOCK=agent.sock", "SSH_ASKPASS=./askpass", "SSH_ASKPASS_REQUIRE=force"];
        self.home.tool("env", &[&variables[..], &["ssh-add", "-q", file]].concat());
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.process.kill().expect("ssh-agent runs");
        self.process.wait().expect("ssh-agent ends");
    }
}

fn run(town: &Town, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = town.home.keyward(arguments);
    command.env("KEYWARD_URL", &town.server.url).env("SSH_AUTH_SOCK", "agent.sock").envs(variables.iter().copied());
    command.stdin(Stdio::null()).output().expect("keyward starts").into()
}

#[test]
fn a_key_with_a_passphrase_signs_from_the_agent() {
    let town = Town::new();
    let locked = ["-q", "-t", "ed25519", "-N", "a passphrase", "-C", "bob@laptop", "-f", "locked"];
    town.home.tool("ssh-keygen", &locked);
    town.run("bob", &["keys", "add", "locked.pub"]).ok();
    let refused = town.run("locked", &["whoami"]).refused();
    assert!(refused.contains("`ssh-add locked` and pass `--agent`"), "the file alone is no use: {refused}");

    let agent = Agent::start(&town.home);
    agent.add("locked", "a passphrase");
    assert!(run(&town, &[], &["whoami", "--agent"]).ok().starts_with("bob@example.com"));
    assert!(run(&town, &[("KEYWARD_AGENT", "1")], &["whoami"]).ok().starts_with("bob@example.com"));
    // Also writes, and signatures of the Encord SDK.
    run(&town, &[], &["projects", "create", "Scenes", "--agent"]).ok();
    let token = ["request", "GET", "/v2/public/user/bearer-token", "--profile", "encord", "--agent"];
    assert!(run(&town, &[], &token).json()["token"].is_string());
}

#[test]
fn of_several_keys_one_is_named() {
    let town = Town::new();
    let agent = Agent::start(&town.home);
    let kinds: [&[&str]; 2] = [&["-t", "rsa", "-b", "2048"], &["-t", "ecdsa", "-b", "256"]];
    for (name, kind) in ["rsa key", "ecdsa"].iter().zip(kinds) {
        let file = name.replace(' ', "-");
        town.home.tool("ssh-keygen", &[&["-q", "-N", "", "-C", name, "-f", &file], kind].concat());
        town.run("bob", &["keys", "add", &format!("{file}.pub")]).ok();
        agent.add(&file, "");
    }
    let refused = run(&town, &[], &["whoami", "--agent"]).refused();
    assert!(refused.contains("several keys") && refused.contains(" rsa key\n  SHA256:"), "{refused}");
    let fingerprint = town.home.tool("ssh-keygen", &["-lf", "ecdsa.pub"]);
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("a fingerprint");
    for name in ["rsa key", fingerprint, "rsa-key.pub", "ecdsa.pub"] {
        assert!(run(&town, &[], &["whoami", "--agent-key", name]).ok().starts_with("bob@example.com"), "{name}");
    }
    let by_variable = run(&town, &[("KEYWARD_AGENT", "1"), ("KEYWARD_AGENT_KEY", "ecdsa")], &["whoami", "--json"]);
    assert_eq!(by_variable.json()["key"]["fingerprint"], fingerprint);
    // A key file on the command line takes precedence.
    let by_file = run(&town, &[("KEYWARD_AGENT", "1"), ("KEYWARD_KEY_FILE", "ann")], &["whoami"]).ok();
    assert!(by_file.starts_with("ann@example.com"), "{by_file}");
}

#[test]
fn a_missing_or_empty_agent_is_reported_with_the_next_step() {
    let home = Home::new();
    let url = ["--url", "http://127.0.0.1:1", "--agent"];
    let whoami = [&["whoami"], &url[..]].concat();
    let refused = home.run(&whoami).refused();
    assert!(refused.contains("SSH_AUTH_SOCK is not set") && refused.contains("ssh-add FILE"), "{refused}");
    let with_socket = |socket: &str| {
        let mut command = home.keyward(&whoami);
        Ran::from(command.env("SSH_AUTH_SOCK", socket).output().expect("keyward starts")).refused()
    };
    assert!(with_socket("nowhere.sock").contains("the ssh-agent at nowhere.sock cannot be reached"));
    let _agent = Agent::start(&home);
    assert!(with_socket("agent.sock").contains("holds no key that Keyward supports"));
    let both = home.run(&[&whoami[..], &["--key", "id"]].concat());
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let mut command = home.keyward(&["whoami", "--url", "http://127.0.0.1:1"]);
    let malformed = Ran::from(command.env("KEYWARD_AGENT", "please").output().expect("keyward starts")).refused();
    assert!(malformed.contains("KEYWARD_AGENT is `please`"), "{malformed}");
}

#[test]
fn keys_are_imported_with_the_proofs_of_an_agent() {
    let town = Town::new();
    for (name, kind) in [("held", "ed25519"), ("rsa", "rsa"), ("elsewhere", "ed25519")] {
        town.home.tool("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", name, "-f", name]);
    }
    let lines = ["held", "rsa", "elsewhere"]
        .map(|name| std::fs::read_to_string(town.home.file(&format!("{name}.pub"))).expect("a public key"));
    town.home.write("keys", &lines.concat());
    let agent = Agent::start(&town.home);
    agent.add("held", "");
    agent.add("rsa", "");
    let import = ["keys", "import", "keys", "--prove-with-agent", "--json"];
    let report = run(&town, &[("KEYWARD_KEY_FILE", "bob")], &import).json();
    let results: Vec<&str> =
        report["keys"].as_array().expect("keys").iter().map(|key| key["result"].as_str().expect("a result")).collect();
    assert_eq!(results, ["proven", "proven", "unproven"]);
}
