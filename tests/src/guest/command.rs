// SPDX-License-Identifier: GPL-2.0-only
//! Running a command with a bound, and what came of it.
//!
//! Output goes to memory files rather than pipes: a command that leaves a child behind cannot hold the caller, and no
//! amount of output can block the command.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};

use crate::wait;

/// Enough for any command of a healthy guest under emulation.
const USUAL_BOUND: Duration = Duration::from_secs(20);

/// A command not yet run.
#[derive(Debug, Clone)]
pub struct Call {
    words: Vec<String>,
    environment: Vec<(String, String)>,
    bound: Duration,
}

/// What a command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// The exit code; 128 and the signal's number when a signal ended it, as a shell would say it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Call {
    pub(super) fn new<I: IntoIterator<Item = A>, A: Into<String>>(program: &str, arguments: I) -> Self {
        let words = std::iter::once(program.to_owned())
            .chain(arguments.into_iter().map(Into::into))
            .collect();
        Self {
            words,
            environment: Vec::new(),
            bound: USUAL_BOUND,
        }
    }

    /// As another user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.words.splice(..0, ["runuser", "-u", user, "--"].map(str::to_owned));
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another bound than the usual 20 s.
    #[must_use]
    pub fn within(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Runs it to its end, whatever its exit code. Beyond the bound it is killed and that is an error.
    pub fn run(self) -> Result<Output> {
        self.spawn()?.end()
    }

    /// Runs it to its end, and `work` beside it.
    pub fn during<T>(self, work: impl FnOnce() -> Result<T>) -> Result<(Output, T)> {
        let running = self.spawn()?;
        let done = work();
        let output = running.end()?;
        let done = done.with_context(|| format!("beside it: {output:?}"))?;
        Ok((output, done))
    }

    /// Runs it to its end and fails unless it exits with 0; gives standard output.
    pub fn ok(self) -> Result<String> {
        self.run()?.ok()
    }

    /// Starts it in a process group of its own and goes on.
    pub(super) fn spawn(self) -> Result<Running> {
        let command = self.words.join(" ");
        let [stdout, stderr] = [memory_file()?, memory_file()?];
        let child = Command::new(&self.words[0])
            .args(&self.words[1..])
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting `{command}`"))?;
        Ok(Running {
            command,
            child,
            stdout,
            stderr,
            bound: self.bound,
            start: Instant::now(),
        })
    }
}

impl Output {
    /// Standard output, if the exit code was 0.
    pub fn ok(self) -> Result<String> {
        ensure!(
            self.code == 0,
            "`{}` ended with {}: {}",
            self.command,
            self.code,
            self.stderr.trim()
        );
        Ok(self.stdout)
    }
}

/// A command that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) command: String,
    pub(super) child: Child,
    stdout: File,
    stderr: File,
    bound: Duration,
    start: Instant,
}

impl Running {
    /// Waits for its end; kills it when its bound is over.
    fn end(mut self) -> Result<Output> {
        let what = format!("`{}` to end", self.command);
        let mut status = None;
        let left = self.bound.saturating_sub(self.start.elapsed());
        let waited = wait::until(left, &what, || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        });
        let Some(status) = status else {
            self.kill();
            let said = self.said()?;
            waited.with_context(|| format!("it had said: {}{}", said.0, said.1))?;
            bail!("`{}` has no status", self.command);
        };
        let (stdout, stderr) = self.said()?;
        Ok(Output {
            command: self.command,
            code: code(status),
            stdout,
            stderr,
            took: self.start.elapsed(),
        })
    }

    /// Standard output and standard error up to now.
    pub(super) fn said(&self) -> Result<(String, String)> {
        Ok((contents(&self.stdout)?, contents(&self.stderr)?))
    }

    /// Kills its process group. What cannot die now (an uninterruptible sleeper) is left for the cleaning up.
    pub(super) fn kill(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // It may be gone already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.try_wait();
    }
}

/// Appending, so that processes that share it do not write over each other's lines.
fn memory_file() -> Result<File> {
    let file = memfd_create("output", MemfdFlags::CLOEXEC)?;
    fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file.into())
}

/// All that was written, by an open file of its own: the offset of the other is shared with the writers.
fn contents(file: &File) -> Result<String> {
    let bytes = std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_exit_code_come_back() -> Result<()> {
        let output = Call::new("sh", ["-c", "echo out; echo err >&2; exit 3"]).run()?;
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (3, "out\n", "err\n")
        );
        assert!(
            output
                .ok()
                .is_err_and(|error| error.to_string().ends_with("ended with 3: err"))
        );
        Ok(())
    }

    #[test]
    fn a_command_beyond_its_bound_is_killed_and_named() {
        let failure = Call::new("sh", ["-c", "echo begun; sleep 60"])
            .within(Duration::from_millis(300))
            .run();
        let message = failure.map_err(|error| format!("{error:#}")).err().unwrap_or_default();
        assert!(
            message.contains("begun") && message.contains("sleep 60` to end"),
            "{message}"
        );
    }
}
