//! Spaces and invisible characters that are copied with a key from a page, a chat or a word processor. They are ignored
//! outside comments.

use super::error::PublicKeyError;

/// Returns whether a character separates words. This includes characters without width.
pub(super) fn is_blank(c: char) -> bool {
    is_invisible(c) || c.is_whitespace() && !is_line_end(c)
}

/// Returns whether a character has no width and does not change the direction of text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Removes invisible characters, and replaces every other blank character with a space.
pub(super) fn to_plain(text: &str) -> String {
    let plain = |c| if is_blank(c) { ' ' } else { c };
    text.chars().filter(|&c| !is_invisible(c)).map(plain).collect()
}

/// Returns the first word of a line, and the rest of the line.
pub(super) fn split_word(line: &str) -> (String, &str) {
    let ends_word = |c| is_blank(c) && !is_invisible(c);
    let line = line.trim_start_matches(is_blank);
    let (word, rest) = line.split_at(line.find(ends_word).unwrap_or(line.len()));
    (word.chars().filter(|&c| !is_invisible(c)).collect(), rest.trim_start_matches(is_blank))
}

/// Returns a comment as it is displayed. Invisible characters may be part of words and emoji.
pub(super) fn to_comment(text: &str) -> String {
    text.trim_matches(is_blank).replace('\t', " ").replace(['\u{200b}', '\u{2060}', '\u{feff}'], "")
}

/// Refuses control characters other than tabs and line endings, and characters that change the direction of text. They
/// would make a comment look different from its content.
pub(super) fn check_characters(text: &str) -> Result<(), PublicKeyError> {
    let is_harmful = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for (line, content) in text.split('\n').enumerate() {
        if let Some((column, character)) = content.chars().enumerate().find(|&(_, c)| is_harmful(c)) {
            return Err(PublicKeyError::ControlCharacter { character, line: line + 1, column: column + 1 });
        }
    }
    Ok(())
}
