//! People talk through a simulated network: real conversations, real stamps, virtual time.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use samizdat_chat::{Answer, Filter, State};
use samizdat_sim::{Link, World};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
/// The cheapest lifetime class.
const LIFETIME: u8 = 0;

fn texts(world: &World, node: usize) -> Vec<String> {
    world.engine(node).unwrap().chat().messages(&Filter::default()).unwrap().into_iter().map(|message| message.text).collect()
}

/// Carol runs all the time; the others know only her.
fn three() -> World {
    let mut world = World::new(Link { delay_ms: 80, jitter_ms: 10, loss: 0.02, breaks: 0.0, kbit_per_s: None }, 7);
    let carol_first = [world.add(&[], u64::MAX).unwrap(), world.add(&[], u64::MAX).unwrap(), world.add(&[], 0).unwrap()];
    assert_eq!(carol_first, [ALICE, BOB, CAROL]);
    for person in [ALICE, BOB] {
        world.introduce(person, CAROL);
        world.let_mint(person);
    }
    world
}

#[test]
fn a_message_arrives_while_its_sender_is_gone() {
    let mut world = three();
    world.start(BOB).unwrap();
    let link = world.command(BOB, |chat, _, _| chat.invite()).unwrap().to_string();
    assert!(world.run_until(20_000, |w| w.engine(CAROL).is_some_and(|carol| carol.held() == 1)).unwrap());
    world.stop(BOB);

    world.start(ALICE).unwrap();
    world.command(ALICE, |chat, _, _| chat.add_contact(&link, Some("bob"))).unwrap();
    let message = world.command(ALICE, |chat, _, now| chat.write("bob", "meet me at the old bridge", LIFETIME, now)).unwrap();
    let state = |w: &World| w.engine(ALICE).unwrap().chat().message(&message.id).unwrap().state;
    assert!(world.run_until(30_000, |w| state(w) == State::Published).unwrap(), "{:?}", state(&world));
    world.stop(ALICE);
    world.run(60_000).unwrap();

    world.start(BOB).unwrap();
    assert!(world.run_until(30_000, |w| texts(w, BOB) == ["meet me at the old bridge"]).unwrap());
    assert!(texts(&world, CAROL).is_empty());

    // The answer finds her when she is back.
    let request = world.engine(BOB).unwrap().chat().requests().unwrap().remove(0);
    world.command(BOB, |chat, _, _| chat.answer(&request.id.to_string(), Answer::Accept)).unwrap();
    world.command(BOB, |chat, _, now| chat.write(&request.name, "at noon", LIFETIME, now)).unwrap();
    world.run(20_000).unwrap();
    world.stop(BOB);
    world.start(ALICE).unwrap();
    assert!(world.run_until(30_000, |w| texts(w, ALICE).contains(&"at noon".to_owned())).unwrap());
    assert_eq!(state(&world), State::Received);
}
