// SPDX-License-Identifier: GPL-2.0-only
//! Whether a task's cgroup is frozen or freezing, from the cgroup file system: the way without BPF.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use crate::model::{freezer, place::Places};

/// The answers of one scan, by file.
#[derive(Debug, Default)]
pub(super) struct Freezer {
    frozen: HashMap<PathBuf, bool>,
}

impl Freezer {
    /// Whether the task with this directory in /proc is frozen.
    pub(super) fn holds(&mut self, places: &Places, task: &Path) -> bool {
        let Ok(text) = fs::read_to_string(task.join("cgroup")) else {
            return false;
        };
        freezer::files(places, &text).into_iter().any(|file| {
            if let Some(known) = self.frozen.get(&file.path) {
                return *known;
            }
            let answer = fs::read_to_string(&file.path).is_ok_and(|text| file.says_frozen(&text));
            self.frozen.insert(file.path, answer);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::Freezer;
    use crate::model::place::Places;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
        fs::write(path, text).expect("write");
    }

    #[test]
    fn a_freeze_anywhere_above_holds_the_task() {
        let dir = tempfile::tempdir().expect("tempdir");
        let root = dir.path();
        let places = Places {
            sys: root.into(),
            proc: root.into(),
            runtime: root.into(),
        };
        write(root, "fs/cgroup/a/cgroup.freeze", "1\n");
        write(root, "fs/cgroup/a/b/cgroup.freeze", "0\n");
        write(root, "fs/cgroup/c/cgroup.freeze", "0\n");
        write(root, "fs/cgroup/freezer/d/freezer.state", "FREEZING\n");
        write(root, "fs/cgroup/freezer/e/freezer.state", "THAWED\n");
        for (cgroup, frozen) in [
            ("0::/a/b\n", true),
            ("0::/a\n", true),
            ("0::/c\n", false),
            ("0::/\n", false),
            ("6:freezer:/d\n0::/\n", true),
            ("6:cpu,freezer:/e\n0::/\n", false),
            ("1:cpu:/a\n", false),
            ("garbage", false),
            ("", false),
        ] {
            write(root, "task/cgroup", cgroup);
            assert_eq!(
                Freezer::default().holds(&places, &root.join("task")),
                frozen,
                "{cgroup}"
            );
        }
        assert!(!Freezer::default().holds(&places, &root.join("none")));
    }
}
