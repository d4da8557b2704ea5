//! Workspaces, which are the tenants, and slugs.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use crate::{WorkspaceId, quota::Quotas};

/// A tenant. All objects except users belong to exactly one workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name in URLs and in addresses of service accounts. It never changes and is never used again.
    pub slug: Slug,
    /// Its name for people.
    pub name: String,
    /// Its quotas.
    pub quotas: Quotas,
    /// When it was created.
    pub created_at: Timestamp,
}

/// `[a-z][a-z0-9-]{1,38}[a-z0-9]`: the name of a workspace or of a service account in addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slug(String);

/// A text that is not a slug.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("use 3 to 40 lower-case letters, digits and hyphens, starting with a letter and not ending in a hyphen")]
pub struct SlugError;

impl Slug {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Proposes a slug for a name, or none if the name has no letter or digit that a slug can have. Accents are removed,
    /// and other characters become hyphens. `prefix` starts a slug that would be too short or start with a digit.
    /// `static/slug.js` proposes the same in a browser.
    #[must_use]
    pub fn propose(name: &str, prefix: &str) -> Option<Self> {
        let mut slug = String::new();
        for c in name.nfkd().flat_map(char::to_lowercase) {
            if is_combining_mark(c) || matches!(c, '\'' | '\u{2019}') {
                continue;
            }
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if let Some(letters) = spell(c) {
                slug.push_str(letters);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let mut slug = slug.trim_end_matches('-').to_owned();
        if slug.is_empty() {
            return None;
        }
        if slug.len() < MIN_SLUG || !slug.starts_with(|c: char| c.is_ascii_lowercase()) {
            slug = format!("{prefix}-{slug}");
        }
        slug.truncate(MAX_SLUG);
        slug.trim_end_matches('-').parse().ok()
    }

    /// Returns this slug with a number at its end, cut to the maximum length.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let end = format!("-{number}");
        let start = &self.0[..self.0.len().min(MAX_SLUG.saturating_sub(end.len()))];
        Self(format!("{}{end}", start.trim_end_matches('-')))
    }
}

/// The minimum number of characters of a slug.
const MIN_SLUG: usize = 3;
/// The maximum number of characters of a slug.
const MAX_SLUG: usize = 40;

/// Returns the letters for a letter that has no decomposition into a plain one.
const fn spell(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ı' => "i",
        _ => return None,
    })
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slug {
    type Err = SlugError;

    fn from_str(text: &str) -> Result<Self, SlugError> {
        let bytes = text.as_bytes();
        let fits = matches!(bytes, [b'a'..=b'z', middle @ .., b'a'..=b'z' | b'0'..=b'9']
            if (1..=38).contains(&middle.len())
                && middle.iter().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-')));
        if fits { Ok(Self(text.to_owned())) } else { Err(SlugError) }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Add as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slug_is_three_to_forty_plain_characters() {
        for good in ["abc", "a-1", "acme-labs-2", &format!("a{}z", "-".repeat(38))] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "1ab", "-ab", "ab-", "Abc", "a_c", "a.c", "aéc", "ab c", &format!("a{}z", "b".repeat(39))]
        {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slug_is_proposed_from_a_name() {
        for (name, slug) in [
            ("Nightly Export", "nightly-export"),
            ("  CI / CD runner (№1) ", "ci-cd-runner-no1"),
            ("Café Zürich", "cafe-zurich"),
            ("Straße Ærø Łódź", "strasse-aero-lodz"),
            ("Mira's bot", "miras-bot"),
            ("CI", "sa-ci"),
            ("3D scans", "sa-3d-scans"),
            ("日本 export", "export"),
            (&format!("{} b", "a".repeat(39)), &"a".repeat(39)),
            (&"ab ".repeat(40), "ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-a"),
        ] {
            assert_eq!(Slug::propose(name, "sa").as_ref().map(Slug::as_str), Some(slug), "{name}");
        }
        for name in ["", " - ", "日本", "🚀"] {
            assert_eq!(Slug::propose(name, "sa"), None, "{name}");
        }
    }

    #[test]
    fn a_numbered_slug_is_a_slug() {
        let long: Slug = "a-".repeat(19).add("ab").parse().unwrap();
        assert_eq!(long.numbered(2).as_str(), format!("{}-2", "a-".repeat(19).trim_end_matches('-')));
        assert_eq!("bot".parse::<Slug>().unwrap().numbered(12).as_str(), "bot-12");
        assert!(long.numbered(99).as_str().parse::<Slug>().is_ok());
    }

    proptest! {
        #[test]
        fn every_proposal_is_a_slug(name in any::<String>(), number in 2_u32..100) {
            if let Some(slug) = Slug::propose(&name, "sa") {
                prop_assert!(slug.as_str().parse::<Slug>().is_ok(), "{slug}");
                prop_assert!(slug.numbered(number).as_str().parse::<Slug>().is_ok(), "{slug}");
            }
        }
    }
}
