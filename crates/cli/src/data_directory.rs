//! The data directory. It is created for its owner only, and refused if another user could write to it. Only one
//! process at a time may serve it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use domain::secret::{recognise, shown};
use server::data_file::{open_own_file, require_own_directory, require_own_file};

use crate::failure::{Failure, Kind, Outcome};

/// Locked while a server runs. It contains the URL of the current server, or of the last one.
const LOCK: &str = "serve.lock";
pub(crate) const DATABASE: &str = "keyward.db";
pub(crate) const INSTALLATION_KEY: &str = "installation.key";

/// A directory with an installation.
#[derive(Clone, Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
}

/// The permission to serve a data directory, until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct ServeLock {
    file: File,
}

impl DataDirectory {
    /// Creates the directory if it is missing. An existing one must belong to this user: see [`require_own_directory`].
    pub(crate) fn create(path: &Path) -> Outcome<Self> {
        refuse_secret(path)?;
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(path).map_err(|error| unusable(path, &error))?;
        require_own_directory(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Opens the directory of an existing installation, which must belong to this user.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        match fs::symlink_metadata(path.join(DATABASE)) {
            Ok(_) => {
                require_own_directory(path)?;
                Ok(Self { path: path.to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::new(format!(
                "there is no installation in {}: run the command in the directory where the server was started, or \
                 name the server's data directory with `--data`; only if there is no server yet, create an installation with \
                 `keyward serve` or `keyward admin create-user`",
                path.display()
            ))),
            Err(error) => Err(unusable(path, &error)),
        }
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in it. If the file exists, it must belong to this user and must not be a link.
    pub(crate) fn file(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.path.join(name);
        require_own_file(&path)?;
        Ok(path)
    }

    /// Takes the permission to serve it.
    pub(crate) fn lock(&self) -> Outcome<ServeLock> {
        let path = self.path.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = open_own_file(&path, options)?.map_err(|error| unusable(&self.path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(ServeLock { file }),
            Err(TryLockError::WouldBlock) => {
                let at = self.server_url()?.map_or(String::new(), |url| format!(", at {url}"));
                Err(Failure::new(format!(
                    "a server already runs on {}{at}: stop it first, or choose another directory with `--data`",
                    self.path.display()
                )))
            }
            Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
        }
    }

    /// Returns whether a server uses it.
    pub(crate) fn is_served(&self) -> Outcome<bool> {
        let Some(file) = self.open_lock()? else { return Ok(false) };
        // A shared lock, released immediately, because this process only checks and does not serve.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(unusable(&self.path.join(LOCK), &error)),
        }
    }

    /// Returns the URL of the current server, or of the last one.
    pub(crate) fn server_url(&self) -> Outcome<Option<String>> {
        let Some(mut file) = self.open_lock()? else { return Ok(None) };
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| unusable(&self.path.join(LOCK), &error))?;
        Ok(Some(text.trim().to_owned()).filter(|url| !url.is_empty()))
    }

    fn open_lock(&self) -> Outcome<Option<File>> {
        let path = self.path.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true);
        match open_own_file(&path, options)? {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&path, &error)),
        }
    }
}

impl ServeLock {
    /// Records the URL of this server for commands on the host.
    pub(crate) fn announce(&mut self, url: &str) -> Outcome {
        let written = self.file.set_len(0).and_then(|()| writeln!(self.file, "{url}"));
        written.map_err(|error| Failure::new(format!("{LOCK} cannot be written ({error}): check the disk")))
    }
}

/// Refuses a secret as a path, because other users can see the names of directories.
fn refuse_secret(path: &Path) -> Outcome {
    let name = path.to_string_lossy();
    match recognise(&name) {
        Some(secret) if secret.is_certain() => Err(Failure::new(format!(
            "the data directory was given as {}, which was not used: name a directory with `--data`",
            shown(&name)
        ))),
        _ => Ok(()),
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let kind = if error.kind() == io::ErrorKind::PermissionDenied { Kind::NotAllowed } else { Kind::Failed };
    Failure::of_kind(
        kind,
        format!(
            "the data directory cannot be used ({}: {error}): it must belong to the user that runs keyward",
            path.display()
        ),
    )
}
