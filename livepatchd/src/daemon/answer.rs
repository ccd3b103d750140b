// SPDX-License-Identifier: GPL-2.0-only
//! What callers ask for, put before policy and the model. The answer goes out with the news of the step that it was given
//! in: a caller finds its job's object on the bus when it hears of it.

use super::{
    Daemon,
    apply::{self, Checked},
    now,
};
use crate::{
    bus::{Call, Incoming},
    model::{
        request::{Answer, Request},
        time::Moment,
    },
    policy,
};

impl Daemon {
    pub(super) fn answer(&mut self, call: Call) {
        let Call { incoming, reply } = call;
        let rules = &self.rules;
        let request = match incoming {
            Incoming::Apply { path, options, .. } => {
                return apply::check(
                    &self.setup.places,
                    apply::Source::Path(path),
                    options,
                    reply,
                    &self.events,
                );
            }
            Incoming::ApplyFd {
                module, name, options, ..
            } => {
                let source = apply::Source::Fd(module, name);
                return apply::check(&self.setup.places, source, options, reply, &self.events);
            }
            Incoming::Revert { patch, options, .. } => {
                let options = options.or(rules);
                Request::Revert { patch, options }
            }
            Incoming::Cancel { patch, job, .. } => {
                if let Some(refusal) = job.and_then(|id| apply::no_such_job(&self.model, id)) {
                    return self.news.answer(reply, Err(refusal));
                }
                let options = crate::bus::AskedOptions::default().or(rules);
                Request::Cancel { patch, options }
            }
            Incoming::Force { patch, .. } => Request::Force { patch },
            Incoming::Nudge { patch, .. } => Request::Nudge { patch },
        };
        let (answer, changes) = policy::answer(&mut self.model, &self.rules, now(), request);
        self.tell(changes);
        self.news.answer(reply, answer);
    }

    /// Lets a checked module in as a job.
    pub(super) fn admit(&mut self, now: Moment, checked: Checked) {
        let Checked { module, options, reply } = checked;
        let (module, core) = match module {
            Ok(found) => found,
            Err(refusal) => return self.news.answer(reply, Err(refusal)),
        };
        let request = Request::Apply {
            patch: module.facts().name.clone(),
            core,
            options: options.or(&self.rules),
        };
        let (answer, changes) = policy::answer(&mut self.model, &self.rules, now, request);
        if let Ok(Answer::Job(id)) = &answer {
            self.modules.insert(*id, module);
        }
        self.tell(changes);
        self.news.answer(reply, answer);
    }
}
