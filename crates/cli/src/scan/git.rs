//! The contents of a git repository, read by the program `git`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use domain::secret::shown;
use zeroize::Zeroizing;

use super::{Limits, finding::Scanned, tree};
use crate::failure::{Failure, Outcome};

/// Of this number of blobs with keys, a commit is searched for. The search reads the history once for each.
const MAX_COMMITS: usize = 64;

/// Scans the files of a repository and every blob that a ref reaches.
pub(super) fn scan_repository(path: &Path, limits: &Limits, scanned: &mut Scanned) -> Outcome {
    let mut repository = Repository::at(path);
    if repository.text(&["rev-parse", "--is-bare-repository"])?.trim() == "false" {
        let top = repository.text(&["rev-parse", "--show-toplevel"])?;
        repository.path = PathBuf::from(top.trim_end_matches('\n'));
        tree::scan(&repository.path, &repository.path, limits, scanned);
    }
    let before = scanned.findings.len();
    let objects = repository.text(&["rev-list", "--objects", "--all"])?;
    let blobs = objects.lines().filter_map(|line| line.split_once(' ')).filter(|(_, path)| !path.is_empty());
    repository.search(blobs, limits, scanned)?;
    repository.find_commits(&mut scanned.findings[before..])
}

/// Scans what would be committed: the changed files in the index.
pub(super) fn scan_index(limits: &Limits, scanned: &mut Scanned) -> Outcome {
    let repository = Repository::at(Path::new("."));
    let changes = repository.text(&[
        "diff",
        "--cached",
        "--raw",
        "-z",
        "--no-abbrev",
        "--no-renames",
        "--no-ext-diff",
        "--diff-filter=ACMT",
    ])?;
    // `:MODE MODE OBJECT OBJECT STATUS`, and the path.
    let mut parts = changes.split('\0');
    let mut blobs = Vec::new();
    while let (Some(change), Some(path)) = (parts.next().filter(|part| !part.is_empty()), parts.next()) {
        let mut fields = change.split(' ').skip(1);
        let (Some(mode), Some(blob)) = (fields.next(), fields.nth(1)) else {
            return Err(Failure::new(format!("`git diff` printed {}, which is unknown", shown(change))));
        };
        // Neither links nor submodules.
        if mode.starts_with("100") {
            blobs.push((blob, path));
        }
    }
    let before = scanned.findings.len();
    repository.search(blobs.into_iter(), limits, scanned)?;
    // It is in no commit yet. The path says where it is.
    for finding in &mut scanned.findings[before..] {
        finding.blob = None;
    }
    Ok(())
}

struct Repository {
    path: PathBuf,
}

impl Repository {
    fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Returns the command, which runs no program that the repository configures, and fetches nothing.
    fn git(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.path).args([
            "--no-pager",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.quotePath=false",
        ]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in [
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        command
    }

    /// Runs it to its end, and returns what it printed.
    fn text(&self, arguments: &[&str]) -> Outcome<String> {
        let output = self.git(arguments).output().map_err(|error| not_started(&error))?;
        if !output.status.success() {
            return Err(self.failed(arguments[0], &String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn failed(&self, command: &str, said: &str) -> Failure {
        let said = said.lines().next().unwrap_or("it printed nothing").trim_start_matches("fatal: ");
        Failure::new(format!("`git {command}` failed in {}: {said}", shown(&self.path.to_string_lossy())))
    }

    /// Searches blobs, each once, with the first of its paths.
    fn search<'a>(
        &self,
        objects: impl Iterator<Item = (&'a str, &'a str)>,
        limits: &Limits,
        scanned: &mut Scanned,
    ) -> Outcome {
        let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
        for (id, path) in objects.filter(|(_, path)| !limits.excludes(path)) {
            paths.entry(id).or_insert(path);
        }
        let sizes = self.sizes_of_blobs(paths.keys().copied())?;
        let wanted: Vec<&str> = sizes
            .iter()
            .filter(|(_, size)| scanned.is_small(**size, limits))
            .filter_map(|(id, _)| paths.get_key_value(id.as_str()).map(|(id, _)| *id))
            .collect();
        let mut reading = Batch::start(self, &["cat-file", "--batch"], &wanted)?;
        for id in wanted {
            let (kind, size) = reading.header()?;
            if kind != "blob" {
                return Err(Failure::new(format!(
                    "`git cat-file` did not return {id}: check the repository with `git fsck`"
                )));
            }
            let content = reading.content(size)?;
            scanned.search(paths.get(id).copied().unwrap_or_default(), Some(id), &content);
        }
        reading.finish(self)
    }

    /// Returns the sizes of those objects that are blobs.
    fn sizes_of_blobs<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Outcome<BTreeMap<String, u64>> {
        let ids: Vec<&str> = ids.collect();
        let mut reading = Batch::start(self, &["cat-file", "--batch-check=%(objecttype) %(objectsize)"], &ids)?;
        let mut sizes = BTreeMap::new();
        for id in ids {
            let line = reading.line()?;
            if let Some(size) = line.strip_prefix("blob ") {
                sizes.insert(id.to_owned(), size.parse().map_err(|_| malformed())?);
            } else if line.ends_with(" missing") {
                return Err(Failure::new(format!(
                    "{id} is missing in the repository: fetch the whole history with `git fetch --unshallow`, or check it \
                     with `git fsck`"
                )));
            }
        }
        reading.finish(self)?;
        Ok(sizes)
    }

    /// Finds the first commit with each blob.
    fn find_commits(&self, findings: &mut [super::Finding]) -> Outcome {
        let blobs: BTreeSet<String> = findings.iter().filter_map(|finding| finding.blob.clone()).collect();
        let mut commits = BTreeMap::new();
        for blob in blobs.into_iter().take(MAX_COMMITS) {
            let object = format!("--find-object={blob}");
            let found = self.text(&["log", "--all", "-m", "--no-ext-diff", "--format=%H", &object])?;
            if let Some(first) = found.lines().rfind(|line| !line.is_empty()) {
                commits.insert(blob, first.to_owned());
            }
        }
        for finding in findings {
            finding.commit = finding.blob.as_ref().and_then(|blob| commits.get(blob).cloned());
        }
        Ok(())
    }
}

fn not_started(error: &std::io::Error) -> Failure {
    Failure::new(format!("`git` cannot be started ({error}): install git, and check that it is on the PATH"))
}

fn malformed() -> Failure {
    Failure::new("`git cat-file` printed something unknown: update git")
}

/// A running `git cat-file` that answers one line of input after the other.
struct Batch {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Writes the questions, so that neither side waits for the other.
    writer: std::thread::JoinHandle<std::io::Result<()>>,
}

impl Batch {
    fn start(repository: &Repository, arguments: &[&str], ids: &[&str]) -> Outcome<Self> {
        let mut command = repository.git(arguments);
        // Its messages would fill a pipe that is read at the end only.
        let mut child =
            command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|error| not_started(&error))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(malformed());
        };
        let questions = ids.iter().flat_map(|id| [*id, "\n"]).collect::<String>();
        let writer = std::thread::spawn(move || stdin.write_all(questions.as_bytes()));
        Ok(Self { child, stdout: BufReader::new(stdout), writer })
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line);
        match read {
            Ok(1..) => Ok(line.trim_end_matches('\n').to_owned()),
            Ok(0) => Err(Failure::new("`git cat-file` ended early: check the repository with `git fsck`")),
            Err(error) => Err(Failure::new(format!("the output of `git cat-file` cannot be read ({error})"))),
        }
    }

    /// Reads `ID TYPE SIZE`.
    fn header(&mut self) -> Outcome<(String, u64)> {
        let line = self.line()?;
        let mut fields = line.split(' ').skip(1);
        let (kind, size) = (fields.next().unwrap_or_default().to_owned(), fields.next());
        let size = size.map_or(Ok(0), str::parse).map_err(|_| malformed())?;
        Ok((kind, size))
    }

    /// Reads the content, and the line feed after it.
    fn content(&mut self, size: u64) -> Outcome<Zeroizing<Vec<u8>>> {
        let mut content = Zeroizing::new(vec![0; usize::try_from(size).map_err(|_| malformed())? + 1]);
        let read = self.stdout.read_exact(&mut content);
        read.map_err(|error| Failure::new(format!("the output of `git cat-file` cannot be read ({error})")))?;
        content.pop();
        Ok(content)
    }

    fn finish(mut self, repository: &Repository) -> Outcome {
        let failed = |said: &str| Err(repository.failed("cat-file", said));
        match self.writer.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failed(&error.to_string()),
            Err(_) => return failed("the questions were not written"),
        }
        let status = self.child.wait().map_err(|error| not_started(&error))?;
        if status.success() { Ok(()) } else { failed(&status.to_string()) }
    }
}
