//! Signing in, staying signed in, and all ways to end a session.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Clock as _;

use crate::{
    support::browser::{Browser, PASSWORD, create_user},
    support::{HOST, TestApp},
};

#[tokio::test]
async fn the_first_operator_comes_by_the_link_and_the_link_works_once() {
    let test = TestApp::new().await;
    let link = test.app.create_set_up_link(&server::app::Caller::host()).await.unwrap().into_inner().expect("a link");
    let path = link.strip_prefix(&format!("http://{HOST}")).expect("our own origin");

    let mut browser = Browser::new(&test);
    browser.open(path).await.sees("Create the operator");
    let weak = [("email", "ada@example.com"), ("name", "Ada"), ("password", "password1234")];
    browser.submit(path, &weak).await.sees("too similar to a common one");
    assert_eq!(browser.status, 400);
    let good = [("email", "ada@example.com"), ("name", "Ada"), ("password", PASSWORD)];
    browser.submit(path, &good).await;
    assert!(browser.has_session());

    let mut other = Browser::new(&test);
    other.open(path).await.sees("was used or has expired");
    other.submit(path, &good).await.sees("was used or has expired");
    assert!(!other.has_session());
    assert_eq!(*test.app.create_set_up_link(&server::app::Caller::host()).await.unwrap(), None);
}

#[tokio::test]
async fn an_unknown_user_a_wrong_password_and_a_disabled_user_look_alike() {
    let test = TestApp::new().await;
    create_user(&test, "ada", false).await;
    create_user(&test, "dora", false).await;
    let caller = server::app::Caller::host();
    let dora = test.app.find_user_by_email(&caller, "dora@example.com").await.unwrap();
    let update = api::UpdateUser { disabled: Some(true), ..api::UpdateUser::default() };
    test.app.update_user(&caller, dora.id, update).await.unwrap();

    let mut pages = Vec::new();
    for (email, password) in
        [("ada@example.com", "wrong password"), ("nobody@example.com", PASSWORD), ("dora@example.com", PASSWORD)]
    {
        let mut browser = Browser::new(&test);
        browser.open("/sign-in").await;
        browser.submit("/sign-in", &[("email", email), ("password", password)]).await;
        assert_eq!(browser.status, 401);
        assert!(!browser.has_session());
        pages.push(browser.page.replace(email, "EMAIL"));
    }
    assert!(pages[0].contains("The email address or password is wrong"));
    assert_eq!(pages[0], pages[1]);
    assert_eq!(pages[0], pages[2]);
}

#[tokio::test]
async fn guessing_is_rate_limited_and_does_not_lock_the_owner_out() {
    let test = TestApp::new().await;
    let mut owner = Browser::signed_in(&test, "ada", true).await;
    owner.open("/").await;
    owner.submit("/sign-out", &[]).await;

    let mut last = 0;
    for host in 1..=11 {
        let guesser = Browser::new(&test);
        let mut request = guesser.form("/sign-in", &[("email", "ada@example.com"), ("password", "a wrong guess")]);
        request.address = std::net::Ipv4Addr::new(192, 0, 2, host).into();
        let answer = request.send().await;
        last = answer.status.as_u16();
        if host == 11 {
            assert_eq!(answer.headers["retry-after"], "60");
        }
    }
    assert_eq!(last, 429, "the eleventh guess waits, from whatever address");

    owner.sign_in("ada").await;
}

#[tokio::test]
async fn a_session_is_a_fresh_one_at_each_sign_in() {
    let test = TestApp::new().await;
    create_user(&test, "ada", true).await;
    let mut browser = Browser::new(&test);
    browser.cookies.insert("keyward".to_owned(), "planted-by-another-site".to_owned());
    browser.sign_in("ada").await;
    let first = browser.cookies["keyward"].clone();
    assert_ne!(first, "planted-by-another-site");

    let csrf = {
        browser.open("/profile").await;
        browser.csrf()
    };
    let fields = [("email", "ada@example.com"), ("password", PASSWORD), ("csrf", &csrf)];
    let answer = browser.form("/sign-in", &fields).send().await;
    browser.keep_cookies(&answer);
    assert_ne!(browser.cookies["keyward"], first);
    let mut before = Browser::new(&test);
    before.cookies.insert("keyward".to_owned(), first);
    before.open("/").await;
    assert_eq!(before.path, "/sign-in", "the session before has ended");
}

#[tokio::test]
async fn the_cookie_is_kept_from_scripts_and_other_hosts() {
    for (url, expected) in [
        ("https://keys.example.com", ["__Host-keyward=", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/;"]),
        ("http://127.0.0.1:8080", ["keyward=", "Path=/", "; HttpOnly", "; SameSite=Lax", "; Path=/;"]),
    ] {
        let test = TestApp::with_settings(|settings| url.clone_into(&mut settings.public_url)).await;
        create_user(&test, "ada", true).await;
        let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
        let host = url.split_once("://").unwrap().1;
        let form = Browser::new(&test).form("/sign-in", &fields).header("host", host).header("origin", url);
        let answer = form.send().await;
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with(expected[0]), "{cookie}");
        assert!(expected.iter().all(|part| cookie.contains(part)), "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}

#[tokio::test]
async fn a_form_from_anywhere_else_is_403_and_changes_nothing() {
    let test = TestApp::new().await;
    let mut browser = Browser::signed_in(&test, "ada", true).await;
    browser.open("/profile").await;
    let csrf = browser.csrf();
    let own = [("csrf", csrf.as_str())];
    let path = "/sign-out";
    for (what, request) in [
        ("without the token", browser.form(path, &[])),
        ("with a made-up token", browser.form(path, &[("csrf", "made-up")])),
        ("from another origin", browser.form(path, &own).header("origin", "https://evil.example")),
        ("from another site", browser.form(path, &own).header("sec-fetch-site", "cross-site")),
        ("from a neighbour", browser.form(path, &own).header("sec-fetch-site", "same-site")),
        ("from nowhere", browser.form(path, &own).header("origin", "null")),
    ] {
        assert_eq!(request.send().await.status, 403, "{what}");
    }
    browser.open("/profile").await;
    assert_eq!(browser.path, "/profile", "still signed in");

    let sign_in = [("email", "ada@example.com"), ("password", PASSWORD)];
    let forged = Browser::new(&test).form("/sign-in", &sign_in).header("origin", "https://evil.example");
    assert_eq!(forged.send().await.status, 403, "another site cannot sign a user in either");
}

#[tokio::test]
async fn the_api_accepts_a_session_from_its_own_pages_only() {
    let test = TestApp::new().await;
    let mut browser = Browser::admin_of(&test, "acme", "ada").await;
    browser.open("/profile").await;
    let csrf = browser.csrf();
    let me = browser.request("GET", "/api/v1/me").send().await.expect(200);
    assert_eq!(me["principal"]["email"], "ada@example.com");
    let path = "/api/v1/me/proof-challenges";
    browser.request("POST", path).send().await.expect_problem(403, "forbidden");
    let sent = browser.request("POST", path).header("keyward-csrf", &csrf);
    sent.clone().header("origin", "https://evil.example").send().await.expect_problem(403, "forbidden");
    sent.clone().send().await.expect(201);

    let key = test.user("eve", true).await.key;
    let both = browser.request("GET", "/api/v1/me").by(&key);
    both.send().await.expect_problem(401, "unauthenticated");
    browser.submit("/sign-out", &[]).await;
    sent.send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn signing_out_disabling_and_removal_end_every_session() {
    let test = TestApp::new().await;
    let caller = server::app::Caller::host();
    let mut first = Browser::admin_of(&test, "acme", "ada").await;
    let mut second = Browser::new(&test);
    second.sign_in("ada").await;
    first.open("/profile").await.submit("/sign-out", &[]).await;
    first.open("/profile").await;
    assert_eq!(first.path, "/sign-in?next=/profile");
    second.open("/profile").await;
    assert_eq!(second.path, "/profile", "the other browser stays signed in");

    let ada = test.app.find_user_by_email(&caller, "ada@example.com").await.unwrap();
    let update = api::UpdateUser { disabled: Some(true), ..api::UpdateUser::default() };
    test.app.update_user(&caller, ada.id, update).await.unwrap();
    second.open("/profile").await;
    assert_eq!(second.path, "/sign-in?next=/profile", "a disabled user is signed out");

    let mut bob = Browser::admin_of(&test, "bobs", "bob").await;
    let workspace = test.app.find_workspace_by_slug(&caller, "bobs").await.unwrap();
    test.app.delete_workspace(&caller, workspace.id).await.unwrap();
    bob.open("/profile").await;
    assert_eq!(bob.path, "/sign-in?next=/profile", "so is a member of nothing");
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let test = TestApp::new().await;
    let start = test.clock.now().as_second();
    let mut browser = Browser::signed_in(&test, "ada", true).await;
    for hours in [11, 22, 33] {
        test.set_wall(start + hours * 3600).await;
        browser.open("/profile").await;
        assert_eq!(browser.path, "/profile", "used every eleven hours, it continues");
    }
    test.set_wall(start + 45 * 3600).await;
    browser.open("/profile").await;
    assert_eq!(browser.path, "/sign-in?next=/profile", "unused for twelve, it ends");
}

#[tokio::test]
async fn signing_in_leads_back_but_never_to_another_host() {
    let test = TestApp::new().await;
    create_user(&test, "ada", true).await;
    for (next, leads_to) in [
        ("/profile", "/profile"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ] {
        let fields = [("email", "ada@example.com"), ("password", PASSWORD), ("next", next)];
        let answer = Browser::new(&test).form("/sign-in", &fields).send().await;
        assert_eq!((answer.status.as_u16(), answer.headers["location"].to_str().unwrap()), (303, leads_to), "{next}");
    }
}

#[tokio::test]
async fn every_page_keeps_frames_and_strange_scripts_out() {
    let test = TestApp::new().await;
    let signed_in = Browser::signed_in(&test, "ada", true).await;
    let stranger = Browser::new(&test);
    for (browser, path) in [
        (&stranger, "/sign-in"),
        (&stranger, "/set-up/x"),
        (&signed_in, "/profile"),
        (&signed_in, "/w/nothing/projects"),
        (&stranger, "/static/app.css"),
        (&stranger, "/no-such-page"),
    ] {
        let answer = browser.request("GET", path).header("accept", "text/html").send().await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let is_page = answer.headers["content-type"].to_str().unwrap().starts_with("text/html");
        assert_eq!(is_page, path != "/static/app.css");
        if is_page {
            assert!(policy.contains("frame-ancestors 'none'") && policy.contains("require-trusted-types-for"));
            assert_eq!(answer.headers["x-frame-options"], "DENY");
            assert_eq!(answer.headers["cache-control"], "no-store");
            let page = String::from_utf8(answer.bytes).unwrap();
            assert!(!page.contains(" style=") && !page.contains("<style") && !page.contains(" onclick"), "{path}");
        }
    }
}

#[tokio::test]
async fn submitted_values_are_shown_again_as_text() {
    let test = TestApp::new().await;
    let mut browser = Browser::new(&test);
    let script = "\"><script>alert(1)</script>@example.com";
    browser.open("/sign-in").await;
    browser.submit("/sign-in", &[("email", script), ("password", "x"), ("next", "/\"><script>")]).await;
    browser.sees_not("<script>alert").sees("&#60;script&#62;alert(1)");
    browser.open("/sign-in?next=/%22%3E%3Cscript%3E&done=%3Cscript%3E").await.sees_not("<script>");
}

#[tokio::test]
async fn a_style_sheet_is_sent_once() {
    let test = TestApp::new().await;
    let browser = Browser::new(&test);
    let first = browser.request("GET", "/static/app.css").send().await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let again = browser.request("GET", "/static/app.css").header("if-none-match", &tag).send().await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
}

#[tokio::test]
async fn an_address_that_was_mistyped_or_shortened_leads_to_a_page() {
    let test = TestApp::new().await;
    let ada = Browser::admin_of(&test, "acme", "ada").await;
    let ask = async |path: &str| {
        let typed = ada.request("GET", path).header("sec-fetch-site", "none");
        typed.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8").send().await
    };
    for path in ["/nonsense", "/w/acme/nonsense", "/w/acme/members/"] {
        let answer = ask(path).await;
        let page = String::from_utf8(answer.bytes.clone()).unwrap();
        if path.ends_with('/') {
            assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/w/acme/members"));
            continue;
        }
        assert_eq!(answer.status, 404, "{path}");
        assert!(page.contains("This page does not exist.") && page.contains("aria-label=\"Your account\""), "{page}");
        assert_eq!(page.contains("aria-label=\"Workspace\""), path.starts_with("/w/acme"), "{page}");
        assert!(answer.headers.contains_key("content-security-policy"));
    }
    for (path, leads_to) in [
        ("/operator", "/operator/workspaces"),
        ("/profile/password", "/profile"),
        ("/w/acme/members/usr_1/role", "/w/acme/members"),
    ] {
        assert_eq!(ask(path).await.header("location"), leads_to, "{path}");
    }
    // Nothing changes for programs, and for files that programs read.
    assert_eq!(ask("/api/v1/openapi.json").await.status, 200);
    assert_eq!(ask("/api/v1/nothing").await.code(), "not_found");
    let elsewhere = ada.request("GET", "/api/v1/me").header("sec-fetch-site", "cross-site").send().await;
    elsewhere.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn a_form_from_before_another_sign_in_is_offered_to_submit_again() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/projects/new").await;
    let stale = ada.csrf();
    ada.open("/sign-in").await;
    let fields = [("csrf", stale.as_str()), ("email", "ada@example.com"), ("password", PASSWORD)];
    let answer = ada.form("/sign-in", &fields).send().await;
    assert_eq!(answer.status, 303, "a sign-in page that was open all the while still signs in");
    ada.keep_cookies(&answer);

    let form = [("csrf", stale.as_str()), ("title", "Maps"), ("description", "<of> Europe")];
    let back = format!("http://{HOST}/w/acme/projects/new");
    let answer = ada.form("/w/acme/projects", &form).header("referer", &back).send().await;
    assert_eq!(answer.status, 403);
    ada.page = String::from_utf8(answer.bytes).unwrap();
    ada.sees("nothing was changed")
        .sees("value=\"Maps\"")
        .sees("&#60;of&#62; Europe")
        .sees("href=\"/w/acme/projects/new\"");
    assert_ne!(ada.csrf(), stale);
    ada.submit("/w/acme/projects", &form[1..]).await.sees("was created. You are its admin.");

    // A password is not sent back.
    let form = [("csrf", stale.as_str()), ("current_password", PASSWORD), ("password", "seven violet tractors hum")];
    let answer = ada.form("/profile/password", &form).send().await;
    assert_eq!(answer.status, 403);
    assert!(!String::from_utf8(answer.bytes).unwrap().contains(PASSWORD));
}

#[tokio::test]
async fn a_user_who_was_signed_out_gets_a_notice_and_their_form() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/projects/new").await;
    let token = ada.csrf();
    ada.submit("/sign-out", &[]).await;
    let form = [("csrf", token.as_str()), ("title", "Maps"), ("description", "")];
    for (referer, next) in [
        (format!("http://{HOST}/w/acme/projects/new"), "?next=/w/acme/projects/new"),
        ("https://evil.example/x".to_owned(), ""),
        (format!("http://{HOST}.evil.example/x"), ""),
        (format!("http://{HOST}//evil.example/x"), ""),
    ] {
        let answer = ada.form("/w/acme/projects", &form).header("referer", &referer).send().await;
        assert_eq!(answer.header("location"), format!("/sign-in{next}"), "{referer}");
    }
    ada.open("/w/acme/projects").await;
    ada.submit("/w/acme/projects", &form[1..]).await.sees("Your session has ended, and nothing was changed.");
}

#[tokio::test]
async fn static_files_are_compressed_for_clients_that_accept_it_and_pages_never_are() {
    let test = TestApp::new().await;
    let browser = Browser::new(&test);
    let plain = browser.request("GET", "/static/app.css").send().await;
    assert!(!plain.headers.contains_key("content-encoding"));
    assert_eq!(plain.header("vary"), "accept-encoding");
    for (accepted, is_compressed) in
        [("gzip, deflate, br", true), ("br;q=1, GZIP; q=0.5", true), ("gzip;q=0, br", false)]
    {
        let ask = |path| browser.request("GET", path).header("accept-encoding", accepted);
        let sent = ask("/static/app.css").send().await;
        assert_eq!(sent.headers.get("content-encoding").is_some(), is_compressed, "{accepted}");
        assert_eq!(sent.bytes.len() * 3 < plain.bytes.len(), is_compressed, "{accepted}");
        // One ETag for one sequence of bytes (RFC 9110 §8.8.3).
        assert_eq!(sent.headers["etag"] != plain.headers["etag"], is_compressed, "{accepted}");
        let again = ask("/static/app.css").header("if-none-match", sent.header("etag")).send().await;
        assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
        assert!(!ask("/sign-in").send().await.headers.contains_key("content-encoding"), "it holds a token");
    }
}

/// Signs in from an IP address, and returns the status.
async fn sign_in_from(browser: &Browser<'_>, address: std::net::Ipv4Addr, email: &str, password: &str) -> u16 {
    let mut request = browser.form("/sign-in", &[("email", email), ("password", password)]);
    request.address = address.into();
    request.send().await.status.as_u16()
}

#[tokio::test]
async fn wrong_passwords_from_a_shared_address_keep_no_known_browser_out() {
    let test = TestApp::new().await;
    let mut owner = Browser::signed_in(&test, "ada", true).await;
    owner.open("/").await;
    owner.submit("/sign-out", &[]).await;
    create_user(&test, "max", false).await;
    let office = std::net::Ipv4Addr::new(192, 0, 2, 7);
    for number in 0..20 {
        let email = format!("nobody-{number}@example.com");
        assert_eq!(sign_in_from(&Browser::new(&test), office, &email, "a wrong guess").await, 401);
    }
    // A browser that never signed in here must wait, with any password.
    assert_eq!(sign_in_from(&Browser::new(&test), office, "max@example.com", PASSWORD).await, 429);
    assert_eq!(sign_in_from(&owner, office, "ada@example.com", PASSWORD).await, 303);
    // It is known for one account, and unknown for all others.
    assert_eq!(sign_in_from(&owner, office, "max@example.com", PASSWORD).await, 429);
    // It has its own limit.
    for _ in 0..10 {
        assert_eq!(sign_in_from(&owner, office, "ada@example.com", "a wrong guess").await, 401);
    }
    assert_eq!(sign_in_from(&owner, office, "ada@example.com", PASSWORD).await, 429);
}

#[tokio::test]
async fn ten_thousand_guesses_are_throttled_without_locking_the_owner_out() {
    let test = TestApp::new().await;
    let mut owner = Browser::signed_in(&test, "ada", true).await;
    owner.open("/").await;
    owner.submit("/sign-out", &[]).await;
    let home = std::net::Ipv4Addr::new(198, 51, 100, 1);
    let (mut checked, mut hour) = (0, 0);
    for guess in 0..10_000_u32 {
        // From a thousand addresses, one guess a second.
        let address = std::net::Ipv4Addr::from(u32::from(std::net::Ipv4Addr::new(10, 0, 0, 0)) + guess % 1000);
        let status = sign_in_from(&Browser::new(&test), address, "ada@example.com", "a wrong guess").await;
        assert!(matches!(status, 401 | 429), "{status}");
        checked += u32::from(status == 401);
        test.clock.advance(std::time::Duration::from_secs(1));
        if guess / 3600 > hour {
            hour = guess / 3600;
            test.app.renew_lease().await.unwrap();
            assert_eq!(sign_in_from(&owner, home, "ada@example.com", PASSWORD).await, 303, "in the middle of it");
        }
    }
    // Ten at once, and then one a minute.
    assert!((150..=10 + 10_000 / 60).contains(&checked), "{checked}");
    test.app.renew_lease().await.unwrap();
    assert_eq!(sign_in_from(&owner, home, "ada@example.com", PASSWORD).await, 303);
}

#[tokio::test]
async fn a_submitted_password_is_never_sent_back() {
    let test = TestApp::new().await;
    let canary = "canary violet tractors hum";
    let mut olga = Browser::signed_in(&test, "olga", true).await;
    create_user(&test, "max", false).await;
    let max = test.app.find_user_by_email(&server::app::Caller::host(), "max@example.com").await.unwrap().id;
    let set_password = format!("/operator/users/{max}/password");
    let user = [("email", "zoe@example.com"), ("name", "Zoe"), ("password", canary), ("operator", "1")];
    let mut bad_user = user;
    bad_user[1].1 = "";
    olga.open("/profile").await;
    let link = test.app.create_set_up_link(&server::app::Caller::host()).await.unwrap();
    assert_eq!(*link, None, "there is an operator");
    let stale = "not a token of this server";

    // In a session with a recent password, in one without, and in another session.
    for (wait, csrf) in [(0, None), (15 * 60, None), (0, Some(stale))] {
        test.advance(std::time::Duration::from_secs(wait)).await;
        for (path, fields) in [
            (set_password.as_str(), &[("password", canary)][..]),
            ("/operator/users", &user),
            ("/operator/users", &bad_user),
            ("/profile/password", &[("current_password", canary), ("password", canary)]),
            ("/sign-in", &[("email", "olga@example.com"), ("password", canary)]),
            ("/invitations/no-such-token", &[("name", "Ned"), ("password", canary)]),
            ("/set-up/no-such-token", &[("email", "a@example.com"), ("name", "Ned"), ("password", canary)]),
            (&set_password, &[("password", canary), ("confirm_password", canary)]),
        ] {
            let token = csrf.map_or_else(|| olga.csrf(), str::to_owned);
            let mut sent = fields.to_vec();
            sent.push(("csrf", &token));
            let answer = olga.form(path, &sent).send().await;
            let page = String::from_utf8(answer.bytes).unwrap();
            assert!(!page.contains("canary"), "{path} after {wait} s: {page}");
        }
    }
    // The password of the confirmation is then accepted.
    test.advance(std::time::Duration::from_mins(15)).await;
    let again = "seven violet tractors hum";
    olga.open("/profile").await.submit(&set_password, &[("password", again)]).await;
    olga.sees("Confirm your password").sees("name=\"password\"").sees_not(again);
    let both = [("password", again), ("confirm_password", PASSWORD)];
    olga.submit(&set_password, &both).await.sees("</b> is set, and all their sessions have ended.");
    let mut browser = Browser::new(&test);
    browser.open("/sign-in").await;
    browser.submit("/sign-in", &[("email", "max@example.com"), ("password", again)]).await;
    assert!(browser.has_session());
}

#[tokio::test]
async fn what_was_done_is_said_once_and_no_link_says_it() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/general").await;
    let said = "The workspace is now called";
    let csrf = ada.csrf();
    let answer = ada.form("/w/acme/general", &[("name", "Renamed"), ("csrf", &csrf)]).send().await;
    assert_eq!(answer.header("location"), "/w/acme/general", "nothing of it is in the address");
    ada.keep_cookies(&answer);
    let notice = ada.cookies["keyward-notice"].clone();
    // Not on another page, once on its own page, and not again.
    ada.open("/w/acme/members").await.sees_not(said);
    ada.open("/w/acme/general").await.sees(said);
    assert!(!ada.cookies.contains_key("keyward-notice"), "it is taken back");
    ada.open("/w/acme/general").await.sees_not(said);
    // A link cannot create one.
    for link in [
        "/w/acme/general?done=saved",
        "/profile/api-keys?done=revoked&nodes=3",
        "/profile/api-keys?done=revoked&nodes=3&expired=1",
        "/workspaces?done=deleted",
        "/sign-in?next=/profile/api-keys?done=revoked",
    ] {
        ada.open(link).await.sees_not(said).sees_not("Revoked.").sees_not("confirmed").sees_not("Deleted.");
    }
    Browser::new(&test).open("/sign-in?done=session-ended").await.sees_not("Your session has ended");
    // The cookie is not accepted in another session, with another text, or a minute later.
    let mut max = Browser::signed_in(&test, "max", true).await;
    max.cookies.insert("keyward-notice".to_owned(), notice.clone());
    max.open("/w/acme/general").await.sees_not(said);
    let [at, _, signature] = notice.split('.').collect::<Vec<_>>()[..] else { panic!("{notice}") };
    let forged = r#"{"notice":{"parts":[{"Text":"Deleted."}],"undo":null,"caution":false},"nodes":1,"expired":0}"#;
    ada.cookies.insert("keyward-notice".to_owned(), format!("{at}.{}.{signature}", URL_SAFE_NO_PAD.encode(forged)));
    ada.open("/w/acme/general").await.sees_not("Deleted.");
    test.advance(std::time::Duration::from_secs(61)).await;
    ada.cookies.insert("keyward-notice".to_owned(), notice);
    ada.open("/w/acme/general").await.sees_not(said);
}

#[tokio::test]
async fn the_theme_that_a_user_chooses_stays() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    ada.open("/w/acme/general").await.sees_not("data-theme");
    for (theme, shown) in [("dark", "data-theme=\"dark\""), ("light", "data-theme=\"light\"")] {
        ada.submit("/profile/theme", &[("theme", theme)]).await;
        ada.open("/w/acme/members").await.sees(shown);
    }
    ada.submit("/profile/theme", &[("theme", "system")]).await;
    ada.open("/w/acme/members").await.sees_not("data-theme");
    ada.submit("/profile/theme", &[("theme", "pink")]).await;
    assert_eq!(ada.status, 400);
}

#[tokio::test]
async fn a_browser_is_shown_a_page_for_every_refusal_and_a_program_a_problem() {
    let test = TestApp::with_settings(|settings| settings.rate_limits.per_address = 1).await;
    let long = "a".repeat(server::http::MAX_HEADERS);
    let large = "a".repeat(server::http::MAX_UNAUTHENTICATED_BODY + 1);
    let ask = |method: &str, path: &str| test.request(method, path, &serde_json::Value::Null);
    let limited = || {
        let mut request = ask("GET", "/sign-in");
        request.address = std::net::Ipv4Addr::new(192, 0, 2, 1).into();
        request
    };
    let mut put = Browser::new(&test).form("/sign-in", &[]);
    put.method = "PUT".to_owned();
    for _ in 0..10 {
        assert_eq!(limited().send().await.status, 200);
    }
    for (what, status, request) in [
        ("a page that does not exist", 404, ask("GET", "/nowhere")),
        ("a method that a page does not have", 405, put),
        ("a method that a file does not have", 405, ask("DELETE", "/static/app.css")),
        ("a form that is too large", 413, Browser::new(&test).form("/sign-in", &[("email", &large)])),
        ("another host", 421, ask("GET", "/sign-in").header("host", "other.example")),
        ("too many requests", 429, limited()),
        ("headers that are too large", 431, ask("GET", "/sign-in").header("x-long", &long)),
    ] {
        let page = request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8").send().await;
        assert_eq!(page.status.as_u16(), status, "{what}");
        assert!(page.header("content-type").starts_with("text/html"), "{what}: {}", page.header("content-type"));
        assert_eq!(page.header("x-frame-options"), "DENY", "{what}");
        assert_eq!(page.headers.contains_key("retry-after"), status == 429, "{what}");
        let html = String::from_utf8(page.bytes).expect("UTF-8");
        assert!(html.contains("<h1>") && html.contains(&format!("Status {status}")), "{what}: {html}");
    }
    ask("GET", "/nowhere").header("accept", "*/*").send().await.expect_problem(404, "not_found");
    ask("GET", "/sign-in").header("host", "other.example").send().await.expect_problem(421, "host_not_listed");
    let api = ask("DELETE", "/api/v1/me").header("accept", "text/html").send().await;
    api.expect_problem(405, "method_not_allowed");
}
