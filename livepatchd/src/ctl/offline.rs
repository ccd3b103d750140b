// SPDX-License-Identifier: GPL-2.0-only
//! What sysfs alone tells, for `status` and `list` on a machine without the daemon: names, states and functions. Not how
//! many tasks are pending, since when, or whether a transition was forced; those are the daemon's to know.

use crate::{
    model::{Model, fact::Fact, patch::Core, place::Places, snapshot::Snapshot, time::Moment},
    observe::{kernel, sysfs},
    policy::{describe::describe, rules::Rules},
};

/// The running kernel's release and what its sysfs shows now.
pub(super) fn look() -> (String, Snapshot) {
    (kernel::release(), snapshot(&Places::system(None)))
}

fn snapshot(places: &Places) -> Snapshot {
    let mut model = Model::new();
    for core in Core::ALL {
        // a core that cannot be read is one that is not shown
        if let Ok(Some(patches)) = sysfs::list(places, core) {
            model.observe(Moment::default(), Fact::Listing { core, patches });
        }
    }
    describe(&model, &Rules::default())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::patch::PatchState;

    #[test]
    fn sysfs_alone_tells_the_state_of_each_patch() {
        let root = tempfile::tempdir().unwrap();
        for (patch, enabled, transition) in [("done", "1\n", "0\n"), ("moving", "0\n", "1\n")] {
            let dir = root.path().join("sys/kernel/livepatch").join(patch);
            fs::create_dir_all(dir.join("vmlinux/cmdline_proc_show,1")).unwrap();
            fs::write(dir.join("enabled"), enabled).unwrap();
            fs::write(dir.join("transition"), transition).unwrap();
        }
        let places = Places {
            sys: root.path().join("sys"),
            proc: root.path().join("proc"),
            runtime: root.path().join("run"),
        };
        let shown = snapshot(&places);
        let states: Vec<_> = shown
            .patches
            .iter()
            .map(|view| (view.name.as_str(), view.state))
            .collect();
        assert_eq!(
            states,
            [("done", PatchState::Enabled), ("moving", PatchState::Disabling)]
        );
        assert_eq!(shown.patches[0].functions[0].name, "cmdline_proc_show");
        assert_eq!(shown.transition.unwrap().as_str(), "moving");
    }

    #[test]
    fn a_kernel_without_livepatching_has_no_core() {
        let root = tempfile::tempdir().unwrap();
        let places = Places {
            sys: root.path().join("sys"),
            proc: root.path().join("proc"),
            runtime: root.path().join("run"),
        };
        assert_eq!(snapshot(&places), Snapshot::default());
    }
}
