//! What trusted hops in front of the edge say of a request's way to it, in `X-Forwarded-…` or in
//! `Forwarded` (RFC 7239). Pure: bytes in, a way out.
//!
//! A claim is worth as much as who makes it. Each hop notes who it got the request from, so the
//! way is followed from the end: from the edge's peer back to the first that is not trusted. That
//! one is the client, and what it claimed itself, further to the left, is left out.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use model::TrustedHops;

use super::fields::elements;
use super::target::check_host;
use crate::routing::Asked;

/// How many trusted hops a request may have passed. One that has passed more goes in a circle.
const MOST_HOPS: usize = 32;
/// How many elements and pairs of `Forwarded` are looked at.
const MOST_PAIRS: usize = 4 * MOST_HOPS;

/// The way of a request to the edge, as far as it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// Where it came from: its client first, then each hop's address, the edge's own peer last.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether its client spoke TLS, where that was said.
    pub(crate) is_secure: Option<bool>,
    /// The host that its client asked for, where that was said.
    pub(crate) host: Option<Box<str>>,
    /// The port that its client asked at, where that was said.
    pub(crate) port: Option<u16>,
}

/// A request has passed more hops than there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InCircle;

impl Way {
    /// The way of a request that `peer` has brought, whom `trusted` has.
    ///
    /// Either family of fields is believed, not both: a hop that writes one may pass the other on
    /// as its client wrote it. `X-Forwarded-For` goes first, since more hops write it.
    pub(crate) fn read(
        peer: IpAddr,
        trusted: &TrustedHops,
        asked: &dyn Asked,
    ) -> Result<Self, InCircle> {
        let mut way = Self {
            addresses: vec![peer.to_canonical()],
            is_secure: None,
            host: None,
            port: None,
        };
        let older = joined(asked, "x-forwarded-for");
        let newer = joined(asked, "forwarded");
        if older.is_empty() && !newer.is_empty() {
            way.follow_forwarded(&newer, trusted)?;
        } else {
            way.follow(older.rsplit(|&b| b == b','), trusted)?;
            way.is_secure = one(asked, "x-forwarded-proto").and_then(|value| scheme(&value));
            way.host = one(asked, "x-forwarded-host").and_then(|value| host(&value));
            way.port = one(asked, "x-forwarded-port").and_then(|value| port(&value));
        }
        way.addresses.reverse();
        Ok(way)
    }

    /// Adds the addresses that trusted hops name, the last first; how many of them there are.
    fn follow<'a>(
        &mut self,
        nodes: impl Iterator<Item = &'a [u8]>,
        trusted: &TrustedHops,
    ) -> Result<usize, InCircle> {
        let mut count = 0;
        for address in nodes.map_while(node) {
            if self.addresses.len() > MOST_HOPS {
                return Err(InCircle);
            }
            self.addresses.push(address);
            count += 1;
            if !trusted.contains(address) {
                break;
            }
        }
        Ok(count)
    }

    fn follow_forwarded(&mut self, value: &[u8], trusted: &TrustedHops) -> Result<(), InCircle> {
        // Of one that breaks the grammar it is not known what a hop has written.
        let Some(elements) = parse(value) else {
            return Ok(());
        };
        let nodes = elements.iter().rev();
        let nodes = nodes.map(|element| element.node.as_deref().unwrap_or_default());
        let followed = self.follow(nodes, trusted)?;
        // What the client asked is what the hop noted that it came to first.
        let first = elements.len().checked_sub(followed.max(1));
        if let Some(first) = first.and_then(|first| elements.get(first)) {
            self.is_secure = first.scheme.as_deref().and_then(scheme);
            self.host = first.host.as_deref().and_then(host);
        }
        Ok(())
    }
}

/// All values of a field, in order, with commas between them.
fn joined(asked: &dyn Asked, name: &str) -> Vec<u8> {
    let mut all = Vec::new();
    asked.any_field(name, &mut |value| {
        if !all.is_empty() {
            all.push(b',');
        }
        all.extend_from_slice(value);
        false
    });
    all
}

/// The value of a field that there is one of, with one element. Of several it is not known which
/// one a hop has written.
fn one(asked: &dyn Asked, name: &str) -> Option<Vec<u8>> {
    let all = joined(asked, name);
    let mut found = elements(&all);
    match (found.next(), found.next()) {
        (Some(value), None) => Some(value.to_vec()),
        _ => None,
    }
}

/// The address of a node: with or without a port, IPv6 in brackets or bare.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text.trim_ascii()).ok()?;
    let bracketed = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::from)
    };
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

fn scheme(text: &[u8]) -> Option<bool> {
    match text {
        text if text.eq_ignore_ascii_case(b"https") => Some(true),
        text if text.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

fn host(text: &[u8]) -> Option<Box<str>> {
    check_host(text).ok()?;
    str::from_utf8(text).ok().map(Box::from)
}

fn port(text: &[u8]) -> Option<u16> {
    let is_plain = text.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(text).ok().filter(|_| is_plain)?;
    number.parse().ok().filter(|port| *port > 0)
}

/// What one hop says, of what matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Element {
    node: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    scheme: Option<Vec<u8>>,
}

/// Reads `Forwarded` (RFC 7239 section 4); none where it breaks the grammar.
fn parse(mut rest: &[u8]) -> Option<Vec<Element>> {
    let mut elements = vec![Element::default()];
    for _ in 0..MOST_PAIRS {
        rest = rest.trim_ascii_start();
        if rest.first().is_some_and(|byte| !b",;".contains(byte)) {
            let equals = memchr::memchr(b'=', rest)?;
            let (name, value) = (&rest[..equals], &rest[equals + 1..]);
            if !is_token(name) {
                return None;
            }
            let (value, after) = token_or_quoted(value)?;
            let element = elements.last_mut()?;
            let place = match () {
                () if name.eq_ignore_ascii_case(b"for") => Some(&mut element.node),
                () if name.eq_ignore_ascii_case(b"host") => Some(&mut element.host),
                () if name.eq_ignore_ascii_case(b"proto") => Some(&mut element.scheme),
                () => None,
            };
            // Each name is there once.
            if place.is_some_and(|place| place.replace(value).is_some()) {
                return None;
            }
            rest = after.trim_ascii_start();
        }
        match rest {
            [] => return Some(elements),
            [b';', after @ ..] => rest = after,
            [b',', after @ ..] => {
                elements.push(Element::default());
                rest = after;
            }
            _ => return None,
        }
    }
    None
}

/// A value at the beginning of `bytes`, and what follows it.
fn token_or_quoted(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [b'"', quoted @ ..] = bytes else {
        let end = bytes.iter().position(|byte| !is_token_byte(*byte));
        let (token, after) = bytes.split_at(end.unwrap_or(bytes.len()));
        return (!token.is_empty()).then(|| (token.to_vec(), after));
    };
    let (mut value, mut rest) = (Vec::new(), quoted);
    loop {
        match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
