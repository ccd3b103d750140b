// SPDX-License-Identifier: GPL-2.0-only
//! The daemon's D-Bus interface through busctl, which is neither its client nor its library.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::command::Call;

const NAME: &str = "org.livepatch.Manager";
const PATH: &str = "/org/livepatch/Manager";

/// The manager object on the system bus.
#[derive(Debug, Clone, Copy)]
pub struct Bus;

impl Bus {
    /// Any method of the manager: `bus.call("Apply", ["s", "/root/samples/lp.ko"])`.
    pub fn call<I: IntoIterator<Item = A>, A: Into<String>>(self, method: &str, signature_and_arguments: I) -> Call {
        let words = ["--json=short", "call", NAME, PATH, NAME, method].map(str::to_owned);
        Call::new(
            "busctl",
            words
                .into_iter()
                .chain(signature_and_arguments.into_iter().map(Into::into)),
        )
    }

    /// A method called with busctl's words for signature and arguments, which must fail; gives the error's name.
    pub fn error_of(self, method: &str, signature_and_arguments: &[&str]) -> Result<String> {
        // busctl prints an error's message only; its library tells the name too when it is debugged
        let call = self.call(method, signature_and_arguments.iter().copied());
        let debugged = call
            .env("SYSTEMD_LOG_LEVEL", "debug")
            .env("SYSTEMD_LOG_TARGET", "console");
        let output = debugged.run()?;
        ensure!(
            output.code != 0,
            "{method} {signature_and_arguments:?} went well: {}",
            output.stdout
        );
        let mut names = output
            .stderr
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("error-name="));
        let name = names.rfind(|name| *name != "n/a");
        name.map(str::to_owned)
            .with_context(|| format!("{method} failed with no error: {}", output.stderr))
    }

    /// A property of the manager.
    pub fn property(self, name: &str) -> Result<Value> {
        property(PATH, NAME, name)
    }

    /// A property of a patch object.
    pub fn patch_property(self, patch: &str, name: &str) -> Result<Value> {
        // as sd-bus escapes a name
        let escaped = patch.replace('_', "_5f");
        property(&format!("{PATH}/patch/{escaped}"), "org.livepatch.Patch", name)
    }
}

fn property(path: &str, interface: &str, name: &str) -> Result<Value> {
    let text = Call::new("busctl", ["--json=short", "get-property", NAME, path, interface, name]).ok()?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("busctl printed {text:?}"))?;
    Ok(answer["data"].clone())
}
