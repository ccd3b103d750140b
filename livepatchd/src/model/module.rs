// SPDX-License-Identifier: GPL-2.0-only
//! What is known of a module file and of the running kernel before anything is loaded.
//!
//! Nothing here was read by this file: `observe` fills both in, [`crate::policy::admit`] holds one against the other.

use super::patch::{Core, PatchName};

/// What a module file says of itself, after it was parsed in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFacts {
    /// The name that the module will have in `/sys/module`; `.modinfo` and the module structure in the file agree on it.
    pub name: PatchName,
    /// `vermagic`, whole.
    pub vermagic: String,
    /// The kernel release that it was built for: the first word of `vermagic`.
    pub release: String,
    /// The core it is written for; `None` for a module that is no live patch.
    pub core: Option<Core>,
    /// Modules it needs, by name.
    pub depends: Vec<String>,
    /// A signature is appended (whether it is valid is the kernel's to say).
    pub signed: bool,
    /// Size in bytes, decompressed.
    pub size: u64,
}

/// What decides in the running kernel whether a module can be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFacts {
    /// `uname -r`.
    pub release: String,
    /// The cores that are there now.
    pub cores: Vec<Core>,
    /// `kernel.ftrace_enabled`; true where the kernel has no such switch.
    pub ftrace_enabled: bool,
    /// Only modules with a valid signature are loaded (`module.sig_enforce`).
    pub signatures_enforced: bool,
    /// What the lockdown security module forbids.
    pub lockdown: Lockdown,
    /// No module can be loaded or unloaded until reboot (`kernel.modules_disabled`).
    pub modules_disabled: bool,
}

/// The lockdown level (`security/lockdown/lockdown.c`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lockdown {
    /// Nothing is forbidden, or the kernel has no lockdown.
    #[default]
    None,
    /// What could change the running kernel: unsigned modules among it.
    Integrity,
    /// Also what could read it.
    Confidentiality,
}

impl Lockdown {
    /// The level that `/sys/kernel/security/lockdown` marks: `none [integrity] confidentiality`.
    pub fn parse(text: &str) -> Self {
        let marked = text
            .split_ascii_whitespace()
            .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        match marked {
            Some("integrity") => Self::Integrity,
            Some("confidentiality") => Self::Confidentiality,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lockdown;

    #[test]
    fn the_marked_lockdown_level_is_the_one_in_force() {
        for (text, level) in [
            ("[none] integrity confidentiality\n", Lockdown::None),
            ("none [integrity] confidentiality\n", Lockdown::Integrity),
            ("none integrity [confidentiality]\n", Lockdown::Confidentiality),
            ("", Lockdown::None),
            ("[", Lockdown::None),
        ] {
            assert_eq!(Lockdown::parse(text), level, "{text:?}");
        }
    }
}
