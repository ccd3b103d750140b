// SPDX-License-Identifier: GPL-2.0-only
//! A daemon that cannot start still finishes the nudge that its predecessor was killed in. Real processes, no root, no bus.
#![allow(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A process stopped in the middle of a nudge, and the runtime directory with the record of it.
struct CutShort {
    runtime: TempDir,
    child: Child,
}

impl CutShort {
    fn new() -> Self {
        let runtime = tempfile::tempdir().expect("tempdir");
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let this = Self { runtime, child };
        this.wait_for('S');
        kill_process(Pid::from_child(&this.child), Signal::STOP).expect("stopped");
        this.wait_for('T');
        let stat = this.stat();
        // act/nudge_record.rs: S is for "the signals are on their way"
        let (pid, start) = (this.child.id(), stat.split(' ').nth(19).expect("a start time"));
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
        let record = format!("S {pid} {start} {pid} {} cat\n", boot.trim());
        fs::write(this.record(), record).expect("written");
        this
    }

    fn record(&self) -> std::path::PathBuf {
        self.runtime.path().join(format!("nudge-{}", self.child.id()))
    }

    /// `/proc/PID/stat` from the state on.
    fn stat(&self) -> String {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("alive");
        text.rsplit_once(") ").expect("a name").1.to_owned()
    }

    fn wait_for(&self, state: char) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.stat().starts_with(state) {
            assert!(Instant::now() < end, "never {state}: {}", self.stat());
            sleep(Duration::from_millis(1));
        }
    }

    /// Runs livepatchd until it ends.
    fn livepatchd(&self, arguments: &[&str], config: &Path) -> ExitStatus {
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_livepatchd"))
            .arg("--config")
            .arg(config)
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.runtime.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .stderr(Stdio::null())
            .spawn()
            .expect("livepatchd");
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = daemon.try_wait().expect("its end") {
                return status;
            }
            if Instant::now() > end {
                daemon.kill().expect("killed");
                panic!("livepatchd does not end");
            }
            sleep(Duration::from_millis(5));
        }
    }

    fn assert_finished(&self) {
        self.wait_for('S');
        assert!(!self.record().exists());
    }
}

impl Drop for CutShort {
    fn drop(&mut self) {
        // it may be gone already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_configuration_that_cannot_be_read_leaves_nobody_stopped() {
    let cut = CutShort::new();
    let config = cut.runtime.path().join("livepatchd.toml");
    fs::write(&config, "tiemout = \"75s\"\n").expect("written");
    assert!(!cut.livepatchd(&[], &config).success());
    cut.assert_finished();
}

#[test]
fn a_bus_that_is_away_leaves_nobody_stopped() {
    let cut = CutShort::new();
    assert!(!cut.livepatchd(&[], Path::new("/nonexistent")).success());
    cut.assert_finished();
}

#[test]
fn recovery_alone_needs_neither_configuration_nor_bus_and_succeeds() {
    let cut = CutShort::new();
    let config = cut.runtime.path().join("livepatchd.toml");
    fs::write(&config, "tiemout = \"75s\"\n").expect("written");
    assert!(cut.livepatchd(&["--recover"], &config).success());
    cut.assert_finished();
    assert!(
        cut.livepatchd(&["--recover"], &config).success(),
        "nothing to do is fine"
    );
}

#[test]
fn the_service_recovers_after_every_end_of_the_daemon() {
    let unit = include_str!("../../systemd/livepatchd.service");
    assert!(
        unit.lines()
            .any(|line| line == "ExecStopPost=/usr/libexec/livepatchd --recover")
    );
    assert!(
        unit.lines().any(|line| line == "RuntimeDirectoryPreserve=yes"),
        "the records are kept until then"
    );
}
