//! `keyward request`: like curl, with signed requests.

use std::{fs, io::Write as _, path::PathBuf};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use client::{ClientError, Response};
use http::{Request as HttpRequest, StatusCode};
use tokio::time::Instant;

use crate::{
    failure::{Failure, Kind, Outcome},
    input::to_text,
    output,
    request_arguments::{Prepared, SentRequest},
    request_body::read_body,
    request_output::{Ended, WriteOut, head, tell_request, tell_response},
};

/// Sign a request and send it, with the flags of curl
///
/// The exit status is 0 for every response (but see `--fail`). Redirects are never followed: a request is signed for one URL.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "keyward request [OPTIONS] [METHOD] <URL>",
    after_help = "\
Flags of curl that signed requests do not have are refused with the reason and what to use instead, such as `--location`,
`--insecure` and `--user`.

Examples:
  keyward request GET https://keys.example.com/api/v1/me --key id_ed25519
  keyward request POST /api/v1/me/keys -d '{\"title\": \"CI\", \"public_key\": \"ssh-ed25519 AAAA…\"}' -i
  keyward request https://example.com/v2/blobs/7 -T blob -H 'Content-Type: a/b'
  keyward request https://example.com/v2/files -F title=Whales -F file=@whales.csv
  keyward request -s -o answer -w '%{http_code}\\n' /api/v1/me
  keyward request GET /api/v1/me --agent            the key is in ssh-agent
  keyward request GET /api/v1/me --print            what would be signed, to compare"
)]
pub(crate) struct Request {
    #[command(flatten)]
    sent: SentRequest,
    /// Also print the status and the headers
    #[arg(short, long)]
    include: bool,
    /// Fail if the status is 400 or above: print only the status, on standard error
    #[arg(short, long, conflicts_with = "include")]
    fail: bool,
    /// Fail if the status is 400 or above, and print the response too
    #[arg(long, conflicts_with = "fail")]
    fail_with_body: bool,
    /// Write to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print this after the response: text with variables such as %{http_code}; @FILE reads it from a file
    #[arg(short, long, value_name = "FORMAT")]
    write_out: Option<String>,
    /// Print what is sent and received on standard error, without credentials
    #[arg(short, long)]
    verbose: bool,
    /// Print no messages and no errors
    #[arg(short, long)]
    silent: bool,
    /// Print errors even with `--silent`
    #[arg(short = 'S', long)]
    show_error: bool,
    /// Print the signature base (RFC 9421 §2.5) and the headers that sign it, and send nothing
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    refused: RefusedArguments,
}

/// The size above which a server may refuse a body: nginx's default limit.
const LARGE_BODY: usize = 1024 * 1024;
/// What to do about a body that is too large.
const TOO_LARGE: &str = "Keyward's own limit is 1 MiB; for an API behind a proxy, ask its operator about the proxy's limit \
                         (docs/proxies.md, \"The body\")";

impl Request {
    pub(crate) async fn run(self) -> Outcome {
        let done = self.send().await;
        // The user requested no messages, so only the exit status reports the failure.
        if self.silent && !self.show_error { done.map_err(|failure| Failure::Silent(failure.kind())) } else { done }
    }

    async fn send(&self) -> Outcome {
        self.refused.refuse()?;
        let write_out = self.write_out()?;
        let Prepared { client, url, request } = self.sent.prepare()?;
        let (request, signed) = client.sign(&url, request)?;
        if self.print {
            return print_signed(&request, &signed.base);
        }
        if self.verbose {
            tell_request(&request)?;
        }
        let started = Instant::now();
        let answer = client.send_as_is(&request).await;
        let took = started.elapsed();
        let (response, done) = match answer {
            Ok(response) => {
                let done = self.take(&request, &response);
                (Some(response), done)
            }
            Err(error) => (None, Err(explain(error, request.body().len()))),
        };
        if let Some(write_out) = write_out {
            let url = request.uri().to_string();
            let ended = Ended {
                method: request.method().as_str(),
                url: &url,
                sent: request.body().len(),
                took,
                response: response.as_ref(),
                exit_status: done.as_ref().err().map_or(0, |failure| failure.kind() as u8),
            };
            output::bytes(write_out.fill_in(&ended).as_bytes())?;
        }
        done
    }

    /// Prints a response, or fails because of its status if that is requested.
    fn take(&self, request: &HttpRequest<Vec<u8>>, response: &Response) -> Outcome {
        if self.verbose {
            tell_response(response)?;
        }
        if response.status == StatusCode::PAYLOAD_TOO_LARGE && !self.silent {
            output::note(format!(
                "The server answered 413: it does not accept the body of {} bytes; {TOO_LARGE}.",
                request.body().len()
            ))?;
        }
        let failure = (response.status.as_u16() >= 400).then(|| {
            let kind = Kind::of(response.status.as_u16());
            Failure::of_kind(kind, format!("{} answered {}", request.uri(), response.status))
        });
        match failure {
            Some(failure) if self.fail => return Err(failure),
            Some(failure) if self.fail_with_body => {
                self.write(response)?;
                return Err(failure);
            }
            _ => {}
        }
        self.write(response)
    }

    fn write(&self, response: &Response) -> Outcome {
        let mut bytes = if self.include || self.sent.head { head(response) } else { Vec::new() };
        bytes.extend_from_slice(&response.body);
        match &self.output {
            None => output::bytes(&bytes),
            Some(path) if path.as_os_str() == "-" => output::bytes(&bytes),
            Some(path) => fs::File::create(path)
                .and_then(|mut file| file.write_all(&bytes))
                .map_err(|error| Failure::new(format!("the answer cannot be written to {} ({error})", path.display()))),
        }
    }

    fn write_out(&self) -> Outcome<Option<WriteOut>> {
        let Some(format) = &self.write_out else { return Ok(None) };
        let format = match format.strip_prefix('@') {
            None => format.clone(),
            Some(file) => to_text(&read_body(file)?)
                .map_err(|()| Failure::new("the file of `--write-out` is not text: save it as UTF-8"))?,
        };
        WriteOut::parse(&format).map(Some)
    }
}

/// Returns why there is no response.
fn explain(error: ClientError, size: usize) -> Failure {
    // A server that refuses a body may close the connection before the body was sent completely.
    if matches!(error, ClientError::Broken { .. }) && size >= LARGE_BODY {
        let told = format!(
            "{error}; the body has {size} bytes, and a server may refuse a body of that size in this way: {TOO_LARGE}"
        );
        return Failure::from(error).retold(told);
    }
    error.into()
}

fn print_signed(request: &HttpRequest<Vec<u8>>, base: &str) -> Outcome {
    let signed = ["Signature-Input", "Signature", "Content-Digest"].into_iter().filter_map(|name| {
        let value = request.headers().get(name)?;
        Some(format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
    });
    let text = format!("{base}\n\n{}", signed.collect::<String>());
    output::bytes(text.as_bytes())
}

/// A flag of curl that signed requests do not support.
struct Refused {
    short: Option<char>,
    long: &'static str,
    /// Whether it has a value.
    has_value: bool,
    why: &'static str,
}

impl Refused {
    const fn flag(short: Option<char>, long: &'static str, why: &'static str) -> Self {
        Self { short, long, has_value: false, why }
    }

    const fn option(short: Option<char>, long: &'static str, why: &'static str) -> Self {
        Self { short, long, has_value: true, why }
    }
}

const KEY: &str = "a request is authenticated by its signature: name the key with `--key FILE`; to send another credential as \
                   well, pass it as `-H 'Authorization: …'`";
const REDIRECT: &str = "a request is signed for one URL, so redirects are not followed: `-w '%{redirect_url}'` prints where one \
                        leads; if that URL is yours, send a second request to it";
const COOKIE: &str =
    "requests are independent of each other, and no cookies are kept: pass one as `-H 'Cookie: NAME=VALUE'`";
const RESOLVE: &str = "the host is part of what is signed, and is resolved by this machine: add a line to /etc/hosts, or pass \
                       the host that is meant as `-H 'Host: …'`";

const REFUSED: [Refused; 27] = [
    Refused::flag(Some('L'), "location", REDIRECT),
    Refused::flag(None, "location-trusted", REDIRECT),
    Refused::option(None, "max-redirs", REDIRECT),
    Refused::flag(
        Some('k'),
        "insecure",
        "the signature does not protect the response, so the server's certificate is always checked: name the certificate \
         authority to trust with `--ca-file FILE`",
    ),
    Refused::option(Some('u'), "user", KEY),
    Refused::flag(Some('n'), "netrc", KEY),
    Refused::flag(None, "basic", KEY),
    Refused::flag(None, "digest", KEY),
    Refused::flag(None, "negotiate", KEY),
    Refused::option(None, "oauth2-bearer", KEY),
    Refused::option(None, "aws-sigv4", KEY),
    Refused::option(Some('E'), "cert", KEY),
    Refused::option(Some('b'), "cookie", COOKIE),
    Refused::option(Some('c'), "cookie-jar", COOKIE),
    Refused::flag(Some('O'), "remote-name", "the file is named by you, not by the server: `-o FILE`"),
    Refused::flag(Some('J'), "remote-header-name", "the file is named by you, not by the server: `-o FILE`"),
    Refused::option(
        Some('D'),
        "dump-header",
        "the headers are printed with the body by `-i`, and on standard error by `-v`",
    ),
    Refused::option(Some('x'), "proxy", "a proxy is set by the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
    Refused::flag(
        None,
        "compressed",
        "a response is printed as it arrives: `-H 'Accept-Encoding: gzip'` asks for a compressed one, and `| gunzip` \
         decompresses it",
    ),
    Refused::option(Some('C'), "continue-at", "ask for a part with `-H 'Range: bytes=1000-'`"),
    Refused::option(Some('r'), "range", "ask for a part with `-H 'Range: bytes=0-999'`"),
    Refused::option(Some('e'), "referer", "pass it as `-H 'Referer: URL'`"),
    Refused::option(
        None,
        "retry",
        "the signature of a write is accepted once, and this command does not know whether a write can be repeated: run the \
         command again",
    ),
    Refused::option(None, "resolve", RESOLVE),
    Refused::option(None, "connect-to", RESOLVE),
    Refused::option(
        Some('K'),
        "config",
        "the flags are read from the command line only: `xargs` passes flags from a file",
    ),
    Refused::flag(Some('Z'), "parallel", "a command sends one request: run several commands"),
];

/// Flags of curl that are refused with an explanation.
#[derive(Clone, Copy, Default, Debug)]
struct RefusedArguments {
    given: Option<usize>,
}

impl RefusedArguments {
    fn refuse(self) -> Outcome {
        let Some(refused) = self.given.and_then(|at| REFUSED.get(at)) else { return Ok(()) };
        let short = refused.short.map_or_else(String::new, |short| format!("-{short}, "));
        Err(Failure::usage(format!("{short}--{} is not supported: {}", refused.long, refused.why)))
    }
}

impl FromArgMatches for RefusedArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_given =
            |refused: &Refused| matches.value_source(refused.long) == Some(clap::parser::ValueSource::CommandLine);
        Ok(Self { given: REFUSED.iter().position(is_given) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for RefusedArguments {
    fn augment_args(command: Command) -> Command {
        REFUSED.iter().fold(command, |command, refused| {
            let action = if refused.has_value { clap::ArgAction::Append } else { clap::ArgAction::SetTrue };
            let argument = Arg::new(refused.long).long(refused.long).action(action).hide(true).help("Not supported");
            command.arg(match refused.short {
                Some(short) => argument.short(short),
                None => argument,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
