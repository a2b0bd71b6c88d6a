//! The files that an app names for TLS and as pages of errors, as far as a deploy is concerned: it is
//! refused if they cannot be used.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use model::{App, Credentials, ErrorPages, PageText};

use super::ApiError;
use crate::credentials::{self, FileProblem};
use crate::error_pages;

/// What the files of an app say.
pub(super) struct Files {
    pub(super) credentials: Credentials,
    pub(super) error_pages: ErrorPages<PageText>,
}

/// What the files of an app in `folder` say, or why they cannot be used.
pub(super) async fn read(app: &App, folder: &Path) -> Result<Files, ApiError> {
    blocking(app, folder, |app, folder| {
        let files = (
            credentials::read_all(app, folder),
            error_pages::read_all(app, folder),
        );
        match files {
            (Ok(credentials), Ok(error_pages)) => Ok(Files {
                credentials,
                error_pages,
            }),
            (credentials, pages) => {
                let mut problems = credentials.err().unwrap_or_default();
                problems.extend(pages.err().unwrap_or_default());
                Err(problems)
            }
        }
    })
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

/// Why the files that an app in `folder` names would be refused, as far as that is known
/// before the app is built. It needs no server.
pub fn file_obstacle(app: &App, folder: &Path) -> Option<ApiError> {
    let mut problems = credentials::file_problems(app, folder);
    problems.extend(error_pages::file_problems(app, folder));
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
