// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's uevents: modules that come and go, and what `klp_rs` announces. Each is a reason to list again, no more.
//!
//! The kernel's own core announces nothing but its patches' modules. The socket sleeps until there is an event; events
//! about other things wake it too and are dropped here.

use std::{io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind,
        netlink::{KOBJECT_UEVENT, SocketAddrNetlink},
        recvfrom, socket_with,
    },
};
use tokio::io::unix::AsyncFd;

use super::source;
use crate::model::patch::Core;

/// Multicast group of the kernel's own events; group 2 is udev's (`lib/kobject_uevent.c: uevent_net_broadcast_untagged`).
const GROUP_KERNEL: u32 = 1;

/// More than the kernel puts in one event (`include/linux/kobject.h: UEVENT_BUFFER_SIZE` is 2,048, plus the header line).
const EVENT_MAX: usize = 8192;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uevent {
    /// A module came (`true`) or went.
    Module {
        /// Its name.
        name: String,
        /// It came.
        added: bool,
    },
    /// A core announced something about one of its patches.
    Core(Core),
    /// Events came faster than they were read, and some are lost.
    Lost,
}

/// All events from now on.
#[derive(Debug)]
pub struct Stream {
    socket: AsyncFd<OwnedFd>,
}

impl Stream {
    /// Begins with the next event.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUP_KERNEL))?;
        Ok(Self {
            socket: source::readable(socket)?,
        })
    }

    /// Waits for the next event that is about modules or live patches. May be dropped while it waits.
    pub async fn next(&mut self) -> io::Result<Uevent> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| receive(socket.get_ref())) {
                Ok(Ok(Some(event))) => return Ok(event),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(err)) => return Err(err),
            }
        }
    }
}

/// One event; `None` if it is about something else or not the kernel's.
fn receive(socket: &OwnedFd) -> io::Result<Option<Uevent>> {
    let mut buffer = [0; EVENT_MAX];
    match datagram(socket, &mut buffer) {
        Ok(datagram) => Ok(datagram.and_then(parse)),
        Err(Errno::NOBUFS) => Ok(Some(Uevent::Lost)),
        Err(err) => Err(err.into()),
    }
}

/// One datagram of the kernel's; `None` for one of somebody else: senders need rights, but the group is open to them.
fn datagram<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Errno> {
    let (count, _, from) = recvfrom(socket, &mut *buffer, RecvFlags::DONTWAIT)?;
    let from_kernel = from
        .and_then(|from| SocketAddrNetlink::try_from(from).ok())
        .is_some_and(|from| from.pid() == 0);
    Ok(buffer.get(..count).filter(|_| from_kernel))
}

/// `ACTION@DEVPATH\0KEY=VALUE\0…`; the first part says all that is needed.
fn parse(datagram: &[u8]) -> Option<Uevent> {
    let header = datagram.split(|&b| b == 0).next()?;
    let (action, path) = std::str::from_utf8(header).ok()?.split_once('@')?;
    if path == "/kernel/klp_rs" || path.starts_with("/kernel/klp_rs/") {
        return Some(Uevent::Core(Core::KlpRs));
    }
    let name = path.strip_prefix("/module/").filter(|name| !name.contains('/'))?;
    let added = match action {
        "add" => true,
        "remove" => false,
        _ => return None,
    };
    Some(Uevent::Module {
        name: name.to_owned(),
        added,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Core, Stream, Uevent, parse};

    #[test]
    fn modules_and_patches_of_klp_rs_are_told_and_nothing_else() {
        let module = |added| {
            Some(Uevent::Module {
                name: "lp".into(),
                added,
            })
        };
        for (text, event) in [
            ("add@/module/lp\0ACTION=add\0SUBSYSTEM=module\0", module(true)),
            ("remove@/module/lp\0", module(false)),
            ("change@/module/lp\0", None),
            ("add@/module/lp/drivers\0", None),
            ("change@/kernel/klp_rs/lp\0", Some(Uevent::Core(Core::KlpRs))),
            ("add@/kernel/klp_rs\0", Some(Uevent::Core(Core::KlpRs))),
            ("add@/kernel/klp_rsx\0", None),
            ("add@/devices/virtual/x\0", None),
            ("libudev\0\u{fe}", None),
            ("", None),
            ("@", None),
        ] {
            assert_eq!(parse(text.as_bytes()), event, "{text:?}");
        }
        assert_eq!(parse(b"add@/module/\xff\0"), None);
    }

    #[test]
    fn the_socket_gets_the_kernels_events() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async {
            let stream = Stream::open().expect("netlink");
            // a device that every machine has is asked to announce itself once more
            std::fs::write("/sys/devices/virtual/mem/null/uevent", "change").expect("this test needs root");
            let mut buffer = [0; super::EVENT_MAX];
            let found = async {
                loop {
                    let mut ready = stream.socket.readable().await.expect("event loop");
                    match super::datagram(stream.socket.get_ref(), &mut buffer) {
                        Ok(Some(event)) if event.starts_with(b"change@/devices/virtual/mem/null\0") => return,
                        Ok(_) => {}
                        Err(err) => {
                            assert_eq!(err, rustix::io::Errno::AGAIN);
                            ready.clear_ready();
                        }
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), found)
                .await
                .expect("it comes");
        });
    }
}
