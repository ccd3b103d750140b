// SPDX-License-Identifier: GPL-2.0-only
//! From what a pass saw of a task to a [`Sighting`]: the part that both ways of looking, BPF and /proc, share.
//!
//! It adds the unit, the stack in words and the function of the patch on it. It does not judge: the reason is the model's.

use std::{fs, path::Path};

use super::{
    stack::{Affected, Stacks},
    unit::Units,
};
use crate::model::{
    place::Places,
    proc_text::Status,
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
    /// Its user, if the pass saw it; else its file in /proc is asked.
    pub uid: Option<u32>,
    /// The id of its version 2 cgroup.
    pub cgroup: Option<u64>,
    /// The addresses on its stack.
    pub addresses: Option<&'a [u64]>,
}

/// How many tasks of one pass have their stack told. Thousands are pending only before the first round; then the first
/// ones explain the others. The function of the patch is looked for on all stacks.
const STACKS: u32 = 256;

/// What is remembered during one pass. Nothing is kept between passes: modules and cgroups come and go meanwhile.
#[derive(Debug)]
pub struct Witness<'a> {
    places: &'a Places,
    units: Units,
    stacks: Stacks,
    own: u32,
    told: u32,
}

impl<'a> Witness<'a> {
    /// Remembers nothing yet.
    pub fn new(places: &'a Places) -> Self {
        Self {
            places,
            units: Units::default(),
            stacks: Stacks::default(),
            own: std::process::id(),
            told: 0,
        }
    }

    /// The whole sighting.
    pub fn sighting(&mut self, seen: Seen<'_>, affected: &Affected<'_>) -> Sighting {
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
        self.told += 1;
        Sighting {
            key,
            tgid,
            comm: printable(&comm),
            class,
            scheduling,
            stop_pending,
            traced,
            frozen,
            own: tgid == self.own,
            uid: uid.or_else(|| user_of(&task)),
            unit: printable(&self.units.of(&task, cgroup)),
            on_stack: affected.on(&stack),
            stack: if self.told <= STACKS {
                stack.iter().map(ToString::to_string).collect()
            } else {
                Vec::new()
            },
        }
    }
}

/// A name that any user may give to a task or a cgroup, fit for one line of a journal: a line break in it would forge a
/// line, and for an escape character `journalctl` shows the whole line as binary.
fn printable(name: &str) -> String {
    name.replace(char::is_control, "?")
}

/// The user of the task with this directory in /proc; `None` if it is gone.
fn user_of(task: &Path) -> Option<u32> {
    Status::parse(&fs::read(task.join("status")).ok()?)?.uid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::patch::{Direction, PatchName};

    #[test]
    fn a_name_that_users_choose_forges_no_line_of_the_journal() {
        assert_eq!(printable("x\nlp: enabled\u{1b}[m\u{9b}"), "x?lp: enabled?[m?");
        assert_eq!(printable("kworker/u8:3-évé"), "kworker/u8:3-évé");
    }

    #[test]
    fn the_user_that_a_pass_does_not_tell_is_asked_of_proc() {
        let places = Places::system(None);
        let lp = PatchName::new("lp").expect("a name");
        let affected = Affected {
            patch: &lp,
            direction: Direction::Patching,
            functions: &[],
            below: &[],
        };
        let seen = |tgid: u32| Seen {
            key: TaskKey {
                tid: tgid,
                start_ticks: 0,
            },
            tgid,
            comm: String::new(),
            class: TaskClass::User,
            scheduling: Scheduling::Interruptible,
            stop_pending: false,
            traced: false,
            frozen: false,
            uid: None,
            cgroup: None,
            addresses: None,
        };
        let mut witness = Witness::new(&places);
        let own = witness.sighting(seen(std::process::id()), &affected);
        assert_eq!(own.uid, Some(rustix::process::getuid().as_raw()));
        // thread ids end at 4,194,304 (include/linux/threads.h: PID_MAX_LIMIT)
        assert_eq!(witness.sighting(seen(5_000_000), &affected).uid, None);
    }
}
