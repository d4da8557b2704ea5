//! Invitations: inviting several people, the pending invitations, and the page of the link.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{list::Search, role::Role};
use http::StatusCode;
use serde::Deserialize;

use super::{
    extract::{Form, Ids, InWorkspace},
    list::{PageQuery, columns},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    page_context::PageContext,
    receive::welcome,
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{OpenInvitation, Paging},
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/invitations", list)
        .post("/w/{slug}/invitations", create)
        .post("/w/{slug}/invitations/{inv}/resend", resend)
        .post("/w/{slug}/invitations/{inv}/revoke", revoke)
        .get("/invitations/{token}", show)
        .post("/invitations/{token}", accept)
}

columns! {
    /// The table of invitations.
    InvitationColumn {
        Email: "Email",
        Role: "Role",
        Sent: "Sent",
        Expires: "Expires",
        Status: "Status",
        Actions: hidden "Actions",
    }
}

#[derive(Template)]
#[template(path = "invitations.html")]
struct List {
    shell: Shell,
    errors: FormErrors,
    base: String,
    typed: InviteForm,
    issued: Vec<api::IssuedInvitation>,
    invitations: Vec<api::Invitation>,
    inviters: BTreeMap<String, String>,
    next: Option<String>,
}

impl List {
    fn state(invitation: &api::Invitation) -> &'static str {
        match invitation.state {
            api::InvitationState::Pending => "pending",
            api::InvitationState::Accepted => "accepted",
            api::InvitationState::Revoked => "revoked",
            api::InvitationState::Expired => "expired",
        }
    }

    fn all_sent(&self) -> bool {
        self.issued.iter().all(|one| one.mail == api::MailState::Sent)
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

    fn inviter<'a>(&'a self, invitation: &'a api::Invitation) -> &'a str {
        self.inviters.get(&invitation.created_by).unwrap_or(&invitation.created_by)
    }
}

async fn list_page(app: &App, at: &InWorkspace, after: Option<String>) -> Result<List, PageError> {
    let invitations =
        app.list_invitations(&at.caller, at.place.id, &Search::default(), &Paging { after, limit: None }).await?;
    let inviters: Vec<&str> = invitations.items.iter().map(|invitation| invitation.created_by.as_str()).collect();
    let inviters = app.find_emails(&at.caller, &inviters).await?;
    Ok(List {
        shell: at.shell("Invitations", "invitations"),
        errors: FormErrors::default(),
        base: at.path("invitations"),
        typed: InviteForm { emails: String::new(), role: Role::Member },
        issued: Vec::new(),
        invitations: invitations.items,
        inviters,
        next: invitations.next,
    })
}

async fn list(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<PageQuery>,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &list_page(&app, &at, query.after).await?))
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
        Ok(issued) => Ok(page::render(
            StatusCode::OK,
            &List { issued: issued.into_inner().items, ..list_page(&app, &at, None).await? },
        )),
        Err(error) => {
            let errors = FormErrors::of(error)?;
            let page = list_page(&app, &at, None).await?;
            Ok(page::again(errors, |errors| List { errors, typed: form, ..page }))
        }
    }
}

async fn resend(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let issued = app.resend_invitation(&at.caller, at.place.id, ids.parse("inv")?).await?;
    Ok(page::render(StatusCode::OK, &List { issued: vec![issued.into_inner()], ..list_page(&app, &at, None).await? }))
}

async fn revoke(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let done = app.revoke_invitation(&at.caller, at.place.id, ids.parse("inv")?).await?;
    Ok(page::redirect_after(&done, &at.path("invitations"), Notice::say("Removed.")))
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
    let next = format!("/w/{}/projects", invitation.slug);
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
            None => Ok(page::redirect_after(&done, &next, Notice::say("Welcome. You have joined the workspace."))),
            Some(signed_in) => Ok(Notice::say("Welcome. You have joined the workspace.")
                .show_after(welcome(&app, &context, signed_in, &next).await?)),
        },
        Err(error) => {
            let errors = FormErrors::of(error)?;
            Ok(page::again(errors, |errors| Accept { errors, typed: form, ..page }))
        }
    }
}
