//! Conflicts of rotations.

use api::{Problem, codes};
use domain::{ApiKeyId, Timestamp, rotation::EndIsFixed};

use super::{AppError, Conflict, conflict};

/// Why a key cannot be rotated, or a rotation cannot be undone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RotationConflict {
    /// The key is disabled, so it cannot be rotated.
    KeyDisabled,
    /// The key is suspended since a restore, so it cannot be rotated.
    KeySuspended,
    /// The key has a successor until the end of the overlap.
    Pending {
        /// The successor.
        successor: ApiKeyId,
        /// The end of the overlap.
        ends_at: Timestamp,
    },
    /// The successor of the key was rotated, too.
    SuccessorRotated {
        /// The successor.
        successor: ApiKeyId,
    },
    /// The key was rotated, and the new expiry is later than the end of the overlap.
    EndIsFixed(EndIsFixed),
    /// The overlap has ended.
    Ended,
}

impl From<RotationConflict> for AppError {
    fn from(reason: RotationConflict) -> Self {
        Conflict::Rotation(reason).into()
    }
}

impl RotationConflict {
    /// Returns the problem for the API.
    pub(super) fn problem(&self) -> Problem {
        let (code, detail) = match self {
            Self::KeyDisabled => (codes::KEY_INACTIVE, "This key is disabled. Enable it, then rotate it.".to_owned()),
            Self::KeySuspended => {
                let detail = "This key is suspended since a restore. Ask an operator to confirm it, then rotate it.";
                (codes::KEY_INACTIVE, detail.to_owned())
            }
            Self::Pending { successor, ends_at } => {
                let detail = format!(
                    "This key was rotated: it expires at {ends_at}, and {successor} replaces it. Rotate that key, or \
                     undo this rotation first."
                );
                return conflict(codes::ROTATION_PENDING, detail).with("successor", successor.to_string());
            }
            Self::SuccessorRotated { successor } => {
                let detail =
                    format!("The successor of this key, {successor}, was rotated, too. Undo that rotation first.");
                return conflict(codes::ROTATION_PENDING, detail).with("successor", successor.to_string());
            }
            Self::EndIsFixed(EndIsFixed { ends_at }) => {
                let detail = format!(
                    "This key was rotated and expires at {ends_at}. Choose an earlier expiry date, or undo the rotation \
                     while both keys are accepted."
                );
                (codes::KEY_ROTATED, detail)
            }
            Self::Ended => {
                let detail = "The overlap of this rotation has ended, or the rotated key was revoked, so it cannot be \
                              undone. Register a new key.";
                (codes::ROTATION_ENDED, detail.to_owned())
            }
        };
        conflict(code, detail)
    }
}
