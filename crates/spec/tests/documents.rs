//! The committed documents say what the code does: the reference page and the JSON Schema.

use std::fs;
use std::path::{Path, PathBuf};

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

fn read(name: &str) -> String {
    let path = document(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of a page: the line of each fence, what follows its backticks, and its text.
fn blocks(page: &str) -> Vec<(usize, String, String)> {
    let mut blocks: Vec<(usize, String, String)> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        if let Some(kind) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                blocks.push((number + 1, kind.to_owned(), String::new()));
            }
        } else if inside {
            let (_, _, text) = blocks.last_mut().unwrap();
            text.push_str(line);
            text.push('\n');
        }
    }
    assert!(!inside, "a block is not closed");
    blocks
}

#[test]
fn every_example_of_the_reference_does_what_it_shows() {
    let (mut valid, mut invalid) = (0, 0);
    for (line, kind, text) in blocks(&read("spec.md")) {
        let result = spec::parse(&format!("docs/spec.md, example at line {line}"), &text);
        match kind.as_str() {
            "toml" => {
                valid += 1;
                if let Err(problems) = result {
                    panic!("{}", problems.render(false));
                }
            }
            "toml,invalid" => {
                invalid += 1;
                assert!(result.is_err(), "the example at line {line} is valid");
            }
            "json" => {}
            other => panic!("line {line}: no test knows blocks of the kind {other:?}"),
        }
    }
    assert!(
        valid >= 8 && invalid >= 8,
        "{valid} valid and {invalid} invalid examples"
    );
}

#[test]
fn every_example_app_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files = fs::read_dir(&folder)
        .unwrap()
        .map(|app| app.unwrap().path().join("roadbed.toml"));
    let files: Vec<_> = files.filter(|file| file.exists()).collect();
    assert!(!files.is_empty(), "no apps in {}", folder.display());
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        if let Err(problems) = spec::parse(&file.display().to_string(), &source) {
            panic!("{}", problems.render(false));
        }
    }
}

#[test]
fn the_example_of_the_json_output_has_its_shape() {
    let page = read("spec.md");
    let (_, _, shown) = blocks(&page)
        .into_iter()
        .find(|(_, kind, _)| kind == "json")
        .unwrap();
    let source = "app = \"shop\"\n\n[services.web]\nrun = \"./web\"\nreplica = 2\n";
    let problems = spec::parse("roadbed.toml", source).unwrap_err();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(serde_json::to_value(problems).unwrap(), shown);
}

#[test]
fn every_key_is_in_the_reference() {
    let page = read("spec.md");
    let schema: serde_json::Value = serde_json::from_str(&spec::json_schema()).unwrap();
    let tables = [&schema, &schema["definitions"]["Service"]]
        .into_iter()
        .chain(
            [
                "Condition",
                "Connections",
                "ErrorPage",
                "Expose",
                "HeaderChanges",
                "Health",
                "Hedge",
                "Mirror",
                "Overload",
                "RateLimit",
                "Redirect",
                "Rewrite",
                "Route",
                "Share",
                "Static",
                "Sticky",
                "Tls",
            ]
            .map(|name| &schema["definitions"][name]),
        );
    let mut count = 0;
    for table in tables {
        for (key, about) in table["properties"].as_object().unwrap() {
            let row = [format!("| `{key}` |"), format!("| [`{key}`](#{key}) |")];
            let line = page
                .lines()
                .find(|line| row.iter().any(|row| line.starts_with(row)));
            let line = line.unwrap_or_else(|| panic!("docs/spec.md has no row for `{key}`"));
            let text = about["default"].to_string();
            let shown = !about["default"].is_null();
            // `timeout` is a key of two tables: either row will do.
            let rows = page
                .lines()
                .filter(|line| row.iter().any(|row| line.starts_with(row)));
            let mut defaults = rows.filter(|row| row.contains(&format!("`{text}`")));
            assert!(
                !shown || defaults.next().is_some(),
                "{line}\nlacks the default {text}"
            );
            count += 1;
        }
    }
    assert_eq!(count, 108, "a table has keys that this test does not see");
}

#[test]
fn the_committed_schema_is_current() {
    let committed = read("roadbed.schema.json");
    assert!(
        committed == spec::json_schema(),
        "docs/roadbed.schema.json is not what the types say: run `cargo xtask generate`"
    );
}
