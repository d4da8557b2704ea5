//! The request of `keyward request`, `keyward sign` and `keyward explain`, described by curl's flags.

use std::time::Duration;

use client::{Client, ClientOptions, Profile};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest,
    header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT},
};

use crate::{
    connection::ConnectionArguments,
    failure::{Failure, Outcome},
    request_body::{DataArguments, Form, read_body},
};

/// The response is in memory, and larger ones are probably mistakes.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// The request: the arguments that `keyward sign` and `keyward explain` have, too.
#[derive(Debug, clap::Args)]
pub(crate) struct SentRequest {
    /// The URL, or a path on the server of `--url`, after the method: GET, POST, …
    ///
    /// Without a method it is GET, HEAD with `--head`, PUT with `--upload-file`, and POST with a body.
    #[arg(value_name = "METHOD URL", num_args = 1..=2, required = true)]
    target: Vec<String>,
    /// The method, in place of the word before the URL
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<Method>,
    #[command(flatten)]
    data: DataArguments,
    /// A field of a form: NAME=TEXT, NAME=@FILE (a file) or NAME=<FILE (its text); `;type=` and `;filename=` may follow
    #[arg(short = 'F', long, value_name = "NAME=CONTENT", conflicts_with_all = ["data", "data_raw", "data_binary", "data_urlencode", "json_data", "upload_file", "get"])]
    form: Vec<String>,
    /// Send FILE (`-` is standard input) with PUT; a URL that ends with `/` is completed by the name of the file
    #[arg(short = 'T', long, value_name = "FILE", conflicts_with_all = ["data", "data_raw", "data_binary", "data_urlencode", "json_data", "get"])]
    upload_file: Option<String>,
    /// Append the data to the URL as its query, and send GET
    #[arg(short = 'G', long)]
    get: bool,
    /// Send HEAD, and print the headers
    #[arg(short = 'I', long)]
    pub(crate) head: bool,
    /// A header; `Name:` removes a header, `Name;` sends an empty one
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The `User-Agent` header
    #[arg(short = 'A', long, value_name = "TEXT")]
    user_agent: Option<String>,
    /// Seconds to wait for the response
    #[arg(short, long, value_name = "SECONDS", default_value_t = 300)]
    max_time: u64,
    /// How to sign: RFC 9421, or as the Encord SDK does
    #[arg(long, value_enum, default_value_t = ProfileName::Native)]
    profile: ProfileName,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// How to sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum ProfileName {
    Native,
    Encord,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Native => Self::Native,
            ProfileName::Encord => Self::Encord,
        }
    }
}

/// A request that is ready to be signed and sent.
pub(crate) struct Prepared {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) request: HttpRequest<Vec<u8>>,
}

impl SentRequest {
    /// Reads the body, the headers and the key. It does not connect yet.
    pub(crate) fn prepare(&self) -> Outcome<Prepared> {
        let (method, target) = self.target()?;
        let form = if self.form.is_empty() { None } else { Some(Form::read(&self.form)?) };
        let mut url = self.url(target)?;
        let body = match (&form, &self.upload_file) {
            (Some(form), _) => form.body.clone(),
            (None, Some(file)) => {
                complete_url(&mut url, file);
                read_body(file)?
            }
            (None, None) => self.data.read()?,
        };
        let mut request = HttpRequest::new(body);
        if self.get && !self.data.is_empty() {
            add_query(&mut url, &std::mem::take(request.body_mut()))?;
        }
        let has_body = !request.body().is_empty() || (!self.data.is_empty() && !self.get);
        *request.method_mut() = match method {
            Some(method) => method,
            None if self.head => Method::HEAD,
            None if self.upload_file.is_some() => Method::PUT,
            None if has_body || form.is_some() => Method::POST,
            None => Method::GET,
        };
        let content_type = form.map(|form| form.content_type);
        *request.headers_mut() = self.headers(request.body(), content_type.as_deref())?;
        let signer = self.connection.signer(self.profile.into())?;
        let options = ClientOptions {
            // Another server that uses Keyward's forward authentication may not recognise a repeated write.
            retries: 0,
            timeout: Duration::from_secs(self.max_time),
            max_answer_bytes: MAX_ANSWER_BYTES,
            trusted_certificates: self.connection.trusted_certificates()?,
            ..ClientOptions::new(&url, signer)
        };
        Ok(Prepared { client: Client::new(options)?, url, request })
    }

    fn target(&self) -> Outcome<(Option<Method>, &str)> {
        let (method, target) = match self.target.as_slice() {
            [target] => (None, target),
            [method, target] => (Some(parse_method(method)?), target),
            _ => return Err(Failure::usage("a request is a method and one URL: quote a URL that has blanks")),
        };
        if method.is_none() && parse_method(target).is_ok() && target.chars().all(|c| c.is_ascii_uppercase()) {
            return Err(Failure::usage(format!("no URL is given: write it after {target}")));
        }
        let method = match (method, &self.method) {
            (Some(method), Some(other)) if method != *other => {
                return Err(Failure::usage(format!("two methods are given, {method} and {other}: give one")));
            }
            (method, other) => method.or_else(|| other.clone()),
        };
        if self.head && method.as_ref().is_some_and(|method| *method != Method::HEAD) {
            return Err(Failure::usage("`--head` sends HEAD: leave out the other method, or use `--include`"));
        }
        if self.head && !self.get && !(self.data.is_empty() && self.form.is_empty() && self.upload_file.is_none()) {
            return Err(Failure::usage("`--head` has no body: with `--get`, the data goes into the URL"));
        }
        Ok((method, target))
    }

    fn url(&self, target: &str) -> Outcome<String> {
        if !target.starts_with('/') {
            return Ok(target.to_owned());
        }
        let base = self.connection.url()?.ok_or_else(|| {
            Failure::usage(format!("`{target}` is a path: name its server with `--url URL` or KEYWARD_URL"))
        })?;
        Ok(format!("{}{target}", base.trim_end_matches('/')))
    }

    fn headers(&self, body: &[u8], content_type: Option<&str>) -> Outcome<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(if self.data.is_json() { "application/json" } else { "*/*" }));
        if let Some(content_type) = content_type {
            let unusable = |_| Failure::new("the content type of the form cannot be sent");
            headers.insert(CONTENT_TYPE, content_type.parse().map_err(unusable)?);
        } else if !self.data.is_empty() && !self.get {
            let is_json = self.data.is_json() || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let content_type = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(user_agent) = &self.user_agent {
            let unusable = |_| Failure::usage("the value of `--user-agent` has characters that no header can have");
            headers.insert(USER_AGENT, user_agent.parse().map_err(unusable)?);
        }
        let mut given = HeaderMap::new();
        for header in &self.headers {
            match parse_header(header)? {
                Header::Set(name, value) => {
                    given.append(name, value);
                }
                Header::Remove(name) => {
                    headers.remove(name);
                }
            }
        }
        if given.get_all(HOST).iter().count() > 1 {
            return Err(Failure::usage("Host is given more than once: a request goes to one host"));
        }
        // Given headers replace the defaults, and several with the same name are kept.
        headers.extend(given);
        Ok(headers)
    }
}

fn parse_method(word: &str) -> Outcome<Method> {
    word.parse().map_err(|_| Failure::usage("the word before the URL is not a method, such as GET or POST"))
}

/// Completes the URL of an upload into a directory, as curl does.
fn complete_url(url: &mut String, file: &str) {
    let name = std::path::Path::new(file).file_name().filter(|_| file != "-");
    if let Some(name) = name.filter(|_| url.ends_with('/')) {
        url.push_str(&domain::text::percent_encode(&name.to_string_lossy(), b""));
    }
}

fn add_query(url: &mut String, data: &[u8]) -> Outcome {
    let data = std::str::from_utf8(data)
        .map_err(|_| Failure::usage("the data is not UTF-8 text, so it cannot go into the URL with `--get`"))?;
    let fragment = url.find('#').map(|at| url.split_off(at));
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str(data);
    url.push_str(&fragment.unwrap_or_default());
    Ok(())
}

enum Header {
    Set(HeaderName, HeaderValue),
    Remove(HeaderName),
}

fn parse_header(text: &str) -> Outcome<Header> {
    let malformed = || Failure::usage(format!("`{text}` is not a header: write `Name: value`"));
    let name = |name: &str| name.trim().parse::<HeaderName>().map_err(|_| malformed());
    match text.split_once(':') {
        Some((before, value)) if value.trim().is_empty() => Ok(Header::Remove(name(before)?)),
        Some((before, value)) => Ok(Header::Set(name(before)?, value.trim().parse().map_err(|_| malformed())?)),
        None => {
            let before = text.strip_suffix(';').ok_or_else(malformed)?;
            Ok(Header::Set(name(before)?, HeaderValue::from_static("")))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        request: SentRequest,
    }

    fn parse(arguments: &[&str]) -> SentRequest {
        Line::parse_from(["request"].iter().chain(arguments)).request
    }

    fn post(arguments: &[&str]) -> SentRequest {
        parse(&[&["POST", "http://127.0.0.1/"][..], arguments].concat())
    }

    /// Returns the method and the URL, signed with a temporary key.
    fn line(arguments: &[&str]) -> Outcome<String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let key = directory.path().join("id");
        client::generate_key_pair(&client::SystemRandom, "").write_key_pair(&key).expect("a key");
        let key = key.display().to_string();
        let prepared = parse(&[arguments, &["--key", &key]].concat()).prepare()?;
        Ok(format!("{} {} {}", prepared.request.method(), prepared.url, prepared.request.body().len()))
    }

    #[test]
    fn the_method_and_the_url_are_found_as_curl_does() {
        let line = |arguments: &[&str]| line(arguments).expect("a request");
        let url = "http://h/a";
        assert_eq!(line(&["GET", url]), "GET http://h/a 0");
        assert_eq!(line(&["GET", "--url", "http://h/", "/a"]), "GET http://h/a 0");
        assert_eq!(line(&[url]), "GET http://h/a 0");
        assert_eq!(line(&[url, "-d", "x=1"]), "POST http://h/a 3");
        assert_eq!(line(&[url, "-d", ""]), "POST http://h/a 0");
        assert_eq!(line(&[url, "-X", "PATCH", "-d", "x=1"]), "PATCH http://h/a 3");
        assert_eq!(line(&["PATCH", url, "-X", "PATCH"]), "PATCH http://h/a 0");
        assert_eq!(line(&["-I", url]), "HEAD http://h/a 0");
        assert_eq!(line(&[url, "-G", "-d", "x=1", "--data-urlencode", "y=a b"]), "GET http://h/a?x=1&y=a%20b 0");
        assert_eq!(line(&["http://h/a?b#c", "-G", "-d", "x=1"]), "GET http://h/a?b&x=1#c 0");
        assert_eq!(line(&["-IG", url, "-d", "x=1"]), "HEAD http://h/a?x=1 0");
        let form = line(&[url, "-F", "x=1"]);
        assert!(form.starts_with("POST http://h/a 1"), "{form}");
        assert_eq!(line(&["-T", "/dev/null", "http://h/b/"]), "PUT http://h/b/null 0");
        assert_eq!(line(&["POST", "-T", "/dev/null", url]), "POST http://h/a 0");
    }

    #[test]
    fn contradictory_arguments_are_refused() {
        for (arguments, why) in [
            (&["GET"][..], "no URL is given: write it after GET"),
            (&["GET", "http://h/", "-X", "POST"], "two methods"),
            (&["a b", "http://h/"], "not a method"),
            (&["-I", "http://h/", "-d", "x"], "`--get`"),
            (&["POST", "-I", "http://h/"], "`--include`"),
        ] {
            let refused = line(arguments).expect_err("a refusal");
            assert_eq!(refused.kind(), crate::failure::Kind::Usage, "{arguments:?}");
            assert!(refused.to_string().contains(why), "{arguments:?}: {refused}");
        }
    }

    #[test]
    fn json_is_sent_as_json_unless_a_header_says_otherwise() {
        let headers_of = |arguments: &[&str]| {
            let request = post(arguments);
            request.headers(&request.data.read().expect("a body"), None).expect("headers")
        };
        let content_type = |arguments: &[&str]| {
            headers_of(arguments).get(CONTENT_TYPE).map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(content_type(&[]), None);
        assert_eq!(content_type(&["-d", "{\"a\": 1}"]).as_deref(), Some("application/json"));
        assert_eq!(content_type(&["-d", "a=1"]).as_deref(), Some("application/x-www-form-urlencoded"));
        assert_eq!(content_type(&["--json", "a=1"]).as_deref(), Some("application/json"));
        assert_eq!(headers_of(&["--json", "{}"])[ACCEPT], "application/json");
        assert_eq!(content_type(&["-d", "{}", "-H", "content-type: text/plain"]).as_deref(), Some("text/plain"));
        assert_eq!(content_type(&["-d", "{}", "-H", "Content-Type:"]), None);
    }

    #[test]
    fn headers_with_the_same_name_are_kept() {
        let headers = post(&["-H", "X-A: 1", "-H", "x-a: 2", "-H", "X-B;", "-A", "me/1"]).headers(b"", None);
        let headers = headers.expect("headers");
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((&headers["x-b"], &headers[USER_AGENT]), (&"".parse().unwrap(), &"me/1".parse().unwrap()));
        for malformed in ["no colon", "a b: c", "X: a\nb"] {
            assert!(post(&["-H", malformed]).headers(b"", None).is_err(), "{malformed}");
        }
    }
}
