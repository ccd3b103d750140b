// SPDX-License-Identifier: GPL-2.0-only
//! The connection to the daemon. Every call has a time-out; every error becomes a [`Failure`] with its exit code.

use std::{future::Future, io::IsTerminal, num::NonZero, time::Duration};

use zbus::{
    Connection, DBusError, DynamicType, MatchRule, MessageStream, OwnedObjectPath,
    connection::Builder,
    fdo::{self, PropertiesProxy},
    message,
    names::InterfaceName,
    proxy::{CacheProperties, MethodFlags},
};

use super::{
    exit::{Exit, Failure},
    job::JobView,
};
use crate::{
    bus::{self, BlockerRecord, ManagerProxy, error::parse_name},
    model::snapshot::{BlockerView, PatchView},
};

/// Time for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Time for an answer that may need a password first; the daemon gives polkit a little less.
const WITH_PROMPT: Duration = Duration::from_secs(160);

/// Signals kept while we are busy with a call; more would stop the connection, answers included.
const SIGNALS: usize = 4096;

/// The daemon as this tool sees it.
#[derive(Debug)]
pub(super) struct Client {
    connection: Connection,
    manager: ManagerProxy<'static>,
}

impl Client {
    /// Connects to the system bus. The daemon is started by the first call.
    pub(super) async fn connect() -> Result<Self, Failure> {
        let connect = async {
            let connection = Builder::system().build().await?;
            let manager = ManagerProxy::builder(&connection)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            Ok(Self { connection, manager })
        };
        match tokio::time::timeout(PATIENCE, connect).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(unreachable(&format!("no system bus: {}", described(&error)))),
            Err(_) => Err(unreachable("the system bus does not answer")),
        }
    }

    /// The manager's properties, through [`Client::read`].
    pub(super) fn manager(&self) -> &ManagerProxy<'static> {
        &self.manager
    }

    /// An answer that changes nothing.
    pub(super) async fn read<T>(&self, call: impl Future<Output = zbus::Result<T>>) -> Result<T, Failure> {
        answer(PATIENCE, call).await
    }

    /// Every patch.
    pub(super) async fn patches(&self) -> Result<Vec<PatchView>, Failure> {
        let records = self.read(self.manager.list_patches()).await?;
        let views: Result<_, _> = records.into_iter().map(PatchView::try_from).collect();
        views.map_err(|unknown| Failure::new(Exit::Failed, unknown.to_string()))
    }

    /// The blockers of one patch, or of every patch if it is empty. `prompt`: ask for a password if stacks need one.
    pub(super) async fn blockers(&self, patch: &str, prompt: bool) -> Result<Vec<BlockerView>, Failure> {
        let records: Vec<BlockerRecord> = self.call("ListBlockers", &patch, prompt).await?;
        let views: Result<_, _> = records.into_iter().map(BlockerView::try_from).collect();
        views.map_err(|unknown| Failure::new(Exit::Failed, unknown.to_string()))
    }

    /// The patch in transition.
    pub(super) async fn transition(&self) -> Result<Option<String>, Failure> {
        let patch = self.read(self.manager.transition()).await?;
        Ok(Some(patch).filter(|patch| !patch.is_empty()))
    }

    /// The patch that is meant: the one given, else the one in transition.
    pub(super) async fn patch_or_transition(&self, patch: Option<String>) -> Result<String, Failure> {
        if let Some(patch) = patch {
            return Ok(patch);
        }
        let patch = self.transition().await?;
        patch.ok_or_else(|| Failure::new(Exit::Failed, "no patch is in transition"))
    }

    /// A call that changes something, with a password prompt where a person can answer it.
    pub(super) async fn change<B, R>(&self, member: &str, body: &B) -> Result<R, Failure>
    where
        B: serde::Serialize + DynamicType,
        R: for<'d> zbus::wire::DynamicDeserialize<'d>,
    {
        self.call(member, body, std::io::stdin().is_terminal()).await
    }

    async fn call<B, R>(&self, member: &str, body: &B, prompt: bool) -> Result<R, Failure>
    where
        B: serde::Serialize + DynamicType,
        R: for<'d> zbus::wire::DynamicDeserialize<'d>,
    {
        let (flags, patience) = if prompt && !rustix::process::geteuid().is_root() {
            (MethodFlags::ALLOW_INTERACTIVE_AUTH, WITH_PROMPT)
        } else {
            (MethodFlags::empty(), PATIENCE)
        };
        let reply = answer(patience, self.manager.inner().call_with_flags(member, flags, body)).await?;
        reply.ok_or_else(|| unreachable("the daemon gave no answer"))
    }

    /// A job as it is now; `None` if the daemon does not know it, or no longer.
    pub(super) async fn job(&self, path: &OwnedObjectPath) -> Result<Option<JobView>, Failure> {
        let get = async {
            let properties = PropertiesProxy::builder(&self.connection)
                .destination(bus::NAME)
                .path(path)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            let interface = InterfaceName::from_static_str_unchecked("org.livepatch.Job");
            match properties.get_all(interface).await {
                Ok(values) => Ok(JobView::new(&values)),
                Err(fdo::Error::UnknownObject(_) | fdo::Error::UnknownInterface(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        self.read(get).await
    }

    /// Every signal of the daemon from now on.
    pub(super) async fn signals(&self) -> Result<MessageStream, Failure> {
        let listen = async {
            let rule = MatchRule::builder()
                .msg_type(message::Type::Signal)
                .sender(bus::NAME)
                .build()?;
            MessageStream::for_match_rule(rule, &self.connection, NonZero::new(SIGNALS)).await
        };
        self.read(listen).await
    }
}

async fn answer<T>(patience: Duration, call: impl Future<Output = zbus::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(&error)),
        Err(_) => Err(unreachable(&format!(
            "livepatchd does not answer within {} s",
            patience.as_secs()
        ))),
    }
}

/// An error of the bus in the tool's words.
fn failure(error: &zbus::Error) -> Failure {
    match error {
        zbus::Error::MethodError(name, message, _) => told(name.as_str(), message.as_deref()),
        zbus::Error::FDO(error) => told(error.name().as_str(), error.description()),
        zbus::Error::InputOutput(_) => unreachable(&format!("the bus is gone: {}", described(error))),
        other => Failure::new(Exit::Failed, described(other)),
    }
}

fn told(name: &str, message: Option<&str>) -> Failure {
    match Exit::of_bus(name) {
        Exit::Unreachable => unreachable(&format!("livepatchd is not running ({})", message.unwrap_or(name))),
        exit => {
            let failure = Failure::new(exit, message.filter(|text| !text.is_empty()).unwrap_or(name));
            // a refusal says itself what to do next
            if parse_name(name).is_some() {
                failure.plain()
            } else {
                failure
            }
        }
    }
}

fn unreachable(message: &str) -> Failure {
    Failure::new(Exit::Unreachable, message)
}

fn described(error: &zbus::Error) -> String {
    match error {
        zbus::Error::InputOutput(error) => error.to_string(),
        other => other.to_string(),
    }
}
