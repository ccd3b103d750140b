// SPDX-License-Identifier: GPL-2.0-only
//! Facts of the running kernel that decide whether a module can be loaded. Read anew for each question: `sysctl` and
//! lockdown can change at any time. A file that is missing means that the kernel has no such restriction.

use std::{fs, path::Path};

use super::sysfs;
use crate::model::{
    module::{KernelFacts, Lockdown},
    patch::Core,
    place::Places,
};

/// Reads them all.
pub fn read(places: &Places) -> KernelFacts {
    let sysctl = places.proc.join("sys/kernel");
    KernelFacts {
        release: release(),
        cores: cores(places),
        ftrace_enabled: word(&sysctl.join("ftrace_enabled")).is_none_or(|value| value != "0"),
        signatures_enforced: word(&places.module("module").join("parameters/sig_enforce"))
            .is_some_and(|value| value == "Y"),
        lockdown: fs::read_to_string(places.sys.join("kernel/security/lockdown"))
            .map_or(Lockdown::None, |text| Lockdown::parse(&text)),
        modules_disabled: word(&sysctl.join("modules_disabled")).is_some_and(|value| value != "0"),
    }
}

/// `uname -r`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The cores that are there now.
pub fn cores(places: &Places) -> Vec<Core> {
    Core::ALL
        .into_iter()
        .filter(|&core| sysfs::is_present(places, core))
        .collect()
}

fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::read;
    use crate::model::{module::Lockdown, patch::Core, place::Places};

    fn places(root: &std::path::Path) -> Places {
        Places {
            sys: root.join("sys"),
            proc: root.join("proc"),
            runtime: root.join("run"),
        }
    }

    #[test]
    fn missing_files_mean_no_restriction_and_no_core() {
        let root = tempfile::tempdir().expect("tempdir");
        let facts = read(&places(root.path()));
        assert!(facts.ftrace_enabled);
        assert!(!facts.signatures_enforced && !facts.modules_disabled);
        assert_eq!(facts.lockdown, Lockdown::None);
        assert!(facts.cores.is_empty());
        assert!(!facts.release.is_empty());
    }

    #[test]
    fn every_restriction_is_read() {
        let root = tempfile::tempdir().expect("tempdir");
        for (path, text) in [
            ("proc/sys/kernel/ftrace_enabled", "0\n"),
            ("proc/sys/kernel/modules_disabled", "1\n"),
            ("sys/module/module/parameters/sig_enforce", "Y\n"),
            ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
            ("sys/kernel/klp_rs/lp/enabled", "1\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            fs::write(path, text).expect("write");
        }
        let facts = read(&places(root.path()));
        assert!(!facts.ftrace_enabled);
        assert!(facts.signatures_enforced && facts.modules_disabled);
        assert_eq!(facts.lockdown, Lockdown::Integrity);
        assert_eq!(facts.cores, [Core::KlpRs]);
    }
}
