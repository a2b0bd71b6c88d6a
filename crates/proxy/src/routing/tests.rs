//! The table against its reference, and what each rule of precedence says.

use model::{
    ExactPath, FieldName, HostPattern, Matching, Method, PathPattern, PathPrefix, Template, Test,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Asked, Table, reference};

/// A request: method, host, path and query, fields.
#[derive(Debug, Clone)]
struct Request {
    method: String,
    host: String,
    target: String,
    fields: Vec<(String, String)>,
}

impl Asked for Request {
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
        let mut fields = self.fields.iter().filter(|(given, _)| given == name);
        fields.any(|(_, value)| test(value.as_bytes()))
    }
}

fn get(host: &str, target: &str) -> Request {
    Request {
        method: "GET".into(),
        host: host.into(),
        target: target.into(),
        fields: Vec::new(),
    }
}

/// A path that begins with `=` is exact, one with braces is a template.
fn path(text: &str) -> PathPattern {
    if let Some(exact) = text.strip_prefix('=') {
        let exact = ExactPath::new(exact).unwrap();
        return PathPattern::Exact { exact };
    }
    match text.contains('{') {
        true => {
            let template = Template::new(text).unwrap();
            PathPattern::Template { template }
        }
        false => PathPattern::Prefix(PathPrefix::new(text).unwrap()),
    }
}

fn rule(host: &str, at: &str) -> Matching {
    Matching::of(HostPattern::new(host).unwrap(), path(at))
}

fn table(rules: &[Matching]) -> Table<usize> {
    let mut table = Table::default();
    for (index, rule) in rules.iter().enumerate() {
        table.set(&format!("{index:03}"), rule, index as u32, index);
    }
    table
}

#[track_caller]
fn check(rules: &[Matching], expected: &[(Request, Option<usize>)]) {
    let table = table(rules);
    for (request, index) in expected {
        assert_eq!(table.find(request).copied(), *index, "{request:?}");
        assert_eq!(reference::find(rules, request), *index, "{request:?}");
    }
}

#[test]
fn an_exact_host_goes_before_the_longest_wildcard_before_any() {
    let hosts = ["*", "*.test", "*.a.test", "x.a.test"];
    let rules = hosts.map(|host| rule(host, "/"));
    check(
        &rules,
        &[
            (get("x.a.test", "/"), Some(3)),
            (get("X.A.TEST.:8080", "/"), Some(3)),
            (get("y.a.test", "/"), Some(2)),
            (get("z.y.a.test", "/"), Some(2)),
            (get("a.test", "/"), Some(1)),
            (get("xa.test", "/"), Some(1)),
            (get("test", "/"), Some(0)),
            (get("", "/"), Some(0)),
            (get("[::1]:80", "/"), Some(0)),
            (get(&"a".repeat(300), "/"), None),
        ],
    );
}

#[test]
fn a_host_is_left_for_a_less_specific_one_only_if_none_of_its_paths_fits() {
    let rules = [rule("*", "=/x"), rule("*.test", "/x"), rule("a.test", "/")];
    check(
        &rules,
        &[
            (get("a.test", "/x"), Some(2)),
            (get("b.test", "/x"), Some(1)),
        ],
    );
    let rules = [rule("*", "/"), rule("a.test", "/x")];
    check(
        &rules,
        &[
            (get("a.test", "/x"), Some(1)),
            (get("a.test", "/y"), Some(0)),
        ],
    );
}

#[test]
fn a_host_longer_than_a_name_can_be_is_nobodys() {
    let rules = [rule("*", "/")];
    let longest = "a".repeat(253);
    check(
        &rules,
        &[
            (get(&longest, "/"), Some(0)),
            (get(&format!("{longest}.:80"), "/"), Some(0)),
            (get(&format!("{longest}a"), "/"), None),
            (get(&format!("{longest}a."), "/"), None),
        ],
    );
}

#[test]
fn an_exact_path_goes_before_a_template_before_the_longest_prefix() {
    let paths = [
        "/users",
        "/users/new/form",
        "/users/{id}/{rest...}",
        "/users/{id}",
        "=/users/new",
    ];
    let rules = paths.map(|path| rule("a.test", path));
    check(
        &rules,
        &[
            (get("a.test", "/users/new?x"), Some(4)),
            (get("a.test", "/users/1"), Some(3)),
            (get("a.test", "/users/1/"), Some(2)),
            (get("a.test", "/users/new/form"), Some(2)),
            (get("a.test", "/users/1/2/3"), Some(2)),
            (get("a.test", "/users/"), Some(0)),
            (get("a.test", "/users"), Some(0)),
            (get("a.test", "/usersx"), None),
            (get("a.test", "*"), None),
        ],
    );
}

#[test]
fn among_templates_more_literal_segments_go_first() {
    let paths = [
        "/{a...}",
        "/{a}/{b...}",
        "/{a}/{b}",
        "/{a}/{b}/c",
        "/a/{b}/{c}",
        "/{a}/b/c",
        "/a/{b}/c",
    ];
    let rules = paths.map(|path| rule("a.test", path));
    check(
        &rules,
        &[
            (get("a.test", "/a/b/c"), Some(5)),
            (get("a.test", "/a/x/c"), Some(6)),
            (get("a.test", "/a/x/y"), Some(4)),
            (get("a.test", "/x/y/c"), Some(3)),
            (get("a.test", "/x/y"), Some(2)),
            (get("a.test", "/x/y/z"), Some(1)),
            (get("a.test", "/x/"), Some(1)),
            (get("a.test", "/x"), Some(0)),
            (get("a.test", "/"), Some(0)),
            (get("a.test", "*"), Some(0)),
        ],
    );
}

#[test]
fn the_longest_prefix_by_whole_segments_wins() {
    let rules = ["/", "/api", "/api/v2"].map(|path| rule("a.test", path));
    check(
        &rules,
        &[
            (get("a.test", "/"), Some(0)),
            (get("a.test", "/apis"), Some(0)),
            (get("a.test", "/api"), Some(1)),
            (get("a.test", "/api/"), Some(1)),
            (get("a.test", "/api?x=/v2"), Some(1)),
            (get("a.test", "/api/v2/x"), Some(2)),
            (get("a.test", "*"), Some(0)),
            (get("a.test", "/API"), Some(0)),
            (get("b.test", "/"), None),
        ],
    );
}

#[test]
fn the_number_of_conditions_goes_before_the_order() {
    let mut rules = vec![rule("a.test", "/"); 4];
    let name = |name: &str| FieldName::new(name).unwrap();
    let exact = |text: &str| Test::Exact(text.to_owned());
    rules[1].headers.insert(name("x-beta"), exact("on"));
    rules[2].headers.insert(name("x-beta"), Test::Present);
    rules[3].headers.insert(name("x-beta"), exact("on"));
    rules[3].methods.insert(Method::new("PUT").unwrap());
    let asked = |method: &str, value: &str| Request {
        method: method.into(),
        fields: vec![
            ("x-beta".into(), "no".into()),
            ("x-beta".into(), value.into()),
        ],
        ..get("a.test", "/")
    };
    check(
        &rules,
        &[
            (get("a.test", "/"), Some(0)),
            (asked("GET", "on"), Some(1)),
            (asked("GET", "off"), Some(2)),
            (asked("PUT", "on"), Some(3)),
            (asked("put", "on"), Some(1)),
        ],
    );
}

#[test]
fn parameters_are_read_as_forms_write_them_and_cookies_as_they_are() {
    let mut rules = vec![rule("a.test", "/"); 3];
    let exact = |text: &str| Test::Exact(text.to_owned());
    rules[1].query.insert("a b".into(), exact("é&=+"));
    rules[2]
        .cookies
        .insert("flag".into(), Test::Prefix("v2.".into()));
    let with = |target: &str, cookies: &[&str]| Request {
        fields: cookies
            .iter()
            .map(|c| ("cookie".into(), (*c).into()))
            .collect(),
        ..get("a.test", target)
    };
    check(
        &rules,
        &[
            (with("/?x&a+b=%C3%a9%26=%2B", &[]), Some(1)),
            (with("/?a%20b=no&a%20b=é%26=%2b", &[]), Some(1)),
            (with("/?a+b=%C3%a9&=+", &[]), Some(0)),
            (with("/?x", &["a=1; flag=v2.1"]), Some(2)),
            (with("/", &["a=1", "flag=v2."]), Some(2)),
            (with("/", &["xflag=v2.", "flag=v%32.", "FLAG=v2."]), Some(0)),
        ],
    );
}

#[test]
fn a_removed_or_moved_rule_is_gone_and_leaves_nothing_behind() {
    let patterns = ["/", "/a/b", "=/a", "/{x}/y", "/a/{x...}"];
    let hosts = ["a.test", "*.b.test", "*"];
    let rules: Vec<_> = hosts
        .iter()
        .flat_map(|host| patterns.map(|path| rule(host, path)))
        .collect();
    let mut table = table(&rules);
    for index in 0..rules.len() {
        table.set(&format!("{index:03}"), &rule("c.test", "/c"), 0, index);
        table.remove(&format!("{index:03}"));
        table.remove(&format!("{index:03}"));
    }
    assert!(table.find(&get("a.test", "/a/b")).is_none());
    assert!(table.hosts.is_empty() && table.domains.is_empty() && table.any.is_empty());
    assert!(table.places.is_empty() && table.most_labels == 0);
}

fn matching() -> impl Strategy<Value = Matching> {
    let host = select(vec!["a.test", "b.a.test", "*.test", "*.a.test", "*"]);
    let path = prop_oneof![
        "=?(/[ab]){1,3}",
        Just("/".to_owned()),
        "(/[ab]){0,2}/\\{x\\}(/[ab]){0,2}",
        "(/[ab]){0,2}/\\{x\\}(/[ab]){0,1}/\\{y\\}",
        "(/\\{y\\})?(/[ab]){0,2}/\\{x\\.\\.\\.\\}",
    ];
    let test = prop_oneof![
        Just(Test::Present),
        "[ab]{0,2}".prop_map(Test::Exact),
        "[ab]{0,2}".prop_map(Test::Prefix),
    ];
    let name = || select(vec!["a".to_owned(), "b".to_owned()]);
    let methods = btree_set(select(vec!["GET", "PUT"]), 0..2);
    let tests = (
        btree_map(name(), test.clone(), 0..2),
        btree_map(name(), test.clone(), 0..2),
        btree_map(name(), test, 0..2),
    );
    (host, path, methods, tests).prop_map(|(host, path, methods, (headers, query, cookies))| {
        let named = |(name, test): (String, Test)| (FieldName::new(&name).unwrap(), test);
        Matching {
            methods: methods
                .into_iter()
                .map(|m| Method::new(m).unwrap())
                .collect(),
            headers: headers.into_iter().map(named).collect(),
            query,
            cookies,
            ..rule(host, &path)
        }
    })
}

fn request() -> impl Strategy<Value = Request> {
    let host = select(vec!["a.test", "B.a.test:80", "c.a.test", "c.test.", "d"]);
    let target = "(\\*|(/[ab]?){0,4})(\\?([ab](=[ab%+]{0,2})?&?){0,3})?";
    let fields = vec((select(vec!["a", "b", "cookie"]), "[ab=; ]{0,4}"), 0..4);
    let method = select(vec!["GET", "PUT", "get"]);
    (method, host, target, fields).prop_map(|(method, host, target, fields)| Request {
        method: method.into(),
        host: host.into(),
        target,
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
    })
}

proptest! {
    #[test]
    fn the_table_finds_what_the_reference_finds(
        rules in vec(matching(), 0..12),
        gone in vec(any::<prop::sample::Index>(), 0..4),
        requests in vec(request(), 1..12),
    ) {
        let mut table = table(&rules);
        let mut rules: Vec<_> = rules.into_iter().enumerate().collect();
        for index in gone {
            if !rules.is_empty() {
                let (index, _) = rules.remove(index.index(rules.len()));
                table.remove(&format!("{index:03}"));
            }
        }
        let (indices, rules): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
        for request in requests {
            let expected = reference::find(&rules, &request).map(|found| indices[found]);
            prop_assert_eq!(table.find(&request).copied(), expected, "{:?}", request);
        }
    }
}
