//! The limits of a key in words: for its page, for lists, and for the events that set and change them.

use domain::limits::{KeywardScope, Limits};

use crate::app::limits_to_wire;

/// Something that a limit names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    /// Its page, if the reader may open it.
    pub(super) path: Option<String>,
    /// What else is to be said about it.
    pub(super) note: &'static str,
}

impl Named {
    pub(super) fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), path: None, note: "" }
    }
}

/// A limit with its label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) label: &'static str,
    pub(super) items: Vec<Named>,
}

impl Line {
    /// Returns the line of a list. An empty list allows nothing.
    pub(super) fn new(label: &'static str, items: Vec<Named>) -> Self {
        Self { label, items: if items.is_empty() { vec![Named::text("None")] } else { items } }
    }
}

/// Returns a network as people write it: a single IP address has no prefix length.
pub(super) fn show_network(network: &str) -> &str {
    match network.split_once('/') {
        Some((address, "32")) if !address.contains(':') => address,
        Some((address, "128")) => address,
        _ => network,
    }
}

/// Returns the time from which a key is accepted.
pub(super) fn show_start(start: domain::Timestamp) -> String {
    start.strftime("%-d %b %Y, %H:%M UTC").to_string()
}

/// Returns what a key with these scopes may do.
pub(super) fn show_scopes(scopes: &[String]) -> String {
    let built_in = KeywardScope::ALL.into_iter().rev().find(|scope| scopes.iter().any(|name| name == scope.as_str()));
    let others: Vec<&str> = scopes
        .iter()
        .map(String::as_str)
        .filter(|name| KeywardScope::ALL.iter().all(|scope| scope.as_str() != *name))
        .collect();
    let first = match (built_in, others.is_empty()) {
        (None, true) => return "Nothing".to_owned(),
        (None, false) => return format!("Only {}", others.join(", ")),
        (Some(KeywardScope::Read), true) => return "Only read".to_owned(),
        (Some(KeywardScope::Read), false) => "Read",
        (Some(KeywardScope::Write), _) => "Read and change projects",
        (Some(KeywardScope::Manage), _) => "Everything in Keyward",
    };
    [first].into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

/// Returns the limits in a few words, such as `Only read; 2 projects`. `name_of` returns the name of a project or a
/// workspace, if the reader may know it. If it does not know all of them, they are counted.
pub(super) fn summarise(limits: &api::KeyLimits, name_of: impl Fn(&str) -> Option<String>) -> String {
    let api::KeyLimits { scopes, projects, workspaces, cidrs, not_before } = limits;
    let names = |ids: Vec<String>, one: &str, many: &str| {
        let named: Option<Vec<String>> = ids.iter().map(|id| name_of(id)).collect();
        match named {
            Some(named) if !named.is_empty() && named.len() <= 5 => {
                format!("{} {}", if named.len() == 1 { one } else { many }, named.join(", "))
            }
            _ => count(ids.len(), one, many),
        }
    };
    let texts = [
        scopes.as_deref().map(show_scopes),
        projects.as_ref().map(|ids| names(ids.iter().map(ToString::to_string).collect(), "project", "projects")),
        workspaces.as_ref().map(|ids| names(ids.iter().map(ToString::to_string).collect(), "workspace", "workspaces")),
        cidrs.as_deref().map(|networks| match networks {
            [] => "from no network".to_owned(),
            few if few.len() <= 3 => {
                format!("from {}", few.iter().map(|network| show_network(network)).collect::<Vec<_>>().join(", "))
            }
            many => format!("from {} networks", many.len()),
        }),
        not_before.map(|start| format!("valid from {}", show_start(start))),
    ];
    let text = texts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns the limits in an event, in a few words. Returns nothing if the key has none.
pub(super) fn summarise_event(recorded: &str, name_of: impl Fn(&str) -> Option<String>) -> String {
    if recorded.is_empty() {
        return String::new();
    }
    match recorded.parse::<Limits>() {
        Ok(limits) => limits_to_wire(&limits.into()).map_or_else(String::new, |limits| summarise(&limits, name_of)),
        // Written by a node of a later release.
        Err(_) => recorded.to_owned(),
    }
}

/// Returns the limits in the form that events have: `scopes=keyward:read;cidrs=10.0.0.0/8`.
pub(super) fn write_exactly(limits: &api::KeyLimits) -> String {
    let api::KeyLimits { scopes, projects, workspaces, cidrs, not_before } = limits;
    let join = |items: Vec<String>| items.join(",");
    let fields = [
        ("scopes", scopes.clone().map(join)),
        ("projects", projects.as_ref().map(|ids| join(ids.iter().map(ToString::to_string).collect()))),
        ("workspaces", workspaces.as_ref().map(|ids| join(ids.iter().map(ToString::to_string).collect()))),
        ("cidrs", cidrs.clone().map(join)),
        ("not_before", not_before.map(|start| start.to_string())),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    fields.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> api::KeyLimits {
        let limits: Limits = text.parse().unwrap();
        limits_to_wire(&limits.into()).unwrap()
    }

    #[test]
    fn limits_are_told_in_a_few_words() {
        const PROJECT: &str = "prj_01h455vb4pex5vsknk084sn02q";
        let names = |id: &str| (id == PROJECT).then(|| "Street signs".to_owned());
        let one = format!("scopes=keyward:read;projects={PROJECT}");
        let two = format!("projects={PROJECT},prj_01h455vb4pex5vsknk084sn02r;cidrs=192.0.2.7/32,2001:db8::1/128");
        for (text, told) in [
            ("scopes=", "Nothing"),
            ("scopes=keyward:read", "Only read"),
            ("scopes=keyward:read,keyward:write", "Read and change projects"),
            ("scopes=keyward:read,invoices:read", "Read, invoices:read"),
            ("scopes=invoices:read,labels:write", "Only invoices:read, labels:write"),
            ("scopes=keyward:manage", "Everything in Keyward"),
            ("projects=", "No project"),
            (&one, "Only read; project Street signs"),
            (&two, "2 projects; from 192.0.2.7, 2001:db8::1"),
            ("cidrs=10.0.0.0/8,192.0.2.0/24,198.51.100.0/24,203.0.113.0/24", "From 4 networks"),
            ("not_before=2026-12-03T00:00:00Z", "Valid from 3 Dec 2026, 00:00 UTC"),
        ] {
            assert_eq!(summarise(&limits(text), names), told, "{text}");
            assert_eq!(summarise_event(text, names), told, "{text}");
        }
        assert_eq!(summarise_event("", names), "");
        assert_eq!(summarise_event("audience=x", names), "audience=x", "of a later release");
    }

    #[test]
    fn a_file_has_limits_in_the_form_of_events() {
        let text = "scopes=keyward:read;projects=;workspaces=ws_01h455vb4pex5vsknk084sn02q;cidrs=10.0.0.0/8;\
                    not_before=2026-06-01T00:00:00Z";
        assert_eq!(write_exactly(&limits(text)), text);
    }
}
