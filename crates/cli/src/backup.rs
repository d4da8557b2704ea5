//! `keyward backup` and `keyward restore`. What a restore must not bring back to life is the server's to know.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use server::{
    App,
    app::{Caller, Parts},
};

use crate::{
    configuration::{Configuration, InstallationArguments, ServerArguments, url_of},
    data_directory::DataDirectory,
    failure::{Failure, Outcome},
    host::{Missing, on_host},
    output::{self, program, shell_word},
};

/// Write a backup of the database into a new file, also while a server runs
///
/// The installation's key is not in it: keep a copy of `installation.key` elsewhere, and another one whenever it was replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward backup /var/backups/keyward-2026-11-23.db
  keyward backup --data /var/lib/keyward /mnt/backup/keyward.db")]
pub(crate) struct Backup {
    #[command(flatten)]
    installation: InstallationArguments,
    /// The file to write; it must not be there yet
    file: PathBuf,
}

/// Put a backup into a data directory, with every key suspended
///
/// Where the database is a PostgreSQL server, its own programs put the backup back; this does the rest, and takes no file.
///
/// Nobody can know what was revoked since the backup was made. So a restore ends all bearer tokens, sessions, open
/// invitations and replay state, and suspends every key until `keyward admin confirm-keys`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward restore /var/backups/keyward-2026-11-23.db --data /var/lib/keyward
  keyward admin list-suspended-keys --data /var/lib/keyward
  keyward admin confirm-keys --data /var/lib/keyward --all")]
pub(crate) struct Restore {
    #[command(flatten)]
    installation: InstallationArguments,
    /// The backup
    file: Option<PathBuf>,
    /// The copy of `installation.key` that belongs to it, where the data directory does not have it
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
        // Held to the end: no server may start on what is half restored.
        let _lock = directory.lock()?;
        let file = match (&self.file, &configuration.database_url) {
            (Some(file), None) => file,
            (None, Some(_)) => return finish_on_postgres(&configuration, &directory).await,
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    "the database is a PostgreSQL server: put the backup back with pg_restore, then run this without a file",
                ));
            }
            (None, None) => return Err(Failure::new("no backup is named: pass its file")),
        };
        let database = directory.path().join("keyward.db");
        if exists(&database)? {
            return Err(Failure::new(format!(
                "{} is there: move it and its -wal and -shm files away, or restore into an empty directory with `--data`",
                database.display()
            )));
        }
        let key = directory.path().join("installation.key");
        let key_is_new = match &self.installation_key {
            Some(copy) if exists(&key)? => {
                let (key, copy) = (key.display(), copy.display());
                return Err(Failure::new(format!(
                    "{key} is there: leave `--installation-key` out, or move it away ({copy})"
                )));
            }
            Some(copy) => {
                copy_for_owner(copy, &key)?;
                true
            }
            None if exists(&key)? => false,
            None => {
                return Err(Failure::new(format!(
                    "{} is missing: name your copy with `--installation-key FILE`; without it, checkpoints of the audit log \
                     that you keep cannot be compared",
                    key.display()
                )));
            }
        };

        let unfinished = directory.path().join("keyward.db.restoring");
        let finished = async {
            copy_for_owner(file, &unfinished)?;
            finish(&configuration, &unfinished, key.clone()).await
        };
        let suspended = match finished.await {
            Ok(suspended) => suspended,
            Err(failure) => {
                for name in ["keyward.db.restoring", "keyward.db.restoring-wal", "keyward.db.restoring-shm"] {
                    remove_if_there(&directory.path().join(name))?;
                }
                // It may be the key that was wrong: the next try brings its own.
                if key_is_new {
                    remove_if_there(&key)?;
                }
                return Err(failure);
            }
        };
        fs::rename(&unfinished, &database).map_err(|error| cannot_write(&database, &error))?;
        File::open(directory.path())
            .and_then(|directory| directory.sync_all())
            .map_err(|error| cannot_write(directory.path(), &error))?;
        tell_what_next(&directory, suspended)
    }
}

/// Ends what must not come back in a database that pg_restore has filled.
async fn finish_on_postgres(configuration: &Configuration, directory: &DataDirectory) -> Outcome {
    let settings = configuration.settings(&url_of(configuration.listen));
    let app = App::open_on_host(configuration.parts(directory.path(), settings)).await?;
    let suspended = verify_and_finish(&app).await;
    app.close().await;
    tell_what_next(directory, suspended?)
}

fn tell_what_next(directory: &DataDirectory, suspended: u64) -> Outcome {
    let (program, data) = (program(), shell_word(&directory.path().display().to_string()));
    output::line(format!(
        "restored into {data}: all {suspended} keys are suspended; bearer tokens, sessions and open invitations are ended\n\
             Look at the keys, confirm those that may work again, and revoke the rest:\n  \
             {program} admin list-suspended-keys --data {data}\n  \
             {program} admin confirm-keys --data {data} --key key_… --key key_…\n  \
             {program} admin confirm-keys --data {data} --all"
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

/// Verifies the audit log of the copy, and ends in it what must not come back.
async fn finish(configuration: &Configuration, database: &Path, key: PathBuf) -> Outcome<u64> {
    let settings = configuration.settings(&url_of(configuration.listen));
    let app = App::open_on_host(Parts::embedded_at(database.to_owned(), key, settings)).await?;
    let suspended = verify_and_finish(&app).await;
    app.close().await;
    suspended
}

async fn verify_and_finish(app: &App) -> Outcome<u64> {
    let host = Caller::host();
    let report = app.verify_audit_log(&host, None, None).await?;
    if let Some(finding) = report.findings.first() {
        return Err(Failure::new(format!(
            "the backup's audit log does not verify, so nothing was restored: {finding}. Take another backup."
        )));
    }
    Ok(app.change(&host, || app.finish_restore(&host)).await?)
}

fn exists(path: &Path) -> Outcome<bool> {
    path.try_exists().map_err(|error| Failure::new(format!("{} cannot be looked at ({error})", path.display())))
}

/// Copies into a new file for its owner only, and onto the disk.
fn copy_for_owner(from: &Path, to: &Path) -> Outcome {
    let mut source =
        File::open(from).map_err(|error| Failure::new(format!("{} cannot be read ({error})", from.display())))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(to).and_then(|mut target| {
        io::copy(&mut source, &mut target)?;
        target.sync_all()
    });
    written.map_err(|error| cannot_write(to, &error))
}

fn remove_if_there(path: &Path) -> Outcome {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(path, &error)),
        _ => Ok(()),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be written ({error}): check the disk and who owns the directory", path.display()))
}
