// SPDX-License-Identifier: GPL-2.0-only
//! A dbus-daemon of one test's own, ended with it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use zbus::{Connection, DBusError, connection::Builder};

/// Everybody (that is: the user who runs the tests) may do everything.
const OPEN: &str = r#"<policy context="default">
  <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy>"#;

/// What Debian's system bus says by default (`/usr/share/dbus-1/system.conf`), before services add to it.
const SYSTEM: &str = r#"<policy context="default">
  <allow user="*"/><deny own="*"/><deny send_type="method_call"/>
  <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/><allow receive_type="method_return"/>
  <allow receive_type="error"/><allow receive_type="signal"/>
  <allow send_destination="org.freedesktop.DBus"/>
</policy>"#;

/// The bus.
pub(crate) struct PrivateBus {
    daemon: Child,
    /// Where it listens.
    pub(crate) address: String,
    _folder: TempDir,
}

impl PrivateBus {
    /// A bus on which everything is allowed.
    pub(crate) fn open() -> Self {
        Self::start(OPEN)
    }

    /// A bus with the system bus's rules and the policy file that is installed.
    pub(crate) fn with_shipped_policy() -> Self {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/org.livepatch.Manager.conf");
        let shipped = shipped.canonicalize().unwrap();
        Self::start(&format!("{SYSTEM}<include>{}</include>", shipped.display()))
    }

    fn start(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\
             <busconfig><listen>unix:dir={}</listen>{policy}</busconfig>",
            folder.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg("--print-address")
            .arg(format!("--config-file={}", config.display()))
            .stdout(Stdio::piped())
            // it complains that it may not raise its limit of open files
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed (apt-get install dbus)");
        let mut address = String::new();
        let mut output = BufReader::new(daemon.stdout.take().unwrap());
        output.read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:"), "dbus-daemon said {address:?}");
        Self {
            daemon,
            address: address.trim().to_owned(),
            _folder: folder,
        }
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Connection {
        let builder = Builder::address(self.address.as_str());
        builder.build().await.unwrap()
    }

    /// Ends the bus as a crash would.
    pub(crate) fn kill(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        // it may have been killed already
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// The name and message of an error that came over the bus.
pub(crate) fn told(error: &zbus::Error) -> (String, String) {
    match error {
        zbus::Error::MethodError(name, message, _) => (name.to_string(), message.clone().unwrap_or_default()),
        zbus::Error::FDO(error) => (
            error.name().to_string(),
            error.description().unwrap_or_default().to_owned(),
        ),
        other => panic!("not an answer: {other}"),
    }
}
