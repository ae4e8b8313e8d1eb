//! The life of keys as tables over time: hours since the first was made.

use super::super::{SEALING, SIGNING};
use super::*;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
}

fn minutes(hour: i64, minutes: i64) -> Timestamp {
    at(hour) + SignedDuration::from_mins(minutes)
}

fn key(id: &str, hour: i64) -> Key {
    Key::standby(id.to_owned(), KeyMaterial(vec![7; 32]), at(hour))
}

fn states(ring: &Ring, now: Timestamp) -> String {
    let told: Vec<String> = ring
        .keys
        .iter()
        .map(|key| format!("{} {}", key.id, ring.state(key, now)))
        .collect();
    told.join(", ")
}

#[test]
fn a_signing_key_waits_signs_retires_and_leaves() {
    let ring = Ring::of(key("a", 0))
        .with(key("b", 0))
        .rotated(&SIGNING, at(100));
    let ring = ring.with(key("c", 100));
    let table = [
        (minutes(100, 0), "a current, b next, c standby"),
        (minutes(100, 1), "a retiring, b current, c standby"),
        (minutes(102, 0), "a retiring, b current, c standby"),
        (minutes(102, 1), "a gone, b current, c standby"),
    ];
    for (now, expected) in table {
        assert_eq!(states(&ring, now), expected, "{now}");
    }
    assert_eq!(
        states(&ring.tidied(at(103)), at(103)),
        "b current, c standby"
    );
}

#[test]
fn a_signing_key_that_is_not_known_everywhere_yet_waits_until_it_is() {
    let ring = Ring::of(key("a", 0))
        .with(key("b", 10))
        .rotated(&SIGNING, at(11));
    let table = [
        (at(11), "a current, b next"),
        (minutes(34, 59), "a current, b next"),
        (at(35), "a retiring, b current"),
        (minutes(36, 59), "a retiring, b current"),
        (at(37), "a gone, b current"),
    ];
    for (now, expected) in table {
        assert_eq!(states(&ring, now), expected, "{now}");
    }
}

#[test]
fn a_sealing_key_is_used_once_every_replica_knows_it_and_needed_for_a_month() {
    let ring = Ring::of(key("a", 0))
        .with(key("b", 10))
        .rotated(&SEALING, at(10));
    let table = [
        (at(10), "a current, b next"),
        (minutes(10, 1), "a retiring, b current"),
        (at(10 + 31 * 24), "a retiring, b current"),
        (minutes(10 + 31 * 24, 1), "a gone, b current"),
    ];
    for (now, expected) in table {
        assert_eq!(states(&ring, now), expected, "{now}");
    }
}

#[test]
fn a_ring_of_one_key_has_a_current_one_at_all_times() {
    let ring = Ring::of(key("a", 0));
    for hour in [0, 1, 10_000_000] {
        assert_eq!(ring.current(at(hour)).unwrap().id, "a");
    }
}

#[test]
fn what_is_due_is_told_one_step_at_a_time() {
    let every = Some(SignedDuration::from_hours(100));
    let due = |ring: &Ring, hour| ring.due(&SIGNING, every, at(hour));
    let ring = Ring::of(key("a", 0));
    assert_eq!(due(&ring, 0), Some(Due::Standby));
    let ring = ring.with(key("b", 0));
    assert_eq!(due(&ring, 99), None);
    assert_eq!(due(&ring, 100), Some(Due::Rotation));
    assert_eq!(
        ring.due(&SIGNING, None, at(100)),
        None,
        "without a schedule"
    );
    let ring = ring.rotated(&SIGNING, at(100));
    assert_eq!(due(&ring, 100), None, "while the next one is called");
    assert_eq!(due(&ring, 101), Some(Due::Standby));
    let ring = ring.with(key("c", 101));
    assert_eq!(due(&ring, 102), None);
    assert_eq!(due(&ring, 103), Some(Due::Tidying));
    let ring = ring.tidied(at(103));
    assert_eq!(due(&ring, 103), None);
    assert_eq!(due(&ring, 201), Some(Due::Rotation));
}

#[test]
fn no_sealing_key_waits_and_its_rotation_is_due_all_the_same() {
    let every = Some(SignedDuration::from_hours(100));
    let ring = Ring::of(key("a", 0));
    assert_eq!(ring.due(&SEALING, every, at(99)), None);
    assert_eq!(ring.due(&SEALING, every, at(100)), Some(Due::Rotation));
}

#[test]
fn who_dies_between_two_steps_leaves_what_the_next_goes_on_with() {
    // Each prefix of the steps is a ring that works, and leads to the same in the end.
    let every = Some(SignedDuration::from_hours(100));
    let step = |ring: &Ring, hour: i64| match ring.due(&SIGNING, every, at(hour)) {
        None => ring.clone(),
        Some(Due::Tidying) => ring.tidied(at(hour)),
        Some(Due::Standby) => ring.with(key(&format!("made-{hour}"), hour)),
        Some(Due::Rotation) => ring.rotated(&SIGNING, at(hour)),
    };
    for asleep_from in 0..300 {
        let mut ring = Ring::of(key("a", 0));
        for hour in (0..300).chain([500, 501, 502, 530, 531, 532, 533]) {
            if !(asleep_from..asleep_from + 150).contains(&hour) {
                ring = step(&ring, hour);
            }
            assert!(
                ring.current(at(hour)).is_some(),
                "{asleep_from}: hour {hour}"
            );
        }
        let now = at(533);
        assert_eq!(ring.keys.len(), 2, "{asleep_from}: {}", states(&ring, now));
        assert!(
            ring.standby().is_some(),
            "{asleep_from}: {}",
            states(&ring, now)
        );
    }
}

#[test]
fn a_token_that_was_signed_a_moment_before_verifies_for_its_hour() {
    for (made, rotated) in [(0, 100), (10, 11)] {
        let ring = Ring::of(key("a", 0))
            .with(key("b", made))
            .rotated(&SIGNING, at(rotated));
        let from = ring.keys[1].used_from.unwrap();
        let before = from - SignedDuration::from_secs(1);
        assert_eq!(ring.current(before).unwrap().id, "a");
        let its_end = before + SignedDuration::from_hours(1);
        assert!(ring.live(its_end).any(|key| key.id == "a"));
    }
}

#[test]
fn the_key_that_waits_takes_over_from_one_that_is_withdrawn() {
    let ring = Ring::of(key("a", 0)).with(key("b", 0));
    assert_eq!(states(&ring.without("a", at(50)), at(50)), "b current");
    let called = ring.rotated(&SIGNING, at(50)).with(key("c", 50));
    let without = called.without("a", at(50));
    assert_eq!(states(&without, at(50)), "b current, c standby");
}

#[test]
fn withdrawing_one_that_is_not_used_yet_leaves_the_current_one_for_good() {
    let ring = Ring::of(key("a", 0)).with(key("b", 0));
    assert_eq!(ring.without("b", at(50)), Ring::of(key("a", 0)));
    let called = ring.rotated(&SIGNING, at(50));
    assert_eq!(called.without("b", at(50)), Ring::of(key("a", 0)));
    assert_eq!(states(&called.without("b", at(50)), at(5000)), "a current");
}

#[test]
fn withdrawing_one_that_is_retiring_changes_nothing_else() {
    let ring = Ring::of(key("a", 0))
        .with(key("b", 0))
        .rotated(&SIGNING, at(50));
    let now = at(51);
    assert_eq!(states(&ring, now), "a retiring, b current");
    let without = ring.without("a", now);
    assert_eq!(states(&without, now), "b current");
    assert_eq!(without.keys[0].used_from, ring.keys[1].used_from);
}

#[test]
fn a_ring_is_what_it_was_after_it_was_written_and_read() {
    let ring = Ring::of(key("a", 0))
        .with(key("b", 0))
        .rotated(&SIGNING, at(50));
    let json = serde_json::to_string(&ring).unwrap();
    assert_eq!(serde_json::from_str::<Ring>(&json).unwrap(), ring);
}
