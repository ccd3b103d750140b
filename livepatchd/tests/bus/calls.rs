// SPDX-License-Identifier: GPL-2.0-only
//! Calls, good and bad: what reaches the loop, and the name of every error.

use std::{collections::HashMap, fs::File, os::fd::OwnedFd};

use livepatchd::{
    bus::{Authority, Bus, BusError, Closed, ManagerProxy},
    model::refusal::ErrorName,
};
use tokio::sync::mpsc;
use zbus::{Connection, DynamicType, OwnedObjectPath, Variant};

use crate::{
    fake_daemon::FakeDaemon,
    listener::Listener,
    private_bus::{PrivateBus, told},
};

/// Calls a method of the manager; the error's name and message, or nothing.
async fn call<B>(client: &Connection, member: &str, body: &B) -> Option<(String, String)>
where
    B: serde::Serialize + DynamicType,
{
    let manager = Some("org.livepatch.Manager");
    let reply = client
        .call_method(manager, "/org/livepatch/Manager", manager, member, body)
        .await;
    reply.err().map(|error| told(&error))
}

fn options<'a>(key: &'a str, value: Variant<'a>) -> HashMap<&'a str, Variant<'a>> {
    HashMap::from([(key, value)])
}

#[tokio::test]
async fn every_refusal_of_the_model_arrives_by_its_name() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    for name in ErrorName::ALL {
        let path = format!("/{}/fix.ko", name.as_str());
        let (error, message) = call(&client, "Apply", &path.as_str()).await.unwrap();
        assert_eq!(error, format!("org.livepatch.Error.{}", name.as_str()));
        assert!(message.ends_with("klp: a line of the kernel's log"), "{message}");
    }
}

#[tokio::test]
async fn names_that_cannot_be_are_not_found_and_quoted_short() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    let long = "x".repeat(300);
    for name in [
        "",
        " ",
        ".",
        "a/b",
        "../../etc/passwd",
        "a b",
        "ünï",
        "%s",
        &long,
        "missing",
    ] {
        for member in ["Revert", "Cancel", "Force", "Nudge", "ListBlockers"] {
            if (member, name) == ("ListBlockers", "") {
                continue;
            }
            let (error, message) = call(&client, member, &name).await.unwrap();
            assert_eq!(error, "org.livepatch.Error.NotFound", "{member} {name}: {message}");
            assert!(message.len() < 200);
        }
        let (error, message) = call(&client, "Apply", &name).await.unwrap();
        assert_eq!(error, "org.livepatch.Error.NotFound");
        assert!(message.contains("absolute path of a .ko"), "{message}");
    }
    assert_eq!(call(&client, "ListBlockers", &"old_fix").await, None);
    let (error, _) = call(&client, "Cancel", &"old_fix").await.unwrap();
    assert_eq!(error, "org.livepatch.Error.NotInTransition");
}

#[tokio::test]
async fn wrong_types_and_garbage_options_are_invalid_arguments() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    let path = "/done/fix.ko";
    let mut refused = vec![
        call(&client, "Apply", &7_u32).await,
        call(&client, "Apply", &()).await,
        call(&client, "Apply", &(path, path)).await,
        call(&client, "Revert", &vec!["a"]).await,
        call(&client, "ApplyWith", &path).await,
        call(&client, "ApplyWith", &(path, HashMap::from([("timeout", 1_u64)]))).await,
    ];
    for (key, value) in [
        ("timeout", Variant::from("75s")),
        ("timeout", Variant::from(0_u64)),
        ("timeout", Variant::from(-1_i32)),
        ("on-timeout", Variant::from("panic")),
        ("on-timeout", Variant::from(1_u32)),
        ("nudge", Variant::from("no")),
        ("frobnicate", Variant::from(true)),
    ] {
        let error = call(&client, "ApplyWith", &(path, options(key, value))).await;
        let (_, message) = error.clone().unwrap();
        assert!(message.contains(&format!("{key:?}")), "{message}");
        refused.push(error);
    }
    for error in refused {
        let (error, message) = error.expect("refused");
        assert_eq!(error, "org.freedesktop.DBus.Error.InvalidArgs", "{message}");
    }
    let (error, _) = call(&client, "Frobnicate", &()).await.unwrap();
    assert_eq!(error, "org.freedesktop.DBus.Error.UnknownMethod");
    let manager = ManagerProxy::new(&client).await.unwrap();
    assert_eq!(manager.list_patches().await.unwrap().len(), 1, "nothing was changed");
}

#[tokio::test]
async fn a_descriptor_is_applied_under_the_name_expected() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    let mut listener = Listener::new(&client).await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let file = || zbus::OwnedFd::from(OwnedFd::from(File::open("/dev/null").unwrap()));
    manager
        .apply_fd(file(), "my-fix".to_owned(), HashMap::new())
        .await
        .unwrap();
    listener.until("JobRemoved /job/1 my_fix done").await;
    for name in ["a/b", "a.ko", &"x".repeat(300)] {
        let error = manager.apply_fd(file(), name.to_owned(), HashMap::new()).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("argument \"name\""), "{error}");
    }
}

#[tokio::test]
async fn a_running_job_can_be_cancelled_by_its_object_and_an_ended_one_cannot() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    let mut listener = Listener::new(&client).await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let job = manager.apply("/hang/fix.ko".to_owned()).await.unwrap();
    assert_eq!(manager.nudge("fix".to_owned()).await.unwrap(), 1);
    let cancel = || async {
        let service = Some("org.livepatch.Manager");
        let interface = Some("org.livepatch.Job");
        let reply = client.call_method(service, &job, interface, "Cancel", &()).await?;
        reply.body().deserialize::<OwnedObjectPath>()
    };
    assert_eq!(cancel().await.unwrap().as_str(), "/org/livepatch/Manager/job/2");
    listener.until("JobRemoved /job/1 fix cancelled").await;
    listener.until("JobRemoved /job/2 fix done").await;
    let error = cancel().await.unwrap_err().to_string();
    assert!(error.contains("org.livepatch.Error.NotInTransition"), "{error}");
}

#[tokio::test]
async fn a_loop_that_does_not_keep_up_is_said_and_not_waited_for() {
    let bus = PrivateBus::open();
    let (calls, _never_read) = mpsc::channel(1);
    let uid = rustix::process::getuid().as_raw();
    let connection = bus.connect().await;
    let server = Bus::start(connection, calls, Authority::with_administrator(uid), String::new());
    let server = server.await.unwrap();
    server.claim_name().await.unwrap();
    let client = bus.connect().await;
    let first = call(&client, "Revert", &"fix");
    let second = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        call(&client, "Revert", &"fix").await
    };
    let second = tokio::select! {
        _ = first => panic!("nobody answers it"),
        second = second => second,
    };
    assert_eq!(second.unwrap().0, "org.freedesktop.DBus.Error.LimitsExceeded");
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_clear_error() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let (calls, _incoming) = mpsc::channel(1);
    let connection = bus.connect().await;
    let second = Bus::start(connection, calls, Authority::default(), String::new())
        .await
        .unwrap();
    let error = second.claim_name().await.unwrap_err();
    assert!(matches!(error, BusError::NameTaken));
    assert!(error.to_string().contains("already owned"));
}

#[tokio::test]
async fn a_bus_that_goes_away_is_an_event() {
    let mut bus = PrivateBus::open();
    let (calls, _incoming) = mpsc::channel(1);
    let connection = bus.connect().await;
    let server = Bus::start(connection, calls, Authority::default(), String::new())
        .await
        .unwrap();
    server.claim_name().await.unwrap();
    bus.kill();
    let closed = tokio::time::timeout(std::time::Duration::from_secs(5), server.closed()).await;
    assert_eq!(closed, Ok(Closed::Gone));
    // and what is published then is lost without harm
    server.publish(&[], std::sync::Arc::default());
}
