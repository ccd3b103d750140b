// SPDX-License-Identifier: GPL-2.0-only
//! Everything that the daemon tells the bus, in order, as short texts.

use std::{num::NonZero, time::Duration};

use futures_util::StreamExt;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, message::Type};

/// Longer than any signal needs, short enough for a failing test.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that hears every signal of the daemon.
pub(crate) struct Listener {
    stream: MessageStream,
}

impl Listener {
    /// Starts to listen.
    pub(crate) async fn new(connection: &Connection) -> Self {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.livepatch.Manager")
            .build()
            .unwrap();
        let stream = MessageStream::for_match_rule(rule, connection, NonZero::new(1000))
            .await
            .unwrap();
        Self { stream }
    }

    /// Every signal up to and with the first whose text begins so.
    pub(crate) async fn until(&mut self, end: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
            let Ok(Some(Ok(message))) = next else {
                panic!("no {end:?} after {heard:#?}");
            };
            heard.push(text(&message));
            if heard.last().is_some_and(|text| text.starts_with(end)) {
                return heard;
            }
        }
    }
}

type Values = std::collections::HashMap<String, OwnedVariant>;

/// A signal's object (the part after the manager's path), member and what matters of its content.
fn text(message: &zbus::Message) -> String {
    let header = message.header();
    let member = header.member().unwrap().to_string();
    let path = header.path().unwrap().replacen("/org/livepatch/Manager", "", 1);
    let body = message.body();
    match member.as_str() {
        "PropertiesChanged" => {
            let (_, values, gone): (String, Values, Vec<String>) = body.deserialize().unwrap();
            assert!(gone.is_empty(), "values are told, never invalidated");
            let mut values: Vec<_> = values
                .iter()
                .map(|(key, value)| format!("{key}={}", **value).replace("uint32 ", ""))
                .collect();
            values.sort();
            format!("{path} {}", values.join(" "))
        }
        "InterfacesAdded" => {
            let (object, _): (OwnedObjectPath, std::collections::HashMap<String, Values>) = body.deserialize().unwrap();
            format!("+{}", object.replacen("/org/livepatch/Manager", "", 1))
        }
        "InterfacesRemoved" => {
            let (object, _): (OwnedObjectPath, Vec<String>) = body.deserialize().unwrap();
            format!("-{}", object.replacen("/org/livepatch/Manager", "", 1))
        }
        "JobRemoved" => {
            let (job, of, result): (OwnedObjectPath, String, String) = body.deserialize().unwrap();
            format!(
                "JobRemoved {} {of} {result}",
                job.replacen("/org/livepatch/Manager", "", 1)
            )
        }
        "Stalled" => {
            let (of, pending): (String, u32) = body.deserialize().unwrap();
            format!("Stalled {of} {pending}")
        }
        other => format!("{path} {other}"),
    }
}
