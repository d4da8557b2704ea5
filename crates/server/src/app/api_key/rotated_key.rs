//! Keys with the other keys of their rotations.

use std::collections::BTreeMap;

use domain::{ApiKeyId, Timestamp, api_key::ApiKey, rotation::KeyRotation};
use store::Connection;

use super::state_to_wire;
use crate::error::{AppError, RotationConflict};

/// Checks a new expiry of a key. That of a rotated key is not later than the end of the overlap.
pub(super) async fn require_end(
    connection: &mut Connection,
    id: ApiKeyId,
    expires_at: Option<Timestamp>,
) -> Result<(), AppError> {
    match store::rotation::find_rotation_of(connection, id).await? {
        Some(rotation) => rotation.require_end(expires_at).map_err(|error| RotationConflict::EndIsFixed(error).into()),
        None => Ok(()),
    }
}

/// Returns a key for the API, with the other keys of its rotations.
pub(super) async fn to_wire(
    connection: &mut Connection,
    key: &ApiKey,
    now: Timestamp,
) -> Result<api::ApiKey, AppError> {
    let rotations = Rotations::read(connection, std::slice::from_ref(key)).await?;
    Ok(rotations.to_wire(key, now))
}

/// The rotations of keys, with the other keys in them.
pub(super) struct Rotations {
    rotations: Vec<KeyRotation>,
    keys: BTreeMap<ApiKeyId, ApiKey>,
}

impl Rotations {
    /// Reads the rotations of these keys.
    pub(super) async fn read(connection: &mut Connection, keys: &[ApiKey]) -> Result<Self, AppError> {
        let ids: Vec<ApiKeyId> = keys.iter().map(|key| key.id).collect();
        let rotations = store::rotation::list_rotations(connection, &ids).await?;
        let keys = find_keys(connection, &rotations).await?;
        Ok(Self { rotations, keys })
    }

    /// Returns one of the keys for the API.
    pub(super) fn to_wire(&self, key: &ApiKey, now: Timestamp) -> api::ApiKey {
        let of = |rotation: &&KeyRotation| rotation.predecessor == key.id;
        let to = |rotation: &&KeyRotation| rotation.successor == key.id;
        api::ApiKey {
            predecessor: self.rotations.iter().find(to).and_then(|found| self.other(found, found.predecessor, now)),
            successor: self.rotations.iter().find(of).and_then(|found| self.other(found, found.successor, now)),
            ..super::to_wire(key, now)
        }
    }

    fn other(&self, rotation: &KeyRotation, id: ApiKeyId, now: Timestamp) -> Option<api::RotatedKey> {
        let (key, predecessor) = (self.keys.get(&id)?, self.keys.get(&rotation.predecessor)?);
        let successor = self.keys.get(&rotation.successor)?;
        Some(api::RotatedKey {
            id,
            title: key.title.clone(),
            fingerprint: key.public_key.fingerprint().to_string(),
            state: state_to_wire(key.state(now)),
            rotated_at: rotation.rotated_at,
            ends_at: end_of(rotation, predecessor),
            pending: can_be_undone(rotation, predecessor, now),
            self_rotated: is_self_rotated(rotation, successor),
        })
    }
}

/// Returns the keys of rotations.
pub(super) async fn find_keys(
    connection: &mut Connection,
    rotations: &[KeyRotation],
) -> Result<BTreeMap<ApiKeyId, ApiKey>, AppError> {
    let ids: Vec<ApiKeyId> = rotations.iter().flat_map(|rotation| [rotation.predecessor, rotation.successor]).collect();
    let rows = store::api_key::list_owned_api_keys(connection, &ids).await?;
    Ok(rows.into_iter().map(|row| (row.key.id, row.key)).collect())
}

/// Returns when a predecessor ends or has ended. It may have been revoked, or its expiry changed, since the rotation.
pub(super) fn end_of(rotation: &KeyRotation, predecessor: &ApiKey) -> Timestamp {
    let ends = [predecessor.expires_at, predecessor.revoked_at].into_iter().flatten();
    ends.fold(rotation.ends_at, Timestamp::min)
}

/// Returns whether the overlap lasts.
pub(super) fn can_be_undone(rotation: &KeyRotation, predecessor: &ApiKey, now: Timestamp) -> bool {
    rotation.is_pending(now) && now < end_of(rotation, predecessor)
}

/// Returns whether the predecessor signed the rotation.
pub(super) fn is_self_rotated(rotation: &KeyRotation, successor: &ApiKey) -> bool {
    successor.created_with == Some(rotation.predecessor)
}
