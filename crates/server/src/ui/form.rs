//! Forms in the format of browsers (`application/x-www-form-urlencoded`), with small limits. Each form is parsed once.

use domain::{Timestamp, secret::parser_message};
use http::{HeaderMap, header};
use serde::{
    Deserializer,
    de::{DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};

use crate::AppError;

/// The maximum number of fields of a form: a page of a list with a checkbox in each row, and some other fields.
const MAX_FIELDS: usize = 256;

/// The submitted fields of a form.
pub(super) type Fields = Vec<(String, String)>;

/// Parses a form. The number of fields is checked before they take memory.
pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Fields, AppError> {
    let essence = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !body.is_empty() {
        return Err(AppError::BadRequest(
            "The form cannot be read: its type is not application/x-www-form-urlencoded.".to_owned(),
        ));
    }
    let count = body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).count();
    if count > MAX_FIELDS {
        return Err(AppError::BadRequest(format!("The form cannot be read: it has more than {MAX_FIELDS} fields.")));
    }
    Ok(form_urlencoded::parse(body).into_owned().collect())
}

/// Extracts the expected fields from the submitted ones.
pub(super) fn deserialize<T: DeserializeOwned>(fields: &Fields) -> Result<T, AppError> {
    let pairs = fields.iter().map(|(name, value)| (name.as_str(), Value(value)));
    T::deserialize(MapDeserializer::<_, serde::de::value::Error>::new(pairs)).map_err(|error| {
        let why = parser_message(&error.to_string());
        AppError::BadRequest(format!("The form cannot be read: {why}."))
    })
}

/// Returns the end of a day, from the value of a date field.
pub(super) fn end_of_day(field: &str, date: &str) -> Result<Option<Timestamp>, AppError> {
    time_of_day(field, date, "23:59:59")
}

/// Returns the start of a day, from the value of a date field.
pub(super) fn start_of_day(field: &str, date: &str) -> Result<Option<Timestamp>, AppError> {
    time_of_day(field, date, "00:00:00")
}

fn time_of_day(field: &str, date: &str, time: &str) -> Result<Option<Timestamp>, AppError> {
    if date.is_empty() {
        return Ok(None);
    }
    let malformed = |_| AppError::field(field, "malformed", "enter a date such as 2027-01-31");
    format!("{date}T{time}Z").parse().map(Some).map_err(malformed)
}

/// The value of a field.
#[derive(Clone, Copy)]
struct Value<'a>(&'a str);

impl IntoDeserializer<'_> for Value<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_str(self.0),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    parsed! {
        deserialize_bool => visit_bool,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_i64 => visit_i64,
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(body: &str) -> Result<Fields, AppError> {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        parse(&HeaderMap::from_iter([(header::CONTENT_TYPE, form)]), body.as_bytes())
    }

    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct Sent {
        title: String,
        limit: u32,
        disabled: Option<bool>,
        role: Option<domain::role::Role>,
        #[serde(default)]
        expires: String,
    }

    #[test]
    fn fields_are_converted_to_the_form_of_a_page() {
        let fields = read("title=a+b%C3%A4&limit=7&disabled=true&role=admin&csrf=x").unwrap();
        let sent: Sent = deserialize(&fields).unwrap();
        let role = Some(domain::role::Role::Admin);
        let expected = Sent { title: "a b\u{e4}".into(), limit: 7, disabled: Some(true), role, expires: String::new() };
        assert_eq!(sent, expected);
        for bad in ["limit=7", "title=a&limit=-1", "title=a&limit=7&limit=8", "title=a&limit=7&role=owner"] {
            assert!(matches!(deserialize::<Sent>(&read(bad).unwrap()), Err(AppError::BadRequest(_))), "{bad}");
        }
    }

    #[test]
    fn a_form_has_a_bounded_number_of_fields() {
        assert_eq!(read(&"a&".repeat(MAX_FIELDS)).unwrap().len(), MAX_FIELDS);
        assert!(read(&"a&".repeat(MAX_FIELDS + 1)).is_err());
        assert!(read(&"&".repeat(10_000)).unwrap().is_empty());
    }

    #[test]
    fn invalid_forms_are_refused() {
        assert!(parse(&HeaderMap::new(), b"a=b").is_err());
        assert!(parse(&HeaderMap::new(), b"").unwrap().is_empty());
    }
}
