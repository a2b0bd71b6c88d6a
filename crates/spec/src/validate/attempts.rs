//! How long the requests of a route may take, and how often they are tried.

use std::time::Duration;

use model::{Retries, RetryCount};
use toml::Spanned;

use super::values;
use crate::app_file::DurationText;
use crate::duration;
use crate::findings::{Findings, quoted};
use crate::limits;
use crate::written::Written;

/// How long a request may take in all; `timeout` is what it waits for the head of its answer.
pub(super) fn deadline(
    written: Written<DurationText>,
    timeout: Option<Duration>,
    findings: &mut Findings,
) -> Option<Duration> {
    let deadline = values::duration("deadline", written, &limits::WHOLE, findings)?;
    if let Some(timeout) = timeout.filter(|timeout| timeout >= deadline.get_ref()) {
        let shown = duration::text(timeout);
        let message = format!("`deadline` passes before `timeout`, which is {shown}");
        let hint = "make `deadline` longer, or remove `timeout`".to_owned();
        findings.add(deadline.span(), message).hint(hint);
    }
    Some(deadline.into_inner())
}

/// The longest silence within content.
pub(super) fn idle_timeout(
    written: Written<DurationText>,
    findings: &mut Findings,
) -> Option<Duration> {
    let timeout = values::duration("idle_timeout", written, &limits::WHOLE, findings);
    timeout.map(Spanned::into_inner)
}

/// How often a request is tried again, and after what.
pub(super) fn retries(
    count: Written<i64>,
    on: Written<Vec<Written<String>>>,
    findings: &mut Findings,
) -> Retries {
    let most = values::number("retries", count, &limits::RETRIES, findings);
    let usual = Retries::default();
    let most = u8::try_from(most).unwrap_or_default();
    let most = RetryCount::try_from(most).unwrap_or(usual.most);
    let span = match &on {
        Written::Absent => return Retries { most, ..usual },
        Written::Value(list) => Some(list.span()),
        Written::WrongType(_) => None,
    };
    let mut retries = Retries {
        most,
        on_reset: false,
        on_status: false,
    };
    let mut any = false;
    for item in values::distinct("retry_on", on, findings) {
        any = true;
        match item.get_ref().as_str() {
            "reset" => retries.on_reset = true,
            "status" => retries.on_status = true,
            other => {
                let message = format!(
                    "`retry_on` has \"reset\" and \"status\", not {}",
                    quoted(other)
                );
                findings.add(item.span(), message);
            }
        }
    }
    if let Some(span) = span.filter(|_| !any) {
        let hint = "write retries = 0 for none".to_owned();
        findings.add(span, "`retry_on` is empty").hint(hint);
    }
    retries
}
