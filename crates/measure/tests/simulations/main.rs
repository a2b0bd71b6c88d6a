//! Seeded simulations of comparisons: how often a verdict is false, and how soon a true one comes.

mod false_verdicts;
mod random;
mod runs;
mod sooner;
