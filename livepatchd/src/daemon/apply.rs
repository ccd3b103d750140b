// SPDX-License-Identifier: GPL-2.0-only
//! A module file on its way in: opened, read and checked off the loop, then handed to it.
//!
//! Reading may block for ever (a path can lead anywhere), so the caller is answered after a while in any case; the
//! thread that hangs is given up.

use std::{os::fd::OwnedFd, path::PathBuf, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};

use super::Event;
use crate::{
    bus::AskedOptions,
    model::{
        Model,
        job::JobId,
        patch::{Core, PatchName},
        place::Places,
        refusal::{ErrorName, Refusal},
        request::Reply,
    },
    observe::{
        kernel,
        module_file::{self, OpenModule},
        sysfs,
    },
    policy::admit::admit,
};

/// Less than the time after which callers give up on a call (5 s).
const READ_TIME: Duration = Duration::from_secs(4);

/// Where the module comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The daemon opens it.
    Path(PathBuf),
    /// The caller opened it, and may say which patch it expects in it.
    Fd(OwnedFd, Option<PatchName>),
}

/// A module that may be loaded, with the core that it is for; or why not.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) module: Result<(OpenModule, Core), Refusal>,
    pub(super) options: AskedOptions,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// Checks a module; the result comes to the loop as [`Event::Checked`].
pub(super) fn check(
    places: &Places,
    source: Source,
    options: AskedOptions,
    reply: oneshot::Sender<Reply>,
    events: &mpsc::UnboundedSender<Event>,
) {
    let (places, events) = (places.clone(), events.clone());
    tokio::spawn(async move {
        let read = spawn_blocking(move || open(&places, source));
        let module = match timeout(READ_TIME, read).await {
            Ok(Ok(found)) => found,
            Ok(Err(panic)) => Err(Refusal::new(
                ErrorName::InvalidModule,
                format!("the file could not be checked: {panic}"),
            )),
            Err(_) => Err(Refusal::new(
                ErrorName::InvalidModule,
                "reading the file takes for ever; give the path of an ordinary .ko file on a local disk",
            )),
        };
        let checked = Checked { module, options, reply };
        // the loop is gone only when the daemon ends
        let _ = events.send(Event::Checked(Box::new(checked)));
    });
}

fn open(places: &Places, source: Source) -> Result<(OpenModule, Core), Refusal> {
    let module = match source {
        Source::Path(path) => module_file::open(&path)?,
        Source::Fd(fd, name) => {
            let expected = name.as_ref().map_or("the file passed", PatchName::as_str);
            let module = module_file::from_fd(fd, expected)?;
            let found = &module.facts().name;
            if let Some(name) = name.filter(|name| name != found) {
                return Err(Refusal::new(
                    ErrorName::InvalidModule,
                    format!("the file passed as {name} holds the module {found}"),
                ));
            }
            module
        }
    };
    let loaded = sysfs::is_loaded(places, &module.facts().name);
    let core = admit(module.facts(), &kernel::read(places), loaded)?;
    Ok((module, core))
}

/// The refusal for a job that is not running.
pub(super) fn no_such_job(model: &Model, id: JobId) -> Option<Refusal> {
    let running = model.jobs().any(|job| job.id == id && job.result.is_none());
    (!running).then(|| Refusal::new(ErrorName::NotFound, format!("job {} is not running", id.0)))
}
