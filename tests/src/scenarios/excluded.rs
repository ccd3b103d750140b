// SPDX-License-Identifier: GPL-2.0-only
//! Blockers that must not be nudged: each is explained, the deadline reverses the patch, and the system is as before.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::Scenario;
use crate::guest::{Guest, Queue, Task};
use crate::workload::Event;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("PID 1 in a patched function is explained and left alone", init),
    Scenario::new("a kthread in a patched function is explained and left alone", kthread),
    Scenario::new(
        "an uninterruptible sleeper is explained and left alone",
        uninterruptible,
    ),
    Scenario::new(
        "a stack that cannot be walked reliably is told by the kernel's verdict alone, and left alone",
        unreliable_stack,
    ),
    Scenario::new(
        "a task that somebody else stopped is explained and stays stopped",
        stopped,
    ),
    Scenario::new("a traced task is explained and left to its tracer", traced),
    Scenario::new("a task in a frozen control group is explained and stays frozen", frozen),
    Scenario::new("the daemon explains itself and does not nudge itself", the_daemon),
    Scenario::new(
        "a unit that the configuration excludes is explained and left alone",
        excluded_unit,
    ),
];

const SOON: Duration = Duration::from_secs(10);
/// The deadline, the reversal at the kernel's next look or two, and the module's end.
const REVERSED_WITHIN: Duration = Duration::from_secs(20);

/// How a blocker must be told: its class, its reason, and words of what is done about it.
pub(super) type Told<'a> = [&'a str; 3];

/// The patch is applied with a deadline of five seconds while this task sleeps in this queue; nobody is nudged, and
/// afterwards everything is as it was.
pub(super) fn told_and_reversed(guest: &Guest, patch: &str, queue: Queue, task: Task, told: Told<'_>) -> Result<()> {
    let [class, reason, action] = told;
    let (state, sleepers) = (task.state()?, guest.target().sleepers(queue)?);
    let module = guest.module(patch);
    let journal = guest.journal()?;

    let apply = guest.ctl().call(["apply", "--json", "--timeout", "5s", &module.file()]);
    let wanted = |blocker: &Value| blocker["tid"] == task.tid && blocker["reason"] == reason;
    let (applied, blocker) = apply
        .within(REVERSED_WITHIN)
        .during(|| guest.ctl().wait_for_blocker(patch, SOON, wanted))?;
    guest.note(&blocker.to_string());
    ensure!(blocker["class"] == class, "its class is told as {blocker}");
    ensure!(
        blocker["action"].as_str().is_some_and(|told| told.contains(action)),
        "what is done: {blocker}"
    );

    ensure!(applied.code == 3, "{applied:?}");
    let job: Value = serde_json::from_str(&applied.stdout).with_context(|| format!("{applied:?}"))?;
    ensure!(job["result"] == "timeout", "{job}");
    ensure!(!guest.patch(patch).exists(), "{patch} is still there");
    ensure!(!module.loaded(), "the module of {patch} is still there");
    ensure!(guest.ctl().patch(patch)?.is_none(), "{patch} is still listed");
    let nudged = journal.nudged()?;
    ensure!(nudged.is_empty(), "nudged: {nudged:?}");
    ensure!(task.state()? == state, "its state was {state} and is {}", task.state()?);
    ensure!(
        guest.target().sleepers(queue)? == sleepers,
        "it does not sleep there any more"
    );
    guest.note(&format!("reversed after {:.1} s", applied.took.as_secs_f64()));
    Ok(())
}

fn init(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let stuck = guest.stuck_init(Queue::Wait)?;
    told_and_reversed(
        guest,
        "lp",
        Queue::Wait,
        Task::process(1),
        ["init", "sleeping-in-function", "not nudged: PID 1"],
    )?;
    drop(stuck);
    target.wait_for_sleepers(Queue::Wait, 0, SOON)?;
    guest
        .call("systemctl", ["is-active", "livepatchd.service"])
        .ok()
        .map(drop)
}

fn kthread(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    target.kthread(true)?;
    target.wait_for_sleepers(Queue::Kthread, 1, SOON)?;
    told_and_reversed(
        guest,
        "lp_kthread",
        Queue::Kthread,
        Task::named("tgt_kthread")?,
        ["kthread", "sleeping-in-function", "not nudged: a kernel thread"],
    )?;
    target.kthread(false)
}

fn uninterruptible(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    told_and_reversed(
        guest,
        "lp_uninterruptible",
        Queue::WaitUninterruptible,
        task,
        ["user", "uninterruptible", "not nudged: signals do not wake it"],
    )?;
    guest.target().release_all()?;
    reader.wait_ended(SOON)
}

/// It sleeps in no function of the patch, and on its stack nothing is to be seen: only the kernel's own walk tells why it
/// is pending.
fn unreliable_stack(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUnreliable, 0)?;
    told_and_reversed(
        guest,
        "lp_version",
        Queue::WaitUnreliable,
        task,
        [
            "user",
            "unreliable-stack",
            "not nudged: its stack cannot be read reliably",
        ],
    )?;
    ensure!(reader.returned()?.is_empty(), "its read came back");
    guest.target().release_all()?;
    reader.wait_ended(SOON)
}

fn stopped(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 1)?;
    let process = Task::process(reader.pid());
    // Sent to the process, the signal would wait for the first thread, which takes none (`kernel/signal.c:complete_signal`);
    // a thread that takes it asks all others to stop.
    let mut others = Task::threads(process.pid)?.into_iter();
    let worker = others.find(|other| *other != task).context("no working thread")?;
    worker.signal(Signal::STOP)?;
    let stopped = || {
        let mut others = Task::threads(process.pid)?;
        others.retain(|other| *other != task);
        let states = others.into_iter().map(Task::state).collect::<Result<Vec<_>>>()?;
        Ok(states.iter().all(|state| *state == 'T'))
    };
    crate::wait::until(SOON, "the working threads to stop", stopped)?;
    told_and_reversed(
        guest,
        "lp_uninterruptible",
        Queue::WaitUninterruptible,
        task,
        ["user", "stopped", "not nudged: somebody else stopped it"],
    )?;
    ensure!(stopped()?, "it was continued");
    guest.target().release_all()?;
    crate::wait::until(SOON, "the reader to stop", || Ok(task.state()? == 'T'))?;
    process.signal_process(Signal::CONT)?;
    reader.wait_ended(SOON)
}

fn traced(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let tracer = guest.workload(["trace", "--running", &task.tid.to_string()])?;
    tracer.wait_for(SOON, "the tracer", |events| {
        events.contains(&Event::Tracing { tid: task.tid })
    })?;
    told_and_reversed(
        guest,
        "lp",
        Queue::Wait,
        task,
        ["user", "traced", "not nudged: a debugger"],
    )?;
    drop(tracer);
    guest.target().release_all()?;
    reader.wait_ended(SOON)
}

fn frozen(guest: &Guest) -> Result<()> {
    let (reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let group = guest.group("frozen")?;
    group.admit(reader.pid())?;
    group.freeze()?;
    told_and_reversed(
        guest,
        "lp_uninterruptible",
        Queue::WaitUninterruptible,
        task,
        ["user", "frozen", "not nudged: its cgroup is frozen"],
    )?;
    ensure!(group.is_frozen()?, "its group was thawed");
    ensure!(reader.returned()?.is_empty(), "its read came back");
    Ok(())
}

fn the_daemon(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    // A file like any other to it; what is asked is answered after a while, and the thread that reads is given up.
    let asked = guest.ctl().call(["apply", "--no-wait", &Queue::Wait.file()]).run()?;
    ensure!(asked.code == 1, "{asked:?}");
    ensure!(target.sleepers(Queue::Wait)? == 1, "no thread of the daemon is asleep");
    let asleep = |task: &Task| task.stack().is_ok_and(|stack| stack.contains("tgt_wait"));
    let threads = Task::threads(Task::of_unit("livepatchd.service")?.pid)?;
    let task = threads
        .into_iter()
        .find(asleep)
        .context("nobody of livepatchd sleeps in tgt_wait")?;
    told_and_reversed(
        guest,
        "lp",
        Queue::Wait,
        task,
        ["user", "sleeping-in-function", "not nudged: livepatchd itself"],
    )?;
    guest.ctl().json(["status"]).map(drop)
}

fn excluded_unit(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let unit = "test-excluded.service";
    let run = ["--unit=test-excluded", "--collect", "cat", &Queue::Wait.file()].map(str::to_owned);
    guest.call("systemd-run", run).ok()?;
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    let journal = guest.journal()?;
    std::fs::write(
        "/etc/livepatchd/livepatchd.toml",
        "[nudge]\nexclude-units = [\"test-exc*\"]\n",
    )?;
    guest.call("systemctl", ["reload", "livepatchd.service"]).ok()?;
    journal.wait_for("configuration reloaded", SOON)?;
    told_and_reversed(
        guest,
        "lp",
        Queue::Wait,
        Task::of_unit(unit)?,
        [
            "user",
            "sleeping-in-function",
            "not nudged: unit test-excluded.service is excluded",
        ],
    )
}
