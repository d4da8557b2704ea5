//! The columns of a policy, in its own table and beside the principal of a request.

use domain::policy::{KeyPolicy, PolicyRules};

use crate::{Row, StoreError};

/// The place of the policy of the installation.
macro_rules! installation_place {
    () => {
        "installation"
    };
}
pub(crate) use installation_place;

/// Returns the policy in these columns, or `None` if they are empty.
pub(crate) fn policy_of(
    row: &Row,
    [rules, before, set_at, enforced_from]: [&str; 4],
) -> Result<Option<KeyPolicy>, StoreError> {
    let Some(rules) = row.opt_parse::<PolicyRules>(rules)? else { return Ok(None) };
    let (set_at, enforced_from) = (row.timestamp(set_at)?, row.timestamp(enforced_from)?);
    Ok(Some(KeyPolicy::from_parts(rules, row.parse(before)?, set_at, enforced_from)))
}
