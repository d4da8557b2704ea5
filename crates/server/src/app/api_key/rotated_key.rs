//! Keys with the other keys of their rotations.

use std::collections::{BTreeMap, VecDeque};

use domain::{ApiKeyId, Timestamp, api_key::ApiKey, rotation::KeyRotation};
use store::Connection;

use super::state_to_wire;
use crate::error::{AppError, RotationConflict};

/// The maximum number of keys of a chain that are shown on each side of a rotation.
const MAX_SHOWN: usize = 10;

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
        Self::read_of(connection, &keys.iter().map(|key| key.id).collect::<Vec<_>>()).await
    }

    /// Reads the rotations of the keys with these ids.
    pub(super) async fn read_of(connection: &mut Connection, ids: &[ApiKeyId]) -> Result<Self, AppError> {
        let rotations = store::rotation::list_rotations(connection, ids).await?;
        let keys = find_keys(connection, &rotations).await?;
        Ok(Self { rotations, keys })
    }

    /// Returns one of the keys for the API.
    pub(super) fn to_wire(&self, key: &ApiKey, now: Timestamp) -> api::ApiKey {
        self.complete(super::to_wire(key, now), now)
    }

    /// Adds the other keys of its rotations to one of the keys.
    pub(super) fn complete(&self, key: api::ApiKey, now: Timestamp) -> api::ApiKey {
        let of = |rotation: &&KeyRotation| rotation.predecessor == key.id;
        let to = |rotation: &&KeyRotation| rotation.successor == key.id;
        api::ApiKey {
            predecessor: self.rotations.iter().find(to).and_then(|found| self.other(found, found.predecessor, now)),
            successor: self.rotations.iter().find(of).and_then(|found| self.other(found, found.successor, now)),
            ..key
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

/// The rotations of a key.
#[derive(Clone, Debug, Default)]
pub struct KeyRotations {
    /// The rotation that gave it a successor.
    pub replaced_by: Option<api::Rotation>,
    /// The rotation that registered it.
    pub replaces: Option<api::Rotation>,
}

/// Reads the rotations of a key.
pub(super) async fn read_rotations(
    connection: &mut Connection,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<KeyRotations, AppError> {
    let mut rotations = KeyRotations::default();
    for rotation in store::rotation::list_rotations(connection, &[id]).await? {
        let place = if rotation.predecessor == id { &mut rotations.replaced_by } else { &mut rotations.replaces };
        *place = Some(read_rotation(connection, &rotation, now).await?);
    }
    Ok(rotations)
}

/// Reads a rotation with its keys, and the use of the predecessor since then.
pub(super) async fn read_rotation(
    connection: &mut Connection,
    rotation: &KeyRotation,
    now: Timestamp,
) -> Result<api::Rotation, AppError> {
    let keys = find_keys(connection, std::slice::from_ref(rotation)).await?;
    let find = |id| keys.get(&id).ok_or_else(|| AppError::Internal("a rotation of a key that is missing".to_owned()));
    let (predecessor, successor) = (find(rotation.predecessor)?, find(rotation.successor)?);
    let accepted = store::rotation::count_accepted(connection, predecessor.id, rotation.rotated_at).await?;
    let is_used = predecessor.last_used_at.is_some_and(|at| at > rotation.rotated_at);
    let rotations = Rotations::read(connection, &[predecessor.clone(), successor.clone()]).await?;
    Ok(api::Rotation {
        rotated_at: rotation.rotated_at,
        ends_at: end_of(rotation, predecessor),
        pending: can_be_undone(rotation, predecessor, now),
        self_rotated: is_self_rotated(rotation, successor),
        use_since: api::UseSinceRotation {
            accepted: accepted.saturating_sub(rotation.accepted_before),
            last_used_at: predecessor.last_used_at.filter(|_| is_used),
            last_used_ip: predecessor.last_used_ip.clone().filter(|_| is_used),
        },
        chain: read_chain(connection, rotation, now).await?,
        predecessor: rotations.to_wire(predecessor, now),
        successor: rotations.to_wire(successor, now),
    })
}

/// Returns the keys before and after a rotation, with its own, the oldest first.
async fn read_chain(
    connection: &mut Connection,
    rotation: &KeyRotation,
    now: Timestamp,
) -> Result<Vec<api::ChainedKey>, AppError> {
    let mut ids = VecDeque::from([rotation.predecessor, rotation.successor]);
    let mut first = rotation.predecessor;
    for _ in 1..MAX_SHOWN {
        let found = store::rotation::list_rotations(connection, &[first]).await?;
        let Some(before) = found.iter().find(|before| before.successor == first) else { break };
        first = before.predecessor;
        ids.push_front(first);
    }
    let mut last = rotation.successor;
    for _ in 1..MAX_SHOWN {
        let Some(after) = store::rotation::find_rotation_of(connection, last).await? else { break };
        last = after.successor;
        ids.push_back(last);
    }
    let rows = store::api_key::list_owned_api_keys(connection, ids.make_contiguous()).await?;
    let keys: BTreeMap<ApiKeyId, ApiKey> = rows.into_iter().map(|row| (row.key.id, row.key)).collect();
    let chained = |key: &ApiKey| api::ChainedKey {
        id: key.id,
        title: key.title.clone(),
        fingerprint: key.public_key.fingerprint().to_string(),
        state: state_to_wire(key.state(now)),
        created_at: key.created_at,
    };
    Ok(ids.iter().filter_map(|id| keys.get(id)).map(chained).collect())
}
