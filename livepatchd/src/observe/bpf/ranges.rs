// SPDX-License-Identifier: GPL-2.0-only
//! Address ranges of functions, exact for the daemon and as granules for the program.
//!
//! Addresses come from `/proc/kallsyms`; nothing here reads it.

use livepatch_common::scan::{GRANULE_BITS, Granules, granule, next_granule};

/// Ranges to look for.
///
/// # Invariants
///
/// None empty, sorted by start, none touching the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Sorts and merges `(start, end)` pairs; empty ones are dropped.
    pub fn new(pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut all: Vec<(u64, u64)> = pairs.into_iter().filter(|(start, end)| start < end).collect();
        all.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(all.len());
        for (start, end) in all {
            match merged.last_mut() {
                Some((_, last_end)) if start <= *last_end => *last_end = end.max(*last_end),
                _ => merged.push((start, end)),
            }
        }
        Self(merged)
    }

    /// Whether an address lies in one of them: the test of `kernel/livepatch/transition.c: klp_check_stack_func`.
    pub fn contains(&self, address: u64) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        after > 0 && address < self.0[after - 1].1
    }

    /// The filter for the program: every address in the ranges is marked, and some others.
    pub(super) fn mark(&self, granules: &mut Granules) {
        granules.fill(0);
        for (start, end) in &self.0 {
            let mut address = *start;
            // a range that goes once around the table has marked all of it
            for _ in 0..1_u32 << GRANULE_BITS {
                if address >= *end {
                    break;
                }
                let (word, bit) = granule(address);
                granules[word] |= 1 << bit;
                address = next_granule(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(ranges: &Ranges) -> Box<Granules> {
        let mut granules: Box<Granules> = bytemuck::zeroed_box();
        granules.fill(u64::MAX);
        ranges.mark(&mut granules);
        granules
    }

    fn is_marked(granules: &Granules, address: u64) -> bool {
        let (word, bit) = granule(address);
        granules[word] >> bit & 1 == 1
    }

    #[test]
    fn overlapping_touching_and_empty_ranges_are_merged_or_dropped() {
        let ranges = Ranges::new([(30, 40), (10, 20), (15, 30), (7, 7), (50, 60), (9, 8)]);
        assert_eq!(ranges.0, [(10, 40), (50, 60)]);
        for (address, inside) in [(9, false), (10, true), (39, true), (40, false), (50, true), (60, false)] {
            assert_eq!(ranges.contains(address), inside, "{address}");
        }
    }

    #[test]
    fn every_address_of_a_range_is_marked_and_few_others() {
        let (start, end) = (0xffff_ffff_8123_4567, 0xffff_ffff_8123_4777);
        let granules = marked(&Ranges::new([
            (start, end),
            (0xffff_ffff_c000_0010, 0xffff_ffff_c000_0020),
        ]));
        for address in start..end {
            assert!(is_marked(&granules, address), "{address:#x}");
        }
        assert!(is_marked(&granules, 0xffff_ffff_c000_001f));
        assert!(!is_marked(&granules, 0xffff_ffff_c000_0020));
        assert!(!is_marked(&granules, start - 16));
        assert!(!is_marked(&granules, end + 16));
        let bits: u32 = granules.iter().map(|word| word.count_ones()).sum();
        assert_eq!(bits, 34 + 1);
    }

    #[test]
    fn no_range_marks_nothing_and_an_endless_one_everything() {
        assert!(marked(&Ranges::default()).iter().all(|word| *word == 0));
        assert!(
            marked(&Ranges::new([(0, u64::MAX)]))
                .iter()
                .all(|word| *word == u64::MAX)
        );
    }
}
