//! What the files say that apps name for TLS: certificates of hosts with their keys, and the
//! authorities of instances. They are read and checked here, before a deploy and whenever they
//! change.

mod authority;
mod certificate;
mod file;
mod pem;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::{App, Authority, Certificate, Credentials, FilePath, Host, ServiceName};

pub(crate) use file::{Expected, read_text};
pub(crate) use watch::{Found, Watched, Watcher};

/// What one service names files for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The certificate of a host and its key.
    Certificate {
        host: Host,
        certificate: NamedFile,
        key: NamedFile,
    },
    /// Who may have signed the certificates of the service's instances.
    Authority { roots: NamedFile },
}

/// A file as it is named, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedFile {
    pub(crate) named: FilePath,
    pub(crate) path: PathBuf,
}

impl NamedFile {
    pub(crate) fn new(named: &FilePath, folder: &Path) -> Self {
        Self {
            named: named.clone(),
            path: named.within(folder),
        }
    }
}

/// What the files of a source say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Certificate(Certificate),
    Authority(Authority),
}

/// A file that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileProblem {
    file: FilePath,
    problem: String,
    hint: String,
    is_missing: bool,
}

impl FileProblem {
    pub(crate) fn new(
        file: &NamedFile,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            file: file.named.clone(),
            problem: problem.into(),
            hint: hint.into(),
            is_missing: false,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// Whether it is a file below the app's folder that is not there, and that a build may yet make.
    pub(crate) fn may_be_built(&self) -> bool {
        self.is_missing && !self.file.as_str().starts_with('/')
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.problem)
    }
}

/// That not all of a file is there.
fn cut_short(file: &NamedFile) -> FileProblem {
    FileProblem::new(
        file,
        "a certificate in it is cut short",
        "write it whole, to another file first, and rename that",
    )
}

/// All that an app in `folder` names files for, by service.
pub(crate) fn sources(app: &App, folder: &Path) -> Vec<(ServiceName, Source)> {
    let mut sources = Vec::new();
    for (name, service) in &app.services {
        let exposure = service.expose.as_ref();
        if let Some((exposure, files)) = exposure.and_then(|e| Some((e, e.certificate.as_ref()?))) {
            let source = Source::Certificate {
                host: exposure.host.clone(),
                certificate: NamedFile::new(&files.certificate, folder),
                key: NamedFile::new(&files.key, folder),
            };
            // Several exposures of a host name the same files.
            if !sources.iter().any(|(_, other)| *other == source) {
                sources.push((name.clone(), source));
            }
        }
        if let Some(tls) = &service.tls {
            let roots = NamedFile::new(&tls.authority, folder);
            sources.push((name.clone(), Source::Authority { roots }));
        }
    }
    sources
}

impl Source {
    /// Reads the files and checks what they say, as of `now`.
    fn read(&self, now: SystemTime) -> Result<Read, FileProblem> {
        match self {
            Self::Certificate {
                host,
                certificate,
                key,
            } => certificate::read(host, certificate, key, now).map(Read::Certificate),
            Self::Authority { roots } => authority::read(roots).map(Read::Authority),
        }
    }

    /// The files.
    fn files(&self) -> impl Iterator<Item = &NamedFile> {
        let (first, second) = match self {
            Self::Certificate {
                certificate, key, ..
            } => (certificate, Some(key)),
            Self::Authority { roots } => (roots, None),
        };
        std::iter::once(first).chain(second)
    }
}

/// What the files of an app in `folder` say, or everything that is wrong with them. It waits for
/// the disk.
pub(crate) fn read_all(app: &App, folder: &Path) -> Result<Credentials, Vec<FileProblem>> {
    let now = SystemTime::now();
    let mut credentials = Credentials::default();
    let mut problems = Vec::new();
    for (service, source) in sources(app, folder) {
        match source.read(now) {
            Ok(read) => put(&mut credentials, &service, read),
            Err(problem) => problems.push(problem),
        }
    }
    match problems.is_empty() {
        true => Ok(credentials),
        false => Err(problems),
    }
}

/// What is wrong with the files that an app in `folder` names, before it is built: what a `build`
/// may yet make can be absent. It waits for the disk.
pub(crate) fn file_problems(app: &App, folder: &Path) -> Vec<FileProblem> {
    let builds = app.services.values().any(|service| service.build.is_some());
    let mut problems = read_all(app, folder).err().unwrap_or_default();
    problems.retain(|problem| !(builds && problem.may_be_built()));
    problems
}

/// Puts what was read for `service` in its place.
pub(crate) fn put(credentials: &mut Credentials, service: &ServiceName, read: Read) {
    match read {
        Read::Certificate(certificate) => {
            let host = certificate.host.clone();
            credentials.certificates.insert(host, certificate);
        }
        Read::Authority(authority) => {
            credentials.authorities.insert(service.clone(), authority);
        }
    }
}

/// What is kept for a source of `service`.
fn kept(credentials: &Credentials, service: &ServiceName, source: &Source) -> Option<Read> {
    match source {
        Source::Certificate { host, .. } => {
            let certificate = credentials.certificates.get(host)?;
            Some(Read::Certificate(certificate.clone()))
        }
        Source::Authority { .. } => {
            let authority = credentials.authorities.get(service)?;
            Some(Read::Authority(authority.clone()))
        }
    }
}
