// SPDX-License-Identifier: GPL-2.0-only
//! All patches of one core, from its sysfs directory: the truth that everything else is measured by.
//!
//! It reads `enabled`, `transition`, `replace`, `stack_order` and the tree of functions, and it finds the modules of
//! patches that the core no longer lists. It writes nothing. A patch may vanish at any moment while it is read: then it
//! is not listed, and that is no error (`kernel/livepatch/core.c: klp_free_patch_finish` removes the directory).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use crate::model::{
    patch::{Core, Function, Listed, PatchListing, PatchName},
    place::Places,
};

/// How often `enabled` and `transition` are read until two readings agree; a switch in between takes microseconds.
const READ_TRIES: u32 = 3;

/// The module that makes [`Core::KlpRs`]; its patches are the modules that hold it.
const KLP_RS: &str = "klp_rs";

/// Whether the core is there.
pub fn is_present(places: &Places, core: Core) -> bool {
    places.core(core).is_dir()
}

/// Whether a module of this name is loaded or on its way in or out: built-in code has no `initstate`.
pub fn is_loaded(places: &Places, name: &PatchName) -> bool {
    places.module(name.as_str()).join("initstate").exists()
}

/// Every patch of a core, by name; `Ok(None)` if the core is not there.
pub fn list(places: &Places, core: Core) -> io::Result<Option<Vec<PatchListing>>> {
    let dir = places.core(core);
    let Some(names) = directories(&dir)? else {
        return Ok(None);
    };
    let mut patches = Vec::with_capacity(names.len());
    for name in names.iter().filter_map(|name| PatchName::new(name)) {
        if let Some(listed) = listed(&dir.join(name.as_str()))? {
            patches.push(PatchListing {
                name,
                listed: Some(listed),
            });
        }
    }
    for name in patch_modules(places, core)? {
        let known = patches.iter().any(|patch| patch.name == name);
        if !known && is_live(places, &name) {
            patches.push(PatchListing { name, listed: None });
        }
    }
    patches.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(patches))
}

/// The modules that are live patches of this core, listed by it or not, in any module state.
pub fn patch_modules(places: &Places, core: Core) -> io::Result<Vec<PatchName>> {
    let holders = directories(&places.module(KLP_RS).join("holders"))?.unwrap_or_default();
    let names = match core {
        Core::KlpRs => holders,
        // a module made for klp_rs from a source written for the kernel's core bears the mark of the latter
        Core::Kernel => directories(&places.sys.join("module"))?
            .unwrap_or_default()
            .into_iter()
            .filter(|name| !holders.contains(name) && is_patch(places, name))
            .collect(),
    };
    Ok(names.iter().filter_map(|name| PatchName::new(name)).collect())
}

/// Whether a module is a live patch of either core: it says `livepatch=Y`, which is `K` in its own taint
/// (`kernel/module/main.c: check_modinfo_livepatch`), or it holds `klp_rs`.
pub fn is_patch(places: &Places, module: &str) -> bool {
    fs::read(places.module(module).join("taint")).is_ok_and(|taint| taint.contains(&b'K'))
        || places.module(KLP_RS).join("holders").join(module).exists()
}

/// `coming` modules are listed by their core in a moment or fail, `going` ones are as good as gone.
fn is_live(places: &Places, name: &PatchName) -> bool {
    fs::read(places.module(name.as_str()).join("initstate")).is_ok_and(|state| state.trim_ascii() == b"live")
}

/// What a patch's directory says; `None` if it is not, or no longer, a patch.
fn listed(dir: &Path) -> io::Result<Option<Listed>> {
    let Some((enabled, transition)) = state(dir)? else {
        return Ok(None);
    };
    let replace = number(&dir.join("replace"))?.map(|value| value != 0);
    let stack_order = number(&dir.join("stack_order"))?;
    let functions = functions(dir)?;
    // the optional files look absent while the directory goes away: look at one that must be there once more
    Ok(number(&dir.join("enabled"))?.map(|_| Listed {
        enabled,
        transition,
        replace,
        stack_order,
        functions,
    }))
}

/// `enabled` and `transition` of one moment: two files, so read until `enabled` stays the same around the other.
fn state(dir: &Path) -> io::Result<Option<(bool, bool)>> {
    let enabled = || number(&dir.join("enabled"));
    let Some(mut before) = enabled()? else {
        return Ok(None);
    };
    for _ in 0..READ_TRIES {
        let Some(transition) = number(&dir.join("transition"))? else {
            return Ok(None);
        };
        let Some(after) = enabled()? else {
            return Ok(None);
        };
        if before == after {
            return Ok(Some((after != 0, transition != 0)));
        }
        before = after;
    }
    Err(io::Error::other(format!(
        "{} does not hold still; somebody switches the patch all the time",
        dir.display()
    )))
}

/// `<object>/<function,sympos>/` as functions, sorted.
fn functions(patch: &Path) -> io::Result<Vec<Function>> {
    let mut functions = Vec::new();
    for object in directories(patch)?.unwrap_or_default() {
        for entry in directories(&patch.join(&object))?.unwrap_or_default() {
            if let Some((name, sympos)) = entry.rsplit_once(',')
                && let Ok(sympos) = sympos.parse()
            {
                functions.push(Function {
                    object: object.clone(),
                    name: name.to_owned(),
                    sympos,
                });
            }
        }
    }
    functions.sort();
    Ok(functions)
}

/// The names of a directory's directories; `None` if it is not there. A name that is no UTF-8 is none of the kernel's.
fn directories(dir: &Path) -> io::Result<Option<Vec<String>>> {
    let Some(entries) = there(fs::read_dir(dir))? else {
        return Ok(None);
    };
    let mut names = Vec::new();
    for entry in entries {
        let Some(entry) = there(entry)? else {
            continue;
        };
        // /sys/module/*/holders holds symbolic links to directories
        let leads_to_directory = entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
        if let Ok(name) = entry.file_name().into_string()
            && leads_to_directory
        {
            names.push(name);
        }
    }
    Ok(Some(names))
}

/// A file with one number in it; `None` if it is not there.
fn number(path: &PathBuf) -> io::Result<Option<u32>> {
    let Some(text) = there(fs::read_to_string(path))? else {
        return Ok(None);
    };
    text.trim().parse().map(Some).map_err(|err| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} holds no number: {err}", path.display()),
        )
    })
}

/// Turns "it is not there" into `None`: ENOENT at open, ENODEV at read once sysfs has removed it
/// (`fs/kernfs/file.c: kernfs_file_read_iter`).
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(err) => match Errno::from_io_error(&err) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) => Ok(None),
            _ => Err(err),
        },
    }
}

#[cfg(test)]
mod tests;
