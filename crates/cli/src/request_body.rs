//! The body of a signed request, built as curl does from `-d`, `--data-raw`, `--data-binary`, `--data-urlencode`,
//! `--json`, `-F` and `-T`.

use std::{fs, path::Path};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use client::{Random as _, SystemRandom};
use domain::text::percent_encode;

use crate::{
    failure::{Failure, Outcome},
    input::read_input,
};

/// The flags that add to a body. Their values may be secret, and are sent to the server unchanged.
pub(crate) const BODY_ARGUMENTS: [&str; 6] = ["data", "data_raw", "data_binary", "data_urlencode", "json_data", "form"];

/// How a flag interprets its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DataKind {
    /// TEXT or @FILE, without the line breaks of the file.
    Plain,
    /// TEXT, with `@` as a normal character.
    Raw,
    /// TEXT or @FILE, unchanged.
    Binary,
    /// Percent-encoded.
    UrlEncoded,
    /// TEXT or @FILE, unchanged, and sent as JSON.
    Json,
}

impl DataKind {
    const ALL: [Self; 5] = [Self::Plain, Self::Raw, Self::Binary, Self::UrlEncoded, Self::Json];

    fn argument(self) -> Arg {
        let (id, long, value, help) = match self {
            Self::Plain => (
                "data",
                "data",
                "TEXT|@FILE",
                "The body: TEXT, @FILE (line breaks are removed) or @- for standard input; several are joined by `&`",
            ),
            Self::Raw => ("data_raw", "data-raw", "TEXT", "The body: TEXT, also where it begins with `@`"),
            Self::Binary => ("data_binary", "data-binary", "TEXT|@FILE", "The body, unchanged: TEXT, @FILE or @-"),
            Self::UrlEncoded => (
                "data_urlencode",
                "data-urlencode",
                "NAME=TEXT",
                "The body, with TEXT percent-encoded: TEXT, =TEXT, NAME=TEXT, @FILE or NAME@FILE",
            ),
            Self::Json => (
                "json_data",
                "json",
                "TEXT|@FILE",
                "The body, unchanged, as application/json: TEXT, @FILE or @-; it also asks for JSON",
            ),
        };
        let argument = Arg::new(id).long(long).value_name(value).action(ArgAction::Append).help(help);
        match self {
            Self::Plain => argument.short('d').long_help(format!(
                "{help}\n\nSent as application/json if it is JSON, else as application/x-www-form-urlencoded, unless a \
                 header says otherwise."
            )),
            _ => argument,
        }
    }

    fn id(self) -> &'static str {
        BODY_ARGUMENTS[Self::ALL.iter().position(|kind| *kind == self).unwrap_or_default()]
    }

    fn read(self, given: &str) -> Outcome<Vec<u8>> {
        match self {
            Self::Raw => Ok(given.as_bytes().to_vec()),
            Self::Binary | Self::Json => read_data(given),
            Self::Plain => {
                let mut part = read_data(given)?;
                if given.starts_with('@') {
                    part.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
                }
                Ok(part)
            }
            Self::UrlEncoded => url_encode(given),
        }
    }
}

/// The values of `--data` and similar flags, in the order of the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataArguments {
    parts: Vec<(DataKind, String)>,
}

impl FromArgMatches for DataArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut data = Self::default();
        data.update_from_arg_matches(matches)?;
        Ok(data)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let mut parts = Vec::new();
        for kind in DataKind::ALL {
            let values = matches.get_many::<String>(kind.id()).into_iter().flatten();
            let indices = matches.indices_of(kind.id()).into_iter().flatten();
            parts.extend(indices.zip(values).map(|(index, value)| (index, kind, value.clone())));
        }
        parts.sort_by_key(|(index, ..)| *index);
        self.parts = parts.into_iter().map(|(_, kind, value)| (kind, value)).collect();
        Ok(())
    }
}

impl Args for DataArguments {
    fn augment_args(command: Command) -> Command {
        DataKind::ALL.into_iter().fold(command, |command, kind| command.arg(kind.argument()))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl DataArguments {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns whether the body is sent as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.parts.iter().any(|(kind, _)| *kind == DataKind::Json)
    }

    /// Returns all parts, joined by `&` except for JSON.
    pub(crate) fn read(&self) -> Outcome<Vec<u8>> {
        let mut body = Vec::new();
        for (at, (kind, given)) in self.parts.iter().enumerate() {
            if at > 0 && *kind != DataKind::Json {
                body.push(b'&');
            }
            body.extend(kind.read(given)?);
        }
        Ok(body)
    }
}

/// Returns the text, the content of the file after `@`, or standard input for `@-`.
fn read_data(data: &str) -> Outcome<Vec<u8>> {
    match data.strip_prefix('@') {
        None => Ok(data.as_bytes().to_vec()),
        Some(path) => read_body(path),
    }
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read_body(path: &str) -> Outcome<Vec<u8>> {
    if path == "-" {
        return Ok(read_input("the body")?.to_vec());
    }
    fs::read(path).map_err(|error| {
        Failure::new(format!("the body cannot be read from {path} ({error}): check the path after `@`"))
    })
}

/// Encodes `TEXT`, `=TEXT`, `NAME=TEXT`, `@FILE` or `NAME@FILE`. The first of `=` and `@` determines the form.
fn url_encode(given: &str) -> Outcome<Vec<u8>> {
    let (name, content) = match given.find(['=', '@']) {
        None => ("", given.as_bytes().to_vec()),
        Some(at) if given[at..].starts_with('=') => (&given[..at], given.as_bytes()[at + 1..].to_vec()),
        Some(at) => (&given[..at], read_body(&given[at + 1..])?),
    };
    let content = String::from_utf8(content)
        .map_err(|_| Failure::new("what `--data-urlencode` reads is not UTF-8 text: send it with `--data-binary`"))?;
    let encoded = percent_encode(&content, b"");
    let text = if name.is_empty() { encoded } else { format!("{name}={encoded}") };
    Ok(text.into_bytes())
}

/// A `multipart/form-data` body (RFC 7578).
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Form {
    /// Builds a form from `NAME=TEXT`, `NAME=@FILE` (sent as a file) and `NAME=<FILE` (sent as text), each with
    /// `;type=…` and `;filename=…`.
    pub(crate) fn read(fields: &[String]) -> Outcome<Self> {
        let mut bytes = [0; 16];
        SystemRandom.fill(&mut bytes);
        Self::with_boundary(fields, &format!("------------------------{:032x}", u128::from_be_bytes(bytes)))
    }

    fn with_boundary(fields: &[String], boundary: &str) -> Outcome<Self> {
        let mut body = Vec::new();
        for field in fields {
            let part = Part::read(field)?;
            body.extend(format!("--{boundary}\r\n{}\r\n\r\n", part.head).bytes());
            body.extend(part.content);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{boundary}--\r\n").bytes());
        Ok(Self { content_type: format!("multipart/form-data; boundary={boundary}"), body })
    }
}

struct Part {
    head: String,
    content: Vec<u8>,
}

impl Part {
    fn read(field: &str) -> Outcome<Self> {
        let malformed = || {
            Failure::usage(
                "a value of `--form` is not a field: write NAME=TEXT, NAME=@FILE to send a file, or NAME=<FILE",
            )
        };
        let (name, value) = field.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(malformed)?;
        let (value, attributes) = value.split_at(attributes_start(value));
        let content_type = attribute(attributes, TYPE, FILE_NAME);
        let file_name = attribute(attributes, FILE_NAME, TYPE);
        let (content, file) = match (value.strip_prefix('@'), value.strip_prefix('<')) {
            (Some(path), _) => (read_body(path)?, Some(path)),
            (None, Some(path)) => (read_body(path)?, None),
            (None, None) => (value.as_bytes().to_vec(), None),
        };
        let of_path = |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
        let file_name = file_name.map(str::to_owned).or_else(|| file.and_then(of_path));
        let file_name = file_name.map(|name| format!("; filename=\"{}\"", quoted_name(&name))).unwrap_or_default();
        let mut type_line = String::new();
        let default = file.map(|_| "application/octet-stream");
        if let Some(content_type) = content_type.or(default) {
            if content_type.chars().any(char::is_control) {
                return Err(malformed());
            }
            type_line = format!("\r\nContent-Type: {content_type}");
        }
        let head = format!("Content-Disposition: form-data; name=\"{}\"{file_name}{type_line}", quoted_name(name));
        Ok(Self { head, content })
    }
}

const TYPE: &str = ";type=";
const FILE_NAME: &str = ";filename=";

/// Returns where the attributes of a field begin.
fn attributes_start(value: &str) -> usize {
    [TYPE, FILE_NAME].into_iter().filter_map(|name| value.find(name)).min().unwrap_or(value.len())
}

/// Returns the attribute with this name. It ends where the next one begins.
fn attribute<'v>(attributes: &'v str, name: &str, other: &str) -> Option<&'v str> {
    let (_, value) = attributes.split_once(name)?;
    let value = value.split(other).next().unwrap_or_default();
    Some(value.trim_matches('"'))
}

/// Quotes a name as browsers do (HTML standard).
fn quoted_name(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        data: DataArguments,
    }

    fn body(arguments: &[&str]) -> Outcome<Vec<u8>> {
        Line::parse_from(["request"].iter().chain(arguments)).data.read()
    }

    #[test]
    fn the_body_is_put_together_as_curl_does() {
        let read = |arguments: &[&str]| String::from_utf8(body(arguments).expect("a body")).expect("text");
        assert_eq!(read(&[]), "");
        assert_eq!(read(&["-d", "a=1", "--data", "b=2"]), "a=1&b=2");
        assert_eq!(read(&["--data-raw", "@a", "-d", "b", "--data-urlencode", "c=d e&f"]), "@a&b&c=d%20e%26f");
        assert_eq!(read(&["--data-urlencode", "a b", "--data-urlencode", "=a=b"]), "a%20b&a%3Db");
        assert_eq!(read(&["--json", "{\"a\":", "--json", "1}"]), "{\"a\":1}");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("body");
        fs::write(&file, "{\"a\":\r\n1}\n").expect("a file");
        let file = format!("@{}", file.display());
        assert_eq!(read(&["-d", &file]), "{\"a\":1}");
        assert_eq!(read(&["--data-binary", &file]), "{\"a\":\r\n1}\n");
        assert_eq!(read(&["--data-urlencode", &format!("x{file}")]), "x=%7B%22a%22%3A%0D%0A1%7D%0A");
        assert!(body(&["-d", "@/nowhere"]).is_err());
    }

    #[test]
    fn a_form_has_text_and_files() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("a.txt");
        fs::write(&file, "hello\n").expect("a file");
        let path = file.display();
        let fields = [
            "title=a; b".to_owned(),
            format!("file=@{path}"),
            format!("text=<{path};type=text/plain; charset=utf-8"),
            format!("named=@{path};filename=\"b.bin\";type=a/b"),
            format!("named=@{path};type=a/b;filename=c.bin"),
        ];
        let form = Form::with_boundary(&fields, "XX").expect("a form");
        assert_eq!(form.content_type, "multipart/form-data; boundary=XX");
        let expected = "--XX\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na; b\r\n\
            --XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: application/octet-stream\r\n\r\nhello\n\r\n\
            --XX\r\nContent-Disposition: form-data; name=\"text\"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\n\r\n\
            --XX\r\nContent-Disposition: form-data; name=\"named\"; filename=\"b.bin\"\r\nContent-Type: a/b\r\n\r\nhello\n\r\n\
            --XX\r\nContent-Disposition: form-data; name=\"named\"; filename=\"c.bin\"\r\nContent-Type: a/b\r\n\r\nhello\n\r\n\
            --XX--\r\n";
        assert_eq!(String::from_utf8(form.body).expect("text"), expected);
        for malformed in ["title", "=x", "file=@/nowhere"] {
            assert!(Form::read(&[malformed.to_owned()]).is_err(), "{malformed}");
        }
    }
}
