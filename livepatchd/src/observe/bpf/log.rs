// SPDX-License-Identifier: GPL-2.0-only
//! Debug lines of the BPF programs themselves, passed on to the daemon's log.
//!
//! Only where debug logging is on when the programs are loaded: otherwise the verifier drops the lines as dead code and
//! their buffer is never mapped. No program logs under a scheduler lock.

use std::io;

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use tokio::io::{Interest, unix::AsyncFd};

/// The level that is written into the programs.
pub(super) const LEVEL: &str = aya_log::LEVEL;
/// The buffer of the lines.
pub(super) const MAP: &str = "AYA_LOGS";

/// Hands aya's records to `tracing`.
pub struct Forward;

impl Log for Forward {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        tracing::debug!(target: "livepatchd::bpf", "{}", record.args());
    }

    fn flush(&self) {}
}

/// The lines' buffer.
pub struct BpfLog(EbpfLogger<Forward>);

impl BpfLog {
    pub(super) fn of(object: &mut Ebpf) -> Result<Self, aya_log::Error> {
        EbpfLogger::init_with_logger(object, Forward).map(Self)
    }

    /// Passes lines on for as long as the future is polled.
    pub async fn forward(self) -> io::Result<()> {
        // SAFETY: the logger owns its ring buffer, which owns its map's descriptor and neither closes nor replaces it
        let mut lines =
            unsafe { AsyncFd::register_with_interest(self.0, Interest::READABLE) }.map_err(io::Error::from)?;
        loop {
            let mut guard = lines.readable_mut().await?;
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    }
}
