// SPDX-License-Identifier: GPL-2.0-only
//! The introspection XML that is installed, from the same text as the interfaces themselves.
//!
//! `systemd/*.xml` is compared with it by a test; after a change of an interface write it anew:
//! `LIVEPATCH_REGENERATE=1 cargo test -p livepatchd --lib introspection`.

use std::sync::Arc;

use tokio::sync::mpsc;
use zbus::object_server::Interface;

use super::{
    board::Board,
    job::Job,
    manager::{Desk, Manager},
    patch::Patch,
    polkit::Authority,
};
use crate::model::{job::JobId, patch::PatchName};

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- SPDX-License-Identifier: GPL-2.0-only -->
<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node>
"#;

/// Every interface's file name and content.
pub fn files() -> Vec<(String, String)> {
    let board = Arc::new(Board::new());
    let desk = Desk {
        board: Arc::clone(&board),
        calls: mpsc::channel(1).0,
        authority: Authority::default(),
    };
    let mut files = Vec::new();
    if let Some(name) = PatchName::new("any") {
        files.push(file(&Patch { board, name }));
    }
    files.push(file(&Job {
        desk: desk.clone(),
        id: JobId(1),
    }));
    files.push(file(&Manager {
        desk,
        kernel_release: String::new(),
    }));
    files
}

fn file<I: Interface>(interface: &I) -> (String, String) {
    let mut xml = HEAD.to_owned();
    interface.introspect_to_writer(&mut xml, 2);
    xml.push_str("</node>\n");
    (format!("{}.xml", I::name()), xml)
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    #[test]
    fn the_shipped_introspection_is_that_of_the_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
        for (name, xml) in files() {
            let path = folder.join(&name);
            if env::var_os("LIVEPATCH_REGENERATE").is_some() {
                fs::write(&path, &xml).expect("systemd/ is writable");
            }
            let shipped = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(shipped, xml, "{name} is stale: see the head of this file");
        }
    }
}
