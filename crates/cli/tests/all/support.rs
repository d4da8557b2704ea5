//! A home directory of a test, the programs that are run in it, and servers that run beside them.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::Value;

/// Far more than any step takes, also on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_mins(1);

/// An empty directory in which everything of a test happens.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A `keyward serve` or `keyward demo` that runs.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    pub(crate) url: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).expect("a file");
    }

    /// `keyward` in this directory, with no variable that this test does not set.
    pub(crate) fn keyward(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command.args(arguments).current_dir(self.path()).env_clear().env("HOME", self.path());
        command
    }

    /// Runs `keyward` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.keyward(arguments).stdin(Stdio::null()).output().expect("keyward starts").into()
    }

    /// Runs `keyward`, with this on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.keyward(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("keyward starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("keyward reads");
        child.wait_with_output().expect("keyward ends").into()
    }

    /// Runs another program to its end, which must be a good one.
    #[track_caller]
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.path()).output();
        Ran::from(output.unwrap_or_else(|error| panic!("{program}: {error}"))).ok()
    }

    /// A fresh key pair by `ssh-keygen`.
    pub(crate) fn ssh_keygen(&self, name: &str) {
        self.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", name]);
    }

    /// `keyward serve` on a free port.
    pub(crate) fn serve(&self) -> Running {
        Running::start(self.keyward(&["serve", "--listen", "127.0.0.1:0"]))
    }

    /// An operator, who may begin.
    pub(crate) fn create_operator(&self) {
        let create = ["admin", "create-user", "--email", "ann@example.com", "--name", "Ann", "--operator"];
        self.run(&create).ok();
    }

    /// An operator with the key in `name`.
    pub(crate) fn create_operator_with_key(&self, name: &str) {
        self.create_operator();
        self.ssh_keygen(name);
        let public = format!("{name}.pub");
        let add = ["admin", "add-key", "--user", "ann@example.com", "--title", name, "--public-key-file", &public];
        self.run(&add).ok();
    }
}

/// A server with people: ann runs it and is admin of `acme`, bob is a member there, eve is admin of `other`. Each has a
/// key in a file of their name.
pub(crate) struct Town {
    pub(crate) home: Home,
    pub(crate) server: Running,
}

impl Town {
    pub(crate) fn new() -> Self {
        let home = Home::new();
        home.create_operator_with_key("ann");
        home.run(&["admin", "create-user", "--email", "eve@example.com", "--name", "Eve"]).ok();
        for (slug, admin) in [("acme", "ann@example.com"), ("other", "eve@example.com")] {
            home.run(&["admin", "create-workspace", "--name", slug, "--slug", slug, "--admin", admin]).ok();
        }
        let server = home.serve();
        let town = Self { home, server };
        let invited = town.run("ann", &["invitations", "create", "bob@example.com", "--json"]).json();
        let token = invited["items"][0]["token"].as_str().expect("a token");
        let accept = format!(r#"{{"token": "{token}", "name": "Bob", "password": "correct horse battery"}}"#);
        let url = format!("{}/api/v1/invitations/accept", town.server.url);
        let json = "Content-Type: application/json";
        town.home.tool("curl", &["--silent", "--show-error", "--fail", "-H", json, "-d", &accept, &url]);
        for person in ["bob", "eve"] {
            town.home.ssh_keygen(person);
            let (email, public) = (format!("{person}@example.com"), format!("{person}.pub"));
            let add = ["admin", "add-key", "--user", &email, "--title", person, "--public-key-file", &public];
            town.home.run(&add).ok();
        }
        town
    }

    /// A service account in `acme` with a key in a file of its name.
    pub(crate) fn create_service_account(&self, name: &str) {
        self.run("ann", &["service-accounts", "create", name]).ok();
        self.run("ann", &["keys", "add", "--generate", name, "--service-account", name]).ok();
    }

    /// `keyward` as this person, by variables.
    pub(crate) fn command(&self, who: &str, arguments: &[&str]) -> Command {
        let mut command = self.home.keyward(arguments);
        command.env("KEYWARD_URL", &self.server.url).env("KEYWARD_KEY_FILE", who).stdin(Stdio::null());
        command
    }

    /// Runs `keyward` as this person.
    pub(crate) fn run(&self, who: &str, arguments: &[&str]) -> Ran {
        self.command(who, arguments).output().expect("keyward starts").into()
    }

    /// Runs `keyward` as this person at a terminal of 200 columns, where they type `input`.
    pub(crate) fn run_at_terminal(&self, who: &str, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.at_terminal(200, who, arguments).spawn().expect("script starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("script reads");
        child.wait_with_output().expect("keyward ends").into()
    }

    /// `keyward` as this person at a terminal of that many columns.
    pub(crate) fn at_terminal(&self, columns: u16, who: &str, arguments: &[&str]) -> Command {
        let line = arguments.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let line = format!("stty cols {columns}; {} {line}", env!("CARGO_BIN_EXE_keyward"));
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        command.current_dir(self.home.path()).env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        command.env("TERM", "xterm").env("SHELL", "/bin/sh");
        command.env("KEYWARD_URL", &self.server.url).env("KEYWARD_KEY_FILE", who);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A server that is not Keyward: it answers each connection with the next line of its script, whatever it is asked.
pub(crate) struct Scripted {
    pub(crate) url: String,
    thread: std::thread::JoinHandle<()>,
}

impl Scripted {
    /// Each answer is written out from `HTTP/1.1` on, with `\n` for line ends.
    pub(crate) fn answering(script: &[String]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let script = script.to_vec();
        let thread = std::thread::spawn(move || {
            for answer in script {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
                while !lines.next().expect("a line").expect("text").is_empty() {}
                let (head, content) = answer.split_once("\n\n").unwrap_or((&answer, ""));
                let head = head.replace('\n', "\r\n");
                let length = content.len();
                write!(stream, "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}")
                    .expect("the client reads");
            }
        });
        Self { url, thread }
    }

    /// Returns when the script has come to its end.
    pub(crate) fn finish(self) {
        self.thread.join().expect("the script");
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ran {
    /// What it printed, after it was seen to succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What it printed as JSON, after it was seen to succeed.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).expect("JSON")
    }

    /// What it said on standard error, after it was seen to fail, and not for its command line. Which status it is, the tests
    /// in `exit_status` look at.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(matches!(self.code, Some(1 | 3 | 4 | 5)), "{:?} {}{}", self.code, self.stdout, self.stderr);
        self.stderr
    }

    /// What it said on standard error, after it was seen to end with this status.
    #[track_caller]
    pub(crate) fn fails_with(self, status: i32) -> String {
        assert_eq!(self.code, Some(status), "{}{}", self.stdout, self.stderr);
        self.stderr
    }
}

impl Running {
    /// Starts a server, and returns when it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("keyward starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut running = Self { child, lines, url: String::new() };
        let line = running.line_with("keyward listens on ");
        let url = line.split_whitespace().nth(3).expect("the fourth word is the URL");
        url.clone_into(&mut running.url);
        running
    }

    /// The next line that holds this text.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("no line with {text:?} came: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Stops it as a service manager does, and tells its exit status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().expect("keyward ends").code()
    }

    /// Whether the user can sign in to the pages with this password.
    pub(crate) fn takes_password(&self, email: &str, password: &str) -> bool {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Origin: {}", self.url)]);
        curl.args(["--data-urlencode", &format!("email={email}"), "--data-urlencode", &format!("password={password}")]);
        let status = Ran::from(curl.arg(format!("{}/sign-in", self.url)).output().expect("curl starts")).ok();
        assert!(matches!(status.as_str(), "303" | "401"), "{status}");
        status == "303"
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is what this is for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
