// SPDX-License-Identifier: GPL-2.0-only
//! Takes the iterator's byte stream apart into tasks and the trailer.
//!
//! Reads cut the stream anywhere, so bytes are kept until a record is whole. Nothing in it is trusted: lengths, kinds
//! and counts must agree, or the pass is refused as a whole. A pass without its trailer is no pass.

use livepatch_common::{
    scan::{KIND_TRAILER, ScanTrailer},
    task::{KIND_TASK, TaskHead, TaskRecord},
};

use super::task::Task;

const HEAD: usize = size_of::<TaskHead>();

/// Why a stream is not a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbled {
    /// A record of no known kind.
    #[error("a record of unknown kind {0:#x}")]
    Kind(u32),
    /// A record whose length cannot be.
    #[error("a record of {0} bytes")]
    Length(u32),
    /// Something follows the trailer.
    #[error("a record after the last")]
    AfterTrailer,
    /// The stream ends in the middle of a record or without a trailer.
    #[error("the end is missing")]
    Truncated,
    /// Not as many tasks as the trailer says.
    #[error("{seen} tasks where {said} were emitted")]
    Count {
        /// What the trailer says.
        said: u64,
        /// Records received.
        seen: usize,
    },
}

/// One pass over all tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The tasks that the request asked for, by thread id.
    pub tasks: Vec<Task>,
    /// Tasks visited in all.
    pub visited: u64,
}

/// A stream that is being received.
#[derive(Debug, Default)]
pub struct Stream {
    /// Bytes of the record that is not whole yet.
    rest: Vec<u8>,
    tasks: Vec<Task>,
    trailer: Option<ScanTrailer>,
}

impl Stream {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Garbled> {
        if self.rest.is_empty() {
            let used = self.records(bytes)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let used = self.records(&all)?;
            all.drain(..used);
            self.rest = all;
        }
        Ok(())
    }

    /// The stream has ended.
    pub fn finish(self) -> Result<Pass, Garbled> {
        let Self { rest, tasks, trailer } = self;
        let (true, Some(trailer)) = (rest.is_empty(), trailer) else {
            return Err(Garbled::Truncated);
        };
        if trailer.emitted != tasks.len() as u64 {
            return Err(Garbled::Count {
                said: trailer.emitted,
                seen: tasks.len(),
            });
        }
        Ok(Pass {
            tasks,
            visited: trailer.visited,
        })
    }

    /// Takes whole records from the front; returns how many bytes they were.
    fn records(&mut self, bytes: &[u8]) -> Result<usize, Garbled> {
        let mut used = 0;
        while let Some(record) = next_record(&bytes[used..])? {
            if self.trailer.is_some() {
                return Err(Garbled::AfterTrailer);
            }
            used += record.len();
            if record.len() == size_of::<ScanTrailer>() {
                self.trailer = Some(bytemuck::pod_read_unaligned(record));
            } else {
                self.tasks.push(task(record)?);
            }
        }
        Ok(used)
    }
}

/// The first record if it is whole.
fn next_record(bytes: &[u8]) -> Result<Option<&[u8]>, Garbled> {
    let Some(start) = bytes.get(..8) else {
        return Ok(None);
    };
    let [kind, len] = bytemuck::pod_read_unaligned::<[u32; 2]>(start);
    let size = len as usize;
    let plausible = match kind {
        KIND_TASK => (HEAD..=size_of::<TaskRecord>()).contains(&size) && (size - HEAD).is_multiple_of(8),
        KIND_TRAILER => size == size_of::<ScanTrailer>(),
        _ => return Err(Garbled::Kind(kind)),
    };
    if !plausible {
        return Err(Garbled::Length(len));
    }
    Ok(bytes.get(..size))
}

fn task(record: &[u8]) -> Result<Task, Garbled> {
    let (head, stack) = record.split_at(HEAD);
    let head: TaskHead = bytemuck::pod_read_unaligned(head);
    let entries = usize::try_from(head.stack_len);
    if entries.unwrap_or(0) * 8 != stack.len() {
        return Err(Garbled::Length(head.len));
    }
    let stack = match entries {
        Ok(_) => Ok(stack.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect()),
        Err(_negative) => Err(head.stack_len),
    };
    Ok(Task::new(head, stack))
}

const _: () = assert!(
    size_of::<ScanTrailer>() < HEAD,
    "the two kinds of record are told apart by their length"
);

#[cfg(test)]
mod tests;
