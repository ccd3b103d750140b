// SPDX-License-Identifier: GPL-2.0-only
//! Every interface is described in ABI/, and what is described there exists. Compares names, not meanings.

use std::{collections::BTreeSet, fs, path::Path};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// What stands between `before` and `after`, wherever it does.
fn between<'a>(text: &'a str, before: &str, after: &str) -> BTreeSet<&'a str> {
    let ends = text.split(before).skip(1);
    ends.filter_map(|rest| rest.split(after).next()).collect()
}

/// The names in the What lines of a file.
fn described(file: &str) -> BTreeSet<String> {
    let text = read(file);
    let lines = text.lines().filter_map(|line| line.strip_prefix("What:"));
    lines
        .flat_map(|names| names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>())
        .collect()
}

fn strings(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().collect()
}

#[test]
fn every_file_in_sysfs_is_described() {
    let described = read("ABI/testing/sysfs-kernel-klp_rs");
    let code = read("kernel_api/sysfs.c");
    let files = between(&code, "] = { \"", "\"");
    assert!(files.len() >= 6);
    for file in files {
        assert!(described.contains(&format!("/{file}\n")), "{file}");
    }
}

#[test]
fn every_exported_symbol_is_described_and_no_other() {
    let mut exported = BTreeSet::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel_api")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "c") {
            let code = fs::read_to_string(path).unwrap();
            exported.extend(between(&code, "EXPORT_SYMBOL_GPL(", ")").into_iter().map(str::to_owned));
        }
    }
    let described = described("ABI/testing/module-klp_rs").into_iter();
    assert_eq!(exported, strings(described.filter(|name| name.starts_with("klp_rs_"))));
}

#[test]
fn every_parameter_is_described() {
    let described = described("ABI/testing/sysfs-module-klp_rs");
    let code = read("klp_rs_main.rs");
    let params = between(&code, "params: {", "    },\n}").into_iter().next().unwrap();
    for line in params.lines().filter(|line| line.ends_with('{') && line.contains(": ")) {
        let name = line.trim().split(':').next().unwrap();
        assert!(
            described.contains(&format!("/sys/module/klp_rs/parameters/{name}")),
            "{name}"
        );
    }
}

#[test]
fn every_member_on_the_bus_is_described_and_no_other() {
    let mut members = BTreeSet::new();
    for interface in ["Manager", "Patch", "Job"] {
        let xml = read(&format!("../systemd/org.livepatch.{interface}.xml"));
        for kind in ["method", "signal", "property"] {
            for name in between(&xml, &format!("<{kind} name=\""), "\"") {
                members.insert(format!("org.livepatch.{interface}.{name}"));
            }
        }
    }
    assert_eq!(members, described("ABI/testing/dbus-org.livepatch"));
}
