//! The answer to a request for a file.

use std::io;
use std::ops::Range;
use std::time::SystemTime;

use http::{Method, StatusCode};
use model::ServedFiles;

use super::FileSource;
use super::conditions::{Validators, Verdict, judge, may_be_part};
use super::disk::{Effort, Found, FoundFile, Search};
use super::path::wanted;
use super::range::{Part, part};
use crate::http::accept_encoding::accepted;
use crate::http::field_section::FieldSection;
use crate::http::gateway_error::GatewayError;
use crate::http::message::Body;
use crate::http::phases::{BodyError, Next, Sent};
use crate::translate::answer::Answer;
use crate::translate::request::Request;
use crate::translate::source::Source;
use crate::translate::{Exchange, relay};

/// Answers a request with one of `files`, or says why it cannot.
pub(crate) async fn answer(exchange: &Exchange<'_>, files: &ServedFiles) -> Next {
    let facts = exchange.request.facts;
    match prepare(&exchange.request, files).await {
        Ok((answer, body)) => {
            // What is left of a request's own content would be taken for the next request.
            let sent = match facts.body {
                Body::None => Sent::Wholly,
                _ => Sent::Partly,
            };
            match relay::answer(exchange, None, answer, body, sent).await {
                Ok(next) => next,
                Err(BodyError::Sink) => Next::Close,
                Err(_) => Next::Reset,
            }
        }
        Err(error) => {
            exchange.measured.refused(error, None);
            let is_grpc = exchange.is_grpc;
            exchange
                .client
                .fail(error, facts, is_grpc, exchange.manner())
                .await
        }
    }
}

/// The answer and its content.
async fn prepare(
    request: &Request,
    files: &ServedFiles,
) -> Result<(Answer, Source<'static>), GatewayError> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Err(GatewayError::MethodNotAllowed);
    }
    let path = request.path.as_bytes();
    let search = Search {
        root: files.root(),
        wanted: wanted(path).ok_or(GatewayError::NoFile)?,
        fallback: files
            .files
            .fallback
            .as_ref()
            .map(|path| path.as_str().into()),
        codings: accepted(request.fields.all(b"accept-encoding")),
    };
    match find(search).await {
        Ok(Found::File(found)) => Ok(of_file(request, files, *found)),
        Ok(Found::Folder) => Ok((to_folder(request.asked_path()), Source::Nothing)),
        Ok(Found::Nothing) => Err(GatewayError::NoFile),
        Err(error) => {
            tracing::warn!(root = %files.root().display(), %error, "a file cannot be served");
            Err(GatewayError::FileUnreadable)
        }
    }
}

/// Looks on this thread for what is in memory, and has another wait for the disk.
async fn find(search: Search) -> io::Result<Found> {
    match search.find(Effort::Memory) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let looking = tokio::task::spawn_blocking(move || search.find(Effort::Disk));
            looking.await.map_err(io::Error::other)?
        }
        found => found,
    }
}

/// The answer to a request for a file that is there.
fn of_file(request: &Request, files: &ServedFiles, found: FoundFile) -> (Answer, Source<'static>) {
    let FoundFile {
        file,
        length,
        modified: (modified, rest),
        content,
        coding,
    } = found;
    let tag = tag(length, modified, rest, coding.map(|coding| coding.name()));
    let validators = Validators {
        tag: &tag,
        modified,
    };
    let mut fields = FieldSection::with_capacity(512, 12);
    fields.push(b"etag", tag.as_bytes());
    let changed = httpdate::fmt_http_date(modified);
    fields.push(b"last-modified", changed.as_bytes());
    fields.push(
        b"cache-control",
        files.files.cache_control.as_str().as_bytes(),
    );
    if content.is_compressible {
        fields.push(b"vary", b"accept-encoding");
    }
    let wanted = match judge(&request.fields, validators) {
        Verdict::NotModified => return (bare(StatusCode::NOT_MODIFIED, fields), Source::Nothing),
        Verdict::Failed => {
            return (
                empty(StatusCode::PRECONDITION_FAILED, fields),
                Source::Nothing,
            );
        }
        Verdict::Serve => wanted_part(request, validators, length),
    };
    fields.push(b"accept-ranges", b"bytes");
    let (status, bytes) = match wanted {
        Part::Nothing => {
            fields.push(b"content-range", format!("bytes */{length}").as_bytes());
            return (
                empty(StatusCode::RANGE_NOT_SATISFIABLE, fields),
                Source::Nothing,
            );
        }
        Part::Whole => (StatusCode::OK, 0..length),
        Part::Bytes(bytes) => {
            let Range { start, end } = bytes;
            let text = format!("bytes {start}-{}/{length}", end - 1);
            fields.push(b"content-range", text.as_bytes());
            (StatusCode::PARTIAL_CONTENT, bytes)
        }
    };
    fields.push(b"content-type", content.name.as_bytes());
    // Types follow from names: a browser that guesses could find a script in a picture.
    fields.push(b"x-content-type-options", b"nosniff");
    if let Some(coding) = coding {
        fields.push(b"content-encoding", coding.name().as_bytes());
    }
    let count = bytes.end - bytes.start;
    fields.push(b"content-length", count.to_string().as_bytes());
    let (body, source) = match request.facts.is_head || count == 0 {
        true => (Body::None, Source::Nothing),
        false => (
            Body::Length(count),
            Source::File(FileSource::new(file, bytes)),
        ),
    };
    let answer = Answer {
        status,
        fields,
        body,
    };
    (answer, source)
}

/// What of the file is asked for. Only GET asks for a part (RFC 9110 section 14.2).
fn wanted_part(request: &Request, validators: Validators<'_>, length: u64) -> Part {
    match request.fields.get(b"range") {
        Some(range) if !request.facts.is_head && may_be_part(&request.fields, validators) => {
            part(range, length)
        }
        _ => Part::Whole,
    }
}

/// A tag that another state of a file does not have, nor the same in another coding.
fn tag(length: u64, modified: SystemTime, rest: u64, coding: Option<&str>) -> String {
    let since = modified.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    match coding {
        None => format!("\"{seconds:x}.{rest:x}-{length:x}\""),
        Some(coding) => format!("\"{seconds:x}.{rest:x}-{length:x}-{coding}\""),
    }
}

/// An answer that has neither content nor a length of it.
fn bare(status: StatusCode, fields: FieldSection) -> Answer {
    Answer {
        status,
        fields,
        body: Body::None,
    }
}

/// An answer whose content is empty.
fn empty(status: StatusCode, mut fields: FieldSection) -> Answer {
    fields.push(b"content-length", b"0");
    bare(status, fields)
}

/// Leads to the same path with a slash at its end, without which links on the page would lead
/// elsewhere. It is relative, so that it holds whatever the path is called in front of us.
fn to_folder(asked: &str) -> Answer {
    let (path, query) = match asked.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (asked, None),
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut fields = FieldSection::with_capacity(64 + asked.len(), 6);
    fields.push(b"location", format!("./{name}/{query}").as_bytes());
    empty(StatusCode::PERMANENT_REDIRECT, fields)
}
