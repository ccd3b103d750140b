// SPDX-License-Identifier: GPL-2.0-only
//! Whether a task's cgroup is frozen or freezing, from the cgroup file system: the way without BPF.
//!
//! Version 2 is asked for the wish (`cgroup.freeze`), there and in every cgroup above, because a task that cannot freeze
//! yet is one that must not be nudged either; version 1 for its effective state (`freezer.state`).

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use crate::model::place::Places;

/// The answers of one scan, by cgroup.
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
        let root = places.sys.join("fs/cgroup");
        text.lines().any(|line| {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                return false;
            };
            let path = path.trim_start_matches('/');
            match controllers {
                "" => [root.clone(), root.join("unified")]
                    .iter()
                    .any(|root| self.wished_above(root, &root.join(path))),
                _ if controllers.split(',').any(|name| name == "freezer") => {
                    self.is(&root.join("freezer").join(path), "freezer.state", |state| {
                        state != "THAWED"
                    })
                }
                _ => false,
            }
        })
    }

    fn wished_above(&mut self, root: &Path, cgroup: &Path) -> bool {
        cgroup
            .ancestors()
            .take_while(|dir| *dir != root)
            .any(|dir| self.is(dir, "cgroup.freeze", |wish| wish == "1"))
    }

    fn is(&mut self, dir: &Path, file: &str, frozen: impl Fn(&str) -> bool) -> bool {
        if let Some(known) = self.frozen.get(dir) {
            return *known;
        }
        let answer = fs::read_to_string(dir.join(file)).is_ok_and(|text| frozen(text.trim()));
        self.frozen.insert(dir.to_owned(), answer);
        answer
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
