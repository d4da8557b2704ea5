//! `keyward request`, and the errors of all client commands.

use crate::support::{Home, Scripted};

#[test]
fn flags_mean_what_they_mean_in_curl() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let server = home.serve();
    let run = |arguments: &[&str]| {
        let mut command = home.keyward(&[&["request"], arguments].concat());
        command.env("KEYWARD_URL", &server.url).env("KEYWARD_KEY_FILE", "id");
        crate::support::Ran::from(command.stdin(std::process::Stdio::null()).output().expect("keyward starts"))
    };

    // A path stands for a path on the server of --url; a whole URL needs none.
    assert_eq!(run(&["GET", "/api/v1/me"]).json()["principal"]["email"], "ann@example.com");
    let whole = format!("{}/api/v1/me", server.url);
    assert_eq!(home.run(&["request", "GET", &whole, "--key", "id"]).json()["operator"], true);

    // -i prints the status line, the headers, an empty line and the body.
    let text = run(&["GET", "/api/v1/me", "-i"]).ok();
    let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\ncontent-type: application/json"), "{head}");
    assert!(body.starts_with("{\"principal\""), "{body}");

    // -o writes to a file; a status that is no success is no failure of the program.
    assert_eq!(run(&["GET", "/api/v1/me/keys/key_none", "-o", "answer"]).ok(), "");
    let answer = std::fs::read_to_string(home.file("answer")).expect("the answer");
    assert!(answer.contains("\"invalid_request\""), "{answer}");

    // Unless it is to be one.
    assert_eq!(run(&["GET", "/api/v1/me", "--fail"]).json()["operator"], true);
    let refused = run(&["GET", "/api/v1/me/keys/key_none", "--fail"]);
    assert_eq!(refused.stdout, "");
    assert!(refused.refused().contains("/api/v1/me/keys/key_none answered 400"));

    // -d is the body, from the command line, a file or standard input.
    let workspace =
        |slug: &str| format!("{{\"name\": \"W\",\n\"slug\": \"{slug}\", \"admin_email\": \"ann@example.com\"}}\n");
    let post = ["POST", "/api/v1/workspaces", "--data"];
    assert_eq!(run(&[&post[..], &[&workspace("by-text")]].concat()).json()["slug"], "by-text");
    home.write("body.json", &workspace("by-file"));
    assert_eq!(run(&[&post[..], &["@body.json"]].concat()).json()["slug"], "by-file");
    let url = format!("{}/api/v1/workspaces", server.url);
    let input = ["request", "POST", &url, "--key", "id", "--data-binary", "@-"];
    assert_eq!(home.run_with_input(&input, &workspace("by-input")).json()["slug"], "by-input");

    // -H sets a header, and takes a default one out.
    let text = run(&[&post[..], &["{}", "-H", "Content-Type: text/plain", "-i"]].concat()).ok();
    assert!(text.starts_with("HTTP/1.1 415 "), "{text}");
}

#[test]
fn both_profiles_are_accepted_and_what_they_sign_can_be_shown() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let server = home.serve();
    let url = format!("{}/v2/public/user/bearer-token", server.url);
    let token = home.run(&["request", "GET", &url, "--key", "id", "--profile", "encord"]).json();
    assert!(token["token"].is_string(), "{token}");

    let shown = home.run(&["request", "GET", &url, "--key", "id", "--print"]).ok();
    assert!(shown.starts_with("\"@method\": GET\n") && shown.contains("\nSignature-Input: "), "{shown}");
    let shown = home.run(&["request", "GET", &url, "--key", "id", "--print", "--profile", "encord"]).ok();
    assert!(shown.contains("\"@request-target\": /v2/public/user/bearer-token\n"), "{shown}");
}

#[test]
fn a_client_that_fails_says_what_to_do() {
    let home = Home::new();
    let refused = |arguments: &[&str]| home.run(arguments).refused();
    let misused = |arguments: &[&str]| home.run(arguments).fails_with(2);
    assert!(misused(&["whoami", "--key", "id"]).contains("--url"));
    let url = "http://127.0.0.1:1";
    assert!(misused(&["whoami", "--url", url]).contains("KEYWARD_KEY_FILE"));
    assert!(refused(&["whoami", "--url", url, "--key", "id"]).contains("keyward keygen"));

    home.ssh_keygen("id");
    let unreachable = refused(&["request", "GET", "/", "--url", url, "--key", "id"]);
    assert!(unreachable.contains("check the URL and that the server is running"), "{unreachable}");
    assert!(misused(&["request", "GET", "/", "--key", "id"]).contains("--url"));

    home.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "a passphrase", "-f", "locked"]);
    assert!(refused(&["whoami", "--url", url, "--key", "locked"]).contains("ssh-keygen -p"));
    home.tool("chmod", &["644", "id"]);
    assert!(refused(&["whoami", "--url", url, "--key", "id"]).contains("chmod 600"));
    home.tool("chmod", &["600", "id"]);
    home.tool("cp", &["locked.pub", "id.pub"]);
    assert!(refused(&["whoami", "--url", url, "--key", "id"]).contains("id.pub next to it contains another key"));
}

#[test]
fn a_body_that_is_too_large_is_named_with_its_size() {
    let home = Home::new();
    home.ssh_keygen("id");
    for size in [10, 4 * 1024 * 1024] {
        let server =
            Scripted::answering(
                &["HTTP/1.1 413 Payload Too Large\nContent-Type: text/html\n\n<h1>413</h1>".to_owned()],
            );
        home.write("body", &"x".repeat(size));
        let ran =
            home.run(&["request", "PUT", "/v2/large", "--url", &server.url, "--key", "id", "--data-binary", "@body"]);
        server.finish();
        // The server closes the connection while the larger body is sent: the client may or may not see the answer.
        assert!(ran.stderr.contains(&format!("{size} bytes")), "{}", ran.stderr);
        assert!(ran.stderr.contains("docs/proxies.md"), "{}", ran.stderr);
        if size == 10 {
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "<h1>413</h1>"));
        }
    }
}

#[test]
fn a_key_may_come_as_text_with_its_line_breaks_lost() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let server = home.serve();
    let text = std::fs::read_to_string(home.file("id")).expect("a key");
    let mut command = home.keyward(&["whoami", "--url", &server.url]);
    command.env("KEYWARD_KEY", text.replace('\n', " "));
    let ran = crate::support::Ran::from(command.output().expect("keyward starts"));
    assert!(ran.ok().starts_with("ann@example.com"));
}
