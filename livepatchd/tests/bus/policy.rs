// SPDX-License-Identifier: GPL-2.0-only
//! The bus policy and polkit policy files that are installed.

use std::path::Path;

use livepatchd::bus::{ACTIONS, Authority, Bus, BusError, ManagerProxy};
use tokio::sync::mpsc;
use zbus::fdo::{IntrospectableProxy, ObjectManagerProxy};

use crate::private_bus::PrivateBus;

#[tokio::test]
async fn only_root_owns_the_name_and_everybody_may_ask() {
    let bus = PrivateBus::with_shipped_policy();
    let (calls, _incoming) = mpsc::channel(1);
    let connection = bus.connect().await;
    let server = Bus::start(connection, calls, Authority::default(), String::new())
        .await
        .unwrap();
    let claimed = server.claim_name().await;
    if rustix::process::getuid().is_root() {
        claimed.unwrap();
        let client = bus.connect().await;
        let manager = ManagerProxy::new(&client).await.unwrap();
        manager.version().await.unwrap();
        manager.list_patches().await.unwrap();
        let (name, path) = ("org.livepatch.Manager", "/org/livepatch/Manager");
        let objects = ObjectManagerProxy::new(&client, name, path).await.unwrap();
        objects.get_managed_objects().await.unwrap();
        let introspection = IntrospectableProxy::new(&client, name).await.unwrap();
        assert!(introspection.introspect().await.unwrap().contains("<node name=\"org\""));
    } else {
        let Err(BusError::Bus(error)) = claimed else {
            panic!("a user may not own the name");
        };
        assert!(error.to_string().contains("AccessDenied"), "{error}");
    }
}

#[test]
fn polkit_knows_every_action_and_no_other() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/org.livepatch.policy");
    let policy = std::fs::read_to_string(file).unwrap();
    let mut known: Vec<_> = policy
        .split("<action id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let mut used = ACTIONS.to_vec();
    known.sort_unstable();
    used.sort_unstable();
    assert_eq!(known, used);
}
