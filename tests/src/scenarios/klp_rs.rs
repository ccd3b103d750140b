// SPDX-License-Identifier: GPL-2.0-only
//! `klp_rs` by itself: the scripts of `klp-module/tests`, one scenario each. What livepatchd does with its patches is told
//! elsewhere.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::Scenario;
use crate::guest::Guest;
use crate::plan::{KLP_RS_TESTS, PROGRAMS};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::anchor("klp_rs: a patch is loaded, in force, disabled and unloaded", basic),
    Scenario::anchor(
        "klp_rs keeps its contract: refusals, reversal, callbacks, modules, stacks",
        contract,
    )
    .within_secs(180),
    Scenario::anchor("klp_rs: a replacing patch stands for all others", replace).within_secs(120),
    Scenario::anchor(
        "klp_rs: a sleeper that nobody wakes is kicked and restarts patched",
        signal,
    ),
    Scenario::anchor(
        "klp_rs: a task moves that can move in one way only, whichever it is",
        ways,
    )
    .within_secs(120),
    Scenario::anchor("klp_rs: idle tasks inside a patched function are woken, and move", idle).within_secs(120),
    Scenario::anchor("klp_rs: processors go and come while patches do", hotplug).within_secs(180),
    Scenario::anchor(
        "klp_rs: no call sees two versions in a storm of callers and patches",
        storm,
    )
    .within_secs(150),
    Scenario::anchor(
        "klp_rs: a patch that comes and goes fifty times leaves nothing behind",
        cycles,
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: wrong descriptions are refused, in the words of the kernel's core",
        descriptions,
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: patches without consistency wait for nobody, and their modules for whoever is inside",
        immediate,
    ),
    Scenario::anchor(
        "klp_rs: whatever memory it does not get, it undoes what it did, or does it later",
        memory,
    )
    .within_secs(300),
    Scenario::anchor(
        "klp_rs: the set of tasks grows, and waits for who has no room in it",
        growth,
    )
    .within_secs(120),
    Scenario::anchor("klp_rs: every sample comes, is in force and goes", samples).within_secs(120),
    Scenario::anchor("klp_rs: system states and shadow variables", data).within_secs(120),
    Scenario::anchor("klp_rs: the kernel's own sample patches run unmodified", compat).within_secs(120),
    Scenario::anchor("klp_rs: the kernel's own livepatch selftests pass", selftests).within_secs(240),
];

/// What takes too long for every run.
pub(super) const NIGHTLY: &[Scenario] = &[
    Scenario::anchor("klp_rs: no call sees two versions in ten minutes of storm", long_storm).within_secs(720),
    Scenario::anchor(
        "klp_rs: whatever memory it does not get, once or from then on, it undoes what it did, or does it later",
        memory_both,
    )
    .within_secs(1200),
];

/// With cores that lack a rule: the storm must notice. Nothing else may rely on the machine afterwards.
pub(super) const WITHOUT_A_RULE: &[Scenario] = &[
    Scenario::anchor(
        "klp_rs: a core that takes no notice of tasks on their way into a function is caught by the storm",
        without_window,
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: a core whose children do not inherit is caught by the storm",
        without_fork,
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: a core as slow whose children inherit is not caught",
        without_haste,
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: each way to move is needed: without it there is a task that does not",
        without_ways,
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: idle tasks inside a patched function stay there for long unless they are woken",
        without_wake,
    )
    .within_secs(120),
    Scenario::anchor(
        "klp_rs: while transform_rs is in transition, objects are made in both versions",
        transform,
    ),
];

/// With `klp_rs` as it is on a kernel without reliable stacks; its patches stay.
pub(super) const WITHOUT_UNWINDER: &[Scenario] = &[Scenario::anchor(
    "klp_rs: without reliable stacks only immediate patches are accepted",
    unwinder,
)
.leaving_modules()];

/// What cannot be undone.
pub(super) const FORCED: &[Scenario] =
    &[Scenario::anchor("klp_rs: a forced transition ends at once and its module stays", force).leaving_modules()];

/// The runner's bound comes first; this one only has to be there.
const BOUND: Duration = Duration::from_secs(1300);

/// Runs one script. Its indented lines are figures, its last line counts, and what failed is the reason.
fn script(guest: &Guest, arguments: &[&str]) -> Result<()> {
    let run = format!("{KLP_RS_TESTS}/run.sh");
    let words = [run.as_str()].into_iter().chain(arguments.iter().copied());
    let path = format!("{PROGRAMS}:/usr/sbin:/usr/bin");
    let output = guest.call("sh", words).env("PATH", &path).within(BOUND).run()?;
    for line in output.stdout.lines().filter(|line| line.starts_with(' ')) {
        guest.note(line.trim());
    }
    let failed: Vec<_> = output.stdout.lines().filter(|line| line.starts_with("FAIL ")).collect();
    if !failed.is_empty() {
        guest.note(&output.stdout);
        bail!("{}", failed.join("; "));
    }
    let counted = output
        .stdout
        .lines()
        .last()
        .is_some_and(|line| line.ends_with(" passed, 0 failed"));
    ensure!(
        counted && output.code == 0,
        "the script ended with {}: {}{}",
        output.code,
        output.stdout,
        output.stderr
    );
    Ok(())
}

fn basic(guest: &Guest) -> Result<()> {
    script(guest, &["basic"])
}

fn contract(guest: &Guest) -> Result<()> {
    script(guest, &["contract"])
}

fn replace(guest: &Guest) -> Result<()> {
    script(guest, &["replace"])
}

fn signal(guest: &Guest) -> Result<()> {
    script(guest, &["signal"])
}

fn hotplug(guest: &Guest) -> Result<()> {
    script(guest, &["hotplug"])
}

fn storm(guest: &Guest) -> Result<()> {
    script(guest, &["storm", "60"])
}

fn long_storm(guest: &Guest) -> Result<()> {
    script(guest, &["storm", "600"])
}

fn cycles(guest: &Guest) -> Result<()> {
    script(guest, &["cycles", "50"])
}

fn descriptions(guest: &Guest) -> Result<()> {
    script(guest, &["descriptions"])
}

fn immediate(guest: &Guest) -> Result<()> {
    script(guest, &["immediate"])
}

fn memory(guest: &Guest) -> Result<()> {
    script(guest, &["memory"])
}

fn memory_both(guest: &Guest) -> Result<()> {
    script(guest, &["memory", "both"])
}

fn growth(guest: &Guest) -> Result<()> {
    script(guest, &["growth"])
}

fn samples(guest: &Guest) -> Result<()> {
    script(guest, &["samples"])
}

fn data(guest: &Guest) -> Result<()> {
    script(guest, &["data"])
}

fn compat(guest: &Guest) -> Result<()> {
    script(guest, &["compat"])
}

fn selftests(guest: &Guest) -> Result<()> {
    script(guest, &["selftests"])
}

fn ways(guest: &Guest) -> Result<()> {
    script(guest, &["ways"])
}

fn idle(guest: &Guest) -> Result<()> {
    script(guest, &["idle"])
}

fn without_wake(guest: &Guest) -> Result<()> {
    script(guest, &["idle", "without_ways"])
}

fn without_ways(guest: &Guest) -> Result<()> {
    script(guest, &["ways", "without_ways"])
}

fn transform(guest: &Guest) -> Result<()> {
    script(guest, &["transform"])
}

fn without_window(guest: &Guest) -> Result<()> {
    script(guest, &["rule", "window"])
}

fn without_fork(guest: &Guest) -> Result<()> {
    script(guest, &["rule", "fork"])
}

fn without_haste(guest: &Guest) -> Result<()> {
    script(guest, &["rule", "haste"])
}

fn unwinder(guest: &Guest) -> Result<()> {
    script(guest, &["unwinder"])
}

fn force(guest: &Guest) -> Result<()> {
    script(guest, &["force"])
}
