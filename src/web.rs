//! The browser shell.
pub mod client_storage;
pub mod transporter;
