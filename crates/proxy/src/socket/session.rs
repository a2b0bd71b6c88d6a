//! TLS on a socket: records in, content out, and the other way round. Nothing here waits; the
//! socket does, and brings bytes.
//!
//! The kernel is read into a buffer of the worker's, a whole one at a time, and rustls is fed from
//! it: by itself it would read 4 KiB with each system call. An idle connection holds no such buffer.

use std::cell::RefCell;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::buffers::{Buffers, Pooled};
use crate::limits::TLS_PENDING_BYTES;

/// One side of a TLS connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: RefCell<Connection>,
    /// Records that have arrived and were not looked at yet.
    arrived: RefCell<Option<Pooled>>,
    buffers: Rc<Buffers>,
}

impl Session {
    /// The side that accepted the connection.
    ///
    /// # Errors
    /// The settings contradict each other.
    pub(crate) fn accepted(config: Arc<ServerConfig>, buffers: &Rc<Buffers>) -> io::Result<Self> {
        let connection = ServerConnection::new(config).map_err(invalid)?;
        Ok(Self::new(connection.into(), buffers))
    }

    /// The side that opened the connection, to whoever proves to be `name`.
    ///
    /// # Errors
    /// The settings contradict each other.
    pub(crate) fn opened(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        buffers: &Rc<Buffers>,
    ) -> io::Result<Self> {
        let connection = ClientConnection::new(config, name).map_err(invalid)?;
        Ok(Self::new(connection.into(), buffers))
    }

    fn new(mut connection: Connection, buffers: &Rc<Buffers>) -> Self {
        connection.set_buffer_limit(Some(TLS_PENDING_BYTES));
        Self {
            connection: RefCell::new(connection),
            arrived: RefCell::new(None),
            buffers: buffers.clone(),
        }
    }

    /// Whether the two sides have not agreed yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.borrow().is_handshaking()
    }

    /// The protocol that the two sides agreed on (ALPN, RFC 7301).
    pub(crate) fn protocol(&self) -> Option<Vec<u8>> {
        let connection = self.connection.borrow();
        connection.alpn_protocol().map(<[u8]>::to_vec)
    }

    /// The host that a client asked for (SNI, RFC 6066).
    pub(crate) fn server_name(&self) -> Option<String> {
        match &*self.connection.borrow() {
            Connection::Server(connection) => connection.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        }
    }

    /// Takes content that has arrived; none when more records are needed. 0 is the orderly end.
    pub(crate) fn take(&self, into: &mut [u8]) -> Option<io::Result<usize>> {
        let mut connection = self.connection.borrow_mut();
        loop {
            match connection.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Some(result),
            }
            match self.feed(&mut connection) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Whether content, the end or an error can be taken without more records. Those that have
    /// arrived are looked at.
    pub(crate) fn has_content(&self) -> bool {
        let mut connection = self.connection.borrow_mut();
        loop {
            match connection.reader().fill_buf() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => return true,
            }
            match self.feed(&mut connection) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Goes on with the handshake; false when that takes more records.
    pub(crate) fn advance(&self) -> io::Result<bool> {
        self.feed(&mut self.connection.borrow_mut())
    }

    /// A buffer for the records that the kernel has. What is left from before must be fed first.
    pub(crate) fn room(&self) -> Pooled {
        let arrived = self.arrived.borrow_mut().take();
        debug_assert!(arrived.as_ref().is_none_or(|arrived| arrived.is_empty()));
        arrived.unwrap_or_else(|| self.buffers.take())
    }

    /// Gives records that have arrived.
    pub(crate) fn arrived(&self, records: Pooled) {
        *self.arrived.borrow_mut() = Some(records);
    }

    /// Tells of the connection's end, orderly or not.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.connection.borrow_mut().read_tls(&mut io::empty())?;
        Ok(())
    }

    /// Encrypts of `content` as much as may wait at a time.
    pub(crate) fn put(&self, content: &[u8]) -> io::Result<usize> {
        self.connection.borrow_mut().writer().write(content)
    }

    /// Says that no more content follows.
    pub(crate) fn close(&self) {
        self.connection.borrow_mut().send_close_notify();
    }

    /// Whether records wait to be sent.
    pub(crate) fn has_records(&self) -> bool {
        self.connection.borrow().wants_write()
    }

    /// Writes records that wait; returns how many bytes `to` took.
    pub(crate) fn send(&self, to: &mut dyn Write) -> io::Result<usize> {
        self.connection.borrow_mut().write_tls(to)
    }

    /// Hands some of what has arrived over; false when there is nothing.
    fn feed(&self, connection: &mut Connection) -> io::Result<bool> {
        let mut arrived = self.arrived.borrow_mut();
        let Some(records) = arrived.as_mut() else {
            return Ok(false);
        };
        let mut bytes = records.bytes();
        let count = connection.read_tls(&mut bytes)?;
        records.consume(count);
        if records.is_empty() {
            *arrived = None;
        }
        connection.process_new_packets().map_err(invalid)?;
        Ok(true)
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
