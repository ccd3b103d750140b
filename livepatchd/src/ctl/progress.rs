// SPDX-License-Identifier: GPL-2.0-only
//! How a job goes, while one waits: a bar with the blockers under it on a terminal, otherwise one line for each thing that
//! is new. With `--json` nothing.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{job::JobView, output::Output, text};
use crate::model::snapshot::BlockerView;

/// Blockers shown under the bar; more are counted.
const SHOWN: usize = 6;

/// What is shown.
pub(super) struct Progress {
    output: Output,
    bar: Option<Bar>,
    /// What was said of each thread.
    said: HashMap<u32, String>,
    state: String,
    away: bool,
}

struct Bar {
    all: MultiProgress,
    tasks: ProgressBar,
    under: Vec<ProgressBar>,
}

impl Progress {
    /// Nothing shown yet.
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            bar: output.draws().then(|| Bar::new(output.draws_color())),
            said: HashMap::new(),
            state: String::new(),
            away: false,
        }
    }

    /// The job and its blockers as they are now.
    pub(super) fn show(&mut self, job: &JobView, blockers: &[BlockerView]) {
        self.away = false;
        match &mut self.bar {
            Some(bar) => bar.show(job, blockers),
            None if !self.output.is_json() => self.say(job, blockers),
            None => {}
        }
    }

    /// The daemon cannot be reached at the moment.
    pub(super) fn away(&mut self) {
        if !std::mem::replace(&mut self.away, true) {
            let text = "livepatchd went away; waiting for it to come back";
            match &self.bar {
                Some(bar) => bar.tasks.set_message(text),
                None => self.output.note(text),
            }
        }
    }

    /// The end: the bar is taken away, the result follows.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            // a terminal that cannot be cleared shows a bar more
            let _ = bar.all.clear();
        }
    }

    fn say(&mut self, job: &JobView, blockers: &[BlockerView]) {
        if self.state != job.state {
            self.state.clone_from(&job.state);
            let doing = doing(job);
            self.output.note(&format!("{}: {doing}", job.patch));
        }
        self.said
            .retain(|tid, _| blockers.iter().any(|blocker| blocker.tid == *tid));
        for blocker in blockers {
            let text = text::blocker(blocker);
            if self.said.get(&blocker.tid) != Some(&text) {
                let pending = text::pending(job.pending, job.total);
                self.output.note(&format!("{}: {pending}: {text}", job.patch));
                self.said.insert(blocker.tid, text);
            }
        }
    }
}

impl Bar {
    fn new(color: bool) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let tasks = all.add(ProgressBar::new(0));
        let color = if color { ".green" } else { "" };
        let template = format!("{{msg}} [{{bar:30{color}}}] {{pos}}/{{len}} tasks, {{elapsed}}");
        tasks.set_style(style(&template).progress_chars("=> "));
        Self {
            all,
            tasks,
            under: Vec::new(),
        }
    }

    fn show(&mut self, job: &JobView, blockers: &[BlockerView]) {
        self.tasks
            .set_message(text::clean(&format!("{}: {}", job.patch, doing(job))));
        self.tasks.set_length(u64::from(job.total));
        self.tasks
            .set_position(u64::from(job.total.saturating_sub(job.pending)));
        let mut lines: Vec<String> = blockers.iter().take(SHOWN).map(text::blocker).collect();
        if blockers.len() > SHOWN {
            lines.push(format!("and {} more: livepatchctl blockers", blockers.len() - SHOWN));
        }
        while self.under.len() > lines.len() {
            if let Some(line) = self.under.pop() {
                self.all.remove(&line);
            }
        }
        while self.under.len() < lines.len() {
            let line = self.all.add(ProgressBar::new_spinner());
            line.set_style(style("  {wide_msg}"));
            self.under.push(line);
        }
        for (line, text) in self.under.iter().zip(lines) {
            line.set_message(text);
            line.tick();
        }
        self.tasks.tick();
    }
}

/// A template of ours; one that does not parse would only look plainer.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn doing(job: &JobView) -> &str {
    match (job.state.as_str(), job.kind.as_str()) {
        ("loading", _) => "loading",
        ("transition", "apply") => "patching",
        ("transition", "force") => "forcing",
        ("transition", _) => "unpatching",
        ("reversing", _) => "reversing",
        ("unloading", _) => "unloading the module",
        (other, _) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in ["{msg} [{bar:30.green}] {pos}/{len} tasks, {elapsed}", "  {wide_msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
