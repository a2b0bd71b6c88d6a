//! The embedded store keeps the contract of all stores.

mod clock;
mod suite;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use store::{EmbeddedStore, Options, Store};

use clock::ManualClock;
use suite::{Harness, contract};

struct Embedded {
    store: Option<Arc<EmbeddedStore>>,
    path: PathBuf,
    options: Options,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

impl Embedded {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let clock = Arc::new(ManualClock::default());
        let options = Options {
            clock: clock.clone(),
            history_transactions: 200,
            ..Options::default()
        };
        let store = Some(Arc::new(
            EmbeddedStore::open_with(&path, options.clone()).unwrap(),
        ));
        Self {
            store,
            path,
            options,
            clock,
            _folder: folder,
        }
    }
}

impl Harness for Embedded {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    fn reopen(&mut self) {
        let store = self.store.take().unwrap();
        drop(Arc::into_inner(store).expect("a test keeps a handle while it reopens"));
        let store = EmbeddedStore::open_with(&self.path, self.options.clone()).unwrap();
        self.store = Some(Arc::new(store));
    }

    fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn more_than_kept(&self) -> usize {
        self.options.history_transactions + 1
    }
}

contract!(crate::Embedded::new());
