// SPDX-License-Identifier: GPL-2.0-only
//! Loads the programs, each on its own: what one kernel lacks is left out and named.
//!
//! Blocks for some fifty milliseconds (half a second under emulation): call it on a thread of its own. Everything that
//! it parses, up to 30 MiB, is dropped before it returns, and given back to the system.

use aya::{
    Btf as AyaBtf, Ebpf, EbpfLoader,
    maps::{Array, PerCpuArray, RingBuf},
    programs::{Iter, Program, ProgramError},
};
use livepatch_common::offset::Offset;

use super::{
    btf::{Btf, BtfError},
    events::{Attachment, EventRing, LOST, RING},
    klp_rs::Tracepoints,
    log::{self, BpfLog},
    lost::Lost,
    offsets::Offsets,
    scan::{GRANULES, PROGRAM, REQUEST, Scanner},
    tracers::{Admission, FRAMES_FUNCTION, TRACERS, Tracer},
};

/// The object that the build script made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/livepatch-ebpf"));

/// The kernel's function that an iterator over tasks attaches to (`kernel/bpf/task_iter.c`).
const ITERATOR_FUNCTION: &str = "bpf_iter_task";

/// Nothing can be had by BPF.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No usable BTF.
    #[error("BPF cannot be used: {0}")]
    Btf(#[from] BtfError),
    /// The kernel refuses maps or programs: no rights, or no BPF.
    #[error("BPF cannot be used: {0}")]
    Load(String),
}

/// What this kernel gives by BPF.
pub struct BpfSource {
    /// Answers questions about all tasks.
    pub scanner: Option<Scanner>,
    /// Tells what transitions do.
    pub events: Option<EventRing>,
    /// Debug lines of the programs, if they were asked for.
    pub log: Option<BpfLog>,
    /// What it does not give.
    pub lost_knowledge: Vec<Lost>,
}

/// Loads and attaches everything that this kernel has.
pub fn load() -> Result<BpfSource, Unavailable> {
    give_back_what_is_freed();
    let btf = Btf::of_running_kernel()?;
    let offsets = Offsets::of(&btf)?;
    let names: Vec<&str> = [ITERATOR_FUNCTION, FRAMES_FUNCTION]
        .into_iter()
        .chain(TRACERS.iter().map(|tracer| tracer.function))
        .collect();
    let functions = btf.functions(&names)?;
    drop(btf);
    let index = functions.index_for_aya()?;
    let frames_are_trusted = functions.has(FRAMES_FUNCTION);

    let debug = tracing::enabled!(target: "livepatchd::bpf", tracing::Level::DEBUG);
    let log_level = if debug { aya_log::Level::Debug as u8 } else { 0 };
    let mut loader = EbpfLoader::new();
    loader
        // no relocations, so no need to read BTF again
        .btf(None)
        .override_global("OFFSETS", offsets.table().as_slice(), true)
        .override_global(log::LEVEL, &log_level, true);
    if !debug {
        loader.map_max_entries(log::MAP, 4096);
    }
    let mut object = loader.load(OBJECT).map_err(|why| Unavailable::Load(words(&why)))?;

    let mut lost_knowledge = Vec::new();
    let tracers = if offsets.has(Offset::TaskPatchState) {
        &TRACERS[..]
    } else {
        lost_knowledge.push(Lost::PatchState);
        &[]
    };
    let events = events(&mut object, &index, tracers, frames_are_trusted, &mut lost_knowledge);
    let log = if debug { BpfLog::of(&mut object).ok() } else { None };
    let scanner = match scanner(object, &index, &offsets) {
        Ok(scanner) => {
            lost_knowledge.extend(offsets.lost());
            Some(scanner)
        }
        Err(why) => {
            lost_knowledge.push(Lost::Iterator { why });
            None
        }
    };
    Ok(BpfSource {
        scanner,
        events,
        log,
        lost_knowledge,
    })
}

/// Has the allocator return large blocks to the system as soon as they are freed, from now on and in the whole process.
///
/// By default glibc takes the size of the largest block freed so far (all of BTF, here) for one that will be wanted
/// again: a daemon of 6 MiB would stay at 22 MiB. Other allocators have no such habit.
fn give_back_what_is_freed() {
    /// glibc's own initial value.
    const THRESHOLD: libc::c_int = 128 * 1024;
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets the allocator's parameters, under its own lock
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, THRESHOLD);
    }
}

fn events(
    object: &mut Ebpf,
    index: &AyaBtf,
    tracers: &[Tracer],
    frames_are_trusted: bool,
    lost: &mut Vec<Lost>,
) -> Option<EventRing> {
    let maps = object
        .take_map(RING)
        .zip(object.take_map(LOST))
        .ok_or_else(|| "not in the object".to_owned())
        .and_then(|(ring, counter)| {
            let ring = RingBuf::try_from(ring).map_err(|why| words(&why))?;
            let counter = PerCpuArray::try_from(counter).map_err(|why| words(&why))?;
            Ok((ring, counter))
        });
    let (ring, counter) = match maps {
        Ok(maps) => maps,
        Err(why) => {
            lost.push(Lost::Events { why });
            return None;
        }
    };
    let mut attached = Vec::with_capacity(tracers.len());
    for tracer in tracers {
        let attachment = match tracer.admit(frames_are_trusted) {
            Admission::Attach => attach(object, index, tracer),
            Admission::NotNeeded => continue,
            Admission::Harmful(why) => Err(why.to_owned()),
        };
        match attachment {
            Ok(attachment) => attached.push(attachment),
            Err(why) => lost.push(Lost::Function {
                function: tracer.function,
                knowledge: tracer.loses,
                why,
            }),
        }
    }
    Some(EventRing::new(attached, ring, counter))
}

fn attach(object: &mut Ebpf, index: &AyaBtf, tracer: &Tracer) -> Result<Attachment, String> {
    let attachment = match object.program_mut(tracer.program) {
        Some(Program::FEntry(program)) => program
            .load(tracer.function, index)
            .and_then(|()| program.attach())
            .and_then(|link| program.take_link(link))
            .map(Attachment::Entry),
        Some(Program::FExit(program)) => program
            .load(tracer.function, index)
            .and_then(|()| program.attach())
            .and_then(|link| program.take_link(link))
            .map(Attachment::Exit),
        _ => return Err("not in the object".to_owned()),
    };
    attachment.map_err(|why| refusal(&why))
}

fn scanner(mut object: Ebpf, index: &AyaBtf, offsets: &Offsets) -> Result<Scanner, String> {
    if let Some(missing) = offsets.missing_essential() {
        return Err(format!("BTF does not name {missing:?}"));
    }
    let (request, granules) = object
        .take_map(REQUEST)
        .zip(object.take_map(GRANULES))
        .ok_or_else(|| "not in the object".to_owned())?;
    let request = Array::try_from(request).map_err(|why| words(&why))?;
    let granules = Array::try_from(granules).map_err(|why| words(&why))?;
    let program: &mut Iter = object
        .program_mut(PROGRAM)
        .ok_or_else(|| "not in the object".to_owned())?
        .try_into()
        .map_err(|why: ProgramError| words(&why))?;
    program.load("task", index).map_err(|why| refusal(&why))?;
    let klp_rs = Tracepoints::load(&mut object).map_err(|why| refusal(&why))?;
    Ok(Scanner::new(
        object,
        request,
        granules,
        klp_rs,
        offsets.has(Offset::TaskPatchState),
    ))
}

/// Why a program is not in the kernel, for administrators.
fn refusal(error: &ProgramError) -> String {
    let full = words(error);
    match error {
        ProgramError::Btf(aya::BtfError::UnknownBtfTypeName { .. }) => "not traceable in this kernel".to_owned(),
        ProgramError::LoadError { io_error, .. } => format!("the kernel refuses the program: {io_error}"),
        _ => full,
    }
}

/// An error with its causes on one line; in full (with the verifier's output) only to those who debug.
fn words(error: &dyn std::error::Error) -> String {
    tracing::debug!(target: "livepatchd::bpf", "{error}");
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        source = cause.source();
    }
    words.lines().next().unwrap_or_default().to_owned()
}
