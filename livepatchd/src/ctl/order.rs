// SPDX-License-Identifier: GPL-2.0-only
//! The commands that start a job: apply, revert, cancel, force.

use std::{collections::HashMap, path::Path};

use zbus::{OwnedObjectPath, Variant};

use super::{
    args::{AtTimeout, How, Wait},
    client::Client,
    exit::{Exit, Failure},
    output::Output,
    wait,
};

/// Loads a patch.
pub(super) async fn apply(client: &Client, output: Output, patch: &str, how: How) -> Result<Exit, Failure> {
    let options = options(&how)?;
    let patch = absolute(patch)?;
    start(client, output, how.wait, "ApplyWith", &(patch, options)).await
}

/// Disables and unloads a patch.
pub(super) async fn revert(client: &Client, output: Output, patch: &str, how: How) -> Result<Exit, Failure> {
    let options = options(&how)?;
    start(client, output, how.wait, "RevertWith", &(patch, options)).await
}

/// Reverses a transition.
pub(super) async fn cancel(
    client: &Client,
    output: Output,
    patch: Option<String>,
    wait: Wait,
) -> Result<Exit, Failure> {
    let patch = client.patch_or_transition(patch).await?;
    start(client, output, wait, "Cancel", &patch).await
}

/// Forces a transition.
pub(super) async fn force(
    client: &Client,
    output: Output,
    patch: Option<String>,
    yes: bool,
    wait: Wait,
) -> Result<Exit, Failure> {
    if !yes {
        return Err(unsure(
            "if you must: livepatchctl force --yes, and reboot soon; otherwise: livepatchctl cancel",
        ));
    }
    let patch = client.patch_or_transition(patch).await?;
    start(client, output, wait, "Force", &patch).await
}

async fn start<B>(client: &Client, output: Output, how: Wait, member: &str, body: &B) -> Result<Exit, Failure>
where
    B: serde::Serialize + zbus::DynamicType,
{
    // sent before the call, so that no signal of the job is missed; the bus keeps their order
    let (signals, job) = tokio::join!(biased; client.signals(), client.change(member, body));
    let (job, signals): (OwnedObjectPath, _) = (job?, signals?);
    if !how.no_wait {
        return wait::wait(client, output, signals, &job).await;
    }
    let view = client.job(&job).await?;
    let view = view.ok_or_else(|| Failure::new(Exit::Failed, "the daemon does not know its job"))?;
    if output.is_json() {
        output.json(&view.document());
    } else {
        output.line(&format!("job {}: {} of {} started", view.id, view.kind, view.patch));
    }
    Ok(Exit::Done)
}

fn unsure(advice: &str) -> Failure {
    let message = "force ends the transition although tasks still use the old functions: this can crash or corrupt";
    Failure::new(Exit::Usage, message).advise(advice)
}

fn options(how: &How) -> Result<HashMap<&'static str, Variant<'static>>, Failure> {
    let How {
        timeout,
        on_timeout,
        yes,
        no_nudge,
        wait: _,
    } = how;
    if matches!(on_timeout, Some(AtTimeout::Force)) && !yes {
        return Err(unsure(
            "if you must: --on-timeout force --yes, and reboot soon; otherwise: --on-timeout reverse",
        ));
    }
    let mut options = HashMap::new();
    if let Some(timeout) = timeout {
        options.insert("timeout", Variant::from(timeout.0));
    }
    if let Some(choice) = on_timeout {
        options.insert("on-timeout", Variant::from(choice.word()));
    }
    if *no_nudge {
        options.insert("nudge", Variant::from(false));
    }
    Ok(options)
}

/// A file's path as the daemon needs it: absolute, but with its symbolic links, which are the daemon's to judge. A bare
/// word that is no file here is a patch's name.
fn absolute(patch: &str) -> Result<String, Failure> {
    let file = Path::new(patch);
    if !patch.contains('/') && !file.exists() && file.extension().is_none() {
        return Ok(patch.to_owned());
    }
    let file = std::path::absolute(file).map_err(|error| Failure::new(Exit::Usage, format!("{patch:?}: {error}")))?;
    file.into_os_string().into_string().map_err(|file| {
        let message = format!("{} is not UTF-8, and D-Bus carries nothing else", file.display());
        Failure::new(Exit::Usage, message).advise("copy the file to another directory")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_absolutely_and_a_patch_by_its_name() {
        assert_eq!(absolute("/root/fix.ko").unwrap(), "/root/fix.ko");
        let here = std::env::current_dir().unwrap();
        for relative in ["fix.ko", "fix.ko.zst", "a/fix"] {
            let expected = here.join(relative).into_os_string().into_string().unwrap();
            assert_eq!(absolute(relative).unwrap(), expected);
        }
        assert_eq!(absolute("some-fix").unwrap(), "some-fix");
        assert!(absolute("").is_ok());
    }
}
