// SPDX-License-Identifier: GPL-2.0-only
//! The text of `/proc/TID/stat` and `/proc/TID/status` as fields. Pure: both edges read the files themselves.
//!
//! Only the fields that this daemon decides by; anything malformed is `None`, never a guess.

use super::task::{Scheduling, TaskClass};

/// Signal numbers of the four stop signals; all but SIGSTOP can be blocked and so be pending for long.
const STOP_SIGNALS: [u32; 4] = [19, 20, 21, 22];

/// Fields of `/proc/TID/stat` (`fs/proc/array.c: do_task_stat`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The thread id.
    pub tid: u32,
    /// Its name; may hold any byte but zero, replaced where it is no UTF-8.
    pub comm: String,
    /// The state letter.
    pub state: u8,
    /// `PF_*` flags.
    pub flags: u32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
    /// In a stopped process's own file: the signal that stopped it, if we may know; else 0 (since 5.17).
    pub exit_code: u32,
}

impl Stat {
    /// Takes the file's content apart. The name ends at the last `)`: it may contain others.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|&b| b == b'(')?;
        let close = text.iter().rposition(|&b| b == b')')?;
        let tid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
        let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        // proc(5) counts from 1; `rest` starts with field 3, the state
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let state = match field(3)?.as_bytes() {
            [letter] => *letter,
            _ => return None,
        };
        Some(Self {
            tid,
            comm,
            state,
            flags: field(9)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
            exit_code: field(52).and_then(|f| f.parse().ok()).unwrap_or(0),
        })
    }

    /// What kind of task it is, given its process id.
    pub fn class(&self, tgid: u32) -> TaskClass {
        TaskClass::of(self.tid, tgid, self.flags)
    }

    /// How the scheduler sees it.
    pub fn scheduling(&self) -> Scheduling {
        match self.state {
            b'R' => Scheduling::Running,
            b'S' => Scheduling::Interruptible,
            b'T' => Scheduling::Stopped,
            b't' => Scheduling::TracedStop,
            b'X' | b'x' | b'Z' => Scheduling::Dead,
            // D, and the letters that only kernel threads have: I (idle), P (parked), K, W
            _ => Scheduling::Uninterruptible,
        }
    }
}

/// Fields of `/proc/TID/status` (`fs/proc/array.c: proc_pid_status`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The process id.
    pub tgid: u32,
    /// Who traces it; 0 for nobody.
    pub tracer: u32,
    /// Real user id.
    pub uid: Option<u32>,
    /// Signals pending for the thread, bit 0 is signal 1.
    pub pending: u64,
    /// Signals pending for the process.
    pub shared_pending: u64,
}

impl Status {
    /// Takes the file's content apart.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut status = Self::default();
        let mut seen_tgid = false;
        for line in text.split(|&b| b == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else {
                // only Name: can be no UTF-8
                continue;
            };
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match key {
                "Tgid" => {
                    status.tgid = value.parse().ok()?;
                    seen_tgid = true;
                }
                "TracerPid" => status.tracer = value.parse().ok()?,
                "Uid" => status.uid = value.split_ascii_whitespace().next()?.parse().ok(),
                "SigPnd" => status.pending = u64::from_str_radix(value, 16).ok()?,
                "ShdPnd" => status.shared_pending = u64::from_str_radix(value, 16).ok()?,
                _ => {}
            }
        }
        seen_tgid.then_some(status)
    }

    /// A stop signal waits for the thread or its process.
    pub fn stop_pending(&self) -> bool {
        let mask = STOP_SIGNALS.iter().fold(0_u64, |mask, signal| mask | 1 << (signal - 1));
        (self.pending | self.shared_pending) & mask != 0
    }

    /// SIGSTOP waits for this very thread: few but us send it so.
    pub fn thread_stop_pending(&self) -> bool {
        self.pending & 1 << (STOP_SIGNALS[0] - 1) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Scheduling, Stat, Status, TaskClass};

    const STAT: &[u8] = b"812 (cat (x) 1) S 1 812 812 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 123456 3000 200 \
        18446744073709551615 1 1 0 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 19\n";

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = Stat::parse(STAT).expect("well-formed");
        assert_eq!(stat.tid, 812);
        assert_eq!(stat.comm, "cat (x) 1");
        assert_eq!(stat.scheduling(), Scheduling::Interruptible);
        assert_eq!(stat.start_ticks, 123_456);
        assert_eq!(stat.exit_code, 19);
        assert_eq!(stat.class(812), TaskClass::User);
        assert_eq!(stat.class(1), TaskClass::Init);
    }

    #[test]
    fn every_truncation_of_stat_is_refused_or_keeps_the_numbers() {
        let whole = Stat::parse(STAT).expect("well-formed");
        for end in 0..STAT.len() {
            if let Some(cut) = Stat::parse(&STAT[..end]) {
                assert_eq!((cut.tid, cut.flags), (whole.tid, whole.flags), "{end}");
            }
        }
        for garbage in [&b""[..], b"()", b")(", b"1 (a) SS 1", b"\xff (a) S", b"1 (a"] {
            assert_eq!(Stat::parse(garbage), None);
        }
    }

    #[test]
    fn status_gives_process_tracer_user_and_pending_signals() {
        let text = b"Name:\tc\xffat\nState:\tS (sleeping)\nTgid:\t810\nPid:\t812\nTracerPid:\t7\nUid:\t1000\t0\t0\t0\n\
            SigPnd:\t0000000000040000\nShdPnd:\t0000000000000000\n";
        let status = Status::parse(text).expect("well-formed");
        assert_eq!((status.tgid, status.tracer, status.uid), (810, 7, Some(1000)));
        assert!(status.stop_pending() && status.thread_stop_pending());
        let tstp = Status::parse(b"Tgid:\t1\nShdPnd:\t0000000000080000\n").expect("well-formed");
        assert!(tstp.stop_pending() && !tstp.thread_stop_pending());
        assert!(Status::parse(b"Name:\tx\n").is_none());
        assert!(Status::parse(b"Tgid:\tx\n").is_none());
    }
}
