// SPDX-License-Identifier: GPL-2.0-only
//! Reads the kernel's BTF: where a member of a structure is, and which type a function has.
//!
//! Not a general reader: two questions, asked once at start, of five megabytes that must not stay in memory. The crates for it build an
//! object per type (15 to 40 MB, and up to 0.2 s natively) or map the file, which kernels before 6.16 do not allow. Every length and
//! offset is checked: damaged BTF is an error, never a panic.

use std::{fs, io};

/// The running kernel's BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// `BTF_MAGIC` (`include/uapi/linux/btf.h`).
const MAGIC: u16 = 0xeb9f;
/// Members of anonymous structures are looked for this deep: `task_struct` needs one level, where its layout is randomised.
const MAX_NESTING: u32 = 8;

/// `BTF_KIND_*` (`include/uapi/linux/btf.h`), those that are asked for.
mod kind {
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const FWD: u32 = 7;
    pub(super) const FUNC: u32 = 12;
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
    /// aya does not take the index made of it.
    #[error("the index of traceable functions: {0}")]
    Index(#[from] aya::BtfError),
}

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bits from the start of the structure.
    pub bit: u32,
    /// Its width in bits if it is a bit field, else zero.
    pub width: u32,
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
        let mut types = Vec::with_capacity((end - at) / 40);
        while at < end {
            types.push(u32::try_from(at).map_err(|_too_big| BtfError::Damaged("more than 4 GiB"))?);
            at += btf.size_at(at)?;
        }
        btf.strings = strings;
        btf.types = types;
        Ok(btf)
    }

    /// The member `member` of `struct structure`, also in anonymous structures and unions inside of it; `None` if
    /// there is none.
    pub fn member(&self, structure: &str, member: &str) -> Result<Option<Member>, BtfError> {
        match self.find(structure, kind::STRUCT)? {
            Some(id) => self.member_of(id, member, MAX_NESTING),
            None => Ok(None),
        }
    }

    /// What aya needs of BTF to attach to `functions`, and no more: their type ids.
    ///
    /// aya asks for a complete `Btf` only to turn a function's name into its id. This one has the same ids, with forward declarations in
    /// place of all other types: a tenth of the time and a third of the memory of `Btf::from_sys_fs`.
    pub fn index_for_aya(&self, functions: &[&str]) -> Result<aya::Btf, BtfError> {
        let image = self.index(functions)?;
        #[expect(
            clippy::default_trait_access,
            reason = "aya does not export the name of its endianness type"
        )]
        Ok(aya::Btf::parse(&image, Default::default())?)
    }

    /// The index as a BTF file.
    fn index(&self, functions: &[&str]) -> Result<Vec<u8>, BtfError> {
        let mut strings = vec![0_u8];
        let mut types = Vec::new();
        let mut found = Vec::new();
        for name in functions {
            if let Some(id) = self.find(name, kind::FUNC)? {
                found.push((id, strings.len()));
                strings.extend_from_slice(name.as_bytes());
                strings.push(0);
            }
        }
        let last = found.iter().map(|(id, _)| *id).max().unwrap_or(0);
        let len = |bytes: usize| u32::try_from(bytes).map_err(|_too_big| BtfError::Damaged("too many types"));
        types.reserve(last as usize * 12);
        for id in 1..=last {
            let (name, kind) = match found.iter().find(|(other, _)| *other == id) {
                Some((_, name)) => (len(*name)?, kind::FUNC),
                None => (0, kind::FWD),
            };
            for word in [name, kind << 24, 0] {
                types.extend_from_slice(&word.to_ne_bytes());
            }
        }
        let mut image = Vec::with_capacity(24 + types.len() + strings.len());
        image.extend_from_slice(&MAGIC.to_ne_bytes());
        image.extend_from_slice(&[1, 0]);
        let (types_len, strings_len) = (len(types.len())?, len(strings.len())?);
        for word in [24, 0, types_len, types_len, strings_len] {
            image.extend_from_slice(&word.to_ne_bytes());
        }
        image.append(&mut types);
        image.append(&mut strings);
        Ok(image)
    }

    fn member_of(&self, structure: u32, name: &str, nesting: u32) -> Result<Option<Member>, BtfError> {
        let at = self.at(structure)?;
        let info = self.word(at + 4)?;
        let bit_fields = info >> 31 == 1;
        for index in 0..(info & 0xffff) as usize {
            // struct btf_member: name_off, type, offset
            let member = at + 12 + 12 * index;
            let offset = self.word(member + 8)?;
            let (bit, width) = if bit_fields {
                (offset & 0x00ff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            let member_name = self.name(self.word(member)?)?;
            if member_name == name.as_bytes() {
                return Ok(Some(Member { bit, width }));
            }
            if member_name.is_empty() && nesting > 0 {
                let inner = self.word(member + 4)?;
                if matches!(self.kind(inner)?, kind::STRUCT | kind::UNION)
                    && let Some(found) = self.member_of(inner, name, nesting - 1)?
                {
                    return Ok(Some(Member {
                        bit: bit.saturating_add(found.bit),
                        ..found
                    }));
                }
            }
        }
        Ok(None)
    }

    /// The id of the first type with this name and kind.
    fn find(&self, name: &str, kind: u32) -> Result<Option<u32>, BtfError> {
        for (id, at) in (1..).zip(&self.types) {
            let at = *at as usize;
            if self.word(at + 4)? >> 24 & 0x1f == kind && self.name(self.word(at)?)? == name.as_bytes() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn at(&self, id: u32) -> Result<usize, BtfError> {
        (id as usize)
            .checked_sub(1)
            .and_then(|index| self.types.get(index))
            .map(|at| *at as usize)
            .ok_or(BtfError::Damaged("a type that is not there"))
    }

    fn kind(&self, id: u32) -> Result<u32, BtfError> {
        Ok(self.word(self.at(id)? + 4)? >> 24 & 0x1f)
    }

    fn name(&self, offset: u32) -> Result<&[u8], BtfError> {
        self.bytes
            .get(self.strings + offset as usize..)
            .and_then(|rest| rest.split(|byte| *byte == 0).next())
            .ok_or(BtfError::Damaged("a name outside of the strings"))
    }

    fn word(&self, at: usize) -> Result<u32, BtfError> {
        self.bytes
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_ne_bytes)
            .ok_or(BtfError::Damaged("it ends too early"))
    }

    /// Bytes of the type at this position: `struct btf_type` and what its kind appends.
    fn size_at(&self, at: usize) -> Result<usize, BtfError> {
        let info = self.word(at + 4)?;
        let entries = (info & 0xffff) as usize;
        let appended = match info >> 24 & 0x1f {
            // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
            2 | 7..=12 | 16 | 18 => 0,
            // integer, variable, declaration tag
            1 | 14 | 17 => 4,
            // array
            3 => 12,
            // structure, union, section, 64-bit enumeration
            4 | 5 | 15 | 19 => 12 * entries,
            // enumeration, prototype
            6 | 13 => 8 * entries,
            kind => return Err(BtfError::Kind(kind)),
        };
        Ok(12 + appended)
    }
}

#[cfg(test)]
mod tests;
