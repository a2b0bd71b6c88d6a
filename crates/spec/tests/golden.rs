//! What valid files mean, and how the problems of invalid ones read. Every file in `valid` and
//! `invalid` is a case, and one that the fuzz target `spec` begins with; review changed goldens with
//! `cargo insta review`.

use std::collections::BTreeSet;
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

/// The names of all keys below `schema`.
fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(|it| it.as_object()) {
        found.extend(properties.keys().cloned());
    }
    match schema {
        serde_json::Value::Object(parts) => parts.values().for_each(|part| keys(part, found)),
        serde_json::Value::Array(parts) => parts.iter().for_each(|part| keys(part, found)),
        _ => {}
    }
}

/// The names of all keys below `value`.
fn used(value: &toml::Value, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                found.insert(key.clone());
                used(value, found);
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| used(value, found)),
        _ => {}
    }
}

#[test]
fn each_key_is_in_a_valid_file() {
    let schema = include_str!("../../../docs/roadbed.schema.json");
    let (mut all, mut seen) = (BTreeSet::new(), BTreeSet::new());
    keys(&serde_json::from_str(schema).unwrap(), &mut all);
    for path in files("valid") {
        let source = fs::read_to_string(&path).unwrap();
        used(&toml::Value::Table(source.parse().unwrap()), &mut seen);
    }
    assert!(all.len() > 50, "the schema has keys: {all:?}");
    let missing: Vec<_> = all.difference(&seen).collect();
    assert!(missing.is_empty(), "in no file of `valid`: {missing:?}");
}
