// SPDX-License-Identifier: GPL-2.0-only
//! Assembles a machine's initramfs: the packed userland from the cache, followed by a small archive with what this boot is
//! made of: our programs, what `make install` installs, the modules of its kernel, units, and the plan.

use std::fs::{self, File};
use std::io::{BufWriter, copy};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::archive::Archive;
use super::libc_of_host;
use super::setup::{Kernel, userland, workspace};
use super::workplace::Workplace;
use crate::plan::{KLP_RS_TESTS, PLAN, PROGRAMS, Plan, Purpose, SAMPLES};
use crate::scenarios;

/// Starts the plan when everything else has started. Its control group is its own to divide.
const RUNNER_UNIT: &str = "\
[Unit]
Description=Scenarios of the livepatchd tests
After=multi-user.target

[Service]
Type=exec
Environment=HOME=/root
ExecStart=/usr/lib/livepatch-tests/scenarios plan
ExecStopPost=/usr/bin/systemctl --force --force poweroff
Delegate=yes
TasksMax=infinity
LimitNOFILE=65536
";

/// A shell on the console; leaving it ends the machine.
const SHELL_UNIT: &str = "\
[Unit]
Description=Shell on the console
After=multi-user.target

[Service]
Type=exec
Environment=HOME=/root TERM=linux
WorkingDirectory=/root
ExecStartPre=/usr/sbin/insmod /root/samples/tgt.ko
ExecStart=/bin/bash --login
ExecStopPost=/usr/bin/systemctl --force --force poweroff
StandardInput=tty-force
StandardOutput=tty
TTYPath=/dev/ttyS0
Delegate=yes
TasksMax=infinity
";

const WELCOME: &str = "\
cat <<'END'

This is a virtual machine; leave it with `exit`, kill it with Ctrl-a x.
  samples/                          live patches; samples/tgt.ko is loaded, its files are in /proc/tgt
  cat /proc/tgt/wait &              a reader that sleeps in a function samples/lp.ko replaces
  livepatchctl apply samples/lp.ko
  echo all > /proc/tgt/release      lets readers go

END
cd
";

/// Builds the guest's programs of this package (`cargo run` has built the one that runs and no other), and livepatchd if it
/// is to be in the guest. Gives the folder that `make install` has filled; done once, however many machines are booted.
pub(super) fn build(daemon: bool) -> Result<Option<Workplace>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "livepatch-tests",
        "--bins",
    ];
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(workspace())
        .status()
        .context("cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    daemon.then(install).transpose()
}

fn install() -> Result<Workplace> {
    let folder = Workplace::take("install")?;
    let mut make = Command::new("make");
    make.args(["--silent", "-C"]).arg(workspace());
    make.args(["build", "install", "PREFIX=/usr"])
        .arg(format!("DESTDIR={}", folder.display()));
    // Its last words are for people who install by hand.
    let status = make.stdout(Stdio::null()).status().context("make")?;
    ensure!(
        status.success(),
        "make build install ended with {status}; --no-daemon runs what needs none"
    );
    Ok(folder)
}

/// Builds the daemon that dies on demand. It has a name of its own, so that it never lies where `make install` looks.
fn faulty_daemon() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "livepatchd"])
        .args(["--features", "fault-injection", "--bin", "livepatchd-faulty"])
        .current_dir(workspace())
        .status()
        .context("cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    beside_us("livepatchd-faulty")
}

/// Builds the part of the benchmark that is made of livepatchd's own code.
fn scan_benchmark() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "livepatchd",
        "--example",
        "scan",
    ];
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(workspace())
        .status()
        .context("cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    beside_us("examples/scan")
}

/// Writes the initramfs of one boot to `image`.
pub(super) fn assemble(image: &Path, kernel: &Kernel, installed: Option<&Path>, plan: &Plan) -> Result<()> {
    let mut out = BufWriter::new(File::create(image)?);
    copy(&mut File::open(userland()?)?, &mut out)?;
    let mut archive = Archive::new(out);

    for program in ["scenarios", "workload"] {
        archive.copy(&inside(PROGRAMS, program), &beside_us(program)?)?;
    }
    for (name, source) in libc_of_host::to_take_along(&beside_us("scenarios")?)? {
        archive.copy(&format!("usr/lib/x86_64-linux-gnu/{name}"), &source)?;
    }
    if plan.purpose == Purpose::Program("bench".to_owned()) {
        archive.copy(&inside(PROGRAMS, "scan"), &scan_benchmark()?)?;
    }
    if let Purpose::Scenarios(names) = &plan.purpose {
        let mut planned = names.iter().map(|name| scenarios::find(name));
        if planned.any(|scenario| scenario.is_ok_and(|scenario| scenario.faulty)) {
            archive.copy(&inside("/usr/libexec", "livepatchd-faulty"), &faulty_daemon()?)?;
        }
    }
    if let Some(installed) = installed {
        archive.tree(installed)?;
        enable(
            &mut archive,
            "livepatchd.service",
            "/usr/lib/systemd/system/livepatchd.service",
        )?;
    }
    take_along(&mut archive, &kernel.modules, PROGRAMS)?;
    if let Some(klp_rs) = &kernel.klp_rs {
        take_along(&mut archive, klp_rs, PROGRAMS)?;
        take_along(&mut archive, &workspace().join("klp-module/tests"), KLP_RS_TESTS)?;
        let selftests = format!("{KLP_RS_TESTS}/selftests");
        take_along(&mut archive, &klp_rs.join("selftests"), &selftests)?;
        archive.symlink("modules", SAMPLES)?;
    }
    let (name, unit) = match plan.purpose {
        Purpose::Shell => ("livepatch-shell.service", SHELL_UNIT),
        Purpose::Scenarios(_) | Purpose::Program(_) => ("livepatch-tests.service", RUNNER_UNIT),
    };
    archive.file(&format!("etc/systemd/system/{name}"), 0o644, unit.as_bytes())?;
    enable(&mut archive, name, &format!("/etc/systemd/system/{name}"))?;
    if plan.purpose == Purpose::Shell {
        let size = plan
            .terminal
            .map(|(rows, columns)| format!("stty rows {rows} cols {columns}\n"));
        archive.file(
            "root/.bash_profile",
            0o644,
            (size.unwrap_or_default() + WELCOME).as_bytes(),
        )?;
    }
    archive.file(PLAN.trim_start_matches('/'), 0o644, &serde_json::to_vec(plan)?)?;
    archive.finish().map(drop)
}

/// Modules to where modules lie, everything else that is a file to `folder`.
fn take_along(archive: &mut Archive<BufWriter<File>>, from: &Path, folder: &str) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .context("a file's name")?;
        let module = path.extension().is_some_and(|extension| extension == "ko");
        if path.is_file() {
            archive.copy(&inside(if module { SAMPLES } else { folder }, name), &path)?;
        }
    }
    Ok(())
}

fn enable(archive: &mut Archive<BufWriter<File>>, name: &str, unit: &str) -> Result<()> {
    archive.symlink(&format!("etc/systemd/system/multi-user.target.wants/{name}"), unit)
}

/// Archive paths have no leading slash.
fn inside(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_start_matches('/'))
}

/// A program of this package, built together with the one that runs.
fn beside_us(program: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(program);
    if !path.exists() {
        bail!(
            "{} is missing: build with `cargo build --release -p livepatch-tests`",
            path.display()
        );
    }
    Ok(path)
}
