// SPDX-License-Identifier: GPL-2.0-only
//! How often tasks are looked at.

use crate::pure::backoff::Backoff;

#[test]
fn pauses_double_from_one_to_a_hundred_milliseconds() {
    let mut backoff = Backoff::new();
    let pauses: Vec<u32> = (0..10).map(|_| backoff.pause()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 100, 100, 100]);
}
