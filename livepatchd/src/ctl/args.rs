// SPDX-License-Identifier: GPL-2.0-only
//! The command line's grammar. Not what the commands do.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::exit;
use crate::{config::parse_span, model::time::Millis};

/// Apply kernel live patches and see them finish.
#[derive(Debug, Parser)]
#[command(name = "livepatchctl", version, after_help = exit::HELP, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Print JSON on standard output: stable, while the text is not
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// No colours
    #[arg(
        long,
        global = true,
        help = "No colours (also: NO_COLOR in the environment, or no terminal)"
    )]
    pub(super) no_color: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the kernel, the running transition and every patch, or one patch in full
    Status {
        /// The patch
        patch: Option<String>,
    },
    /// List the patches
    List,
    /// Load a live patch and wait until every task is patched
    Apply {
        /// Path of a .ko, .ko.xz, .ko.zst or .ko.gz file
        patch: String,
        #[command(flatten)]
        how: How,
    },
    /// Disable a patch, wait until no task uses it, and unload its module
    Revert {
        /// The patch
        patch: String,
        #[command(flatten)]
        how: How,
    },
    /// Reverse the running transition
    Cancel {
        /// The patch; by default the one in transition
        patch: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// End the running transition although tasks still use the old functions; reboot soon afterwards
    Force {
        /// The patch; by default the one in transition
        patch: Option<String>,
        /// Yes, although it may crash the kernel
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// List the tasks that hold a transition back, each with its reason
    Blockers {
        /// The patch; by default every patch
        patch: Option<String>,
        /// Show their kernel stacks (administrators only)
        #[arg(long)]
        stacks: bool,
    },
    /// Nudge the tasks that hold a transition back, now
    Nudge {
        /// The patch; by default the one in transition
        patch: Option<String>,
    },
    /// Print what happens, until interrupted
    Monitor,
    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// How a job is run.
#[derive(Clone, Debug, Args)]
pub(super) struct How {
    /// Time for the transition, such as 75s or 2m [default: the daemon's configuration]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(super) timeout: Option<Millis>,
    /// What then [default: the daemon's configuration]
    #[arg(long, value_name = "WHAT")]
    pub(super) on_timeout: Option<AtTimeout>,
    /// Yes to --on-timeout force, although it may crash the kernel
    #[arg(long)]
    pub(super) yes: bool,
    /// Nudge nobody
    #[arg(long)]
    pub(super) no_nudge: bool,
    #[command(flatten)]
    pub(super) wait: Wait,
}

/// Whether to wait for a job.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Wait {
    /// Return when the job has started
    #[arg(long)]
    pub(super) no_wait: bool,
}

/// `--on-timeout`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AtTimeout {
    /// Reverse the transition: the system is as before
    Reverse,
    /// Let it go on
    Keep,
    /// Force it
    Force,
}

impl AtTimeout {
    /// The word on the bus.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Reverse => "reverse",
            Self::Keep => "keep",
            Self::Force => "force",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::model::job::OnTimeout;

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_word_for_the_timeout_is_the_daemons() {
        for choice in AtTimeout::value_variants() {
            assert!(OnTimeout::parse(choice.word()).is_some());
        }
    }
}
