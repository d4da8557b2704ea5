//! The closed set of audit actions.

use std::collections::BTreeSet;

use domain::AuditAction;

#[test]
fn each_audit_action_has_a_name_of_its_own_that_is_documented() {
    let documented = include_str!("../../../../docs/protocol.md");
    let section = documented.split("## Audit actions").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = section.expect("a section").lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<&str> = rows.collect();
    let names: BTreeSet<&str> = AuditAction::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(names.len(), AuditAction::ALL.len(), "a name that two actions have");
    assert_eq!(names, rows);
}
