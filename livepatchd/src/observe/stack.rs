// SPDX-License-Identifier: GPL-2.0-only
//! Kernel stacks in words, and the search for a function of the patch on them.
//!
//! `/proc/TID/stack` gives a stack that the kernel itself put into words, from the same walk as BPF's addresses
//! (`kernel/stacktrace.c: stack_trace_save_tsk`). So no symbol table is ever read: 200,000 lines of `/proc/kallsyms` would
//! cost more time and memory than everything else here. What an address means is remembered, and of 500 tasks that sleep
//! in the same place one file is read. A running task's stack is whatever it was.
//!
//! A [`Stacks`] belongs to one pass: modules come and go, and addresses with them.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use crate::model::patch::{Direction, Function, PatchName};

/// As many entries as the kernel shows (`fs/proc/base.c: MAX_STACK_TRACE_DEPTH`).
const SHOWN: usize = 64;

/// One entry of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function.
    pub symbol: String,
    /// How far into it.
    pub offset: u64,
    /// Its module; `None` in the kernel itself.
    pub module: Option<String>,
}

impl Frame {
    /// A line like `[<0>] tgt_wait+0x1a/0x40 [tgt]`.
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let line = line
            .strip_prefix("[<")
            .and_then(|rest| rest.split_once(">] "))
            .map_or(line, |(_, rest)| rest);
        let (place, module) = match line.split_once(" [") {
            // a build id may follow the module's name
            Some((place, rest)) => (place, rest.split([' ', ']']).next().map(str::to_owned)),
            None => (line, None),
        };
        let (symbol, offset) = place.rsplit_once("+0x")?;
        let offset = offset.split('/').next()?;
        (!symbol.is_empty()).then_some(Self {
            symbol: symbol.to_owned(),
            offset: u64::from_str_radix(offset, 16).ok()?,
            module,
        })
    }

    /// The function's name, of which a part that the compiler moved away (`.cold`) is a part.
    fn function(&self) -> &str {
        self.symbol.split(".cold").next().unwrap_or(&self.symbol)
    }

    /// `tgt_wait [tgt]`.
    pub fn place(&self) -> String {
        match &self.module {
            Some(module) => format!("{} [{module}]", self.function()),
            None => self.function().to_owned(),
        }
    }
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{:#x}", self.symbol, self.offset)?;
        match &self.module {
            Some(module) => write!(f, " [{module}]"),
            None => Ok(()),
        }
    }
}

/// What addresses mean, as far as the kernel has told.
#[derive(Debug, Default)]
pub struct Stacks {
    frames: HashMap<u64, Arc<Frame>>,
    /// Where each function met so far begins: two answers that disagree on that were not about the same stack.
    begins: HashMap<(String, Option<String>), u64>,
}

impl Stacks {
    /// A task's stack, innermost first; empty if there is none to be had. `addresses`: its stack as BPF saw it, if it did.
    /// `task`: its directory in /proc.
    pub fn of(&mut self, task: &Path, addresses: Option<&[u64]>) -> Vec<Arc<Frame>> {
        let known = addresses.and_then(|addresses| {
            let shown = addresses.iter().take(SHOWN);
            shown.map(|address| self.frames.get(address).cloned()).collect()
        });
        if let Some(known) = known {
            return known;
        }
        let Ok(text) = fs::read(task.join("stack")) else {
            return Vec::new();
        };
        let frames = parse(&String::from_utf8_lossy(&text));
        if let Some(addresses) = addresses {
            self.learn(addresses, &frames);
        }
        frames
    }

    /// Remembers what each address means, unless the task has moved between the two looks at its stack.
    fn learn(&mut self, addresses: &[u64], frames: &[Arc<Frame>]) {
        let pairs = || addresses.iter().zip(frames);
        let begin = |(address, frame): (&u64, &Arc<Frame>)| address.checked_sub(frame.offset);
        let key = |frame: &Frame| (frame.symbol.clone(), frame.module.clone());
        // names are not unique: a name with two beginnings is never remembered, at the price of one more file
        let same_stack = frames.len() == addresses.len().min(SHOWN)
            && pairs().all(|pair| {
                let known = self.begins.get(&key(pair.1));
                begin(pair).is_some_and(|begin| known.is_none_or(|known| *known == begin))
            });
        if !same_stack {
            return;
        }
        for pair in pairs() {
            if let Some(begin) = begin(pair) {
                self.begins.insert(key(pair.1), begin);
                self.frames.insert(*pair.0, Arc::clone(pair.1));
            }
        }
    }
}

/// The lines of `/proc/TID/stack`; entries without a symbol are left out only if none can be shown.
fn parse(text: &str) -> Vec<Arc<Frame>> {
    text.lines().filter_map(Frame::parse).map(Arc::new).collect()
}

/// The functions that hold a task back: those that it must leave before it can move.
#[derive(Clone, Copy, Debug)]
pub struct Affected<'a> {
    /// The patch.
    pub patch: &'a PatchName,
    /// Where its transition goes.
    pub direction: Direction,
    /// Its functions.
    pub functions: &'a [Function],
    /// Patches whose functions it replaces once more.
    pub below: &'a [PatchName],
}

impl Affected<'_> {
    /// The innermost affected function on a stack (`kernel/livepatch/transition.c: klp_check_stack_func`).
    ///
    /// While patching that is an old function, or one in the module of a patch below; while unpatching a new one, which is
    /// in the patch's own module.
    pub fn on(&self, stack: &[Arc<Frame>]) -> Option<String> {
        let holds = |frame: &&Arc<Frame>| match (self.direction, frame.module.as_deref()) {
            (Direction::Unpatching, module) => module == Some(self.patch.as_str()),
            (Direction::Patching, module) => {
                let object = module.unwrap_or("vmlinux");
                let old = |function: &Function| function.object == object && function.name == frame.function();
                let below = |patch: &PatchName| patch.as_str() == object;
                self.functions.iter().any(old) || self.below.iter().any(below)
            }
        };
        stack.iter().find(holds).map(|frame| frame.place())
    }
}

#[cfg(test)]
mod tests;
