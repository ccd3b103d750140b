// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for a condition, always with a bound and never for a guessed time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at. Short beside everything measured here, long beside what a look costs in a guest.
const PACE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds and says how long that took; fails when it does not within `bound`.
///
/// `what` completes the sentence "waited 5 s for …".
pub fn until(bound: Duration, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let start = Instant::now();
    loop {
        if condition()? {
            return Ok(start.elapsed());
        }
        if start.elapsed() >= bound {
            bail!("waited {:.1} s for {what}", bound.as_secs_f64());
        }
        thread::sleep(PACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_holds_ends_the_wait_at_once() -> Result<()> {
        assert!(until(Duration::from_secs(5), "nothing", || Ok(true))? < Duration::from_secs(1));
        Ok(())
    }

    #[test]
    fn a_condition_that_never_holds_fails_with_what_was_waited_for() {
        let failure =
            until(Duration::from_millis(10), "the end of the world", || Ok(false)).map_err(|error| error.to_string());
        assert_eq!(failure, Err("waited 0.0 s for the end of the world".to_owned()));
    }
}
