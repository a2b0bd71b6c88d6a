//! What the files say that an app names as pages of errors. They are read when it is deployed, and
//! what they said then is part of the release: what is shown must not depend on files that may be
//! half written or gone, least of all when something is wrong already.

use std::path::Path;

use model::error_pages::{LONGEST_PAGE, MOST_PAGE_BYTES};
use model::{App, ErrorPage, ErrorPages, FilePath, PageText};

use crate::credentials::{Expected, FileProblem, NamedFile, read_text};

/// What is read: a page, whichever kind it is.
const A_PAGE: Expected = Expected {
    largest: LONGEST_PAGE as u64,
    name_one: "name a file that has the page",
    not_text: "it is not UTF-8 text",
    make_text: "save it as UTF-8",
};

/// The pages of an app in `folder`, or everything that is wrong with their files. It waits for the
/// disk.
pub(crate) fn read_all(app: &App, folder: &Path) -> Result<ErrorPages<PageText>, Vec<FileProblem>> {
    let mut pages = ErrorPages::default();
    let mut problems = Vec::new();
    let mut bytes = 0;
    for (status, named) in &app.error_pages.0 {
        let mut read = |file: &Option<FilePath>| -> Option<PageText> {
            let file = NamedFile::new(file.as_ref()?, folder);
            let text = read_text(&file, &A_PAGE);
            let text = text.map_err(|problem| problems.push(problem)).ok()?;
            bytes += text.len();
            if bytes > MOST_PAGE_BYTES {
                let most = MOST_PAGE_BYTES / 1024;
                problems.push(FileProblem::new(
                    &file,
                    format!("the pages have more than {most} KiB together"),
                    "one page can stand for all statuses of a class: 4xx, 5xx",
                ));
                return None;
            }
            // Longer ones were not read.
            PageText::new(&text).ok()
        };
        let page = ErrorPage {
            html: read(&named.html),
            json: read(&named.json),
            services: named.services,
        };
        pages.0.insert(*status, page);
    }
    match problems.is_empty() {
        true => Ok(pages),
        false => Err(problems),
    }
}

/// What is wrong with their files before the app is built: what a `build` may yet make can be absent. It
/// waits for the disk.
pub(crate) fn file_problems(app: &App, folder: &Path) -> Vec<FileProblem> {
    let builds = app.services.values().any(|service| service.build.is_some());
    let mut problems = read_all(app, folder).err().unwrap_or_default();
    problems.retain(|problem| !(builds && problem.may_be_built()));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ErrorStatus;

    fn app(pages: &str) -> App {
        let text = format!("app = \"a\"\n[services.web]\nrun = \"x\"\n[error_pages]\n{pages}");
        spec::parse("roadbed.toml", &text).unwrap()
    }

    fn problems(app: &App, folder: &Path) -> Vec<String> {
        let problems = read_all(app, folder).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_files_say_is_read_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes);
        write("a.html", b"<p>{{status}}</p>").unwrap();
        write("a.json", b"{}").unwrap();
        let both = app("5xx = { html = \"a.html\", json = \"a.json\", services = true }");
        let pages = read_all(&both, folder.path()).unwrap();
        let page = &pages.0[&ErrorStatus::Class(5)];
        let text = |page: &Option<PageText>| page.as_ref().unwrap().as_str().to_owned();
        assert_eq!(text(&page.html), "<p>{{status}}</p>");
        assert_eq!((text(&page.json), page.services), ("{}".into(), true));

        write("big.html", &[b'x'; LONGEST_PAGE + 1]).unwrap();
        write("latin.html", b"caf\xe9").unwrap();
        let bad = app("404 = \"big.html\"\n405 = \"latin.html\"\n406 = \"none.html\"");
        let missing = folder.path().join("none.html");
        assert_eq!(
            problems(&bad, folder.path()),
            [
                "big.html: it has more than 64 KiB".to_owned(),
                "latin.html: it is not UTF-8 text".to_owned(),
                format!("none.html: there is no {}", missing.display()),
            ]
        );
    }

    #[test]
    fn together_they_are_bounded_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.html"), [b'x'; LONGEST_PAGE]).unwrap();
        let pages = |count| {
            let lines = (0..count).map(|n| format!("{} = \"a.html\"\n", 400 + n));
            app(&lines.collect::<String>())
        };
        assert!(read_all(&pages(4), folder.path()).is_ok());
        assert_eq!(
            problems(&pages(5), folder.path()),
            ["a.html: the pages have more than 256 KiB together"]
        );
    }
}
