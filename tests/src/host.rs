// SPDX-License-Identifier: GPL-2.0-only
//! What happens on the host: fetch and build what a machine is made of, assemble its initramfs, boot it, follow its
//! reports, and give verdicts.

mod accelerator;
mod archive;
mod console;
mod follow;
mod image;
mod libc_of_host;
mod machine;
mod setup;
mod test;

pub use setup::{Kernel, prepare};
pub use test::{interact, test};
