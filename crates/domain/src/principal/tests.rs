//! What roles and credentials permit.

use super::*;
use crate::ServiceAccountId;

fn workspace(text: &str) -> WorkspaceId {
    text.parse().unwrap()
}

fn here() -> WorkspaceId {
    workspace("ws_01h455vb4pex5vsknk084sn02q")
}

fn elsewhere() -> WorkspaceId {
    workspace("ws_01h455vb4pex5vsknk084sn02r")
}

fn project() -> ProjectId {
    "prj_01h455vb4pex5vsknk084sn02q".parse().unwrap()
}

fn user() -> UserId {
    "usr_01h455vb4pex5vsknk084sn02q".parse().unwrap()
}

fn account() -> ServiceAccountId {
    "sa_01h455vb4pex5vsknk084sn02q".parse().unwrap()
}

fn signature() -> Credential {
    Credential::Signature("key_01h455vb4pex5vsknk084sn02q".parse().unwrap())
}

fn bearer() -> Credential {
    Credential::BearerToken("key_01h455vb4pex5vsknk084sn02q".parse().unwrap())
}

fn principal(id: impl Into<PrincipalId>, role: Option<Role>, operator: bool, credential: Credential) -> Principal {
    let membership = |role| Membership { workspace: here(), slug: Arc::from("acme"), name: Arc::from("Acme"), role };
    let identity = Identity {
        id: id.into(),
        email: "ada@example.com".into(),
        email_verified: false,
        name: "Ada".into(),
        operator,
        disabled: false,
        suspended: false,
        memberships: role.map(membership).into_iter().collect(),
    };
    let credential = match credential {
        Credential::Signature(key) => KeyCredential::Signature(key),
        Credential::BearerToken(key) => KeyCredential::BearerToken(key),
        Credential::Session(..) | Credential::Host => panic!("these have no key"),
    };
    Principal::of_key(&Arc::new(identity), credential, &KeyLimits::none(), PolicyReach::everything())
}

fn status(result: Result<(), Denied>) -> u16 {
    match result {
        Ok(()) => 200,
        Err(Denied::NotFound) => 404,
        Err(_) => 403,
    }
}

#[test]
#[rustfmt::skip]
fn roles_in_a_workspace_become_permissions() {
    use WorkspacePermission as P;
    let who = [
        principal(user(), Some(Role::Member), false, signature()),
        principal(user(), Some(Role::Admin), false, signature()),
        principal(user(), Some(Role::Admin), false, bearer()),
        principal(account(), Some(Role::Member), false, signature()),
        principal(account(), Some(Role::Admin), false, signature()),
        principal(user(), None, true, signature()),
        Principal::host(),
    ];
    for (permission, expected) in [
        //                             member admin bearer account admin-account operator host
        (P::View,                     [200,   200,  200,   200,    200,          404,     200]),
        (P::Update,                   [403,   200,  200,   403,    200,          404,     200]),
        (P::Delete,                   [403,   200,  403,   403,    200,          404,     200]),
        (P::ViewMembers,              [200,   200,  200,   200,    200,          404,     200]),
        (P::ManageMembers,            [403,   200,  403,   403,    200,          404,     200]),
        (P::ViewInvitations,          [403,   200,  200,   403,    200,          404,     200]),
        (P::ManageInvitations,        [403,   200,  403,   403,    200,          404,     200]),
        (P::ViewServiceAccounts,      [403,   200,  200,   403,    200,          404,     200]),
        (P::ManageServiceAccounts,    [403,   200,  200,   403,    200,          404,     200]),
        (P::DisableServiceAccounts,   [403,   200,  403,   403,    200,          404,     200]),
        (P::GrantServiceAccountRole,  [403,   200,  403,   403,    200,          404,     200]),
        (P::ManageServiceAccountKeys, [403,   200,  403,   403,    200,          404,     200]),
        (P::CreateProject,            [200,   200,  200,   200,    200,          404,     200]),
        (P::ViewAuditEvents,          [403,   200,  200,   403,    200,          404,     200]),
    ] {
        let got = who.each_ref().map(|who| status(who.authorize(permission, here()).map(|_| ())));
        assert_eq!(got, expected, "{permission:?}");
        let abroad = who[..6].iter().all(|who| who.authorize(permission, elsewhere()) == Err(Denied::NotFound));
        assert!(abroad, "{permission:?} in a workspace that they are not in");
    }
}

#[test]
#[rustfmt::skip]
fn roles_in_a_project_become_permissions_and_an_admin_of_the_workspace_only_sees_it() {
    use ProjectPermission as P;
    let member = principal(user(), Some(Role::Member), false, signature());
    let admin = principal(user(), Some(Role::Admin), false, signature());
    let (viewer, editor, lead) = (Some(ProjectRole::Viewer), Some(ProjectRole::Editor), Some(ProjectRole::Admin));
    for (permission, expected) in [
        //                  nobody viewer editor lead  workspace admin: not in it, viewer, lead
        (P::View,          [404,   200,   200,   200,  200,                        200,    200]),
        (P::Edit,          [404,   403,   200,   200,  403,                        403,    200]),
        (P::Delete,        [404,   403,   403,   200,  403,                        403,    200]),
        (P::ManageMembers, [404,   403,   403,   200,  403,                        403,    200]),
    ] {
        let cases = [
            (&member, None), (&member, viewer), (&member, editor), (&member, lead),
            (&admin, None), (&admin, viewer), (&admin, lead),
        ];
        let got = cases.map(|(who, role)| {
            let access = who.authorize_project(permission, here(), project(), role);
            assert!(access.is_err() || access.is_ok_and(|access| access.project() == project()));
            status(access.map(|_| ()))
        });
        assert_eq!(got, expected, "{permission:?}");
        // A role in a project has no effect without a membership in its workspace.
        assert_eq!(member.authorize_project(permission, elsewhere(), project(), lead), Err(Denied::NotFound));
    }
    let bearer = principal(user(), Some(Role::Admin), false, bearer());
    assert_eq!(bearer.authorize_project(P::ManageMembers, here(), project(), lead), Err(Denied::BearerToken));
    assert!(bearer.authorize_project(P::Delete, here(), project(), lead).is_ok());
}

#[test]
fn a_service_account_cannot_change_itself_or_grant_admin() {
    let itself = principal(account(), Some(Role::Admin), false, signature());
    let other: ServiceAccountId = "sa_01h455vb4pex5vsknk084sn02r".parse().unwrap();
    assert_eq!(itself.require_another(account().into()), Err(Denied::ServiceAccount));
    assert_eq!(itself.require_another(other.into()), Ok(()));
    assert_eq!(itself.authorize_grant(Role::Member), Ok(()));
    assert_eq!(itself.authorize_grant(Role::Admin), Err(Denied::ServiceAccountGrantsAdmin));
    assert_eq!(itself.authorize_project_grant(ProjectRole::Editor), Ok(()));
    assert_eq!(itself.authorize_project_grant(ProjectRole::Admin), Err(Denied::ServiceAccountGrantsAdmin));

    let person = principal(user(), Some(Role::Admin), false, signature());
    assert_eq!(person.require_another(user().into()), Ok(()));
    assert_eq!(person.authorize_grant(Role::Admin), Ok(()));
    assert_eq!(person.authorize_project_grant(ProjectRole::Admin), Ok(()));
    let token = principal(user(), Some(Role::Admin), false, bearer());
    assert_eq!(token.authorize_grant(Role::Member), Err(Denied::BearerToken));
    assert_eq!(token.authorize_project_grant(ProjectRole::Viewer), Err(Denied::BearerToken));
}

#[test]
fn operators_manage_workspaces_and_outsiders_get_not_found() {
    let operator = principal(user(), None, true, signature());
    let admin = principal(user(), Some(Role::Admin), false, signature());
    assert_eq!(operator.authorize_operator(), Ok(OperatorAccess(())));
    assert_eq!(operator.authorize_operator_of(elsewhere()), Ok(OperatorAccess(())));
    assert_eq!(Principal::host().authorize_operator_of(here()), Ok(OperatorAccess(())));
    assert_eq!(Principal::host().authorize_host(), Ok(HostAccess(())));
    assert_eq!(operator.authorize_host(), Err(Denied::NotFound));
    assert_eq!(status(admin.authorize_operator().map(|_| ())), 403);
    assert_eq!(status(admin.authorize_operator_of(here()).map(|_| ())), 403);
    assert_eq!(status(admin.authorize_operator_of(elsewhere()).map(|_| ())), 404);
    assert_eq!(principal(user(), None, true, bearer()).authorize_operator(), Err(Denied::BearerToken));
}

#[test]
fn only_users_who_signed_manage_their_own_keys() {
    let member = Some(Role::Member);
    assert_eq!(principal(user(), member, false, signature()).authorize_own_keys(), Ok(user()));
    assert_eq!(principal(user(), member, false, bearer()).authorize_own_keys(), Err(Denied::BearerToken));
    let account = principal(account(), Some(Role::Admin), false, signature());
    assert_eq!(account.authorize_own_keys(), Err(Denied::ServiceAccount));
    assert!(Principal::host().authorize_own_keys().is_err());
}

#[test]
fn only_the_key_that_signed_a_request_rotates_itself() {
    let member = Some(Role::Member);
    let key: ApiKeyId = "key_01h455vb4pex5vsknk084sn02q".parse().unwrap();
    let other: ApiKeyId = "key_01h455vb4pex5vsknk084sn02r".parse().unwrap();
    let bot = principal(account(), member, false, signature());
    let allowed = bot.authorize_self_rotation(key).unwrap();
    assert_eq!(allowed.owner(), account().into());
    assert_eq!(allowed.workspace().map(WorkspaceAccess::workspace), Some(here()));
    assert_eq!(bot.authorize_self_rotation(other), Err(Denied::ServiceAccount));
    let token = principal(account(), member, false, bearer());
    assert_eq!(token.authorize_self_rotation(key), Err(Denied::BearerToken));

    let person = principal(user(), member, false, signature());
    let allowed = person.authorize_self_rotation(key).unwrap();
    assert_eq!((allowed.owner(), allowed.workspace()), (user().into(), None));
    assert_eq!(person.authorize_self_rotation(other), Err(Denied::NotFound));
    let identity = Arc::clone(person.identity().unwrap());
    let session = Principal::of_session(identity, SessionId::from_uuid(uuid::Uuid::nil()), Timestamp::UNIX_EPOCH);
    assert_eq!(session.authorize_self_rotation(key), Err(Denied::NotFound));
    assert_eq!(Principal::host().authorize_self_rotation(key), Err(Denied::NotFound));
}

#[test]
fn users_who_are_disabled_or_in_no_workspace_are_refused_except_operators() {
    let refusal = |role, operator, disabled| {
        let principal = principal(user(), role, operator, signature());
        let mut identity = Identity::clone(principal.identity().unwrap());
        identity.disabled = disabled;
        identity.refusal()
    };
    assert_eq!(refusal(Some(Role::Member), false, false), None);
    assert_eq!(refusal(None, false, false), Some(IdentityRefusal::NoWorkspace));
    assert_eq!(refusal(None, true, false), None);
    assert_eq!(refusal(Some(Role::Admin), true, true), Some(IdentityRefusal::Disabled));
}

#[test]
fn suspended_users_are_refused_including_operators_and_admins() {
    for (role, operator) in [(Some(Role::Admin), true), (Some(Role::Member), false), (None, false)] {
        let principal = principal(user(), role, operator, signature());
        let mut identity = Identity::clone(principal.identity().unwrap());
        identity.suspended = true;
        assert_eq!(identity.refusal(), Some(IdentityRefusal::Suspended));
        identity.disabled = true;
        assert_eq!(identity.refusal(), Some(IdentityRefusal::Disabled), "to confirm them would not help");
    }
}
