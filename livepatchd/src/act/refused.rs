// SPDX-License-Identifier: GPL-2.0-only
//! A refusal of the kernel's, with what it logged while it refused.

use rustix::io::Errno;

use crate::model::refusal::{ErrorName, Refusal};

/// As many lines as a message carries: a failed load logs one to five, an unknown symbol one per symbol.
const MAX_LINES: usize = 20;

/// What a line about modules or live patches begins with; the kernel talks of other things meanwhile. The message is
/// shown to every user, so it must not take along the registers or the stack of a warning, which name modules as well.
const BEGINNINGS: [&str; 8] = [
    "livepatch: ",
    "klp_rs: ",
    "module: ",
    "module ",
    "x86/modules: ",
    "ftrace: ",
    "Loading of ",
    "Lockdown: ",
];

/// Those of the lines that are about this module, or about live patches at all.
pub(super) fn relevant(lines: Vec<String>, module: &str) -> Vec<String> {
    let mut lines: Vec<String> = lines
        .into_iter()
        .filter(|line| {
            let of_module = line.strip_prefix(module).is_some_and(|rest| rest.starts_with(": "));
            of_module || BEGINNINGS.iter().any(|beginning| line.starts_with(beginning))
        })
        .collect();
    lines.truncate(MAX_LINES);
    lines
}

/// A refusal: what happened and what to do next, the error number's words, then the kernel's lines.
pub(super) fn refusal(name: ErrorName, what: &str, err: Errno, lines: &[String]) -> Refusal {
    let mut message = format!("{what} (the kernel says: {})", words(err));
    for line in lines {
        message.push('\n');
        message.push_str(line);
    }
    Refusal::new(name, message)
}

/// The error number's text without Rust's own tail "(os error 16)".
fn words(err: Errno) -> String {
    let text = std::io::Error::from(err).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::{refusal, relevant};
    use crate::model::refusal::ErrorName;

    #[test]
    fn lines_about_other_things_are_left_out() {
        let lines = [
            "usb 1-1: new device",
            "RIP: 0010:init+0x17/0x20 [lp]",
            "WARNING: CPU: 0 PID: 1 at kernel/livepatch/core.c:100 klp_enable_patch+0x17/0x20",
            "lp: Unknown symbol x (err -2)",
            "livepatch: failed",
        ];
        let kept = relevant(lines.map(str::to_owned).to_vec(), "lp");
        assert_eq!(kept, &lines[3..]);
        let many = vec!["lp: no".to_owned(); 100];
        assert_eq!(relevant(many, "lp").len(), 20);
    }

    #[test]
    fn the_message_ends_with_the_kernels_lines() {
        let refusal = refusal(ErrorName::Busy, "wait", Errno::BUSY, &["livepatch: no".to_owned()]);
        assert_eq!(
            refusal.message,
            "wait (the kernel says: Device or resource busy)\nlivepatch: no"
        );
    }
}
