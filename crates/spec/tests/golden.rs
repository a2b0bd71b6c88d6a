//! What valid files mean, and how the problems of invalid ones read. Every file in `valid` and
//! `invalid` is a case; review changed goldens with `cargo insta review`.

use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {}", folder.display());
    files
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn valid_files() {
    for path in files("valid") {
        let source = fs::read_to_string(&path).unwrap();
        let app = spec::parse(stem(&path), &source)
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        insta::assert_json_snapshot!(format!("valid_{}", stem(&path)), app);
    }
}

#[test]
fn invalid_files() {
    for path in files("invalid") {
        let source = fs::read_to_string(&path).unwrap();
        let problems = spec::parse("roadbed.toml", &source).expect_err(stem(&path));
        insta::assert_snapshot!(format!("invalid_{}", stem(&path)), problems.render(false));
    }
}
