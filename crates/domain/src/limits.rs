//! Limits of a key: what it may do of what its owner may do, from where, and from when.
//!
//! The effective permission of a key is the permission of its owner, less what the limits of the key take away. This
//! module decides what limits allow, and [`Principal`](crate::principal::Principal) applies it to every permission.

mod scope;

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr, sync::Arc};

use ipnet::IpNet;
use jiff::Timestamp;

pub use self::scope::{DeclarationError, DeclaredScope, KeywardScope, PlatformScope, Scope, ScopeError};
use crate::{PrincipalId, ProjectId, WorkspaceId, secret::quoted};

/// The maximum number of entries in each list of limits.
pub const MAX_LIMIT_ENTRIES: usize = 100;

/// The limits of a key. `None` limits nothing, and an empty list allows nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// What the key may do: built-in scopes at Keyward, and the scopes of the platform's own routes.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The projects that it reaches. With this limit, it reaches nothing else of a workspace.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// The workspaces that it reaches. Only keys of users have this limit.
    pub workspaces: Option<BTreeSet<WorkspaceId>>,
    /// The networks that its requests may come from.
    pub cidrs: Option<BTreeSet<Cidr>>,
    /// When it begins to be accepted.
    pub not_before: Option<Timestamp>,
}

/// A field of [`Limits`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LimitName {
    /// `scopes`
    Scopes,
    /// `projects`
    Projects,
    /// `workspaces`
    Workspaces,
    /// `cidrs`
    Cidrs,
    /// `not_before`
    NotBefore,
}

impl LimitName {
    /// All fields, in their order.
    pub const ALL: [Self; 5] = [Self::Scopes, Self::Projects, Self::Workspaces, Self::Cidrs, Self::NotBefore];

    /// Returns the name in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scopes => "scopes",
            Self::Projects => "projects",
            Self::Workspaces => "workspaces",
            Self::Cidrs => "cidrs",
            Self::NotBefore => "not_before",
        }
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A network of IP addresses, such as `10.1.0.0/16`, or a single IP address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cidr(IpNet);

/// A text that is not a network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CidrError {
    /// It is neither a network nor an IP address.
    #[error("{} is not a network such as 10.1.0.0/16 or an IP address such as 192.0.2.7", quoted(.0))]
    Malformed(String),
    /// It has bits after its prefix, so it is unclear which network is meant.
    #[error("{0} has bits set after its prefix; write {1} for the network")]
    HostBits(IpNet, IpNet),
    /// It is an IPv4 network in the form of IPv6. Addresses are compared in the form of IPv4.
    #[error("{0} is an IPv4 network in the form of IPv6; write it in the form of IPv4, such as 192.0.2.0/24")]
    Mapped(IpNet),
}

impl Cidr {
    /// Returns whether it contains an IP address.
    #[must_use]
    pub fn contains(&self, ip_address: IpAddr) -> bool {
        self.0.contains(&ip_address.to_canonical())
    }

    /// Returns whether it contains every address of its kind.
    fn is_everything(&self) -> bool {
        self.0.prefix_len() == 0
    }

    fn includes(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| CidrError::Malformed(text.to_owned()))?;
        if network.trunc() != network {
            return Err(CidrError::HostBits(network, network.trunc()));
        }
        match network {
            IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => Err(CidrError::Mapped(network)),
            _ => Ok(Self(network)),
        }
    }
}

/// Always with a prefix length: `192.0.2.7/32`.
impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a key is refused now, by its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UseRefusal {
    /// It is accepted from this time on.
    NotBefore(Timestamp),
    /// The request comes from this IP address, which is in none of its networks, or from an unknown one.
    Address(Option<IpAddr>),
}

/// The limits of a key as its requests carry them. Most keys have none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyLimits(Option<Arc<Limits>>);

/// Limits that the caller of a change may give to a key. Only [`KeyLimits::grant`] creates them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantedLimits(KeyLimits);

impl GrantedLimits {
    /// Returns the limits.
    #[must_use]
    pub fn into_limits(self) -> KeyLimits {
        self.0
    }
}

impl From<Limits> for KeyLimits {
    fn from(limits: Limits) -> Self {
        Self((limits != Limits::default()).then(|| Arc::new(limits)))
    }
}

impl KeyLimits {
    /// Returns the limits of a key without any.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Returns the limits, if the key has any.
    #[must_use]
    pub fn get(&self) -> Option<&Limits> {
        self.0.as_deref()
    }

    /// Returns whether the key has no limits.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Returns why a request at this time and from this IP address is refused, if it is. `None` is an unknown address.
    ///
    /// # Errors
    /// The key is not valid yet, or the request comes from elsewhere.
    pub fn check_use(&self, now: Timestamp, ip_address: Option<IpAddr>) -> Result<(), UseRefusal> {
        let Some(limits) = &self.0 else { return Ok(()) };
        if let Some(start) = limits.not_before
            && now < start
        {
            return Err(UseRefusal::NotBefore(start));
        }
        match &limits.cidrs {
            Some(cidrs) if !ip_address.is_some_and(|address| cidrs.iter().any(|cidr| cidr.contains(address))) => {
                Err(UseRefusal::Address(ip_address))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the key may do what needs a built-in scope.
    #[must_use]
    pub fn allows(&self, scope: KeywardScope) -> bool {
        let Some(scopes) = self.get().and_then(|limits| limits.scopes.as_ref()) else { return true };
        scopes.iter().any(|own| matches!(own, Scope::Keyward(own) if *own >= scope))
    }

    /// Returns the scopes, if the key is limited to some. An API behind a proxy lets such a key pass only where one of
    /// them is required.
    #[must_use]
    pub fn scopes(&self) -> Option<&BTreeSet<Scope>> {
        self.get()?.scopes.as_ref()
    }

    /// Returns whether the key has a scope that a route requires. The built-in scopes include each other.
    #[must_use]
    pub fn has_scope(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Keyward(scope) => self.allows(*scope),
            Scope::Platform(_) => self.scopes().is_none_or(|scopes| scopes.contains(scope)),
        }
    }

    /// Returns the projects, if the key is limited to some.
    #[must_use]
    pub fn projects(&self) -> Option<&BTreeSet<ProjectId>> {
        self.get()?.projects.as_ref()
    }

    /// Returns the workspaces, if the key is limited to some.
    #[must_use]
    pub fn workspaces(&self) -> Option<&BTreeSet<WorkspaceId>> {
        self.get()?.workspaces.as_ref()
    }

    /// Returns whether the key reaches a project, as far as its list of projects decides.
    #[must_use]
    pub fn reaches_project(&self, project: ProjectId) -> bool {
        self.projects().is_none_or(|projects| projects.contains(&project))
    }

    /// Returns whether the key reaches a workspace, as far as its list of workspaces decides.
    #[must_use]
    pub fn reaches_workspace(&self, workspace: WorkspaceId) -> bool {
        self.workspaces().is_none_or(|workspaces| workspaces.contains(&workspace))
    }

    /// Returns whether the key is limited to some workspaces or projects, so that it reaches nothing of the whole
    /// installation.
    #[must_use]
    pub fn has_places(&self) -> bool {
        self.get().is_some_and(|limits| limits.projects.is_some() || limits.workspaces.is_some())
    }

    /// Returns whether the key is limited to networks. A network of all addresses limits nothing.
    #[must_use]
    pub fn has_networks(&self) -> bool {
        let cidrs = self.get().and_then(|limits| limits.cidrs.as_ref());
        cidrs.is_some_and(|cidrs| !cidrs.iter().any(Cidr::is_everything))
    }

    /// Returns the limits that a caller with these limits gives to a key of `owner`. What the request does not limit is
    /// limited as the caller is, so that a key never gives more than it has.
    ///
    /// # Errors
    /// The field in which the request exceeds the limits of the caller.
    pub fn grant(&self, requested: &Self, owner: PrincipalId) -> Result<GrantedLimits, LimitName> {
        let Some(own) = self.get() else { return Ok(GrantedLimits(requested.clone())) };
        let of_user = matches!(owner, PrincipalId::User(_));
        let mut granted = requested.get().cloned().unwrap_or_default();
        granted.scopes = granted.scopes.or_else(|| own.scopes.clone());
        granted.projects = granted.projects.or_else(|| own.projects.clone());
        if of_user {
            granted.workspaces = granted.workspaces.or_else(|| own.workspaces.clone());
        }
        granted.cidrs = granted.cidrs.or_else(|| own.cidrs.clone());
        let granted = granted.into();
        match self.find_excess(&granted, of_user) {
            None => Ok(GrantedLimits(granted)),
            Some(name) => Err(name),
        }
    }

    /// Returns whether a key with the other limits may do something that a key with these may not.
    #[must_use]
    pub fn is_narrower_than(&self, other: &Self) -> bool {
        let start = |limits: &Self| limits.get().and_then(|limits| limits.not_before);
        let starts_earlier = start(self).is_some_and(|own| start(other).is_none_or(|other| other < own));
        starts_earlier || self.find_excess(other, true).is_some()
    }

    /// Checks that another key of `owner` has no more than a caller with these limits could give to it.
    ///
    /// # Errors
    /// The field in which the other key exceeds these limits.
    pub fn require_within(&self, other: &Self, owner: PrincipalId) -> Result<(), LimitName> {
        self.find_excess(other, matches!(owner, PrincipalId::User(_))).map_or(Ok(()), Err)
    }

    /// Returns a field in which other limits allow more than these.
    fn find_excess(&self, other: &Self, of_user: bool) -> Option<LimitName> {
        let own = self.get()?;
        let none = Limits::default();
        let other = other.get().unwrap_or(&none);
        let includes = |cidr: &Cidr| own.cidrs.iter().flatten().any(|network| network.includes(cidr));
        let scopes = is_within(own.scopes.as_ref(), other.scopes.as_ref(), |scope| self.has_scope(scope));
        let projects = is_within(own.projects.as_ref(), other.projects.as_ref(), |id| self.reaches_project(*id));
        let reaches = |id: &WorkspaceId| self.reaches_workspace(*id);
        let workspaces = is_within(own.workspaces.as_ref(), other.workspaces.as_ref(), reaches);
        let cidrs = is_within(own.cidrs.as_ref(), other.cidrs.as_ref(), includes);
        // A key that is used is valid already, so another key may be valid from any time on. A service account is in one
        // workspace, which is one of these, because the caller manages its keys there.
        let checks = [
            (LimitName::Scopes, scopes),
            (LimitName::Projects, projects),
            (LimitName::Workspaces, workspaces || !of_user),
            (LimitName::Cidrs, cidrs),
        ];
        checks.into_iter().find(|(_, is_within)| !is_within).map(|(name, _)| name)
    }
}

/// Returns whether a list allows no more than another one.
fn is_within<T>(own: Option<&BTreeSet<T>>, other: Option<&BTreeSet<T>>, includes: impl Fn(&T) -> bool) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(_), Some(other)) => other.iter().all(includes),
    }
}

/// The form in the database and in the audit log: `scopes=keyward:read,invoices:read;cidrs=10.0.0.0/8`. A limit that
/// is absent limits nothing.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scopes, projects, workspaces, cidrs, not_before } = self;
        let mut fields = [
            (LimitName::Scopes, scopes.as_ref().map(join)),
            (LimitName::Projects, projects.as_ref().map(join)),
            (LimitName::Workspaces, workspaces.as_ref().map(join)),
            (LimitName::Cidrs, cidrs.as_ref().map(join)),
            (LimitName::NotBefore, not_before.map(|start| start.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
        f.write_str(&fields.next().unwrap_or_default())?;
        fields.try_for_each(|field| write!(f, ";{field}"))
    }
}

fn join<T: fmt::Display>(items: &BTreeSet<T>) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A text that is not the form of limits in the database.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a limit of a key that this release knows")]
pub struct LimitsError(String);

/// Reads the form in the database. A limit that this release does not know is an error, so that a key is never used
/// with fewer limits than it has.
impl FromStr for Limits {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let mut limits = Self::default();
        let mut last = None;
        for field in text.split(';') {
            let error = || LimitsError(field.to_owned());
            let (name, value) = field.split_once('=').ok_or_else(error)?;
            let name = LimitName::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(error)?;
            if last.is_some_and(|last| last >= name) {
                return Err(error());
            }
            last = Some(name);
            match name {
                LimitName::Scopes => limits.scopes = Some(split(value).ok_or_else(error)?),
                LimitName::Projects => limits.projects = Some(split(value).ok_or_else(error)?),
                LimitName::Workspaces => limits.workspaces = Some(split(value).ok_or_else(error)?),
                LimitName::Cidrs => limits.cidrs = Some(split(value).ok_or_else(error)?),
                LimitName::NotBefore => limits.not_before = Some(value.parse().map_err(|_| error())?),
            }
        }
        Ok(limits)
    }
}

fn split<T: FromStr + Ord>(text: &str) -> Option<BTreeSet<T>> {
    text.split(',').filter(|_| !text.is_empty()).map(|item| item.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_parsed_strictly() {
        let contains = |cidr: &str, ip: &str| cidr.parse::<Cidr>().unwrap().contains(ip.parse().unwrap());
        assert!(contains("10.1.0.0/16", "10.1.255.9") && !contains("10.1.0.0/16", "10.2.0.1"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.8"));
        assert!(contains("192.0.2.7", "::ffff:192.0.2.7"), "an address in the form of IPv6 is the same address");
        assert!(contains("2001:db8::/32", "2001:db8::1") && !contains("2001:db8::/32", "192.0.2.7"));
        assert!(!contains("::/0", "192.0.2.7") && contains("0.0.0.0/0", "192.0.2.7"));
        assert_eq!("192.0.2.7".parse::<Cidr>().unwrap().to_string(), "192.0.2.7/32");
        let host_bits = "10.1.0.7/16".parse::<Cidr>().unwrap_err();
        assert!(host_bits.to_string().contains("10.1.0.0/16"), "{host_bits}");
        assert!(matches!("::ffff:10.0.0.0/104".parse::<Cidr>(), Err(CidrError::Mapped(_))));
        for text in ["", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.0/8 ", "fe80::1%eth0", "10.0.0.0/-1"] {
            assert!(matches!(text.parse::<Cidr>(), Err(CidrError::Malformed(_))), "{text:?}");
        }
    }

    #[test]
    fn limits_are_stored_in_one_form_and_read_strictly() {
        let text = "scopes=keyward:read,invoices:read;projects=;workspaces=ws_01h455vb4pex5vsknk084sn02q;\
                    cidrs=10.0.0.0/8,2001:db8::/32;not_before=2026-06-01T00:00:00Z";
        let limits: Limits = text.parse().unwrap();
        assert_eq!(limits.to_string(), text);
        assert_eq!(limits.projects, Some(BTreeSet::new()));
        assert_eq!("not_before=2026-06-01T00:00:00Z".parse::<Limits>().unwrap().scopes, None);
        for text in [
            "",
            "scopes",
            "scopes=keyward:all",
            "scopes=,",
            "scopes=a,,b",
            "scopes=a;scopes=b",
            "cidrs=10.0.0.0/8;scopes=a",
            "audience=x",
            "projects=ws_01h455vb4pex5vsknk084sn02q",
            "not_before=tomorrow",
            "scopes=a;",
        ] {
            assert!(text.parse::<Limits>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_is_used_from_its_networks_and_from_its_time_on() {
        let start: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let before: Timestamp = "2026-05-31T23:59:59Z".parse().unwrap();
        let (here, elsewhere) = (Some([10, 0, 0, 1].into()), Some([192, 0, 2, 7].into()));
        let limits = |text: &str| KeyLimits::from(text.parse::<Limits>().unwrap());
        let both = limits("cidrs=10.0.0.0/8;not_before=2026-06-01T00:00:00Z");
        assert_eq!(both.check_use(start, here), Ok(()));
        assert_eq!(both.check_use(before, here), Err(UseRefusal::NotBefore(start)));
        assert_eq!(both.check_use(start, elsewhere), Err(UseRefusal::Address(elsewhere)));
        assert_eq!(both.check_use(start, None), Err(UseRefusal::Address(None)));
        assert_eq!(limits("cidrs=").check_use(start, here), Err(UseRefusal::Address(here)));
        assert_eq!(KeyLimits::none().check_use(before, None), Ok(()));
        assert_eq!(limits("scopes=").check_use(before, None), Ok(()));
    }

    #[test]
    fn built_in_scopes_include_each_other_and_an_empty_list_allows_nothing() {
        use KeywardScope::{Manage, Read, Write};
        let allows = |text: &str| {
            let limits = KeyLimits::from(text.parse::<Limits>().unwrap());
            [Read, Write, Manage].map(|scope| limits.allows(scope))
        };
        assert_eq!(allows("scopes=keyward:read"), [true, false, false]);
        assert_eq!(allows("scopes=keyward:write"), [true, true, false]);
        assert_eq!(allows("scopes=keyward:manage"), [true, true, true]);
        assert_eq!(allows("scopes="), [false, false, false]);
        assert_eq!(allows("scopes=invoices:read"), [false, false, false]);
        assert_eq!(allows("projects="), [true, true, true], "other limits are no scopes");
        assert!(KeyLimits::from(Limits::default()).is_none());
    }
}
