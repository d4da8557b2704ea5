//! `keyward`: parses the command line and calls the other crates. Each command has one file.

mod admin;
mod admin_key;
mod api_client;
mod api_key;
mod audit;
mod backup;
mod command_line;
mod completions;
mod configuration;
mod confirm;
mod connection;
mod data_directory;
mod demo;
mod doctor;
mod expiry;
mod explain;
mod failure;
mod host;
mod input;
mod installation_key;
mod invitation;
mod keygen;
mod leaked_key;
mod log;
mod login;
mod member;
mod message;
mod migrate;
mod node;
mod output;
mod profile;
mod progress;
mod project;
mod proof;
mod recovery;
mod remote;
mod request;
mod request_arguments;
mod request_body;
mod request_output;
mod rotation;
mod scan;
mod serve;
mod service_account;
mod sign;
mod user;
mod whoami;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use crate::{
    failure::{Failure, Outcome},
    output::{Brevity, ColourChoice},
};

/// API keys for people and programs: clients sign their requests, the server holds public keys only.
#[derive(Debug, Parser)]
#[command(name = "keyward", version, max_term_width = 120, help_template = HELP)]
struct Arguments {
    /// Colour: `auto` (on a terminal, unless NO_COLOR is set), `always` or `never`
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Global options",
        hide_possible_values = true,
        hide_default_value = true,
        display_order = 1000
    )]
    color: ColourChoice,
    #[command(flatten)]
    brevity: Brevity,
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
    Doctor(doctor::Doctor),
    Migrate(migrate::Migrate),
    Login(login::Login),
    #[command(subcommand)]
    Profiles(login::ProfileCommands),
    Keygen(keygen::Keygen),
    Whoami(whoami::Whoami),
    Explain(Box<explain::Explain>),
    Request(Box<request::Request>),
    Sign(Box<sign::Sign>),
    #[command(subcommand)]
    Keys(api_key::Keys),
    #[command(subcommand)]
    ServiceAccounts(service_account::ServiceAccounts),
    #[command(subcommand)]
    Projects(project::Projects),
    #[command(subcommand)]
    Members(member::Members),
    #[command(subcommand)]
    Invitations(invitation::Invitations),
    #[command(subcommand)]
    Workspaces(workspace::Workspaces),
    Scan(Box<scan::Scan>),
    Completions(completions::Completions),
}

/// A signed read allocates some fifty times. This allocator answers a tenth more of them than that of the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
{about}

{usage-heading} keyward COMMAND

Start:
  demo              Try it: a prepared installation, one accepted and one refused request, a server
  serve             Run the server

On the machine that holds the data:
  admin             Create users, workspaces, service accounts; add keys; set quotas; list
  audit             Verify the audit log, sign a checkpoint of it, list it
  backup            Back up the database, also while a server runs
  restore           Restore a backup into a data directory, with every user and key suspended
  doctor            Check an installation, and show what to do
  migrate           Migrate a database to this release, or copy it to PostgreSQL or back

Your keys and requests:
  login             Remember a server and a key by a name
  profiles          The servers and keys that `login` remembers
  keygen            Generate a key pair
  whoami            Show your user or service account and its workspaces
  keys              Your API keys, and those of service accounts
  request           Sign a request and send it: curl, signed
  explain           Send a signed request, and find out why its signature is refused
  sign              Print the headers that sign a request, for other programs
  scan              Find private keys in files and in git, and which of them are registered

In a workspace:
  workspaces        Your workspaces
  members           Members of a workspace and their roles
  invitations       Invite people, and accept invitations
  service-accounts  Programs that sign with keys of their own
  projects          Projects and their members

For your shell:
  completions       Complete commands in bash, zsh, fish, PowerShell or elvish

Options:
{options}

URL of the server:     --url URL, else KEYWARD_URL, else the profile of `keyward login`
Which key signs:       --key FILE (`-` is standard input), else KEYWARD_KEY_FILE, else the key's
                       text in KEYWARD_KEY, else the profile; --agent has ssh-agent sign
Which workspace:       --workspace SLUG, else KEYWARD_WORKSPACE, else the only one that you are in
Less output:           -q, --no-header
For programs:          --json, for all commands that list or create something; errors are JSON too
Exit status:           0 done, 1 failed, 2 invalid command line, 3 not authenticated,
                       4 not allowed or not found, 5 the server cannot be reached

Examples:
  keyward demo
  keyward keygen -f ci-runner
  keyward whoami --url https://keys.example.com --key ci-runner
  keyward service-accounts create ci-bot
  keyward keys add --service-account ci-bot --generate ci.key
  keyward request GET /api/v1/me

`keyward COMMAND --help` shows more.
";

fn main() -> ExitCode {
    message::withhold_inputs();
    message::clean_panics();
    let outcome = command_line::read::<Arguments>().map(run);
    log::flush();
    match outcome {
        Err(status) => status,
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Outcome {
    output::choose_colour(arguments.color);
    output::choose_brevity(arguments.brevity);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // A thread has its own queue of at most 256 tasks, and further ones are in a common queue. By default, tasks in the
        // common queue wait until many others have run, also if these were woken later. A server with thousands of active
        // connections then answers some requests a second late.
        .global_queue_interval(1)
        .build()
        .map_err(|error| Failure::new(format!("cannot start threads ({error}): check the limits of this machine")))?;
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
            // Its future is large, because it uses all other parts.
            Command::Doctor(command) => Box::pin(command.run()).await,
            Command::Migrate(command) => command.run().await,
            Command::Login(command) => command.run().await,
            Command::Profiles(command) => command.run(),
            Command::Keygen(command) => command.run(),
            Command::Whoami(command) => command.run().await,
            Command::Request(command) => command.run().await,
            Command::Explain(command) => command.run().await,
            Command::Sign(command) => command.run(),
            Command::Keys(command) => command.run().await,
            Command::ServiceAccounts(command) => command.run().await,
            Command::Projects(command) => command.run().await,
            Command::Members(command) => command.run().await,
            Command::Invitations(command) => command.run().await,
            Command::Workspaces(command) => command.run().await,
            Command::Scan(command) => command.run().await,
            Command::Completions(command) => command.run(Arguments::command()),
        }
    })
}

#[cfg(test)]
mod tests {
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

    /// Visits each subcommand, with its full name.
    fn walk<'a>(command: &'a clap::Command, name: &str, all: &mut Vec<(String, &'a clap::Command)>) {
        for subcommand in command.get_subcommands() {
            let name = format!("{name} {}", subcommand.get_name());
            walk(subcommand, &name, all);
            all.push((name, subcommand));
        }
    }

    #[test]
    fn every_command_has_a_description_and_examples() {
        let command = Arguments::command();
        let mut all = Vec::new();
        walk(&command, "keyward", &mut all);
        assert!(all.len() > 50, "{}", all.len());
        for (name, command) in all {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.len() > 8 && !about.ends_with('.'), "{name}: {about:?}");
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Examples:\n"), "{name} has no examples");
            let shown = examples.lines().filter(|line| line.contains(&name) || line.contains("ssh-keygen"));
            assert!(shown.count() > 0, "{name}: its examples show something else:\n{examples}");
            // Terminals would break longer lines in the middle.
            let mut lines = examples.lines().filter(|line| line.starts_with("  "));
            assert!(lines.all(|line| line.chars().count() <= 100), "{name}:\n{examples}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name}: {} is not explained", argument.get_id());
            }
        }
    }
}
