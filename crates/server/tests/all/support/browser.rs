//! A browser without scripts: it keeps cookies, submits the displayed form, and follows redirects.

use std::collections::BTreeMap;

use api::{CreateUser, CreateWorkspace};
use http::StatusCode;
use serde_json::Value;
use server::app::Caller;

use crate::support::{Answer, HOST, TestApp, TestRequest};

/// A password that is allowed.
pub const PASSWORD: &str = "tidal oboe lantern fig";

/// A user's browser.
pub struct Browser<'a> {
    test: &'a TestApp,
    pub cookies: BTreeMap<String, String>,
    /// The current page.
    pub page: String,
    pub path: String,
    pub status: u16,
}

impl<'a> Browser<'a> {
    pub fn new(test: &'a TestApp) -> Self {
        Self { test, cookies: BTreeMap::new(), page: String::new(), path: "/".to_owned(), status: 0 }
    }

    /// Creates a user with a password, and signs them in.
    pub async fn signed_in(test: &'a TestApp, name: &str, operator: bool) -> Self {
        create_user(test, name, operator).await;
        let mut browser = Self::new(test);
        browser.sign_in(name).await;
        browser
    }

    /// Creates a workspace with that slug, and signs its admin in.
    pub async fn admin_of(test: &'a TestApp, slug: &str, name: &str) -> Self {
        let email = create_user(test, name, false).await;
        let create = CreateWorkspace { name: format!("The {slug}"), slug: slug.to_owned(), admin_email: Some(email) };
        test.app.create_workspace(&Caller::host(), create).await.expect("a workspace");
        let mut browser = Self::new(test);
        browser.sign_in(name).await;
        browser
    }

    pub async fn sign_in(&mut self, name: &str) {
        self.open("/sign-in").await;
        self.submit("/sign-in", &[("email", &format!("{name}@example.com")), ("password", PASSWORD)]).await;
        assert!(self.status < 400 && self.has_session(), "{} {}", self.status, self.page);
    }

    pub fn has_session(&self) -> bool {
        self.cookies.contains_key("keyward")
    }

    /// Returns a request of this browser, without sending it.
    pub fn request(&self, method: &str, path: &str) -> TestRequest<'a> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.test.request(method, path, &Value::Null).header("user-agent", "Firefox (test)");
        if cookies.is_empty() { request } else { request.header("cookie", &cookies.join("; ")) }
    }

    /// Returns a form of this browser, as Keyward's own page sends it.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> TestRequest<'a> {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let mut request = self
            .request("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", &format!("http://{HOST}"))
            .header("sec-fetch-site", "same-origin");
        request.body = body.join("&").into_bytes();
        request
    }

    /// Opens a URL, and follows redirects.
    pub async fn open(&mut self, path: &str) -> &mut Self {
        let answer = self.request("GET", path).send().await;
        self.take(path, answer).await;
        self
    }

    /// Submits a form with the token of the current page, and follows redirects.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> &mut Self {
        let csrf = self.csrf();
        let mut fields = fields.to_vec();
        fields.push(("csrf", &csrf));
        let answer = self.form(path, &fields).send().await;
        self.take(path, answer).await;
        self
    }

    /// Returns the token in the forms of the page.
    pub fn csrf(&self) -> String {
        let after = self.page.split_once("name=\"csrf\" value=\"").map_or("", |(_, after)| after);
        after.split('"').next().unwrap_or_default().to_owned()
    }

    pub fn keep_cookies(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("ASCII");
            let (name, value) = cookie.split(';').next().expect("a cookie").split_once('=').expect("a cookie");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    async fn take(&mut self, path: &str, answer: Answer) {
        let mut answer = answer;
        path.clone_into(&mut self.path);
        for _ in 0..5 {
            self.keep_cookies(&answer);
            if answer.status != StatusCode::SEE_OTHER {
                break;
            }
            answer.headers["location"].to_str().expect("ASCII").clone_into(&mut self.path);
            answer = self.request("GET", &self.path.clone()).send().await;
        }
        self.status = answer.status.as_u16();
        self.page = String::from_utf8(answer.bytes).expect("UTF-8");
    }

    /// Checks that the page contains this text, encoded as HTML.
    #[track_caller]
    pub fn sees(&self, text: &str) -> &Self {
        assert!(self.page.contains(text), "`{text}` is not on {} ({}):\n{}", self.path, self.status, self.page);
        self
    }

    #[track_caller]
    pub fn sees_not(&self, text: &str) -> &Self {
        assert!(!self.page.contains(text), "`{text}` is on {} ({})", self.path, self.status);
        self
    }

    /// Returns the first link on the page with this beginning.
    #[track_caller]
    pub fn link(&self, start: &str) -> String {
        let at = self
            .page
            .find(&format!("\"{start}"))
            .unwrap_or_else(|| panic!("no {start} on {}:\n{}", self.path, self.page));
        self.page[at + 1..].split('"').next().expect("a quote").to_owned()
    }
}

/// Creates a user with [`PASSWORD`].
pub async fn create_user(test: &TestApp, name: &str, operator: bool) -> String {
    let email = format!("{name}@example.com");
    let create =
        CreateUser { email: email.clone(), name: name.to_owned(), password: Some(PASSWORD.to_owned()), operator };
    test.app.create_user(&Caller::host(), create).await.expect("a user");
    email
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|c| if c.is_ascii_alphanumeric() { char::from(c).to_string() } else { format!("%{c:02X}") })
        .collect()
}
