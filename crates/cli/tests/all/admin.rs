//! `keyward admin` with a running server.

use crate::support::Home;

#[test]
fn an_added_key_works_immediately_and_a_revoked_key_is_refused() {
    let home = Home::new();
    let server = home.serve();
    home.run(&["admin", "create-user", "--email", "ann@example.com", "--name", "Ann"]).ok();
    home.run(&["admin", "create-workspace", "--name", "Acme", "--slug", "acme", "--admin", "ann@example.com"]).ok();
    home.ssh_keygen("id");
    let add = ["admin", "add-key", "--user", "ann@example.com", "--title", "laptop", "--public-key-file", "id.pub"];
    let key = home.run(&[&add[..], &["--json"]].concat()).json();

    let whoami = ["whoami", "--url", &server.url, "--key", "id"];
    let me = home.run(&[&whoami[..], &["--json"]].concat()).json();
    assert_eq!(me["principal"]["email"], "ann@example.com");
    assert_eq!(me["key"]["fingerprint"], key["fingerprint"]);
    assert_eq!(me["workspaces"][0]["slug"], "acme");
    let text = home.run(&whoami).ok();
    assert!(text.starts_with("ann@example.com (user Ann, usr_") && text.contains("\nworkspace  acme "), "{text}");

    let path = format!("/api/v1/me/keys/{}", key["id"].as_str().expect("an id"));
    let revoked = home.run(&["request", "DELETE", &path, "--url", &server.url, "--key", "id", "-i"]).ok();
    assert!(revoked.starts_with("HTTP/1.1 204 "), "{revoked}");
    let refused = home.run(&whoami).refused();
    assert!(refused.contains("Sign it with a registered key"), "{refused}");
}

#[test]
fn a_user_without_a_password_gets_one_on_the_host() {
    let home = Home::new();
    home.create_operator();
    let server = home.serve();
    let set = ["admin", "set-password", "--user", "ann@example.com", "--password-stdin"];
    let refused = home.run_with_input(&set, "password1234\n").refused();
    assert!(refused.contains("too similar to a common one"), "{refused}");
    home.run_with_input(&set, "walrus trombone cathedral\n").ok();
    assert!(server.takes_password("ann@example.com", "walrus trombone cathedral"));
    home.run_with_input(&set, "gravel umbrella saxophone\n").ok();
    assert!(!server.takes_password("ann@example.com", "walrus trombone cathedral"));
    assert!(server.takes_password("ann@example.com", "gravel umbrella saxophone"));
    assert!(home.run(&["audit", "list"]).ok().contains("user.set_password"));
}

#[test]
fn a_service_account_is_set_up_on_the_host_alone() {
    let home = Home::new();
    home.create_operator();
    home.run(&["admin", "create-workspace", "--name", "Acme", "--slug", "acme", "--admin", "ann@example.com"]).ok();
    let create = ["admin", "create-service-account", "--workspace", "acme", "--name"];
    let account = home.run(&[&create[..], &["ci-bot", "--role", "admin", "--json"]].concat()).json();
    assert_eq!(account["email"], "ci-bot@acme.sa.keyward.local");
    assert_eq!(account["role"], "admin");

    // The quota is one until the operator raises it.
    let second = [&create[..], &["second"]].concat();
    let refused = home.run(&second).refused();
    assert!(refused.contains("service accounts"), "{refused}");
    let quota = home.run(&["admin", "set-quota", "--workspace", "acme", "--service-accounts", "2"]).ok();
    assert!(quota.contains("2 service accounts, 5 live keys for each of them, 25 live keys for each user"), "{quota}");
    home.run(&second).ok();

    home.ssh_keygen("id");
    let add = ["admin", "add-key", "--title", "runner", "--public-key-file", "id.pub", "--service-account"];
    let added = home.run(&[&add[..], &["ci-bot@acme.sa.keyward.local"]].concat()).ok();
    let fingerprint = home.tool("ssh-keygen", &["-lf", "id.pub"]);
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("a fingerprint");
    assert!(added.contains(fingerprint), "{added}");

    let server = home.serve();
    let me = home.run(&["whoami", "--url", &server.url, "--key", "id"]).ok();
    assert!(me.starts_with("ci-bot@acme.sa.keyward.local (service account ci-bot, sa_"), "{me}");
}

#[test]
fn a_new_person_is_invited_with_a_link_to_the_running_server() {
    let home = Home::new();
    home.create_operator();
    let server = home.serve();
    let create = ["admin", "create-workspace", "--name", "Acme", "--slug", "acme", "--admin", "new@example.com"];
    let created = home.run(&create).ok();
    assert!(created.contains(&format!("\n{}/", server.url)), "{created}");
}

#[test]
fn existing_objects_can_be_listed() {
    let home = Home::new();
    home.create_operator();
    home.run(&["admin", "create-workspace", "--name", "Acme", "--slug", "acme", "--admin", "ann@example.com"]).ok();
    let users = home.run(&["admin", "list-users"]).ok();
    let line = users.lines().nth(1).expect("a user");
    assert_eq!(line.split_whitespace().take(4).collect::<Vec<_>>(), ["ann@example.com", "Ann", "operator", "active"]);
    let workspaces = home.run(&["admin", "list-workspaces", "--json"]).json();
    assert_eq!(workspaces["items"][0]["slug"], "acme");
}

#[test]
fn a_password_is_read_from_standard_input_and_checked() {
    let home = Home::new();
    let create = ["admin", "create-user", "--email", "ann@example.com", "--name", "Ann", "--password-stdin"];
    assert!(home.run_with_input(&create, "").refused().contains("no password"));
    assert!(home.run_with_input(&create, "short\n").refused().contains("12"));
    home.run_with_input(&create, "correct horse battery\n").ok();
}

#[test]
fn a_mistake_is_reported_with_the_next_step() {
    let home = Home::new();
    let refused = home.run(&["admin", "list-users", "--data", "typo"]).refused();
    assert!(refused.contains("no installation in typo: run the command in the directory where"), "{refused}");
    assert!(!home.file("typo").exists(), "nothing is made");

    home.create_operator_with_key("id");
    let add = |user: &str, file: &str| {
        home.run(&["admin", "add-key", "--user", user, "--title", "t", "--public-key-file", file]).refused()
    };
    assert!(add("nobody@example.com", "id.pub").contains("list-users"));
    assert!(add("ann@example.com", "nowhere.pub").contains("nowhere.pub cannot be read"));
    assert!(add("ann@example.com", "id").contains("private key"), "a private key is not taken");

    // The advised command prints what can be registered.
    home.tool("openssl", &["genpkey", "-algorithm", "ed25519", "-out", "pkcs8"]);
    home.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "openssh"]);
    home.tool("ssh-keygen", &["-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", "pkcs1"]);
    home.tool("ssh-keygen", &["-q", "-t", "ecdsa", "-m", "PEM", "-N", "", "-f", "sec1"]);
    for file in ["pkcs8", "openssh", "pkcs1", "sec1"] {
        let refused = add("ann@example.com", file);
        let command = refused.split('`').find(|quoted| quoted.contains("FILE")).expect("a command");
        let words: Vec<_> = command.split(' ').map(|word| if word == "FILE" { file } else { word }).collect();
        home.write("advised.pub", &home.tool(words[0], &words[1..]));
        home.run(&[
            "admin",
            "add-key",
            "--user",
            "ann@example.com",
            "--title",
            file,
            "--public-key-file",
            "advised.pub",
        ])
        .ok();
    }
    assert!(add("ann@example.com", "id.pub").contains("already registered"));
}
