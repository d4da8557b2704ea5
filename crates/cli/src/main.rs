//! `keyward`: reads the command line and composes what the other crates offer. One file a command.

mod admin;
mod audit;
mod backup;
mod configuration;
mod connection;
mod data_directory;
mod demo;
mod failure;
mod host;
mod keygen;
mod log;
mod output;
mod recovery;
mod request;
mod serve;
mod whoami;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::{Failure, Outcome};

/// Access keys for people and programs: clients sign their requests, the server holds public keys only.
#[derive(Debug, Parser)]
#[command(name = "keyward", version, max_term_width = 120, help_template = HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    #[command(subcommand)]
    Admin(admin::Admin),
    #[command(subcommand)]
    Audit(audit::Audit),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Keygen(keygen::Keygen),
    Whoami(whoami::Whoami),
    Request(request::Request),
}

const HELP: &str = "\
{about}

{usage-heading} keyward COMMAND

Start:
  demo      Try it: everything set up, one request accepted, one refused, a server to play with
  serve     Run the server

On the machine that holds the data:
  admin     Create users, workspaces, service accounts; add keys; set quotas; list
  audit     Verify the audit log, sign its head, read it
  backup    Write a backup of the database, also while a server runs
  restore   Put a backup into a data directory, with every key suspended

As a client, by signed requests:
  keygen    Make a key pair
  whoami    Show who you are to the server
  request   Sign a request and send it: curl, signed

Options:
{options}

Clients take `--url` or KEYWARD_URL, and `--key FILE`, KEYWARD_KEY_FILE or the key's text in KEYWARD_KEY.

Examples:
  keyward demo
  keyward keygen -f ci-runner
  keyward whoami --url https://keys.example.com --key ci-runner
  keyward request GET https://keys.example.com/api/v1/me --key ci-runner

`keyward COMMAND --help` tells more.
";

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Outcome {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(format!("no threads can be started ({error}): look at the machine's limits")))?;
    if !matches!(arguments.command, Command::Demo(_) | Command::Serve(_)) {
        log::start("error")?;
    }
    runtime.block_on(async {
        match arguments.command {
            Command::Demo(command) => command.run().await,
            Command::Serve(command) => command.run().await,
            Command::Admin(command) => command.run().await,
            Command::Audit(command) => command.run().await,
            Command::Backup(command) => command.run().await,
            Command::Restore(command) => command.run().await,
            Command::Keygen(command) => command.run(),
            Command::Whoami(command) => command.run().await,
            Command::Request(command) => command.run().await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_page_has_every_command() {
        let command = Arguments::command();
        for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
            let line = format!("\n  {} ", subcommand.get_name());
            assert!(HELP.contains(&line), "{line}");
        }
        command.debug_assert();
    }
}
