//! The data directory: accepted only if no other user could have created files in it, and only on a local disk.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    process::Command,
};

use serde_json::Value;

use crate::support::{Home, Ran, Running};

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// Every file that a command opens in the data directory, with a command that opens it.
const FILES: [(&str, &[&str]); 6] = [
    ("keyward.db", &SERVE),
    ("keyward.db-wal", &SERVE),
    ("keyward.db-shm", &SERVE),
    ("installation.key", &SERVE),
    ("serve.lock", &SERVE),
    ("demo-admin.password", &["demo", "--listen", "127.0.0.1:0"]),
];

fn set_mode(home: &Home, name: &str, mode: u32) {
    fs::set_permissions(home.file(name), fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn a_symbolic_link_in_the_data_directory_is_not_followed() {
    for (name, command) in FILES {
        // A link to an existing file, and a link to a missing file.
        for is_there in [true, false] {
            let home = Home::new();
            fs::create_dir(home.file("keyward-data")).unwrap();
            set_mode(&home, "keyward-data", 0o700);
            if is_there {
                home.write("elsewhere", "another user's\n");
                set_mode(&home, "elsewhere", 0o600);
            }
            if name.contains('-') && name.starts_with("keyward.db") {
                home.create_operator();
            }
            symlink(home.file("elsewhere"), home.file(&format!("keyward-data/{name}"))).unwrap();
            let refused = home.run(command).refused();
            assert!(refused.contains(name) && refused.contains("symbolic link"), "{name}: {refused}");
            match fs::read_to_string(home.file("elsewhere")) {
                Ok(text) => assert!(is_there && text == "another user's\n", "{name}: {text}"),
                Err(_) => assert!(!is_there, "{name} was removed"),
            }
        }
    }
}

#[test]
fn a_directory_that_others_can_write_to_is_refused_before_anything_in_it_is_opened() {
    let home = Home::new();
    fs::create_dir(home.file("keyward-data")).unwrap();
    // A person who places a key there could sign every token.
    fs::write(home.file("keyward-data/installation.key"), [7; 32]).unwrap();
    set_mode(&home, "keyward-data/installation.key", 0o600);
    for mode in [0o777, 0o1777, 0o702] {
        set_mode(&home, "keyward-data", mode);
        for command in [&SERVE[..], &["admin", "create-user", "--email", "a@example.com", "--name", "A"], &["demo"]] {
            let refused = home.run(command).refused();
            assert!(refused.contains("all users can write to it"), "{mode:o}: {refused}");
        }
        assert!(!home.file("keyward-data/keyward.db").exists() && !home.file("keyward-data/serve.lock").exists());
    }
    let doctor = home.run(&["doctor", "--json"]);
    assert!(doctor.code == Some(1) && doctor.stdout.contains("all users can write to it"), "{}", doctor.stdout);
}

#[test]
fn a_file_of_another_user_is_refused() {
    let home = Home::new();
    home.create_operator();
    let (user, group) = own_ids();
    for name in ["keyward-data", "keyward-data/installation.key", "keyward-data/keyward.db", "keyward-data/serve.lock"]
    {
        let path = home.file(name);
        if !path.exists() {
            home.write(name, "");
        }
        let path = path.to_str().unwrap().to_owned();
        chown("4321:4321", &path);
        let refused = home.run(&SERVE).refused();
        assert!(refused.contains("belongs to user 4321") && refused.contains(name), "{name}: {refused}");
        chown(&format!("{user}:{group}"), &path);
    }
    // A group that this user does not belong to must not have write access.
    let key = home.file("keyward-data/installation.key");
    set_mode(&home, "keyward-data/installation.key", 0o620);
    chown(&format!("{user}:4321"), key.to_str().expect("UTF-8"));
    assert!(home.run(&SERVE).refused().contains(&format!("group 4321, which is not one of user {user}")));
    set_mode(&home, "keyward-data/installation.key", 0o640);
    assert!(home.run(&SERVE).refused().contains("other users can read it"));
}

/// Returns the user and group of the tests.
fn own_ids() -> (u32, u32) {
    let process = fs::metadata("/proc/self").expect("a process");
    (process.uid(), process.gid())
}

/// Gives a file to another user. This needs root, so it uses sudo unless the tests run as root.
fn chown(owner: &str, path: &str) {
    let (program, arguments) = match own_ids() {
        (0, _) => ("chown", vec![owner, path]),
        _ => ("sudo", vec!["-n", "chown", owner, path]),
    };
    let done = Command::new(program).args(arguments).output();
    assert!(
        matches!(&done, Ok(done) if done.status.success()),
        "only root gives a file to another user: run `sudo -v` first, or the tests as root ({done:?})"
    );
}

#[test]
fn a_volume_that_kubernetes_hands_over_with_fs_group_starts_again_and_again() {
    let home = Home::new();
    for _ in 0..2 {
        let server = home.serve();
        assert_eq!(server.stop(), Some(0));
        // The effect of `fsGroup` before each start.
        home.tool("chmod", &["-R", "g+rwX,g+s", "keyward-data"]);
        set_mode(&home, "keyward-data", 0o2775);
    }
    let report: Value = serde_json::from_str(&home.run(&["doctor", "--json"]).stdout).expect("JSON");
    let checks = report["checks"].as_array().expect("checks");
    let key = checks.iter().find(|check| check["name"] == "installation key").expect("a check");
    assert_eq!(key["status"], "ok", "{report}");
}

/// A file system in user space that contains an empty directory: an `sshfs` without another machine.
const FILE_SYSTEM: &str = r"
import os, struct
while True:
    request = os.read(3, 1 << 17)
    length, operation, unique, node = struct.unpack_from('<IIQQ', request)
    def answer(error, body=b''):
        os.write(3, struct.pack('<IiQ', 16 + len(body), error, unique) + body)
    if operation == 26:  # FUSE_INIT
        answer(0, struct.pack('<IIIIHHIIHHI', 7, 31, 65536, 0, 12, 10, 65536, 1, 32, 0, 0) + bytes(24))
    elif operation == 3:  # FUSE_GETATTR: a directory of root's, 0700
        times = struct.pack('<QQQQQQIII', 1, 0, 0, 0, 0, 0, 0, 0, 0)
        answer(0, struct.pack('<QII', 1, 0, 0) + times + struct.pack('<IIIIIII', 0o40700, 2, 0, 0, 0, 4096, 0))
    elif operation == 17:  # FUSE_STATFS
        answer(0, struct.pack('<QQQQQIIII', 1 << 20, 1 << 20, 1 << 20, 1000, 1000, 4096, 255, 4096, 0) + bytes(24))
    elif operation not in (2, 42):  # FUSE_FORGET and FUSE_BATCH_FORGET want no answer
        answer(-2 if operation == 1 else -38)
";

#[test]
fn a_network_share_is_refused_by_the_type_of_its_file_system() {
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/fuse") {
        panic!("/dev/fuse cannot be used ({error}): `make setup` says what to do");
    }
    let home = Home::new();
    home.write("file-system.py", FILE_SYSTEM);
    let script = "set -e; mkdir -p keyward-data; exec 3<>/dev/fuse
        mount -i -t fuse.sshfs -o fd=3,rootmode=40000,user_id=0,group_id=0 ann@host:/data keyward-data
        python3 file-system.py & server=$!; status=0; \"$@\" || status=$?; kill $server; exit $status";
    let on_share = |arguments: &[&str]| {
        let keyward = home.keyward(arguments);
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(keyward.get_program()).args(keyward.get_args()).current_dir(home.path());
        Ran::from(command.output().expect("unshare starts"))
    };
    // The lock is checked first, and cannot be created on this file system. A database is refused because of the file
    // system.
    let doctor = on_share(&["doctor", "--json"]);
    assert!(doctor.stdout.contains("fuse.sshfs"), "{}{}", doctor.stdout, doctor.stderr);
    let told = on_share(&["admin", "create-user", "--email", "ann@example.com", "--name", "Ann"]).refused();
    assert!(told.contains("network share") && told.contains("fuse.sshfs") && told.contains("PostgreSQL"), "{told}");
}

#[test]
fn a_server_starts_on_a_local_disk() {
    let home = Home::new();
    let server: Running = home.serve();
    assert_eq!(server.stop(), Some(0));
}
