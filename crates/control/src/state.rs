//! The server's records in the store, their keys, and a mirror of them in memory.
//!
//! Whoever changes what is desired (the API) writes to the store; the reconciler alone writes the
//! rest. It changes its mirror first and then commits all changes of one pass as one transaction;
//! where that fails it reads everything again, so mirror and store never differ for long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::home::Home;
use model::{
    AppName, Credentials, Desired, Generation, InstanceId, InstanceRecord, ListenerId, NameError,
    Release,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{
    Condition, Conflict, Expected, Operation, Outcome, Revision, Store, StoreError, Transaction,
};

/// The keys under which records are kept.
pub(crate) mod keys {
    use model::{AppName, InstanceId, ListenerId};

    pub(crate) const DESIRED: &str = "desired/";
    pub(crate) const RELEASES: &str = "releases/";
    pub(crate) const CREDENTIALS: &str = "credentials/";
    pub(crate) const INSTANCES: &str = "instances/";
    pub(crate) const PORTS: &str = "ports/";
    pub(crate) const GENERATION: &str = "generation";

    pub(crate) fn desired(app: &AppName) -> String {
        format!("{DESIRED}{app}")
    }

    /// All releases of an app.
    pub(crate) fn releases(app: &AppName) -> String {
        format!("{RELEASES}{app}/")
    }

    /// All instances of an app.
    pub(crate) fn instances(app: &AppName) -> String {
        format!("{INSTANCES}{app}.")
    }

    /// Padded, so that the store's order is that of the numbers.
    pub(crate) fn release(app: &AppName, number: u64) -> String {
        format!("{RELEASES}{app}/{number:010}")
    }

    /// What the files say that the releases of an app name.
    pub(crate) fn credentials(app: &AppName) -> String {
        format!("{CREDENTIALS}{app}/")
    }

    /// The same of one release.
    pub(crate) fn credentials_of(app: &AppName, number: u64) -> String {
        format!("{CREDENTIALS}{app}/{number:010}")
    }

    /// The highest number ever given to a release of this app, kept when the app goes down.
    pub(crate) fn last_release(app: &AppName) -> String {
        format!("last-release/{app}")
    }

    pub(crate) fn instance(id: &InstanceId) -> String {
        format!("{INSTANCES}{id}")
    }

    pub(crate) fn port(listener: &ListenerId) -> String {
        format!("{PORTS}{listener}")
    }
}

/// Why the records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the record {key} in the store cannot be read: {source}")]
    Record {
        key: String,
        source: serde_json::Error,
    },
    #[error("the store has a record {0:?}, which names no app: {1}")]
    Key(String, NameError),
    #[error("the store has a record {0:?}, which names no release")]
    Number(String),
    #[error("a record was changed by someone else meanwhile: {0}")]
    Conflict(Conflict),
}

/// Reads a record.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(value).map_err(|source| StateError::Record {
        key: key.to_owned(),
        source,
    })
}

/// Writes a record.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records have only text keys, which JSON can hold")
}

/// What is desired of an app, with the revision at which that was read.
#[derive(Debug, Clone)]
pub(crate) struct Held<T> {
    pub(crate) value: T,
    pub(crate) modified: Revision,
}

/// All records, as far as the reconciler needs them.
pub(crate) struct State {
    store: Arc<dyn Store>,
    home: Home,
    pub(crate) desired: BTreeMap<AppName, Held<Desired>>,
    pub(crate) releases: BTreeMap<AppName, BTreeMap<u64, Arc<Release>>>,
    pub(crate) credentials: BTreeMap<AppName, BTreeMap<u64, Arc<Credentials>>>,
    pub(crate) instances: BTreeMap<InstanceId, InstanceRecord>,
    pub(crate) ports: BTreeMap<ListenerId, u16>,
    pub(crate) generation: Generation,
    changes: Changes,
    is_stale: bool,
}

/// What has been changed in the mirror and not been committed yet.
#[derive(Default)]
struct Changes {
    conditions: Vec<Condition>,
    operations: BTreeMap<String, Operation>,
    /// The keys of what goes with an app that is forgotten, by the key of what is desired of it.
    /// Once that is gone nobody asks for these any more, so they go in the same transaction.
    belongings: BTreeMap<String, Vec<String>>,
    /// The apps whose desired state is among the changes.
    desired: BTreeSet<AppName>,
}

impl State {
    /// No records yet, of a server that has its releases in `home`.
    pub(crate) fn new(store: Arc<dyn Store>, home: Home) -> Self {
        Self {
            store,
            home,
            desired: BTreeMap::new(),
            releases: BTreeMap::new(),
            credentials: BTreeMap::new(),
            instances: BTreeMap::new(),
            ports: BTreeMap::new(),
            generation: Generation(0),
            changes: Changes::default(),
            is_stale: true,
        }
    }

    /// Reads every record, dropping changes that were not committed. Where that fails the mirror is
    /// as it was, and is known to be stale.
    pub(crate) async fn load(&mut self) -> Result<(), StateError> {
        self.changes = Changes::default();
        self.is_stale = true;
        self.load_desired().await?;
        let mut instances = BTreeMap::new();
        for app in self.desired.keys() {
            for entry in self.store.list(&keys::instances(app)).await?.entries {
                let record: InstanceRecord = decode(&entry.key, &entry.value)?;
                instances.insert(record.id.clone(), record);
            }
        }
        let mut ports = BTreeMap::new();
        for entry in self.store.list(keys::PORTS).await?.entries {
            let listener = entry.key[keys::PORTS.len()..].to_owned();
            ports.insert(listener, decode(&entry.key, &entry.value)?);
        }
        let generation = match self.store.get(keys::GENERATION).await? {
            Some(entry) => decode(&entry.key, &entry.value)?,
            None => Generation(0),
        };
        (self.instances, self.ports, self.generation) = (instances, ports, generation);
        self.is_stale = false;
        Ok(())
    }

    /// Whether the mirror may differ from the store, so that nothing may be decided by it.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Reads again what the API writes. Where that fails the mirror is known to be stale.
    pub(crate) async fn reload_desired(&mut self) -> Result<(), StateError> {
        let loaded = self.load_desired().await;
        self.is_stale |= loaded.is_err();
        loaded
    }

    /// Reads what is desired, and the releases with what belongs to them: those of each app by
    /// themselves, since a listing has a limit that all together may exceed.
    async fn load_desired(&mut self) -> Result<(), StateError> {
        let mut releases: BTreeMap<AppName, BTreeMap<u64, Arc<Release>>> = BTreeMap::new();
        let mut credentials = BTreeMap::new();
        for app in self.read_desired().await?.into_keys() {
            let of_app = releases.entry(app.clone()).or_default();
            for entry in self.store.list(&keys::releases(&app)).await?.entries {
                let release: Release = decode(&entry.key, &entry.value)?;
                let unpacked = self.home.unpacked_release(&app, release.number);
                of_app.insert(release.number, Arc::new(release.at(&unpacked)));
            }
            let of_app = self.read_credentials(&app).await?;
            credentials.insert(app, of_app);
        }
        // Again, and after the releases: one that is deployed meanwhile is then desired and not
        // known, which the next reading mends. The other way round it would be known and not
        // desired, and go.
        self.desired = self.read_desired().await?;
        self.releases = releases;
        self.credentials = credentials;
        Ok(())
    }

    async fn read_credentials(
        &self,
        app: &AppName,
    ) -> Result<BTreeMap<u64, Arc<Credentials>>, StateError> {
        let prefix = keys::credentials(app);
        let mut credentials = BTreeMap::new();
        for entry in self.store.list(&prefix).await?.entries {
            let number = entry.key[prefix.len()..].parse();
            let number = number.map_err(|_| StateError::Number(entry.key.clone()))?;
            let of_release: Credentials = decode(&entry.key, &entry.value)?;
            credentials.insert(number, Arc::new(of_release));
        }
        Ok(credentials)
    }

    async fn read_desired(&self) -> Result<BTreeMap<AppName, Held<Desired>>, StateError> {
        let mut desired = BTreeMap::new();
        for entry in self.store.list(keys::DESIRED).await?.entries {
            let value: Desired = decode(&entry.key, &entry.value)?;
            let name = AppName::new(&entry.key[keys::DESIRED.len()..])
                .map_err(|error| StateError::Key(entry.key.clone(), error))?;
            let modified = entry.modified;
            desired.insert(name, Held { value, modified });
        }
        Ok(desired)
    }

    /// The releases that are in use.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &Release> {
        let releases = self.releases.values().flat_map(|of_app| of_app.values());
        let in_use = |release: &&Release| self.is_in_use(&release.app.name, release.number);
        releases.map(AsRef::as_ref).filter(in_use)
    }

    /// Whether a release runs, should run, or is what a failed rollout would go back to.
    pub(crate) fn is_in_use(&self, app: &AppName, number: u64) -> bool {
        let is_desired = self.desired.get(app).is_some_and(|held| {
            let desired = &held.value;
            desired.target == number || desired.confirmed == Some(number)
        });
        let mut instances = self.instances.keys();
        is_desired || instances.any(|id| id.app == *app && id.release == number)
    }

    pub(crate) fn put_instance(&mut self, record: InstanceRecord) {
        self.changes
            .put(keys::instance(&record.id), encode(&record));
        self.instances.insert(record.id.clone(), record);
    }

    pub(crate) fn remove_instance(&mut self, id: &InstanceId) {
        self.changes.delete(keys::instance(id));
        self.instances.remove(id);
    }

    /// Changes what the files say that a release names.
    pub(crate) fn put_credentials(&mut self, app: &AppName, number: u64, value: Credentials) {
        self.changes
            .put(keys::credentials_of(app, number), encode(&value));
        let of_app = self.credentials.entry(app.clone()).or_default();
        of_app.insert(number, Arc::new(value));
    }

    pub(crate) fn put_port(&mut self, listener: ListenerId, port: u16) {
        self.changes.put(keys::port(&listener), encode(&port));
        self.ports.insert(listener, port);
    }

    pub(crate) fn remove_port(&mut self, listener: &ListenerId) {
        self.changes.delete(keys::port(listener));
        self.ports.remove(listener);
    }

    pub(crate) fn put_generation(&mut self, generation: Generation) {
        self.changes
            .put(keys::GENERATION.to_owned(), encode(&generation));
        self.generation = generation;
    }

    /// Changes what is desired of an app, unless the API did so meanwhile.
    pub(crate) fn put_desired(&mut self, app: &AppName, value: Desired) {
        self.only_if_unchanged(app);
        self.changes.put(keys::desired(app), encode(&value));
        self.changes.desired.insert(app.clone());
        if let Some(held) = self.desired.get_mut(app) {
            held.value = value;
        }
    }

    /// Forgets an app, unless the API asked for it again meanwhile. Its releases go too; the last
    /// release's number stays, so that none is given twice.
    pub(crate) fn remove_app(&mut self, app: &AppName) {
        self.only_if_unchanged(app);
        self.changes.delete(keys::desired(app));
        self.desired.remove(app);
        let releases = self.releases.remove(app).unwrap_or_default().into_keys();
        let credentials = self.credentials.remove(app).unwrap_or_default().into_keys();
        let belongings: Vec<String> = releases
            .map(|number| keys::release(app, number))
            .chain(credentials.map(|number| keys::credentials_of(app, number)))
            .collect();
        for key in &belongings {
            self.changes.delete(key.clone());
        }
        let of_app = self.changes.belongings.entry(keys::desired(app));
        of_app.or_default().extend(belongings);
    }

    pub(crate) fn remove_release(&mut self, app: &AppName, number: u64) {
        self.changes.delete(keys::release(app, number));
        if let Some(releases) = self.releases.get_mut(app) {
            releases.remove(&number);
        }
        let of_app = self.credentials.get_mut(app);
        if of_app.is_some_and(|credentials| credentials.remove(&number).is_some()) {
            self.changes.delete(keys::credentials_of(app, number));
        }
    }

    fn only_if_unchanged(&mut self, app: &AppName) {
        if let Some(held) = self.desired.get(app) {
            self.changes.conditions.push(Condition {
                key: keys::desired(app),
                expected: Expected::Modified(held.modified),
            });
        }
    }

    /// Makes all changes since the last commit durable.
    ///
    /// What the API may have changed meanwhile goes first. All goes in as many transactions as the
    /// store's limits ask for: each record stands for itself, but for an app with what belongs to
    /// it, and a record whose effect was never carried out is taken up again by the next pass.
    /// After a failure the mirror is stale.
    pub(crate) async fn commit(&mut self) -> Result<(), StateError> {
        let Changes {
            conditions,
            mut operations,
            belongings,
            desired,
        } = std::mem::take(&mut self.changes);
        self.is_stale = true;
        let is_first = |key: &String, _: &mut Operation| key.starts_with(keys::DESIRED);
        let first: Vec<_> = operations.extract_if(.., is_first).collect();
        let first = first.into_iter().map(|(key, operation)| {
            let belongings = belongings.get(&key).into_iter().flatten();
            let with_it = belongings.filter_map(|key| operations.remove(key));
            std::iter::once(operation).chain(with_it).collect()
        });
        for chunk in chunks(first.collect()) {
            let concerned = |condition: &&Condition| {
                chunk
                    .iter()
                    .any(|operation| operation.key() == condition.key)
            };
            let conditions = conditions.iter().filter(concerned).cloned().collect();
            let apps = chunk.iter().map(|operation| operation.key().to_owned());
            let apps: BTreeSet<String> = apps.collect();
            let revision = self.transact(conditions, chunk).await?;
            // The watch says so too, but perhaps only after the next pass has begun.
            for app in desired
                .iter()
                .filter(|app| apps.contains(&keys::desired(app)))
            {
                if let Some(held) = self.desired.get_mut(app) {
                    held.modified = revision;
                }
            }
        }
        let rest = operations.into_values().map(|operation| vec![operation]);
        for chunk in chunks(rest.collect()) {
            self.transact(Vec::new(), chunk).await?;
        }
        self.is_stale = false;
        Ok(())
    }

    async fn transact(
        &self,
        conditions: Vec<Condition>,
        operations: Vec<Operation>,
    ) -> Result<Revision, StateError> {
        let transaction = Transaction {
            conditions,
            operations,
            fence: None,
        };
        match self.store.transact(transaction).await? {
            Outcome::Committed(revision) => Ok(revision),
            Outcome::Conflict(conflict) => Err(StateError::Conflict(conflict)),
        }
    }
}

/// Groups of operations in as many parts as the store's limits for one transaction ask for. A group
/// stays whole unless it is too large for one by itself.
fn chunks(groups: Vec<Vec<Operation>>) -> Vec<Vec<Operation>> {
    let mut chunks: Vec<Vec<Operation>> = Vec::new();
    // As if the last one were full: the first group begins one.
    let (mut room, mut bytes_left) = (0, 0);
    for group in groups {
        if room < group.len() || bytes_left < group.iter().map(size).sum() {
            (room, bytes_left) = (0, 0);
        }
        for operation in group {
            let size = size(&operation);
            if room == 0 || bytes_left < size {
                chunks.push(Vec::new());
                (room, bytes_left) = (store::limits::OPERATIONS, store::limits::TRANSACTION_BYTES);
            }
            (room, bytes_left) = (room - 1, bytes_left.saturating_sub(size));
            if let Some(chunk) = chunks.last_mut() {
                chunk.push(operation);
            }
        }
    }
    chunks
}

/// What an operation counts for in a transaction, in bytes.
fn size(operation: &Operation) -> usize {
    operation.key().len()
        + match operation {
            Operation::Put { value, .. } => value.len(),
            Operation::Delete { .. } => 0,
        }
}

impl Changes {
    fn put(&mut self, key: String, value: Vec<u8>) {
        self.operations
            .insert(key.clone(), Operation::Put { key, value });
    }

    fn delete(&mut self, key: String) {
        self.operations
            .insert(key.clone(), Operation::Delete { key });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_parted_by_number_and_by_size() {
        let put = |number: usize, size: usize| Operation::Put {
            key: format!("instances/{number}"),
            value: vec![0; size],
        };
        let sizes = |groups| -> Vec<usize> { chunks(groups).iter().map(Vec::len).collect() };
        let alone = |count, size| (0..count).map(|n| vec![put(n, size)]).collect();
        assert_eq!(sizes(alone(300, 10)), [128, 128, 44]);
        // As when many instances end at once, each with 20 long lines.
        assert_eq!(sizes(alone(100, 25_000)), [52, 48]);
        assert_eq!(sizes(Vec::new()), [0; 0]);
        // What belongs together is parted only where it must be.
        let group = |count| (0..count).map(|n| put(n, 10)).collect();
        assert_eq!(sizes(vec![group(100), group(28), group(1)]), [128, 1]);
        assert_eq!(sizes(vec![group(100), group(29), group(99)]), [100, 128]);
        assert_eq!(sizes(vec![group(1), group(300)]), [1, 128, 128, 44]);
    }
}
