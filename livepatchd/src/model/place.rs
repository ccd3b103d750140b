// SPDX-License-Identifier: GPL-2.0-only
//! Where the kernel keeps what this daemon reads and writes: paths only, nothing is opened here.
//!
//! Both edges take a [`Places`] and never write a path of their own, so that tests can give them a directory tree and a
//! new core is one more line in [`Places::core`].

use std::path::PathBuf;

use super::patch::{Core, PatchName};

/// The mount points that everything else follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// sysfs, `/sys`.
    pub sys: PathBuf,
    /// procfs, `/proc`.
    pub proc: PathBuf,
    /// The daemon's own runtime directory.
    pub runtime: PathBuf,
}

impl Places {
    /// The running system's, with the runtime directory that systemd gave (`$RUNTIME_DIRECTORY`), else the usual one.
    pub fn system(runtime: Option<PathBuf>) -> Self {
        Self {
            sys: "/sys".into(),
            proc: "/proc".into(),
            runtime: runtime.unwrap_or_else(|| "/run/livepatchd".into()),
        }
    }

    /// The directory in which a core has one directory per patch.
    pub fn core(&self, core: Core) -> PathBuf {
        self.sys.join(match core {
            Core::Kernel => "kernel/livepatch",
            Core::KlpRs => "kernel/klp_rs",
        })
    }

    /// A patch's directory.
    pub fn patch(&self, core: Core, patch: &PatchName) -> PathBuf {
        self.core(core).join(patch.as_str())
    }

    /// The file in /proc that shows a thread's patch state; `None` where the core shows it in none. `klp_rs` publishes
    /// its tasks' states to BPF only.
    pub fn patch_state(&self, core: Core, tgid: u32, tid: u32) -> Option<PathBuf> {
        match core {
            Core::Kernel => Some(self.proc.join(format!("{tgid}/task/{tid}/patch_state"))),
            Core::KlpRs => None,
        }
    }

    /// A module's directory; built-in modules with parameters have one too.
    pub fn module(&self, name: &str) -> PathBuf {
        self.sys.join("module").join(name)
    }
}
