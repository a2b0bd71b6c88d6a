//! The values of a file by their keys, for comparing two files.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Every value in a TOML document with the whole of its key, as `services.web.replicas` and
/// `routes[0].host`. A list that has no tables is one value. A text that is not TOML has none.
pub fn flat_keys(source: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if let Ok(table) = source.parse::<Table>() {
        for (key, value) in table {
            add(&mut all, part(&key), value);
        }
    }
    all
}

fn add(all: &mut BTreeMap<String, String>, key: String, value: Value) {
    match value {
        Value::Table(table) if !table.is_empty() => {
            for (inner, value) in table {
                add(all, format!("{key}.{}", part(&inner)), value);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (place, value) in list.into_iter().enumerate() {
                add(all, format!("{key}[{place}]"), value);
            }
        }
        value => {
            all.insert(key, value.to_string());
        }
    }
}

/// A part of a key, in quotation marks where it has to be.
fn part(key: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !key.is_empty() && key.bytes().all(is_plain) {
        true => key.to_owned(),
        false => Value::from(key).to_string(),
    }
}
