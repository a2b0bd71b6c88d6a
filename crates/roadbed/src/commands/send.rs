//! The files of an app on their way to the server: packed, and what it lacks is sent.

use std::path::PathBuf;
use std::time::Duration;

use artifacts::transfer::{Sender, Source, batches};
use artifacts::{Manifest, Pack, PackError, Places};
use control::{MissingAnswer, MissingRequest};
use spec::Loaded;

use crate::api_client::ApiClient;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::plural;
use crate::terminal::progress;

/// Sending more than this is told, since it may take a moment.
const TOLD: u64 = 16 << 20;

/// How long the server may take for what it is sent at a time: a slow disk writes it.
const LONGEST_TAKING: Duration = Duration::from_secs(600);

/// Packs the folder of `app`, which has been built, and sends what the server lacks of it.
pub(super) async fn send(
    client: &ApiClient,
    context: &Context,
    app: &Loaded,
) -> Result<Manifest, Failure> {
    let pack = pack(context, app).await?;
    for note in &pack.notes {
        progress(&format!("note: {note}"));
    }
    let request = MissingRequest {
        files: pack.manifest.clone(),
    };
    let answer: MissingAnswer = client.post("/v1/contents/missing", &request).await?;
    let contents = pack.manifest.contents();
    let source = |digest: &model::Digest| {
        let path: &PathBuf = pack.sources.get(digest)?;
        Some(Source {
            digest: *digest,
            size: *contents.get(digest)?,
            path: path.clone(),
        })
    };
    let sources: Vec<Source> = answer.missing.iter().filter_map(source).collect();
    let bytes: u64 = sources.iter().map(|source| source.size).sum();
    if bytes > TOLD {
        let (count, size) = (sources.len(), bytes >> 20);
        let files = plural(count, "file");
        progress(&format!(
            "sending {count} {files}, {size} MiB, to the server"
        ));
    }
    for batch in batches(sources) {
        client
            .send_pieces("/v1/contents", Sender::new(batch), LONGEST_TAKING)
            .await?;
    }
    Ok(pack.manifest)
}

/// Packs on another thread: it waits for the disk, and an interrupt must not.
async fn pack(context: &Context, app: &Loaded) -> Result<Pack, Failure> {
    let (folder, declared) = (app.folder.clone(), app.app.clone());
    let home = context.home.clone();
    let work = move || {
        let caches = home.pack_caches();
        let places = Places {
            apart: home.path(),
            // Nothing is made where there is no home.
            caches: home.path().is_dir().then_some(caches.as_path()),
        };
        artifacts::pack(&folder, &declared, &places)
    };
    let packed = tokio::task::spawn_blocking(work).await;
    let packed = packed.map_err(|error| Failure::new(format!("cannot pack: {error}")))?;
    packed.map_err(|error| refused(&error))
}

fn refused(error: &PackError) -> Failure {
    let failure = Failure::new(error.to_string());
    failure.hint(error.hint())
}
