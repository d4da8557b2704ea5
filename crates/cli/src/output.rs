//! What goes to standard output: lines and tables for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Writes text and a line end. Control characters, which may come from a server, become blanks.
pub(crate) fn line(text: impl Display) -> Outcome {
    let text = text.to_string().replace(|c: char| c.is_control() && c != '\n', " ");
    bytes(format!("{text}\n").as_bytes())
}

/// Writes what goes over the wire.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?;
    bytes(format!("{text}\n").as_bytes())
}

/// Writes columns under a header. Nothing but the header is coloured, and that only where a person looks.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> Outcome {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| cell.replace(char::is_control, " "))).collect();
    let mut widths = header.map(|name| name.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let format = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        padded.join("  ").trim_end().to_owned()
    };
    let (bold, plain) = if is_colourful() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut text = format!("{bold}{}{plain}\n", format(header));
    for row in &rows {
        text.push_str(&format(row.each_ref().map(String::as_str)));
        text.push('\n');
    }
    bytes(text.as_bytes())
}

/// Whether a person looks, and wants colour (<https://no-color.org>).
fn is_colourful() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A word as a shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How this program was called, so that a line that is printed works when it is pasted.
pub(crate) fn program() -> String {
    let called = std::env::args().next().filter(|name| name.contains('/'));
    shell_word(called.as_deref().unwrap_or("keyward"))
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(shell_word("./keyward-data/demo-bot.key"), "./keyward-data/demo-bot.key");
        assert_eq!(shell_word("my data/it's"), r"'my data/it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
