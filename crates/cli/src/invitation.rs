//! `keyward invitations`: inviting people to a workspace.

use api::{
    AcceptInvitation, AcceptedInvitation, CreateInvitations, Invitation, InvitationState, IssuedInvitation,
    IssuedInvitations, MailState,
};
use domain::role::Role;

use crate::{
    api_client::{ApiClient, ListArguments, the_one},
    connection::ConnectionArguments,
    failure::Outcome,
    input::read_text_input,
    output::{self, Column},
    workspace::{InWorkspace, Place},
};

/// Invitations to a workspace
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward invitations create bob@example.com eve@example.com
  keyward invitations list
  keyward invitations resend bob@example.com")]
pub(crate) enum Invitations {
    List(List),
    Create(Create),
    Resend(Resend),
    Revoke(Revoke),
    Accept(Accept),
}

/// List invitations, open and closed, for admins of the workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward invitations list
  keyward invitations list --workspace acme --json")]
pub(crate) struct List {
    #[command(flatten)]
    paging: ListArguments,
    #[command(flatten)]
    place: InWorkspace,
}

/// Invite people, all with one role, for admins of the workspace
///
/// If the server has `[smtp]` set, it sends the links by mail, and accepting verifies the email address. Otherwise each link is
/// printed once, for you to send.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward invitations create bob@example.com
  keyward invitations create bob@example.com eve@example.com --role admin --workspace acme
  keyward invitations create bob@example.com --json")]
pub(crate) struct Create {
    /// Email addresses to invite
    #[arg(required = true, value_name = "EMAIL")]
    emails: Vec<String>,
    /// Role in the workspace: `member` or `admin`
    #[arg(long, default_value = "member")]
    role: Role,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: InWorkspace,
}

/// Give an invitation a new link and a new expiry date; the previous link stops working
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward invitations resend bob@example.com")]
pub(crate) struct Resend {
    #[command(flatten)]
    which: Which,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Revoke an invitation
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward invitations revoke bob@example.com")]
pub(crate) struct Revoke {
    #[command(flatten)]
    which: Which,
}

/// Accept an invitation as the user that owns the signing key
///
/// A person who is not a user yet opens the link in a browser, and chooses a name and a password.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward invitations accept https://keys.example.com/invitations/…
  pass show invitation | keyward invitations accept -")]
pub(crate) struct Accept {
    /// The link or the token in it; `-` reads it from standard input, where other users of this machine cannot see it
    // A token is base64url text, which may begin with `-`.
    #[arg(value_name = "LINK|TOKEN", allow_hyphen_values = true)]
    token: String,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The invitation and its workspace.
#[derive(Debug, clap::Args)]
struct Which {
    /// The invitation
    #[arg(value_name = "EMAIL|ID")]
    invitation: String,
    #[command(flatten)]
    place: InWorkspace,
}

const COLUMNS: &[Column<'_, Invitation>] = &[
    Column::word("EMAIL", &|invitation| invitation.email.clone()),
    Column::word("ROLE", &|invitation| invitation.role.to_string()),
    Column::word("STATE", &|invitation| state(invitation).to_owned()),
    Column::word("EXPIRES", &|invitation| output::moment(invitation.expires_at)),
    Column::minor("INVITED BY", &|invitation| invitation.created_by.clone()),
    Column::id(&|invitation| invitation.id.to_string()),
];

impl Invitations {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run().await,
            Self::Create(command) => command.run().await,
            Self::Resend(command) => command.run().await,
            Self::Revoke(command) => command.run().await,
            Self::Accept(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let invitations = api.list::<Invitation>(&place.path("/invitations"), self.paging.limit).await?;
        let empty = format!("{} has no invitations: `keyward invitations create EMAIL` sends one", place.name);
        self.paging.print(&invitations, COLUMNS, &empty)
    }
}

impl Create {
    async fn run(self) -> Outcome {
        let (api, place) = self.place.find().await?;
        let create = CreateInvitations { emails: self.emails, role: self.role };
        let issued: IssuedInvitations = api.post(&place.path("/invitations"), &create).await?;
        if self.json {
            return output::json(&issued);
        }
        for email in &issued.skipped {
            output::note(format!("{email} is already a member of {}, and was not invited", place.name))?;
        }
        issued.items.iter().try_for_each(tell_issued)
    }
}

impl Resend {
    async fn run(self) -> Outcome {
        let (api, place, invitation) = self.which.find().await?;
        let issued: IssuedInvitation =
            api.post_nothing(&place.path(&format!("/invitations/{}/resend", invitation.id))).await?;
        if self.json { output::json(&issued) } else { tell_issued(&issued) }
    }
}

impl Revoke {
    async fn run(self) -> Outcome {
        let (api, place, invitation) = self.which.find().await?;
        api.delete(&place.path(&format!("/invitations/{}", invitation.id))).await?;
        output::line(format!("revoked the invitation of {}: its link no longer works", invitation.email))
    }
}

impl Accept {
    async fn run(self) -> Outcome {
        let token = if self.token == "-" { read_text_input("the link")?.to_string() } else { self.token };
        // A link ends with its token.
        let token = token.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let accept = AcceptInvitation { token, name: None, password: None };
        let api = self.connection.api()?;
        let accepted: Outcome<AcceptedInvitation> = api.post("/api/v1/invitations/accept", &accept).await;
        let accepted = accepted.map_err(|failure| match failure.reason() {
            Some("owner_without_workspace") => failure.retold(
                "your keys work once you are in a workspace: open the link in a browser this time, and sign in there"
                    .to_owned(),
            ),
            _ => failure,
        })?;
        if self.json {
            return output::json(&accepted);
        }
        let me = api.me().await?;
        let joined = me.workspaces.iter().find(|workspace| workspace.id == accepted.workspace);
        let name = joined.map_or_else(|| accepted.workspace.to_string(), |workspace| workspace.slug.clone());
        output::line(format!("{} is now {} of {name}", me.principal.email, accepted.role))
    }
}

impl Which {
    /// Returns the invitation with an email address or an id. Of several to one address, it is the open one.
    async fn find(&self) -> Outcome<(ApiClient, Place, Invitation)> {
        let (api, place) = self.place.find().await?;
        let name = &self.invitation;
        let mut all = api.list::<Invitation>(&place.path("/invitations"), None).await?.items;
        let is_to = |invitation: &Invitation| invitation.email.eq_ignore_ascii_case(name);
        if all.iter().any(|invitation| is_to(invitation) && invitation.state == InvitationState::Pending) {
            all.retain(|invitation| invitation.state == InvitationState::Pending);
        }
        let is_meant = |invitation: &Invitation| is_to(invitation) || invitation.id.to_string() == *name;
        let describe =
            |invitation: &Invitation| format!("{}  {} ({})", invitation.id, invitation.email, state(invitation));
        let invitation = the_one("invitation", name, all, is_meant, describe)?;
        Ok((api, place, invitation))
    }
}

fn tell_issued(issued: &IssuedInvitation) -> Outcome {
    let Invitation { email, role, expires_at, .. } = &issued.invitation;
    let end = output::full_moment(*expires_at);
    match (&issued.url, issued.mail) {
        (Some(url), _) => {
            output::result(format!("{email} can join as {role} with this link, once, until {end}:\n  {url}"))
        }
        (None, MailState::Failed) => output::result(format!(
            "{email} is invited as {role}, but the mail was not sent: keyward invitations resend {email}"
        )),
        (None, MailState::Unknown) => output::result(format!(
            "{email} is invited as {role}; if no mail arrives: keyward invitations resend {email}"
        )),
        (None, _) => output::result(format!(
            "{email} is invited by mail, and can join as {role} with its link until \
                                           {end}"
        )),
    }
}

fn state(invitation: &Invitation) -> &'static str {
    match invitation.state {
        InvitationState::Pending => "pending",
        InvitationState::Accepted => "accepted",
        InvitationState::Revoked => "revoked",
        InvitationState::Expired => "expired",
    }
}
