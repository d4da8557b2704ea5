//! THREATS §2: requests that two servers could interpret differently, and requests above the limits, as bytes over a
//! real socket.

use h2::client::SendRequest;
use serde_json::json;

use crate::{
    support::signing::{Draft, digest_of},
    support::wire::{Running, assert_status, bytes_of, chunked, fixed, read_answer, read_to_end},
    support::{Actor, HOST, TestApp},
};
use tokio::io::AsyncWriteExt as _;

const ME: &str = "/api/v1/me";

async fn acme() -> (TestApp, Running, Actor, String) {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    let running = Running::start(&test);
    (test, running, admin, format!("/api/v1/workspaces/{workspace}/projects"))
}

async fn project_count(test: &TestApp, admin: &Actor, projects: &str) -> usize {
    test.get(projects).by(&admin.key).send().await.expect(200)["items"].as_array().expect("a list").len()
}

#[tokio::test]
async fn a_chunked_body_is_verified_like_one_of_fixed_length() {
    let (test, running, admin, projects) = acme().await;
    for size in [1, 7, 1000] {
        let request = test.post(&projects, &json!({"title": "Chunked"})).by(&admin.key);
        assert_status(&running.exchange(&chunked(&request, size)).await, 201);
    }
    let mut changed = test.post(&projects, &json!({"title": "Changed"})).by(&admin.key);
    changed.body[2] ^= 1;
    let (one, other) = (running.exchange(&chunked(&changed, 5)).await, running.exchange(&fixed(&changed)).await);
    for answer in [one, other] {
        assert_status(&answer, 401);
        assert!(answer.contains("\"reason\":\"digest_mismatch\""), "{answer}");
    }
    // A read with an unsigned body.
    let mut added = test.get(ME).by(&admin.key);
    added.body = b"x".to_vec();
    assert_status(&running.exchange(&chunked(&added, 1)).await, 401);
    assert_eq!(project_count(&test, &admin, &projects).await, 3);
}

#[tokio::test]
async fn two_content_lengths_are_400_and_close_the_connection() {
    let (test, running, admin, projects) = acme().await;
    let request = test.post(&projects, &json!({"title": "Smuggled"})).by(&admin.key);
    let length = request.body.len();
    let mut chunks = format!("{length:x}\r\n").into_bytes();
    chunks.extend_from_slice(&request.body);
    chunks.extend_from_slice(b"\r\n0\r\n\r\n");
    let second = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    for framing in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        "transfer-encoding: chunked\r\ncontent-length: 0\r\n".to_owned(),
        format!("content-length: {length}\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}\r\ncontent-length: 0\r\n"),
        format!("content-length: {length}, {length}\r\n"),
        format!("content-length: +{length}\r\n"),
        "content-length: -1\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: gzip, chunked\r\n".to_owned(),
        "transfer-encoding : chunked\r\n".to_owned(),
        "transfer-encoding:\r\n chunked\r\n".to_owned(),
    ] {
        let body = if framing.contains("chunked") { &chunks } else { &request.body };
        let mut bytes = bytes_of(&request, &framing, body);
        bytes.extend_from_slice(second);
        // The client keeps the connection open, so the server must close it.
        let bytes = String::from_utf8(bytes).unwrap().replace("connection: close\r\n", "");
        let answer = running.exchange(bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{framing}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{framing}: {answer}");
    }
    assert_eq!(project_count(&test, &admin, &projects).await, 0);
    assert_status(&running.exchange(&fixed(&request)).await, 201);
}

#[tokio::test]
async fn a_malformed_request_closes_a_kept_alive_connection() {
    let (test, running, admin, projects) = acme().await;
    let mut stream = running.connect().await;
    for title in ["One", "Two"] {
        let request = test.post(&projects, &json!({"title": title})).by(&admin.key);
        for bytes in [fixed(&request), chunked(&request, 3)] {
            let bytes = String::from_utf8(bytes).unwrap().replace("connection: close\r\n", "");
            stream.write_all(bytes.as_bytes()).await.unwrap();
            assert_status(&read_answer(&mut stream).await, 201);
        }
    }
    assert_eq!(project_count(&test, &admin, &projects).await, 2, "each was sent twice and done once");
    let bad = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(bad.as_bytes()).await.unwrap();
    assert_status(&read_to_end(&mut stream).await, 400);
}

#[tokio::test]
async fn malformed_request_lines_and_headers_are_400() {
    let (test, running, admin, _) = acme().await;
    let signed = String::from_utf8(fixed(&test.get(ME).by(&admin.key))).unwrap();
    assert_status(&running.exchange(signed.as_bytes()).await, 200);
    let line = format!("GET {ME} HTTP/1.1\r\n");
    let host = format!("host: {HOST}\r\n");
    let replace = |from: &str, to: &str| {
        assert!(signed.contains(from), "{from}");
        signed.replacen(from, to, 1)
    };
    for (name, request) in [
        ("absolute-form", replace(&line, &format!("GET http://{HOST}{ME} HTTP/1.1\r\n"))),
        ("absolute-form elsewhere", replace(&line, &format!("GET http://evil.example{ME} HTTP/1.1\r\n"))),
        ("asterisk", replace(&line, "OPTIONS * HTTP/1.1\r\n")),
        ("authority-form", replace(&line, &format!("CONNECT {HOST} HTTP/1.1\r\n"))),
        ("no slash", replace(&line, "GET api/v1/me HTTP/1.1\r\n")),
        ("two slashes", replace(&line, &format!("GET /{ME} HTTP/1.1\r\n"))),
        ("dots", replace(&line, &format!("GET /x/..{ME} HTTP/1.1\r\n"))),
        ("escaped dots", replace(&line, &format!("GET /x/%2e%2e{ME} HTTP/1.1\r\n"))),
        ("escaped slash", replace(&line, "GET /api%2fv1/me HTTP/1.1\r\n")),
        ("backslash", replace(&line, "GET /api\\v1/me HTTP/1.1\r\n")),
        ("parameter", replace(&line, &format!("GET {ME};x=y HTTP/1.1\r\n"))),
        ("no host", replace(&host, "")),
        ("empty host", replace(&host, "host:\r\n")),
        ("two hosts", replace(&host, &format!("{host}{host}"))),
        ("two different hosts", replace(&host, &format!("{host}host: evil.example\r\n"))),
        ("user in host", replace(&host, &format!("host: ada@{HOST}\r\n"))),
        ("path in host", replace(&host, &format!("host: {HOST}/x\r\n"))),
        ("obs-fold", replace(&host, &format!("{host}x: a\r\n b\r\n"))),
        ("obs-fold with a tab", replace(&host, &format!("{host}x: a\r\n\tb\r\n"))),
        ("NUL in a value", replace(&host, &format!("{host}x: a\0b\r\n"))),
        ("CR in a value", replace(&host, &format!("{host}x: a\rb\r\n"))),
        ("DEL in a value", replace(&host, &format!("{host}x: a\x7fb\r\n"))),
        ("NUL in the path", replace(&line, &format!("GET {ME}\0 HTTP/1.1\r\n"))),
        ("space in a name", replace(&host, &format!("{host}x y: a\r\n"))),
        ("space before the colon", replace(&host, &format!("host : {HOST}\r\n"))),
        ("no name", replace(&host, &format!("{host}: a\r\n"))),
        ("no colon", replace(&host, &format!("{host}nothing\r\n"))),
        ("space before the first header", replace(&host, &format!(" {host}"))),
        ("two content types", replace(&host, &format!("{host}content-type: a/b\r\ncontent-type: a/b\r\n"))),
        ("fragment", replace(&line, &format!("GET {ME}#x HTTP/1.1\r\n"))),
        ("empty fragment", replace(&line, &format!("GET {ME}# HTTP/1.1\r\n"))),
        ("fragment behind a query", replace(&line, &format!("GET {ME}?#x HTTP/1.1\r\n"))),
        ("two spaces in the line", replace(&line, &format!("GET  {ME} HTTP/1.1\r\n"))),
        ("HTTP/3.0", replace(&line, &format!("GET {ME} HTTP/3.0\r\n"))),
        ("no version", replace(&line, &format!("GET {ME}\r\n"))),
    ] {
        let answer = running.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "), "{name}: {answer}");
    }
}

#[tokio::test]
async fn a_signed_value_cannot_contain_a_line_break() {
    let (test, running, admin, _) = acme().await;
    let draft = Draft::native(&test, &admin.key, "GET").with("\"x\"");
    let signed = draft.sign(test.get(ME).header("x", "a"), &admin.key);
    let bytes = String::from_utf8(fixed(&signed)).unwrap();
    assert_status(&running.exchange(bytes.as_bytes()).await, 200);
    let split = bytes.replacen("x: a\r\n", "x: a\r\n\"@method\": GET\r\n", 1);
    assert_status(&running.exchange(split.as_bytes()).await, 400);
}

#[tokio::test]
async fn headers_over_16_kib_are_431_and_bodies_over_1_mib_413() {
    let (test, running, admin, projects) = acme().await;
    let padded = |length: usize| test.get(ME).header("x", &"p".repeat(length)).by(&admin.key);
    assert_status(&running.exchange(&fixed(&padded(14_000))).await, 200);
    for length in [16_400, 30_000, 40_000] {
        assert_status(&running.exchange(&fixed(&padded(length))).await, 431);
    }
    let mut many = test.get(ME).by(&admin.key);
    for n in 0..120 {
        many.headers.insert(format!("x-{n}").parse::<http::HeaderName>().unwrap(), "v".parse().unwrap());
    }
    assert_status(&running.exchange(&fixed(&many)).await, 431);
    let long = test.get(&format!("{ME}?{}", "q".repeat(17_000))).by(&admin.key);
    assert_status(&running.exchange(&fixed(&long)).await, 431);

    let sized = |length: usize| {
        let mut request = test.post(&projects, &json!({"title": "Large"}));
        request.body.resize(length, b' ');
        let digest = digest_of(&request.body);
        Draft::native(&test, &admin.key, "POST").sign(request.header("content-digest", &digest), &admin.key)
    };
    assert_status(&running.exchange(&fixed(&sized(server::http::MAX_BODY))).await, 201);
    assert_status(&running.exchange(&chunked(&sized(server::http::MAX_BODY), 60_000)).await, 201);
    let (over, over_chunked) = (sized(server::http::MAX_BODY + 1), sized(server::http::MAX_BODY + 1));
    assert_status(&running.exchange(&fixed(&over)).await, 413);
    assert_status(&running.exchange(&chunked(&over_chunked, 60_000)).await, 413);
    assert_eq!(project_count(&test, &admin, &projects).await, 2);
}

#[tokio::test]
async fn requests_without_a_credential_obey_the_same_parsing_rules() {
    let (_test, running, ..) = acme().await;
    let plain = format!("GET /healthz HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n");
    assert_status(&running.exchange(format!("{plain}\r\n").as_bytes()).await, 200);
    let large = format!("{plain}x: {}\r\n\r\n", "p".repeat(17_000));
    assert_status(&running.exchange(large.as_bytes()).await, 431);
    let two = format!("{plain}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_status(&running.exchange(two.as_bytes()).await, 400);
}

/// Connects a client of HTTP/2 with prior knowledge.
async fn connect_h2(running: &Running) -> SendRequest<bytes::Bytes> {
    let (send, connection) = h2::client::handshake(running.connect().await).await.expect("HTTP/2");
    tokio::spawn(async move {
        // It ends with the test, or with the flood that the server stops.
        let _ = connection.await;
    });
    send.ready().await.expect("a connection")
}

/// Returns the status of a request, or `None` if the server refused the stream as malformed.
async fn h2_status(
    send: &mut SendRequest<bytes::Bytes>,
    authority: &str,
    headers: &http::HeaderMap,
) -> Result<u16, h2::Error> {
    let mut request = http::Request::builder().version(http::Version::HTTP_2).uri(format!("http://{authority}{ME}"));
    *request.headers_mut().expect("a request") = headers.clone();
    let (answer, _) = send.send_request(request.body(()).expect("a request"), true)?;
    Ok(answer.await?.status().as_u16())
}

#[tokio::test]
async fn over_http_2_authority_is_the_signed_host_and_must_equal_host() {
    let (test, running, admin, _) = acme().await;
    let mut send = connect_h2(&running).await;
    let mut headers = test.get(ME).by(&admin.key).headers;
    assert_eq!(h2_status(&mut send, HOST, &headers).await.unwrap(), 200, "Host agrees");
    headers.insert("host", "evil.example".parse().unwrap());
    assert_eq!(h2_status(&mut send, HOST, &headers).await.unwrap(), 400, "Host conflicts");
    headers.remove("host");
    assert_eq!(h2_status(&mut send, HOST, &headers).await.unwrap(), 200, "no Host");
    assert_eq!(h2_status(&mut send, "localhost:8080", &headers).await.unwrap(), 401, "another own authority");
    assert_eq!(h2_status(&mut send, "evil.example", &headers).await.unwrap(), 421, "another authority");
    headers.insert("x", "p".repeat(17_000).parse().unwrap());
    let large = h2_status(&mut send, HOST, &headers).await;
    assert!(large.as_ref().is_ok_and(|status| *status == 431), "{large:?}");
}

#[tokio::test]
async fn over_http_2_a_fragment_ends_its_request_and_no_other() {
    let (test, running, admin, _) = acme().await;
    let signed = test.get(ME).by(&admin.key);
    let ask = |target: String| {
        let mut command = std::process::Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--http2-prior-knowledge"]);
        for (name, value) in &signed.headers {
            command.args(["--header", &format!("{name}: {}", value.to_str().expect("ASCII"))]);
        }
        let url = format!("http://{}/", running.address);
        command.args(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}\n"]);
        command.args(["--request-target", &target, &url]);
        async move {
            let run = tokio::task::spawn_blocking(move || command.output());
            let output = run.await.expect("no panic").expect("curl runs");
            let trimmed = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            (trimmed(&output.stdout), trimmed(&output.stderr))
        }
    };
    assert_eq!(ask(ME.to_owned()).await, ("2 200".to_owned(), String::new()));
    for target in [format!("{ME}#x"), format!("{ME}#"), format!("{ME}?#x"), format!("{ME}?a#{}", "x".repeat(300))] {
        let (status, error) = ask(target.clone()).await;
        assert!(!status.ends_with(" 200") && error.contains("PROTOCOL_ERROR"), "{target}: {status} {error}");
    }
    assert_eq!(ask(format!("{ME}?%23")).await.0, "2 401", "an escaped one is part of another target");
}

#[tokio::test]
async fn a_flood_of_streams_that_are_reset_ends_its_connection_and_no_other() {
    let (_test, running, ..) = acme().await;
    let mut send = connect_h2(&running).await;
    let mut refused = None;
    for _ in 0..5000 {
        let request = http::Request::builder().uri(format!("http://{HOST}/healthz")).body(()).unwrap();
        send = match send.ready().await {
            Ok(send) => send,
            Err(error) => {
                refused = Some(error);
                break;
            }
        };
        match send.send_request(request, false) {
            Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
        tokio::task::yield_now().await;
    }
    // With ENHANCE_YOUR_CALM or, if the client was still writing, with the end of the connection.
    let refused = refused.expect("a flood must come to an end");
    assert!(refused.reason().is_none_or(|reason| reason == h2::Reason::ENHANCE_YOUR_CALM), "{refused}");
    let healthy = format!("GET /healthz HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    assert_status(&running.exchange(healthy.as_bytes()).await, 200);
}
