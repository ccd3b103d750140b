// SPDX-License-Identifier: GPL-2.0-only
//! What a call that is refused must leave alone: modules, live patches, and the daemon's process.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};

use super::patch::Patch;
use super::service::Service;

/// How things stood.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    modules: BTreeSet<String>,
    patches: Vec<(String, bool, bool)>,
    daemon: i32,
}

impl Standing {
    pub(super) fn now() -> Result<Self> {
        let modules = fs::read_to_string("/proc/modules").context("/proc/modules")?;
        let patches = Patch::all()?.into_iter().map(|patch| {
            let name = patch.name().to_owned();
            Ok((name, patch.enabled()?, patch.in_transition()?))
        });
        Ok(Self {
            modules: modules
                .lines()
                .filter_map(|line| line.split(' ').next())
                .map(str::to_owned)
                .collect(),
            patches: patches.collect::<Result<_>>()?,
            daemon: Service.pid()?,
        })
    }

    /// Fails unless all is as it was.
    pub fn ensure_unchanged(&self) -> Result<()> {
        let now = Self::now()?;
        ensure!(*self == now, "it was {self:?} and is {now:?}");
        Ok(())
    }
}
