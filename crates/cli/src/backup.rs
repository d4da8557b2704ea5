//! `keyward backup` and `keyward restore`. The server determines what a restore ends and suspends. The result is
//! checked in the final database.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use server::{
    App,
    app::{AppConfig, Caller, RestoreReport, holds_installation},
    data_file::find_database_files,
};

use crate::{
    configuration::{Configuration, InstallationArguments, ServerArguments, url_of},
    data_directory::{DATABASE, DataDirectory, INSTALLATION_KEY},
    failure::{Failure, Outcome},
    host::{Missing, on_host},
    output::{self, program, shell_word},
};

/// Write a backup of the database into a new file, also while a server runs
///
/// The backup does not contain the installation key. Keep a copy of `installation.key` elsewhere, and a new copy whenever the key
/// is replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward backup /var/backups/keyward-2026-11-23.db
  keyward backup --data /var/lib/keyward /mnt/backup/keyward.db")]
pub(crate) struct Backup {
    #[command(flatten)]
    installation: InstallationArguments,
    /// The file to write; it must not exist
    file: PathBuf,
}

/// Restore a backup into a data directory; every user and every key is suspended
///
/// If the database is a PostgreSQL server, restore the backup with its own programs first, then run this command without a file.
///
/// A backup does not contain which users were disabled or removed, and which keys were revoked, after it was made. A
/// restore therefore ends all bearer tokens, sessions, open invitations and replay state, and suspends every user until
/// `keyward admin confirm-users` and every key until `keyward admin confirm-keys`. If it fails, the directory is
/// unchanged.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward restore /var/backups/keyward-2026-11-23.db --data /var/lib/keyward
  keyward admin list-suspended-users --data /var/lib/keyward
  keyward admin confirm-users --data /var/lib/keyward --user ann@example.com
  keyward admin list-suspended-keys --data /var/lib/keyward
  keyward admin confirm-keys --data /var/lib/keyward --key key_…")]
pub(crate) struct Restore {
    #[command(flatten)]
    installation: InstallationArguments,
    /// The backup
    file: Option<PathBuf>,
    /// The copy of `installation.key` that belongs to the backup, if the data directory does not have it
    #[arg(long, value_name = "FILE")]
    installation_key: Option<PathBuf>,
}

impl Backup {
    pub(crate) async fn run(self) -> Outcome {
        let arguments = ServerArguments { installation: self.installation.clone(), ..Default::default() };
        refuse_postgres(&Configuration::read(&arguments)?)?;
        on_host(&self.installation, Missing::Refuse, async |app, host| Ok(app.back_up(host, &self.file).await?))
            .await?;
        output::line(format!(
            "the database is in {}\n`installation.key` is not: keep a copy of it elsewhere, once",
            self.file.display()
        ))
    }
}

impl Restore {
    pub(crate) async fn run(self) -> Outcome {
        let arguments = ServerArguments { installation: self.installation, ..Default::default() };
        let configuration = Configuration::read(&arguments)?;
        let directory = DataDirectory::create(&configuration.data)?;
        // Held to the end, because no server may start on an incomplete restore.
        let _lock = directory.lock()?;
        let report = match (&self.file, &configuration.database_url) {
            (Some(file), None) => {
                refuse_leftovers(&directory)?;
                require_backup(file)?;
                let new_key = choose_key(&directory, self.installation_key.as_deref())?;
                restore_file(&configuration, &directory, file, new_key).await?
            }
            (None, Some(_)) => finish_on_postgres(&configuration, &directory).await?,
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    "the database is a PostgreSQL server: put the backup back with pg_restore, then run this without a file",
                ));
            }
            (None, None) => return Err(Failure::new("no backup is named: pass its file")),
        };
        print_what_next(&directory, &report)
    }
}

/// Refuses a directory that contains files of a database. SQLite would apply the files beside an earlier database to
/// the restored one.
fn refuse_leftovers(directory: &DataDirectory) -> Outcome {
    let leftovers = find_database_files(&directory.path().join(DATABASE))?;
    if leftovers.is_empty() {
        return Ok(());
    }
    let (are, them) = if leftovers.len() == 1 { ("is", "it") } else { ("are", "them") };
    let names = leftovers.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    Err(Failure::new(format!(
        "{names} {are} left from another database: move {them} away, or restore into an empty directory with \
         `--data`; nothing was changed"
    )))
}

/// Refuses a file with SQLite's files beside it. It is a database that is open or was not closed, and the changes in
/// those files, which may include revocations, would be lost.
fn require_backup(file: &Path) -> Outcome {
    // SQLite stores them beside the target of a symbolic link.
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut found = find_database_files(file)?;
    found.extend(find_database_files(&target)?);
    match found.iter().find(|found| *found != file && **found != target) {
        None => Ok(()),
        Some(beside) => Err(Failure::new(format!(
            "{} is not a complete backup: {} is next to it and may contain changes of it. Make a backup with `keyward \
             backup`, and restore that; nothing was changed",
            file.display(),
            beside.display()
        ))),
    }
}

/// Returns the copy of the installation's key to put into the directory, or `None` if the directory has it.
fn choose_key<'a>(directory: &DataDirectory, copy: Option<&'a Path>) -> Outcome<Option<&'a Path>> {
    let key = directory.file(INSTALLATION_KEY)?;
    match copy {
        Some(copy) if exists(&key)? => Err(Failure::new(format!(
            "{} already exists: leave `--installation-key` out, or move the file away ({})",
            key.display(),
            copy.display()
        ))),
        Some(copy) => Ok(Some(copy)),
        None if exists(&key)? => Ok(None),
        None => Err(Failure::new(format!(
            "{} is missing: name your copy with `--installation-key FILE`; without it, checkpoints of the audit log that you \
             keep cannot be compared",
            key.display()
        ))),
    }
}

/// Restores in a separate directory, moves the result into place, and checks it there. A failure undoes all of it.
async fn restore_file(
    configuration: &Configuration,
    directory: &DataDirectory,
    file: &Path,
    new_key: Option<&Path>,
) -> Outcome<RestoreReport> {
    let unfinished = Unfinished::create(directory)?;
    let mut placed = Vec::new();
    let restored = async {
        let key = match new_key {
            Some(copy) => {
                copy_for_owner(copy, &unfinished.file(INSTALLATION_KEY))?;
                unfinished.file(INSTALLATION_KEY)
            }
            None => directory.path().join(INSTALLATION_KEY),
        };
        let database = unfinished.file(DATABASE);
        copy_for_owner(file, &database)?;
        let settings = configuration.settings(&url_of(configuration.listen));
        finish(AppConfig::embedded_at(database.clone(), key, settings), file).await?;
        if find_database_files(&database)?.len() != 1 {
            return Err(Failure::new(format!(
                "{} could not be closed, and nothing was restored: check that no other program has it open, and try \
                 again",
                database.display()
            )));
        }
        for name in [INSTALLATION_KEY, DATABASE] {
            if name == DATABASE {
                refuse_leftovers(directory)?;
            } else if new_key.is_none() {
                continue;
            }
            let place = directory.path().join(name);
            rename_new(&unfinished.file(name), &place).map_err(|error| cannot_write(&place, &error))?;
            placed.push(place);
        }
        sync_directory(directory.path())?;
        let settings = configuration.settings(&url_of(configuration.listen));
        check(configuration.app_config(directory.path(), settings)).await
    }
    .await;
    let removed = unfinished.remove();
    let failure = match (restored, removed) {
        (Ok(report), Ok(())) => return Ok(report),
        (Ok(_), Err(failure)) | (Err(failure), Ok(())) => failure,
        (Err(failure), Err(remains)) => Failure::new(format!("{failure}. Besides, {remains}")),
    };
    for place in placed {
        let there = if place.ends_with(DATABASE) { find_database_files(&place)? } else { vec![place] };
        for path in there {
            fs::remove_file(&path).map_err(|error| {
                Failure::new(format!("{failure}. {} cannot be removed ({error}): remove it", path.display()))
            })?;
        }
    }
    Err(failure)
}

/// Ends the credentials in a database that pg_restore has filled, and checks it.
async fn finish_on_postgres(configuration: &Configuration, directory: &DataDirectory) -> Outcome<RestoreReport> {
    let config = || configuration.app_config(directory.path(), configuration.settings(&url_of(configuration.listen)));
    if !holds_installation(&config()).await? {
        return Err(Failure::new(
            "the database holds no installation, and nothing was changed in it: put the backup back with pg_restore first, \
             or name the database that it is in with `--database-url`",
        ));
    }
    finish_app(&App::open_on_host(config()).await?).await?;
    check(config()).await
}

/// Verifies the audit log of a copy of the backup `file`, and ends the credentials in the copy.
async fn finish(config: AppConfig, file: &Path) -> Outcome {
    if !holds_installation(&config).await? {
        return Err(Failure::new(format!(
            "{} holds no installation, and nothing was restored: name a file that `keyward backup` has written",
            file.display()
        )));
    }
    finish_app(&App::open_on_host(config).await?).await
}

async fn finish_app(app: &Arc<App>) -> Outcome {
    let host = Caller::host();
    let finished = async {
        let log = app.verify_audit_log(&host, None, None).await?;
        if let Some(finding) = log.findings.first() {
            return Err(Failure::new(format!(
                "the backup's audit log does not verify, so nothing was restored: {finding}. Take another backup."
            )));
        }
        app.finish_restore(&host).await?;
        Ok(())
    }
    .await;
    app.close().await;
    finished
}

/// Opens a restored database as a server would, and checks that it is complete and that every user and key is suspended.
async fn check(config: AppConfig) -> Outcome<RestoreReport> {
    let app = App::open_on_host(config).await?;
    let checked = app.check_restore(&Caller::host()).await;
    app.close().await;
    let report = checked?;
    if report.problems.is_empty() {
        return Ok(report);
    }
    Err(Failure::new(format!(
        "the restored database changed unexpectedly ({}): check that no other program uses it and that the disk \
         works, and restore again",
        report.problems.join("; ")
    )))
}

fn print_what_next(directory: &DataDirectory, report: &RestoreReport) -> Outcome {
    let (program, data) = (program(), shell_word(&directory.path().display().to_string()));
    let suspended = report.suspended;
    output::line(format!(
        "restored into {data}: all {} users are suspended, and all {} keys are suspended; bearer tokens, sessions and \
         open invitations are invalid\nReview the users, disable those who have left since the backup, and confirm \
         the others:\n  {program} admin list-suspended-users --data {data}\n  {program} admin disable-user --data \
         {data} --user EMAIL\n  {program} admin confirm-users --data {data} --user EMAIL --user EMAIL\n  {program} \
         admin confirm-users --data {data} --all\nReview the keys, revoke those that were revoked since the backup, \
         and confirm the others:\n  {program} admin list-suspended-keys --data {data}\n  {program} admin revoke-key \
         --data {data} --key key_…\n  {program} admin confirm-keys --data {data} --key key_… --key key_…\n  {program} \
         admin confirm-keys --data {data} --all",
        suspended.users, suspended.keys
    ))
}

fn refuse_postgres(configuration: &Configuration) -> Outcome {
    match configuration.database_url {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            "the database is a PostgreSQL server, whose own programs make its backups: see docs/postgresql.md for \
             pg_dump, pg_basebackup, and what to do after a restore",
        )),
    }
}

/// A directory for incomplete files, inside the data directory. Files of an interrupted restore are removed, because
/// SQLite would apply them to the next one.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Creates the directory. The data directory is locked, so no other process uses it.
    fn create(directory: &DataDirectory) -> Outcome<Self> {
        let this = Self { path: directory.path().join("restoring") };
        if fs::symlink_metadata(&this.path).is_ok() {
            this.remove_all()?;
        }
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&this.path).map_err(|error| cannot_write(&this.path, &error))?;
        Ok(this)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn remove(self) -> Outcome {
        self.remove_all()
    }

    fn remove_all(&self) -> Outcome {
        fs::remove_dir_all(&self.path)
            .map_err(|error| Failure::new(format!("{} cannot be removed ({error}): remove it", self.path.display())))
    }
}

fn exists(path: &Path) -> Outcome<bool> {
    path.try_exists().map_err(|error| Failure::new(format!("{} cannot be inspected ({error})", path.display())))
}

/// Copies a file for its owner only, and syncs it to the disk.
fn copy_for_owner(from: &Path, to: &Path) -> Outcome {
    let mut source =
        File::open(from).map_err(|error| Failure::new(format!("{} cannot be read ({error})", from.display())))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(to).and_then(|mut target| {
        io::copy(&mut source, &mut target)?;
        target.sync_all()
    });
    written.map_err(|error| cannot_write(to, &error))
}

/// Renames a file without replacing an existing one, if the file system supports that.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

fn sync_directory(path: &Path) -> Outcome {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be written ({error}): check the disk and who owns the directory", path.display()))
}
