// SPDX-License-Identifier: GPL-2.0-only
//! Times how pending tasks are found with their reasons, as the daemon does it, against a compiled loop that reads every
//! `/proc/PID/task/TID/patch_state`: a pass over all tasks and, where the kernel's last round named few, a look at those
//! alone. Prints medians and their ratios. Part of `make bench`; needs root. The arguments are the name of a patch in
//! transition and how many tasks will stay pending: it waits until no more are.
#![expect(clippy::print_stdout, reason = "that is its output")]

use std::{
    env, fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use livepatchd::{
    model::{
        Model,
        fact::{Fact, TransitionEvent},
        patch::{Core, Direction, PatchListing, PatchName},
        place::Places,
        task::TaskKey,
        time::Moment,
    },
    observe::{
        bpf::{self, events::Events},
        scan::{Asked, Scanner},
        sysfs,
    },
};
use tokio::time::timeout;

const RUNS: usize = 7;

/// The kernel looks at all tasks once a second; emulated, with thousands, that takes its time.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let name = env::args().nth(1).context("the name of a patch in transition")?;
    let expected: usize = env::args().nth(2).context("how many will stay pending")?.parse()?;
    let patch = PatchName::new(&name).context("not a patch's name")?;
    let places = Places::system(None);
    let listings = sysfs::list(&places, Core::Kernel)?.context("no live patching here")?;
    let listing = listings.into_iter().find(|l| l.name == patch).context("not loaded")?;
    let listed = listing.listed.clone().filter(|l| l.transition);
    let functions = listed.context("not in transition")?.functions;
    let source = bpf::load::load()?;
    let mut scanner = Scanner::new(places);
    scanner.use_bpf(source.scanner.context("no task iterator")?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _in_runtime = runtime.enter();
    let mut events = source.events.context("no events")?.listen()?;

    let start = Instant::now();
    while pending_by_proc()? > expected {
        ensure!(
            start.elapsed() < SETTLED_WITHIN,
            "more than {expected} tasks stay pending"
        );
    }
    let named = runtime.block_on(async { timeout(SETTLED_WITHIN, named(&mut events, listing)).await })??;

    let asked = |among| Asked {
        core: Core::Kernel,
        patch: &patch,
        direction: Direction::Patching,
        functions: &functions,
        below: &[],
        among,
    };
    let (mut looks, mut passes, mut loops) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (pass, found) = timed(|| scanner.pending(asked(None)))?;
        passes.push(pass);
        let (by_proc, read) = timed(pending_by_proc)?;
        loops.push(by_proc);
        let found = found.pending.len();
        ensure!(found == read, "BPF finds {found} pending tasks, /proc {read}");
        if let Some(named) = &named {
            let (look, found) = timed(|| scanner.pending(asked(Some(named))))?;
            looks.push(look);
            let found = found.pending.len();
            ensure!(found == read, "{found} of those named are pending, {read} in all");
        }
    }
    let (pass, by_proc) = (median(passes), median(loops));
    let ratio = |fast: Duration| by_proc.as_secs_f64() / fast.as_secs_f64().max(1e-9);
    let told = if looks.is_empty() {
        "too many are named to look at each alone".to_owned()
    } else {
        let look = median(looks);
        format!("those named by the kernel {look:.1?}, {:.1} times faster", ratio(look))
    };
    println!(
        "/proc without reasons {by_proc:.1?}; BPF pass with reasons {pass:.1?}, {:.1} times faster; {told}",
        ratio(pass)
    );
    Ok(())
}

/// Whom the daemon would look at alone once a whole round of the kernel was heard.
async fn named(events: &mut Events, listing: PatchListing) -> Result<Option<Vec<TaskKey>>> {
    let (core, mut model) = (Core::Kernel, Model::new());
    let patches = vec![listing];
    model.observe(Moment(0), Fact::Listing { core, patches });
    let mut rounds = 0;
    // the first one may have been under way
    while rounds < 2 {
        for fact in events.next().await?.facts {
            let event = TransitionEvent::RoundEnded;
            rounds += u32::from(fact == Fact::Transition { core, event });
            model.observe(Moment(0), fact);
        }
    }
    Ok(model.suspects(core))
}

fn timed<T, E: Into<anyhow::Error>>(what: impl FnOnce() -> Result<T, E>) -> Result<(Duration, T)> {
    let start = Instant::now();
    let result = what().map_err(Into::into)?;
    Ok((start.elapsed(), result))
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
