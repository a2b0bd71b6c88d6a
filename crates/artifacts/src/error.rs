//! Why a folder cannot be packed, and what to do about it.

use std::io;
use std::path::PathBuf;

use model::ServiceName;

use crate::limits::{MOST_BYTES, MOST_FILES};
use crate::too_much::Most;
use crate::{BadManifest, BadPackedPath, PackedPath};

/// Why a folder cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It has too many files.
    #[error("there are more than {most} files to pack{place}", most = MOST_FILES, place = place(_0, "of them"))]
    TooMany(Most),
    /// Its files are too large together.
    #[error("there is more to pack than {most} GiB{place}", most = MOST_BYTES >> 30, place = place(_0, "of its bytes"))]
    TooLarge(Most),
    /// The folder cannot be listed.
    #[error("the app's folder cannot be packed: {0}")]
    Walk(String),
    /// Something in it cannot be read.
    #[error("{0} cannot be packed: {1}")]
    Unreadable(PackedPath, io::Error),
    /// A file was changed each time that it was read.
    #[error("{0} is being changed while it is packed")]
    Changes(PackedPath),
    /// A name is not text.
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    /// A path cannot be that of a file in a release.
    #[error("{path} cannot be packed: {1}", path = _0.display())]
    Path(PathBuf, BadPackedPath),
    /// Together they are no release.
    #[error("the app's folder cannot be packed: {0}")]
    Manifest(BadManifest),
    /// What `include` or `static` names is not there.
    #[error("there is no {path} in {}", folder.display())]
    NotThere {
        /// As it was named.
        path: String,
        /// The app's folder.
        folder: PathBuf,
    },
    /// What `include` or `static` names is somewhere else.
    #[error("{path} leads out of the app's folder, to {}", leads_to.display())]
    Outside {
        /// As it was named.
        path: String,
        /// Where it leads.
        leads_to: PathBuf,
    },
    /// A program is not there.
    #[error("{service} runs {program}, and there is no such file in {}", folder.display())]
    NoProgram {
        /// Whose program it is.
        service: ServiceName,
        /// As it was named.
        program: String,
        /// The app's folder.
        folder: PathBuf,
    },
    /// A program cannot be executed.
    #[error("{service} runs {}, which is not executable", file.display())]
    ProgramNotExecutable {
        /// Whose program it is.
        service: ServiceName,
        /// The file.
        file: PathBuf,
    },
    /// A program is not in the folder.
    #[error("{service} runs {program}, which is not in the app's folder")]
    ProgramOutside {
        /// Whose program it is.
        service: ServiceName,
        /// As it was named.
        program: String,
    },
}

impl PackError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::TooMany(most) | Self::TooLarge(most) => match most.path.to_str() {
                Some(path) if !path.is_empty() => format!(
                    "if the app does not need it to run, add a line /{path} to .gitignore or \
                     .roadbedignore; what it keeps beyond a release belongs in a volume"
                ),
                _ => {
                    "name what the app does not need to run in .gitignore or .roadbedignore".into()
                }
            },
            Self::Walk(_) | Self::Unreadable(..) => {
                "let whoever deploys read it, or leave it out with .roadbedignore".into()
            }
            Self::Changes(path) => format!(
                "deploy when nothing writes to it, or leave it out: a line /{path} in .roadbedignore"
            ),
            Self::NotText(_) | Self::Path(..) | Self::Manifest(_) => {
                "rename it, or leave it out with .roadbedignore".into()
            }
            Self::NotThere { .. } => "make it, have `build` make it, or do not name it".into(),
            Self::Outside { .. } => "put what is to be in the release into the app's folder".into(),
            Self::NoProgram { .. } => "have `build` make it, or name another program".into(),
            Self::ProgramNotExecutable { file, .. } => format!("run: chmod +x {}", file.display()),
            Self::ProgramOutside { .. } => {
                "put it into the folder, or name it by its absolute path".into()
            }
        }
    }
}

fn place(most: &Most, of_what: &str) -> String {
    match most.path.as_os_str().is_empty() {
        true => String::new(),
        false => format!(
            ", {} % {of_what} in {}",
            most.there.saturating_mul(100) / most.all.max(1),
            most.path.display()
        ),
    }
}
