//! How many requests of an upstream are with its instances at a time, from this worker, and how many
//! wait for their turn. Where a service declares none of it, nobody counts.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use model::Connections;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::gateway_error::GatewayError;
use crate::http::phases::NoAnswer;
use crate::socket::unless;

/// The gate of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    inside: RefCell<Option<Inside>>,
    waiting: Cell<usize>,
}

#[derive(Debug)]
struct Inside {
    /// This worker's part of what is declared.
    most: usize,
    most_waiting: usize,
    wait: Duration,
    places: Arc<Semaphore>,
}

/// Leave to be with an instance, until it is dropped.
pub(crate) type Pass = OwnedSemaphorePermit;

/// Counts one that waits as long as it does.
struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Gate {
    /// Sets what a service declares, for one of so many workers. Who is inside stays there, also
    /// where fewer may be from now on.
    pub(crate) fn configure(&self, declared: &Connections, workers: usize) {
        let part = |of_all: u32| (of_all as usize).div_ceil(workers.max(1));
        let mut inside = self.inside.borrow_mut();
        let Some(most) = declared.most.map(part) else {
            *inside = None;
            return;
        };
        let same = inside.take().filter(|known| known.most == most);
        let places = same.map(|known| known.places);
        *inside = Some(Inside {
            most,
            most_waiting: part(declared.waiting),
            wait: declared.wait,
            places: places.unwrap_or_else(|| Arc::new(Semaphore::new(most))),
        });
    }

    /// Lets one in, at once or when it is its turn; `gone` returns when it does not want that any
    /// more, and is asked only of those that wait.
    ///
    /// # Errors
    /// Too many wait, or it has waited for too long, or is gone.
    pub(crate) async fn enter(&self, gone: impl AsyncFnOnce()) -> Result<Option<Pass>, NoAnswer> {
        let (places, wait) = match &*self.inside.borrow() {
            None => return Ok(None),
            Some(inside) => {
                // Those who wait are served first: a place that is free has been given to them.
                if let Ok(pass) = inside.places.clone().try_acquire_owned() {
                    return Ok(Some(pass));
                }
                if self.waiting.get() >= inside.most_waiting {
                    return Err(NoAnswer::Failed(GatewayError::QueueFull));
                }
                (inside.places.clone(), inside.wait)
            }
        };
        let _waits = Waits::begin(&self.waiting);
        // Few come here, and it takes room.
        let turn = tokio::time::timeout(wait, places.acquire_owned());
        match Box::pin(unless(gone(), turn)).await {
            // It is never closed.
            Some(Ok(pass)) => Ok(pass.ok()),
            Some(Err(_)) => Err(NoAnswer::Failed(GatewayError::QueueTimeout)),
            None => Err(NoAnswer::ClientGone),
        }
    }
}

impl Gate {
    /// Lets one in that does not wait for its turn.
    ///
    /// # Errors
    /// It would have to.
    pub(crate) fn enter_now(&self) -> Result<Option<Pass>, GatewayError> {
        let Some(inside) = &*self.inside.borrow() else {
            return Ok(None);
        };
        let pass = inside.places.clone().try_acquire_owned();
        pass.map(Some).map_err(|_| GatewayError::QueueFull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(most: Option<u32>, wait: Duration) -> Connections {
        Connections {
            most,
            waiting: 2,
            wait,
            ..Connections::default()
        }
    }

    const TIMEOUT: NoAnswer = NoAnswer::Failed(GatewayError::QueueTimeout);

    /// One that does not go away.
    async fn enter(gate: &Gate) -> Result<Option<Pass>, NoAnswer> {
        gate.enter(async || std::future::pending().await).await
    }

    #[test]
    fn who_is_gone_does_not_wait_and_has_no_turn() {
        run(async {
            let gate = Gate::default();
            gate.configure(&declared(Some(1), LATE), 1);
            let inside = enter(&gate).await.unwrap();
            let gone = gate.enter(async || {}).await;
            assert_eq!(gone.err(), Some(NoAnswer::ClientGone));
            assert_eq!(gate.waiting.get(), 0);
            drop(inside);
            // Who can be let in at once is not asked.
            assert!(gate.enter(async || {}).await.unwrap().is_some());
        });
    }

    const SOON: Duration = Duration::from_millis(10);
    const LATE: Duration = Duration::from_secs(600);

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn so_many_are_inside_so_many_wait_and_the_rest_is_refused() {
        run(async {
            let gate = Gate::default();
            gate.configure(&declared(Some(1), SOON), 1);
            let inside = enter(&gate).await.unwrap();
            assert!(inside.is_some());
            let (second, third, fourth) = tokio::join!(enter(&gate), enter(&gate), enter(&gate));
            assert_eq!(second.err(), Some(TIMEOUT));
            assert_eq!(third.err(), Some(TIMEOUT));
            assert_eq!(
                fourth.err(),
                Some(NoAnswer::Failed(GatewayError::QueueFull))
            );
            // Who does not wait any more is not counted, and those who do have their turn.
            gate.configure(&declared(Some(1), LATE), 1);
            let (second, third, ()) = tokio::join!(
                async { drop(enter(&gate).await.unwrap().unwrap()) },
                async { drop(enter(&gate).await.unwrap().unwrap()) },
                async { drop(inside) },
            );
            assert_eq!((second, third, gate.waiting.get()), ((), (), 0));
            assert!(enter(&gate).await.unwrap().is_some());
        });
    }

    #[test]
    fn where_nothing_is_declared_nobody_counts_and_a_change_keeps_who_is_inside() {
        run(async {
            let gate = Gate::default();
            assert!(enter(&gate).await.unwrap().is_none());
            gate.configure(&declared(Some(1), SOON), 4);
            let inside = enter(&gate).await.unwrap();
            gate.configure(&declared(Some(3), SOON), 4);
            // It is the same part of one, with the one that is inside.
            assert_eq!(enter(&gate).await.err(), Some(TIMEOUT));
            drop(inside);
            let _inside = enter(&gate).await.unwrap();
            gate.configure(&declared(Some(8), SOON), 4);
            assert!(enter(&gate).await.unwrap().is_some());
            gate.configure(&declared(None, SOON), 4);
            assert!(enter(&gate).await.unwrap().is_none());
        });
    }
}
