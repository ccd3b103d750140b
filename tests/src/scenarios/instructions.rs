// SPDX-License-Identifier: GPL-2.0-only
//! The part of `make bench` that counts: what a call of a patched function costs in instructions, on a machine whose clock counts
//! them, with each core in turn. Nothing is asserted; a loop of known length shows that the unit is right.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::guest::{Guest, Queue};
use crate::wait;

const SOON: Duration = Duration::from_secs(60);
/// Each caller is another task, and so another slot among the states of tasks.
const CALLERS: usize = 25;

/// One source, made for both.
const PATCHES: [(&str, &str); 2] = [("the kernel's core", "lp_answer"), ("klp_rs", "rs_answer")];
/// What the original answers, and the replacement.
const ORIGINAL: u64 = 1;
const REPLACED: u64 = 2;

/// What `/proc/tgt/cost` says.
struct Cost {
    answer: u64,
    /// Of one call.
    instructions: f64,
    /// What the clock counts in an instruction.
    per_instruction: f64,
}

/// Of one call: the median over the callers, and the most.
#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    most: f64,
}

/// Counts, core by core, and sets them against each other.
pub(super) fn instructions(guest: &Guest) -> Result<()> {
    guest.note(&format!(
        "instructions of one call, median and most of {CALLERS} callers, kernel {}",
        guest.kernel_release()?
    ));
    guest.load_target()?;
    let unit = cost(guest)?.per_instruction;
    guest.note(&format!(
        "a loop of known length: {unit:.4} ticks of the clock for each instruction"
    ));
    guest.note(&format!("not patched: {}", callers(guest, ORIGINAL)?));
    guest.module("klp_rs").load()?;
    let mut seen = Vec::new();
    for (core, patch) in PATCHES {
        seen.push(patched(guest, core, patch)?);
    }
    if let [kernel, ours] = &seen[..] {
        for ((when, kernel), (_, ours)) in kernel.iter().zip(ours) {
            guest.note(&format!(
                "{when}: klp_rs takes {:.2} times the instructions of the kernel's core",
                ours.median / kernel.median
            ));
        }
    }
    Ok(())
}

/// The patch comes while one sleeps in another function of it that no signal ends, is complete, goes while one sleeps there again.
fn patched(guest: &Guest, core: &str, name: &str) -> Result<Vec<(&'static str, Spread)>> {
    let (target, patch, queue) = (guest.target(), guest.patch(name), Queue::WaitUninterruptible);
    let mut seen = Vec::new();
    let mut count = |when, answer| -> Result<()> {
        let spread = callers(guest, answer)?;
        guest.note(&format!("{core}, {when}: {spread}"));
        seen.push((when, spread));
        Ok(())
    };
    let mut reader = guest.workload(["read", &queue.file()])?;
    target.wait_for_sleepers(queue, 1, SOON)?;
    guest.module(name).load()?;
    all_but_the_sleeper(guest, REPLACED)?;
    count("while it is being applied", REPLACED)?;
    target.release_all()?;
    reader.wait_ended(SOON)?;
    patch.wait_applied(SOON)?;
    count("applied", REPLACED)?;
    let mut reader = guest.workload(["read", &queue.file()])?;
    target.wait_for_sleepers(queue, 1, SOON)?;
    patch.set_enabled(false)?;
    all_but_the_sleeper(guest, ORIGINAL)?;
    count("while it is being reverted", ORIGINAL)?;
    target.release_all()?;
    reader.wait_ended(SOON)?;
    patch.wait_reverted(SOON)?;
    wait::until(SOON, "the module to be unloaded", || {
        Ok(guest.module(name).unload().is_ok())
    })?;
    Ok(seen)
}

/// New tasks are what their parents are: when they have moved, so have we.
fn all_but_the_sleeper(guest: &Guest, answer: u64) -> Result<()> {
    wait::until(SOON, "the callers to have moved", || Ok(cost(guest)?.answer == answer)).map(drop)
}

/// So many tasks, one after the other; each must be given this answer.
fn callers(guest: &Guest, answer: u64) -> Result<Spread> {
    let mut costs = Vec::new();
    for _ in 0..CALLERS {
        let cost = cost(guest)?;
        anyhow::ensure!(cost.answer == answer, "a caller was answered {}", cost.answer);
        costs.push(cost.instructions);
    }
    costs.sort_by(f64::total_cmp);
    Ok(Spread {
        median: costs.get(CALLERS / 2).copied().unwrap_or_default(),
        most: costs.last().copied().unwrap_or_default(),
    })
}

/// By a task of its own.
fn cost(guest: &Guest) -> Result<Cost> {
    let text = guest.call("cat", ["/proc/tgt/cost"]).ok()?;
    let words: Vec<_> = text.split_whitespace().collect();
    let &[
        "answer",
        answer,
        "calls",
        calls,
        "ticks",
        called,
        "loop",
        length,
        "ticks",
        looped,
    ] = &words[..]
    else {
        anyhow::bail!("/proc/tgt/cost says {text:?}");
    };
    let number = |word: &str| word.parse::<f64>().with_context(|| text.clone());
    Ok(Cost {
        answer: answer.parse()?,
        instructions: number(called)? / number(calls)?,
        per_instruction: number(looped)? / number(length)?,
    })
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.1}, {:.1}", self.median, self.most)
    }
}
