// SPDX-License-Identifier: GPL-2.0-only
//! `/etc/livepatchd/livepatchd.toml`: every key optional, unknown keys refused with file and line.
//!
//! A file that does not parse never half applies: at start the daemon does not run, at reload the old rules stay.

use std::{io, path::Path, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    model::{job::OnTimeout, time::Millis},
    policy::rules::{Exclusions, Rules},
};

/// Where the configuration is read from unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/livepatchd/livepatchd.toml";

/// Why a configuration cannot be used; the text names file and line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there and cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It says something that we do not understand.
    #[error("{path}: {text}")]
    Parse {
        /// The file.
        path: String,
        /// What and where.
        text: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    transition: TransitionSection,
    nudge: NudgeSection,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct TransitionSection {
    timeout: Span,
    #[serde(deserialize_with = "without_force")]
    on_timeout: OnTimeout,
    stall_after: Span,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct NudgeSection {
    enabled: bool,
    after: Span,
    every: Span,
    limit: u32,
    exclude_units: Vec<String>,
    exclude_users: Vec<User>,
    exclude_comms: Vec<String>,
}

impl Default for TransitionSection {
    fn default() -> Self {
        let rules = Rules::default();
        Self {
            timeout: Span(rules.timeout),
            on_timeout: rules.on_timeout,
            stall_after: Span(rules.stall_after),
        }
    }
}

impl Default for NudgeSection {
    fn default() -> Self {
        let rules = Rules::default();
        Self {
            enabled: rules.nudge,
            after: Span(rules.nudge_after),
            every: Span(rules.nudge_every),
            limit: rules.nudge_limit,
            exclude_units: Vec::new(),
            exclude_users: Vec::new(),
            exclude_comms: Vec::new(),
        }
    }
}

/// A span of time as people write it: `"75s"`, `"250ms"`, `"1m 30s"`.
#[derive(Clone, Copy, Debug)]
struct Span(Millis);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map(Self).map_err(D::Error::custom)
    }
}

/// What happens at the deadline of jobs that do not say. Force is no default: who may only manage would force by saying
/// nothing but a short time-out, and each force is a decision of its own.
fn without_force<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OnTimeout, D::Error> {
    match OnTimeout::deserialize(deserializer)? {
        OnTimeout::Force => Err(D::Error::custom(
            "\"force\" is asked for job by job: livepatchctl apply --on-timeout force --yes; write \"reverse\" or \"keep\"",
        )),
        other => Ok(other),
    }
}

/// Reads a span of time: `75s`, `250ms`, `1m 30s`. At least a millisecond, at most a day.
pub fn parse_span(text: &str) -> Result<Millis, String> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let span = humantime::parse_duration(text)
        .map_err(|why| format!("{text:?} is no span of time ({why}); write it as \"75s\" or \"250ms\""))?;
    if span < Duration::from_millis(1) || span > DAY {
        return Err(format!("{text:?} is out of range: from 1ms to 1day"));
    }
    Ok(Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

/// A user by id or by name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum User {
    Id(u32),
    Name(String),
}

/// Reads the configuration. A file that is not there gives the defaults.
pub fn read(path: &Path) -> Result<Rules, ConfigError> {
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, lookup_user).map_err(|text| ConfigError::Parse { path: shown, text }),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Rules::default()),
        Err(source) => Err(ConfigError::Read { path: shown, source }),
    }
}

/// Reads the configuration's text; `uid_of` looks up user names.
pub fn parse(text: &str, uid_of: impl Fn(&str) -> Option<u32>) -> Result<Rules, String> {
    let File { transition, nudge } = toml::from_str(text).map_err(|why| {
        let line = why
            .span()
            .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("line {line}: {}", why.message())
    })?;
    let uid = |user: User| match user {
        User::Id(id) => Ok(id),
        User::Name(name) => uid_of(&name).ok_or_else(|| format!("exclude-users: there is no user {name:?}")),
    };
    let uids: Result<_, _> = nudge.exclude_users.into_iter().map(uid).collect();
    Ok(Rules {
        timeout: transition.timeout.0,
        on_timeout: transition.on_timeout,
        nudge: nudge.enabled,
        nudge_after: nudge.after.0,
        nudge_every: nudge.every.0,
        nudge_limit: nudge.limit,
        stall_after: transition.stall_after.0,
        exclude: Exclusions {
            units: nudge.exclude_units,
            uids: uids?,
            comms: nudge.exclude_comms,
        },
    })
}

fn lookup_user(name: &str) -> Option<u32> {
    uzers::get_user_by_name(name).map(|user| user.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Rules, String> {
        parse(text, |name| (name == "postgres").then_some(114))
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(parsed(""), Ok(Rules::default()));
    }

    #[test]
    fn every_key_arrives_where_it_belongs() {
        let text = r#"
            [transition]
            timeout = "2m"
            on-timeout = "keep"
            stall-after = "10s"
            [nudge]
            enabled = false
            after = "100ms"
            every = "5s"
            limit = 3
            exclude-units = ["postgresql@*"]
            exclude-users = [33, "postgres"]
            exclude-comms = ["qemu-kvm"]
        "#;
        let expected = Rules {
            timeout: Millis(120_000),
            on_timeout: OnTimeout::Keep,
            stall_after: Millis(10_000),
            nudge: false,
            nudge_after: Millis(100),
            nudge_every: Millis(5_000),
            nudge_limit: 3,
            exclude: Exclusions {
                units: vec!["postgresql@*".into()],
                uids: vec![33, 114],
                comms: vec!["qemu-kvm".into()],
            },
        };
        assert_eq!(parsed(text), Ok(expected));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let why = parsed("[nudge]\nenabled = true\nlimt = 3\n").expect_err("a typo");
        assert!(why.starts_with("line 3: ") && why.contains("limt"), "{why}");
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        for (text, line, word) in [
            ("[transition]\ntimeout = \"soon\"", "line 2", "soon"),
            ("[transition]\ntimeout = \"0s\"", "line 2", "range"),
            ("[transition]\n\non-timeout = \"panic\"", "line 3", "panic"),
            ("[transition]\non-timeout = \"force\"", "line 2", "job by job"),
            ("[nudge]\nlimit = -1", "line 2", "-1"),
            ("[nudge\n", "line 1", ""),
        ] {
            let why = parsed(text).expect_err(text);
            assert!(why.starts_with(line) && why.contains(word), "{text:?}: {why}");
        }
        assert!(parsed("[nudge]\nexclude-users = [\"nobody-here\"]").is_err());
    }

    #[test]
    fn the_shipped_file_is_valid_and_states_the_defaults() {
        let shipped = include_str!("../../systemd/livepatchd.toml");
        assert_eq!(parsed(shipped), Ok(Rules::default()));
        let uncommented: String = shipped
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.contains('=') => format!("{}\n", key.trim_start()),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(
            parsed(&uncommented),
            Ok(Rules::default()),
            "the commented keys are the defaults"
        );
    }
}
