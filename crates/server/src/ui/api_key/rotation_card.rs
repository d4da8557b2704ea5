//! What the page of a key says about its rotations.

use super::row::{KeyStatus, shorten};
use crate::{
    app::KeyRotations,
    ui::page::{Shell, When},
};

/// The rotations on the page of a key.
#[derive(Default)]
pub(super) struct RotationCard {
    /// The rotation that gave it a successor.
    pub(super) replaced_by: Option<Turn>,
    /// The rotation that registered it.
    pub(super) replaces: Option<Turn>,
    /// The keys before and after it, the oldest first, if there are more than two.
    pub(super) chain: Vec<ChainRow>,
}

/// A rotation.
pub(super) struct Turn {
    /// The other key.
    pub(super) other: KeyLink,
    pub(super) rotated_at: When,
    pub(super) self_rotated: bool,
    /// When the old key expires, or has ended.
    pub(super) ends_at: When,
    pub(super) pending: bool,
    /// The page that undoes it, if that is possible.
    pub(super) undo: Option<String>,
    /// The use of the old key since then.
    pub(super) accepted: String,
    pub(super) last_used_at: Option<When>,
    pub(super) last_used_ip: String,
}

/// A key with its page.
pub(super) struct KeyLink {
    pub(super) path: String,
    pub(super) fingerprint: String,
    pub(super) short: String,
    pub(super) status: KeyStatus,
}

impl KeyLink {
    fn new(base: &str, id: impl std::fmt::Display, fingerprint: &str, state: api::KeyState) -> Self {
        Self {
            path: format!("{base}/{id}"),
            fingerprint: fingerprint.to_owned(),
            short: shorten(fingerprint),
            status: KeyStatus::new(state, false),
        }
    }
}

/// A key of the chain.
pub(super) struct ChainRow {
    pub(super) key: KeyLink,
    pub(super) created_at: When,
    /// Whether it is the key of the page.
    pub(super) is_here: bool,
}

impl Turn {
    /// Describes a rotation on the page of its predecessor or its successor. `base` is the prefix of the paths of keys.
    fn new(rotation: &api::Rotation, is_predecessor: bool, base: &str, shell: &Shell) -> Self {
        let other = if is_predecessor { &rotation.successor } else { &rotation.predecessor };
        let next = rotation.successor.successor.as_ref();
        let is_last = next.is_none_or(|next| next.state == api::KeyState::Revoked);
        let undo = (rotation.pending && is_last).then(|| format!("{base}/{}/rotate/undo", rotation.predecessor.id));
        let since = &rotation.use_since;
        Self {
            other: KeyLink::new(base, other.id, &other.fingerprint, other.state),
            rotated_at: shell.when(&rotation.rotated_at),
            self_rotated: rotation.self_rotated,
            ends_at: shell.when(&rotation.ends_at),
            pending: rotation.pending,
            undo,
            accepted: match since.accepted {
                0 => "No requests".to_owned(),
                1 => "1 request".to_owned(),
                more => format!("{} requests", crate::app::Count::from(more)),
            },
            last_used_at: since.last_used_at.as_ref().map(|time| shell.when(time)),
            last_used_ip: since.last_used_ip.clone().unwrap_or_default(),
        }
    }
}

impl RotationCard {
    /// Describes the rotations of a key.
    pub(super) fn new(rotations: &KeyRotations, id: domain::ApiKeyId, base: &str, shell: &Shell) -> Self {
        let KeyRotations { replaced_by, replaces } = rotations;
        let chain = replaced_by.as_ref().or(replaces.as_ref()).map_or(&[][..], |rotation| &rotation.chain);
        let row = |key: &api::ChainedKey| ChainRow {
            key: KeyLink::new(base, key.id, &key.fingerprint, key.state),
            created_at: shell.when(&key.created_at),
            is_here: key.id == id,
        };
        Self {
            replaced_by: replaced_by.as_ref().map(|rotation| Turn::new(rotation, true, base, shell)),
            replaces: replaces.as_ref().map(|rotation| Turn::new(rotation, false, base, shell)),
            chain: if chain.len() > 2 { chain.iter().map(row).collect() } else { Vec::new() },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replaced_by.is_none() && self.replaces.is_none()
    }
}
