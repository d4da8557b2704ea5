//! The part of a form that sets the limits of a key. The page for a new key and the page that changes limits have it.

use std::collections::BTreeSet;

use api::FieldError;
use domain::{
    Timestamp,
    limits::{Cidr, DeclaredScope, KeywardScope},
};

use crate::{
    AppError,
    app::{LimitPlaces, LimitProject},
    ui::{
        form::{Fields, start_of_day},
        key_limits::show_network,
        page::FormErrors,
    },
};

/// The choice without a limit.
const ALL: &str = "all";
/// The choice of the entries that are selected below it.
const CHOSEN: &str = "chosen";
/// The fields of the API, and those of the form.
const FIELDS: [(&str, &str); 5] = [
    ("limits.scopes", "scopes"),
    ("limits.projects", "projects"),
    ("limits.workspaces", "workspaces"),
    ("limits.cidrs", "networks"),
    ("limits.not_before", "valid_from"),
];

/// What was entered, or what the key has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::ui::api_key) struct LimitsForm {
    scopes: Entered,
    projects: Entered,
    workspaces: Entered,
    networks: String,
    valid_from: String,
    /// The limits that the key has.
    saved: api::KeyLimits,
}

/// A choice, with the entries that are selected for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Entered {
    choice: String,
    entries: Vec<String>,
}

impl Entered {
    fn saved<T: ToString>(list: Option<&Vec<T>>) -> Self {
        match list {
            None => Self { choice: ALL.to_owned(), entries: Vec::new() },
            Some(list) => Self { choice: CHOSEN.to_owned(), entries: list.iter().map(ToString::to_string).collect() },
        }
    }

    /// Takes the fields of the form. A form without the choice is from another page, and changes nothing.
    fn take(&mut self, fields: &Fields, choice: &str, entry: &str) {
        let Some((_, chosen)) = fields.iter().find(|(name, _)| name == choice) else { return };
        self.choice.clone_from(chosen);
        self.entries = fields.iter().filter(|(name, _)| name == entry).map(|(_, value)| value.clone()).collect();
    }

    /// Returns the entries, or `None` without a limit. An empty list allows nothing. It is no choice of the form, so it is
    /// kept and not set.
    fn list<T: std::str::FromStr + ToString>(
        &self,
        saved: Option<&Vec<T>>,
        what: &str,
    ) -> Result<Option<Vec<T>>, String> {
        match self.choice.as_str() {
            "" | ALL => Ok(None),
            CHOSEN if self.entries.is_empty() && !saved.is_some_and(Vec::is_empty) => {
                Err(format!("choose at least one {what}, or remove this limit"))
            }
            CHOSEN => {
                let parsed: Option<Vec<T>> = self.entries.iter().map(|entry| entry.parse().ok()).collect();
                parsed.map(Some).ok_or_else(|| format!("one of these is not a {what}; choose those that are offered"))
            }
            _ => Err("choose one of the offered limits".to_owned()),
        }
    }
}

impl LimitsForm {
    /// Returns the form of a key with these limits.
    pub(in crate::ui::api_key) fn of(limits: Option<&api::KeyLimits>) -> Self {
        let saved = limits.cloned().unwrap_or_default();
        let mut scopes = Entered::saved(saved.scopes.as_ref());
        if let Some(preset) = saved.scopes.as_deref().and_then(preset_of) {
            preset.as_str().clone_into(&mut scopes.choice);
        }
        Self {
            scopes,
            projects: Entered::saved(saved.projects.as_ref()),
            workspaces: Entered::saved(saved.workspaces.as_ref()),
            networks: saved.cidrs.iter().flatten().map(|cidr| show_network(cidr)).collect::<Vec<_>>().join("\n"),
            valid_from: saved.not_before.map_or_else(String::new, day_of),
            saved,
        }
    }

    /// Returns the form with the fields that were submitted.
    pub(in crate::ui::api_key) fn with(mut self, fields: &Fields) -> Self {
        self.scopes.take(fields, "scopes", "scope");
        self.projects.take(fields, "projects", "project");
        self.workspaces.take(fields, "workspaces", "workspace");
        let text = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
        self.networks = text("networks").unwrap_or(self.networks);
        self.valid_from = text("valid_from").unwrap_or(self.valid_from);
        self
    }

    /// Returns the limits that the key has.
    pub(in crate::ui::api_key) const fn saved(&self) -> &api::KeyLimits {
        &self.saved
    }

    /// Returns the limits, or `None` if there is none.
    ///
    /// # Errors
    /// What is wrong, field by field.
    pub(in crate::ui::api_key) fn limits(&self) -> Result<Option<api::KeyLimits>, AppError> {
        let mut errors = Vec::new();
        let mut keep = |name: &str, detail: String| {
            errors.push(FieldError { field: format!("limits.{name}"), code: "malformed".to_owned(), detail });
        };
        let scopes = match KeywardScope::ALL.into_iter().find(|scope| scope.as_str() == self.scopes.choice) {
            Some(preset) => Ok(Some(vec![preset.as_str().to_owned()])),
            None => self.scopes.list(self.saved.scopes.as_ref(), "scope"),
        };
        let scopes = scopes.unwrap_or_else(|detail| {
            keep("scopes", detail);
            None
        });
        let projects = self.projects.list(self.saved.projects.as_ref(), "project").unwrap_or_else(|detail| {
            keep("projects", detail);
            None
        });
        let workspaces = self.workspaces.list(self.saved.workspaces.as_ref(), "workspace").unwrap_or_else(|detail| {
            keep("workspaces", detail);
            None
        });
        let cidrs = self.cidrs().unwrap_or_else(|detail| {
            keep("cidrs", detail);
            None
        });
        let not_before = match self.saved.not_before.filter(|saved| day_of(*saved) == self.valid_from) {
            // A date that was not changed keeps its time.
            Some(saved) => Some(saved),
            None => match start_of_day("limits.not_before", &self.valid_from) {
                Ok(start) => start,
                Err(AppError::Invalid(wrong)) => {
                    errors.extend(wrong);
                    None
                }
                Err(error) => return Err(error),
            },
        };
        if !errors.is_empty() {
            return Err(AppError::Invalid(errors));
        }
        let limits = api::KeyLimits { scopes, projects, workspaces, cidrs, not_before };
        Ok((limits != api::KeyLimits::default()).then_some(limits))
    }

    /// Returns the networks, which are separated by commas or white space.
    fn cidrs(&self) -> Result<Option<Vec<String>>, String> {
        let texts: Vec<&str> =
            self.networks.split(|c: char| c == ',' || c.is_whitespace()).filter(|text| !text.is_empty()).collect();
        let wrong: Vec<String> =
            texts.iter().filter_map(|text| text.parse::<Cidr>().err()).take(5).map(|error| error.to_string()).collect();
        if !wrong.is_empty() {
            return Err(wrong.join(". "));
        }
        if texts.is_empty() {
            let is_kept = self.saved.cidrs.as_ref().is_some_and(Vec::is_empty);
            return Ok(is_kept.then(Vec::new));
        }
        Ok(Some(texts.into_iter().map(str::to_owned).collect()))
    }

    fn is_empty(&self) -> bool {
        let is_all = |entered: &Entered| matches!(entered.choice.as_str(), "" | ALL);
        is_all(&self.scopes)
            && is_all(&self.projects)
            && is_all(&self.workspaces)
            && self.networks.is_empty()
            && self.valid_from.is_empty()
    }
}

/// Moves the errors of the operation to the fields of the form.
pub(in crate::ui::api_key) fn at_fields(errors: FormErrors) -> FormErrors {
    FIELDS.into_iter().fold(errors, |errors, (from, to)| errors.at_field(from, to))
}

fn day_of(start: Timestamp) -> String {
    start.strftime("%Y-%m-%d").to_string()
}

/// Returns the choice that allows exactly these scopes.
fn preset_of(scopes: &[String]) -> Option<KeywardScope> {
    let is = |names: &[&str]| scopes.len() == names.len() && scopes.iter().all(|scope| names.contains(&scope.as_str()));
    let (read, write) = (KeywardScope::Read, KeywardScope::Write);
    if is(&[read.as_str()]) {
        Some(read)
    } else if is(&[write.as_str()]) || is(&[read.as_str(), write.as_str()]) {
        Some(write)
    } else {
        None
    }
}

/// A choice on the form.
pub(in crate::ui) struct LimitOption {
    pub(in crate::ui) value: &'static str,
    pub(in crate::ui) label: &'static str,
    pub(in crate::ui) is_chosen: bool,
}

/// An entry that can be selected.
pub(in crate::ui) struct LimitEntry {
    pub(in crate::ui) value: String,
    pub(in crate::ui) label: String,
    pub(in crate::ui) note: String,
    pub(in crate::ui) is_code: bool,
    pub(in crate::ui) is_chosen: bool,
}

/// One limit: the choices, and the entries that are selected for the last of them.
pub(in crate::ui) struct LimitSet {
    /// The name of the choice.
    pub(in crate::ui) name: &'static str,
    /// The name of an entry.
    pub(in crate::ui) entry: &'static str,
    pub(in crate::ui) label: &'static str,
    pub(in crate::ui) hint: String,
    pub(in crate::ui) options: Vec<LimitOption>,
    pub(in crate::ui) entries: Vec<LimitEntry>,
}

/// The fields of the form.
pub(in crate::ui) struct LimitFields {
    pub(in crate::ui) sets: Vec<LimitSet>,
    pub(in crate::ui) networks: String,
    pub(in crate::ui) valid_from: String,
    /// Whether the key has limits, so that they are not folded.
    pub(in crate::ui) is_open: bool,
}

impl LimitFields {
    /// Creates the fields of a form for a key with these places.
    pub(in crate::ui::api_key) fn new(form: &LimitsForm, places: &LimitPlaces, declared: &[DeclaredScope]) -> Self {
        let of_user = !places.workspaces.is_empty();
        let mut sets = vec![scopes(form, declared), projects(form, places)];
        if of_user {
            sets.push(workspaces(form, places));
        }
        Self { sets, networks: form.networks.clone(), valid_from: form.valid_from.clone(), is_open: !form.is_empty() }
    }
}

fn options(entered: &Entered, all: &[(&'static str, &'static str)]) -> Vec<LimitOption> {
    let chosen = if all.iter().any(|(value, _)| *value == entered.choice) { entered.choice.as_str() } else { ALL };
    all.iter().map(|&(value, label)| LimitOption { value, label, is_chosen: value == chosen }).collect()
}

fn scopes(form: &LimitsForm, declared: &[DeclaredScope]) -> LimitSet {
    let entered = &form.scopes;
    let mut entries: Vec<LimitEntry> = Vec::new();
    let mut add = |value: String, note: &str| {
        let is_chosen = entered.entries.contains(&value);
        entries.push(LimitEntry { label: value.clone(), value, note: note.to_owned(), is_code: true, is_chosen });
    };
    for scope in KeywardScope::ALL {
        add(scope.as_str().to_owned(), scope.description());
    }
    for scope in declared {
        add(scope.scope().to_string(), scope.description());
    }
    let known: BTreeSet<String> = declared.iter().map(|scope| scope.scope().to_string()).collect();
    let is_unknown = |scope: &&String| {
        !known.contains(*scope) && KeywardScope::ALL.iter().all(|built_in| built_in.as_str() != scope.as_str())
    };
    for scope in form.saved.scopes.iter().flatten().filter(is_unknown) {
        add(scope.clone(), "No longer declared");
    }
    let all = [
        (ALL, "Everything"),
        (KeywardScope::Read.as_str(), "Only read"),
        (KeywardScope::Write.as_str(), "Read and change projects"),
        (CHOSEN, "Chosen scopes"),
    ];
    let hint = "At most what its owner may do. With scopes, an API behind Keyward accepts the key only where its route \
                names one of them.";
    LimitSet {
        name: "scopes",
        entry: "scope",
        label: "What it may do",
        hint: hint.to_owned(),
        options: options(entered, &all),
        entries,
    }
}

fn projects(form: &LimitsForm, places: &LimitPlaces) -> LimitSet {
    let entered = &form.projects;
    let has_several = places.workspaces.len() > 1;
    let mut entries: Vec<LimitEntry> = places
        .projects
        .iter()
        .map(|project| {
            let LimitProject { id, title, workspace, is_reached } = project;
            let note = match (is_reached, workspace) {
                (false, _) => "The owner no longer reaches it",
                (true, Some((_, name))) if has_several => name,
                (true, _) => "",
            };
            let value = id.to_string();
            let is_chosen = entered.entries.contains(&value);
            let label = title.clone().unwrap_or_else(|| value.clone());
            LimitEntry { value, label, note: note.to_owned(), is_code: title.is_none(), is_chosen }
        })
        .collect();
    entries.sort_by_cached_key(|entry| (entry.note.clone(), entry.label.to_lowercase()));
    let mut hint =
        "With chosen projects, it reaches these and nothing else of a workspace, and creates none.".to_owned();
    if places.has_more_projects {
        hint.push_str(" The first 100 projects are listed. `keyward keys limit` takes the others.");
    }
    let all = [(ALL, "Every project"), (CHOSEN, "Chosen projects")];
    let all = if entries.is_empty() { &all[..1] } else { &all[..] };
    if entries.is_empty() {
        "There are no projects to choose from yet.".clone_into(&mut hint);
    }
    LimitSet { name: "projects", entry: "project", label: "Projects", hint, options: options(entered, all), entries }
}

fn workspaces(form: &LimitsForm, places: &LimitPlaces) -> LimitSet {
    let entered = &form.workspaces;
    let mut entries: Vec<LimitEntry> = places
        .workspaces
        .iter()
        .map(|workspace| {
            let value = workspace.id.to_string();
            let is_chosen = entered.entries.contains(&value);
            let (label, note, is_code) = match &workspace.name {
                Some((_, name)) => (name.clone(), "", false),
                None => (value.clone(), "You are no longer a member", true),
            };
            LimitEntry { value, label, note: note.to_owned(), is_code, is_chosen }
        })
        .collect();
    entries.sort_by_cached_key(|entry| (entry.note.clone(), entry.label.to_lowercase()));
    let all = [(ALL, "Every workspace"), (CHOSEN, "Chosen workspaces")];
    let hint = "Every workspace includes those that you join later.".to_owned();
    LimitSet {
        name: "workspaces",
        entry: "workspace",
        label: "Workspaces",
        hint,
        options: options(entered, &all),
        entries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(fields: &[(&str, &str)]) -> Fields {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn form(fields: &[(&str, &str)]) -> LimitsForm {
        LimitsForm::default().with(&sent(fields))
    }

    fn wrong(form: &LimitsForm) -> Vec<(String, String)> {
        match form.limits() {
            Err(AppError::Invalid(errors)) => {
                errors.into_iter().map(|error| (error.field.clone(), error.detail.clone())).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_form_without_limits_sets_none() {
        assert_eq!(form(&[]).limits().unwrap(), None);
        let all = form(&[
            ("scopes", "all"),
            ("projects", "all"),
            ("project", "prj_x"),
            ("networks", " \n,"),
            ("valid_from", ""),
        ]);
        assert_eq!(all.limits().unwrap(), None, "entries count only for their choice");
    }

    #[test]
    fn limits_are_read_from_the_fields() {
        let project = "prj_01h455vb4pex5vsknk084sn02q";
        let limits = form(&[
            ("scopes", "keyward:write"),
            ("projects", "chosen"),
            ("project", project),
            ("networks", "10.0.0.0/8, 192.0.2.7\r\n2001:db8::/32"),
            ("valid_from", "2026-12-03"),
        ]);
        let limits = limits.limits().unwrap().unwrap();
        assert_eq!(limits.scopes, Some(vec!["keyward:write".to_owned()]));
        assert_eq!(limits.projects, Some(vec![project.parse().unwrap()]));
        assert_eq!(limits.workspaces, None);
        let networks = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"].map(str::to_owned);
        assert_eq!(limits.cidrs, Some(networks.to_vec()));
        assert_eq!(limits.not_before.unwrap().to_string(), "2026-12-03T00:00:00Z");
    }

    #[test]
    fn each_wrong_field_is_reported() {
        let form = form(&[
            ("scopes", "chosen"),
            ("projects", "some"),
            ("workspaces", "chosen"),
            ("workspace", "acme"),
            ("networks", "10.1.0.7/16, example.com"),
            ("valid_from", "soon"),
        ]);
        let wrong = wrong(&form);
        let fields: Vec<&str> = wrong.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, FIELDS.map(|(field, _)| field));
        let networks = &wrong[3].1;
        assert!(networks.contains("write 10.1.0.0/16") && networks.contains("`example.com`"), "{networks}");
    }

    #[test]
    fn what_was_not_changed_stays_exactly_as_it_is() {
        let saved = api::KeyLimits {
            scopes: Some(Vec::new()),
            projects: Some(Vec::new()),
            workspaces: None,
            cidrs: Some(vec!["192.0.2.7/32".to_owned()]),
            not_before: Some("2026-12-03T14:30:00Z".parse().unwrap()),
        };
        let form = LimitsForm::of(Some(&saved));
        let again = form.clone().with(&sent(&[
            ("scopes", "chosen"),
            ("projects", "chosen"),
            ("networks", &form.networks),
            ("valid_from", "2026-12-03"),
        ]));
        let limits = again.limits().unwrap().unwrap();
        assert_eq!((&limits.scopes, &limits.projects), (&saved.scopes, &saved.projects), "nothing is still allowed");
        assert_eq!(limits.not_before, saved.not_before, "the time of the day is kept");
        assert_eq!(form.with(&Fields::new()).limits().unwrap().unwrap().projects, saved.projects);
    }

    #[test]
    fn a_preset_is_shown_for_what_it_allows() {
        let choice = |scopes: &[&str]| {
            let scopes = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
            LimitsForm::of(Some(&api::KeyLimits { scopes, ..api::KeyLimits::default() })).scopes.choice
        };
        assert_eq!(choice(&["keyward:read"]), "keyward:read");
        assert_eq!(choice(&["keyward:read", "keyward:write"]), "keyward:write");
        assert_eq!(choice(&["keyward:read", "invoices:read"]), "chosen");
        assert_eq!(LimitsForm::of(None).scopes.choice, "all");
    }
}
