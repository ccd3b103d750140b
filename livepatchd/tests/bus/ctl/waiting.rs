// SPDX-License-Identifier: GPL-2.0-only
//! What `livepatchctl` does while it waits or watches: daemons that go, jobs that end unseen, interruptions.

use super::*;

#[tokio::test]
async fn a_daemon_that_is_started_again_is_waited_for_and_tells_the_outcome() {
    let bus = PrivateBus::open();
    let daemon = FakeDaemon::start(bus.connect().await).await;
    let waiting = run(&bus, ["apply", "/hang/fix.ko"]);
    let restarting = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(daemon);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let ended = Job {
            phase: JobPhase::Ended,
            result: Some(JobResult::Failed),
            ..job(
                JobId(1),
                JobKind::Apply,
                &name("fix"),
                AskedOptions::default().or(&Rules::default()),
            )
        };
        let snapshot = Snapshot {
            jobs: vec![ended],
            job_progress: vec![(0, 0)],
            ..Snapshot::default()
        };
        let daemon = FakeDaemon::resume(bus.connect().await, snapshot);
        daemon.await
    };
    let (waited, _daemon) = tokio::join!(waiting, restarting);
    assert_eq!(waited.code, Some(1), "{}", waited.err);
    let lines: Vec<_> = waited.err.lines().collect();
    let expected = [
        "livepatchd went away; waiting for it to come back",
        "livepatchctl: apply of fix failed",
    ];
    assert_eq!(lines[2..], expected);
}

#[tokio::test]
async fn a_job_that_nobody_knows_any_more_is_judged_by_the_state_of_its_patch() {
    for (state, code) in [(PatchState::Enabled, 0), (PatchState::Disabled, 1)] {
        let bus = PrivateBus::open();
        let daemon = FakeDaemon::start(bus.connect().await).await;
        let waiting = run(&bus, ["apply", "/hang/fix.ko"]);
        let restarting = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            drop(daemon);
            let snapshot = Snapshot {
                patches: vec![patch("fix", state)],
                ..Snapshot::default()
            };
            FakeDaemon::resume(bus.connect().await, snapshot).await
        };
        let (waited, _daemon) = tokio::join!(waiting, restarting);
        assert_eq!(waited.code, Some(code), "{}", waited.err);
    }
}

#[tokio::test]
async fn the_job_of_another_that_has_the_same_number_is_not_taken_for_ours() {
    let bus = PrivateBus::open();
    let daemon = FakeDaemon::start(bus.connect().await).await;
    let waiting = run(&bus, ["apply", "/hang/fix.ko"]);
    let restarting = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(daemon);
        let options = AskedOptions::default().or(&Rules::default());
        let of_another = Job {
            phase: JobPhase::Ended,
            result: Some(JobResult::Done),
            ..job(JobId(1), JobKind::Apply, &name("other"), options)
        };
        let snapshot = Snapshot {
            patches: vec![patch("fix", PatchState::Disabled)],
            jobs: vec![of_another],
            job_progress: vec![(0, 0)],
            ..Snapshot::default()
        };
        FakeDaemon::resume(bus.connect().await, snapshot).await
    };
    let (waited, _daemon) = tokio::join!(waiting, restarting);
    assert_eq!(waited.code, Some(1), "{}", waited.err);
    assert!(waited.err.contains("no longer knows the job"), "{}", waited.err);
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_not_waited_for() {
    let bus = PrivateBus::open();
    // it owns the name and answers nothing
    let silent = bus.connect().await;
    let _calls = zbus::MessageStream::from(&silent);
    silent.request_name("org.livepatch.Manager").await.unwrap();
    let started = std::time::Instant::now();
    let ended = run(&bus, ["list"]).await;
    assert_eq!(ended.code, Some(7), "{}", ended.err);
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_wait_tells_each_new_thing_on_a_line_and_goes_on_when_another_cancels() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let waiting = run(&bus, ["apply", "/hang/fix.ko"]);
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        run(&bus, ["cancel"]).await
    };
    let (waited, cancelled) = tokio::join!(waiting, cancelling);
    assert_eq!((waited.code, cancelled.code), (Some(1), Some(0)), "{}", waited.err);
    let lines: Vec<_> = waited.err.lines().collect();
    let expected = [
        "fix: patching",
        "fix: 1 of 243 tasks pending: cat (813) sleeps in tgt_wait [tgt], of reader.service; nudged",
        "livepatchctl: apply of fix cancelled",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_interrupted_wait_leaves_the_job_running_and_says_so() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let child = command(&bus.address)
        .args(["apply", "/hang/fix.ko"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.contains("goes on as job 1") && err.contains("livepatchctl cancel fix"),
        "{err}"
    );
    assert_eq!(run(&bus, ["status", "--json"]).await.json()["transition"], "fix");
}

#[tokio::test]
async fn a_stalled_patch_is_an_exit_code_of_status() {
    let bus = PrivateBus::open();
    let daemon = FakeDaemon::start(bus.connect().await).await;
    let mut stalled = patch("fix", PatchState::Enabling);
    stalled.stalled = true;
    let snapshot = Snapshot {
        patches: vec![stalled],
        degraded: vec!["no BPF: reasons come from /proc".to_owned()],
        reboot_advised: true,
        ..Snapshot::default()
    };
    daemon.publish(vec![], snapshot).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ended = run(&bus, ["status"]).await;
    assert_eq!(ended.code, Some(3));
    for words in [
        "1 of 243 tasks pending, stalled",
        "no BPF",
        "cannot be patched live",
        "forced since boot",
    ] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
}

#[tokio::test]
async fn the_monitor_prints_one_document_for_each_event() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let child = command(&bus.address)
        .args(["monitor", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(code(&bus, "apply /done/fix.ko").await, Some(0));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    let events: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["patch"]["name"], "old_fix");
    let ended = json!({"event": "job-removed", "job": 1, "patch": "fix", "result": "done"});
    assert_eq!(events.last(), Some(&ended), "{events:#?}");
    assert!(
        events
            .iter()
            .any(|event| event["patch"]["state"] == "enabled" && event["patch"]["name"] == "fix")
    );
}
