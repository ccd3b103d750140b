// SPDX-License-Identifier: GPL-2.0-only
//! How long to wait before something that failed is tried again: longer each time, so that what never works costs nothing.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(300);

/// The failures since it last worked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    /// It failed: how long to wait now.
    pub(super) fn failed(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.0.min(20)).min(LONGEST);
        self.0 += 1;
        wait
    }

    /// It works.
    pub(super) fn works(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_as_long_up_to_a_limit_and_short_again_once_it_worked() {
        let mut backoff = Backoff::default();
        assert_eq!([backoff.failed(), backoff.failed()], [FIRST, FIRST * 2]);
        for _ in 0..100 {
            backoff.failed();
        }
        assert_eq!(backoff.failed(), LONGEST);
        backoff.works();
        assert_eq!(backoff.failed(), FIRST);
    }
}
