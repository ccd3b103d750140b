// SPDX-License-Identifier: GPL-2.0-only
//! Test runs: chooses what to boot, runs as many machines side by side as there are processors, prints one line for each
//! verdict and the counts.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};

use super::accelerator::Accelerator;
use super::evidence::keep;
use super::follow::{Verdict, follow};
use super::image;
use super::machine::{MEMORY_MIB, Machine, Terminal};
use super::setup::{Kernel, prepare_beside, userland};
use super::workplace::Workplace;
use crate::plan::{Plan, Purpose};
use crate::scenarios::{self, Processors, Scenario};

/// Passed and failed, over all machines of a run.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    passed: usize,
    failed: usize,
}

/// One machine with what is planned for it.
struct Run {
    kernel: Kernel,
    scenarios: Vec<&'static Scenario>,
    folder: Workplace,
}

/// Runs the scenarios that fit a filter on the newest kernel of each series, as many machines at once as fit; the series that
/// takes longest is best the first. Says whether all passed.
pub fn test(series: &[String], filter: &str, daemon: bool, nightly: bool) -> Result<bool> {
    let installed = prepare_beside(series, || image::build(daemon))?;
    let mut runs = Vec::new();
    for series in series {
        runs.extend(Run::plan(series, filter, daemon, nightly)?);
    }
    ensure!(
        !runs.is_empty(),
        "no scenario is called, or lies in a file called, \"{filter}\""
    );
    let accelerator = Accelerator::probe(&runs[0].kernel.image()?, &userland()?)?;

    let counts = Mutex::new(Counts::default());
    let several = series.len() > 1;
    let waiting = Mutex::new(runs.iter());
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..lanes(accelerator).min(runs.len()) {
            scope.spawn(|| {
                // what one machine could not do is no reason not to boot the next
                while let Some(run) = waiting.lock().ok().and_then(|mut waiting| waiting.next()) {
                    let tell = &mut |verdict| run.tell(verdict, several, &counts);
                    if let Err(why) = run.carry_out(installed.as_deref(), accelerator, tell)
                        && let Ok(mut first) = failure.lock()
                    {
                        first.get_or_insert(why);
                    }
                }
            });
        }
    });

    let Counts { passed, failed } = counts.into_inner().ok().context("a run panicked")?;
    print(&format!("{passed} passed, {failed} failed\n"))?;
    match failure.into_inner().ok().context("a run panicked")? {
        Some(why) => Err(why),
        None => Ok(failed == 0),
    }
}

/// How many machines fit beside each other. An emulated one keeps one processor busy, one on KVM two.
fn lanes(accelerator: Accelerator) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let by_processors = match accelerator {
        Accelerator::Kvm => processors / 2,
        Accelerator::Tcg => processors,
    };
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<usize>().ok());
    let by_memory = kib.map_or(1, |kib| kib / 1024 / MEMORY_MIB);
    by_processors.min(by_memory).max(1)
}

impl Run {
    /// A kernel's runs, one for each machine.
    fn plan(series: &str, filter: &str, daemon: bool, nightly: bool) -> Result<Vec<Self>> {
        let kernel = Kernel::newest(series)?;
        let machines = scenarios::select(kernel.version()?, daemon, nightly, filter).into_iter();
        let runs = machines.map(|(machine, scenarios)| {
            let folder = [series, machine].join("-");
            Ok(Self {
                kernel: kernel.clone(),
                scenarios,
                folder: Workplace::take(folder.trim_end_matches('-'))?,
            })
        });
        runs.collect()
    }

    fn carry_out(
        &self,
        installed: Option<&Path>,
        accelerator: Accelerator,
        tell: &mut dyn FnMut(Verdict) -> Result<()>,
    ) -> Result<()> {
        let names = self.scenarios.iter().map(|scenario| scenario.name.to_owned()).collect();
        let plan = Plan {
            purpose: Purpose::Scenarios(names),
            daemon: installed.is_some(),
            terminal: None,
        };
        let initramfs = self.folder.join("initramfs");
        image::assemble(&initramfs, &self.kernel, installed, &plan)?;
        let image = self.kernel.image()?;
        let terminal = Terminal::Unconnected;
        let machine = Machine {
            kernel: &image,
            initramfs: &initramfs,
            folder: &self.folder,
            accelerator,
            terminal,
            processors: Processors::Two,
        };
        follow(machine.boot()?, &machine, &self.scenarios, tell)
    }

    fn tell(&self, verdict: Verdict, several: bool, counts: &Mutex<Counts>) -> Result<()> {
        let kernel = if several {
            format!("[{}] ", self.kernel.series)
        } else {
            String::new()
        };
        let mut counts = counts.lock().ok().context("a run panicked")?;
        match verdict {
            Verdict::Passed { name, seconds, output } => {
                counts.passed += 1;
                let mut notes = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(self.folder.join("notes.log"))?;
                output.lines().try_for_each(|line| writeln!(notes, "{name}: {line}"))?;
                print(&format!("ok {kernel}{name} ({seconds:.1} s)\n"))
            }
            Verdict::Failed { name, reason, left } => {
                counts.failed += 1;
                let kept = keep(&self.folder, &name, left)?;
                print(&format!("FAILED {kernel}{name}: {reason}\n{kept}"))
            }
        }
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
