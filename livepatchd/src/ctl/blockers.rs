// SPDX-License-Identifier: GPL-2.0-only
//! `blockers`: the tasks that hold a transition back. JSON: an array of [`BlockerView`], whose `stack` is empty without
//! `--stacks` and for those who may not see stacks.

use std::io::IsTerminal;

use super::{
    client::Client,
    exit::{Exit, Failure},
    output::{Output, Tone},
    table::{Align, Table},
    text,
};
use crate::model::snapshot::BlockerView;

/// Lists the blockers.
pub(super) async fn blockers(
    client: &Client,
    output: Output,
    patch: Option<String>,
    stacks: bool,
) -> Result<Exit, Failure> {
    let patch = patch.unwrap_or_default();
    let prompt = stacks && std::io::stdin().is_terminal();
    let mut blockers = client.blockers(&patch, prompt).await?;
    if !stacks {
        for blocker in &mut blockers {
            blocker.stack.clear();
        }
    }
    if output.is_json() {
        output.json(&blockers);
    } else if blockers.is_empty() {
        output.line("no task holds a transition back");
    } else {
        print(output, &blockers);
        if stacks && blockers.iter().all(|blocker| blocker.stack.is_empty()) {
            output.note("no stacks: they are for administrators, or this kernel does not tell them");
        }
    }
    Ok(Exit::Done)
}

/// The table of blockers, each followed by its stack.
pub(super) fn print(output: Output, blockers: &[BlockerView]) {
    let mut table = Table::new(&[
        ("PATCH", Align::Left),
        ("PID", Align::Right),
        ("TID", Align::Right),
        ("COMMAND", Align::Left),
        ("CLASS", Align::Left),
        ("REASON", Align::Left),
        ("FUNCTION", Align::Left),
        ("UNIT", Align::Left),
        ("NUDGES", Align::Right),
        ("ACTION", Align::Left),
    ]);
    for view in blockers {
        table.row([
            view.patch.clone(),
            view.pid.to_string(),
            view.tid.to_string(),
            view.comm.clone(),
            view.class.to_string(),
            view.reason.to_string(),
            view.function.clone(),
            view.unit.clone(),
            view.nudges.to_string(),
            view.action.clone(),
        ]);
    }
    let (head, rows) = table.lines();
    output.line(&output.paint(Tone::Head, &head));
    for (row, view) in rows.iter().zip(blockers) {
        output.line(row);
        for frame in &view.stack {
            output.line(&format!("    {}", text::clean(frame)));
        }
    }
}
