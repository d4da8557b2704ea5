//! Progress on standard error during long operations. Nothing is written if standard error is not a terminal that can
//! erase a line.

use std::{
    io::{self, IsTerminal as _},
    pin::pin,
    time::Duration,
};

use indicatif::ProgressBar;

use crate::{
    message::clean,
    output::{is_dumb, is_quiet},
};

/// Shorter operations show no progress.
const DELAY: Duration = Duration::from_millis(400);

/// Waits for `work`, and shows `message` if it takes long.
pub(crate) async fn show_progress<T>(message: &str, work: impl Future<Output = T>) -> T {
    if !io::stderr().is_terminal() || is_dumb() || is_quiet() {
        return work.await;
    }
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(DELAY, &mut work).await {
        return done;
    }
    let bar = ProgressBar::new_spinner().with_message(clean(message));
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = work.await;
    bar.finish_and_clear();
    done
}
