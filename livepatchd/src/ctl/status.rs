// SPDX-License-Identifier: GPL-2.0-only
//! `status` and `list`. JSON of `list`: the array `patches` of `status`.
//!
//! `status` ends in [`Exit::TimedOut`] if a patch that it shows is stalled, so that monitoring needs nothing else.

use serde::Serialize;

use super::{
    blockers,
    client::Client,
    exit::{Exit, Failure},
    output::{Output, Tone},
    table::{Align, Table},
    text,
};
use crate::model::{
    patch::{PatchName, PatchState},
    snapshot::PatchView,
    time::{Millis, Moment},
};

/// The contract's document.
#[derive(Debug, Serialize)]
struct Document {
    kernel: String,
    cores: Vec<String>,
    transition: Option<String>,
    reboot_advised: bool,
    patches: Vec<PatchView>,
}

/// Shows everything, or one patch.
pub(super) async fn status(output: Output, patch: Option<String>) -> Result<Exit, Failure> {
    let client = Client::connect().await?;
    let manager = client.manager();
    let mut document = Document {
        kernel: client.read(manager.kernel_release()).await?,
        cores: client.read(manager.cores()).await?,
        transition: client.transition().await?,
        reboot_advised: client.read(manager.reboot_advised()).await?,
        patches: client.patches().await?,
    };
    let degraded = client.read(manager.degraded()).await?;
    if let Some(name) = &patch {
        document.patches = vec![find(document.patches, name)?];
    }
    let stalled = document.patches.iter().any(|view| view.stalled);
    if output.is_json() {
        output.json(&document);
    } else if let (Some(_), [view]) = (&patch, document.patches.as_slice()) {
        details(output, view);
        if view.pending > 0 {
            let blockers = client.blockers(&view.name, false).await?;
            if !blockers.is_empty() {
                output.line("");
                blockers::print(output, &blockers);
            }
        }
    } else {
        overview(output, &document, &degraded);
    }
    Ok(if stalled { Exit::TimedOut } else { Exit::Done })
}

/// Shows the patches only.
pub(super) async fn list(output: Output) -> Result<Exit, Failure> {
    let patches = Client::connect().await?.patches().await?;
    if output.is_json() {
        output.json(&patches);
    } else {
        table(output, &patches);
    }
    Ok(Exit::Done)
}

fn find(patches: Vec<PatchView>, text: &str) -> Result<PatchView, Failure> {
    let name = PatchName::new(text);
    let found = patches
        .into_iter()
        .find(|view| name.as_ref().is_some_and(|name| view.name == name.as_str()));
    found.ok_or_else(|| Failure::new(Exit::NotFound, format!("no patch called {text:?} is loaded")))
}

fn overview(output: Output, document: &Document, degraded: &[String]) {
    let cores = match document.cores.as_slice() {
        [] => "no livepatch core: this kernel cannot be patched live".to_owned(),
        cores => cores.join(", "),
    };
    label(output, "Kernel", &format!("{} ({cores})", document.kernel));
    let transition = match &document.transition {
        None => "none".to_owned(),
        Some(name) => document
            .patches
            .iter()
            .find(|view| view.name == *name)
            .map_or_else(|| name.clone(), |view| format!("{name}: {}", moving(view))),
    };
    label(output, "Transition", &transition);
    if document.reboot_advised {
        let why = output.paint(Tone::Bad, "advised: a transition was forced since boot");
        label(output, "Reboot", &why);
    }
    for (place, sentence) in degraded.iter().enumerate() {
        label(output, if place == 0 { "Degraded" } else { "" }, &text::clean(sentence));
    }
    output.line("");
    table(output, &document.patches);
}

fn details(output: Output, view: &PatchView) {
    label(output, "Patch", &view.name);
    let state = format!("{} for {}", view.state.as_str(), age(view));
    label(output, "State", &output.paint(tone(view), &state));
    if view.state.direction().is_some() {
        label(output, "Tasks", &moving(view));
    }
    label(output, "Core", view.core.as_str());
    if view.stack_order > 0 {
        label(output, "Order", &view.stack_order.to_string());
    }
    label(output, "Replace", if view.replace { "yes" } else { "no" });
    for (place, function) in view.functions.iter().enumerate() {
        let position = match function.sympos {
            0 | 1 => String::new(),
            n => format!(" (symbol {n} of this name)"),
        };
        let text = format!("{}: {}{position}", function.object, function.name);
        label(output, if place == 0 { "Functions" } else { "" }, &text::clean(&text));
    }
}

fn label(output: Output, label: &str, text: &str) {
    let label = if label.is_empty() {
        String::new()
    } else {
        format!("{label}:")
    };
    output.line(&format!("{} {text}", output.paint(Tone::Head, &format!("{label:>11}"))));
}

fn table(output: Output, patches: &[PatchView]) {
    if patches.is_empty() {
        output.line("no live patch is loaded");
        return;
    }
    let mut table = Table::new(&[
        ("PATCH", Align::Left),
        ("STATE", Align::Left),
        ("FOR", Align::Right),
        ("CORE", Align::Left),
        ("ORDER", Align::Right),
        ("FUNCTIONS", Align::Right),
        ("TASKS", Align::Left),
    ]);
    for view in patches {
        table.row([
            view.name.clone(),
            view.state.as_str().to_owned(),
            age(view),
            view.core.to_string(),
            Some(view.stack_order)
                .filter(|order| *order > 0)
                .map_or_else(String::new, |order| order.to_string()),
            view.functions.len().to_string(),
            if view.state.direction().is_some() {
                moving(view)
            } else {
                String::new()
            },
        ]);
    }
    output.table(&table);
}

fn moving(view: &PatchView) -> String {
    let stalled = if view.stalled { ", stalled" } else { "" };
    format!("{}{stalled}", text::pending(view.pending, view.total))
}

fn tone(view: &PatchView) -> Tone {
    match view.state {
        _ if view.stalled => Tone::Bad,
        PatchState::Enabled => Tone::Good,
        PatchState::Enabling | PatchState::Disabling => Tone::Busy,
        PatchState::Loaded | PatchState::Disabled => Tone::Head,
    }
}

fn age(view: &PatchView) -> String {
    text::span(now().since(view.since))
}

/// `CLOCK_BOOTTIME`, the clock of [`PatchView::since`].
fn now() -> Moment {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ms = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    Moment(Millis(u64::try_from(ms).unwrap_or(0)).0)
}
