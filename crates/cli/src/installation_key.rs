//! `keyward admin replace-installation-key`, for a key that was lost or disclosed.

use server::App;

use crate::{
    configuration::{Configuration, InstallationArguments, ServerArguments, url_of},
    confirm::ConfirmArguments,
    data_directory::DataDirectory,
    failure::Outcome,
    host::{do_as_host, tell_confirmed},
    output,
};

/// Replace the installation key after it was lost or disclosed
///
/// All bearer tokens become invalid. Every server stops verifying requests within its lease, until it is restarted with the
/// new key. Servers of a release without this command keep using the previous key, so finish an upgrade first. The previous
/// key is kept as `installation.key.old-…`: earlier checkpoints and backups need it.
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
        // With PostgreSQL, the directory only contains the key, and may be lost with it.
        let directory = match configuration.database_url {
            None => DataDirectory::open(&configuration.data)?,
            Some(_) => DataDirectory::create(&configuration.data)?,
        };
        self.confirmation
            .confirm("Every server stops verifying requests until it is restarted with the new key. Continue?")?;
        let config = configuration.app_config(directory.path(), configuration.settings(&url_of(configuration.listen)));
        let path = config.installation_key.clone();
        let app = App::open_to_replace_key(config).await?;
        do_as_host(&app, async |app, host| tell_confirmed(app.replace_installation_key(host, &path).await?)).await?;
        output::line(format!(
            "{} is now the installation key: copy the file to every other node, then restart every server; keep a \
             copy on another machine",
            path.display()
        ))
    }
}
