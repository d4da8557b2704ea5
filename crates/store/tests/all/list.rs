//! Lists that people search, filter and sort: every order and every filter, in both directions, page by page.

use std::fmt::Debug;

use domain::{
    api_key::{ApiKey, KeyTimes},
    id::ProjectKind,
    invitation::Invitation,
    limits::Limits,
    list::{
        Choice, Cursor, InvitationFilter, InvitationOrder, KeyFilter, KeyOrder, MemberFilter, MemberOrder, Order,
        ProjectFilter, ProjectOrder, Search, UserFilter, UserOrder, WorkspaceFilter, WorkspaceOrder,
    },
    principal::Principal,
    project::Project,
    role::{ProjectRole, Role},
    service_account::ServiceAccount,
    user::User,
    workspace::Workspace,
};
use store::{
    Store,
    api_key::{Revocation, WorkspaceKey, WorkspaceKeys},
    invitation::Invitations,
    list::{List, Window, count, count_before, list},
    member::{MemberRow, Members},
    project::{ProjectRow, ProjectScope, Projects},
    user::Users,
    workspace::Workspaces,
};

use crate::support::{
    Backend, api_key, at, change, id, limited, on_every_engine, project_list_access, service_account, user, workspace,
    workspace_access,
};

on_every_engine! {
    members_are_listed_in_every_order_and_by_every_filter
    invitations_are_listed_in_every_order_and_by_every_filter
    projects_are_listed_in_every_order_and_by_every_filter
    users_are_listed_in_every_order_and_by_every_filter
    workspaces_are_listed_in_every_order_and_by_every_filter
    keys_of_a_workspace_are_listed_in_every_order_and_by_every_filter
    rows_with_equal_values_are_each_listed_once
    a_text_is_searched_for_literally
    a_count_is_bounded
}

/// Reads all pages in both directions, with a length that divides the rows unevenly, and compares them with one page of
/// everything. Returns the names of the rows.
async fn list_all<L: List>(
    store: &Store,
    of: &L,
    search: &Search<L::Order, L::Filter>,
    name: impl Fn(&L::Row) -> String,
) -> Vec<String>
where
    L::Id: PartialEq + Debug,
    L::Row: PartialEq + Debug,
{
    let mut connection = store.read().await.unwrap();
    let everything = Window { from: None, backward: false, limit: 1000 };
    let all = list(&mut connection, of, search, &everything).await.unwrap();
    for (backward, limit) in [(false, 2), (true, 2), (true, 3)] {
        let mut pages = Vec::new();
        let mut window = Window { from: None, backward, limit };
        loop {
            let rows = list(&mut connection, of, search, &window).await.unwrap();
            let edge = if backward { rows.first() } else { rows.last() };
            let Some(edge) = edge else { break };
            window.from = Some(edge.cursor.clone());
            let at = if backward { 0 } else { pages.len() };
            pages.splice(at..at, rows);
        }
        assert_eq!(pages, all, "backward: {backward}");
    }
    for (number, listed) in (0..).zip(&all) {
        assert_eq!(count_before(&mut connection, of, search, &listed.cursor).await.unwrap(), number);
        let written = listed.cursor.encode();
        assert_eq!(Cursor::parse(&written, search.order.sort_type()), Some(listed.cursor.clone()), "{written}");
    }
    let counted = count(&mut connection, of, &search.text, &[search.filter]).await.unwrap();
    assert_eq!(counted, [u64::try_from(all.len()).unwrap()]);
    all.iter().map(|listed| name(&listed.row)).collect()
}

/// Compares the rows in every order with the names in `orders`, and by every filter with those in `filters`, which are in
/// the order of their ids.
async fn assert_lists<L: List>(
    store: &Store,
    of: &L,
    name: impl Fn(&L::Row) -> String + Copy,
    orders: &[(L::Order, &str)],
    filters: &[(L::Filter, &str)],
) where
    L::Order: Debug,
    L::Filter: Debug,
    L::Id: PartialEq + Debug,
    L::Row: PartialEq + Debug,
{
    assert_eq!(orders.iter().map(|(order, _)| *order).collect::<Vec<_>>(), L::Order::ALL);
    assert_eq!(filters.iter().map(|(filter, _)| *filter).collect::<Vec<_>>(), L::Filter::ALL);
    for (order, expected) in orders {
        let search = Search { order: *order, ..Search::default() };
        let mut names = list_all(store, of, &search, name).await;
        assert_eq!(names.join(" "), *expected, "{order:?}");
        names.reverse();
        assert_eq!(list_all(store, of, &Search { descending: true, ..search }, name).await, names, "{order:?}");
    }
    for (filter, expected) in filters {
        let search = Search { filter: *filter, ..Search::default() };
        assert_eq!(list_all(store, of, &search, name).await.join(" "), *expected, "{filter:?}");
    }
    let counts = count(&mut store.read().await.unwrap(), of, "", L::Filter::ALL).await.unwrap();
    let expected: Vec<u64> =
        filters.iter().map(|(_, names)| u64::try_from(names.split_whitespace().count()).unwrap()).collect();
    assert_eq!(counts, expected);
}

/// Adds two workspaces and five users. Four are members of the first workspace, two of the second.
async fn furnish(store: &Store) {
    change(store, 1, async |change| {
        for number in [1, 2] {
            store::workspace::insert_workspace(change, &workspace(number)).await?;
        }
        let people = [(1, "dora", "a"), (2, "Carl", "e"), (3, "bea", "d"), (4, "Adam", "c"), (5, "Eve", "b")];
        for (number, name, email) in people {
            let person = User {
                name: name.to_owned(),
                email: format!("{email}@example.com").parse().unwrap(),
                email_verified_at: (number != 3).then(|| at(1)),
                operator: number == 5,
                disabled: number == 4,
                ..user(number)
            };
            store::user::insert_user(change, &person, None).await?;
        }
        for (place, member, role, joined) in [
            (1, 1, Role::Admin, 8),
            (1, 2, Role::Member, 7),
            (1, 3, Role::Admin, 9),
            (1, 4, Role::Member, 6),
            (2, 4, Role::Admin, 1),
            (2, 5, Role::Member, 1),
        ] {
            store::member::insert_member(change, id(place), id(member), role, at(joined)).await?;
        }
        Ok(())
    })
    .await;
}

async fn members_are_listed_in_every_order_and_by_every_filter(database: impl Backend) {
    let store = database.open().await;
    furnish(&store).await;
    assert_lists(
        &store,
        &Members(workspace_access(1)),
        |member: &MemberRow| member.name.clone(),
        &[
            (MemberOrder::Id, "dora Carl bea Adam"),
            (MemberOrder::Name, "Adam bea Carl dora"),
            (MemberOrder::Email, "dora Adam bea Carl"),
            (MemberOrder::Joined, "Adam Carl dora bea"),
        ],
        &[
            (MemberFilter::All, "dora Carl bea Adam"),
            (MemberFilter::Admin, "dora bea"),
            (MemberFilter::Member, "Carl Adam"),
            (MemberFilter::Disabled, "Adam"),
            (MemberFilter::Unverified, "bea"),
        ],
    )
    .await;
}

async fn invitations_are_listed_in_every_order_and_by_every_filter(database: impl Backend) {
    let store = database.open().await;
    furnish(&store).await;
    change(&store, 2, async |change| {
        for (number, email, expires, accepted, revoked, place) in [
            (1, "d", 50, None, None, 1),
            (2, "c", 20, None, None, 1),
            (3, "b", 40, Some(at(9)), None, 1),
            (4, "a", 30, None, Some(at(9)), 1),
            (5, "e", 30, None, None, 2),
        ] {
            let invitation = Invitation {
                id: id(number),
                workspace: id(place),
                email: format!("{email}@example.com").parse().unwrap(),
                role: Role::Member,
                accepted_at: accepted,
                revoked_at: revoked,
                expires_at: at(expires),
                created_by: user(1).id.to_string(),
                created_at: at(1),
                mailed_at: None,
            };
            store::invitation::insert_invitation(change, &invitation, email.as_bytes()).await?;
        }
        Ok(())
    })
    .await;
    assert_lists(
        &store,
        // The second one expires now.
        &Invitations(workspace_access(1), at(20)),
        |invitation: &Invitation| invitation.email.as_str()[..1].to_owned(),
        &[
            (InvitationOrder::Created, "d c b a"),
            (InvitationOrder::Email, "a b c d"),
            (InvitationOrder::Expires, "c a b d"),
        ],
        &[
            (InvitationFilter::All, "d c b a"),
            (InvitationFilter::Pending, "d"),
            (InvitationFilter::Expired, "c"),
            (InvitationFilter::Accepted, "b"),
            (InvitationFilter::Revoked, "a"),
        ],
    )
    .await;
}

async fn projects_are_listed_in_every_order_and_by_every_filter(database: impl Backend) {
    let store = database.open().await;
    furnish(&store).await;
    change(&store, 2, async |change| {
        for (number, title, updated, place) in
            [(1, "gamma", 7, 1), (2, "Beta", 9, 1), (3, "alpha", 8, 1), (4, "Other", 8, 2)]
        {
            let project = Project {
                id: id(number),
                workspace: id(place),
                title: title.to_owned(),
                description: String::new(),
                created_by: user(1).id.to_string(),
                created_at: at(1),
                updated_at: at(updated),
            };
            store::project::insert_project(change, &project).await?;
        }
        store::project::set_project_role(change, id(2), user(2).id.into(), ProjectRole::Viewer).await
    })
    .await;
    let scope = ProjectScope { access: project_list_access(1), all: true };
    let projects = Projects { scope, principal: Some(user(2).id.into()) };
    let name = |row: &ProjectRow| row.project.title.clone();
    assert_lists(
        &store,
        &projects,
        name,
        &[
            (ProjectOrder::Created, "gamma Beta alpha"),
            (ProjectOrder::Title, "alpha Beta gamma"),
            (ProjectOrder::Updated, "gamma alpha Beta"),
        ],
        &[
            (ProjectFilter::All, "gamma Beta alpha"),
            (ProjectFilter::Joined, "Beta"),
            (ProjectFilter::NotJoined, "gamma alpha"),
        ],
    )
    .await;
    let only = limited(user(2).id, &format!("projects={}", id::<ProjectKind>(3)));
    let scope = ProjectScope { access: only.authorize_project_list(id(1)).unwrap(), all: true };
    let only = Projects { scope, ..projects.clone() };
    assert_eq!(list_all(&store, &only, &Search::default(), name).await, ["alpha"]);
    let scope = ProjectScope { all: false, ..projects.scope.clone() };
    let own = Projects { scope, ..projects };
    assert_eq!(list_all(&store, &own, &Search::default(), name).await, ["Beta"]);
    let window = Window { from: None, backward: false, limit: 9 };
    let rows = list(&mut store.read().await.unwrap(), &own, &Search::default(), &window).await.unwrap();
    let row = &rows[0].row;
    assert_eq!((row.role, row.creator_email.as_deref()), (Some(ProjectRole::Viewer), Some("a@example.com")));
}

async fn users_are_listed_in_every_order_and_by_every_filter(database: impl Backend) {
    let store = database.open().await;
    furnish(&store).await;
    assert_lists(
        &store,
        &Users(Principal::host().authorize_operator().unwrap()),
        |user: &User| user.name.clone(),
        &[
            (UserOrder::Created, "dora Carl bea Adam Eve"),
            (UserOrder::Name, "Adam bea Carl dora Eve"),
            (UserOrder::Email, "dora Eve Adam bea Carl"),
        ],
        &[
            (UserFilter::All, "dora Carl bea Adam Eve"),
            (UserFilter::Active, "dora Carl bea Eve"),
            (UserFilter::Operator, "Eve"),
            (UserFilter::Disabled, "Adam"),
            (UserFilter::Suspended, ""),
            (UserFilter::Unverified, "bea"),
        ],
    )
    .await;
}

async fn workspaces_are_listed_in_every_order_and_by_every_filter(database: impl Backend) {
    let store = database.open().await;
    furnish(&store).await;
    change(&store, 2, async |change| {
        for (number, name) in [(3, "abacus"), (4, "Deleted")] {
            let sample = Workspace { name: name.to_owned(), ..workspace(number) };
            store::workspace::insert_workspace(change, &sample).await?;
        }
        store::workspace::delete_workspace(change, id(4), at(2)).await
    })
    .await;
    let name = |workspace: &Workspace| workspace.slug.to_string();
    let (one, two, three) = (workspace(1).slug, workspace(2).slug, workspace(3).slug);
    let by_id = format!("{one} {two} {three}");
    assert_lists(
        &store,
        &Workspaces::All(Principal::host().authorize_operator().unwrap()),
        name,
        &[
            (WorkspaceOrder::Created, &by_id),
            (WorkspaceOrder::Name, &format!("{three} {one} {two}")),
            (WorkspaceOrder::Slug, &by_id),
        ],
        // The only admin of the second one is disabled, and the third one has no member.
        &[(WorkspaceFilter::All, &by_id), (WorkspaceFilter::WithoutAdmin, &format!("{two} {three}"))],
    )
    .await;
    let search = Search::default();
    let of_member = Workspaces::Own(limited(user(5).id, "").authorize_own_workspaces().unwrap());
    assert_eq!(list_all(&store, &of_member, &search, name).await, [two.to_string()]);
    let account = limited(crate::support::service_account(1).id, "");
    let of_account = Workspaces::Own(account.authorize_own_workspaces().unwrap());
    assert!(list_all(&store, &of_account, &search, name).await.is_empty());
    change(&store, 3, async |change| {
        store::service_account::insert_service_account(change, &crate::support::service_account(1)).await
    })
    .await;
    assert_eq!(list_all(&store, &of_account, &search, name).await, [one.to_string()]);
}

async fn keys_of_a_workspace_are_listed_in_every_order_and_by_every_filter(database: impl Backend) {
    let store = database.open().await;
    furnish(&store).await;
    change(&store, 2, async |change| {
        let other = ServiceAccount { workspace: id(2), address: "bot-3@acme-2".to_owned(), ..service_account(3) };
        let disabled = ServiceAccount { disabled: true, ..service_account(2) };
        for account in [service_account(1), disabled, other] {
            store::service_account::insert_service_account(change, &account).await?;
        }
        let bot = service_account(1).id;
        let key = |number, title: &str| ApiKey { title: title.to_owned(), ..api_key(number, bot) };
        let used = |seconds| Some(at(seconds));
        for key in [
            ApiKey { last_used_at: used(90), ..key(1, "d") },
            ApiKey { expires_at: Some(at(150)), last_used_at: used(20), ..key(2, "C") },
            ApiKey { disabled: true, expires_at: Some(at(170)), last_used_at: used(80), ..key(3, "b") },
            ApiKey { expires_at: Some(at(200)), limits: "scopes=".parse::<Limits>().unwrap().into(), ..key(4, "A") },
            ApiKey { expires_at: Some(at(50)), ..key(5, "expired") },
            key(6, "revoked"),
            ApiKey { title: "e".to_owned(), created_at: at(60), ..api_key(7, service_account(2).id) },
            ApiKey { title: "foreign".to_owned(), ..api_key(8, service_account(3).id) },
            ApiKey { title: "own".to_owned(), ..api_key(9, user(1).id) },
        ] {
            store::api_key::insert_api_key(change, &key).await?;
        }
        store::api_key::revoke_api_key(change, &key(6, "revoked"), Revocation::Ordinary).await
    })
    .await;
    let times = KeyTimes { soon: at(180), unused_since: at(30), never_used_since: at(30) };
    let keys = WorkspaceKeys { access: workspace_access(1), now: at(100), times };
    let title = |listed: &WorkspaceKey| listed.key.title.clone();
    assert_lists(
        &store,
        &keys,
        title,
        &[
            (KeyOrder::Created, "d C b A e"),
            (KeyOrder::Title, "A b C d e"),
            (KeyOrder::LastUsed, "A e C b d"),
            (KeyOrder::Expires, "C b A d e"),
        ],
        &[
            (KeyFilter::InUse, "d C b A e"),
            (KeyFilter::Active, "d C A"),
            // A disabled key that expires needs no attention.
            (KeyFilter::Expiring, "C"),
            (KeyFilter::Unused, "C A"),
            (KeyFilter::NeverUsed, "A e"),
            (KeyFilter::Limited, "A"),
            (KeyFilter::Unlimited, "d C b e"),
            // The account of the last one is disabled.
            (KeyFilter::Disabled, "b e"),
            (KeyFilter::Ended, "expired revoked"),
            (KeyFilter::All, "d C b A expired revoked e"),
        ],
    )
    .await;
    let of_account = Search { text: "bot 2".to_owned(), ..Search::default() };
    assert_eq!(list_all(&store, &keys, &of_account, title).await, ["e"]);
}

async fn rows_with_equal_values_are_each_listed_once(database: impl Backend) {
    let store = database.open().await;
    change(&store, 1, async |change| {
        for number in 1..=7 {
            store::user::insert_user(change, &User { name: "Max".to_owned(), ..user(number) }, None).await?;
        }
        Ok(())
    })
    .await;
    let users = Users(Principal::host().authorize_operator().unwrap());
    let search = Search { order: UserOrder::Name, ..Search::default() };
    let names = list_all(&store, &users, &search, |user: &User| user.email.to_string()).await;
    assert_eq!(names, (1..=7).map(|number| user(number).email.to_string()).collect::<Vec<_>>());
}

async fn a_text_is_searched_for_literally(database: impl Backend) {
    let store = database.open().await;
    change(&store, 1, async |change| {
        for (number, name) in [(1, "100% Wool"), (2, "100 Wool"), (3, "a_b"), (4, "aXb"), (5, "c\\d"), (6, "O'Hara")] {
            store::user::insert_user(change, &User { name: name.to_owned(), ..user(number) }, None).await?;
        }
        Ok(())
    })
    .await;
    let users = Users(Principal::host().authorize_operator().unwrap());
    for (text, expected) in [
        ("100%", "100% Wool"),
        ("WOOL", "100% Wool, 100 Wool"),
        ("  wool ", "100% Wool, 100 Wool"),
        ("a_b", "a_b"),
        ("c\\d", "c\\d"),
        ("o'h", "O'Hara"),
        ("USER-3@", "a_b"),
        ("nobody", ""),
    ] {
        let search = Search { text: text.to_owned(), ..Search::default() };
        let names = list_all(&store, &users, &search, |user: &User| user.name.clone()).await;
        assert_eq!(names.join(", "), expected, "{text}");
    }
}

async fn a_count_is_bounded(database: impl Backend) {
    let store = database.open().await;
    furnish(&store).await;
    change(&store, 2, async |change| {
        change
            .execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050)
                 INSERT INTO projects (id, workspace_id, title, description, created_by, created_at, updated_at)
                 SELECT 'prj_'
                        || SUBSTR('00000000000000000000000000' || CAST(i AS TEXT),
                                  LENGTH(CAST(i AS TEXT)) + 1, 26),
                        $1, 'many', '', '', 0, 0 FROM n",
                store::params![id::<domain::id::WorkspaceKind>(1)],
            )
            .await?;
        Ok(())
    })
    .await;
    let scope = ProjectScope { access: project_list_access(1), all: true };
    let projects = Projects { scope, principal: None };
    let mut connection = store.read().await.unwrap();
    let counts = count(&mut connection, &projects, "man", ProjectFilter::ALL).await.unwrap();
    assert_eq!(counts, [10_001, 0, 10_001]);
    let last = Window { from: None, backward: true, limit: 1 };
    let last = list(&mut connection, &projects, &Search::default(), &last).await.unwrap().remove(0);
    assert_eq!(count_before(&mut connection, &projects, &Search::default(), &last.cursor).await.unwrap(), 10_001);
}
