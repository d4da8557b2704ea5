//! An installation that is furnished once, and opened again as it was then as often as a test likes.

use std::{path::PathBuf, sync::Arc};

use server::{App, app::AppConfig};

use super::{FakeClock, Home, TestApp};

/// A closed installation with a backup of it.
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

    /// The installation as it was, as if nothing had been asked since.
    pub async fn open(&self) -> TestApp {
        let (clock, random) = (Arc::clone(&self.closed.clock), Arc::clone(&self.closed.random));
        TestApp::open(self.restore(), clock, random, |_| {}).await
    }

    /// A directory with the installation as it was.
    pub fn restore(&self) -> Arc<Home> {
        Home::restored_from(&self.closed.directory, &self.backup)
    }

    /// The clock of every copy.
    pub fn clock(&self) -> &FakeClock {
        &self.closed.clock
    }
}

/// The methods and paths of a table, in order.
pub fn rows_of<const N: usize>(table: &[(&str, &str, [u16; N])]) -> Vec<(String, String)> {
    let mut rows: Vec<_> = table.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    rows.sort();
    rows
}
