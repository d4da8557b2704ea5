//! An installation that is set up once and saved, and can be opened in that state several times.

use std::{path::PathBuf, sync::Arc};

use server::{App, app::AppConfig};

use super::{FakeClock, Home, TestApp};

/// A closed installation with a backup.
pub struct SavedApp {
    closed: TestApp,
    backup: PathBuf,
}

impl SavedApp {
    /// Closes an installation and backs it up.
    pub async fn save(test: TestApp) -> Self {
        test.app.close().await;
        let config = AppConfig {
            clock: test.clock.clone(),
            random: test.random.clone(),
            ..test.directory.app_config(test.app.settings().clone())
        };
        let on_host = App::open_on_host(config).await.expect("what was closed opens again");
        let backup = test.directory.back_up(&on_host).await;
        on_host.close().await;
        Self { closed: test, backup }
    }

    /// Opens a copy in the saved state.
    pub async fn open(&self) -> TestApp {
        let (clock, random) = (Arc::clone(&self.closed.clock), Arc::clone(&self.closed.random));
        TestApp::open(self.restore(), clock, random, |_| {}).await
    }

    /// Restores a copy into a directory.
    pub fn restore(&self) -> Arc<Home> {
        Home::restored_from(&self.closed.directory, &self.backup)
    }

    /// Returns the clock of every copy.
    pub fn clock(&self) -> &FakeClock {
        &self.closed.clock
    }
}

/// Returns the methods and paths of a table, in order.
pub fn rows_of<const N: usize>(table: &[(&str, &str, [u16; N])]) -> Vec<(String, String)> {
    let mut rows: Vec<_> = table.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    rows.sort();
    rows
}
