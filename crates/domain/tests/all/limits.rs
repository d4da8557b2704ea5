//! Whatever a key with limits gives to another key, the other key may do no more than it.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use domain::{
    PrincipalId, ProjectId, ServiceAccountId, Timestamp, UserId, WorkspaceId,
    limits::{Cidr, KeyLimits, KeywardScope, Limits, Scope},
    principal::{Denied, Identity, KeyCredential, Membership, Principal, ProjectPermission, WorkspacePermission},
    role::{ProjectRole, Role},
};
use proptest::prelude::*;
use uuid::Uuid;

const SCOPES: [&str; 5] = ["keyward:read", "keyward:write", "keyward:manage", "invoices:read", "labels:write"];
const CIDRS: [&str; 6] = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32", "192.0.2.0/24"];
const ADDRESSES: [&str; 5] = ["10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.7", "2001:db8::1"];

fn project(number: u8) -> ProjectId {
    ProjectId::from_uuid(Uuid::from_u128(number.into()))
}

fn workspace(number: u8) -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(number.into()))
}

fn user() -> PrincipalId {
    UserId::from_uuid(Uuid::from_u128(1)).into()
}

fn account() -> PrincipalId {
    ServiceAccountId::from_uuid(Uuid::from_u128(1)).into()
}

fn some<T: Clone + Ord + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Option<BTreeSet<T>>> {
    let most = values.len();
    prop::option::of(prop::sample::subsequence(values, 0..=most).prop_map(|values| values.into_iter().collect()))
}

fn limits() -> impl Strategy<Value = KeyLimits> {
    let scopes: Vec<Scope> = SCOPES.iter().map(|name| name.parse().unwrap()).collect();
    let cidrs: Vec<Cidr> = CIDRS.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let start = prop::option::of((0..9_i64).prop_map(|second| Timestamp::from_second(second).unwrap()));
    (some(scopes), some((0..3).map(project).collect()), some((0..3).map(workspace).collect()), some(cidrs), start)
        .prop_map(|(scopes, projects, workspaces, cidrs, not_before)| {
            Limits { scopes, projects, workspaces, cidrs, not_before }.into()
        })
}

/// Everything that a key of a user with these limits may do, in three workspaces with a project each.
fn permissions(limits: &KeyLimits) -> BTreeSet<String> {
    let memberships = (0..3).map(|number| Membership {
        workspace: workspace(number),
        slug: Arc::from(format!("acme-{number}")),
        name: Arc::from("Acme"),
        role: Role::Admin,
    });
    let identity = Identity {
        id: user(),
        email: "ada@example.com".to_owned(),
        email_verified: true,
        name: "Ada".to_owned(),
        operator: true,
        disabled: false,
        suspended: false,
        memberships: memberships.collect(),
    };
    let key = "key_01h455vb4pex5vsknk084sn02q".parse().unwrap();
    let principal = Principal::of_key(
        &Arc::new(identity),
        KeyCredential::Signature(key),
        limits,
        domain::principal::PolicyReach::everything(),
    );
    let mut allowed = BTreeSet::new();
    let mut add = |name: String, is_allowed: bool| {
        if is_allowed {
            allowed.insert(name);
        }
    };
    for scope in KeywardScope::ALL {
        add(scope.to_string(), principal.require_scope(scope).is_ok());
    }
    for name in SCOPES {
        add(format!("route {name}"), limits.has_scope(&name.parse().unwrap()));
    }
    for number in 0..3 {
        let place = workspace(number);
        add(format!("{place} view"), principal.authorize(WorkspacePermission::View, place).is_ok());
        let lists = principal.authorize_project_list(place);
        for other in 0..3 {
            let is_listed = lists
                .as_ref()
                .is_ok_and(|access| access.only().is_none_or(|mut only| only.any(|id| id == project(other))));
            add(format!("{place} lists {other}"), is_listed);
        }
        let role = Some(ProjectRole::Admin);
        let edits = principal.authorize_project(ProjectPermission::Edit, place, project(number), role);
        add(format!("{place} edit"), edits.is_ok());
        let proxied = principal.authorize_proxied_project(ProjectPermission::Edit, place, project(number), role);
        add(format!("{place} proxied edit"), proxied.is_ok());
    }
    add("operator".to_owned(), principal.authorize_operator().is_ok());
    add("own keys".to_owned(), principal.authorize_own_keys().is_ok());
    let shown = principal.identity().map_or(&[][..], |identity| &identity.memberships);
    for membership in shown {
        add(format!("{} shown", membership.workspace), true);
    }
    for address in ADDRESSES {
        let address: IpAddr = address.parse().unwrap();
        add(format!("from {address}"), limits.check_use(Timestamp::from_second(9).unwrap(), Some(address)).is_ok());
    }
    add("from an unknown address".to_owned(), limits.check_use(Timestamp::from_second(9).unwrap(), None).is_ok());
    allowed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn limits_only_take_away(limits in limits()) {
        let (own, everything) = (permissions(&limits), permissions(&KeyLimits::none()));
        prop_assert!(own.is_subset(&everything));
    }

    #[test]
    fn a_key_gives_at_most_what_it_has(own in limits(), requested in limits()) {
        match own.grant(&requested, user()) {
            Ok(granted) => {
                let granted = granted.into_limits();
                prop_assert!(permissions(&granted).is_subset(&permissions(&own)), "{:?}", granted);
                prop_assert!(permissions(&granted).is_subset(&permissions(&requested)), "{:?}", granted);
                prop_assert_eq!(own.require_within(&granted, user()), Ok(()));
            }
            // A refused request asks for something that the key does not have.
            Err(name) => prop_assert!(requested.get().is_some(), "{}", name),
        }
    }

    #[test]
    fn a_key_that_is_within_the_limits_of_another_may_do_no_more(own in limits(), other in limits()) {
        if own.require_within(&other, user()).is_ok() {
            prop_assert!(permissions(&other).is_subset(&permissions(&own)));
        }
        prop_assert_eq!(own.require_within(&own, user()), Ok(()));
        prop_assert_eq!(KeyLimits::none().require_within(&other, user()), Ok(()));
    }

    #[test]
    fn the_stored_form_is_read_back(limits in limits()) {
        if let Some(limits) = limits.get() {
            let read: Limits = limits.to_string().parse().unwrap();
            prop_assert_eq!(&read, limits);
        }
    }
}

#[test]
fn the_key_of_a_service_account_is_not_limited_to_workspaces_by_a_user_who_is() {
    let text = "scopes=keyward:manage;workspaces=ws_01h455vb4pex5vsknk084sn02q";
    let own = KeyLimits::from(text.parse::<Limits>().unwrap());
    let granted = own.grant(&KeyLimits::none(), account()).unwrap().into_limits();
    assert_eq!(granted.get().unwrap().to_string(), "scopes=keyward:manage");
    let granted = own.grant(&KeyLimits::none(), user()).unwrap().into_limits();
    assert_eq!(granted.get().unwrap().to_string(), text);
}

#[test]
fn a_principal_names_the_scope_that_its_key_lacks() {
    let identity = Identity {
        id: user(),
        email: "ada@example.com".to_owned(),
        email_verified: true,
        name: "Ada".to_owned(),
        operator: false,
        disabled: false,
        suspended: false,
        memberships: Vec::new(),
    };
    let key = "key_01h455vb4pex5vsknk084sn02q".parse().unwrap();
    let limits = KeyLimits::from("scopes=keyward:read".parse::<Limits>().unwrap());
    let principal = Principal::of_key(
        &Arc::new(identity),
        KeyCredential::Signature(key),
        &limits,
        domain::principal::PolicyReach::everything(),
    );
    let denied = principal.require_scope(KeywardScope::Write).unwrap_err();
    assert_eq!(denied, Denied::Scope(KeywardScope::Write));
    assert!(denied.to_string().contains("keyward:write"), "{denied}");
    assert_eq!(denied.required_scope(), Some(KeywardScope::Write));
}
