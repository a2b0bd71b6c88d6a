//! The shapes that the services send each other as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that can be bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its name in addresses.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// One sentence about it.
    pub description: String,
    /// What one costs, in cents.
    pub price_cents: u64,
    /// How many there ever were; nothing for what cannot run out.
    pub stock: Option<u64>,
}

/// What a customer asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The product's id.
    pub product: String,
    /// How many of it, from 1 to [`Wish::MOST`].
    pub quantity: u64,
}

impl Wish {
    /// The most that one order may ask for.
    pub const MOST: u64 = 100;
}

/// An order that was accepted, and is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Counts up from 1.
    pub number: u64,
    /// The product's id.
    pub product: String,
    /// How many of it.
    pub quantity: u64,
    /// What all of them cost, in cents.
    pub total_cents: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
}

/// The state of the orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// How many were accepted ever.
    pub count: u64,
    /// The last of them, newest first.
    pub recent: Vec<Order>,
    /// How many were sold of each product, by its id.
    pub sold: BTreeMap<String, u64>,
}

/// Why a request failed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The reason, for people.
    pub error: String,
}
