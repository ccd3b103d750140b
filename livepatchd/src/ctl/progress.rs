// SPDX-License-Identifier: GPL-2.0-only
//! How a job goes, while one waits: a bar with the blockers under it on a terminal, otherwise one line for each thing that
//! is new. With `--json` nothing.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{job::JobView, output::Output, text};
use crate::model::snapshot::BlockerView;

/// Blockers shown under the bar; more are counted.
const SHOWN: usize = 6;

/// What is shown.
pub(super) struct Progress {
    output: Output,
    bar: Option<Bar>,
    /// What is known of each thread that is listed.
    known: HashMap<u32, Known>,
    state: String,
    away: bool,
}

/// A blocker, as far as lines are concerned.
struct Known {
    since: Instant,
    /// The last line about it.
    said: String,
}

/// Thousands are pending until the kernel has looked at each for the first time. Who sleeps in a function of the patch is
/// news at once; of the others only who is still there after this.
const NEWS_AFTER: Duration = Duration::from_millis(500);

struct Bar {
    all: MultiProgress,
    tasks: ProgressBar,
    counted: ProgressStyle,
    under: Vec<ProgressBar>,
}

impl Progress {
    /// Nothing shown yet.
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            bar: output.draws().then(|| Bar::new(output.draws_color())),
            known: HashMap::new(),
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
        self.known
            .retain(|tid, _| blockers.iter().any(|blocker| blocker.tid == *tid));
        for blocker in blockers {
            let known = self.known.entry(blocker.tid).or_insert_with(|| Known {
                since: Instant::now(),
                said: String::new(),
            });
            let text = text::blocker(blocker);
            if is_news(blocker, known.since.elapsed()) && known.said != text {
                // blockers may be known before the job's count is
                let count = match job.pending {
                    0 => String::new(),
                    pending => format!("{}: ", text::pending(pending, job.total)),
                };
                self.output.note(&format!("{}: {count}{text}", job.patch));
                known.said = text;
            }
        }
    }
}

fn is_news(blocker: &BlockerView, listed_for: Duration) -> bool {
    !blocker.function.is_empty() || listed_for >= NEWS_AFTER
}

/// A bar for tasks that are counted.
const COUNTED: &str = "{msg} [{bar:30COLOR}] {pos}/{len} tasks, {elapsed}";

/// Before the transition and after it, there is nothing to count.
const UNCOUNTED: &str = "{msg}, {elapsed}";

/// A blocker.
const LINE: &str = "  {wide_msg}";

impl Bar {
    fn new(color: bool) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let tasks = all.add(ProgressBar::new(0).with_style(style(UNCOUNTED)));
        let color = if color { ".green" } else { "" };
        Self {
            all,
            tasks,
            counted: style(&COUNTED.replace("COLOR", color)).progress_chars("=> "),
            under: Vec::new(),
        }
    }

    fn show(&mut self, job: &JobView, blockers: &[BlockerView]) {
        let (total, moved) = (u64::from(job.total), u64::from(job.total.saturating_sub(job.pending)));
        say(&self.tasks, text::clean(&format!("{}: {}", job.patch, doing(job))));
        // first, because the bar is drawn whenever one of these changes
        if self.tasks.position() != moved {
            self.tasks.set_position(moved);
        }
        if self.tasks.length() != Some(total) {
            let style = if total == 0 {
                style(UNCOUNTED)
            } else {
                self.counted.clone()
            };
            self.tasks.set_style(style);
            self.tasks.set_length(total);
        }
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
            self.under
                .push(self.all.add(ProgressBar::new_spinner().with_style(style(LINE))));
        }
        for (line, text) in self.under.iter().zip(lines) {
            say(line, text);
        }
        // the time goes on although nothing else changed
        self.tasks.tick();
    }
}

/// Each message is drawn, so only new ones are set.
fn say(bar: &ProgressBar, text: String) {
    if bar.message() != text {
        bar.set_message(text);
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
    use crate::model::task::{Reason, TaskClass};

    #[test]
    fn who_sleeps_in_the_patch_is_news_at_once_and_others_only_when_they_stay() {
        let mut blocker = BlockerView {
            patch: "fix".to_owned(),
            pid: 812,
            tid: 813,
            comm: "cat".to_owned(),
            class: TaskClass::User,
            state: "sleeping".to_owned(),
            reason: Reason::SleepingInFunction,
            function: "tgt_wait [tgt]".to_owned(),
            unit: String::new(),
            nudges: 0,
            action: "nudge due".to_owned(),
            stack: Vec::new(),
        };
        assert!(is_news(&blocker, Duration::ZERO));
        blocker.function.clear();
        assert!(!is_news(&blocker, Duration::from_millis(499)));
        assert!(is_news(&blocker, Duration::from_millis(500)));
    }

    #[test]
    fn the_templates_are_valid() {
        let bars = ["", ".green"].map(|color| COUNTED.replace("COLOR", color));
        for template in bars.iter().map(String::as_str).chain([UNCOUNTED, LINE]) {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
