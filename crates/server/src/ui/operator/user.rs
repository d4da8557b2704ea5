//! The list of all users, and what operators change of a user.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{UserId, list::UserFilter, user::show_email};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    App, AppError,
    ui::{
        confirmation::{ConfirmationPage, Registered},
        csv::{Csv, MAX_ROWS},
        extract::{Form, Ids, SignedInContext},
        list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
        notice::Notice,
        page::{self, FormErrors, PageError, Shell},
    },
};

columns! {
    /// The table of users.
    UserColumn {
        Name: "Name" by "name",
        Status: "Status",
        Created: "Created" by "-created",
        Actions: hidden "Actions",
    }
}

const USER_WORDS: ListWords = ListWords {
    find: "Find a user by name or email",
    sorts: &[("name", "Name"), ("email", "Email"), ("-created", "Newest first"), ("created", "Oldest first")],
    sort: "-created",
};

impl Labels for UserFilter {
    fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Active => "Active",
            Self::Operator => "Operators",
            Self::Disabled => "Disabled",
            Self::Suspended => "Suspended",
            Self::Unverified => "Not verified",
        }
    }
}

#[derive(Template)]
#[template(path = "operator_users.html")]
struct UserList {
    shell: Shell,
    errors: FormErrors,
    list: ListHead,
    users: Vec<api::User>,
    typed: UserForm,
}

async fn users(app: &App, signed_in: &SignedInContext, query: ListQuery) -> Result<UserList, PageError> {
    let search = query.search(USER_WORDS.sort);
    let found = app.look_through_users(&signed_in.caller, &search, &query.place()).await?;
    let list = ListHead::new::<UserFilter, _>("/operator/users".to_owned(), query, &USER_WORDS, &found);
    let shell = Shell::new(Some(&signed_in.context), "Users", "operator-users");
    Ok(UserList { shell, errors: FormErrors::default(), list, users: found.items, typed: UserForm::default() })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    if query.is_csv() {
        return export(&app, &signed_in, &query).await;
    }
    Ok(page::render(StatusCode::OK, &users(&app, &signed_in, query).await?))
}

async fn export(app: &App, signed_in: &SignedInContext, query: &ListQuery) -> Result<Response, PageError> {
    let (search, mut all) = (query.search(USER_WORDS.sort), AllPages::new(MAX_ROWS));
    while let Some(paging) = all.next() {
        all.add(app.list_users(&signed_in.caller, &search, &paging).await?);
    }
    let mut csv =
        Csv::new(&["id", "name", "email", "email_verified", "operator", "disabled", "suspended", "created_at"]);
    for user in all.into_rows() {
        csv.row([
            user.id.to_string(),
            user.name,
            user.email,
            user.email_verified.to_string(),
            user.operator.to_string(),
            user.disabled.to_string(),
            user.suspended.to_string(),
            user.created_at.to_string(),
        ]);
    }
    Ok(csv.into_file("users.csv"))
}

#[derive(Default, Deserialize)]
pub(super) struct UserForm {
    email: String,
    name: String,
    password: String,
    #[serde(default)]
    operator: String,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Form(mut form): Form<UserForm>,
) -> Result<Response, PageError> {
    // A password is not sent back.
    let password = std::mem::take(&mut form.password);
    let create = api::CreateUser {
        email: form.email.clone(),
        name: form.name.clone(),
        password: Some(password),
        operator: form.operator == "1",
    };
    let done = app.create_user(&signed_in.caller, create).await;
    page::answer(
        done,
        |_| "/operator/users".to_owned(),
        |user| Notice::say("The user ").name(&user.name).text(" was created."),
        async |errors| Ok(UserList { errors, typed: form, ..users(&app, &signed_in, ListQuery::default()).await? }),
    )
    .await
}

#[derive(Deserialize)]
pub(super) struct UserUpdateForm {
    disabled: Option<bool>,
    operator: Option<bool>,
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<UserUpdateForm>,
) -> Result<Response, PageError> {
    let update = api::UpdateUser { operator: form.operator, disabled: form.disabled, ..api::UpdateUser::default() };
    let done = app.update_user(&signed_in.caller, ids.parse("usr")?, update).await;
    page::answer(
        done,
        |_| "/operator/users".to_owned(),
        |user| {
            Notice::say("").name(&user.name).text(match (form.operator, form.disabled) {
                (Some(true), _) => " is an operator now.",
                (Some(false), _) => " is no longer an operator.",
                (None, Some(true)) => " is disabled. Their sessions have ended, and their keys are refused.",
                (None, Some(false) | None) => " is enabled. Their keys work again.",
            })
        },
        async |errors| Ok(UserList { errors, ..users(&app, &signed_in, ListQuery::default()).await? }),
    )
    .await
}

async fn disable_page(app: &App, signed_in: &SignedInContext, id: UserId) -> Result<ConfirmationPage, PageError> {
    let removal = app.preview_disabling(&signed_in.caller, id).await?;
    let number = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let keys = match removal.own_keys {
        0 => "They have no active keys.".to_owned(),
        1 => "1 active key is refused until you enable them.".to_owned(),
        count => format!("{count} active keys are refused until you enable them."),
    };
    let mut effects =
        vec![format!("{}, {}", removal.name, show_email(&removal.email)), format!("Their sessions end. {keys}")];
    if !removal.workspaces.is_empty() {
        let names: Vec<&str> = removal.workspaces.iter().map(|workspace| workspace.name.as_str()).collect();
        effects.push(format!("They are a member of {}.", names.join(", ")));
    }
    if removal.invitations > 0 {
        effects.push(format!(
            "{}, which they sent.",
            match removal.invitations {
                1 => "This revokes 1 open invitation".to_owned(),
                count => format!("This revokes {count} open invitations"),
            }
        ));
    }
    let left = removal.workspaces.iter().filter(|workspace| workspace.is_last_admin);
    effects.extend(left.map(|workspace| format!("{} will have no enabled admin.", workspace.name)));
    let registered = (removal.keys > 0).then(|| Registered {
        heading: String::new(),
        label: format!(
            "Also revoke {} that they registered for service accounts. Otherwise they keep working.",
            number(removal.keys, "key")
        ),
        keys: Vec::new(),
    });
    let shell = Shell::new(Some(&signed_in.context), format!("Disable {}?", removal.name), "operator-users");
    let effects = effects;
    Ok(ConfirmationPage {
        action: format!("/operator/users/{id}/disable"),
        button: "Disable user",
        registered,
        ..ConfirmationPage::new(shell, "/operator/users".to_owned(), effects)
    })
}

/// Asks before a user becomes an operator, or is one no longer.
pub(super) async fn show_operator(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
) -> Result<Response, PageError> {
    let id: UserId = ids.parse("usr")?;
    let user = app.find_any_user(&signed_in.caller, id).await?;
    let (title, button, lines) = if user.operator {
        let line = "They no longer create workspaces and users, and no longer set quotas. Their memberships and their \
                    keys stay as they are.";
        (format!("Remove the operator role from {}?", user.name), "Remove operator role", line)
    } else {
        let line = "Operators create workspaces and users, set quotas and passwords, disable users, and make other \
                    operators. They see the content of a workspace only as its member.";
        (format!("Make {} an operator?", user.name), "Make operator", line)
    };
    let who = format!("{}, {}", user.name, show_email(&user.email));
    let shell = Shell::new(Some(&signed_in.context), title, "operator-users");
    let page = ConfirmationPage {
        action: format!("/operator/users/{id}"),
        button,
        fields: vec![("operator", (!user.operator).to_string())],
        ..ConfirmationPage::new(shell, "/operator/users".to_owned(), vec![who, lines.to_owned()])
    };
    Ok(page::render(StatusCode::OK, &page))
}

/// Shows the objects that are revoked when a user is disabled, before it is done.
pub(super) async fn show_disable(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &disable_page(&app, &signed_in, ids.parse("usr")?).await?))
}

#[derive(Deserialize)]
pub(super) struct DisableForm {
    #[serde(default)]
    revoke_keys: String,
}

pub(super) async fn disable(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<DisableForm>,
) -> Result<Response, PageError> {
    let id: UserId = ids.parse("usr")?;
    let update =
        api::UpdateUser { disabled: Some(true), revoke_keys: form.revoke_keys == "1", ..api::UpdateUser::default() };
    let done = app.update_user(&signed_in.caller, id, update).await;
    page::answer(
        done,
        |_| "/operator/users".to_owned(),
        |user| {
            Notice::say("")
                .name(&user.name)
                .text(" is disabled. Their sessions have ended, and their keys are refused.")
        },
        async |errors| Ok(ConfirmationPage { errors, ..disable_page(&app, &signed_in, id).await? }),
    )
    .await
}

#[derive(Template)]
#[template(path = "operator_password.html")]
struct PasswordPage {
    shell: Shell,
    errors: FormErrors,
    action: String,
    email: String,
}

async fn password_page(app: &App, signed_in: &SignedInContext, id: UserId) -> Result<PasswordPage, PageError> {
    signed_in.caller.principal().authorize_operator().map_err(AppError::from)?;
    let emails = app.find_emails(&signed_in.caller, &[id.to_string().as_str()]).await?;
    Ok(PasswordPage {
        shell: Shell::new(Some(&signed_in.context), "Set a password", "operator-users"),
        errors: FormErrors::default(),
        action: format!("/operator/users/{id}/password"),
        email: emails.into_values().next().ok_or(AppError::not_found())?,
    })
}

pub(super) async fn show_password(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &password_page(&app, &signed_in, ids.parse("usr")?).await?))
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    password: String,
}

pub(super) async fn set_password(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<PasswordForm>,
) -> Result<Response, PageError> {
    let id: UserId = ids.parse("usr")?;
    let email = password_page(&app, &signed_in, id).await?.email;
    let done = app.set_password(&signed_in.caller, id, form.password).await;
    page::answer(
        done,
        |()| "/operator/users".to_owned(),
        |()| {
            Notice::say("The password of ")
                .name(&email)
                .text(" is set, and all their sessions have ended. Give them the password.")
        },
        async |errors| Ok(PasswordPage { errors, ..password_page(&app, &signed_in, id).await? }),
    )
    .await
}
