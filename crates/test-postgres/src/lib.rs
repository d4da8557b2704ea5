//! A private PostgreSQL for tests: a cluster in a temporary directory with a socket in it. It is removed when the
//! process that started it ends, for any reason. It does not depend on Keyward.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::TempDir;

/// The role that owns all objects.
const ROLE: &str = "keyward";
/// The user `nobody` of Debian, because the server refuses to run as root.
const NOBODY: u32 = 65_534;

/// Settings for speed and a small size. Text is sorted by a language here, so that code that needs byte order must
/// request it.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=400",
    "listen_addresses=",
    "log_min_messages=warning",
];

/// A running server.
pub struct Cluster {
    directory: PathBuf,
    programs: PathBuf,
    as_nobody: bool,
    settings: Vec<String>,
    next_database: AtomicU64,
    /// Stops the server and removes the directory after its standard input is closed. The kernel closes it when this
    /// process ends.
    watchdog: Option<Child>,
}

/// An empty database, which is dropped with this value.
pub struct Database {
    cluster: &'static Cluster,
    name: String,
}

static SHARED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(&[]));

impl Cluster {
    /// Returns the cluster that all tests of this process share.
    #[must_use]
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// Starts a separate cluster, with further settings such as `synchronous_standby_names=nobody`.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let directory = TempDir::with_prefix("kw-pg-").expect("a temporary directory").keep();
        let as_nobody = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
        if as_nobody {
            std::os::unix::fs::chown(&directory, Some(NOBODY), Some(NOBODY)).expect("a directory for `nobody`");
        }
        let mut cluster = Self {
            directory,
            programs: find_programs(),
            as_nobody,
            settings: SETTINGS.iter().chain(settings).map(|&setting| setting.to_owned()).collect(),
            next_database: AtomicU64::new(1),
            watchdog: None,
        };
        cluster.watch();
        let data = cluster.data();
        let data = data.to_str().expect("a temporary directory's name is UTF-8");
        cluster.run(
            "initdb",
            &["-D", data, "-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"],
            &["--locale-provider=icu", "--icu-locale=en-US"],
        );
        cluster.control("start");
        cluster
    }

    /// Creates an empty database.
    ///
    /// # Panics
    /// The server does not answer.
    #[must_use]
    pub fn create_database(&'static self) -> Database {
        let name = format!("test_{}", self.next_database.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &["-h", self.socket_directory(), "-U", ROLE, &name], &[]);
        Database { cluster: self, name }
    }

    /// Returns the URL of one of its databases. `postgres` always exists.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@{}/{database}", self.socket_directory().replace('/', "%2F"))
    }

    /// Restarts the server. Connections are closed.
    pub fn restart(&self) {
        self.control("restart");
    }

    /// Stops the server. Connections are closed.
    pub fn stop(&self) {
        self.control("stop");
    }

    /// Starts the server after [`stop`](Self::stop).
    pub fn start_again(&self) {
        self.control("start");
    }

    /// Runs SQL as the superuser, and returns its output.
    ///
    /// # Panics
    /// The server refuses.
    #[must_use]
    pub fn query(&self, database: &str, sql: &str) -> String {
        let output = self.run("psql", &["-h", self.socket_directory(), "-U", ROLE, "-d", database], &["-AtXc", sql]);
        output.trim_end().to_owned()
    }

    /// Runs one of PostgreSQL's programs, such as `pg_dump`, and returns its output.
    ///
    /// # Panics
    /// It does not exist, or fails.
    pub fn run(&self, program: &str, arguments: &[&str], more: &[&str]) -> String {
        let output = self.command(program).args(arguments).args(more).output().expect("the program starts");
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Returns the directory of its socket.
    ///
    /// # Panics
    /// Never, because it was created from UTF-8.
    #[must_use]
    pub fn socket_directory(&self) -> &str {
        self.directory.to_str().expect("a temporary directory's name is UTF-8")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn control(&self, what: &str) {
        let options: Vec<_> = self.settings.iter().map(|setting| format!("-c '{setting}'")).collect();
        let options = format!("{} -k '{}'", options.join(" "), self.socket_directory());
        let (data, log) = (self.data(), self.directory.join("log"));
        let mut command = self.command("pg_ctl");
        command.arg("-D").arg(&data).arg("-l").arg(&log).args(["-s", "-w", "-m", "fast", "-o", &options, what]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("pg_ctl starts");
        assert!(status.success(), "{what}: {}", fs::read_to_string(&log).unwrap_or_default());
    }

    /// Returns the command for one of PostgreSQL's programs, run as a user other than root.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = if self.as_nobody {
            let nobody = NOBODY.to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.stdin(Stdio::null()).current_dir("/").env("LC_ALL", "C.UTF-8");
        command
    }

    fn watch(&mut self) {
        let script = "cat >/dev/null; \"$1/pg_ctl\" -D \"$0/data\" -s -m immediate stop; rm -rf \"$0\"";
        let mut command = self.command("/bin/sh");
        command.arg("-c").arg(script).arg(&self.directory).arg(&self.programs);
        let watchdog = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.watchdog = Some(watchdog.expect("a shell starts"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            // Waits only so that no zombie process remains. The status does not matter.
            let _ = watchdog.wait();
        }
    }
}

impl Database {
    /// Returns its URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Database {
    /// Writes a dump of it into a file, as an operator would.
    ///
    /// # Panics
    /// `pg_dump` fails, or the file cannot be written.
    pub fn dump(&self, file: &Path) {
        let dump = self.cluster.run("pg_dump", &["-h", self.cluster.socket_directory(), "-U", ROLE, &self.name], &[]);
        fs::write(file, dump).expect("a file");
    }

    /// Restores a dump into this empty database.
    ///
    /// # Panics
    /// The dump cannot be read, or the server refuses it.
    pub fn restore(&self, file: &Path) {
        let sql = fs::read_to_string(file).expect("a dump");
        let socket = self.cluster.socket_directory();
        let mut command = self.cluster.command("psql");
        command.args(["-h", socket, "-U", ROLE, "-d", &self.name, "-X", "-q", "-v", "ON_ERROR_STOP=1"]);
        let mut psql = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql starts");
        let mut input = psql.stdin.take().expect("a pipe");
        input.write_all(sql.as_bytes()).expect("psql reads");
        drop(input);
        assert!(psql.wait().expect("psql ends").success(), "the dump could not be put back");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut command = self.cluster.command("dropdb");
        // If it remains, it is removed with the cluster.
        let _ = command
            .args(["-h", self.cluster.socket_directory(), "-U", ROLE, "--force", "--if-exists", &self.name])
            .stderr(Stdio::null())
            .status();
    }
}

/// Returns the directory of PostgreSQL's programs. Debian keeps them outside the PATH, by version.
fn find_programs() -> PathBuf {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = debian
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(version, programs)| *version >= 15 && programs.join("initdb").exists())
        .collect();
    versions.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|directory| is_program(&directory.join("initdb")))
    };
    versions
        .pop()
        .map(|(_, programs)| programs)
        .or_else(on_path)
        .expect("PostgreSQL 15 or later must be installed: run `scripts/setup`, or `apt-get install postgresql`")
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
