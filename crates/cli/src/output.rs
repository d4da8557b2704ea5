//! What goes to standard output: tables and colour where a person looks, tab-separated lines and plain text where a pipe
//! reads, JSON where it is asked for.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    sync::OnceLock,
};

use client::{Clock as _, SystemClock};
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets::NOTHING};
use domain::Timestamp;
use serde::Serialize;

use crate::{
    failure::{Failure, Outcome},
    message::clean,
};

/// Blanks between columns.
const GAP: u16 = 2;
/// Columns that may be broken into lines. What is copied from the others, such as a fingerprint, stays in one piece.
const PROSE: [&str; 4] = ["TITLE", "NAME", "DESCRIPTION", "DETAIL"];
/// With less, prose is not worth breaking.
const PROSE_WIDTH: usize = 20;

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum ColourChoice {
    /// Where a person looks, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also in a pipe
    Always,
    /// Nowhere
    Never,
}

static COLOUR: OnceLock<ColourChoice> = OnceLock::new();

/// Sets once when to colour; without it, a person who looks decides.
pub(crate) fn choose_colour(choice: ColourChoice) {
    // The program has one command line; whoever sets it again means the same.
    let _ = COLOUR.set(choice);
}

/// Whether a person looks at standard output.
pub(crate) fn is_seen() -> bool {
    io::stdout().is_terminal()
}

/// Whether a person can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Writes text and a line end. Control characters, which may come from a server, become blanks; what was given and may be a
/// secret is described.
pub(crate) fn line(text: impl Display) -> Outcome {
    let text = clean(&text.to_string()).replace(|c: char| c.is_control() && c != '\n', " ");
    bytes(format!("{text}\n").as_bytes())
}

/// Writes a line for people to standard error, where it is in no program's way.
pub(crate) fn note(text: impl Display) -> Outcome {
    writeln!(io::stderr(), "{}", clean(&text.to_string())).map_err(Failure::Output)
}

/// Writes what goes over the wire.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?;
    bytes(format!("{text}\n").as_bytes())
}

/// Writes columns under a header: for a pipe separated by tabs, for a person as wide as the terminal. Where that is too
/// narrow, ids give way: things have names, `show` and `--json` have the rest.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> Outcome {
    let clean = |cell: &String| cell.replace(char::is_control, " ");
    if !is_seen() {
        let mut text = format!("{}\n", header.join("\t"));
        for row in rows {
            text.push_str(&row.each_ref().map(|cell| paint(&clean(cell))).join("\t"));
            text.push('\n');
        }
        return bytes(text.as_bytes());
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.map(|name| {
        let cell = Cell::new(name);
        if is_colourful() { cell.add_attribute(Attribute::Bold) } else { cell }
    }));
    for row in rows {
        table.add_row(row.each_ref().map(|cell| coloured(clean(cell))));
    }
    let widths = table.column_max_content_widths();
    let visible_width = |is_counted: &dyn Fn(&str) -> bool| -> usize {
        let counted = header.iter().zip(&widths).filter(|(name, _)| is_counted(name));
        counted.map(|(_, width)| usize::from(width + GAP)).sum()
    };
    let room = table.width().map_or(usize::MAX, usize::from);
    let is_narrow = visible_width(&|_| true) > room;
    let prose = header.iter().filter(|name| PROSE.contains(name)).count();
    if is_narrow && visible_width(&|name| name != "ID" && !PROSE.contains(&name)) + prose * PROSE_WIDTH > room {
        // A line a row, which the terminal breaks as it likes, reads better than columns of single letters.
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, GAP));
        if is_narrow && name == "ID" {
            column.set_constraint(ColumnConstraint::Hidden);
        } else if !PROSE.contains(&name) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    bytes(format!("{}\n", table.trim_fmt()).as_bytes())
}

/// Writes a line that begins with a word in the colour of what it means.
pub(crate) fn painted_line(word: &str, rest: &str) -> Outcome {
    let rest = rest.replace(char::is_control, " ");
    let padding = &word[word.trim_end().len()..];
    bytes(format!("{}{padding}{rest}\n", paint(word.trim_end())).as_bytes())
}

/// Writes a table, or what to do while there is nothing to show.
pub(crate) fn list<const N: usize>(header: [&str; N], rows: &[[String; N]], empty: &str) -> Outcome {
    if rows.is_empty() && is_seen() { line(empty) } else { table(header, rows) }
}

/// Writes one thing, a line a field.
pub(crate) fn fields(fields: &[(&str, String)]) -> Outcome {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let (dim, plain) = if is_colourful() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    let mut text = String::new();
    for (name, value) in fields {
        let value = paint(&value.replace(char::is_control, " "));
        text.push_str(format!("{dim}{name:width$}{plain}  {value}").trim_end());
        text.push('\n');
    }
    bytes(text.as_bytes())
}

/// A moment: for a person how long ago or ahead, for a pipe exactly.
pub(crate) fn moment(at: Timestamp) -> String {
    if is_seen() { distance(at, SystemClock.now()) } else { exact(at) }
}

/// A moment that may not have come, and what to say then.
pub(crate) fn moment_or(at: Option<Timestamp>, none: &str) -> String {
    at.map_or_else(|| none.to_owned(), moment)
}

/// A moment in UTC, to the second, and how far away it is.
pub(crate) fn full_moment(at: Timestamp) -> String {
    format!("{} ({})", exact(at), distance(at, SystemClock.now()))
}

/// A moment in UTC, to the second.
pub(crate) fn exact(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn distance(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let (number, unit) = match seconds.unsigned_abs() {
        0..45 => return "now".to_owned(),
        distance @ 45..3600 => (distance.div_ceil(60), "minute"),
        distance @ 3600..86_400 => (distance / 3600, "hour"),
        distance => (distance / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    if seconds < 0 { format!("{number} {unit}{plural} ago") } else { format!("in {number} {unit}{plural}") }
}

/// A word in the colour of what it means. The word alone says as much.
fn paint(word: &str) -> String {
    let colour = match colour_of(word) {
        _ if !is_colourful() => None,
        Some(Color::Green) => Some("32"),
        Some(Color::Yellow) => Some("33"),
        Some(Color::Red) => Some("31"),
        _ => None,
    };
    colour.map_or_else(|| word.to_owned(), |colour| format!("\x1b[{colour}m{word}\x1b[0m"))
}

fn coloured(word: String) -> Cell {
    let colour = colour_of(&word);
    match colour {
        Some(colour) if is_colourful() => Cell::new_owned(word).fg(colour),
        _ => Cell::new_owned(word),
    }
}

fn colour_of(word: &str) -> Option<Color> {
    match word {
        "active" | "accepted" | "ok" => Some(Color::Green),
        "disabled" | "suspended" | "expired" | "pending" | "warn" => Some(Color::Yellow),
        "revoked" | "fail" => Some(Color::Red),
        _ => None,
    }
}

/// Whether to colour (<https://no-color.org>).
fn is_colourful() -> bool {
    match COLOUR.get().copied().unwrap_or_default() {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => is_seen() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
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
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(shell_word("./keyward-data/demo-bot.key"), "./keyward-data/demo-bot.key");
        assert_eq!(shell_word("my data/it's"), r"'my data/it'\''s'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn a_moment_is_told_as_people_do() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let told = |seconds: i64| distance(Timestamp::from_second(1_800_000_000 + seconds).expect("a time"), now);
        assert_eq!(told(-10), "now");
        assert_eq!(told(-60), "1 minute ago");
        assert_eq!(told(-2 * 3600 - 60), "2 hours ago");
        assert_eq!(told(3 * 86_400 + 60), "in 3 days");
    }
}
