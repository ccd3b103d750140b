// SPDX-License-Identifier: GPL-2.0-only
//! A live patch as the kernel shows it: its name, core, functions and state.

use serde::{Deserialize, Serialize};

use super::time::Moment;

/// An implementation of livepatching in the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Core {
    /// The kernel's own, `/sys/kernel/livepatch`.
    Kernel,
    /// The Rust module's, `/sys/kernel/klp_rs`.
    KlpRs,
}

impl Core {
    /// Every core there can be, in the order in which users see them.
    pub const ALL: [Self; 2] = [Self::Kernel, Self::KlpRs];

    /// The word used on the bus, in JSON and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::KlpRs => "klp_rs",
        }
    }
}

impl std::fmt::Display for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a live patch: that of its module, as in `/sys/module`.
///
/// # Invariants
///
/// One to 55 characters (`MODULE_NAME_LEN` less its end) of ASCII letters, digits and underscore: a hyphen of a file
/// name is an underscore in the kernel (`scripts/Makefile.lib: name-fix-token`). So a name never leaves its directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PatchName(String);

impl PatchName {
    /// The longest name the kernel takes: `include/linux/module.h: MODULE_NAME_LEN` is 56 with the final zero on 64 bit.
    pub const MAX_LEN: usize = 55;

    /// Takes a name as a user types it; hyphens become underscores. `None` if no module can have this name.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_LEN).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        fits.then(|| Self(name.replace('-', "_")))
    }

    /// The name as the kernel writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PatchName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name).ok_or("not a module's name")
    }
}

impl From<PatchName> for String {
    fn from(name: PatchName) -> Self {
        name.0
    }
}

impl std::fmt::Display for PatchName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A function that a patch replaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Function {
    /// `vmlinux` or the name of a module.
    pub object: String,
    /// The symbol's name.
    pub name: String,
    /// Which of several symbols with this name, from 1; sysfs shows 1 for an unambiguous symbol
    /// (`kernel/livepatch/core.c: klp_init_func`).
    pub sympos: u32,
}

/// Where a transition goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Tasks move to the patched state.
    Patching,
    /// Tasks move back to the unpatched state.
    Unpatching,
}

impl Direction {
    /// The value of `enabled` in sysfs while a transition goes this way.
    pub fn enabled(self) -> bool {
        self == Self::Patching
    }

    /// The direction that `enabled` tells while `transition` is 1.
    pub fn from_enabled(enabled: bool) -> Self {
        if enabled { Self::Patching } else { Self::Unpatching }
    }

    /// The other way.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::from_enabled(!self.enabled())
    }

    /// The kernel's word: "patching" or "unpatching".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patching => "patching",
            Self::Unpatching => "unpatching",
        }
    }
}

/// The life of a patch, as last observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PatchState {
    /// Its module is loaded, and it was not seen enabled.
    Loaded,
    /// In transition towards the patched state.
    Enabling,
    /// Every task is patched.
    Enabled,
    /// In transition towards the unpatched state.
    Disabling,
    /// It was enabled and no longer is (or a `replace` patch retired it); its module is still loaded.
    Disabled,
}

impl PatchState {
    /// The word used on the bus and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Enabling => "enabling",
            Self::Enabled => "enabled",
            Self::Disabling => "disabling",
            Self::Disabled => "disabled",
        }
    }

    /// The direction of the running transition, if one runs.
    pub fn direction(self) -> Option<Direction> {
        match self {
            Self::Enabling => Some(Direction::Patching),
            Self::Disabling => Some(Direction::Unpatching),
            Self::Loaded | Self::Enabled | Self::Disabled => None,
        }
    }
}

/// What sysfs says of one patch at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchListing {
    /// Its name.
    pub name: PatchName,
    /// What the core lists of it; `None`: only its module is loaded (module taint `K`, no directory of the core).
    pub listed: Option<Listed>,
}

/// A patch's files in its core's sysfs directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `enabled`.
    pub enabled: bool,
    /// `transition`.
    pub transition: bool,
    /// `replace`; `None` on kernels without the file (before 6.11).
    pub replace: Option<bool>,
    /// `stack_order`; `None` on kernels without the file (before 6.14).
    pub stack_order: Option<u32>,
    /// Its functions, from the directory tree.
    pub functions: Vec<Function>,
}

/// A patch in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Its name.
    pub name: PatchName,
    /// The core that holds it.
    pub core: Core,
    /// Its state as last observed.
    pub state: PatchState,
    /// Whether it retires all others; `None` where the kernel does not say.
    pub replace: Option<bool>,
    /// Its place in the core's stack, from 1; `None` where the kernel does not say.
    pub stack_order: Option<u32>,
    /// Whether its core lists it: a disabled patch is still listed until the core has freed it.
    pub listed: bool,
    /// Its functions.
    pub functions: Vec<Function>,
    /// Since when it is in this state.
    pub since: Moment,
}

impl Patch {
    /// Whether this patch replaces once more what `below` replaces: a task in code of `below` has to leave that first.
    ///
    /// The kernel keeps patches of the same function in a stack (`kernel/livepatch/patch.c: klp_patch_func`), and a `replace`
    /// patch takes part in that of every patched function (`kernel/livepatch/core.c: klp_add_nops`). Where it does
    /// not say whether a patch is one, only functions in common count.
    pub fn is_above(&self, below: &Self) -> bool {
        let in_use = !matches!(below.state, PatchState::Loaded | PatchState::Disabled);
        let common = |function| below.functions.contains(function);
        let covers = self.replace == Some(true) || self.functions.iter().any(common);
        self.core == below.core && self.name != below.name && in_use && covers
    }
}
