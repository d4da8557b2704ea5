//! Policies for keys: the narrower rule applies, existing keys have until a date, and what is stored is read strictly.

use std::sync::Arc;

use domain::{
    ApiKeyId, KeyAlgorithm, PrincipalId, Random, ServiceAccountId, Timestamp, UserId, WorkspaceId,
    limits::{KeyLimits, Limits},
    policy::{
        Algorithms, Days, GRACE_DAYS, KeyFacts, KeyPolicies, KeyPolicy, PolicyPlace, PolicyRules, RuleName, Unused,
        UnusedAction,
    },
    principal::{Identity, Membership},
    role::Role,
};
use proptest::prelude::*;
use uuid::Uuid;

struct Zeros;

impl Random for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn day(number: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + number * 86_400).unwrap()
}

fn key(created: i64, expires: Option<i64>, algorithm: KeyAlgorithm, cidrs: Option<&str>) -> KeyFacts {
    let limits = cidrs.map(|cidrs| format!("cidrs={cidrs}").parse::<Limits>().unwrap()).unwrap_or_default();
    KeyFacts::of(ApiKeyId::generate(day(created), &Zeros), algorithm, expires.map(day), &KeyLimits::from(limits))
}

fn rules(text: &str) -> PolicyRules {
    text.parse().unwrap()
}

fn place(number: u128) -> PolicyPlace {
    PolicyPlace::Workspace(WorkspaceId::from_uuid(Uuid::from_u128(number)))
}

fn owner(id: PrincipalId, workspaces: std::ops::Range<u128>) -> Identity {
    let memberships = workspaces.map(|number| Membership {
        workspace: WorkspaceId::from_uuid(Uuid::from_u128(number)),
        slug: Arc::from(format!("acme-{number}")),
        name: Arc::from("Acme"),
        role: Role::Admin,
    });
    Identity {
        id,
        email: "ada@example.com".to_owned(),
        email_verified: true,
        name: "Ada".to_owned(),
        operator: false,
        disabled: false,
        suspended: false,
        memberships: memberships.collect(),
    }
}

fn user() -> PrincipalId {
    UserId::from_uuid(Uuid::from_u128(1)).into()
}

#[test]
fn each_rule_is_checked_and_names_what_to_do() {
    use KeyAlgorithm::{EcdsaP256, Ed25519, Rsa};
    let violated = |text: &str, key: &KeyFacts| match rules(text).check(key) {
        Ok(_) => Vec::new(),
        Err(violations) => violations.rules().into_iter().collect(),
    };
    let lifetime = "max_key_lifetime=90";
    assert_eq!(violated(lifetime, &key(0, Some(90), Ed25519, None)), []);
    assert_eq!(violated(lifetime, &key(0, Some(91), Ed25519, None)), [RuleName::MaxKeyLifetime]);
    assert_eq!(violated(lifetime, &key(0, None, Ed25519, None)), [RuleName::MaxKeyLifetime]);
    assert_eq!(violated("require_expiry=true", &key(0, Some(9000), Ed25519, None)), []);
    assert_eq!(violated("require_expiry=true", &key(0, None, Ed25519, None)), [RuleName::RequireExpiry]);
    let algorithms = "algorithms=ssh-ed25519,ssh-rsa";
    assert_eq!(violated(algorithms, &key(0, None, Ed25519, None)), []);
    assert_eq!(violated(algorithms, &key(0, None, Rsa { bits: 2048 }, None)), []);
    assert_eq!(violated(algorithms, &key(0, None, EcdsaP256, None)), [RuleName::Algorithms]);
    for (cidrs, expected) in [
        (None, vec![RuleName::RequireCidrs]),
        (Some("10.0.0.0/8"), vec![]),
        (Some(""), vec![]),
        (Some("0.0.0.0/0"), vec![RuleName::RequireCidrs]),
        (Some("10.0.0.0/8,::/0"), vec![RuleName::RequireCidrs]),
    ] {
        assert_eq!(violated("require_cidrs=true", &key(0, None, Ed25519, cidrs)), expected, "{cidrs:?}");
    }
    assert_eq!(violated("unused_days=1,disable", &key(0, None, Ed25519, None)), [], "it is not about the key");
    let violations = rules(lifetime).check(&key(0, None, Ed25519, None)).unwrap_err();
    assert_eq!(violations.latest_end(), Some(day(90)));
    let text = violations.list()[0].advice.clone();
    assert!(text.contains("expires_at") && text.contains(&format!("{:.0}", day(90))), "{text}");
}

#[test]
fn a_rule_has_only_values_that_mean_something() {
    assert!(Days::new(0).is_err() && Days::new(3651).is_err() && Days::new(u32::MAX).is_err());
    assert_eq!(Days::new(3650).unwrap().get(), 3650);
    assert!(Algorithms::of([]).is_err());
    assert!(Algorithms::of(["ssh-dss"]).is_err());
    let both = Algorithms::of(["ssh-rsa", "ssh-ed25519", "ssh-rsa"]).unwrap();
    assert_eq!(both.names().collect::<Vec<_>>(), ["ssh-ed25519", "ssh-rsa"]);
    for text in [
        "max_key_lifetime=0",
        "max_key_lifetime=90;max_key_lifetime=80",
        "max_key_lifetime",
        "require_expiry=false",
        "algorithms=",
        "unused_days=90",
        "unused_days=90,delete",
        "later_rule=1",
    ] {
        assert!(text.parse::<PolicyRules>().is_err(), "{text}");
    }
}

#[test]
fn a_new_policy_refuses_existing_keys_from_its_date_on_and_new_keys_at_once() {
    let (old, new) = (key(-1, None, KeyAlgorithm::Ed25519, None), key(1, None, KeyAlgorithm::Ed25519, None));
    let policy = KeyPolicy::replace(None, rules("require_expiry=true"), day(0), None).unwrap();
    assert_eq!(policy.enforced_from(), day(GRACE_DAYS));
    let refuses = |key: &KeyFacts, now: i64| policy.rules_of(key, day(now)).check(key).is_err();
    assert!(!refuses(&old, 0) && !refuses(&old, GRACE_DAYS - 1) && refuses(&old, GRACE_DAYS));
    assert!(refuses(&new, 1));
    assert_eq!(policy.find_violations(&old).unwrap().1, day(GRACE_DAYS));
    assert_eq!(policy.find_violations(&new).unwrap().1, day(0));
    assert!(KeyPolicy::replace(None, rules(""), day(0), Some(day(-1))).is_err(), "the date is past");
    assert!(KeyPolicy::replace(None, rules(""), day(0), Some(day(367))).is_err(), "the date is too far ahead");
    assert!(KeyPolicy::replace(None, rules(""), day(0), Some(day(0))).is_ok());
}

#[test]
fn a_change_of_a_policy_keeps_what_is_in_force_and_widens_at_once() {
    let ed25519 = KeyAlgorithm::Ed25519;
    let never = key(-1, None, ed25519, Some("10.0.0.0/8"));
    let first = KeyPolicy::replace(None, rules("require_expiry=true"), day(0), Some(day(1))).unwrap();
    // While the first policy is not in force, a second one starts again.
    let second = KeyPolicy::replace(Some(&first), rules("require_expiry=true"), day(0), Some(day(5))).unwrap();
    assert!(second.rules_of(&never, day(4)).check(&never).is_ok());
    // When it is in force, another rule does not let the refused key in again.
    let second =
        KeyPolicy::replace(Some(&first), rules("require_expiry=true;require_cidrs=true"), day(2), Some(day(5)));
    let second = second.unwrap();
    assert!(second.rules_of(&never, day(2)).check(&never).is_err());
    let expiring = key(-1, Some(30), ed25519, None);
    assert!(second.rules_of(&expiring, day(4)).check(&expiring).is_ok());
    assert!(second.rules_of(&expiring, day(5)).check(&expiring).is_err());
    // A rule that is taken away ends at once.
    let third = KeyPolicy::replace(Some(&second), rules("require_cidrs=true"), day(6), Some(day(36))).unwrap();
    assert!(third.rules_of(&never, day(6)).check(&never).is_ok());
    assert!(third.rules_of(&expiring, day(6)).check(&expiring).is_err(), "this rule was in force");
}

#[test]
fn the_policy_of_a_workspace_excludes_the_key_of_a_user_there_and_refuses_that_of_a_service_account() {
    let policy = |text: &str| Some(KeyPolicy::replace(None, rules(text), day(0), Some(day(0))).unwrap());
    let key = key(0, None, KeyAlgorithm::Ed25519, None);
    let mut policies = KeyPolicies::default();
    assert!(policies.is_none());
    policies.set(place(2), policy("require_expiry=true"));
    policies.set(place(3), policy("algorithms=ssh-ed25519"));
    let reach = policies.check_use(|| key, &owner(user(), 1..4), day(1)).unwrap();
    let excluded: Vec<_> = reach.excluded().iter().map(|excluded| excluded.outside.place).collect();
    assert_eq!(excluded, [place(2)]);
    let account = ServiceAccountId::from_uuid(Uuid::from_u128(1));
    let outside = policies.check_use(|| key, &owner(account.into(), 2..3), day(1)).unwrap_err();
    assert_eq!(outside.place, place(2));
    assert!(policies.check_use(|| key, &owner(account.into(), 3..4), day(1)).is_ok());
    policies.set(PolicyPlace::Installation, policy("require_cidrs=true"));
    let outside = policies.check_use(|| key, &owner(user(), 1..2), day(1)).unwrap_err();
    assert_eq!(outside.place, PolicyPlace::Installation);
    assert_eq!(policies.rules_in(place(2)), rules("require_expiry=true;require_cidrs=true"));
    for place in [PolicyPlace::Installation, place(2), place(3)] {
        policies.set(place, None);
    }
    assert!(policies.is_none(), "then a request is compared with nothing");
}

fn any_rules() -> impl Strategy<Value = PolicyRules> {
    let days = || prop::option::of((1..100_u32).prop_map(|days| Days::new(days).unwrap()));
    let action = prop_oneof![Just(UnusedAction::Report), Just(UnusedAction::Disable)];
    let names = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"];
    let algorithms = prop::sample::subsequence(names.to_vec(), 1..=4);
    let algorithms = prop::option::of(algorithms.prop_map(|names| Algorithms::of(names).unwrap()));
    (days(), any::<bool>(), days(), action, algorithms, any::<bool>()).prop_map(
        |(max_key_lifetime, require_expiry, unused, action, algorithms, require_cidrs)| PolicyRules {
            max_key_lifetime,
            require_expiry,
            unused: unused.map(|days| Unused { days, action }),
            algorithms,
            require_cidrs,
        },
    )
}

fn any_key() -> impl Strategy<Value = KeyFacts> {
    use KeyAlgorithm::{EcdsaP256, EcdsaP384, Ed25519, Rsa};
    let algorithm = prop::sample::select(vec![Ed25519, Rsa { bits: 2048 }, EcdsaP256, EcdsaP384]);
    let cidrs = prop::sample::select(vec![None, Some("10.0.0.0/8"), Some("0.0.0.0/0")]);
    (-50..50_i64, prop::option::of(0..120_i64), algorithm, cidrs)
        .prop_map(|(created, lives, algorithm, cidrs)| key(created, lives.map(|days| created + days), algorithm, cidrs))
}

proptest! {
    #[test]
    fn what_both_rules_allow_the_narrower_allows_and_what_one_allows_the_wider_allows(
        one in any_rules(), two in any_rules(), key in any_key(),
    ) {
        let (by_one, by_two) = (one.check(&key).is_ok(), two.check(&key).is_ok());
        prop_assert_eq!(one.narrowest(two).check(&key).is_ok(), by_one && by_two);
        prop_assert!(!(by_one || by_two) || one.widest(two).check(&key).is_ok());
        prop_assert_eq!(one.narrowest(two), two.narrowest(one));
        prop_assert_eq!(one.widest(two), two.widest(one));
        prop_assert_eq!(one.widest(one.narrowest(two)).check(&key).is_ok(), by_one);
    }

    #[test]
    fn rules_are_read_as_they_were_written(rules in any_rules()) {
        prop_assert_eq!(rules.to_string().parse::<PolicyRules>().unwrap(), rules);
    }

    /// Against a direct model: a list of all policies that were set.
    #[test]
    fn after_any_history_of_a_policy_no_key_is_refused_before_its_date_and_none_is_let_in_by_a_narrower_rule(
        history in prop::collection::vec((any_rules(), 0..20_i64, 0..20_i64), 1..6), key in any_key(),
    ) {
        let (mut policy, mut now) = (None::<KeyPolicy>, 0);
        for (rules, wait, grace) in history {
            now += wait;
            let was_refused = policy.as_ref().is_some_and(|policy| policy.rules_of(&key, day(now)).check(&key).is_err());
            let next = KeyPolicy::replace(policy.as_ref(), rules, day(now), Some(day(now + grace))).unwrap();
            let refuses = |at: i64| next.rules_of(&key, day(at)).check(&key).is_err();
            let violates = rules.check(&key).is_err();
            let is_existing = next.find_violations(&key).is_none_or(|(_, from)| from > day(now)) || was_refused;
            // After the date, the rules apply to all keys. Before it, at most these.
            prop_assert_eq!(refuses(now + grace), violates);
            prop_assert!(!refuses(now) || violates);
            // A key that was accepted until now, and existed, is accepted until the date.
            if is_existing && !was_refused && grace > 0 {
                prop_assert!(!refuses(now + grace - 1));
            }
            // The date that is announced is the one that applies.
            if let Some((_, from)) = next.find_violations(&key) {
                prop_assert!(next.rules_of(&key, from).check(&key).is_err());
            }
            policy = Some(next);
        }
    }
}
