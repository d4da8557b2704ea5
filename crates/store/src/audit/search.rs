//! Finding the objects of events by what people know about them: names, addresses, titles, fingerprints and ids.

use std::net::IpAddr;

use domain::{
    ApiKeyId, AuditAction, AuditEventId, AuditPrincipal, PrincipalId,
    list::containing,
    principal::{OperatorAccess, WorkspaceAccess},
    user::Email,
};

use super::{EventScope, EventSubject, quoted};
use crate::{
    Connection, StoreError,
    list::push,
    params,
    value::{Statement, Value},
};

/// The maximum number of objects of each kind that a text finds. Each has its own statements.
const MAX_OBJECTS: usize = 8;
/// The number of entries at the end of the log in which the events of an IP address are searched. They have no index.
pub const IP_ADDRESS_ENTRIES: u64 = 100_000;
/// The number of deleted projects that are read for a title.
const MAX_DELETED: i64 = 200;
/// Shorter texts are parts of too many fingerprints.
const MIN_FINGERPRINT: usize = 6;

/// Objects that a text may mean. An event that involves one of them matches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventObjects {
    /// Principals and keys.
    pub subjects: Vec<EventSubject>,
    /// The host, or clients that did not authenticate.
    pub principal: Option<AuditPrincipal>,
    /// The ids of other objects.
    pub targets: Vec<String>,
    /// An IP address that requests came from.
    pub ip_address: Option<IpAddr>,
    /// The number of the first entry in which the IP address is searched.
    pub first_entry: u64,
    /// An event itself.
    pub event: Option<AuditEventId>,
    /// Whether the text is in the names of more objects than these.
    pub has_more: bool,
}

/// The conditions that an event meets together: the text before a value, the value, and the text after it.
pub(super) type Alternative = Vec<(&'static str, Value<'static>, &'static str)>;

impl EventObjects {
    /// Returns the conditions of which an event meets at least one.
    pub(super) fn alternatives(&self) -> Vec<Alternative> {
        let mut all: Vec<Alternative> = self.subjects.iter().flat_map(|subject| subject.alternatives()).collect();
        all.extend(self.principal.map(|principal| vec![("principal =", principal.to_string().into(), "")]));
        all.extend(self.targets.iter().map(|target| vec![("target =", target.clone().into(), "")]));
        all.extend(self.ip_address.map(|ip_address| {
            let first = i64::try_from(self.first_entry).unwrap_or(i64::MAX);
            vec![("seq >=", first.into(), ""), ("address =", ip_address.to_string().into(), "")]
        }));
        all.extend(self.event.map(|event| vec![("id =", event.to_string().into(), "")]));
        all
    }

    fn add<T>(&mut self, ids: Vec<String>, add: impl Fn(&mut Self, T)) -> Result<(), StoreError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        self.has_more |= ids.len() > MAX_OBJECTS;
        for id in ids.into_iter().take(MAX_OBJECTS) {
            let parsed = id.parse().map_err(|error| StoreError::corrupt(format!("the id {id}: {error}")))?;
            add(self, parsed);
        }
        Ok(())
    }

    fn add_principals(&mut self, ids: Vec<String>) -> Result<(), StoreError> {
        self.add(ids, |all, id: PrincipalId| all.subjects.push(EventSubject::Principal(id)))
    }

    fn add_keys(&mut self, ids: Vec<String>) -> Result<(), StoreError> {
        self.add(ids, |all, id: ApiKeyId| all.subjects.push(EventSubject::Key(id)))
    }

    fn add_targets(&mut self, ids: Vec<String>) -> Result<(), StoreError> {
        self.add(ids, |all, id: String| all.targets.push(id))
    }
}

impl EventSubject {
    /// Returns the conditions of which an event that involves the object meets at least one.
    pub(super) fn alternatives(self) -> Vec<Alternative> {
        match self {
            Self::Key(key) => {
                ["key_id =", "target ="].into_iter().map(|column| vec![(column, key.to_string().into(), "")]).collect()
            }
            Self::Principal(id) => {
                let keys = "target IN (SELECT id FROM api_keys WHERE owner_id =";
                [("principal =", ""), ("target =", ""), (keys, ")")]
                    .into_iter()
                    .map(|(before, after)| vec![(before, id.to_string().into(), after)])
                    .collect()
            }
        }
    }
}

/// A text to look for.
struct Sought<'a> {
    text: &'a str,
    /// The text as emails and addresses are stored.
    address: String,
    /// The pattern of the fingerprints that it may be a part of.
    fingerprint: Option<String>,
}

/// Returns the pattern of the fingerprints that a text is a part of: with or without `SHA256:`, or the start and the end
/// with an ellipsis, as lists show it.
fn fingerprint_pattern(text: &str) -> Option<String> {
    let digest = text.strip_prefix("SHA256:").unwrap_or(text);
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
    match digest.split_once('\u{2026}').or_else(|| digest.split_once("...")) {
        Some((start, end)) => (start.len() + end.len() >= MIN_FINGERPRINT && is_part(start) && is_part(end))
            .then(|| format!("SHA256:{start}%{end}")),
        None => (digest.len() >= MIN_FINGERPRINT && is_part(digest)).then(|| format!("SHA256:%{digest}%")),
    }
}

/// Returns the ids of objects that have the text in one of these columns, or that meet the other condition. Those that
/// are called exactly so come first. `select` consists of text from the code only, and uses `values`.
async fn find_ids(
    connection: &mut Connection,
    select: &str,
    columns: &[&str],
    text: &str,
    mut values: Vec<Value<'_>>,
    other: Option<(&str, String)>,
) -> Result<Vec<String>, StoreError> {
    let pattern = push(&mut values, containing(text));
    let exact = push(&mut values, text.to_owned());
    let mut conditions: Vec<String> =
        columns.iter().map(|column| format!("LOWER({column}) LIKE LOWER({pattern}) ESCAPE '\\'")).collect();
    if let Some((before, value)) = other {
        conditions.push(before.replace('?', &push(&mut values, value)));
    }
    let equal: Vec<String> = columns.iter().map(|column| format!("LOWER({column}) = LOWER({exact})")).collect();
    let limit = push(&mut values, i64::try_from(MAX_OBJECTS + 1).unwrap_or(i64::MAX));
    let sql = format!(
        "{select} AND ({}) ORDER BY CASE WHEN {} THEN 0 ELSE 1 END, id DESC LIMIT {limit}",
        conditions.join(" OR "),
        equal.join(" OR ")
    );
    connection.fetch_all(Statement::built(sql), &values).await?.iter().map(|row| row.text("id")).collect()
}

/// Finds the objects that a text may mean, of those that a reader of the events in this part of the log may know: the
/// objects of a workspace with its former members and deleted accounts, or users and workspaces. A text that is an id is
/// no name.
///
/// # Errors
/// The database does not answer.
pub async fn find_objects(
    connection: &mut Connection,
    scope: EventScope,
    text: &str,
) -> Result<EventObjects, StoreError> {
    let mut all = EventObjects::default();
    if let Ok(id) = text.parse::<PrincipalId>() {
        all.subjects.push(EventSubject::Principal(id));
    } else if let Ok(id) = text.parse::<ApiKeyId>() {
        all.subjects.push(EventSubject::Key(id));
    } else if let Ok(id) = text.parse::<AuditEventId>() {
        all.event = Some(id);
    } else if let Ok(principal) = text.parse::<AuditPrincipal>() {
        all.principal = Some(principal);
    } else if let Ok(ip_address) = text.parse::<IpAddr>() {
        all.ip_address = Some(ip_address);
        let head = connection.fetch_one("SELECT audit_size FROM installation WHERE id = 1", params![]).await?;
        all.first_entry = head.count("audit_size")?.saturating_sub(IP_ADDRESS_ENTRIES);
    } else if is_id(text) {
        all.targets.push(text.to_owned());
    } else {
        let address = text.parse::<Email>().map_or_else(|_| text.to_owned(), |email| email.as_str().to_owned());
        let sought = Sought { text, address, fingerprint: fingerprint_pattern(text) };
        match scope {
            EventScope::Workspace(access) => find_in_workspace(connection, access, &sought, &mut all).await?,
            EventScope::InstallationOwn(access) => find_own(connection, access, &sought, &mut all).await?,
            // Programs on the host filter by ids, and an owner sees one key.
            EventScope::Installation(_) | EventScope::OwnKeys(_) => {}
        }
    }
    Ok(all)
}

/// Returns whether a text has the form of an id.
fn is_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(kind, suffix)| {
        matches!(kind, "prj" | "inv" | "ws") && suffix.len() == 26 && suffix.bytes().all(|c| c.is_ascii_alphanumeric())
    })
}

async fn find_in_workspace(
    connection: &mut Connection,
    access: WorkspaceAccess,
    sought: &Sought<'_>,
    all: &mut EventObjects,
) -> Result<(), StoreError> {
    let here = || vec![Value::from(access.workspace().to_string())];
    // Operators are in the events of a workspace that they are no members of.
    let by_operators = AuditAction::ALL.iter().copied().filter(|action| {
        action.concerns_workspace_itself()
            || matches!(action, AuditAction::MemberAdd | AuditAction::MemberDisable | AuditAction::MemberEnable)
    });
    let removed = "SELECT target FROM audit_events WHERE workspace_id = $1 AND action = 'member.remove'";
    let users = format!(
        "SELECT id FROM users WHERE id IN (
             SELECT user_id FROM members WHERE workspace_id = $1 UNION {removed}
             UNION SELECT principal FROM audit_events WHERE workspace_id = $1 AND action IN ({}))",
        quoted(by_operators)
    );
    all.add_principals(find_ids(connection, &users, &["name", "email"], &sought.address, here(), None).await?)?;
    let accounts = "SELECT id FROM service_accounts WHERE workspace_id = $1";
    let former = "id = (SELECT service_account_id FROM service_account_addresses WHERE address = ?)";
    let former = Some((former, sought.address.clone()));
    let columns = ["COALESCE(display_name, name)", "address"];
    all.add_principals(find_ids(connection, accounts, &columns, &sought.address, here(), former).await?)?;
    // Of the keys of people, only those in the events of this workspace are known here.
    let keys = format!(
        "SELECT id FROM api_keys WHERE (owner_id IN (SELECT id FROM service_accounts WHERE workspace_id = $1)
             OR (owner_id IN (SELECT user_id FROM members WHERE workspace_id = $1 UNION {removed}) AND (
                 EXISTS (SELECT 1 FROM audit_events e WHERE e.key_id = api_keys.id AND e.workspace_id = $1)
                 OR EXISTS (SELECT 1 FROM audit_events e WHERE e.target = api_keys.id AND e.workspace_id = $1))))"
    );
    all.add_keys(find_keys(connection, &keys, sought, here()).await?)?;
    let projects = "SELECT id FROM projects WHERE workspace_id = $1";
    all.add_targets(find_ids(connection, projects, &["title"], sought.text, here(), None).await?)?;
    all.add_targets(find_deleted_projects(connection, access, sought.text).await?)?;
    let invitations = "SELECT id FROM invitations WHERE workspace_id = $1";
    all.add_targets(find_ids(connection, invitations, &["email"], &sought.address, here(), None).await?)
}

/// Finds what the installation's own events are about. Objects of workspaces are none of it.
async fn find_own(
    connection: &mut Connection,
    _: OperatorAccess,
    sought: &Sought<'_>,
    all: &mut EventObjects,
) -> Result<(), StoreError> {
    let users = "SELECT id FROM users WHERE 1 = 1";
    all.add_principals(find_ids(connection, users, &["name", "email"], &sought.address, Vec::new(), None).await?)?;
    let keys = "SELECT id FROM api_keys WHERE (
             EXISTS (SELECT 1 FROM audit_events e WHERE e.key_id = api_keys.id AND e.workspace_id IS NULL)
             OR EXISTS (SELECT 1 FROM audit_events e WHERE e.target = api_keys.id AND e.workspace_id IS NULL))";
    all.add_keys(find_keys(connection, keys, sought, Vec::new()).await?)?;
    let workspaces = "SELECT id FROM workspaces WHERE 1 = 1";
    all.add_targets(find_ids(connection, workspaces, &["name", "slug"], sought.text, Vec::new(), None).await?)
}

async fn find_keys(
    connection: &mut Connection,
    select: &str,
    sought: &Sought<'_>,
    values: Vec<Value<'_>>,
) -> Result<Vec<String>, StoreError> {
    let fingerprint = sought.fingerprint.clone().map(|pattern| ("fingerprint LIKE ?", pattern));
    find_ids(connection, select, &["title"], sought.text, values, fingerprint).await
}

/// Returns the ids of deleted projects whose last title contains a text. Only their events have it.
async fn find_deleted_projects(
    connection: &mut Connection,
    access: WorkspaceAccess,
    text: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT target, detail FROM audit_events WHERE workspace_id = $1 AND action = 'project.delete'
               ORDER BY seq DESC LIMIT $2";
    let rows = connection.fetch_all(sql, params![access.workspace(), MAX_DELETED]).await?;
    let text = text.to_lowercase();
    let mut found = Vec::new();
    for row in &rows {
        let detail: std::collections::BTreeMap<String, String> = serde_json::from_str(&row.text("detail")?)
            .map_err(|error| StoreError::corrupt(format!("column `detail`: {error}")))?;
        if detail.get("title").is_some_and(|title| title.to_lowercase().contains(&text)) {
            found.extend(row.opt_text("target")?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_known_by_its_parts() {
        for (text, pattern) in [
            ("SHA256:Q04beK8hTfNz", Some("SHA256:%Q04beK8hTfNz%")),
            ("Q04beK8hTfNz", Some("SHA256:%Q04beK8hTfNz%")),
            ("Q04beK\u{2026}Dhc8s", Some("SHA256:Q04beK%Dhc8s")),
            ("SHA256:Q04beK...Dhc8s", Some("SHA256:Q04beK%Dhc8s")),
            ("Q04be", None),
            ("wendy aho", None),
            ("100%_sure", None),
            ("a\u{2026}b", None),
        ] {
            assert_eq!(fingerprint_pattern(text).as_deref(), pattern, "{text}");
        }
    }
}
