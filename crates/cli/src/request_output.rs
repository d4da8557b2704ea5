//! The output of `keyward request`, as with `-i`, `-v` and `-w` of curl.

use std::time::Duration;

use client::Response;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Version,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION, SET_COOKIE},
};

use crate::{
    failure::{Failure, Outcome},
    output,
};

/// Headers with secrets.
const SECRET: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE];

/// Returns the status line and the headers of a response, and an empty line.
pub(crate) fn head(response: &Response) -> Vec<u8> {
    let mut bytes = format!("{}\r\n", status_line(response)).into_bytes();
    for (name, value) in &response.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn status_line(response: &Response) -> String {
    let reason = response.status.canonical_reason().unwrap_or_default();
    format!("{:?} {} {reason}", response.version, response.status.as_u16())
}

/// Prints the request on standard error.
pub(crate) fn tell_request(request: &Request<Vec<u8>>) -> Outcome {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let host = request.uri().authority().filter(|_| !request.headers().contains_key(HOST));
    let host = host.map(|host| format!("> host: {host}\n")).unwrap_or_default();
    output::tell(format!(
        "> {} {target} HTTP/1.1\n{host}{}>\n* the body has {} bytes",
        request.method(),
        fields('>', request.headers()),
        request.body().len()
    ))
}

/// Prints the response on standard error.
pub(crate) fn tell_response(response: &Response) -> Outcome {
    output::tell(format!("< {}\n{}<", status_line(response), fields('<', &response.headers)))
}

/// Returns one line for each header, without secrets.
fn fields(mark: char, headers: &HeaderMap) -> String {
    let value = |name: &HeaderName, value: &HeaderValue| {
        if SECRET.contains(name) {
            format!("[not shown: {} bytes]", value.len())
        } else {
            String::from_utf8_lossy(value.as_bytes()).replace(char::is_control, " ")
        }
    };
    let lines = headers.iter().map(|(name, content)| format!("{mark} {name}: {}\n", value(name, content)));
    lines.collect::<Vec<_>>().concat()
}

/// The text to print after a request, as with `--write-out` of curl.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WriteOut(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    Variable(Variable),
    Header(HeaderName),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Variable {
    ContentType,
    ExitCode,
    HttpVersion,
    Method,
    RedirectUrl,
    ResponseCode,
    SizeDownload,
    SizeUpload,
    TimeTotal,
    Url,
}

const VARIABLES: [(&str, Variable); 12] = [
    ("content_type", Variable::ContentType),
    ("exitcode", Variable::ExitCode),
    ("http_code", Variable::ResponseCode),
    ("http_version", Variable::HttpVersion),
    ("method", Variable::Method),
    ("redirect_url", Variable::RedirectUrl),
    ("response_code", Variable::ResponseCode),
    ("size_download", Variable::SizeDownload),
    ("size_upload", Variable::SizeUpload),
    ("time_total", Variable::TimeTotal),
    ("url", Variable::Url),
    ("url_effective", Variable::Url),
];

/// A completed request, with or without a response.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) sent: usize,
    pub(crate) took: Duration,
    pub(crate) response: Option<&'a Response>,
    pub(crate) exit_status: u8,
}

impl WriteOut {
    /// Parses `%{VARIABLE}`, `%header{NAME}`, `%%`, `\n`, `\r` and `\t`.
    pub(crate) fn parse(format: &str) -> Outcome<Self> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some(next) = rest.chars().next() {
            let (piece, after) = match next {
                '%' => read_variable(rest)?,
                '\\' => read_escape(rest),
                other => (Piece::Text(other.to_string()), &rest[other.len_utf8()..]),
            };
            match piece {
                Piece::Text(more) => text.push_str(&more),
                piece => {
                    pieces.extend([Piece::Text(std::mem::take(&mut text)), piece]);
                }
            }
            rest = after;
        }
        pieces.push(Piece::Text(text));
        Ok(Self(pieces))
    }

    /// Returns the text for a completed request.
    pub(crate) fn fill_in(&self, ended: &Ended<'_>) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Variable(variable) => variable.of(ended),
                Piece::Header(name) => field(ended.response, name),
            })
            .collect()
    }
}

fn read_variable(rest: &str) -> Outcome<(Piece, &str)> {
    if let Some(after) = rest.strip_prefix("%%") {
        return Ok((Piece::Text("%".to_owned()), after));
    }
    if let Some((name, after)) = rest.strip_prefix("%header{").and_then(|rest| rest.split_once('}')) {
        let name = name.parse().map_err(|_| Failure::usage(format!("`{name}` in `--write-out` is not a header")))?;
        return Ok((Piece::Header(name), after));
    }
    let Some((name, after)) = rest.strip_prefix("%{").and_then(|rest| rest.split_once('}')) else {
        return Ok((Piece::Text("%".to_owned()), &rest[1..]));
    };
    let known = VARIABLES.iter().find(|(known, _)| *known == name);
    let (_, variable) = known.ok_or_else(|| {
        let known = VARIABLES.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        Failure::usage(format!(
            "`--write-out` has no variable `{name}`: there are {} and `%header{{NAME}}`",
            known.join(", ")
        ))
    })?;
    Ok((Piece::Variable(*variable), after))
}

fn read_escape(rest: &str) -> (Piece, &str) {
    for (written, meant) in [("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\\\", "\\")] {
        if let Some(after) = rest.strip_prefix(written) {
            return (Piece::Text(meant.to_owned()), after);
        }
    }
    (Piece::Text("\\".to_owned()), &rest[1..])
}

fn field(response: Option<&Response>, name: &HeaderName) -> String {
    let value = response.and_then(|response| response.headers.get(name));
    value.map_or_else(String::new, |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

impl Variable {
    fn of(self, ended: &Ended<'_>) -> String {
        match self {
            Self::ContentType => field(ended.response, &CONTENT_TYPE),
            Self::ExitCode => ended.exit_status.to_string(),
            Self::HttpVersion => match ended.response.map(|response| response.version) {
                None => "0",
                Some(Version::HTTP_10) => "1.0",
                Some(Version::HTTP_2) => "2",
                Some(Version::HTTP_3) => "3",
                Some(_) => "1.1",
            }
            .to_owned(),
            Self::Method => ended.method.to_owned(),
            Self::RedirectUrl => {
                let is_redirect = ended.response.is_some_and(|response| response.status.is_redirection());
                if is_redirect { field(ended.response, &LOCATION) } else { String::new() }
            }
            Self::ResponseCode => format!("{:03}", ended.response.map_or(0, |response| response.status.as_u16())),
            Self::SizeDownload => ended.response.map_or(0, |response| response.body.len()).to_string(),
            Self::SizeUpload => ended.sent.to_string(),
            Self::TimeTotal => format!("{:.6}", ended.took.as_secs_f64()),
            Self::Url => ended.url.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(format: &str, response: Option<&Response>) -> String {
        let ended = Ended {
            method: "GET",
            url: "http://127.0.0.1/",
            sent: 3,
            took: Duration::from_millis(1500),
            response,
            exit_status: 0,
        };
        WriteOut::parse(format).expect("a format").fill_in(&ended)
    }

    #[test]
    fn a_format_is_filled_in_as_curl_does() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let response =
            Response { version: Version::HTTP_11, status: http::StatusCode::OK, headers, body: b"hello".to_vec() };
        let there = Some(&response);
        assert_eq!(told("\\n%{http_code} %{response_code}\\t%{size_download}%%\\n", there), "\n200 200\t5%\n");
        assert_eq!(told("%{content_type}|%header{Content-Type}|%header{x}", there), "text/plain|text/plain|");
        assert_eq!(told("%{method} %{url} %{size_upload} %{time_total}", there), "GET http://127.0.0.1/ 3 1.500000");
        assert_eq!(told("%{http_code} %{http_version}", None), "000 0");
        assert_eq!(told("100% \\x %{open", None), "100% \\x %{open");
        let unknown = WriteOut::parse("%{time_namelookup}").expect_err("unknown").to_string();
        assert!(unknown.contains("`time_namelookup`") && unknown.contains("time_total"), "{unknown}");
    }

    #[test]
    fn secrets_are_omitted_from_verbose_output() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer kwt_secret"));
        headers.insert("x-a", HeaderValue::from_static("1"));
        assert_eq!(fields('>', &headers), "> authorization: [not shown: 17 bytes]\n> x-a: 1\n");
    }
}
