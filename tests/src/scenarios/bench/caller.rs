// SPDX-License-Identifier: GPL-2.0-only
//! A program that is on the bus already when it asks: what `Apply` takes without the start of a command.

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use zbus::{Connection, OwnedObjectPath};

const NAME: &str = "org.livepatch.Manager";
const PATH: &str = "/org/livepatch/Manager";

pub(super) struct Caller {
    runtime: Runtime,
    connection: Connection,
}

impl Caller {
    pub(super) fn connect() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(Connection::system()).context("the system bus")?;
        Ok(Self { runtime, connection })
    }

    /// Asks for a patch, and returns when the daemon has begun.
    pub(super) fn apply(&self, file: &str) -> Result<OwnedObjectPath> {
        let call = self
            .connection
            .call_method(Some(NAME), PATH, Some(NAME), "Apply", &file);
        let reply = self.runtime.block_on(call).context("Apply")?;
        Ok(reply.body().deserialize()?)
    }
}
