//! Principals and their permissions. Only this module maps roles to permissions.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    ApiKeyId, PrincipalId, ProjectId, SessionId, UserId, WorkspaceId,
    audit::AuditPrincipal,
    role::{ProjectRole, RequiredRole, Role},
    session::PASSWORD_LIFETIME,
};

/// A membership in a workspace that is not deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its slug.
    pub slug: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The role in the workspace.
    pub role: Role,
}

/// A user or a service account, with the data for request verification.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own, and all combinations exist")]
pub struct Identity {
    /// Its id.
    pub id: PrincipalId,
    /// A user's email, or a service account's address.
    pub email: String,
    /// Whether the user followed a link that was mailed to this email. Always false for a service account.
    pub email_verified: bool,
    /// Its name.
    pub name: String,
    /// Whether the user is an operator.
    pub operator: bool,
    /// Whether it is disabled, so that every credential is refused.
    pub disabled: bool,
    /// Whether a user is suspended since a restore, so that every credential is refused until an operator at the host
    /// confirms the user.
    pub suspended: bool,
    /// Its workspaces. A service account has exactly one, or none after its workspace was deleted.
    pub memberships: Vec<Membership>,
}

/// Why an identity's credentials are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdentityRefusal {
    /// It is disabled.
    Disabled,
    /// It was restored from a backup and is not confirmed yet.
    Suspended,
    /// It is a member of no workspace. Operators are accepted without one, because they create the first workspace.
    NoWorkspace,
}

impl Identity {
    /// Returns why every credential of it is refused, if that is the case.
    #[must_use]
    pub fn refusal(&self) -> Option<IdentityRefusal> {
        if self.disabled {
            Some(IdentityRefusal::Disabled)
        } else if self.suspended {
            Some(IdentityRefusal::Suspended)
        } else if self.memberships.is_empty() && !self.operator {
            Some(IdentityRefusal::NoWorkspace)
        } else {
            None
        }
    }
}

/// How a principal was authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credential {
    /// By a request signed with this key.
    Signature(ApiKeyId),
    /// By a short-lived token that was issued for this key.
    BearerToken(ApiKeyId),
    /// By a session on the web pages. The time is when the password was last entered in it.
    Session(SessionId, Timestamp),
    /// By a shell on the machine with the data.
    Host,
}

impl Credential {
    /// Returns the key of the credential.
    #[must_use]
    pub const fn key(&self) -> Option<ApiKeyId> {
        match self {
            Self::Signature(key) | Self::BearerToken(key) => Some(*key),
            Self::Session(..) | Self::Host => None,
        }
    }
}

/// An authenticated principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    identity: Option<Arc<Identity>>,
    credential: Credential,
}

/// Why an operation is not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// The principal may not know that the object exists.
    #[error("it does not exist, or you do not have access to it")]
    NotFound,
    /// The role is not sufficient.
    #[error("you must have the role {0}")]
    Role(RequiredRole),
    /// A bearer token was used for an operation that needs a signature.
    #[error(
        "a bearer token cannot change a key, role, membership, invitation or enabled state; sign this request with \
         the key itself"
    )]
    BearerToken,
    /// A session was used for an operation that needs a key.
    #[error("this needs a key; sign the request with one")]
    Session,
    /// A session was used to add keys or admins, and its password was not entered recently.
    #[error("you entered your password more than 15 minutes ago; enter it again to continue")]
    PasswordNeeded,
    /// A service account tried to change itself or its own keys.
    #[error("a service account cannot change itself or its own keys; ask an admin of its workspace")]
    ServiceAccount,
    /// A service account tried to grant the role `admin`.
    #[error("a service account cannot give the role admin; ask a user who has it")]
    ServiceAccountGrantsAdmin,
}

impl Denied {
    /// Returns the missing role, if a role is missing.
    #[must_use]
    pub const fn required_role(self) -> Option<RequiredRole> {
        match self {
            Self::Role(role) => Some(role),
            Self::NotFound
            | Self::BearerToken
            | Self::Session
            | Self::PasswordNeeded
            | Self::ServiceAccount
            | Self::ServiceAccountGrantsAdmin => None,
        }
    }
}

/// Proof that a principal has a permission in a workspace. Functions that read or change a workspace require it. Only
/// [`Principal::authorize`] and [`Principal::authorize_project`] create it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkspaceAccess {
    workspace: WorkspaceId,
}

impl WorkspaceAccess {
    /// Returns the workspace.
    #[must_use]
    pub const fn workspace(self) -> WorkspaceId {
        self.workspace
    }
}

/// Proof that a principal has a permission in a project. Only [`Principal::authorize_project`] creates it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProjectAccess {
    workspace: WorkspaceAccess,
    project: ProjectId,
}

impl ProjectAccess {
    /// Returns the workspace of the project.
    #[must_use]
    pub const fn workspace(self) -> WorkspaceAccess {
        self.workspace
    }

    /// Returns the project.
    #[must_use]
    pub const fn project(self) -> ProjectId {
        self.project
    }
}

/// Proof that a principal is an operator. Only [`Principal::authorize_operator`] creates it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperatorAccess(());

/// Proof that keys are those of the principal itself. Only [`Principal::authorize_own`] creates it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnAccess {
    owner: PrincipalId,
}

impl OwnAccess {
    /// Returns the principal.
    #[must_use]
    pub const fn owner(self) -> PrincipalId {
        self.owner
    }
}

/// Proof of a command on the host. Only [`Principal::authorize_host`] creates it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostAccess(());

/// A permission in a workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkspacePermission {
    /// View its name and the principal's own role.
    View,
    /// Rename it.
    Update,
    /// Delete it and all its content.
    Delete,
    /// View its members.
    ViewMembers,
    /// Change roles and remove members.
    ManageMembers,
    /// View invitations.
    ViewInvitations,
    /// Send and revoke invitations.
    ManageInvitations,
    /// View its service accounts and their keys.
    ViewServiceAccounts,
    /// Create, describe and rename service accounts.
    ManageServiceAccounts,
    /// Disable and enable service accounts.
    DisableServiceAccounts,
    /// Change the role of service accounts.
    GrantServiceAccountRole,
    /// Register, disable and revoke keys of service accounts.
    ManageServiceAccountKeys,
    /// Create a project.
    CreateProject,
    /// Read the audit log.
    ViewAuditEvents,
}

impl WorkspacePermission {
    const fn needs(self) -> Role {
        match self {
            Self::View | Self::ViewMembers | Self::CreateProject => Role::Member,
            Self::Update
            | Self::Delete
            | Self::ManageMembers
            | Self::ViewInvitations
            | Self::ManageInvitations
            | Self::ViewServiceAccounts
            | Self::ManageServiceAccounts
            | Self::DisableServiceAccounts
            | Self::GrantServiceAccountRole
            | Self::ManageServiceAccountKeys
            | Self::ViewAuditEvents => Role::Admin,
        }
    }

    /// Returns whether it changes keys, roles, memberships, invitations or an enabled state. Bearer tokens do not allow
    /// this.
    const fn needs_signature(self) -> bool {
        matches!(
            self,
            Self::ManageMembers
                | Self::ManageInvitations
                | Self::DisableServiceAccounts
                | Self::GrantServiceAccountRole
                | Self::ManageServiceAccountKeys
                | Self::Delete
        )
    }
}

/// A permission in a project.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProjectPermission {
    /// View it and its members.
    View,
    /// Change its title and description.
    Edit,
    /// Delete it.
    Delete,
    /// Invite and remove members, and change their roles.
    ManageMembers,
}

impl ProjectPermission {
    const fn needs(self) -> ProjectRole {
        match self {
            Self::View => ProjectRole::Viewer,
            Self::Edit => ProjectRole::Editor,
            Self::Delete | Self::ManageMembers => ProjectRole::Admin,
        }
    }
}

impl Principal {
    /// Creates the principal of a user or service account that was authenticated by `credential`.
    #[must_use]
    pub const fn new(identity: Arc<Identity>, credential: Credential) -> Self {
        Self { identity: Some(identity), credential }
    }

    /// Creates the principal of a shell on the machine with the data, which could also edit the database file.
    #[must_use]
    pub const fn host() -> Self {
        Self { identity: None, credential: Credential::Host }
    }

    /// Returns the identity, or `None` on the host.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Returns the credential.
    #[must_use]
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns the id, if there is one.
    #[must_use]
    pub fn id(&self) -> Option<PrincipalId> {
        self.identity.as_ref().map(|identity| identity.id)
    }

    /// Returns the name in the audit log.
    #[must_use]
    pub fn audit_principal(&self) -> AuditPrincipal {
        match self.id() {
            Some(PrincipalId::User(id)) => AuditPrincipal::User(id),
            Some(PrincipalId::ServiceAccount(id)) => AuditPrincipal::ServiceAccount(id),
            None => AuditPrincipal::Host,
        }
    }

    /// Returns whether the principal is an operator.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.identity.as_ref().is_none_or(|identity| identity.operator)
    }

    /// Returns the role in a workspace, if the principal is a member.
    #[must_use]
    pub fn role_in(&self, workspace: WorkspaceId) -> Option<Role> {
        match &self.identity {
            None => Some(Role::Admin),
            Some(identity) => identity.memberships.iter().find(|m| m.workspace == workspace).map(|m| m.role),
        }
    }

    /// Checks a permission in a workspace.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for a principal that is not in the workspace. Otherwise the missing permission.
    pub fn authorize(
        &self,
        permission: WorkspacePermission,
        workspace: WorkspaceId,
    ) -> Result<WorkspaceAccess, Denied> {
        let role = self.role_in(workspace).ok_or(Denied::NotFound)?;
        if role < permission.needs() {
            return Err(Denied::Role(RequiredRole::WorkspaceAdmin));
        }
        if permission.needs_signature() {
            self.require_signature()?;
        }
        Ok(WorkspaceAccess { workspace })
    }

    /// Checks a permission in `project`, which is in `workspace` and in which the principal has the role `role`. An
    /// admin of the workspace can view every project, and needs a role in the project for everything else.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for a principal that cannot see the project. Otherwise the missing permission.
    pub fn authorize_project(
        &self,
        permission: ProjectPermission,
        workspace: WorkspaceId,
        project: ProjectId,
        role: Option<ProjectRole>,
    ) -> Result<ProjectAccess, Denied> {
        let in_workspace = self.role_in(workspace).ok_or(Denied::NotFound)?;
        let role = match (role, in_workspace) {
            (Some(role), _) => role,
            (None, Role::Admin) => ProjectRole::Viewer,
            (None, Role::Member) => return Err(Denied::NotFound),
        };
        if role < permission.needs() {
            return Err(Denied::Role(match permission.needs() {
                ProjectRole::Viewer => RequiredRole::ProjectViewer,
                ProjectRole::Editor => RequiredRole::ProjectEditor,
                ProjectRole::Admin => RequiredRole::ProjectAdmin,
            }));
        }
        if permission == ProjectPermission::ManageMembers {
            self.require_signature()?;
        }
        Ok(ProjectAccess { workspace: WorkspaceAccess { workspace }, project })
    }

    /// Checks that the principal is an operator and did not use a bearer token.
    ///
    /// # Errors
    /// The missing permission.
    pub fn authorize_operator(&self) -> Result<OperatorAccess, Denied> {
        if !self.is_operator() {
            return Err(Denied::Role(RequiredRole::Operator));
        }
        self.require_signature()?;
        Ok(OperatorAccess(()))
    }

    /// Checks that this is a command on the host.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for all other principals.
    pub fn authorize_host(&self) -> Result<HostAccess, Denied> {
        if self.identity.is_none() { Ok(HostAccess(())) } else { Err(Denied::NotFound) }
    }

    /// Checks that the principal is an operator, and so may manage a workspace without being a member.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for a principal that is neither an operator nor in the workspace. Otherwise the missing
    /// permission.
    pub fn authorize_operator_of(&self, workspace: WorkspaceId) -> Result<OperatorAccess, Denied> {
        if !self.is_operator() && self.role_in(workspace).is_none() {
            return Err(Denied::NotFound);
        }
        self.authorize_operator()
    }

    /// Returns the access of the principal to what is its own.
    ///
    /// # Errors
    /// [`Denied::NotFound`] on the host, which owns nothing.
    pub fn authorize_own(&self) -> Result<OwnAccess, Denied> {
        self.id().map(|owner| OwnAccess { owner }).ok_or(Denied::NotFound)
    }

    /// Returns the user that manages their own keys.
    ///
    /// # Errors
    /// The principal is a service account or the host, or used a bearer token.
    pub fn authorize_own_keys(&self) -> Result<UserId, Denied> {
        match self.id() {
            Some(PrincipalId::User(user)) => self.require_signature().map(|()| user),
            Some(PrincipalId::ServiceAccount(_)) => Err(Denied::ServiceAccount),
            None => Err(Denied::Role(RequiredRole::User)),
        }
    }

    /// Refuses a service account that would change itself, or its own role in a project.
    ///
    /// # Errors
    /// [`Denied::ServiceAccount`] for such a change.
    pub fn require_another(&self, target: PrincipalId) -> Result<(), Denied> {
        let is_itself = matches!(target, PrincipalId::ServiceAccount(_)) && self.id() == Some(target);
        if is_itself { Err(Denied::ServiceAccount) } else { Ok(()) }
    }

    /// Checks that the principal may grant a role in a workspace. Bearer tokens grant no role, and service accounts do
    /// not grant `admin`.
    ///
    /// # Errors
    /// The missing permission.
    pub fn authorize_grant(&self, role: Role) -> Result<(), Denied> {
        self.require_signature()?;
        if role == Role::Admin { self.require_person() } else { Ok(()) }
    }

    /// As [`authorize_grant`](Self::authorize_grant), for a role in a project.
    ///
    /// # Errors
    /// The missing permission.
    pub fn authorize_project_grant(&self, role: ProjectRole) -> Result<(), Denied> {
        self.require_signature()?;
        if role == ProjectRole::Admin { self.require_person() } else { Ok(()) }
    }

    fn require_person(&self) -> Result<(), Denied> {
        match self.id() {
            Some(PrincipalId::ServiceAccount(_)) => Err(Denied::ServiceAccountGrantsAdmin),
            Some(PrincipalId::User(_)) | None => Ok(()),
        }
    }

    /// Refuses a bearer token. It cannot change keys, roles, memberships, invitations or an enabled state.
    ///
    /// # Errors
    /// [`Denied::BearerToken`] for a bearer token.
    pub const fn require_signature(&self) -> Result<(), Denied> {
        match self.credential {
            Credential::BearerToken(_) => Err(Denied::BearerToken),
            Credential::Signature(_) | Credential::Session(..) | Credential::Host => Ok(()),
        }
    }

    /// Refuses a session in which the password was not entered recently, so that another person at an open browser
    /// cannot add keys or admins.
    ///
    /// # Errors
    /// [`Denied::PasswordNeeded`] for such a session.
    pub fn require_recent_password(&self, now: Timestamp) -> Result<(), Denied> {
        match self.credential {
            Credential::Session(_, given_at) if now >= given_at + PASSWORD_LIFETIME => Err(Denied::PasswordNeeded),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
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
        let membership =
            |role| Membership { workspace: here(), slug: Arc::from("acme"), name: Arc::from("Acme"), role };
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
        Principal::new(Arc::new(identity), credential)
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
}
