//! The details of audit events: one list of fields for each kind of object, so that the events of its creation, its
//! changes and its deletion have the same fields.

use std::collections::BTreeMap;

/// The named values of an audit event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Detail(BTreeMap<String, String>);

/// A kind of object whose fields are in its audit events.
pub(super) trait Audited {
    /// Returns the fields by name, always the same ones in the same order. An implementation destructures the type, so
    /// that a new field does not compile until it is handled. Secrets are never included.
    fn fields(&self) -> Vec<(&'static str, String)>;
}

impl Detail {
    /// Returns the fields of an object, without empty ones.
    pub(super) fn of(object: &impl Audited) -> Self {
        let fields = object.fields().into_iter().filter(|(_, value)| !value.is_empty());
        Self(fields.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Returns the fields of an object after a change, and the previous value of each changed field as `NAME_before`.
    pub(super) fn of_change<T: Audited>(before: &T, after: &T) -> Self {
        let mut detail = Self::of(after);
        for ((name, before), (_, after)) in before.fields().into_iter().zip(after.fields()) {
            if before != after {
                detail = detail.with(name, after).with(&format!("{name}_before"), before);
            }
        }
        detail
    }

    /// Adds a value, or replaces the value with the same name.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn into_values(self) -> BTreeMap<String, String> {
        self.0
    }
}

impl<N: AsRef<str>, V: AsRef<str>, const LENGTH: usize> From<&[(N, V); LENGTH]> for Detail {
    fn from(values: &[(N, V); LENGTH]) -> Self {
        Self(values.iter().map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample {
        title: &'static str,
        text: &'static str,
    }

    impl Audited for Sample {
        fn fields(&self) -> Vec<(&'static str, String)> {
            let Self { title, text } = self;
            vec![("title", (*title).to_owned()), ("text", (*text).to_owned())]
        }
    }

    #[test]
    fn a_change_has_the_new_fields_and_the_previous_values_that_differ() {
        let before = Sample { title: "Cats", text: "of 2026" };
        assert_eq!(Detail::of(&before), Detail::from(&[("title", "Cats"), ("text", "of 2026")]));
        let after = Sample { text: "", ..before };
        assert_eq!(Detail::of(&after), Detail::from(&[("title", "Cats")]));
        let expected = Detail::from(&[("title", "Cats"), ("text", ""), ("text_before", "of 2026")]);
        assert_eq!(Detail::of_change(&before, &after), expected);
        let expected = Detail::from(&[("title", "Cats"), ("text", "of 2026"), ("text_before", "")]);
        assert_eq!(Detail::of_change(&after, &before), expected);
    }
}
