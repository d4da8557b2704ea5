//! `keyward completions`: completions for shells.

use clap_complete::{Shell, generate};

use crate::{failure::Outcome, output};

/// Print the completions of commands and flags for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward completions bash > ~/.local/share/bash-completion/completions/keyward
  keyward completions zsh > ~/.zfunc/_keyward     with `fpath+=~/.zfunc` before compinit in ~/.zshrc
  keyward completions fish > ~/.config/fish/completions/keyward.fish
  keyward completions powershell >> $PROFILE
  keyward completions elvish >> ~/.config/elvish/rc.elv")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the completions of `program`.
    pub(crate) fn run(self, mut program: clap::Command) -> Outcome {
        let mut script = Vec::new();
        generate(self.shell, &mut program, "keyward", &mut script);
        output::bytes(&script)
    }
}
