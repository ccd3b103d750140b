// SPDX-License-Identifier: GPL-2.0-only
//! Reading what the kernel says about an address: `name+0xoffset/0xsize [module]` (kernel/kallsyms.c:__sprint_symbol).
//! Invariant: text that does not have this form yields nothing, never a guess.

/// The symbol that an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol<'a> {
    /// Its name.
    pub(crate) name: &'a [u8],
    /// How far into it the address is.
    pub(crate) offset: usize,
    /// Its length in bytes, never 0.
    pub(crate) size: usize,
    /// The module that has it, unless the kernel itself does.
    pub(crate) module: Option<&'a [u8]>,
}

/// Reads one line. A name may itself contain a plus sign, so the last one counts.
pub(crate) fn parse(text: &[u8]) -> Option<Symbol<'_>> {
    let (place, module) = match text.iter().position(|&byte| byte == b' ') {
        Some(space) => (text.get(..space)?, Some(inner(text.get(space.checked_add(1)?..)?)?)),
        None => (text, None),
    };
    let plus = place.iter().rposition(|&byte| byte == b'+')?;
    let numbers = place.get(plus.checked_add(1)?..)?;
    let slash = numbers.iter().position(|&byte| byte == b'/')?;
    let symbol = Symbol {
        name: place.get(..plus)?,
        offset: hex(numbers.get(..slash)?)?,
        size: hex(numbers.get(slash.checked_add(1)?..)?)?,
        module,
    };
    (!symbol.name.is_empty() && symbol.size != 0 && symbol.offset < symbol.size).then_some(symbol)
}

/// `[module]`, also with a build id behind the name.
fn inner(text: &[u8]) -> Option<&[u8]> {
    let name = text.strip_prefix(b"[")?;
    let end = name.iter().position(|&byte| byte == b']' || byte == b' ')?;
    name.get(..end)
}

fn hex(text: &[u8]) -> Option<usize> {
    let digits = text.strip_prefix(b"0x")?;
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(usize::try_from(digit).ok()?)
    })
}
