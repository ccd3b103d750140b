// SPDX-License-Identifier: GPL-2.0-only
//! What a scenario works with: the machine it runs in. One file for each thing of that machine; [`Guest`] hands them out.
//!
//! Nothing here knows what livepatchd should do. It acts and observes, with a bound on every wait.

mod bus;
mod cleanup;
mod command;
mod ctl;
mod group;
mod init;
mod journal;
mod kernel_log;
mod module;
mod patch;
mod runner;
mod scope;
mod screen;
mod service;
mod standing;
mod target;
mod task;
mod workload;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

pub use bus::Bus;
pub use command::{Call, Output};
pub use ctl::Ctl;
pub use group::Group;
pub use init::StuckInit;
pub use journal::{Entry, Journal};
pub use kernel_log::KernelLog;
pub use module::Module;
pub use patch::Patch;
pub use runner::{run_one, run_plan};
pub use screen::Screen;
pub use service::Service;
pub use standing::Standing;
pub use target::{Queue, Target};
pub use task::Task;
pub use workload::Workload;

use crate::wait;

/// For a process to start and to reach the target module.
const STUCK_WITHIN: Duration = Duration::from_secs(10);

/// The machine a scenario runs in.
#[derive(Debug, Default)]
pub struct Guest {
    /// No state: everything is read from the machine when asked for.
    _private: (),
}

impl Guest {
    /// A command to run with a bound: `guest.call("systemctl", ["is-active", "livepatchd"]).run()?`.
    pub fn call<I: IntoIterator<Item = A>, A: Into<String>>(&self, program: &str, arguments: I) -> Call {
        Call::new(program, arguments)
    }

    /// The target module's files; it must be loaded.
    pub fn target(&self) -> Target {
        Target
    }

    /// Loads the target module, if it is not loaded, and gives its files.
    pub fn load_target(&self) -> Result<Target> {
        let module = self.module("tgt");
        if !module.loaded() {
            module.load()?;
        }
        Ok(Target)
    }

    /// A module of `tests/modules`, by name.
    pub fn module(&self, name: &str) -> Module {
        Module::sample(name)
    }

    /// A live patch as its core shows it, by name; it need not exist.
    pub fn patch(&self, name: &str) -> Patch {
        Patch::named(name)
    }

    /// A helper process of the `workload` program: `guest.workload(["read", "/proc/tgt/wait", "--threads", "8"])?`.
    pub fn workload<I: IntoIterator<Item = A>, A: Into<String>>(&self, arguments: I) -> Result<Workload> {
        Workload::start(arguments)
    }

    /// A control group below the scenario's own.
    pub fn group(&self, name: &str) -> Result<Group> {
        Group::create(name)
    }

    /// Sends PID 1 into the target module, where it stays until what this gives goes.
    pub fn stuck_init(&self, queue: Queue) -> Result<StuckInit> {
        StuckInit::send(queue)
    }

    /// A process asleep in the target module, which it loads, with so many other threads that work.
    pub fn stuck_reader(&self, queue: Queue, workers: u32) -> Result<(Workload, Task)> {
        let target = self.load_target()?;
        let reader = self.workload(["read", &queue.file(), "--workers", &workers.to_string()])?;
        let task = reader.readers(1, STUCK_WITHIN)?[0];
        target.wait_for_sleepers(queue, 1, STUCK_WITHIN)?;
        Ok((reader, task))
    }

    /// What is written to the journal from now on.
    pub fn journal(&self) -> Result<Journal> {
        Journal::from_now()
    }

    /// What the kernel logs from now on.
    pub fn kernel_log(&self) -> Result<KernelLog> {
        KernelLog::from_now()
    }

    /// livepatchctl.
    pub fn ctl(&self) -> Ctl {
        Ctl
    }

    /// The daemon's bus name, through busctl.
    pub fn bus(&self) -> Bus {
        Bus
    }

    /// The daemon as systemd's service.
    pub fn service(&self) -> Service {
        Service
    }

    /// How modules, patches and the daemon stand, to see later that nothing has changed.
    pub fn standing(&self) -> Result<Standing> {
        Standing::now()
    }

    /// Starts the daemon anew and waits until it has all its means: BPF programs are loaded beside its start.
    pub fn restart_daemon(&self) -> Result<()> {
        const LOADED_WITHIN: Duration = Duration::from_secs(30);
        let journal = self.journal()?;
        self.call("systemctl", ["restart", "livepatchd"])
            .within(LOADED_WITHIN)
            .ok()?;
        wait::until(LOADED_WITHIN, "the daemon to follow transitions by BPF", || {
            let entries = journal.of_unit("livepatchd")?;
            Ok(entries.iter().any(|entry| entry.message().contains("by BPF")))
        })
        .map(drop)
    }

    /// Release of the running kernel, such as `7.2.12+deb13-cloud-amd64`.
    pub fn kernel_release(&self) -> Result<String> {
        Ok(fs::read_to_string("/proc/sys/kernel/osrelease")
            .context("kernel release")?
            .trim()
            .to_owned())
    }

    /// Tells something worth knowing also when the scenario passes: a figure it measured.
    #[expect(clippy::print_stdout, reason = "the runner keeps what a scenario writes")]
    pub fn note(&self, text: &str) {
        println!("{text}");
    }
}
