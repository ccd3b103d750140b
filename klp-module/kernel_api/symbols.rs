// SPDX-License-Identifier: GPL-2.0-only
//! Symbols: finding the one that a patch means, the code it names, and where ftrace calls out of it. Does not know patches.
//! Invariant: a [`Symbols`] is made before any function of this file is asked for anything.

use kernel::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use kernel::{
    prelude::*,
    str::{CStr, CString},
};

use super::{entry::check, ffi};
use crate::pure::{
    func_stack::Code,
    symbol_search::{Search, Unclear},
    symbol_text,
};

/// `KSYM_SYMBOL_LEN` of include/linux/kallsyms.h, with room to spare.
const SYMBOL_TEXT: usize = 1024;

/// The kernel's functions that are not exported and are needed: two that visit symbols, one that knows where functions call
/// out, one that knows who is called directly from there, one that knows idle tasks.
const NEEDED: [&CStr; 5] = [
    c"kallsyms_on_each_match_symbol",
    c"module_kallsyms_on_each_symbol",
    c"ftrace_location",
    c"ftrace_find_rec_direct",
    c"idle_task",
];

/// Symbols can be found.
pub(crate) struct Symbols(());

impl Symbols {
    /// Finds what finds the rest. Once, when the module is loaded; sleeps for a grace period.
    pub(crate) fn start() -> Result<Self> {
        let mut places = NEEDED.map(ffi::Place::of_name);
        // SAFETY: An array as long as said; its names live for ever.
        check(unsafe { ffi::klp_rs_probe_places(places.as_mut_ptr(), places.len() as c_uint) })?;
        let mut starts = [0; NEEDED.len()];
        for (start, (name, place)) in starts.iter_mut().zip(NEEDED.into_iter().zip(&places)) {
            let text = symbol_text(place.address as usize)?;
            let symbol = symbol_text::parse(&text).filter(|symbol| symbol.name == name.to_bytes());
            *start = place.address.wrapping_sub(symbol.ok_or(ENOENT)?.offset as c_ulong);
        }
        let [in_kernel, in_module, location, direct, idle_task] = starts;
        // SAFETY: The first instructions of these functions: the kernel says that they have these names.
        unsafe { ffi::klp_rs_symbols_start(in_kernel, in_module, location, direct, idle_task) };
        Ok(Self(()))
    }
}

fn search(module: Option<&CStr>, name: &CStr, position: usize) -> Search {
    unsafe extern "C" fn seen(cookie: *mut c_void, address: c_ulong) -> c_int {
        // SAFETY: `cookie` is the `search` below, which nobody else uses meanwhile.
        unsafe { &mut *cookie.cast::<Search>() }.meet(address as usize);
        0
    }
    let mut search = Search::new(position);
    let module = module.map_or(core::ptr::null(), CStr::as_char_ptr);
    // SAFETY: NULL or a string, a string, and `seen` gets what it was made for.
    unsafe { ffi::klp_rs_each_symbol(module, name.as_char_ptr(), seen, (&raw mut search).cast()) };
    search
}

/// The first instruction of the function that this name and position mean, in a module or in the kernel itself.
pub(crate) fn find(module: Option<&CStr>, name: &CStr, position: usize) -> Result<usize, Unclear> {
    search(module, name, position).result()
}

/// Where the function that begins at `address` calls out to ftrace; none when it does not.
pub(crate) fn call_out(address: usize) -> Option<usize> {
    // SAFETY: Needs nothing of its caller: what is no function calls out nowhere.
    let ip = unsafe { ffi::klp_rs_location(address as c_ulong) };
    (ip != 0).then_some(ip as usize)
}

/// What the kernel says about an address; the text is for `symbol_text::parse`.
fn symbol_text(address: usize) -> Result<KVec<u8>> {
    let mut text = KVec::from_elem(0u8, SYMBOL_TEXT, GFP_KERNEL)?;
    // SAFETY: A buffer as long as said, and longer than `KSYM_SYMBOL_LEN`.
    let length =
        unsafe { ffi::klp_rs_symbol_text(address as c_ulong, text.as_mut_ptr().cast::<c_char>(), SYMBOL_TEXT) };
    text.truncate(length);
    Ok(text)
}

/// The function at `address`, with its cold part. Of several cold parts of that name any may be its own, so all count, with
/// what lies between them: too much keeps a task for longer, too little would let it go too early.
pub(crate) fn code(address: usize) -> Result<Code> {
    let text = symbol_text(address)?;
    let symbol = symbol_text::parse(&text).ok_or(ENOENT)?;
    let start = address.wrapping_sub(symbol.offset);
    let utf8 = |part| core::str::from_utf8(part).or(Err(EINVAL));
    let cold = CString::try_from_fmt(fmt!("{}.cold", utf8(symbol.name)?))?;
    let module = match symbol.module {
        Some(module) => Some(CString::try_from_fmt(fmt!("{}", utf8(module)?))?),
        None => None,
    };
    let cold = match search(module.as_deref(), &cold, 0).span() {
        Some((first, last)) => (first, end_of(last)?),
        None => (0, 0),
    };
    Ok(Code {
        body: (start, start.wrapping_add(symbol.size)),
        cold,
    })
}

/// The first byte behind the symbol at `address`.
fn end_of(address: usize) -> Result<usize> {
    let text = symbol_text(address)?;
    let symbol = symbol_text::parse(&text).ok_or(ENOENT)?;
    Ok(address.wrapping_sub(symbol.offset).wrapping_add(symbol.size))
}
