// SPDX-License-Identifier: GPL-2.0-only
//! What one apply says to those who listen, to programs on the bus and to people at `livepatchctl monitor`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Scenario;
use crate::guest::{Guest, Queue};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "one apply is heard on the bus and at livepatchctl monitor, from its first signal to its last",
    one_apply,
)];

const SOON: Duration = Duration::from_secs(15);
const PATCH: &str = "lp_uninterruptible";
/// As sd-bus escapes a name.
const PATCH_PATH: &str = "/org/livepatch/Manager/patch/lp_5funinterruptible";

/// A program that listens, and the file it writes to.
struct Listener {
    file: String,
}

impl Listener {
    fn start(guest: &Guest, name: &str, command: &[&str]) -> Result<Self> {
        let file = format!("/run/heard-{name}");
        let unit = [
            "--collect".to_owned(),
            format!("--unit=test-{name}"),
            format!("--property=StandardOutput=truncate:{file}"),
        ];
        let words = unit.into_iter().chain(command.iter().map(|word| (*word).to_owned()));
        guest.call("systemd-run", words).ok()?;
        Ok(Self { file })
    }

    /// Every whole line so far.
    fn heard(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    /// Waits for a line, and says which it is.
    fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<usize> {
        let mut place = None;
        let waited = wait::until(SOON, what, || {
            place = self.heard()?.iter().position(&wanted);
            Ok(place.is_some())
        });
        waited.with_context(|| format!("heard {}", fs::read_to_string(&self.file).unwrap_or_default()))?;
        place.context("it was there a moment ago")
    }
}

fn is(message: &Value, member: &str) -> bool {
    message["type"] == "signal" && message["member"] == member
}

/// `PropertiesChanged` of an object whose path begins so, with this property; its new value.
fn changed<'a>(message: &'a Value, path: &str, property: &str) -> Option<&'a Value> {
    let of_object = message["path"].as_str().is_some_and(|seen| seen.starts_with(path));
    let value = &message["payload"]["data"][1][property]["data"];
    (is(message, "PropertiesChanged") && of_object && !value.is_null()).then_some(value)
}

fn one_apply(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let bus = Listener::start(
        guest,
        "bus",
        &["busctl", "--json=short", "monitor", "org.livepatch.Manager"],
    )?;
    wait::until(SOON, "busctl to hear a call", || {
        guest.bus().property("Version")?;
        Ok(!bus.heard()?.is_empty())
    })?;
    let monitor = Listener::start(guest, "monitor", &["livepatchctl", "--json", "monitor"])?;
    // it asks when it is listening
    bus.wait_for("livepatchctl's first call", |message| {
        message["member"] == "ListBlockers"
    })?;

    let file = guest.module(PATCH).file();
    guest.ctl().call(["apply", "--no-wait", &file]).ok()?;
    monitor.wait_for("the stall", |event| event["event"] == "stalled")?;
    guest.target().release_all()?;
    reader.wait_ended(SOON)?;
    monitor.wait_for("the end of the job", |event| event["event"] == "job-removed")?;

    let added = |begins: &'static str, interface: &'static str| {
        move |message: &Value| {
            let [path, interfaces] = [0, 1].map(|n| &message["payload"]["data"][n]);
            is(message, "InterfacesAdded")
                && path.as_str().is_some_and(|path| path.starts_with(begins))
                && !interfaces[interface].is_null()
        }
    };
    let job = bus.wait_for(
        "the job's object",
        added("/org/livepatch/Manager/job/", "org.livepatch.Job"),
    )?;
    let patch = bus.wait_for("the patch's object", added(PATCH_PATH, "org.livepatch.Patch"))?;
    let pending = bus.wait_for("one pending task", |message| {
        changed(message, PATCH_PATH, "Pending").is_some_and(|pending| *pending == 1)
    })?;
    let running = bus.wait_for("the job's state", |message| {
        changed(message, "/org/livepatch/Manager/job/", "State").is_some_and(|state| *state == "transition")
    })?;
    let named = bus.wait_for("the manager's transition", |message| {
        changed(message, "/org/livepatch/Manager", "Transition").is_some_and(|name| *name == PATCH)
    })?;
    let stalled = bus.wait_for("the stall", |message| {
        is(message, "Stalled") && message["payload"]["data"] == serde_json::json!([PATCH, 1])
    })?;
    let enabled = bus.wait_for("the patch's state", |message| {
        changed(message, PATCH_PATH, "State").is_some_and(|state| *state == "enabled")
    })?;
    let removed = bus.wait_for("the end of the job", |message| {
        let data = &message["payload"]["data"];
        is(message, "JobRemoved") && data[1] == PATCH && data[2] == "done"
    })?;
    let places = format!(
        "job {job}, patch {patch}, pending {pending}, state {running}, transition {named}, stalled {stalled}, \
         enabled {enabled}, removed {removed}"
    );
    guest.note(&places);
    let first = job < patch && job < running;
    let middle = patch < stalled && pending < stalled && running < stalled && named < stalled;
    ensure!(
        first && middle && stalled < enabled && enabled < removed,
        "heard out of order: {places}"
    );

    let blocker = monitor.wait_for("the blocker", |event| {
        let blocker = &event["blocker"];
        event["event"] == "blocker" && blocker["tid"] == task.tid && blocker["reason"] == "uninterruptible"
    })?;
    let stalled = monitor.wait_for("the stall", |event| {
        event["event"] == "stalled" && event["patch"] == PATCH && event["pending"] == 1
    })?;
    let moved = monitor.wait_for("the thread to move", |event| {
        event["event"] == "moved" && event["tid"] == task.tid
    })?;
    let enabled = monitor.wait_for("the patch", |event| {
        event["event"] == "patch" && event["patch"]["state"] == "enabled"
    })?;
    let done = monitor.wait_for("the end of the job", |event| {
        event["event"] == "job-removed" && event["patch"] == PATCH && event["result"] == "done"
    })?;
    ensure!(
        blocker < stalled && stalled < moved && stalled < enabled && enabled < done && moved < done,
        "monitor said: {:?}",
        monitor.heard()?
    );
    Ok(())
}
