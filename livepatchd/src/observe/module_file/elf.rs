// SPDX-License-Identifier: GPL-2.0-only
//! The few parts of an ELF file that tell what a module is, read strictly and by position: nothing else of the file is
//! brought into memory.
//!
//! No symbols, no relocations: those the kernel checks (`kernel/module/main.c: elf_validity_cache_copy`). What the kernel
//! would refuse in the parts read here is refused here too.

use std::{fs::File, io, os::unix::fs::FileExt};

/// 64-byte header, 64-byte section headers: ELF64.
const HEADER: usize = 64;
const SECTION_HEADER: usize = 64;

/// Type of a section without bytes in the file.
const SHT_NOBITS: u32 = 8;
const ET_REL: u16 = 1;
/// Section numbers from here on have special meanings (`SHN_LORESERVE`); the kernel takes none of them in a module.
const RESERVED_SECTIONS: u16 = 0xff00;

/// The name table of a module with a section per function may have some MiB.
const MAX_NAMES: u64 = 16 << 20;
/// `.modinfo` and the module structure are small.
const MAX_SECTION: u64 = 1 << 20;

/// `e_machine` of the kernel that this daemon runs on.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else if cfg!(target_arch = "powerpc64") {
    21
} else if cfg!(target_arch = "loongarch64") {
    258
} else {
    // no live patches elsewhere that this daemon was tried with
    0
};

/// A relocatable ELF64 file, with its section table.
#[derive(Debug)]
pub(super) struct Elf<'a> {
    file: &'a File,
    size: u64,
    sections: Vec<Section>,
    names: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Section {
    name: usize,
    kind: u32,
    offset: u64,
    size: u64,
}

impl<'a> Elf<'a> {
    /// Reads header, section table and section names. The error says what is wrong with the file.
    pub(super) fn parse(file: &'a File) -> Result<Self, String> {
        let size = file.metadata().map_err(|err| err.to_string())?.len();
        let mut elf = Self {
            file,
            size,
            sections: Vec::new(),
            names: Vec::new(),
        };
        let header = elf.bytes(0, HEADER as u64, HEADER as u64)?;
        let header = Words(&header);
        check_ident(header.0)?;
        if header.u16(16)? != ET_REL {
            return Err("it is a program or a library, no kernel module".into());
        }
        if header.u16(18)? != MACHINE {
            return Err("it is for another processor architecture".into());
        }
        if usize::from(header.u16(58)?) != SECTION_HEADER {
            return Err("its section headers have a wrong size".into());
        }
        let (count, names) = (header.u16(60)?, header.u16(62)?);
        if count == 0 || count >= RESERVED_SECTIONS || names == 0 || names >= count {
            return Err("it has no usable section table".into());
        }
        let length = u64::from(count) * SECTION_HEADER as u64;
        let table = elf.bytes(header.u64(40)?, length, length)?;
        elf.sections = table
            .chunks_exact(SECTION_HEADER)
            .map(|entry| Section::parse(Words(entry)))
            .collect::<Result<_, _>>()?;
        elf.check_sections()?;
        let names = elf.sections[usize::from(names)];
        elf.names = elf.bytes(names.offset, names.size, MAX_NAMES)?;
        // every name is read up to a zero byte: the table must end with one
        if elf.names.last() != Some(&0) {
            return Err("its section names have no end".into());
        }
        Ok(elf)
    }

    /// The bytes of the one section with this name; `None` if there is none.
    pub(super) fn section(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let mut found = self
            .sections
            .iter()
            .filter(|section| self.is_named(section, name.as_bytes()));
        let Some(section) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(format!("it has more than one section {name}"));
        }
        if section.kind == SHT_NOBITS {
            return Err(format!("its section {name} has no content"));
        }
        self.bytes(section.offset, section.size, MAX_SECTION).map(Some)
    }

    /// The last `count` bytes of the file, or fewer.
    pub(super) fn tail(&self, count: u64) -> Result<Vec<u8>, String> {
        let count = count.min(self.size);
        self.bytes(self.size - count, count, count)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Looks at no more bytes than the name has: a file may give each of its sections the same name of megabytes.
    fn is_named(&self, section: &Section, name: &[u8]) -> bool {
        let rest = self.names.get(section.name..).and_then(|from| from.strip_prefix(name));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// All section bytes lie within the file, as the kernel demands (`elf_validity_cache_sechdrs`): a truncated file is
    /// found here.
    fn check_sections(&self) -> Result<(), String> {
        let outside = |section: &&Section| {
            section.kind != SHT_NOBITS
                && section
                    .offset
                    .checked_add(section.size)
                    .is_none_or(|end| end > self.size)
        };
        match self.sections.iter().skip(1).find(outside) {
            Some(_) => Err("it is cut off: a section lies beyond its end".into()),
            None => Ok(()),
        }
    }

    fn bytes(&self, offset: u64, length: u64, limit: u64) -> Result<Vec<u8>, String> {
        let inside = offset.checked_add(length).is_some_and(|end| end <= self.size);
        if !inside {
            return Err("it is cut off or no ELF file".into());
        }
        if length > limit {
            return Err("one of its tables is unreasonably large".into());
        }
        let length = usize::try_from(length).map_err(|err| err.to_string())?;
        let mut bytes = vec![0; length];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => Err("it became shorter while it was read".into()),
            Err(err) => Err(format!("it cannot be read ({err})")),
        }
    }
}

impl Section {
    fn parse(entry: Words<'_>) -> Result<Self, String> {
        Ok(Self {
            name: entry.u32(0)? as usize,
            kind: entry.u32(4)?,
            offset: entry.u64(24)?,
            size: entry.u64(32)?,
        })
    }
}

/// Magic, class, byte order and version.
fn check_ident(header: &[u8]) -> Result<(), String> {
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    match header {
        [0x7f, b'E', b'L', b'F', 2, data, 1, ..] if *data == order => Ok(()),
        [0x7f, b'E', b'L', b'F', ..] => Err("it is an ELF file, but not for a 64-bit machine like this one".into()),
        _ => Err("it is no ELF file".into()),
    }
}

/// Integers in this machine's byte order at given positions.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn u16(self, at: usize) -> Result<u16, String> {
        self.array(at).map(u16::from_ne_bytes)
    }

    fn u32(self, at: usize) -> Result<u32, String> {
        self.array(at).map(u32::from_ne_bytes)
    }

    fn u64(self, at: usize) -> Result<u64, String> {
        self.array(at).map(u64::from_ne_bytes)
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], String> {
        self.0
            .get(at..at + N)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| "it is cut off".to_owned())
    }
}
