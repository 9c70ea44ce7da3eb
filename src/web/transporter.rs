//! The ends that lead to a server.
pub mod http;
