//! Files of comma-separated values (RFC 4180), for spreadsheets.

use axum::response::{IntoResponse, Response};
use http::header;

/// The maximum number of rows in one file. A filter reduces the number.
pub(super) const MAX_ROWS: usize = 20_000;

/// A file that is being written, row by row.
pub(super) struct Csv(String);

impl Csv {
    /// Begins a file with the names of its columns.
    pub(super) fn new(columns: &[&str]) -> Self {
        let mut csv = Self(String::new());
        csv.row(columns.iter().copied());
        csv
    }

    /// Adds a row.
    pub(super) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        for (at, cell) in cells.into_iter().enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            self.0.push_str(&quote(cell.as_ref()));
        }
        self.0.push_str("\r\n");
    }

    /// Returns the response that downloads the file under this name.
    pub(super) fn into_file(self, name: &str) -> Response {
        file("text/csv; charset=utf-8", name, self.0)
    }
}

/// Returns the response that downloads a text as a file.
pub(super) fn file(content_type: &'static str, name: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)], text)
        .into_response()
}

/// Returns a cell that a spreadsheet interprets as text and not as a formula.
fn quote(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_no_formula_in_a_spreadsheet() {
        for (text, cell) in [
            ("=1+1", "\"'=1+1\""),
            ("+49", "\"'+49\""),
            ("-cmd", "\"'-cmd\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("say \"hi\", all", "\"say \"\"hi\"\", all\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(quote(text), cell);
        }
    }

    #[test]
    fn rows_end_as_the_standard_says() {
        let mut csv = Csv::new(&["name", "email"]);
        csv.row(["Ada", "ada@example.com"]);
        assert_eq!(csv.0, "\"name\",\"email\"\r\n\"Ada\",\"ada@example.com\"\r\n");
    }
}
