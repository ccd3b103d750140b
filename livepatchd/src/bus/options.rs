// SPDX-License-Identifier: GPL-2.0-only
//! The `a{sv}` options of `ApplyWith`, `ApplyFd` and `RevertWith`. Not the defaults: those are the configuration's.
//!
//! Invariant: a key that is not known or whose value has another type is refused by name, never ignored.

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant, fdo};

use crate::{
    model::{
        job::{JobOptions, OnTimeout},
        time::Millis,
    },
    policy::rules::Rules,
};

/// What a caller asked for; `None` leaves it to the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedOptions {
    /// `timeout` (`t`, milliseconds, at least 1).
    pub timeout: Option<Millis>,
    /// `on-timeout` (`s`: `reverse`, `keep` or `force`).
    pub on_timeout: Option<OnTimeout>,
    /// `nudge` (`b`).
    pub nudge: Option<bool>,
}

impl AskedOptions {
    /// Reads the options of a call.
    pub fn parse(options: &HashMap<String, OwnedVariant>) -> fdo::Result<Self> {
        let mut asked = Self::default();
        for (key, value) in options {
            match (key.as_str(), &**value) {
                ("timeout", Variant::U64(0)) => {
                    return Err(invalid("option \"timeout\" must be at least 1 millisecond"));
                }
                ("timeout", Variant::U64(ms)) => asked.timeout = Some(Millis(*ms)),
                ("on-timeout", Variant::Str(word)) => {
                    asked.on_timeout = Some(
                        OnTimeout::parse(word)
                            .ok_or_else(|| invalid("option \"on-timeout\" must be reverse, keep or force"))?,
                    );
                }
                ("nudge", Variant::Bool(nudge)) => asked.nudge = Some(*nudge),
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
        Ok(asked)
    }

    /// The options of the job: what was asked for, and the rules for the rest.
    pub fn or(self, rules: &Rules) -> JobOptions {
        let Self {
            timeout,
            on_timeout,
            nudge,
        } = self;
        JobOptions {
            timeout: timeout.unwrap_or(rules.timeout),
            on_timeout: on_timeout.unwrap_or(rules.on_timeout),
            nudge: nudge.unwrap_or(rules.nudge),
        }
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

    fn parse(options: Vec<(&str, Variant<'static>)>) -> Result<AskedOptions, String> {
        let options = options
            .into_iter()
            .map(|(key, value)| {
                let value = OwnedVariant::try_from(value).expect("no file descriptor in it");
                (key.to_owned(), value)
            })
            .collect();
        AskedOptions::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_asked_for_is_left_to_the_rules() {
        let asked = parse(vec![("timeout", 10_u64.into()), ("nudge", false.into())]);
        let options = asked.expect("valid").or(&Rules::default());
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
