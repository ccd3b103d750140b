// SPDX-License-Identifier: GPL-2.0-only
//! The loop itself, on a bus of its own, with a kernel that is an empty directory.

#[path = "../../tests/bus/private_bus.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests of the bus, which use all of it"
)]
mod private_bus;

use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

use self::private_bus::PrivateBus;
use super::{
    BATCH, CALLS, Daemon, Event, Setup, Signals, kept::Kept, news::News, now, service::Service, work::Slot, work::Work,
};
use crate::{
    bus::{Authorised, Authority, Bus, Call, Incoming},
    model::{
        Model,
        fact::{Fact, Outcome},
        patch::{Core, Direction, Listed, PatchListing},
        place::Places,
        request::{Reply, Request},
        task::TaskKey,
        testing::{key, name, sighting},
    },
    observe::scan::Scanner,
    policy::{action::Action, rules::Rules},
};

/// A daemon and what its loop reads from.
struct Stage {
    daemon: Daemon,
    inbox: mpsc::UnboundedReceiver<Event>,
    called: mpsc::Receiver<Call>,
    calls: mpsc::Sender<Call>,
    bus: PrivateBus,
    _root: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let private_bus = PrivateBus::open();
        let root = tempfile::tempdir().expect("tempdir");
        let places = Places {
            sys: root.path().join("sys"),
            proc: root.path().join("proc"),
            runtime: root.path().join("run"),
        };
        let (events, inbox) = mpsc::unbounded_channel();
        let (calls, called) = mpsc::channel(CALLS);
        let bus = Bus::start(
            private_bus.connect().await,
            calls.clone(),
            Authority::default(),
            "6.12".into(),
        );
        let (_, ready) = watch::channel(true);
        let scanner = Arc::new(Mutex::new(Scanner::new(places.clone())));
        let daemon = Daemon {
            model: Model::new(),
            rules: Rules::default(),
            bus: bus.await.expect("objects"),
            service: Service::new(),
            work: Work::new(&places, scanner, ready, events.clone()),
            kept: Kept::new(&places.runtime),
            modules: std::collections::BTreeMap::new(),
            news: News::default(),
            events,
            setup: Setup {
                config: root.path().join("livepatchd.toml"),
                places,
            },
        };
        Self {
            daemon,
            inbox,
            called,
            calls,
            bus: private_bus,
            _root: root,
        }
    }

    fn step(&mut self) {
        self.daemon.step(&mut self.inbox, &mut self.called);
    }

    /// A transition of `lp` that so many threads hold back.
    fn hold_back(&mut self, threads: u32) {
        let listed = Listed {
            enabled: true,
            transition: true,
            replace: Some(false),
            stack_order: None,
            functions: Vec::new(),
        };
        let (name, listed) = (name("lp"), Some(listed));
        let facts = [
            Fact::Listing {
                core: Core::Kernel,
                patches: vec![PatchListing {
                    name: name.clone(),
                    listed,
                }],
            },
            Fact::Scan {
                core: Core::Kernel,
                patch: name,
                direction: Direction::Patching,
                pending: threads_of(threads).map(|key| sighting(key.tid)).collect(),
                visited: threads,
            },
        ];
        for fact in facts {
            self.daemon.observe(now(), fact);
        }
        self.daemon.publish();
    }

    fn nudged(&self, key: TaskKey) {
        let (patch, result) = (name("lp"), Ok(()));
        let fact = Fact::Outcome(Outcome::Nudged { patch, key, result });
        let event = Event::Finished(Slot::Nudge(key), vec![fact]);
        self.daemon.events.send(event).expect("taken");
    }

    /// Waits until the forced write is over; whether it was taken.
    async fn outcome_of(&mut self, write: &Slot) -> bool {
        let over = async {
            loop {
                match self.inbox.recv().await.expect("events") {
                    Event::Finished(slot, facts) if slot == *write => return facts,
                    _ => {}
                }
            }
        };
        let facts = tokio::time::timeout(Duration::from_secs(10), over)
            .await
            .expect("it ends");
        matches!(facts[..], [Fact::Outcome(Outcome::Forced { result: Ok(()), .. })])
    }

    /// Lets the loop turn until a listing asked for again has come, with so many patches.
    async fn inbox_until_listed(&mut self, patches: usize) {
        let listed = async {
            loop {
                self.daemon.decide();
                let event = self.inbox.recv().await.expect("events");
                let over = matches!(event, Event::Finished(Slot::List(Core::Kernel), _));
                self.daemon.take(now(), event);
                if over && self.daemon.model.patches().count() == patches {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), listed)
            .await
            .expect("a listing");
    }

    fn ask(&self) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        let incoming = Incoming::Nudge {
            patch: name("none"),
            by: Authorised::invented(),
        };
        self.calls.try_send(Call { incoming, reply }).expect("taken");
        answer
    }
}

fn threads_of(count: u32) -> impl Iterator<Item = TaskKey> {
    (1000..1000 + count).map(key)
}

#[tokio::test]
async fn ten_thousand_outcomes_copy_what_readers_see_a_few_times() {
    let outcomes = 10_000;
    let mut stage = Stage::new().await;
    stage.hold_back(50);
    let blockers: Vec<_> = threads_of(50).collect();
    for number in 0..outcomes {
        stage.nudged(blockers[number % blockers.len()]);
    }
    let (before, mut steps) = (stage.daemon.news.copies, 0);
    while !stage.inbox.is_empty() {
        stage.step();
        steps += 1;
    }
    assert_eq!(steps, outcomes.div_ceil(BATCH));
    let copies = stage.daemon.news.copies - before;
    assert!(copies > 0 && copies as usize <= steps, "{copies} copies");
    let nudges = stage
        .daemon
        .model
        .transitions()
        .next()
        .map(|(_, t)| t.blockers[&blockers[0]].nudges);
    assert_eq!(nudges, Some(200), "each outcome counts all the same");
}

#[tokio::test]
async fn an_inbox_that_is_always_full_starves_neither_callers_nor_the_watchdog() {
    let mut stage = Stage::new().await;
    stage.hold_back(1);
    // due at once, and then not for an hour
    stage.daemon.service = Service::watched(Duration::from_secs(3600));
    for _ in 0..3 * BATCH {
        stage.nudged(key(1000));
    }
    let mut answer = stage.ask();
    assert!(stage.daemon.service.is_hungry());
    stage.step();
    assert!(!stage.daemon.service.is_hungry());
    assert!(!stage.inbox.is_empty(), "there is more to take in");
    assert!(answer.try_recv().expect("an answer").is_err(), "there is no such patch");
}

#[tokio::test]
async fn a_force_is_written_down_before_it_is_begun_and_not_begun_otherwise() {
    for writable in [true, false] {
        let mut stage = Stage::new().await;
        let places = stage.daemon.setup.places.clone();
        let force = places.patch(Core::Kernel, &name("lp")).join("force");
        fs::create_dir_all(force.parent().expect("a directory")).expect("made");
        fs::write(&force, "").expect("made");
        stage.hold_back(1);
        if !writable {
            fs::remove_dir_all(&places.runtime).expect("removed");
            fs::write(&places.runtime, "a file where the directory should be").expect("made");
        }
        let asked = stage.daemon.model.request(now(), Request::Force { patch: name("lp") });
        assert!(asked.0.is_ok());
        stage.daemon.decide();
        // the tasks that do the work have not had their turn
        assert_eq!(fs::read(&force).expect("there"), b"");
        assert_eq!(
            Kept::new(&places.runtime).lasting().forcing.len(),
            usize::from(writable)
        );
        let write = Slot::Write(Core::Kernel);
        let outcome = stage.outcome_of(&write).await;
        assert_eq!(fs::read(&force).expect("there"), if writable { &b"1"[..] } else { b"" });
        assert_eq!(outcome, writable);
    }
}

#[tokio::test]
async fn a_listing_that_fails_is_asked_for_again() {
    let mut stage = Stage::new().await;
    let core = stage.daemon.setup.places.core(Core::Kernel);
    fs::create_dir_all(core.join("lp")).expect("made");
    let enabled = core.join("lp/enabled");
    fs::write(&enabled, "no number").expect("made");
    stage.daemon.begin();
    stage.inbox_until_listed(0).await;
    assert_eq!(stage.daemon.model.cores().count(), 0);
    fs::write(&enabled, "1\n").expect("made");
    fs::write(core.join("lp/transition"), "0\n").expect("made");
    stage.inbox_until_listed(1).await;
    assert!(stage.daemon.model.patch(&name("lp")).is_some());
}

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
            patch: name("lp"),
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
