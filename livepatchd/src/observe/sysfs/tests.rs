// SPDX-License-Identifier: GPL-2.0-only
//! Directory trees stand for sysfs here; the VM scenarios show the kernel's own.

use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use super::{is_loaded, is_present, list, patch_modules};
use crate::model::{
    patch::{Core, Function, PatchName},
    place::Places,
};

struct Tree {
    dir: TempDir,
}

impl Tree {
    fn new() -> Self {
        Self {
            dir: TempDir::new().expect("tempdir"),
        }
    }

    fn places(&self) -> Places {
        Places {
            sys: self.dir.path().to_owned(),
            proc: "/proc".into(),
            runtime: self.dir.path().join("run"),
        }
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("mkdir");
        fs::write(path, text).expect("write");
        self
    }

    fn patch(&self, name: &str, enabled: u8, transition: u8) -> &Self {
        let dir = format!("kernel/livepatch/{name}");
        self.file(&format!("{dir}/enabled"), &format!("{enabled}\n"))
            .file(&format!("{dir}/transition"), &format!("{transition}\n"))
            .file(&format!("{dir}/force"), "")
            .file(&format!("{dir}/vmlinux/patched"), "1\n")
            .file(&format!("{dir}/vmlinux/cmdline_proc_show,1/x"), "")
            .file(&format!("{dir}/tgt/tgt_wait,2/x"), "")
    }

    fn module(&self, name: &str, taint: &str, state: &str) -> &Self {
        self.file(&format!("module/{name}/taint"), taint)
            .file(&format!("module/{name}/initstate"), state)
    }
}

fn name(text: &str) -> PatchName {
    PatchName::new(text).expect("a name")
}

#[test]
fn a_patch_is_read_whole() {
    let tree = Tree::new();
    tree.patch("lp", 1, 0)
        .file("kernel/livepatch/lp/replace", "1\n")
        .file("kernel/livepatch/lp/stack_order", "2\n")
        .module("lp", "OEK\n", "live\n");
    let patches = list(&tree.places(), Core::Kernel).expect("readable").expect("present");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].name, name("lp"));
    let listed = patches[0].listed.as_ref().expect("listed");
    assert!(listed.enabled && !listed.transition);
    assert_eq!((listed.replace, listed.stack_order), (Some(true), Some(2)));
    let function = |object: &str, name: &str, sympos| Function {
        object: object.into(),
        name: name.into(),
        sympos,
    };
    assert_eq!(
        listed.functions,
        [
            function("tgt", "tgt_wait", 2),
            function("vmlinux", "cmdline_proc_show", 1)
        ]
    );
}

#[test]
fn files_that_older_kernels_lack_are_unknown_not_false() {
    let tree = Tree::new();
    tree.patch("lp", 0, 1);
    let patches = list(&tree.places(), Core::Kernel).expect("readable").expect("present");
    let listed = patches[0].listed.as_ref().expect("listed");
    assert_eq!((listed.replace, listed.stack_order), (None, None));
    assert!(!listed.enabled && listed.transition);
}

#[test]
fn a_core_that_is_not_there_is_told_from_one_without_patches() {
    let tree = Tree::new();
    assert_eq!(list(&tree.places(), Core::Kernel).expect("no error"), None);
    assert!(!is_present(&tree.places(), Core::Kernel));
    fs::create_dir_all(tree.places().core(Core::Kernel)).expect("mkdir");
    assert_eq!(list(&tree.places(), Core::Kernel).expect("no error"), Some(vec![]));
    assert!(is_present(&tree.places(), Core::Kernel));
}

#[test]
fn a_patch_that_vanishes_half_way_is_not_listed() {
    let tree = Tree::new();
    tree.patch("whole", 1, 0)
        .patch("torn", 1, 0)
        .file("kernel/livepatch/empty/force", "");
    fs::remove_file(tree.places().patch(Core::Kernel, &name("torn")).join("transition")).expect("remove");
    let patches = list(&tree.places(), Core::Kernel).expect("readable").expect("present");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].name, name("whole"));
}

#[test]
fn patches_come_and_go_at_random_while_they_are_listed() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let tree = Tree::new();
    tree.patch("stays", 1, 0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                tree.patch("comes", 1, 1);
                let _ = fs::remove_dir_all(tree.places().patch(Core::Kernel, &name("comes")));
            }
        });
        for _ in 0..300 {
            // a file can be seen empty between its creation and its first byte, which sysfs never shows
            match list(&tree.places(), Core::Kernel) {
                Ok(patches) => assert!(
                    patches
                        .expect("present")
                        .iter()
                        .any(|patch| patch.name == name("stays"))
                ),
                Err(err) => assert_eq!(err.kind(), std::io::ErrorKind::InvalidData, "{err}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_loaded_module_without_a_directory_is_a_patch_that_is_not_listed() {
    let tree = Tree::new();
    tree.patch("on", 1, 0)
        .module("on", "OEK\n", "live\n")
        .module("off", "OEK\n", "live\n")
        .module("leaving", "OEK\n", "going\n")
        .module("arriving", "OEK\n", "coming\n")
        .module("other", "OE\n", "live\n")
        .file("module/builtin/parameters/x", "");
    let patches = list(&tree.places(), Core::Kernel).expect("readable").expect("present");
    let seen: Vec<(&str, bool)> = patches
        .iter()
        .map(|patch| (patch.name.as_str(), patch.listed.is_some()))
        .collect();
    assert_eq!(seen, [("off", false), ("on", true)]);
    assert!(is_loaded(&tree.places(), &name("off")));
    assert!(is_loaded(&tree.places(), &name("arriving")));
    assert!(!is_loaded(&tree.places(), &name("builtin")));
}

#[test]
fn holders_of_klp_rs_are_its_patches_and_not_the_kernels() {
    let tree = Tree::new();
    tree.module("rs", "OEK\n", "live\n")
        .module("lp", "OEK\n", "live\n")
        .file("module/klp_rs/initstate", "live\n");
    fs::create_dir_all(tree.places().core(Core::KlpRs)).expect("mkdir");
    let holders = tree.dir.path().join("module/klp_rs/holders");
    fs::create_dir_all(&holders).expect("mkdir");
    symlink("../../rs", holders.join("rs")).expect("symlink");
    let modules = |core| patch_modules(&tree.places(), core).expect("readable");
    assert_eq!(modules(Core::Kernel), [name("lp")]);
    assert_eq!(modules(Core::KlpRs), [name("rs")]);
    let patches = list(&tree.places(), Core::KlpRs).expect("readable").expect("present");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].listed, None);
}

#[test]
fn a_file_without_a_number_is_an_error_that_names_it() {
    let tree = Tree::new();
    tree.patch("lp", 1, 0).file("kernel/livepatch/lp/transition", "maybe\n");
    let err = list(&tree.places(), Core::Kernel).expect_err("no number");
    assert!(err.to_string().contains("lp/transition"), "{err}");
}
