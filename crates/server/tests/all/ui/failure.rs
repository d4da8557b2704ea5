//! Failures of the server, as a browser, a script and a program see them: a database that does not respond, and one
//! with corrupt data.

use http::StatusCode;
use store::params;

use crate::{
    support::browser::{Browser, PASSWORD},
    support::{Answer, HOST, TestApp, TestRequest},
};

/// The `Accept` header of a browser that opens a page.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// Texts for the log only: names of components, statements, and the content of the damaged row.
const INTERNALS: [&str; 8] = ["sqlite", "postgres", "sqlx", "pool", "select ", "damaged", "never wrote", "backtrace"];

#[track_caller]
fn assert_tells_no_internals(text: &str, what: &str) {
    let text = text.to_lowercase();
    for word in INTERNALS {
        assert!(!text.contains(word), "{what}: `{word}` in {text}");
    }
}

/// The page of a failure, as every browser gets it.
#[track_caller]
fn assert_failure_page(answer: Answer, status: u16, what: &str) -> String {
    assert_eq!(answer.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&answer.bytes));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{what}");
    assert_eq!(answer.header("x-frame-options"), "DENY", "{what}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    assert_eq!(answer.header("retry-after"), if status == 503 { "1" } else { "" }, "{what}");
    // The session continues once the server works again.
    assert_eq!(answer.headers.get("set-cookie"), None, "{what}");
    let id = answer.header("x-request-id").to_owned();
    let html = String::from_utf8(answer.bytes).expect("UTF-8");
    assert!(html.contains(&format!("Status {status}, request <code>{id}</code>")) && !id.is_empty(), "{what}: {html}");
    assert_tells_no_internals(&html, what);
    html
}

/// Checks the problem of a failure, as every program gets it.
#[track_caller]
fn assert_failure_problem(answer: Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    assert_eq!(answer.header("retry-after"), if status == 503 { "1" } else { "" }, "{what}");
    assert!(!answer.header("x-request-id").is_empty(), "{what}");
    assert_tells_no_internals(&String::from_utf8_lossy(&answer.bytes), what);
    answer.expect_problem(status, code);
}

/// Returns an API request of a page, with the session of the browser.
fn from_page<'a>(browser: &Browser<'a>, path: &str) -> TestRequest<'a> {
    browser.request("GET", path).header("sec-fetch-site", "same-origin").header("origin", &format!("http://{HOST}"))
}

/// Runs a statement on the database while the server is running.
async fn damage(test: &TestApp, sql: &'static str) {
    let store = test.store().await;
    let mut maintenance = store.begin_maintenance().await.expect("a transaction");
    assert_eq!(maintenance.execute(sql, params![]).await.expect("the statement runs"), 1, "{sql}");
    maintenance.commit().await.expect("a commit");
    store.close().await;
}

#[tokio::test]
async fn a_browser_is_shown_a_page_while_the_database_does_not_answer() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/projects/new").await;
    let csrf = ada.csrf();
    let stranger = Browser::new(&test);
    test.app.close_store().await;
    let title = ("title", "A title that was typed");
    let sign_in = [("email", "ada@example.com"), ("password", PASSWORD)];
    let set_up = [("email", "max@example.com"), ("name", "Max"), ("password", PASSWORD)];
    for (what, request) in [
        ("the first page", ada.request("GET", "/")),
        ("a list", ada.request("GET", "/w/acme/projects")),
        ("the profile", ada.request("GET", "/profile")),
        ("the sign-in of a session", ada.request("GET", "/sign-in")),
        ("a page that does not exist", ada.request("GET", "/nowhere")),
        ("a form", ada.form("/w/acme/projects", &[title, ("csrf", &csrf)])),
        ("signing out", ada.form("/sign-out", &[("csrf", &csrf)])),
        ("signing in", stranger.form("/sign-in", &sign_in)),
        ("an invitation", stranger.request("GET", "/invitations/no-such-token")),
        ("a link to set up", stranger.request("GET", "/set-up/no-such-token")),
        ("setting up", stranger.form("/set-up/no-such-token", &set_up)),
    ] {
        let html = assert_failure_page(request.header("accept", BROWSER).send().await, 503, what);
        assert!(html.contains("<h1>Temporarily unavailable</h1>") && html.contains("Try again"), "{what}: {html}");
        // An outage is never reported as a wrong password, and the entered password is not sent back.
        assert!(!html.contains("password is wrong") && !html.contains(PASSWORD), "{what}: {html}");
    }
    // Pages that need no database are shown.
    for path in ["/sign-in", "/help", "/static/app.css"] {
        let answer = stranger.request("GET", path).header("accept", BROWSER).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    // A script on a page, and the API, get a problem.
    let script = ada.request("GET", "/profile/api-keys/new").header("accept", "application/json").send().await;
    assert_failure_problem(script, 503, "unavailable", "a script");
    let script = ada.form("/profile/api-keys", &[title, ("csrf", &csrf)]).header("accept", "application/json");
    assert_failure_problem(script.send().await, 503, "unavailable", "the form of a script");
    let api = from_page(&ada, "/api/v1/me").header("accept", BROWSER).send().await;
    assert_failure_problem(api, 503, "unavailable", "the API");
}

#[tokio::test]
async fn a_browser_is_shown_a_page_by_a_node_without_a_lease() {
    let test = TestApp::new().await;
    let ada = Browser::admin_of(&test, "acme", "ada").await;
    // The renewal of the lease waits for this transaction. Reads do not.
    let store = test.store().await;
    let mut held = store.begin_maintenance().await.expect("a transaction");
    held.execute("UPDATE nodes SET name = name", params![]).await.expect("the statement runs");
    let page = || ada.request("GET", "/w/acme/projects").header("accept", BROWSER).send();
    assert_eq!(page().await.status, StatusCode::OK);
    test.clock.advance(test.app.settings().lease);
    assert_failure_page(page().await, 503, "a page");
    drop(held);
    store.close().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_an_internal_error_with_its_request_id() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/projects/new").await;
    ada.submit("/w/acme/projects", &[("title", "Work"), ("description", "")]).await;
    let (project, csrf) = (ada.path.clone(), ada.csrf());
    damage(&test, "UPDATE project_members SET role = 'damaged'").await;
    for (what, request) in [
        ("a list", ada.request("GET", "/w/acme/projects")),
        ("a project", ada.request("GET", &project)),
        ("a form", ada.form(&project, &[("title", "Other"), ("csrf", &csrf)])),
    ] {
        let html = assert_failure_page(request.header("accept", BROWSER).send().await, 500, what);
        assert!(html.contains("<h1>Internal error</h1>") && html.contains("Report the request id"), "{what}: {html}");
        // The user is still signed in, and the page links to the other pages.
        assert!(html.contains("href=\"/w/acme/members\""), "{what}: {html}");
    }
    let id = project.rsplit('/').next().expect("an id");
    let workspaces = from_page(&ada, "/api/v1/me").send().await.expect(200);
    let workspace = workspaces["workspaces"][0]["id"].as_str().expect("an id").to_owned();
    let api = from_page(&ada, &format!("/api/v1/workspaces/{workspace}/projects/{id}")).header("accept", BROWSER);
    assert_failure_problem(api.send().await, 500, "internal", "the API");
    // The other pages work.
    let members = ada.request("GET", "/w/acme/members").header("accept", BROWSER).send().await;
    assert_eq!(members.status, StatusCode::OK);
}

#[tokio::test]
async fn a_user_who_cannot_be_read_is_an_internal_error_at_every_page_and_at_the_sign_in() {
    let test = TestApp::new().await;
    let ada = Browser::admin_of(&test, "acme", "ada").await;
    damage(&test, "UPDATE members SET role = 'damaged'").await;
    let page = ada.request("GET", "/profile").header("accept", BROWSER).send().await;
    assert_failure_page(page, 500, "a page of a session");
    let script = ada.request("GET", "/profile/api-keys/new").header("accept", "application/json").send().await;
    assert_failure_problem(script, 500, "internal", "a script");
    damage(&test, "UPDATE users SET created_at = 9223372036854775807").await;
    let sign_in = [("email", "ada@example.com"), ("password", PASSWORD)];
    let answer = Browser::new(&test).form("/sign-in", &sign_in).header("accept", BROWSER).send().await;
    let html = assert_failure_page(answer, 500, "signing in");
    assert!(!html.contains(PASSWORD), "{html}");
    // A program that submits forms and accepts any type gets the page.
    let plain = Browser::new(&test).form("/sign-in", &sign_in).header("accept", "application/json").send().await;
    assert_failure_problem(plain, 500, "internal", "a sign-in by a script");
}
