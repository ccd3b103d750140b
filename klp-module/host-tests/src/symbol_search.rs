// SPDX-License-Identifier: GPL-2.0-only
//! Which of several symbols of one name is meant.

use proptest::prelude::*;

use crate::pure::symbol_search::{Search, Unclear};

fn search(position: usize, addresses: &[usize]) -> Search {
    let mut search = Search::new(position);
    for &address in addresses {
        search.meet(address);
    }
    search
}

#[test]
fn without_a_position_there_must_be_one_and_only_one() {
    assert_eq!(search(0, &[]).result(), Err(Unclear::Missing));
    assert_eq!(search(0, &[5]).result(), Ok(5));
    assert_eq!(search(0, &[5, 9]).result(), Err(Unclear::Ambiguous));
}

proptest! {
    #[test]
    fn a_position_means_that_one_and_none_behind_the_last(addresses in prop::collection::vec(1..1000usize, 1..20), position in 1..30usize) {
        let expected = addresses.get(position - 1).copied().ok_or(Unclear::NoSuchPosition);
        prop_assert_eq!(search(position, &addresses).result(), expected);
    }

    #[test]
    fn all_of_them_are_within_the_span(addresses in prop::collection::vec(1..1000usize, 0..20)) {
        match search(0, &addresses).span() {
            None => prop_assert!(addresses.is_empty()),
            Some((first, last)) => prop_assert!(addresses.iter().all(|address| (first..=last).contains(address))),
        }
    }
}
