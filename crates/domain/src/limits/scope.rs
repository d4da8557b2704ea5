//! Scopes: what a key may do. Three are built in, for Keyward itself. A platform declares its own for its routes.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use crate::{secret::quoted, text::MAX_DESCRIPTION};

/// The maximum length of the name of a scope.
const MAX_NAME: usize = 64;
/// The prefix of the built-in scopes.
const KEYWARD: &str = "keyward";

/// A built-in scope. Later ones include earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeywardScope {
    /// `keyward:read`: every read.
    Read,
    /// `keyward:write`: also creates, changes and deletes projects.
    Write,
    /// `keyward:manage`: everything that the owner may do.
    Manage,
}

impl KeywardScope {
    /// All built-in scopes.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Manage];

    /// Returns the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "keyward:read",
            Self::Write => "keyward:write",
            Self::Manage => "keyward:manage",
        }
    }

    /// Returns what a key with this scope may do, for people.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Read => "Read everything that the owner can see in Keyward",
            Self::Write => "Also create, change and delete projects",
            Self::Manage => "Everything that the owner may do in Keyward",
        }
    }
}

impl fmt::Display for KeywardScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a scope that the platform declares in its settings: `invoices:read`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlatformScope(Box<str>);

/// A scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum Scope {
    /// A built-in scope.
    Keyward(KeywardScope),
    /// A scope of the platform.
    Platform(PlatformScope),
}

/// A text that is not the name of a scope.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScopeError {
    /// It has invalid characters, or is too long.
    #[error(
        "{} is not the name of a scope; write up to {MAX_NAME} lower-case letters, digits and `:._-`, beginning with a \
         letter, such as invoices:read",
        quoted(.0)
    )]
    Malformed(String),
    /// It begins as the built-in ones do.
    #[error("{} is not a scope of Keyward; its scopes are keyward:read, keyward:write and keyward:manage", quoted(.0))]
    Reserved(String),
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let is_name = text.len() <= MAX_NAME
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b":._-".contains(&c));
        if !is_name {
            return Err(ScopeError::Malformed(text.to_owned()));
        }
        if let Some(scope) = KeywardScope::ALL.into_iter().find(|scope| scope.as_str() == text) {
            return Ok(Self::Keyward(scope));
        }
        if text.split([':', '.', '_', '-']).next() == Some(KEYWARD) {
            return Err(ScopeError::Reserved(text.to_owned()));
        }
        Ok(Self::Platform(PlatformScope(text.into())))
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyward(scope) => scope.fmt(f),
            Self::Platform(PlatformScope(name)) => f.write_str(name),
        }
    }
}

/// A scope of the platform, as its settings declare it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "DeclaredScopeText")]
pub struct DeclaredScope {
    name: PlatformScope,
    description: String,
}

/// A scope in the settings file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredScopeText {
    name: String,
    description: String,
}

/// Why a scope cannot be declared.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeclarationError {
    /// Its name is invalid.
    #[error(transparent)]
    Name(#[from] ScopeError),
    /// It is a built-in scope.
    #[error("{0} is built in; declare only the scopes of your own API")]
    BuiltIn(KeywardScope),
    /// It has no description, or one that is too long.
    #[error(
        "the scope {0} needs a description of 1 to {MAX_DESCRIPTION} characters, which people read when they limit a key"
    )]
    Description(Scope),
}

impl DeclaredScope {
    /// Declares a scope.
    ///
    /// # Errors
    /// The name is invalid or reserved, or the description is empty or too long.
    pub fn new(name: &str, description: &str) -> Result<Self, DeclarationError> {
        let scope: Scope = name.parse()?;
        let description = description.trim();
        if description.is_empty() || description.chars().count() > MAX_DESCRIPTION {
            return Err(DeclarationError::Description(scope));
        }
        match scope {
            Scope::Keyward(scope) => Err(DeclarationError::BuiltIn(scope)),
            Scope::Platform(name) => Ok(Self { name, description: description.to_owned() }),
        }
    }

    /// Returns the scope.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::Platform(self.name.clone())
    }

    /// Returns the description, for people.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }
}

impl TryFrom<DeclaredScopeText> for DeclaredScope {
    type Error = DeclarationError;

    fn try_from(text: DeclaredScopeText) -> Result<Self, DeclarationError> {
        Self::new(&text.name, &text.description)
    }
}

/// As in the settings: `invoices:read Read invoices`.
impl fmt::Display for DeclaredScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name.0, self.description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_scopes_are_parsed_strictly() {
        for scope in KeywardScope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(Scope::Keyward(scope)));
        }
        for name in ["invoices:read", "a", "labels.v2:write-all", "reports_2026", "keywords:read"] {
            let scope: Scope = name.parse().unwrap();
            assert!(matches!(scope, Scope::Platform(_)));
            assert_eq!(scope.to_string(), name);
        }
        let long = "a".repeat(65);
        for name in ["", "Invoices", "1st", "a b", "a,b", "a;b", "a=b", "a:", "größe", "*", &long] {
            assert!(matches!(name.parse::<Scope>(), Err(ScopeError::Malformed(_))), "{name:?}");
        }
        for name in ["keyward", "keyward:all", "keyward:reads", "keyward.read", "keyward_read", "keyward-read"] {
            assert!(matches!(name.parse::<Scope>(), Err(ScopeError::Reserved(_))), "{name:?}");
        }
    }

    #[test]
    fn only_scopes_of_the_platform_are_declared_and_with_a_description() {
        let declared = DeclaredScope::new("invoices:read", " Read invoices ").unwrap();
        assert_eq!((declared.scope().to_string().as_str(), declared.description()), ("invoices:read", "Read invoices"));
        assert_eq!(DeclaredScope::new("keyward:read", "x"), Err(DeclarationError::BuiltIn(KeywardScope::Read)));
        assert!(matches!(DeclaredScope::new("invoices:read", " "), Err(DeclarationError::Description(_))));
        assert!(matches!(DeclaredScope::new("Invoices", "x"), Err(DeclarationError::Name(_))));
    }
}
