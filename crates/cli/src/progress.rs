//! Progress on standard error while an operation takes long. Nothing is written where standard error is not a terminal
//! that can take a line back.

use std::{
    io::{self, IsTerminal as _},
    pin::pin,
    time::Duration,
};

use indicatif::ProgressBar;

use crate::{message::clean, output::is_dumb};

/// What is done sooner needs no sign.
const DELAY: Duration = Duration::from_millis(400);

/// Waits for `work`, and shows `message` while it takes long.
pub(crate) async fn show_progress<T>(message: &str, work: impl Future<Output = T>) -> T {
    if !io::stderr().is_terminal() || is_dumb() {
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
