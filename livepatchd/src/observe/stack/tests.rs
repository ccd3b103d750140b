// SPDX-License-Identifier: GPL-2.0-only
//! Stacks written by hand, and the one that this machine's kernel shows of a thread of ours.

use std::{fs, path::Path, sync::Arc};

use super::{Affected, Frame, Stacks, parse};
use crate::model::patch::{Direction, Function, PatchName};

const TEXT: &str = "[<0>] tgt_wait+0x1a/0x40 [tgt]\n[<0>] tgt_read.cold+0x5/0x9 [tgt]\n[<0>] vfs_read+0xbb/0x360\n\
    [<0>] entry_SYSCALL_64_after_hwframe+0x76/0x7e\n";

fn name(text: &str) -> PatchName {
    PatchName::new(text).expect("a name")
}

fn function(object: &str, name: &str) -> Function {
    Function {
        object: object.into(),
        name: name.into(),
        sympos: 1,
    }
}

#[test]
fn the_kernels_lines_are_understood() {
    let stack = parse(TEXT);
    assert_eq!(stack.len(), 4);
    assert_eq!(stack[0].to_string(), "tgt_wait+0x1a [tgt]");
    assert_eq!(stack[0].place(), "tgt_wait [tgt]");
    assert_eq!(stack[2].to_string(), "vfs_read+0xbb");
    assert_eq!(stack[2].place(), "vfs_read");
    let with_build_id = Frame::parse("[<0>] f+0x1/0x2 [m 0123abcd]").expect("a frame");
    assert_eq!(with_build_id.module.as_deref(), Some("m"));
    for garbage in [
        "",
        "[<0>] ",
        "[<0>] 0xffffffffc0000000",
        "+0x1",
        "f+0xzz",
        "[<",
        "f+0x [m",
    ] {
        assert_eq!(Frame::parse(garbage), None, "{garbage}");
    }
}

fn find(patch: &str, direction: Direction, functions: &[Function], below: &str) -> Option<String> {
    let patch = name(patch);
    let affected = Affected {
        patch: &patch,
        direction,
        functions,
        below: &[name(below)],
    };
    affected.on(&parse(TEXT))
}

#[test]
fn while_patching_an_old_function_holds_the_task() {
    let find = |object: &str, name: &str| find("lp", Direction::Patching, &[function(object, name)], "lp2");
    assert_eq!(find("tgt", "tgt_wait").as_deref(), Some("tgt_wait [tgt]"));
    assert_eq!(find("vmlinux", "vfs_read").as_deref(), Some("vfs_read"));
    // a part that the compiler moved away counts as the function
    assert_eq!(find("tgt", "tgt_read").as_deref(), Some("tgt_read [tgt]"));
    assert_eq!(find("vmlinux", "tgt_wait"), None);
    assert_eq!(find("tgt", "vfs_read"), None);
    assert_eq!(find("tgt", "tgt"), None);
}

#[test]
fn while_patching_a_function_of_a_patch_below_holds_the_task() {
    let functions = [function("vmlinux", "x")];
    let below = |patch, module| find(patch, Direction::Patching, &functions, module);
    assert_eq!(below("lp", "tgt").as_deref(), Some("tgt_wait [tgt]"));
    assert_eq!(below("lp", "other"), None);
}

#[test]
fn while_unpatching_a_function_in_the_patchs_module_holds_the_task() {
    let find = |patch| find(patch, Direction::Unpatching, &[function("tgt", "tgt_wait")], "tgt");
    assert_eq!(find("tgt").as_deref(), Some("tgt_wait [tgt]"));
    assert_eq!(find("lp"), None);
}

#[test]
fn addresses_met_once_need_no_file() {
    let dir = tempfile::tempdir().expect("tempdir");
    let task = dir.path();
    fs::write(task.join("stack"), TEXT).expect("write");
    let addresses = [0x101a, 0x2005, 0x30bb, 0x4076];
    let mut stacks = Stacks::default();
    assert_eq!(stacks.of(task, Some(&addresses)).len(), 4);
    fs::remove_file(task.join("stack")).expect("remove");
    let again = stacks.of(task, Some(&addresses[1..]));
    assert_eq!(again[0].symbol, "tgt_read.cold");
    assert_eq!(stacks.of(task, Some(&[0x101b])), Vec::<Arc<Frame>>::new());
    assert_eq!(stacks.of(task, None), Vec::<Arc<Frame>>::new());
}

#[test]
fn two_looks_at_different_stacks_teach_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let task = dir.path();
    fs::write(task.join("stack"), TEXT).expect("write");
    let mut stacks = Stacks::default();
    // another depth
    assert_eq!(stacks.of(task, Some(&[0x101a])).len(), 4);
    assert!(stacks.frames.is_empty());
    assert_eq!(stacks.of(task, Some(&[0x101a, 0x2005, 0x30bb, 0x4076])).len(), 4);
    // the same depth, but a function would begin elsewhere
    assert_eq!(stacks.of(task, Some(&[0x9999, 0x2005, 0x30bb, 0x4076])).len(), 4);
    assert!(!stacks.frames.contains_key(&0x9999));
    // an address below its own offset
    assert_eq!(stacks.of(task, Some(&[0x1, 0x2, 0x3, 0x4])).len(), 4);
    assert!(!stacks.frames.contains_key(&0x1));
}

#[test]
fn a_real_sleepers_stack_ends_at_the_system_calls_entry() {
    let mut child = std::process::Command::new("sleep").arg("30").spawn().expect("sleep");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let stack = Stacks::default().of(Path::new(&format!("/proc/{}", child.id())), None);
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert!(!stack.is_empty(), "this test needs root");
    assert!(
        stack.iter().any(|frame| frame.symbol.contains("nanosleep")),
        "{stack:?}"
    );
}
