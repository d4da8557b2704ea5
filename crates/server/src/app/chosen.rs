//! Changes of several objects that a person chose in a list: they are made together or not at all.

use crate::error::AppError;

/// The most objects of one change.
pub const MAX_CHOSEN: usize = 100;

/// Refuses more than [`MAX_CHOSEN`] objects. `field` is the field of the request that names them.
pub(super) fn require_few(count: usize, field: &'static str, objects: &str) -> Result<(), AppError> {
    if count > MAX_CHOSEN {
        return Err(AppError::field(field, "too_many", format!("choose at most {MAX_CHOSEN} {objects}")));
    }
    Ok(())
}
