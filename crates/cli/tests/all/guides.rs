//! Runs every command in the guides, and compares the output with the guide.
//!
//! In a guide, the words after the language of a fenced block have this meaning:
//!
//! - `console`: lines that begin with `$ ` are run in order, in one shell. The following lines are the output, in this
//!   order. `…` matches any text. `console fails`: the last command is refused. `console stays`: the command keeps
//!   running, and the guide continues after the output was printed.
//! - `LANGUAGE file=NAME`: the block is saved as a file with this name.
//! - `console elsewhere`: the block is not run, for the reason in [`ELSEWHERE`].
//!
//! Other blocks are ignored. The comment `<!-- run: COMMAND -->` replaces steps of the reader on a page.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::support::Home;

/// Commands that a user cannot run on every machine, and where they are tested instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("git clone", "this is the clone"),
    ("make test", "this is the test"),
    ("pip install encord", "scripts/setup does"),
    ("cargo build --release", "the program is built already"),
    ("export KEYWARD_CLONE=\"$PWD\"", "the built program is on the path"),
    (
        "pip install \"$KEYWARD_CLONE/clients/python",
        "`make clients` installs the wheel; here the sources are on Python's path",
    ),
    ("pip install http-message-signatures==", "scripts/setup does"),
    ("pip install requests-http-signature==", "scripts/setup does"),
    ("\"$KEYWARD_CLONE/scripts/build-clients\"", "`make clients` runs it"),
    ("npm install \"$KEYWARD_CLONE/target/clients", "the tests of clients/typescript install the tarball"),
    ("npm install http-message-sig", "scripts/setup does"),
    ("node ", "the tests of clients/typescript run these programs"),
    ("go run sign.go", "Go is no part of scripts/setup"),
    ("java Sign.java", "Java is no part of scripts/setup"),
    ("sudo apt install ./keyward", "scripts/package-test installs the package"),
    ("sudo systemctl", "needs a running systemd; scripts/package-test starts what the unit starts"),
    ("sudo install -D -m 644 keyward.debug", "the line tables of a release; scripts/package-test looks for their link"),
    ("sudo -u keyward keyward", "the same commands are run without sudo further down, and by scripts/package-test"),
    ("docker ", "needs Docker and its registry"),
    ("openssl pkcs8 -topk8 -nocrypt", "asks on the terminal; the client's tests run it with its answers as flags"),
    ("puttygen key.ppk", "asks on the terminal; the client's tests run it with its answers as flags"),
    ("ssh-keygen -p", "asks on the terminal; the client's tests run it with its answers as flags"),
];

/// The address of Keyward in the guides.
const KEYWARD: &str = "127.0.0.1:8080";

/// Much longer than any step, also on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

#[test]
fn the_first_page_and_then_the_user_guide() {
    let mut reader = Reader::new();
    reader.follow("README.md");
    reader.follow("docs/user-guide.md");
}

#[test]
fn the_operators_guide() {
    let mut reader = Reader::new();
    reader.follow("docs/operations.md");
}

#[test]
fn the_guide_to_keys_from_the_terminal() {
    let mut reader = Reader::at_a_server();
    reader.follow("docs/terminal-keys.md");
}

#[test]
fn the_page_about_the_command_line() {
    let mut reader = Reader::at_a_server();
    reader.follow("docs/command-line.md");
}

#[test]
fn the_guide_to_the_encord_sdk() {
    let mut reader = Reader::at_a_server();
    reader.follow("docs/sdk.md");
}

#[test]
fn the_page_about_signing() {
    let mut reader = Reader::new();
    reader.follow("docs/signing.md");
}

#[test]
fn the_tutorial_with_caddy() {
    let mut reader = Reader::new();
    reader.follow("docs/tutorial-caddy.md");
}

/// A shell in an empty home directory, in which the commands of a guide are run.
struct Reader {
    home: Home,
    shell: Child,
    input: ChildStdin,
    output: Receiver<String>,
    running: Vec<Child>,
    /// Addresses in the guides, and their replacements.
    addresses: HashMap<&'static str, String>,
}

impl Reader {
    fn new() -> Self {
        let home = Home::new();
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").to_string();
        let names = [KEYWARD, "127.0.0.1:8000", "127.0.0.1:9000"];
        let addresses: HashMap<_, _> = names.into_iter().map(|name| (name, free())).collect();
        let mut shell = at_home(&home, &addresses);
        let mut shell =
            shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash starts");
        let mut input = shell.stdin.take().expect("a pipe");
        writeln!(input, "set -o pipefail; exec 2>&1").expect("bash reads");
        let output = lines_of(shell.stdout.take().expect("a pipe"));
        Self { home, shell, input, output, running: Vec::new(), addresses }
    }

    /// Starts a server with the user Ann, who has no key yet.
    fn at_a_server() -> Self {
        let mut reader = Self::new();
        reader.home.create_operator();
        reader.leave_running("keyward serve", &["keyward listens on …".to_owned()], "before the guide");
        reader
    }

    fn follow(&mut self, guide: &str) {
        let text = std::fs::read_to_string(repository().join(guide)).unwrap_or_else(|e| panic!("{guide}: {e}"));
        let mut commands = 0;
        for block in blocks(&text) {
            let at = format!("{guide}, line {}", block.line);
            let body = self.on_this_machine(&block.body);
            if let Some(name) = block.info.iter().find_map(|word| word.strip_prefix("file=")) {
                self.home.write(name, &body);
                continue;
            }
            if block.info.first().map(String::as_str) == Some("run") {
                self.run(body.trim(), &[], false, &at);
                continue;
            }
            if block.info.first().map(String::as_str) != Some("console") {
                continue;
            }
            let has = |word| block.info.iter().any(|given| given == word);
            for Step { command, shown } in steps(&body) {
                if has("elsewhere") {
                    let known = ELSEWHERE.iter().any(|(begins, _)| command.starts_with(begins));
                    assert!(known, "{at}: `{command}` is not run, and nobody says why");
                    continue;
                }
                commands += 1;
                if has("stays") {
                    self.leave_running(&command, &shown, &at);
                } else {
                    self.run(&command, &shown, has("fails"), &at);
                }
            }
        }
        assert!(commands > 0, "{guide} has no command");
    }

    fn run(&mut self, command: &str, shown: &[String], fails: bool, at: &str) {
        const END: &str = "=== the command ended with status ";
        writeln!(self.input, "{command}\nprintf '\\n%s%s\\n' '{END}' \"$?\"").expect("bash reads");
        let mut printed = Vec::new();
        let status = loop {
            let line = self.output.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|e| panic!("{at}: `{command}` does not end ({e}):\n{}", printed.join("\n")));
            if let Some(status) = line.strip_prefix(END) {
                break status.to_owned();
            }
            printed.push(line);
        };
        let printed = printed.join("\n");
        assert_eq!(status != "0", fails, "{at}: `{command}` ends with {status}:\n{printed}");
        let mut rest = printed.as_str();
        for line in shown {
            let found = find(rest, line);
            rest = found.unwrap_or_else(|| panic!("{at}: `{command}` does not print `{line}`, but:\n{printed}"));
        }
    }

    fn leave_running(&mut self, command: &str, shown: &[String], at: &str) {
        let mut shell = at_home(&self.home, &self.addresses);
        shell.args(["-c", &format!("exec {command} 2>&1")]);
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("bash starts");
        let output = lines_of(child.stdout.take().expect("a pipe"));
        self.running.push(child);
        let mut printed = String::new();
        for line in shown {
            while find(&printed, line).is_none() {
                match output.recv_timeout(DEADLINE) {
                    Ok(more) => printed.extend([more.as_str(), "\n"]),
                    Err(error) => panic!("{at}: `{command}` does not print `{line}` ({error}), but:\n{printed}"),
                }
            }
        }
        // Later output must not fill the pipe.
        std::thread::spawn(move || output.into_iter().for_each(drop));
    }

    /// Returns the text with free addresses, and the existing binary.
    fn on_this_machine(&self, text: &str) -> String {
        let text = text.replace("cargo run --release -- ", "keyward ");
        self.addresses.iter().fold(text, |text, (name, address)| text.replace(name, address))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for child in self.running.iter_mut().chain([&mut self.shell]) {
            // It may have ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns a shell in the reader's home, with the programs of the guides in its PATH.
fn at_home(home: &Home, addresses: &HashMap<&str, String>) -> Command {
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc"]);
    let own = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().expect("a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = [own.to_owned(), repository().join(".venv/bin")];
    let path = directories.into_iter().chain(std::env::split_paths(&path)).chain(["/usr/sbin".into()]);
    let path = std::env::join_paths(path).expect("no directory has a colon");
    command.current_dir(home.path()).env_clear().env("HOME", home.path()).env("PATH", path).env("LC_ALL", "C.UTF-8");
    // The guides use the default address, on which another server may listen here.
    command.env("KEYWARD_LISTEN", &addresses[KEYWARD]).env("KEYWARD_REPOSITORY", repository());
    command.env("PYTHONPATH", repository().join("clients/python/src")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn lines_of(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Returns the text after the first line of `text` that matches `pattern`. `…` matches any text.
fn find<'t>(text: &'t str, pattern: &str) -> Option<&'t str> {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if matches(line.trim_end(), pattern.trim_end()) {
            return Some(after);
        }
        rest = after;
    }
    None
}

fn matches(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut open_end = false;
    for part in parts {
        open_end = part.is_empty();
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    open_end || rest.is_empty() || (pattern.contains('…') && line.ends_with(pattern.rsplit('…').next().unwrap_or("")))
}

struct Block {
    line: usize,
    info: Vec<String>,
    body: String,
}

/// Returns the fenced blocks of a page, and the commands in comments.
fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(Block, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match &mut open {
            None if bare.starts_with("```") => {
                let info = bare.trim_start_matches('`').split_whitespace().map(str::to_owned).collect();
                let indent = line[..line.len() - bare.len()].to_owned();
                open = Some((Block { line: number + 1, info, body: String::new() }, indent));
            }
            Some(_) if bare.starts_with("```") => found.extend(open.take().map(|(block, _)| block)),
            Some((block, indent)) => {
                block.body.push_str(line.strip_prefix(indent.as_str()).unwrap_or(line));
                block.body.push('\n');
            }
            None => {
                let command = bare.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->"));
                let block =
                    |body: &str| Block { line: number + 1, info: vec!["run".to_owned()], body: body.to_owned() };
                found.extend(command.map(block));
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

struct Step {
    command: String,
    shown: Vec<String>,
}

/// Returns the commands of a block, each with its expected output.
fn steps(body: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = body.lines();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            let step = steps.last_mut().expect("a console block begins with a command");
            if !line.trim().is_empty() && line.trim() != "…" {
                step.shown.push(line.to_owned());
            }
            continue;
        };
        let mut command = command.to_owned();
        while command.ends_with('\\') {
            command.push('\n');
            command.push_str(lines.next().expect("a continued command"));
        }
        steps.push(Step { command, shown: Vec::new() });
    }
    steps
}

#[test]
fn an_ellipsis_matches_any_text() {
    for (line, pattern, same) in [
        ("accepted: usr_1 by key_2", "accepted: …", true),
        ("accepted: usr_1 by key_2", "… by …", true),
        ("accepted: usr_1 by key_2", "… by key_2", true),
        ("aXbXb", "a…b", true),
        ("refused", "accepted: …", false),
        ("accepted", "accept", false),
        ("accepted: x", "accepted: …y", false),
    ] {
        assert_eq!(matches(line, pattern), same, "{line} | {pattern}");
    }
}
