//! `keyward keygen`: generates an OpenSSH Ed25519 key pair.

use std::path::PathBuf;

use client::{SystemRandom, generate_key_pair};
use serde::Serialize;

use crate::{
    failure::Outcome,
    output::{self, shell_word},
};

/// Generate an Ed25519 key pair, as `ssh-keygen -t ed25519 -N ''` does
///
/// The private key is written to FILE, readable only by you and without a passphrase, and the public key to FILE.pub.
/// Existing files are never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keygen
  keyward keygen -f ci-runner -C 'CI runner'
  ssh-keygen -t ed25519 -N '' -f ci-runner         makes one just as well")]
pub(crate) struct Keygen {
    /// File for the private key
    #[arg(short = 'f', long = "file", value_name = "FILE", default_value = "keyward_ed25519")]
    file: PathBuf,
    /// Comment in the files
    #[arg(short = 'C', long, default_value = "", hide_default_value = true)]
    comment: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Written<'a> {
    private_key_file: &'a str,
    public_key_file: &'a str,
    public_key: &'a str,
    fingerprint: &'a str,
}

impl Keygen {
    pub(crate) fn run(self) -> Outcome {
        let pair = generate_key_pair(&SystemRandom, &self.comment);
        pair.write_key_pair(&self.file)?;
        let private = self.file.display().to_string();
        let public = format!("{private}.pub");
        if self.json {
            return output::json(&Written {
                private_key_file: &private,
                public_key_file: &public,
                public_key: &pair.public_openssh,
                fingerprint: &pair.fingerprint,
            });
        }
        output::line(format!("private key: {private} (keep it secret)"))?;
        output::line(format!("public key:  {public}"))?;
        output::line(format!("fingerprint: {}\n\n{}\n", pair.fingerprint, pair.public_openssh))?;
        output::line(format!(
            "next: register the public key (on a page, with `keyward keys add`, or on the host with `keyward admin \
             add-key`), then try it with\n      keyward whoami --url URL --key {}",
            shell_word(&private)
        ))
    }
}
