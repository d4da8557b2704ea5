//! Standard output: tables and colour on a terminal, tab-separated lines and plain text in a pipe, JSON on request.

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

/// The number of spaces between columns.
const GAP: u16 = 2;
/// The minimum width for breaking text into lines.
const TEXT_WIDTH: usize = 16;
/// The characters of a fingerprint that a narrow terminal shows: `SHA256:` and enough to tell keys apart.
pub(crate) const SHORT_FINGERPRINT: usize = 15;

/// A column of a table of `T`: its header, and its cell for one `T`.
pub(crate) struct Column<'a, T> {
    header: &'static str,
    kind: ColumnKind,
    cell: &'a dyn Fn(&T) -> String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ColumnKind {
    /// An id for programs. It is omitted if the terminal is too narrow. Objects also have names, and `show` and
    /// `--json` print the ids.
    Id,
    /// A value to copy, such as a fingerprint. It is never broken into lines.
    Word,
    /// A fingerprint: a single word. A narrow terminal only shows its beginning.
    Fingerprint,
    /// A column that is omitted if the terminal is too narrow. The last one is omitted first.
    Minor,
    /// A text, which may be broken into lines.
    Text,
}

impl<'a, T> Column<'a, T> {
    /// Returns the column `ID`.
    pub(crate) const fn id(cell: &'a dyn Fn(&T) -> String) -> Self {
        Self { header: "ID", kind: ColumnKind::Id, cell }
    }

    /// Creates a column whose cells are never broken into lines.
    pub(crate) const fn word(header: &'static str, cell: &'a dyn Fn(&T) -> String) -> Self {
        Self { header, kind: ColumnKind::Word, cell }
    }

    /// Creates the column `FINGERPRINT`.
    pub(crate) const fn fingerprint(cell: &'a dyn Fn(&T) -> String) -> Self {
        Self { header: "FINGERPRINT", kind: ColumnKind::Fingerprint, cell }
    }

    /// Creates a column that is omitted on a narrow terminal.
    pub(crate) const fn minor(header: &'static str, cell: &'a dyn Fn(&T) -> String) -> Self {
        Self { header, kind: ColumnKind::Minor, cell }
    }

    /// Creates a column whose cells may be broken into lines.
    pub(crate) const fn text(header: &'static str, cell: &'a dyn Fn(&T) -> String) -> Self {
        Self { header, kind: ColumnKind::Text, cell }
    }
}

impl<T> Column<'_, T> {
    /// Returns the cell of `item`, in one line.
    fn text_of(&self, item: &T) -> String {
        (self.cell)(item).replace(char::is_control, " ")
    }

    /// Returns the cell of `item`. A fingerprint is shortened if `is_short` is set.
    fn shown_of(&self, item: &T, is_short: bool) -> String {
        let text = self.text_of(item);
        if !is_short || self.kind != ColumnKind::Fingerprint || text.chars().count() <= SHORT_FINGERPRINT {
            return text;
        }
        text.chars().take(SHORT_FINGERPRINT).chain(['…']).collect()
    }
}

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum ColourChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

static COLOUR: OnceLock<ColourChoice> = OnceLock::new();

/// Sets when to use colour. It is called once. Without it, colour is used on a terminal.
pub(crate) fn choose_colour(choice: ColourChoice) {
    // The program has one command line, so a second call sets the same choice.
    let _ = COLOUR.set(choice);
}

/// The parts of the output to omit.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Brevity {
    /// Print no messages: only errors, what was asked for, and the id of what was created
    #[arg(short, long, global = true, help_heading = "Global options", display_order = 1000)]
    quiet: bool,
    /// Print lists without the line with the names of the columns
    #[arg(long, global = true, help_heading = "Global options", display_order = 1000)]
    no_header: bool,
}

static BREVITY: OnceLock<Brevity> = OnceLock::new();

/// Sets the parts of the output to omit. It is called once. Without it, nothing is omitted.
pub(crate) fn choose_brevity(brevity: Brevity) {
    // The program has one command line, so a second call sets the same choice.
    let _ = BREVITY.set(brevity);
}

/// Returns whether to print no messages.
pub(crate) fn is_quiet() -> bool {
    BREVITY.get().is_some_and(|brevity| brevity.quiet)
}

fn has_header() -> bool {
    BREVITY.get().is_none_or(|brevity| !brevity.no_header)
}

/// Returns whether standard output is a terminal.
pub(crate) fn is_seen() -> bool {
    io::stdout().is_terminal()
}

/// Returns whether the user can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Writes bytes unchanged.
pub(crate) fn bytes(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Writes a message: text and a line ending. With `--quiet`, nothing is written.
pub(crate) fn line(text: impl Display) -> Outcome {
    if is_quiet() { Ok(()) } else { result(text) }
}

/// Writes that an object was created, or only its id with `--quiet`.
pub(crate) fn created(id: impl Display, message: impl Display) -> Outcome {
    if is_quiet() { result(id) } else { result(message) }
}

/// Writes a result: text and a line ending. Control characters, which may come from a server, are replaced by spaces.
/// An input that may be a secret is replaced by its description.
pub(crate) fn result(text: impl Display) -> Outcome {
    let text = clean(&text.to_string()).replace(|c: char| c.is_control() && c != '\n', " ");
    bytes(format!("{text}\n").as_bytes())
}

/// Writes a message for users to standard error, so that programs do not read it. With `--quiet`, nothing is written.
pub(crate) fn note(text: impl Display) -> Outcome {
    if is_quiet() { Ok(()) } else { tell(text) }
}

/// Writes important information to standard error, such as a warning.
pub(crate) fn tell(text: impl Display) -> Outcome {
    writeln!(io::stderr(), "{}", clean(&text.to_string())).map_err(Failure::Output)
}

/// Writes JSON in the format of the API.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?;
    bytes(format!("{text}\n").as_bytes())
}

/// Writes a header and a row for each of `items`: separated by tabs for a pipe, or no wider than the terminal.
pub(crate) fn table<T>(columns: &[Column<'_, T>], items: &[T]) -> Outcome {
    if is_seen() {
        let width = Table::new().width().map_or(usize::MAX, usize::from);
        return bytes(format!("{}\n", format_table(columns, items, width)).as_bytes());
    }
    let mut text = String::new();
    if has_header() {
        let header: Vec<_> = columns.iter().map(|column| column.header).collect();
        text = format!("{}\n", header.join("\t"));
    }
    for item in items {
        let cells: Vec<_> = columns.iter().map(|column| paint(&column.text_of(item))).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    bytes(text.as_bytes())
}

/// Returns a table that is at most `available` wide. A table that is too wide loses its ids first, then the ends of
/// fingerprints, then minor columns. If it is still too wide, texts are broken into lines.
fn format_table<T>(columns: &[Column<'_, T>], items: &[T], available: usize) -> String {
    let mut shown: Vec<&Column<'_, T>> = columns.iter().collect();
    let mut is_short = false;
    while width(&shown, items, is_short, usize::MAX) > available {
        let without_id: Vec<_> = shown.iter().copied().filter(|column| column.kind != ColumnKind::Id).collect();
        let has_fingerprint = shown.iter().any(|column| column.kind == ColumnKind::Fingerprint);
        let minor = shown.iter().rposition(|column| column.kind == ColumnKind::Minor);
        if without_id.len() < shown.len() {
            shown = without_id;
        } else if width(&shown, items, is_short, TEXT_WIDTH) <= available {
            break;
        } else if has_fingerprint && !is_short {
            is_short = true;
        } else if let Some(at) = minor {
            shown.remove(at);
        } else {
            break;
        }
    }
    let fits = width(&shown, items, is_short, TEXT_WIDTH) <= available;
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if let Ok(available) = u16::try_from(available) {
        table.set_width(available);
    }
    if has_header() {
        table.set_header(shown.iter().map(|column| {
            let cell = Cell::new(column.header);
            if is_colourful() { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
    }
    for item in items {
        table.add_row(shown.iter().map(|column| coloured(column.shown_of(item, is_short))));
    }
    for (cells, column) in table.column_iter_mut().zip(&shown) {
        cells.set_padding((0, GAP));
        if fits && column.kind != ColumnKind::Text {
            cells.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// Returns the width of a table with these columns, if texts are broken into lines of `text` characters.
fn width<T>(columns: &[&Column<'_, T>], items: &[T], is_short: bool, text: usize) -> usize {
    let of_column = |column: &&Column<'_, T>| {
        let cells = items.iter().map(|item| column.shown_of(item, is_short).chars().count());
        let header = if has_header() { column.header.chars().count() } else { 0 };
        let content = cells.chain([header]).max().unwrap_or_default();
        let content = if column.kind == ColumnKind::Text { content.min(text) } else { content };
        content + usize::from(GAP)
    };
    columns.iter().map(of_column).sum()
}

/// Writes a line that begins with a coloured word.
pub(crate) fn painted_line(word: &str, rest: &str) -> Outcome {
    let rest = rest.replace(char::is_control, " ");
    let padding = &word[word.trim_end().len()..];
    bytes(format!("{}{padding}{rest}\n", paint(word.trim_end())).as_bytes())
}

/// Writes a table, or a message if it is empty.
pub(crate) fn list<T>(columns: &[Column<'_, T>], items: &[T], empty: &str) -> Outcome {
    if items.is_empty() && is_seen() { line(empty) } else { table(columns, items) }
}

/// Writes an object, one field per line.
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

/// Returns `yes` or `no`.
pub(crate) fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

/// Returns a time: relative to now on a terminal, and exact in a pipe.
pub(crate) fn moment(at: Timestamp) -> String {
    if is_seen() { distance(at, SystemClock.now()) } else { exact(at) }
}

/// Returns an optional time, or the text for its absence.
pub(crate) fn moment_or(at: Option<Timestamp>, none: &str) -> String {
    at.map_or_else(|| none.to_owned(), moment)
}

/// Returns a time in UTC, to the second, and its distance from now.
pub(crate) fn full_moment(at: Timestamp) -> String {
    format!("{} ({})", exact(at), distance(at, SystemClock.now()))
}

/// Returns a time in UTC, to the second.
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

/// Returns a word in the colour of its meaning. The word is sufficient without the colour.
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

/// Returns whether to use colour (<https://no-color.org>).
fn is_colourful() -> bool {
    match COLOUR.get().copied().unwrap_or_default() {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => {
            is_seen() && !is_dumb() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

/// Returns whether the terminal only supports text.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}

/// Quotes a word for a shell.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Returns how this program was called, so that the user can paste a printed command.
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
    fn a_table_is_no_wider_than_the_terminal() {
        struct Row(&'static str, &'static str);
        const FINGERPRINT: &str = "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDQZ9HBhUUXzRzRwZk";
        let columns = [
            Column::text("TITLE", &|row: &Row| row.0.to_owned()),
            Column::fingerprint(&|_| FINGERPRINT.to_owned()),
            Column::word("STATE", &|row: &Row| row.1.to_owned()),
            Column::minor("CREATED", &|_| "23 minutes ago".to_owned()),
            Column::word("LAST USED", &|_| "23 minutes ago".to_owned()),
            Column::id(&|_| "key_01jz00000000000000000000000".to_owned()),
        ];
        let rows = [Row("laptop", "active"), Row("the runner that deploys to production on Fridays", "suspended")];
        for available in [20, 40, 60, 80, 100, 120, 200] {
            let table = format_table(&columns, &rows, available);
            for line in table.lines() {
                assert!(line.chars().count() <= available, "{available}:\n{table}");
            }
            assert_eq!(table.contains(FINGERPRINT), available >= 120, "{available}:\n{table}");
            assert_eq!(table.contains("key_01jz"), available == 200, "{available}:\n{table}");
        }
        let table = format_table(&columns, &rows, 80);
        assert!(table.contains("SHA256:uNiVztks…") && table.contains("LAST USED"), "{table}");
    }

    #[test]
    fn a_time_is_relative_for_people() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let told = |seconds: i64| distance(Timestamp::from_second(1_800_000_000 + seconds).expect("a time"), now);
        assert_eq!(told(-10), "now");
        assert_eq!(told(-60), "1 minute ago");
        assert_eq!(told(-2 * 3600 - 60), "2 hours ago");
        assert_eq!(told(3 * 86_400 + 60), "in 3 days");
    }
}
