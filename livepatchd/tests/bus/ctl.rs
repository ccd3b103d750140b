// SPDX-License-Identifier: GPL-2.0-only
//! `livepatchctl` against the fake daemon: exit codes, JSON, and what it says.

mod waiting;

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::process::Command;

use livepatchd::{
    bus::AskedOptions,
    model::{
        job::{Job, JobId, JobKind, JobPhase, JobResult},
        patch::PatchState,
        snapshot::Snapshot,
    },
    policy::rules::Rules,
};

use crate::{
    fake_daemon::{FakeDaemon, job, name, patch},
    private_bus::PrivateBus,
};

/// How one call of the tool ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {:?} {}", self.out, self.err))
    }
}

fn command(address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_livepatchctl"));
    command.env("DBUS_SYSTEM_BUS_ADDRESS", address).stdin(Stdio::null());
    command.kill_on_drop(true);
    command
}

async fn run<S: AsRef<OsStr>>(bus: &PrivateBus, arguments: impl IntoIterator<Item = S>) -> Ended {
    let output = command(&bus.address).args(arguments).output();
    let output = tokio::time::timeout(Duration::from_secs(20), output).await;
    let output = output.expect("it ends").unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn code(bus: &PrivateBus, line: &str) -> Option<i32> {
    run(bus, line.split_whitespace()).await.code
}

#[tokio::test]
async fn what_cannot_be_printed_does_not_change_what_was_done() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let code_of = async |command: &mut Command| {
        let ended = tokio::time::timeout(Duration::from_secs(20), command.status()).await;
        ended.expect("it ends").unwrap().code()
    };
    let mut failing = command(&bus.address);
    failing.args(["status", "missing"]).stderr(full());
    assert_eq!(code_of(&mut failing).await, Some(5));
    let mut lost = command(&bus.address);
    lost.args(["status", "--json"]).stdout(full());
    assert_eq!(code_of(&mut lost).await, Some(1));
    // a reader that has seen enough
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut unread = command(&bus.address);
    unread.args(["apply", "/timeout/fix.ko"]).stdout(writer);
    assert_eq!(code_of(&mut unread).await, Some(3));
}

#[tokio::test]
async fn the_status_document_is_that_of_the_contract() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let ended = run(&bus, ["status", "--json"]).await;
    let expected = json!({
        "kernel": "6.12.0-test", "cores": ["kernel"], "transition": null, "reboot_advised": false,
        "patches": [{
            "name": "old_fix", "core": "kernel", "state": "enabled", "replace": false, "stack_order": 1,
            "pending": 0, "total": 0, "stalled": false,
            "functions": [{"object": "tgt", "name": "tgt_wait", "sympos": 1}],
        }],
    });
    assert_eq!((ended.json(), ended.code), (expected.clone(), Some(0)));
    assert_eq!(run(&bus, ["list", "--json"]).await.json(), expected["patches"]);
    assert_eq!(run(&bus, ["--json", "status", "old-fix"]).await.json(), expected);
    assert_eq!(code(&bus, "status missing").await, Some(5));
}

#[tokio::test]
async fn blockers_are_told_with_the_fields_of_the_contract() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    assert_eq!(run(&bus, ["blockers", "--json"]).await.json(), json!([]));
    let started = run(&bus, ["apply", "/hang/fix.ko", "--no-wait", "--json"]).await;
    let job = json!({"job": 1, "kind": "apply", "patch": "fix", "result": null, "error": null});
    assert_eq!((started.json(), started.code), (job, Some(0)));
    let expected = json!([{
        "patch": "fix", "pid": 812, "tid": 813, "comm": "cat", "class": "user", "state": "sleeping",
        "reason": "sleeping-in-function", "function": "tgt_wait [tgt]", "unit": "reader.service", "nudges": 1,
        "action": "nudged", "stack": ["tgt_wait+0x1f/0x40 [tgt]"],
    }]);
    assert_eq!(run(&bus, ["blockers", "--json", "--stacks"]).await.json(), expected);
    let without = run(&bus, ["blockers", "fix", "--json"]).await.json();
    assert_eq!(without[0]["stack"], json!([]));
    assert_eq!(
        run(&bus, ["nudge", "--json"]).await.json(),
        json!({"patch": "fix", "nudged": 1})
    );
    assert_eq!(run(&bus, ["status", "--json"]).await.json()["transition"], "fix");
    let text = run(&bus, ["blockers", "--stacks"]).await.out;
    assert!(
        text.contains("cat") && text.contains("\n    tgt_wait+0x1f/0x40 [tgt]\n"),
        "{text}"
    );
    let text = run(&bus, ["status", "fix"]).await.out;
    assert!(
        text.contains("1 of 243 tasks pending") && text.contains("reader.service"),
        "{text}"
    );
}

#[tokio::test]
async fn a_job_that_is_waited_for_ends_in_the_code_of_its_result() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    let ended = run(
        &bus,
        ["apply", "/done/fix.ko", "--timeout", "75s", "--on-timeout", "keep"],
    )
    .await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.starts_with("fix: applied and complete ("), "{}", ended.out);
    let ended = run(&bus, ["revert", "fix", "--json", "--no-nudge"]).await;
    let job = json!({"job": 2, "kind": "revert", "patch": "fix", "result": "done", "error": null});
    assert_eq!((ended.json(), ended.code), (job, Some(0)));
    let ended = run(&bus, ["apply", "/timeout/fix.ko", "--json"]).await;
    assert_eq!(ended.code, Some(3));
    let error = json!({"name": "Timeout", "message": "1 task pending: cat (813)"});
    assert_eq!(
        (&ended.json()["result"], &ended.json()["error"]),
        (&json!("timeout"), &error)
    );
    assert!(ended.err.contains("not done in time: 1 task pending"), "{}", ended.err);
    let ended = run(&bus, ["apply", "/failed/fix.ko"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(
        ended.err.contains("the kernel said no\n  klp: no symbol\n"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn every_refusal_ends_in_its_code_with_its_message_and_the_kernels_lines() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    for (name, expected) in [
        ("NotFound", 5),
        ("Busy", 6),
        ("InvalidModule", 1),
        ("KernelMismatch", 1),
        ("NotInTransition", 1),
        ("AlreadyLoaded", 1),
        ("Refused", 1),
        ("Timeout", 3),
        ("NotSupported", 1),
        ("Unsafe", 1),
    ] {
        let ended = run(&bus, ["apply", &format!("/{name}/fix.ko")]).await;
        assert_eq!(ended.code, Some(expected), "{name}");
        let expected = format!("livepatchctl: /{name}/fix.ko: as scripted\n  klp: a line of the kernel's log\n");
        assert_eq!(ended.err, expected);
        assert_eq!(ended.out, "");
    }
    let long = "x".repeat(300);
    for patch in ["no-such-patch", "a b", "%n", "..", &long] {
        assert_eq!(run(&bus, ["revert", patch]).await.code, Some(5), "{patch}");
    }
    assert_eq!(code(&bus, "cancel").await, Some(1), "nothing is in transition");
    assert_eq!(code(&bus, "cancel old-fix").await, Some(1));
    assert_eq!(run(&bus, ["apply", "not-installed"]).await.code, Some(5));
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let bus = PrivateBus::open();
    for line in [
        "",
        "frobnicate",
        "apply",
        "apply a b",
        "apply x.ko --timeout soon",
        "apply x.ko --timeout 0s",
        "apply x.ko --on-timeout panic",
        "force fix",
        "apply x.ko --on-timeout force",
        "revert fix --on-timeout force",
        "status a b",
        "completions cobol",
    ] {
        assert_eq!(code(&bus, line).await, Some(2), "{line}");
    }
    let not_utf8 = [OsStr::new("apply"), OsStr::from_bytes(b"/root/\xff.ko")];
    assert_eq!(run(&bus, not_utf8).await.code, Some(2));
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&bus, ["completions", shell]).await;
        assert!(script.code == Some(0) && script.out.contains("livepatchctl"));
    }
    assert_eq!(code(&bus, "--help").await, Some(0));
}

#[tokio::test]
async fn force_at_the_deadline_is_asked_for_twice_as_force_itself_is() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start(bus.connect().await).await;
    for line in [
        "force old-fix",
        "revert old-fix --on-timeout force",
        "apply /done/fix.ko --on-timeout force",
    ] {
        let ended = run(&bus, line.split(' ')).await;
        assert_eq!(ended.code, Some(2), "{line}");
        assert!(
            ended.err.contains("can crash or corrupt") && ended.err.contains("--yes"),
            "{}",
            ended.err
        );
    }
    assert_eq!(code(&bus, "apply /done/fix.ko --on-timeout force --yes").await, Some(0));
}

#[tokio::test]
async fn a_user_who_may_not_is_told_so_and_can_still_read() {
    let bus = PrivateBus::open();
    let _daemon = FakeDaemon::start_without_root(bus.connect().await).await;
    for line in [
        "apply /done/fix.ko",
        "revert old-fix",
        "cancel old-fix",
        "force --yes old-fix",
        "nudge old-fix",
    ] {
        let ended = run(&bus, line.split(' ')).await;
        assert_eq!(ended.code, Some(4), "{line}");
        assert!(
            ended.err.contains("not authorised") && ended.err.contains("root"),
            "{}",
            ended.err
        );
    }
    for line in ["status", "list", "blockers", "blockers --stacks", "status old-fix"] {
        assert_eq!(code(&bus, line).await, Some(0), "{line}");
    }
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_told_apart() {
    let mut bus = PrivateBus::open();
    for line in ["list", "apply /done/fix.ko", "nudge", "monitor"] {
        let ended = run(&bus, line.split(' ')).await;
        assert_eq!(ended.code, Some(7), "{line}: {}", ended.err);
        assert!(ended.err.contains("systemctl start livepatchd"), "{}", ended.err);
    }
    let ended = run(&bus, ["status", "--json"]).await;
    assert_eq!(ended.code, Some(7));
    assert!(ended.json()["kernel"].is_string(), "sysfs is shown all the same");
    bus.kill();
    assert_eq!(code(&bus, "list").await, Some(7));
}
