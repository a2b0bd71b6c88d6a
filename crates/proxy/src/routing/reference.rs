//! The same as the table, slow and plain: every rule is asked, then those that fit are compared.
//! Tests and fuzz targets hold the table to it.

use std::cmp::Reverse;

use model::{HostPattern, Matching, PathPattern, Segment, Test};

use super::Asked;
use crate::http::split_port;

/// The index of the rule that `asked` is for; rules are in order.
pub fn find(rules: &[Matching], asked: &dyn Asked) -> Option<usize> {
    let host = String::from_utf8_lossy(split_port(asked.host()).0).to_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let target = String::from_utf8_lossy(asked.path_and_query()).into_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = if path == "*" { "/" } else { path };
    let fitting = rules.iter().enumerate().filter(|(_, rule)| {
        host.len() <= 253
            && fits_host(&rule.host, host)
            && fits_path(&rule.path, path)
            && conditions_hold(rule, query, asked)
    });
    let best = fitting.max_by_key(|(index, rule)| {
        (
            host_rank(&rule.host),
            path_rank(&rule.path),
            rule.conditions(),
            Reverse(*index),
        )
    });
    best.map(|(index, _)| index)
}

fn fits_host(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(exact) => exact.as_str() == host,
        HostPattern::Below(domain) => host.ends_with(&format!(".{domain}")),
    }
}

fn host_rank(pattern: &HostPattern) -> (u8, usize) {
    match pattern {
        HostPattern::Any => (0, 0),
        HostPattern::Below(domain) => (1, domain.as_str().len()),
        HostPattern::Exact(_) => (2, 0),
    }
}

fn fits_path(pattern: &PathPattern, path: &str) -> bool {
    match pattern {
        PathPattern::Exact { exact } => exact.as_str() == path,
        PathPattern::Prefix(prefix) => prefix.matches(path),
        PathPattern::Template { template } => {
            let Some(inner) = path.strip_prefix('/') else {
                return false;
            };
            let given: Vec<&str> = inner.split('/').collect();
            let wanted: Vec<Segment<'_>> = template.segments().collect();
            let is_open = matches!(wanted.last(), Some(Segment::Rest(_)));
            let lengths_fit = match is_open {
                true => given.len() >= wanted.len(),
                false => given.len() == wanted.len(),
            };
            lengths_fit
                && wanted
                    .iter()
                    .zip(&given)
                    .all(|(wanted, given)| match wanted {
                        Segment::Literal(text) => text == given,
                        Segment::One(_) => !given.is_empty(),
                        Segment::Rest(_) => true,
                    })
        }
    }
}

fn path_rank(pattern: &PathPattern) -> (u8, usize, bool, usize) {
    match pattern {
        PathPattern::Exact { .. } => (2, 0, false, 0),
        PathPattern::Prefix(prefix) => (0, prefix.as_str().len(), false, 0),
        PathPattern::Template { template } => {
            let all: Vec<_> = template.segments().collect();
            let is_literal = |s: &&Segment<'_>| matches!(s, Segment::Literal(_));
            let is_open = matches!(all.last(), Some(Segment::Rest(_)));
            (
                1,
                all.iter().filter(is_literal).count(),
                !is_open,
                all.len(),
            )
        }
    }
}

fn conditions_hold(rule: &Matching, query: &str, asked: &dyn Asked) -> bool {
    let method = String::from_utf8_lossy(asked.method()).into_owned();
    let parameters: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    let mut cookies = Vec::new();
    asked.any_field("cookie", &mut |value| {
        let value = value.to_vec();
        for pair in value.split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let at = pair.iter().position(|byte| *byte == b'=');
            let at = at.unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            cookies.push((pair[..at].to_vec(), value.to_vec()));
        }
        false
    });
    let has = |pairs: &[(Vec<u8>, Vec<u8>)], name: &str, test: &Test| {
        let mut values = pairs.iter().filter(|(given, _)| given == name.as_bytes());
        values.any(|(_, value)| passes(value, test))
    };
    !(rule.in_clear && asked.is_secure())
        && (rule.methods.is_empty() || rule.methods.iter().any(|wanted| wanted.as_str() == method))
        && rule
            .headers
            .iter()
            .all(|(name, test)| asked.any_field(name.as_str(), &mut |value| passes(value, test)))
        && rule
            .query
            .iter()
            .all(|(name, test)| has(&parameters, name, test))
        && rule
            .cookies
            .iter()
            .all(|(name, test)| has(&cookies, name, test))
}

fn passes(value: &[u8], test: &Test) -> bool {
    match test {
        Test::Present => true,
        Test::Exact(text) => value == text.as_bytes(),
        Test::Prefix(text) => value.starts_with(text.as_bytes()),
    }
}

fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| str::from_utf8(pair).ok());
        let is_escape = |pair: &&str| pair.bytes().all(|b| b.is_ascii_hexdigit());
        let escaped = pair
            .filter(is_escape)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[at], escaped) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    out
}
