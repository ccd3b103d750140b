// SPDX-License-Identifier: GPL-2.0-only
//! `klp_rs` by itself: the scripts of `klp-module/tests`, one scenario each. What livepatchd does with its patches is told
//! elsewhere.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::Scenario;
use crate::guest::Guest;
use crate::plan::{KLP_RS_TESTS, PROGRAMS};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::anchor("klp_rs: a patch is loaded, in force, disabled and unloaded", |guest| {
        script(guest, &["basic"])
    }),
    Scenario::anchor(
        "klp_rs keeps its contract: refusals, reversal, callbacks, modules, BPF programs",
        |guest| script(guest, &["contract"]),
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: two and five patches of one function leave in any order",
        |guest| script(guest, &["stacked"]),
    )
    .within_secs(120),
    Scenario::anchor("klp_rs: a replacing patch stands for all others", |guest| {
        script(guest, &["replace"])
    })
    .within_secs(120),
    Scenario::anchor(
        "klp_rs: a sleeper that nobody wakes is kicked and restarts patched",
        |guest| script(guest, &["signal"]),
    ),
    Scenario::anchor(
        "klp_rs: a task moves that can move in one way only, whichever it is",
        |guest| script(guest, &["ways"]),
    )
    .within_secs(120),
    Scenario::anchor(
        "klp_rs: idle tasks inside a patched function are woken, and move",
        |guest| script(guest, &["idle"]),
    )
    .within_secs(120),
    Scenario::anchor("klp_rs: processors go and come while patches do", |guest| {
        script(guest, &["hotplug"])
    })
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: no call sees two versions in a storm of callers and patches",
        |guest| script(guest, &["storm", "60"]),
    )
    .within_secs(150),
    Scenario::anchor(
        "klp_rs: a patch that comes and goes fifty times leaves nothing behind",
        |guest| script(guest, &["cycles", "50"]),
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: wrong descriptions are refused, in the words of the kernel's core",
        |guest| script(guest, &["descriptions"]),
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: patches without consistency wait for nobody, and their modules for whoever is inside",
        |guest| script(guest, &["immediate"]),
    ),
    Scenario::anchor(
        "klp_rs: whatever memory it does not get, it undoes what it did, or does it later",
        |guest| script(guest, &["memory"]),
    )
    .within_secs(300),
    Scenario::anchor(
        "klp_rs: the set of tasks grows, and waits for who has no room in it",
        |guest| script(guest, &["growth"]),
    )
    .within_secs(120),
    Scenario::anchor("klp_rs: every sample comes, is in force and goes", |guest| {
        script(guest, &["samples"])
    })
    .within_secs(120),
    Scenario::anchor("klp_rs: system states and shadow variables", |guest| {
        script(guest, &["data"])
    })
    .within_secs(120),
    Scenario::anchor("klp_rs: the kernel's own sample patches run unmodified", |guest| {
        script(guest, &["compat"])
    })
    .within_secs(120),
    Scenario::anchor("klp_rs: the kernel's own livepatch selftests pass", |guest| {
        script(guest, &["selftests"])
    })
    .within_secs(240),
];

/// What takes too long for every run.
pub(super) const NIGHTLY: &[Scenario] = &[
    Scenario::anchor("klp_rs: no call sees two versions in ten minutes of storm", |guest| {
        script(guest, &["storm", "600"])
    })
    .within_secs(720),
    Scenario::anchor(
        "klp_rs: a patch that comes and goes two hundred times leaves nothing behind",
        |guest| script(guest, &["cycles", "200"]),
    )
    .within_secs(900),
    Scenario::anchor(
        "klp_rs: whatever memory it does not get, once or from then on, it undoes what it did, or does it later",
        |guest| script(guest, &["memory", "both"]),
    )
    .within_secs(1200),
];

/// With cores that lack a rule: the storm must notice. Nothing else may rely on the machine afterwards.
pub(super) const WITHOUT_A_RULE: &[Scenario] = &[
    Scenario::anchor(
        "klp_rs: a core that takes no notice of tasks on their way into a function is caught by the storm",
        |guest| script(guest, &["rule", "window"]),
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: a core whose children do not inherit is caught by the storm",
        |guest| script(guest, &["rule", "fork"]),
    )
    .within_secs(180),
    Scenario::anchor("klp_rs: a core as slow whose children inherit is not caught", |guest| {
        script(guest, &["rule", "haste"])
    })
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: each way to move is needed: without it there is a task that does not",
        |guest| script(guest, &["ways", "without_ways"]),
    )
    .within_secs(180),
    Scenario::anchor(
        "klp_rs: idle tasks inside a patched function stay there for long unless they are woken",
        |guest| script(guest, &["idle", "without_ways"]),
    )
    .within_secs(120),
    Scenario::anchor(
        "klp_rs: while transform_rs is in transition, objects are made in both versions",
        |guest| script(guest, &["transform"]),
    ),
];

/// With `klp_rs` as it is on a kernel without reliable stacks; its patches stay.
pub(super) const WITHOUT_UNWINDER: &[Scenario] = &[Scenario::anchor(
    "klp_rs: without reliable stacks only immediate patches are accepted",
    |guest| script(guest, &["unwinder"]),
)
.leaving_modules()];

/// What cannot be undone.
pub(super) const FORCED: &[Scenario] = &[Scenario::anchor(
    "klp_rs: a forced transition ends at once and its module stays",
    |guest| script(guest, &["force"]),
)
.leaving_modules()];

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
