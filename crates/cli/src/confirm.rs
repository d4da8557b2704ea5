//! Confirmation before an operation that cannot be undone.

use std::io::{self, Write as _};

use crate::{
    failure::{Failure, Outcome},
    output::can_ask,
};

/// Whether to ask for confirmation.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ConfirmArguments {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

impl ConfirmArguments {
    /// Asks for confirmation, unless `--yes` is set. Without a terminal, the answer is no.
    pub(crate) fn confirm(self, question: &str) -> Outcome {
        if self.yes {
            return Ok(());
        }
        if !can_ask() {
            return Err(Failure::new(format!(
                "{question} This cannot be undone, and there is no terminal to confirm it: pass `--yes` to confirm"
            )));
        }
        if ask(question)? { Ok(()) } else { Err(Failure::new("nothing was changed")) }
    }

    /// Asks the user to type this word, which prevents mistakes, unless `--yes` is set.
    pub(crate) fn confirm_by_typing(self, question: &str, word: &str) -> Outcome {
        if self.yes || !can_ask() {
            return self.confirm(question);
        }
        if answer(&format!("{question}\nType {word} to continue: "))? == word {
            Ok(())
        } else {
            Err(Failure::new("nothing was changed"))
        }
    }
}

/// Asks a question with the answers yes and no. Enter alone means no.
pub(crate) fn ask(question: &str) -> Outcome<bool> {
    Ok(matches!(answer(&format!("{question} [y/N] "))?.to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn answer(prompt: &str) -> Outcome<String> {
    let cannot = |error: io::Error| Failure::new(format!("the terminal cannot be used ({error}): pass `--yes`"));
    let prompt = prompt.replace(|c: char| c.is_control() && c != '\n', " ");
    let mut stderr = io::stderr();
    stderr.write_all(prompt.as_bytes()).and_then(|()| stderr.flush()).map_err(cannot)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(cannot)?;
    Ok(line.trim().to_owned())
}
