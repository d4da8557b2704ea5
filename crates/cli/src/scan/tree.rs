//! The files below a path. Symbolic links are not followed, and special files are not opened.

use std::{
    fs::{self, File, FileType},
    io::Read as _,
    path::Path,
};

use domain::secret::shown;
use zeroize::Zeroizing;

use super::{Limits, finding::Scanned};

/// The directory of a git repository, whose objects are compressed. `--git` reads them.
const GIT: &str = ".git";

/// Scans a file, or all files below a directory. A symbolic link is followed only if it is `root` itself. Paths are
/// reported without `base`.
pub(super) fn scan(root: &Path, base: &Path, limits: &Limits, scanned: &mut Scanned) {
    let mut tree = Tree { base, limits, scanned };
    match fs::metadata(root) {
        Ok(metadata) => tree.visit(root, metadata.file_type()),
        Err(error) => tree.note(root, &error),
    }
}

struct Tree<'a> {
    base: &'a Path,
    limits: &'a Limits,
    scanned: &'a mut Scanned,
}

impl Tree<'_> {
    /// Returns the path that is reported.
    fn name(&self, path: &Path) -> String {
        let path = path.strip_prefix(self.base).unwrap_or(path);
        path.strip_prefix(".").unwrap_or(path).to_string_lossy().into_owned()
    }

    fn note(&mut self, path: &Path, error: &std::io::Error) {
        self.scanned.errors.push(format!("{} cannot be read ({error})", shown(&path.to_string_lossy())));
    }

    fn visit(&mut self, path: &Path, kind: FileType) {
        if self.limits.excludes(&self.name(path)) {
            return;
        }
        let visited = if kind.is_dir() {
            self.visit_directory(path)
        } else if kind.is_file() {
            self.search(path)
        } else {
            Ok(())
        };
        if let Err(error) = visited {
            self.note(path, &error);
        }
    }

    fn visit_directory(&mut self, path: &Path) -> std::io::Result<()> {
        let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_name() == GIT {
                continue;
            }
            // The type of the entry itself, not of what a link refers to.
            let kind = entry.file_type()?;
            self.visit(&entry.path(), kind);
        }
        Ok(())
    }

    fn search(&mut self, path: &Path) -> std::io::Result<()> {
        let file = File::open(path)?;
        if !self.scanned.is_small(file.metadata()?.len(), self.limits) {
            return Ok(());
        }
        let mut content = Zeroizing::new(Vec::new());
        // The file may grow in the meantime.
        file.take(self.limits.max_size.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() as u64 > self.limits.max_size {
            self.scanned.large += 1;
        } else {
            self.scanned.search(&self.name(path), None, &content);
        }
        Ok(())
    }
}
