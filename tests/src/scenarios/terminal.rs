// SPDX-License-Identifier: GPL-2.0-only
//! livepatchctl on a real terminal: the bar while one waits, and nothing of it afterwards.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Scenario;
use crate::guest::{Guest, Queue, Screen};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "on a terminal a bar shows tasks moved of total with the blockers under it, and is taken away at the end",
    bar,
)];

const SOON: Duration = Duration::from_secs(15);
const PATCH: &str = "lp_uninterruptible";
/// As wide as the longest line.
const COLUMNS: usize = 200;
const TYPESCRIPT: &str = "/root/typescript";
const BLOCKER: &str = "sleeps uninterruptibly in tgt_wait_uninterruptible [tgt]";

/// `lp: patching [====>  ] 80/81 tasks, 1s`: moved and total.
fn counted(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.strip_prefix(&format!("{PATCH}: patching ["))?.split_once("] ")?;
    let (moved, total) = rest.split_once(" tasks, ")?.0.split_once('/')?;
    Some((moved.parse().ok()?, total.parse().ok()?))
}

/// Everything the terminal was sent, without what script(1) itself writes around it.
fn typescript() -> Result<String> {
    let text = fs::read_to_string(TYPESCRIPT).context(TYPESCRIPT)?;
    let lines = text.split_inclusive('\n');
    Ok(lines.filter(|line| !line.starts_with("Script ")).collect())
}

/// What the terminal shows now, and what the bar counted when it last stood right above a line with these words.
fn terminal(words: &str) -> Result<(Screen, Option<(u32, u32)>)> {
    let (mut screen, mut last) = (Screen::new(COLUMNS), None);
    screen.write(&typescript()?, |lines| {
        let mut pairs = lines.iter().zip(lines.iter().skip(1));
        let drawn = pairs.find_map(|(bar, under)| counted(bar).filter(|_| under.contains(words)));
        last = drawn.or(last);
    })?;
    Ok((screen, last))
}

fn bar(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let file = guest.module(PATCH).file();
    let blocker = format!("({}) {BLOCKER}", task.tid);
    // script(1) gives its terminal no size
    let command = format!("stty rows 24 cols {COLUMNS} && exec livepatchctl apply {file}");
    let script = [
        "--quiet",
        "--return",
        "--flush",
        "--log-out",
        TYPESCRIPT,
        "--command",
        &command,
    ];
    let call = guest.call("script", script).env("TERM", "xterm");
    let (ended, (moved, total)) = call.during(|| {
        let mut under_bar = None;
        let waited = wait::until(SOON, "a bar with the blocker under it", || {
            // half a command may have been written
            let counted = terminal(&blocker).map_or(None, |(_, counted)| counted);
            under_bar = counted.filter(|(moved, _)| *moved > 0);
            Ok(under_bar.is_some())
        });
        waited.with_context(|| format!("the terminal was sent {:?}", fs::read_to_string(TYPESCRIPT)))?;
        guest.target().release_all()?;
        under_bar.context("no bar")
    })?;
    ensure!(ended.code == 0, "{ended:?}");
    reader.wait_ended(SOON)?;
    guest.note(&format!("the bar said {moved} of {total} tasks"));
    ensure!(moved < total, "the bar said {moved} of {total}");

    let (screen, _) = terminal(&blocker)?;
    let left = screen.text();
    let left: Vec<_> = left.iter().filter(|line| !line.is_empty()).collect();
    ensure!(
        left.len() == 1 && left[0].starts_with("lp_uninterruptible: applied and complete ("),
        "what stays on the terminal: {left:?}"
    );
    Ok(())
}
