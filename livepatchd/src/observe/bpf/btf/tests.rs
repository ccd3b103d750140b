// SPDX-License-Identifier: GPL-2.0-only
//! The running kernel's BTF, a small one made here, and damaged ones. They speak for the reader, not for any kernel's layout.

use super::*;

/// `name_off, info, size-or-type` and what follows.
type Words = Vec<u32>;

/// A BTF file of these types and strings.
fn file(types: &[Words], strings: &[u8]) -> Vec<u8> {
    let types: Vec<u8> = types.iter().flatten().flat_map(|word| word.to_ne_bytes()).collect();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let mut bytes = MAGIC.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&[1, 0]);
    for word in [24, 0, len(&types), len(&types), len(strings)] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(&types);
    bytes.extend_from_slice(strings);
    bytes
}

/// 1: `int`; 2: anonymous `struct { int c; }` at 64 of 3: `struct s { int a; int b:1 (bit 35); struct { … }; }`; 4: prototype;
/// 5: function `f`.
fn small() -> Vec<u8> {
    let strings = b"\0int\0s\0a\0b\0c\0f\0";
    let [int, s, a, b, c, f] = [1, 5, 7, 9, 11, 13];
    file(
        &[
            vec![int, 1 << 24, 4, 32],
            vec![0, 4 << 24 | 1, 4, c, 1, 0],
            vec![s, 1 << 31 | 4 << 24 | 3, 12, a, 1, 0, b, 1, 1 << 24 | 35, 0, 2, 64],
            vec![0, 13 << 24, 0],
            vec![f, 12 << 24, 4],
        ],
        strings,
    )
}

#[test]
fn members_bit_fields_and_members_of_anonymous_structures_are_found() {
    let btf = Btf::parse(small()).unwrap();
    let member = |name| btf.member("s", name).unwrap();
    assert_eq!(member("a"), Some(Member { bit: 0, width: 0 }));
    assert_eq!(member("b"), Some(Member { bit: 35, width: 1 }));
    assert_eq!(member("c"), Some(Member { bit: 64, width: 0 }));
    assert_eq!(member("d"), None);
    assert_eq!(btf.member("int", "a").unwrap(), None);
    assert_eq!(btf.member("none", "a").unwrap(), None);
}

#[test]
fn a_structure_that_contains_itself_is_not_followed_for_ever() {
    let bytes = file(&[vec![1, 4 << 24 | 1, 4, 0, 1, 0]], b"\0s\0");
    assert_eq!(Btf::parse(bytes).unwrap().member("s", "a").unwrap(), None);
}

#[test]
fn the_index_keeps_the_ids_of_functions() {
    let image = Btf::parse(small()).unwrap().index(&["f", "absent"]).unwrap();
    let index = Btf::parse(image).unwrap();
    assert_eq!(index.find("f", kind::FUNC).unwrap(), Some(5));
    assert_eq!(index.find("absent", kind::FUNC).unwrap(), None);
    assert_eq!(index.types.len(), 5);
}

#[test]
fn the_index_has_the_same_ids_as_the_running_kernels_btf_and_aya_takes_it() {
    let functions = ["bpf_iter_task", "schedule", "vfs_read"];
    let whole = Btf::of_running_kernel().unwrap();
    let index = Btf::parse(whole.index(&functions).unwrap()).unwrap();
    for name in functions {
        let id = whole.find(name, kind::FUNC).unwrap();
        assert!(id.is_some(), "{name}");
        assert_eq!(index.find(name, kind::FUNC).unwrap(), id, "{name}");
    }
    whole.index_for_aya(&functions).unwrap();
}

#[test]
fn damaged_btf_is_an_error_and_never_a_panic() {
    let whole = small();
    for len in 0..whole.len() {
        ask_everything(whole[..len].to_vec());
    }
    // every byte set to each of a few values that make lengths, kinds and offsets wrong
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            ask_everything(bytes);
        }
    }
}

/// Every question; whatever the answer.
fn ask_everything(bytes: Vec<u8>) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for name in ["a", "b", "c", "d", ""] {
        let _ = btf.member("s", name);
    }
    // ids are small here, so that the index is
    if btf.types.len() < 100 {
        let _ = btf.index(&["f", "g"]);
    }
}
