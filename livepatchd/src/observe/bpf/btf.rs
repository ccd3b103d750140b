// SPDX-License-Identifier: GPL-2.0-only
//! Reads the kernel's BTF: where a member of a structure is, and which type a function has.
//!
//! Not a general reader: two questions, asked once at start, of five megabytes that must not stay in memory. The crates for it build an
//! object per type (15 to 40 MB, and up to 0.2 s natively) or map the file, which kernels before 6.16 do not allow. Every length and
//! offset is checked: damaged BTF is an error, never a panic.

use std::{fs, io};

use super::functions::Functions;

/// The running kernel's BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// `BTF_MAGIC` (`include/uapi/linux/btf.h`).
pub(super) const MAGIC: u16 = 0xeb9f;
/// Members of anonymous structures are looked for this deep: `task_struct` needs one level, where its layout is randomised.
const MAX_NESTING: u32 = 8;
/// Typedefs and qualifiers are followed this far (`kernel/bpf/btf.c: MAX_RESOLVE_DEPTH`).
const MAX_CHAIN: u32 = 32;

/// `BTF_KIND_*` (`include/uapi/linux/btf.h`).
pub(super) mod kind {
    pub(in crate::observe::bpf) const INT: u32 = 1;
    pub(in crate::observe::bpf) const PTR: u32 = 2;
    pub(in crate::observe::bpf) const ARRAY: u32 = 3;
    pub(in crate::observe::bpf) const STRUCT: u32 = 4;
    pub(in crate::observe::bpf) const UNION: u32 = 5;
    pub(in crate::observe::bpf) const ENUM: u32 = 6;
    pub(in crate::observe::bpf) const FWD: u32 = 7;
    pub(in crate::observe::bpf) const TYPEDEF: u32 = 8;
    pub(in crate::observe::bpf) const VOLATILE: u32 = 9;
    pub(in crate::observe::bpf) const CONST: u32 = 10;
    pub(in crate::observe::bpf) const RESTRICT: u32 = 11;
    pub(in crate::observe::bpf) const FUNC: u32 = 12;
    pub(in crate::observe::bpf) const FUNC_PROTO: u32 = 13;
    pub(in crate::observe::bpf) const VAR: u32 = 14;
    pub(in crate::observe::bpf) const DATASEC: u32 = 15;
    pub(in crate::observe::bpf) const FLOAT: u32 = 16;
    pub(in crate::observe::bpf) const DECL_TAG: u32 = 17;
    pub(in crate::observe::bpf) const TYPE_TAG: u32 = 18;
    pub(in crate::observe::bpf) const ENUM64: u32 = 19;
}

/// Why BTF could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error("{VMLINUX}: {0}")]
    File(#[from] io::Error),
    /// It is not BTF.
    #[error("{VMLINUX} is not BTF")]
    Magic,
    /// Something in it points outside of it.
    #[error("{VMLINUX} is damaged: {0}")]
    Damaged(&'static str),
    /// A kind of type that is newer than this program; what follows it cannot be found.
    #[error("{VMLINUX} has a type of kind {0}, which this livepatchd does not know")]
    Kind(u32),
    /// aya does not take the index of functions.
    #[error("the index of traceable functions: {0}")]
    Index(#[from] aya::BtfError),
}

/// A structure of the kernel, by its type's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure(u32);

/// Where a member is, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bits from the start of the structure.
    pub bit: u32,
    /// Its width in bits if it is a bit field, else zero.
    pub width: u32,
    /// Bytes of its type.
    pub size: u32,
}

/// BTF held as it is in the file, with the place of every type in it.
pub struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Byte position of type `id` at `id - 1`.
    types: Vec<u32>,
}

impl Btf {
    /// Reads the running kernel's.
    pub fn of_running_kernel() -> Result<Self, BtfError> {
        Self::parse(fs::read(VMLINUX)?)
    }

    /// Takes the content of a BTF file.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        if bytes.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(BtfError::Magic);
        }
        // struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len
        let mut btf = Self {
            bytes,
            strings: 0,
            types: Vec::new(),
        };
        let header = btf.word(4)?;
        let section = |offset: u32, len: u32| {
            let start = header as usize + offset as usize;
            let end = start + len as usize;
            (end <= btf.bytes.len())
                .then_some((start, end))
                .ok_or(BtfError::Damaged("a section ends outside of the file"))
        };
        let (mut at, end) = section(btf.word(8)?, btf.word(12)?)?;
        let (strings, _) = section(btf.word(16)?, btf.word(20)?)?;
        let mut types = Vec::new();
        while at < end {
            types.push(u32::try_from(at).map_err(|_too_big| BtfError::Damaged("more than 4 GiB"))?);
            at += btf.len_at(at)?;
        }
        btf.strings = strings;
        btf.types = types;
        Ok(btf)
    }

    /// The structures with these names, in their order, in one pass; `None` for one that is not there.
    pub fn structures<const N: usize>(&self, names: [&str; N]) -> Result<[Option<Structure>; N], BtfError> {
        let mut found = [None; N];
        self.find(kind::STRUCT, &names, &mut found)?;
        Ok(found.map(|id| id.map(Structure)))
    }

    /// A member of a structure, also of anonymous structures and unions inside of it; `None` if there is none.
    pub fn member(&self, structure: Structure, name: &str) -> Result<Option<Member>, BtfError> {
        self.member_of(structure.0, name, MAX_NESTING)
    }

    /// Looks for functions, in one pass.
    pub fn functions(&self, names: &[&'static str]) -> Result<Functions, BtfError> {
        let mut ids = vec![None; names.len()];
        self.find(kind::FUNC, names, &mut ids)?;
        let found = names.iter().copied().zip(ids);
        Ok(Functions::new(
            found.filter_map(|(name, id)| Some((name, id?))).collect(),
        ))
    }

    /// Notes the ids of the first types of this kind with these names.
    fn find(&self, kind: u32, names: &[&str], found: &mut [Option<u32>]) -> Result<(), BtfError> {
        for (id, at) in (1..).zip(&self.types) {
            let at = *at as usize;
            if self.kind_at(at)? != kind {
                continue;
            }
            let name = self.text(self.word(at)?)?;
            for (wanted, found) in names.iter().zip(&mut *found) {
                if found.is_none() && is_text(name, wanted) {
                    *found = Some(id);
                }
            }
        }
        Ok(())
    }

    fn member_of(&self, structure: u32, name: &str, nesting: u32) -> Result<Option<Member>, BtfError> {
        let at = self.at(structure)?;
        let info = self.word(at + 4)?;
        let bit_fields = info >> 31 == 1;
        for index in 0..(info & 0xffff) as usize {
            // struct btf_member: name_off, type, offset
            let member = at + 12 + 12 * index;
            let inner = self.word(member + 4)?;
            let offset = self.word(member + 8)?;
            let (bit, width) = if bit_fields {
                (offset & 0x00ff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            let member_name = self.text(self.word(member)?)?;
            if is_text(member_name, name) {
                let size = self.size(inner)?;
                return Ok(Some(Member { bit, width, size }));
            }
            if is_text(member_name, "")
                && nesting > 0
                && matches!(self.kind_at(self.at(inner)?)?, kind::STRUCT | kind::UNION)
                && let Some(found) = self.member_of(inner, name, nesting - 1)?
            {
                return Ok(Some(Member {
                    bit: bit.saturating_add(found.bit),
                    ..found
                }));
            }
        }
        Ok(None)
    }

    /// Bytes of a type; zero for what has no size.
    fn size(&self, id: u32) -> Result<u32, BtfError> {
        let (mut id, mut count) = (id, 1_u32);
        for _ in 0..MAX_CHAIN {
            let at = self.at(id)?;
            match self.kind_at(at)? {
                kind::PTR => return Ok(count.saturating_mul(8)),
                kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::FLOAT | kind::ENUM64 => {
                    return Ok(count.saturating_mul(self.word(at + 8)?));
                }
                // struct btf_array: type, index_type, nelems
                kind::ARRAY => {
                    id = self.word(at + 12)?;
                    count = count.saturating_mul(self.word(at + 20)?);
                }
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = self.word(at + 8)?;
                }
                _ => return Ok(0),
            }
        }
        Err(BtfError::Damaged("a type that is made of itself"))
    }

    fn at(&self, id: u32) -> Result<usize, BtfError> {
        (id as usize)
            .checked_sub(1)
            .and_then(|index| self.types.get(index))
            .map(|at| *at as usize)
            .ok_or(BtfError::Damaged("a type that is not there"))
    }

    fn kind_at(&self, at: usize) -> Result<u32, BtfError> {
        Ok(self.word(at + 4)? >> 24 & 0x1f)
    }

    /// The strings from this one on.
    fn text(&self, offset: u32) -> Result<&[u8], BtfError> {
        self.bytes
            .get(self.strings + offset as usize..)
            .ok_or(BtfError::Damaged("a name outside of the strings"))
    }

    fn word(&self, at: usize) -> Result<u32, BtfError> {
        self.bytes
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_ne_bytes)
            .ok_or(BtfError::Damaged("it ends too early"))
    }

    /// Bytes that the type at this position takes in the file: `struct btf_type` and what its kind appends.
    fn len_at(&self, at: usize) -> Result<usize, BtfError> {
        let entries = (self.word(at + 4)? & 0xffff) as usize;
        let appended = match self.kind_at(at)? {
            kind::PTR | kind::FWD..=kind::FUNC | kind::FLOAT | kind::TYPE_TAG => 0,
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * entries,
            kind::ENUM | kind::FUNC_PROTO => 8 * entries,
            kind => return Err(BtfError::Kind(kind)),
        };
        Ok(12 + appended)
    }
}

/// Whether the NUL-terminated text at the start of `bytes` is `text`.
fn is_text(bytes: &[u8], text: &str) -> bool {
    bytes.starts_with(text.as_bytes()) && bytes.get(text.len()) == Some(&0)
}

#[cfg(test)]
mod tests;
