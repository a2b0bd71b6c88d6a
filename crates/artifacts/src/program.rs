//! Whether the programs that an app runs are in its release. Pure, but for a word on why not.

use std::path::Path;

use model::App;

use crate::named::{below, programs};
use crate::{Manifest, PackError, Packed};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// What a path leads to within a release.
#[derive(Debug, PartialEq, Eq)]
enum Leads {
    /// A file that can be executed, or cannot.
    File { executable: bool },
    /// Out of the release, where nothing is known.
    Elsewhere,
    /// Nothing.
    Nowhere,
}

/// Refuses an app whose programs its release lacks.
pub(crate) fn check(app: &App, manifest: &Manifest, folder: &Path) -> Result<(), PackError> {
    for (service, program) in programs(app) {
        let service = service.clone();
        let program = program.to_owned();
        let Some(path) = below(&program) else {
            return Err(PackError::ProgramOutside { service, program });
        };
        match leads_to(manifest, path) {
            Leads::File { executable: true } | Leads::Elsewhere => {}
            Leads::File { executable: false } => {
                return Err(PackError::ProgramNotExecutable {
                    service,
                    file: folder.join(&program).components().collect(),
                });
            }
            Leads::Nowhere => {
                return Err(PackError::NoProgram {
                    service,
                    program,
                    folder: folder.to_owned(),
                });
            }
        }
    }
    Ok(())
}

fn leads_to(manifest: &Manifest, mut path: String) -> Leads {
    for _ in 0..MOST_LINKS {
        match manifest.entries().get(path.as_str()) {
            Some(Packed::File { executable, .. }) => {
                return Leads::File {
                    executable: *executable,
                };
            }
            Some(Packed::Folder) => return Leads::Nowhere,
            _ => {}
        }
        // The outermost link on the way, and what is left of the way after it.
        let ends = path
            .match_indices('/')
            .map(|(end, _)| end)
            .chain([path.len()]);
        let link = ends
            .into_iter()
            .find_map(|end| match manifest.entries().get(&path[..end]) {
                Some(Packed::Link { target }) => Some((end, target)),
                _ => None,
            });
        let Some((end, target)) = link else {
            return Leads::Nowhere;
        };
        let above = path[..end].rsplit_once('/').map_or("", |(above, _)| above);
        let next = match target.starts_with('/') {
            true => None,
            false => below(format!("{above}/{target}{}", &path[end..]).trim_start_matches('/')),
        };
        match next {
            Some(next) => path = next,
            None => return Leads::Elsewhere,
        }
    }
    Leads::Nowhere
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PackedPath, digest_of};

    #[test]
    fn a_program_is_found_through_links() {
        let file = |executable| Packed::File {
            digest: digest_of(b""),
            size: 0,
            executable,
            modified: 0,
        };
        let link = |target: &str| Packed::Link {
            target: target.into(),
        };
        let entries = [
            ("builds/5/web", file(true)),
            ("builds/5/notes", file(false)),
            ("current", link("builds/5")),
            ("bin/web", link("../current/web")),
            ("bin/python", link("/usr/bin/python3")),
            ("bin/out", link("../../elsewhere")),
            ("bin/lost", link("nothing")),
            ("bin/round", link("round")),
        ];
        let entries = entries.map(|(path, packed)| (PackedPath::new(path).unwrap(), packed));
        let manifest = Manifest::new(entries.into()).unwrap();
        let leads = |path: &str| leads_to(&manifest, path.to_owned());
        assert_eq!(leads("builds/5/web"), Leads::File { executable: true });
        assert_eq!(leads("current/web"), Leads::File { executable: true });
        assert_eq!(leads("bin/web"), Leads::File { executable: true });
        assert_eq!(leads("current/notes"), Leads::File { executable: false });
        assert_eq!(leads("bin/python"), Leads::Elsewhere);
        assert_eq!(leads("bin/out"), Leads::Elsewhere);
        for nowhere in ["bin/lost", "bin/round", "builds", "web", "builds/5/web/x"] {
            assert_eq!(leads(nowhere), Leads::Nowhere, "{nowhere}");
        }
    }
}
