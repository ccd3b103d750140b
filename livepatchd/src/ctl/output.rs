// SPDX-License-Identifier: GPL-2.0-only
//! The one place that prints: results on standard output, everything else on standard error.
//!
//! What cannot be printed never changes what was done or its exit code, with one exception: a result that could not be
//! written whole is a failure ([`failed`]). A reader that went away on purpose (`livepatchctl list | head -1`) is none.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use serde::Serialize;

use super::{exit::Failure, table::Table, text::clean};

/// Nobody reads standard output any more, or it takes nothing any more.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// A result was lost on its way, and nobody wanted that.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether further results would reach nobody.
pub(super) fn closed() -> bool {
    CLOSED.load(Relaxed)
}

/// Whether a part of the result could not be written: no space, an input/output error.
pub(super) fn failed() -> bool {
    FAILED.load(Relaxed)
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
    color: bool,
    error_color: bool,
}

/// What a text means, for terminals with colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// A head of a table or a label.
    Head,
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Needs attention.
    Bad,
}

#[expect(clippy::unused_self, reason = "printing is asked of the one who knows how to print")]
impl Output {
    /// Decides once: colours only for terminals, and not against anybody's wish (no-color.org).
    pub(super) fn new(json: bool, no_color: bool) -> Self {
        let wanted = !no_color
            && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            json,
            color: wanted && io::stdout().is_terminal(),
            error_color: wanted && io::stderr().is_terminal(),
        }
    }

    /// Whether results are JSON.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Whether progress can be drawn over itself.
    pub(super) fn draws(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Whether what is drawn may have colours.
    pub(super) fn draws_color(self) -> bool {
        self.error_color
    }

    /// A text in its tone, for standard output.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        paint(self.color, tone, text)
    }

    /// A line of the result.
    pub(super) fn line(self, text: &str) {
        result(format!("{text}\n").as_bytes());
    }

    /// A table of the result.
    pub(super) fn table(self, table: &Table) {
        let (head, rows) = table.lines();
        self.line(&self.paint(Tone::Head, &head));
        for row in rows {
            self.line(&row);
        }
    }

    /// The result as JSON, on one line.
    pub(super) fn json<T: Serialize>(self, value: &T) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(&text),
            // our documents have nothing that JSON cannot say
            Err(error) => self.note(&error.to_string()),
        }
    }

    /// Bytes of the result as they are.
    pub(super) fn raw(self, bytes: &[u8]) {
        result(bytes);
    }

    /// A remark beside the result.
    pub(super) fn note(self, text: &str) {
        remark(&format!("{}\n", clean(text)));
    }

    /// What went wrong and what to do next.
    pub(super) fn failure(self, failure: &Failure) {
        let advice = failure.advice.iter().map(|advice| format!("({advice})"));
        let lines = failure.message.lines().map(str::to_owned).chain(advice);
        let lines: Vec<String> = lines.map(|line| clean(&line)).collect();
        let label = paint(self.error_color, Tone::Bad, "livepatchctl:");
        let text = format!("{label} {}\n", lines.join("\n  "));
        remark(&text);
    }
}

fn result(bytes: &[u8]) {
    if closed() {
        return;
    }
    let mut to = io::stdout().lock();
    if let Err(error) = to.write_all(bytes).and_then(|()| to.flush()) {
        CLOSED.store(true, Relaxed);
        if error.kind() != ErrorKind::BrokenPipe {
            FAILED.store(true, Relaxed);
            remark(&format!("livepatchctl: cannot write the result: {error}\n"));
        }
    }
}

fn remark(text: &str) {
    let mut to = io::stderr().lock();
    // where remarks cannot be written there is nobody to tell
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

fn paint(color: bool, tone: Tone, text: &str) -> String {
    if !color {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Head => "1",
        Tone::Good => "32",
        Tone::Busy => "33",
        Tone::Bad => "31",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
