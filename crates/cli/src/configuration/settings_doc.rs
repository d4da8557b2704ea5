//! Compares `docs/settings.md` with the code. Each setting must have a section with its default, variable and flag, and
//! each field of a table must have a row. Unknown sections and rows are refused.

use std::{cell::RefCell, collections::BTreeSet};

use clap::{Args as _, Command};

use super::*;

const PAGE: &str = include_str!("../../../../docs/settings.md");
/// The URL of a server if `public_url` is not set.
const ADDRESS: &str = "http://127.0.0.1:8080";

/// A section of the page: the heading without its backticks and brackets, and the text until the next heading.
struct Section<'a> {
    heading: &'a str,
    text: &'a str,
}

fn sections(page: &str) -> Vec<Section<'_>> {
    let parts = page.split("\n### `").skip(1);
    parts
        .map(|part| {
            let (heading, text) = part.split_once("`\n").expect("a heading ends in a backtick");
            Section { heading, text: text.split_once("\n## ").map_or(text, |(text, _)| text) }
        })
        .collect()
}

impl Section<'_> {
    fn name(&self) -> &str {
        self.heading.trim_matches(['[', ']'])
    }

    /// Returns the first cells of the rows of the section's table.
    fn fields(&self) -> BTreeSet<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
    }
}

/// Returns the variables that are read, in lower case and without their prefix.
fn variables() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let ask = |name: &str| {
        asked.borrow_mut().extend(name.strip_prefix("KEYWARD_").map(str::to_ascii_lowercase));
        Ok(None)
    };
    read_variables(ask).expect("no variable is set");
    asked.into_inner()
}

/// Returns the flags of `keyward serve` that are settings, in the form of settings.
fn flags() -> BTreeSet<String> {
    let command = ServerArguments::augment_args(Command::new("keyward"));
    let flags = command.get_arguments().filter_map(|argument| Some(argument.get_long()?.replace('-', "_")));
    flags.filter(|flag| flag != "config").collect()
}

/// Returns a setting's default, in the form of `keyward.toml`.
fn default_of(name: &str) -> String {
    let configuration = Configuration::read_with(&ServerArguments::default(), |_| Ok(None)).expect("the defaults");
    let on_postgres = Configuration { database_url: Some(String::new()), ..configuration.clone() };
    let settings = configuration.settings(ADDRESS);
    let text = |text: &str| format!("`{text}`");
    let optional = |value: Option<&dyn fmt::Display>| value.map_or("none".to_owned(), |value| format!("`{value}`"));
    let list = |items: usize| if items == 0 { "`[]`".to_owned() } else { format!("{items} items") };
    match name {
        "listen" => text(&configuration.listen.to_string()),
        "metrics_listen" => optional(configuration.metrics_listen.as_ref().map(|address| address as _)),
        "tls_certificate" | "tls_key" => {
            assert!(configuration.tls().expect("no TLS").is_none());
            optional(None)
        }
        "data" => text(&configuration.data.to_string_lossy()),
        "database_url" => optional(configuration.database_url.as_ref().map(|url| url as _)),
        "public_url" => {
            assert_eq!(settings.public_url, ADDRESS);
            "the address it listens on".to_owned()
        }
        "service_account_domain" => text(&settings.service_account_domain),
        "support_contact" => optional(settings.support_contact.as_ref().map(|contact| contact as _)),
        "workspace_creation" => text(&format!("{:?}", settings.workspace_creation).to_lowercase()),
        "hosts" => list(settings.hosts.len()),
        "proxied_hosts" => list(settings.proxied_hosts.len()),
        "encord_hosts" => list(settings.encord_hosts.len()),
        "trusted_proxies" => list(settings.trusted_proxies.len()),
        "routes" => list(settings.routes.len()),
        "scopes" => list(settings.scopes.len()),
        "self_rotation" => text(&settings.self_rotation.to_string()),
        "allow_preflights" => text(&settings.allow_preflights.to_string()),
        "fast_ed25519" => text(&settings.fast_ed25519.to_string()),
        "rate_limits" => {
            let RateLimits { per_address, per_key } = settings.rate_limits;
            text(&format!("{{ per_address = {per_address}, per_key = {per_key} }}"))
        }
        "smtp" => {
            assert!(settings.smtp.is_none());
            optional(None)
        }
        "lease" => text(&settings.lease.as_secs().to_string()),
        "drain" => {
            let [sqlite, postgres] = [&configuration, &on_postgres].map(|one| one.drain().as_secs());
            format!("`{sqlite}` on SQLite, `{postgres}` on PostgreSQL")
        }
        other => panic!("write down the default of `{other}` here and in docs/settings.md"),
    }
}

/// Returns the line after the heading of a setting.
fn summary(name: &str) -> String {
    let variable = if variables().contains(name) {
        format!("Variable: `KEYWARD_{}`.", name.to_ascii_uppercase())
    } else {
        "File only.".to_owned()
    };
    let flag = if flags().contains(name) { format!(" Flag: `--{}`.", name.replace('_', "-")) } else { String::new() };
    format!("Default: {}. {variable}{flag}", default_of(name))
}

#[test]
fn the_settings_page_has_every_setting_and_no_other() {
    let sections = sections(PAGE);
    let documented: BTreeSet<_> = sections.iter().map(Section::name).collect();
    let known: BTreeSet<_> = FieldNames::of::<Source>().iter().copied().collect();
    assert_eq!(documented, known);
    assert_eq!(sections.len(), known.len(), "a setting has two sections");
    assert!(variables().iter().all(|name| known.contains(name.as_str())), "{:?}", variables());
    assert!(flags().iter().all(|name| known.contains(name.as_str())), "{:?}", flags());
}

#[test]
fn the_settings_page_has_the_defaults_variables_and_flags_of_the_code() {
    for section in sections(PAGE) {
        assert_eq!(section.text.lines().next(), Some(summary(section.name()).as_str()), "{}", section.heading);
    }
}

#[test]
fn the_settings_page_has_every_field_of_every_table() {
    for section in sections(PAGE) {
        let (form, fields) = match section.name() {
            "routes" => ("[[routes]]", FieldNames::of::<Route>()),
            "scopes" => ("[[scopes]]", FieldNames::of::<DeclaredScope>()),
            "rate_limits" => ("[rate_limits]", FieldNames::of::<RateLimits>()),
            "smtp" => ("[smtp]", FieldNames::of::<SmtpSettings>()),
            name => (name, &[] as &[&str]),
        };
        assert_eq!(section.heading, form);
        assert_eq!(section.fields(), fields.iter().copied().collect(), "{}", section.heading);
    }
}
