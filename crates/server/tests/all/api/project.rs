//! Projects: visibility, changes, and their admins.

use domain::ProjectId;
use serde_json::json;

use crate::support::{Actor, TestApp};

struct Acme {
    test: TestApp,
    ada: Actor,
    max: Actor,
    mia: Actor,
    ws: String,
    /// A project whose admin is Max.
    project: String,
}

async fn acme() -> Acme {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let max = test.member(&ws, &ada, "max", "member").await;
    let mia = test.member(&ws, &ada, "mia", "member").await;
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let made = test.post(&projects, &json!({"title": "Maps"})).by(&max.key).send().await.expect(201);
    let project = format!("{projects}/{}", made["id"].as_str().unwrap());
    Acme { test, ada, max, mia, ws, project }
}

impl Acme {
    async fn set(&self, by: &Actor, member: &Actor, role: &str) -> crate::support::Answer {
        let path = format!("{}/members/{}", self.project, member.id);
        self.test.put(&path, &json!({"role": role})).by(&by.key).send().await
    }
}

#[tokio::test]
async fn a_member_sees_what_they_created_or_were_invited_to() {
    let acme = acme().await;
    let Acme { test, mia, max, project, ws, .. } = &acme;
    let listed = async || {
        let page = test.get(&format!("/api/v1/workspaces/{ws}/projects")).by(&mia.key).send().await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    test.get(project).by(&mia.key).send().await.expect_problem(404, "not_found");
    assert_eq!(listed().await, 0);
    acme.set(max, mia, "viewer").await.expect(200);
    assert_eq!(test.get(project).by(&mia.key).send().await.expect(200)["role"], "viewer");
    assert_eq!(listed().await, 1);
    let edit = async || test.patch(project, &json!({"title": "Charts"})).by(&mia.key).send().await;
    edit().await.expect_problem(403, "forbidden");
    acme.set(max, mia, "editor").await.expect(200);
    edit().await.expect(200);
    test.delete(project).by(&mia.key).send().await.expect_problem(403, "forbidden");
    acme.set(mia, mia, "admin").await.expect_problem(403, "forbidden");
    let members = format!("{project}/members/{}", mia.id);
    test.delete(&members).by(&mia.key).send().await.expect(204);
    test.get(project).by(&mia.key).send().await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_workspace_admin_sees_a_project_and_changes_it_after_joining() {
    let acme = acme().await;
    let Acme { test, ada, mia, project, .. } = &acme;
    assert_eq!(test.get(project).by(&ada.key).send().await.expect(200)["role"], json!(null));
    let edit = async || test.patch(project, &json!({"title": "Charts"})).by(&ada.key).send().await;
    edit().await.expect_problem(403, "forbidden");
    acme.set(ada, mia, "viewer").await.expect_problem(403, "forbidden");
    acme.set(ada, ada, "admin").await.expect(200);
    edit().await.expect(200);
    acme.set(ada, mia, "viewer").await.expect(200);
}

#[tokio::test]
async fn a_projects_only_admin_leaves_only_with_a_successor() {
    let acme = acme().await;
    let Acme { test, max, mia, project, .. } = &acme;
    let stranger = test.user("eve", false).await;
    acme.set(max, max, "viewer").await.expect_problem(409, "successor_required");
    let path = format!("{project}/members/{}", max.id);
    test.delete(&path).by(&max.key).send().await.expect_problem(409, "successor_required");
    for invalid in [&stranger.id, &max.id] {
        let target = format!("{path}?successor={invalid}");
        test.delete(&target).by(&max.key).send().await.expect_problem(400, "invalid_request");
    }
    let target = format!("{path}?successor={}", mia.id);
    test.put(&target, &json!({"role": "viewer"})).by(&max.key).send().await.expect(200);
    assert_eq!(test.get(project).by(&max.key).send().await.expect(200)["role"], "viewer");
    assert_eq!(test.get(project).by(&mia.key).send().await.expect(200)["role"], "admin");
}

#[tokio::test]
async fn only_members_of_the_workspace_get_a_project_role() {
    let acme = acme().await;
    let Acme { test, ada, max, ws, .. } = &acme;
    let eve = test.user("eve", false).await;
    test.workspace("evil", &eve).await;
    acme.set(max, &eve, "viewer").await.expect_problem(404, "not_found");
    let bot = test.service_account(ws, ada, "bot").await;
    assert_eq!(acme.set(max, &bot, "editor").await.expect(200)["kind"], "service_account");
}

#[tokio::test]
async fn a_project_is_found_by_its_uuid_and_shows_when_it_changed() {
    let acme = acme().await;
    let Acme { test, max, project, .. } = &acme;
    let (before, id) = project.rsplit_once('/').unwrap();
    let path = format!("{before}/{}", id.parse::<ProjectId>().unwrap().uuid());
    let made = test.get(&path).by(&max.key).send().await.expect(200);
    assert_eq!(made["id"], id);
    test.advance(std::time::Duration::from_mins(1)).await;
    let changed = test.patch(&path, &json!({"description": "of the sea"})).by(&max.key).send().await.expect(200);
    assert_eq!(changed["created_at"], made["created_at"]);
    assert_ne!(changed["updated_at"], made["updated_at"]);
}
