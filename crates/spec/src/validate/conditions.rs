//! What a route asks of requests beside their host and path.

use std::collections::BTreeMap;
use std::ops::Range;

use model::{FieldName, Test};
use toml::Spanned;

use crate::app_file::route::{Condition, ConditionText};
use crate::findings::{Findings, quoted};
use crate::limits;
use crate::written::{Table, Written};

type Tests = Written<Table<ConditionText>>;

/// Conditions on header fields.
pub(super) fn headers(written: Tests, findings: &mut Findings) -> BTreeMap<FieldName, Test> {
    let mut tests = BTreeMap::new();
    for (name, test) in each("headers", written, findings) {
        let Some(field) = field_name("headers", &name, findings) else {
            continue;
        };
        if field.as_str() == "cookie" {
            let hint = "name the cookie in `cookies`".to_owned();
            let message = "`headers` does not look into the field `cookie`";
            findings.add(name.span(), message).hint(hint);
        }
        check_text(&test, findings);
        if tests.insert(field, test.into_inner()).is_some() {
            let message = format!("{} is in `headers` twice", quoted(name.get_ref()));
            let hint = "remove one of the two: case makes no difference".to_owned();
            findings.add(name.span(), message).hint(hint);
        }
    }
    tests
}

/// Notes what is no name of a cookie.
pub(super) fn check_cookie(name: &Spanned<String>, findings: &mut Findings) {
    let text = name.get_ref();
    let is_letter = |b: u8| b.is_ascii_graphic() && !b"=;,\"\\".contains(&b);
    if text.is_empty() || !text.bytes().all(is_letter) {
        let message = format!("{} is no name of a cookie", quoted(text));
        let hint = "write letters, digits, \"-\", \"_\" and \".\"".to_owned();
        findings.add(name.span(), message).hint(hint);
    }
}

/// Conditions on parameters of the query.
pub(super) fn query(written: Tests, findings: &mut Findings) -> BTreeMap<String, Test> {
    let tests = each("query", written, findings).into_iter();
    let tests = tests.map(|(name, test)| (name.into_inner(), test.into_inner()));
    tests.collect()
}

/// Conditions on cookies.
pub(super) fn cookies(written: Tests, findings: &mut Findings) -> BTreeMap<String, Test> {
    let mut tests = BTreeMap::new();
    for (name, test) in each("cookies", written, findings) {
        check_cookie(&name, findings);
        check_text(&test, findings);
        tests.insert(name.into_inner(), test.into_inner());
    }
    tests
}

/// The name of a field that a route may look at or change.
pub(super) fn field_name(
    key: &str,
    written: &Spanned<String>,
    findings: &mut Findings,
) -> Option<FieldName> {
    let text = written.get_ref().as_str();
    match FieldName::new(text) {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("`{key}` cannot have {}: {error}", quoted(text));
            let is_host = text.eq_ignore_ascii_case("host");
            let hint = is_host.then(|| "`host` of the route says which hosts it is for".to_owned());
            findings.add(written.span(), message).hint(hint);
            None
        }
    }
}

/// Names and tests of the table under `key`.
fn each(
    key: &str,
    written: Tests,
    findings: &mut Findings,
) -> Vec<(Spanned<String>, Spanned<Test>)> {
    let Some(table) = findings.value(key, written) else {
        return Vec::new();
    };
    let (span, table) = (table.span(), table.into_inner());
    if table.is_empty() || table.len() > limits::MOST_CONDITIONS {
        let most = limits::MOST_CONDITIONS;
        let message = format!("`{key}` has 1 to {most} conditions");
        findings
            .add(span, message)
            .hint(format!("or remove `{key}`"));
    }
    let mut tests = Vec::new();
    for (name, written) in table.into_iter().take(limits::MOST_CONDITIONS) {
        let name = name.0;
        let count = name.get_ref().len();
        if !(1..=limits::LONGEST_CONDITION).contains(&count) {
            let most = limits::LONGEST_CONDITION;
            let message = format!("a name in `{key}` has 1 to {most} bytes");
            findings.add(name.span(), message);
        }
        let shown = format!("{key}.{}", quoted(name.get_ref()));
        let Some(written) = findings.value(&shown, written) else {
            continue;
        };
        let span = written.span();
        if let Some(test) = test(&shown, written.into_inner(), &span, findings) {
            tests.push((name, Spanned::new(span, test)));
        }
    }
    tests
}

fn test(
    key: &str,
    written: ConditionText,
    span: &Range<usize>,
    findings: &mut Findings,
) -> Option<Test> {
    let Condition {
        exact,
        prefix,
        present,
    } = match written {
        ConditionText::Exact(text) => return Some(Test::Exact(text)),
        ConditionText::Table(table) => table,
    };
    let absent = [
        matches!(exact, Written::Absent),
        matches!(prefix, Written::Absent),
        matches!(present, Written::Absent),
    ];
    if absent.into_iter().filter(|is_absent| !is_absent).count() != 1 {
        let message = format!("`{key}` has exactly one of `exact`, `prefix` and `present`");
        let hint = "write { prefix = \"v2\" }, or just the value".to_owned();
        findings.add(span.clone(), message).hint(hint);
        return None;
    }
    if let Some(present) = findings.value("present", present) {
        if !present.get_ref() {
            let hint = "write another route for requests with it".to_owned();
            let message = "`present` is `true`: there is no condition for what is not there";
            findings.add(present.span(), message).hint(hint);
        }
        return Some(Test::Present);
    }
    let exact = findings.value("exact", exact).map(Spanned::into_inner);
    let prefix = findings.value("prefix", prefix).map(Spanned::into_inner);
    exact.map(Test::Exact).or(prefix.map(Test::Prefix))
}

/// Reports a text that no value of a field or cookie is.
fn check_text(test: &Spanned<Test>, findings: &mut Findings) {
    let (Test::Exact(text) | Test::Prefix(text)) = test.get_ref() else {
        return;
    };
    let is_plain = |b: u8| b.is_ascii_graphic() || b == b' ';
    let trimmed = text.trim_start();
    if !text.bytes().all(is_plain) || trimmed.len() < text.len() {
        let message = format!("no value is {}", quoted(text));
        let hint = "values are printable ASCII, without space at the beginning".to_owned();
        findings.add(test.span(), message).hint(hint);
    }
}
