//! Reads files of users, and standard input, in UTF-8 or UTF-16, with or without a byte order mark; and variables.

use std::{fs, io::Read as _, path::Path, sync::OnceLock};

use domain::{secret::shown, text_encoding::to_utf8};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// The purpose for which standard input was read. It can only be read once.
static TAKEN_FOR: OnceLock<&str> = OnceLock::new();

/// Returns the text of a variable, if it is set.
pub(crate) fn variable(name: &str) -> Outcome<Option<String>> {
    let value = std::env::var_os(name).map(std::ffi::OsString::into_string).transpose();
    value.map_err(|_| Failure::usage(format!("{name} is not UTF-8 text: set it again, or unset it")))
}

/// Reads all of standard input. `what` describes the content, such as `the password`.
pub(crate) fn read_input(what: &'static str) -> Outcome<Zeroizing<Vec<u8>>> {
    let first = *TAKEN_FOR.get_or_init(|| what);
    if first != what {
        return Err(Failure::new(format!(
            "standard input contains {first} and cannot also contain {what}: name a file for one of them"
        )));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(format!("{what} cannot be read from standard input ({error})")))?;
    Ok(bytes)
}

/// Reads all of standard input, as text.
pub(crate) fn read_text_input(what: &'static str) -> Outcome<Zeroizing<String>> {
    let bytes = read_input(what)?;
    let text = to_text(&bytes).map_err(|()| {
        Failure::new(format!("{what} on standard input is neither in UTF-8 nor in UTF-16: save it as UTF-8"))
    })?;
    Ok(Zeroizing::new(text))
}

/// Reads a file, or standard input for the name `-`. Also returns the source for messages.
pub(crate) fn read_bytes(file: &Path, what: &'static str) -> Outcome<(Zeroizing<Vec<u8>>, String)> {
    if file == Path::new("-") {
        return Ok((read_input(what)?, "standard input".to_owned()));
    }
    let place = shown(&file.to_string_lossy()).to_string();
    let bytes = fs::read(file)
        .map_err(|error| Failure::new(format!("{place} cannot be read ({error}): name the file with {what}")))?;
    Ok((Zeroizing::new(bytes), place))
}

/// Decodes the text of a file.
pub(crate) fn to_text(bytes: &[u8]) -> Result<String, ()> {
    String::from_utf8(to_utf8(bytes).into_owned()).map_err(drop)
}
