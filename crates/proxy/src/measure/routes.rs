//! What became of the requests of each route of the edge. A worker keeps a [`RouteCounters`] with
//! each route, where a request finds it with the route itself; it is read when somebody asks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use model::{AppName, Route};

use super::counters::{add, class};
use super::histogram::Histogram;
use super::page::Page;
use super::sample::Kind;
use super::totals::CLASSES;
use crate::limits::ROUTES_WITH_BUCKETS;

/// What tells a route from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RouteName {
    /// The app whose services it leads to; none where it leads elsewhere.
    pub(crate) app: Option<AppName>,
    /// Its host, or pattern of hosts.
    pub(crate) host: Box<str>,
    /// Host, path and conditions: its key in the snapshot.
    pub(crate) key: Box<str>,
}

impl RouteName {
    /// The name of `route`, whose key is this.
    pub(crate) fn of(key: &str, route: &Route) -> Self {
        Self {
            app: route.services().next().map(|id| id.app.clone()),
            host: route.matching.host.to_string().into(),
            key: key.into(),
        }
    }
}

/// The counters of one route on one worker. Its histogram takes room from its first request on.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    /// Its key in the snapshot.
    pub(crate) key: Rc<str>,
    app: Option<AppName>,
    host: Box<str>,
    by_class: [Cell<u64>; 5],
    cut: Cell<u64>,
    /// Content on its way to instances.
    pub(super) received: Cell<u64>,
    /// Content on its way to clients.
    pub(super) sent: Cell<u64>,
    head: RefCell<Histogram>,
}

/// What one route counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouteTotals {
    /// Answers by the first digit of their status, 1 to 5.
    pub(crate) by_class: [u64; 5],
    /// Requests without an answer, or with a part of one.
    pub(crate) cut: u64,
    /// Bytes of content on their way to instances.
    pub(crate) received: u64,
    /// Bytes of content on their way to clients.
    pub(crate) sent: u64,
    /// Times from a request's head to its answer's.
    pub(crate) head: Histogram,
}

/// The numbers of all routes that had requests.
pub(crate) type Routes = BTreeMap<RouteName, RouteTotals>;

impl RouteCounters {
    pub(crate) fn new(name: RouteName) -> Rc<Self> {
        Rc::new(Self {
            key: (&*name.key).into(),
            app: name.app,
            host: name.host,
            by_class: Default::default(),
            cut: Cell::new(0),
            received: Cell::new(0),
            sent: Cell::new(0),
            head: RefCell::default(),
        })
    }

    /// What tells its route from others.
    pub(crate) fn name(&self) -> RouteName {
        RouteName {
            app: self.app.clone(),
            host: self.host.clone(),
            key: (&*self.key).into(),
        }
    }

    /// Whether it is that of the route of this name.
    pub(crate) fn is_of(&self, name: &RouteName) -> bool {
        *self.key == *name.key && self.app == name.app && self.host == name.host
    }

    /// A request got its answer, whose head was there after this time.
    pub(super) fn answered(&self, status: u16, head: Duration) {
        add(&self.by_class[class(status)], 1);
        self.head.borrow_mut().record(head);
    }

    /// A request was answered without any service.
    pub(crate) fn answered_at_once(&self, status: u16) {
        self.answered(status, Duration::ZERO);
    }

    /// A request got no answer, or not all of it.
    pub(super) fn cut(&self) {
        add(&self.cut, 1);
    }

    /// The numbers now; none where there was no request.
    pub(crate) fn read(&self) -> Option<RouteTotals> {
        let totals = RouteTotals {
            by_class: self.by_class.each_ref().map(Cell::get),
            cut: self.cut.get(),
            received: self.received.get(),
            sent: self.sent.get(),
            head: self.head.borrow().clone(),
        };
        (totals != RouteTotals::default()).then_some(totals)
    }
}

impl std::ops::AddAssign<&Self> for RouteTotals {
    fn add_assign(&mut self, other: &Self) {
        for (total, more) in self.by_class.iter_mut().zip(other.by_class) {
            *total += more;
        }
        self.cut += other.cut;
        self.received += other.received;
        self.sent += other.sent;
        self.head.merge(&other.head);
    }
}

/// Writes the families of routes.
pub(super) fn write(page: &mut Page, routes: &Routes) {
    let help = "Requests of a route that got a whole answer, by the first digit of its status.";
    page.family("roadbed_route_requests_total", Kind::Counter, help);
    for (name, totals) in routes {
        for (class, count) in CLASSES.iter().zip(totals.by_class) {
            with_labels(name, Some(("code", class)), |labels| {
                page.sample(labels, count)
            });
        }
    }
    for (name, help, number) in [
        (
            "roadbed_route_cut_requests_total",
            "Requests of a route without a whole answer, since client or service went away.",
            (|of| of.cut) as fn(&RouteTotals) -> u64,
        ),
        (
            "roadbed_route_request_body_bytes_total",
            "Content of a route's requests that was passed on to instances.",
            |of| of.received,
        ),
        (
            "roadbed_route_response_body_bytes_total",
            "Content of answers to a route's requests that was passed on from instances.",
            |of| of.sent,
        ),
    ] {
        page.family(name, Kind::Counter, help);
        for (route, totals) in routes {
            with_labels(route, None, |labels| page.sample(labels, number(totals)));
        }
    }
    let help = "Time from the end of a request's head to the head of its answer, by route.";
    let kind = match routes.len() <= ROUTES_WITH_BUCKETS {
        true => Kind::Histogram,
        false => Kind::NativeHistogram,
    };
    page.family("roadbed_route_response_head_seconds", kind, help);
    for (name, totals) in routes {
        with_labels(name, None, |labels| page.histogram(labels, &totals.head));
    }
}

/// Calls `write` with the labels of a route, and one more.
fn with_labels(name: &RouteName, more: Option<(&str, &str)>, write: impl FnOnce(&[(&str, &str)])) {
    // A label without a value is none.
    let app = name.app.as_ref().map_or("", AppName::as_str);
    let labels = [("app", app), ("host", &*name.host), ("route", &*name.key)];
    let first = usize::from(app.is_empty());
    match more {
        Some(more) => write(&[labels[0], labels[1], labels[2], more][first..]),
        None => write(&labels[first..]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::Form;
    use super::*;

    fn name(app: Option<&str>, key: &str) -> RouteName {
        RouteName {
            app: app.map(|app| AppName::new(app).unwrap()),
            host: "a.test".into(),
            key: key.into(),
        }
    }

    fn text(routes: &Routes) -> String {
        let mut page = Page::new(Form::Text);
        write(&mut page, routes);
        String::from_utf8(page.finish()).unwrap()
    }

    #[test]
    fn each_route_that_had_requests_has_its_numbers() {
        let used = RouteCounters::new(name(Some("shop"), "a.test/x header \"a\"=\"b\""));
        assert_eq!(used.read(), None);
        used.answered(200, Duration::from_secs(1));
        used.answered_at_once(404);
        used.cut();
        add(&used.received, 5);
        let mut totals = used.read().unwrap();
        let other = totals.clone();
        totals += &other;
        let redirect = RouteCounters::new(name(None, "a.test/old"));
        redirect.answered_at_once(308);
        let routes = [&used, &redirect].map(|route| (route.name(), route.read().unwrap()));
        let mut routes = Routes::from(routes);
        routes.insert(used.name(), totals);
        let page = text(&routes);
        let of = r#"{app="shop",host="a.test",route="a.test/x header \"a\"=\"b\"""#;
        for line in [
            format!(r#"roadbed_route_requests_total{of},code="2xx"}} 2"#),
            format!(r#"roadbed_route_requests_total{of},code="4xx"}} 2"#),
            format!("roadbed_route_cut_requests_total{of}}} 2"),
            format!("roadbed_route_request_body_bytes_total{of}}} 10"),
            format!(r#"roadbed_route_response_head_seconds_bucket{of},le="0.512"}} 2"#),
            format!("roadbed_route_response_head_seconds_count{of}}} 4"),
            r#"roadbed_route_requests_total{host="a.test",route="a.test/old",code="3xx"} 1"#.into(),
        ] {
            assert!(page.lines().any(|have| have == line), "{line}\n{page}");
        }
    }

    #[test]
    fn very_many_routes_have_no_buckets_in_text() {
        let mut totals = RouteTotals::default();
        totals.head.record(Duration::from_secs(1));
        let routes = |count: usize| -> Routes {
            let names = (0..count).map(|number| name(Some("shop"), &format!("a.test/{number}")));
            names.map(|name| (name, totals.clone())).collect()
        };
        assert!(text(&routes(ROUTES_WITH_BUCKETS)).contains("_bucket"));
        let page = text(&routes(ROUTES_WITH_BUCKETS + 1));
        assert!(
            !page.contains("_bucket") && page.contains("_head_seconds_sum"),
            "{page}"
        );
    }
}
