//! Commands on the host open the installation itself, beside a running server or not.

use server::{App, app::Caller};

use crate::{
    configuration::{Configuration, InstallationArguments, ServerArguments, url_of},
    data_directory::DataDirectory,
    failure::Outcome,
    output,
};

/// What has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
    /// An installation is made where none is.
    Create,
    /// A directory without an installation is most likely mistyped.
    Refuse,
}

/// Opens the installation, does something as the host, and closes it. What was changed holds on every running server when
/// this returns.
pub(crate) async fn on_host<T>(
    installation: &InstallationArguments,
    missing: Missing,
    operation: impl AsyncFnOnce(&App, &Caller) -> Outcome<T>,
) -> Outcome<T> {
    let arguments = ServerArguments { installation: installation.clone(), ..Default::default() };
    let configuration = Configuration::read(&arguments)?;
    let directory = match missing {
        Missing::Refuse if configuration.database_url.is_none() => DataDirectory::open(&configuration.data)?,
        Missing::Create | Missing::Refuse => DataDirectory::create(&configuration.data)?,
    };
    // Links that are printed lead to the server that runs here, unless its public address is set.
    let url = directory.server_url()?.unwrap_or_else(|| url_of(configuration.listen));
    let app = App::open_on_host(configuration.parts(directory.path(), configuration.settings(&url))).await?;
    do_as_host(&app, operation).await
}

/// Does something as the host in an installation that is open, closes it, and tells how the change became known.
pub(crate) async fn do_as_host<T>(app: &App, operation: impl AsyncFnOnce(&App, &Caller) -> Outcome<T>) -> Outcome<T> {
    let host = Caller::host();
    // On the heap: what commands do is large.
    let result = Box::pin(operation(app, &host)).await;
    app.close().await;
    // On standard error: what a command prints may be read by a program.
    if let (Ok(_), Some(confirmation)) = (&result, host.confirmation())
        && (confirmation.nodes > 0 || confirmation.expired > 0)
    {
        match confirmation.expired {
            0 => output::note(format!("every node has taken it in: {}", confirmation.nodes))?,
            expired => output::note(format!(
                "{} nodes have taken it in; {expired} did not answer and were waited out: they judge nothing",
                confirmation.nodes
            ))?,
        }
    }
    result
}
