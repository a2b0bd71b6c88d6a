//! Field blocks as they arrive: requests, answers and trailers (RFC 9113 sections 4.3 and 8.1).

use super::stream::{Ended, Stream, wake};
use super::{Connection, Going, Role};
use crate::http::field_section::FieldSection;
use crate::http::fields;
use crate::http2::head::{AnswerHead, Malformed, RequestHead, check_trailers};
use crate::http2::hpack::{Limits, Whole};
use crate::http2::reason::Reason;
use crate::limits::{HEAD_BYTES, HEAD_FIELDS, HTTP2_STREAMS, INTERIM_ANSWERS};

/// A request that has arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) stream: u32,
    /// None where it is larger than our settings allow.
    pub(crate) head: Option<RequestHead>,
    /// It has no body.
    pub(crate) ends: bool,
}

/// What a head may have. Pseudo-fields count too.
const LIMITS: Limits = Limits {
    bytes: HEAD_BYTES,
    fields: HEAD_FIELDS + 6,
};

impl Connection {
    /// Follows a whole field block.
    pub(super) fn block_arrived(
        &mut self,
        id: u32,
        ends: bool,
        block: &[u8],
    ) -> Result<(), Reason> {
        // Most have about as much, decoded, and what is added to them.
        let mut section = FieldSection::with_capacity(block.len() * 2 + 256, 20);
        let size = self
            .decoder
            .decode(block, &mut section, LIMITS)
            .map_err(|_| Reason::COMPRESSION_ERROR)?;
        if let Some(stream) = self.streams.get(&id) {
            let outcome = match self.role {
                _ if stream.failure.is_some() => match stream.is_reset_by_us {
                    // It was on its way.
                    true => Ok(()),
                    false => Err(Reason::STREAM_CLOSED),
                },
                Role::Client if !stream.has_head => self.answer_arrived(id, ends, section, size),
                _ => self.trailers_arrived(id, ends, section, size),
            };
            if let Err(reason) = outcome {
                self.reset_stream(id, reason);
            }
            return Ok(());
        }
        match self.role {
            Role::Server if !self.is_idle(id) || id.is_multiple_of(2) => self.unexpected(id),
            Role::Server => {
                self.request_arrived(id, ends, section, size);
                Ok(())
            }
            Role::Client => self.unexpected(id),
        }
    }

    /// A block for a stream that is not there.
    fn unexpected(&mut self, id: u32) -> Result<(), Reason> {
        match self.recall(id) {
            // It was on its way when we reset the stream.
            Some(Ended::ResetByUs) => Ok(()),
            Some(Ended::ResetByPeer) => {
                self.reset_stream(id, Reason::STREAM_CLOSED);
                Ok(())
            }
            Some(Ended::Orderly) => Err(Reason::STREAM_CLOSED),
            None => Err(Reason::PROTOCOL_ERROR),
        }
    }

    fn request_arrived(&mut self, id: u32, ends: bool, section: FieldSection, size: Whole) {
        if self.going == Going::Final {
            // Its client learns from our farewell that nobody has looked at it.
            return;
        }
        self.last = id;
        // Those that were reset may still be in somebody's hands here.
        let most = HTTP2_STREAMS as usize;
        if self.open >= most || self.streams.len() >= 2 * most {
            return self.reset_stream(id, Reason::REFUSED_STREAM);
        }
        let head = match size {
            Whole::TooLarge => None,
            Whole::Fits => match RequestHead::parse(section) {
                Ok(head) => Some(head),
                Err(Malformed) => return self.reset_stream(id, Reason::PROTOCOL_ERROR),
            },
        };
        let mut stream = Stream::new(self.stream_window, self.peer.window);
        stream.has_head = true;
        stream.length = head.as_ref().and_then(|head| length(&head.fields));
        if ends && stream.length.is_some_and(|length| length > 0) {
            return self.reset_stream(id, Reason::PROTOCOL_ERROR);
        }
        stream.is_received = ends;
        self.streams.insert(id, stream);
        self.open += 1;
        self.arrived.push_back(Arrived {
            stream: id,
            head,
            ends,
        });
    }

    fn answer_arrived(
        &mut self,
        id: u32,
        ends: bool,
        section: FieldSection,
        size: Whole,
    ) -> Result<(), Reason> {
        if size == Whole::TooLarge {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        let head = AnswerHead::parse(section).map_err(|Malformed| Reason::PROTOCOL_ERROR)?;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let is_interim = head.status.is_informational();
        if is_interim && ends {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if !is_interim {
            stream.has_head = true;
            stream.length = length(&head.fields);
            stream.is_bodiless |= matches!(head.status.as_u16(), 204 | 304);
        }
        stream.heads.push_back(head);
        if stream.heads.len() > INTERIM_ANSWERS + 1 {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        wake(&mut stream.wakers.receiving);
        if ends {
            self.received(id);
        }
        Ok(())
    }

    fn trailers_arrived(
        &mut self,
        id: u32,
        ends: bool,
        section: FieldSection,
        size: Whole,
    ) -> Result<(), Reason> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        if stream.is_received {
            return Err(Reason::STREAM_CLOSED);
        }
        if !ends || size == Whole::TooLarge {
            return Err(Reason::PROTOCOL_ERROR);
        }
        check_trailers(&section).map_err(|Malformed| Reason::PROTOCOL_ERROR)?;
        stream.trailers = Some(section);
        self.received(id);
        Ok(())
    }
}

/// What a head says of the length of its content, where that can be read. Whoever passes it on
/// refuses what cannot.
fn length(section: &FieldSection) -> Option<u64> {
    fields::content_length(section.get(b"content-length")?).ok()
}
