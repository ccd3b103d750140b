// SPDX-License-Identifier: GPL-2.0-only
//! Real signals to real processes of this machine. Their parent watches with waitid what they were told.
//!
//! This machine's kernel has no live patching: what is made by hand is the patch state, in a /proc that otherwise leads to
//! the real one.

mod dying;
mod recovering;
mod refused;
mod refusing;

use std::{
    fs,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use super::{Aim, NotNudged, Nudger, Recovered, recover};
use crate::{
    act::{
        fault::Step,
        nudge_record::{self, Open, Phase},
        target::{Target, testing::open_by_ids},
    },
    model::{
        patch::{Core, Direction},
        place::Places,
        proc_text::{Stat, Status},
        task::{Recovery, TaskKey},
    },
};

struct Runtime {
    _dir: TempDir,
    places: Places,
}

impl Runtime {
    fn new() -> Self {
        let dir = TempDir::new().expect("tempdir");
        let places = Places::system(Some(dir.path().join("run")));
        Self { _dir: dir, places }
    }

    /// A nudger that sees this process's first thread pending while it is patched.
    fn nudger(&self, sleeper: &Sleeper) -> Nudger {
        Nudger::new(&self.showing(sleeper.pid(), sleeper.pid(), "0\n"))
    }

    /// Places where this thread has this patch state.
    fn showing(&self, tgid: u32, tid: u32, patch_state: &str) -> Places {
        let proc = self.places.runtime.with_file_name("proc");
        let (process, thread) = (format!("{tgid}"), format!("{tgid}/task/{tid}"));
        fs::create_dir_all(proc.join(&thread)).expect("mkdir");
        fs::write(proc.join(&thread).join("patch_state"), patch_state).expect("write");
        let files = ["stat", "status", "cgroup"].map(|file| format!("{thread}/{file}"));
        for same in [format!("{process}/stat"), "sys".to_owned()].iter().chain(&files) {
            let (real, here) = (Path::new("/proc").join(same), proc.join(same));
            // there may be one of an earlier call
            let _ = fs::remove_file(&here);
            std::os::unix::fs::symlink(real, here).expect("symlink");
        }
        Places {
            proc,
            ..self.places.clone()
        }
    }

    fn records(&self) -> usize {
        fs::read_dir(&self.places.runtime).map_or(0, Iterator::count)
    }

    fn record(&self, sleeper: &Sleeper, phase: Phase) {
        let boot = nudge_record::boot_id(Path::new("/proc"));
        let record = Open::create(&self.places, &boot, sleeper.key(), sleeper.pid(), "cat").expect("record");
        record.set(phase).expect("record");
    }
}

/// `cat` in a read from a pipe.
struct Sleeper {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Sleeper {
    fn new() -> Self {
        Self::started(&mut Command::new("cat"))
    }

    fn started(cat: &mut Command) -> Self {
        let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = cat.spawn().expect("cat; as another user only root may start it");
        let stdin = child.stdin.take();
        let sleeper = Self { child, stdin };
        // until it has executed and sleeps in its read
        sleeper.wait_for("asleep in its read", |stat| stat.state == b'S' && stat.comm == "cat");
        sleeper
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn raw(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn stat(&self) -> Stat {
        let text = fs::read(format!("/proc/{}/stat", self.pid())).expect("alive");
        Stat::parse(&text).expect("stat")
    }

    fn key(&self) -> TaskKey {
        TaskKey {
            tid: self.pid(),
            start_ticks: self.stat().start_ticks,
        }
    }

    fn aim(&self) -> Aim<'static> {
        aim(self.key(), self.pid())
    }

    fn wait_for(&self, what: &str, is: impl Fn(&Stat) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !is(&self.stat()) {
            assert!(Instant::now() < end, "never {what}: {:?}", self.stat());
            sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.raw(), signal).expect("signal");
    }

    fn stop(&self) {
        self.signal(Signal::STOP);
        self.wait_for("stopped", |stat| stat.state == b'T');
    }

    fn is_stopped(&self) -> bool {
        self.stat().state == b'T'
    }

    fn switches(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("alive");
        let line = text.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("a count").trim().parse().expect("a number")
    }

    /// What its parent, we, could learn of a stop that lasts.
    fn stop_was_reported(&self) -> bool {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        waitid(WaitId::Pid(self.raw()), options).expect("waitid").is_some()
    }

    /// Its read goes on: what we write comes out, and it ends as it always does.
    fn works(mut self) {
        use std::io::{Read, Write};
        self.stdin.take().expect("stdin").write_all(b"hello").expect("write");
        let mut out = String::new();
        self.child
            .stdout
            .take()
            .expect("stdout")
            .read_to_string(&mut out)
            .expect("read");
        assert_eq!(out, "hello");
        assert!(self.child.wait().expect("wait").success());
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn aim(key: TaskKey, tgid: u32) -> Aim<'static> {
    Aim {
        core: Core::Kernel,
        direction: Direction::Patching,
        key,
        tgid,
        comm: "cat",
    }
}

#[test]
fn a_nudged_reader_wakes_and_reads_on() {
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    let nudger = runtime.nudger(&sleeper);
    for _ in 0..50 {
        let before = sleeper.switches();
        nudger.nudge(sleeper.aim()).expect("nudged");
        sleeper.wait_for("asleep again", |stat| stat.state == b'S');
        let end = Instant::now() + Duration::from_secs(5);
        while sleeper.switches() == before {
            assert!(Instant::now() < end, "it was not woken");
            sleep(Duration::from_millis(1));
        }
        assert!(!sleeper.stop_was_reported());
        sleeper.wait_for("asleep again", |stat| stat.state == b'S');
    }
    assert_eq!(runtime.records(), 0);
    sleeper.works();
}

#[test]
fn without_a_thread_pidfd_the_ids_reach_the_same_thread() {
    let sleeper = Sleeper::new();
    let target = open_by_ids(Path::new("/proc"), sleeper.key(), sleeper.pid()).expect("alive");
    let before = sleeper.switches();
    super::stop_and_continue(&target).expect("sent");
    let end = Instant::now() + Duration::from_secs(5);
    while sleeper.switches() == before {
        assert!(Instant::now() < end, "it was not woken");
        sleep(Duration::from_millis(1));
    }
    target.send(Signal::STOP).expect("sent");
    sleeper.wait_for("stopped", |stat| stat.state == b'T');
    target.send(Signal::CONT).expect("sent");
    sleeper.works();
}

#[test]
fn only_the_thread_meant_is_woken() {
    // threads of this test process would be refused as the daemon's own: let another process have them
    let Ok(mut child) = Command::new("python3")
        .args([
            "-c",
            "import threading,time\nfor _ in range(4): threading.Thread(target=time.sleep,args=(60,)).start()",
        ])
        .spawn()
    else {
        panic!("this test needs python3");
    };
    let pid = child.id();
    let tasks = |pid: u32| -> Vec<u32> {
        let dir = fs::read_dir(format!("/proc/{pid}/task")).expect("alive");
        dir.flatten()
            .map(|e| e.file_name().to_string_lossy().parse().expect("a tid"))
            .collect()
    };
    let count = |tid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).expect("alive");
        let line = text.lines().find(|l| l.starts_with("voluntary_ctxt")).expect("a count");
        line.split_whitespace().last().expect("a word").to_owned()
    };
    let end = Instant::now() + Duration::from_secs(20);
    while tasks(pid).len() < 5 {
        assert!(Instant::now() < end, "no threads");
        sleep(Duration::from_millis(5));
    }
    sleep(Duration::from_millis(300));
    let others: Vec<u32> = tasks(pid).into_iter().filter(|tid| *tid != pid).collect();
    let (meant, rest) = others.split_first().expect("threads");
    let stat = fs::read(format!("/proc/{pid}/task/{meant}/stat")).expect("alive");
    let key = TaskKey {
        tid: *meant,
        start_ticks: Stat::parse(&stat).expect("stat").start_ticks,
    };
    let counts = || rest.iter().map(|tid| count(*tid)).collect::<Vec<_>>();
    let runtime = Runtime::new();
    let nudger = Nudger::new(&runtime.showing(pid, *meant, "0"));
    let (mut woken, mut disturbed) = (0, 0);
    for _ in 0..100 {
        let (before, meant_before) = (counts(), count(*meant));
        nudger.nudge(aim(key, pid)).expect("nudged");
        let end = Instant::now() + Duration::from_secs(5);
        while count(*meant) == meant_before && Instant::now() < end {
            sleep(Duration::from_millis(2));
        }
        sleep(Duration::from_millis(2));
        woken += u32::from(count(*meant) != meant_before);
        disturbed += u32::from(counts() != before);
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert_eq!(woken, 100, "the thread meant was not woken");
    // the thread can be quicker than the second signal; without the priority it is so half the time
    assert!(disturbed <= 5, "other threads were woken {disturbed} times of 100");
}

#[test]
fn another_identity_is_refused() {
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    let nudger = runtime.nudger(&sleeper);
    let key = sleeper.key();
    let older = TaskKey {
        start_ticks: key.start_ticks - 1,
        ..key
    };
    assert_eq!(nudger.nudge(aim(older, sleeper.pid())), Err(NotNudged::Gone));
    assert_eq!(nudger.nudge(aim(key, sleeper.pid() + 1)), Err(NotNudged::Gone));
    let pid = sleeper.pid();
    drop(sleeper);
    assert_eq!(nudger.nudge(aim(key, pid)), Err(NotNudged::Gone));
    assert_eq!(runtime.records(), 0);
}

#[test]
fn what_must_never_be_nudged_is_refused() {
    let runtime = Runtime::new();
    let nudger = Nudger::new(&runtime.places);
    let own = std::process::id();
    let key = |tid| TaskKey { tid, start_ticks: 0 };
    for (tid, tgid) in [(0, 0), (1, 1), (5, 1), (own, own), (own + 1, own)] {
        let refused = nudger.nudge(aim(key(tid), tgid)).expect_err("refused");
        assert!(matches!(refused, NotNudged::Never(_)), "{tid}: {refused}");
    }
    // kthreadd is always there; in a container it is not to be seen
    let stat = fs::read("/proc/2/stat").expect("this test needs the initial pid namespace");
    let stat = Stat::parse(&stat).expect("stat");
    let kthread = TaskKey {
        tid: 2,
        start_ticks: stat.start_ticks,
    };
    let refused = nudger.nudge(aim(kthread, 2)).expect_err("refused");
    assert_eq!(refused.to_string(), "it is a kernel thread");
    assert_eq!(runtime.records(), 0);
}

#[test]
fn a_task_that_somebody_else_stopped_stays_stopped() {
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    let nudger = runtime.nudger(&sleeper);
    sleeper.stop();
    let refused = nudger.nudge(sleeper.aim()).expect_err("refused");
    assert!(matches!(refused, NotNudged::NotNow(_)), "{refused}");
    assert!(sleeper.is_stopped());
    assert_eq!(runtime.records(), 0);
    sleeper.signal(Signal::CONT);
    sleeper.works();
}

#[test]
fn a_traced_task_is_left_alone() {
    let sleeper = Sleeper::new();
    let Ok(mut tracer) = Command::new("python3")
        .args([
            "-c",
            "import ctypes,sys,time\nptrace=ctypes.CDLL(None).ptrace\nprint(ptrace(0x4206,int(sys.argv[1]),0,0),flush=True)\ntime.sleep(60)",
            &sleeper.pid().to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()
    else {
        panic!("this test needs python3");
    };
    let mut line = String::new();
    let stdout = tracer.stdout.take().expect("stdout");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("read");
    assert_eq!(line.trim(), "0", "PTRACE_SEIZE");
    let runtime = Runtime::new();
    let refused = runtime.nudger(&sleeper).nudge(sleeper.aim()).expect_err("refused");
    tracer.kill().expect("kill");
    tracer.wait().expect("wait");
    assert_eq!(refused, NotNudged::NotNow("it is traced"));
    sleeper.works();
}

#[test]
fn without_a_record_nothing_is_sent() {
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    // a file where the directory should be
    fs::write(&runtime.places.runtime, "").expect("write");
    let before = sleeper.switches();
    let refused = runtime.nudger(&sleeper).nudge(sleeper.aim()).expect_err("refused");
    assert!(matches!(refused, NotNudged::NoRecord(_)), "{refused}");
    sleep(Duration::from_millis(50));
    assert_eq!(sleeper.switches(), before);
}

#[test]
fn threads_that_nudge_at_once_do_not_mistake_each_other_for_strangers() {
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    let nudger = runtime.nudger(&sleeper);
    let (key, pid) = (sleeper.key(), sleeper.pid());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    match nudger.nudge(aim(key, pid)) {
                        Ok(()) | Err(NotNudged::NotNow("it is no longer asleep")) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    sleeper.works();
}
