//! Parsing of the command line. A secret in the wrong argument is refused before any action, and is not printed.

use std::{ffi::OsStr, process::ExitCode};

use clap::{ArgMatches, Parser};
use domain::secret::{Secret, describe, recognise};

use crate::{
    failure::{Failure, tell_as_json},
    message::clean,
    request_body::BODY_ARGUMENTS,
};

/// The exit status for an invalid command line.
const USAGE: u8 = 2;
/// Arguments of `keyward request`, in addition to the body, whose values are sent to the server unchanged.
const SENT: [&str; 1] = ["headers"];
/// Arguments with URLs. A password in them is allowed, or refused with a specific message.
const ADDRESSES: [&str; 5] = ["database_url", "to_postgres", "from_postgres", "url", "target"];

/// Follows an error message from which a value was removed.
const NOT_SHOWN: &str = "the hidden value looks like a secret: pass keys by the names of their files or the text of a \
                         key in KEYWARD_KEY, and passwords on standard input; the shell's history contains the \
                         command line";

/// Parses the command line. Otherwise returns the exit status, after an error, a help text or the version was printed.
pub(crate) fn read<A: Parser>() -> Result<A, ExitCode> {
    let command = A::command();
    let matches = command.clone().try_get_matches().map_err(|error| report(&error))?;
    if asks_for_json(&matches) {
        tell_as_json();
    }
    if let Some(told) = find_misplaced(&command, &matches) {
        return Err(Failure::usage(told).report());
    }
    A::from_arg_matches(&matches).map_err(|error| report(&error))
}

/// Returns whether the command prints JSON.
fn asks_for_json(matches: &ArgMatches) -> bool {
    let is_set = matches.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or_default();
    is_set || matches.subcommand().is_some_and(|(_, matches)| asks_for_json(matches))
}

/// Returns whether an invalid command line probably requests JSON. In `request`, `--json` is a body, as in curl.
fn seems_to_ask_for_json() -> bool {
    let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
    words.next().is_some_and(|command| command != "request") && words.any(|word| word == "--json")
}

/// Prints a message of clap: a help text, the version, or an error without the secrets in it.
fn report(error: &clap::Error) -> ExitCode {
    let plain = error.render().to_string();
    let told = clean(&plain);
    if error.use_stderr() && seems_to_ask_for_json() {
        tell_as_json();
        let hidden = if told == plain { String::new() } else { format!("; {NOT_SHOWN}") };
        let told = told.trim().strip_prefix("error: ").unwrap_or(&told);
        return Failure::usage(format!("{}{hidden}", told.trim())).report();
    }
    if error.use_stderr() && told != plain {
        eprintln!("{told}\n{NOT_SHOWN}");
    } else if error.print().is_err() {
        // If the output cannot be written, the exit status reports it.
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

/// Returns the first argument with a secret, and what to do.
fn find_misplaced(command: &clap::Command, matches: &ArgMatches) -> Option<String> {
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if SENT.contains(&id) || BODY_ARGUMENTS.contains(&id) {
            continue;
        }
        let values = matches.try_get_raw(id).ok().flatten();
        if let Some(value) = values.into_iter().flatten().find(|value| is_misplaced(id, value)) {
            return Some(refusal(argument, &value.to_string_lossy()));
        }
    }
    let (name, matches) = matches.subcommand()?;
    find_misplaced(command.find_subcommand(name)?, matches)
}

fn is_misplaced(id: &str, value: &OsStr) -> bool {
    match recognise(&value.to_string_lossy()) {
        Some(Secret::Password) => !ADDRESSES.contains(&id),
        Some(secret) => secret.is_certain(),
        None => false,
    }
}

fn refusal(argument: &clap::Arg, value: &str) -> String {
    let name = match argument.get_long() {
        Some(long) => format!("--{long}"),
        None => {
            let names = argument.get_value_names().unwrap_or_default();
            names.first().map_or_else(|| argument.get_id().to_string().to_uppercase(), ToString::to_string)
        }
    };
    let described = describe(value).unwrap_or_else(|| "a secret".to_owned());
    let way_out = match recognise(value) {
        Some(Secret::PrivateKey) => {
            "name the key's file instead, or put its text into KEYWARD_KEY; where a public key belongs, `ssh-keygen -y -f FILE` \
             prints it, or `openssl pkey -in FILE -pubout` for PKCS#8"
        }
        Some(Secret::BearerToken) => "send a token only in the Authorization header of a request",
        _ => "remove the password from it",
    };
    format!(
        "`{name}` was given {described}, which was not used: {way_out}. The command line is visible in the shell's \
         history and in the list of processes, so replace the secret if other people use this machine."
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::{Arguments, message::Withheld};

    /// Returns secrets in all common formats, with the parts that must not be printed.
    fn canaries() -> Vec<(&'static str, String, Vec<&'static str>)> {
        const BODY: [&str; 3] = [
            "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW",
            "QyNTUxOQAAACCANARYq7Zk2vXw9Jr5TgYbNcHd8MfLsP1UeQi3Ao6RtKWzVnBmEjDhGy4C",
            "xSuIlOpF0aZqCANARYw2Ed3Rf4Tg5Yh6Uj7Ik8Ol9Pq1Az2Sx3Dc4Vf5Bg6Nh7Mj8Kl9Q=",
        ];
        const PKCS8: &str = "MC4CAQAwBQYDK2VwBCIEICANARY1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8l9";
        let pem =
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", BODY.join("\n"));
        let jwk_secret = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let token = "Zx9kQ2mV7bN4tR1yU8wE5pL3sD6fG0hJCaNaRyT2vXc";
        vec![
            ("PEM", pem.clone(), BODY.to_vec()),
            ("one line", pem.replace('\n', " "), BODY.to_vec()),
            ("escaped", pem.replace('\n', "\\n"), BODY.to_vec()),
            ("body", BODY.join("\n"), BODY.to_vec()),
            ("PKCS#8", format!("-----BEGIN PRIVATE KEY-----\n{PKCS8}\n-----END PRIVATE KEY-----"), vec![PKCS8]),
            ("DER", PKCS8.to_owned(), vec![PKCS8]),
            (
                "base64",
                "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1DNENBUUF3QlFZREsyVndCQ0lFSUNBTkFSWQ==".to_owned(),
                vec!["LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1DNENBUUF3QlFZREsyVndCQ0lFSUNBTkFSWQ"],
            ),
            (
                "PuTTY",
                format!("PuTTY-User-Key-File-3: ssh-ed25519\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 1\n{token}\n"),
                vec![token],
            ),
            ("JWK", format!("{{\"kty\":\"OKP\",\"x\":\"AAAA\",\"d\":\"{jwk_secret}\"}}"), vec![jwk_secret]),
            ("URL", "postgres://keyward:c4naryPassw0rd@db/keyward".to_owned(), vec!["c4naryPassw0rd"]),
            ("bearer token", format!("kwt_{token}"), vec![token]),
            ("invitation", token.to_owned(), vec![token]),
            ("link", format!("https://keys.example.com/invitations/{token}"), vec![token]),
        ]
    }

    /// Returns every argument with a value, with its command.
    fn all_arguments(command: &clap::Command, path: &[String], all: &mut Vec<(Vec<String>, clap::Arg)>) {
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            all.push((path.to_vec(), argument.clone()));
        }
        for subcommand in command.get_subcommands() {
            let path = [path, &[subcommand.get_name().to_owned()]].concat();
            all_arguments(subcommand, &path, all);
        }
    }

    /// Returns the message for these words, or `None` if they are accepted.
    fn told(command: &clap::Command, words: &[String]) -> Option<String> {
        let withheld = Withheld::of(words, std::iter::empty());
        let program = std::iter::once("keyward".to_owned());
        match command.clone().try_get_matches_from(program.chain(words.iter().cloned())) {
            Err(error) => Some(withheld.clean(&error.render().to_string())),
            Ok(matches) => find_misplaced(command, &matches).map(|told| withheld.clean(&told)),
        }
    }

    #[test]
    fn no_argument_of_any_command_repeats_a_secret() {
        let mut all = Vec::new();
        let mut command = Arguments::command();
        command.build();
        all_arguments(&command, &[], &mut all);
        assert!(all.len() > 200, "{}", all.len());
        let canaries = canaries();
        for (at, (path, argument)) in all.iter().enumerate() {
            for (canary, (name, secret, pieces)) in canaries.iter().enumerate() {
                let spelled = match argument.get_long() {
                    Some(long) => format!("--{long}={secret}"),
                    None => secret.clone(),
                };
                let mut spellings = vec![vec![spelled]];
                // Every other form, with one secret, which is different for each argument.
                if canary == at % canaries.len() {
                    spellings.extend(argument.get_long().map(|long| vec![format!("--{long}"), secret.clone()]));
                    spellings.extend(argument.get_short().map(|short| vec![format!("-{short}{secret}")]));
                    spellings.push(vec!["--".to_owned(), secret.clone()]);
                    spellings.push(vec![secret.clone()]);
                }
                for words in spellings {
                    let told = told(&command, &[&path[..], &words].concat()).unwrap_or_default();
                    for piece in pieces {
                        assert!(!told.contains(piece), "{path:?} {} {name}: {told}", argument.get_id());
                    }
                }
            }
        }
    }

    #[test]
    fn a_secret_is_refused_where_it_would_be_taken_for_something_else() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let command = Arguments::command();
        let told = |words: &[String]| told(&command, words);
        let canaries = canaries();
        let pem = &canaries[1].1;
        let data = format!("--data={}", canaries[0].1);
        let refused = told(&words(&["keygen", &format!("--file={pem}")])).expect("a refusal");
        assert!(refused.starts_with("`--file` was given a value of ") && refused.contains("KEYWARD_KEY"), "{refused}");
        let refused = told(&words(&["keys", "show", "--", pem])).expect("a refusal");
        assert!(refused.starts_with("`TITLE|FINGERPRINT|ID` was given a value of"), "{refused}");
        // Valid values in the right place are accepted.
        for good in [
            &["serve", "--database-url", "postgres://keyward:c4naryPassw0rd@db/keyward"][..],
            &["request", "POST", "/", &data, "-H", "Authorization: Bearer kwt_0123456789abcdef"],
            &["keys", "show", "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDQZ9HBhUUXzRzRwZk"],
            &["invitations", "accept", &canaries[11].1],
        ] {
            assert_eq!(told(&words(good)), None, "{good:?}");
        }
        // Passwords are read from standard input only.
        for mistaken in [
            &["admin", "set-password", "--email", "ann@example.com", "--password-stdin", "hunter2-hunter2"][..],
            &["admin", "set-password", "--email", "ann@example.com", "--password-stdin=hunter2-hunter2"],
            &["admin", "set-password", "--email", "ann@example.com", "--password=hunter2-hunter2"],
        ] {
            let told = told(&words(mistaken)).expect("an error");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
