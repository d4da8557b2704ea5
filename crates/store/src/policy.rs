//! Policies for keys.

use domain::{
    WorkspaceId,
    policy::{KeyPolicies, KeyPolicy, PolicyPlace},
};

use crate::{
    Change, Connection, Row, StoreError, Subject,
    connection::FromRow,
    installation, params,
    policy_row::{installation_place, policy_of},
    table::{
        Column,
        ColumnType::{I64, Text},
        Table,
    },
};

/// A policy, with its place.
pub(crate) struct PlacedPolicy {
    place: PolicyPlace,
    policy: KeyPolicy,
}

pub(crate) static KEY_POLICIES: Table<PlacedPolicy> = Table {
    name: "key_policies",
    columns: &[
        Column::key("place", Text, |row| stored_place(row.place).into()),
        Column::mutable("rules", Text, |row| row.policy.rules().to_string().into()),
        Column::mutable("rules_before", Text, |row| row.policy.before().to_string().into()),
        Column::mutable("set_at", I64, |row| row.policy.set_at().into()),
        Column::mutable("enforced_from", I64, |row| row.policy.enforced_from().into()),
    ],
};

fn stored_place(place: PolicyPlace) -> String {
    place.workspace().map_or_else(|| installation_place!().to_owned(), |workspace| workspace.to_string())
}

impl FromRow for PlacedPolicy {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let place = match row.text("place")?.as_str() {
            installation_place!() => PolicyPlace::Installation,
            _ => PolicyPlace::Workspace(row.parse("place")?),
        };
        let columns = ["rules", "rules_before", "set_at", "enforced_from"];
        Ok(Self { place, policy: policy_of(row, columns)?.ok_or_else(|| StoreError::corrupt("key_policies.rules"))? })
    }
}

/// Returns all policies.
pub async fn list_policies(connection: &mut Connection) -> Result<KeyPolicies, StoreError> {
    let mut policies = KeyPolicies::default();
    for PlacedPolicy { place, policy } in connection.list(KEY_POLICIES.select(""), params![]).await? {
        policies.set(place, Some(policy));
    }
    Ok(policies)
}

/// Returns the policies of the installation and of these workspaces.
pub async fn find_policies(connection: &mut Connection, workspaces: &[WorkspaceId]) -> Result<KeyPolicies, StoreError> {
    let mut places: Vec<String> = workspaces.iter().map(ToString::to_string).collect();
    places.push(installation_place!().to_owned());
    let mut policies = KeyPolicies::default();
    for row in &connection.fetch_in(KEY_POLICIES.select("WHERE place"), &places, "").await? {
        let PlacedPolicy { place, policy } = PlacedPolicy::from_row(row)?;
        policies.set(place, Some(policy));
    }
    Ok(policies)
}

/// Sets the policy of a place. One without rules is removed.
pub async fn put_policy(change: &mut Change, place: PolicyPlace, policy: &KeyPolicy) -> Result<(), StoreError> {
    if policy.is_empty() {
        return delete_policy(change, place).await;
    }
    KEY_POLICIES.insert(&PlacedPolicy { place, policy: *policy }).run_or_update(&[], change).await?;
    touch(change, place).await
}

/// Removes the policy of a place, if there is one.
pub async fn delete_policy(change: &mut Change, place: PolicyPlace) -> Result<(), StoreError> {
    change.execute("DELETE FROM key_policies WHERE place = $1", params![stored_place(place)]).await?;
    touch(change, place).await
}

async fn touch(change: &mut Change, place: PolicyPlace) -> Result<(), StoreError> {
    installation::mark_public_key(change).await?;
    change.touch(match place {
        PolicyPlace::Installation => Subject::Installation,
        PolicyPlace::Workspace(workspace) => Subject::Workspace(workspace),
    });
    Ok(())
}
