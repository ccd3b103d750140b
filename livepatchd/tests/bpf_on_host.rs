// SPDX-License-Identifier: GPL-2.0-only
//! Loads the BPF programs into the kernel of this machine and asks them about real tasks.
//!
//! They speak for the real kernel, whatever it is; transitions need live patching and are seen in the VM. They need
//! root and fail without: a check that could not run has not passed.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    fs,
    io::{PipeWriter, Read as _, pipe},
    process,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use livepatchd::{
    model::{
        patch::Direction,
        task::{Scheduling, TaskClass},
    },
    observe::bpf::{
        load::{BpfSource, load},
        ranges::Ranges,
        scan::{Question, ScanError, Scanner, StatesIn},
        task::Task,
    },
};

fn source() -> BpfSource {
    assert!(
        rustix::process::geteuid().is_root(),
        "these tests need root: run them with sudo"
    );
    load().expect("the BPF programs load")
}

fn scanner() -> Scanner {
    source().scanner.expect("the task iterator loads")
}

/// The address range of a function of the kernel: up to the next symbol.
fn function(name: &str) -> (u64, u64) {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap();
    let mut text: Vec<(u64, &str)> = symbols
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            matches!(words.next()?, "t" | "T" | "w" | "W").then_some((address, words.next()?))
        })
        .collect();
    text.sort_unstable();
    let start = text.iter().find(|(_, other)| *other == name).expect("a symbol").0;
    let end = text
        .iter()
        .find(|(address, _)| *address > start)
        .expect("a next symbol")
        .0;
    (start, end)
}

/// A thread of this process, asleep in a read of an empty pipe.
struct Sleeper {
    tid: u32,
    wake: Option<PipeWriter>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Sleeper {
    fn new(name: &str) -> Self {
        let (mut read, write) = pipe().unwrap();
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                tell.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
                let _ = read.read(&mut [0]);
            })
            .unwrap();
        let tid = u32::try_from(told.recv().unwrap()).unwrap();
        let sleeper = Self {
            tid,
            wake: Some(write),
            thread: Some(thread),
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while sleeper.stat(3) != "S" {
            assert!(Instant::now() < deadline, "it does not sleep");
            thread::yield_now();
        }
        sleeper
    }

    /// A field of `/proc/TID/stat`, by the number that proc(5) gives it.
    fn stat(&self, field: usize) -> String {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", self.tid)).unwrap();
        let after_comm = stat.rsplit(") ").next().unwrap();
        after_comm.split_whitespace().nth(field - 3).unwrap().to_owned()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.wake.take();
        self.thread.take().map(thread::JoinHandle::join);
    }
}

fn pipe_readers(scanner: &mut Scanner) -> (Vec<Task>, Ranges) {
    // its name differs: pipe_read before 6.16, anon_pipe_read since; vfs_read is on both stacks
    let ranges = Ranges::new([function("vfs_read")]);
    let pass = scanner.pass(Question::SleepingIn(&ranges)).unwrap();
    (pass.tasks, ranges)
}

#[test]
fn a_thread_asleep_in_a_function_is_found_with_all_that_is_known_of_it() {
    let sleeper = Sleeper::new("bpf sleeper");
    let (tasks, ranges) = pipe_readers(&mut scanner());
    let task = tasks
        .iter()
        .find(|task| task.key().tid == sleeper.tid)
        .expect("the sleeper");

    assert_eq!(task.tgid(), process::id());
    assert_eq!(task.comm(), "bpf sleeper");
    assert_eq!(
        task.key().start_ticks.to_string(),
        sleeper.stat(22),
        "field 22 of /proc/TID/stat"
    );
    assert_eq!(task.class(), TaskClass::User);
    assert_eq!(task.scheduling(), Scheduling::Interruptible);
    assert!(!task.stop_pending() && !task.traced() && !task.frozen());
    assert_eq!(task.uid(), Some(rustix::process::getuid().as_raw()));
    assert!(task.cgroup().is_some());
    let stack = task.stack().unwrap();
    assert!(
        stack.len() > 3 && stack.iter().any(|address| ranges.contains(*address)),
        "{stack:x?}"
    );
}

#[test]
fn only_tasks_that_sleep_in_the_function_are_emitted() {
    let _sleeper = Sleeper::new("bpf sleeper");
    let mut scanner = scanner();
    let (tasks, ranges) = pipe_readers(&mut scanner);
    for task in &tasks {
        let stack = task.stack().unwrap();
        assert!(
            stack.iter().any(|address| ranges.contains(*address)),
            "{:?}: {stack:x?}",
            task.comm()
        );
    }
    let nowhere = Ranges::new([function("panic")]);
    let pass = scanner.pass(Question::SleepingIn(&nowhere)).unwrap();
    assert_eq!(pass.tasks, []);
    assert!(pass.visited > 10);
}

#[test]
fn every_thread_is_visited_and_hundreds_of_records_come_whole() {
    // more than the kernel's buffer of 32 KiB holds
    let sleepers: Vec<Sleeper> = (0..400).map(|n| Sleeper::new(&format!("bpf {n}"))).collect();
    let mut scanner = scanner();
    let before = threads();
    let (tasks, _) = pipe_readers(&mut scanner);
    for sleeper in &sleepers {
        let seen = tasks.iter().filter(|task| task.key().tid == sleeper.tid).count();
        assert_eq!(seen, 1, "{}", sleeper.tid);
    }
    let pass = scanner.pass(Question::SleepingIn(&Ranges::default())).unwrap();
    let (least, most) = (before.min(threads()), before.max(threads()));
    // threads of others come and go meanwhile
    assert!(
        pass.visited + 50 > least && pass.visited < most + 50,
        "{} of {least}..{most}",
        pass.visited
    );
}

fn threads() -> u64 {
    // the fourth word of /proc/loadavg: runnable/total
    let loadavg = fs::read_to_string("/proc/loadavg").unwrap();
    loadavg.split(['/', ' ']).nth(4).unwrap().parse().unwrap()
}

#[test]
fn a_kernel_without_live_patching_says_so_and_one_with_it_has_nobody_pending() {
    let source = source();
    let mut scanner = source.scanner.unwrap();
    let answer = scanner.pass(Question::Pending(Direction::Patching, StatesIn::Tasks));
    if scanner.has_patch_state() {
        assert_eq!(answer.unwrap().tasks, []);
        assert!(source.events.is_some());
    } else {
        assert!(matches!(answer, Err(ScanError::NoPatchState)));
        assert!(source.events.is_some_and(|events| !events.follows_kernel()));
        let words: Vec<String> = source.lost_knowledge.iter().map(ToString::to_string).collect();
        assert!(
            words.iter().any(|words| words.contains("CONFIG_LIVEPATCH")),
            "{words:?}"
        );
    }
}
