// SPDX-License-Identifier: GPL-2.0-only
//! The kernel functions that programs attach to, as aya wants to know them.
//!
//! aya takes a whole BTF and asks it nothing but the id of one function; reading the kernel's a second time for that would double the time and
//! the memory of a start. So it gets one with the same ids and nothing else.

use super::btf::{BtfError, MAGIC, kind};

/// Functions that this kernel has, by their types' ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Functions(Vec<(&'static str, u32)>);

impl Functions {
    /// Takes names with their ids.
    pub(super) fn new(found: Vec<(&'static str, u32)>) -> Self {
        Self(found)
    }

    /// Whether this one was looked for and found.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| *other == name)
    }

    /// A BTF of them alone: forward declarations stand where the kernel's has all its other types.
    pub fn index_for_aya(&self) -> Result<aya::Btf, BtfError> {
        let image = self.index()?;
        #[expect(
            clippy::default_trait_access,
            reason = "aya does not export the name of its endianness type"
        )]
        Ok(aya::Btf::parse(&image, Default::default())?)
    }

    /// The index as a BTF file.
    pub(super) fn index(&self) -> Result<Vec<u8>, BtfError> {
        let len = |bytes: usize| u32::try_from(bytes).map_err(|_too_big| BtfError::Damaged("too many types"));
        let last = self.0.iter().map(|(_, id)| *id).max().unwrap_or(0) as usize;
        // struct btf_type: name_off, info, type
        let mut types = [0, kind::FWD << 24, 0].repeat(last);
        let mut strings = vec![0_u8];
        for (name, id) in &self.0 {
            let at = (*id as usize - 1) * 3;
            types[at] = len(strings.len())?;
            types[at + 1] = kind::FUNC << 24;
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        let (types_len, strings_len) = (len(types.len() * 4)?, len(strings.len())?);
        let mut image = MAGIC.to_ne_bytes().to_vec();
        image.extend_from_slice(&[1, 0]);
        image.extend_from_slice(bytemuck::cast_slice(&[24, 0, types_len, types_len, strings_len]));
        image.extend_from_slice(bytemuck::cast_slice(&types));
        image.extend_from_slice(&strings);
        Ok(image)
    }
}
