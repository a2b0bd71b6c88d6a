//! Fields that have a browser be careful with what a site sends, where its route asks for them and
//! its service does not say them itself.

use model::FieldChanges;

/// What is safe for nearly every site: no guessing of types, no whole addresses to other sites, no
/// pages of ours within pages of others.
const ALWAYS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("content-security-policy", "frame-ancestors 'self'"),
    // The same for browsers that do not know the field above.
    ("x-frame-options", "SAMEORIGIN"),
];

/// For a year the host is asked in TLS alone. It counts only where it comes in TLS (RFC 6797 section
/// 7.2), and only for the very host.
const IN_TLS: (&str, &str) = ("strict-transport-security", "max-age=31536000");

/// The fields that are added to an answer, which came in TLS or not. `changes` is what its route
/// changes besides, which goes before, and `has` whether the answer has a field of a name.
pub(crate) fn missing<'a>(
    changes: &'a FieldChanges,
    is_secure: bool,
    has: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    let fields = ALWAYS.into_iter().chain(is_secure.then_some(IN_TLS));
    fields.filter(move |(name, _)| {
        let is_changed =
            changes.drops(name.as_bytes()) || changes.added().any(|(other, _)| other == *name);
        !is_changed && !has(name)
    })
}

/// The fields of an answer of the proxy itself, which came in TLS or not. Nothing else of what its
/// route changes is done to such an answer, so what the route says of these is said here.
pub(crate) fn own(changes: &FieldChanges, is_secure: bool) -> Vec<(&str, &str)> {
    let fields = ALWAYS.into_iter().chain(is_secure.then_some(IN_TLS));
    let is_one = |name: &str| fields.clone().any(|(other, _)| other == name);
    let mut own: Vec<(&str, &str)> = Vec::new();
    own.extend(changes.added().filter(|(name, _)| is_one(name)));
    for field in missing(changes, is_secure, |_| false) {
        own.push(field);
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FieldName, FieldValue};

    fn names(changes: &FieldChanges, is_secure: bool, has: &[&str]) -> Vec<&'static str> {
        let has = |name: &str| has.contains(&name);
        missing(changes, is_secure, has)
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn what_the_service_or_the_route_says_goes_before() {
        let nothing = FieldChanges::default();
        assert_eq!(names(&nothing, false, &[]), ALWAYS.map(|(name, _)| name));
        assert_eq!(names(&nothing, true, &[]).last(), Some(&IN_TLS.0));
        let own = [
            "content-security-policy",
            "x-frame-options",
            "strict-transport-security",
        ];
        let rest = ["x-content-type-options", "referrer-policy"];
        assert_eq!(names(&nothing, true, &own), rest);
        let name = |name: &str| FieldName::new(name).unwrap();
        let value = || FieldValue::new("x").unwrap();
        let changes = FieldChanges {
            set: [(name("Referrer-Policy"), value())].into(),
            add: [(name("Content-Security-Policy"), value())].into(),
            remove: [name("X-Frame-Options")].into(),
        };
        assert_eq!(names(&changes, false, &[]), ["x-content-type-options"]);
    }

    #[test]
    fn what_the_route_says_of_them_is_said_in_answers_of_our_own() {
        let name = |name: &str| FieldName::new(name).unwrap();
        let value = || FieldValue::new("x").unwrap();
        let changes = FieldChanges {
            set: [
                (name("Referrer-Policy"), value()),
                (name("X-Other"), value()),
            ]
            .into(),
            add: [(name("Strict-Transport-Security"), value())].into(),
            remove: [name("X-Frame-Options")].into(),
        };
        let rest = [ALWAYS[0], ALWAYS[2]];
        let in_clear = own(&changes, false);
        assert_eq!(
            in_clear,
            [[("referrer-policy", "x")].as_slice(), &rest].concat()
        );
        let in_tls = own(&changes, true);
        let said = [("referrer-policy", "x"), ("strict-transport-security", "x")];
        assert_eq!(in_tls, [said.as_slice(), &rest].concat());
    }

    #[test]
    fn each_can_be_changed_by_a_route() {
        for (name, value) in ALWAYS.into_iter().chain([IN_TLS]) {
            assert_eq!(FieldName::new(name).unwrap().as_str(), name);
            assert_eq!(FieldValue::new(value).unwrap().as_str(), value);
        }
    }
}
