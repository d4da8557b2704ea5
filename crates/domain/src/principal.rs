//! Principals and their permissions. Only this module maps roles to permissions.

mod policy;

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    ApiKeyId, PrincipalId, ProjectId, SessionId, UserId, WorkspaceId,
    audit::AuditPrincipal,
    limits::{GrantedLimits, KeyLimits, KeywardScope, LimitName},
    policy::OutsidePolicy,
    role::{ProjectRole, RequiredRole, Role},
    session::PASSWORD_LIFETIME,
};

pub use self::policy::{ExcludedWorkspace, PolicyReach};

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

/// A credential of a key. Its principal has the limits of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyCredential {
    /// By a request signed with this key.
    Signature(ApiKeyId),
    /// By a short-lived token that was issued for this key.
    BearerToken(ApiKeyId),
}

impl KeyCredential {
    /// Returns the key.
    #[must_use]
    pub const fn key(self) -> ApiKeyId {
        match self {
            Self::Signature(key) | Self::BearerToken(key) => key,
        }
    }
}

impl From<KeyCredential> for Credential {
    fn from(credential: KeyCredential) -> Self {
        match credential {
            KeyCredential::Signature(key) => Self::Signature(key),
            KeyCredential::BearerToken(key) => Self::BearerToken(key),
        }
    }
}

/// An authenticated principal: its identity, less what the limits of its key take away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// As narrowed by the limits: it has only the workspaces that the key reaches.
    identity: Option<Arc<Identity>>,
    credential: Credential,
    /// None for a session and on the host, which have no key.
    limits: KeyLimits,
    /// The workspaces of the owner whose policy refuses the key.
    policy: PolicyReach,
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
    /// A key tried to rotate itself, and the setting `self_rotation` is off.
    #[error("keys cannot rotate themselves here, because the operator turned it off; ask an admin to rotate the key")]
    SelfRotation,
    /// A service account tried to grant the role `admin`.
    #[error("a service account cannot give the role admin; ask a user who has it")]
    ServiceAccountGrantsAdmin,
    /// The key is limited to scopes that do not include the one that is needed.
    #[error("this key is limited to scopes without {0}; use a key that has it, or ask for it")]
    Scope(KeywardScope),
    /// The key is limited to projects or workspaces, and this is not a part of one of these.
    #[error("this key is limited to certain projects or workspaces, and this is not in one of them; use another key")]
    Place,
    /// The key is outside the policy of the workspace.
    #[error("{0}; use another key, or ask an admin of the workspace")]
    OutsidePolicy(OutsidePolicy),
    /// A key would give another key more than it has itself.
    #[error("a key gives at most what its own limits allow, and these {0} exceed them; use a key with fewer limits")]
    Wider(LimitName),
}

impl Denied {
    /// Returns the missing scope of the key, if one is missing.
    #[must_use]
    pub const fn required_scope(self) -> Option<KeywardScope> {
        match self {
            Self::Scope(scope) => Some(scope),
            _ => None,
        }
    }

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
            | Self::SelfRotation
            | Self::ServiceAccountGrantsAdmin
            | Self::Scope(_)
            | Self::Place
            | Self::OutsidePolicy(_)
            | Self::Wider(_) => None,
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

/// Proof that a principal may list the projects that it can see in a workspace. Only
/// [`Principal::authorize_project_list`] creates it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectListAccess {
    workspace: WorkspaceId,
    is_admin: bool,
    limits: KeyLimits,
}

impl ProjectListAccess {
    /// Returns the workspace.
    #[must_use]
    pub const fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Returns whether the principal is an admin of the workspace, who sees every project.
    #[must_use]
    pub const fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// Returns the only projects that the key of the principal reaches, if it is limited to some.
    #[must_use]
    pub fn only(&self) -> Option<impl ExactSizeIterator<Item = ProjectId>> {
        Some(self.limits.projects()?.iter().copied())
    }
}

/// Proof that workspaces are those of the principal itself. Only [`Principal::authorize_own_workspaces`] creates it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnWorkspacesAccess {
    owner: PrincipalId,
    only: Option<Vec<WorkspaceId>>,
}

impl OwnWorkspacesAccess {
    /// Returns the principal.
    #[must_use]
    pub const fn owner(&self) -> PrincipalId {
        self.owner
    }

    /// Returns the only workspaces that the key of the principal reaches, if it does not reach all of its owner's.
    #[must_use]
    pub fn only(&self) -> Option<impl ExactSizeIterator<Item = WorkspaceId>> {
        Some(self.only.as_ref()?.iter().copied())
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

/// Proof that a principal may rotate the key that signed its request. Only [`Principal::authorize_self_rotation`] creates
/// it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SelfRotation {
    owner: PrincipalId,
    workspace: Option<WorkspaceAccess>,
}

impl SelfRotation {
    /// Returns the owner of the key, which is the principal.
    #[must_use]
    pub const fn owner(self) -> PrincipalId {
        self.owner
    }

    /// Returns the workspace of a service account.
    #[must_use]
    pub const fn workspace(self) -> Option<WorkspaceAccess> {
        self.workspace
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
    /// View all keys that reach it, and what its policy says about them.
    ReviewKeys,
    /// Set its policy for keys.
    ManagePolicy,
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
            | Self::ReviewKeys
            | Self::ManagePolicy
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
                | Self::ManagePolicy
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
    /// Creates the principal of a user or service account whose key has these limits, and reaches this according to the
    /// policies.
    #[must_use]
    pub fn of_key(
        identity: &Arc<Identity>,
        credential: KeyCredential,
        limits: &KeyLimits,
        policy: PolicyReach,
    ) -> Self {
        let reaches_all = !limits.has_places() && policy.excluded().is_empty();
        let identity = if reaches_all { Arc::clone(identity) } else { Arc::new(narrow(identity, limits, &policy)) };
        let policy = policy.only(|workspace| limits.reaches_workspace(workspace));
        Self { identity: Some(identity), credential: credential.into(), limits: limits.clone(), policy }
    }

    /// Creates the principal of a user in a session. The time is when the password was last entered in it.
    #[must_use]
    pub const fn of_session(identity: Arc<Identity>, session: SessionId, authenticated_at: Timestamp) -> Self {
        let credential = Credential::Session(session, authenticated_at);
        Self { identity: Some(identity), credential, limits: KeyLimits::none(), policy: PolicyReach::everything() }
    }

    /// Creates the principal of a shell on the machine with the data, which could also edit the database file.
    #[must_use]
    pub const fn host() -> Self {
        Self {
            identity: None,
            credential: Credential::Host,
            limits: KeyLimits::none(),
            policy: PolicyReach::everything(),
        }
    }

    /// Returns the identity, or `None` on the host. It has only the workspaces that the key reaches.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Returns the credential.
    #[must_use]
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns the credential, if it is one of a key.
    #[must_use]
    pub const fn key_credential(&self) -> Option<KeyCredential> {
        match self.credential {
            Credential::Signature(key) => Some(KeyCredential::Signature(key)),
            Credential::BearerToken(key) => Some(KeyCredential::BearerToken(key)),
            Credential::Session(..) | Credential::Host => None,
        }
    }

    /// Returns the limits of the key of the credential.
    #[must_use]
    pub const fn limits(&self) -> &KeyLimits {
        &self.limits
    }

    /// Returns the workspaces of the owner that the key does not reach, because it is outside their policies.
    #[must_use]
    pub const fn policy(&self) -> &PolicyReach {
        &self.policy
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

    /// Returns the role in a workspace.
    ///
    /// # Errors
    /// [`Denied::OutsidePolicy`] for a member whose key is outside the policy of the workspace. [`Denied::NotFound`] for
    /// others.
    fn require_role_in(&self, workspace: WorkspaceId) -> Result<Role, Denied> {
        self.role_in(workspace).ok_or_else(|| self.policy.refusal_in(workspace).unwrap_or(Denied::NotFound))
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
        let role = self.require_role_in(workspace)?;
        self.require_scope(KeywardScope::Read)?;
        if self.limits.projects().is_some() {
            return Err(Denied::Place);
        }
        if role < permission.needs() {
            return Err(Denied::Role(RequiredRole::WorkspaceAdmin));
        }
        if permission.needs_signature() {
            self.require_signature()?;
        }
        Ok(WorkspaceAccess { workspace })
    }

    /// Checks that the principal may list the projects of a workspace that it can see. A key that is limited to projects
    /// sees these.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for a principal that is not in the workspace.
    pub fn authorize_project_list(&self, workspace: WorkspaceId) -> Result<ProjectListAccess, Denied> {
        let role = self.require_role_in(workspace)?;
        self.require_scope(KeywardScope::Read)?;
        Ok(ProjectListAccess { workspace, is_admin: role == Role::Admin, limits: self.limits.clone() })
    }

    /// Checks that the principal may list its own workspaces.
    ///
    /// # Errors
    /// [`Denied::NotFound`] on the host, which is in no workspace. [`Denied::Place`] for a key that is limited to projects.
    pub fn authorize_own_workspaces(&self) -> Result<OwnWorkspacesAccess, Denied> {
        let owner = self.id().ok_or(Denied::NotFound)?;
        self.require_scope(KeywardScope::Read)?;
        if self.limits.projects().is_some() {
            return Err(Denied::Place);
        }
        let reaches_all = self.limits.workspaces().is_none() && self.policy.excluded().is_empty();
        let reached = self.identity.iter().flat_map(|identity| &identity.memberships).map(|member| member.workspace);
        Ok(OwnWorkspacesAccess { owner, only: (!reaches_all).then(|| reached.collect()) })
    }

    /// Checks that the key of the principal has a built-in scope, if it is limited to scopes. Each check of a permission
    /// needs [`KeywardScope::Read`]. A change needs the scope of its operation.
    ///
    /// # Errors
    /// [`Denied::Scope`]: the key does not have it.
    pub fn require_scope(&self, scope: KeywardScope) -> Result<(), Denied> {
        if self.limits.allows(scope) { Ok(()) } else { Err(Denied::Scope(scope)) }
    }

    /// Checks that the key of the principal is not limited to workspaces or projects, for what concerns the whole
    /// installation.
    ///
    /// # Errors
    /// [`Denied::Place`] for a key with such a limit.
    pub fn require_everywhere(&self) -> Result<(), Denied> {
        if self.limits.has_places() { Err(Denied::Place) } else { Ok(()) }
    }

    /// Checks that the key of the principal may give a user access to a workspace: the key reaches the whole workspace.
    ///
    /// # Errors
    /// [`Denied::Place`] for a key that does not.
    pub fn require_reach(&self, workspace: WorkspaceId) -> Result<(), Denied> {
        let is_within = self.limits.reaches_workspace(workspace) && self.limits.projects().is_none();
        if is_within { Ok(()) } else { Err(Denied::Place) }
    }

    /// Returns the limits that the principal gives to a key of `owner`. By a key, they are at most its own limits.
    ///
    /// # Errors
    /// [`Denied::Wider`]: the request exceeds the limits of the key.
    pub fn grant_limits(&self, requested: &KeyLimits, owner: PrincipalId) -> Result<GrantedLimits, Denied> {
        self.limits.grant(requested, owner).map_err(Denied::Wider)
    }

    /// Checks that the principal may let a key of `owner` with these limits be used more than before. By a key, it may
    /// have at most the limits of that key.
    ///
    /// # Errors
    /// [`Denied::Wider`]: they exceed the limits of the key.
    pub fn require_within_limits(&self, other: &KeyLimits, owner: PrincipalId) -> Result<(), Denied> {
        self.limits.require_within(other, owner).map_err(Denied::Wider)
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
        let access = self.authorize_proxied_project(permission, workspace, project, role)?;
        self.require_scope(KeywardScope::Read)?;
        Ok(access)
    }

    /// As [`authorize_project`](Self::authorize_project), for a request to an API behind a proxy. The built-in scopes
    /// are for Keyward itself, and the route names the scope that it requires.
    ///
    /// # Errors
    /// As [`authorize_project`](Self::authorize_project).
    pub fn authorize_proxied_project(
        &self,
        permission: ProjectPermission,
        workspace: WorkspaceId,
        project: ProjectId,
        role: Option<ProjectRole>,
    ) -> Result<ProjectAccess, Denied> {
        let in_workspace = self.require_role_in(workspace)?;
        if !self.limits.reaches_project(project) {
            return Err(Denied::NotFound);
        }
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
        self.require_everywhere()?;
        if !self.is_operator() {
            return Err(Denied::Role(RequiredRole::Operator));
        }
        self.require_scope(KeywardScope::Read)?;
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
        if !self.is_operator() {
            self.require_role_in(workspace)?;
        }
        self.authorize_operator()
    }

    /// Returns the access of the principal to what is its own.
    ///
    /// # Errors
    /// [`Denied::NotFound`] on the host, which owns nothing.
    pub fn authorize_own(&self) -> Result<OwnAccess, Denied> {
        let owner = self.id().ok_or(Denied::NotFound)?;
        self.require_scope(KeywardScope::Read)?;
        Ok(OwnAccess { owner })
    }

    /// Returns the user that manages their own keys.
    ///
    /// # Errors
    /// The principal is a service account or the host, or used a bearer token.
    pub fn authorize_own_keys(&self) -> Result<UserId, Denied> {
        match self.id() {
            Some(PrincipalId::User(user)) => {
                self.require_scope(KeywardScope::Read)?;
                self.require_signature().map(|()| user)
            }
            Some(PrincipalId::ServiceAccount(_)) => Err(Denied::ServiceAccount),
            None => Err(Denied::Role(RequiredRole::User)),
        }
    }

    /// Checks that `key` signed the request, so that the principal may rotate it. This is the one change that a service
    /// account makes of itself.
    ///
    /// # Errors
    /// The principal used another credential.
    pub fn authorize_self_rotation(&self, key: ApiKeyId) -> Result<SelfRotation, Denied> {
        self.require_signature()?;
        let identity = match (&self.identity, self.credential) {
            (Some(identity), Credential::Signature(signing)) if signing == key => identity,
            (Some(identity), _) if matches!(identity.id, PrincipalId::ServiceAccount(_)) => {
                return Err(Denied::ServiceAccount);
            }
            _ => return Err(Denied::NotFound),
        };
        let workspace = match identity.id {
            PrincipalId::User(_) => None,
            PrincipalId::ServiceAccount(_) => {
                identity.memberships.first().map(|membership| WorkspaceAccess { workspace: membership.workspace })
            }
        };
        Ok(SelfRotation { owner: identity.id, workspace })
    }

    /// Refuses a service account that would change itself, or its own role in a project.
    ///
    /// # Errors
    /// [`Denied::ServiceAccount`] for such a change.
    pub fn require_another(&self, target: PrincipalId) -> Result<(), Denied> {
        let is_itself = matches!(target, PrincipalId::ServiceAccount(_)) && self.id() == Some(target);
        if is_itself { Err(Denied::ServiceAccount) } else { Ok(()) }
    }

    /// Checks that the principal may set the policy of a workspace. A service account may not, because the policy is about its
    /// own keys.
    ///
    /// # Errors
    /// As [`authorize`](Self::authorize). [`Denied::ServiceAccount`] for a service account.
    pub fn authorize_policy(&self, workspace: WorkspaceId) -> Result<WorkspaceAccess, Denied> {
        let access = self.authorize(WorkspacePermission::ManagePolicy, workspace)?;
        match self.id() {
            Some(PrincipalId::ServiceAccount(_)) => Err(Denied::ServiceAccount),
            Some(PrincipalId::User(_)) | None => Ok(access),
        }
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

/// Returns an identity without the workspaces that a key does not reach. A key that is limited to places reaches nothing of
/// the whole installation, so it is not that of an operator. The policy of a workspace decides only about the workspace.
fn narrow(identity: &Identity, limits: &KeyLimits, policy: &PolicyReach) -> Identity {
    let mut narrowed = identity.clone();
    narrowed.memberships.retain(|membership| {
        limits.reaches_workspace(membership.workspace) && policy.refusal_in(membership.workspace).is_none()
    });
    narrowed.operator &= !limits.has_places();
    narrowed
}

#[cfg(test)]
mod tests;
