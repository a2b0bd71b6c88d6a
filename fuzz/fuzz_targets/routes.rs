//! Whatever rules there are and whatever is asked, the table of routes finds the rule that its slow
//! reference finds, also after some of them were taken out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{
    ExactPath, FieldName, HostPattern, Matching, Method, PathPattern, PathPrefix, Template, Test,
};
use proxy::routing::{Asked, Table, reference};

/// A request as the input has it.
struct Request<'a> {
    method: &'a str,
    host: &'a str,
    target: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

impl Asked for Request<'_> {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn path_and_query(&self) -> &[u8] {
        self.target.as_bytes()
    }
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }
    fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut fields = self.fields.iter().filter(|(given, _)| *given == name);
        fields.any(|(_, value)| test(value.as_bytes()))
    }
}

// Each line is a rule (`+`), a rule that is taken out again (`-`) or a request (`?`), in words.
fuzz_target!(|text: &str| {
    let mut table = Table::default();
    let (mut rules, mut gone, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    for (index, line) in text.lines().take(64).enumerate() {
        let (kind, words) = line.split_at_checked(1).unwrap_or_default();
        let words: Vec<&str> = words.split(' ').collect();
        match kind {
            "+" => rules.extend(rule(&words).map(|rule| (index, rule))),
            "-" => gone.extend(rule(&words).map(|rule| (index, rule))),
            _ => requests.push(request(&words)),
        }
    }
    for (index, rule) in rules.iter().chain(&gone) {
        table.set(&format!("{index:03}"), rule, *index as u32, *index);
    }
    for (index, _) in gone {
        table.remove(&format!("{index:03}"));
    }
    let (indices, rules): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
    for request in requests {
        let expected = reference::find(&rules, &request).map(|found| indices[found]);
        assert_eq!(table.find(&request).copied(), expected);
    }
});

/// Host, path, and conditions, each marked by its first letter.
fn rule(words: &[&str]) -> Option<Matching> {
    let (host, words) = words.split_first()?;
    let (path, conditions) = words.split_first()?;
    let path = match path.strip_prefix('=') {
        Some(exact) => PathPattern::Exact {
            exact: ExactPath::new(exact).ok()?,
        },
        None => match Template::new(path) {
            Ok(template) => PathPattern::Template { template },
            Err(_) => PathPattern::Prefix(PathPrefix::new(path).ok()?),
        },
    };
    let mut rule = Matching::of(HostPattern::new(host).ok()?, path);
    for condition in conditions {
        let (kind, rest) = condition.split_at_checked(1)?;
        let (name, test) = match rest.split_once('=') {
            Some((name, value)) => match value.strip_suffix('*') {
                Some(start) => (name, Test::Prefix(start.to_owned())),
                None => (name, Test::Exact(value.to_owned())),
            },
            None => (rest, Test::Present),
        };
        match kind {
            "h" => rule.headers.insert(FieldName::new(name).ok()?, test),
            "q" => rule.query.insert(name.to_owned(), test),
            "c" => rule.cookies.insert(name.to_owned(), test),
            "m" => {
                rule.methods.insert(Method::new(name).ok()?);
                None
            }
            _ => None,
        };
    }
    Some(rule)
}

/// Method, host, target, and fields.
fn request<'a>(words: &[&'a str]) -> Request<'a> {
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let fields = words.get(3..).unwrap_or_default().iter();
    // What is no path never gets so far.
    let is_path = |target: &&str| target.starts_with('/') || *target == "*";
    Request {
        method: word(0),
        host: word(1),
        target: Some(word(2)).filter(is_path).unwrap_or("/"),
        fields: fields.filter_map(|field| field.split_once(':')).collect(),
    }
}
