//! `keyward members`, and the lookup of users and service accounts for all commands.

use api::{Member, MemberRemoval, ServiceAccount, UpdateMember};
use domain::{PrincipalId, role::Role};

use crate::{
    api_client::{ApiClient, ListArguments, query, the_one},
    confirm::ConfirmArguments,
    failure::{Failure, Outcome},
    output::{self, Column},
    workspace::{InWorkspace, Place},
};

/// Members of a workspace and their roles
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward members list
  keyward members set-role bob@example.com admin
  keyward members remove bob@example.com --successor ann@example.com

People join by invitation: `keyward invitations create EMAIL`.")]
pub(crate) enum Members {
    List(List),
    SetRole(SetRole),
    Remove(Remove),
}

/// List the members of a workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward members list
  keyward members list --workspace acme --json")]
pub(crate) struct List {
    #[command(flatten)]
    paging: ListArguments,
    #[command(flatten)]
    place: InWorkspace,
}

/// Change the role of a member, for admins of the workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward members set-role bob@example.com admin
  keyward members set-role bob@example.com member --workspace acme")]
pub(crate) struct SetRole {
    /// The member
    #[arg(value_name = "EMAIL|ID")]
    member: String,
    /// `member` or `admin`
    role: Role,
    /// With `member`: also revoke the keys that they registered for service accounts
    #[arg(long)]
    revoke_keys: bool,
    #[command(flatten)]
    confirm: ConfirmArguments,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: InWorkspace,
}

/// Remove a member: their keys lose access to the workspace
///
/// Admins can remove any member. All members can leave. The last admin cannot be removed. If the member is the only
/// admin of a project, name a successor.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward members remove bob@example.com
  keyward members remove bob@example.com --successor ann@example.com --yes")]
pub(crate) struct Remove {
    /// The member
    #[arg(value_name = "EMAIL|ID")]
    member: String,
    /// New admin of the projects that have no other admin: an email address, a service account address or an id
    #[arg(long, value_name = "EMAIL|ADDRESS|ID")]
    successor: Option<String>,
    /// Also revoke the keys that they registered for service accounts
    #[arg(long)]
    revoke_keys: bool,
    #[command(flatten)]
    confirm: ConfirmArguments,
    #[command(flatten)]
    place: InWorkspace,
}

const COLUMNS: &[Column<'_, Member>] = &[
    Column::word("EMAIL", &|member| member.email.clone()),
    Column::text("NAME", &|member| member.name.clone()),
    Column::word("ROLE", &|member| member.role.to_string()),
    Column::word("JOINED", &|member| output::moment(member.joined_at)),
    Column::minor("VERIFIED", &|member| output::yes_or_no(member.email_verified)),
    Column::id(&|member| member.id.to_string()),
];

impl Members {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run().await,
            Self::SetRole(command) => command.run().await,
            Self::Remove(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let members = api.list::<Member>(&place.path("/members"), self.paging.limit).await?;
        self.paging.print(&members, COLUMNS, &format!("{} has no members", place.name))
    }
}

impl SetRole {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let member = find_member(&api, &place, &self.member).await?;
        let path = place.path(&format!("/members/{}", member.id));
        if self.role == Role::Member && member.role == Role::Admin {
            let removal: MemberRemoval = api.get(&format!("{path}/removal")).await?;
            let told = tell_removal(&removal, self.revoke_keys);
            if !told.is_empty() {
                self.confirm.confirm(&format!("{told}Make {} a member of {}?", member.email, place.name))?;
            }
        }
        let update = UpdateMember { role: self.role, revoke_keys: self.revoke_keys };
        let member: Member = api.patch(&path, &update).await?;
        if self.json {
            return output::json(&member);
        }
        output::line(format!("{} is now {} of {}", member.email, member.role, place.name))
    }
}

impl Remove {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let member = find_member(&api, &place, &self.member).await?;
        let successor = match &self.successor {
            Some(name) => Some(find_principal(&api, &place, name).await?.id.to_string()),
            None => None,
        };
        let path = place.path(&format!("/members/{}", member.id));
        let removal: MemberRemoval = api.get(&format!("{path}/removal")).await?;
        let told = tell_removal(&removal, self.revoke_keys);
        self.confirm.confirm(&format!("{told}Remove {} from {}?", member.email, place.name))?;
        let revoke_keys = self.revoke_keys.then(|| "true".to_owned());
        api.delete(&format!("{path}{}", query([("successor", successor), ("revoke_keys", revoke_keys)]))).await?;
        output::line(format!("removed {}: their keys have no access to {} any more", member.email, place.name))
    }
}

/// Returns what the removal revokes and keeps, one item per line.
fn tell_removal(removal: &MemberRemoval, revoke_keys: bool) -> String {
    let invitations = removal
        .invitations
        .iter()
        .map(|invitation| format!("This revokes the invitation of {}, as {}.\n", invitation.email, invitation.role));
    let keys = removal.keys.iter().map(|registered| {
        let key = format!("{} of {} ({})", registered.key.title, registered.email, registered.key.fingerprint);
        if revoke_keys {
            format!("This revokes the key {key}, which they registered.\n")
        } else {
            format!("The key {key}, which they registered, stays active: `--revoke-keys` revokes it.\n")
        }
    });
    invitations.chain(keys).collect()
}

/// A user or a service account that was found.
pub(crate) struct Found {
    pub(crate) id: PrincipalId,
    pub(crate) email: String,
}

/// Returns the member with an email or an id.
async fn find_member(api: &ApiClient, place: &Place, name: &str) -> Outcome<Member> {
    let all = api.list::<Member>(&place.path("/members"), None).await?.items;
    let is_meant = |member: &Member| member.email.eq_ignore_ascii_case(name) || member.id.to_string() == name;
    the_one(&format!("member of {}", place.name), name, all, is_meant, |member| member.email.clone())
}

/// Returns the user or service account with an email, an address, a service account's name or an id. Only admins of the
/// workspace can find service accounts by their name or address.
pub(crate) async fn find_principal(api: &ApiClient, place: &Place, name: &str) -> Outcome<Found> {
    if let Ok(id) = name.parse::<PrincipalId>() {
        return Ok(Found { id, email: name.to_owned() });
    }
    let members = api.list::<Member>(&place.path("/members"), None).await?.items;
    let found = |member: Member| Found { id: member.id.into(), email: member.email };
    if let Some(member) = members.iter().find(|member| member.email.eq_ignore_ascii_case(name)) {
        return Ok(found(member.clone()));
    }
    let mine = api.me().await?.workspaces;
    if !mine.iter().any(|mine| mine.id == place.id && mine.role == Role::Admin) {
        return Err(Failure::not_found(format!(
            "there is no user `{name}` in {0}; only its admins find a service account by its name or address: name it by its \
             id (`sa_…`), or ask an admin of {0}",
            place.name
        )));
    }
    let accounts = api.list::<ServiceAccount>(&place.path("/service-accounts"), None).await?.items.into_iter();
    let accounts = accounts.map(|account| (Found { id: account.id.into(), email: account.email }, Some(account.name)));
    let all = members.into_iter().map(|member| (found(member), None)).chain(accounts).collect();
    let is_meant = |(found, title): &(Found, Option<String>)| {
        found.email.eq_ignore_ascii_case(name) || title.as_deref() == Some(name)
    };
    let what = format!("user or service account of {}", place.name);
    Ok(the_one(&what, name, all, is_meant, |(found, _)| found.email.clone())?.0)
}
