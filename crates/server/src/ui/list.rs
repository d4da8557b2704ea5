//! Lists: the position of a page, and the columns of a table.

use serde::Deserialize;

use super::page;

/// The position of a page of a list.
#[derive(Deserialize)]
pub(super) struct PageQuery {
    pub(super) after: Option<String>,
}

impl PageQuery {
    /// Returns the query of the same page.
    pub(super) fn here(&self) -> String {
        page::query(&[("after", self.after.as_deref().unwrap_or_default())])
    }
}

/// The columns of a table, in order. The template renders the header and the cells from this list, and a column without
/// a cell does not compile. The label of a column that is marked `hidden` is for screen readers only.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($column:ident: $($hidden:ident)? $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(in crate::ui) enum $name { $($column,)* }

        impl $name {
            pub(in crate::ui) const ALL: &[Self] = &[$(Self::$column,)*];

            /// Returns the label in the header.
            pub(in crate::ui) const fn label(self) -> &'static str {
                match self { $(Self::$column => $label,)* }
            }

            /// Returns whether the label is for screen readers only.
            pub(in crate::ui) const fn is_hidden(self) -> bool {
                match self { $(Self::$column => columns!(@is_hidden $($hidden)?),)* }
            }
        }
    };
    (@is_hidden) => { false };
    (@is_hidden hidden) => { true };
}

pub(super) use columns;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn every_table_is_written_from_its_columns() {
        let server = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut tables = 0;
        for template in fs::read_dir(server.join("templates")).unwrap() {
            let path = template.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let bodies = text.matches("<tbody>").count();
            assert_eq!(
                text.matches("{%- match column %}").count(),
                bodies,
                "cells without columns: {}",
                path.display()
            );
            let literal = text.replace("data-label=\"{{ column.label() }}\"", "").contains("data-label");
            assert!(!literal, "a label that is not its column's: {}", path.display());
            tables += bodies;
        }
        assert!(tables > 10, "{tables}");
        let style = fs::read_to_string(server.join("static/app.css")).unwrap();
        let mut rules = style.lines().filter(|line| line.contains(":nth-"));
        assert!(
            rules.all(|rule| !rule.contains("table") && !rule.contains("td")),
            "a rule of the style sheet that depends on the order of columns"
        );
    }
}
