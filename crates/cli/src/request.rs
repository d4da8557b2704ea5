//! `keyward request`: curl for signed requests.

use std::{fs, io::Write as _, path::PathBuf, time::Duration};

use client::{Client, ClientError, ClientOptions, Profile, Response};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};

use crate::{
    connection::ConnectionArguments,
    failure::{Failure, Kind, Outcome},
    input::read_input,
    output,
};

/// Larger answers are most likely mistakes; this is held in memory.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// Sign a request and send it; flags mean what they mean in curl
///
/// The exit status is 0 for every response (but see `--fail`), and 1 if there is none. Redirects are never followed: a request is
/// signed for one URL.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward request GET https://keys.example.com/api/v1/me --key id_ed25519
  keyward request POST /api/v1/me/keys -d '{\"title\": \"CI\", \"public_key\": \"ssh-ed25519 AAAA…\"}' -i
  keyward request PUT https://example.com/v2/blobs/7 --data-binary @blob -H 'Content-Type: a/b'
  keyward request GET /api/v1/me --agent            the key is in ssh-agent
  keyward request GET /api/v1/me --print            what would be signed, to compare")]
pub(crate) struct Request {
    #[command(flatten)]
    sent: SentRequest,
    /// Also print the status and the headers
    #[arg(short, long)]
    include: bool,
    /// Fail if the status is 400 or above: print only the status, on standard error
    #[arg(short, long, conflicts_with = "include")]
    fail: bool,
    /// Write to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the signature base (RFC 9421 §2.5) and the headers that sign it, and send nothing
    #[arg(long)]
    print: bool,
}

/// What is signed and sent: the arguments that `keyward explain` has too.
#[derive(Debug, clap::Args)]
pub(crate) struct SentRequest {
    /// GET, POST, …
    method: Method,
    /// The URL, or a path on the server of `--url`
    #[arg(value_name = "URL")]
    target: String,
    /// The body: TEXT, @FILE (line breaks are removed) or @- for standard input; several are joined by `&`
    ///
    /// Sent as application/json if it is JSON, else as application/x-www-form-urlencoded, unless a header says otherwise.
    #[arg(short, long, value_name = "TEXT|@FILE")]
    data: Vec<String>,
    /// The body, unchanged: TEXT, @FILE or @-
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "data")]
    data_binary: Option<String>,
    /// A header; `Name:` removes a header, `Name;` sends an empty one
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
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

/// Bytes of a body that a server may refuse for its size alone: nginx's default limit.
const LARGE_BODY: usize = 1024 * 1024;
/// What to do about a body that is too large.
const TOO_LARGE: &str = "Keyward's own limit is 1 MiB; for an API behind a proxy, ask its operator about the proxy's limit \
                         (docs/proxies.md, \"The body\")";

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Native => Self::Native,
            ProfileName::Encord => Self::Encord,
        }
    }
}

impl Request {
    pub(crate) async fn run(self) -> Outcome {
        let Prepared { client, url, request } = self.sent.prepare()?;
        if self.print {
            let request = client.sign(&url, request)?;
            return print_signed(&request.0, &request.1.base);
        }
        let size = request.body().len();
        let response = match client.send_to(&url, request).await {
            // A server that refuses a body may close the connection before it has all of it.
            Err(error @ ClientError::Broken { .. }) if size >= LARGE_BODY => {
                let told = format!(
                    "{error}; the body has {size} bytes, and a server may refuse a body of that size in this way: {TOO_LARGE}"
                );
                return Err(Failure::from(error).retold(told));
            }
            other => other?,
        };
        if response.status == StatusCode::PAYLOAD_TOO_LARGE {
            output::note(format!(
                "The server answered 413: it does not accept the body of {size} bytes; {TOO_LARGE}."
            ))?;
        }
        if self.fail && response.status.as_u16() >= 400 {
            let kind = Kind::of(response.status.as_u16());
            return Err(Failure::of_kind(kind, format!("{url} answered {}", response.status)));
        }
        let bytes = self.format(&response);
        match &self.output {
            None => output::bytes(&bytes),
            Some(path) => fs::File::create(path)
                .and_then(|mut file| file.write_all(&bytes))
                .map_err(|error| Failure::new(format!("the answer cannot be written to {} ({error})", path.display()))),
        }
    }

    fn format(&self, response: &Response) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.include {
            let reason = response.status.canonical_reason().unwrap_or_default();
            bytes.extend(format!("{:?} {} {reason}\r\n", response.version, response.status.as_u16()).bytes());
            for (name, value) in &response.headers {
                bytes.extend_from_slice(name.as_str().as_bytes());
                bytes.extend_from_slice(b": ");
                bytes.extend_from_slice(value.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(&response.body);
        bytes
    }
}

/// A request that is ready to be signed and sent.
pub(crate) struct Prepared {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) request: HttpRequest<Vec<u8>>,
}

impl SentRequest {
    /// Reads the body, the headers and the key, and connects to nothing.
    pub(crate) fn prepare(&self) -> Outcome<Prepared> {
        let url = self.url()?;
        let mut request = HttpRequest::new(self.body()?);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers(request.body())?;
        let signer = self.connection.signer(self.profile.into())?;
        let options = ClientOptions {
            // Another server behind Keyward's forward-auth may not know a write that it has seen.
            retries: 0,
            timeout: Duration::from_secs(self.max_time),
            max_answer_bytes: MAX_ANSWER_BYTES,
            trusted_certificates: self.connection.trusted_certificates()?,
            ..ClientOptions::new(&url, signer)
        };
        Ok(Prepared { client: Client::new(options)?, url, request })
    }

    fn url(&self) -> Outcome<String> {
        if !self.target.starts_with('/') {
            return Ok(self.target.clone());
        }
        let base = self.connection.url()?.ok_or_else(|| {
            Failure::usage(format!("`{}` is a path: name its server with `--url URL` or KEYWARD_URL", self.target))
        })?;
        Ok(format!("{}{}", base.trim_end_matches('/'), self.target))
    }

    fn body(&self) -> Outcome<Vec<u8>> {
        if let Some(data) = &self.data_binary {
            return read_data(data);
        }
        let mut body = Vec::new();
        for (at, data) in self.data.iter().enumerate() {
            let mut part = read_data(data)?;
            if data.starts_with('@') {
                part.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
            }
            if at > 0 {
                body.push(b'&');
            }
            body.extend(part);
        }
        Ok(body)
    }

    fn headers(&self, body: &[u8]) -> Outcome<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if !self.data.is_empty() || self.data_binary.is_some() {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let content_type = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
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
        // What is given takes the place of a default, and several of one name stand beside each other.
        headers.extend(given);
        Ok(headers)
    }
}

fn print_signed(request: &HttpRequest<Vec<u8>>, base: &str) -> Outcome {
    let signed = ["Signature-Input", "Signature", "Content-Digest"].into_iter().filter_map(|name| {
        let value = request.headers().get(name)?;
        Some(format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
    });
    let text = format!("{base}\n\n{}", signed.collect::<String>());
    output::bytes(text.as_bytes())
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

fn read_data(data: &str) -> Outcome<Vec<u8>> {
    let Some(path) = data.strip_prefix('@') else { return Ok(data.as_bytes().to_vec()) };
    if path == "-" {
        return Ok(read_input("the body")?.to_vec());
    }
    fs::read(path).map_err(|error| {
        Failure::new(format!("the body cannot be read from {path} ({error}): check the path after `@`"))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        request: Request,
    }

    fn parse(arguments: &[&str]) -> SentRequest {
        Line::parse_from(["request", "POST", "http://127.0.0.1/"].iter().chain(arguments)).request.sent
    }

    #[test]
    fn the_body_is_put_together_as_curl_does() {
        assert_eq!(parse(&[]).body().expect("a body"), b"");
        assert_eq!(parse(&["-d", "a=1", "--data", "b=2"]).body().expect("a body"), b"a=1&b=2");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("body");
        fs::write(&file, "{\"a\":\r\n1}\n").expect("a file");
        let file = format!("@{}", file.display());
        assert_eq!(parse(&["-d", &file]).body().expect("a body"), b"{\"a\":1}");
        assert_eq!(parse(&["--data-binary", &file]).body().expect("a body"), b"{\"a\":\r\n1}\n");
        assert!(parse(&["-d", "@/nowhere"]).body().is_err());
    }

    #[test]
    fn json_is_sent_as_json_unless_a_header_says_otherwise() {
        let content_type = |arguments: &[&str]| {
            let request = parse(arguments);
            let headers = request.headers(&request.body().expect("a body")).expect("headers");
            headers.get(CONTENT_TYPE).map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(content_type(&[]), None);
        assert_eq!(content_type(&["-d", "{\"a\": 1}"]).as_deref(), Some("application/json"));
        assert_eq!(content_type(&["-d", "a=1"]).as_deref(), Some("application/x-www-form-urlencoded"));
        assert_eq!(content_type(&["-d", "{}", "-H", "content-type: text/plain"]).as_deref(), Some("text/plain"));
        assert_eq!(content_type(&["-d", "{}", "-H", "Content-Type:"]), None);
    }

    #[test]
    fn headers_of_one_name_stand_beside_each_other() {
        let headers = parse(&["-H", "X-A: 1", "-H", "x-a: 2", "-H", "X-B;"]).headers(b"").expect("headers");
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(headers["x-b"], "");
        for malformed in ["no colon", "a b: c", "X: a\nb"] {
            assert!(parse(&["-H", malformed]).headers(b"").is_err(), "{malformed}");
        }
    }
}
