//! `keyward migrate`: migrates a database to this release, and copies it to PostgreSQL or back.

use server::app::{AppConfig, bring_up_to_date, copy_installation};

use crate::{
    configuration::{Configuration, InstallationArguments, ServerArguments, url_of},
    data_directory::{DataDirectory, INSTALLATION_KEY},
    failure::{Failure, Outcome},
    output,
};

/// Migrate a database to the format of this release, or copy an installation from one database to another
///
/// Servers migrate the database when they start. To copy an installation, stop all servers first; the target must be empty. The
/// copy is compared row by row, and its audit log is verified. The installation key stays in the data directory, also with
/// PostgreSQL.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("copy").args(["to_postgres", "from_postgres"])),
    after_help = "\
Examples:
  keyward migrate --data /var/lib/keyward
  keyward migrate --data /var/lib/keyward --to-postgres postgres://keyward@db.example.com/keyward
  keyward migrate --data /var/lib/keyward --from-postgres postgres://keyward@db.example.com/keyward"
)]
pub(crate) struct Migrate {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Copy the database of the data directory into this one
    #[arg(long, value_name = "URL")]
    to_postgres: Option<String>,
    /// Copy this database into the data directory, which must have none
    #[arg(long, value_name = "URL")]
    from_postgres: Option<String>,
}

impl Migrate {
    pub(crate) async fn run(self) -> Outcome {
        let arguments = ServerArguments { installation: self.installation.clone(), ..Default::default() };
        let configuration = Configuration::read(&arguments)?;
        let settings = configuration.settings(&url_of(configuration.listen));
        let postgres = |directory: &DataDirectory, url: &String| {
            AppConfig::on_postgres(url.clone(), directory.path().join(INSTALLATION_KEY), settings.clone())
        };
        let embedded = |directory: &DataDirectory| AppConfig::embedded(directory.path(), settings.clone());
        let copied = match (&self.to_postgres, &self.from_postgres) {
            (Some(url), _) => {
                let directory = DataDirectory::open(&configuration.data)?;
                let _lock = directory.lock()?;
                copy_installation(&embedded(&directory), &postgres(&directory, url)).await?
            }
            (None, Some(url)) => {
                let directory = DataDirectory::create(&configuration.data)?;
                let _lock = directory.lock()?;
                if !directory.file(INSTALLATION_KEY)?.exists() {
                    return Err(Failure::new(format!(
                        "{} has no `installation.key`: copy a node's there first, because it belongs to the installation",
                        directory.path().display()
                    )));
                }
                copy_installation(&postgres(&directory, url), &embedded(&directory)).await?
            }
            (None, None) => {
                let directory = DataDirectory::create(&configuration.data)?;
                let format = bring_up_to_date(configuration.app_config(directory.path(), settings.clone())).await?;
                return output::line(format!("the database has format {format}, which is this release's"));
            }
        };
        output::line(format!(
            "copied {} rows, each compared with its original; the audit log of {} events is intact",
            copied.rows, copied.events
        ))
    }
}
