// SPDX-License-Identifier: GPL-2.0-only
//! The loop that ties the rooms together; the only place that sees all of them.
//!
//! One step: take in what came (facts, calls, time), publish what changed, decide, start what was decided. The loop
//! itself never blocks: everything that can is on the blocking pool (`work`) or in a task of its own (`watch`).

mod answer;
mod apply;
mod backoff;
mod kept;
mod news;
mod service;
mod watch;
mod work;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};

use self::{apply::Checked, kept::Kept, news::News, service::Service, watch::Sources, work::Work};
use crate::{
    act,
    bus::{Authority, Bus, BusError, Call},
    config::{self, ConfigError},
    journal,
    model::{
        Model,
        fact::Fact,
        job::JobId,
        place::Places,
        refusal::{ErrorName, Refusal},
        time::{Millis, Moment},
    },
    observe::{self, module_file::OpenModule},
    policy::{self, Decision, action::Action, rules::Rules},
};

/// Calls that wait for the loop before callers are told to try again.
const CALLS: usize = 64;
/// Events taken in one step: some milliseconds' worth, and few enough steps that what readers see is copied seldom.
const BATCH: usize = 256;

/// How the daemon is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration file.
    pub config: PathBuf,
    /// Where the kernel shows itself, and where we write down what must survive a crash.
    pub places: Places,
}

/// Why the daemon ended other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The bus cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The bus went away.
    #[error("{0}; systemd starts livepatchd again")]
    BusClosed(crate::bus::Closed),
    /// The operating system refused something without which nothing works.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// What comes to the loop from everywhere but the bus.
#[derive(Debug)]
enum Event {
    /// Something was observed.
    Fact(Fact),
    /// An action is no longer under way; what it found or did.
    Finished(work::Slot, Vec<Fact>),
    /// Everybody was told that these jobs ended.
    Told(Vec<JobId>),
    /// A module file was opened and checked, or refused.
    Checked(Box<Checked>),
    /// The configuration was read again.
    Reloaded(Result<Rules, ConfigError>),
}

/// The signals that the service manager sends.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

struct Daemon {
    setup: Setup,
    model: Model,
    rules: Rules,
    bus: Bus,
    service: Service,
    work: Work,
    kept: Kept,
    /// Modules that jobs have yet to load.
    modules: BTreeMap<JobId, OpenModule>,
    news: News,
    events: mpsc::UnboundedSender<Event>,
    /// Dropped when the service is ready: what can wait until then has waited for that.
    starting: Option<oneshot::Sender<()>>,
}

/// Finishes the nudges that an earlier daemon had begun, and tells the journal of each. It needs no configuration and no
/// bus: whatever else is wrong with the system, no task stays stopped by us.
pub fn recover(places: &Places) {
    for recovered in act::nudge::recover(places) {
        journal::tell_recovered(recovered.key, &recovered.comm, &recovered.recovery);
    }
}

/// Runs until SIGTERM or SIGINT (`Ok`), or until it cannot go on.
pub fn run_to_end(setup: Setup) -> Result<(), Ended> {
    // before anything that can fail
    recover(&setup.places);
    let system = |what| move |source| Ended::System { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("the runtime"))?;
    let ended = runtime.block_on(run(setup));
    // a thread that hangs in a file or in the kernel must not keep the process
    runtime.shutdown_background();
    ended
}

async fn run(setup: Setup) -> Result<(), Ended> {
    let rules = config::read(&setup.config)?;
    let system = |what| move |source| Ended::System { what, source };
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate()).map_err(system("SIGTERM handler"))?,
        interrupt: signal(SignalKind::interrupt()).map_err(system("SIGINT handler"))?,
        hangup: signal(SignalKind::hangup()).map_err(system("SIGHUP handler"))?,
    };
    let (events, mut inbox) = mpsc::unbounded_channel();
    let (calls, mut called) = mpsc::channel(CALLS);
    let connection = zbus::Connection::system().await.map_err(BusError::from)?;
    let bus = Bus::start(connection, calls, Authority::default(), observe::kernel::release()).await?;
    let (starting, started) = oneshot::channel();
    let sources = Sources::start(&setup.places, &events, started);
    let mut daemon = Daemon {
        model: Model::new(),
        rules,
        bus,
        service: Service::new(),
        work: Work::new(&setup.places, sources.scanner(), sources.ready(), events.clone()),
        kept: Kept::new(&setup.places.runtime),
        modules: BTreeMap::new(),
        news: News::default(),
        events,
        starting: Some(starting),
        setup,
    };
    daemon.serve_to_end(&mut signals, &mut inbox, &mut called).await
}

impl Daemon {
    /// Serves, and finishes what is under way however that ends.
    async fn serve_to_end(
        &mut self,
        signals: &mut Signals,
        inbox: &mut mpsc::UnboundedReceiver<Event>,
        called: &mut mpsc::Receiver<Call>,
    ) -> Result<(), Ended> {
        let ended = self.serve(signals, inbox, called).await;
        Service::stopping();
        self.work.finish().await;
        // what was done is told; nothing is begun any more
        while let Ok(event) = inbox.try_recv() {
            if matches!(event, Event::Fact(_) | Event::Finished(..) | Event::Told(_)) {
                self.take(now(), event);
            }
        }
        self.publish();
        ended
    }

    /// Turns until it is told to end (`Ok`) or the bus is of no more use.
    async fn serve(
        &mut self,
        signals: &mut Signals,
        inbox: &mut mpsc::UnboundedReceiver<Event>,
        called: &mut mpsc::Receiver<Call>,
    ) -> Result<(), Ended> {
        self.begin();
        self.bus.claim_name().await?;
        Service::ready();
        self.starting = None;
        tracing::info!("livepatchd {} is ready", env!("CARGO_PKG_VERSION"));
        loop {
            let wake_at = self.decide();
            tokio::select! {
                biased;
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                Some(()) = signals.hangup.recv() => self.reload(),
                why = self.bus.closed() => return Err(Ended::BusClosed(why)),
                Some(event) = inbox.recv() => self.take(now(), event),
                Some(call) = called.recv() => self.answer(call),
                () = sleep_until(wake_at) => {}
                () = self.service.watchdog() => {}
            }
            self.step(inbox, called);
            // whatever is ready here, the tasks that speak to the bus and to the kernel get their turn
            tokio::task::yield_now().await;
        }
    }

    /// The first look: what an earlier daemon left behind, and what is there now.
    fn begin(&mut self) {
        let now = now();
        let mut changes = self.model.resume(now, self.kept.lasting(), self.kept.jobs());
        for core in crate::model::patch::Core::ALL {
            match work::list(&self.setup.places, core) {
                Some(fact) => changes.extend(self.model.observe(now, fact)),
                None => self.work.list_later(core),
            }
        }
        self.tell(changes);
        // also that there is nothing to tell of
        self.announce();
    }

    /// Takes in what came, a bounded part of it, and tells once what changed. Calls and the watchdog have their turn in each
    /// step, however much there is to take in.
    fn step(&mut self, inbox: &mut mpsc::UnboundedReceiver<Event>, called: &mut mpsc::Receiver<Call>) {
        self.service.feed();
        let now = now();
        for event in std::iter::from_fn(|| inbox.try_recv().ok()).take(BATCH) {
            self.take(now, event);
        }
        for call in std::iter::from_fn(|| called.try_recv().ok()).take(CALLS) {
            self.answer(call);
        }
        let changes = self.model.tick(now, self.rules.stall_after);
        self.tell(changes);
        self.publish();
    }

    fn take(&mut self, now: Moment, event: Event) {
        match event {
            Event::Fact(fact) => self.observe(now, fact),
            Event::Finished(slot, facts) => {
                self.work.finished(&slot, !facts.is_empty());
                for fact in facts {
                    self.observe(now, fact);
                }
            }
            Event::Told(ended) => self.forget(&ended),
            Event::Checked(checked) => self.admit(now, *checked),
            Event::Reloaded(Ok(rules)) => {
                self.rules = rules;
                Service::ready();
                tracing::info!("configuration reloaded");
            }
            Event::Reloaded(Err(why)) => {
                Service::ready();
                tracing::error!("configuration not reloaded, the old one stays: {why}");
            }
        }
    }

    fn observe(&mut self, now: Moment, fact: Fact) {
        let changes = self.model.observe(now, fact);
        self.tell(changes);
    }

    /// Starts what policy decides; when to decide again.
    fn decide(&mut self) -> Option<Moment> {
        let now = now();
        let Decision { actions, wake_at } = policy::decide(&self.model, &self.rules, now);
        let mut nudges = Vec::new();
        for action in actions {
            if !self.work.begin(&action) {
                continue;
            }
            policy::begun(&mut self.model, now, &action);
            match &action {
                Action::Force { core, patch } => {
                    journal::tell_force_evidence(patch, &self.model);
                    // a force that nobody remembers is worse than none
                    if let Err(why) = self.kept.put_lasting(self.model.lasting()) {
                        let runtime = self.setup.places.runtime.display();
                        let why = format!("{patch} was not forced: that cannot be written down in {runtime} ({why})");
                        let why = Refusal::new(ErrorName::Refused, why);
                        self.work.refuse_force(*core, patch.clone(), why);
                        continue;
                    }
                }
                Action::Nudge { .. } => {
                    nudges.push(action);
                    continue;
                }
                _ => {}
            }
            let module = match &action {
                Action::Load(job) => self.modules.remove(job),
                _ => None,
            };
            self.work.start(action, module);
        }
        self.work.start_nudges(nudges);
        wake_at
    }

    fn reload(&mut self) {
        Service::reloading();
        let (path, events) = (self.setup.config.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || events.send(Event::Reloaded(config::read(&path))));
    }
}

/// The time, as the pure middle counts it.
fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Moment(seconds * 1000 + nanos / 1_000_000)
}

async fn sleep_until(moment: Option<Moment>) {
    match moment {
        // a millisecond more: time is cut to whole milliseconds, and waking too early would only wake twice
        Some(at) => tokio::time::sleep(Duration::from_millis(at.since(now()).0 + Millis(1).0)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
