//! The ends that lead to a local database.
pub mod custom;
pub mod indexed_db;
