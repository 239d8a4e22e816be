//! The stated bounds of messages, pages, fields and deadlines.

mod fields;
mod messages;
mod pages;
