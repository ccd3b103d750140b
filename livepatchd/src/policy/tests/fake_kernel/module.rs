// SPDX-License-Identifier: GPL-2.0-only
//! A module of the fake kernel, as a file and loaded.

/// What a module does when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy::tests) enum Init {
    Enables,
    EnablesNothing,
    Fails,
}

/// A module file, or a loaded module.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags of the kernel, not a state machine"
)]
pub(in crate::policy::tests) struct Module {
    pub(in crate::policy::tests) init: Init,
    pub(in crate::policy::tests) replace: bool,
    /// `enabled`.
    pub(in crate::policy::tests) enabled: bool,
    /// The core has a directory for it.
    pub(in crate::policy::tests) listed: bool,
    /// The core holds a reference.
    pub(in crate::policy::tests) held: bool,
    /// Its patch was forced off: the core never lets go.
    pub(in crate::policy::tests) forced: bool,
}

impl Module {
    pub(in crate::policy::tests) fn new() -> Self {
        Self {
            init: Init::Enables,
            replace: false,
            enabled: false,
            listed: false,
            held: false,
            forced: false,
        }
    }

    pub(in crate::policy::tests) fn replacing() -> Self {
        Self {
            replace: true,
            ..Self::new()
        }
    }
}
