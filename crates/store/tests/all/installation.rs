//! The installation's row and its key file.

use std::fs;

use domain::InstallationKey;
use store::{
    StoreError,
    installation::find_installation,
    installation_key::{load_or_create_key, open_key},
};
use tempfile::TempDir;

use crate::support::{Backend, at, on_every_engine, seeded};

on_every_engine! {
    an_installation_is_created_once
    an_installation_knows_its_key
}

async fn an_installation_knows_its_key(database: impl Backend) {
    let store = database.open().await;
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let random = seeded();
    let key = open_key(&store, &path("own.key"), &random).await.unwrap();
    let known = find_installation(&mut store.read().await.unwrap()).await.unwrap().public_key;
    assert_eq!(known, Some(key.public_key()));
    assert_eq!(open_key(&store, &path("own.key"), &random).await.unwrap().seed(), key.seed());
    // No second key is created, and another existing key is refused.
    let error = open_key(&store, &path("missing.key"), &random).await.unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error}");
    assert!(!path("missing.key").exists());
    load_or_create_key(&path("foreign.key"), &random).unwrap();
    let error = open_key(&store, &path("foreign.key"), &random).await.unwrap_err();
    assert!(matches!(error, StoreError::ForeignKey), "{error}");
}

async fn an_installation_is_created_once(database: impl Backend) {
    let first = database.open().await;
    let made = find_installation(&mut first.read().await.unwrap()).await.unwrap();
    assert_eq!((made.token_epoch, made.created_at), (0, at(0)));
    assert_eq!(made.log_origin(), format!("keyward/{}", made.id));
    assert!(made.id.len() == 32 && made.id.chars().all(|digit| digit.is_ascii_hexdigit()), "{}", made.id);
    first.close().await;

    let later = seeded();
    domain::Random::fill(&later, &mut [0; 8]);
    let second = store::Store::open(&database.options(), at(9), &later).await.unwrap();
    assert_eq!(find_installation(&mut second.read().await.unwrap()).await.unwrap(), made);
}

#[test]
fn the_key_is_created_once_for_its_owner_only() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("installation.key");
    let random = seeded();
    let key = load_or_create_key(&path, &random).unwrap();
    assert_eq!(fs::read(&path).unwrap(), key.seed());
    assert_eq!(load_or_create_key(&path, &random).unwrap().seed(), key.seed());
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["installation.key"]);

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // A group of this process may read it, as for volumes with `fsGroup` in Kubernetes.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        assert_eq!(load_or_create_key(&path, &random).unwrap().seed(), key.seed());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let error = load_or_create_key(&path, &random).unwrap_err().to_string();
        assert!(error.contains("installation.key") && error.contains("chmod 600"), "{error}");
    }
}

#[test]
fn an_incomplete_key_file_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("installation.key");
    let key = load_or_create_key(&path, &seeded()).unwrap();
    fs::write(&path, &key.seed()[..31]).unwrap();
    let error = load_or_create_key(&path, &seeded()).unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap().len(), 31, "what is there is never overwritten");
}

#[test]
fn an_interrupted_start_does_not_block_the_next() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("installation.key");
    fs::write(directory.path().join("installation.key.new"), [1; 7]).unwrap();
    let key = load_or_create_key(&path, &seeded()).unwrap();
    assert_eq!(key.seed(), InstallationKey::generate(&seeded()).seed());
}

#[test]
fn a_missing_directory_is_reported() {
    let directory = TempDir::new().unwrap();
    let error = load_or_create_key(&directory.path().join("none/installation.key"), &seeded()).unwrap_err();
    assert!(error.to_string().contains("make its directory writable"), "{error}");
}
