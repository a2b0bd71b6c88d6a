//! Answers that tell a client to ask elsewhere.

use http::StatusCode;
use model::{PathPattern, RedirectStatus};

use super::date;
use super::field_section::FieldSection;
use super::gateway_error::{REASON, Reply};
use super::manner::Manner;
use super::target::split_port;
use crate::routing::Asked;
use crate::routing::path_change::PathChange;

/// Where requests of one rule are redirected to.
#[derive(Debug)]
pub(crate) struct Redirect {
    status: StatusCode,
    https: bool,
    host: Option<Box<str>>,
    port: Option<u16>,
    path: Option<PathChange>,
}

/// The value of `roadbed-reason`.
const REDIRECT: &str = "redirect";

impl Redirect {
    /// What `redirect` says of requests whose paths fit `pattern`.
    pub(crate) fn of(pattern: &PathPattern, redirect: &model::Redirect) -> Self {
        let path = redirect.path.as_ref();
        Self {
            status: match redirect.status {
                RedirectStatus::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
                RedirectStatus::Found => StatusCode::FOUND,
                RedirectStatus::TemporaryRedirect => StatusCode::TEMPORARY_REDIRECT,
                RedirectStatus::PermanentRedirect => StatusCode::PERMANENT_REDIRECT,
            },
            https: redirect.https,
            host: redirect.host.as_ref().map(|host| host.as_str().into()),
            port: redirect.port,
            path: path.map(|change| PathChange::of(pattern, change)),
        }
    }

    /// The answer to `asked`, which came in TLS or not.
    pub(crate) fn answer(&self, asked: &dyn Asked, is_secure: bool) -> Redirection {
        Redirection {
            status: self.status,
            location: self.location(asked, is_secure),
        }
    }

    /// The URL to ask. Where it is on the same host it needs no more than a path, which holds
    /// whatever stands in front of the edge.
    fn location(&self, asked: &dyn Asked, is_secure: bool) -> String {
        let target = asked.path_and_query();
        let path = match &self.path {
            Some(change) => change.apply(target),
            None if target == b"*" => b"/".to_vec(),
            None => target.to_vec(),
        };
        // Targets are printable ASCII.
        let path = String::from_utf8_lossy(&path).into_owned();
        let stays = !self.https && self.host.is_none() && self.port.is_none();
        if stays && !path.starts_with("//") {
            return path;
        }
        let (host, port) = split_port(asked.host());
        let (host, port) = (String::from_utf8_lossy(host), port.unwrap_or_default());
        let host = self.host.as_deref().unwrap_or(&host);
        let is_https = self.https || is_secure;
        let scheme = if is_https { "https" } else { "http" };
        let usual = if is_https { "443" } else { "80" };
        let port = match self.port {
            Some(port) => port.to_string(),
            None => String::from_utf8_lossy(port).into_owned(),
        };
        match port.is_empty() || port == usual {
            true => format!("{scheme}://{host}{path}"),
            false => format!("{scheme}://{host}:{port}{path}"),
        }
    }
}

/// One redirect.
#[derive(Debug)]
pub(crate) struct Redirection {
    pub(crate) status: StatusCode,
    location: String,
}

impl Redirection {
    /// Its fields, in this manner.
    pub(crate) fn fields(&self, manner: Manner<'_>) -> FieldSection {
        let mut fields = FieldSection::with_capacity(160 + self.location.len(), 6);
        fields.push(b"location", self.location.as_bytes());
        fields.push(REASON, REDIRECT.as_bytes());
        fields.push(b"content-length", b"0");
        fields.push(b"date", &date::now());
        manner.add_to(&mut fields);
        fields
    }

    /// Itself over HTTP/1.x.
    pub(crate) fn text(&self, reply: Reply<'_>) -> Vec<u8> {
        reply.text(self.status.as_u16(), &self.fields(reply.manner), b"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ExactPath, Host, PathPrefix};

    struct Request(&'static str, &'static str);

    impl Asked for Request {
        fn host(&self) -> &[u8] {
            self.0.as_bytes()
        }
        fn path_and_query(&self) -> &[u8] {
            self.1.as_bytes()
        }
        fn method(&self) -> &[u8] {
            b"GET"
        }
        fn any_field(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            false
        }
    }

    const NOTHING: model::Redirect = model::Redirect {
        status: RedirectStatus::Found,
        https: false,
        host: None,
        port: None,
        path: None,
    };

    #[track_caller]
    fn check(redirect: model::Redirect, asked: Request, is_secure: bool, location: &str) {
        let old = PathPattern::Prefix(PathPrefix::new("/old").unwrap());
        let redirect = Redirect::of(&old, &redirect);
        assert_eq!(redirect.answer(&asked, is_secure).location, location);
    }

    #[test]
    fn what_is_not_said_stays_as_it_was_asked() {
        let asked = Request("A.test:8080", "/old/b?c=d");
        let host = Some(Host::new("b.test").unwrap());
        let to_host = || model::Redirect {
            host: host.clone(),
            ..NOTHING
        };
        check(to_host(), asked, false, "http://b.test:8080/old/b?c=d");
        check(to_host(), Request("a", "*"), true, "https://b.test/");
        let port = Some(443);
        let to_https = || model::Redirect {
            https: true,
            port,
            ..NOTHING
        };
        check(
            to_https(),
            Request("A.test:8080", "/old"),
            false,
            "https://A.test/old",
        );
        let to_https = model::Redirect {
            port: Some(8443),
            ..to_https()
        };
        check(
            to_https,
            Request("[::1]:80", "/old?x"),
            false,
            "https://[::1]:8443/old?x",
        );
    }

    #[test]
    fn a_path_can_name_no_other_host() {
        let to = |prefix: &str| model::Redirect {
            path: Some(model::PathChange::Prefix(PathPrefix::new(prefix).unwrap())),
            ..NOTHING
        };
        check(to("/new"), Request("a", "/old/b?c"), false, "/new/b?c");
        check(
            to("/"),
            Request("a", "/old//evil.test"),
            false,
            "/evil.test",
        );
        let path = Some(model::PathChange::Whole(ExactPath::new("/x").unwrap()));
        let whole = model::Redirect { path, ..NOTHING };
        check(whole, Request("a", "/old//evil.test?y"), false, "/x?y");
        check(
            NOTHING,
            Request("a:1", "//evil.test"),
            false,
            "http://a:1//evil.test",
        );
    }
}
