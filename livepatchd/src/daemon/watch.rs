// SPDX-License-Identifier: GPL-2.0-only
//! Everything that tells of changes by itself: BPF events, the kernel's log, uevents. One task each, asleep until
//! something happens; each sends facts to the loop.
//!
//! What cannot be watched is said once, in the `Degraded` list, and the daemon works on with the rest.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};

use super::Event;
use crate::{
    model::{fact::Fact, patch::Core, place::Places},
    observe::{bpf, kernel, kmsg, procfs, scan::Scanner, uevent},
};

/// The sources, started.
pub(super) struct Sources {
    scanner: Arc<Mutex<Scanner>>,
    ready: watch::Receiver<bool>,
}

/// What cannot be known, and the loop that is told.
#[derive(Clone)]
struct Reporter {
    events: mpsc::UnboundedSender<Event>,
    lost: Arc<Mutex<Vec<String>>>,
}

impl Reporter {
    fn fact(&self, fact: Fact) {
        // the loop is gone only when the daemon ends
        let _ = self.events.send(Event::Fact(fact));
    }

    fn degrade(&self, sentences: impl IntoIterator<Item = String>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.extend(sentences);
        self.fact(Fact::Degraded(lost.clone()));
    }

    /// Everything may have changed: some event was lost.
    fn stir_all(&self) {
        for core in Core::ALL {
            self.fact(Fact::Stirred(core));
        }
    }
}

impl Sources {
    /// Starts all of them. BPF programs take a while to load: [`Sources::ready`] tells when they are there, or never will.
    pub(super) fn start(places: &Places, events: &mpsc::UnboundedSender<Event>) -> Self {
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
        tokio::spawn(bpf);
        tokio::spawn(follow_log(reporter.clone(), bpf_tells));
        tokio::spawn(follow_uevents(reporter, places.clone()));
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
            reporter.degrade(lost);
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
            reporter.degrade([format!("{why}; {instead}")].into_iter().chain(nor_proc));
            Ok(None)
        }
        Err(panic) => {
            reporter.degrade([format!("BPF programs could not be loaded: {panic}")]);
            Ok(None)
        }
    };
    let mut events = match events {
        Ok(Some(events)) => events,
        Ok(None) => {
            is_ready.send_replace(true);
            return;
        }
        Err(why) => {
            bpf_tells.store(false, Ordering::Relaxed);
            reporter.degrade([format!("BPF events cannot be waited for: {why}")]);
            is_ready.send_replace(true);
            return;
        }
    };
    is_ready.send_replace(true);
    tracing::info!("following transitions by BPF");
    // a transition may have begun while the programs were being attached
    reporter.stir_all();
    loop {
        match events.next().await {
            Ok(batch) => {
                for fact in batch.facts {
                    reporter.fact(fact);
                }
                if batch.lost > 0 {
                    tracing::debug!(
                        "{} BPF events were lost; what they told is read from sysfs and stacks",
                        batch.lost
                    );
                    reporter.stir_all();
                }
            }
            Err(why) => {
                bpf_tells.store(false, Ordering::Relaxed);
                return reporter.degrade([format!("BPF events cannot be read any more: {why}")]);
            }
        }
    }
}

/// Follows the kernel's log. Its lines stand in for events only where BPF gives none: they come later. BPF follows `klp_rs`
/// only from when it is seen to have a patch, so its first words are here.
async fn follow_log(reporter: Reporter, bpf_tells: Arc<AtomicBool>) {
    let follow = async {
        let mut log = kmsg::Stream::open(&kmsg::path())?;
        loop {
            match log.next().await? {
                kmsg::Entry::Line(line) => {
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
                kmsg::Entry::Lost => reporter.stir_all(),
            }
        }
    };
    let ended: io::Result<std::convert::Infallible> = follow.await;
    let Err(why) = ended;
    reporter.degrade([format!("the kernel's log cannot be read: {why}")]);
}

/// Follows modules that come and go, and what cores announce.
async fn follow_uevents(reporter: Reporter, places: Places) {
    let follow = async {
        let mut uevents = uevent::Stream::open()?;
        loop {
            match uevents.next().await? {
                uevent::Uevent::Core(core) => reporter.fact(Fact::Stirred(core)),
                // any module may be a patch, or a core
                uevent::Uevent::Module { .. } | uevent::Uevent::Lost => {
                    for core in kernel::cores(&places) {
                        reporter.fact(Fact::Stirred(core));
                    }
                }
            }
        }
    };
    let ended: io::Result<std::convert::Infallible> = follow.await;
    let Err(why) = ended;
    reporter.degrade([format!(
        "modules that come and go are not announced (kernel uevents): {why}"
    )]);
}
