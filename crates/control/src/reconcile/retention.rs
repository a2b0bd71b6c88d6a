//! Which releases are kept: those that run or would be gone back to, and as many others as the
//! server's user wants.

use model::AppName;

use super::Reconciler;
use crate::releases::beyond_count;

impl Reconciler {
    /// Drops releases that are beyond what is kept. Says whether there were any.
    pub(super) fn prune_releases(&mut self) -> bool {
        let beyond_budget = self.files.beyond_budget();
        let count = usize::from(self.settings.kept.count);
        let mut unused: Vec<(AppName, u64)> = Vec::new();
        for (app, releases) in &self.state.releases {
            let numbers = || releases.keys().copied();
            let is_needed = |number| self.is_needed(app, number);
            let by_count = beyond_count(numbers(), is_needed, count);
            let by_budget = numbers()
                .filter(|number| !is_needed(*number))
                .filter(|number| beyond_budget.contains(&(app.clone(), *number)));
            let mut of_app: Vec<u64> = by_budget.chain(by_count).collect();
            of_app.sort_unstable();
            of_app.dedup();
            unused.extend(of_app.into_iter().map(|number| (app.clone(), number)));
        }
        for (app, number) in &unused {
            tracing::info!(%app, release = number, "a release is not kept any more");
            self.state.remove_release(app, *number);
            self.change_desired(app, |desired| drop(desired.ended.remove(number)));
        }
        !unused.is_empty()
    }

    /// Whether a release has to be kept.
    fn is_needed(&self, app: &AppName, number: u64) -> bool {
        let desired = self.state.desired.get(app).map(|held| &held.value);
        self.state.is_in_use(app, number)
            || desired.is_some_and(|desired| desired.ran_before() == Some(number))
    }
}
