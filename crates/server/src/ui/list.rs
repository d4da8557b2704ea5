//! Lists: where a page of one goes on, and the columns of its table.

use serde::Deserialize;

use super::page;

/// Where a list goes on.
#[derive(Deserialize)]
pub(super) struct PageQuery {
    pub(super) after: Option<String>,
}

impl PageQuery {
    /// The query of the same page.
    pub(super) fn here(&self) -> String {
        page::query(&[("after", self.after.as_deref().unwrap_or_default())])
    }
}

/// The columns of a table, in order: the template writes the header and the cell of each from this one list, and a column
/// without a cell does not compile.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($column:ident: $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum $name { $($column,)* }

        impl $name {
            pub(super) const ALL: &[Self] = &[$(Self::$column,)*];

            /// What the header says.
            pub(super) const fn label(self) -> &'static str {
                match self { $(Self::$column => $label,)* }
            }
        }
    };
}

pub(super) use columns;
