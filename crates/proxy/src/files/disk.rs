//! Finding and reading files. Whatever a path says and wherever links lead, nothing outside of the
//! folder is opened: the kernel itself resolves names within it (openat2, `RESOLVE_BENEATH`).

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use super::content_type;
use super::path::Wanted;
use crate::http::accept_encoding::Coding;

/// What a folder shows of itself.
const INDEX: &[u8] = b"index.html";
/// How often a name is looked up again that is being moved at that moment.
const ATTEMPTS: usize = 8;

/// How far to go for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// What the kernel has in memory, else [`io::ErrorKind::WouldBlock`].
    Memory,
    /// The disk, however long that takes.
    Disk,
}

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) root: std::path::PathBuf,
    pub(super) wanted: Wanted,
    /// What stands in for a page that is not there, below the root.
    pub(super) fallback: Option<Vec<u8>>,
    /// The codings that the client takes, the best first.
    pub(super) codings: Vec<Coding>,
}

/// What there is.
#[derive(Debug)]
pub(super) enum Found {
    /// A file.
    File(Box<FoundFile>),
    /// A folder with a page, which was asked for without the slash at its end.
    Folder,
    /// Nothing.
    Nothing,
}

/// A file that can be sent.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub(super) file: File,
    pub(super) length: u64,
    /// When it was changed last: whole seconds and the rest.
    pub(super) modified: (SystemTime, u64),
    /// What the content is, whatever it is stored in.
    pub(super) content: content_type::ContentType,
    /// What it is stored in.
    pub(super) coding: Option<Coding>,
}

impl Search {
    /// Looks for it.
    ///
    /// # Errors
    /// The kernel says why not.
    pub(super) fn find(&self, effort: Effort) -> io::Result<Found> {
        let Some(root) = open_root(&self.root, effort)? else {
            return Ok(Found::Nothing);
        };
        let found = self.find_page(&root, effort)?;
        let (Found::Nothing, Some(fallback)) = (&found, &self.fallback) else {
            return Ok(found);
        };
        let name = self.wanted.path.rsplit(|&byte| byte == b'/').next();
        if name.unwrap_or_default().contains(&b'.') {
            // A script or a picture that is missing is better missed than taken for a page.
            return Ok(found);
        }
        self.find_file(&root, fallback, effort)
    }

    fn find_page(&self, root: &OwnedFd, effort: Effort) -> io::Result<Found> {
        let Wanted { path, is_folder } = &self.wanted;
        let index = |path: &[u8]| match path {
            [] => INDEX.to_vec(),
            path => [path, b"/", INDEX].concat(),
        };
        if *is_folder {
            return self.find_file(root, &index(path), effort);
        }
        match self.find_file(root, path, effort)? {
            Found::Folder => Ok(match open(root, &index(path), effort)? {
                Some(file) if is_file(&file)? => Found::Folder,
                _ => Found::Nothing,
            }),
            found => Ok(found),
        }
    }

    /// The file at `path`, or one beside it that has the same in a coding that the client takes.
    fn find_file(&self, root: &OwnedFd, path: &[u8], effort: Effort) -> io::Result<Found> {
        let Some(file) = open(root, path, effort)? else {
            return Ok(Found::Nothing);
        };
        let content = content_type::of(path);
        let plain = match describe(file, content, None)? {
            Ok(plain) => plain,
            Err(FileType::Directory) => return Ok(Found::Folder),
            Err(_) => return Ok(Found::Nothing),
        };
        let codings = match content.is_compressible {
            true => &self.codings[..],
            false => &[],
        };
        for coding in codings {
            let name = [path, coding.suffix().as_bytes()].concat();
            if let Some(file) = open(root, &name, effort)?
                && let Ok(coded) = describe(file, content, Some(*coding))?
                // One that is older is of what the file was before.
                && coded.modified >= plain.modified
            {
                return Ok(Found::File(Box::new(coded)));
            }
        }
        Ok(Found::File(Box::new(plain)))
    }
}

/// What `file` is, or which other kind of thing.
fn describe(
    file: File,
    content: content_type::ContentType,
    coding: Option<Coding>,
) -> io::Result<Result<FoundFile, FileType>> {
    let status = fstat(&file)?;
    let kind = FileType::from_raw_mode(status.st_mode);
    if kind != FileType::RegularFile {
        return Ok(Err(kind));
    }
    let seconds = Duration::from_secs(u64::try_from(status.st_mtime).unwrap_or_default());
    Ok(Ok(FoundFile {
        file,
        length: u64::try_from(status.st_size).unwrap_or_default(),
        modified: (
            SystemTime::UNIX_EPOCH + seconds,
            status.st_mtime_nsec as u64,
        ),
        content,
        coding,
    }))
}

fn is_file(file: &File) -> io::Result<bool> {
    let status = fstat(file)?;
    Ok(FileType::from_raw_mode(status.st_mode) == FileType::RegularFile)
}

/// The folder itself. It is opened by name for each request: a build may have put another in its
/// place.
fn open_root(root: &Path, effort: Effort) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    look_up(effort, |resolve| {
        openat2(CWD, root, flags, Mode::empty(), resolve)
    })
}

/// What there is at `path` below `root`.
fn open(root: &OwnedFd, path: &[u8], effort: Effort) -> io::Result<Option<File>> {
    // To open a pipe must not wait for whoever writes into it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = look_up(effort, |resolve| {
        openat2(root, path, flags, Mode::empty(), resolve | beneath)
    })?;
    Ok(file.map(File::from))
}

/// What `open` opens; none where there is nothing that may be seen.
fn look_up(
    effort: Effort,
    open: impl Fn(ResolveFlags) -> rustix::io::Result<OwnedFd>,
) -> io::Result<Option<OwnedFd>> {
    let resolve = match effort {
        Effort::Memory => ResolveFlags::CACHED,
        Effort::Disk => ResolveFlags::empty(),
    };
    for _ in 0..ATTEMPTS {
        return match open(resolve) {
            Ok(file) => Ok(Some(file)),
            // It is not there, is no folder, leads out of the folder (XDEV) or in a circle, or is a
            // socket (NXIO).
            Err(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::XDEV
                | Errno::LOOP
                | Errno::NAMETOOLONG
                | Errno::NXIO,
            ) => Ok(None),
            // A kernel before 5.12 does not know of memory.
            Err(Errno::AGAIN | Errno::INVAL) if effort == Effort::Memory => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Reads what there is at `place` into `bytes`, from its beginning; how much that was.
pub(super) fn read(
    file: &impl AsFd,
    bytes: &mut [u8],
    place: u64,
    effort: Effort,
) -> io::Result<usize> {
    loop {
        let read = match effort {
            Effort::Disk => pread(file, &mut *bytes, place),
            Effort::Memory => {
                let mut into = [IoSliceMut::new(bytes)];
                preadv2(file, &mut into, place, ReadWriteFlags::NOWAIT)
            }
        };
        return match read {
            Ok(count) => Ok(count),
            Err(Errno::INTR) => continue,
            // Some file systems do not know how not to wait.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
                if effort == Effort::Memory =>
            {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(error) => Err(error.into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::path::wanted;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn search(root: &Path, path: &str) -> Search {
        Search {
            root: root.to_owned(),
            wanted: wanted(path.as_bytes()).unwrap(),
            fallback: None,
            codings: Vec::new(),
        }
    }

    fn content(search: &Search) -> Option<String> {
        match search.find(Effort::Disk).unwrap() {
            Found::File(found) => {
                let mut bytes = vec![0; found.length as usize];
                read(&found.file, &mut bytes, 0, Effort::Disk).unwrap();
                Some(String::from_utf8(bytes).unwrap())
            }
            Found::Folder | Found::Nothing => None,
        }
    }

    #[test]
    fn links_are_followed_within_the_folder_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("public");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(root.join("sub/a"), "a").unwrap();
        symlink("sub/a", root.join("within")).unwrap();
        symlink("../sub/a", root.join("sub/up")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(folder.path().join("secret"), root.join("absolute")).unwrap();
        symlink("..", root.join("above")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("circle", root.join("circle")).unwrap();
        let get = |path| content(&search(&root, path));
        for path in ["/sub/a", "/within", "/sub/up"] {
            assert_eq!(get(path).as_deref(), Some("a"), "{path}");
        }
        for path in [
            "/out",
            "/absolute",
            "/above/secret",
            "/magic/etc/passwd",
            "/circle",
            "/sub/a/b",
            "/none",
            "/sub",
        ] {
            assert_eq!(get(path), None, "{path}");
        }
        assert!(content(&search(&folder.path().join("gone"), "/a")).is_none());
    }

    #[test]
    fn pipes_and_devices_are_no_files_and_do_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(content(&search(folder.path(), "/pipe")), None);
    }

    #[test]
    fn a_file_beside_it_is_taken_if_its_coding_is_and_it_is_not_older() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        for name in ["a.js", "a.js.gz", "a.js.br", "b.png", "b.png.gz"] {
            write(name);
        }
        let coded = |path: &str, codings: &[Coding]| {
            let codings = codings.to_vec();
            content(&Search {
                codings,
                ..search(folder.path(), path)
            })
            .unwrap()
        };
        let all = [Coding::Zstd, Coding::Gzip, Coding::Brotli];
        assert_eq!(coded("/a.js", &all), "a.js.gz");
        assert_eq!(coded("/a.js", &[Coding::Brotli]), "a.js.br");
        assert_eq!(coded("/a.js", &[]), "a.js");
        assert_eq!(coded("/b.png", &all), "b.png");
        let later = SystemTime::now() + Duration::from_secs(5);
        let file = File::options().write(true).open(folder.path().join("a.js"));
        file.unwrap().set_modified(later).unwrap();
        assert_eq!(coded("/a.js", &all), "a.js");
    }

    #[test]
    fn folders_show_their_page_and_the_fallback_stands_for_pages_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sub/empty")).unwrap();
        for name in ["index.html", "sub/index.html"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let with = |path: &str, fallback: Option<&[u8]>| Search {
            fallback: fallback.map(<[u8]>::to_vec),
            ..search(folder.path(), path)
        };
        assert_eq!(content(&with("/", None)).as_deref(), Some("index.html"));
        assert_eq!(
            content(&with("/sub/", None)).as_deref(),
            Some("sub/index.html")
        );
        let found = |path| with(path, None).find(Effort::Disk).unwrap();
        assert!(matches!(found("/sub"), Found::Folder));
        assert!(matches!(found("/sub/empty"), Found::Nothing));
        assert!(matches!(found("/sub/empty/"), Found::Nothing));
        let fallback = Some(&b"index.html"[..]);
        assert_eq!(
            content(&with("/users/1", fallback)).as_deref(),
            Some("index.html")
        );
        assert_eq!(content(&with("/app.1.js", fallback)), None);
    }

    #[test]
    fn what_is_in_memory_is_read_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "0123456789").unwrap();
        // It has just been looked up and written, so the kernel has it; where it does not say so,
        // the caller is told to go on elsewhere.
        let search = search(folder.path(), "/a");
        assert!(content(&search).is_some());
        match search.find(Effort::Memory) {
            Ok(Found::File(found)) => {
                let mut bytes = [0; 4];
                match read(&found.file, &mut bytes, 8, Effort::Memory) {
                    Ok(count) => assert_eq!(&bytes[..count], b"89"),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}
