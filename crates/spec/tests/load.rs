//! Reading from disk: where the file is looked for, and what only the disk can tell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use spec::{LoadError, load};
use tempfile::TempDir;

/// A folder with an app of two services, one of them with the `run` and keys given.
fn folder(web: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("app = \"shop\"\n[services.db]\nrun = \"db\"\n[services.web]\n{web}\n");
    fs::write(folder.path().join("roadbed.toml"), source).unwrap();
    folder
}

fn add_program(folder: &Path, name: &str, mode: u32) {
    let path = folder.join(name);
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The message and line of the only problem.
fn problem(folder: &Path) -> (String, usize) {
    match load(folder) {
        Err(LoadError::Invalid(problems)) => {
            assert_eq!(problems.problems.len(), 1, "{}", problems.render(false));
            (
                problems.problems[0].message.clone(),
                problems.problems[0].line,
            )
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_or_its_file_can_be_named() {
    let folder = folder("run = \"./web\"");
    add_program(folder.path(), "web", 0o755);
    let canonical = fs::canonicalize(folder.path()).unwrap();
    for path in [folder.path().to_owned(), folder.path().join("roadbed.toml")] {
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.folder, canonical);
        assert_eq!(loaded.file, canonical.join("roadbed.toml"));
        assert_eq!(loaded.app.services.len(), 2);
        assert!(loaded.source.starts_with("app = "));
    }
}

#[test]
fn a_missing_file_is_told_with_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    for path in [empty.path().to_owned(), empty.path().join("x/y.toml")] {
        let error = load(&path).unwrap_err();
        assert!(matches!(error, LoadError::Missing { .. }), "{error:?}");
        assert!(error.to_string().contains("hint: "), "{error}");
    }
    let file = empty.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        load(&file.join("below")),
        Err(LoadError::Missing { .. })
    ));
}

#[test]
fn what_is_no_text_file_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().join("roadbed.toml");
    fs::write(&path, b"app = \"a\"\nx = \"\xff\"").unwrap();
    assert!(matches!(
        load(&path),
        Err(LoadError::NotText { line: 2, .. })
    ));
    fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(matches!(load(&path), Err(LoadError::TooLarge { .. })));
    assert!(matches!(
        load(Path::new("/dev/zero")),
        Err(LoadError::NotAFile { .. })
    ));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(
        load(empty.path()),
        Err(LoadError::NotAFile { .. })
    ));
}

#[test]
fn problems_of_the_text_name_the_file_as_it_was_named() {
    let folder = folder("");
    let Err(LoadError::Invalid(problems)) = load(folder.path()) else {
        panic!("it is valid")
    };
    let path = folder.path().join("roadbed.toml");
    assert_eq!(problems.file, path.display().to_string());
    assert!(
        problems
            .render(false)
            .contains(&format!("{}:4:11", path.display()))
    );
}

#[test]
fn a_program_that_no_build_makes_has_to_be_there() {
    let folder = folder("run = \"./web\"");
    let (message, line) = problem(folder.path());
    assert!(
        message.starts_with("there is no \"./web\" in /"),
        "{message}"
    );
    assert_eq!(line, 5);
    add_program(folder.path(), "web", 0o644);
    assert_eq!(problem(folder.path()).0, "\"./web\" is not executable");
}

#[test]
fn a_program_that_a_build_makes_can_be_absent() {
    let folder = folder("run = \"target/web\"\nbuild = \"make\"");
    load(folder.path()).unwrap();
}

#[test]
fn a_folder_is_never_a_program() {
    let folder = folder("run = [\"bin/\"]\nbuild = \"make\"");
    fs::create_dir(folder.path().join("bin")).unwrap();
    assert_eq!(problem(folder.path()), ("\"bin/\" is a folder".into(), 5));
}

#[test]
fn bare_names_and_variables_are_left_to_the_start() {
    for run in ["no-such-program", "$HOME/no-such-program", "/bin/sh"] {
        let folder = folder(&format!("run = {run:?}"));
        load(folder.path()).unwrap();
    }
}

#[test]
fn files_for_tls_have_to_be_there_unless_a_build_makes_them() {
    let files = "expose = { host = \"a.example\", certificate = \"tls/a.pem\", key = \"a.key\" }";
    let tls = "tls = { authority = \"/no/such/ca.pem\" }";
    let web = |lines: &str| format!("run = \"web\"\n{lines}");

    let bare = folder(&web(&format!("{files}\n{tls}")));
    fs::write(bare.path().join("a.key"), "").unwrap();
    let Err(LoadError::Invalid(problems)) = load(bare.path()) else {
        panic!("it is valid")
    };
    let found: Vec<_> = problems
        .problems
        .iter()
        .map(|problem| (problem.message.clone(), problem.line, problem.column))
        .collect();
    let certificate = fs::canonicalize(bare.path()).unwrap().join("tls/a.pem");
    let expected = [
        (format!("there is no {}", certificate.display()), 6, 46),
        ("there is no /no/such/ca.pem".to_owned(), 7, 21),
    ];
    assert_eq!(found, expected);

    let built = folder(&web(&format!("{files}\nbuild = \"make\"")));
    load(built.path()).unwrap();
    fs::create_dir(built.path().join("a.key")).unwrap();
    let (message, line) = problem(built.path());
    assert_eq!(
        (message.as_str(), line),
        ("\"a.key\" is not a regular file", 6)
    );
}

#[test]
fn pages_of_errors_have_so_much_together() {
    let longest = "x".repeat(model::error_pages::LONGEST_PAGE);
    let folder_of = |count: usize, rest: &str| {
        let pages = (0..count).map(|number| format!("{} = \"a.html\"\n", 400 + number));
        let pages: String = pages.collect();
        let folder = folder(&format!("run = \"web\"\n[error_pages]\n{pages}{rest}"));
        fs::write(folder.path().join("a.html"), &longest).unwrap();
        fs::write(folder.path().join("b.html"), "x").unwrap();
        fs::write(folder.path().join("empty.html"), "").unwrap();
        folder
    };
    load(folder_of(4, "500 = \"empty.html\"").path()).unwrap();
    // Told once, where it is too much.
    let (message, line) = problem(folder_of(4, "500 = \"b.html\"\n501 = \"b.html\"").path());
    assert_eq!(
        (message.as_str(), line),
        ("up to here the pages have more than 256 KiB together", 11)
    );
}
