// SPDX-License-Identifier: GPL-2.0-only
//! What is looked at again at the last moment: whether the thread is pending, and whether it is frozen.

use std::fs;

use super::{Aim, NotNudged, Nudger, Runtime, Sleeper};
use crate::model::{
    patch::{Core, Direction},
    place::Places,
};

const MOVED: Result<(), NotNudged> = Err(NotNudged::NotNow("it has moved"));

#[test]
fn a_thread_that_is_not_pending_sleeps_on() {
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    let before = sleeper.switches();
    let try_with = |state: &str, core, direction| {
        // the nudge before may still have it awake
        sleeper.wait_for("asleep again", |stat| stat.state == b'S');
        let places = runtime.showing(sleeper.pid(), sleeper.pid(), state);
        Nudger::new(&places).nudge(Aim {
            core,
            direction,
            ..sleeper.aim()
        })
    };
    // there, in no transition, and what no kernel writes
    for state in ["1\n", "-1\n", "", "x"] {
        assert_eq!(try_with(state, Core::Kernel, Direction::Patching), MOVED, "{state:?}");
    }
    assert_eq!(try_with("0\n", Core::Kernel, Direction::Unpatching), MOVED);
    // a kernel without live patching
    assert_eq!(Nudger::new(&runtime.places).nudge(sleeper.aim()), MOVED);
    assert_eq!(sleeper.switches(), before);
    assert_eq!(runtime.records(), 0);
    assert_eq!(try_with("0\n", Core::Kernel, Direction::Patching), Ok(()));
    assert_eq!(try_with("1\n", Core::Kernel, Direction::Unpatching), Ok(()));
    // what the kernel shows is of its own core: of another the scan is the word
    assert_eq!(try_with("1\n", Core::KlpRs, Direction::Patching), Ok(()));
    sleeper.works();
}

#[test]
fn a_thread_whose_cgroup_is_frozen_is_left_alone() {
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    let sys = runtime.places.runtime.with_file_name("sys");
    let places = Places {
        sys: sys.clone(),
        ..runtime.showing(sleeper.pid(), sleeper.pid(), "0")
    };
    let cgroup = places.proc.join(format!("{0}/task/{0}/cgroup", sleeper.pid()));
    fs::remove_file(&cgroup).expect("the link");
    fs::write(&cgroup, "0::/a/b\n").expect("write");
    fs::create_dir_all(sys.join("fs/cgroup/a/b")).expect("mkdir");
    for (wish, expected) in [("1\n", Err(NotNudged::NotNow("its cgroup is frozen"))), ("0\n", Ok(()))] {
        fs::write(sys.join("fs/cgroup/a/cgroup.freeze"), wish).expect("write");
        assert_eq!(Nudger::new(&places).nudge(sleeper.aim()), expected);
        sleeper.wait_for("asleep again", |stat| stat.state == b'S');
    }
    sleeper.works();
}
