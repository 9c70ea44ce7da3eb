//! The ends that lead to a local database.
pub mod indexed_db;
