// SPDX-License-Identifier: GPL-2.0-only
//! Calls that make no sense: options that are none, arguments of other types, files that are no module.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Scenario;
use crate::guest::{Guest, Output};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "options that make no sense are a usage error and nothing changes",
        garbage_options,
    )
    .within_secs(120),
    Scenario::new(
        "D-Bus calls with wrong types or options are refused by name and nothing changes",
        wrong_types,
    )
    .within_secs(180),
    Scenario::new(
        "a file descriptor that is no live patch is refused by name and nothing changes",
        bad_descriptors,
    )
    .within_secs(120),
];

const NAME: &str = "org.livepatch.Manager";
const PATH: &str = "/org/livepatch/Manager";

fn garbage_options(guest: &Guest) -> Result<()> {
    let standing = guest.standing()?;
    let file = guest.module("lp_vmlinux").file();
    let lines: &[&[&str]] = &[
        &[],
        &["explode"],
        &["apply"],
        &["apply", &file, &file],
        &["apply", &file, "--explode"],
        &["apply", &file, "--timeout"],
        &["apply", &file, "--timeout", "soon"],
        &["apply", &file, "--timeout", "0s"],
        &["apply", &file, "--timeout=-1s"],
        &["apply", &file, "--timeout", "99999999999999999999s"],
        &["apply", &file, "--on-timeout", "panic"],
        &["apply", &file, "--no-nudge=yes"],
        &["revert"],
        &["status", "--json=5"],
        &["force", "lp"],
        &["completions", "cobol"],
    ];
    for words in lines {
        let told = guest.ctl().call(words.iter().copied()).run()?;
        ensure!(told.code == 2, "{words:?} ended with {}: {}", told.code, told.stderr);
        ensure!(!told.stderr.is_empty() && told.stdout.is_empty(), "{words:?}: {told:?}");
    }
    standing.ensure_unchanged()
}

fn wrong_types(guest: &Guest) -> Result<()> {
    let standing = guest.standing()?;
    let file = guest.module("lp_vmlinux").file();
    let file = file.as_str();
    let calls: &[(&str, &[&str])] = &[
        ("Apply", &["u", "5"]),
        ("Apply", &[]),
        ("Apply", &["ss", file, file]),
        ("Apply", &["as", "1", file]),
        ("ApplyWith", &["s", file]),
        ("ApplyWith", &["sa{ss}", file, "1", "timeout", "5"]),
        ("ApplyWith", &["sa{sv}", file, "1", "colour", "s", "red"]),
        ("ApplyWith", &["sa{sv}", file, "1", "timeout", "s", "5s"]),
        ("ApplyWith", &["sa{sv}", file, "1", "timeout", "t", "0"]),
        ("ApplyWith", &["sa{sv}", file, "1", "on-timeout", "s", "explode"]),
        ("ApplyWith", &["sa{sv}", file, "1", "nudge", "u", "1"]),
        ("RevertWith", &["sa{sv}", "lp", "1", "colour", "s", "red"]),
        ("Nudge", &["b", "true"]),
        ("ListBlockers", &["i", "5"]),
    ];
    for (method, words) in calls {
        let name = guest.bus().error_of(method, words)?;
        ensure!(
            name == "org.freedesktop.DBus.Error.InvalidArgs",
            "{method} {words:?}: {name}"
        );
    }
    let name = guest.bus().error_of("Explode", &[])?;
    ensure!(name == "org.freedesktop.DBus.Error.UnknownMethod", "{name}");
    let set = ["set-property", NAME, PATH, NAME, "RebootAdvised", "b", "true"];
    let told = guest.call("busctl", set).run()?;
    ensure!(told.code != 0, "a property that is only read was set");
    standing.ensure_unchanged()
}

/// Passes a file that a shell opens.
fn apply_fd(guest: &Guest, from: &str, name: &str) -> Result<Output> {
    let line = format!("exec busctl call {NAME} {PATH} {NAME} ApplyFd 'hsa{{sv}}' 3 '{name}' 0 3< {from}");
    let call = guest.call("bash", ["-c", &line]);
    call.env("SYSTEMD_LOG_LEVEL", "debug")
        .env("SYSTEMD_LOG_TARGET", "console")
        .run()
}

fn bad_descriptors(guest: &Guest) -> Result<()> {
    let standing = guest.standing()?;
    let notlp = guest.module("notlp").file();
    let good = guest.module("lp_vmlinux").file();
    for (from, name, error) in [
        ("/root", "", "org.livepatch.Error.InvalidModule"),
        ("/dev/null", "", "org.livepatch.Error.InvalidModule"),
        ("<(sleep 30)", "", "org.livepatch.Error.InvalidModule"),
        (&notlp, "", "org.livepatch.Error.InvalidModule"),
        (&good, "lp", "org.livepatch.Error.InvalidModule"),
        (&good, "a/b", "org.freedesktop.DBus.Error.InvalidArgs"),
    ] {
        let told = apply_fd(guest, from, name)?;
        let named = told.stderr.contains(&format!("error-name={error} "));
        ensure!(
            told.code != 0 && named,
            "{from} as {name:?} ended with {}: {}",
            told.code,
            told.stderr
        );
    }
    standing.ensure_unchanged()?;
    // the way that is open: a file that only its opener can name
    let told = apply_fd(guest, &good, "lp_vmlinux")?;
    ensure!(told.code == 0, "a good file: {}", told.stderr);
    guest
        .patch("lp_vmlinux")
        .wait_applied(Duration::from_secs(10))
        .map(drop)
}
