//! What the edge does with requests beside what services expose.

use std::collections::BTreeMap;
use std::ops::Range;

use model::{
    Action, HostPattern, Matching, Method, Mirror, PathPattern, Rule, Service, ServiceName, Share,
    Treatment,
};
use toml::Spanned;

use super::exposure::Exposures;
use super::treatment::{self, header_changes as changes};
use super::{attempts, conditions, paths, rate_limit, resilience, values};
use crate::app_file;
use crate::app_file::route::{self, Destination, Route};
use crate::findings::{Findings, quoted};
use crate::keys::nearest;
use crate::limits;
use crate::problem::line;
use crate::written::Written;

/// What the validation of routes knows beside the routes.
pub(super) struct Context<'a> {
    /// All services, those that are not valid without their declaration.
    pub(super) services: &'a BTreeMap<String, Option<&'a Service>>,
    /// The file's text.
    pub(super) source: &'a str,
}

/// The routes in the order of the file.
pub(super) fn routes(
    written: Written<Vec<Written<Route>>>,
    context: &Context<'_>,
    exposures: &Exposures,
    findings: &mut Findings,
) -> Vec<Rule<ServiceName>> {
    let Some(list) = findings.value("routes", written) else {
        return Vec::new();
    };
    let mut taken = Taken::of(exposures, context.source);
    let (mut rules, mut limited) = (Vec::new(), 0);
    let list = list.into_inner();
    let count = list.len();
    for (order, written) in (0..).zip(list) {
        if findings.is_full() {
            break;
        }
        let Some(written) = findings.value("routes", written) else {
            continue;
        };
        let span = written.span();
        if order as usize == limits::MOST_ROUTES {
            let most = limits::MOST_ROUTES;
            let message = format!("an app has at most {most} routes, this one has {count}");
            let hint = "split the app in two".to_owned();
            findings.add(span, message).hint(hint);
            break;
        }
        let rule = route(written.into_inner(), &span, order, context, findings);
        if let Some(rule) = rule {
            limited += usize::from(rule.treatment.rate_limit.is_some());
            if limited == limits::MOST_RATE_LIMITS + 1 {
                let most = limits::MOST_RATE_LIMITS;
                let message = format!("at most {most} routes of an app have a `rate_limit`");
                findings.add(span.clone(), message);
            }
            taken.add(&rule.matching, span, context.source, findings);
            rules.push(rule);
        }
    }
    rules
}

/// One route that stands at `span`, where it is valid.
fn route(
    written: Route,
    span: &Range<usize>,
    order: u32,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Rule<ServiceName>> {
    let host = host(written.host, span, findings);
    let path = paths::path(written.path, written.exact, written.template, findings);
    let methods = methods(written.methods, findings);
    let headers = conditions::headers(written.headers, findings);
    let query = conditions::query(written.query, findings);
    let cookies = conditions::cookies(written.cookies, findings);
    if matches!(
        (&written.to, &written.redirect),
        (Written::Absent, Written::Absent)
    ) {
        let hint = "say where requests go, such as to = \"web\"".to_owned();
        findings.add_absence(span.clone(), "this route has no `to`".into(), Some(hint));
    }
    let redirect = findings.value("redirect", written.redirect);
    let place = redirect.as_ref().map(Spanned::span);
    let has_to = !matches!(written.to, Written::Absent);
    let to = findings.value("to", written.to);
    let action = match redirect {
        Some(redirect) => {
            treatment::redirect(redirect, path.as_ref(), findings).map(Action::Redirect)
        }
        None => to.and_then(|to| destination(to, context, findings)),
    };
    let mut treatment = Treatment {
        rewrite: treatment::rewrite(written.rewrite, path.as_ref(), findings),
        request_headers: changes("request_headers", written.request_headers, findings),
        response_headers: changes("response_headers", written.response_headers, findings),
        timeout: values::duration("timeout", written.timeout, &limits::TIMEOUT, findings)
            .map(Spanned::into_inner),
        deadline: None,
        idle_timeout: attempts::idle_timeout(written.idle_timeout, findings),
        retries: attempts::retries(written.retries, written.retry_on, findings),
        body_limit: treatment::body_limit(written.body_limit, findings),
        rate_limit: rate_limit::rate_limit(written.rate_limit, findings),
        priority: resilience::priority(written.priority, findings),
        compress: values::flag("compress", written.compress, findings),
        security_headers: values::flag("security_headers", written.security_headers, findings),
    };
    treatment.deadline = attempts::deadline(written.deadline, treatment.timeout, findings);
    let mirror = mirror(written.mirror, context, findings);
    // Redirects have fields that make browsers careful as all answers do.
    let plain = Treatment {
        security_headers: treatment.security_headers,
        ..Treatment::default()
    };
    let is_treated = mirror.is_some() || treatment != plain;
    if let Some(place) = place.filter(|_| has_to || is_treated) {
        let message = "a redirect is answered by the edge: no service sees the request";
        let hint =
            "write nothing beside `redirect` but which requests it is for, and `security_headers`"
                .to_owned();
        findings.add(place, message).hint(hint);
    }
    let in_clear = matches!(&action, Some(Action::Redirect(redirect)) if redirect.https);
    Some(Rule {
        matching: Matching {
            host: host?,
            path: path?,
            methods,
            headers,
            query,
            cookies,
            in_clear,
        },
        order,
        action: action?,
        treatment,
        mirror,
        error_pages: None,
    })
}

/// Where copies go, where that is valid.
fn mirror(
    written: Written<app_file::mirror::Mirror>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Mirror<ServiceName>> {
    let written = findings.value("mirror", written)?;
    let (span, written) = (written.span(), written.into_inner());
    if matches!(written.service, Written::Absent) {
        let hint = "write { service = \"next\", percent = 10 }".to_owned();
        findings.add_absence(span, "`mirror` has no `service`".into(), Some(hint));
    }
    let percent = values::number(
        "mirror.percent",
        written.percent,
        &limits::PERCENT,
        findings,
    );
    let unsafe_methods = findings.value("mirror.unsafe_methods", written.unsafe_methods);
    let most = limits::MOST_MIRRORED_BODY;
    let hint = "larger requests are served, and not copied";
    let limit = (most, hint);
    let body = treatment::size("mirror.body_limit", written.body_limit, limit, findings);
    let body = u32::try_from(body.unwrap_or(most)).unwrap_or_default();
    let name = findings.value("mirror.service", written.service)?;
    Some(Mirror {
        service: service("mirror.service", &name, context, findings)?,
        percent: u8::try_from(percent).ok()?.try_into().ok()?,
        unsafe_methods: unsafe_methods.is_some_and(|value| *value.get_ref()),
        body_limit: body.try_into().ok()?,
    })
}

fn host(
    written: Written<String>,
    span: &Range<usize>,
    findings: &mut Findings,
) -> Option<HostPattern> {
    if matches!(written, Written::Absent) {
        let hint = "add one, such as host = \"shop.localhost\"; \"*\" is any".to_owned();
        findings.add_absence(span.clone(), "this route has no `host`".into(), Some(hint));
    }
    let written = findings.value("host", written)?;
    let text = written.get_ref().as_str();
    match HostPattern::new(text) {
        Ok(host) => Some(host),
        Err(error) => {
            let message = format!("{} is no host for a route: {error}", quoted(text));
            // A scheme, a port or a path around a good host is the usual mistake.
            let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
            let bare = bare.split(['/', ':']).next().unwrap_or_default();
            let bare = HostPattern::new(bare).ok();
            let hint = bare.map(|host| format!("write host = \"{host}\""));
            findings.add(written.span(), message).hint(hint);
            None
        }
    }
}

fn methods(
    written: Written<Vec<Written<String>>>,
    findings: &mut Findings,
) -> std::collections::BTreeSet<Method> {
    let span = match &written {
        Written::Value(list) if list.get_ref().is_empty() => Some(list.span()),
        _ => None,
    };
    if let Some(span) = span {
        let hint = "name some, or remove `methods` for all".to_owned();
        findings.add(span, "`methods` is empty").hint(hint);
    }
    let mut methods = std::collections::BTreeSet::new();
    for item in values::distinct("methods", written, findings) {
        let text = item.get_ref().as_str();
        match Method::new(text) {
            Ok(method) => {
                methods.insert(method);
            }
            Err(error) => {
                let message = format!("{} is no method: {error}", quoted(text));
                let capitals = Method::new(&text.to_ascii_uppercase()).ok();
                let hint = capitals.map(|method| format!("write \"{method}\""));
                findings.add(item.span(), message).hint(hint);
            }
        }
    }
    methods
}

fn destination(
    to: Spanned<Destination>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Action<ServiceName>> {
    let span = to.span();
    match to.into_inner() {
        Destination::One(name) => {
            let name = service("to", &Spanned::new(span, name), context, findings)?;
            Some(Action::Upstream(name))
        }
        Destination::Shares(written) => shares(written, span, context, findings),
    }
}

/// The services that share requests, where all of them are valid.
fn shares(
    written: Vec<Written<route::Share>>,
    span: Range<usize>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Action<ServiceName>> {
    let count = written.len();
    let mut shares: Vec<Share<ServiceName>> = Vec::new();
    for item in written {
        if findings.is_full() {
            return None;
        }
        let Some(item) = findings.value("to", item) else {
            continue;
        };
        let (place, item) = (item.span(), item.into_inner());
        for (key, is_absent) in [
            ("service", matches!(item.service, Written::Absent)),
            ("weight", matches!(item.weight, Written::Absent)),
        ] {
            if is_absent {
                let hint = "write { service = \"web\", weight = 90 }".to_owned();
                let message = format!("one of the services in `to` has no `{key}`");
                findings.add_absence(place.clone(), message, Some(hint));
            }
        }
        let weight = values::number("weight", item.weight, &limits::WEIGHT, findings);
        let Some(name) = findings.value("service", item.service) else {
            continue;
        };
        let Some(service) = service("to", &name, context, findings) else {
            continue;
        };
        if shares.iter().any(|share| share.service == service) {
            let message = format!("{} is in `to` twice", quoted(service.as_str()));
            let hint = "remove one of the two".to_owned();
            findings.add(name.span(), message).hint(hint);
        }
        shares.push(Share { service, weight });
    }
    if shares.len() == count && shares.iter().all(|share| share.weight == 0) {
        let hint = "give one of them a weight above 0".to_owned();
        findings
            .add(span, "no service in `to` gets a request")
            .hint(hint);
        return None;
    }
    (shares.len() == count).then_some(Action::Split(shares))
}

/// The service that is named, where it can be sent requests.
fn service(
    key: &str,
    written: &Spanned<String>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<ServiceName> {
    let text = written.get_ref().as_str();
    let Some(service) = context.services.get(text) else {
        let message = format!(
            "`{key}` names {}, which is no service of this app",
            quoted(text)
        );
        let hint = match nearest(text, context.services.keys().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "add the service to this file, or name another".to_owned(),
        };
        findings.add_absence(written.span(), message, Some(hint));
        return None;
    };
    if service.is_some_and(|service| !service.protocol.is_http()) {
        let message = format!("`{key}` names {}, which does not speak HTTP", quoted(text));
        let hint = "route to a service with another protocol than \"tcp\"".to_owned();
        findings.add(written.span(), message).hint(hint);
    }
    // A name that is no valid one is reported where the service is declared.
    ServiceName::new(text).ok()
}

/// What requests are spoken for, by host, path and number of conditions.
struct Taken(BTreeMap<(String, usize), Vec<(Matching, String)>>);

impl Taken {
    fn of(exposures: &Exposures, source: &str) -> Self {
        let mut taken = Self(BTreeMap::new());
        for ((host, path), (service, span)) in &exposures.places {
            let host = HostPattern::Exact(host.clone());
            let matching = Matching::of(host, PathPattern::Prefix(path.clone()));
            let line = line(source, span.start);
            let who = format!("`expose` of service {} in line {line}", quoted(service));
            taken.of_place(&matching).push((matching, who));
        }
        taken
    }

    fn of_place(&mut self, matching: &Matching) -> &mut Vec<(Matching, String)> {
        let place = (matching.place(), matching.conditions());
        self.0.entry(place).or_default()
    }

    /// Takes note of a route; one that can never have a request is reported.
    fn add(
        &mut self,
        matching: &Matching,
        span: Range<usize>,
        source: &str,
        findings: &mut Findings,
    ) {
        let who = format!("the route in line {}", line(source, span.start));
        let others = self.of_place(matching);
        let most = limits::MOST_ROUTES_OF_A_PLACE;
        if others.len() == most {
            let message = format!(
                "a host and path has at most {most} routes of the same number of conditions"
            );
            findings.add(span, message);
        } else if let Some((earlier, other)) = others
            .iter()
            .find(|(other, _)| matching.is_shadowed_by(other))
        {
            let message = match earlier.is_same(matching) {
                true => format!("this route is for the same requests as {other}"),
                false => format!("no request reaches this route: {other} takes all of them"),
            };
            let hint = match earlier.is_same(matching) {
                true => "remove one of the two, or add a condition to one of them",
                false => "put this route in front of the other",
            };
            findings.add(span, message).hint(hint.to_owned());
        } else {
            others.push((matching.clone(), who));
        }
    }
}
