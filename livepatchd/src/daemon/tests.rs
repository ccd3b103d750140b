// SPDX-License-Identifier: GPL-2.0-only
//! The loop itself, on a bus of its own, with a kernel that is an empty directory.

#[path = "../../tests/bus/private_bus.rs"]
#[expect(dead_code, reason = "shared with the tests of the bus, which use all of it")]
mod private_bus;

mod ending;

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use self::private_bus::PrivateBus;
use super::{
    BATCH, CALLS, Daemon, Event, Setup, kept::Kept, news::News, now, service::Service, work::Slot, work::Work,
};
use crate::{
    bus::{Authorised, Authority, Bus, Call, Incoming},
    model::{
        Model,
        fact::{Fact, Outcome},
        patch::{Core, Direction, Listed, PatchListing},
        place::Places,
        request::{Answer, Reply, Request},
        task::TaskKey,
        testing::{key, name, sighting},
    },
    observe::scan::Scanner,
    policy::rules::Rules,
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
            starting: None,
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
        let patches = vec![PatchListing {
            name: name("lp"),
            listed: Some(listed),
        }];
        let core = Core::Kernel;
        self.daemon.observe(now(), Fact::Listing { core, patches });
        self.looked(threads);
    }

    /// A look at the tasks that found these threads.
    fn looked(&mut self, threads: u32) {
        let scan = Fact::Scan {
            core: Core::Kernel,
            patch: name("lp"),
            direction: Direction::Patching,
            pending: threads_of(threads).map(|key| sighting(key.tid)).collect(),
            total: threads,
        };
        self.daemon.observe(now(), scan);
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
        .map(|(_, t)| t.blockers[&blockers[0]].nudges.sent);
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
        // it is not forced before it is known over whom
        stage.looked(1);
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

#[tokio::test]
async fn the_record_of_a_job_outlives_its_end_until_everybody_was_told() {
    let mut stage = Stage::new().await;
    stage.hold_back(1);
    let runtime = stage.daemon.setup.places.runtime.clone();
    let (reply, changes) = stage.daemon.model.request(now(), Request::Force { patch: name("lp") });
    let Ok(Answer::Job(id)) = reply else {
        panic!("no job: {reply:?}");
    };
    stage.daemon.tell(changes);
    stage.daemon.publish();
    assert_eq!(Kept::new(&runtime).lasting().last_job, id.0);
    // the transition ends by itself, and the job with it
    let gone = Fact::CoreGone(Core::Kernel);
    stage.daemon.observe(now(), gone);
    stage.daemon.publish();
    let written = Kept::new(&runtime).jobs();
    assert!(written[0].id == id && written[0].result.is_some(), "{written:?}");
    let told = async {
        loop {
            let event = stage.inbox.recv().await.expect("events");
            let over = matches!(event, Event::Told(_));
            stage.daemon.take(now(), event);
            if over {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told)
        .await
        .expect("it is told");
    assert!(Kept::new(&runtime).jobs().is_empty());
}
