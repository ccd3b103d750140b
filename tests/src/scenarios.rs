// SPDX-License-Identifier: GPL-2.0-only
//! The registry of scenarios: one file for each noun, one sentence for each scenario. tests/README.md says how to add one.

mod bad_calls;
mod bad_input;
mod bench;
mod by_hand;
mod compressed;
mod configuration;
mod crash;
mod crowd;
mod deadline;
mod degraded;
mod demo;
mod excluded;
mod irreversible;
mod kernel_alone;
mod kills;
mod klp_rs;
mod monitor;
mod replace;
mod rights;
mod second_core;
mod service;
mod stuck_reader;
mod terminal;
mod userland;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::guest::Guest;

/// A file of scenarios and its name.
type File = (&'static str, &'static [Scenario]);

/// The machines that a kernel is booted in, and their files in the order in which they run: what the others rely on comes
/// first. The first two take about the same time, so that two processors are done in half of it.
const MACHINES: [(&str, &[File]); 3] = [
    (
        "",
        &[
            ("userland", userland::SCENARIOS),
            ("kernel_alone", kernel_alone::SCENARIOS),
            ("stuck_reader", stuck_reader::SCENARIOS),
            ("replace", replace::SCENARIOS),
            ("compressed", compressed::SCENARIOS),
            ("excluded", excluded::SCENARIOS),
            ("deadline", deadline::SCENARIOS),
            ("by_hand", by_hand::SCENARIOS),
            ("monitor", monitor::SCENARIOS),
            ("second_core", second_core::SCENARIOS),
            ("terminal", terminal::SCENARIOS),
            ("crowd", crowd::SCENARIOS),
            ("bad_input", bad_input::SCENARIOS),
            ("bad_calls", bad_calls::SCENARIOS),
            ("configuration", configuration::SCENARIOS),
            ("rights", rights::SCENARIOS),
            ("degraded", degraded::SCENARIOS),
            ("service", service::SCENARIOS),
            // nothing can be loaded after these
            ("irreversible", irreversible::SCENARIOS),
        ],
    ),
    (
        "klp_rs-and-crashes",
        &[
            ("klp_rs", klp_rs::SCENARIOS),
            ("crash", crash::SCENARIOS),
            ("kills", kills::SCENARIOS),
            // after these klp_rs stays
            ("klp_rs_forced", klp_rs::FORCED),
        ],
    ),
    (
        "klp_rs-without-rules",
        &[
            ("klp_rs_without_a_rule", klp_rs::WITHOUT_A_RULE),
            // no other klp_rs can be loaded after these
            ("klp_rs_without_unwinder", klp_rs::WITHOUT_UNWINDER),
        ],
    ),
];

/// What takes too long for every run: `vm test --nightly`.
const NIGHTLY: [(&str, &[File]); 1] = [("klp_rs-nightly", &[("klp_rs_nightly", klp_rs::NIGHTLY)])];

/// Longer programs that speak to the user: the demonstration, the benchmark, and its parts on other machines.
const PROGRAMS: &[Program] = &[
    Program::new("demo", demo::demo),
    Program::new("bench", bench::bench),
    Program::new("transitions", bench::transitions).on_four_processors(),
    Program::new("instructions", bench::instructions).counting(),
];

/// What a scenario or a program does in the guest; an error is its failure.
pub type Work = fn(&Guest) -> Result<()>;

/// Which kernels a scenario is run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// The main target, 7.2 and newer.
    Main,
    /// All, from 6.1 on.
    All,
    /// From this one on.
    Since(u32, u32),
}

/// The processors of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processors {
    /// As many as there are at least where tests are run.
    Two,
    /// A small server's. For what waits for every idle one, and not for what has work for all of them.
    Four,
    /// One, emulated, whose clock counts its instructions, a nanosecond for each: the same work takes the same time however
    /// busy the host is.
    Counted,
}

/// A program and the machine that it wants.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// What it is called.
    name: &'static str,
    /// Its machine's.
    pub processors: Processors,
    /// What it does.
    pub run: Work,
}

impl Program {
    const fn new(name: &'static str, run: Work) -> Self {
        let processors = Processors::Two;
        Self { name, processors, run }
    }

    const fn on_four_processors(self) -> Self {
        let processors = Processors::Four;
        Self { processors, ..self }
    }

    const fn counting(self) -> Self {
        let processors = Processors::Counted;
        Self { processors, ..self }
    }
}

/// Something that must be seen in a real kernel.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// A sentence that is true when it passes.
    pub name: &'static str,
    /// Which kernels it is run on.
    pub kernels: Kernels,
    /// Whether it speaks of livepatchd; the others are anchors: facts of the kernel and of this harness.
    pub daemon: bool,
    /// Whether the daemon that dies on demand must be in the guest.
    pub faulty: bool,
    /// Whether the modules it loads cannot be unloaded before the next boot.
    pub leaves_modules: bool,
    /// It is killed, and has failed, after this.
    pub bound: Duration,
    /// What it does.
    pub run: Work,
}

impl Scenario {
    /// A scenario of livepatchd on the main kernel, with a minute to end.
    pub const fn new(name: &'static str, run: Work) -> Self {
        Self {
            name,
            kernels: Kernels::Main,
            daemon: true,
            faulty: false,
            leaves_modules: false,
            bound: Duration::from_secs(60),
            run,
        }
    }

    /// A scenario that needs no livepatchd.
    pub const fn anchor(name: &'static str, run: Work) -> Self {
        Self {
            daemon: false,
            ..Self::new(name, run)
        }
    }

    /// With the daemon that dies on demand in the guest.
    #[must_use]
    pub const fn with_faulty_daemon(self) -> Self {
        Self { faulty: true, ..self }
    }

    /// With modules that cannot be unloaded afterwards.
    #[must_use]
    pub const fn leaving_modules(self) -> Self {
        Self {
            leaves_modules: true,
            ..self
        }
    }

    /// On these kernels.
    #[must_use]
    pub const fn on(self, kernels: Kernels) -> Self {
        Self { kernels, ..self }
    }

    /// With so many seconds to end.
    #[must_use]
    pub const fn within_secs(self, seconds: u64) -> Self {
        Self {
            bound: Duration::from_secs(seconds),
            ..self
        }
    }

    fn fits(&self, version: (u32, u32)) -> bool {
        match self.kernels {
            Kernels::Main => version >= (7, 2),
            Kernels::All => true,
            Kernels::Since(major, minor) => version >= (major, minor),
        }
    }
}

/// The scenarios for a kernel, whose file is called as the filter says or whose name contains it; commas separate filters. By
/// machine, those without any left out. Only the nightly ones, or only the others.
pub fn select(
    version: (u32, u32),
    daemon: bool,
    nightly: bool,
    filter: &str,
) -> Vec<(&'static str, Vec<&'static Scenario>)> {
    let filter = filter.to_lowercase();
    let machines: &[(&str, &[File])] = if nightly { &NIGHTLY } else { &MACHINES };
    let matches = |file: &str, scenario: &Scenario| {
        let name = scenario.name.to_lowercase();
        filter
            .split(['|', ','])
            .any(|wanted| file == wanted || name.contains(wanted))
    };
    let machines = machines.iter().map(|(machine, files)| {
        let all = files
            .iter()
            .flat_map(|(file, scenarios)| scenarios.iter().map(move |scenario| (*file, scenario)));
        let fitting = all.filter(|(file, scenario)| {
            scenario.fits(version) && (daemon || !scenario.daemon) && matches(file, scenario)
        });
        (*machine, fitting.map(|(_, scenario)| scenario).collect::<Vec<_>>())
    });
    machines.filter(|(_, scenarios)| !scenarios.is_empty()).collect()
}

fn all() -> impl Iterator<Item = &'static Scenario> {
    let files = MACHINES.iter().chain(&NIGHTLY).flat_map(|(_, files)| files.iter());
    files.flat_map(|(_, scenarios)| scenarios.iter())
}

/// The scenario of that name.
pub fn find(name: &str) -> Result<&'static Scenario> {
    all()
        .find(|scenario| scenario.name == name)
        .with_context(|| format!("no scenario is called \"{name}\""))
}

/// The program of that name.
pub fn program(name: &str) -> Result<&'static Program> {
    let found = PROGRAMS.iter().find(|program| program.name == name);
    found.with_context(|| format!("there is no program {name} in tests/src/scenarios.rs"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_scenarios_have_the_same_name() {
        let names: Vec<_> = all().map(|scenario| scenario.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn a_filter_takes_a_whole_file_or_parts_of_names() {
        let count = |filter| {
            select((7, 2), false, false, filter)
                .iter()
                .map(|(_, s)| s.len())
                .sum::<usize>()
        };
        assert_eq!(count("userland"), userland::SCENARIOS.len());
        assert_eq!(count("sigstop"), 2);
        assert_eq!(count("userland|sigstop"), userland::SCENARIOS.len() + 2);
        assert_eq!(count("sigstop,fork storm makes"), 3);
        assert_eq!(count("no such thing"), 0);
    }

    #[test]
    fn each_machine_runs_its_own_scenarios() {
        let old = select((6, 1), true, false, "");
        assert_eq!(old.iter().map(|(machine, _)| *machine).collect::<Vec<_>>(), [""]);
        let new = select((7, 2), true, false, "");
        let nightly = select((7, 2), true, true, "");
        assert_eq!(
            new.iter().chain(&nightly).map(|(_, s)| s.len()).sum::<usize>(),
            all().count()
        );
        assert_eq!((new.len(), nightly.len()), (MACHINES.len(), NIGHTLY.len()));
    }
}
