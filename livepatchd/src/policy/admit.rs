// SPDX-License-Identifier: GPL-2.0-only
//! Whether a module file may be loaded here and now, from facts alone; nothing is loaded on refusal.
//!
//! The kernel has the last word on all of this. What is said here is said earlier, with a name and the next step, and
//! before a failed load could leave a trace. A running transition is not looked at: the model knows it.

use crate::model::{
    module::{KernelFacts, Lockdown, ModuleFacts},
    patch::Core,
    refusal::{ErrorName, Refusal},
};

/// Refuses a module that the running kernel could not take, or that is no live patch; else names its core.
///
/// The order is that of what a user must solve first: wrong file, wrong kernel, then what forbids it.
pub fn admit(module: &ModuleFacts, kernel: &KernelFacts, already_loaded: bool) -> Result<Core, Refusal> {
    let name = &module.name;
    let core = module.core.ok_or_else(|| {
        Refusal::new(
            ErrorName::InvalidModule,
            format!(
                "{name} is a kernel module but no live patch (no livepatch=Y in its .modinfo); load it with modprobe, or \
                 give the live patch's file"
            ),
        )
    })?;
    if module.release != kernel.release {
        return Err(Refusal::new(
            ErrorName::KernelMismatch,
            format!(
                "{name} was built for {}, this is {}; build or install the patch for this kernel, or boot the one it was \
                 built for",
                module.release, kernel.release
            ),
        ));
    }
    if already_loaded {
        return Err(Refusal::new(
            ErrorName::AlreadyLoaded,
            format!(
                "a module named {name} is loaded; livepatchctl status {name} shows its state, livepatchctl revert {name} \
                 removes it"
            ),
        ));
    }
    if !kernel.cores.contains(&core) {
        return Err(Refusal::new(ErrorName::NotSupported, absent(core, module)));
    }
    forbidden(module, kernel).map_or(Ok(core), |why| {
        Err(Refusal::new(ErrorName::Refused, format!("{name}: {why}")))
    })
}

fn absent(core: Core, module: &ModuleFacts) -> String {
    let name = &module.name;
    match core {
        Core::Kernel => format!(
            "{name} needs livepatching in the kernel, and this kernel has none (no /sys/kernel/livepatch); boot a kernel \
             built with CONFIG_LIVEPATCH=y"
        ),
        Core::KlpRs => {
            format!("{name} needs the klp_rs core, and it is not loaded; run modprobe klp_rs first")
        }
    }
}

/// The first thing in the kernel's configuration that forbids the load.
fn forbidden(module: &ModuleFacts, kernel: &KernelFacts) -> Option<String> {
    if kernel.modules_disabled {
        return Some(
            "loading modules is switched off until the next reboot (kernel.modules_disabled=1); reboot without that setting"
                .into(),
        );
    }
    if !kernel.ftrace_enabled {
        return Some(
            "function tracing is switched off and live patches need it; run sysctl kernel.ftrace_enabled=1 and try again"
                .into(),
        );
    }
    if module.signed {
        return None;
    }
    if kernel.signatures_enforced {
        return Some(
            "it is not signed and this kernel loads signed modules only (module.sig_enforce); sign it with a key that the \
             kernel trusts (scripts/sign-file)"
                .into(),
        );
    }
    match kernel.lockdown {
        Lockdown::None => None,
        Lockdown::Integrity | Lockdown::Confidentiality => Some(
            "it is not signed and this kernel is locked down (usual with Secure Boot); sign it with a key that the kernel \
             trusts (scripts/sign-file, mokutil)"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::admit;
    use crate::model::{
        module::{KernelFacts, Lockdown, ModuleFacts},
        patch::{Core, PatchName},
        refusal::ErrorName,
    };

    fn module() -> ModuleFacts {
        ModuleFacts {
            name: PatchName::new("lp").expect("a name"),
            vermagic: "7.2.12 SMP preempt mod_unload".into(),
            release: "7.2.12".into(),
            core: Some(Core::Kernel),
            depends: vec![],
            signed: false,
            size: 1,
        }
    }

    fn kernel() -> KernelFacts {
        KernelFacts {
            release: "7.2.12".into(),
            cores: vec![Core::Kernel],
            ftrace_enabled: true,
            signatures_enforced: false,
            lockdown: Lockdown::None,
            modules_disabled: false,
        }
    }

    #[test]
    fn a_fitting_live_patch_is_admitted_to_its_core() {
        assert_eq!(admit(&module(), &kernel(), false), Ok(Core::Kernel));
    }

    #[test]
    fn each_obstacle_has_its_own_name_and_a_next_step() {
        type Spoil = fn(&mut ModuleFacts, &mut KernelFacts);
        let cases: [(Spoil, ErrorName, &str); 8] = [
            (|m, _| m.core = None, ErrorName::InvalidModule, "no live patch"),
            (
                |m, _| m.release = "7.2.11".into(),
                ErrorName::KernelMismatch,
                "lp was built for 7.2.11, this is 7.2.12",
            ),
            (|_, k| k.cores.clear(), ErrorName::NotSupported, "CONFIG_LIVEPATCH"),
            (
                |m, _| m.core = Some(Core::KlpRs),
                ErrorName::NotSupported,
                "modprobe klp_rs",
            ),
            (|_, k| k.modules_disabled = true, ErrorName::Refused, "reboot"),
            (
                |_, k| k.ftrace_enabled = false,
                ErrorName::Refused,
                "sysctl kernel.ftrace_enabled=1",
            ),
            (|_, k| k.signatures_enforced = true, ErrorName::Refused, "sign it"),
            (|_, k| k.lockdown = Lockdown::Integrity, ErrorName::Refused, "sign it"),
        ];
        for (spoil, name, words) in cases {
            let (mut module, mut kernel) = (module(), kernel());
            spoil(&mut module, &mut kernel);
            let refusal = admit(&module, &kernel, false).expect_err(words);
            assert_eq!(refusal.name, name, "{}", refusal.message);
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
        let loaded = admit(&module(), &kernel(), true).expect_err("loaded");
        assert_eq!(loaded.name, ErrorName::AlreadyLoaded);
    }

    #[test]
    fn a_signature_satisfies_enforcement_as_far_as_we_can_tell() {
        let mut signed = module();
        signed.signed = true;
        let mut strict = kernel();
        strict.signatures_enforced = true;
        strict.lockdown = Lockdown::Confidentiality;
        assert_eq!(admit(&signed, &strict, false), Ok(Core::Kernel));
    }
}
