// SPDX-License-Identifier: GPL-2.0-only
//! One record of `/dev/kmsg` as a line. Pure.
//!
//! `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT\n[ KEY=VALUE\n]…`, bytes that are not printable ASCII as `\xNN`
//! (Documentation/ABI/testing/dev-kmsg).

/// One line of the kernel's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number since boot.
    pub seq: u64,
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// When, in microseconds of the kernel's log clock.
    pub micros: u64,
    /// What.
    pub text: String,
}

impl Line {
    /// Takes a record apart; `None` if it is none.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let record = std::str::from_utf8(record).ok()?;
        let (head, rest) = record.split_once(';')?;
        let mut head = head.split(',');
        // the facility is above the three bits of the level
        let priority: u32 = head.next()?.parse().ok()?;
        Some(Self {
            level: u8::try_from(priority & 7).ok()?,
            seq: head.next()?.parse().ok()?,
            micros: head.next()?.parse().ok()?,
            text: unescape(rest.split('\n').next()?),
        })
    }
}

/// Puts `\xNN` back; what results is shown to people, so control characters and broken UTF-8 become `?`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'\\', b'x', high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = &rest[4..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes)
        .chars()
        .map(|c| {
            if c.is_control() && c != '\t' || c == char::REPLACEMENT_CHARACTER {
                '?'
            } else {
                c
            }
        })
        .collect()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn a_record_is_taken_apart_and_its_dictionary_left_out() {
        let record = b"6,339,5140900,-,caller=T1;lp: loading\\x5c \\xc3\\xa4 \\x1b[31m\\xff \\x4\n SUBSYSTEM=module\n";
        let line = Line::parse(record).expect("a line");
        assert_eq!((line.level, line.seq, line.micros), (6, 339, 5_140_900));
        assert_eq!(line.text, "lp: loading\\ ä ?[31m? \\x4");
        let user = Line::parse(b"12,340,1,-;from user space\n").expect("a line");
        assert_eq!(user.level, 4);
    }

    #[test]
    fn truncations_and_garbage_do_not_panic() {
        let record = b"6,339,5140900,-;livepatch: enabling patch 'lp'\\x\n";
        for end in 0..record.len() {
            if let Some(line) = Line::parse(&record[..end]) {
                assert_eq!(line.seq, 339);
            }
        }
        for garbage in [&b";"[..], b"a,b,c;", b"6,1;x", b"\xff\xfe;", b"-1,1,1,-;x", b"6,1,1,-"] {
            assert_eq!(Line::parse(garbage), None, "{garbage:?}");
        }
    }
}
