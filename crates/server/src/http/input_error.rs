//! Errors in a JSON body, a query or the ids in a path, in the terms of the API: the field and its JSON type. They
//! contain neither Rust types nor the values in the request.

use axum::extract::path::ErrorKind;
use domain::secret::parser_message;
use serde::de::DeserializeOwned;

use crate::AppError;

/// Parses a JSON object.
///
/// # Errors
/// The body is not JSON, is not an object, or a field is invalid. The error contains the name of the field.
pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, AppError> {
    // An array would be parsed as the fields in their order.
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(AppError::BadRequest("The body is empty. Send a JSON object.".to_owned())),
        Some(b'{') => {}
        Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            return Err(AppError::BadRequest(
                "The body is not a JSON object. Send the fields as {\"name\": value}.".to_owned(),
            ));
        }
        Some(_) => return Err(AppError::BadRequest("The body is not JSON.".to_owned())),
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        // serde_json reports a number instead of a word as a syntax error.
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
        if is_json && !error.inner().is_data() && path != "." {
            return AppError::field(&parser_message(&path), "wrong_type", "it does not have the required type");
        }
        invalid_json(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| invalid_json(".", &error))?;
    Ok(value)
}

fn invalid_json(path: &str, error: &serde_json::Error) -> AppError {
    if error.is_data() {
        invalid_field("body", path, &error.to_string())
    } else {
        // The error contains the position only, because the text may be a secret.
        let (line, column) = (error.line(), error.column());
        AppError::BadRequest(format!("The body is not valid JSON: see line {line}, column {column}."))
    }
}

/// Parses a query.
///
/// # Errors
/// A parameter is unknown, occurs twice or is invalid. The error contains its name.
pub(super) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, AppError> {
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(deserializer)
        .map_err(|error| invalid_field("query", &error.path().to_string(), &error.inner().to_string()))
}

/// Creates the error for invalid ids in a path.
pub(super) fn invalid_path(kind: &ErrorKind) -> AppError {
    match kind {
        ErrorKind::ParseErrorAtKey { key, .. } => AppError::field(key, "malformed", "it is not of the right form"),
        ErrorKind::DeserializeError { key, message, .. } => invalid_field("path", key, message),
        ErrorKind::InvalidUtf8InPathParam { key } => AppError::field(key, "malformed", "it is not UTF-8"),
        ErrorKind::Message(message) => AppError::BadRequest(format!("The path is invalid: {}.", explain(message).1)),
        _ => AppError::BadRequest("The path is invalid.".to_owned()),
    }
}

/// Creates the error for one field. `part` is the part of the request, `path` the field in it, and `message` is from
/// serde.
fn invalid_field(part: &str, path: &str, message: &str) -> AppError {
    let (code, detail) = explain(message);
    let named = quoted(message, "missing field `").or_else(|| quoted(message, "duplicate field `"));
    let field = match (path, named) {
        ("." | "?", None) => return AppError::BadRequest(format!("The {part} is invalid: {detail}.")),
        ("." | "?", Some(name)) => name.to_owned(),
        (path, Some(name)) if path.rsplit('.').next() != Some(name) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    };
    AppError::field(&parser_message(&field), code, detail)
}

/// Returns the code of an invalid field and how to correct it, from a message of serde.
fn explain(message: &str) -> (&'static str, String) {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    if message.starts_with("missing field") {
        return ("missing", "it is required".to_owned());
    }
    if message.starts_with("duplicate field") {
        return ("duplicate", "it occurs more than once".to_owned());
    }
    if message.starts_with("unknown field") {
        return ("unknown", known(message, "there is no such field"));
    }
    if message.starts_with("unknown variant") {
        return ("unknown_value", known(message, "this is not one of the values"));
    }
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    if let (true, Some(expected)) = (message.starts_with("invalid "), expected) {
        return ("wrong_type", format!("{} is required", json_type(expected)));
    }
    match message {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            ("wrong_type", "a whole number is required".to_owned())
        }
        "number too large to fit in target type" | "number too small to fit in target type" => {
            ("out_of_range", "the number is out of range".to_owned())
        }
        "provided string was not `true` or `false`" => ("wrong_type", "true or false is required".to_owned()),
        _ => ("malformed", parser_message(message)),
    }
}

/// Returns the JSON type that serde expected.
fn json_type(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        "a string" | "a borrowed string" => "a string",
        _ if expected.starts_with("struct ") => "an object",
        _ if expected.contains("Timestamp") || expected.contains("timestamp") => {
            "a date and time such as \"2030-01-31T12:00:00Z\""
        }
        _ if expected.starts_with("string or map") || expected.contains("enum ") => "a string",
        _ => expected,
    }
}

/// Returns the names that serde lists at the end, after `beginning`.
fn known(message: &str, beginning: &str) -> String {
    let list = message.rsplit_once(", expected ").map(|(_, list)| list.strip_prefix("one of ").unwrap_or(list));
    list.map_or_else(
        || beginning.to_owned(),
        |list| format!("{beginning}; known: {}", list.replace("` or `", ", ").replace('`', "")),
    )
}

fn quoted<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    message.split_once(before)?.1.split('`').next()
}

#[cfg(test)]
mod tests {
    use domain::{Timestamp, UserId, role::Role};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Example {
        title: String,
        count: Option<u32>,
        flag: Option<bool>,
        role: Option<Role>,
        owner: Option<UserId>,
        at: Option<Timestamp>,
        emails: Option<Vec<String>>,
    }

    fn field_of(body: &str) -> (String, String, String) {
        match parse_json::<Example>(body.as_bytes()).unwrap_err() {
            AppError::Invalid(mut errors) => {
                let error = errors.remove(0);
                (error.field, error.code, error.detail)
            }
            other => (String::new(), String::new(), format!("{other:?}")),
        }
    }

    #[test]
    fn an_invalid_field_is_named_with_what_it_needs() {
        for (body, field, code, detail) in [
            ("{}", "title", "missing", "it is required"),
            (r#"{"title": 1}"#, "title", "wrong_type", "a string is required"),
            (r#"{"title": null}"#, "title", "wrong_type", "a string is required"),
            (r#"{"title": "a", "title": "b"}"#, "title", "duplicate", "it occurs more than once"),
            (r#"{"title": "a", "count": "5"}"#, "count", "wrong_type", "a whole number of at least 0 is required"),
            (r#"{"title": "a", "count": -1}"#, "count", "wrong_type", "a whole number of at least 0 is required"),
            (
                r#"{"title": "a", "count": 4294967296}"#,
                "count",
                "wrong_type",
                "a whole number of at least 0 is required",
            ),
            (r#"{"title": "a", "flag": "yes"}"#, "flag", "wrong_type", "true or false is required"),
            (
                r#"{"title": "a", "role": "boss"}"#,
                "role",
                "unknown_value",
                "this is not one of the values; known: member, admin",
            ),
            (r#"{"title": "a", "role": 3}"#, "role", "wrong_type", "it does not have the required type"),
            (r#"{"title": "a", "emails": "a@x.org"}"#, "emails", "wrong_type", "an array is required"),
            (r#"{"title": "a", "emails": ["a", 2]}"#, "emails[1]", "wrong_type", "a string is required"),
        ] {
            let found = field_of(body);
            assert_eq!((found.0.as_str(), found.1.as_str(), found.2.as_str()), (field, code, detail), "{body}");
        }
        let (field, code, detail) = field_of(r#"{"title": "a", "titel": "b"}"#);
        assert_eq!((field.as_str(), code.as_str()), ("titel", "unknown"));
        assert!(detail.ends_with("known: title, count, flag, role, owner, at, emails"), "{detail}");
    }

    #[test]
    fn no_rust_type_is_named() {
        for body in [
            r#"{"title": "a", "owner": 5}"#,
            r#"{"title": "a", "owner": "ws_x"}"#,
            r#"{"title": "a", "at": 5}"#,
            r#"{"title": "a", "at": "tomorrow"}"#,
            r#"{"title": "a", "role": {}}"#,
            r#"{"title": {}}"#,
            "[]",
            r#""text""#,
            "",
            "{",
            r#"{"title": "a"} x"#,
        ] {
            let (_, _, detail) = field_of(body);
            for word in ["struct", "enum", "u32", "i64", "Timestamp", "Id<", "Example", "::", "jiff"] {
                assert!(!detail.contains(word), "{body}: {detail}");
            }
        }
    }
}
