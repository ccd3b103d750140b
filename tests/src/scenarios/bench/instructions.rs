// SPDX-License-Identifier: GPL-2.0-only
//! The part of `make bench` that counts: what a call of a patched function costs in instructions, on a machine whose clock counts
//! them, with each core in turn. Nothing is asserted; a loop of known length shows that the unit is right.

use std::fmt::{self, Display, Formatter};

use anyhow::{Context, Result, bail, ensure};

use super::{SOON, both_cores};
use crate::guest::{Guest, Queue};
use crate::wait;

/// Each caller is another task, and so another slot among the states of tasks.
const CALLERS: usize = 25;

/// Sleeping threads beside, so that the states of tasks are as many as on a machine in use.
const CROWD: u32 = 400;

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
pub(in crate::scenarios) fn instructions(guest: &Guest) -> Result<()> {
    guest.note(&format!(
        "instructions of one call, median and most of {CALLERS} callers, kernel {}",
        guest.kernel_release()?
    ));
    guest.load_target()?;
    let _crowd = both_cores::sleepers(guest, CROWD)?;
    let unit = cost(guest)?.per_instruction;
    guest.note(&format!(
        "a loop of known length: {unit:.4} ticks of the clock for each instruction"
    ));
    guest.note(&format!("not patched: {}", callers(guest, ORIGINAL)?));
    guest.module("klp_rs").load()?;
    let mut seen = Vec::new();
    for (core, prefix) in both_cores::PATCHES {
        seen.push(patched(guest, core, &format!("{prefix}answer"))?);
    }
    if let [ours, kernel] = &seen[..] {
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
    let mut tell = |when, spread| {
        guest.note(&format!("{core}, {when}: {spread}"));
        seen.push((when, spread));
    };
    let late = guest.call("cat", ["/proc/tgt/late"]).within(SOON);
    let (late, ()) = late.during(|| {
        target.wait_for_sleepers(queue, 1, SOON)?;
        guest.module(name).load()?;
        all_but_the_sleeper(guest, REPLACED)?;
        tell("while it is being applied, by who has moved", callers(guest, REPLACED)?);
        target.release_all()
    })?;
    let late = Cost::read(&late.ok()?)?;
    ensure!(late.answer == ORIGINAL, "the sleeper had moved");
    tell(
        "while it is being applied, by who has not",
        Spread::of(vec![late.instructions]),
    );
    patch.wait_applied(SOON)?;
    tell("applied", callers(guest, REPLACED)?);
    let stuck = both_cores::Stuck::begin(guest)?;
    patch.set_enabled(false)?;
    all_but_the_sleeper(guest, ORIGINAL)?;
    tell(
        "while it is being reverted, by who has moved",
        callers(guest, ORIGINAL)?,
    );
    stuck.end()?;
    patch.wait_reverted(SOON)?;
    both_cores::unload(guest, name)?;
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
        ensure!(cost.answer == answer, "a caller was answered {}", cost.answer);
        costs.push(cost.instructions);
    }
    Ok(Spread::of(costs))
}

/// By a task of its own.
fn cost(guest: &Guest) -> Result<Cost> {
    Cost::read(&guest.call("cat", ["/proc/tgt/cost"]).ok()?)
}

impl Cost {
    fn read(text: &str) -> Result<Self> {
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
            bail!("the target says {text:?}");
        };
        let number = |word: &str| word.parse::<f64>().with_context(|| text.to_owned());
        Ok(Self {
            answer: answer.parse()?,
            instructions: number(called)? / number(calls)?,
            per_instruction: number(looped)? / number(length)?,
        })
    }
}

impl Spread {
    fn of(mut costs: Vec<f64>) -> Self {
        costs.sort_by(f64::total_cmp);
        Self {
            median: costs.get(costs.len() / 2).copied().unwrap_or_default(),
            most: costs.last().copied().unwrap_or_default(),
        }
    }
}

impl Display for Spread {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.1}, {:.1}", self.median, self.most)
    }
}
