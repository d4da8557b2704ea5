//! Lists: the search, the filters, the order and the page from the URL, the header and the pager that show them, and the
//! columns of a table.

use domain::list::{Choice, MAX_SEARCH, Order, Search};
use serde::Deserialize;

use super::page;
use crate::app::{Count, Found, MAX_PAGE, Paging, Place};

/// The position of a page of a list.
#[derive(Deserialize)]
pub(super) struct PageQuery {
    pub(super) after: Option<String>,
}

/// What to show of a list, from the URL of its page. A part that is empty is the default, and so is one that the list
/// does not have, so that an old link still shows a list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    /// The text to search for.
    pub(super) q: String,
    /// The name of the order. With a `-` before it, the order is reversed.
    pub(super) sort: String,
    /// The name of the filter.
    pub(super) filter: String,
    /// The cursor before the page.
    pub(super) after: String,
    /// The cursor after the page.
    pub(super) before: String,
    /// `csv` for a file instead of a page.
    pub(super) format: String,
}

impl ListQuery {
    /// Returns the search. Without an order in the URL, the order is `default_sort`.
    pub(super) fn search<O: Order, F: Choice>(&self, default_sort: &str) -> Search<O, F> {
        let text = self.q.trim().replace('\0', "").chars().take(MAX_SEARCH).collect();
        let search = Search { text, filter: F::find(&self.filter).unwrap_or_default(), ..Search::default() };
        let sorted = search.clone().sorted_by(&self.sort).or_else(|| search.clone().sorted_by(default_sort));
        sorted.unwrap_or(search)
    }

    /// Returns the page.
    pub(super) fn place(&self) -> Place {
        match (self.after.as_str(), self.before.as_str()) {
            ("", "") => Place::Start,
            ("", before) => Place::Before(before.to_owned()),
            (after, _) => Place::After(after.to_owned()),
        }
    }

    /// Returns whether the URL asks for a file instead of a page.
    pub(super) fn is_csv(&self) -> bool {
        self.format == "csv"
    }

    /// Returns the query of the same page, to append to a path.
    pub(super) fn here(&self) -> String {
        self.with([])
    }

    /// Returns the query with some parts changed.
    fn with<const N: usize>(&self, changes: [(&str, &str); N]) -> String {
        let mut fields = [
            ("q", self.q.as_str()),
            ("filter", &self.filter),
            ("sort", &self.sort),
            ("after", &self.after),
            ("before", &self.before),
        ];
        for (name, value) in &mut fields {
            if let Some((_, changed)) = changes.iter().find(|(changed, _)| changed == name) {
                *value = changed;
            }
        }
        page::query(&fields)
    }
}

/// The rows of a list, read page by page for a file.
pub(super) struct AllPages<T> {
    rows: Vec<T>,
    /// The next page, unless the last one was read.
    next: Option<Paging>,
    max: usize,
}

impl<T> AllPages<T> {
    /// Begins with the first page. At most `max` rows are kept.
    pub(super) fn new(max: usize) -> Self {
        Self { rows: Vec::new(), next: Some(Paging { after: None, limit: Some(MAX_PAGE) }), max }
    }

    /// Returns the page to read next.
    pub(super) fn next(&mut self) -> Option<Paging> {
        self.next.take()
    }

    /// Adds a page.
    pub(super) fn add(&mut self, page: api::Page<T>) {
        self.rows.extend(page.items);
        if self.rows.len() < self.max {
            self.next = page.next.map(|after| Paging { after: Some(after), limit: Some(MAX_PAGE) });
        }
        self.rows.truncate(self.max);
    }

    /// Returns the rows.
    pub(super) fn into_rows(self) -> Vec<T> {
        self.rows
    }
}

/// The words of a filter on a chip.
pub(super) trait Labels: Choice {
    fn label(self) -> &'static str;
}

/// A filter of a list.
pub(super) struct Chip {
    /// Its name in the URL. Empty for the default.
    name: &'static str,
    pub(super) label: &'static str,
    pub(super) count: Count,
    pub(super) is_current: bool,
}

/// What a list is called, and how people look through it.
pub(super) struct ListWords {
    /// The label of the search field, such as `Find a member by name or email`.
    pub(super) find: &'static str,
    /// The orders to choose from: the name in the URL, and its words.
    pub(super) sorts: &'static [(&'static str, &'static str)],
    /// The order without one in the URL.
    pub(super) sort: &'static str,
}

/// The header and the pager of a list. Its links keep the parts of the URL that they do not change. Another search, filter
/// or order begins at the first page.
pub(super) struct ListHead {
    /// The path of the list.
    pub(super) path: String,
    pub(super) query: ListQuery,
    pub(super) words: &'static ListWords,
    pub(super) chips: Vec<Chip>,
    pub(super) pager: Pager,
    /// Whether a file of the rows can be downloaded.
    pub(super) has_file: bool,
}

/// The numbers of a page and its neighbours.
pub(super) struct Pager {
    /// The number of rows on earlier pages.
    pub(super) skipped: Count,
    /// The number of rows on this page.
    pub(super) shown: usize,
    /// The number of rows on all pages.
    pub(super) total: Count,
    /// The query of the previous page, if there is one.
    pub(super) previous: Option<String>,
    /// The query of the next page, if there is one.
    pub(super) next: Option<String>,
}

impl Pager {
    /// Describes which rows are on this page, such as `51 to 100 of 312`.
    pub(super) fn describe(&self) -> String {
        match (self.skipped.exact(), u64::try_from(self.shown)) {
            (Some(skipped), Ok(shown)) if shown > 0 => {
                let (first, last) = (Count::from(skipped + 1), Count::from(skipped + shown));
                format!("{first} to {last} of {}", self.total)
            }
            _ => format!("{} of {}", self.shown, self.total),
        }
    }

    /// Returns whether there are other pages.
    pub(super) fn has_pages(&self) -> bool {
        self.previous.is_some() || self.next.is_some()
    }
}

impl ListHead {
    /// Creates the header of a list with the page that was found.
    pub(super) fn new<F: Labels, T>(
        path: String,
        query: ListQuery,
        words: &'static ListWords,
        found: &Found<T>,
    ) -> Self {
        let current = F::find(&query.filter).unwrap_or_default();
        let chip = |(at, filter): (usize, &F)| Chip {
            name: if *filter == F::default() { "" } else { filter.name() },
            label: filter.label(),
            count: found.counts.get(at).copied().unwrap_or_default(),
            is_current: *filter == current,
        };
        // A filter without rows is shown only while it is chosen.
        let is_shown = |chip: &Chip| chip.is_current || chip.name.is_empty() || chip.count > Count::default();
        let pager = Pager {
            skipped: found.skipped,
            shown: found.items.len(),
            total: found.total,
            previous: found.previous.as_deref().map(|cursor| query.with([("before", cursor), ("after", "")])),
            next: found.next.as_deref().map(|cursor| query.with([("after", cursor), ("before", "")])),
        };
        let chips = F::ALL.iter().enumerate().map(chip).filter(is_shown).collect();
        Self { path, query, words, chips, pager, has_file: true }
    }

    /// Removes the link to a file.
    pub(super) fn without_file(self) -> Self {
        Self { has_file: false, ..self }
    }

    /// Gives the link of a filter another label.
    pub(super) fn rename_chip<F: Labels>(&mut self, filter: F, label: &'static str) {
        for chip in self.chips.iter_mut().filter(|chip| chip.name == filter.name()) {
            chip.label = label;
        }
    }

    /// Returns whether a filter is shown.
    pub(super) fn has_chip<F: Labels>(&self, filter: F) -> bool {
        self.chips.iter().any(|chip| chip.name == filter.name())
    }

    /// Removes a filter that is not chosen.
    pub(super) fn remove_chip<F: Labels>(&mut self, filter: F) {
        self.chips.retain(|chip| chip.is_current || chip.name != filter.name());
    }

    /// Returns whether the list has no rows at all, whatever the search is.
    pub(super) fn is_empty(&self) -> bool {
        self.pager.shown == 0 && self.query.q.trim().is_empty() && !self.is_filtered()
    }

    /// Returns whether a filter is chosen.
    pub(super) fn is_filtered(&self) -> bool {
        self.chips.iter().any(|chip| chip.is_current && !chip.name.is_empty())
    }

    /// Returns the link of a chip.
    pub(super) fn chip_link(&self, chip: &Chip) -> String {
        self.link([("filter", chip.name)])
    }

    /// Returns a link to the first page with some parts changed.
    fn link<const N: usize>(&self, changes: [(&str, &str); N]) -> String {
        let first = ListQuery { after: String::new(), before: String::new(), ..self.query.clone() };
        format!("{}{}", self.path, first.with(changes))
    }

    /// Returns the link to all rows, without the search and the filter.
    pub(super) fn all_link(&self) -> String {
        self.link([("q", ""), ("filter", "")])
    }

    /// Returns the link to the file.
    pub(super) fn file_link(&self) -> String {
        let link = self.link([]);
        format!("{link}{}format=csv", if link.contains('?') { '&' } else { '?' })
    }

    /// Returns the order of the page.
    pub(super) fn sort(&self) -> &str {
        let is_known = self.words.sorts.iter().any(|(name, _)| name.trim_start_matches('-') == bare(&self.query.sort));
        if is_known { &self.query.sort } else { self.words.sort }
    }

    /// Returns a link to the list in the order of a column, or in reverse order if it already has that order.
    pub(super) fn sort_link(&self, column: &str) -> String {
        let sort = self.sort();
        let next = match (bare(sort) == bare(column), sort.strip_prefix('-')) {
            (false, _) => column.to_owned(),
            (true, Some(ascending)) => ascending.to_owned(),
            (true, None) => format!("-{sort}"),
        };
        self.link([("sort", &next)])
    }

    /// Returns the order of a column, for `aria-sort`.
    pub(super) fn sorted(&self, column: &str) -> &'static str {
        let sort = self.sort();
        match (bare(sort) == bare(column), sort.starts_with('-')) {
            (false, _) => "none",
            (true, true) => "descending",
            (true, false) => "ascending",
        }
    }
}

fn bare(sort: &str) -> &str {
    sort.strip_prefix('-').unwrap_or(sort)
}

/// The columns of a table, in order. The template renders the header and the cells from this list, and a column without
/// a cell does not compile. The label of a column that is marked `hidden` is for screen readers only. A column with `by`
/// sorts the rows, and the name after `class` is the class of its header and of its cells.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($column:ident: $($hidden:ident)? $label:literal $(class $class:literal)? $(by $sort:literal)?,)* }) => {
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

            /// Returns the class of the header and of the cells, or nothing.
            pub(in crate::ui) const fn class(self) -> &'static str {
                match self { $(Self::$column => columns!(@class $($class)?),)* }
            }

            /// Returns the name of the order that the header of the column leads to first, if rows can be sorted by it.
            pub(in crate::ui) const fn sort(self) -> Option<&'static str> {
                match self { $(Self::$column => columns!(@sort $($sort)?),)* }
            }
        }

        // Not every table is sorted.
        const _: fn($name) -> Option<&'static str> = $name::sort;
    };
    (@is_hidden) => { false };
    (@is_hidden hidden) => { true };
    (@class) => { "" };
    (@class $class:literal) => { $class };
    (@sort) => { None };
    (@sort $sort:literal) => { Some($sort) };
}

pub(super) use columns;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use domain::list::{MemberFilter, MemberOrder};

    use super::*;

    const WORDS: ListWords =
        ListWords { find: "Find a member", sorts: &[("name", "Name"), ("-joined", "Newest first")], sort: "name" };

    fn head(query: ListQuery) -> ListHead {
        let counts = [3, 1, 2, 0, 0].map(Count::from).into();
        let found = Found {
            items: vec!["Max"],
            skipped: 50.into(),
            previous: Some("usr_1.YQ".to_owned()),
            next: None,
            counts,
            total: 51.into(),
        };
        ListHead::new::<MemberFilter, _>("/w/acme/members".to_owned(), query, &WORDS, &found)
    }

    fn query(text: &str) -> ListQuery {
        serde_urlencoded::from_str(text).unwrap()
    }

    #[test]
    fn the_links_of_a_list_keep_the_other_parts_of_its_url() {
        let list = head(query("q=a%26b&filter=admin&sort=-joined&after=usr_2.1"));
        assert_eq!(list.sort_link("name"), "/w/acme/members?q=a%26b&filter=admin&sort=name");
        assert_eq!(list.sort_link("-joined"), "/w/acme/members?q=a%26b&filter=admin&sort=joined");
        let chips: Vec<_> = list.chips.iter().map(|chip| (chip.label, list.chip_link(chip), chip.is_current)).collect();
        assert_eq!(
            chips,
            [
                ("All", "/w/acme/members?q=a%26b&sort=-joined".to_owned(), false),
                ("Admins", "/w/acme/members?q=a%26b&filter=admin&sort=-joined".to_owned(), true),
                ("Members", "/w/acme/members?q=a%26b&filter=member&sort=-joined".to_owned(), false),
            ]
        );
        assert_eq!(list.file_link(), "/w/acme/members?q=a%26b&filter=admin&sort=-joined&format=csv");
        assert_eq!(list.all_link(), "/w/acme/members?sort=-joined");
        assert_eq!(list.pager.describe(), "51 to 51 of 51");
        assert_eq!(list.pager.previous.as_deref(), Some("?q=a%26b&filter=admin&sort=-joined&before=usr_1.YQ"));
        assert_eq!(list.query.here(), "?q=a%26b&filter=admin&sort=-joined&after=usr_2.1");
    }

    #[test]
    fn an_unknown_order_or_filter_is_the_default() {
        let list = head(query("sort=color&filter=green"));
        assert_eq!([list.sorted("name"), list.sorted("-joined")], ["ascending", "none"]);
        assert!(!list.is_filtered());
        let search: Search<MemberOrder, MemberFilter> = list.query.search(WORDS.sort);
        assert_eq!((search.order, search.descending, search.filter), (MemberOrder::Name, false, MemberFilter::All));
        let sorted = head(query("sort=-name"));
        assert_eq!([sorted.sorted("name"), sorted.sorted("-joined")], ["descending", "none"]);
    }

    #[test]
    fn a_search_is_bounded() {
        let long = ListQuery { q: format!(" {}\0 ", "x".repeat(300)), ..ListQuery::default() };
        let search: Search<MemberOrder, MemberFilter> = long.search("name");
        assert_eq!(search.text, "x".repeat(100));
    }

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
            let hides = ["class=\"mid\"", "class=mid", "class=\"mid ", "class=\"lo\" data-label"];
            assert!(
                !hides.iter().any(|class| text.contains(class)),
                "a cell that is hidden without its header: {}",
                path.display()
            );
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
