//! Checks which other users may read a private key file. The rule is that of PostgreSQL's libpq, so that keys that are
//! mounted as secrets can be used: a file of root may be readable by its group. On a read-only mount, whose modes users
//! cannot change, all users may read it.

use std::{fs::File, io};

use super::error::PrivateKeyErrorKind;

/// Checks regular files only, because the mode of a pipe has no meaning.
#[cfg(unix)]
pub(super) fn check(file: &File) -> io::Result<Result<(), PrivateKeyErrorKind>> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = file.metadata()?;
    let (mode, is_of_root) = (metadata.mode() & 0o777, metadata.uid() == 0);
    let is_private = !metadata.is_file()
        || is_private(mode, is_of_root)
        || is_unchanged_by_others(mode) && is_on_read_only_mount(file)?;
    Ok(if is_private { Ok(()) } else { Err(PrivateKeyErrorKind::Permissions { mode }) })
}

#[cfg(unix)]
const fn is_private(mode: u32, is_of_root: bool) -> bool {
    let others = if is_of_root { 0o037 } else { 0o077 };
    mode & others == 0
}

#[cfg(unix)]
const fn is_unchanged_by_others(mode: u32) -> bool {
    mode & 0o022 == 0
}

#[cfg(unix)]
fn is_on_read_only_mount(file: &File) -> io::Result<bool> {
    let mount = rustix::fs::fstatvfs(file)?;
    Ok(mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

#[cfg(not(unix))]
pub(super) fn check(_: &File) -> io::Result<Result<(), PrivateKeyErrorKind>> {
    Ok(Ok(()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_read_files_of_root_and_no_other_files() {
        for (mode, of_root, of_user) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o640, true, false),
            (0o440, true, false),
            (0o660, false, false),
            (0o650, false, false),
            (0o444, false, false),
            (0o644, false, false),
            (0o604, false, false),
        ] {
            assert_eq!((is_private(mode, true), is_private(mode, false)), (of_root, of_user), "{mode:o}");
        }
        assert!(is_unchanged_by_others(0o444) && is_unchanged_by_others(0o755));
        assert!(!is_unchanged_by_others(0o464) && !is_unchanged_by_others(0o446));
    }
}
