// SPDX-License-Identifier: GPL-2.0-only
//! Which function wins, and what the handler makes of it.

use proptest::prelude::*;

use crate::pure::{
    func_stack::{affected, entry, is_top, Code, Layer},
    ip_table::{choose, put, slots_for, Entry},
    phase::Direction,
};

fn layer(patch: u32, func: u32, immediate: bool) -> Layer {
    let old = 0x1000 * (func as usize + 1);
    let new = 0x10_0000 * patch as usize + old;
    Layer {
        patch,
        object: 0,
        func,
        ip: old + 4,
        old: Code {
            body: (old, old + 0x100),
            cold: (0, 0),
        },
        new: Code {
            body: (new, new + 0x80),
            cold: (new + 0x8_0000, new + 0x8_0010),
        },
        immediate,
    }
}

fn start(patch: u32, func: u32) -> usize {
    layer(patch, func, false).new.body.0
}

fn table(layers: &[Layer], moving: Option<(u32, Direction)>) -> Vec<Entry> {
    let mut slots = vec![Entry::default(); slots_for(layers.len())];
    for layer in layers.iter().filter(|layer| is_top(layers, layer)) {
        assert!(put(&mut slots, entry(layers, layer.ip, moving)));
    }
    slots
}

#[test]
fn the_newest_of_three_wins_and_the_middle_may_leave_first() {
    let mut layers = vec![layer(1, 0, false), layer(2, 0, false), layer(3, 0, false)];
    let ip = layers[0].ip;
    let wins = |layers: &[Layer]| choose(&table(layers, None), ip, |entry| entry.way(true));
    assert_eq!(wins(&layers), start(3, 0));
    layers.remove(1);
    assert_eq!(wins(&layers), start(3, 0));
    layers.remove(1);
    assert_eq!(wins(&layers), start(1, 0));
    layers.remove(0);
    assert_eq!(wins(&layers), 0);
}

#[test]
fn in_a_transition_a_task_gets_what_its_state_says() {
    let layers = [layer(1, 0, false), layer(2, 0, false)];
    for direction in [Direction::Patching, Direction::Unpatching] {
        let slots = table(&layers, Some((2, direction)));
        assert_eq!(choose(&slots, layers[0].ip, |entry| entry.way(true)), start(2, 0));
        assert_eq!(choose(&slots, layers[0].ip, |entry| entry.way(false)), start(1, 0));
    }
}

#[test]
fn without_a_layer_below_an_unpatched_task_gets_the_original() {
    let layers = [layer(1, 0, false)];
    let slots = table(&layers, Some((1, Direction::Patching)));
    assert_eq!(choose(&slots, layers[0].ip, |entry| entry.way(false)), 0);
}

#[test]
fn an_immediate_function_goes_with_the_direction_whatever_the_state() {
    let layers = [layer(1, 0, true)];
    let ip = layers[0].ip;
    for state in [false, true] {
        assert_eq!(
            choose(&table(&layers, Some((1, Direction::Patching))), ip, |entry| entry
                .way(state)),
            start(1, 0)
        );
        assert_eq!(
            choose(&table(&layers, Some((1, Direction::Unpatching))), ip, |entry| entry
                .way(state)),
            0
        );
    }
    let mut found = Vec::new();
    affected(&layers, 1, true, |range| found.push(range));
    assert!(found.is_empty(), "nobody is consistent about it");
}

#[test]
fn a_patch_in_the_middle_moves_nobody_to_another_function() {
    let layers = [layer(1, 0, false), layer(2, 0, false), layer(3, 0, false)];
    let slots = table(&layers, Some((2, Direction::Unpatching)));
    for state in [false, true] {
        assert_eq!(choose(&slots, layers[0].ip, |entry| entry.way(state)), start(3, 0));
    }
    // But who is inside it must leave it first, cold part included.
    let mut found = Vec::new();
    affected(&layers, 2, true, |range| found.push((range.start, range.end)));
    assert_eq!(found, [layers[1].new.body, layers[1].new.cold]);
}

#[test]
fn what_an_unpatched_task_must_leave_is_the_layer_below_or_the_original() {
    let below = [layer(1, 0, false), layer(2, 0, false)];
    let mut found = Vec::new();
    affected(&below, 2, false, |range| found.push((range.start, range.end)));
    assert_eq!(found, [below[0].new.body, below[0].new.cold]);
    found.clear();
    affected(&below[..1], 1, false, |range| found.push((range.start, range.end)));
    assert_eq!(found, [below[0].old.body]);
}

#[test]
fn a_replacing_patch_brings_the_original_back_where_it_has_nothing() {
    let below = layer(1, 0, false);
    let layers = [below, Layer::original(2, &below)];
    let slots = table(&layers, Some((2, Direction::Patching)));
    assert_eq!(choose(&slots, below.ip, |entry| entry.way(true)), 0);
    assert_eq!(choose(&slots, below.ip, |entry| entry.way(false)), start(1, 0));
    // To go there a task must leave the replaced function, to come back the original.
    let mut found = Vec::new();
    affected(&layers, 2, false, |range| found.push((range.start, range.end)));
    assert_eq!(found, [below.new.body, below.new.cold]);
    found.clear();
    affected(&layers, 2, true, |range| found.push((range.start, range.end)));
    assert_eq!(found, [below.old.body]);
}

proptest! {
    #[test]
    fn every_function_is_found_and_no_other(funcs in 1..60u32, other in 100..200u32) {
        let layers: Vec<Layer> = (0..funcs).map(|func| layer(1, func, false)).collect();
        let slots = table(&layers, None);
        for layer in &layers {
            prop_assert_eq!(choose(&slots, layer.ip, |_| unreachable!("asked for a state outside transitions")), layer.new.body.0);
        }
        prop_assert_eq!(choose(&slots, layer(1, other, false).ip, |entry| entry.way(true)), 0);
        prop_assert_eq!(choose(&[], layers[0].ip, |entry| entry.way(true)), 0);
    }
}
