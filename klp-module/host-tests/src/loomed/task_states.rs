// SPDX-License-Identifier: GPL-2.0-only
//! The sequence count of what BPF programs read. A model in Rust of C and BPF: [`publish`] is
//! kernel_api/task_states.c:klp_rs_task_states_publish() from the first WRITE_ONCE() to smp_mb(), [`of`] is
//! livepatch-ebpf/src/task_states.rs:of(), whose copies x86 makes in order. A test below compares both with their text.

use std::{fs, path::Path};

use loom::{sync::Arc, thread};

use super::{
    always,
    atomic::{fence, AtomicUsize, Ordering},
    weakly, Weak,
};

/// What is shown: the sequence, the state in which tasks began, and which of the arrays of slots are in use.
struct Shown {
    sequence: AtomicUsize,
    began: AtomicUsize,
    first: AtomicUsize,
    count: AtomicUsize,
    /// Arrays of one slot. 0: nobody; 1: the task; 2: freed, and somebody else's.
    slots: [AtomicUsize; 2],
}

const FREED: usize = 2;

impl Shown {
    /// The first array, with the task in it or not, in a transition whose tasks began unpatched.
    fn new(member: usize) -> Arc<Self> {
        Arc::new(Self {
            sequence: AtomicUsize::new(0),
            began: AtomicUsize::new(0),
            first: AtomicUsize::new(0),
            count: AtomicUsize::new(1),
            slots: [AtomicUsize::new(member), AtomicUsize::new(0)],
        })
    }
}

/// Stores before it come before stores after it.
fn smp_wmb() {
    fence(Ordering::Release);
}

fn smp_mb() {
    fence(Ordering::SeqCst);
}

fn publish(shown: &Shown, began: usize, first: usize, count: usize) {
    let sequence = shown.sequence.load(Ordering::Relaxed);
    shown.sequence.store(sequence + 1, Ordering::Relaxed);
    smp_wmb();
    shown.began.store(began, Ordering::Relaxed);
    shown.count.store(count, Ordering::Relaxed);
    shown.first.store(first, Ordering::Relaxed);
    smp_wmb();
    shown.sequence.store(sequence + 2, Ordering::Relaxed);
    smp_mb();
}

/// Is the task patched? None: not known.
fn of(shown: &Shown) -> Option<bool> {
    // A load that no later one overtakes.
    let in_order = Ordering::Acquire;
    let sequence = shown.sequence.load(in_order);
    if sequence & 1 != 0 {
        return None;
    }
    let began = shown.began.load(in_order);
    let count = shown.count.load(in_order);
    let first = shown.first.load(in_order);
    let slots = shown.slots.iter().skip(first).take(count);
    let slots: Vec<_> = slots.map(|slot| slot.load(in_order)).collect();
    if shown.sequence.load(in_order) != sequence {
        return None;
    }
    assert!(!slots.contains(&FREED), "believed what was read from freed memory");
    Some(slots.contains(&1) != (began == 1))
}

/// One transition ends with the task patched, another begins from there: the task is patched all the while, and the
/// slots of the first go. It began unpatched and the task had left; now tasks begin patched and nobody has.
fn next_transition() {
    let shown = Shown::new(1);
    let reader = {
        let shown = shown.clone();
        thread::spawn(move || of(&shown))
    };
    publish(&shown, 1, 1, 1);
    shown.slots[0].store(FREED, Ordering::Relaxed);
    assert_ne!(reader.join().unwrap(), Some(false), "believed two states of the world");
}

#[test]
fn what_bpf_reads_is_one_state_of_the_world_from_memory_in_use() {
    always(next_transition);
}

#[test]
#[should_panic(expected = "believed")]
fn what_bpf_reads_is_wrong_without_the_barriers_of_the_writer() {
    weakly(Weak::Fence, next_transition);
}

#[test]
#[should_panic(expected = "believed")]
fn what_bpf_reads_is_wrong_where_loads_are_not_in_order() {
    weakly(Weak::Acquire, next_transition);
}

/// The set grows (engine/tasks.rs:grow): a segment is shown and can then be used, or the other way round. A hook moves the
/// task into it, and BPF looks at the task afterwards.
fn grows(shown_first: bool) {
    let (shown, usable, moved) = (
        Shown::new(0),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let hook = {
        let (shown, usable, moved) = (shown.clone(), usable.clone(), moved.clone());
        thread::spawn(move || {
            if usable.load(Ordering::Acquire) == 1 {
                shown.slots[1].store(1, Ordering::Release);
                moved.store(1, Ordering::Release);
            }
        })
    };
    let reader = {
        let (shown, moved) = (shown.clone(), moved.clone());
        thread::spawn(move || {
            if moved.load(Ordering::Acquire) == 1 {
                assert_ne!(of(&shown), Some(false), "believed that it had not moved");
            }
        })
    };
    if shown_first {
        publish(&shown, 0, 0, 2);
    }
    usable.store(1, Ordering::Release);
    if !shown_first {
        publish(&shown, 0, 0, 2);
    }
    hook.join().unwrap();
    reader.join().unwrap();
}

#[test]
fn bpf_knows_of_a_segment_before_a_task_is_in_it() {
    always(|| grows(true));
}

#[test]
#[should_panic(expected = "believed that it had not moved")]
fn bpf_misses_a_task_in_a_segment_that_is_used_before_it_is_shown() {
    always(|| grows(false));
}

#[test]
fn the_modelled_lines_are_those_of_the_module() {
    let lines_in_order = |file: &str, lines: &[&str]| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        let mut rest = text.as_str();
        for line in lines {
            let place = rest
                .find(line)
                .unwrap_or_else(|| panic!("{file} has no {line} behind those before it"));
            rest = &rest[place + line.len()..];
        }
    };
    lines_in_order(
        "klp-module/kernel_api/task_states.c",
        &[
            "WRITE_ONCE(shown->sequence, shown->sequence + 1);",
            "smp_wmb();",
            "WRITE_ONCE(shown->began, ",
            "WRITE_ONCE(shown->count, ",
            "memcpy(shown->segments, ",
            "smp_wmb();",
            "WRITE_ONCE(shown->sequence, shown->sequence + 1);",
            "smp_mb();",
        ],
    );
    lines_in_order(
        "livepatch-ebpf/src/task_states.rs",
        &[
            "!copy(states, address)",
            "(*states).sequence & 1 != 0",
            "(*states).segments[index]",
            "!copy(slots, ",
            "!copy(&raw mut sequence, ",
            "sequence != (*states).sequence",
            "member != ((*states).began != 0)",
        ],
    );
    lines_in_order(
        "klp-module/engine/tasks.rs",
        &["fn grow(", "self.show_with(Some(&next));", "unused.set(next);"],
    );
}
