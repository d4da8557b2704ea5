//! Sentences about the limits of keys.

use domain::limits::{KeyLimits, Limits};
use store::name::Named;

use super::sentence::{Reader, Sentence, Severity, Teller};
use crate::ui::key_limits::summarise_event;

impl Reader<'_> {
    /// Returns recorded limits in a few words, or nothing if there are none. Projects and workspaces are named to readers
    /// in their workspace.
    pub(in crate::ui) fn show_limits(self, recorded: &str) -> String {
        let name_of = |id: &str| match self.names.get(id) {
            Some(Named::Project { workspace, title }) => {
                self.place.filter(|place| place.id == *workspace).map(|_| title.clone())
            }
            _ => None,
        };
        summarise_event(recorded, name_of)
    }
}

impl Teller<'_> {
    /// Tells of a key whose limits were changed.
    pub(super) fn changed_limits(&self) -> Sentence {
        let (before, after) = (self.detail("limits_before"), self.detail("limits"));
        let (was, is) = (self.reader.show_limits(before), self.reader.show_limits(after));
        let severity = if is_wider(before, after) { Severity::Notable } else { Severity::Changed };
        match (was.is_empty(), is.is_empty()) {
            (true, _) => self.about_key("Key limited", severity, " limited the key ").with_note(is),
            (false, true) => self
                .about_key("Limits removed", severity, " removed the limits of the key ")
                .with_note(format!("Before: {was}")),
            (false, false) => self
                .about_key("Limits changed", severity, " changed the limits of the key ")
                .with_note(format!("{is}. Before: {was}")),
        }
    }
}

/// Returns whether a key may do more than before.
fn is_wider(before: &str, after: &str) -> bool {
    let limits = |text: &str| -> KeyLimits { text.parse::<Limits>().unwrap_or_default().into() };
    limits(before).is_narrower_than(&limits(after))
}
