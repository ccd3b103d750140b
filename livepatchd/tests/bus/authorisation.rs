// SPDX-License-Identifier: GPL-2.0-only
//! Who may do what: with a polkit that answers, with one that does not, and with none.
//!
//! The polkit here models the four answers of `CheckAuthorization`; that the real one gives them is for the VM tests.

use std::{collections::HashMap, fs::File, os::fd::OwnedFd, time::Duration};

use livepatchd::{bus::ManagerProxy, model::snapshot::BlockerView};
use zbus::{Connection, OwnedVariant, Variant, fdo, interface, proxy::MethodFlags};

use crate::{
    fake_daemon::{FakeDaemon, blocker, patch},
    private_bus::{PrivateBus, told},
};

/// A polkit that answers every question alike, or all but those about one action.
struct Polkit {
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Answer {
    Yes,
    No,
    /// No to this action, yes to the others.
    YesBut(&'static str),
    /// Yes if it may prompt, otherwise a challenge.
    Prompt,
    Silence,
}

#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    async fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action: String,
        details: HashMap<String, String>,
        flags: u32,
        cancellation: String,
    ) -> fdo::Result<(bool, bool, HashMap<String, String>)> {
        assert_eq!(subject.0, "system-bus-name");
        assert!(details.is_empty() && cancellation.is_empty());
        assert!(action.starts_with("org.livepatch."));
        let interactive = flags & 1 == 1;
        match self.answer {
            Answer::Yes => Ok((true, false, HashMap::new())),
            Answer::No => Ok((false, false, HashMap::new())),
            Answer::YesBut(this) => Ok((action != this, false, HashMap::new())),
            Answer::Prompt => Ok((interactive, !interactive, HashMap::new())),
            Answer::Silence => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(fdo::Error::Failed("late".to_owned()))
            }
        }
    }
}

async fn with_polkit(bus: &PrivateBus, answer: Answer) -> Connection {
    let connection = bus.connect().await;
    let path = "/org/freedesktop/PolicyKit1/Authority";
    connection.object_server().at(path, Polkit { answer }).await.unwrap();
    connection.request_name("org.freedesktop.PolicyKit1").await.unwrap();
    connection
}

/// The error's name of a call that changes something; nothing if it was allowed.
async fn change(client: &Connection, flags: MethodFlags) -> Option<String> {
    let manager = ManagerProxy::new(client).await.unwrap();
    let reply: zbus::Result<Option<zbus::OwnedObjectPath>> =
        manager.inner().call_with_flags("Apply", flags, &"/done/fix.ko").await;
    reply.err().map(|error| told(&error).0)
}

const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";

#[tokio::test]
async fn without_polkit_only_root_may() {
    let bus = PrivateBus::open();
    let daemon = FakeDaemon::start_without_root(bus.connect().await).await;
    let client = bus.connect().await;
    assert_eq!(change(&client, MethodFlags::empty()).await.as_deref(), Some(DENIED));
    drop(daemon);
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    assert_eq!(change(&bus.connect().await, MethodFlags::empty()).await, None);
}

#[tokio::test]
async fn polkit_decides_for_everybody_else() {
    for (answer, error) in [(Answer::Yes, None), (Answer::No, Some(DENIED))] {
        let bus = PrivateBus::open();
        let _polkit = with_polkit(&bus, answer).await;
        let _daemon = FakeDaemon::start_without_root(bus.connect().await).await;
        let client = bus.connect().await;
        assert_eq!(change(&client, MethodFlags::empty()).await.as_deref(), error);
    }
}

#[tokio::test]
async fn who_may_manage_but_not_force_cannot_ask_for_force_at_the_deadline() {
    let bus = PrivateBus::open();
    let _polkit = with_polkit(&bus, Answer::YesBut("org.livepatch.force")).await;
    let _daemon = FakeDaemon::start_without_root(bus.connect().await).await;
    let manager = ManagerProxy::new(&bus.connect().await).await.unwrap();
    let how = |at_deadline| HashMap::from([("on-timeout", Variant::from(at_deadline))]);
    let file = zbus::OwnedFd::from(OwnedFd::from(File::open("/dev/null").unwrap()));
    let proxy = manager.inner();
    for refused in [
        proxy.call_method("ApplyWith", &("/done/fix.ko", how("force"))).await,
        proxy.call_method("ApplyFd", &(file, "fix", how("force"))).await,
        proxy.call_method("RevertWith", &("old_fix", how("force"))).await,
        proxy.call_method("Force", &"old_fix").await,
    ] {
        let (error, message) = told(&refused.unwrap_err());
        assert_eq!(error, DENIED, "{message}");
        assert!(message.contains("org.livepatch.force"), "{message}");
    }
    assert_eq!(manager.list_patches().await.unwrap().len(), 1, "nothing was changed");
    let allowed = proxy.call_method("ApplyWith", &("/done/fix.ko", how("keep"))).await;
    allowed.unwrap();
}

#[tokio::test]
async fn a_prompt_comes_only_if_the_message_allows_it() {
    let bus = PrivateBus::open();
    let _polkit = with_polkit(&bus, Answer::Prompt).await;
    let _daemon = FakeDaemon::start_without_root(bus.connect().await).await;
    let client = bus.connect().await;
    let required = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
    assert_eq!(change(&client, MethodFlags::empty()).await.as_deref(), Some(required));
    assert_eq!(change(&client, MethodFlags::ALLOW_INTERACTIVE_AUTH).await, None);
}

#[tokio::test]
async fn a_polkit_that_does_not_answer_is_none() {
    let bus = PrivateBus::open();
    let _polkit = with_polkit(&bus, Answer::Silence).await;
    let _daemon = FakeDaemon::start_without_root(bus.connect().await).await;
    let client = bus.connect().await;
    let asked = change(&client, MethodFlags::empty());
    let error = tokio::time::timeout(Duration::from_secs(5), asked).await;
    assert_eq!(error.expect("sooner than a client gives up").as_deref(), Some(DENIED));
}

#[tokio::test]
async fn anybody_reads_blockers_but_only_the_authorised_see_stacks() {
    for (answer, stacks) in [(Answer::Yes, true), (Answer::No, false), (Answer::Prompt, false)] {
        let bus = PrivateBus::open();
        let _polkit = with_polkit(&bus, answer).await;
        let daemon = FakeDaemon::start_without_root(bus.connect().await).await;
        let snapshot = livepatchd::model::snapshot::Snapshot {
            patches: vec![patch("fix", livepatchd::model::patch::PatchState::Enabling)],
            blockers: vec![blocker("fix"), blocker("other")],
            ..Default::default()
        };
        let client = bus.connect().await;
        let manager = ManagerProxy::new(&client).await.unwrap();
        let mut listener = crate::listener::Listener::new(&client).await;
        daemon.publish(vec![], snapshot).await;
        listener.until("-").await;
        let blockers = manager.list_blockers("fix".to_owned()).await.unwrap();
        let blockers: Vec<BlockerView> = blockers.into_iter().map(|record| record.try_into().unwrap()).collect();
        let stack = if stacks { blocker("fix").stack } else { vec![] };
        assert_eq!(
            blockers,
            [BlockerView {
                stack,
                ..blocker("fix")
            }]
        );
        assert_eq!(manager.list_blockers(String::new()).await.unwrap().len(), 2);
    }
}
