//! Commands on the host open the installation themselves. A server may be running at the same time.

use std::sync::Arc;

use domain::{ServiceAccountId, UserId, WorkspaceId, principal::Denied};
use server::{
    App, AppError,
    app::{Caller, Confirmed, MAX_PAGE, Paging},
};

use crate::{
    configuration::{Configuration, InstallationArguments, ServerArguments, url_of},
    data_directory::DataDirectory,
    failure::{Failure, Outcome},
    output,
};

/// What to do if there is no installation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
    /// Create one.
    Create,
    /// Fail, because the path of the directory is probably mistyped.
    Refuse,
}

/// Opens the installation, runs an operation as the host, and closes the installation. When this returns, every running
/// node has acknowledged the changes.
pub(crate) async fn on_host<T>(
    installation: &InstallationArguments,
    missing: Missing,
    operation: impl AsyncFnOnce(&Arc<App>, &Caller) -> Outcome<T>,
) -> Outcome<T> {
    let arguments = ServerArguments { installation: installation.clone(), ..Default::default() };
    let configuration = Configuration::read(&arguments)?;
    let directory = match missing {
        Missing::Refuse if configuration.database_url.is_none() => DataDirectory::open(&configuration.data)?,
        Missing::Create | Missing::Refuse => DataDirectory::create(&configuration.data)?,
    };
    // Printed links lead to the server that runs here, unless `public_url` is set.
    let url = directory.server_url()?.unwrap_or_else(|| url_of(configuration.listen));
    let app = App::open_on_host(configuration.app_config(directory.path(), configuration.settings(&url))).await?;
    do_as_host(&app, operation).await
}

/// Runs an operation as the host in an open installation, and closes the installation.
pub(crate) async fn do_as_host<T>(
    app: &Arc<App>,
    operation: impl AsyncFnOnce(&Arc<App>, &Caller) -> Outcome<T>,
) -> Outcome<T> {
    let host = Caller::host();
    // On the heap, because the futures of commands are large.
    let result = Box::pin(operation(app, &host)).await;
    app.close().await;
    result
}

/// Prints how many nodes have acknowledged a change, if there are several, and returns the value of the change.
pub(crate) fn tell_confirmed<T>(done: Confirmed<T>) -> Outcome<T> {
    let confirmation = done.confirmation();
    // On standard error, because a program may read the command's output.
    match (confirmation.nodes, confirmation.expired) {
        (0 | 1, 0) => {}
        (nodes, 0) => output::note(format!("every node has acknowledged it: {nodes}"))?,
        (nodes, expired) => output::tell(format!(
            "{nodes} nodes have acknowledged it; {expired} did not answer, and their leases have expired: they accept nothing"
        ))?,
    }
    Ok(done.into_inner())
}

/// Reads all pages of a list, and returns them as one page.
pub(crate) async fn all_pages<T>(read: impl AsyncFn(Paging) -> Outcome<api::Page<T>>) -> Outcome<api::Page<T>> {
    pages_up_to(None, read).await
}

/// Reads all pages of a list, or the first `limit` items, and returns them as one page. It stops after `limit`, because
/// an audit log may have millions of events.
pub(crate) async fn pages_up_to<T>(
    limit: Option<u32>,
    read: impl AsyncFn(Paging) -> Outcome<api::Page<T>>,
) -> Outcome<api::Page<T>> {
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut all = api::Page { items: Vec::new(), next: None };
    loop {
        let wanted = i64::try_from(limit - all.items.len()).unwrap_or(i64::MAX).min(MAX_PAGE);
        let page = read(Paging { after: all.next.take(), limit: Some(wanted) }).await?;
        all.items.extend(page.items);
        all.next = page.next;
        if all.next.is_none() || all.items.len() >= limit {
            return Ok(all);
        }
    }
}

/// Returns the workspace with an id or a slug.
pub(crate) async fn find_workspace(app: &App, host: &Caller, workspace: &str) -> Outcome<WorkspaceId> {
    if let Ok(id) = workspace.parse() {
        return Ok(id);
    }
    let missing = |error| {
        explain_not_found(error, format!("no workspace has the slug {workspace}: see `keyward admin list-workspaces`"))
    };
    Ok(app.find_workspace_by_slug(host, workspace).await.map_err(missing)?.id)
}

/// Returns the user with an email or an id.
pub(crate) async fn find_user(app: &App, host: &Caller, user: &str) -> Outcome<api::User> {
    let missing = |error| {
        explain_not_found(
            error,
            format!("there is no user {user}, and nothing was changed: see `keyward admin list-users`"),
        )
    };
    match user.parse::<UserId>() {
        Ok(id) => app.find_user(host, id).await,
        Err(_) => app.find_user_by_email(host, user).await,
    }
    .map_err(missing)
}

/// Returns the service account with an address or an id, after its workspace.
pub(crate) async fn find_service_account(
    app: &App,
    host: &Caller,
    account: &str,
) -> Outcome<(WorkspaceId, ServiceAccountId)> {
    let found = match account.parse::<ServiceAccountId>() {
        Ok(id) => app.find_workspace_of_service_account(host, id).await.map(|workspace| (workspace, id)),
        Err(_) => app.find_service_account_by_address(host, account).await,
    };
    let missing = |error| {
        explain_not_found(error, format!("no service account has the address or id {account}, and nothing was changed"))
    };
    found.map_err(missing)
}

/// Adds the name of the missing object to a not-found error. Every other error has its own message.
pub(crate) fn explain_not_found(error: AppError, message: String) -> Failure {
    match error {
        AppError::Denied(Denied::NotFound) => Failure::not_found(message),
        other => other.into(),
    }
}
