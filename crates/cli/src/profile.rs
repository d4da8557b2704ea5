//! Profiles: the URL of a server and the file of a key under a name, in a file of the user. A private key is never part of one.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use domain::secret::{quoted, recognise};
use serde::{Deserialize, Serialize};

use crate::{
    failure::{Failure, Outcome},
    input::variable,
};

/// The name where none is given.
pub(crate) const DEFAULT_NAME: &str = "default";
/// The longest name.
const MAX_NAME: usize = 64;

/// A server, and who signs.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// Where the server is.
    pub(crate) url: String,
    /// The file with the private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    /// Which key of ssh-agent signs, by its fingerprint, where there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent_key: Option<String>,
    /// The file of a certificate authority to trust besides the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// All profiles of a user, and which one is used.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The name of the profile that commands use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// The profiles by their names.
    pub(crate) profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the file; where there is none, there are no profiles.
    pub(crate) fn read() -> Outcome<Self> {
        match file()? {
            Some(file) => Self::read_from(&file),
            None => Ok(Self::default()),
        }
    }

    fn read_from(file: &Path) -> Outcome<Self> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::new(format!("{} cannot be read ({error})", file.display()))),
        };
        refuse_writable(file)?;
        // The message of the parser may repeat what is in the file, which may be anything.
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!(
                "{} is not a file of profiles (line {}): correct or remove it, and run `keyward login` again",
                file.display(),
                error.line()
            ))
        })
    }

    /// Writes the file in place of the previous one, readable and writable by its user only.
    pub(crate) fn write(&self) -> Outcome<PathBuf> {
        let file = file()?.ok_or_else(|| {
            Failure::new(
                "there is no directory for profiles: set HOME or XDG_CONFIG_HOME, or KEYWARD_PROFILES to a file",
            )
        })?;
        self.write_to(&file)?;
        Ok(file)
    }

    fn write_to(&self, file: &Path) -> Outcome {
        let unusable = |error: io::Error| Failure::new(format!("{} cannot be written ({error})", file.display()));
        let text = serde_json::to_string_pretty(self).map_err(|error| unusable(error.into()))? + "\n";
        let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
        if let Some(directory) = directory {
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.recursive(true).create(directory).map_err(unusable)?;
        }
        let new = file.with_extension(format!("new-{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&new)
            .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()))
            .and_then(|()| fs::rename(&new, file));
        if written.is_err() {
            // What was written of it is of no use; the first error is the one to tell.
            drop(fs::remove_file(&new));
        }
        written.map_err(unusable)
    }

    /// The profile of a name.
    pub(crate) fn find(&self, name: &str) -> Outcome<&Profile> {
        self.profiles.get(name).ok_or_else(|| {
            let known = self.profiles.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "there are none yet".to_owned() } else { format!("there are {known}") };
            Failure::not_found(format!(
                "there is no profile {}: {known}; `keyward login {}` creates it",
                quoted(name),
                crate::output::shell_word(name)
            ))
        })
    }
}

/// The profile that is named on the command line, else in KEYWARD_PROFILE, else the current one.
pub(crate) fn choose(named: Option<&str>) -> Outcome<Option<Profile>> {
    let variable = variable("KEYWARD_PROFILE")?.filter(|name| !name.is_empty());
    let profiles = Profiles::read()?;
    let name = named.map(str::to_owned).or(variable).or_else(|| profiles.current.clone());
    name.map(|name| profiles.find(&name).cloned()).transpose()
}

/// Refuses a name that no file and no shell would take without trouble, and a secret in place of one.
pub(crate) fn check_name(name: &str) -> Outcome {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_secret = recognise(name).is_some_and(domain::secret::Secret::is_certain);
    if name.is_empty() || name.len() > MAX_NAME || is_secret || !name.chars().all(is_plain) || name.starts_with('-') {
        return Err(Failure::usage(format!(
            "{} is not a name for a profile: choose up to {MAX_NAME} of letters, digits, `-`, `_` and `.`",
            quoted(name)
        )));
    }
    Ok(())
}

/// Where profiles are kept; nowhere without a home.
fn file() -> Outcome<Option<PathBuf>> {
    let path = |name| Ok::<_, Failure>(std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from));
    if let Some(file) = path("KEYWARD_PROFILES")? {
        return Ok(Some(file));
    }
    let configuration = match path("XDG_CONFIG_HOME")?.filter(|directory| directory.is_absolute()) {
        Some(directory) => Some(directory),
        None => path("HOME")?.map(|home| home.join(".config")),
    };
    Ok(configuration.map(|directory| directory.join("keyward").join("profiles.json")))
}

/// A file that others may write to could send signed requests to a server of theirs.
#[cfg(unix)]
fn refuse_writable(file: &Path) -> Outcome {
    use std::os::unix::fs::MetadataExt as _;
    let metadata =
        fs::metadata(file).map_err(|error| Failure::new(format!("{} cannot be read ({error})", file.display())))?;
    if metadata.mode() & 0o022 != 0 {
        return Err(Failure::new(format!(
            "{0} can be changed by other users of this machine (mode {1:o}): check what is in it, then run `chmod 600 {0}`",
            crate::output::shell_word(&file.display().to_string()),
            metadata.mode() & 0o777
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_writable(_: &Path) -> Outcome {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_as_they_were_written() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("keyward/profiles.json");
        assert_eq!(Profiles::read_from(&file).expect("none"), Profiles::default());
        let mut profiles = Profiles { current: Some("work".to_owned()), ..Default::default() };
        let work = Profile {
            url: "https://keys.example.com".to_owned(),
            key_file: Some("/home/ann/id".into()),
            ..Profile::default()
        };
        profiles.profiles.insert("work".to_owned(), work.clone());
        profiles.write_to(&file).expect("written");
        profiles.write_to(&file).expect("written over");
        assert_eq!(Profiles::read_from(&file).expect("profiles"), profiles);
        assert_eq!(profiles.find("work").expect("a profile"), &work);
        let unknown = profiles.find("home").expect_err("none").to_string();
        assert!(unknown.contains("there are work") && unknown.contains("`keyward login home`"), "{unknown}");
        assert_eq!(fs::read_dir(directory.path().join("keyward")).expect("files").count(), 1);
        // What is wrong in it is not repeated, since it may be a secret.
        fs::write(&file, "{\"current\": \"work\",\n\"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\": 1}\n").expect("written");
        let told = Profiles::read_from(&file).expect_err("an unknown field").to_string();
        assert!(told.contains("line 2") && !told.contains("b3Blb"), "{told}");
    }

    #[test]
    fn a_name_is_plain() {
        for good in ["work", "a.b_c-1"] {
            check_name(good).expect(good);
        }
        for bad in ["", "-x", "a b", "../x", "kwt_Zx9kQ2mV7bN4tR1yU8wE5pL3sD6fG0hJCaNaRyT2vXc", &"x".repeat(65)] {
            let told = check_name(bad).expect_err("a refusal").to_string();
            assert!(!told.contains("Zx9kQ2"), "{told}");
        }
    }
}
