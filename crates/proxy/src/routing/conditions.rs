//! What a rule asks of a request beside its host and path.

use model::{FieldName, Matching, Method, Test};

use super::Asked;

/// The conditions of a rule, in the order in which they are cheap to ask.
#[derive(Debug)]
pub(super) struct Conditions {
    in_clear: bool,
    methods: Box<[Method]>,
    headers: Box<[(FieldName, Test)]>,
    query: Box<[(String, Test)]>,
    cookies: Box<[(String, Test)]>,
}

impl Conditions {
    pub(super) fn of(matching: &Matching) -> Self {
        Self {
            in_clear: matching.in_clear,
            methods: matching.methods.iter().cloned().collect(),
            headers: matching.headers.clone().into_iter().collect(),
            query: matching.query.clone().into_iter().collect(),
            cookies: matching.cookies.clone().into_iter().collect(),
        }
    }

    /// Whether `asked` fulfils all of them.
    pub(super) fn hold(&self, asked: &dyn Asked) -> bool {
        let method = asked.method();
        let is_method = |wanted: &Method| wanted.as_str().as_bytes() == method;
        !(self.in_clear && asked.is_secure())
            && (self.methods.is_empty() || self.methods.iter().any(is_method))
            && self.headers.iter().all(|(name, test)| {
                asked.any_field(name.as_str(), &mut |value| {
                    passes(value.iter().copied(), test)
                })
            })
            && (self.query.is_empty() || self.query_holds(asked.path_and_query()))
            && self.cookies.iter().all(|(name, test)| {
                asked.any_field("cookie", &mut |value| has_cookie(value, name, test))
            })
    }

    fn query_holds(&self, path_and_query: &[u8]) -> bool {
        let start = memchr::memchr(b'?', path_and_query);
        let query = start.map_or(&b""[..], |at| &path_and_query[at + 1..]);
        self.query.iter().all(|(name, test)| {
            let mut parameters = query.split(|&byte| byte == b'&');
            parameters.any(|parameter| {
                let (given, value) = halves(parameter);
                decoded(given).eq(name.bytes()) && passes(decoded(value), test)
            })
        })
    }
}

/// Whether the value of a `Cookie` field has this cookie.
fn has_cookie(value: &[u8], name: &str, test: &Test) -> bool {
    let mut values = cookies(value, name);
    values.any(|value| passes(value.iter().copied(), test))
}

/// The value of the first cookie of this name in the value of a `Cookie` field.
pub(crate) fn cookie<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    cookies(value, name).next()
}

fn cookies<'a>(value: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    pairs.filter_map(move |pair| {
        let (given, value) = halves(pair);
        (given == name.as_bytes()).then_some(value)
    })
}

/// What is in front of the first `=` and what is behind it.
fn halves(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

fn passes(mut value: impl Iterator<Item = u8>, test: &Test) -> bool {
    match test {
        Test::Present => true,
        Test::Exact(text) => value.eq(text.bytes()),
        Test::Prefix(text) => text.bytes().all(|byte| value.next() == Some(byte)),
    }
}

/// The bytes that a part of a query stands for, as forms write it: `+` is a space, and an escape
/// that is none stands for itself.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, after) = match rest {
            [] => return None,
            [b'+', after @ ..] => (b' ', after),
            [b'%', high, low, after @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', &rest[1..]),
            },
            [byte, after @ ..] => (*byte, after),
        };
        rest = after;
        Some(byte)
    })
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}
