//! `keyward login` and `keyward profiles`: which server and which key, remembered by a name.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    confirm::ConfirmArguments,
    connection::ConnectionArguments,
    failure::Outcome,
    output::{self, Column, shell_word},
    profile::{DEFAULT_NAME, Profile, Profiles, check_name},
};

/// Remember a server and a key by a name, and use them from now on
///
/// The server is asked who you are first. The profile contains the URL and the path of the key file, or the fingerprint of a
/// key in ssh-agent, and never a private key. Commands use it where neither a flag nor a variable says otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward login --url https://keys.example.com --key ~/.ssh/id_ed25519
  keyward login work --url https://keys.example.com --agent
  keyward whoami
  keyward whoami --use-profile work")]
pub(crate) struct Login {
    /// The name of the profile
    #[arg(default_value = DEFAULT_NAME)]
    name: String,
    #[command(flatten)]
    connection: ConnectionArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Profiles: servers and keys, remembered by a name
///
/// They are in the file that KEYWARD_PROFILES names, else in `keyward/profiles.json` of XDG_CONFIG_HOME or `~/.config`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward profiles list
  keyward profiles use work
  keyward profiles remove work")]
pub(crate) enum ProfileCommands {
    List(List),
    Show(Show),
    Use(Use),
    Remove(Remove),
}

/// List the profiles
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  keyward profiles list\n  keyward profiles list --json")]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show a profile
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  keyward profiles show work")]
pub(crate) struct Show {
    /// The name of the profile [default: the current one]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Use a profile from now on
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  keyward profiles use work")]
pub(crate) struct Use {
    /// The name of the profile
    name: String,
}

/// Remove a profile; the key file stays
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  keyward profiles remove work")]
pub(crate) struct Remove {
    /// The name of the profile
    name: String,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

/// A profile with its name.
#[derive(Serialize)]
struct Named {
    name: String,
    current: bool,
    #[serde(flatten)]
    profile: Profile,
}

const COLUMNS: &[Column<'_, Named>] = &[
    Column::word("NAME", &|named| named.name.clone()),
    Column::word("CURRENT", &|named| output::yes_or_no(named.current)),
    Column::text("URL", &|named| named.profile.url.clone()),
    Column::text("KEY", &|named| key(&named.profile)),
];

impl Login {
    pub(crate) async fn run(self) -> Outcome {
        check_name(&self.name)?;
        let profile = self.connection.to_profile()?;
        let me = self.connection.api()?.me().await?;
        let mut profiles = Profiles::read()?;
        profiles.profiles.insert(self.name.clone(), profile);
        profiles.current = Some(self.name.clone());
        let file = profiles.write()?;
        if self.json {
            return output::json(&named(&profiles, &self.name, profiles.find(&self.name)?));
        }
        output::line(format!(
            "{} is the current profile: {} on {}",
            self.name,
            me.principal.email,
            profiles.find(&self.name)?.url
        ))?;
        output::line(format!("remembered in {}, without the private key", file.display()))?;
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        for name in ["KEYWARD_URL", "KEYWARD_KEY_FILE", "KEYWARD_KEY"].iter().filter(|name| is_set(name)) {
            output::note(format!("{name} is set and comes before the profile: unset it, or pass `--use-profile`"))?;
        }
        Ok(())
    }
}

impl ProfileCommands {
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Use(command) => command.run(),
            Self::Remove(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Outcome {
        let profiles = Profiles::read()?;
        let all: Vec<_> = profiles.profiles.iter().map(|(name, profile)| named(&profiles, name, profile)).collect();
        if self.json {
            return output::json(&serde_json::json!({"items": all}));
        }
        output::list(COLUMNS, &all, "no profiles: `keyward login NAME --url URL --key FILE` creates one")
    }
}

impl Show {
    fn run(self) -> Outcome {
        let profiles = Profiles::read()?;
        let current = profiles.current.clone();
        let name = self.name.or(current).unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let profile = profiles.find(&name)?;
        if self.json {
            return output::json(&named(&profiles, &name, profile));
        }
        let authority = profile.ca_file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        output::fields(&[
            ("name", name.clone()),
            ("current", output::yes_or_no(profiles.current.as_ref() == Some(&name))),
            ("url", profile.url.clone()),
            ("key", key(profile)),
            ("authority", authority),
        ])
    }
}

impl Use {
    fn run(self) -> Outcome {
        let mut profiles = Profiles::read()?;
        let url = profiles.find(&self.name)?.url.clone();
        profiles.current = Some(self.name.clone());
        profiles.write()?;
        output::line(format!("{} is the current profile: {url}", self.name))
    }
}

impl Remove {
    fn run(self) -> Outcome {
        let mut profiles = Profiles::read()?;
        let profile = profiles.find(&self.name)?;
        self.confirm.confirm(&format!("Remove the profile {} ({})?", self.name, profile.url))?;
        profiles.profiles.remove(&self.name);
        profiles.current = profiles.current.filter(|current| *current != self.name);
        profiles.write()?;
        output::line(format!("removed the profile {}; its key file is unchanged", self.name))
    }
}

fn named(profiles: &Profiles, name: &str, profile: &Profile) -> Named {
    Named { name: name.to_owned(), current: profiles.current.as_deref() == Some(name), profile: profile.clone() }
}

fn key(profile: &Profile) -> String {
    let file = profile.key_file.as_ref().map(|file: &PathBuf| shell_word(&file.display().to_string()));
    let agent = profile.agent_key.as_ref().map(|key| format!("ssh-agent: {key}"));
    file.or(agent).unwrap_or_else(|| "none".to_owned())
}
