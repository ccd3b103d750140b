// SPDX-License-Identifier: GPL-2.0-only
//! How the loop ends: with the nudge under way finished and told, and no other begun.

use std::{
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::signal::unix::{SignalKind, signal};

use super::*;
use crate::{daemon::Signals, policy::action::Action};

/// A thread whose nudge hangs until it is let go: what `/proc` says of it is a pipe.
struct Hanging {
    child: Child,
    status: PathBuf,
}

impl Hanging {
    fn new(places: &Places) -> Self {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let pid = child.id().to_string();
        let status = places.proc.join(&pid).join("task").join(&pid).join("status");
        fs::create_dir_all(status.parent().expect("a directory")).expect("made");
        let made = Command::new("mkfifo").arg(&status).status().expect("mkfifo");
        assert!(made.success());
        Self { child, status }
    }

    fn nudge(&self) -> Action {
        let tid = self.child.id();
        Action::Nudge {
            core: Core::Kernel,
            patch: name("lp"),
            direction: Direction::Patching,
            key: key(tid),
            tgid: tid,
            comm: "cat".into(),
        }
    }

    /// Waits until the nudge is under way; it hangs until what is returned is dropped.
    async fn under_way(&self) -> fs::File {
        let opened = async {
            let mut to_write = fs::File::options();
            to_write.write(true).custom_flags(libc::O_NONBLOCK);
            loop {
                // ENXIO while nobody reads
                match to_write.open(&self.status) {
                    Ok(held) => return held,
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let opened = tokio::time::timeout(Duration::from_secs(10), opened).await;
        opened.expect("a nudge under way")
    }
}

/// Lets the nudge go on once the daemon ends.
async fn let_go(held: fs::File, ending: &AtomicBool) {
    let ends = async {
        while !ending.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ends)
        .await
        .expect("the end");
    drop(held);
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }
}

#[tokio::test]
async fn at_the_end_the_nudge_under_way_is_finished_and_no_other_is_begun() {
    let mut stage = Stage::new().await;
    let hanging = Hanging::new(&stage.daemon.setup.places);
    let work = &mut stage.daemon.work;
    work.start_nudges(vec![hanging.nudge(); 100]);
    let held = hanging.under_way().await;
    let ending = Arc::clone(&work.ending);
    tokio::join!(work.finish(), let_go(held, &ending));
    assert_eq!(stage.inbox.len(), 1);
}

#[tokio::test]
async fn when_the_bus_goes_the_nudge_under_way_is_finished_and_told() {
    let mut stage = Stage::new().await;
    let hanging = Hanging::new(&stage.daemon.setup.places);
    stage.daemon.work.start_nudges(vec![hanging.nudge()]);
    let held = hanging.under_way().await;
    let ending = Arc::clone(&stage.daemon.work.ending);
    stage.bus.kill();
    let mut signals = signals();
    let (ended, ()) = tokio::join!(
        stage
            .daemon
            .serve_to_end(&mut signals, &mut stage.inbox, &mut stage.called),
        let_go(held, &ending),
    );
    assert!(ended.is_err());
    assert!(stage.inbox.is_empty(), "its outcome was taken in");
}

fn signals() -> Signals {
    // any that nobody sends
    let on = |kind| signal(kind).expect("a handler");
    Signals {
        terminate: on(SignalKind::user_defined1()),
        interrupt: on(SignalKind::user_defined1()),
        hangup: on(SignalKind::user_defined2()),
    }
}
