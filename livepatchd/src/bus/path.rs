// SPDX-License-Identifier: GPL-2.0-only
//! Where objects live on the bus. Not what they say.
//!
//! Invariant: a path built here is a valid object path for every name, because each label is escaped as systemd's
//! `bus_label_escape` does it, and two different names never share a path.

use zbus::OwnedObjectPath;

use crate::model::{job::JobId, patch::PatchName};

/// The well-known name of the daemon.
pub const NAME: &str = "org.livepatch.Manager";

/// The manager's object, and the `ObjectManager` of all others.
pub const MANAGER: &str = "/org/livepatch/Manager";

/// The object of a patch.
pub fn of_patch(name: &PatchName) -> OwnedObjectPath {
    build(&format!("{MANAGER}/patch/{}", escape(name.as_str())))
}

/// The object of a job.
pub fn of_job(id: JobId) -> OwnedObjectPath {
    build(&format!("{MANAGER}/job/{}", id.0))
}

/// Letters stay, digits stay except in the first place, all else becomes `_` and two hexadecimal digits
/// (systemd, `src/libsystemd/sd-bus/bus-label.c: bus_label_escape`).
fn escape(label: &str) -> String {
    if label.is_empty() {
        return "_".to_owned();
    }
    let mut escaped = String::with_capacity(label.len() * 3);
    for (place, byte) in label.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (place > 0 && byte.is_ascii_digit()) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('_');
            for nibble in [byte >> 4, byte & 0xf] {
                escaped.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
    }
    escaped
}

/// An escaped text is always valid, so the root object that stands for the impossible case is never seen.
fn build(path: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_as_systemd_does_it() {
        for (label, escaped) in [
            ("", "_"),
            ("abc", "abc"),
            ("livepatch_fix1", "livepatch_5ffix1"),
            ("1st", "_31st"),
            ("a.b/c", "a_2eb_2fc"),
            ("é", "_c3_a9"),
        ] {
            assert_eq!(escape(label), escaped);
        }
    }

    #[test]
    fn every_patch_name_gives_a_valid_path() {
        for name in ["a", "9", "_", "klp-fix_2"] {
            let name = PatchName::new(name).expect("a name");
            assert!(of_patch(&name).starts_with("/org/livepatch/Manager/patch/"));
        }
        assert_eq!(of_job(JobId(7)).as_str(), "/org/livepatch/Manager/job/7");
    }
}
