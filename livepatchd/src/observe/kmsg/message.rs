// SPDX-License-Identifier: GPL-2.0-only
//! Lines of the log that a livepatch core wrote. Pure.
//!
//! Wordings of `kernel/livepatch/{core,transition,patch}.c` (the same from 6.1 to 7.2, some at debug level only); `klp_rs`
//! words its lines alike with its own prefix. An unknown line of a core is still a reason to list again.

use crate::model::{
    fact::TransitionEvent,
    patch::{Core, PatchName},
};

/// What a core said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which core.
    pub core: Core,
    /// The patch it speaks of, if it names one.
    pub patch: Option<PatchName>,
    /// What its transition did, if it is about that.
    pub event: Option<TransitionEvent>,
}

/// The text of a line as a core's message; `None` for all other lines.
pub fn message(text: &str) -> Option<Message> {
    let (core, said) = [(Core::Kernel, "livepatch: "), (Core::KlpRs, "klp_rs: ")]
        .into_iter()
        .find_map(|(core, prefix)| Some((core, text.strip_prefix(prefix)?)))?;
    // functions and modules stand in quotes too
    let named = said
        .strip_prefix('\'')
        .or_else(|| said.split_once("patch '").map(|(_, rest)| rest));
    let quoted = named.and_then(|rest| rest.split_once('\'')).map(|(name, _)| name);
    Some(Message {
        core,
        patch: quoted.and_then(PatchName::new),
        event: event(said),
    })
}

fn event(said: &str) -> Option<TransitionEvent> {
    // "'lp': starting patching transition" and the like: the words after the patch's name
    let about = said.split_once("': ").map_or(said, |(_, about)| about);
    let word = about.split(' ').next()?;
    match word {
        "starting" => Some(TransitionEvent::Started),
        "reversing" => Some(TransitionEvent::Reversed),
        "forcing" => Some(TransitionEvent::Forced),
        "patching" | "unpatching" if about.ends_with("complete") => Some(TransitionEvent::Completed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::message;
    use crate::model::{
        fact::TransitionEvent,
        patch::{Core, PatchName},
    };

    #[test]
    fn the_conversation_of_a_core_is_understood() {
        use TransitionEvent::{Completed, Forced, Reversed, Started};
        for (text, patch, event) in [
            ("livepatch: enabling patch 'lp'", Some("lp"), None),
            ("livepatch: 'lp': initializing patching transition", Some("lp"), None),
            (
                "livepatch: 'lp': starting patching transition",
                Some("lp"),
                Some(Started),
            ),
            ("livepatch: 'lp': completing patching transition", Some("lp"), None),
            ("livepatch: 'lp': patching complete", Some("lp"), Some(Completed)),
            ("livepatch: 'lp': unpatching complete", Some("lp"), Some(Completed)),
            (
                "livepatch: 'lp': reversing transition from patching to unpatching",
                Some("lp"),
                Some(Reversed),
            ),
            (
                // its end is a line of its own
                "livepatch: 'lp': canceling patching transition, going to unpatch",
                Some("lp"),
                None,
            ),
            (
                "livepatch: forcing remaining tasks to the patched state",
                None,
                Some(Forced),
            ),
            ("livepatch: signaling remaining tasks", None, None),
            (
                "livepatch: applying patch 'lp' to loading module 'tgt'",
                Some("lp"),
                None,
            ),
            (
                "livepatch: failed to register ftrace handler for function 'x' (-16)",
                None,
                None,
            ),
            ("livepatch: ", None, None),
            ("livepatch: '", None, None),
            ("livepatch: 'lp", None, None),
        ] {
            let message = message(text).expect(text);
            assert_eq!(message.core, Core::Kernel);
            assert_eq!(message.patch.as_ref().map(PatchName::as_str), patch, "{text}");
            assert_eq!(message.event, event, "{text}");
        }
        let rs = message("klp_rs: 'lp': starting patching transition").expect("a message");
        assert_eq!((rs.core, rs.event), (Core::KlpRs, Some(Started)));
    }

    #[test]
    fn other_lines_are_not_a_cores() {
        for text in [
            "",
            "lp: livepatch: x",
            "usb 1-1: new device",
            "livepatch",
            "livepatchd: x",
        ] {
            assert_eq!(message(text), None, "{text}");
        }
    }
}
