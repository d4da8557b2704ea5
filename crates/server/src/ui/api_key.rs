//! The pages about API keys: those of service accounts, and the user's own under Profile settings. The pages are the
//! same. The path determines the owner. The list, the registration of a key, the page of a key, its limits, its rotation
//! and its revocation each have a file.

mod bulk;
mod detail;
mod key_pair;
mod limits;
mod list;
mod preset;
mod registration;
mod revocation;
mod rotation;
mod rotation_card;
mod row;

use axum::extract::FromRequestParts;
use domain::ServiceAccountId;
use http::request::Parts;

pub(super) use self::{
    limits::LimitFields,
    list::{KeyColumn, KeyTable, export_keys, search_keys},
    preset::Preset,
    row::{KeyStatus, shorten},
};
use super::{
    extract::{Ids, InWorkspace, SignedInContext},
    page::{PageError, Shell},
    page_context::PageContext,
    routes::Pages,
};
use crate::app::{Caller, KeyOwner, KeyOwnerDetails};

pub(super) fn router() -> Pages {
    let mut router =
        Pages::default().get("/profile/api-keys", list::show_own).post("/profile/api-keys", registration::create);
    for base in ["/profile/api-keys", "/w/{slug}/service-accounts/{sa}/keys"] {
        router = router
            .get(&format!("{base}/new"), registration::show_new)
            .post(&format!("{base}/proof-challenge"), key_pair::create_challenge)
            .post(&format!("{base}/bulk"), bulk::edit)
            .get(&format!("{base}/{{key}}"), detail::show)
            .post(&format!("{base}/{{key}}"), detail::edit)
            .get(&format!("{base}/{{key}}/limits"), limits::show)
            .post(&format!("{base}/{{key}}/limits"), limits::edit)
            .get(&format!("{base}/{{key}}/rotate"), rotation::show)
            .post(&format!("{base}/{{key}}/rotate"), rotation::rotate)
            .get(&format!("{base}/{{key}}/rotate/undo"), rotation::show_undo)
            .post(&format!("{base}/{{key}}/rotate/undo"), rotation::undo)
            .get(&format!("{base}/{{key}}/disable"), detail::show_disable)
            .post(&format!("{base}/{{key}}/disable"), detail::disable)
            .post(&format!("{base}/{{key}}/enable"), detail::enable)
            .get(&format!("{base}/{{key}}/revoke"), revocation::show)
            .post(&format!("{base}/{{key}}/revoke"), revocation::revoke);
    }
    router
        .post("/w/{slug}/service-accounts/{sa}/keys", registration::create)
        .get("/w/{slug}/keys", list::show_of_workspace)
        .post("/w/{slug}/keys/bulk", bulk::edit)
}

/// The owner of the keys on a page.
struct KeyPages {
    caller: Caller,
    context: PageContext,
    within: Option<InWorkspace>,
    owner: KeyOwner,
    /// The path of the list.
    list: String,
    /// The prefix of the path of each key.
    base: String,
}

/// The service account that owns the keys on a page.
pub(super) struct OwnerLink {
    pub(super) name: String,
    pub(super) path: String,
    /// The path of the list of service accounts.
    pub(super) list: String,
}

impl KeyPages {
    /// Returns the service account that owns the keys, or `None` if they are the user's own.
    fn owner_link(&self, owner: &KeyOwnerDetails) -> Option<OwnerLink> {
        let (account, within) = (owner.service_account.as_ref()?, self.within.as_ref()?);
        let list = within.path("service-accounts");
        Some(OwnerLink { name: account.display_name.clone(), path: format!("{list}/{}", account.id), list })
    }

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
