//! The files that an app names for TLS, as far as a deploy is concerned: it is refused if they
//! cannot be used.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use model::{App, Credentials};

use super::ApiError;
use crate::credentials::{self, FileProblem};

/// What the files of an app in `folder` say, or why they cannot be used.
pub(super) async fn read(app: &App, folder: &Path) -> Result<Credentials, ApiError> {
    blocking(app, folder, credentials::read_all)
        .await?
        .map_err(|problems| refusal(&problems))
}

/// The same for a look ahead: see [`file_obstacle`].
pub(super) async fn obstacle(app: &App, folder: &Path) -> Result<Option<ApiError>, ApiError> {
    blocking(app, folder, file_obstacle).await
}

/// Does something that waits for the disk.
async fn blocking<T: Send + 'static>(
    app: &App,
    folder: &Path,
    work: fn(&App, &Path) -> T,
) -> Result<T, ApiError> {
    let (app, folder) = (app.clone(), PathBuf::from(folder));
    let done = tokio::task::spawn_blocking(move || work(&app, &folder)).await;
    done.map_err(|error| {
        let message = format!("the app's files could not be looked at: {error}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    })
}

/// Why the files that an app in `folder` names for TLS would be refused, as far as that is known
/// before the app is built. It needs no server.
pub fn file_obstacle(app: &App, folder: &Path) -> Option<ApiError> {
    let problems = credentials::file_problems(app, folder);
    (!problems.is_empty()).then(|| refusal(&problems))
}

/// All problems in one answer, each with its own next step.
fn refusal(problems: &[FileProblem]) -> ApiError {
    let refused = |message| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message);
    if let [only] = problems {
        return refused(only.to_string()).hint(only.hint());
    }
    let mut message = format!("{} files cannot be used:", problems.len());
    for problem in problems {
        message.push_str(&format!("\n  {problem}\n    hint: {}", problem.hint()));
    }
    refused(message).hint("nothing was deployed; mend them and try again")
}
