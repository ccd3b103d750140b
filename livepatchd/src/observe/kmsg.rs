// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's log, `/dev/kmsg`: as a stream that sleeps until there is a line, and as "what was logged since".
//!
//! The lines of the livepatch cores are recognised by [`message`]. They tell less than BPF events (the rounds are not
//! logged, the reversal only at debug level) and are the reason to list again on kernels where there are no events.
//! Nothing here polls, and nothing is ever written to the log.

mod line;
mod message;

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

pub use line::Line;
pub use message::{Message, message};
use rustix::{
    fs::{CWD, Mode, OFlags, SeekFrom, openat, seek},
    io::{Errno, read},
};
use tokio::io::unix::AsyncFd;

use super::source;

/// One record at most: `kernel/printk/printk.c: PRINTK_MESSAGE_MAX` is 2,048, and escapes are counted in it.
const RECORD_MAX: usize = 8192;

/// As many lines as are kept of what was logged during one operation; a flood is somebody else's.
const SINCE_MAX: usize = 1000;

/// Where the log is.
pub fn path() -> PathBuf {
    "/dev/kmsg".into()
}

/// What a read of the log gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A line.
    Line(Line),
    /// Lines were overwritten before they could be read.
    Lost,
}

/// All lines from now on.
#[derive(Debug)]
pub struct Stream {
    fd: AsyncFd<OwnedFd>,
}

impl Stream {
    /// Begins with the next line that is logged. Fails without `CAP_SYSLOG` where `kernel.dmesg_restrict` is set.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            fd: source::readable(open_at_end(path)?)?,
        })
    }

    /// Waits for the next entry. May be dropped while it waits; no line is lost by that.
    pub async fn next(&mut self) -> io::Result<Entry> {
        let mut buffer = [0; RECORD_MAX];
        loop {
            let mut ready = self.fd.readable().await?;
            match ready.try_io(|fd| next(fd.get_ref(), &mut buffer)) {
                Ok(Ok(Some(entry))) => return Ok(entry),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(err)) => return Err(err),
            }
        }
    }
}

/// Marks the present end of the log; what is returned gives the text of every line logged since, when it is called.
/// Without access to the log there are none.
pub fn since(path: &Path) -> Box<dyn FnOnce() -> Vec<String>> {
    let Ok(fd) = open_at_end(path) else {
        return Box::new(Vec::new);
    };
    Box::new(move || {
        let mut buffer = [0; RECORD_MAX];
        let mut lines = Vec::new();
        while lines.len() < SINCE_MAX {
            match next(&fd, &mut buffer) {
                Ok(Some(Entry::Line(line))) => lines.push(line.text),
                Ok(Some(Entry::Lost) | None) => {}
                // the end
                Err(_) => break,
            }
        }
        lines
    })
}

fn open_at_end(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = openat(CWD, path, flags, Mode::empty())?;
    seek(&fd, SeekFrom::End(0))?;
    Ok(fd)
}

/// One record; `None` for one that is no line of the usual form. `WouldBlock` at the end.
fn next(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<Entry>> {
    match rustix::io::retry_on_intr(|| read(fd, &mut *buffer)) {
        // a device never ends; an ordinary file in a test does
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(count) => Ok(buffer.get(..count).and_then(Line::parse).map(Entry::Line)),
        Err(Errno::PIPE) => Ok(Some(Entry::Lost)),
        Err(err) => Err(err.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, path::Path, time::Duration};

    use super::{Entry, Stream, path, since};

    /// What user space may write to the log; the prefix keeps it apart from the kernel's own lines.
    fn log(text: &str) {
        let mut kmsg = std::fs::File::options()
            .write(true)
            .open(path())
            .expect("this test needs root");
        // without the line's end it would stay open for more
        kmsg.write_all(format!("livepatchd test: {text}\n").as_bytes())
            .expect("logged");
    }

    #[test]
    fn what_is_logged_after_the_mark_is_returned_and_nothing_before() {
        log("before the mark");
        let lines = since(&path());
        log("after the mark");
        log("and one more");
        let lines: Vec<String> = lines()
            .into_iter()
            .filter(|l| l.starts_with("livepatchd test:"))
            .collect();
        assert!(!lines.iter().any(|l| l.contains("before the mark")));
        assert!(
            lines.iter().any(|l| l == "livepatchd test: after the mark"),
            "{lines:?}"
        );
        assert!(lines.iter().any(|l| l == "livepatchd test: and one more"), "{lines:?}");
    }

    #[test]
    fn without_access_to_the_log_there_are_no_lines() {
        assert!(since(Path::new("/nowhere"))().is_empty());
    }

    #[test]
    fn the_stream_sleeps_until_a_line_comes() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async {
            let mut stream = Stream::open(&path()).expect("this test needs root");
            let writer = tokio::task::spawn_blocking(|| {
                std::thread::sleep(Duration::from_millis(50));
                log("streamed");
            });
            let found = async {
                loop {
                    if let Entry::Line(line) = stream.next().await.expect("readable")
                        && line.text == "livepatchd test: streamed"
                    {
                        return;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), found)
                .await
                .expect("it comes");
            writer.await.expect("no panic");
        });
    }
}
