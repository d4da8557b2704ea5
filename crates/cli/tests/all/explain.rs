//! `keyward explain` through a proxy that changes requests.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use crate::support::{Home, Ran, Running, Scripted};

/// A change of a request's head by a proxy.
type Change = fn(&str) -> String;

/// A server behind a proxy that passes requests on, with the next change.
struct Behind {
    home: Home,
    proxy: TcpListener,
    server: Running,
    server_address: SocketAddr,
    url: String,
}

impl Behind {
    fn new() -> Self {
        let home = Home::new();
        home.create_operator_with_key("id");
        let proxy = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", proxy.local_addr().expect("an address"));
        home.write("keyward.toml", &format!("hosts = [{url:?}]\n"));
        let server = Running::start(home.keyward(&["serve", "--listen", "127.0.0.1:0", "--config", "keyward.toml"]));
        let server_address = server.url.strip_prefix("http://").expect("plain").parse().expect("an address");
        Self { home, proxy, server, server_address, url }
    }

    /// Runs `keyward explain` with one request through the proxy.
    fn explain(&self, change: Change, arguments: &[&str]) -> Ran {
        self.explain_with(change, str::to_owned, arguments)
    }

    fn explain_with(&self, change: Change, change_body: Change, arguments: &[&str]) -> Ran {
        std::thread::scope(|scope| {
            let (proxy, server) = (&self.proxy, self.server_address);
            scope.spawn(move || pass_one(proxy, server, change, change_body));
            let mut command = self.home.keyward(&[&["explain"], arguments].concat());
            command.env("KEYWARD_URL", &self.url).env("KEYWARD_KEY_FILE", "id");
            Ran::from(command.stdin(std::process::Stdio::null()).output().expect("keyward starts"))
        })
    }
}

/// Passes one request and its response on.
fn pass_one(proxy: &TcpListener, server: SocketAddr, change: Change, change_body: Change) {
    let (mut client, _) = proxy.accept().expect("a connection");
    let mut request = Vec::new();
    let head_end = loop {
        let mut byte = [0];
        assert_eq!(client.read(&mut byte).expect("a request"), 1, "the request has an end");
        request.push(byte[0]);
        if request.ends_with(b"\r\n\r\n") {
            break request.len();
        }
    };
    let head = String::from_utf8(request[..head_end].to_vec()).expect("ASCII");
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body).expect("a body");
    let body = change_body(&String::from_utf8(body).expect("UTF-8"));
    let changed = change(head.trim_end());
    let lines = changed.lines().filter(|line| !line.to_lowercase().starts_with("content-length:"));
    let head = lines.fold(String::new(), |head, line| head + line + "\r\n");
    let mut server = TcpStream::connect(server).expect("the server listens");
    write!(server, "{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("it reads");
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).expect("it answers");
    client.write_all(&answer).expect("the client reads");
}

/// The arguments, the change by the proxy, the printed lines, and the message: the difference, and how to correct it.
type Case<'a> = (&'a [&'a str], Change, &'a [&'a str], &'a str, &'a str);

#[test]
fn a_part_that_a_proxy_changes_is_shown_with_its_cause() {
    let behind = Behind::new();
    let cases: [Case<'_>; 7] = [
        (
            &["GET", "/api/v1/me?a=1&b=2"],
            |head| head.replace("a=1&b=2", "b=2&a=1"),
            &["- \"@target-uri\": http://", "a=1&b=2\n+ \"@target-uri\": http://", "b=2&a=1\n"],
            "the query is ?a=1&b=2, and arrived as ?b=2&a=1",
            "order",
        ),
        (
            &["GET", "/api/v1/me/"],
            |head| head.replace("/me/ ", "/me "),
            &["/api/v1/me/\n+ \"@target-uri\"", "/api/v1/me\n"],
            "the path is /api/v1/me/",
            "slash at the end",
        ),
        (
            &["DELETE", "/api/v1/me/keys/key_01h455vb4pex5vsknk084sn02q"],
            |head| head.replacen("DELETE", "POST", 1),
            &["- \"@method\": DELETE\n+ \"@method\": POST\n"],
            "the method is DELETE, and arrived as POST",
            "override",
        ),
        (
            &["POST", "/api/v1/me/proof-challenges", "-d", "{}"],
            |head| {
                let kept = head.lines().filter(|line| !line.to_lowercase().starts_with("content-digest"));
                kept.collect::<Vec<_>>().join("\n")
            },
            &["+ \"content-digest\": (missing)\n"],
            "the header content-digest did not arrive",
            "Content-Digest",
        ),
        (
            &["GET", "/api/v1/me", "-H", "Keyward-Workspace: acme"],
            |head| head.replace("acme", "c4nary"),
            &["- \"keyward-workspace\": length=4, sha-256=", "+ \"keyward-workspace\": length=6, sha-256="],
            "the header keyward-workspace was changed",
            "do not sign it",
        ),
        (
            &["GET", "/api/v1/me"],
            |head| {
                let kept = head.lines().filter(|line| !line.to_lowercase().starts_with("signature"));
                kept.collect::<Vec<_>>().join("\n")
            },
            &[],
            "no signature arrived: neither Signature-Input nor Signature",
            "a proxy must pass Signature",
        ),
        (
            &["GET", "/v2/public/projects?page_size=1", "--profile", "encord"],
            |head| head.replace("page_size=1", "page_size=2"),
            &["- \"@request-target\": /v2/public/projects?page_size=1\n"],
            "the query is ?page_size=1",
            "as it came",
        ),
    ];
    for (arguments, change, shown, what, next) in cases {
        let ran = behind.explain(change, arguments);
        for text in shown {
            assert!(ran.stdout.contains(text), "{arguments:?}: {}", ran.stdout);
        }
        assert!(!ran.stdout.contains("c4nary"), "the value that arrived is not shown: {}", ran.stdout);
        let told = ran.fails_with(3);
        let (before, after) = told.split_once("\nnext: ").unwrap_or_else(|| panic!("{told}"));
        assert!(before.contains(what) && after.contains(next), "{arguments:?}: {told}");
    }
}

#[test]
fn a_changed_body_is_reported_with_both_digests() {
    let behind = Behind::new();
    let arguments = ["POST", "/api/v1/workspaces", "-d", r#"{"name":"W","slug":"made"}"#];
    let ran = behind.explain_with(str::to_owned, |body| body.replace(':', ": "), &arguments);
    let told = ran.fails_with(3);
    assert!(told.contains("26 bytes were signed (sha-256=:") && told.contains("and 28 arrived (sha-256=:"), "{told}");
}

#[test]
fn refusals_for_other_reasons_than_the_signature_are_reported() {
    let behind = Behind::new();
    let accepted = behind.explain(str::to_owned, &["GET", "/api/v1/me"]).ok();
    assert!(accepted.starts_with("accepted: GET http://127.0.0.1:") && accepted.contains("(200 OK)"), "{accepted}");
    let made = ["POST", "/api/v1/workspaces", "-d", r#"{"name":"W","slug":"made","admin_email":"ann@example.com"}"#];
    assert!(behind.explain(str::to_owned, &made).ok().contains("(201 Created)"));

    let not_found = ["GET", "/api/v1/workspaces/ws_01h455vb4pex5vsknk084sn02q"];
    let told = behind.explain(str::to_owned, &not_found).fails_with(4);
    assert!(told.contains("the signature is accepted, but the server answered 404"), "{told}");
    let told = behind.explain(|head| head.replace("127.0.0.1", "127.0.0.9"), &["GET", "/api/v1/me"]).fails_with(1);
    assert!(told.contains("its host is not one that this server answers for"), "{told}");
    let told = behind.explain(str::to_owned, &["GET", "/api/v1/me/keys/key_none"]).fails_with(1);
    assert!(told.contains("not because of the signature"), "{told}");

    behind.home.ssh_keygen("stranger");
    let told = behind.explain(str::to_owned, &["GET", "/api/v1/me", "--key", "stranger"]);
    assert!(told.stdout.lines().all(|line| line.starts_with("  \"")), "nothing differs: {}", told.stdout);
    let told = told.fails_with(3);
    let head = behind.explain(str::to_owned, &["HEAD", "/api/v1/me", "--key", "stranger"]).fails_with(3);
    assert!(head.contains("has no body") && head.contains("with GET"), "{head}");
    let fingerprint = behind.home.tool("ssh-keygen", &["-lf", "stranger.pub"]);
    let fingerprint = fingerprint.split(' ').nth(1).expect("a fingerprint");
    assert!(told.contains(&format!("it does not accept the key {fingerprint}")), "{told}");
}

#[test]
fn the_holder_of_a_disabled_key_gets_the_reason() {
    let behind = Behind::new();
    let key = behind.home.run(&["keys", "list", "--json", "--url", &behind.server.url, "--key", "id"]).json();
    let id = key["items"][0]["id"].as_str().expect("an id");
    behind.home.run(&["keys", "disable", id, "--yes", "--url", &behind.server.url, "--key", "id"]).ok();
    let told = behind.explain(str::to_owned, &["GET", "/api/v1/me"]).fails_with(3);
    assert!(told.contains("the signature is right, but the request is refused: Key disabled"), "{told}");
}

#[test]
fn a_server_without_explanations_is_reported() {
    let home = Home::new();
    home.ssh_keygen("id");
    let explain = |answer: &str| {
        let server = Scripted::answering(&[answer.to_owned()]);
        let ran = home.run(&["explain", "GET", "/x", "--url", &server.url, "--key", "id"]);
        server.finish();
        ran
    };
    let told = explain("HTTP/1.1 401 Unauthorized\nContent-Type: text/html\n\n<h1>401</h1>").fails_with(3);
    assert!(
        told.contains("does not explain it") && told.contains("check that this URL is answered by Keyward"),
        "{told}"
    );
    let told = explain("HTTP/1.1 401 Unauthorized\nKeyward-Reason: stale\n\n").fails_with(3);
    assert!(told.contains("(Keyward-Reason: stale)") && told.contains("pass `Keyward-Explain`"), "{told}");
    let problem = r#"{"type":"urn:keyward:problem:unauthenticated","title":"t","status":401,"detail":"No.","code":"unauthenticated"EXPLANATION}"#;
    let answer = |explanation: &str| {
        let problem = problem.replace("EXPLANATION", explanation);
        format!("HTTP/1.1 401 Unauthorized\nContent-Type: application/problem+json\nAccept-Signature: x\n\n{problem}")
    };
    let told = explain(&answer("")).fails_with(3);
    assert!(told.contains("explain it: No.") && told.contains("earlier releases"), "{told}");
    let told = explain(&answer(r#","explanation":{"detail":"too many","retry_after":7}"#)).fails_with(3);
    assert!(told.contains("too many") && told.contains("again in 7 s"), "{told}");
    let ran = explain(&answer(r#","explanation":{"signature_base":"\"@method\": \u001b[2JGET"}"#));
    assert!(!ran.stdout.contains('\u{1b}'), "a terminal is not controlled by a server: {:?}", ran.stdout);
    let told = explain("HTTP/1.1 302 Found\nLocation: https://b.example/x\n\n").fails_with(1);
    assert!(told.contains("sign a request for that address") && told.contains("https://b.example/x"), "{told}");
    let told = explain("HTTP/1.1 404 Not Found\nContent-Type: text/html\n\n<h1>404</h1>").fails_with(4);
    assert!(told.contains("says nothing about the signature"), "{told}");
}
