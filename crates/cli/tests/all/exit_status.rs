//! The exit statuses, and errors as JSON, for programs that run `keyward`.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use serde_json::{Value, json};

use crate::support::{Home, Ran, Scripted, Town};

/// Returns the JSON error on standard error. Standard output must be empty.
#[track_caller]
fn json_error(ran: &Ran, status: i32) -> Value {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(status), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stderr).expect("JSON");
    let error = told["error"].clone();
    assert_eq!(error["exit_status"], status, "{error}");
    assert!(error["message"].as_str().is_some_and(|message| !message.contains("next:")), "{error}");
    error
}

#[test]
fn each_status_has_its_meaning_and_its_error_is_json_too() {
    let town = Town::new();
    town.home.ssh_keygen("stranger");
    assert_eq!(town.run("bob", &["whoami"]).code, Some(0));
    let cases: [(&str, &[&str], i32, &str); 11] = [
        // 1: failed.
        ("ann", &["members", "set-role", "ann@example.com", "member", "--json"], 1, "last_admin"),
        ("nowhere", &["whoami", "--json"], 1, "failed"),
        ("ann", &["admin", "list-users", "--data", "typo", "--json"], 1, "failed"),
        // 2: usage.
        ("ann", &["whoami", "--jsom", "--json"], 2, "invalid_usage"),
        ("ann", &["projects", "list", "--limit", "0", "--json"], 2, "invalid_usage"),
        // 3: not authenticated.
        ("stranger", &["whoami", "--json"], 3, "unauthenticated"),
        // 4: not allowed, or not found.
        ("bob", &["service-accounts", "create", "bot", "--json"], 4, "forbidden"),
        ("eve", &["workspaces", "show", "acme", "--json"], 4, "not_found"),
        ("ann", &["keys", "show", "key_01jz0000000000000000000000", "--json"], 4, "not_found"),
        ("ann", &["admin", "create-service-account", "--workspace", "none", "--name", "bot", "--json"], 4, "not_found"),
        // 5: unreachable.
        ("ann", &["whoami", "--url", "http://127.0.0.1:1", "--json"], 5, "unreachable"),
    ];
    for (who, arguments, status, code) in cases {
        let error = json_error(&town.run(who, arguments), status);
        assert_eq!(error["code"], code, "{arguments:?}: {error}");
        // Without `--json`, the status is the same and the message is text.
        let plain: Vec<_> = arguments.iter().copied().filter(|word| *word != "--json").collect();
        let told = town.run(who, &plain).fails_with(status);
        assert!(told.starts_with("error: "), "{plain:?}: {told}");
    }
    // The server's problem is included, and the next step is separate.
    let error = json_error(&town.run("bob", &["service-accounts", "create", "bot", "--json"]), 4);
    assert_eq!(
        (&error["problem"]["status"], &error["problem"]["required_role"]),
        (&json!(403), &json!("workspace:admin"))
    );
    assert!(error["next"].as_str().is_some_and(|next| next.contains("keyward members list")), "{error}");
}

#[test]
fn a_server_that_cannot_answer_is_unreachable() {
    let home = Home::new();
    home.ssh_keygen("id");
    let away = "HTTP/1.1 502 Bad Gateway\nRetry-After: 60\n\nnginx".to_owned();
    let server = Scripted::answering(&[away.clone(), away.clone(), away]);
    let whoami = ["whoami", "--url", &server.url, "--key", "id"];
    home.run(&whoami).fails_with(5);
    json_error(&home.run(&[&whoami[..], &["--json"]].concat()), 5);
    home.run(&["request", "GET", "/", "--url", &server.url, "--key", "id", "--fail"]).fails_with(5);
    server.finish();
    home.run(&["request", "GET", "/", "--url", "http://127.0.0.1:1", "--key", "id"]).fails_with(5);
}

#[test]
fn a_secret_in_an_error_is_hidden_in_json_too() {
    let home = Home::new();
    home.ssh_keygen("id");
    let key = std::fs::read_to_string(home.file("id")).expect("a key");
    let body = key.lines().nth(1).expect("a line");
    for arguments in [
        &["whoami", "--json", "--key", &key][..],
        &["whoami", "--json", "--url", &key],
        &["keys", "show", "--json", &key],
        &["keys", "list", "--json", "--limit", &key],
    ] {
        let ran = home.run(arguments);
        assert!(!ran.stderr.contains(body) && !ran.stdout.contains(body), "{}", ran.stderr);
        json_error(&ran, 2);
    }
}

#[test]
fn a_variable_that_is_not_text_is_named_and_not_printed() {
    let home = Home::new();
    home.ssh_keygen("id");
    let mut key = std::fs::read(home.file("id")).expect("a key");
    key.push(0xF6);
    for name in ["KEYWARD_KEY", "KEYWARD_URL"] {
        let mut command = home.keyward(&["whoami", "--json"]);
        command.env("KEYWARD_URL", "http://127.0.0.1:1").env(name, OsStr::from_bytes(&key));
        let ran = Ran::from(command.output().expect("keyward starts"));
        assert!(!ran.stderr.contains("b3BlbnNzaC1rZXktdjE"), "{}", ran.stderr);
        let error = json_error(&ran, 2);
        assert!(
            error["message"].as_str().is_some_and(|told| told.starts_with(name) && told.contains("UTF-8")),
            "{error}"
        );
    }
    // Another key on the command line does not matter.
    let mut command = home.keyward(&["whoami", "--url", "http://127.0.0.1:1", "--key", "id"]);
    command.env("KEYWARD_KEY", OsStr::from_bytes(&key));
    Ran::from(command.output().expect("keyward starts")).fails_with(5);
}
