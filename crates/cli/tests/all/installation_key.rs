//! The installation's key: a wrong one is refused, a lost one is replaced.

use crate::support::{Home, Running};

fn is_refused(home: &Home, arguments: &[&str]) -> String {
    let refused = home.run(arguments).refused();
    assert!(refused.contains("not the key of the installation"), "{refused}");
    refused
}

#[test]
fn another_installations_key_is_refused_wherever_it_turns_up() {
    let (home, other) = (Home::new(), Home::new());
    home.create_operator_with_key("id");
    other.create_operator();
    home.run(&["backup", "backup.db"]).ok();
    let foreign = other.file("keyward-data/installation.key");
    let foreign = foreign.to_str().expect("UTF-8");

    is_refused(&home, &["restore", "backup.db", "--data", "new", "--installation-key", foreign]);
    assert!(!home.file("new/keyward.db").exists() && !home.file("new/installation.key").exists());

    home.tool("cp", &["-p", foreign, "keyward-data/installation.key"]);
    is_refused(&home, &["serve", "--listen", "127.0.0.1:0"]);
    is_refused(&home, &["admin", "list-users"]);
    let told = is_refused(&home, &["audit", "checkpoint"]);
    assert!(told.contains("replace-installation-key"), "it says what to do: {told}");
}

#[test]
fn a_lost_key_is_replaced_and_its_signatures_become_invalid() {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.run(&["admin", "create-workspace", "--name", "A", "--slug", "acme", "--admin", "ann@example.com"]).ok();
    let server = home.serve();
    let at = |server: &Running, path: &str| format!("{}{path}", server.url);
    let get = |server: &Running| home.run(&["request", "GET", &at(server, "/api/v1/me"), "--key", "id", "-i"]).ok();
    let token = home.run(&["request", "GET", &at(&server, "/v2/public/user/bearer-token"), "--key", "id"]).json();
    let bearer = format!("Authorization: Bearer {}", token["token"].as_str().expect("a token"));
    let status_of_token = |server: &Running| {
        let url = at(server, "/api/v1/me");
        home.tool("curl", &["--silent", "--output", "body", "--write-out", "%{http_code}", "-H", &bearer, &url])
    };
    assert_eq!(status_of_token(&server), "200");
    home.tool("rm", &["keyward-data/installation.key"]);

    let replace = ["admin", "replace-installation-key"];
    let asked = home.run(&replace).refused();
    assert!(asked.contains("--yes"), "it asks first: {asked}");
    assert!(!home.file("keyward-data/installation.key").exists());
    let told = home.run(&["admin", "replace-installation-key", "--yes"]).ok();
    assert!(told.contains("restart every server"), "{told}");

    // The server has the previous key, and verifies nothing with it.
    let answer = get(&server);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(server.stop(), Some(0));
    let server = home.serve();
    let answer = get(&server);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(status_of_token(&server), "401");
    home.run(&["audit", "verify"]).ok();
    let events = home.run(&["audit", "list", "--action", "installation.replace_key"]).ok();
    assert!(events.contains("before=") && events.contains("after="), "{events}");

    // Again with an existing key. It is kept beside the new one, for old checkpoints.
    let before = std::fs::read(home.file("keyward-data/installation.key")).expect("a key");
    assert_eq!(server.stop(), Some(0));
    let checkpoint = home.run(&["audit", "checkpoint"]).ok();
    home.write("checkpoint.txt", &checkpoint);
    home.run(&["admin", "replace-installation-key", "--yes"]).ok();
    let old = std::fs::read_dir(home.file("keyward-data"))
        .expect("the data directory")
        .map(|entry| entry.expect("a file").path())
        .find(|path| path.extension().is_some_and(|extension| extension.to_string_lossy().starts_with("old-")))
        .expect("the key of before");
    assert_eq!(std::fs::read(&old).expect("a key"), before);
    let old = old.to_str().expect("UTF-8");
    home.run(&["audit", "verify", "--checkpoint", "checkpoint.txt"]).refused();
    home.run(&["audit", "verify", "--checkpoint", "checkpoint.txt", "--installation-key", old]).ok();

    // If the command is interrupted before the new key is renamed, the next run uses it.
    home.tool("mv", &["keyward-data/installation.key", "keyward-data/installation.key.new"]);
    home.tool("cp", &["-p", old, "keyward-data/installation.key"]);
    home.run(&["admin", "list-users"]).ok();
}
