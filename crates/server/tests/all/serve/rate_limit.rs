//! Rate limits of a client, through a proxy and directly.

use std::time::Duration;

use server::{Settings, settings::RateLimits};

use crate::{
    proxies::forward_auth::{ask, trust_local_proxies},
    support::{Answer, TestApp},
};

fn limits(per_address: u32, per_key: u32) -> impl FnOnce(&mut Settings) {
    move |settings| {
        trust_local_proxies(settings);
        settings.rate_limits = RateLimits { per_address, per_key };
    }
}

#[track_caller]
fn expect_limited(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "rate_limited"));
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_rate_limited_key_gets_retry_after() {
    let test = TestApp::with_settings(limits(0, 2)).await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let bot = test.service_account(&ws, &admin, "ci-runner").await;
    for dialect in ["caddy", "envoy", "nginx", "traefik"].iter().cycle().take(20) {
        assert_eq!(ask(&test, dialect, &test.get("/x").by(&bot.key)).send().await.status.as_u16(), 200);
    }
    let again = test.get("/x").by(&bot.key);
    expect_limited(&ask(&test, "caddy", &again).send().await);
    let told = ask(&test, "nginx", &again).send().await;
    assert_eq!((told.status.as_u16(), told.header("keyward-status"), told.header("retry-after")), (403, "429", "1"));
    expect_limited(&test.get("/api/v1/me").by(&bot.key).send().await);
    // A client without the key cannot use up its limit, and no other client is affected.
    test.get("/api/v1/me").by(&admin.key).send().await.expect(200);
    test.advance(Duration::from_secs(1)).await;
    ask(&test, "caddy", &test.get("/x").by(&bot.key)).send().await.expect(200);
}

#[tokio::test]
async fn an_address_is_rate_limited_before_verification() {
    let test = TestApp::with_settings(limits(1, 0)).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let guess =
        |address: &str| ask(&test, "caddy", &test.get("/x").by(&test.new_key())).header("x-forwarded-for", address);
    for _ in 0..10 {
        guess("192.0.2.1").send().await.expect(401);
    }
    expect_limited(&guess("192.0.2.1").send().await);
    // The client wrote these before the address that the proxy added.
    expect_limited(&guess("198.51.100.7, 192.0.2.1").send().await);
    guess("192.0.2.2").send().await.expect(401);
    // If the proxy passes no address, its own address counts.
    let without_address = || {
        let mut question = guess("192.0.2.1");
        question.headers.remove("x-forwarded-for");
        question
    };
    for _ in 0..10 {
        without_address().send().await.expect(401);
    }
    expect_limited(&without_address().send().await);
}

#[tokio::test]
async fn the_api_rate_limits_client_addresses_behind_a_proxy() {
    let test = TestApp::with_settings(limits(1, 0)).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let from = |address: &str| {
        let mut request = test.get("/api/v1/me").by(&admin.key);
        request.address = address.parse().unwrap();
        request
    };
    for _ in 0..10 {
        from("192.0.2.1").send().await.expect(200);
    }
    expect_limited(&from("192.0.2.1").send().await);
    // A trusted proxy reports the client's IP address. A request without one counts for the proxy itself.
    let by_proxy = |address: &str| from("127.0.0.1").header("x-forwarded-for", address);
    expect_limited(&by_proxy("192.0.2.1").send().await);
    for _ in 0..10 {
        by_proxy("192.0.2.2").send().await.expect(200);
    }
    expect_limited(&by_proxy("192.0.2.2").send().await);
    from("127.0.0.1").send().await.expect(200);
    // Other senders are not trusted.
    expect_limited(&from("192.0.2.1").header("x-forwarded-for", "192.0.2.3").send().await);
}
