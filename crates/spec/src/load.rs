//! Reading an app from disk, with the checks that need the disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::error_pages::{LONGEST_PAGE, MOST_PAGE_BYTES};
use model::{App, Command, FilePath, ServiceName};

use crate::findings::{Findings, quoted};
use crate::limits::MOST_BYTES;
use crate::problem::Problems;
use crate::validate::Valid;

/// The name of the file that makes a folder an app.
pub const FILE_NAME: &str = "roadbed.toml";

/// An app that was read from disk.
#[derive(Debug)]
pub struct Loaded {
    /// The app.
    pub app: App,
    /// The app's folder, absolute and canonical.
    pub folder: PathBuf,
    /// The file that declares it, in that folder.
    pub file: PathBuf,
    /// The file's text.
    pub source: String,
}

/// Why no app was read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no file.
    #[error(
        "there is no {}\n\
         hint: name the folder of an app, or its roadbed.toml", path.display()
    )]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// There is something, but it could not be read.
    #[error("cannot read {}: {error}\nhint: check the permissions of the file and the folders above it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// It is not a regular file.
    #[error("{} is not a regular file\nhint: name the folder of an app, or its roadbed.toml", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// It is too large to be meant.
    #[error(
        "{} is larger than {} KiB, the most that is read\n\
         hint: is this the right file?", path.display(), MOST_BYTES / 1024
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not text.
    #[error("{}:{line}: not UTF-8 text, which TOML has to be\nhint: save the file as UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first line that is not text, counted from 1.
        line: usize,
    },
    /// It was read, and something in it is wrong.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// Reads the app at `path`: its folder, or its file whatever its name.
///
/// # Errors
///
/// Where the file cannot be read, or for everything that is wrong in it.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let named = if path.is_dir() {
        path.join(FILE_NAME)
    } else {
        path.to_owned()
    };
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => LoadError::Missing {
            path: named.clone(),
        },
        _ => LoadError::Unreadable {
            path: named.clone(),
            error,
        },
    };
    let source = read(&named, &unreadable)?;
    // The folder is where the file was named, not where a link may lead.
    let parent = match named.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = fs::canonicalize(parent).map_err(&unreadable)?;
    let file = folder.join(named.file_name().unwrap_or_default());

    let shown = named.display().to_string();
    let Valid {
        app,
        programs,
        files,
        folders,
        pages,
        included,
    } = crate::read(&shown, &source)?;
    let mut findings = Findings::default();
    let builds = app.services.values().any(|service| service.build.is_some());
    for (name, span) in programs {
        if let Some((message, hint)) = program_problem(&folder, words(&app, &name), builds) {
            findings.add(span, message).hint(hint);
        }
    }
    for (path, span) in files.named() {
        if let Some((message, hint)) = file_problem(&folder, path, builds) {
            findings.add(span.clone(), message).hint(hint);
        }
    }
    for (path, span) in folders.named() {
        if let Some((message, hint)) = folder_problem(&folder, path, builds) {
            findings.add(span.clone(), message).hint(hint);
        }
    }
    let mut bytes = 0;
    for (path, span) in pages.named() {
        let within = bytes <= MOST_PAGE_BYTES;
        match page_length(&folder, path, builds) {
            Ok(length) => bytes += length,
            Err((message, hint)) => {
                findings.add(span.clone(), message).hint(hint);
            }
        }
        if within && bytes > MOST_PAGE_BYTES {
            let most = MOST_PAGE_BYTES / 1024;
            let message = format!("up to here the pages have more than {most} KiB together");
            let hint = "one page can stand for all statuses of a class: 4xx, 5xx".to_owned();
            findings.add(span.clone(), message).hint(hint);
        }
    }
    for (path, span) in included.named() {
        let is_there = fs::symlink_metadata(path.within(&folder)).is_ok();
        if !is_there && !builds {
            let message = format!("there is no {}", path.within(&folder).display());
            let hint = "make it, or say how with `build`".to_owned();
            findings.add(span.clone(), message).hint(hint);
        }
    }
    if !findings.is_empty() {
        return Err(Problems::new(&shown, &source, findings).into());
    }
    Ok(Loaded {
        app,
        folder,
        file,
        source,
    })
}

/// The words of a service's command; none where it is a folder of files.
fn words<'a>(app: &'a App, service: &ServiceName) -> &'a [String] {
    let command = app.services[service].work.command();
    command.map(Command::words).unwrap_or_default()
}

fn read(path: &Path, unreadable: &dyn Fn(io::Error) -> LoadError) -> Result<String, LoadError> {
    // Asked before opening: to open a pipe would wait for whoever writes into it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(LoadError::TooLarge {
            path: path.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good]
            .iter()
            .filter(|&&b| b == b'\n')
            .count()
            + 1;
        LoadError::NotText {
            path: path.to_owned(),
            line,
        }
    })
}

/// What the disk says against the program of a command, with a hint. A program that a `build` may
/// yet make can be absent, whichever service has the `build`.
fn program_problem(folder: &Path, words: &[String], builds: bool) -> Option<(String, String)> {
    let program = words.first()?.as_str();
    let is_path = program.contains('/') || program == ".";
    if !is_path || program.contains('$') {
        return None; // looked up on PATH, or known only when an instance starts
    }
    let shown = quoted(program);
    match fs::metadata(folder.join(program)) {
        Ok(found) if found.is_dir() => Some((
            format!("{shown} is a folder"),
            "name a program in it".into(),
        )),
        Ok(found) if !builds && found.permissions().mode() & 0o111 == 0 => {
            // It can be run as it stands, from whatever folder, and whatever is in its name.
            let file: PathBuf = folder.join(program).components().collect();
            let words = ["chmod", "+x", &file.to_string_lossy()].map(str::to_owned);
            let hint = match Command::new(words.into()) {
                Ok(command) => format!("run: {command}"),
                Err(_) => "make it executable".to_owned(),
            };
            Some((format!("{shown} is not executable"), hint))
        }
        Ok(_) => None,
        Err(_) if builds => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let hint = "build it first, or say how with `build`".into();
            Some((format!("there is no {shown} in {}", folder.display()), hint))
        }
        Err(error) => {
            let hint = "check the permissions of the folders above it".into();
            Some((format!("{shown} cannot be looked at: {error}"), hint))
        }
    }
}

/// What the disk says against a folder whose files are served, with a hint. One that a `build` may yet
/// make can be absent.
fn folder_problem(folder: &Path, path: &FilePath, builds: bool) -> Option<(String, String)> {
    let shown = quoted(path.as_str());
    let full = path.within(folder);
    match fs::read_dir(&full) {
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => (!builds).then(|| {
            let hint = "make it, or say how with `build`".into();
            (format!("there is no {}", full.display()), hint)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let hint = "name the folder that it is in".into();
            Some((format!("{shown} is not a folder"), hint))
        }
        Err(error) => {
            let hint = "let the user who runs the server read it".into();
            Some((format!("{shown} cannot be read: {error}"), hint))
        }
    }
}

/// How long the page of an error is, in bytes, or what the disk says against it, with a hint. One within
/// the app's folder that a `build` may yet make can be absent, and counts for nothing.
fn page_length(folder: &Path, path: &FilePath, builds: bool) -> Result<usize, (String, String)> {
    if let Some((message, _)) = file_problem(folder, path, builds) {
        let hint = "name a file that the user who runs the server can read".to_owned();
        return Err((message, hint));
    }
    let shown = quoted(path.as_str());
    let mut text = Vec::new();
    let read = File::open(path.within(folder))
        .and_then(|file| file.take(LONGEST_PAGE as u64 + 1).read_to_end(&mut text));
    match read {
        // One that is yet to be built.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err((
            format!("{shown} cannot be read: {error}"),
            "let the user who runs the server read it".to_owned(),
        )),
        Ok(_) if text.len() > LONGEST_PAGE => Err((
            format!(
                "{shown} has more than {} KiB, the most that a page can have",
                LONGEST_PAGE / 1024
            ),
            "serve its pictures and scripts beside it, and name them in it".to_owned(),
        )),
        Ok(_) if std::str::from_utf8(&text).is_err() => Err((
            format!("{shown} is not UTF-8 text"),
            "save it as UTF-8".to_owned(),
        )),
        Ok(length) => Ok(length),
    }
}

/// What the disk says against a file that the server will read, with a hint. One within the app's
/// folder that a `build` may yet make can be absent. What is in it is looked at by the server, which
/// may be another user.
fn file_problem(folder: &Path, path: &FilePath, builds: bool) -> Option<(String, String)> {
    let shown = quoted(path.as_str());
    let full = path.within(folder);
    match fs::metadata(&full) {
        Ok(found) if !found.is_file() => Some((
            format!("{shown} is not a regular file"),
            "name a file in PEM".into(),
        )),
        Ok(_) => match File::open(&full) {
            Ok(_) => None,
            Err(error) => Some((
                format!("{shown} cannot be read: {error}"),
                "let the user who runs the server read it, and no others".into(),
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let may_be_built = builds && !path.as_str().starts_with('/');
            (!may_be_built).then(|| {
                let hint = "relative paths are those below the app's folder".into();
                (format!("there is no {}", full.display()), hint)
            })
        }
        Err(error) => {
            let hint = "check the permissions of the folders above it".into();
            Some((format!("{shown} cannot be looked at: {error}"), hint))
        }
    }
}
