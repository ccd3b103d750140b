// SPDX-License-Identifier: GPL-2.0-only
//! Keeps the house in order: who may import whom, and what every file begins with.
//!
//! The rules are those of ARCHITECTURE.md. A rule that is broken is named with file and import.

#![allow(clippy::expect_used, reason = "a tree that cannot be read has failed the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What a room of livepatchd/src may not name: rooms of this crate, other crates, parts of std.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "model",
        &[
            "crate::policy",
            "crate::observe",
            "crate::act",
            "crate::bus",
            "crate::ctl",
            "crate::daemon",
            "crate::config",
            "crate::journal",
            "tokio",
            "zbus",
            "aya",
            "rustix",
            "tracing",
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "std::env",
            "std::time",
        ],
    ),
    (
        "policy",
        &[
            "crate::observe",
            "crate::act",
            "crate::bus",
            "crate::ctl",
            "crate::daemon",
            "crate::config",
            "crate::journal",
            "tokio",
            "zbus",
            "aya",
            "rustix",
            "tracing",
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "std::env",
            "std::time",
        ],
    ),
    (
        "observe",
        &[
            "crate::act",
            "crate::bus",
            "crate::ctl",
            "crate::daemon",
            "crate::journal",
            "zbus",
        ],
    ),
    (
        "act",
        &[
            "crate::observe",
            "crate::bus",
            "crate::ctl",
            "crate::daemon",
            "crate::journal",
            "zbus",
            "aya",
        ],
    ),
    (
        "bus",
        &[
            "crate::observe",
            "crate::act",
            "crate::ctl",
            "crate::daemon",
            "crate::journal",
            "aya",
        ],
    ),
    ("ctl", &["crate::act", "crate::daemon", "crate::journal", "aya"]),
    (
        "journal",
        &[
            "crate::observe",
            "crate::act",
            "crate::bus",
            "crate::ctl",
            "crate::daemon",
        ],
    ),
    (
        "config",
        &[
            "crate::observe",
            "crate::act",
            "crate::bus",
            "crate::ctl",
            "crate::daemon",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below `dir` whose name ends so, build results left out.
fn files(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a readable directory").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != ".git" {
            found.extend(files(&path, endings));
        } else if endings.iter().any(|e| name.ends_with(e)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Source without comments; good enough because no string of ours holds `crate::`.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable file");
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Everything that `text` names right after `prefix::`, groups in braces taken apart.
fn named_after(text: &str, prefix: &str) -> BTreeSet<String> {
    let word = |s: &str| -> String { s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices(&format!("{prefix}::")) {
        let rest = &text[at + prefix.len() + 2..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let (mut depth, mut fresh) = (1, true);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => fresh = true,
                c if depth == 1 && fresh && !c.is_whitespace() => {
                    names.insert(word(&group[i..]));
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

fn names(text: &str, what: &str) -> bool {
    match what.split_once("::") {
        Some((prefix, name)) => named_after(text, prefix).contains(name),
        None => text.contains(&format!("{what}::")),
    }
}

#[test]
fn each_room_imports_only_what_the_architecture_allows() {
    let src = root().join("livepatchd/src");
    let mut broken = Vec::new();
    let mut seen = 0;
    for (room, forbidden) in FORBIDDEN {
        let mut members = if src.join(room).is_dir() {
            files(&src.join(room), &[".rs"])
        } else {
            Vec::new()
        };
        members.push(src.join(format!("{room}.rs")));
        for file in members {
            let text = code(&file);
            seen += 1;
            for what in forbidden.iter().filter(|what| names(&text, what)) {
                broken.push(format!("{} names {what}", file.display()));
            }
        }
    }
    assert!(seen > 20, "only {seen} files looked at");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_import_finder_finds_imports() {
    let text = "use crate::{\n    model::{a, b},\n    bus,\n};\nuse crate::act::x;\nlet y = std::time::Instant::now();";
    assert_eq!(
        named_after(text, "crate").into_iter().collect::<Vec<_>>(),
        ["act", "bus", "model"]
    );
    assert!(names(text, "std::time") && !names(text, "std::fs") && !names(text, "tokio"));
}

#[test]
fn every_source_file_states_its_licence_first() {
    let endings = [
        ".rs", ".c", ".h", ".sh", ".toml", "Makefile", "Kbuild", ".service", ".conf", ".catalog", ".preset",
    ];
    let files = files(&root(), &endings);
    assert!(files.len() > 60, "only {} files found", files.len());
    let without: Vec<_> = files
        .into_iter()
        .filter(|path| {
            let text = fs::read_to_string(path).expect("a readable file");
            !text
                .lines()
                .take(2)
                .any(|line| line.contains("SPDX-License-Identifier: GPL-2.0-only"))
        })
        .collect();
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let mut silent = Vec::new();
    for room in ["livepatchd", "livepatch-common", "livepatch-ebpf", "tests"] {
        for file in files(&root().join(room), &[".rs"]) {
            let text = fs::read_to_string(&file).expect("a readable file");
            if !text.lines().nth(1).is_some_and(|line| line.starts_with("//!")) {
                silent.push(file);
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}
