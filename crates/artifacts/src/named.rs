//! Which files an app names itself. They are packed even where `.gitignore` says that they are not
//! part of the source: what a build makes rarely is, and it is what runs.

use std::collections::BTreeSet;

use model::file_path::leaves_folder;
use model::{App, Command, FilePath, Probe, ServiceName};

/// What an app names below its folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// What has to be there: `include`, and folders whose files are served. With all that is in it.
    pub whole: BTreeSet<String>,
    /// Words of commands, which are files or something else.
    pub words: BTreeSet<String>,
}

/// What `app` names.
pub fn named(app: &App) -> Named {
    let mut named = Named::default();
    for path in &app.include {
        named.whole.extend(below(path.as_str()));
    }
    for service in app.services.values() {
        if let Some(files) = service.work.files() {
            named.whole.extend(below(files.folder.as_str()));
        }
        let probe = match &service.health.probe {
            Probe::Command(command) => Some(command),
            _ => None,
        };
        for command in service.work.command().into_iter().chain(probe) {
            named
                .words
                .extend(command.words().iter().filter_map(|word| below(word)));
        }
    }
    named
}

/// The program of each service that is a path, as it was written.
pub(crate) fn programs(app: &App) -> impl Iterator<Item = (&ServiceName, &str)> {
    let commands = app.services.iter();
    let commands = commands.filter_map(|(name, service)| Some((name, service.work.command()?)));
    commands.filter_map(|(name, command)| Some((name, program(command)?)))
}

fn program(command: &Command) -> Option<&str> {
    let program = command.words().first()?.as_str();
    // Others are looked up in PATH, are known only when an instance starts, or are not of the app.
    let is_relative = program.contains('/') && !program.starts_with('/');
    (is_relative && !program.contains('$')).then_some(program)
}

/// A path below a folder without what says nothing (`.`, `//`), and with what climbs resolved; none
/// if it is not below it, or is the folder itself.
pub(crate) fn below(path: &str) -> Option<String> {
    if path.starts_with('/') || leaves_folder(path) || FilePath::new(path).is_err() {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling_below_its_folder() {
        assert_eq!(below("./a//b/../c"), Some("a/c".into()));
        assert_eq!(below("web"), Some("web".into()));
        for none in [".", "", "./", "/a", "../a", "a/../..", "a/.."] {
            assert_eq!(below(none), None, "{none}");
        }
    }
}
