//! Where a request goes, whichever codec read it.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;

use http::StatusCode;
use model::{Protocol, TrustedHops};

use super::attest::{Attested, Texts};
use super::gateway_error::GatewayError;
use super::manner::Manner;
use super::message::RequestFacts;
use super::redirect::Redirection;
use super::request_id::RequestId;
use super::target::split_port;
use crate::measure::RouteCounters;
use crate::routing::rules::{Pages, Rules, manner};
use crate::routing::{Asked, InTls};
use crate::socket::Socket;
use crate::telemetry::Kept;
use crate::upstream::Upstream;
use crate::worker::{Listener, Routed, Worker};

/// Where a connection's requests come from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) peer: IpAddr,
    /// They arrive in TLS.
    pub(crate) is_secure: bool,
    /// Whom to believe where its requests come from, where its peer is one of them.
    pub(crate) trusted: Option<TrustedHops>,
    /// The address as fields say it, once that was needed.
    texts: OnceCell<Texts>,
    /// The host that the connection was opened for, where its client said so in TLS.
    opened_for: Option<String>,
}

impl Origin {
    /// The origin of what `client` sends to `listener`, whose address is `peer`.
    pub(crate) fn of(client: &Socket, listener: &Listener, peer: IpAddr) -> Self {
        Self {
            peer,
            is_secure: client.is_secure(),
            trusted: listener.trusts(peer),
            texts: OnceCell::new(),
            opened_for: client.server_name(),
        }
    }

    /// One in the clear, which is not trusted.
    pub(crate) fn in_clear(peer: IpAddr) -> Self {
        Self {
            peer,
            is_secure: false,
            trusted: None,
            texts: OnceCell::new(),
            opened_for: None,
        }
    }

    /// One in TLS that named no host.
    #[cfg(test)]
    pub(crate) fn secure(peer: IpAddr) -> Self {
        Self {
            peer,
            is_secure: true,
            trusted: None,
            texts: OnceCell::new(),
            opened_for: None,
        }
    }

    /// The address as fields say it.
    pub(crate) fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| Texts::of(self.peer))
    }

    /// Whether requests for `host` may come over this connection: one that was opened for another
    /// host was shown that one's certificate.
    fn may_ask_for(&self, worker: &Worker, host: &[u8]) -> bool {
        if !self.is_secure {
            return true;
        }
        let (host, _) = split_port(host);
        let host = host.strip_suffix(b".").unwrap_or(host);
        let opened_for = self.opened_for.as_deref();
        if opened_for.is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(host)) {
            return true;
        }
        let host = std::str::from_utf8(host).unwrap_or_default();
        worker.trust.borrow().covers(opened_for, host)
    }
}

/// What is done with a request.
pub(crate) enum Destination {
    /// It goes to an upstream.
    Upstream(Way),
    /// It is answered so, by these rules, which its route counts.
    Redirect(Redirection, Option<Rc<Rules>>, Rc<RouteCounters>),
}

/// How a request goes to an upstream.
pub(crate) struct Way {
    pub(crate) upstream: Rc<Upstream>,
    /// What its route changes.
    pub(crate) rules: Option<Rc<Rules>>,
    /// What is counted of its route, where it has one.
    pub(crate) counters: Option<Rc<RouteCounters>>,
    /// It goes to the endpoint where others of this number go.
    pub(crate) sticky: Option<u64>,
}

/// Why a request is sent to no service.
pub(crate) struct Refused {
    pub(crate) error: GatewayError,
    /// The service that it was for, where that was found.
    pub(crate) upstream: Option<Rc<Upstream>>,
    /// What is counted of its route, where that was found.
    counters: Option<Rc<RouteCounters>>,
    /// The rules that hold for it, where these were found.
    pub(crate) rules: Option<Rc<Rules>>,
    /// What is shown to those that fit no route of their host.
    pub(crate) fallback: Option<Pages>,
}

impl Refused {
    /// How it is told, to a request that is called `id` and came in TLS or not.
    pub(crate) fn manner<'a>(&'a self, id: Option<&'a RequestId>, is_secure: bool) -> Manner<'a> {
        let manner = manner(self.rules.as_deref(), id, is_secure);
        Manner {
            pages: manner.pages.or(self.fallback.as_deref()),
            ..manner
        }
    }

    /// Counts it, and notes it in what is kept of the request; why it is. `grpc` is what a
    /// call of gRPC is told, which it is counted by.
    pub(crate) fn note(
        &self,
        worker: &Worker,
        listener: &Listener,
        kept: Option<Kept<'_>>,
        grpc: Option<u8>,
    ) -> GatewayError {
        let counters = self.upstream.as_ref().map(|upstream| &upstream.counters);
        worker
            .sides
            .of(listener)
            .refused(self.error, grpc, counters);
        if let Some(route) = &self.counters {
            route.answered_at_once(self.error.status());
        }
        if let Some(kept) = kept {
            if let Some(counters) = &self.counters {
                kept.is_by(&counters.key);
            }
            if let Some(upstream) = &self.upstream {
                kept.is_for(upstream);
            }
            kept.refused(self.error, grpc);
        }
        self.error
    }
}

/// Counts a request that is told to ask elsewhere, and notes that in what is kept of it.
pub(crate) fn note_redirected(
    worker: &Worker,
    listener: &Listener,
    kept: Option<Kept<'_>>,
    (status, counters): (StatusCode, &Rc<RouteCounters>),
) {
    worker.sides.of(listener).redirected(status.as_u16());
    counters.answered_at_once(status.as_u16());
    if let Some(kept) = kept {
        kept.is_by(&counters.key);
        kept.redirected(status.as_u16());
    }
}

impl From<GatewayError> for Refused {
    fn from(error: GatewayError) -> Self {
        Self {
            error,
            upstream: None,
            counters: None,
            rules: None,
            fallback: None,
        }
    }
}

/// Finds what is done with a request, which asks this; `attested` is what the edge says of it.
pub(crate) fn route(
    worker: &Worker,
    listener: &Listener,
    origin: &Origin,
    attested: Option<&Attested<'_>>,
    asked: &dyn Asked,
    facts: RequestFacts,
) -> Result<Destination, Refused> {
    if facts.forwards == Some(0) {
        return Err(GatewayError::last_hop(asked.method()).into());
    }
    let is_secure = attested.map_or(origin.is_secure, Attested::is_secure);
    let routed = match listener.upstream() {
        Some(upstream) => Routed::To(upstream, None, None),
        None if !origin.may_ask_for(worker, asked.host()) => {
            return Err(GatewayError::Misdirected.into());
        }
        None => {
            let view = worker.view.borrow();
            let routed = match is_secure {
                true => view.route(&InTls(asked)),
                false => view.route(asked),
            };
            routed.ok_or_else(|| Refused {
                fallback: view.fallback(asked),
                ..GatewayError::NoRoute.into()
            })?
        }
    };
    let (upstream, rules, counters) = match routed {
        Routed::To(upstream, rules, counters) => (upstream, rules, counters),
        Routed::Redirect(redirect, rules, counters) => {
            let answer = redirect.answer(asked, is_secure);
            return Ok(Destination::Redirect(answer, rules, counters));
        }
    };
    let client = attested.map_or(origin.peer, Attested::client);
    let refusal = |rules: &Rc<Rules>| rules.refusal(asked, client, facts.body);
    if let Some(error) = rules.as_ref().and_then(refusal) {
        return Err(Refused {
            upstream: Some(upstream),
            counters,
            rules,
            ..error.into()
        });
    }
    match upstream.protocol() {
        Protocol::Tcp => Err(Refused {
            counters,
            rules,
            ..GatewayError::WrongProtocol.into()
        }),
        _ => {
            // Who calls through the mesh comes from this machine, all of them.
            let sticky = upstream.sticky(asked, attested.map(Attested::client));
            Ok(Destination::Upstream(Way {
                upstream,
                rules,
                counters,
                sticky,
            }))
        }
    }
}
