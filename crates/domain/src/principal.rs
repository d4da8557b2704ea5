//! Who is asking, and what they may do. The one place where roles become permissions.

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
    /// The role there.
    pub role: Role,
}

/// A user or a service account, as request verification needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own, and all combinations exist")]
pub struct Identity {
    /// Who.
    pub id: PrincipalId,
    /// A person's email, or a service account's address.
    pub email: String,
    /// Whether the person followed a link that was mailed to this email; never for a service account.
    pub email_verified: bool,
    /// A name for people.
    pub name: String,
    /// Whether a user runs the installation.
    pub operator: bool,
    /// Whether every credential is refused.
    pub disabled: bool,
    /// Whether every credential of a user is refused since a restore, until an operator at the host confirms the user.
    pub suspended: bool,
    /// Their workspaces. A service account has exactly one, or none where its workspace was deleted.
    pub memberships: Vec<Membership>,
}

/// Why an identity's credentials are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdentityRefusal {
    /// It is disabled.
    Disabled,
    /// It was restored from a backup and is not confirmed yet.
    Suspended,
    /// It is a member of no workspace (and no operator, who must be able to start).
    NoWorkspace,
}

impl Identity {
    /// Why every credential of it is refused, if it is.
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

/// What a principal showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credential {
    /// A request signed by this key.
    Signature(ApiKeyId),
    /// A short-lived token that was given out for this key.
    BearerToken(ApiKeyId),
    /// A session at the web pages, and when the password was last given in it.
    Session(SessionId, Timestamp),
    /// A shell on the machine that holds the data.
    Host,
}

impl Credential {
    /// The key behind it.
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

/// Why something is not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// The principal may not even know that it exists.
    #[error("it does not exist, or you do not have access to it")]
    NotFound,
    /// The role does not reach that far.
    #[error("you must have the role {0}")]
    Role(RequiredRole),
    /// A bearer token was shown for what needs a signature.
    #[error(
        "a bearer token cannot change a key, role, membership, invitation or enabled state; sign this request with \
         the key itself"
    )]
    BearerToken,
    /// A session was shown for what belongs to a key.
    #[error("this needs a key; sign the request with one")]
    Session,
    /// A session whose password was given too long ago asked for what adds keys or admins.
    #[error("you entered your password more than 15 minutes ago; enter it again to continue")]
    PasswordNeeded,
    /// A service account asked for a change to itself or to its own keys.
    #[error("a service account cannot change itself or its own keys; ask an admin of its workspace")]
    ServiceAccount,
    /// A service account asked for something that would grant the role `admin`.
    #[error("a service account cannot give the role admin; ask a user who has it")]
    ServiceAccountGrantsAdmin,
}

impl Denied {
    /// The role that is missing, where a role is what is missing.
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

/// Proof that a principal may do something in a workspace. What is looked up or changed there takes it, and only
/// [`Principal::authorize`] and [`Principal::authorize_project`] make one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkspaceAccess {
    workspace: WorkspaceId,
}

impl WorkspaceAccess {
    /// The workspace.
    #[must_use]
    pub const fn workspace(self) -> WorkspaceId {
        self.workspace
    }
}

/// Proof that a principal may do something in a project. Only [`Principal::authorize_project`] makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProjectAccess {
    workspace: WorkspaceAccess,
    project: ProjectId,
}

impl ProjectAccess {
    /// The workspace of the project.
    #[must_use]
    pub const fn workspace(self) -> WorkspaceAccess {
        self.workspace
    }

    /// The project.
    #[must_use]
    pub const fn project(self) -> ProjectId {
        self.project
    }
}

/// Proof that a principal runs the installation. Only [`Principal::authorize_operator`] makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperatorAccess(());

/// Proof of a command on the host. Only [`Principal::authorize_host`] makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostAccess(());

/// What can be done in a workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkspacePermission {
    /// See its name and one's own role.
    View,
    /// Rename it.
    Update,
    /// Delete it and all that is in it.
    Delete,
    /// See who is in it.
    ViewMembers,
    /// Change roles, remove people.
    ManageMembers,
    /// See invitations.
    ViewInvitations,
    /// Send and take back invitations.
    ManageInvitations,
    /// See its service accounts and their keys.
    ViewServiceAccounts,
    /// Create, describe and rename them.
    ManageServiceAccounts,
    /// Disable and enable them.
    DisableServiceAccounts,
    /// Give them a role.
    GrantServiceAccountRole,
    /// Register, disable and revoke their keys.
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

    /// Whether it changes keys, roles, memberships, invitations or an enabled state, which no bearer token may.
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

/// What can be done in a project.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProjectPermission {
    /// See it and its members.
    View,
    /// Change its title and description.
    Edit,
    /// Delete it.
    Delete,
    /// Invite, change roles, remove.
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
    /// A user or service account that showed `credential`.
    #[must_use]
    pub const fn new(identity: Arc<Identity>, credential: Credential) -> Self {
        Self { identity: Some(identity), credential }
    }

    /// A shell on the machine that holds the data, which could edit the database file itself.
    #[must_use]
    pub const fn host() -> Self {
        Self { identity: None, credential: Credential::Host }
    }

    /// The id of the principal; none on the host.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// What was shown.
    #[must_use]
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The id, where there is one.
    #[must_use]
    pub fn id(&self) -> Option<PrincipalId> {
        self.identity.as_ref().map(|identity| identity.id)
    }

    /// The name in the audit log.
    #[must_use]
    pub fn audit_principal(&self) -> AuditPrincipal {
        match self.id() {
            Some(PrincipalId::User(id)) => AuditPrincipal::User(id),
            Some(PrincipalId::ServiceAccount(id)) => AuditPrincipal::ServiceAccount(id),
            None => AuditPrincipal::Host,
        }
    }

    /// Whether they run the installation.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.identity.as_ref().is_none_or(|identity| identity.operator)
    }

    /// The role in a workspace, if they are in it.
    #[must_use]
    pub fn role_in(&self, workspace: WorkspaceId) -> Option<Role> {
        match &self.identity {
            None => Some(Role::Admin),
            Some(identity) => identity.memberships.iter().find(|m| m.workspace == workspace).map(|m| m.role),
        }
    }

    /// Whether they may do this in a workspace.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for a stranger to the workspace, else what is missing.
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

    /// Whether they may do this in `project`, which is in `workspace`, and where their own role is `role`.
    /// An admin of the workspace sees every project, and reaches further only after joining it.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for who cannot see the project, else what is missing.
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

    /// Whether they run the installation, and showed more than a bearer token.
    ///
    /// # Errors
    /// What is missing.
    pub fn authorize_operator(&self) -> Result<OperatorAccess, Denied> {
        if !self.is_operator() {
            return Err(Denied::Role(RequiredRole::Operator));
        }
        self.require_signature()?;
        Ok(OperatorAccess(()))
    }

    /// Whether it is a command on the host.
    ///
    /// # Errors
    /// [`Denied::NotFound`]
    pub fn authorize_host(&self) -> Result<HostAccess, Denied> {
        if self.identity.is_none() { Ok(HostAccess(())) } else { Err(Denied::NotFound) }
    }

    /// Whether they run the installation, and may thus manage a workspace from outside.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for who is neither an operator nor in the workspace, else what is missing.
    pub fn authorize_operator_of(&self, workspace: WorkspaceId) -> Result<OperatorAccess, Denied> {
        if !self.is_operator() && self.role_in(workspace).is_none() {
            return Err(Denied::NotFound);
        }
        self.authorize_operator()
    }

    /// The user who manages keys of their own.
    ///
    /// # Errors
    /// For service accounts, for the host, and for bearer tokens.
    pub fn authorize_own_keys(&self) -> Result<UserId, Denied> {
        match self.id() {
            Some(PrincipalId::User(user)) => self.require_signature().map(|()| user),
            Some(PrincipalId::ServiceAccount(_)) => Err(Denied::ServiceAccount),
            None => Err(Denied::Role(RequiredRole::User)),
        }
    }

    /// Refuses a service account that would change itself, or its own place in a project.
    ///
    /// # Errors
    /// [`Denied::ServiceAccount`]
    pub fn require_another(&self, target: PrincipalId) -> Result<(), Denied> {
        let is_itself = matches!(target, PrincipalId::ServiceAccount(_)) && self.id() == Some(target);
        if is_itself { Err(Denied::ServiceAccount) } else { Ok(()) }
    }

    /// Whether they may grant a role in a workspace. A bearer token may grant none, and a service account not `admin`.
    ///
    /// # Errors
    /// What is missing.
    pub fn authorize_grant(&self, role: Role) -> Result<(), Denied> {
        self.require_signature()?;
        if role == Role::Admin { self.require_person() } else { Ok(()) }
    }

    /// As [`authorize_grant`](Self::authorize_grant), of a role in a project.
    ///
    /// # Errors
    /// What is missing.
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

    /// Refuses a bearer token, which changes no key, role, membership, invitation or enabled state.
    ///
    /// # Errors
    /// [`Denied::BearerToken`]
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
    /// [`Denied::PasswordNeeded`]
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
            // A role in the project is nothing without a place in its workspace.
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
    fn only_users_who_signed_manage_keys_of_their_own() {
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
