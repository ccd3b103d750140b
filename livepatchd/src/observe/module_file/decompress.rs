// SPDX-License-Identifier: GPL-2.0-only
//! Compressed modules: recognised by their first bytes, whatever the file is called, and unpacked into memory.
//!
//! The kernel could unpack only the one format that it was built for, and it would unpack what we have not checked.
//! Output is bounded; anything after the end of the compressed data is refused.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    os::unix::fs::FileExt,
};

use super::{MAX_SIZE, invalid, sealed, too_large, unreadable};
use crate::model::refusal::Refusal;

/// Memory that the xz decoder may take: more than `xz -9` needs (65 MiB).
const XZ_MEMORY: u64 = 128 << 20;

/// The largest zstd window taken, as a power of two: what `zstd --ultra -22` makes is 2^27.
const ZSTD_WINDOW: u32 = 27;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Format {
    fn of(file: &File) -> io::Result<Self> {
        let mut magic = [0_u8; 6];
        let mut got = 0;
        while got < magic.len() {
            match file.read_at(&mut magic[got..], got as u64)? {
                0 => break,
                count => got += count,
            }
        }
        Ok(match &magic[..got] {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        })
    }
}

/// Whether the file begins like one of the formats that modules come in.
pub(super) fn is_compressed(file: &File) -> io::Result<bool> {
    Ok(Format::of(file)? != Format::Plain)
}

/// Copies the file into memory, unpacked, where nobody can change it.
pub(super) fn to_memory(file: &File, name: &str) -> Result<File, Refusal> {
    let format = Format::of(file).map_err(|err| unreadable(name, &err))?;
    let mut packed = BufReader::with_capacity(64 << 10, Bounded { file, at: 0 });
    let mut out = sealed::Writer::new().map_err(|err| unreadable(name, &err))?;
    let written = match format {
        Format::Plain => copy(&mut packed, &mut out),
        Format::Gzip => copy(flate2::bufread::MultiGzDecoder::new(&mut packed), &mut out),
        Format::Xz => liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
            .map_err(io::Error::other)
            .and_then(|stream| copy(liblzma::bufread::XzDecoder::new_stream(&mut packed, stream), &mut out)),
        Format::Zstd => zstd::stream::read::Decoder::with_buffer(&mut packed).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW)?;
            copy(decoder, &mut out)
        }),
    };
    let written = written.map_err(|err| {
        if format == Format::Plain {
            unreadable(name, &err)
        } else {
            invalid(
                name,
                &format!("it cannot be unpacked as {format:?} ({err}); it is damaged, copy or build it again"),
            )
        }
    })?;
    match written {
        0 => Err(invalid(name, "the file is empty; build or copy it again")),
        size if size > MAX_SIZE => Err(too_large(name)),
        _ => out.seal().map_err(|err| unreadable(name, &err)),
    }
}

/// Copies until one byte more than allowed.
fn copy(from: impl Read, to: &mut impl Write) -> io::Result<u64> {
    io::copy(&mut from.take(MAX_SIZE + 1), to)
}

/// The file from its beginning, without moving the offset that a caller may share, and no further than the limit.
struct Bounded<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at > MAX_SIZE {
            return Ok(0);
        }
        let count = self.file.read_at(buf, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
