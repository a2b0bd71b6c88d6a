//! The files that apps name for TLS: what is new in them is kept and published, and what is wrong
//! with them is told.

use std::collections::BTreeSet;

use model::{AppName, Credentials, Wait};

use super::Reconciler;
use crate::credentials::{self, Found, Watched};

impl Reconciler {
    /// Puts what was found in files down in the records, to be committed with the others of this
    /// pass and then published. Says which releases it was found for.
    pub(super) fn take_files(&mut self) -> BTreeSet<(AppName, u64)> {
        let mut renewed = BTreeSet::new();
        for found in self.watcher.take_found() {
            let Found {
                app,
                release,
                service,
                read,
            } = found;
            // The release may have gone meanwhile.
            let releases = self.state.releases.get(&app);
            if !releases.is_some_and(|releases| releases.contains_key(&release)) {
                continue;
            }
            let mut credentials = self.credentials(&app, release);
            credentials::put(&mut credentials, &service, read);
            if encoded_size(&credentials) > store::limits::VALUE_BYTES {
                tracing::error!(%app, release, %service, "its files are too large to be kept");
                continue;
            }
            tracing::info!(%app, release, %service, "files for TLS have changed");
            self.state.put_credentials(&app, release, credentials);
            renewed.insert((app, release));
        }
        renewed
    }

    /// Has instances verified by what was found, once that is in the records.
    pub(super) fn verify_by_files(&self, renewed: BTreeSet<(AppName, u64)>) {
        for (app, number) in renewed {
            let release = self.state.releases.get(&app).and_then(|r| r.get(&number));
            if let Some(release) = release {
                let credentials = self.credentials(&app, number);
                self.instances.verify_by(release, &credentials);
            }
        }
    }

    /// Has the files watched of all releases that run or may run.
    pub(super) fn watch_files(&mut self) {
        let releases = self.state.in_use();
        let watched = releases.flat_map(|release| {
            let credentials = self.credentials(&release.app.name, release.number);
            Watched::of(release, &credentials)
        });
        let watched = watched.collect();
        self.watcher.watch(watched);
    }

    /// What is wrong with the files of a release, in words for the user.
    pub(super) fn file_warnings(
        &self,
        app: &AppName,
        release: u64,
    ) -> impl Iterator<Item = Wait> + use<> {
        let warnings = self.watcher.warnings(app, release);
        warnings.into_iter().map(|(service, reason)| Wait {
            service: Some(service),
            instance: None,
            reason,
        })
    }

    fn credentials(&self, app: &AppName, release: u64) -> Credentials {
        let of_app = self.state.credentials.get(app);
        let credentials = of_app.and_then(|of_app| of_app.get(&release));
        credentials.map_or_else(Credentials::default, |c| Credentials::clone(c))
    }
}

fn encoded_size(credentials: &Credentials) -> usize {
    crate::state::encode(credentials).len()
}
