// SPDX-License-Identifier: GPL-2.0-only
//! The core's ftrace_ops, and symbols. Does not know patches. Invariant: while a [`Redirect`] lives the ops is registered
//! and has the keeper in its filter, so its filter is never empty (empty would mean every function).

use kernel::ffi::{c_char, c_uint, c_ulong};
use kernel::{
    prelude::*,
    str::{CStr, CString},
};

use super::{entry::check, ffi};
use crate::pure::{func_stack::Code, symbol_text};

/// `KSYM_SYMBOL_LEN` of include/linux/kallsyms.h, with room to spare.
const SYMBOL_TEXT: usize = 1024;

/// The registered ops.
pub(crate) struct Redirect(());

impl Redirect {
    /// Registers it, for no function yet. Sleeps.
    pub(crate) fn register() -> Result<Self> {
        // SAFETY: There is one `Redirect` at a time: it is a field of the core, made under the core's lock.
        check(unsafe { ffi::klp_rs_ftrace_register() })?;
        Ok(Self(()))
    }

    /// Has the functions call out at `ips`. All or none; -EBUSY when another IPMODIFY user has one of them.
    pub(crate) fn add(&self, ips: &mut [usize]) -> Result {
        // SAFETY: The ops is registered by the type's invariant, and the array is as long as said.
        check(unsafe { ffi::klp_rs_ftrace_add(ips.as_mut_ptr().cast::<c_ulong>(), ips.len() as c_uint) })
    }

    /// And no longer. The keeper is not among `ips`: nobody patches it.
    pub(crate) fn remove(&self, ips: &mut [usize]) -> Result {
        // SAFETY: As above.
        check(unsafe { ffi::klp_rs_ftrace_remove(ips.as_mut_ptr().cast::<c_ulong>(), ips.len() as c_uint) })
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        // SAFETY: Registered by `register`. An error means that it was not: then there is nothing to undo.
        unsafe { ffi::klp_rs_ftrace_unregister() };
    }
}

/// Where a name leads.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// Where ftrace calls out, or the first instruction; 0 when there is no such symbol.
    pub(crate) ip: usize,
    /// Can ftrace call out there?
    pub(crate) traceable: bool,
}

/// Looks up names of the form `function` or `module:function`. Sleeps for a grace period, whatever their number.
pub(crate) fn find(names: &[CString]) -> Result<KVec<Found>> {
    let mut asked = KVec::with_capacity(names.len(), GFP_KERNEL)?;
    for name in names {
        asked.push(
            ffi::Symbol {
                name: name.as_char_ptr(),
                ip: 0,
                traceable: false,
            },
            GFP_KERNEL,
        )?;
    }
    // SAFETY: An array as long as said, of strings that live until the end of this function.
    check(unsafe { ffi::klp_rs_symbols(asked.as_mut_ptr(), asked.len() as c_uint) })?;
    let mut found = KVec::with_capacity(asked.len(), GFP_KERNEL)?;
    for symbol in &asked {
        found.push(
            Found {
                ip: symbol.ip as usize,
                traceable: symbol.traceable,
            },
            GFP_KERNEL,
        )?;
    }
    Ok(found)
}

/// What the kernel says about an address; the text is for `symbol_text::parse`.
pub(crate) fn symbol_text(address: usize) -> Result<KVec<u8>> {
    let mut text = KVec::from_elem(0u8, SYMBOL_TEXT, GFP_KERNEL)?;
    // SAFETY: A buffer as long as said, and longer than `KSYM_SYMBOL_LEN`.
    let length =
        unsafe { ffi::klp_rs_symbol_text(address as c_ulong, text.as_mut_ptr().cast::<c_char>(), SYMBOL_TEXT) };
    text.truncate(length);
    Ok(text)
}

/// The body of the function at `address`, without its cold part.
pub(crate) fn body(address: usize) -> Result<Code> {
    let text = symbol_text(address)?;
    let symbol = symbol_text::parse(&text).ok_or(ENOENT)?;
    let start = address.wrapping_sub(symbol.offset);
    Ok(Code {
        body: (start, start.wrapping_add(symbol.size)),
        cold: (0, 0),
    })
}

/// The name under which the cold part of the function at `address` would be found.
pub(crate) fn cold_name(address: usize) -> Result<CString> {
    let text = symbol_text(address)?;
    let symbol = symbol_text::parse(&text).ok_or(ENOENT)?;
    let utf8 = |part| core::str::from_utf8(part).or(Err(EINVAL));
    match symbol.module {
        Some(module) => CString::try_from_fmt(fmt!("{}:{}.cold", utf8(module)?, utf8(symbol.name)?)),
        None => CString::try_from_fmt(fmt!("{}.cold", utf8(symbol.name)?)),
    }
}

/// The name of a function's cold part.
pub(crate) fn with_cold(name: &CStr) -> Result<CString> {
    CString::try_from_fmt(fmt!("{name}.cold"))
}

/// `module:function`, or the bare name for the kernel's own.
pub(crate) fn full_name(module: Option<&CStr>, function: &CStr) -> Result<CString> {
    match module {
        Some(module) => CString::try_from_fmt(fmt!("{module}:{function}")),
        None => CString::try_from_fmt(fmt!("{function}")),
    }
}
