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

/// 1: `int`; 2: anonymous `struct { char c; }` at bit 64 of 3: `struct s { int a; int b:1 (bit 35); struct { … }; t d[3] }`;
/// 4: prototype; 5: function `f`; 6: `char`; 7: typedef `t` of 6; 8: array of three `t`.
fn small() -> Vec<u8> {
    let strings = b"\0int\0s\0a\0b\0c\0f\0t\0d\0";
    let text = |name: &str| {
        let whole = format!("\0{name}\0");
        let at = strings
            .windows(whole.len())
            .position(|window| window == whole.as_bytes());
        u32::try_from(at.unwrap() + 1).unwrap()
    };
    let members = [
        [text("a"), 1, 0],
        [text("b"), 1, (1 << 24) + 35],
        [0, 2, 64],
        [text("d"), 8, 72],
    ];
    let mut structure = vec![text("s"), (1 << 31) + (kind::STRUCT << 24) + 4, 12];
    structure.extend(members.concat());
    file(
        &[
            vec![text("int"), kind::INT << 24, 4, 32],
            vec![0, (kind::STRUCT << 24) + 1, 1, text("c"), 6, 0],
            structure,
            vec![0, kind::FUNC_PROTO << 24, 0],
            vec![text("f"), kind::FUNC << 24, 4],
            vec![0, kind::INT << 24, 1, 8],
            vec![text("t"), kind::TYPEDEF << 24, 6],
            vec![0, kind::ARRAY << 24, 0, 7, 1, 3],
        ],
        strings,
    )
}

/// The member of `struct s`.
fn member(btf: &Btf, name: &str) -> Result<Option<Member>, BtfError> {
    match btf.structures(["s"])? {
        [Some(s)] => btf.member(s, name),
        [None] => Ok(None),
    }
}

#[test]
fn members_bit_fields_and_members_of_anonymous_structures_are_found_with_their_sizes() {
    let btf = Btf::parse(small()).unwrap();
    let place = |name| {
        member(&btf, name)
            .unwrap()
            .map(|Member { bit, width, size }| (bit, width, size))
    };
    assert_eq!(place("a"), Some((0, 0, 4)));
    assert_eq!(place("b"), Some((35, 1, 4)));
    assert_eq!(place("c"), Some((64, 0, 1)));
    assert_eq!(place("d"), Some((72, 0, 3)));
    assert_eq!(place("e"), None);
    assert_eq!(
        btf.structures(["int", "none", "s"]).unwrap(),
        [None, None, Some(Structure(3))]
    );
}

#[test]
fn types_that_contain_themselves_are_not_followed_for_ever() {
    let structure = vec![1, (kind::STRUCT << 24) + 1, 4, 0, 1, 0];
    let btf = Btf::parse(file(&[structure], b"\0s\0")).unwrap();
    assert_eq!(member(&btf, "a").unwrap(), None);

    let typedef = vec![0, kind::TYPEDEF << 24, 1];
    let structure = vec![1, (kind::STRUCT << 24) + 1, 4, 3, 1, 0];
    let btf = Btf::parse(file(&[typedef, structure], b"\0s\0a\0")).unwrap();
    assert!(matches!(member(&btf, "a"), Err(BtfError::Damaged(_))));
}

#[test]
fn the_index_keeps_the_ids_of_functions() {
    let functions = Btf::parse(small()).unwrap().functions(&["f", "absent"]).unwrap();
    assert!(functions.has("f") && !functions.has("absent"));
    let index = Btf::parse(functions.index().unwrap()).unwrap();
    assert_eq!(index.functions(&["f", "absent"]).unwrap(), functions);
    assert_eq!(functions, Functions::new(vec![("f", 5)]));
    assert_eq!(index.types.len(), 5);
}

#[test]
fn the_index_has_the_same_ids_as_the_running_kernels_btf_and_aya_takes_it() {
    let names = ["bpf_iter_task", "schedule", "vfs_read"];
    let functions = Btf::of_running_kernel().unwrap().functions(&names).unwrap();
    assert!(names.iter().all(|name| functions.has(name)));
    let index = Btf::parse(functions.index().unwrap()).unwrap();
    assert_eq!(index.functions(&names).unwrap(), functions);
    functions.index_for_aya().unwrap();
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
    for name in ["a", "b", "c", "d", "e", ""] {
        let _ = member(&btf, name);
    }
    if let Ok(functions) = btf.functions(&["f", "g"]) {
        let _ = functions.index();
    }
}
