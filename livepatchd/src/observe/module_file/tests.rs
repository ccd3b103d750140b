// SPDX-License-Identifier: GPL-2.0-only
//! Modules made here byte by byte, then spoiled in every way: no input may panic, and each refusal has its name.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::process::getuid;
use tempfile::TempDir;

use super::{OpenModule, from_fd, open_of};
use crate::model::{
    patch::Core,
    refusal::{ErrorName, Refusal},
};

const MODINFO: &str = "license=GPL\0livepatch=Y\0depends=\0name=lp\0vermagic=7.2.12 SMP preempt mod_unload \0";

/// A relocatable ELF file with these sections.
fn elf(sections: &[(&str, &[u8])]) -> Vec<u8> {
    use object::write::{Object, StandardSegment};
    let arch = if cfg!(target_arch = "x86_64") {
        object::Architecture::X86_64
    } else {
        object::Architecture::Aarch64
    };
    let mut object = Object::new(object::BinaryFormat::Elf, arch, object::Endianness::Little);
    for (name, data) in sections {
        let segment = object.segment_name(StandardSegment::Data).to_vec();
        let id = object.add_section(segment, name.as_bytes().to_vec(), object::SectionKind::Data);
        object.append_section_data(id, data, 8);
    }
    object.write().expect("writes")
}

fn module(modinfo: &str, name: &str) -> Vec<u8> {
    let mut this_module = vec![0; 256];
    this_module[24..24 + name.len()].copy_from_slice(name.as_bytes());
    elf(&[
        (".text", &[0x90; 64]),
        (".modinfo", modinfo.as_bytes()),
        (".gnu.linkonce.this_module", &this_module),
    ])
}

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(TempDir::new().expect("tempdir"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
        path
    }
}

fn open(path: &Path) -> Result<OpenModule, Refusal> {
    open_of(path, getuid())
}

fn refused(result: Result<OpenModule, Refusal>, name: ErrorName, words: &str) {
    let refusal = result.expect_err(words);
    assert_eq!(refusal.name, name, "{}", refusal.message);
    assert!(refusal.message.contains(words), "{words}: {}", refusal.message);
}

fn refused_content(bytes: &[u8], words: &str) {
    refused(open(&Dir::new().file("x.ko", bytes)), ErrorName::InvalidModule, words);
}

#[test]
fn a_live_patch_is_read_in_full() {
    let dir = Dir::new();
    let bytes = module(MODINFO, "lp");
    let module = open(&dir.file("any-name.ko", &bytes)).expect("a module");
    let facts = module.facts();
    assert_eq!(facts.name.as_str(), "lp");
    assert_eq!(facts.release, "7.2.12");
    assert_eq!(facts.core, Some(Core::Kernel));
    assert!(!facts.signed && facts.depends.is_empty());
    assert_eq!(facts.size, bytes.len() as u64);
}

#[test]
fn the_core_follows_from_modinfo() {
    for (extra, core) in [
        ("", Some(Core::Kernel)),
        ("klp_rs=Y\0", Some(Core::KlpRs)),
        ("klp_rs=N\0", Some(Core::Kernel)),
    ] {
        let dir = Dir::new();
        let path = dir.file("x.ko", &module(&format!("{extra}{MODINFO}"), "lp"));
        assert_eq!(open(&path).expect("a module").facts().core, core, "{extra}");
    }
    let dir = Dir::new();
    let by_need = MODINFO.replace("depends=", "depends=x,klp_rs");
    let facts = open(&dir.file("n.ko", &module(&by_need, "lp"))).expect("a module");
    assert_eq!(facts.facts().core, Some(Core::KlpRs));
    assert_eq!(facts.facts().depends, ["x", "klp_rs"]);
    let plain = MODINFO.replace("livepatch=Y\0", "");
    let facts = open(&dir.file("p.ko", &module(&plain, "lp"))).expect("a module");
    assert_eq!(facts.facts().core, None);
}

#[test]
fn every_compression_gives_the_same_facts_in_a_file_that_cannot_change() {
    let dir = Dir::new();
    let bytes = module(MODINFO, "lp");
    let plain = open(&dir.file("lp.ko", &bytes)).expect("plain").facts().clone();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(&bytes).expect("gzip");
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 9);
    xz.write_all(&bytes).expect("xz");
    for (name, packed) in [
        ("lp.ko.gz", gz.finish().expect("gzip")),
        ("lp.ko.xz", xz.finish().expect("xz")),
        ("lp.ko.zst", zstd::encode_all(&bytes[..], 3).expect("zstd")),
        // the name says nothing, the first bytes do
        ("lp.ko", zstd::encode_all(&bytes[..], 19).expect("zstd")),
    ] {
        let module = open(&dir.file(name, &packed)).expect(name);
        assert_eq!(module.facts(), &plain, "{name}");
        let file = fs::File::from(module.file().try_clone_to_owned().expect("dup"));
        assert!((&file).write_all(b"x").is_err(), "{name} is writable");
        let seals = rustix::fs::fcntl_get_seals(&file).expect("a memfd");
        assert!(seals.contains(rustix::fs::SealFlags::WRITE), "{name}");
        // cut anywhere, or with something after it, it is refused
        for cut in [7, packed.len() / 2, packed.len() - 1] {
            let path = dir.file("cut.ko", &packed[..cut]);
            refused(open(&path), ErrorName::InvalidModule, "cut.ko");
        }
        let longer = [&packed[..], b"garbage"].concat();
        refused(open(&dir.file("long.ko", &longer)), ErrorName::InvalidModule, "long.ko");
    }
}

#[test]
fn a_decompression_bomb_ends_at_the_limit() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..=(super::MAX_SIZE >> 20) {
        encoder.write_all(&zeros).expect("zstd");
    }
    refused_content(&encoder.finish().expect("zstd"), "larger than 256 MiB");
}

#[test]
fn a_module_passed_as_open_file_is_copied() {
    let dir = Dir::new();
    let path = dir.file("lp.ko", &module(MODINFO, "lp"));
    let handle = fs::File::options().read(true).write(true).open(&path).expect("open");
    let module = from_fd(OwnedFd::from(handle.try_clone().expect("dup")), "lp.ko").expect("a module");
    (&handle).write_all(b"changed").expect("write");
    let mut begin = [0; 4];
    rustix::io::pread(module.file(), &mut begin, 0).expect("read");
    assert_eq!(&begin, b"\x7fELF");
    let (pipe, _other) = std::io::pipe().expect("pipe");
    refused(
        from_fd(pipe.into(), "a\npipe"),
        ErrorName::InvalidModule,
        "apipe: this is a pipe",
    );
}

#[test]
fn what_is_no_module_file_has_a_named_error() {
    let dir = Dir::new();
    let root = dir.0.path();
    refused(open(&root.join("none.ko")), ErrorName::NotFound, "no such file");
    refused(open(&root.join("a/b.ko")), ErrorName::NotFound, "no such file");
    refused(open(Path::new("lp.ko")), ErrorName::NotFound, "full path");
    refused(open(&root.join("x".repeat(300))), ErrorName::NotFound, "so long a name");
    refused(open(root), ErrorName::InvalidModule, "a directory");
    refused(open(Path::new("/")), ErrorName::InvalidModule, "a directory");
    refused(open(&root.join("..")), ErrorName::InvalidModule, "a directory");
    refused(open(&dir.file("e.ko", b"")), ErrorName::InvalidModule, "empty");
    let under_a_file = dir.file("f.ko", b"x").join("g.ko");
    refused(open(&under_a_file), ErrorName::NotFound, "no such file");
    let pipe = root.join("pipe.ko");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("mkfifo");
    refused(open(&pipe), ErrorName::InvalidModule, "a pipe");
    refused(
        open(Path::new("/dev/zero")),
        ErrorName::InvalidModule,
        "no regular file",
    );
    refused(open(Path::new("/proc/kmsg")), ErrorName::InvalidModule, "empty");
    refused(
        open(Path::new("/nul\0/x.ko")),
        ErrorName::InvalidModule,
        "cannot be read",
    );
}

#[test]
fn a_file_that_others_could_exchange_is_unsafe() {
    let dir = Dir::new();
    let bytes = module(MODINFO, "lp");
    let path = dir.file("lp.ko", &bytes);
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
    for bad in [0o666, 0o664, 0o646] {
        mode(&path, bad);
        refused(open(&path), ErrorName::Unsafe, "chmod go-w");
    }
    mode(&path, 0o644);
    let link = dir.0.path().join("link.ko");
    symlink(&path, &link).expect("symlink");
    refused(open(&link), ErrorName::Unsafe, "symbolic link");
    symlink("dangling", dir.0.path().join("dangling.ko")).expect("symlink");
    refused(
        open(&dir.0.path().join("dangling.ko")),
        ErrorName::Unsafe,
        "symbolic link",
    );
    let sub = dir.0.path().join("sub");
    fs::create_dir(&sub).expect("mkdir");
    let inner = dir.file("sub/lp.ko", &bytes);
    mode(&sub, 0o777);
    refused(open(&inner), ErrorName::Unsafe, "directory");
    // also behind a link, and for all that lies below it
    let by_link = dir.0.path().join("to-sub");
    symlink("sub/../sub", &by_link).expect("symlink");
    refused(open(&by_link.join("lp.ko")), ErrorName::Unsafe, "directory");
    mode(&sub, 0o1777);
    open(&inner).expect("sticky: only the owner can exchange it");
    mode(&sub, 0o755);
    open(&by_link.join("lp.ko")).expect("a link on the way is followed");
    symlink("loop", dir.0.path().join("loop")).expect("symlink");
    refused(open(&dir.0.path().join("loop/lp.ko")), ErrorName::Unsafe, "links");
}

#[test]
fn a_file_of_another_user_is_unsafe() {
    // tests that need root fail without it, they do not pass
    let dir = Dir::new();
    let path = dir.file("lp.ko", &module(MODINFO, "lp"));
    let nobody = rustix::process::Uid::from_raw(65534);
    rustix::fs::chown(&path, Some(nobody), None).expect("this test needs root");
    refused(super::open(&path), ErrorName::Unsafe, "chown root:");
    let dir_of_nobody = Dir::new();
    let inner = dir_of_nobody.file("lp.ko", &module(MODINFO, "lp"));
    rustix::fs::chown(dir_of_nobody.0.path(), Some(nobody), None).expect("this test needs root");
    refused(super::open(&inner), ErrorName::Unsafe, "directory");
}

#[test]
fn strange_content_is_named() {
    refused_content(b"#!/bin/sh\n", "cut off or no ELF");
    refused_content(&[b'x'; 4096], "no ELF file");
    refused_content(&fs::read("/proc/self/exe").expect("read"), "no kernel module");
    refused_content(&elf(&[(".text", b"x")]), "without .modinfo");
    refused_content(&elf(&[(".modinfo", MODINFO.as_bytes())]), "no complete kernel module");
    refused_content(&module("livepatch=Y\0vermagic=x \0", "lp"), "no name");
    refused_content(&module("livepatch=Y\0name=lp\0", "lp"), "no vermagic");
    refused_content(&module(MODINFO.trim_end_matches('\0'), "lp"), "no end");
    refused_content(&module(MODINFO, "other"), "not the name inside");
    refused_content(&module(MODINFO, "lp2"), "not the name inside");
    refused_content(&module(&format!("name=lq\0{MODINFO}"), "lp"), "two values for name");
    refused_content(&module(&MODINFO.replace("=lp", "=../l"), "../l"), "can be named");
    let mut other_machine = module(MODINFO, "lp");
    other_machine[18] = 0;
    refused_content(&other_machine, "another processor");
    let mut big_endian = module(MODINFO, "lp");
    big_endian[5] = 2;
    refused_content(&big_endian, "not for a 64-bit machine like this");
}

#[test]
fn no_truncation_is_taken_for_a_module() {
    let dir = Dir::new();
    let bytes = module(MODINFO, "lp");
    for end in 1..bytes.len() {
        let path = dir.file("cut.ko", &bytes[..end]);
        refused(open(&path), ErrorName::InvalidModule, "cut.ko");
    }
}

#[test]
fn no_changed_byte_and_no_noise_panics() {
    let dir = Dir::new();
    let whole = module(MODINFO, "lp");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 8 {
            let at = usize::try_from(next() % whole.len() as u64).expect("fits");
            bytes[at] = next().to_le_bytes()[0];
        }
        if let Err(refusal) = open(&dir.file("spoiled.ko", &bytes)) {
            assert_eq!(refusal.name, ErrorName::InvalidModule, "{}", refusal.message);
        }
    }
}

#[test]
fn an_appended_signature_is_seen() {
    let dir = Dir::new();
    let mut bytes = module(MODINFO, "lp");
    bytes.extend([0x5a; 300]);
    bytes.extend([0, 0, 2, 0, 0, 0, 0, 0]);
    bytes.extend(300_u32.to_be_bytes());
    bytes.extend(b"~Module signature appended~\n");
    assert!(open(&dir.file("s.ko", &bytes)).expect("a module").facts().signed);
    let mut mark_only = module(MODINFO, "lp");
    mark_only.extend([0; 12]);
    mark_only.extend(b"~Module signature appended~\n");
    assert!(!open(&dir.file("m.ko", &mark_only)).expect("a module").facts().signed);
}
