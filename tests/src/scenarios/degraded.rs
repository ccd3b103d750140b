// SPDX-License-Identifier: GPL-2.0-only
//! Machines that tell less: no BPF, no BTF, no rights, no live patching, old kernels. The daemon starts, says what it does
//! not know, and does what is left.
//!
//! No stock kernel of Debian's is without live patching: there, a `/sys/kernel` without it is mounted for the daemon
//! alone. BTF still tells of patch states then; what a kernel without them does is left to unit tests.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Kernels, Scenario};
use crate::guest::{Guest, Queue};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("each kernel's daemon says what that kernel does not tell", kernels).on(Kernels::All),
    Scenario::new(
        "without the bpf system call a stuck reader is found in /proc, named and nudged",
        no_bpf,
    )
    .on(Kernels::All)
    .within_secs(120),
    Scenario::new("without BTF a stuck reader is found in /proc, named and nudged", no_btf)
        .on(Kernels::All)
        .within_secs(120),
    Scenario::new(
        "without rights to BPF and to stacks the daemon serves, and the kernel alone ends it",
        no_rights,
    )
    .within_secs(180),
    Scenario::new(
        "without live patching in the kernel the daemon serves, and apply is not supported",
        no_livepatch,
    )
    .within_secs(120),
];

const SOON: Duration = Duration::from_secs(15);

fn sentences(value: &Value) -> Vec<String> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// One of the sentences of `Degraded` has all of these words, and status shows it.
fn says(guest: &Guest, words: &[&str]) -> Result<()> {
    let mut told = Vec::new();
    wait::until(SOON, "livepatchd to say what it does not know", || {
        told = sentences(&guest.bus().property("Degraded")?);
        Ok(!told.is_empty())
    })?;
    guest.note(&told.join("\n"));
    let found = told.iter().find(|line| words.iter().all(|word| line.contains(word)));
    let sentence = found.with_context(|| format!("nothing of {words:?} in {told:?}"))?;
    let status = guest.ctl().call(["status"]).ok()?;
    ensure!(status.contains(sentence.as_str()), "status says {status}");
    Ok(())
}

fn kernels(guest: &Guest) -> Result<()> {
    if guest.kernel_release()?.starts_with("7.") {
        // once it has given a reason by events, all programs are loaded and what is lost is known
        stuck_reader(guest, SOON)?;
        let told = sentences(&guest.bus().property("Degraded")?);
        ensure!(told.is_empty(), "{told:?}");
        return Ok(());
    }
    says(guest, &["verdict", "klp_check_and_switch_task", "stacks"])
}

/// A stuck reader, and a patch applied by the daemon as it is.
fn stuck_reader(guest: &Guest, bound: Duration) -> Result<()> {
    let target = guest.load_target()?;
    let mut reader = guest.workload(["read", &Queue::Wait.file()])?;
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    let file = guest.module("lp").file();
    let applied = guest.ctl().call(["apply", &file]).within(bound).run()?;
    ensure!(applied.code == 0, "{}{}", applied.stdout, applied.stderr);
    guest.note(&format!("applied within {:.1} s", applied.took.as_secs_f64()));
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");
    target.release(Queue::Wait)?;
    reader.wait_ended(SOON)
}

/// The same by /proc alone: it is named, and nudged once.
fn stuck_reader_by_proc(guest: &Guest) -> Result<()> {
    let journal = guest.journal()?;
    stuck_reader(guest, Duration::from_secs(60))?;
    let nudges = journal.nudges()?;
    let functions: Vec<_> = nudges.iter().map(|nudge| nudge.field("LIVEPATCH_FUNCTION")).collect();
    ensure!(functions == [Some("tgt_wait [tgt]")], "nudged in {functions:?}");
    Ok(())
}

fn no_bpf(guest: &Guest) -> Result<()> {
    guest.service().restart_with("SystemCallFilter=~bpf")?;
    says(guest, &["BPF cannot be used", "/proc", "kernel's log"])?;
    stuck_reader_by_proc(guest)
}

fn no_btf(guest: &Guest) -> Result<()> {
    std::fs::write("/run/empty-btf", "")?;
    let empty = "BindReadOnlyPaths=/run/empty-btf:/sys/kernel/btf/vmlinux";
    guest.service().restart_with(empty)?;
    says(guest, &["BPF cannot be used", "BTF", "/proc"])?;

    guest
        .service()
        .restart_with("InaccessiblePaths=/sys/kernel/btf/vmlinux")?;
    says(guest, &["BPF cannot be used", "BTF", "/proc"])?;
    stuck_reader_by_proc(guest)
}

fn no_rights(guest: &Guest) -> Result<()> {
    guest
        .service()
        .restart_with("CapabilityBoundingSet=~CAP_BPF CAP_PERFMON CAP_SYS_ADMIN")?;
    says(guest, &["BPF cannot be used"])?;
    // no stack can be read, so nobody is known to sleep in the function and nobody is nudged: the kernel signals after 15 s
    stuck_reader(guest, Duration::from_secs(90))
}

fn no_livepatch(guest: &Guest) -> Result<()> {
    guest.service().restart_with(
        "TemporaryFileSystem=/sys/kernel:ro\nBindReadOnlyPaths=/sys/kernel/btf /sys/kernel/security /sys/kernel/tracing",
    )?;
    let status = guest.ctl().json(["status"])?;
    ensure!(status["cores"] == json!([]), "{status}");
    let line = guest.service().property("StatusText")?;
    ensure!(line == "this kernel has no live patching", "{line}");
    guest.note(&guest.ctl().call(["status"]).ok()?);

    guest.load_target()?;
    let standing = guest.standing()?;
    let file = guest.module("lp").file();
    let applied = guest.ctl().call(["apply", &file]).run()?;
    ensure!(
        applied.code == 1 && applied.stderr.contains("CONFIG_LIVEPATCH"),
        "apply ended with {}: {}",
        applied.code,
        applied.stderr
    );
    let name = guest.bus().error_of("Apply", &["s", &file])?;
    ensure!(name == "org.livepatch.Error.NotSupported", "{name}");
    standing.ensure_unchanged()
}
