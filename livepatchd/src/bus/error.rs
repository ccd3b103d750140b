// SPDX-License-Identifier: GPL-2.0-only
//! How a refusal looks on the bus: the one table between [`Refusal`] and `org.livepatch.Error.*`.
//!
//! What no word of the model describes (wrong arguments, no authorisation, a daemon that stops) is one of the bus's own
//! errors, `org.freedesktop.DBus.Error.*`. Never a bare `Failed` for something that has a name.

use zbus::{
    DBusError, Message, fdo,
    message::Header,
    names::{ErrorName as BusErrorName, OwnedErrorName},
};

use crate::model::refusal::{ErrorName, Refusal};

/// What every error name of ours begins with.
pub const PREFIX: &str = "org.livepatch.Error.";

/// Why a call was not answered as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The model or a check said no: `org.livepatch.Error.*`.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The call itself cannot be served: `org.freedesktop.DBus.Error.*`.
    #[error(transparent)]
    Call(#[from] fdo::Error),
}

/// What the methods of our interfaces return.
pub type Result<T> = std::result::Result<T, Error>;

impl From<zbus::Error> for Error {
    fn from(error: zbus::Error) -> Self {
        Self::Call(error.into())
    }
}

impl DBusError for Error {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        match self {
            Self::Refused(refusal) => Message::error(call, self.name()).build(&refusal.message.as_str()),
            Self::Call(error) => error.create_reply(call),
        }
    }

    fn name(&self) -> BusErrorName<'_> {
        match self {
            Self::Refused(refusal) => full_name(refusal.name).into(),
            Self::Call(error) => error.name(),
        }
    }

    fn description(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.message),
            Self::Call(error) => error.description(),
        }
    }
}

/// The name of an error on the bus.
fn full_name(name: ErrorName) -> OwnedErrorName {
    // the name's parts are words of letters, so the fallback is never taken
    OwnedErrorName::try_from(format!("{PREFIX}{}", name.as_str()))
        .unwrap_or_else(|_| fdo::Error::Failed(String::new()).name().to_owned().into())
}

/// A refusal as the `Error` property of a job says it: the error's name, a colon, its message.
pub fn sentence(refusal: &Refusal) -> String {
    format!("{PREFIX}{}: {}", refusal.name.as_str(), refusal.message)
}

/// The error that a name on the bus stands for, if it is one of ours.
pub fn parse_name(name: &str) -> Option<ErrorName> {
    let word = name.strip_prefix(PREFIX)?;
    ErrorName::ALL.into_iter().find(|known| known.as_str() == word)
}

/// The refusal that a job's `Error` property tells; `None` if it is empty.
pub fn parse_sentence(sentence: &str) -> Option<Refusal> {
    let (name, message) = sentence.split_once(": ")?;
    Some(Refusal::new(parse_name(name)?, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_name_on_the_bus_and_back() {
        for name in ErrorName::ALL {
            let error = Error::Refused(Refusal::new(name, "why"));
            let expected = format!("org.livepatch.Error.{}", name.as_str());
            assert_eq!(error.name().as_str(), expected);
            assert_eq!(parse_name(error.name().as_str()), Some(name));
            assert_eq!(error.description(), Some("why"));
        }
        assert_eq!(parse_name("org.freedesktop.DBus.Error.Failed"), None);
    }

    #[test]
    fn the_error_property_of_a_job_can_be_read_back() {
        let refusal = Refusal::new(ErrorName::Timeout, "1 task pending: cat (812)\nkernel: x");
        assert_eq!(parse_sentence(&sentence(&refusal)), Some(refusal));
        assert_eq!(parse_sentence(""), None);
    }
}
