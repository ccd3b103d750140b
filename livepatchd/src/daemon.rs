// SPDX-License-Identifier: GPL-2.0-only
//! The loop that ties the rooms together; the only place that sees all of them.
//!
//! One step: take in what came (facts, calls, time), publish what changed, decide, start what was decided. The loop
//! itself never blocks: everything that can is on the blocking pool (`work`) or in a task of its own (`watch`).

mod apply;
mod kept;
mod service;
mod watch;
mod work;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};

use self::{apply::Checked, kept::Kept, service::Service, watch::Sources, work::Work};
use crate::{
    act::{self, nudge::Recovered},
    bus::{Authority, Bus, BusError, Call, Incoming},
    config::{self, ConfigError},
    journal,
    model::{
        Model,
        change::Change,
        fact::Fact,
        job::JobId,
        place::Places,
        request::{Answer, Reply, Request},
        time::{Millis, Moment},
    },
    observe::{self, module_file::OpenModule},
    policy::{self, Decision, action::Action, describe::describe, rules::Rules},
};

/// Calls that wait for the loop before callers are told to try again.
const CALLS: usize = 64;

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
    /// A module file was opened and checked, or refused.
    Checked(Box<Checked>),
    /// The configuration was read again.
    Reloaded(Result<Rules, ConfigError>),
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
    events: mpsc::UnboundedSender<Event>,
}

/// Runs until SIGTERM or SIGINT (`Ok`), or until it cannot go on.
pub fn run_to_end(setup: Setup) -> Result<(), Ended> {
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
    let mut terminate = signal(SignalKind::terminate()).map_err(system("SIGTERM handler"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("SIGINT handler"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(system("SIGHUP handler"))?;

    let (events, mut inbox) = mpsc::unbounded_channel();
    let (calls, mut called) = mpsc::channel(CALLS);
    let connection = zbus::Connection::system().await.map_err(BusError::from)?;
    let bus = Bus::start(connection, calls, Authority::default(), observe::kernel::release()).await?;
    let sources = Sources::start(&setup.places, &events);
    let mut daemon = Daemon {
        model: Model::new(),
        rules,
        bus,
        service: Service::new(),
        work: Work::new(&setup.places, sources.scanner(), sources.ready(), events.clone()),
        kept: Kept::new(&setup.places.runtime),
        modules: BTreeMap::new(),
        events,
        setup,
    };
    daemon.begin();
    daemon.bus.claim_name().await?;
    Service::ready();
    tracing::info!("livepatchd {} is ready", env!("CARGO_PKG_VERSION"));

    loop {
        let wake_at = daemon.decide();
        let batch = tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Some(()) = recv(&mut hangup) => { daemon.reload(); Vec::new() }
            why = daemon.bus.closed() => return Err(Ended::BusClosed(why)),
            Some(event) = inbox.recv() => vec![event],
            Some(call) = called.recv() => { daemon.answer(call); Vec::new() }
            () = sleep_until(wake_at) => Vec::new(),
            () = daemon.service.watchdog_due() => Vec::new(),
        };
        daemon.step(batch, &mut inbox);
    }
    Service::stopping();
    daemon.work.finish().await;
    // nudges that were made are told
    daemon.step(Vec::new(), &mut inbox);
    Ok(())
}

impl Daemon {
    /// The first look: what an earlier daemon left behind, and what is there now.
    fn begin(&mut self) {
        let now = now();
        let mut changes = self.model.resume(now, self.kept.jobs());
        if self.kept.reboot_advised() {
            changes.extend(self.model.observe(now, Fact::ForcedBefore));
        }
        for Recovered { key, continued, .. } in act::nudge::recover(&self.setup.places) {
            changes.extend(self.model.observe(now, Fact::NudgeRecovered { key, continued }));
        }
        for core in crate::model::patch::Core::ALL {
            for fact in work::list(&self.setup.places, core) {
                changes.extend(self.model.observe(now, fact));
            }
        }
        // also that there is nothing to tell of
        self.show(&changes);
    }

    fn step(&mut self, mut batch: Vec<Event>, inbox: &mut mpsc::UnboundedReceiver<Event>) {
        while let Ok(event) = inbox.try_recv() {
            batch.push(event);
        }
        let now = now();
        for event in batch {
            self.take(now, event);
        }
        let changes = self.model.tick(now, self.rules.stall_after);
        self.publish(&changes);
    }

    fn take(&mut self, now: Moment, event: Event) {
        match event {
            Event::Fact(fact) => self.observe(now, fact),
            Event::Finished(slot, facts) => {
                self.work.finished(&slot);
                for fact in facts {
                    self.observe(now, fact);
                }
            }
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
        self.publish(&changes);
    }

    fn publish(&mut self, changes: &[Change]) {
        if !changes.is_empty() {
            self.show(changes);
        }
    }

    fn show(&mut self, changes: &[Change]) {
        for change in changes {
            journal::tell(change, &self.model);
            self.keep(change);
        }
        let snapshot = describe(&self.model, &self.rules);
        self.service.status(&snapshot);
        self.bus.publish(changes, Arc::new(snapshot));
    }

    /// Writes down what must outlive this process.
    fn keep(&mut self, change: &Change) {
        let kept = match change {
            Change::JobStarted(id) | Change::JobChanged(id) => {
                let job = self.model.jobs().find(|j| j.id == *id && j.result.is_none());
                job.map_or(Ok(()), |job| self.kept.put_job(job))
            }
            Change::JobEnded(job) => {
                self.modules.remove(&job.id);
                self.kept.drop_job(job.id)
            }
            Change::RebootAdvised => self.kept.advise_reboot(),
            _ => Ok(()),
        };
        if let Err(why) = kept {
            tracing::warn!("{}: {why}", self.setup.places.runtime.display());
        }
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
                Action::Force { patch, .. } => journal::tell_force_evidence(patch, &self.model),
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

    fn answer(&mut self, call: Call) {
        let Call { incoming, reply } = call;
        let rules = &self.rules;
        let request = match incoming {
            Incoming::Apply { path, options, .. } => {
                return apply::check(
                    &self.setup.places,
                    apply::Source::Path(path),
                    options,
                    reply,
                    &self.events,
                );
            }
            Incoming::ApplyFd {
                module, name, options, ..
            } => {
                let source = apply::Source::Fd(module, name);
                return apply::check(&self.setup.places, source, options, reply, &self.events);
            }
            Incoming::Revert { patch, options, .. } => {
                let options = options.or(rules);
                Request::Revert { patch, options }
            }
            Incoming::Cancel { patch, job, .. } => {
                if let Some(refusal) = job.and_then(|id| apply::no_such_job(&self.model, id)) {
                    return respond(reply, Err(refusal));
                }
                let options = crate::bus::AskedOptions::default().or(rules);
                Request::Cancel { patch, options }
            }
            Incoming::Force { patch, .. } => Request::Force { patch },
            Incoming::Nudge { patch, .. } => Request::Nudge { patch },
        };
        let (answer, changes) = policy::answer(&mut self.model, &self.rules, now(), request);
        self.publish(&changes);
        respond(reply, answer);
    }

    /// Lets a checked module in as a job.
    fn admit(&mut self, now: Moment, checked: Checked) {
        let Checked { module, options, reply } = checked;
        let (module, core) = match module {
            Ok(found) => found,
            Err(refusal) => return respond(reply, Err(refusal)),
        };
        let request = Request::Apply {
            patch: module.facts().name.clone(),
            core,
            options: options.or(&self.rules),
        };
        let (answer, changes) = policy::answer(&mut self.model, &self.rules, now, request);
        if let Ok(Answer::Job(id)) = &answer {
            self.modules.insert(*id, module);
        }
        // the caller finds its job's object on the bus when it hears of it
        self.publish(&changes);
        respond(reply, answer);
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

async fn recv(signal: &mut Signal) -> Option<()> {
    signal.recv().await
}

fn respond(reply: oneshot::Sender<Reply>, answer: Reply) {
    // a caller that has gone away does not want its answer any more
    let _ = reply.send(answer);
}
