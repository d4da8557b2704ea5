//! What a user is and where their account stands, in a word.

/// `operator` or `user`.
pub(crate) fn kind(is_operator: bool) -> String {
    if is_operator { "operator" } else { "user" }.to_owned()
}

/// `disabled`, `suspended` or `active`.
pub(crate) fn state(is_disabled: bool, is_suspended: bool) -> String {
    match (is_disabled, is_suspended) {
        (true, _) => "disabled",
        (false, true) => "suspended",
        (false, false) => "active",
    }
    .to_owned()
}
