// SPDX-License-Identifier: GPL-2.0-only
//! The systemd unit that a task belongs to, from its cgroup.
//!
//! The unit is the system manager's: what runs below `user@1000.service` belongs to that one, as it does for systemd
//! (`src/basic/cgroup-util.c: cg_path_decode_unit`). Outside of any unit it is the cgroup's path, in the root nothing.

use std::{collections::HashMap, fs, path::Path};

/// Kinds of units that hold processes; slices are the way to them.
const UNIT_KINDS: [&str; 5] = ["service", "scope", "socket", "mount", "swap"];

/// The root of the version 2 hierarchy. All tasks are in it where only version 1 is used, so it says nothing.
const ROOT_CGROUP: u64 = 1;

/// The units met so far, by cgroup: most tasks of a scan share a few.
#[derive(Debug, Default)]
pub struct Units {
    by_cgroup: HashMap<u64, String>,
}

impl Units {
    /// A task's unit. `cgroup` is the id of its cgroup in the version 2 hierarchy, if known: it is never reused.
    /// `task`: the task's directory in /proc.
    pub fn of(&mut self, task: &Path, cgroup: Option<u64>) -> String {
        let cgroup = cgroup.filter(|id| *id != ROOT_CGROUP);
        if let Some(unit) = cgroup.and_then(|id| self.by_cgroup.get(&id)) {
            return unit.clone();
        }
        let Some(unit) = cgroup_path(task).as_deref().map(unit_of) else {
            return String::new();
        };
        if let Some(id) = cgroup {
            self.by_cgroup.insert(id, unit.clone());
        }
        unit
    }
}

/// The cgroup's path as systemd manages it, from a task's directory in /proc.
fn cgroup_path(task: &Path) -> Option<String> {
    let text = fs::read(task.join("cgroup")).ok()?;
    managed_path(&String::from_utf8_lossy(&text)).map(str::to_owned)
}

/// Picks the line of the hierarchy that systemd manages: version 2, or the named one beside version 1.
fn managed_path(text: &str) -> Option<&str> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let unified = line("0::");
    let named = text
        .lines()
        .find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    let path = match (unified, named) {
        (Some("/") | None, Some(named)) => named,
        (unified, _) => unified?,
    };
    Some(path.strip_suffix(" (deleted)").unwrap_or(path))
}

/// The unit in a cgroup's path.
fn unit_of(path: &str) -> String {
    let parts = || {
        path.split('/')
            .filter(|part| !part.is_empty())
            // systemd puts an underscore before names that the kernel could take for its own
            .map(|part| part.strip_prefix('_').unwrap_or(part))
    };
    let kind = |part: &str| {
        part.rsplit_once('.')
            .filter(|(name, _)| !name.is_empty())
            .map(|(_, kind)| kind.to_owned())
    };
    let unit = parts().find(|part| kind(part).is_some_and(|kind| UNIT_KINDS.contains(&kind.as_str())));
    let slice = || parts().take_while(|part| kind(part).as_deref() == Some("slice")).last();
    match unit.or_else(slice) {
        Some(unit) => unit.to_owned(),
        None if path == "/" => String::new(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Units, managed_path, unit_of};

    #[test]
    fn the_unit_is_found_in_the_path() {
        for (path, unit) in [
            ("/system.slice/cron.service", "cron.service"),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "getty@tty1.service",
            ),
            ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
                "user@1000.service",
            ),
            ("/system.slice/docker-0a1b.scope/inner", "docker-0a1b.scope"),
            ("/init.scope", "init.scope"),
            ("/machine.slice", "machine.slice"),
            ("/system.slice/_cpu.service", "cpu.service"),
            ("/lxc/web", "/lxc/web"),
            ("/.service", "/.service"),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(unit_of(path), unit, "{path}");
        }
    }

    #[test]
    fn the_hierarchy_that_systemd_manages_is_taken() {
        for (text, path) in [
            ("0::/system.slice/a.service\n", Some("/system.slice/a.service")),
            ("0::/a.service (deleted)\n", Some("/a.service")),
            ("9:name=systemd:/b.service\n1:cpu:/\n0::/\n", Some("/b.service")),
            ("9:name=systemd:/b.service\n1:cpu:/\n", Some("/b.service")),
            ("1:name=systemd:/b.service\n0::/a.service\n", Some("/a.service")),
            ("1:cpu:/x\n", None),
            ("0::/\n", Some("/")),
            ("", None),
        ] {
            assert_eq!(managed_path(text), path, "{text}");
        }
    }

    #[test]
    fn a_task_that_is_gone_has_no_unit_and_a_known_cgroup_needs_no_task() {
        let gone = Path::new("/proc/none");
        let mut units = Units::default();
        assert_eq!(units.of(gone, Some(7)), "");
        units.by_cgroup.insert(7, "a.service".into());
        assert_eq!(units.of(gone, Some(7)), "a.service");
        // the version 2 root says nothing of version 1
        units.by_cgroup.insert(1, "wrong".into());
        assert_eq!(units.of(gone, Some(1)), "");
    }
}
