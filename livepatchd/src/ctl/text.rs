// SPDX-License-Identifier: GPL-2.0-only
//! Small texts for people: spans of time, counts, and names that others chose.

use crate::model::{reason::phrase, snapshot::BlockerView, time::Millis};

/// A name or message that others chose, without what could move a terminal's cursor or change its colours.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { '?' } else { c })
        .collect()
}

/// A span as one looks at it: `250 ms`, `4.2 s`, `3 min`, `5 h 20 min`, `12 days`.
pub(super) fn span(Millis(ms): Millis) -> String {
    let (s, min, h) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..60_000 => Millis(ms).to_string(),
        60_000..600_000 if s % 60 != 0 => format!("{min} min {} s", s % 60),
        60_000..3_600_000 => format!("{min} min"),
        3_600_000..86_400_000 => format!("{h} h {} min", min % 60),
        86_400_000..172_800_000 => "1 day".to_owned(),
        _ => format!("{} days", h / 24),
    }
}

/// A task and why it has not moved: `cat (813) sleeps in tgt_wait [tgt], of a.service; nudged`.
pub(super) fn blocker(view: &BlockerView) -> String {
    let what = format!("{} ({}) {}", view.comm, view.tid, phrase(view.reason, &view.function));
    let (unit, action) = (prefixed(", of ", &view.unit), prefixed("; ", &view.action));
    clean(&format!("{what}{unit}{action}"))
}

fn prefixed(prefix: &str, text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("{prefix}{text}"),
    }
}

/// `1 of 243 tasks pending`.
pub(super) fn pending(pending: u32, total: u32) -> String {
    match total {
        // where nobody counted them all
        0 => format!("{pending} tasks pending"),
        1 => format!("{pending} of 1 task pending"),
        total => format!("{pending} of {total} tasks pending"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_precise_as_they_are_short() {
        for (ms, text) in [
            (0, "0 ms"),
            (250, "250 ms"),
            (4_230, "4.2 s"),
            (60_000, "1 min"),
            (150_000, "2 min 30 s"),
            (1_800_000, "30 min"),
            (19_200_000, "5 h 20 min"),
            (90_000_000, "1 day"),
            (1_036_800_000, "12 days"),
        ] {
            assert_eq!(span(Millis(ms)), text);
        }
    }

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        assert_eq!(clean("\u{1b}[31mevil\u{7}\r"), "?[31mevil??");
        assert_eq!(clean("klp: é\nline"), "klp: é\nline");
    }
}
