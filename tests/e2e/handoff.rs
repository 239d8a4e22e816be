//! Offers and acceptances: what a sender and a receiver may do with units, and what becomes of them.

mod acceptances;
mod offers;
mod repeats;
mod withdrawals;
