// SPDX-License-Identifier: GPL-2.0-only
//! Objects, properties and signals.

use livepatchd::{
    bus::{JobProxy, ManagerProxy, PatchProxy, known},
    model::{
        change::Change,
        patch::{Core, PatchState},
        snapshot::{PatchView, Snapshot},
    },
};
use zbus::fdo::ObjectManagerProxy;

use crate::{
    fake_daemon::{FakeDaemon, name, patch},
    listener::Listener,
    private_bus::PrivateBus,
};

#[tokio::test]
async fn a_new_client_finds_every_object_with_its_properties() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    let objects = ObjectManagerProxy::new(&client, "org.livepatch.Manager", "/org/livepatch/Manager").await;
    let objects = objects.unwrap().get_managed_objects().await.unwrap();
    let (path, interfaces) = objects.iter().find(|(_, interfaces)| !interfaces.is_empty()).unwrap();
    assert_eq!(path.as_str(), "/org/livepatch/Manager/patch/old_5ffix");
    let mut names: Vec<_> = interfaces["org.livepatch.Patch"].keys().map(String::as_str).collect();
    names.sort_unstable();
    let contract = "Core Functions Name Pending Replace Since StackOrder Stalled State Total";
    assert_eq!(names.join(" "), contract);
}

#[tokio::test]
async fn the_manager_says_what_runs() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let manager = ManagerProxy::new(&bus.connect().await).await.unwrap();
    assert_eq!(manager.version().await.unwrap(), env!("CARGO_PKG_VERSION"));
    assert_eq!(manager.kernel_release().await.unwrap(), "6.12.0-test");
    assert_eq!(manager.cores().await.unwrap(), ["kernel"]);
    assert_eq!(manager.transition().await.unwrap(), "");
    assert!(!manager.reboot_advised().await.unwrap());
    assert!(manager.degraded().await.unwrap().is_empty());
    let listed = manager.list_patches().await.unwrap();
    let listed: Vec<_> = listed
        .into_iter()
        .map(|record| PatchView::try_from(record).unwrap())
        .collect();
    assert_eq!(listed, [patch("old_fix", PatchState::Enabled)]);
}

#[tokio::test]
async fn a_job_is_told_from_its_start_to_its_end_in_order() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    let mut listener = Listener::new(&client).await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let path = manager.apply("/done/fix.ko".to_owned()).await.unwrap();
    assert_eq!(path.as_str(), "/org/livepatch/Manager/job/1");
    let heard = listener.until("JobRemoved").await;
    let expected = [
        "+/patch/fix",
        "+/job/1",
        " Transition=\"fix\"",
        "/patch/fix Pending=0 State=\"enabled\" Total=0",
        "/job/1 Pending=0 Result=\"done\" State=\"ended\"",
        " Transition=\"\"",
        "JobRemoved /job/1 fix done",
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_job_that_ended_can_still_be_asked_why_until_it_is_forgotten() {
    let bus = PrivateBus::open();
    let daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    let mut listener = Listener::new(&client).await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let path = manager.apply("/failed/fix.ko".to_owned()).await.unwrap();
    listener.until("JobRemoved /job/1 fix failed").await;
    let job = JobProxy::builder(&client).path(&path).build().await.unwrap();
    assert_eq!(job.state().await.unwrap(), "ended");
    assert_eq!(job.result().await.unwrap(), "failed");
    let why = "org.livepatch.Error.InvalidModule: the kernel said no\nklp: no symbol";
    assert_eq!(job.error().await.unwrap(), why);
    daemon.publish(vec![], Snapshot::default()).await;
    listener.until("-/job/1").await;
    let job = JobProxy::builder(&client)
        .path(&path)
        .cache_properties(zbus::proxy::CacheProperties::No);
    let error = job.build().await.unwrap().state().await.unwrap_err();
    assert!(error.to_string().contains("UnknownObject"), "{error}");
}

#[tokio::test]
async fn exactly_what_changed_is_told_once() {
    let bus = PrivateBus::open();
    let daemon = FakeDaemon::start(bus.connect().await).await;
    let client = bus.connect().await;
    let mut listener = Listener::new(&client).await;
    let mut snapshot = Snapshot {
        cores: vec![Core::Kernel],
        patches: vec![patch("old_fix", PatchState::Disabling)],
        transition: Some(name("old_fix")),
        ..Snapshot::default()
    };
    daemon.publish(vec![], snapshot.clone()).await;
    // the same again: nothing to tell
    daemon
        .publish(vec![Change::PatchChanged(name("old_fix"))], snapshot.clone())
        .await;
    snapshot.patches[0].stalled = true;
    snapshot.cores.push(Core::KlpRs);
    snapshot.reboot_advised = true;
    snapshot.degraded = vec!["no BPF".to_owned()];
    let stalled = Change::Stalled {
        patch: name("old_fix"),
        pending: 1,
    };
    daemon.publish(vec![stalled], snapshot.clone()).await;
    let mut heard = listener.until("Stalled old_fix 1").await;
    // publications that wait while one is told are told as one, so the last value is what counts
    let all = heard.join(" ");
    for (value, times) in [
        ("Pending=1", 1),
        ("Stalled=true", 1),
        ("Degraded=", 1),
        ("RebootAdvised=true", 1),
        ("Name=", 0),
    ] {
        assert_eq!(all.matches(value).count(), times, "{value} in {heard:#?}");
    }
    assert_eq!(heard.pop().unwrap(), "Stalled old_fix 1");
    snapshot.patches.clear();
    daemon.publish(vec![], snapshot).await;
    assert_eq!(listener.until("-").await.pop().unwrap(), "-/patch/old_5ffix");
    let gone = PatchProxy::builder(&client).path("/org/livepatch/Manager/patch/old_5ffix");
    let gone = gone.cache_properties(zbus::proxy::CacheProperties::No);
    assert!(gone.build().await.unwrap().state().await.is_err());
}

#[tokio::test]
async fn words_on_the_bus_are_those_of_the_json() {
    for state in ["loaded", "enabling", "enabled", "disabling", "disabled"] {
        assert_eq!(known::<PatchState>(state.to_owned()).unwrap().as_str(), state);
    }
    for core in Core::ALL {
        assert_eq!(known::<Core>(core.to_string()), Ok(core));
    }
}
