// SPDX-License-Identifier: GPL-2.0-only
//! Test runs and interactive machines: chooses what to boot, prints one line for each verdict, keeps what a failure needs.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use super::accelerator::Accelerator;
use super::follow::{Verdict, follow};
use super::image;
use super::machine::{Machine, Terminal};
use super::setup::{Kernel, userland, workspace};
use crate::plan::{Plan, Purpose};
use crate::report::{Evidence, Report};
use crate::scenarios::{self, Scenario};

/// So many lines of each log are shown with a failure; the whole of it is in a file.
const SHOWN_LINES: usize = 15;

/// Passed and failed, over all machines of a run.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    passed: usize,
    failed: usize,
}

/// One kernel with what is planned for it.
struct Run {
    kernel: Kernel,
    scenarios: Vec<&'static Scenario>,
    folder: PathBuf,
}

/// Runs the scenarios that fit a filter on the newest kernel of each series, the kernels side by side. Says whether all passed.
pub fn test(series: &[String], filter: &str, daemon: bool) -> Result<bool> {
    let runs = series
        .iter()
        .map(|series| Run::plan(series, filter, daemon))
        .collect::<Result<Vec<_>>>()?;
    ensure!(
        runs.iter().any(|run| !run.scenarios.is_empty()),
        "no scenario is called, or lies in a file called, \"{filter}\""
    );
    image::build_programs()?;
    let installed = daemon.then(installed).transpose()?;
    let accelerator = Accelerator::probe(&runs[0].kernel.image()?, &userland()?)?;

    let counts = Mutex::new(Counts::default());
    let several = runs.len() > 1;
    thread::scope(|scope| {
        let started: Vec<_> = runs
            .iter()
            .filter(|run| !run.scenarios.is_empty())
            .map(|run| {
                let (counts, installed) = (&counts, installed.as_deref());
                scope.spawn(move || {
                    run.carry_out(installed, accelerator, &mut |verdict| {
                        run.tell(verdict, several, counts)
                    })
                })
            })
            .collect();
        started
            .into_iter()
            .try_for_each(|run| run.join().ok().context("a run panicked")?)
    })?;

    let Counts { passed, failed } = counts.into_inner().ok().context("a run panicked")?;
    print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(failed == 0)
}

/// Boots one machine with the user's terminal: a shell, or a program of the registry. Says whether it ended well.
pub fn interact(series: &str, program: Option<&str>, daemon: bool) -> Result<bool> {
    if let Some(name) = program {
        scenarios::program(name)?;
    }
    let kernel = Kernel::newest(series)?;
    image::build_programs()?;
    let installed = daemon.then(installed).transpose()?;
    let (purpose, terminal) = match program {
        None => (Purpose::Shell, Terminal::Console),
        Some(name) => (Purpose::Program(name.to_owned()), Terminal::Program),
    };
    let folder = folder_for(&kernel)?;
    let initramfs = folder.join("initramfs");
    image::assemble(&initramfs, &kernel, installed.as_deref(), &Plan { purpose, daemon })?;
    let image = kernel.image()?;
    let accelerator = Accelerator::probe(&image, &userland()?)?;
    let machine = Machine {
        kernel: &image,
        initramfs: &initramfs,
        folder: &folder,
        accelerator,
        terminal,
    };
    let status = machine.boot()?.wait()?;
    if program.is_none() {
        return Ok(status.success());
    }
    let reports = fs::read_to_string(machine.reports())?;
    for line in reports.lines() {
        match serde_json::from_str(line)? {
            Report::Failed { reason, .. } | Report::Broken { reason } => bail!("{reason}"),
            Report::Finished => return Ok(true),
            Report::Ready | Report::Started { .. } | Report::Passed { .. } => {}
        }
    }
    bail!("the machine ended early: see {}", machine.console().display())
}

impl Run {
    fn plan(series: &str, filter: &str, daemon: bool) -> Result<Self> {
        let kernel = Kernel::newest(series)?;
        let scenarios = scenarios::select(kernel.version()?, daemon, filter);
        let folder = folder_for(&kernel)?;
        Ok(Self {
            kernel,
            scenarios,
            folder,
        })
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
            Verdict::Failed { name, reason, evidence } => {
                counts.failed += 1;
                let kept = self.keep(&name, evidence)?;
                print(&format!("FAILED {kernel}{name}: {reason}\n{kept}"))
            }
        }
    }

    /// Writes down what a failure left and gives the ends of it, to be shown.
    fn keep(&self, name: &str, evidence: Option<Evidence>) -> Result<String> {
        let console = self.folder.join("console.log");
        let Some(Evidence {
            output,
            kernel_log,
            journal,
        }) = evidence
        else {
            return Ok(shown(&console, &String::from_utf8_lossy(&fs::read(&console)?)));
        };
        let slug: String = name
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
            .collect();
        let folder = self.folder.join(slug);
        fs::create_dir_all(&folder)?;
        let mut text = String::new();
        for (file, log) in [("output", output), ("kernel.log", kernel_log), ("journal", journal)] {
            let path = folder.join(file);
            fs::write(&path, &log)?;
            text += &shown(&path, &log);
        }
        Ok(text)
    }
}

fn shown(path: &Path, log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let end = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    let path = path.strip_prefix(workspace()).unwrap_or(path).display();
    std::iter::once(format!("  {path}\n"))
        .chain(end.iter().map(|line| format!("    {line}\n")))
        .collect()
}

/// What livepatchd installs, made once for all machines of a run.
fn installed() -> Result<PathBuf> {
    let folder = vm_folder()?.join("install");
    image::install(&folder)?;
    Ok(folder)
}

/// Beside the other build results: this program lies in a profile's folder of the target folder.
fn vm_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("this program lies in no target folder")?;
    Ok(target.join("vm"))
}

fn folder_for(kernel: &Kernel) -> Result<PathBuf> {
    let folder = vm_folder()?.join(&kernel.series);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
