//! How requests are spread over the instances of a service, and when they are refused.

use model::{Balance, FieldName, HashKey, Overload, Priority, Protocol, Resilience};
use toml::Spanned;

use super::values;
use crate::app_file;
use crate::app_file::resilience::{BalanceText, Sticky};
use crate::findings::{Findings, quoted};
use crate::keys::nearest;
use crate::limits;
use crate::written::Written;

/// What a service says of it, but for its connections.
pub(super) fn resilience(
    balance: Written<BalanceText>,
    overload: Written<app_file::resilience::Overload>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Resilience {
    Resilience {
        balance: read_balance(balance, protocol, findings).unwrap_or_default(),
        overload: read_overload(overload, protocol, findings).unwrap_or_default(),
        ..Resilience::default()
    }
}

fn read_balance(
    written: Written<BalanceText>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Option<Balance> {
    let value = findings.value("balance", written)?;
    let span = value.span();
    let name = match value.into_inner() {
        BalanceText::Sticky(sticky) => {
            return read_sticky(Spanned::new(span, sticky), protocol, findings);
        }
        BalanceText::Policy(name) => name,
    };
    let known = [
        Balance::LeastLatency,
        Balance::LeastConnections,
        Balance::RoundRobin,
    ];
    let named = limits::BALANCES.into_iter().zip(known);
    let found = named.into_iter().find(|(known, _)| *known == name);
    if found.is_none() {
        let message = format!(
            "`balance` is \"least-latency\", \"least-connections\", \"round-robin\" or a table, not {}",
            quoted(&name)
        );
        let near = nearest(&name, limits::BALANCES.into_iter());
        let hint = near.map(|near| format!("did you mean {near:?}?"));
        findings.add(span, message).hint(hint);
    }
    found.map(|(_, balance)| balance)
}

fn read_sticky(
    written: Spanned<Sticky>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Option<Balance> {
    let span = written.span();
    let Sticky {
        header,
        cookie,
        client_address,
        path,
        bounded,
    } = written.into_inner();
    let is_there = [
        !matches!(header, Written::Absent),
        !matches!(cookie, Written::Absent),
        !matches!(client_address, Written::Absent),
        !matches!(path, Written::Absent),
    ];
    let count = is_there.into_iter().filter(|is_there| *is_there).count();
    if count != 1 {
        let message = "`balance` has one of `header`, `cookie`, `client_address` and `path`";
        let hint = "say in what requests are alike, such as { cookie = \"session\" }".to_owned();
        findings.add(span.clone(), message).hint(hint);
    }
    if protocol == Protocol::Tcp {
        let message = "a table keeps requests together, and protocol \"tcp\" has none";
        let hint = "name a way, such as balance = \"least-connections\"".to_owned();
        findings.add(span, message).hint(hint);
    }
    let bounded = findings.value("balance.bounded", bounded);
    let bounded = bounded.is_some_and(Spanned::into_inner);
    let header = findings.value("balance.header", header);
    let cookie = findings.value("balance.cookie", cookie);
    let client_address = is_true("balance.client_address", client_address, findings);
    let path = is_true("balance.path", path, findings);
    let key = match (header, cookie) {
        (Some(header), _) => HashKey::Header(field(&header, findings)?),
        (None, Some(name)) => {
            super::conditions::cookie_name(&name, findings);
            HashKey::Cookie(name.into_inner())
        }
        (None, None) if client_address => HashKey::ClientAddress,
        (None, None) if path => HashKey::Path,
        (None, None) => return None,
    };
    Some(Balance::Hash { key, bounded })
}

/// Whether a key is there that can only be `true`.
fn is_true(key: &str, written: Written<bool>, findings: &mut Findings) -> bool {
    let Some(value) = findings.value(key, written) else {
        return false;
    };
    if !value.get_ref() {
        let hint = "remove it, or write `true`".to_owned();
        findings
            .add(value.span(), format!("`{key}` can only be `true`"))
            .hint(hint);
    }
    true
}

fn field(written: &Spanned<String>, findings: &mut Findings) -> Option<FieldName> {
    match FieldName::new(written.get_ref()) {
        Ok(name) if name.as_str() == "cookie" => {
            let hint = "name the cookie: balance = { cookie = \"session\" }".to_owned();
            let message = "`balance.header` does not look into the field `cookie`";
            findings.add(written.span(), message).hint(hint);
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!(
                "`balance.header` cannot name {}: {error}",
                quoted(written.get_ref())
            );
            findings.add(written.span(), message);
            None
        }
    }
}

fn read_overload(
    written: Written<app_file::resilience::Overload>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Option<Overload> {
    let value = findings.value("overload", written)?;
    let span = value.span();
    let app_file::resilience::Overload { latency, refuse } = value.into_inner();
    let is_latency = !matches!(latency, Written::Absent);
    let is_refuse = !matches!(refuse, Written::Absent);
    if is_latency == is_refuse {
        let message = "`overload` has one of `latency` and `refuse`";
        let hint = "say how long answers may take, such as { latency = \"500ms\" }".to_owned();
        findings.add(span.clone(), message).hint(hint);
    }
    if protocol == Protocol::Tcp {
        let message = "`overload` is about requests, and protocol \"tcp\" has none";
        findings.add(span, message).hint("remove it".to_owned());
    }
    let bounds = &limits::OVERLOAD_LATENCY;
    let latency = values::duration("overload.latency", latency, bounds, findings);
    if let Some(refuse) = findings.value("overload.refuse", refuse) {
        if *refuse.get_ref() {
            let message = "`overload.refuse` can only be `false`";
            let hint = "remove `overload`: requests are refused where there are too many";
            findings.add(refuse.span(), message).hint(hint.to_owned());
        }
        return Some(Overload::Off);
    }
    latency.map(|latency| Overload::Latency(latency.into_inner()))
}

/// Which requests of a route are refused first.
pub(super) fn priority(written: Written<String>, findings: &mut Findings) -> Priority {
    let Some(value) = findings.value("priority", written) else {
        return Priority::default();
    };
    let text = value.get_ref().as_str();
    let found = Priority::ALL.into_iter().find(|one| one.name() == text);
    if found.is_none() {
        let message = format!(
            "`priority` is \"low\", \"normal\" or \"high\", not {}",
            quoted(text)
        );
        findings.add(value.span(), message);
    }
    found.unwrap_or_default()
}
