//! Chains of rotated keys: what a revocation ends, and rotations at the same time.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use server::app::{Caller, KeysToConfirm, UsersToConfirm};

use super::{DAY, World, rotation_body, text, world, world_on};
use crate::{
    api::leaked_key::{revocation, url},
    support::{FakeClock, Home, Key, SeededRandom, TestApp},
};

#[tokio::test]
async fn revoking_a_key_of_a_chain_ends_what_was_self_rotated_from_it() {
    let world = world().await;
    let (test, bot) = (&world.test, &world.bot);
    test.raise_quotas(&world.ws, 9).await;
    let first = world.rotate_bot(&bot.key, DAY).await;
    let second = world.rotate_bot(&first, DAY).await;
    // An admin rotated this one, so its registration does not depend on the keys before.
    let third = test.new_key();
    let path = format!("{}/rotate", world.of_bot(&second.id));
    let by_admin = test.post(&path, &rotation_body(&third, DAY)).by(&world.ada.key).send().await.expect(201);
    let third = third.registered_as(text(&by_admin["successor"], "id"));
    let shown = test.get(&path).by(&world.ada.key).send().await.expect(200);
    let chain: Vec<&str> = shown["chain"].as_array().unwrap().iter().map(|key| text(key, "id")).collect();
    assert_eq!(chain, [&bot.key.id, &first.id, &second.id, &third.id]);

    // The key of the admin rotates itself. It does not depend on the keys before either.
    let fourth = world.rotate_bot(&third, DAY).await;

    let cascade = format!("{}/cascade", world.of_bot(&first.id));
    let cascade = test.get(&cascade).by(&world.ada.key).send().await.expect(200);
    let listed: Vec<_> =
        cascade["keys"].as_array().unwrap().iter().map(|key| (&key["id"], &key["self_rotated"])).collect();
    assert_eq!(listed, [(&json!(second.id), &json!(true))]);
    test.delete(&world.of_bot(&first.id)).by(&world.ada.key).send().await.expect(204);
    let statuses = async || {
        let mut statuses = Vec::new();
        for key in [&bot.key, &first, &second, &third, &fourth] {
            statuses.push(world.status(key).await);
        }
        statuses
    };
    assert_eq!(statuses().await, [200, 401, 401, 200, 200]);
    test.delete(&world.of_bot(&third.id)).by(&world.ada.key).send().await.expect(204);
    assert_eq!(statuses().await, [200, 401, 401, 401, 401]);
    let events = world.events().await;
    let revoked = events.iter().find(|event| event["target"] == second.id.as_str()).expect("an event of its own");
    assert_eq!(revoked["action"], "api_key.revoke");
    assert_eq!(
        (&revoked["detail"]["cause"], &revoked["detail"]["cause_target"]),
        (&json!("api_key.revoke"), &json!(first.id))
    );
}

/// Sends rotations of one key to these nodes at the same time, by an admin and by the key itself. One succeeds.
async fn race(world: &World, nodes: &[&TestApp]) {
    let (test, bot) = (&world.test, &world.bot);
    test.raise_quotas(&world.ws, 50).await;
    let mut old = bot.key.clone();
    for _ in 0..10 {
        let path = format!("{}/rotate", world.of_bot(&old.id));
        let new: [Key; 4] = std::array::from_fn(|_| test.new_key());
        let by_admin = |new: &Key| test.post(&path, &rotation_body(new, DAY)).by(&world.ada.key);
        let by_itself = async |new: &Key| world.by_itself(&bot.id, &old, new, DAY).await;
        let requests = [by_admin(&new[0]), by_itself(&new[1]).await, by_admin(&new[2]), by_itself(&new[3]).await];
        let sent = requests.into_iter().zip(nodes.iter().cycle()).map(|(request, node)| request.send_to(node));
        let mut successors = Vec::new();
        for (answer, new) in join_all(sent).await.into_iter().zip(new) {
            if answer.status == 201 {
                successors.push(new.registered_as(text(&answer.expect(201)["successor"], "id")));
            } else {
                answer.expect_problem(409, "rotation_pending");
                assert_eq!(world.status(&new).await, 401);
            }
        }
        assert_eq!(successors.len(), 1);
        old = successors.remove(0);
        assert_eq!(world.status(&old).await, 200);
    }
}

#[tokio::test]
async fn of_rotations_at_the_same_time_one_succeeds() {
    let world = world().await;
    race(&world, &[&world.test]).await;
}

#[tokio::test]
async fn of_rotations_on_several_nodes_at_the_same_time_one_succeeds() {
    let open = async |home, seed| {
        TestApp::open(home, Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(seed)), |_| {}).await
    };
    let world = world_on(open(Home::on_postgres(), 7).await).await;
    let join = async |seed| open(Arc::clone(&world.test.directory), seed).await;
    let (second, third) = (join(8).await, join(9).await);
    race(&world, &[&world.test, &second, &third]).await;
}

/// The restored database has the rotation as it was in the backup.
#[tokio::test]
async fn a_restored_rotation_keeps_its_end_and_is_undone() {
    for undo in [false, true] {
        let world = world().await;
        let successor = world.rotate_bot(&world.bot.key, DAY).await;
        let backup = world.test.directory.back_up(&world.test.app).await;
        let world = World { test: world.test.restore_from(&backup).await, ..world };
        let (test, bot) = (&world.test, &world.bot);
        assert_eq!((world.status(&bot.key).await, world.status(&successor).await), (401, 401), "suspended");
        test.app.confirm_users(&Caller::host(), &UsersToConfirm::All).await.unwrap();
        test.app.confirm_keys(&Caller::host(), &KeysToConfirm::All).await.unwrap();
        assert_eq!((world.status(&bot.key).await, world.status(&successor).await), (200, 200));
        if undo {
            let path = format!("{}/rotate", world.of_bot(&bot.key.id));
            test.delete(&path).by(&world.ada.key).send().await.expect(204);
            assert_eq!(world.key(&bot.key.id).await["expires_at"], serde_json::Value::Null);
        }
        test.advance(Duration::from_secs(DAY)).await;
        let expected = if undo { (200, 401) } else { (401, 200) };
        assert_eq!((world.status(&bot.key).await, world.status(&successor).await), expected);
    }
}

#[tokio::test]
async fn a_key_that_was_rotated_away_still_ends_its_successors_when_it_is_revoked() {
    // The old key has expired or is revoked already. A client with a copy of it may have rotated it.
    for overlap in [0, DAY] {
        let world = world().await;
        let (test, bot) = (&world.test, &world.bot);
        let successor = world.rotate_bot(&bot.key, overlap).await;
        test.advance(Duration::from_secs(overlap)).await;
        assert_eq!((world.status(&bot.key).await, world.status(&successor).await), (401, 200));
        test.delete(&world.of_bot(&bot.key.id)).by(&world.ada.key).send().await.expect(204);
        assert_eq!(world.status(&successor).await, 401);
    }
}

/// A thief rotates the stolen key without an overlap, so that its owner has only a revoked one, or with one.
#[tokio::test]
async fn a_leaked_key_ends_what_was_self_rotated_from_it() {
    for overlap in [0, DAY] {
        let world = world().await;
        let (test, bot) = (&world.test, &world.bot);
        let first = world.rotate_bot(&bot.key, overlap).await;
        let second = world.rotate_bot(&first, DAY).await;
        assert_eq!((world.status(&first).await, world.status(&second).await), (200, 200));
        let leaked = revocation(&bot.key, &url());
        let report = async || test.post("/api/v1/leaked-keys/revoke", &leaked).send().await.expect(200);
        let answer = report().await;
        assert_eq!(answer["registration"]["state"], "revoked");
        let statuses = (world.status(&bot.key).await, world.status(&first).await, world.status(&second).await);
        assert_eq!(statuses, (401, 401, 401));
        let events = world.events().await;
        for key in [&first, &second] {
            let ended = |event: &&serde_json::Value| event["target"] == *key.id && event["action"] == "api_key.revoke";
            let event = events.iter().find(ended).expect("an event of its own");
            assert_eq!(
                (&event["detail"]["cause"], &event["detail"]["cause_target"]),
                (&json!("api_key.leak"), &json!(bot.key.id))
            );
        }
        assert_eq!(report().await, answer);
        assert_eq!(world.events().await.len(), events.len(), "the same statement again changes nothing");
    }
}

#[tokio::test]
async fn a_reclaimed_key_ends_what_was_self_rotated_from_it() {
    let world = world().await;
    let (test, eve) = (&world.test, &world.eve);
    let contested = test.new_key();
    let taken = json!({"title": "taken", "public_key": contested.openssh});
    let taken = test.post("/api/v1/me/keys", &taken).by(&eve.key).send().await.expect(201);
    let contested = contested.registered_as(text(&taken, "id"));
    let new = test.new_key();
    let rotation = world.by_itself(&eve.id, &contested, &new, DAY).await.send().await.expect(201);
    let proof = world.proof(&world.max.key, &world.max.id, &contested).await;
    let mine = json!({"title": "mine", "public_key": contested.openssh, "proof": proof});
    test.post("/api/v1/me/keys", &mine).by(&world.max.key).send().await.expect(201);
    assert_eq!(world.status(&new).await, 401);
    let own = World::own(text(&rotation["successor"], "id"));
    assert_eq!(test.get(&own).by(&eve.key).send().await.expect(200)["state"], "revoked");
}
