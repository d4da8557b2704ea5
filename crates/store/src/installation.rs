//! What is there once in an installation: its row, which every change locks, and its signing key, which lives in a file
//! outside the database.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use domain::{InstallationKey, Random, Timestamp};

use crate::{StoreError, connection::Connection, params};

/// The installation as its row tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Installation {
    /// 32 lower-case hex digits, made when the database was.
    pub id: String,
    /// Bearer tokens of an earlier epoch are void.
    pub token_epoch: u64,
    /// Signatures that were made before are void: what was seen of them before a restore is not known.
    pub signatures_from: Timestamp,
    /// When the database was made.
    pub created_at: Timestamp,
}

impl Installation {
    /// The name of its audit log in checkpoints: `keyward/ID`.
    #[must_use]
    pub fn log_origin(&self) -> String {
        format!("keyward/{}", self.id)
    }
}

/// Reads the installation's row.
///
/// # Errors
/// The database does not answer, or the row is corrupt.
pub async fn find_installation(connection: &mut Connection) -> Result<Installation, StoreError> {
    let row = connection
        .fetch_one(
            "SELECT installation_id, token_epoch, signatures_from, created_at FROM installation WHERE id = 1",
            params![],
        )
        .await?;
    Ok(Installation {
        id: row.text("installation_id")?,
        token_epoch: row.count("token_epoch")?,
        signatures_from: row.timestamp("signatures_from")?,
        created_at: row.timestamp("created_at")?,
    })
}

pub(crate) async fn create_if_missing(
    connection: &mut Connection,
    now: Timestamp,
    random: &dyn Random,
) -> Result<(), StoreError> {
    let mut id = [0; 16];
    random.fill(&mut id);
    let id = format!("{:032x}", u128::from_be_bytes(id));
    connection
        .execute(
            "INSERT INTO installation
                (id, installation_id, version, feed_start, audit_size, audit_range, token_epoch, signatures_from,
                 created_at)
             VALUES (1, $1, 0, 0, 0, $2, 0, 0, $3) ON CONFLICT (id) DO NOTHING",
            params![id, [0_u8; 0], now],
        )
        .await?;
    Ok(())
}

/// Reads the installation's key from the file at `path`, which another node has made and somebody has brought here.
///
/// # Errors
/// The file is missing, cannot be read, holds something else, or others may read it.
pub fn load_key(path: &Path) -> Result<InstallationKey, StoreError> {
    let refuse = |reason: String| StoreError::File { path: path.to_owned(), reason };
    match path.try_exists() {
        Ok(true) => read_key(path),
        Ok(false) => Err(refuse(
            "the database holds an installation, and its key is not here: copy `installation.key` from another node, or \
             from where you keep it"
                .to_owned(),
        )),
        Err(error) => Err(refuse(format!("the installation key cannot be looked at ({error})"))),
    }
}

/// Reads the installation's key from the file at `path`, or makes one there. The file holds the 32 bytes of the seed
/// and is for its owner only.
///
/// # Errors
/// The file cannot be read or made, holds something else, or others may read it.
pub fn load_or_create_key(path: &Path, random: &dyn Random) -> Result<InstallationKey, StoreError> {
    let refuse = |reason: String| StoreError::File { path: path.to_owned(), reason };
    match write_key(path, &InstallationKey::generate(random)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(refuse(format!(
                "the installation key cannot be written ({error}): make its directory writable"
            )));
        }
        _ => {}
    }
    read_key(path)
}

fn read_key(path: &Path) -> Result<InstallationKey, StoreError> {
    let refuse = |reason: String| StoreError::File { path: path.to_owned(), reason };
    refuse_shared_file(path)?;
    let seed = fs::read(path).map_err(|error| refuse(format!("the installation key cannot be read ({error})")))?;
    let seed: &[u8; 32] = seed
        .as_slice()
        .try_into()
        .map_err(|_| refuse("an installation key is 32 bytes long: put the file back from where you keep it".into()))?;
    Ok(InstallationKey::from_seed(seed))
}

/// The key appears under its name only when it is whole and on the disk: half a key would stop every later start.
/// Where there is one, it stays, and the error is `AlreadyExists`.
fn write_key(path: &Path, key: &InstallationKey) -> io::Result<()> {
    if path.try_exists()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let unfinished = path.with_extension("key.new");
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
    file.sync_all()?;
    // A link refuses where a rename would replace the key of a process that was faster.
    fs::hard_link(&unfinished, path)?;
    fs::remove_file(&unfinished)?;
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}

#[cfg(unix)]
fn refuse_shared_file(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt as _;
    let refuse = |reason: String| StoreError::File { path: path.to_owned(), reason };
    let mode = fs::metadata(path).map_err(|error| refuse(error.to_string()))?.permissions().mode();
    let shared = mode & 0o077 != 0;
    if shared {
        let mode = mode & 0o777;
        return Err(refuse(format!("others may read the installation key (mode {mode:03o}): run `chmod 600` on it")));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_shared_file(_: &Path) -> Result<(), StoreError> {
    Ok(())
}
