// SPDX-License-Identifier: GPL-2.0-only
//! Where `klp_rs` publishes the states of tasks (`klp-module/ABI/testing/bpf-klp_rs`). Reads one file, follows nothing.
//!
//! Asked before every pass: the address is another one when the module was loaded anew.

use std::{fs, io, num::NonZeroU64, path::PathBuf};

use livepatch_common::states::VERSION;

use crate::model::place::Places;

/// Why the place is not known.
#[derive(Debug, thiserror::Error)]
pub enum Unpublished {
    /// No such file, or not for us.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        why: io::Error,
    },
    /// Another version than ours, or nonsense.
    #[error("klp_rs publishes the states of tasks as {0:?}, which this livepatchd does not understand")]
    Version(String),
}

/// The address of the published structure.
pub fn task_states(places: &Places) -> Result<NonZeroU64, Unpublished> {
    let path = places.module("klp_rs").join("task_states");
    let text = fs::read_to_string(&path).map_err(|why| Unpublished::File { path, why })?;
    parse(&text).ok_or_else(|| Unpublished::Version(text.trim().to_owned()))
}

/// `1 ffffffffc0a81040`
fn parse(text: &str) -> Option<NonZeroU64> {
    let (version, address) = text.trim().split_once(' ')?;
    let understood = version.parse() == Ok(VERSION);
    let address = NonZeroU64::new(u64::from_str_radix(address, 16).ok()?)?;
    understood.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_version_is_understood() {
        let address = NonZeroU64::new(0xffff_ffff_c0a8_1040);
        assert_eq!(parse("1 ffffffffc0a81040\n"), address);
        for text in ["2 ffffffffc0a81040", "1 0000000000000000", "1", "1 x", ""] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
