// SPDX-License-Identifier: GPL-2.0-only
//! Everything that tells of changes by itself: BPF events, the kernel's log, uevents. One task each, asleep until
//! something happens; each sends facts to the loop.
//!
//! What cannot be watched is said once, in the `Degraded` list, and the daemon works on with the rest.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::sleep,
};

use super::{Event, backoff::Backoff};
use crate::{
    model::{fact::Fact, patch::Core, place::Places},
    observe::{bpf, kmsg, procfs, scan::Scanner, uevent},
};

/// Time for the module of a core to start.
const CORE_STARTS: Duration = Duration::from_secs(1);

/// The sources, started.
pub(super) struct Sources {
    scanner: Arc<Mutex<Scanner>>,
    ready: watch::Receiver<bool>,
}

/// Where knowledge comes from; its order is that of the `Degraded` list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Bpf,
    KernelLog,
    Uevents,
}

/// What cannot be known, and the loop that is told.
#[derive(Clone)]
struct Reporter {
    events: mpsc::UnboundedSender<Event>,
    lost: Arc<Mutex<BTreeMap<Source, Vec<String>>>>,
}

impl Reporter {
    fn fact(&self, fact: Fact) {
        // the loop is gone only when the daemon ends
        let _ = self.events.send(Event::Fact(fact));
    }

    /// What this source does not tell now; replaces what was said of it before.
    fn degrade(&self, source: Source, sentences: impl IntoIterator<Item = String>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.insert(source, sentences.into_iter().collect());
        self.fact(Fact::Degraded(lost.values().flatten().cloned().collect()));
    }

    /// Everything may have changed: some event was lost, or may have been before there was anyone to hear it.
    fn stir_all(&self) {
        for core in Core::ALL {
            self.fact(Fact::Stirred(core));
        }
    }
}

impl Sources {
    /// Starts all of them, the BPF programs once `started` is told or dropped. They take a while to load: [`Sources::ready`]
    /// tells when they are there, or never will.
    pub(super) fn start(
        places: &Places,
        events: &mpsc::UnboundedSender<Event>,
        started: oneshot::Receiver<()>,
    ) -> Self {
        let scanner = Arc::new(Mutex::new(Scanner::new(places.clone())));
        let reporter = Reporter {
            events: events.clone(),
            lost: Arc::default(),
        };
        let (is_ready, ready) = watch::channel(false);
        let bpf_tells = Arc::new(AtomicBool::new(false));
        let bpf = follow_bpf(
            reporter.clone(),
            places.clone(),
            Arc::clone(&scanner),
            is_ready,
            Arc::clone(&bpf_tells),
        );
        tokio::spawn(async move {
            let _ = started.await;
            bpf.await;
        });
        tokio::spawn(follow_log(reporter.clone(), bpf_tells));
        tokio::spawn(follow_uevents(reporter));
        Self { scanner, ready }
    }

    /// Looks for pending tasks by the best means there are.
    pub(super) fn scanner(&self) -> Arc<Mutex<Scanner>> {
        Arc::clone(&self.scanner)
    }

    /// True once BPF events come, or it is certain that none will.
    pub(super) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }
}

/// Loads the BPF programs and follows their events. `bpf_tells` is true while they tell of the kernel's transitions.
async fn follow_bpf(
    reporter: Reporter,
    places: Places,
    scanner: Arc<Mutex<Scanner>>,
    is_ready: watch::Sender<bool>,
    bpf_tells: Arc<AtomicBool>,
) {
    let events = match spawn_blocking(bpf::load::load).await {
        Ok(Ok(source)) => {
            let lost = source.lost_knowledge.iter().map(ToString::to_string);
            reporter.degrade(Source::Bpf, lost);
            if let Some(by_bpf) = source.scanner {
                let mut scanner = scanner.lock().unwrap_or_else(PoisonError::into_inner);
                scanner.use_bpf(by_bpf);
            }
            if let Some(log) = source.log {
                tokio::spawn(log.forward());
            }
            let follows_kernel = source
                .events
                .as_ref()
                .is_some_and(bpf::events::EventRing::follows_kernel);
            bpf_tells.store(follows_kernel, Ordering::Relaxed);
            source.events.map(bpf::events::EventRing::listen).transpose()
        }
        Ok(Err(why)) => {
            let instead = "pending tasks come from /proc, transitions from the kernel's log";
            let nor_proc = procfs::can_scan(&places, Core::Kernel).err();
            reporter.degrade(Source::Bpf, [format!("{why}; {instead}")].into_iter().chain(nor_proc));
            Ok(None)
        }
        Err(panic) => {
            reporter.degrade(Source::Bpf, [format!("BPF programs could not be loaded: {panic}")]);
            Ok(None)
        }
    };
    let events = events.unwrap_or_else(|why| {
        bpf_tells.store(false, Ordering::Relaxed);
        reporter.degrade(Source::Bpf, [format!("BPF events cannot be waited for: {why}")]);
        None
    });
    is_ready.send_replace(true);
    // a transition may have begun meanwhile, and a round before all programs were there
    reporter.fact(Fact::EventsLost);
    let Some(mut events) = events else { return };
    tracing::info!("following transitions by BPF");
    loop {
        match events.next().await {
            Ok(batch) => {
                // before what came, too: a scan may be decided in between
                if batch.lost > 0 {
                    reporter.fact(Fact::EventsLost);
                }
                for fact in batch.facts {
                    reporter.fact(fact);
                }
                if batch.lost > 0 {
                    tracing::debug!(
                        "{} BPF events were lost; what they told is read from sysfs and stacks",
                        batch.lost
                    );
                    reporter.fact(Fact::EventsLost);
                }
            }
            Err(why) => {
                bpf_tells.store(false, Ordering::Relaxed);
                reporter.degrade(Source::Bpf, [format!("BPF events cannot be read any more: {why}")]);
                return reporter.fact(Fact::EventsLost);
            }
        }
    }
}

/// Follows the kernel's log. Its lines stand in for events only where BPF gives none: they come later. BPF follows `klp_rs`
/// only from when it is seen to have a patch, so its first words are here.
async fn follow_log(reporter: Reporter, bpf_tells: Arc<AtomicBool>) {
    let mut stream = Reopened::new(reporter.clone(), Source::KernelLog, "the kernel's log cannot be read");
    loop {
        let mut log = stream.open(|| kmsg::Stream::open(&kmsg::path())).await;
        let why = loop {
            match log.next().await {
                Ok(kmsg::Entry::Line(line)) => {
                    let Some(message) = kmsg::message(&line.text) else {
                        continue;
                    };
                    let told = message.core == Core::Kernel && bpf_tells.load(Ordering::Relaxed);
                    let event = message.event.filter(|_| !told);
                    if let Some(event) = event {
                        let core = message.core;
                        reporter.fact(Fact::Transition { core, event });
                    }
                    reporter.fact(Fact::Stirred(message.core));
                }
                Ok(kmsg::Entry::Lost) => reporter.stir_all(),
                Err(why) => break why,
            }
            stream.works();
        };
        stream.failed(&why).await;
    }
}

/// Follows modules that come and go, and what cores announce.
async fn follow_uevents(reporter: Reporter) {
    let without = "modules that come and go are not announced (kernel uevents)";
    let mut stream = Reopened::new(reporter.clone(), Source::Uevents, without);
    loop {
        let mut uevents = stream.open(uevent::Stream::open).await;
        let why = loop {
            match uevents.next().await {
                Ok(event) => heed(&reporter, &event),
                Err(why) => break why,
            }
            stream.works();
        };
        stream.failed(&why).await;
    }
}

/// What a uevent is a reason to look at.
fn heed(reporter: &Reporter, event: &uevent::Uevent) {
    match event {
        uevent::Uevent::Core(core) => reporter.fact(Fact::Stirred(*core)),
        uevent::Uevent::Lost => reporter.stir_all(),
        // any module may be a patch, or a core: also one that is not there any more
        uevent::Uevent::Module { name, added } => {
            reporter.stir_all();
            if *added && Core::ALL.into_iter().any(|core| core.as_str() == name) {
                // a module comes before its code has run, and a core announces nothing before its first patch
                let reporter = reporter.clone();
                tokio::spawn(async move {
                    sleep(CORE_STARTS).await;
                    reporter.stir_all();
                });
            }
        }
    }
}

/// A stream that is opened again whenever it fails, and missed only while it is down.
struct Reopened {
    reporter: Reporter,
    source: Source,
    /// What is not known without it.
    without: &'static str,
    backoff: Backoff,
}

impl Reopened {
    fn new(reporter: Reporter, source: Source, without: &'static str) -> Self {
        Self {
            reporter,
            source,
            without,
            backoff: Backoff::default(),
        }
    }

    /// Waits until it can be opened.
    async fn open<S>(&mut self, open: impl Fn() -> io::Result<S>) -> S {
        loop {
            match open() {
                Ok(stream) => {
                    self.reporter.degrade(self.source, []);
                    // what happened before it was open, nobody heard
                    self.reporter.stir_all();
                    return stream;
                }
                Err(why) => self.failed(&why).await,
            }
        }
    }

    fn works(&mut self) {
        self.backoff.works();
    }

    /// Says so, and waits before it is to be tried again.
    async fn failed(&mut self, why: &io::Error) {
        let sentence = format!("{}: {why}", self.without);
        self.reporter.degrade(self.source, [sentence]);
        sleep(self.backoff.failed()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn reporter() -> (Reporter, mpsc::UnboundedReceiver<Event>) {
        let (events, inbox) = mpsc::unbounded_channel();
        let lost = Arc::default();
        (Reporter { events, lost }, inbox)
    }

    /// The next facts, in short.
    async fn heard(inbox: &mut mpsc::UnboundedReceiver<Event>, count: usize) -> Vec<String> {
        let mut heard = Vec::new();
        for _ in 0..count {
            let next = tokio::time::timeout(Duration::from_secs(10), inbox.recv()).await;
            heard.push(match next.expect("a fact").expect("a sender") {
                Event::Fact(Fact::Degraded(lost)) => lost.join(", "),
                Event::Fact(Fact::Stirred(core)) => format!("stirred {core}"),
                other => panic!("{other:?}"),
            });
        }
        heard
    }

    #[tokio::test]
    async fn a_stream_that_fails_is_opened_again_and_missed_only_while_it_is_down() {
        let (reporter, mut inbox) = reporter();
        reporter.degrade(Source::Bpf, ["no BPF".to_owned()]);
        let opened = Cell::new(0);
        let open = || {
            opened.set(opened.get() + 1);
            if opened.get() == 2 {
                Err(io::Error::other("no"))
            } else {
                Ok(())
            }
        };
        let mut stream = Reopened::new(reporter, Source::Uevents, "gone");
        stream.open(open).await;
        stream.failed(&io::Error::other("torn")).await;
        stream.open(open).await;
        let told = [
            "no BPF",
            "no BPF",
            "stirred kernel",
            "stirred klp_rs",
            "no BPF, gone: torn",
            "no BPF, gone: no",
            "no BPF",
            "stirred kernel",
            "stirred klp_rs",
        ];
        assert_eq!(heard(&mut inbox, told.len()).await, told);
    }

    #[tokio::test]
    async fn a_module_that_comes_or_goes_may_be_a_patch_of_every_core_or_a_core() {
        let both = ["stirred kernel", "stirred klp_rs"];
        let (reporter, mut inbox) = reporter();
        let module = |name: &str, added| uevent::Uevent::Module {
            name: name.into(),
            added,
        };
        heed(&reporter, &module("lp", true));
        assert_eq!(heard(&mut inbox, 2).await, both);
        heed(&reporter, &module("klp_rs", false));
        assert_eq!(heard(&mut inbox, 2).await, both, "also if it is not there any more");
        heed(&reporter, &module("klp_rs", true));
        assert_eq!(heard(&mut inbox, 2).await, both);
        assert_eq!(heard(&mut inbox, 2).await, both, "and again when it has started");
    }

    #[tokio::test]
    async fn what_was_missed_while_bpf_was_being_loaded_is_looked_at_also_if_it_cannot_be() {
        let (reporter, mut inbox) = reporter();
        let places = Places::system(None);
        let scanner = Arc::new(Mutex::new(Scanner::new(places.clone())));
        let (is_ready, mut ready) = watch::channel(false);
        tokio::spawn(follow_bpf(reporter, places, scanner, is_ready, Arc::default()));
        let loaded = tokio::time::timeout(Duration::from_secs(60), ready.wait_for(|ready| *ready));
        loaded.await.expect("an answer").expect("a sender");
        loop {
            let next = tokio::time::timeout(Duration::from_secs(10), inbox.recv()).await;
            let next = next.expect("everything is looked at").expect("a sender");
            if matches!(next, Event::Fact(Fact::EventsLost)) {
                break;
            }
        }
    }
}
