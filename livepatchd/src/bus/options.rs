// SPDX-License-Identifier: GPL-2.0-only
//! The `a{sv}` options of `ApplyWith`, `ApplyFd` and `RevertWith`. Not the defaults: those are the configuration's.
//!
//! Invariants: a key that is not known or whose value has another type is refused by name, never ignored. Whoever holds
//! options that force at the deadline holds the proof that the caller may force.

use std::collections::HashMap;

use zbus::{Connection, OwnedVariant, Variant, fdo, message::Header};

use super::{
    error::Result,
    manager::Desk,
    polkit::{self, Authorised},
};
use crate::{
    model::{
        job::{JobOptions, OnTimeout},
        time::Millis,
    },
    policy::rules::Rules,
};

/// What a caller asked for and may have; `None` leaves it to the configuration, which never forces.
#[derive(Clone, Copy, Debug, Default)]
pub struct AskedOptions {
    /// `timeout` (`t`, milliseconds, at least 1).
    pub timeout: Option<Millis>,
    /// `on-timeout` (`s`: `reverse`, `keep` or `force`).
    pub on_timeout: Option<AtDeadline>,
    /// `nudge` (`b`).
    pub nudge: Option<bool>,
}

/// `on-timeout` of a caller who may have it.
#[derive(Clone, Copy, Debug)]
pub enum AtDeadline {
    /// `reverse`.
    Reverse,
    /// `keep`.
    Keep,
    /// `force`: to say it beforehand is to force.
    Force(Authorised<polkit::Force>),
}

impl AskedOptions {
    /// The options of the job: what was asked for, and the rules for the rest.
    pub fn or(self, rules: &Rules) -> JobOptions {
        let Self {
            timeout,
            on_timeout,
            nudge,
        } = self;
        let on_timeout = on_timeout.map(|at_deadline| match at_deadline {
            AtDeadline::Reverse => OnTimeout::Reverse,
            AtDeadline::Keep => OnTimeout::Keep,
            AtDeadline::Force(_by) => OnTimeout::Force,
        });
        JobOptions {
            timeout: timeout.unwrap_or(rules.timeout),
            on_timeout: on_timeout.unwrap_or(rules.on_timeout),
            // whether there are nudges at all is looked up whenever one is due
            nudge: nudge.unwrap_or(true),
        }
    }
}

/// What a message says, whoever sent it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    timeout: Option<Millis>,
    on_timeout: Option<OnTimeout>,
    nudge: Option<bool>,
}

impl Said {
    /// Reads the options of a call.
    pub(super) fn parse(options: &HashMap<String, OwnedVariant>) -> fdo::Result<Self> {
        let mut said = Self::default();
        for (key, value) in options {
            match (key.as_str(), &**value) {
                ("timeout", Variant::U64(0)) => {
                    return Err(invalid("option \"timeout\" must be at least 1 millisecond"));
                }
                ("timeout", Variant::U64(ms)) => said.timeout = Some(Millis(*ms)),
                ("on-timeout", Variant::Str(word)) => {
                    said.on_timeout = Some(
                        OnTimeout::parse(word)
                            .ok_or_else(|| invalid("option \"on-timeout\" must be reverse, keep or force"))?,
                    );
                }
                ("nudge", Variant::Bool(nudge)) => said.nudge = Some(*nudge),
                ("timeout", other) => return Err(wrong_type("timeout", "t", other)),
                ("on-timeout", other) => return Err(wrong_type("on-timeout", "s", other)),
                ("nudge", other) => return Err(wrong_type("nudge", "b", other)),
                (unknown, _) => {
                    return Err(invalid(&format!(
                        "unknown option {}; known are timeout, on-timeout and nudge",
                        super::incoming::quote(unknown)
                    )));
                }
            }
        }
        Ok(said)
    }

    /// The options, if the caller may have them; only force needs more than the call itself.
    pub(super) async fn authorised(
        self,
        desk: &Desk,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<AskedOptions> {
        let Self {
            timeout,
            on_timeout,
            nudge,
        } = self;
        let on_timeout = match on_timeout {
            None => None,
            Some(OnTimeout::Reverse) => Some(AtDeadline::Reverse),
            Some(OnTimeout::Keep) => Some(AtDeadline::Keep),
            Some(OnTimeout::Force) => Some(AtDeadline::Force(desk.authorise(connection, header).await?)),
        };
        Ok(AskedOptions {
            timeout,
            on_timeout,
            nudge,
        })
    }
}

fn invalid(message: &str) -> fdo::Error {
    fdo::Error::InvalidArgs(message.to_owned())
}

fn wrong_type(key: &str, expected: &str, value: &Variant<'_>) -> fdo::Error {
    invalid(&format!(
        "option \"{key}\" must have type {expected}, not {}",
        value.value_signature()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: Vec<(&str, Variant<'static>)>) -> std::result::Result<Said, String> {
        let options = options
            .into_iter()
            .map(|(key, value)| {
                let value = OwnedVariant::try_from(value).expect("no file descriptor in it");
                (key.to_owned(), value)
            })
            .collect();
        Said::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn each_option_is_read() {
        let said = parse(vec![
            ("timeout", 10_u64.into()),
            ("nudge", false.into()),
            ("on-timeout", "force".into()),
        ]);
        let said = said.expect("valid");
        assert_eq!(
            (said.timeout, said.nudge, said.on_timeout),
            (Some(Millis(10)), Some(false), Some(OnTimeout::Force))
        );
    }

    #[test]
    fn what_is_not_asked_for_is_left_to_the_rules() {
        let asked = AskedOptions {
            timeout: Some(Millis(10)),
            nudge: Some(false),
            on_timeout: None,
        };
        let options = asked.or(&Rules::default());
        assert_eq!(options.timeout, Millis(10));
        assert!(!options.nudge);
        assert_eq!(options.on_timeout, Rules::default().on_timeout);
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (key, value, word) in [
            ("timeout", Variant::from("5s"), "\"timeout\" must have type t"),
            ("timeout", Variant::from(0_u64), "\"timeout\" must be at least"),
            ("timeout", Variant::from(-1_i64), "not x"),
            ("on-timeout", Variant::from("explode"), "\"on-timeout\" must be"),
            ("nudge", Variant::from(1_u32), "\"nudge\" must have type b"),
            ("Timeout", Variant::from(1_u64), "unknown option \"Timeout\""),
        ] {
            let error = parse(vec![(key, value)]).expect_err("refused");
            assert!(error.contains(word), "{error}");
        }
    }
}
