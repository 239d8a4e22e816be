//! Who may speak to a service at all, and who may call what.

pub(crate) mod access;
mod handshake;
mod open;

pub(crate) use handshake::believing_as;
