// SPDX-License-Identifier: GPL-2.0-only
//! The daemon as a service of systemd: ready, reloading, status line, watchdog. Outside of systemd all of it is silent.

use sd_notify::NotifyState;

use self::watchdog::Watchdog;
use crate::model::{patch::PatchState, snapshot::Snapshot};

mod watchdog;

/// The connection to the service manager.
#[derive(Debug)]
pub(super) struct Service {
    status: String,
    /// Where systemd watches us.
    watchdog: Option<Watchdog>,
}

impl Service {
    /// Inside the runtime.
    pub(super) fn new() -> Self {
        // told at every third of the time after which systemd thinks us dead
        let every = sd_notify::watchdog_enabled().map(|limit| limit / 3);
        Self::with(every.map(|every| Watchdog::new(every, every)))
    }

    /// One that systemd watches, to be told now and then again after this time.
    #[cfg(test)]
    pub(super) fn watched(every: std::time::Duration) -> Self {
        Self::with(Some(Watchdog::new(std::time::Duration::from_nanos(1), every)))
    }

    fn with(watchdog: Option<std::io::Result<Watchdog>>) -> Self {
        let watchdog = watchdog.transpose().unwrap_or_else(|why| {
            // systemd will start another one
            tracing::error!("no timer for the watchdog: {why}");
            None
        });
        Self {
            status: String::new(),
            watchdog,
        }
    }

    /// Whether the watchdog has not been told for too long.
    #[cfg(test)]
    pub(super) fn is_hungry(&self) -> bool {
        self.watchdog.as_ref().is_some_and(Watchdog::is_due)
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

    /// Tells the watchdog each time that the loop still turns; comes back only after one.
    pub(super) async fn watchdog(&self) {
        match &self.watchdog {
            Some(watchdog) => watchdog.due().await,
            None => std::future::pending().await,
        }
        tell(&[NotifyState::Watchdog]);
    }

    /// Tells the watchdog, if that is due.
    pub(super) fn feed(&self) {
        if self.watchdog.as_ref().is_some_and(Watchdog::take) {
            tell(&[NotifyState::Watchdog]);
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
