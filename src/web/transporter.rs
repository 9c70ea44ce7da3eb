//! The ends that lead to a server.
pub mod custom;
pub mod http;
