// SPDX-License-Identifier: GPL-2.0-only
//! `status` and `list`. JSON of `list`: the array `patches` of `status`.
//!
//! `status` ends in [`Exit::TimedOut`] if a patch that it shows is stalled, so that monitoring needs nothing else. Without
//! the daemon both show what sysfs tells ([`offline`]), with `pending` and `total` 0, and end in [`Exit::Unreachable`].

use serde::Serialize;

use super::{
    blockers,
    client::Client,
    exit::{Exit, Failure},
    offline,
    output::{Output, Tone},
    table::{Align, Table},
    text,
};
use crate::{
    bus::known,
    model::{
        patch::{Core, PatchName, PatchState},
        snapshot::PatchView,
        time::Moment,
    },
};

/// The contract's document.
#[derive(Debug, Serialize)]
struct Document {
    kernel: String,
    cores: Vec<Core>,
    transition: Option<String>,
    reboot_advised: bool,
    patches: Vec<PatchView>,
    #[serde(skip)]
    degraded: Vec<String>,
    /// Why it comes from sysfs and not from the daemon.
    #[serde(skip)]
    offline: Option<Failure>,
}

impl Document {
    /// What the daemon says; if there is none, what sysfs says.
    async fn get() -> Result<Self, Failure> {
        match Self::ask().await {
            Err(failure) if failure.exit == Exit::Unreachable => Ok(Self::look(failure)),
            answer => answer,
        }
    }

    async fn ask() -> Result<Self, Failure> {
        let client = Client::connect().await?;
        let manager = client.manager();
        let cores = client.read(manager.cores()).await?.into_iter().map(known);
        Ok(Self {
            kernel: client.read(manager.kernel_release()).await?,
            cores: cores
                .collect::<Result<_, _>>()
                .map_err(|unknown| Failure::new(Exit::Failed, unknown.to_string()))?,
            transition: client.transition().await?,
            reboot_advised: client.read(manager.reboot_advised()).await?,
            patches: client.patches().await?,
            degraded: client.read(manager.degraded()).await?,
            offline: None,
        })
    }

    fn look(failure: Failure) -> Self {
        let (kernel, seen) = offline::look();
        Self {
            kernel,
            cores: seen.cores,
            transition: seen.transition.map(|name| name.to_string()),
            reboot_advised: seen.reboot_advised,
            patches: seen.patches,
            degraded: vec!["this is what sysfs tells; no daemon knows more".to_owned()],
            offline: Some(failure),
        }
    }

    /// How the command ends once this was shown.
    fn end(self, exit: Exit) -> Result<Exit, Failure> {
        self.offline.map_or(Ok(exit), Err)
    }
}

/// Shows everything, or one patch.
pub(super) async fn status(output: Output, patch: Option<String>) -> Result<Exit, Failure> {
    let mut document = Document::get().await?;
    if let Some(name) = &patch {
        document.patches = vec![find(document.patches, name)?];
    }
    let stalled = document.patches.iter().any(|view| view.stalled);
    if output.is_json() {
        output.json(&document);
    } else if let (Some(_), [view]) = (&patch, document.patches.as_slice()) {
        details(output, view, document.offline.is_none());
        if view.pending > 0 {
            let blockers = Client::connect().await?.blockers(&view.name, false).await?;
            if !blockers.is_empty() {
                output.line("");
                blockers::print(output, &blockers);
            }
        }
    } else {
        overview(output, &document);
    }
    document.end(if stalled { Exit::TimedOut } else { Exit::Done })
}

/// Shows the patches only.
pub(super) async fn list(output: Output) -> Result<Exit, Failure> {
    let document = Document::get().await?;
    if output.is_json() {
        output.json(&document.patches);
    } else {
        table(output, &document.patches, document.offline.is_none());
    }
    document.end(Exit::Done)
}

fn find(patches: Vec<PatchView>, text: &str) -> Result<PatchView, Failure> {
    let name = PatchName::new(text);
    let found = patches
        .into_iter()
        .find(|view| name.as_ref().is_some_and(|name| view.name == name.as_str()));
    found.ok_or_else(|| Failure::new(Exit::NotFound, format!("no live patch named {text:?} is loaded")))
}

fn overview(output: Output, document: &Document) {
    let live = document.offline.is_none();
    let cores: Vec<&str> = document.cores.iter().map(|core| core.as_str()).collect();
    let cores = match cores.as_slice() {
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
            .map_or_else(|| name.clone(), |view| format!("{name}: {}", moving(view, live))),
    };
    label(output, "Transition", &transition);
    if document.reboot_advised {
        let why = output.paint(Tone::Bad, "advised: a transition was forced since boot");
        label(output, "Reboot", &why);
    }
    for (place, sentence) in document.degraded.iter().enumerate() {
        label(output, if place == 0 { "Degraded" } else { "" }, &text::clean(sentence));
    }
    output.line("");
    table(output, &document.patches, live);
}

fn details(output: Output, view: &PatchView, live: bool) {
    label(output, "Patch", &view.name);
    let age = if live {
        format!(" for {}", age(view))
    } else {
        String::new()
    };
    let state = format!("{}{age}", view.state.as_str());
    label(output, "State", &output.paint(tone(view), &state));
    if view.state.direction().is_some() {
        label(output, "Tasks", &moving(view, live));
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

fn table(output: Output, patches: &[PatchView], live: bool) {
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
            if live { age(view) } else { String::new() },
            view.core.to_string(),
            Some(view.stack_order)
                .filter(|order| *order > 0)
                .map_or_else(String::new, |order| order.to_string()),
            view.functions.len().to_string(),
            if view.state.direction().is_some() {
                moving(view, live)
            } else {
                String::new()
            },
        ]);
    }
    output.table(&table);
}

fn moving(view: &PatchView, live: bool) -> String {
    if !live {
        return "in transition".to_owned();
    }
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
    Moment(u64::try_from(ms).unwrap_or(0))
}
