// SPDX-License-Identifier: GPL-2.0-only
//! Who may do what: holding an [`Authorised`] value proves that its caller may.
//!
//! Root always may. Everybody else is asked of polkit, with a password prompt only if the message allows it, and is
//! denied when no polkit answers. The errors are those of systemd's services.

use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use zbus::{Connection, fdo, message::Flags, message::Header, names::UniqueName};
use zbus_polkit::policykit1::{AuthorityProxy, AuthorizationResult, CheckAuthorizationFlags, Subject};

use super::error::{Error, Result};

/// polkit's answer takes milliseconds; shorter than the five seconds that clients wait for us.
const ANSWER: Duration = Duration::from_secs(3);

/// Time for a person to find and type a password; the agents give up after about as long.
const PROMPT: Duration = Duration::from_secs(150);

/// How many questions of one user wait for polkit at once. Each holds its message and the files sent with it, for as long as
/// that user's own agent likes.
const QUESTIONS_OF_ONE: usize = 4;

/// The same for all users but root together.
const QUESTIONS: usize = 32;

/// Something that needs an authorisation of its own.
pub trait Action {
    /// polkit's name for it, as in `org.livepatch.policy`.
    const ID: &'static str;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $id:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}

            impl Action for $name {
                const ID: &'static str = $id;
            }
        )+

        /// Every action's name.
        pub const ACTIONS: &[&str] = &[$($id),+];
    };
}

actions! {
    /// Apply, revert and cancel.
    Manage = "org.livepatch.manage";
    /// Nudge blockers.
    Nudge = "org.livepatch.nudge";
    /// See the kernel stacks of blockers.
    ReadStacks = "org.livepatch.read-stacks";
    /// Force a transition.
    Force = "org.livepatch.force";
}

/// The proof that the caller of a message may do `A`. Only [`Authority::authorise`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Authorised<A> {
    uid: u32,
    action: PhantomData<A>,
}

impl<A> Authorised<A> {
    /// The caller's user id, for the journal.
    pub fn uid(&self) -> u32 {
        self.uid
    }
}

/// The one that is asked. The default asks polkit for everybody but root.
#[derive(Clone, Debug, Default)]
pub struct Authority {
    administrator: u32,
    asking: Asking,
}

/// The users whose calls wait for polkit, once for each call.
#[derive(Clone, Debug, Default)]
struct Asking(Arc<Mutex<Vec<u32>>>);

impl Asking {
    /// A place among those who wait, until it is dropped; none if there are too many.
    fn enter(&self, uid: u32) -> Option<Place> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = waiting.iter().filter(|other| **other == uid).count();
        if own >= QUESTIONS_OF_ONE || waiting.len() >= QUESTIONS {
            return None;
        }
        waiting.push(uid);
        Some(Place {
            among: self.clone(),
            uid,
        })
    }
}

#[derive(Debug)]
struct Place {
    among: Asking,
    uid: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.among.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = waiting.iter().position(|uid| *uid == self.uid) {
            waiting.swap_remove(at);
        }
    }
}

impl Authority {
    /// An authority that takes another user for root: on a private bus, whose owner is administrator enough.
    pub fn with_administrator(uid: u32) -> Self {
        Self {
            administrator: uid,
            asking: Asking::default(),
        }
    }

    /// Whether the caller of this message may do `A`.
    pub(super) async fn authorise<A: Action>(
        &self,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<Authorised<A>> {
        let sender = header.sender().ok_or_else(|| denied::<A>("no sender"))?;
        let uid = uid_of(connection, sender).await?;
        if uid != self.administrator {
            let _place = self.asking.enter(uid).ok_or_else(too_many)?;
            let interactive = header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
            verdict::<A>(ask::<A>(connection, header, interactive).await)?;
        }
        Ok(Authorised {
            uid,
            action: PhantomData,
        })
    }
}

/// The bus knows who connected; a process cannot claim to be somebody else.
async fn uid_of(connection: &Connection, sender: &UniqueName<'_>) -> Result<u32> {
    let bus = fdo::DBusProxy::new(connection).await?;
    Ok(bus.get_connection_unix_user(sender.clone().into()).await?)
}

/// polkit's answer, or why there is none.
async fn ask<A: Action>(
    connection: &Connection,
    header: &Header<'_>,
    interactive: bool,
) -> std::result::Result<AuthorizationResult, String> {
    let (flags, patience) = if interactive {
        (CheckAuthorizationFlags::ALLOW_USER_INTERACTION, PROMPT)
    } else {
        (CheckAuthorizationFlags::empty(), ANSWER)
    };
    let answer = async {
        let subject = Subject::new_for_message_header(header).map_err(|e| e.to_string())?;
        let polkit = AuthorityProxy::builder(connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .map_err(|e| e.to_string())?;
        polkit
            .check_authorization(&subject, A::ID, &HashMap::new(), flags, "")
            .await
            .map_err(|e| e.to_string())
    };
    tokio::time::timeout(patience, answer)
        .await
        .unwrap_or_else(|_| Err("it does not answer".to_owned()))
}

fn verdict<A: Action>(answer: std::result::Result<AuthorizationResult, String>) -> Result<()> {
    match answer {
        Ok(answer) if answer.is_authorized => Ok(()),
        Ok(answer) if answer.is_challenge => {
            let message = format!("{} needs an interactive authorisation", A::ID);
            Err(fdo::Error::InteractiveAuthorizationRequired(message).into())
        }
        Ok(_) => Err(denied::<A>("polkit says no")),
        Err(why) => Err(denied::<A>(&format!(
            "only root may, because polkit cannot be asked: {why}"
        ))),
    }
}

fn too_many() -> Error {
    fdo::Error::LimitsExceeded("too many calls wait for an authorisation; answer or end those first".to_owned()).into()
}

fn denied<A: Action>(why: &str) -> Error {
    fdo::Error::AccessDenied(format!("not authorised for {}: {why}", A::ID)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(is_authorized: bool, is_challenge: bool) -> AuthorizationResult {
        AuthorizationResult {
            is_authorized,
            is_challenge,
            details: HashMap::new(),
        }
    }

    #[test]
    fn one_user_cannot_take_every_place_before_polkit() {
        let asking = Asking::default();
        let mut places: Vec<_> = std::iter::from_fn(|| asking.enter(1000)).collect();
        assert_eq!(places.len(), QUESTIONS_OF_ONE);
        assert!(asking.enter(1001).is_some(), "somebody else has a place");
        places.pop();
        assert!(asking.enter(1000).is_some(), "a place that was left is free");
        let all: Vec<_> = (2000..3000).map_while(|uid| asking.enter(uid)).collect();
        assert_eq!(all.len() + places.len(), QUESTIONS);
    }

    #[test]
    fn a_challenge_that_nobody_answered_is_told_apart_from_a_no() {
        assert!(verdict::<Manage>(Ok(answer(true, false))).is_ok());
        assert!(matches!(
            verdict::<Manage>(Ok(answer(false, true))),
            Err(Error::Call(fdo::Error::InteractiveAuthorizationRequired(_)))
        ));
        assert!(matches!(
            verdict::<Manage>(Ok(answer(false, false))),
            Err(Error::Call(fdo::Error::AccessDenied(_)))
        ));
        assert!(matches!(
            verdict::<Manage>(Err("it does not answer".to_owned())),
            Err(Error::Call(fdo::Error::AccessDenied(_)))
        ));
    }
}
