//! The browser shell: carries out what the engine decides.
//!
//! No decision about order, retry, merge or state is made here. `driver` is the only room that knows the engine's doorway;
//! `transporter` and `client_storage` know its plain data, and never each other.

pub mod client_storage;
pub mod clock;
pub mod driver;
pub mod record;
pub mod row;
pub mod tabs;
pub mod transporter;
