// SPDX-License-Identifier: GPL-2.0-only
//! Which replacements a function has, in the order in which the patches came; the newest wins. Patches may leave in any
//! order. Invariant: the list of layers alone decides what every task runs; tables and stack checks are made from it.

use super::{ip_table::Entry, phase::Direction, stack_verdict::Range};

/// Where a function's instructions are: its body, and the part the compiler moved out as unlikely (empty when none).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// First byte and first byte behind it.
    pub(crate) body: (usize, usize),
    /// The same for `NAME.cold`.
    pub(crate) cold: (usize, usize),
}

/// One replacement of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Whose it is.
    pub(crate) patch: u32,
    /// Which object of that patch.
    pub(crate) object: u32,
    /// Which function of that object.
    pub(crate) func: u32,
    /// Where ftrace calls out of the original.
    pub(crate) ip: usize,
    /// The original.
    pub(crate) old: Code,
    /// The replacement.
    pub(crate) new: Code,
    /// Moves at once, whatever the state of a task.
    pub(crate) immediate: bool,
}

/// Whose function a layer is that belongs to no object of its patch.
pub(crate) const NOBODY: u32 = u32::MAX;

impl Layer {
    /// A layer with which `patch` brings the original back over another patch's function: what a replacing patch does to
    /// functions that it does not have itself.
    pub(crate) fn original(patch: u32, over: &Self) -> Self {
        Self {
            patch,
            object: NOBODY,
            func: NOBODY,
            new: Code::default(),
            immediate: false,
            ..*over
        }
    }

    /// Was it made by [`Layer::original`]?
    pub(crate) fn is_original(&self) -> bool {
        self.new.body.0 == 0
    }

    /// The code that runs where this layer wins.
    fn code(&self) -> Code {
        if self.is_original() {
            self.old
        } else {
            self.new
        }
    }
}

/// The patch in transition and where it goes.
pub(crate) type Moving = Option<(u32, Direction)>;

fn top(layers: &[Layer], ip: usize, without: Option<u32>) -> Option<&Layer> {
    layers
        .iter()
        .rev()
        .find(|layer| layer.ip == ip && Some(layer.patch) != without)
}

/// What the handler is to do at `ip`. The layers of a patch in transition are there from its first moment to its last,
/// in both directions; an unpatched task looks past them.
pub(crate) fn entry(layers: &[Layer], ip: usize, moving: Moving) -> Entry {
    let address = |layer: Option<&Layer>| layer.map_or(0, |layer| layer.new.body.0);
    let with = top(layers, ip, None);
    let without = moving.map_or(with, |(patch, _)| top(layers, ip, Some(patch)));
    let (mut patched, mut unpatched) = (address(with), address(without));
    let own = |layer: &&Layer| moving.is_some_and(|(patch, _)| layer.patch == patch && layer.immediate);
    if let (Some(_), Some((_, direction))) = (with.filter(own), moving) {
        match direction {
            Direction::Patching => unpatched = patched,
            Direction::Unpatching => patched = unpatched,
        }
    }
    Entry { ip, patched, unpatched }
}

/// Is this the last layer for its address? For visiting each address once.
pub(crate) fn is_top(layers: &[Layer], layer: &Layer) -> bool {
    top(layers, layer.ip, None) == Some(layer)
}

/// The code that a task may be in while it is patched (or unpatched) with regard to `patch`, and must not be in to leave
/// that state. Immediate functions are left out: nobody is consistent about them.
pub(crate) fn affected(layers: &[Layer], patch: u32, patched: bool, mut found: impl FnMut(Range)) {
    for layer in layers.iter().filter(|layer| layer.patch == patch && !layer.immediate) {
        let code = if patched {
            layer.code()
        } else {
            top(layers, layer.ip, Some(patch)).map_or(layer.old, Layer::code)
        };
        for (start, end) in [code.body, code.cold] {
            if start < end {
                found(Range {
                    start,
                    end,
                    layer: (layer.object, layer.func),
                });
            }
        }
    }
}
