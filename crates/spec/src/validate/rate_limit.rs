//! How many requests a route lets through.

use std::ops::Range;

use model::{Caller, Period, RateLimit, RequestCount};

use super::conditions::{cookie_name, field_name};
use crate::app_file::rate_limit;
use crate::findings::{Findings, quoted};
use crate::limits;
use crate::written::Written;

/// The limit, where there is a valid one.
pub(super) fn rate_limit(
    written: Written<rate_limit::RateLimit>,
    findings: &mut Findings,
) -> Option<RateLimit> {
    let written = findings.value("rate_limit", written)?;
    let span = written.span();
    let rate_limit::RateLimit {
        requests,
        per,
        burst,
        by,
        header,
        cookie,
    } = written.into_inner();
    if matches!(requests, Written::Absent) {
        let hint = "write { requests = 10, per = \"second\" }".to_owned();
        let message = "`rate_limit` has no `requests`".to_owned();
        findings.add_absence(span.clone(), message, Some(hint));
    }
    let has_burst = !matches!(burst, Written::Absent);
    let requests = count("rate_limit.requests", requests, findings);
    let burst = count("rate_limit.burst", burst, findings);
    let per = match one_of("rate_limit.per", per, &limits::PERIODS, findings)? {
        0 => Period::Second,
        1 => Period::Minute,
        _ => Period::Hour,
    };
    let by = caller(by, header, cookie, span, findings);
    let requests = requests?;
    Some(RateLimit {
        requests,
        per,
        burst: match has_burst {
            true => burst?,
            false => requests,
        },
        by: by?,
    })
}

/// Whose requests are counted together.
fn caller(
    by: Written<String>,
    header: Written<String>,
    cookie: Written<String>,
    span: Range<usize>,
    findings: &mut Findings,
) -> Option<Caller> {
    let absent = [&by, &header, &cookie].map(|key| matches!(key, Written::Absent));
    if absent.into_iter().filter(|is_absent| !is_absent).count() > 1 {
        let message = "`rate_limit` has at most one of `by`, `header` and `cookie`";
        let hint = "keep the one that tells clients apart best".to_owned();
        findings.add(span, message).hint(hint);
        return None;
    }
    match absent {
        [_, false, _] => {
            let name = findings.value("rate_limit.header", header)?;
            let name = field_name("rate_limit.header", &name, findings)?;
            Some(Caller::Header(name))
        }
        [_, _, false] => {
            let name = findings.value("rate_limit.cookie", cookie)?;
            cookie_name(&name, findings).then(|| Caller::Cookie(name.into_inner()))
        }
        _ => match one_of("rate_limit.by", by, &limits::CALLERS, findings)? {
            0 => Some(Caller::Address),
            _ => Some(Caller::Route),
        },
    }
}

/// Which of `values` is written under `key`; the first where nothing is.
fn one_of(
    key: &str,
    written: Written<String>,
    values: &[&str],
    findings: &mut Findings,
) -> Option<usize> {
    if matches!(written, Written::Absent) {
        return Some(0);
    }
    let written = findings.value(key, written)?;
    let text = written.get_ref().as_str();
    let index = values.iter().position(|value| *value == text);
    if index.is_none() {
        let (last, others) = values.split_last().unwrap_or((&"", &[]));
        let others = others.join("\", \"");
        let message = format!(
            "`{key}` is \"{others}\" or \"{last}\", not {}",
            quoted(text)
        );
        findings.add(written.span(), message);
    }
    index
}

/// The number of requests under `key`.
fn count(key: &str, written: Written<i64>, findings: &mut Findings) -> Option<RequestCount> {
    let (span, found) = match written {
        Written::Absent => return None,
        // Also a whole number that is too large to be read.
        Written::WrongType(span) => (span, None),
        Written::Value(value) => (value.span(), u32::try_from(value.into_inner()).ok()),
    };
    let count = found.and_then(|found| RequestCount::try_from(found).ok());
    if count.is_none() {
        let message = format!("`{key}` takes a whole number from 1 to 1000000");
        findings.add(span, message);
    }
    count
}
