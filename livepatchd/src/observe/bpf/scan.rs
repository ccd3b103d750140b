// SPDX-License-Identifier: GPL-2.0-only
//! One pass over all tasks, or a look at a few, in the kernel: a request in, the tasks that match out.
//!
//! Synchronous, to be called from a thread that may block. `&mut self` keeps two passes apart: they would share the
//! request and the scratch memory of the program. Every pass opens the iterator anew, so it sees the tasks of its own
//! moment. The caller must be in the initial pid namespace: the iterator shows no other tasks (`kernel/bpf/task_iter.c:
//! init_seq_pidns`).

use std::{
    io::{self, Read},
    num::NonZeroU64,
    os::fd::AsFd as _,
};

use aya::{
    Ebpf, Pod,
    maps::{Array, MapData, MapError},
    programs::{Iter, ProgramError, links::LinkError},
};
use livepatch_common::{
    kernel::{PATCH_STATE_PATCHED, PATCH_STATE_UNPATCHED},
    scan::{Granules, MODE_PENDING, MODE_SLEEPING_IN, ScanRequest},
};

use super::{
    klp_rs::Tracepoints,
    one_task,
    ranges::Ranges,
    stream::{Garbled, Pass, Stream},
    task::Task,
};
use crate::model::patch::Direction;

/// The program's name in the object.
pub(super) const PROGRAM: &str = "task_iter";
/// The request's map in the object.
pub(super) const REQUEST: &str = "REQUEST";
/// The map of marked kernel text in the object.
pub(super) const GRANULES: &str = "GRANULES";

/// One read takes what the kernel's buffer holds (`kernel/bpf/bpf_iter.c: bpf_seq_read`, `PAGE_SIZE << 3`).
const READ_BYTES: usize = 32 * 1024;

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// Tasks that a transition in this direction still waits for.
    Pending(Direction, StatesIn),
    /// Tasks with a return address in one of these ranges.
    SleepingIn(&'a Ranges),
}

/// Where the patch states of tasks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatesIn {
    /// In the tasks, as the kernel's own core has it.
    Tasks,
    /// At the address where `klp_rs` publishes them.
    Published(NonZeroU64),
}

/// Why a pass gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// This kernel's tasks keep no patch state, so none can be pending.
    #[error("this kernel keeps no patch state")]
    NoPatchState,
    /// The request did not reach the program.
    #[error("the request cannot be written: {0}")]
    Request(#[from] MapError),
    /// The iterator cannot be opened.
    #[error("the task iterator cannot be opened: {0}")]
    Program(#[from] ProgramError),
    /// The iterator cannot be opened.
    #[error("the task iterator cannot be opened: {0}")]
    Link(#[from] LinkError),
    /// The iterator cannot be read.
    #[error("the task iterator cannot be read: {0}")]
    Read(#[from] io::Error),
    /// What it wrote is not a pass.
    #[error("the task iterator wrote {0}")]
    Garbled(#[from] Garbled),
}

/// A request as aya writes it into its map.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Request(ScanRequest);

// SAFETY: `ScanRequest` is `bytemuck::Pod`: integers, no padding, valid for every bit pattern
unsafe impl Pod for Request {}

/// Answers questions about all tasks.
pub struct Scanner {
    /// Holds the iterator's program; the others live in it too, detached when it is dropped.
    object: Ebpf,
    request: Array<MapData, Request>,
    granules: Array<MapData, Granules>,
    klp_rs: Tracepoints,
    has_patch_state: bool,
    buffer: Box<[u8]>,
}

impl Scanner {
    pub(super) fn new(
        object: Ebpf,
        request: Array<MapData, Request>,
        granules: Array<MapData, Granules>,
        klp_rs: Tracepoints,
        has_patch_state: bool,
    ) -> Self {
        Self {
            object,
            request,
            granules,
            klp_rs,
            has_patch_state,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        }
    }

    /// From now on what `klp_rs` does comes with the events, or no longer: it must be loaded, and stays so meanwhile.
    pub fn follow_klp_rs(&mut self, follow: bool) -> Result<(), ProgramError> {
        self.klp_rs.follow(&mut self.object, follow)
    }

    /// Whether the kernel's own core is in this kernel.
    pub fn has_patch_state(&self) -> bool {
        self.has_patch_state
    }

    /// Makes one pass over all tasks.
    pub fn pass(&mut self, question: Question<'_>) -> Result<Pass, ScanError> {
        self.ask(question)?;
        let program = self.program()?;
        // a link costs one system call; aya's turns into the iterator's file for good
        let link = program.attach()?;
        let iterator = program.take_link(link)?.into_file()?;
        let mut pass = read(iterator, &mut self.buffer)?;
        pass.tasks.retain(|task| fits(task, question));
        Ok(pass)
    }

    /// Looks at these threads only, by number.
    pub fn look(&mut self, question: Question<'_>, tids: impl Iterator<Item = u32>) -> Result<Vec<Task>, ScanError> {
        self.ask(question)?;
        let mut tasks = Vec::new();
        for tid in tids {
            let iterator = one_task::open(self.program()?.fd()?.as_fd(), tid)?;
            tasks.append(&mut read(iterator, &mut self.buffer)?.tasks);
        }
        tasks.retain(|task| fits(task, question));
        Ok(tasks)
    }

    fn ask(&mut self, question: Question<'_>) -> Result<(), ScanError> {
        match question {
            Question::Pending(_, StatesIn::Tasks) if !self.has_patch_state => return Err(ScanError::NoPatchState),
            Question::Pending(direction, states) => self.request.set(
                0,
                Request(ScanRequest {
                    mode: MODE_PENDING,
                    target: target(direction),
                    states: match states {
                        StatesIn::Tasks => 0,
                        StatesIn::Published(address) => address.get(),
                    },
                }),
                0,
            )?,
            Question::SleepingIn(ranges) => {
                self.mark(ranges)?;
                self.request.set(
                    0,
                    Request(ScanRequest {
                        mode: MODE_SLEEPING_IN,
                        target: 0,
                        states: 0,
                    }),
                    0,
                )?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, ranges: &Ranges) -> Result<(), MapError> {
        let mut granules: Box<Granules> = bytemuck::zeroed_box();
        ranges.mark(&mut granules);
        self.granules.set(0, granules.as_ref(), 0)
    }

    fn program(&mut self) -> Result<&mut Iter, ScanError> {
        let program = self.object.program_mut(PROGRAM).ok_or(ProgramError::NotLoaded)?;
        Ok(program.try_into()?)
    }
}

/// The program's filter for ranges lets some others pass.
fn fits(task: &Task, question: Question<'_>) -> bool {
    match question {
        Question::Pending(..) => true,
        Question::SleepingIn(ranges) => task
            .stack()
            .is_ok_and(|stack| stack.iter().any(|address| ranges.contains(*address))),
    }
}

/// The patch state that tasks move to in this direction.
fn target(direction: Direction) -> i32 {
    match direction {
        Direction::Patching => PATCH_STATE_PATCHED,
        Direction::Unpatching => PATCH_STATE_UNPATCHED,
    }
}

fn read(mut iterator: impl Read, buffer: &mut [u8]) -> Result<Pass, ScanError> {
    let mut stream = Stream::default();
    loop {
        match iterator.read(buffer) {
            Ok(0) => return Ok(stream.finish()?),
            Ok(len) => stream.feed(&buffer[..len])?,
            // EAGAIN: a million tasks were visited and none emitted; the next read goes on from there
            // (kernel/bpf/bpf_iter.c: MAX_ITER_OBJECTS)
            Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(why) => return Err(why.into()),
        }
    }
}
