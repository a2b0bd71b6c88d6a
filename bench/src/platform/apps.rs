//! Apps to measure with: the examples, and a fleet made of the smallest of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the checkout.
pub(crate) fn repository() -> PathBuf {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench).to_owned()
}

/// The folder of an example.
pub(crate) fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// Copies an example and its built programs to `folder`, and leaves out its build steps.
pub(crate) fn copy_without_builds(name: &str, folder: &Path) -> Result<()> {
    let original = example(name);
    let spec = original.join("roadbed.toml");
    let text = fs::read_to_string(&spec).with_context(|| format!("reading {}", spec.display()))?;
    fs::create_dir_all(folder.join("target/release"))?;
    fs::write(folder.join("roadbed.toml"), without_builds(&text))?;
    for program in programs(&text) {
        copy_program(&original.join(&program), &folder.join(&program))?;
    }
    Ok(())
}

fn copy_program(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| {
        format!(
            "there is no {}; `cargo xtask bench` builds it",
            from.display()
        )
    })?;
    Ok(())
}

fn without_builds(spec: &str) -> String {
    let lines = spec.lines().filter(|line| !line.starts_with("build "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The programs that a spec runs, each once.
fn programs(spec: &str) -> Vec<String> {
    let mut programs: Vec<String> = spec
        .lines()
        .filter(|line| line.starts_with("run "))
        .filter_map(|line| line.split('"').nth(1)?.split(' ').next())
        .map(str::to_owned)
        .collect();
    programs.sort();
    programs.dedup();
    programs
}

/// The host of an exposed service of the fleet.
pub(crate) fn fleet_host(service: usize) -> String {
    format!("fleet-{service}.localhost")
}

/// Makes an app of many services, each of which calls the next one, with a few at the edge.
pub(crate) fn make_fleet(
    folder: &Path,
    services: usize,
    replicas: usize,
    health: &str,
) -> Result<()> {
    fs::create_dir_all(folder)?;
    copy_program(
        &example("trivial").join("target/release/trivial"),
        &folder.join("trivial"),
    )?;
    fs::write(
        folder.join("roadbed.toml"),
        fleet(services, replicas, health),
    )?;
    Ok(())
}

/// Every how many services of the fleet one is exposed.
const EXPOSED: usize = 50;

fn fleet(services: usize, replicas: usize, health: &str) -> String {
    let mut text = "app = \"fleet\"\n".to_owned();
    for service in 0..services {
        text += &format!(
            "\n[services.s{service:03}]\nrun = \"./trivial\"\nreplicas = {replicas}\n\
             health = {{ {health} }}\n"
        );
        if service + 1 < services {
            text += &format!("uses = [\"s{:03}\"]\n", service + 1);
        }
        if service % EXPOSED == 0 {
            text += &format!("expose = {{ host = \"{}\" }}\n", fleet_host(service));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_copied_without_its_builds() {
        let spec = "app = \"a\"\n[services.b]\nbuild    = \"cargo build\"\n\
                    run      = \"target/release/b --x\"\n[services.c]\nrun = \"target/release/b\"\n";
        assert_eq!(programs(spec), ["target/release/b"]);
        assert!(!without_builds(spec).contains("cargo"));
        for example in ["trivial", "shop"] {
            let text = fs::read_to_string(super::example(example).join("roadbed.toml")).unwrap();
            let programs = programs(&text);
            assert!(!programs.is_empty());
            for program in programs {
                assert!(program.starts_with("target/release/"), "{program}");
            }
            assert!(!without_builds(&text).contains("cargo build"));
        }
    }

    #[test]
    fn a_fleet_is_a_chain() {
        let text = fleet(3, 2, "tcp = true");
        assert_eq!(text.matches("[services.").count(), 3);
        assert_eq!(text.matches("replicas = 2").count(), 3);
        assert!(text.contains("uses = [\"s001\"]") && text.contains("uses = [\"s002\"]"));
        assert!(!text.contains("s003") && text.contains("health = { tcp = true }"));
        assert!(text.contains("fleet-0.localhost"));
    }
}
