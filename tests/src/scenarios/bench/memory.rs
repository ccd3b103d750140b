// SPDX-License-Identifier: GPL-2.0-only
//! What `klp_rs` holds for the time of a transition, as the kernel's allocator tells: everything that is allocated while a
//! patch is loaded, or by the core's own thread, and freed by that thread when the transition ends. What a patch holds beyond
//! its transition is not counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{LONG, SOON, both_cores};
use crate::guest::Guest;
use crate::wait;

const TRACING: &str = "/sys/kernel/tracing";
/// The events, and whose.
const EVENTS: [(&str, &str); 2] = [
    ("kmalloc", "comm == \"insmod\" || comm == \"klp_rs\""),
    ("kfree", "comm == \"klp_rs\""),
];
/// A stuck task, and this many others that sleep.
const SLEEPERS: [u32; 3] = [0, 1_000, 10_000];
const NAME: &str = "rs_uninterruptible";

/// `klp_rs` and the target are loaded.
pub(super) fn measure(guest: &Guest) -> Result<()> {
    for count in SLEEPERS {
        let _sleepers = both_cores::sleepers(guest, count)?;
        let stuck = both_cores::Stuck::begin(guest)?;
        write("trace", "")?;
        for (event, filter) in EVENTS {
            write(&format!("events/kmem/{event}/filter"), filter)?;
            write(&format!("events/kmem/{event}/enable"), "1")?;
        }
        let tasks = tasks()?;
        let patch = guest.patch(NAME);
        guest.module(NAME).load()?;
        wait::until(SOON, "the transition", || patch.in_transition())?;
        stuck.end()?;
        patch.wait_applied(LONG)?;
        for (event, _) in EVENTS {
            write(&format!("events/kmem/{event}/enable"), "0")?;
        }
        let trace = fs::read_to_string(Path::new(TRACING).join("trace"))?;
        let held = held(&trace)?;
        patch.set_enabled(false)?;
        patch.wait_reverted(LONG)?;
        both_cores::unload(guest, NAME)?;
        guest.note(&format!(
            "klp_rs holds {held} bytes for a transition of {tasks} tasks, {:.1} bytes for each, and frees them at its end",
            f64::from(held) / f64::from(tasks)
        ));
    }
    Ok(())
}

/// Bytes that were allocated and freed again.
fn held(trace: &str) -> Result<u32> {
    let mut allocated = BTreeMap::new();
    let mut sum = 0;
    for line in trace.lines() {
        let field = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name));
        let Some(address) = field("ptr=") else { continue };
        if let Some(bytes) = field("bytes_alloc=") {
            allocated.insert(address, bytes.parse::<u32>()?);
        } else if let Some(bytes) = allocated.remove(address) {
            sum += bytes;
        }
    }
    anyhow::ensure!(sum > 0, "nothing of {} allocations was freed", allocated.len());
    Ok(sum)
}

/// Threads there are.
fn tasks() -> Result<u32> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let tasks = text.split_whitespace().nth(3).and_then(|word| word.split_once('/'));
    let (_, tasks) = tasks.with_context(|| text.clone())?;
    Ok(tasks.parse()?)
}

fn write(file: &str, text: &str) -> Result<()> {
    let path = Path::new(TRACING).join(file);
    fs::write(&path, text).with_context(|| format!("{text:?} to {}", path.display()))
}
