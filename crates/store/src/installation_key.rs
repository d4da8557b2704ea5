//! The installation's signing key, which is in a file outside the database. The database contains its public part.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use domain::{InstallationKey, Random};

use crate::{
    Change, Store, StoreError, Subject,
    file::{open_own_file, require_secret},
    installation::{find_installation, mark_public_key},
    params,
};

/// Opens the key in the file at `path`, which must be the key of the installation in `store`. If there is no file, a
/// new installation generates it. Every further node needs a copy of that file.
///
/// # Errors
/// The file cannot be used, or holds another key than the installation's; the database does not answer.
pub async fn open_key(store: &Store, path: &Path, random: &dyn Random) -> Result<InstallationKey, StoreError> {
    let known = find_installation(&mut *store.read().await?).await?.public_key;
    // Other nodes would refuse tokens that were made with another key, and another key does not verify earlier
    // signatures.
    let is_elsewhere = known.is_some() || store.current_version().await?.0 > 0;
    if known.is_some_and(|known| read_key(&unfinished_path(path)).is_ok_and(|key| key.public_key() == known)) {
        // A replacement of the key was interrupted before this step.
        put_new_key_in_place(path)?;
    }
    let key = if is_elsewhere { load_key(path)? } else { load_or_create_key(path, random)? };
    if known.is_none() {
        let mut maintenance = store.begin_maintenance().await?;
        let sql = "UPDATE installation SET public_key = $1 WHERE id = 1 AND public_key IS NULL";
        maintenance.execute(sql, params![key.public_key()]).await?;
        maintenance.commit().await?;
    }
    find_installation(&mut *store.read().await?).await?.require_key(&key.public_key())?;
    Ok(key)
}

/// Replaces the installation's key, and invalidates the tokens that were made with the previous one.
///
/// # Errors
/// The database does not answer.
pub async fn replace_public_key(change: &mut Change, public_key: [u8; 32]) -> Result<(), StoreError> {
    let sql = "UPDATE installation SET public_key = $1, token_epoch = token_epoch + 1 WHERE id = 1";
    change.execute(sql, params![public_key]).await?;
    mark_public_key(change).await?;
    change.touch(Subject::Installation);
    Ok(())
}

/// Generates a key in a file beside the one at `path`, which it replaces with [`put_new_key_in_place`].
///
/// # Errors
/// The file cannot be written.
pub fn create_new_key(path: &Path, random: &dyn Random) -> Result<InstallationKey, StoreError> {
    let key = InstallationKey::generate(random);
    write_unfinished_key(path, &key).map_err(|error| cannot_write(path, &error))?;
    Ok(key)
}

/// Moves the new key of [`create_new_key`] to `path`. The previous key stays in the same directory, under a name with
/// the beginning of its public part in hex, because old checkpoints are signed with it.
///
/// # Errors
/// The directory cannot be written to.
pub fn put_new_key_in_place(path: &Path) -> Result<(), StoreError> {
    let put = || {
        let old = match read_key(path) {
            Ok(before) => {
                let [a, b, c, d, ..] = before.public_key();
                format!("key.old-{a:02x}{b:02x}{c:02x}{d:02x}")
            }
            // The file is kept, regardless of its content.
            Err(_) => "key.old-unreadable".to_owned(),
        };
        if path.try_exists()? {
            fs::rename(path, path.with_extension(old))?;
        }
        fs::rename(unfinished_path(path), path)?;
        sync_directory_of(path)
    };
    put().map_err(|error| cannot_write(path, &error))
}

/// Reads the installation's key from the file at `path`, which is a copy of another node's file.
///
/// # Errors
/// The file is missing, cannot be read, has another content, or is readable by other users.
pub fn load_key(path: &Path) -> Result<InstallationKey, StoreError> {
    let refuse = |reason: String| StoreError::File { path: path.to_owned(), reason };
    match fs::symlink_metadata(path).map(|_| true).or_else(none_if_missing) {
        Ok(true) => read_key(path),
        Ok(false) => Err(refuse(
            "the database contains an installation, but its key is missing: copy `installation.key` from another \
             node, or from where you keep it; if it is lost, `keyward admin replace-installation-key` creates a new one"
                .to_owned(),
        )),
        Err(error) => Err(refuse(format!("the installation key cannot be read ({error})"))),
    }
}

/// Reads the installation's key from the file at `path`, or generates it there. The file contains the 32 bytes of the
/// seed, and only its owner may read it.
///
/// # Errors
/// The file cannot be read or written, has another content, or is readable by other users.
pub fn load_or_create_key(path: &Path, random: &dyn Random) -> Result<InstallationKey, StoreError> {
    match write_key(path, &InstallationKey::generate(random)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(cannot_write(path, &error)),
        _ => read_key(path),
    }
}

fn none_if_missing(error: io::Error) -> io::Result<bool> {
    if error.kind() == io::ErrorKind::NotFound { Ok(false) } else { Err(error) }
}

fn cannot_write(path: &Path, error: &io::Error) -> StoreError {
    let reason = format!("the installation key cannot be written ({error}): make its directory writable");
    StoreError::File { path: path.to_owned(), reason }
}

fn read_key(path: &Path) -> Result<InstallationKey, StoreError> {
    let refuse = |reason: String| StoreError::File { path: path.to_owned(), reason };
    let mut options = fs::OpenOptions::new();
    options.read(true);
    let cannot_read = |error: io::Error| refuse(format!("the installation key cannot be read ({error})"));
    let file = open_own_file(path, options)?.map_err(cannot_read)?;
    require_secret(path, &file.metadata().map_err(cannot_read)?)?;
    let mut seed = Vec::new();
    // One more byte, to detect a file that is too long.
    file.take(33).read_to_end(&mut seed).map_err(cannot_read)?;
    let seed: &[u8; 32] = seed
        .as_slice()
        .try_into()
        .map_err(|_| refuse("an installation key is 32 bytes long: put the file back from where you keep it".into()))?;
    Ok(InstallationKey::from_seed(seed))
}

/// Writes the key. The file appears under its name only when it is complete and on the disk, because an incomplete key
/// would prevent every later start. An existing key is kept, and the error is `AlreadyExists`.
fn write_key(path: &Path, key: &InstallationKey) -> io::Result<()> {
    if path.try_exists()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    write_unfinished_key(path, key)?;
    let unfinished = unfinished_path(path);
    // Linking fails if another process has written a key. A rename would replace that key.
    fs::hard_link(&unfinished, path)?;
    fs::remove_file(&unfinished)?;
    sync_directory_of(path)
}

fn unfinished_path(path: &Path) -> PathBuf {
    path.with_extension("key.new")
}

fn write_unfinished_key(path: &Path, key: &InstallationKey) -> io::Result<()> {
    let unfinished = unfinished_path(path);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(key.seed())?;
    file.sync_all()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}
