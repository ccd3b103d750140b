// SPDX-License-Identifier: GPL-2.0-only
//! The running transition of one core: its blockers, its progress, and whether it has stalled.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::Change,
    patch::{Direction, Function, PatchName},
    reason::explain,
    task::{Blocker, Nudges, Reason, Scheduling, Sighting, TaskClass, TaskKey, Verdict},
    time::{Millis, Moment},
};

/// Verdicts of a core's rounds: the one in progress and the last complete one.
///
/// They arrive before sysfs was read (the first round runs while the module loads), so they live beside the
/// transition, not in it.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// Rounds that ended since the transition started.
    pub ended: u32,
    /// When the first of them did.
    first_end: Option<Moment>,
    current: BTreeMap<TaskKey, (String, Verdict)>,
    last: BTreeMap<TaskKey, (String, Verdict)>,
    /// Whether every verdict of the present round came to us, as far as known; and every one of the last.
    current_is_whole: bool,
    last_is_whole: bool,
}

impl Rounds {
    /// A transition started, was reversed, or ended: earlier verdicts say nothing any more.
    pub fn clear(&mut self) {
        *self = Self {
            current_is_whole: true,
            ..Self::default()
        };
    }

    /// Verdicts were lost, of the present round or of one that ended just now.
    pub(super) fn lose(&mut self) {
        self.current_is_whole = false;
        self.last_is_whole = false;
    }

    /// The kernel could not move this task in the present round.
    pub fn note(&mut self, key: TaskKey, comm: String, verdict: Verdict) {
        self.current.insert(key, (comm, verdict));
    }

    /// The round is over.
    pub fn end_round(&mut self, now: Moment) {
        self.ended += 1;
        self.first_end.get_or_insert(now);
        self.last = std::mem::take(&mut self.current);
        self.last_is_whole = std::mem::replace(&mut self.current_is_whole, true);
    }

    /// Every task that the last round could not move, if the kernel named any and nothing it said was lost.
    fn named(&self) -> Option<impl Iterator<Item = TaskKey>> {
        (self.last_is_whole && !self.last.is_empty()).then(|| self.last.keys().copied())
    }

    /// The last word on a task.
    pub fn verdict(&self, key: TaskKey) -> Option<&Verdict> {
        let found = self.current.get(&key).or_else(|| self.last.get(&key));
        found.map(|(_, verdict)| verdict)
    }

    /// Idle tasks that the last round could not move: no pass over tasks ever sees them.
    fn idle(&self) -> impl Iterator<Item = Sighting> {
        self.last
            .iter()
            .filter(|(key, _)| key.tid == 0)
            .map(|(key, (comm, _))| Sighting {
                key: *key,
                tgid: 0,
                comm: comm.clone(),
                class: TaskClass::Idle,
                scheduling: Scheduling::Running,
                stop_pending: false,
                traced: false,
                frozen: false,
                own: false,
                uid: None,
                unit: String::new(),
                on_stack: None,
                stack: Vec::new(),
            })
    }
}

/// The running transition of one core.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The patch.
    pub patch: PatchName,
    /// Where its tasks go.
    pub direction: Direction,
    /// When we saw it start (or found it running).
    pub started: Moment,
    /// Pending tasks, as the last scan saw them, each with its reason.
    pub blockers: BTreeMap<TaskKey, Blocker>,
    /// All tasks there were at the last scan; 0 before the first.
    pub total: u32,
    /// When a task was last seen to have moved; the start before that.
    pub last_progress: Moment,
    /// No task moved for `stall-after`, and this was said.
    pub stalled: bool,
    /// When the last scan was asked for.
    pub last_scan: Option<Moment>,
    /// When the last answer to one came.
    pub last_seen: Option<Moment>,
    /// The next scan should not wait longer than this.
    pub scan_by: Moment,
    /// Whether blockers are nudged unasked. The wish of whoever started it, and of whoever reversed it since: it outlives
    /// their jobs (and is forgotten only if the daemon is started again after those have ended).
    pub nudge: bool,
    /// Blockers that somebody asked to be nudged at once.
    pub nudge_now: BTreeSet<TaskKey>,
    /// Reasons already told to the journal, by blocker.
    told: BTreeMap<TaskKey, Vec<Reason>>,
    /// Nudges of every task of this transition, also of tasks that a scan missed.
    nudges: BTreeMap<TaskKey, Nudges>,
}

impl Transition {
    /// The kernel's first round takes about this long on an idle machine; a scan before its end reports every task.
    const FIRST_ROUND: Millis = Millis(30);
    /// Scans after rounds are at least this far apart.
    const BETWEEN_ROUNDS: Millis = Millis(250);
    /// A task is told as a blocker only after it was one for this long, if it merely runs (it usually moves by itself), or if
    /// no round is known to have ended before it was looked at: until then every task is pending and none holds anything
    /// back, and on a busy machine the first round takes half a second.
    const NEWS_AFTER: Millis = Millis(1_000);

    /// A transition that was seen to run for the first time at `now`.
    pub fn new(patch: PatchName, direction: Direction, now: Moment) -> Self {
        Self {
            patch,
            direction,
            started: now,
            blockers: BTreeMap::new(),
            total: 0,
            last_progress: now,
            stalled: false,
            last_scan: None,
            last_seen: None,
            scan_by: now + Self::FIRST_ROUND,
            nudge: true,
            nudge_now: BTreeSet::new(),
            told: BTreeMap::new(),
            nudges: BTreeMap::new(),
        }
    }

    /// Tasks that have not reached the target, as far as known.
    pub fn pending(&self) -> u32 {
        u32::try_from(self.blockers.len()).unwrap_or(u32::MAX)
    }

    /// Whether an answer to a scan came at this moment or later.
    pub fn seen_since(&self, moment: Moment) -> bool {
        self.last_seen.is_some_and(|seen| seen >= moment)
    }

    /// Whom alone a scan need look at, if that is known and they are few: those that the last round named, and those seen
    /// pending since. All others had moved by then, and nobody moves back. A child of a pending task is pending too
    /// until it first returns to user mode; one that does not get there is named in the next round.
    pub fn suspects(&self, rounds: &Rounds) -> Option<Vec<TaskKey>> {
        /// Looked at one by one, more would cost what a pass over some thousand tasks does.
        const FEW: usize = 16;
        let named: BTreeSet<_> = rounds.named()?.chain(self.blockers.keys().copied()).collect();
        let suspects: Vec<_> = named.into_iter().filter(|key| key.tid != 0).collect();
        (suspects.len() <= FEW).then_some(suspects)
    }

    /// Takes in a scan; says what changed.
    pub fn scanned(
        &mut self,
        now: Moment,
        pending: Vec<Sighting>,
        total: u32,
        rounds: &Rounds,
        functions: &[Function],
    ) -> Vec<Change> {
        let (pending_before, total_before) = (self.pending(), self.total);
        let first = self.total == 0;
        let mut before = std::mem::take(&mut self.blockers);
        for sighting in pending.into_iter().chain(rounds.idle()) {
            let earlier = before.remove(&sighting.key);
            let verdict = rounds.verdict(sighting.key).cloned();
            let (reason, function) = explain(&sighting, verdict.as_ref(), functions);
            self.blockers.insert(
                sighting.key,
                Blocker {
                    patch: self.patch.clone(),
                    verdict,
                    reason,
                    function,
                    first_seen: earlier.as_ref().map_or(now, |b| b.first_seen),
                    nudges: self.nudges.get(&sighting.key).copied().unwrap_or_default(),
                    sighting,
                },
            );
        }
        self.last_seen = Some(now);
        self.nudge_now.retain(|key| self.blockers.contains_key(key));
        self.total = total.max(self.pending());
        let mut changes = self.tell_new(now, rounds);
        let moved = !before.is_empty();
        changes.extend(before.into_values().filter_map(|gone| self.tell_moved(now, gone)));
        if moved || first {
            self.last_progress = now;
            self.stalled = false;
        }
        if (self.pending(), self.total) != (pending_before, total_before) || moved {
            changes.push(Change::PatchChanged(self.patch.clone()));
        }
        changes
    }

    /// A round ended: what it found is worth a look, at once after the first. `klp_rs` makes ten rounds a second.
    pub(super) fn scan_after_round(&mut self, now: Moment, rounds: &Rounds) {
        let last = self.last_scan.filter(|_| rounds.ended > 1);
        let due = last.map_or(now, |last| now.max(last + Self::BETWEEN_ROUNDS));
        self.scan_by = self.scan_by.min(due);
    }

    /// Takes in a verdict that came after the last scan.
    pub fn reexplain(&mut self, now: Moment, rounds: &Rounds, functions: &[Function]) -> Vec<Change> {
        for blocker in self.blockers.values_mut() {
            blocker.verdict = rounds.verdict(blocker.sighting.key).cloned();
            (blocker.reason, blocker.function) = explain(&blocker.sighting, blocker.verdict.as_ref(), functions);
        }
        self.tell_new(now, rounds)
    }

    /// Says it if no task moved for `stall_after`.
    pub fn check_stall(&mut self, now: Moment, stall_after: Millis) -> Option<Change> {
        let stalled = self.pending() > 0 && now.since(self.last_progress) >= stall_after;
        if !stalled || self.stalled {
            return None;
        }
        self.stalled = true;
        Some(Change::Stalled {
            patch: self.patch.clone(),
            pending: self.pending(),
        })
    }

    /// Takes in the outcome of a nudge; the blocker as it is now or, where it has moved, as it was when the nudge was begun. The
    /// line of a nudge names the task and says why, so its move is worth one too: here, if it was seen before.
    pub fn nudged(
        &mut self,
        now: Moment,
        key: TaskKey,
        begun: Option<Blocker>,
        sent: bool,
    ) -> (Option<Blocker>, Option<Change>) {
        /// Time for the woken thread to leave the kernel before we look again.
        const SETTLE: Millis = Millis(30);
        self.nudge_now.remove(&key);
        let nudges = self.nudges.entry(key).or_default();
        *nudges = nudges.and(now, sent);
        let nudges = *nudges;
        let told = self.told.contains_key(&key);
        if sent {
            self.told.entry(key).or_default();
        }
        if let Some(blocker) = self.blockers.get_mut(&key) {
            blocker.nudges = nudges;
            self.scan_by = self.scan_by.min(now + SETTLE);
            return (Some(blocker.clone()), None);
        }
        let blocker = begun.map(|b| Blocker { nudges, ..b });
        let gone = blocker.clone().filter(|_| !told);
        let moved = gone.and_then(|gone| self.tell_moved(now, gone));
        (blocker, moved)
    }

    /// The transition is over: the last blockers have moved.
    pub fn ended(&mut self, now: Moment) -> Vec<Change> {
        let blockers = std::mem::take(&mut self.blockers);
        blockers
            .into_values()
            .filter_map(|gone| self.tell_moved(now, gone))
            .collect()
    }

    fn tell_new(&mut self, now: Moment, rounds: &Rounds) -> Vec<Change> {
        let tried = rounds.first_end.is_some_and(|end| self.last_scan >= Some(end));
        let Self { blockers, told, .. } = self;
        let news = blockers.values().filter(|b| {
            let doubtful = !tried || matches!(b.reason, Reason::Running | Reason::Unknown);
            let transient = doubtful && now.since(b.first_seen) < Self::NEWS_AFTER;
            !transient && !told.get(&b.sighting.key).is_some_and(|t| t.contains(&b.reason))
        });
        let news: Vec<_> = news.cloned().collect();
        for blocker in &news {
            told.entry(blocker.sighting.key).or_default().push(blocker.reason);
        }
        news.into_iter().map(|b| Change::BlockerFound(Box::new(b))).collect()
    }

    fn tell_moved(&self, now: Moment, gone: Blocker) -> Option<Change> {
        self.told
            .contains_key(&gone.sighting.key)
            .then(|| Change::BlockerMoved {
                patch: self.patch.clone(),
                key: gone.sighting.key,
                comm: gone.sighting.comm,
                after: now.since(gone.first_seen),
                nudges: gone.nudges.sent,
            })
    }
}
