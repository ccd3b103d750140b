// SPDX-License-Identifier: GPL-2.0-only
//! What is kept of a failure, and how much of it is shown: the logs go to files, their ends to the user.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::console::is_fatal;
use super::follow::Left;
use super::setup::workspace;
use crate::report::Evidence;

/// So many lines of each log are shown with a failure; the whole of it is in a file.
const SHOWN_LINES: usize = 15;

/// Writes down what a failure left, in the folder of its machine, and gives the ends of it, to be shown.
pub(super) fn keep(machine: &Path, name: &str, left: Left) -> Result<String> {
    let Evidence {
        output,
        kernel_log,
        journal,
    } = match left {
        Left::Logs(evidence) => evidence,
        Left::Console => return last_words(&machine.join("console.log")),
        Left::Nothing => return Ok(String::new()),
    };
    let slug: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect();
    let folder = machine.join(slug);
    fs::create_dir_all(&folder)?;
    let mut text = String::new();
    for (file, log) in [("output", output), ("kernel.log", kernel_log), ("journal", journal)] {
        let path = folder.join(file);
        fs::write(&path, &log)?;
        text += &shown(&path, &log);
    }
    Ok(text)
}

/// Of the console, what the kernel says when it ends, or else the last lines.
fn last_words(console: &Path) -> Result<String> {
    let text = String::from_utf8_lossy(&fs::read(console)?).into_owned();
    let lines: Vec<_> = text.lines().collect();
    Ok(match lines.iter().position(|line| is_fatal(line)) {
        Some(start) => listed(console, &lines[start..lines.len().min(start + SHOWN_LINES)]),
        None => shown(console, &text),
    })
}

/// The end of a log.
fn shown(path: &Path, log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    listed(path, &lines[lines.len().saturating_sub(SHOWN_LINES)..])
}

fn listed(path: &Path, lines: &[&str]) -> String {
    let path = path.strip_prefix(workspace()).unwrap_or(path).display();
    std::iter::once(format!("  {path}\n"))
        .chain(lines.iter().map(|line| format!("    {line}\n")))
        .collect()
}
