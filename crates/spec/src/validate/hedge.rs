//! When a request that waits for its answer is sent a second time, to another instance.

use model::{Hedge, HedgeAfter, Protocol};
use toml::Spanned;

use super::values;
use crate::app_file::{self, DurationText};
use crate::findings::{Findings, quoted};
use crate::limits;
use crate::written::Written;

/// What a service says of it.
pub(super) fn hedge(
    written: Written<app_file::resilience::Hedge>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Option<Hedge> {
    let value = findings.value("hedge", written)?;
    let span = value.span();
    let app_file::resilience::Hedge { after, calls } = value.into_inner();
    if protocol == Protocol::Tcp {
        let message = "`hedge` is about requests, and protocol \"tcp\" has none";
        findings
            .add(span.clone(), message)
            .hint("remove it".to_owned());
    }
    if matches!(after, Written::Absent) {
        let hint = "say after which wait, such as { after = \"p95\" }".to_owned();
        findings.add_absence(span, "`hedge` has no `after`".into(), Some(hint));
    }
    let calls = read_calls(calls, protocol, findings);
    let after = read_after(after, findings)?;
    Some(Hedge { after, calls })
}

/// A percentile or a duration.
fn read_after(written: Written<String>, findings: &mut Findings) -> Option<HedgeAfter> {
    let value = findings.value("hedge.after", written)?;
    let Some(percent) = value.get_ref().strip_prefix('p') else {
        let text = Spanned::new(value.span(), DurationText(value.into_inner()));
        let bounds = &limits::HEDGE_AFTER;
        let time = values::duration("hedge.after", Written::Value(text), bounds, findings)?;
        return Some(HedgeAfter::Time(time.into_inner()));
    };
    let percent = percent.parse().ok();
    let percent = percent.filter(|percent| limits::HEDGE_PERCENTILES.contains(percent));
    if percent.is_none() {
        let message = format!(
            "`hedge.after` takes \"p{}\" to \"p{}\" or a duration, not {}",
            limits::HEDGE_PERCENTILES.start(),
            limits::HEDGE_PERCENTILES.end(),
            quoted(value.get_ref())
        );
        findings.add(value.span(), message);
    }
    percent.map(HedgeAfter::Percentile)
}

fn read_calls(
    written: Written<Vec<Written<String>>>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Vec<String> {
    let Some(value) = findings.value("hedge.calls", written) else {
        return Vec::new();
    };
    if protocol != Protocol::Grpc {
        let message = "`hedge.calls` names calls of gRPC, and this service speaks something else";
        let hint = "remove it, or declare protocol = \"grpc\"".to_owned();
        findings.add(value.span(), message).hint(hint);
    }
    if value.get_ref().len() > limits::HEDGE_CALLS {
        let most = limits::HEDGE_CALLS;
        let hint = "name all of a service's: \"/package.Service/*\"".to_owned();
        findings
            .add(value.span(), format!("`hedge.calls` has more than {most}"))
            .hint(hint);
    }
    let calls = value.into_inner().into_iter().filter_map(|written| {
        let call = findings.item("hedge.calls", written)?;
        if !is_call(call.get_ref()) {
            let message = format!("{} is no call of gRPC", quoted(call.get_ref()));
            let hint = "write \"/package.Service/Method\" or \"/package.Service/*\"".to_owned();
            findings.add(call.span(), message).hint(hint);
        }
        Some(call.into_inner())
    });
    calls.collect()
}

/// Whether it is `/package.Service/Method`, or `*` in place of the method.
fn is_call(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        !name.is_empty() && name.len() <= 200 && name.chars().all(is_part)
    };
    let parts = text.strip_prefix('/').and_then(|text| text.split_once('/'));
    parts.is_some_and(|(service, method)| is_name(service) && (method == "*" || is_name(method)))
}

#[cfg(test)]
mod tests {
    use super::is_call;

    #[test]
    fn a_call_has_a_service_and_a_method() {
        for (text, expected) in [
            ("/shop.Catalog/Get", true),
            ("/shop.Catalog/*", true),
            ("/Catalog/get_all", true),
            ("shop.Catalog/Get", false),
            ("/shop.Catalog", false),
            ("/*/Get", false),
            ("/shop.Catalog/Get*", false),
            ("/shop.Catalog/Get/More", false),
            ("//Get", false),
            ("", false),
        ] {
            assert_eq!(is_call(text), expected, "{text}");
        }
    }
}
