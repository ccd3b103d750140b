// SPDX-License-Identifier: GPL-2.0-only
//! Reading symbols.

use proptest::prelude::*;

use crate::pure::symbol_text::{parse, Symbol};

#[test]
fn a_function_of_the_kernel_is_read() {
    let symbol = Symbol {
        name: b"cmdline_proc_show",
        offset: 4,
        size: 0x30,
        module: None,
    };
    assert_eq!(parse(b"cmdline_proc_show+0x4/0x30"), Some(symbol));
}

#[test]
fn a_function_of_a_module_is_read_with_and_without_build_id() {
    let symbol = Symbol {
        name: b"tgt_wait",
        offset: 0,
        size: 0x1f,
        module: Some(b"tgt"),
    };
    assert_eq!(parse(b"tgt_wait+0x0/0x1f [tgt]"), Some(symbol));
    assert_eq!(parse(b"tgt_wait+0x0/0x1f [tgt 1234abcd]"), Some(symbol));
}

#[test]
fn what_is_no_symbol_is_none() {
    for text in [
        &b""[..],
        b"0xffffffff81000000",
        b"f+0x0",
        b"f+0x0/",
        b"f+0x0/0x0",
        b"f+0x5/0x5",
        b"+0x0/0x1",
        b"f+0/1",
        b"f+0xg/0x1",
        b"f+0x0/0x10 tgt",
        b"f+0x0/0x11111111111111111",
    ] {
        assert_eq!(parse(text), None, "{}", String::from_utf8_lossy(text));
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(symbol) = parse(&text) {
            prop_assert!(symbol.offset < symbol.size && !symbol.name.is_empty());
        }
    }

    #[test]
    fn what_the_kernel_writes_is_read_back(
        name in "[A-Za-z_.+][A-Za-z0-9_.$+]{0,40}", size in 1..usize::MAX, part in any::<usize>(),
        module in prop::option::of("[a-z_]{1,20}"),
    ) {
        let offset = part % size;
        let tail = module.as_ref().map_or(String::new(), |module| format!(" [{module}]"));
        let text = format!("{name}+{offset:#x}/{size:#x}{tail}");
        let symbol = Symbol { name: name.as_bytes(), offset, size, module: module.as_ref().map(|module| module.as_bytes()) };
        prop_assert_eq!(parse(text.as_bytes()), Some(symbol));
    }
}
