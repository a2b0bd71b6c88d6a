//! Limits of rates: whose bucket a request takes a token from, and the buckets of all rules. They
//! are the one thing that workers share while they serve, and only requests of a rule with a limit
//! touch them: a limit that each worker held a part of would depend on which worker a
//! connection has come to.

mod bucket;
mod table;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use model::{Caller, RateLimit};

use self::bucket::{Bucket, Taken};
use self::table::Table;
use crate::routing::{Asked, cookie};

/// The limit of one rule.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: RateLimit,
    bucket: Bucket,
    table: Table,
    /// Seeded at random: nobody can make up keys that share a bucket with another's.
    hashes: RandomState,
    begun: Instant,
}

impl Limiter {
    fn new(limit: &RateLimit) -> Self {
        Self {
            limit: limit.clone(),
            bucket: Bucket::of(limit),
            table: Table::new(),
            hashes: RandomState::new(),
            begun: Instant::now(),
        }
    }

    /// Lets the request through that `peer` has sent, or says after how many seconds there is a
    /// token for it.
    pub(crate) fn admit(&self, asked: &dyn Asked, peer: IpAddr) -> Result<(), u32> {
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        match self.table.take(self.bucket, self.key(asked, peer), now) {
            Taken::Token(_) => Ok(()),
            Taken::None(wait) => {
                let seconds = wait.div_ceil(1_000_000_000);
                Err(u32::try_from(seconds).unwrap_or(u32::MAX))
            }
        }
    }

    /// The hash of what requests have in common that share a bucket.
    fn key(&self, asked: &dyn Asked, peer: IpAddr) -> u64 {
        let mut hash = None;
        let mut see = |value: &[u8]| {
            hash.get_or_insert_with(|| self.hash(b'v', value));
            true
        };
        match &self.limit.by {
            Caller::Route => return self.hash(b'r', b""),
            Caller::Address => {}
            Caller::Header(name) => drop(asked.any_field(name.as_str(), &mut see)),
            Caller::Cookie(name) => {
                asked.any_field("cookie", &mut |field| match cookie(field, name) {
                    Some(value) => see(value),
                    None => false,
                });
            }
        }
        hash.unwrap_or_else(|| match peer.to_canonical() {
            IpAddr::V4(address) => self.hash(b'4', &address.octets()),
            // What one customer of a network has at least: within it addresses cost nothing.
            IpAddr::V6(address) => self.hash(b'6', &address.octets()[..8]),
        })
    }

    fn hash(&self, kind: u8, value: &[u8]) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        hasher.write_u8(kind);
        hasher.write(value);
        hasher.finish()
    }
}

/// The limits of all rules, for all workers. It is looked at when a snapshot is applied, never by
/// a request.
#[derive(Debug, Default)]
pub(crate) struct Limiters(Mutex<HashMap<String, Weak<Limiter>>>);

impl Limiters {
    /// That of the rule of `key`. As long as its limit stays the same it stays the same too, over
    /// snapshots and for all workers.
    pub(crate) fn of(&self, key: &str, limit: &RateLimit) -> Arc<Limiter> {
        // Whoever panicked has left a table in which each entry is whole.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, limiter| limiter.strong_count() > 0);
        let known = all.get(key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.limit == *limit) {
            return known;
        }
        let new = Arc::new(Limiter::new(limit));
        all.insert(key.to_owned(), Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Period;

    struct Head(&'static [(&'static str, &'static str)]);

    impl Asked for Head {
        fn host(&self) -> &[u8] {
            b"a.test"
        }
        fn path_and_query(&self) -> &[u8] {
            b"/"
        }
        fn method(&self) -> &[u8] {
            b"GET"
        }
        fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            let fields = self.0.iter().filter(|(given, _)| *given == name);
            fields.map(|(_, value)| value.as_bytes()).any(test)
        }
    }

    fn limit(by: Caller) -> RateLimit {
        RateLimit {
            requests: 1.try_into().unwrap(),
            per: Period::Hour,
            burst: 1.try_into().unwrap(),
            by,
        }
    }

    type Request = (&'static str, &'static [(&'static str, &'static str)]);

    fn share_a_bucket(by: Caller, one: Request, other: Request) -> bool {
        let limiter = Limiter::new(&limit(by));
        let admit = |(peer, fields): Request| limiter.admit(&Head(fields), peer.parse().unwrap());
        assert!(admit(one).is_ok());
        admit(other).is_err()
    }

    #[test]
    fn who_shares_a_bucket_hangs_on_the_key() {
        let header = || Caller::Header(model::FieldName::new("x-key").unwrap());
        let cookie = || Caller::Cookie("s".to_owned());
        let (v4, v6) = ("192.0.2.1", "2001:db8:1:2::1");
        for (by, one, other, expected) in [
            (Caller::Route, (v4, &[][..]), (v6, &[][..]), true),
            (Caller::Address, (v4, &[]), (v4, &[]), true),
            (Caller::Address, (v4, &[]), ("::ffff:192.0.2.1", &[]), true),
            (Caller::Address, (v4, &[]), ("192.0.2.2", &[]), false),
            (Caller::Address, (v6, &[]), ("2001:db8:1:2:3::9", &[]), true),
            (Caller::Address, (v6, &[]), ("2001:db8:1:3::1", &[]), false),
            (
                header(),
                (v4, &[("x-key", "a")]),
                (v6, &[("x-key", "a")]),
                true,
            ),
            (
                header(),
                (v4, &[("x-key", "a")]),
                (v4, &[("x-key", "b")]),
                false,
            ),
            (header(), (v4, &[("x-key", "a")]), (v4, &[]), false),
            (header(), (v4, &[]), (v4, &[("y", "a")]), true),
            (header(), (v4, &[]), (v6, &[]), false),
            (
                cookie(),
                (v4, &[("cookie", "a=b; s=1")]),
                (v6, &[("cookie", "s=1")]),
                true,
            ),
            (
                cookie(),
                (v4, &[("cookie", "s=1")]),
                (v4, &[("cookie", "as=1; s=2")]),
                false,
            ),
            (cookie(), (v4, &[("cookie", "as=1")]), (v4, &[]), true),
        ] {
            assert_eq!(
                share_a_bucket(by.clone(), one, other),
                expected,
                "{by:?} {one:?} {other:?}"
            );
        }
    }

    #[test]
    fn the_wait_is_told_in_whole_seconds_that_are_enough() {
        let limiter = Limiter::new(&limit(Caller::Route));
        let peer = "192.0.2.1".parse().unwrap();
        assert_eq!(limiter.admit(&Head(&[]), peer), Ok(()));
        let wait = limiter.admit(&Head(&[]), peer).unwrap_err();
        assert!((3599..=3600).contains(&wait), "{wait}");
    }

    #[test]
    fn a_rule_keeps_its_buckets_as_long_as_its_limit_stays() {
        let limiters = Limiters::default();
        let one = limiters.of("a", &limit(Caller::Route));
        assert!(Arc::ptr_eq(&one, &limiters.of("a", &limit(Caller::Route))));
        assert!(!Arc::ptr_eq(&one, &limiters.of("b", &limit(Caller::Route))));
        assert!(!Arc::ptr_eq(
            &one,
            &limiters.of("a", &limit(Caller::Address))
        ));
        // What no worker has any more is forgotten.
        drop(one);
        limiters.of("c", &limit(Caller::Route));
        assert_eq!(limiters.0.lock().unwrap().len(), 1);
    }
}
