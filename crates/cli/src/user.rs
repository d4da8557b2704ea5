//! The kind and the state of a user, each as a word.

/// Returns `operator` or `user`.
pub(crate) fn kind(is_operator: bool) -> String {
    if is_operator { "operator" } else { "user" }.to_owned()
}

/// Returns `disabled`, `suspended` or `active`.
pub(crate) fn state(is_disabled: bool, is_suspended: bool) -> String {
    match (is_disabled, is_suspended) {
        (true, _) => "disabled",
        (false, true) => "suspended",
        (false, false) => "active",
    }
    .to_owned()
}
