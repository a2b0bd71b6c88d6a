//! Asking the workers what they measured, for the server and for whoever asks the proxy itself.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::Control;
use crate::measure::text::{Delivered, Report, page};
use crate::measure::{Endpoints, SideTotals, Totals, process};
use crate::protocol::FromProxy;
use crate::start::StartError;
use crate::worker::{Command, Event};
use model::UpstreamId;

/// What all workers together measured.
#[derive(Debug, Default)]
struct Gathered {
    upstreams: BTreeMap<UpstreamId, Totals>,
    endpoints: Endpoints,
    connections: u64,
    accepted: u64,
    sides: SideTotals,
    /// Lines of the access log and spans that found no room.
    dropped: [u64; 2],
}

impl Control {
    /// Tells the server what became of requests.
    pub(super) async fn count(&mut self) -> Result<(), StartError> {
        let gathered = self.gather().await?;
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
    pub(super) async fn show(&mut self, to: oneshot::Sender<String>) -> Result<(), StartError> {
        let gathered = self.gather().await?;
        let report = Report {
            upstreams: &gathered.upstreams,
            endpoints: &gathered.endpoints,
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
        let _ = to.send(page(&report));
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

    /// Has every worker say what it measured, and adds it up.
    async fn gather(&mut self) -> Result<Gathered, StartError> {
        for worker in &self.workers {
            let asked = worker.send(Command::Count);
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
                        endpoints,
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
                    for (key, totals) in endpoints {
                        *total.endpoints.entry(key).or_default() += &totals;
                    }
                    for (id, totals) in upstreams {
                        *total.upstreams.entry(id).or_default() += &totals;
                    }
                }
                Some((worker, event)) => self.on_event(worker, event).await?,
                None => return Err(StartError::WorkerLost),
            }
        }
        Ok(total)
    }
}
