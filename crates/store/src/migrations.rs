//! Migration of a database to the format of this release. Migrations run forward only, in order, each once. The SQL is
//! in `migrations/*.sql`, and both engines execute it unchanged.

use domain::Timestamp;
use sha2::{Digest, Sha256};

use crate::{
    StoreError,
    connection::{Connection, WriteConnection},
    params,
};

struct Migration {
    version: u64,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal;)*) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../migrations/", $name, ".sql")),
        }),*]
    };
}

/// A released migration is never edited: its checksum is in every database. A mistake is corrected in the next migration.
const MIGRATIONS: &[Migration] = migrations! {
    1 "0001_foundations";
    2 "0002_features";
    3 "0003_sessions";
    4 "0004_installation_key";
    5 "0005_replay_epochs";
    6 "0006_defences";
    7 "0007_audit_indexes";
    8 "0008_service_account_names";
    9 "0009_use_counters";
    10 "0010_list_indexes";
    11 "0011_display_names";
    12 "0012_key_limits";
    13 "0013_key_rotations";
    14 "0014_key_policies";
};

/// Returns the format that this release writes.
#[must_use]
pub fn latest() -> u64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// The first format with limits of keys.
pub(crate) const KEY_LIMITS: u64 = 12;
/// The first format with rotations of keys.
pub(crate) const KEY_ROTATIONS: u64 = 13;
/// The first format with policies for keys.
pub(crate) const KEY_POLICIES: u64 = 14;

/// Applies the migrations that are missing, inside the transaction of `connection`.
pub(crate) async fn migrate(connection: &mut WriteConnection, now: Timestamp) -> Result<(), StoreError> {
    apply(connection, MIGRATIONS, now).await
}

async fn apply(connection: &mut WriteConnection, migrations: &[Migration], now: Timestamp) -> Result<(), StoreError> {
    connection
        .execute(
            "CREATE TABLE IF NOT EXISTS migrations (
                version BIGINT NOT NULL PRIMARY KEY,
                name TEXT NOT NULL,
                checksum BYTEA NOT NULL,
                applied_at BIGINT NOT NULL
            )",
            params![],
        )
        .await?;
    let applied = applied(connection).await?;
    if !applied.is_empty() && applied.len() < migrations.len() {
        // Every change locks this row first, so no change is in progress while the tables are locked one after another.
        // A deadlock with a change would last a second, and the leases of running nodes would expire meanwhile.
        connection.execute("UPDATE installation SET version = version WHERE id = 1", params![]).await?;
    }
    for (at, migration) in migrations.iter().enumerate() {
        let checksum: [u8; 32] = Sha256::digest(migration.sql).into();
        match applied.get(at) {
            Some((version, kept)) if *version == migration.version && *kept == checksum => {}
            Some((version, _)) => {
                return Err(StoreError::MigrationChanged { version: *version, name: migration.name.to_owned() });
            }
            None => {
                connection.execute_schema(migration.sql).await?;
                connection
                    .execute(
                        "INSERT INTO migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
                        params![migration.version.cast_signed(), migration.name, checksum, now],
                    )
                    .await?;
                tracing::debug!(migration = migration.name, "changed the database");
            }
        }
    }
    match (migrations.last(), applied.last()) {
        (Some(last), None) => tracing::info!(format = last.version, "created the tables of the database"),
        (Some(last), Some((before, _))) if *before < last.version => {
            tracing::info!(before, format = last.version, "brought the database to a newer format");
        }
        _ => {}
    }
    Ok(())
}

/// Returns the applied migrations, by version. Refuses a database of a later release before it compares anything.
async fn applied(connection: &mut Connection) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let rows = connection.fetch_all("SELECT version, checksum FROM migrations ORDER BY version", params![]).await?;
    let applied: Vec<_> = rows
        .iter()
        .map(|row| Ok((row.count("version")?, row.bytes("checksum")?)))
        .collect::<Result<_, StoreError>>()?;
    match applied.last() {
        Some(&(found, _)) if found > latest() => Err(StoreError::NewerDatabase { found, known: latest() }),
        _ => Ok(applied),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use domain::{AuditEvent, AuditPrincipal, Random};
    use test_postgres::Cluster;

    use super::*;
    use crate::{
        Change, MayConflict as _,
        engine::{Database, Engine},
        installation::create_if_missing,
        value::Statement,
    };

    struct Zeros;

    impl Random for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    /// Returns the migrations before this version.
    fn before(version: u64) -> &'static [Migration] {
        let (earlier, _) = MIGRATIONS.split_at(MIGRATIONS.iter().position(|m| m.version == version).unwrap());
        earlier
    }

    #[tokio::test]
    async fn an_existing_service_account_is_displayed_with_its_name() {
        let (own, directory) = (Cluster::shared().create_database(), tempfile::tempdir().unwrap());
        for engine in
            [Engine::Sqlite { path: directory.path().join("a.db") }, Engine::Postgres { url: own.url().into() }]
        {
            let database = Database::open(&engine).await.unwrap();
            let mut connection = WriteConnection::from(database.begin().await.unwrap());
            apply(&mut connection, before(8), Timestamp::UNIX_EPOCH).await.unwrap();
            for sql in [
                "INSERT INTO workspaces (id, slug, name, service_account_quota, service_account_key_quota, user_key_quota,
                   created_at) VALUES ('ws', 'acme', 'Acme', 1, 1, 1, 0)",
                "INSERT INTO service_accounts (id, workspace_id, name, description, address, role, disabled, created_at)
                   VALUES ('sa', 'ws', 'ci-bot', '', 'ci-bot@acme', 'member', FALSE, 0)",
            ] {
                connection.execute(sql, params![]).await.unwrap();
            }
            migrate(&mut connection, Timestamp::UNIX_EPOCH).await.unwrap();
            // A node of an earlier release, which knows no display names, changes the name.
            let sql = "UPDATE service_accounts SET name = 'ci-runner' WHERE id = 'sa'";
            for name in ["ci-bot", "ci-runner"] {
                let shown = "SELECT COALESCE(display_name, name) AS shown FROM service_accounts";
                let row = connection.fetch_one(shown, params![]).await.unwrap();
                assert_eq!(row.text("shown").unwrap(), name, "{engine:?}");
                connection.execute(sql, params![]).await.unwrap();
            }
        }
    }

    /// A large table is changed for longer than any other statement may take.
    #[tokio::test]
    async fn a_migration_may_take_long() {
        let own = Cluster::shared().create_database();
        let database = Database::open(&Engine::Postgres { url: own.url().into() }).await.unwrap();
        let mut connection = WriteConnection::from(database.begin().await.unwrap());
        let sql = "CREATE TABLE observed AS SELECT current_setting('statement_timeout') AS setting";
        let migrations = [Migration { version: 1, name: "0001_observe", sql }];
        apply(&mut connection, &migrations, Timestamp::UNIX_EPOCH).await.unwrap();
        let row = connection.fetch_one("SELECT setting FROM observed", params![]).await.unwrap();
        assert_eq!(row.text("setting").unwrap(), "1h");
    }

    /// Two nodes that start on a new database create its first table at the same time. One of them may find the other's
    /// type, which PostgreSQL creates for each table, before it sees the table.
    #[tokio::test]
    async fn a_table_that_another_process_creates_at_the_same_time_is_a_conflict() {
        let cluster = Cluster::shared();
        let own = cluster.create_database();
        let database = Database::open(&Engine::Postgres { url: own.url().into() }).await.unwrap();
        let mut connection = WriteConnection::from(database.begin().await.unwrap());
        connection.execute("CREATE TYPE migrations AS ENUM ()", params![]).await.unwrap();
        let error = migrate(&mut connection, Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert!(error.is_contention(), "{error:?}");
    }

    #[tokio::test]
    async fn a_migration_waits_for_a_change_in_progress_before_it_locks_a_table() {
        let cluster = Cluster::shared();
        let own = cluster.create_database();
        let database = Database::open(&Engine::Postgres { url: own.url().into() }).await.unwrap();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let begin = async || WriteConnection::from(database.begin().await.unwrap());
        let mut connection = begin().await;
        apply(&mut connection, before(6), now).await.unwrap();
        create_if_missing(&mut connection, now, &Zeros).await.unwrap();
        connection.commit().await.unwrap();

        // A node of the previous release is executing a change. It has read a table that migration 6 alters late.
        let mut change = Change::begin(&Arc::default(), &database, now, false).await.unwrap();
        change.fetch_all("SELECT id FROM nodes", params![]).await.unwrap();
        let mut connection = begin().await;
        let migrating = tokio::spawn(async move {
            migrate(&mut connection, now).await?;
            connection.commit().await
        });
        let sql = format!(
            "SELECT locktype FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE NOT granted AND datname = '{}'",
            own.name()
        );
        let waits_for = loop {
            assert!(!migrating.is_finished(), "it did not wait for the change");
            let mut reading = begin().await;
            let rows = reading.fetch_all(Statement::built(sql.clone()), params![]).await.unwrap();
            if let Some(row) = rows.first() {
                break row.text("locktype").unwrap();
            }
        };
        assert_eq!(waits_for, "transactionid", "it waits for the locked row, and for no table");
        // It also reads a table that the migration alters first. A deadlock would abort one of the two here.
        change.fetch_all("SELECT id FROM api_keys", params![]).await.unwrap();
        let event = AuditEvent {
            id: "evt_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
            at: now,
            workspace: None,
            principal: AuditPrincipal::Host,
            key: None,
            ip_address: None,
            action: "test".into(),
            target: None,
            detail: BTreeMap::new(),
        };
        change.commit(event, None).await.unwrap();
        migrating.await.unwrap().unwrap();
    }
}
