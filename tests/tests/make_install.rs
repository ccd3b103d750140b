// SPDX-License-Identifier: GPL-2.0-only
//! `make install` and `make uninstall` with a DESTDIR: what comes, what goes, and that an administrator's configuration is
//! nobody else's. The programs are stand-ins; what is built is tested elsewhere.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const CONFIG: &str = "etc/livepatchd/livepatchd.toml";

struct Place {
    folder: TempDir,
    prefix: &'static str,
}

impl Place {
    fn new(prefix: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let programs = folder.path().join("target/release");
        fs::create_dir_all(&programs).expect("a target folder");
        for program in ["livepatchd", "livepatchctl"] {
            let file = programs.join(program);
            fs::write(&file, "#!/bin/sh\n").expect("a program");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        Self { folder, prefix }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn make(&self, goal: &str) {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let output = Command::new("make")
            .args(["--silent", "-C"])
            .arg(workspace)
            .arg(goal)
            .arg(format!("PREFIX={}", self.prefix))
            .arg(format!("DESTDIR={}", self.root().display()))
            .arg(format!("TARGET_DIR={}", self.folder.path().join("target").display()))
            .env_remove("MAKEFLAGS")
            .output()
            .expect("make");
        assert!(output.status.success(), "make {goal}: {output:?}");
    }

    /// Every file, as a path from the root.
    fn files(&self) -> BTreeSet<String> {
        let (root, mut found) = (self.root(), BTreeSet::new());
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(&root).expect("below the root");
                    found.insert(path.display().to_string());
                }
            }
        }
        found
    }
}

#[test]
fn what_is_installed_is_uninstalled_to_the_last_file() {
    for prefix in ["/usr", "/usr/local"] {
        let place = Place::new(prefix);
        place.make("install");
        let installed = place.files();
        let program = format!("{}/bin/livepatchctl", prefix.trim_start_matches('/'));
        for file in [program.as_str(), CONFIG] {
            assert!(installed.contains(file), "{file} is not among {installed:?}");
        }
        place.make("uninstall");
        assert_eq!(place.files(), BTreeSet::new(), "PREFIX={prefix}");
        assert!(!place.root().join("etc/livepatchd").exists(), "PREFIX={prefix}");
    }
}

#[test]
fn a_configuration_that_was_changed_is_neither_overwritten_nor_removed() {
    let place = Place::new("/usr");
    place.make("install");
    let config = place.root().join(CONFIG);
    fs::write(&config, "[nudge]\nenabled = false\n").expect("a change");
    place.make("install");
    place.make("uninstall");
    assert_eq!(place.files(), BTreeSet::from([CONFIG.to_owned()]));
    let kept = fs::read_to_string(&config).expect("the configuration");
    assert_eq!(kept, "[nudge]\nenabled = false\n");
}

#[test]
fn what_others_installed_beside_ours_stays() {
    let place = Place::new("/usr");
    place.make("install");
    let other = "etc/livepatchd/site.toml";
    fs::write(place.root().join(other), "").expect("a file");
    place.make("uninstall");
    assert_eq!(place.files(), BTreeSet::from([other.to_owned()]));
}
