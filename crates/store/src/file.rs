//! The files of an installation. A file is opened only if no other user could have created it or can change it, and
//! never through a symbolic link. The files of the embedded database must be on a local disk.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::StoreError;

#[cfg(target_os = "linux")]
mod share;

/// Refuses a directory in which another user could create files. The directory must belong to the user of this process
/// or to root. Only its owner and a group of this process may write to it.
///
/// # Errors
/// It is such a directory, it is not a directory, or its metadata cannot be read.
pub fn require_own_directory(path: &Path) -> Result<(), StoreError> {
    let metadata = fs::metadata(path).map_err(|error| cannot_look(path, &error))?;
    if !metadata.is_dir() {
        return Err(refuse(path, "it is not a directory: name a directory, or move the file away".to_owned()));
    }
    require_own(path, &metadata)
}

/// Refuses a file that another user could have created or can change, as [`require_own_directory`] does, and one that
/// is not a regular file: a symbolic link (also a dangling one) or a FIFO. Returns whether the file exists.
///
/// # Errors
/// It is such a file, or its metadata cannot be read.
pub fn require_own_file(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => {
            require_regular(path, &metadata)?;
            require_own(path, &metadata)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot_look(path, &error)),
    }
}

/// Opens a file and refuses it as [`require_own_file`] does. The check applies to the opened file.
///
/// # Errors
/// [`StoreError::File`] for a file that is refused. The inner error if it cannot be opened.
pub fn open_own_file(path: &Path, mut options: OpenOptions) -> Result<io::Result<File>, StoreError> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        // Non-blocking, because opening a FIFO would wait for its other end.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    let file = match options.open(path) {
        Ok(file) => file,
        // The error for a symbolic link differs between operating systems.
        Err(error) => return require_own_file(path).map(|_| Err(error)),
    };
    let metadata = file.metadata().map_err(|error| cannot_look(path, &error))?;
    require_regular(path, &metadata)?;
    require_own(path, &metadata)?;
    Ok(Ok(file))
}

/// Refuses a file that is readable by users other than the user of this process, root and the groups of this process.
///
/// # Errors
/// Other users can read it.
pub fn require_secret(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let mode = metadata.mode() & 0o777;
        if mode & 0o007 != 0 || (mode & 0o070 != 0 && !Own::of_process().groups.contains(&metadata.gid())) {
            return Err(refuse(path, format!("other users can read it (mode {mode:03o}): run `chmod 600` on it")));
        }
    }
    Ok(())
}

/// Returns the files that SQLite keeps beside a database while it is open, and after a crash.
#[must_use]
pub fn beside_database(database: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// Returns the existing files of a database at this path: the file itself, and those beside it. A dangling link counts
/// as existing.
///
/// # Errors
/// The directory cannot be read.
pub fn find_database_files(database: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for path in [database.to_owned()].into_iter().chain(beside_database(database)) {
        match fs::symlink_metadata(&path) {
            Ok(_) => found.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_look(&path, &error)),
        }
    }
    Ok(found)
}

/// Refuses a directory on a file system that other machines or other mounts may write to at the same time. SQLite's
/// locks and shared memory do not work there, and two servers would damage the database.
///
/// # Errors
/// It is such a directory, or its metadata cannot be read.
pub fn require_local_disk(directory: &Path) -> Result<(), StoreError> {
    #[cfg(target_os = "linux")]
    if let Some(name) = share::find_share(directory).map_err(|error| cannot_look(directory, &error))? {
        return Err(refuse(
            directory,
            format!(
                "it is on a network share or on a file system that can be mounted twice ({name}), where two servers would \
                 damage the embedded database: choose a directory on a local disk with `--data`, or keep the data in \
                 PostgreSQL (`--database-url`)"
            ),
        ));
    }
    Ok(())
}

fn require_regular(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    if metadata.is_file() {
        return Ok(());
    }
    let reason = if metadata.is_symlink() {
        "it is a symbolic link, which may point to a file of another user: replace it with the file itself"
    } else {
        "it is not a regular file: move it away, or name another directory"
    };
    Err(refuse(path, reason.to_owned()))
}

#[cfg(unix)]
fn require_own(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt as _;
    let own = Own::of_process();
    match own.find_stranger(metadata.uid(), metadata.gid(), metadata.mode()) {
        None => Ok(()),
        Some(reason) => Err(refuse(path, reason)),
    }
}

#[cfg(not(unix))]
fn require_own(_: &Path, _: &Metadata) -> Result<(), StoreError> {
    Ok(())
}

/// The user and the groups of this process.
#[cfg(unix)]
struct Own {
    user: u32,
    groups: Vec<u32>,
}

#[cfg(unix)]
impl Own {
    fn of_process() -> Self {
        let mut groups = vec![rustix::process::getegid().as_raw()];
        // Without supplementary groups, the process has its first group only.
        groups.extend(rustix::process::getgroups().unwrap_or_default().iter().map(|group| group.as_raw()));
        Self { user: rustix::process::geteuid().as_raw(), groups }
    }

    /// Returns which other users could have written to a file, and how to correct this.
    fn find_stranger(&self, owner: u32, group: u32, mode: u32) -> Option<String> {
        let (user, permissions) = (self.user, mode & 0o777);
        if owner != user && owner != 0 {
            return Some(format!(
                "it belongs to user {owner}, and this is user {user}: run keyward as the user that owns it, or give it to user \
                 {user} with `chown` if no other user put it there"
            ));
        }
        if mode & 0o002 != 0 {
            return Some(format!(
                "all users can write to it (mode {permissions:03o}): check that its content is yours, then run `chmod \
                 o-w` on it"
            ));
        }
        if mode & 0o020 != 0 && !self.groups.contains(&group) {
            return Some(format!(
                "group {group}, which is not one of user {user} here, can write to it (mode {permissions:03o}): check \
                 that its content is yours, then run `chmod g-w` on it"
            ));
        }
        None
    }
}

fn refuse(path: &Path, reason: String) -> StoreError {
    StoreError::File { path: path.to_owned(), reason }
}

fn cannot_look(path: &Path, error: &io::Error) -> StoreError {
    refuse(
        path,
        format!("it cannot be inspected ({error}): the user that runs keyward must be able to read its directory"),
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_this_user_root_and_own_groups_may_have_written() {
        let own = Own { user: 1000, groups: vec![1000, 2000] };
        for (owner, group, mode, is_own) in [
            (1000, 1000, 0o700, true),
            (1000, 50, 0o755, true),
            (0, 0, 0o700, true),
            // Kubernetes: `fsGroup` 2000 on a volume that belongs to root.
            (0, 2000, 0o2775, true),
            (1000, 2000, 0o660, true),
            (0, 50, 0o775, false),
            (1000, 50, 0o020, false),
            (1000, 1000, 0o702, false),
            (0, 0, 0o1777, false),
            (1001, 1000, 0o700, false),
            (65534, 65534, 0o700, false),
        ] {
            let stranger = own.find_stranger(owner, group, mode);
            assert_eq!(stranger.is_none(), is_own, "{owner}:{group} {mode:o}: {stranger:?}");
        }
        // A process of root does not trust files of another user.
        assert!(Own { user: 0, groups: vec![0] }.find_stranger(1000, 0, 0o700).is_some());
    }
}
