//! `keyward sign`: prints the headers that sign a request, for another program to send.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use http::Request;

use crate::{
    failure::Outcome,
    output,
    request_arguments::{Prepared, SentRequest},
};

/// The headers that the signature adds, and the optional header that it covers.
const SIGNED: [&str; 4] = ["Content-Digest", "Keyward-Workspace", "Signature-Input", "Signature"];

/// Print the headers that sign a request, for another program to send; nothing is sent
///
/// The signature is valid for 60 seconds, for this method, this URL and this body, and a write is accepted once. Send
/// the headers with an otherwise unchanged request: the same URL in the same form, and the same bytes of the body.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "keyward sign [OPTIONS] [METHOD] <URL>",
    after_help = "\
Examples:
  keyward sign GET https://keys.example.com/api/v1/me --key id_ed25519
  keyward sign GET \"$URL\" | curl -H @- \"$URL\"
  keyward sign POST \"$URL\" --data-binary @body.json > headers
  curl -H @headers -H 'Content-Type: application/json' --data-binary @body.json \"$URL\"
  keyward sign GET \"$URL\" --json                   an object, for programs"
)]
pub(crate) struct Sign {
    #[command(flatten)]
    request: SignArguments,
    /// Print the headers as a JSON object
    #[arg(long)]
    json: bool,
}

/// The request to sign. In commands that send a request, `--json` is a body, as in curl. Here it is the format of the
/// headers.
#[derive(Debug)]
struct SignArguments(SentRequest);

impl FromArgMatches for SignArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        SentRequest::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Args for SignArguments {
    fn augment_args(command: Command) -> Command {
        SentRequest::augment_args(command).mut_arg("json_data", |argument| argument.long("data-json"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl Sign {
    pub(crate) fn run(self) -> Outcome {
        let Prepared { client, url: given, request } = self.request.0.prepare()?;
        let (request, _) = client.sign(&given, request)?;
        let signed = request.uri().to_string();
        if without_fragment(given.trim()) != signed && format!("{}/", without_fragment(given.trim())) != signed {
            output::tell(format!("signed for {signed}: send the request to the URL in this form"))?;
        }
        let headers = SIGNED.into_iter().filter_map(|name| Some((name, value(&request, name)?)));
        if self.json {
            let headers: serde_json::Map<_, _> =
                headers.map(|(name, value)| (name.to_owned(), serde_json::Value::String(value))).collect();
            return output::json(&headers);
        }
        let lines: Vec<_> = headers.map(|(name, value)| format!("{name}: {value}\n")).collect();
        output::bytes(lines.concat().as_bytes())
    }
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

fn value(request: &Request<Vec<u8>>, name: &str) -> Option<String> {
    let value = request.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
