// SPDX-License-Identifier: GPL-2.0-only
//! The daemon as a service of systemd: ready, reloading, status line, watchdog. Outside of systemd all of it is silent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, sleep_until};

use crate::model::{patch::PatchState, snapshot::Snapshot};

/// The connection to the service manager.
#[derive(Debug)]
pub(super) struct Service {
    status: String,
    /// A third of the time after which systemd thinks us dead.
    watchdog: Option<Duration>,
    next: Instant,
}

impl Service {
    pub(super) fn new() -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 3);
        Self {
            status: String::new(),
            watchdog,
            next: Instant::now() + watchdog.unwrap_or_default(),
        }
    }

    /// One that systemd watches.
    #[cfg(test)]
    pub(super) fn watched(every: Duration) -> Self {
        Self {
            watchdog: Some(every),
            ..Self::new()
        }
    }

    /// Whether the watchdog has not been told for too long.
    #[cfg(test)]
    pub(super) fn is_hungry(&self) -> bool {
        self.watchdog.is_some() && self.next <= Instant::now()
    }

    /// Started, or done with a reload.
    pub(super) fn ready() {
        tell(&[NotifyState::Ready]);
    }

    pub(super) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(since) => tell(&[NotifyState::Reloading, since]),
            Err(why) => tracing::debug!("no monotonic time for the reload: {why}"),
        }
    }

    pub(super) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// The line that `systemctl status` shows.
    pub(super) fn status(&mut self, snapshot: &Snapshot) {
        let line = status_line(snapshot);
        if line != self.status {
            tell(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }

    /// Comes back when the watchdog is to be told that the loop still turns.
    pub(super) async fn watchdog_due(&self) {
        match self.watchdog {
            Some(_) => sleep_until(self.next).await,
            None => std::future::pending().await,
        }
    }

    /// Tells the watchdog, if that is due.
    pub(super) fn feed(&mut self) {
        let now = Instant::now();
        if let Some(every) = self.watchdog.filter(|_| self.next <= now) {
            tell(&[NotifyState::Watchdog]);
            self.next = now + every;
        }
    }
}

fn status_line(snapshot: &Snapshot) -> String {
    let advice = if snapshot.reboot_advised {
        "; reboot advised"
    } else {
        ""
    };
    let moving = snapshot.transition.as_ref();
    if let Some(p) = moving.and_then(|name| snapshot.patches.iter().find(|p| p.name == name.as_str())) {
        let (state, stalled) = (p.state.as_str(), if p.stalled { ", stalled" } else { "" });
        return format!(
            "{} {state}: {} of {} tasks pending{stalled}{advice}",
            p.name, p.pending, p.total
        );
    }
    let enabled = snapshot
        .patches
        .iter()
        .filter(|p| p.state == PatchState::Enabled)
        .count();
    match enabled {
        _ if snapshot.cores.is_empty() => "this kernel has no live patching".to_owned(),
        0 => format!("no live patch enabled{advice}"),
        1 => format!("1 live patch enabled{advice}"),
        n => format!("{n} live patches enabled{advice}"),
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        tracing::debug!("the service manager does not listen: {why}");
    }
}
