// SPDX-License-Identifier: GPL-2.0-only
//! Streams made here: whole, cut in every place, damaged in every byte. They speak for the parser, not for the kernel.

use bytemuck::Zeroable as _;

use super::*;

fn task_bytes(tid: u32, stack: &[u64]) -> Vec<u8> {
    let len = u32::try_from(HEAD + 8 * stack.len()).unwrap();
    let head = TaskHead {
        kind: KIND_TASK,
        len,
        tid,
        stack_len: i32::try_from(stack.len()).unwrap(),
        ..TaskHead::zeroed()
    };
    let mut bytes = bytemuck::bytes_of(&head).to_vec();
    bytes.extend_from_slice(bytemuck::cast_slice(stack));
    bytes
}

fn without_stack(tid: u32, errno: i32) -> Vec<u8> {
    let mut bytes = task_bytes(tid, &[]);
    let head: &mut TaskHead = bytemuck::from_bytes_mut(&mut bytes);
    head.stack_len = errno;
    bytes
}

fn trailer(visited: u64, emitted: u64) -> Vec<u8> {
    let trailer = ScanTrailer {
        kind: KIND_TRAILER,
        len: 32,
        visited,
        emitted,
        time: 1,
    };
    bytemuck::bytes_of(&trailer).to_vec()
}

/// Three tasks with stacks of several lengths, and the trailer.
fn whole() -> Vec<u8> {
    let deepest = [7; livepatch_common::task::MAX_STACK];
    [
        task_bytes(5, &[1, 2, 3]),
        without_stack(6, -14),
        task_bytes(7, &deepest),
        trailer(90, 3),
    ]
    .concat()
}

fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Pass, Garbled> {
    let mut stream = Stream::default();
    for chunk in chunks {
        stream.feed(chunk)?;
    }
    stream.finish()
}

#[test]
fn a_whole_stream_gives_its_tasks_in_order_with_their_stacks() {
    let pass = parse([whole().as_slice()]).unwrap();
    let seen: Vec<_> = pass
        .tasks
        .iter()
        .map(|task| (task.key().tid, task.stack().map(<[u64]>::len)))
        .collect();
    assert_eq!(seen, [(5, Ok(3)), (6, Err(-14)), (7, Ok(100))]);
    assert_eq!(pass.tasks[0].stack(), Ok([1, 2, 3].as_slice()));
    assert_eq!(pass.visited, 90);
}

#[test]
fn a_pass_without_tasks_is_a_pass() {
    assert_eq!(
        parse([trailer(90, 0).as_slice()]).unwrap(),
        Pass {
            tasks: vec![],
            visited: 90
        }
    );
}

#[test]
fn reads_may_cut_the_stream_anywhere() {
    let bytes = whole();
    let expected = parse([bytes.as_slice()]);
    for size in 1..=bytes.len() {
        assert_eq!(parse(bytes.chunks(size)), expected, "{size}");
    }
}

#[test]
fn a_stream_that_ends_early_is_refused_wherever_it_ends() {
    let bytes = whole();
    for end in 0..bytes.len() {
        assert_eq!(parse([&bytes[..end]]), Err(Garbled::Truncated), "{end}");
    }
}

#[test]
fn no_damaged_byte_makes_it_panic_or_change_the_number_of_tasks() {
    let bytes = whole();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            if let Ok(pass) = parse([damaged.as_slice()]) {
                assert_eq!(pass.tasks.len(), 3, "{at}");
            }
        }
    }
}

#[test]
fn garbage_is_refused() {
    // xorshift: the same garbage every time
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for len in 0..2_000 {
        let garbage: Vec<u8> = (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        assert!(parse([garbage.as_slice()]).is_err(), "{len}");
    }
}

#[test]
fn what_does_not_add_up_is_refused_with_its_reason() {
    let mut long = task_bytes(5, &[1]);
    long[4..8].copy_from_slice(&5_000_u32.to_ne_bytes());
    let mut lying = task_bytes(5, &[1]);
    let stack_len = std::mem::offset_of!(TaskHead, stack_len);
    lying[stack_len..stack_len + 4].copy_from_slice(&2_i32.to_ne_bytes());
    for (bytes, why) in [
        (long, Garbled::Length(5_000)),
        (lying, Garbled::Length(112)),
        ([trailer(1, 0), trailer(1, 0)].concat(), Garbled::AfterTrailer),
        ([trailer(1, 0), task_bytes(5, &[])].concat(), Garbled::AfterTrailer),
        (
            [task_bytes(5, &[]), trailer(9, 2)].concat(),
            Garbled::Count { said: 2, seen: 1 },
        ),
        (vec![1; 8], Garbled::Kind(0x0101_0101)),
    ] {
        assert_eq!(parse([bytes.as_slice()]), Err(why));
    }
}
