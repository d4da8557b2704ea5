//! `keyward request`, and the errors of all client commands.

use crate::support::{Home, Scripted, Town};

#[test]
fn flags_have_the_same_meaning_as_in_curl() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let server = home.serve();
    let run = |arguments: &[&str]| {
        let mut command = home.keyward(&[&["request"], arguments].concat());
        command.env("KEYWARD_URL", &server.url).env("KEYWARD_KEY_FILE", "id");
        crate::support::Ran::from(command.stdin(std::process::Stdio::null()).output().expect("keyward starts"))
    };

    // A path is relative to the server of --url. A complete URL does not need --url.
    assert_eq!(run(&["GET", "/api/v1/me"]).json()["principal"]["email"], "ann@example.com");
    let whole = format!("{}/api/v1/me", server.url);
    assert_eq!(home.run(&["request", "GET", &whole, "--key", "id"]).json()["operator"], true);

    // -i prints the status line, the headers, an empty line and the body.
    let text = run(&["GET", "/api/v1/me", "-i"]).ok();
    let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\ncontent-type: application/json"), "{head}");
    assert!(body.starts_with("{\"principal\""), "{body}");

    // -o writes to a file. An error status is not a failure of the program.
    assert_eq!(run(&["GET", "/api/v1/me/keys/key_none", "-o", "answer"]).ok(), "");
    let answer = std::fs::read_to_string(home.file("answer")).expect("the answer");
    assert!(answer.contains("\"invalid_request\""), "{answer}");

    // Except with --fail.
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

    // -H sets a header, and removes a default one.
    let text = run(&[&post[..], &["{}", "-H", "Content-Type: text/plain", "-i"]].concat()).ok();
    assert!(text.starts_with("HTTP/1.1 415 "), "{text}");
}

#[test]
fn the_other_flags_have_the_same_meaning_as_in_curl() {
    let town = Town::new();
    let run = |arguments: &[&str]| town.run("ann", &[&["request"], arguments].concat());
    let url = format!("{}/api/v1/me", town.server.url);

    // The method may be omitted, or given with -X. -I is HEAD.
    assert_eq!(run(&["/api/v1/me"]).json()["principal"]["email"], "ann@example.com");
    let created = run(&["-X", "POST", "/api/v1/workspaces", "-d", r#"{"name": "W", "slug": "by-flag"}"#]).json();
    assert_eq!(created["slug"], "by-flag");
    let head = run(&["-I", "/api/v1/me"]).ok();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");

    // -G appends the data to the query, which is signed.
    let page = run(&["-G", "/api/v1/workspaces", "-d", "limit=1"]).json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page}");

    // --json sets the content type, and accepts the same type.
    let created = run(&["/api/v1/workspaces", "--json", r#"{"name": "W", "slug": "by-json"}"#]).json();
    assert_eq!(created["slug"], "by-json");

    // -T sends a file with PUT, -F a form with POST. This API supports neither, and reports this to an authenticated
    // client.
    town.home.write("blob", "{}");
    let put = run(&["-T", "blob", "/api/v1/me", "-w", "%{method} %{http_code} %{size_upload}\\n", "-o", "answer"]).ok();
    assert_eq!(put, "PUT 405 2\n");
    let form = run(&["/api/v1/workspaces", "-F", "file=@blob", "-w", "|%{method} %{http_code}"]).ok();
    assert!(form.contains("multipart/form-data") || form.ends_with("|POST 415"), "{form}");

    // -w is printed after the body, also without a response.
    let told =
        run(&["/api/v1/me", "-o", "answer", "-w", "%{response_code} %{content_type} %header{cache-control}\\n"]).ok();
    assert!(told.starts_with("200 application/json no-store"), "{told}");
    let ran = run(&["http://127.0.0.1:1/", "-s", "-w", "%{http_code} %{exitcode}"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(5), "000 5", ""));
    // -s prints no messages. -S prints errors.
    assert!(run(&["http://127.0.0.1:1/", "-sS"]).fails_with(5).contains("cannot connect"));
    let ran = run(&["/api/v1/me/keys/key_none", "-sf"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(1), "", ""));
    let ran = run(&["/api/v1/me/keys/key_none", "--fail-with-body"]);
    assert!(ran.stdout.contains("invalid_request") && ran.stderr.contains("answered 400"), "{ran:?}");
    ran.fails_with(1);

    // -v shows both directions, and no credential.
    let ran = run(&["-v", &url, "-H", "Cookie: a=secretsecret"]);
    for line in [
        "> GET /api/v1/me HTTP/1.1\n",
        "> host: 127.0.0.1:",
        "> signature-input: ",
        "< HTTP/1.1 200 OK\n",
        "< content-type: ",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("secretsecret"), "{}", ran.stderr);
    assert!(ran.ok().starts_with("{\"principal\""));
}

#[test]
fn flags_that_a_signed_request_cannot_have_are_refused_by_name_with_the_way_out() {
    let home = Home::new();
    for (flags, name, way_out) in [
        (&["-L"][..], "-L, --location is not supported", "%{redirect_url}"),
        (&["-k"], "-k, --insecure", "--ca-file"),
        (&["-u", "ann:hunter2hunter2"], "-u, --user", "--key FILE"),
        (&["-b", "session=hunter2hunter2"], "-b, --cookie", "Cookie: NAME=VALUE"),
        (&["-x", "http://ann:hunter2hunter2@proxy"], "", "HTTPS_PROXY"),
        (&["-O"], "-O, --remote-name", "-o FILE"),
        (&["--compressed"], "--compressed", "gunzip"),
        (&["--retry", "3"], "--retry", "run the command again"),
    ] {
        let told =
            home.run(&[&["request", "GET", "http://127.0.0.1:1/", "--key", "none"], flags].concat()).fails_with(2);
        assert!(told.contains(name), "{flags:?}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
        if !name.is_empty() {
            assert!(told.contains(way_out), "{flags:?}: {told}");
        }
    }
}

#[test]
fn headers_that_were_signed_alone_are_accepted_from_curl() {
    let town = Town::new();
    let url = format!("{}/api/v1/me", town.server.url);
    let headers = town.run("bob", &["sign", "GET", "/api/v1/me"]).ok();
    let names: Vec<_> = headers.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    assert_eq!(names, ["Signature-Input", "Signature"], "{headers}");
    town.home.write("headers", &headers);
    let me = town.home.tool("curl", &["-sS", "-H", "@headers", &url]);
    assert!(me.contains("bob@example.com"), "{me}");

    // With a body, the digest is one of them. Unsigned values are refused.
    town.home.write("body.json", r#"{"title": "Whales", "description": ""}"#);
    let workspaces = town.run("bob", &["whoami", "--json"]).json();
    let url = format!(
        "{}/api/v1/workspaces/{}/projects",
        town.server.url,
        workspaces["workspaces"][0]["id"].as_str().unwrap()
    );
    town.home.write("headers", &town.run("bob", &["sign", "POST", &url, "--data-binary", "@body.json"]).ok());
    let post = ["-sS", "-H", "@headers", "-H", "Content-Type: application/json", "-w", "%{http_code}", "--data-binary"];
    let refused = town.home.tool("curl", &[&post[..], &["{}", &url]].concat());
    assert!(refused.ends_with("401"), "{refused}");
    let created = town.home.tool("curl", &[&post[..], &["@body.json", &url]].concat());
    assert!(created.contains("Whales") && created.ends_with("201"), "{created}");

    // As JSON for programs, including a header that the signature covers.
    let json = town.run("bob", &["sign", "POST", &url, "-d", "{}", "--json", "-H", "Keyward-Workspace: acme"]).json();
    for name in ["Signature-Input", "Signature", "Content-Digest", "Keyward-Workspace"] {
        assert!(json[name].is_string(), "{json}");
    }
    // A URL that is not normalised is refused with the normalised URL.
    let ran = town.run("bob", &["sign", "GET", "http://127.0.0.1/a/../b c"]);
    assert!(ran.stderr.contains("signed for http://127.0.0.1/b%20c"), "{}", ran.stderr);
    assert!(town.run("bob", &["sign", "GET"]).fails_with(2).contains("no URL is given"));
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
        // The server closes the connection while the larger body is sent, so the client may not receive the response.
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
