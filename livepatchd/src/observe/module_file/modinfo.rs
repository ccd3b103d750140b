// SPDX-License-Identifier: GPL-2.0-only
//! What a module says of itself: `.modinfo`, the module structure, the signature's trailer.
//!
//! `.modinfo` is a row of `key=value` strings, each ended by a zero byte, more than one zero between them allowed
//! (`kernel/module/main.c: module_next_tag_pair`).

use std::fs::File;

use super::{elf::Elf, invalid};
use crate::model::{
    module::ModuleFacts,
    patch::{Core, PatchName},
    refusal::Refusal,
};

/// The end of a signed module (`include/linux/module_signature.h: MODULE_SIG_STRING`).
const SIGNATURE_MARK: &[u8] = b"~Module signature appended~\n";
/// `struct module_signature` before the mark; its last four bytes are the signature's length, big-endian.
const SIGNATURE_INFO: usize = 12;

/// The section with `struct module`, which holds the name that the kernel uses.
const THIS_MODULE: &str = ".gnu.linkonce.this_module";

/// Parses the file. `name` is for messages.
pub(super) fn facts(file: &File, name: &str) -> Result<ModuleFacts, Refusal> {
    parse(file).map_err(|why| invalid(name, &format!("{why}; give a live patch module built for this kernel")))
}

fn parse(file: &File) -> Result<ModuleFacts, String> {
    let elf = Elf::parse(file)?;
    let section = elf
        .section(".modinfo")?
        .ok_or("it is an object file without .modinfo, no kernel module")?;
    let info = Modinfo::parse(&section)?;
    let this_module = elf
        .section(THIS_MODULE)?
        .ok_or_else(|| format!("it is no complete kernel module (no {THIS_MODULE})"))?;
    let name = info.one("name")?.ok_or("its .modinfo has no name")?;
    if !holds_name(&this_module, name) {
        return Err(format!(
            "its .modinfo says {name:?}, but that is not the name inside the module"
        ));
    }
    let vermagic = info.one("vermagic")?.ok_or("its .modinfo has no vermagic")?;
    let release = vermagic.split(' ').next().unwrap_or_default();
    let depends: Vec<String> = info
        .one("depends")?
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    Ok(ModuleFacts {
        name: PatchName::new(name).ok_or_else(|| format!("no module can be named {name:?}"))?,
        vermagic: vermagic.to_owned(),
        release: release.to_owned(),
        core: core(&info, &depends)?,
        depends,
        signed: is_signed(&elf.tail((SIGNATURE_INFO + SIGNATURE_MARK.len()) as u64)?, elf.size()),
        size: elf.size(),
    })
}

/// The core that the module is written for. A source written for the kernel's core and built for `klp_rs` bears both
/// marks: then `klp_rs` it is.
fn core(info: &Modinfo<'_>, depends: &[String]) -> Result<Option<Core>, String> {
    let says = |key| Ok::<_, String>(info.one(key)?.is_some_and(|value| value.starts_with('Y')));
    Ok(if says("klp_rs")? || depends.iter().any(|name| name == "klp_rs") {
        Some(Core::KlpRs)
    } else {
        says("livepatch")?.then_some(Core::Kernel)
    })
}

/// Whether the name stands in `struct module`, ended by a zero byte and begun after one. Where in it is known only to
/// the kernel's own build, which may shuffle the fields.
fn holds_name(this_module: &[u8], name: &str) -> bool {
    let wanted: Vec<u8> = [b"\0", name.as_bytes(), b"\0"].concat();
    !name.is_empty() && this_module.windows(wanted.len()).any(|window| window == wanted)
}

/// The mark at the end, with a signature before it that can be there (`kernel/module_signature.c: mod_check_sig`).
fn is_signed(tail: &[u8], size: u64) -> bool {
    let Some(info) = tail.strip_suffix(SIGNATURE_MARK) else {
        return false;
    };
    let Some(length) = info.last_chunk::<4>() else {
        return false;
    };
    let length = u64::from(u32::from_be_bytes(*length));
    length > 0 && length < size
}

/// `key=value` pairs in file order.
struct Modinfo<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Modinfo<'a> {
    fn parse(section: &'a [u8]) -> Result<Self, String> {
        if section.last() != Some(&0) {
            return Err("its .modinfo has no end".into());
        }
        let mut pairs = Vec::new();
        for entry in section.split(|&b| b == 0).filter(|entry| !entry.is_empty()) {
            // descriptions and authors may be in any encoding; the keys that count are ASCII
            if let Ok(entry) = std::str::from_utf8(entry)
                && let Some(pair) = entry.split_once('=')
            {
                pairs.push(pair);
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a key that may stand there once.
    fn one(&self, key: &str) -> Result<Option<&'a str>, String> {
        let mut values = self.0.iter().filter(|(name, _)| *name == key);
        let first = values.next().map(|(_, value)| *value);
        // MODULE_INFO(livepatch, "Y") twice says the same twice
        if values.any(|(_, value)| Some(*value) != first) {
            return Err(format!("its .modinfo gives two values for {key}"));
        }
        Ok(first)
    }
}
