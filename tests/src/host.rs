// SPDX-License-Identifier: GPL-2.0-only
//! What happens on the host: fetch and build what a machine is made of, assemble its initramfs, boot it, follow its
//! reports, and give verdicts.

mod accelerator;
mod archive;
mod console;
mod evidence;
mod follow;
mod image;
mod interact;
mod libc_of_host;
mod machine;
mod setup;
mod test;
mod workplace;

pub use interact::interact;
pub use setup::prepare;
pub use test::test;
