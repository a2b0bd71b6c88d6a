//! Asking the workers what they measured, for the server and for whoever asks the proxy itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Control;
use crate::failure::StartError;
use crate::measure::admin::Asking;
use crate::measure::report::{Delivered, Report, page};
use crate::measure::{self, Endpoints, Releases, SideTotals, Totals, process};
use crate::messages::{Command, Event};
use crate::protocol::FromProxy;
use model::UpstreamId;

/// What all workers together measured.
#[derive(Debug, Default)]
struct Gathered {
    upstreams: BTreeMap<UpstreamId, Totals>,
    endpoints: Endpoints,
    releases: Releases,
    routes: measure::Routes,
    connections: u64,
    accepted: u64,
    sides: SideTotals,
    /// Lines of the access log and spans that found no room.
    dropped: [u64; 2],
}

impl Control {
    /// Tells the server what became of requests.
    pub(super) async fn count(&mut self) -> Result<(), StartError> {
        let gathered = self.gather(false).await?;
        let upstreams = gathered.upstreams.into_iter();
        self.tell(FromProxy::Counted {
            upstreams: upstreams.map(|(id, of)| (id, of.counts())).collect(),
            connections: gathered.connections,
            metrics: self.admin.state(),
        })
        .await;
        Ok(())
    }

    /// Writes the page for Prometheus.
    pub(super) async fn show(&mut self, asking: Asking) -> Result<(), StartError> {
        let gathered = self.gather(true).await?;
        let report = Report {
            upstreams: &gathered.upstreams,
            endpoints: &gathered.endpoints,
            releases: &gathered.releases,
            routes: &gathered.routes,
            snapshot: &self.snapshot,
            connections: gathered.connections,
            accepted: gathered.accepted,
            sides: &gathered.sides,
            telemetry: self.telemetry(gathered.dropped),
            workers: self.workers.len(),
            has_server: self.server.is_some(),
            process: process::look(self.admin.started()),
        };
        // Fails only when whoever asked is gone.
        let _ = asking.answer.send(page(&report, asking.form));
        Ok(())
    }

    /// What became of lines and spans, of which workers dropped so many.
    fn telemetry(&self, dropped: [u64; 2]) -> [Delivered; 2] {
        let ends = [
            (&self.far_end.lines, dropped[0]),
            (&self.far_end.spans, dropped[1]),
        ];
        ends.map(|(end, dropped)| {
            let (delivered, lost) = end.read();
            Delivered {
                delivered,
                dropped: dropped + lost,
            }
        })
    }

    /// Has every worker say what it measured, also of single endpoints, releases and routes where
    /// `each` is set, and adds it up.
    async fn gather(&mut self, each: bool) -> Result<Gathered, StartError> {
        for worker in &self.workers {
            let asked = worker.send(Command::Count { each });
            asked.map_err(|_| StartError::WorkerLost)?;
        }
        let (mut waiting, mut total) = (self.workers.len(), Gathered::default());
        while waiting > 0 {
            match self.events.recv().await {
                Some((
                    _,
                    Event::Counted {
                        upstreams,
                        connections,
                        accepted,
                        each,
                        sides,
                        dropped,
                    },
                )) => {
                    waiting -= 1;
                    total.connections += connections as u64;
                    total.accepted += accepted;
                    for (total, dropped) in total.dropped.iter_mut().zip(dropped) {
                        *total += dropped;
                    }
                    for (total, side) in total.sides.iter_mut().zip(&*sides) {
                        *total += side;
                    }
                    let (endpoints, releases, routes) = *each;
                    merge(&mut total.endpoints, endpoints);
                    merge(&mut total.releases, releases);
                    merge(&mut total.routes, routes);
                    merge(&mut total.upstreams, upstreams);
                }
                Some((worker, event)) => self.on_event(worker, event).await?,
                None => return Err(StartError::WorkerLost),
            }
        }
        Ok(total)
    }
}

/// Adds the numbers of one worker to those of others.
fn merge<K: Ord, T>(total: &mut BTreeMap<K, T>, more: BTreeMap<K, T>)
where
    T: for<'a> std::ops::AddAssign<&'a T>,
{
    for (key, numbers) in more {
        match total.entry(key) {
            Entry::Vacant(place) => {
                place.insert(numbers);
            }
            Entry::Occupied(mut there) => *there.get_mut() += &numbers,
        }
    }
}
