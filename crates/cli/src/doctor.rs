//! `keyward doctor`: checks an installation, and prints the problems and what to do next.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use client::{Clock as _, KeySource, PrivateKey, SystemClock};
use domain::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use server::{
    app::{AuditFilter, Paging},
    data_file::{require_local_disk, require_own_directory, require_secret},
};

use crate::{
    configuration::{Configuration, InstallationArguments, ServerArguments, setting_origins, url_of},
    data_directory::DataDirectory,
    failure::{Failure, Outcome},
    host::{Missing, on_host},
    message::clean,
    output,
    progress::show_progress,
    remote::probe,
};

/// Below this, writes will fail soon.
const LITTLE_SPACE: u64 = 64 << 20;
/// Below this, the operator is warned.
const SOME_SPACE: u64 = 1 << 30;
/// The maximum difference for native signatures. A larger one causes refusals.
const WINDOW_SECONDS: i64 = 30;
/// Synchronized clocks have a smaller difference than this.
const SMALL_SKEW_SECONDS: i64 = 2;
/// The maximum difference between the wall clock and the time since boot during the check.
const JUMP: Duration = Duration::from_secs(1);

/// Check an installation: settings, data directory, database, audit log, disk, clock
///
/// This changes nothing, and works with or without a running server. Each line is `ok`, `warn` or `fail`, with what to do next.
/// The exit status is 1 if a check fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward doctor --data /var/lib/keyward
  keyward doctor --url https://keys.example.com          and compare clocks with a server
  keyward doctor --json                                  for monitoring")]
pub(crate) struct Doctor {
    /// Compare this machine's clock with this server [default: the server that runs on the data directory]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Also trust this certificate authority (PEM file)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// A check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    /// What was found.
    detail: String,
    /// What to do next, if anything.
    next: Option<String>,
}

/// All checks.
#[derive(Debug, Default, Serialize)]
struct Report {
    checks: Vec<Check>,
}

impl Report {
    fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.push(name, Status::Ok, &detail.into(), None);
    }

    fn warn(&mut self, name: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.push(name, Status::Warn, &detail.into(), Some(&next.into()));
    }

    fn fail(&mut self, name: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.push(name, Status::Fail, &detail.into(), Some(&next.into()));
    }

    /// Adds a check. The text may contain given values.
    fn push(&mut self, name: &'static str, status: Status, detail: &str, next: Option<&str>) {
        self.checks.push(Check { name, status, detail: clean(detail), next: next.map(clean) });
    }

    fn status(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok)
    }
}

impl Doctor {
    pub(crate) async fn run(self) -> Outcome {
        let before = clock_distance();
        let mut report = Report::default();
        let arguments = ServerArguments { installation: self.installation.clone(), ..Default::default() };
        if let Some(configuration) = check_settings(&mut report, &arguments) {
            check_warnings(&mut report, &configuration);
            check_tls_files(&mut report, &configuration);
            let is_embedded = configuration.database_url.is_none();
            if let Some(directory) = check_data_directory(&mut report, &configuration.data, is_embedded) {
                check_files(&mut report, &directory, is_embedded);
                check_disk(&mut report, directory.path());
                let running = check_server(&mut report, &directory);
                Box::pin(self.check_installation(&mut report, is_embedded)).await;
                self.compare_clocks(&mut report, running).await?;
            }
        }
        check_client_key(&mut report);
        check_jumps(&mut report, before, clock_distance());
        if self.json {
            output::json(&serde_json::json!({"status": report.status(), "checks": report.checks}))?;
        } else {
            report.print()?;
        }
        if report.status() == Status::Fail { Err(Failure::Printed) } else { Ok(()) }
    }

    /// Runs all checks that need an open database.
    async fn check_installation(&self, report: &mut Report, is_embedded: bool) {
        let looked = on_host(&self.installation, Missing::Refuse, async |app, host| {
            let findings = show_progress("reading the whole database", app.check_integrity(host)).await?;
            let audit = show_progress("verifying the audit log", app.verify_audit_log(host, None, None)).await?;
            let latest = Paging { after: None, limit: Some(1) };
            let latest = app.list_all_audit_events(host, &AuditFilter::default(), &latest).await?;
            let without_admin = app.list_workspaces_without_admin(host).await?.len();
            let nodes = app.list_nodes(host).await?.items;
            Ok((findings, audit, latest.items.first().map(|event| event.at), without_admin, nodes))
        });
        let (findings, audit, latest, without_admin, nodes) = match Box::pin(looked).await {
            Ok(looked) => looked,
            Err(failure) => {
                return report.fail(
                    "database",
                    failure.to_string(),
                    "stop the server, keep a copy of the files as they are, and restore a backup (`keyward restore`)",
                );
            }
        };
        match findings.first() {
            None => report.ok("database", if is_embedded { "the file is intact" } else { "PostgreSQL answers" }),
            Some(finding) => report.fail(
                "database",
                format!("the file is damaged, in {} places at least: {finding}", findings.len()),
                "stop the server, keep a copy of the files as they are, and restore a backup (`keyward restore`)",
            ),
        }
        check_nodes(report, &nodes);
        match audit.findings.first() {
            None => report.ok("audit log", format!("intact in itself, {} events", audit.size)),
            Some(finding) => report.fail(
                "audit log",
                finding.to_string(),
                "`keyward audit verify` lists all findings; keep the database as it is, and compare it with a backup",
            ),
        }
        match without_admin {
            0 => report.ok("admins", "every workspace has an enabled admin"),
            count => report.warn(
                "admins",
                format!("workspaces without an enabled admin: {count}"),
                "`keyward admin list-workspaces` lists them; enable an admin, or name a first admin on the operator's \
                 pages",
            ),
        }
        let now = SystemClock.now();
        match latest {
            Some(latest) if now < latest => report.fail(
                "clock",
                format!("it shows {}, but the latest event was recorded at {}", output::exact(now), output::exact(latest)),
                "set the clock (`timedatectl set-ntp true` on Linux): until then, signatures are verified against a wrong time",
            ),
            _ => report.ok("clock", format!("it shows {}, after the latest event", output::exact(now))),
        }
    }

    /// Compares the clock with that of the named server, or of the one that runs here.
    async fn compare_clocks(&self, report: &mut Report, running: Option<String>) -> Outcome {
        let Some(url) = self.url.clone().or(running) else { return Ok(()) };
        let ca = match &self.ca_file {
            None => None,
            Some(file) => Some(fs::read(file).map_err(|error| {
                Failure::new(format!(
                    "{} cannot be read ({error}): give the file with the authority's certificate",
                    file.display()
                ))
            })?),
        };
        match show_progress(&format!("waiting for {url}"), probe(&url, ca)).await {
            Err(failure) if self.url.is_some() => {
                report.fail(
                    "server answers",
                    failure.to_string(),
                    "check that it is running, and that the URL is correct",
                );
            }
            // Its public URL may not be reachable from here.
            Err(failure) => report.warn(
                "server answers",
                failure.to_string(),
                "give a URL that reaches it from this machine with `--url`",
            ),
            Ok(answer) if !answer.is_ready => report.fail(
                "server answers",
                format!("{url} reports that it is not ready"),
                "check the server's log: its database does not respond, or it has no lease",
            ),
            Ok(answer) => {
                report.ok("server answers", format!("{url} is ready"));
                match answer.date {
                    None => report.warn(
                        "clocks",
                        format!("{url} reports no time"),
                        "name the URL of Keyward, not of \
                                                                                     a proxy",
                    ),
                    Some(date) => compare(report, SystemClock.now(), date),
                }
            }
        }
        Ok(())
    }
}

fn compare(report: &mut Report, here: Timestamp, there: Timestamp) {
    let skew = here.as_second() - there.as_second();
    let detail =
        format!("this machine is {} s {} the server", skew.abs(), if skew < 0 { "behind" } else { "ahead of" });
    let next = "set the clock that is off (`timedatectl set-ntp true` on Linux)";
    if skew.abs() <= SMALL_SKEW_SECONDS {
        report.ok("clocks", "this machine and the server agree");
    } else if skew.abs() <= WINDOW_SECONDS {
        report.warn("clocks", detail, next);
    } else {
        report.fail("clocks", format!("{detail}: requests that are signed here are refused there"), next);
    }
}

fn check_settings(report: &mut Report, arguments: &ServerArguments) -> Option<Configuration> {
    let read = Configuration::read(arguments).and_then(|configuration| {
        configuration.validate()?;
        Ok((configuration, setting_origins(arguments)?))
    });
    match read {
        Ok((configuration, origins)) => {
            let told = origins.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let told = if told.is_empty() { "nothing is set; the defaults apply".to_owned() } else { told };
            report.ok("settings", told);
            Some(configuration)
        }
        Err(failure) => {
            report.fail("settings", failure.to_string(), "correct it: the server does not start with it");
            None
        }
    }
}

/// Adds the warnings about settings.
fn check_warnings(report: &mut Report, configuration: &Configuration) {
    // Without a public URL, use a URL of this machine, for which there are no warnings.
    for warning in configuration.settings(&url_of(configuration.listen)).warnings() {
        report.warn(warning.name, warning.reason, warning.next);
    }
}

/// Checks whether all nodes verify the same requests.
fn check_nodes(report: &mut Report, nodes: &[api::Node]) {
    if !api::settings_differ(nodes) {
        return;
    }
    let shown =
        nodes.iter().map(|node| format!("{} {}", node.name, node.settings_mark())).collect::<Vec<_>>().join(", ");
    report.warn(
        "nodes",
        format!("they run with different hosts, routes or trusted proxies: {shown}"),
        "use the same keyward.toml and variables on all nodes, and restart them",
    );
}

fn check_tls_files(report: &mut Report, configuration: &Configuration) {
    let Ok(Some(files)) = configuration.tls() else { return };
    for (name, path, is_secret) in [("TLS certificate", &files.certificate, false), ("TLS key", &files.key, true)] {
        check_file(report, name, path, is_secret);
    }
}

fn check_data_directory(report: &mut Report, path: &Path, is_embedded: bool) -> Option<DataDirectory> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.fail(
                "data directory",
                format!("{shown} does not exist"),
                "name it with `--data` or KEYWARD_DATA, or create an installation with `keyward serve`",
            );
            return None;
        }
        Err(error) => {
            report.fail("data directory", format!("{shown}: {error}"), "run this as the user that runs keyward");
            return None;
        }
    };
    let (mode, owner) = (metadata.permissions().mode() & 0o777, metadata.uid());
    let access = rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK);
    if !metadata.is_dir() {
        report.fail("data directory", format!("{shown} is not a directory"), "name the directory with `--data`");
        return None;
    }
    if let Err(error) = access {
        let next = "run this as the user that runs keyward, and check that the file system is mounted for writing";
        report.fail("data directory", format!("{shown} cannot be written to ({error})"), next);
    } else if let Err(error) = require_own_directory(path) {
        report.fail("data directory", error.to_string(), "until then, no command uses it");
        return None;
    } else if mode & 0o007 != 0 && own_user() == Some(owner) {
        let next = format!("chmod 700 {}", output::shell_word(&shown.to_string()));
        report.fail("data directory", format!("other users can list {shown} (mode {mode:03o})"), next);
    } else if mode & 0o007 != 0 {
        // A volume that belongs to root, which this process cannot change. Only its owner and group have access to its
        // files.
        let next = "remove the permissions of other users where the volume is mounted";
        report.warn("data directory", format!("other users can list {shown} (mode {mode:03o})"), next);
    } else if mode & 0o070 != 0 {
        report.ok("data directory", format!("{shown}, for its owner and a group of this user"));
    } else {
        report.ok("data directory", format!("{shown}, for its owner alone"));
    }
    if is_embedded && !check_file_system(report, path) {
        return None;
    }
    match if is_embedded { DataDirectory::open(path) } else { DataDirectory::create(path) } {
        Ok(directory) => Some(directory),
        Err(failure) => {
            report.fail("database", failure.to_string(), "name the right directory with `--data`");
            None
        }
    }
}

/// Returns the user of this process, if the system reports it.
fn own_user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|metadata| metadata.uid())
}

fn check_files(report: &mut Report, directory: &DataDirectory, is_embedded: bool) {
    if is_embedded {
        check_file(report, "database file", &directory.path().join("keyward.db"), true);
    }
    check_file(report, "installation key", &directory.path().join("installation.key"), true);
}

/// Checks a file that must exist. If it is secret, only its owner may have access.
fn check_file(report: &mut Report, name: &'static str, path: &Path, is_secret: bool) {
    let shown = path.display();
    match fs::File::open(path).and_then(|file| file.metadata()) {
        Err(error) => report.fail(
            name,
            format!("{shown} cannot be read ({error})"),
            "put it back from its copy, or run this as the user that runs keyward",
        ),
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            if is_secret && require_secret(path, &metadata).is_err() {
                let next = format!("chmod 600 {}", output::shell_word(&shown.to_string()));
                report.fail(name, format!("other users can read {shown} (mode {mode:03o})"), next);
            } else {
                report.ok(name, shown.to_string());
            }
        }
    }
}

/// Checks whether the database may be opened there.
fn check_file_system(report: &mut Report, path: &Path) -> bool {
    match require_local_disk(path) {
        Ok(()) => {
            report.ok("file system", "a local disk");
            true
        }
        Err(error) => {
            report.fail("file system", error.to_string(), "no command opens a database there");
            false
        }
    }
}

fn check_disk(report: &mut Report, path: &Path) {
    let space = match rustix::fs::statvfs(path) {
        Ok(space) => space,
        Err(error) => {
            return report.warn("disk", format!("the free space cannot be determined ({error})"), "check it with `df`");
        }
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let detail = format!("{} MiB free", free >> 20);
    let no_inodes = space.f_files > 0 && space.f_favail < 100;
    if free < LITTLE_SPACE {
        report.fail("disk", detail, "free some space: writes fail when there is none");
    } else if no_inodes {
        report.fail("disk", "almost no free inodes", "remove files that are no longer needed");
    } else if free < SOME_SPACE {
        report.warn("disk", detail, "free some space");
    } else {
        report.ok("disk", detail);
    }
}

/// Returns the URL of the server that runs here, if there is one.
fn check_server(report: &mut Report, directory: &DataDirectory) -> Option<String> {
    match directory.is_served() {
        Ok(true) => {
            let url = match directory.server_url() {
                Ok(url) => url,
                Err(failure) => {
                    report.warn("server", failure.to_string(), "run this as the user that runs keyward");
                    return None;
                }
            };
            let at = url.as_ref().map_or_else(String::new, |url| format!(", at {url}"));
            report.ok("server", format!("runs on this data directory{at}"));
            url
        }
        Ok(false) => {
            report.ok("server", "none runs on this data directory");
            None
        }
        Err(failure) => {
            report.warn("server", failure.to_string(), "run this as the user that runs keyward");
            None
        }
    }
}

/// Checks the key that client commands on this machine would use, if a variable sets one.
fn check_client_key(report: &mut Report) {
    let Some(source @ KeySource::File(_)) = KeySource::choose(None, std::env::var_os("KEYWARD_KEY_FILE"), None) else {
        return;
    };
    match PrivateKey::load(&source) {
        Ok(key) => match key.warning() {
            Some(warning) => report.warn("client key", warning.to_owned(), "delete it, or write it again"),
            None => report.ok("client key", format!("KEYWARD_KEY_FILE is {}, for its owner alone", key.fingerprint())),
        },
        Err(error) => report.fail("client key", error.to_string(), "correct it, or unset KEYWARD_KEY_FILE"),
    }
}

fn check_jumps(report: &mut Report, before: i128, after: i128) {
    let jump = Duration::from_nanos(u64::try_from((after - before).unsigned_abs()).unwrap_or(u64::MAX));
    if jump > JUMP {
        report.fail(
            "clock runs evenly",
            format!("it jumped by {jump:?} during this check"),
            "check what sets it: use a single time service that adjusts the clock slowly; leases expire when the \
             clock jumps",
        );
    } else {
        report.ok("clock runs evenly", "no jump during this check");
    }
}

/// Returns the difference between the wall clock and the time since boot, in nanoseconds. Only a jump of the clock
/// changes it.
fn clock_distance() -> i128 {
    let nanoseconds = |id| {
        let time = clock_gettime(id);
        i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
    };
    nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Boottime)
}

impl Report {
    fn print(&self) -> Outcome {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
        for Check { name, status, detail, next } in &self.checks {
            let status = match status {
                Status::Ok => "ok",
                Status::Warn => "warn",
                Status::Fail => "fail",
            };
            output::painted_line(&format!("{status:4}"), &format!("  {name:width$}  {detail}"))?;
            if let Some(next) = next {
                output::result(format!("      {:width$}  next: {next}", ""))?;
            }
        }
        Ok(())
    }
}
