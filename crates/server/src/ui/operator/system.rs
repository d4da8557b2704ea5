//! The state of the installation: its nodes, settings and checkpoint.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use domain::Timestamp;
use http::{StatusCode, header};

use crate::{
    App,
    app::Paging,
    settings::SettingWarning,
    ui::{
        extract::SignedInContext,
        list::columns,
        page::{self, PageError, Shell, When},
        use_chart::group_digits,
    },
};

columns! {
    /// The table of nodes.
    NodeColumn {
        Node: "Node",
        Status: "Status",
        Version: "Applied version",
        Since: "Since",
    }
}

/// How much later than its lease a node may be renewed without being called silent. Machines' clocks differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(10);

/// A node, and whether it renews its lease.
struct ListedNode {
    node: api::Node,
    /// Its lease has ended, so it accepts no requests, whatever it has applied.
    is_silent: bool,
}

#[derive(Template)]
#[template(path = "operator_system.html")]
struct System {
    shell: Shell,
    version: &'static str,
    public_url: String,
    is_ready: bool,
    lease_seconds: u64,
    nodes: Vec<ListedNode>,
    checkpoint: String,
    /// The number of events that it covers, with separators.
    covered: String,
    made_at: When,
    /// Whether there are suspended keys after a restore.
    has_suspended_keys: bool,
    /// The number of workspaces without an enabled admin.
    without_admin: usize,
    warnings: Vec<SettingWarning>,
    settings_differ: bool,
}

/// Returns the number of events that a checkpoint covers: the second line of the note.
fn covered(note: &str) -> String {
    note.lines().nth(1).and_then(|size| size.parse().ok()).map_or_else(String::new, group_digits)
}

fn is_silent(node: &api::Node, now: Timestamp) -> bool {
    // The node that answers responds. With SQLite it is the only one, and renews no lease.
    !node.answers && now > node.renewed_at + Duration::from_secs(node.lease_seconds) + CLOCK_DIFFERENCE
}

pub(super) async fn show(State(app): State<Arc<App>>, signed_in: SignedInContext) -> Result<Response, PageError> {
    let checkpoint = app.sign_checkpoint(&signed_in.caller).await?;
    let suspended = app.list_suspended_keys(&signed_in.caller, &Paging { after: None, limit: Some(1) }).await?;
    let nodes = app.list_nodes(&signed_in.caller).await?.items;
    let page = System {
        shell: Shell::new(Some(&signed_in.context), "System", "operator-system"),
        version: env!("CARGO_PKG_VERSION"),
        public_url: app.settings().public_url.clone(),
        is_ready: app.check_ready().is_ok(),
        lease_seconds: app.settings().lease.as_secs(),
        settings_differ: api::settings_differ(&nodes),
        nodes: nodes.into_iter().map(|node| ListedNode { is_silent: is_silent(&node, app.now()), node }).collect(),
        covered: covered(&checkpoint),
        made_at: When::new(app.now(), app.now()),
        checkpoint,
        has_suspended_keys: !suspended.items.is_empty(),
        without_admin: app.list_workspaces_without_admin(&signed_in.caller).await?.len(),
        warnings: app.settings().warnings(),
    };
    Ok(page::render(StatusCode::OK, &page))
}

/// Sends the checkpoint as a file.
pub(super) async fn download_checkpoint(
    State(app): State<Arc<App>>,
    SignedInContext { caller, .. }: SignedInContext,
) -> Result<Response, PageError> {
    let checkpoint = app.sign_checkpoint(&caller).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"keyward-checkpoint.txt\""),
    ];
    Ok((headers, checkpoint).into_response())
}
