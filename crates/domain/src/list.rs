//! How people look through a list: a text to search for, one filter and an order, and the position of a page in it.

use std::{fmt::Display, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A closed set of choices with names in URLs.
pub trait Choice: Copy + Eq + Default + Send + Sync + 'static {
    /// All choices.
    const ALL: &'static [Self];
    /// Their names, in the same order.
    const NAMES: &'static [&'static str];

    /// Returns the name in URLs.
    fn name(self) -> &'static str;

    /// Returns the choice with this name.
    fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|choice| choice.name() == name)
    }
}

/// The type of the values that rows are sorted by. Rows with equal values are in the order of their ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SortType {
    /// The ids themselves. Most ids begin with the time of their creation.
    Id,
    /// A text. Upper and lower case are the same.
    Text,
    /// A number, or a time in microseconds.
    Number,
}

/// The orders of a list.
pub trait Order: Choice {
    /// Returns the type of the values in this order.
    fn sort_type(self) -> SortType;
}

/// Declares the filters of a list. The first one is the default.
macro_rules! choices {
    ($($(#[$doc:meta])* $list:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $list { $($(#[$variant_doc])* $variant,)* }

        impl Choice for $list {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];
            const NAMES: &'static [&'static str] = &[$($name,)*];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl Default for $list {
            fn default() -> Self {
                let [first, ..] = [$(Self::$variant,)*];
                first
            }
        }
    )*};
}

/// Declares the orders of a list. The first one is the default.
macro_rules! orders {
    ($($(#[$doc:meta])* $list:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal: $kind:ident,)* })*) => {$(
        choices! { $(#[$doc])* $list { $($(#[$variant_doc])* $variant = $name,)* } }

        impl Order for $list {
            fn sort_type(self) -> SortType {
                match self { $(Self::$variant => SortType::$kind,)* }
            }
        }
    )*};
}

orders! {
    /// The orders of the members of a workspace.
    MemberOrder {
        /// By their ids.
        Id = "id": Id,
        /// By their names.
        Name = "name": Text,
        /// By their email addresses.
        Email = "email": Text,
        /// By the times at which they joined.
        Joined = "joined": Number,
    }
    /// The orders of an owner's keys.
    KeyOrder {
        /// By the times of their registration.
        Created = "created": Id,
        /// By their titles.
        Title = "title": Text,
        /// By the times of their last use. Unused keys come first.
        LastUsed = "used": Number,
        /// By the times at which they expire. Keys that never expire come last.
        Expires = "expires": Number,
    }
    /// The orders of invitations.
    InvitationOrder {
        /// By the times of their creation.
        Created = "created": Id,
        /// By their email addresses.
        Email = "email": Text,
        /// By the times at which they expire.
        Expires = "expires": Number,
    }
    /// The orders of projects.
    ProjectOrder {
        /// By the times of their creation.
        Created = "created": Id,
        /// By their titles.
        Title = "title": Text,
        /// By the times of their latest change.
        Updated = "updated": Number,
    }
    /// The orders of service accounts.
    ServiceAccountOrder {
        /// By the times of their creation.
        Created = "created": Id,
        /// By their display names.
        Name = "name": Text,
        /// By the times at which their keys were last used. Unused ones come first.
        LastUsed = "last-used": Number,
        /// By the numbers of their live keys.
        Keys = "keys": Number,
    }
    /// The orders of users.
    UserOrder {
        /// By the times of their creation.
        Created = "created": Id,
        /// By their names.
        Name = "name": Text,
        /// By their email addresses.
        Email = "email": Text,
    }
    /// The orders of workspaces.
    WorkspaceOrder {
        /// By the times of their creation.
        Created = "created": Id,
        /// By their names.
        Name = "name": Text,
        /// By their slugs.
        Slug = "slug": Text,
    }
}

choices! {
    /// The filters of the members of a workspace.
    MemberFilter {
        /// Every member.
        All = "all",
        /// Those with the role `admin`.
        Admin = "admin",
        /// Those with the role `member`.
        Member = "member",
        /// Those whose user is disabled.
        Disabled = "disabled",
        /// Those whose email address is not verified.
        Unverified = "unverified",
    }
    /// The filters of an owner's keys.
    KeyFilter {
        /// Those that are neither expired nor revoked.
        InUse = "in-use",
        /// Those that are active.
        Active = "active",
        /// Those that are active and expire soon.
        Expiring = "expiring",
        /// Those without a request for a long time, although they are neither expired nor revoked.
        Unused = "unused",
        /// Those that were never used, although they are neither expired nor revoked.
        NeverUsed = "never-used",
        /// Those with limits that are neither expired nor revoked.
        Limited = "limited",
        /// Those without limits that are neither expired nor revoked.
        Unlimited = "unlimited",
        /// Those that are disabled or suspended.
        Disabled = "disabled",
        /// Those that are expired or revoked.
        Ended = "ended",
        /// Every key.
        All = "all",
    }
    /// The filters of invitations.
    InvitationFilter {
        /// Every invitation.
        All = "all",
        /// Those that can be accepted.
        Pending = "pending",
        /// Those that nobody accepted in time.
        Expired = "expired",
        /// Those that were accepted.
        Accepted = "accepted",
        /// Those that were revoked.
        Revoked = "revoked",
    }
    /// The filters of projects.
    ProjectFilter {
        /// Every project that the caller can see.
        All = "all",
        /// Those that the caller is a member of.
        Joined = "joined",
        /// Those that the caller is not a member of.
        NotJoined = "not-joined",
    }
    /// The filters of service accounts.
    ServiceAccountFilter {
        /// Every service account.
        All = "all",
        /// Those that are enabled and have a live key.
        Active = "active",
        /// Those that are enabled and have no live key.
        WithoutKeys = "without-keys",
        /// Those that are disabled.
        Disabled = "disabled",
    }
    /// The filters of users.
    UserFilter {
        /// Every user.
        All = "all",
        /// Those who are neither disabled nor suspended.
        Active = "active",
        /// Operators.
        Operator = "operator",
        /// Those who are disabled.
        Disabled = "disabled",
        /// Those who are suspended since a restore.
        Suspended = "suspended",
        /// Those whose email address is not verified.
        Unverified = "unverified",
    }
    /// The filters of workspaces.
    WorkspaceFilter {
        /// Every workspace.
        All = "all",
        /// Those without an enabled admin.
        WithoutAdmin = "without-admin",
    }
}

/// What to look for in a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Search<O, F> {
    /// A part of the texts that the list searches. If it is empty, every row matches.
    pub text: String,
    /// Which rows to show.
    pub filter: F,
    /// Their order.
    pub order: O,
    /// Whether to reverse the order.
    pub descending: bool,
}

/// The longest text to search for, in characters.
pub const MAX_SEARCH: usize = 100;

impl<O: Order, F: Choice> Search<O, F> {
    /// Returns this search in the order of that name. With a `-` before the name, the order is reversed. `None`: the list
    /// has no such order.
    #[must_use]
    pub fn sorted_by(self, name: &str) -> Option<Self> {
        let (name, descending) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
        O::find(name).map(|order| Self { order, descending, ..self })
    }
}

/// The position of a row in a sorted list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor<I> {
    /// The id of the row.
    pub id: I,
    /// The value that it is sorted by.
    pub value: SortValue,
}

/// A value that rows are sorted by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SortValue {
    /// The id.
    Id,
    /// A text.
    Text(String),
    /// A number, or a time in microseconds.
    Number(i64),
}

impl<I: FromStr + Display> Cursor<I> {
    /// Parses a cursor of a list in this order. In the order of the ids, it is the id. In other orders, the value follows.
    #[must_use]
    pub fn parse(text: &str, sort_type: SortType) -> Option<Self> {
        let (id, value) = match (sort_type, text.split_once('.')) {
            (SortType::Id, None) => (text, SortValue::Id),
            (SortType::Number, Some((id, number))) => (id, SortValue::Number(number.parse().ok()?)),
            (SortType::Text, Some((id, encoded))) => {
                let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
                // Neither engine stores or compares a text with a NUL.
                let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
                (id, SortValue::Text(text))
            }
            _ => return None,
        };
        Some(Self { id: id.parse().ok()?, value })
    }

    /// Returns the text that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn encode(&self) -> String {
        match &self.value {
            SortValue::Id => self.id.to_string(),
            SortValue::Number(number) => format!("{}.{number}", self.id),
            SortValue::Text(text) => format!("{}.{}", self.id, URL_SAFE_NO_PAD.encode(text)),
        }
    }
}

/// Divides a text to search for at its ellipsis, if it has one: the short form in which lists show a fingerprint is its
/// start and its end. More than one ellipsis is searched for literally, because the time to match a pattern grows with
/// each gap.
fn divide(text: &str) -> (&str, Option<&str>) {
    match text.split_once('\u{2026}') {
        Some((start, end)) if !end.contains('\u{2026}') => (start, Some(end)),
        _ => (text, None),
    }
}

/// Returns the SQL pattern that matches texts that contain `text`, or the parts before and after its ellipsis. The escape
/// character is a backslash.
#[must_use]
pub fn containing(text: &str) -> String {
    let (start, end) = divide(text);
    let mut pattern = String::with_capacity(text.len() + 3);
    for part in [Some(start), end].into_iter().flatten() {
        pattern.push('%');
        for c in part.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
    }
    pattern.push('%');
    pattern
}

/// Returns whether a text is one that the pattern of [`containing`] matches.
#[must_use]
pub fn contains(whole: &str, text: &str) -> bool {
    let (start, end) = divide(text);
    let Some((_, rest)) = whole.split_once(start) else { return false };
    end.is_none_or(|end| rest.contains(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    const ID: &str = "usr_00000000000000000000000001";

    #[test]
    fn a_cursor_is_read_in_the_order_that_it_was_written_in() {
        let id: UserId = ID.parse().unwrap();
        for (value, sort_type) in [
            (SortValue::Id, SortType::Id),
            (SortValue::Number(-7), SortType::Number),
            (SortValue::Text("Ünal & Söhne.".to_owned()), SortType::Text),
            (SortValue::Text(String::new()), SortType::Text),
        ] {
            let cursor = Cursor { id, value };
            assert_eq!(Cursor::parse(&cursor.encode(), sort_type), Some(cursor.clone()), "{cursor:?}");
            for other in [SortType::Id, SortType::Number, SortType::Text] {
                let is_read = Cursor::<UserId>::parse(&cursor.encode(), other).is_some();
                // A number is also valid base64, but its bytes are rarely a text.
                assert!(other == sort_type || !is_read, "{cursor:?} as {other:?}");
            }
        }
    }

    #[test]
    fn a_malformed_cursor_is_refused() {
        let nul = format!("{ID}.{}", URL_SAFE_NO_PAD.encode("a\0b"));
        for (text, sort_type) in [
            ("", SortType::Id),
            ("ws_00000000000000000000000001", SortType::Id),
            (".12", SortType::Number),
            ("usr_00000000000000000000000001.", SortType::Number),
            ("usr_00000000000000000000000001.99999999999999999999", SortType::Number),
            ("usr_00000000000000000000000001.a b", SortType::Text),
            ("usr_00000000000000000000000001._w", SortType::Text),
            (nul.as_str(), SortType::Text),
        ] {
            assert_eq!(Cursor::<UserId>::parse(text, sort_type), None, "{text:?}");
        }
    }

    #[test]
    fn an_order_has_a_name_and_a_direction() {
        let search = Search::<MemberOrder, MemberFilter>::default();
        let sorted = |name| search.clone().sorted_by(name).map(|search| (search.order, search.descending));
        assert_eq!(sorted("name"), Some((MemberOrder::Name, false)));
        assert_eq!(sorted("-joined"), Some((MemberOrder::Joined, true)));
        for other in ["", "-", "--name", "Name", "title"] {
            assert_eq!(sorted(other), None, "{other}");
        }
    }

    #[test]
    fn a_pattern_matches_its_text_only() {
        assert_eq!(containing("50%_of\\"), "%50\\%\\_of\\\\%");
        assert_eq!(containing(""), "%%");
        assert_eq!(containing("JhD6mF\u{2026}1YMds"), "%JhD6mF%1YMds%");
        assert_eq!(containing("a\u{2026}b\u{2026}c"), "%a\u{2026}b\u{2026}c%", "a pattern has one gap at most");
        let whole = "SHA256:JhD6mFabc1YMds";
        for (text, is_found) in [
            ("JhD6mF\u{2026}1YMds", true),
            ("hD6", true),
            ("", true),
            ("1YMds\u{2026}JhD6mF", false),
            ("JhD6mF\u{2026}1\u{2026}Mds", false),
        ] {
            assert_eq!(contains(whole, text), is_found, "{text}");
        }
    }
}
