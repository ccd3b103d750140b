// SPDX-License-Identifier: GPL-2.0-only
//! `nudge`. JSON: `{"patch":"fix","nudged":1}`.

use serde::Serialize;

use super::{
    client::Client,
    exit::{Exit, Failure},
    output::Output,
};

#[derive(Debug, Serialize)]
struct Document<'a> {
    patch: &'a str,
    nudged: u32,
}

/// Nudges a patch's blockers.
pub(super) async fn nudge(client: &Client, output: Output, patch: Option<String>) -> Result<Exit, Failure> {
    let patch = client.patch_or_transition(patch).await?;
    let nudged: u32 = client.change("Nudge", &patch).await?;
    if output.is_json() {
        output.json(&Document { patch: &patch, nudged });
    } else {
        let tasks = match nudged {
            0 => "no task can be nudged".to_owned(),
            1 => "1 task is nudged".to_owned(),
            n => format!("{n} tasks are nudged"),
        };
        output.line(&format!("{patch}: {tasks}"));
    }
    Ok(Exit::Done)
}
