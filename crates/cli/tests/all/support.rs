//! A home directory for a test, the programs that run in it, and servers.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::Value;

/// Much longer than any step, also on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// An empty directory for all files of a test.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

/// The result of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running `keyward serve` or `keyward demo`.
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

    /// Returns the command `keyward` in this directory, without variables of the environment.
    pub(crate) fn keyward(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command.args(arguments).current_dir(self.path()).env_clear().env("HOME", self.path());
        command
    }

    /// Runs `keyward` until it ends.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.keyward(arguments).stdin(Stdio::null()).output().expect("keyward starts").into()
    }

    /// Runs `keyward` with this standard input.
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

    /// Runs another program until it ends. It must succeed.
    #[track_caller]
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.path()).output();
        Ran::from(output.unwrap_or_else(|error| panic!("{program}: {error}"))).ok()
    }

    /// Generates a key pair with `ssh-keygen`.
    pub(crate) fn ssh_keygen(&self, name: &str) {
        self.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", name]);
    }

    /// Starts `keyward serve` on a free port.
    pub(crate) fn serve(&self) -> Running {
        Running::start(self.keyward(&["serve", "--listen", "127.0.0.1:0"]))
    }

    /// Creates an operator, who may create workspaces.
    pub(crate) fn create_operator(&self) {
        let create = ["admin", "create-user", "--email", "ann@example.com", "--name", "Ann", "--operator"];
        self.run(&create).ok();
    }

    /// Creates an operator with the key in `name`.
    pub(crate) fn create_operator_with_key(&self, name: &str) {
        self.create_operator();
        self.ssh_keygen(name);
        let public = format!("{name}.pub");
        let add = ["admin", "add-key", "--user", "ann@example.com", "--title", name, "--public-key-file", &public];
        self.run(&add).ok();
    }
}

/// A server with users: ann is an operator and admin of `acme`, bob is a member of it, eve is admin of `other`. Each
/// has a key in a file with their name.
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

    /// Creates a service account in `acme` with a key in a file with its name.
    pub(crate) fn create_service_account(&self, name: &str) {
        self.run("ann", &["service-accounts", "create", name]).ok();
        self.run("ann", &["keys", "add", "--generate", name, "--service-account", name]).ok();
    }

    /// Returns the command `keyward` for this user, set by variables.
    pub(crate) fn command(&self, who: &str, arguments: &[&str]) -> Command {
        let mut command = self.home.keyward(arguments);
        command.env("KEYWARD_URL", &self.server.url).env("KEYWARD_KEY_FILE", who).stdin(Stdio::null());
        command
    }

    /// Runs `keyward` as this user.
    pub(crate) fn run(&self, who: &str, arguments: &[&str]) -> Ran {
        self.command(who, arguments).output().expect("keyward starts").into()
    }

    /// Runs `keyward` as this user at a terminal of 200 columns, with `input` typed.
    pub(crate) fn run_at_terminal(&self, who: &str, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.at_terminal(200, who, arguments).spawn().expect("script starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("script reads");
        child.wait_with_output().expect("keyward ends").into()
    }

    /// Returns the command `keyward` for this user at a terminal with that number of columns.
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

/// A server other than Keyward. It answers each connection with the next line of its script.
pub(crate) struct Scripted {
    pub(crate) url: String,
    thread: std::thread::JoinHandle<()>,
}

impl Scripted {
    /// Each response is complete from `HTTP/1.1` on, with `\n` as line endings.
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

    /// Returns after the end of the script.
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
    /// Returns standard output, after checking that it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Returns standard output as JSON, after checking that it succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).expect("JSON")
    }

    /// Returns standard error, after checking that it failed for another reason than its command line. The tests in
    /// `exit_status` check the status.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(matches!(self.code, Some(1 | 3 | 4 | 5)), "{:?} {}{}", self.code, self.stdout, self.stderr);
        self.stderr
    }

    /// Returns standard error, after checking that it ended with this status.
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

    /// Returns the next line that contains this text.
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

    /// Stops it as a service manager does, and returns its exit status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().expect("keyward ends").code()
    }

    /// Returns whether the user can sign in to the pages with this password.
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
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
