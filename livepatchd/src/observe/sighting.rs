// SPDX-License-Identifier: GPL-2.0-only
//! From what a pass saw of a task to a [`Sighting`]: the part that both ways of looking, BPF and /proc, share.
//!
//! It adds the unit, the stack in words and the function of the patch on it. It does not judge: the reason is the model's.

use super::{
    stack::{Stacks, Wanted},
    unit::Units,
};
use crate::model::{
    place::Places,
    task::{Scheduling, Sighting, TaskClass, TaskKey},
};

/// What a pass saw of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Which task.
    pub key: TaskKey,
    /// Its process.
    pub tgid: u32,
    /// Its name.
    pub comm: String,
    /// What kind of task.
    pub class: TaskClass,
    /// How the scheduler sees it.
    pub scheduling: Scheduling,
    /// A group stop is in force or on its way.
    pub stop_pending: bool,
    /// Somebody traces it.
    pub traced: bool,
    /// Its cgroup is frozen or freezing.
    pub frozen: bool,
    /// Its user.
    pub uid: Option<u32>,
    /// The id of its version 2 cgroup.
    pub cgroup: Option<u64>,
    /// The addresses on its stack.
    pub addresses: Option<&'a [u64]>,
}

/// What is remembered between the passes of one transition. Make one when it starts, drop it when it ends.
#[derive(Debug)]
pub struct Witness {
    places: Places,
    units: Units,
    stacks: Stacks,
    own: u32,
}

impl Witness {
    /// Remembers nothing yet.
    pub fn new(places: &Places) -> Self {
        Self {
            places: places.clone(),
            units: Units::default(),
            stacks: Stacks::default(),
            own: std::process::id(),
        }
    }

    /// The whole sighting.
    pub fn sighting(&mut self, seen: Seen<'_>, wanted: &Wanted) -> Sighting {
        let Seen {
            key,
            tgid,
            comm,
            class,
            scheduling,
            stop_pending,
            traced,
            frozen,
            uid,
            cgroup,
            addresses,
        } = seen;
        let task = self.places.proc.join(format!("{tgid}/task/{}", key.tid));
        let stack = self.stacks.of(&task, addresses);
        Sighting {
            key,
            tgid,
            comm,
            class,
            scheduling,
            stop_pending,
            traced,
            frozen,
            own: tgid == self.own,
            uid,
            unit: self.units.of(&task, cgroup),
            on_stack: wanted.find(&stack),
            stack: stack.iter().map(ToString::to_string).collect(),
        }
    }

    /// Where it looks.
    pub fn places(&self) -> &Places {
        &self.places
    }
}
