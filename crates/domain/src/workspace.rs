//! Workspaces, which are the tenants, and slugs.

use std::{fmt, str::FromStr};

use jiff::Timestamp;

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
}
