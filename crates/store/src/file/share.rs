//! Detection of file systems that are shared with other machines or mounts, by `statfs(2)` and the mount table.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// All file systems in user space, and virtiofs.
const FUSE: u32 = 0x6573_5546;

/// The magic numbers of shared file systems, from `linux/magic.h` and, for those that are not in the kernel, from their
/// sources.
const SHARED: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564C, "NCP"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
    (0xAAD7_AAEA, "PanFS"),
    (0x786F_4256, "vboxsf"),
    (0xBACB_ACBC, "vmhgfs"),
    (0x7C7C_6673, "prl_fs"),
];

/// The file systems in user space that are on a local disk and mounted once: those on a block device, and the layers of
/// a rootless container.
const LOCAL_FUSE: &[&str] = &["fuseblk", "fuse.fuse-overlayfs"];

/// Returns the name of the directory's file system if it is shared.
pub(super) fn find_share(directory: &Path) -> io::Result<Option<String>> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers have 32 bits")]
    let magic = rustix::fs::statfs(directory)?.f_type as u32;
    if magic != FUSE {
        return Ok(name_of_shared(magic, None));
    }
    let mount_type = find_mount_type(fs::metadata(directory)?.dev())?;
    Ok(name_of_shared(magic, mount_type.as_deref()))
}

fn name_of_shared(magic: u32, mount_type: Option<&str>) -> Option<String> {
    if magic == FUSE {
        // An unknown file system may be shared.
        let name = mount_type.unwrap_or("fuse");
        return (!LOCAL_FUSE.contains(&name)).then(|| name.to_owned());
    }
    SHARED.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned())
}

/// Returns the type of the file system on a device, by `proc_pid_mountinfo(5)`, or `None` if the table does not contain
/// it.
fn find_mount_type(device: u64) -> io::Result<Option<String>> {
    let wanted = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    for line in BufReader::new(fs::File::open("/proc/self/mountinfo")?).lines() {
        if let Some(found) = mount_type_in(&line?, &wanted) {
            return Ok(Some(found.to_owned()));
        }
    }
    Ok(None)
}

/// `36 35 98:0 /root /mount/point options optional-fields - TYPE source options`
fn mount_type_in<'a>(line: &'a str, device: &str) -> Option<&'a str> {
    let (mount, file_system) = line.split_once(" - ")?;
    (mount.split(' ').nth(2) == Some(device)).then(|| file_system.split(' ').next())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_shares_are_distinguished_from_local_disks() {
        for (magic, mount_type, name) in [
            (0x6969, None, Some("NFS")),
            (0xFF53_4D42, None, Some("CIFS")),
            (0x0102_1997, None, Some("9p")),
            (FUSE, Some("fuse.sshfs"), Some("fuse.sshfs")),
            (FUSE, Some("fuse.bindfs"), Some("fuse.bindfs")),
            (FUSE, Some("virtiofs"), Some("virtiofs")),
            (FUSE, Some("fuse"), Some("fuse")),
            (FUSE, None, Some("fuse")),
            // ntfs-3g and exfat on a disk of this machine; the layers of a container.
            (FUSE, Some("fuseblk"), None),
            (FUSE, Some("fuse.fuse-overlayfs"), None),
            // ext4, XFS, btrfs, tmpfs, overlayfs, ZFS.
            (0xEF53, None, None),
            (0x5846_5342, None, None),
            (0x9123_683E, None, None),
            (0x0102_1994, None, None),
            (0x794C_7630, None, None),
            (0x2FC1_2FC1, None, None),
        ] {
            assert_eq!(name_of_shared(magic, mount_type).as_deref(), name, "{magic:x} {mount_type:?}");
        }
    }

    #[test]
    fn the_type_of_a_mount_is_read_from_the_table() {
        let line = "63 43 0:39 / /srv/a\\040b rw,relatime shared:1 master:2 - fuse.sshfs ann@host:/d rw,user_id=0";
        assert_eq!(mount_type_in(line, "0:39"), Some("fuse.sshfs"));
        assert_eq!(mount_type_in(line, "0:3"), None);
        assert_eq!(mount_type_in("broken", "0:39"), None);
        // The root directory of this machine is in its own table.
        assert!(find_mount_type(fs::metadata("/proc").unwrap().dev()).unwrap().is_some());
    }
}
