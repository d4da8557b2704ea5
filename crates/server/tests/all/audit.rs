//! The audit log, as the host and operators see it.

use http::StatusCode;
use server::app::{AuditFilter, Caller, Paging};

use crate::support::TestApp;

#[tokio::test]
async fn a_refusal_is_written_once_whoever_writes_the_journal_at_that_moment() {
    let test = TestApp::new().await;
    let ann = test.user("ann", true).await;
    let mut altered = test.get("/api/v1/me").by(&ann.key);
    altered.target = "/api/v1/workspaces".to_owned();
    assert_eq!(altered.send().await.status, StatusCode::UNAUTHORIZED);

    let (first, second) = tokio::join!(test.app.write_journal(), test.app.write_journal());
    first.and(second).expect("both succeed");
    let filter = AuditFilter { action: Some("request.refuse".to_owned()), ..Default::default() };
    let events = test.app.list_all_audit_events(&Caller::host(), &filter, &Paging::default()).await.expect("events");
    assert_eq!(events.items.len(), 1, "{events:?}");
    assert_eq!(events.items[0].detail["code"], "bad_signature");
}

#[tokio::test]
async fn a_checkpoint_verifies_and_what_is_none_is_refused() {
    let test = TestApp::new().await;
    test.user("ann", true).await;
    let host = Caller::host();
    let note = test.app.sign_checkpoint(&host).await.expect("a note");
    test.user("ben", false).await;
    assert!(test.app.verify_audit_log(&host, Some(&note)).await.expect("a report").is_intact());

    for bad in [note.trim_end(), ""] {
        let refused = test.app.verify_audit_log(&host, Some(bad)).await.expect_err("no note").to_problem();
        assert_eq!((refused.status, refused.errors[0].field.as_str()), (400, "checkpoint"));
    }
}
