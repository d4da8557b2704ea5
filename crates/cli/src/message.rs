//! The filter for every message, log line and report. It removes secrets that were given on the command line or in a
//! variable, for all parts of the program.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
    sync::OnceLock,
};

use domain::secret::{Secret, describe, recognise, redact};

/// The replacement for a part of a secret.
const HIDDEN: &str = "[hidden]";
/// The minimum length of a part of a secret that is not found in a message by chance.
const MIN_PART: usize = 16;
/// A password of this length or less occurs in many words.
const MIN_PASSWORD: usize = 3;
/// Variables whose values may occur in a message.
const VARIABLES: [&str; 2] = ["KEYWARD_", "SSH_AUTH_SOCK"];

/// Inputs of this process that no message may contain: values with their descriptions, and parts of secrets.
#[derive(Default)]
pub(crate) struct Withheld {
    values: Vec<(String, String)>,
    /// In lower case, because hosts in URLs are in lower case.
    parts: Vec<String>,
}

static WITHHELD: OnceLock<Withheld> = OnceLock::new();

/// Records the inputs on the command line and in variables that no message may contain. Called once, before anything
/// else.
pub(crate) fn withhold_inputs() {
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let is_ours = |name: &OsStr| VARIABLES.iter().any(|start| name.to_string_lossy().starts_with(start));
    let variables = env::vars_os().filter(|(name, _)| is_ours(name)).map(|(_, value)| text(value));
    // A second call would have the same inputs, so its result is ignored.
    let _ = WITHHELD.set(Withheld::of(&env::args_os().skip(1).map(text).collect::<Vec<_>>(), variables));
}

impl Withheld {
    /// Collects them from the arguments and the values of variables.
    pub(crate) fn of(words: &[String], variables: impl Iterator<Item = String>) -> Self {
        let mut withheld = Self::default();
        let mut is_after_password = false;
        for word in words {
            withheld.add(word);
            let assigned = word.split_once('=');
            if let Some((before, value)) = assigned {
                withheld.add(before);
                withheld.add(value);
            }
            // In `--data @FILE`, the name of the file follows the sign.
            if let Some(file) = word.strip_prefix('@') {
                withheld.add(file);
            }
            if let Some(attached) = word.get(2..).filter(|_| word.starts_with('-') && !word.starts_with("--")) {
                withheld.add(attached);
            }
            // Passwords are read from standard input. A password on the command line is refused without printing it.
            match assigned.filter(|(name, _)| name.starts_with("--password")) {
                Some((_, password)) => withheld.add_password(password),
                None if is_after_password && !word.starts_with('-') => withheld.add_password(word),
                None => {}
            }
            is_after_password = word.starts_with("--password");
        }
        for value in variables {
            withheld.add(&value);
        }
        // The longest first, so that a value that contains another one is removed completely.
        withheld.values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        withheld
    }

    fn add(&mut self, value: &str) {
        for value in [value, value.trim()].into_iter().filter(|value| value.trim().len() > MIN_PASSWORD) {
            if let Some(description) = describe(value) {
                self.values.push((value.to_owned(), description));
            }
        }
        match recognise(value) {
            Some(Secret::Password) => {
                let userinfo = value.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
                let password =
                    userinfo.and_then(|(userinfo, _)| userinfo.split_once(':')).map(|(_, password)| password);
                self.parts.extend(password.filter(|text| text.len() > MIN_PASSWORD).map(str::to_ascii_lowercase));
            }
            Some(_) => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || "+/_=-".contains(c);
                let runs = value.split(|c| !is_part(c)).filter(|run| run.len() >= MIN_PART);
                self.parts.extend(runs.map(str::to_ascii_lowercase));
            }
            None => {}
        }
    }

    fn add_password(&mut self, password: &str) {
        if password.len() > MIN_PASSWORD {
            let described = format!("a value of {} characters", password.chars().count());
            self.values.push((password.to_owned(), described));
        }
    }

    /// Returns a message without the withheld inputs.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, description) in &self.values {
            for marked in [format!("`{value}`"), value.clone()] {
                if text.contains(&marked) {
                    text = text.replace(&marked, description);
                }
            }
        }
        for part in &self.parts {
            // Lower case of ASCII has the same length, and so the same positions.
            let lower = text.to_ascii_lowercase();
            for (at, _) in lower.rmatch_indices(part) {
                text.replace_range(at..at + part.len(), HIDDEN);
            }
        }
        redact(&text).into_owned()
    }
}

/// Returns a message without secrets. An input that may be a secret is replaced by its description.
pub(crate) fn clean(text: &str) -> String {
    match WITHHELD.get() {
        Some(withheld) => withheld.clean(text),
        None => redact(text).into_owned(),
    }
}

/// Makes panics print their position, and their message without secrets.
pub(crate) fn clean_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let payload = panic.payload();
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        let told = clean(&format!("this is a bug in keyward, please report it: a panic at {place}: {message}"));
        // If standard error is closed, the message cannot be shown.
        let _ = writeln!(io::stderr(), "{told}");
    }));
}

/// Standard error for the log, with cleaned lines.
pub(crate) struct CleanStderr;

impl Write for CleanStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(clean(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
