// SPDX-License-Identifier: GPL-2.0-only
//! Tells the bus what changed: objects that come and go, properties with new values, jobs that ended, stalls.
//!
//! It compares what the bus was told with what is to be told, so nothing is told twice and nothing is left out, whatever
//! the list of changes says. Order: new objects, new values, signals, objects that go; so whoever hears `JobRemoved` has
//! heard the job's last values and can still read them. It runs beside the loop and may wait for the bus; the loop never.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use zbus::{
    Connection, OwnedObjectPath, OwnedVariant, Variant,
    fdo::Properties,
    object_server::{Interface, SignalEmitter},
};

use super::{
    board::Notice,
    job::Job,
    manager::{Desk, Manager},
    patch::Patch,
    path,
};
use crate::model::{
    job::{self, JobId},
    patch::PatchName,
    snapshot::{PatchView, Snapshot},
};

/// The values that the bus was told of one object.
type Told = HashMap<String, OwnedVariant>;

/// The one that tells.
pub(super) struct Publisher {
    connection: Connection,
    desk: Desk,
    shown: Arc<Snapshot>,
    told: HashMap<OwnedObjectPath, Told>,
}

impl Publisher {
    /// A publisher that has told nothing but the manager's object.
    pub(super) fn new(connection: Connection, desk: Desk) -> Self {
        Self {
            connection,
            desk,
            shown: Arc::default(),
            told: HashMap::new(),
        }
    }

    /// Tells whatever is posted, until the connection's end.
    pub(super) async fn run(mut self) {
        loop {
            let (version, snapshot, notices) = self.desk.board.take().await;
            if let Err(error) = self.tell(snapshot, notices).await {
                // a bus that is gone ends the daemon; anything else must not
                tracing::warn!("cannot tell the bus: {error}");
            }
            self.desk.board.announced(version);
        }
    }

    async fn tell(&mut self, snapshot: Arc<Snapshot>, notices: Vec<Notice>) -> zbus::Result<()> {
        let before = std::mem::replace(&mut self.shown, Arc::clone(&snapshot));
        self.desk.board.show(Arc::clone(&snapshot));
        let (patches, jobs) = (patches_of(&snapshot), jobs_of(&snapshot));
        let (patches_before, jobs_before) = (patches_of(&before), jobs_of(&before));

        for (name, view) in &patches {
            match patches_before.get(name) {
                None => self.add_patch(name).await?,
                Some(earlier) if earlier != view => {
                    self.values::<Patch>(path::of_patch(name)).await?;
                }
                Some(_) => {}
            }
        }
        for (id, view) in &jobs {
            match jobs_before.get(id) {
                None => self.add_job(*id).await?,
                Some(earlier) if earlier != view => {
                    self.values::<Job>(path::of_job(*id)).await?;
                }
                Some(_) => {}
            }
        }
        self.values::<Manager>(manager_path()).await?;
        for notice in notices {
            self.notify(notice).await?;
        }
        for name in patches_before.keys().filter(|k| !patches.contains_key(*k)) {
            self.remove::<Patch>(path::of_patch(name)).await?;
        }
        for id in jobs_before.keys().filter(|k| !jobs.contains_key(*k)) {
            self.remove::<Job>(path::of_job(*id)).await?;
        }
        Ok(())
    }

    async fn add_patch(&mut self, name: &PatchName) -> zbus::Result<()> {
        let object = Patch {
            board: Arc::clone(&self.desk.board),
            name: name.clone(),
        };
        self.add(path::of_patch(name), object).await
    }

    async fn add_job(&mut self, id: JobId) -> zbus::Result<()> {
        let object = Job {
            desk: self.desk.clone(),
            id,
        };
        self.add(path::of_job(id), object).await
    }

    async fn add<I: Interface>(&mut self, path: OwnedObjectPath, object: I) -> zbus::Result<()> {
        let server = self.connection.object_server();
        server.at(&path, object).await?;
        let values = self.read::<I>(&path).await?;
        self.told.insert(path, values);
        Ok(())
    }

    async fn remove<I: Interface>(&mut self, path: OwnedObjectPath) -> zbus::Result<()> {
        self.told.remove(&path);
        let server = self.connection.object_server();
        server.remove::<I, _>(&path).await?;
        Ok(())
    }

    /// Tells the properties of one object whose values are new.
    async fn values<I: Interface>(&mut self, path: OwnedObjectPath) -> zbus::Result<()> {
        let values = self.read::<I>(&path).await?;
        if path == manager_path() && !self.told.contains_key(&path) {
            // before the name is ours: nobody has to be told
            self.told.insert(path, values);
            return Ok(());
        }
        let told = self.told.entry(path.clone()).or_default();
        let changed = values
            .iter()
            .filter(|(name, value)| told.get(*name) != Some(value))
            .map(|(name, value)| Ok((name.as_str(), Variant::try_from(value)?)))
            .collect::<zbus::Result<HashMap<_, _>>>()?;
        if !changed.is_empty() {
            let emitter = SignalEmitter::new(&self.connection, &path)?;
            Properties::properties_changed(&emitter, I::name(), changed, Cow::Borrowed(&[])).await?;
        }
        *told = values;
        Ok(())
    }

    /// Reads the properties of one object as a caller would.
    async fn read<I: Interface>(&self, path: &OwnedObjectPath) -> zbus::Result<Told> {
        let server = self.connection.object_server();
        let object = server.interface::<_, I>(path).await?;
        let values = object
            .get()
            .await
            .get_all(server, &self.connection, None, object.signal_emitter())
            .await?;
        Ok(values)
    }

    async fn notify(&self, notice: Notice) -> zbus::Result<()> {
        let emitter = SignalEmitter::new(&self.connection, path::MANAGER)?;
        match notice {
            Notice::JobRemoved { id, patch, result } => {
                let job = path::of_job(id);
                Manager::job_removed(&emitter, job, patch.as_str(), result.as_str()).await
            }
            Notice::Stalled { patch, pending } => Manager::stalled(&emitter, patch.as_str(), pending).await,
        }
    }
}

fn manager_path() -> OwnedObjectPath {
    zbus::ObjectPath::from_static_str_unchecked(path::MANAGER).into()
}

fn patches_of(snapshot: &Snapshot) -> HashMap<PatchName, &PatchView> {
    snapshot
        .patches
        .iter()
        .filter_map(|view| Some((PatchName::new(&view.name)?, view)))
        .collect()
}

fn jobs_of(snapshot: &Snapshot) -> HashMap<JobId, (&job::Job, (u32, u32))> {
    let progress = snapshot.job_progress.iter().copied();
    // a job without progress is still a job
    let progress = progress.chain(std::iter::repeat((0, 0)));
    snapshot
        .jobs
        .iter()
        .zip(progress)
        .map(|(job, progress)| (job.id, (job, progress)))
        .collect()
}
