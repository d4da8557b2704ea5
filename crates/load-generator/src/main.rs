//! `load-generator`: sends signed requests to a server as fast as it answers, or at a given rate, and measures the bare
//! signature library. `scripts/load` runs it. It uses one thread and none of Keyward's crates.

mod arguments;
mod clock;
mod connection;
mod keys;
mod measure;
mod requests;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load-generator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let arguments = arguments::Arguments::read(std::env::args().skip(1))?;
    match arguments.command.as_str() {
        "keys" => {
            for key in keys::make_keys(arguments.keys) {
                println!("{} {}", key.fingerprint(), key.blob_base64());
            }
            Ok(())
        }
        "bare" => {
            println!("{:.1}", measure::verify_bare(&arguments)?);
            Ok(())
        }
        "requests" => {
            println!("{}", measure::send_requests(&arguments)?);
            Ok(())
        }
        other => Err(format!("there is no command {other:?}: use keys, bare or requests")),
    }
}
