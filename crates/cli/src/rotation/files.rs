//! The files of a rotation: FILE with its `.pub` file, and FILE.new, FILE.old and FILE.undo beside it. Each step leaves
//! FILE with a complete key, also if the machine stops.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use client::{KeyPair, KeySource, PrivateKey};
use domain::{PublicKey, secret::shown};

use crate::{
    connection::load_key,
    failure::{Failure, Outcome},
};

/// A file beside the key file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Suffix {
    /// The new key, until it becomes the key of the file.
    New,
    /// The previous key.
    Old,
    /// The new key, while its rotation is undone.
    Undo,
}

impl Suffix {
    const ALL: [Self; 3] = [Self::New, Self::Old, Self::Undo];

    const fn as_str(self) -> &'static str {
        match self {
            Self::New => ".new",
            Self::Old => ".old",
            Self::Undo => ".undo",
        }
    }
}

/// A key file, and the files beside it.
pub(super) struct KeyFiles {
    path: PathBuf,
    directory: PathBuf,
}

impl KeyFiles {
    /// Opens the key file. Links are followed, because replacing a link would leave its target as it was.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let path = fs::canonicalize(path).map_err(|error| cannot("read", path, &error))?;
        let directory =
            path.parent().map(Path::to_owned).ok_or_else(|| Failure::new("the key file has no directory"))?;
        Ok(Self { path, directory })
    }

    /// Waits until no other process rotates a key in the directory. The lock ends with the returned value.
    pub(super) fn lock(&self) -> Outcome<File> {
        let lock = File::open(&self.directory).and_then(|directory| directory.lock().map(|()| directory));
        lock.map_err(|error| cannot("lock", &self.directory, &error))
    }

    fn at(&self, suffix: Suffix) -> PathBuf {
        with_suffix(&self.path, suffix.as_str())
    }

    /// Returns the name of the key file for people.
    pub(super) fn show_current(&self) -> String {
        shown(&self.path.to_string_lossy()).to_string()
    }

    /// Returns the name of a file for people.
    pub(super) fn show(&self, suffix: Suffix) -> String {
        shown(&self.at(suffix).to_string_lossy()).to_string()
    }

    /// Removes what an interruption left: files that were not written completely, and a `.pub` file that was not renamed.
    pub(super) fn clean(&self) -> Outcome {
        for suffix in Suffix::ALL {
            let path = self.at(suffix);
            remove(&temporary(&path))?;
            let public = public(&path);
            remove(&temporary(&public))?;
            if public.exists() && !path.exists() {
                self.finish_public(&public)?;
            }
        }
        Ok(())
    }

    /// Renames a `.pub` file to that of the key file if it belongs to its key. Another one is not of a rotation.
    fn finish_public(&self, from: &Path) -> Outcome {
        let line = fs::read(from).map_err(|error| cannot("read", from, &error))?;
        let current = self.load()?;
        let is_own = PublicKey::parse_file(&line)
            .is_ok_and(|parsed| parsed.key.fingerprint().to_string() == current.fingerprint());
        if is_own && !public(&self.path).exists() { self.rename(from, &public(&self.path)) } else { Ok(()) }
    }

    /// Reads the key in the key file.
    pub(super) fn load(&self) -> Outcome<PrivateKey> {
        load_key(&KeySource::File(self.path.clone()))
    }

    /// Reads the key in a file beside it.
    pub(super) fn load_suffixed(&self, suffix: Suffix) -> Outcome<PrivateKey> {
        load_key(&KeySource::File(self.at(suffix)))
    }

    /// Reads the key in a file beside it, if the file exists.
    pub(super) fn load_if_there(&self, suffix: Suffix) -> Outcome<Option<PrivateKey>> {
        let path = self.at(suffix);
        match path.try_exists() {
            Ok(true) => self.load_suffixed(suffix).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(cannot("read", &path, &error)),
        }
    }

    /// Writes a new key into FILE.new, which survives a power failure when this returns.
    pub(super) fn write_new(&self, pair: &KeyPair) -> Outcome {
        self.write(&self.at(Suffix::New), pair.private_openssh.as_bytes())
    }

    /// Copies the key file to FILE.old.
    pub(super) fn back_up(&self) -> Outcome {
        self.copy_to(Suffix::Old)
    }

    /// Copies the key file to FILE.undo.
    pub(super) fn keep_for_undo(&self) -> Outcome {
        self.copy_to(Suffix::Undo)
    }

    fn copy_to(&self, suffix: Suffix) -> Outcome {
        let bytes = fs::read(&self.path).map(zeroize::Zeroizing::new);
        let bytes = bytes.map_err(|error| cannot("read", &self.path, &error))?;
        self.write(&self.at(suffix), &bytes)
    }

    /// Makes the key in a file beside the key file its key, in one step. The `.pub` file does not exist meanwhile, because
    /// a key file with the `.pub` file of another key is refused.
    pub(super) fn swap(&self, from: Suffix, key: &PrivateKey) -> Outcome {
        let (from, current_public) = (self.at(from), public(&self.path));
        let new_public = public(&from);
        // After an interruption, it may be removed already.
        let has_public = current_public.exists() || new_public.exists();
        if has_public {
            self.write(&new_public, format!("{}\n", key.public_openssh()).as_bytes())?;
            set_public(&new_public)?;
            remove(&current_public)?;
            self.sync()?;
        }
        self.rename(&from, &self.path)?;
        if has_public { self.rename(&new_public, &current_public) } else { Ok(()) }
    }

    /// Removes a file beside the key file, and its `.pub` file.
    pub(super) fn remove(&self, suffix: Suffix) -> Outcome {
        let path = self.at(suffix);
        remove(&public(&path))?;
        remove(&path)?;
        self.sync()
    }

    fn rename(&self, from: &Path, to: &Path) -> Outcome {
        fs::rename(from, to).map_err(|error| cannot("replace", to, &error))?;
        self.sync()
    }

    /// Writes a file completely or not at all, with the owner and the mode of the key file.
    fn write(&self, path: &Path, bytes: &[u8]) -> Outcome {
        let temporary = temporary(path);
        let fail = |error: io::Error| cannot("write", &temporary, &error);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary).map_err(fail)?;
        // If the removal fails as well, the first error is returned.
        let written = self
            .give_to_owner(&file)
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.sync_all())
            .inspect_err(|_| drop(fs::remove_file(&temporary)));
        written.map_err(fail)?;
        self.rename(&temporary, path)
    }

    /// Gives a file the owner, the group and the mode of the key file, so that the same programs can read it.
    #[cfg(unix)]
    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let (like, own) = (fs::metadata(&self.path)?, file.metadata()?);
        if (like.uid(), like.gid()) != (own.uid(), own.gid()) {
            fchown(file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(like.permissions())
    }

    #[cfg(not(unix))]
    fn give_to_owner(&self, _: &File) -> io::Result<()> {
        Ok(())
    }

    /// Makes renames and removals in the directory durable.
    #[cfg(unix)]
    fn sync(&self) -> Outcome {
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| cannot("write", &self.directory, &error))
    }

    #[cfg(not(unix))]
    fn sync(&self) -> Outcome {
        Ok(())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn public(path: &Path) -> PathBuf {
    with_suffix(path, ".pub")
}

fn temporary(path: &Path) -> PathBuf {
    with_suffix(path, ".tmp")
}

/// Lets all users read a public key, as `ssh-keygen` does.
#[cfg(unix)]
fn set_public(path: &Path) -> Outcome {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(path, mode).map_err(|error| cannot("write", path, &error))
}

#[cfg(not(unix))]
fn set_public(_: &Path) -> Outcome {
    Ok(())
}

fn remove(path: &Path) -> Outcome {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("remove", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!(
        "cannot {what} {} ({error}): the user that runs this command must be able to write to the directory of the key \
         file, and must own the key file",
        shown(&path.to_string_lossy())
    ))
}
