//! Invitations: inviting several people, the pending invitations, and the page of the link.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{
    InvitationId,
    list::{InvitationFilter, InvitationOrder, Search},
    role::Role,
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    confirmation::ConfirmationPage,
    csv::{Csv, MAX_ROWS},
    extract::{AllFields, Form, Ids, InWorkspace},
    list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
    member::role_words,
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    page_context::PageContext,
    receive::welcome,
    routes::Pages,
};
use crate::{App, AppError, app::OpenInvitation};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/invitations", list)
        .post("/w/{slug}/invitations", create)
        .post("/w/{slug}/invitations/{inv}/resend", resend)
        .get("/w/{slug}/invitations/{inv}/revoke", show_revoke)
        .post("/w/{slug}/invitations/revoke", revoke)
        .get("/invitations/{token}", show)
        .post("/invitations/{token}", accept)
}

columns! {
    /// The table of invitations.
    InvitationColumn {
        Chosen: hidden "Choose",
        Email: "Email" by "email",
        Role: "Role",
        Created: "Created" class "mid" by "-created",
        Expires: "Expires" by "expires",
        Status: "Status",
        Actions: hidden "Actions",
    }
}

const WORDS: ListWords = ListWords {
    find: "Find an invitation by email",
    sorts: &[
        ("-created", "Newest first"),
        ("created", "Oldest first"),
        ("email", "Email"),
        ("expires", "Expires first"),
    ],
    sort: "-created",
};

impl Labels for InvitationFilter {
    fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Pending => "Pending",
            Self::Expired => "Expired",
            Self::Accepted => "Accepted",
            Self::Revoked => "Revoked",
        }
    }
}

#[derive(Template)]
#[template(path = "invitations.html")]
struct InvitationList {
    shell: Shell,
    errors: FormErrors,
    base: String,
    list: ListHead,
    typed: InviteForm,
    issued: Vec<api::IssuedInvitation>,
    /// The email addresses of members, who were not invited.
    skipped: Vec<String>,
    /// Whether the server sends mail.
    sends_mail: bool,
    invitations: Vec<api::Invitation>,
    inviters: BTreeMap<String, String>,
}

impl InvitationList {
    /// Returns the class and the words of a state.
    fn state(invitation: &api::Invitation) -> (&'static str, &'static str) {
        match invitation.state {
            api::InvitationState::Pending => ("pending", "Pending"),
            api::InvitationState::Accepted => ("active", "Accepted"),
            api::InvitationState::Revoked => ("revoked", "Revoked"),
            api::InvitationState::Expired => ("expired", "Expired"),
        }
    }

    /// Returns the words of a role.
    fn role(invitation: &api::Invitation) -> &'static str {
        role_words(invitation.role)
    }

    /// Returns the number of invitations that were mailed.
    fn sent(&self) -> usize {
        self.issued.iter().filter(|one| one.mail == api::MailState::Sent).count()
    }

    fn any_failed(&self) -> bool {
        self.issued.iter().any(|one| one.mail == api::MailState::Failed)
    }

    /// Returns the invitations whose links the inviter has to send.
    fn links(&self) -> Vec<(&api::IssuedInvitation, &str)> {
        self.issued.iter().filter_map(|one| Some((one, one.url.as_deref()?))).collect()
    }

    fn is_open(invitation: &api::Invitation) -> bool {
        matches!(invitation.state, api::InvitationState::Pending | api::InvitationState::Expired)
    }

    fn has_open(&self) -> bool {
        self.invitations.iter().any(Self::is_open)
    }

    fn inviter<'a>(&'a self, invitation: &'a api::Invitation) -> &'a str {
        self.inviters.get(&invitation.created_by).unwrap_or(&invitation.created_by)
    }
}

async fn list_page(app: &App, at: &InWorkspace, query: ListQuery) -> Result<InvitationList, PageError> {
    let search = query.search(WORDS.sort);
    let found = app.look_through_invitations(&at.caller, at.place.id, &search, &query.place()).await?;
    let inviters: Vec<&str> = found.items.iter().map(|invitation| invitation.created_by.as_str()).collect();
    let inviters = app.find_emails(&at.caller, &inviters).await?;
    Ok(InvitationList {
        shell: at.shell("Invitations", "invitations"),
        errors: FormErrors::default(),
        base: at.path("invitations"),
        list: ListHead::new::<InvitationFilter, _>(at.path("invitations"), query, &WORDS, &found),
        typed: InviteForm { emails: String::new(), role: Role::Member },
        issued: Vec::new(),
        skipped: Vec::new(),
        sends_mail: app.settings().smtp.is_some(),
        invitations: found.items,
        inviters,
    })
}

async fn list(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    if query.is_csv() {
        return export(&app, &at, &query.search(WORDS.sort)).await;
    }
    Ok(page::render(StatusCode::OK, &list_page(&app, &at, query).await?))
}

async fn export(
    app: &App,
    at: &InWorkspace,
    search: &Search<InvitationOrder, InvitationFilter>,
) -> Result<Response, PageError> {
    let mut all = AllPages::new(MAX_ROWS);
    while let Some(paging) = all.next() {
        all.add(app.list_invitations(&at.caller, at.place.id, search, &paging).await?);
    }
    let mut csv = Csv::new(&["id", "email", "role", "state", "created_by", "created_at", "expires_at"]);
    for invitation in all.into_rows() {
        csv.row([
            invitation.id.to_string(),
            invitation.email.clone(),
            invitation.role.to_string(),
            InvitationList::state(&invitation).1.to_lowercase(),
            invitation.created_by.clone(),
            invitation.created_at.to_string(),
            invitation.expires_at.to_string(),
        ]);
    }
    Ok(csv.into_file("invitations.csv"))
}

#[derive(Deserialize)]
struct InviteForm {
    emails: String,
    role: Role,
}

/// Creates invitations. The links are only shown once, so they are on the response page.
async fn create(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Form(form): Form<InviteForm>,
) -> Result<Response, PageError> {
    let separate = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
    let emails = form.emails.split(separate).filter(|email| !email.is_empty()).map(str::to_owned).collect();
    let create = api::CreateInvitations { emails, role: form.role };
    match app.create_invitations(&at.caller, at.place.id, &create).await {
        Ok(issued) => {
            let api::IssuedInvitations { items, skipped } = issued.into_inner();
            let page = list_page(&app, &at, ListQuery::default()).await?;
            Ok(page::render(StatusCode::OK, &InvitationList { issued: items, skipped, ..page }))
        }
        Err(error) => {
            let errors = FormErrors::of(error)?;
            let page = list_page(&app, &at, ListQuery::default()).await?;
            Ok(page::again(errors, |errors| InvitationList { errors, typed: form, ..page }))
        }
    }
}

async fn resend(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let issued = app.resend_invitation(&at.caller, at.place.id, ids.parse("inv")?).await?.into_inner();
    let page = list_page(&app, &at, ListQuery::default()).await?;
    Ok(page::render(StatusCode::OK, &InvitationList { issued: vec![issued], ..page }))
}

/// Returns the page that asks before invitations are revoked.
async fn revoke_page(app: &App, at: &InWorkspace, ids: &[InvitationId]) -> Result<ConfirmationPage, PageError> {
    let invitations = app.preview_revoking_invitations(&at.caller, at.place.id, ids).await?;
    let back = at.path("invitations");
    let (title, button, effects) = match invitations.as_slice() {
        [one] => (
            format!("Revoke the invitation of {}?", one.email),
            "Revoke invitation",
            vec!["The link that was sent to them stops working. You can invite them again later.".to_owned()],
        ),
        several => (
            format!("Revoke {} invitations?", several.len()),
            "Revoke invitations",
            vec![
                "The links that were sent to these people stop working. You can invite them again later.".to_owned(),
                several.iter().map(|one| one.email.as_str()).collect::<Vec<_>>().join(", "),
            ],
        ),
    };
    let fields = ids.iter().map(|id| ("invitation", id.to_string()));
    let page = ConfirmationPage::new(at.shell(title, "invitations"), back, effects);
    Ok(ConfirmationPage {
        action: at.path("invitations/revoke"),
        button,
        fields: fields.chain([("confirmed", "1".to_owned())]).collect(),
        ..page
    })
}

async fn show_revoke(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &revoke_page(&app, &at, &[ids.parse("inv")?]).await?))
}

/// Revokes the chosen invitations, after a page that asks.
async fn revoke(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    AllFields(fields): AllFields,
) -> Result<Response, PageError> {
    let chosen = fields.iter().filter(|(name, _)| name == "invitation");
    let ids: Vec<InvitationId> =
        chosen.map(|(_, id)| id.parse().map_err(|_| AppError::not_found())).collect::<Result<_, _>>()?;
    if ids.is_empty() {
        let page = list_page(&app, &at, ListQuery::default()).await?;
        let errors = FormErrors::at("invitations", "No invitation is selected, and nothing was changed.");
        return Ok(page::again(errors, |errors| InvitationList { errors, ..page }));
    }
    let page = revoke_page(&app, &at, &ids).await?;
    if !fields.iter().any(|(name, value)| name == "confirmed" && value == "1") {
        return Ok(page::render(StatusCode::OK, &page));
    }
    let emails = app.preview_revoking_invitations(&at.caller, at.place.id, &ids).await?;
    let done = app.revoke_invitations(&at.caller, at.place.id, ids).await?;
    let notice = match (*done, emails.as_slice()) {
        (0, _) => Notice::say("Nothing was changed: the invitations were already accepted or revoked.").caution(),
        (1, [one]) => {
            Notice::say("The invitation of ").name(&one.email).text(" was revoked. Its link no longer works.")
        }
        (1, _) => Notice::say("1 invitation was revoked. Its link no longer works."),
        (count, _) => Notice::say(format!("{count} invitations were revoked. Their links no longer work.")),
    };
    Ok(page::redirect_after(&done, &at.path("invitations"), notice))
}

#[derive(Template)]
#[template(path = "accept.html")]
struct Accept {
    shell: Shell,
    errors: FormErrors,
    token: String,
    invitation: Option<OpenInvitation>,
    typed: AcceptForm,
}

async fn accept_page(app: &App, context: &PageContext, token: &str) -> Result<Accept, PageError> {
    let invitation = match app.find_invitation(token).await {
        Ok(invitation) => Some(invitation),
        Err(AppError::Conflict(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let shell = Shell::new(Some(context), "Accept the invitation", "");
    let (errors, typed) = (FormErrors::default(), AcceptForm::default());
    Ok(Accept { shell, errors, token: token.to_owned(), invitation, typed })
}

async fn show(State(app): State<Arc<App>>, context: PageContext, ids: Ids) -> Result<Response, PageError> {
    let page = accept_page(&app, &context, ids.text("token")).await?;
    let status = if page.invitation.is_some() { StatusCode::OK } else { StatusCode::GONE };
    Ok(page::render(status, &page))
}

/// The form of a person without an account. Users with an account send an empty form.
#[derive(Default, Deserialize)]
struct AcceptForm {
    name: Option<String>,
    password: Option<String>,
}

async fn accept(
    State(app): State<Arc<App>>,
    context: PageContext,
    ids: Ids,
    Form(mut form): Form<AcceptForm>,
) -> Result<Response, PageError> {
    let token = ids.text("token");
    let page = accept_page(&app, &context, token).await?;
    let Some(invitation) = &page.invitation else { return Ok(page::render(StatusCode::GONE, &page)) };
    let next = format!("/w/{}", invitation.slug);
    let joined = Notice::say("You have joined ").name(&invitation.workspace).text(".");
    let caller = context.session.as_ref().map(|session| &session.caller);
    // A password is not sent back.
    let password = form.password.take();
    let accept = api::AcceptInvitation { token: token.to_owned(), name: form.name.clone(), password };
    let done = match caller {
        Some(caller) => {
            let done = app.accept_invitation(Some(caller), context.browser.ip_address, accept).await;
            done.map(|done| done.map(|_| None))
        }
        None => {
            let done = app.accept_invitation_and_sign_in(&context.browser, accept).await;
            done.map(|done| done.map(Some))
        }
    };
    match done {
        Ok(done) => match &*done {
            None => Ok(page::redirect_after(&done, &next, joined)),
            Some(signed_in) => Ok(joined.show_after(welcome(&app, &context, signed_in, &next).await?)),
        },
        Err(error) => {
            let errors = FormErrors::of(error)?;
            Ok(page::again(errors, |errors| Accept { errors, typed: form, ..page }))
        }
    }
}
