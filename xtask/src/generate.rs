//! `cargo xtask generate`: writes the documents under `docs/` that come from the code.
//!
//! Only this command needs the crates that the documents come from, so it runs itself again with
//! the feature that has them.

use std::process::ExitCode;

use anyhow::Result;

#[cfg(not(feature = "generate"))]
pub(crate) fn run() -> Result<ExitCode> {
    use anyhow::Context;

    let words = "run --quiet --package xtask --features generate -- generate";
    let mut again = crate::workspace::cargo(crate::workspace::root(), words);
    let status = again.status().context("starting cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(feature = "generate")]
pub(crate) fn run() -> Result<ExitCode> {
    write("docs/roadbed.schema.json", &spec::json_schema())?;
    write("docs/openapi.json", &control::openapi_json())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "generate")]
fn write(name: &str, text: &str) -> Result<()> {
    use anyhow::Context;

    let path = crate::workspace::root().join(name);
    let text = format!("{}\n", text.trim_end());
    if std::fs::read_to_string(&path).is_ok_and(|current| current == text) {
        crate::report::say(&format!("{name} is current"));
        return Ok(());
    }
    std::fs::write(&path, text).with_context(|| format!("writing {name}"))?;
    crate::report::say(&format!("{name} is written"));
    Ok(())
}
