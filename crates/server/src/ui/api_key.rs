//! API keys: those of service accounts, and one's own under Profile settings. The pages are the same; whose keys are
//! meant is the path.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{FromRequestParts, Query, State},
    response::{IntoResponse, Response},
};
use domain::{
    ApiKeyId, PrincipalId, PublicKey, ServiceAccountId, Timestamp, proof::proof_message, secret::is_private_key,
};
use http::{StatusCode, request::Parts};
use serde::Deserialize;

use super::{
    extract::{Form, Ids, InWorkspace, SignedInContext},
    list::columns,
    notice::Notice,
    page::{self, FormErrors, PageError, Shell, When, support_contact},
    page_context::PageContext,
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{Caller, DEFAULT_PAGE, KeyOrder, KeyOwner, KeySearch},
    error::Conflict,
};

pub(super) fn router() -> Pages {
    let mut router = Pages::default().get("/profile/api-keys", list_own).post("/profile/api-keys", create);
    for base in ["/profile/api-keys", "/w/{slug}/service-accounts/{sa}/keys"] {
        router = router
            .get(&format!("{base}/new"), show_new)
            .post(&format!("{base}/proof-challenge"), create_challenge)
            .get(&format!("{base}/{{key}}"), show)
            .post(&format!("{base}/{{key}}"), edit)
            .post(&format!("{base}/{{key}}/disable"), disable)
            .post(&format!("{base}/{{key}}/enable"), enable)
            .get(&format!("{base}/{{key}}/revoke"), show_revoke)
            .post(&format!("{base}/{{key}}/revoke"), revoke);
    }
    router.post("/w/{slug}/service-accounts/{sa}/keys", create)
}

/// Whose keys a page is about.
struct KeyPages {
    caller: Caller,
    context: PageContext,
    within: Option<InWorkspace>,
    owner: KeyOwner,
    /// The page that lists them.
    list: String,
    /// Where the pages of each begin.
    base: String,
}

impl KeyPages {
    fn shell(&self, title: impl Into<String>) -> Shell {
        match &self.within {
            Some(within) => within.shell(title, "service-accounts"),
            None => Shell::new(Some(&self.context), title, "api-keys"),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for KeyPages {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let SignedInContext { caller, context } = SignedInContext::from_request_parts(parts, state).await?;
        let ids = Ids::from_request_parts(parts, state).await?;
        if ids.text("slug").is_empty() {
            let list = "/profile/api-keys".to_owned();
            return Ok(Self { caller, context, within: None, owner: KeyOwner::Own, base: list.clone(), list });
        }
        let within = InWorkspace::from_request_parts(parts, state).await?;
        let account: ServiceAccountId = ids.parse("sa")?;
        let list = within.path(&format!("service-accounts/{account}"));
        let owner = KeyOwner::ServiceAccount(within.place.id, account);
        Ok(Self { caller, context, within: Some(within), owner, base: format!("{list}/keys"), list })
    }
}

/// What the status of a key is shown as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KeyStatus {
    Active,
    /// The key is active, and its owner is disabled.
    OwnerDisabled,
    Disabled,
    Suspended,
    Expired,
    Revoked,
}

impl KeyStatus {
    const fn new(state: api::KeyState, owner_disabled: bool) -> Self {
        match state {
            api::KeyState::Active if owner_disabled => Self::OwnerDisabled,
            api::KeyState::Active => Self::Active,
            api::KeyState::Disabled => Self::Disabled,
            api::KeyState::Suspended => Self::Suspended,
            api::KeyState::Expired => Self::Expired,
            api::KeyState::Revoked => Self::Revoked,
        }
    }

    /// The class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::OwnerDisabled | Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::OwnerDisabled => "account disabled",
            Self::Active | Self::Disabled | Self::Suspended | Self::Expired | Self::Revoked => self.class(),
        }
    }

    /// Whether the key can be used now.
    pub(super) const fn is_usable(self) -> bool {
        matches!(self, Self::Active)
    }

    pub(super) const fn may_be_disabled(self) -> bool {
        matches!(self, Self::Active | Self::OwnerDisabled)
    }

    pub(super) const fn may_be_enabled(self) -> bool {
        matches!(self, Self::Disabled)
    }

    pub(super) const fn is_suspended(self) -> bool {
        matches!(self, Self::Suspended)
    }

    pub(super) const fn is_revoked(self) -> bool {
        matches!(self, Self::Revoked)
    }

    /// Whether the key has expired or was revoked.
    pub(super) const fn has_ended(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked)
    }
}

columns! {
    /// The table of keys.
    KeyColumn {
        Title: "Title",
        Fingerprint: "Fingerprint",
        Created: "Created",
        LastUsed: "Last used",
        Expires: "Expires",
        Status: "Status",
        Actions: "Actions",
    }
}

impl KeyColumn {
    /// The name in the address of the list that is sorted by it.
    pub(super) const fn sort(self) -> Option<&'static str> {
        match self {
            Self::Title => Some("title"),
            Self::Created => Some("created"),
            Self::LastUsed => Some("used"),
            Self::Expires => Some("expires"),
            Self::Fingerprint | Self::Status | Self::Actions => None,
        }
    }
}

/// A key as the table and its own page show it.
pub(super) struct KeyRow {
    pub(super) id: ApiKeyId,
    pub(super) title: String,
    pub(super) fingerprint: String,
    pub(super) public_key: String,
    pub(super) algorithm: String,
    pub(super) status: KeyStatus,
    pub(super) created_at: When,
    /// Such as `by ada@example.com`.
    pub(super) created_by: String,
    pub(super) last_used_at: Option<When>,
    pub(super) last_used_ip: String,
    pub(super) expires_at: Option<When>,
    /// The day on which it expires, as people write it.
    pub(super) expires_day: String,
    /// The same day, as a date field holds it.
    pub(super) expires_on: String,
    pub(super) expires_soon: bool,
    pub(super) used_recently: bool,
    pub(super) proven_at: Option<When>,
    pub(super) displaced_at: Option<When>,
}

const DAY: i64 = 86_400;
/// How many days before a key expires its list warns of it.
const WARNED_DAYS: i64 = 14;

/// What a row tells beside the key itself.
struct Surroundings<'a> {
    shell: &'a Shell,
    emails: BTreeMap<String, String>,
    now: Timestamp,
    owner_disabled: bool,
}

fn key_row(key: api::ApiKey, around: &Surroundings<'_>) -> KeyRow {
    let Surroundings { shell, emails, now, owner_disabled } = around;
    let status = KeyStatus::new(key.state, *owner_disabled);
    let within = |time: Option<Timestamp>, days: i64| {
        time.is_some_and(|time| (time.as_second() - now.as_second()).abs() < days * DAY)
    };
    let created_by = match key.created_by.as_str() {
        "host" => "on the server".to_owned(),
        id => format!("by {}", emails.get(id).map_or(id, String::as_str)),
    };
    KeyRow {
        id: key.id,
        title: key.title,
        fingerprint: key.fingerprint,
        public_key: key.public_key,
        algorithm: key.algorithm.trim_start_matches("ssh-").to_owned(),
        status,
        created_at: shell.when(&key.created_at),
        created_by,
        last_used_at: key.last_used_at.as_ref().map(|time| shell.when(time)),
        last_used_ip: key.last_used_ip.unwrap_or_default(),
        expires_at: key.expires_at.as_ref().map(|time| shell.when(time)),
        expires_day: key.expires_at.map_or(String::new(), |time| time.strftime("%-d %b %Y").to_string()),
        expires_on: key.expires_at.map_or(String::new(), |time| time.strftime("%Y-%m-%d").to_string()),
        expires_soon: !status.has_ended() && within(key.expires_at, WARNED_DAYS),
        used_recently: within(key.last_used_at, 7),
        proven_at: key.proven_at.as_ref().map(|time| shell.when(time)),
        displaced_at: key.displaced_at.as_ref().map(|time| shell.when(time)),
    }
}

/// The keys of an owner, and what can be done.
pub(super) struct KeyTable {
    pub(super) rows: Vec<KeyRow>,
    pub(super) found: usize,
    pub(super) hidden: usize,
    pub(super) all: usize,
    /// How many keys of the owner end within [`WARNED_DAYS`], on all pages.
    pub(super) ending: usize,
    /// Keys that somebody else took over lately.
    pub(super) displaced: Vec<api::ApiKey>,
    pub(super) owner_disabled: bool,
    pub(super) count: api::KeyCount,
    pub(super) is_full: bool,
    pub(super) contact: String,
    pub(super) list: String,
    pub(super) base: String,
    pub(super) new: &'static str,
    pub(super) query: KeyQuery,
}

/// Which keys to show, as the address of a page says it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyQuery {
    /// `1`: dead ones, too.
    all: String,
    /// What to look for.
    pub(super) q: String,
    /// A column, with a `-` before it the other way round.
    pub(super) sort: String,
    /// How many keys come before this page.
    skip: String,
}

impl KeyQuery {
    fn search(&self, now: Timestamp) -> KeySearch {
        let (column, descending) = match self.sort.strip_prefix('-') {
            Some(column) => (column, true),
            None => (self.sort.as_str(), false),
        };
        let (order, descending) = match column {
            "title" => (KeyOrder::Title, descending),
            "used" => (KeyOrder::LastUsed, descending),
            "expires" => (KeyOrder::Expires, descending),
            "created" => (KeyOrder::Created, descending),
            // The one that was just made comes first.
            _ => (KeyOrder::Created, true),
        };
        let soon = Timestamp::from_second(now.as_second() + WARNED_DAYS * DAY).unwrap_or(Timestamp::MAX);
        KeySearch { text: self.q.clone(), with_dead: self.all == "1", order, descending, skip: self.skipped(), soon }
    }

    fn skipped(&self) -> usize {
        self.skip.parse().unwrap_or(0)
    }
}

impl KeyTable {
    /// The list with one thing about it changed. Another search or order begins at its first page.
    pub(super) fn link(&self, name: &str, value: &str) -> String {
        let query = &self.query;
        let mut fields = [("all", query.all.as_str()), ("q", &query.q), ("sort", &query.sort), ("skip", "")];
        for field in fields.iter_mut().filter(|(field, _)| *field == name) {
            field.1 = value;
        }
        format!("{}{}", self.list, page::query(&fields))
    }

    /// The list by that column; by the other way round where it is by that column already.
    pub(super) fn sort_link(&self, column: &str) -> String {
        let is_so = self.query.sort == column;
        self.link("sort", &if is_so { format!("-{column}") } else { column.to_owned() })
    }

    /// How the list is sorted by that column, for `aria-sort`.
    pub(super) fn sorted(&self, column: &str) -> &'static str {
        let sort = if self.query.sort.is_empty() { "-created" } else { &self.query.sort };
        match (sort == column, sort.strip_prefix('-') == Some(column)) {
            (true, _) => "ascending",
            (_, true) => "descending",
            _ => "none",
        }
    }

    /// The part of the address that leads from the list to the pages of its keys. It stands three times in each row.
    pub(super) fn way(&self) -> &str {
        let folder = self.list.rfind('/').map_or(0, |slash| slash + 1);
        self.base.get(folder..).unwrap_or(&self.base)
    }

    pub(super) fn shows_all(&self) -> bool {
        self.query.all == "1"
    }

    /// The page after this one.
    pub(super) fn next_link(&self) -> Option<String> {
        let seen = self.query.skipped() + self.rows.len();
        (!self.rows.is_empty() && seen < self.found).then(|| self.link("skip", &seen.to_string()))
    }

    /// The page before this one.
    pub(super) fn previous_link(&self) -> Option<String> {
        let skipped = self.query.skipped();
        let before = skipped.saturating_sub(page_length());
        (skipped > 0).then(|| self.link("skip", &before.to_string()))
    }
}

fn page_length() -> usize {
    usize::try_from(DEFAULT_PAGE).unwrap_or(usize::MAX)
}

/// Whether the owner of keys is a service account that is disabled: then none of them works.
async fn is_owner_disabled(app: &App, caller: &Caller, owner: KeyOwner) -> Result<bool, AppError> {
    match owner {
        KeyOwner::ServiceAccount(workspace, account) => {
            Ok(app.find_service_account(caller, workspace, account).await?.disabled)
        }
        KeyOwner::Own | KeyOwner::User(_) => Ok(false),
    }
}

/// The owner of the keys on a page, read once.
pub(super) struct ShownOwner {
    owner: KeyOwner,
    /// Whether the owner is a service account that is disabled: then none of its keys works.
    disabled: bool,
    count: api::KeyCount,
}

impl ShownOwner {
    /// A service account that the page has read.
    pub(super) const fn of_account(owner: KeyOwner, account: &api::ServiceAccount) -> Self {
        Self { owner, disabled: account.disabled, count: account.keys }
    }

    async fn find(app: &App, caller: &Caller, owner: KeyOwner) -> Result<Self, AppError> {
        match owner {
            KeyOwner::ServiceAccount(workspace, id) => {
                let account = app.find_service_account(caller, workspace, id).await?;
                Ok(Self::of_account(owner, &account))
            }
            KeyOwner::Own | KeyOwner::User(_) => {
                Ok(Self { owner, disabled: false, count: app.count_api_keys(caller, owner).await? })
            }
        }
    }
}

pub(super) async fn key_table(
    app: &App,
    caller: &Caller,
    shown: ShownOwner,
    shell: &Shell,
    list: String,
    base: String,
    mut query: KeyQuery,
) -> Result<KeyTable, AppError> {
    let ShownOwner { owner, disabled: owner_disabled, count } = shown;
    let now = app.now();
    let mut found = app.search_api_keys(caller, owner, &query.search(now)).await?;
    if let (true, Some(last)) = (found.items.is_empty(), found.found.checked_sub(1)) {
        // Past the end, for instance where the keys of the last page were revoked: the last page there is.
        query.skip = (last / page_length() * page_length()).to_string();
        found = app.search_api_keys(caller, owner, &query.search(now)).await?;
    }
    let creators: Vec<&str> = found.items.iter().map(|key| key.created_by.as_str()).collect();
    let emails = app.find_emails(caller, &creators).await?;
    let around = Surroundings { shell, emails, now, owner_disabled };
    Ok(KeyTable {
        rows: found.items.into_iter().map(|key| key_row(key, &around)).collect(),
        ending: found.ending,
        displaced: found.displaced,
        owner_disabled,
        found: found.found,
        hidden: found.dead,
        all: found.all,
        is_full: count.live >= u64::from(count.limit),
        count,
        contact: support_contact(app),
        list,
        base,
        new: if owner == KeyOwner::Own { "New Key" } else { "New API key" },
        query,
    })
}

#[derive(Template)]
#[template(path = "api_keys.html")]
struct OwnKeys {
    shell: Shell,
    keys: KeyTable,
}

async fn list_own(
    State(app): State<Arc<App>>,
    at: KeyPages,
    Query(query): Query<KeyQuery>,
) -> Result<Response, PageError> {
    let shell = at.shell("API keys");
    let owner = ShownOwner::find(&app, &at.caller, at.owner).await?;
    let keys = key_table(&app, &at.caller, owner, &shell, at.list, at.base, query).await?;
    Ok(page::render(StatusCode::OK, &OwnKeys { shell, keys }))
}

#[derive(Template)]
#[template(path = "api_key_new.html")]
struct NewKey {
    shell: Shell,
    errors: FormErrors,
    list: String,
    base: String,
    /// One's own key downloads when it is made, a service account's when it is added.
    is_own: bool,
    count: api::KeyCount,
    contact: String,
    owner_disabled: bool,
    needs_password: bool,
    public_url: String,
    title: String,
    public_key: String,
    expires: String,
    /// The way out where somebody else registered the key.
    challenge: Option<Challenge>,
    /// Where the key is that stands in the way, if this is for the person to know.
    existing: Option<String>,
}

impl NewKey {
    fn is_full(&self) -> bool {
        self.count.live >= u64::from(self.count.limit)
    }

    /// Who makes the key: somebody else may be signed in by the time it is added.
    fn account(&self) -> &str {
        self.shell.account.as_ref().map_or("", |account| &account.email)
    }
}

/// What a proof signs, and how.
struct Challenge {
    /// A line for a shell, which prints the proof.
    command: String,
}

/// A challenge for the script that makes a key pair, which signs a proof with it before the key is added.
async fn create_challenge(State(app): State<Arc<App>>, at: KeyPages) -> Result<Response, PageError> {
    let (owner, challenge) = app.create_proof_challenge_for(&at.caller, at.owner).await?.into_inner();
    let parts = serde_json::json!({
        "namespace": challenge.namespace,
        "public_url": challenge.public_url,
        "owner": owner.to_string(),
        "challenge": challenge.challenge,
    });
    Ok((StatusCode::CREATED, axum::Json(parts)).into_response())
}

impl Challenge {
    /// A fresh challenge, good for five minutes.
    async fn create(app: &Arc<App>, at: &KeyPages, fingerprint: &str) -> Result<Option<Self>, AppError> {
        let Ok(fingerprint) = fingerprint.parse() else { return Ok(None) };
        let (owner, challenge) = app.create_proof_challenge_for(&at.caller, at.owner).await?.into_inner();
        let message = proof_message(&challenge.public_url, &owner.to_string(), &fingerprint, &challenge.challenge);
        let message = message.replace('\n', "\\n");
        let namespace = challenge.namespace;
        Ok(Some(Self {
            command: format!("printf '{message}' | ssh-keygen -Y sign -n {namespace} -f ~/.ssh/id_ed25519"),
        }))
    }
}

/// Where a key is that is registered already, if the caller was told and has a page of it.
fn place_of((key, owner): (ApiKeyId, PrincipalId), at: &KeyPages) -> Option<String> {
    if at.caller.principal().id() == Some(owner) {
        return Some(format!("/profile/api-keys/{key}"));
    }
    let PrincipalId::ServiceAccount(account) = owner else { return None };
    at.within.as_ref().map(|within| within.path(&format!("service-accounts/{account}/keys/{key}")))
}

async fn new_key(app: &Arc<App>, at: &KeyPages) -> Result<NewKey, PageError> {
    let owner = ShownOwner::find(app, &at.caller, at.owner).await?;
    let needs_password = at.caller.principal().require_recent_password(app.now()).is_err();
    Ok(NewKey {
        shell: at.shell(if at.owner == KeyOwner::Own { "New Key" } else { "New API key" }),
        errors: FormErrors::default(),
        list: at.list.clone(),
        base: at.base.clone(),
        is_own: at.owner == KeyOwner::Own,
        count: owner.count,
        contact: support_contact(app),
        owner_disabled: owner.disabled,
        needs_password,
        public_url: app.settings().public_url.clone(),
        title: String::new(),
        public_key: String::new(),
        expires: String::new(),
        challenge: None,
        existing: None,
    })
}

/// The page; for a script on one that is older than the session, what has changed with it.
async fn show_new(State(app): State<Arc<App>>, at: KeyPages) -> Result<Response, PageError> {
    let page = new_key(&app, &at).await?;
    if at.context.wants_json {
        let fresh = serde_json::json!({
            "csrf": page.shell.csrf,
            "account": page.account(),
            "needs_password": page.needs_password,
        });
        return Ok(axum::Json(fresh).into_response());
    }
    Ok(page::render(StatusCode::OK, &page))
}

#[derive(Deserialize)]
struct KeyForm {
    title: String,
    public_key: String,
    #[serde(default)]
    expires: String,
    #[serde(default)]
    proof: String,
}

/// The end of a day, as a date field has it.
pub(super) fn end_of_day(field: &str, date: &str) -> Result<Option<Timestamp>, AppError> {
    if date.is_empty() {
        return Ok(None);
    }
    let malformed = |_| AppError::field(field, "malformed", "write a date such as 2027-01-31");
    format!("{date}T23:59:59Z").parse().map(Some).map_err(malformed)
}

async fn create(State(app): State<Arc<App>>, at: KeyPages, Form(form): Form<KeyForm>) -> Result<Response, PageError> {
    let created = match end_of_day("expires", &form.expires) {
        Ok(expires_at) => {
            let (title, public_key) = (form.title.clone(), form.public_key.clone());
            let proof = (!form.proof.trim().is_empty()).then(|| form.proof.clone());
            let create = api::CreateApiKey { title, public_key, expires_at, proof };
            app.create_api_key(&at.caller, at.owner, &create).await
        }
        Err(error) => Err(error.into()),
    };
    match created {
        Ok(key) if at.context.wants_json => Ok((StatusCode::CREATED, axum::Json(key.into_inner())).into_response()),
        Ok(key) => Ok(page::go_on(&key, &format!("{}/{}", at.base, key.id), Notice::Created)),
        Err(error) if at.context.wants_json => Err(error.into()),
        Err(error) => refuse(&app, &at, form, error.into()).await,
    }
}

/// The form again, with what is wrong at its fields and all that was typed.
async fn refuse(app: &Arc<App>, at: &KeyPages, form: KeyForm, error: AppError) -> Result<Response, PageError> {
    // A proof is not shown again: it answers a challenge that is over.
    let KeyForm { title, mut public_key, expires, .. } = form;
    // A private key that came this far is not sent back, whatever else is wrong with the form.
    if is_private_key(&public_key) {
        public_key.clear();
    }
    let mut page = new_key(app, at).await?;
    let errors = match error {
        AppError::Conflict(Conflict::DuplicateKey { fingerprint, registration }) => {
            page.existing = registration.and_then(|registration| place_of(registration, at));
            if page.existing.is_none() {
                page.challenge = Challenge::create(app, at, &fingerprint.to_string()).await?;
            }
            let error = Conflict::DuplicateKey { fingerprint, registration };
            FormErrors::of(AppError::Conflict(error))?.all_at_field("public_key")
        }
        AppError::Conflict(conflict @ (Conflict::BlockedKey { .. } | Conflict::KeyUseUnconfirmed { .. })) => {
            FormErrors::of(AppError::Conflict(conflict))?.all_at_field("public_key")
        }
        AppError::Invalid(errors) => {
            if errors.iter().any(|e| e.field == "proof") {
                let key = PublicKey::parse(&public_key).ok();
                if let Some(key) = key {
                    page.challenge = Challenge::create(app, at, &key.key.fingerprint().to_string()).await?;
                }
            }
            FormErrors::of(AppError::Invalid(errors))?.at_field("expires_at", "expires")
        }
        error => FormErrors::of(error)?,
    };
    Ok(page::again(errors, |errors| NewKey { errors, title, public_key, expires, ..page }))
}

#[derive(Template)]
#[template(path = "api_key.html")]
struct KeyPage {
    shell: Shell,
    errors: FormErrors,
    list: String,
    base: String,
    key: KeyRow,
    owner_disabled: bool,
    public_url: String,
    title: String,
    expires: String,
}

async fn key_page(app: &App, at: &KeyPages, id: ApiKeyId) -> Result<KeyPage, PageError> {
    let key = app.find_api_key(&at.caller, at.owner, id).await?;
    let emails = app.find_emails(&at.caller, &[key.created_by.as_str()]).await?;
    let shell = at.shell(key.title.clone());
    let owner_disabled = is_owner_disabled(app, &at.caller, at.owner).await?;
    let key = key_row(key, &Surroundings { shell: &shell, emails, now: app.now(), owner_disabled });
    let (title, expires) = (key.title.clone(), key.expires_on.clone());
    let errors = FormErrors::default();
    Ok(KeyPage {
        shell,
        errors,
        list: at.list.clone(),
        base: format!("{}/{id}", at.base),
        key,
        owner_disabled,
        public_url: app.settings().public_url.clone(),
        title,
        expires,
    })
}

/// The page of a key; for a script that waits for its first use, the key alone.
async fn show(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    if at.context.wants_json {
        let key = app.find_api_key(&at.caller, at.owner, ids.parse("key")?).await?;
        return Ok(axum::Json(key).into_response());
    }
    Ok(page::render(StatusCode::OK, &key_page(&app, &at, ids.parse("key")?).await?))
}

/// A field that the form does not have is `None` and changes nothing; an empty date removes the expiry.
#[derive(Deserialize)]
struct EditForm {
    title: Option<String>,
    expires: Option<String>,
}

async fn edit(
    State(app): State<Arc<App>>,
    at: KeyPages,
    ids: Ids,
    Form(form): Form<EditForm>,
) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let page = key_page(&app, &at, id).await?;
    // A date that was not changed keeps its hour.
    let changed = form.expires.as_deref().filter(|date| *date != page.key.expires_on);
    let saved = match changed.map(|date| end_of_day("expires", date)).transpose() {
        Ok(expires_at) => {
            let update = api::UpdateApiKey { title: form.title.clone(), expires_at };
            app.update_api_key(&at.caller, at.owner, id, &update).await
        }
        Err(error) => Err(error.into()),
    };
    let next = page.base.clone();
    page::answer(
        saved,
        |_| next,
        Notice::Saved,
        async |errors| {
            let errors = errors.at_field("expires_at", "expires");
            let (title, expires) = (form.title.unwrap_or(page.title), form.expires.unwrap_or(page.expires));
            Ok(KeyPage { errors, title, expires, ..page })
        },
    )
    .await
}

async fn disable(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let done = app.disable_api_key(&at.caller, at.owner, id).await?;
    Ok(page::go_on(&done, &format!("{}/{id}", at.base), Notice::Disabled))
}

async fn enable(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let done = app.enable_api_key(&at.caller, at.owner, id, &api::EnableApiKey::default()).await;
    page::answer(
        done,
        |_| format!("{}/{id}", at.base),
        Notice::Enabled,
        async |errors| Ok(KeyPage { errors, ..key_page(&app, &at, id).await? }),
    )
    .await
}

#[derive(Template)]
#[template(path = "api_key_revoke.html")]
struct RevokePage {
    shell: Shell,
    errors: FormErrors,
    base: String,
    key: KeyRow,
    /// The keys that can be revoked along with it.
    cascade: Vec<api::CascadedKey>,
    typed: RevokeForm,
}

async fn revoke_page(app: &App, at: &KeyPages, id: ApiKeyId, typed: RevokeForm) -> Result<RevokePage, PageError> {
    let KeyPage { base, key, errors, .. } = key_page(app, at, id).await?;
    let cascade = app.list_cascade(&at.caller, at.owner, id).await?.keys;
    Ok(RevokePage { shell: at.shell(format!("Revoke {}", key.title)), errors, base, key, cascade, typed })
}

async fn show_revoke(State(app): State<Arc<App>>, at: KeyPages, ids: Ids) -> Result<Response, PageError> {
    let page = revoke_page(&app, &at, ids.parse("key")?, RevokeForm::default()).await?;
    // With keys that it made there is still something to revoke.
    if page.key.status.is_revoked() && page.cascade.is_empty() {
        return Ok(page::go_to(&page.base));
    }
    Ok(page::render(StatusCode::OK, &page))
}

#[derive(Default, Deserialize)]
struct RevokeForm {
    #[serde(default)]
    confirm_title: String,
    #[serde(default)]
    cascade: String,
}

async fn revoke(
    State(app): State<Arc<App>>,
    at: KeyPages,
    ids: Ids,
    Form(form): Form<RevokeForm>,
) -> Result<Response, PageError> {
    let id: ApiKeyId = ids.parse("key")?;
    let cascade = form.cascade == "1";
    let page = revoke_page(&app, &at, id, form).await?;
    if page.key.used_recently && page.typed.confirm_title.trim() != page.key.title {
        let detail = format!("That is not the title of the key. Write it as it stands: {}", page.key.title);
        let errors = FormErrors::say(400, &detail).all_at_field("confirm_title");
        return Ok(page::again(errors, |errors| RevokePage { errors, ..page }));
    }
    let done = app.revoke_api_key(&at.caller, at.owner, id, cascade).await?;
    Ok(page::go_on(&done, &at.list, Notice::Revoked))
}
