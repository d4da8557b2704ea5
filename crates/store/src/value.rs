//! Statements and the values for their placeholders: five types (text, i64, bool, bytes, null), the same on every engine.

use std::borrow::Cow;

use domain::{
    PrincipalId, Timestamp,
    id::{Id, Kind},
};

/// The text of a statement. It consists of text from the code only, and never of a value from a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement(Cow<'static, str>);

impl From<&'static str> for Statement {
    fn from(sql: &'static str) -> Self {
        Self(Cow::Borrowed(sql))
    }
}

impl Statement {
    /// Joins the parts with spaces.
    pub(crate) fn concat(parts: &[&'static str]) -> Self {
        Self(Cow::Owned(parts.join(" ")))
    }

    /// A statement that a [`Table`](crate::table::Table) built from its columns and from text in the code.
    pub(crate) fn built(sql: String) -> Self {
        Self(Cow::Owned(sql))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_text(self) -> Cow<'static, str> {
        self.0
    }
}

/// A value for a `$n` placeholder of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// TEXT.
    Text(Option<Cow<'a, str>>),
    /// BIGINT.
    I64(Option<i64>),
    /// BOOLEAN.
    Bool(Option<bool>),
    /// BYTEA.
    Bytes(Option<Cow<'a, [u8]>>),
}

impl Value<'_> {
    /// Returns a copy that borrows nothing.
    pub(crate) fn to_static(&self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(text.as_ref().map(|text| Cow::Owned(text.clone().into_owned()))),
            Self::I64(number) => Value::I64(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Bytes(bytes) => Value::Bytes(bytes.as_ref().map(|bytes| Cow::Owned(bytes.clone().into_owned()))),
        }
    }
}

/// The values for the placeholders of a statement, in order: `params![id, now, None::<&str>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::Value::from($value)),*] as &[$crate::Value<'_>]
    };
}

macro_rules! values {
    ($([$($generics:tt)*] $from:ty => $variant:ident, $value:ident, $into:expr;)*) => {$(
        impl<'a, $($generics)*> From<$from> for Value<'a> {
            fn from($value: $from) -> Self {
                Self::$variant(Some($into))
            }
        }

        impl<'a, $($generics)*> From<Option<$from>> for Value<'a> {
            fn from(value: Option<$from>) -> Self {
                value.map_or(Self::$variant(None), Self::from)
            }
        }
    )*};
}

values! {
    [] &'a str => Text, text, Cow::Borrowed(text);
    [] &'a String => Text, text, Cow::Borrowed(text.as_str());
    [] String => Text, text, Cow::Owned(text);
    [] Cow<'a, str> => Text, text, text;
    [] i64 => I64, number, number;
    [] bool => Bool, truth, truth;
    [] &'a [u8] => Bytes, bytes, Cow::Borrowed(bytes);
    [] &'a Vec<u8> => Bytes, bytes, Cow::Borrowed(bytes.as_slice());
    [] Cow<'a, [u8]> => Bytes, bytes, bytes;
    [] Vec<u8> => Bytes, bytes, Cow::Owned(bytes);
    [const N: usize] &'a [u8; N] => Bytes, bytes, Cow::Borrowed(bytes.as_slice());
    [const N: usize] [u8; N] => Bytes, bytes, Cow::Owned(bytes.to_vec());
    // Microseconds since 1970: both engines store them without loss and sort them.
    [] Timestamp => I64, time, time.as_microsecond();
    [K: Kind] Id<K> => Text, id, Cow::Owned(id.to_string());
    [K: Kind] &'a Id<K> => Text, id, Cow::Owned(id.to_string());
    [] PrincipalId => Text, id, Cow::Owned(id.to_string());
    [] &'a PrincipalId => Text, id, Cow::Owned(id.to_string());
}
