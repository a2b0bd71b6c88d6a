//! Services that are a folder of files, which the proxy serves itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::fields::FieldValue;
use crate::file_path::FilePath;

/// What does the work of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Instances of this program.
    Run(Command),
    /// The proxy, from these files. There are no instances.
    Static(StaticFiles),
}

impl Work {
    /// The program of an instance, where there are instances.
    pub fn command(&self) -> Option<&Command> {
        match self {
            Self::Run(command) => Some(command),
            Self::Static(_) => None,
        }
    }

    /// The files, where it is a folder of files.
    pub fn files(&self) -> Option<&StaticFiles> {
        match self {
            Self::Run(_) => None,
            Self::Static(files) => Some(files),
        }
    }
}

/// A folder of an app whose files are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticFiles {
    /// The folder, below that of the app.
    pub folder: FilePath,
    /// What is served in place of a page that is not there, below the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FilePath>,
    /// How long others may keep the files: the value of `Cache-Control`.
    pub cache_control: FieldValue,
}

/// The files of a service as a proxy serves them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedFiles {
    /// The folder of the release's files, absolute.
    pub app_folder: PathBuf,
    /// What is served of it.
    #[serde(flatten)]
    pub files: StaticFiles,
}

impl ServedFiles {
    /// The folder, absolute.
    pub fn root(&self) -> PathBuf {
        self.files.folder.within(&self.app_folder)
    }
}
