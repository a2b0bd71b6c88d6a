//! The file of orders: one line of JSON each, only ever appended to.
//!
//! Several instances may share it, as two releases do during a deploy. Who appends holds the file's
//! lock, first reads what the others appended, and has the line on the disk before it answers. What
//! stands after the last line's end was left by one that died while writing: it was never answered,
//! and the next writer cuts it off.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use shop::goods::{Order, Orders, Product};

/// How many of the last orders are kept in memory.
const RECENT: usize = 20;

/// The file, and what was read of it so far.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    /// The position in the file up to which `orders` is the sum.
    read: u64,
    orders: Orders,
}

/// The file cannot be read or written, or is damaged.
#[derive(Debug)]
pub(crate) struct LedgerError {
    path: PathBuf,
    cause: io::Error,
}

/// An order that was not taken.
#[derive(Debug)]
pub(crate) enum PlaceError {
    /// Too few are left.
    SoldOut {
        /// The product's name.
        product: String,
        /// How many there still are.
        left: u64,
    },
    /// The order could not be kept.
    Ledger(LedgerError),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the file of orders, {}: {}",
            self.path.display(),
            self.cause
        )
    }
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SoldOut { product, left: 0 } => write!(f, "{product} is sold out"),
            Self::SoldOut { product, left } => write!(f, "only {left} of {product} are left"),
            Self::Ledger(error) => error.fmt(f),
        }
    }
}

impl Ledger {
    /// Opens the file in `folder`, making both where they are missing, and reads it.
    pub(crate) fn open(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join("orders.jsonl");
        let failed = |cause| LedgerError {
            path: path.clone(),
            cause,
        };
        let file = open(folder, &path).map_err(failed)?;
        let mut ledger = Self {
            path,
            file,
            read: 0,
            orders: Orders::default(),
        };
        ledger.orders()?;
        Ok(ledger)
    }

    /// The state of the orders, those of other instances included.
    pub(crate) fn orders(&mut self) -> Result<&Orders, LedgerError> {
        self.catch_up().map_err(|cause| self.error(cause))?;
        Ok(&self.orders)
    }

    /// Takes an order if enough of the product is left. It is on the disk when this returns.
    pub(crate) fn place(&mut self, product: &Product, quantity: u64) -> Result<Order, PlaceError> {
        self.file
            .lock()
            .map_err(|cause| PlaceError::Ledger(self.error(cause)))?;
        let placed = self.place_locked(product, quantity);
        // It fails only for a file that is not open.
        let _ = self.file.unlock();
        placed
    }

    fn place_locked(&mut self, product: &Product, quantity: u64) -> Result<Order, PlaceError> {
        self.orders().map_err(PlaceError::Ledger)?;
        let sold = self.orders.sold.get(&product.id).copied().unwrap_or(0);
        let left = product
            .stock
            .map_or(u64::MAX, |stock| stock.saturating_sub(sold));
        if left < quantity {
            return Err(PlaceError::SoldOut {
                product: product.name.clone(),
                left,
            });
        }
        let order = Order {
            number: self.orders.count + 1,
            product: product.id.clone(),
            quantity,
            total_cents: product.price_cents * quantity,
            at: now(),
        };
        self.append(&order)
            .map_err(|cause| PlaceError::Ledger(self.error(cause)))?;
        Ok(order)
    }

    /// Reads what was appended since the last time, up to the end of the last whole line.
    fn catch_up(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() == self.read {
            return Ok(());
        }
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(self.read))?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                return Ok(());
            }
            let order: Order = serde_json::from_slice(&line).map_err(|error| {
                let message = format!("line {} is damaged: {error}", self.orders.count + 1);
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?;
            self.read += length as u64;
            add(&mut self.orders, order);
        }
    }

    /// Appends a line and waits for the disk. When that fails, nothing of the line stays.
    fn append(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.file.set_len(self.read)?;
        let written = (&self.file).seek(SeekFrom::Start(self.read)).and_then(|_| {
            (&self.file).write_all(&line)?;
            self.file.sync_data()
        });
        if let Err(error) = written {
            self.file.set_len(self.read)?;
            return Err(error);
        }
        self.read += line.len() as u64;
        add(&mut self.orders, order.clone());
        Ok(())
    }

    fn error(&self, cause: io::Error) -> LedgerError {
        LedgerError {
            path: self.path.clone(),
            cause,
        }
    }
}

fn open(folder: &Path, path: &Path) -> io::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    // The file's name, too, must be on the disk before the first order is.
    File::open(folder)?.sync_all()?;
    Ok(file)
}

fn add(orders: &mut Orders, order: Order) {
    orders.count += 1;
    *orders.sold.entry(order.product.clone()).or_default() += order.quantity;
    orders.recent.insert(0, order);
    orders.recent.truncate(RECENT);
}

fn now() -> u64 {
    // A clock before 1970 is as good as one at 1970.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
