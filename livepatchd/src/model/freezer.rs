// SPDX-License-Identifier: GPL-2.0-only
//! Which files tell whether a task's cgroup is frozen or freezing: paths and words only, nothing is opened here.
//!
//! Version 2 is asked for the wish (`cgroup.freeze`), there and in every cgroup above, because a task that cannot freeze
//! yet is one that must not be nudged either; version 1 for its effective state (`freezer.state`).

use std::path::{Path, PathBuf};

use super::place::Places;

/// One such file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezerFile {
    /// Where it is, if it is there: the root of the hierarchy has none.
    pub path: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl FreezerFile {
    fn new(dir: &Path, version: Version) -> Self {
        let name = match version {
            Version::One => "freezer.state",
            Version::Two => "cgroup.freeze",
        };
        let path = dir.join(name);
        Self { path, version }
    }

    /// Whether this content says that the task is, or is to be, frozen.
    pub fn says_frozen(&self, content: &str) -> bool {
        match self.version {
            Version::One => content.trim() != "THAWED",
            Version::Two => content.trim() == "1",
        }
    }
}

/// The files that tell of a task with this `/proc/TID/cgroup`.
pub fn files(places: &Places, cgroup: &str) -> Vec<FreezerFile> {
    let root = places.sys.join("fs/cgroup");
    let mut files = Vec::new();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let path = path.trim_start_matches('/');
        match controllers {
            "" => {
                for root in [root.clone(), root.join("unified")] {
                    let dir = root.join(path);
                    let above = dir.ancestors().take_while(|dir| *dir != root);
                    files.extend(above.map(|dir| FreezerFile::new(dir, Version::Two)));
                }
            }
            _ if controllers.split(',').any(|name| name == "freezer") => {
                files.push(FreezerFile::new(&root.join("freezer").join(path), Version::One));
            }
            _ => {}
        }
    }
    files
}
