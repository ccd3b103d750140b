// SPDX-License-Identifier: GPL-2.0-only
//! Times how pending tasks are found: one BPF pass with reasons, as the daemon makes it, against a compiled loop that reads
//! every `/proc/PID/task/TID/patch_state`. Prints medians and their ratio. Part of `make bench`; needs root. The arguments are the
//! name of a patch in transition and how many tasks will stay pending: it waits until no more are.
#![expect(clippy::print_stdout, reason = "that is its output")]

use std::{
    env, fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use livepatchd::{
    model::{
        patch::{Core, Direction, PatchName},
        place::Places,
    },
    observe::{
        bpf,
        scan::{Asked, Scanner},
        sysfs,
    },
};

const RUNS: usize = 7;

/// The kernel looks at all tasks once a second; emulated, with thousands, that takes its time.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let name = env::args().nth(1).context("the name of a patch in transition")?;
    let expected: usize = env::args().nth(2).context("how many will stay pending")?.parse()?;
    let patch = PatchName::new(&name).context("not a patch's name")?;
    let places = Places::system(None);
    let listings = sysfs::list(&places, Core::Kernel)?.context("no live patching here")?;
    let listed = listings.into_iter().find(|l| l.name == patch).and_then(|l| l.listed);
    let functions = listed.filter(|l| l.transition).context("not in transition")?.functions;
    let source = bpf::load::load()?;
    let mut scanner = Scanner::new(places);
    scanner.use_bpf(source.scanner.context("no task iterator")?);

    let start = Instant::now();
    while pending_by_proc()? > expected {
        ensure!(
            start.elapsed() < SETTLED_WITHIN,
            "more than {expected} tasks stay pending"
        );
    }

    let (mut passes, mut loops) = (Vec::new(), Vec::new());
    let (mut found, mut read) = (0, 0);
    for _ in 0..RUNS {
        let start = Instant::now();
        let asked = Asked {
            core: Core::Kernel,
            patch: &patch,
            direction: Direction::Patching,
            functions: &functions,
            below: &[],
        };
        found = scanner.pending(asked)?.pending.len();
        passes.push(start.elapsed());
        let start = Instant::now();
        read = pending_by_proc()?;
        loops.push(start.elapsed());
    }
    ensure!(found == read, "BPF finds {found} pending tasks, /proc {read}");
    let (pass, by_proc) = (median(passes), median(loops));
    let ratio = by_proc.as_secs_f64() / pass.as_secs_f64().max(1e-9);
    println!("BPF pass with reasons {pass:.1?}, /proc without {by_proc:.1?}: {ratio:.1} times faster");
    Ok(())
}

/// Tasks that are still unpatched.
fn pending_by_proc() -> Result<usize> {
    let mut pending = 0;
    for process in fs::read_dir("/proc")?.flatten() {
        let Ok(tasks) = fs::read_dir(process.path().join("task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let state = fs::read(task.path().join("patch_state")).unwrap_or_default();
            pending += usize::from(state.starts_with(b"0"));
        }
    }
    Ok(pending)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
