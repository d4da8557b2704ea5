//! Error messages: what happened, and what to do next.

use crate::support::{Home, Running, Scripted, Town};

/// Changes one bit of the private key in an OpenSSH Ed25519 file, and keeps the public key.
const FLIP_PRIVATE_HALF: &str = r#"
import base64, sys
lines = open(sys.argv[1]).read().split("\n")
raw = bytearray(base64.b64decode("".join(lines[1:-2])))
raw[raw.index(bytes([0, 0, 0, 64])) + 4] ^= 1
open(sys.argv[2], "w").write("\n".join([lines[0], base64.b64encode(raw).decode(), lines[-2], ""]))
"#;

#[test]
fn a_key_that_cannot_sign() {
    let home = Home::new();
    home.ssh_keygen("id");
    let whoami = |key: &str| home.run(&["whoami", "--url", "http://127.0.0.1:1", "--key", key]).refused();

    home.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "a passphrase", "-f", "locked"]);
    let refused = whoami("locked");
    for way_out in ["`ssh-add locked` and pass `--agent`", "`ssh-keygen -p -f locked`", "`keyward keygen`"] {
        assert!(refused.contains(way_out), "{way_out}: {refused}");
    }
    home.tool("python3", &["-c", FLIP_PRIVATE_HALF, "id", "flipped"]);
    home.tool("chmod", &["600", "flipped"]);
    let refused = whoami("flipped");
    assert!(
        refused.contains("does not match its private key") && refused.contains("restore it from a copy"),
        "{refused}"
    );
    home.tool("chmod", &["644", "id"]);
    let refused = whoami("id");
    assert!(refused.contains("other users of this machine can read it (mode 644): run `chmod 600 id`"), "{refused}");
    assert!(whoami("id.pub").contains("this is the public key"));
    assert!(whoami("nowhere").contains("no such file"));

    // A CI system stored only half of the secret.
    let text = std::fs::read_to_string(home.file("id")).expect("a key");
    let mut command = home.keyward(&["whoami", "--url", "http://127.0.0.1:1"]);
    command.env("KEYWARD_KEY", &text[..200]);
    let refused = crate::support::Ran::from(command.output().expect("keyward starts")).refused();
    assert!(refused.contains("lost line breaks are restored, but more is missing"), "{refused}");
    assert!(!refused.contains(&text[60..100]), "nothing of the key is told");
}

#[test]
fn a_server_that_cannot_be_reached() {
    let home = Home::new();
    home.ssh_keygen("id");
    let whoami = |url: &str| home.run(&["whoami", "--url", url, "--key", "id"]).refused();
    let refused = whoami("http://127.0.0.1:1");
    assert!(
        refused.contains("cannot connect to http://127.0.0.1:1") && refused.contains("no server listens"),
        "{refused}"
    );
    // RFC 6761 §6.4: a name that never exists. Without a name server, the resolver must not wait long.
    let mut command = home.keyward(&["whoami", "--url", "https://keys.invalid.", "--key", "id"]);
    command.env("RES_OPTIONS", "timeout:1 attempts:1");
    let unknown = crate::support::Ran::from(command.output().expect("keyward starts")).refused();
    assert!(unknown.contains("the host name cannot be resolved"), "{unknown}");
    let misused = home.run(&["whoami", "--url", "keys.example.com", "--key", "id"]).fails_with(2);
    assert!(misused.contains("must start with `https://`"), "{misused}");
    let redirecting = Scripted::answering(&["HTTP/1.1 301 Moved\nLocation: https://elsewhere.example/".to_owned()]);
    assert!(whoami(&redirecting.url).contains("points to https://elsewhere.example/"));
    let page = Scripted::answering(&["HTTP/1.1 200 OK\nContent-Type: text/html\n\n<h1>hello</h1>".to_owned()]);
    assert!(whoami(&page.url).contains("not what this version expects"));
    let away = "HTTP/1.1 502 Bad Gateway\nRetry-After: 0\n\nnginx".to_owned();
    let away = Scripted::answering(&[away.clone(), away.clone(), away.clone(), away]);
    let refused = whoami(&away.url);
    assert!(refused.contains("502") && refused.contains("check that the server is running"), "{refused}");
    away.finish();
}

#[test]
fn a_certificate_that_is_not_trusted() {
    let home = Home::new();
    let subject =
        ["-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"];
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    home.tool("openssl", &[&request[..], &subject, &["-keyout", "tls.key", "-out", "tls.pem"]].concat());
    home.write("keyward.toml", "tls_certificate = \"tls.pem\"\ntls_key = \"tls.key\"\n");
    home.create_operator_with_key("id");
    let server = Running::start(home.keyward(&["serve", "--listen", "127.0.0.1:0"]));
    let whoami = ["whoami", "--url", &server.url, "--key", "id"];
    let refused = home.run(&whoami).refused();
    assert!(
        refused.contains("certificate is not trusted on this machine") && refused.contains("--ca-file"),
        "{refused}"
    );
    let told = home.run(&[&whoami[..], &["--ca-file", "tls.pem"]].concat()).ok();
    assert!(told.starts_with("ann@example.com"), "{told}");
    home.write("empty.pem", "");
    let refused = home.run(&[&whoami[..], &["--ca-file", "empty.pem"]].concat()).refused();
    assert!(refused.contains("BEGIN CERTIFICATE"), "{refused}");
    assert!(home.run(&[&whoami[..], &["--ca-file", "nowhere.pem"]].concat()).refused().contains("nowhere.pem"));

    let plain = server.url.replace("https:", "http:");
    home.run(&["whoami", "--url", &plain, "--key", "id"]).refused();
    let demo = Home::new();
    demo.create_operator_with_key("id");
    let plain = demo.serve();
    let https = plain.url.replace("http:", "https:");
    let refused = demo.run(&["whoami", "--url", &https, "--key", "id"]).refused();
    assert!(refused.contains("does not speak TLS") && refused.contains("http://"), "{refused}");
}

#[test]
fn a_key_that_is_not_accepted() {
    let town = Town::new();
    town.home.ssh_keygen("stranger");
    let unknown = town.run("stranger", &["whoami"]).refused();
    let fingerprint = town.home.tool("ssh-keygen", &["-lf", "stranger.pub"]);
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("a fingerprint");
    assert!(unknown.contains(&format!("next: the request was signed by {fingerprint} at 20")), "{unknown}");
    assert!(unknown.contains("keyward keys add") && unknown.contains("keyward admin add-key"), "{unknown}");
}

#[test]
fn a_clock_that_is_off() {
    let home = Home::new();
    home.ssh_keygen("id");
    let problem = |members: &str| {
        format!(
            "Content-Type: application/problem+json\n\n{{\"type\": \"urn:keyward:problem:unauthenticated\", \"title\": \
             \"Not authenticated\", \"status\": 401, \"code\": \"unauthenticated\", \"detail\": \"Stale by 412 s; server \
             time 2001-01-01T00:00:00Z.\"{members}}}"
        )
    };
    // The server reports it to the holder of the key. Otherwise the Date of the response shows it.
    let stale = problem(", \"reason\": \"stale\", \"server_time\": \"2001-01-01T00:00:00Z\"");
    let date = "Date: Mon, 01 Jan 2001 00:00:00 GMT";
    let server = Scripted::answering(&[
        format!("HTTP/1.1 401 Unauthorized\n{stale}"),
        format!("HTTP/1.1 401 Unauthorized\n{date}\n{}", problem("")),
    ]);
    let whoami = ["whoami", "--url", &server.url, "--key", "id"];
    let told = home.run(&whoami).refused();
    assert!(told.contains("Stale by 412 s; server time 2001-01-01T00:00:00Z."), "{told}");
    assert!(told.contains("this machine's clock says 20") && told.contains("timedatectl set-ntp true"), "{told}");
    let told = home.run(&whoami).refused();
    assert!(told.contains("s ahead of the server's") && told.contains("by this machine's clock"), "{told}");
    server.finish();
}

#[test]
fn a_server_that_may_have_done_it_anyway() {
    let home = Home::new();
    home.ssh_keygen("id");
    let problem = "{\"type\": \"urn:keyward:problem:unavailable\", \"title\": \"Not available\", \"status\": 503, \"code\": \
                   \"unavailable\", \"detail\": \"Try again in a moment.\"}";
    let away = format!("HTTP/1.1 503 Away\nRetry-After: 60\nContent-Type: application/problem+json\n\n{problem}");
    let server = Scripted::answering(&[away]);
    let add = ["keys", "add", "--generate", "new.key", "--url", &server.url, "--key", "id"];
    let told = home.run(&add).refused();
    assert!(told.contains("`keyward keys list` shows whether the key was registered"), "{told}");
    assert!(home.file("new.key").exists(), "the private key of a key that may be registered is kept");
    server.finish();
}

#[test]
fn a_server_that_refuses_too_many_requests_is_reported() {
    let home = Home::new();
    home.ssh_keygen("id");
    let problem = "{\"type\": \"urn:keyward:problem:rate_limited\", \"title\": \"Too many requests\", \"status\": 429, \
                   \"code\": \"rate_limited\", \"detail\": \"This key or address asks too often; try again in 90 s.\"}";
    let keyward =
        format!("HTTP/1.1 429 Too Many Requests\nRetry-After: 90\nContent-Type: application/problem+json\n\n{problem}");
    let proxy = "HTTP/1.1 429 Too Many Requests\nRetry-After: 120\n\nslower".to_owned();
    let server = Scripted::answering(&[keyward, proxy]);
    let whoami = ["whoami", "--url", &server.url, "--key", "id"];
    // Waits of up to half a minute are awaited. Longer ones are reported.
    assert!(home.run(&whoami).refused().contains("try again in 90 s"));
    assert!(home.run(&whoami).refused().contains("try again in 120 s"));
    server.finish();
}
