//! What only the nginx example has: its own refusals, and its locations for Keyward.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stack::{self, Kind, Stack};
use crate::support::TestRequest;

#[tokio::test]
async fn nginx_names_the_limit_of_a_body_that_is_too_large() {
    let smaller = |text: &str| text.replace("client_max_body_size 100m;", "client_max_body_size 1k;");
    let stack = Stack::start_with(Kind::Nginx, smaller, |_, _| {}).await;
    let client = stack.request("PUT", "/v2/large", &Value::String("x".repeat(1024))).by(&stack.admin.key);
    let answer = stack.send(&client).await;
    let problem: Value = serde_json::from_str(&answer.body).expect("a problem");
    assert_eq!((answer.status, &problem["code"], &problem["status"]), (413, &json!("too_large"), &json!(413)));
    assert!(stack.take_seen().is_empty());
}

#[tokio::test]
async fn refusals_by_nginx_itself_are_problems_without_a_reason_of_keyward() {
    let mut stack = Stack::start(Kind::Nginx, |_| {}).await;
    let signed = || stack.get("/v2/things").by(&stack.admin.key);
    let with = |change: fn(&mut TestRequest<'_>)| {
        let mut request = signed();
        change(&mut request);
        request
    };
    let long = "x".repeat(10_000);
    for (request, more, status) in [
        (with(|request| "http://evil.example/v2/things".clone_into(&mut request.target)), String::new(), 400),
        (with(|request| _ = request.headers.insert("host", "evil.example".parse().unwrap())), String::new(), 421),
        (with(|request| "/v2/things HTTP/1.1 x".clone_into(&mut request.target)), String::new(), 400),
        (signed(), "Content-Length: x\r\n".to_owned(), 400),
        (signed(), format!("X-Large: {long}\r\n"), 400),
        (with(|request| request.target = format!("/{}", "x".repeat(10_000))), String::new(), 414),
        (with(|request| "TRACE".clone_into(&mut request.method)), String::new(), 405),
    ] {
        let answer = stack.send_with(&request, &more, "close").await;
        expect_own_problem(&answer, status);
    }
    assert!(stack.take_seen().is_empty());
    stack.stop_api().await;
    expect_own_problem(&stack.send(&stack.get("/v2/things").by(&stack.admin.key)).await, 502);
}

#[track_caller]
fn expect_own_problem(answer: &stack::Answer, status: u16) {
    let head = answer.head.to_lowercase();
    assert_eq!(answer.status, status, "{head}");
    assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{head}{}", answer.body);
    assert!(!head.contains("keyward-reason"), "{head}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no problem: {}", answer.body));
    assert_eq!(problem["status"], status);
    assert!(problem["code"].is_string() && problem["detail"].is_string(), "{problem}");
}

#[tokio::test]
async fn nginx_passes_the_signed_host_over_a_protocol_without_the_host_field() {
    // As with HTTP/3, a request of HTTP/1.0 without Host leaves $http_host empty.
    let with_name =
        |text: &str| text.replace("listen 127.0.0.1:8000;", "listen 127.0.0.1:8000; server_name 127.0.0.1;");
    let stack = Stack::start_with(Kind::Nginx, with_name, |_, _| {}).await;
    let client = stack.get("/v2/things").by(&stack.admin.key);
    let mut head = "GET /v2/things HTTP/1.0\r\n".to_owned();
    for (name, value) in client.headers.iter().filter(|(name, _)| *name != "host") {
        head.extend([name.as_str(), ": ", value.to_str().expect("ASCII"), "\r\n"]);
    }
    let mut stream = stack.connect().await;
    stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("the proxy reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(stack.take_seen()[0].header("host"), stack.host());
}

#[tokio::test]
async fn nginx_leads_to_the_token_and_the_pages_of_keyward_on_the_host_of_the_api() {
    let with_pages = |text: &str| {
        let (front, rest) = text.split_once("        # location ~ ^/").expect("the pages' location");
        let (location, rest) = rest.split_once("        # }\n").expect("its end");
        let opened = format!("        # location ~ ^/{location}        # }}\n").replace("        # ", "        ");
        for (_, path) in server::list_page_routes() {
            let first = path.split('/').nth(1).expect("a segment");
            assert!(first.is_empty() || location.contains(first), "{path} is missing in {location}");
        }
        format!("{front}{opened}{rest}")
    };
    let stack = Stack::start_with(Kind::Nginx, with_pages, |address, settings| {
        settings.hosts = vec![format!("http://{address}")];
        settings.encord_hosts = vec![address.to_string()];
    })
    .await;
    let answer = stack.send(&stack.get("/v2/public/user/bearer-token").by_encord(&stack.admin.key)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let token: Value = serde_json::from_str(&answer.body).expect("JSON");
    let with_token = stack.get("/v2/things").bearer(token["token"].as_str().expect("a token"));
    assert_eq!(stack.send(&with_token).await.status, 200);
    assert_eq!(stack.take_seen().len(), 1, "the API gets no request for Keyward");
    for page in ["/sign-in", "/static/app.css", "/help"] {
        let answer = stack.send(&stack.get(page)).await;
        assert_eq!(answer.status, 200, "{page}: {}", answer.head);
    }
    assert_eq!(stack.send(&stack.get("/working").by(&stack.admin.key)).await.status, 200);
    assert_eq!(stack.take_seen()[0].target, "/working");
}
