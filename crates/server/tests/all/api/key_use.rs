//! The use of keys over time.

use std::time::Duration;

use domain::{ApiKeyId, Clock as _};
use serde_json::{Value, json};

use crate::support::{Actor, Key, TestApp, TestRequest, signing::Draft};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

struct Acme {
    test: TestApp,
    ada: Actor,
    bot: Actor,
    workspace: String,
}

/// A workspace whose admin is Ada, with the service account `bot`.
async fn acme() -> Acme {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let id = test.workspace("acme", &ada).await;
    let bot = test.service_account(&id, &ada, "bot").await;
    Acme { workspace: format!("/api/v1/workspaces/{id}"), test, ada, bot }
}

impl Acme {
    fn bot_key(&self) -> String {
        format!("{}/service-accounts/{}/keys/{}", self.workspace, self.bot.id, self.bot.key.id)
    }

    /// Reads as Ada, after everything is written.
    async fn read(&self, path: &str) -> Value {
        self.test.app.write_records().await.expect("the records are written");
        self.test.get(path).by(&self.ada.key).send().await.expect(200)
    }
}

fn me(test: &TestApp) -> TestRequest<'_> {
    test.get("/api/v1/me")
}

async fn forge(test: &TestApp, claimed: &Key) {
    let forged = Draft::native(test, claimed, "GET").sign(me(test), &test.new_key());
    forged.send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn accepted_and_refused_requests_are_counted_by_the_hour_and_by_the_day() {
    let acme = acme().await;
    let path = format!("{}/use", acme.bot_key());
    for _ in 0..3 {
        me(&acme.test).by(&acme.bot.key).send().await.expect(200);
    }
    acme.test.app.write_records().await.expect("the records are written");
    acme.test.advance(HOUR).await;
    me(&acme.test).by(&acme.bot.key).send().await.expect(200);
    forge(&acme.test, &acme.bot.key).await;
    let disable = format!("{}/disable", acme.bot_key());
    acme.test.post(&disable, &Value::Null).by(&acme.ada.key).send().await.expect(200);
    for _ in 0..2 {
        me(&acme.test).by(&acme.bot.key).send().await.expect_problem(401, "unauthenticated");
    }

    let refusals = json!([{"reason": "bad_signature", "count": 1}, {"reason": "key_disabled", "count": 2}]);
    let by_hour = acme.read(&format!("{path}?window=24h")).await;
    assert_eq!(by_hour["total"], json!({"accepted": 4, "refused": 3, "refusals": refusals}));
    let spans = by_hour["spans"].as_array().expect("a list");
    assert_eq!(spans.len(), 24);
    let now = json!({"accepted": 1, "refused": 3, "refusals": refusals});
    assert_eq!(spans[23], json!({"starts_at": "2026-01-02T04:00:00Z", "counts": now}));
    let before = json!({"accepted": 3, "refused": 0, "refusals": []});
    assert_eq!(spans[22], json!({"starts_at": "2026-01-02T03:00:00Z", "counts": before}));
    let empty = json!({"accepted": 0, "refused": 0, "refusals": []});
    assert!(spans[..22].iter().all(|span| span["counts"] == empty), "{spans:?}");

    let by_default = acme.read(&path).await;
    assert_eq!((&by_default["window"], by_default["spans"].as_array().unwrap().len()), (&json!("7d"), 7));
    let by_day = acme.read(&format!("{path}?window=90d")).await;
    assert_eq!(by_day["spans"].as_array().unwrap().len(), 90);
    assert_eq!(by_day["spans"][89], json!({"starts_at": "2026-01-02T00:00:00Z", "counts": by_hour["total"]}));
    let refused = acme.test.get(&format!("{path}?window=30d")).by(&acme.ada.key).send().await;
    let problem = refused.expect_problem(400, "invalid_request");
    assert!(problem.to_string().contains("24h"), "{problem}");
}

#[tokio::test]
async fn a_workspace_shows_the_use_of_its_service_accounts_and_a_user_their_own() {
    let acme = acme().await;
    let eve = acme.test.user("eve", false).await;
    let other = acme.test.workspace("other", &eve).await;
    let abroad = acme.test.service_account(&other, &eve, "bot").await;
    let spare = acme.test.new_key();
    let keys = format!("{}/service-accounts/{}/keys", acme.workspace, acme.bot.id);
    let body = json!({"title": "spare", "public_key": spare.openssh});
    let id = acme.test.post(&keys, &body).by(&acme.ada.key).send().await.expect(201)["id"].as_str().unwrap().to_owned();
    for (key, times) in [(&acme.bot.key, 1), (&spare, 2), (&abroad.key, 4)] {
        for _ in 0..times {
            me(&acme.test).by(key).send().await.expect(200);
        }
    }
    let shown = acme.read(&format!("{}/use?window=24h", acme.workspace)).await;
    assert_eq!((&shown["total"]["accepted"], &shown["keys_in_use"]), (&json!(3), &json!(2)), "{shown}");
    assert_eq!(shown["spans"][23]["counts"]["accepted"], 3);
    let most: Vec<(&str, &str, u64)> = shown["most_used"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|key| {
            let text = |name: &str| key[name].as_str().expect("a text");
            assert_eq!((text("owner"), text("owner_email")), (acme.bot.id.as_str(), "bot@acme.sa.keyward.local"));
            (text("id"), text("title"), key["counts"]["accepted"].as_u64().expect("a number"))
        })
        .collect();
    let first = shown["most_used"][1]["title"].as_str().expect("a title");
    assert_eq!(most, [(id.as_str(), "spare", 2), (acme.bot.key.id.as_str(), first, 1)]);

    let own = acme.test.get("/api/v1/me/use?window=24h").by(&abroad.key).send().await.expect(200);
    assert_eq!((&own["total"]["accepted"], &own["most_used"][0]["id"]), (&json!(4), &json!(abroad.key.id)), "{own}");
    let eves = acme.test.get(&format!("/api/v1/workspaces/{other}/use")).by(&eve.key).send().await.expect(200);
    assert_eq!(eves["total"]["accepted"], 4, "{eves}");
}

#[tokio::test]
async fn a_stranger_cannot_make_the_counters_grow() {
    let acme = acme().await;
    for _ in 0..50 {
        forge(&acme.test, &acme.test.new_key()).await;
        forge(&acme.test, &acme.bot.key).await;
    }
    acme.test.app.write_records().await.expect("the records are written");
    let store = acme.test.store().await;
    let mut connection = store.read().await.expect("a connection");
    let sql = "SELECT COUNT(*) AS n FROM use_counters WHERE bad_signature > 0";
    let rows = connection.fetch_one(sql, store::params![]).await.expect("a row").i64("n").expect("a number");
    assert_eq!(rows, 2, "an hour and a day of the only key that exists");
    let shown = acme.read(&format!("{}/use", acme.bot_key())).await;
    let refusals = json!([{"reason": "bad_signature", "count": 50}]);
    assert_eq!(shown["total"], json!({"accepted": 0, "refused": 50, "refusals": refusals}));
}

#[tokio::test]
async fn old_counters_are_deleted() {
    let acme = acme().await;
    me(&acme.test).by(&acme.bot.key).send().await.expect(200);
    acme.test.app.write_records().await.expect("the records are written");
    let key: ApiKeyId = acme.bot.key.id.parse().expect("key_");
    let store = acme.test.store().await;
    let count = async || {
        acme.test.app.forget_expired().await.expect("the store answers");
        let mut connection = store.read().await.expect("a connection");
        let sql = "SELECT COUNT(*) AS n FROM use_counters WHERE key_id = $1";
        connection.fetch_one(sql, store::params![key]).await.expect("a row").i64("n").expect("a number")
    };
    assert_eq!(count().await, 2);
    acme.test.advance(DAY * 2).await;
    assert_eq!(count().await, 1, "the day is kept");
    acme.test.advance(DAY * 87).await;
    assert_eq!(count().await, 1, "{}", acme.test.clock.now());
    acme.test.advance(DAY).await;
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn a_key_that_is_revoked_keeps_its_numbers_and_those_of_its_refusals() {
    let acme = acme().await;
    me(&acme.test).by(&acme.bot.key).send().await.expect(200);
    acme.test.delete(&acme.bot_key()).by(&acme.ada.key).send().await.expect(204);
    me(&acme.test).by(&acme.bot.key).send().await.expect_problem(401, "unauthenticated");
    forge(&acme.test, &acme.bot.key).await;
    let shown = acme.read(&format!("{}/use", acme.bot_key())).await;
    let refusals = json!([{"reason": "bad_signature", "count": 1}, {"reason": "key_revoked", "count": 1}]);
    assert_eq!(shown["total"], json!({"accepted": 1, "refused": 2, "refusals": refusals}));
}
