//! Projects and the roles in them: what is written is read back.

use domain::{PrincipalId, id::ProjectKind, project::Project, role::ProjectRole};
use store::{
    Store, StoreError,
    project::{self, ProjectFilter, ProjectMemberRow, ProjectScope},
};

use crate::support::{
    Backend, add_workspaces_and_users, at, change, id, limited, on_every_engine, project_access, project_list_access,
    service_account, user, workspace, workspace_access,
};

on_every_engine! {
    an_update_writes_every_field
    each_filter_restricts_the_list
    one_list_covers_many_workspaces
    roles_are_granted_changed_and_removed
    the_only_enabled_admin_is_found
    deleting_a_project_deletes_its_roles
}

fn sample(number: u8) -> Project {
    Project {
        id: id(number.into()),
        workspace: id(1),
        title: format!("Project {number}"),
        description: String::new(),
        created_by: user(1).id.to_string(),
        created_at: at(number.into()),
        updated_at: at(number.into()),
    }
}

fn user_id(number: u8) -> PrincipalId {
    user(number).id.into()
}

async fn insert(store: &Store, number: u8, projects: &[Project]) {
    change(store, number, async |change| {
        for project in projects {
            project::insert_project(change, project).await?;
        }
        Ok(())
    })
    .await;
}

async fn grant(store: &Store, number: u8, grants: &[(u128, PrincipalId, ProjectRole)]) {
    change(store, number, async |change| {
        for &(project, principal, role) in grants {
            project::set_project_role(change, id(project), principal, role).await?;
        }
        Ok::<_, StoreError>(())
    })
    .await;
}

async fn an_update_writes_every_field(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let before = Project {
        id: id(1),
        workspace: id(1),
        title: "Images".to_owned(),
        description: "of cats".to_owned(),
        created_by: "host".to_owned(),
        created_at: at(1),
        updated_at: at(1),
    };
    insert(&store, 2, std::slice::from_ref(&before)).await;
    let read = async || project::find_project(&mut store.read().await.unwrap(), id(1), id(1)).await.unwrap();
    assert_eq!(read().await, Some(before.clone()));

    let after = Project {
        id: id(1),
        workspace: id(2),
        title: "Pictures".to_owned(),
        description: "of dogs".to_owned(),
        created_by: "usr_x".to_owned(),
        created_at: at(9),
        updated_at: at(8),
    };
    change(&store, 3, async |change| project::update_project(change, &after).await).await;
    let Project { workspace, created_by, created_at, .. } = before;
    let expected = Project { workspace, created_by, created_at, ..after };
    assert_eq!(read().await, Some(expected.clone()));
    let mut connection = store.read().await.unwrap();
    assert_eq!(project::find_project_anywhere(&mut connection, id(1)).await.unwrap(), Some(expected));
    assert_eq!(project::find_project(&mut connection, id(2), id(1)).await.unwrap(), None);
}

async fn each_filter_restricts_the_list(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let projects: Vec<_> = [(1, "Alpha", "one"), (2, "Beta 100%", "two"), (3, "alphabet", "one_two")]
        .map(|(number, title, description)| Project {
            title: title.to_owned(),
            description: description.to_owned(),
            updated_at: at(10 + i64::from(number)),
            ..sample(number)
        })
        .into();
    insert(&store, 2, &projects).await;
    insert(&store, 3, &[Project { workspace: id(2), ..sample(4) }]).await;
    grant(&store, 4, &[(1, user_id(2), ProjectRole::Editor)]).await;
    let here = [ProjectScope { access: project_list_access(1), all: true }];
    let own = here.clone().map(|scope| ProjectScope { all: false, ..scope });
    let all = ProjectFilter::of(&here, Some(user_id(2)), 9);
    let list = async |filter: ProjectFilter<'_>| {
        let rows = project::list_projects(&mut store.read().await.unwrap(), &filter).await.unwrap();
        rows.iter().map(|row| row.project.title.clone()).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(list(all.clone()).await, "Alpha, Beta 100%, alphabet");
    assert_eq!(list(ProjectFilter { scopes: &own, ..all.clone() }).await, "Alpha");
    assert_eq!(list(ProjectFilter { after: Some(id(1)), limit: 1, ..all.clone() }).await, "Beta 100%");
    assert_eq!(list(ProjectFilter { title: Some("Alpha"), ..all.clone() }).await, "Alpha");
    assert_eq!(list(ProjectFilter { title_like: Some("ALPHA%"), ..all.clone() }).await, "Alpha, alphabet");
    assert_eq!(list(ProjectFilter { title_like: Some("%100\\%"), ..all.clone() }).await, "Beta 100%");
    assert_eq!(list(ProjectFilter { description: Some("two"), ..all.clone() }).await, "Beta 100%");
    assert_eq!(list(ProjectFilter { description_like: Some("%_two"), ..all.clone() }).await, "alphabet");
    assert_eq!(list(ProjectFilter { created_before: Some(at(2)), ..all.clone() }).await, "Alpha");
    assert_eq!(list(ProjectFilter { created_after: Some(at(2)), ..all.clone() }).await, "alphabet");
    assert_eq!(list(ProjectFilter { updated_before: Some(at(12)), ..all.clone() }).await, "Alpha");
    assert_eq!(list(ProjectFilter { updated_after: Some(at(12)), ..all.clone() }).await, "alphabet");

    let limited_to = |projects: &str| {
        let principal = limited(user_id(2), &format!("projects={projects}"));
        [ProjectScope { access: principal.authorize_project_list(id(1)).unwrap(), all: true }]
    };
    let (first, third) = (id::<ProjectKind>(1), id::<ProjectKind>(3));
    let only = limited_to(&format!("{first},{third}"));
    assert_eq!(list(ProjectFilter { scopes: &only, ..all.clone() }).await, "Alpha, alphabet");
    assert_eq!(list(ProjectFilter { scopes: &limited_to(""), ..all.clone() }).await, "");

    let rows = project::list_projects(&mut store.read().await.unwrap(), &all).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.role).collect::<Vec<_>>(), [Some(ProjectRole::Editor), None, None]);
    assert_eq!(rows[0].project, projects[0]);
    assert_eq!(rows[0].creator_email.as_deref(), Some("user-1@example.com"));
    let ids = project::list_project_ids(&mut store.read().await.unwrap(), id(1)).await.unwrap();
    assert_eq!(ids, [id(1), id(2), id(3)]);
}

async fn one_list_covers_many_workspaces(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    // More workspaces than one statement supports, each with a project, whose ids have the reverse order.
    let count: u128 = 300;
    change(&store, 2, async |change| {
        for number in 1..=count {
            if number > 2 {
                let slug = format!("workspace-{number}").parse().unwrap();
                store::workspace::insert_workspace(
                    change,
                    &domain::workspace::Workspace { id: id(number), slug, ..workspace(3) },
                )
                .await?;
            }
            let title = format!("of {number}");
            let sample = Project { id: id(1000 - number), workspace: id(number), title, ..sample(1) };
            project::insert_project(change, &sample).await?;
        }
        Ok(())
    })
    .await;
    grant(&store, 3, &[(999, user_id(2), ProjectRole::Editor), (998, user_id(1), ProjectRole::Admin)]).await;
    let scope = |number, all| ProjectScope { access: project_list_access(number), all };
    let list = async |scopes: &[ProjectScope], after: Option<u128>, limit| {
        let filter = ProjectFilter { after: after.map(id), ..ProjectFilter::of(scopes, Some(user_id(2)), limit) };
        let rows = project::list_projects(&mut store.read().await.unwrap(), &filter).await.unwrap();
        rows.into_iter().map(|row| row.project.title).collect::<Vec<_>>()
    };
    // A role in a project only applies in its workspace, and all projects are listed only in workspaces with that
    // scope.
    assert_eq!(list(&[scope(1, false), scope(2, false)], None, 9).await, ["of 1"]);
    assert_eq!(list(&[scope(2, false), scope(3, true)], None, 9).await, ["of 3"]);
    assert_eq!(list(&[scope(3, true), scope(1, false), scope(2, true)], None, 9).await, ["of 3", "of 2", "of 1"]);
    assert_eq!(list(&[], None, 9).await, Vec::<String>::new());

    let every: Vec<_> = (1..=count).map(|number| scope(number, true)).collect();
    let titles = |numbers: std::ops::RangeInclusive<u128>| numbers.rev().map(|n| format!("of {n}")).collect::<Vec<_>>();
    assert_eq!(list(&every, None, 999).await, titles(1..=count));
    assert_eq!(list(&every, None, 3).await, titles(298..=300));
    assert_eq!(list(&every, Some(1000 - 298), 3).await, titles(295..=297));
}

async fn roles_are_granted_changed_and_removed(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    insert(&store, 2, &[sample(1), sample(2)]).await;
    change(&store, 3, async |change| store::service_account::insert_service_account(change, &service_account(1)).await)
        .await;
    let bot: PrincipalId = service_account(1).id.into();
    grant(&store, 4, &[(1, user_id(1), ProjectRole::Admin), (1, bot, ProjectRole::Viewer)]).await;
    grant(&store, 5, &[(1, bot, ProjectRole::Editor)]).await;
    let mut connection = store.read().await.unwrap();
    let members = project::list_project_members(&mut connection, project_access(1), None, 9).await.unwrap();
    let bot_row = ProjectMemberRow {
        id: bot,
        email: service_account(1).address,
        name: service_account(1).display_name,
        role: ProjectRole::Editor,
    };
    let user_row = ProjectMemberRow {
        id: user_id(1),
        email: "user-1@example.com".to_owned(),
        name: "User 1".to_owned(),
        role: ProjectRole::Admin,
    };
    assert_eq!(members, [bot_row.clone(), user_row.clone()]);
    let rest = project::list_project_members(&mut connection, project_access(1), Some(bot), 9).await.unwrap();
    assert_eq!(rest, [user_row]);
    assert_eq!(project::find_project_role(&mut connection, id(1), bot).await.unwrap(), Some(ProjectRole::Editor));
    let by_id = project::list_projects_by_id(&mut connection, &[id(2), id(1), id(9)], bot).await.unwrap();
    assert_eq!(by_id, [(sample(1), Some(ProjectRole::Editor)), (sample(2), None)]);
    assert_eq!(project::list_projects_by_id(&mut connection, &[], bot).await.unwrap(), []);
    let grants = project::find_project_grants(&mut connection, &[id(1)]).await.unwrap().pop().unwrap();
    assert_eq!((grants.id, grants.workspace), (id(1), id(1)));
    assert_eq!(grants.roles, [(bot, ProjectRole::Editor), (user_id(1), ProjectRole::Admin)]);
    let all = project::list_project_grants(&mut connection, None, None).await.unwrap();
    assert_eq!(all.iter().map(|grants| grants.roles.len()).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(all[0], grants);
    assert_eq!(project::list_project_grants(&mut connection, None, Some(all[0].id)).await.unwrap(), all[..1]);
    assert_eq!(project::list_project_grants(&mut connection, Some(all[0].id), None).await.unwrap(), all[1..]);
    assert_eq!(project::find_end_of_projects(&mut connection, None, 2).await.unwrap(), Some(all[1].id));
    assert_eq!(project::find_end_of_projects(&mut connection, Some(all[0].id), 2).await.unwrap(), None);
    drop(connection);
    change(&store, 6, async |change| project::delete_project_role(change, id(1), bot).await).await;
    let mut connection = store.read().await.unwrap();
    assert_eq!(project::find_project_role(&mut connection, id(1), bot).await.unwrap(), None);
    assert_eq!(project::list_projects_of(&mut connection, id(1), user_id(1)).await.unwrap(), [id(1)]);
}

async fn the_only_enabled_admin_is_found(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    insert(&store, 2, &[sample(1), sample(2), sample(3)]).await;
    grant(
        &store,
        3,
        &[
            (1, user_id(1), ProjectRole::Admin),
            (1, user_id(2), ProjectRole::Editor),
            (2, user_id(1), ProjectRole::Admin),
            (2, user_id(2), ProjectRole::Admin),
            (3, user_id(1), ProjectRole::Viewer),
        ],
    )
    .await;
    let led = async |users: &[PrincipalId]| {
        let mut connection = store.read().await.unwrap();
        let led = project::list_projects_led_only_by(&mut connection, workspace_access(1), users).await.unwrap();
        led.into_iter().map(|project| project.title).collect::<Vec<_>>()
    };
    assert_eq!(led(&[user_id(1)]).await, ["Project 1"]);
    assert!(led(&[user_id(2)]).await.is_empty());
    assert_eq!(led(&[user_id(1), user_id(2)]).await, ["Project 1", "Project 2"], "both of its admins");
    let beside = async |number| {
        let mut connection = store.read().await.unwrap();
        project::has_enabled_admin_beside(&mut connection, id(number), user_id(1)).await.unwrap()
    };
    assert!(!beside(1).await && beside(2).await);
    change(&store, 4, async |change| {
        store::user::update_user(change, &domain::user::User { disabled: true, ..user(2) }).await
    })
    .await;
    assert_eq!(led(&[user_id(1)]).await, ["Project 1", "Project 2"]);
    assert!(!beside(2).await);
}

async fn deleting_a_project_deletes_its_roles(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    insert(&store, 2, &[sample(1)]).await;
    grant(&store, 3, &[(1, user_id(1), ProjectRole::Admin)]).await;
    change(&store, 4, async |change| project::delete_project(change, id(1)).await).await;
    let mut connection = store.read().await.unwrap();
    assert_eq!(project::find_project_anywhere(&mut connection, id(1)).await.unwrap(), None);
    assert_eq!(project::find_project_role(&mut connection, id(1), user_id(1)).await.unwrap(), None);
    assert_eq!(project::find_project_grants(&mut connection, &[id(1)]).await.unwrap(), []);
}
