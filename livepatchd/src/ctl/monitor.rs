// SPDX-License-Identifier: GPL-2.0-only
//! `monitor`: one line for each thing that happens. JSON, one document a line:
//! `{"event":"patch","patch":{..}}`, `{"event":"removed","patch":"fix"}`, `{"event":"blocker","blocker":{..}}`,
//! `{"event":"moved","patch":"fix","tid":813}`, `{"event":"stalled","patch":"fix","pending":1}`,
//! `{"event":"job-removed","job":1,"patch":"fix","result":"done"}`, `{"event":"daemon","running":false}`.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use zbus::{Message, OwnedObjectPath};

use super::{
    client::Client,
    exit::{Exit, Failure},
    output::{self, Output},
    text,
};
use crate::model::snapshot::{BlockerView, PatchView};

/// How often to look for blockers while something is in transition, and for a daemon that went away.
const LOOK: Duration = Duration::from_millis(250);

/// How often to look while nothing is: rarely, for a daemon that ended without a word.
const IDLE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Patch { patch: &'a PatchView },
    Removed { patch: &'a str },
    Blocker { blocker: &'a BlockerView },
    Moved { patch: &'a str, tid: u32 },
    Stalled { patch: String, pending: u32 },
    JobRemoved { job: u32, patch: String, result: String },
    Daemon { running: bool },
}

/// Prints until interrupted.
pub(super) async fn monitor(client: &Client, output: Output) -> Result<Exit, Failure> {
    let mut signals = client.signals().await?;
    // one for the whole time: a signal that comes while we look must not be lost
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut seen = Seen::default();
    seen.look(client, output).await?;
    let mut running = true;
    loop {
        let pause = if running && seen.is_quiet() { IDLE } else { LOOK };
        tokio::select! {
            next = signals.next() => {
                let Some(first) = next else {
                    return Err(Failure::new(Exit::Unreachable, "the bus is gone"));
                };
                let rest = std::iter::from_fn(|| signals.next().now_or_never().flatten());
                let heard: Vec<Event<'_>> = std::iter::once(first)
                    .chain(rest)
                    .filter_map(|message| event(&message.ok()?))
                    .collect();
                // values before what they led to
                running = again(&mut seen, client, output, running).await?;
                for event in heard {
                    say(output, &event);
                }
            }
            () = tokio::time::sleep(pause) => running = again(&mut seen, client, output, running).await?,
            _ = &mut interrupt => return Ok(Exit::Done),
        }
        if output::closed() {
            return Ok(Exit::Done);
        }
    }
}

/// Looks once more; whether the daemon is there.
async fn again(seen: &mut Seen, client: &Client, output: Output, running: bool) -> Result<bool, Failure> {
    let there = match seen.look(client, output).await {
        Ok(()) => true,
        Err(failure) if failure.exit == Exit::Unreachable => false,
        Err(failure) => return Err(failure),
    };
    if there != running {
        say(output, &Event::Daemon { running: there });
    }
    Ok(there)
}

/// What was printed last.
#[derive(Debug, Default)]
struct Seen {
    patches: BTreeMap<String, PatchView>,
    blockers: BTreeMap<(String, u32), BlockerView>,
}

impl Seen {
    fn is_quiet(&self) -> bool {
        self.patches.values().all(|view| view.state.direction().is_none())
    }

    /// Asks for all, and prints what is new.
    async fn look(&mut self, client: &Client, output: Output) -> Result<(), Failure> {
        let patches = client.patches().await?;
        let blockers = client.blockers("", false).await?;
        let patches: BTreeMap<_, _> = patches.into_iter().map(|view| (view.name.clone(), view)).collect();
        let key = |view: &BlockerView| (view.patch.clone(), view.tid);
        let blockers: BTreeMap<_, _> = blockers.into_iter().map(|view| (key(&view), view)).collect();
        for (name, view) in &patches {
            if self.patches.get(name) != Some(view) {
                say(output, &Event::Patch { patch: view });
            }
        }
        for (key, view) in &blockers {
            if self.blockers.get(key) != Some(view) {
                say(output, &Event::Blocker { blocker: view });
            }
        }
        for (patch, tid) in self.blockers.keys().filter(|key| !blockers.contains_key(*key)) {
            say(output, &Event::Moved { patch, tid: *tid });
        }
        for patch in self.patches.keys().filter(|name| !patches.contains_key(*name)) {
            say(output, &Event::Removed { patch });
        }
        *self = Self { patches, blockers };
        Ok(())
    }
}

/// The signals that say more than a new value.
fn event(message: &Message) -> Option<Event<'static>> {
    let header = message.header();
    let body = message.body();
    match header.member()?.as_str() {
        "JobRemoved" => {
            let (job, patch, result): (OwnedObjectPath, String, String) = body.deserialize().ok()?;
            let job = job.rsplit('/').next()?.parse().ok()?;
            Some(Event::JobRemoved { job, patch, result })
        }
        "Stalled" => {
            let (patch, pending) = body.deserialize().ok()?;
            Some(Event::Stalled { patch, pending })
        }
        _ => None,
    }
}

fn say(output: Output, event: &Event<'_>) {
    if output.is_json() {
        return output.json(event);
    }
    let line = match event {
        Event::Patch { patch: view } if view.state.direction().is_some() => {
            let pending = text::pending(view.pending, view.total);
            format!("{}: {}, {pending}", view.name, view.state.as_str())
        }
        Event::Patch { patch: view } => format!("{}: {}", view.name, view.state.as_str()),
        Event::Removed { patch } => format!("{patch}: gone"),
        Event::Blocker { blocker } => format!("{}: {}", blocker.patch, text::blocker(blocker)),
        Event::Moved { patch, tid } => format!("{patch}: thread {tid} has moved"),
        Event::Stalled { patch, pending } => format!("{patch}: stalled, {}", text::pending(*pending, 0)),
        Event::JobRemoved { job, patch, result } => format!("{patch}: job {job} ended: {result}"),
        Event::Daemon { running: true } => "livepatchd is back".to_owned(),
        Event::Daemon { running: false } => "livepatchd is not running".to_owned(),
    };
    output.line(&text::clean(&line));
}
