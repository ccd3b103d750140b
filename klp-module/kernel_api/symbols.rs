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

/// The kernel's functions that are not exported and are needed: two that visit symbols, one that knows idle tasks.
const NEEDED: [&CStr; 3] = [
    c"kallsyms_on_each_match_symbol",
    c"module_kallsyms_on_each_symbol",
    c"idle_task",
];

/// Symbols can be found.
pub(crate) struct Symbols(());

impl Symbols {
    /// Finds what finds symbols, and what finds idle tasks. Once, when the module is loaded.
    pub(crate) fn start() -> Result<Self> {
        let mut starts = [0; NEEDED.len()];
        for (start, name) in starts.iter_mut().zip(NEEDED) {
            let [found] = probe([ffi::Place::of_name(name)])?;
            let text = symbol_text(found.ip)?;
            let symbol = symbol_text::parse(&text).filter(|symbol| symbol.name == name.to_bytes());
            *start = found.ip.wrapping_sub(symbol.ok_or(ENOENT)?.offset);
        }
        let [in_kernel, in_module, idle_task] = starts.map(|start| start as c_ulong);
        // SAFETY: The first instructions of these functions: the kernel says that they have these names.
        unsafe { ffi::klp_rs_symbols_start(in_kernel, in_module, idle_task) };
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

/// Where a function calls out to ftrace.
#[derive(Clone, Copy, Default)]
pub(crate) struct Found {
    /// The place, when `traceable`.
    pub(crate) ip: usize,
    /// Does it?
    pub(crate) traceable: bool,
}

fn probe<const N: usize>(mut places: [ffi::Place; N]) -> Result<[Found; N]> {
    // SAFETY: An array as long as said; its names, if any, live as long as the call.
    check(unsafe { ffi::klp_rs_probe_places(places.as_mut_ptr(), N as c_uint) })?;
    Ok(places.map(|place| Found {
        ip: place.address as usize,
        traceable: place.traceable,
    }))
}

/// Looks at the functions that begin at these addresses. Sleeps for a grace period, whatever their number.
pub(crate) fn locate(addresses: &[usize]) -> Result<KVec<Found>> {
    let mut places = KVec::with_capacity(addresses.len(), GFP_KERNEL)?;
    for &address in addresses {
        places.push(ffi::Place::of_address(address), GFP_KERNEL)?;
    }
    // SAFETY: An array as long as said.
    check(unsafe { ffi::klp_rs_probe_places(places.as_mut_ptr(), places.len() as c_uint) })?;
    let mut found = KVec::with_capacity(places.len(), GFP_KERNEL)?;
    for place in &places {
        let place = Found {
            ip: place.address as usize,
            traceable: place.traceable,
        };
        found.push(place, GFP_KERNEL)?;
    }
    Ok(found)
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
