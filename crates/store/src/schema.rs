//! The tables, as declared in the code. A test compares them with the schema of both engines.

pub(crate) use crate::table::{ColumnLayout, Layout};
use crate::{
    api_key::API_KEYS,
    audit::AUDIT_EVENTS,
    change::CHANGES,
    installation::INSTALLATION,
    invitation::INVITATIONS,
    key_use::USE_COUNTERS,
    member::MEMBERS,
    node::{LOST_NODES, NODES},
    policy::KEY_POLICIES,
    project::{PROJECT_MEMBERS, PROJECTS},
    proof::PROOF_CHALLENGES,
    replay::REPLAYS,
    rotation::KEY_ROTATIONS,
    service_account::{SERVICE_ACCOUNT_ADDRESSES, SERVICE_ACCOUNTS},
    session::SESSIONS,
    set_up::SET_UP_LINKS,
    table::ColumnType,
    user::USERS,
    workspace::WORKSPACES,
};

/// The tables that are copied with an installation, each after those that it references.
pub(crate) static COPIED: [&dyn Layout; 20] = [
    &INSTALLATION,
    &AUDIT_EVENTS,
    &CHANGES,
    &REPLAYS,
    &USERS,
    &WORKSPACES,
    &MEMBERS,
    &INVITATIONS,
    &SERVICE_ACCOUNTS,
    &SERVICE_ACCOUNT_ADDRESSES,
    &PROJECTS,
    &PROJECT_MEMBERS,
    &API_KEYS,
    &KEY_ROTATIONS,
    &USE_COUNTERS,
    &LOST_NODES,
    &PROOF_CHALLENGES,
    &SESSIONS,
    &SET_UP_LINKS,
    &KEY_POLICIES,
];

/// A column of a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Column {
    /// The name of the table.
    pub table: &'static str,
    /// The name of the column.
    pub name: &'static str,
    /// Its type.
    pub kind: ColumnType,
    /// Whether it belongs to the primary key.
    pub is_key: bool,
}

/// Returns every column of every table except `migrations`, which [`crate::Store::open`] manages.
pub fn columns() -> impl Iterator<Item = Column> {
    let nodes: &dyn Layout = &NODES;
    COPIED.into_iter().chain([nodes]).flat_map(|table| {
        let name = table.name();
        table.columns().into_iter().map(move |column| Column {
            table: name,
            name: column.name,
            kind: column.kind,
            is_key: column.is_key,
        })
    })
}
