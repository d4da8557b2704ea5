//! API keys and the times of their last use.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Display,
};

use domain::{
    ApiKeyId, NodeId, PrincipalId, ServiceAccountId, Timestamp,
    api_key::{ApiKey, KeyTimes, RevokedApiKey, UnrevokedKey},
    limits::{KeyLimits, Limits},
    list::{KeyFilter, KeyOrder},
    principal::{HostAccess, WorkspaceAccess},
    public_key::{CompactKey, Fingerprint, PublicKey},
};

use crate::{
    Change, Connection, Maintenance, Row, Store, StoreError, Subject, Version,
    connection::{FromRow, find_page_end, page_end, page_start},
    identity,
    key_blob::{stored_blob, without_mark},
    list::{List, push},
    params,
    table::{
        Column,
        ColumnType::{Bool, Bytes, I64, Text},
        Table,
    },
    value::{Statement, Value},
};

/// The condition of a live key: it is neither revoked nor expired at the time with this placeholder.
macro_rules! live_key {
    ($now:literal) => {
        concat!("api_keys.revoked_at IS NULL AND (api_keys.expires_at IS NULL OR api_keys.expires_at > ", $now, ")")
    };
}
pub(crate) use live_key;

pub(crate) static API_KEYS: Table<ApiKey> = Table {
    name: "api_keys",
    columns: &[
        Column::key("id", Text, |key| key.id.into()),
        Column::fixed("owner_id", Text, |key| key.owner.into()),
        Column::mutable("title", Text, |key| (&key.title).into()),
        Column::implied("fingerprint", Text, |key| key.public_key.fingerprint().to_string().into()),
        Column::fixed("public_key", Bytes, |key| stored_blob(key, !key.limits.is_none()).into()),
        Column::mutable("disabled", Bool, |key| key.disabled.into()),
        Column::fixed("suspended", Bool, |key| key.suspended.into()),
        Column::mutable("expires_at", I64, |key| key.expires_at.into()),
        Column::fixed("revoked_at", I64, |key| key.revoked_at.into()),
        Column::fixed("verified_at", I64, |key| key.verified_at.into()),
        Column::fixed("created_by", Text, |key| (&key.created_by).into()),
        Column::fixed("created_with", Text, |key| key.created_with.into()),
        Column::fixed("created_at", I64, |key| key.created_at.into()),
        Column::fixed("last_used_at", I64, |key| key.last_used_at.into()),
        Column::fixed("last_used_ip", Text, |key| key.last_used_ip.as_ref().into()),
        Column::fixed("proven_at", I64, |key| key.proven_at.into()),
        Column::fixed("displaced_at", I64, |key| key.displaced_at.into()),
        Column::mutable("limits", Text, |key| key.limits.get().map(Limits::to_string).into()),
        Column::separate("registered_version", I64),
        Column::separate("revoked_version", I64),
        Column::separate("revoked_in", Text),
        Column::separate("enabled_at", I64),
    ],
};

impl FromRow for ApiKey {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let blob = row.bytes("public_key")?;
        let (created_at, verified_at) = (row.timestamp("created_at")?, row.opt_timestamp("verified_at")?);
        // A node of the previous release writes a proof as a verification at the time of the registration. A use is
        // never written with that time.
        let proven_at = row.opt_timestamp("proven_at")?.or(verified_at.filter(|verified| *verified == created_at));
        Ok(Self {
            id: row.parse("id")?,
            owner: row.parse("owner_id")?,
            title: row.text("title")?,
            public_key: PublicKey::from_stored_blob(without_mark(&blob))
                .map_err(|e| StoreError::corrupt(format!("api_keys.public_key: {e}")))?,
            disabled: row.bool("disabled")?,
            suspended: row.bool("suspended")?,
            expires_at: row.opt_timestamp("expires_at")?,
            revoked_at: row.opt_timestamp("revoked_at")?,
            verified_at,
            proven_at,
            displaced_at: row.opt_timestamp("displaced_at")?,
            created_by: row.text("created_by")?,
            created_with: row.opt_parse("created_with")?,
            created_at,
            last_used_at: row.opt_timestamp("last_used_at")?,
            last_used_ip: row.opt_text("last_used_ip")?,
            limits: row.opt_parse("limits")?.map_or_else(KeyLimits::none, |limits: Limits| limits.into()),
        })
    }
}

/// The version of the change that registers a key. NULL while a node is running that does not report what it verified.
const REGISTERED_VERSION: (&str, &str) =
    ("CASE WHEN NOT EXISTS (SELECT 1 FROM nodes WHERE reports_use = FALSE) THEN CAST(", " AS BIGINT) END");

/// Registers a key.
pub async fn insert_api_key(change: &mut Change, key: &ApiKey) -> Result<(), StoreError> {
    // The transaction may contain changes with earlier versions, so the row of the installation has another one.
    let insert = API_KEYS.insert(key).expression_of("registered_version", REGISTERED_VERSION, change.version());
    insert.run(change).await?;
    change.touch(Subject::ApiKey(key.id));
    Ok(())
}

/// Updates the mutable columns of a key, which was read as `before` in this change. To revoke a key, use
/// [`revoke_api_key`].
pub async fn update_api_key(change: &mut Change, before: &ApiKey, after: &ApiKey) -> Result<(), StoreError> {
    API_KEYS.update(change, after).await?;
    let [was_limited, is_limited] = [before, after].map(|key| !key.limits.is_none());
    if was_limited != is_limited {
        change
            .execute(
                "UPDATE api_keys SET public_key = $2 WHERE id = $1 AND public_key = $3",
                params![after.id, stored_blob(after, is_limited), stored_blob(after, was_limited)],
            )
            .await?;
    }
    change.touch(Subject::ApiKey(after.id));
    Ok(())
}

/// Why a key is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revocation {
    /// A principal with the permission revokes it, or its owner was deleted.
    Ordinary,
    /// Another principal registers the key with a proof.
    Reclaimed,
    /// A signature by the key itself says that its private key leaked. It counts as a use, so that the key can never be
    /// registered again.
    Leaked,
}

/// Revokes a key, and records the workspaces of its owner at this time.
pub async fn revoke_api_key(change: &mut Change, key: &ApiKey, why: Revocation) -> Result<(), StoreError> {
    let (now, version) = (change.now(), change.version());
    let memberships = identity::find_identity(change, key.owner).await?.map(|owner| owner.memberships);
    let workspaces: Vec<String> = memberships.unwrap_or_default().iter().map(|m| m.workspace.to_string()).collect();
    let displaced_at = (why == Revocation::Reclaimed).then_some(now);
    change
        .execute(
            "UPDATE api_keys SET revoked_at = $2, revoked_version = $3, revoked_in = $4, displaced_at = $5
             WHERE id = $1 AND revoked_at IS NULL",
            params![key.id, now, version, workspaces.join(" "), displaced_at],
        )
        .await?;
    if why == Revocation::Leaked {
        // As for a use at the time of the registration, see `record_statement`.
        change
            .execute(
                "UPDATE api_keys SET verified_at = CASE WHEN created_at = $2 THEN $2 + 1 ELSE $2 END
                 WHERE id = $1 AND verified_at IS NULL",
                params![key.id, now],
            )
            .await?;
    }
    change.touch(Subject::ApiKey(key.id));
    Ok(())
}

/// Records that a proof showed that the owner of a key holds the private key.
pub async fn prove_api_key(change: &mut Change, id: ApiKeyId) -> Result<(), StoreError> {
    let now = change.now();
    change
        .execute(
            "UPDATE api_keys SET proven_at = COALESCE(proven_at, $2), verified_at = COALESCE(verified_at, $2) WHERE id = $1",
            params![id, now],
        )
        .await?;
    change.touch(Subject::ApiKey(id));
    Ok(())
}

/// Whether a revoked key ever verified a request or a proof, on any node, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UseBeforeRevocation {
    /// It never did: every node that ran between its registration and its revocation has reported this.
    Never,
    /// It was used, or a node that may have used it has stopped.
    Possible,
    /// A node has not acknowledged the revocation yet.
    Unconfirmed,
}

/// Returns whether a revoked key was ever used. `own` is a node that has applied the changes up to that version and has
/// recorded the uses of the keys that these changes revoked.
///
/// # Errors
/// The database does not answer.
pub async fn find_use_before_revocation(
    connection: &mut Connection,
    id: ApiKeyId,
    own: Option<(NodeId, Version)>,
) -> Result<UseBeforeRevocation, StoreError> {
    let (own, own_version) = own.map_or((String::new(), Version::default()), |(id, version)| (id.to_string(), version));
    // In one statement: a node records uses before it acknowledges, and acknowledges before it can be evicted.
    let row = connection
        .fetch_one(
            "SELECT verified_at, proven_at, registered_version, revoked_version,
                    (SELECT COUNT(*) FROM lost_nodes WHERE lost_nodes.version >= api_keys.registered_version
                        AND lost_nodes.acknowledged_version < api_keys.revoked_version) AS lost,
                    (SELECT COUNT(*) FROM nodes WHERE nodes.reports_use = FALSE) AS silent,
                    (SELECT COUNT(*) FROM nodes WHERE nodes.acknowledged_version < api_keys.revoked_version
                        AND NOT (nodes.id = $2 AND $3 >= api_keys.revoked_version)) AS waiting
             FROM api_keys WHERE id = $1",
            params![id, own, own_version],
        )
        .await?;
    let is_recorded = row.opt_i64("registered_version")?.is_some() && row.opt_i64("revoked_version")?.is_some();
    let was_used = row.opt_i64("verified_at")?.is_some() || row.opt_i64("proven_at")?.is_some();
    Ok(if was_used || !is_recorded || row.count("lost")? > 0 || row.count("silent")? > 0 {
        UseBeforeRevocation::Possible
    } else if row.count("waiting")? > 0 {
        UseBeforeRevocation::Unconfirmed
    } else {
        UseBeforeRevocation::Never
    })
}

impl FromRow for RevokedApiKey {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let workspaces = row.opt_text("revoked_in")?.unwrap_or_default();
        let workspaces = workspaces.split_ascii_whitespace().map(|workspace| {
            workspace.parse().map_err(|error| StoreError::corrupt(format!("api_keys.revoked_in: {error}")))
        });
        Ok(Self { workspaces: workspaces.collect::<Result<_, _>>()?, key: ApiKey::from_row(row)? })
    }
}

/// A key as it is read after a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangedApiKey {
    /// It is not revoked.
    Unrevoked(ApiKey),
    /// It is revoked.
    Revoked(RevokedApiKey),
}

impl FromRow for ChangedApiKey {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(match RevokedApiKey::from_row(row)? {
            RevokedApiKey { key, .. } if key.revoked_at.is_none() => Self::Unrevoked(key),
            revoked => Self::Revoked(revoked),
        })
    }
}

/// Returns those of these keys that exist, of any owner.
///
/// # Errors
/// The database does not answer.
pub async fn find_changed_api_keys(
    connection: &mut Connection,
    ids: &[ApiKeyId],
) -> Result<HashMap<ApiKeyId, ChangedApiKey>, StoreError> {
    let sql = API_KEYS.select_with("api_keys.revoked_in", "WHERE id");
    let rows = connection.fetch_in(sql, ids, "").await?;
    rows.iter().map(|row| Ok((row.parse("id")?, ChangedApiKey::from_row(row)?))).collect()
}

/// Returns the keys that were revoked last, at most `limit`, the latest first.
///
/// # Errors
/// The database does not answer.
pub async fn list_revoked_api_keys(connection: &mut Connection, limit: i64) -> Result<Vec<RevokedApiKey>, StoreError> {
    let sql = API_KEYS
        .select_with("api_keys.revoked_in", "WHERE revoked_at IS NOT NULL ORDER BY revoked_at DESC, id DESC LIMIT $1");
    connection.list(sql, params![limit]).await
}

/// Returns a key of an owner.
pub async fn find_api_key(
    connection: &mut Connection,
    owner: PrincipalId,
    id: ApiKeyId,
) -> Result<Option<ApiKey>, StoreError> {
    let sql = API_KEYS.select("WHERE owner_id = $1 AND id = $2");
    connection.find(sql, params![owner, id]).await
}

/// Returns a key of any owner. It is for request verification, and for checks whose result the caller does not see.
pub async fn find_api_key_anywhere(connection: &mut Connection, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let sql = API_KEYS.select("WHERE id = $1");
    connection.find(sql, params![id]).await
}

/// Returns every registration of a fingerprint, including revoked and expired ones.
pub async fn list_api_keys_by_fingerprint(
    connection: &mut Connection,
    fingerprint: &Fingerprint,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = API_KEYS.select("WHERE fingerprint = $1 ORDER BY id");
    connection.list(sql, params![fingerprint.to_string()]).await
}

/// Returns keys of an owner in the order of their ids, after `after`.
pub async fn list_api_keys(
    connection: &mut Connection,
    owner: PrincipalId,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = API_KEYS.select("WHERE owner_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    connection.list(sql, params![owner, page_start(after), limit]).await
}

/// A key in a list of all owners.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedKeyRow {
    /// The key.
    pub key: ApiKey,
    /// The owner's email or address.
    pub owner_email: Option<String>,
}

impl FromRow for OwnedKeyRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { key: ApiKey::from_row(row)?, owner_email: row.opt_text("owner_email")? })
    }
}

/// Returns these keys with their owners, including revoked ones, in an undefined order.
pub async fn list_owned_api_keys(
    connection: &mut Connection,
    ids: &[ApiKeyId],
) -> Result<Vec<OwnedKeyRow>, StoreError> {
    let sql = API_KEYS.select_with(
        "COALESCE(users.email, service_accounts.address) AS owner_email",
        "LEFT JOIN users ON users.id = api_keys.owner_id
         LEFT JOIN service_accounts ON service_accounts.id = api_keys.owner_id
         WHERE api_keys.id",
    );
    connection.fetch_in(sql, ids, "").await?.iter().map(OwnedKeyRow::from_row).collect()
}

/// Returns the keys of the service accounts of a workspace that are not revoked, in an undefined order.
pub async fn list_keys_of_service_accounts(
    connection: &mut Connection,
    access: WorkspaceAccess,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = API_KEYS.select(
        "JOIN service_accounts ON service_accounts.id = api_keys.owner_id
         WHERE service_accounts.workspace_id = $1 AND service_accounts.deleted_at IS NULL
         AND api_keys.revoked_at IS NULL LIMIT $2",
    );
    connection.list(sql, params![access.workspace(), limit]).await
}

/// The list of the keys of a workspace's service accounts, including inactive ones.
#[derive(Clone, Copy, Debug)]
pub struct WorkspaceKeys {
    /// The workspace.
    pub access: WorkspaceAccess,
    /// The time at which a key is expired or not.
    pub now: Timestamp,
    /// The times that decide which keys need attention.
    pub times: KeyTimes,
}

/// A key with the service account that owns it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkspaceKey {
    /// The key.
    pub key: ApiKey,
    /// The service account.
    pub account: ServiceAccountId,
    /// The display name of the service account.
    pub account_name: String,
    /// The address of the service account.
    pub account_email: String,
    /// Whether the service account is disabled, so that all its keys are refused.
    pub account_disabled: bool,
}

impl List for WorkspaceKeys {
    type Order = KeyOrder;
    type Filter = KeyFilter;
    type Id = ApiKeyId;
    type Row = WorkspaceKey;

    const ID: &'static str = "api_keys.id";
    const SEARCHED: &'static [&'static str] = &[
        "api_keys.title",
        "api_keys.fingerprint",
        "COALESCE(service_accounts.display_name, service_accounts.name)",
        "service_accounts.address",
    ];

    fn select(&self) -> Statement {
        API_KEYS.select_columns(
            "service_accounts.id AS account_id, service_accounts.address AS account_email,
             COALESCE(service_accounts.display_name, service_accounts.name) AS account_name,
             service_accounts.disabled AS account_disabled",
        )
    }

    fn from<'a>(&'a self, values: &mut Vec<Value<'a>>) -> Statement {
        Statement::built(format!(
            "FROM service_accounts JOIN api_keys ON api_keys.owner_id = service_accounts.id
             WHERE service_accounts.workspace_id = {} AND service_accounts.deleted_at IS NULL",
            push(values, self.access.workspace())
        ))
    }

    fn filter<'a>(&'a self, filter: KeyFilter, values: &mut Vec<Value<'a>>) -> Statement {
        let mut current = || {
            let now = push(values, self.now);
            format!(live_key!("{}"), now)
        };
        let active = "NOT api_keys.disabled AND NOT api_keys.suspended AND NOT service_accounts.disabled";
        Statement::built(match filter {
            KeyFilter::All => "1 = 1".to_owned(),
            KeyFilter::InUse => current(),
            KeyFilter::Ended => format!("NOT ({})", current()),
            KeyFilter::Active => format!("{} AND {active}", current()),
            KeyFilter::Disabled => format!("{} AND NOT ({active})", current()),
            KeyFilter::Expiring => {
                let current = current();
                format!("{current} AND {active} AND api_keys.expires_at < {}", push(values, self.times.soon))
            }
            KeyFilter::Unused => {
                let current = current();
                let since = push(values, self.times.unused_since);
                format!("{current} AND COALESCE(api_keys.last_used_at, api_keys.created_at) < {since}")
            }
            KeyFilter::NeverUsed => format!("{} AND api_keys.last_used_at IS NULL", current()),
            KeyFilter::Limited => format!("{} AND api_keys.limits IS NOT NULL", current()),
            KeyFilter::Unlimited => format!("{} AND api_keys.limits IS NULL", current()),
        })
    }

    fn order(order: KeyOrder) -> &'static str {
        match order {
            KeyOrder::Created => "api_keys.id",
            KeyOrder::Title => "LOWER(api_keys.title)",
            KeyOrder::LastUsed => "COALESCE(api_keys.last_used_at, 0)",
            // The largest time: keys that never expire come last.
            KeyOrder::Expires => "COALESCE(api_keys.expires_at, 9223372036854775807)",
        }
    }

    fn decode(row: &Row) -> Result<WorkspaceKey, StoreError> {
        Ok(WorkspaceKey {
            key: ApiKey::from_row(row)?,
            account: row.parse("account_id")?,
            account_name: row.text("account_name")?,
            account_email: row.text("account_email")?,
            account_disabled: row.bool("account_disabled")?,
        })
    }
}

/// Returns whether a request by a service account of a workspace was ever accepted, with any key.
pub async fn was_service_account_used(
    connection: &mut Connection,
    access: WorkspaceAccess,
) -> Result<bool, StoreError> {
    let sql = "SELECT api_keys.id FROM api_keys JOIN service_accounts ON service_accounts.id = api_keys.owner_id
               WHERE service_accounts.workspace_id = $1 AND service_accounts.deleted_at IS NULL
               AND api_keys.last_used_at IS NOT NULL LIMIT 1";
    Ok(connection.fetch_optional(sql, params![access.workspace()]).await?.is_some())
}

/// Returns the keys of all owners, including revoked ones, in the order of their ids, after `after`.
pub async fn list_all_api_keys(
    connection: &mut Connection,
    _: HostAccess,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<OwnedKeyRow>, StoreError> {
    let sql = API_KEYS.select_with(
        "COALESCE(users.email, service_accounts.address) AS owner_email",
        "LEFT JOIN users ON users.id = api_keys.owner_id
         LEFT JOIN service_accounts ON service_accounts.id = api_keys.owner_id
         WHERE api_keys.id > $1 ORDER BY api_keys.id LIMIT $2",
    );
    connection.list(sql, params![page_start(after), limit]).await
}

/// Returns the last id of a page with `size` keys that are not revoked, after `after`. Returns `None` if there are fewer.
///
/// # Errors
/// The database does not answer.
pub async fn find_end_of_unrevoked_keys(
    connection: &mut Connection,
    after: Option<ApiKeyId>,
    size: u16,
) -> Result<Option<ApiKeyId>, StoreError> {
    find_page_end(connection, "api_keys WHERE revoked_at IS NULL AND", after, size).await
}

/// Returns the keys of all owners that are not revoked, after `after` and up to `up_to`. A directory holds these keys.
///
/// # Errors
/// The database does not answer.
pub async fn list_unrevoked_api_keys(
    connection: &mut Connection,
    after: Option<ApiKeyId>,
    up_to: Option<ApiKeyId>,
) -> Result<UnrevokedKeys, StoreError> {
    // All in one row: a row takes a microsecond and more, and there may be millions of keys.
    let sql = format!(
        "SELECT COUNT(*) AS number, COALESCE(string_agg(id || ' ' || owner_id || ' ' || {}
                    || CASE WHEN disabled THEN ' 1' ELSE ' 0' END || CASE WHEN suspended THEN ' 1 ' ELSE ' 0 ' END
                    || COALESCE(CAST(expires_at AS TEXT), '') || ' ' || COALESCE(limits, ''), '|'), '') AS list
         FROM api_keys WHERE revoked_at IS NULL AND id > $1 AND id <= $2",
        connection.link.hex_of("public_key")
    );
    let row = connection.fetch_one(Statement::built(sql), params![page_start(after), page_end(up_to)]).await?;
    Ok(UnrevokedKeys { number: row.count("number")?, list: row.text("list")? })
}

/// Keys that are not revoked, as the database returned them.
pub struct UnrevokedKeys {
    number: u64,
    /// `id owner_id public_key disabled suspended expires_at limits` of each key, with `|` between the keys.
    list: String,
}

impl UnrevokedKeys {
    /// Decodes the keys, in an undefined order. It does not wait for the database, so it may run in another thread.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] contains the name of a column with an invalid value.
    pub fn decode(&self) -> Result<Vec<UnrevokedKey>, StoreError> {
        let mut blob = Vec::new();
        let lines = self.list.split('|').filter(|line| !line.is_empty());
        let keys = lines.map(|line| decode_unrevoked_key(line, &mut blob)).collect::<Result<Vec<_>, _>>()?;
        // Of a row with an empty column, the list contains nothing.
        if keys.len() as u64 != self.number {
            return Err(StoreError::corrupt(format!(
                "{} of {} rows of api_keys have an empty column",
                self.number.abs_diff(keys.len() as u64),
                self.number
            )));
        }
        Ok(keys)
    }
}

fn decode_unrevoked_key(line: &str, blob: &mut Vec<u8>) -> Result<UnrevokedKey, StoreError> {
    let unreadable = |column: &str, error: &dyn Display| StoreError::corrupt(format!("api_keys.{column}: {error}"));
    let mut fields = line.split(' ');
    let mut next = |column: &str| fields.next().ok_or_else(|| unreadable(column, &"it is missing"));
    let truth = |column: &str, text: &str| match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(unreadable(column, &"it is not a truth value")),
    };
    let id = next("id")?.parse().map_err(|error| unreadable("id", &error))?;
    let owner = next("owner_id")?.parse().map_err(|error| unreadable("owner_id", &error))?;
    decode_hex(next("public_key")?, blob).ok_or_else(|| unreadable("public_key", &"it is not hexadecimal"))?;
    let public_key =
        CompactKey::from_stored_blob(without_mark(blob)).map_err(|error| unreadable("public_key", &error))?;
    let disabled = truth("disabled", next("disabled")?)?;
    let suspended = truth("suspended", next("suspended")?)?;
    let expires_at = match next("expires_at")? {
        "" => None,
        text => {
            let time = text.parse().map_err(|error| unreadable("expires_at", &error))?;
            Some(Timestamp::from_microsecond(time).map_err(|error| unreadable("expires_at", &error))?)
        }
    };
    let limits = match next("limits")? {
        "" => KeyLimits::none(),
        text => text.parse::<Limits>().map_err(|error| unreadable("limits", &error))?.into(),
    };
    Ok(UnrevokedKey { id, owner, public_key, disabled, suspended, expires_at, limits })
}

/// Replaces the content of `bytes`. Returns `None` if the text does not consist of pairs of hexadecimal digits.
fn decode_hex(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let digit = |c: u8| char::from(c).to_digit(16);
    bytes.clear();
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    for [high, low] in pairs {
        bytes.push(u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?);
    }
    Some(())
}

/// Returns the keys that were registered by requests with any of these keys, including revoked ones, in the order of
/// their ids.
pub async fn list_api_keys_made_with(
    connection: &mut Connection,
    parents: &[ApiKeyId],
) -> Result<Vec<ApiKey>, StoreError> {
    let rows = connection.fetch_in(API_KEYS.select("WHERE created_with"), parents, "").await?;
    let mut keys = rows.iter().map(ApiKey::from_row).collect::<Result<Vec<_>, _>>()?;
    keys.sort_unstable_by_key(|key| key.id);
    Ok(keys)
}

/// Returns the keys that these keys registered as their own successors, including revoked ones.
pub async fn list_self_rotated(
    connection: &mut Connection,
    predecessors: &[ApiKeyId],
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = API_KEYS.select(
        "JOIN key_rotations ON key_rotations.successor_id = api_keys.id
         WHERE api_keys.created_with = key_rotations.predecessor_id AND key_rotations.predecessor_id",
    );
    connection.fetch_in(sql, predecessors, "").await?.iter().map(ApiKey::from_row).collect()
}

/// The keys that a key registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Descendants {
    /// All.
    All,
    /// The successors that it registered for itself.
    SelfRotated,
}

/// Returns these keys, then the keys that they registered, the keys that those registered, and so on, each once.
/// Revoked keys are included, because the keys that they registered are no safer than they are.
pub async fn list_with_descendants(
    connection: &mut Connection,
    roots: Vec<ApiKey>,
    which: Descendants,
) -> Result<Vec<ApiKey>, StoreError> {
    let mut seen: BTreeSet<ApiKeyId> = roots.iter().map(|key| key.id).collect();
    let mut parents: Vec<ApiKeyId> = seen.iter().copied().collect();
    let mut keys = roots;
    while !parents.is_empty() {
        let mut made = match which {
            Descendants::All => list_api_keys_made_with(connection, &parents).await?,
            Descendants::SelfRotated => list_self_rotated(connection, &parents).await?,
        };
        made.retain(|key| seen.insert(key.id));
        parents = made.iter().map(|key| key.id).collect();
        keys.append(&mut made);
    }
    Ok(keys)
}

/// Returns the keys that a principal registered, for itself or for others, including revoked ones.
pub async fn list_api_keys_registered_by(
    connection: &mut Connection,
    registrar: PrincipalId,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = API_KEYS.select("WHERE created_by = $1 ORDER BY id");
    connection.list(sql, params![registrar]).await
}

/// Returns the number of live keys of an owner: those that are neither revoked nor expired.
pub async fn count_live_api_keys(
    connection: &mut Connection,
    owner: PrincipalId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sql = concat!("SELECT COUNT(*) AS live FROM api_keys WHERE owner_id = $1 AND ", live_key!("$2"));
    connection.fetch_one(sql, params![owner, now]).await?.count("live")
}

/// When a key of an owner was last used, and the IP address of the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastUse {
    /// The time of the use.
    pub at: Timestamp,
    /// The IP address of the client.
    pub ip_address: Option<String>,
}

/// Returns the last use of any key of an owner, including revoked ones.
pub async fn find_last_use(connection: &mut Connection, owner: PrincipalId) -> Result<Option<LastUse>, StoreError> {
    let sql = "SELECT last_used_at, last_used_ip FROM api_keys WHERE owner_id = $1 AND last_used_at IS NOT NULL
               ORDER BY last_used_at DESC, id LIMIT 1";
    let row = connection.fetch_optional(sql, params![owner]).await?;
    row.map(|row| Ok(LastUse { at: row.timestamp("last_used_at")?, ip_address: row.opt_text("last_used_ip")? }))
        .transpose()
}

/// One verification by a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUse {
    /// The key.
    pub key: ApiKeyId,
    /// The time of the use.
    pub at: Timestamp,
    /// The IP address of the client.
    pub ip_address: Option<String>,
    /// Whether the request was accepted. If not, its signature was valid and it was refused for another reason.
    pub accepted: bool,
}

/// The maximum number of uses in one statement. A statement for 512 uses keeps a processor core busy for five milliseconds,
/// for which requests on that core wait.
const MAX_USES: usize = 64;

// A use at the time of the registration is written one microsecond later, because the previous release writes a proof
// with that time. Each batch is one statement, whose values are the key, the time, the IP address, and whether the request
// was accepted.
fn record_statement(uses: usize) -> Statement {
    let values = (0..uses).map(|row| {
        let place = |at: usize| format!("${}", row * 4 + at);
        format!("({}, {}, {}, {})", place(1), place(2), place(3), place(4))
    });
    let values = values.collect::<Vec<_>>().join(", ");
    Statement::built(format!(
        "UPDATE api_keys SET
             last_used_at = CASE WHEN used.column4 THEN used.column2 ELSE api_keys.last_used_at END,
             last_used_ip = CASE WHEN used.column4 THEN used.column3 ELSE api_keys.last_used_ip END,
             verified_at = COALESCE(api_keys.verified_at,
                 CASE WHEN api_keys.created_at = used.column2 THEN used.column2 + 1 ELSE used.column2 END)
         FROM (VALUES {values}) AS used
         WHERE api_keys.id = used.column1 AND CASE WHEN used.column4
             THEN api_keys.last_used_at IS NULL OR api_keys.last_used_at <= used.column2
             ELSE api_keys.verified_at IS NULL END"
    ))
}

/// Records when keys were last used. The latest use is kept, regardless of the order in which uses are written.
pub async fn record_key_uses(maintenance: &mut Maintenance, uses: &[KeyUse]) -> Result<(), StoreError> {
    // A statement changes a row once. All nodes use the same order, so that two nodes rarely wait for each other.
    let mut latest: BTreeMap<ApiKeyId, &KeyUse> = BTreeMap::new();
    for used in uses {
        let kept = latest.entry(used.key).or_insert(used);
        if (used.accepted, used.at) > (kept.accepted, kept.at) {
            *kept = used;
        }
    }
    let uses: Vec<_> = latest.into_values().collect();
    let mut uses = uses.as_slice();
    while !uses.is_empty() {
        // The number is a power of two, so that few statements have to be prepared.
        let (written, rest) = uses.split_at(1 << uses.len().min(MAX_USES).ilog2());
        uses = rest;
        let mut values: Vec<Value<'_>> = Vec::new();
        for used in written {
            let ip_address = used.ip_address.as_deref();
            values.extend([(&used.key).into(), used.at.into(), ip_address.into(), used.accepted.into()]);
        }
        maintenance.execute(record_statement(written.len()), &values).await?;
    }
    Ok(())
}

impl Store {
    /// Records that these keys verified something before they were revoked, unless that is recorded already.
    ///
    /// # Errors
    /// The database does not answer; nothing was written.
    pub async fn record_verifications(&self, keys: &[ApiKeyId], now: Timestamp) -> Result<(), StoreError> {
        let verification = |&key| KeyUse { key, at: now, ip_address: None, accepted: false };
        let uses: Vec<KeyUse> = keys.iter().map(verification).collect();
        let mut maintenance = self.begin_maintenance().await?;
        record_key_uses(&mut maintenance, &uses).await?;
        maintenance.commit().await
    }
}
