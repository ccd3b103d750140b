// SPDX-License-Identifier: GPL-2.0-only
//! Builds the BPF programs with the cargo and rustc in use and hands the object to `observe/bpf`.
//!
//! Not with aya-build, which wants rustup or a nightly compiler and prints cargo's progress as warnings. BPF has no precompiled `core`, so it is built from source: that needs `rust-src`, `bpf-linker`, and
//! `RUSTC_BOOTSTRAP` for the child only.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// The object's name, here and in `observe/bpf/load.rs`.
const OBJECT: &str = "livepatch-ebpf";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let package = workspace()?.join(OBJECT);
    for input in [
        "livepatch-ebpf/src",
        "livepatch-ebpf/Cargo.toml",
        "livepatch-ebpf/Cargo.lock",
        "livepatch-common/src",
        "livepatch-common/Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed=../{input}");
    }

    let rustc = variable("RUSTC")?;
    rust_src_is_there(&rustc)?;
    bpf_linker_is_there()?;

    let out = PathBuf::from(variable("OUT_DIR")?);
    // beside cargo's own target directory, which the cargo that runs this script has locked
    let target_dir = out.join("bpf");
    let target = match variable("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "little" => "bpfel-unknown-none",
        other => {
            return Err(format!(
                "livepatchd reads bit fields as on little-endian machines; this one is {other}-endian"
            ));
        }
    };
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(&package)
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["-Z", "build-std=core", "--target", target])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("--cfg=bpf_target_arch=\"{}\"", variable("CARGO_CFG_TARGET_ARCH")?),
        );
    // what the outer cargo sets for the host's crates, or for clippy
    for outer in [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
    ] {
        cargo.env_remove(outer);
    }
    let output = cargo
        .output()
        .map_err(|why| format!("{cargo:?} cannot be run: {why}"))?;
    if !output.status.success() {
        return Err(format!(
            "the BPF programs do not build ({cargo:?}):\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let built = target_dir.join(target).join("release").join(OBJECT);
    std::fs::copy(&built, out.join(OBJECT))
        .map(|_bytes| ())
        .map_err(|why| format!("{} cannot be copied: {why}", built.display()))
}

fn workspace() -> Result<PathBuf, String> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    package
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("{} has no parent directory", package.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|why| format!("{name} is not set by cargo: {why}"))
}

/// `core` is built from the sources in the compiler's sysroot.
fn rust_src_is_there(rustc: &str) -> Result<(), String> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|why| format!("{rustc} cannot be run: {why}"))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists() {
        return Ok(());
    }
    Err(format!(
        "the source of Rust's core library is missing under {}: run `make prerequisites`",
        sysroot.display()
    ))
}

/// The linker of the BPF target, found by rustc through PATH.
fn bpf_linker_is_there() -> Result<(), String> {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|directory| directory.join("bpf-linker").is_file()) {
        return Ok(());
    }
    Err(
        "bpf-linker is not in PATH: run `make prerequisites`, and build with `make` or with its directory in PATH"
            .to_owned(),
    )
}
