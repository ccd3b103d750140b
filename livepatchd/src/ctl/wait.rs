// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for a job, as long as it takes: the daemon keeps the deadline.
//!
//! Each signal of the daemon, and each moment without one, is a reason to look at the job. So a signal that is lost costs
//! nothing, and a daemon that is started again meanwhile is found again.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use zbus::{MessageStream, OwnedObjectPath};

use super::{
    client::Client,
    exit::{Exit, Failure},
    job::JobView,
    output::Output,
    progress::Progress,
};
use crate::model::{job::JobResult, patch::PatchState, time::Millis};

/// How often to look while nothing is heard. Blockers are no property, so no signal tells of a new one.
const LOOK: Duration = Duration::from_millis(200);

/// How long a daemon may be away before we give up: systemd starts it again within a second.
const AWAY: Duration = Duration::from_secs(30);

/// Waits until the job ends; says how.
pub(super) async fn wait(
    client: &Client,
    output: Output,
    mut signals: MessageStream,
    path: &OwnedObjectPath,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let mut progress = Progress::new(output);
    let mut last: Option<JobView> = None;
    let mut seen = Instant::now();
    // one for the whole wait: a signal that comes while we look must not be lost
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let looked = look(client, path, &mut progress).await;
        // numbers are counted since boot, but a runtime directory can be lost
        let looked = looked.map(|job| job.filter(|job| last.as_ref().is_none_or(|last| is_same(last, job))));
        match looked {
            Ok(Some(job)) if job.result.is_some() => {
                progress.finish();
                return end(output, &job, started.elapsed());
            }
            Ok(Some(job)) => {
                last = Some(job);
                seen = Instant::now();
            }
            Ok(None) => {
                progress.finish();
                let job = inferred(client, last).await?;
                return end(output, &job, started.elapsed());
            }
            Err(failure) if failure.exit == Exit::Unreachable && seen.elapsed() < AWAY => {
                progress.away();
            }
            Err(failure) => {
                progress.finish();
                return Err(failure);
            }
        }
        tokio::select! {
            next = signals.next() => {
                if next.is_none() {
                    progress.finish();
                    return Err(Failure::new(Exit::Unreachable, "the bus is gone"));
                }
                // what came with it is answered by the same look
                while let Some(Some(_)) = signals.next().now_or_never() {}
            }
            () = tokio::time::sleep(LOOK) => {}
            _ = &mut interrupt => {
                progress.finish();
                return interrupted(output, last.as_ref());
            }
        }
    }
}

async fn look(client: &Client, path: &OwnedObjectPath, progress: &mut Progress) -> Result<Option<JobView>, Failure> {
    let job = client.job(path).await?;
    if let Some(job) = job.as_ref().filter(|job| job.result.is_none()) {
        let blockers = if job.is_loading() {
            Vec::new()
        } else {
            // between the two calls the patch may have gone; the next look tells
            client.blockers(&job.patch, false).await.unwrap_or_default()
        };
        progress.show(job, &blockers);
    }
    Ok(job)
}

/// Whether a job of one number at two moments is one job.
fn is_same(before: &JobView, now: &JobView) -> bool {
    (&before.kind, &before.patch) == (&now.kind, &now.patch)
}

/// What became of a job whose end was missed: the daemon was started again just then. The kernel's state tells.
async fn inferred(client: &Client, last: Option<JobView>) -> Result<JobView, Failure> {
    let lost = || {
        Failure::new(
            Exit::Failed,
            "the daemon no longer knows the job; see: livepatchctl status",
        )
    };
    let job = last.ok_or_else(lost)?;
    let patches = client.patches().await?;
    let state = patches
        .iter()
        .find(|view| view.name == job.patch)
        .map(|view| view.state);
    let done = match job.kind.as_str() {
        "apply" => state == Some(PatchState::Enabled),
        "revert" => state.is_none(),
        _ => false,
    };
    let result = done.then_some(JobResult::Done).ok_or_else(lost)?;
    Ok(JobView {
        result: Some(result),
        ..job
    })
}

fn end(output: Output, job: &JobView, took: Duration) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&job.document());
    }
    let exit = job.outcome()?;
    if !output.is_json() {
        let took = Millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let what = match job.kind.as_str() {
            "apply" => "applied and complete",
            "revert" => "reverted",
            "cancel" => "transition reversed",
            _ => "forced; reboot as soon as you can",
        };
        output.line(&format!("{}: {what} ({took})", job.patch));
    }
    Ok(exit)
}

/// Ctrl-C ends the wait, not the job.
fn interrupted(output: Output, job: Option<&JobView>) -> Result<Exit, Failure> {
    let Some(job) = job else {
        return Err(Failure::new(Exit::Failed, "interrupted; the job goes on"));
    };
    if output.is_json() {
        output.json(&job.document());
    }
    let message = format!(
        "no longer waiting; {} of {} goes on as job {}",
        job.kind, job.patch, job.id
    );
    let advice = format!(
        "reverse it: livepatchctl cancel {0}; see it: livepatchctl status {0}",
        job.patch
    );
    Err(Failure::new(Exit::Failed, message).advise(advice))
}
