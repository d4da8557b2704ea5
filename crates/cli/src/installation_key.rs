//! `keyward admin replace-installation-key`: the key was lost, or somebody else has seen it.

use server::App;

use crate::{
    configuration::{Configuration, InstallationArguments, ServerArguments, url_of},
    confirm::ConfirmArguments,
    data_directory::DataDirectory,
    failure::Outcome,
    host::{do_as_host, tell_confirmed},
    output,
};

/// Make another installation key, because the one before is lost or somebody else has seen it
///
/// Bearer tokens end. Servers stop judging within their lease, until they were started again with the new key; those of a
/// release that does not know this go on with the old one, so finish an upgrade first. The key of before stays beside the new one,
/// as `installation.key.old-…`: checkpoints and backups from before need it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward admin replace-installation-key --data /var/lib/keyward
  scp -p /var/lib/keyward/installation.key node2:/var/lib/keyward/      to every other node
  systemctl restart keyward")]
pub(crate) struct ReplaceInstallationKey {
    #[command(flatten)]
    installation: InstallationArguments,
    #[command(flatten)]
    confirmation: ConfirmArguments,
}

impl ReplaceInstallationKey {
    pub(crate) async fn run(self) -> Outcome {
        let arguments = ServerArguments { installation: self.installation, ..Default::default() };
        let configuration = Configuration::read(&arguments)?;
        // On PostgreSQL the directory holds nothing but the key, and may be lost with it.
        let directory = match configuration.database_url {
            None => DataDirectory::open(&configuration.data)?,
            Some(_) => DataDirectory::create(&configuration.data)?,
        };
        self.confirmation.confirm("Every server stops judging until it was started again with the new key. Go on?")?;
        let config = configuration.app_config(directory.path(), configuration.settings(&url_of(configuration.listen)));
        let path = config.installation_key.clone();
        let app = App::open_to_replace_key(config).await?;
        do_as_host(&app, async |app, host| tell_confirmed(app.replace_installation_key(host, &path).await?)).await?;
        output::line(format!(
            "{} is the installation's key now: start every server again, bring the file to every other node first, and keep \
             a copy elsewhere",
            path.display()
        ))
    }
}
